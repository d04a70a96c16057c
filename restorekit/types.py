"""The types that everything else speaks: Problem, Denoiser, Solver, Step, Restoration."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from restorekit.likelihood import Likelihood
    from restorekit.operators.base import Operator



class Denoiser(Protocol):
    """E[x0 | x = x0 + sigma n], n ~ N(0, I): all that a solver knows of a prior.

    x is (B, C, H, W) in the prior's domain (pictures: [0, 1]); sigma, in the same unit, is a float or a (B,) tensor.
    """

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor: ...


class Rng:
    """One random stream per picture of a batch, so that a picture does not depend on its neighbours.

    Streams are drawn on the CPU and moved, so that every device sees the same numbers. Seed 0 is a seed like any other.
    """

    def __init__(self, seeds: Sequence[int]):
        self.generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]

    def normal(self, like: Tensor) -> Tensor:
        """Standard normal numbers of the shape, dtype and device of `like` (B, ...)."""
        if len(like) != len(self.generators):
            raise ValueError(f"this Rng has {len(self.generators)} streams, the batch has {len(like)} items")
        draws = [torch.randn(like.shape[1:], generator=g, dtype=like.dtype) for g in self.generators]
        return (draws[0][None] if len(draws) == 1 else torch.stack(draws)).to(like.device)


@dataclass(frozen=True, eq=False)
class Problem:
    """A measurement y of shape (B, ...), how it came about (`operator`) and its noise (`likelihood`).

    `mask`, broadcastable to y, is 1 where y is valid and 0 where it is to be ignored.
    """

    y: Tensor
    operator: Operator
    likelihood: Likelihood
    mask: Tensor | None = None

    def nll(self, x: Tensor) -> Tensor:
        """-log p(y | x) per picture, up to a constant of y: (B, C, H, W) -> (B,)."""
        terms = self.likelihood.unit_nll(self.y, self.operator(x))
        terms = terms if self.mask is None else terms * self.mask
        return terms.flatten(1).sum(1)


class Step(NamedTuple):
    """What a solver yields after each noise level: state, clean estimate, and the level just used."""

    x: Tensor
    x0: Tensor
    sigma: float


@dataclass(frozen=True, eq=False)
class Solver(ABC):
    """Settings are the fields; the call is the algorithm, a generator of one `Step` per noise level.

    `sigmas` falls and ends in 0. The last step's `x0` is the result. `problem.y` is never written to.
    """

    reference: ClassVar[str] = ""  # BibTeX of the paper
    samples: ClassVar[bool] = True  # draws from (an approximation of) the posterior; False: returns one optimum
    needs: ClassVar[str] = "any operator and likelihood with a gradient"

    @abstractmethod
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]: ...

    def start(self, problem: Problem, sigma: float, rng: Rng) -> Tensor:
        """The state at the first noise level: a crude estimate plus noise of that level."""
        x = problem.operator.estimate(problem.y)
        return x + sigma * rng.normal(x)

    def check(self, problem: Problem) -> None:
        """Raise `Unsupported`, naming a way out, if this solver cannot treat the problem."""

    def settings(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, eq=False)
class Restoration:
    """samples (N, C, H, W) in the prior's domain, with what is needed to make them again."""

    samples: Tensor
    nfe: int  # network calls per sample
    seconds: float
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def mean(self) -> Tensor:
        """(C, H, W): the estimate to show when there are several samples."""
        return self.samples.mean(0)

    @property
    def std(self) -> Tensor:
        """(C, H, W): per-pixel spread over the samples; the error bar. Needs at least two samples."""
        return self.samples.std(0)
