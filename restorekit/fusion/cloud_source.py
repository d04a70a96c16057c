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
        self, optical: files.Bands, fused: Sequence[int], grey: Array, valid: Mask, notes: Notes
    ) -> tuple[Mask, dict[str, Any] | None]:
        """Return where clouds hide the ground, (H, W), and a record. grey: the bands that are `fused`, black 0 and white 1."""
        if self.where is None:
            return np.zeros(optical.size, np.bool_), None
        if self.where == AUTO:
            found = self.test(grey, valid)
            notes(
                "clouds are told by brightness alone: snow, sand and large roofs are taken for them, thin ones and shadows are not; "
                "OUT_cloud shows what was taken"
            )
        else:
            found = CloudClasses(self.classes or "mask")(*self._values(optical, fused)) & valid
        share = float(found[valid].mean())
        said = "; the radar picture stands there" if found.any() else ""
        notes(f"{share:.1%} of {optical.path.name} is cloud{said}")
        return found, {"from": self.where, "classes": self.classes, "share": round(share, 6)}

    def _values(self, optical: files.Bands, fused: Sequence[int]) -> tuple[Array, str]:
        """Return the values (H, W) on the grid of the optical picture, NaN where they say nothing, and what to call them."""
        path = self.path
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
