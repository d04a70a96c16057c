"""`restorekit compare` from a real file to a page, with the shipped prior."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from restorekit.files.picture import read_picture, sha256, write_picture
from restorekit.inference.solver import Step
from restorekit.metrics.fidelity import psnr
from restorekit.tasks.compare import Watch
from tests.cli.test_cli import go, measure, photo
from tests.report.test_report import decoded
from tests.support.reports import Reader

BLUR = "blur:kernel=motion:5:30"
SOLVERS = ("hqs", "diffpir:zeta=1", "ddrm")


def compare(
    d: Path, y: Path, op: str, *extra: object, noise: str = "gaussian:0.05"
) -> tuple[Reader, dict[str, object]]:
    out = d / "out.html"
    go("compare", y, out, "--op", op, "--noise", noise, "--prior", "natural-fast", *extra)
    return Reader(out.read_text(encoding="utf-8")), json.loads((d / "out.html.json").read_text())


def solvers(*names: str) -> list[str]:
    return [word for name in names for word in ("--solver", name)]


def test_a_page_of_three_solvers_one_of_which_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    y = measure(tmp_path, BLUR, "gaussian:0.05", name='a <b>&"c.tif')
    truth = tmp_path / 'a <b>&"c_truth.tif'
    before = set(tmp_path.iterdir())
    arguments = [*solvers(*SOLVERS), "--samples", 3, "--steps", 4, "--truth", truth, "--trajectory", 3]
    read, record = compare(tmp_path, y, BLUR, *arguments)
    assert "ddrm refused: ddrm needs an operator with an SVD" in capsys.readouterr().err
    assert {p.name for p in set(tmp_path.iterdir()) - before} == {"out.html", "out.html.json"}

    assert 'a <b>&"c.tif' in read.text
    assert "refused: ddrm needs an operator with an SVD" in read.text
    assert [e["data-solver"] for e in read.all("article")] == ["hqs", "diffpir:zeta=1"]
    names = [e["alt"] for e in read.all("img")]
    assert sum("hqs, x0 at call" in n for n in names) == sum("diffpir:zeta=1, x0 at call" in n for n in names) == 3
    assert {
        "Measurement",
        "Truth",
        "hqs, answer",
        "diffpir:zeta=1, sample 3",
        "diffpir:zeta=1, standard deviation",
    } <= set(names)

    # The sample is the one that `restore` writes, and the figures are of it.
    one = tmp_path / "one.png"
    go("restore", y, one, "--op", BLUR, "--noise", "gaussian:0.05", "--prior", "natural-fast", "--solver", "diffpir:zeta=1",
       "--samples", 3, "--steps", 4)  # fmt: skip
    shown = decoded(read.all("img")[names.index("diffpir:zeta=1, sample 1")]["src"])
    restored, clean = read_picture(one).pixels, read_picture(truth).pixels
    assert np.abs(shown.transpose(2, 0, 1) / 255 - restored).max() < 0.6 / 255
    mean = read_picture(tmp_path / "one_mean.png").pixels
    hqs, diffpir = record["solvers"]  # type: ignore[misc]
    assert diffpir["psnr_mean"] == pytest.approx(psnr(mean, clean), abs=0.01)
    assert diffpir["std"] > 0
    assert 0 < diffpir["coverage"] <= 1
    assert (hqs["std"], hqs["samples"], diffpir["samples"], diffpir["nfe"]) == ("nan", 1, 3, 4)
    assert record["refused"].keys() == {"ddrm"}  # type: ignore[attr-defined]
    assert record["outputs"] == {str(tmp_path / "out.html"): sha256(tmp_path / "out.html")}

    # The command on the page makes the same page again, but for the seconds.
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    command = shlex.split(str(record["command"]))
    assert str(record["command"]) in read.text
    assert command[0] == "restorekit"
    go(*command[1:])
    again = (tmp_path / "out.html").read_text(encoding="utf-8")
    cell = re.compile(r'<td class="num (?:best )?seconds"[^>]*>.*?</td>')
    assert len(cell.findall(page)) == 2
    assert page != again or cell.findall(page) == cell.findall(again)
    assert cell.sub("", page) == cell.sub("", again)


def test_what_lies_beyond_the_frame_is_cut_off_and_not_judged(tmp_path: Path) -> None:
    op = "blur:kernel=motion:5:30,boundary=free"
    y = measure(tmp_path, op, "gaussian:0.02", name="y.tif")
    truth, whole = read_picture(tmp_path / "y_truth.tif"), read_picture(photo(tmp_path / "photo.png")).pixels
    assert truth.pixels.shape == read_picture(y).pixels.shape
    np.testing.assert_allclose(truth.pixels, whole[:, 2:-2, 2:-2], atol=1e-6)
    write_picture(tmp_path / "whole.tif", whole)
    words, found = [*solvers("hqs"), "--steps", 4], []
    for name in ("y_truth.tif", "whole.tif"):
        _, record = compare(tmp_path, y, op, *words, "--truth", tmp_path / name, noise="gaussian:0.02")
        found.append(record["solvers"][0]["psnr"])  # type: ignore[index]
    out = tmp_path / "x.tif"
    go("restore", y, out, "--op", op, "--noise", "gaussian:0.02", "--prior", "natural-fast", *words)
    assert found == pytest.approx([psnr(read_picture(out).pixels.clip(0, 1), truth.pixels)] * 2, abs=0.01)


def test_by_default_solvers_that_suit_the_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    go("degrade", photo(tmp_path / "p.png", 34, 30), tmp_path / "y.png", "--op", "average:factor=4")
    read, record = compare(tmp_path, tmp_path / "y.png", "average:factor=4,size=34x30", "--samples", 2, "--steps", 3, noise="gaussian:0.01")  # fmt: skip
    labels = [e["data-solver"] for e in read.all("article")]
    assert labels == ["hqs:first=0.5", "mmps", "ddrm", "vds"]  # pigdm would refuse two samples of this
    assert record["refused"] == {}
    assert "refused" not in capsys.readouterr().err
    assert "--solver" not in str(record["command"])
    # The measurement is enlarged pixel by pixel, and cut where the last block was.
    small = read_picture(tmp_path / "y.png").pixels
    shown = decoded(read.all("img")[0]["src"]).transpose(2, 0, 1)
    np.testing.assert_array_equal(shown, np.rint(255 * small.repeat(4, 1).repeat(4, 2)[:, :34, :30]))
    assert "8 × 9, its pixels enlarged" in read.text
    assert "PSNR" not in read.text


def test_a_measurement_that_is_no_picture(tmp_path: Path) -> None:
    op = "hadamard:size=16x16,ratio=0.5"
    go("degrade", photo(tmp_path / "p.png", 16, 16), tmp_path / "y.npy", "--op", op)
    read, _ = compare(tmp_path, tmp_path / "y.npy", op, *solvers("hqs"), "--steps", 2, "--truth", tmp_path / "p.png")
    assert "is no picture: a first estimate from it is shown" in read.text
    assert decoded(read.all("img")[0]["src"]).shape == (16, 16, 3)


def test_floats_of_one_band_with_a_range_and_measured_noise(tmp_path: Path) -> None:
    clean = np.asarray(Image.open(photo(tmp_path / "p.png", 32, 40)))[..., 0] * 16.0
    np.save(
        tmp_path / "y.npy", (clean + 160 * np.random.default_rng(0).standard_normal(clean.shape)).astype(np.float32)
    )
    np.save(tmp_path / "t.npy", clean.astype(np.float32))
    extra = (*solvers("hqs"), "--steps", 1, "--range", "0,4080", "--truth", tmp_path / "t.npy")
    read, record = compare(tmp_path, tmp_path / "y.npy", "denoise", *extra, noise="auto")
    assert record["noise_measured"] is True
    assert f"--noise {record['noise']}" in str(record["command"])
    assert "--range 0,4080" in str(record["command"])
    truth = next(e["src"] for e in read.all("img") if e["alt"] == "Truth")
    np.testing.assert_array_equal(decoded(truth)[..., 1], np.rint(clean / 16))
    assert record["solvers"][0]["psnr"] > 24  # type: ignore[index]
    assert "4080 in the file" in read.text


def test_logarithms_are_shown_and_measured_as_amplitudes(tmp_path: Path) -> None:
    u = 2 * np.log(np.linspace(0.1, 0.9, 32 * 32, dtype=np.float32).reshape(32, 32))
    np.save(tmp_path / "u.npy", u)
    go("degrade", tmp_path / "u.npy", tmp_path / "y.npy", "--op", "denoise", "--noise", "gamma:4,domain=log")
    arguments = ("--noise", "gamma:4,domain=log", "--prior", "sar", "--truth", tmp_path / "u.npy", "--solver", "hqs")
    go("compare", tmp_path / "y.npy", tmp_path / "out.html", "--op", "denoise", *arguments)
    read = Reader((tmp_path / "out.html").read_text(encoding="utf-8"))
    assert "amplitudes" in read.text
    truth = next(decoded(e["src"]) for e in read.all("img") if e["alt"] == "Truth")
    assert np.abs(truth[..., 0] / 255 - np.exp(u / 2)).max() < 0.01
    assert json.loads((tmp_path / "out.html.json").read_text())["solvers"][0]["psnr"] > 24


def test_a_solver_that_diverges_is_reported_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(
        """
from dataclasses import dataclass
from restorekit.solvers import DiffPIR
from restorekit.inference.solver import Step

@dataclass(frozen=True, eq=False)
class Wild(DiffPIR):
    def __call__(self, problem, denoise, sigmas, x, rng):
        for step in super().__call__(problem, denoise, sigmas, x, rng):
            yield Step(step.x * float("nan"), step.x0, step.sigma)
"""
    )
    y = measure(tmp_path, "denoise", "gaussian:0.05")
    wild = f"{tmp_path / 'mine.py'}:Wild"
    read, record = compare(tmp_path, y, "denoise", *solvers(wild, "hqs"), "--steps", 2)
    assert list(record["refused"]) == [wild]  # type: ignore[call-overload]
    assert "Wild diverged at sigma" in read.text
    assert "Wild diverged at sigma" in capsys.readouterr().err
    assert [e["data-solver"] for e in read.all("article")] == ["hqs"]


def test_the_trajectory_is_spread_evenly_over_the_first_batch() -> None:
    watch = Watch(calls=10, count=4)
    for done in range(1, 31):  # three batches
        watch(done, 30, Step(torch.zeros(1), torch.full((2, 1, 4, 4), float(done)), 1 / done))
    assert [m.call for m in watch.moments] == [1, 4, 7, 10]
    assert [float(m.x0.mean()) for m in watch.moments] == [1, 4, 7, 10]
    few = Watch(calls=2, count=8)
    for done in (1, 2):
        few(done, 2, Step(torch.zeros(1), torch.zeros(1, 1, 4, 4), 1.0))
    assert [m.call for m in few.moments] == [1, 2]
