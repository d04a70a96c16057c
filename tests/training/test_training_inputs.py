"""Trained files that a run begins with or builds on: refused early, and known again when it is resumed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from restorekit.errors import BadInput
from restorekit.priors.formats.checkpoint import PriorSpec, build, load, read_spec, save
from restorekit.training.config import Config
from restorekit.training.data.cache import Pictures
from restorekit.training.loop import train
from restorekit.training.state import Header
from tests.support.training_runs import mixed_pictures, same_weights, weights

UNET = {"kind": "unet", "bands": [3], "widths": [8], "embed": 8}
LOW = {"kind": "pisdm", "width": 16, "depth": 1, "head": 8, "state": 4, "embed": 8, "side": 16}
CODEC = {
    "kind": "codec", "width": 8, "multipliers": [1], "blocks": 1, "attention": 0, "side": 16, "codes": 8,
    "mean": [0.1, -0.2, 0.0, 0.3], "std": [0.5, 1.0, 2.0, 1.5],
}  # fmt: skip
FFTD = {"kind": "fftd", "width": 8, "heads": 1, "embed": 8}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return mixed_pictures(tmp_path / "pictures")


@pytest.fixture
def trained(tmp_path: Path) -> Callable[..., str]:
    """A file of random weights: trained(arch, ...) is its path."""

    def made(arch: dict[str, Any], seed: int = 0, **training: Any) -> str:
        torch.manual_seed(seed)
        spec = PriorSpec("given", arch, 0.25, training=training)
        path = tmp_path / f"{arch['kind']}.safetensors"
        save(path, build(spec).state_dict(), spec)
        return str(path)

    return made


def config(model: dict[str, Any], steps: int = 2, **sections: Any) -> Config:
    model = {k: v for k, v in model.items() if k not in ("mean", "std")}
    optim = {"batch": 2, "steps": steps, "warmup": 1, "decay_from": 1}
    common: dict[str, Any] = {"data": {"crop": 16}, "optim": optim, "run": {"precision": "fp32", "sample_every": 99}}
    return Config.model_validate({"model": model} | common | sections)


def forget(state: Path, *keys: str) -> None:
    """Make of a state one of an older version, without these in its header."""
    with safe_open(state, framework="pt") as f:
        header = f.metadata()
    save_file(weights(state), state, metadata={k: v for k, v in header.items() if k not in keys})


def test_files_that_cannot_serve_are_refused_before_a_picture_is_read(
    trained: Callable[..., str], pictures: Path, tmp_path: Path
) -> None:
    unet, codec, low = trained(UNET), trained(CODEC), trained(LOW, config={"data": {"shrink": 3}})
    none = str(tmp_path / "none.safetensors")
    wrong: list[tuple[Config, str]] = [
        (config(FFTD | {"codec": none}), r"model\.codec: .*none.*no such file"),
        (config(FFTD | {"codec": "nothing"}), r"model\.codec: unknown prior 'nothing'; shipped: "),
        (config(FFTD | {"codec": unet}), rf"model\.codec={unet} is no codec; train one with model.kind=codec"),
        (config(FFTD | {"codec": codec}, init=unet), f"init={unet} is of another architecture; use the model section"),
        (config(LOW, cascade={"low": none}), r"cascade\.low: .*none.*no such file"),
        (config(LOW, cascade={"low": codec}), rf"cascade\.low={codec} is no PIS-DM; train one with"),
        (config(LOW, cascade={"low": low}), r"cascade\.low=.* was trained with data\.shrink=3, .* is 2; set"),
        (config(UNET, init=none), "init: .*none.*no such file"),
        (config(UNET, init=str(pictures / "a.png")), "init: .*a.png .*it is a PNG picture"),
        (config(UNET, init=codec), f"init={codec} is of another architecture"),
    ]
    for settings, words in wrong:
        with pytest.raises(BadInput, match=words) as error:
            train(settings, pictures, tmp_path / "run", quiet=True)
        assert "\n" not in str(error.value)
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("key", ["model.codec", "cascade.low"])
def test_resume_notices_another_file_under_the_name(
    key: str, trained: Callable[..., str], pictures: Path, tmp_path: Path
) -> None:
    arch, out = (CODEC if key == "model.codec" else LOW), tmp_path / "run"
    place = trained(arch, seed=1)
    kept = Path(place)
    another = kept.read_bytes()
    trained(arch)
    right = kept.read_bytes()
    sections: dict[str, Any] = {"cascade": {"low": place, "kappa": 0}} if arch is LOW else {}
    model = LOW if arch is LOW else FFTD | {"codec": place}

    def go_on(steps: int) -> None:
        train(config(model, steps, **sections), pictures, out, resume=steps > 1, quiet=True)

    go_on(1)
    kept.write_bytes(another)
    words = (
        rf"`resume`: {key}=.* is not what it was when the run began \(sha256 \w{{12}}, not \w{{12}}\); put that file"
    )
    with pytest.raises(BadInput, match=words):
        go_on(2)
    kept.write_bytes(right)
    go_on(2)
    kept.write_bytes(another)
    forget(out / "state.safetensors", "files", "inherited")  # of an older version: cannot be checked
    go_on(3)
    kept.write_bytes(right)
    with pytest.raises(BadInput, match=words):  # from there on it can
        go_on(4)


@pytest.mark.parametrize("old", [False, True])
def test_resume_does_without_what_the_run_began_from(
    old: bool, trained: Callable[..., str], pictures: Path, tmp_path: Path
) -> None:
    init, out = trained(UNET), tmp_path / "run"
    first, more = (config(UNET, steps, init=init) for steps in (1, 2))
    whole = train(more, pictures, tmp_path / "whole", quiet=True)
    begun = Header.read(tmp_path / "whole" / "state.safetensors").files
    assert begun.keys() == {"init"}
    train(first, pictures, out, quiet=True)
    if old:
        forget(out / "state.safetensors", "files", "inherited")
    Path(init).unlink()
    assert same_weights(whole, train(more, pictures, out, resume=True, quiet=True))
    assert Header.read(out / "state.safetensors").files == ({} if old else begun)


@pytest.mark.parametrize("old", [False, True])
def test_resume_goes_on_with_what_was_measured(
    old: bool, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, plain = tmp_path / "run", Pictures.some
    monkeypatch.setattr(Pictures, "some", lambda self, n: plain(self, 2))  # of five

    def moments(steps: int) -> tuple[float, float]:
        spec = read_spec(train(config(UNET, steps), pictures, out, resume=steps > 1, quiet=True))
        return spec.mean, spec.sigma_data

    begun, found = moments(1), Pictures.cached(out / "cache").at_least(16)
    leading = replace(found, leading=True).sigma_data()
    assert begun == found.sigma_data() != leading
    if old:  # it had measured the first ones
        forget(out / "state.safetensors", "measured")
    with monkeypatch.context() as patch:
        if not old:
            patch.setattr(Pictures, "sigma_data", lambda self: pytest.fail("measured again"))
        assert moments(2) == (leading if old else begun)
    assert moments(3) == (leading if old else begun)  # from there on the state holds it


def test_a_decoder_keeps_the_moments_of_the_latent_it_began_from(
    trained: Callable[..., str], pictures: Path, tmp_path: Path
) -> None:
    init, out = trained(CODEC), tmp_path / "run"
    loss = {"decoder_only": True, "perceptual": 0.0}

    def go_on(steps: int) -> Path:
        path = train(config(CODEC, steps, init=init, loss=loss), pictures, out, resume=steps > 1, quiet=True)
        assert [read_spec(path).arch[k] for k in ("mean", "std")] == [CODEC["mean"], CODEC["std"]]
        return path

    path = go_on(1)
    net, spec = load(Path(init))
    moved = replace(spec, arch=spec.arch | {"mean": [9.0] * 4})
    save(Path(init), net.state_dict(), moved)  # the run is not to look at it again
    go_on(2)
    Path(init).unlink()
    go_on(3)
    forget(out / "state.safetensors", "files", "inherited")
    with pytest.raises(BadInput, match=r"init: .*no such file"):  # an older state does not hold them
        go_on(4)
    save(Path(init), net.state_dict(), spec)
    whole = train(config(CODEC, 4, init=init, loss=loss), pictures, tmp_path / "whole", quiet=True)
    go_on(4)
    Path(init).unlink()
    assert same_weights(whole, path)
    go_on(5)
