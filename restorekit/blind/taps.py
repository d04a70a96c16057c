"""Single taps of a kernel, by a regression of what was measured on shifts of what it may show (seed 002, eqs 20 and 21).

Eq 21 takes the mean x0 of the picture for the picture. x0 is smoother than x, so that the regression is biased towards kernels
that blur less, by far more than the errors that it looks for. A draw x from the posterior is not, on average (that is the EM
algorithm with the expectation drawn: Wei and Tanner, JASA 1990), as long as the sampler is exact; so the same on measurements
made of x itself, with the kernel as it is, is subtracted. What is left is

    d = c G h + noise,   cov(noise) = kappa (gamma + c) G,

G of the regression and c the share of it that y holds, as x is not seen (Louis, JRSS B 44, 1982): what d is of kernels that were
changed on purpose. gamma is the spread over draws, and kappa, above 1, says that pictures are no draws of the prior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from restorekit.blind.drawn import Array, Draw, blurred, window


@dataclass(frozen=True, eq=False)
class Regression:
    """G h = b: the normal equations of y - K x = H x on the taps (n, 2) of a kernel, away from the frame."""

    gram: Array  # (n, n)
    right: Array  # (n,)

    @staticmethod
    def of(y: Array, x: Array, kernel: Array, taps: NDArray[np.int64]) -> Regression:
        """y (C, H, W), x (C, H + h - 1, W + w - 1)."""
        (_, height, width), (h, w) = y.shape, kernel.shape
        weight = window(y.shape)
        shifts = [weight * x[:, h - 1 - i : h - 1 - i + height, w - 1 - j : w - 1 - j + width] for i, j in taps]
        columns = np.stack([s.ravel() for s in shifts]).astype(np.float32)
        residual = (weight * (y - blurred(x, kernel))).ravel().astype(np.float32)
        return Regression((columns @ columns.T).astype(np.float64), (columns @ residual).astype(np.float64))


@dataclass(frozen=True, eq=False)
class Modes:
    """h = P a, sum h = 0: a of covariance I where the taps of h, k z, have independent z of deviation 1; P'G P is diagonal."""

    p: Array  # (n, n - 1)
    power: Array  # (n - 1,): that diagonal, growing

    @staticmethod
    def of(gram: Array, k: Array) -> Modes:
        zero_sum = k[:, None] * linalg.null_space(k[None])
        power, turned = np.linalg.eigh(zero_sum.T @ gram @ zero_sum)
        return Modes(zero_sum @ turned, np.maximum(power, 1e-12 * power[-1]))


@dataclass(frozen=True, eq=False)
class Found:
    kernel: Array
    shares: list[float]  # c, from the modes that y tells least of to those that it tells most of
    moved: float  # |h| / |k|


@dataclass(frozen=True)
class Taps:
    """The posterior mean of taps k (1 + error z), z normal, of sum 1, on the support of the kernel.

    Only of the half of the modes that tells most.
    """

    error: float
    draws: int = 4
    changed: float = 0.2  # relative deviation of the changes on purpose
    kappa: float = 1.5
    bands: int = 4  # of modes, each with a c and a gamma of its own
    support: float = 1e-3  # of the largest tap

    def __call__(self, y: Array, kernel: Array, sigma_y: float, draw: Draw, rng: np.random.Generator) -> Found:
        """y (C, H, W), kernel (h, w) of sum 1."""
        taps = np.argwhere(kernel > self.support * kernel.max())
        at, k = tuple(taps.T), kernel[tuple(taps.T)]
        if len(taps) < 2:
            return Found(kernel, [], 0.0)
        x = [draw(y, kernel, i) for i in range(self.draws)]
        seen = [Regression.of(y, v, kernel, taps) for v in x]
        modes = Modes.of(sum(r.gram for r in seen) / (self.draws * sigma_y**2), k)  # type: ignore[arg-type]
        away = self.changed * rng.standard_normal((self.draws, len(k) - 1))
        right = np.empty((3, self.draws, len(k)))
        for i, v in enumerate(x):
            changed = kernel.copy()
            changed[at] += modes.p @ away[i]
            noise = sigma_y * rng.standard_normal(y.shape)
            made = [blurred(v, of) + noise for of in (kernel, changed)]
            again = self.draws + i  # with other random numbers: with the same, what is subtracted is not 0 on average
            right[:, i] = seen[i].right, *(Regression.of(m, draw(m, kernel, again), kernel, taps).right for m in made)
        d, known = ((v - right[1]) @ modes.p / sigma_y**2 for v in (right[0], right[2]))
        a, shares = self._mean(modes.power, d, known, away)
        values = np.maximum(k + modes.p @ a, 0)
        out = np.zeros_like(kernel)
        out[at] = values / values.sum()
        return Found(out, shares, float(np.linalg.norm(out - kernel) / np.linalg.norm(kernel)))

    def _mean(self, power: Array, d: Array, known: Array, away: Array) -> tuple[Array, list[float]]:
        """(a, shares) of d, and of what is known of those of `away`, all (draws, n - 1)."""
        a, shares, variance = np.zeros_like(power), [], self.error**2
        bands = np.array_split(np.arange(len(power)), min(self.bands, len(power)))
        for own in bands[len(bands) // 2 :]:
            w, z, mean = power[own], away[:, own], d[:, own].mean(0)
            c = float(np.clip((known[:, own] * z).sum() / (w * z**2).sum(), 1e-3, 1))
            gamma = float((d[:, own].var(0, ddof=1) / w).mean() / len(d)) if len(d) > 1 else 1 - c
            noise = self.kappa * (gamma + c)
            a[own] = variance * c * mean / (noise + variance * c**2 * w)
            shares.append(round(c, 4))
        return a, shares
