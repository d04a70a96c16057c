"""Random numbers depend on a seed and the number of a sample, never on the batch or the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor


class Rng:
    """It holds one random stream per picture of a batch, so that a picture does not depend on its neighbours.

    Streams are drawn on the CPU and moved, so that every device sees the same numbers. Seed 0 is a seed like any other.
    """

    def __init__(self, seeds: Sequence[int]):
        self.generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]

    def normal(self, like: Tensor) -> Tensor:
        """Draw standard normal numbers like `like` (B, ...), each item from its own stream.

        Raises ValueError where there are not as many streams as items.
        """
        if len(like) != len(self.generators):
            raise ValueError(f"this Rng has {len(self.generators)} streams, the batch has {len(like)} items")
        draws = [torch.randn(like.shape[1:], generator=g, dtype=like.dtype) for g in self.generators]
        return (draws[0][None] if len(draws) == 1 else torch.stack(draws)).to(like.device)


class JoinedRng(Rng):
    """It joins the streams of several, one after the other, each drawn as its own class draws them."""

    def __init__(self, parts: Sequence[Rng]):
        self.parts, self.generators = parts, [g for part in parts for g in part.generators]

    def normal(self, like: Tensor) -> Tensor:
        if len(like) != len(self.generators):
            raise ValueError(f"this Rng has {len(self.generators)} streams, the batch has {len(like)} items")
        pieces = like.split([len(part.generators) for part in self.parts])
        return torch.cat([part.normal(piece) for part, piece in zip(self.parts, pieces)])


Streams = Callable[[int, int, int], Rng]  # (seed, first sample, count) -> their random streams


def streams(seed: int, first: int, count: int) -> Rng:
    """Return the random streams of samples first .. first + count - 1: functions of (seed, number) alone."""
    states = [np.random.SeedSequence([seed, i]).generate_state(1, np.uint64)[0] for i in range(first, first + count)]
    return Rng([int(s >> np.uint64(1)) for s in states])


def low_stage_seed(seed: int) -> int:
    """Return the seed of the low-resolution run that precedes the run with `seed`; independent of it."""
    return int(np.random.SeedSequence([seed, 2**32 - 1, 0]).generate_state(1, np.uint64)[0] >> np.uint64(1))
