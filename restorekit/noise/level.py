"""The noise in a picture is measured: its level, how it grows with brightness, whether neighbours share it, and the law that
a prior is to be told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy

from restorekit.errors import BadInput
from restorekit.noise.blocks import jpeg_grid
from restorekit.noise.correlation import Correlation
from restorekit.noise.grain_spectrum import GrainSpectrum
from restorekit.noise.impulses import Impulses
from restorekit.noise.pixels import Telling
from restorekit.noise.sensor import SensorFit, SensorNoise

Array = np.ndarray
NORMAL = 0.6745  # median of |x| of a standard normal x


@dataclass(frozen=True, eq=False)
class Noise:
    """The noise of a picture (C, H, W), white = 1, as it was measured.

    `sigma` is the level to use: that of white noise which a denoiser must expect to take this noise out. `white` is the
    reading of the finest detail, which is `sigma` where the noise is white, but of a picture that the prior does not know. `right` and `below`: correlation with the
    neighbours, as far as flat blocks of 8x8 pixels show it. `left_out`: share of the measured values that say nothing
    of noise. `floor`: the noise is below what can be told, and `sigma` is no measurement. `impulses`: (C, H, W) bool.
    `sensor`: variance by brightness, of white noise; None where the picture does not tell. `covariance`: of grain, (2 k
    + 1, 2 k + 1) as `Coloured` takes it; None where the noise is white, or went through a JPEG. `sure`: enough of the picture told
    whether the noise is white. `rounded`: the level is that of the rounding of a JPEG, and no measurement. `camera`: the noise
    looks like that of cameras' JPEG. `asked`: a prior was asked as well, which knows texture. `before`: of a JPEG, the level of the
    noise that its picture had, 0 for none, where `sigma` counts what was rounded as well. `tinted`: flat blocks are too strong, even and coloured for texture.
    `white_before`: of a JPEG, its coefficients show white noise.
    """

    sigma: float
    white: float
    right: float
    below: float
    correlated: bool
    left_out: float
    floor: bool
    impulses: Array
    sensor: SensorNoise | None = None
    covariance: Array | None = None
    sure: bool = True
    rounded: bool = False
    camera: bool = False
    asked: bool = False
    before: float = 0.0
    tinted: bool = False
    white_before: bool = False

    def at_least(self, sigma: float, floor: bool = False) -> Noise:
        """Return the same with white noise of a level of `sigma` where less was found; floor: whether that is no
        measurement."""
        return self if sigma <= self.sigma else replace(self, sigma=sigma, floor=floor, sensor=None, covariance=None)

    def finest(self, floor: float) -> Noise:
        """Return the same with the level of the finest detail alone, at least `floor`: texture that was blurred looks
        like noise that neighbours share."""
        level = {"sigma": max(self.white, floor), "floor": self.white < floor}
        return replace(self, **level, correlated=False, covariance=None, camera=False)

    def nothing(self, floor: float) -> Noise:
        """Return the same with no noise that could be told."""
        return replace(self.finest(floor), sigma=floor, white=0.0, floor=True, sensor=None)

    def white_of(self, level: float, floor: float) -> Noise:
        """Return the same with white noise of this level, that of a sensor in proportion; below `floor` it is none."""
        sensor = self.sensor
        if sensor is not None and sensor.level > level:
            sensor = sensor.scaled(max(level, 1e-6) / sensor.level)
        return replace(
            self, sigma=max(level, floor), white=level, correlated=False, camera=False, covariance=None, sensor=sensor,
            floor=level < floor, asked=True,
        )  # fmt: skip

    def of_jpeg(self, lost: float) -> Noise:
        """Return the same for denoising a JPEG that lost `lost`, a standard deviation, by the rounding of its coefficients.

        What was rounded is no stationary noise: it has a level, and no spectrum or gain. Most of what was rounded is 0, and lost less than that: the best level of white noise is 0.25 lost^0.77, on crops
        of Kodak and McMaster of quality 15 to 95 (benchmarks/restoration/camera_noise.py).
        """
        level = 0.25 * lost**0.77
        found = replace(self, covariance=None, sensor=None, before=0.0 if self.floor else self.sigma)
        if self.correlated and self.camera and self.asked:
            return found.at_least(level)
        if self.asked:
            both = float(np.hypot(0.0 if self.floor else self.sigma, level))
            return replace(found, sigma=both, floor=False, rounded=self.floor or level > self.sigma)
        if self.correlated and not self.camera and self.sigma < 3 * lost:
            found = replace(found, sigma=self.white, correlated=False)  # texture, of which rounding left as much
        return found if level <= found.sigma else replace(found.at_least(level), rounded=True)

    @property
    def share(self) -> float:
        """Return the share of the values that are impulses."""
        return float(self.impulses.mean())

    @property
    def grows(self) -> bool:
        """Return True where the noise is that of a sensor, which grows with brightness, beyond doubt."""
        return self.sensor is not None and self.sensor.grows and not (self.correlated or self.floor)

    @property
    def notes(self) -> list[str]:
        """Return what a person should know beside the level, a line each."""
        said = []
        if self.correlated:
            how = (
                "a level that takes it out is used"
                if self.covariance is None
                else f"a grain of deviation {self.grain:.4f} by its spectrum"
            )
            said.append(
                f"noise is correlated with its neighbours ({self.right:.2f} to the right, {self.below:.2f} below), as in JPEG "
                f"of cameras and resampled pictures: finest detail reads {self.white:.4f}, {how}"
            )
        if self.grows and self.sensor is not None:
            s = self.sensor
            dark, bright = s.at(np.array([0.1, 0.9]))
            said.append(
                f"noise grows with brightness: variance {s.gain:.3g} +- {s.gain_error:.1g} of the mean and {s.read:.2g}^2, "
                f"deviation {dark:.4f} in the dark (0.1) and {bright:.4f} in the bright (0.9)"
            )
        if self.asked and not self.correlated and self.white > 1.05 * self.sigma:
            said.append(
                f"it measures {self.white:.4f}, and less is taken out: the prior takes texture of this picture for noise"
            )
        if self.left_out > 0.01:
            said.append(
                f"{self.left_out:.0%} of the values are at or near clipped, filled or constant ones, and left out"
            )
        if self.share > 0:
            said.append(
                f"{self.share:.2%} of the values are impulses (salt and pepper, hot or dead pixels, values at random)"
            )
        return said

    @property
    def grain(self) -> float:
        """Return the standard deviation of noise whose covariance was measured, else `sigma`."""
        if self.covariance is None:
            return self.sigma
        return float(self.covariance[tuple(n // 2 for n in self.covariance.shape)]) ** 0.5

    def record(self) -> dict[str, Any]:
        """Return the figures, as JSON takes them."""
        figures = {"sigma": self.sigma, "white": self.white, "right": self.right, "below": self.below}
        figures |= {"left_out": self.left_out, "impulses": self.share}
        rounded: dict[str, Any] = {name: round(value, 5) for name, value in figures.items()}
        rounded |= {"sure": self.sure, "jpeg_rounding": self.rounded}
        if self.sensor is not None:
            s = self.sensor
            fit = {"gain": s.gain, "gain_error": s.gain_error, "read": s.read, "read_squared_error": s.floor_error}
            rounded["sensor"] = {name: float(f"{value:.4g}") for name, value in fit.items()} | {"grows": self.grows}
        if self.covariance is not None:
            rounded["covariance"] = [[float(f"{v:.3g}") for v in row] for row in self.covariance.tolist()]
        return rounded | {"correlated": self.correlated, "floor": self.floor}


@dataclass(frozen=True)
class NoiseLevel:
    """It measures the noise of (C, H, W) in [0, 1], where that is neither clipped, filled nor constant (`Telling`).

    The level of white noise is that of `SensorFit`, by brightness, or where too little is left for it the median of the
    finest detail (`estimate_sigma`), if that is less. Noise that neighbours share, by a demosaicing, a resampling or
    JPEG, has little of that: `Correlation` sees it, and `GrainSpectrum` measures it where it went through no JPEG.

    Raises BadInput where fewer than `least` 2x2 blocks are left to tell, or an eighth of them in a smaller picture.
    """

    telling: Telling = field(default_factory=Telling)
    impulses: Callable[[Array, Array], Array] = field(default_factory=Impulses)
    sensor: SensorFit = field(default_factory=SensorFit)
    correlation: Correlation = field(default_factory=Correlation)
    spectrum: GrainSpectrum = field(default_factory=GrainSpectrum)
    floor: float = 0.002  # half a step of 8 bits; rounding alone is 0.0011
    least: int = 64  # 2x2 blocks: the level is then within 15 %, one deviation
    cut: float = (
        0.35  # the finest of blocks over the finest detail of 2x2; less is what a JPEG or a resampling left of it
    )
    holes: float = 0.15  # share of impulses up to which blocks are looked at with their neighbours' medians in place
    little: float = 0.5  # left out, from which on what is left must look like noise
    tail: tuple[float, float] = (0.8, 1.15)  # root mean square over the median of its details, 1 of Gaussian noise

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
        whole, told = pixels, telling
        if 0 < impulses.mean() < self.holes:  # few blocks are without one
            whole = np.where(impulses, scipy.ndimage.median_filter(pixels, (1, 3, 3)), pixels)
            told = telling | impulses
        # Blocks near a limit are left out by their brightness: a value that is cut far away does not matter to others.
        alone = told if left_out < 0.05 else replace(self.telling, reach=(1,))(values, known) | (told & impulses)
        sensor = self.sensor(whole, alone)
        if sensor is not None and sensor.level > self.cut * white:
            white = sensor.level if sensor.grows else min(white, sensor.level)
        elif sensor is not None:
            sensor = replace(sensor, grows=False)
        shared = self.correlation(whole, told)
        correlated = bool(shared.level > 1.2 * white)
        sigma = max(white, shared.level) if correlated else white
        floor = bool(sigma < self.floor)
        correlated &= not floor
        covariance = None
        if correlated and shared.stationary and not jpeg_grid(values):
            covariance = self.spectrum(pixels, telling, shared.colour)
        return Noise(
            float(max(sigma, self.floor)), white, shared.right, shared.below, correlated, left_out, floor, impulses,
            sensor, covariance, shared.told, camera=correlated and shared.camera, tinted=shared.tinted,
        )  # fmt: skip


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
