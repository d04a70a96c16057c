"""Denoising: the noise as it is found, and how much of it is taken out."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.files.raw import is_raw
from restorekit.inference.denoiser import Latent
from restorekit.inference.likelihood import Likelihood
from restorekit.inference.units import units_of
from restorekit.noise.judgement import PAPER
from restorekit.noise.level import Noise
from restorekit.noise.residue import LUMA
from restorekit.notes import Notes
from restorekit.operators import Operator
from restorekit.priors.find import Precision, Prior, load_prior
from restorekit.priors.octaves import Octaves
from restorekit.tasks.inputs import Source
from restorekit.tasks.jpeg_forward import JPEGForward, is_jpeg, jpeg_forward
from restorekit.tasks.measured import Measured
from restorekit.tasks.mosaics import MOSAIC
from restorekit.tasks.noise_found import measured_noise
from restorekit.tasks.observation import Observation
from restorekit.tasks.restore import Restoring
from restorekit.text.jpeg_last import NAME as JPEG

WHITE = 255.0  # of the values of a JPEG, where nobody gave another range
LEAST = 0.001  # noise of a picture before it was a JPEG, where none was found


@dataclass(frozen=True, kw_only=True)
class NoiseRemoval(Restoring):
    """Take noise out. strength: the share of what was taken out that stays out, above 0 and at most 1.

    The noise is told to the prior as it is, and the answer is the same; of the difference to the input so much is
    applied, so that 0.7 leaves three tenths of the noise, as grain or against plastic surfaces. Impulses go altogether.
    """

    op: str | Operator = "denoise"
    strength: float = 1.0

    def _suited(self, source: Source) -> NoiseRemoval:
        """Return the settings for a raw file: noise is taken out and the colours filled in as one."""
        if self.op == "denoise" and isinstance(source, str | os.PathLike) and is_raw(Path(source)):
            return replace(self, op=MOSAIC)
        return self

    def _finished(self, samples: Tensor, measured: Measured) -> Tensor:
        y = measured.coded(torch.from_numpy(measured.read.picture.pixels)).to(samples)
        if isinstance(measured.forward, JPEGForward):
            if (
                measured.forward.stored.colourless
            ):  # of whose fine colours the file says nothing, and a prior makes some up
                samples = _grey(samples)
            if measured.forward.white == WHITE:
                samples = samples.clamp(0, 1)  # as it will be written, before its mean is told
            # What rounding does to the mean of a picture averages out; a prior that draws it within the bins is wrong.
            samples = samples + (y[None] - samples).mean((-2, -1), keepdim=True)
        if self.strength == 1:
            return samples
        mixed = torch.lerp(y[None], samples, self.strength)
        if measured.forward.impulses is None:
            return mixed
        return torch.where(torch.from_numpy(measured.forward.impulses).to(y.device), samples, mixed)

    def measure(self, source: Source, notes: Notes) -> Measured:
        loaded = self
        if not isinstance(self.prior, Prior) and self.noise == "auto":
            # The prior is asked about the noise: it is loaded before the picture is looked at.
            name, precision = os.fspath(self.prior), cast(Precision, self.precision)
            prior = load_prior(name, device=self._place(), precision=precision, tile=self.tile or "auto")
            loaded = replace(self, prior=prior)
        measured = Restoring.measure(loaded, source, notes)
        found, denoise = measured.forward.found, measured.denoiser
        if not self._one or found is None or isinstance(denoise, Latent) or _blank(found):
            return measured
        if not (found.camera and found.correlated):
            bins = self.preview is None and not found.share and is_jpeg(measured.read, notes)
            return _in_bins(measured, found, notes) if bins else measured
        notes("noise: taken out at a quarter of the size, at half and whole, in turn")
        return replace(measured, denoiser=Octaves(denoise))

    def _noise(
        self, reading: Observation, valid: np.ndarray | None, notes: Notes
    ) -> tuple[str | Likelihood, Noise | None]:
        prior = self.prior
        if self.noise != "auto" or not isinstance(prior, Prior) or isinstance(prior, Latent) or reading.logarithms:
            return super()._noise(reading, valid, notes)
        if units_of(prior.for_bands(len(reading.picture.pixels))) is not None:  # it knows no pictures
            return super()._noise(reading, valid, notes)
        ranged = self.range is not None
        return measured_noise(reading, valid, ranged, notes, lambda found: self._law(found, reading), prior.for_bands)

    def _untouched(self, measured: Measured) -> str | None:
        if isinstance(measured.forward, JPEGForward):
            return None
        if measured.forward.impulses is None and _blank(measured.forward.found) and self._one:
            return "denoise: most of the picture is constant, and what is left are edges, of which nothing tells noise"
        return super()._untouched(measured)

    @property
    def _one(self) -> bool:
        """Return True where one answer is asked for, of no certain solver."""
        return self.solver == "auto" and self.samples == 1 and not self.coarse

    @property
    def _own(self) -> str:
        return ""

    def record(self) -> dict[str, Any]:
        return super().record() | {"strength": self.strength}

    def check_settings(self) -> None:
        super().check_settings()
        if self.operation == MOSAIC and self.strength != 1:
            raise BadInput(
                "`strength` leaves noise in a picture, and a mosaic is none; leave it out", argument="strength"
            )
        if not 0 < self.strength <= 1:
            raise BadInput(
                f"`strength={self.strength:g}` must be above 0 and at most 1, where all that was found is taken out; to take "
                "out more, give the noise, as `noise=gaussian:0.05`",
                argument="strength",
            )
        if self.strength != 1 and self.samples > 1:
            raise BadInput(
                "`strength` leaves noise in one answer; `samples` are draws of the picture without it: give one of them",
                argument="strength",
            )


def _in_bins(measured: Measured, found: Noise, notes: Notes) -> Measured:
    """Return the measurement of a JPEG by the bins in which its coefficients lie, with the white noise that its picture had before."""
    read = replace(measured.read, operation=JPEG)
    forward = jpeg_forward("denoise", read, f"gaussian:{max(found.before, LEAST):.4f}", None, notes)
    if forward.untouched:
        return measured
    name = read.input.name
    notes(
        f"jpeg: the bins in which the coefficients of {name} lie are used, with noise of {forward.sigma:.4f} before, in several calls of "
        f"the network; `noise={measured.forward.noise_text}` takes what was lost as noise, in one"
    )
    forward = replace(forward, found=found)
    return replace(measured, forward=forward, plain=forward.problem(measured.place, notes))


def _blank(found: Noise | None) -> bool:
    """Return True where most of a JPEG is constant, as paper is, and the rest tells of no noise: letters, that a prior only smooths."""
    return found is not None and found.rounded and not found.asked and found.left_out >= PAPER


def _grey(samples: Tensor) -> Tensor:
    """Return samples (N, 3, H, W) with their luma in every band."""
    luma = (samples * samples.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    return luma.expand_as(samples)
