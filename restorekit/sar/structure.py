"""Structure that a despeckler took for speckle is seen in the ratio image, and given back.

Where x is what lies under the speckle, the ratio y / x has the mean 1 and the variance 1 / L everywhere. Its mean over a
bar or a small square of n pixels follows, nearly, a gamma law of L n / kappa looks, kappa being the sum of the correlations
of speckle inside of it (the number of looks of a mean: Oliver and Quegan, Understanding Synthetic Aperture Radar Images,
1998, 4.5). A mean that is too far from 1 for that law says that a line, or a small field, left the picture: x is multiplied
there. The best first, and the rest against what was given back (matching pursuit: Mallat and Zhang, IEEE TSP 41, 1993),
until nothing is left that chance does not explain at a stated rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import scipy
from numpy.typing import NDArray

from restorekit.sar.looks import Array, Grain, Mask
from restorekit.sar.speckle import draw, spectrum_of

Small = NDArray[np.float32]
Slices = tuple[slice, ...]
SIMULATED = 512  # side of the simulated field, pixels
TAIL = 200  # largest values of a simulated field, whose logarithm of the likelihood ratio falls off exponentially
MOST = 8.0  # of a ratio: what is brighter belongs to point targets, not to a line
LEAST = 0.05  # factor
TURNS = 12  # directions in which a line may go on
SUPPORT = 0.5  # of the mean of a bar that the rest has without any third of it
APART = 5  # pixels between the largest values of the evidence


@dataclass(frozen=True)
class Bar:
    """A bar has a length, a width, pixels, and an angle from the row, radians; it is a square where both are equal."""

    length: float
    width: float
    angle: float = 0.0

    @cached_property
    def weights(self) -> Small:
        """Return the share of each pixel (n, n) that the bar covers, n odd."""
        half, fine = math.ceil(math.hypot(self.length, self.width) / 2), 5
        at = (np.arange((2 * half + 1) * fine) + 0.5) / fine - half - 0.5
        down, right = np.meshgrid(at, at, indexing="ij")
        along = right * math.cos(self.angle) + down * math.sin(self.angle)
        across = down * math.cos(self.angle) - right * math.sin(self.angle)
        held = (np.abs(along) < self.length / 2) & (np.abs(across) < self.width / 2)
        return held.reshape(2 * half + 1, fine, 2 * half + 1, fine).mean((1, 3)).astype(np.float32)

    @cached_property
    def thirds(self) -> tuple[NDArray[np.int8], ...]:
        """Return for each pixel (n, n) which third of the length it lies in, 0 to 2, and of a square that of its height
        too."""
        half = len(self.weights) // 2
        down, right = np.mgrid[-half : half + 1, -half : half + 1]
        along = right * math.cos(self.angle) + down * math.sin(self.angle)
        axes = (along, down) if self.length == self.width else (along,)
        return tuple(np.digitize(axis, (-self.length / 6, self.length / 6)).astype(np.int8) for axis in axes)

    def independent(self, grain: Grain) -> float:
        """Return how many independent pixels have a mean as sure as that over the bar, under speckle of a grain."""
        w, k = self.weights.astype(np.float64), np.arange(-8, 9)
        down, across = (np.where(k == 0, 1.0, np.maximum(rho, 1e-9) ** (k**2.0)) for rho in grain)
        smooth = scipy.signal.convolve(np.pad(w, 8), np.outer(down, across), mode="valid")
        return float(w.sum() ** 2 / (w * smooth).sum())


def bars(lengths: Sequence[float], widths: Sequence[float], squares: Sequence[float]) -> tuple[Bar, ...]:
    """Return squares, and bars in as many directions as their length tells apart."""
    found = [Bar(side, side) for side in squares]
    for length in lengths:
        for width in widths:
            turns = max(4, round(math.pi * length / (2 * width + 1)))
            found += [Bar(length, width, math.pi * k / turns) for k in range(turns)]
    return tuple(found)


@dataclass(frozen=True)
class Structure:
    """Settings of the test of the ratio image (benchmarks/remote_sensing/lines.py)."""

    false_alarms: float = 1e-5  # bars and squares per pixel of flat speckle
    beside: float = 1e-2  # the same where a line would go on that was given back in part
    lengths: tuple[float, ...] = (9.0, 15.0, 25.0, 41.0)  # of bars, pixels
    widths: tuple[float, ...] = (1.0, 2.0, 3.0)
    squares: tuple[float, ...] = (3.0, 5.0, 9.0)
    rounds: int = 12

    def __post_init__(self) -> None:
        if not 0 < self.false_alarms <= self.beside < 0.5:
            raise ValueError(f"false_alarms={self.false_alarms:g} must be above 0 and at most beside={self.beside:g}")

    def fitted(self, looks: float, grain: Grain = (0.0, 0.0), bands: int = 1) -> RatioTest:
        """Return the test for speckle of `looks` looks whose intensity has the correlation `grain` with the next row
        and column; bands: how many polarisations, whose speckle is independent, are tested as one."""
        # The thresholds change slowly: simulated for a few looks and grains alone.
        near = 2 ** (round(4 * math.log2(looks)) / 4)
        down, across = (round(20 * min(max(float(rho), 0.0), 0.9)) / 20 for rho in grain)
        return replace(_flat(self, near, (down, across), bands), looks=looks)


@dataclass(frozen=True, eq=False)
class Returned:
    """It says what is given back: `factor` of the restored intensity, and its relative standard deviation; 1 and
    0 where nothing is. Both are (h, w), or (C, h, w) of several polarisations."""

    factor: Small
    deviation: Small

    @property
    def mask(self) -> Mask:
        """Return where something was given back, of the shape of `deviation`."""
        return self.deviation > 0


@dataclass(frozen=True, eq=False)
class RatioTest:
    """The test with its thresholds, whose call takes the ratio (h, w) of measured and restored intensity, and where it
    counts, and says what is to be given back.

    Of C polarisations (C, h, w) the logarithms of the likelihood ratios are added up, as their speckle is independent: what
    passes is given back in all of them, in each as much as its own mean says, so that no line or edge is in one of them alone.
    """

    settings: Structure
    looks: float
    shapes: tuple[Bar, ...]
    independent: tuple[float, ...]  # pixels of each shape
    threshold: float = math.inf  # of ln p(mean | its own mean) - ln p(mean | 1)
    beside: float = math.inf  # the same beside what was given back

    def __call__(self, ratio: Array, valid: Mask) -> Returned:
        if ratio.ndim == 2:
            found = self(ratio[None], valid[None])
            return Returned(found.factor[0], found.deviation[0])
        ratio = np.where(valid, np.minimum(ratio, MOST), 1.0).astype(np.float32)
        factor, deviation = np.ones_like(ratio), np.zeros_like(ratio)
        sure = self.as_it_is(ratio)
        near = np.zeros((2, TURNS, *ratio.shape[1:]), np.bool_)  # where a bright or dark line in a direction goes on
        for _ in range(self.settings.rounds):
            evidence, which, means = self.evidence(self._left(ratio, factor), sure)
            taken = np.zeros(ratio.shape[1:], np.bool_)
            for i, j in self._peaks(evidence, which, means, near):
                k = int(which[i, j])
                whole = self.shapes[k].weights
                at, part = _common((int(i), int(j)), len(whole), ratio.shape[1:])
                w, at = whole[part], (slice(None), *at)
                # Again, as what was given back in this round may explain it.
                left = self._left(ratio[at], factor[at])
                mean = [max(1 + float((w * (x - 1)).sum() / whole.sum()), 1e-3) for x in left]
                says = [self.looks * n * (m - 1 - math.log(m)) for n, m in zip(sure[k], mean, strict=True)]
                most = int(np.argmax(says))
                if sum(says) < self.beside or (mean[most] < 1) != (means[i, j] < 1):
                    continue
                if not _everywhere(left[most], w, [t[part] for t in self.shapes[k].thirds]):
                    continue
                for band, (m, n) in enumerate(zip(mean, sure[k], strict=True)):
                    here = (band, *at[1:])
                    factor[here] = _given_back(factor[here], ratio[here], m, whole, w)
                    deviation[here] = np.maximum(deviation[here], (w > 0) / math.sqrt(self.looks * n))
                taken[at[1:]] |= w > 0
                _go_on(near[int(mean[most] < 1)], (int(i), int(j)), self.shapes[k])
            if not taken.any():
                break
        deviation[~valid], factor[~valid] = 0, 1
        return Returned(factor, deviation)

    def _left(self, ratio: Small, factor: Small) -> Small:
        """Return the ratio to what was given back, there within one deviation of speckle: the edge of a line is not covered
        as its middle is, and what is left of it must not draw lines across."""
        one = 1 / math.sqrt(self.looks)
        left = ratio / factor
        return np.where(factor != 1, np.clip(left, max(1 - one, 0.0), 1 + one), left).astype(np.float32)

    def as_it_is(self, ratio: Small) -> list[list[float]]:
        """Return the independent pixels of each shape, for each band of `ratio` (C, h, w), fewer where the mean over it varies
        more than speckle does: the looks or the grain are off, or texture was lost everywhere, which is no line."""
        found: list[list[float]] = []
        spectra = [self._spectrum(x) for x in ratio]
        for shape, independent in zip(self.shapes, self.independent, strict=True):
            found.append([])
            for spectrum, size in spectra:
                m = self._mean(shape, spectrum, size, ratio.shape[1:])[::4, ::4]
                spread = 1.4826 * float(np.median(np.abs(m - np.median(m))))
                found[-1].append(min(independent, 1 / (self.looks * max(spread, 1e-6) ** 2)))
        return found

    def evidence(self, ratio: Small, independent: Sequence[Sequence[float]]) -> tuple[Small, NDArray[np.int32], Small]:
        """Return (evidence, number, mean), each (h, w), of the shape around each pixel that says most, the evidence of all bands
        of `ratio` (C, h, w) together, and the mean in the band that says most. independent: as of `as_it_is`."""
        size = ratio.shape[1:]
        best, means, which = np.zeros(size, np.float32), np.ones(size, np.float32), np.zeros(size, np.int32)
        spectra = [self._spectrum(x) for x in ratio]
        for k, (shape, pixels) in enumerate(zip(self.shapes, independent, strict=True)):
            total, most, leading = np.zeros(size, np.float32), np.full(size, -1, np.float32), np.ones(size, np.float32)
            for (spectrum, padded), n in zip(spectra, pixels, strict=True):
                m = np.maximum(self._mean(shape, spectrum, padded, size), 1e-3)
                found = (self.looks * n) * (m - 1 - np.log(m))
                total, leading, most = total + found, np.where(found > most, m, leading), np.maximum(most, found)
            better = total > best
            best[better], which[better], means[better] = total[better], k, leading[better]
        return best, which, means

    def _spectrum(self, ratio: Small) -> tuple[NDArray[np.complexfloating], tuple[int, int]]:
        margin = max(len(shape.weights) for shape in self.shapes)
        h, w = (scipy.fft.next_fast_len(k + margin, real=True) for k in ratio.shape)
        return scipy.fft.rfft2(ratio - 1, (h, w)), (h, w)

    @staticmethod
    def _mean(shape: Bar, spectrum: NDArray[np.complexfloating], size: tuple[int, int], of: tuple[int, ...]) -> Small:
        """Return the weighted mean of the ratio around each pixel; beyond the border it is 1."""
        half = len(shape.weights) // 2
        kernel = scipy.fft.rfft2(shape.weights[::-1, ::-1] / shape.weights.sum(), size)
        return 1 + scipy.fft.irfft2(spectrum * kernel, size)[half : half + of[0], half : half + of[1]]

    def _peaks(self, evidence: Small, which: NDArray[np.int32], means: Small, near: Mask) -> NDArray[np.intp]:
        """Return (N, 2), where the evidence is largest and enough, the most first."""
        top = evidence >= scipy.ndimage.maximum_filter(evidence, APART)
        turns = np.array([_turn(shape) for shape in self.shapes])[which]
        found = np.argwhere(top & (evidence > self.beside))
        i, j = found.T
        aligned = near[(means[i, j] < 1).astype(int), turns[i, j], i, j] & (turns[i, j] >= 0)
        found = found[(evidence[i, j] > self.threshold) | aligned]
        return found[np.argsort(-evidence[tuple(found.T)], kind="stable")]


def _given_back(factor: Small, ratio: Small, mean: float, whole: Small, w: Small) -> Small:
    """Return the factor (h, w) of a band with a bar of weights w given back, over which what is left has that mean; whole: the
    weights of the bar beyond the border too."""
    # The mean over a bar that covers pixels in part is less far from 1 than they are.
    m = 1 + (mean - 1) * float(whole.sum()) / float((whole**2).sum())
    given = factor * np.maximum(1 + (m - 1) * w, LEAST)
    # Of what was measured in the bar no more is given back than its mean, however many bars lie over each other.
    bound = min(max(float((w * ratio).sum() / w.sum()), LEAST), MOST)
    bounds = 1 + (bound - 1) * w
    if m < 1:
        return np.maximum(given, np.minimum(factor, bounds))
    return np.minimum(given, np.maximum(factor, bounds))


def _everywhere(left: Small, weights: Small, thirds: Sequence[NDArray[np.int8]]) -> bool:
    """Return whether a bar without the third that says most still says half as much: what crosses a line has it in
    one."""
    off = weights * (left - 1)
    mean = float(off.sum() / weights.sum())
    for third in thirds:
        parts = [third != k for k in range(3)]
        rest = [float(off[p].sum() / max(weights[p].sum(), 1e-6)) for p in parts]
        if min(r / mean for r in rest) < SUPPORT:
            return False
    return True


def _go_on(near: Mask, centre: tuple[int, int], shape: Bar) -> None:
    """Mark in `near` (TURNS, h, w) where a line would go on that a bar is a part of."""
    if (turn := _turn(shape)) < 0:
        return
    longer = Bar(3 * shape.length, shape.width + 2, shape.angle).weights > 0
    at, part = _common(centre, len(longer), near.shape[1:])
    near[(turn, *at)] |= longer[part]


def _turn(shape: Bar) -> int:
    """Return the direction of a bar as a whole number of TURNS, -1 of a square."""
    return -1 if shape.length == shape.width else round(TURNS * shape.angle / math.pi) % TURNS


def _common(centre: tuple[int, int], n: int, shape: tuple[int, ...]) -> tuple[Slices, Slices]:
    """Return where a square of n pixels around `centre` lies in a picture, and what of the square that is."""
    at, part = [], []
    for c, size in zip(centre, shape, strict=True):
        low, high = max(c - n // 2, 0), min(c + n // 2 + 1, size)
        at.append(slice(low, high))
        part.append(slice(low - c + n // 2, high - c + n // 2))
    return tuple(at), tuple(part)


@lru_cache(maxsize=64)
def _flat(settings: Structure, looks: float, grain: Grain, bands: int) -> RatioTest:
    """Return the test with thresholds that simulated speckle of a flat scene passes at the stated rates."""
    shapes = bars(settings.lengths, settings.widths, settings.squares)
    test = RatioTest(settings, looks, shapes, tuple(shape.independent(grain) for shape in shapes))
    rng, size = np.random.default_rng(0), (SIMULATED, SIMULATED)
    ratio = np.stack([draw(size, looks, spectrum_of(grain), rng).astype(np.float32) for _ in range(bands)])
    evidence, _, _ = test.evidence(np.minimum(ratio, MOST), [[n] * bands for n in test.independent])
    tops = np.sort(evidence[evidence >= scipy.ndimage.maximum_filter(evidence, APART)])[::-1][:TAIL]
    slope = float((tops - tops[-1]).mean())
    sure, beside = (
        float(tops[-1]) + slope * math.log(TAIL / (rate * evidence.size))
        for rate in (settings.false_alarms, settings.beside)
    )
    return replace(test, threshold=sure, beside=beside)
