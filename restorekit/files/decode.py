"""This module decodes pictures to values as they are stored, nothing scaled; the rest of the package calls
`restorekit.files.picture`.

Pillow does JPEG, BMP, WEBP, GIF and 8-bit PNG, `restorekit.files.tiff` TIFF, numpy NPY, `restorekit.files.png16` PNG of
16 bits. info["orientation"] says how viewers turn pixels, where they do. A damaged file raises whatever its library
raises; `restorekit.files.picture` turns that into BadInput.
"""

from __future__ import annotations

import importlib
import io
import shlex
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from restorekit.errors import BadInput
from restorekit.files import orientation
from restorekit.files.formats import content_of
from restorekit.files.png16 import chunks, decode, dpi, meta
from restorekit.files.quiet import unwarned
from restorekit.files.reading import PLAINLY, Reading, check_size, npy_layout

if TYPE_CHECKING:
    from PIL.Image import Image

Decoded: TypeAlias = "tuple[np.ndarray, np.ndarray | None, dict[str, Any]]"


def load(path: Path, kind: str, data: bytes | None = None, reading: Reading = PLAINLY) -> Decoded:
    """Return values (C, H, W) and alpha (H, W) or None in the file's type, and info as in
    `restorekit.files.picture.Picture`.

    data: the bytes of the file, where they are known already and `path` is but its name; not for NPY.
    """
    if reading.page not in (None, 1) and kind != "TIFF":
        raise BadInput(f"{path}: {kind} has one page, and page {reading.page} is asked for", argument="pages")
    if kind == "NPY":
        return _load_npy(path, reading)
    if kind == "TIFF":
        return importlib.import_module("restorekit.files.tiff").load_tiff(path, data, reading.page)
    return load_pillow(path, kind, data)


def opened(path: Path, data: bytes, kinds: Iterable[str]) -> Image:
    """Return the one picture of a file, loaded, not turned by its EXIF orientation. Raises BadInput for an animation.

    All pages of a TIFF may be pictures, see `only_page`: this is the first.
    """
    from PIL import Image

    with unwarned():  # size is checked below, by one rule for all formats
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(io.BytesIO(data), formats=list(kinds))
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    check_size(path, image.height, image.width, len(image.getbands()))
    # MPO, which many telephones write, is a JPEG with a preview behind it.
    # Pages of a TIFF are not counted: Pillow knows no masks, and fails where one follows.
    if image.format not in ("MPO", "TIFF") and getattr(image, "n_frames", 1) > 1:
        raise BadInput(f"{path}: an animation; save one frame as a picture of its own")
    with unwarned():
        if image.format == "TIFF":
            image.getexif()[orientation.TAG] = 1  # the only format that Pillow turns by itself
        image.load()
    return image


def load_pillow(path: Path, kind: str, data: bytes | None = None) -> Decoded:
    """Return what `load` does, of a file that Pillow decodes."""
    data = path.read_bytes() if data is None else data
    parts = chunks(data) if kind == "PNG" else []
    if parts and parts[0][1][8] == 16:
        width, height = struct.unpack(">II", parts[0][1][:8])
        check_size(path, height, width, 4)
        if parts[0][1][12]:
            raise BadInput(f"{path}: interlaced 16-bit PNG cannot be read; save it without interlacing")
        pixels, alpha = decode(parts)
        info = meta(parts)
        return np.moveaxis(pixels, -1, 0), alpha, info | _turned(orientation.of_exif(info.get("exif", b"")))
    image = opened(path, data, [kind])
    with unwarned():
        raw, alpha = _from_pillow(image, path)
        shown = image.getexif().get(orientation.TAG) if kind != "TIFF" else None  # XMP counts where EXIF is silent
    info = {key: image.info[key] for key in ("icc_profile", "exif") if image.info.get(key)}
    info |= dpi(image.info.get("dpi", ()))
    return raw, alpha, (meta(parts) if parts else info) | _turned(shown)


def _turned(value: Any) -> dict[str, Any]:
    """Return {"orientation": 2 to 8}, or nothing for pixels that are shown as they are stored."""
    found = orientation.valid(value)
    return {} if found == 1 else {"orientation": found}


def _from_pillow(image: Image, path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    mode = {"1": "L", "P": "RGB", "PA": "RGBA", "YCbCr": "RGB"}.get(image.mode, image.mode)
    if "transparency" in image.info and mode in ("L", "RGB"):
        mode += "A"
    if mode not in ("L", "LA", "RGB", "RGBA"):
        how = "convert it by its colour profile: " if image.mode == "CMYK" else "convert it to RGB or grey: "
        command = f"magick {shlex.quote(str(path))} -colorspace sRGB {shlex.quote(path.stem + '_rgb.png')}"
        raise BadInput(f"{path}: {image.mode} colours cannot be read; {how}{command}")
    planes = np.moveaxis(np.atleast_3d(np.asarray(image.convert(mode))), -1, 0)
    return (planes[:-1], planes[-1]) if mode.endswith("A") else (planes, None)


def jpeg_rounding(path: Path) -> float:
    """Return the standard deviation, white = 1, that a JPEG lost by rounding its coefficients, by its first table; 0
    for other files."""
    if content_of(path) != "JPEG":
        return 0.0
    with opened(path, path.read_bytes(), ["JPEG"]) as image:
        table = np.array(getattr(image, "quantization", {}).get(0, [0]), np.float64)
    return float(np.sqrt(np.mean(table**2) / 12) / 255)


def _load_npy(path: Path, reading: Reading) -> Decoded:
    with open(path, "rb") as handle:
        array = np.lib.format.read_array(handle, allow_pickle=False)
    layout = npy_layout(path, array.shape, reading.layout)
    raw = {"HW": array[None], "CHW": array}.get(layout)
    return np.moveaxis(array, -1, 0) if raw is None else raw, None, {"layout": layout, "axes": layout}
