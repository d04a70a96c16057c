"""Scenes are files of any size, GeoTIFF and what else GDAL knows, NPY, and pictures; they are read by windows of the
numbers they hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files.bands import Raster, Window, describe, opened
from restorekit.files.datasets import is_dataset
from restorekit.files.formats import PICTURES, PLAIN
from restorekit.files.reading import PLAINLY, Reading, mapped, npy_layout
from restorekit.files.session import opened_result
from restorekit.files.stored import check_source, read_values


class Reads(Protocol):
    """A scene that is open reads windows of its bands."""

    def read(self, window: Window, band: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return (h, w) of a band, from 1, as the file holds it, and True where that is data: no nodata, no NaN, not
        masked."""
        ...

    def mask(self, window: Window) -> NDArray[np.bool_]:
        """Return (h, w) of a mask of the file's own, beside its values."""
        ...


class Described(Protocol):
    """A band of a product has a name, a domain of its numbers, and looks and grain where the product says them."""

    @property
    def name(self) -> str: ...
    @property
    def domain(self) -> str: ...
    @property
    def looks(self) -> float | None: ...
    @property
    def grain(self) -> tuple[float, float] | None: ...


class OwnReader(Protocol):
    """A reader of a product knows more of it than a file of bands says (`restorekit.products.product.Product`)."""

    @property
    def bands(self) -> Sequence[Described]: ...
    @property
    def said(self) -> tuple[str, ...]: ...
    def read(self, window: Window, band: int) -> tuple[NDArray[Any], NDArray[np.bool_]]: ...


@dataclass(frozen=True, eq=False)
class Scene:
    """A file of bands of one size and type. `raster` is all that a georeferenced file says; None for others. `product`
    reads what is no plain file of bands."""

    path: Path
    count: int
    height: int
    width: int
    dtype: str
    raster: Raster | None = None
    reading: Reading = PLAINLY
    pixels: NDArray[Any] | None = None  # (C, H, W) of a scene in memory, which is no file
    product: OwnReader | None = None

    @contextmanager
    def opened(self) -> Iterator[Reads]:
        """Yield the scene open, to be read by windows."""
        if self.product is not None:
            yield OfProduct(self.product)
        elif self.raster is not None:
            with opened(self.raster) as reader:
                yield reader
        else:
            yield self._array

    @cached_property
    def _array(self) -> Reads:
        return OfArray(pixels_of(self.path, self.reading) if self.pixels is None else self.pixels)

    @property
    def complex(self) -> bool:
        """Return True where the file holds complex values."""
        return self.dtype.startswith("complex")

    @property
    def whole(self) -> Window:
        """Return the window that is all of the scene."""
        return Window(0, 0, self.height, self.width)

    @property
    def bands(self) -> list[int]:
        """Return the numbers of the bands that hold measurements, from 1: not transparency."""
        hidden = () if self.raster is None else self.raster.alpha
        return [n for n in range(1, self.count + 1) if n not in hidden]

    @property
    def nodata(self) -> float | None:
        """Return the value that stands for no data, None where the file names none."""
        return None if self.raster is None else self.raster.nodata

    def gain(self, band: int) -> tuple[float, float]:
        """Return (scale, offset) of a band: what is meant is scale * number + offset."""
        return (1.0, 0.0) if self.raster is None else (self.raster.scales[band - 1], self.raster.offsets[band - 1])


@dataclass(frozen=True, eq=False)
class OfArray:
    """An open scene whose values (C, H, W) lie in memory, or are mapped to it."""

    pixels: NDArray[Any]

    def read(self, window: Window, band: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return (h, w) of a band, from 1, and True where it is finite."""
        x = np.asarray(self.pixels[band - 1][window.slices])
        return x, np.isfinite(x)

    def mask(self, window: Window) -> NDArray[np.bool_]:
        return np.ones((window.height, window.width), np.bool_)


@dataclass(frozen=True, eq=False)
class OfProduct:
    """An open scene whose windows a reader of a product gives."""

    product: OwnReader

    def read(self, window: Window, band: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return (h, w) of a band, from 1, and True where it was measured and is finite."""
        x, valid = self.product.read(window, band)
        return x, valid & np.isfinite(x)

    def mask(self, window: Window) -> NDArray[np.bool_]:
        return np.ones((window.height, window.width), np.bool_)


def pixels_of(path: Path, reading: Reading = PLAINLY) -> NDArray[Any]:
    """Return (C, H, W) of an NPY file, mapped, or of a picture."""
    if path.suffix.lower() in PICTURES:
        return read_values(path)[0]
    opened_result(path)
    try:
        x = mapped(path)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - of the header, which is parsed as Python
        raise BadInput(f"{path}: no NPY file that can be read ({error}); write it with numpy.save") from None
    if x.ndim == 3 and x.shape[2] == 2 and x.dtype.kind != "c" and reading.layout is None:
        raise BadInput(
            f"{path} holds (H, W, 2), two bands or real and imaginary parts; give `layout=HWC` for bands, or save "
            "x[..., 0] + 1j * x[..., 1]",
            argument="layout",
        )
    if x.ndim == 3 and npy_layout(path, x.shape, reading.layout) == "HWC":
        x = np.moveaxis(x, -1, 0)
    x = x[None] if x.ndim == 2 else x
    if x.ndim != 3 or not x.size or x.dtype.kind not in "iufc":
        raise BadInput(f"{path} holds {x.dtype} of shape {x.shape}; give numbers (H, W) or (H, W, C)")
    return x


def scene_of(path: Path, reading: Reading = PLAINLY) -> Scene:
    """Return the scene in a file, or in a dataset that `path` names (`restorekit.files.datasets`).

    Raises BadInput for what is missing, damaged, or no measurement.
    """
    if path.suffix.lower() in PLAIN and not is_dataset(path):
        check_source(path)
        x = pixels_of(path, reading)
        return Scene(path, x.shape[0], x.shape[1], x.shape[2], x.dtype.name, reading=reading)
    raster = describe(path, reading)
    return Scene(path, raster.count, raster.height, raster.width, raster.dtype, raster, reading)


def scene_in_memory(pixels: NDArray[Any], name: str) -> Scene:
    """Return pixels (C, H, W) as a scene, for messages under `name`. Raises BadInput for what is no measurement."""
    if pixels.ndim != 3 or not pixels.size or pixels.dtype.kind not in "iufc":
        raise BadInput(f"{name} holds {pixels.dtype} of shape {pixels.shape}; give numbers of one or several bands")
    count, height, width = pixels.shape
    return Scene(Path(name), count, height, width, pixels.dtype.name, pixels=pixels)
