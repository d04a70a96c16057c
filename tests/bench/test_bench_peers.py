"""`restorekit bench peers`: what is missing or fails is listed, rows say what they were measured with, figures see what is wrong."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from restorekit.bench.peers.peer_list import PEERS, ours, peer
from restorekit.bench.peers.peer_rows import KEYS, VALUES, in_exam
from restorekit.bench.peers.run_peers import Peers
from restorekit.bench.posterior.exam_gaussian import OPERATORS, PRIORS, GaussianExam
from restorekit.bench.posterior.exam_pixels import speckle
from restorekit.bench.posterior.run_exam import Passes, Size
from restorekit.cli.main import run
from restorekit.errors import BadInput, Unsupported
from restorekit.inference.likelihood import Gaussian, Poisson
from restorekit.inference.problem import Problem
from restorekit.operators import Identity
from tests.support.reports import Reader

FAKES = """
from dataclasses import dataclass
import torch
from restorekit.bench.posterior.exam_gaussian import GaussianExam
from restorekit.bench.peers.peer import Peer
from restorekit.errors import Unsupported

class Base(Peer):
    library = "numpy"
    licence = "free as in beer"

@dataclass(frozen=True)
class Exact(Base):
    share: float = 1.0  # of the exact spread
    def sample(self, problem, denoise, count, seed):
        exam = GaussianExam(problem.operator, problem.likelihood.sigma, denoise.denoise)
        x = exam.exact(problem.y, count, seed)[0]
        mean = exam.mean(problem.y).view(x[0].shape)
        return mean + self.share * (x - mean)

@dataclass(frozen=True)
class Denoised(Base):
    def sample(self, problem, denoise, count, seed):
        g = torch.Generator().manual_seed(seed)
        noise = torch.randn(count, *problem.y.shape[1:], generator=g)
        return denoise(problem.y, problem.likelihood.sigma) + 0.05 * noise

@dataclass(frozen=True)
class Broken(Base):
    def sample(self, problem, denoise, count, seed):
        raise RuntimeError("out of\\ncheese")

@dataclass(frozen=True)
class Odd(Base):
    def sample(self, problem, denoise, count, seed):
        return problem.y[:, :, 1:]

@dataclass(frozen=True)
class Picky(Base):
    def check(self, problem):
        raise Unsupported("numpy takes nothing of this kind")
    def sample(self, problem, denoise, count, seed):
        return problem.y

@dataclass(frozen=True)
class Gone(Base):
    library = "nosuchlibrary"
    def sample(self, problem, denoise, count, seed):
        return problem.y

class Bare(Base):
    def sample(self, problem, denoise, count, seed):
        return problem.y
"""


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("restorekit.bench.peers.run_peers.FEW", Size(2, 19))
    path = tmp_path / "fakes.py"
    path.write_text(FAKES)
    return str(path)


def table(out: Path) -> list[dict[str, str]]:
    with (out / "peers.csv").open() as f:
        return list(csv.DictReader(f))


def test_what_is_missing_or_fails_is_listed_and_the_others_go_on(
    fakes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, names = tmp_path / "o", ("Exact", "Broken", "Odd", "Picky", "Gone")
    words = ["bench", "peers", "--problem", "denoise", "--prior", "random", "--sigma", "0.05", "--solver", "ddrm"]
    words += [w for n in names for w in ("--peer", f"{fakes}:{n}")] + ["--out", str(out)]
    with pytest.raises(SystemExit) as ended:
        run(words)
    assert ended.value.code == 0
    rows = {r["method"].rpartition(":")[2]: r for r in table(out)}
    assert set(next(iter(rows.values()))) == {*KEYS, *VALUES}
    assert set(rows) == {"ddrm", "Exact", "Broken", "Odd", "Picky"}  # what is not there has no row
    assert rows["Broken"]["refused"] == "fails: RuntimeError: out of cheese"
    assert rows["Odd"]["refused"].startswith("fails: gave (1, 1, 7, 8), expected (19, 1, 8, 8)")
    assert rows["Picky"]["refused"] == "numpy takes nothing of this kind"
    assert {r["version"] for n, r in rows.items() if n != "ddrm"} == {np.__version__}
    assert all(r["torch"] == torch.__version__ and "cores" in r["machine"] for r in rows.values())
    assert not rows["Exact"]["refused"]
    said = (out / "peers.md").read_text()
    page = Reader((out / "peers.html").read_text())
    for text in (said, page.text):
        for reason in ("nosuchlibrary cannot be imported", "RuntimeError: out of cheese", "numpy takes nothing", "free as in beer"):  # fmt: skip
            assert reason in text
    assert "pip install nosuchlibrary" in said
    command = next(line for line in said.splitlines() if line.startswith("`restorekit"))
    assert sorted(shlex.split(command.strip("`"))) == sorted(["restorekit", *words])
    assert "non-commercial" in said
    capsys.readouterr()
    with pytest.raises(SystemExit):
        run(words)
    again = [line.split()[4].rpartition(":")[2] for line in capsys.readouterr().err.splitlines() if "random" in line]
    assert again == ["Broken", "Odd"]  # what failed is tried again, and nothing else
    assert (out / "peers.md").read_text() == said


def test_figures_and_verdicts_see_what_is_wrong(fakes: str, tmp_path: Path) -> None:
    """Exact draws pass, half of their spread is seen, and a sampler that is further off is named with its cell."""
    exam = GaussianExam(OPERATORS["inpaint"](), 0.05, PRIORS["random"]())
    right, narrow = (in_exam(exam, "e", Size(3, 59), peer(f"{fakes}:Exact:share={s}"), 0) for s in (1, 0.5))
    for part in ("measured", "unmeasured"):
        assert abs(right[f"spread_{part}"] - 1) < 4 * right[f"spread_{part}_se"]
        assert abs(right[f"coverage_{part}"] - 0.9) < 4 * right[f"coverage_{part}_se"]
        assert narrow[f"spread_{part}"] == pytest.approx(right[f"spread_{part}"] / 2, rel=1e-6)
    assert right["w2"] < 1.2 * right["floor"] < narrow["w2"]
    asked = (f"{fakes}:Exact", f"{fakes}:Exact:share=0.1")
    Peers(peers=asked, solvers=("tmpd",), problems=("inpaint",), priors=("random",), sigmas=(0.002,), out=tmp_path / "o")()  # fmt: skip
    said = (tmp_path / "o/peers.md").read_text().partition("## Ours against theirs")[2].partition("## inpaint")[0]
    lines = [[c.strip() for c in line.split("|")[1:-1]] for line in said.splitlines() if line.startswith("| tmpd")]
    # method, against, cells, worse in W2, spread, and so on
    assert lines[-1][1] == asked[1]  # worst first
    by = {line[1]: line for line in lines}
    assert by[asked[0]][2:4] == ["1", "1"]
    assert by[asked[1]][3] == "0"
    assert "inpaint random 0.002" in by[asked[0]][-1]


def test_pictures_through_a_peer(fakes: str, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for i in range(2):
        Image.fromarray(skimage.data.astronaut()[60 : 100 + i, 150:190]).save(tmp_path / f"photos/{i}.png")
    asked = (f"{fakes}:Denoised", f"{fakes}:Broken")
    made = Peers(
        peers=asked, solvers=(), exams=False, data=(tmp_path / "photos",), ops=("denoise", "average:factor=4"), crop=32,
        samples=3, out=tmp_path / "o",
    )()  # fmt: skip
    rows = [r for r in made.rows if not r["refused"]]
    assert [r["problem"] for r in rows] == ["denoise@gaussian:0.1"] * 2
    for r in rows:
        assert float(r["psnr_mean"]) > float(r["psnr"]) > 20
        assert 0 < float(r["inside"]) < 1
        assert float(r["forward"]) == pytest.approx(1 / 3, rel=1e-3)  # one call for three samples
        assert float(r["last"]) == pytest.approx(0.1)
    # A picture of a quarter of the size is refused by the shape that came back, on both.
    assert sum("expected (3, 3, 32, 32)" in r["refused"] for r in made.rows) == 2
    assert "± " in Reader((tmp_path / "o/peers.html").read_text()).text


@pytest.mark.parametrize(
    ("sides", "crop", "said"),
    [
        ((40, 48), 64, r"2 of 2 pictures, such as .*0\.png, are smaller than 64x64 pixels; give --crop 40 or less"),
        ((40, 48), 44, r"0\.png is 40x50 pixels, smaller than 44x44; give --crop 40 or less"),
        ((8, 48), 64, r"0\.png is 8x50 pixels, smaller than 64x64; leave it out"),
        ((40, 8), 0, r"1\.png is 8x50 pixels, smaller than 16x16; leave it out"),
    ],
)
def test_pictures_smaller_than_the_crop_are_refused_once(
    sides: tuple[int, ...], crop: int, said: str, fakes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    for i, side in enumerate(sides):
        Image.fromarray(skimage.data.astronaut()[60 : 60 + side, 150:200]).save(tmp_path / f"photos/{i}.png")
    words = ("bench", "peers", "--peer", f"{fakes}:Denoised", "--data", tmp_path / "photos", "--crop", crop)
    with pytest.raises(SystemExit) as stop:
        run([*map(str, words), "--out", str(tmp_path / "o")])
    assert stop.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(said, line), line
    assert not (tmp_path / "o").exists()


def test_a_library_that_is_not_there_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, fakes: str) -> None:
    """torch is named, or pip would exchange it; and our own exams of logarithms are for those who know their units."""
    for cls in PEERS.values():
        monkeypatch.setattr(cls, "load", classmethod(lambda _: 1 / 0))
        reason = cls.available()
        assert reason is not None
        assert f'pip install "torch=={torch.__version__.partition("+")[0]}" "restorekit[peers]"' in reason
    with pytest.raises(Unsupported, match=r"pictures on \[0, 1\]"):
        in_exam(speckle(4, "narrow"), "e", Size(1, 19), peer(f"{fakes}:Denoised"), 0)
    assert in_exam(speckle(4, "narrow"), "e", Size(1, 19), ours("sar-dps"), 0)["spread_measured"] > 0.5


def test_ours_take_a_number_of_levels() -> None:
    exam = GaussianExam(OPERATORS["denoise"](), 0.1, PRIORS["stationary"]())
    assert ours("mmps:iterations=1,steps=12").settings().endswith("steps 12")
    assert in_exam(exam, "e", Size(1, 19), ours("mmps:iterations=1,steps=12"), 0)["forward"] == 12
    assert "steps" not in ours("mmps").settings()
    for text, said in (
        ("mmps:steps=0", "at least 1"),
        ("mmps:steps=few", "steps='few' is not a int"),
        ("mmps:speed=1,steps=4", "unknown setting 'speed'"),
    ):
        with pytest.raises(BadInput, match=said):
            ours(text)


def test_a_gradient_of_the_answer_alone_is_no_pass() -> None:
    passes = Passes(lambda x, sigma: 2 * x)
    x = torch.zeros(3, 1, 2, 2, requires_grad=True)
    x0 = passes(x, 0.5)
    loss = x0.square().sum()
    torch.autograd.grad(loss, x0, retain_graph=True)
    assert (passes.forward, passes.backward) == (3, 0)
    torch.autograd.grad(loss, x)
    assert (passes.forward, passes.backward, passes.least) == (3, 3, 0.5)


def test_what_is_not_understood_is_refused_before_anything_runs(fakes: str, tmp_path: Path) -> None:
    for text, said in (
        ("azula", "unknown peer 'azula'; known: azula-mmps"), ("azula-mmps:steps=1", "at least 2"), (f"{fakes}:Bare", "no dataclass"),
        ("deepinv-dps:speed=3", "takes calls, guidance, weight, process"), (f"{fakes}:Nobody", "has no Peer named"),
    ):  # fmt: skip
        with pytest.raises(BadInput) as error:
            Peers(peers=(text,), out=tmp_path / "o")()
        assert said in str(error.value)
    with pytest.raises(BadInput, match="nothing to measure"):
        Peers(exams=False, out=tmp_path / "o")()
    assert not (tmp_path / "o").exists()
    for cls in PEERS.values():
        with pytest.raises(Unsupported):
            cls().check(Problem(torch.ones(1, 1, 16, 16), Identity((1, 16, 16)), Poisson(20)))


# --- where the libraries are installed ---


@pytest.fixture
def azula() -> None:
    pytest.importorskip("azula")


@pytest.mark.usefixtures("azula")
@pytest.mark.parametrize("text", ["azula-mmps:steps=40,grid=ours", "azula-tmpd", "azula-diffpir:lambda=1"])
def test_azula_is_called_as_it_is_meant(text: str) -> None:
    """Hardly any noise gives the measurement back, on [0, 1]; the seed decides, and torch's own stream is left alone."""
    exam = GaussianExam(OPERATORS["denoise"](), 0.002, PRIORS["stationary"]())
    x0, y = exam.draw(1, 0)
    before = torch.get_rng_state()
    first, again, other = (peer(text).sample(exam.problem(y), exam.prior, 4, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.dtype == y.dtype
    assert float((first - x0).square().mean().sqrt()) < 0.01


@pytest.mark.usefixtures("azula")
def test_the_passes_of_azula() -> None:
    """One forward, and one backward for each of three iterations and for the answer; of a grid of seven decades."""
    exam = GaussianExam(OPERATORS["inpaint"](), 0.05, PRIORS["stationary"]())
    found = in_exam(exam, "e", Size(2, 19), peer("azula-mmps:steps=20"), 0)
    assert (found["forward"], found["backward"]) == (20, 80)
    assert found["last"] == pytest.approx(0.0005 * 1e6 ** (1 / 20), rel=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("azula")
def test_azula_reaches_the_posterior_with_more_steps_and_iterations() -> None:
    """Its moment matching is exact for Gaussians in the limit: what is told it of noise and units is right."""
    exam = GaussianExam(OPERATORS["average"](), 0.05, PRIORS["stationary"]())
    found = in_exam(exam, "e", Size(3, 59), peer("azula-mmps:steps=200,grid=ours,iterations=6"), 0)
    for part in ("measured", "unmeasured"):
        assert abs(found[f"spread_{part}"] - 1) < 4 * found[f"spread_{part}_se"]
    assert found["w2"] < 1.1 * found["floor"]


def test_bm3d_denoises() -> None:
    pytest.importorskip("bm3d")
    x = torch.from_numpy(skimage.data.astronaut()[60:92, 150:182] / 255.0).permute(2, 0, 1)[None]
    for truth in (x, x[:, :2]):  # colours, and bands that are none
        y = truth + 0.1 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
        problem = Problem(y, Identity((truth.shape[1], 32, 32)), Gaussian(0.1))
        peer("bm3d").check(problem)
        out = peer("bm3d").sample(problem, lambda x, sigma: x, 1, 0)
        assert out.shape == truth.shape
        assert float((out - truth).square().mean()) < 0.5 * float((y - truth).square().mean())
