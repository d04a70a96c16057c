"""A kernel that was found or changed, for a person: in words and as a picture."""

from __future__ import annotations

from typing import Any

import numpy as np

TURNED = 0.05  # degrees, that are worth a word
SIDE = 240  # pixels, the side of a kernel in the picture of it


def kernel_text(record: dict[str, Any]) -> str:
    """Return what was found, for a person."""
    said = []
    if record["length"] != 1 or record["width"] != 1 or record["turn"] != 0:
        turned = f", turned by {record['turn']:.2g} degrees" if abs(record["turn"]) >= TURNED else ""
        said.append(f"{record['length']:.3g} times as long, {record['width']:.3g} as wide{turned}")
    if record.get("taps", {}).get("moved", 0) > 0.005:
        said.append(f"single taps moved, by {record['taps']['moved']:.1%} of the kernel")
    return "; ".join(said) or "nothing says that it is wrong"


def kernel_picture(*kernels: np.ndarray) -> np.ndarray:
    """Return (1, h, w): kernels side by side, each as large as the largest, enlarged."""
    sides = np.max([k.shape for k in kernels], 0)
    times = max(1, SIDE // int(max(sides)))
    panels = []
    for k in kernels:
        before = (sides // 2) - np.array(k.shape) // 2
        grown = np.pad(k / k.max(), [(b, s - n - b) for b, s, n in zip(before, sides, k.shape)])
        panels.append(np.pad(np.kron(grown, np.ones((times, times))), 2, constant_values=0.5))
    return np.concatenate(panels, 1)[None].astype(np.float32)
