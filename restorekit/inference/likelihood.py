"""Noise laws p(y | mean) are written as unit deviances and dispersions, in the terms of generalised linear models.

`nll = unit deviance / (2 dispersion)`, zero at a perfect fit. All functions work element by element; sums over a
picture are taken by `Problem`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from restorekit.errors import Unsupported

if TYPE_CHECKING:
    from typing_extensions import Self


def _poisson(rate: Tensor, generator: torch.Generator) -> Tensor:
    return torch.poisson(rate.cpu(), generator=generator).to(rate)


def _gamma(shape: float, like: Tensor, generator: torch.Generator) -> Tensor:
    """Return Gamma(shape, mean 1) numbers, reproducible from the generator alone (torch's own gamma takes none)."""
    import numpy as np

    seed = int(torch.randint(2**62, (1,), generator=generator))
    draws = np.random.Generator(np.random.Philox(seed)).gamma(shape, 1 / shape, tuple(like.shape))
    return torch.as_tensor(draws).to(like)


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return `value` with `change` made to each tensor in it: of a law, its parts and tuples of them."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(_mapped(v, change) for v in value)
    return value.map_tensors(change) if isinstance(value, Likelihood) else value


@dataclass(frozen=True, eq=False)
class Likelihood(ABC):
    """A noise law p(y | mean), whose y and mean have one shape (B, ...), `mean` being the noise-free measurement A x."""

    @property
    def title(self) -> str:
        """Return the name that messages use for this law."""
        return type(self).__name__

    def map_tensors(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Return the same law with `change` made to every tensor that it holds as a setting, of any shape; itself where it
        holds none."""
        settings = {f.name: getattr(self, f.name) for f in fields(self)} if is_dataclass(self) else {}
        changed = {name: _mapped(value, change) for name, value in settings.items()}
        changed = {name: value for name, value in changed.items() if value is not settings[name]}
        return replace(self, **changed) if changed else self

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Return the law with its tensors on another device, floating ones in another dtype; arguments as of `Tensor.to`."""

        def move(v: Tensor) -> Tensor:
            there = v.to(*args, **kwargs)
            return there if v.is_floating_point() else there.to(v.dtype)

        return self.map_tensors(move)

    @property
    def positive(self) -> bool:
        """Return True where a mean must be above 0."""
        return False

    @property
    def unbiased(self) -> bool:
        """Return True where E[y] = mean, so that the likeliest mean of each value is right on average."""
        return True

    def centred(self, y: Tensor) -> Tensor:
        """Return y (B, ...) less what the noise adds to it on average, so that its mean is `mean`; y itself where the law
        is unbiased."""
        return y

    def within(self, y: Tensor, mean: Tensor) -> Tensor:
        """Return `mean`, (B, ...) like y, or a tenth of y where it must be positive and is not: an estimate of an early
        step is no intensity."""
        return torch.maximum(mean, 0.1 * y) if self.positive else mean

    def perturbed(self, y: Tensor, z: Tensor) -> Tensor:
        """Return y with noise as large as its own, z white, like y; positive values stay so (log-normal), and 0 is 0."""
        sd = self.information(y) ** -0.5
        if not self.positive:
            return y + sd * z
        ratio = (sd / y.clamp(min=torch.finfo(y.dtype).tiny)).clamp(max=1e6)
        spread = torch.log1p(ratio.square())  # the variance of ln(y) that gives y this deviation
        return y * (spread.sqrt() * z - 0.5 * spread).exp()

    @abstractmethod
    def unit_nll(self, y: Tensor, mean: Tensor) -> Tensor:
        """Return -log p(y | mean) + log p(y | mean = y), per value (B, ...), >= 0."""

    @abstractmethod
    def sample(self, mean: Tensor, generator: torch.Generator) -> Tensor:
        """Draw a noisy measurement of `mean`, like it, from `generator` alone."""

    def gradient(self, y: Tensor, mean: Tensor) -> Tensor:
        """Return d nll / d mean, per value (B, ...), by autograd."""
        with torch.enable_grad():
            leaf = mean.detach().requires_grad_(True)
            return torch.autograd.grad(self.unit_nll(y, leaf).sum(), leaf)[0]

    def information(self, mean: Tensor) -> Tensor:
        """Return the Fisher information about the mean, per value (B, ...): 1 / variance of the noise there. Raises
        `Unsupported` if unknown."""
        raise Unsupported(f"{type(self).__name__} does not say how noisy it is; use `solver=dps`")

    def prox(self, y: Tensor, v: Tensor, weight: float | Tensor) -> Tensor:
        """Return argmin_x nll(y, x) + (weight / 2) (x - v)^2, per value; one weight, or one each. Raises `Unsupported`
        without a closed form."""
        raise Unsupported(f"{type(self).__name__} noise has no closed proximal step; use `solver=dps`")


@dataclass(frozen=True, eq=False)
class Gaussian(Likelihood):
    """Gaussian noise: y = mean + sigma n. sigma > 0 is a number, or a tensor that broadcasts to y (per band (C, 1, 1),
    per pixel)."""

    sigma: float | Tensor

    def __post_init__(self) -> None:
        if not isinstance(self.sigma, Real | Tensor):
            raise ValueError(
                f"sigma is a {type(self.sigma).__name__}; give a number, or a tensor: torch.as_tensor(sigma)"
            )
        s = torch.as_tensor(self.sigma)
        if not bool((s > 0).all()) or not bool(torch.isfinite(s).all()):
            raise ValueError(
                f"Gaussian noise needs sigma > 0, got {float(s.min()):g}; use 0.001 for a clean measurement"
            )

    def unit_nll(self, y: Tensor, mean: Tensor) -> Tensor:
        return 0.5 * ((y - mean) / self.sigma) ** 2

    def sample(self, mean: Tensor, generator: torch.Generator) -> Tensor:
        return mean + self.sigma * torch.randn(mean.shape, generator=generator, dtype=mean.dtype).to(mean.device)

    def information(self, mean: Tensor) -> Tensor:
        return (1 / torch.as_tensor(self.sigma, dtype=mean.dtype, device=mean.device) ** 2).expand_as(mean)

    def prox(self, y: Tensor, v: Tensor, weight: float | Tensor) -> Tensor:
        precision = 1 / torch.as_tensor(self.sigma, dtype=v.dtype, device=v.device) ** 2
        return (precision * y + weight * v) / (precision + weight)


@dataclass(frozen=True, eq=False)
class Poisson(Likelihood):
    """Counts: peak * y ~ Poisson(peak * mean), y in picture units, `peak` counts at y = 1. Below 0.1 % of y its
    tangent takes over."""

    peak: float
    positive = True  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if not 0 < self.peak < math.inf:
            raise ValueError(f"Poisson noise needs a peak > 0 (counts at white), got {self.peak:g}")

    def unit_nll(self, y: Tensor, mean: Tensor) -> Tensor:
        count, rate = self.peak * y.clamp(min=0), self.peak * mean
        floor = torch.where(count > 0, torch.maximum(1e-3 * count, torch.full_like(count, 1e-3)), 0.0)
        held = torch.maximum(rate, floor)
        nll = torch.xlogy(count, count.clamp(min=1e-30)) - torch.xlogy(count, held.clamp(min=1e-30)) - count + held
        slope = torch.where(count > 0, 1 - count / floor.clamp(min=1e-30), 0.0)  # no counts: any rate <= 0 fits
        return nll + (rate - held).clamp(max=0) * slope

    def sample(self, mean: Tensor, generator: torch.Generator) -> Tensor:
        return _poisson((self.peak * mean).clamp(min=0), generator) / self.peak

    def information(self, mean: Tensor) -> Tensor:
        return self.peak / mean.clamp(min=1 / self.peak)

    def prox(self, y: Tensor, v: Tensor, weight: float | Tensor) -> Tensor:
        b, c = v - self.peak / weight, self.peak * y.clamp(min=0) / weight  # x^2 - b x - c = 0
        root = (b**2 + 4 * c).sqrt()
        return torch.where(b > 0, 0.5 * (b + root), 2 * c / (root - b).clamp(min=1e-30))  # no difference of near equals


@dataclass(frozen=True, eq=False)
class Gamma(Likelihood):
    """Speckle of `looks` looks, where E[intensity] is the underlying intensity.

    domain says what y and mean are: "intensity" I; "amplitude" sqrt(I) (Nakagami); "log" ln I. In the first two the
    likelihood is unbounded at 0 and a sampler passes through negative values: measurements are held at `floor` or
    above, and below a tenth of the measurement the likelihood goes on as its tangent.
    """

    looks: float
    domain: Literal["intensity", "amplitude", "log"] = "intensity"
    floor: float = 1e-3

    def __post_init__(self) -> None:
        if not 0 < self.looks < math.inf:
            raise ValueError(f"speckle needs looks > 0, got {self.looks:g}")
        if self.domain not in ("intensity", "amplitude", "log"):
            raise ValueError(f"domain={self.domain!r} is unknown; it is intensity, amplitude or log")

    @property
    def positive(self) -> bool:
        return self.domain != "log"

    @property
    def unbiased(self) -> bool:
        """Return True for intensities. E[ln y] is digamma(looks) - ln(looks) off, E[amplitude] Gamma(looks + 1/2) /
        (Gamma(looks) looks^(1/2)) low."""
        return self.domain == "intensity"

    def centred(self, y: Tensor) -> Tensor:
        n = torch.tensor(self.looks, dtype=torch.float64)
        if self.domain == "log":
            return y - float(torch.digamma(n) - n.log())
        return (
            y if self.domain == "intensity" else y / float((torch.lgamma(n + 0.5) - torch.lgamma(n)).exp() / n.sqrt())
        )

    def unit_nll(self, y: Tensor, mean: Tensor) -> Tensor:
        if self.domain == "log":
            d = y - mean
            return self.looks * (d.exp() - 1 - d)
        power = 2.0 if self.domain == "amplitude" else 1.0
        y = y.clamp(min=self.floor)
        held = torch.maximum(mean, 0.1 * y)
        d = power * (y.log() - held.log())
        slope = power * self.looks * (1 - (y / (0.1 * y)) ** power) / (0.1 * y)
        return self.looks * (d.exp() - 1 - d) + (mean - held).clamp(max=0) * slope

    def information(self, mean: Tensor) -> Tensor:
        if self.domain == "log":
            return torch.full_like(mean, self.looks)
        return self.looks * ((2.0 if self.domain == "amplitude" else 1.0) / mean.clamp(min=self.floor)) ** 2

    def sample(self, mean: Tensor, generator: torch.Generator) -> Tensor:
        return self.speckled(mean, _gamma(self.looks, mean, generator))

    def speckled(self, mean: Tensor, speckle: Tensor) -> Tensor:
        """Return `mean` under speckle of mean 1 that is drawn already, like `mean`."""
        if self.domain == "log":
            return mean + speckle.log()
        return mean * (speckle.sqrt() if self.domain == "amplitude" else speckle)

    def prox(self, y: Tensor, v: Tensor, weight: float | Tensor) -> Tensor:
        """Return the proximal step in the log domain, like v; raises `Unsupported` in others. t = s - v + looks /
        weight solves t e^t = e^z, z = y - v + looks / weight + ln(looks / weight): Wright's omega function, by
        Newton's method for t + ln t = z (Corless and Jeffrey, "The Wright omega function", 2002)."""
        if self.domain != "log":
            raise Unsupported(
                f"speckle in the {self.domain} domain has no convex proximal step; work in the log domain, or use `solver=diffpir`"
            )
        ratio = self.looks / torch.as_tensor(weight, dtype=v.dtype, device=v.device)
        z = y - v + ratio + ratio.log()
        t = torch.where(z > 1, z - z.clamp(min=1).log(), (z.clamp(max=1) - z.clamp(max=1).exp()).exp())
        for _ in range(6):  # quadratic, and concave: from the second step on from one side
            t = t * (1 + z - t.clamp(min=torch.finfo(t.dtype).tiny).log()) / (1 + t)
        s = v + (t - ratio)
        for _ in range(3):  # where looks / weight is large, s is a small difference of large numbers
            e = (y - s).clamp(max=80).exp()
            s = s - (self.looks * (1 - e) + weight * (s - v)) / (self.looks * e + weight)
        return s
