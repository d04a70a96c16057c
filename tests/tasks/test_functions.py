"""Tasks as functions: what Python saves is what the command writes, and every form of an input means one thing."""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import tifffile
import torch
import typer
from PIL import Image

import restorekit
from restorekit import BadInput, Picture, Restoration
from restorekit.blind.correction import KernelCorrection
from restorekit.cli.main import app, run
from restorekit.notes import Notes, RestorekitNote
from restorekit.operators import Identity
from restorekit.priors.find import load_prior
from restorekit.solvers import HQS
from restorekit.tasks.functions import RestorationSettings

PHOTO = skimage.data.astronaut()[40:64, 190:214]
QUICK: dict[str, Any] = {"prior": "natural-fast", "steps": 2}
SAMPLES: dict[str, Any] = {"samples": 2, "solver": "mmps", "noise": "gaussian:0.05"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    rng = np.random.default_rng(0)
    noisy = np.clip(PHOTO / 255 + rng.normal(0, 0.05, PHOTO.shape), 0, 1)
    Image.fromarray(np.rint(noisy * 255).astype(np.uint8)).save(folder / "y.png")
    Image.fromarray(np.rint(noisy[..., 0] * 255).astype(np.uint8)).save(folder / "grey.png")
    tifffile.imwrite(folder / "y.tif", np.rint(noisy * 65535).astype(np.uint16), photometric="rgb")
    mask = np.full(PHOTO.shape[:2], 255, np.uint8)
    mask[8:12, 6:14] = 0
    Image.fromarray(mask).save(folder / "mask.png")
    np.save(folder / "k.npy", np.full((3, 3), 1 / 9, np.float32))
    return folder


@pytest.fixture(scope="module")
def prior() -> restorekit.Prior:
    return load_prior("natural-fast")


def command(*words: object) -> None:
    with pytest.raises(SystemExit) as stop:
        run([str(w) for w in words])
    assert not stop.value.code


def contents(folder: Path) -> dict[str, Any]:
    """Files by name; of records all but seconds and the names of this folder."""
    found: dict[str, Any] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in (".json", ".html"):
            text = path.read_text().replace(str(folder), "")
            found[path.name] = json.loads(text) | {"seconds": 0} if path.suffix == ".json" else len(text) > 0
        else:
            found[path.name] = path.read_bytes()
    return found


Task = Callable[[Path], Any]
CASES: dict[str, tuple[Task, str, str]] = {
    "denoise": (lambda d: restorekit.denoise(d / "y.tif", **QUICK, **SAMPLES), "denoise {d}/y.tif", "o.tif"),
    "measured noise": (lambda d: restorekit.denoise(str(d / "y.png"), prior="natural-fast"), "denoise {d}/y.png", "o.png"),
    "inpaint": (lambda d: restorekit.inpaint(d / "y.png", d / "mask.png", **QUICK), "inpaint {d}/y.png --mask {d}/mask.png", "o.png"),
    "inpaint noise": (
        lambda d: restorekit.inpaint(d / "y.png", d / "mask.png", **QUICK, **SAMPLES),
        "inpaint {d}/y.png --mask {d}/mask.png", "o.png",
    ),
    "deblur": (
        lambda d: restorekit.deblur(d / "y.tif", kernel=str(d / "k.npy"), kernel_error="auto", **QUICK),
        "deblur {d}/y.tif --kernel {d}/k.npy --kernel-error auto", "o.tif",
    ),
    "upscale": (lambda d: restorekit.upscale(d / "y.png", 2, **QUICK), "upscale {d}/y.png --factor 2", "o.png"),
    "upscale kernel": (
        lambda d: restorekit.upscale(d / "y.png", 3, kernel="gaussian:1", **QUICK),
        "upscale {d}/y.png --factor 3 --kernel gaussian:1", "o.png",
    ),
    "upscale like opencv": (
        lambda d: restorekit.upscale(d / "y.png", 2.5, like="opencv", **QUICK),
        "upscale {d}/y.png --factor 2.5 --like opencv", "o.png",
    ),
    "upscale to a size": (
        lambda d: restorekit.upscale(d / "y.png", size=(50, 61), filter="area", **QUICK),
        "upscale {d}/y.png --size 50x61 --filter area", "o.png",
    ),
    "colorize": (lambda d: restorekit.colorize(d / "grey.png", **QUICK), "colorize {d}/grey.png", "o.png"),
    "sample": (lambda d: restorekit.sample("natural-fast", 2, steps=2, size=(16, 16)), "sample natural-fast --n 2 --steps 2 --size 16x16 --out", "o.png"),
    "degrade": (
        lambda d: restorekit.degrade(d / "y.tif", "blur:kernel=gaussian:1", noise="gaussian:0.02", seed=3),
        "degrade {d}/y.tif --op blur:kernel=gaussian:1 --noise gaussian:0.02 --seed 3", "o.tif",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore::restorekit.notes.RestorekitNote")
def test_a_call_and_save_are_the_command(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("restorekit.tasks.deblur.KernelCorrection", partial(KernelCorrection, draws=False))
    task, words, out = CASES[name]
    python, shell = tmp_path / "a" / "x", tmp_path / "b" / "x"
    for folder in (python, shell):
        folder.mkdir(parents=True)
    written = task(files).save(python / out)
    assert sorted(written) == sorted(python.iterdir())
    listed = words.format(d=files).split()
    options = [] if listed[0] in ("sample", "degrade") or name == "measured noise" else ["--steps", 2]
    options += [] if listed[0] in ("sample", "degrade") else ["--prior", "natural-fast"]
    if name in ("denoise", "inpaint noise"):
        options += ["--samples", 2, "--solver", "mmps", "--noise", "gaussian:0.05"]
    at = len(listed) if listed[0] == "sample" else 2  # OUT follows IN
    command(*listed[:at], shell / out, *listed[at:], *options)
    assert contents(python) == contents(shell)
    assert {out} <= {p.name for p in written}


def test_a_comparison_is_that_of_the_command(files: Path, tmp_path: Path) -> None:
    words = ("--op", "denoise", "--noise", "gaussian:0.05", "--solver", "hqs", "--prior", "natural-fast")
    command("compare", files / "y.png", tmp_path / "b.html", *words, "--steps", 1)
    compared = restorekit.compare(
        files / "y.png", "denoise", noise="gaussian:0.05", solvers=[HQS()], prior="natural-fast", steps=1
    )
    compared.save(tmp_path / "a.html")
    a, b = (json.loads((tmp_path / f"{name}.html.json").read_text()) for name in "ab")
    for record in (a, b):
        record["solvers"][0].pop("seconds")
        record.pop("outputs")
    assert a["command"].replace("a.html", "b.html") == b.pop("command")
    del a["command"]
    assert a == b


def test_every_form_of_an_input_means_one_thing(files: Path, prior: restorekit.Prior) -> None:
    values = np.asarray(Image.open(files / "y.png"))
    settings: dict[str, Any] = {"noise": restorekit.Gaussian(0.05), "solver": HQS(), "steps": 1, "prior": prior}
    settings |= {"clipped": "measured"}  # floats have no limits
    first = np.moveaxis(values, -1, 0).copy()
    forms: list[Any] = [
        values,
        torch.from_numpy(first),
        torch.from_numpy(first)[None],
        restorekit.read(files / "y.png"),
    ]
    forms += [values.astype(np.float32) / np.float32(255)]
    results = [restorekit.denoise(form, **settings).samples for form in (files / "y.png", *forms)]
    for other in results[1:-1]:
        assert torch.equal(other, results[0])
    assert torch.allclose(results[-1], results[0], atol=1e-6)
    assert results[0].shape == (1, 3, 24, 24)
    grey = restorekit.denoise(values[..., 0], **settings)
    assert grey.samples.shape == (1, 1, 24, 24)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (np.zeros(9), r"an array is \(H, W\) or \(H, W, C\)"),
        (torch.zeros(9, 9), r"a tensor is \(C, H, W\)"),
        (torch.zeros(0, 1, 9, 9), "the batch holds no measurement"),
        (np.zeros((9, 9), complex), "no picture"),
        (np.full((9, 9), np.nan), "NaN or infinite"),
        (np.ma.masked_less(np.eye(9), 0.5), "a masked array was given"),
        (np.linspace(0, 300, 81).reshape(9, 9), r"`range=0,300`"),
        (np.ones((9, 9)), "constant"),
        ("none.png", "no such file"),
    ],
)
def test_what_is_no_input_is_refused_with_the_way_out(source: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        restorekit.denoise(source, noise="gaussian:0.1")


def test_an_array_is_saved_in_its_type_and_range(tmp_path: Path, prior: restorekit.Prior) -> None:
    kelvin = 280 + 20 * PHOTO[..., 0] / 255 + np.random.default_rng(0).normal(0, 1, PHOTO.shape[:2])
    result = restorekit.denoise(kelvin.astype(np.float32), range=(280, 300), noise="gaussian:0.05", prior=prior)
    result.save(tmp_path / "o.npy")
    saved = np.load(tmp_path / "o.npy")
    assert (saved.dtype, saved.shape) == (np.float32, PHOTO.shape[:2])
    np.testing.assert_allclose(saved, result.samples[0, 0].numpy() * 20 + 280, rtol=1e-6)
    record = json.loads((tmp_path / "o.npy.json").read_text())
    assert record["input"]["path"] is None
    assert record["range"] == [280, 300]


def test_notes_are_in_the_result_and_raised_once(files: Path, prior: restorekit.Prior) -> None:
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        result = restorekit.denoise(files / "y.png", prior=prior)
    assert result.notes
    assert [str(w.message) for w in raised] == list(result.notes)
    assert {w.category for w in raised} == {RestorekitNote}
    assert {w.filename for w in raised} == {__file__}
    assert "`noise`" in result.notes[0]
    told = Notes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        restorekit.denoise(files / "y.png", prior=prior, notes=told)
    assert tuple(told.texts) == result.notes


def test_progress_begins_at_nothing_and_counts_every_call(files: Path, prior: restorekit.Prior) -> None:
    heard: list[tuple[str, int, int]] = []
    restorekit.denoise(files / "y.png", prior=prior, noise="gaussian:0.05", progress=lambda *told: heard.append(told))
    assert heard == [("HQS", 0, 1), ("HQS", 1, 1)]
    heard.clear()
    small = load_prior("natural-fast", tile=16)  # four windows
    restorekit.denoise(files / "y.png", prior=small, noise="gaussian:0.05", progress=lambda *told: heard.append(told))
    assert heard == [("HQS", done, 4) for done in range(5)]


def test_seconds_hold_the_search_for_the_kernel(
    files: Path, prior: restorekit.Prior, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10**6, 100))
    monkeypatch.setattr("restorekit.tasks.deblur.time.perf_counter", lambda: float(next(clock)))
    monkeypatch.setattr("restorekit.tasks.deblur.KernelCorrection", partial(KernelCorrection, draws=False))
    settings: dict[str, Any] = {"prior": prior, "steps": 2, "noise": "gaussian:0.05", "notes": Notes()}
    assert restorekit.deblur(files / "y.tif", "uniform:3", kernel_error=0.1, **settings).seconds >= 100


def test_a_plain_result_is_saved_as_a_picture(tmp_path: Path, prior: restorekit.Prior) -> None:
    problem = restorekit.Problem(torch.rand(1, 3, 16, 16), Identity((3, 16, 16)), restorekit.Gaussian(0.1))
    result = restorekit.restore(problem, prior, HQS(), steps=1)
    assert result.save(tmp_path / "o.tif") == [tmp_path / "o.tif"]
    np.testing.assert_allclose(restorekit.read(tmp_path / "o.tif", (0, 1)).pixels, result.samples[0].numpy(), atol=1e-7)


def test_an_input_is_not_written_over(files: Path, prior: restorekit.Prior) -> None:
    before = (files / "y.png").read_bytes()
    with pytest.raises(BadInput, match="is the input itself"):
        restorekit.denoise(files / "y.png", prior=prior, out=files / "y.png")
    result = restorekit.denoise(files / "y.png", prior=prior, notes=Notes())
    with pytest.raises(BadInput, match="is the input itself"):
        result.save(files / "y.png")
    assert (files / "y.png").read_bytes() == before


def test_a_measurement_that_was_made_is_one_to_restore(files: Path, tmp_path: Path, prior: restorekit.Prior) -> None:
    made = restorekit.degrade(files / "y.png", noise="gaussian:0.1", notes=Notes())
    assert isinstance(made.measurement, Picture)
    result = restorekit.denoise(made.measurement, noise="gaussian:0.1", prior=prior)
    assert isinstance(result, Restoration)
    clean = np.moveaxis(np.asarray(Image.open(files / "y.png")), -1, 0) / 255
    np.testing.assert_allclose(made.truth, clean, atol=1e-6)
    blurred = restorekit.degrade(PHOTO, "blur:kernel=gaussian:1", transfer="auto")  # an array is taken as light
    with pytest.raises(BadInput, match="`transfer=linear`"):
        blurred.save(tmp_path / "o.png")


@pytest.mark.parametrize("name", ["denoise", "inpaint", "deblur", "upscale", "colorize"])
def test_help_lists_the_settings_of_the_command_with_its_defaults(name: str) -> None:
    shown = inspect.signature(getattr(restorekit, name)).parameters
    command: Any = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    options = {p.name.rstrip("_"): p.default for p in command.params}
    given = {
        "source",
        "target",
        "help",
        "transfer",
        "level",
        "calibration",
        "pages",
        "config",
        "print_config",
        "places",
        "folder",
        "suffix",
        "scheduler",
        "overwrite",
    }  # a file; of some commands; shown otherwise; one call for each page; of many pictures; of `save`
    for option in options.keys() - given:
        default = shown[option].default
        assert options[option] == (None if default is inspect.Parameter.empty else default), option
    assert set(RestorationSettings.__annotations__) <= set(shown)


@pytest.mark.parametrize(("name", "way"), [("nois", "did you mean `noise`"), ("xyzzy", "there are noise, solver")])
def test_a_setting_that_is_none_is_refused_with_those_there_are(name: str, way: str) -> None:
    with pytest.raises(BadInput, match=f"`{name}` is no setting of a restoration; {way}"):
        restorekit.denoise(np.zeros((8, 8), np.float32), **{name: 1})  # type: ignore[arg-type]
