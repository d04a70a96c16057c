"""A PNG made of a JPEG: its blocks are noticed, and nobody else's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

import restorekit
from restorekit.notes import Notes
from restorekit.tasks.decoded_jpeg import shows_blocks

CAT = data.chelsea()[60:220, 90:290]


def decoded(path: Path, quality: int) -> np.ndarray:
    Image.fromarray(CAT).save(path, quality=quality)
    return np.asarray(Image.open(path))


@pytest.mark.parametrize("cut", [0, 3])
def test_blocks_are_seen_wherever_they_begin(cut: int, tmp_path: Path) -> None:
    x = np.moveaxis(decoded(tmp_path / "x.jpg", 30)[cut:, 2 * cut :], -1, 0) / 255
    assert shows_blocks(x)
    assert not shows_blocks(x[:, :40])


def test_pictures_that_were_no_jpeg_show_none() -> None:
    row = np.arange(160) // 20 / 8  # stairs, but no blocks
    stairs = np.tile(row, (3, 160, 1))
    for x in (
        np.moveaxis(CAT, -1, 0) / 255,
        np.random.default_rng(0).random((3, 160, 160)),
        stairs,
        np.zeros((1, 99, 99)),
    ):
        assert not shows_blocks(x)


def test_who_denoises_a_decoded_jpeg_is_told(tmp_path: Path) -> None:
    Image.fromarray(decoded(tmp_path / "x.jpg", 30)).save(tmp_path / "x.png")
    Image.fromarray(CAT).save(tmp_path / "cat.png")
    for name, said in (("x.png", True), ("x.jpg", False), ("cat.png", False)):
        restorekit.denoise(tmp_path / name, prior="natural-fast", noise="gaussian:0.02", notes=(notes := Notes()))
        assert any("shows the blocks of a JPEG" in text for text in notes.texts) is said
