"""The parts of training that need no pictures: configuration, schedule, state."""

from __future__ import annotations

import os
import re
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from torch import nn

from restorekit.errors import BadInput
from restorekit.priors.formats import checkpoint
from restorekit.priors.networks.fftd import FFTD, FFTDConfig
from restorekit.priors.networks.ivqvae import CodecConfig, CodecNet
from restorekit.priors.networks.pisdm import PISDM, PISDMConfig
from restorekit.priors.networks.unet import UNet, UNetConfig
from restorekit.priors.precond import VPTable
from restorekit.training.config import Config, Data, NoiseLevels, read_config
from restorekit.training.data.cache import Pictures
from restorekit.training.data.patches import Patches, resampled
from restorekit.training.loop import _begin, decaying, learning_rate
from restorekit.training.objectives.adversary import Discriminator
from restorekit.training.objectives.denoising import DenoiserObjective, is_grey
from restorekit.training.objectives.infomax import Critic
from restorekit.training.objectives.objective import Objective
from restorekit.training.state import State


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("optim: {learning_rate: 1}", ["optim.learning_rate", "lr", "warmup"]),
        ("modle: {}", ["modle", "model", "optim"]),
        ("optim: {batch: 0}", ["optim.batch"]),
        ("model: {patch: 3}", ["model.patch"]),
        ("- a list", ["list"]),
        ("model: [1", ["not YAML"]),
        ("data: {crop: 15}", ["data.crop=15", "multiple of 8", "as 16"]),
        ("{data: {crop: 8}, model: {patch: 4}}", ["data.crop=8", "as 32"]),
        ("model: {bands: [4]}", ["model.bands", "[1, 3]"]),
        ("model: {bands: []}", ["model.bands", "[1, 3]"]),
        ("model: {widths: []}", ["model: widths=[]", "positive"]),
        ("model: {widths: [8, 0]}", ["model: widths=[8, 0]", "positive"]),
        ("model: {widths: [8, 16], blocks: [1, 2, 3]}", ["blocks=[1, 2, 3]", "one for each"]),
        ("model: {blocks: 0}", ["model: blocks=0", "positive"]),
        ("model: {middle: -1}", ["model: middle=-1", "at least 0"]),
        ("model: {kind: pisdm, classes: 3}", ["model: classes=3", "leave it out"]),
        ("model: {kind: codec, mean: [0]}", ["model: mean=[0]", "leave it out"]),
        ("model: {block: odd}", ["model.block", "normed"]),
        ("data: {zoom: 0.5}", ["data.zoom"]),
        ("noise: {sigma_min: 2, sigma_max: 1}", ["noise", "sigma_min=2", "below sigma_max=1"]),
        ("noise: {sigma_max: .inf}", ["noise.sigma_max", "finite"]),
        ("data: {grey_every: 0}", ["data.grey_every=0", "grey", "model.bands=[3]"]),
        ("data: {grey_every: 1}", ["data.grey_every=1", "colour", "model.bands=[1]"]),
        ("run: {seed: -1}", ["run.seed"]),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_line(text: str, words: list[str], tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(BadInput) as caught:
        read_config(tmp_path / "c.yaml")
    assert "\n" not in str(caught.value)
    assert [word for word in ["c.yaml", *words] if word not in str(caught.value)] == []


def test_overrides_win_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("optim: {steps: 5}\n")
    found = read_config(tmp_path / "c.yaml", **{"optim.steps": 7, "name": "other", "run.seed": 3})
    assert (found.optim.steps, found.name, found.run.seed) == (7, "other", 3)
    (tmp_path / "c.yaml").write_text("optim:\nmodel: 5\n")
    with pytest.raises(BadInput, match=r"model is 5, so model\.patch cannot be set"):
        read_config(tmp_path / "c.yaml", **{"optim.steps": 7, "model.patch": 2})


def test_batches_have_the_bands_of_the_network() -> None:
    for bands, every, grey in (([1], 0, 4), ([3], 2, 0), ([1, 3], 2, 2), ([3, 1], 4, 1)):
        config = Config.model_validate({"model": {"bands": bands}, "data": {"grey_every": every}})
        assert sum(is_grey(config, step) for step in range(4)) == grey


def test_the_learning_rate_warms_up_holds_and_falls() -> None:
    config = Config.model_validate({"optim": {"steps": 100, "warmup": 10, "decay_from": 0.5, "lr": 1.0}})
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[:10] == pytest.approx([i / 10 for i in range(1, 11)])
    assert set(rates[10:50]) == {1.0}
    assert rates[50:] == pytest.approx([(100 - i) / 50 for i in range(50, 100)])


class Line(DenoiserObjective):
    """An objective of one layer."""

    def __init__(self, device: str = "cpu"):
        Objective.__init__(self)
        self.net = nn.Linear(2, 2, device=device)  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("net", "kept"),
    [
        (
            PISDM(PISDMConfig(width=16, depth=3, head=8, detail=(8,), classes=2)),
            r"ends|classes\.weight|blocks\.\d\.table",
        ),
        (FFTD(FFTDConfig(width=16, heads=2, classes=2)), r"classes\.weight|blocks\.\d\.table"),
        (CodecNet(CodecConfig(width=8, codes=8)), "none, for the code book is a buffer"),
        (UNet(UNetConfig(widths=(8, 16))), "none"),
        (Critic(8, 8), "none"),
        (Discriminator((1, 3), 4), "none"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_only_weights_of_layers_decay(net: nn.Module, kept: str) -> None:
    sizes = {name: p.ndim for name, p in net.named_parameters()}
    found = {name for name, ndim in sizes.items() if ndim > 1} - decaying(net)
    assert {name for name in sizes if re.fullmatch(kept, name)} == found
    assert all(sizes[name] > 1 for name in decaying(net))
    whole = Line()
    whole.net = net  # type: ignore[assignment]
    groups = _begin(Config.model_validate({"optim": {"weight_decay": 0.1}}), whole, torch.device("cpu")).optimizer
    weight = {id(p): group["weight_decay"] for group in groups.param_groups for p in group["params"]}
    assert {name: weight[id(p)] for name, p in net.named_parameters()} == {
        name: 0.1 if name in decaying(net) else 0.0 for name in sizes
    }


def test_the_step_count_of_the_optimiser_goes_to_the_device_of_the_weights(tmp_path: Path) -> None:
    net = Line()
    optimizer = torch.optim.AdamW(net.parameters(), fused=True)
    net.net(torch.ones(1, 2)).sum().backward()  # type: ignore[call-arg]
    optimizer.step()
    State(net, {}, optimizer, 1, 2.5).save(tmp_path / "state.safetensors", Config(), "")
    (tmp_path / "other").touch()  # open to whom the umask leaves it
    assert (tmp_path / "state.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode
    away = Line("meta")  # stands for a GPU: fused Adam on CUDA refuses a step count on the CPU
    state = State(away, {}, torch.optim.AdamW(away.parameters()))
    with pytest.warns(UserWarning, match="no-op"):  # nothing is copied into a meta tensor
        state.load(tmp_path / "state.safetensors")
    assert (state.step, state.seconds) == (1, 2.5)
    found = [v.device.type for p in away.parameters() for v in state.optimizer.state[p].values()]
    assert found == ["meta"] * 6


@pytest.mark.skipif(os.name == "nt", reason="no umask")
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_checkpoint_is_open_to_whom_the_umask_leaves_it(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        for _ in range(2):  # the second over the first, and over what a crash has left
            checkpoint.write(tmp_path / "a.safetensors", {"a": torch.zeros(1)}, {})
            (tmp_path / "a.safetensors.tmp").touch(0o600)
    finally:
        os.umask(before)
    assert (tmp_path / "a.safetensors").stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize("n", [1.0, 2.0, 3.0])
def test_resampled_times_have_the_law_of_eq_10(n: float) -> None:
    table, top = VPTable.linear(), 3.0
    last = float(table.time(torch.tensor(2 * top, dtype=torch.float64)))
    u = torch.linspace(0, 1, 20_001, dtype=torch.float64)
    sigmas = torch.tensor([resampled(float(v), n, 0.01, top) for v in u], dtype=torch.float64)
    assert bool((sigmas.diff() <= 0).all())  # t' falls with t
    assert (float(sigmas[0]), float(sigmas[-1])) == pytest.approx((top, 0.01))
    times = table.time(2 * sigmas)
    # Times below that of the least level are raised to it: few.
    assert float(times.mean()) == pytest.approx(last * n / (n + 1), rel=5e-3)
    assert float(times[u == 0.5]) == pytest.approx(last * (1 - 0.5**n), rel=1e-6)


def test_a_run_may_draw_its_levels_by_eq_10(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(3):
        iio.imwrite(tmp_path / f"{i}.png", rng.integers(0, 255, (20, 20, 3), np.uint8))
    pictures = Pictures.open(tmp_path, tmp_path / "cache")
    law = NoiseLevels(resample=2.0, sigma_min=0.01, sigma_max=3.0, wide=0.0)
    drawn = Patches(pictures, Data(crop=16), law, 0)
    found = drawn.batch(0, 300, False)[2].double()
    expected = torch.tensor([resampled(u, 2.0, 0.01, 3.0) for u in np.linspace(0, 1, 3001)[:-1]], dtype=torch.float64)
    assert float(found.log().mean()) == pytest.approx(
        float(expected.log().mean()), abs=5 * float(expected.log().std()) / 300**0.5
    )
    usual = Patches(pictures, Data(crop=16), NoiseLevels(sigma_max=3.0, wide=0.0), 0).batch(0, 300, False)[2]
    assert float(found.median()) > 2 * float(usual.median())
