"""Error bars at every noise level: samples against exact posteriors of dense Gaussian problems, from noise 0.002 to 0.05.

The priors are dense covariances of 8x8 pictures, one stationary and one random, that no operator here shares its basis with;
every solver runs as users run it, by `restorekit.restore` in float64 with its own settings, levels and number of steps.
What is measured and what is not are looked at apart, as the mean over both hides either.

python benchmarks/noise_levels.py [--solver mmps] [--sigma 0.01] [--samples 199]
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import product

import torch
from common import RESULTS, publish
from torch import Tensor

from restorekit import restore
from restorekit.bench.rows import Rows
from restorekit.errors import Unsupported
from restorekit.likelihood import Gaussian
from restorekit.operators import BlockAverage, CircularBlur, Identity, Inpaint, LinearOperator
from restorekit.solvers import SOLVERS
from restorekit.solvers.from_text import solver as solver_of
from restorekit.types import Problem, Rng

SIDE = 8
SHAPE = (1, SIDE, SIDE)
N = SIDE * SIDE
F64 = torch.float64
LEVELS = (0.002, 0.005, 0.01, 0.02, 0.05)
SLOW = {"enkg", "exchange", "smc"}  # a population or thousands of calls per sample: the problems that a table can pay for
FEW = (("stationary", "denoise"), ("stationary", "inpaint"))


class Stream(Rng):
    """One stream for a whole batch: much faster than one per sample, where samples need not be told apart."""

    def __init__(self, seed: int):
        super().__init__([seed])

    def normal(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generators[0], dtype=like.dtype)


@dataclass(frozen=True, eq=False)
class Dense:
    """N(0.5, C) with any covariance C (n, n), of pictures of deviation 0.25."""

    covariance: Tensor

    @cached_property
    def _eigen(self) -> tuple[Tensor, Tensor]:
        values, vectors = torch.linalg.eigh(self.covariance)
        return values.clamp(min=0), vectors

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        values, vectors = self._eigen
        s2 = torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1) ** 2
        c = (x - 0.5).flatten(1) @ vectors
        return 0.5 + (values / (values + s2) * c @ vectors.T).view_as(x)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        values, vectors = self._eigen
        z = torch.randn(count, len(values), generator=generator, dtype=F64)
        return 0.5 + (z * values.sqrt() @ vectors.T).view(count, *SHAPE)


def stationary() -> Dense:
    """exp(-distance / 2.5 pixels): a photograph's, nearly; without the wrap of a Fourier basis."""
    at = torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE)).double()
    return Dense(0.25**2 * torch.exp(-torch.cdist(at, at) / 2.5))


def mixed() -> Dense:
    """Eigenvalues 1 / k^2 in random directions: the ratio of the largest to the least deviation is 64."""
    g = torch.Generator().manual_seed(7)
    q = torch.linalg.qr(torch.randn(N, N, generator=g, dtype=F64))[0]
    values = torch.arange(1, N + 1, dtype=F64) ** -2.0
    c = q * values @ q.T
    return Dense(c * (0.25**2 * N / c.trace()))


def _bell() -> Tensor:
    k = torch.exp(-0.5 * (torch.arange(-2, 3, dtype=F64) / 0.8) ** 2)
    return torch.outer(k, k) / k.sum() ** 2


def _half() -> Tensor:
    return (torch.rand(SHAPE, generator=torch.Generator().manual_seed(1)) > 0.5).double()


PRIORS: dict[str, Callable[[], Dense]] = {"stationary": stationary, "random": mixed}
OPERATORS: dict[str, Callable[[], LinearOperator]] = {
    "denoise": lambda: Identity(SHAPE),
    "inpaint": lambda: Inpaint(SHAPE, _half()),
    "average": lambda: BlockAverage(SHAPE, 2),
    "blur": lambda: CircularBlur(SHAPE, _bell()),
}


@dataclass(frozen=True, eq=False)
class Exam:
    """y = A x0 + sigma_y n, x0 of a dense prior: the posterior by dense algebra."""

    prior: Dense
    operator: LinearOperator
    sigma_y: float

    @cached_property
    def matrix(self) -> Tensor:
        return self.operator(torch.eye(N, dtype=F64).view(N, *SHAPE)).flatten(1).T

    @cached_property
    def gain(self) -> Tensor:
        a, c = self.matrix, self.prior.covariance
        return torch.linalg.solve(a @ c @ a.T + self.sigma_y**2 * torch.eye(len(a), dtype=F64), a @ c).T

    @cached_property
    def covariance(self) -> Tensor:
        """(n, n), of the posterior; it does not depend on y."""
        keep = torch.eye(N, dtype=F64) - self.gain @ self.matrix
        return (
            keep @ self.prior.covariance @ keep.T + self.sigma_y**2 * self.gain @ self.gain.T
        )  # Joseph: never negative

    @cached_property
    def directions(self) -> tuple[Tensor, Tensor]:
        """(n, k) measured and (n, n - k) not: right singular vectors of A above and below a tenth of the largest gain."""
        _, s, vh = torch.linalg.svd(self.matrix, full_matrices=True)
        k = int((s > 0.1 * s.max()).sum())
        return vh[:k].T, vh[k:].T

    def draw(self, count: int, seed: int) -> Tensor:
        """(count, ...) measurements of as many pictures."""
        g = torch.Generator().manual_seed(seed)
        return Gaussian(self.sigma_y).sample(self.operator(self.prior.sample(count, g)), g)

    def mean(self, y: Tensor) -> Tensor:
        """(B, n)."""
        return 0.5 + (y.flatten(1) - 0.5 * self.matrix.sum(1)) @ self.gain.T


@dataclass(frozen=True)
class Figures:
    """Spreads are over the exact ones; distances in posterior deviations."""

    measured: float  # root of the variance over the exact one in the measured directions
    unmeasured: float  # NaN where there are none
    coverage: float  # exact probability inside the 90 % intervals of pixels, mean
    bias: float  # of the mean, root mean square over pixels, Monte-Carlo part taken off
    calls: int
    seconds: float  # per sample


def examine(
    exam: Exam, text: str, draws: int = 4, samples: int = 199, seed: int = 0, steps: int | None = None
) -> Figures:
    """`samples` + 1 is a multiple of 20, for intervals by order. Raises `Unsupported` where the solver does not fit."""
    y, solver = exam.draw(draws, seed), solver_of(text)
    found, calls, began = [], 0, time.process_time()
    for i in range(draws):
        made = restore(
            Problem(y[i : i + 1], exam.operator, Gaussian(exam.sigma_y)), exam.prior, solver, samples=samples,
            seed=seed + i, batch=samples, steps=steps, rng=lambda seed, first, count: Stream(seed),
        )  # fmt: skip
        calls = made.nfe
        found.append(made.samples.flatten(1))
    x, seconds = torch.stack(found), (time.process_time() - began) / (draws * samples)
    mean, middle = exam.mean(y), x.mean(1)
    off = (x - middle[:, None]).flatten(0, 1)
    measured, unmeasured = [
        math.sqrt(float((off @ v).square().sum() / (draws * (samples - 1)) / (v.T @ exam.covariance @ v).trace()))
        if v.shape[1] else math.nan
        for v in exam.directions
    ]  # fmt: skip
    variance, k = exam.covariance.diagonal(), (samples + 1) // 20
    ordered = x.sort(1).values
    low, high = (torch.special.ndtr((ordered[:, i] - mean) / variance.sqrt()) for i in (k - 1, samples - k))
    bias = float(((middle - mean).square() / variance).mean() - (x.var(1) / variance).mean() / samples)
    return Figures(measured, unmeasured, float((high - low).mean()), math.sqrt(max(0.0, bias)), calls, seconds)


def samplers() -> list[str]:
    """Solvers that draw samples and take Gaussian noise."""
    problem = Problem(torch.zeros(1, *SHAPE), Identity(SHAPE), Gaussian(0.05))

    def takes(name: str) -> bool:
        try:
            SOLVERS[name]().check(problem)
        except Unsupported:
            return False
        return SOLVERS[name].samples

    return [name for name in SOLVERS if takes(name)]


KEYS = ("prior", "problem", "solver", "sigma_y")
FIELDS = tuple(f.name for f in fields(Figures))


def measured(rows: Rows, names: Sequence[str], levels: Sequence[float], samples: int) -> None:
    """Fill the rows that are not there yet."""
    for sigma_y in levels:
        for (prior, made), (problem, operator) in product(PRIORS.items(), OPERATORS.items()):
            exam = Exam(made(), operator(), sigma_y)
            for name in names:
                if rows.has(prior, problem, name, sigma_y) or (name in SLOW and (prior, problem) not in FEW):
                    continue
                draws, count = (1, 19) if name in SLOW else (2, samples)
                try:
                    found = examine(exam, name, draws, count)
                except Unsupported:
                    continue
                rows.add(prior, problem, name, sigma_y, *(getattr(found, f) for f in FIELDS))


def table(rows: Rows, problem: str, prior: str, names: Sequence[str], levels: Sequence[float]) -> list[list[str]]:
    """A line per solver: spread measured / not measured (coverage) at each level; the calls."""
    lines = []
    for name in names:
        mine = {
            float(r["sigma_y"]): r
            for r in rows.rows
            if (r["prior"], r["problem"], r["solver"]) == (prior, problem, name)
        }
        cells = []
        for s in levels:
            r = mine.get(s)
            if r is None:
                cells.append("refused")
                continue
            other = "" if r["unmeasured"] == "nan" else f" / {float(r['unmeasured']):.2f}"
            cells.append(f"{float(r['measured']):.2f}{other} ({float(r['coverage']):.2f})")
        if mine:
            lines.append([name, *cells, next(iter(mine.values()))["calls"]])
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--solver", action="append", help="a name with settings; again for more; default: every sampler"
    )
    parser.add_argument("--sigma", action="append", type=float, help="again for more; default: 0.002 to 0.05")
    parser.add_argument("--samples", type=int, default=99, help="plus 1 a multiple of 20")
    options = parser.parse_args()
    names, levels = options.solver or samplers(), options.sigma or list(LEVELS)
    torch.set_num_threads(1)
    rows = Rows(RESULTS / "noise_levels_rows.csv", KEYS, FIELDS)
    measured(rows, names, levels, options.samples)
    header = ["solver", *(f"{s:g}" for s in levels), "calls"]
    tables = [
        (f"{problem}, {prior} prior", header, table(rows, problem, prior, names, levels))
        for problem, prior in product(OPERATORS, PRIORS)
    ]
    publish("noise_levels", "Spread of samples at every noise of the measurement", tables, NOTES)


NOTES = (
    (
        "`python benchmarks/noise_levels.py`: dense Gaussian priors of 8x8 pictures, every sampler by `restorekit.restore` in float64 "
        "with its default settings, levels and steps. A cell: standard deviation of the samples over the exact one in the measured "
        "directions / in those that are not (gain below a tenth of the largest), and in brackets the exact probability inside the "
        "sampled 90 % intervals, mean over pixels. 1 / 1 (0.90) is right."
    ),
    "Two measurements of 99 samples each; of `enkg`, `exchange` and `smc`, on two of the problems, one of 19.",
    "`ddnm` and `mcg` meet the measurement exactly, noise included: they have no spread where it was measured.",
)

if __name__ == "__main__":
    main()
