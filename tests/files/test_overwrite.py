"""No command writes over a file that it opened, by whatever name, nor one output over another; refused before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from restorekit.cli.main import app
from restorekit.errors import BadInput
from restorekit.files.overwrite import inside, separate
from restorekit.text.names import files_of
from tests.support.opened_files import contents, write_opened_files

# What is opened is named as in the command; the file before it is what would be written over.
CASES = [
    ("in.png", "denoise in.png in.png"),
    ("in.png", "denoise in.png ./sub/../in.png"),
    ("in.png", "denoise in.png link.png"),
    ("in.png", "denoise in.png hard.png"),
    ("in.png", "denoise link.png in.png"),
    ("m.png", "inpaint in.png m.png --mask m.png"),
    ("o_mean.png", "inpaint in.png o.png --mask o_mean.png --samples 2"),
    ("o_std.tif", "inpaint in.png o.png --mask o_std.tif --samples 2"),
    ("o_std.png", "inpaint in.png o.tif --mask o_std.png --samples 2"),
    ("o_low.png", "inpaint in.png o.png --mask o_low.png --samples 2"),
    ("o_high.png", "inpaint in.png o.png --mask o_high.png --samples 2"),
    ("m.png", "restore in.png m.png --op inpaint:mask=m.png"),
    ("k.npy", "restore in.png k.npy --op blur:kernel=k.npy"),
    ("k.npy", "restore in.png k.npy --op blur:k.npy"),
    ("k.npy", "restore in.png k.npy --op decimate:factor=2,kernel=k.npy,boundary=circular"),
    ("o.py", "restore in.png o_py.png --op o.py:Mine"),
    ("o.py", "restore in.png o_py.png --op denoise --solver o.py:Mine:steps=3"),
    ("p.safetensors", "restore in.png o_prior.png --op denoise --prior p.safetensors"),
    ("prior/unet/w.bin", "restore in.png o_folder.png --op denoise --prior prior"),
    ("k.npy", "upscale in.png k.npy --kernel k.npy"),
    ("k.npy", "deblur in.png k.npy --kernel k.npy"),
    ("k.npz", "deblur in.png o_npz.png --kernel k.npz:psf"),
    ("o_kernel.npy", "deblur in.png o.png --kernel o_kernel.npy --kernel-error auto"),
    ("o_kernel.png", "deblur in.png o.png --kernel o_kernel.png --kernel-error 0.1"),
    ("in.png", "colorize in.png link.png"),
    ("in.jpg", "dejpeg in.jpg in.jpg"),
    ("in.png", "compare in.png o_in.html --op denoise"),
    ("m.png", "compare in.png o_m.html --op inpaint:mask=m.png"),
    ("t.png", "compare in.png o_t.html --op denoise --truth t.png"),
    ("t.png", "compare in.png page.html --op denoise --truth page.html.json"),
    ("k.npy", "degrade in.png k.npy --op blur:kernel=k.npy"),
    ("o_truth.png", "degrade in.png o.png --op inpaint:mask=o_truth.png"),
    ("o_truth.png", "degrade o_truth.png o.png"),
    ("t.png", "derain in.png t.png --derained t.png"),
    ("o_mask.png", "derain in.png o.png --derained t.png --mask o_mask.png"),
    ("o_std.png", "derain in.png o.png --derained t.png --rain o_std.png"),
    ("t.png", "derain in.png o.png --derained t.png --report o_t.html"),
    ("p.safetensors", "derain in.png o_prior.png --derained t.png --prior p.safetensors"),
    ("x.npy", "despeckle x.npy x.npy --solver lee"),
    ("o_std.npy", "despeckle o_std.npy o.npy"),
    ("x.npy", "despeckle x.npy o.npy --solver lee --report o_x.html"),
    ("p.safetensors", "despeckle x.npy o_prior.npy --solver hqs --prior p.safetensors"),
    ("t.png", "fuse in.png t.png t.png --despeckle none"),
    ("in.png", "fuse in.png t.png link.png --despeckle none"),
    ("m.png", "fuse in.png t.png m.png --despeckle none --cloud m.png"),
    ("o_cloud.tif", "fuse in.png t.png o.png --despeckle none --cloud o_cloud.tif"),
    ("o_added.tif", "fuse in.png o_added.tif o.png --despeckle none --for interpretation"),
    ("x.npy", "metrics sar x.npy y.npy --report o_x.html"),
    ("y.npy", "metrics sar x.npy y.npy --report o_y.html"),
    ("t.npy", "metrics sar x.npy y.npy --truth t.npy --report o_t2.html"),
    ("p.safetensors", "sample p.safetensors --out o_prior.png"),
    ("c.yaml", "train unet --config c.yaml --data photos --out run"),
    ("photos/1.png", "train unet --data photos --out run2"),
    ("k.npy", "tune --data photos --op blur:kernel=k.npy --solver diffpir --out tuned"),
    ("photos/1.png", "tune --data photos --op denoise --solver diffpir --out tuned2"),
    ("p.safetensors", "adapt p.safetensors x.npy --out adapted"),
    ("x.npy", "adapt sar y.npy x.npy --out adapted2"),
    ("x.npy", "change x.npy y.npy o_c.tif"),
    ("y.npy", "change x.npy y.npy o_d.tif"),
    ("y.npy", "change x.npy y.npy o_e.tif --report o_y.html"),
    ("k.npy", "calibrate --data photos --task blur:kernel=k.npy --noise gaussian:0.1 --out c.json"),
    ("photos/1.png", "calibrate --data photos --task denoise --noise gaussian:0.1 --out c2.json"),
    ("p.safetensors", "calibrate --data photos --task denoise --noise gaussian:1 --prior p.safetensors --out d.json"),
    ("o.py", "bench posterior --solver o.py:Mine --out benched"),
    ("k.npy", "bench images --data photos --op blur:kernel=k.npy@gaussian:0.02 --out benched2"),
    ("o.py", "bench peers --peer o.py:Mine --out benched3"),
    ("p.safetensors", "priors eval p.safetensors --data photos --out o_prior.json"),
    ("photos/1.png", "priors eval natural --data photos --train photos --out e.json"),
]
WRITE_NOTHING = {
    "check", "cite", "solvers", "metrics", "metrics pictures", "metrics fusion", "priors list", "priors show", "priors verify",
}  # fmt: skip


def commands() -> Iterator[str]:
    """Every command of the program, those of groups with their two words."""
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        yield from [name] if inner is None else [f"{name} {other}" for other in inner]


def test_every_command_that_writes_is_in_the_table() -> None:
    tried = {" ".join(words.split()[: 1 + (words.split()[0] in ("metrics", "priors", "bench"))]) for _, words in CASES}
    assert set(commands()) - WRITE_NOTHING == tried


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_opened_files()
    return tmp_path


@pytest.mark.parametrize(("opened", "words"), CASES, ids=[words for _, words in CASES])
def test_an_input_is_never_written_over(opened: str, words: str, folder: Path) -> None:
    before = contents(folder)
    found = CliRunner().invoke(app, words.split())
    assert found.exit_code == 1
    assert isinstance(found.exception, BadInput)
    line = str(found.exception)
    assert "is the input itself" in line
    assert "another name" in line
    assert "\n" not in line
    named = Path(line.split(" is the input itself")[0])
    assert named.samefile(folder / opened)
    assert contents(folder) == before


@pytest.mark.parametrize(
    "words",
    [
        "sample natural-fast --n 2 --size 16x16 --steps 1 --out sub/00001.png --folder sub",
        "denoise in.png two.png --samples 2",
        "degrade in.png two.png",
    ],
)
def test_two_outputs_are_two_files(words: str, folder: Path) -> None:
    Path("one.png").write_bytes(b"old")
    for name in ("two.png", "two_mean.png", "two_truth.png"):
        Path(name).symlink_to(folder / "one.png")
    before = contents(folder)
    found = CliRunner().invoke(app, words.split())
    assert found.exit_code == 1
    assert "which is written too; give one of them another name" in str(found.exception)
    assert contents(folder) == before


def test_other_files_may_be_replaced(folder: Path) -> None:
    assert CliRunner().invoke(app, ["degrade", "in.png", "y.png", "--op", "blur:kernel=k.npy"]).exit_code == 0
    assert CliRunner().invoke(app, ["degrade", "in.png", "y.png", "--op", "blur:kernel=k.npy"]).exit_code == 0
    separate([Path("in.png"), Path("gone.png")], [Path("t.png"), Path("gone.png"), Path("x" * 300)])


def test_a_folder_with_the_name_of_a_prior_is_not_that_prior(folder: Path) -> None:
    Path("natural-fast").mkdir()
    for name in ("in.png", "out.png"):
        Path("natural-fast", name).write_bytes(Path("in.png").read_bytes())
    words = "denoise natural-fast/in.png natural-fast/out.png --overwrite --prior natural-fast --noise gaussian:0.1"
    assert CliRunner().invoke(app, words.split()).exit_code == 0


def test_files_of_specs(folder: Path) -> None:
    named = files_of(
        "blur:kernel=k.npz:psf,boundary=free", "o.py:Mine:mask=m.png", "prior", None, "natural", "gaussian:1.2"
    )
    assert named == [Path("k.npz"), Path("o.py"), Path("m.png"), *inside(Path("prior"))]
