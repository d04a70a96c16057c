"""Arrays as pictures of a page: PNG in data URIs, colour maps, colour bars."""

from __future__ import annotations

import io
import math
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from statistics import median_low

import numpy as np
from PIL import Image

PIXELS = 160  # longer side up to which a picture is enlarged without smoothing
# Of the colour map: lightness rises in equal steps, the hue turns from violet over blue and green to yellow.
_LIGHTNESS = (0.22, 0.95)
_HUES = (305.0, 280.0, 235.0, 175.0, 140.0, 108.0)  # degrees, in OKLCh
_CHROMAS = (0.09, 0.125, 0.105, 0.115, 0.165, 0.155)
# OKLab to linear sRGB: B. Ottosson, "A perceptual color space for image processing", 2020.
_TO_LMS = np.array(
    [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
)
_TO_RGB = np.array(
    [[4.0767416621, -3.3077115913, 0.2309699292], [-1.2684380046, 2.6097574011, -0.3413193965],
     [-0.0041960863, -0.7034186147, 1.7076147010]]
)  # fmt: skip


@cache
def colours() -> np.ndarray:
    """Return the colour map, (256, 3) uint8, dark to light, with equal steps of lightness in OKLab: as far apart as the values are."""
    at = np.linspace(0, 1, 256)
    knots = np.linspace(0, 1, len(_HUES))
    lightness = _LIGHTNESS[0] + (_LIGHTNESS[1] - _LIGHTNESS[0]) * at
    hue, chroma = np.radians(np.interp(at, knots, _HUES)), np.interp(at, knots, _CHROMAS)
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], 1)
    linear = np.clip((lab @ _TO_LMS.T) ** 3 @ _TO_RGB.T, 0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * srgb).astype(np.uint8)


def shrunk(pixels: np.ndarray, limit: int | None) -> np.ndarray:
    """Return (C, H, W) with its longer side at most `limit` pixels, by area means; as it is where it fits."""
    _, h, w = pixels.shape
    if limit is None or max(h, w) <= limit:
        return pixels
    scale = limit / max(h, w)
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    bands = [Image.fromarray(np.ascontiguousarray(b, np.float32)).resize(size, Image.Resampling.BOX) for b in pixels]
    return np.stack([np.asarray(b) for b in bands])


def _uri(image: Image.Image) -> str:
    out = io.BytesIO()
    image.save(out, "PNG", optimize=False, compress_level=7)
    return f"data:image/png;base64,{b64encode(out.getvalue()).decode()}"


def shown_bands(bands: int) -> str | None:
    """Return what is left out when a picture of so many bands is shown; None where nothing is."""
    return None if bands in (1, 3) else "band 1 is shown" if bands == 2 else f"bands 1 to 3 of {bands} are shown"


def picture_uri(pixels: np.ndarray, limit: int | None = None) -> str:
    """Return (C, H, W) as an 8-bit PNG: 0 is black, 1 white, beyond is clipped. Of more than three bands the first three."""
    pixels = shrunk(pixels if len(pixels) in (1, 3) else pixels[:1] if len(pixels) == 2 else pixels[:3], limit)
    values = np.rint(255 * np.clip(np.nan_to_num(pixels), 0, 1)).astype(np.uint8)
    return _uri(Image.fromarray(values[0] if len(values) == 1 else np.ascontiguousarray(values.transpose(1, 2, 0))))


def map_uri(values: np.ndarray, top: float, limit: int | None = None) -> str:
    """Return (H, W) in the colour map: 0 is its dark end, `top` and above its light one."""
    values = shrunk(values[None], limit)[0]
    image = Image.fromarray(np.rint(255 * np.clip(values / top, 0, 1)).astype(np.uint8), mode=None).convert("P")
    image.putpalette(colours().tobytes())
    return _uri(image)


def round_up(value: float) -> float:
    """Return the next number that reads well as the end of a scale: 1, 1.5, 2, 3, 5 or 7.5 times a power of ten."""
    if not (math.isfinite(value) and value > 0):
        return 1.0
    ten = 10.0 ** math.floor(math.log10(value))
    return next((s * ten for s in (1, 1.5, 2, 3, 5, 7.5) if value <= s * ten * (1 + 1e-9)), 10 * ten)


@dataclass(frozen=True)
class Scale:
    """The colour scale that maps share: 0 to `top`, in `unit`."""

    top: float
    unit: str

    @classmethod
    def of(cls, maps: list[np.ndarray], unit: str) -> Scale:
        """Return the scale of maps (H, W) up to their 99.5th percentile, white at most: outliers do not darken everything else.

        Nor does one map of many: it counts up to four times the middle one.
        """
        tops = [float(np.percentile(m, 99.5)) for m in maps] or [1.0]
        return cls(round_up(min(max(tops), 4 * median_low(tops), 1.0)), unit)

    @property
    def ramp(self) -> str:
        """Return the colours from 0 to `top` as a picture of one line."""
        return _uri(Image.fromarray(colours()[None]))


@dataclass(frozen=True)
class PageFigure:
    """A picture laid out as `size` (width, height) pixels whatever the size of its file, and its caption."""

    uri: str
    alt: str
    size: tuple[int, int]
    title: str
    text: str = ""  # after the title
    quality: str = ""  # after that, in one piece
    name: str | None = None  # how the menus of the page call it; without one they leave it out
    lazy: bool = True  # False for pages of a few pictures

    @property
    def small(self) -> bool:
        """Return True where its pixels are shown as such."""
        return max(self.size) <= PIXELS


def shown_residual(deviations: np.ndarray) -> np.ndarray:
    """Return a residual (C, H, W) in deviations of the noise as a picture: 0 is grey, -3 black and 3 white."""
    return np.clip(0.5 + np.nan_to_num(deviations) / 6, 0, 1)
