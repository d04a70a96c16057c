"""A sensor stops at black and at white: what it gives there says that the value is at most, or at least, that.

With z = (mean - stop) / sigma at white and its mirror image at black, phi and Phi the normal density and distribution:
-log p = -log Phi(z), score phi / (Phi sigma), information phi / Phi (phi / Phi + z) / sigma^2 (Tobin, "Estimation of
relationships for limited dependent variables", Econometrica 1958).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from restorekit.inference.likelihood import Gaussian
from restorekit.inference.sited import Sited

LEAST = 1e-6  # share of the information of a value that was measured; what says less counts as saying that
NEWTON = 30  # steps: each goes 1 / z further, and z is at most about 6


def hazard(z: Tensor) -> tuple[Tensor, Tensor]:
    """Return (r, r + z) of z of any shape, r = phi(z) / Phi(z): -r is the slope of -log Phi, r (r + z) its curvature.

    Right to about 1e-5 of each in float32 and 1e-10 in float64 however low z is, where r + z is a small difference.
    """
    r = math.sqrt(2 / math.pi) / torch.special.erfcx(-z / math.sqrt(2))
    far = 12.0 if z.dtype == torch.float32 else 50.0
    a = (-z).clamp(min=far)
    series = (1 - 2 / a**2 + 10 / a**4 - 74 / a**6) / a
    return r, torch.where(z < -far, series, r + z)


class _LogNormal(torch.autograd.Function):
    """log Phi with the slope by `hazard`: that of torch.special.log_ndtr is off by 0.4 % at -200 in float32."""

    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(z)
        return torch.special.log_ndtr(z)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:  # type: ignore[override]
        return g * hazard(ctx.saved_tensors[0])[0]


@dataclass(frozen=True, eq=False)
class Censored(Sited):
    """Gaussian noise on a sensor that stops: y = mean + sigma n, held between `black` and `white`.

    law: the noise before that, of any sigma that `Gaussian` takes. low and high, tensors of bool that broadcast to y, are True
    where y stopped at black and at white: what y holds there is not looked at, and any mean beyond the stop explains it.
    black and white are numbers, or tensors that broadcast to y. `of` finds low and high in y.

    Raises ValueError for another law, masks that are not bool or meet, and a black that is not below white.
    """

    law: Gaussian
    low: Tensor
    high: Tensor
    black: float | Tensor = 0.0
    white: float | Tensor = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.law, Gaussian):
            raise ValueError(f"only Gaussian noise is censored, got {type(self.law).__name__}")
        for name, at in (("low", self.low), ("high", self.high)):
            if not isinstance(at, Tensor) or at.dtype != torch.bool:
                raise ValueError(f"{name} says where y stopped; give a tensor of bool, as y >= 1")
        if not bool((torch.as_tensor(self.white) - torch.as_tensor(self.black) > 0).all()):  # False for NaN too
            raise ValueError("black must lie below white")
        if bool((self.low & self.high).any()):
            raise ValueError("a value stops at black or at white, and never at both")

    @classmethod
    def of(cls, y: Tensor, sigma: float | Tensor, black: float | Tensor = 0.0, white: float | Tensor = 1.0) -> Censored:
        """Return the law of a measurement y (B, ...) of noise `sigma`, stopped where it is at black or below, at white
        or above."""
        return cls(Gaussian(sigma), y <= black, y >= white, black, white)

    @property
    def title(self) -> str:
        return "clipped Gaussian noise"

    @property
    def unbiased(self) -> bool:
        """Return True: no value at a stop is taken for its mean, so that nothing has to be taken off."""
        return True

    @property
    def stopped(self) -> Tensor:
        """Return where y says only on which side its mean lies: bool, broadcasts to y."""
        return self.low | self.high

    def with_sigma(self, sigma: float | Tensor) -> Censored:
        """Return the law of other noise with the same stops."""
        return replace(self, law=Gaussian(sigma))

    def _beyond(self, mean: Tensor) -> tuple[Tensor, Tensor]:
        """Return (how far the mean is beyond the stop, like mean, of no meaning where there is none; 1 at white, -1
        elsewhere)."""
        black, white = (torch.as_tensor(v, dtype=mean.dtype, device=mean.device) for v in (self.black, self.white))
        return torch.where(self.high, mean - white, black - mean), torch.where(self.high, 1.0, -1.0).to(mean)

    def unit_nll(self, y: Tensor, mean: Tensor) -> Tensor:
        off = torch.where(self.stopped, 0.0, y - mean)
        z = torch.where(self.stopped, self._beyond(mean)[0], 0.0) / self.sigma
        return torch.where(self.stopped, -cast(Tensor, _LogNormal.apply(z)), 0.5 * (off / self.sigma) ** 2)

    def gradient(self, y: Tensor, mean: Tensor) -> Tensor:
        beyond, sign = self._beyond(mean)
        r = hazard(beyond / self.sigma)[0]
        return torch.where(self.stopped, -sign * r, (mean - y) / self.sigma) / self.sigma

    def information(self, mean: Tensor) -> Tensor:
        """Return the second derivative of -log p(y | mean) by the mean: 1 / sigma^2, and less at a stop, the less the
        further the mean is beyond it; never below `LEAST` of that."""
        r, more = hazard(self._beyond(mean)[0] / self.sigma)
        return torch.where(self.stopped, (r * more).clamp(LEAST, 1.0), 1.0) * self.law.information(mean)

    def site(self, y: Tensor, mean: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
        """Return (b, S): if mean + r n, r^2 = `spread`, is what is known before, y moves it as a value mean + b of
        Gaussian noise of variance S does.

        In closed form, as noise and spread add: z = beyond / (sigma^2 + r^2)^(1/2). Without spread it is the step of
        Fisher scoring and 1 over the information. All are like y.
        """
        beyond, sign = self._beyond(mean)
        own = 1 / self.law.information(mean)
        total = own + spread
        r, more = hazard(beyond / total.sqrt())
        told = (r * more).clamp(LEAST, 1.0)  # 1 - variance after / before, over r^2 / total
        variance = torch.where(self.stopped, total / told - spread, own)
        step = torch.where(self.stopped, sign * r * total.sqrt() / told, y - mean)
        return step, variance

    def expected(self, y: Tensor, mean: Tensor) -> Tensor:
        """Return y, (B, ...) like mean, with what is expected to be beyond each stop, if `mean` is right, in its place.

        It is mean + sigma r(z) at white: as a measurement without stops, it makes a step of expectation maximisation
        (Dempster, Laird, Rubin, J. R. Stat. Soc. B 1977) of any method for Gaussian noise.
        """
        beyond, sign = self._beyond(mean)
        return torch.where(self.stopped, mean + sign * self.sigma * hazard(beyond / self.sigma)[0], y)

    def perturbed(self, y: Tensor, z: Tensor) -> Tensor:
        """Return y with noise as large as its own; what stopped stays at its stop."""
        return torch.where(self.stopped, y, self.law.perturbed(y, z))

    def sample(self, mean: Tensor, generator: torch.Generator) -> Tensor:
        """Draw a measurement, held between black and white; where it stopped, `of` finds."""
        black, white = (torch.as_tensor(v, dtype=mean.dtype, device=mean.device) for v in (self.black, self.white))
        return self.law.sample(mean, generator).maximum(black).minimum(white)

    def prox(self, y: Tensor, v: Tensor, weight: float | Tensor) -> Tensor:
        """Return the proximal step, like v. At a stop it is the root of k (z - u) = r(z), u where v is beyond the
        stop, k = weight sigma^2, by Newton's method, which comes to it from below: r is convex."""
        plain = self.law.prox(y, v, weight)
        at = self.stopped.expand_as(plain)
        if not bool(at.any()):
            return plain
        beyond, sign = self._beyond(v)
        sigma, weights = (
            torch.as_tensor(t, dtype=v.dtype, device=v.device).expand_as(v)[at] for t in (self.sigma, weight)
        )
        u, k = beyond[at] / sigma, weights * sigma**2
        z = u
        for _ in range(NEWTON):
            r, more = hazard(z)
            z = z + (r - k * (z - u)) / (r * more + k)
        return plain.masked_scatter(at, v[at] + sign[at] * sigma * (z - u))
