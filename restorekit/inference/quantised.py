"""A rounded value says in which bin the value lay before: between which two numbers.

With a and b the ends of the bin less the mean, over sigma: -log p = -log(Phi(b) - Phi(a)); with E and V the mean and the variance of
a standard normal variable that is held in [a, b], score E / sigma and information (1 - V) / sigma^2 (Heitjan, "Inference from
grouped continuous data: a review", Statistical Science 1989).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from restorekit.inference.likelihood import Gaussian
from restorekit.inference.sited import Sited

LEAST = 1e-6  # share of the information of a value that was not rounded; what says less counts as saying that
FAR = 200.0  # deviations from a bin beyond which the density within it falls as an exponential, to 2e-4
NARROW = 1e-2  # deviations, the width of a bin in which it does


class Held(NamedTuple):
    """A standard normal variable held in [a, b]: log(Phi(b) - Phi(a)), its mean, its variance and 1 less that."""

    log_mass: Tensor
    mean: Tensor
    variance: Tensor


def held(a: Tensor, b: Tensor) -> Held:
    """Return the moments of a standard normal variable in [a, b], a < b of any shape; right to about 2e-4 of each.

    In float64, which the result has too, where the device knows it. Far out they come from erfcx, which does not underflow, further
    and in narrow bins from an exponential density.
    """
    if a.device.type != "mps":
        a, b = a.double(), b.double()
    flip = a + b > 0  # then the mirror image, which lies below
    a, b = torch.where(flip, -b, a), torch.where(flip, -a, b)
    out = _near(a.clamp(min=-1e4), b.clamp(min=-FAR))
    edge = (b - a < NARROW) | (b < -FAR)
    out = Held(*(torch.where(edge, e, n) for e, n in zip(_exponential(a, b), out)))
    return out._replace(mean=torch.where(flip, -out.mean, out.mean))


def _near(a: Tensor, b: Tensor) -> Held:
    """Return the same by the densities at both ends, a + b <= 0."""
    root = math.sqrt(0.5)
    low = b <= 0
    fall = torch.exp(0.5 * (b - a) * (b + a))  # phi(a) / phi(b)
    tail = 0.5 * (torch.special.erfcx(-b.clamp(max=0) * root) - torch.special.erfcx(-a * root) * fall)
    middle = 0.5 * (torch.erf(b * root) - torch.erf(a * root))
    scale = torch.exp(-0.5 * b.clamp(min=0).square())
    mass = torch.where(low, tail, middle).clamp(min=torch.finfo(a.dtype).tiny)
    at_b = math.sqrt(0.5 / math.pi) * torch.where(low, torch.ones_like(b), scale) / mass  # phi(b) / (Phi(b) - Phi(a))
    at_a = at_b * torch.where(low, fall, torch.exp(0.5 * (b.square() - a.square()).clamp(max=0)))
    mean = at_a - at_b
    variance = 1 + a * at_a - b * at_b - mean.square()
    return Held(mass.log() - torch.where(low, 0.5 * b.square(), 0.0), mean, variance.clamp(0, 1))


def _exponential(a: Tensor, b: Tensor) -> Held:
    """Return the same where the density is about exponential, by its slope in the middle of a narrow bin, else at its nearer
    end: mean and variance by Langevin's function."""
    half = 0.5 * (b - a)
    off = torch.where(2 * half < NARROW, half, 0.0)
    at = b - off
    x = -at * half  # half of the exponent that the density falls by
    small = x.abs() < 0.05
    y = torch.where(small, torch.ones_like(x), x)
    langevin = torch.where(small, x / 3 - x**3 / 45, 1 / torch.tanh(y) - 1 / y)
    slope = torch.where(small, 1 / 3 - x**2 / 15, 1 / y.square() - 1 / torch.sinh(y.clamp(-300, 300)).square())
    share = torch.where(small, 1 - x * (1 - x * (2 / 3 - x / 3)), -torch.expm1(-2 * y) / (2 * y))
    log_mass = -at * (0.5 * at + off) + (2 * half * share / math.sqrt(2 * math.pi)).log()
    return Held(log_mass, b - half * (1 - langevin), half.square() * slope)


class _LogMass(torch.autograd.Function):
    """log(Phi(b) - Phi(a)) of a mean, (low - mean) / sigma to (high - mean) / sigma, with the slope by `held`."""

    @staticmethod
    def forward(ctx, mean: Tensor, low: Tensor, high: Tensor, sigma: Tensor) -> Tensor:  # type: ignore[override, no-untyped-def]
        at = held((low - mean) / sigma, (high - mean) / sigma)
        ctx.save_for_backward((at.mean / sigma).to(mean))
        return at.log_mass.to(mean)

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override, no-untyped-def]
        return gradients[0] * ctx.saved_tensors[0], None, None, None


@dataclass(frozen=True, eq=False)
class Quantised(Sited):
    """Gaussian noise, then rounding: y is the nearest of the values centre + k step to mean + sigma n.

    law: the noise before the rounding, of any sigma that `Gaussian` takes. step > 0 and centre are tensors that broadcast to y;
    centre is what was measured: the law knows the bin from it, and does not look at y. Take it for coefficients of a JPEG (a step
    for each), and for integers of few bits. Raises ValueError for another law and a step that is not above 0.
    """

    law: Gaussian
    step: Tensor
    centre: Tensor

    def __post_init__(self) -> None:
        if not isinstance(self.law, Gaussian):
            raise ValueError(f"only Gaussian noise is rounded, got {type(self.law).__name__}")
        if not all(isinstance(v, Tensor) for v in (self.step, self.centre)):
            raise ValueError("step and centre are tensors that broadcast to y; torch.as_tensor makes one of a number")
        if not bool((self.step > 0).all()):
            raise ValueError("a step must be above 0; take `Gaussian` for what was not rounded")

    @property
    def title(self) -> str:
        return "rounded Gaussian noise"

    @property
    def stopped(self) -> Tensor:
        """Return True for every value, broadcast to y: none says more than its bin."""
        return torch.ones_like(self.centre, dtype=torch.bool)

    @property
    def typical(self) -> float:
        """Return the root mean square deviation of a value from its mean where bins are all alike likely within."""
        own = torch.as_tensor(self.sigma).to(self.step).square()
        return float((own + self.step.square() / 12).mean().sqrt())

    def with_sigma(self, sigma: float | Tensor) -> Quantised:
        """Return the law of other noise with the same bins."""
        return replace(self, law=Gaussian(sigma))

    def _held(self, mean: Tensor, sigma: Tensor | float) -> Held:
        half = 0.5 * self.step
        return held((self.centre - half - mean) / sigma, (self.centre + half - mean) / sigma)

    def _sigma(self, like: Tensor) -> Tensor:
        return torch.as_tensor(self.sigma, dtype=like.dtype, device=like.device)

    def unit_nll(self, y: Tensor, mean: Tensor) -> Tensor:
        half, sigma = 0.5 * self.step, self._sigma(mean)
        best = held(-half / sigma, half / sigma).log_mass.to(mean)
        log_mass: Tensor = _LogMass.apply(mean, self.centre - half, self.centre + half, sigma)  # type: ignore[assignment]
        return (best - log_mass).expand_as(mean)

    def gradient(self, y: Tensor, mean: Tensor) -> Tensor:
        sigma = self._sigma(mean)
        return -(self._held(mean, sigma).mean / sigma).to(mean)

    def information(self, mean: Tensor) -> Tensor:
        """Return the second derivative of -log p(y | mean) by the mean, like it: 1 / sigma^2 far from the bin, less within;
        never below `LEAST` of that."""
        told = 1 - self._held(mean, self._sigma(mean)).variance
        return told.clamp(LEAST, 1.0).to(mean) * self.law.information(mean)

    def site(self, y: Tensor, mean: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
        """Return (b, S) as `Sited.site`. Where the spread is wider than the bin, b leads to its centre, and S is that of the
        noise and of the rounding, step^2 / 12; where it is narrower, and within, S is large."""
        own = (1 / self.law.information(mean)).double() if mean.device.type != "mps" else 1 / self.law.information(mean)
        total = own + spread
        at = self._held(mean, total.sqrt())
        told = (1 - at.variance).clamp(LEAST, 1.0)
        step = total.sqrt() * at.mean / told
        return step.to(mean), (own + total * (1 - told) / told).to(mean)

    def perturbed(self, y: Tensor, z: Tensor) -> Tensor:
        """Return y: what was rounded stays in its bin."""
        return y

    def sample(self, mean: Tensor, generator: torch.Generator) -> Tensor:
        """Draw values, each the centre of its bin."""
        noisy = self.law.sample(mean, generator)
        return self.centre + self.step * ((noisy - self.centre) / self.step).round()
