"""Noise schedules are functions that return a falling list of sigmas ending in 0.

Log-uniform is the default: a grid uniform in the DDPM time loses variance even with the exact score.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence


def _checked(steps: int, sigma_max: float, sigma_min: float) -> None:
    if steps < 1:
        raise ValueError(f"steps={steps}: at least one noise level is needed")
    if not 0 < sigma_min <= sigma_max or not math.isfinite(sigma_max):
        raise ValueError(f"noise levels must satisfy 0 < sigma_min <= sigma_max, got {sigma_min} and {sigma_max}")


def log_uniform(steps: int, sigma_max: float = 10.0, sigma_min: float = 0.01) -> list[float]:
    """Return `steps` levels, uniform in ln(sigma), and 0. Raises ValueError for levels that cannot be, as every
    schedule here."""
    _checked(steps, sigma_max, sigma_min)
    ratio = sigma_min / sigma_max
    return [sigma_max * ratio ** (i / max(1, steps - 1)) for i in range(steps)] + [0.0]


def karras(steps: int, sigma_max: float = 10.0, sigma_min: float = 0.01, rho: float = 7.0) -> list[float]:
    """Return `steps` levels by Karras et al. 2022, eq 5, and 0."""
    _checked(steps, sigma_max, sigma_min)
    high, low = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return [(high + i / max(1, steps - 1) * (low - high)) ** rho for i in range(steps)] + [0.0]


def _ddpm() -> list[float]:
    """Return the 1000 levels of Ho et al. 2020, rising."""
    alpha_bar, levels = 1.0, []
    for t in range(1000):
        alpha_bar *= 1 - (1e-4 + (0.02 - 1e-4) * t / 999)
        levels.append(math.sqrt(1 / alpha_bar - 1) / 2)
    return levels


def vp_uniform(steps: int, sigma_max: float = 100.0, sigma_min: float = 0.004) -> list[float]:
    """Return levels at a uniform stride over the 1000 DDPM times of Ho et al. 2020, as the papers use; sigma in units
    of [0, 1].

    The papers' networks work on [-1, 1], hence the factor 2. Times outside (sigma_min, sigma_max) are left out first.
    """
    _checked(steps, sigma_max, sigma_min)
    levels = [sigma for sigma in _ddpm() if sigma_min <= sigma <= sigma_max]
    if not 1 <= steps <= len(levels):
        raise ValueError(f"steps={steps}: the table has {len(levels)} levels between {sigma_min} and {sigma_max}")
    picks = [round(i * (len(levels) - 1) / max(1, steps - 1)) for i in range(steps)]
    return [levels[i] for i in reversed(picks)] + [0.0]


def vp_quadratic(steps: int) -> list[float]:
    """Return levels at the times T - T sqrt(k / (steps - 1)) of the same table, in whole numbers: denser where there
    is less noise."""
    levels = _ddpm()
    if not 1 <= steps <= 500:
        raise ValueError(f"steps={steps}: a quadratic grid of 1000 times has 1 to 500 levels")
    times = [max(0, 999 - int(1000 * math.sqrt(k / max(1, steps - 1)))) for k in range(steps)]
    return [*(levels[t] for t in dict.fromkeys(times)), 0.0]


SCHEDULES: dict[str, Callable[..., list[float]]] = {"log": log_uniform, "karras": karras, "vp": vp_uniform}


def below(sigmas: Sequence[float], relay: float) -> list[float]:
    """Return the levels of a schedule below `relay`, behind `relay` itself."""
    return [relay, *(s for s in sigmas if s < relay)]
