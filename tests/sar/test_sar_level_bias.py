"""Halves of a measurement are independent, with the grain of the whole, and levels are compared by tenths with honest errors."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.sar.filters import FILTERS
from restorekit.sar.level_bias import SIDES, level_bias, shift_of
from restorekit.sar.speckle import draw, spectrum_of
from restorekit.sar.splitting import split
from restorekit.tasks.judge import SpeckleAssessment

Array = NDArray[np.floating]
SHAPE = (256, 256)


def lagged(a: Array, b: Array, down: int, right: int) -> float:
    h, w = a.shape
    return float(np.corrcoef(a[: h - down, : w - right].ravel(), b[down:, right:].ravel())[0, 1])


@pytest.mark.parametrize(("looks", "grain"), [(4.4, (0.64, 0.62)), (4.4, None), (1.0, (0.41, 0.29))])
def test_halves_are_independent_and_have_the_grain_of_the_whole(
    looks: float, grain: tuple[float, float] | None
) -> None:
    rng = np.random.default_rng(0)
    spectrum = None if grain is None else spectrum_of(grain)
    y = draw(SHAPE, looks, spectrum, rng)
    a, b = split(y, looks, spectrum, rng)
    np.testing.assert_allclose(a + b, 2 * y)
    for half in (a, b):
        assert half.mean() == pytest.approx(1, abs=0.03)
        assert 1 / half.var() == pytest.approx(looks / 2, rel=0.06)
        assert (
            scipy.stats.kstest(half[::6, ::6].ravel(), scipy.stats.gamma(looks / 2, scale=2 / looks).cdf).pvalue > 0.01
        )
    for lag in ((0, 0), (0, 1), (1, 0), (1, 1), (0, 2)):
        assert abs(lagged(a, b, *lag)) < 0.03
        assert lagged(a, a, *lag) == pytest.approx(lagged(y, y, *lag), abs=0.04)


def test_halves_of_one_look_with_a_coarse_grain_know_little_of_each_other() -> None:
    """As much as the docstring of `restorekit.sar.splitting` owns to, 0.034 and 0.032 at the next row."""
    spectrum, found = spectrum_of((0.65, 0.59)), []
    for seed in (3, 4, 5):
        rng = np.random.default_rng(seed)
        y = draw((512, 512), 1.0, spectrum, rng)
        a, b = split(y, 1.0, spectrum, rng)
        found.append((lagged(a, b, 0, 0), lagged(a, b, 1, 0), lagged(a, a, 1, 0) - lagged(y, y, 1, 0)))
    # Four standard errors of three such fields.
    assert np.mean(found, axis=0) == pytest.approx((0, 0.034, -0.032), abs=0.01)


def test_looks_that_cannot_be_split() -> None:
    with pytest.raises(BadInput, match="looks=0 must be above 0"):
        split(np.ones(SHAPE), 0.0, None, np.random.default_rng(0))


def scene(rng: np.random.Generator, roughness: float = 0.5) -> Array:
    smooth = scipy.ndimage.gaussian_filter(rng.standard_normal(SHAPE), 8)
    return np.exp(roughness * smooth / smooth.std())


def test_a_bias_is_found_at_its_level_within_its_errors() -> None:
    rng = np.random.default_rng(1)
    truth = scene(rng)
    y = truth * draw(SHAPE, 4.0, spectrum_of((0.6, 0.6)), rng)
    everywhere = np.ones(SHAPE, bool)
    dark = truth < np.quantile(truth, 0.1)
    for side in SIDES[:3]:
        right = level_bias(y, truth, everywhere, side)
        assert right is not None
        z = np.array(right.bias) / right.error
        assert np.abs(z).max() < 3.2
        assert right.beyond() == []
    wrong = level_bias(y, np.where(dark, 1.2 * truth, truth), everywhere, sorted_by=truth)
    assert wrong is not None
    assert wrong.beyond() == [1]
    assert wrong.bias[0] == pytest.approx(10 * math.log10(1.2), abs=3 * wrong.error[0])
    assert wrong.worst[0] == 1


def test_errors_are_those_of_many_draws() -> None:
    rng = np.random.default_rng(2)
    truth = scene(rng)
    found = [
        level_bias(truth * draw(SHAPE, 1.0, spectrum_of((0.6, 0.6)), rng), truth, np.ones(SHAPE, bool), 4, truth) for _ in range(24)
    ]  # fmt: skip
    bias, error = (np.array([getattr(b, name) for b in found]) for name in ("bias", "error"))
    ratio = bias.std(0).mean() / error.mean()
    assert 0.8 < ratio < 1.2


def test_sorted_by_the_result_a_good_filter_is_blamed_and_held_out_it_is_not() -> None:
    """A filter that shrinks to what is right on average (the mean of flat ground) has no bias; its own speckle says it does."""
    rng = np.random.default_rng(3)
    spectrum = spectrum_of((0.6, 0.6))
    truth = np.full(SHAPE, 2.0)
    y = truth * draw(SHAPE, 4.0, spectrum, rng)
    a, b = split(y, 4.0, spectrum, rng)
    x = 0.3 * FILTERS["boxcar"](2.0)(a, truth > 0) + 0.7 * 2.0
    everywhere = truth > 0
    own, held_out = (level_bias(half, x, everywhere) for half in (a, b))
    assert own is not None
    assert held_out is not None
    assert {1, 10} <= set(own.beyond())
    assert max(map(abs, held_out.bias)) < 0.5 * max(map(abs, own.bias))


def test_metrics_sar_takes_a_scene_to_sort_by(tmp_path: Path) -> None:
    from tests.cli.test_cli import go

    rng = np.random.default_rng(4)
    truth = scene(rng)
    y, other = (truth * draw(SHAPE, 4.0, None, rng) for _ in range(2))
    x = FILTERS["lee"](4.0)(y, truth > 0)
    by = FILTERS["lee"](4.0)(other, truth > 0)
    for name, values in (("y", y), ("x", x), ("by", by)):
        np.save(tmp_path / f"{name}.npy", values.astype(np.float32))
    paths = [tmp_path / f"{name}.npy" for name in ("y", "x")]
    told: dict[bool, Any] = {}
    for given in (False, True):
        result = SpeckleAssessment(looks=4)(*paths, by=tmp_path / "by.npy" if given else None)
        told[given] = result.plain()["bands"][0]
        assert ("sorted by the result" in str(result)) == (not given)
    y, x, by = (np.load(tmp_path / f"{name}.npy").astype(np.float64) for name in ("y", "x", "by"))
    expected = level_bias(y, x, truth > 0, 4, by)
    assert expected is not None
    assert told[True]["level_bias"]["4"]["bias"] == pytest.approx(list(expected.bias))
    assert told[False]["level_bias"]["4"] != told[True]["level_bias"]["4"]
    assert {"level_1", "level_4", "level_16"} <= set(told[True]["figures"])
    page = tmp_path / "page.html"
    go("metrics", "sar", *paths, "--by", tmp_path / "by.npy", "--looks", 4, "--report", page)
    assert "by tenths of the scene, dark to bright" in page.read_text()
    bias, error = (told[True]["level_bias"]["4"][k][9] for k in ("bias", "error"))
    assert f"{bias:+.2f} ± {error:.2f}" in page.read_text()
    assert "by.npy" in page.read_text()


def saved(path: Path, values: Array) -> Path:
    np.save(path, values.astype(np.float32))
    return path


def test_what_has_the_speckle_of_a_scene_is_no_scene_to_sort_by(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    truth = scene(rng)
    y, other = (truth * draw(SHAPE, 4.0, None, rng) for _ in range(2))
    x = FILTERS["lee"](4.0)(y, truth > 0)
    a, b = saved(tmp_path / "y.npy", y), saved(tmp_path / "x.npy", x)
    told = SpeckleAssessment(looks=4, domain="intensity")
    for by, name in ((y, "measured"), (3 * y, "measured"), (np.sqrt(y), "measured"), (x, "restored")):
        with pytest.raises(BadInput, match=f"`by` is the {name} scene itself, or a function of it"):
            told(a, b, by=saved(tmp_path / "by.npy", by))
    for by in (other, truth, np.ones(SHAPE)):
        told(a, b, by=saved(tmp_path / "by.npy", by))
    logs = saved(tmp_path / "db.npy", 10 * np.log10(other) - 20)
    with pytest.raises(BadInput, match=r"db.npy: .*all files are to be in the unit of y.npy, intensity"):
        told(a, b, by=logs)


def test_a_scene_to_sort_by_that_is_off_is_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    everywhere = np.ones(SHAPE, bool)
    fields = np.exp(rng.normal(0, 0.5, (16, 16))).repeat(16, 0).repeat(16, 1)
    for truth, seen in ((fields, True), (np.ones(SHAPE), False)):  # a flat scene cannot tell
        y, other = (truth * draw(SHAPE, 4.0, spectrum_of((0.6, 0.6)), rng) for _ in range(2))
        x, by = (FILTERS["lee"](4.0)(z, everywhere) for z in (y, other))
        assert shift_of(by, x, everywhere) is None
        assert shift_of(np.roll(by, (1, -2), (0, 1)), x, everywhere) == ((-1, 2) if seen else None)
        paths = [saved(tmp_path / f"{name}.npy", z) for name, z in (("y", y), ("x", x), ("by", np.roll(by, 1, 0)))]
        notes = SpeckleAssessment(looks=4)(*paths[:2], by=paths[2]).plain()["bands"][0]["notes"]
        assert any("moved by -1 rows and +0 columns" in n for n in notes) == seen
