"""Training of an FFTD beside a codec that is done, the file it leaves, and that file in the commands."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from torch import nn

from restorekit.cli.main import run
from restorekit.errors import BadInput
from restorekit.files.picture import read_picture
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.operators import BlockAverage
from restorekit.priors.find import load_codec, load_prior
from restorekit.priors.formats import checkpoint
from restorekit.priors.formats.checkpoint import PriorSpec, read_spec
from restorekit.priors.networks.fftd import FFTD, FFTDConfig
from restorekit.priors.networks.ivqvae import Codec, CodecConfig, CodecNet
from restorekit.priors.networks.two_stage import LatentConfig, LatentNet
from restorekit.priors.precond import Adapted, VPTable
from restorekit.priors.prior import LatentPrior
from restorekit.priors.wrappers import Tiled
from restorekit.solvers import DPS
from restorekit.training.config import Config, read_config
from restorekit.training.data.cache import Pictures
from restorekit.training.loop import train
from restorekit.training.objectives.latent_denoiser import LatentObjective

CODEC = CodecConfig((3,), 4, 4, width=8, multipliers=(1,), blocks=1, attention=0, side=32, regulariser="none",
                    mean=(0.1, -0.2, 0.0, 0.3), std=(0.5, 1.0, 2.0, 1.5))  # fmt: skip
CONFIGS_FOLDER = Path(__file__).parents[2] / "configs"
TINY = """
name: tiny
licence: mine
model: {{kind: fftd, codec: {codec}, width: 16, heads: 2, embed: 16}}
data: {{crop: 32}}
optim: {{batch: 4, steps: 4, lr: 0.003, warmup: 1}}
run: {{precision: fp32, log_every: 1, sample_every: 3, checkpoint_every: 1000}}
"""


def kinds(config: Any, kind: str) -> dict[str, Any]:
    return {"kind": kind, **{k: list(v) if isinstance(v, tuple) else v for k, v in asdict(config).items()}}


@pytest.fixture
def codec(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "codec.safetensors"
    spec = PriorSpec("codes", kinds(CODEC, "codec"), 0.25, data="some pictures", licence="theirs")
    checkpoint.save(path, CodecNet(CODEC).state_dict(), spec)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for kind in ("cats", "dogs"):
        (tmp_path / "in" / kind).mkdir(parents=True)
        for i in range(3):
            wave = 0.5 + 0.4 * np.sin(
                np.arange(40)[:, None, None] * rng.uniform(0.1, 0.5, 3) + rng.uniform(0, 6, (1, 36, 1))
            )
            iio.imwrite(tmp_path / "in" / kind / f"{i}.png", (255 * wave).astype(np.uint8))
    return tmp_path / "in"


def config_of(codec: Path, tmp_path: Path, **settings: Any) -> Config:
    (tmp_path / "tiny.yaml").write_text(TINY.format(codec=codec))
    return read_config(tmp_path / "tiny.yaml", **{k.replace("__", "."): v for k, v in settings.items()})


def objective(codec: Path, pictures: Path, tmp_path: Path, **settings: Any) -> LatentObjective:
    config = config_of(codec, tmp_path, **settings)
    return LatentObjective(config, Pictures.open(pictures, tmp_path / "cache"), "in")


def randomised(net: FFTD) -> FFTD:
    torch.manual_seed(1)
    for name, p in net.named_parameters():
        if name.endswith("table") or not bool(p.any()):
            nn.init.normal_(p, std=0.3)
    return net


# --- the objective ---


def test_the_loss_is_that_of_the_equations(codec: Path, pictures: Path, tmp_path: Path) -> None:
    it = objective(codec, pictures, tmp_path)
    net = randomised(it.net)  # type: ignore[arg-type]
    x0, noise, t = it.batch(0, 0, 4)
    assert (x0.shape, noise.shape, t.shape) == ((4, 3, 32, 32), (4, 4, 8, 8), (4,))
    z = load_codec(str(codec)).encode(x0)
    expected = []
    for i in range(4):
        a = float(np.interp(t[i].item(), np.arange(1000), it.table.log_sigmas.numpy()))
        a = 1 / (1 + np.exp(2 * a))  # alpha_bar, with ln(sigma) interpolated between two steps
        z_t = a**0.5 * z[i : i + 1] + (1 - a) ** 0.5 * noise[i : i + 1]
        expected.append((net(z_t, t[i : i + 1]) - noise[i : i + 1]).square().mean())
    loss = it(x0, noise, t)
    torch.testing.assert_close(loss, torch.stack(expected).mean(), rtol=1e-4, atol=1e-5)
    loss.backward()
    assert all(p.grad is None for p in it.coding[0].parameters())
    assert {id(p) for p in it.parameters()} == {id(p) for p in net.parameters()}  # the codec is no part of the state


def test_a_batch_is_a_function_of_seed_and_number(codec: Path, pictures: Path, tmp_path: Path) -> None:
    it = objective(codec, pictures, tmp_path)
    whole, parts = it.batch(3, 0, 4), [it.batch(3, i, 2) for i in (0, 2)]
    for a, b in zip(whole, zip(*parts)):
        assert torch.equal(a, torch.cat(list(b)))
    other = objective(codec, pictures, tmp_path, run__seed=1).batch(3, 0, 4)
    assert not any(torch.equal(a, b) for a, b in zip(whole, other))
    _, noise, t = it.batch(0, 0, 1000)
    assert float(noise.mean()) == pytest.approx(0, abs=0.01)  # 256 000 numbers: 5 deviations
    assert float(noise.std()) == pytest.approx(1, abs=0.01)
    assert 0 <= float(t.min()) < 10
    assert 989 < float(t.max()) <= 999
    assert float(t.mean()) == pytest.approx(499.5, abs=45)  # 5 deviations


def test_classes_are_given_and_left_out(codec: Path, pictures: Path, tmp_path: Path) -> None:
    it = objective(codec, pictures, tmp_path, data__labels="folder", data__label_drop=0.3)
    *_, label = it.batch(0, 0, 600)
    counts = torch.bincount(label + 1).tolist()
    assert counts[0] == pytest.approx(180, abs=56)  # 5 deviations of a binomial
    assert counts[1] == pytest.approx(counts[2], abs=100)
    assert it.spec.arch["classes"] == 2
    assert it.spec.training["classes"] == ["cats", "dogs"]
    x0, noise, t, label = it.batch(1, 0, 2)
    randomised(it.net)  # type: ignore[arg-type]
    assert float((it(x0, noise, t, label) - it(x0, noise, t, 1 - label.clamp(0))).abs().detach()) > 1e-6


# --- the run and its file ---


def test_a_run_leaves_codec_and_network_in_one_file(
    codec: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = config_of(codec, tmp_path)
    path = train(config, pictures, tmp_path / "out", quiet=True)
    spec = read_spec(path)
    assert spec.config == LatentConfig(CODEC, FFTDConfig(4, 16, 2, embed=16, side=8))
    assert (spec.domain, spec.bands, spec.licence) == ("latent", (3,), "mine")
    assert spec.training["codec"]["licence"] == "theirs"
    assert spec.training["steps"] == 4
    assert iio.imread(tmp_path / "out/samples/0000003.png").shape == (7 * 32, 8 * 32, 3)
    net, _ = checkpoint.load(path)
    assert isinstance(net, LatentNet)
    first, _ = checkpoint.load(codec)
    for name, weight in first.state_dict().items():  # untouched
        assert torch.equal(net.codec.state_dict()[name], weight), name
    again, x = load_codec(str(path)), torch.rand(1, 3, 16, 16)
    assert torch.equal(again.encode(x), load_codec(str(codec)).encode(x))
    prior = load_prior(str(path))
    assert isinstance(prior, LatentPrior)
    x0 = objective(codec, pictures, tmp_path).patches.batch(2**40, 64, False)[0]
    assert prior.codec_psnr == pytest.approx(np.mean([prior.ceiling(x) for x in x0]), abs=0.006)
    iio.imwrite(tmp_path / "y.png", (255 * x0[0]).byte().permute(1, 2, 0).numpy())
    go("denoise", tmp_path / "y.png", tmp_path / "z.png", "--noise", "gaussian:0.1", "--prior", path, "--steps", 2)
    assert f"training pictures of tiny keep {prior.codec_psnr:g} dB through its codec alone" in capsys.readouterr().err
    assert json.loads((tmp_path / "z.png.json").read_text())["codec_psnr"] == prior.codec_psnr
    begun = objective(path, pictures, tmp_path, init=str(path))  # a codec and a start from such a file too
    for name, weight in net.net.state_dict().items():
        assert torch.equal(begun.net.state_dict()[name], weight), name


def test_a_run_that_is_resumed_is_the_longer_run(codec: Path, pictures: Path, tmp_path: Path) -> None:
    for run_, steps in (("parts", 3), ("parts", 5), ("whole", 5)):
        config = config_of(codec, tmp_path, optim__steps=steps, optim__decay_from=1.0, run__sample_every=99)
        train(config, pictures, tmp_path / run_, resume=steps == 5 and run_ == "parts", quiet=True)
    a, b = (checkpoint.load(tmp_path / r / "prior.safetensors")[0].state_dict() for r in ("parts", "whole"))
    assert all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize(
    ("name", "factor", "most"),
    [("fftd-cats", 4, 3.17), pytest.param("fftd-f8", 8, 32, marks=pytest.mark.slow)],
)  # beside a codec of 1.63 MB the first makes 4.8
def test_the_configurations_begin_and_are_as_large_as_they_say(
    name: str, factor: int, most: float, tmp_path: Path
) -> None:
    side = 64 if factor == 4 else 256
    coding = replace(CODEC, factor=factor, side=side, width=4)
    codec, net = tmp_path / "codec.safetensors", CodecNet(coding)
    checkpoint.save(codec, net.state_dict(), PriorSpec("codes", kinds(coding, "codec"), 0.25))
    (tmp_path / "in").mkdir()
    iio.imwrite(tmp_path / "in/0.png", np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8))
    settings = {"model.codec": str(codec), "optim.steps": 1, "optim.batch": 1, "optim.warmup": 1}
    config = read_config(CONFIGS_FOLDER / f"{name}.yaml", **settings)
    path = train(config, tmp_path / "in", tmp_path / "out", quiet=True)
    assert (path.stat().st_size - codec.stat().st_size) / 1e6 < most
    found = read_spec(path).config
    assert isinstance(found, LatentConfig)
    assert (found.net.side, found.net.quarter) == (side // factor, True)


def test_the_loss_falls(codec: Path, pictures: Path, tmp_path: Path) -> None:
    train(config_of(codec, tmp_path, optim__steps=40, run__sample_every=99), pictures, tmp_path / "out", quiet=True)
    rows = (tmp_path / "out/log.csv").read_text().splitlines()[1:]
    losses = [float(row.split(",")[2]) for row in rows]
    assert losses[0] == pytest.approx(1, abs=0.15)  # it begins by saying nothing
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:5])


def test_what_cannot_be_trained_is_told_in_one_line(codec: Path, pictures: Path, tmp_path: Path) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"data__crop": 30}, "must be a multiple of 4"),
        ({"model__bands": [1]}, r"codec takes \[3\]"),
        ({"model__codec": str(tmp_path / "none.safetensors")}, r"model\.codec: .*none"),
        ({"model__width": 18}, "multiple of 4"),
        ({"noise__log_mean": 0.0}, "drawn uniformly; leave it out"),
        ({"domain": "log-intensity", "model__bands": [1]}, "leave it out"),
        ({"model__fuse": "mean"}, "adaptive"),
    ]
    for settings, words in wrong:
        with pytest.raises(BadInput, match=words) as error:
            objective(codec, pictures, tmp_path, **settings)
        assert "\n" not in str(error.value)
    path = train(config_of(codec, tmp_path, optim__steps=1), pictures, tmp_path / "out", quiet=True)
    unet = PriorSpec("u", {"kind": "unet", "bands": [3], "widths": [8], "embed": 8}, 0.25)
    checkpoint.save(path, checkpoint.build(unet).state_dict(), unet)
    with pytest.raises(BadInput, match="is no codec; train one"):
        objective(path, pictures, tmp_path)


# --- the file as a prior ---


@pytest.fixture
def latent(tmp_path: Path) -> Path:
    """A file as a run leaves it, of a random network with classes."""
    config = LatentConfig(CODEC, FFTDConfig(4, 16, 2, embed=16, classes=2, side=8))
    torch.manual_seed(0)
    net = LatentNet(config)
    randomised(net.net)
    arch = {"kind": "latent", "codec": kinds(CODEC, "codec"), "net": kinds(config.net, "fftd")}
    path = tmp_path / "latent.safetensors"
    checkpoint.save(path, net.state_dict(), PriorSpec("tiny", arch, 1.0, 0.0, "latent"), torch.float32)
    return path


def test_a_file_of_both_is_a_prior(latent: Path) -> None:
    prior = load_prior(str(latent))
    assert isinstance(prior, LatentPrior)
    assert (prior.precision, prior.tile, prior.spec.bands) == ("fp32", 32, (3,))
    net, _ = checkpoint.load(latent)
    assert isinstance(net, LatentNet)
    x, z = torch.rand(1, 3, 32, 32), torch.randn(1, 4, 8, 8)
    codec = Codec.of(net.codec)
    torch.testing.assert_close(prior.encode(x), codec.encode(x))
    torch.testing.assert_close(prior.decode(z), codec.decode(z, quantise=False))
    expected = Adapted(net.net, "eps", VPTable.linear(), (0, 1))(z, 0.7)
    torch.testing.assert_close(prior.denoise(z, 0.7), expected)
    torch.testing.assert_close(prior.denoise(z, 1e-3), z, rtol=0, atol=0.05)
    assert isinstance(prior.network, Tiled)  # larger latents in windows like those of the training
    assert (prior.network.tile, prior.network.halo, prior.network.blend) == (8, 2, 2)
    assert prior.denoise(torch.randn(1, 4, 21, 13), 0.5).shape == (1, 4, 21, 13)
    classed = load_prior(str(latent), label=1)
    assert isinstance(classed, LatentPrior)
    assert float((classed.denoise(z, 0.7) - expected).abs().max()) > 1e-4
    assert load_prior(str(latent), precision="bf16").precision == "bf16"
    for wrong, words in (({"label": 2}, "from 0 to 1"), ({"tile": 20}, "multiple of 8")):
        with pytest.raises(BadInput, match=words):
            load_prior(str(latent), **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change", [{"kind": "codec"}, {"net": {"kind": "unet"}}, {"net": {"kind": "fftd", "channels": 3}}]
)
def test_a_header_that_cannot_be_built_is_told_in_one_line(
    change: dict[str, Any], latent: Path, tmp_path: Path
) -> None:
    spec = read_spec(latent)
    net, _ = checkpoint.load(latent)
    checkpoint.save(tmp_path / "bad.safetensors", net.state_dict(), replace(spec, arch=spec.arch | change))
    with pytest.raises(BadInput, match=r"^[^\n]+$"):
        load_prior(str(tmp_path / "bad.safetensors"))


def test_a_network_without_its_codec_is_no_prior(tmp_path: Path) -> None:
    config, path = FFTDConfig(4, 16, 2, embed=16, side=8), tmp_path / "net.safetensors"
    checkpoint.save(path, FFTD(config).state_dict(), PriorSpec("net", kinds(config, "fftd"), 1.0))
    assert isinstance(checkpoint.load(path)[0], FFTD)
    with pytest.raises(BadInput, match="without their codec"):
        load_prior(str(path))


def test_the_driver_restores_a_picture_of_any_size_with_it(latent: Path) -> None:
    prior, operator = load_prior(str(latent)), BlockAverage((3, 30, 45), 2)
    problem = Problem(torch.rand(1, 3, 15, 23), operator, Gaussian(0.05))
    found = restore(problem, prior, DPS(), steps=6, samples=2)
    assert found.samples.shape == (2, 3, 30, 45)
    assert found.nfe == 6
    assert float(found.std.mean()) > 1e-3


def go(*arguments: object, code: int = 0) -> None:
    with pytest.raises(SystemExit) as stop:
        run([str(a) for a in arguments])
    assert stop.value.code == code


def test_the_commands_take_it(latent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = (255 * np.random.default_rng(0).random((30, 33, 3))).astype(np.uint8)
    iio.imwrite(tmp_path / "x.png", truth)
    go("degrade", tmp_path / "x.png", tmp_path / "y.png", "--op", "average:factor=2", "--noise", "gaussian:0.02")
    named = ("--op", "average:factor=2", "--noise", "gaussian:0.02", "--prior", latent)
    go("restore", tmp_path / "y.png", tmp_path / "z.png", *named, "--steps", 4, "--samples", 2)
    record = json.loads((tmp_path / "z.png.json").read_text())
    assert (record["solver"], record["prior"]["name"], record["tile"]) == ("DPS", "tiny", 32)
    assert "codec_psnr" not in record  # the file does not say it
    assert read_picture(tmp_path / "z.png").pixels.shape == (3, 30, 34)
    capsys.readouterr()
    go("restore", tmp_path / "y.png", tmp_path / "no.png", *named, "--solver", "ddrm", code=1)
    assert (
        "ddrm needs a linear operator, got BlockAverage of a decoded latent; use `solver=dps`, daps, pnpdm or vds"
        in capsys.readouterr().err
    )
    go("restore", tmp_path / "y.png", tmp_path / "no.png", *named, "--flips", 2, code=1)
    assert "leave it out" in capsys.readouterr().err
    go("priors", "show", latent)
    go("priors", "verify", latent, code=1)  # random weights denoise nothing
    assert "does not denoise" in capsys.readouterr().err
    assert not (tmp_path / "no.png").exists()


def test_a_comparison_tells_what_the_codec_alone_can_do(latent: Path, tmp_path: Path) -> None:
    truth = (255 * np.random.default_rng(0).random((32, 36, 3))).astype(np.uint8)
    iio.imwrite(tmp_path / "x.png", truth)
    page = tmp_path / "page.html"
    go("compare", tmp_path / "x.png", page, "--op", "denoise", "--noise", "gaussian:0.1", "--prior", latent, "--truth", tmp_path / "x.png",
       "--solver", "dps", "--solver", "hqs", "--steps", 3, "--samples", 2, "--trajectory", 2)  # fmt: skip
    record = json.loads((tmp_path / "page.html.json").read_text())
    prior = load_prior(str(latent))
    assert isinstance(prior, LatentPrior)
    ceiling = prior.ceiling(torch.from_numpy(truth).permute(2, 0, 1).float() / 255)
    assert record["codec_psnr"] == pytest.approx(ceiling, abs=1e-3)
    assert f"{ceiling:.2f} dB" in page.read_text()
    assert "of a decoded latent" in record["refused"]["hqs"]
