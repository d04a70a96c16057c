"""The types that everything else speaks: Problem, Denoiser, Solver, Step, Restoration."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from restorekit.errors import Unsupported
from restorekit.likelihood import Gaussian, Joint, Likelihood
from restorekit.operators.base import LinearOperator, Operator, SVDOperator
from restorekit.operators.combine import Weighted
from restorekit.operators.diagonal import Inpaint
from restorekit.schedule import log_uniform

LEAST = 2e-4  # the lowest noise level that a schedule ends at: a clean measurement counts as one of noise 1e-3


class Denoiser(Protocol):
    """E[x0 | x = x0 + sigma n], n ~ N(0, I): all that a solver knows of a prior.

    x is (B, C, H, W) in the prior's domain (pictures: [0, 1]); sigma, in the same unit, is a float or a (B,) tensor.
    """

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor: ...


@runtime_checkable
class Latent(Protocol):
    """A prior of latents z of pictures x. A solver works on z, of which A(decode(z)) was measured; see `driver.restore`.

    z is (B, c, h, w), its deviation about 1, and sigma in that unit. x is (B, C, H, W), C as `for_bands` was told; encode
    takes any H and W, and what decode gives may be larger at the bottom and the right, if H or W cannot be had.
    """

    def for_bands(self, bands: int, /) -> Latent: ...
    def denoise(self, z: Tensor, sigma: float | Tensor, /) -> Tensor: ...
    def encode(self, x: Tensor, /) -> Tensor: ...
    def decode(self, z: Tensor, /) -> Tensor: ...


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


def _fits(shape: Sequence[int], y: Sequence[int]) -> bool:
    """Whether a tensor of this shape broadcasts to y without making it larger."""
    padded = (1,) * (len(y) - len(shape)) + tuple(shape)
    return len(padded) == len(y) and all(a in (1, b) for a, b in zip(padded, y))


@dataclass(frozen=True, eq=False)
class Problem:
    """A measurement y of shape (B, ...), how it came about (`operator`) and its noise (`likelihood`).

    `mask`, broadcastable to y, is 1 where y is valid and 0 where it is to be ignored.
    """

    y: Tensor
    operator: Operator
    likelihood: Likelihood
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        law, a = self.likelihood, self.operator
        # What a file holds behind the mask was not measured; a mask times it is 0. A y of another shape is refused later.
        if isinstance(a, Inpaint) and _fits(a.mask.shape, self.y.shape):
            object.__setattr__(self, "y", torch.where(a.mask.to(self.y.device) > 0, self.y, 0.0))
        if isinstance(law, Gaussian) and not _fits(torch.as_tensor(law.sigma).shape, self.y.shape):
            raise ValueError(f"sigma of shape {tuple(law.sigma.shape)} does not fit y {tuple(self.y.shape)}")  # type: ignore[union-attr]
        if self.mask is None:
            return
        if not _fits(self.mask.shape, self.y.shape):
            raise ValueError(f"mask {tuple(self.mask.shape)} does not fit y {tuple(self.y.shape)}")
        if not bool(((self.mask == 0) | (self.mask == 1)).all()):
            raise ValueError("a mask of a measurement holds 0 and 1; for weights give the noise as sigma per pixel")
        object.__setattr__(self, "mask", self.mask.to(self.y.dtype))
        # What is ignored must not leak into the first estimate, nor a NaN into a product with 0: it becomes the mean.
        valid = (self.mask > 0).expand_as(self.y)
        kept = torch.where(valid, self.y, 0.0)
        axes = tuple(range(1, self.y.ndim))
        level = kept.sum(axes, keepdim=True) / valid.sum(axes, keepdim=True).clamp(min=1)
        object.__setattr__(self, "y", torch.where(valid, self.y, level))

    def estimate(self) -> Tensor:
        """A crude picture (B, C, H, W) to start from, the mean of the noise taken off."""
        return self.operator.estimate(self.likelihood.centred(self.y))

    def nll(self, x: Tensor) -> Tensor:
        """-log p(y | x) per picture, up to a constant of y: (B, C, H, W) -> (B,)."""
        terms = self.likelihood.unit_nll(self.y, self.operator(x))
        terms = terms if self.mask is None else terms * self.mask
        return terms.flatten(1).sum(1)

    def misfit(self, x: Tensor) -> float:
        """How far A x is from y, in deviations of the noise: 1, give or take, for a picture that explains it."""
        used = float(self.y.numel() if self.mask is None else self.mask.expand_as(self.y).sum())
        if isinstance(self.operator, Inpaint):
            used *= float((self.operator.mask > 0).float().mean())
        return float((2 * self.nll(x).sum() / max(used, 1.0)).sqrt())

    def least_squares(self, solver: str) -> tuple[LinearOperator, Tensor, float]:
        """(A, y, sigma_y) of an equal problem y = A x + sigma_y n: unequal noise and masks are folded into A and y.

        Raises `Unsupported` in the name of `solver` where the problem is not linear and Gaussian.
        """
        operator, sigma = self.linear(solver), self._sigma(solver)
        if isinstance(sigma, float) and self.mask is None:
            return operator, self.y, sigma
        weight = (1.0 if self.mask is None else self.mask) / torch.as_tensor(sigma).to(self.y)
        return Weighted.of(operator, weight), weight * self.y, 1.0

    def linear(self, solver: str) -> LinearOperator:
        """The operator. Raises `Unsupported` in the name of `solver` where it is not linear."""
        if not isinstance(self.operator, LinearOperator):
            raise Unsupported(
                f"{solver} needs a linear operator, got {self.operator.title}; use `--solver dps`, daps, pnpdm or vds"
            )
        return self.operator

    def noise_level(self) -> float:
        """The standard deviation of the noise, a low value of it where it varies; for schedules."""
        law = self.likelihood
        if isinstance(law, Gaussian):
            return float(torch.as_tensor(law.sigma).min())
        try:
            return float(law.information(self.y).flatten().float().median() ** -0.5)
        except Unsupported:
            return 0.02

    def picture_noise(self) -> float:
        """The standard deviation of the noise in the unit of the picture: how closely its best measured part is known.

        The noise over the largest gain of the operator (four times it for means of 4x4 pixels, whose gain is 1/4), as many
        measurements of the same pixels together say more than each. Values are weighted by their own noise where it is
        given for each, none of them below the lowest 5 %. The gain of an operator that is not linear is taken for 1.
        """
        a = self.operator
        if not isinstance(a, LinearOperator):
            return self.noise_level()
        try:
            sigma = self._sigma("")
        except Unsupported:
            sigma = self.noise_level()
        if isinstance(sigma, Tensor):
            valid = torch.ones_like(self.y[:1]) if self.mask is None else self.mask[:1].expand_as(self.y[:1])
            kept = sigma.to(valid).expand_as(valid)[valid > 0]
            low = float(kept.kthvalue(1 + len(kept) // 20).values) if len(kept) else 1.0
            a, sigma = Weighted.of(a, valid * low / sigma.to(valid).clamp(min=low)), low
        return sigma / max(a.spectral_norm(self.y), torch.finfo(self.y.dtype).tiny)

    def last_level(self, share: float = 0.2, most: float = 0.01) -> float:
        """Where noise levels are to end: at a share of the noise in the picture, below which only the prior speaks.

        The last step of a sampler gives a mean, so that what spread is left at that level is lost: at 0.2 it is 2 % of the
        variance. `most`: detail of pictures is finer than much noise. Not below 2e-4: a clean measurement counts as one of noise 0.001.
        """
        return min(most, max(LEAST, share * self.picture_noise()))

    def _sigma(self, solver: str) -> float | Tensor:
        law = self.likelihood
        if isinstance(law, Gaussian):
            one = not isinstance(law.sigma, Tensor) or law.sigma.numel() == 1
            return float(law.sigma) if one else law.sigma  # type: ignore[return-value]
        if isinstance(law, Joint) and all(isinstance(part, Gaussian) for part in law.parts):
            sigmas = [
                torch.as_tensor(part.sigma).to(self.y).flatten() for part in law.parts if isinstance(part, Gaussian)
            ]
            if any(s.numel() not in (1, n) for s, n in zip(sigmas, law.sizes)):
                raise ValueError("in a Joint law a sigma is a number or one value per measured value, flattened")
            parts = [s.expand(n) for s, n in zip(sigmas, law.sizes)]
            return torch.cat(parts)
        raise Unsupported(f"{solver} needs Gaussian noise, got {law.title}; use `--solver dps` or daps")

    def spectral(self, solver: str) -> tuple[SVDOperator, float]:
        """(A, sigma_y) for solvers that work on singular values. Raises `Unsupported` where there are none."""
        operator, _, sigma = self.least_squares(solver)
        if isinstance(operator, SVDOperator):
            return operator, sigma
        kind = self.operator.title if operator is self.operator else "unequal noise or a mask"
        raise Unsupported(f"{solver} needs an operator with an SVD, got {kind}; use `--solver diffpir` or `dps`")


class Step(NamedTuple):
    """What a solver yields after each noise level: the new state, the clean estimate, and the level just used."""

    x: Tensor
    x0: Tensor
    sigma: float


@dataclass(frozen=True, eq=False)
class Solver(ABC):
    """Settings are the fields; the call is the algorithm, a generator of one `Step` per network call.

    `sigmas` falls and ends in 0, so the last state is the result. `problem.y` is never written to.
    """

    reference: ClassVar[str] = ""  # key in CITATIONS
    samples: ClassVar[bool] = True  # draws from (an approximation of) the posterior; False: returns one optimum
    exact: ClassVar[bool] = False  # meets y exactly, noise included: samples only of what is clean
    needs: ClassVar[str] = "any operator and noise law with a gradient"
    gradient: ClassVar[bool] = False  # one vector-Jacobian product per network call
    default_steps: ClassVar[int] = 50
    tunable: ClassVar[dict[str, tuple[float, float]]] = {}  # what `restorekit tune` searches: setting -> least, most

    @abstractmethod
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]: ...

    def start(self, problem: Problem, sigma: float, rng: Rng, begin: Tensor | None = None) -> Tensor:
        """The state at the first noise level: `begin` (B, C, H, W), or a crude estimate, plus noise of that level."""
        x = problem.estimate() if begin is None else begin
        return x + sigma * rng.normal(x)

    def check(self, problem: Problem) -> None:
        """Raise `Unsupported`, naming a way out, if this solver cannot treat the problem."""

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        """The solver's own noise levels, in units of a picture on [0, 1]."""
        return log_uniform(steps or self.default_steps, 10.0, problem.last_level())

    def calls(self, sigmas: Sequence[float]) -> int:
        """Network calls for a schedule: the NFE that the run must count."""
        return len(sigmas) - 1

    @property
    def products(self) -> int:
        """Vector-Jacobian products per network call, at most."""
        return int(self.gradient)

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
