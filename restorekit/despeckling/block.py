"""One block of a radar scene is despeckled by the operation that the blocks of `restorekit.scenes` are treated with."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy

from restorekit.despeckling.kept import MASK, values, with_structure
from restorekit.despeckling.methods import BlockMethod, SpeckledBlock
from restorekit.despeckling.radar_band import RadarBand
from restorekit.despeckling.survey import BandStatistics
from restorekit.files.bands import Window
from restorekit.sar.looks import Array, Mask
from restorekit.sar.structure import RatioTest
from restorekit.sar.targets import Detector, clutter
from restorekit.scenes.block_store import Layers
from restorekit.scenes.operation import BlockPixels, Square

NEIGHBOURS = 6  # with a signal, that make what they surround one of them


@dataclass(frozen=True, eq=False)
class BlockDespeckling:
    """Despeckle one block of a band.

    Layers: "mean", intensities over the median of the band; "std", of several samples, in the numbers of the file; "kept",
    a mask of point targets, which stay as measured; "returned", a mask of structure that is given back. They are 0 where there is no signal, but for pixels `alone` in one.
    """

    bands: dict[int, tuple[RadarBand, BandStatistics]]  # by number, from 1
    method: BlockMethod
    detectors: dict[int, Detector] = field(default_factory=dict)  # of point targets, by band; without one none are kept
    structure: dict[int, RatioTest] = field(default_factory=dict)  # by band; without one nothing is given back
    keep_draws: bool = False  # layers "draw1", "draw2" ... too, like "mean"

    @property
    def margin(self) -> int:
        """Return the pixels around a block that it needs."""
        return max((detector.halo for detector in self.detectors.values()), default=0)

    def __call__(self, block: BlockPixels) -> Layers:
        """Return the layers of a block, (h, w) float32 of `block.kept`; {} where it has no signal."""
        band, facts = self.bands[block.band]
        every = band.interpret(block.values, block.valid, block.window)
        at = block.seen.inside(block.window)
        raw, intensity = np.ascontiguousarray(every[0][at]), np.ascontiguousarray(every[1][at])
        there, signal = np.ascontiguousarray(every[2][at]), np.ascontiguousarray(every[3][at])
        inner = block.kept.inside(block.seen)
        if not signal[inner].any():
            return {}
        targets, level = self._targets(block, every[1], every[3])
        cleared = np.where(targets, level, intensity)
        if raw.dtype.kind == "c":
            factor = np.sqrt(cleared / np.where(targets, intensity, 1.0))
            raw = np.where(targets, np.where(targets, raw, 0) * factor, raw)
        speckled = SpeckledBlock(block.seen, block.band, raw, cleared, signal, facts, targets)
        draws, returned = with_structure(self.structure.get(block.band), self.method(speckled), speckled)
        draws, returned = draws[(slice(None), *inner)], returned[inner]
        known = (signal | alone(there, signal))[inner]
        draws = np.where(known, draws, 0.0)
        kept, intensity = targets[inner], intensity[inner]
        layers = layers_of(band, facts, draws, known, np.where(kept, intensity, np.nan), keep_draws=self.keep_draws)
        masks = {"kept": kept, "returned": returned & known & ~kept}
        return layers | {name: mask for name, mask in masks.items() if mask.any()}

    def numbers(self, square: Square, layer: str) -> tuple[Array, Mask] | None:
        """Return a layer in the numbers of the file, and where something was measured.

        Pixels without a signal, of which the blocks say nothing, have the floor of the band, and no deviation; those below 0, of
        a power less its noise, stay as they are, so that a mean over an area keeps what they take from it.
        """
        band, facts = self.bands[square.band]
        _, _, there, signal = band.interpret(square.values, square.valid, square.window)
        if not there.any():
            return None
        if layer == MASK:
            return values(square), there
        intensity = square.blended(layer)
        if layer == "std":
            return intensity, signal | (there & (square.blended("mean") > 0))
        numbers = band.numbers(np.where(intensity > 0, intensity * facts.median, facts.floor), square.window)
        stays = band.negative(square.values, there) & ~(intensity > 0)
        return np.where(stays, square.values, numbers) if stays.any() else numbers, there

    def _targets(self, block: BlockPixels, intensity: Array, signal: Mask) -> tuple[Mask, Array]:
        """Return point targets (h, w) of `block.seen` and the level of clutter there; intensity and signal are of
        `block.window`.

        They are the same for a pixel whatever the block that it is seen in.
        """
        detector, (_, facts), seen = self.detectors.get(block.band), self.bands[block.band], block.seen
        nothing = np.zeros((seen.height, seen.width))
        if detector is None:
            return nothing > 0, nothing
        halo = detector.halo
        reach = Window(seen.top - halo, seen.left - halo, seen.height + 2 * halo, seen.width + 2 * halo)
        around = reach.common(block.window)
        assert around is not None
        part, inner = around.inside(block.window), seen.inside(around)
        intensity, signal = np.ascontiguousarray(intensity[part]), np.ascontiguousarray(signal[part])
        targets = detector(intensity / facts.median, signal)
        if not targets[inner].any():
            return nothing > 0, nothing
        return targets[inner], clutter(intensity, signal & ~targets, facts.median)[inner]


def layers_of(
    band: RadarBand, facts: BandStatistics, draws: Array, known: Mask, measured: Array, *, keep_draws: bool
) -> Layers:
    """Return the layers "mean", and of several draws "std" and, where asked for, each draw; draws are (N, h, w) intensities.

    measured: (h, w), the intensity of pixels that stay as measured, with the deviation of speckle; NaN for all others.
    """
    kept = ~np.isnan(measured)
    layers: Layers = {"mean": (np.where(kept, measured, draws.mean(0)) / facts.median).astype(np.float32)}
    if len(draws) > 1:
        std = spread(band, draws, known)
        of_speckle = band.deviation(np.where(kept, measured, 1.0), facts.detected)
        layers["std"] = np.where(kept, of_speckle, std).astype(np.float32)
    if len(draws) > 1 and keep_draws:
        layers |= {
            draw_layer(i): (np.where(kept, measured, x) / facts.median).astype(np.float32) for i, x in enumerate(draws)
        }
    return layers


def draw_layer(index: int) -> str:
    """Return the name of the layer of a draw, counted from 0."""
    return f"draw{index + 1}"


def spread(band: RadarBand, draws: Array, known: Mask) -> np.ndarray:
    """Return the deviation (h, w) of draws (N, h, w) of the intensity in the numbers of the file, 0 where it is not known."""
    values = band.numbers(np.where(known, draws, 1.0))
    return np.where(known, values.std(0, ddof=1), 0.0).astype(np.float32)


def alone(there: Mask, signal: Mask) -> Mask:
    """Return (h, w), True where a pixel was measured without a signal, as speckle may be, and most of the eight
    neighbours have one."""
    if there.all() and signal.all():
        return np.zeros_like(signal)
    beside = scipy.ndimage.convolve(signal.astype(np.int8), np.ones((3, 3), np.int8), mode="constant")
    return there & ~signal & (beside >= NEIGHBOURS)
