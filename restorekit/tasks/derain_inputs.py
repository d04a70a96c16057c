"""What a deraining is given: its files, checked against each other, and where they hold no data."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from restorekit.cli.options import check_page, span
from restorekit.errors import BadInput
from restorekit.files.atomic import check_target
from restorekit.files.formats import FORMATS
from restorekit.files.masks import WHITES, mask_values
from restorekit.files.nodata import TAG, Empty, empty_at, hidden, nodata_of
from restorekit.files.overwrite import separate
from restorekit.files.picture import Picture, read_picture
from restorekit.files.stored import read_values
from restorekit.rain.morphology import Directional
from restorekit.rain.residue import Mask, rain_layer
from restorekit.tasks.ranges import check_range
from restorekit.tasks.unmeasured import placed, refuse_turned, turned_size

Array = np.ndarray
SMALLEST = 4  # pixels per side
OUTSIDE = 0.1  # share of IN outside --range that is worth a note; a stretch cuts off less
GDAL_METADATA = 42112  # beside that of no data the only tag that says nothing of where a picture lies
COLOUR = ("icc_profile", "png_chunks")


class Held(NamedTuple):
    """A picture, and the values (C, H, W) of its file; `empty` (H, W): where the file itself has no data."""

    picture: Picture
    raw: Array
    empty: Mask


@dataclass(frozen=True, kw_only=True)
class Given:
    source: Path
    target: Path
    derained: Path | None = None
    rain: Path | None = None
    mask: Path | None = None
    range: str | None = None
    report: Path | None = None

    @property
    def files(self) -> dict[str, Path]:
        """All that is read."""
        named = {"rainy": self.source, "derained": self.derained, "rain": self.rain, "mask": self.mask}
        return {k: p for k, p in named.items() if p is not None}

    @property
    def named(self) -> list[Path]:
        """Files that other options name, and that are read too."""
        return []

    @property
    def beside(self) -> dict[str, Path]:
        """What a run, this one or another, may have written beside OUT."""
        stem, suffix = self.target.stem, self.target.suffix
        names = {
            "mask": f"{stem}_mask.png",
            "base": f"{stem}_base{suffix}",
            "std": f"{stem}_std.tif",
            "std_png": f"{stem}_std.png",
        }
        return {k: self.target.with_name(v) for k, v in names.items()}

    @property
    def record_file(self) -> Path:
        return self.target.with_name(self.target.name + ".json")

    def check_places(self, outputs: Iterable[Path]) -> None:
        """BadInput where OUT, what is written beside it, or the page cannot be put, or would replace what is read."""
        pages = () if self.report is None else (self.report,)
        for page in pages:
            check_page(page)
        places = [self.target, *outputs, self.record_file, *pages]
        separate([*self.files.values(), *self.named], places)
        for path in places:
            check_target(path)

    # --- pictures ---

    @cached_property
    def of_rainy(self) -> Held:
        raw, info = read_values(self.source)
        _, height, width = raw.shape
        if min(height, width) < SMALLEST:
            raise BadInput(f"{self.source} is {height}x{width} pixels; at least {SMALLEST}x{SMALLEST} are needed")
        held = _held(self.source, raw, info, span(self.range))
        placed(held.picture, self.source, lambda text: print(f"restorekit: note: {text}", file=sys.stderr))
        if self.range is None:
            check_range(self.source, held.picture)
        if np.ptp(held.picture.pixels[:, ~held.empty]) == 0:
            raise BadInput(f"{self.source} is constant: there is no rain in it; check the file")
        return held

    @cached_property
    def of_base(self) -> Held:
        """The file whose values OUT has where nothing is repaired: B, or IN where the plain derainer makes B."""
        if self.derained is None:
            return self.of_rainy
        y = self.of_rainy
        raw, info = read_values(self.derained)
        if raw.shape != y.raw.shape:
            why = turned_size(y.picture, Picture(raw, info=info))
            raise BadInput(
                f"{self.derained} is {_size(raw)}, {self.source} {_size(y.raw)} (bands x height x width){why}; "
                "give the derained picture of the same IN, neither cut nor resized"
            )
        held = _held(self.derained, raw, info, self._span(raw))
        refuse_turned(y.picture, self.source, held.picture, self.derained)
        counted = held.picture.pixels[:, ~(held.empty | y.empty)]
        if not counted.size:
            raise BadInput(f"{self.derained}: all its pixels are no data where {self.source} has some; check the files")
        if np.ptp(counted) == 0:
            raise BadInput(f"{self.derained} is constant; give what a derainer made of {self.source}")
        return held

    def _span(self, raw: Array) -> tuple[float, float] | None:
        """--range, but for 8 bits beside a picture of more, as many derainers write them, which cannot hold it."""
        values = span(self.range)
        return None if self._full_scale(raw) else values

    def _full_scale(self, raw: Array) -> bool:
        values, more = span(self.range), self.of_rainy.raw.dtype != np.uint8
        return raw.dtype == np.uint8 and more and values is not None and values[1] > 255

    @cached_property
    def empty(self) -> Mask:
        """(H, W), where IN or B holds no data: never repaired."""
        return self.of_rainy.empty | self.of_base.empty

    @cached_property
    def rainy(self) -> Array:
        """(C, H, W) on [0, 1], something harmless where there is no data."""
        return _filled(self.of_rainy.picture.pixels, self.empty)

    @cached_property
    def plain(self) -> Array:
        """B (C, H, W), as a file of its own or by the plain derainer."""
        if self.derained is None:
            return Directional()(self.rainy)
        return _filled(self.of_base.picture.pixels, self.empty)

    @cached_property
    def layer(self) -> Array:
        """R (H, W); 0 where there is no data."""
        if self.rain is None:
            return rain_layer(self.rainy, self.plain) * ~self.empty
        raw, info = read_values(self.rain)
        shape = self.of_rainy.raw.shape
        if raw.shape[1:] != shape[1:] or len(raw) not in (1, shape[0]):
            raise BadInput(
                f"{self.rain} is {_size(raw)}, {self.source} {_size(self.of_rainy.raw)}; give rain of that size"
            )
        values = self._span(raw)
        # Rain is a difference: 0 is none, whatever black is.
        held = _held(self.rain, raw, info, values and (0.0, values[1] - values[0]))
        return np.where(self.empty | held.empty, 0, np.clip(held.picture.pixels, 0, None).max(0))

    @cached_property
    def white(self) -> Mask:
        """(H, W), where --mask says to repair."""
        path = self.files["mask"]
        raw = mask_values(path, self.of_rainy.raw.shape[1:], holes=True)
        if not np.isfinite(raw).all():
            raise BadInput(f"{path} holds NaN or infinity; a mask is 0 and 1, or 0 and 255")
        low, high = float(raw.min()), float(raw.max())
        top = next((t for t in WHITES if high <= t), None)
        if low < 0 or top is None:
            raise BadInput(f"{path}: values from {low:g} to {high:g}; a mask is 0 and 1, or 0 and 255")
        if 0 < high < top / 2:
            raise BadInput(f"{path}: values up to {high:g}, none of which is white; a mask is 0 and 1, or 0 and 255")
        return np.asarray((raw >= top / 2).any(0))

    # --- what OUT is like ---

    @cached_property
    def like(self) -> Picture:
        """B as OUT is written like it, with what of IN's metadata it lacks: derainers often drop it."""
        return self._dressed[0]

    @cached_property
    def notes(self) -> list[str]:
        """What the user may not expect of the files given, and of OUT."""
        b, share = self.of_base, float(self.empty.mean())
        notes = [f"no data: {share:.1%} of {self.source.name}, left as they are"] if share else []
        outside = self._outside
        if outside > OUTSIDE:
            notes.append(f"{outside:.0%} of {self.source} lies outside --range {self.range}")
        for path, raw in ((self.derained, b.raw), (self.rain, None)):
            if path is not None and self._full_scale(read_values(path)[0] if raw is None else raw):
                notes.append(f"{path} has 8 bits, too few for --range {self.range}; it is read as 0,255")
        notes += self._dressed[1]
        if self.of_rainy.picture.alpha is not None and b.picture.alpha is None:
            notes.append(f"{self.target}: written without the alpha of {self.source}, as {self.derained} has none")
        return notes

    @property
    def _outside(self) -> float:
        """Share of IN that is outside --range."""
        if self.range is None:
            return 0.0
        y = self.of_rainy.picture.pixels[:, ~self.of_rainy.empty]
        return float(((y < 0) | (y > 1)).any(0).mean())

    @cached_property
    def _dressed(self) -> tuple[Picture, list[str]]:
        """B with metadata, and notes on what of it is lost."""
        own, other = self.of_base.picture, self.of_rainy.picture.info
        raw, info, notes = self.of_base.raw, dict(own.info), list[str]()
        for key in ("dpi", "exif", "mask", *(() if any(k in info for k in COLOUR) else COLOUR)):
            if key in other:
                info.setdefault(key, other[key])
        if "tiff_tags" in other and "tiff_tags" not in info:
            tags = other["tiff_tags"]
            value = nodata_of(tags)
            if value is not None and not np.array_equal(empty_at(raw, value), empty_at(self.of_rainy.raw, value)):
                tags = [t for t in tags if t[0] != TAG]
                notes.append(
                    f"{self.target}: written without the no-data value {value:g} of {self.source}, as {self.derained} does "
                    "not hold it in the same pixels"
                )
            info["tiff_tags"] = tags
        tags = info.get("tiff_tags", ())
        tiff = FORMATS.get(self.target.suffix.lower()) == "TIFF"
        if not tiff:
            lost = any(t[0] not in (GDAL_METADATA, TAG) for t in tags)
            notes = [f"{self.target}: written without the map coordinates; .tif holds them"] if lost else []
        value, empty = nodata_of(tags), None
        where = np.zeros(raw.shape[1:], bool) if value is None else empty_at(raw, value)
        if (unseen := hidden(info.get("mask"), own.alpha)) is not None:
            where = where | unseen
        if where.any() or (value is not None and tiff):  # where it is nowhere, OUT may not be the value anywhere
            empty = Empty(where, raw[:, where], value)
        return replace(own, info=info, empty=empty), notes


def _held(path: Path, raw: Array, info: dict[str, Any], values: tuple[float, float] | None) -> Held:
    """raw and info as `read_values` has them."""
    nan = math.isnan(nodata_of(info.get("tiff_tags", ())) or 0.0)
    masked = ~info["mask"] if "mask" in info else False
    if bad := int(((~np.isfinite(raw) & ~(nan & np.isnan(raw))).any(0) & ~np.asarray(masked)).sum()):
        raise BadInput(
            f"{path}: {bad} of {raw[0].size} pixels are NaN or infinite; fill them, or declare NaN as no data in a GeoTIFF "
            "(gdal_edit.py -a_nodata nan)"
        )
    picture = read_picture(path, values)
    return Held(picture, raw, np.zeros(raw.shape[1:], bool) if picture.empty is None else picture.empty.where)


def _filled(x: Array, empty: Mask) -> Array:
    """x (C, H, W) with the nearest of the other pixels where it is empty (H, W): no edge for the network to see."""
    if not empty.any():
        return x
    nearest = np.asarray(ndimage.distance_transform_edt(empty, return_distances=False, return_indices=True))
    return np.ascontiguousarray(x[:, nearest[0], nearest[1]])


def _size(x: Array) -> str:
    return "x".join(map(str, x.shape))
