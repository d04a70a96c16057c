"""The noise of a picture grows with brightness: this module finds the gain and the read noise of a sensor, with their errors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from restorekit.noise.blocks import MEDIAN, RADIUS, SIDE, band_blocks, stride, transformed

Array = np.ndarray
_COARSE, _FINE = (RADIUS > 0) & (RADIUS < 7), RADIUS >= 8
_BETWEEN = (RADIUS >= 4) & (RADIUS < 6)


@dataclass(frozen=True, eq=False)
class SensorNoise:
    """The variance of white noise as it grows with the mean: gain * mean + read^2, white = 1.

    `gain_error` and `floor_error` are standard deviations of the gain and of read^2, texture taken for noise among
    them. `level`: root of the mean variance over the picture. `grows`: the noise is that of a sensor beyond doubt, and
    white noise of one level would be wrong by a tenth and more between dark and bright parts. `brightness`,
    `deviations`: (K,) what was measured, by brightness.
    """

    gain: float
    read: float
    gain_error: float
    floor_error: float
    level: float
    grows: bool
    brightness: Array
    deviations: Array

    def scaled(self, factor: float) -> SensorNoise:
        """Return the same with deviations `factor` times as large, and no smaller errors of its variance."""
        return replace(
            self, gain=self.gain * factor**2, read=self.read * factor, level=self.level * factor,
            deviations=self.deviations * factor,
        )  # fmt: skip

    def at(self, mean: Array) -> Array:
        """Return the standard deviation of the noise at a brightness, like it."""
        return np.sqrt(self.gain * np.maximum(mean, 0) + self.read**2)


@dataclass(frozen=True)
class SensorFit:
    """It measures variance by brightness, and fits a line to it.

    Blocks of 8x8 pixels are sorted into `bins` by their mean; of each the `flat` share with the least coarse detail
    counts, by whose finest detail the variance is the median: coefficients of white noise are independent, so that
    flat blocks are not those of little noise. What texture leaves in the finest detail is taken off by a `leak` of the
    detail between. The line is fitted by weights that follow from the counts and the fit, blocks above it counting
    less (Huber 1964), as texture only adds; blocks near a limit of the range, whose noise is cut, do not count (the
    model: Foi et al., IEEE TIP 17, 2008).
    """

    blocks: int = 20000  # about as many a band, at most
    bins: int = 12
    least: int = 12  # blocks that count, of a bin
    few: int = 240  # blocks in all; of fewer nothing is said
    flat: float = 0.15
    leak: float = 0.05  # of the detail of radius 4 to 6 in that of 8 and more: f^-5
    clear: float = 2.5  # deviations from the limits of the range
    error: float = 0.06  # of a variance, by texture, beside what its number of blocks says
    sure: float = 6.0  # by which the sum of squared misfits, in errors, is larger without a gain
    strong: float = 0.01  # level, from which on it matters
    uneven: float = 1.1  # deviation in the brightest over that in the darkest tenth of the blocks, at least
    confirmed: float = 2.0  # the same by a prior, where flat blocks show it grow
    unknown: float = 1.15  # level that a prior finds over that of flat blocks, from which on it takes texture for noise
    seen: tuple[float, float] = (0.1, 0.4)  # error of a variance by a prior, and of one near a limit of the range
    systematic: float = 0.12  # error of the gain, as a share of it, and of read^2 of the mean variance, by a prior

    def __call__(self, pixels: Array, told: Array) -> SensorNoise | None:
        """Return the noise of (C, H, W) on [0, 1] where `told` (C, H, W); None where too few blocks tell of it."""
        found = self._measured(pixels, told)
        if found is None:
            return None
        mean, variance, error, means = found
        deviation = np.sqrt(variance)
        inside = (mean > self.clear * deviation) & (mean < 1 - self.clear * deviation)
        inside = inside if inside.sum() >= min(3, len(mean)) else np.ones(len(mean), bool)
        mean_in, variance_in, error_in = mean[inside], variance[inside], error[inside]
        gain, floor, gain_error, floor_error = self._line(mean_in, variance_in, error_in)
        dark, bright = (gain * np.quantile(means, q) + floor for q in (0.1, 0.9))
        flat = _misfit(variance_in, np.full_like(variance_in, np.exp(np.log(variance_in).mean())), error_in)
        better = flat - _misfit(variance_in, gain * mean_in + floor, error_in)
        level = float(np.sqrt((gain * np.clip(means, 0, 1) + floor).mean()))
        uneven = bright > self.uneven**2 * max(dark, 1e-12) and level > self.strong
        grows = bool(inside.sum() >= 3 and better > self.sure and uneven)
        return SensorNoise(gain, floor**0.5, gain_error, floor_error, level, grows, mean, deviation)

    def agreed(self, blocks: SensorNoise, brightness: Array, seen: Array) -> SensorNoise:
        """Return the noise by what a prior has `seen` at each `brightness`, (K,) both, and flat `blocks` beside it.

        A prior knows texture, which blocks take for noise; where it finds more than they show it does not know the picture, and
        they are taken, and all of them where it mostly does. On ten pictures of Kodak and McMaster that do not judge, its levels are within 3 to 5 % of the true ones.
        """
        of_blocks = np.interp(brightness, blocks.brightness, blocks.deviations)
        if blocks.grows and float(np.median(seen / of_blocks)) > self.unknown:
            return blocks
        deviation = np.where((seen > 0) & (seen < self.unknown * of_blocks), seen, of_blocks)
        variance = np.square(deviation)
        inside = (brightness > self.clear * deviation) & (brightness < 1 - self.clear * deviation)
        error = np.where(inside, *self.seen)
        gain, floor, gain_error, floor_error = self._line(brightness, variance, error)
        even = float(np.exp(np.average(np.log(variance), weights=error**-2.0)))
        better = _misfit(variance, np.full_like(variance, even), error) - _misfit(
            variance, gain * brightness + floor, error
        )
        dark, bright = (gain * float(brightness[at]) + floor for at in (0, -1))
        uneven = bright > self.uneven**2 * max(dark, 1e-12)
        grows = bool(len(brightness) >= 3 and better > (self.confirmed if blocks.grows else self.sure) and uneven)
        mean = float((gain * brightness + floor).mean()) if grows else even
        return SensorNoise(
            gain, floor**0.5, float(np.hypot(gain_error, self.systematic * gain)),
            float(np.hypot(floor_error, self.systematic * mean)), mean**0.5, grows, brightness, deviation,
        )  # fmt: skip

    def _measured(self, pixels: Array, told: Array) -> tuple[Array, Array, Array, Array] | None:
        """Return (mean, variance, relative error) of each bin, (K,), and the means of all blocks."""
        coefficients = transformed(band_blocks(pixels, told, self.blocks))
        if len(coefficients) < self.few:
            return None
        means = coefficients[:, 0, 0].astype(np.float64) / SIDE
        coarse = np.square(coefficients[:, _COARSE]).sum(-1)
        fine, between = (np.square(coefficients[:, part]) for part in (_FINE, _BETWEEN))
        overlap = max(1.0, (SIDE / stride(pixels.shape[1], pixels.shape[2], self.blocks)) ** 2)
        count = max(1, min(self.bins, int(self.flat * len(means)) // self.least))
        rows = []
        for part in np.array_split(np.argsort(means), count):
            flattest = part[np.argsort(coarse[part])[: max(self.least, int(self.flat * len(part)))]]
            seen, texture = (float(np.median(v[flattest])) / MEDIAN for v in (fine, between))
            variance = max((seen - self.leak * texture) / (1 - self.leak), 0.5 * seen, 1e-9)
            # The median of n squares of normal numbers is within 2.33 / sqrt(n) of itself, one deviation.
            rows.append((means[flattest].mean(), variance, 2.33 / np.sqrt(fine[flattest].size / overlap)))
        mean, variance, error = np.array(rows, np.float64).T
        return mean, variance, np.hypot(error, self.error), means

    def _line(self, mean: Array, variance: Array, error: Array) -> tuple[float, float, float, float]:
        """Return (gain, read^2) at least 0, and their errors."""
        sides = np.stack([mean, np.ones_like(mean)], 1)
        weight, gain, floor = (error * variance) ** -2.0, 0.0, float(np.median(variance))
        normal, off = np.eye(2), np.zeros_like(mean)
        for _ in range(20):
            normal = (sides * weight[:, None]).T @ sides
            gain, floor = (float(v) for v in np.linalg.pinv(normal) @ (sides.T @ (weight * variance)))
            if floor < 0:
                gain, floor = float((weight * mean * variance).sum() / (weight * mean**2).sum()), 0.0
            if gain < 0:
                gain, floor = 0.0, float((weight * variance).sum() / weight.sum())
            scale = error * np.maximum(gain * mean + floor, 1e-9)
            off = (variance - gain * mean - floor) / scale
            weight = np.where(off > 1, 1 / np.maximum(off, 1), 1.0) / scale**2
        spread = max(1.0, float(np.median(np.abs(off))) / 0.6745)
        if floor == 0:  # as little as the line leaves
            normal = np.diag(np.diag(normal))
        gain_error, floor_error = spread * np.sqrt(np.diag(np.linalg.pinv(normal)))
        return gain, floor, float(gain_error), float(floor_error)


def _misfit(variance: Array, expected: Array, error: Array) -> float:
    """Return the sum of the squared differences of logarithms, in errors, each at most 3."""
    off = np.log(np.maximum(variance, 1e-12) / np.maximum(expected, 1e-12)) / error
    return float(np.minimum(np.square(off), 9).sum())
