"""Restore measured images with diffusion priors. `import restorekit` does not import torch; its names do, when used."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

# Idle OpenMP threads must sleep, not spin: spinning costs 2 to 30 times the wall time on busy cores. Read by torch once.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__version__ = "0.1.0"

_HOME = {
    "Problem": "inference.problem",
    "Restoration": "inference.restoration",
    "Solver": "inference.solver",
    "Denoiser": "inference.denoiser",
    "Step": "inference.solver",
    "Gaussian": "inference.likelihood",
    "Poisson": "inference.likelihood",
    "Gamma": "inference.likelihood",
    "Joint": "inference.likelihood",
    "Conditional": "solvers.conditional_denoiser",
    "Rng": "inference.rng",
    "restore": "tasks.solve",
    "restore_each": "tasks.solve",
    "coverage": "metrics.fidelity",
    "psnr": "metrics.fidelity",
    "ssim": "metrics.fidelity",
    "load_prior": "priors.find",
    "BadInput": "errors",
    "Unsupported": "errors",
}

if TYPE_CHECKING:
    from restorekit.errors import BadInput, Unsupported
    from restorekit.inference.denoiser import Denoiser
    from restorekit.inference.likelihood import Gamma, Gaussian, Joint, Poisson
    from restorekit.inference.problem import Problem
    from restorekit.inference.restoration import Restoration
    from restorekit.inference.rng import Rng
    from restorekit.inference.solver import Solver, Step
    from restorekit.metrics.fidelity import coverage, psnr, ssim
    from restorekit.priors.find import load_prior
    from restorekit.solvers.conditional_denoiser import Conditional
    from restorekit.tasks.solve import restore, restore_each

__all__ = [
    "BadInput",
    "Conditional",
    "Denoiser",
    "Gamma",
    "Gaussian",
    "Joint",
    "Poisson",
    "Problem",
    "Restoration",
    "Rng",
    "Solver",
    "Step",
    "Unsupported",
    "coverage",
    "load_prior",
    "psnr",
    "restore",
    "restore_each",
    "ssim",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'restorekit' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"restorekit.{_HOME[name]}"), name)
    globals()[name] = value
    return value
