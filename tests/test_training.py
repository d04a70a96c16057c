from __future__ import annotations

import csv
import os
import re
import shutil
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
from safetensors.torch import save_file
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.priors.checkpoint import build, read_spec
from restorekit.priors.library import load_prior
from restorekit.priors.unet import UNet
from restorekit.training import denoiser
from restorekit.training import pictures as decoding
from restorekit.training.config import Config, Data, Noise, read_config
from restorekit.training.data import Patches, log_intensity
from restorekit.training.loop import train
from restorekit.training.pictures import Pictures
from restorekit.training.state import Header
from restorekit.training.watch import Watch

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


def read_log(out: Path) -> list[dict[str, float]]:
    with (out / "log.csv").open(newline="", encoding="utf-8") as f:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(f)]


def changed(config: Config, **settings: Any) -> Config:
    """`config` with other settings: optim__steps=3 is optim.steps=3."""
    raw = config.model_dump()
    for key, value in settings.items():
        section, _, name = key.rpartition("__")
        (raw[section] if section else raw)[name] = value
    return Config.model_validate(raw)


def patches(source: Pictures, seed: int = 0, flips: bool = True, **noise: float) -> Patches:
    return Patches(source, Data(crop=16, flips=flips), Noise(**noise), seed)


def interrupt(step: int, config: Config, pictures: Path, out: Path, resume: bool = False) -> None:
    """A run of batches of 4 that is killed when it has done this many steps."""
    plain = Patches.batch

    def stopped(self: Patches, first: int, count: int, grey: bool) -> tuple[Tensor, ...]:
        if first == step * 4:
            raise KeyboardInterrupt
        return plain(self, first, count, grey)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Patches, "batch", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(config, pictures, out, resume=resume, quiet=True)


def same_weights(first: Path, second: Path) -> bool:
    a, b = weights(first), weights(second)
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


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


@pytest.mark.parametrize("source", ["empty", "missing", "broken"])
def test_unusable_sources_are_told_in_one_line(source: str, tmp_path: Path) -> None:
    folder = tmp_path / source
    if source != "missing":
        folder.mkdir()
    if source == "broken":
        (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing of the kind")
    with pytest.raises(ValueError) as caught:
        Pictures.open(folder, tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert ("bad.png" if source == "broken" else source) in str(caught.value)
    assert not (tmp_path / "cache" / "pictures.json").exists()  # a later call does not take half a cache for a whole


def test_broken_files_are_skipped_counted_and_told(
    pictures: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = Pictures.open(pictures, tmp_path / "whole")
    cut = (pictures / "a.png").read_bytes()
    (pictures / "cut.png").write_bytes(cut[: len(cut) // 2])
    (pictures / "garbage.jpg").write_bytes(b"nothing of the kind")
    (pictures / "empty.png").write_bytes(b"")
    iio.imwrite(pictures / "float.tif", np.zeros((30, 30), np.float32))
    rest = Pictures.open(pictures, tmp_path / "rest")
    assert rest.fingerprint == whole.fingerprint
    assert rest.names == whole.names
    assert bytes(rest.pixels) == bytes(whole.pixels)
    assert [name.partition(":")[0] for name in rest.broken] == ["cut.png", "empty.png", "float.tif", "garbage.jpg"]
    assert "4 of 10 pictures skipped: cut.png: " in caplog.text
    assert "and 1 more" in caplog.text


def test_several_sources_are_one(pictures: Path, tmp_path: Path) -> None:
    one = Pictures.open([pictures], tmp_path / "one")
    both = Pictures.open([pictures, pictures / "deep"], tmp_path / "both")
    assert len(both) == len(one) + 1
    assert both.names[-1] == "c.png"
    assert np.array_equal(both[-1], one[one.names.index("deep/c.png")])


def test_log_intensity_takes_grey_levels_for_amplitudes(pictures: Path, tmp_path: Path) -> None:
    level = np.array([0, 1, 64, 255], np.float32) / 255
    assert np.allclose(log_intensity(level), 2 * np.log((np.array([0, 1, 64, 255]) + 1) / 256), atol=1e-6)
    source = Pictures.open(pictures, tmp_path / "cache").at_least(16)
    plain = Patches(source, Data(crop=16, gain=0, contrast=0), Noise(), 0, "log-intensity")
    grey = Patches(source, Data(crop=16), Noise(), 0)
    for i in range(4):
        u, g = plain.item(i, True)[0], grey.item(i, True)[0]
        assert np.abs(128 * np.exp(u / 2) - 127.5 * g - 0.25 - 0.25).max() <= 0.2501  # half a level each way
    varied = Patches(source, Data(crop=16, gain=0.5, contrast=0), Noise(), 0, "log-intensity")
    shifts = np.array([(varied.item(i, True)[0] - plain.item(i, True)[0]).mean() for i in range(200)])
    assert abs(shifts.mean()) < 0.12
    assert abs(shifts.std() - 0.5) < 0.1
    stretched = Patches(source, Data(crop=16, gain=0, contrast=0.2), Noise(), 0, "log-intensity")
    u, v = plain.item(3, True)[0], stretched.item(3, True)[0]
    assert abs(u.mean() - v.mean()) < 1e-4
    assert np.allclose(v - v.mean(), v.std() / u.std() * (u - u.mean()), atol=1e-4)


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
    narrow = patches(source, wide=0.0, sigma_min=1e-9, sigma_max=1e9)
    logs = np.log([narrow.item(i, True)[2] for i in range(1000)])
    assert abs(logs.mean() + 1.9) < 4 * 1.2 / np.sqrt(1000)  # four standard errors, here and below
    assert abs(logs.std() - 1.2) < 4 * 1.2 / np.sqrt(2000)


def test_a_share_of_the_noise_levels_is_log_uniform(pictures: Path, tmp_path: Path) -> None:
    source = Pictures.open(pictures, tmp_path / "cache").at_least(16)
    mixed = patches(source, wide=0.3, log_mean=0.0, log_std=1e-6, sigma_min=np.exp(-3.0), sigma_max=np.exp(5.0))
    logs = np.log([mixed.item(i, True)[2] for i in range(1000)])
    wide = logs[np.abs(logs) > 1e-4]  # the others are at log_mean
    assert abs(len(wide) / 1000 - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 1000)  # four standard errors, here and below
    assert abs(wide.mean() - 1.0) < 4 * 8 / np.sqrt(12 * 300)
    assert -3 <= wide.min() < -2.7 < 4.7 < wide.max() <= 5


@pytest.mark.parametrize(("flips", "views"), [(True, 8), (False, 1)])
def test_flips_show_a_picture_in_all_eight_positions(flips: bool, views: int, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    iio.imwrite(tmp_path / "one" / "a.png", np.arange(256, dtype=np.uint8).reshape(16, 16))
    one = patches(Pictures.open(tmp_path / "one", tmp_path / "cache"), flips=flips)
    found = {one.item(i, True)[0].tobytes() for i in range(100)}  # one of eight is missed with chance 8 (7/8)^100
    assert len(found) == views


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_leaves_a_prior_that_denoises(
    precision: str, pictures: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, plain = [], UNet.forward

    def watched(self: UNet, x: Tensor, c_noise: Tensor) -> Tensor:
        out = plain(self, x, c_noise)
        if torch.is_grad_enabled():  # not the grids of samples
            seen.append((x.shape[1], out.dtype))
        return out

    made: list[tuple[Any, ...]] = []
    monkeypatch.setattr(denoiser, "Patches", lambda *fields: made.append(fields) or Patches(*fields))
    monkeypatch.setattr(UNet, "forward", watched)
    config = changed(config, run__precision=precision, run__seed=5, data__flips=precision == "bf16", noise__wide=0.2)
    path = train(config, pictures, tmp_path / "run", quiet=True)
    monkeypatch.setattr(UNet, "forward", plain)
    assert made[0][1:] == (config.data, config.noise, 5, "srgb", None)
    assert [bands for bands, _ in seen] == [3, 3, 1, 3, 3, 1]  # grey_every: 3
    assert {dtype for _, dtype in seen} == {torch.bfloat16 if precision == "bf16" else torch.float32}
    assert path == tmp_path / "run" / "prior.safetensors"
    assert (tmp_path / "run" / "state.safetensors").exists()
    assert sorted(p.name for p in (tmp_path / "run" / "samples").iterdir()) == ["0000003.png", "0000006.png"]
    rows = read_log(tmp_path / "run")
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all(np.isfinite(list(row.values())).all() for row in rows)
    prior = load_prior(str(path), precision="fp32", tile=16)
    spec = read_spec(path)
    assert (prior.spec, spec.name, spec.training["steps"]) == (spec, "tiny", 6)
    assert spec.training["config"]["optim"]["lr"] == 0.002
    for bands in (1, 3, 5):
        x = torch.rand(1, bands, 17, 21)
        out = prior.for_bands(bands)(x, 0.1)
        assert out.shape == x.shape
        assert bool(torch.isfinite(out).all())


@pytest.mark.parametrize(("ema", "decay"), [(0.999, 1 / 10), (0.05, 0.05)])
def test_one_step_clips_the_gradient_and_averages_the_weights(
    ema: float, decay: float, pictures: Path, config: Config, tmp_path: Path
) -> None:
    once = changed(config, optim__steps=1, optim__clip=1e-3, optim__ema=ema)
    path = train(once, pictures, tmp_path / "run", quiet=True)
    state = weights(tmp_path / "run" / "state.safetensors")
    assert read_log(tmp_path / "run")[0]["grad_norm"] > 0.01  # logged before clipping
    moment = torch.cat([v.ravel() for k, v in state.items() if k.startswith("exp_avg.")])
    assert float(moment.norm()) == pytest.approx(1e-3 * (1 - 0.9), rel=1e-3)  # Adam's first moment, beta1 = 0.9
    spec = read_spec(path)
    with torch.random.fork_rng():
        torch.manual_seed(config.run.seed)
        before = build(spec).state_dict()
    assert any(not torch.equal(before[k], state[f"net.{k}"]) for k in before)
    for k in before:
        torch.testing.assert_close(state[f"ema.{k}"], decay * before[k] + (1 - decay) * state[f"net.{k}"])


def test_divergence_is_told_in_one_line(pictures: Path, config: Config, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"diverged at step 1 .*lower optim.lr than 1e\+30"):
        train(changed(config, optim__lr=1e30), pictures, tmp_path / "run", quiet=True)


def test_the_log_tells_means_and_images_per_second(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    rows = "step,seconds,loss,grad_norm,lr,images_per_s\n2,20.0,1,1,1,1\n4,90.0,1,1,1,1\n1"
    (tmp_path / "log.csv").write_text(rows)  # a crash at step 10, while its row was written; the state is of step 3
    with Watch(changed(config, run__log_every=2), tmp_path, 3, 33.0, active=True, quiet=True) as watch:
        for step, elapsed in ((4, 4.0), (5, 1.0), (6, 1.0)):
            now[0] += elapsed
            watch.step(step, torch.tensor(float(step)), torch.tensor(2.0), 0.1)
    found = [[row[k] for k in ("step", "seconds", "loss", "images_per_s")] for row in read_log(tmp_path)]
    assert found == [[2, 20, 1, 1], [4, 37, 4, 1], [6, 39, 5.5, 4]]  # batches of 4 in 4 s, then two of them in 2 s


def test_an_interrupted_run_resumes_bit_for_bit(pictures: Path, config: Config, tmp_path: Path) -> None:
    whole = train(config, pictures, tmp_path / "whole", quiet=True)
    often = changed(config, run__checkpoint_every=1e-9)
    interrupt(3, often, pictures, tmp_path / "parts")
    interrupt(5, config, pictures, tmp_path / "parts", resume=True)  # leaves two steps unsaved
    assert [row["step"] for row in read_log(tmp_path / "parts")] == [1, 2, 3, 4, 5]
    resumed = train(config, pictures, tmp_path / "parts", resume=True, quiet=True)
    assert same_weights(whole, resumed)
    assert same_weights(whole.with_name("state.safetensors"), resumed.with_name("state.safetensors"))
    rows = read_log(tmp_path / "parts")
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    seconds = [row["seconds"] for row in rows]
    assert seconds == sorted(seconds)


def test_more_steps_before_the_decay_are_the_longer_run(pictures: Path, config: Config, tmp_path: Path) -> None:
    longer = changed(config, optim__steps=8, run__log_every=2, run__sample_every=5)
    whole = train(longer, pictures, tmp_path / "whole", quiet=True)
    # The rate of 6 steps falls from step 3 on, that of 8 from step 4.
    interrupt(3, changed(config, run__checkpoint_every=1e-9), pictures, tmp_path / "parts")
    assert same_weights(whole, train(longer, pictures, tmp_path / "parts", resume=True, quiet=True))
    with pytest.raises(BadInput, match=r"optim.steps is 6, but the run in .* has done 8; raise it"):
        train(config, pictures, tmp_path / "parts", resume=True, quiet=True)


def test_an_existing_run_is_not_overwritten(pictures: Path, config: Config, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "state.safetensors").write_bytes(b"old")
    with pytest.raises(BadInput, match="--resume or choose another --out"):
        train(config, pictures, tmp_path / "run", quiet=True)
    assert (tmp_path / "run" / "state.safetensors").read_bytes() == b"old"


def test_resume_refuses_another_run(pictures: Path, config: Config, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(BadInput, match=r"run holds no state.safetensors; check --out"):
        train(config, pictures, out, resume=True, quiet=True)
    assert not out.exists()
    once = changed(config, optim__steps=1)
    train(once, pictures, out, quiet=True)
    for other, words in {
        "model__widths": ((8, 24), r"model.widths is \[8, 24\], .*began with \[8, 16\]"),
        "run__seed": (1, "run.seed is 1, .*began with 0"),
        "optim__batch": (8, "optim.batch is 8, .*began with 4"),
        "data__crop": (8, "data.crop is 8, .*began with 16"),
        "name": ("x", "name is 'x', .*began with 'tiny'"),
    }.items():
        with pytest.raises(BadInput, match=words[1]):
            train(changed(once, **{other: words[0]}), pictures, out, resume=True, quiet=True)
    kept = weights(out / "state.safetensors")
    kept.pop(next(k for k in kept if k.startswith("net.")))
    with safe_open(out / "state.safetensors", framework="pt") as f:
        header = f.metadata()
    for tensors, about, words in ((kept, header, "another version"), (kept, {}, "is not the state of a run")):
        save_file(tensors, out / "state.safetensors", metadata=about)
        with pytest.raises(BadInput, match=words):
            train(once, pictures, out, resume=True, quiet=True)


def test_any_change_of_the_source_is_noticed(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, decoded = decoding._decode, []
    monkeypatch.setattr(decoding, "_decode", lambda source, *rest: decoded.append(source) or plain(source, *rest))
    place, time = tmp_path / "place", (pictures / "a.png").stat().st_mtime_ns
    changes = {
        "nothing before": lambda: pictures,
        "place": lambda: Path(shutil.copytree(pictures, place)),  # names, sizes and times are copied
        "size": lambda: (place / "a.png").open("ab").write(b"x") and os.utime(place / "a.png", ns=(0, time)),
        "time": lambda: os.utime(place / "a.png", ns=(0, time - 1)),
        "name": lambda: (place / "a.png").rename(place / "aa.png"),
    }
    for change in changes.values():
        change()
        source, before = (place if place.exists() else pictures), len(decoded)
        for _ in range(2):  # the second time it is as it was
            Pictures.open(source, tmp_path / "cache")
        assert len(decoded) == before + 1


def test_the_cache_follows_the_pictures(pictures: Path, config: Config, tmp_path: Path) -> None:
    out, other = tmp_path / "run", tmp_path / "other"
    shutil.copytree(pictures, other)  # the same names, sizes and times: only the pixels will differ
    for path in (p for p in other.rglob("*.*") if p.suffix != ".txt"):
        iio.imwrite(path, iio.imread(path)[::-1])
        os.utime(path, ns=(0, (pictures / path.relative_to(other)).stat().st_mtime_ns))
    interrupt(1, config, pictures, out)
    first = Pictures.cached(out / "cache")
    train(config, other, out, quiet=True)  # no checkpoint yet, so no run to overwrite
    second = Pictures.cached(out / "cache")
    assert np.array_equal(second[0], first[0][::-1])
    assert [row["step"] for row in read_log(out)] == [1, 2, 3, 4, 5, 6]
    longer = changed(config, optim__steps=7)
    with pytest.raises(BadInput, match=f"{re.escape(str(pictures))}: other pictures than the run began with"):
        train(longer, pictures, out, resume=True, quiet=True)
    assert Pictures.cached(out / "cache").fingerprint == second.fingerprint
    assert sorted(p.name for p in (out / "cache").iterdir()) == ["pictures.json", "pictures.u8"]
    moved = other.rename(tmp_path / "moved")  # the same pictures at another place
    train(longer, moved, out, resume=True, quiet=True)
    assert Header.read(out / "state.safetensors").step == 7
    (moved / "a.png").unlink()
    assert len(Pictures.open(moved, out / "cache")) == 5


def test_the_loss_falls(pictures: Path, config: Config, tmp_path: Path) -> None:
    train(changed(config, optim__steps=45, optim__batch=8, optim__lr=0.004), pictures, tmp_path / "run", quiet=True)
    losses = [row["loss"] for row in read_log(tmp_path / "run")]
    # An untrained network predicts 0, so the loss starts at 1 by construction; smooth waves are learnt at once.
    assert np.mean(losses[:3]) > 0.6
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:3])  # single batches of 8 vary by 0.1


def test_two_processes_train_what_one_does(pictures: Path, config: Config, tmp_path: Path) -> None:
    alone = train(changed(config, optim__steps=3), pictures, tmp_path / "one", quiet=True)
    code = (
        "import sys; from pathlib import Path; from restorekit.training.config import read_config;"
        "from restorekit.training.loop import train; config, *paths = map(Path, sys.argv[1:]);"
        "path = train(read_config(config, **{'optim.steps': 3}), *paths, quiet=True);"  # colour, colour, grey
        "assert path.exists()"  # in both processes, of which only the first writes it
    )
    (tmp_path / "worker.py").write_text(code)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = [tmp_path / "worker.py", tmp_path / "tiny.yaml", pictures, tmp_path / "two"]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert read_spec(tmp_path / "two" / "prior.safetensors").training["world"] == 2
    first, second = (weights(p / "state.safetensors") for p in (alone.parent, tmp_path / "two"))
    assert first.keys() == second.keys()
    for k in first:
        # The mean of two means sums in another order; Adam's first steps divide gradients near 0 by their own size,
        # so a rounding of 1e-7 may grow to a small share of a step of lr = 0.002.
        torch.testing.assert_close(second[k], first[k], rtol=1e-4, atol=1e-5, msg=lambda m, k=k: f"{k}: {m}")
