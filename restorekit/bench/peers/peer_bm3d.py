"""BM3D (Dabov et al., IEEE TIP 2007) by the package of Tampere University, whose licence allows non-commercial use alone.

It denoises by patches of the picture itself and knows no prior of ours: one answer, no samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from restorekit.bench.peers.peer import Peer, white
from restorekit.errors import Unsupported
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.problem import Problem
from restorekit.operators import Identity

LEAST = 16  # pixels a side: two of its patches of 8


def denoised(noisy: np.ndarray, sigma: float) -> np.ndarray:
    """Return (C, H, W) from pictures on [0, 1] with white noise of deviation sigma; three bands as colours. Raises ImportError."""
    import bm3d  # pyright: ignore[reportMissingImports]

    bands = np.moveaxis(noisy.astype(np.float64), 0, -1)
    if len(noisy) == 3:
        return np.moveaxis(np.asarray(bm3d.bm3d_rgb(bands, sigma)), -1, 0)
    return np.stack([np.asarray(bm3d.bm3d(band.astype(np.float64), sigma)).reshape(band.shape) for band in noisy])


@dataclass(frozen=True)
class BM3D(Peer):
    """The noise level is given; all else is the package's."""

    library = "bm3d"
    licence = "non-commercial use only (Tampere University)"
    draws = False
    learned = False

    def check(self, problem: Problem) -> None:
        operator, y, _ = white(problem, "bm3d")
        if not isinstance(operator, Identity):
            raise Unsupported("bm3d is given denoising alone")
        if min(y.shape[-2:]) < LEAST:
            raise Unsupported(f"bm3d needs pictures of {LEAST} pixels a side, these are {y.shape[-2]}x{y.shape[-1]}")

    def sample(self, problem: Problem, denoise: Denoiser, count: int, seed: int) -> Tensor:
        _, y, sigma_y = white(problem, "bm3d")
        return torch.from_numpy(denoised(y[0].cpu().numpy(), sigma_y)).to(y)[None]
