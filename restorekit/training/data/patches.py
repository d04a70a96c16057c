"""Patches and their noise as functions of (seed, index) alone: what a step sees does not depend on who asks, or when."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from restorekit.priors.precond import VPTable
from restorekit.training.config import Data, NoiseLevels
from restorekit.training.data.cache import Pictures

TABLE = VPTable.linear()
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def log_intensity(grey: NDArray[np.floating], within: NDArray[np.float32] | float = 0.5) -> NDArray[np.float32]:
    """Return ln of the intensity of a picture on [0, 1] whose grey levels are amplitudes: 2 ln((255 g + 1/2 + within) / 256).

    within: where in its step of quantisation a level lies, 0 to 1. Drawn at random it keeps the logarithm of dark
    levels from being a comb. The half keeps black finite, at -12.5.
    """
    return (2 * np.log((255 * grey + 0.5 + within) / 256)).astype(np.float32)


def resampled(u: float, n: float, sigma_min: float, sigma_max: float) -> float:
    """Return the noise level of a resampled time, eq 10 of Li et al. 2025: t' = T (1 - (t / T)^n), t = u T, for u ~ U(0, 1).

    Times are those of the linear table of Ho et al. on pictures of span 2; T is that of sigma_max. The paper calls the map
    convex and says that it gives a larger time. It falls with t and is concave for n > 1; its mean, T n / (n + 1), favours
    high noise for n > 1, and n = 1 leaves t uniform. n is not given there.
    """
    time = TABLE.time(torch.tensor(2 * sigma_max, dtype=torch.float64)) * (1 - u**n)
    return min(max(float(TABLE.sigma(time)) / 2, sigma_min), sigma_max)


@dataclass(frozen=True, eq=False)
class Patches:
    """Patch, noise and noise level number `index` of a run: a pure function of (seed, index)."""

    pictures: Pictures
    data: Data
    noise: NoiseLevels
    seed: int
    domain: str = "srgb"
    labels: NDArray[np.int64] | None = None  # class number of each picture

    def item(self, index: int, grey: bool) -> tuple[NDArray[np.float32], NDArray[np.float32], float, int]:
        """Return x0 (C, crop, crop) in the domain, standard normal noise of that shape, sigma, class (-1: none, or left out)."""
        rng = np.random.Generator(np.random.Philox(key=[self.seed, index]))
        number, shrink = self._number(rng), self.data.shrink
        patch = self._crop(rng, self.pictures[number], self.data.crop * shrink)
        if self.data.flips:
            turn, flip = int(rng.integers(4)), bool(rng.integers(2))
            patch = np.rot90(patch[:, ::-1] if flip else patch, turn)
        x0 = patch.astype(np.float32) if self.pictures.arrays else patch.astype(np.float32) / 255
        if shrink > 1:
            x0 = x0.reshape(self.data.crop, shrink, self.data.crop, shrink, -1).mean((1, 3))
        x0 = (x0 @ LUMA)[None] if grey and not self.pictures.arrays else x0.transpose(2, 0, 1)
        if self.domain == "log-intensity":
            x0 = x0 if self.pictures.arrays else log_intensity(x0, rng.random(x0.shape, np.float32))
            contrast, gain = np.exp(rng.normal(0, self.data.contrast)), rng.normal(0, self.data.gain)
            x0 = (contrast * (x0 - x0.mean()) + x0.mean() + gain).astype(np.float32)
        sigma = self._sigma(rng)
        noise = rng.standard_normal(x0.shape, np.float32)
        label = -1 if self.labels is None or rng.random() < self.data.label_drop else int(self.labels[number])
        return np.ascontiguousarray(x0, np.float32), noise, sigma, label

    def _number(self, rng: np.random.Generator) -> int:
        if not self.data.by_area:
            return int(rng.integers(len(self.pictures)))
        ends = self.areas
        return int(np.searchsorted(ends, rng.integers(ends[-1]), side="right"))

    @cached_property
    def areas(self) -> NDArray[np.int64]:
        """Return (N,) pixels of the pictures up to and with each."""
        return np.cumsum(self.pictures.shapes.prod(1))

    def _crop(self, rng: np.random.Generator, picture: NDArray[Any], crop: int) -> NDArray[Any]:
        """Return (crop, crop, C) out of (H, W, C), reduced by up to `zoom` where there is room for that."""
        side = crop
        if self.data.zoom > 1:
            side = min(round(crop * self.data.zoom ** rng.random()), *picture.shape[:2])
        top, left = (int(rng.integers(n - side + 1)) for n in picture.shape[:2])
        patch = picture[top : top + side, left : left + side]
        if side == crop:
            return patch
        flat = patch[..., 0] if self.pictures.arrays else patch
        small = np.asarray(Image.fromarray(flat).resize((crop, crop), Image.Resampling.BICUBIC))  # without aliasing
        return small.reshape(crop, crop, -1)

    def further(self, index: int) -> np.random.Generator:
        """Return the stream that an objective draws from itself for item `index`: further on in that of its patch."""
        return np.random.Generator(np.random.Philox(key=[self.seed, index]).jumped())

    def _sigma(self, rng: np.random.Generator) -> float:
        law = self.noise
        if rng.random() < law.wide:
            return float(np.exp(rng.uniform(np.log(law.sigma_min), np.log(law.sigma_max))))
        if law.resample is not None:
            return resampled(rng.random(), law.resample, law.sigma_min, law.sigma_max)
        normal = NormalDist(law.log_mean, law.log_std)
        low, high = normal.cdf(math.log(law.sigma_min)), normal.cdf(math.log(law.sigma_max))
        share = rng.uniform(low, high)  # of a law cut off at both ends
        drawn = min(
            normal.inv_cdf(min(max(share, 1e-300), 1 - 1e-16)), math.log(law.sigma_max)
        )  # of any log_std, no more
        return float(np.clip(np.exp(drawn), law.sigma_min, law.sigma_max))

    def batch(self, first: int, count: int, grey: bool) -> tuple[Tensor, ...]:
        """Return x0, noise (count, C, crop, crop), sigma (count,), and the classes (count,) where there are any."""
        x0, noise, sigma, label = zip(*(self.item(i, grey) for i in range(first, first + count)))
        batch = torch.from_numpy(np.stack(x0)), torch.from_numpy(np.stack(noise)), torch.tensor(sigma)
        return batch if self.labels is None else (*batch, torch.tensor(label))

    def moments(self, grey: bool) -> tuple[float, float]:
        """Return mean and standard deviation of x0 over 500 patches, or pictures where x0 is their pixels."""
        if self.domain == "srgb" and self.data.shrink == 1:
            return self.pictures.sigma_data()
        x0 = np.stack([self.item(i, grey)[0] for i in range(500)])
        return float(x0.mean()), float(x0.std())
