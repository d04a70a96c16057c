from __future__ import annotations

import csv
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from restorekit.priors.library import load_prior
from restorekit.training import loop
from restorekit.training.config import Config, read_config
from restorekit.training.data import Patches, Pictures
from restorekit.training.loop import read_log, train

TINY = """
name: tiny
model: {bands: [1, 3], widths: [8, 16], embed: 16}
data: {crop: 16, grey_every: 3}
optim: {batch: 4, steps: 6, lr: 0.002, warmup: 2}
run: {precision: fp32, log_every: 1, sample_every: 3, checkpoint_every: 1000}
"""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of smooth pictures: mixed sizes, colour, grey and 16 bit."""
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    shapes: list[tuple[str, tuple[int, ...], Any]] = [
        ("a.png", (20, 31, 3), np.uint8), ("b.png", (40, 17), np.uint8), ("deep/c.png", (18, 18), np.uint16),
        ("d.tif", (25, 33, 3), np.uint16), ("e.png", (9, 50, 3), np.uint8), ("f.png", (24, 24, 4), np.uint8),
    ]  # fmt: skip
    for i, (name, shape, dtype) in enumerate(shapes):
        h, w = np.indices(shape[:2])
        wave = 0.5 + 0.4 * np.sin(0.2 * h + 0.1 * (i + 1) * w)
        picture = np.broadcast_to(wave.reshape(*shape[:2], *[1] * (len(shape) - 2)), shape) * np.iinfo(dtype).max
        iio.imwrite(folder / name, picture.astype(dtype))
    (folder / "notes.txt").write_text("not a picture")
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "tiny.yaml").write_text(TINY)
    return read_config(tmp_path / "tiny.yaml")


def weights(path: Path) -> dict[str, Tensor]:
    with safe_open(path, framework="pt") as f:
        return {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118 (not a dict)


def patches(source: Pictures, seed: int = 0) -> Patches:
    return Patches(source, 16, True, -1.9, 1.2, 0.1, 0.002, 100.0, seed)


def test_a_folder_and_its_zip_are_the_same_pictures(pictures: Path, tmp_path: Path) -> None:
    archive = tmp_path / "pictures.zip"
    with zipfile.ZipFile(archive, "w") as z:
        for path in sorted(pictures.rglob("*")):
            z.write(path, path.relative_to(pictures))
    first, second = Pictures.open(pictures, tmp_path / "one"), Pictures.open(archive, tmp_path / "two")
    assert len(first) == 6
    assert first.shapes.tolist() == [[20, 31], [40, 17], [25, 33], [18, 18], [9, 50], [24, 24]]
    assert first.fingerprint == second.fingerprint
    assert bytes(first.pixels) == bytes(second.pixels)
    grey = np.asarray(iio.imread(pictures / "b.png"))
    assert all(np.array_equal(first[1][..., band], grey) for band in range(3))
    assert np.array_equal(first[3][..., 0], iio.imread(pictures / "deep/c.png") >> 8)
    assert np.array_equal(first[0], iio.imread(pictures / "a.png"))
    assert len(first.at_least(18)) == 4  # those of 17 and of 9 pixels are too small
    with pytest.raises(ValueError, match="crop=99; choose a smaller crop"):
        first.at_least(99)


@pytest.mark.parametrize("break_it", ["garbage", "truncated", "empty", "missing"])
def test_unusable_sources_are_told_in_one_line(break_it: str, pictures: Path, tmp_path: Path) -> None:
    source = pictures
    if break_it == "garbage":
        (pictures / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing of the kind")
    elif break_it == "truncated":
        whole = (pictures / "a.png").read_bytes()
        (pictures / "bad.png").write_bytes(whole[: len(whole) // 2])
    elif break_it == "empty":
        source = tmp_path / "nothing"
        source.mkdir()
    else:
        source = tmp_path / "nowhere"
    with pytest.raises(ValueError) as caught:
        Pictures.open(source, tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert ("bad.png" if break_it in ("garbage", "truncated") else source.name) in str(caught.value)
    assert not (tmp_path / "cache" / "pictures.json").exists()  # a later call does not take half a cache for a whole


def test_a_batch_is_a_function_of_seed_and_index(pictures: Path, tmp_path: Path) -> None:
    source = Pictures.open(pictures, tmp_path / "cache").at_least(16)
    x0, noise, sigma = patches(source).batch(10, 6, grey=False)
    for i in range(6):
        alone = patches(source).batch(10 + i, 1, grey=False)
        assert torch.equal(alone[0][0], x0[i])
        assert torch.equal(alone[1][0], noise[i])
        assert float(alone[2][0]) == float(sigma[i])
    assert not torch.equal(patches(source, seed=1).batch(10, 6, grey=False)[1], noise)
    assert x0.shape == (6, 3, 16, 16)
    assert x0.dtype == noise.dtype == sigma.dtype == torch.float32
    assert 0 <= float(x0.min()) <= float(x0.max()) <= 1
    grey = patches(source).batch(10, 6, grey=True)[0]
    luma = (x0 * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    torch.testing.assert_close(grey, luma, rtol=0, atol=1e-6)  # float32 sums of three


def test_noise_levels_follow_the_declared_law(pictures: Path, tmp_path: Path) -> None:
    source = Pictures.open(pictures, tmp_path / "cache").at_least(16)
    narrow = Patches(source, 16, True, -1.9, 1.2, 0.0, 1e-9, 1e9, 0)
    logs = np.log([narrow.item(i, True)[2] for i in range(1000)])
    assert abs(logs.mean() + 1.9) < 4 * 1.2 / np.sqrt(1000)  # four standard errors, here and below
    assert abs(logs.std() - 1.2) < 4 * 1.2 / np.sqrt(2000)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("optim: {learning_rate: 1}", ["optim.learning_rate", "lr", "warmup"]),
        ("modle: {}", ["modle", "model", "optim"]),
        ("optim: {batch: 0}", ["optim.batch"]),
        ("model: {patch: 3}", ["model.patch"]),
        ("- a list", ["list"]),
    ],
)
def test_unknown_keys_are_refused_with_the_known_ones(text: str, words: list[str], tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ValueError) as caught:
        read_config(tmp_path / "c.yaml")
    assert "\n" not in str(caught.value)
    assert [word for word in ["c.yaml", *words] if word not in str(caught.value)] == []


def test_overrides_win_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("optim: {steps: 5}\n")
    found = read_config(tmp_path / "c.yaml", **{"optim.steps": 7, "name": "other", "run.seed": 3})
    assert (found.optim.steps, found.name, found.run.seed) == (7, "other", 3)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_leaves_a_prior_that_denoises(precision: str, pictures: Path, config: Config, tmp_path: Path) -> None:
    config = config.model_copy(update={"run": config.run.model_copy(update={"precision": precision})})
    path = train(config, pictures, tmp_path / "run", quiet=True)
    assert path == tmp_path / "run" / "prior.safetensors"
    assert (tmp_path / "run" / "state.safetensors").exists()
    assert sorted(p.name for p in (tmp_path / "run" / "samples").iterdir()) == ["0000003.png", "0000006.png"]
    rows = read_log(tmp_path / "run" / "log.csv")
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all(np.isfinite(list(row.values())).all() for row in rows)
    prior = load_prior(str(path), precision="fp32", tile=16)
    assert (prior.spec.name, prior.spec.training["steps"]) == ("tiny", 6)
    assert prior.spec.training["config"]["optim"]["lr"] == 0.002
    for bands in (1, 3, 5):
        x = torch.rand(1, bands, 17, 21)
        out = prior.for_bands(bands)(x, 0.1)
        assert out.shape == x.shape
        assert bool(torch.isfinite(out).all())


def test_an_interrupted_run_resumes_bit_for_bit(
    pictures: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(config, pictures, tmp_path / "whole", quiet=True)
    often = config.model_copy(update={"run": config.run.model_copy(update={"checkpoint_every": 1e-9})})
    plain = Patches.batch

    def stopped(self: Patches, first: int, count: int, grey: bool) -> tuple[Tensor, Tensor, Tensor]:
        if first == 3 * 4:  # step 3: the first three are done and saved
            raise KeyboardInterrupt
        return plain(self, first, count, grey)

    monkeypatch.setattr(Patches, "batch", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(often, pictures, tmp_path / "parts", quiet=True)
    monkeypatch.setattr(Patches, "batch", plain)
    resumed = train(config, pictures, tmp_path / "parts", resume=True, quiet=True)
    first, second = weights(whole), weights(resumed)
    assert all(torch.equal(first[k], second[k]) for k in first)
    first, second = (weights(p.with_name("state.safetensors")) for p in (whole, resumed))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[k], second[k]) for k in first)
    with (tmp_path / "parts" / "log.csv").open() as f:
        assert [row["step"] for row in csv.DictReader(f)] == ["1", "2", "3", "4", "5", "6"]


def test_an_existing_run_is_not_overwritten(pictures: Path, config: Config, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "state.safetensors").write_bytes(b"old")
    with pytest.raises(ValueError, match="--resume or choose another --out"):
        train(config, pictures, tmp_path / "run", quiet=True)
    assert (tmp_path / "run" / "state.safetensors").read_bytes() == b"old"


def test_resuming_with_another_architecture_is_refused(pictures: Path, config: Config, tmp_path: Path) -> None:
    short = config.model_copy(update={"optim": config.optim.model_copy(update={"steps": 1})})
    train(short, pictures, tmp_path / "run", quiet=True)
    other = config.model_copy(update={"model": config.model.model_copy(update={"widths": (8, 24)})})
    with pytest.raises(ValueError, match="another architecture"):
        train(other, pictures, tmp_path / "run", resume=True, quiet=True)


def test_the_loss_falls(pictures: Path, config: Config, tmp_path: Path) -> None:
    update = {"optim": config.optim.model_copy(update={"steps": 45, "batch": 8, "lr": 0.004})}
    train(config.model_copy(update=update), pictures, tmp_path / "run", quiet=True)
    losses = [row["loss"] for row in read_log(tmp_path / "run" / "log.csv")]
    # An untrained network predicts 0, so the loss starts at 1 by construction; smooth waves are learnt at once.
    assert np.mean(losses[:3]) > 0.6
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:3])  # single batches of 8 vary by 0.1


def test_the_learning_rate_warms_up_holds_and_falls(config: Config) -> None:
    o = config.optim.model_copy(update={"steps": 100, "warmup": 10, "decay_from": 0.5, "lr": 1.0})
    rates = [loop.learning_rate(config.model_copy(update={"optim": o}), step) for step in range(100)]
    assert rates[:10] == pytest.approx([i / 10 for i in range(1, 11)])
    assert set(rates[10:50]) == {1.0}
    assert rates[50:] == pytest.approx([(100 - i) / 50 for i in range(50, 100)])


@pytest.mark.slow
def test_two_processes_train_what_one_does(pictures: Path, config: Config, tmp_path: Path) -> None:
    alone = train(config, pictures, tmp_path / "one", quiet=True)
    code = (
        "import sys; from pathlib import Path; from restorekit.training.config import read_config;"
        "from restorekit.training.loop import train;"
        "train(read_config(Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3]), quiet=True)"
    )
    (tmp_path / "worker.py").write_text(code)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = [tmp_path / "worker.py", tmp_path / "tiny.yaml", pictures, tmp_path / "two"]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (weights(p / "state.safetensors") for p in (alone.parent, tmp_path / "two"))
    assert first.keys() == second.keys()
    for k in first:
        # The mean of two means sums in another order; Adam's first steps divide gradients near 0 by their own size,
        # so a rounding of 1e-7 may grow to a small share of a step of lr = 0.002.
        torch.testing.assert_close(second[k], first[k], rtol=1e-4, atol=1e-5, msg=lambda m, k=k: f"{k}: {m}")
