"""A mask, a band of classes, or a plain test of brightness says where clouds hide the ground in an optical picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.fusion.luminance import luminance

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]
CLASSES = ("mask", "scl", "qa60")
SCL = (3, 8, 9, 10)  # of Sentinel-2 level 2A: cloud shadow, medium and high probability, thin cirrus
QA60 = (1 << 10) | (1 << 11)  # of Sentinel-2 level 1C: opaque, cirrus


@dataclass(frozen=True)
class CloudClasses:
    """It says which values of a band of classes are clouds; the call makes the mask of them."""

    names: str = "mask"  # "mask", "scl", "qa60", or whole numbers, "8,9"

    def __post_init__(self) -> None:
        if self.names not in CLASSES and not all(n.strip().isdecimal() for n in self.names.split(",")):
            raise BadInput(
                f"`cloud_classes` {self.names!r} is unknown; known: {', '.join(CLASSES)}, or the numbers that are clouds, as 8,9",
                argument="cloud_classes",
            )

    def __call__(self, values: NDArray[Any], where: str) -> Mask:
        """Return where values (H, W) say cloud; `where` names them in messages. NaN is no cloud.

        Raises BadInput for values that the classes do not have: a mask of more than two, a class above 11, fractions.
        """
        known = np.isfinite(values)
        whole = np.where(known, values, 0)
        found = np.unique(whole)
        if self.names == "mask":
            if len(found) > 2 or (found[0] != 0 and len(found) == 2):
                shown = ", ".join(f"{v:g}" for v in found[:4]) + (f", ... {found[-1]:g}" if len(found) > 4 else "")
                raise BadInput(
                    f"{where} has {len(found)} values, {shown}, and a mask of clouds has 0 and one other; say by `cloud_classes` what they "
                    "are: scl, qa60, or the numbers that are clouds"
                )
            return known & (whole != 0)
        if (found < 0).any() or (found != np.rint(found)).any():
            raise BadInput(
                f"{where} has values such as {found[0]:g}, and classes are whole numbers of 0 or more; give a mask"
            )
        if self.names == "qa60":
            return known & ((whole.astype(np.int64) & QA60) > 0)
        if self.names == "scl" and found[-1] > 11:
            raise BadInput(
                f"{where} has the value {found[-1]:g}, and the classes of Sentinel-2 (scl) end at 11; say by `cloud_classes` what it is"
            )
        chosen = SCL if self.names == "scl" else [int(n) for n in self.names.split(",")]
        return known & np.isin(whole, chosen)


@dataclass(frozen=True)
class CloudTest:
    """Settings of a plain test for clouds: bright, white, smooth, and large; the call makes it.

    Take it where there is no mask. It knows no spectrum but the visible one: snow, salt, white sand and large roofs pass it,
    and thin cloud, small cloud and the shadows of all do not (benchmarks/results/clouds.md).
    """

    bright: float = 0.65  # luminance, white = 1
    white: float = 0.18  # (largest - least band) / largest
    rough: float = 0.03  # median step of the luminance from pixel to pixel within one cloud
    opening: int = 2  # pixels: what is narrower than twice this is no cloud
    area: int = 60  # pixels
    grown: int = 3  # pixels: cloud ends softly

    def __call__(self, bands: Array, valid: Mask) -> Mask:
        """Return where bands (C, H, W), black 0 and white 1, show clouds, (H, W)."""
        filled = np.where(valid, bands, 0.0)
        y, most = luminance(filled), filled.max(0)
        grey = (most - filled.min(0)) <= self.white * np.maximum(most, 1e-9)
        disk = _disk(self.opening)
        found = scipy.ndimage.binary_erosion(valid & (y >= self.bright) & grey, disk, border_value=1)
        found = valid & scipy.ndimage.binary_dilation(found, disk)
        regions, count = scipy.ndimage.label(found)  # type: ignore[misc]
        if not count:
            return np.zeros(valid.shape, np.bool_)
        number = np.arange(1, count + 1)
        down, right = np.gradient(y)
        steps = scipy.ndimage.median(np.hypot(down, right), regions, number)
        kept = number[(np.bincount(regions.ravel())[1:] >= self.area) & (np.asarray(steps) <= self.rough)]
        return valid & scipy.ndimage.binary_dilation(np.isin(regions, kept), _disk(self.grown))


def _disk(radius: int) -> Mask:
    at = np.arange(-radius, radius + 1)
    return np.hypot(at[:, None], at) <= radius + 0.5


def spread(x: Array, known: Mask) -> Array:
    """Return x (..., H, W) with what is not known filled smoothly from what is: means over larger and larger squares, enlarged
    again. 0 where nothing is known."""
    if known.all():
        return x
    if not known.any():
        return np.zeros_like(x)
    h, w = known.shape
    pad = [(0, 0)] * (x.ndim - 2) + [(0, h % 2), (0, w % 2)]
    weight = np.pad(known.astype(np.float64), pad[-2:])
    total = np.pad(np.where(known, x, 0.0), pad)

    def halved(a: Array) -> Array:
        return a[..., ::2, ::2] + a[..., 1::2, ::2] + a[..., ::2, 1::2] + a[..., 1::2, 1::2]

    count = halved(weight)
    coarse = spread(np.divide(halved(total), count, out=np.zeros_like(halved(total)), where=count > 0), count > 0)
    at = np.meshgrid(*((np.arange(n) - 0.5) / 2 for n in (h, w)), indexing="ij")
    fine = np.stack([
        scipy.ndimage.map_coordinates(c, at, order=1, mode="nearest") for c in coarse.reshape(-1, *coarse.shape[-2:])
    ]).reshape(x.shape)  # fmt: skip
    return np.where(known, x, fine)
