"""A file that is no result of restorekit is not replaced by one, unless that is asked for; a result is, by its own command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from typer.testing import CliRunner

import restorekit
from restorekit.cli.main import app, run
from restorekit.errors import BadInput
from restorekit.files.digest import sha256
from restorekit.files.picture import Picture, write_picture
from restorekit.files.record import earlier
from restorekit.files.session import is_result
from restorekit.files.temporary import listed, machine
from tests.support.opened_files import contents, write_opened_files


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_opened_files()
    return tmp_path


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


def test_what_an_earlier_measurement_left_is_removed_with_it(folder: Path) -> None:
    blurred = ["degrade", "photos/1.png", "b.png", "--camera", "still:shutter=motion:5:0"]
    assert CliRunner().invoke(app, blurred).exit_code == 0
    assert Path("b_kernel.npy").exists()
    done = CliRunner().invoke(app, ["degrade", "photos/1.png", "b.png", "--noise", "gaussian:0.1"])
    assert "b_kernel.npy: of an earlier measurement b.png, removed" in done.stderr
    assert not Path("b_kernel.npy").exists()
    assert "earlier" not in json.loads(Path("b.png.json").read_text())
    own = Path("c.jpg.json")
    for how, words in (("untouched", []), ("opened", ["--op", "blur:kernel=c_truth.jpg"]), ("edited", [])):
        assert CliRunner().invoke(app, ["degrade", "m.png", "c.jpg"]).exit_code == 0
        Path("c_truth.jpg").write_bytes(Path("c.jpg").read_bytes())  # of a version that wrote truths so
        record = json.loads(own.read_text())
        record["outputs"]["c_truth.jpg"] = sha256("c_truth.jpg") if how != "edited" else "another"
        own.write_text(json.dumps(record))
        done = CliRunner().invoke(app, ["degrade", "photos/1.png", "c.jpg", *words])
        assert done.exit_code == 0, done.exception
        assert Path("c_truth.png").exists()
        assert Path("c_truth.jpg").exists() == (how != "untouched")


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
