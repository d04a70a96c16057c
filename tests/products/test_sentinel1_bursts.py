"""Bursts of a Sentinel-1 SLC are joined by their times: each row comes from the burst that saw it, and once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from restorekit.files.bands import Window
from restorekit.products.sentinel1 import Sentinel1
from tests.support.safe_products import (
    CALIBRATED,
    IW1_SLC,
    SafeBlock,
    SafeBurst,
    SafeImage,
    SafeVector,
    flat_calibration,
    write_safe,
)

LINES, WIDTH = 20, 12
STARTS = (0, 13, 27)  # rows of the first lines: 13 and 14 apart, as those of a product differ by a line or two
INVALID = (2, 3)  # lines without data at the beginning and end of each burst
HEIGHT = 47
# Valid rows: 2..16, 15..29, 29..43. Seams, in the middle of rows that both have: 15 and 16; 29 alone, which the upper keeps.
SEAMS = (16, 30)
INTERVAL = 2.055556299999998e-03


def burst(rows: float, first: int = 1, last: int = 10) -> SafeBurst:
    inside = [INVALID[0] <= k < LINES - INVALID[1] for k in range(LINES)]
    return SafeBurst(rows, [first if v else -1 for v in inside], [last if v else -1 for v in inside])


def slc(**settings: object) -> SafeImage:
    """Each value says where it is from: burst and line in the real part, sample in the imaginary one."""
    line, sample = np.indices((3 * LINES, WIDTH))
    made = SafeImage(
        (1 + line) + 1j * (1 + sample),
        swath="IW1",
        calibration=flat_calibration(3 * LINES, WIDTH, 2.0),
        noise=[SafeVector(0, (0, WIDTH - 1), {"noise": (4.0, 4.0)})],
        bursts=[burst(k) for k in STARTS],
        processing=[IW1_SLC],
        interval=INTERVAL,
    )
    return replace(made, **settings)  # type: ignore[arg-type]


def source(row: int) -> int:
    """The line of the file that gives a row, by hand."""
    number = sum(row >= s for s in SEAMS)
    return number * LINES + row - STARTS[number]


def test_every_row_is_from_the_burst_in_the_middle_of_which_it_lies(tmp_path: Path) -> None:
    product = Sentinel1(write_safe(tmp_path, [slc()]))
    assert (product.height, product.width, product.dtype, product.bands[0].domain) == (
        HEIGHT,
        WIDTH,
        "complex64",
        "complex",
    )
    values, valid = product.read(Window(0, 0, HEIGHT, WIDTH), 1)
    assert values.dtype == np.complex64
    assert not valid[:, 0].any()
    assert not valid[:, 11].any()
    assert list(np.flatnonzero(valid[:, 5])) == list(range(2, 44))  # without a gap, as without a row twice
    for row in range(2, 44):
        np.testing.assert_allclose(values[row, 1:11], 0.5 * (1 + source(row) + 1j * np.arange(2, 12)))
    assert not values[~valid].any()
    assert "3 bursts of 20 lines are joined by their azimuth times to 47." in product.said


def test_bursts_of_one_scene_give_the_scene_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    scene = rng.integers(-99, 100, (HEIGHT, WIDTH)) + 1j * rng.integers(-99, 100, (HEIGHT, WIDTH))
    stacked = np.concatenate([scene[k : k + LINES] for k in STARTS])
    values, valid = Sentinel1(write_safe(tmp_path, [slc(pixels=stacked)])).read(Window(0, 0, HEIGHT, WIDTH), 1)
    np.testing.assert_allclose(values[valid], scene[valid] / 2)
    assert valid.sum() == 42 * 10


def test_windows_across_seams_are_parts_of_the_whole(tmp_path: Path) -> None:
    product = Sentinel1(write_safe(tmp_path, [slc()]))
    values, valid = product.read(Window(0, 0, HEIGHT, WIDTH), 1)
    for top, height in ((15, 2), (16, 1), (10, 25), (44, 3), (0, 1)):
        window = Window(top, 4, height, 5)
        part, where = product.read(window, 1)
        np.testing.assert_array_equal(part, values[window.slices])
        np.testing.assert_array_equal(where, valid[window.slices])


def test_starts_need_not_be_whole_lines_apart(tmp_path: Path) -> None:
    """Times are given to the microsecond, lines take two thousand of them."""
    moved = [burst(k) for k in (0, 13.0004, 26.9996)]
    product = Sentinel1(write_safe(tmp_path, [slc(bursts=moved)]))
    assert product.height == HEIGHT
    assert product.read(Window(30, 5, 1, 1), 1)[0][0, 0] == pytest.approx(0.5 * (1 + source(30) + 6j))


def test_rows_that_no_burst_saw_are_not_valid(tmp_path: Path) -> None:
    """A gap longer than a burst, as where one is missing; and one burst without any valid line."""
    apart = Sentinel1(write_safe(tmp_path / "apart", [slc(bursts=[burst(k) for k in (0, 13, 60)])]))
    valid = apart.read(Window(0, 5, apart.height, 1), 1)[1][:, 0]
    assert list(np.flatnonzero(valid)) == [*range(2, 30), *range(62, 77)]
    empty = replace(burst(13), first=[-1] * LINES, last=[-1] * LINES)
    holed = Sentinel1(write_safe(tmp_path / "holed", [slc(bursts=[burst(0), empty, burst(27)])]))
    valid = holed.read(Window(0, 5, HEIGHT, 1), 1)[1][:, 0]
    assert list(np.flatnonzero(valid)) == [*range(2, 17), *range(29, 44)]


def test_zero_is_a_value_inside_of_the_valid_samples(tmp_path: Path) -> None:
    """Whole numbers of a weak signal are 0 now and then: that is what was measured."""
    image = slc()
    image.pixels[8, 5] = 0
    values, valid = Sentinel1(write_safe(tmp_path, [image])).read(Window(8, 5, 1, 1), 1)
    assert (values[0, 0], valid[0, 0]) == (0, True)


def test_tables_count_in_lines_of_the_file(tmp_path: Path) -> None:
    """A is 100 + the line of the file, which jumps at a seam."""
    table = [SafeVector(k, (0, WIDTH - 1), dict.fromkeys(CALIBRATED, (100.0 + k, 100.0 + k))) for k in (-10, 30, 70)]
    product = Sentinel1(write_safe(tmp_path, [slc(calibration=table)]))
    values, _ = product.read(Window(0, 0, HEIGHT, WIDTH), 1)
    for row in (5, *(s - 1 for s in SEAMS), *SEAMS, 43):
        expected = (1 + source(row) + 1j * np.arange(2, 12)) / (100 + source(row))
        np.testing.assert_allclose(values[row, 1:11], expected, rtol=1e-6)


def test_noise_stays_in_complex_values_and_its_mean_is_said(tmp_path: Path) -> None:
    made = slc(blocks=[SafeBlock(None, (0, 3 * LINES - 1), (1.0, 1.0))])
    product = Sentinel1(write_safe(tmp_path, [made]))
    assert "not subtracted from complex values; the mean noise-equivalent sigma0 is VV 0.0 dB." in product.said[1]


def test_points_of_places_lie_at_their_times(tmp_path: Path) -> None:
    """Their lines count in the file: the first line of each burst, and the last of all."""
    points = Sentinel1(write_safe(tmp_path, [slc()])).gcps
    rows = [p.row for p in points[::3]]
    assert rows == pytest.approx([*STARTS, HEIGHT - 1], abs=1e-3)  # a microsecond is 5e-4 of a line
    assert [p.y for p in points[::3]] == pytest.approx([46 + 1e-4 * k for k in rows], abs=1e-6)
    assert [p.col for p in points[:3]] == [0, 6, 11]


def test_looks_and_grain_of_complex_data(tmp_path: Path) -> None:
    """Complex correlations of IW1 are 0.66 along the track and 0.42 across; the grain is that of intensity."""
    facts = Sentinel1(write_safe(tmp_path, [slc()])).bands[0]
    assert facts.looks == 1
    assert facts.grain == pytest.approx((0.66**2, 0.42**2), abs=0.01)


def test_an_image_without_bursts_is_valid_where_it_is_not_zero(tmp_path: Path) -> None:
    pixels = slc().pixels
    pixels[:, 0] = 0
    values, valid = Sentinel1(write_safe(tmp_path, [slc(pixels=pixels, bursts=[])])).read(Window(0, 0, 60, WIDTH), 1)
    np.testing.assert_array_equal(valid, pixels != 0)
    np.testing.assert_allclose(values, pixels / 2)


def test_several_swaths_are_named(tmp_path: Path) -> None:
    images = [slc(), slc(polarisation="VH"), replace(slc(), swath="IW2", pixels=slc().pixels + 7)]
    root = write_safe(tmp_path, images)
    product = Sentinel1(root, swath="iw2")
    assert product.count == 1
    assert product.read(Window(5, 5, 1, 1), 1)[0][0, 0] == pytest.approx(0.5 * (13 + 6j))
    assert [b.name for b in Sentinel1(root, swath="IW1").bands] == ["VV", "VH"]


def test_calibration_of_bursts_is_that_of_xarray_sentinel(tmp_path: Path) -> None:
    peer = pytest.importorskip("xarray_sentinel")
    xr = pytest.importorskip("xarray")
    rng = np.random.default_rng(0)
    pixels = np.rint(300 * (rng.standard_normal((60, WIDTH)) + 1j * rng.standard_normal((60, WIDTH))))
    vectors = [
        SafeVector(line, (0, 5, 11), dict.fromkeys(CALIBRATED, (310.0 + k, 330.0 + 2 * k, 300.0)))
        for k, line in enumerate((-5, 25, 65))
    ]
    root = write_safe(tmp_path, [slc(pixels=pixels, calibration=vectors)])
    ours, valid = Sentinel1(root).read(Window(0, 0, HEIGHT, WIDTH), 1)
    table = xr.open_dataset(root, engine="sentinel-1", group="IW1/VV/calibration")
    rows, columns = np.nonzero(valid & (np.abs(ours) > 0))
    lines = np.array([source(row) for row in range(HEIGHT)])[rows]
    for number in range(3):
        one = xr.open_dataset(root, engine="sentinel-1", group=f"IW1/VV/{number}")
        dn = one.measurement.swap_dims(azimuth_time="line", slant_range_time="pixel")
        theirs = peer.calibrate_intensity(dn, table.sigmaNought).values
        mine = lines // LINES == number
        at = lines[mine] % LINES, columns[mine]
        difference = 10 * np.log10(np.abs(ours[rows[mine], columns[mine]]) ** 2 / theirs[at])
        assert np.abs(difference).max() < 0.01
