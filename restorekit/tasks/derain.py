"""Deraining: what a derainer left in a rainy picture, repaired with a prior."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch

from restorekit.files.formats import FORMATS, LOSSY
from restorekit.files.reading import Reading
from restorekit.inference.restoration import Restoration
from restorekit.notes import Notes
from restorekit.priors.find import Precision
from restorekit.rain.refine import Refined
from restorekit.report.progress import watched
from restorekit.tasks.derain_files import DerainOrigin
from restorekit.tasks.derain_inputs import DerainInputs
from restorekit.tasks.derain_run import DerainRun, Page
from restorekit.tasks.each import each_measurement
from restorekit.tasks.inputs import Source, Span
from restorekit.tasks.measurement import Progress
from restorekit.tasks.task_settings import refuse_unknown


@dataclass(frozen=True, kw_only=True)
class Deraining:
    """Settings of a deraining; the call repairs. None: what suits the derainer (`Residue`, `Refinement` and their presets).

    weak: the derained picture still shows streaks. solver: a name with settings, or "paper", which throws the masked pixels
    away. share, floor, cap, dilate: see `restorekit.rain.residue.Residue`; feather, sigma, weight, samples, steps: see
    `restorekit.rain.refine.Refinement`; sigma "none": what the derained picture shows in the mask is ignored. range: values of
    black and white. layout: axes of NPY files of three, "HWC" or "CHW". page: of a TIFF of several, from 1; of the derained picture
    and the rain too, if they have several.
    """

    range: Span | None = None
    weak: bool = False
    solver: str = "ddnm+"
    prior: str = "natural"
    samples: int | None = None
    steps: int | None = None
    share: float | None = None
    floor: float | None = None
    cap: float | None = None
    dilate: int | None = None
    feather: int | None = None
    sigma: float | Literal["none"] | None = None
    weight: float | None = None
    seed: int = 0
    device: str = "auto"
    tile: int | None = None
    precision: Precision = "auto"
    layout: str | None = None
    page: int | None = None

    def __call__(
        self,
        source: Source,
        derained: Source | None = None,
        *,
        rain: Source | None = None,
        mask: Source | None = None,
        out: str | os.PathLike[str] | None = None,
        report: Page | None = None,
        notes: Notes | None = None,
        progress: Progress | None = None,
    ) -> Restoration:
        """Repair `source`; samples (N, C, H, W) on [0, 1], their mean is the repaired picture.

        derained: the picture without rain, by a derainer; by default that of a plain one, which is weak. rain: the
        derainer's own layer of rain. mask: white where to repair, instead of the mask that the rain makes. out: where the
        result will be saved, so that what cannot be written there is refused before the network runs. report: is written with
        the result. Raises `BadInput` for settings and inputs that do not fit, with the way out.
        """
        notes = Notes() if notes is None else notes
        inputs = DerainInputs(
            source=source,
            derained=derained,
            rain=rain,
            mask=mask,
            range=self.range,
            notes=notes,
            reading=Reading(self.layout, self.page),
        )
        run = DerainRun(self, inputs, notes, report)
        run.check_settings()
        refinement = run.refinement
        if out is not None:
            run.check_places(Path(out))
        b, found = inputs.plain, run.found
        if out is not None:
            run.check_type(Path(out))
        inputs.say()
        if out is not None:
            run.say_lost(Path(out))
        prior = run.loaded
        if found.k.any():
            refinement.solver.check(refinement.problem(torch.from_numpy(b)[None], found.k | inputs.empty))
        else:
            notes(f"nothing was repaired: {run.why_nothing}")
        if derained is None:
            notes("the derainer here is a plain one and weak; give what a good one makes of IN by `derained=FILE`")
        if out is not None and FORMATS.get(Path(out).suffix.lower()) in LOSSY:
            notes(f"{out}: JPEG changes every pixel a little; .png or .tif leave those outside the mask as they were")
        told = None if progress is None else lambda done, total, _: progress(run.solver_name, done, total)
        denoise = cast(Any, prior.for_bands(len(b)))
        return _restoration(run, refinement(b, found.k, denoise, self.seed, run.place, told))


@each_measurement
def derain(
    source: Source,
    derained: Source | None = None,
    *,
    rain: Source | None = None,
    mask: Source | None = None,
    out: str | os.PathLike[str] | None = None,
    report: Page | None = None,
    notes: Notes | None = None,
    progress: Progress | bool | None = None,
    **settings: Any,
) -> Restoration:
    """Repair what a derainer left in a rainy picture; outside the mask of rain nothing changes, not by a bit.

    source, derained, rain, mask: a path, an array (H, W) or (H, W, C), a tensor (C, H, W), or a `Picture`. Settings are those
    of `Deraining`. Returns a `Restoration`, samples (N, C, H, W) on [0, 1], whose `save(path)` writes what the command writes.
    Without `notes` each note is raised as a `RestorekitNote` warning. Raises `BadInput` with the way out.

        restorekit.derain("rainy.png", "network.png").save("out.png")
    """
    told = Notes() if notes is None else notes
    refuse_unknown(settings, Deraining.__dataclass_fields__, "a deraining")
    task = Deraining(**settings)
    with watched(progress) as shown:
        result = task(source, derained, rain=rain, mask=mask, out=out, report=report, notes=told, progress=shown)
    if notes is None:
        told.warn(stacklevel=4)
    return result


def _restoration(run: DerainRun, refined: Refined) -> Restoration:
    """Return the repaired samples with what is needed to save them."""
    b, result, share = run.inputs.plain, refined.run, run.refinement.share(run.found.k)
    samples = torch.from_numpy(np.ascontiguousarray(refined.picture, np.float32))[None]
    if result is not None and len(result.samples) > 1:
        drawn = result.samples.float().cpu().numpy()
        samples = torch.from_numpy(np.where(run.found.k, b + share * (drawn - b), b).astype(np.float32))
    settings = {"masked": float(run.found.k.mean())} | ({} if result is None else result.settings)
    nfe, seconds = (0, 0.0) if result is None else (result.nfe, result.seconds)
    return Restoration(samples, nfe, seconds, settings, tuple(run.notes.texts), DerainOrigin(run, refined))
