"""`restorekit deblur` on files: edges, kernels that are off or unknown, what is written and what is refused."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from scipy.io import savemat
from skimage import data

import restorekit
from restorekit.blind.correction import KernelCorrection
from restorekit.blind.families import gaussian, motion
from restorekit.blind.sharp_edges import SharpEdges
from restorekit.blind.unknown import AnyKernel
from restorekit.files.kernel_files import read_kernel
from restorekit.files.kernel_grid import read_kernel_grid
from restorekit.files.picture import sha256
from restorekit.metrics.fidelity import psnr
from restorekit.notes import Notes
from restorekit.operators import GridBlur
from tests.support.fields import go, refused

FAST = ("--prior", "natural-fast", "--noise", "gaussian:0.01", "--layout", "CHW")


def photograph(d: Path, kernel: np.ndarray, side: int = 96, mode: str | None = None) -> tuple[Path, np.ndarray]:
    """(y.npy, truth): the middle of a picture that goes on beyond the frame, or with `mode` is made not to."""
    x = data.astronaut()[20 : 60 + side, 160 : 200 + side].transpose(2, 0, 1) / 255
    truth = x[:, 20:-20, 20:-20]
    if mode is None:
        y = np.stack([ndimage.convolve(band, kernel, mode="reflect") for band in x])[:, 20:-20, 20:-20]
    else:
        y = np.stack([ndimage.convolve(band, kernel, mode=mode) for band in truth])
    y = y + 0.01 * np.random.default_rng(0).standard_normal(y.shape)
    np.save(d / "y.npy", y.astype(np.float32))
    return d / "y.npy", truth


def record(path: Path) -> dict:
    return json.loads(path.with_name(path.name + ".json").read_text())


def quality(path: Path, truth: np.ndarray) -> float:
    return psnr(np.load(path).clip(0, 1), truth)


def test_edges_of_photographs_do_not_ring(tmp_path: Path) -> None:
    kernel = motion(11, 35)
    y, truth = photograph(tmp_path, kernel)
    np.save(tmp_path / "k.npy", kernel)
    for boundary in ("auto", "reflect"):
        assert (
            go("deblur", y, tmp_path / f"{boundary}.npy", "--kernel", tmp_path / "k.npy", "--boundary", boundary, *FAST)
            == 0
        )
    assert record(tmp_path / "auto.npy")["boundary"] == "free"
    free, mirrored = (np.load(tmp_path / f"{b}.npy").clip(0, 1) for b in ("auto", "reflect"))
    assert free.shape == truth.shape

    def edge(x: np.ndarray) -> float:
        error = (x - truth) ** 2
        return float(error.mean() * error[0].size - error[:, 8:-8, 8:-8].mean() * error[0, 8:-8, 8:-8].size)

    assert edge(free) < 0.4 * edge(mirrored)
    assert psnr(free, truth) > psnr(mirrored, truth) + 1


@pytest.mark.parametrize(("mode", "boundary"), [("reflect", "reflect"), ("wrap", "circular"), (None, "free")])
def test_edges_are_told_by_the_picture(tmp_path: Path, mode: str | None, boundary: str) -> None:
    kernel = gaussian(1.5)
    y, truth = photograph(tmp_path, kernel, mode=mode)
    assert go("deblur", y, tmp_path / "x.npy", "--kernel", "gaussian:1.5", "--steps", 4, *FAST) == 0
    assert record(tmp_path / "x.npy")["boundary"] == boundary
    assert quality(tmp_path / "x.npy", truth) > psnr(np.load(y).clip(0, 1), truth) + 2


def test_a_wrong_length_is_corrected_and_the_kernel_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("restorekit.tasks.deblur.KernelCorrection", partial(KernelCorrection, steps=6))
    true, given = motion(15, 30), motion(12, 30)
    y, truth = photograph(tmp_path, true, 112)
    np.save(tmp_path / "k.npy", given)
    for error, said in (("none", "the kernel seems to be off (1."), ("auto", "times as long")):
        words = ("--kernel", tmp_path / "k.npy", "--kernel-error", error, "--steps", 4, *FAST)
        assert go("deblur", y, tmp_path / f"{error}.npy", *words) == 0
        err = capsys.readouterr().err
        assert said in err
        if error == "none":
            assert "WARNING: this result was made with a kernel that seems to be off" in err.splitlines()[-1]
    assert "seems to be off" in record(tmp_path / "none.npy")["doubts"][-1]
    assert record(tmp_path / "auto.npy")["doubts"] == []
    assert quality(tmp_path / "auto.npy", truth) > quality(tmp_path / "none.npy", truth) + 2
    found = read_kernel(tmp_path / "auto_kernel.npy")
    assert all(n % 2 and n <= m + 12 for n, m in zip(found.shape, given.shape))
    found, grown, wide = (np.pad(k, [((41 - n) // 2,) * 2 for n in k.shape]) for k in (found, given, true))
    assert np.abs(found - wide).sum() < 0.8 * np.abs(grown - wide).sum()
    said = record(tmp_path / "auto.npy")
    assert 1.2 < said["kernel"]["found"]["length"] < 1.3
    assert said["kernel"]["error"] == "auto"
    assert said["kernel"]["sha256"] == sha256(tmp_path / "k.npy")
    assert said["kernel"]["found"]["nfe"] > 0
    assert record(tmp_path / "none.npy")["kernel"]["given"] == str(tmp_path / "k.npy")
    assert {str(tmp_path / f"auto_kernel.{s}") for s in ("npy", "png")} < set(said["outputs"])
    shown = np.asarray(Image.open(tmp_path / "auto_kernel.png"))
    assert shown.ndim == 2
    assert min(shown.shape) > 100
    assert not (tmp_path / "none_kernel.npy").exists()
    # The kernel that was found is one to deblur with.
    assert go("deblur", y, tmp_path / "again.npy", "--kernel", tmp_path / "auto_kernel.npy", "--steps", 4, *FAST) == 0
    assert quality(tmp_path / "again.npy", truth) == pytest.approx(quality(tmp_path / "auto.npy", truth), abs=0.05)
    assert "seems to be off" not in capsys.readouterr().err
    # Nor is it written over, and what is in the way is said before the work.
    words = ("--kernel", tmp_path / "auto_kernel.npy", "--kernel-error", "auto", *FAST)
    before = sha256(tmp_path / "auto_kernel.npy")
    assert "is the input itself" in refused(capsys, "deblur", y, tmp_path / "auto.npy", *words)
    assert sha256(tmp_path / "auto_kernel.npy") == before
    for name in ("new_kernel.png", "new.npy.json"):
        (tmp_path / name).mkdir()
        assert "this is a folder" in refused(capsys, "deblur", y, tmp_path / "new.npy", *words)
        assert not (tmp_path / "new.npy").exists()
        (tmp_path / name).rmdir()


@pytest.mark.parametrize(("long", "first"), [(0, "note"), (2**40, "call")])
def test_that_the_kernel_seems_off_is_said_before_long_work(
    long: int, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After short work, which is over before the answer to it."""
    monkeypatch.setattr("restorekit.tasks.restore.LONG", long)
    y, _ = photograph(tmp_path, motion(15, 30), 112)
    events = list[str]()
    notes = Notes(lambda text: events.append("note") if "seems to be off" in text else None)
    restorekit.deblur(
        y, motion(12, 30), noise="gaussian:0.01", prior="natural-fast", steps=2, layout="CHW", notes=notes,
        progress=lambda *_: events.append("call"),
    )  # fmt: skip
    assert events[0] == first
    assert events.count("note") == 1


def test_a_kernel_that_nothing_is_known_of_is_estimated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    y, truth = photograph(tmp_path, motion(13, 30), 96)
    assert go("deblur", y, tmp_path / "x.npy", "--kernel", "estimate", "--steps", 3, *FAST) == 0
    assert "motion of 13" in capsys.readouterr().err
    assert (tmp_path / "x_kernel.npy").exists()
    assert record(tmp_path / "x.npy")["kernel"]["estimate"]["text"].startswith("motion of 13")
    assert record(tmp_path / "x.npy")["operator"] == "blur:kernel=x_kernel.npy"
    assert quality(tmp_path / "x.npy", truth) > psnr(np.load(y).clip(0, 1), truth) + 3
    np.save(tmp_path / "sharp.npy", truth[:, :48, :48].astype(np.float32))
    assert "no straight motion" in refused(
        capsys, "deblur", tmp_path / "sharp.npy", tmp_path / "z.npy", "--kernel", "estimate", *FAST
    )
    assert not (tmp_path / "z.npy").exists()


def test_kernels_of_matlab_files(tmp_path: Path) -> None:
    kernel = motion(7, 10)
    savemat(tmp_path / "one.mat", {"f": kernel})
    savemat(tmp_path / "two.mat", {"f": kernel, "g": kernel.T})
    np.testing.assert_allclose(read_kernel(tmp_path / "one.mat"), kernel, atol=1e-7)
    np.testing.assert_allclose(read_kernel(f"{tmp_path}/two.mat:g"), kernel.T, atol=1e-7)


def test_what_cannot_be_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    y, _ = photograph(tmp_path, gaussian(1.0), 40)
    savemat(tmp_path / "two.mat", {"f": np.eye(3), "g": np.eye(3)})
    (tmp_path / "v73.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x00" * 400)
    np.save(tmp_path / "nan.npy", np.full((3, 3), np.nan))
    (tmp_path / "text.mat").write_text("no kernel")
    out, k = tmp_path / "x.npy", ("--kernel", "gaussian:1")
    for words, arguments in {
        "auto, none, or a share": (*k, "--kernel-error", "much"),
        "at 1 at most": (*k, "--kernel-error", "3"),
        "must be above 0": (*k, "--kernel-error", "0"),
        "it is auto, free, reflect, circular": (*k, "--boundary", "mirror"),
        "2 variables; write two.mat:KEY, KEY one of f, g": ("--kernel", tmp_path / "two.mat"),
        "-v7": ("--kernel", tmp_path / "v73.mat"),
        "no NaN": ("--kernel", tmp_path / "nan.npy"),
        "may be damaged": ("--kernel", tmp_path / "text.mat"),
        "larger than the picture": ("--kernel", "uniform:41"),
        "under Gaussian noise": (*k, "--kernel-error", "auto", "--noise", "poisson:100"),
    }.items():
        noise = () if "--noise" in arguments else ("--noise", "gaussian:0.01")
        assert words in refused(capsys, "deblur", y, out, *arguments, *noise, "--layout", "CHW"), words
        assert not out.exists()
    np.save(tmp_path / "x_kernel.npy", np.moveaxis(np.load(y), 0, -1))
    assert "the input itself" in refused(
        capsys, "deblur", tmp_path / "x_kernel.npy", out, *k, "--kernel-error", "auto", "--noise", "gaussian:0.01"
    )


def test_a_kernel_of_any_form_is_found_without_being_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("restorekit.tasks.blind_kernel.AnyKernel", partial(AnyKernel, searches=(SharpEdges(9),)))
    monkeypatch.setattr("restorekit.tasks.blind_kernel._named", lambda *_: None)
    bent = np.zeros((7, 7))
    bent[1:6, 1], bent[5, 1:6] = 1 / 9, 1 / 9
    y, truth = photograph(tmp_path, bent / bent.sum())
    assert go("deblur", y, tmp_path / "x.npy", "--steps", 4, *FAST) == 0
    assert "kernel: a form of its own" in capsys.readouterr().err
    x = np.load(tmp_path / "x.npy").clip(0, 1)  # where it lies is not known: the kernel is centred
    moved = [np.roll(x, (i, j), (1, 2)) for i in range(-3, 4) for j in range(-3, 4)]
    before, after = (max(psnr(v[:, 8:-8, 8:-8], truth[:, 8:-8, 8:-8]) for v in of) for of in ([np.load(y)], moved))
    assert after > before + 0.5
    said = record(tmp_path / "x.npy")
    assert said["kernel"]["given"] == "auto"
    assert said["kernel"]["estimate"]["alike"] > 0.3
    assert read_kernel(tmp_path / "x_kernel.npy").sum() == pytest.approx(1)
    np.save(
        tmp_path / "flat.npy", (0.5 + 0.01 * np.random.default_rng(0).standard_normal((1, 96, 96))).astype(np.float32)
    )
    assert "shows no texture" in refused(capsys, "deblur", tmp_path / "flat.npy", tmp_path / "z.npy", *FAST)
    assert not (tmp_path / "z.npy").exists()


def test_a_folder_of_kernels_undoes_a_blur_that_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = tmp_path / "k"
    grid.mkdir()
    left, right = motion(9, 0), motion(9, 90)
    for column, kernel in enumerate((left, right)):
        np.save(grid / f"0_{column}.npy", kernel)
    operator = GridBlur.of((3, 64, 96), torch.from_numpy(read_kernel_grid(grid)))
    picture = (
        data.astronaut()[20:, 160:].transpose(2, 0, 1)[:, : operator.image_shape[1], : operator.image_shape[2]] / 255
    )
    x = torch.from_numpy(picture).float()[None]
    y = operator(x)[0].numpy() + 0.01 * np.random.default_rng(0).standard_normal((3, 64, 96))
    np.save(tmp_path / "y.npy", y.astype(np.float32))
    truth = operator.inside(x)[0].numpy()
    assert go("deblur", tmp_path / "y.npy", tmp_path / "x.npy", "--kernel", grid, "--steps", 4, *FAST) == 0
    assert "kernel: 1x2 of" in capsys.readouterr().err
    assert quality(tmp_path / "x.npy", truth) > psnr(y.clip(0, 1), truth) + 3
    said = record(tmp_path / "x.npy")
    assert said["kernel"]["files"]["0_1.npy"] == sha256(grid / "0_1.npy")
    words = ("--kernel", grid, "--kernel-error", "auto", *FAST)
    assert "leave it out" in refused(capsys, "deblur", tmp_path / "y.npy", tmp_path / "z.npy", *words)
    np.save(grid / "1_0.npy", np.zeros((3, 3)))
    np.save(grid / "1_1.npy", left)
    assert "all zero" in refused(capsys, "deblur", tmp_path / "y.npy", tmp_path / "z.npy", "--kernel", grid, *FAST)
    assert not (tmp_path / "z.npy").exists()
