"""Files of ln(intensity) at the command line: what works with nothing else said, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from restorekit.cli.main import run
from restorekit.inference.likelihood import Gamma
from restorekit.metrics.fidelity import luma, psnr
from tests.cli.test_cli import go


@pytest.mark.parametrize(("samples", "solver", "steps"), [(1, "HQS", 12), (4, "EP", 30)])
def test_logarithms_of_speckle_have_defaults_that_work(samples: int, solver: str, steps: int, tmp_path: Path) -> None:
    """A file of ln(intensity), one look, with the prior of such logarithms and nothing else said."""
    x = luma(skimage.data.astronaut()[:48, 200:248].transpose(2, 0, 1) / 255.0).astype(np.float32).clip(1 / 255)
    y = Gamma(1.0, "log").sample(torch.from_numpy(2 * np.log(x)), torch.Generator().manual_seed(0)).numpy()
    np.save(tmp_path / "y.npy", y[0])
    out, noise = tmp_path / "out.npy", "gamma:1,domain=log"
    go("denoise", tmp_path / "y.npy", out, "--noise", noise, "--prior", "sar", "--samples", samples)
    found = np.load(out if samples == 1 else tmp_path / "out_mean.npy").reshape(48, 48)
    assert psnr(np.exp(found / 2).clip(0, 1)[None], x) > psnr(np.exp(y / 2).clip(0, 1), x) + 8
    record = json.loads((tmp_path / "out.npy.json").read_text())
    assert (record["solver"], record["steps"]) == (solver, steps)
    assert record["units"]["spread"] == pytest.approx(1.287, abs=0.01)


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        (("--prior", "natural-fast"), "knows pictures and no logarithms of intensities; take --prior sar"),
        (("--prior", "sar", "--range=-6,1"), "logarithms have no black and white"),
        (("--prior", "sar", "--coarse"), "--coarse needs a cascade"),
    ],
    ids=["pictures", "range", "coarse"],
)
def test_what_does_not_go_with_logarithms(
    extra: tuple[str, ...], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "y.npy", np.random.default_rng(0).normal(-2, 1, (16, 16)).astype(np.float32))
    words = ["restore", str(tmp_path / "y.npy"), str(tmp_path / "x.npy"), "--op", "denoise"]
    with pytest.raises(SystemExit, match="1"):
        run([*words, "--noise", "gamma:4,domain=log", *extra])
    assert told in capsys.readouterr().err
    assert not (tmp_path / "x.npy").exists()


def test_logarithms_are_degraded_as_they_are_and_pictures_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "u.npy", np.linspace(-5, 0, 256, dtype=np.float32).reshape(16, 16))
    go("degrade", tmp_path / "u.npy", tmp_path / "y.npy", "--op", "denoise", "--noise", "gamma:400,domain=log")
    assert 0.01 < np.abs(np.load(tmp_path / "y.npy").squeeze() - np.load(tmp_path / "u.npy")).mean() < 0.1
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(tmp_path / "a.png")
    words = ["degrade", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--op", "denoise"]
    with pytest.raises(SystemExit, match="1"):
        run([*words, "--noise", "gamma:4,domain=log"])
    assert "holds uint8 and no logarithms" in capsys.readouterr().err
