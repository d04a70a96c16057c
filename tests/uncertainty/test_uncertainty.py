"""Intervals from few samples, and conformal calibration: coverage that is known exactly, and what is guaranteed."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from restorekit.errors import BadInput
from restorekit.inference.driver import restore
from restorekit.priors.analytic import GaussianPrior
from restorekit.solvers import MMPS as Sampler
from restorekit.text.degradation import Degradation
from restorekit.uncertainty.calibration import (
    Calibration,
    Conditions,
    Entry,
    Uncalibrated,
    solver_key,
    uncalibrated,
)
from restorekit.uncertainty.conformal import EDGES, Scores, check_count, least_pictures, reach
from restorekit.uncertainty.interval import LOCAL, PIXEL, Interval, Spread, ratios, student

STEP = float(EDGES[1] / EDGES[0])


def posterior(
    rng: np.random.Generator, count: int, samples: int, wide: float = 1.0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pictures (truth, samples) whose truth is a draw from N(m, s^2) per pixel, as the samples are, those of deviation `wide` s."""
    made = []
    for _ in range(count):
        mean, std = rng.normal(0.5, 0.2, (3, 16, 16)), np.exp(rng.normal(-3, 0.5, (3, 16, 16)))
        truth = mean + std * rng.normal(size=mean.shape)
        made.append((truth, mean + wide * std * rng.normal(size=(samples, *mean.shape))))
    return made


def covered(pictures: list[tuple[np.ndarray, np.ndarray]], interval: Interval) -> float:
    def share(truth: np.ndarray, samples: np.ndarray) -> float:
        low, high = interval(samples)
        return float(((low <= truth) & (truth <= high)).mean())

    return float(np.mean([share(*p) for p in pictures]))


def calibrated(pictures: list[tuple[np.ndarray, np.ndarray]], spread: Spread = PIXEL) -> Entry:
    scores = [Scores.of(ratios(truth, samples, spread)) for truth, samples in pictures]
    conditions = Conditions(task="denoise", noise="gaussian:0.05", samples=len(pictures[0][1]))
    return Entry.of(conditions, spread, "made", scores)


@pytest.mark.parametrize("samples", [2, 4, 8, 64])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_intervals_of_gaussian_posteriors_hold_their_level_for_any_number_of_samples(
    samples: int, level: float
) -> None:
    pictures = posterior(np.random.default_rng(samples), 60, samples)  # 46,080 pixels
    error = (level * (1 - level) / 46080) ** 0.5
    assert abs(covered(pictures, Interval(level)) - level) < 4 * error


@pytest.mark.parametrize("samples", [2, 4, 8, 64])
def test_a_calibration_of_an_exact_sampler_has_the_factor_1(samples: int) -> None:
    entry = calibrated(posterior(np.random.default_rng(samples), 200, samples))
    aim = student(0.9 * 201 / 200, samples) / student(0.9, samples)  # what 200 pictures have to aim at
    assert aim * 0.98 < entry.factor(0.9) < aim * STEP * 1.02
    fresh = posterior(np.random.default_rng(100 + samples), 60, samples)
    assert 0.895 < covered(fresh, Interval(0.9, entry.factor(0.9))) < 0.92


@pytest.mark.parametrize("spread", [PIXEL, LOCAL, replace(LOCAL, power=1.15)], ids=["pixel", "local", "power"])
def test_an_over_confident_sampler_is_widened_to_its_level(spread: Spread) -> None:
    rng = np.random.default_rng(0)
    fresh = posterior(rng, 60, 8, wide=0.3)
    assert covered(fresh, Interval(0.9)) < 0.5
    entry = calibrated(posterior(rng, 60, 8, wide=0.3), spread)
    assert 0.9 < covered(fresh, Interval(0.9, entry.factor(0.9), spread)) < 0.935


def test_mmps_with_a_gaussian_prior_needs_hardly_a_factor() -> None:
    prior = GaussianPrior.smooth((1, 16, 16), std=0.15, power=1.0)
    truths = prior.sample(24, torch.Generator().manual_seed(0)).float()
    known, task = GaussianPrior(prior.mean.float(), prior.variances.float()), Degradation("denoise", "gaussian:0.1")
    pictures = []
    for i, x in enumerate(truths.numpy()):
        found = restore(task.measure(x, f"p{i}", 0), known, Sampler(), steps=20, samples=8, seed=i)
        pictures.append((x, found.samples.numpy()))
    entry = calibrated(pictures[:12])
    aim = student(0.9 * 13 / 12, 8) / student(0.9, 8)  # what 12 pictures have to aim at
    assert 0.9 * aim < entry.factor(0.9) < 1.15 * aim
    assert 0.9 < covered(pictures[12:], Interval(0.9, entry.factor(0.9))) < 0.99


def test_the_next_picture_is_covered_though_pictures_differ() -> None:
    """Eleven pictures whose scores have scales of their own: their pooled quantile holds less than its level."""
    rng = np.random.default_rng(0)
    with_correction, pooled = [], []
    for _ in range(300):
        scores = [Scores.of(np.abs(rng.normal(size=400)) * s) for s in np.exp(rng.normal(0, 1, 12))]
        others, last = scores[:-1], scores[-1]
        ratio = reach(others, 0.9)
        mean = np.mean([s.distribution for s in others], 0)
        plain = float(EDGES[np.flatnonzero(mean >= 0.9)[0]])
        total = last.counts.sum()
        with_correction.append(last.within(ratio).sum() / total)
        pooled.append(last.within(plain).sum() / total)
    assert np.mean(with_correction) > 0.9
    assert np.mean(pooled) < 0.9


def test_too_few_pictures_guarantee_nothing() -> None:
    some = [Scores.of(np.ones(10))] * 8
    assert reach(some, 0.9) == np.inf
    assert np.isfinite(reach(some * 2, 0.9))
    assert [least_pictures(v) for v in (0.5, 0.9, 0.95, 0.99)] == [1, 9, 19, 99]
    with pytest.raises(BadInput, match=r"8 pictures calibrate, which guarantee at most 0\.889; take a lower level"):
        check_count(8, 0.9)


def test_scores_are_kept_in_a_table_as_they_are() -> None:
    rng = np.random.default_rng(0)
    values, cell = np.exp(rng.normal(size=500)), rng.integers(0, 9, 500)
    scores = Scores.of(values, cell)
    back = Scores.read(scores.text)
    assert (back.counts == scores.counts).all()
    edge = float(EDGES[200])
    assert scores.within(edge).sum() == (values <= edge).sum()
    assert scores.within(edge)[3] == ((values <= edge) & (cell == 3)).sum()
    assert scores.distribution[200] == pytest.approx((values <= edge).mean())
    many = np.zeros_like(scores.counts)
    many[0, 0], many[3, 7], many[-1, -1] = 61, 3844, 62**3
    assert (Scores.read(Scores(many).text).counts == many).all()
    older = base64.b64encode(zlib.compress(many.astype("<u4").tobytes(), 9)).decode()
    assert (Scores.read(older).counts == many).all()


def test_intervals_are_cut_to_the_range_and_hold_still() -> None:
    rng = np.random.default_rng(0)
    pictures = [(np.clip(x, 0, 1), s) for x, s in posterior(rng, 40, 8)]
    free, cut = Interval(0.9), Interval(0.9, bounds=(0.0, 1.0))
    assert covered(pictures, cut) >= covered(pictures, free)  # an interval that lies beyond becomes the limit
    low, high = cut(pictures[0][1] - 0.5)
    assert low.min() == 0
    assert high.max() <= 1
    wide = np.subtract(*free(pictures[0][1])[::-1]).mean()
    assert np.subtract(*cut(pictures[0][1])[::-1]).mean() < wide


def test_windows_do_not_mix_what_was_measured_and_what_was_not() -> None:
    rng = np.random.default_rng(0)
    mask = rng.random((1, 16, 16)) < 0.5
    samples = rng.normal(size=(400, 3, 16, 16)) * np.where(mask, 0.01, 0.2)
    apart, mixed = LOCAL(samples, mask), LOCAL(samples)
    inside = np.broadcast_to(mask, apart.shape)
    assert apart[inside] == pytest.approx(0.01, rel=0.15)
    assert apart[~inside] == pytest.approx(0.2, rel=0.15)
    assert mixed[inside].mean() > 0.05


@pytest.mark.parametrize("bad", [{"level": 0.3}, {"level": 0.999}, {"factor": 0.0}])
def test_intervals_that_cannot_be_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Interval(**bad)


def test_a_power_of_the_spread_parts_large_from_small_and_leaves_the_usual_one() -> None:
    half = np.array([0.005, 0.05, 0.5])[None, :, None] * np.ones((1, 3, 4))  # two samples at +-s/sqrt(2) deviate by s
    samples = np.stack([0.5 + half / 2**0.5, 0.5 - half / 2**0.5])
    plain, wider = (Spread(window=1, own=1.0, power=power)(samples)[0, :, 0] for power in (1.0, 1.2))
    assert plain == pytest.approx([0.005, 0.05, 0.5])
    assert wider == pytest.approx([0.005 * 10**-0.2, 0.05, 0.5 * 10**0.2])
    with pytest.raises(ValueError, match="power=3 of the spread"):
        Spread(power=3)


def test_factors_of_another_spread_are_not_mixed() -> None:
    known = calibration()
    near, far = known.entries[:2]
    known = replace(known, entries=(near, replace(far, spread=replace(LOCAL, power=1.15))))
    found = known.find(wanted(0.012), "0" * 64, 0.9).interval
    assert (found.factor, found.spread) == (near.factor(0.9), LOCAL)
    assert known.find(wanted(0.09), "0" * 64, 0.9).interval.spread.power == 1.15
    with pytest.raises(BadInput, match=r"is for noise at 0\.01, not 0\.02"):
        known.find(wanted(0.02), "0" * 64, 0.9)


def test_a_spread_needs_two_samples() -> None:
    with pytest.raises(ValueError, match="at least two"):
        Interval()(np.zeros((1, 3, 8, 8)))


MMPS = solver_key(Sampler(), None)
BLUR = "blur:kernel=gaussian:1.6"


def calibration(pictures: int = 30) -> Calibration:
    """Of 8 samples at two levels of noise, and of a blur at one."""
    made = []
    for task, noise, ratio in (("denoise", 0.01, 2.0), ("denoise", 0.1, 4.0), (BLUR, 0.02, 3.0)):
        c = Conditions(task=task, noise=f"gaussian:{noise}", solver=MMPS)
        made.append(Entry.of(c, LOCAL, "made", [Scores.of(np.full(50, ratio * 0.999))] * pictures))
    return Calibration("p", "0" * 64, tuple(made), "0")


def wanted(noise: float = 0.01, **other: object) -> Conditions:
    return replace(Conditions(task="denoise", noise=f"gaussian:{noise}", solver=MMPS), **other)  # type: ignore[arg-type]


def test_factors_are_interpolated_in_the_logarithm_of_the_noise() -> None:
    known = calibration()
    low, middle, high = (known.find(wanted(s), "0" * 64, 0.9).interval.factor for s in (0.01, 0.1**1.5, 0.1))
    assert low * student(0.9, 8) == pytest.approx(2, rel=0.025)
    assert high == pytest.approx(2 * low, rel=0.025)
    assert middle == pytest.approx((low + high) / 2)
    assert known.find(wanted(0.009), "0" * 64, 0.9).interval.factor == low  # just beyond: that of the nearest
    found = known.find(wanted(0.02), "0" * 64, 0.9, "f.json")
    assert found.record["calibration"]["noise"] == ["gaussian:0.01", "gaussian:0.1"]
    assert not found.note


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (wanted(0.2), "from 0.01 to 0.1, not 0.2"),
        (wanted(0.005), "not 0.005"),
        (wanted(solver=solver_key(Sampler(), 20)), "none of denoise"),
        (wanted(solver=solver_key(Sampler(iterations=2), None)), "none of denoise"),
        (wanted(task="grey"), "none of grey"),
        (wanted(dtype="float32"), "of float32 files"),
        (wanted(transfer="srgb"), "in srgb light"),
        (replace(wanted(), noise="poisson:30"), "none of denoise at poisson:30"),
    ],
)  # fmt: skip
def test_what_was_not_calibrated_is_told(asked: Conditions, why: str) -> None:
    with pytest.raises(Uncalibrated, match=why):
        calibration().find(asked, "0" * 64, 0.9)


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        (wanted(0.02, task=BLUR, transfer="srgb"), "in linear light"),
        (wanted(0.2, task=BLUR, transfer="srgb"), "at gaussian:0.02 in linear light"),
        (wanted(dtype="float32"), "of uint8 files"),
        (wanted(solver=solver_key(Sampler(), 20)), "with 50 levels"),
        (wanted(solver=solver_key(Sampler(iterations=2), 20)), "with iterations=3, 50 levels"),
        (wanted(solver="DPS:x=1@50"), "by mmps"),
        (replace(wanted(), noise="poisson:30"), "at gaussian:0.1"),
    ],
)  # fmt: skip
def test_what_was_not_calibrated_is_told_with_the_nearest_that_was(asked: Conditions, near: str) -> None:
    with pytest.raises(Uncalibrated) as told:
        calibration().find(asked, "0" * 64, 0.9)
    assert str(told.value).endswith(f"; the nearest is {near}")
    assert "tolerance" not in str(told.value)
    assert ("by dps" if "DPS" in asked.solver else "by mmps") in str(told.value)


def test_an_operation_of_which_there_is_none_has_no_nearest() -> None:
    with pytest.raises(Uncalibrated, match=r"none of grey at gaussian:0\.01 of uint8 files by mmps for prior p$"):
        calibration().find(wanted(task="grey"), "0" * 64, 0.9)


def test_entries_of_the_own_type_of_file_come_first_and_another_type_of_integers_is_noted() -> None:
    known = calibration()

    def of(dtype: str, noise: float, ratio: float, pictures: int = 30) -> Entry:
        c = Conditions(task="denoise", noise=f"gaussian:{noise}", solver=MMPS, dtype=dtype)
        return Entry.of(c, LOCAL, "made", [Scores.of(np.full(50, ratio * 0.999))] * pictures)

    def found(both: Calibration, noise: float, dtype: str, level: float = 0.9) -> tuple[float, str]:
        it = both.find(wanted(noise, dtype=dtype), "0" * 64, level)
        assert it.record["calibration"]["dtype"] in ("uint8", "uint16")
        return it.interval.factor * student(level, 8), it.note

    other = "error bars are calibrated for uint8 files, not uint16"
    assert found(known, 0.1, "uint16") == (found(known, 0.1, "uint8")[0], other)
    assert found(known, 0.1, "uint8")[1] == ""
    both = known.joined([of("uint16", 0.1, 8.0, 12)])
    assert found(both, 0.1, "uint16") == (pytest.approx(8, rel=0.03), "")
    assert found(both, 0.1, "uint8") == found(known, 0.1, "uint8")
    assert found(both, 0.01, "uint16") == (found(known, 0.01, "uint8")[0], other)  # of which there is none of 16 bits
    assert found(both, 0.1, "uint16", 0.95)[1] == other  # for which those of 16 bits are too few
    assert found(both, 0.1, "int16")[1] == "error bars are calibrated for uint16 files, not int16"
    with pytest.raises(Uncalibrated, match=r"is for noise at 0\.1, not 0\.3"):
        found(both, 0.3, "uint16")
    with pytest.raises(
        Uncalibrated, match=r"none of denoise at gaussian:0\.009 of uint16 files.*nearest is of uint8 files"
    ):
        found(known, 0.009, "uint16")  # rounding to 8 bits is not small beside such noise


def test_other_weights_and_too_high_a_level_are_refused() -> None:
    with pytest.raises(Uncalibrated, match="other weights"):
        calibration().find(wanted(), "1" * 64, 0.9)
    with pytest.raises(
        BadInput,
        match=r"`level=0\.99`: 30 pictures calibrate.* or give calibration 99 pictures or more that do not judge",
    ):
        calibration().find(wanted(), "0" * 64, 0.99)
    found = uncalibrated(0.9, "none for prior p")
    assert found.record == {"level": 0.9, "factor": 1.0, "calibration": "none", "why": "none for prior p"}
    assert "not calibrated (none for prior p)" in found.note


def test_another_kernel_is_noted_and_another_number_of_samples_is_not_lost() -> None:
    known = calibration()
    found = known.find(wanted(0.02, task="blur:kernel=motion:15:30", samples=4), "0" * 64, 0.9)
    assert BLUR in found.note
    assert found.record["calibration"]["samples"] == [8]
    assert "with 8 samples, not 4" in found.note
    assert found.interval.factor * student(0.9, 4) == pytest.approx(
        3, rel=0.03
    )  # the ratio, which hardly depends on the number
    assert not known.find(wanted(0.02, task=BLUR), "0" * 64, 0.9).note
    assert known.find(wanted(0.02, dtype="uint16"), "0" * 64, 0.9).interval.factor > 0


def test_between_numbers_of_samples_ratios_are_interpolated_and_beyond_they_are_held() -> None:
    made = [
        Entry.of(replace(wanted(), samples=k), LOCAL, "made", [Scores.of(np.full(50, ratio * 0.999))] * 30)
        for k, ratio in ((2, 4.0), (8, 2.0))
    ]
    known = Calibration("p", "0" * 64, tuple(made), "0")

    def ratio(k: int) -> float:
        return known.find(wanted(samples=k), "0" * 64, 0.9).interval.factor * student(0.9, k)

    assert ratio(2) == pytest.approx(4, rel=0.03)
    assert ratio(4) == pytest.approx(3, rel=0.03)
    assert ratio(8) == pytest.approx(2, rel=0.03)
    assert ratio(64) == pytest.approx(ratio(8))
    assert not known.find(wanted(samples=2), "0" * 64, 0.9).note
    assert "with 2 and 8 samples, not 4" in known.find(wanted(samples=4), "0" * 64, 0.9).note


def test_a_calibration_is_read_as_it_was_written(tmp_path: Path) -> None:
    known, path = calibration(), tmp_path / "p.calibration.json"
    known.write(path)
    back = Calibration.read(path)
    json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (back.prior, back.sha256, back.version) == ("p", "0" * 64, "0")
    assert [e.conditions for e in back.entries] == [e.conditions for e in known.entries]
    assert back.find(wanted(0.02), "0" * 64, 0.9).interval.factor == pytest.approx(
        known.find(wanted(0.02), "0" * 64, 0.9).interval.factor, rel=1e-5
    )
    assert np.isnan(back.entries[0].ratios[-1])
    entry = replace(known.entries[0], data="other")
    assert [e.data for e in known.joined([entry]).entries] == ["made", "made", "other"]


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '{"format": "another"}', '{"format": "restorekit calibration 1", "entries": 3}']
)
def test_a_file_that_is_no_calibration_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(BadInput, match="no calibration"):
        Calibration.read(tmp_path / "c.json")
    (tmp_path / "c.json").write_bytes(b"\x89PNG" + bytes(range(256)) * 40)
    with pytest.raises(BadInput, match=r"no calibration \(no text\)"):
        Calibration.read(tmp_path / "c.json")
    with pytest.raises(BadInput, match="no such file"):
        Calibration.read(tmp_path / "none.json")
