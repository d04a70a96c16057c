"""The free settings of a solver, found on pictures of a folder: measured, searched and written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, cast

from restorekit.bench import search
from restorekit.bench.bench_settings import TuningSettings
from restorekit.bench.images.image_cases import clean_pictures
from restorekit.bench.search import CandidateScores, Score, Trial
from restorekit.errors import BadInput
from restorekit.files.lock import alone
from restorekit.files.overwrite import inside, separate
from restorekit.files.picture import write_text
from restorekit.inference.denoiser import Denoiser
from restorekit.priors.find import Precision, device_of, load_prior, of_pictures
from restorekit.text.degradation import Degradation
from restorekit.text.names import files_of, solver_of


@dataclass(frozen=True)
class Tuned:
    """The result of a search. best: the settings chosen. clear: True if they beat the default beyond doubt. table: all
    candidates that reached the last round, in Markdown. sense: which direction of the score is better. title: what was
    searched.
    """

    best: CandidateScores
    clear: bool
    table: str
    sense: str
    title: str

    @property
    def doubt(self) -> str:
        """Return the words that follow the choice where it is not clearly better than the default; "" where it is."""
        return "" if self.clear else " (not clearly better than the default)"

    def save(self, path: Path, chosen: str) -> None:
        """Write the table as Markdown; `chosen`: the best settings as they are to be given."""
        write_text(path, f"# {self.title}; {self.sense}\n\n{self.table}\n\nChosen: `{chosen}`{self.doubt}\n")


class ReadySearch(NamedTuple):
    """It holds what a search needs, once nothing of it is to be refused. key: what was measured with, in a row of its table."""

    tuning: search.Tuning
    trials: list[Trial]
    denoise: Denoiser
    key: str


@dataclass(frozen=True, kw_only=True)
class SolverTuning(TuningSettings):
    """A search; the call runs it. What has been measured is not measured again."""

    def __call__(self, progress: Callable[[str], None] = lambda text: None) -> Tuned:
        """Search, with tune.csv in `out`, where tune.md is to be saved; progress: called with a line of text for each restoration.

        Raises BadInput, before anything runs, for settings that the solver does not take, and where there is nothing to tune.
        """
        ready = self._ready()
        with alone(self.out):
            rows = search.rows_of(self.out / "tune.csv")
            found = ready.tuning(ready.trials, ready.denoise, rows, ready.key, progress)
        sense = f"{ready.tuning.score}: {'lower' if search.SIGN[ready.tuning.score] < 0 else 'higher'} is better"
        title = f"{self.solver} on {ready.key}, {ready.tuning.samples} sample(s)"
        clear = search.clear_gain(found, ready.tuning)
        return Tuned(found[0], clear, search.table(found, ready.tuning), sense, title)

    def check(self) -> None:
        """Raise BadInput for what the call refuses before anything runs."""
        self._ready()

    def _ready(self) -> ReadySearch:
        solver = solver_of(self.solver)
        score = cast(Score, ("crps" if solver.is_sampler else "psnr") if self.score == "auto" else self.score)
        count = self.samples or (4 if score == "crps" else 1)
        levels = list(self.steps) or [solver.default_steps]
        tuning = search.Tuning(self.solver, levels, {}, self.budget, count, score, self.seed)
        tuning = search.with_ranges(tuning, self.ranges)
        if not tuning.ranges and len(levels) == 1:
            raise BadInput(f"{self.solver} has nothing to tune; give `search=NAME=LO,HI` or several `steps`")
        tuning.candidates(8)  # settings that the solver does not take are refused before anything runs
        files = [self.out / "tune.csv", self.out / "tune.md"]
        separate([*inside(self.data), *files_of(self.op, self.solver, self.prior)], files)
        place = device_of(self.device)
        network = of_pictures(load_prior(self.prior, device=place, precision=cast(Precision, self.precision)))
        task = Degradation.of(self.op if self.noise is None else f"{self.op}@{self.noise}")
        trials = []
        for clean in clean_pictures([self.data], self.crop, self.pictures):
            problem = task.measure(clean.pixels, clean.name, self.seed)
            solver.check(problem)
            if count > 1:
                solver.check_draws(problem)
            there = replace(problem, y=problem.y.to(place), operator=problem.operator.to(place))
            trials.append(Trial(clean.name, clean.pixels, there))
        tuning.rungs(len(trials))
        key = f"{task.text} {network.spec.name}@{network.sha256[:8]} crop {self.crop} {place.type} {network.precision}"
        return ReadySearch(tuning, trials, network.for_bands(trials[0].truth.shape[0]), key)
