"""State dicts of guided-diffusion as priors, on small random networks that are made here.

OpenAI's package cannot be installed from a registry. Its U-Net is compared with here in two forms that can: the layers of
deepinv.models.diffunet, which are OpenAI's, put together here as the paper says, for every flag; and the whole DiffUNet
of deepinv, as it is.

Measured once besides, with OpenAI's UNetModel as stable-diffusion-sdkit 2.1.5 carries it (attention by einsum there), over
256 combinations of flags at 16x24: the outputs differ by at most 1.7e-6 of the largest.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from restorekit import load_prior
from restorekit.errors import BadInput
from restorekit.interop.deepinv import import_deepinv
from restorekit.priors.formats import guided_diffusion
from restorekit.priors.formats.adm import ADM, Heads
from restorekit.priors.wrappers import Tiled
from tests.support.foreign import Surprise, rand, restores_a_file, shake


@pytest.fixture(scope="module")
def layers() -> Any:
    try:
        import_deepinv()
    except BadInput as error:
        pytest.skip(str(error))
    import deepinv.models.diffunet as layers

    return layers


class Reference(nn.Module):
    """The U-Net of the paper out of OpenAI's layers, with the names that its checkpoints have."""

    def __init__(self, layers: Any, flags: dict[str, Any]):
        super().__init__()
        f = {
            "width": 32,
            "mult": (1, 2),
            "blocks": 1,
            "attend": (2,),
            "outs": 6,
            "classes": None,
            "conv": True,
            **flags,
        }
        self.layers, self.width, time = layers, f["width"], 4 * f["width"]
        res = {"use_scale_shift_norm": f.get("scaled", True)}
        attention = {
            "num_head_channels": f.get("head", 16),
            "num_heads": 4,
            "use_new_attention_order": f.get("new", False),
        }

        def block(ins: int, outs: int, scale: int, **how: Any) -> list[nn.Module]:
            made = [layers.ResBlock(ins, time, 0.1, out_channels=outs, **res, **how)]
            return [*made, layers.AttentionBlock(outs, **attention)] if scale in f["attend"] else made

        def change(width: int, **how: bool) -> nn.Module:
            if f.get("updown", True):
                return layers.ResBlock(width, time, 0.1, out_channels=width, **res, **how)
            return (layers.Downsample if "down" in how else layers.Upsample)(width, f["conv"])

        many = layers.TimestepEmbedSequential
        self.time_embed = nn.Sequential(nn.Linear(f["width"], time), nn.SiLU(), nn.Linear(time, time))
        self.label_emb = nn.Embedding(f["classes"], time) if f["classes"] else None
        widths, scale, width = [f["width"]], 1, f["width"]
        inputs: list[nn.Module] = [many(nn.Conv2d(3, width, 3, padding=1))]
        for level, mult in enumerate(f["mult"]):
            for _ in range(f["blocks"]):
                inputs.append(many(*block(width, mult * f["width"], scale)))
                width = mult * f["width"]
                widths.append(width)
            if level < len(f["mult"]) - 1:
                inputs.append(many(change(width, down=True)))
                widths.append(width)
                scale *= 2
        self.input_blocks = nn.ModuleList(inputs)
        ends = [layers.ResBlock(width, time, 0.1, **res) for _ in range(2)]
        self.middle_block = many(ends[0], layers.AttentionBlock(width, **attention), ends[1])
        outputs: list[nn.Module] = []
        for level, mult in reversed(list(enumerate(f["mult"]))):
            for i in range(f["blocks"] + 1):
                made = block(width + widths.pop(), mult * f["width"], scale)
                width = mult * f["width"]
                if level and i == f["blocks"]:
                    made.append(change(width, up=True))
                    scale //= 2
                outputs.append(many(*made))
        self.output_blocks = nn.ModuleList(outputs)
        self.out = nn.Sequential(layers.normalization(width), nn.SiLU(), nn.Conv2d(width, f["outs"], 3, padding=1))

    def forward(self, x: Tensor, t: Tensor, label: int = 0) -> Tensor:
        time = self.time_embed(self.layers.timestep_embedding(t, self.width))
        if self.label_emb is not None:
            time = time + self.label_emb(torch.full((len(x),), label))
        kept = []
        for block in self.input_blocks:
            x = block(x, time)
            kept.append(x)
        x = self.middle_block(x, time)
        for block in self.output_blocks:
            x = block(torch.cat([x, kept.pop()], 1), time)
        return self.out(x)


FLAGS: dict[str, dict[str, Any]] = {
    "as the 256x256 networks": {"mult": (1, 1, 2, 3), "attend": (2, 4, 8), "blocks": 2},
    "one level": {"mult": (1,), "attend": ()},
    "convolutions between levels": {"updown": False},
    "convolutions, attention everywhere": {"updown": False, "attend": (1, 2, 4), "mult": (1, 1, 2), "blocks": 2},
    "pooling between levels": {"updown": False, "conv": False, "mult": (1, 2, 2)},
    "time as a shift": {"scaled": False},
    "heads counted": {"head": -1},
    "new attention order": {"new": True},
    "counted, new order": {"head": -1, "new": True, "attend": (1, 2)},
    "classes": {"classes": 5},
    "three outputs": {"outs": 3, "blocks": 3},
}


def saved(layers: Any, folder: Path, **flags: Any) -> tuple[Reference, Path]:
    net = shake(Reference(layers, flags))
    torch.save(net.state_dict(), folder / "net.pt")
    side = {"num_head_channels": flags.get("head", 16), "use_new_attention_order": flags.get("new", False)}
    (folder / "net.json").write_text(json.dumps({**side, "attention_resolutions": "16", "image_size": 16}))
    return net, folder / "net.pt"


@pytest.mark.parametrize("which", FLAGS)
def test_our_adm_answers_as_openais_layers(which: str, layers: Any, tmp_path: Path) -> None:
    net, path = saved(layers, tmp_path, **FLAGS[which])
    label = 3 if "classes" in FLAGS[which] else None
    ours, _, spec = guided_diffusion.load(path, label)
    x, t = torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(1)), torch.tensor([3.0, 700.5])
    expected = net(x, t, label or 0)
    assert float(expected.std()) > 0.1
    torch.testing.assert_close(ours(x, t), expected, rtol=0, atol=1e-5)
    assert spec.multiple == 2 ** (len(FLAGS[which].get("mult", (1, 2))) - 1)
    assert (spec.arch["blocks"], spec.side) == (FLAGS[which].get("blocks", 1), 16)


def test_heads_and_their_order_count(layers: Any, tmp_path: Path) -> None:
    """What the weights do not say is not idle: the comparison above would see it."""
    net, _ = saved(layers, tmp_path)
    shapes, x, t = {k: v.shape for k, v in net.state_dict().items()}, rand(1, 3, 16, 16), torch.tensor([9.0])
    answers = []
    for heads in (Heads(16), Heads(32), Heads(None, 4, True)):
        ours = ADM(shapes, heads)
        ours.load_state_dict(net.state_dict())
        answers.append(ours.eval().requires_grad_(False)(x, t))
    assert float((answers[0] - answers[1]).abs().max()) > 1e-3
    assert float((answers[0] - answers[2]).abs().max()) > 1e-3


@pytest.mark.slow
def test_our_adm_answers_as_the_network_of_the_ffhq_checkpoint(layers: Any, tmp_path: Path) -> None:
    """deepinv's DiffUNet, 94 million weights: the network of the checkpoint that DPS and DiffPIR are published with."""
    net = shake(layers.DiffUNet(pretrained=None))
    state = {k: v for k, v in net.state_dict().items() if "alphas_cumprod" not in k}
    torch.save(state, tmp_path / "net.pt")
    ours, _, spec = guided_diffusion.load(tmp_path / "net.pt")
    assert (spec.bands, spec.multiple, spec.arch["outputs"]) == ((3,), 32, 6)
    x, t = torch.randn(1, 3, 64, 32, generator=torch.Generator().manual_seed(1)), torch.tensor([123.0])
    expected = net.forward_diffusion(x, t)
    scale = float(expected.abs().max())
    torch.testing.assert_close(ours(x, t) / scale, expected / scale, rtol=0, atol=1e-5)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_state_dict_is_a_prior_on_pictures(schedule: str, layers: Any, tmp_path: Path) -> None:
    """D(x, sigma) on [0, 1] against eps of the network, and alpha_bar by the formula of guided-diffusion."""
    net, path = saved(layers, tmp_path)
    flags = {"num_head_channels": 16, "noise_schedule": schedule}
    path.with_suffix(".json").write_text(json.dumps(flags))
    prior = load_prior(str(path))
    if schedule == "linear":
        betas = np.linspace(0.0001, 0.02, 1000)
    else:
        curve = np.cos((np.arange(1001) / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
        betas = np.minimum(1 - curve[1:] / curve[:-1], 0.999)
    alpha_bar = np.cumprod(1 - betas)
    x = rand(2, 3, 16, 16)
    for t in (0, 20, 300):
        sigma = float(np.sqrt(1 / alpha_bar[t] - 1))
        eps = net(float(np.sqrt(alpha_bar[t])) * (2 * x - 1), torch.full((2,), float(t)))[:, :3]
        torch.testing.assert_close(prior(x, sigma / 2), x - sigma / 2 * eps, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("end", "time"), [("data", 1.0), ("noise", 1000.0)])
def test_a_flow_in_this_architecture_is_a_prior(end: str, time: float, layers: Any, tmp_path: Path) -> None:
    net, path = saved(layers, tmp_path, outs=3)
    flags = {"num_head_channels": 16, "prediction": "flow", "flow_end": end, "flow_time": time}
    path.with_suffix(".json").write_text(json.dumps(flags))
    prior = load_prior(str(path))
    x = rand(2, 3, 16, 24)
    for t in (0.02, 0.4, 0.9):  # share of noise, on [-1, 1]
        x_t = (1 - t) * (2 * x - 1)
        v = net(x_t, torch.full((2,), time * (t if end == "noise" else 1 - t)))
        expected = (x_t - t * (v if end == "noise" else -v) + 1) / 2
        scale = max(1.0, float(expected.abs().max()))  # of a random network
        torch.testing.assert_close(prior(x, t / (1 - t) / 2) / scale, expected / scale, rtol=0, atol=1e-5)
    assert getattr(prior.spec, "predicts", None) == "velocity"


def test_foreign_priors_see_the_whole_picture_of_any_size(layers: Any, tmp_path: Path) -> None:
    _, path = saved(layers, tmp_path)
    prior = load_prior(str(path))
    assert (prior.tile, prior.precision) == (None, "fp32")
    assert prior(rand(1, 3, 19, 33), 0.1).shape == (1, 3, 19, 33)
    tiled = load_prior(str(path), tile=16)
    assert isinstance(tiled.network, Tiled)
    assert tiled(rand(1, 3, 19, 33), 0.1).shape == (1, 3, 19, 33)
    with pytest.raises(BadInput, match=r"multiple of 2.*try 16"):
        load_prior(str(path), tile=17)
    assert load_prior(str(path), precision="bf16").precision == "bf16"


def without(state: dict[str, Tensor], *parts: str) -> dict[str, Tensor]:
    return {k: v for k, v in state.items() if not any(p in k for p in parts)}


WRONG: dict[str, tuple[Callable[[dict[str, Tensor]], Any], str]] = {
    "code": (lambda s: {**s, "more": Surprise()}, "holds more than weights.*state_dict"),
    "wrapped": (lambda s: {"model": s, "step": 3}, "not a plain state dict"),
    "another network": (lambda s: {"conv.weight": torch.zeros(3, 3, 3, 3)}, "not the weights of a guided-diffusion"),
    "classifier": (lambda s: without(s, "output_blocks"), "not the weights of a guided-diffusion"),
    "a weight missing": (lambda s: without(s, "middle_block.1.norm.bias"), "middle_block.1.norm.bias.*net.json"),
    "a block missing": (lambda s: without(s, "output_blocks.3."), "do not make|size mismatch|Missing"),
    "outputs": (lambda s: {**s, "out.2.weight": torch.zeros(5, 32, 3, 3), "out.2.bias": torch.zeros(5)}, "gives 5"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_file_that_is_no_prior_is_refused_in_one_line(
    what: str, layers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    change, words = WRONG[what]
    net, path = saved(layers, tmp_path)
    torch.save(change(net.state_dict()), path)
    with pytest.raises(BadInput, match=words) as caught:
        load_prior(str(path))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "surprise.txt").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ('{"num_head_channels": 48}', "cannot be split into heads of 48; flags .* go into net.json"),
        ('{"heads": 4}', "unknown flag heads; it may hold image_size"),
        ('{"noise_schedule": "sigmoid"}', "linear or cosine"),
        ('{"diffusion_steps": 0}', "above 0"),
        ('{"prediction": "v"}', "diffusion or flow"),
        ('{"prediction": "flow", "flow_end": "both"}', "noise or data"),
        ('{"prediction": "flow", "flow_time": 0}', "above 0"),
        ("no json", "net.json"),
    ],
)
def test_wrong_flags_are_refused_in_one_line(flags: str, words: str, layers: Any, tmp_path: Path) -> None:
    _, path = saved(layers, tmp_path)
    path.with_suffix(".json").write_text(flags)
    with pytest.raises(BadInput, match=words) as caught:
        load_prior(str(path))
    assert "\n" not in str(caught.value)


def test_no_pytorch_file(tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(b"nothing of the kind")
    with pytest.raises(BadInput, match=r"holds more than weights|not a readable PyTorch file") as caught:
        load_prior(str(tmp_path / "net.pt"))
    assert "\n" not in str(caught.value)


def test_a_state_dict_restores_a_file(layers: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, prior = saved(layers, tmp_path)
    restores_a_file(tmp_path, prior, capsys)
