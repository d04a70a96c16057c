"""This module reads TIFF files to values as they are stored: pages, masks, alpha, and who decodes what tifffile does
not."""

from __future__ import annotations

import importlib
import importlib.util
import io
import struct
from collections.abc import Iterator
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from restorekit.errors import BadInput
from restorekit.files import orientation
from restorekit.files.decode import Decoded, load, load_pillow
from restorekit.files.formats import converter, damage
from restorekit.files.png16 import dpi
from restorekit.files.quiet import quiet, unheard
from restorekit.files.reading import check_packed, check_size
from restorekit.files.tiff_layout import PixelLayout
from restorekit.files.tiff_overviews import factors_of
from restorekit.files.tiff_tags import TRANSFER_FUNCTION, carried

_DNG_VERSION = 50706
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
MOST_PAGES = 2**17
unheard("tifffile")

Planes: TypeAlias = "tuple[np.ndarray, np.ndarray | None]"


def directories(tif: Any) -> Iterator[int]:
    """Return NewSubfileType of every page of a tifffile.TiffFile, in their order, without reading more of them.

    It ends where the list leaves the file. Raises ValueError where the list goes in a circle or has more than
    `MOST_PAGES`.
    """
    handle, order = tif.filehandle, tif.byteorder
    number, entry, link = ("Q", 20, "Q") if tif.is_bigtiff else ("H", 12, "I")
    before, after, value = struct.calcsize(number), struct.calcsize(link), 12 if tif.is_bigtiff else 8
    seen, at = set[int](), tif.pages.first.offset
    while 0 < at < handle.size:
        if at in seen or len(seen) == MOST_PAGES:
            raise ValueError("its list of pages goes in a circle" if at in seen else f"more than {MOST_PAGES} pages")
        seen.add(at)
        handle.seek(at)
        head = handle.read(before)
        count = struct.unpack(order + number, head)[0] if len(head) == before else 0
        body = handle.read(min(count, 4096) * entry + after)
        if not 0 < count <= 4096 or len(body) < count * entry:
            return
        kinds = (body[i : i + entry] for i in range(0, count * entry, entry))
        found = next((k for k in kinds if struct.unpack(order + "H", k[:2])[0] == 254), None)
        yield 0 if found is None else struct.unpack(order + "I", found[value : value + 4])[0]
        rest = body[count * entry :]
        at = struct.unpack(order + link, rest)[0] if len(rest) == after else 0


def _pictures(kinds: list[int]) -> list[int]:
    """Return which pages are pictures: overviews and masks, as in cloud-optimised GeoTIFF, are no pages of their own."""
    return [n for n, kind in enumerate(kinds) if not kind & (_REDUCED | _MASK)]


def only_page(tif: Any, path: Path, page: int | None = None) -> Any:
    """Return the picture of a tifffile.TiffFile, or that number `page`, from 1. Raises BadInput where it has several
    and none is named."""
    tif.pages.useframes = False
    if _DNG_VERSION in tif.pages.first.tags:
        raise BadInput(f"{path}: a camera raw file (DNG), which is not read here; {converter('camera raw', path)}")
    found = _pictures(list(directories(tif)))
    if not found:
        raise ValueError("no page is whole")
    _check_page(path, page, len(found))
    return tif.pages[found[(page or 1) - 1]]


def _check_page(path: Path, page: int | None, count: int) -> None:
    if page is None and count > 1:
        raise BadInput(
            f"{path}: a stack of {count} pages, which may be slices, dates or channels; save one as a picture of its own, or "
            "give `pages=1` for one, `pages=all` for each by itself",
            argument="pages",
        )
    if page is not None and page > count:
        raise BadInput(f"{path}: there is no page {page}, it has {count}", argument="pages")


def is_cmyk8(path: Path, data: bytes) -> bool:
    """Return whether the only page of a file that was read holds inks of 8 bits; BadInput where it has several pages."""
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        page = only_page(tif, path)
        return page.dtype == np.uint8 and getattr(page.photometric, "name", "") == "SEPARATED"


def page_count(path: Path) -> int:
    """Return how many pictures a TIFF holds; 1 for other files, and for damaged ones, which fail where they are read."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tif:
            count = len(_pictures(list(directories(tif))))
            return max(count, _slices(tif, tif.pages.first))
    except Exception:  # noqa: BLE001 (whatever tifffile makes of a damaged file)
        return 1


def _slices(tif: Any, page: Any) -> int:
    """Return how many pictures ImageJ keeps behind one page, one after the other."""
    if not tif.is_imagej:
        return 1
    series = tif.series[0]
    return series.size // page.size if page.size and series.size > page.size and series.dataoffset else 1


def load_tiff(path: Path, data: bytes | None = None, number: int | None = None) -> Decoded:
    """Return what `restorekit.files.decode.load` does, of page `number`, from 1."""
    import tifffile

    with tifffile.TiffFile(path if data is None else io.BytesIO(data)) as tif:
        slices = _slices(tif, tif.pages.first)
        page = tif.pages.first if slices > 1 else only_page(tif, path, number)
        _check_page(path, number, slices if slices > 1 else max(number or 1, 1))
        photometric = getattr(page.photometric, "name", str(page.photometric))
        info: dict[str, Any] = {"layout": {"YX": "HW", "YXS": "HWC", "SYX": "CHW"}.get(page.axes)}
        _check(page, photometric, path, info)
        for tag in page.tags:
            if tag.code == 34675:
                info["icc_profile"] = bytes(tag.value)
            elif tag.code == TRANSFER_FUNCTION and int(tag.dtype) == 3:
                info["transfer_function"] = np.asarray(tag.value, np.uint16)
        alone = data is None and slices == 1 and page.index == 0  # files beside are of the first page
        behind = [] if slices > 1 else _behind(tif, page)
        reduced = [one for kind, one in behind if kind & _REDUCED and not kind & _MASK]
        info["tiff_layout"] = PixelLayout.of(page, factors_of(page, reduced, path if alone else None))
        tags = carried(tif, page)
        if alone:
            beside = importlib.import_module("restorekit.files.tiff_beside")
            tags = beside.with_files_beside(path, tags, page.samplesperpixel)
            info |= {"unread_beside": names} if (names := beside.unread_beside(path)) else {}
        info |= {"tiff_tags": tags} if tags else {}
        turned = orientation.valid(page.tags.valueof("Orientation", 1))
        info |= {} if turned == 1 else {"orientation": turned}
        if data is None and slices == 1 and (there := _mask_page(behind, page, path)) is not None:
            info["mask"] = there
        unit = {2: 1.0, 3: 2.54}.get(int(page.tags.valueof("ResolutionUnit", 1)))
        if unit and "XResolution" in page.tags and "YResolution" in page.tags:
            ratios = [page.tags.valueof(name) for name in ("XResolution", "YResolution")]
            info |= dpi(unit * top / bottom for top, bottom in ratios if bottom)
        if slices > 1:
            return (*_tiff_planes(page, _slice(tif, page, (number or 1) - 1), info, photometric), info)
        return _decoded(page, path, data, info, photometric)


def _check(page: Any, photometric: str, path: Path, info: dict[str, Any]) -> None:
    """Raise BadInput for pages of no picture; put the bits of a sample into `info` where they do not fill a type."""
    bits, known = page.bitspersample, ("MINISBLACK", "MINISWHITE", "RGB", "PALETTE", "YCBCR")
    odd = isinstance(bits, int) and 1 < bits < 16 and bits != 8 and int(page.sampleformat or 1) == 1
    if photometric == "SEPARATED":
        raise BadInput(
            f"{path}: CMYK colours cannot be read; convert it by its colour profile: magick {path} -colorspace sRGB "
            f"{path.stem}_rgb.tif"
        )
    if info["layout"] is None or photometric not in known or not (bits in (1, 8, 16, 32, 64) or odd):
        what = f"{photometric} with axes {page.axes} and {bits} bits"
        raise BadInput(f"{path}: TIFF of {what} cannot be read; save grey, RGB or bands of 8, 16 or 32 bits")
    check_size(path, page.imagelength, page.imagewidth, page.samplesperpixel)
    check_packed(path, page.size * page.dtype.itemsize, page.parent.filehandle.size)
    if odd and photometric in ("MINISBLACK", "MINISWHITE", "RGB"):
        info["bits"] = bits


def _slice(tif: Any, page: Any, number: int) -> np.ndarray:
    """Return one of the pictures that ImageJ keeps behind one page."""
    handle = tif.filehandle
    handle.seek(tif.series[0].dataoffset + number * page.size * page.dtype.itemsize)
    raw = handle.read(page.size * page.dtype.itemsize)
    return np.frombuffer(raw, page.dtype.newbyteorder(tif.byteorder)).reshape(page.shape)


def _decoded(page: Any, path: Path, data: bytes | None, info: dict[str, Any], photometric: str) -> Decoded:
    """Decode by tifffile, which leaves YCbCr as it is and needs another package for most compressions; else by Pillow,
    which knows 8 bits of the usual bands, else by GDAL."""
    if photometric != "YCBCR":
        try:
            return (*_tiff_planes(page, page.asarray(), info, photometric), info)
        except Exception as error:
            if not _lacking(error):
                raise
    elif page.compression == 1 and page.subsampling == (1, 1) and page.dtype == np.uint8 and page.samplesperpixel == 3:
        return _rgb_of_ycbcr(np.moveaxis(page.asarray(), page.axes.index("S"), 0)), None, info
    # Pillow before version 13 fails at YCbCr that is not compressed.
    if page.dtype in (np.uint8, np.bool_) and "bits" not in info and page.index == 0:
        # Whatever a decoder raises: GDAL knows more of them.
        with suppress(OSError, ValueError, RuntimeError, KeyError, TypeError, IndexError, struct.error, SyntaxError):
            with quiet():
                raw, alpha, _ = load_pillow(path, "TIFF", data)
            if photometric == "PALETTE" or len(raw) + (alpha is not None) == page.samplesperpixel:
                return raw, alpha, info
    planes = _by_gdal(page, path, data)
    array = {"HW": planes[0], "CHW": planes}.get(info["layout"], np.moveaxis(planes, 0, -1))
    # GDAL makes RGB of YCbCr
    return (*_tiff_planes(page, array, info, "RGB" if photometric == "YCBCR" else photometric), info)


def _rgb_of_ycbcr(planes: np.ndarray) -> np.ndarray:
    """Return planes (3, H, W) of YCbCr in 8 bits as RGB, converted as Pillow does for JPEG."""
    from PIL import Image

    merged = Image.merge("YCbCr", [Image.fromarray(np.ascontiguousarray(plane)) for plane in planes])
    return np.moveaxis(np.asarray(merged.convert("RGB")), -1, 0)


def _by_gdal(page: Any, path: Path, data: bytes | None) -> np.ndarray:
    """Return (C, H, W) by GDAL. Raises BadInput that names the package where that is not there, or has no decoder."""
    compression = getattr(page.compression, "name", str(page.compression))
    lacking = BadInput(
        f"{path}: {compression} of {page.bitspersample} bits needs `pip install imagecodecs`, or rasterio; or save it "
        "uncompressed"
    )
    if not importlib.util.find_spec("rasterio"):
        raise lacking
    try:
        return importlib.import_module("restorekit.files.bands").tiff_pixels(path, data, page.index)
    except Exception as error:
        if "missing codec" in str(error) or "not configured" in str(error):
            raise lacking from error
        raise


def _lacking(error: Exception) -> bool:
    """Return True where tifffile failed for want of a package."""
    return isinstance(error, ImportError) or "imagecodecs" in str(error)


def tiff_orientation(path: Path) -> int:
    """Return the orientation (1 to 8) of the first page of a TIFF; 1 for what is no TIFF, or is damaged."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tif:
            return orientation.valid(tif.pages[0].tags.valueof("Orientation", 1))  # type: ignore[union-attr]
    except Exception:  # noqa: BLE001 (whatever tifffile makes of a damaged file; GDAL says what is wrong with it)
        return 1


def _mask_page(behind: list[tuple[int, Any]], page: Any, path: Path) -> np.ndarray | None:
    """Return (H, W) bool, True where pixels hold data, of the mask among the pages `behind` (TIFF 6.0, page 36)."""
    masks = [one for kind, one in behind if kind & _MASK and not kind & _REDUCED]
    if not masks or masks[0].shape[:2] != (page.imagelength, page.imagewidth):
        return None
    try:
        return valid_pixels(np.atleast_3d(masks[0].asarray()), -1)
    except Exception as error:  # noqa: BLE001 (of missing packages, and of damage)
        raise BadInput(
            f"{path}: its mask cannot be read ({damage(error)}); `pip install imagecodecs`, or save it uncompressed"
        ) from None


def _behind(tif: Any, page: Any) -> list[tuple[int, Any]]:
    """Return (NewSubfileType, page) of the masks and overviews that follow a page as pages of their own."""
    kinds = list(directories(tif))
    behind = takewhile(lambda n: kinds[n] & (_REDUCED | _MASK), range(page.index + 1, len(kinds)))
    return [(kinds[n], tif.pages[n]) for n in behind]


def sidecar(path: Path, size: tuple[int, ...], own: np.ndarray | None) -> dict[str, Any]:
    """Return {"mask": (H, W)} of the file `.msk` that GDAL puts beside a raster, with the raster's `own` mask; or
    nothing."""
    beside = path.with_name(path.name + ".msk")
    if not beside.is_file():
        return {}
    try:
        values, _, _ = load(beside, "TIFF")
    except Exception as error:
        raise BadInput(f"{beside}: no readable mask, {damage(error)}; mend it, or move it away") from error
    if values.shape[1:] != size:
        found, expected = ("x".join(map(str, shape)) for shape in (values.shape[1:], size))
        raise BadInput(f"{beside} is {found}, {path} {expected}; it masks another file: move it away")
    there = valid_pixels(values, 0)
    return {"mask": there, "mask_beside": True} if own is None else {"mask": there & own}


def valid_pixels(mask: np.ndarray, axis: int) -> np.ndarray:
    """Return (H, W) bool of the values of a mask: True where those of all bands say that there is data."""
    return np.asarray((mask > 0).all(axis))


def _tiff_planes(page: Any, array: np.ndarray, info: dict[str, Any], photometric: str) -> Planes:
    if array.dtype == bool:
        array = array.astype(np.uint8) * np.uint8(255)
    if photometric == "MINISWHITE" and array.dtype.kind == "u":
        top = 2 ** info["bits"] - 1 if "bits" in info else np.iinfo(array.dtype).max
        array = (top - array).astype(array.dtype)
    if photometric == "PALETTE":
        planes = page.colormap[:, array]
        # Colour maps have 16 bits; most were made from 8 by repeating the byte.
        return planes if (planes % 257).any() else (planes // 257).astype(np.uint8), None
    planes = {"HW": array[None], "CHW": array}.get(info["layout"])
    planes = np.moveaxis(array, -1, 0) if planes is None else planes
    info["photometric"] = "rgb" if photometric == "RGB" else "minisblack"
    extras = [int(extra) for extra in page.extrasamples]
    for place, extra in enumerate(extras):
        if extra in (1, 2):
            at = len(planes) - len(extras) + place
            info |= {"alpha_kind": extra, "alpha_at": at}
            return np.delete(planes, at, axis=0), planes[at]
    return planes, None
