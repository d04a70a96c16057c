"""Test measurements: what is said of the noise that nobody asked for, and blurs that change over the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import restorekit
from restorekit.errors import BadInput
from restorekit.files.kernel_grid import read_kernel_grid
from restorekit.notes import Notes
from restorekit.operators import GridBlur
from restorekit.tasks.restore import Restoring
from restorekit.text.names import files_of, operator_of


@pytest.fixture
def kernels(tmp_path: Path) -> Path:
    folder = tmp_path / "kernels"
    folder.mkdir()
    for i, j in np.ndindex(2, 3):
        np.save(folder / f"{i}_{j}.npy", np.random.default_rng(3 * i + j).random((3, 5), np.float32))
    return folder


def test_noise_that_nobody_asked_for_is_said() -> None:
    x, notes = np.full((8, 8), 0.5, np.float32), Notes()
    made = restorekit.degrade(x, notes=notes)
    assert notes.texts == ["noise: gaussian:0.01 is added, as none was given; give `noise=gaussian:0.05` or another"]
    told, silent = restorekit.degrade(x, noise="gaussian:0.01", notes=(none := Notes())), none.texts
    assert silent == []
    np.testing.assert_array_equal(made.values, told.values)


def test_a_folder_of_kernels_blurs_as_the_operator_that_deblur_takes(kernels: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(9).random((3, 20, 24), np.float32)
    op = f"blur:kernel={kernels}"
    made = restorekit.degrade(torch.from_numpy(x), op, noise="gaussian:1e-6")
    grid = GridBlur.of((3, 18, 20), torch.from_numpy(read_kernel_grid(kernels)))
    np.testing.assert_allclose(made.values, grid(torch.from_numpy(x)[None])[0], atol=1e-5)
    np.testing.assert_array_equal(made.truth, x[:, 1:-1, 2:-2])
    again = operator_of(f"blur:{kernels},boundary=free", measured=(3, 18, 20))
    assert again.image_shape == (3, 20, 24)
    assert [path.name for path in files_of(op)] == [f"{i}_{j}.npy" for i, j in np.ndindex(2, 3)]


@pytest.mark.parametrize(
    ("more", "size", "words"), [(",boundary=reflect", 20, "boundary=reflect is for one kernel"), ("", 5, "crop them")]
)
def test_a_folder_of_kernels_that_does_not_fit_is_refused(more: str, size: int, words: str, kernels: Path) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        restorekit.degrade(np.ones((size, size), np.float32), f"blur:kernel={kernels}{more}")
    assert "\n" not in str(caught.value)


def test_a_part_is_not_restored_with_the_kernels_of_the_whole(kernels: Path) -> None:
    task = Restoring(op=f"blur:kernel={kernels}", noise="gaussian:0.01", preview=(0, 0, 8, 8))
    with pytest.raises(BadInput, match="kernels of a folder"):
        task(np.random.default_rng(4).random((16, 16), np.float32))
