"""A regression of the measurement on shifts of a drawn picture finds single taps of a kernel.

Wang, Wu, Li, Yang 2025, eqs 20 and 21 (`blind.correction`). Eq 21 takes the mean x0 of the picture for the picture. x0
is smoother than x, so that the regression is biased towards kernels that blur less, by far more than the errors that it
looks for. A draw x from the posterior is not, on average (that is the EM algorithm with the expectation drawn: Wei and
Tanner, JASA 1990), as long as the sampler is exact; so the same on measurements made of x itself, with the kernel as it
is, is subtracted. What is left is

    d = c G h + noise,   cov(noise) = (gamma + c + mismatch) G,

G of the regression and c the share of it that y holds, as x is not seen (Louis, JRSS B 44, 1982): what d is of kernels
that were changed on purpose. gamma is the spread over draws, and mismatch, which nobody knows, says that pictures are
no draws of the prior. Where they differ most from them is known: a kernel that is shifted is a picture that is shifted,
and one that is wider a picture that is smoother. Of changes of these kinds d says nothing (`unseen`). Error of the taps
and mismatch are integrated out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from restorekit.blind.drawn import Array, Draw, blurred, window

# Second differences, by which a narrow blur changes.
SECOND = [[0, 1, 0], [0, -2, 0], [0, 1, 0]], [[0, 0, 0], [1, -2, 1], [0, 0, 0]], [[1, 0, -1], [0, 0, 0], [-1, 0, 1]]


@dataclass(frozen=True, eq=False)
class Regression:
    """The normal equations G h = b of y - K x = H x on the taps (n, 2) of a kernel, away from the frame."""

    gram: Array  # (n, n)
    right: Array  # (n,)

    @staticmethod
    def of(y: Array, x: Array, kernel: Array, taps: NDArray[np.int64]) -> Regression:
        """Return the regression of y (C, H, W) on x (C, H + h - 1, W + w - 1)."""
        (_, height, width), (h, w) = y.shape, kernel.shape
        weight = window(y.shape)
        columns = np.empty((len(taps), *y.shape), np.float32)
        for n, (i, j) in enumerate(taps):
            columns[n] = weight * x[:, h - 1 - i : h - 1 - i + height, w - 1 - j : w - 1 - j + width]
        columns = columns.reshape(len(taps), -1)
        residual = (weight * (y - blurred(x, kernel))).ravel().astype(np.float32)
        return Regression((columns @ columns.T).astype(np.float64), (columns @ residual).astype(np.float64))


def unseen(kernel: Array, taps: NDArray[np.int64]) -> Array:
    """Return (n, 5) changes of a kernel that a prior knows nothing of: shifts and blurs."""
    wide = np.pad(kernel, 1)
    second = [scipy.ndimage.convolve(wide, np.array(of, float), mode="constant") for of in SECOND]
    found = [v[1:-1, 1:-1][tuple(taps.T)] for v in (*(np.gradient(wide, axis=i) for i in (0, 1)), *second)]
    k = kernel[tuple(taps.T)]
    return np.stack([v - k * v.sum() / k.sum() for v in found], 1)  # of sum 0


@dataclass(frozen=True, eq=False)
class Modes:
    """Changes h = P a, a of covariance I where the taps of h, k z, sum h = 0, have independent z of deviation 1.

    B'G h = power a, where h has no part in `unseen`; and of what it has there B'G shows nothing.
    """

    p: Array  # (n, m)
    b: Array  # (n, m)
    power: Array  # (m,), growing

    @staticmethod
    def of(gram: Array, k: Array, unseen: Array) -> Modes:
        """Return the modes of a regression by its matrix G (n, n), the taps k (n,) and `unseen` (n, 5)."""
        zero_sum = k[:, None] * scipy.linalg.null_space(k[None])
        values, vectors = np.linalg.eigh(zero_sum.T @ gram @ zero_sum)
        roots = np.sqrt(np.maximum(values, 1e-9 * values[-1]))
        white, back = vectors * roots @ vectors.T, vectors / roots @ vectors.T
        hidden = white @ np.linalg.lstsq(zero_sum, unseen, rcond=None)[0]
        visible = scipy.linalg.null_space(hidden.T) if hidden.shape[1] else np.eye(len(values))
        u, s, vt = np.linalg.svd(visible.T @ white, full_matrices=False)
        u, s, vt = u[:, ::-1], s[::-1], vt[::-1]
        return Modes(zero_sum @ vt.T, zero_sum @ back @ visible @ (u * s), s**2)


@dataclass(frozen=True, eq=False)
class FoundTaps:
    """A kernel whose single taps were found, and how far they moved."""

    kernel: Array
    shares: list[float]  # c, from the modes that y tells less of to those that it tells more of
    error: float  # on average over what is likely of it
    moved: float  # |h| / |k|


@dataclass(frozen=True)
class Taps:
    """It finds the posterior mean of taps k (1 + error z), z normal, of sum 1, on the support of the kernel.

    Only of the half of the modes that tells more. error: None: any of `levels`, by what d says of them.
    """

    error: float | None = None
    draws: int = 4
    changed: float = 0.2  # relative deviation of the changes on purpose
    levels: tuple[float, ...] = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)
    mismatch: tuple[float, ...] = (0.0, 0.1, 0.3)  # each as likely, of each band of modes on its own
    bands: int = 4  # of modes, each with a c and a gamma of its own
    support: float = 1e-3  # of the largest tap
    fewest: int = 16  # modes; of smaller kernels the taps stay
    largest: int = 1000  # of larger ones too: memory grows with the taps, time with their square

    def __call__(self, y: Array, kernel: Array, sigma_y: float, draw: Draw, rng: np.random.Generator) -> FoundTaps:
        """Return the kernel found for y (C, H, W) and kernel (h, w) of sum 1."""
        taps = np.argwhere(kernel > self.support * kernel.max())
        at, k = tuple(taps.T), kernel[tuple(taps.T)]
        hidden = unseen(kernel, taps)
        if not self.fewest < len(taps) - hidden.shape[1] <= self.largest:
            return FoundTaps(kernel, [], self.error or 0.0, 0.0)
        x = [draw(y, kernel, i) for i in range(self.draws)]
        seen = [Regression.of(y, v, kernel, taps) for v in x]
        modes = Modes.of(sum(r.gram for r in seen) / (self.draws * sigma_y**2), k, hidden)  # type: ignore[arg-type]
        away = self.changed * rng.standard_normal((self.draws, len(modes.power)))
        right = np.empty((3, self.draws, len(k)))
        for i, v in enumerate(x):
            changed = kernel.copy()
            changed[at] += modes.p @ away[i]
            noise = sigma_y * rng.standard_normal(y.shape)
            made = [blurred(v, of) + noise for of in (kernel, changed)]
            again = self.draws + i  # with other random numbers: with the same, what is subtracted is not 0 on average
            right[:, i] = seen[i].right, *(Regression.of(m, draw(m, kernel, again), kernel, taps).right for m in made)
        d, known = ((v - right[1]) @ modes.b / sigma_y**2 for v in (right[0], right[2]))
        a, shares, error = self._mean(modes.power, d, known, away)
        values = np.maximum(k + modes.p @ a, 0)
        out = np.zeros_like(kernel)
        out[at] = values / values.sum()
        return FoundTaps(out, shares, error, float(np.linalg.norm(out - kernel) / np.linalg.norm(kernel)))

    def _mean(self, power: Array, d: Array, known: Array, away: Array) -> tuple[Array, list[float], float]:
        """Return (a, shares, error) of d, and of what is known of those of `away`, all (draws, m)."""
        level = np.array(self.levels if self.error is None else [self.error])[:, None, None]
        bands = np.array_split(np.arange(len(power)), min(self.bands, len(power)))
        bands, shares, found, evidence = bands[len(bands) // 2 :], [], [], np.zeros(len(level))
        for own in bands:
            w, z, mean = power[own], away[:, own], d[:, own].mean(0)
            c = float(np.clip((known[:, own] * z).sum() / (w * z**2).sum(), 1e-3, 1))
            gamma = float((d[:, own].var(0, ddof=1) / w).mean() / len(d)) if len(d) > 1 else 1 - c
            variance = gamma + c + np.array(self.mismatch)[:, None] + level**2 * c**2 * w  # of mean / sqrt(w)
            likely = -0.5 * (np.log(variance) + mean**2 / w / variance).sum(-1)
            found.append((scipy.special.softmax(likely, 1)[..., None] * level**2 * c * mean / variance).sum(1))
            evidence += scipy.special.logsumexp(likely, 1)
            shares.append(round(c, 4))
        weights, a = scipy.special.softmax(evidence), np.zeros_like(power)
        for own, means in zip(bands, found):
            a[own] = weights @ means
        return a, shares, float(weights @ level.ravel())
