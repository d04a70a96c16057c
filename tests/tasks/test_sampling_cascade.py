"""Samples of a cascade: a picture of the low stage, enlarged, and the high stage from a small noise on (Li et al. 2025, eq 9)."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from restorekit.inference.rng import low_stage_seed, streams
from restorekit.inference.schedule import below
from restorekit.priors.cascade import Cascade, CascadeConfig, Stages, down, up
from restorekit.priors.find import load_prior
from restorekit.priors.formats import checkpoint
from restorekit.priors.formats.checkpoint import PriorSpec
from restorekit.priors.wrappers import GuidedByClass
from restorekit.tasks import sample as sampling
from restorekit.tasks.sample import Sampling, draw, levels, sampler_of, trained_side
from tests.cli.test_cli import go
from tests.priors.test_pisdm import SMALL, random_net

CONFIG = CascadeConfig(
    replace(SMALL, side=16, classes=2),
    replace(SMALL, side=16, classes=2),
    2,
    0.2,
    0.5,
    low_sigma_data=0.3,
    low_mean=0.4,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    arch = {"kind": "cascade", **asdict(CONFIG)}
    arch |= {k: {"kind": "pisdm", **arch[k]} for k in ("low", "high")}
    net = Stages(CONFIG)
    net.low.load_state_dict(random_net(CONFIG.low).state_dict())
    net.high.load_state_dict(random_net(CONFIG.high).state_dict())
    checkpoint.save(tmp_path / "two.safetensors", net.state_dict(), PriorSpec("two", arch, 0.25, 0.5))
    return tmp_path / "two.safetensors"


@pytest.mark.parametrize("guidance", [None, 2.0])
def test_the_low_stage_draws_first_and_the_high_stage_goes_on_from_the_relay(
    path: Path, guidance: float | None
) -> None:
    label = None if guidance is None else 1
    made = Sampling(
        prior=str(path), n=2, steps=9, size=(11, 14), seed=3, precision="fp32", label=label, guidance=guidance
    )
    seen: list[tuple[int, int]] = []
    found = made(lambda *c: seen.append(c))
    ours = [load_prior(str(path), precision="fp32", label=k) for k in {label, None}]
    mine = next(p for p, k in zip(ours, {label, None}) if k == label)
    assert mine.cascade is not None
    low, high = mine.cascade.low, mine
    if guidance is not None:
        plain = next(p for p, k in zip(ours, {label, None}) if k is None)
        assert plain.cascade is not None
        low, high = GuidedByClass(low, plain.cascade.low, guidance), GuidedByClass(mine, plain, guidance)
    spec = mine.spec
    assert isinstance(spec, PriorSpec)
    sigmas = levels(replace(spec, sigma_data=0.3, sigma_max=spec.sigma_max / 2), 6, 7, 9)
    assert found.settings["low_sigmas"] == sigmas
    coarse = draw(low, sampler_of("dpm++"), sigmas, (3, 6, 7), 2, mean=0.4, seed=low_stage_seed(3), batch=2)
    sigmas = below(levels(spec, 11, 14, 9), 0.2)
    assert found.settings["sigmas"] == sigmas
    assert 2 < len(sigmas) < 10
    begin = up(coarse, 2)[..., :11, :14]
    expected = draw(high, sampler_of("dpm++"), sigmas, (3, 11, 14), 2, seed=3, batch=2, begin=begin)
    torch.testing.assert_close(found.pictures, expected)
    calls = 1 if guidance is None else 2
    assert (found.nfe, found.settings["low_nfe"]) == (calls * (len(sigmas) - 1), calls * 9)
    assert seen == [(i, found.nfe + calls * 9) for i in range(calls, found.nfe + calls * 9 + 1, calls)]


def test_without_the_relay_the_one_denoiser_begins_with_noise(path: Path) -> None:
    made = Sampling(prior=str(path), n=1, steps=5, size=(12, 12), precision="fp32", relay=False)
    found, prior = made(), load_prior(str(path), precision="fp32")
    expected = draw(prior, sampler_of("dpm++"), found.settings["sigmas"], (3, 12, 12), 1, mean=0.5)
    torch.testing.assert_close(found.pictures, expected)
    assert (found.nfe, "low_nfe" in found.settings) == (5, False)


def test_eq_9_begins_with_the_enlarged_picture_and_noise_of_the_relay() -> None:
    states: list[Tensor] = []
    begin = torch.rand(3, 1, 4, 6, generator=torch.Generator().manual_seed(0))

    def watched(x: Tensor, sigma: float | Tensor, /) -> Tensor:
        states.append(x)
        return x

    draw(watched, sampler_of("ddim"), [0.3, 0.0], (1, 4, 6), 3, seed=7, batch=2, begin=begin)
    noise = torch.cat([streams(7, i, 1).normal(torch.zeros(1, 1, 4, 6)) for i in range(3)])
    torch.testing.assert_close(torch.cat(states), begin + 0.3 * noise)


def test_exact_stages_give_the_law_of_the_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures that are constant over blocks, whose means are N(0.5, 0.2^2): both stages know E[x0 | x]."""

    def low(x: Tensor, sigma: float | Tensor, /) -> Tensor:
        s = torch.as_tensor(sigma, dtype=x.dtype).view(-1, 1, 1, 1) ** 2
        return (0.5 * s + 0.2**2 * x) / (s + 0.2**2)

    def high(x: Tensor, sigma: float | Tensor, /) -> Tensor:
        return up(low(down(x, 2), torch.as_tensor(sigma) / 2), 2)

    config = asdict(replace(CONFIG, low_sigma_data=0.2, low_mean=0.5))
    arch = {"kind": "cascade", **config} | {k: {"kind": "pisdm", **config[k]} for k in ("low", "high")}
    known = PriorSpec("known", arch, 0.2)

    class Known:
        cascade, spec = Cascade(low, high, 0.2, 2), known

        def for_bands(self, bands: int) -> Cascade:
            return self.cascade

    monkeypatch.setattr(sampling, "load_prior", lambda name, **rest: Known())
    x = Sampling(prior="known", n=200, steps=60, size=(8, 8), solver="sde")().pictures
    blocks = down(x, 2)
    torch.testing.assert_close(x, up(blocks, 2), rtol=0, atol=5e-3)  # the last level is sigma_data / 30
    # 9,600 independent blocks: the mean is known to 0.002, the deviation to 0.7 %; the grid takes 2 % more.
    assert float(blocks.mean()) == pytest.approx(0.5, abs=5 * 0.2 / 9600**0.5)
    assert float(blocks.std()) == pytest.approx(0.2, rel=0.05)


def test_the_size_is_that_the_stages_were_trained_for(path: Path) -> None:
    assert Sampling(prior=str(path)).shape == (3, 32, 32)
    assert trained_side(load_prior("mamba-cascade").spec) == 128


def test_the_command_says_what_both_stages_cost(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("sample", path, "--n", 1, "--steps", 6, "--size", "8", "--out", tmp_path / "g.png")
    go(*words)
    record = json.loads((tmp_path / "g.png.json").read_text())
    said = f"{record['nfe']} network calls each and 6 of the low stage, "
    assert said in capsys.readouterr().out
    assert (record["relay"], record["low_nfe"]) == (0.2, 6)
    go(*words, "--no-relay")
    assert "8x8, 6 network calls each, " in capsys.readouterr().out
