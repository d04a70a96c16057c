"""The result of a despeckling: a `Restoration` that holds a scene of any size, in memory or in the files that were written."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restorekit.despeckling.cost import calls_of
from restorekit.despeckling.kept import MASK
from restorekit.despeckling.page import judged, middle
from restorekit.despeckling.plan import DespecklePlan, beside
from restorekit.errors import BadInput
from restorekit.files.bands import Window
from restorekit.files.overwrite import overwriting
from restorekit.files.picture import write_text
from restorekit.files.scene import Scene, scene_of
from restorekit.inference.restoration import Restoration
from restorekit.metrics.fidelity import interval_coverage
from restorekit.notes import Notes
from restorekit.report.panels import Panel, Panelled
from restorekit.scenes.blend import BlendedScene, Form
from restorekit.scenes.outputs import losses
from restorekit.tasks.inputs import bands_first

SHOWN = 512  # pixels, side of the middle of a scene that `plot` and a notebook show


class DespeckledScene(Panelled, Restoration):
    """A despeckled scene, a `Restoration` in the unit of the input: in memory, or in the `files` that were written.

    `mean` is that of the draws in linear power, `std` their standard deviation, both (C, H, W) float32, NaN where nothing was
    measured; `samples` (N, C, H, W) are the draws, point targets in each as measured. They are put together, or read from the
    files, when they are asked for; files hold no draws. nfe: network calls per draw, of all blocks.
    """

    plan: DespecklePlan
    files: tuple[Path, ...]  # that were written block by block; none of a scene in memory

    def __init__(
        self,
        plan: DespecklePlan,
        told: Notes,
        seconds: float,
        scene: BlendedScene | None = None,
        files: tuple[Path, ...] = (),
    ):
        s, job = plan.settings, plan.job
        settings = {"solver": s.text, "samples": s.draws, "seed": s.seed, "looks": s.looks, "block": job.grid.side}
        vars(self).update(
            plan=plan, files=files, nfe=calls_of(job) * len(plan.keys) if plan.keys else 0, seconds=seconds, settings=settings,
            notes=tuple(told.texts), _told=told, _scene=scene,
        )  # fmt: skip

    def __getattr__(self, name: str) -> Any:
        if name != "samples":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        vars(self)["samples"] = found = self._samples()
        return found

    def _samples(self) -> Tensor:
        if self.plan.settings.draws == 1:
            return self.mean[None]
        if self._scene is None:
            raise BadInput(
                f"{self.files[0].name} was written block by block, and its draws are not kept; leave out `out`, with `preview` for "
                "a part, to have them"
            )
        return torch.stack([self._layer(name) for name in self.plan.drawn])

    @property
    def mean(self) -> Tensor:
        """Return (C, H, W) in the unit of the input: means of the draws in linear power; NaN where nothing was measured."""
        return self._layer("mean")

    @property
    def std(self) -> Tensor:
        """Return (C, H, W): standard deviation of the draws, in the unit of the input. Raises `BadInput` where there is one answer."""
        if "std" not in self.plan.layers:
            raise BadInput("one answer has no deviation; take several `samples` of a solver that draws them")
        return self._layer("std")

    @property
    def mask(self) -> Tensor:
        """Return (C, H, W): 1 where a point target was kept as measured, 2 where structure was given back, else 0; NaN where
        nothing was measured. Raises `BadInput` where it was not asked for."""
        if MASK not in self.plan.layers:
            raise BadInput("the mask was not asked for; take `mask=True`")
        return self._layer(MASK)

    def coverage(self, truth: Tensor | np.ndarray | str | os.PathLike[str], level: float = 0.9) -> float:
        """Return the share of the values of `truth` inside the interval of `level` that `mean` and `std` predict.

        truth: in the unit of the input, a path, an array (H, W), (H, W, C) or (C, H, W), or a tensor (C, H, W); what is NaN there
        or was not measured does not count. Raises `BadInput` for one answer,
        a level that is no share, or another shape.
        """
        if not 0 < level < 1:
            raise BadInput(f"level={level:g} must lie between 0 and 1", argument="level")
        mean, std = (x.double().numpy() for x in (self.mean, self.std))
        if isinstance(truth, str | os.PathLike):
            expected = _whole(scene_of(Path(truth), self.plan.settings.reading))
        elif isinstance(truth, np.ndarray) and truth.shape == mean.shape:
            expected = truth
        else:
            expected = bands_first(truth)[0]
        return interval_coverage(mean, std, self.plan.settings.draws, expected.astype(np.float64), level)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = True) -> list[Path]:
        """Write the files that the command writes, and return the pictures: `path`, and PATH_std of several samples.

        overwrite: whether files are replaced that are no results of restorekit. Raises `BadInput` where they are not to be,
        where `path` cannot hold them, or the result is in another file already.
        """
        target = Path(path)
        if self._scene is None:
            if target != self.plan.target:
                raise BadInput(f"the result is in {self.plan.target}; copy it from there")
            return list(self.files)
        for text in losses(self.plan.scene, target):
            self._told(text)
        with overwriting(overwrite):
            files = self.plan.save(self._scene, target, getattr(self.plan.settings, "interop_snap", False))
        note_stale(self.plan, target, self._told)
        vars(self)["notes"] = tuple(self._told.texts)
        return files

    def save_page(self, path: Path, command: str) -> bool:
        """Write a page with pictures, the ratio and figures of the files that were written; `command` stands on it.

        Returns whether there is anything to judge the scene by; `notes` say why not.
        """
        if not self.plan.bands:
            return False
        page, why = judged(self.plan, command)
        if page is None:
            self._told(why)
            return False
        write_text(path, page)
        return True

    def panels(self) -> list[Panel]:
        """Return the middle of the first band: amplitudes measured and restored on one scale, and the deviation."""
        if not self.plan.bands:
            return []
        number, (band, _) = next(iter(self.plan.bands.items()))
        part = self.plan.preview or self.plan.scene.whole
        at = middle(part.height, part.width, SHOWN)
        there = Window(part.top + at.top, part.left + at.left, at.height, at.width)
        with self.plan.scene.opened() as source:
            _, measured, _, signal = band.read(source, there)
        restored = band.back(self._window("mean", number, there), there)
        amplitudes = [np.sqrt(np.where(signal, x, np.nan)) for x in (measured, restored)]
        low, high = (float(v) for v in np.nanpercentile(amplitudes[0], (1, 99))) if signal.any() else (0.0, 1.0)
        shown = "" if (at.height, at.width) == (part.height, part.width) else f", the middle {at.height} x {at.width}"
        panels = [
            Panel(f"{name}{shown}", ((x - low) / (high - low or 1.0))[None])
            for name, x in zip(("measured", "restored"), amplitudes)
        ]
        if "std" in self.plan.layers:
            panels.append(Panel("standard deviation", self._window("std", number, there)))
        return panels

    def __repr__(self) -> str:
        part = self.plan.preview or self.plan.scene.whole
        where = "in memory" if self._scene is not None else f"in {', '.join(map(str, self.files))}"
        counts = {"sample": self.plan.settings.draws, "network call": self.nfe, "note": len(self.notes)}
        draws, calls, *notes = (f"{n} {what}{'s' * (n != 1)}" for what, n in counts.items() if n or what != "note")
        head = f"{self.plan.scene.count}x{part.height}x{part.width} {where}"
        return f"DespeckledScene({', '.join([head, draws, self.plan.settings.text, calls, f'{self.seconds:.1f} s', *notes])})"

    def _layer(self, layer: str) -> Tensor:
        """Return a whole layer (C, H, W) float32."""
        if self._scene is not None:
            return torch.from_numpy(self.plan.array(self._scene, layer))
        return torch.from_numpy(_whole(scene_of(self.files[self.plan.layers.index(layer)])))

    def _window(self, layer: str, number: int, there: Window) -> NDArray[np.float64]:
        """Return a layer (h, w) of a band in a window of the scene, NaN where nothing is known."""
        if self._scene is not None:
            with self.plan.scene.opened() as source:
                return replace(self._scene, part=there).array(source, number, layer, Form("float64", math.nan))
        part = self.plan.preview or self.plan.scene.whole
        with scene_of(self.files[self.plan.layers.index(layer)]).opened() as source:
            x, valid = source.read(
                Window(there.top - part.top, there.left - part.left, there.height, there.width), number
            )
        return np.where(valid, x, np.nan).astype(np.float64)


def _whole(scene: Scene) -> NDArray[np.float32]:
    """Return all bands (C, H, W) of a file, NaN where nothing was measured."""
    with scene.opened() as source:
        bands = [source.read(scene.whole, number) for number in range(1, scene.count + 1)]
    return np.stack([np.where(valid, x, np.nan).astype(np.float32) for x, valid in bands])


def note_stale(plan: DespecklePlan, target: Path, notes: Notes) -> None:
    """Note what an earlier run left beside a result that has no such file."""
    for layer in ("std", MASK):
        stale = beside(target, layer)
        if layer not in plan.layers and stale.exists():
            notes(f"{stale} is of an earlier run, not of this one")
