"""A despeckled scene is judged by its own statistics, the ratio measured / restored, and the truth where there is one.

All arrays are intensities (H, W), of the pixels of `valid` alone. With L looks a perfect filter leaves a ratio that is
Gamma(L) of mean 1 and independent of the scene.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray
from skimage.feature import graycomatrix, graycoprops
from skimage.metrics import structural_similarity

from restorekit.errors import BadInput
from restorekit.sar.looks import Array, Mask, Windows


def enl(x: Array) -> float:
    """Return the equivalent number of looks of intensities where the scene is flat: mean^2 / variance."""
    variance = float(np.var(x, dtype=np.float64))
    return math.inf if variance == 0 else float(np.mean(x, dtype=np.float64)) ** 2 / variance


def variation(x: Array) -> float:
    """Return C_x = standard deviation / mean, NaN where the mean is 0."""
    return _over(float(np.std(x, dtype=np.float64)), float(np.mean(x, dtype=np.float64)))


def target_to_clutter(x: Array, target: Mask, clutter: Mask) -> float:
    """Return TCR = 10 lg(largest of the target / mean of the clutter), dB; NaN where either is not above 0."""
    ratio = _over(float(x[target].max()), float(x[clutter].mean(dtype=np.float64)))
    return 10 * math.log10(ratio) if ratio > 0 else math.nan


def _over(a: float, b: float) -> float:
    return a / b if b != 0 else math.nan


@dataclass(frozen=True, eq=False)
class Pair:
    """A pair holds a measured and a restored scene, (H, W) each."""

    measured: Array
    restored: Array
    valid: Mask

    @property
    def ratio(self) -> Array:
        """Return measured / restored (H, W), 1 outside `valid` and where nothing was restored."""
        usable = self.valid & (self.restored > 0)
        return np.divide(self.measured, self.restored, out=np.ones_like(self.measured, np.float64), where=usable)

    @property
    def mean_of_image(self) -> float:
        """Return MoI, mean restored / mean measured: 1 where radiometry is kept."""
        kept = self.valid
        return _over(*(float(x[kept].mean(dtype=np.float64)) for x in (self.restored, self.measured)))

    @property
    def mean_of_ratio(self) -> float:
        """Return MoR, the mean of the ratio: 1 for a perfect filter, below by what a filter follows the speckle itself."""
        return float(self.ratio[self.valid].mean())

    @property
    def variance_of_ratio(self) -> float:
        """Return VoR, 1 / L for a perfect filter; below where speckle was kept, above where structure was taken."""
        return float(self.ratio[self.valid].var())

    def edge_preservation(self, truth: Array | None = None) -> float:
        """Return EPI, the sum of |gradients| of the amplitude over that of `truth`, or of what was measured; NaN where
        that has none."""
        reference = self.measured if truth is None else truth
        return _over(_gradients(self.restored, self.valid), _gradients(reference, self.valid))

    def edges_of_ratio(self) -> tuple[float, float]:
        """Return EPD-ROA across and down. It is of little use at one look, where what was measured has ratios of its
        own."""
        return _ratio_of_neighbours(self, 1), _ratio_of_neighbours(self, 0)


def _gradients(x: Array, valid: Mask) -> float:
    a = np.sqrt(np.maximum(x, 0))
    across, down = valid[:, 1:] & valid[:, :-1], valid[1:] & valid[:-1]
    return float(np.abs(np.diff(a, axis=1))[across].sum() + np.abs(np.diff(a, axis=0))[down].sum())


def _ratio_of_neighbours(pair: Pair, axis: int) -> float:
    sums = []
    for x in (pair.restored, pair.measured):
        first, second = np.moveaxis(x, axis, 0), np.moveaxis(pair.valid, axis, 0)
        usable = second[1:] & second[:-1] & (first[1:] > 0)
        sums.append(float(np.abs(first[:-1][usable] / first[1:][usable]).sum()))
    return _over(*sums)


# --- structure left in the ratio (Gomez, Ospina, Frery, Remote Sensing 2017) ---


@dataclass(frozen=True)
class Structure:
    """It holds the residual structure of the ratio, M = r + dh, 0 for a perfect filter."""

    r: float  # looks and mean of the ratio in flat windows, against those of the measured scene
    dh: float  # per cent by which the homogeneity of the ratio exceeds that of its shuffled pixels

    @property
    def m(self) -> float:
        """Return M."""
        return self.r + self.dh


LEVELS, SHUFFLES = 16, 4  # a perfect filter then has a dh under 0.2 by chance on 512 x 512 pixels, a 7 x 7 mean 2


def structure(pair: Pair, flat: Windows | None, *, lag: int = 1, seed: int = 0) -> Structure:
    """Return M of a pair; r is half the mean over the windows of |ENL of measured - ENL of ratio| / ENL of measured +
    |1 - mean of ratio|.

    flat: None for r = NaN. lag: pixels between the two of a pair. Where speckle is correlated, that of pixels nearer
    than its grain is in the ratio of a perfect filter too (`Looks.reach`).
    """
    ratio = pair.ratio
    grey = _quantised(ratio, pair.valid)
    own, rng = _homogeneity(grey, lag), np.random.default_rng(seed)
    inside = grey[pair.valid]
    mixed = []
    for _ in range(SHUFFLES):
        shuffled = grey.copy()
        shuffled[pair.valid] = rng.permutation(inside)
        mixed.append(_homogeneity(shuffled, lag))
    r = math.nan if flat is None else _of_windows(flat.of(pair.measured), flat.of(ratio))
    return Structure(r, 100 * abs(own - float(np.mean(mixed))) / own)


def _of_windows(measured: Array, ratio: Array) -> float:
    looks = [(enl(a), enl(b), float(b.mean())) for a, b in zip(measured, ratio)]
    return 0.5 * float(np.mean([_apart(a, b) + abs(1 - mean) for a, b, mean in looks]))


def _apart(a: float, b: float) -> float:
    """Return |a - b| / a, also for infinite looks."""
    return abs(a - b) / a if math.isfinite(a) else float(math.isfinite(b))


def _quantised(ratio: Array, valid: Mask) -> NDArray[np.uint8]:
    """Return grey levels 1 .. LEVELS between 0 and the 99th percentile, so that a bias does not count; 0 where nothing
    is valid."""
    top = max(float(np.percentile(ratio[valid], 99)), 1e-30)
    grey = 1 + np.clip(ratio / top * LEVELS, 0, LEVELS - 1).astype(np.uint8)
    return np.where(valid, grey, 0).astype(np.uint8)


def _homogeneity(grey: NDArray[np.uint8], lag: int) -> float:
    """Return sum p(i, j) / (1 + (i - j)^2) over the four directions, pairs of valid pixels alone. NaN where there are
    none."""
    angles = [0, math.pi / 4, math.pi / 2, 3 * math.pi / 4]
    pairs = graycomatrix(grey, [lag], angles, levels=LEVELS + 1, symmetric=True)[1:, 1:].astype(np.float64)
    if not pairs.any((0, 1)).all():
        return math.nan
    return float(graycoprops(pairs / pairs.sum((0, 1), keepdims=True), "homogeneity").mean())


# --- with the truth ---


@dataclass(frozen=True)
class Errors:
    """The errors of a restored scene against the truth."""

    psnr: float  # of the amplitude, dB
    ssim: float  # of the amplitude
    log_mse: float  # of ln intensity
    bias: float  # mean of 10 lg(restored / truth), dB
    bias_by_decile: tuple[float, ...]  # the same by deciles of the truth, dark to bright


def errors(restored: Array, truth: Array, valid: Mask, *, peak: float | None = None) -> Errors:
    """Return the errors of restored against true intensities (H, W). peak: the amplitude of white; None: the largest
    of the truth.

    SSIM is NaN where no window of 11 pixels is valid. Raises BadInput where no valid truth is above 0.
    """
    if not (truth[valid] > 0).any():
        raise BadInput("no valid pixel of the truth is above 0: nothing to compare with")
    a, b = (np.sqrt(np.where(valid, np.maximum(x, 0), 0.0).astype(np.float64)) for x in (restored, truth))
    white = peak or float(b.max())
    mse = float(np.square(a - b)[valid].mean())
    floor = 1e-6 * float(truth[valid].mean(dtype=np.float64))
    logs = np.log(np.maximum(restored[valid], floor)) - np.log(np.maximum(truth[valid], floor))
    db: Array = logs * 10 / math.log(10)
    order = np.argsort(truth[valid], kind="stable")
    parts: list[Array] = np.array_split(np.take(db, order), 10)
    return Errors(
        10 * math.log10(white**2 / mse) if mse else math.inf, _similarity(a, b, valid, white),
        float(np.square(logs).mean()), float(db.mean()), tuple(float(p.mean()) if p.size else math.nan for p in parts),
    )  # fmt: skip


def _similarity(a: Array, b: Array, valid: Mask, white: float) -> float:
    """Return SSIM of Wang et al. 2004 where the Gaussian window, 11 pixels wide, sees valid pixels alone."""
    inside = np.asarray(scipy.ndimage.binary_erosion(valid, np.ones((11, 11))), np.bool_)
    if not inside.any():
        return math.nan
    local = structural_similarity(
        b, a, data_range=white, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )[1]  # type: ignore[index]
    return float(np.asarray(local)[inside].mean())
