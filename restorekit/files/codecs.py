"""File formats: values to files and back, nothing scaled; `restorekit.files.picture` is what the rest of the package calls.

Pillow does JPEG, BMP, WEBP and 8-bit PNG, tifffile TIFF, numpy NPY, `restorekit.files.png16` PNG of 16 bits. Pixels are as they
are stored, and info["orientation"] says how viewers turn them, where they do. A damaged file raises whatever its library
raises; `restorekit.files.picture` turns that into BadInput.
"""

from __future__ import annotations

import importlib.util
import io
import logging
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np

from restorekit.errors import BadInput
from restorekit.files import orientation
from restorekit.files.png16 import chunks, decode, dpi, encode, meta
from restorekit.files.session import opened as report_opened

if TYPE_CHECKING:
    from PIL.Image import Image

_MASK = 4  # NewSubfileType of a page that is the mask of another
_GEO_TAGS = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)

ORIENTED = ("PNG", "JPEG", "WEBP", "TIFF")  # formats that can say how they are to be turned
# How files begin.
_STARTS = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"\x93NUMPY": "NPY"}
_STARTS |= {b"II+\0": "TIFF", b"MM\0+": "TIFF", b"BM": "BMP", b"RIFF": "WEBP"}

# What it has to say of damaged files comes as the reason of an error, and not as a line of its own on top.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

Planes: TypeAlias = "tuple[np.ndarray, np.ndarray | None]"
Decoded: TypeAlias = "tuple[np.ndarray, np.ndarray | None, dict[str, Any]]"


def content(start: bytes) -> str:
    """The kind of a file that begins so (its first 8 bytes do), "text", or "" where it is none that is known."""
    kind = next((kind for signature, kind in _STARTS.items() if start.startswith(signature)), "")
    text = start.removeprefix(b"\xef\xbb\xbf")
    return kind or ("text" if text and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in text) else "")


def damage(error: BaseException) -> str:
    """What to call a file that a decoder fails on: its reason in brackets, unless that is about its own buffers."""
    line = " ".join(str(error).split())[:160] or type(error).__name__
    return "damaged or cut short" + ("" if isinstance(error, struct.error) or "BytesIO" in line else f" ({line})")


def load(path: Path, kind: str, data: bytes | None = None) -> Decoded:
    """Values (C, H, W) and alpha (H, W) or None in the file's type, and info as in `restorekit.files.picture.Picture`.

    data: what is in the file, where that is known already and `path` is but its name; not for NPY.
    """
    if kind == "NPY":
        return _load_npy(path)
    return _load_tiff(path, data) if kind == "TIFF" else _load_pillow(path, kind, data)


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


def opened(path: Path, data: bytes, kinds: Iterable[str]) -> Image:
    """The one picture of a file, loaded, not turned by its EXIF orientation; BadInput for an animation.

    All pages of a TIFF may be pictures, see `only_page`: this is the first.
    """
    from PIL import Image

    image = Image.open(io.BytesIO(data), formats=list(kinds))
    # MPO, which many telephones write, is a JPEG with a preview behind it.
    # Pages of a TIFF are not counted: Pillow knows no masks, and fails where one follows.
    if image.format not in ("MPO", "TIFF") and getattr(image, "n_frames", 1) > 1:
        raise BadInput(f"{path}: an animation; save one frame as a picture of its own")
    if image.format == "TIFF":
        image.getexif()[orientation.TAG] = 1  # the only format that Pillow turns by itself
    image.load()
    return image


def _load_pillow(path: Path, kind: str, data: bytes | None = None) -> Decoded:
    data = path.read_bytes() if data is None else data
    parts = chunks(data) if kind == "PNG" else []
    if parts and parts[0][1][8] == 16:
        if parts[0][1][12]:
            raise BadInput(f"{path}: interlaced 16-bit PNG cannot be read; save it without interlacing")
        pixels, alpha = decode(parts)
        info = meta(parts)
        return np.moveaxis(pixels, -1, 0), alpha, info | _turned(orientation.of_exif(info.get("exif", b"")))
    image = opened(path, data, [kind])
    raw, alpha = _from_pillow(image, path)
    info = {key: image.info[key] for key in ("icc_profile", "exif") if image.info.get(key)}
    info |= dpi(image.info.get("dpi", ()))
    turned = _turned(image.getexif().get(orientation.TAG)) if kind != "TIFF" else {}  # XMP counts where EXIF is silent
    return raw, alpha, (meta(parts) if parts else info) | turned


def _rgb_of_ycbcr(planes: np.ndarray) -> np.ndarray:
    """Return planes (3, H, W) of YCbCr in 8 bits as RGB, converted as Pillow does for JPEG."""
    from PIL import Image

    merged = Image.merge("YCbCr", [Image.fromarray(np.ascontiguousarray(plane)) for plane in planes])
    return np.moveaxis(np.asarray(merged.convert("RGB")), -1, 0)


def _turned(value: Any) -> dict[str, Any]:
    """{"orientation": 2 to 8}, or nothing for pixels that are shown as they are stored."""
    found = orientation.valid(value)
    return {} if found == 1 else {"orientation": found}


def _from_pillow(image: Image, path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    mode = {"1": "L", "P": "RGB", "PA": "RGBA", "YCbCr": "RGB"}.get(image.mode, image.mode)
    if "transparency" in image.info and mode in ("L", "RGB"):
        mode += "A"
    if mode not in ("L", "LA", "RGB", "RGBA"):
        raise BadInput(f"{path}: {image.mode} colours cannot be read; convert it to RGB or grey first")
    planes = np.moveaxis(np.atleast_3d(np.asarray(image.convert(mode))), -1, 0)
    return (planes[:-1], planes[-1]) if mode.endswith("A") else (planes, None)


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
    options |= {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True, "exact": True}}.get(kind, {})
    Image.fromarray(np.ascontiguousarray(array)).save(handle, kind, **options)


def jpeg_rounding(path: Path) -> float:
    """Standard deviation, white = 1, of what a JPEG lost by rounding its coefficients, by its first table; 0 of other files."""
    if content(path.read_bytes()[:8]) != "JPEG":
        return 0.0
    with opened(path, path.read_bytes(), ["JPEG"]) as image:
        table = np.array(getattr(image, "quantization", {}).get(0, [0]), np.float64)
    return float(np.sqrt(np.mean(table**2) / 12) / 255)


def npy_layout(shape: tuple[int, ...]) -> str:
    """ "CHW" or "HWC", of an array of three axes."""
    return "CHW" if shape[0] <= 16 < shape[2] else "HWC"


def _load_npy(path: Path) -> Decoded:
    with open(path, "rb") as handle:
        array = np.lib.format.read_array(handle, allow_pickle=False)
    if array.ndim not in (2, 3):
        raise BadInput(f"{path}: an array of shape {array.shape} is no picture; save (H, W), (H, W, C) or (C, H, W)")
    layout = "HW" if array.ndim == 2 else npy_layout(array.shape)
    raw = {"HW": array[None], "CHW": array}.get(layout)
    return np.moveaxis(array, -1, 0) if raw is None else raw, None, {"layout": layout}


def _save_npy(handle: BinaryIO, raw: np.ndarray, info: dict[str, Any]) -> None:
    layout = info.get("layout")
    shapes = {"HWC": (*raw.shape[1:], len(raw)), "CHW": raw.shape}
    if len(raw) == 1 and layout in (None, "HW"):
        array = raw[0]
    else:
        order = sorted(shapes, key=lambda name: name != layout)
        # The layout of `like`, unless `read` would take it for the other one.
        layout = next((name for name in order if npy_layout(shapes[name]) == name), order[0])
        array = raw if layout == "CHW" else np.moveaxis(raw, 0, -1)
    np.lib.format.write_array(handle, np.ascontiguousarray(array), allow_pickle=False)


def only_page(tif: Any, path: Path) -> Any:
    """The page of a tifffile.TiffFile; BadInput where it has several."""
    import tifffile

    # Overviews and masks, as in cloud-optimised GeoTIFF, are no pages of their own.
    pages = [p for p in tif.pages if isinstance(p, tifffile.TiffPage) and not (p.is_reduced or p.is_mask)]
    if not pages:
        raise ValueError("no page is whole")
    if len(pages) != 1 or (tif.is_imagej and tif.series[0].size != pages[0].size):
        raise BadInput(f"{path}: {len(tif.pages)} pages; save one page, its bands planar or chunky, or .npy")
    return pages[0]


def _load_tiff(path: Path, data: bytes | None = None) -> Decoded:
    import tifffile

    with tifffile.TiffFile(path if data is None else io.BytesIO(data)) as tif:
        page = only_page(tif, path)
        photometric = getattr(page.photometric, "name", str(page.photometric))
        info: dict[str, Any] = {"layout": {"YX": "HW", "YXS": "HWC", "SYX": "CHW"}.get(page.axes)}
        known = ("MINISBLACK", "MINISWHITE", "RGB", "PALETTE", "YCBCR")
        if info["layout"] is None or photometric not in known or page.bitspersample not in (1, 8, 16, 32, 64):
            what = f"{photometric} with axes {page.axes} and {page.bitspersample} bits"
            raise BadInput(f"{path}: TIFF of {what} cannot be read; save grey, RGB or bands of 8, 16 or 32 bits")
        for tag in page.tags:
            if tag.code == 34675:
                info["icc_profile"] = bytes(tag.value)
        tags = [(tag.code, int(tag.dtype), tag.count, tag.value, True) for tag in page.tags if tag.code in _GEO_TAGS]
        info |= {"tiff_tags": tags} if tags else {}
        info |= _turned(page.tags.valueof("Orientation", 1))
        if data is None and (there := _mask_page(tif, page, path)) is not None:
            info["mask"] = there
        unit = {2: 1.0, 3: 2.54}.get(int(page.tags.valueof("ResolutionUnit", 1)))
        if unit and "XResolution" in page.tags and "YResolution" in page.tags:
            ratios = [page.tags.valueof(name) for name in ("XResolution", "YResolution")]
            info |= dpi(unit * top / bottom for top, bottom in ratios if bottom)
        try:
            if photometric != "YCBCR":
                return (*_tiff_planes(page, _pixels(page, path, data, info["layout"]), info, photometric), info)
            if (
                page.compression == 1
                and page.subsampling == (1, 1)
                and page.dtype == np.uint8
                and page.samplesperpixel == 3
            ):
                return _rgb_of_ycbcr(np.moveaxis(page.asarray(), page.axes.index("S"), 0)), None, info
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
    # tifffile leaves YCbCr as it is, and needs another package for LZW and JPEG; Pillow knows them, but loses bits and
    # bands of uncommon pictures, and before version 13 fails at YCbCr that is not compressed.
    if page.dtype in (np.uint8, np.bool_):
        raw, alpha, _ = _load_pillow(path, "TIFF", data)
        if photometric == "PALETTE" or len(raw) + (alpha is not None) == page.samplesperpixel:
            return raw, alpha, info
    compression = getattr(page.compression, "name", page.compression)
    raise BadInput(f"{path}: {compression} needs `pip install imagecodecs`, or rasterio; or save it uncompressed")


def tiff_orientation(path: Path) -> int:
    """The orientation (1 to 8) of the first page of a TIFF; 1 for what is no TIFF, or is damaged."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tif:
            return orientation.valid(tif.pages[0].tags.valueof("Orientation", 1))  # type: ignore[union-attr]
    # A ValueError only in releases of tifffile that need Python 3.11.
    except (tifffile.TiffFileError, OSError, ValueError, struct.error, IndexError, AttributeError):
        return 1


def _mask_page(tif: Any, page: Any, path: Path) -> np.ndarray | None:
    """(H, W) bool, True where pixels hold data, of the mask that a TIFF has as a page of its own (TIFF 6.0, page 36)."""
    masks = [p for p in tif.pages if p.is_mask and not p.is_reduced]
    if not masks or masks[0].shape[:2] != (page.imagelength, page.imagewidth):
        return None
    try:
        return valid_pixels(np.atleast_3d(masks[0].asarray()), -1)
    except ValueError as error:
        raise BadInput(
            f"{path}: its mask cannot be read ({damage(error)}); `pip install imagecodecs`, or save it uncompressed"
        ) from None


def sidecar(path: Path, size: tuple[int, ...], own: np.ndarray | None) -> dict[str, Any]:
    """{"mask": (H, W)} of the file `.msk` that GDAL puts beside a raster, with the raster's `own` mask; or nothing."""
    beside = path.with_name(path.name + ".msk")
    if not beside.is_file():
        return {}
    report_opened(beside)
    try:
        values, _, _ = load(beside, "TIFF")
    except Exception as error:
        raise BadInput(f"{beside}: no readable mask, {damage(error)}; mend it, or move it away") from error
    if values.shape[1:] != size:
        height, width = values.shape[1:]
        raise BadInput(f"{beside} is {height}x{width}, {path} {size[0]}x{size[1]}; it masks another file: move it away")
    there = valid_pixels(values, 0)
    return {"mask": there if own is None else there & own}


def valid_pixels(mask: np.ndarray, axis: int) -> np.ndarray:
    """(H, W) bool of the values of a mask, where those of all bands say that there is data."""
    return np.asarray((mask > 0).all(axis))


def _pixels(page: Any, path: Path, data: bytes | None, layout: str) -> np.ndarray:
    """As tifffile has them, or rasterio, if that is there and tifffile lacks a decoder; bytes and bits are left to Pillow."""
    try:
        return page.asarray()
    except ValueError as error:
        if page.dtype.itemsize == 1 or "imagecodecs" not in str(error) or not importlib.util.find_spec("rasterio"):
            raise
    planes = importlib.import_module("restorekit.files.bands").tiff_pixels(path, data)
    return {"HW": planes[0], "CHW": planes}.get(layout, np.moveaxis(planes, 0, -1))


def _tiff_planes(page: Any, array: np.ndarray, info: dict[str, Any], photometric: str) -> Planes:
    if array.dtype == bool:
        array = array.astype(np.uint8) * np.uint8(255)
    if photometric == "MINISWHITE" and array.dtype.kind == "u":
        array = np.iinfo(array.dtype).max - array
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
    ]
    plain: dict[str, Any] = {"metadata": None, "software": False}
    tifffile.imwrite(
        handle,
        np.ascontiguousarray(planes[0] if len(planes) == 1 else np.moveaxis(planes, 0, -1) if chunky else planes),
        photometric="rgb" if colour else "minisblack",
        planarconfig=None if len(planes) == 1 else "contig" if chunky else "separate",
        extrasamples=extras or None,
        resolution=dpi,
        resolutionunit=2 if dpi else None,
        iccprofile=info.get("icc_profile"),
        extratags=extra,
        **plain,
    )
    if there is not None:
        handle.seek(0)
        page = {"photometric": "mask", "subfiletype": _MASK, "compression": "zlib"}
        tifffile.imwrite(handle, np.ascontiguousarray(there), append=True, **page, **plain)
