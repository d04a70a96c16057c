"""Point targets: found in speckle, kept as measured by whatever restores the scene, and not found where there are none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import special
from skimage import data

from restorekit.cli.main import run as command
from restorekit.despeckling.arrays import despeckled
from restorekit.despeckling.plan import Settings, plan
from restorekit.sar.domain import DOMAINS
from restorekit.sar.speckle import SWATHS, draw
from restorekit.sar.targets import Detector, Targets
from tests.support.scenes import read_tiff, write_tiff

SEA = 0.1
SHAPES = {"one": [(0, 0)], "two": [(0, 0), (0, 1)], "three": [(0, 0), (1, 0), (2, 0)], "corner": [(0, 0), (1, 0), (1, 1)],
          "square": [(0, 0), (0, 1), (1, 0), (1, 1)]}  # fmt: skip
At = tuple[np.ndarray, np.ndarray]


def sea(looks: float, grain: str | None = None, side: int = 128) -> tuple[np.ndarray, list[At]]:
    """(measured intensities of a sea with targets 15 to 35 dB above it, where they are)."""
    y = SEA * draw((side, side), looks, None if grain is None else SWATHS[grain], np.random.default_rng(7))
    where = []
    for i, shape in enumerate(SHAPES.values()):
        for j, decibels in enumerate((15, 20, 35)):
            rows, columns = np.array([(14 + 24 * i + a, 20 + 40 * j + b) for a, b in shape]).T
            y[rows, columns] = SEA * 10 ** (decibels / 10)
            where.append((rows, columns))
    return y, where


def lost(y: np.ndarray, x: np.ndarray, where: list[At]) -> np.ndarray:
    """Measured over restored level of each target, dB."""
    return np.array([10 * np.log10(y[at].mean() / x[at].mean()) for at in where])


def restored(folder: Path, y: np.ndarray, **more: Any) -> np.ndarray:
    np.save(folder / "in.npy", y)
    plan(folder / "in.npy", folder / "out.npy", Settings(**dict[str, Any](domain="intensity") | more)).run()
    return np.load(folder / "out.npy").astype(np.float64)


@pytest.mark.parametrize("looks", [1.0, 4.0])
@pytest.mark.parametrize("solver", ["hqs", "sar-dps", "boxcar", "frost"])
def test_targets_keep_their_level_and_leave_the_sea_alone(solver: str, looks: float, tmp_path: Path) -> None:
    y, where = sea(looks)
    few = {"hqs": {"steps": 5}, "sar-dps": {"steps": 4, "samples": 1}}.get(solver, {})
    x = restored(tmp_path, y, solver=solver, looks=looks, decorrelate="none", **few)
    assert np.abs(lost(y, x, where)).max() < 1
    # Beside a target, where a window of 7 pixels still holds it, is sea: of a few hundred pixels, so within 0.6 dB.
    targets = np.zeros(y.shape, np.bool_)
    for at in where:
        targets[at] = True
    near = np.zeros_like(targets)
    for i, j in np.argwhere(targets):
        near[i - 3 : i + 4, j - 3 : j + 4] = True
    beside = x[near & ~targets]
    assert 10 * np.log10(np.median(beside) / SEA) == pytest.approx(0, abs=1)
    assert 10 * np.log10(beside.mean() / SEA) == pytest.approx(0, abs=1)


def test_without_the_test_they_are_lost(tmp_path: Path) -> None:
    y, where = sea(4.0)
    x = restored(tmp_path, y, solver="hqs", looks=4.0, steps=6, decorrelate="none", targets=None)
    assert lost(y, x, where).max() > 10


@pytest.mark.parametrize("remedy", ["auto", "subsample", "none"])
def test_targets_survive_every_remedy_for_a_grain(remedy: str, tmp_path: Path) -> None:
    y, where = sea(4.0, "iw3")
    x = restored(tmp_path, y, solver="hqs", looks=4.0, steps=4, decorrelate=remedy)
    assert np.abs(lost(y, x, where)).max() < 1


def test_whitening_leaves_targets_to_themselves(tmp_path: Path) -> None:
    spectrum = SWATHS["iw2"]
    z = np.sqrt(SEA) * spectrum.field(128, 128, np.random.default_rng(1))
    # As the sensor sees them: spread by the window over its band.
    bands = (spectrum.window(128, over)[:, None] for over in (spectrum.azimuth, spectrum.range))
    point = np.fft.ifft2(np.outer(*(band[:, 0] for band in bands)))
    where = []
    for i, decibels in enumerate((18, 24, 30, 36)):
        at = (20 + 28 * i, 30 + 20 * i)
        z += np.sqrt(SEA * 10 ** (decibels / 10)) * np.roll(point / point[0, 0], at, (0, 1))
        where.append((np.array(at[:1]), np.array(at[1:])))
    x = restored(tmp_path, z, solver="hqs", looks=1.0, steps=4, decorrelate="whiten", domain="complex")
    assert np.abs(lost(np.abs(z) ** 2, x, where)).max() < 1
    assert 10 * np.log10(np.median(x) / SEA) == pytest.approx(0, abs=1)


@pytest.mark.parametrize("domain", ["intensity", "amplitude", "db"])
def test_their_deviation_is_that_of_speckle(domain: str, tmp_path: Path) -> None:
    y = SEA * draw((40, 40), 4.0, None, np.random.default_rng(7))
    y[20, 21:23] = 30 * SEA, 900 * SEA
    unit = DOMAINS[domain]
    np.save(tmp_path / "in.npy", unit.value(y))
    settings = Settings(solver="sar-dps", samples=2, steps=2, looks=4.0, domain=domain, decorrelate="none")
    plan(tmp_path / "in.npy", tmp_path / "out.npy", settings).run()
    rng = np.random.default_rng(0)
    std = np.load(tmp_path / "out_std.npy")
    for at in ((20, 21), (20, 22)):
        # The deviation of 40,000 draws is known to a per cent.
        drawn = unit.value(y[at] * rng.gamma(4.0, 0.25, 40000))
        assert std[at] == pytest.approx(drawn.std(), rel=0.03)


def limits(detector: Detector, x: np.ndarray) -> np.ndarray:
    """(h, w): what a pixel must pass to be a target, over the threshold."""
    h = detector.halo
    padded = np.pad(x.astype(np.float32), h, mode="symmetric")
    return detector.surroundings(padded, np.ones(padded.shape, np.bool_))[1][h:-h, h:-h].astype(np.float64)


def rate(detector: Detector, truth: np.ndarray, speckle: np.ndarray, looks: float) -> float:
    """Expected false alarms per pixel: the tail of the law of speckle beyond the limit that each pixel has. That needs far
    fewer pixels than counting them. Pixels of the truth that are 3 dB above all that is around them are no false alarms."""
    smooth = replace(detector, settings=replace(detector.settings, texture=0.0))
    plain = truth < 2 * limits(smooth, truth)
    alarm = special.gammaincc(looks, looks * detector.threshold * limits(detector, truth * speckle) / truth)
    return float(alarm[plain].mean())


@pytest.mark.parametrize("looks", [1.0, 4.0])
@pytest.mark.parametrize("grain", [None, "iw3"])
def test_false_alarms_come_at_the_stated_rate(looks: float, grain: str | None) -> None:
    spectrum = None if grain is None else SWATHS[grain]
    detector = Targets().fitted(looks, (0.0, 0.0) if spectrum is None else spectrum.lag_one)
    rng = np.random.default_rng(3)
    flat = np.ones((256, 256))
    assert rate(detector, flat, draw(flat.shape, looks, spectrum, rng), looks) == pytest.approx(1e-6, rel=0.6)
    pictures = data.camera()[100:356, 100:356], data.coffee()[100:356, 100:356, 1], data.chelsea()[:256, 90:346, 1]
    textured = [((p + 1.0) / 256) ** 2 for p in pictures]
    rates = [rate(detector, x, draw(x.shape, looks, spectrum, rng), looks) for x in textured]
    assert 1e-7 < np.mean(rates) < 1e-5


def test_an_edge_a_line_and_a_slope_are_no_targets() -> None:
    i, j = np.mgrid[:256, :256]
    truth = np.where(j + i // 3 < 130, 0.02, 0.5) + 0.5 * (np.abs(i - j // 2 - 40) < 2) + 0.002 * i
    detector = Targets().fitted(4.0)
    assert rate(detector, truth, draw(truth.shape, 4.0, None, np.random.default_rng(0)), 4.0) < 1e-5


def test_it_follows_the_unit_and_not_what_is_not_valid() -> None:
    y, where = sea(4.0)
    valid = np.ones(y.shape, np.bool_)
    valid[:, 60:70] = False
    detector = Targets().fitted(4.0)
    found = detector(y, valid)
    assert all(found[at].all() for at in where if valid[at].all())
    assert not found[~valid].any()
    np.testing.assert_array_equal(detector(4096 * y, valid), found)
    y[~valid] = np.nan
    np.testing.assert_array_equal(detector(y, valid), found)


def test_a_pixel_is_a_target_whatever_the_part_it_is_seen_in() -> None:
    y, _ = sea(1.0, side=200)
    detector = Targets().fitted(1.0)
    whole = detector(y, np.ones(y.shape, np.bool_))
    h = detector.halo
    part = y[61 - h : 90 + h, 57 - h : 120 + h]
    np.testing.assert_array_equal(detector(part, np.ones(part.shape, np.bool_))[h:-h, h:-h], whole[61:90, 57:120])


def test_they_are_counted_said_and_recorded_once_in_blocks(tmp_path: Path) -> None:
    y, where = sea(4.0)
    y[60:62, 63:66] = 50 * SEA  # across the border of blocks
    source, said = write_tiff(tmp_path / "in.tif", y.astype(np.float32)), list[str]()
    settings = Settings(solver="lee", looks=4.0, domain="intensity")
    plan(source, tmp_path / "whole.tif", settings).run(say=said.append)
    blocks = Settings(solver="lee", looks=4.0, domain="intensity", block=64)
    plan(source, tmp_path / "blocks.tif", blocks).run(say=said.append)
    a, b = read_tiff(tmp_path / "whole.tif")[0], read_tiff(tmp_path / "blocks.tif")[0]
    np.testing.assert_array_equal(a, b)
    count = int((a == y.astype(np.float32)).sum())
    assert said == [f"band 1: {count} pixels cannot be speckle of their surroundings (false alarms: 1e-05 per pixel); kept as measured"] * 2  # fmt: skip
    assert sum(len(at[0]) for at in where) + 6 <= count <= 1.2 * sum(len(at[0]) for at in where) + 8
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(tmp_path / "blocks.tif") as d:
        record = json.loads(d.tags()["RESTOREKIT_PROVENANCE"])
    assert record["targets_kept"] == {"1": count}
    assert record["targets"]["false_alarms"] == 1e-5


def test_arrays_keep_them_too() -> None:
    y, where = sea(4.0)
    said = list[str]()
    x = despeckled(Settings(solver="lee", looks=4.0), y, np.ones(y.shape, np.bool_), say=said.append)
    assert np.abs(lost(y, x, where)).max() < 0.01
    assert len(said) == 1


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="false_alarms=0 must be above 0"):
        Targets(false_alarms=0)


@pytest.mark.parametrize(("value", "code"), [("auto", 0), ("off", 0), ("1e-4", 0), ("many", 1), ("0.9", 1)])
def test_the_command_says_how_many(
    value: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    y, where = sea(4.0)
    monkeypatch.chdir(tmp_path)
    np.save("in.npy", y)
    with pytest.raises(SystemExit) as stop:
        command(["despeckle", "in.npy", "out.npy", "--solver", "lee", "--looks", "4", "--targets", value])
    said = capsys.readouterr().err
    assert stop.value.code == code
    assert ("kept as measured" in said) == (value in ("auto", "1e-4"))
    if code:
        assert f"--targets {value!r} is not understood; give auto, off, or a false-alarm rate per pixel" in said
    else:
        x = np.load("out.npy").astype(np.float64)
        assert (lost(y, x, where).max() < 0.01) == (value != "off")
