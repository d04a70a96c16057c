"""A picture goes through JPEG in 8 bits without a file, as it does in a camera."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHROMA = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}  # the layouts that Pillow writes, by its numbers


def jpeg_options(quality: int, chroma: str) -> dict[str, Any]:
    """Return the options by which Pillow writes a JPEG of this quality, 1 to 100, and layout of chroma, of `CHROMA`."""
    return {"quality": quality, "subsampling": CHROMA[chroma]}


def through_jpeg(values: NDArray[Any], quality: int, chroma: str) -> NDArray[np.float64]:
    """Return values (1 or 3, H, W) on [0, 1] as they come back from a JPEG, read by the same library as files are."""
    from PIL import Image

    codes = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    array = codes[0] if len(codes) == 1 else np.ascontiguousarray(np.moveaxis(codes, 0, -1))
    packed = io.BytesIO()
    Image.fromarray(array).save(packed, "JPEG", **jpeg_options(quality, chroma))
    with Image.open(packed, formats=["JPEG"]) as image:
        back = np.asarray(image, np.float64) / 255
    return back[None] if back.ndim == 2 else np.moveaxis(back, -1, 0)
