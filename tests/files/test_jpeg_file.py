"""What a JPEG file holds: coefficients, steps, sampling and colours, by jpeglib and without it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

from restorekit.errors import BadInput
from restorekit.files import jpeg_file as jpeg
from restorekit.files.jpeg_file import read_jpeg

TRUTH = np.ascontiguousarray(data.astronaut()[40:141, 150:233])  # 101 x 83


def written(path: Path, values: np.ndarray = TRUTH, mode: str = "RGB", **settings: Any) -> Path:
    Image.fromarray(values).convert(mode).save(path, **settings)
    return path


@pytest.fixture
def without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jpeg, "_stored_levels", lambda *_: None)


@pytest.mark.parametrize(
    ("settings", "sampling", "grids"),
    [
        ({"subsampling": "4:2:0"}, ((1, 1), (2, 2), (2, 2)), [(13, 11), (7, 6), (7, 6)]),
        ({"subsampling": "4:2:2", "progressive": True}, ((1, 1), (1, 2), (1, 2)), [(13, 11), (13, 6), (13, 6)]),
        ({"subsampling": "4:4:4"}, ((1, 1),) * 3, [(13, 11)] * 3),
        ({"mode": "L"}, ((1, 1),), [(13, 11)]),
    ],
)
def test_the_extra_and_the_planes_tell_the_same(
    settings: dict[str, Any], sampling: Any, grids: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("jpeglib", reason="needs the extra jpeg")
    path = written(tmp_path / "y.jpg", quality=60, **settings)
    stored = read_jpeg(path)
    monkeypatch.setattr(jpeg, "_stored_levels", lambda *_: None)
    told = read_jpeg(path)
    assert (stored.exact, told.exact, told.binned) == (True, False, True)
    assert (stored.sampling, stored.size, stored.colour) == (sampling, (101, 83), "none" if len(grids) == 1 else "ycc")
    with Image.open(path) as image:
        tables = image.quantization  # type: ignore[attr-defined]
        np.testing.assert_array_equal(stored.steps[0].ravel(), tables[0])
    for a, b, unsure, grid in zip(stored.levels, told.levels, told.unsure, grids):
        assert a.shape == b.shape == (*grid, 8, 8)
        assert np.mean(a[~unsure] != b[~unsure]) < 1e-3
        assert float(((a - b) * stored.steps[0]).std()) < 2  # levels, of blocks that reach beyond the picture too


@pytest.mark.usefixtures("without_extra")
def test_without_the_extra_fine_steps_are_no_bins_and_blocks_at_white_are_wider(tmp_path: Path) -> None:
    assert read_jpeg(written(tmp_path / "b.jpg", quality=86)).binned
    fine = read_jpeg(written(tmp_path / "a.jpg", quality=95))
    assert not fine.binned
    assert float(np.abs(fine.levels[0] - np.rint(fine.levels[0])).max()) > 0.1
    white = TRUTH.copy()
    white[:40] = 255
    stored = read_jpeg(written(tmp_path / "w.jpg", white, quality=60))
    assert bool(stored.unsure[0][:4].all())
    np.testing.assert_array_equal(stored.widths[0][0, 0], jpeg.UNSURE * stored.steps[0])


def test_components_without_a_colour_transform_are_taken_as_they_are(tmp_path: Path) -> None:
    stored = read_jpeg(written(tmp_path / "y.jpg", quality=75, keep_rgb=True))
    assert (stored.colour, stored.sampling) == ("none", ((1, 1),) * 3)


def test_a_window_holds_the_same_blocks_also_of_what_is_shown_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    stored = read_jpeg(written(tmp_path / "y.jpg", quality=50, exif=exif))
    assert stored.orientation == 6
    part, begin = stored.window((18, 33, 40, 30))
    assert (part.size, begin) == ((48, 32), (2, 1))
    np.testing.assert_array_equal(part.levels[0], stored.levels[0][2:8, 4:8])
    np.testing.assert_array_equal(part.levels[1], stored.levels[1][1:4, 2:4])
    # Shown turned clockwise: rows are columns, and the last stored row is the first column.
    part, frame = stored.window_shown((33, 101 - 58, 30, 40), (83, 101))
    np.testing.assert_array_equal(part.levels[0], stored.levels[0][2:8, 4:8])
    assert frame == (1, 48 - 42, 30, 40)


def test_blocks_that_reach_beyond_the_picture_are_marked(tmp_path: Path) -> None:
    filled = read_jpeg(written(tmp_path / "y.jpg", quality=50)).filled  # 101 x 83 pixels: 12.6 x 10.4 blocks
    assert [int(f.sum()) for f in filled] == [13 + 11 - 1, 7 + 6 - 1, 7 + 6 - 1]
    assert bool(filled[0][-1].all() & filled[0][:, -1].all())
    whole = written(tmp_path / "w.jpg", np.ascontiguousarray(TRUTH[:64, :80]), quality=50)
    assert not any(f.any() for f in read_jpeg(whole).filled)


def test_other_files_are_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"its content is PNG.*take `denoise`"):
        read_jpeg(written(tmp_path / "y.png"))
    with pytest.raises(BadInput, match=r"4 components.*magick"):
        read_jpeg(written(tmp_path / "c.jpg", mode="CMYK"))


def test_only_steps_of_one_and_whole_chroma_lose_nothing(tmp_path: Path) -> None:
    assert read_jpeg(written(tmp_path / "a.jpg", quality=100, subsampling="4:4:4")).lossless
    assert not read_jpeg(written(tmp_path / "b.jpg", quality=100, subsampling="4:2:0")).lossless
    assert not read_jpeg(written(tmp_path / "c.jpg", quality=99, subsampling="4:4:4")).lossless


def test_a_picture_of_one_block_and_of_one_pixel_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jpeg, "_stored_levels", lambda *_: None)
    for h, w in ((1, 1), (1, 9), (17, 2)):
        stored = read_jpeg(written(tmp_path / "y.jpg", np.ascontiguousarray(TRUTH[:h, :w]), quality=30))
        assert stored.levels[1].shape == (-(-h // 16), -(-w // 16), 8, 8)
        assert all(np.isfinite(v).all() for v in stored.levels)


def test_a_preview_behind_the_picture_is_not_read(tmp_path: Path) -> None:
    """Telephones write MPO: a JPEG with a second one behind it."""
    first, second = io.BytesIO(), io.BytesIO()
    Image.fromarray(TRUTH).save(first, "JPEG", quality=50)
    Image.fromarray(TRUTH[:16, :16]).save(second, "JPEG", quality=50)
    path = tmp_path / "y.jpg"
    path.write_bytes(first.getvalue() + second.getvalue())
    assert read_jpeg(path).size == (101, 83)
