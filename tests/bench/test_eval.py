"""`restorekit priors eval` from files to figures, with the fast shipped prior."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from restorekit.bench.priors.eval_pictures import PictureSet
from restorekit.bench.priors.evaluation import Evaluation
from restorekit.bench.priors.reconstruction import reconstruction
from restorekit.cli.main import run
from restorekit.errors import BadInput
from restorekit.files.picture import read_picture, sha256
from restorekit.priors.find import load_codec, load_prior
from restorekit.priors.formats import checkpoint
from restorekit.priors.formats.checkpoint import PriorSpec
from restorekit.priors.networks.unet import UNetConfig
from restorekit.priors.perception import likeness as perceptual
from restorekit.priors.prior import LatentPrior
from tests.cli.test_cli import go
from tests.priors.test_codec import SMALL as CODEC
from tests.priors.test_codec import random_net as random_codec
from tests.priors.test_unet import random_unet
from tests.training.test_latent_training import latent

__all__ = ["latent"]  # a fixture
PHOTOS = (skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea(), skimage.data.rocket())


def crops(path: Path, count: int, side: int = 32, seed: int = 0) -> Path:
    """Squares out of four photographs; another seed is other places."""
    path.mkdir()
    rng = np.random.default_rng(seed)
    for i in range(count):
        x = PHOTOS[i % 4]
        top, left = (int(rng.integers(n - side + 1)) for n in x.shape[:2])
        Image.fromarray(x[top : top + side, left : left + side]).save(path / f"{i:02d}.png")
    return path


def test_denoising_beside_another_prior(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = crops(tmp_path / "data", 4, 48)
    (data / "zz.png").write_bytes(b"no picture")
    go(
        "priors",
        "eval",
        "natural-fast",
        "--data",
        data,
        "--sigmas",
        "0.2,0.1",
        "--beside",
        "natural",
        "--out",
        tmp_path / "r.json",
    )
    said = capsys.readouterr()
    assert "1 files of data skipped: zz.png: no picture, it holds text" in said.err
    record = json.loads((tmp_path / "r.json").read_text())
    rows = {(r["sigma"], r["method"]): r for r in record["denoising"]["rows"]}
    assert list(rows) == [(s, m) for s in (0.1, 0.2) for m in ("noisy", "natural-fast", "natural")]
    assert rows[0.2, "noisy"]["psnr"] == pytest.approx(14, abs=0.2)
    for sigma, least in ((0.1, 6), (0.2, 8)):
        for method in ("natural-fast", "natural"):
            assert rows[sigma, method]["psnr"] > rows[sigma, "noisy"]["psnr"] + least
            assert rows[sigma, method]["ssim"] > rows[sigma, "noisy"]["ssim"]
    assert {r["pictures"] for r in rows.values()} == {4}
    assert record["prior"]["sha256"] == load_prior("natural-fast").sha256
    assert record["denoising"]["beside"] == {"natural": load_prior("natural").sha256}
    assert record["pictures"] | {"sha256": ""} == {
        "name": "data", "count": 4, "unread": 1, "why": "zz.png: no picture, it holds text", "sha256": ""
    }  # fmt: skip
    assert record["machine"] in said.out
    for r in rows.values():
        assert f"{r['psnr']:.2f}" in said.out
    assert str(tmp_path) not in (tmp_path / "r.json").read_text()

    go(
        "priors",
        "eval",
        "natural-fast",
        "--data",
        data,
        "--sigmas",
        "0.1",
        "--bands",
        1,
        "--limit",
        2,
        "--crop",
        32,
        "--out",
        tmp_path / "r.md",
    )
    text = (tmp_path / "r.md").read_text()
    assert "| 0.1 | natural-fast | " in text
    assert "the middle 32 pixels, 1 band(s)" in text
    assert "Means over 2 pictures of data" in text


def test_samples_are_compared_as_a_set_and_with_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, train = crops(tmp_path / "data", 6), crops(tmp_path / "train", 9, 40, seed=1)
    out = tmp_path / "r.json"
    words = ("priors", "eval", "natural-fast", "--data", data, "--sigmas", "none", "--samples", 5, "--steps", 3, "--size", "24",
             "--features", "natural-fast", "--train", train)  # fmt: skip
    go(*words, "--out", out)
    said = capsys.readouterr().out
    record = json.loads(out.read_text())
    assert "denoising" not in record
    sets = record["sets"]
    assert [(r["name"], r["n"]) for r in sets["rows"]] == [("samples", 5), ("training pictures", 5)]
    assert (sets["pictures"], sets["size"], sets["solver"], sets["steps"]) == (6, [24, 24], "dpm++", 3)
    assert sets["fid"] == "Fréchet distance (not FID)"
    assert sets["features"]["sha256"] == sha256(load_prior("natural-fast").path)
    assert sets["features"]["sha256"][:12] in said
    assert "5 samples by dpm++, 3 levels against 6 pictures, 24x24" in said
    assert "50 or more are better" in said
    near = record["neighbours"]
    assert near["windows"] == 9 * 4
    assert near["train"]["count"] == 9
    assert near["features"]["held out"]["n"] == near["pixels"]["samples"]["n"] == 5
    strip = tmp_path / "r_neighbours.png"
    assert near["strip"] == {"path": strip.name, "sha256": sha256(strip)}
    assert read_picture(strip).pixels.shape == (3, 5 * 26 - 2, 9 * 26 - 2)
    go(*words, "--out", tmp_path / "again.json")
    again = json.loads((tmp_path / "again.json").read_text())
    assert again["sets"] == sets
    assert again["neighbours"]["pixels"] == near["pixels"]
    assert (tmp_path / "again_neighbours.png").read_bytes() == strip.read_bytes()


def test_samples_from_a_folder_that_are_copies_are_found(tmp_path: Path) -> None:
    data, train = crops(tmp_path / "data", 12), crops(tmp_path / "train", 40, seed=1)
    (tmp_path / "copies").mkdir()
    for i in range(6):
        x = np.asarray(Image.open(train / f"{i:02d}.png")).astype(np.int16)
        x = np.rot90(x + np.random.default_rng(i).integers(-3, 4, x.shape), i).clip(0, 255)
        Image.fromarray(x.astype(np.uint8)).save(tmp_path / "copies" / f"{i}.png")
    shared = {"prior": "natural-fast", "data": data, "sigmas": (), "features": "natural-fast", "train": train}
    copies = Evaluation(**shared, samples=str(tmp_path / "copies"))().record
    others = Evaluation(**shared, samples=str(crops(tmp_path / "new", 6, seed=2)))().record
    for space in ("features", "pixels"):
        found, new = copies["neighbours"][space]["samples"], others["neighbours"][space]["samples"]
        assert found["below"] >= 5, space
        assert new["below"] <= 2, space
        assert found["ratio_median"] < 0.5 * new["ratio_median"], space
    assert "solver" not in copies["sets"]
    # Copies of training pictures are near the data as a set: why the neighbours are looked at.
    assert copies["sets"]["rows"][0]["frechet"] < 2 * others["sets"]["rows"][0]["frechet"]


def test_drawing_first_or_on_the_way_gives_the_same_figures(tmp_path: Path) -> None:
    data = crops(tmp_path / "data", 5)
    go(
        "sample",
        "natural-fast",
        "--n",
        4,
        "--steps",
        2,
        "--size",
        "32",
        "--seed",
        3,
        "--out",
        tmp_path / "g.png",
        "--folder",
        tmp_path / "s",
    )
    shared = {"prior": "natural-fast", "data": data, "sigmas": (), "features": "natural-fast"}
    ways = (
        Evaluation(**shared, samples="4", steps=2, size=(32, 32), seed=3),
        Evaluation(**shared, samples=str(tmp_path / "s")),
    )
    first, second = (e().record["sets"]["rows"] for e in ways)
    assert first == second


def test_a_log_intensity_prior_in_its_domain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = UNetConfig((1,), (4, 6), embed=8)
    spec = PriorSpec("logs", {"kind": "unet", **asdict(config)}, 2.0, -3.0, "log-intensity")
    path = tmp_path / "logs.safetensors"
    checkpoint.save(path, random_unet(config).state_dict(), spec)
    data = crops(tmp_path / "data", 5)
    made = Evaluation(prior=str(path), data=data, samples="4", steps=2, size=(16, 16), features="natural-fast")
    record = made().record
    assert [r["sigma"] for r in record["denoising"]["rows"]][::2] == [0.25, 0.5, 1.0, 2.0]
    noisy = record["denoising"]["rows"][0]
    assert noisy["rmse"] == pytest.approx(0.25, rel=0.05)  # in its logarithm
    assert record["denoising"]["psnr_range"] == pytest.approx(11.09, abs=0.01)
    assert record["bands"] == 1
    assert record["sets"]["rows"][0]["n"] == 4
    with pytest.raises(BadInput, match="`beside=natural` denoises srgb"):
        replace(made, beside=("natural",)).check()


def test_a_prior_of_latents_is_seen_through_its_codec(latent: Path, tmp_path: Path) -> None:
    data = crops(tmp_path / "data", 4)
    made = Evaluation(prior=str(latent), data=data, sigmas=(0.5,), samples="4", steps=2, features="natural-fast")
    record = made().record
    rows = {r["method"]: r for r in record["denoising"]["rows"]}
    assert list(rows) == ["noisy", "codec alone", "tiny"]
    prior = load_prior(str(latent))
    assert isinstance(prior, LatentPrior)
    ceiling = [prior.ceiling(torch.from_numpy(x)) for _, x in PictureSet.read(data).centres(0, 3)]
    assert rows["codec alone"]["psnr"] == pytest.approx(np.mean(ceiling), rel=1e-5)
    assert record["denoising"]["unit"].startswith("deviations of the latent")
    assert record["sets"]["size"] == [32, 32]
    with pytest.raises(BadInput, match="`beside=natural` denoises srgb"):
        replace(made, beside=("natural",)).check()


def test_priors_of_one_name_are_told_apart(tmp_path: Path) -> None:
    copy = tmp_path / "mine.safetensors"
    copy.write_bytes(load_prior("natural-fast").path.read_bytes())
    data = crops(tmp_path / "data", 1)
    rows = Evaluation(prior=str(copy), data=data, sigmas=(0.1,), beside=("natural-fast",))().record["denoising"]["rows"]
    sha = load_prior("natural-fast").sha256[:8]
    assert [r["method"] for r in rows] == ["noisy", "natural-fast", f"natural-fast@{sha}"]
    assert rows[1]["psnr"] == rows[2]["psnr"]


def test_a_codec_is_judged_on_what_it_gives_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arch = {"kind": "codec", **asdict(CODEC)}
    path = tmp_path / "codec.safetensors"
    checkpoint.save(path, random_codec(CODEC).state_dict(), PriorSpec("codec", arch, 0.25), torch.float32)
    data = crops(tmp_path / "data", 3)
    go("priors", "eval", path, "--data", data, "--crop", 30, "--bands", 1, "--out", tmp_path / "r.json")
    record = json.loads((tmp_path / "r.json").read_text())
    found = record["reconstruction"]
    pictures = [x for _, x in PictureSet.read(data).centres(30, 1)]
    measured = reconstruction(load_codec(str(path)), pictures)
    assert list(found) == ["not quantised", "quantised"]
    for way in found:
        assert found[way] == pytest.approx(measured[way], rel=1e-6)
    assert record["prior"]["sha256"] == sha256(path)
    said = capsys.readouterr().out
    (line,) = [line.split() for line in said.splitlines() if line.startswith("psnr")]
    assert line == ["psnr", f"{found['not quantised']['psnr']:.4g}", f"{found['quantised']['psnr']:.4g}"]
    (line,) = [line.split() for line in said.splitlines() if line.startswith("bits")]
    assert line == ["bits", "-", f"{found['quantised']['bits']:.4g}"]
    assert re.search(r"^figure +not quantised +quantised", said, re.MULTILINE)
    assert "Means over 3 pictures of data" in said
    with pytest.raises(BadInput, match="is a codec: it gives pictures back and draws none; leave out `samples`"):
        Evaluation(prior=str(path), data=data, samples="8").check()


WRONG = {
    "no pictures": (("--data", "empty"), "holds no pictures"),
    "no such data": (("--data", "nope"), "no such file or folder"),
    "not a zip": (("--data", "file"), "neither a folder nor a zip"),
    "unknown prior beside": (("--beside", "nope"), "unknown prior 'nope'; shipped: "),
    "levels that are no numbers": (("--sigmas", "a,b"), "give numbers, as 0.05,0.1,0.2"),
    "a level of 0": (("--sigmas", "0,0.1"), "above 0"),
    "a level that is no number": (("--sigmas", "nan"), "above 0"),
    "nothing to do": (("--sigmas", "none"), "give --samples"),
    "train alone": (("--train", "data", "--out", "r.json"), "give --samples too"),
    "train without a report": (("--train", "data", "--samples", "4"), "give --out report.json"),
    "a report of another kind": (("--out", "r.txt"), ".json or .md"),
    "a report nowhere": (("--out", "no/r.json"), "there is no folder"),
    "too few samples": (("--samples", "2"), "at least 4 of each"),
    "samples that are no number nor folder": (("--samples", "many"), "many: no such file or folder"),
    "samples of several sizes": (("--samples", "mixed"), "of several sizes"),
    "samples larger than the pictures": (("--samples", "4", "--size", "64"), "give --size 32x32"),
    "unknown sampler": (("--samples", "4", "--solver", "euler"), "known: ddpm, ddim, heun, dpm++, sde"),
    "no such features": (("--samples", "4", "--size", "16", "--features", "nope.pt"), "no such file; give a TorchScript"),
    "features of no network": (("--samples", "4", "--size", "16", "--features", "file"), "not a TorchScript file"),
    "a small crop": (("--crop", "4"), "at least 16 pixels"),
    "bands": (("--bands", "2"), "1 or 3 bands"),
    "a class": (("--label", "1"), "knows no classes"),
    "a device": (("--device", "tpu9"), "--device cpu"),
    "a limit of 0": (("--limit", "0"), "--limit"),
    "unknown option": (("--sigma", "0.1"), "--sigmas"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_one_line_and_leaves_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words, expected = WRONG[name]
    monkeypatch.chdir(tmp_path)
    crops(tmp_path / "data", 4)
    crops(tmp_path / "mixed", 4)
    Image.new("RGB", (9, 9)).save(tmp_path / "mixed" / "z.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_bytes(b"no")
    before = set(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as stop:
        run(["priors", "eval", "natural-fast", "--data", "data", *words])
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert stop.value.code not in (0, None)
    assert len(lines) == 1
    assert expected in lines[0], lines[0]
    assert set(tmp_path.rglob("*")) == before


def test_without_torchmetrics_only_sets_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptual, "find_spec", lambda name: None)
    data = crops(tmp_path / "data", 4)
    assert Evaluation(prior="natural-fast", data=data, sigmas=(0.1,), limit=1)().record["denoising"]["rows"]
    with pytest.raises(BadInput, match="`samples` needs torchmetrics and torchvision: pip install"):
        Evaluation(prior="natural-fast", data=data, samples="4").check()
