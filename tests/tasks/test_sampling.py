"""Samples of a prior, from the command and in Python."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from restorekit.cli.main import run
from restorekit.errors import BadInput
from restorekit.files.picture import read_picture, sha256
from restorekit.inference.rng import streams
from restorekit.inference.schedule import log_uniform
from restorekit.priors.analytic import GaussianPrior
from restorekit.priors.find import load_prior, spec_of
from restorekit.priors.formats import checkpoint
from restorekit.priors.formats.checkpoint import PriorSpec
from restorekit.priors.formats.foreign import ForeignSpec
from restorekit.priors.networks.unet import UNetConfig
from restorekit.priors.prior import LatentPrior
from restorekit.priors.wrappers import GuidedByClass
from restorekit.report.montage import mosaic
from restorekit.solvers.samplers import DDIM, SAMPLERS, Heun
from restorekit.tasks import sample as sampling
from restorekit.tasks.sample import Sampling, displayed, draw, levels, sampler_of, trained_side
from tests.cli.test_cli import go
from tests.priors.test_pisdm import SMALL, random_net
from tests.priors.test_unet import random_unet
from tests.training.test_latent_training import latent

__all__ = ["latent"]  # a fixture
TINY = UNetConfig((1,), (4, 6), embed=8)


def saved(path: Path, config: UNetConfig = TINY, **more: object) -> Path:
    arch = {"kind": "unet", **asdict(config)}
    checkpoint.save(path, random_unet(config).state_dict(), replace(PriorSpec("tiny", arch, 0.25), **more))
    return path


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    config = replace(SMALL, bands=(1,), classes=3)
    spec = PriorSpec("kinds", {"kind": "pisdm", **asdict(config)}, 0.25)
    checkpoint.save(tmp_path / "kinds.safetensors", random_net(config).state_dict(), spec)
    return tmp_path / "kinds.safetensors"


# --- the command ---


def test_a_grid_its_parts_and_its_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, folder = tmp_path / "grid.png", tmp_path / "each"
    go("sample", "natural-fast", "--n", 3, "--steps", 3, "--size", "24x32", "--out", out, "--folder", folder)
    said = capsys.readouterr()
    assert said.out.startswith(f"{out}  (3 samples of natural-fast, 24x32, 3 network calls each, ")
    assert len(said.out.splitlines()) == 1
    parts = [read_picture(p).pixels for p in sorted(folder.iterdir())]
    assert [p.name for p in sorted(folder.iterdir())] == ["00000.png", "00001.png", "00002.png"]
    assert parts[0].shape == (3, 24, 32)
    np.testing.assert_array_equal(read_picture(out).pixels, mosaic(parts))
    record = json.loads((tmp_path / "grid.png.json").read_text())
    assert record["outputs"][str(out)] == sha256(out)
    assert len(record["outputs"]) == 4
    assert (record["nfe"], record["seed"], record["solver"]) == (3, 0, "DPMpp2M")
    assert record["prior"]["sha256"] == load_prior("natural-fast").sha256

    go("sample", "natural-fast", "--n", 1, "--steps", 1, "--out", tmp_path / "g.tif", "--folder", folder, "--bands", 1)
    assert read_picture(folder / "00000.tif").pixels.shape == (1, 64, 64)
    assert "another run" not in capsys.readouterr().err


def test_single_samples_of_an_earlier_run_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, folder = tmp_path / "grid.png", tmp_path / "each"
    folder.mkdir()
    words = ("sample", "natural-fast", "--n", 2, "--steps", 1, "--size", "16", "--out", out, "--folder", folder)
    for name in ("00001.png", "00002.png"):
        (folder / name).write_bytes(b"earlier")
    with pytest.raises(SystemExit) as stop:
        run([str(word) for word in words])
    assert stop.value.code == 1
    said = (
        f"{folder} holds 00001.png of an earlier run, which would be replaced; give another --folder, or move it away"
    )
    assert said in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {f"0000{i}.png": b"earlier" for i in (1, 2)}
    assert not out.exists()
    (folder / "00001.png").unlink()
    go(*words)
    assert f"{folder} holds 1 more, such as 00002.png, of another run" in capsys.readouterr().err


def test_one_seed_gives_the_same_bytes_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        go("sample", "natural-fast", "--n", 3, "--steps", 4, "--seed", seed, "--solver", "sde", "--size", "24x20",
           "--out", tmp_path / f"{name}.tif")  # fmt: skip
    a, b, c = ((tmp_path / f"{n}.tif").read_bytes() for n in "abc")
    assert a == b
    assert a != c


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--solver", "euler"), "unknown solver 'euler' of samples; known: ddpm, ddim, heun, dpm++, sde"),
        (("--solver", "heun:chorn=1"), "heun takes churn"),
        (("--eta", "0.5"), "eta is a setting of ddpm and ddim, not of dpm++"),
        (("--solver", "ddim", "--eta", "2"), "eta=2 must be in [0, 1]"),
        (("--size", "12by3"), "--size '12by3' is not understood"),
        (("--size", "0x8"), "--size '0x8' is not understood"),
        (("--bands", "2"), "makes pictures of 1 or 3 bands, not 2"),
        (("--label", "0"), "knows no classes"),
        (("--guidance", "2"), "guidance is towards a class"),
        (("--precision", "fp8"), "it is auto, bf16, fp32"),
        (("--device", "tpu9"), "--device cpu"),
        (("--n", "0"), "--n"),
        (("--out", "grid.xyz"), "unknown file type '.xyz'"),
        (("--out", "no/grid.png"), "there is no folder"),
        (("--folder", "file"), "file is a file"),
        (("--size", "9000000x9000000"), "out of memory"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(
    words: tuple[str, ...], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as stop:
        run(["sample", "natural-fast", "--out", "grid.png", "--n", "1", "--steps", "1", "--size", "8", *words])
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert stop.value.code not in (0, None)
    assert len(lines) == 1
    assert expected in lines[0], lines[0]
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_log_intensity_is_shown_as_amplitude(tmp_path: Path) -> None:
    path = saved(tmp_path / "log.safetensors", domain="log-intensity", mean=-2.0, sigma_data=1.0)
    go("sample", path, "--n", 1, "--steps", 2, "--size", "8", "--out", tmp_path / "g.tif")
    x = Sampling(prior=str(path), n=1, steps=2, size=(8, 8))().pictures
    assert float(x.min()) < -0.5  # not a picture on [0, 1]
    shown = read_picture(tmp_path / "g.tif").pixels
    np.testing.assert_allclose(shown, np.exp(x[0].numpy() / 2).clip(0, 1), rtol=1e-5)
    assert torch.equal(displayed(torch.tensor([-1.0, 0.5, 2.0]), "srgb"), torch.tensor([0.0, 0.5, 1.0]))


# --- what a sample depends on ---


def test_a_sample_depends_on_seed_and_number_alone(tmp_path: Path) -> None:
    path = saved(tmp_path / "t.safetensors")
    made = Sampling(prior=str(path), n=5, steps=4, size=(8, 12), solver="ddpm", seed=3, precision="fp32")
    five = made().pictures
    for n, batch in ((5, 2), (2, None), (3, 1)):
        # The same sums in batches of another size: float32 rounding of a network with outputs of order 1.
        found = replace(made, n=n, batch=batch)().pictures
        torch.testing.assert_close(found, five[:n], rtol=0, atol=1e-5)
    assert float((five[0] - five[1]).abs().max()) > 0.01
    assert float((replace(made, seed=4)().pictures - five).abs().max()) > 0.01


def test_samples_of_a_gaussian_have_its_mean_and_spread() -> None:
    variances = torch.full((1, 2, 2), 0.04)
    prior = GaussianPrior(torch.tensor([[[0.2, 0.8], [0.5, 0.4]]]), variances)
    x = draw(prior, sampler_of("dpm++"), log_uniform(40, 10.0, 0.01), (1, 2, 2), 4000, mean=0.5, batch=1500)
    assert x.shape == (4000, 1, 2, 2)
    torch.testing.assert_close(x.mean(0), prior.mean, rtol=0, atol=5 * 0.2 / 4000**0.5)
    # 4000 draws give a deviation to 1.1 %; the grid costs another 1 %.
    torch.testing.assert_close(x.std(0), variances.sqrt(), rtol=0.06, atol=0)


def test_progress_counts_all_calls_and_a_nan_stops() -> None:
    seen: list[tuple[int, int]] = []
    sigmas = log_uniform(4, 1.0, 0.1)
    draw(lambda x, sigma: 0.5 * x, Heun(), sigmas, (1, 2, 2), 5, batch=2, progress=lambda *c: seen.append(c))
    assert seen == [(i, 21) for i in range(1, 22)]  # 7 calls, three batches
    with pytest.raises(BadInput, match=r"diverged at sigma 1 \(not a number\)"):
        draw(lambda x, sigma: x / 0, DDIM(), sigmas, (1, 2, 2), 1)


def test_the_first_state_is_the_mean_and_noise_of_the_first_level() -> None:
    states: list[Tensor] = []

    def watched(x: Tensor, sigma: float | Tensor, /) -> Tensor:
        states.append(x)
        return x

    draw(watched, DDIM(), [3.0, 0.0], (1, 2, 3), 2, mean=-4.0, seed=7)
    noise = torch.cat([streams(7, i, 1).normal(torch.zeros(1, 1, 2, 3)) for i in range(2)])
    torch.testing.assert_close(torch.cat(states), -4 + 3 * noise)


# --- settings ---


def test_levels_hide_the_largest_component_within_what_was_trained() -> None:
    spec = spec_of(Path(load_prior("natural-fast").path))
    assert isinstance(spec, PriorSpec)
    wide = replace(spec, sigma_data=0.2, sigma_min=1e-3, sigma_max=1e4)
    found = levels(wide, 30, 120, 7)
    assert len(found) == 8
    assert found[-1] == 0
    assert found[0] == pytest.approx(5 * 0.2 * 60)
    assert found[-2] == pytest.approx(0.2 / 30)
    assert levels(replace(wide, sigma_min=0.05, sigma_max=9.0), 30, 120, 7)[::6] == pytest.approx([9.0, 0.05], rel=1e-9)
    foreign = ForeignSpec("f", "diffusers", (3,), 8, "eps", 0.005, 78.0, "linear", side=32)
    assert levels(foreign, 32, 32, 3)[0] == pytest.approx(5 * 0.25 * 32)
    assert trained_side(foreign) == 32
    assert trained_side(spec) == 64


def test_samplers_from_text() -> None:
    assert [type(sampler_of(name)) for name in SAMPLERS] == list(SAMPLERS.values())
    heun = sampler_of("heun:churn=20")
    assert isinstance(heun, Heun)
    assert heun.churn == 20
    ddim = sampler_of("ddim", 0.3)
    assert isinstance(ddim, DDIM)
    assert ddim.eta == 0.3


def test_the_trained_size_is_the_default(classes: Path, tmp_path: Path) -> None:
    assert Sampling(prior=str(classes)).shape == (1, 16, 16)
    assert Sampling(prior=str(saved(tmp_path / "t.safetensors"))).shape == (1, 64, 64)
    assert Sampling(prior="natural-fast", size=(3, 5)).shape == (3, 3, 5)


def test_another_size_than_that_of_the_training_is_said_where_it_matters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A prior of latents knows whole pictures, one of patches does not."""
    assert Sampling(prior="fftd-cats").off_size is None
    assert Sampling(prior="natural-fast", size=(32, 48)).off_size is None
    go("sample", "fftd-cats", "--n", 1, "--steps", 2, "--size", "16x24", "--out", tmp_path / "cat.png")
    assert "trained on pictures of 64x64; at 16x24" in capsys.readouterr().err


def test_a_class_and_its_guidance(classes: Path) -> None:
    made = Sampling(prior=str(classes), n=1, steps=3, precision="fp32")
    none, first, second = (replace(made, label=k)().pictures for k in (None, 0, 1))
    assert float((first - second).abs().max()) > 1e-4
    assert float((first - none).abs().max()) > 1e-4
    assert torch.equal(replace(made, label=0, guidance=1.0)().pictures, first)
    guided = replace(made, label=0, guidance=2.5)()
    assert guided.nfe == 6
    assert guided.settings["guidance"] == 2.5
    prior = GuidedByClass(
        load_prior(str(classes), label=0, precision="fp32"), load_prior(str(classes), precision="fp32"), 2.5
    )
    sigmas = guided.settings["sigmas"]
    expected = draw(prior, sampler_of("dpm++"), sigmas, (1, 16, 16), 1, mean=0.5)
    torch.testing.assert_close(guided.pictures, expected)
    # No class at weight 0: the pictures of the network without one.
    torch.testing.assert_close(replace(made, label=2, guidance=0.0)().pictures, none, rtol=0, atol=1e-5)
    calls: list[tuple[int, int]] = []
    replace(made, label=0, guidance=2.0)(lambda *c: calls.append(c))
    assert calls == [(2, 6), (4, 6), (6, 6)]
    with pytest.raises(BadInput, match="3 classes"):
        replace(made, label=3).check()
    with pytest.raises(BadInput, match="knows no classes"):
        Sampling(prior="natural-fast", label=0).check()


def test_guidance_needs_a_prior_that_was_trained_without_a_class_too(monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = ForeignSpec("f", "diffusers", (3,), 8, "eps", 0.005, 78.0, "linear", side=32, classes=4)
    monkeypatch.setattr(sampling, "load_prior", lambda name, **rest: SimpleNamespace(spec=foreign))
    made = Sampling(prior="f", label=1)
    made.check()
    assert made.shape == (3, 32, 32)
    with pytest.raises(BadInput, match="was not trained without a class"):
        replace(made, guidance=3.0).check()


def test_a_prior_of_latents_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    class Latents:
        spec = PriorSpec("latents", {"kind": "unet", "bands": [1, 3]}, 1.0, 0.0, domain="latent")
        precision, sha256, bands, cascade = "fp32", "", 3, None

        def for_bands(self, bands: int) -> Latents:
            self.bands = bands
            return self

        def denoise(self, z: Tensor, sigma: float | Tensor, /) -> Tensor:
            return torch.full_like(z, 0.125)

        def encode(self, x: Tensor, /) -> Tensor:
            return x[:, :2, ::4, ::4]

        def decode(self, z: Tensor, /) -> Tensor:
            assert len(z) == 1
            return 4 * z[:, :1].repeat_interleave(4, -1).repeat_interleave(4, -2).expand(-1, self.bands, -1, -1)

    monkeypatch.setattr(sampling, "load_prior", lambda name, **rest: Latents())
    found = Sampling(prior="latents", n=3, steps=4, size=(7, 9))()
    assert found.pictures.shape == (3, 3, 7, 9)
    torch.testing.assert_close(found.pictures, torch.full((3, 3, 7, 9), 0.5))
    assert Sampling(prior="latents").domain == "srgb"
    assert Sampling(prior="latents", n=1, steps=2, size=(4, 8), bands=1)().pictures.shape == (1, 1, 4, 8)


def test_the_file_of_a_prior_of_latents_with_classes(latent: Path, tmp_path: Path) -> None:
    go(
        "sample",
        latent,
        "--n",
        2,
        "--steps",
        3,
        "--size",
        "22x33",
        "--label",
        1,
        "--guidance",
        2,
        "--out",
        tmp_path / "g.tif",
    )
    shown = read_picture(tmp_path / "g.tif").pixels
    assert shown.shape == (3, 22, 33 + 2 + 33)
    made = Sampling(prior=str(latent), n=2, steps=3, size=(22, 33), label=1, guidance=2.0)
    assert made.domain == "srgb"
    found = made()
    assert found.nfe == 6
    np.testing.assert_array_equal(shown, mosaic(found.pictures.clamp(0, 1).numpy()))
    with_class, without = load_prior(str(latent), label=1), load_prior(str(latent))
    assert isinstance(with_class, LatentPrior)
    assert isinstance(without, LatentPrior)
    z = draw(
        GuidedByClass(with_class.denoise, without.denoise, 2.0),
        sampler_of("dpm++"),
        found.settings["sigmas"],
        (4, 6, 9),
        2,
        batch=2,
    )
    with torch.no_grad():
        expected = with_class.decode(z)[..., :22, :33]
    torch.testing.assert_close(found.pictures, expected, rtol=0, atol=1e-4)  # decoded one by one
    assert Sampling(prior=str(latent)).shape == (3, 32, 32)  # what it was trained on


# --- grids ---


def test_a_mosaic_is_what_it_is_made_of() -> None:
    pictures = [np.full((2, 3, 4), i / 8, np.float32) for i in range(5)]
    grid = mosaic(pictures)
    assert grid.shape == (2, 2 * 3 + 2, 3 * 4 + 4)
    for i, picture in enumerate(pictures):
        top, left = i // 3 * 5, i % 3 * 6
        np.testing.assert_array_equal(grid[:, top : top + 3, left : left + 4], picture)
    assert (grid[:, 3:5] == 1).all()
    assert (grid[:, :, 4:6] == 1).all()
    assert (grid[:, 5:, 12:] == 1).all()  # where a sixth would be
    assert mosaic(pictures, columns=1, gap=0).shape == (2, 15, 4)
    assert mosaic(pictures[:1]).shape == (2, 3, 4)


def test_the_record_is_complete(tmp_path: Path) -> None:
    """With the settings of a record alone the pictures come back."""
    go("sample", "natural-fast", "--n", 2, "--steps", 3, "--size", "16", "--solver", "ddim", "--eta", "0.5", "--seed", 5,
       "--out", tmp_path / "g.tif")  # fmt: skip
    r = json.loads((tmp_path / "g.tif.json").read_text())
    prior = load_prior(r["prior"]["name"], precision=r["precision"])
    spec = prior.spec
    assert isinstance(spec, PriorSpec)
    x = draw(
        prior,
        DDIM(r["eta"]),
        r["sigmas"],
        tuple(r["size"]),
        r["samples"],
        mean=spec.mean,
        seed=r["seed"],
        batch=r["batch"],
    )
    np.testing.assert_array_equal(read_picture(tmp_path / "g.tif").pixels, mosaic(x.clamp(0, 1).numpy()))
