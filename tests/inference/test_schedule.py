from __future__ import annotations

import math

import pytest

from restorekit.inference.schedule import SCHEDULES, karras, log_uniform, vp_uniform


@pytest.mark.parametrize("steps", [1, 2, 7, 200])
@pytest.mark.parametrize("name", SCHEDULES)
def test_levels_fall_from_the_greatest_to_the_least_and_then_to_zero(name: str, steps: int) -> None:
    levels = SCHEDULES[name](steps, 8.0, 0.02)
    assert len(levels) == steps + 1
    assert levels[-1] == 0
    assert all(a > b for a, b in zip(levels, levels[1:]))
    if name != "vp":  # whose levels are those of the table
        assert levels[0] == pytest.approx(8.0, rel=1e-12)
        assert steps == 1 or levels[-2] == pytest.approx(0.02, rel=1e-12)
    else:
        assert 0.02 <= levels[-2] <= levels[0] <= 8.0


def test_log_uniform_has_one_ratio() -> None:
    levels = log_uniform(9, 10.0, 0.01)[:-1]
    assert [b / a for a, b in zip(levels, levels[1:])] == pytest.approx([1e-3 ** (1 / 8)] * 8)


def test_karras_is_uniform_in_the_seventh_root() -> None:
    roots = [s ** (1 / 7) for s in karras(6, 80.0, 0.002)[:-1]]
    assert [b - a for a, b in zip(roots, roots[1:])] == pytest.approx([roots[1] - roots[0]] * 5)


def test_vp_levels_are_those_of_the_table_of_ddpm() -> None:
    a, table = 1.0, []
    for t in range(1000):
        a *= 1 - (1e-4 + t * (0.02 - 1e-4) / 999)
        table.append(math.sqrt((1 - a) / a) / 2)  # on [0, 1] the noise is half of that on [-1, 1]
    assert vp_uniform(1000)[:-1] == pytest.approx(table[::-1], rel=1e-12)
    levels = vp_uniform(20, sigma_max=10.0)[:-1]
    places = [min(range(1000), key=lambda t, s=s: abs(table[t] - s)) for s in levels]
    assert [table[t] for t in places] == pytest.approx(levels, rel=1e-12)
    strides = [a - b for a, b in zip(places, places[1:])]
    assert max(strides) - min(strides) <= 1  # a uniform stride, but for rounding
    assert levels[0] <= 10 < table[places[0] + 1]


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(
    ("steps", "high", "low", "words"),
    [(0, 10.0, 0.01, "steps=0"), (-3, 10.0, 0.01, "steps=-3"), (5, 0.01, 10.0, "sigma_min"), (5, 1.0, 0.0, "sigma_min"), (5, math.inf, 1.0, "sigma_m"), (5, math.nan, 1.0, "sigma_m")],
)  # fmt: skip
def test_impossible_schedules_are_refused(name: str, steps: int, high: float, low: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SCHEDULES[name](steps, high, low)


def test_more_levels_than_the_table_has_are_refused() -> None:
    with pytest.raises(ValueError, match="the table has"):
        vp_uniform(1001)
