"""Maps of change between two dates: in dB, with intervals that hold, in the place of the dates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from restorekit import change
from restorekit.cli.main import run as command
from restorekit.errors import BadInput
from restorekit.notes import Notes
from restorekit.report.changed import diverging
from tests.support.scenes import read_tiff, write_tiff


def dates(side: int = 170, looks: float = 4.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(the first, the second, the ratio of what lies under them in dB)."""
    rng = np.random.default_rng(seed)
    texture = np.exp(3 * gaussian_filter(rng.normal(0, 1, (side, side)), 1.5))
    truth = np.zeros((side, side))
    truth[30:60, 30:60], truth[100:110, 90:150] = 5.0, -6.0
    a, b = (texture * rng.gamma(looks, 1 / looks, texture.shape) for _ in range(2))
    return a, b * 10 ** (truth / 10), truth


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        command([str(a) for a in arguments])
    assert isinstance(end.value.code, int)
    return end.value.code


def test_intervals_hold_under_texture_and_changes_are_found() -> None:
    a, b, truth = dates()
    found = change(a, b, looks=4.0, grain=(0.0, 0.0), notes=Notes())
    middle, low, high, mask = (x[0] for x in (found.change, found.low, found.high, found.changed))
    inside = (low <= truth) & (truth <= high)
    still = truth == 0
    assert 0.85 < inside[still].mean() < 0.97
    assert inside[34:56, 34:56].mean() > 0.8
    assert mask[truth != 0].mean() > 0.9
    assert float(middle[34:56, 34:56].mean()) == pytest.approx(5, abs=0.5)
    assert float(middle[102:108, 95:145].mean()) == pytest.approx(-6, abs=0.7)
    assert inside[truth != 0].mean() > 0.8
    # What is called a change has an interval without 0.
    assert ((low <= 0) & (high >= 0))[mask].mean() < 0.1
    far = gaussian_filter((truth != 0).astype(float), 3) < 1e-3
    assert mask[far].mean() < 0.005


def test_the_command_writes_a_map_in_the_place_of_the_dates(tmp_path: Path) -> None:
    import rasterio

    a, b, _ = dates()
    b[:20] = -9999
    sources = [write_tiff(tmp_path / f"{n}.tif", x.astype(np.float32), nodata=-9999.0) for n, x in (("a", a), ("b", b))]
    assert run("change", *sources, tmp_path / "c.tif", "--looks", 4, "--grain", "0,0") == 0
    with rasterio.open(sources[0]) as one, rasterio.open(tmp_path / "c.tif") as d:
        assert (one.crs, one.transform) == (d.crs, d.transform)
        assert d.descriptions == ("change", "low", "high", "changed")
        assert d.units[:3] == ("dB", "dB", "dB")
        middle, low, high, mask = d.read()
    assert np.isnan(middle[:20]).all()
    assert np.isfinite(middle[20:]).all()
    assert (low[20:] < high[20:]).all()
    assert mask[34:56, 34:56].mean() > 0.9
    record = json.loads((tmp_path / "c.tif.json").read_text())
    assert set(record["input"]) == {"first", "second"}
    assert record["bands"]["1"]["looks"] == [4.0, 4.0]
    assert record["command"] == "change"
    assert record["changed"] == int(np.nansum(mask))
    arrays = change(a, np.where(b < 0, np.nan, b), looks=4.0, grain=(0.0, 0.0), notes=Notes())
    assert np.allclose(arrays.change[0], middle, equal_nan=True, atol=1e-3)


def test_despeckled_dates_are_compared_by_their_error_bars(tmp_path: Path) -> None:
    from restorekit.files.picture import write_json
    from restorekit.files.record import head, outputs

    truth = np.zeros((40, 40), np.float32)
    truth[10:20, 10:20] = 3.0
    for name, level in (("a", 0.0), ("b", 1.0)):
        # dB, whose deviation is 0.5 dB.
        paths = [
            write_tiff(tmp_path / f"{name}.tif", truth * level - 10),
            write_tiff(tmp_path / f"{name}_std.tif", truth * 0 + 0.5),
        ]
        write_json(tmp_path / f"{name}.tif.json", head(command="despeckle") | {"bands": {"1": {"domain": "db"}}, "outputs": outputs(paths)})  # fmt: skip
    assert run("change", tmp_path / "a.tif", tmp_path / "b.tif", tmp_path / "c.tif", "--changes", "1e-3") == 0
    middle, low, high, mask = read_tiff(tmp_path / "c.tif")
    assert middle == pytest.approx(truth, abs=1e-4)
    assert high - low == pytest.approx(2 * 1.645 * 0.5 * 2**0.5 + 0 * truth, abs=1e-2)
    assert np.array_equal(mask > 0, truth > 2.5)  # 3.29 deviations of 0.71 dB are 2.33 dB
    with pytest.raises(BadInput, match="`looks` is for dates as measured, and both were despeckled"):
        change(tmp_path / "a.tif", tmp_path / "b.tif", looks=4.0, notes=Notes())
    (tmp_path / "b_std.tif").unlink()
    with pytest.raises(BadInput, match=r"b\.tif has no b_std\.tif, its error bar"):
        change(tmp_path / "a.tif", tmp_path / "b.tif", notes=Notes())


def test_restored_dates_that_lie_beside_each_other_are_refused(tmp_path: Path) -> None:
    from restorekit.files.picture import write_json
    from restorekit.files.record import head, outputs

    texture = gaussian_filter(np.random.default_rng(0).normal(0, 1, (170, 170)), 1.5) * 10
    for name, moved in (("a", 0), ("b", 4)):
        level = np.roll(texture, moved, 1) + np.random.default_rng(moved).normal(0, 0.3, texture.shape)
        paths = [
            write_tiff(tmp_path / f"{name}{end}.tif", x.astype(np.float32))
            for end, x in (("", level), ("_std", 0 * level + 0.3))
        ]
        write_json(tmp_path / f"{name}.tif.json", head(command="despeckle") | {"bands": {"1": {"domain": "db"}}, "outputs": outputs(paths)})  # fmt: skip
    with pytest.raises(BadInput, match=r"b\.tif lies 0\.0 px \w+ and [34]\.\d px right of a\.tif"):
        change(tmp_path / "a.tif", tmp_path / "b.tif", notes=Notes())


def test_bands_in_another_order_are_refused(tmp_path: Path) -> None:
    import rasterio

    a, b, _ = dates(64)
    for name, order in (("a", ("VV", "VH")), ("b", ("VH", "VV"))):
        write_tiff(tmp_path / f"{name}.tif", np.stack([a, b]).astype(np.float32))
        with rasterio.open(tmp_path / f"{name}.tif", "r+") as d:
            d.descriptions = order
    with pytest.raises(BadInput, match=r"the bands of b\.tif are VH, VV, those of a\.tif VV, VH"):
        change(tmp_path / "a.tif", tmp_path / "b.tif", looks=4.0, notes=Notes())


def test_what_cannot_be_compared_is_refused_in_one_line(tmp_path: Path) -> None:
    a, b, _ = dates()
    with pytest.raises(BadInput, match=r"date 2 lies 2\.\d px down and \d\.\d px \w+ of date 1"):
        change(a, np.roll(b, 2, 0), looks=4.0, grain=(0.0, 0.0), notes=Notes())
    with pytest.raises(BadInput, match=r"pixels: 160 x 170, and not 170 x 170"):
        change(a, b[:160], looks=4.0, notes=Notes())
    with pytest.raises(BadInput, match=r"a map of change is a GeoTIFF; write \.tif"):
        change(a, b, tmp_path / "c.png", notes=Notes())


def test_map_and_mask_have_one_reference() -> None:
    a, b, truth = dates()
    kept: dict[str, Any] = {"looks": 4.0, "grain": "0,0", "changes": 1e-3}
    notes = Notes()
    relative, plain = change(a, 2 * b, notes=notes, **kept), change(a, b, notes=Notes(), **kept)
    assert any("relative to the level of the dates as a whole" in text for text in notes.texts)
    assert np.allclose(relative.change, plain.change, atol=0.02)
    absolute = change(a, 2 * b, notes=Notes(), absolute=True, **kept)
    still = truth == 0
    assert float(np.median(absolute.change[0][still])) == pytest.approx(3.0, abs=0.3)
    assert absolute.changed[0][still].mean() > 0.9


def test_a_date_twice_is_refused() -> None:
    a, _, _ = dates()
    with pytest.raises(BadInput, match="date 1 and date 2 hold the same numbers"):
        change(a, a, looks=4.0, grain="0,0", notes=Notes())


def test_the_page_shows_the_map_and_what_was_checked(tmp_path: Path) -> None:
    a, b, _ = dates(100)
    sources = [write_tiff(tmp_path / f"{n}.tif", x.astype(np.float32)) for n, x in (("may", a), ("june", b))]
    line = ("change", *sources, tmp_path / "c.tif", "--looks", 4, "--grain", "0,0", "--report", tmp_path / "c.html")
    assert run(*line) == 0
    page = (tmp_path / "c.html").read_text()
    record = json.loads((tmp_path / "c.tif.json").read_text())
    assert page.count("<img") == 3
    assert "may.tif" in page
    assert f"{record['changed']} of {record['known']} pixels" in page
    assert "refused beyond 0.3" in page
    assert record["bands"]["1"]["shift"]["error"] > 0
    # The dates are no place for a page.
    kept = sources[0].read_bytes()
    assert run("change", *sources, tmp_path / "d.tif", "--looks", 4, "--report", sources[0]) != 0
    assert sources[0].read_bytes() == kept
    assert not (tmp_path / "d.tif").exists()


def test_a_change_is_white_where_there_is_none_and_as_dark_on_both_sides() -> None:
    shown = diverging(np.array([[-2.0, -1.0, 0.0, 1.0, 0.3]]), np.array([[True, True, True, True, False]]))[:, 0]
    assert np.array_equal(shown[:, 0], shown[:, 1])
    assert shown[:, 2].tolist() == [1, 1, 1]
    assert shown[2, 1] > shown[0, 1]
    assert shown[0, 3] > shown[2, 3]
    assert shown[:, 4].tolist() == [0.5, 0.5, 0.5]


def test_dates_of_two_polarisations_or_sizes_are_refused_before_anything_is_measured(tmp_path: Path) -> None:
    import rasterio

    paths = []
    for name, side in (("VV", 40), ("VH", 40), ("VV", 32)):
        paths.append(write_tiff(tmp_path / f"{name}{side}.tif", np.ones((1, side, side), np.float32)))
        with rasterio.open(paths[-1], "r+") as d:
            d.descriptions = (name,)
    for other, word in ((paths[1], "is VH, and of VV40.tif VV"), (paths[2], "32 x 32")):
        with pytest.raises(BadInput, match=word):
            change(paths[0], other)


@pytest.mark.parametrize("place", [0, 1])
def test_the_folder_itself_is_no_date(
    place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tiff(Path("a.tif"), np.ones((32, 32), np.float32))
    dates = ["a.tif", "a.tif"]
    dates[place] = "."
    with pytest.raises(SystemExit) as stopped:
        command(["change", *dates, "out.tif"])
    assert stopped.value.code == 1
    assert "is a folder" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]
