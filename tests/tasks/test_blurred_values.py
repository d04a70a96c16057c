"""Light or values: files on which a smooth picture is wrong about which of the two was blurred."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import data

from restorekit.blind.families import motion
from restorekit.blind.response import favours_values
from restorekit.files.curves import SRGB
from restorekit.files.picture import Picture
from restorekit.files.transfer import Response, at_limits
from restorekit.notes import Notes
from restorekit.operators import FreeBlur
from restorekit.tasks.blurred_values import SUSPECTED, simulated
from restorekit.tasks.deblur import Deblurring
from restorekit.tasks.forward import Forward
from restorekit.tasks.inputs import take
from restorekit.tasks.observation import Observation

SIDE, ROOM = 96, 12
KERNELS = {"long": motion(21.0, 75.0), "short": motion(9.0, 20.0)}
# Line art under a long kernel, where a smooth picture favours values; a cat, where it says little.
PLACES = {"page": ("page", 26, 179, "long"), "cat": ("chelsea", 60, 90, "short")}


def file_of(place: str, light: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return (values (C, 96, 96) on [0, 1] of 8 bits, kernel): noise of 0.003 in light, or of 0.01 in values."""
    name, top, left, k = PLACES[place]
    x = np.atleast_3d(getattr(data, name)())[top : top + SIDE + 2 * ROOM, left : left + SIDE + 2 * ROOM]
    scene, curve = np.moveaxis(x, -1, 0) / 255, SRGB()
    scene = curve.decode(scene) if light else scene
    y = np.stack([ndimage.convolve(v, KERNELS[k], mode="reflect") for v in scene])[:, ROOM:-ROOM, ROOM:-ROOM]
    y = y + (0.003 if light else 0.01) * np.random.default_rng(1).standard_normal(y.shape)
    return np.rint(255 * (curve.encode(y) if light else y).clip(0, 1)) / 255, KERNELS[k]


def read(y: np.ndarray) -> Observation:
    picture = Picture(y.astype(np.float32), "uint8", (0.0, 255.0))
    response = Response(SRGB())
    return Observation(take(picture), picture, response.decoded(picture), response, "blur")


@pytest.mark.parametrize("light", [True, False])
@pytest.mark.parametrize("place", PLACES)
def test_what_was_blurred_is_told(place: str, light: bool) -> None:
    y, kernel = file_of(place, light)
    assert simulated(read(y), kernel, SRGB()) is not light


def test_a_smooth_picture_alone_would_be_wrong() -> None:
    y, kernel = file_of("page", light=True)
    told = torch.from_numpy(~np.logical_or(*at_limits(read(y).picture)))[None]
    assert favours_values(torch.from_numpy(y)[None], torch.from_numpy(kernel), SRGB(), told) > 0.01 > SUSPECTED


def test_another_kernel_says_nothing() -> None:
    y, _ = file_of("cat", light=False)
    assert not simulated(read(y), np.ones((9, 9)) / 81, SRGB())


def test_noise_is_measured_again_by_a_kernel_that_was_found_and_the_larger_taken() -> None:
    """The stop band of a wrong kernel holds some of the picture, that of a right one noise alone."""
    y, kernel = file_of("cat", light=True)
    task, notes = Deblurring(), Notes()
    flat = Forward(read(y), FreeBlur(y.shape, torch.ones(1, 1)), "gaussian:0.002")
    right, wrong = (task._noise_again(flat, k, None, notes).noise_level for k in (kernel, motion(9.0, 110.0)))
    assert right < 0.006 < 2 * right < wrong
    assert len(notes.texts) == 2
    loud = replace(flat, noise="gaussian:0.2")
    assert task._noise_again(loud, kernel, None, notes) is loud
    told = Deblurring(noise="gaussian:0.001")
    assert told._noise_again(flat, kernel, None, notes) is flat
