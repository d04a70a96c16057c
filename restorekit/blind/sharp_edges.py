"""A kernel of any form from the large edges of a picture: fast, and the start of what integrates the picture out.

    min_{x, k} |k * x - y|^2 + lambda |grad x|_0

in turn, from coarse scales to fine ones. x by half-quadratic splitting (Xu, Lu, Xu and Jia, ACM TOG 30, 2011; as a prior for
blind deblurring Xu, Zheng and Jia, CVPR 2013): g = grad x where that is above sqrt(lambda / beta), else 0, and x from both by FFTs, beta
growing until only edges above `LEAST_EDGE` are left. k >= 0 by least squares on grad y and g where all of the kernel lies on the
picture, by an accelerated projected gradient with restarts (O'Donoghue and Candes, Found. Comput. Math. 15, 2015). What is not a large edge is no part of
g, so no blur at all is not the best pair, as it is with priors of natural pictures (Levin et al., CVPR 2009).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy
import torch
from torch import Tensor

from restorekit.blind.kernel_forms import centred, without_noise
from restorekit.blind.pyramid import RATIO, Pyramid
from restorekit.blind.spectrum import Array
from restorekit.operators.transforms import fast_length

LEAST_EDGE = 0.05  # of the range, from one pixel to the next, from which on an edge says something
FAINT, ISLAND = 0.05, 0.1  # of the largest tap and of the sum, below which taps are noise
DECAY, LEAST_WEIGHT = 1.6, 1e-4  # of lambda from scale to scale, and its least
RIDGE = 2.0  # of the least squares of the kernel
DESCENTS = 80  # steps of those


@dataclass(frozen=True, eq=False)
class _Torus:
    """A picture y (H, W) at one scale, continued to a larger one that is smooth across its edges, for kernels (n, n)."""

    y: Tensor
    seen: Tensor
    n: int

    @cached_property
    def grid(self) -> tuple[int, int]:
        h, w = self.y.shape
        return fast_length(h + self.n + 2), fast_length(w + self.n + 2)

    @cached_property
    def slope(self) -> Tensor:
        """Return the spectra of differences to the next pixel, (2, H, W // 2 + 1)."""
        steps = torch.zeros(2, *self.grid)
        steps[:, 0, 0] = -1
        steps[0, 0, -1] = steps[1, -1, 0] = 1
        return torch.fft.rfft2(steps)

    @cached_property
    def measured(self) -> Tensor:
        """Return the spectrum of the picture."""
        return torch.fft.rfft2(_continued(_continued(self.y, self.grid[0]).T, self.grid[1]).T)

    @cached_property
    def inner(self) -> Tensor:
        """Return 1 where all that a pixel blurs to was measured and counts."""
        out, away = torch.zeros(self.grid), self.n // 2 + 1
        h, w = self.y.shape
        spoilt = torch.nn.functional.max_pool2d((1 - self.seen)[None, None], self.n, 1, self.n // 2)[0, 0]
        out[away : h - away, away : w - away] = (1 - spoilt)[away : h - away, away : w - away]
        return out

    def back(self, spectrum: Tensor) -> Tensor:
        return torch.fft.irfft2(spectrum, s=self.grid)

    def otf(self, kernel: Array) -> Tensor:
        placed, half = torch.zeros(self.grid), kernel.shape[0] // 2
        placed[: kernel.shape[0], : kernel.shape[1]] = torch.from_numpy(kernel)
        return torch.fft.rfft2(torch.roll(placed, (-half, -half), (0, 1)))

    def edges(self, otf: Tensor, weight: float, least: float) -> Tensor:
        """Return the gradient (2, H, W) of the sharp picture where it is an edge, 0 elsewhere."""
        right, power, rough = otf.conj() * self.measured, otf.abs() ** 2, (self.slope.abs() ** 2).sum(0)
        beta, g = 2 * weight, self.back(self.slope * self.measured)
        while beta < weight / least**2:
            g = torch.where((g**2).sum(0) < weight / beta, torch.zeros(()), g)
            x = (right + beta * (self.slope.conj() * torch.fft.rfft2(g)).sum(0)) / (power + beta * rough)
            g, beta = self.back(self.slope * x), 2 * beta
        return torch.where((g**2).sum(0) < least**2, torch.zeros(()), g)

    def kernel(self, g: Tensor, otf: Tensor, first: Array, ridge: float = RIDGE) -> Array:
        """Return the kernel (n, n) of at least 0 that makes the gradient of the picture of g; near the edges `otf` holds."""
        n, (h, w) = self.n, self.grid
        near = self.slope * self.measured - otf * torch.fft.rfft2(g * (1 - self.inner))
        inside = torch.fft.rfft2(g * self.inner)
        right = torch.roll(self.back((inside.conj() * near).sum(0)), (n // 2, n // 2), (0, 1))[:n, :n].double()
        lags, side = self.back((inside.abs() ** 2).sum(0)), fast_length(2 * n)
        at, placed = torch.arange(1 - n, n), torch.zeros(side, side, dtype=torch.float64)
        placed[(at % side)[:, None], at % side] = lags[(at % h)[:, None], at % w].double()
        return _least_squares(torch.fft.rfft2(placed), right, torch.from_numpy(first), ridge).numpy()


def _least_squares(known: Tensor, right: Tensor, first: Tensor, ridge: float) -> Tensor:
    """Return argmin_k k' (G + ridge) k / 2 - b' k, k >= 0, of a Toeplitz G whose spectrum on a torus twice as wide is `known`."""
    n, side = right.shape[0], known.shape[0]
    step = 1 / (float(known.real.max()) + ridge)
    k, z, t = first, first, 1.0
    for _ in range(DESCENTS):
        product = torch.fft.irfft2(known * torch.fft.rfft2(z, s=(side, side)), s=(side, side))[:n, :n]
        new = (z - step * (product + ridge * z - right)).clamp(min=0)
        after = (1 + math.sqrt(1 + 4 * t * t)) / 2
        if float(((z - new) * (new - k)).sum()) > 0:
            z, after = new, 1.0
        else:
            z = new + (t - 1) / after * (new - k)
        k, t = new, after
    return k


def _continued(y: Tensor, to: int) -> Tensor:
    """Return y (h, W) with rows added, `to` in all, from its last row to its first."""
    share = (torch.arange(to - len(y)) + 1.0)[:, None] / (to - len(y) + 1)
    share = (1 - torch.cos(math.pi * share)) / 2
    return torch.cat([y, (1 - share) * y[-1:] + share * y[:1]])


@dataclass(frozen=True, eq=False)
class SharpEdges:
    """It finds a kernel of any form, at most `size` pixels wide; `weight` is lambda at the coarsest scale, 3 pixels wide."""

    size: int = 31
    weight: float = 0.02
    turns: int = 5  # at each scale
    least: float = LEAST_EDGE
    ridge: float = RIDGE

    def __call__(self, pyramid: Pyramid) -> Array:
        """Return the kernel (n, n) of sum 1, its centre of mass in the middle."""
        size = min(self.size, *(n // 3 for n in pyramid.y.shape))
        steps = max(0, math.ceil(math.log(3 / size) / math.log(RATIO)))
        weight, kernel = self.weight, np.full((1, 2), 0.5)
        for step in range(steps, -1, -1):
            n = 2 * max(1, round((size * RATIO**step - 1) / 2)) + 1
            if step < steps:
                kernel = np.maximum(scipy.ndimage.zoom(np.pad(kernel, 1), 1 / RATIO, order=1, prefilter=False), 0)
            kernel, torus = centred(kernel, n), _Torus(*pyramid.at(RATIO**step), n)
            for _ in range(self.turns):
                otf = torus.otf(kernel)
                found = torus.kernel(torus.edges(otf, weight, self.least), otf, kernel, self.ridge)
                if found.max() > 0:
                    kernel = centred(without_noise(found, FAINT, FAINT, 0), n)
                weight = max(weight * DECAY ** (-1 / self.turns), LEAST_WEIGHT)
            kernel = without_noise(kernel, FAINT, FAINT, ISLAND)
        return centred(kernel, kernel.shape[0])
