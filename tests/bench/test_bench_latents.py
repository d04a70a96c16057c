"""`restorekit bench images` with a prior of latents beside one of pictures."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from restorekit.bench.images.image_summary import points, read
from restorekit.files.picture import read_picture
from restorekit.inference.driver import restore
from restorekit.metrics.fidelity import psnr
from restorekit.priors.find import load_prior
from restorekit.priors.prior import LatentPrior
from restorekit.text.degradation import Degradation
from restorekit.text.names import solver_of
from tests.bench.test_bench_images import PHOTO
from tests.cli.test_cli import go
from tests.training.test_latent_training import latent

__all__ = ["latent"]  # a fixture


def test_a_prior_of_latents_is_measured_below_its_codec(
    latent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for i in range(2):
        Image.fromarray(PHOTO[60 + 40 * i : 92 + 40 * i, 150:182]).save(tmp_path / "photos" / f"{i}.png")
    words = ["--data", "photos", "--op", "denoise", "--solver", "dps", "--solver", "hqs", "--steps", "3", "--crop", "0"]
    go("bench", "images", *words, "--prior", latent, "--prior", "natural-fast", "--workers", 1, "--out", "out")
    prior = load_prior(str(latent))
    assert isinstance(prior, LatentPrior)
    label = f"{prior.spec.name}@{prior.sha256[:8]}"
    record = json.loads((tmp_path / "out" / "images.json").read_text())
    pictures = [read_picture(p).pixels for p in sorted((tmp_path / "photos").iterdir())]
    ceiling = np.mean([prior.ceiling(torch.from_numpy(x)) for x in pictures])
    assert record["codec_psnr"] == {label: pytest.approx(ceiling)}
    assert f"Codec of {label}: {ceiling:.2f} dB" in (tmp_path / "out" / "images.md").read_text()
    assert "hqs needs a linear operator" in (tmp_path / "out" / "images.md").read_text()

    rows = list(csv.DictReader((tmp_path / "out" / "images.csv").open()))
    made = {(r["prior"], r["solver"]) for r in rows}
    assert made == {(label, "dps"), *((r["prior"], s) for r in rows if r["prior"] != label for s in ("dps", "hqs"))}
    mine = next(r for r in rows if r["prior"] == label and r["picture"] == "photos/0.png")
    problem = Degradation.of("denoise").measure(pictures[0], "photos/0.png", 0)
    found = restore(problem, prior, solver_of("dps"), steps=3, seed=0)
    expected = psnr(found.samples[0].clamp(0, 1).numpy(), pictures[0])
    assert float(mine["psnr"]) == pytest.approx(expected, abs=1e-3)
    assert (int(mine["nfe"]), int(mine["vjps"])) == (found.nfe, 3)
    series = points(read(tmp_path / "out" / "images.csv"), x="nfe", y="psnr")  # fp32 beside bf16, where that is faster
    assert len(series) == 3
