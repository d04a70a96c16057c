"""Samples are compared with an exact posterior by figures with their Monte-Carlo errors.

Rank histograms: Talts et al., "Validating Bayesian Inference Algorithms with Simulation-Based Calibration", 2018, with
the exact probability in place of ranks of a few true pictures. Energy score: Gneiting, Raftery, JASA 2007, eq 21.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import scipy
import torch
from torch import Tensor

from restorekit.bench.posterior.exam import F64, Exam
from restorekit.bench.posterior.exam_gaussian import GaussianExam

BINS = 20  # of rank histograms; the outer two lie outside of 90 % intervals
FLOORS = 4  # sets of exact draws, whose distances say what so many draws give


class ValueWithError(NamedTuple):
    """A number and its standard error."""

    value: float
    error: float = math.nan


NONE = ValueWithError(math.nan)


@dataclass(frozen=True)
class Figures:
    """Figures judge samples against the exact posterior; deviations are those of the posterior.

    "Measured" and "unmeasured": along right singular vectors of A above and below a tenth of its largest gain; NaN
    where there are none.
    """

    bias: ValueWithError  # signed, of the mean, in deviations, over pixels: above 0 is too bright
    error_measured: ValueWithError  # root mean square of the mean's distance in deviations, Monte-Carlo part taken off
    error_unmeasured: ValueWithError
    spread_measured: ValueWithError = NONE  # root of the variance over the exact one
    spread_unmeasured: ValueWithError = NONE
    coverage_measured: ValueWithError = (
        NONE  # exact probability inside the sampled 90 % intervals, mean over coordinates
    )
    coverage_unmeasured: ValueWithError = NONE
    w2: ValueWithError = NONE  # Wasserstein distance in deviations
    floor: ValueWithError = NONE  # of as many exact draws
    energy: ValueWithError = NONE  # expected energy score over that of the exact posterior; 1 is exact, more is worse
    ks: ValueWithError = NONE  # largest distance of the PIT along a random direction from uniform
    p: ValueWithError = NONE  # probability of such a distance with exact samples
    ranks: tuple[float, ...] = ()  # BINS exact probabilities between sampled quantiles; flat if calibrated


@dataclass(frozen=True, eq=False)
class ExactPosterior:
    """The exact posteriors of G measurements: of B, or of each of their pixels where those are independent."""

    mean: Tensor  # (G, n)
    covariance: Tensor  # (G, n, n)
    parts: tuple[Tensor, Tensor]  # (n, k) measured, (n, n - k) not
    below: Callable[[Tensor, Tensor], Tensor]  # (v (n, k), t (G, q, k)) -> exact probability below t
    exact: Callable[[int, int], Tensor]  # (count, seed) -> (G, count, n)
    normal: bool

    @staticmethod
    def of(exam: Exam, y: Tensor) -> ExactPosterior:
        """Return the exact posterior of an exam given y (B, ...)."""
        mean, covariance, normal = exam.mean(y), exam.covariance(y), isinstance(exam, GaussianExam)
        if not exam.separate:
            exact = lambda count, seed: exam.exact(y, count, seed).flatten(2).to(F64)
            return ExactPosterior(mean, covariance, exam.directions, lambda v, t: exam.cdf(y, v, t), exact, normal)
        b, n = mean.shape
        one = torch.ones(1, 1, dtype=F64), torch.zeros(1, 0, dtype=F64)

        def below(v: Tensor, t: Tensor) -> Tensor:
            """Return the exact probability below t; v is 1 or -1: of one pixel there is no other direction."""
            eye = torch.eye(n, dtype=F64)
            p = each(exam.cdf(y, eye, (t / v[0, 0]).view(b, n, -1).mT))
            return p if v[0, 0] > 0 else 1 - p

        return ExactPosterior(
            mean.view(-1, 1), covariance.diagonal(dim1=1, dim2=2).reshape(-1, 1, 1), one, below,
            lambda count, seed: each(exam.exact(y, count, seed).flatten(2)), normal,
        )  # fmt: skip


def each(x: Tensor) -> Tensor:
    """Return (B, S, n) as (B n, S, 1)."""
    return x.mT.reshape(-1, x.shape[1], 1)


def _mean(x: Tensor, least: float = 0.0) -> ValueWithError:
    """Return the mean of (G,) measurements; the error is what they differ by, and not below `least`, as few may agree by chance."""
    error = float(x.std() / len(x) ** 0.5) if len(x) > 1 else 0.0
    return ValueWithError(float(x.mean()), max(error, least) or math.nan)


def _root(f: ValueWithError) -> ValueWithError:
    value = math.sqrt(max(0.0, f.value))
    return ValueWithError(value, f.error / (2 * max(value, math.sqrt(f.error / 2), 1e-300)) if f.error > 0 else f.error)


@dataclass(frozen=True)
class Chance:
    """Standard errors of figures of S exact draws of each of G measurements along k directions, were the posterior Gaussian."""

    samples: int
    groups: int
    effective: float  # independent coordinates that the variance is spread over, and that the correlations leave
    coordinates: float
    common: float  # variance of the mean over coordinates, in their own deviations

    @staticmethod
    def of(covariance: Tensor, samples: int) -> Chance:
        """Return the errors for posteriors of this covariance (G, k, k)."""
        c = covariance.mean(0)
        sd = c.diagonal().sqrt()
        r = c / torch.outer(sd, sd)
        effective = c.trace() ** 2 / c.square().sum()
        return Chance(
            samples, len(covariance), float(effective), float(len(c) ** 2 / r.square().sum()), float(r.mean())
        )

    @property
    def bias(self) -> float:
        return math.sqrt(self.common / (self.samples * self.groups))

    @property
    def variance(self) -> float:
        """Return the error of the trace of the sample covariance over the exact one."""
        return math.sqrt(2 / ((self.samples - 1) * self.effective * self.groups))

    @property
    def square(self) -> float:
        """Return the error of the squared distance of the mean over the trace of the covariance."""
        return math.sqrt(2 / (self.effective * self.groups)) / self.samples

    @property
    def coverage(self) -> float:
        """Return the error of coverage: what lies inside of intervals of order statistics has a Beta distribution."""
        return math.sqrt(0.9 * 0.1 / ((self.samples + 2) * self.coordinates * self.groups))


def judge(exam: Exam, y: Tensor, x: Tensor, seed: int = 0) -> Figures:
    """Judge x (B, S, C, H, W), S samples of each measurement y. S + 1 is a multiple of 20, for exact 90 % intervals; or 1."""
    truth, x = ExactPosterior.of(exam, y), x.flatten(2).to(F64)
    x = each(x) if exam.separate else x
    s, off, c = x.shape[1], x.mean(1) - truth.mean, truth.covariance
    drawn = s > 1  # what an optimiser gives has no error of chance
    z = (off / c.diagonal(dim1=1, dim2=2).sqrt()).mean(1)
    bias = _mean(z, Chance.of(c, s).bias if drawn else 0.0)
    if drawn and (s + 1) % BINS:
        raise ValueError(f"{s} samples: one more must be a multiple of {BINS}")
    parts = [
        _along(truth, v, x) if v.shape[1] else (NONE, NONE, NONE, x.new_zeros(len(x), BINS, 0)) for v in truth.parts
    ]
    (error, spread, inside, bins), (error_, spread_, inside_, bins_) = parts
    if not drawn:
        return Figures(bias, error, error_)
    w2, floor = distances(truth, x, seed)
    distance, p = pit(truth, x, seed)
    return Figures(
        bias, error, error_, spread, spread_, inside, inside_, w2, floor, energy(truth, x, seed),
        distance, ValueWithError(p), tuple(torch.cat([bins, bins_], 2).mean((0, 2)).tolist()),
    )  # fmt: skip


def _along(
    truth: ExactPosterior, v: Tensor, x: Tensor
) -> tuple[ValueWithError, ValueWithError, ValueWithError, Tensor]:
    """Return error, spread, coverage and rank histograms (G, BINS, k) along the columns of v (n, k)."""
    s, off, c = x.shape[1], (x.mean(1) - truth.mean) @ v, v.T @ truth.covariance @ v
    known = c.diagonal(dim1=1, dim2=2).sum(1)
    if s == 1:
        return _root(_mean(off.square().sum(1) / known)), NONE, NONE, x.new_zeros(0)
    own, chance = (x @ v).var(1).sum(1), Chance.of(c, s)
    error = _root(_mean((off.square().sum(1) - own / s) / known, chance.square))
    bins = ranks(truth, v, x)
    inside = _mean(bins[:, 1:-1].sum(1).mean(1), chance.coverage)
    ratio = own / known
    return error, _root(_mean(ratio, chance.variance * float(ratio.mean()))), inside, bins


def ranks(truth: ExactPosterior, v: Tensor, x: Tensor) -> Tensor:
    """Return (G, BINS, k): the exact probability between quantiles of samples x (G, S, n) along the columns of v (n, k).

    The expected histogram of the rank of the truth among the samples, without drawing truths.
    """
    step = (x.shape[1] + 1) // BINS
    quantiles = (x @ v).sort(1).values[:, step - 1 :: step][:, : BINS - 1]
    p = truth.below(v, quantiles)
    return torch.diff(p, dim=1, prepend=torch.zeros_like(p[:, :1]), append=torch.ones_like(p[:, :1]))


def pit(truth: ExactPosterior, x: Tensor, seed: int) -> tuple[ValueWithError, float]:
    """Return Kolmogorov's distance, and its p-value, of F(v'x | y) from uniform: independent and uniform if the samples are exact.

    The deviation of that distance for N exact samples is 0.26 / sqrt(N), its mean 0.87 / sqrt(N).
    """
    v = torch.randn(x.shape[2], 1, generator=torch.Generator().manual_seed(seed), dtype=F64)
    v = v / v.norm()
    u = truth.below(v, x @ v).flatten()
    found = scipy.stats.kstest(u.numpy(), "uniform")
    return ValueWithError(float(found.statistic), 0.26 / len(u) ** 0.5), float(found.pvalue)


def energy(truth: ExactPosterior, x: Tensor, seed: int) -> ValueWithError:
    """Return E|X - Z| - E|X - X'| / 2 over E|Z - Z'| / 2, Z of the exact posterior: without bias for any number of samples."""
    z, s = truth.exact(x.shape[1], seed + 11), x.shape[1]
    inner = lambda a: 0.5 * torch.cdist(a, a).sum((0, 1)) / (s * (s - 1))
    rows = [(torch.cdist(a, b).mean() - inner(a), inner(b)) for a, b in zip(x, z)]
    score, least = (torch.stack(t) for t in zip(*rows))
    over = _mean((score - least) / least.mean())
    return ValueWithError(1 + over.value, over.error)


def distances(truth: ExactPosterior, x: Tensor, seed: int) -> tuple[ValueWithError, ValueWithError]:
    """Return W2 of the samples and the mean of FLOORS sets of exact draws.

    The error of the first is what the measurements differ by, and not below what one set of exact draws has by chance:
    a sampler far off may be further off for one measurement than for another, which exact draws never are.
    """
    of = _fitted if truth.normal else _sliced
    floors = torch.tensor([of(truth, truth.exact(x.shape[1], seed + 20 + i), seed).value for i in range(FLOORS)])
    chance, found = float(floors.std()), of(truth, x, seed)
    return ValueWithError(found.value, max(found.error, chance)), ValueWithError(
        float(floors.mean()), chance / FLOORS**0.5
    )


def _fitted(truth: ExactPosterior, x: Tensor, seed: int) -> ValueWithError:
    """Return W2 between Gaussians; the covariance is the same for every y, so deviations are pooled. Its error is a jackknife's."""
    m, exact, g = x.mean(1), truth.covariance[0], len(x)
    own = (x - m[:, None]).mT @ (x - m[:, None]) / (x.shape[1] - 1)
    off, root = (m - truth.mean).square().sum(1), _half_power(exact)

    def pooled(found: Tensor, off: Tensor) -> float:
        bures = float((found + exact).trace() - 2 * _half_power(root @ found @ root).trace())
        return math.sqrt((float(off) + max(0.0, bures)) / float(exact.trace()))

    without = torch.tensor(
        [pooled((own.sum(0) - own[i]) / (g - 1), (off.sum() - off[i]) / (g - 1)) for i in range(g if g > 1 else 0)]
    )
    error = math.sqrt((g - 1) * float(without.var(correction=0))) if g > 1 else 0.0
    return ValueWithError(pooled(own.mean(0), off.mean()), error)


def _half_power(c: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh((c + c.T) / 2)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def _sliced(truth: ExactPosterior, x: Tensor, seed: int) -> ValueWithError:
    """Return the root mean square over 64 directions, against as many exact draws."""
    g, n = torch.Generator().manual_seed(seed), x.shape[2]
    v = torch.randn(n, 64 if n > 1 else 1, generator=g, dtype=F64)
    v = v / v.norm(dim=0)
    a, b = ((t @ v).sort(1).values for t in (x, truth.exact(x.shape[1], seed + 10)))
    variance = truth.covariance.diagonal(dim1=1, dim2=2).mean(1)
    return _root(_mean((a - b).square().mean((1, 2)) / variance))
