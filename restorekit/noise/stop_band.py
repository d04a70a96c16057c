"""A known blur takes frequencies out of a picture: what is measured there, in its stop band, is noise alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from restorekit.noise.level import Noise
from restorekit.operators import FreeBlur, conjugate_gradients
from restorekit.operators.transforms import fast_length

Array = NDArray[np.floating]
SLOPE = (
    2.4  # exponent by which the power of photographs falls with frequency (Burton and Moorhead, Applied Optics 1987)
)
RINGS = (0.02, 0.1, 0.2, 0.35, 0.5, 0.71)  # cycles per pixel, between which the power of the picture is looked at
_LN2 = 0.6931
SMOOTH, CLOSE, ITERATIONS = 0.03, 1e-3, 40  # of `explained`, for all of a picture, and for what is not told
FARTHEST = (0.25, 9.0)  # of the light of a picture over that of its middle, that is believed
FAR = 8.0  # pixels, deviation of the mean that a fit begins with
SHARED = 0.85  # of the level below 0.35 cycles per pixel, which finer frequencies of white noise do not fall short of
# Times the level of noise that neighbours share, of the white noise that `hqs` has to expect: chosen on files of McMaster 4 to 6 and
# six pictures of Set14 by three cameras, of which no table judges.
GREATER = 1.3


@dataclass(frozen=True)
class BandNoise:
    """Noise as the stop band of a blur shows it.

    sigma: root mean square over the bands of the picture, in its unit; bands: that of each. fine: the level above 0.35 cycles per
    pixel over that below, 1 of white noise, nan where one of the two is not told. share: of the frequencies, that were used. lighter: times the level that noise of photons has over all of the
    picture, as windows see most of the middle of a block.
    """

    sigma: float
    bands: tuple[float, ...]
    fine: float
    share: float
    lighter: float = 1.0


def explained(y: Array, ok: NDArray[np.bool_], kernel: Array, weight: float) -> Array:
    """Return k * x (C, h, w) of the smooth picture x that explains y where `ok` (h, w): of the least |y - k * x|^2 there plus
    `weight` |grad x|^2. Nothing is assumed beyond the frame."""
    mask, seen = torch.from_numpy(ok.astype(np.float64)), torch.from_numpy(y)[None]
    k = torch.from_numpy(np.ascontiguousarray(kernel, np.float64))
    operator = FreeBlur.of((y.shape[0], y.shape[1], y.shape[2]), k)
    grid = [fast_length(n) for n in operator.image_shape[1:]]
    waves = [2 - 2 * torch.cos(2 * torch.pi * torch.arange(n, dtype=torch.float64) / n) for n in grid]
    rough = weight * (waves[0][:, None] + waves[1][None, : grid[1] // 2 + 1])
    inverse = 1 / (torch.fft.rfft2(k, s=grid).abs() ** 2 + rough + 1e-6)

    def smooth(x: Tensor, by: Tensor) -> Tensor:
        *_, h, w = x.shape
        return torch.fft.irfft2(torch.fft.rfft2(x, s=grid) * by, s=grid)[..., :h, :w]

    share = scipy.ndimage.gaussian_filter(ok.astype(np.float64), FAR) + 1e-6
    around = (
        scipy.ndimage.gaussian_filter(y * ok, (0, FAR, FAR)) / share
    )  # of large areas iterations alone would reach the rim
    start = operator.adjoint(torch.from_numpy(np.where(ok, y, around))[None])
    start = start / operator.adjoint(torch.ones_like(seen)).clamp(min=1e-3)
    x = conjugate_gradients(
        lambda v: operator.adjoint(mask * operator(v)) + smooth(v, rough), operator.adjoint(mask * seen), start,
        lambda r: smooth(r, inverse), ITERATIONS, 1e-4,
    )  # fmt: skip
    return operator(x)[0].numpy()


def _within(kernel: Array) -> Array:
    """Return a kernel (h, w) without rows and columns of zeros around, as many at both sides of its centre, (h // 2, w // 2)."""
    for axis in (0, 1):
        middle = kernel.shape[axis] // 2
        reach = int(np.abs(np.flatnonzero(kernel.any(1 - axis)) - middle).max(initial=0))
        low, high = max(0, middle - reach), min(kernel.shape[axis], middle + reach + 1)
        kernel = kernel[low:high] if axis == 0 else kernel[:, low:high]
    return kernel


@dataclass(frozen=True)
class StopBand:
    """It measures the noise of a blurred picture (C, H, W) whose kernel is known, at frequencies that the kernel takes out.

    The periodogram of white noise of variance s^2 has the median s^2 ln 2. It is taken of blocks of `side` under a Hann window.
    What the window leaks of the picture is computed: with a transfer function K and a picture of power a |f|^-2.4, the expectation
    of the periodogram is that of |K|^2 a |f|^-2.4 convolved with the spectrum of the window, plus the noise; a is the largest that a
    ring of frequencies shows, noise included, where the blur passes most. Frequencies count where the picture is expected to have at
    most `part` of the power that is found.

    What is not told is filled by a blurred picture that explains the rest (`explained`): what was cut off where a sensor stops has
    edges, which have all frequencies, and a blurred picture has none. Where too few frequencies count, such a picture is taken off:
    what is left has little to leak. That leaves the share R = lambda w / (|K|^2 + lambda w) at a frequency, w that of |grad|^2.

    Noise that neighbours share is weaker at fine frequencies: those of `usual` are taken where there are enough, as restoration
    depends on these. Take it where the kernel is known; of a wrong kernel it counts part of the picture.
    """

    side: int = 256
    part: float = 0.1
    rest: float = 0.3  # the same where a picture was taken off: what is expected then is more than there is
    usual: tuple[float, float] = (0.2, 0.35)  # cycles per pixel
    passed: float = 0.05  # of the power of the picture, that shows how much there is of it
    enough: int = 48  # ordinates of a block, half of which repeat the others: the level is within 10 %
    blocks: int = 64  # at most, evenly over a large picture
    fitted: int = 4  # blocks at most that a picture is fitted to, which takes a second each
    left: float = 0.7  # of the noise, that a fit must leave
    least: float = 0.5  # share of the energy of a window that must be told
    smallest: int = 32  # pixels a side, of a picture that has a spectrum

    def __call__(self, pixels: Array, told: NDArray[np.bool_], kernel: Array, factor: int = 1) -> BandNoise | None:
        """Return the noise; None where no frequencies tell, as of a sharp kernel, or of one larger than a block.

        told: (1 or C, H, W), False where values are clipped, filled or were not measured. kernel: (h, w), sum 1. factor: every so
        many pixels of the blurred picture are kept in (C, H, W).
        """
        kernel = _within(kernel)
        most = factor * min(self.side, *pixels.shape[1:])
        if min(pixels.shape[1:]) < self.smallest or np.count_nonzero(kernel) < 2 or max(kernel.shape) > most:
            return None
        middles, fines, shares, lights = [], [], [], []
        for x, ok, window in self._blocks(pixels, told):
            found = self._block(x, ok, window, kernel, factor, len(middles) < self.fitted)
            if found is not None:
                middles.append(found[0])
                fines.append(found[1])
                shares.append(found[2])
                lights.append((x * window**2).sum((1, 2)) / (window**2 * ok).sum())
        if not middles:
            return None
        power = np.mean(middles, 0)
        fine = np.array([f for f in fines if np.isfinite(f)])
        ratio = float(np.sqrt(np.median(fine))) if fine.size else float("nan")
        ok = np.broadcast_to(told, pixels.shape)
        light = np.nan_to_num(pixels).mean((1, 2), where=ok, dtype=np.float64)
        lighter = np.clip(light / np.maximum(np.mean(lights, 0), 1e-6), *FARTHEST)
        return BandNoise(
            float(np.sqrt(power.mean())), tuple(float(v) for v in np.sqrt(power)), ratio, float(np.mean(shares)),
            float(np.sqrt((power * lighter).mean() / max(power.mean(), 1e-300))),
        )  # fmt: skip

    def most(self, pixels: Array, told: NDArray[np.bool_], kernel: Array) -> float:
        """Return a level that white noise of (C, H, W) does not exceed, inf where no block is told throughout.

        Where too little is taken out for `__call__`, the frequencies at which least of the picture is expected hold the noise and
        more: the median of their power bounds it.
        """
        bounds = []
        for x, ok, window in self._blocks(pixels, told) if min(pixels.shape[1:]) >= self.smallest else ():
            if not ok.all():
                continue
            h, w = window.shape
            f = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.fftfreq(w))
            expected = self._leaked(self._picture(h, w, kernel, 1), window)
            at = f >= self.usual[0] / 2
            least = np.argsort(expected[at])[: max(self.enough, int(at.sum()) // 16)]
            bounds.append(float(np.median(self._power(x, window)[:, at][:, least]) / _LN2))
        return float(np.sqrt(np.median(bounds))) if bounds else float("inf")

    def _blocks(
        self, pixels: Array, told: NDArray[np.bool_]
    ) -> Iterator[tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]]:
        """Yield blocks (C, h, w), where they are told (h, w), and the window, of mean square 1: those told throughout, and where there
        are too few, others, those told most first."""
        _, height, width = pixels.shape
        h, w = min(self.side, height), min(self.side, width)
        whole = np.asarray(~self._areas(~np.broadcast_to(told, pixels.shape)).any(0), bool)
        tops, lefts = (
            np.unique(np.linspace(0, n - s, 1 + int(np.ceil(2 * (n - s) / s))).astype(int)) for n, s in ((height, h), (width, w))
        )  # fmt: skip
        window = np.outer(np.hanning(h + 2)[1:-1], np.hanning(w + 2)[1:-1])
        window /= np.sqrt(np.mean(window**2))
        places = [(i, j) for i in tops for j in lefts]
        shares = [float(np.mean(window**2 * whole[i : i + h, j : j + w])) for i, j in places]
        clear = [place for place, share in zip(places, shares) if share > 1 - 1e-9]
        taken = [clear[n] for n in np.unique(np.linspace(0, len(clear) - 1, self.blocks).astype(int))] if clear else []
        others = sorted(zip(shares, places), reverse=True)[len(clear) :]
        taken += [place for share, place in others[: max(0, self.fitted - len(clear))] if share >= self.least]
        for i, j in taken:
            ok = whole[i : i + h, j : j + w]
            x = np.nan_to_num(pixels[:, i : i + h, j : j + w]).astype(np.float64)
            yield np.where(ok, x, 0), ok, window

    @staticmethod
    def _areas(at: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return `at` (C, H, W) without single values of it: noise that reaches a limit here and there is noise."""
        around = scipy.ndimage.uniform_filter(at.astype(np.float32), (1, 5, 5))
        return at & (around > 0.3)  # corners of areas stay

    def _block(
        self, x: Array, ok: NDArray[np.bool_], window: Array, kernel: Array, factor: int, fit: bool
    ) -> tuple[NDArray[np.float64], float, float] | None:
        """Return (power of the noise of each band, that of finer over middle frequencies, share of frequencies used)."""
        h, w = window.shape
        picture = self._picture(h, w, kernel, factor)
        f = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.fftfreq(w))
        seen = self._leaked(picture, window)
        told = float(np.mean(window**2 * ok))
        if not ok.all():
            if factor > 1 or not fit:
                return None
            x = np.where(ok, x, explained(x, ok, kernel, CLOSE))
        power = self._power(x, window)
        amplitude = self._amplitude(power.mean(0), seen, f)
        if (found := self._found(power / told, amplitude * seen / told, f, self.part)) is not None:
            return found
        if factor > 1 or not fit:
            return None
        waves = SMOOTH * sum(4 * np.sin(np.pi * v) ** 2 for v in (np.fft.fftfreq(h)[:, None], np.fft.fftfreq(w)))
        left = waves / (np.abs(np.fft.fft2(kernel, (h, w))) ** 2 + np.maximum(waves, 1e-12))
        power = self._power(x - explained(x, np.ones_like(ok), kernel, SMOOTH), window) / told
        expected = amplitude * self._leaked(picture * left**2, window) / told
        kept = np.where(left > self.left, left, np.nan) ** 2  # elsewhere the fit took noise
        return self._found(power / kept, expected / kept, f, self.rest)

    @staticmethod
    def _power(x: Array, window: Array) -> NDArray[np.float64]:
        """Return the periodograms (C, h, w), the mean taken off."""
        x = x - (x * window).sum((1, 2), keepdims=True) / window.sum()
        return np.abs(np.fft.fft2(x * window)) ** 2 / window.size

    def _found(
        self, power: Array, expected: Array, f: Array, part: float
    ) -> tuple[NDArray[np.float64], float, float] | None:
        """Return what `_block` does, of periodograms (C, h, w) and what is expected of the picture in them; nan does not count."""
        counts = np.isfinite(expected)
        level = self._level(power, expected, counts & (f >= self.usual[0]) & (f < self.usual[1]), part)
        fine = self._level(power, expected, counts & (f >= self.usual[1]), part)
        if level is not None:
            ratio = float("nan") if fine is None else float(fine[0].mean() / max(level[0].mean(), 1e-300))
            return level[0], ratio, level[1]
        if fine is not None:
            return fine[0], float("nan"), fine[1]
        level = self._level(power, expected, counts & (f >= self.usual[0] / 2) & (f < self.usual[0]), part)
        return None if level is None else (level[0], float("nan"), level[1])

    def _amplitude(self, power: Array, seen: Array, f: Array) -> float:
        """Return the largest a of the rings, each by the quarter of its frequencies at which the picture is seen best."""
        found = []
        for low, high in zip(RINGS, RINGS[1:]):
            at = (f >= low) & (f < high)
            best = at & (seen >= np.quantile(seen[at], 0.75)) if at.sum() >= self.enough else at
            # Where the blur passes little, noise is most of it, and says nothing of the picture.
            if best.any() and (low == RINGS[0] or np.mean((seen * f**SLOPE)[best]) > self.passed):
                found.append(float(power[best].sum() / seen[best].sum()))
        return max(found, default=0.0)

    def _level(
        self, power: Array, expected: Array, at: NDArray[np.bool_], part: float
    ) -> tuple[NDArray[np.float64], float] | None:
        """Return (power of noise of each band, share of the frequencies) at those of `at` whose expectation of the picture is low."""
        order = np.sort(expected[at])
        for count in (len(order), *(len(order) * n // 16 for n in (12, 8, 6, 4, 3, 2, 1))):
            if count < self.enough:
                return None
            used = at & (expected <= order[count - 1])
            found = np.asarray(np.median(power[:, used], 1) / _LN2, np.float64)
            if order[count - 1] <= part * found.mean():
                return found, float(used.mean())
        return None

    @staticmethod
    def _picture(h: int, w: int, kernel: Array, factor: int) -> NDArray[np.float64]:
        """Return the spectrum (h, w) of a picture of power |f|^-2.4 after the blur."""
        rows, columns = np.fft.fftfreq(factor * h)[:, None], np.fft.fftfreq(factor * w)
        f = np.hypot(np.hypot(rows, columns), 0.25 / max(factor * h, factor * w))
        picture = np.abs(np.fft.fft2(kernel, (factor * h, factor * w))) ** 2 * f**-SLOPE
        picture[0, 0] = 0  # the mean is taken off
        return picture.reshape(factor, h, factor, w).mean((0, 2))

    @staticmethod
    def _leaked(picture: Array, window: Array) -> NDArray[np.float64]:
        """Return what the periodogram under the window is expected to be of a spectrum (h, w)."""
        spread = np.abs(np.fft.fft2(window)) ** 2
        leaked = np.fft.ifft2(np.fft.fft2(picture) * np.fft.fft2(spread / spread.sum())).real
        # A Fourier transform leaves rounding where nothing is, and windows keep a little of the mean that was taken off.
        return np.maximum(leaked, 1e-13 * leaked.max())


@dataclass(frozen=True, eq=False, kw_only=True)
class BlurredNoise(Noise):
    """The noise of a blurred picture as the stop band of its kernel showed it; `sigma` is the level to use.

    That of a camera, which neighbours share, or which grows with brightness, is in proportion to the root of the light.
    """

    band: BandNoise

    @classmethod
    def of(cls, found: Noise, band: BandNoise, jpeg: bool, floor: float) -> BlurredNoise:
        """Return the noise by its `band`; `found` by flat blocks says what else there is, as impulses. Noise that went through a
        JPEG is shared by neighbours, where fine frequencies do not say otherwise. Below `floor` it is none."""
        shared = band.fine < SHARED if np.isfinite(band.fine) else jpeg
        level = (GREATER if shared else 1.0) * (band.lighter if shared or found.grows else 1.0) * band.sigma
        said = {f.name: getattr(found, f.name) for f in fields(Noise)}
        said |= {
            "sigma": max(level, floor),
            "white": band.sigma,
            "floor": level < floor,
            "correlated": shared and level >= floor,
        }
        said |= {"sensor": None, "covariance": None, "sure": True, "camera": False}
        return cls(**said, band=band)

    @property
    def notes(self) -> list[str]:
        """Return what a person should know beside the level, a line each."""
        said = [line for line in super().notes if not line.startswith("noise is correlated")]
        if self.correlated:
            how = "" if not np.isfinite(self.band.fine) else f", {self.band.fine:.2f} of that at finer ones"
            said.insert(
                0,
                f"neighbours share the noise: it is {self.band.sigma:.4f} at the frequencies that the blur takes out{how}, and "
                "the level of white noise that takes it out is used",
            )
        return said

    def record(self) -> dict[str, Any]:
        """Return the figures, as JSON takes them."""
        band = {"sigma": self.band.sigma, "share": self.band.share, "lighter": self.band.lighter}
        band |= {"fine": self.band.fine} if np.isfinite(self.band.fine) else {}
        said: dict[str, Any] = {name: float(f"{value:.4g}") for name, value in band.items()}
        return super().record() | {"stop_band": said | {"bands": [float(f"{v:.4g}") for v in self.band.bands]}}
