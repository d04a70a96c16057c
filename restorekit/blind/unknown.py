"""A kernel of which nothing is known, of any form: several searches by sharp edges, of which the mean of the most plausible ones is
taken; of a small picture the best is mended too. The power spectrum, with the picture integrated out, says which those are.

What the picture tells is measured by asking its two halves, each by itself: of two of them that are alike sure, either is as far
from the mean as that is from the truth. The spread of the searches of the whole comes on top.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
import torch
from numpy.typing import NDArray

from restorekit.blind.drawn import Array
from restorekit.blind.kernel_forms import aligned, centred, mass_centre, reach_of, without_noise
from restorekit.blind.marginal import ScaledPicture
from restorekit.blind.plausible import Plausible
from restorekit.blind.pyramid import Pyramid, busiest
from restorekit.blind.sharp_edges import SharpEdges

LEAST_LEVEL = 0.003  # noise below which no picture is like the model
STRONG, WEAK, ISLAND = 0.1, 0.03, 0.02  # of the largest tap and of the sum, of what is noise in a kernel
SOFT = 1.0  # pixels, by which taps of two kernels may be apart and still be alike
CLOSE = 2.0  # ln p by which a kernel may be less plausible and count e times less in the mean


@dataclass(frozen=True, eq=False)
class FoundKernel:
    """A kernel that was found where nothing was known of it, and how sure it is."""

    kernel: Array  # (h, w) of sum 1, its centre of mass in the middle
    deviation: Array  # (h, w), of each tap
    alike: float  # correlation of the kernels of the two halves of the picture, up to 1
    gain: float = math.inf  # of ln p over no blur at all, by the spectrum of the picture
    misfit: float = 0.0  # what the error of the kernel does to the measurement, as the level of white noise with as rough neighbours

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
            "misfit": round(self.misfit, 5),
        }


@dataclass(frozen=True)
class AnyKernel:
    """It finds a kernel of any form up to the largest size of `searches`; the call takes y and its noise.

    Take it where the form of the blur is not known, as of a shaken hand; of a blur with a name `Families` is more exact.
    """

    searches: tuple[SharpEdges, ...] = (
        SharpEdges(17, 0.02),
        SharpEdges(31, 0.02, turns=8),
        SharpEdges(31, 0.02, turns=8, ridge=20.0),
        SharpEdges(31, 0.02, turns=8, least=0.03),
        SharpEdges(31, 0.04, turns=8),
        SharpEdges(45, 0.02, turns=8),
    )
    # Of pictures with little noise too, as 8-bit files of light are: edges that are faint stand out there, and may be all there are.
    faint: tuple[SharpEdges, ...] = (
        SharpEdges(31, 0.005, turns=8, least=0.015),
        SharpEdges(31, 0.02, turns=16, least=0.02),
        SharpEdges(21, 0.005, turns=8, least=0.03),
    )
    quiet: float = 0.005  # noise below which these are made
    side: int = 320  # of the part of the picture that is looked at
    # Pixels, a side below which edges are few, and the best kernel is mended with the picture integrated out.
    small: int = 160
    levels: tuple[float, ...] = (2.5, 1.84, 1.36, 1.0)  # factors by which noise counts larger for that
    seed: int = 0

    def __call__(self, y: Array, sigma_y: float, seen: NDArray[np.bool_] | None = None) -> FoundKernel:
        """Return the kernel for y (C, H, W) on about [0, 1]. seen: (H, W), the pixels that count, as clipped ones do not."""
        grey, counts = y.mean(0), np.ones(y.shape[1:]) if seen is None else seen.astype(np.float64)
        part = busiest(grey, counts, self.side)
        grey, counts = np.where(counts > 0, grey, np.median(grey[counts > 0]))[part], counts[part]
        sigma_y = max(sigma_y, LEAST_LEVEL)
        picture = Pyramid.of(grey, counts)
        plausible, tried = Plausible(picture, sigma_y), list[tuple[float, Array, SharpEdges]]()
        for search in self.searches + (self.faint if sigma_y < self.quiet else ()):
            kernel = search(picture)
            tried.append((plausible.score(kernel), kernel, search))
        _, kernel, search = min(tried, key=lambda t: t[0])
        if small := min(grey.shape) < self.small:
            mended = self.mended(picture, sigma_y, kernel)
            tried.append((plausible.score(mended), mended, search))
        whole, spread = _mean([(score, k) for score, k, _ in tried])
        long = int(np.argmax(grey.shape))
        middle = grey.shape[long] // 2
        halves = [np.s_[:middle], np.s_[middle:]] if long == 0 else [np.s_[:, :middle], np.s_[:, middle:]]
        others = [search(Pyramid.of(grey[half], counts[half])) for half in halves]
        side = max(k.shape[0] for k in (whole, spread, *others))
        whole, spread = centred(whole, side), _framed(spread, side)
        one, two = (aligned(centred(k, side), whole) for k in others)
        off = min((whole - one, whole - two), key=np.linalg.norm)  # the other half may be flat, and tell nothing
        soft = [scipy.ndimage.gaussian_filter(k, SOFT, mode="constant") for k in (one, two)]
        alike = float((soft[0] * soft[1]).sum() / (np.linalg.norm(soft[0]) * np.linalg.norm(soft[1])))
        # what an error does to the measurement is less than that of independent taps: neighbours make up for each other
        sharp, _ = plausible.sharp(whole)
        spoilt = scipy.signal.fftconvolve(sharp - sharp.mean(), off, mode="valid")
        more = float(np.linalg.norm(spread) / max(np.linalg.norm(off), 1e-12))
        # Halves of a small picture err alike, so that what they differ by counts whole.
        misfit = (float(np.sqrt((spoilt**2).mean())) if small else as_white(spoilt)) * math.hypot(1, more)
        gain = plausible.spectral(np.ones((1, 1))) - plausible.spectral(whole)
        return FoundKernel(whole, np.hypot(off, spread), alike, gain, misfit)

    def mended(self, picture: Pyramid, sigma_y: float, kernel: Array) -> Array:
        """Return the likeliest kernel with the picture integrated out, from one that is nearly right."""
        n = 2 * reach_of(kernel) + 5
        begin = torch.from_numpy(centred(kernel, n)).float()
        rng = torch.Generator().manual_seed(self.seed)
        found = ScaledPicture(picture.y, picture.seen, sigma_y).kernel(begin, list(self.levels), rng)
        kernel = without_noise(found.double().numpy(), STRONG, WEAK, ISLAND)
        return centred(kernel, 2 * reach_of(kernel) + 1)


def _mean(scored: list[tuple[float, Array]]) -> tuple[Array, Array]:
    """Return the mean of kernels, each moved onto the best, the more plausible ones counting more, and their deviation from it."""
    best, first = min(scored, key=lambda s: s[0])
    side = max(k.shape[0] for _, k in scored)
    to = centred(first, side)
    weights = np.exp([(best - score) / CLOSE for score, _ in scored])
    moved = np.stack([aligned(centred(k, side), to) for _, k in scored])
    total = np.average(moved, 0, weights)
    kernel = without_noise(total, WEAK, WEAK, ISLAND)
    spread = np.sqrt(np.average((moved - total) ** 2, 0, weights))
    (i, j), (a, b) = mass_centre(kernel), (side // 2, side // 2)
    spread = np.roll(spread, (a - round(i), b - round(j)), (0, 1))
    return centred(kernel, 2 * reach_of(kernel) + 1), spread


def as_white(errors: Array) -> float:
    """Return the deviation of the white noise whose neighbours differ by as much as those of smooth errors (H, W)."""
    return math.sqrt(sum(float((np.diff(errors, axis=axis) ** 2).mean()) for axis in (0, 1)) / 4)


def _framed(values: Array, side: int) -> Array:
    """Return values (n, n), their middle kept, with zeros around, (side, side) of at least n."""
    return np.pad(values, (side - len(values)) // 2)
