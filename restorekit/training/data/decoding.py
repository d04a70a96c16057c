"""Files of any mode as what networks are trained on: 8 bits, RGB.

Grey is taken three times, CMYK becomes RGB without its colour profile, and what is transparent lies over white, as on a
page: the colours below it are whatever a program left there. 16 bits lose their low byte, so 65535 is white. EXIF
orientation is not applied, other than in `restorekit.files.picture`: nothing is laid on these pictures.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files import decode, formats, tiff

PILLOW = ("PNG", "JPEG", "BMP", "WEBP", "GIF")


def rgb8(name: str, raw: bytes) -> NDArray[np.uint8]:
    """Return the file `raw` as (H, W, 3); its content counts, and not the suffix of its name.

    ValueError with the reason where it is no picture: text, several pages or frames, 2 bands or more than 4, values other
    than 8 or 16 bits, or damaged. Of 4 bands without alpha the first three are taken.
    """
    held = formats.content(raw[: formats.HEAD])
    if held in ("text", "NPY") or not raw:
        raise ValueError(f"no picture, it holds {held or 'nothing (0 bytes)'}")
    try:
        return _tiff(Path(name), raw) if held == "TIFF" else _pillow(Path(name), raw, PILLOW)
    except BadInput as error:
        raise ValueError(str(error).removeprefix(f"{Path(name)}: ")) from None
    except Exception as error:  # noqa: BLE001 (whatever a decoder raises)
        raise ValueError(formats.damage(error) if held else "no picture, it does not begin as one") from None


def log_array(raw: bytes) -> NDArray[np.float32]:
    """Return the content of an NPY file as logarithms of intensities (H, W).

    ValueError with the reason where it is none of two axes, or holds numbers that are not finite.
    """
    try:
        x = np.load(io.BytesIO(raw), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(formats.damage(error)) from None
    if x.ndim != 2 or x.dtype.kind != "f" or not x.size:
        raise ValueError(f"{x.dtype} of shape {x.shape} is no array (H, W) of floats")
    if not np.isfinite(x).all():
        raise ValueError("it holds numbers that are not finite; cut out what was measured everywhere")
    return np.ascontiguousarray(x, np.float32)


def _pillow(path: Path, raw: bytes, kinds: tuple[str, ...]) -> NDArray[np.uint8]:
    image = decode.opened(path, raw, kinds)
    if image.mode.startswith("I"):  # grey of 16 bits, in more than one type
        return _bytes(np.asarray(image).astype(np.uint16))[..., None].repeat(3, 2)
    if image.mode.endswith("A") or "transparency" in image.info:
        pixels = np.asarray(image.convert("RGBA"))
        return _over_white(pixels[..., :3], pixels[..., 3:])
    return np.array(image.convert("RGB"))


def _tiff(path: Path, raw: bytes) -> NDArray[np.uint8]:
    if tiff.is_cmyk8(path, raw):
        return _pillow(path, raw, ("TIFF",))
    planes, alpha, info = decode.load(path, "TIFF", raw)
    if planes.dtype.name not in ("uint8", "uint16") or not planes.size:
        raise BadInput(f"{planes.dtype} of shape {planes.shape} is no picture of 8 or 16 bits")
    if len(planes) not in (1, 3, 4):
        raise BadInput(f"{len(planes)} bands are neither grey nor RGB; save those that are")
    pixels = _bytes(np.moveaxis(planes[:3] if len(planes) > 1 else planes.repeat(3, 0), 0, -1))
    if alpha is None:
        return np.ascontiguousarray(pixels)
    return _over_white(pixels, _bytes(alpha)[..., None], premultiplied=info.get("alpha_kind") == 1)


def _bytes(x: np.ndarray) -> NDArray[np.uint8]:
    return x if x.dtype == np.uint8 else (x >> 8).astype(np.uint8)


def _over_white(x: NDArray[np.uint8], alpha: NDArray[np.uint8], premultiplied: bool = False) -> NDArray[np.uint8]:
    """Lay colours (H, W, 3) over white by their opacity (H, W, 1), 255 = opaque."""
    clear = 255 - alpha.astype(np.uint16)
    if premultiplied:
        return np.minimum(x + clear, 255).astype(np.uint8)
    return ((x * (255 - clear) + 255 * clear + 127) // 255).astype(np.uint8)
