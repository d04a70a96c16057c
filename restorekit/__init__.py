"""Restore measured images with diffusion priors. `import restorekit` does not import torch; its names do, when used.

    restorekit.denoise("noisy.png").save("clean.png")

Tasks take a path, an array (H, W) or (H, W, C), a tensor (C, H, W) or a `Picture`, and give a `Restoration`; of a tensor
(B, C, H, W) a list of B.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

# Idle OpenMP threads must sleep, not spin: spinning costs 2 to 30 times the wall time on busy cores. Read by torch once.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__version__ = "0.1.0"

# Public name -> module, or "module:name" where it is called otherwise there.
_HOME = {
    # tasks
    "denoise": "tasks.functions",
    "deblur": "tasks.functions",
    "dejpeg": "tasks.functions",
    "inpaint": "tasks.functions",
    "upscale": "tasks.functions",
    "colorize": "tasks.functions",
    "compare": "tasks.functions",
    "sample": "tasks.functions",
    "degrade": "tasks.functions",
    "calibrate": "tasks.calibrate",
    "Batch": "tasks.batch",
    "derain": "tasks.derain",
    "despeckle": "tasks.despeckle",
    "adapt": "tasks.adapt",
    "despeckle_dates": "tasks.dates",
    "change": "tasks.change",
    "fuse": "tasks.fuse",
    # problems and solvers
    "Problem": "inference.problem",
    "Restoration": "inference.restoration",
    "Solver": "inference.solver",
    "Denoiser": "inference.denoiser",
    "Step": "inference.solver",
    "Rng": "inference.rng",
    "Conditional": "solvers.conditional_denoiser",
    "Gaussian": "inference.likelihood",
    "Poisson": "inference.likelihood",
    "Gamma": "inference.likelihood",
    "Joint": "inference.derived_laws",
    "Likelihood": "inference.likelihood",
    "restore": "tasks.solve",
    "restore_each": "tasks.solve",
    # priors
    "Prior": "priors.prior",
    "load_prior": "priors.find",
    "list_priors": "priors.find:shipped",
    "train": "training.loop",
    # files
    "Picture": "files.picture",
    "read": "files.picture:read_picture",
    "write": "files.picture:write_picture",
    # figures
    "psnr": "metrics.fidelity",
    "ssim": "metrics.fidelity",
    "coverage": "metrics.fidelity",
    # errors
    "BadInput": "errors",
    "Unsupported": "errors",
    "RestorekitNote": "notes",
}

_ROOMS = ("metrics", "operators", "solvers")  # modules of the public face

if TYPE_CHECKING:
    from restorekit import metrics, operators, solvers
    from restorekit.errors import BadInput, Unsupported
    from restorekit.files.picture import Picture
    from restorekit.files.picture import read_picture as read
    from restorekit.files.picture import write_picture as write
    from restorekit.inference.denoiser import Denoiser
    from restorekit.inference.derived_laws import Joint
    from restorekit.inference.likelihood import Gamma, Gaussian, Likelihood, Poisson
    from restorekit.inference.problem import Problem
    from restorekit.inference.restoration import Restoration
    from restorekit.inference.rng import Rng
    from restorekit.inference.solver import Solver, Step
    from restorekit.metrics.fidelity import coverage, psnr, ssim
    from restorekit.notes import RestorekitNote
    from restorekit.priors.find import load_prior
    from restorekit.priors.find import shipped as list_priors
    from restorekit.priors.prior import Prior
    from restorekit.solvers.conditional_denoiser import Conditional
    from restorekit.tasks.adapt import adapt
    from restorekit.tasks.batch import Batch
    from restorekit.tasks.calibrate import calibrate
    from restorekit.tasks.change import change
    from restorekit.tasks.dates import despeckle_dates
    from restorekit.tasks.derain import derain
    from restorekit.tasks.despeckle import despeckle
    from restorekit.tasks.functions import colorize, compare, deblur, degrade, dejpeg, denoise, inpaint, sample, upscale
    from restorekit.tasks.fuse import fuse
    from restorekit.tasks.solve import restore, restore_each
    from restorekit.training.loop import train

__all__ = [
    "BadInput",
    "Batch",
    "Conditional",
    "Denoiser",
    "Gamma",
    "Gaussian",
    "Joint",
    "Likelihood",
    "Picture",
    "Poisson",
    "Prior",
    "Problem",
    "Restoration",
    "RestorekitNote",
    "Rng",
    "Solver",
    "Step",
    "Unsupported",
    "adapt",
    "calibrate",
    "change",
    "colorize",
    "compare",
    "coverage",
    "deblur",
    "degrade",
    "dejpeg",
    "denoise",
    "derain",
    "despeckle",
    "despeckle_dates",
    "fuse",
    "inpaint",
    "list_priors",
    "load_prior",
    "metrics",
    "operators",
    "psnr",
    "read",
    "restore",
    "restore_each",
    "sample",
    "solvers",
    "ssim",
    "train",
    "upscale",
    "write",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"restorekit.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'restorekit' has no attribute {name!r}")
    module, _, other = _HOME[name].partition(":")
    value = getattr(importlib.import_module(f"restorekit.{module}"), other or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, *_ROOMS})
