"""Noise laws made of other laws: in another unit, to a power, and of several sensors together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.inference.likelihood import Likelihood


@dataclass(frozen=True, eq=False)
class Moved(Likelihood):
    """`law` for measurements in another unit: offset + gain y follows it, with the mean offset + gain m."""

    law: Likelihood
    gain: float
    offset: float | Tensor = 0.0  # broadcasts to y

    def __post_init__(self) -> None:
        if not 0 < self.gain < math.inf:
            raise ValueError(f"gain={self.gain:g} must be above 0")

    @property
    def title(self) -> str:
        return self.law.title

    @property
    def unbiased(self) -> bool:
        return self.law.unbiased

    def centred(self, y: Tensor) -> Tensor:
        return (self.law.centred(self._back(y)) - self.offset) / self.gain

    def within(self, y: Tensor, mean: Tensor) -> Tensor:
        return (self.law.within(self._back(y), self._back(mean)) - self.offset) / self.gain

    def perturbed(self, y: Tensor, z: Tensor) -> Tensor:
        return (self.law.perturbed(self._back(y), z) - self.offset) / self.gain

    def _back(self, y: Tensor) -> Tensor:
        return self.offset + self.gain * y

    def unit_nll(self, y: Tensor, mean: Tensor) -> Tensor:
        return self.law.unit_nll(self._back(y), self._back(mean))

    def information(self, mean: Tensor) -> Tensor:
        return self.gain**2 * self.law.information(self._back(mean))

    def sample(self, mean: Tensor, generator: torch.Generator) -> Tensor:
        return (self.law.sample(self._back(mean), generator) - self.offset) / self.gain

    def prox(self, y: Tensor, v: Tensor, weight: float | Tensor) -> Tensor:
        return (self.law.prox(self._back(y), self._back(v), weight / self.gain**2) - self.offset) / self.gain


@dataclass(frozen=True, eq=False)
class Tempered(Likelihood):
    """A law raised to a power, p(y | mean)^weight, for values that together say less than independent ones would, as
    speckle whose grain is larger than a pixel; weight is then 1 over the sum of its correlations."""

    law: Likelihood
    weight: float

    def __post_init__(self) -> None:
        if not 0 < self.weight <= 1:
            raise ValueError(f"weight={self.weight:g} of a tempered likelihood must be above 0 and at most 1")

    @property
    def title(self) -> str:
        return self.law.title

    @property
    def positive(self) -> bool:
        return self.law.positive

    @property
    def unbiased(self) -> bool:
        return self.law.unbiased

    def centred(self, y: Tensor) -> Tensor:
        return self.law.centred(y)

    def unit_nll(self, y: Tensor, mean: Tensor) -> Tensor:
        return self.weight * self.law.unit_nll(y, mean)

    def information(self, mean: Tensor) -> Tensor:
        return self.weight * self.law.information(mean)

    def sample(self, mean: Tensor, generator: torch.Generator) -> Tensor:
        return self.law.sample(mean, generator)

    def prox(self, y: Tensor, v: Tensor, weight: float | Tensor) -> Tensor:
        return self.law.prox(y, v, weight / self.weight)


@dataclass(frozen=True, eq=False)
class Joint(Likelihood):
    """A `Stack` of sensors, each with its noise law: y and mean are (B, m1 + m2 + ...), split by `sizes`."""

    parts: tuple[Likelihood, ...]
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.parts) != len(self.sizes):
            raise ValueError(f"{len(self.parts)} noise laws for {len(self.sizes)} sensors")

    @property
    def unbiased(self) -> bool:
        return all(part.unbiased for part in self.parts)

    def centred(self, y: Tensor) -> Tensor:
        return torch.cat([part.centred(v) for part, v in zip(self.parts, y.split(self.sizes, -1))], -1)

    def within(self, y: Tensor, mean: Tensor) -> Tensor:
        pieces = zip(self.parts, y.split(self.sizes, -1), mean.split(self.sizes, -1))
        return torch.cat([part.within(a, b) for part, a, b in pieces], -1)

    def perturbed(self, y: Tensor, z: Tensor) -> Tensor:
        pieces = zip(self.parts, y.split(self.sizes, -1), z.split(self.sizes, -1))
        return torch.cat([part.perturbed(a, b) for part, a, b in pieces], -1)

    def unit_nll(self, y: Tensor, mean: Tensor) -> Tensor:
        pieces = zip(self.parts, y.split(self.sizes, -1), mean.split(self.sizes, -1))
        return torch.cat([part.unit_nll(a, b) for part, a, b in pieces], -1)

    def information(self, mean: Tensor) -> Tensor:
        return torch.cat([part.information(m) for part, m in zip(self.parts, mean.split(self.sizes, -1))], -1)

    def sample(self, mean: Tensor, generator: torch.Generator) -> Tensor:
        return torch.cat([part.sample(m, generator) for part, m in zip(self.parts, mean.split(self.sizes, -1))], -1)

    def prox(self, y: Tensor, v: Tensor, weight: float | Tensor) -> Tensor:
        pieces = zip(self.parts, y.split(self.sizes, -1), v.split(self.sizes, -1))
        weights = torch.as_tensor(weight).to(v).expand_as(v).split(self.sizes, -1)
        return torch.cat([part.prox(a, b, w) for (part, a, b), w in zip(pieces, weights)], -1)
