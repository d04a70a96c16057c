"""Single taps of a kernel, by a regression of what was measured on shifts of what it may show (seed 002, eqs 20 and 21).

Eq 21 takes the mean x0 of the picture for the picture. x0 is smoother than x, so that the regression is biased towards kernels
that blur less, by far more than the errors that it looks for. A draw x from the posterior is not, on average (that is the EM
algorithm with the expectation drawn: Wei and Tanner, JASA 1990), as long as the sampler is exact; so the same step on
measurements made of x itself, with the kernel as it is, is subtracted. What such a step finds of a kernel that was changed on
purpose says how far to trust it, and how far to go.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, signal

Array = NDArray[np.float64]
Draw = Callable[[Array, Array], Array]  # (y, kernel) -> x from p(x | y), larger than y by the kernel less one


@dataclass(frozen=True, eq=False)
class Regression:
    """G h = b: the normal equations of y - K x = H x on the taps (n, 2) of a kernel, away from the frame."""

    gram: Array  # (n, n)
    right: Array  # (n,)
    variance: float  # of the residual

    @staticmethod
    def of(y: Array, x: Array, kernel: Array, taps: NDArray[np.int64]) -> Regression:
        """y (C, H, W), x (C, H + h - 1, W + w - 1)."""
        (_, height, width), (h, w) = y.shape, kernel.shape
        window = np.sqrt(np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1]))
        shifts = [window * x[:, h - 1 - i : h - 1 - i + height, w - 1 - j : w - 1 - j + width] for i, j in taps]
        columns = np.stack([s.ravel() for s in shifts]).astype(np.float32)
        residual = (window * (y - blurred(x, kernel))).ravel()
        variance = float((residual**2).sum() / (window**2).sum() / len(y))
        gram = (columns @ columns.T).astype(np.float64)
        return Regression(gram, columns @ residual.astype(np.float32).astype(np.float64), variance)


def blurred(x: Array, kernel: Array) -> Array:
    """(C, H, W) where all of the kernel lies on x."""
    return signal.fftconvolve(x, kernel[None], mode="valid", axes=(1, 2))


def step(gram: Array, right: Array, variance: float, deviations: Array) -> Array:
    """h: the maximum of -(h'G h - 2 b'h) / (2 variance) - sum (h / deviations)^2 / 2 under sum h = 0."""
    scaled = deviations[:, None] * gram * deviations / variance + np.eye(len(right))
    factor = linalg.cho_factor(scaled)
    z, across = linalg.cho_solve(factor, deviations * right / variance), linalg.cho_solve(factor, deviations)
    return deviations * (z - across * (deviations @ z) / (deviations @ across))


@dataclass(frozen=True, eq=False)
class Found:
    kernel: Array
    record: list[dict[str, float | bool]] = field(default_factory=list)  # of each round


@dataclass(frozen=True)
class Taps:
    """Taps k (1 + error z), z normal, of sum 1 and on the support of the kernel: what remains after `rounds` steps.

    error: their relative deviation; None: looked for, from half of `assumed` to all of it, as what is wrong cannot be told
    well from what is drawn. trust: the correlation, of what a step finds and of what was changed on purpose, below which it is not taken.
    """

    error: float | None = None
    assumed: float = 0.2
    rounds: int = 2
    trust: float = 0.4
    furthest: float = 2.5  # times what the regression says; EM is slow, and its steps short
    support: float = 1e-3  # of the largest tap

    def __call__(self, y: Array, kernel: Array, sigma_y: float, draw: Draw, rng: np.random.Generator) -> Found:
        """y (C, H, W), kernel (h, w) of sum 1."""
        taps = np.argwhere(kernel > self.support * kernel.max())
        error, record = self.error or self.assumed, []
        for _ in range(self.rounds if len(taps) > 1 else 0):
            kernel, error, trust = self._round(y, kernel, sigma_y, draw, rng, taps, error)
            taken = trust >= self.trust
            record.append({"trust": round(trust, 3), "error": round(error, 4), "taken": taken})
            if not taken:
                break
        return Found(kernel, record)

    def _round(
        self, y: Array, kernel: Array, sigma_y: float, draw: Draw, rng: np.random.Generator, taps: NDArray[np.int64],
        error: float,
    ) -> tuple[Array, float, float]:  # fmt: skip
        """(kernel, what it is still off, how far its step can be trusted)."""
        at, k = tuple(taps.T), kernel[tuple(taps.T)]
        changed = self._with(kernel, at, k * (1 + error * rng.standard_normal(len(k))))
        x = draw(y, kernel)
        seen = Regression.of(y, x, kernel, taps)
        made = [blurred(x, own) + sigma_y * rng.standard_normal(y.shape) for own in (kernel, changed)]
        plain, moved = (Regression.of(m, draw(m, kernel), kernel, taps).right for m in made)
        variance = max(seen.variance, sigma_y**2)
        h, known = (step(seen.gram, b - plain, variance, error * k) for b in (seen.right, moved))
        # As relative errors, each tap with the weight of its size.
        h, known, true = h / np.sqrt(k), known / np.sqrt(k), (changed[at] - k) / np.sqrt(k)
        trust = float(known @ true / (np.linalg.norm(known) * np.linalg.norm(true) + 1e-30))
        if trust < self.trust:
            return kernel, error, trust
        share = 1.0 if self.error else self._share(float(h @ h / (known @ known)), trust)
        length = float(known @ true / (known @ known)) * share / (trust**2 * share + 1 - trust**2)
        made_better = self._with(kernel, at, k + min(length, self.furthest) * h * np.sqrt(k))
        return made_better, error * math.sqrt(share * max(0.2, 1 - trust**2)), trust

    @staticmethod
    def _share(size: float, trust: float) -> float:
        """(true error / assumed error)^2, of what a step found next to what it found of the known change: less its noise."""
        return float(np.clip((size - (1 - trust**2)) / trust**2, 0.25, 1.0))

    @staticmethod
    def _with(kernel: Array, at: tuple[NDArray[np.int64], ...], values: Array) -> Array:
        out = np.zeros_like(kernel)
        out[at] = np.maximum(values, 0)
        return out / out.sum()
