"""Results as files: GeoTIFF with everything that came with the scene, NPY, or a picture. Whole or not at all."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files import geotiff as raster
from restorekit.files.atomic import check_target, replacing
from restorekit.files.bands import Raster, Window
from restorekit.files.picture import check_writable, write_picture
from restorekit.files.scene import PICTURES, Scene
from restorekit.scenes.blend import BlendedScene, Form, magnitude, nothing

TIFF = (".tif", ".tiff")
Squares = Callable[[int], Iterator[tuple[Window, NDArray[Any] | None]]]  # of a band, from 1


Kind = Literal["value", "deviation", "mask"]
NOWHERE = 255  # in a mask, where nothing was measured


def kind_of(layer: str) -> Kind:
    """Return what a layer holds: values, deviations of values (float32, with their scale and no offset), or whole
    numbers of its own."""
    kinds: dict[str, Kind] = {"std": "deviation", "mask": "mask"}
    return kinds.get(layer, "value")


def form_of(scene: Scene, target: Path, kind: Kind, keep_dtype: bool) -> Form:
    """Return type and nodata value of a file that is to be written. Raises BadInput for a kind of file that cannot hold it."""
    suffix = target.suffix.lower()
    if suffix in PICTURES:
        if scene.dtype not in ("uint8", "uint16") or kind != "value":
            raise BadInput(f"{target}: a picture holds whole numbers, the result is float32; write .tif or .npy")
        check_writable(target, scene.count, False, scene.dtype)
        return Form(scene.dtype, None)
    if suffix not in (*TIFF, ".npy"):
        raise BadInput(f"{target}: unknown file type {suffix!r}; known: .tif, .npy, and pictures of pictures")
    check_target(target)
    if kind == "mask":
        return Form("uint8", NOWHERE)
    if kind == "deviation":
        return Form("float32", math.nan)
    dtype = scene.dtype if keep_dtype and not scene.complex else "float32"
    nodata = scene.nodata
    if nodata is not None and dtype == "float32" and abs(nodata) > np.finfo(np.float32).max:
        nodata = math.nan  # the least float64 is a common value, and no float32
    return Form(dtype, nodata)


def losses(scene: Scene, target: Path) -> list[str]:
    """Return what a file of another kind than the scene does not hold, in words."""
    of_map = scene.raster is not None and (scene.raster.referenced or scene.raster.transform is not None)
    if of_map and target.suffix.lower() not in TIFF:
        return [f"{target}: written without map coordinates and tags, which only .tif holds"]
    return []


@dataclass(frozen=True, eq=False)
class Output:
    """One file to write."""

    target: Path
    layer: str
    form: Form
    kind: Kind = "value"
    power: bool = True  # whether means of its values mean something
    snap: bool = False  # for older readers

    def write(self, scene: Scene, result: BlendedScene, folder: Path, tags: Mapping[str, str]) -> None:
        """Write the file, whole or not at all; `folder`, on the same disk, is for what is not finished."""
        bands, part_of = list(result.job.bands), result.part or scene.whole
        bands += list(result.derived) if self.kind == "value" else []

        def squares(band: int) -> Iterator[tuple[Window, NDArray[Any] | None]]:
            with scene.opened() as source:
                for window, values in result.squares(source, band, self.layer, self.form):
                    yield (
                        Window(window.top - part_of.top, window.left - part_of.left, window.height, window.width),
                        values,
                    )

        if self.target.suffix.lower() in TIFF:
            self._tiff(scene, part_of, bands, squares, folder, tags)
            return
        first = scene.reading.layout == "CHW"  # the axes of IN, where it is an array, else (H, W, C)
        shape = (scene.count, part_of.height, part_of.width)
        part = folder / f"{self.target.name}.npy"
        held = np.lib.format.open_memmap(part, "w+", self.form.dtype, shape if first else (*shape[1:], shape[0]))
        whole = held if first else np.moveaxis(held, -1, 0)
        for band in range(1, scene.count + 1):
            for window, values in squares(band) if band in bands else self._untouched(scene, part_of, band):
                empty = 0 if self.form.nodata is None else self.form.nodata
                whole[band - 1][window.slices] = empty if values is None else values
        held.flush()
        self._place(part, whole)

    def _place(self, part: Path, whole: NDArray[Any]) -> None:
        if self.target.suffix.lower() in PICTURES:
            white = float(np.iinfo(whole.dtype).max)
            write_picture(self.target, whole / white, None, self.form.dtype)
            part.unlink()
            return
        if len(whole) == 1:
            np.lib.format.open_memmap(flat := part.with_suffix(".flat"), "w+", whole.dtype, whole.shape[1:])[:] = whole[
                0
            ]
            part = flat
        with replacing(self.target) as temporary:
            os.replace(part, temporary)

    def _tiff(
        self, scene: Scene, part_of: Window, bands: list[int], squares: Squares, folder: Path, tags: Mapping[str, str]
    ) -> None:
        like = (scene.raster or plain(scene)).part(part_of)
        if self.kind != "value":  # a difference of values has their scale, and no offset
            like = replace(like, offsets=(0.0,) * like.count)
        if self.kind == "mask":
            like = replace(like, scales=(1.0,) * like.count, units=(None,) * like.count)
        part = folder / f"{self.target.name}.tif"
        with raster.writing(part, like, dtype=self.form.dtype, nodata=self.form.nodata) as writer:
            for band in range(1, scene.count + 1):
                for window, values in squares(band) if band in bands else self._untouched(scene, part_of, band):
                    if values is not None:
                        writer.write(window, band, values)
            if like.masked and not like.alpha:
                with scene.opened() as source:
                    for window, seen in _tiles(part_of):
                        writer.write_mask(window, source.mask(seen))
        raster.add_tags(part, tags)
        raster.finish(
            part,
            self.target,
            side=like.tile or raster.BLOCK,
            predictor=not self.snap,
            power=self.power and self.kind != "mask",
        )

    def _untouched(self, scene: Scene, part_of: Window, band: int) -> Iterator[tuple[Window, NDArray[Any]]]:
        """Yield windows of a band that was not treated, with their values: transparency, one without a signal, or one that was not asked for."""
        with scene.opened() as source:
            for window, seen in _tiles(part_of):
                raw, there = source.read(seen, band)
                values = nothing(raw, self.form)
                if self.kind == "mask":
                    yield window, np.where(there, 0, self.form.nodata or 0).astype(self.form.dtype)
                    continue
                known = there & (self.kind == "value" or band not in scene.bands)
                yield window, np.where(known, magnitude(raw).astype(self.form.dtype), values)


def _tiles(part_of: Window, side: int = raster.BLOCK) -> Iterator[tuple[Window, Window]]:
    """Yield tiles of a part of a scene: (where in the part, where in the scene)."""
    for i in range(0, part_of.height, side):
        for j in range(0, part_of.width, side):
            height, width = min(side, part_of.height - i), min(side, part_of.width - j)
            yield Window(i, j, height, width), Window(part_of.top + i, part_of.left + j, height, width)


def plain(scene: Scene) -> Raster:
    """Return the scene as a raster of which nothing is known but its size."""
    n = scene.count
    return Raster(
        path=scene.path, count=n, height=scene.height, width=scene.width, dtype=scene.dtype, nodata=None, crs=None,
        transform=None, gcps=(), gcps_crs=None, rpcs=None, descriptions=(None,) * n, units=(None,) * n,
        scales=(1.0,) * n, offsets=(0.0,) * n, colorinterp=(), tags={}, band_tags=({},) * n, block=(0, 0),
        masked=False, alpha=(),
    )  # fmt: skip
