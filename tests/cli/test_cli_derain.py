"""`restorekit derain` on files: what is written, what stays as it was, what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import tifffile
from PIL import Image

from restorekit.files.picture import read_picture, sha256, write_picture
from restorekit.metrics.fidelity import luma, psnr
from restorekit.rain.streaks import Streaks, fallen
from tests.support.fields import go, refused

DATA = Path(os.environ.get("RESTOREKIT_DATA", Path(__file__).parents[3] / "shared" / "data")) / "rain"
PHOTO = skimage.data.astronaut()[40:88, 190:250].transpose(2, 0, 1) / 255
QUICK = ("--prior", "natural-fast", "--steps", "3")


def pair(d: Path, suffix: str = ".png", dtype: str = "uint8") -> tuple[Path, Path]:
    """A rainy picture, and what a derainer left of its rain."""
    r = Streaks(depth=1, density=0.1)(PHOTO.shape[1:], np.random.default_rng(0))  # type: ignore[arg-type]
    paths = d / f"rainy{suffix}", d / f"base{suffix}"
    for path, part in zip(paths, (1.0, 0.3)):
        write_picture(path, fallen(PHOTO, part * r), dtype=dtype)
    return paths


def raw(path: Path) -> np.ndarray:
    """(H, W, C)"""
    if path.suffix == ".npy":
        return np.load(path)
    return tifffile.imread(path) if path.suffix == ".tif" else np.asarray(Image.open(path))


def masked(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)) > 0


def record(path: Path) -> dict:
    return json.loads(path.with_name(path.name + ".json").read_text())


@pytest.mark.parametrize(
    ("suffix", "dtype"), [(".png", "uint8"), (".png", "uint16"), (".tif", "float32"), (".tif", "float64"), (".npy", "float64")]
)  # fmt: skip
def test_outside_the_mask_every_bit_is_kept(suffix: str, dtype: str, tmp_path: Path) -> None:
    if (suffix, dtype) == (".png", "uint16"):  # of colour, in TIFF: Pillow opens 16 bits of PNG as 8
        suffix = ".tif"
    rainy, base = pair(tmp_path, suffix, dtype)
    if dtype == "float64":  # values that float32 does not hold
        moved = raw(base) + 1e-12 * np.random.default_rng(0).random(raw(base).shape)
        np.save(base, moved) if suffix == ".npy" else tifffile.imwrite(base, moved, photometric="rgb")
    out = tmp_path / f"out{suffix}"
    assert go("derain", rainy, out, "--derained", base, *QUICK) == 0
    before, after, k = raw(base), raw(out), masked(tmp_path / "out_mask.png")
    assert after.dtype == before.dtype == dtype
    assert 0.05 < k.mean() < 0.5
    np.testing.assert_array_equal(after[~k], before[~k])
    assert (after[k] != before[k]).any(-1).mean() > 0.5


def test_a_range_of_its_own_keeps_every_bit_too(tmp_path: Path) -> None:
    rainy, base = (tmp_path / n for n in ("rainy.tif", "base.tif"))
    first = pair(tmp_path)
    for path, source in zip((rainy, base), first):
        values = (3000.0 / 255 * raw(source) + 0.1).astype(np.float32)
        tifffile.imwrite(path, values, photometric="rgb")
    assert go("derain", rainy, tmp_path / "out.tif", "--derained", base, "--range", "0,3000", *QUICK) == 0
    k = masked(tmp_path / "out_mask.png")
    np.testing.assert_array_equal(raw(tmp_path / "out.tif")[~k], raw(base)[~k])
    assert k.any()


def test_what_is_written_and_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rainy, base = pair(tmp_path)
    out = tmp_path / "out.png"
    page = tmp_path / "page.html"
    assert go("derain", rainy, out, "--derained", base, "--report", page, *QUICK) == 0
    said = capsys.readouterr()
    assert "of the picture repaired" in said.out
    assert "note" not in said.err
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {
        "rainy.png", "base.png", "out.png", "out.png.json", "out_mask.png", "out_std.tif", "out_std.png", "page.html"
    }  # fmt: skip
    found, k = record(out), masked(tmp_path / "out_mask.png")
    assert found["masked"] == pytest.approx(k.mean())
    assert found["threshold"] >= found["residue"]["floor"] == 0.1
    assert (found["nfe"], found["samples"], found["solver"]) == (3, 2, "DDNMPlus")
    assert found["input"]["derained"]["sha256"] == sha256(base)
    assert found["outputs"][str(out)] == sha256(out)
    assert found["base"] is None
    std = tifffile.imread(tmp_path / "out_std.tif")
    std = std if std.shape[-1] == 3 else std.transpose(1, 2, 0)
    assert (std[~k] == 0).all()
    assert std.max() > 0
    text = page.read_text()
    assert all(f"<b>{title}</b>" in text for title in ("Rainy", "Derained", "Repaired", "Mask", "Change"))
    assert "restorekit derain" in text


def test_alpha_of_the_derained_picture_comes_back(tmp_path: Path) -> None:
    rainy, base = pair(tmp_path)
    alpha = np.random.default_rng(0).integers(0, 255, PHOTO.shape[1:], np.uint8)
    Image.fromarray(np.dstack([raw(base), alpha])).save(base, dpi=(72, 72))
    assert go("derain", rainy, tmp_path / "out.png", "--derained", base, *QUICK) == 0
    np.testing.assert_array_equal(raw(tmp_path / "out.png")[..., 3], alpha)


def test_one_rainy_picture_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rainy, _ = pair(tmp_path)
    out = tmp_path / "out.png"
    assert go("derain", rainy, out, *QUICK) == 0
    said = capsys.readouterr().err
    assert "weak" in said
    assert "--derained" in said
    assert record(out)["base"]["name"] == "Directional"
    k = masked(tmp_path / "out_mask.png")
    np.testing.assert_array_equal(raw(out)[~k], raw(tmp_path / "out_base.png")[~k])
    assert psnr(read_picture(out).pixels, PHOTO) > psnr(read_picture(rainy).pixels, PHOTO) + 2


def test_a_mask_of_ones_own_and_its_kinds(tmp_path: Path) -> None:
    rainy, base = pair(tmp_path)
    k = np.zeros(PHOTO.shape[1:], bool)
    k[10:30, 20:40] = True
    Image.fromarray((255 * k).astype(np.uint8)).save(tmp_path / "m8.png")
    np.save(tmp_path / "m01.npy", k.astype(np.uint8))
    np.save(tmp_path / "mf.npy", k.astype(np.float32))
    found = []
    for name in ("m8.png", "m01.npy", "mf.npy"):
        assert go("derain", rainy, tmp_path / "out.png", "--derained", base, "--mask", tmp_path / name, *QUICK) == 0
        np.testing.assert_array_equal(masked(tmp_path / "out_mask.png"), k)
        found.append(raw(tmp_path / "out.png"))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    assert record(tmp_path / "out.png")["residue"] is None


def test_rain_of_the_derainer_says_where(tmp_path: Path) -> None:
    rainy, base = pair(tmp_path)
    r = np.zeros(PHOTO.shape[1:], np.uint8)
    r[10:20, 20:30] = 200
    Image.fromarray(r).save(tmp_path / "r.png")
    assert (
        go(
            "derain",
            rainy,
            tmp_path / "out.png",
            "--derained",
            base,
            "--rain",
            tmp_path / "r.png",
            "--dilate",
            2,
            *QUICK,
        )
        == 0
    )
    expected = np.zeros(r.shape, bool)
    expected[8:22, 18:32] = True
    np.testing.assert_array_equal(masked(tmp_path / "out_mask.png"), expected)


def test_where_there_is_nothing_to_repair_the_derained_picture_comes_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, base = pair(tmp_path)
    again = tmp_path / "same.png"
    again.write_bytes(base.read_bytes())
    Image.fromarray(np.zeros(PHOTO.shape[1:], np.uint8)).save(tmp_path / "black.png")
    for extra in ((), ("--mask", tmp_path / "black.png")):
        assert go("derain", again, tmp_path / "out.png", "--derained", base, *extra, *QUICK) == 0
        assert "nothing was repaired" in capsys.readouterr().err
        np.testing.assert_array_equal(raw(tmp_path / "out.png"), raw(base))
        assert record(tmp_path / "out.png")["nfe"] == 0


@pytest.mark.parametrize(
    ("options", "steps", "samples"),
    [
        (("--solver", "hqs"), 4, 1),
        (("--solver", "ddnm+", "--weak"), 4, 2),
        (("--solver", "paper"), 4, 1),
        (("--solver", "diffpir:zeta=0.3", "--samples", "3"), 4, 3),
        (("--sigma", "none", "--weight", "1"), 4, 2),
    ],
)
def test_other_solvers(options: tuple[str, ...], steps: int, samples: int, tmp_path: Path) -> None:
    rainy, base = pair(tmp_path)
    out = tmp_path / "out.png"
    assert go("derain", rainy, out, "--derained", base, "--prior", "natural-fast", "--steps", steps, *options) == 0
    found = record(out)
    assert (found["samples"], found["nfe"]) == (samples, steps)
    plain = options[1] in ("paper", "none")
    weak = "--weak" in options
    assert found["refinement"]["sigma"] == (None if plain else 0.3 if weak else 0.07)
    assert found["refinement"]["weight"] == (1 if plain else 0.5 if weak else 0.1)
    assert found["residue"]["floor"] == (0.02 if weak else 0.1)
    k = masked(tmp_path / "out_mask.png")
    np.testing.assert_array_equal(raw(out)[~k], raw(base)[~k])


def test_one_band_and_four(tmp_path: Path) -> None:
    rainy, base = (read_picture(p).pixels for p in pair(tmp_path))
    for name, bands in (("one", (0,)), ("four", (0, 1, 2, 0))):
        for what, x in (("rainy", rainy), ("base", base)):
            write_picture(tmp_path / f"{name}_{what}.tif", x[list(bands)])
        out = tmp_path / f"{name}.tif"
        assert (
            go("derain", tmp_path / f"{name}_rainy.tif", out, "--derained", tmp_path / f"{name}_base.tif", *QUICK) == 0
        )
        assert read_picture(out).pixels.shape == (len(bands), *PHOTO.shape[1:])


# --- what cannot be ---


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--solver", "nonsense"), "known: "),
        (("--solver", "paper:scale=1"), "takes no settings"),
        (("--solver", "hqs", "--samples", "2"), "gives one answer"),
        (("--share", "0"), "restorekit: --share 0: must lie above 0"),
        (("--cap", "2"), "restorekit: --cap 2: must lie above 0"),
        (("--floor", "-1"), "restorekit: --floor -1: must be above 0"),
        (("--weight", "1.5"), "restorekit: --weight 1.5: must lie above 0"),
        (("--solver", "paper", "--weak"), "--weak would do nothing"),
        (("--mask", "WHITE", "--share", "0.1"), "so --share would do nothing"),
        (("--mask", "WHITE", "--cap", "0.1", "--dilate", "0"), "so --cap, --dilate would do nothing"),
        (("--mask", "WHITE", "--floor", "0.1"), "so --floor would do nothing"),
        (("--sigma", "much"), "give a number above 0"),
        (("--sigma", "-0.1"), "give a number above 0"),
        (("--sigma", "nan"), "give a number above 0"),
        (("--precision", "fp8"), "auto, bf16 or fp32"),
        (("--prior", "sar"), "logarithms"),
        (("--range", "5,1"), "smaller one"),
        (("--report", "page.txt"), "give --report page.html"),
        (("--solver", "ddrm", "--sigma", "none", "--mask", "WHITE"), "nothing is measured"),
        (("--mask", "SMALL"), "resize it"),
        (("--mask", "NONE"), "no such file"),
        (("--rain", "SMALL"), "give rain of that size"),
        (("--rain", "BASE", "--mask", "WHITE"), "give one of them"),
        (("--derained", "SMALL"), "neither cut nor resized"),
        (("--derained", "GREY"), "neither cut nor resized"),
        (("--derained", "NONE"), "no such file"),
    ],
)
def test_what_cannot_be_is_one_line_and_writes_nothing(
    options: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rainy, base = pair(tmp_path)
    size = PHOTO.shape[1:]
    Image.fromarray(np.full(size, 255, np.uint8)).save(tmp_path / "WHITE.png")
    Image.fromarray(raw(base)[:20]).save(tmp_path / "SMALL.png")
    Image.fromarray(raw(base)[..., 0]).save(tmp_path / "GREY.png")
    there = {p.name for p in tmp_path.iterdir()}
    named = {"BASE": base, **{n: tmp_path / f"{n}.png" for n in ("WHITE", "SMALL", "GREY", "NONE")}}
    given = [str(named.get(o, tmp_path / o if o == "page.txt" else o)) for o in options]
    plain = () if "--derained" in given else ("--derained", base)
    assert said in refused(capsys, "derain", rainy, tmp_path / "out.png", *plain, *given)
    assert {p.name for p in tmp_path.iterdir()} == there


def test_nothing_that_was_given_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rainy, base = pair(tmp_path)
    (tmp_path / "out_mask.png").write_bytes(rainy.read_bytes())
    for target, extra in ((rainy, ()), (base, ()), (tmp_path / "out.png", ("--mask", tmp_path / "out_mask.png"))):
        assert "is the input itself" in refused(capsys, "derain", rainy, target, "--derained", base, *extra)
    constant = tmp_path / "constant.png"
    Image.fromarray(np.full((9, 9, 3), 7, np.uint8)).save(constant)
    assert "is constant" in refused(capsys, "derain", constant, tmp_path / "other.png")
    assert "no folder" in refused(capsys, "derain", rainy, tmp_path / "none" / "out.png")
    assert "write .tif" in refused(capsys, "derain", four_bands(tmp_path), tmp_path / "other.png")


def four_bands(d: Path) -> Path:
    write_picture(d / "four.tif", np.random.default_rng(0).random((4, 12, 13)))
    return d / "four.tif"


# --- real pairs ---


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="needs the pairs in $RESTOREKIT_DATA/rain")
def test_a_part_of_a_real_pair_is_not_made_worse(tmp_path: Path) -> None:
    at = np.s_[:, 100:196, 150:246]
    for folder in ("rain", "norain", "prenet6"):
        picture = read_picture(DATA / folder / "9.png")
        write_picture(tmp_path / f"{folder}.png", picture.pixels[at])
    out = tmp_path / "out.png"
    assert go("derain", tmp_path / "rain.png", out, "--derained", tmp_path / "prenet6.png") == 0
    truth, before, after = (luma(read_picture(tmp_path / f"{n}.png").pixels) for n in ("norain", "prenet6", "out"))
    assert psnr(after, truth) > psnr(before, truth)
    k = masked(tmp_path / "out_mask.png")
    np.testing.assert_array_equal(raw(out)[~k], raw(tmp_path / "prenet6.png")[~k])
