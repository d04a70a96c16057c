"""deepinv (Tachella et al. 2025) and restorekit, both ways: operators, noise laws, measurements, denoisers.

Both have pictures (B, C, H, W) on [0, 1] and noise levels in that unit, so nothing is scaled. deepinv is imported when one
of these functions is called, not before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor, nn

from restorekit.errors import BadInput, Unsupported
from restorekit.likelihood import Gamma, Gaussian, Likelihood, Poisson
from restorekit.operators.base import LinearOperator, Operator, SVDOperator
from restorekit.operators.combine import Stack
from restorekit.operators.diagonal import Identity, Inpaint
from restorekit.priors.foreign.vision import mend_torchvision
from restorekit.priors.precond import VE, Adapted
from restorekit.priors.wrappers import Padded
from restorekit.types import Denoiser


def import_deepinv() -> Any:
    """deepinv, also beside a CPU-only torch. Raises `BadInput` where it is not installed."""
    mend_torchvision()
    try:
        import deepinv
    except ImportError as error:
        torch_here = torch.__version__.partition("+")[0]  # named, or pip would exchange it for the newest
        raise BadInput(
            f'deepinv cannot be imported ({error}): pip install "torch=={torch_here}" "restorekit[deepinv]"'
        ) from None
    return deepinv


# --- operators ---


def _real(y: Tensor) -> Tensor:
    """Complex measurements as pairs of real numbers, in a last axis of 2."""
    return torch.view_as_real(y.resolve_conj()) if y.is_complex() else y


def _move(physics: nn.Module, like: Tensor) -> nn.Module:
    """A copy on the device and in the precision of `like`; complex buffers stay complex."""
    twin = {torch.float32: torch.complex64, torch.float64: torch.complex128}.get(like.dtype, torch.complex64)

    def move(t: Tensor) -> Tensor:
        if t.is_complex():
            return t.to(like.device, twin)
        return t.to(like.device, like.dtype) if t.is_floating_point() else t.to(like.device)

    copy: nn.Module = physics.clone()  # type: ignore[operator,assignment]  # knows about random generators, unlike deepcopy
    return copy._apply(move)


def _like(physics: nn.Module) -> Tensor:
    """A number in the precision and on the device of a physics."""
    known = [t for t in physics.buffers() if t.is_floating_point()]
    return torch.zeros_like(max(known, key=Tensor.numel).flatten()[:1]) if known else torch.zeros(1)


def _moved(operator: Any, args: Any, kwargs: Any) -> Any:
    return type(operator)(operator.image_shape, _move(operator.physics, _like(operator.physics).to(*args, **kwargs)))


@dataclass(frozen=True, eq=False)
class Physics(Operator):
    """y = A(x) of any deepinv physics; gradients by autograd."""

    physics: Any

    def __call__(self, x: Tensor, /) -> Tensor:
        return _real(self.physics.A(x))

    def to(self, *args: Any, **kwargs: Any) -> Any:
        return _moved(self, args, kwargs)


@dataclass(frozen=True, eq=False)
class LinearPhysics(LinearOperator):
    """y = A x of a deepinv LinearPhysics. Complex measurements are pairs of real numbers (B, ..., 2).

    Its adjoint is used as it is, its pseudo-inverse only where it comes from singular values: the others are a few
    iterations (1e-3 off), or not one at all (filtered back-projection, Brovey). There ours iterates until it is solved.
    """

    physics: Any

    def __call__(self, x: Tensor, /) -> Tensor:
        return _real(self.physics.A(x))

    def adjoint(self, y: Tensor, /) -> Tensor:
        x = self.physics.A_adjoint(self._native(y))
        return x.real if x.is_complex() else x

    def pinv(self, y: Tensor, /) -> Tensor:
        if not self._spectral:
            return super().pinv(y)
        x = self.physics.A_dagger(self._native(y))
        return x.real if x.is_complex() else x

    def normal_solve(self, b: Tensor, rho: float, x: Tensor | None = None, tolerance: float | None = None) -> Tensor:
        if not self._spectral:
            return super().normal_solve(b, rho, x, tolerance)
        coefficients = self.physics.V_adjoint(b)
        square = self.physics.mask.abs().square()
        solved = self.physics.V(coefficients / (square + rho))
        if (
            coefficients.numel() < b.numel()
        ):  # V is not complete (Decolorize): what it leaves out is only divided by rho
            solved = solved + (b - self.physics.V(coefficients)) / rho
        return solved

    def to(self, *args: Any, **kwargs: Any) -> Any:
        return _moved(self, args, kwargs)

    @property
    def _spectral(self) -> bool:
        return isinstance(self.physics, import_deepinv().physics.DecomposablePhysics)

    @cached_property
    def _complex(self) -> bool:
        """Whether the measurement of the physics is complex. Found out once, on a picture of zeros."""
        return self.physics.A(torch.zeros((1, *self.image_shape)).to(_like(self.physics))).is_complex()

    def _native(self, y: Tensor) -> Tensor:
        return torch.view_as_complex(y.contiguous()) if self._complex else y


def operator_from(physics: Any, image_shape: tuple[int, int, int] | None = None) -> Operator:
    """A deepinv physics as an operator: linear where it is a LinearPhysics, a `Stack` where it is stacked, our own
    `Identity` and `Inpaint` for its Denoising and Inpainting.

    image_shape: (C, H, W), where the physics does not say `img_size`. What `physics_from` made is given back as it was.
    The noise is apart, see `likelihood_from`; a sensor model, which acts on the noise too, is refused.
    """
    known = import_deepinv().physics
    if not isinstance(physics, known.Physics):
        raise BadInput(f"{type(physics).__name__} is not a deepinv physics; derive it from deepinv.physics.Physics")
    ours = getattr(physics, "restorekit_operator", None)
    if isinstance(ours, Operator):
        return ours
    shape = image_shape or getattr(physics, "img_size", None) or getattr(physics, "imsize", None)  # both names occur
    if shape is None or len(shape) != 3:
        raise BadInput(
            f"{type(physics).__name__} does not say how large its pictures are: operator_from(physics, (C, H, W))"
        )
    shape = (int(shape[0]), int(shape[1]), int(shape[2]))
    probe = torch.linspace(-1, 2, 31)
    if not torch.equal(physics.sensor(probe.clone()), probe):
        raise Unsupported(
            f"{type(physics).__name__} has a sensor model, which changes the noise; leave it out, "
            "or write it as an operator of its own (restorekit.operators.Saturate)"
        )
    # Ours know all singular vectors and how to fill a hole; of theirs DDRM and DDNM+ could not make use.
    if type(physics) is known.Denoising:
        return Identity(shape)
    if type(physics) is known.Inpainting and len(mask := physics.mask.view(-1, *physics.mask.shape[-3:])) == 1:
        return Inpaint(shape, mask[0].expand(shape))
    if isinstance(physics, known.StackedLinearPhysics):
        parts = tuple(operator_from(part, shape) for part in physics.physics_list)
        return Stack(shape, parts)  # type: ignore[arg-type]
    if isinstance(physics, known.StackedPhysics):
        raise Unsupported("stacked physics that are not linear cannot be used; stack linear ones, or use one at a time")
    return (LinearPhysics if isinstance(physics, known.LinearPhysics) else Physics)(shape, physics)


def measurement_from(y: Any) -> Tensor:
    """A deepinv measurement in the shape that our operator gives: lists are flattened and joined, complex made real."""
    if isinstance(y, Tensor):
        return _real(y)
    return torch.cat([_real(part).flatten(1) for part in y], 1)


@cache
def _physics_classes() -> tuple[type, type, type]:
    """Subclasses of deepinv's, made when deepinv is first needed: any operator, a linear one, one with an SVD."""
    deepinv = import_deepinv()

    class Ours(deepinv.physics.Physics):
        def __init__(self, operator: Operator, noise: Any):
            super().__init__(noise_model=noise)
            self.restorekit_operator = operator
            self.img_size = operator.image_shape

        def A(self, x: Tensor, **_: Any) -> Tensor:
            return self.restorekit_operator(x)

        def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> Any:
            if operator := self.__dict__.get("restorekit_operator"):  # not yet while it is being made
                there = fn(torch.zeros(()))
                self.restorekit_operator = operator.to(there.device, there.dtype)
            return super()._apply(fn, *args, **kwargs)

    class OursLinear(Ours, deepinv.physics.LinearPhysics):
        def A_adjoint(self, y: Tensor, **_: Any) -> Tensor:
            return self.restorekit_operator.adjoint(y)  # type: ignore[attr-defined]

        def A_dagger(self, y: Tensor, **_: Any) -> Tensor:
            return self.restorekit_operator.pinv(y)  # type: ignore[attr-defined]

        def A_adjoint_A(self, x: Tensor, **_: Any) -> Tensor:
            return self.A_adjoint(self.A(x))

        def A_A_adjoint(self, y: Tensor, **_: Any) -> Tensor:
            return self.A(self.A_adjoint(y))

        def prox_l2(self, z: Any, y: Tensor, gamma: Any, **_: Any) -> Tensor:
            """argmin_x gamma / 2 |A x - y|^2 + |x - z|^2 / 2; one gamma, or one per picture."""
            b = self.A_adjoint(y)
            rhos = 1 / torch.as_tensor(gamma, dtype=b.dtype).flatten()
            z = 0.0 if z is None else z
            solve = self.restorekit_operator.normal_solve  # type: ignore[attr-defined]
            if len(rhos) == 1:
                return solve(b + float(rhos) * z, float(rhos))
            b = b + rhos.view(-1, *[1] * (b.ndim - 1)).to(b) * z
            return torch.cat([solve(part[None], float(rho)) for part, rho in zip(b, rhos)])

    class OursSpectral(OursLinear, deepinv.physics.DecomposablePhysics):
        """With all of V, so that what is not measured is there too: `mask` (1, n) holds the singular values, then 0."""

        def __init__(self, operator: SVDOperator, noise: Any):
            super().__init__(operator, noise)
            n = operator.vt(torch.zeros((1, *operator.image_shape)).to(operator.singulars)).shape[1]
            self.mask = operator._fit(operator.singulars[None], n)

        def V_adjoint(self, x: Tensor) -> Tensor:
            return self.restorekit_operator.vt(x)  # type: ignore[attr-defined]

        def V(self, x: Tensor, **_: Any) -> Tensor:
            return self.restorekit_operator.v(x)  # type: ignore[attr-defined]

        def U(self, x: Tensor) -> Tensor:
            operator: SVDOperator = self.restorekit_operator  # type: ignore[assignment]
            return operator.u(operator._fit(x, operator.m))

        def U_adjoint(self, x: Tensor, **_: Any) -> Tensor:
            operator: SVDOperator = self.restorekit_operator  # type: ignore[assignment]
            # A copy: deepinv's DDRM writes into it, and for some operators it would be the measurement itself.
            return operator._fit(operator.ut(x), self.mask.shape[1]).clone()

    return Ours, OursLinear, OursSpectral


def physics_from(operator: Operator, likelihood: Likelihood | None = None) -> Any:
    """An operator, with the noise law where one is given, as a deepinv physics.

    Linear ones are LinearPhysics with our adjoint, pseudo-inverse and `prox_l2`; those with an SVD DecomposablePhysics,
    with orthonormal bases. `.to(device)` moves the operator.
    """
    anyone, linear, spectral = _physics_classes()
    noise = noise_from(likelihood)
    kind = spectral if isinstance(operator, SVDOperator) else linear if isinstance(operator, LinearOperator) else anyone
    return kind(operator, noise)


# --- noise laws ---


def likelihood_from(source: Any) -> Likelihood:
    """The noise law of a deepinv physics or noise model; `Unsupported` where we have none for it.

    GaussianNoise(sigma) is Gaussian(sigma), PoissonNoise(gain) Poisson(1 / gain), GammaNoise(l) speckle of l looks in
    intensity, FisherTippettNoise(l) the same in the logarithm.
    """
    laws = import_deepinv().physics
    noise = source.noise_model if isinstance(source, laws.Physics) else source
    name = type(noise).__name__

    def number(value: Tensor) -> float:
        if value.numel() != 1:
            raise Unsupported(f"{name} has {value.numel()} levels, one per picture; a problem has one, loop over them")
        return float(value)

    if isinstance(noise, laws.GaussianNoise):
        return Gaussian(number(noise.sigma))
    if isinstance(noise, laws.PoissonNoise):
        if not bool(noise.normalize):
            raise Unsupported("PoissonNoise(normalize=False) measures counts, not pictures; use normalize=True")
        return Poisson(1 / number(noise.gain))
    if isinstance(noise, laws.GammaNoise):
        return Gamma(number(noise.l))
    if isinstance(noise, laws.FisherTippettNoise):
        return Gamma(number(noise.l), "log")
    if isinstance(noise, laws.ZeroNoise):
        raise Unsupported("a physics without noise has no likelihood; use restorekit.Gaussian(0.001)")
    raise Unsupported(f"{name} has no counterpart; known: GaussianNoise, PoissonNoise, GammaNoise, FisherTippettNoise")


def noise_from(likelihood: Likelihood | None) -> Any:
    """The deepinv noise model of a law; None is ZeroNoise. `Unsupported` where deepinv has none for it."""
    laws = import_deepinv().physics
    if likelihood is None:
        return laws.ZeroNoise()
    if isinstance(likelihood, Gaussian) and torch.as_tensor(likelihood.sigma).numel() == 1:
        return laws.GaussianNoise(float(likelihood.sigma))
    if isinstance(likelihood, Poisson):
        return laws.PoissonNoise(1 / likelihood.peak, clip_positive=True)
    if isinstance(likelihood, Gamma) and likelihood.domain != "amplitude":
        return (laws.GammaNoise if likelihood.domain == "intensity" else laws.FisherTippettNoise)(likelihood.looks)
    raise Unsupported(
        f"deepinv has no noise model for this {type(likelihood).__name__} law; give one sigma, counts, or speckle in "
        "intensity or log"
    )


# --- denoisers ---


def denoiser_from(model: nn.Module, sigma_min: float = 1e-3, sigma_max: float = 100.0, multiple: int = 1) -> Denoiser:
    """A deepinv denoiser as ours, in the precision of its weights. The model is put into eval mode.

    sigma_min, sigma_max: the levels it was trained for, in the unit of pictures on [0, 1]; beyond them it is asked at
    them, as `restorekit.priors.precond` says. Samplers begin at sigma 10 or so, where a denoiser that was trained up to
    0.2 (DRUNet) knows nothing: give 0.2. multiple: what the sides must be multiples of; others are padded.
    """
    model.eval()
    weight = next((p for p in model.parameters() if p.is_floating_point()), None)

    def net(x: Tensor, sigma: Tensor) -> Tensor:
        given = x.dtype if weight is None else weight.dtype
        return model(x.to(given), sigma.to(given)).to(x.dtype)

    adapted: Denoiser = Adapted(net, "x0", VE(sigma_min, sigma_max), span=(0.0, 1.0))
    return Padded(adapted, multiple) if multiple > 1 else adapted


@cache
def _model_class() -> type:
    class Ours(import_deepinv().models.Denoiser):
        def __init__(self, denoise: Denoiser):
            super().__init__()
            self.denoise = denoise

        def forward(self, x: Tensor, sigma: Any = None, *_: Any, **__: Any) -> Tensor:
            """x (B, C, H, W); sigma a number, (B,), or either with axes of 1."""
            if isinstance(sigma, Tensor):
                sigma = sigma.flatten().to(x)
                sigma = sigma[0] if len(sigma) == 1 else sigma
            return self.denoise(x, sigma)

    return Ours


def model_from(denoise: Denoiser) -> Any:
    """A prior, as `load_prior` gives it, as a deepinv denoiser: for its samplers, its optimisers, its plug-and-play."""
    return _model_class()(denoise)
