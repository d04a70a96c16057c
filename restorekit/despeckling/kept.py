"""Some pixels are not left to the solver alone: point targets stay as measured, structure is given back, and of several dates
what changed is told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
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

KEPT, RETURNED, CHANGED = "kept", "returned", "changed"  # masks among the layers of a block
VALUES = {KEPT: 1, RETURNED: 2, CHANGED: 3}  # of the pixels of OUT_mask; all others are 0
MASK = "mask"  # the layer of these


def detectors(settings: Settings, bands: dict[int, BandStatistics], shared: int = 1) -> dict[int, Detector]:
    """Return the test for point targets of each band; shared: bands that share one rate of false alarms, as what is a target in
    one of them is one in all."""
    if settings.targets is None:
        return {}
    targets = settings.targets
    if shared > 1:
        targets = replace(targets, false_alarms=targets.false_alarms / shared)
    return {number: targets.fitted(facts.detected, facts.grain) for number, facts in bands.items()}


def ratio_tests(settings: Settings, bands: dict[int, BandStatistics]) -> dict[int, RatioTest]:
    """Return the test of the ratio image of each band, none of methods that are taken as they are published."""
    if settings.structure is None or not settings.structured:
        return {}
    return {number: settings.structure.fitted(facts.detected, facts.grain) for number, facts in bands.items()}


@dataclass(frozen=True, eq=False)
class KeptPixels:
    """It counts the pixels of the masks in a scene whose blocks are finished."""

    settings: Settings
    bands: tuple[int, ...]  # from 1
    changes: float | None = None  # rate of false alarms of the test for changes between dates; None without one

    def pixels(self, scene: BlendedScene, mask: str) -> dict[int, int]:
        """Return the number of pixels of a mask by band; {} where it was not asked for."""
        s = self.settings
        asked = {
            KEPT: s.targets is not None, RETURNED: s.structure is not None and s.structured, CHANGED: self.changes is not None,
        }  # fmt: skip
        return {number: scene.count(number, mask) for number in self.bands} if asked[mask] else {}

    def said(self, scene: BlendedScene) -> list[str]:
        """Return what is to be said of them."""
        texts = {KEPT: self._kept, RETURNED: self._returned, CHANGED: self._changed}
        found = ((texts[mask], self.pixels(scene, mask)) for mask in VALUES)
        return [f"band {number}: {text(n)}" for text, counts in found for number, n in counts.items() if n]

    def record(self, scene: BlendedScene) -> dict[str, Any]:
        """Return the numbers for the record."""
        kept, returned, changed = (
            {str(number): count for number, count in self.pixels(scene, mask).items()} for mask in VALUES
        )
        found: dict[str, Any] = {"targets_kept": kept, "structure_returned": returned}
        return found if self.changes is None else found | {"changed": changed}

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

    def _changed(self, count: int) -> str:
        what = "1 pixel differs" if count == 1 else f"{count} pixels differ"
        return f"{what} from the other dates by more than speckle (false alarms: {self.changes:g} of all pixels); change kept"


def with_structure(test: RatioTest | None, draws: Array, block: SpeckledBlock) -> tuple[Array, Mask]:
    """Return the draws (N, h, w) of a block with what left all of them, and where that is (h, w).

    How much is given back is as uncertain as a mean over so many looks, so each draw gets another share of it, their mean
    being 1.
    """
    return with_structure_of_all(test, [draws], [block])[0]


def with_structure_of_all(
    test: RatioTest | None, draws: Sequence[Array], blocks: Sequence[SpeckledBlock]
) -> list[tuple[Array, Mask]]:
    """Return what `with_structure` does for each polarisation of a block, by one test of all of them."""
    if test is None:
        return [(x, np.zeros(block.signal.shape, np.bool_)) for x, block in zip(draws, blocks, strict=True)]
    measured = np.stack([block.measured for block in blocks])
    means = [np.maximum(x.mean(0), 1e-30) for x in draws]
    ratio = np.stack([block.intensity / mean for block, mean in zip(blocks, means, strict=True)])
    found = test(np.where(measured, ratio, 1.0), measured)
    out = []
    for x, factor, deviation in zip(draws, found.factor, found.deviation, strict=True):
        if len(x) > 1:
            z = scipy.special.ndtri((np.arange(len(x)) + 0.5) / len(x))
            shares = np.exp(deviation * (z / z.std(ddof=1))[:, None, None])
            out.append((x * factor * shares / shares.mean(0), deviation > 0))
        else:
            out.append((x * factor, deviation > 0))
    return out


def identity(settings: Settings) -> dict[str, Any]:
    """Return the settings of both tests, which a result depends on."""
    s = settings
    return {
        "targets": None if s.targets is None else asdict(s.targets),
        "structure": None if s.structure is None or not s.structured else asdict(s.structure),
    }


def values(square: Square) -> Array:
    """Return `VALUES` of a square, (h, w); where blocks are faded into each other the one that weighs more counts."""
    out = np.zeros((square.window.height, square.window.width))
    for mask in reversed(VALUES):
        out = np.where(square.blended(mask) > 0.5, VALUES[mask], out)
    return out
