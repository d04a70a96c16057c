"""One block of a radar scene is despeckled by the operation that the blocks of `restorekit.scenes` are treated with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

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
class ReadBlock:
    """A block of a band as it is read: numbers of the file, intensities, where measured and where above 0, each (h, w) of
    `block.window`, and its point targets, (h, w) of `around`."""

    block: BlockPixels
    raw: NDArray[Any]
    intensity: Array
    there: Mask
    signal: Mask
    around: Window
    targets: Mask


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
        if (read := self.read(block)) is None:
            return {}
        speckled = self.cleared(read)
        draws, returned = with_structure(self.structure.get(block.band), self.method(speckled), speckled)
        return self.layers(read, speckled, draws, returned)

    def read(self, block: BlockPixels) -> ReadBlock | None:
        """Return a block as intensities, with its point targets; None where it has no signal."""
        every = self.bands[block.band][0].interpret(block.values, block.valid, block.window)
        signal = every[3][block.kept.inside(block.window)]
        if not signal.any():
            return None
        around, targets = self._targets(block, every[1], every[3])
        return ReadBlock(block, *every, around, targets)

    def cleared(self, read: ReadBlock) -> SpeckledBlock:
        """Return what a method takes, the level of clutter in the place of point targets. That and the targets are the same for
        a pixel whatever the block that it is seen in."""
        block, (_, facts) = read.block, self.bands[read.block.band]
        at, part, inner = (
            block.seen.inside(block.window),
            read.around.inside(block.window),
            block.seen.inside(read.around),
        )
        raw, intensity = np.ascontiguousarray(read.raw[at]), np.ascontiguousarray(read.intensity[at])
        signal, targets = np.ascontiguousarray(read.signal[at]), read.targets[inner]
        level = np.zeros(targets.shape)
        if targets.any():
            of_part = np.ascontiguousarray(read.intensity[part]), np.ascontiguousarray(read.signal[part])
            level = clutter(of_part[0], of_part[1] & ~read.targets, facts.median)[inner]
        cleared = np.where(targets, level, intensity)
        if raw.dtype.kind == "c":
            factor = np.sqrt(cleared / np.where(targets, intensity, 1.0))
            raw = np.where(targets, np.where(targets, raw, 0) * factor, raw)
        return SpeckledBlock(block.seen, block.band, raw, cleared, signal, facts, targets)

    def layers(self, read: ReadBlock, speckled: SpeckledBlock, draws: Array, returned: Mask) -> Layers:
        """Return the layers of draws (N, h, w) of `block.seen`, of which `returned` were given back."""
        block, (band, facts) = read.block, self.bands[read.block.band]
        inner, of_window = block.kept.inside(block.seen), block.kept.inside(block.window)
        there, signal = np.ascontiguousarray(read.there[block.seen.inside(block.window)]), speckled.signal
        draws, returned = draws[(slice(None), *inner)], returned[inner]
        known = (signal | alone(there, signal))[inner]
        draws = np.where(known, draws, 0.0)
        assert speckled.targets is not None
        kept, intensity = speckled.targets[inner], read.intensity[of_window]
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

    def _targets(self, block: BlockPixels, intensity: Array, signal: Mask) -> tuple[Window, Mask]:
        """Return a window around `block.seen` and point targets (h, w) in it; intensity and signal are of `block.window`."""
        detector, (_, facts), seen = self.detectors.get(block.band), self.bands[block.band], block.seen
        if detector is None:
            return seen, np.zeros((seen.height, seen.width), np.bool_)
        halo = detector.halo
        reach = Window(seen.top - halo, seen.left - halo, seen.height + 2 * halo, seen.width + 2 * halo)
        around = reach.common(block.window)
        assert around is not None
        part = around.inside(block.window)
        return around, detector(
            np.ascontiguousarray(intensity[part]) / facts.median, np.ascontiguousarray(signal[part])
        )


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
