"""A second opinion on whether light was blurred or the values of a file, by pictures with sharp edges in place of smooth ones.

A smooth picture explains what a long kernel did to line art and to fine texture badly either way, and which way is less bad says
little (`restorekit.blind.response`). Differences d of neighbours have heavy tails in photographs: 2 k log(1 + d^2 / (2 k s^2)), that
of Student's t, costs what d^2 / s^2 does where they are small, and little more where there is an edge. It is minimised by weights
that are found anew at each step (iteratively reweighted least squares: Black and Rangarajan, IJCV 19, 1996).

No such law is that of every picture, and of scanned pages and gravel it favours values that were never blurred. So what the file says
is compared with what files say that are made of the two pictures found, one by a blur of values and one by a blur of light: a test
of models that do not contain each other (Cox, Proc. 4th Berkeley Symp., 1961), the distributions by a draw (Williams, Biometrics 26, 1970).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from restorekit.blind.response import DARK, FAR, SHORTER, SPAN, STEEP
from restorekit.operators import FreeBlur, conjugate_gradients
from restorekit.operators.coded import LightCurve, decoded_by, encoded_by, slope_by
from restorekit.operators.transforms import fast_length

LEVEL = 0.01  # least noise of values that the fits allow for, as in `LEAST` there
TAIL = 0.5  # k
SHARPER = 0.53  # s over the slope that smooth pictures are given
# Steps, each with its own weights, and the share by which one has to improve the fit: a fit that ends too early decides by where it began.
STEPS, ENOUGH = 40, 1e-4
ITERATIONS, CLOSE = 150, 3e-4  # of conjugate gradients, and where they end
LEAST_SAID = 0.02  # of a value, below which both are as good, and a camera blurs light
NEAR = 0.5  # of the way between the two, by which a file may be off the one whose values were blurred
Fitted = tuple[Tensor, float, float]  # x, what is lost, and the misfit of y in deviations of the noise
Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class _SharpFit:
    """It fits pictures with edges, of values, to y (1, C, h, w), of which `told`, 1 or 0, says what counts."""

    y: Tensor
    told: Tensor
    blur: FreeBlur
    sigma: float
    s: float

    def _tails(self, x: Tensor, d: int) -> Tensor:
        return torch.diff(x, dim=d).square() / (2 * TAIL * self.s**2)

    def _lost(self, x: Tensor, mean: Tensor) -> float:
        off = (self.told * (self.y - mean)).square().sum() / self.sigma**2
        edges = sum((2 * TAIL * torch.log1p(self._tails(x, d))).sum() for d in (-1, -2))
        return float((off + edges) / self.told.sum())

    def _solved(self, x: Tensor, forward: Forward, back: Forward, y: Tensor) -> Tensor:
        """Return the minimum of the fit of y by a linear `forward`, whose adjoint is `back`, with the weights that x has."""
        a, (h, w) = 1 / self.sigma**2, self.blur.image_shape[1:]
        weights = {d: 1 / (self.s**2 * (1 + self._tails(x, d))) for d in (-1, -2)}
        grid = [fast_length(n) for n in (h, w)]
        waves = [2 - 2 * torch.cos(2 * torch.pi * torch.arange(n, dtype=x.dtype) / n) for n in grid]
        mean = torch.cat([v.flatten() for v in weights.values()]).mean()
        rough = mean * (waves[0][:, None] + waves[1][None, : grid[1] // 2 + 1])
        inverse = 1 / (a * torch.fft.rfft2(self.blur.kernel, s=grid).abs() ** 2 + rough + 1e-3)

        def normal(v: Tensor) -> Tensor:
            total = a * back(self.told * forward(v))
            for d, weight in weights.items():
                step, n = weight * torch.diff(v, dim=d), v.shape[d]
                total.narrow(d, 0, n - 1).sub_(step)
                total.narrow(d, 1, n - 1).add_(step)
            return total

        def nearly(r: Tensor) -> Tensor:
            return torch.fft.irfft2(torch.fft.rfft2(r, s=grid) * inverse, s=grid)[..., :h, :w]

        return conjugate_gradients(normal, a * back(self.told * y), x, nearly, ITERATIONS, CLOSE)

    def _fitted(self, mean: Forward, step: Forward) -> Fitted:
        """Take steps x -> `step`(x), each as long as it helps, as long as they do."""
        x = self.blur.estimate(self.y)
        least = self._lost(x, mean(x))
        for _ in range(STEPS):
            there, before = step(x), least
            for length in SHORTER:
                moved = torch.lerp(x, there, length).clamp(*SPAN)
                if (lost := self._lost(moved, mean(moved))) < least:
                    x, least = moved, lost
                    break
            if before - least < ENOUGH * before:
                break
        missed = (self.told * (self.y - mean(x))).square().sum() / self.told.sum()
        return x, least, float(missed.sqrt()) / self.sigma

    def of_values(self) -> Fitted:
        """Fit a picture whose values were blurred."""
        return self._fitted(self.blur, lambda x: self._solved(x, self.blur, self.blur.adjoint, self.y))

    def of_light(self, curve: LightCurve) -> Fitted:
        """Fit a picture whose light was blurred, by steps of Gauss-Newton."""

        def mean(x: Tensor) -> Tensor:
            return coded_blur(x, self.blur, curve)

        def step(x: Tensor) -> Tensor:
            light = decoded_by(curve, x)
            seen = self.blur(light)
            outer, inner = slope_by(curve, seen.clamp(min=DARK)), 1 / slope_by(curve, light)

            def forward(v: Tensor) -> Tensor:
                return outer * self.blur(inner * v)

            def back(v: Tensor) -> Tensor:
                return inner * self.blur.adjoint(outer * v)

            return self._solved(x, forward, back, self.y - encoded_by(curve, seen) + forward(x))

        return self._fitted(mean, step)


def coded_blur(x: Tensor, blur: FreeBlur, curve: LightCurve) -> Tensor:
    """Return values (1, C, h, w) of a file of a picture x of values whose light was blurred."""
    return encoded_by(curve, blur(decoded_by(curve, x)))


def sharp_pictures_say_values(y: Tensor, kernel: Tensor, curve: LightCurve, told: Tensor) -> bool:
    """Return True where pictures with edges say that the values y (1, C, H, W) of a file were blurred, and not their light by `curve`.

    kernel (h, w). told: (1, C, H, W), False where a value is at a limit, or was not measured. False where the kernel does not
    explain the values. It takes seconds for 128x128 pixels.
    """
    y, kernel, told = y.double(), kernel.double(), told.double()
    a, b, c, d = (y[..., i::2, j::2][..., : y.shape[2] // 2, : y.shape[3] // 2] for i in (0, 1) for j in (0, 1))
    noise = float((a - b - c + d).abs().median()) / (2 * 0.6745)  # of the finest detail
    level, step = max(noise, LEVEL), float(torch.diff(y, dim=-1).square().mean().sqrt())
    blur = FreeBlur.of((y.shape[1], y.shape[2], y.shape[3]), kernel)
    fit = _SharpFit(y, told, blur, level, SHARPER * STEEP * max(step, 2 * level))
    values, lost, misfit = fit.of_values()
    if misfit > FAR:
        return False
    light, least, _ = fit.of_light(curve)
    if (said := least - lost) < LEAST_SAID:
        return False
    added = noise * torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=y.dtype)
    if_values, if_light = (
        made.of_light(curve)[1] - made.of_values()[1]
        for made in (replace(fit, y=mean + added) for mean in (blur(values), coded_blur(light, blur, curve)))
    )
    return abs(said - if_values) < NEAR * (if_values - if_light)
