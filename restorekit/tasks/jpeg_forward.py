"""This module states what a JPEG measures: coefficients in bins, after whatever blurred the picture or made it smaller before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.files.formats import content_of
from restorekit.files.jpeg_file import EXTRA, StoredJPEG, read_jpeg
from restorekit.inference.likelihood import Gaussian, Likelihood
from restorekit.inference.problem import Problem
from restorekit.inference.quantised import Quantised
from restorekit.notes import Notes
from restorekit.operators import JPEG, Identity, JPEGAfter, LinearOperator
from restorekit.operators.base import Shape
from restorekit.tasks.forward import Forward
from restorekit.tasks.observation import Box, Observation
from restorekit.text.names import noise_of, operator_of

# Deviation of a coefficient by the rounding of pixels to components, of the mean of chroma and of the encoder's own
# arithmetic, in values of 0 to 255: benchmarks/restoration/jpeg.py measures it on the files of three encoders.
ROUNDED = 0.4
# The same of blocks that reach beyond the picture, which is taken to be repeated there, as libjpeg has it and others may not.
FILLED = 4 * ROUNDED


@dataclass(frozen=True, eq=False, kw_only=True)
class JPEGForward(Forward):
    """The coefficients of a file, with the deviation `sigma` of its picture before it was coded, white = 1."""

    stored: StoredJPEG
    sigma: float

    @property
    def untouched(self) -> bool:
        """Return True where the file lost nothing that a prior could know better: no blur before, fine steps, whole chroma."""
        return isinstance(self.operator, JPEG) and self.stored.lossless

    @property
    def law(self) -> Likelihood:
        """Return the law of the coefficients."""
        return self._law(self.sigma)

    def _law(self, sigma: float) -> Likelihood:
        stored, jpeg = self.stored, self._jpeg
        gains = jpeg.gains(torch.zeros(()))
        usual, there = (v / self.white for v in (ROUNDED, FILLED))
        noise = torch.cat([_flat(np.hypot(g * sigma, _each(f, usual, there))) for g, f in zip(gains, stored.filled)])
        steps = torch.cat([_flat(w) for w in stored.widths]) / self.white
        if stored.binned:
            return Quantised(Gaussian(noise[None]), steps[None], self._measured())
        return Gaussian((noise.square() + steps.square() / 12).sqrt()[None])

    @property
    def white(self) -> float:
        """Return how many values of the file are 1 in the picture."""
        black, white = self.read.picture.span
        return white - black

    @property
    def _jpeg(self) -> JPEG:
        outer = self.operator.outer if isinstance(self.operator, JPEGAfter) else self.operator
        return cast(JPEG, outer)

    def _measured(self) -> Tensor:
        parts = [_flat(v * s) for v, s in zip(self.stored.levels, self.stored.steps)]
        y = torch.cat(parts)[None] / self.white
        # The level is that of 128 of 255 values, of which the picture begins at another black.
        return y + self._jpeg.level(y) * (128 - self.read.picture.span[0]) / 128 * 255 / self.white

    def problem(self, place: torch.device, notes: Notes) -> Problem:
        """Return the problem of the coefficients; pixels without data are as they were coded."""
        return Problem(self._measured().to(place), self.operator.to(place), self.law.to(place))


def _each(blocks: np.ndarray, usual: float, there: float) -> np.ndarray:
    """Return (rows, columns, 8, 8), `there` in blocks (rows, columns) that are True."""
    return np.broadcast_to(np.where(blocks, there, usual)[..., None, None], (*blocks.shape, 8, 8))


def _flat(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32)).flatten()


def is_jpeg(reading: Observation, notes: Notes | None = None) -> bool:
    """Return True where the bins of a measurement can be told: of a JPEG file of grey or three colours, in its own values.

    notes: are told where they would need the extra `jpeg`."""
    path = reading.input.path
    if path is None or reading.response.coded or content_of(path) != "JPEG":
        return False
    try:
        binned = read_jpeg(path).binned
    except BadInput:
        return False
    if not binned and notes is not None:
        notes(
            f"jpeg: the bins of {reading.input.name} are finer than decoded pixels tell, and are not used; the extra `jpeg` reads "
            "them, pip install 'restorekit[jpeg]'"
        )
    return binned


def jpeg_forward(
    inner: str, reading: Observation, noise: str | Likelihood, preview: Box | None, notes: Notes
) -> JPEGForward:
    """Return the forward model of the file that `reading` is of, `inner` the text of the operator before. noise: before it was coded.

    Raises `BadInput` where there is no file, it is no JPEG, and for what cannot be told of coefficients."""
    path = reading.input.path
    if path is None:
        raise BadInput("the tables of a JPEG are in its file, and an array has none; give the path of the file")
    if reading.response.coded:
        raise BadInput(
            "`transfer`: coefficients of a JPEG are of the values of the file; give `transfer=linear`",
            argument="transfer",
        )
    stored = read_jpeg(path)
    if not stored.exact:
        how = (
            "from decoded pixels"
            if stored.binned
            else "not used, as their steps are too fine to be told from decoded pixels"
        )
        notes(f"jpeg: the bins of {path.name} are {how}; {EXTRA} reads them from the file")
    law = noise if isinstance(noise, Likelihood) else noise_of(noise)
    if not isinstance(law, Gaussian) or torch.as_tensor(law.sigma).numel() != 1:
        raise BadInput(
            "noise that a picture had before it was a JPEG is white: give `noise=gaussian:0.02`", argument="noise"
        )
    shown = cast(Shape, reading.picture.pixels.shape)
    frame = None
    if preview is not None:
        if inner != "denoise":
            raise BadInput("`preview` is for jpeg alone, or leave `|jpeg` out", argument="preview")
        part = reading.part(preview)
        stored, frame = stored.window_shown(preview, shown[1:])
        reading = part
    height, width = stored.size if stored.orientation < 5 else stored.size[::-1]
    shape = (shown[0], height, width)
    jpeg = JPEG(shape, stored.sampling, stored.colour, stored.orientation, frame)
    operator = jpeg if inner == "denoise" else _after(jpeg, inner)
    return JPEGForward(reading, operator, noise, stored=stored, sigma=float(law.sigma))


def _after(jpeg: JPEG, inner: str) -> JPEGAfter:
    first = operator_of(inner, measured=jpeg.image_shape)
    if not isinstance(first, LinearOperator):
        raise BadInput(f"operator {inner!r} is not linear, and what is in a JPEG is told of linear ones alone")
    if isinstance(first, Identity) or tuple(first(torch.zeros(1, *first.image_shape)).shape[1:]) != jpeg.image_shape:
        raise BadInput(f"operator {inner!r} measures no picture of the size of the JPEG; check its settings")
    return JPEGAfter(first.image_shape, jpeg, first)
