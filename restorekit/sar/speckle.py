"""The grain of speckle is larger than a pixel, as single-look complex data are sampled more densely than their band
needs.

A Hamming window lies over the band of each axis, and 1 / oversampling of the sampled spectrum is filled. Detected data,
multilooked or not, inherit the correlation: that of intensities is |rho|^2, rho being that of the complex data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from restorekit.errors import BadInput

Array = NDArray[np.floating]
LENGTH = 4096  # of the axis on which correlations are computed
DENSEST = 4.0  # oversampling up to which a grain is looked for
SLIGHTEST = 0.1  # correlation of neighbours up to which they are taken for independent
MARGIN = 32  # pixels of a drawn field that are thrown away, where its two ends would know of each other


@dataclass(frozen=True)
class SpeckleSpectrum:
    """The spectrum of one-look complex data: oversampling across (columns) and along the track (rows), Hamming window
    of `alpha`."""

    range: float
    azimuth: float
    alpha: float = 0.75

    def __post_init__(self) -> None:
        if min(self.range, self.azimuth) < 1 or not 0.5 <= self.alpha <= 1:
            raise ValueError(f"oversampling {self.range:g}, {self.azimuth:g} must be 1 or more, alpha in 0.5..1")

    def window(self, n: int, oversampling: float) -> Array:
        """Return the amplitude of the spectrum at the frequencies of np.fft.fftfreq(n), of mean square 1."""
        u = np.fft.fftfreq(n) * oversampling
        w = np.where(np.abs(u) < 0.5, self.alpha + (1 - self.alpha) * np.cos(2 * math.pi * u), 0.0)
        return w / np.sqrt((w**2).mean())

    def _axis(self, oversampling: float) -> Array:
        power = self.window(LENGTH, oversampling) ** 2
        return np.fft.ifft(power).real  # rho by lag, rho[0] = 1

    @cached_property
    def lag_one(self) -> tuple[float, float]:
        """Return the correlation of the intensity of neighbours along the track (rows) and across."""
        return float(self._axis(self.azimuth)[1] ** 2), float(self._axis(self.range)[1] ** 2)

    @cached_property
    def kappa(self) -> float:
        """Return the sum of the correlations of intensity over all lags: by so much fewer looks has the mean over a
        large window."""
        return float((self._axis(self.azimuth) ** 2).sum() * (self._axis(self.range) ** 2).sum())

    def correlation(self, height: int, width: int) -> Array:
        """Return the correlation of intensities by lag down and to the right, of a field with a margin that is to be cut off:
        (height + MARGIN, width + MARGIN), in the order of the FFT."""
        down, across = (
            np.abs(np.fft.ifft(self.window(n + MARGIN, over) ** 2)) ** 2
            for n, over in ((height, self.azimuth), (width, self.range))
        )
        return down[:, None] * across

    def field(self, height: int, width: int, rng: np.random.Generator) -> NDArray[np.complexfloating]:
        """Draw (H, W) complex circular Gaussian numbers, E|z|^2 = 1, with this spectrum."""
        h, w = height + MARGIN, width + MARGIN
        white = rng.standard_normal((h, w)) + 1j * rng.standard_normal((h, w))
        shape = self.window(h, self.azimuth)[:, None] * self.window(w, self.range)
        return (np.fft.ifft2(np.fft.fft2(white) * shape) / math.sqrt(2))[:height, :width]


def spectrum_of(grain: tuple[float, float]) -> SpeckleSpectrum | None:
    """Return the spectrum whose intensities have the correlation `grain` with the next row and column; None where that
    is next to nothing."""
    if max(grain) <= SLIGHTEST:
        return None
    rows, columns = (_oversampling(rho) for rho in grain)
    return SpeckleSpectrum(columns, rows)


def _oversampling(rho: float) -> float:
    """Return the oversampling of a spectrum whose intensities of neighbours have the correlation rho."""
    low, high = 1.0, DENSEST
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if SpeckleSpectrum(middle, 1).lag_one[1] < rho else (low, middle)
    return high


# Bandwidths of the swaths of Sentinel-1 interferometric wide mode (range, azimuth).
SWATHS = {"iw1": SpeckleSpectrum(1.14, 1.49), "iw2": SpeckleSpectrum(1.33, 1.55), "iw3": SpeckleSpectrum(1.50, 1.55)}


def swath(name: str) -> SpeckleSpectrum:
    """Return the spectrum of a swath by name. Raises BadInput for an unknown one, which lists what is known."""
    if name not in SWATHS:
        raise BadInput(f"unknown spectrum {name!r} of speckle; known: {', '.join(SWATHS)}")
    return SWATHS[name]


def draw(shape: tuple[int, int], looks: float, spectrum: SpeckleSpectrum | None, rng: np.random.Generator) -> Array:
    """Draw (H, W) of speckle: Gamma(looks) with mean 1, independent from pixel to pixel or with the correlation of
    `spectrum`.

    A whole number of looks is the mean intensity of so many fields; otherwise a Gaussian field goes through the
    quantiles of the gamma law. Raises BadInput for looks that cannot be.
    """
    if not 0 < looks < math.inf:
        raise BadInput(f"looks={looks:g} must be above 0")
    if spectrum is None:
        return rng.gamma(looks, 1 / looks, shape)
    if looks == round(looks):
        fields = (np.abs(spectrum.field(*shape, rng)) ** 2 for _ in range(round(looks)))
        return np.add.reduce(list(fields)) / looks
    normal = correlated_normal(spectrum.correlation(*shape), scipy.stats.gamma(looks), shape, rng)
    return scipy.stats.gamma.ppf(scipy.special.ndtr(normal), looks, scale=1 / looks)


def correlated_normal(correlation: Array, law: Any, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Draw standard normal numbers (H, W) so correlated that their quantiles in `law`, a distribution of scipy, have
    `correlation`, as `SpeckleSpectrum.correlation` returns it, 0 to 1."""
    power = np.fft.fft2(_before_quantiles(correlation, law)).real.clip(min=0)
    white = np.fft.fft2(rng.standard_normal(correlation.shape))
    return np.fft.ifft2(white * np.sqrt(power / power.mean())).real[: shape[0], : shape[1]]


def _before_quantiles(correlation: Array, law: Any) -> Array:
    """Return the correlation of normal numbers whose quantiles in `law` have `correlation`, 0 to 1: sum c_k^2 r^k, c_k
    Hermite coefficients."""
    z, weight = np.polynomial.hermite_e.hermegauss(96)
    quantile = np.where(z < 0, law.ppf(scipy.special.ndtr(z)), law.isf(scipy.special.ndtr(-z)))
    orders = np.arange(1, 24)
    c = [float((weight * quantile * scipy.special.eval_hermitenorm(int(k), z)).sum()) for k in orders]
    power = np.square(c) / scipy.special.factorial(orders)
    r = np.linspace(0, 1, 513)
    after = (power * r[:, None] ** orders).sum(1) / power.sum()
    return np.interp(correlation, after, r)
