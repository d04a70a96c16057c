"""Clouds by classes and by brightness, and what is filled from around them."""

from __future__ import annotations

import numpy as np
import pytest

from restorekit.errors import BadInput
from restorekit.fusion.clouds import CloudClasses, CloudTest, spread
from restorekit.fusion.luminance import brightened, luminance

RNG = np.random.default_rng(0)


def test_classes_are_those_of_the_product() -> None:
    scl = np.arange(12).reshape(3, 4)
    assert set(scl[CloudClasses("scl")(scl, "x")]) == {3, 8, 9, 10}
    qa = np.array([[0, 1024, 2048, 3072, 1, 512]])
    np.testing.assert_array_equal(CloudClasses("qa60")(qa, "x"), [[False, True, True, True, False, False]])
    np.testing.assert_array_equal(CloudClasses("1,512")(qa, "x"), [[False, False, False, False, True, True]])
    mask = np.array([[0, 255.0, np.nan]])
    np.testing.assert_array_equal(CloudClasses()(mask, "x"), [[False, True, False]])
    assert not CloudClasses()(np.zeros((2, 2)), "x").any()
    assert CloudClasses()(np.ones((2, 2)), "x").all()


@pytest.mark.parametrize(
    ("names", "values", "said"),
    [
        ("mask", [[0, 8, 9]], "say by `cloud_classes`"),
        ("mask", [[1, 2]], "say by `cloud_classes`"),
        ("scl", [[0, 12]], "end at 11"),
        ("scl", [[0.5, 1]], "whole numbers"),
        ("qa60", [[-1, 1024]], "whole numbers"),
    ],
)
def test_values_that_the_classes_do_not_have_are_refused(names: str, values: list[list[float]], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        CloudClasses(names)(np.array(values), "clouds.tif")


def test_unknown_classes_list_the_known_ones() -> None:
    for wrong in ("sentinel", "8;9", "", "8,", "-1"):
        with pytest.raises(BadInput, match="known: mask, scl, qa60"):
            CloudClasses(wrong)


def test_brightness_finds_a_cloud_and_no_roofs_colours_or_rough_ground() -> None:
    i, j = np.mgrid[:96, :96]
    rgb = 0.25 + 0.02 * RNG.standard_normal((3, 96, 96))
    cloud = np.hypot(i - 30, j - 30) < 16
    rgb[:, cloud] = 0.9
    rgb[:, 70:74, 20:24] = 0.95  # a roof
    rgb[:, 60:90, 60:90] = np.array([0.95, 0.75, 0.5])[:, None, None]  # sand
    rgb[:, 5:30, 60:90] = np.where(RNG.random((25, 30)) < 0.5, 0.7, 1.0)  # a town
    found = CloudTest()(rgb.clip(0, 1), np.ones((96, 96), bool))
    assert found[cloud].all()
    assert not found[np.hypot(i - 30, j - 30) > 16 + 5].any()


def test_white_ground_is_taken_for_cloud_which_is_what_it_cannot_know() -> None:
    assert CloudTest()(np.full((3, 64, 64), 0.9), np.ones((64, 64), bool)).all()


@pytest.mark.parametrize("shape", [(1, 1), (7, 12), (33, 20)])
def test_what_is_known_spreads_within_its_own_values(shape: tuple[int, int]) -> None:
    x, known = RNG.random((2, *shape)), RNG.random(shape) < 0.3
    known[0, 0] = True
    out = spread(x, known)
    np.testing.assert_array_equal(out[:, known], x[:, known])
    for band, old in zip(out, x):
        assert old[known].min() - 1e-9 <= band.min() <= band.max() <= old[known].max() + 1e-9
    assert not spread(x, np.zeros(shape, bool)).any()


def test_a_level_spreads_as_it_is() -> None:
    known = np.zeros((50, 41), bool)
    known[:, :3] = True
    np.testing.assert_allclose(spread(np.where(known, 0.7, 99.0), known), 0.7)


# --- chromaticity ---


def test_all_bands_are_multiplied_by_one_factor() -> None:
    rgb, fused = RNG.uniform(40, 100, (3, 9, 8)), RNG.uniform(30, 120, (9, 8))
    out, limited = brightened(rgb, fused, 0, 255)
    assert not limited.any()
    np.testing.assert_allclose(luminance(out), fused)
    np.testing.assert_allclose(out / out.sum(0), rgb / rgb.sum(0))


def test_where_there_is_no_room_luminance_gives_way_and_colour_does_not() -> None:
    rgb = np.array([200.0, 20.0, 10.0]).reshape(3, 1, 1) * np.ones((3, 1, 2))
    out, limited = brightened(rgb, np.array([[150.0, 30.0]]), 0, 255)
    np.testing.assert_array_equal(limited, [[True, False]])
    np.testing.assert_allclose(out[:, 0, 0], rgb[:, 0, 0] * 255 / 200)
    np.testing.assert_allclose(luminance(out)[0, 1], 30)


def test_what_has_no_colour_gets_none() -> None:
    rgb = np.array([[0.0, 1.0, -5.0], [0.0, 0.0, 10.0], [0.0, 0.0, 20.0]]).reshape(3, 1, 3)
    out, _ = brightened(rgb, np.full((1, 3), 90.0), -100, 255, whole=True)
    np.testing.assert_allclose(out[:, 0, 0], 90)
    assert np.ptp(out[:, 0, 1]) <= 1  # one level of green is rounding
    np.testing.assert_allclose(np.ptp(out[:, 0, 2]), 25)  # below 0 there is no ratio: chroma stays
