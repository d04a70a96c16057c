"""Kernels that a command names: what the record says of their files, and what is said of them before anything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from restorekit.notes import Notes
from restorekit.operators import GridBlur
from restorekit.tasks.deblur import Deblurring
from restorekit.tasks.restore import Restoring
from restorekit.text.spelling import located, operation
from tests.support.fields import go, refused

QUICK: dict[str, Any] = {"noise": "gaussian:0.01", "prior": "natural-fast", "steps": 3}
FAST = ("--prior", "natural-fast", "--steps", 3, "--noise", "gaussian:0.01")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder, which is the current one, with a picture x.png, a kernel k.npy and a folder of kernels, grid."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(data.astronaut()[60:124, 160:240]).save("x.png")
    np.save("k.npy", np.ones((3, 5)))
    Path("grid").mkdir()
    for name in ("0_0", "0_1"):
        np.save(f"grid/{name}.npy", np.ones((3, 3)))
    return tmp_path


def record(path: str) -> dict:
    return json.loads(Path(f"{path}.json").read_text())


def test_a_record_finds_its_kernel_from_wherever_it_is_read(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert go("degrade", "x.png", "y.png", "--op", "blur:kernel=k.npy,boundary=circular") == 0
    assert go("deblur", "y.png", "z.png", "--kernel", "k.npy", *FAST) == 0
    assert go("restore", "y.png", "w.png", "--op", "blur:kernel=grid", *FAST) == 0
    assert record("y.png")["operator"] == f"blur:kernel={here}/k.npy,boundary=circular"
    assert record("z.png")["operator"] == f"blur:kernel={here}/k.npy"
    assert record("w.png")["operator"] == f"blur:kernel={here}/grid"
    elsewhere = here / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert go("restore", "../y.png", "v.png", "--op", record("../z.png")["operator"], *FAST) == 0


def test_only_files_that_an_operator_names_become_whole_paths(here: Path) -> None:
    for name in ("own.py", "gaussian:2", "4"):
        (here / name).write_bytes(b"")
    assert located("own.py:Ghost:shift=3") == f"{here}/own.py:Ghost:shift=3"
    assert located("blur:k.npy") == f"blur:{here}/k.npy"
    assert located("blur:kernel=k.npy|jpeg") == f"blur:kernel={here}/k.npy|jpeg"
    assert located("decimate:factor=4,kernel=k.npy") == f"decimate:factor=4,kernel={here}/k.npy"
    for same in (
        "denoise",
        "jpeg",
        "average:4",
        "blur:kernel=motion:15:30",
        "blur:kernel=auto",
        "inpaint:mask=random:0.2",
    ):
        assert located(same) == same


def test_what_cannot_be_is_refused_before_anything_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("restore", "--op", "blur:kernel=grid"), ("deblur", "--kernel", "grid")):
        command, *settings = words
        capsys.readouterr()
        said = refused(
            capsys, command, "x.png", "z.png", *settings, "--preview", "0,0,32,32", "--prior", "natural-fast"
        )
        assert "--preview shows a part" in said
        assert len(said.splitlines()) == 1
    np.save("grid/0_0.npy", np.ones((99, 99)))
    said = refused(capsys, "deblur", "x.png", "z.png", "--kernel", "grid", "--prior", "natural-fast")
    assert "larger than the picture" in said
    assert len(said.splitlines()) == 1


def test_negative_entries_of_a_blur_are_noted(here: Path) -> None:
    kernel = np.ones((5, 5))
    kernel[0, 0] = -2
    np.save("k.npy", kernel)
    np.save("grid/0_1.npy", kernel)
    for op, named in (("blur:kernel=k.npy", "k.npy"), ("blur:kernel=grid", "0_1.npy")):
        notes = Notes()
        Restoring(op=op, **QUICK)("x.png", notes=notes)
        (line,) = [text for text in notes.texts if "negative entries" in text]
        assert named in line
        assert "7.7% of its weight" in line
        assert "save np.maximum(k, 0)" in line
    notes = Notes()
    Deblurring(kernel="k.npy", **QUICK)("x.png", notes=notes)
    assert any("negative entries" in text for text in notes.texts)
    notes = Notes()  # a filter of a resizer may have lobes
    Restoring(op="decimate:factor=2,kernel=k.npy", **QUICK)("x.png", notes=notes)
    assert not any("negative entries" in text for text in notes.texts)


def test_a_grid_of_kernels_is_a_blur_in_records() -> None:
    assert operation(GridBlur.of((3, 32, 32), torch.ones(2, 2, 3, 3) / 9)) == "blur"
