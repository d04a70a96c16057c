"""deepinv (Tachella et al. 2025) and restorekit convert into each other: operators, noise laws, measurements,
denoisers.

Both have pictures (B, C, H, W) on [0, 1] and noise levels in that unit, so nothing is scaled. deepinv is imported when
one of these functions is called, not before.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from restorekit.errors import BadInput, Unsupported
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.likelihood import Gamma, Gaussian, Likelihood, Poisson
from restorekit.interop.from_deepinv import LinearPhysics, Physics, as_real, import_deepinv
from restorekit.interop.to_deepinv import model_class, physics_classes
from restorekit.operators.base import LinearOperator, Operator, SVDOperator
from restorekit.operators.combine import Stack
from restorekit.operators.diagonal import Identity, Inpaint
from restorekit.priors.precond import VE, Adapted
from restorekit.priors.wrappers import Padded

__all__ = [
    "denoiser_from",
    "import_deepinv",
    "likelihood_from",
    "measurement_from",
    "model_from",
    "noise_from",
    "operator_from",
    "physics_from",
]

# --- operators ---


def operator_from(physics: Any, image_shape: tuple[int, int, int] | None = None) -> Operator:
    """Return a deepinv physics as an operator: linear where it is a LinearPhysics, a `Stack` where it is stacked.

    Denoising and Inpainting become our own `Identity` and `Inpaint`. image_shape: (C, H, W), where the physics does not
    say `img_size`. What `physics_from` made is given back as it was. The noise is apart, see `likelihood_from`; a
    sensor model, which acts on the noise too, raises `Unsupported`.
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
    """Return a deepinv measurement in the shape that our operator gives: lists are flattened and joined, complex made
    real."""
    if isinstance(y, Tensor):
        return as_real(y)
    return torch.cat([as_real(part).flatten(1) for part in y], 1)


def physics_from(operator: Operator, likelihood: Likelihood | None = None) -> Any:
    """Return an operator, with the noise law where one is given, as a deepinv physics.

    Linear ones are LinearPhysics with our adjoint, pseudo-inverse and `prox_l2`; those with an SVD DecomposablePhysics,
    with orthonormal bases. `.to(device)` moves the operator.
    """
    anyone, linear, spectral = physics_classes()
    noise = noise_from(likelihood)
    kind = spectral if isinstance(operator, SVDOperator) else linear if isinstance(operator, LinearOperator) else anyone
    return kind(operator, noise)


# --- noise laws ---


def likelihood_from(source: Any) -> Likelihood:
    """Return the noise law of a deepinv physics or noise model. Raises `Unsupported` where we have none for it.

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
    """Return the deepinv noise model of a law; None is ZeroNoise. Raises `Unsupported` where deepinv has none for it."""
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
    """Return a deepinv denoiser as ours, in the precision of its weights. The model is put into eval mode.

    sigma_min, sigma_max: the levels it was trained for, in the unit of pictures on [0, 1]; beyond them it is asked at
    them, as `restorekit.priors.precond` says. Samplers begin at sigma 10 or so, where a denoiser that was trained up to
    0.2 (DRUNet) knows nothing: give 0.2. multiple: what the sides must be multiples of; others are padded.
    """
    model.eval()
    weight = next((p for p in model.parameters() if p.is_floating_point()), None)

    def net(x: Tensor, sigma: Tensor) -> Tensor:
        dtype = x.dtype if weight is None else weight.dtype
        return model(x.to(dtype), sigma.to(dtype)).to(x.dtype)

    adapted: Denoiser = Adapted(net, "x0", VE(sigma_min, sigma_max), span=(0.0, 1.0))
    return Padded(adapted, multiple) if multiple > 1 else adapted


def model_from(denoise: Denoiser) -> Any:
    """Return a prior, as `load_prior` gives it, as a deepinv denoiser: for its samplers, its optimisers, its
    plug-and-play."""
    return model_class()(denoise)
