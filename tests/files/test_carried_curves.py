"""Curves that files carry, and records of `degrade` that hold one."""

from __future__ import annotations

import json
import re
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import restorekit
from restorekit.errors import BadInput
from restorekit.files.curves import CURVES
from restorekit.files.picture import Picture, read_picture, write_picture
from restorekit.files.transfer import chosen
from restorekit.notes import Notes
from restorekit.tasks.restore import Restoring
from restorekit.text.names import operator_of
from tests.files.test_transfer import SRGB_PROFILE, chunk, photograph, record, scene
from tests.support.fields import go, refused
from tests.support.profiles import curv, of_curves, profile

FAST = ("--prior", "natural-fast")
Array = np.ndarray


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
