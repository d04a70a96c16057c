"""The mask of clouds comes from a band of the optical file, from a file of its own, or from a test of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files.bands import describe
from restorekit.fusion import common_grid as grid
from restorekit.fusion import pair_files as files
from restorekit.fusion.clouds import CloudClasses, CloudTest
from restorekit.notes import Notes

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]
AUTO = "auto"
BAND = "band:"
Span = tuple[float, float] | None


def white_of(optical: files.Bands, bands: Sequence[int], span: Span) -> Span:
    """Return the values (black, white) of an optical picture that are known and not guessed: `span` as it was given, those of 8 bits, of
    a picture of 16, and reflectances 0 and 1 by the scale that the file says. None where nothing says them."""
    if span is not None:
        return span
    if optical.dtype == "uint8":
        return 0.0, 255.0
    if optical.picture is not None:
        return optical.picture.span if optical.dtype == "uint16" and optical.path.suffix.lower() != ".npy" else None
    if optical.raster is None:
        return None
    scales = {(optical.raster.scales[n - 1], optical.raster.offsets[n - 1]) for n in bands}
    scale, offset = scales.pop()
    return None if scales or (scale, offset) == (1.0, 0.0) or scale <= 0 else (-offset / scale, (1 - offset) / scale)


@dataclass(frozen=True)
class CloudSource:
    """It says where the mask comes from; the call makes it. where: "auto", "band:4" of the optical file, from 1, a file, or None.

    classes: of `CloudClasses`; None for a mask of 0 and one other. Raises BadInput for classes that no values have.
    """

    where: str | None = None
    classes: str | None = None
    test: CloudTest = field(default_factory=CloudTest)

    def __post_init__(self) -> None:
        if self.classes is None:
            return
        CloudClasses(self.classes)
        if self.where is None:
            raise BadInput(
                "`cloud_classes` says what the values of `cloud` are, a band or a file; give that too",
                argument="cloud_classes",
            )
        if self.where == AUTO:
            raise BadInput("`cloud=auto` knows no classes; leave `cloud_classes` out", argument="cloud_classes")

    @property
    def path(self) -> Path | None:
        """Return the file, None where it is none."""
        no_file = self.where is None or self.where == AUTO or self.where.startswith(BAND)
        return None if no_file else Path(str(self.where))

    def __call__(
        self, optical: files.Bands, fused: Sequence[int], values: Array, valid: Mask, white: Span, notes: Notes
    ) -> tuple[Mask, dict[str, Any] | None]:
        """Return where clouds hide the ground, (H, W), and a record. values: those of the bands that are `fused`; white: what of them
        are black and white, None where nothing says it. Raises BadInput for a mask that says nothing, and for a test without `white`."""
        if self.where is None:
            return np.zeros(optical.size, np.bool_), None
        unknown = 0.0
        if self.where == AUTO:
            if white is None:
                raise BadInput(
                    f"`cloud=auto` asks how bright white is, and {optical.path}, {optical.dtype}, does not say; give `range`, such as "
                    "0,10000 for reflectance times 10000, or a mask",
                    argument="cloud",
                )
            found = self.test((values - white[0]) / (white[1] - white[0]), valid)
            notes(
                "clouds are told by brightness alone: snow, sand and large roofs are taken for them, thin ones and shadows are not; "
                "OUT_cloud shows what was taken"
            )
        else:
            classes, name = self._values(optical, fused)
            unknown = float(np.mean(~np.isfinite(classes[valid])))
            if unknown == 1:
                raise BadInput(
                    f"{name} has no value at any valid pixel of {optical.path}; give a mask of its place",
                    argument="cloud",
                )
            if unknown:
                notes(f"{name} says nothing for {unknown:.1%} of {optical.path.name}, which is taken to be clear")
            found = CloudClasses(self.classes or "mask")(classes, name) & valid
        share = float(found[valid].mean())
        notes(f"{share:.1%} of {optical.path.name} is cloud")
        record = {"from": self.where, "classes": self.classes, "share": round(share, 6), "unknown": round(unknown, 6)}
        return found, record

    def _values(self, optical: files.Bands, fused: Sequence[int]) -> tuple[Array, str]:
        """Return the values (H, W) on the grid of the optical picture, NaN where they say nothing, and what to call them."""
        path = self.path
        if str(self.where) == BAND[:-1] and path is not None and not path.exists():
            raise BadInput(
                f"`cloud={self.where}`: say which band of {optical.path} it is, as `cloud={BAND}4`", argument="cloud"
            )
        if path is None:
            number, count = str(self.where)[len(BAND) :], len(optical.values)
            if not number.isdecimal() or not 1 <= int(number) <= count:
                raise BadInput(
                    f"`cloud={self.where}`: {optical.path} has {count} band(s), numbered from 1", argument="cloud"
                )
            if int(number) in fused:
                raise BadInput(
                    f"`cloud={self.where}`: that band is fused; give another, or other `bands`", argument="cloud"
                )
            return optical.values[int(number) - 1].astype(np.float64), f"band {number} of {optical.path.name}"
        raster = None if files.is_plain(path) else describe(path)
        on_a_map = (
            raster is not None and optical.raster is not None and grid.placed(raster) and grid.placed(optical.raster)
        )
        if raster is not None and optical.raster is not None and on_a_map and grid.differences(optical.raster, raster):
            return grid.labels_on(raster, optical.raster), path.name
        bands = files.read(path, [1], raster)
        if bands.size != optical.size:
            (h, w), (rows, columns) = optical.size, bands.size
            raise BadInput(
                f"{path} is {rows}x{columns} and {optical.path} {h}x{w} pixels, and not both have a place on the map; resample the mask",
                argument="cloud",
            )
        return np.where(bands.valid[0], bands.values[0], np.nan).astype(np.float64), path.name
