"""Kernels of any form are rid of noise, moved to the middle, and moved onto others."""

from __future__ import annotations

import numpy as np
import scipy

from restorekit.blind.spectrum import Array


def mass_centre(kernel: Array) -> tuple[float, float]:
    """Return row and column of the centre of mass."""
    i, j = np.indices(kernel.shape)
    return float((kernel * i).sum() / kernel.sum()), float((kernel * j).sum() / kernel.sum())


def reach_of(kernel: Array) -> int:
    """Return the largest distance, along an axis, of a tap from the centre of mass, in pixels, at least 1."""
    centre = [round(c) for c in mass_centre(kernel)]
    taps = np.argwhere(kernel > 0)
    return max(1, int(np.abs(taps - centre).max()))


def centred(kernel: Array, side: int) -> Array:
    """Return a kernel (side, side), its centre of mass in the middle to the pixel, of sum 1; what lies outside is left out."""
    out = np.zeros((side, side))
    shift = [side // 2 - round(c) for c in mass_centre(kernel)]
    at = np.argwhere(kernel > 0)
    to = at + shift
    there = ((to >= 0) & (to < side)).all(1)
    out[tuple(to[there].T)] = kernel[tuple(at[there].T)]
    return out / out.sum()


def aligned(kernel: Array, to: Array) -> Array:
    """Return a kernel shifted by whole pixels, and around, to where it is most like another of its size."""
    like = np.fft.ifft2(np.fft.fft2(to) * np.fft.fft2(kernel).conj()).real
    return np.roll(kernel, np.unravel_index(int(like.argmax()), like.shape), (0, 1))


def without_noise(kernel: Array, strong: float, weak: float, island: float) -> Array:
    """Return a kernel of sum 1 without taps that are noise.

    Taps from `strong` times the largest on stay, those from `weak` times on where they hang together with such, and of all these
    groups of at least `island` of the sum, or the largest.
    """
    large, some = (kernel >= share * kernel.max() for share in (strong, weak))
    near = scipy.ndimage.binary_dilation(large, np.ones((3, 3)), 2, mask=some | large)
    kernel = np.where(near, kernel, 0)
    groups, count = scipy.ndimage.label(kernel > 0, np.ones((3, 3)))  # type: ignore[misc]
    mass = np.asarray(scipy.ndimage.sum_labels(kernel, groups, np.arange(1, count + 1)))
    small = 1 + np.flatnonzero(mass < min(island * kernel.sum(), mass.max()))
    kernel = np.where(np.isin(groups, small), 0, kernel)
    return kernel / kernel.sum()
