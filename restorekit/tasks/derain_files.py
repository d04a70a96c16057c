"""Files of a deraining: OUT, what lies beside it, and the record OUT.json, all or none."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from restorekit.files.atomic import together
from restorekit.files.mask_file import written_beside
from restorekit.files.picture import Picture, output_dtype, output_span, write_json, write_picture, write_text
from restorekit.files.record import earlier, head
from restorekit.files.record import outputs as checksums
from restorekit.inference.restoration import Restoration
from restorekit.rain.morphology import Directional
from restorekit.rain.refine import Refined
from restorekit.rain.residue import Mask
from restorekit.report.derained import render
from restorekit.tasks.derain_inputs import Array
from restorekit.tasks.derain_run import DerainRun, holds
from restorekit.tasks.error_bars import write_std
from restorekit.tasks.saving import record_file


@dataclass(frozen=True, eq=False)
class DerainOrigin:
    """The source of a repaired picture: it writes the files of the command."""

    run: DerainRun
    refined: Refined

    def save(self, restoration: Restoration, path: str | os.PathLike[str]) -> list[Path]:
        """Write OUT, OUT_mask.png, of the plain derainer OUT_base, of several samples OUT_std, the page, and OUT.json; all or
        none. Returns the files. Raises `BadInput` where OUT cannot hold the picture, or the disk refuses."""
        run, target = self.run, Path(path)
        run.check_places(target)
        run.check_type(target)
        run.say_lost(target)
        # OUT.json comes last, so that who finds it finds the files whose hashes it holds.
        with together():
            written = self._write(target)
        return [*written, record_file(target)]

    def _write(self, target: Path) -> list[Path]:
        run, refined, inputs, found = self.run, self.refined, self.run.inputs, self.run.found
        outputs = run.outputs(target)
        kept = inputs.empty if inputs.derained is None else ~found.k
        like = inputs.like(target)[0]
        for text in self._write_picture(target, refined.picture, kept, like):
            run.notes(text)
        written = [target, outputs["mask"]]
        mask = found.k[None].astype(np.float32)
        shown_as = {k: v for k, v in like.info.items() if k == "orientation"}  # the mask itself has no holes
        write_picture(outputs["mask"], mask, Picture(mask, "uint8", (0.0, 255.0), info=shown_as))
        if inputs.derained is None:
            self._write_picture(outputs["base"], inputs.plain, kept, like)
            written.append(outputs["base"])
        extra: dict[str, Any] = {}
        if refined.run is not None and "std" in outputs:
            span = output_span(like, output_dtype(target, like.dtype, None))
            extra = write_std(outputs["std"], outputs["std_png"], refined.std, like, span)
            written += [outputs["std"], outputs["std_png"]]
        written = [file for path in written for file in (*written_beside(path, like.info), path)]
        known = [*written, *inputs.files.values()]
        stale, of_stale = earlier(record_file(target), known, run.beside(target).values())
        if stale:
            run.notes(f"{', '.join(stale)}: of an earlier run, not of this one")
        record = self._record(like) | extra | of_stale
        if run.page is not None:
            write_text(run.page.path, self._page(run.page.command))
            written.append(run.page.path)
        record["outputs"] = checksums(written)
        write_json(record_file(target), record)
        return written

    def _write_picture(self, path: Path, picture: Array, kept: Mask, like: Picture) -> list[str]:
        """Write a picture like B; `kept` pixels (H, W) have the values of its file, which those on [0, 1] in float32 do not hold
        to the last bit."""
        base = self.run.inputs.of_base
        low, high = like.span
        values = np.where(kept & ~base.empty, base.raw, picture.astype(np.float64) * (high - low) + low)
        if not holds(path, like):
            return write_picture(path, (values - low) / (high - low), like)
        return write_picture(path, values, replace(like, span=(0.0, 1.0)))

    def _record(self, like: Picture) -> dict[str, Any]:
        run, inputs, s = self.run, self.run.inputs, self.run.settings
        r, result, prior, masked = run.refinement, self.refined.run, run.loaded, run.inputs.mask is not None
        return {
            **head(command="derain"),
            "input": inputs.record(),
            "base": None
            if inputs.derained is not None
            else {"name": "Directional", **dataclasses.asdict(Directional())},
            "residue": None if masked else dataclasses.asdict(run.residue),
            "threshold": None if masked else run.found.threshold,
            "masked": float(run.found.k.mean()),
            "orientation": like.info.get("orientation", 1),
            "no_data": round(float(inputs.empty.mean()), 6),
            "refinement": {"sigma": r.sigma, "weight": r.weight, "first": r.first, "feather": r.feather},
            "prior": {"name": prior.spec.name, "sha256": prior.sha256},
            "device": str(run.place),
            "precision": prior.precision,
            "tile": prior.tile,
            "seed": s.seed,
            **({} if result is None else result.settings),
            "nfe": 0 if result is None else result.nfe,
            "seconds": 0.0 if result is None else round(result.seconds, 2),
        }

    def _page(self, command: str) -> str:
        run, inputs, refined = self.run, self.run.inputs, self.refined
        pictures = {"Rainy": inputs.rainy, "Derained": inputs.plain, "Repaired": refined.picture}
        pictures["Mask"] = run.found.k[None].astype(np.float32)
        r = run.refinement
        facts = [
            ("picture", f"{inputs.rainy.shape[2]} x {inputs.rainy.shape[1]} pixels"),
            ("masked", f"{run.found.k.mean():.1%}"), ("solver", run.solver_name), ("samples", str(r.samples)),
            ("prior", run.loaded.spec.name), ("weight", f"{r.weight:g}"),
        ]  # fmt: skip
        name = inputs.files["rainy"].name if "rainy" in inputs.files else inputs.name("rainy")
        return render(name, pictures, refined.picture - inputs.plain, facts, command)
