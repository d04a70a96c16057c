"""No command writes over a file that it opened, by whatever name, nor one output over another; refused before anything runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import typer.main
from PIL import Image
from typer.testing import CliRunner

import restorekit
from restorekit.cli.main import app, run
from restorekit.errors import BadInput
from restorekit.files.digest import sha256
from restorekit.files.overwrite import inside, separate
from restorekit.files.picture import Picture, write_picture
from restorekit.files.record import earlier
from restorekit.files.session import is_result
from restorekit.files.temporary import listed, machine
from restorekit.priors.find import shipped
from restorekit.text.names import files_of

OWN = "from restorekit.operators import Identity\nclass Mine(Identity):\n    pass\n"
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
    ("x.npy", "metrics sar x.npy y.npy --report o_x.html"),
    ("y.npy", "metrics sar x.npy y.npy --report o_y.html"),
    ("t.npy", "metrics sar x.npy y.npy --truth t.npy --report o_t2.html"),
    ("p.safetensors", "sample p.safetensors --out o_prior.png"),
    ("c.yaml", "train unet --config c.yaml --data photos --out run"),
    ("photos/1.png", "train unet --data photos --out run2"),
    ("k.npy", "tune --data photos --op blur:kernel=k.npy --solver diffpir --out tuned"),
    ("photos/1.png", "tune --data photos --op denoise --solver diffpir --out tuned2"),
    ("k.npy", "calibrate --data photos --task blur:kernel=k.npy --noise gaussian:0.1 --out c.json"),
    ("photos/1.png", "calibrate --data photos --task denoise --noise gaussian:0.1 --out c2.json"),
    ("p.safetensors", "calibrate --data photos --task denoise --noise gaussian:1 --prior p.safetensors --out d.json"),
    ("o.py", "bench posterior --solver o.py:Mine --out benched"),
    ("k.npy", "bench images --data photos --op blur:kernel=k.npy@gaussian:0.02 --out benched2"),
    ("o.py", "bench peers --peer o.py:Mine --out benched3"),
    ("p.safetensors", "priors eval p.safetensors --data photos --out o_prior.json"),
    ("photos/1.png", "priors eval natural --data photos --train photos --out e.json"),
]
# Outputs that are another name of what is opened.
LINKS = {
    "link.png": "in.png", "o_py.png": "o.py", "o_prior.png": "p.safetensors", "o_folder.png": "prior/unet/w.bin",
    "o_npz.png": "k.npz", "o_in.html": "in.png", "o_m.html": "m.png", "o_t.html": "t.png", "page.html.json": "t.png",
    "o_x.html": "x.npy", "o_y.html": "y.npy", "o_t2.html": "t.npy", "o_prior.npy": "p.safetensors",
    "o_prior.json": "p.safetensors", "run/log.csv": "c.yaml", "run2/samples/0002000.png": "photos/1.png",
    "tuned/tune.md": "k.npy", "tuned2/tune.csv": "photos/1.png", "c.json": "k.npy",
    "c2_rows.csv": "photos/1.png", "d.json": "p.safetensors", "benched/posterior.md": "o.py",
    "benched2/images.md": "k.npy", "benched3/peers.csv": "o.py", "e_neighbours.png": "photos/1.png",
}  # fmt: skip
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
    photo = np.random.default_rng(0).integers(1, 255, (20, 24, 3), np.uint8)
    for name in ("in.png", "t.png", "in.jpg"):
        Image.fromarray(photo).save(name)
    beside = ("mean", "std", "low", "high", "truth", "mask", "kernel")
    for name in ("m.png", "o_std.tif", *(f"o_{what}.png" for what in beside)):
        Image.fromarray(np.tile(np.array([[0, 255]], np.uint8), (20, 12))).save(name)
    for name in ("k.npy", "o_kernel.npy"):
        np.save(name, np.ones((3, 3), np.float32))
    np.savez("k.npz", psf=np.ones((3, 3), np.float32))
    for name in ("x.npy", "y.npy", "t.npy", "o_std.npy"):
        np.save(name, np.random.default_rng(1).gamma(1, size=(64, 64)).astype(np.float32))
    for name in (
        "sub",
        "photos",
        "prior/unet",
        "run",
        "run2/samples",
        "tuned",
        "tuned2",
        "benched",
        "benched2",
        "benched3",
    ):
        Path(name).mkdir(parents=True)
    Image.fromarray(photo.repeat(8, 0).repeat(8, 1)).save("photos/1.png")
    Path("prior/unet/w.bin").write_bytes(b"weights")
    Path("prior/unet/config.json").write_bytes(b"{}")
    Path("p.safetensors").write_bytes(shipped()["natural-fast"].read_bytes())
    Path("o.py").write_text(OWN)
    Path("c.yaml").write_text("model: {kind: unet}\n")
    os.link("in.png", "hard.png")
    for name, to in LINKS.items():
        Path(name).symlink_to(Path(to).resolve())
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


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


FOREIGN = [
    ("b.png", "denoise in.png b.png"),
    ("b.png", "degrade in.png b.png"),
    ("b.png", "upscale in.png b.png"),
    ("b.png", "derain in.png b.png --derained t.png"),
    ("b.png", "fuse in.png t.png b.png"),
    ("b.png", "despeckle in.png b.png --solver lee --looks 4"),
    ("b.png", "sample natural-fast --out b.png"),
    ("b.html", "compare in.png b.html --op denoise"),
    ("q_truth.png", "degrade in.png q.png"),
    ("q_low.png", "inpaint in.png q.png --mask m.png --samples 2"),
    ("q.png.json", "degrade in.png q.png"),
    ("made/in.png", "degrade in.png --out made"),
]


@pytest.mark.parametrize(("there", "words"), FOREIGN)
def test_a_file_that_is_no_result_is_kept_and_the_way_out_said(folder: Path, there: str, words: str) -> None:
    Path(there).parent.mkdir(exist_ok=True)
    content = Path("in.png").read_bytes()
    Path(there).write_bytes(content)
    before = sorted(Path().rglob("*"))
    done = CliRunner().invoke(app, words.split())
    assert isinstance(done.exception, BadInput)
    assert str(done.exception).startswith(
        f"{there} is there already and is no result of restorekit; give OUT another name, "
    )
    assert Path(there).read_bytes() == content
    assert set(before) >= {p for p in Path().rglob("*") if p.name != "made" and not p.name.startswith(".")}


def test_overwrite_replaces_it_and_a_result_is_replaced_by_its_own_command(folder: Path) -> None:
    words = ["degrade", "in.png", "b.png", "--noise", "gaussian:0.1"]
    Path("b.png").write_bytes(Path("in.png").read_bytes())
    assert CliRunner().invoke(app, [*words, "--overwrite"]).exit_code == 0
    first = Path("b.png").read_bytes()
    assert first != Path("in.png").read_bytes()
    assert CliRunner().invoke(app, words).exit_code == 0
    assert Path("b.png").read_bytes() == first
    Path("b.png.json").unlink()  # by which it was known
    assert isinstance(CliRunner().invoke(app, words).exception, BadInput)


def test_an_empty_file_holds_nothing_to_lose(folder: Path) -> None:
    Path("b.png").touch()
    assert CliRunner().invoke(app, ["degrade", "in.png", "b.png"]).exit_code == 0


def test_the_message_names_a_folder_for_two_pictures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("b.png").write_bytes(Path("in.png").read_bytes())
    with pytest.raises(SystemExit):
        run(["degrade", "in.png", "b.png"])
    assert capsys.readouterr().err.endswith("or --overwrite to replace it; if b.png is a picture to treat too, --out FOLDER takes both\n")  # fmt: skip


def test_a_function_replaces_unless_it_is_told_not_to(folder: Path) -> None:
    made = restorekit.degrade("in.png")
    Path("b.png").write_bytes(Path("in.png").read_bytes())
    with pytest.raises(BadInput, match=r"^b\.png is there already"):
        made.save("b.png", overwrite=False)
    made.save("b.png")
    made.save("b.png", overwrite=False)
    found = restorekit.Restoration(torch.rand(1, 3, 8, 8), 1, 0.0)
    Path("c.png").write_bytes(b"mine")
    with pytest.raises(BadInput, match=r"^c\.png is there already"):
        found.save("c.png", overwrite=False)
    assert Path("c.png").read_bytes() == b"mine"
    found.save("c.png")


def test_what_an_earlier_run_left_beside_stays_known(folder: Path) -> None:
    for name in ("o.png", "o_std.png", "o_low.png", "o_kernel.npy", "o_mask.png"):
        Path(name).write_bytes(b"x")
    ours = {name: sha256(name) for name in ("o.png", "o_std.png", "o_kernel.npy")}
    own = Path("o.png.json")
    own.write_text(json.dumps({"restorekit": "1", "outputs": {**ours, "o_mask.png": "another"}}))
    names, said = earlier(own, [Path("o.png")], [Path("o_std.png"), Path("o_low.png")])
    assert names == ["o_std.png", "o_low.png"]
    assert said == {"earlier": {name: ours[name] for name in ("o_std.png", "o_kernel.npy")}}
    own.write_text(json.dumps({"restorekit": "1", "outputs": {"o.png": ours["o.png"]}, **said}))
    assert is_result(Path("o_std.png"))
    assert is_result(Path("o_kernel.npy"))
    assert not is_result(Path("o_low.png"))
    assert earlier(own, [Path("o.png")])[1] == said


@pytest.mark.parametrize("how", ["edited", "replaced", "link"])
def test_a_result_that_is_another_file_now_is_kept(how: str, folder: Path) -> None:
    words = ["degrade", "in.png", "b.png"]
    assert CliRunner().invoke(app, words).exit_code == 0
    photo = Path("t.png").read_bytes()
    if how == "edited":
        Path("b.png").write_bytes(Path("b.png").read_bytes() + b"mine")
    else:
        Path("b.png").unlink()
        Path("b.png").symlink_to("t.png") if how == "link" else Path("b.png").write_bytes(photo)
    before = contents(folder)
    found = CliRunner().invoke(app, words)
    assert isinstance(found.exception, BadInput)
    assert str(found.exception).startswith("b.png is there already and is no result")
    assert contents(folder) == before
    assert CliRunner().invoke(app, [*words, "--overwrite"]).exit_code == 0


def test_results_are_made_again_after_another_task_had_their_names(folder: Path) -> None:
    quick = "--steps 1 --solver ddrm --noise gaussian:0.1"
    for words in (
        "degrade in.png o9.tif",
        f"denoise in.png o9.tif --samples 2 {quick}",
        f"denoise in.png o9.tif {quick}",
        "fuse in.png t.png o9.tif --despeckle none --trust-grid",
        "degrade in.png o9.tif",
        f"denoise in.png o9.tif --samples 2 {quick}",
    ):
        found = CliRunner().invoke(app, words.split())
        assert found.exit_code == 0, (words, found.exception)


def test_samples_in_a_folder_are_made_again(folder: Path) -> None:
    words = [
        "sample",
        "natural-fast",
        "--n",
        "2",
        "--size",
        "16x16",
        "--steps",
        "1",
        "--out",
        "g9.png",
        "--folder",
        "fs",
    ]
    for more in (["--seed", "1"], ["--seed", "2"]):
        assert CliRunner().invoke(app, [*words, *more]).exit_code == 0
    Path("fs/00001.png").write_bytes(b"mine")
    assert "holds 00001.png of an earlier run" in str(CliRunner().invoke(app, words).exception)
    assert Path("fs/00001.png").read_bytes() == b"mine"
    assert CliRunner().invoke(app, [*words, "--overwrite"]).exit_code == 0


def test_a_mask_of_another_file_is_kept(folder: Path) -> None:
    like = Picture(np.ones((1, 8, 8), np.float32), "uint8", (0, 255), info={"mask": np.eye(8) < 1, "mask_beside": True})
    write_picture("m9.tif", np.random.default_rng(2).random((1, 8, 8)), like)
    words = ["degrade", "m9.tif", "n9.tif"]
    Path("n9.tif.msk").write_bytes(b"mine")
    assert str(CliRunner().invoke(app, words).exception).startswith("n9.tif.msk is there already")
    denoised = CliRunner().invoke(app, ["denoise", "m9.tif", "n9.tif", "--steps", "1", "--noise", "gaussian:0.1"])
    assert str(denoised.exception).startswith("n9.tif.msk is there already")
    assert Path("n9.tif.msk").read_bytes() == b"mine"
    assert not Path("n9.tif").exists()
    Path("n9.tif.msk").unlink()
    for _ in range(2):
        found = CliRunner().invoke(app, words)
        assert found.exit_code == 0, found.exception


def test_files_beside_later_pages_are_refused_before_the_first(folder: Path) -> None:
    tifffile.imwrite("pt.tif", np.full((3, 16, 16), 99, np.uint8), photometric="minisblack")
    Path("q9_p3_mean.tif").write_bytes(b"mine")
    found = CliRunner().invoke(
        app,
        ["denoise", "pt.tif", "q9.tif", "--pages", "all", "--samples", "2", "--steps", "1", "--noise", "gaussian:0.1"],
    )
    assert str(found.exception).startswith("q9_p3_mean.tif is there already")
    assert [p.name for p in Path().glob("q9*")] == ["q9_p3_mean.tif"]


def test_files_of_a_run_that_was_killed_are_its_own(folder: Path) -> None:
    Path("o.png").write_bytes(b"x")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    known = {Path(name).resolve(): [sha256("o.png")] for name in ("o.png", "in.png")}
    Path(f".o.{machine()}-{ended.pid}-01234567.set").write_bytes(listed(known))
    assert is_result(Path("o.png"))
    assert not is_result(Path("in.png"))  # which it names, and which is another file
    found = CliRunner().invoke(app, ["degrade", "t.png", "in.png"])
    assert str(found.exception).startswith("in.png is there already and is no result")
