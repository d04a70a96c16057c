"""The power spectrum of the blurred picture alone gives the likelihood of a kernel (Whittle 1953).

With a stationary prior of spectrum S, E|Y|^2 = |K|^2 S + sigma_y^2: the picture is integrated out, so that, other than
in the joint optimum over picture and kernel, a kernel that blurs less is not the better one (Levin et al., CVPR 2009).
Windows of the picture leak; what is expected of their periodograms is leaked alike (Sykulski et al., Biometrika 2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy
from numpy.typing import NDArray

Array = NDArray[np.float64]
SIDE = 256  # of a window, pixels
LOWEST = 3  # cycles per window below which illumination counts more than texture
TRUST = 1200.0  # periodogram ordinates that all together are worth: pictures are not stationary, so more tell no more


def _hann(n: int) -> Array:
    w = np.hanning(n + 2)[1:-1]
    return w / np.sqrt(np.mean(w**2))


def _even_transform(half: Array, width: int) -> Array:
    """Return the transform of a real spectrum that is the same at f and -f, which is one too; of both half of the columns."""
    return scipy.fft.irfft2(half, (half.shape[0], width), norm="forward")[:, : half.shape[1]]


@dataclass(frozen=True, eq=False)
class Whittle:
    """The likelihood of kernels for a picture y (C, H, W) on about [0, 1], given the deviation of its noise.

    ln S is a parabola in ln |f| and a little of the second and fourth harmonic of the direction: pictures of buildings
    are not alike in all directions.
    """

    y: Array
    sigma_y: float
    side: int = SIDE  # of a window: a smaller one is faster, and tells long kernels less

    @cached_property
    def size(self) -> tuple[int, int]:
        """Return the size of a window."""
        return min(self.side, self.y.shape[1]), min(self.side, self.y.shape[2])

    @cached_property
    def periodogram(self) -> Array:
        """Return the periodogram (h, w): the mean over bands and over windows that overlap by half."""
        (h, w), (_, height, width) = self.size, self.y.shape
        window = np.outer(_hann(h), _hann(w))
        tops, lefts = (
            np.unique(np.linspace(0, n - s, 1 + int(np.ceil(2 * (n - s) / s))).astype(int)) for n, s in ((height, h), (width, w))
        )  # fmt: skip
        parts = [self.y[:, i : i + h, j : j + w] for i in tops for j in lefts]
        spectra = [np.abs(np.fft.fft2((p - p.mean((1, 2), keepdims=True)) * window)) ** 2 / (h * w) for p in parts]
        return np.mean(spectra, (0, 1))

    @cached_property
    def _leak(self) -> NDArray[np.complex128]:
        """Return the transform of the spectral window, whose product convolves spectra."""
        spread = np.abs(np.fft.fft2(np.outer(_hann(self.size[0]), _hann(self.size[1])))) ** 2
        return np.fft.fft2(spread / spread.sum())

    @cached_property
    def _basis(self) -> Array:
        """Return the basis (7, h, w // 2 + 1) of ln S, the same at f and -f."""
        fy, fx = np.fft.fftfreq(self.size[0])[:, None], np.fft.fftfreq(self.size[1])[None]
        log = 0.5 * np.log(fy**2 + fx**2 + (0.5 / max(self.size)) ** 2) + 1.5
        angle = np.arctan2(fy, fx)
        basis = np.stack([np.ones_like(log), -log, log**2, *(f(n * angle) for n in (2, 4) for f in (np.cos, np.sin))])
        return self._half((basis + basis[:, -np.arange(self.size[0])][:, :, -np.arange(self.size[1])]) / 2)

    def _half(self, spectrum: Array) -> Array:
        """Return the frequencies (..., h, w // 2 + 1) of a spectrum (..., h, w) that a real picture is told by."""
        return np.ascontiguousarray(spectrum[..., : self.size[1] // 2 + 1])

    @cached_property
    def _weights(self) -> Array:
        fy, fx = np.fft.fftfreq(self.size[0])[:, None], np.fft.fftfreq(self.size[1])[None]
        used = fy**2 + fx**2 > (LOWEST / min(self.size)) ** 2
        return used * min(TRUST, 0.07 * self.y[0].size) / used.sum()

    _typical = np.array([0.0, 2.4, 0.0, 0.0, 0.0, 0.0, 0.0])
    _spread = np.array([np.inf, 0.4, 0.15, 0.4, 0.4, 0.4, 0.4])  # of pictures about that

    def start(self) -> Array:
        """Return parameters of ln S to begin with."""
        first = self._typical.copy()
        first[0] = np.log(np.average(self.periodogram, weights=self._weights)) - 1
        return first

    @cached_property
    def _halves(self) -> tuple[Array, Array, Array, Array]:
        """Return periodogram, weights, leak, and how many frequencies each stands for, of half of the plane."""
        columns = np.arange(self.size[1] // 2 + 1)
        twice = np.where((columns == 0) | (2 * columns == self.size[1]), 1.0, 2.0)
        return self._half(self.periodogram), self._half(self._weights), self._half(self._leak.real), twice

    def fit(self, kernel: Array, first: Array, iterations: int = 8) -> tuple[float, Array]:
        """Return (-ln p(y | kernel) up to a constant, parameters of ln S): the least over these, from `first`.

        All spectra are the same at f and -f, so that half of them is computed.
        """
        power = np.abs(scipy.fft.rfft2(kernel, self.size)) ** 2
        periodogram, weights, leak, twice = self._halves
        basis = self._basis.reshape(len(self._basis), -1)

        leak = leak / (self.size[0] * self.size[1])

        def leaked(half: Array) -> Array:
            return _even_transform(_even_transform(half, self.size[1]) * leak, self.size[1])

        def cost(p: Array) -> tuple[float, Array]:
            blurred = power * np.exp(np.clip(p @ basis, -60, 60)).reshape(power.shape)
            expected = np.maximum(leaked(blurred), 0) + self.sigma_y**2 + 1e-12
            ratio = periodogram / expected
            slope = leaked(weights * (1 - ratio) / expected) * blurred * twice  # the window is symmetric
            away = (p - self._typical) / self._spread
            value = (weights * twice * (np.log(expected) + ratio)).sum() + 0.5 * (away**2).sum()
            return float(value), basis @ slope.ravel() + away / self._spread

        found = scipy.optimize.minimize(cost, first, jac=True, method="L-BFGS-B", options={"maxiter": iterations})
        return float(found.fun), found.x
