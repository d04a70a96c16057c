"""The purpose of a fusion decides what of a radar picture is shown, and how.

For the eye the optical picture stays what it is, and gets fine details that speckle does not explain, each where it is the
stronger one. For interpretation all that speckle does not explain is added as it is, linear in decibels, whatever the optical
picture shows there. Under cloud, where the optical picture shows nothing, both show the radar picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.fusion.beyond_speckle import details, smoothed
from restorekit.fusion.clouds import spread

if TYPE_CHECKING:
    from restorekit.fusion.pair import FusionPair

Array = NDArray[np.floating]
Select = Callable[[Array, Array, Array], Array]  # (optical, radar, weight of radar) -> fused, all (H, W)
SEAM = 2.0  # pixels: a Gaussian over what the levels at the edge of a cloud are taken from
REACH = 1.5  # times the finer Gaussian of a scale: a Gaussian over its weights
FULL = 4.0  # times the mean weight under that: all is shown where a quarter is significant
TAIL = 0.1  # of a weight: what is less is none


@dataclass(frozen=True)
class Purpose:
    """Settings of what is shown of a radar picture; the call makes the fused luminance."""

    scales: int | None  # of `BeyondSpeckle`, so many from the finest; None for all
    selects: bool  # whether a solver decides between both pictures, or all is added
    natural: bool  # whether clouds get the levels and the colours of what is around them, or stay grey

    def __call__(self, pair: FusionPair, select: Select) -> tuple[Array, Array]:
        """Return the fused luminance (H, W), that of the optical picture where the weight is 0, and the weight, 0 to 1.

        select: fuses the optical luminance with a radar picture of the same level, which has this weight, and the optical one the
        rest of 1.
        """
        if not self.selects:
            return self._added(pair)
        bands = details(pair.radar, pair.signal, pair.sigmas, whole=True)
        y = np.where(pair.clouded, self.under_cloud(pair), pair.luminance)
        chosen = pair.weights[: self.scales]
        weight = np.where(pair.clear, np.max(chosen, axis=0), 0.0)
        if not weight.any():
            return y, np.where(pair.clouded, 1.0, 0.0)
        low, high = float(y[pair.valid].min()), float(y[pair.valid].max())
        radar = np.where(pair.clear, np.clip(y + _sum(chosen, bands), low, high), y)
        # Beyond its reach the solver changes nothing, not even by what it is short of its minimum.
        near = np.where(pair.clear, np.clip(2 * scipy.ndimage.gaussian_filter(weight, SEAM) - TAIL, 0, 1), 0.0)
        fused = y + near * (select(y, radar, weight) - y)
        return np.clip(fused, low, high), np.where(pair.clouded, 1.0, near)

    def _added(self, pair: FusionPair) -> tuple[Array, Array]:
        """Return the luminance with all that the radar picture shows added, held by no limit, and the weight."""
        weights = grown(pair)[: self.scales]
        shown = _sum(weights, details(pair.linear, pair.signal, pair.sigmas, whole=True))
        fused = np.where(pair.clear, pair.luminance + shown, pair.luminance)
        weight = np.where(pair.clear, np.max(weights, axis=0), 0.0)
        return np.where(pair.clouded, self.under_cloud(pair), fused), np.where(pair.clouded, 1.0, weight)

    def composed(self, pair: FusionPair) -> Array:
        """Return the radar picture (H, W) without what may be speckle, as it was matched."""
        radar = pair.radar if self.natural else pair.linear
        bands = details(radar, pair.signal, pair.sigmas, whole=True)
        return smoothed(radar, pair.signal, pair.sigmas[-1]) + _sum(grown(pair), bands)

    def under_cloud(self, pair: FusionPair) -> Array:
        """Return the luminance (H, W) that stands under clouds, from the radar picture without what may be speckle: that as it was
        matched, or as much of it as goes with the luminance where it is clear, continued from what is around."""
        if not pair.clouded.any():
            return pair.luminance
        radar = self.composed(pair)
        if not self.natural:
            return radar
        radar = radar * self.told(pair, radar)[0]
        away = smoothed(pair.luminance - radar, pair.clear, SEAM)
        return np.clip(radar + spread(np.where(pair.clear, away, 0.0), pair.clear), *_ends(pair))

    def told(self, pair: FusionPair, radar: Array) -> tuple[float, float]:
        """Return the slope of the clear luminance over a radar picture (H, W), and the share of its variance that this explains:
        what is bright in one may be dark in the other, or have nothing to do with it."""
        x, y = (smoothed(v, pair.clear, SEAM)[pair.clear] for v in (radar, pair.luminance))
        x, y = x - x.mean(), y - y.mean()
        power, both = float(np.square(x).sum()), float((x * y).sum())
        share = both**2 / max(power * float(np.square(y).sum()), 1e-30)
        return both / max(power, 1e-30), share

    def colours(self, pair: FusionPair) -> Array:
        """Return the bands that are seen (C, H, W), whose colours the result has: under clouds those around, or none."""
        seen = np.where(pair.valid_optical, pair.seen, 0.0)
        if not pair.clouded.any() or len(seen) == 1:
            return seen
        if not self.natural:
            return np.where(pair.clouded, 1.0, seen)
        around = np.stack([smoothed(x, pair.clear, SEAM) for x in seen])
        return np.where(pair.clouded, spread(np.where(pair.clear, around, 0.0), pair.clear), seen)


def grown(pair: FusionPair) -> list[Array]:
    """Return the weights (H, W) of each scale spread smoothly around what is significant, as far as details of that scale reach.

    A detail swings to both sides of what makes it: taken only where it is large, it leaves outlines and lobes of its own in flat
    ground around. What is alone, as chance is, gets less by this.
    """
    wide = [smoothed(w, pair.valid_radar, REACH * s) for w, s in zip(pair.weights, pair.sigmas)]
    return [np.where(pair.valid_radar, np.clip(FULL * w - TAIL, 0, 1), 0.0) for w in wide]


def _sum(weights: list[Array], bands: list[Array]) -> Array:
    return sum((w * x for w, x in zip(weights, bands)), np.zeros_like(bands[0]))


def _ends(pair: FusionPair) -> tuple[float, float]:
    known = pair.luminance[pair.clear]
    return float(known.min()), float(known.max())


PURPOSES = {
    "eye": Purpose(scales=2, selects=True, natural=True),
    "interpretation": Purpose(scales=None, selects=False, natural=False),
}


def purpose_of(name: str) -> Purpose:
    """Return a purpose by its name. Raises BadInput that lists the known ones."""
    if name not in PURPOSES:
        raise BadInput(f"unknown `purpose` {name!r}; known: {', '.join(PURPOSES)}", argument="purpose")
    return PURPOSES[name]
