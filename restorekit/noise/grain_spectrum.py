"""The spectrum of noise that neighbours share, measured in flat blocks, as an autocovariance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from restorekit.noise.blocks import MEDIAN, RADIUS, SIDE, band_blocks, telling_blocks, transformed

Array = np.ndarray
GRID = 32  # pixels, of the torus on which the spectrum is taken


@dataclass(frozen=True)
class GrainSpectrum:
    """It measures the spectrum of noise, taken as the same in all directions, and returns its autocovariance.

    Half of the coefficients of a block, as on a chessboard, choose the flattest blocks for the other half: noise of one
    spectrum is independent between them, so that the flattest are not those of least noise, and texture is in both. The
    variance at a radius is the median over them. Coarser than a block tells, the spectrum goes on as that of a Gaussian
    blur.
    """

    blocks: int = 20000
    flat: float = 0.2
    least: int = 40  # blocks
    reach: int = 9  # pixels, of the covariance
    coarsest: float = 1.9  # radius of a coefficient; below, a plane of the picture is in it
    steepest: float = 4.0  # of the variance at frequency 0 over the coarsest that was measured
    side: int = 192  # pixels, of the noise that is drawn to correct what the choice of blocks does to it

    def __call__(self, pixels: Array, told: Array, colour: bool = False) -> Array | None:
        """Return the covariance (2 reach + 1, 2 reach + 1) of (C, H, W), averaged over bands; None where too few blocks
        tell. colour: of the differences between bands, for noise that is independent between them."""
        blocks = telling_blocks(pixels, told, self.blocks)
        if len(blocks) < self.least and len(alone := band_blocks(pixels, told, self.blocks)) > len(blocks):
            blocks, colour = alone[:, None].astype(np.float64), False
        if len(blocks) < self.least:
            return None
        if colour:
            count = blocks.shape[1]
            blocks = (blocks - blocks.mean(1, keepdims=True)) * (count / (count - 1)) ** 0.5
        levels = self._levels(blocks)
        found = self._covariance(levels)
        white = np.random.default_rng(0).standard_normal((blocks.shape[1], self.side, self.side))
        drawn = blurred(white, found)
        again = self._levels(telling_blocks(drawn, np.ones(drawn.shape, bool), self.blocks))
        covariance = self._covariance(2 * levels - again)
        middle = GRID // 2
        return covariance[middle - self.reach : middle + self.reach + 1, middle - self.reach : middle + self.reach + 1]

    def _levels(self, blocks: Array) -> Array:
        """Return the logarithm of the variance of noise by radius, (K,)."""
        power = self._power(np.square(transformed(blocks)))
        return np.array([np.log(max(float(power[ring].mean()), 1e-9)) for ring in self._rings])

    @property
    def _rings(self) -> list[Array]:
        """Return which coefficients have one radius, four radii together, (8, 8) bool each."""
        radii = np.unique(np.round(RADIUS[self.coarsest <= RADIUS], 1))
        ends = [*radii[::4], radii[-1] + 1]
        return [(low - 0.06 <= RADIUS) & (high - 0.06 > RADIUS) for low, high in zip(ends, ends[1:])]

    def _covariance(self, levels: Array) -> Array:
        """Return the covariance on a torus, its variance in the middle, of a spectrum by radius."""
        squares = np.square([RADIUS[ring].mean() for ring in self._rings])
        slope = (levels[0] - levels[2]) / (squares[2] - squares[0])  # of a Gaussian: ln S falls by the square
        rise = min(max(slope, 0.0) * squares[0], np.log(self.steepest))
        f = np.abs(np.fft.fftfreq(GRID)) * 2 * SIDE
        at = np.square(np.hypot(f[:, None], f))
        logs = np.interp(at, [0, *squares], [levels[0] + rise, *levels])
        return np.fft.fftshift(np.fft.ifft2(np.exp(logs)).real)

    def _power(self, squares: Array) -> Array:
        """Return the variance (8, 8) of the coefficients of the flattest blocks of (N, C, 8, 8)."""
        even = np.add.outer(np.arange(SIDE), np.arange(SIDE)) % 2 == 0
        power = np.empty((SIDE, SIDE))
        for half in (even, ~even):
            rough = squares[..., ~half & (self.coarsest <= RADIUS)].mean((1, 2))
            flattest = np.argsort(rough)[: max(self.least, int(self.flat * len(rough)))]
            power[half] = np.median(squares[flattest][..., half], axis=(0, 1)) / MEDIAN
        return power


def blurred(white: Array, covariance: Array) -> Array:
    """Return noise of this covariance (GRID, GRID), its middle the variance, made of white noise (C, H, W) of deviation
    1."""
    torus = np.zeros(white.shape[1:])
    torus[:GRID, :GRID] = covariance
    torus = np.roll(torus, (-(GRID // 2), -(GRID // 2)), (0, 1))
    root = np.sqrt(np.maximum(np.fft.fft2(torus).real, 0))
    return np.fft.ifft2(root * np.fft.fft2(white)).real
