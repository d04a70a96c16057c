"""A problem is a measurement with its operator and its noise: what a solver is to explain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from restorekit.errors import BadInput, Unsupported
from restorekit.inference.derived_laws import Joint
from restorekit.inference.likelihood import Gaussian, Likelihood
from restorekit.inference.sited import Sited
from restorekit.operators.base import LinearOperator, Operator, SVDOperator
from restorekit.operators.combine import Weighted
from restorekit.operators.diagonal import Inpaint

CLEAN = 1e-3  # the noise of a clean measurement, in the unit of the picture: what has less counts as one of this
LEAST = 0.2 * CLEAN  # the lowest noise level that a schedule ends at


def _fits(shape: Sequence[int], y: Sequence[int]) -> bool:
    """Return True where a tensor of this shape broadcasts to y without making it larger."""
    padded = (1,) * (len(y) - len(shape)) + tuple(shape)
    return len(padded) == len(y) and all(a in (1, b) for a, b in zip(padded, y))


@dataclass(frozen=True, eq=False)
class Problem:
    """A measurement y of shape (B, ...), the operator A that it came through, and the law of its noise: y ~ p(y | A x).

    y is a floating tensor in the unit of the operator, its first axis the batch: (1, C, H, W) for one picture seen by an
    operator that gives pictures, (1, m) for one that gives m numbers. All measurements of a batch share operator and law;
    `restore` takes one of them, `restore_each` as many as there are.

    `mask`, broadcastable to y, is 1 where y is valid and 0 where it is to be ignored; what y holds there is replaced.

    Raises `BadInput` where y or the mask is no tensor, y is not floating, or operator and likelihood are something else;
    `ValueError` where a mask or a tensor of noise levels does not fit y. Noise given as a tensor takes the dtype of y.
    """

    y: Tensor
    operator: Operator
    likelihood: Likelihood
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        law, a = self.likelihood, self.operator
        for name, value in (("y", self.y), ("mask", self.mask)):
            if value is not None and not isinstance(value, Tensor):
                raise BadInput(
                    f"{name} is a {type(value).__name__}; make it a tensor (B, ...): torch.as_tensor({name})[None]"
                )
        if not self.y.is_floating_point():
            raise BadInput(
                f"y is {self.y.dtype}; make it floating, in the unit of the operator: y.float() / 255 for bytes"
            )
        if not isinstance(a, Operator) or not isinstance(law, Likelihood):
            raise BadInput(
                f"a Problem is y, an Operator and a Likelihood, got {type(a).__name__} and {type(law).__name__}"
            )
        if isinstance(law, Gaussian) and isinstance(law.sigma, Tensor) and law.sigma.dtype != self.y.dtype:
            law = Gaussian(law.sigma.to(self.y.dtype))
            object.__setattr__(self, "likelihood", law)
        if isinstance(law, Sited):
            law = self._as_y(law)
            object.__setattr__(self, "likelihood", law)
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

    def _as_y(self, law: Sited) -> Sited:
        """Return the law with its tensors in the dtype of y. Raises ValueError where one does not fit y."""
        for name in ("sigma", *(f.name for f in fields(law) if f.name != "law")):
            shape = torch.as_tensor(getattr(law, name)).shape
            if not _fits(shape, self.y.shape):
                raise ValueError(f"{name} of shape {tuple(shape)} does not fit y {tuple(self.y.shape)}")
        return law.to(self.y.dtype)

    def to(self, *args: Any, **kwargs: Any) -> Problem:
        """Return the problem with y, mask, operator and law on another device or in another dtype; arguments as of `Tensor.to`.

        `problem.to("cuda")`, `problem.to(torch.float64)` and `problem.to("cuda", torch.float32)` all work. Functions that an
        operator was given, such as a network that decodes latents, stay where they are. Raises `BadInput` for a dtype that
        is not floating.
        """
        return replace(
            self, y=self.y.to(*args, **kwargs), operator=self.operator.to(*args, **kwargs),
            likelihood=self.likelihood.to(*args, **kwargs), mask=None if self.mask is None else self.mask.to(*args, **kwargs),
        )  # fmt: skip

    def split(self) -> list[Problem]:
        """Return the measurements of the batch one by one, each a `Problem` with y of shape (1, ...).

        A mask, and noise levels, that have an axis for the batch are split along; others are of all measurements.
        """
        count = len(self.y)
        if count == 1:
            return [self]

        def of(i: int, v: Tensor) -> Tensor:
            return v[i : i + 1] if v.ndim == self.y.ndim and len(v) == count else v

        return [
            Problem(
                self.y[i : i + 1], self.operator, self.likelihood.map_tensors(lambda v, i=i: of(i, v)),
                None if self.mask is None else of(i, self.mask),
            )
            for i in range(count)
        ]  # fmt: skip

    def estimate(self) -> Tensor:
        """Return a crude picture (B, C, H, W) to start from, the mean of the noise taken off."""
        return self.operator.estimate(self.likelihood.centred(self.y))

    def nll(self, x: Tensor) -> Tensor:
        """Return -log p(y | x) per picture, up to a constant of y: (B, C, H, W) -> (B,)."""
        terms = self.likelihood.unit_nll(self.y, self.operator(x))
        terms = terms if self.mask is None else terms * self.mask
        return terms.flatten(1).sum(1)

    def misfit(self, x: Tensor) -> float:
        """Return how far A x is from y, x (B, C, H, W), in deviations of the noise: about 1 for a picture that
        explains it."""
        used = float(self.y.numel() if self.mask is None else self.mask.expand_as(self.y).sum())
        if isinstance(self.operator, Inpaint):
            used *= float((self.operator.mask > 0).float().mean())
        return float((2 * self.nll(x).sum() / max(used, 1.0)).sqrt())

    @property
    def gain(self) -> float:
        """Return the largest gain of the operator, above 0: noise of y divided by it is noise of the picture."""
        return max(self.operator.spectral_norm(self.y), torch.finfo(self.y.dtype).tiny)

    def least_squares(self, solver: str, least: float = 0.0) -> tuple[LinearOperator, Tensor, float]:
        """Return (A, y, sigma_y) of an equal problem y = A x + sigma_y n: unequal noise and masks are folded into A
        and y.

        least: less noise than this, in the unit of the picture, counts as this (`CLEAN`), where no noise cannot be had.
        Raises `Unsupported` in the name of `solver` where the problem is not linear and Gaussian.
        """
        operator, sigma = self.linear(solver), self._sigma(solver)
        if least > 0:
            floor = least * self.gain
            sigma = sigma.clamp(min=floor) if isinstance(sigma, Tensor) else max(sigma, floor)
        if isinstance(sigma, float) and self.mask is None:
            return operator, self.y, sigma
        weight = (1.0 if self.mask is None else self.mask) / torch.as_tensor(sigma).to(self.y)
        return Weighted.of(operator, weight), weight * self.y, 1.0

    def held(self, law: Sited, least: float = 0.0) -> Sited:
        """Return the law with no less noise than `least`, in the unit of the picture."""
        floor = least * self.gain
        sigma = law.sigma.clamp(min=floor) if isinstance(law.sigma, Tensor) else max(law.sigma, floor)
        return law.with_sigma(sigma)

    def raised(self, least: float) -> float | None:
        """Return what Gaussian noise below `least`, in the unit of the picture, counts as, in the unit of y.

        None where there is more noise, give or take a tenth, or another law.
        """
        if least <= 0 or not isinstance(self.likelihood, Gaussian | Sited):
            return None
        counted = least * self.gain
        return counted if self.noise_level() < 0.9 * counted else None  # a blur at the edges may have a gain of 1.01

    def linear(self, solver: str) -> LinearOperator:
        """Return the operator. Raises `Unsupported` in the name of `solver` where it is not linear."""
        if not isinstance(self.operator, LinearOperator):
            raise Unsupported(
                f"{solver} needs a linear operator, got {self.operator.title}; use `solver=dps`, daps, pnpdm or vds"
            )
        return self.operator

    def noise_level(self) -> float:
        """Return the standard deviation of the noise, a low value of it where it varies, in the unit of y; schedules
        use it.

        For a law that does not say how noisy it is, noise is drawn by it at y; where that fails, 0.02 of a picture.
        """
        law = self.likelihood
        if isinstance(law, Gaussian | Sited):
            return float(torch.as_tensor(law.sigma, dtype=torch.float64).min())
        try:
            return float(law.information(self.y).flatten().float().median() ** -0.5)
        except Unsupported:
            one = self.y[:1]
            off = (law.sample(one, torch.Generator().manual_seed(0)) - one).abs().double()
            drawn = float(off.median()) / 0.6745 or float(off.square().mean().sqrt())
            return drawn if 0 < drawn < math.inf else 0.02 * self.gain

    def picture_noise(self) -> float:
        """Return the standard deviation of the noise in the unit of the picture: how closely its best measured part is
        known.

        The noise over the largest gain of the operator (four times it for means of 4x4 pixels, whose gain is 1/4), as
        many measurements of the same pixels together say more than each. Values are weighted by their own noise where
        it is given for each, none of them below the lowest 5 %. The gain of an operator that is not linear is that at
        grey.
        """
        a = self.operator
        if not isinstance(a, LinearOperator):
            return self.noise_level() / self.gain
        try:
            law = self.likelihood
            sigma = replace(self, likelihood=law.law if isinstance(law, Sited) else law)._sigma("")
        except Unsupported:
            sigma = self.noise_level()
        if isinstance(sigma, Tensor):
            valid = torch.ones_like(self.y[:1]) if self.mask is None else self.mask[:1].expand_as(self.y[:1])
            kept = sigma.to(valid).expand_as(valid)[valid > 0]
            low = float(kept.kthvalue(1 + len(kept) // 20).values) if len(kept) else 1.0
            a, sigma = Weighted.of(a, valid * low / sigma.to(valid).clamp(min=low)), low
        return sigma / max(a.spectral_norm(self.y), torch.finfo(self.y.dtype).tiny)

    def last_level(self, share: float = 0.2, most: float = 0.01) -> float:
        """Return the noise level at which schedules end: a share of the noise in the picture, below which only the
        prior speaks.

        The last step of a sampler gives a mean, so that what spread is left at that level is lost: at 0.2 it is 2 % of
        the deviation. `most`: detail of pictures is finer than much noise. Not below 2e-4: a clean measurement counts
        as one of noise 0.001.
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
        raise Unsupported(f"{solver} needs Gaussian noise, got {law.title}; use `solver=dps` or daps")

    def spectral(self, solver: str) -> tuple[SVDOperator, float]:
        """Return (A, sigma_y) for solvers that work on singular values. Raises `Unsupported` in the name of `solver`
        where there are none."""
        operator, _, sigma = self.least_squares(solver)
        if isinstance(operator, SVDOperator):
            return operator, sigma
        kind = self.operator.title if operator is self.operator else "unequal noise or a mask"
        raise Unsupported(f"{solver} needs an operator with an SVD, got {kind}; use `solver=diffpir` or `dps`")
