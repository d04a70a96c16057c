"""The noise of an image sensor counts photons and is read out: variance gain * mean + read^2."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.inference.derived_laws import Moved
from restorekit.inference.likelihood import Likelihood, Poisson

NEAR = 0.05  # relative misfit below which a series stands in for a difference of near equals


@dataclass(frozen=True, eq=False)
class PoissonGaussian(Likelihood):
    """Noise of a sensor: y = gain * Poisson(mean / gain) + read * n, of variance gain * mean + read^2.

    `gain` is what one photon adds, above 0; `read` the standard deviation at black; both in the unit of y, white = 1.
    `sample` draws exactly so. The likelihood is that of shifted counts (Snyder, Hammoud and White, JOSA A 10, 1993),
    y + read^2 / gain ~ gain * Poisson((mean + read^2 / gain) / gain), whose mean and variance are the same at every
    mean, so that the score is right on average, the information is 1 / variance, and the proximal step is closed. It
    goes on as its tangent below a tenth of the measurement, both counted from -read^2 / gain. Take it where the noise
    grows with brightness; where it does not, take `Gaussian`. Raises ValueError for a gain or a read that cannot be.
    """

    gain: float
    read: float

    def __post_init__(self) -> None:
        if not (0 < self.gain < math.inf and 0 <= self.read < math.inf):
            raise ValueError(
                f"poisson-gaussian needs GAIN > 0 and READ >= 0, got {self.gain:g} and {self.read:g}; without a gain take "
                f"gaussian:{max(self.read, 0.001):g}"
            )

    @property
    def shift(self) -> float:
        """Return read^2 / gain: the light whose counts are as noisy as the reading."""
        return self.read**2 / self.gain

    @property
    def _counts(self) -> Moved:
        return Moved(Poisson(1 / self.gain), 1.0, self.shift)

    def variance(self, mean: Tensor) -> Tensor:
        """Return the variance of the noise, like mean (B, ...); below black it is that at black."""
        return self.gain * mean.clamp(min=0) + self.read**2

    def information(self, mean: Tensor) -> Tensor:
        return 1 / self.variance(mean).clamp(min=self.gain**2)  # as of one photon, where black is not read with noise

    def within(self, y: Tensor, mean: Tensor) -> Tensor:
        return torch.maximum(mean, self._least(y))

    def perturbed(self, y: Tensor, z: Tensor) -> Tensor:
        return y + self.variance(y) ** 0.5 * z

    def _least(self, y: Tensor) -> Tensor:
        """Return the mean below which the likelihood goes on as its tangent."""
        light = y + self.shift
        return torch.where(light > 0, 0.1 * light.clamp(min=0.01 * self.gain), 0.0) - self.shift

    def unit_nll(self, y: Tensor, mean: Tensor) -> Tensor:
        y = y.clamp(min=-self.shift)  # no counts
        held = torch.maximum(mean, self._least(y))
        light = (held + self.shift).clamp(min=1e-30)
        off = (y - held) / light  # at least -1
        near = torch.where(off.abs() < NEAR, off, 0.0)
        series = near**2 * (1 / 2 - near * (1 / 6 - near * (1 / 12 - near * (1 / 20 - near / 30))))
        far = torch.where(off.abs() < NEAR, 1.0, off)
        exact = torch.xlogy(1 + far, (1 + far).clamp(min=torch.finfo(y.dtype).tiny)) - far
        nll = light / self.gain * torch.where(off.abs() < NEAR, series, exact)
        slope = torch.where(y > -self.shift, (held - y) / (self.gain * light), 0.0)  # no counts: all below fits
        return nll + (mean - held).clamp(max=0) * slope

    def sample(self, mean: Tensor, generator: torch.Generator) -> Tensor:
        counts = Poisson(1 / self.gain).sample(mean, generator)
        return counts + self.read * torch.randn(mean.shape, generator=generator, dtype=mean.dtype).to(mean.device)

    def prox(self, y: Tensor, v: Tensor, weight: float | Tensor) -> Tensor:
        return self._counts.prox(y, v, weight)


@dataclass(frozen=True)
class Anscombe:
    """The transform that makes the noise of a sensor even: of deviation `level` at all brightness, black and white at 0
    and 1.

    f(y) = 2 sqrt(gain y + 3/8 gain^2 + read^2) / gain (Anscombe 1948, with read noise: Murtagh, Starck and Bijaoui
    1995), moved and scaled. The inverse of an estimate of E[f(y)] is the closed form of the exact unbiased one
    (Makitalo and Foi, "Optimal inversion of the generalized Anscombe transformation", IEEE TIP 22, 2013).
    """

    gain: float
    read: float

    def _root(self, y: Tensor) -> Tensor:
        inside = self.gain * y + 0.375 * self.gain**2 + self.read**2
        return 2 / self.gain * inside.clamp(min=0) ** 0.5

    @property
    def _ends(self) -> tuple[float, float]:
        black, white = self._root(torch.tensor([0.0, 1.0], dtype=torch.float64)).tolist()
        return black, white

    @property
    def level(self) -> float:
        """Return the standard deviation of the noise of f(y)."""
        black, white = self._ends
        return 1 / (white - black)

    def __call__(self, y: Tensor) -> Tensor:
        """Return f(y), like y of any shape."""
        black, _ = self._ends
        return (self._root(y) - black) * self.level

    def inverse(self, stable: Tensor) -> Tensor:
        """Return the mean whose measurements have this mean of f, like it."""
        black, _ = self._ends
        d = (stable / self.level + black).clamp(min=self._least)
        root = 1.5**0.5
        counts = 0.25 * d**2 + 0.25 * root / d - 1.375 / d**2 + 0.625 * root / d**3 - 0.125
        return self.gain * (counts - (self.read / self.gain) ** 2).clamp(min=0)

    @property
    def _least(self) -> float:
        """Return E[2 sqrt(y + 3/8)] of no counts, where the closed form begins."""
        return 2 * 0.375**0.5


def anscombe(law: Likelihood) -> Anscombe | None:
    """Return the transform that makes the noise of a law even; None where the law is not that of counts."""
    if isinstance(law, PoissonGaussian):
        return Anscombe(law.gain, law.read)
    return Anscombe(1 / law.peak, 0.0) if isinstance(law, Poisson) else None
