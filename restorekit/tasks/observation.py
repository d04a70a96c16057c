"""A measurement as it was read: its picture in light, the curve of its file, and what its values say of black and white."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files.curves import Linear, curve_of
from restorekit.files.formats import content_of
from restorekit.files.picture import Picture, check_span
from restorekit.files.raw import RAW
from restorekit.files.reading import PLAINLY, Reading
from restorekit.files.record import record_beside
from restorekit.files.transfer import MIXING, Response, at_limits, chosen
from restorekit.inference.denoiser import Denoiser, Latent
from restorekit.inference.likelihood import Gamma, Likelihood
from restorekit.inference.solver import Solver
from restorekit.inference.units import of_coded_pictures
from restorekit.notes import Notes
from restorekit.operators import Operator
from restorekit.tasks import ranges
from restorekit.tasks.inputs import Input, Source, Span, cropped, take
from restorekit.tasks.mosaics import developed
from restorekit.tasks.unmeasured import left_empty, placed
from restorekit.text.names import NO_PICTURE, noise_of
from restorekit.text.spelling import noise_text
from restorekit.text.spelling import operation as operation_of

SMALLEST = 4  # pixels per side
MADE = "made"  # in `info` of a picture that `degrade` made: how
Box = tuple[int, int, int, int]  # top, left, height, width


@dataclass(frozen=True, eq=False)
class Observation:
    """It holds what was read: `as_read` in values of the file, `picture` in light."""

    input: Input
    as_read: Picture
    picture: Picture
    response: Response
    operation: str
    logarithms: bool = False  # the values are logarithms of intensities
    box: Box | None = None  # the part of the input that this is

    @cached_property
    def clipped(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return (black, white), (C, H, W): values at the limits of the file."""
        path = self.input.path
        return at_limits(self.as_read, smeared=path is not None and content_of(path) == "JPEG")

    @property
    def empty(self) -> NDArray[np.bool_] | None:
        """Return (H, W): pixels without data; None where there are none."""
        return None if self.picture.empty is None else self.picture.empty.where

    def record(self) -> dict[str, Any]:
        """Return the curve, what said so, and the shares of black and white."""
        black, white = (round(float(at.mean()), 5) for at in self.clipped)
        return {
            "transfer": self.response.curve.name,
            "transfer_by": self.response.source,
            "clipped": {"black": black, "white": white},
        }

    def seen_by(self, solver: Solver, denoise: Denoiser | Latent, operator: Operator) -> Denoiser | Latent:
        """Return the denoiser as a run is given it: of coded pictures, where the solver gains by that."""
        return of_coded_pictures(denoise, self.response.curve, solver, operator) if self.response.coded else denoise

    def part(self, box: Box) -> Observation:
        """Return the part of it in a box TOP, LEFT, HEIGHT, WIDTH. Raises `BadInput` where that lies outside, or is too small."""
        if min(box[2:]) < SMALLEST:
            said = ",".join(map(str, box))
            raise BadInput(f"`preview={said}` is smaller than {SMALLEST}x{SMALLEST} pixels", argument="preview")
        part = replace(self, as_read=cropped(self.as_read, box), picture=cropped(self.picture, box), box=box)
        if part.empty is not None and part.empty.all():
            said = ",".join(map(str, box))
            raise BadInput(f"`preview={said}` has no pixel with data; take another part", argument="preview")
        return part

    def left_empty(self, wanted: NDArray[np.bool_]) -> Observation:
        """Return the same, where pixels of the value of no data are not measured, nor filled unless they are `wanted` (H, W)."""
        return replace(self, as_read=left_empty(self.as_read, wanted), picture=left_empty(self.picture, wanted))

    def in_values(self, by: str) -> Observation:
        """Return the same as linear: the values of the file are restored as they are. by: what says so."""
        return replace(self, picture=self.as_read, response=Response(Linear(), source=by))

    def with_values(self, pixels: np.ndarray) -> Observation:
        """Return the same with other values (C, H, W), in light."""
        return replace(self, picture=replace(self.picture, pixels=pixels))


def observe(
    source: Source,
    operation: str,
    noise: str | Likelihood | None,
    span: Span | None,
    transfer: str,
    notes: Notes,
    reading: Reading = PLAINLY,
) -> Observation:
    """Read a measurement of `operation`. noise: as given, None where nobody gave it. reading: what is stated of the file.

    Raises `BadInput` where nothing could be restored: too small, constant, or integers whose white must be said.
    """
    law = noise if isinstance(noise, Likelihood) else None if noise in (None, "auto") else noise_of(str(noise))
    logarithms = isinstance(law, Gamma) and law.domain == "log"
    coefficients = operation in NO_PICTURE
    if span is not None:
        span = check_span(span)
    if logarithms and span not in (None, (0.0, 1.0)):
        raise BadInput(f"range {span}: logarithms have no black and white; leave `range` out", argument="range")
    values = (0.0, 1.0) if logarithms or (coefficients and span is None) else span
    given = take(source, values, holes=operation == "inpaint", reading=reading)
    picture, where = placed(given.picture, given.label, notes), given.label
    _, height, width = picture.pixels.shape
    if coefficients and picture.dtype not in ("float32", "float64", "float16"):
        raise BadInput(
            f"{where} holds {picture.dtype}; a measurement of {operation} is no picture: give floats (NPY, TIFF)"
        )
    if not coefficients and min(height, width) < SMALLEST:
        raise BadInput(
            f"{where} is {height}x{width} pixels; at least {SMALLEST}x{SMALLEST} are needed to restore anything"
        )
    if float(np.ptp(picture.pixels, axis=(1, 2)).max()) == 0:
        levels = dict.fromkeys(f"{float(v):.3g}" for v in picture.pixels[:, 0, 0])
        what = (
            f"every value is {next(iter(levels))}"
            if len(levels) == 1
            else f"its bands are {', '.join(levels)} everywhere"
        )
        raise BadInput(f"{where} is constant ({what}): there is nothing to restore; check the file")
    spelled = "auto" if noise is None else noise_text(noise)
    if RAW in picture.info:
        picture, developing = developed(picture, transfer, given.name)
        return Observation(given, picture, developing.decoded(picture), developing, operation)
    response = _as_made(given, operation) if transfer == "auto" else None
    response = response or chosen(transfer, operation, spelled, picture, given.coded_as)
    if not (coefficients or response.coded or span is not None):
        picture = _ranged(picture, given, law, notes)
    return Observation(given, picture, response.decoded(picture), response, operation, logarithms)


def _as_made(given: Input, asked: str) -> Response | None:
    """Return the curve of a measurement that `degrade` made by the operator `asked`; None of any other."""
    path, said = given.path, given.picture.info.get(MADE)
    by = "how it was made"
    if path is not None and (found := record_beside(path, "degrade")) is not None:
        by, said = f"its record {found[0]}", found[1]
    if said is None or "curve" not in said or operation_of(str(said.get("operator"))) != asked:
        return None
    try:
        curve = curve_of(said["curve"])
    except BadInput:
        return None
    known = curve.fits(len(given.picture.pixels))
    source = by if asked in MIXING or not isinstance(curve, Linear) else None
    return Response(curve, source=source, recorded=True) if known else None


def _ranged(picture: Picture, given: Input, law: Likelihood | None, notes: Notes) -> Picture:
    """Return the picture with the range that is used, where integers fill little of their type and no setting is
    relative to white."""
    found = ranges.used(picture)
    if found is None:
        return picture
    if law is not None and not isinstance(law, Gamma):
        ranges.check_range(given.label, picture)
        return picture
    full, white = int(picture.span[1]), int(found[1])
    notes(
        f"range: {given.name} uses little of 0..{full}; white is taken to be {white} (`range=0,{white}`), and noise is "
        f"relative to it; `range=0,{full}` for the whole"
    )
    return ranges.ranged(picture, found)
