"""A calibration holds what conformal prediction found for a prior, in a small JSON file beside its weights.

    {"format": "restorekit calibration 1", "restorekit": VERSION, "prior": {"name": NAME, "sha256": OF THE WEIGHTS},
     "levels": [0.5, 0.51, ... 0.99], "entries": [{"task": "denoise", "noise": "gaussian:0.05", "dtype": "uint8",
     "transfer": "linear", "clipped": "censored", "solver": "MMPS:iterations=3,...@50", "samples": 8, "spread": {"window": 5, "own": 0.5, "power": 1.0},
     "data": TEXT, "pictures": n, "ratios": [a number for each level, null where n is too small], "judged": {...}}]}

An entry holds for its solver with all settings and its number of levels, a type of file, and a curve of light. Integers
of another type are taken, with a note, where the noise is coarse and those of the file have no entry that fits; what was
rounded as a JPEG is a type of its own, and of noise that was measured there are two kinds: white before that rounding, and
shared by neighbours ("shared": true), as that of cameras. Between two levels of noise of one task factors are interpolated in the logarithm
of the noise; the guarantee is that of the two. An entry of noise that was measured in each file ("measured": true) stands at both ends of
the levels that were found.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from restorekit.errors import BadInput
from restorekit.files.picture import write_text
from restorekit.inference.solver import Solver
from restorekit.text.grammar import split
from restorekit.uncertainty.conformal import Scores, check_count, reach
from restorekit.uncertainty.interval import LEVELS, Interval, Spread, student

FORMAT = "restorekit calibration 1"
GRID = tuple(round(v, 2) for v in np.arange(LEVELS[0], LEVELS[1] + 0.005, 0.01))
REACH = 1.25  # times the greatest and the least noise of a calibration: further away it says nothing
COARSE = 0.01  # noise from which on it does not matter whether a file has 8 or 16 bits: rounding is 1 % of its variance
SUFFIX = ".calibration.json"
JPEG = "jpeg"  # a type of file: of integers whose noise went through the rounding of a JPEG
WHITE_LEFT_OUT = (
    "white left out"  # next to not measured: so values at white were taken in light, before they were censored
)
HEADER = (
    "task",
    "noise",
    "files",
    "light",
    "clipped values",
    "solver",
    "levels",
    "samples",
    "pictures",
)  # of `Calibration.table`


class Uncalibrated(BadInput):
    """There is no calibration for what was asked."""


def solver_key(solver: Solver, steps: int | None) -> str:
    """Return a solver with all its settings and its number of levels, as text: another one has other error bars."""
    settings = ",".join(f"{k}={v}" for k, v in solver.settings().items())
    return f"{type(solver).__name__}:{settings}@{steps or solver.default_steps}"


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """It says under which conditions samples were drawn; an entry is found by them."""

    task: str  # the operator, as "blur:kernel=gaussian:1.6"
    noise: str  # as "gaussian:0.05"
    dtype: str = "uint8"  # of the file: integers cut off noise at black and white
    transfer: str = "linear"
    clipped: str = "measured"  # how values at black and white of integers were taken, by `tasks.clipped`
    solver: str = ""  # `solver_key`
    samples: int = 8
    measured: bool = False  # the noise was measured in the file, and not told
    shared: bool = False  # of a JPEG, measured: it is not white before its rounding, as that of cameras

    @property
    def operation(self) -> tuple[str, str]:
        """Return the name, and the factor where there is one: other settings are noted where they differ."""
        name, positional, named = split(self.task)
        factor = named.get("factor", positional[0] if positional else "2")
        return name, factor if name in ("average", "decimate", "resize") else ""

    @property
    def law(self) -> tuple[str, float]:
        """Return (noise law with all settings but its first, its first)."""
        name, positional, named = split(self.noise)
        first = positional[0] if positional else named.pop(next(iter(named), ""), "")
        try:
            number = float(first)
        except ValueError:
            raise BadInput(f"`noise={self.noise}` has no level; give one, as gaussian:0.02") from None
        return ",".join([name, *positional[1:], *(f"{k}={v}" for k, v in sorted(named.items()))]), number

    @property
    def integers(self) -> bool:
        """Return True for a file of integers."""
        return self.dtype == JPEG or self.dtype.startswith(("int", "uint"))

    def typed_like(self, other: Conditions) -> bool:
        """Return True where both are of one type of file, or of two that make no difference at this noise."""
        if JPEG in (self.dtype, other.dtype):  # where what is measured and what is told differ more than elsewhere
            return (self.dtype, self.measured, self.shared) == (other.dtype, other.measured, other.shared)
        return self.dtype == other.dtype or (self.integers == other.integers and self.law[1] >= COARSE)

    def like(self, other: Conditions) -> bool:
        """Return True where they differ in the level of the noise, the number of samples, and settings of the operator
        alone."""
        same = (self.operation, self.law[0], self.transfer, self.solver)
        alike = same == (other.operation, other.law[0], other.transfer, other.solver)
        return alike and self.typed_like(other) and (not self.integers or self.clipped == other.clipped)

    @property
    def sampler(self) -> tuple[str, dict[str, str]]:
        """Return (name of the solver, its settings and its number of levels)."""
        name, _, rest = self.solver.partition(":")
        settings, _, levels = rest.rpartition("@")
        return name.lower(), dict(v.split("=", 1) for v in settings.split(",") if "=" in v) | {"levels": levels}

    @property
    def text(self) -> str:
        """Return the conditions in words."""
        light = "" if self.transfer == "linear" else f" in {self.transfer} light"
        measured = " as measured" if self.measured and self.dtype == JPEG else ""
        measured += ", shared by neighbours," if self.shared else ""
        return (
            f"{self.task.partition(':')[0]} at {self.noise}{measured}{light} of {self.dtype} files by {self.sampler[0]}"
        )

    def differs(self, other: Conditions) -> list[str]:
        """Return in words what `other`, of the same operation, has that these conditions have not, number of samples
        apart."""
        (name, settings), (own, mine) = other.sampler, self.sampler
        changed = [f"{k}={v}" for k, v in settings.items() if mine.get(k) != v and k != "levels"]
        changed += [f"{settings['levels']} levels"] if settings["levels"] != mine["levels"] else []
        noisy = self.law[0] != other.law[0] or not 1 / REACH <= self.law[1] / (other.law[1] or 1) <= REACH
        said = [f"at {other.noise}"] if noisy else []
        said += [f"in {other.transfer} light"] if self.transfer != other.transfer else []
        said += [f"of {other.dtype} files"] if self.dtype != other.dtype and not self.typed_like(other) else []
        said += ["of noise that was measured"] if other.measured and not self.measured else []
        said += (
            [f"of noise that neighbours {'share' if other.shared else 'do not share'}"]
            if other.shared != self.shared
            else []
        )
        said += [f"with `clipped={other.clipped}`"] if self.integers and self.clipped != other.clipped else []
        return said + ([f"by {name}"] if name != own else [f"with {', '.join(changed)}"] if changed else [])


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An entry was found under certain conditions: `ratios` at GRID, NaN where the pictures were too few."""

    conditions: Conditions
    spread: Spread
    data: str
    pictures: int
    ratios: tuple[float, ...]
    judged: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, conditions: Conditions, spread: Spread, data: str, pictures: list[Scores]) -> Entry:
        """Return the entry that the scores of `pictures` give."""
        reached = (reach(pictures, level) for level in GRID)
        ratios = tuple(v if math.isfinite(v) else math.nan for v in reached)
        return cls(conditions=conditions, spread=spread, data=data, pictures=len(pictures), ratios=ratios)

    def ratio(self, level: float) -> float:
        """Return the ratio at the least level of GRID that is not below `level`. Raises BadInput where the pictures
        are too few for it."""
        ratio = self.ratios[next(i for i, known in enumerate(GRID) if known >= level - 1e-9)]
        if math.isnan(ratio):
            check_count(self.pictures, level)
            raise BadInput(
                f"`level={level:g}`: the calibration reaches none, the samples hardly differ; take another solver"
            )
        return ratio

    def factor(self, level: float) -> float:
        """Return by what the interval of a Gaussian posterior is multiplied."""
        return self.ratio(level) / student(level, self.conditions.samples)

    def plain(self) -> dict[str, Any]:
        """Return the entry as JSON takes it."""
        rest = {"spread": dataclasses.asdict(self.spread), "data": self.data, "pictures": self.pictures}
        ratios = [None if math.isnan(v) else float(f"{v:.6g}") for v in self.ratios]
        known = dataclasses.asdict(self.conditions)
        for name in ("measured", "shared"):
            if not known[name]:
                del known[name]
        return {**known, **rest, "ratios": ratios, "judged": self.judged}

    @classmethod
    def read(cls, plain: dict[str, Any]) -> Entry:
        """Return the entry of what `plain` gave. Raises ValueError, KeyError or TypeError for anything else."""
        older = "measured" if plain["transfer"] == "linear" else WHITE_LEFT_OUT
        plain = {"clipped": older, "measured": False, "shared": False, **plain}
        conditions = Conditions(**{f.name: plain[f.name] for f in dataclasses.fields(Conditions)})
        ratios = tuple(math.nan if v is None else float(v) for v in plain["ratios"])
        if len(ratios) != len(GRID):
            raise ValueError(f"{len(ratios)} ratios, not {len(GRID)}")
        return cls(
            conditions=conditions, spread=Spread(**plain["spread"]), data=str(plain["data"]),
            pictures=int(plain["pictures"]), ratios=ratios, judged=dict(plain["judged"]),
        )  # fmt: skip


@dataclass(frozen=True)
class FoundInterval:
    """An interval comes with what the record says of it, and what the user has to know."""

    interval: Interval
    record: dict[str, Any]
    note: str = ""


def uncalibrated(level: float, why: str) -> FoundInterval:
    """Return the interval of a Gaussian posterior, which is not guaranteed to hold for pictures, and says so."""
    said = f"error bars are not calibrated ({why}): OUT_low and OUT_high hold for Gaussian posteriors alone"
    return FoundInterval(Interval(level), {"level": level, "factor": 1.0, "calibration": "none", "why": why}, said)


@dataclass(frozen=True)
class Calibration:
    """A calibration holds all entries of one prior."""

    prior: str
    sha256: str  # of its weights
    entries: tuple[Entry, ...] = ()
    version: str = ""  # of restorekit, that wrote it

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """Return the calibration in a file. Raises BadInput where it is none."""
        try:
            plain = json.loads(path.read_text())
            if plain["format"] != FORMAT:
                raise ValueError(f"format {plain['format']!r}")
            entries = tuple(Entry.read(e) for e in plain["entries"])
            return cls(str(plain["prior"]["name"]), str(plain["prior"]["sha256"]), entries, str(plain["restorekit"]))
        except FileNotFoundError:
            raise BadInput(f"{path}: no such file; `restorekit calibrate` writes one") from None
        except (ValueError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
            why = "no text" if isinstance(error, UnicodeDecodeError) else repr(error)[:160]
            raise BadInput(f"{path}: no calibration ({why}); `restorekit calibrate` writes one") from None

    def write(self, path: Path) -> None:
        """Write the file, a line for each entry."""
        prior = {"name": self.prior, "sha256": self.sha256}
        head = {"format": FORMAT, "restorekit": self.version, "prior": prior, "levels": GRID}
        lines = ",\n".join(json.dumps(e.plain(), allow_nan=False) for e in self.entries)
        write_text(path, f'{json.dumps(head)[:-1]}, "entries": [\n{lines}\n]}}\n')

    def joined(self, entries: list[Entry]) -> Calibration:
        """Return the calibration with these entries in the place of those of the same conditions."""
        new = [e.conditions for e in entries]
        return replace(self, entries=(*(e for e in self.entries if e.conditions not in new), *entries))

    def table(self) -> list[list[str]]:
        """Return what it holds for, with HEADER: a row for all numbers of samples of the same conditions."""
        rows: dict[Conditions, list[Entry]] = {}
        for entry in self.entries:
            rows.setdefault(replace(entry.conditions, samples=0), []).append(entry)
        lines = []
        for c, same in rows.items():
            name, settings = c.sampler
            counts = ({e.conditions.samples for e in same}, {e.pictures for e in same})
            of = [
                c.task,
                f"{c.noise}, measured{', shared by neighbours' if c.shared else ''}" if c.measured else c.noise,
                c.dtype,
                c.transfer,
                c.clipped if c.integers else "-",
                name,
                settings["levels"],
            ]
            lines.append(of + [", ".join(map(str, sorted(n))) for n in counts])
        return lines

    def find(self, wanted: Conditions, sha256: str, level: float, name: str = "") -> FoundInterval:
        """Return the interval for these conditions; `name`: of the file.

        Raises Uncalibrated where no entry fits, and BadInput where its pictures are too few for the level.
        """
        if sha256 != self.sha256:
            raise Uncalibrated(
                f"{name or 'the calibration'} is that of other weights ({self.prior} {self.sha256[:12]})"
            )
        alike = [e for e in self.entries if wanted.like(e.conditions)]
        if not alike:
            raise Uncalibrated(f"none of {wanted.text} for prior {self.prior}{self._nearest(wanted)}")
        own = [e for e in alike if e.conditions.dtype == wanted.dtype]
        tasks = {e.conditions.task for e in alike}
        task = wanted.task if wanted.task in tasks else min(e.conditions.task for e in own or alike)
        dtype, near, reached, around = self._typed([e for e in alike if e.conditions.task == task], wanted, level)
        # Ratios, not factors: with a spread over neighbours they hardly change with the number of samples, as Student's t does.
        ratio = float(np.interp(math.log(wanted.samples), [math.log(k) for k in near], reached))
        factor = ratio / student(level, wanted.samples)
        record: dict[str, Any] = {
            "level": level, "factor": round(factor, 4),
            "calibration": {"file": name, "sha256": self.sha256[:12], "id": self.identity(around), "samples": near, "dtype": dtype,
                            "task": task, "noise": [e.conditions.noise for e in around],
                            "pictures": [e.pictures for e in around], "data": around[0].data},
        }  # fmt: skip
        other = task if wanted.operation[0] != "denoise" and task != wanted.task else ""
        said = [f"for {other}; they hold as far as {wanted.task} is like it"] if other else []
        if wanted.samples not in near:
            said.append(f"with {' and '.join(map(str, near))} samples, not {wanted.samples}")
        if dtype != wanted.dtype and wanted.integers:  # floats of any precision are one
            said.append(f"for {dtype} files, not {wanted.dtype}")
        note = f"error bars are calibrated {', and '.join(said)}" if said else ""
        return FoundInterval(Interval(level, factor, around[0].spread), record, note)

    def _nearest(self, wanted: Conditions) -> str:
        """Return in words in what the entry of this operation that differs least differs; empty where there is none."""
        there = dict.fromkeys(e.conditions for e in self.entries if e.conditions.operation == wanted.operation)
        far = [(wanted.differs(c), abs(math.log((c.law[1] or 1) / (wanted.law[1] or 1))), c.noise) for c in there]
        least = min(far, key=lambda f: (len(f[0]), f[1:]), default=None)
        return f"; the nearest is {' '.join(least[0])}" if least else ""

    def _typed(
        self, alike: list[Entry], wanted: Conditions, level: float
    ) -> tuple[str, list[int], list[float], list[Entry]]:
        """Return (type of file, numbers of samples, their ratios, their entries) of the type nearest to that asked for
        that fits."""
        bits = {t: abs(_bytes(t) - _bytes(wanted.dtype)) for t in {e.conditions.dtype for e in alike}}
        types = sorted(bits, key=lambda t: (t != wanted.dtype, bits[t], t))
        refused: list[BadInput] = []
        for dtype in types:
            typed = [e for e in alike if e.conditions.dtype == dtype]
            counts = sorted({e.conditions.samples for e in typed})
            below = max((k for k in counts if k <= wanted.samples), default=counts[0])
            above = min((k for k in counts if k >= wanted.samples), default=counts[-1])
            near = sorted({below, above})
            try:
                each = [self._at([e for e in typed if e.conditions.samples == k], wanted.law[1], level) for k in near]
            except BadInput as error:
                refused.append(error)
                continue
            return dtype, near, [ratio for ratio, _ in each], [e for _, used in each for e in used]
        raise refused[0]

    def _at(self, alike: list[Entry], noise: float, level: float) -> tuple[float, list[Entry]]:
        """Return the ratio at this noise between entries that differ in it alone, and those it comes from."""
        alike = sorted(alike, key=lambda e: e.conditions.law[1])
        nearest = min(alike, key=lambda e: abs(math.log((e.conditions.law[1] or 1) / (noise or 1))))
        alike = [e for e in alike if e.spread == nearest.spread]  # scores of different spreads are different numbers
        levels = [e.conditions.law[1] for e in alike]
        if not levels[0] / REACH <= noise <= levels[-1] * REACH:
            task = alike[0].conditions.task
            known = f"from {levels[0]:g} to {levels[-1]:g}" if len(levels) > 1 else f"at {levels[0]:g}"
            raise Uncalibrated(f"that of prior {self.prior} for {task} is for noise {known}, not {noise:g}")
        below, above = ([e for e in alike if (e.conditions.law[1] <= noise) == side] for side in (True, False))
        around = below[-1:] + above[:1]
        at = [math.log(e.conditions.law[1]) for e in around]
        return float(np.interp(math.log(noise), at, [e.ratio(level) for e in around])), around

    @staticmethod
    def identity(entries: list[Entry]) -> str:
        """Return twelve digits that change with anything in the entries."""
        return hashlib.sha256(json.dumps([e.plain() for e in entries]).encode()).hexdigest()[:12]


def _bytes(dtype: str) -> int:
    return 1 if dtype == JPEG else np.dtype(dtype).itemsize


def beside(weights: Path) -> Path:
    """Return the path of the calibration of a prior: NAME.calibration.json beside NAME.safetensors."""
    return weights.with_name(weights.stem + SUFFIX)
