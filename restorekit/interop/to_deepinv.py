"""Operators and denoisers become subclasses of deepinv's classes, which are made when deepinv is first needed."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from restorekit.inference.denoiser import Denoiser
from restorekit.interop.from_deepinv import import_deepinv
from restorekit.operators.base import Operator, SVDOperator


@cache
def physics_classes() -> tuple[type, type, type]:
    """Return three classes: for any operator, for a linear one, and for one with an SVD."""
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
            self._fill(torch.zeros((), device=operator.singulars.device))

        def _fill(self, like: Tensor) -> None:
            operator: SVDOperator = self.restorekit_operator  # type: ignore[assignment]
            n = math.prod(operator.image_shape)
            self.mask = operator._fit(operator.singulars[None], n).to(like)

        def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> Any:
            super()._apply(fn, *args, **kwargs)
            if "restorekit_operator" in self.__dict__:
                self._fill(fn(torch.zeros(())))  # anew: rounded before, it would stay so in double precision
            return self

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


@cache
def model_class() -> type:
    """Return the class of a denoiser of ours as a deepinv one."""

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
