"""The commands of docs/training.md: those as published fit their configurations, and the small ones run, one after another."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
import yaml

from restorekit.cli.main import run
from restorekit.priors.cascade import Stages
from restorekit.priors.find import load_codec, load_prior, shipped
from restorekit.priors.formats.checkpoint import load
from restorekit.training.config import FFTDModel, config_for, read_config

ROOT = Path(__file__).parents[2]
LAUNCHER = "torchrun --nproc-per-node 8 -m restorekit"
NAMES = ["mamba-256-low", "mamba-256", "mamba-512-low", "mamba-512", "codec-f8", "fftd-f8"]


def commands(title: str) -> list[str]:
    """The lines of the block that begins with `# title`."""
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    block = re.findall(rf"^```sh\n# {title}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(block) == 1
    return [line for line in block[0].replace("\\\n", " ").splitlines() if line]


def given(command: str, option: str) -> list[str]:
    words = shlex.split(command)
    return [words[i + 1] for i, word in enumerate(words) if word == option]


def settings(command: str) -> dict[str, str]:
    return dict(item.split("=", 1) for item in given(command, "--set"))


def test_the_commands_of_the_shipped_priors_are_whole() -> None:
    """Every shipped prior is there, by its own configuration, and what a command begins with is written before."""
    written = dict[str, str]()
    for line in commands("the shipped priors"):
        path = ROOT / given(line, "--config")[0]
        config = config_for(shlex.split(line)[2], path, {})
        needed = {config.cascade.low} if config.cascade else set()
        needed |= {config.model.codec} if isinstance(config.model, FFTDModel) else set()
        needed |= {config.init} if config.init else set()
        assert needed <= set(written)
        assert settings(line) == {}
        written[f"{given(line, '--out')[0]}/prior.safetensors"] = config.name
    assert set(shipped()) <= set(written.values())


def test_the_published_commands_are_whole() -> None:
    """Each has its configuration, the batch parts among the processes, and what it begins with is written before."""
    found = commands("as published")
    assert [Path(given(line, "--config")[0]).stem for line in found] == NAMES
    written: set[str] = set()
    for line in found:
        assert line.startswith(f"{LAUNCHER} train ")
        assert settings(line) == {}
        path = ROOT / given(line, "--config")[0]
        config = config_for(shlex.split(line.partition(" train ")[2])[0], path, {})
        assert config.optim.batch % 8 == 0
        needed = {config.cascade.low} if config.cascade else set()
        needed |= {config.model.codec} if isinstance(config.model, FFTDModel) else set()
        assert needed <= written
        written.add(f"{given(line, '--out')[0]}/prior.safetensors")
        quoted = re.findall(r"^# (torchrun .*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert quoted in ([], [line])


@pytest.mark.parametrize("name", NAMES)
def test_a_configuration_says_where_it_departs_from_its_paper(name: str) -> None:
    path = ROOT / "configs" / f"{name}.yaml"
    comment = " ".join(line[1:].strip() for line in path.read_text(encoding="utf-8").splitlines() if line[0] == "#")
    _, found, departures = comment.partition("It departs from its paper in ")
    assert found
    for setting in re.findall(r"`(\w+): ({.*?})`", departures):  # what would take one back is a setting
        section, values = setting[0], yaml.safe_load(setting[1])
        config = read_config(path, **{f"{section}.{key}": value for key, value in values.items()})
        assert {key: getattr(getattr(config, section), key) for key in values} == values
    config = read_config(path)
    if config.cascade:
        assert ("with n = 2" in departures) == (config.noise.resample == 2)
        assert f"patch {config.model.patch}, where 2 is printed" in " ".join(departures.split())  # type: ignore[union-attr]


def test_the_small_commands_are_the_published_ones() -> None:
    """They change the size of the network and of the run, and where files are; what is said to be as configured, is."""
    small = [line for line in commands("to see that it runs") if " train " in line]
    for line, whole in zip(small, commands("as published"), strict=True):
        assert line.split(" --data ")[0] == whole.replace(LAUNCHER, "restorekit").split(" --data ")[0]
        sizes = {f"model.{key}" for key in ("width", "depth", "head", "heads", "embed", "blocks", "codes")}
        assert settings(line).keys() <= sizes | {
            "optim.batch", "optim.steps", "run.compile", "cascade.low", "model.codec"
        }  # fmt: skip


@pytest.mark.parametrize("part", ["256", *(pytest.param(part, marks=pytest.mark.slow) for part in ("512", "f8"))])
def test_the_small_commands_run(part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    rng = np.random.default_rng(0)
    for kind in ("cat", "dog"):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        iio.imwrite(tmp_path / "photos" / kind / "1.png", rng.integers(0, 256, (512, 512, 3), np.uint8))
    lines = commands("to see that it runs")
    assert all(re.search("try-(256|512|codec-f8|fftd-f8)", line) for line in lines)
    for line in lines:
        if not re.search(rf"try-(\w+-)?{part}\b", line):
            continue
        words = shlex.split(line)
        assert words[0] == "restorekit"
        with pytest.raises(SystemExit) as stop:
            run(words[1:])
        assert stop.value.code == 0, line
        for out in given(line, "--out"):
            assert (tmp_path / out / "prior.safetensors").is_file() or (tmp_path / out).suffix == ".png"
    if part == "f8":
        codec = load_codec(str(tmp_path / "runs" / "try-codec-f8" / "prior.safetensors"))
        latents = load_prior(str(tmp_path / "runs" / "try-fftd-f8" / "prior.safetensors"))
        assert (codec.net.config.factor, codec.net.config.side) == (8, 256)
        z = codec.encode(torch.rand(1, 3, 256, 256))
        assert z.shape == (1, 4, 32, 32)
        assert latents.denoise(z, 0.5).shape == z.shape  # type: ignore[union-attr]
        return
    side = int(part)
    if side == 256:
        assert iio.imread(tmp_path / "try.png").shape == (256, 256, 3)
    path = tmp_path / "runs" / f"try-{side}" / "prior.safetensors"
    net, spec = load(path)
    assert isinstance(net, Stages)
    assert (net.high.config.side, net.low.config.side) == (side, side // 4)
    assert spec.training["classes"] == ["cat", "dog"]
    low = load(tmp_path / "runs" / f"try-{side}-low" / "prior.safetensors")[0].state_dict()
    assert all(torch.equal(v, low[k]) for k, v in net.low.state_dict().items())
    denoised = load_prior(str(path), label=1)(torch.rand(1, 3, side, side), 0.5)
    assert bool(denoised.isfinite().all())
