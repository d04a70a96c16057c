"""Some pixels are not left to the solver alone: point targets stay as measured, and structure is given back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy

from restorekit.despeckling.methods import SpeckledBlock
from restorekit.despeckling.settings import Settings
from restorekit.despeckling.survey import BandStatistics
from restorekit.sar.looks import Mask
from restorekit.sar.structure import RatioTest
from restorekit.sar.targets import Detector
from restorekit.scenes.blend import BlendedScene
from restorekit.scenes.operation import Array, Square

KEPT, RETURNED = "kept", "returned"  # masks among the layers of a block
VALUES = {KEPT: 1, RETURNED: 2}  # of the pixels of OUT_mask; all others are 0
MASK = "mask"  # the layer of these


def detectors(settings: Settings, bands: dict[int, BandStatistics]) -> dict[int, Detector]:
    """Return the test for point targets of each band."""
    if settings.targets is None:
        return {}
    return {number: settings.targets.fitted(facts.detected, facts.grain) for number, facts in bands.items()}


def ratio_tests(settings: Settings, bands: dict[int, BandStatistics]) -> dict[int, RatioTest]:
    """Return the test of the ratio image of each band, none of methods that are taken as they are published."""
    if settings.structure is None or not settings.structured:
        return {}
    return {number: settings.structure.fitted(facts.detected, facts.grain) for number, facts in bands.items()}


@dataclass(frozen=True, eq=False)
class KeptPixels:
    """It counts the pixels of both masks in a scene whose blocks are finished."""

    settings: Settings
    bands: tuple[int, ...]  # from 1

    def pixels(self, scene: BlendedScene, mask: str) -> dict[int, int]:
        """Return the number of pixels of a mask by band; {} where it was not asked for."""
        s = self.settings
        asked = s.targets is not None if mask == KEPT else s.structure is not None and s.structured
        return {number: scene.count(number, mask) for number in self.bands} if asked else {}

    def said(self, scene: BlendedScene) -> list[str]:
        """Return what is to be said of them."""
        texts = {KEPT: self._kept, RETURNED: self._returned}
        found = ((texts[mask], self.pixels(scene, mask)) for mask in VALUES)
        return [f"band {number}: {text(n)}" for text, counts in found for number, n in counts.items() if n]

    def record(self, scene: BlendedScene) -> dict[str, Any]:
        """Return the numbers for the record."""
        kept, returned = ({str(number): count for number, count in self.pixels(scene, mask).items()} for mask in VALUES)
        return {"targets_kept": kept, "structure_returned": returned}

    def _kept(self, count: int) -> str:
        assert self.settings.targets is not None
        what, whose = ("1 pixel", "its") if count == 1 else (f"{count} pixels", "their")
        rate = self.settings.targets.false_alarms
        return f"{what} cannot be speckle of {whose} surroundings (false alarms: {rate:g} per pixel); kept as measured"

    def _returned(self, count: int) -> str:
        assert self.settings.structure is not None
        what = "1 pixel lies" if count == 1 else f"{count} pixels lie"
        solver, rate = self.settings.solver.partition(":")[0], self.settings.structure.false_alarms
        return (
            f"{what} on lines or small fields that {solver} took for speckle, as the ratio image shows (false alarms: "
            f"{rate:g} per pixel); given back"
        )


def with_structure(test: RatioTest | None, draws: Array, block: SpeckledBlock) -> tuple[Array, Mask]:
    """Return the draws (N, h, w) of a block with what left all of them, and where that is (h, w).

    How much is given back is as uncertain as a mean over so many looks, so each draw gets another share of it, their mean
    being 1.
    """
    if test is None:
        return draws, np.zeros(block.signal.shape, np.bool_)
    x = np.maximum(draws.mean(0), 1e-30)
    found = test(np.where(block.measured, block.intensity / x, 1.0), block.measured)
    if len(draws) == 1:
        return draws * found.factor, found.mask
    z = scipy.special.ndtri((np.arange(len(draws)) + 0.5) / len(draws))
    shares = np.exp(found.deviation * (z / z.std(ddof=1))[:, None, None])
    return draws * found.factor * shares / shares.mean(0), found.mask


def identity(settings: Settings) -> dict[str, Any]:
    """Return the settings of both tests, which a result depends on."""
    s = settings
    return {
        "targets": None if s.targets is None else asdict(s.targets),
        "structure": None if s.structure is None or not s.structured else asdict(s.structure),
    }


def values(square: Square) -> Array:
    """Return `VALUES` of a square, (h, w); where blocks are faded into each other the one that weighs more counts."""
    kept, returned = (square.blended(mask) > 0.5 for mask in VALUES)
    return np.where(kept, VALUES[KEPT], np.where(returned, VALUES[RETURNED], 0)).astype(np.float64)
