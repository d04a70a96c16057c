"""Every public operator at small, awkward sizes. A new operator adds a row; the shared tests do the rest."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F

from restorekit import operators as ops


def kernel(h: int, w: int, seed: int = 0) -> torch.Tensor:
    k = torch.rand(h, w, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return k / k.sum()


def peaked(h: int, w: int) -> torch.Tensor:
    """A kernel whose blur is well conditioned, for operators whose inverse is iterated."""
    k = kernel(h, w)
    k[h // 2, w // 2] += 2
    return k / k.sum()


def gaussian(size: int, sigma: float) -> torch.Tensor:
    t = torch.arange(size, dtype=torch.float64) - size // 2
    g = torch.exp(-(t**2) / (2 * sigma**2))
    return torch.outer(g, g) / g.sum() ** 2


def motion() -> torch.Tensor:
    """A kernel as users bring them: ill-conditioned, without symmetry."""
    from restorekit.text.kernels import kernel as named

    return named("motion:7:30").double()


def mask(*shape: int) -> torch.Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(1)) > 0.4).double()


OPERATORS: dict[str, Callable[[], ops.Operator]] = {
    "identity": lambda: ops.Identity((3, 5, 7)),
    "inpaint": lambda: ops.Inpaint((3, 9, 6), mask(1, 9, 6)),
    "inpaint-bands-soft": lambda: ops.Inpaint((2, 5, 8), mask(2, 5, 8) * 0.7),
    "blur-circular-odd": lambda: ops.CircularBlur((1, 11, 9), kernel(3, 5)),
    "blur-circular-even": lambda: ops.CircularBlur((3, 8, 10), kernel(4, 2)),
    "blur-circular-mixed": lambda: ops.CircularBlur((1, 9, 12), kernel(5, 5)),
    "blur-circular-narrow": lambda: ops.CircularBlur((1, 1, 7), kernel(1, 3)),
    "blur-symmetric": lambda: ops.SymmetricBlur((2, 10, 7), gaussian(5, 0.8)),
    "blur-symmetric-negative": lambda: ops.SymmetricBlur((1, 9, 9), torch.ones(3, 3, dtype=torch.float64) / 9),
    "blur-reflect": lambda: ops.ReflectBlur((1, 9, 12), peaked(5, 3)),
    "blur-reflect-motion": lambda: ops.ReflectBlur((1, 12, 10), motion()),  # A+ is refused
    "blur-reflect-even": lambda: ops.ReflectBlur((2, 8, 7), peaked(2, 4)),
    "blur-free": lambda: ops.FreeBlur((1, 12, 14), peaked(5, 3)),
    "blur-grid": lambda: ops.GridBlur.of((2, 8, 9), torch.stack([peaked(5, 3), peaked(5, 3).flip(1)]).view(2, 1, 5, 3)),
    "blur-free-even": lambda: ops.FreeBlur((2, 9, 8), peaked(2, 4)),
    "average": lambda: ops.BlockAverage((3, 8, 12), 4),
    "average-odd": lambda: ops.BlockAverage((2, 7, 10), 3),
    "average-partial-one": lambda: ops.BlockAverage((1, 9, 5), 4),
    "average-larger-than-picture": lambda: ops.BlockAverage((1, 3, 2), 4),
    "average-one-row": lambda: ops.BlockAverage((2, 1, 8), 4),
    "average-by-one": lambda: ops.BlockAverage((1, 3, 4), 1),
    "decimation-by-one": lambda: ops.CircularDecimation((1, 4, 6), 1, gaussian(3, 0.7)),
    "inpaint-all-measured": lambda: ops.Inpaint((2, 3, 4), torch.ones(1, 3, 4, dtype=torch.float64)),
    "hadamard-all": lambda: ops.Hadamard((1, 4, 6), 1.0),
    "decimation": lambda: ops.CircularDecimation((1, 8, 12), 2, gaussian(5, 1.0)),
    "decimation-three": lambda: ops.CircularDecimation((2, 9, 9), 3, kernel(5, 4)),
    "decimation-plain": lambda: ops.CircularDecimation((1, 8, 8), 4, torch.ones(1, 1, dtype=torch.float64)),
    "decimation-reflect": lambda: ops.decimation((2, 9, 7), 2, gaussian(3, 0.7)),
    "decimation-separable": lambda: ops.SeparableDecimation((2, 9, 7), 2, gaussian(5, 0.9)),
    "decimation-skew": lambda: ops.decimation((1, 8, 9), 2, peaked(3, 4)),
    "resize": lambda: ops.Resize((2, 9, 11), (4, 5)),
    "resize-larger": lambda: ops.Resize((1, 5, 6), (7, 11), None, "bicubic", "skimage"),
    "jpeg": lambda: ops.JPEG((3, 9, 13)),
    "jpeg-turned": lambda: ops.JPEG((3, 10, 7), ((1, 1), (1, 2), (1, 2)), orientation=6),
    "jpeg-grey": lambda: ops.JPEG((1, 8, 9), ((1, 1),), "none", 3),
    "jpeg-after": lambda: ops.JPEGAfter((3, 16, 20), ops.JPEG((3, 8, 10)), ops.BlockAverage((3, 16, 20), 2)),
    "decimate": lambda: ops.Decimate((1, 7, 5), 3),
    "grey": lambda: ops.Grey((3, 6, 5)),
    "grey-four": lambda: ops.Grey((4, 3, 5), (0.5, 0.1, 0.2, 0.9)),
    "mosaic": lambda: ops.Mosaic.of((3, 5, 7), "grbg"),
    "mosaic-xtrans-colours": lambda: ops.Mosaic.of((3, 8, 9), "xtrans", kernel(3, 3) * 3 - 0.1),
    "hadamard": lambda: ops.Hadamard((1, 8, 8), 0.3),
    "hadamard-odd": lambda: ops.Hadamard((3, 7, 6), 0.5, seed=3),
    "compose": lambda: ops.Compose((3, 8, 6), ops.BlockAverage((1, 8, 6), 2), ops.Grey((3, 8, 6))),
    "stack": lambda: ops.Stack((3, 6, 4), (ops.Grey((3, 6, 4)), ops.BlockAverage((3, 6, 4), 2))),
    "weighted": lambda: ops.Weighted((2, 5, 6), ops.Identity((2, 5, 6)), 0.5 + mask(2, 5, 6)),
    "matrix": lambda: ops.Matrix((1, 3, 4), kernel(5, 12)),
    "matrix-tall": lambda: ops.Matrix((2, 2, 2), kernel(11, 8)),
    "phase": lambda: ops.PhaseRetrieval((1, 6, 5)),
    "saturate": lambda: ops.Saturate((3, 5, 6), 1.5),
    "decoded": lambda: ops.Decoded((4, 4, 3), ops.BlockAverage((1, 8, 6), 2), lambda z: F.pixel_shuffle(z, 2).tanh(), lambda x: F.pixel_unshuffle(x, 2)),
    "inpaint-bool": lambda: ops.Inpaint((1, 4, 5), mask(1, 4, 5) > 0),
    "saturate-blur": lambda: ops.ComposeNonlinear((1, 8, 8), ops.Saturate((1, 8, 8), 1.5), ops.CircularBlur((1, 8, 8), kernel(3, 3))),
}  # fmt: skip
