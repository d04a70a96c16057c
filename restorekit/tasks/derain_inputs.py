"""This module checks the pictures of a deraining against each other, and knows where they hold no data."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files.formats import FORMATS
from restorekit.files.masks import WHITES, mask_values
from restorekit.files.nodata import TAG, Empty, empty_at, hidden, nodata_of
from restorekit.files.picture import Picture
from restorekit.files.reading import PLAINLY, Reading
from restorekit.files.stored import read_values
from restorekit.files.tiff_tags import in_unit, place_of
from restorekit.notes import Notes
from restorekit.rain.morphology import Directional
from restorekit.rain.residue import Mask, rain_layer
from restorekit.tasks.identity import identity_of
from restorekit.tasks.inputs import Source, Span, bands_first, reading_beside, take
from restorekit.tasks.ranges import check_range
from restorekit.tasks.unmeasured import placed, refuse_turned, turned_size

Array = NDArray[Any]
SMALLEST = 4  # pixels per side
OUTSIDE = 0.1  # share of the input outside `range` that is worth a note; a stretch cuts off less
COLOUR = ("icc_profile", "png_chunks")


@dataclass(frozen=True, eq=False)
class LoadedPicture:
    """A picture, and the values (C, H, W) of its file or array; `empty` (H, W): where these are no data."""

    name: str
    picture: Picture
    raw: Array
    empty: Mask


@dataclass(frozen=True, kw_only=True)
class DerainInputs:
    """The rainy picture, and what else was given: what a derainer made of it, its layer of rain, a mask of what to repair.

    range: values of black and white. reading: how files are read, of the source and of what lies beside it. notes: is told what a
    user may not expect of how they were read. Each property raises BadInput where its picture does not fit the others.
    """

    source: Source
    derained: Source | None = None
    rain: Source | None = None
    mask: Source | None = None
    range: Span | None = None
    notes: Notes = field(default_factory=Notes)
    reading: Reading = PLAINLY

    @property
    def given(self) -> dict[str, Source]:
        """Return all that is read, by name."""
        named = {"rainy": self.source, "derained": self.derained, "rain": self.rain, "mask": self.mask}
        return {k: source for k, source in named.items() if source is not None}

    @property
    def files(self) -> dict[str, Path]:
        """Return those of the inputs that are files."""
        return {k: Path(s) for k, s in self.given.items() if isinstance(s, str | os.PathLike)}

    def name(self, key: str) -> str:
        """Return the path of what was given, or a word for it, for messages."""
        words = {"rainy": "the picture", "derained": "the derained picture", "rain": "the rain", "mask": "the mask"}
        return str(self.files.get(key, words[key]))

    def record(self) -> dict[str, Any]:
        """Return what identifies each input: path and SHA-256 of a file, shape, type and SHA-256 of other values."""
        return {
            key: identity_of(self.files.get(key), None if key in self.files else self._values(source)[0])
            | self._reading(source).record()
            for key, source in self.given.items()
        }

    # --- pictures ---

    @cached_property
    def of_rainy(self) -> LoadedPicture:
        """Return the rainy picture."""
        name = self.name("rainy")
        raw, info = self._values(self.source)
        _, height, width = raw.shape
        if min(height, width) < SMALLEST:
            raise BadInput(f"{name} is {height}x{width} pixels; at least {SMALLEST}x{SMALLEST} are needed")
        loaded = self._loaded(self.source, name, raw, info, self.range)
        placed(loaded.picture, name, self.notes)
        if self.range is None:
            check_range(name, loaded.picture)
        if np.ptp(loaded.picture.pixels[:, ~loaded.empty]) == 0:
            raise BadInput(f"{name} is constant: there is no rain in it; check the file")
        return loaded

    @cached_property
    def of_base(self) -> LoadedPicture:
        """Return the picture whose values the result has where nothing is repaired: B, or the rainy one where the plain derainer makes B."""
        if self.derained is None:
            return self.of_rainy
        y, name = self.of_rainy, self.name("derained")
        raw, info = self._values(self.derained)
        if raw.shape != y.raw.shape:
            why = turned_size(y.picture, Picture(raw, info=info))
            raise BadInput(
                f"{name} is {_size(raw)}, {y.name} {_size(y.raw)} (bands x height x width){why}; "
                "give the derained picture of the same IN, neither cut nor resized"
            )
        loaded = self._loaded(self.derained, name, raw, info, self._span(raw))
        refuse_turned(y.picture, y.name, loaded.picture, name)
        counted = loaded.picture.pixels[:, ~(loaded.empty | y.empty)]
        if not counted.size:
            raise BadInput(f"{name}: all its pixels are no data where {y.name} has some; check the files")
        if np.ptp(counted) == 0:
            raise BadInput(f"{name} is constant; give what a derainer made of {y.name}")
        return loaded

    def _span(self, raw: Array) -> tuple[float, float] | None:
        """`range`, but for 8 bits beside a picture of more, as many derainers write them, which cannot hold it."""
        return None if self._full_scale(raw) else self.range

    def _full_scale(self, raw: Array) -> bool:
        values, more = self.range, self.of_rainy.raw.dtype != np.uint8
        return raw.dtype == np.uint8 and more and values is not None and values[1] > 255

    @cached_property
    def empty(self) -> Mask:
        """Return (H, W), where IN or B holds no data: never repaired."""
        return self.of_rainy.empty | self.of_base.empty

    @cached_property
    def rainy(self) -> Array:
        """Return (C, H, W) on [0, 1], something harmless where there is no data."""
        return _filled(self.of_rainy.picture.pixels, self.empty)

    @cached_property
    def plain(self) -> Array:
        """Return B (C, H, W), as a file of its own or by the plain derainer."""
        if self.derained is None:
            return Directional()(self.rainy)
        return _filled(self.of_base.picture.pixels, self.empty)

    @cached_property
    def layer(self) -> Array:
        """Return R (H, W), 0 where there is no data."""
        if self.rain is None:
            return rain_layer(self.rainy, self.plain) * ~self.empty
        name = self.name("rain")
        raw, info = self._values(self.rain)
        shape = self.of_rainy.raw.shape
        if raw.shape[1:] != shape[1:] or len(raw) not in (1, shape[0]):
            raise BadInput(
                f"{name} is {_size(raw)}, {self.of_rainy.name} {_size(self.of_rainy.raw)}; give rain of that size"
            )
        values = self._span(raw)
        # Rain is a difference: 0 is none, whatever black is.
        loaded = self._loaded(self.rain, name, raw, info, values and (0.0, values[1] - values[0]))
        return np.where(self.empty | loaded.empty, 0, np.clip(loaded.picture.pixels, 0, None).max(0))

    @cached_property
    def white(self) -> Mask:
        """Return (H, W), where the mask says to repair."""
        path, size = self.name("mask"), self.of_rainy.raw.shape[1:]
        raw = mask_values(path, size, holes=True) if "mask" in self.files else self._mask_values(size)
        if not np.isfinite(raw).all():
            raise BadInput(f"{path} holds NaN or infinity; a mask is 0 and 1, or 0 and 255")
        low, high = float(raw.min()), float(raw.max())
        top = next((t for t in WHITES if high <= t), None)
        if low < 0 or top is None:
            raise BadInput(f"{path}: values from {low:g} to {high:g}; a mask is 0 and 1, or 0 and 255")
        if 0 < high < top / 2:
            raise BadInput(f"{path}: values up to {high:g}, none of which is white; a mask is 0 and 1, or 0 and 255")
        return np.asarray((raw >= top / 2).any(0))

    def _values(self, source: Source) -> tuple[Array, dict[str, Any]]:
        """Return values (C, H, W) in the type of a file or an array, and the `info` of its picture."""
        if isinstance(source, str | os.PathLike):
            return read_values(source, self._reading(source))
        if not isinstance(source, Picture):
            raw, layout = bands_first(source)
            return raw, {"layout": layout}
        low, high = source.span
        raw, kind = source.pixels.astype(np.float64) * (high - low) + low, np.dtype(source.dtype)
        raw = np.rint(raw).astype(kind) if kind.kind in "iu" else raw.astype(kind)
        if source.empty is not None:
            raw[:, source.empty.where] = source.empty.held
        return raw, source.info

    def _reading(self, source: Source) -> Reading:
        return self.reading if source is self.source else reading_beside(source, self.reading)

    def _loaded(
        self, source: Source, name: str, raw: Array, info: dict[str, Any], values: Span | None
    ) -> LoadedPicture:
        """Return raw and info as `_values` has them. Raises BadInput for NaN and infinity that are not declared as no data."""
        nan = math.isnan(nodata_of(info.get("tiff_tags", ())) or 0.0)
        masked = ~info["mask"] if "mask" in info else False
        if bad := int(((~np.isfinite(raw) & ~(nan & np.isnan(raw))).any(0) & ~np.asarray(masked)).sum()):
            raise BadInput(
                f"{name}: {bad} of {raw[0].size} pixels are NaN or infinite; fill them, or declare NaN as no data in a GeoTIFF "
                "(gdal_edit.py -a_nodata nan)"
            )
        picture = take(source, values, reading=self._reading(source)).picture
        empty = np.zeros(raw.shape[1:], bool) if picture.empty is None else picture.empty.where
        return LoadedPicture(name, picture, raw, empty)

    def _mask_values(self, size: tuple[int, ...]) -> Array:
        assert self.mask is not None
        raw = self._values(self.mask)[0]
        if raw.shape[1:] != size:
            raise BadInput(f"the mask is {_size(raw[0])}, the picture {size[0]}x{size[1]} (height x width); resize it")
        return raw

    # --- what the result is like ---

    def say(self) -> None:
        """Note what the user may not expect of the pictures given."""
        share = float(self.empty.mean())
        short = self.files["rainy"].name if "rainy" in self.files else self.name("rainy")
        if share:
            self.notes(f"no data: {share:.1%} of {short}, left as they are")
        if self.range is None:
            return
        given = f"`range={self.range[0]:g},{self.range[1]:g}`"
        if (outside := self._outside) > OUTSIDE:
            self.notes(f"{outside:.0%} of {self.name('rainy')} lies outside {given}")
        for key, source in (("derained", self.derained), ("rain", self.rain)):
            if source is not None and self._full_scale(self._values(source)[0]):
                self.notes(f"{self.name(key)} has 8 bits, too few for {given}; it is read as 0,255")

    @property
    def _outside(self) -> float:
        """Return the share of the input that is outside `range`."""
        y = self.of_rainy.picture.pixels[:, ~self.of_rainy.empty]
        return float(((y < 0) | (y > 1)).any(0).mean())

    def like(self, target: Path) -> tuple[Picture, list[str]]:
        """Return B as `target` is written like it, with what of the input's metadata it lacks, as derainers often drop it;
        and notes on what of it is lost."""
        own, other = self.of_base.picture, self.of_rainy.picture.info
        raw, info, notes = self.of_base.raw, dict(own.info), list[str]()
        beside = () if "mask" in info else ("mask_beside",)
        for key in ("dpi", "exif", "mask", "tiff_layout", *beside, *(() if any(k in info for k in COLOUR) else COLOUR)):
            if key in other:
                info.setdefault(key, other[key])
        if "tiff_tags" in other and "tiff_tags" not in info:
            tags = other["tiff_tags"]
            tags = tags if raw.dtype == self.of_rainy.raw.dtype else in_unit(tags, "unit")
            value = nodata_of(tags)
            if value is not None and not np.array_equal(empty_at(raw, value), empty_at(self.of_rainy.raw, value)):
                tags = [t for t in tags if t[0] != TAG]
                notes.append(
                    f"{target}: written without the no-data value {value:g} of {self.name('rainy')}, as "
                    f"{self.name('derained')} does not hold it in the same pixels"
                )
            info["tiff_tags"] = tags
        tags = info.get("tiff_tags", ())
        tiff = FORMATS.get(target.suffix.lower()) == "TIFF"
        if not tiff:
            notes = [f"{target}: written without the map coordinates; .tif holds them"] if place_of(tags) else []
        if self.of_rainy.picture.alpha is not None and own.alpha is None:
            rainy, derained = self.name("rainy"), self.name("derained")
            notes.append(f"{target}: written without the alpha of {rainy}, as {derained} has none")
        value, empty = nodata_of(tags), None
        where = np.zeros(raw.shape[1:], bool) if value is None else empty_at(raw, value)
        if (unseen := hidden(info.get("mask"), own.alpha)) is not None:
            where = where | unseen
        if where.any() or (value is not None and tiff):  # where it is nowhere, the result may not be the value anywhere
            empty = Empty(where, raw[:, where], value)
        return replace(own, info=info, empty=empty), notes


def _filled(x: Array, empty: Mask) -> Array:
    """Return x (C, H, W) with the nearest of the other pixels where it is empty (H, W): no edge for the network to see."""
    if not empty.any():
        return x
    nearest = np.asarray(scipy.ndimage.distance_transform_edt(empty, return_distances=False, return_indices=True))
    return np.ascontiguousarray(x[:, nearest[0], nearest[1]])


def _size(x: Array) -> str:
    return "x".join(map(str, x.shape))
