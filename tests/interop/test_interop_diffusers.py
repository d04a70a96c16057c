"""Folders of diffusers as priors, on small random networks that are made here, against diffusers' own schedulers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from restorekit import load_prior
from restorekit.errors import BadInput
from restorekit.priors.find import spec_of
from restorekit.priors.formats.diffusers import import_diffusers
from restorekit.priors.precond import VPTable
from tests.support.foreign import Surprise, go, rand, restores_a_file, shake

pytestmark = pytest.mark.floors


@pytest.fixture(scope="module")
def diffusers() -> Any:
    try:
        return import_diffusers()
    except BadInput as error:
        pytest.skip(str(error))


SMALL: dict[str, Any] = {
    "sample_size": 16,
    "layers_per_block": 1,
    "block_out_channels": (8, 16),
    "norm_num_groups": 4,
    "attention_head_dim": 4,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
}


def unet(diffusers: Any, **changes: Any) -> Any:
    return shake(diffusers.UNet2DModel(**{**SMALL, "in_channels": 3, "out_channels": 3, **changes}))


def pipeline(diffusers: Any, folder: Path, net: Any, **scheduler: Any) -> Any:
    """A folder as DDPMPipeline saves it, and its scheduler."""
    made = diffusers.DDPMScheduler(**{"clip_sample": False, **scheduler})
    diffusers.DDPMPipeline(unet=net, scheduler=made).save_pretrained(folder)
    return made


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_a_pipeline_denoises_as_its_scheduler_says(
    prediction: str, schedule: str, diffusers: Any, tmp_path: Path
) -> None:
    """D at the levels of the table against `step(...).pred_original_sample` of diffusers, on [0, 1]."""
    net = unet(diffusers)
    theirs = pipeline(diffusers, tmp_path / "p", net, prediction_type=prediction, beta_schedule=schedule)
    prior = load_prior(str(tmp_path / "p"))
    for t in (0, 3, 250, 700):
        alpha_bar = theirs.alphas_cumprod[t].double()
        x_t = torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(t))
        x0 = theirs.step(net(x_t, t).sample, t, x_t, generator=torch.Generator().manual_seed(0)).pred_original_sample
        sigma = ((1 - alpha_bar) / alpha_bar).sqrt() / 2
        x = (x_t / alpha_bar.sqrt() + 1) / 2
        ours = prior(x.float(), float(sigma))
        scale = max(1.0, float(x0.abs().max()))  # random networks at high noise answer far from [0, 1]
        torch.testing.assert_close(ours / scale, (x0 + 1) / 2 / scale, rtol=0, atol=1e-5)
        assert float(ours.std()) > 1e-3


def flow(diffusers: Any, folder: Path, net: Any, **scheduler: Any) -> Any:
    """A folder of a network that predicts velocities, and its scheduler."""
    made = diffusers.FlowMatchEulerDiscreteScheduler(**scheduler)
    net.save_pretrained(folder / "unet")
    made.save_pretrained(folder / "scheduler")
    return made


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_a_flow_denoises_as_its_scheduler_steps(shift: float, diffusers: Any, tmp_path: Path) -> None:
    """On the straight line of a step from t to s: x_s = (s / t) x_t + (1 - s / t) x0."""
    net = unet(diffusers)
    theirs, prior = flow(diffusers, tmp_path / "p", net, shift=shift), load_prior(str(tmp_path / "p"))
    spec: Any = prior.spec
    assert (spec.predicts, spec.steps) == ("velocity", "flow, 1000")
    theirs.set_timesteps(12)
    for i in (1, 5, 10):
        x_t = torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(i))
        time, t = theirs.timesteps[i], float(theirs.sigmas[i])
        theirs._step_index = None
        following = theirs.step(net(x_t, time).sample, time, x_t).prev_sample
        kept = float(theirs.sigmas[i + 1]) / t
        x0 = (following - kept * x_t) / (1 - kept)
        ours = prior((x_t / (1 - t) + 1) / 2, t / (1 - t) / 2)
        torch.testing.assert_close(ours, (x0 + 1) / 2, rtol=0, atol=1e-4)


def test_what_a_pipeline_says_is_known_without_its_weights(diffusers: Any, tmp_path: Path) -> None:
    pipeline(diffusers, tmp_path / "p", unet(diffusers), prediction_type="v_prediction")
    (tmp_path / "p" / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    spec: Any = spec_of(tmp_path / "p")
    assert (spec.name, spec.kind, spec.bands, spec.multiple, spec.side) == ("p", "diffusers", (3,), 2, 16)
    assert (spec.predicts, spec.steps) == ("v", "linear, 1000")
    assert spec.sigma_max == pytest.approx(157.4 / 2, rel=1e-3)
    with pytest.raises(BadInput, match=r"holds no diffusion_pytorch_model\.safetensors"):
        load_prior(str(tmp_path / "p"))


def test_a_bare_network_has_the_defaults_of_diffusers(diffusers: Any, tmp_path: Path) -> None:
    net = unet(diffusers, in_channels=1, out_channels=2)  # learned variance
    net.save_pretrained(tmp_path / "bare", safe_serialization=False)  # a pickle of weights alone
    assert [p.name for p in (tmp_path / "bare").glob("*.bin")] == ["diffusion_pytorch_model.bin"]
    prior = load_prior(str(tmp_path / "bare"))
    assert "assumed" in prior.spec.steps  # type: ignore[union-attr]
    x, table = rand(1, 1, 16, 16), VPTable.linear()
    t = torch.tensor([400.0])
    sigma = float(table.sigma(t.double()))
    scale = (1 + sigma**2) ** -0.5
    eps = net(scale * (2 * x - 1), t).sample[:, :1]
    torch.testing.assert_close(prior(x, sigma / 2), (2 * x - 1 - sigma * eps + 1) / 2, rtol=0, atol=1e-5 * sigma)
    assert prior.for_bands(4)(rand(1, 4, 9, 7), 0.1).shape == (1, 4, 9, 7)  # band by band, and padded


def test_a_last_step_of_pure_noise_is_left_out(diffusers: Any, tmp_path: Path) -> None:
    scheduler = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "beta_schedule": "scaled_linear"}
    pipeline(diffusers, tmp_path / "p", unet(diffusers), **scheduler)
    prior = load_prior(str(tmp_path / "p"))
    assert bool(prior(rand(1, 3, 16, 16), 500.0).isfinite().all())


def test_classes_need_a_label_and_it_counts(diffusers: Any, tmp_path: Path) -> None:
    pipeline(diffusers, tmp_path / "p", unet(diffusers, num_class_embeds=3))
    x, name = rand(1, 3, 16, 16), str(tmp_path / "p")
    with pytest.raises(BadInput, match=r"trained for 3 classes: .*, in Python load_prior\(.*label=0\)"):
        load_prior(name)
    with pytest.raises(BadInput, match="from 0 to 2"):
        load_prior(name, label=3)
    first, second = (load_prior(name, label=label)(x, 1.0) for label in (0, 1))
    assert float((first - second).abs().max()) > 1e-3


def broken(diffusers: Any, folder: Path, change: Callable[[dict[str, Any]], object], file: str) -> str:
    pipeline(diffusers, folder, unet(diffusers))
    settings = json.loads((folder / file).read_text())
    change(settings)
    (folder / file).write_text(json.dumps(settings))
    return str(folder)


FLOW = "FlowMatchEulerDiscreteScheduler"
SCHEDULER, CONFIG = "scheduler/scheduler_config.json", "unet/config.json"
BROKEN: dict[str, tuple[str, Callable[[dict[str, Any]], object], str]] = {
    "another network": (CONFIG, lambda c: c.update(_class_name="UNet2DConditionModel"), "not of a UNet2DModel"),
    "bands": (CONFIG, lambda c: c.update(out_channels=5), "3 bands in and 5 out"),
    "variance exploding": (CONFIG, lambda c: c.update(time_embedding_type="fourier"), "DDPM networks"),
    "weights of another size": (CONFIG, lambda c: c.update(block_out_channels=[8, 8]), "cannot load it"),
    "missing weights": (CONFIG, lambda c: c.update(layers_per_block=2), "does not fit config.json|cannot load it"),
    "other schedule": (SCHEDULER, lambda c: c.pop("beta_schedule"), "DDPM, DDIM"),
    "flow the other way": (SCHEDULER, lambda c: c.update(_class_name=FLOW, invert_sigmas=True), "take one without"),
    "flow of no steps": (SCHEDULER, lambda c: c.update(_class_name=FLOW, num_train_timesteps="x"), "whole number"),
    "unknown betas": (SCHEDULER, lambda c: c.update(beta_schedule="wild"), "wild"),
    "prediction": (SCHEDULER, lambda c: c.update(prediction_type="flow"), "known: epsilon"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_folder_that_is_no_prior_is_refused_in_one_line(what: str, diffusers: Any, tmp_path: Path) -> None:
    file, change, words = BROKEN[what]
    with pytest.raises(BadInput, match=words) as caught:
        load_prior(broken(diffusers, tmp_path / "p", change, file))
    assert "\n" not in str(caught.value)


def test_a_pickle_runs_nothing(diffusers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    net = unet(diffusers)
    net.save_pretrained(tmp_path / "p", safe_serialization=False)
    torch.save({**net.state_dict(), "more": Surprise()}, tmp_path / "p" / "diffusion_pytorch_model.bin")
    with pytest.raises(BadInput, match="cannot load it") as caught:
        load_prior(str(tmp_path / "p"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "surprise.txt").exists()


def test_an_empty_folder_and_a_missing_diffusers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match=r"neither unet/config.json nor config.json"):
        load_prior(str(tmp_path))
    (tmp_path / "config.json").write_text('{"_class_name": "UNet2DModel", "block_out_channels": [8]}')
    monkeypatch.setitem(__import__("sys").modules, "diffusers", None)
    with pytest.raises(BadInput, match=r'pip install "restorekit\[hub\]"'):
        load_prior(str(tmp_path))


def test_a_pipeline_restores_a_file(diffusers: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prior = tmp_path / "pipeline"
    pipeline(diffusers, prior, unet(diffusers))
    restores_a_file(tmp_path, prior, capsys)


def test_show_refuses_a_folder_of_something_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert go("priors", "show", tmp_path) != 0
    said = capsys.readouterr().err.strip()
    assert "neither unet/config.json nor config.json" in said
    assert "\n" not in said
