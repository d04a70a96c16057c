"""Light in files: the curve of sRGB, and the commands on 8-bit photographs whose blur was made in light."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kornia.color import linear_rgb_to_rgb, rgb_to_linear_rgb
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo
from scipy import ndimage
from skimage import data

from restorekit.blind.correction import KernelCorrection
from restorekit.blind.families import disc, motion
from restorekit.files.curves import CURVES, SRGB
from restorekit.files.picture import Picture, read_picture, write_picture
from restorekit.files.stored import read_values
from restorekit.files.transfer import Response, at_limits, without_white
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gaussian, Poisson
from restorekit.inference.problem import Problem
from restorekit.inference.restoration import Restoration
from restorekit.metrics.fidelity import psnr
from restorekit.operators import FreeBlur
from restorekit.priors.find import load_prior
from restorekit.solvers.diffpir import HQS
from tests.support.fields import go, refused

FAST = ("--prior", "natural-fast")
Array = np.ndarray


def light(x: Array) -> Array:
    return rgb_to_linear_rgb(torch.from_numpy(x)[None])[0].numpy()


def coded(v: Array) -> Array:
    return linear_rgb_to_rgb(torch.from_numpy(v.clip(0, 1))[None])[0].numpy()


def scene(side: int = 96) -> Array:
    """(3, side, side) of a photograph, coded."""
    return data.coffee()[140 : 140 + side, 220 : 220 + side].transpose(2, 0, 1) / 255


def taken(kernel: Array, exposure: float = 1.0, in_light: bool = True) -> tuple[Array, Array]:
    """(y, truth) coded: blurred with what lies beyond the frame, noise 0.003 in light, or 0.01 in values of the file."""
    x = exposure * light(scene(136)) if in_light else scene(136)
    y = np.stack([ndimage.convolve(band, kernel, mode="reflect") for band in x])[:, 20:-20, 20:-20]
    y = y + (0.003 if in_light else 0.01) * np.random.default_rng(0).standard_normal(y.shape)
    truth = x[:, 20:-20, 20:-20]
    return (coded(y), coded(truth)) if in_light else (y.clip(0, 1), truth)


def photograph(path: Path, y: Array, **options: Any) -> Path:
    Image.fromarray(np.rint(255 * y).astype(np.uint8).transpose(1, 2, 0)).save(path, **options)
    return path


def record(path: Path) -> dict[str, Any]:
    return json.loads(path.with_name(path.name + ".json").read_text())


def test_the_curve_is_that_of_srgb() -> None:
    codes, curve = np.arange(256) / 255, SRGB()
    np.testing.assert_allclose(curve.encode(curve.decode(codes)), codes, rtol=0, atol=1e-15)
    np.testing.assert_allclose(curve.decode(codes), light(np.tile(codes, (3, 1, 1)))[0, 0], atol=1e-12)
    assert curve.decode(np.array([0.0, 0.5, 1.0])) == pytest.approx([0, 0.21404114, 1])
    beyond = np.linspace(-0.5, 2, 501)
    np.testing.assert_allclose(curve.decode(curve.encode(beyond)), beyond, atol=1e-12)
    assert float(curve.encode(np.array(-0.1))) == pytest.approx(-1.292)
    v = np.array([-0.1, 0.001, 0.01, 0.2, 1.0, 1.3])
    np.testing.assert_allclose(curve.slope(v), (curve.encode(v + 1e-7) - curve.encode(v - 1e-7)) / 2e-7, rtol=1e-5)
    assert np.all(CURVES["linear"].slope(v) == 1)


def test_rounding_is_less_in_the_blacks_of_light() -> None:
    def of(value: float) -> float:
        levels = (value + (np.arange(1001) / 1000 - 0.5) / 255)[
            None, None
        ]  # what is rounded to one code, and what it becomes
        picture = Picture(light(np.repeat(np.full_like(levels, value), 3, 0)), "uint8", (0.0, 255.0))
        exact = float(np.std(light(np.repeat(levels, 3, 0))))
        assert Response(SRGB()).rounding(picture) == pytest.approx(exact, rel=0.01)
        return exact

    assert of(20 / 255) < 0.2 * of(240 / 255)


def test_photographs_blurred_in_light_gain_and_no_kernel_is_blamed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "k.npy", motion(13, 30))
    y, truth = taken(motion(13, 30))
    source = photograph(tmp_path / "y.png", y)
    for name, words in {"auto": (), "linear": ("--transfer", "linear")}.items():
        assert go("deblur", source, tmp_path / f"{name}.png", "--kernel", tmp_path / "k.npy", *FAST, *words) == 0
        said = capsys.readouterr().err
        assert ("linear light" in said) == (name != "linear")
        assert name == "linear" or "seems to be off" not in said
    found = {n: psnr(read_picture(tmp_path / f"{n}.png").pixels, truth) for n in ("auto", "linear")}
    assert found["auto"] > psnr(y, truth) + 4
    assert found["auto"] > found["linear"] + 4
    assert record(tmp_path / "auto.png")["transfer"] == "srgb"
    assert record(tmp_path / "linear.png")["transfer"] == "linear"
    assert 0.002 < float(record(tmp_path / "auto.png")["noise"].partition(":")[2]) < 0.006  # of light


def test_a_blur_that_was_simulated_in_the_values_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "k.npy", disc(4.0))
    y, truth = taken(disc(4.0), in_light=False)
    source = photograph(tmp_path / "y.png", y)
    for name, words in {"auto": (), "linear": ("--transfer", "linear")}.items():
        assert go("deblur", source, tmp_path / f"{name}.png", "--kernel", tmp_path / "k.npy", *FAST, *words) == 0
        assert ("linear by the blur, which fits these values better" in capsys.readouterr().err) == (name == "auto")
        assert record(tmp_path / f"{name}.png")["transfer"] == "linear"
        assert psnr(read_picture(tmp_path / f"{name}.png").pixels, truth) > psnr(y, truth) + 4


def test_what_is_not_an_8_bit_photograph_stays_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    y = scene(24)
    wide, half = Picture(y, "uint16", (0.0, 65535.0)), Picture(y, "uint8", (0.0, 255.0))
    write_picture(tmp_path / "wide.png", y, wide)
    write_picture(tmp_path / "y.npy", y, half)
    write_picture(tmp_path / "y.tif", y.astype(np.float32))
    photograph(tmp_path / "y.png", y)
    for name, *words in (("wide.png",), ("y.npy",), ("y.tif",), ("y.png", "--range", "0,250")):
        out = tmp_path / f"x{Path(name).suffix}"
        assert go("deblur", tmp_path / name, out, "--kernel", "gaussian:1", "--steps", 1, *FAST, *words) == 0
        assert record(out)["transfer"] == "linear"
    assert go("restore", tmp_path / "y.png", tmp_path / "x.png", "--op", "denoise", *FAST) == 0
    assert record(tmp_path / "x.png")["transfer"] == "linear"
    assert "linear light" not in capsys.readouterr().err
    for name, *words in (("y.png",), ("wide.png", "--transfer", "srgb")):
        op = ("--op", "decimate:factor=2,kernel=gaussian:1", "--noise", "gaussian:0.01", "--steps", 1)
        assert go("restore", tmp_path / name, tmp_path / "x.png", *op, *FAST, *words) == 0
        assert record(tmp_path / "x.png")["transfer"] == "srgb"
    assert "it is auto, srgb, linear, gamma:2.2" in refused(
        capsys, "deblur", tmp_path / "y.png", tmp_path / "z.png", "--kernel", "gaussian:1", "--transfer", "gamma"
    )


def test_degrade_mixes_light_where_restore_does(tmp_path: Path) -> None:
    board = np.indices((32, 32)).sum(0) % 2 * np.ones((3, 1, 1))
    source = photograph(tmp_path / "p.png", board)
    op = ("--op", "blur:kernel=uniform:31,boundary=circular", "--noise", "gaussian:1e-4")
    for name, words, middle, white in (
        ("a.png", (), 188, 255),
        ("b.tif", (), 188, 255),
        ("c.png", ("--transfer", "linear"), 127.5, 255),
        ("d.png", ("--dtype", "uint16"), 32767.5, 65535),
        ("e.npy", (), 127.5, 255),
    ):
        assert go("degrade", source, tmp_path / name, *op, *words) == 0
        y = read_picture(tmp_path / name)
        assert y.pixels * y.span[1] == pytest.approx(middle, abs=0.004 * white)
        truth = read_picture(tmp_path / f"{Path(name).stem}_truth{Path(name).suffix}").pixels
        np.testing.assert_array_equal(truth, board)
    wide = Picture(board, "uint16", (0.0, 65535.0))
    write_picture(tmp_path / "wide.png", board, wide)
    assert go("degrade", tmp_path / "wide.png", tmp_path / "f.jpg", *op) == 0  # 8 bits in the file that is written
    assert read_picture(tmp_path / "f.jpg").pixels.mean() * 255 == pytest.approx(188, abs=1)


def test_error_bars_are_in_values_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    found = Restoration(samples, 1, 0.0, {"sigmas": [1.0, 0.0]})
    monkeypatch.setattr("restorekit.tasks.restore.restore", lambda *a, **k: found)
    source, out = photograph(tmp_path / "y.png", scene(24)), tmp_path / "x.png"
    words = ("--op", "blur:kernel=gaussian:1", "--samples", 3, "--noise", "gaussian:0.01", *FAST)
    assert go("restore", source, out, *words) == 0
    values = np.stack([255 * coded(s.double().numpy()) for s in samples])
    np.testing.assert_array_equal(np.asarray(Image.open(out)).transpose(2, 0, 1), np.rint(values[0]))
    np.testing.assert_allclose(read_picture(tmp_path / "x_mean.png").pixels * 255, values.mean(0), atol=0.51)
    np.testing.assert_allclose(read_values(tmp_path / "x_std.tif")[0], values.std(0, ddof=1), rtol=1e-4)


def test_values_at_white_are_not_taken_as_measured(tmp_path: Path) -> None:
    kernel, prior = disc(4.0), load_prior("natural-fast").for_bands(3)
    y, truth = taken(kernel, exposure=2.2)
    picture = read_picture(photograph(tmp_path / "y.png", y))
    black, white = at_limits(picture)
    assert white.mean() > 0.1
    np.testing.assert_array_equal(white, np.rint(255 * y) == 255)
    np.testing.assert_array_equal(black, np.rint(255 * y) == 0)
    seen = torch.from_numpy(Response(SRGB()).decoded(picture).pixels)[None]
    as_measured = Problem(seen, FreeBlur.of((3, 96, 96), torch.from_numpy(kernel).float()), Gaussian(0.003))

    def quality(problem: Problem) -> float:
        x = problem.operator.inside(restore(problem, prior, HQS(first=0.5), steps=8).samples)[0]
        return psnr(coded(x.double().numpy()), truth)

    assert quality(without_white(as_measured, white)) > max(quality(as_measured), psnr(y, truth)) + 3
    counts = replace(as_measured, likelihood=Poisson(1000))
    assert without_white(counts, white) is counts


def test_white_is_recorded_and_stops_no_solver_and_no_kernel_from_being_corrected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    y = scene(64)
    y[:, :8, :8] = 1
    source, out = photograph(tmp_path / "y.png", y), tmp_path / "x.png"
    share = float((np.rint(255 * y) == 255).mean())
    op = ("--op", "blur:kernel=uniform:3,boundary=circular", "--noise", "gaussian:0.01", "--steps", 2)
    assert go("restore", source, out, "--solver", "ddrm", *op, *FAST) == 0
    assert "DDRM takes clipped values as measured" in capsys.readouterr().err
    assert go("restore", source, out, *op, *FAST) == 0
    assert "as measured" not in capsys.readouterr().err
    assert record(out)["clipped"]["white"] == pytest.approx(share, abs=1e-4)
    monkeypatch.setattr("restorekit.tasks.deblur.KernelCorrection", partial(KernelCorrection, draws=False))
    words = ("--kernel", "gaussian:1.5", "--kernel-error", "0.1", "--noise", "gaussian:0.01", "--steps", 2, *FAST)
    assert go("deblur", source, out, *words) == 0
    assert record(out)["kernel"]["found"]["nfe"] == 0


def test_a_comparison_is_in_values_of_the_file(tmp_path: Path) -> None:
    y, truth = taken(disc(3.0))
    source, clean = photograph(tmp_path / "y.png", y), photograph(tmp_path / "t.png", truth)
    words = ("--op", "blur:kernel=disc:3", "--noise", "gaussian:0.003", "--solver", "hqs", "--steps", 3, *FAST)
    assert go("restore", source, tmp_path / "x.tif", *words) == 0
    assert go("compare", source, tmp_path / "page.html", *words, "--truth", clean) == 0
    said = json.loads((tmp_path / "page.html.json").read_text())
    x, truth = read_picture(tmp_path / "x.tif").pixels, read_picture(clean).pixels
    assert said["solvers"][0]["psnr"] == pytest.approx(psnr(x, truth), abs=0.05)
    assert said["transfer"] == "srgb"


def chunk(kind: bytes, content: bytes) -> dict[str, Any]:
    info = PngInfo()
    info.add(kind, content)
    return {"pnginfo": info}


SRGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
