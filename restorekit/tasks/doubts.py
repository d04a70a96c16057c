"""This module finds what in a result, beside what it was measured from, gives reason to doubt it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from restorekit.notes import Notes
from restorekit.priors.prior import LatentPrior
from restorekit.tasks.measured import Measured


def ceiling_of(measured: Measured, notes: Notes) -> float | None:
    """Return the PSNR, dB, that pictures keep through the codec of a prior of latents, and note it; None for other priors."""
    prior = measured.prior
    ceiling = prior.codec_psnr if isinstance(prior, LatentPrior) else None
    if ceiling is not None:
        notes(f"training pictures of {prior.spec.name} keep {ceiling:g} dB through its codec alone")
    return ceiling


def changes(measured: Measured, samples: Tensor, misfit: float) -> list[str]:
    """Return what to say where a denoised picture differs from the measured one by more than `misfit` times the noise that was
    found, or a step of integers."""
    found, picture = measured.forward.found, measured.read.picture
    if found is None or not found.floor or measured.read.operation != "denoise":
        return []
    step = 1 / (picture.span[1] - picture.span[0]) if picture.dtype.startswith(("int", "uint")) else 0.0
    told = np.ones(picture.pixels.shape[1:], bool) if measured.read.empty is None else ~measured.read.empty
    off = (samples[0].float().cpu().numpy() - measured.coded(torch.from_numpy(picture.pixels)).cpu().numpy())[:, told]
    change, noise = float(np.sqrt(np.square(off).mean())), max(found.white, step)
    if not noise or change <= misfit * noise:
        return []
    text = (
        f"the result differs from {measured.read.input.name} by {change:.2g} of white, {change / noise:.1f} times the noise in "
        "it; give `range`, the values of black and white, or `noise`"
    )
    return [text]
