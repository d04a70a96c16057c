"""Thermal noise of a Sentinel-1 GRD comes off as the product says it: per swath and block, held at the ends, once, signs kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from restorekit.errors import BadInput
from restorekit.files.bands import Window
from restorekit.products.sentinel1 import Sentinel1
from tests.support.safe_products import SafeBlock, SafeImage, SafeVector, flat_calibration, write_safe

HEIGHT, WIDTH = 40, 60
WHOLE = Window(0, 0, HEIGHT, WIDTH)
DN = 30  # of every pixel: its power 900 is about that of the noise
A = 10.0
# Across: 800 at the left and 1000 at the right at line 0; 200 more at line 20, the last one.
ACROSS = [SafeVector(k, (0, 59), {"noise": (800.0 + 10 * k, 1000.0 + 10 * k)}) for k in (0, 20)]
# One block a swath; the third is in two parts along the track, and the one of its first lines has a single value.
BLOCKS = [
    SafeBlock((0, 39, 0, 19), (0, 39), (1.0, 1.0)),
    SafeBlock((0, 39, 20, 39), (0, 13, 39), (0.5, 1.8, 0.5), "IW2"),
    SafeBlock((0, 9, 40, 59), (0,), (2.0,), "IW3"),
    SafeBlock((10, 39, 40, 59), (10, 30), (1.0, 3.0), "IW3"),
]


def image(**settings: object) -> SafeImage:
    made = SafeImage(
        np.full((HEIGHT, WIDTH), DN, np.uint16), calibration=flat_calibration(HEIGHT, WIDTH, A), noise=ACROSS
    )
    return replace(made, **settings)  # type: ignore[arg-type]


def across(line: float, sample: float) -> float:
    return 800 + 200 * sample / 59 + 10 * min(line, 20)


def read(folder: Path, made: SafeImage, version: str = "003.40", **settings: object) -> tuple[np.ndarray, Sentinel1]:
    product = Sentinel1(write_safe(folder, [made], version), **settings)  # type: ignore[arg-type]
    values, valid = product.read(WHOLE, 1)
    assert valid.all()
    return values, product


def test_noise_is_the_product_of_both_tables_in_each_block(tmp_path: Path) -> None:
    values, product = read(tmp_path, image(blocks=BLOCKS))
    at = {
        (0, 0): 1.0,
        (39, 19): 1.0,  # the last sample of the first block
        (0, 20): 0.5,  # the first of the second
        (13, 39): 1.8,
        (26, 30): 1.8 - 1.3 * 13 / 26,  # half of the way from 1.8 to 0.5
        (5, 40): 2.0,  # a single value holds in its block
        (9, 59): 2.0,
        (10, 59): 1.0,
        (20, 45): 2.0,  # half of the way from 1 to 3
        (39, 50): 3.0,  # held behind the last line of its list, and the range vector behind line 20
    }
    for (line, sample), factor in at.items():
        expected = (DN**2 - across(line, sample) * factor) / A**2
        assert values[line, sample] == pytest.approx(expected, rel=1e-6, abs=1e-6), (line, sample)
    assert "Thermal noise is subtracted" in product.said[1]


def test_power_below_zero_is_kept(tmp_path: Path) -> None:
    """The mean over an area is that of the signal, here none: half of the pixels lie below it."""
    rng = np.random.default_rng(1)
    dn = np.rint(np.sqrt(900 * rng.gamma(4.4, 1 / 4.4, (HEIGHT, WIDTH)))).astype(np.uint16)
    flat = [SafeVector(0, (0, 59), {"noise": (900.0, 900.0)})]
    values, _ = read(tmp_path, image(pixels=dn, noise=flat))
    assert 0.4 < (values < 0).mean() < 0.7
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(values.size)


def test_vectors_need_not_have_the_same_pixels(tmp_path: Path) -> None:
    made = [
        SafeVector(0, (0, 30, 59), {"noise": (100.0, 400.0, 110.0)}),
        SafeVector(10, (0, 20, 59), {"noise": (300.0, 500.0, 110.0)}),
    ]
    values, _ = read(tmp_path, image(noise=made))
    expected = 0.5 * (100 + 300 * 10 / 30) + 0.5 * (300 + 200 * 10 / 20)  # line 5, sample 10
    assert values[5, 10] == pytest.approx((DN**2 - expected) / A**2, rel=1e-6)


def test_a_block_without_edges_is_the_image_and_a_pixel_of_none_has_the_factor_one(tmp_path: Path) -> None:
    values, _ = read(tmp_path / "a", image(blocks=[SafeBlock(None, (0, 39), (0.5, 0.5))]))
    assert values[39, 59] == pytest.approx((DN**2 - 0.5 * across(39, 59)) / A**2, rel=1e-6)
    values, _ = read(tmp_path / "b", image(blocks=[SafeBlock((0, 9, 0, 9), (0,), (0.5,))]))
    assert values[9, 9] == pytest.approx((DN**2 - 0.5 * across(9, 9)) / A**2, rel=1e-6)
    assert values[9, 10] == pytest.approx((DN**2 - across(9, 10)) / A**2, rel=1e-6)


def test_the_layout_before_ipf_2_90_is_read(tmp_path: Path) -> None:
    values, product = read(tmp_path, image(old_noise=True), "002.60")
    for line, sample in ((0, 0), (10, 30), (39, 59)):
        assert values[line, sample] == pytest.approx((DN**2 - across(line, sample)) / A**2, rel=1e-6)
    assert "IPF 2.60" in product.said[0]


def test_noise_of_another_scale_is_left_and_that_is_said(tmp_path: Path) -> None:
    values, product = read(tmp_path, image(old_noise=True), "002.43")
    np.testing.assert_allclose(values, DN**2 / A**2)
    assert "before IPF 2.50" in product.said[1]


def test_noise_is_subtracted_once_and_only_if_wanted(tmp_path: Path) -> None:
    values, product = read(tmp_path / "a", image(noise_removed=True))
    np.testing.assert_allclose(values, DN**2 / A**2)
    assert "by the processor" in product.said[1]
    values, product = read(tmp_path / "b", image(), noise=False)
    np.testing.assert_allclose(values, DN**2 / A**2)
    assert "is not subtracted" in product.said[1]


def test_the_mean_noise_is_said_in_the_unit_of_the_quantity(tmp_path: Path) -> None:
    """noise / A^2 is 400 / 100 everywhere: 6.0 dB."""
    flat = [SafeVector(0, (0, 59), {"noise": (200.0, 200.0)})]
    made = image(noise=flat, blocks=[SafeBlock(None, (0,), (2.0,))])
    product = Sentinel1(write_safe(tmp_path, [made, replace(made, polarisation="VH", noise=ACROSS, blocks=[])]))
    mean = np.mean([across(k, j) for k in range(HEIGHT) for j in range(WIDTH)]) / A**2
    said = f"the mean noise-equivalent sigma0 is VV 6.0 dB, VH {10 * np.log10(mean):.1f} dB."
    assert said in product.said[1]
    assert "the mean noise is VV 6.0 dB" in Sentinel1(product.path, quantity="beta0").said[1]


def test_a_product_without_noise_is_refused_unless_none_is_wanted(tmp_path: Path) -> None:
    root = write_safe(tmp_path, [image(noise=[])])
    with pytest.raises(BadInput, match=r"holds no thermal noise of .*give `noise=False`"):
        Sentinel1(root)
    next(root.glob("annotation/calibration/noise-*")).unlink()
    with pytest.raises(BadInput, match=r"holds no thermal noise of .*give `noise=False`"):
        Sentinel1(root)
    np.testing.assert_allclose(Sentinel1(root, noise=False).read(WHOLE, 1)[0], DN**2 / A**2)


def test_noise_is_that_of_xarray_sentinel_where_it_knows_it(tmp_path: Path) -> None:
    """It keeps the first block of a GRD alone, and no number beyond the last vector."""
    pytest.importorskip("xarray_sentinel")
    xr = pytest.importorskip("xarray")
    root = write_safe(tmp_path, [image(blocks=BLOCKS[1:2])])
    across_table, along_table = (
        xr.open_dataset(root, engine="sentinel-1", group=f"IW/VV/noise_{axis}") for axis in ("range", "azimuth")
    )
    theirs = across_table.noiseRangeLut.interp(line=np.arange(21), pixel=np.arange(WIDTH))
    theirs = (theirs * along_table.noiseAzimuthLut.interp(line=np.arange(21))).transpose("line", "pixel").values
    ours = DN**2 - A**2 * Sentinel1(root).read(Window(0, 20, 21, 20), 1)[0].astype(float)
    assert np.abs(10 * np.log10(ours / theirs[:, 20:40])).max() < 0.01
