"""Each command once, on small real files with the shipped prior."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import tifffile
import torch
from PIL import Image

from restorekit.cli.main import run
from restorekit.files.picture import read_picture, sha256
from restorekit.metrics.fidelity import psnr
from restorekit.priors.find import load_prior

PHOTO = skimage.data.astronaut()


def go(*arguments: object) -> None:
    """Run a command that must succeed."""
    with pytest.raises(SystemExit) as stop:
        run([str(a) for a in arguments])
    assert stop.value.code == 0


def photo(path: Path, h: int = 72, w: int = 64) -> Path:
    Image.fromarray(PHOTO[40 : 40 + h, 190 : 190 + w]).save(path)
    return path


def measure(
    d: Path, op: str, noise: str = "gaussian:0.02", dtype: str = "uint16", name: str = "y.tif", size: tuple[int, int] = (72, 64)
) -> Path:  # fmt: skip
    go("degrade", photo(d / "photo.png", *size), d / name, "--op", op, "--noise", noise, "--dtype", dtype)
    return d / name


def gain(d: Path, restored: Path, measured: Path) -> float:
    truth = read_picture(d / "y_truth.tif").pixels
    return psnr(read_picture(restored).pixels, truth) - psnr(read_picture(measured).pixels, truth)


def test_denoise_gains_several_db(tmp_path: Path) -> None:
    y = measure(tmp_path, "denoise", "gaussian:0.1")
    go("denoise", y, tmp_path / "out.tif", "--noise", "gaussian:0.1")
    assert gain(tmp_path, tmp_path / "out.tif", y) > 6


def test_deblur_with_a_kernel_file_gains_several_db(tmp_path: Path) -> None:
    np.save(tmp_path / "k.npy", np.eye(9))
    y = measure(tmp_path, f"blur:kernel={tmp_path / 'k.npy'}")
    go("deblur", y, tmp_path / "out.tif", "--kernel", tmp_path / "k.npy", "--noise", "gaussian:0.02")
    assert gain(tmp_path, tmp_path / "out.tif", y) > 4


def test_inpaint_fills_missing_pixels_and_keeps_measured_ones(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).random((72, 64)) > 0.6
    Image.fromarray(mask).save(tmp_path / "m.png")
    y = measure(tmp_path, f"inpaint:mask={tmp_path / 'm.png'}", "gaussian:0.01")
    go("inpaint", y, tmp_path / "out.tif", "--mask", tmp_path / "m.png")
    out, truth = (read_picture(tmp_path / n).pixels for n in ("out.tif", "y_truth.tif"))
    assert psnr(out, truth) > 22
    assert np.abs(out - truth)[:, mask].mean() < 0.02


def test_upscale_and_its_size_option_for_odd_sizes(tmp_path: Path) -> None:
    go("degrade", photo(tmp_path / "p.png", 37, 30), tmp_path / "y.png", "--op", "average:factor=4")
    assert read_picture(tmp_path / "y.png").pixels.shape == (3, 10, 8)
    go("upscale", tmp_path / "y.png", tmp_path / "a.png", "--factor", 4)
    assert read_picture(tmp_path / "a.png").pixels.shape == (3, 40, 32)
    op = "average:factor=4,size=37x30"
    go("restore", tmp_path / "y.png", tmp_path / "b.png", "--op", op, "--noise", "gaussian:0.01", "--steps", 4)
    assert read_picture(tmp_path / "b.png").pixels.shape == (3, 37, 30)


def test_nothing_that_is_written_is_the_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, *rest in (
        ("y_truth.png", "degrade"),
        ("y_std.png", "denoise"),
        ("y_mean.png", "denoise"),
    ):
        source = photo(tmp_path / name)
        before = source.read_bytes()
        samples = () if rest[0] == "degrade" else ("--samples", "2")
        with pytest.raises(SystemExit) as stop:
            run([str(a) for a in (rest[0], source, tmp_path / "y.png", *rest[1:], *samples)])
        assert stop.value.code == 1
        assert "is the input itself" in capsys.readouterr().err
        assert source.read_bytes() == before


def test_degrade_adds_noise_alone_where_no_operator_is_named(tmp_path: Path) -> None:
    go(
        "degrade",
        photo(tmp_path / "p.png"),
        tmp_path / "y.tif",
        "--noise",
        "gamma:4",
        "--correlated",
        "iw2",
        "--dtype",
        "float32",
    )
    y, x = (read_picture(tmp_path / f"{n}.tif", (0.0, 1.0)).pixels for n in ("y", "y_truth"))
    assert 0.05 < float(np.std(y / np.maximum(x, 1e-3))) < 1


def test_colorize_gives_three_bands_whose_luminance_is_the_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    go("degrade", photo(tmp_path / "p.png"), tmp_path / "y.png", "--op", "grey", "--noise", "gaussian:0.005")
    go("colorize", tmp_path / "y.png", tmp_path / "out.png", "--steps", 10)
    assert "knows no colours of objects" in capsys.readouterr().err
    y, out = read_picture(tmp_path / "y.png").pixels, read_picture(tmp_path / "out.png").pixels
    assert out.shape[0] == 3
    assert np.abs(np.tensordot([0.299, 0.587, 0.114], out, 1) - y[0]).mean() < 0.02


def test_samples_give_mean_std_and_a_record(tmp_path: Path) -> None:
    y = measure(tmp_path, "denoise", "gaussian:0.1")
    go("denoise", y, tmp_path / "out.png", "--noise", "gaussian:0.1", "--samples", 3, "--steps", 5, "--seed", 0)
    names = {p.name for p in tmp_path.glob("out*")}
    assert names == {
        "out.png",
        *(f"out_{end}" for end in ("mean.png", "std.tif", "std.png", "low.png", "high.png")),
        "out.png.json",
    }
    record = json.loads((tmp_path / "out.png.json").read_text())
    assert record["nfe"] == 5  # the sampler of the task takes a call a level
    assert record["samples"] == 3
    assert record["seed"] == 0
    assert record["solver"] == "MMPS"
    assert record["outputs"][str(tmp_path / "out.png")] == sha256(tmp_path / "out.png")
    assert record["input"]["sha256"] == sha256(y)
    std = tifffile.imread(tmp_path / "out_std.tif")
    assert std.dtype == np.float32
    assert 0 < std.mean() < 0.1 * 65535  # in the unit of the 16-bit file


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path: Path) -> None:
    y = measure(tmp_path, "denoise", "gaussian:0.1")
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        go("denoise", y, tmp_path / f"{name}.tif", "--noise", "gaussian:0.1", "--solver", "diffpir", "--steps", 3, "--seed", seed)  # fmt: skip
    a, b, c = ((tmp_path / f"{n}.tif").read_bytes() for n in "abc")
    assert a == b
    assert a != c


def test_16_bit_alpha_and_odd_sizes_survive(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rgba = np.concatenate([PHOTO[:17, :90].astype(np.uint16) * 257, rng.integers(0, 65535, (17, 90, 1), np.uint16)], 2)
    tifffile.imwrite(tmp_path / "y.tif", rgba, photometric="rgb", extrasamples=["unassalpha"])
    go("denoise", tmp_path / "y.tif", tmp_path / "out.tif", "--noise", "gaussian:0.02")
    out = tifffile.imread(tmp_path / "out.tif")
    assert out.dtype == np.uint16
    np.testing.assert_array_equal(out[..., 3], rgba[..., 3])
    assert len(np.unique(out[..., :3] % 257)) > 50  # 16 bits are used, not 8 shifted


@pytest.mark.parametrize(("h", "w"), [(17, 900), (5, 4), (33, 8)])
def test_awkward_sizes(h: int, w: int, tmp_path: Path) -> None:
    wide = np.tile(PHOTO[:h], (1, 2, 1))[:, :w]
    Image.fromarray(wide).save(tmp_path / "y.png")
    go("deblur", tmp_path / "y.png", tmp_path / "out.png", "--kernel", "uniform:3", "--steps", 2)
    assert Image.open(tmp_path / "out.png").size == (w, h)


def test_grey_and_five_band_files_use_the_grey_half_of_the_prior(tmp_path: Path) -> None:
    truth = np.stack([PHOTO[:40, 60:100, i % 3] for i in range(5)], -1).astype(np.float32) / 255
    noisy = truth + 0.1 * np.random.default_rng(0).standard_normal(truth.shape).astype(np.float32)
    np.save(tmp_path / "y.npy", noisy)
    np.save(tmp_path / "grey.npy", noisy[..., 0])
    go("denoise", tmp_path / "y.npy", tmp_path / "out.npy", "--noise", "gaussian:0.1")
    go("denoise", tmp_path / "grey.npy", tmp_path / "grey_out.npy", "--noise", "gaussian:0.1")
    out = np.load(tmp_path / "out.npy")
    assert out.shape == truth.shape
    assert psnr(out.transpose(2, 0, 1), truth.transpose(2, 0, 1)) > 25
    np.testing.assert_allclose(out[..., 0], np.load(tmp_path / "grey_out.npy"), atol=5e-3)


def test_the_result_does_not_depend_on_the_tile_size(tmp_path: Path) -> None:
    prior = [load_prior("natural", tile=tile, precision="fp32") for tile in (None, 16, 48)]
    x = torch.from_numpy(read_picture(photo(tmp_path / "p.png", 90, 53)).pixels)[None]
    x = x + 0.2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole, *tiled = (p(x, 0.2) for p in prior)
    for t in tiled:
        torch.testing.assert_close(t, whole, atol=1e-5, rtol=0)


def test_measurements_that_are_no_pictures(tmp_path: Path) -> None:
    image = photo(tmp_path / "p.png", 16, 16)
    go("degrade", image, tmp_path / "y.npy", "--op", "hadamard:size=16x16,ratio=0.5")
    op = "hadamard:size=16x16,ratio=0.5"
    args = ("restore", tmp_path / "y.npy", tmp_path / "out.png", "--op", op, "--noise", "gaussian:0.01", "--steps", 20)
    go(*args)
    assert psnr(read_picture(tmp_path / "out.png").pixels, read_picture(image).pixels) > 18


def test_own_operator_and_own_solver(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        """
from __future__ import annotations
from dataclasses import dataclass
from typing import Literal
from restorekit.operators import LinearOperator
from restorekit.solvers import DiffPIR

@dataclass(frozen=True, eq=False)
class Half(LinearOperator):
    gain: float = 0.5
    kind: Literal["a", "b"] = "a"
    def __call__(self, x):
        return self.gain * x

@dataclass(frozen=True, eq=False)
class Mine(DiffPIR):
    pass
"""
    )
    y = measure(tmp_path, f"{tmp_path / 'mine.py'}:Half:gain=0.5", "gaussian:0.05")
    go("check", f"{tmp_path / 'mine.py'}:Half:gain=0.5")
    solver = f"{tmp_path / 'mine.py'}:Mine:zeta=0"
    args = ("--op", f"{tmp_path / 'mine.py'}:Half", "--noise", "gaussian:0.05", "--solver", solver, "--steps", 8)
    go("restore", y, tmp_path / "out.tif", *args)
    assert gain(tmp_path, tmp_path / "out.tif", y) > 8


@pytest.mark.parametrize(("noise", "least"), [("poisson:30", 7), ("gamma:4", 7), ("gamma:4,domain=amplitude", 8)])
def test_counts_and_speckle_have_defaults_that_work(noise: str, least: float, tmp_path: Path) -> None:
    y = measure(tmp_path, "denoise", noise)
    go("denoise", y, tmp_path / "out.tif", "--noise", noise)
    assert gain(tmp_path, tmp_path / "out.tif", y) > least
    record = json.loads((tmp_path / "out.tif.json").read_text())
    assert record["steps"] == 8
    assert 0.5 < record["misfit"] < 1.5
    assert record["device"] in ("cpu", "cuda", "mps")
    assert record["precision"] in ("bf16", "fp32")


@pytest.mark.parametrize("solver", ["hqs", "dps", "vds"])
def test_what_a_file_holds_behind_the_mask_is_of_no_account(solver: str, tmp_path: Path) -> None:
    """Black, white, or the whole picture: one result."""
    x = np.array(Image.open(photo(tmp_path / "x.png", 32, 24)))
    mask = np.random.default_rng(0).random(x.shape[:2]) < 0.5
    Image.fromarray((255 * mask).astype(np.uint8)).save(tmp_path / "m.png")
    found = []
    for i, hole in enumerate((0, 255, x)):
        y, out = tmp_path / f"y{i}.png", tmp_path / f"o{i}.png"
        Image.fromarray(np.where(mask[..., None], x, hole).astype(np.uint8)).save(y)
        go("inpaint", y, out, "--mask", tmp_path / "m.png", "--prior", "natural-fast", "--solver", solver, "--steps", 4)
        found.append(np.array(Image.open(out)))
    assert (found[0] == found[1]).all()
    assert (found[0] == found[2]).all()


def test_a_blur_with_counts_has_a_default(tmp_path: Path) -> None:
    y = measure(tmp_path, "blur:kernel=motion:9:30", "poisson:300")
    go("deblur", y, tmp_path / "out.tif", "--kernel", "motion:9:30", "--noise", "poisson:300")
    assert gain(tmp_path, tmp_path / "out.tif", y) > 3


def test_a_wrong_operator_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    y = measure(tmp_path, "blur:kernel=motion:9:30", "gaussian:0.01")
    go("deblur", y, tmp_path / "out.tif", "--kernel", "gaussian:3", "--noise", "gaussian:0.01")
    assert "misses the measurement" in capsys.readouterr().err


def test_missing_pixels_may_be_nan_where_the_mask_is_black(tmp_path: Path) -> None:
    clean = np.asarray(Image.open(photo(tmp_path / "p.png")))[..., 1] / 255.0
    holes = np.random.default_rng(0).random(clean.shape) < 0.3
    tifffile.imwrite(tmp_path / "y.tif", np.where(holes, np.nan, clean).astype(np.float32))
    Image.fromarray(~holes).save(tmp_path / "m.png")
    go("inpaint", tmp_path / "y.tif", tmp_path / "out.tif", "--mask", tmp_path / "m.png", "--steps", 8)
    out = read_picture(tmp_path / "out.tif").pixels[0]
    assert np.isfinite(out).all()
    assert psnr(out[None], clean[None].astype(np.float32)) > 25


def test_error_bars_of_an_earlier_run_are_pointed_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    y = photo(tmp_path / "y.png", 24, 20)
    args = ("denoise", y, tmp_path / "out.png", "--noise", "gaussian:0.1", "--steps", 2)
    go(*args, "--samples", 2)
    assert "earlier run" not in capsys.readouterr().err
    go(*args)
    assert (
        "out_mean.png, out_std.tif, out_std.png, out_low.png, out_high.png: of an earlier run"
        in capsys.readouterr().err
    )


def test_poisson_and_gamma_with_dps(tmp_path: Path) -> None:
    for noise, steps in (("poisson:30", 30), ("gamma:4", 100)):
        y = measure(tmp_path, "denoise", noise, size=(32, 24))
        told = ("--op", "denoise", "--noise", noise, "--solver", "dps", "--steps", steps, "--samples", 2)
        go("restore", y, tmp_path / "out.tif", *told)
        assert gain(tmp_path, tmp_path / "out_mean.tif", y) > 3  # one draw: 2.9 to 5.9 by its seed and the rounding


def stop(*args: object, **kwargs: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("first", [(), ("--debug",)])
def test_an_interrupt_leaves_nothing_half_written(
    first: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    y = measure(tmp_path, "denoise", size=(32, 24))
    before = set(tmp_path.iterdir())
    monkeypatch.setattr("restorekit.solvers.diffpir.HQS.__call__", stop)
    with pytest.raises(SystemExit) as ended:
        run([*first, "denoise", str(y), str(tmp_path / "out.png")])
    assert ended.value.code == 130
    assert capsys.readouterr().err.splitlines()[-1] == "restorekit: stopped; nothing was written"
    assert set(tmp_path.iterdir()) == before


def test_an_interrupted_search_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("restorekit.cli.main._command", lambda: stop)  # as older versions of typer let it through
    with pytest.raises(SystemExit) as ended:
        run(["--debug", "tune", "restore"])
    assert ended.value.code == 130
    assert capsys.readouterr().err == "restorekit: stopped; what was measured is kept, the same command goes on\n"


def test_an_interrupted_training_promises_what_it_can_keep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pictures").mkdir()
    photo(tmp_path / "pictures" / "0.png", 40, 48)
    (tmp_path / "c.yaml").write_text("model: {widths: [8]}\ndata: {crop: 16}\noptim: {steps: 1, batch: 2}\n")
    command = ["train", "unet", "--config", tmp_path / "c.yaml", "--data", tmp_path / "pictures", "--quiet"]
    command = [str(a) for a in [*command, "--out", tmp_path / "run"]]

    def told(*more: str) -> str:
        with pytest.raises(SystemExit) as ended:
            run([*command, *more])
        assert ended.value.code == 130
        return capsys.readouterr().err

    with monkeypatch.context() as patch:
        patch.setattr("restorekit.training.data.cache.rgb8", stop)
        assert told() == "restorekit: stopped; no checkpoint yet, so begin again without --resume\n"
    go(*command)
    capsys.readouterr()
    monkeypatch.setattr("restorekit.training.data.patches.Patches.batch", stop)
    assert told("--resume", "--set", "optim.steps=2") == (
        "restorekit: stopped; --resume goes on from the last checkpoint\n"
    )


def test_check_prints_both_sides(capsys: pytest.CaptureFixture[str]) -> None:
    go("check", "blur:kernel=motion:5:20,boundary=circular", "--size", "1x8x9")
    out = capsys.readouterr().out
    assert "<A x, z> = <x, A' z>" in out
    assert "singular values = dense SVD" in out
    assert "identities hold" in out


def test_metrics_cite_and_priors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = photo(tmp_path / "p.png")
    go("metrics", image, image, "--json")
    assert json.loads(capsys.readouterr().out)["psnr"] == "inf"
    go("cite", "ddrm")
    assert "kawar2022ddrm" in capsys.readouterr().out
    go("priors", "list")
    assert "natural" in capsys.readouterr().out
    go("priors", "show", "natural")
    assert "Licence" in capsys.readouterr().out
    go("priors", "verify", "natural")
    assert "sha256" in capsys.readouterr().out


def test_train_then_use_the_prior(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for i in range(3):
        photo(tmp_path / "pictures" / f"{i}.png", 40 + i, 48)
    (tmp_path / "c.yaml").write_text(
        "name: tiny\nmodel: {widths: [8, 16]}\ndata: {crop: 16}\noptim: {steps: 4, batch: 4}\n"
    )
    args = ("--config", tmp_path / "c.yaml", "--data", tmp_path / "pictures", "--out", tmp_path / "run", "--quiet")
    go("train", "unet", *args, "--set", "run.sample_every=4")
    assert (tmp_path / "run" / "samples" / "0000004.png").exists()
    prior = tmp_path / "run" / "prior.safetensors"
    go("denoise", tmp_path / "pictures" / "0.png", tmp_path / "out.png", "--prior", prior, "--noise", "gaussian:0.05")


def test_a_group_without_its_command_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run(["priors"])
    said = capsys.readouterr()
    assert stop.value.code == 2
    assert said.err.splitlines()[-1] == "restorekit: restorekit priors takes a command (see `restorekit priors --help`)"
