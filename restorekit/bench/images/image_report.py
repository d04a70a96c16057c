"""What the image bench writes of its rows: Markdown, JSON, and a page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from restorekit.bench import memory
from restorekit.bench.images.image_cases import Clean, Degradation
from restorekit.bench.images.image_plan import Refused
from restorekit.bench.images.image_rows import KEYS, BenchCase, picture_file
from restorekit.bench.images.image_sets import SetDistance
from restorekit.bench.images.image_summary import Group, Row, groups, points
from restorekit.bench.journal import markdown
from restorekit.bench.machine import machine, versions
from restorekit.files.picture import read_picture, sha256, write_json, write_text
from restorekit.priors.perception.likeness import LPIPS, PriorDistance
from restorekit.report.images import GalleryEntry, ImagesPage, Plot, TaskPart, render
from restorekit.report.measurement_view import measurement_shown
from restorekit.report.table import Cell, Mean, TableColumn, text
from restorekit.text.names import NO_PICTURE

STAND_IN = "prior distance (not LPIPS)"


@dataclass(frozen=True, eq=False)
class ImagesOutcome:
    """A run: its settings, its rows as they are in the CSV, and what has no row."""

    out: Path
    command: str
    settings: Mapping[str, Any]
    tasks: Sequence[Degradation]
    pictures: Sequence[Clean]
    rows: Sequence[Row]
    refused: Sequence[Refused]
    failed: Sequence[tuple[BenchCase, str]]
    device: torch.device
    lpips: LPIPS | None
    threads: int
    ceilings: Mapping[str, float]  # of priors of latents: PSNR of clean pictures through the codec, dB

    @cached_property
    def groups(self) -> list[Group]:
        return groups(self.rows)

    def of(self, task: Degradation) -> list[Group]:
        """Return the groups of a task: solvers in the order given, each with more and more calls."""
        mine = [g for g in self.groups if g.op == task.text]
        first = list(dict.fromkeys(g.solver for g in mine))
        return sorted(mine, key=lambda g: (first.index(g.solver), g.prior, int(g.steps)))

    @property
    def perceptual(self) -> str:
        return f"lpips_{self.lpips.net}" if self.lpips else "prior_distance"

    @cached_property
    def notes(self) -> list[str]:
        label = PriorDistance.shipped().features.label
        figures = (
            "Figures are means over pictures ± their standard errors; PSNR and SSIM are of results clipped to black and "
            "white. 'Behind' is the difference in PSNR to the best of the task, picture by picture, so that how much "
            "pictures differ is not in its error."
        )
        distance = (
            f"Prior distance, lower is better: of encoder features of the shipped denoiser {label}. It is not LPIPS and was "
            "not fitted to what people see; on blur, noise and JPEG it ranks pictures about as SSIM does."
        )
        where = "of a cluster" if self.settings["scheduler"] else "at once"
        rest = (
            "Misfit: how far A x is from the measurement in deviations of the noise, 1 is expected. "
            f"Memory: {memory.meaning(self.device)}. Seconds: per sample, with {self.settings['workers']} process(es) "
            f"of {self.threads} thread(s) {where}."
        )
        found = [figures, distance, rest]
        if any(g.solver.partition(":")[0] == "smc" for g in self.groups):
            found.append("A call of smc is a batch of all its particles.")
        return found


def columns(o: ImagesOutcome, sets: SetDistance) -> dict[str, TableColumn]:
    named = {f"lpips_{o.lpips.net}": TableColumn("LPIPS", f"{o.lpips.net} backbone", 3, "low")} if o.lpips else {}
    return {
        "steps": TableColumn("levels", "noise levels of the schedule", digits=0),
        "nfe": TableColumn("calls", "network calls per sample", digits=0),
        "vjps": TableColumn("VJPs", "passes backwards through the network per sample", digits=0),
        "prior": TableColumn("prior", digits=None),
        "psnr": TableColumn("sample", "of one sample or answer", best="high", group="PSNR, dB"),
        "behind": TableColumn("behind", "difference to the best, picture by picture", group="PSNR, dB"),
        "psnr_mean": TableColumn("mean", "of the mean of the samples", best="high", group="PSNR, dB"),
        "ssim": TableColumn("sample", "of one sample or answer", 3, "high", "SSIM"),
        "ssim_mean": TableColumn("mean", "of the mean of the samples", 3, "high", "SSIM"),
        **named,
        "prior_distance": TableColumn("prior distance", "of features of the shipped prior; not LPIPS", 3, "low"),
        "residual": TableColumn("misfit", "of A x from y in deviations of the noise; expected 1", best=1.0),
        "spread_skill": TableColumn("std / error", "of the samples against the error of their mean; 1 if calibrated", best=1.0),
        "coverage": TableColumn("coverage", "share of the truth in 90 % intervals; expected 0.90", best=0.9),
        "time": TableColumn("s / sample", "seconds per sample", best="low"),
        "memory": TableColumn("MiB", memory.meaning(o.device), 0),
        "frechet": TableColumn("Fréchet", sets.name, 3, "low", "Sets"),
        "kernel": TableColumn("kernel", sets.kernel_name, 4, "low", "Sets"),
        "pictures": TableColumn("pictures", "that did not diverge", 0),
        "diverged": TableColumn("diverged", "pictures on which the run did not end in numbers", 0),
    }  # fmt: skip


def _shown(o: ImagesOutcome, row: Row) -> np.ndarray | None:
    path = picture_file(o.out, tuple(row[k] for k in KEYS))
    return read_picture(path).pixels if path.is_file() else None


def cells(o: ImagesOutcome, g: Group, best: Group | None, sets: SetDistance) -> dict[str, Cell]:
    """Return the cells of a group by the names of `columns`; None where a figure does not apply."""
    found: dict[str, Cell] = {k: v for k, v in g.means.items() if not math.isnan(v)}
    found |= {
        k: Mean(float(v), math.nan) for k in ("nfe", "vjps", "time", "memory") if (v := g.means.get(k)) is not None
    }
    if best is not None and best is not g and g.rows:
        found["behind"] = g.behind(best)
    frechet, kernel = _sets(o, g, sets)
    found |= {"frechet": frechet, "kernel": kernel}
    if not any(float(r["vjps"]) for r in o.rows if r["op"] == g.op):
        found.pop("vjps", None)
    found |= {"steps": int(g.steps), "pictures": len(g.rows), "diverged": g.diverged or None}
    if len(o.settings["priors"]) > 1:
        found["prior"] = g.prior.partition("@")[0]
    return found


def _sets(o: ImagesOutcome, g: Group, sets: SetDistance) -> tuple[float | None, float | None]:
    if sets.unavailable(len(g.rows)):
        return None, None
    truth = {p.name: p for p in o.pictures}
    pairs = [(x, truth[r["picture"]].pixels) for r in g.rows if (x := _shown(o, r)) is not None]
    eight = [np.rint(255 * t) / 255 for _, t in pairs]  # as the restored ones are kept
    return sets([x for x, _ in pairs], eight)


def _best(found: Sequence[Group]) -> Group | None:
    return max((g for g in found if g.rows), key=lambda g: g.mean("psnr"), default=None)


def write(o: ImagesOutcome, sets: SetDistance) -> None:
    """Write images.md, images.json and images.html into the folder of the run."""
    table = columns(o, sets)
    notes = list(o.notes)
    if why := sets.unavailable(len(o.pictures)):
        notes.append(f"{sets.name}: none, a distance {why}.")
    else:
        notes.append(f"Sets: {sets.name}, and {sets.kernel_name}, between the restored and the true pictures.")
    made = {task: [(g, cells(o, g, _best(o.of(task)), sets)) for g in o.of(task)] for task in o.tasks}
    write_text(o.out / "images.md", _markdown(o, table, made, notes))
    write_json(o.out / "images.json", _record(o, table, made, sets, notes))
    parts = [_part(o, task, made[task]) for task in o.tasks]
    name = ", ".join(dict.fromkeys(p.name.partition("/")[0] for p in o.pictures))
    page = ImagesPage(name, o.command, _facts(o), table, parts, notes)
    write_text(o.out / "images.html", render(page))


def _facts(o: ImagesOutcome) -> list[tuple[str, str]]:
    size = "whole" if not o.settings["crop"] else f"{o.settings['crop']} × {o.settings['crop']} from the middle"
    facts = [
        ("pictures", f"{len(o.pictures)}, {size}"),
        ("samples", f"{o.settings['samples']} per sampler, seed {o.settings['seed']}"),
    ]
    facts.append(("prior", ", ".join(dict.fromkeys(g.prior for g in o.groups))))
    for label, ceiling in o.ceilings.items():
        facts.append((f"codec of {label}", f"{ceiling:.2f} dB, the clean pictures through it alone"))
    facts.append(("run on", f"{machine(o.device)}; {', '.join(dict.fromkeys(g.device for g in o.groups))}"))
    return [*facts, ("versions", ", ".join(f"{k} {v}" for k, v in versions().items()))]


def left_out(o: ImagesOutcome, task: Degradation) -> list[tuple[str, str]]:
    """Return what has no row, and why; what failed on several pictures is said once."""
    found = [(r.what, r.reason) for r in o.refused if r.op == task.text]
    failed = dict.fromkeys((f"{j.solver} ({j.steps} levels)", why) for j, why in o.failed if j.task == task)
    return [*found, *((name, f"failed: {why}") for name, why in failed)]


def _label(g: Group) -> str:
    return g.solver


def _part(o: ImagesOutcome, task: Degradation, made: Sequence[tuple[Group, dict[str, Cell]]]) -> TaskPart:
    first = next((p for p in o.pictures if any(r["picture"] == p.name for g, _ in made for r in g.rows)), None)
    entries = []
    for g, found in made:
        row = next((r for r in g.rows if first is not None and r["picture"] == first.name), None)
        note = f"{g.means['nfe']:.0f} calls · {float(row['psnr']):.2f} dB" if row else ""
        entries.append(GalleryEntry(_label(g), found, _shown(o, row) if row else None, note))
    shown = []
    if first is not None:
        problem = task.measure(first.pixels, first.name, o.settings["seed"])
        measured, note = measurement_shown(problem, task.op.partition(":")[0] in NO_PICTURE)
        shown = [(f"Measurement{f', {note}' if note else ''}", measured), ("Truth", first.pixels)]
    plots = []
    fine = [g for g, _ in made]
    perceptual = "LPIPS" if o.lpips else STAND_IN
    quality = "PSNR of one sample, dB" if o.settings["samples"] > 1 else "PSNR, dB"
    for column, y, high in (("psnr", quality, True), (o.perceptual, perceptual, False)):
        for x, name in (("nfe", "network calls"), ("time", "seconds per sample")):
            found = points(fine, x, column) if any(g.rows for g in fine) else []
            plots += [Plot(found, name, y, high)] if len(found) > 1 else []
    return TaskPart(task.text, entries, plots, left_out(o, task), shown, first.name if first else "")


def _markdown(
    o: ImagesOutcome,
    table: Mapping[str, TableColumn],
    made: Mapping[Degradation, Sequence[tuple[Group, dict[str, Cell]]]],
    notes: Sequence[str],
) -> str:
    parts = ["# Solvers on pictures", f"`{o.command}`", *(f"{k.capitalize()}: {v}." for k, v in _facts(o)), *notes]
    for task, entries in made.items():
        keys = [k for k in table if any(found.get(k) is not None for _, found in entries)]
        head = [f"{table[k].group} {table[k].label}".strip() for k in keys]
        body = [[_label(g), *(text(found.get(k), table[k].digits) for k in keys)] for g, found in entries]
        parts += [f"## {task.text}", markdown(["solver", *head], body)]
        parts += [f"- {name}: {why}" for name, why in left_out(o, task)]
    return "\n\n".join(parts) + "\n"


def _record(
    o: ImagesOutcome, table: Mapping[str, TableColumn], made: Mapping[Degradation, Sequence[tuple[Group, dict[str, Cell]]]],
    sets: SetDistance, notes: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    def numbers(found: Mapping[str, Cell]) -> dict[str, Any]:
        values = {k: found.get(k) for k in table}
        errors = {f"{k}_error": v.error for k, v in values.items() if isinstance(v, Mean) and math.isfinite(v.error)}
        return {k: float(v) if isinstance(v, Mean) else v for k, v in values.items() if v is not None} | errors

    return {
        **versions(), "command": o.command, "machine": machine(o.device), "settings": {k: _plain(v) for k, v in o.settings.items()},
        "threads": o.threads, "codec_psnr": dict(o.ceilings), "columns": {k: c.note or c.label for k, c in table.items()}, "frechet_is": sets.name,
        "kernel_is": sets.kernel_name, "notes": list(notes),
        "pictures": {p.name: {"sha256": sha256(p.path)} for p in o.pictures},
        "results": [
            {**{k: getattr(g, k) for k in ("op", "crop", "solver", "prior", "seed", "samples", "device")}, **numbers(found)}
            for entries in made.values() for g, found in entries
        ],
        "left_out": [{"op": task.text, "what": w, "reason": why} for task in o.tasks for w, why in left_out(o, task)],
    }  # fmt: skip


def _plain(value: Any) -> Any:
    return (
        [_plain(v) for v in value]
        if isinstance(value, list | tuple)
        else str(value)
        if isinstance(value, Path)
        else value
    )
