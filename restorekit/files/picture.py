"""This module reads and writes pictures as the rest of the package sees them.

Pictures are (C, H, W) float32 with the file's range mapped to [0, 1]. Every file is written whole or not at all. NPY
holds (H, W) or (H, W, C), and (C, H, W) where `Reading` says so; it is written with the axes that were read.

Pictures are as viewers show them: turned by the orientation that EXIF or TIFF says. They are written back as they were
stored, with the tag, and upright in formats that have none; so what lies on each other on a screen does so here.
"""

from __future__ import annotations

import importlib
import json
import math
import os
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from restorekit.errors import BadInput
from restorekit.files import encode
from restorekit.files.atomic import atomic, check_target, together
from restorekit.files.digest import sha256  # noqa: F401 (found here by others)
from restorekit.files.dtype import alpha_as, from_unit
from restorekit.files.formats import FORMATS, ORIENTED, written_kind
from restorekit.files.mask_file import mask_file, said_of_earlier, write_mask_file
from restorekit.files.nodata import TAG as NODATA
from restorekit.files.nodata import Empty, empty_at, filled, fits, hidden, nodata_of, off_nodata, parts_of
from restorekit.files.orientation import as_stored, turned
from restorekit.files.place import Placement
from restorekit.files.reading import PLAINLY, Reading
from restorekit.files.record import recorded_range
from restorekit.files.resizing import frame, resized
from restorekit.files.stored import PathLike, stored_values
from restorekit.files.tiff_tags import METADATA, in_unit, of_dataset, place_of

# Data types a format can hold, and where a source of another type goes; NPY holds every real type.
_INTEGERS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
_HOLDS = {"PNG": {"uint8", "uint16"}, "JPEG": {"uint8"}, "BMP": {"uint8"}, "WEBP": {"uint8"}}
_HOLDS["TIFF"] = {*_INTEGERS, "float16", "float32", "float64"}
_FULL = {"bool": (0.0, 1.0), "uint8": (0.0, 255.0), "uint16": (0.0, 65535.0)}
_WITH_ALPHA = {"PNG", "TIFF", "WEBP"}
_LONGEST = {"JPEG": 65500, "WEBP": 16383}  # side, pixels
NARROWEST = 1e-30  # range of values: of a narrower one float32 holds no values far from it


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture holds `pixels` (C, H, W) float32, where the file values `span` (lo, hi) are mapped to [0, 1].

    `dtype` is numpy's name of the file's type, `alpha` (H, W) is in that type and untouched, and `info` holds what must
    survive: "layout" ("HW", "HWC", "CHW"), "dpi", "icc_profile", "exif", "orientation" (2 to 8, where the file is stored
    otherwise than shown), "mask" (H, W), True where there is data, "mask_beside" where it is a file of its own, "tiff_tags" and
    "tiff_layout", and what only its own format needs. Of pixels without data, `empty`, pixels are the means of the others, but for transparent ones within the range, which are as they are.
    """

    pixels: np.ndarray
    dtype: str = "float32"
    span: tuple[float, float] = (0.0, 1.0)
    alpha: np.ndarray | None = None
    info: dict[str, Any] = field(default_factory=dict)
    empty: Empty | None = None
    unvalued: np.ndarray | None = None  # (H, W), of a file read with `holes`: pixels of the value of no data


def read_picture(
    path: PathLike, span: tuple[float, float] | None = None, *, holes: bool = False, reading: Reading = PLAINLY
) -> Picture:
    """Read PNG, JPEG, TIFF, NPY, BMP, WEBP or GIF as a `Picture`, pixels (C, H, W); `span` (lo, hi) are the file
    values that become 0 and 1.

    Default span: of what `degrade` or a restoration wrote, that of its record; the whole range of uint8 and uint16, or of the bits that a TIFF says are used (12 of 16), 0/1 for
    bool; other types must hold [0, 1], give or take 0.25. Pixels without data (nodata value or mask of a GeoTIFF, alpha
    0) are left out; with `holes`, floats of the nodata value are NaN instead. Raises BadInput for a file that is
    missing, damaged, of another kind, or holds NaN or infinity (with `holes` it may).
    """
    path = Path(path)
    if reading.raw and (of_cameras := importlib.import_module("restorekit.files.raw")).is_raw(path):
        if span is not None:
            raise BadInput(
                f"{path}: a raw file says itself which values are black and white; leave `range` out", argument="range"
            )
        return of_cameras.read_raw(path)
    raw, alpha, info = stored_values(path, holes, reading)
    raw, empty, unvalued = _empty(path, raw, alpha, info, holes)
    if span is None and (span := recorded_range(path)) is None:
        span = (0.0, 2.0 ** info["bits"] - 1) if "bits" in info else _FULL.get(raw.dtype.name)
    if span is None:
        told = np.isfinite(raw) if empty is None else np.isfinite(raw) & ~empty.where
        low, high = np.nanmin(raw, initial=0, where=told), np.nanmax(raw, initial=0, where=told)
        if low < -0.25 or high > 1.25:
            raise BadInput(
                f"{path}: {raw.dtype} from {low:.6g} to {high:.6g}; give `range=LO,HI`, the values of black and white"
            )
        span = (0.0, 1.0)
    low, high = check_span(span, f"{path}: ")
    pixels = raw if (low, high) == (0.0, 1.0) else (raw.astype(np.float64) - low) / (high - low)
    pixels = as_float32(pixels, path, (low, high), None if empty is None else empty.where)
    if empty is not None:
        colours = alpha is not None and empty.value is None and "mask" not in info  # below what is transparent
        pixels = filled(pixels, empty.where & ~((np.abs(pixels - 0.5) <= 0.75).all(0) & colours))
    return Picture(pixels, raw.dtype.name, (low, high), alpha, info, empty, unvalued)


def check_span(span: tuple[float, float], head: str = "") -> tuple[float, float]:
    """Return the values of black and white as floats. Raises BadInput, after `head`, unless they are finite and rise by no less
    than values of float32 can be divided by."""
    low, high = float(span[0]), float(span[1])
    if not (math.isfinite(high - low) and low < high):
        raise BadInput(
            f"{head}range {low:g},{high:g} is not a rising pair; give `range=LO,HI` with LO < HI", argument="range"
        )
    if high - low < NARROWEST:
        raise BadInput(
            f"{head}range {low:g},{high:g} is too narrow; give `range=LO,HI` of at least {NARROWEST:g}",
            argument="range",
        )
    return low, high


def _empty(
    path: Path, raw: np.ndarray, alpha: np.ndarray | None, info: dict[str, Any], holes: bool
) -> tuple[np.ndarray, Empty | None, np.ndarray | None]:
    """Return raw, its pixels without data, and with `holes` those of the nodata value, which are no part of them then."""
    value, unseen = nodata_of(info.get("tiff_tags", ())), hidden(info.get("mask"), alpha)
    marked, unvalued = np.zeros(raw.shape[1:], bool) if value is None else empty_at(raw, value), None
    if holes:
        raw, value = np.where(marked & (raw.dtype.kind == "f"), np.nan, raw).astype(raw.dtype), None
        marked, unvalued = np.zeros_like(marked), marked if marked.any() else None
    where = marked if unseen is None else marked | unseen
    if where.all():
        why = f"{value:g}" if value is not None else "its mask"
        raise BadInput(f"{path}: every pixel is no data ({why}); check the file, its nodata value and its mask")
    return raw, parts_of(where, raw, value) if where.any() else None, unvalued


def as_float32(
    pixels: np.ndarray, path: PathLike, span: tuple[float, float], empty: np.ndarray | None = None
) -> np.ndarray:
    """Return values (C, H, W) as float32. Raises BadInput where a range is so narrow that they become too large for
    it.

    Values of `empty` (H, W), which hold no data, may be so large.
    """
    with np.errstate(over="ignore"):
        out = np.ascontiguousarray(pixels, np.float32)
    large = np.isinf(out) & np.isfinite(pixels)
    if (large if empty is None else large & ~empty).any():
        raise BadInput(
            f"{path}: on `range={span[0]:g},{span[1]:g}` its values are too large for float32; give the values of black and white",
            argument="range",
        )
    return out


def write_picture(
    path: PathLike, pixels: np.ndarray, like: Picture | None = None, dtype: str | None = None
) -> list[str]:
    """Write pixels (C, H, W), [0, 1], in the type, span, layout, alpha and metadata of `like`; returns warnings.

    Integers are rounded and clipped, floats are not. Without `like`: uint8, or float32 in TIFF and NPY. Raises BadInput
    where `check_writable` does, for NaN or infinity, and when the disk refuses; an existing file then stays as it was.
    """
    path, pixels = Path(path), np.asarray(pixels)
    if pixels.ndim != 3 or not pixels.size or pixels.dtype.kind not in "biuf":
        raise BadInput(f"{path}: cannot write {pixels.dtype} of shape {pixels.shape}; give real numbers (C, H, W)")
    if bad := int((~np.isfinite(pixels)).any(0).sum()):
        raise BadInput(f"{path}: not written, {bad} pixels of the result are NaN or infinite; try a smaller step size")
    like = Picture(pixels, "") if like is None else like
    warnings, kind = check_writable(path, len(pixels), like.alpha is not None, dtype), FORMATS[path.suffix.lower()]
    like = like if kind in _WITH_ALPHA else replace(like, alpha=None)
    like, said = regridded(like, pixels.shape[1:], frame(like.pixels.shape[1:], pixels.shape[1:]))
    alpha, info, empty = like.alpha, dict(like.info), like.empty
    target = output_dtype(path, like.dtype, dtype)
    if dtype is None and like.dtype not in ("", target.name):
        warnings.append(f"{path}: written as {target}, {kind} cannot hold {like.dtype}")
    warnings += [f"{path}: {text}" for text in said]
    warnings += losses(path, like)
    if len(pixels) != len(like.pixels):
        info |= {"tiff_tags": of_dataset(info["tiff_tags"])} if "tiff_tags" in info else {}
        for key in ("icc_profile", "png_chunks", "photometric", "transfer_function"):
            info.pop(key, None)
    if kind == "JPEG" and len(info.get("exif", b"")) > 65000:
        info.pop("exif")
        warnings.append(f"{path}: written without EXIF, it is too long for JPEG")
    span = output_span(like, target)
    if kind != "TIFF" and empty is not None and empty.value is not None:  # which no other format can name
        info["mask"] = ~empty.where
        empty = empty if fits(empty.value, target) else replace(empty, value=None)
    value, empty, said = _as_stated(info if kind == "TIFF" else {}, empty, target, span != like.span)
    warnings += [f"{path}: {text}" for text in said]
    if empty is not None and empty.value is None and empty.held.dtype != target and len(empty.held) in (1, len(pixels)):
        held = (empty.held.astype(np.float64) - like.span[0]) / (like.span[1] - like.span[0])
        pixels = pixels.astype(np.float64)
        pixels[:, empty.where] = np.nan_to_num(held, posinf=0, neginf=0)
    raw = from_unit(pixels, span, target, path)
    raw = raw if empty is None else empty.put_back(raw)
    raw = off_nodata(raw, value, empty_at(raw, value) & (empty is None or ~empty.where)) if value is not None else raw
    alpha = None if alpha is None else alpha_as(alpha, target)
    if kind != "TIFF" and (mask := info.pop("mask", None)) is not None:
        what = "mask" if "mask" in like.info else "mark of no data"
        if kind in _WITH_ALPHA and alpha is None:
            alpha = alpha_as(mask.astype(np.uint8) * np.uint8(255), target)
            warnings.append(f"{path}: its {what} is written as transparency, {kind} has no other")
        else:
            warnings.append(f"{path}: written without its {what}; .tif holds it")
    if kind in ORIENTED and "orientation" in info:
        raw, alpha, info = turned(raw, alpha, info, as_stored)
    if max(raw.shape[1:]) > _LONGEST.get(kind, math.inf):
        raise BadInput(f"{path}: {kind} holds {_LONGEST[kind]} pixels a side at most; write .png, .tif or .npy")
    beside = mask_file(path, info)
    with nullcontext() if beside is None else together():
        if beside is not None:
            write_mask_file(beside, info.pop("mask"), len(raw) + (alpha is not None))
        with atomic(path) as handle:
            encode.save(handle, kind, raw, alpha, info)
    return warnings + said_of_earlier(path, beside)


def _as_stated(
    info: dict[str, Any], empty: Empty | None, target: np.dtype, other_unit: bool
) -> tuple[float | None, Empty | None, list[str]]:
    """The value of no data and the pixels without, of a TIFF of the type `target` with this `info`, and what is lost.

    Takes out of `info` what is not true of values of that type, or in another unit; pixels of a value that it cannot hold become a
    mask.
    """
    tags, said = info.pop("tiff_tags", []), list[str]()
    if other_unit and (left := in_unit(tags, "unit")) != tags:
        tags = left
        said.append("written without scale and offset, which are of values in another unit")
    value = nodata_of(tags)
    if value is not None and not fits(value, target):
        tags = [tag for tag in tags if tag[0] != NODATA]
        if empty is not None:
            info["mask"], empty = ~empty.where, replace(empty, value=None)
            said.append(f"its no data is written as a mask, {target} cannot hold {value:g}")
        value = None
    info |= {"tiff_tags": tags} if tags else {}
    return value, empty, said


def regridded(like: Picture, size: tuple[int, ...], grid: Placement | None) -> tuple[Picture, list[str]]:
    """Return a picture to write results of `size` (H, W) like, which holds none itself, and how what it says is written.

    grid: where its pixels lie in the result, None where that is not known.
    """
    old = like.pixels.shape[1:]
    (alpha, info, empty), said = resized(old, size, (like.alpha, like.info, like.empty), grid)
    pixels = like.pixels if old == size else np.broadcast_to(np.float32(0), (len(like.pixels), *size))
    said = [f"{text}, the size of the picture has changed" for text in said]
    return replace(like, pixels=pixels, alpha=alpha, info=info, empty=empty), said


def overlay_info(like: Picture, deviations: bool = False) -> dict[str, Any]:
    """Return the `info` of a picture that is to lie on a result for `like`: its orientation, its mask, its place on the map and how its
    pixels lie in the file. deviations: whether it holds those of the values, band by band, of which most that is said of the
    values is true."""
    info = {key: like.info[key] for key in ("orientation", "tiff_layout", "mask_beside") if key in like.info}
    tags = like.info.get("tiff_tags", [])
    of_values = [tag for tag in tags if tag[0] == METADATA and deviations and like.alpha is None]
    info |= {"tiff_tags": found} if (found := [*place_of(tags), *in_unit(of_values, "deviation")]) else {}
    return info if like.empty is None or not like.empty.where.any() else info | {"mask": ~like.empty.where}


def check_writable(path: PathLike, bands: int, has_alpha: bool, dtype: str | None = None) -> list[str]:
    """Return all that `write` would warn about, and raise BadInput for all that it would refuse, before hours of
    computing."""
    path = Path(path)
    kind = written_kind(path)
    if kind in ("PNG", "JPEG", "BMP", "WEBP") and bands not in (1, 3):
        raise BadInput(f"{path}: {kind} holds 1 or 3 bands, not {bands}; write .tif or .npy")
    output_dtype(path, "", dtype)
    check_target(path)
    return [f"{path}: written without alpha, {kind} cannot hold it"] if has_alpha and kind not in _WITH_ALPHA else []


def losses(path: Path, like: Picture) -> list[str]:
    """Return notes on what is lost of `like` in a file at `path`: its place on the map where the format has none, and, in one
    line that is the same for every file, what only rasterio reads or writes where that is missing."""
    kind, layout, beside = written_kind(path), like.info.get("tiff_layout"), like.info.get("unread_beside", [])
    lost = kind != "TIFF" and place_of(like.info.get("tiff_tags", ()))
    said = [f"{path}: written without the map coordinates; .tif holds them"] if lost else []
    parts = [f"{', '.join(beside)} beside the TIFF is not read"] * bool(beside)
    parts += layout.lost if layout is not None and kind == "TIFF" else []
    return said + ([f'without rasterio {", and ".join(parts)}; `pip install "restorekit[geo]"`'] if parts else [])


def write_text(path: PathLike, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    check_target(Path(path))
    with atomic(Path(path)) as handle:
        handle.write(text.encode())


def write_json(path: PathLike, obj: Any) -> None:
    """Write `obj` as strict JSON, whole or not at all."""
    write_text(path, json_text(obj) + "\n")


def json_text(obj: Any) -> str:
    """Return strict JSON; numpy values become plain ones, NaN and infinity the strings that float() reads."""
    return json.dumps(_plain(obj), indent=2, ensure_ascii=False, allow_nan=False)


def _plain(obj: Any) -> Any:
    if isinstance(obj, dict):
        return {str(key): _plain(value) for key, value in obj.items()}
    if isinstance(obj, list | tuple):
        return [_plain(value) for value in obj]
    if isinstance(obj, np.ndarray | np.generic):
        return _plain(obj.tolist())
    if isinstance(obj, os.PathLike):
        return os.fspath(obj)
    return str(obj) if isinstance(obj, float) and not math.isfinite(obj) else obj


def output_dtype(path: Path, source: str, asked: str | None) -> np.dtype:
    """Return the type in which `path` is written: the one asked for, else that of the source as far as the format
    holds it.

    Raises BadInput where the format cannot hold the type asked for.
    """
    kind = written_kind(path)
    holds = _HOLDS.get(kind)
    if asked is not None:
        try:
            target = np.dtype(asked)
        except (TypeError, ValueError, SyntaxError):  # texts of structured types are parsed as Python
            target = np.dtype("O")
        if target.kind not in "biuf" or (holds is not None and target.name not in holds):
            known = ", ".join(sorted(holds)) if holds else "every real type"
            raise BadInput(f"{path}: {kind} cannot hold {asked!r}, only {known}; .tif and .npy hold more")
        return target
    if not source:
        return np.dtype("float32" if kind in ("TIFF", "NPY") else "uint8")
    if holds is None or source in holds:
        return np.dtype(source)
    if kind == "TIFF":
        return np.dtype("uint8" if source == "bool" else "float64")
    return np.dtype("uint16" if kind == "PNG" and source not in ("bool", "int8") else "uint8")


def output_span(like: Picture, target: np.dtype) -> tuple[float, float]:
    """Return the file values that 0 and 1 become: as in `like` where that makes sense for another type, else the usual
    ones."""
    if like.dtype == target.name:
        return like.span
    physical = like.dtype != "" and like.span not in (_FULL.get(like.dtype), (0.0, 1.0))
    if target.name in _FULL or not physical:
        return _FULL.get(target.name, (0.0, 1.0) if target.kind == "f" else (0.0, float(np.iinfo(target).max)))
    return like.span
