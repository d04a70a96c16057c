"""A prior in a Python file of a user's: `--prior file.py:Name`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from restorekit.cli.main import run
from restorekit.errors import BadInput
from restorekit.files.picture import read_picture, write_picture
from restorekit.priors.find import load_prior

MINE = """
import torch

class Mean:
    bands = (1,)
    weight = 0.5
    def __call__(self, x, sigma, /):
        return x + self.weight * (x.mean((-2, -1), keepdim=True) - x)

class Needs:
    def __init__(self, weight):
        self.weight = weight

class Moved(torch.nn.Module):
    def forward(self, x, sigma):
        return 0.9 * x

def half(x, sigma):
    return 0.5 * x

ready, number = Moved(), 3
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path / "mine.py"


def test_classes_functions_and_objects_are_priors(mine: Path) -> None:
    x = torch.rand(2, 3, 5, 7)
    for name, factor in (("half", 0.5), ("ready", 0.9), ("Moved", 0.9)):
        prior = load_prior(f"{mine}:{name}")
        torch.testing.assert_close(prior.for_bands(3)(x, 0.1), factor * x)
        assert prior.path == mine
    prior = load_prior(f"{mine}:Mean")
    flat = x.mean((-2, -1), keepdim=True)
    torch.testing.assert_close(prior.for_bands(3)(x, 0.1), 0.5 * (x + flat))  # band by band
    assert prior.tile is None


def test_windows_where_they_are_asked_for(mine: Path) -> None:
    x = torch.rand(1, 3, 40, 40)
    torch.testing.assert_close(load_prior(f"{mine}:half", tile=16)(x, 0.1), 0.5 * x)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "may hold several; give a name"),
        ("Nope", "has no 'Nope'"),
        ("number", "is a int; a prior is callable"),
        ("Needs", "give its fields defaults"),
        ("Mean:weight=0.3", "takes no settings"),
    ],
)
def test_what_is_no_prior_is_refused(mine: Path, name: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        load_prior(f"{mine}:{name}")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        load_prior(f"{tmp_path}/none.py:Mean")


def test_the_command_takes_it_records_it_and_does_not_write_over_it(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_picture(tmp_path / "in.png", np.random.default_rng(0).random((3, 12, 10)).astype(np.float32), dtype="uint8")
    words = ["denoise", "in.png", "out.png", "--noise", "gaussian:0.1", "--prior", "mine.py:half"]
    with pytest.raises(SystemExit) as stop:
        run(words)
    assert stop.value.code == 0, capsys.readouterr().err
    assert read_picture(tmp_path / "out.png").pixels.shape == (3, 12, 10)
    assert json.loads((tmp_path / "out.png.json").read_text())["prior"]["name"] == "half"
    before = mine.read_text()
    with pytest.raises(SystemExit) as stop:
        run([*words[:2], "mine.py", *words[3:]])
    assert stop.value.code == 1
    assert mine.read_text() == before
