"""This module states what was measured and with which prior it is seen: settings, and the problem that follows from
them and an input."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from restorekit.errors import BadInput
from restorekit.files.masks import inverted
from restorekit.files.raw import RAW
from restorekit.files.reading import Reading
from restorekit.inference.denoiser import Denoiser, Latent
from restorekit.inference.likelihood import Gaussian, Likelihood
from restorekit.noise.level import Noise
from restorekit.notes import Notes
from restorekit.operators import JPEG as JPEGOperator
from restorekit.operators import GridBlur, Inpaint, JPEGAfter, Mosaic, Operator, Resize
from restorekit.operators.base import Shape
from restorekit.priors.find import Precision, Prior, device_of, load_prior, of_pictures
from restorekit.priors.wrappers import EnsembleFlip
from restorekit.tasks.clipped import way_of
from restorekit.tasks.forward import Forward
from restorekit.tasks.inputs import Source, Span
from restorekit.tasks.jpeg_forward import jpeg_forward
from restorekit.tasks.measured import Measured
from restorekit.tasks.mosaics import MOSAIC, mosaic_noise, mosaic_of, raw_record
from restorekit.tasks.noise_found import ASSUMED, Blurred, blurred_by, measured_noise, white_law
from restorekit.tasks.observation import Box, Observation, observe
from restorekit.tasks.unmeasured import behind_mask, without_empty
from restorekit.text.jpeg_last import NAME as JPEG
from restorekit.text.jpeg_last import before as before_jpeg
from restorekit.text.names import files_of, kernel_folder, operator_of
from restorekit.text.spelling import located, operation

Progress = Callable[[str, int, int], None]  # (what runs, network calls done, in all)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Settings that say what was measured.

    op: the forward model, as "average:factor=4" or an operator. noise: a law, as "gaussian:0.02" (white = 1) or
    `Poisson(100)`; "auto" measures Gaussian noise; None takes `ASSUMED` and says so. prior: a name, a path or a `Prior`.
    range: the values of black and white. transfer: the curve from light to values, "auto", "srgb",
    "linear", "gamma:2.2" or "FILE.icc".
    clipped: values at the limits of an integer file are "censored", that or beyond, "measured" or "missing"; "auto" by the noise.
    flips: average the network over 2, 4 or 8 flips. preview: restore the part TOP, LEFT, HEIGHT, WIDTH alone.
    layout: axes of an NPY file of three, "HWC" or "CHW". page: of a TIFF of several, from 1.
    """

    op: str | Operator
    noise: str | Likelihood | None = "auto"
    prior: str | os.PathLike[str] | Prior = "natural"
    seed: int = 0
    device: str = "auto"
    tile: int | None = None
    precision: str = "auto"
    flips: int = 1
    range: Span | None = None
    transfer: str = "auto"
    clipped: str = "auto"
    preview: Box | None = None
    layout: str | None = None
    page: int | None = None

    @property
    def operation(self) -> str:
        return operation(self.op) if before_jpeg(self.op) is None else JPEG

    @property
    def op_text(self) -> str:
        """Return the forward model in records."""
        return self.op if isinstance(self.op, str) else self.operation

    @property
    def varies(self) -> bool:
        """Return True where the blur has a grid of kernels, which are those of the whole picture."""
        return isinstance(self.op, GridBlur) or (isinstance(self.op, str) and kernel_folder(self.op) is not None)

    @property
    def prior_name(self) -> str:
        return self.prior.spec.name if isinstance(self.prior, Prior) else os.fspath(self.prior)

    def opened(self) -> list[Path]:
        """Return the files that the settings name, which must not be written over."""
        prior = None if isinstance(self.prior, Prior) else os.fspath(self.prior)
        return files_of(self.op if isinstance(self.op, str) else None, prior, self.transfer)

    def measure(self, source: Source, notes: Notes) -> Measured:
        """Read the input, find the noise, and put the problem. Raises `BadInput` for what does not fit together."""
        if self.preview is not None and self.varies:
            raise BadInput(
                "`preview` shows a part, and the kernels of a folder are those of the whole; leave it out",
                argument="preview",
            )
        how = Reading(self.layout, self.page, raw=self.operation == MOSAIC)
        reading = observe(source, self.operation, self.noise, self.range, self.transfer, notes, how)
        way = self._way(reading)
        place = self._place()
        prior = self._prior(place, reading.logarithms)
        forward = self._forward(reading, notes)
        plain = forward.problem(place, notes)
        return Measured(forward, prior, self._denoiser(prior, forward.operator), plain, place, self.range, way)

    def _way(self, reading: Observation) -> str:
        """Return how clipped values are taken."""
        return way_of(self.clipped, self.noise is None, reading.response.coded)

    def _forward(self, reading: Observation, notes: Notes) -> Forward:
        """The operator first: where it says that nothing was measured, there is no noise."""
        if (inner := before_jpeg(self.op)) is not None:
            noise, _ = self._noise(reading, None, notes)
            return jpeg_forward(inner, reading, noise, self.preview, notes)
        pixels = reading.picture.pixels
        operator = self._operator_of(reading)
        if isinstance(operator, Inpaint):
            reading = reading.left_empty((operator.mask <= 0).any(0).numpy())
            pixels = behind_mask(reading.picture.pixels, operator, reading.input.label)
            reading = reading.with_values(pixels)
            notes(f"mask: {float((operator.mask > 0).float().mean()):.1%} measured")
            if (doubt := inverted(operator.mask.numpy(), pixels)) is not None:
                notes(doubt)
        operator = without_empty(operator, reading.picture, reading.input.label, notes)
        valid = None if reading.empty is None else ~reading.empty[None]
        valid = operator.mask.numpy() if isinstance(operator, Inpaint) else valid
        if self.noise == "auto" and isinstance(operator, Mosaic):
            noise, found = mosaic_noise(pixels, operator, reading.picture.info.get(RAW), reading.input.name, notes)
        elif (blur := blurred_by(operator)) is not None:
            noise, found = self._noise_after(blur, reading, valid, notes)
        else:
            noise, found = self._noise(reading, valid, notes)
        if self.preview is None:
            return Forward(reading, operator, noise, found)
        part = reading.part(self.preview)
        if isinstance(operator, Inpaint):
            shape = cast(Shape, part.picture.pixels.shape)
            operator = Inpaint(shape, _part(operator.mask.numpy(), self.preview))
        else:
            operator = self._operator_of(part)
        if isinstance(noise, Gaussian) and isinstance(noise.sigma, Tensor) and noise.sigma.shape == pixels.shape:
            noise = Gaussian(_part(noise.sigma.numpy(), self.preview))
        return Forward(part, operator, noise, self._found_in_part(found))

    def _operator_of(self, reading: Observation) -> Operator:
        """Return the operator for what was read; of a raw file with its own pattern and colours."""
        shape, sensor = cast(Shape, reading.picture.pixels.shape), reading.picture.info.get(RAW)
        if sensor is None or not isinstance(self.op, str):
            return self._operator(shape)
        return mosaic_of(self.op, sensor, shape)

    def _found_in_part(self, found: Noise | None) -> Noise | None:
        if found is None or self.preview is None:
            return found
        return replace(found, impulses=_part(found.impulses, self.preview).numpy())

    def _operator(self, measured: Shape) -> Operator:
        """Return the operator for a measurement of this shape (C, H, W)."""
        return self.op if isinstance(self.op, Operator) else operator_of(self.op, measured=measured)

    def _noise(
        self, reading: Observation, valid: np.ndarray | None, notes: Notes
    ) -> tuple[str | Likelihood, Noise | None]:
        return self._noise_after(None, reading, valid, notes)

    def _noise_after(
        self, blur: Blurred | None, reading: Observation, valid: np.ndarray | None, notes: Notes
    ) -> tuple[str | Likelihood, Noise | None]:
        """Return the noise of a measurement that went through a blur, None where that is not known."""
        if self.noise is None:
            return self._assumed(reading), None
        if self.noise != "auto":
            return self.noise, None
        ranged = self.range is not None
        return measured_noise(reading, valid, ranged, notes, lambda found: self._law(found, reading), blur=blur)

    def _law(self, found: Noise, reading: Observation) -> str | Likelihood:
        """Return the law to use for the noise that was found in `reading`."""
        return white_law(found)

    def _assumed(self, reading: Observation) -> str:
        """Return the noise where nobody gave one, nor wants it measured."""
        return ASSUMED

    def _place(self) -> torch.device:
        """Return the device to compute on: with a `Prior` and no other wish, that of its network."""
        module = _module_of(self.prior) if isinstance(self.prior, Prior) and self.device == "auto" else None
        weight = None if module is None else next(module.parameters(), None)
        return device_of(self.device) if weight is None else weight.device

    def _prior(self, place: torch.device, logarithms: bool) -> Prior:
        prior = self.prior
        if not isinstance(prior, Prior):
            name, precision = os.fspath(prior), cast(Precision, self.precision)
            prior = load_prior(name, device=place, precision=precision, tile=self.tile or "auto")
        if not logarithms:
            return of_pictures(prior)
        if prior.units is None:
            raise BadInput(
                f"prior {self.prior_name} knows pictures and no logarithms of intensities; take `prior=sar`",
                argument="prior",
            )
        return prior

    def _denoiser(self, prior: Prior, operator: Operator) -> Denoiser | Latent:
        denoise = prior.for_bands(operator.image_shape[0])
        if self.flips == 1:
            return denoise
        if isinstance(denoise, Latent):
            raise BadInput(
                f"`flips={self.flips}`: the latent of a flipped picture is no flipped latent; leave it out",
                argument="flips",
            )
        try:
            return EnsembleFlip(denoise, self.flips)
        except ValueError as error:
            raise BadInput(f"flips: {error}", argument="flips") from None


def _part(values: np.ndarray, box: Box) -> Tensor:
    top, left, height, width = box
    return torch.from_numpy(np.ascontiguousarray(values[:, top : top + height, left : left + width]))


def _module_of(denoise: Any) -> nn.Module | None:
    """Return the network inside wrappers that are dataclasses."""
    if isinstance(denoise, nn.Module) or not is_dataclass(denoise):
        return denoise if isinstance(denoise, nn.Module) else None
    return next(filter(None, (_module_of(getattr(denoise, f.name)) for f in fields(denoise))), None)


def _operator_text(operator: Operator, settings: Measurement) -> str:
    """Return the operator in records: of a resizer with all that it was found to be."""
    if isinstance(operator, JPEGAfter):
        return f"{_operator_text(operator.inner, settings).removesuffix(f'|{JPEG}')}|{JPEG}"
    if isinstance(operator, JPEGOperator):
        return JPEG
    return operator.text if isinstance(operator, Resize) else located(settings.op_text)


def record_of(measured: Measured, settings: Measurement) -> dict[str, Any]:
    """Return what the record of a run says of the measurement and the prior."""
    forward, prior, picture = measured.forward, measured.prior, measured.read.picture
    preview = {} if settings.preview is None else {"preview": list(settings.preview)}
    return {
        "operator": _operator_text(forward.operator, settings),
        "noise": forward.noise_text,
        "noise_measured": settings.noise == "auto",
        "noise_found": forward.found and forward.found.record(),
        "range": picture.span,
        **measured.read.record(),
        **measured.clipped.record(),
        **raw_record(measured.read.response),
        **preview,
        "prior": {"name": prior.spec.name, "sha256": prior.sha256},
        "device": str(measured.place),
        "precision": prior.precision,
        "tile": prior.tile,
    }
