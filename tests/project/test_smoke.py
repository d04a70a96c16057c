"""Every command once, on small files of the formats that libraries write: `make test-floors` runs this at their oldest versions."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from restorekit.cli.main import run
from tests.support import floors
from tests.support.scenes import read_tiff, speckled, write_tiff

pytestmark = [pytest.mark.floors, pytest.mark.slow]  # `make test` has tests of its own for each of these

PIXELS = np.random.default_rng(0).integers(60, 200, (32, 40, 3), np.uint8)


def go(*arguments: object) -> None:
    """Run a command that must succeed."""
    with pytest.raises(SystemExit) as stop:
        run([str(a) for a in arguments])
    assert stop.value.code == 0


def picture(path: Path, kind: str) -> Path:
    if kind == "npy":
        np.save(path, PIXELS)
    elif kind == "tiles of 16 bits":
        tifffile.imwrite(path, PIXELS.astype(np.uint16) * 257, photometric="rgb", tile=(16, 16), compression="zlib")
    elif kind == "LZW":
        Image.fromarray(PIXELS).save(path, compression="tiff_lzw")
    else:
        Image.fromarray(PIXELS).save(path)
    return path


@pytest.mark.parametrize(
    ("kind", "suffix"), [("PNG", "png"), ("JPEG", "jpg"), ("LZW", "tif"), ("tiles of 16 bits", "tif"), ("npy", "npy")]
)
def test_denoise_reads_and_writes_each_format(kind: str, suffix: str, tmp_path: Path) -> None:
    source, target = picture(tmp_path / f"a.{suffix}", kind), tmp_path / f"b.{suffix}"
    go("denoise", source, target, "--noise", "gaussian:0.15", "--steps", 1)
    written = {"npy": np.load, "tif": tifffile.imread}.get(suffix, lambda path: np.asarray(Image.open(path)))
    before = np.asarray(Image.open(source)) if kind in ("LZW", "JPEG") else written(source)
    after = written(target)
    assert (after.shape, after.dtype) == (before.shape, before.dtype)
    # Noise is all there is, so a denoiser gives less of it, about the same mean.
    assert after.std() < 0.9 * before.std()
    assert after.mean() == pytest.approx(before.mean(), rel=0.05)


def test_deblur_with_kernels_of_kornia_restore_and_the_other_tasks(tmp_path: Path) -> None:
    source, mask = picture(tmp_path / "a.png", "PNG"), tmp_path / "m.png"
    Image.fromarray(np.random.default_rng(1).random((32, 40)) > 0.3).save(mask)
    known = ("--noise", "gaussian:0.05", "--steps", 1)
    go("deblur", source, tmp_path / "gaussian.png", "--kernel", "gaussian:1", *known)
    go("deblur", source, tmp_path / "motion.png", "--kernel", "motion:5:30", *known)
    go("restore", source, tmp_path / "restored.png", "--op", "average:factor=2", *known)
    go("upscale", source, tmp_path / "upscaled.png", "--factor", 2, *known)
    go("inpaint", source, tmp_path / "inpainted.png", "--mask", mask, *known)
    go("degrade", source, tmp_path / "grey.png", "--op", "grey", "--noise", "gaussian:0.05")
    go("colorize", tmp_path / "grey.png", tmp_path / "colours.png", *known)
    go("derain", source, tmp_path / "dry.png")
    sizes = {p.stem: Image.open(p).size for p in tmp_path.glob("*.png")}
    assert {name for name, size in sizes.items() if size == (80, 64)} == {"restored", "upscaled"}
    assert {size for name, size in sizes.items() if name not in ("restored", "upscaled")} == {(40, 32)}


def test_metrics_and_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = picture(tmp_path / "a.png", "PNG"), tmp_path / "page.html"
    go("compare", source, target, "--op", "denoise", "--noise", "gaussian:0.05", "--steps", 2, "--samples", 1,
       "--solver", "hqs", "--truth", source)  # fmt: skip
    assert "<img" in target.read_text(encoding="utf-8")
    assert "ssim" in json.dumps(json.loads((tmp_path / "page.html.json").read_text(encoding="utf-8"))).lower()
    capsys.readouterr()


def test_despeckle_keeps_coordinates_tags_nodata_and_draws_a_page(tmp_path: Path) -> None:
    import rasterio

    values = speckled(72, 80)[1]
    values[:9] = -9999
    source, target = write_tiff(tmp_path / "a.tif", values, nodata=-9999.0), tmp_path / "b.tif"
    with rasterio.open(source, "r+") as d:
        d.update_tags(1, POLARISATION="VH")
        d.update_tags(ns="SENSOR", MODE="IW")
    go("despeckle", source, target, "--solver", "boxcar:size=3", "--looks", 4, "--report", tmp_path / "page.html")
    with rasterio.open(source) as a, rasterio.open(target) as b:
        assert (a.crs, a.transform, a.nodata) == (b.crs, b.transform, b.nodata)
        assert b.tags(1)["POLARISATION"] == "VH"
        assert b.tags(ns="SENSOR") == {"MODE": "IW"}
    assert (read_tiff(target)[0, :9] == -9999).all()
    assert read_tiff(target)[0, 9:].std() < values[9:].std()
    assert "<img" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_mask_within_a_geotiff_is_kept(tmp_path: Path) -> None:
    import rasterio

    source, target = write_tiff(tmp_path / "a.tif", np.moveaxis(PIXELS, -1, 0), photometric="RGB"), tmp_path / "b.tif"
    there = np.ones((32, 40), bool)
    there[:5] = False
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(source, "r+") as d:
        d.write_mask(there)
    go("denoise", source, target, "--noise", "gaussian:0.05", "--steps", 1)
    with rasterio.open(source) as a, rasterio.open(target) as b:
        assert (a.crs, a.transform) == (b.crs, b.transform)
        assert ((b.dataset_mask() > 0) == there).all()
        assert (b.read()[:, ~there] == a.read()[:, ~there]).all()


def test_train_a_few_steps_and_use_the_prior(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    source = picture(tmp_path / "pictures/a.png", "PNG")
    small = (
        "model.widths=[8,16]",
        "model.embed=16",
        "data.crop=16",
        "optim.batch=2",
        "optim.steps=2",
        "run.precision=fp32",
    )
    sets = [word for setting in small for word in ("--set", setting)]
    go("train", "unet", "--data", source.parent, "--out", tmp_path / "run", "--quiet", *sets)
    prior = tmp_path / "run/prior.safetensors"
    go("priors", "verify", "natural")
    go("sample", prior, "--out", tmp_path / "s.png", "--n", 1, "--size", "16x16", "--steps", 2)
    assert (tmp_path / "s.png.json").is_file()
    assert min(Image.open(tmp_path / "s.png").size) >= 16


@pytest.mark.parametrize(
    "command", ["bench", "calibrate", "check", "cite", "fuse", "metrics", "priors", "solvers", "tune"]
)
def test_every_other_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    go(command, "--help")
    assert "Usage" in capsys.readouterr().out


def test_floors_are_those_of_pyproject_toml() -> None:
    table = floors.project()
    pinned = [floors.floor(line) for line in floors.requirements(table, ["test"])]
    assert len(pinned) > len(table["dependencies"])
    assert all(re.fullmatch(r"[\w.\[\]-]+==[\w.]+", line) for line in pinned), pinned
    assert {line.partition("==")[0] for line in pinned} >= {"torch", "deepinv", "rasterio", "dask[distributed]"}
    for wrong in ("torch", "torch<3", "torch>=2,<3"):
        with pytest.raises(ValueError, match="floor"):
            floors.floor(wrong)
