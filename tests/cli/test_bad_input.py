"""Whatever is wrong with the input: one line that says what to do, exit code not 0, no output, no traceback."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restorekit.cli.main import run

Made = Callable[[Path], list[str]]


def picture(path: Path, h: int = 24, w: int = 20, seed: int = 0) -> Path:
    values = np.random.default_rng(seed).integers(0, 255, (h, w, 3), np.uint8)
    Image.fromarray(values).save(path)
    return path


def kernel(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def restore(
    d: Path, *extra: str, source: Path | str | None = None, target: str = "out.png", op: str = "denoise"
) -> list[str]:
    source = picture(d / "in.png") if source is None else source
    return ["restore", str(source), str(d / target), "--op", op, "--noise", "gaussian:0.05", *extra]


def compare(
    d: Path, *extra: str, source: Path | None = None, target: str = "out.html", op: str = "denoise"
) -> list[str]:
    return ["compare", *restore(d, *extra, source=source, target=target, op=op)[1:]]


def truncated(d: Path) -> Path:
    path = picture(d / "t.png")
    path.write_bytes(path.read_bytes()[:200])
    return path


def cut_lzw(d: Path) -> Path:
    """What tifffile has a line of its own for."""
    values = np.random.default_rng(0).integers(0, 255, (24, 20, 3), np.uint8)
    Image.fromarray(values).save(d / "l.tif", compression="tiff_lzw")
    (d / "l.tif").write_bytes((d / "l.tif").read_bytes()[:900])
    return d / "l.tif"


def damaged_zip(d: Path) -> Path:
    with zipfile.ZipFile(d / "c.zip", "w") as z:
        z.write(picture(d / "a.png"), "a.png")
    data = bytearray((d / "c.zip").read_bytes())
    data[60] ^= 255  # in the picture, whose checksum is in the zip
    (d / "c.zip").write_bytes(data)
    return d / "c.zip"


def train(d: Path, data: Path) -> list[str]:
    return ["train", "unet", "--data", str(data), "--out", str(d / "r")]


def saved(d: Path, array: np.ndarray) -> Path:
    np.save(d / "in.npy", array)
    return d / "in.npy"


def one_colour(d: Path) -> Path:
    Image.new("RGB", (24, 20), (20, 100, 200)).save(d / "c.png")
    return d / "c.png"


def gradient(d: Path) -> Path:
    row = np.linspace(40, 200, 96).astype(np.uint8)
    Image.fromarray(np.tile(row[None, :, None], (80, 1, 3))).save(d / "r.png")
    return d / "r.png"


def text(d: Path, name: str, content: str) -> Path:
    (d / name).write_text(content)
    return d / name


def blur(d: Path, array: np.ndarray) -> str:
    return f"blur:kernel={kernel(d / 'k.npy', array)}"


def mask(d: Path, h: int, w: int, value: int = 255) -> str:
    pixels = np.full((h, w), value, np.uint8)
    pixels[0, 0] = 0
    Image.fromarray(pixels).save(d / "m.png")
    return f"inpaint:mask={d / 'm.png'}"


GREY = np.full((24, 20), 0.5, np.float32)
NAN = np.where(np.arange(20) == 3, np.nan, GREY).astype(np.float32)

WILD = """
from dataclasses import dataclass
from restorekit.solvers import HQS
from restorekit.inference.solver import Step

@dataclass(frozen=True, eq=False)
class Wild(HQS):
    def __call__(self, problem, denoise, sigmas, x, rng):
        yield Step(x * float("nan"), x, 1.0)
"""


def unclosed(d: Path) -> Path:
    """An NPY file whose header lacks a bracket."""
    path = saved(d, GREY)
    path.write_bytes(path.read_bytes().replace(b")", b" ", 1))
    return path


CASES: dict[str, tuple[Made, str]] = {
    "missing file": (lambda d: restore(d, source=d / "no.png"), "no.png"),
    "truncated png": (lambda d: restore(d, source=truncated(d)), "t.png"),
    "0-byte file": (lambda d: restore(d, source=text(d, "z.png", "")), "z.png"),
    "text named png": (lambda d: restore(d, source=text(d, "z.png", "hello")), "z.png: this is no PNG, it holds text"),
    "text named tif": (lambda d: restore(d, source=text(d, "z.tif", "hello")), "z.tif: this is no TIFF, it holds text"),
    "text as a mask": (lambda d: restore(d, op=f"inpaint:mask={text(d, 'm.png', 'hello')}"), "m.png: this is no PNG"),
    "text as a kernel": (lambda d: restore(d, op=f"blur:kernel={text(d, 'k.npy', 'hello')}"), "k.npy: this is no NPY"),
    "truncated lzw tif": (lambda d: restore(d, source=cut_lzw(d)), "l.tif: no readable TIFF, damaged or cut short"),
    "unknown suffix": (lambda d: restore(d, source=text(d, "z.xyz", "hello")), ".xyz"),
    "input is a folder": (lambda d: restore(d, source=d), "folder"),
    "nan": (lambda d: restore(d, source=saved(d, NAN)), "NaN"),
    "out of range": (lambda d: restore(d, source=saved(d, GREY * np.arange(20, dtype=np.float32))), "--range"),
    "all zero": (lambda d: restore(d, source=saved(d, GREY * 0)), "constant"),
    **{
        f"a gradient, {how}": (lambda d, how=how: ["deblur", str(gradient(d)), str(d / "out.png"), "--kernel", how], "shows no texture")
        for how in ("auto", "estimate")
    },
    "one colour": (lambda d: restore(d, source=one_colour(d)), "constant (its bands are 0.0784, 0.392, 0.784 everywhere)"),
    "1x1 picture": (lambda d: restore(d, source=picture(d / "one.png", 1, 1)), "1x1"),
    "wrong kernel name": (lambda d: restore(d, op="blur:kernel=nope"), "gaussian:SIGMA"),
    "missing kernel file": (lambda d: restore(d, op="blur:kernel=nope.npy"), "nope.npy"),
    "kernel of zeros": (lambda d: restore(d, op=blur(d, np.zeros((3, 3)))), "k.npy"),
    "kernel with nan": (lambda d: restore(d, op=blur(d, np.full((3, 3), np.nan))), "k.npy"),
    "kernel larger than picture": (lambda d: restore(d, op=blur(d, np.ones((31, 31)))), "larger than the picture"),
    "even motion length": (lambda d: restore(d, op="blur:kernel=motion:10:0"), "odd"),
    "mask of another size": (lambda d: restore(d, op=mask(d, 9, 9)), "9"),
    "mask with half a header": (lambda d: restore(d, op=f"inpaint:mask={unclosed(d)}"), "no readable NPY"),
    "scene with half a header": (
        lambda d: ["despeckle", str(unclosed(d)), str(d / "o.tif"), "--solver", "lee"],
        "no NPY file that can be read",
    ),
    "mask of zeros": (lambda d: restore(d, op=mask(d, 24, 20, 0)), "mask"),
    "no mask": (lambda d: restore(d, op="inpaint"), "mask=mask.png"),
    "unknown option": (lambda d: restore(d, "--sampels", "3"), "--samples"),
    "unknown prior": (lambda d: restore(d, "--prior", "nope"), "natural"),
    "missing prior file": (lambda d: restore(d, "--prior", "nope.safetensors"), "no such file"),
    "prior that is no checkpoint": (lambda d: restore(d, "--prior", str(text(d, "p.safetensors", "no"))), "safetensors"),
    "unknown solver": (lambda d: restore(d, "--solver", "nope"), "diffpir"),
    "unknown solver setting": (lambda d: restore(d, "--solver", "diffpir:zta=1"), "zeta"),
    "solver setting out of range": (lambda d: restore(d, "--solver", "diffpir:zeta=3"), "zeta"),
    "unknown operator": (lambda d: restore(d, op="blurr:kernel=uniform:3"), "blur"),
    "unknown operator setting": (lambda d: restore(d, op="blur:kernel=uniform:3,edge=1"), "boundary"),
    "ddrm with poisson": (lambda d: restore(d, "--solver", "ddrm", "--noise", "poisson:30"), "dps"),
    "ddrm without svd": (lambda d: restore(d, "--solver", "ddrm", op="blur:kernel=motion:5:30"), "diffpir"),
    "diffpir on a nonlinear operator": (lambda d: restore(d, "--solver", "diffpir", op="saturate:gain=2"), "dps"),
    "noise of 8-bit habit": (lambda d: restore(d, "--noise", "gaussian:25"), "gaussian:0.098"),
    "output is the input": (lambda d: restore(d, target="in.png"), "another name"),
    "degrade onto the input": (lambda d: ["degrade", str(picture(d / "in.png")), str(d / "in.png"), "--op", "denoise"], "another name"),
    "coefficients in bytes": (lambda d: restore(d, op="hadamard:size=24x20"), "floats"),
    "degrade to coefficients in bytes": (
        lambda d: ["degrade", str(picture(d / "in.png")), str(d / "y.npy"), "--op", "phase", "--dtype", "uint8"],
        "--dtype float32",
    ),
    "negative gain": (lambda d: restore(d, op="saturate:gain=-1"), "positive"),
    "factor 0": (lambda d: restore(d, op="average:factor=0"), "1 or more"),
    "nan that the mask calls measured": (
        lambda d: restore(d, op=mask(d, 24, 20), source=saved(d, NAN)),
        "mask them too",
    ),
    "unknown noise": (lambda d: restore(d, "--noise", "gauss:1"), "gaussian"),
    "negative noise": (lambda d: restore(d, "--noise", "gaussian:-1"), "sigma > 0"),
    "noise that is no number": (lambda d: restore(d, "--noise", "gaussian:abc"), "abc"),
    "samples of an optimiser": (lambda d: restore(d, "--solver", "hqs", "--samples", "2"), "optimiser"),
    "bad tile": (lambda d: restore(d, "--tile", "13"), "multiple of"),
    "bad device": (lambda d: restore(d, "--device", "tpu9"), "--device cpu"),
    "bad precision": (lambda d: restore(d, "--precision", "fp8"), "bf16"),
    "bad range": (lambda d: restore(d, "--range", "5"), "--range 0,4095"),
    "bad flips": (lambda d: restore(d, "--flips", "3"), "2, 4 or 8"),
    "output is a folder": (lambda d: (d / "dir.png").mkdir() or restore(d, target="dir.png"), "dir.png"),
    "no such output folder": (lambda d: restore(d, target="no/out.png"), "no"),
    "no write permission": (lambda d: [*restore(d)[:2], "/proc/out.png", *restore(d)[3:]], "/proc"),
    "unknown output suffix": (lambda d: restore(d, target="out.xyz"), ".xyz"),
    "output without a name": (lambda d: ["degrade", str(picture(d / "in.png")), "", "--op", "denoise"], "give a file name"),
    "range of nothing": (lambda d: restore(d, "--range", "0,1e-320"), "too narrow"),
    "more steps than memory": (lambda d: restore(d, "--steps", str(2**64)), "--steps"),
    "larger than any picture": (lambda d: restore(d, op=f"average:factor={10**30}"), "take 1048576 at most"),
    "unknown executor": (
        lambda d: ["despeckle", str(picture(d / "in.png")), str(d / "o.tif"), "--solver", "lee", "--executor", "s"],
        "unknown executor 's'; known: serial, processes, dask",
    ),
    "link to itself": (
        lambda d: (d / "l.tif").symlink_to("l.tif") or ["despeckle", str(d / "l.tif"), str(d / "o.tif"), "--solver", "lee"],
        "l.tif",
    ),
    "own file without class": (lambda d: restore(d, op=f"{text(d, 'mine.py', 'x = 1')}:Mine"), "Mine"),
    "missing own file": (lambda d: restore(d, op="nope.py:Mine"), "nope.py"),
    "a folder without --out": (lambda d: ["denoise", str(d), str(d / "clean")], "is a folder; many pictures take --out FOLDER"),
    "own file that fails": (
        lambda d: ["check", f"{text(d, 'mine.py', 'import math' + chr(10) + 'math.nope')}:Mine"],
        "mine.py, line 2: AttributeError: module 'math' has no attribute 'nope'; mend the file",
    ),
    "own file that is no Python": (lambda d: restore(d, op=f"{text(d, 'mine.py', 'def')}:Mine"), "mine.py, line 1: SyntaxError"),
    "own file that leaves": (lambda d: ["check", f"{text(d, 'mine.py', 'raise SystemExit(0)')}:Mine"], "mine.py, line 1: SystemExit"),
    "own file without that name": (
        lambda d: ["check", f"{text(d, 'mine.py', 'def half(x, sigma): return x')}:Mine"],
        "has no 'Mine'; give a name in it",
    ),
    "compare: every solver refuses": (lambda d: compare(d, "--solver", "ddrm", op="blur:kernel=motion:5:30"), "no solver gave a result"),
    "compare: the only solver diverges": (
        lambda d: compare(d, "--solver", f"{text(d, 'wild.py', WILD)}:Wild", "--steps", "2"),
        "Wild diverged",
    ),
    "compare: unknown solver": (lambda d: compare(d, "--solver", "hqs", "--solver", "nope"), "diffpir"),
    "compare: no page": (lambda d: compare(d, target="out.png"), "out.html"),
    "compare: onto the input": (lambda d: compare(d, target="in.png"), "out"),
    "compare: no such folder": (lambda d: compare(d, target="no/out.html"), "there is no folder"),
    "compare: missing truth": (lambda d: compare(d, "--truth", str(d / "t.png")), "t.png"),
    "compare: truth of another size": (lambda d: compare(d, "--truth", str(picture(d / "t.png", 9, 9))), "3x24x20"),
    "compare: colour with grey truth": (lambda d: compare(d, "--truth", str(saved(d, GREY))), "1x24x20"),
    "compare: no samples": (lambda d: compare(d, "--samples", "0"), "--samples"),
    "compare: nan": (lambda d: compare(d, source=saved(d, NAN)), "NaN"),
    "compare: unknown prior": (lambda d: compare(d, "--prior", "nope"), "natural"),
    "colorize a colour picture": (lambda d: ["colorize", str(picture(d / "in.png")), str(d / "out.png")], "one band"),
    "metrics of different sizes": (lambda d: ["metrics", str(picture(d / "a.png")), str(picture(d / "b.png", 9, 9))], "size"),
    "unknown metric": (lambda d: ["metrics", str(picture(d / "a.png")), str(d / "a.png"), "--names", "q"], "psnr"),
    "unknown command": (lambda d: ["restoer"], "restore"),
    "cite unknown": (lambda d: ["cite", "nope"], "diffpir"),
    "check size": (lambda d: ["check", "denoise", "--size", "3"], "3x20x16"),
    "train without config": (lambda d: ["train", "unet", "--config", "no.yaml", "--data", str(d), "--out", str(d / "r")], "no.yaml"),
    "train an unknown model": (lambda d: ["train", "gan", "--data", str(d), "--out", str(d / "r")], "one of unet, pisdm"),
    "train another model than configured": (
        lambda d: ["train", "pisdm", "--config", str(text(d, "c.yaml", "name: x")), "--data", str(d), "--out", str(d / "r")],
        "is for MODEL unet, not pisdm",
    ),
    "train with a number of digits": (
        lambda d: ["train", "unet", "--data", str(d), "--out", str(d / "r"), "--set", f"optim.lr={'9' * 5000}"],
        "use KEY=VALUE",
    ),
    "train with unknown key": (
        lambda d: ["train", "unet", "--config", str(text(d, "c.yaml", "optim: {stepz: 1}")), "--data", str(d), "--out", str(d / "r")],
        "steps",
    ),
    "train without pictures": (
        lambda d: ["train", "unet", "--config", str(text(d, "c.yaml", "name: x")), "--data", str(d), "--out", str(d / "r")],
        "no pictures",
    ),
    "train on text": (lambda d: train(d, text(d, "a.png", "hello").parent), "the first: a.png: no picture, it holds text"),
    "train on a damaged zip": (lambda d: train(d, damaged_zip(d)), "c.zip: a zip that cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_one_line_and_no_output(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make, expected = CASES[name]
    arguments = make(tmp_path)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as stop:
        run(arguments)
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.strip() and not line.startswith("clipped: ")]  # a note
    assert stop.value.code not in (0, None)
    assert len(lines) == 1
    assert lines[0].startswith("restorekit: ")
    assert expected in lines[0], lines[0]
    assert "Traceback" not in captured.err + captured.out
    left = {p for p in set(tmp_path.rglob("*")) - before if p.is_file()}
    assert not left, f"left behind: {left}"
