"""Training of a cascade, its checkpoint, classes, and starting from another prior."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from restorekit.errors import BadInput
from restorekit.priors.cascade import Cascade, CascadeConfig, Stages, down, relay_level, up
from restorekit.priors.find import load_prior
from restorekit.priors.formats.checkpoint import load, read_spec, save
from restorekit.priors.networks.pisdm import PISDM
from restorekit.priors.wrappers import Padded
from restorekit.training import loop
from restorekit.training.config import Config, Data, NoiseLevels
from restorekit.training.data.cache import Pictures
from restorekit.training.data.classes import Labels
from restorekit.training.data.patches import Patches
from restorekit.training.loop import train
from restorekit.training.objectives.denoising import DenoiserObjective
from restorekit.training.objectives.infomax import scale_loss
from restorekit.training.objectives.relay import RelayObjective, _measured

MODEL = {"kind": "pisdm", "width": 16, "depth": 3, "head": 8, "state": 4, "embed": 16, "detail": [8], "side": 16}


def config(**sections: Any) -> Config:
    raw: dict[str, Any] = {
        "name": "tiny", "model": MODEL, "data": {"crop": 16, "grey_every": 3},
        "optim": {"batch": 4, "steps": 3, "warmup": 1}, "run": {"precision": "fp32", "sample_every": 2},
    }  # fmt: skip
    for name, section in sections.items():
        raw[name] = raw.get(name, {}) | section if isinstance(section, dict) else section
    return Config.model_validate(raw)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pictures")
    for kind in ("land", "sea"):
        (out / kind).mkdir()
    for i in range(6):
        h, w = np.indices((40, 48))
        wave = 127 + 100 * np.sin((0.2 + 0.1 * i) * h + 0.15 * w)
        iio.imwrite(out / ("land" if i % 2 else "sea") / f"{i}.png", wave[..., None].repeat(3, 2).astype(np.uint8))
    return out


@pytest.fixture(scope="module")
def low(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(config(data={"shrink": 2}), folder, tmp_path_factory.mktemp("low") / "run", quiet=True)


def pictures(folder: Path, tmp_path: Path) -> Pictures:
    return Pictures.open(folder, tmp_path / "cache")


def test_both_stages_lie_in_one_checkpoint_that_denoises(low: Path, folder: Path, tmp_path: Path) -> None:
    settings = config(cascade={"low": str(low), "factor": 2, "ramp": 0}, data={"crop": 16})
    path = train(settings, folder, tmp_path / "run", quiet=True)
    net, spec = load(path)
    assert isinstance(net, Stages)
    assert isinstance(spec.config, CascadeConfig)
    first, first_spec = load(low)
    assert all(torch.equal(v, net.low.state_dict()[k]) for k, v in first.state_dict().items())
    assert (spec.config.low_sigma_data, spec.config.low_mean) == (first_spec.sigma_data, first_spec.mean)
    assert (spec.bands, spec.config.top) == ((1, 3), spec.config.relay)
    assert spec.sigma_max == 2 * first_spec.sigma_max  # means over blocks of 2 x 2 halve the noise
    prior = load_prior(str(path), precision="fp32")
    assert isinstance(prior.network, Padded)
    cascade = prior.network.denoise
    assert isinstance(cascade, Cascade)
    x = torch.rand(2, 3, 21, 35, generator=torch.Generator().manual_seed(0))
    for sigma in (0.5 * spec.config.relay, 1.2 * spec.config.relay, 20.0):
        out = prior(x, sigma)
        assert out.shape == x.shape
        assert bool(torch.isfinite(out).all())
    even = x[..., :20, :34]  # far above the relay: the low stage alone, seen through its own checkpoint
    expected = up(load_prior(str(low), precision="fp32")(down(even, 2), 10.0), 2)
    torch.testing.assert_close(prior(even, 20.0), expected)


def test_a_cascade_resumes_bit_for_bit_and_keeps_no_critic(low: Path, folder: Path, tmp_path: Path) -> None:
    stage = {"low": str(low), "factor": 2}
    once = train(config(cascade=stage), folder, tmp_path / "once", quiet=True)
    cut = config(cascade=stage, optim={"steps": 2, "decay_from": 1})
    train(cut, folder, tmp_path / "twice", quiet=True)
    whole = config(cascade=stage, optim={"decay_from": 1})
    direct = train(whole, folder, tmp_path / "direct", quiet=True)
    resumed = train(whole, folder, tmp_path / "twice", resume=True, quiet=True)
    a, b = (load(p)[0].state_dict() for p in (direct, resumed))
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not [k for k in load(once)[0].state_dict() if "critic" in k]


def test_the_loss_is_that_of_the_denoiser_and_of_the_scales(low: Path, folder: Path, tmp_path: Path) -> None:
    torch.set_grad_enabled(True)
    settings = config(cascade={"low": str(low), "factor": 2, "ramp": 10, "kappa": 0.4, "relay": 0.2, "top": 0.3})
    objective = RelayObjective(settings, pictures(folder, tmp_path), "here")
    *batch, kappa = objective.batch(5, 0, 4)
    assert float(batch[2].max()) <= 0.45 * (1 + 1e-6)  # 1.5 top
    torch.testing.assert_close(kappa, torch.full((4,), 0.2))  # half of the ramp
    loss = objective(*batch, kappa)
    plain = DenoiserObjective.forward(objective, *batch)
    z, c_in, _ = objective.problem(*batch[:3])
    net, first = objective.net, load(low)[0]
    assert isinstance(net, PISDM)
    assert isinstance(first, PISDM)
    high = net.with_features(c_in * z, batch[2].log() / 4)[1]
    m, s = objective.low_spec.mean, objective.low_spec.sigma_data
    level = torch.full((4,), 0.02).log() / 4
    features = first.with_features((down(batch[0], 2) - m) / (0.02**2 + s**2) ** 0.5, level)[1]
    torch.testing.assert_close(loss, plain + 0.2 * scale_loss(objective.critic, features, high))
    loss.backward()
    assert all(p.grad is None for p in objective.beside[0].parameters())
    assert objective.critic.score[-1].weight.grad is not None  # type: ignore[union-attr]
    assert not [k for k in objective.state_dict() if k.startswith(("beside", "features"))]


def test_the_relay_is_measured_on_the_pictures(low: Path, folder: Path, tmp_path: Path) -> None:
    found = pictures(folder, tmp_path)
    objective = RelayObjective(config(cascade={"low": str(low), "factor": 2, "kappa": 0}), found, "here")
    middles = [torch.from_numpy(found[i][12:28, 16:32].copy()).permute(2, 0, 1) / 255 for i in range(len(found))]
    assert objective.relay == pytest.approx(relay_level(torch.stack(middles), 2), rel=5e-3)
    few = torch.stack([middles[0], middles[3]])  # of six: evenly spread, not all of the first folder
    assert _measured(found, config(cascade={"low": str(low)}), 2, n=2) == pytest.approx(relay_level(few, 2), rel=5e-3)
    again = RelayObjective(config(cascade={"low": str(low), "factor": 2, "kappa": 0}), found, "here", {"relay": 0.3})
    assert (again.relay, again.patches.noise.sigma_max) == (0.3, pytest.approx(0.45))  # what the run began with
    assert objective.measured == again.measured | {"relay": objective.relay}


def test_the_grid_asks_each_stage_for_levels_that_it_knows(
    low: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = {"low": str(low), "factor": 2, "kappa": 0, "relay": 0.2, "top": 0.3}
    objective = RelayObjective(config(cascade=stage), pictures(folder, tmp_path), "here")
    asked: dict[int, list[float]] = {8: [], 16: []}
    plain = PISDM.forward

    def seen(self: PISDM, x: torch.Tensor, c_noise: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        asked[x.shape[-1]].append(float((4 * c_noise).exp().max()))
        return plain(self, x, c_noise, *rest)

    monkeypatch.setattr(PISDM, "forward", seen)
    objective.grid(tmp_path / "samples" / "1.png", objective.kept.state_dict())
    assert max(asked[16]) <= 0.45 * (1 + 1e-5)  # 1.5 top
    assert max(asked[8]) == pytest.approx(5.0, rel=1e-5)  # 10, of means over blocks of 2 x 2
    assert iio.imread(tmp_path / "samples" / "1.png").shape == (6 * 16, 8 * 16, 3)


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ({"low": "nowhere.safetensors"}, "cascade.low: nowhere.safetensors is not a readable"),
        ({"low": "natural"}, "cascade.low"),
        ({"low": "LOW", "relay": 0.3, "top": 0.2}, "cascade.top=0.2 must be cascade.relay=0.3 or more"),
    ],
)
def test_stages_that_cannot_be(stage: dict[str, Any], words: str, low: Path, folder: Path, tmp_path: Path) -> None:
    stage = {k: str(low) if v == "LOW" else v for k, v in stage.items()}
    with pytest.raises(BadInput, match=words):
        RelayObjective(config(cascade=stage), pictures(folder, tmp_path), "here")


def test_stages_that_do_not_fit_each_other(low: Path, folder: Path, tmp_path: Path) -> None:
    found, stage = pictures(folder, tmp_path), {"low": str(low), "relay": 0.3}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"cascade": stage | {"factor": 4}}, r"shrink=2, but cascade.factor=4 times data.shrink=1 is 4; set cascade.f"),
        ({"cascade": stage | {"factor": 2}, "data": {"shrink": 2}}, "shrink=2, .*data.shrink=2 is 4"),
        ({"cascade": stage, "data": {"labels": "folder"}}, r"other classes .* none and not 2 \(land, sea\); give both"),
    ]
    for sections, words in wrong:
        with pytest.raises(BadInput, match=words) as error:
            RelayObjective(config(**sections), found, "here")
        assert "\n" not in str(error.value)
    net, spec = load(low)
    for training, words in (({}, ""), ({"classes": ["land", "lake"]}, r"2 \(land, lake\) and not 2 \(land, sea\)")):
        other = tmp_path / "other.safetensors"  # of an older version, whose header says nothing of shrink
        save(other, net.state_dict(), replace(spec, training=training))
        labels = {"labels": "folder"} if words else {}
        with pytest.raises(BadInput, match=words) if words else nullcontext():
            RelayObjective(config(cascade={"low": str(other), "factor": 4, "relay": 0.3}, data=labels), found, "here")


def test_each_process_must_have_pictures_to_compare(
    low: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "processes", lambda: nullcontext(loop.Process(0, 4, torch.device("cpu"))))
    with pytest.raises(
        BadInput, match=r"optim.batch=4 leaves each of the 4 one; use optim.batch=8 or more, fewer"
    ) as error:
        train(config(cascade={"low": str(low)}), folder, tmp_path / "run", quiet=True)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()
    for kappa, batch in ((0.0, 4), (0.4, 8)):
        loop._refuse_share(config(cascade={"low": str(low), "kappa": kappa}, optim={"batch": batch}), 4)


def test_pictures_are_shrunk_by_block_means(folder: Path, tmp_path: Path) -> None:
    found = pictures(folder, tmp_path)
    law = NoiseLevels()
    large = Patches(found, Data(crop=32, flips=False), law, 0).item(3, False)[0]
    small = Patches(found, Data(crop=16, shrink=2, flips=False), law, 0).item(3, False)[0]
    torch.testing.assert_close(torch.from_numpy(small), down(torch.from_numpy(large)[None], 2)[0])
    with pytest.raises(BadInput, match="crop"):
        DenoiserObjective(config(data={"shrink": 3}), found, "here")


def test_classes_come_from_folders_or_a_table(folder: Path, tmp_path: Path) -> None:
    found = pictures(folder, tmp_path)
    labels = Labels.of(found.names, "folder")
    assert labels is not None
    assert labels.classes == ("land", "sea")
    assert labels.numbers.tolist() == [0 if n.startswith("land") else 1 for n in found.names]
    table = tmp_path / "table.json"
    table.write_text(json.dumps({n: "even" if int(n[-5]) % 2 == 0 else "odd" for n in found.names}))
    by_table = Labels.of(found.names, str(table))
    assert by_table is not None
    assert by_table.classes == ("even", "odd")
    assert Labels.of(found.names, "") is None
    table.write_text("{}")
    with pytest.raises(BadInput, match=r"6 of 6 pictures have no class, such as land/1\.png"):
        Labels.of(found.names, str(table))
    with pytest.raises(BadInput, match="cannot be read"):
        Labels.of(found.names, str(tmp_path / "nothing.json"))


def test_a_network_with_classes_is_trained_with_some_left_out(folder: Path, tmp_path: Path) -> None:
    found = pictures(folder, tmp_path)
    objective = DenoiserObjective(config(data={"labels": "folder", "label_drop": 0.25}), found, "here")
    seen = torch.cat([objective.batch(step, 0, 4)[3] for step in range(100)])
    assert set(seen.tolist()) == {-1, 0, 1}
    assert abs(float((seen == -1).float().mean()) - 0.25) < 0.08  # 3.7 standard deviations
    settings = config(data={"labels": "folder"}, optim={"steps": 6})
    path = train(settings, folder, tmp_path / "run", quiet=True)
    assert read_spec(path).training["classes"] == ["land", "sea"]
    x = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    answers = torch.cat([load_prior(str(path), precision="fp32", label=k)(x, 0.3) for k in (None, 0, 1)])
    assert answers.shape == (3, 3, 16, 16)
    assert float(torch.pdist(answers.flatten(1), p=torch.inf).min()) > 1e-5  # a float32 is off by 1e-7
    begun, trained = (
        DenoiserObjective(c, found, "here") for c in (settings, settings.model_copy(update={"init": str(path)}))
    )
    first, classes = (dict(it.net.named_parameters())["classes.weight"] for it in (begun, trained))
    assert (
        float((classes - first).detach().abs().amax(1).min()) > 1e-4
    )  # each of the three was met; fp16 rounds 0.05 by 2e-5
    for label, row in ((0, 0), (1, 1), (-1, 2)):
        classes.grad = None
        trained(*trained.batch(0, 0, 4)[:3], torch.full((4,), label)).backward()
        assert classes.grad is not None
        assert classes.grad.abs().amax(1).nonzero().flatten().tolist() == [row]
    with pytest.raises(BadInput, match="label"):
        load_prior(str(path), label=2)
    with pytest.raises(ValueError, match=r"data\.labels needs a network that knows classes"):
        Config.model_validate({"data": {"labels": "folder"}})


def test_a_run_begins_with_the_weights_of_another(low: Path, folder: Path, tmp_path: Path) -> None:
    found = pictures(folder, tmp_path)
    objective = DenoiserObjective(config(init=str(low)), found, "here")
    given = load(low)[0].state_dict()
    assert all(torch.equal(v, given[k]) for k, v in objective.net.state_dict().items())
    with pytest.raises(BadInput, match=r"is of another architecture .*use the model section of its run"):
        DenoiserObjective(config(init=str(low), model={"width": 24}), found, "here")
    with pytest.raises(BadInput, match="init: nothing is not a readable"):
        DenoiserObjective(config(init="nothing"), found, "here")


@pytest.mark.slow
def test_compiled_stages_learn_what_others_learn_and_are_compiled_once(
    low: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._dynamo.utils import counters

    graphs, plain_batch = [], RelayObjective.batch

    def counted(self: RelayObjective, step: int, first: int, count: int) -> tuple[torch.Tensor, ...]:
        graphs.append(counters["stats"]["unique_graphs"])  # compiled before this step
        return plain_batch(self, step, first, count)

    settings = {"cascade": {"low": str(low), "top": 1.0, "ramp": 100}, "optim": {"steps": 12}}
    plain = train(config(**settings), folder, tmp_path / "plain", quiet=True)
    monkeypatch.setattr(RelayObjective, "batch", counted)
    compiled = train(config(**settings, run={"compile": True}), folder, tmp_path / "compiled", quiet=True)
    assert len(graphs) == 12
    assert graphs[1] > graphs[0]  # colour, in the first step
    assert graphs[3] > graphs[2]  # grey, in the third; kappa has risen since, and nothing else has changed
    assert set(graphs[3:]) == {graphs[3]}
    for name, value in load(plain)[0].state_dict().items():
        torch.testing.assert_close(load(compiled)[0].state_dict()[name], value, rtol=1e-2, atol=2e-3)  # Adam's signs
