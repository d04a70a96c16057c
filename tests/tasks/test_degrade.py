"""Test measurements: what is said of the noise that nobody asked for, and blurs that change over the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import restorekit
from restorekit.errors import BadInput
from restorekit.files.formats import FORMATS, LOSSY
from restorekit.files.kernel_grid import read_kernel_grid
from restorekit.notes import Notes
from restorekit.operators import GridBlur
from restorekit.tasks.restore import Restoring
from restorekit.text.names import files_of, operator_of
from tests.support.fields import go, refused


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


@pytest.mark.parametrize("name", [f"y{suffix}" for suffix, kind in FORMATS.items() if kind in LOSSY] + ["y.webp"])
def test_a_truth_loses_nothing_by_the_format_of_its_measurement(name: str, tmp_path: Path) -> None:
    x = np.random.default_rng(3).integers(0, 256, (24, 32, 3), np.uint8)
    Image.fromarray(x).save(tmp_path / "x.png")
    files = restorekit.degrade(tmp_path / "x.png", noise="gaussian:0.05").save(tmp_path / name)
    assert files[0] == tmp_path / name
    np.testing.assert_array_equal(np.asarray(Image.open(files[1])), x)


def test_two_measurements_of_one_stem_do_not_share_a_truth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.random.default_rng(2).integers(0, 255, (48, 48, 3), np.uint8)).save("x.png")
    assert go("degrade", "x.png", "a.jpg", "--camera", "phone") == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    said = refused(capsys, "degrade", "x.png", "a.png", "--camera", "still")
    assert said.splitlines()[-1].endswith(
        "a_truth.png belongs to a.jpg, and would be replaced; give OUT another name than a.png, or --overwrite to replace it"
    )
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert go("degrade", "x.png", "a.jpg", "--camera", "still") == 0  # its own
    assert go("degrade", "x.png", "b.png", "--camera", "still") == 0
    (tmp_path / "a.jpg").unlink()  # a truth of nothing
    assert go("degrade", "x.png", "a.png", "--camera", "still") == 0
    assert go("degrade", "x.png", "a.jpg", "--camera", "phone", "--overwrite") == 0
