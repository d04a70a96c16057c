"""Kernels in files: their centre and convention, origins in a corner, negative lobes, and what an archive may cost."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage, signal

from restorekit.files.kernel_files import kernel_notes, origin_in_corner, read_kernel
from restorekit.operators import blur
from restorekit.text import kernels
from restorekit.text.names import notes_of, operator_of
from tests.support.io_files import refusal

RNG = np.random.default_rng(0)
BELL = np.exp(-((np.mgrid[-7:8, -7:8] / 2.0) ** 2).sum(0))
EVEN = RNG.random((4, 6))


def test_the_centre_and_the_convention_are_those_of_scipy_ndimage(tmp_path: Path) -> None:
    np.save(tmp_path / "k.npy", EVEN)
    kernel = read_kernel(tmp_path / "k.npy")
    x = RNG.random((24, 30)).astype(np.float32)
    found = blur((1, 24, 30), torch.from_numpy(kernel), "reflect")(torch.from_numpy(x)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(found, ndimage.convolve(x, kernel), atol=1e-5)
    # scipy.signal centres an even side one entry earlier: its result lies one pixel off, as the note says.
    same = signal.convolve2d(x, kernel, mode="same")
    np.testing.assert_allclose(found[4:-4, 4:-4], same[5:-3, 5:-3], atol=1e-5)
    (note,) = kernel_notes("k.npy", kernel)
    assert "4x6" in note
    assert "(2, 3)" in note
    assert "scipy.signal, torch and kornia take (1, 2)" in note


def test_the_note_is_one_of_the_operator_and_only_of_files(tmp_path: Path) -> None:
    np.save(tmp_path / "even.npy", EVEN)
    np.save(tmp_path / "odd.npy", BELL)
    for op in (
        f"blur:kernel={tmp_path}/even.npy",
        f"blur:{tmp_path}/even.npy",
        f"decimate:4,kernel={tmp_path}/even.npy",
    ):
        assert len(notes_of(op)) == 1
    assert not notes_of(f"blur:kernel={tmp_path}/odd.npy")
    assert not notes_of("blur:kernel=motion:15:30")
    assert not notes_of("inpaint:mask=random:0.2")
    assert kernels.notes(f"{tmp_path}/even.npy")


@pytest.mark.parametrize("bell", [BELL, BELL[1:, 1:], BELL * (1 + np.arange(15)), np.pad(BELL, 100)])
def test_an_origin_in_the_corner_is_refused(bell: np.ndarray, tmp_path: Path) -> None:
    stored = np.fft.ifftshift(bell)
    assert origin_in_corner(stored)
    assert not origin_in_corner(bell)
    np.save(tmp_path / "k.npy", stored)
    refusal(lambda: read_kernel(tmp_path / "k.npy"), "corner (0, 0)", "np.fft.fftshift(k)")
    np.save(tmp_path / "k.npy", np.fft.fftshift(stored))
    read_kernel(tmp_path / "k.npy")


def test_the_refused_origin_is_that_of_transfer_functions(tmp_path: Path) -> None:
    """What `ifft2` gives of a transfer function without phase."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(32), np.fft.fftfreq(32)))
    np.save(tmp_path / "k.npy", np.fft.ifft2(np.exp(-40 * frequency**2)).real)
    refusal(lambda: read_kernel(tmp_path / "k.npy"), "fftshift")


@pytest.mark.parametrize("shape", [(3, 3), (4, 4), (1, 9), (2, 2), (5, 8), (15, 15)])
def test_flat_and_random_kernels_are_no_such(shape: tuple[int, int]) -> None:
    assert not origin_in_corner(np.ones(shape))
    assert not origin_in_corner(RNG.random(shape))


def test_real_kernels_are_no_such(shared_kernels: dict[str, np.ndarray]) -> None:
    assert not [name for name, kernel in shared_kernels.items() if origin_in_corner(kernel)]


@pytest.fixture(scope="module")
def shared_kernels() -> dict[str, np.ndarray]:
    """Straight and bent motion, defocus: drawn, of all kinds that the package draws."""
    texts = [
        "motion:15:30",
        "motion:3:0",
        "motion:31:90",
        "disc:1.5",
        "disc:7",
        "uniform:3",
        "gaussian:0.4",
        "gaussian:5",
    ]
    return {text: kernels.kernel(text).numpy() for text in texts}


def test_weight_away_from_the_centre_is_said() -> None:
    aside = np.zeros((15, 15))
    aside[1, 2] = 1
    (note,) = kernel_notes("k.png", aside)
    assert "-6.0 rows and -5.0 columns from its centre" in note
    assert not kernel_notes("k.png", BELL)


def lanczos(taps: int = 23, factor: int = 4) -> np.ndarray:
    t = (np.arange(taps) - taps // 2) / factor
    row = np.sinc(t) * np.sinc(t / 3)
    return np.outer(row, row)


def test_negative_lobes_are_kept(tmp_path: Path) -> None:
    np.save(tmp_path / "k.npy", lanczos())
    kernel = read_kernel(tmp_path / "k.npy")
    assert kernel.min() < -0.001
    np.testing.assert_allclose(kernel, lanczos() / lanczos().sum(), atol=1e-6)
    operator = operator_of(f"decimate:factor=4,kernel={tmp_path}/k.npy", image=(1, 48, 48))
    flat = operator(torch.full((1, 1, 48, 48), 0.7))
    np.testing.assert_allclose(flat.numpy(), 0.7, atol=1e-5)


@pytest.mark.parametrize(
    "kernel", [np.array([[1.0, 0, -1.0]]), -BELL, np.zeros((3, 3)), np.array([[0, 1.0, 0], [1, -4, 1], [0, 1, 0]])]
)
def test_derivatives_are_refused(kernel: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "k.npy", kernel)
    refusal(lambda: read_kernel(tmp_path / "k.npy"), "positive sum")


def header(shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def test_an_archive_is_asked_for_one_array_alone(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "k.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("k.npy", header((1, 2)) + np.array([1.0, 3.0]).tobytes())
        archive.writestr("other.npy", b"what is not asked for may be anything")
        archive.writestr("large.npy", header((30000, 30000)) + bytes(100))
    assert read_kernel(f"{tmp_path}/k.npz:k").tolist() == [[0.25, 0.75]]
    refusal(lambda: read_kernel(f"{tmp_path}/k.npz:large"), "(30000, 30000) is too large for a kernel")
    refusal(lambda: read_kernel(f"{tmp_path}/k.npz:other"), "no readable kernel")
    refusal(lambda: read_kernel(f"{tmp_path}/k.npz"), "3 variables", "KEY one of k, other, large")


def test_a_matlab_file_is_asked_for_one_variable_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import scipy.io

    scipy.io.savemat(tmp_path / "k.mat", {"k": BELL, "scale": 2.0, "name": "disc"})
    asked: list[list[str]] = []
    load = scipy.io.loadmat
    monkeypatch.setattr(
        scipy.io,
        "loadmat",
        lambda file, variable_names: asked.append(variable_names) or load(file, variable_names=variable_names),
    )
    for name in ("k.mat", "k.mat:k"):
        np.testing.assert_allclose(read_kernel(f"{tmp_path}/{name}"), BELL / BELL.sum(), atol=1e-6)
    assert asked == [["k"], ["k"]]
    refusal(lambda: read_kernel(f"{tmp_path}/k.mat:no"), "no kernel 'no'", "k, scale, name")


def test_a_photograph_is_no_kernel(tmp_path: Path) -> None:
    bell = np.outer(np.hanning(9), np.hanning(9))
    grey = np.repeat(np.rint(255 * bell / bell.max()).astype(np.uint8)[..., None], 3, 2)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert read_kernel(tmp_path / "grey.png").shape == bell.shape
    Image.fromarray(np.stack([np.roll(grey[..., 0], i, 1) for i in range(3)], -1)).save(tmp_path / "photo.png")
    refusal(lambda: read_kernel(tmp_path / "photo.png"), "its bands differ")
