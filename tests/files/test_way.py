"""A name that leads through a folder which is not there, none/../out.png, is refused, and no folder made for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from restorekit.cli.main import app
from restorekit.errors import BadInput
from restorekit.files.atomic import check_way


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name in ("in.png", "photos/1.png"):
        Image.fromarray(np.random.default_rng(0).integers(1, 255, (64, 64, 3), np.uint8)).save(name)
    np.save("x.npy", np.random.default_rng(1).gamma(1, size=(64, 64)).astype(np.float32))
    return tmp_path


@pytest.mark.parametrize("words", ["degrade in.png none/../b.png", "train unet --data photos --out none/../run9",
    "despeckle x.npy none/../o9.npy --solver lee", "denoise in.png --out none/../many", "sample natural-fast --out g.png --folder none/../fs",
    "calibrate --data photos --task denoise --noise gaussian:0.1 --out none/../c9.json"])  # fmt: skip
def test_no_folder_is_made_for_a_name_that_leads_through_it(words: str, folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    found = CliRunner().invoke(app, words.split())
    assert "there is no folder none; " in str(found.exception)
    assert sorted(folder.rglob("*")) == before


def test_folders_that_are_there_may_be_left_again(folder: Path) -> None:
    check_way("photos/../out.png")
    check_way("../out.png")
    with pytest.raises(BadInput, match=r"^photos/none/\.\./x: there is no folder photos/none; name the place without"):
        check_way("photos/none/../x")
