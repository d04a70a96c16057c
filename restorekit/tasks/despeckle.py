"""One despeckling from file to file."""

from __future__ import annotations

import os
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from restorekit.cli.options import check_page, numbers
from restorekit.despeckling.cost import Cost, cost
from restorekit.despeckling.page import judged
from restorekit.despeckling.plan import Plan, Settings, beside, plan
from restorekit.errors import BadInput
from restorekit.files.bands import Window
from restorekit.files.datasets import container
from restorekit.files.overwrite import separate
from restorekit.files.picture import write_text
from restorekit.files.reading import PLAINLY, Reading
from restorekit.report.progress import bar
from restorekit.sar.targets import Targets
from restorekit.scenes.execute import Executor, executor_of
from restorekit.text.names import files_of

LONG = 60.0  # seconds of work from which on several processes pay


def say(text: str) -> None:
    print(f"restorekit: {text}", file=sys.stderr)


@dataclass(frozen=True, kw_only=True)
class Despeckling:
    source: Path
    target: Path
    domain: str
    looks: str
    solver: str
    bands: str | None
    samples: int | None
    decorrelate: str
    targets: str
    grain: str | None
    preview: str | None
    prior: str
    steps: int | None
    seed: int
    device: str
    precision: str
    keep_dtype: bool
    executor: str
    workers: int | None
    scheduler: str | None
    tile: int
    block: int | None
    restart: bool
    snap: bool
    report: Path | None
    reading: Reading = PLAINLY

    def run(self) -> None:
        if self.report is not None:
            check_page(self.report)
        pages = [] if self.report is None else [self.report]
        separate([container(self.source), *files_of(self.solver, self.prior)], [self.target, *pages])
        began = time.perf_counter()
        made = plan(self.source, self.target, self.settings, self._window)
        for line in made.said:
            say(line)
        executor = self._executor(made)
        with bar("despeckle", "blocks") as show:
            written = made.run(executor, tile=self.tile, restart=self.restart, progress=show, snap=self.snap, say=say)
        seconds = time.perf_counter() - began
        stale = beside(self.target, "std")
        if made.settings.draws == 1 and stale.exists():
            say(f"note: {stale} is of an earlier run, not of this one")
        if self.report is not None and made.bands:
            page, why = judged(made, shlex.join(["restorekit", *sys.argv[1:]]))
            if page is None:
                say(why)
            else:
                write_text(self.report, page)
                written.append(self.report)
        print(f"{', '.join(map(str, written))}  ({seconds:.1f} s)")

    @property
    def settings(self) -> Settings:
        return Settings(
            domain=self.domain, looks=self._looks, solver=self.solver, prior=self.prior, steps=self.steps,
            bands=numbers(self.bands), samples=self.samples, seed=self.seed, decorrelate=self.decorrelate, grain=self._grain,
            targets=self._targets, device=self.device, precision=self.precision, block=self.block, keep_dtype=self.keep_dtype,
            reading=self.reading,
        )  # fmt: skip

    @property
    def _targets(self) -> Targets | None:
        if self.targets in ("auto", "off"):
            return Targets() if self.targets == "auto" else None
        try:
            return Targets(false_alarms=float(self.targets))
        except ValueError:
            raise BadInput(
                f"--targets {self.targets!r} is not understood; give auto, off, or a false-alarm rate per pixel up to "
                f"{Targets.beside:g}, as 1e-5"
            ) from None

    @property
    def _looks(self) -> float | None:
        if self.looks == "auto":
            return None
        try:
            return float(self.looks)
        except ValueError:
            raise BadInput(f"--looks {self.looks!r} is no number; give one, or auto") from None

    @property
    def _grain(self) -> tuple[float, float] | None:
        if self.grain is None:
            return None
        try:
            down, across = (float(v) for v in self.grain.split(","))
        except ValueError:
            raise BadInput(
                f"--grain {self.grain!r} is not understood; give RHO_ROW,RHO_COL, the correlation of intensity with the next row "
                "and the next column, as 0.65,0.6"
            ) from None
        return down, across

    @property
    def _window(self) -> Window | None:
        if self.preview is None:
            return None
        try:
            top, left, height, width = (int(v) for v in self.preview.split(","))
        except ValueError:
            raise BadInput(
                f"--preview {self.preview!r} is not understood; give TOP,LEFT,HEIGHT,WIDTH in pixels, as 0,0,512,512"
            ) from None
        return Window(top, left, height, width)

    def _executor(self, made: Plan) -> Executor:
        """As asked; and the time it will take is said."""
        workers = self.workers or os.cpu_count() or 1
        name = self.executor
        if name == "auto":
            name = "dask" if self.scheduler else "serial"
        chosen = executor_of(name, workers, self.scheduler)
        if not made.keys:
            return chosen
        there = 0 if self.restart else len(made.finished())
        if there:
            say(f"{there} of {len(made.keys)} blocks are there, of a run that was interrupted")
        each, count = cost(made.job), len(made.keys) - there
        seconds = each.seconds * count
        if self.executor == "auto" and name == "serial" and count > 1 and seconds > LONG:
            name, chosen = "processes", executor_of("processes", workers, None)
        say(_eta(each, made, count, 1 if name == "serial" else max(1, min(workers, count)), name))
        return chosen


def _eta(each: Cost, made: Plan, count: int, workers: int, name: str) -> str:
    seconds = each.seconds * count / workers
    calls = f", {each.calls} network calls each" if each.calls else ""
    kind = f"{workers} process{'es' if workers > 1 else ''}"
    hint = (
        "; --preview TOP,LEFT,HEIGHT,WIDTH tries a part, --solver hqs is fast"
        if seconds > 600 and each.calls > 20
        else ""
    )
    return f"{count} block{'s' * (count != 1)} of {made.job.grid.side} pixels{calls}: about {_time(seconds)} with {kind} ({name}){hint}"


def _time(seconds: float) -> str:
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
