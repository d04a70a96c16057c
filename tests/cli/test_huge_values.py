"""Numbers and names that no run can use are one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from restorekit.cli.main import run
from restorekit.errors import BadInput
from restorekit.files.nodata import empty_at
from restorekit.files.picture import output_dtype, read_picture
from restorekit.notes import Notes
from restorekit.priors.find import device_of
from restorekit.tasks.deblur import Deblurring

BIG = 10**30


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (f"degrade IN OUT --seed {BIG}", "--seed"),
        (f"denoise IN OUT --seed {2**64}", "--seed"),
        (f"check denoise --seed {2**64}", "--seed"),
        (f"denoise IN OUT --noise gaussian:0.1 --samples {BIG}", "--samples"),
        (f"degrade IN OUT --op inpaint:mask=random:0.5:{BIG}", "a share lies between 0 and 1"),
        ("denoise IN OUT --noise gaussian:0.1 --solver hqs:first=1e300", "first at most 10000"),
        ("denoise IN OUT --noise gaussian:0.1 --device meta", "device 'meta' cannot be used here"),
        ("degrade IN OUT --dtype (", "cannot hold '('"),
        ("denoise IN OUT --noise gaussian:0.1 --range 0,1e-45", "is too narrow"),
    ],
)
def test_one_line(words: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "in.png", tmp_path / "out.tif"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16), np.uint8)).save(source)
    with pytest.raises(SystemExit) as stopped:
        run([{"IN": str(source), "OUT": str(target)}.get(word, word) for word in words.split()])
    assert stopped.value.code
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("restorekit: ")
    assert said in lines[-1]
    assert "fault of restorekit" not in lines[-1]
    assert not target.exists()


def test_a_law_that_leaves_no_noise_is_no_division_by_0() -> None:
    y = np.random.default_rng(0).uniform(0.2, 0.8, (24, 24)).astype(np.float32)
    task = Deblurring(kernel="motion:5:30", noise="gamma:1e300", prior="natural-fast")
    assert task.measure(y, Notes()).prior.spec.name == "natural-fast"


@pytest.mark.parametrize("name", ["meta", "nowhere", "privateuseone", "cuda:99"])
def test_devices_that_hold_no_numbers(name: str) -> None:
    with pytest.raises(BadInput, match="cannot be used here"):
        device_of(name)


@pytest.mark.parametrize("asked", ["(", "i4,f8", "{}", "nonsense", "c8"])
def test_types_that_no_picture_has(asked: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot hold"):
        output_dtype(tmp_path / "a.tif", "", asked)


def test_no_data_beyond_the_type_is_nowhere(tmp_path: Path) -> None:
    x = np.array([[[0.5, np.inf]]], np.float32)
    assert not empty_at(x, 1e300).any()
    assert empty_at(x, np.inf).tolist() == [[False, True]]
    # What holds no data may be of any size.
    tifffile.imwrite(
        tmp_path / "a.tif", np.array([[1e300, 0.5], [0.25, 1.0]]), extratags=[(42113, "s", 0, "1e300", True)]
    )
    assert np.isfinite(read_picture(tmp_path / "a.tif").pixels).all()
