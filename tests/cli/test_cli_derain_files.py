"""What `restorekit derain` makes of the files given: no data, metadata, places, masks, and pictures that do not fit."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from restorekit.cli.derain import derain
from restorekit.errors import BadInput
from restorekit.files.picture import read_picture
from restorekit.notes import Notes
from restorekit.rain.refine import Refined, Refinement
from restorekit.tasks.derain import Deraining
from restorekit.tasks.derain_inputs import DerainInputs
from restorekit.tasks.derain_run import DerainRun
from tests.cli.test_cli_derain import PHOTO, QUICK, masked, pair, raw, record
from tests.support.fields import go, refused

SCALE = (33550, "d", 3, (10.0, 10.0, 0.0), True)  # one of the tags that say where a picture lies
CORNER = np.s_[:12, :15]


def geo(path: Path, values: np.ndarray, nodata: str | None = None) -> Path:
    """values (H, W, C) as GeoTIFF."""
    tags: list[Any] = [SCALE] + ([] if nodata is None else [(42113, "s", 0, nodata, True)])
    tifffile.imwrite(path, values, photometric="rgb", extratags=tags, metadata=None)
    return path


def tags(path: Path) -> dict[int, Any]:
    with tifffile.TiffFile(path) as tif:
        return {t.code: t.value for t in tif.pages[0].tags}  # type: ignore[union-attr]


def tiles(d: Path, dtype: str, value: float, nodata: str | None = None) -> tuple[Path, Path]:
    """The pair as GeoTIFF, `value` in a corner of it and, as valid pixels have it too in a band, nowhere else in all bands."""
    found = []
    for path in pair(d, ".tif" if dtype == "float32" else ".png", dtype):
        x = np.maximum(raw(path), 1 if dtype == "uint8" else 0.001).astype(dtype)
        x[CORNER] = value
        found.append(geo(d / f"geo_{path.stem}.tif", x, f"{value:g}" if nodata is None else nodata))
    return found[0], found[1]


@pytest.mark.parametrize(("dtype", "value"), [("uint8", 0), ("float32", -9999.0), ("float32", np.nan)])
@pytest.mark.parametrize("alone", [False, True])
def test_pixels_without_data_are_left_alone(dtype: str, value: float, alone: bool, tmp_path: Path) -> None:
    rainy, base = tiles(tmp_path, dtype, value)
    out = tmp_path / "out.tif"
    assert go("derain", rainy, out, *(() if alone else ("--derained", base)), *QUICK) == 0
    k, after, before = masked(tmp_path / "out_mask.png"), raw(out), raw(tmp_path / "out_base.tif" if alone else base)
    assert k.any()
    assert not k[CORNER].any()
    np.testing.assert_array_equal(after[~k], before[~k])
    np.testing.assert_array_equal(after[CORNER], np.full_like(after[CORNER], value))
    others = np.ones(k.shape, bool)
    others[CORNER] = False
    assert not (after[others] == value).all(-1).any()
    assert np.isfinite(after[others]).all()
    assert after[others].min() >= 0
    assert after[others].max() <= (255 if dtype == "uint8" else 1.3)
    assert tags(out)[42113].strip("\0") == f"{value:g}"


def test_the_network_and_the_mask_see_no_fill(tmp_path: Path) -> None:
    rainy, base = tiles(tmp_path, "float32", -9999.0)
    inputs = DerainInputs(source=rainy, derained=base)
    assert inputs.plain.min() >= 0
    assert inputs.rainy.min() >= 0
    assert (inputs.layer[CORNER] == 0).all()
    x = raw(base)
    x[20:25, 20:25] = -9999  # a hole that a derainer made is none of its rain
    geo(base, x, "-9999")
    again = DerainRun(Deraining(), DerainInputs(source=rainy, derained=base), Notes())
    assert (again.inputs.layer[20:25, 20:25] == 0).all()
    assert not again.found.k[20:25, 20:25].any()


@pytest.mark.parametrize(("dtype", "step"), [("uint8", 1), ("float32", np.finfo(np.float32).tiny)])
@pytest.mark.parametrize("corner", [0, 1])
def test_no_repaired_pixel_becomes_no_data(
    dtype: str, step: float, corner: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rainy, base = tiles(tmp_path, dtype, corner, "0")

    def blackened(_self: Refinement, b: np.ndarray, k: np.ndarray, *_: object) -> Refined:
        return Refined(np.where(k, 0, b), np.zeros_like(b), None)

    monkeypatch.setattr(Refinement, "__call__", blackened)
    assert go("derain", rainy, tmp_path / "out.tif", "--derained", base, *QUICK) == 0
    k = masked(tmp_path / "out_mask.png")
    np.testing.assert_array_equal(raw(tmp_path / "out.tif")[k], step)
    np.testing.assert_array_equal(raw(tmp_path / "out.tif")[~k], raw(base)[~k])


def test_no_data_that_cannot_be_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rainy, base = tiles(tmp_path, "float32", -9999.0)
    assert "write .tif" in refused(capsys, "derain", rainy, tmp_path / "out.png", "--derained", base, *QUICK)
    x = raw(base)
    x[CORNER] = np.nan  # not what the tag says
    geo(base, x, "-9999")
    said = refused(capsys, "derain", rainy, tmp_path / "out.tif", "--derained", base, *QUICK)
    assert "180 of 2880 pixels are NaN or infinite; fill them" in said
    assert "inpaint" not in said
    other = np.full_like(x, -9999)
    other[CORNER] = raw(tmp_path / "base.tif")[CORNER]
    geo(base, other, "-9999")
    said = refused(capsys, "derain", rainy, tmp_path / "out.tif", "--derained", base, *QUICK)
    assert "all its pixels are no data where" in said


# --- metadata ---


@pytest.mark.parametrize("same", [True, False])
def test_a_derained_picture_without_map_coordinates_gets_those_of_the_rainy_one(
    same: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rainy, base = tiles(tmp_path, "uint8", 0)
    plain = tmp_path / "network.png"
    x = raw(base)
    x[CORNER] = 0 if same else 7
    Image.fromarray(x).save(plain)
    out = tmp_path / "out.tif"
    assert go("derain", rainy, out, "--derained", plain, *QUICK) == 0
    assert tags(out)[33550] == (10.0, 10.0, 0.0)
    assert (42113 in tags(out)) == same
    assert ("without the no-data value 0" in capsys.readouterr().err) != same
    k = masked(tmp_path / "out_mask.png")
    assert k.any()
    np.testing.assert_array_equal(raw(out)[~k], x[~k])
    assert go("derain", rainy, tmp_path / "out.png", "--derained", plain, *QUICK) == 0
    assert "without the map coordinates; .tif holds them" in capsys.readouterr().err


def test_a_colour_profile_that_the_derainer_dropped_comes_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rainy, base = pair(tmp_path)
    x = np.dstack([raw(rainy), np.full(PHOTO.shape[1:], 200, np.uint8)])
    Image.fromarray(x).save(rainy, icc_profile=b"a profile", dpi=(300, 300))
    assert go("derain", rainy, tmp_path / "out.png", "--derained", base, *QUICK) == 0
    info = read_picture(tmp_path / "out.png").info
    assert info["icc_profile"] == b"a profile"
    assert info["dpi"][0] == pytest.approx(300, abs=0.1)
    assert "without the alpha of" in capsys.readouterr().err
    Image.fromarray(raw(base)).save(base, icc_profile=b"its own")
    assert go("derain", rainy, tmp_path / "out.png", "--derained", base, *QUICK) == 0
    assert read_picture(tmp_path / "out.png").info["icc_profile"] == b"its own"


# --- places ---


@pytest.mark.parametrize("name", ["out.png.json", "out_mask.png", "out_std.tif", "page.html", "out_base.png"])
def test_a_folder_in_the_way_is_seen_before_the_network_runs(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rainy, base = pair(tmp_path)
    (tmp_path / name).mkdir()
    there = {p.name for p in tmp_path.iterdir()}
    monkeypatch.setattr(Refinement, "__call__", None)
    given = () if name == "out_base.png" else ("--derained", base)
    page = ("--report", tmp_path / "page.html")
    assert "is a folder" in refused(capsys, "derain", rainy, tmp_path / "out.png", *given, *page, *QUICK)
    assert {p.name for p in tmp_path.iterdir()} == there


def test_what_an_earlier_run_left_is_named_and_may_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rainy, base = pair(tmp_path)
    for name in ("out_base.png", "out_std.tif"):
        (tmp_path / name).write_bytes(base.read_bytes())
    once = ("--samples", 1, *QUICK)
    assert go("derain", rainy, tmp_path / "out.png", "--derained", base, *once) == 0
    assert "out_base.png, out_std.tif: of an earlier run" in capsys.readouterr().err
    assert go("derain", rainy, tmp_path / "out.png", "--derained", tmp_path / "out_base.png", *once) == 0
    assert "note: out_std.tif: of an earlier run" in capsys.readouterr().err


def test_the_command_of_the_page_does_the_same_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = (
        "--derained", "b.png", "--rain", "r.png", "--mask", "m.png", "--weak", "--solver", "dps:scale=2", "--prior",
        "natural-fast", "--samples", 3, "--steps", 9, "--share", 0.25, "--floor", 0.07, "--cap", 0.4, "--dilate", 0,
        "--feather", 0, "--sigma", "none", "--weight", 1.0, "--seed", 5, "--device", "cpu", "--tile", 64, "--precision",
        "fp32", "--range", "-1,3", "--layout", "CHW", "--pages", 2, "--report", tmp_path / "p.html",
    )  # fmt: skip
    calls: list[dict[str, Any]] = []

    def called(*files: object, **settings: Any) -> None:
        calls.append(settings | {"files": files, "notes": None, "progress": None})
        raise BadInput("enough")

    monkeypatch.setattr("restorekit.tasks.derain.derain", called)
    assert go("derain", tmp_path / "rainy picture.png", tmp_path / "out.png", *given) == 1
    program, *words = shlex.split(calls[0]["report"].command)
    assert program == "restorekit"
    assert go(*words) == 1
    assert calls[0] == calls[1]
    assert calls[0]["range"] == (-1, 3)
    assert calls[0]["sigma"] == "none"
    files = {"places", "folder", "suffix", "scheduler", "overwrite", "derained", "rain", "mask", "report", "ctx"}
    names = {name.rstrip("_") for name in inspect.signature(derain).parameters} - files
    assert names == set(Deraining.__dataclass_fields__)
    for name, option in inspect.signature(derain).parameters.items():
        if name not in files:
            assert Deraining.__dataclass_fields__[name.rstrip("_")].default == option.default


def test_the_page_shows_the_command(tmp_path: Path) -> None:
    rainy, base = pair(tmp_path)
    page = tmp_path / "page.html"
    given = ("--derained", base, "--report", page, "--weak", "--cap", 0.3)
    assert go("derain", rainy, tmp_path / "out.png", *given, *QUICK) == 0
    text = re.sub("<[^>]*>", "", page.read_text())
    assert all(option in text for option in ("--weak", "--cap 0.3", "--prior natural-fast", "--steps 3", "--report"))


# --- pictures that do not fit ---


def noted(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert go("derain", *arguments, *QUICK) == 0
    return capsys.readouterr().err


def test_why_nothing_was_repaired(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rainy, base = pair(tmp_path)
    out, veil, none = tmp_path / "out.png", tmp_path / "veil.png", tmp_path / "none.png"
    Image.fromarray(np.full(PHOTO.shape[1:], 99, np.uint8)).save(veil)
    Image.fromarray(np.zeros(PHOTO.shape[1:], np.uint8)).save(none)
    assert "nowhere darker than" in (said := noted(capsys, base, out, "--derained", rainy))
    assert "are the two swapped?" in said
    x, y = raw(base), raw(rainy).copy()
    y[tuple(np.argwhere((x == y).all(-1) & (x > 3).all(-1))[0])] -= 3
    Image.fromarray(y).save(tmp_path / "darker.png")
    said = noted(capsys, base, out, "--derained", tmp_path / "darker.png")
    assert "on average brighter than" in said
    assert "are the two swapped?" in said
    assert "is the same as" in noted(capsys, base, out, "--derained", base)
    said = noted(capsys, rainy, out, "--derained", base, "--floor", 0.9)
    assert "below --floor 0.9; a smaller one" in said
    assert "swapped" not in said
    assert "for --cap 0.5; a larger one" in noted(capsys, rainy, out, "--derained", base, "--rain", veil)
    assert "holds no rain" in noted(capsys, rainy, out, "--derained", base, "--rain", none)
    assert "is black everywhere" in noted(capsys, rainy, out, "--derained", base, "--mask", none)
    Image.fromarray(np.full_like(raw(base), 90)).save(tmp_path / "flat.png")
    said = refused(capsys, "derain", rainy, out, "--derained", tmp_path / "flat.png")
    assert "flat.png is constant; give what a derainer made of" in said


def test_a_mask_of_long_integers_is_understood(tmp_path: Path) -> None:
    rainy, base = pair(tmp_path)
    k = np.zeros(PHOTO.shape[1:], np.int64)
    k[10:30, 20:40] = 255
    np.save(tmp_path / "m.npy", k)
    inputs = DerainInputs(source=rainy, derained=base, mask=tmp_path / "m.npy", range=(0, 255))
    np.testing.assert_array_equal(inputs.white, k > 0)


@pytest.mark.parametrize(
    ("value", "said"),
    [(np.nan, "holds NaN"), (0.3, "none of which is white"), (-1.0, "from -1 to 1"), (1e6, "from 0 to 1e+06")],
)
def test_masks_that_are_none(value: float, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rainy, base = pair(tmp_path)
    k = np.full(PHOTO.shape[1:], value)
    k[0, 0] = 0.3 if value == 0.3 else 1 if value == -1 else 0
    np.save(tmp_path / "m.npy", k)
    line = refused(capsys, "derain", rainy, tmp_path / "out.png", "--derained", base, "--mask", tmp_path / "m.npy")
    assert said in line
    assert "a mask is 0 and 1, or 0 and 255" in line


def test_a_range_that_does_not_fit_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rainy, base = pair(tmp_path)
    out = tmp_path / "out.png"
    said = noted(capsys, rainy, out, "--derained", base, "--range", "0,1")
    assert f"% of {rainy} lies outside --range 0,1" in said
    assert "outside" not in noted(capsys, rainy, out, "--derained", base, "--range", "0,255")


def test_eight_bits_of_a_derainer_beside_a_picture_of_twelve(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rainy, base = pair(tmp_path)
    twelve = geo(tmp_path / "twelve.tif", (raw(rainy) * (4095 / 255)).astype(np.uint16))
    out = tmp_path / "out.png"
    said = noted(capsys, twelve, out, "--derained", base, "--range", "0,4095")
    assert "has 8 bits, too few for --range 0,4095; it is read as 0,255" in said
    assert record(out)["masked"] < 0.5
    k = masked(tmp_path / "out_mask.png")
    np.testing.assert_array_equal(raw(out)[~k], raw(base)[~k])
    assert abs(raw(out)[k].astype(int) - raw(base)[k]).mean() < 10
