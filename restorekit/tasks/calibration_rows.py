"""Coverage is how often intervals of samples hold the truth of pictures; calibrations are made of it.

Of the pictures sorted by name those at even positions calibrate, those at odd ones only judge. A picture is drawn from
once; its scores for every number of samples are a row of a table, from which all else follows, so that a run may be
stopped and goes on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy
import torch
from numpy.typing import NDArray

import restorekit
from restorekit.errors import BadInput
from restorekit.files.curves import CURVES
from restorekit.files.journal import Rows
from restorekit.inference.denoiser import Denoiser, Latent
from restorekit.inference.driver import restore
from restorekit.inference.problem import Problem
from restorekit.inference.solver import Solver
from restorekit.inference.units import of_coded_pictures
from restorekit.operators import Inpaint, Operator
from restorekit.priors.prior import LatentPrior, Prior
from restorekit.tasks.clipped import Limits, first_taken, measured_alone
from restorekit.tasks.inputs import Source, take
from restorekit.text.degradation import Degradation
from restorekit.training.data.cache import files
from restorekit.training.data.decoding import rgb8
from restorekit.uncertainty.calibration import WHITE_LEFT_OUT, Conditions, solver_key
from restorekit.uncertainty.conformal import Scores
from restorekit.uncertainty.interval import LOCAL, POWERS, Interval, Spread, ratios

Array = NDArray[np.floating[Any]]
KEYS = (
    "prior",
    "solver",
    "task",
    "noise",
    "dtype",
    "transfer",
    "data",
    "seed",
    "picture",
    "samples",
    "digest",
    "precision",
    "power",
    "clipped",
)
VALUES = ("half", "seconds", "spread", "plain", "scores", "restorekit")
LATER = ("digest", "precision", "power", "clipped", "restorekit")  # columns that older tables lack
LOSSY_POWER = (
    1.15  # of the spread where detail is lost everywhere; both halves of the pictures were seen when it was chosen
)
HALVES = ("calibrate", "judge")
WAYS = ("censored", "measured", WHITE_LEFT_OUT)  # of clipped values; the last one in light alone, of older tables
FEWER = (2, 4, 8, 16, 32)  # of the samples that are drawn, so many also get a factor
LEVEL = 0.9  # at which a table says how intervals do
NEAR = 5  # pixels a side of the windows of texture
AROUND = 7  # and of those in which values may be at black or white
CPU = torch.device("cpu")
Show = Callable[[int, int], None]
MOST = 500  # pictures that say what dark, bright, smooth and rough is


class Truth(NamedTuple):
    """A true picture, and the half that it belongs to."""

    name: str
    half: str
    pixels: Array  # (3, side, side), [0, 1]

    @property
    def digest(self) -> str:
        """Return twelve digits of the SHA-256 of the pixels, which tell pictures of one name apart."""
        return hashlib.sha256(self.pixels.tobytes()).hexdigest()[:12]


@dataclass(frozen=True)
class SplitPictures:
    """The middle squares of pictures, and which of them judge. source: a folder or zip, or pictures in their order.

    exposure: times as much light, of which what is above white is lost when it is measured.
    """

    source: Path | Sequence[Source]
    side: int
    exposure: float = 1.0

    @property
    def name(self) -> str:
        """Return the folder or zip, or the number of pictures and what tells them from others, with the side of the squares."""
        if isinstance(self.source, Path):
            return f"{self.source.name} crop {self.side}" + (
                "" if self.exposure == 1 else f", {self.exposure:g} times the light"
            )
        told = hashlib.sha256("".join(truth.digest for truth in self.pictures).encode()).hexdigest()[:8]
        return f"{len(self.source)} pictures {told} crop {self.side}"

    @cached_property
    def pictures(self) -> list[Truth]:
        """Yield the pictures that are large enough, from all over the list however few are taken: pairs of both halves in turn."""
        found = []
        for i, (name, x) in enumerate(self._read()):
            if x is None or min(x.shape[1:]) < self.side:
                continue
            top, left = ((n - self.side) // 2 for n in x.shape[1:])
            part = np.array(x[:, top : top + self.side, left : left + self.side], np.float32, order="C")
            if self.exposure != 1:
                part = CURVES["srgb"].encode(CURVES["srgb"].decode(part) * self.exposure).astype(np.float32)
            found.append((i, Truth(name, HALVES[i % 2], part)))
        if len({truth.half for _, truth in found}) < 2:
            label = self.source if isinstance(self.source, Path) else f"{len(self.source)} pictures"
            raise BadInput(
                f"{label}: two pictures of {self.side}x{self.side} pixels are the least; give more, or a smaller `crop`"
            )
        turn = {0: 0, 2: 1}
        return [truth for _, truth in sorted(found, key=lambda item: (turn.get(item[0] // 2 % 4, 2), item[0]))]

    def _read(self) -> Iterator[tuple[str, Array | None]]:
        """Yield name and pixels (3, H, W); None of what cannot be read, which keeps its place, so that the halves stay what they are."""
        if not isinstance(self.source, Path):
            for i, source in enumerate(self.source):
                x = take(source).picture.pixels
                if len(x) not in (1, 3):
                    raise BadInput(f"picture {i} has {len(x)} bands; give grey or colour ones")
                yield f"{i:05d}", np.broadcast_to(x, (3, *x.shape[1:]))
            return
        for name, raw in files(self.source):
            try:
                yield name, rgb8(name, raw).transpose(2, 0, 1) / np.float32(255)
            except ValueError:
                yield name, None

    def some(self, limit: int | None, only: str | None = None) -> list[Truth]:
        """Return at most `limit` of each half, or of the half `only`."""
        asked = [t for t in self.pictures if only in (None, t.half)]
        if limit is None:
            return asked
        return [t for half in HALVES for t in [p for p in asked if p.half == half][:limit]]

    @cached_property
    def thirds(self) -> tuple[Array, Array]:
        """Return the two values of brightness, and of texture, between which the middle third of the pixels lies."""
        bright = np.stack([t.pixels for t in self.pictures[:MOST]])
        rough = np.stack([texture(x) for x in bright])
        return np.quantile(bright, [1 / 3, 2 / 3]), np.quantile(rough, [1 / 3, 2 / 3])

    def cells(self, truth: Array) -> NDArray[np.integer[Any]]:
        """Return (C, H, W): 3 times the third of brightness, plus the third of texture, of every pixel."""
        bright, rough = self.thirds
        return 3 * np.digitize(truth, bright) + np.digitize(texture(truth), rough)


def texture(x: Array) -> Array:
    """Return (C, H, W): the standard deviation of the pixels around."""
    size: Any = (0, NEAR, NEAR)
    return np.sqrt(np.maximum(scipy.ndimage.uniform_filter(x**2, size) - scipy.ndimage.uniform_filter(x, size) ** 2, 0))


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Settings of the samples that are drawn for pictures whose truth is known, measured as a file of `dtype` would
    have them.
    """

    prior: Prior
    solver: Solver
    steps: int | None = None
    samples: int = 8
    dtype: str = "uint8"  # uint8 and uint16 cut off what is below black and above white, and round
    transfer: str = "linear"
    seed: int = 0
    power: float | None = None  # of the spread; None: by the task
    clipped: str = "censored"  # how values at black and white are taken: a key of WAYS
    device: torch.device = CPU

    def __post_init__(self) -> None:
        if self.dtype not in ("uint8", "uint16", "float32"):
            raise BadInput(f"`dtype={self.dtype!r}` is unknown; it is uint8, uint16 or float32")
        if self.transfer not in CURVES:
            raise BadInput(f"`transfer={self.transfer!r}` is unknown; it is {' or '.join(CURVES)}")
        if self.clipped not in WAYS:
            raise BadInput(f"`clipped={self.clipped!r}` is unknown; it is {' or '.join(WAYS[:2])}", argument="clipped")
        if self.samples < 2 or not self.solver.is_sampler:
            raise BadInput("error bars take a solver that draws, such as mmps, and at least `samples=2`")
        if self.power is not None and not POWERS[0] <= self.power <= POWERS[1]:
            raise BadInput(f"`power={self.power:g}` of the spread must lie between {POWERS[0]:g} and {POWERS[1]:g}")
        if isinstance(self.prior, LatentPrior) or self.prior.units is not None:
            raise BadInput(
                f"prior {self.prior.spec.name} is none of pictures; error bars are calibrated for those alone"
            )

    @property
    def counts(self) -> list[int]:
        """Return the numbers of samples, that which is drawn last."""
        return [k for k in FEWER if k < self.samples] + [self.samples]

    def spread(self, task: Degradation) -> Spread:
        """Return how a spread is taken of the samples of a task. By itself its power is LOSSY_POWER for operators that
        lose detail everywhere, all that blur or reduce by more than 2, and 1 for others."""
        if self.power is not None:
            return replace(LOCAL, power=self.power)
        name, factor = self.conditions(task, self.samples).operation
        lossy = name in ("blur", "decimate", "resize") or (name == "average" and float(factor) > 2)
        return replace(LOCAL, power=LOSSY_POWER) if lossy else LOCAL

    def conditions(self, task: Degradation, samples: int) -> Conditions:
        return Conditions(
            task=task.op, noise=task.noise, dtype=self.dtype, transfer=self.transfer,
            clipped="measured" if self.dtype == "float32" else self.clipped, solver=solver_key(self.solver, self.steps), samples=samples,
        )  # fmt: skip

    def columns(self, task: Degradation, samples: int) -> dict[str, Any]:
        """Return what the rows of all pictures have in common, by name."""
        c = self.conditions(task, samples)
        return {
            "prior": f"{self.prior.spec.name}@{self.prior.sha256[:12]}", "solver": c.solver, "task": c.task,
            "noise": c.noise, "dtype": c.dtype, "transfer": c.transfer, "seed": self.seed, "samples": samples,
            "precision": self.prior.precision, "power": f"{self.spread(task).power:g}", "clipped": c.clipped,
        }  # fmt: skip

    def key(self, task: Degradation, data: str, truth: Truth, samples: int) -> tuple[Any, ...]:
        """Return the key of a row."""
        of = self.columns(task, samples) | {"data": data, "picture": truth.name, "digest": truth.digest}
        return tuple(of[name] for name in KEYS)

    def coded(self, task: Degradation, truth: Truth) -> tuple[Problem, torch.Tensor]:
        """Return a measurement of the light of a picture, and its values in a file."""
        curve = CURVES[self.transfer]
        made = task.measure(curve.decode(truth.pixels).astype(np.float32), truth.name, self.seed)
        linear = self.transfer == "linear"
        values = made.y if linear else torch.from_numpy(curve.encode(made.y.numpy()).astype(np.float32))
        if self.dtype == "float32":
            return made, values
        most = np.iinfo(self.dtype).max
        return made, (values.clamp(0, 1) * most).round() / most

    def problem(self, task: Degradation, truth: Truth) -> Problem:
        """Return a measurement of the light of a picture, as it comes out of a file."""
        made, values = self.coded(task, truth)
        if self.dtype == "float32":
            return made
        curve, light = CURVES[self.transfer], self.transfer != "linear"
        plain = replace(made, y=torch.from_numpy(curve.decode(values.numpy()).astype(np.float32)) if light else values)
        at, half = values[0].numpy(), 0.5 / np.iinfo(self.dtype).max  # a value at a limit was rounded to it as well
        low, high = measured_alone(plain, at <= 0, at >= 1)
        black, white = (curve.decode(np.array(v)) for v in (half, 1 - half))
        limits = Limits(low, high, black, white, light)
        return first_taken(limits.problems(plain, self.clipped), self.solver, self._denoise(plain, len(truth.pixels)))

    def _denoise(self, problem: Problem, bands: int) -> Denoiser | Latent:
        """Return the prior as a run is given it."""
        denoise: Denoiser | Latent = self.prior.for_bands(bands)
        if self.transfer == "linear":
            return denoise
        return of_coded_pictures(denoise, CURVES[self.transfer], self.solver, problem.operator)

    def near_limits(self, task: Degradation, truth: Truth, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Return (C, H, W): where more than a quarter of the values around are at black or white, if a picture was measured."""
        made, values = self.coded(task, truth)
        at = ((values <= 0) | (values >= 1))[0].numpy()
        whole = at.ndim == 3 and not any(n % m for n, m in zip(shape, at.shape))
        if self.dtype == "float32" or not whole:
            return np.zeros(shape, bool)
        at = at & (made.operator.mask.numpy() > 0) if isinstance(made.operator, Inpaint) else at
        for axis in (1, 2):
            at = at.repeat(shape[axis] // at.shape[axis], axis)
        at = np.broadcast_to(at, shape)  # one grey value measures all bands
        size: Any = (0, AROUND, AROUND)
        return np.asarray(scipy.ndimage.uniform_filter(at.astype(float), size) > 0.25)

    def __call__(self, task: Degradation, truth: Truth) -> tuple[Array, Operator, float]:
        """Return (samples (K, C, H, W) in values of the file, the operator, seconds)."""
        problem = self.problem(task, truth)
        there = replace(problem, y=problem.y.to(self.device), operator=problem.operator.to(self.device))
        found = restore(
            there,
            self._denoise(there, len(truth.pixels)),
            self.solver,
            steps=self.steps,
            samples=self.samples,
            seed=self.seed,
        )
        light = problem.operator.inside(found.samples).float().cpu().numpy()
        return CURVES[self.transfer].encode(light).astype(np.float32), problem.operator, found.seconds


def rows_of(path: Path | None) -> Rows:
    """Return the table of a run, begun or gone on with; in memory without a path."""
    return Rows(path, KEYS, VALUES, LATER)


def missing(
    drawn: Drawn,
    tasks: Sequence[Degradation],
    held: SplitPictures,
    limit: int | None,
    rows: Rows,
    only: str | None = None,
) -> list[tuple[Truth, Degradation]]:
    """Return what is still to be drawn; every condition of a picture before the next picture."""
    asked = [(truth, task) for truth in held.some(limit, only) for task in tasks]
    return [(t, k) for t, k in asked if not rows.has(*drawn.key(k, held.name, t, drawn.samples))]


def add(drawn: Drawn, task: Degradation, held: SplitPictures, truth: Truth, rows: Rows) -> None:
    """Draw the samples of one picture, and add a row to `rows` for every number of samples."""
    samples, operator, seconds = drawn(task, truth)
    score(drawn, task, held, truth, rows, samples, operator, seconds)


def score(
    drawn: Drawn,
    task: Degradation,
    held: SplitPictures,
    truth: Truth,
    rows: Rows,
    samples: Array,
    operator: Operator,
    seconds: float,
) -> None:
    """Add a row to `rows` for every number of samples of one picture, taking the first ones: they are as good as any.

    samples: (K, C, H, W) in values of the file. seconds: what they took.
    """
    x = operator.inside(torch.from_numpy(truth.pixels)[None])[0].numpy()
    measured = operator.mask.numpy() > 0 if isinstance(operator, Inpaint) else None
    cell = 18 * drawn.near_limits(task, truth, x.shape).astype(int)
    if truth.half == "judge":  # what calibrates is not told apart further
        cell += operator.inside(torch.from_numpy(held.cells(truth.pixels))[None])[0].numpy()
        cell += 0 if measured is None else 9 * measured
    spread = drawn.spread(task)
    above = x > 1  # where any value from white on is right
    for count in drawn.counts:
        some = samples[:count]
        x = np.where(above, np.maximum(some.mean(0), 1), x)
        low, high = Interval(LEVEL)(some)
        plain = float(((low <= x) & (x <= high)).mean())
        counted = Scores.of(ratios(x, some, spread, measured), cell)
        width = float(spread(some, measured).mean())
        key, version = drawn.key(task, held.name, truth, count), restorekit.__version__
        rows.add(*key, truth.half, seconds, width, plain, counted.text, version)


def run(
    drawn: Drawn,
    tasks: Sequence[Degradation],
    held: SplitPictures,
    limit: int | None,
    rows: Rows,
    show: Show,
    only: str | None = None,
) -> None:
    """Draw what is missing, of one half where `only` names it; `show(done, total)` after each restoration."""
    left = missing(drawn, tasks, held, limit, rows, only)
    total = len(held.some(limit, only)) * len(tasks)
    show(total - len(left), total)
    for i, (truth, task) in enumerate(left, 1):
        add(drawn, task, held, truth, rows)
        show(total - len(left) + i, total)
