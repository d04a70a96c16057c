"""Structure that a despeckler took for speckle: found in the ratio image, given back, and not found where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy

from restorekit.cli.main import run as command
from restorekit.despeckling.kept import with_structure
from restorekit.despeckling.methods import SpeckledBlock
from restorekit.despeckling.survey import BandStatistics
from restorekit.errors import BadInput
from restorekit.files.bands import Window
from restorekit.sar.speckle import SWATHS, draw, spectrum_of
from restorekit.sar.structure import Bar, RatioTest, Structure, bars
from restorekit.tasks.despeckle import despeckle
from tests.support.scenes import read_tiff, write_tiff

ALL = np.ones((256, 256), np.bool_)


def sea(looks: float, grain: str | None = None, seed: int = 1) -> np.ndarray:
    spectrum = None if grain is None else SWATHS[grain]
    return draw(ALL.shape, looks, spectrum, np.random.default_rng(seed)).astype(np.float32)


def river(depth: float, width: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """(a field of level 1 with two straight rivers of that level, where they are)."""
    on = np.zeros(ALL.shape, np.bool_)
    on[:, 60 : 60 + width] = True
    i, j = np.indices(ALL.shape)
    on |= np.abs(i - 0.5 * j - 90) < 0.5 * width
    return np.where(on, depth, 1.0), on


def run(*arguments: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        command(list(arguments))
    assert not stopped.value.code


def fitted(looks: float, grain: str | None = None) -> RatioTest:
    return Structure().fitted(looks, (0.0, 0.0) if grain is None else SWATHS[grain].lag_one)


@pytest.mark.parametrize("bar", [Bar(9, 1, 0.3), Bar(15, 3), Bar(5, 5), Bar(25, 2, 1.2)])
@pytest.mark.parametrize("grain", [None, "iw2"])
def test_the_mean_over_a_bar_has_the_looks_that_are_stated(bar: Bar, grain: str | None) -> None:
    assert float(bar.weights.sum()) == pytest.approx(bar.length * bar.width, rel=0.03)
    lag_one = (0.0, 0.0) if grain is None else SWATHS[grain].lag_one
    independent = bar.independent(lag_one)
    mean = scipy.signal.fftconvolve(
        draw((900, 900), 4, spectrum_of(lag_one), np.random.default_rng(0)), bar.weights / bar.weights.sum(), "valid"
    )
    assert mean.var() == pytest.approx(1 / (4 * independent), rel=0.12)


def test_bars_point_everywhere() -> None:
    angles = [bar.angle for bar in bars([21], [1], [])]
    assert len(angles) == len(set(angles)) >= 20
    assert np.allclose(np.diff(angles), np.pi / len(angles))


@pytest.mark.parametrize(("looks", "grain"), [(1.0, None), (4.0, None), (5.0, "iw2"), (1.0, "iw1")])
def test_flat_speckle_passes_at_the_stated_rate(looks: float, grain: str | None) -> None:
    often = Structure(false_alarms=1e-3, beside=1e-3).fitted(
        looks, (0.0, 0.0) if grain is None else SWATHS[grain].lag_one
    )
    found = 0
    for seed in range(2, 6):
        evidence, _, _ = often.evidence(np.minimum(sea(looks, grain, seed), 8)[None], [[n] for n in often.independent])
        found += int(((evidence >= scipy.ndimage.maximum_filter(evidence, 5)) & (evidence > often.threshold)).sum())
    assert 0.6 < found / (4 * ALL.size * 1e-3) < 1.5
    marked = fitted(looks, grain)(sea(looks, grain), ALL).mask.mean()
    assert marked < 4 * Structure().false_alarms * 41 * 3  # pixels of the largest bar


@pytest.mark.parametrize(("looks", "grain"), [(4.0, None), (5.0, "iw2")])
def test_rivers_come_back(looks: float, grain: str | None) -> None:
    truth, on = river(0.25)
    y = truth * sea(looks, grain)
    lost = scipy.ndimage.uniform_filter(y, 31)  # what smooths until nothing of a river is left
    back = lost * fitted(looks, grain)(y / lost, ALL).factor
    off = ~scipy.ndimage.binary_dilation(on, iterations=3)

    def contrast(x: np.ndarray) -> float:
        return float(10 * np.log10(x[off].mean() / x[on].mean()))

    assert contrast(lost) < 1.2
    missing = 10 * np.log10(1 / 0.25) - contrast(lost)
    assert contrast(back) - contrast(lost) > 0.5 * missing
    assert np.abs(np.log(back[off] / lost[off])).mean() < 0.02


# Of lines 10 dB under what is beside them, which no solver takes out whole, more lies off: a tenth.
@pytest.mark.parametrize(("level", "most"), [(0.1, 0.12), (0.25, 0.06), (4.0, 0.06), (10.0, 0.06)])
def test_lines_that_cross_do_not_draw_others(level: float, most: float) -> None:
    i, j = np.indices(ALL.shape)
    on = (np.abs(i - 0.43 * j - 60) < 1.5) | (np.abs(j - 0.2 * i - 80) < 1.0) | (np.abs(i + 0.7 * j - 230) < 0.8)
    y = np.where(on, level, 1.0) * sea(4.0)
    marked = fitted(4.0)(y, ALL).mask
    elsewhere = marked & ~scipy.ndimage.binary_dilation(on, iterations=3)
    assert marked[on].mean() > 0.8
    assert elsewhere.sum() < most * marked.sum()


def test_looks_that_are_said_too_high_do_not_make_structure() -> None:
    ratio = sea(1.0)
    assert fitted(4.0)(ratio, ALL).mask.mean() < 0.01
    naive = fitted(4.0)
    evidence, _, _ = naive.evidence(np.minimum(ratio, 8)[None], [[n] for n in naive.independent])
    assert (evidence > naive.threshold).mean() > 0.05


def test_what_does_not_count_is_left_alone_and_units_do_not_matter() -> None:
    truth, _ = river(0.25)
    y, valid = truth * sea(4.0), ALL.copy()
    valid[:, 150:] = False
    x = np.full(ALL.shape, 1.0)
    found = fitted(4.0)(np.where(valid, y / x, np.nan), valid)
    assert np.isfinite(found.factor).all()
    assert not found.mask[:, 150:].any()
    assert found.mask[:, 60:62].mean() > 0.8
    again = fitted(4.0)(np.where(valid, (1e-3 * y) / (1e-3 * x), np.nan), valid)
    assert np.abs(again.factor - found.factor).max() < 1e-5


def test_rates_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="at most beside"):
        Structure(false_alarms=0.1)


def test_the_command_gives_back_counts_and_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    truth, on = river(0.2, 1)
    truth, on, y = truth[:128, :128], on[:128, :128], (truth * sea(4.0))[:128, :128]
    y[30, 20] = 60.0
    write_tiff(tmp_path / "in.tif", y[None].astype(np.float32))
    common = ["--domain", "intensity", "--looks", "4", "--solver", "hqs", "--steps", "5", "--decorrelate", "none"]
    run("despeckle", "in.tif", "off.tif", *common, "--structure", "off")
    assert "given back" not in capsys.readouterr().err
    run("despeckle", "in.tif", "out.tif", *common, "--mask", "--report", "page.html")
    said = capsys.readouterr().err
    assert "took for speckle, as the ratio image shows" in said
    assert "kept as measured" in said
    mask, x, off = (read_tiff(tmp_path / name)[0] for name in ("out_mask.tif", "out.tif", "off.tif"))
    record = json.loads((tmp_path / "out.tif.json").read_text())
    assert mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 1, 2}
    assert record["structure_returned"] == {"1": int((mask == 2).sum())}
    assert record["targets_kept"] == {"1": int((mask == 1).sum())}
    assert mask[30, 20] == 1
    assert np.array_equal(x[mask == 0], off[mask == 0])
    assert x[on].mean() < off[on].mean()
    page = (tmp_path / "page.html").read_text()
    assert "structure that the solver took for speckle, given back" in page
    assert "pixels given back" in page


@pytest.mark.parametrize("value", ["0", "nan", "1", "often"])
def test_rates_that_are_not_understood_are_refused_in_one_line(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("in.npy", sea(4.0)[:64, :64])
    with pytest.raises(SystemExit) as stopped:
        command(["despeckle", "in.npy", "out.npy", "--solver", "hqs", "--structure", value])
    assert stopped.value.code
    said = capsys.readouterr().err
    assert f"--structure {value!r} is not understood; give auto, off, or a false-alarm rate per pixel" in said
    assert not (tmp_path / "out.npy").exists()


def test_draws_differ_by_what_a_mean_over_the_line_leaves_open() -> None:
    truth, _ = river(0.2, 1)
    y = (truth * sea(4.0)).astype(np.float64)
    lost = scipy.ndimage.uniform_filter(y, 31)
    window = Window(0, 0, *y.shape)
    block = SpeckledBlock(window, 1, y, y, ALL, BandStatistics(0.0, 4.0, 1.0, None))
    test = fitted(4.0)
    draws, returned = with_structure(test, np.stack([lost] * 4), block)
    found = test(y / lost, ALL)
    assert np.array_equal(returned, found.mask)
    assert returned.any()
    assert np.allclose(draws.mean(0), lost * found.factor)
    relative = draws.std(0, ddof=1) / draws.mean(0)
    assert np.allclose(relative[returned], found.deviation[returned], rtol=0.1)
    assert not relative[~returned].any()


def test_a_filter_gives_nothing_back_and_says_so() -> None:
    with pytest.raises(BadInput, match="leave out `structure`"):
        despeckle(sea(4.0)[:64, :64], solver="lee", domain="intensity", structure=Structure(false_alarms=1e-4))


def test_a_mask_that_was_not_asked_for_is_refused() -> None:
    with pytest.warns(), pytest.raises(BadInput, match="mask=True"):
        _ = despeckle(sea(4.0)[:64, :64], solver="lee", domain="intensity").mask
