"""A kernel of which nothing is known, of any form: from coarse scales to fine ones by `blind.marginal`.

What the picture tells is measured by asking its two halves, each by itself: where their kernels differ, the picture
does not tell, and half of the difference is the error of the kernel that the whole gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from restorekit.blind.drawn import Array
from restorekit.blind.marginal import ScaledPicture
from restorekit.blind.spectrum import Whittle

RATIO = math.sqrt(0.5)  # of one scale to the next
LEAST_LEVEL = 0.003  # noise below which no picture is like the model
FITTED = 60  # iterations of a fit of the spectrum
ALIASED = 1.2  # noise that is left by a reduction, over that of the mean of as many pixels


@dataclass(frozen=True, eq=False)
class FoundKernel:
    """A kernel that was found where nothing was known of it, and how sure it is."""

    kernel: Array  # (h, w) of sum 1, its centre of mass in the middle
    deviation: Array  # (h, w), of each tap
    alike: float  # correlation of the kernels of the two halves of the picture, up to 1
    gain: float = math.inf  # of ln p over no blur at all, by the spectrum of the picture

    @property
    def error(self) -> float:
        """Return the deviation of the kernel relative to it, |d| / |k|."""
        return float(np.linalg.norm(self.deviation) / np.linalg.norm(self.kernel))

    def record(self) -> dict[str, Any]:
        """Return plain numbers, for a file."""
        h, w = self.kernel.shape
        return {
            "size": [h, w],
            "error": round(self.error, 4),
            "alike": round(self.alike, 4),
            "gain": round(self.gain, 1),
        }


@dataclass(frozen=True)
class AnyKernel:
    """It finds a kernel of any form up to the largest of `sizes`; the call takes y and its noise.

    Take it where the form of the blur is not known, as of a shaken hand; of a blur with a name `Families` is more exact.
    """

    sizes: tuple[int, ...] = (17, 31, 45)  # pixels a side at most; the likeliest of what these find is taken
    turns: int = 10  # at each scale
    first: float = 5.5  # factor by which noise counts larger in the first turn of each
    threshold: float = 0.1  # of the largest tap, from which on one is none of noise
    faint: float = (
        0.03  # of the largest tap, below which one is 0; between the two where it hangs together with larger ones
    )
    island: float = 0.02  # of the sum, below which taps that hang together are 0
    smallest: int = 3  # pixels of the kernel at the coarsest scale
    side: int = 320  # of the part of the picture that is looked at
    seed: int = 0

    def __call__(
        self,
        y: Array,
        sigma_y: float,
        seen: NDArray[np.bool_] | None = None,
        told: Callable[[int], None] = lambda done: None,
    ) -> FoundKernel:
        """Return the kernel for y (C, H, W) on about [0, 1]. seen: (H, W), the pixels that count, as clipped ones do not."""
        grey, counts = y.mean(0), np.ones(y.shape[1:]) if seen is None else seen.astype(np.float64)
        part = _busiest(grey, counts, self.side)
        grey, counts = np.where(counts > 0, grey, np.median(grey))[part], counts[part]
        long = int(np.argmax(grey.shape))
        middle = grey.shape[long] // 2
        halves = [np.s_[:middle], np.s_[middle:]] if long == 0 else [np.s_[:, :middle], np.s_[:, middle:]]
        spectrum = Whittle(grey[None], sigma_y)
        begin, tried = spectrum.start(), list[tuple[float, int, Array]]()
        for size in self.sizes:
            kernel = self.found(grey, counts, sigma_y, size)
            tried.append((spectrum.fit(kernel, begin, FITTED)[0], size, kernel))
            told(len(tried))
        cost, size, kernel = min(tried, key=lambda t: t[0])
        others = []
        for half in halves:
            others.append(self.found(grey[half], counts[half], sigma_y, size))
            told(len(tried) + len(others))
        side = max(k.shape[0] for k in (kernel, *others))
        whole = centred(kernel, side)
        one, two = (aligned(centred(k, side), whole) for k in others)
        alike = float((one * two).sum() / (np.linalg.norm(one) * np.linalg.norm(two)))
        none, _ = spectrum.fit(np.ones((1, 1)), begin, FITTED)
        return FoundKernel(whole, np.abs(one - two) / 2, alike, none - cost)

    def found(self, grey: Array, counts: Array, sigma_y: float, size: int = 45) -> Array:
        """Return the kernel (n, n), of at most `size` pixels a side, of a picture (H, W)."""
        y, seen = (torch.from_numpy(np.ascontiguousarray(v)).float() for v in (grey, counts))
        rng = torch.Generator().manual_seed(self.seed)
        largest = min(size, *(n // 3 for n in grey.shape))
        steps = max(0, math.ceil(math.log(self.smallest / largest) / math.log(RATIO)))
        levels = [float(v) for v in np.geomspace(self.first, 1, self.turns)]
        kernel, reach = np.outer([0.2, 0.6, 0.2], [0.2, 0.6, 0.2]), 1
        for step in range(steps, -1, -1):
            scale = RATIO**step
            half = min(reach, max(1, round((largest * scale - 1) / 2)))
            small, mask = _reduced(y, seen, scale)
            level = max(sigma_y * (1.0 if scale == 1 else scale * ALIASED), LEAST_LEVEL)
            begin = torch.from_numpy(centred(kernel, 2 * half + 1)).float()
            found = ScaledPicture(small, mask, level).kernel(begin, levels, rng)
            kernel = self.cleaned(found.double().numpy())
            if step:
                kernel = np.maximum(scipy.ndimage.zoom(np.pad(kernel, 1), 1 / RATIO, order=1, prefilter=False), 0)
                reach = reach_of(kernel) + 2
        return centred(kernel, 2 * reach_of(kernel) + 1)

    def cleaned(self, kernel: Array) -> Array:
        """Return a kernel without taps that are noise, of sum 1."""
        strong, weak = (kernel >= share * kernel.max() for share in (self.threshold, self.faint))
        near = scipy.ndimage.binary_dilation(strong, np.ones((3, 3)), 2, mask=weak | strong)
        kernel = np.where(near, kernel, 0)
        islands, count = scipy.ndimage.label(kernel > 0, np.ones((3, 3)))  # type: ignore[misc]
        mass = scipy.ndimage.sum_labels(kernel, islands, np.arange(1, count + 1))
        small = 1 + np.flatnonzero(np.asarray(mass) < self.island * kernel.sum())
        kernel = np.where(np.isin(islands, small), 0, kernel)
        return kernel / kernel.sum()


def _reduced(y: Tensor, seen: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Return a picture and what counts of it, `scale` times as large; a pixel counts where all that it is made of does."""
    if scale == 1:
        return y, seen
    size = [max(1, round(n * scale)) for n in y.shape]
    smaller = torch.nn.functional.interpolate(y[None, None], size=size, mode="bicubic", antialias=True)[0, 0]
    counts = torch.nn.functional.interpolate(seen[None, None], size=size, mode="bilinear", antialias=True)[0, 0]
    return smaller, (counts > 0.999).to(y)


def _busiest(grey: Array, counts: Array, side: int) -> tuple[slice, slice]:
    """Return the square of a picture, at most `side` pixels wide, where there is most to see of what counts."""
    slopes = sum(np.diff(grey, axis=d, append=np.take(grey, [-1], d)) ** 2 for d in (0, 1)) * counts
    h, w = grey.shape
    a, b = min(side, h), min(side, w)
    sums = np.pad(np.asarray(slopes).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    inside = sums[a:, b:] - sums[:-a, b:] - sums[a:, :-b] + sums[:-a, :-b]
    top, left = (int(i) for i in np.unravel_index(int(inside.argmax()), inside.shape))
    return slice(top, top + a), slice(left, left + b)


def _mass_centre(kernel: Array) -> tuple[float, float]:
    i, j = np.indices(kernel.shape)
    return float((kernel * i).sum() / kernel.sum()), float((kernel * j).sum() / kernel.sum())


def reach_of(kernel: Array) -> int:
    """Return the largest distance, along an axis, of a tap from the centre of mass, in pixels, at least 1."""
    centre = [round(c) for c in _mass_centre(kernel)]
    taps = np.argwhere(kernel > 0)
    return max(1, int(np.abs(taps - centre).max()))


def centred(kernel: Array, side: int) -> Array:
    """Return a kernel (side, side), its centre of mass in the middle to the pixel, of sum 1; what lies outside is left out."""
    out = np.zeros((side, side))
    shift = [side // 2 - round(c) for c in _mass_centre(kernel)]
    at = np.argwhere(kernel > 0)
    to = at + shift
    there = ((to >= 0) & (to < side)).all(1)
    out[tuple(to[there].T)] = kernel[tuple(at[there].T)]
    return out / out.sum()


def aligned(kernel: Array, to: Array) -> Array:
    """Return a kernel shifted by whole pixels, and around, to where it is most like another of its size."""
    like = np.fft.ifft2(np.fft.fft2(to) * np.fft.fft2(kernel).conj()).real
    return np.roll(kernel, np.unravel_index(int(like.argmax()), like.shape), (0, 1))
