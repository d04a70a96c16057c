"""File formats: values to files and back, nothing scaled; `restorekit.io` is what the rest of the package calls.

Pillow does JPEG, BMP, WEBP and 8-bit PNG, tifffile TIFF, numpy NPY. 16-bit PNG is done here, since Pillow cuts 16-bit
RGB to 8 bits and no other dependency knows it: non-interlaced grey, grey + alpha, RGB and RGBA. A damaged file raises
whatever its library raises, ValueError here; `restorekit.io` turns that into BadInput.
"""

from __future__ import annotations

import importlib.util
import io
import logging
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np

from restorekit.errors import BadInput

if TYPE_CHECKING:
    from PIL.Image import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Chunks that say what the numbers mean as colours.
COLOUR = (b"cICP", b"cHRM", b"gAMA", b"sRGB")
_SAMPLES = {0: 1, 2: 3, 4: 2, 6: 4}
_BLOCK = 1_000_000
_EXIF = b"Exif\x00\x00"
_GEO_TAGS = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)

_ORIENTATION = 0x0112
# How files begin.
_STARTS = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"\x93NUMPY": "NPY"}
_STARTS |= {b"II+\0": "TIFF", b"MM\0+": "TIFF", b"BM": "BMP", b"RIFF": "WEBP"}

# What it has to say of damaged files comes as the reason of an error, and not as a line of its own on top.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

Chunks: TypeAlias = "list[tuple[bytes, bytes]]"
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
    """Values (C, H, W) and alpha (H, W) or None in the file's type, and info as in `restorekit.io.Picture`.

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
    if getattr(image, "n_frames", 1) > 1 and image.format not in ("MPO", "TIFF"):
        raise BadInput(f"{path}: an animation; save one frame as a picture of its own")
    if image.format == "TIFF":
        image.getexif()[_ORIENTATION] = 1  # the only format that Pillow turns by itself
    image.load()
    return image


def _load_pillow(path: Path, kind: str, data: bytes | None = None) -> Decoded:
    data = path.read_bytes() if data is None else data
    parts = chunks(data) if kind == "PNG" else []
    if parts and parts[0][1][8] == 16:
        if parts[0][1][12]:
            raise BadInput(f"{path}: interlaced 16-bit PNG cannot be read; save it without interlacing")
        pixels, alpha = decode(parts)
        return np.moveaxis(pixels, -1, 0), alpha, meta(parts)
    image = opened(path, data, [kind])
    raw, alpha = _from_pillow(image, path)
    info = {key: image.info[key] for key in ("icc_profile", "exif") if image.info.get(key)}
    info |= _dpi(image.info.get("dpi", ()))
    return raw, alpha, meta(parts) if parts else info


def _dpi(values: Iterable[Any]) -> dict[str, Any]:
    """{"dpi": (x, y)}, or nothing for what every format could not hold."""
    pair = tuple(float(value) for value in values)
    return {"dpi": pair} if len(pair) == 2 and all(0 < value < 65535 for value in pair) else {}


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
    if kind == "PNG":
        options["pnginfo"] = PngInfo()
        for name, content in info.get("png_chunks", []):
            options["pnginfo"].add(name, content)
    options |= {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True, "exact": True}}.get(kind, {})
    Image.fromarray(np.ascontiguousarray(array)).save(handle, kind, **options)


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
        unit = {2: 1.0, 3: 2.54}.get(int(page.tags.valueof("ResolutionUnit", 1)))
        if unit and "XResolution" in page.tags and "YResolution" in page.tags:
            ratios = [page.tags.valueof(name) for name in ("XResolution", "YResolution")]
            info |= _dpi(unit * top / bottom for top, bottom in ratios if bottom)
        try:
            if photometric != "YCBCR":
                return (*_tiff_planes(page, _pixels(page, path, data, info["layout"]), info, photometric), info)
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
    # tifffile leaves YCbCr as it is, and needs another package for LZW and JPEG; Pillow knows them, but loses bits and
    # bands of uncommon pictures.
    if page.dtype in (np.uint8, np.bool_):
        raw, alpha, _ = _load_pillow(path, "TIFF", data)
        if photometric == "PALETTE" or len(raw) + (alpha is not None) == page.samplesperpixel:
            return raw, alpha, info
    compression = getattr(page.compression, "name", page.compression)
    raise BadInput(f"{path}: {compression} needs `pip install imagecodecs`, or rasterio; or save it uncompressed")


def _pixels(page: Any, path: Path, data: bytes | None, layout: str) -> np.ndarray:
    """As tifffile has them, or rasterio, if that is there and tifffile lacks a decoder; bytes and bits are left to Pillow."""
    try:
        return page.asarray()
    except ValueError as error:
        if page.dtype.itemsize == 1 or "imagecodecs" not in str(error) or not importlib.util.find_spec("rasterio"):
            raise
    planes = importlib.import_module("restorekit.raster.source").tiff_pixels(path, data)
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
            info["alpha_kind"] = extra
            at = len(planes) - len(extras) + place
            return np.delete(planes, at, axis=0), planes[at]
    return planes, None


def _save_tiff(handle: BinaryIO, raw: np.ndarray, alpha: np.ndarray | None, info: dict[str, Any]) -> None:
    import tifffile

    planes = raw if alpha is None else np.concatenate([raw, alpha[None]])
    colour = len(raw) >= 3 and info.get("photometric", "rgb" if len(raw) == 3 else "") == "rgb"
    extras = [0] * (len(raw) - (3 if colour else 1)) + ([] if alpha is None else [info.get("alpha_kind", 2)])
    chunky = info.get("layout") != "CHW"
    dpi = info.get("dpi")
    tifffile.imwrite(
        handle,
        np.ascontiguousarray(planes[0] if len(planes) == 1 else np.moveaxis(planes, 0, -1) if chunky else planes),
        photometric="rgb" if colour else "minisblack",
        planarconfig=None if len(planes) == 1 else "contig" if chunky else "separate",
        extrasamples=extras or None,
        resolution=dpi,
        resolutionunit=2 if dpi else None,
        iccprofile=info.get("icc_profile"),
        extratags=info.get("tiff_tags", ()),
        metadata=None,
        software=False,
    )


def chunks(data: bytes) -> Chunks:
    """The (type, content) pairs of a PNG file, each checked against its CRC; ValueError where one is cut or altered."""
    if not data.startswith(SIGNATURE):
        raise ValueError("no PNG signature")
    found: Chunks = []
    at = len(SIGNATURE)
    while not found or found[-1][0] != b"IEND":
        if len(data) < at + 12:
            raise ValueError("the file ends early")
        length, kind = struct.unpack_from(">I4s", data, at)
        if len(data) < at + 12 + length:
            raise ValueError("the file ends early")
        if zlib.crc32(data[at + 4 : at + 8 + length]) != struct.unpack_from(">I", data, at + 8 + length)[0]:
            raise ValueError(f"checksum of chunk {kind!r} is wrong")
        found.append((kind, data[at + 8 : at + 8 + length]))
        at += 12 + length
    if found[0][0] != b"IHDR" or len(found[0][1]) != 13:
        raise ValueError("no header")
    return found


def meta(parts: Chunks) -> dict[str, Any]:
    """What must survive a round trip: "dpi", "icc_profile", "exif" (with the prefix that Pillow uses), "png_chunks"."""
    info: dict[str, Any] = {}
    for kind, content in parts:
        if kind == b"pHYs" and len(content) == 9 and content[8] == 1:
            info |= _dpi(v * 0.0254 for v in struct.unpack(">II", content[:8]))
        elif kind == b"iCCP":
            info["icc_profile"] = zlib.decompress(content[content.index(b"\x00") + 2 :])
        elif kind == b"eXIf":
            info["exif"] = _EXIF + content
    kept = [part for part in parts if part[0] in COLOUR]
    return {**info, "png_chunks": kept} if kept else info


def decode(parts: Chunks) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels (H, W, 1 or 3) and alpha (H, W) or None, uint16, of a non-interlaced 16-bit PNG."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", parts[0][1])
    if depth != 16 or interlaced or colour not in _SAMPLES or not width or not height:
        raise ValueError("not a non-interlaced 16-bit PNG")
    samples = _SAMPLES[colour]
    expected = height * (1 + width * samples * 2)
    # The limit keeps a forged stream from filling the memory.
    inflate = zlib.decompressobj()
    raw = inflate.decompress(b"".join(content for kind, content in parts if kind == b"IDAT"), expected + 1)
    if len(raw) != expected or not inflate.eof:
        raise ValueError("the amount of pixel data does not fit the size in the header")
    lines = np.frombuffer(raw, np.uint8).reshape(height, -1)
    pixels = _unfilter(lines[:, 1:].reshape(height, width, samples * 2), lines[:, 0])
    values = pixels.view(">u2").astype(np.uint16)
    if samples in (2, 4):
        return values[..., :-1], values[..., -1]
    key = next((content for kind, content in parts if kind == b"tRNS"), None)
    if key is None:
        return values, None
    clear = (values == np.frombuffer(key, ">u2", samples)).all(-1)
    return values, np.where(clear, 0, 65535).astype(np.uint16)


def _unfilter(lines: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Undo the five filters; lines (H, W, bytes a pixel) uint8, kinds (H,).

    A pixel needs its left, upper and upper-left neighbour, so all pixels of one anti-diagonal can be undone at once;
    in the flattened, zero-padded picture an anti-diagonal is a slice with a constant step.
    """
    height, width, size = lines.shape
    if kinds.max() > 4:
        raise ValueError(f"unknown filter type {kinds.max()}")
    padded = np.zeros((height + 1, width + 1, size), np.uint8)
    padded[1:, 1:] = lines
    flat, row = padded.reshape(-1, size), width + 1
    for diagonal in range(height + width - 1):
        first, last = max(0, diagonal - width + 1), min(height - 1, diagonal)
        start = row + diagonal + 1 + first * width
        stop = start + (last - first) * width + 1
        left, up, corner = (flat[start - back : stop - back : width].astype(np.int16) for back in (1, row, row + 1))
        here = flat[start:stop:width]
        here += np.choose(kinds[first : last + 1, None], _predictions(left, up, corner)).astype(np.uint8)
    return np.ascontiguousarray(padded[1:, 1:])


def _predictions(left: np.ndarray, up: np.ndarray, corner: np.ndarray) -> list[np.ndarray]:
    """What each of the five filters subtracts, for int16 neighbours."""
    to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
    paeth = np.where((to_left <= to_up) & (to_left <= to_corner), left, np.where(to_up <= to_corner, up, corner))
    return [np.zeros_like(left), left, up, (left + up) >> 1, paeth]


def _filter(here: np.ndarray, left: np.ndarray, up: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """Lines (H, 1 + W * bytes a pixel) uint8, each with the filter whose residuals, as signed bytes, are smallest."""
    height = len(here)
    tries = [(here - guess).astype(np.uint8).reshape(height, -1) for guess in _predictions(left, up, corner)]
    costs = [abs(tried.view(np.int8).astype(np.int16)).sum(1, dtype=np.int64) for tried in tries]
    best = np.argmin(costs, axis=0)
    return np.column_stack([best.astype(np.uint8), np.stack(tries)[best, np.arange(height)]])


def encode(pixels: np.ndarray, alpha: np.ndarray | None, info: dict[str, Any]) -> bytes:
    """The PNG file of pixels (H, W, 1 or 3) and alpha (H, W) or None, uint16, with `info` as `meta` gives it."""
    planes = pixels if alpha is None else np.concatenate([pixels, alpha[..., None]], axis=-1)
    height, width, samples = planes.shape
    colour = {count: code for code, count in _SAMPLES.items()}[samples]
    size = samples * 2
    padded = np.zeros((height + 1, width + 1, size), np.int16)
    padded[1:, 1:] = np.ascontiguousarray(planes.astype(">u2")).view(np.uint8).reshape(height, width, size)
    lines = np.empty((height, 1 + width * size), np.uint8)
    # In blocks of lines, so that the candidates stay small.
    step = max(1, _BLOCK // (width * size))
    for first in range(0, height, step):
        block = padded[first : first + step + 1]
        lines[first : first + step] = _filter(block[1:, 1:], block[1:, :-1], block[:-1, 1:], block[:-1, :-1])
    parts: Chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))]
    parts += info.get("png_chunks", [])
    if info.get("icc_profile"):
        parts.append((b"iCCP", b"ICC Profile\x00\x00" + zlib.compress(info["icc_profile"])))
    if info.get("dpi"):
        parts.append((b"pHYs", struct.pack(">IIB", *(round(v / 0.0254) for v in info["dpi"]), 1)))
    if info.get("exif"):
        parts.append((b"eXIf", info["exif"].removeprefix(_EXIF)))
    parts += [(b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b"")]
    return SIGNATURE + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts
    )
