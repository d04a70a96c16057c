"""Noise that neighbours share, by a demosaicing, a resampling or JPEG, is seen in the flat blocks of a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from restorekit.noise.blocks import (
    RADIUS,
    band_blocks,
    between_bands,
    neighbours,
    telling_blocks,
    transformed,
    without_plane,
)

Array = np.ndarray
_MIDDLE, _HIGH = (RADIUS >= 2) & (RADIUS < 4), RADIUS >= 6


class Shared(NamedTuple):
    """Correlation with the right and the lower neighbour in flat blocks; the level that takes the noise out, 0 where it
    seems white; whether it is as weak and as smooth as that of cameras' JPEG; whether bands have it independently."""

    right: float
    below: float
    level: float
    camera: bool
    colour: bool = False
    told: bool = True  # False: too few blocks to say
    stationary: bool = True  # False: as of a sensor after a curve or of JPEG, which a spectrum does not describe
    tinted: bool = False  # strong, even and not grey: noise that a JPEG may have taken the finest part of


class ByBrightness(NamedTuple):
    """The level that takes the noise out if blocks look like a camera's JPEG, 0 where those of too few bins of brightness
    do; whether those of half of them do; whether a third of the bins look demosaiced; the level where bands have noise of
    their own in some bin, else 0."""

    camera: float
    sure: bool
    demosaiced: bool
    vivid: float


@dataclass(frozen=True)
class Correlation:
    """It tells noise that neighbours share from texture, in (C, H, W) on [0, 1].

    Its spectrum is looked at in the flattest tenth of the 8x8 blocks, by the cosine transform: middle frequencies far
    above high ones, and nearly as strong in the flattest quarter of the blocks as in the flattest tenth, as noise is and
    texture is not. As the noise of cameras depends on brightness, the same is asked of the blocks of each `bins`-th of
    the brightness, where `enough` of them suffice. Where bands differ as much as their mean varies it is noise: texture
    is grey. A denoiser of white noise needs the level of the strongest
    frequencies to take such noise out. The settings were chosen on the pairs of benchmarks/restoration/noise_level.py.
    """

    blocks: int = 20000  # of 8x8 pixels, about as many at most
    few: int = 40  # 8x8 blocks; of fewer no spectrum is taken
    flat: float = 0.1  # share of the blocks
    steep: tuple[float, float] = (1.6, 3.3)  # middle over high frequencies, at least, by how even the noise is
    even: tuple[float, float, float] = (
        1.1,
        1.4,
        2.0,
    )  # a quarter's level over that of the flattest, for either, and at most
    slanted: float = 0.22  # difference of the correlations with the right and the lower neighbour, at most
    grey: tuple[float, float, float] = (
        0.95,
        0.999,
        0.02,
    )  # texture: bands correlate in this range, level above the third
    gain: float = 2.0  # level over that of the middle frequencies, where these are far above the high ones
    usual: float = 0.025  # level that uneven noise is drawn to
    drawn: float = 0.5  # by this power at most
    colour: float = 0.7  # of a difference of bands over their mean, in the middle frequencies, at least
    tinted: tuple[float, float] = (0.6, 3.0)  # both, where less colour is enough
    vivid: float = 0.8  # the same in a single bin of brightness
    coloured: float = 1.8  # middle over high frequencies, at least, of such noise
    doubted: float = 0.6  # of the level, where a third of the bins looks like a camera's JPEG
    strong: tuple[float, float, float] = (
        0.02,
        1.42,
        0.155,
    )  # level, unevenness at most, colour: what is no grey texture
    bins: int = 6  # of brightness
    enough: int = 2  # bins
    camera: tuple[float, float, float, float] = (
        4.2,
        1.62,
        0.004,
        0.03,
    )  # of a bin: steep at least, even at most, middle within
    sensor: tuple[float, float, float, float] = (
        2.3,
        1.45,
        0.03,
        0.45,
    )  # the same of demosaiced noise, and `colour`, at least
    demosaiced: float = 1.35  # level over that of the middle
    cameras: tuple[float, float] = (3.3, 0.045)  # level over that of the middle, and the most

    def __call__(self, pixels: Array, told: Array) -> Shared:
        """Return what was seen where `told` (C, H, W)."""
        raw = telling_blocks(pixels, told, self.blocks)
        if len(raw) < 3 * self.few and len(pixels) > 2:  # without the band that tells least
            kept = np.sort(np.argsort(told.mean((1, 2)))[1:])
            raw = max(raw, telling_blocks(pixels[kept], told[kept], self.blocks), key=len)
        if len(raw) < 3 * self.few and len(alone := band_blocks(pixels, told, self.blocks)) > 2 * len(raw):
            raw = alone[:, None].astype(np.float64)
        if len(raw) < self.few:
            return Shared(0.0, 0.0, 0.0, False, told=False)
        blocks = without_plane(raw)  # whose gradient is no noise, and has middle frequencies
        coefficients = transformed(blocks)
        power = np.square(coefficients).mean(1)  # over bands
        middle, high, all_of = power[:, _MIDDLE].mean(1), power[:, _HIGH].mean(1), power[:, RADIUS >= 2].mean(1)
        flattest = all_of <= np.quantile(all_of, self.flat)
        right, below = neighbours(blocks[flattest])
        of_flat, of_high = middle[flattest].mean() ** 0.5, high[flattest].mean() ** 0.5
        unevenness = float(np.quantile(middle, 0.25)) ** 0.5 / max(of_flat, 1e-6)
        colour = _colour(coefficients[flattest][..., _MIDDLE])
        tinted = bool(of_flat > self.strong[0] and unevenness < self.strong[1] and colour > self.strong[2])
        nothing = Shared(right, below, 0.0, False, tinted=tinted)
        middles = coefficients[..., _MIDDLE]
        by = self._by_brightness(blocks, raw.mean((1, 2, 3)), middle, high, all_of, middles)
        if by.camera > 0:
            return Shared(right, below, by.camera, by.sure, stationary=False)
        if abs(right - below) > self.slanted:
            return nothing
        least, most, strong = self.grey
        steep = of_flat / max(of_high, 1e-6)
        if (colour > self.colour and steep > self.coloured) or (colour > self.tinted[0] and steep > self.tinted[1]):
            return Shared(right, below, float(gain_of(steep, self.gain) * of_flat), False, True)
        if by.vivid > 0:
            return Shared(right, below, by.vivid, False, True)
        if by.demosaiced:
            return Shared(right, below, float(self.demosaiced * of_flat), False, stationary=False)
        if of_flat <= 0 or (of_flat > strong and least < between_bands(blocks[flattest]) < most):
            return nothing
        quarter = float(np.quantile(middle, 0.25)) ** 0.5
        steepness = of_flat / max(of_high, 1e-6)
        wanted = float(np.interp(unevenness, self.even[:2], self.steep))
        if steepness < wanted or unevenness > self.even[2]:
            return nothing
        if unevenness > self.even[1] and of_flat > self.usual:
            return nothing  # gravel: what is so strong and so uneven is no JPEG's
        level = gain_of(steepness, self.gain) * (of_flat * max(quarter, of_flat)) ** 0.5
        share = float(np.interp(unevenness, self.even[:2], (0.0, self.drawn)))
        return Shared(right, below, float(level ** (1 - share) * self.usual**share), False)

    def _by_brightness(
        self, blocks: Array, mean: Array, middle: Array, high: Array, all_of: Array, middles: Array
    ) -> ByBrightness:
        """Return what the blocks of each bin of brightness look like."""
        count = max(1, min(self.bins, len(mean) // (3 * self.few)))
        cameras, vivid, sensors = [], [], 0
        for part in np.array_split(np.argsort(mean), count):
            flattest = part[np.argsort(all_of[part])[: max(12, int(self.flat * len(part)))]]
            of_flat, of_high = middle[flattest].mean() ** 0.5, high[flattest].mean() ** 0.5
            unevenness = float(np.quantile(middle[part], 0.25)) ** 0.5 / max(of_flat, 1e-6)
            steepness = of_flat / max(of_high, 1e-6)
            right, below = neighbours(blocks[flattest])
            if abs(right - below) > self.slanted:
                continue
            steep, even, least, most = self.camera
            if least < of_flat < most and steepness > steep and unevenness < even:
                cameras.append(float(of_flat))
            steep, even, least, colour = self.sensor
            if of_flat > least and steepness > steep and unevenness < even and _colour(middles[flattest]) > colour:
                sensors += 1
            if of_flat > least and steepness > self.coloured and _colour(middles[flattest]) > self.vivid:
                vivid.append(gain_of(steepness, self.gain) * float(of_flat))
        share = len(cameras) / count
        # Clean pictures have two such bins in six after a JPEG of quality 50 to 75, cameras' five or six.
        level = min(self.cameras[0] * float(np.median(cameras or [0.0])), self.cameras[1])
        camera = level * float(np.interp(share, (1 / 3, 5 / 6), (self.doubted, 1.0)))
        return ByBrightness(
            camera if len(cameras) >= min(self.enough, count) else 0.0,
            share >= 0.5,
            3 * sensors >= count and sensors >= min(self.enough, max(count, 2)),
            float(np.median(vivid)) if vivid else 0.0,
        )


def gain_of(steepness: float, most: float) -> float:
    """Return the level that takes noise out over that of its middle frequencies, by how far these are above the high ones."""
    return 1 + (most - 1) * min(1.0, (steepness - 1) / 3)


def _colour(coefficients: Array) -> float:
    """Return the root mean square of differences between the bands of (N, C, K) over that of their mean, 1 for
    independent bands, 0 for one."""
    count = coefficients.shape[1]
    mean = coefficients.mean(1, keepdims=True)
    grey = count * float(np.square(mean).mean())
    if count < 2 or grey <= 0:
        return 0.0
    return float((np.square(coefficients - mean).sum(1).mean() / (count - 1) / grey) ** 0.5)
