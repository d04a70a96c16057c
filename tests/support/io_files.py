"""What the tests of pictures on disk share: values, independent readers, a hand-made PNG, a caught refusal."""

from __future__ import annotations

import io as stdio
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from restorekit.errors import BadInput
from restorekit.files import png16
from restorekit.files.png16 import SIGNATURE

PIXELS = np.zeros((3, 4, 5), np.float32)


def values(dtype: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Random values over the whole range of integers, in [0, 1] for floats; both ends are there if there is room."""
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return rng.random(shape).astype(kind)
    if kind == bool:
        return rng.random(shape) > 0.5
    limits = np.iinfo(kind)
    found = rng.integers(limits.min, limits.max, shape, kind, endpoint=True)
    found.flat[0], found.flat[-1] = limits.min, limits.max
    return found


def span_of(dtype: str) -> tuple[float, float]:
    kind = np.dtype(dtype)
    return (0.0, 1.0) if kind.kind in "bf" else (float(np.iinfo(kind).min), float(np.iinfo(kind).max))


def stored(path: Path) -> np.ndarray:
    """The file's values (H, W, samples), alpha last, by another reader than the one under test where there is one."""
    if path.suffix == ".npy":
        return np.atleast_3d(np.load(path))
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as tif:
            array = tif.pages[0].asarray()
            return np.atleast_3d(np.moveaxis(array, 0, -1) if tif.pages[0].axes == "SYX" else array)
    data = path.read_bytes()
    if data[24:25] == b"\x10" and path.suffix == ".png":
        if data[25] == 4:  # no other reader here knows 16-bit grey + alpha; the filters are tested against Pillow below
            pixels, alpha = png16.decode(png16.chunks(data))
            return np.dstack([pixels, *([] if alpha is None else [alpha])])
        return stored_png16(data)
    return np.atleast_3d(np.asarray(Image.open(path)))


def stored_png16(data: bytes) -> np.ndarray:
    """16 bits by Pillow's C decoder: grey as it is, colours as high bytes (its way) and low ones (swapped order)."""
    image = Image.open(stdio.BytesIO(data))
    if image.mode.startswith("I"):
        return np.atleast_3d(np.asarray(image).astype(np.uint16))
    high = np.asarray(image).astype(np.uint16)
    image = Image.open(stdio.BytesIO(data))
    assert isinstance(image, Image.Image)
    tiles: list[Any] = image.tile  # type: ignore[attr-defined]
    image.tile = [(*tile[:3], tile[3].replace("16B", "16L")) for tile in tiles]  # type: ignore[attr-defined]
    return high * 256 + np.asarray(image)


def png(header: tuple[int, ...], lines: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    parts = [(b"IHDR", struct.pack(">IIBBBBB", *header)), *extra, (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return SIGNATURE + b"".join(
        struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in parts
    )


def refusal(call: Callable[[], Any], *words: str) -> str:
    """The one line of the BadInput that `call` raises."""
    with pytest.raises(BadInput) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line
    assert [word for word in words if word not in line] == [], line
    return line


def palette(transparent: bool) -> Image.Image:
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 255, 0, 255])
    if transparent:
        image.info["transparency"] = 1
    return image
