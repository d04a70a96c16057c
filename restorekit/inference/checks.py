"""A run refuses measurements, noise laws, denoisers and levels that do not fit, before it begins and while it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from restorekit.errors import BadInput, Unsupported
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.likelihood import Likelihood
from restorekit.inference.problem import Problem
from restorekit.inference.schedule import below


class Counted:
    """A denoiser that counts its calls and the vector-Jacobian products through it."""

    def __init__(self, denoise: Denoiser):
        self.denoise, self.calls, self.vjps = denoise, 0, 0

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        self.calls += 1
        x0 = self.denoise(x, sigma)
        if x0.requires_grad:
            x0.register_hook(self._product)
        return x0

    def _product(self, gradient: Tensor) -> None:
        self.vjps += 1


def checked(denoise: Denoiser, solver: str) -> Denoiser:
    """Return the same denoiser, which raises in one line where it gives something else than a picture like x, or no
    graph for a gradient."""

    def call(x: Tensor, sigma: float | Tensor, /) -> Tensor:
        try:
            x0 = denoise(x, sigma)
        except RuntimeError as error:
            if "dtype" not in str(error) and "type" not in str(error).split():
                raise
            why = str(error).splitlines()[0]
            raise BadInput(f"the denoiser does not take {x.dtype} ({why}); give y in its dtype, or cast it") from error
        if not isinstance(x0, Tensor) or x0.shape != x.shape or x0.dtype != x.dtype:
            given = f"{x0.dtype} {tuple(x0.shape)}" if isinstance(x0, Tensor) else type(x0).__name__
            raise BadInput(f"the denoiser gives {given} for {x.dtype} {tuple(x.shape)}; it must give a picture like x")
        if torch.is_grad_enabled() and x.requires_grad and not x0.requires_grad:
            raise Unsupported(
                f"{solver} needs the gradient of the denoiser, which gives none (no_grad, detach or numpy inside); mend it, "
                "or use `solver=diffpir` or pnpdm"
            )
        return x0

    return call


def check_shape(problem: Problem) -> None:
    """Raise `BadInput` for a measurement that the operator does not give: broadcasting would hide it, as promotion
    would a dtype."""
    y, operator = problem.y, problem.operator
    name, cast = type(operator).__name__, f"operator.to({y.dtype}), or y in its dtype"
    try:
        measured = operator(y.new_zeros((1, *operator.image_shape)))
    except RuntimeError as error:
        if "dtype" not in str(error) and "type" not in str(error).split():
            raise
        raise BadInput(f"{name} does not take {y.dtype} ({str(error).splitlines()[0]}); take {cast}") from error
    if tuple(y[:1].shape) != tuple(measured.shape):
        raise BadInput(
            f"y is {tuple(y[:1].shape)}, {name} gives {tuple(measured.shape)}; reshape y or mend image_shape"
        )
    if measured.dtype != y.dtype:
        raise BadInput(f"y is {y.dtype}, {name} gives {measured.dtype} of such pictures; take {cast}")


def check_values(problem: Problem) -> None:
    """Raise `BadInput` for values that are no numbers, and for a law that does not give a number for each value of y."""
    y, law = problem.y, problem.likelihood
    if bad := int((~torch.isfinite(y)).sum()):
        raise BadInput(
            f"y holds NaN or infinity, {bad} of {y.numel()} values; fill them, or mask them: Problem(mask=...)"
        )
    with torch.enable_grad():
        mean = y.detach().clone().requires_grad_(True)
        terms: dict[str, Any] = {"unit_nll": law.unit_nll(y.detach(), mean)}
    with suppress(Unsupported):
        terms["information"] = law.information(y)
    for name, value in terms.items():
        if not isinstance(value, Tensor) or value.shape != y.shape or value.dtype != y.dtype:
            given = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise BadInput(
                f"{name} of {law.title} gives {given} for {y.dtype} {tuple(y.shape)}; it must give a number for each value of y"
            )
    if not terms["unit_nll"].requires_grad and type(law).gradient is Likelihood.gradient:
        raise BadInput(f"unit_nll of {law.title} has no gradient (detach or numpy inside); write it in torch")


def started(levels: Sequence[float], start: float, problem: Problem) -> list[float]:
    """Return the levels from `start` on. Raises `BadInput` below the noise of the measurement, where some solvers have
    done with it."""
    least = max(problem.picture_noise(), levels[-2])
    if least >= levels[0]:
        raise BadInput(
            f"start={start:g}: the solver begins at {levels[0]:.3g}, the noise of the measurement; leave start out, or take a "
            "sampler such as mmps"
        )
    if not least < start <= levels[0]:  # False for NaN too
        raise BadInput(
            f"start={start:g} must lie between {least:.3g}, the noise of the measurement or the last level of the solver, and "
            f"its first, {levels[0]:.3g}"
        )
    return below(levels, start)
