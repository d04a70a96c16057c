"""A kernel that lies the wrong way is told from one that lies right."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

from restorekit.blind.stretch import Stretch
from restorekit.blind.turned import WAYS, turned
from restorekit.tasks.kernel_doubt import doubt_of
from restorekit.text.kernels import kernel

Array = np.ndarray


def blurred(k: Array, sigma: float) -> Array:
    x = np.moveaxis(data.astronaut(), -1, 0)[:, 20:148, 150:278] / 255
    y = np.stack([ndimage.convolve(band, k, mode="reflect") for band in x])
    return y + sigma * np.random.default_rng(0).standard_normal(y.shape)


def hook() -> Array:
    """A shake that is neither straight nor symmetric."""
    k = np.zeros((13, 13))
    k[2:11, 3] = 1.0
    k[10, 3:10] = 0.6
    k = ndimage.gaussian_filter(k, 0.6)
    return k / k.sum()


@pytest.mark.parametrize("name", ["motion", "hook"])
@pytest.mark.parametrize("sigma", [0.005, 0.02])
def test_each_way_is_seen_and_the_right_one_left_alone(name: str, sigma: float) -> None:
    k = kernel("motion:13:30").double().numpy() if name == "motion" else hook()
    y = blurred(k, sigma)
    assert turned(y, k, sigma) is None
    for way, change in WAYS.items():
        found = turned(y, np.ascontiguousarray(change(k)), sigma)
        assert found is not None
        assert found[0] == way


def test_round_kernels_have_no_way() -> None:
    k = kernel("disc:4").double().numpy()
    assert turned(blurred(k, 0.01), k, 0.01) is None


def test_the_doubt_names_the_way_and_a_lens_is_none() -> None:
    k = kernel("motion:13:30").double().numpy()
    y = blurred(k, 0.005)
    assert "lie turned by 90 degrees" in (doubt_of(y, np.rot90(k).copy(), 0.005) or "")
    soft = ndimage.gaussian_filter(y, (0, 0.6, 0.6))
    assert doubt_of(soft, k, 0.005) is None
    assert "times as long" in (doubt_of(y, kernel("motion:17:30").double().numpy(), 0.005) or "")


def test_what_lines_in_one_half_say_is_no_doubt() -> None:
    """Slanted lines in one half look like a kernel that is turned, and the other half does not know of them."""
    rng = np.random.default_rng(3)
    x = ndimage.gaussian_filter(np.moveaxis(data.astronaut(), -1, 0)[:, 20:148, 150:278] / 255, (0, 1, 1))
    rows, columns = np.indices((64, 128))
    for _ in range(9):
        at = rng.uniform(-40, 170)
        x[:, :64][:, np.abs(columns + 1.4 * rows - at) < 1.2] = rng.uniform()
    k = kernel("motion:13:30").double().numpy()
    y = np.stack([ndimage.convolve(band, k, mode="reflect") for band in x]) + 0.003 * rng.standard_normal(x.shape)
    assert Stretch.doubting(k)(y, k, 0.003).theta.any()  # as the spectrum of the whole picture has it
    assert doubt_of(y, k, 0.003) is None
    assert doubt_of(y, kernel("motion:17:30").double().numpy(), 0.003) is not None
