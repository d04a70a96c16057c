"""The image bench: solvers on measurements that are made from a folder of clean pictures.

    Images(data=(Path("kodak"),), ops=("blur:kernel=gaussian:2",), solvers=("hqs", "diffpir"), nfe=(20, 50))()

writes images.csv, .json, .md and .html into `out`. A row of the CSV is written as soon as it is measured.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple, cast

import torch

from restorekit.bench.bench_settings import ImageSettings
from restorekit.bench.images.image_cases import Clean, clean_pictures
from restorekit.bench.images.image_plan import BenchPlan, LoadedName, plan
from restorekit.bench.images.image_report import ImagesOutcome, write
from restorekit.bench.images.image_rows import OK, BenchCase, Measure, whole_paths
from restorekit.bench.images.image_sets import SetDistance
from restorekit.bench.workers import Lost, share
from restorekit.errors import BadInput
from restorekit.files.lock import alone
from restorekit.files.overwrite import inside, separate
from restorekit.priors.find import Precision, device_of, load_prior, of_pictures
from restorekit.priors.perception.likeness import LPIPS, lpips
from restorekit.priors.prior import LatentPrior
from restorekit.scenes.execute import on_cluster
from restorekit.text.degradation import Degradation
from restorekit.text.names import files_of


class ReadyImages(NamedTuple):
    """It holds what a run needs, once nothing of it is to be refused."""

    cases: BenchPlan
    tasks: list[Degradation]
    pictures: list[Clean]
    priors: list[LoadedName]
    sets: SetDistance
    network: LPIPS | None


@dataclass(frozen=True, kw_only=True)
class Images(ImageSettings):
    """A run; the call does it. What has been measured with the same settings is not measured again."""

    def __call__(self, progress: Callable[[str], object] = lambda text: None) -> ImagesOutcome:
        """Measure what is missing and write the report. Raises BadInput, before anything runs, for what cannot be.

        progress: called with a line of text for each result.
        """
        cases, tasks, pictures, priors, sets, network = self._ready()
        device = device_of(self.device)
        with ExitStack() as stack:
            stack.enter_context(alone(self.out))
            (self.out / "pictures").mkdir(exist_ok=True)
            measure = Measure(self.out, str(device), cast(Precision, self.precision), self._threads(), network)
            failed = self._run(cases, measure, progress)
            measure.rows.reload()
            outcome = self._outcome(
                cases, failed, measure, tasks, pictures, device, network, _ceilings(priors, pictures, device)
            )
            write(outcome, sets)
        if failed and len(failed) == len(cases.jobs):
            raise BadInput(f"nothing could be measured ({next(iter(failed.values()))})")
        return outcome

    def check(self) -> None:
        """Raise BadInput for what the call refuses before anything runs."""
        self._ready()

    def _ready(self) -> ReadyImages:
        self._check()
        named = [
            *(op.rpartition("@")[0] or op for op in self.ops),
            *self.solvers,
            *self.priors,
            self.lpips,
            self.features and str(self.features),
        ]
        separate(
            [*inside(*self.data), *files_of(*named)],
            [self.out / f"images.{kind}" for kind in ("csv", "json", "md", "html")],
        )
        tasks = list(dict.fromkeys(Degradation.of(text) for text in self.ops))
        pictures = clean_pictures(self.data, self.crop, self.limit)
        device, network = device_of(self.device), lpips(self.lpips)
        priors = [self._prior(text, device) for text in dict.fromkeys(self.priors)]
        sets = SetDistance(self.features, self.crop or 128)
        if self.features is not None:
            _ = sets.module
        cases = plan(pictures, tasks, self.solvers, self.steps, self.nfe, priors, self.samples, self.seed)
        return ReadyImages(cases, tasks, pictures, priors, sets, network)

    def _check(self) -> None:
        for name, least in (("samples", 1), ("workers", 1), ("limit", 1), ("threads", 1), ("crop", 0), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise BadInput(f"`{name}={value}` must be at least {least}")
        for name in ("steps", "nfe"):
            if bad := [n for n in getattr(self, name) if n < 1]:
                raise BadInput(f"`{name}={bad[0]}` must be at least 1")
        if self.precision not in ("auto", "bf16", "fp32"):
            raise BadInput(f"`precision={self.precision!r}` is unknown; it is auto, bf16 or fp32")
        if self.out.exists() and not self.out.is_dir():
            raise BadInput(f"{self.out} is a file; `out` takes a folder")

    def _prior(self, text: str, device: torch.device) -> LoadedName:
        prior = of_pictures(load_prior(text, device=device, precision=cast(Precision, self.precision)))
        label, latent = f"{prior.spec.name}@{prior.sha256[:8]}", prior if isinstance(prior, LatentPrior) else None
        return LoadedName(text, label, f"{device.type}/{prior.precision}", latent)

    def _threads(self) -> int:
        return self.threads or max(1, torch.get_num_threads() // self.workers)

    def _run(self, cases: BenchPlan, measure: Measure, progress: Callable[[str], object]) -> dict[BenchCase, str]:
        """Measure what is missing; return what failed, and why."""
        todo = [job for job in cases.jobs if not measure.rows.has(*job.key)]
        if len(todo) < len(cases.jobs):
            progress(f"{len(cases.jobs) - len(todo)} of {len(cases.jobs)} rows are in {measure.rows.path} already")
        failed: dict[BenchCase, str] = {}
        for number, (job, answer) in enumerate(self._answers(todo, measure), 1):
            if isinstance(answer, dict):
                result = f"{answer['psnr']} dB  {answer['seconds']} s" if answer["state"] == OK else answer["state"]
            else:
                result = failed[job] = str(answer)
            progress(
                f"{number}/{len(todo)}  {job.task.text}  {job.clean.name}  {job.solver} {job.steps}  {job.label.partition('@')[0]}  {result}"
            )
        return failed

    def _answers(
        self, todo: Sequence[BenchCase], measure: Measure
    ) -> Iterator[tuple[BenchCase, dict[str, str] | str | Lost]]:
        """Yield the answers, here too with as many threads as the workers have; what the caller had is put back."""
        if self.scheduler is not None:
            by_key = {job.key: job for job in todo}
            for sent, answer in on_cluster(self.scheduler, measure.away(), [whole_paths(job) for job in todo]):
                job = by_key[sent.key]
                yield (
                    job,
                    Lost(f"no worker gave an answer: {answer}")
                    if isinstance(answer, BaseException)
                    else measure.kept(job, answer),
                )
            return
        before = torch.get_num_threads()
        try:
            yield from share(todo, self.workers, measure.maker())
        finally:
            torch.set_num_threads(before)

    def _outcome(
        self, cases: BenchPlan, failed: dict[BenchCase, str], measure: Measure, tasks: Sequence[Degradation], pictures: Sequence[Clean],
        device: torch.device, network: LPIPS | None, ceilings: dict[str, float],
    ) -> ImagesOutcome:  # fmt: skip
        keys = {tuple(map(str, job.key)) for job in cases.jobs}
        rows = [r for r in measure.rows.rows if tuple(r[k] for k in measure.rows.keys) in keys]
        order = {key: i for i, key in enumerate(tuple(map(str, job.key)) for job in cases.jobs)}
        rows.sort(key=lambda r: order[tuple(r[k] for k in measure.rows.keys)])
        return ImagesOutcome(self.out, self.command(), self.settings(), tasks, pictures, rows, cases.refused,
                       list(failed.items()), device, network, measure.threads or 1, ceilings)  # fmt: skip

    def settings(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def command(self) -> str:
        """Return the command line of this run, without what is as by default."""
        words = ["restorekit", "bench", "images"]
        names = {
            "data": "data",
            "ops": "op",
            "solvers": "solver",
            "steps": "steps",
            "nfe": "nfe",
            "priors": "prior",
        }
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name in names:
                words += [w for v in value for w in (f"--{names[f.name]}", str(v))]
            elif value != (Path("bench") if f.name == "out" else f.default):
                words += [f"--{f.name}", str(value)]
        return shlex.join(words)


def _ceilings(priors: Sequence[LoadedName], pictures: Sequence[Clean], device: torch.device) -> dict[str, float]:
    """Return the mean PSNR of the clean pictures through the codec alone, dB, by the label of each prior of latents."""
    ceilings: dict[str, float] = {}
    for loaded in priors:
        if isinstance(prior := loaded.prior, LatentPrior):
            known = [clean.pixels for clean in pictures if len(clean.pixels) in prior.spec.bands]
            ceilings |= (
                {loaded.label: fmean(prior.ceiling(torch.from_numpy(x).to(device)) for x in known)} if known else {}
            )
    return ceilings
