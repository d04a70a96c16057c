"""The evidence of a prior for a level of noise: at which level a picture is most likely, whatever texture it has."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from restorekit.inference.denoiser import Denoiser
from restorekit.noise.noise_colour import LUMA, NoiseColour
from restorekit.noise.periodic import Periodic

Array = np.ndarray
HALF = 0.05  # level of grey at half size up to which is looked; a picture that reads as much is one that no prior knows


class Seen(NamedTuple):
    """Levels of white noise at which the prior finds a picture most likely: of all bands, of its grey picture, and of that
    at half size. `share`: level of grey over that of a band, of white noise that bands have independently.

    `even`: at half size, level of the fifth of the blocks that show least over that of the middle one, 1 for noise that is
    everywhere; 0 where the prior knows nothing of the picture. `colour`: as `NoiseColour` sees it, nan for one band. `lines`: as `Periodic`
    sees it."""

    bands: float
    grey: float
    half: float
    share: float
    even: float = 1.0
    colour: float = math.nan
    lines: float = 0.0


@dataclass(frozen=True)
class Evidence:
    """It finds the level of white noise that makes (C, H, W) on [0, 1] most likely under the prior of a denoiser.

    A denoiser D knows the score of the pictures with noise of level s, (D(y, s) - y) / s^2 (Tweedie), and the density
    p(y; s) of noisy pictures follows the heat equation, so that s d log p / ds = |y - D|^2 / s^2 + div D - N, which is
    positive below the most likely level and negative above. The divergence is that along one random sign per value
    (Hutchinson 1989). Texture that a prior knows is not taken for noise, as a measure of flat blocks takes it; what the
    prior does not know, as colours that it never saw, only adds. So the derivative is taken per block, and the level is
    that of their mean or of a low quantile, whichever is less: noise is in every block.

    It takes windows of at most `most` pixels of the picture and two calls of the network for each of a few levels.
    """

    side: int = 16  # pixels, of a block
    window: int = 128  # pixels
    most: int = 2**15  # pixels
    least: float = 0.002  # level, the lowest that networks here know
    step: float = 1.6  # of one level to the next
    quantile: float = 0.3  # of the blocks; 0 for the mean alone, which sees less noise
    told: float = 0.4  # share of a block whose values must tell
    few: int = 9  # blocks; of fewer nothing is said
    small: int = 128  # pixels, a side below which blocks have half the side
    probe: float = 0.1  # length of the step for the divergence, in levels
    groups: int = 8  # of brightness, at most
    group: int = 6  # blocks of one, at least

    def __call__(self, pixels: Array, told: Array, denoise: Denoiser, highest: float) -> float:
        """Return the level, between `least` and about `highest`; 0 where it is below, nan where too few blocks of values that
        are `told` (C, H, W) are left."""
        found = self._by_block(pixels, told, denoise, highest, self.least)
        if found is None:
            return float("nan")
        levels, rows, _ = found
        of_mean = _most_likely(levels, rows.mean(1))
        return (
            min(of_mean, _most_likely(levels, np.quantile(rows, self.quantile, axis=1))) if self.quantile else of_mean
        )

    def evenness(self, pixels: Array, told: Array, denoise: Denoiser, highest: float) -> tuple[float, float]:
        """Return (level by the mean of the blocks, level of the fifth of them that shows least over that of the middle one).

        The level is nan where too few blocks tell, and the second 1. Noise is in every block; stripes, letters and texture are
        not. The second is 0 where the middle block reads as much as `highest`: the prior does not know such a picture.
        """
        found = self._by_block(pixels, told, denoise, highest, self.least)
        if found is None:
            return math.nan, 1.0
        levels, rows, _ = found
        few, middle = (_most_likely(levels, np.quantile(rows, q, axis=1)) for q in (0.2, 0.5))
        known = 0 < middle < 0.9 * highest
        return _most_likely(levels, rows.mean(1)), few / middle if known else 0.0

    def by_brightness(
        self, pixels: Array, told: Array, denoise: Denoiser, highest: float, lowest: float
    ) -> tuple[Array, Array]:
        """Return (brightness, level), both (K,), of groups of blocks from dark to bright, each as likely as the prior finds it by
        itself: noise that grows with brightness is white in none of a picture, and nearly so in each. K is 0 where too few tell.

        highest, lowest: levels between which is looked."""
        found = self._by_block(pixels, told, denoise, highest, max(lowest, self.least))
        if found is None:
            return np.empty(0), np.empty(0)
        levels, rows, means = found
        count = max(1, min(self.groups, len(means) // self.group))
        parts = np.array_split(np.argsort(means, kind="stable"), count)
        return (
            np.array([means[part].mean() for part in parts], np.float64),
            np.array([_most_likely(levels, rows[:, part].mean(1)) for part in parts]),
        )

    def _by_block(
        self, pixels: Array, told: Array, denoise: Denoiser, highest: float, lowest: float
    ) -> tuple[Array, Array, Array] | None:
        """Return (levels, s d log p / ds of each level and block, brightness of each block); None where too few blocks tell."""
        if min(pixels.shape[1:]) < self.side:
            return None
        y, known = self.windows(pixels, told)
        weight = self._blocks(known.float().mean(1, keepdim=True)).flatten()
        blocks = weight >= self.told
        if int(blocks.sum()) < self.few:
            return None
        count = max(2, int(np.ceil(np.log(max(highest / lowest, 1.2)) / np.log(self.step))) + 1)
        levels = lowest * self.step ** np.arange(count)
        rows = np.stack(
            [(self._derivative(y, float(s), denoise, known)[blocks] / weight[blocks]).numpy() for s in levels]
        )
        light = self._blocks((y * known).mean(1, keepdim=True)).flatten()[blocks] / weight[blocks]
        return levels, rows, light.numpy()

    def _derivative(self, y: Tensor, level: float, denoise: Denoiser, known: Tensor) -> Tensor:
        """Return s d log p / ds by the `known` values of each block, divided by its number of values."""
        rng = torch.Generator().manual_seed(0)
        sign = (torch.rand(y.shape, generator=rng) < 0.5).to(y.dtype) * 2 - 1
        length = self.probe * level
        with torch.no_grad():
            clean, moved = denoise(torch.cat([y, y + length * sign.to(y.device)]), level).chunk(2)
        terms = ((y - clean) / level).square() + sign.to(y.device) * (moved - clean) / length - 1
        return self._blocks((terms.cpu() * known).mean(1, keepdim=True)).flatten()

    def _blocks(self, x: Tensor) -> Tensor:
        """Return the means of blocks."""
        return F.avg_pool2d(x, self.side if min(x.shape[-2:]) >= self.small else self.side // 2)

    def windows(self, pixels: Array, told: Array) -> tuple[Tensor, Tensor]:
        """Return windows (N, C, h, w), those of a picture in which most is told, and where it is, like them."""
        _, h, w = pixels.shape
        if h * w <= self.most:
            parts = [(slice(0, h // self.side * self.side), slice(0, w // self.side * self.side))]
        else:
            sides = [min(n // self.side * self.side, self.window) for n in (h, w)]
            tops, lefts = (np.linspace(0, n - s, min(4, n // s + 1)).round().astype(int) for n, s in zip((h, w), sides))
            every = [(slice(t, t + sides[0]), slice(c, c + sides[1])) for t in tops for c in lefts]
            order = np.random.default_rng(0).permutation(len(every))  # not all of one corner
            ranked = sorted(order, key=lambda i: -round(float(told[:, every[i][0], every[i][1]].mean()), 1))
            parts = [every[i] for i in ranked[: max(1, self.most // (sides[0] * sides[1]))]]
        y = np.stack([pixels[:, rows, columns] for rows, columns in parts]).astype(np.float32)
        return torch.from_numpy(y), torch.from_numpy(np.stack([told[:, rows, columns] for rows, columns in parts]))


def _most_likely(levels: Array, derivative: Array) -> float:
    """Return the level of the largest log p, whose derivative by the logarithm of the level is given; 0 below the first."""
    summed = np.concatenate([[0.0], np.cumsum((derivative[1:] + derivative[:-1]) / 2)])
    best = int(summed.argmax())
    for low in (best - 1, best):
        if 0 <= low < len(levels) - 1 and derivative[low] > 0 >= derivative[low + 1]:
            part = derivative[low] / (derivative[low] - derivative[low + 1])
            return float(levels[low] * (levels[low + 1] / levels[low]) ** part)
    return float(levels[best]) if best else 0.0


def seen_by(
    pixels: Array, told: Array, for_bands: Callable[[int], Denoiser], highest: float, evidence: Evidence | None = None
) -> Seen:
    """Return what the prior whose denoiser of so many bands is `for_bands` finds in (C, H, W), where `told` (C, H, W).

    highest: level of all bands that is looked at, above what flat blocks show. Noise that went through a JPEG with halved colours,
    or that neighbours share, is not white in all bands, and is looked for in grey and in grey at half size.
    """
    evidence = evidence or Evidence()
    weights = np.array(LUMA if len(pixels) == 3 else [1 / len(pixels)] * len(pixels))
    share = float(np.sqrt(np.square(weights).sum()))
    bands = evidence(pixels, told, for_bands(len(pixels)), highest)
    grey = np.tensordot(weights, pixels, 1)[None].astype(np.float32)
    all_told = np.logical_and.reduce(told, keepdims=True)
    h, w = (n // 2 * 2 for n in grey.shape[1:])
    quarters, told_in = (v[:, :h, :w].reshape(1, h // 2, 2, w // 2, 2) for v in (grey, all_told))
    half_told = np.logical_and.reduce(told_in, (2, 4))
    half, even = evidence.evenness(quarters.mean((2, 4)), half_told, for_bands(1), HALF)
    fine = (
        bands
        if len(pixels) == 1
        else evidence(grey, all_told, for_bands(1), max(3 * half, 0.01) if not np.isnan(half) else highest)
    )
    colour = NoiseColour()(evidence.windows(pixels, told)[0], for_bands(len(pixels))) if len(pixels) == 3 else math.nan
    return Seen(bands, fine, half, share, even, colour, Periodic()(grey[0]))
