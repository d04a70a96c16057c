"""Curves between values of files and light: each rises, and is undone exactly, on all real numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from restorekit.errors import BadInput
from restorekit.files.curves import BT709, CURVES, SRGB, Curve, Linear, PerBand, Power, Sampled, Toe, curve_of
from restorekit.files.icc import curve_of_profile, profile_name, read_profile
from restorekit.files.transfer import curve_named
from tests.support.profiles import curv, named, of_curves, para, profile

TABLE = tuple(
    int(v) for v in np.rint(65535 * (np.arange(1024) / 1023) ** 1.8)
)  # flat near black, as rounding leaves it
LIGHTNESS = para(4, 3.0, 0.862076, 0.137924, 0.110703, 0.080002, 0.0, 0.0)  # L* of CIE
ALL: list[Curve] = [
    SRGB(), Linear(), BT709, Power(2.2), Power(1.8, 0.98), curve_of_profile(of_curves(curv(*TABLE))),
    curve_of_profile(of_curves(LIGHTNESS)), curve_of_profile(of_curves(para(1, 2.2, 0.95, 0.05))),
]  # fmt: skip


@pytest.mark.parametrize("curve", ALL, ids=lambda c: f"{type(c).__name__} {c.name}")
def test_a_curve_rises_and_is_undone_on_all_real_numbers(curve: Curve) -> None:
    rng = np.random.default_rng(0)
    far = rng.choice([-1, 1], 2000) * 10 ** rng.uniform(-6, 3, 2000)  # small and large, of both signs
    x = np.unique(np.concatenate([far, rng.uniform(-0.1, 1.1, 4000), [0, 1]]).round(9))
    light, codes = curve.decode(x), curve.encode(x)
    assert (np.diff(light) > 0).all()
    assert (np.diff(codes) > 0).all()
    np.testing.assert_allclose(curve.encode(light), x, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(curve.decode(codes), x, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("curve", ALL, ids=lambda c: f"{type(c).__name__} {c.name}")
def test_the_slope_is_the_derivative_of_coding(curve: Curve) -> None:
    light = np.array([-0.2, 0.0101, 0.0303, 0.2, 0.5, 0.9, 1.3])
    h = 1e-7
    steep = (curve.encode(light + h) - curve.encode(light - h)) / (2 * h)
    np.testing.assert_allclose(curve.slope(light), steep, rtol=1e-5)
    assert np.isfinite(curve.slope(np.zeros(1))).all()


@pytest.mark.parametrize("curve", [c for c in ALL if isinstance(c, Toe)], ids=lambda c: c.name)
def test_the_parts_of_a_curve_meet(curve: Toe) -> None:
    light = curve.decode(np.array([curve.start]))
    around = np.concatenate([light * (1 + s * 10.0**-e) for s in (-1, 0, 1) for e in range(4, 16)])
    np.testing.assert_allclose(curve.decode(curve.encode(around)), around, rtol=1e-13)
    codes = curve.start * (1 + np.linspace(-1e-9, 1e-9, 51))
    assert (np.diff(curve.decode(codes)) > 0).all()


def test_curves_come_back_from_a_record() -> None:
    curves = [*ALL, PerBand((Power(2.0), ALL[5], SRGB()))]
    v = np.linspace(-0.5, 1.5, 3 * 41).reshape(3, 1, 41)
    for curve in curves:
        back = curve_of(json.loads(json.dumps(curve.record())))
        assert back.name == curve.name
        np.testing.assert_allclose(back.decode(v), curve.decode(v), rtol=1e-12)
    for wrong in (None, 3, "gamma", {}, {"gamma": 0, "gain": 1}, {"gamma": "x", "gain": 1}, ["srgb", 4],
                  {"name": "t", "codes": [0, 1], "light": [1, 0]}):  # fmt: skip
        with pytest.raises(BadInput):
            curve_of(wrong)


def test_bt709_is_that_of_the_standard() -> None:
    light = np.array([0.01, 0.018, 0.1, 0.5, 1.0])
    wanted = np.where(light < 0.018, 4.5 * light, 1.099 * light**0.45 - 0.099)
    np.testing.assert_allclose(BT709.encode(light), wanted, atol=3e-4)  # its constants have three digits
    assert float(BT709.encode(np.ones(1))[0]) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("content", "codes", "light"),
    [
        (of_curves(curv()), [0.25, 0.5], [0.25, 0.5]),
        (of_curves(curv(563)), [0.5], [0.5 ** (563 / 256)]),
        (of_curves(b"grey", curv(512)), [0.5], [0.25]),
        (of_curves(curv(0, 16384, 65535)), [0.25, 0.5], [0.125, 0.25]),
        (of_curves(para(0, 1.5)), [0.49], [0.343]),
        (of_curves(para(2, 2.0, 0.9, 0.1, 0.0)), [0.5], [0.3025]),
        (of_curves(para(3, 2.0, 0.9, 0.1, 0.4, 0.05)), [0.025, 0.5], [0.0104, 0.3025]),
        (of_curves(para(4, 2.0, 0.9, 0.1, 0.42, 0.05, 0.0, 0.0)), [0.5], [0.3025]),
    ],
)
def test_a_profile_of_curves_is_read(content: bytes, codes: list[float], light: list[float]) -> None:
    np.testing.assert_allclose(curve_of_profile(content).decode(np.array(codes)), light, atol=3e-4)


def test_curves_are_those_that_littlecms_applies(tmp_path: Path) -> None:
    """Greys of a profile in sRGB are its light, coded by sRGB: what ImageCms makes of all 256 of them."""
    ramp, codes = Image.fromarray(np.arange(256, dtype=np.uint8)[None]).convert("RGB"), np.arange(256) / 255
    for data in (curv(563), curv(*TABLE), LIGHTNESS, para(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)):
        (tmp_path / "p.icc").write_bytes(of_curves(data))
        seen = ImageCms.profileToProfile(ramp, str(tmp_path / "p.icc"), ImageCms.createProfile("sRGB"), renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC)  # fmt: skip
        assert seen is not None
        mine = 255 * SRGB().encode(read_profile(tmp_path / "p.icc").decode(codes))
        # Dark steps of 8 bits are wide in light: within a level, where the table between is rounded, within two.
        assert np.abs(np.asarray(seen, float)[0].mean(-1) - mine).max() < 1.5


def test_curves_are_those_of_imagecodecs() -> None:
    cms = pytest.importorskip("imagecodecs")
    x = np.linspace(0, 1, 301, dtype=np.float32)[None, :, None].repeat(3, -1)
    linear = of_curves(curv())
    for data in (curv(563), LIGHTNESS):
        content = of_curves(data)
        seen = cms.cms_transform(x, content, linear, colorspace="rgb", outcolorspace="rgb")
        np.testing.assert_allclose(seen[0, :, 0], curve_of_profile(content).decode(x[0, :, 0]), atol=1e-4)


def test_a_curve_that_8_bits_do_not_tell_from_srgb_is_srgb() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert curve_of_profile(srgb) is CURVES["srgb"]
    table = np.rint(65535 * SRGB().decode(np.arange(1024) / 1023)).astype(int)
    assert curve_of_profile(of_curves(curv(*table))) is CURVES["srgb"]
    assert curve_of_profile(of_curves(curv(256))) is CURVES["linear"]
    assert isinstance(curve_of_profile(of_curves(curv(563))), Power)


def test_bands_keep_curves_of_their_own() -> None:
    curve = curve_of_profile(of_curves(curv(384), curv(512), curv(640)))
    x = np.full((2, 3, 1, 1), 0.5)
    np.testing.assert_allclose(curve.decode(x)[1, :, 0, 0], 0.5 ** np.array([1.5, 2, 2.5]))
    np.testing.assert_allclose(curve.encode(curve.decode(x)), x)
    assert curve.fits(3)
    assert not curve.fits(1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no ICC profile"),
        (b"x" * 200, "no ICC profile"),
        (profile({}, space=b"CMYK", name="press"), r"\(press\) is one of CMYK colours"),
        (profile({b"A2B0": b"mft2" + bytes(60)}, name="scan"), r"\(scan\) is one of tables \(A2B0\)"),
        (profile({}), "without curves"),
        (profile({}, kind=b"link"), "a link of two devices"),
        (profile({b"kTRC": curv(512)}, space=b"GRAY", pcs=b"Lab "), "lightness"),
        (of_curves(curv(0)), "does not rise"),
        (of_curves(curv(0, 40000, 30000, 65535)), "does not rise"),
        (of_curves(curv(0, 65535, 65535, 65535)), "flat in part"),
        (of_curves(para(1, 2.2, 1.1, -0.1)), "flat in part"),
        (of_curves(para(3, 2.4, 0.9, 0.1, 0.9, 0.2)), "jumps"),
        (of_curves(para(9, 2.4)), "damaged curve"),
        (of_curves(b"sf32" + bytes(8)), "damaged curve"),
        (of_curves(curv(563))[:150], "damaged"),
    ],
)
def test_a_profile_without_a_curve_is_refused_by_name(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "p.icc"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=rf"p\.icc: .*{said}.*; give a profile of curves") as caught:
        curve_named(str(path))
    assert "\n" not in str(caught.value)


def test_names_of_profiles_are_one_line() -> None:
    long = b"mluc\0\0\0\0" + (1).to_bytes(4, "big") + (12).to_bytes(4, "big") + b"enUS"
    text = "Anzeige\n\u2028\x1b[31m 1".encode("utf-16-be")
    data = long + len(text).to_bytes(4, "big") + (28).to_bytes(4, "big") + text
    assert profile_name(profile({b"desc": data})) == "Anzeige [31m 1"
    assert profile_name(profile({b"desc": named("a" * 300)})) == "a" * 60
    assert profile_name(profile({b"desc": b"desc"})) == "without a name"


@pytest.mark.parametrize(
    "option", ["gamma:0", "gamma:x", "gamma:", "gamma:nan", "gamma:-2.2", "gamma:0.4545", "gamma:99"]
)
def test_an_exponent_that_is_none_is_refused(option: str) -> None:
    with pytest.raises(BadInput, match=rf"`transfer={option}`: the exponent .* gamma:2.2"):
        curve_named(option)


@pytest.mark.parametrize("option", ["gamma", "pq", "HLG", "rec2020", "", "nothing.png"])
def test_what_is_no_curve_is_refused_with_those_that_are(option: str) -> None:
    with pytest.raises(BadInput, match=r"auto, srgb, linear, gamma:2\.2"):
        curve_named(option)
    with pytest.raises(BadInput, match="no such profile"):
        curve_named("missing.icc")


def test_tables_that_rounding_made_flat_are_undone() -> None:
    curve = Sampled.of("t", np.array([0, 0, 0, 1, 1, 2, *range(3, 100)]) / 99)
    x = np.linspace(-0.1, 1.1, 1001)
    np.testing.assert_allclose(curve.encode(curve.decode(x)), x, atol=1e-12)
