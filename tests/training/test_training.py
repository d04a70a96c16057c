"""Runs of a denoiser: what they leave, how they are resumed, and several processes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
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
from restorekit.priors.find import load_prior
from restorekit.priors.formats.checkpoint import build, read_spec
from restorekit.priors.networks.unet import UNet
from restorekit.training.config import Config, read_config
from restorekit.training.data.cache import Pictures
from restorekit.training.data.patches import Patches
from restorekit.training.loop import train
from restorekit.training.objectives import denoising
from restorekit.training.state import Header
from restorekit.training.watch import RunMonitor
from tests.support.training_runs import TINY, changed, interrupt, mixed_pictures, read_log, same_weights, weights


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return mixed_pictures(tmp_path / "pictures")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "tiny.yaml").write_text(TINY)
    return read_config(tmp_path / "tiny.yaml")


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
    monkeypatch.setattr(denoising, "Patches", lambda *fields: made.append(fields) or Patches(*fields))
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
    with RunMonitor(changed(config, run__log_every=2), tmp_path, 3, 33.0, active=True, quiet=True) as watch:
        for step, elapsed in ((4, 4.0), (5, 1.0), (6, 1.0)):
            now[0] += elapsed
            watch.step(step, torch.tensor(float(step)), torch.tensor(2.0), 0.1)
    found = [[row[k] for k in ("step", "seconds", "loss", "images_per_s")] for row in read_log(tmp_path)]
    assert found == [[2, 20, 1, 1], [4, 37, 4, 1], [6, 39, 5.5, 4]]  # batches of 4 in 4 s, then two of them in 2 s


@pytest.mark.parametrize("settings", [{}, {"model__block": "gated", "data__by_area": True, "data__zoom": 1.5}])
def test_an_interrupted_run_resumes_bit_for_bit(
    settings: dict[str, Any], pictures: Path, config: Config, tmp_path: Path
) -> None:
    config = changed(config, **settings)
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
    with pytest.raises(BadInput, match="`resume` or choose another `out`"):
        train(config, pictures, tmp_path / "run", quiet=True)
    assert (tmp_path / "run" / "state.safetensors").read_bytes() == b"old"


def test_resume_refuses_another_run(pictures: Path, config: Config, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(BadInput, match=r"run holds no state.safetensors; check `out`"):
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


WAITING = """
import os, sys, time
from datetime import timedelta
from pathlib import Path
import torch.distributed as dist
from restorekit.training.config import read_config
from restorekit.training.loop import train
from restorekit.training.data.cache import Pictures

config, pictures, out, seconds = sys.argv[1:]
begin, plain = dist.init_process_group, Pictures.open

def hasty(*args):
    begin(*args)
    dist.distributed_c10d._set_pg_timeout(timedelta(seconds=20))  # many times a step, on a loaded machine too

def slow(*args):
    time.sleep(float(seconds))
    return plain(*args)

dist.init_process_group, Pictures.open = hasty, slow
try:
    train(read_config(Path(config), **{"optim.steps": 1}), Path(pictures), Path(out), quiet=True)
except ValueError as error:
    Path(f"{out}-{os.environ['RANK']}").write_text(str(error))
    sys.exit(1)
"""


@pytest.mark.parametrize("broken", [False, True])
def test_decoding_may_take_longer_than_a_step(broken: bool, pictures: Path, config: Config, tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(WAITING)
    source = tmp_path / "empty" if broken else pictures
    (tmp_path / "empty").mkdir()
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = [tmp_path / "worker.py", tmp_path / "tiny.yaml", source, tmp_path / "two", 0 if broken else 21]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode == 0) != broken, done.stderr[-2000:]
    assert (tmp_path / "two" / "prior.safetensors").exists() != broken
    if broken:  # the other process does not wait for the pictures of one that has ended
        assert "no pictures" in (tmp_path / "two-0").read_text()


FAILING = """
import os, sys
from pathlib import Path
from restorekit.errors import BadInput
from restorekit.training.config import read_config
from restorekit.training.loop import train

config, pictures, out = map(Path, sys.argv[1:])
try:
    train(read_config(config, **{"optim.lr": 1e30, "optim.warmup": 0}), pictures, out, quiet=True)
except BadInput as error:  # which is kept, with the frames that it came through
    names = [Path(f"/proc/self/task/{i}/comm").read_text().strip() for i in os.listdir("/proc/self/task")]
    Path(f"{out}-{os.environ['RANK']}").write_text(f"{error} {names}")
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads the threads of a process from /proc")
def test_a_run_that_fails_leaves_no_threads_of_gloo(pictures: Path, config: Config, tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(FAILING)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = [tmp_path / "worker.py", tmp_path / "tiny.yaml", pictures, tmp_path / "two"]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for rank in (0, 1):
        text = (tmp_path / f"two-{rank}").read_text()
        assert "diverged" in text
        assert "gloo" not in text


def test_two_processes_train_what_one_does(pictures: Path, config: Config, tmp_path: Path) -> None:
    alone = train(changed(config, optim__steps=3), pictures, tmp_path / "one", quiet=True)
    code = (
        "import sys; from pathlib import Path; from restorekit.training.config import read_config;"
        "from restorekit.training.loop import train; config, *paths = map(Path, sys.argv[1:]);"
        "path = train(read_config(config, **{'optim.steps': 3}), *paths, quiet=True);"  # colour, colour, grey
        "assert path.exists();"  # in both processes, of which only the first writes it
        "names = [p.read_text() for p in Path('/proc/self/task').glob('*/comm')];"  # none where there is no /proc
        "assert not any('gloo' in name for name in names), names"  # such a thread may abort the process as it ends
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
