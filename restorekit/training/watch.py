"""A person watches a run by a CSV log, a live progress line, and grids of samples."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from types import TracebackType

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from restorekit.files.atomic import atomic
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.schedule import log_uniform
from restorekit.priors.formats.checkpoint import PriorSpec
from restorekit.training.config import Config
from restorekit.training.data.patches import Patches
from restorekit.training.picture_grid import write_grid

FIELDS = ("step", "seconds", "loss", "grad_norm", "lr", "images_per_s")


class RunMonitor:
    """Context manager around a run; `step` is called after every optimiser step."""

    def __init__(self, config: Config, out: Path, start: int, seconds: float, *, active: bool, quiet: bool):
        """The run is at step `start` after `seconds` of work; only the `active` process writes and shows anything."""
        self.config, self.active, self.start, self.before = config, active, start, seconds
        self.path = out / "log.csv"
        self.began = time.monotonic()
        self.sums, self.count, self.last = torch.zeros(2), 0, self.began
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
        columns += (
            TextColumn("loss {task.fields[loss]:.4f}  {task.fields[rate]:.1f} images/s"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
        )
        self.progress = Progress(*columns, TimeRemainingColumn(), disable=quiet or not active)

    def _rewind(self) -> None:
        """Drop the rows after the step the run is at: what they tell of was lost with the process that wrote them."""
        if not self.path.exists():
            return
        with self.path.open(newline="", encoding="utf-8") as f:
            # Shorter than the heading is a row that the crash cut off; the heading itself begins with no number.
            whole = [r for r in csv.reader(f) if len(r) == len(FIELDS) and r[0].isdigit()]
        with atomic(self.path) as raw, io.TextIOWrapper(raw, newline="", encoding="utf-8") as f:
            csv.writer(f).writerows([FIELDS, *(r for r in whole if int(r[0]) <= self.start)])

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self.began

    def __enter__(self) -> RunMonitor:
        if self.active:
            self._rewind()
        self.progress.start()
        total = self.config.optim.steps
        self.task = self.progress.add_task(
            self.config.name, total=total, completed=self.start, loss=float("nan"), rate=0.0
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def step(self, step: int, loss: Tensor, norm: Tensor, lr: float) -> None:
        """Take a step into the means, and write a line of the log where one is due."""
        self.sums += torch.stack([loss.detach(), norm.detach()]).cpu()
        self.count += 1
        if not self.active or (step % self.config.run.log_every and step != self.config.optim.steps):
            return
        now = time.monotonic()
        rate = self.count * self.config.optim.batch / (now - self.last)
        mean = (self.sums / self.count).tolist()
        row = (step, f"{self.seconds:.1f}", f"{mean[0]:.6f}", f"{mean[1]:.5f}", f"{lr:.3e}", f"{rate:.1f}")
        fresh = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8") as f:
            writer = csv.writer(f)
            writer.writerows([FIELDS, row] if fresh else [row])
        self.progress.update(self.task, completed=step, loss=mean[0], rate=rate)
        self.sums, self.count, self.last = torch.zeros(2), 0, now


@torch.no_grad()
def sample_grid(path: Path, model: Denoiser, spec: PriorSpec, patches: Patches, device: torch.device) -> None:
    """Draw rows: clean, noisy and denoised at sigma 0.1 and 0.5, and samples of the prior; eight columns.

    model: the prior of `spec`, at any level from 0.01 to 10.
    """
    bands = max(spec.config.bands)
    x0, noise = (t.to(device) for t in patches.batch(2**40, 8, bands == 1)[:2])
    rows = [x0]
    for sigma in (0.1, 0.5):
        rows += [x0 + sigma * noise, model(x0 + sigma * noise, sigma)]
    sigmas = log_uniform(20, 10.0, 0.01)
    x = spec.mean + sigmas[0] * noise
    for sigma, sigma_next in zip(sigmas, sigmas[1:]):
        d = model(x, sigma)
        x = d + (x - d) * (sigma_next / sigma)
    rows.append(x)
    if spec.domain == "log-intensity":
        rows = [(row / 2).exp() for row in rows]  # as amplitude
    write_grid(path, rows)
