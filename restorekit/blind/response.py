"""Light is blurred by a camera, the values of a file by a program: which of the two it was, the file itself says.

With a curve g, a smooth picture x of values explains a file y either as A x or as g(A g^-1(x)). Both fits minimise

    |y - h(x)|^2 / sigma^2 + |grad x|^2 / slope^2 ,

in the same unit, with the same noise and the same slope, the second one by Gauss-Newton steps; what is left differs by how
much better the one explains y than the other. Values at black and white are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.operators import FreeBlur, conjugate_gradients
from restorekit.operators.coded import LightCurve, decoded_by, encoded_by, slope_by
from restorekit.operators.transforms import fast_length

# Least noise of values that the fits allow for: coarse, so that rounding, JPEG and tone curves, of which neither knows, do not decide;
# and fine, so that a smooth picture does not. Both have to say the same.
LEAST = (0.01, 0.003)
FAR = 1.5  # deviations, by which blurred values are missed where the kernel is another; below 1.2 where it is right
STEPS, ITERATIONS = 12, 60  # of Gauss-Newton, each by conjugate gradients
DARK = 1e-3  # light below which the slope of a curve is taken as there
CLOSE = 1e-3  # share by which a step has to improve the fit, to be followed by another
SHORTER = (1.0, 0.4, 0.16, 0.064)  # lengths of a step that are tried
SPAN = (-0.05, 1.3)  # values of a picture
STEEP = 1.5  # deviation of a sharp picture from one pixel to the next, over that of a blurred one


def _rough(x: Tensor) -> Tensor:
    """Return G'G x, G the differences of neighbours in both directions."""
    total = torch.zeros_like(x)
    for d in (-1, -2):
        step, n = torch.diff(x, dim=d), x.shape[d]
        total.narrow(d, 0, n - 1).sub_(step)
        total.narrow(d, 1, n - 1).add_(step)
    return total


@dataclass(frozen=True, eq=False)
class _Fit:
    """It fits smooth pictures x (1, C, H, W) of values to y (1, C, h, w), of which `told`, 1 or 0, says what counts."""

    y: Tensor
    told: Tensor
    blur: FreeBlur
    sigma: float
    slope: float

    def lost(self, x: Tensor, mean: Tensor) -> float:
        """Return what is minimised, per value that counts, for a picture x that explains y as `mean`."""
        off = (self.told * (self.y - mean)).square().sum() / self.sigma**2
        edges = sum(torch.diff(x, dim=d).square().sum() for d in (-1, -2)) / self.slope**2
        return float((off + edges) / self.told.sum())

    def solved(
        self, x: Tensor, forward: Callable[[Tensor], Tensor], back: Callable[[Tensor], Tensor], y: Tensor
    ) -> Tensor:
        """Return the minimum of the fit of y by a linear `forward`, whose adjoint is `back`, iterated from x."""
        a, b = 1 / self.sigma**2, 1 / self.slope**2
        h, w = self.blur.image_shape[1:]
        grid = [fast_length(n) for n in (h, w)]
        waves = [2 - 2 * torch.cos(2 * torch.pi * torch.arange(n, dtype=x.dtype) / n) for n in grid]
        edges = waves[0][:, None] + waves[1][None, : grid[1] // 2 + 1]
        inverse = 1 / (a * torch.fft.rfft2(self.blur.kernel, s=grid).abs() ** 2 + b * edges + 1e-3)

        def nearly(r: Tensor) -> Tensor:
            return torch.fft.irfft2(torch.fft.rfft2(r, s=grid) * inverse, s=grid)[..., :h, :w]

        return conjugate_gradients(
            lambda v: a * back(self.told * forward(v)) + b * _rough(v), a * back(self.told * y), x, nearly, ITERATIONS, 1e-3,
        )  # fmt: skip

    def of_values(self) -> tuple[float, float]:
        """Return what is lost where the values were blurred, and the misfit of y in deviations of the noise."""
        x = self.solved(self.blur.estimate(self.y), self.blur, self.blur.adjoint, self.y)
        mean = self.blur(x)
        missed = (self.told * (self.y - mean)).square().sum() / self.told.sum()
        return self.lost(x, mean), float(missed.sqrt()) / self.sigma

    def of_light(self, curve: LightCurve) -> float:
        """Return what is lost where the light was blurred, by steps of Gauss-Newton, each as long as it helps."""

        def mean(x: Tensor) -> Tensor:
            return encoded_by(curve, self.blur(decoded_by(curve, x)))

        x = self.blur.estimate(self.y)
        least = self.lost(x, mean(x))
        for _ in range(STEPS):
            light, before = decoded_by(curve, x), least
            seen = self.blur(light)
            outer, inner = slope_by(curve, seen.clamp(min=DARK)), 1 / slope_by(curve, light)

            def forward(v: Tensor, outer: Tensor = outer, inner: Tensor = inner) -> Tensor:
                return outer * self.blur(inner * v)

            def back(v: Tensor, outer: Tensor = outer, inner: Tensor = inner) -> Tensor:
                return inner * self.blur.adjoint(outer * v)

            there = self.solved(x, forward, back, self.y - encoded_by(curve, seen) + forward(x))
            for length in SHORTER:
                moved = torch.lerp(x, there, length).clamp(*SPAN)
                if (lost := self.lost(moved, mean(moved))) < least:
                    x, least = moved, lost
                    break
            if before - least < CLOSE * before:
                break
        return least


def favours_values(y: Tensor, kernel: Tensor, curve: LightCurve, told: Tensor) -> float:
    """Return by how much more the values of a file explain it than their light: minus twice the difference of log
    probability per value, above 0 where values were blurred, below 0 where light was.

    y: values (1, C, H, W), coded by `curve`. kernel (h, w). told: (1, C, H, W), False where a value is at a limit,
    or was not measured. A sign alone is wrong now and then where a picture is so flat that it makes no difference. 0 where the kernel does not
    explain the values: of another one neither fit is right, and which is better says nothing.
    """
    y, kernel, told = y.double(), kernel.double(), told.double()
    a, b, c, d = (y[..., i::2, j::2][..., : y.shape[2] // 2, : y.shape[3] // 2] for i in (0, 1) for j in (0, 1))
    found = float((a - b - c + d).abs().median()) / (2 * 0.6745)  # noise, of the finest detail
    blur = FreeBlur.of((y.shape[1], y.shape[2], y.shape[3]), kernel)
    step = float(torch.diff(y, dim=-1).square().mean().sqrt())
    evidence = []
    for level in sorted({max(found, least) for least in LEAST}, reverse=True):
        fit = _Fit(y, told, blur, level, STEEP * max(step, 2 * level))
        lost, misfit = fit.of_values()
        if not evidence and misfit > FAR:
            return 0.0
        evidence.append(fit.of_light(curve) - lost)
        if evidence[-1] <= 0:
            break
    return min(evidence)
