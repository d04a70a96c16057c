"""The bench of peers writes its rows as Markdown and a page. All tables are one description, rendered twice."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from restorekit.bench.peers.peer import Peer
from restorekit.bench.peers.peer_rows import EXAM, NUMBERS, OURS, PIXELS, Row
from restorekit.files.picture import write_text
from restorekit.report.images import GalleryEntry, ImagesPage, TaskPart, render
from restorekit.report.table import Cell, Mean, TableColumn, text
from restorekit.report.text_tables import markdown, uncertain

BEST = "the nearest of theirs, exam by exam"
SHOWN = 4  # cells named in a verdict
AIMS = {"W2": ("w2", 0.0), "spread": ("spread_measured", 1.0), "spread unmeasured": ("spread_unmeasured", 1.0),
        "coverage": ("coverage_measured", 0.9), "coverage unmeasured": ("coverage_unmeasured", 0.9)}  # fmt: skip

COLUMNS = {
    "library": TableColumn("library", digits=None), "version": TableColumn("version", digits=None),
    "licence": TableColumn("licence", digits=None), "settings": TableColumn("settings", digits=None),
    "ran": TableColumn("ran", "rows with figures", 0), "refused": TableColumn("refused", "rows that the method does not take", 0),
    "failed": TableColumn("failed", "rows in which the library raised", 0),
    "against": TableColumn("against", digits=None), "cells": TableColumn("cells", "exams that both took", 0),
    **{f"worse {n}": TableColumn(n, "cells further off by more than two standard errors", 0, group="ours worse in") for n in AIMS},
    "better W2": TableColumn("W2", "cells nearer by more than two standard errors", 0, group="ours better in"),
    "worst": TableColumn(f"worst cells of W2, {SHOWN} at most: ours, theirs", digits=None),
    "passes": TableColumn("passes", "pictures through the denoiser per sample, forward and backward alike", 0),
    "backward": TableColumn("backward", "of the passes", 0),
    "last": TableColumn("last level", "the least noise level that the denoiser was asked at", 5),
    "time": TableColumn("ms / sample", "CPU", 1, "low"),
    "bias": TableColumn("bias", "signed, of the mean, in deviations", 3, 0.0),
    "error_measured": TableColumn("error", "root mean square of the mean's distance, in deviations", 3, "low", "measured"),
    "spread_measured": TableColumn("spread", "standard deviation over the exact one", 3, 1.0, "measured"),
    "coverage_measured": TableColumn("coverage", "exact probability inside the sampled 90 % intervals", 3, 0.9, "measured"),
    "error_unmeasured": TableColumn("error", "as there", 3, "low", "unmeasured"),
    "spread_unmeasured": TableColumn("spread", "as there", 3, 1.0, "unmeasured"),
    "coverage_unmeasured": TableColumn("coverage", "as there", 3, 0.9, "unmeasured"),
    "w2": TableColumn("W2", "Wasserstein distance in deviations", 3, "low"),
    "floor": TableColumn("W2 of exact draws", "of as many", 3),
    "energy": TableColumn("energy", "energy score over that of the exact posterior", 4, "low"),
    "psnr": TableColumn("sample", "of one sample or answer, mean over them", 2, "high", "PSNR, dB"),
    "psnr_mean": TableColumn("mean", "of the mean of the samples", 2, "high", "PSNR, dB"),
    "ssim": TableColumn("SSIM", "of one sample or answer", 3, "high"),
    "crps": TableColumn("CRPS", "continuous ranked probability score, the lower the better", 4, "low"),
    "misfit": TableColumn("misfit", "of A x from y in deviations of the noise; expected 1", 2, 1.0),
    "spread_skill": TableColumn("std / error", "1 if calibrated", 2, 1.0),
    "inside": TableColumn("coverage", "share of the truth in 90 % intervals", 3, 0.9),
    "pictures": TableColumn("pictures", digits=0),
}  # fmt: skip

NOTES = (
    (
        "Every method gets the same measurements and the same denoiser (on pictures a shipped prior, in exams the "
        "exact one), one measurement at a time, on one thread of the CPU, at its library's defaults where the "
        "settings do not say otherwise. Versions, torch and the machine stand in every row of peers.csv."
    ),
    (
        "A figure is followed by its standard error. Deviations are those of the exact posterior; measured and "
        "unmeasured are right singular vectors of A with gains above and below a tenth of the largest. `passes` "
        "counts pictures through the denoiser per sample, forward and backward alike; `last level` is the least noise "
        "at which it was asked. The error of W2 is what as many exact draws differ by from one set to the next."
    ),
    (
        "azula has no process of its own: its rows take VESchedule(), DDPMSampler and 64 steps, the defaults of these "
        "classes, or, with grid=ours, levels from where our mmps begins to where it ends. Its MMPS takes three "
        "iterations, as in its paper; the class has one."
    ),
    (
        "deepinv's PiGDM and moment matching have no process of their own either and take that of its DPS with 100 "
        "calls; its samplers work in single precision here."
    ),
    (
        "bm3d: its licence allows informational and non-commercial use alone. restorekit neither needs nor contains "
        "it; do not install it where you may not use it, and name its authors where you publish its rows."
    ),
)


@dataclass(frozen=True, eq=False)
class PeerMethod:
    """`missing`: why the library cannot be imported, None where it can."""

    text: str
    peer: Peer
    missing: str | None


@dataclass(frozen=True, eq=False)
class PeersOutcome:
    """A run: the rows as they are in the CSV, and the methods that were asked for, those without a library among them."""

    out: Path
    command: str
    facts: Sequence[tuple[str, str]]
    methods: Sequence[PeerMethod]
    rows: Sequence[Row]


@dataclass(frozen=True, eq=False)
class PeerTable:
    """A table: lines of (name, cells by the names of COLUMNS), and names with a reason in place of figures."""

    title: str
    lines: Sequence[tuple[str, Mapping[str, Cell]]]
    refused: Sequence[tuple[str, str]] = ()


def write(o: PeersOutcome) -> None:
    """Write peers.md and peers.html into the folder of the run."""
    parts = list(_parts(o))
    write_text(o.out / "peers.md", _markdown(o, parts))
    entries = [
        TaskPart(p.title, [GalleryEntry(n, c, None, "") for n, c in p.lines], [], p.refused, [], "") for p in parts
    ]
    page = ImagesPage(
        "Peers", o.command, o.facts, COLUMNS, entries, NOTES, over="restorekit bench peers", about="other libraries and ours",
        first="method",
    )  # fmt: skip
    write_text(o.out / "peers.html", render(page))


def _parts(o: PeersOutcome) -> Iterator[PeerTable]:
    yield _listed(o)
    exams = [r for r in o.rows if r["part"] == EXAM]
    if verdict := _verdicts(o, exams):
        yield PeerTable("Ours against theirs, in exams", verdict)
    for key in dict.fromkeys(map(_cell_of, exams)):
        mine = [r for r in exams if _cell_of(r) == key]
        sigma_y = "" if key[2] == "-" else f", sigma_y {key[2]}"
        yield PeerTable(
            f"{key[0]}, {key[1]} prior{sigma_y}",
            [(r["method"], _exam(r)) for r in mine if not r["refused"]],
            _why(mine),
        )
    pictures = [r for r in o.rows if r["part"] != EXAM]
    for task in dict.fromkeys(r["problem"] for r in pictures):
        mine = [r for r in pictures if r["problem"] == task]
        took = [r for r in mine if not r["refused"]]
        lines = [(m, _picture([r for r in took if r["method"] == m])) for m in dict.fromkeys(r["method"] for r in took)]
        yield PeerTable(f"Pictures: {task}", lines, _why(mine))


def _listed(o: PeersOutcome) -> PeerTable:
    """Return what was asked for, worst first: libraries that are not there, then methods that failed most."""
    lines = []
    for m in (m for m in o.methods if not m.missing):
        mine = [r for r in o.rows if r["method"] == m.text]
        failed = sum(r["refused"].startswith("fails") for r in mine)
        ran = sum(not r["refused"] for r in mine)
        lines.append((m.text, {
            "library": m.peer.library, "version": m.peer.version(), "licence": m.peer.licence,
            "settings": m.peer.settings() or "-", "ran": ran, "refused": len(mine) - ran - failed, "failed": failed,
        }))  # fmt: skip
    lines.sort(key=lambda line: -line[1]["failed"])
    return PeerTable("Methods", lines, [(f"{m.text} ({m.peer.licence})", m.missing) for m in o.methods if m.missing])


def _verdicts(o: PeersOutcome, exams: Sequence[Row]) -> list[tuple[str, dict[str, Cell]]]:
    """Compare each of our samplers with those of the same name, and those of a user's file, and with whichever of theirs is the
    nearest, exam by exam; over the exams that both took, worst first."""
    ours, theirs = ([m.text for m in o.methods if not m.missing and m.peer.draws and (m.peer.library == OURS) == own]
                    for own in (True, False))  # fmt: skip
    took = [r for r in exams if not r["refused"]]
    at = {(r["method"], _cell_of(r)): r for r in took}
    best: dict[tuple[str, ...], Row] = {}
    for r in (r for r in took if r["method"] in theirs):
        best[_cell_of(r)] = min(best.get(_cell_of(r), r), r, key=lambda r: float(r["w2"]))
    lines: list[tuple[float, str, dict[str, Cell]]] = []
    for mine in ours:
        rows = [r for r in took if r["method"] == mine]
        same = [t for t in theirs if ".py" in t or _bare(t).rpartition("-")[2] == _bare(mine)]
        named = [(t, [(r, at[t, _cell_of(r)]) for r in rows if (t, _cell_of(r)) in at]) for t in same]
        named.append((BEST, [(r, best[_cell_of(r)]) for r in rows if _cell_of(r) in best]))
        lines += [(_share(pairs), mine, {"against": t, **_verdict(pairs)}) for t, pairs in named if pairs]
    return [(name, cells) for _, name, cells in sorted(lines, key=lambda line: -line[0])]


def _share(pairs: Sequence[tuple[Row, Row]]) -> float:
    """Return the share of exams in which ours is the further in W2."""
    return sum(_further(a, b, "w2", 0.0) > 2 for a, b in pairs) / len(pairs)


def _verdict(pairs: Sequence[tuple[Row, Row]]) -> dict[str, Cell]:
    worse: dict[str, int] = {
        f"worse {name}": sum(_further(a, b, figure, aim) > 2 for a, b in pairs) for name, (figure, aim) in AIMS.items()
    }
    better = sum(_further(b, a, "w2", 0.0) > 2 for a, b in pairs)
    ranked = sorted(pairs, key=lambda pair: -float(pair[0]["w2"]) / float(pair[1]["w2"]))
    shown = ranked[: min(SHOWN, max(1, worse["worse W2"]))]  # those in which ours is worse, or else the closest
    worst = "; ".join(
        f"{a['problem']} {a['prior']} {a['sigma_y']}: {number(a, 'w2')}, {number(b, 'w2')} ({b['method']})"
        for a, b in shown
    )
    return {"cells": len(pairs), **worse, "better W2": better, "worst": worst}


def _cell_of(row: Row) -> tuple[str, ...]:
    return row["problem"], row["prior"], row["sigma_y"]


def _bare(text: str) -> str:
    return text.partition(":")[0]


def _further(a: Row, b: Row, figure: str, aim: float) -> float:
    """Return how much further from its aim a figure of `a` is than that of `b`, in standard errors of the difference."""
    values = [float(r[figure]) for r in (a, b)]
    error = math.hypot(*(float(r[figure + "_se"]) for r in (a, b)))
    if any(map(math.isnan, values)):
        return 0.0
    difference = abs(values[0] - aim) - abs(values[1] - aim)
    return difference / error if error > 0 else math.copysign(math.inf, difference) if difference else 0.0


def number(row: Row, name: str) -> str:
    """Return a figure of a row with its standard error, as text."""
    return uncertain(float(row[name]), float(row[name + "_se"]))


def _cost(row: Row) -> dict[str, Cell]:
    return {"passes": float(row["forward"]) + float(row["backward"]), "backward": float(row["backward"]),
            "last": float(row["last"]), "time": 1e3 * float(row["seconds"])}  # fmt: skip


def _exam(row: Row) -> dict[str, Cell]:
    figures = {n: Mean(float(row[n]), float(row[n + "_se"])) for n in NUMBERS if row[n] != "nan"}
    return _cost(row) | figures


def _picture(rows: Sequence[Row]) -> dict[str, Cell]:
    """Return the means over pictures, with their standard errors."""
    cells: dict[str, Cell] = {}
    for name in PIXELS:
        found = [float(r[name]) for r in rows if r[name] != "nan"]
        if found:
            mean, n = fmean(found), len(found)
            spread = math.sqrt(sum((v - mean) ** 2 for v in found) / max(1, n - 1) / n)
            cells[name] = Mean(mean, spread if n > 1 else math.nan)
    costs = [_cost(r) for r in rows]
    return {k: fmean(float(c[k] or 0) for c in costs) for k in costs[0]} | cells | {"pictures": len(rows)}


def _why(rows: Sequence[Row]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((r["method"], r["refused"]) for r in rows if r["refused"]))


def _shown(cells: Mapping[str, Cell], key: str) -> str:
    value = cells.get(key)
    return uncertain(float(value), value.error) if isinstance(value, Mean) else text(value, COLUMNS[key].digits)


def _markdown(o: PeersOutcome, parts: Sequence[PeerTable]) -> str:
    said = ["# Other libraries and ours", f"`{o.command}`", *(f"{k.capitalize()}: {v}." for k, v in o.facts), *NOTES]
    for part in parts:
        keys = [k for k in COLUMNS if any(cells.get(k) is not None for _, cells in part.lines)]
        head = ["method", *(f"{COLUMNS[k].group} {COLUMNS[k].label}".strip() for k in keys)]
        body = [[name, *(_shown(cells, k) for k in keys)] for name, cells in part.lines]
        said += [f"## {part.title}", *([markdown(head, body)] if body else [])]
        said += ["\n".join(f"- {name}: {why}" for name, why in part.refused)] if part.refused else []
    return "\n\n".join(said) + "\n"
