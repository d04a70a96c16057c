"""Files that are no prior, or a damaged one: one line that says so, from every command that takes a prior."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from restorekit.cli.main import run
from restorekit.errors import BadInput
from restorekit.priors.find import load_prior
from restorekit.priors.formats import checkpoint
from restorekit.priors.formats import sniff as filetypes
from restorekit.priors.formats.checkpoint import PriorSpec
from restorekit.priors.networks.unet import UNetConfig
from tests.priors.test_unet import random_unet

TINY = UNetConfig((1, 3), (4, 6), embed=8)
ARCH = {"kind": "unet", **asdict(TINY)}
State = dict[str, Tensor]


def whole(path: Path) -> Path:
    checkpoint.save(path, random_unet(TINY).state_dict(), PriorSpec("tiny", ARCH, 0.25))
    return path


def weights(change: Callable[[State], object]) -> Callable[[Path], None]:
    """The whole checkpoint with its tensors changed."""

    def make(path: Path) -> None:
        state = load_file(whole(path))
        change(state)
        header = {"format": checkpoint.FORMAT, "spec": json.dumps(asdict(PriorSpec("tiny", ARCH, 0.25)))}
        save_file(state, path, metadata=header)

    return make


def header(format: str = checkpoint.FORMAT, text: str | None = None, **spec: Any) -> Callable[[Path], None]:
    """The whole checkpoint with another header."""

    def make(path: Path) -> None:
        state = load_file(whole(path))
        body = json.dumps(asdict(PriorSpec("tiny", ARCH, 0.25)) | spec) if text is None else text
        save_file(state, path, metadata={"format": format, "spec": body})

    return make


def content(data: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(data(whole(path).read_bytes()))

    return make


def picture(path: Path) -> None:
    Image.new("RGB", (9, 9)).save(path, "png")


class Runs:
    """A pickle that runs a command when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


def put(state: State, value: float) -> None:
    state["norm.weight"][1] = value


DAMAGED: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "another version": (".safetensors", header("restorekit-prior-9"), "another version of restorekit (restorekit-prior-9, this one reads"),
    "not ours": (".safetensors", lambda p: save_file({"a": torch.zeros(1)}, p), "without a restorekit-prior-1 header"),
    "state of a run": (".safetensors", lambda p: save_file({"a": torch.zeros(1)}, p, {"config": "{}", "step": "1"}), "prior.safetensors beside it"),
    "cut in the header": (".safetensors", content(lambda b: b[:60]), "cut short or damaged"),
    "cut in the weights": (".safetensors", content(lambda b: b[: len(b) // 2]), "cut short or damaged"),
    "empty": (".safetensors", content(lambda b: b""), "it is empty"),
    "noise": (".safetensors", content(lambda b: b"\x07" * 400), "cut short or damaged"),
    "a picture": (".safetensors", picture, "it is a PNG picture"),
    "a pickle": (".safetensors", lambda p: p.write_bytes(pickle.dumps(Runs())), "it is a pickle"),
    "a file of PyTorch": (".safetensors", lambda p: torch.save({"a": torch.zeros(1)}, p), "it is a PyTorch file"),
    "an array": (".safetensors", lambda p: p.write_bytes(b"\x93NUMPY" + bytes(90)), "it is a NumPy array"),
    "other shapes": (".safetensors", weights(lambda s: s.update({"stem.1.weight": torch.zeros(4, 1, 5, 5)})), "stem.1.weight is (4, 1, 5, 5), expected (4, 1, 3, 3)"),
    "a weight missing": (".safetensors", weights(lambda s: s.pop("norm.bias")), "1 missing, such as norm.bias"),
    "a weight too many": (".safetensors", weights(lambda s: s.update({"more": torch.zeros(1)})), "1 not known there, such as more"),
    "NaN": (".safetensors", weights(lambda s: put(s, float("nan"))), "hold NaN or infinity, such as norm.weight"),
    "infinity": (".safetensors", weights(lambda s: put(s, float("-inf"))), "hold NaN or infinity, such as norm.weight"),
    "header of no JSON": (".safetensors", header(text="{"), "not of this version"),
    "header of a list": (".safetensors", header(text="[1]"), "not of this version"),
    "header without an architecture": (".safetensors", header(text='{"name": "a", "sigma_data": 1.0}'), "not of this version"),
    "a setting too many": (".safetensors", header(newer=1), "not of this version"),
    "architecture of a list": (".safetensors", header(arch=[1]), "must be a text and settings"),
    "unknown architecture": (".safetensors", header(arch={"kind": "oracle"}), "unknown architecture 'oracle'; this version knows: "),
    "architecture of another type": (".safetensors", header(arch={"kind": ["unet"]}), "unknown architecture"),
    "unknown field": (".safetensors", header(arch=ARCH | {"heads": 2}), "its architecture is not of this version"),
    "widths of text": (".safetensors", header(arch=ARCH | {"widths": "abc"}), "its architecture is not of this version"),
    "negative widths": (".safetensors", header(arch=ARCH | {"widths": [-4, 6]}), "its architecture is not of this version"),
    "no widths": (".safetensors", header(arch=ARCH | {"widths": []}), "its architecture is not of this version"),
    "more than the memory": (".safetensors", header(arch=ARCH | {"widths": [4_000_000, 6]}), "weights do not fit"),
    "no spread": (".safetensors", header(sigma_data=0), "sigma_data=0, the spread of the data, must be above 0"),
    "a level that is NaN": (".safetensors", header(sigma_max=float("nan")), "sigma_max=nan is no number"),
    "a mean of text": (".safetensors", header(mean="a"), "mean='a' is no number"),
    "levels in another order": (".safetensors", header(sigma_min=5, sigma_max=1), "sigma_min=5 < sigma_max=1"),
    "unknown domain": (".safetensors", header(domain="sound"), "unknown domain 'sound'"),
    "pickle that runs": (".pt", lambda p: p.write_bytes(pickle.dumps(Runs())), "holds more than weights"),
    "file of PyTorch that runs": (".pt", lambda p: torch.save({"a": Runs()}, p), "holds more than weights"),
    "picture named .pt": (".pt", picture, "no PyTorch file: it is a PNG picture"),
    "safetensors named .pt": (".pt", content(lambda b: b), "no PyTorch file: it is a safetensors file"),
    "NaN in a .pt": (".pt", lambda p: torch.save({"a": torch.tensor([1.0, float("nan")])}, p), "1 of 1 weights hold NaN"),
    "weights of something else": (".pt", lambda p: torch.save({"a": torch.zeros(1)}, p), "flags that the weights do not say"),
}  # fmt: skip


def commands(prior: str) -> list[list[str]]:
    return [
        ["priors", "show", prior],
        ["priors", "verify", prior],
        ["priors", "eval", prior, "--data", "pictures"],
        ["sample", prior, "--out", "g.png", "--n", "1", "--steps", "1", "--size", "8"],
        ["denoise", "in.png", "out.png", "--noise", "gaussian:0.1", "--prior", prior],
    ]


@pytest.mark.parametrize("name", DAMAGED)
def test_each_command_refuses_it_in_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    suffix, make, expected = DAMAGED[name]
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 255, (20, 20, 3), np.uint8)
    Image.fromarray(noise).save("in.png")
    (tmp_path / "pictures").mkdir()
    Image.fromarray(noise).save("pictures/a.png")
    make(tmp_path / f"p{suffix}")
    before = set(tmp_path.rglob("*"))
    show, *others, restore = commands(f"p{suffix}")  # one reader serves them all: each of the others sees a third
    for words in (show, others[list(DAMAGED).index(name) % len(others)], restore):
        with pytest.raises(SystemExit) as stop:
            run(words)
        said = capsys.readouterr()
        lines = [line for line in said.err.splitlines() if line]
        assert stop.value.code == 1, words
        assert len(lines) == 1, words
        assert lines[0].startswith(f"restorekit: p{suffix}"), lines[0]
        assert expected in lines[0], lines[0]
        assert said.out == "", words
    assert set(tmp_path.rglob("*")) == before  # in particular, nothing ran that a pickle asked for


def test_a_whole_one_passes_all_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the refusals above are of the damage and not of the file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    for place in ("in.png", "pictures/a.png"):
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 20, 3), np.uint8)).save(place)
    whole(tmp_path / "p.safetensors")
    for words in commands("p.safetensors"):
        if words[1] != "verify":  # its weights are random: it does not denoise
            with pytest.raises(SystemExit) as stop:
                run(words)
            assert stop.value.code == 0, words


def test_a_folder_named_as_a_checkpoint_is_no_prior(tmp_path: Path) -> None:
    (tmp_path / "p.safetensors").mkdir()
    with pytest.raises(BadInput, match=r"neither unet/config\.json nor config\.json"):
        load_prior(str(tmp_path / "p.safetensors"))


def test_files_are_told_by_their_first_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for data, expected in (
        (b"", "empty"),
        (b"GIF89a", None),
        (b"\x80\x04\x95", "a pickle"),
        (b"\xff\xd8\xff\xe0", "a JPEG picture"),
    ):
        path.write_bytes(data)
        assert filetypes.kind(path) == expected
    assert filetypes.kind(whole(path)) == "a safetensors file"


def test_logarithms_and_pictures_are_not_mixed_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = UNetConfig((1,), (4, 6), embed=8)
    logs = tmp_path / "logs.safetensors"
    spec = PriorSpec("logs", {"kind": "unet", **asdict(config)}, 1.3, -2.0, "log-intensity")
    checkpoint.save(logs, random_unet(config).state_dict(), spec)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (16, 16), np.uint8)).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", rng.normal(-2, 1, (16, 16)).astype(np.float32))
    end = ["--prior", str(logs), "--steps", "2"]
    for words in (
        ["denoise", str(tmp_path / "a.png"), str(tmp_path / "b.png")],
        ["restore", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--op", "denoise", "--noise", "gamma:4"],
        ["bench", "images", "--data", str(tmp_path), "--out", str(tmp_path / "b"), "--solver", "hqs"],
    ):
        with pytest.raises(SystemExit, match="1"):
            run([*words, *(end if words[0] != "bench" else ["--prior", str(logs)])])
        told = capsys.readouterr().err
        assert "logs knows logarithms of intensities" in told, told
        assert not (tmp_path / "b.png").exists()
    told = ["restore", str(tmp_path / "a.npy"), str(tmp_path / "b.npy"), "--op", "denoise", "--solver", "hqs"]
    with pytest.raises(SystemExit, match="0"):
        run([*told, "--noise", "gamma:4,domain=log", *end])
    assert np.isfinite(np.load(tmp_path / "b.npy")).all()


def test_a_network_may_allocate_so_much_and_no_more() -> None:
    from restorekit.priors.formats.allocation import AtMost, TooLarge

    with AtMost(100):
        torch.nn.Linear(9, 10)
    for make in (
        lambda: torch.nn.Linear(10**6, 10**6),
        lambda: torch.zeros((10**9, 10**9)),
        lambda: torch.arange(0, 10**12),
        lambda: torch.linspace(0, 1, steps=10**12),
        lambda: torch.eye(10**7),
        lambda: [torch.empty(30) for _ in range(5)],
    ):
        with AtMost(100), pytest.raises(TooLarge):
            make()
