"""This module encodes values to files of each format, nothing scaled: the writing half of `restorekit.files.decode`."""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np

from restorekit.files import orientation
from restorekit.files.formats import ORIENTED
from restorekit.files.png16 import encode
from restorekit.files.tiff_layout import RESOLUTION, PixelLayout, amend, encoded
from restorekit.files.tiff_overviews import add_overviews
from restorekit.files.tiff_tags import TRANSFER_FUNCTION

_MASK = 4  # NewSubfileType of a page that is the mask of another


def save(handle: BinaryIO, kind: str, raw: np.ndarray, alpha: np.ndarray | None, info: dict[str, Any]) -> None:
    """Write values (C, H, W) and alpha (H, W) or None, of one type that `kind` can hold."""
    if kind == "NPY":
        _save_npy(handle, raw, info)
    elif kind == "TIFF":
        _save_tiff(handle, raw, alpha, info)
    elif raw.dtype == np.uint16:
        turned = info.get("orientation", 1)
        if info.get("exif") or turned != 1:
            info = info | {"exif": orientation.exif_with(info.get("exif"), turned)}
        handle.write(encode(np.moveaxis(raw, 0, -1), alpha, info))
    else:
        _save_pillow(handle, kind, raw, alpha, info)


def _save_pillow(handle: BinaryIO, kind: str, raw: np.ndarray, alpha: np.ndarray | None, info: dict[str, Any]) -> None:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    planes = raw if alpha is None else np.concatenate([raw, alpha[None]])
    array = planes[0] if len(planes) == 1 else np.moveaxis(planes, 0, -1)
    options: dict[str, Any] = {key: info[key] for key in ("dpi", "icc_profile", "exif") if info.get(key)}
    turned = info.get("orientation", 1)
    if kind in ORIENTED and ("exif" in options or turned != 1):
        options["exif"] = orientation.exif_with(options.get("exif"), turned)
    if kind == "PNG":
        options["pnginfo"] = PngInfo()
        for name, content in info.get("png_chunks", []):
            options["pnginfo"].add(name, content)
    packed = {"JPEG": info.get("jpeg", {"quality": 95, "subsampling": 0}), "WEBP": {"lossless": True, "exact": True}}
    options |= packed.get(kind, {})
    Image.fromarray(np.ascontiguousarray(array)).save(handle, kind, **options)


def _save_npy(handle: BinaryIO, raw: np.ndarray, info: dict[str, Any]) -> None:
    """Write (H, W) or (H, W, C), unless the array that was read had other axes."""
    axes = info.get("axes")
    if len(raw) == 1 and axes in (None, "HW"):
        array = raw[0]
    else:
        array = raw if axes == "CHW" else np.moveaxis(raw, 0, -1)
    np.lib.format.write_array(handle, np.ascontiguousarray(array), allow_pickle=False)


def _transfer_function(table: np.ndarray | None, dtype: np.dtype[Any]) -> list[tuple[Any, ...]]:
    """Return the tag of a transfer function that is one of values of this type."""
    codes = 2 ** (8 * dtype.itemsize)
    if table is None or dtype.kind != "u" or table.size not in (codes, 3 * codes):
        return []
    return [(TRANSFER_FUNCTION, 3, table.size, tuple(table.ravel().tolist()), True)]


def _save_tiff(handle: BinaryIO, raw: np.ndarray, alpha: np.ndarray | None, info: dict[str, Any]) -> None:
    import tifffile

    colour = len(raw) >= 3 and info.get("photometric", "rgb" if len(raw) == 3 else "") == "rgb"
    first = 3 if colour else 1  # of the samples that TIFF calls extra
    at = info.get("alpha_at", len(raw))
    at = at if first <= at <= len(raw) else len(raw)
    planes = raw if alpha is None else np.insert(raw, at, alpha, axis=0)
    extras = [info.get("alpha_kind", 2) if alpha is not None and i == at else 0 for i in range(first, len(planes))]
    chunky = info.get("layout") != "CHW"
    dpi, turned, there = info.get("dpi"), info.get("orientation", 1), info.get("mask")
    extra: list[tuple[Any, ...]] = [
        *info.get("tiff_tags", ()),
        *([(orientation.TAG, 3, 1, turned, True)] * (turned != 1)),
        *_transfer_function(info.get("transfer_function"), planes.dtype),
    ]
    plain: dict[str, Any] = {"metadata": None, "software": False, "byteorder": "<"}
    layout = info.get("tiff_layout", PixelLayout()).for_type(planes.dtype)
    tiles = None if layout.plain else encoded(planes, layout, chunky)
    array = np.ascontiguousarray(planes[0] if len(planes) == 1 else np.moveaxis(planes, 0, -1) if chunky else planes)
    tifffile.imwrite(
        handle,
        array if tiles is None else iter(tiles),
        shape=array.shape,
        dtype=array.dtype,
        photometric="rgb" if colour else "minisblack",
        planarconfig=None if len(planes) == 1 else "contig" if chunky else "separate",
        extrasamples=extras or None,
        resolution=dpi,
        resolutionunit=2 if dpi else None,
        iccprofile=info.get("icc_profile"),
        extratags=extra,
        compression=None if layout.compression == 1 and layout.bits is None else "zlib",
        **layout.options(),
        **plain,
    )
    shorts = {} if tiles is None else layout.tags(len(planes))
    without = () if layout.sized or dpi else RESOLUTION
    if shorts or without:
        amend(handle, shorts, without)
    if there is not None:
        handle.seek(0)
        page = {"photometric": "mask", "subfiletype": _MASK, "compression": "zlib"}
        tifffile.imwrite(handle, np.ascontiguousarray(there), append=True, **page, **plain)
    if layout.overviews:
        add_overviews(handle, layout.overviews)
