"""A text makes masks: pixels at random, or a hole in the middle."""

from __future__ import annotations

import torch
from torch import Tensor

from restorekit.errors import BadInput


def generated_mask(text: str, size: tuple[int, int]) -> Tensor | None:
    """Return the mask (1, H, W) float32, 1 = measured, of `random:SHARE[:SEED]`, that share of the pixels measured, or of
    `box:SHARE`, a hole of that share of each side in the middle; None where the text names a file. `BadInput` for other shares."""
    name, *numbers = text.split(":")
    if name not in ("random", "box") or not numbers:
        return None
    try:
        share, seed = float(numbers[0]), int(numbers[1]) if numbers[1:] else 0
    except ValueError:
        share, seed = -1.0, 0
    if not 0 < share < 1 or not 0 <= seed < 2**63 or len(numbers) > (2 if name == "random" else 1):
        raise BadInput(
            f"mask={text} is not understood; a share lies between 0 and 1, as in random:0.2, random:0.2:7, box:0.25"
        )
    if name == "random":
        return (torch.rand((1, *size), generator=torch.Generator().manual_seed(seed)) < share).float()
    mask = torch.ones(1, *size)
    (top, height), (left, width) = (((n - round(n * share)) // 2, round(n * share)) for n in size)
    mask[:, top : top + height, left : left + width] = 0
    return mask
