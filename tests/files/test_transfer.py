"""Light in files: the curve of sRGB, and the commands on 8-bit photographs whose blur was made in light."""

from __future__ import annotations

import json
import re
import struct
import zlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from kornia.color import linear_rgb_to_rgb, rgb_to_linear_rgb
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo
from scipy import ndimage
from skimage import data

import restorekit
from restorekit.blind.correction import KernelCorrection
from restorekit.blind.families import disc, motion
from restorekit.errors import BadInput
from restorekit.files.curves import CURVES, SRGB
from restorekit.files.picture import Picture, read_picture, write_picture
from restorekit.files.stored import read_values
from restorekit.files.transfer import Response, at_limits, chosen, without_white
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gaussian, Poisson
from restorekit.inference.problem import Problem
from restorekit.inference.restoration import Restoration
from restorekit.metrics.fidelity import psnr
from restorekit.notes import Notes
from restorekit.operators import FreeBlur
from restorekit.priors.find import load_prior
from restorekit.solvers.diffpir import HQS
from restorekit.tasks.restore import Restoring
from restorekit.text.names import operator_of
from tests.support.fields import go, refused
from tests.support.profiles import curv, of_curves, profile

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
        assert ("simulated in them; try --transfer linear" in capsys.readouterr().err) == (name == "auto")
    assert psnr(read_picture(tmp_path / "linear.png").pixels, truth) > psnr(y, truth) + 4


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


@pytest.mark.parametrize(
    ("options", "curve", "said"),
    [
        ({}, "srgb", None),
        (chunk(b"gAMA", struct.pack(">I", 45455)), "srgb", "gAMA"),
        (chunk(b"gAMA", struct.pack(">I", 100000)), "linear", "gAMA"),
        (chunk(b"gAMA", struct.pack(">I", 55556)), "gamma:1.8", "gAMA"),
        (chunk(b"gAMA", struct.pack(">I", 0)), "srgb", "though its gAMA chunk says 0"),
        (chunk(b"gAMA", struct.pack(">I", 220000)), "srgb", "though its gAMA chunk says 2.2"),
        (chunk(b"sRGB", b"\0"), "srgb", "sRGB chunk"),
        (chunk(b"cICP", bytes([1, 8, 0, 1])), "linear", "cICP"),
        (chunk(b"cICP", bytes([1, 13, 0, 1])), "srgb", "cICP"),
        (chunk(b"cICP", bytes([1, 4, 0, 1])), "gamma:2.2", "cICP"),
        (chunk(b"cICP", bytes([1, 5, 0, 1])), "gamma:2.8", "cICP"),
        (chunk(b"cICP", bytes([1, 1, 0, 1])), "bt709", "cICP"),
        (chunk(b"cICP", bytes([1, 14, 0, 1])), "bt709", "cICP"),
        (chunk(b"cICP", bytes([1, 7, 0, 1])), "srgb", "though its cICP chunk says transfer 7"),
        (chunk(b"cICP", bytes([9, 16, 0, 1])), None, "PQ"),
        (chunk(b"cICP", bytes([9, 18, 0, 1])), None, "HLG"),
        ({"icc_profile": SRGB_PROFILE}, "srgb", "ICC"),
        ({"icc_profile": of_curves(curv(256))}, "linear", "ICC"),
        ({"icc_profile": of_curves(curv(563), name="Adobe")}, "gamma:2.19922", r"ICC profile \(Adobe\)"),
        ({"icc_profile": profile({b"A2B0": b"mft2"}, name="t")}, "srgb", r"though .*\(t\) is one of tables"),
        ({"icc_profile": b"nothing"}, "srgb", "though .* no ICC profile"),
    ],
)
def test_what_a_file_says_of_its_values_is_followed(
    options: dict[str, Any], curve: str | None, said: str | None, tmp_path: Path
) -> None:
    path = photograph(tmp_path / "y.png", scene(16), **options)
    if curve is None:
        with pytest.raises(BadInput, match=f"{said}.*`transfer="):
            chosen("auto", "blur", "auto", read_picture(path), path)
        assert chosen("srgb", "blur", "auto", read_picture(path), path).coded
        return
    found = chosen("auto", "blur", "auto", read_picture(path), path)
    assert found.curve.name == curve
    lines = " ".join(found.said("y.png"))
    assert said is None or re.search(said, lines)
    assert ("though" in lines) == ("though" in (said or ""))
    if "icc_profile" in options:
        Image.open(path).save(tmp_path / "y.jpg", icc_profile=options["icc_profile"])
        assert chosen("auto", "blur", "auto", read_picture(tmp_path / "y.jpg"), tmp_path / "y.jpg").curve.name == curve


def png(path: Path, y: Array, *parts: tuple[bytes, bytes], bits: int = 8) -> Path:
    """A PNG with these chunks after its header, in their order."""
    write_picture(path, y, Picture(y, f"uint{bits}", (0.0, 2.0**bits - 1)))
    content = path.read_bytes()
    more = b"".join(struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in parts)
    path.write_bytes(content[:33] + more + content[33:])
    return path


def test_chunks_of_a_png_are_heard_in_the_order_of_its_standard(tmp_path: Path) -> None:
    parts = {
        "cICP": (b"cICP", bytes([1, 8, 0, 1])),
        "icc": (b"iCCP", b"p\0\0" + zlib.compress(of_curves(curv(512)))),
        "sRGB": (b"sRGB", b"\0"),
        "gAMA": (b"gAMA", struct.pack(">I", 55556)),
    }
    for first, curve in (("cICP", "linear"), ("icc", "gamma:2"), ("sRGB", "srgb"), ("gAMA", "gamma:1.8")):
        for bits in (8, 16):
            path = png(tmp_path / f"{first}{bits}.png", scene(16), *reversed(parts.values()), bits=bits)
            assert chosen("auto", "blur", "auto", read_picture(path), path).curve.name == curve
        del parts[first]


def test_16_bits_are_linear_unless_they_say_otherwise(tmp_path: Path) -> None:
    plain = png(tmp_path / "plain.png", scene(16), bits=16)
    found = chosen("auto", "blur", "auto", read_picture(plain), plain)
    assert not found.coded
    assert any("16 bits and says nothing" in line for line in found.said("plain.png"))
    marked = png(tmp_path / "marked.png", scene(16), (b"sRGB", b"\0"), bits=16)
    assert chosen("auto", "blur", "auto", read_picture(marked), marked).curve is CURVES["srgb"]
    assert not chosen("auto", "denoise", "auto", read_picture(marked), marked).coded
    video = png(tmp_path / "video.png", scene(16), (b"cICP", bytes([9, 16, 0, 1])), bits=16)
    with pytest.raises(BadInput, match="PQ"):
        chosen("auto", "blur", "auto", read_picture(video), video)


def test_a_transfer_function_of_a_tiff_is_followed_and_kept(tmp_path: Path) -> None:
    table = np.rint(65535 * (np.arange(256) / 255) ** 2.0).astype(np.uint16)
    values = np.rint(255 * scene(16)).astype(np.uint8).transpose(1, 2, 0)
    for name, told in {"one.tif": table, "three.tif": np.tile(table, (3, 1))}.items():
        extra = [(301, 3, told.size, tuple(told.ravel().tolist()), True)]
        tifffile.imwrite(tmp_path / name, values, photometric="rgb", extratags=extra)
        picture = read_picture(tmp_path / name)
        found = chosen("auto", "blur", "auto", picture, tmp_path / name)
        codes = np.arange(256) / 255
        np.testing.assert_allclose(found.curve.decode(codes), codes**2, atol=1e-4)
        assert "transfer function" in " ".join(found.said(name))
        write_picture(tmp_path / "x.tif", picture.pixels, picture)
        again = read_picture(tmp_path / "x.tif")
        np.testing.assert_array_equal(again.info["transfer_function"], picture.info["transfer_function"])
        write_picture(tmp_path / "f.tif", picture.pixels, picture, "float32")
        assert "transfer_function" not in read_picture(tmp_path / "f.tif").info
        write_picture(tmp_path / "x.png", picture.pixels, picture)
        other = chosen("auto", "blur", "auto", read_picture(tmp_path / "x.png"), tmp_path / "x.png")
        assert other.curve is CURVES["srgb"]


def test_a_curve_of_three_bands_is_refused_for_one(tmp_path: Path) -> None:
    (tmp_path / "p.icc").write_bytes(of_curves(curv(384), curv(512), curv(640)))
    grey = Picture(scene(16)[:1], "uint8", (0.0, 255.0))
    with pytest.raises(BadInput, match="for each of three bands, and the picture has 1"):
        chosen(str(tmp_path / "p.icc"), "blur", "auto", grey, tmp_path / "y.png")
    assert chosen("auto", "blur", "auto", replace(grey, info={"icc_profile": (tmp_path / "p.icc").read_bytes()}),
                  tmp_path / "y.png").doubt is not None  # fmt: skip


def test_what_degrade_made_is_restored_in_the_curve_that_it_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = photograph(tmp_path / "p.png", scene(32))
    (tmp_path / "c.icc").write_bytes(of_curves(curv(384), curv(512), curv(640), name="three"))
    op, words = "blur:kernel=gaussian:1", ("--noise", "gaussian:0.01", "--steps", 1, *FAST)
    profile_ = str(tmp_path / "c.icc")
    for name, option, curve in (
        ("a", "auto", "srgb"),
        ("b", "linear", "linear"),
        ("c", profile_, "gamma:1.5,gamma:2,gamma:2.5"),
    ):
        y, out = tmp_path / f"{name}.png", tmp_path / f"x_{name}.png"
        assert go("degrade", source, y, "--op", op, "--transfer", option) == 0
        said = record(y)
        assert (said["operator"], said["transfer"], said["noise"], said["dtype"]) == (
            op,
            curve,
            "gaussian:0.01",
            "uint8",
        )
        assert set(said["outputs"]) == {str(y), str(tmp_path / f"{name}_truth.png")}
        if name == "c":
            (tmp_path / "c.icc").unlink()  # the record holds the curve itself
        capsys.readouterr()
        assert go("deblur", y, out, "--kernel", "gaussian:1", *words) == 0
        assert record(out)["transfer"] == curve
        assert f"transfer: {curve} by its record {name}.png.json" in capsys.readouterr().err
        assert go("restore", y, out, "--op", "denoise", *words) == 0  # of another operator it says nothing
        assert record(out)["transfer"] == "linear"
        assert go("deblur", y, out, "--kernel", "gaussian:1", "--transfer", "gamma:2", *words) == 0
        assert record(out)["transfer"] == "gamma:2"
    photograph(tmp_path / "b.png", scene(32))  # another file of that name
    assert go("deblur", tmp_path / "b.png", out, "--kernel", "gaussian:1", *words) == 0
    assert record(out)["transfer"] == "srgb"


def test_from_python_degrade_takes_values_as_they_are(tmp_path: Path) -> None:
    source, op = photograph(tmp_path / "p.png", scene(32)), "blur:kernel=gaussian:1"
    made = restorekit.degrade(source, op, noise="gaussian:1e-4", notes=Notes())
    clean = torch.from_numpy(read_picture(source).pixels)[None]
    wanted = operator_of(op, image=(3, 32, 32))(clean)[0].numpy()
    np.testing.assert_allclose(made.values, wanted, atol=1e-3)
    light = restorekit.degrade(source, op, noise="gaussian:1e-4", transfer="gamma:2", notes=Notes())
    wanted = operator_of(op, image=(3, 32, 32))(clean.square())[0].sqrt().numpy()
    np.testing.assert_allclose(light.values, wanted, atol=0.01)
    for one, curve in ((made, "linear"), (light, "gamma:2")):
        for given in (one.measurement, one.save(tmp_path / "y.png")[0]):
            task = Restoring(op=op, noise="gaussian:0.01", prior="natural-fast")
            assert task.measure(given, Notes()).read.response.curve.name == curve


def test_a_record_of_no_curve_says_nothing(tmp_path: Path) -> None:
    source, y = photograph(tmp_path / "p.png", scene(32)), tmp_path / "y.png"
    assert go("degrade", source, y, "--op", "blur:kernel=gaussian:1", "--transfer", "gamma:2") == 0
    said = record(y)
    for broken in ({}, {"curve": {"gamma": -1, "gain": 1}}, {"curve": [3]}, {"curve": ["srgb"]}, {"operator": None}):
        y.with_name("y.png.json").write_text(json.dumps(said | broken if broken else [1]))
        task = Restoring(op="blur:kernel=gaussian:1", noise="gaussian:0.01", prior="natural-fast")
        assert task.measure(y, Notes()).read.response.curve.name == "srgb"


def test_a_profile_that_is_named_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, p = photograph(tmp_path / "p.png", scene(32)), tmp_path / "c.icc"
    p.write_bytes(of_curves(curv(512)))
    words = ("--kernel", "gaussian:1", "--transfer", p, *FAST)
    (tmp_path / "c.png").symlink_to(p)
    assert "c.png" in refused(capsys, "deblur", source, tmp_path / "c.png", *words)
    press = tmp_path / "press.icc"
    press.write_bytes(profile({}, space=b"CMYK", name="press"))
    said = refused(capsys, "deblur", source, tmp_path / "x.png", "--kernel", "gaussian:1", "--transfer", press)
    assert "(press) is one of CMYK colours" in said
    assert "--transfer srgb" in said
    assert not (tmp_path / "x.png").exists()
