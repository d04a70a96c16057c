"""Dates of one place are compared pixel by pixel: what changed is told from speckle at a stated rate of false alarms.

Where nothing changes, y_t / (sum of all dates) follows a beta law whatever lies under the speckle: with L_t looks of date t
and M of all dates, q = L_t y_t / sum_u L_u y_u is Beta(L_t, M - L_t), of mean q0 = L_t / M and variance q0 (1 - q0) / (M + 1).
So texture, edges and targets that stay raise no alarm. The mean of q over a square of n pixels is compared with q0 by
n (M + 1) KL(q || q0), which is the likelihood ratio of a beta law of n times the looks (Conradsen, Nielsen, Schou, Skriver, IEEE
TGRS 41, 2003, test whole windows by the determinants of their means; the ratio of two dates: Rignot, van Zyl, IEEE TGRS 31,
1993). Squares of several sizes, and bars along rows and columns for lines, are tested, each date against all others and all dates before one against the rest; the best
first, and what is left against what was found (matching pursuit: Mallat and Zhang, IEEE TSP 41, 1993). The factor of a change
is the most likely one under the law of q within its square. Only pixels of a square that passes are called changed, and of these
none whose own neighbours say that they did not.

Thresholds are those of simulated speckle. What is called a change has its most likely factor; what comes near the threshold t with
the evidence e counts with the probability 1 / (1 + exp(t - e)), by which its factor is weighted, and the doubt is in its deviation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.sar.change_evidence import APART, Sums, divergence, thresholds_of
from restorekit.sar.looks import Array, Grain, Mask
from restorekit.sar.structure import Bar

CLOSE = 5  # side of the squares in which pixels of a change are looked at once more
UNLIKE = 2.0  # evidence there that they did not change, from which on they are no part of it
LEAST = 3  # pixels that are left of a side where edges are moved inwards
PARTED = 6  # pixels of a side from which on its halves are looked at
EVEN = 0.25  # of the change of the whole that each part must show
GAIN = 1.0  # of evidence, for which they are
CHOSEN = 1.5  # times the variance of a change whose place and size are chosen by the same data
SOFT = 1.5  # below the threshold down to which a change counts with less than a half
FARTHEST = math.log(1e4)  # of the factor of a change


@dataclass(frozen=True)
class Changes:
    """Settings of the test for changes between dates."""

    false_alarms: float = 3e-3  # share of the pixels of a date without a change that are called changed
    sides: tuple[int, ...] = (1, 3, 5, 9, 17, 33)  # of squares, pixels, odd
    bars: tuple[tuple[int, int], ...] = ((1, 15), (15, 1), (3, 21), (21, 3))  # rows and columns of bars, pixels, odd
    rounds: int = 8

    def __post_init__(self) -> None:
        if not 0 < self.false_alarms <= 0.1:
            raise ValueError(f"false_alarms={self.false_alarms:g} must be above 0 and at most 0.1")
        every = [side for shape in self.shapes for side in shape]
        if not self.sides or any(side < 1 or side % 2 == 0 for side in every) or self.rounds < 1:
            raise ValueError("sides and bars must be odd, rounds 1 or more")

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Return rows and columns of all rectangles that are tested, squares first, then bars."""
        return (*((side, side) for side in self.sides), *self.bars)

    @property
    def halo(self) -> int:
        """Return how many pixels away what is found around a pixel depends on, nearly."""
        return 2 * max(side for shape in self.shapes for side in shape)

    def fitted(self, looks: Sequence[float], grain: Grain = (0.0, 0.0), dispersion: float = 1.0) -> ChangeTest:
        """Return the test for dates with so many looks each and one grain, the correlation of intensity with the next row and
        column. dispersion: the variance of q over that of the law, where it was measured."""
        down, across = (round(20 * min(max(float(rho), 0.0), 0.9)) / 20 for rho in grain)
        one, every = float(np.median(looks)), float(sum(looks))
        count = len(looks)
        near, rest, half = (2 ** (round(2 * math.log2(n)) / 2) for n in (one, every - one, every / 2))
        shapes = self.shapes
        independent = tuple(Bar(columns, rows).independent((down, across)) for rows, columns in shapes)
        down_across = (down, across)
        if count < 4:
            single = step = thresholds_of(shapes, independent, near, rest, down_across, self.false_alarms)
        else:  # a date is one of the changed dates of half of all steps; each kind has half of the false alarms
            single = thresholds_of(shapes, independent, near, rest, down_across, self.false_alarms / 2)
            step = thresholds_of(shapes, independent, half, half, down_across, self.false_alarms / (count - 3))
        thresholds = single, step
        return ChangeTest(self, tuple(map(float, looks)), independent, thresholds, max(dispersion, 0.05), down_across)


def changes_of(given: Changes | float | str | None) -> Changes:
    """Return the test that is given, by itself or as its rate of false alarms; the default for None. Raises BadInput for what is
    no rate."""
    if isinstance(given, Changes):
        return given
    try:
        return Changes() if given is None or given == "auto" else Changes(false_alarms=float(given))
    except (ValueError, TypeError):
        raise BadInput(
            f"`changes={given}`: give the share of pixels without a change that are called changed, up to 0.1, as 1e-3, or auto",
            argument="changes",
        ) from None


@dataclass(frozen=True, eq=False)
class Changed:
    """It says how dates differ from the mean of all: `factor` (T, h, w) of each, its relative standard deviation, the mask of
    what is called changed, and `apart`: what is so near a change, or so nearly one, that the other dates say nothing of it."""

    factor: Array
    deviation: Array
    mask: Mask
    apart: Mask


@dataclass(frozen=True, eq=False)
class ChangeTest:
    """The test with its thresholds, whose call takes intensities y (T, h, w) of T dates and where they are measured."""

    settings: Changes
    looks: tuple[float, ...]  # of each date
    independent: tuple[float, ...]  # pixels of each shape
    thresholds: tuple[
        tuple[float, ...], tuple[float, ...]
    ]  # of the evidence of each shape, of a date and of a step in time
    dispersion: float = 1.0
    grain: Grain = (0.0, 0.0)

    @property
    def singles(self) -> int:
        """Return how many of `groups` are single dates."""
        return 1 if len(self.looks) == 2 else len(self.looks)

    @property
    def groups(self) -> list[Mask]:
        """Return the sets of dates (T,) that are each tested against all others."""
        count = len(self.looks)
        singles = [np.arange(count) == t for t in range(self.singles)]
        return singles + [np.arange(count) < k for k in range(2, count - 1)]

    def __call__(self, y: Array, valid: Mask) -> Changed:
        state = _State(self, np.where(valid, y, 0.0), valid)
        for _ in range(self.settings.rounds):
            best, which = state.evidence()
            top = (best > -SOFT) & (best >= scipy.ndimage.maximum_filter(best, APART))
            found = np.argwhere(top)
            taken = 0
            for i, j in found[np.argsort(-best[tuple(found.T)], kind="stable")]:
                taken += state.take(int(i), int(j), int(which[i, j]))
            if not taken:
                break
        mask = state.mask & valid & state.likely(y)
        return Changed(np.exp(state.log_factor), np.sqrt(state.variance), mask, state.apart & valid)


@dataclass(eq=False)
class _State:
    """It holds what was found so far: `clean` are intensities without the changes that were found."""

    test: ChangeTest
    clean: Array  # (T, h, w), 0 where not valid
    valid: Mask
    log_factor: Array = field(init=False)
    variance: Array = field(init=False)
    mask: Mask = field(init=False)
    apart: Mask = field(init=False)

    def __post_init__(self) -> None:
        self.log_factor, self.variance = np.zeros_like(self.clean), np.zeros_like(self.clean)
        self.mask, self.apart = (np.zeros(self.clean.shape, np.bool_) for _ in range(2))
        self.weight = np.asarray(self.test.looks)[:, None, None] * self.valid  # looks where measured

    def evidence(self) -> tuple[Array, NDArray[np.int32]]:
        """Return (evidence beyond the threshold, number of group and shape), each (h, w), of the best of all."""
        test, shapes = self.test, self.test.settings.shapes
        best, which = np.full(self.clean.shape[1:], -np.inf), np.zeros(self.clean.shape[1:], np.int32)
        power = self.clean * self.weight
        every, looks = power.sum(0), self.weight.sum(0)
        whole = bool(self.valid.all())
        for g, group in enumerate(test.groups):
            own = self.weight[group].sum(0)
            there = (own > 0) & (looks > own) & (every > 0)
            q = np.where(there, power[group].sum(0) / np.where(there, every, 1), 0.0)
            of_q = Sums(q)
            of_law = None if whole else Sums(np.where(there, own / np.where(there, looks, 1), 0.0))
            of_looks = None if whole else Sums(there * looks / sum(test.looks))
            count = None if whole else Sums(there.astype(np.float64))
            for k, (shape, independent, threshold) in enumerate(
                zip(shapes, test.independent, test.thresholds[g >= test.singles], strict=True)
            ):
                pixels = math.prod(shape)
                n = pixels if count is None else np.maximum(count.over(shape), 1e-9)
                if of_law is None or of_looks is None:
                    law, total = sum(np.asarray(test.looks)[group]) / sum(test.looks), sum(test.looks)
                    share = Sums.inside(q.shape, shape) / pixels
                else:
                    law, total = of_law.over(shape) / n, sum(test.looks) * of_looks.over(shape) / n
                    share = n / pixels
                mean = of_q.over(shape) / (n if of_law is not None else Sums.inside(q.shape, shape))
                found = independent * share * (total + 1) / test.dispersion * divergence(mean, law) - threshold
                better = found > best
                best[better], which[better] = found[better], g * len(shapes) + k
        return best, which

    def take(self, i: int, j: int, which: int) -> bool:
        """Take a change around (i, j) if what is left of it is still one; return whether it was taken."""
        test = self.test
        g, k = divmod(which, len(test.settings.shapes))
        group, shape = test.groups[g], test.settings.shapes[k]
        (rows, columns), (h, w), pixels = (side // 2 for side in shape), self.clean.shape[1:], math.prod(shape)
        square = slice(max(i - rows, 0), min(i + rows + 1, h)), slice(max(j - columns, 0), min(j + columns + 1, w))
        e = self._left(square, group, test.independent[k] / pixels) - test.thresholds[g >= test.singles][k]
        if e < -SOFT:
            return False
        at = self._fitted(square, group)
        own, looks, q, there = self._q(at, group)
        if not _even(q, np.where(there, own / np.where(there, looks, 1), 0.0), there):
            return False
        q, m, own = q[there], looks[there], own[there]
        share, law = len(q) * test.independent[k] / pixels, float((own / m).mean())  # independent pixels
        u, information = _most_likely(q, own, m)
        p = 1.0 if e >= 0 else 1 / (1 + math.exp(-e))
        v = CHOSEN * test.dispersion * len(q) / share / information
        here, others = (np.ix_(np.flatnonzero(dates), *map(_range, at)) for dates in (group, ~group))
        f = 1 - p + p * math.exp(u)
        doubt = p * (1 - p) * ((math.exp(u) - 1) / f) ** 2
        self.log_factor[here] += there * math.log(f)
        self.variance[here] += there * (p * v * (1 - law) ** 2 + doubt)
        self.variance[others] += there * (p * v + p * (1 - p) * u * u) * law**2
        self.clean[here] *= np.where(there, math.exp(-u), 1.0)
        rim = min(shape) if p >= 0.5 else 0
        near = tuple(slice(max(s.start - rim, 0), s.stop + rim) for s in square)
        dates = np.ones(len(group), np.bool_) if len(test.looks) == 2 else group
        self.apart[(dates, *near)] = True
        if p >= 0.5:
            self.mask[(dates, *at)] |= there
        return True

    def likely(self, y: Array) -> Mask:
        """Return where (T, h, w) the factors that were found are not less likely than none, in small squares around each pixel:
        rectangles hold corners that did not change."""
        found = np.ones(self.mask.shape, np.bool_)
        power = self.weight * np.where(self.valid, y, 0.0) / np.exp(self.log_factor)
        every, looks = power.sum(0), self.weight.sum(0)
        share = Bar(CLOSE, CLOSE).independent(self.test.grain) / CLOSE**2 / self.test.dispersion
        for t in np.flatnonzero(self.mask.any((1, 2))):
            others, own = every - power[t], self.weight[t]
            there = self.mask[t] & (own > 0) & (others > 0) & (power[t] > 0)
            odds = np.where(there, np.log(np.where(there, power[t] / np.where(there, others, 1.0), 1.0)), 0.0)
            gain = np.zeros(there.shape)
            for sign, u in (
                (1, 0.0),
                (-1, self.log_factor[t]),
            ):  # the odds as they are with the change taken out, and with it
                w = odds + u
                gain += sign * (own * scipy.special.log_expit(w) + (looks - own) * scipy.special.log_expit(-w))
            total = share * CLOSE**2 * scipy.ndimage.uniform_filter(np.where(there, gain, 0.0), CLOSE, mode="constant")
            found[t] = total > -UNLIKE
        return np.asarray(found.all(0))[None] if len(self.test.looks) == 2 else found

    def _q(self, at: tuple[slice, slice], group: Mask) -> tuple[Array, Array, Array, Mask]:
        """Return (looks of the group, looks of all, q, where it is known), each (h, w) of a part."""
        weight, clean = self.weight[(slice(None), *at)], self.clean[(slice(None), *at)]
        own, looks = weight[group].sum(0), weight.sum(0)
        every = (weight * clean).sum(0)
        there = (own > 0) & (looks > own) & (every > 0)
        q = np.where(there, (weight[group] * clean[group]).sum(0) / np.where(there, every, 1), 0.0)
        return own, looks, q, there

    def _left(self, at: tuple[slice, slice], group: Mask, share: float) -> float:
        """Return the evidence of what is left in a square; share: of its pixels that are independent."""
        own, looks, q, there = self._q(at, group)
        if not there.any():
            return -math.inf
        law, total = float((own[there] / looks[there]).mean()), float(looks[there].mean())
        found = float(divergence(np.asarray(q[there].mean()), law))
        return share * float(there.sum()) * (total + 1) / self.test.dispersion * found

    def _fitted(self, square: tuple[slice, slice], group: Mask) -> tuple[slice, slice]:
        """Return the rectangle within a square whose evidence is largest: its edges are moved inwards, first by much, as long as
        that gains evidence. What does not pass with its square is never called changed."""
        edges = [square[0].start, square[0].stop, square[1].start, square[1].stop]
        half = min(edges[1] - edges[0], edges[3] - edges[2]) // 2
        if half == 0:
            return square
        top, bottom, left, right = edges
        own, looks, q, there = self._q(square, group)
        law = np.where(there, own / np.where(there, looks, 1), 0.0)
        sums = [np.pad(x.cumsum(0).cumsum(1), ((1, 0), (1, 0))) for x in (q, law, there * (looks + 1.0))]

        def evidence(e: list[int]) -> float:
            a, b, c, d = e[0] - top, e[1] - top, e[2] - left, e[3] - left
            of_q, of_law, n = (float(s[b, d] - s[a, d] - s[b, c] + s[a, c]) for s in sums)
            pixels = max((b - a) * (d - c), 1)
            return n * float(divergence(np.asarray(of_q / pixels), of_law / pixels))

        def allowed(e: list[int]) -> bool:
            inside = e[0] >= top and e[1] <= bottom and e[2] >= left and e[3] <= right
            return inside and min(e[1] - e[0], e[3] - e[2]) >= least

        best, step, least = evidence(edges), max(half // 2, 1), min(half + 1, LEAST)
        while step:
            moved = [[x + by if m == n else x for n, x in enumerate(edges)] for m in range(4) for by in (-step, step)]
            value, edges_next = max(((evidence(e), e) for e in moved if allowed(e)), default=(best, edges))
            if value < best + GAIN * self.test.dispersion:
                step //= 2
            else:
                best, edges = value, edges_next
        return slice(*edges[:2]), slice(*edges[2:])


def _even(q: Array, law: Array, there: Mask) -> bool:
    """Return whether each quarter of a rectangle (half, of a narrow one) shows its share of the change: what is left of another
    change beyond its edge is at that edge alone."""
    away = np.where(there, q - law, 0.0)
    whole = away.sum() / max(int(there.sum()), 1)
    for rows in np.array_split(np.arange(len(q)), 2 if len(q) >= PARTED else 1):
        for columns in np.array_split(np.arange(q.shape[1]), 2 if q.shape[1] >= PARTED else 1):
            part = np.ix_(rows, columns)
            count = int(there[part].sum())
            if count and away[part].sum() / count / whole < EVEN:
                return False
    return True


def _range(part: slice) -> NDArray[np.intp]:
    return np.arange(part.start, part.stop)


def _most_likely(q: Array, own: Array, looks: Array) -> tuple[float, float]:
    """Return (u, information): exp(u) is the factor of a change under which q (N,) is most likely, where `own` looks of
    `looks` are changed, and 1 / information the variance of u."""
    q = np.clip(q, 1e-9, 1 - 1e-9)
    odds = np.log(q) - np.log1p(-q)
    u = 0.0
    for _ in range(12):
        w = scipy.special.expit(odds - u)
        slope = float((looks * w * (1 - w)).sum())
        step = float((looks * w).sum() - own.sum()) / max(slope, 1e-9)
        u += min(max(step, -1.0), 1.0)
        if abs(step) < 1e-3:
            break
    u = min(max(u, -FARTHEST), FARTHEST)
    expected = float((own * (1 - own / looks) * looks / (looks + 1)).sum())
    return u, max(expected, 1e-9)
