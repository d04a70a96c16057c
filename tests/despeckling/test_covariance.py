"""The covariance of two polarisations: positive semidefinite at every pixel, levels and coherence kept, edges too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from restorekit import despeckle
from restorekit.despeckling.covariance_bands import covariance_bands
from restorekit.despeckling.settings import Settings
from restorekit.despeckling.stack import Together, stack
from restorekit.errors import BadInput
from restorekit.files.scene import scene_in_memory, scene_of
from restorekit.notes import Notes
from restorekit.sar.covariance import OffDiagonal
from tests.support.scenes import read_tiff, write_tiff


def wishart(shape: tuple[int, int], looks: int, coherence: complex, seed: int = 0, step: float = 1.0) -> np.ndarray:
    """(4, H, W): C11, C22, real and imaginary part of C12, of a scene whose right half is `step` times as bright."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(2, 2, looks, *shape)) / np.sqrt(2)
    one, other = z[0] + 1j * z[1]
    other = np.conj(coherence) * one + np.sqrt(1 - abs(coherence) ** 2) * other
    level = np.where(np.arange(shape[1]) < shape[1] // 2, 1.0, step)
    c12 = level * (one * other.conj()).mean(0)
    return np.stack([level * (abs(one) ** 2).mean(0), level * (abs(other) ** 2).mean(0), c12.real, c12.imag])


def restored(y: np.ndarray, **more: Any) -> np.ndarray:
    known: dict[str, Any] = {"solver": "lee", "looks": 4.0, "grain": (0.0, 0.0), "notes": Notes(), "covariance": True}
    return despeckle(np.moveaxis(y, 0, -1), **(known | more)).mean.numpy()


def eigenvalues(c: np.ndarray) -> np.ndarray:
    """The smallest of each matrix over its trace, in double precision."""
    c = c.astype(np.float64)
    matrix = np.array([[c[0], c[2] + 1j * c[3]], [c[2] - 1j * c[3], c[1]]]).transpose(2, 3, 0, 1)
    return np.linalg.eigvalsh(matrix)[..., 0] / (c[0] + c[1])


@pytest.mark.parametrize("looks", [1, 4])
@pytest.mark.parametrize("coherence", [0.0, 0.6j, 0.999])
def test_it_stays_positive_semidefinite_at_every_pixel(looks: int, coherence: complex) -> None:
    y = wishart((48, 64), looks, coherence, step=30.0)
    x = restored(y, looks=float(looks), targets=None)
    assert eigenvalues(x).min() >= 0


def test_a_flat_scene_keeps_its_mean_and_its_coherence() -> None:
    x = restored(wishart((96, 96), 4, 0.5 + 0.3j))
    assert x.mean((1, 2)) == pytest.approx([1, 1, 0.5, 0.3], abs=0.02)
    coherence = (x[2] + 1j * x[3]) / np.sqrt(x[0] * x[1])
    assert np.abs(coherence - (0.5 + 0.3j)).mean() < 0.05
    none = restored(wishart((96, 96), 4, 0.0))
    assert np.hypot(none[2], none[3]).mean() < 0.06  # 225 pixels of 4 looks: 0.03 of chance, more under Lee


def test_edges_of_the_span_are_kept_and_coherence_does_not_cross_them() -> None:
    y = wishart((64, 64), 4, 0.8, step=20.0)
    y[2:, :, 32:] *= -1  # another phase on the other side
    x = restored(y)
    span = x[0] + x[1]
    assert span[:, 34:].mean() / span[:, :30].mean() == pytest.approx(20, rel=0.05)
    coherence = x[2] / np.sqrt(x[0] * x[1])
    assert coherence[:, 30].mean() == pytest.approx(0.8, abs=0.05)
    assert coherence[:, 33].mean() == pytest.approx(-0.8, abs=0.05)
    assert (coherence[:, 30] > 0.5).all()
    assert (coherence[:, 33] < -0.5).all()


def test_pixels_that_do_not_count_and_matrices_that_are_none_do_no_harm() -> None:
    c11, c22, c12 = np.ones((9, 9)), np.ones((9, 9)), np.full((9, 9), 3.0 + 0j)  # larger than any covariance of 1 and 1
    valid = np.ones((9, 9), np.bool_)
    valid[4, 4], c12[4, 4] = False, np.nan
    found = OffDiagonal()(c11, c22, c12, c11, c22, valid)
    assert np.abs(found[valid]).max() < 1
    assert np.abs(found[valid]) == pytest.approx(1, abs=1e-5)
    assert found[4, 4] == 0


def test_the_command_writes_all_four_bands(tmp_path: Path) -> None:
    y = wishart((60, 60), 4, 0.5j).astype(np.float32)
    y[:, :5, :5] = np.nan
    notes = Notes()
    path = write_tiff(tmp_path / "c2.tif", y)
    result = despeckle(path, tmp_path / "o.tif", solver="lee", looks=4.0, covariance=True, notes=notes)
    written = read_tiff(tmp_path / "o.tif")
    assert np.isnan(written[:, :5, :5]).all()
    assert eigenvalues(written[:, 6:, 6:]).min() >= 0
    assert np.array_equal(result.mean.numpy(), written, equal_nan=True)
    assert any("squared coherence" in text and "apart" in text for text in notes.texts)
    record = json.loads((tmp_path / "o.tif.json").read_text())["covariance"]
    assert record["restored"] == "apart"
    assert record["squared"] == pytest.approx(0.25, abs=0.1)
    assert result.save_page(tmp_path / "o.html", "despeckle")
    assert (
        f"squared coherence of C11 and C22 {record['squared']:.2f}; restored apart" in (tmp_path / "o.html").read_text()
    )
    part = despeckle(path, solver="lee", looks=4.0, covariance=True, preview=(20, 10, 16, 24), notes=Notes())
    assert np.array_equal(part.mean.numpy(), written[:, 20:36, 10:34])


def test_what_is_no_covariance_is_refused(tmp_path: Path) -> None:
    for y, word in ((np.ones((3, 8, 8), np.float32), "four bands"), (np.ones((4, 8, 8), np.uint16), "floats")):
        with pytest.raises(BadInput, match=word):
            covariance_bands(scene_in_memory(y, "scene"))
    import rasterio

    path = write_tiff(tmp_path / "c.tif", np.ones((4, 8, 8), np.float32))
    with rasterio.open(path, "r+") as d:
        d.descriptions = ("C11", "C22", "C13_re", "c12_imag")
    with pytest.raises(BadInput, match="C12_re is none; band 3 is called C13_re"):
        covariance_bands(scene_of(path))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda y: y[[0, 2, 3, 1]], "band 2, C22, is below 0 .* in this order"),
        (lambda y: y * np.array([1, 1, 2, 2])[:, None, None], "which no covariance has"),
        (lambda y: np.concatenate([10 * np.log10(y[:2]) - 20, y[2:]]), "in dB, convert it to power"),
    ],
)
def test_matrices_that_are_no_covariances_are_refused(change: Any, word: str) -> None:
    with pytest.raises(BadInput, match=word):
        restored(change(wishart((32, 32), 4, 0.8j)))


def test_a_unit_or_dates_are_refused_with_the_way_out(tmp_path: Path) -> None:
    y = wishart((32, 32), 4, 0.0)
    with pytest.raises(BadInput, match="convert it to power"):
        restored(y, domain="db")
    with pytest.raises(BadInput, match="in dB by the name of the file"):
        despeckle(write_tiff(tmp_path / "c_db.tif", y.astype(np.float32)), solver="lee", covariance=True, notes=Notes())
    settings = Settings(solver="lee", looks=4.0, grain=(0.0, 0.0), covariance=True)
    with pytest.raises(BadInput, match="of one date"):
        stack([scene_in_memory(y, f"d{n}") for n in range(2)], [None, None], settings, Together())
