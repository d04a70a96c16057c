"""A blurred picture says itself what lies beyond its frame, by how well each assumption explains its edges.

A photograph shows what lies beyond its frame; a simulation mirrors it or wraps it around. Where that is wrongly
assumed, ripples run in from the edges, and the edges are rougher than they were restored with nothing assumed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.operators import CircularBlur, FreeBlur, LinearOperator, ReflectBlur, conjugate_gradients
from restorekit.operators.blur import Boundary
from restorekit.operators.transforms import fast_length

LARGEST = 512 * 512  # pixels; of larger pictures the edges are so small a part that nothing is gained
AROUND = 1.25  # more energy at the edges than this no picture has that was made on a torus, and all have that were not


def _rough(x: Tensor, around: bool) -> Tensor:
    """Return -(Laplacian of x), at the edges mirrored or around."""
    total = torch.zeros_like(x)
    for axis in (-1, -2):
        last = x.narrow(axis, 0, 1) if around else x.narrow(axis, -1, 1)
        slope = torch.diff(x, dim=axis, append=last)
        before = slope.narrow(axis, -1, 1) if around else torch.zeros_like(last)
        total = total - torch.diff(slope, dim=axis, prepend=before)
    return total


@dataclass(frozen=True, eq=False)
class _Smooth:
    """It solves argmin_x |y - A x|^2 / sigma_y^2 + |grad x|^2 / slope^2: a picture that is good enough to look at its
    edges."""

    y: Tensor
    sigma_y: float
    slope: float

    def __call__(self, operator: CircularBlur | ReflectBlur | FreeBlur) -> Tensor:
        a, b, around = 1 / self.sigma_y**2, 1 / self.slope**2, isinstance(operator, CircularBlur)
        h, w = operator.image_shape[1:]
        grid = (h, w) if around else [fast_length(n) for n in (h, w)]
        waves = [2 - 2 * torch.cos(2 * torch.pi * torch.arange(n, dtype=self.y.dtype) / n) for n in grid]
        rough = waves[0][:, None] + waves[1][None, : grid[1] // 2 + 1]
        inverse = 1 / (a * torch.fft.rfft2(operator.kernel, s=grid).abs() ** 2 + b * rough + 1e-3)

        def nearly(r: Tensor) -> Tensor:
            return torch.fft.irfft2(torch.fft.rfft2(r, s=grid) * inverse, s=grid)[..., :h, :w]

        return conjugate_gradients(
            lambda x: a * operator.adjoint(operator(x)) + b * _rough(x, around), a * operator.adjoint(self.y),
            operator.estimate(self.y), nearly, 80, 1e-3,
        )  # fmt: skip

    def energy(self, operator: LinearOperator, x: Tensor, edge: Tensor) -> float:
        """Return the part of what is minimised that belongs to the pixels of `edge` (H, W)."""
        inside = operator.inside(x)
        slopes = [torch.diff(inside, dim=d, append=inside.narrow(d, -1, 1)) ** 2 for d in (-1, -2)]
        each = (self.y - operator(x)) ** 2 / self.sigma_y**2 + sum(slopes) / self.slope**2
        return float(each[..., edge].sum())


def _slope(y: Tensor, sigma_y: float) -> float:
    """Return what `_Smooth` takes for the deviation of pictures like y (1, C, H, W) from one pixel to the next."""
    return 1.5 * max(float(torch.diff(y, dim=-1).square().mean().sqrt()), 2 * sigma_y)


def boundary_of(y: Tensor, kernel: Tensor, sigma_y: float, excess: float = 0.012) -> Boundary:
    """Return `free`, unless the edges of y (1, C, H, W) are explained as well by another assumption.

    As well: with hardly more energy at the edges than free ones give. Mirrored ones, which are nearly true of
    photographs with quiet edges: with at most `excess` more than on a picture made so, as there always is a little.
    That lies between simulated pictures (below, but for some with straight motion) and photographs (above).
    """
    y, kernel = y.double(), kernel.double()
    h, w = kernel.shape
    if y[0, 0].numel() > LARGEST or any(3 * k > n for k, n in zip(kernel.shape, y.shape[-2:])):
        return "free"
    edge = torch.ones(y.shape[-2:], dtype=torch.bool, device=y.device)
    edge[h:-h, w:-w] = False
    slope = _slope(y, sigma_y)
    shape = (y.shape[1], y.shape[2], y.shape[3])
    free, reflect, circular = FreeBlur.of(shape, kernel), ReflectBlur(shape, kernel), CircularBlur(shape, kernel)

    def ratio(seen: Tensor, operators: list[CircularBlur | ReflectBlur]) -> Iterator[tuple[float, Tensor]]:
        smooth = _Smooth(seen, sigma_y, slope)
        least = smooth.energy(free, smooth(free), edge)
        for operator in operators:
            x = smooth(operator)
            yield smooth.energy(operator, x, edge) / least, x

    found = ratio(y, [reflect, circular])
    mirrored, x = next(found)
    if mirrored < AROUND:
        noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=y.dtype).to(y.device)
        if mirrored - next(ratio(reflect(x) + sigma_y * noise, [reflect]))[0] < excess:
            return "reflect"
    return "circular" if next(found)[0] < AROUND else "free"
