"""The level of the noise in a picture is measured, whether neighbours share it, and what a prior of white noise is to
be told."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy

from restorekit.errors import BadInput
from restorekit.noise.impulses import Impulses
from restorekit.noise.pixels import Telling

Array = np.ndarray
NORMAL = 0.6745  # median of |x| of a standard normal x
SIDE = 8  # pixels, of the blocks whose spectrum is looked at
_RADIUS = np.hypot(*np.mgrid[:SIDE, :SIDE])  # of a coefficient of their cosine transform
_MIDDLE, _HIGH = (_RADIUS >= 2) & (_RADIUS < 4), _RADIUS >= 6


@dataclass(frozen=True, eq=False)
class Noise:
    """The noise of a picture (C, H, W), white = 1, as it was measured.

    `sigma` is the level to use: that of white noise which a denoiser must expect to take this noise out. `white` is the
    reading of the finest detail, which is `sigma` where the noise is white. `right` and `below`: correlation with the
    neighbours, as far as flat blocks of 8x8 pixels show it. `left_out`: share of the measured values that say nothing
    of noise. `floor`: the noise is below what can be told, and `sigma` is no measurement. `impulses`: (C, H, W) bool.
    """

    sigma: float
    white: float
    right: float
    below: float
    correlated: bool
    left_out: float
    floor: bool
    impulses: Array

    def at_least(self, sigma: float, floor: bool = False) -> Noise:
        """Return the same with a level of `sigma` where less was found; floor: whether that is no measurement."""
        return self if sigma <= self.sigma else replace(self, sigma=sigma, floor=floor)

    @property
    def share(self) -> float:
        """Return the share of the values that are impulses."""
        return float(self.impulses.mean())

    @property
    def notes(self) -> list[str]:
        """Return what a person should know beside the level, a line each."""
        said = []
        if self.correlated:
            said.append(
                f"noise is correlated with its neighbours ({self.right:.2f} to the right, {self.below:.2f} below), as in JPEG "
                f"of cameras and resampled pictures: finest detail reads {self.white:.4f}, a level that takes it out is used"
            )
        if self.left_out > 0.01:
            said.append(
                f"{self.left_out:.0%} of the values are at or near clipped, filled or constant ones, and left out"
            )
        if self.share > 0:
            said.append(f"{self.share:.2%} of the values are impulses (salt and pepper, hot or dead pixels)")
        return said

    def record(self) -> dict[str, Any]:
        """Return the figures, as JSON takes them."""
        figures = {"sigma": self.sigma, "white": self.white, "right": self.right, "below": self.below}
        figures |= {"left_out": self.left_out, "impulses": self.share}
        rounded: dict[str, Any] = {name: round(value, 5) for name, value in figures.items()}
        return rounded | {"correlated": self.correlated, "floor": self.floor}


@dataclass(frozen=True)
class NoiseLevel:
    """It measures the noise of (C, H, W) in [0, 1], where that is neither clipped, filled nor constant (`Telling`).

    The level of white noise is the median of the finest detail (`estimate_sigma`). Noise that neighbours share, by a
    demosaicing, a resampling or JPEG, has little of that. Its spectrum is looked at in the flattest tenth of the 8x8
    blocks, by the cosine transform: middle frequencies far above high ones, and nearly as strong in the flattest
    quarter of the blocks as in the flattest tenth, as noise is and texture is not. A denoiser of white noise needs the
    level of the strongest frequencies to take such noise out. The settings were chosen on the pairs of
    benchmarks/restoration/noise_level.py.

    Raises BadInput where fewer than `least` 2x2 blocks are left to tell, or an eighth of them in a smaller picture.
    """

    telling: Telling = field(default_factory=Telling)
    impulses: Impulses = field(default_factory=Impulses)
    floor: float = 0.002  # half a step of 8 bits; rounding alone is 0.0011
    least: int = 64  # 2x2 blocks: the level is then within 15 %, one deviation
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
    little: float = 0.5  # left out, from which on what is left must look like noise
    tail: tuple[float, float] = (0.8, 1.15)  # root mean square over the median of its details, 1 of Gaussian noise
    gain: float = 2.0  # level over that of the middle frequencies, where these are far above the high ones
    usual: float = 0.025  # level of camera JPEG, which uneven noise is drawn to
    drawn: float = 0.5  # by this power at most

    def __call__(self, pixels: Array, valid: Array | None = None, coded: Array | None = None) -> Noise:
        """Return the noise. valid (1 or C, H, W): values that were measured at all, all where left out.

        coded (C, H, W): the values of the file where pixels are light decoded from them. What is clipped, filled,
        constant or an impulse is seen in these: in light the blacks lie closer than the codes of a pile at the end.
        """
        values = pixels if coded is None else coded
        measured = np.ones(pixels.shape, bool) if valid is None else np.broadcast_to(valid, pixels.shape) > 0.5
        impulses = self.impulses(values, measured)
        known = measured & ~impulses
        telling = self.telling(values, known)
        detail = haar(pixels, telling)
        left_out = 1 - float(telling.sum()) / max(1, int(known.sum()))
        if len(detail) < max(1, min(self.least, pixels.size // 32)):
            raise BadInput(
                f"no noise can be measured: {left_out:.0%} of the picture is clipped, filled or constant; give it, "
                "as `noise=gaussian:0.02`"
            )
        white = grouped_median(detail) / NORMAL
        if (
            left_out > self.little
            and not self.tail[0] < float(np.sqrt(np.mean(detail**2))) / max(white, 1e-9) < self.tail[1]
        ):
            # What is left is edges on constant paper, or the rim of what is clipped, and no noise.
            white = min(white, estimate_sigma(pixels, known))
        right, below, level = self._correlated(pixels, telling)
        correlated = bool(level > 1.2 * white)
        sigma = max(white, level) if correlated else white
        floor = bool(sigma < self.floor)
        return Noise(
            float(max(sigma, self.floor)), white, right, below, correlated and not floor, left_out, floor, impulses
        )

    def _correlated(self, pixels: Array, told: Array) -> tuple[float, float, float]:
        """Return the correlation with the right neighbour, with the lower one, and the level that takes the noise out,
        0 where it seems white."""
        blocks = _without_plane(self._blocks(pixels, told))  # whose gradient is no noise, and has middle frequencies
        if len(blocks) < self.few:
            return 0.0, 0.0, 0.0
        power = np.square(np.asarray(scipy.fft.dctn(blocks, axes=(-2, -1), norm="ortho"))).mean(1)  # over bands
        middle, all_of = power[:, _MIDDLE].mean(1), power[:, _RADIUS >= 2].mean(1)
        flattest = all_of <= np.quantile(all_of, self.flat)
        of_flat, high = middle[flattest].mean() ** 0.5, power[flattest][:, _HIGH].mean() ** 0.5
        right, below = _neighbours(blocks[flattest])
        if of_flat <= 0 or abs(right - below) > self.slanted:
            return right, below, 0.0
        least, most, strong = self.grey
        if of_flat > strong and least < _between_bands(blocks[flattest]) < most:
            return right, below, 0.0
        quarter = float(np.quantile(middle, 0.25)) ** 0.5
        unevenness, steepness = quarter / of_flat, of_flat / max(high, 1e-6)
        wanted = float(np.interp(unevenness, self.even[:2], self.steep))
        if steepness < wanted or unevenness > self.even[2]:
            return right, below, 0.0
        if unevenness > self.even[1] and of_flat > self.usual:
            return right, below, 0.0  # gravel: what is so strong and so uneven is no JPEG's
        gain = 1 + (self.gain - 1) * min(1.0, (steepness - 1) / 3)
        level = gain * (of_flat * max(quarter, of_flat)) ** 0.5
        share = float(np.interp(unevenness, self.even[:2], (0.0, self.drawn)))
        return right, below, level ** (1 - share) * self.usual**share

    def _blocks(self, pixels: Array, told: Array) -> Array:
        """Return the blocks (N, C, 8, 8) that tell throughout, in float64."""
        c, h, w = pixels.shape
        if min(h, w) < SIDE:
            return np.empty((0, c, SIDE, SIDE))
        step = max(4, int((h * w / self.blocks) ** 0.5))
        corners = np.lib.stride_tricks.sliding_window_view(told.all(0), (SIDE, SIDE))[::step, ::step].all((-2, -1))
        views = np.lib.stride_tricks.sliding_window_view(pixels, (SIDE, SIDE), axis=(1, 2))[:, ::step, ::step]
        return views[:, corners].swapaxes(0, 1).astype(np.float64)


def estimate_sigma(x: Array, valid: Array | None = None) -> float:
    """Return the standard deviation of white noise in x (C, H, W): the median absolute diagonal Haar detail (Donoho
    1994).

    Of the 2x2 blocks those count whose means change little to the blocks around: less texture is taken for noise, and
    of white noise the detail does not depend on the means. valid (1 or C, H, W): only blocks that are 1 throughout
    count. 0 where no block does.
    """
    detail = haar(x, None if valid is None else np.broadcast_to(valid, x.shape) > 0.5)
    return grouped_median(detail) / NORMAL if detail.size else 0.0


def haar(x: Array, told: Array | None, smoothest: float = 0.5) -> Array:
    """Return the absolute diagonal details of the 2x2 blocks of (C, H, W) whose values all tell, of the smoothest
    share of them."""
    h, w = (n // 2 * 2 for n in x.shape[1:])
    a, b, c, d = (x[:, i:h:2, j:w:2] for i in (0, 1) for j in (0, 1))
    detail = np.round(np.abs(a - b - c + d) / 2, 6)  # float32 makes 255ths of white unequal by less
    if not detail.size:
        return detail.ravel()
    mean = (a + b + c + d) / 4
    change = (scipy.ndimage.maximum_filter(mean, (1, 3, 3)) - scipy.ndimage.minimum_filter(mean, (1, 3, 3))).sum(0)
    change = np.broadcast_to(change, detail.shape)
    if told is not None:
        whole = np.logical_and.reduce([told[:, i:h:2, j:w:2] for i in (0, 1) for j in (0, 1)])
        detail, change = detail[whole], change[whole]
    return detail[change <= np.quantile(change, smoothest)] if detail.size else detail


def grouped_median(values: Array) -> float:
    """Return the median, read between the levels of rounded values, each of which stands for those half a step around
    it."""
    ordered = np.sort(values, axis=None)
    middle = float(ordered[len(ordered) // 2])
    low, high = (int(np.searchsorted(ordered, middle, side)) for side in ("left", "right"))
    near = [float(v) for v in (*ordered[low - 1 : low], *ordered[high : high + 1])]
    if high - low < 2 or not near:
        return middle
    step = min(abs(v - middle) for v in near)
    start, width = (middle - step / 2, step) if middle > 0 else (0.0, step / 2)
    return start + width * (len(ordered) / 2 - low) / (high - low)


def _without_plane(blocks: Array) -> Array:
    """Return (N, C, s, s) without the plane that fits each best."""
    ramp = np.arange(SIDE) - (SIDE - 1) / 2
    ramp /= np.sqrt(SIDE * np.square(ramp).sum())
    rest = blocks - blocks.mean((-2, -1), keepdims=True)
    rest = rest - (rest * ramp).sum((-2, -1), keepdims=True) * ramp
    return rest - (rest * ramp[:, None]).sum((-2, -1), keepdims=True) * ramp[:, None]


def _neighbours(rest: Array) -> tuple[float, float]:
    """Return the correlation with the right and with the lower neighbour in (N, C, s, s) of mean 0."""
    power = float(np.square(rest).mean())
    if power <= 0:
        return 0.0, 0.0
    across = float((rest[..., 1:] * rest[..., :-1]).mean()) / power
    return across, float((rest[..., 1:, :] * rest[..., :-1, :]).mean()) / power


def _between_bands(rest: Array) -> float:
    """Return the correlation of the bands of (N, C, s, s), of mean 0, with the first one, on average; 0 for one band."""
    power = np.square(rest).mean((0, 2, 3))
    if len(power) < 2 or power.min() <= 0:
        return 0.0
    with_first = (rest[:, :1] * rest[:, 1:]).mean((0, 2, 3)) / np.sqrt(power[0] * power[1:])
    return float(with_first.mean())
