"""A product says more of its numbers than a raster: what they are, how they are calibrated, their looks and grain."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from restorekit.files.bands import Window


@dataclass(frozen=True)
class BandFacts:
    """Facts of a band hold what a product says of it.

    name: such as "VV". domain: one of `restorekit.sar.domain.DOMAINS`, or "" where it is none of them. looks, grain: of its
    speckle, grain being the correlation of intensity with the next row and the next column; None where the product does not
    say. unit: text, such as "sigma0".
    """

    name: str
    domain: str
    looks: float | None = None
    grain: tuple[float, float] | None = None
    unit: str = ""


class Product(Protocol):
    """A product reads windows of its bands. It is a frozen dataclass of a path and of what is to be taken of it, so that a
    worker that is given it opens the files itself, and the same is read everywhere.

    A place on the map is kept as `restorekit.files.bands.Raster` keeps it: crs and transform (an affine transform of rasterio),
    or gcps and gcps_crs; None, or () of gcps, where there is none.
    """

    @property
    def path(self) -> Path:
        """Return the file or folder."""
        ...

    @property
    def count(self) -> int:
        """Return the number of bands."""
        ...

    @property
    def height(self) -> int:
        """Return the number of rows."""
        ...

    @property
    def width(self) -> int:
        """Return the number of columns."""
        ...

    @property
    def dtype(self) -> str:
        """Return the type of what `read` returns: "float32" or "complex64"."""
        ...

    @property
    def bands(self) -> tuple[BandFacts, ...]:
        """Return the facts of each band."""
        ...

    @property
    def crs(self) -> Any:
        """Return the coordinate system of `transform`, None without one."""
        ...

    @property
    def transform(self) -> Any:
        """Return the affine transform of (column, row) to coordinates, None without one."""
        ...

    @property
    def gcps(self) -> tuple[Any, ...]:
        """Return ground control points of rasterio."""
        ...

    @property
    def gcps_crs(self) -> Any:
        """Return the coordinate system of `gcps`, None without one."""
        ...

    @property
    def said(self) -> tuple[str, ...]:
        """Return sentences: what was calibrated, which noise was taken out."""
        ...

    def read(self, window: Window, band: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return (h, w) of a band, from 1, and True where it was measured. Raises BadInput where the file is damaged."""
        ...
