"""Dates of one place are despeckled together, block by block.

The logarithm of the intensity of date t is that of a mean image, of the level of the date, and of a change, which is rare in
space: ln x_t = ln m + ln g_t + ln f_t, where g_t is one number or, where levels
drift from place to place, a smooth image. Speckle is independent from date to date, so the mean of y_t / (g_t f_t), weighted by
looks, has the looks of all dates together; the prior restores that mean once. f_t is found by a test for changes whose rate of false
alarms is stated (`restorekit.sar.changes`) and is 1 elsewhere; where it is not, and as far around as the square that found it is wide,
the date is despeckled by itself, has its own error bar, and takes no part in the mean. `ratio` is the way of RABASAR in its place (Zhao, Deledalle,
Denis, Maitre, Nicolas, Tupin, IEEE TGRS 57, 2019): the mean of all dates restored, each date over it restored as an image
of its own, and multiplied back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy
from numpy.typing import NDArray

from restorekit.despeckling.block import BlockDespeckling, alone, layers_of
from restorekit.despeckling.kept import CHANGED, with_structure
from restorekit.despeckling.methods import BlockMethod, SpeckledBlock
from restorekit.despeckling.survey import BandStatistics
from restorekit.sar.between_dates import drift
from restorekit.sar.changes import ChangeTest
from restorekit.sar.looks import Array, Mask
from restorekit.sar.structure import RatioTest
from restorekit.sar.targets import Detector, clutter
from restorekit.scenes.block_store import Layers
from restorekit.scenes.operation import BlockPixels

LEVEL = 0.3  # relative error of the level of a small field that one date by itself has
FADED = 3  # pixels over which a date by itself goes over into that of all
FEWER = (1.0, 0.7, 0.45, 0.25, 0.12)  # shares of all looks, where dates are missing: each is restored by itself


@dataclass(frozen=True, eq=False)
class _DateBlock:
    """A date of one block: intensities (h, w) over its level, without point targets, and masks of the same size."""

    speckled: Array
    measured: Array  # in the numbers of the band, targets and all
    there: Mask
    signal: Mask
    targets: Mask


@dataclass(frozen=True, eq=False)
class JointDespeckling:
    """Despeckle one block of all dates; gives the layers of `BlockDespeckling` for each, and "changed", a mask."""

    dates: tuple[BlockDespeckling, ...]  # what despeckles each by itself
    numbers: tuple[int, ...]  # of the band of each, from 1
    gains: tuple[float, ...]
    method: BlockMethod
    facts: BandStatistics  # of the mean of all dates
    changes: ChangeTest | None  # None: the ratio of each date to the mean is restored
    detector: Detector | None = None  # of point targets of the mean
    structure: RatioTest | None = None  # of the mean
    drifting: bool = False  # whether levels are compared around each pixel, not as a whole
    margin: int = 0
    keep_draws: bool = False

    def __call__(self, blocks: Sequence[BlockPixels]) -> list[Layers]:
        """Return the layers of each date, (h, w) float32 of `block.kept`; {} where it has no signal."""
        seen, window = blocks[0].seen, blocks[0].window
        found = [self._date(t, block) for t, block in enumerate(blocks)]
        y = np.stack([date.speckled for date in found])
        signal = np.stack([date.signal for date in found])
        if not signal.any():
            return [{} for _ in blocks]
        looks = np.array([self._facts(t).detected for t in range(len(blocks))])
        local = drift(y, signal, looks.tolist()) if self.drifting else np.ones_like(y)
        y = y / local
        factor = np.ones_like(y)
        changed, apart = (np.zeros(y.shape, np.bool_) for _ in range(2))
        if self.changes is not None:
            result = self.changes(y, signal)
            factor, changed, apart = result.factor, result.mask, result.apart
        at = seen.inside(window)
        y, factor, local = (a[(slice(None), *at)] for a in (y, factor, local))
        signal, changed, apart = (a[(slice(None), *at)] for a in (signal, changed, apart))
        weight = looks[:, None, None] * signal
        together = weight * ~apart
        weight = np.where(together.any(0), together, weight)  # of two dates both changed
        of_all = weight.sum(0)
        mean = (weight * y / factor).sum(0) / np.maximum(of_all, 1e-9)
        draws, stable, returned = self._mean(mean, of_all / looks.sum(), blocks[0])
        layers = []
        for t, block in enumerate(blocks):
            x = draws if self.changes is not None else self._ratio(t, y[t], signal[t], draws, block)
            masks = {"returned": returned, CHANGED: changed[t]}
            own = self._layers(t, block, found[t], x * (self.gains[t] * local[t]), stable, masks)
            layers.append(own if not own else self._apart(t, block, own, apart[t], y[t] * (self.gains[t] * local[t])))
        return layers

    def _apart(self, t: int, block: BlockPixels, joint: Layers, apart: Mask, measured: Array) -> Layers:
        """Return the layers of date t as it has them by itself where it is apart from the others (h, w), of all dates beyond.
        measured: its intensity (h, w)."""
        inner = block.kept.inside(block.seen)
        weight = np.clip(1 - scipy.ndimage.distance_transform_edt(~apart) / (FADED + 1), 0, 1) if apart.any() else None
        if weight is None or not (weight := weight[inner]).any():
            return joint
        single, here = self.dates[t](block), apart[inner]
        if CHANGED in joint:
            single = self._levelled(t, single, joint[CHANGED] & here, measured[inner])
        mixed: Layers = {}
        for name in {**joint, **single}:
            one, other = (layers.get(name, np.zeros(here.shape, np.bool_)) for layers in (joint, single))
            if name == CHANGED:
                mixed[name] = one
            elif one.dtype == np.bool_:
                mixed[name] = np.where(here, other, one)
            else:
                mixed[name] = ((1 - weight) * one + weight * other).astype(np.float32)
        return mixed

    def _levelled(self, t: int, single: Layers, changed: Mask, measured: Array) -> Layers:
        """Return layers of date t by itself with the level of each change as it was measured: a small field that one date
        does not tell from speckle is known to be there. The mean of n pixels of L looks is known to 1 / sqrt(n L)."""
        if "mean" not in single or not changed.any():
            return single
        facts = self._facts(t)
        at, count = scipy.ndimage.label(changed, np.ones((3, 3)))
        numbers = np.arange(1, count + 1)
        own = scipy.ndimage.sum(single["mean"], at, numbers)
        level = scipy.ndimage.sum(measured / facts.median, at, numbers) / np.maximum(own, 1e-30)
        variance = self.facts.kappa / (facts.detected * scipy.ndimage.sum(changed, at, numbers))
        known = LEVEL**2 / (LEVEL**2 + variance)
        factor = np.append(1.0, np.exp(known * np.log(np.maximum(level, 1e-30))))[at]
        found = {name: x if x.dtype == np.bool_ else (x * factor).astype(np.float32) for name, x in single.items()}
        if "std" in single:
            band = self.dates[t].bands[self.numbers[t]][0]
            least = band.deviation(found["mean"] * facts.median, 1.0) * np.sqrt(np.append(0.0, variance))[at]
            std = np.where(changed & (band.domain.name == "db"), single["std"], found["std"])
            found["std"] = np.maximum(std, np.where(changed, least, 0.0)).astype(np.float32)
        return found

    def _facts(self, t: int) -> BandStatistics:
        return self.dates[t].bands[self.numbers[t]][1]

    def _date(self, t: int, block: BlockPixels) -> _DateBlock:
        single, (band, facts) = self.dates[t], self.dates[t].bands[self.numbers[t]]
        _, intensity, there, signal = band.interpret(block.values, block.valid, block.window)
        detector = single.detectors.get(self.numbers[t])
        targets = np.zeros(signal.shape, np.bool_)
        cleared = intensity
        if detector is not None and signal.any():
            targets = detector(intensity / facts.median, signal)
            if targets.any():
                cleared = np.where(targets, clutter(intensity, signal & ~targets, facts.median), intensity)
        return _DateBlock(cleared / self.gains[t], intensity, there, signal, targets)

    def _mean(self, mean: Array, share: Array, block: BlockPixels) -> tuple[NDArray[np.float64], Mask, Mask]:
        """Return draws (N, h, w) of what lies under the mean of all dates, where that was kept as measured, and where
        structure was given back. share: of all looks that a pixel has."""
        signal, nothing = share > 0, np.zeros(mean.shape, np.bool_)
        stable, cleared = nothing, mean
        if self.detector is not None:
            stable = self.detector(mean / self.facts.median, signal)
            if stable.any():
                cleared = np.where(stable, clutter(mean, signal & ~stable, self.facts.median), mean)
        out: NDArray[np.float64] | None = None
        returned = nothing
        for k, part in enumerate(FEWER):
            least = FEWER[k + 1] if k + 1 < len(FEWER) else 0.0
            here = signal & (share > least + 1e-6) & ((share <= part + 1e-6) | (k == 0))
            if not here.any():
                continue
            looks = self.facts.looks * float(share[here].mean())
            facts = replace(self.facts, looks=looks)
            speckled = SpeckledBlock(block.seen, block.band, cleared, cleared, signal, facts, stable)
            test = None if self.structure is None else replace(self.structure, looks=looks)
            draws, back = with_structure(test, self.method(speckled), speckled)
            kept = mean * _shares(len(draws), np.full(mean.shape, 1 / np.sqrt(looks)))
            draws = np.where(stable, kept, draws)
            out = np.where(here, draws, 0.0 if out is None else out)
            returned = returned | (back & here & ~stable)
        assert out is not None
        return out, stable, returned

    def _ratio(self, t: int, y: Array, signal: Mask, draws: NDArray[np.float64], block: BlockPixels) -> Array:
        """Return the draws of the mean times those of what lies under the ratio of date t to it."""
        facts, mean = self._facts(t), np.maximum(draws.mean(0), 1e-30)
        ratio = np.where(signal, y / mean, 0.0)
        middle = float(np.log(scipy.special.gammaincinv(facts.detected, 0.5) / facts.detected))
        remedy = self.facts.remedy
        of_ratio = replace(facts, looks=facts.detected, middle=middle, remedy=remedy, kappa=self.facts.kappa)
        found = self.method(SpeckledBlock(block.seen, block.band, ratio, ratio, signal, of_ratio))
        return np.where(signal, draws * found, draws)

    def _layers(
        self, t: int, block: BlockPixels, date: _DateBlock, x: Array, stable: Mask, masks: dict[str, Mask]
    ) -> Layers:
        """Return the layers of date t; x (N, h, w) are draws of its intensity in `block.seen`."""
        band, facts = self.dates[t].bands[self.numbers[t]]
        of_window, inner = block.kept.inside(block.window), block.kept.inside(block.seen)
        there, signal = date.there[block.seen.inside(block.window)], date.signal[block.seen.inside(block.window)]
        if not signal[inner].any():
            return {}
        known = (signal | alone(there, signal))[inner]
        kept, intensity = date.targets[of_window], date.measured[of_window]
        draws = np.where(known, x[(slice(None), *inner)], 0.0)
        measured = np.where(kept, intensity, np.nan)
        layers = layers_of(band, facts, draws, known, measured, keep_draws=self.keep_draws)
        found = {"kept": (kept | stable[inner]) & known}
        found |= {name: mask[inner] & known & ~found["kept"] for name, mask in masks.items()}
        return layers | {name: mask for name, mask in found.items() if mask.any()}


def _shares(count: int, deviation: Array) -> Array:
    """Return (count, h, w) factors of mean 1 and relative standard deviation `deviation`, as far as so many can have it."""
    if count == 1:
        return np.ones((1, *deviation.shape))
    z = scipy.special.ndtri((np.arange(count) + 0.5) / count)
    # Of a normal logarithm, whose variance is ln(1 + deviation^2).
    shares = np.exp(np.sqrt(np.log1p(deviation**2)) * (z / z.std(ddof=1))[:, None, None])
    return shares / shares.mean(0)
