"""The few free settings of a solver, found on pictures held aside: a small search with a budget.

Candidates are the solver's own settings and points of a Sobol sequence; they are run on one picture, the better half on a
second one, and so on (successive halving: Karnin, Koren, Somekh, ICML 2013), so that most of the budget goes to what is
nearly best. Compared are always means over the same measurements.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import scipy

from restorekit.errors import BadInput
from restorekit.files.journal import Rows
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.driver import restore
from restorekit.inference.problem import Problem
from restorekit.metrics import fidelity
from restorekit.report.text_tables import markdown
from restorekit.text.names import solver_of

Score = Literal["psnr", "ssim", "crps"]
Candidate = tuple[str, int]  # settings, number of levels
SIGN = {"psnr": 1, "ssim": 1, "crps": -1}  # of better
HEADER = ("settings", "steps", "calls", "pictures", "score", "to the default", "+-")


@dataclass(frozen=True, eq=False)
class Trial:
    """A picture (C, H, W) in [0, 1] and what was measured of it."""

    name: str
    truth: np.ndarray
    problem: Problem

    @property
    def key(self) -> str:
        """Return a digest: another picture, or another measurement of it, has another one, whatever its name."""
        digest = hashlib.sha256(self.truth.tobytes() + self.problem.y.cpu().numpy().tobytes()).hexdigest()
        return f"{self.name}@{digest[:8]}"


@dataclass(frozen=True)
class CandidateScores:
    """One candidate: its scores on the trials it was run on, in their order."""

    settings: str
    steps: int
    nfe: int
    scores: tuple[float, ...]

    def mean(self, count: int | None = None) -> float:
        return float(np.mean(self.scores[:count]))


@dataclass(frozen=True)
class Tuning:
    """`ranges`: setting -> (least, most); whole numbers if both are; logarithmic if both are positive and 4 times apart.

    budget: restorations in all. samples: draws per restoration; crps needs at least two.
    """

    solver: str
    steps: Sequence[int]
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    budget: int = 60
    samples: int = 1
    score: Score = "psnr"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.score not in SIGN:
            raise BadInput(f"score {self.score!r} is unknown; known: {', '.join(SIGN)}")
        if self.score == "crps" and self.samples < 2:
            raise BadInput("the score crps compares samples with the truth: give `samples=2` or more")
        if not self.steps or min(self.steps) < 1:
            raise BadInput("`steps`: at least one number of noise levels, each at least 1")
        for name, (low, high) in self.ranges.items():
            if not low < high:
                raise BadInput(f"`search={name}={low},{high}`: the first number must be the smaller one")

    def rungs(self, trials: int) -> list[tuple[int, int]]:
        """Return (candidates beside the solver as given, trials so far) of every round: half the candidates, twice the trials.

        Raises BadInput where the budget does not even suffice for the solver as given on all trials.
        """
        ends = sorted({min(2**k, trials) for k in range(trials.bit_length() + 1)})
        left = self.budget - len(self.steps) * trials
        if left < ends[-1]:
            raise BadInput(
                f"`budget={self.budget}` is too small: {len(self.steps)} x {trials} restorations are needed for the solver "
                f"as it is, and some to compare it with; give {len(self.steps) * trials + 4 * trials}, or fewer `pictures`"
            )

        def cost(first: int) -> int:
            return sum(max(1, first >> k) * (end - before) for k, (end, before) in enumerate(zip(ends, [0, *ends])))

        first = 1
        while cost(first + 1) <= left:
            first += 1
        return [(max(1, first >> k), end) for k, end in enumerate(ends)]

    def candidates(self, count: int) -> tuple[list[Candidate], list[Candidate]]:
        """Return the solver as it was given, at every number of steps; and `count` others. BadInput for settings it does not take."""
        given = [(self.solver, n) for n in self.steps]
        names = list(self.ranges)
        seen = {(str(solver_of(text).settings()), n) for text, n in given}
        others: list[Candidate] = []
        for point in scipy.stats.qmc.Sobol(len(names) + 1, scramble=False).fast_forward(1).random(4 * count):
            values = [f"{k.rstrip('_')}={_value(u, *self.ranges[k])}" for k, u in zip(names, point)]
            joint = "," if ":" in self.solver else ":"
            steps = self.steps[min(int(point[-1] * len(self.steps)), len(self.steps) - 1)]
            text = f"{self.solver}{joint}{','.join(values)}" if values else self.solver
            what = (str(solver_of(text).settings()), steps)
            if what not in seen and len(others) < count:
                seen.add(what)
                others.append((text, steps))
        return given, others

    def __call__(
        self, trials: Sequence[Trial], denoise: Denoiser, rows: Rows, key: str, tell: Callable[[str], None]
    ) -> list[CandidateScores]:
        """Return the candidates, best first; the solver as given is always there, on every trial. `rows` keep what is done, under `key`."""
        rungs = self.rungs(len(trials))
        given, others = self.candidates(rungs[0][0])
        found: dict[Candidate, CandidateScores] = {}
        for keep, end in rungs:
            others = others[:keep]
            for candidate in (*given, *others):
                scores = [self._score(candidate, t, denoise, rows, key) for t in trials[:end]]
                found[candidate] = CandidateScores(*candidate, scores[0][1], tuple(s for s, _ in scores))
            others.sort(key=lambda c: -SIGN[self.score] * found[c].mean())
            best = max((*given, *others), key=lambda c: SIGN[self.score] * found[c].mean())
            tell(
                f"{len(given) + len(others)} candidates on {end} pictures; best {best[0]} steps {best[1]}: {found[best].mean():.4g}"
            )
        return sorted(found.values(), key=lambda f: (-len(f.scores), -SIGN[self.score] * f.mean()))

    def _score(
        self, candidate: tuple[str, int], trial: Trial, denoise: Denoiser, rows: Rows, key: str
    ) -> tuple[float, int]:
        text, steps = candidate
        place = (key, text, steps, self.samples, self.seed, self.score, trial.key)
        if not rows.has(*place):
            try:
                run = restore(
                    trial.problem, denoise, solver_of(text), steps=steps, samples=self.samples, seed=self.seed
                )
            except BadInput as error:
                if "diverged" not in str(error):
                    raise
                rows.add(*place, -math.inf * SIGN[self.score], 0)
            else:
                rows.add(*place, score(self.score, run.samples.cpu().numpy(), trial.truth), run.nfe)
        names = rows.keys
        row = next(r for r in rows.rows if tuple(r[k] for k in names) == tuple(map(str, place)))
        return float(row["value"]), int(row["nfe"])


KEYS = ("problem", "settings", "steps", "samples", "seed", "score", "picture")
VALUES = ("value", "nfe")


def rows_of(path: Path) -> Rows:
    """Return the rows of a search in a file."""
    return Rows(path, KEYS, VALUES)


def score(name: Score, samples: np.ndarray, truth: np.ndarray) -> float:
    """Return psnr and ssim of the mean of samples (N, C, H, W) in [0, 1], and crps of all."""
    clipped = samples.clip(0, 1)
    if name == "crps":
        return fidelity.crps(clipped, truth)
    return {"psnr": fidelity.psnr, "ssim": fidelity.ssim}[name](clipped.mean(0), truth)


def _value(u: float, low: float, high: float) -> str:
    """Return a point of a range, as short as it can be written: two digits."""
    if float(low).is_integer() and float(high).is_integer() and high - low >= 2:
        return str(round(low + u * (high - low)))
    log = low > 0 and high / low >= 4
    value = low * (high / low) ** u if log else low + u * (high - low)
    return f"{value:.2g}"


def table(found: Sequence[CandidateScores], tuning: Tuning) -> str:
    """Return what reached the last round as Markdown. The default is the solver as given at the first number of steps."""
    last = [f for f in found if len(f.scores) == len(found[0].scores)]
    default = next(f for f in last if (f.settings, f.steps) == (tuning.solver, tuning.steps[0]))
    body = []
    for f in last:
        gaps = np.array(f.scores) - np.array(default.scores)
        error = float(gaps.std(ddof=1) / len(gaps) ** 0.5) if len(gaps) > 1 else math.nan
        body.append((f.settings, f.steps, f.nfe, len(f.scores), f"{f.mean():.4g}", f"{gaps.mean():+.3g}", error))
    return markdown(HEADER, body)


def clear_gain(found: Sequence[CandidateScores], tuning: Tuning) -> bool:
    """Return whether the best is better than the default by more than two standard errors of their difference."""
    default = next(f for f in found if (f.settings, f.steps) == (tuning.solver, tuning.steps[0]))
    gaps = SIGN[tuning.score] * (np.array(found[0].scores) - np.array(default.scores))
    if len(gaps) < 2 or found[0] is default:
        return False
    return float(gaps.mean()) > 2 * float(gaps.std(ddof=1)) / len(gaps) ** 0.5


def with_ranges(tuning: Tuning, given: Sequence[str]) -> Tuning:
    """Return `tuning` over "name=LO,HI" of each text, or, without any, over what its solver says is worth a search."""
    kind = type(solver_of(tuning.solver))
    fixed = {p.partition("=")[0].rstrip("_") for p in tuning.solver.partition(":")[2].split(",")}
    if not given:
        return replace(tuning, ranges={k: v for k, v in kind.tunable.items() if k.rstrip("_") not in fixed})
    ranges = {}
    for text in given:
        name, _, span = text.partition("=")
        try:
            low, high = (float(v) for v in span.split(","))
        except ValueError:
            raise BadInput(f"`search={text!r}` is not understood; give it as `search=zeta=0,1`") from None
        if name.rstrip("_") in fixed:
            raise BadInput(f"`search={name}`: `solver={tuning.solver}` fixes it; leave out one of the two")
        ranges[name] = (low, high)
    return replace(tuning, ranges=ranges)
