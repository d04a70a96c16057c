"""`restorekit bench images` on small crops of real photographs, with the shipped fast prior and hardly any steps."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

from restorekit.bench.images.image_cases import Clean, Degradation, clean_pictures
from restorekit.bench.images.image_plan import steps_within
from restorekit.bench.images.image_rows import KEYS
from restorekit.bench.images.image_summary import groups, points, read
from restorekit.bench.images.run_images import Images
from restorekit.cli.main import run
from restorekit.errors import BadInput
from restorekit.files.picture import read_picture
from restorekit.inference.driver import restore
from restorekit.metrics.fidelity import coverage, psnr, spread_skill, ssim
from restorekit.priors.find import load_prior
from restorekit.priors.perception.likeness import PriorDistance
from restorekit.text.names import solver_of
from tests.support.reports import Reader

PHOTO = skimage.data.astronaut()
BLUR, NOISE = "blur:kernel=gaussian:1.5@gaussian:0.02", "denoise@gaussian:0.1"
APART = ("seconds", "memory")  # what a measurement does not repeat


def folder(path: Path, count: int = 3, size: int = 40) -> Path:
    path.mkdir()
    for i in range(count):
        Image.fromarray(PHOTO[60 + 10 * i : 60 + 10 * i + size, 150 + 60 * i : 150 + 60 * i + size]).save(
            path / f"p{i}.png"
        )
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return folder(tmp_path / "photos")


def bench(photos: Path, out: Path) -> Images:
    """Settings of the tests: nine rows."""
    return Images(data=(photos,), ops=(NOISE,), solvers=("hqs", "ddrm", "diffpir"), steps=(2,), crop=32, workers=1, threads=1, out=out)  # fmt: skip


def table(out: Path) -> list[dict[str, str]]:
    with open(out / "images.csv", newline="") as f:
        return list(csv.DictReader(f))


def content(out: Path) -> set[tuple[str, ...]]:
    """The rows but for what differs from run to run; no row may be there twice."""
    rows = table(out)
    keys = [tuple(r[k] for k in KEYS) for r in rows]
    assert len(set(keys)) == len(keys)
    return {tuple(v for k, v in r.items() if k not in APART) for r in rows}


def test_figures_are_those_of_restore_and_the_metrics(photos: Path, tmp_path: Path) -> None:
    settings = replace(bench(photos, tmp_path / "out"), ops=(BLUR,), solvers=("diffpir",), samples=3, limit=1)
    settings()
    (row,) = table(tmp_path / "out")
    truth = read_picture(photos / "p0.png").pixels[:, 4:36, 4:36]
    problem = Degradation.of(BLUR).measure(truth, "photos/p0.png", 0)
    found = restore(problem, load_prior("natural-fast"), solver_of("diffpir"), steps=2, samples=3)
    samples = found.samples.numpy()
    first, mean = samples[0].clip(0, 1), samples.mean(0).clip(0, 1)
    expected = {
        "psnr": psnr(first, truth), "psnr_mean": psnr(mean, truth), "ssim": ssim(first, truth), "ssim_mean": ssim(mean, truth),
        "residual": np.mean([problem.misfit(x[None]) for x in found.samples]), "spread_skill": spread_skill(samples, truth),
        "coverage": coverage(samples, truth), "nfe": 2, "vjps": 0, "prior_distance": PriorDistance.shipped()(first, truth),
    }  # fmt: skip
    assert {k: float(row[k]) for k in expected} == pytest.approx(expected, rel=2e-4)
    assert (row["op"], row["picture"], row["samples"], row["state"]) == (BLUR, "photos/p0.png", "3", "ok")
    assert float(row["seconds"]) > 0
    assert float(row["memory"]) > 50
    (kept,) = (tmp_path / "out" / "pictures").iterdir()
    assert np.abs(read_picture(kept).pixels - first).max() <= 0.51 / 255


def test_products_through_the_network_are_counted_per_sample(photos: Path, tmp_path: Path) -> None:
    replace(bench(photos, tmp_path / "o"), solvers=("pigdm", "mmps"), nfe=(4,), steps=(), samples=2, limit=1)()
    found = {r["solver"]: (r["steps"], r["nfe"], r["vjps"]) for r in table(tmp_path / "o")}
    assert found["pigdm"] == ("2", "3", "3")
    assert found["mmps"][:2] == ("4", "4")
    assert int(found["mmps"][2]) > 4


def test_a_measurement_depends_on_its_name_task_and_seed_alone() -> None:
    x = np.full((3, 16, 16), 0.5, np.float32)
    y = Degradation.of(NOISE).measure(x, "a", 0).y
    torch.testing.assert_close(Degradation.of("denoise").measure(x, "a", 0).y, y, rtol=0, atol=0)
    for other in (Degradation.of(NOISE).measure(x, "b", 0), Degradation.of("denoise@gaussian:0.2").measure(x, "a", 0), Degradation.of(NOISE).measure(x, "a", 1)):  # fmt: skip
        assert abs(float(torch.corrcoef(torch.stack([other.y.flatten(), y.flatten()]))[0, 1])) < 0.2
    assert Degradation.of("blur:kernel=gaussian:2").text == "blur:kernel=gaussian:2@gaussian:0.02"
    assert Degradation.of("blur:kernel=a@b.png@poisson:30") == Degradation("blur:kernel=a@b.png", "poisson:30")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, ...]]:
    """What one process measures on the photos, in the order given."""
    where = tmp_path_factory.mktemp("reference")
    bench(folder(where / "photos"), where / "out")()
    return content(where / "out")


def test_two_processes_and_another_order_give_the_same_figures(
    photos: Path, tmp_path: Path, reference: set[tuple[str, ...]]
) -> None:
    outcome = replace(bench(photos, tmp_path / "two"), workers=2, solvers=("diffpir", "ddrm", "hqs"))()
    assert len(outcome.rows) == 9
    assert content(tmp_path / "two") == reference
    replace(bench(photos, tmp_path / "part"), solvers=("ddrm",), limit=2)()
    assert content(tmp_path / "part") < reference


def test_a_cluster_measures_the_same_figures(
    photos: Path, tmp_path: Path, reference: set[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.chdir(photos.parent)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        away = replace(bench(Path(photos.name), tmp_path / "away"), scheduler=cluster.scheduler_address)
        assert len(away().rows) == 9
    assert content(tmp_path / "away") == reference
    assert len(list((tmp_path / "away/pictures").iterdir())) == 9


def test_a_run_goes_on_where_it_stopped(photos: Path, tmp_path: Path) -> None:
    settings, path = bench(photos, tmp_path / "out"), tmp_path / "out" / "images.csv"
    settings()
    whole, text = content(tmp_path / "out"), path.read_text()
    report = (tmp_path / "out" / "images.md").read_text()
    lines = text.splitlines(keepends=True)
    path.write_text("".join(lines[:5]) + lines[5][:-8])  # a line that was being written
    lines_of_progress: list[str] = []
    settings(lines_of_progress.append)
    assert "4 of 9 rows are in" in lines_of_progress[0]
    assert [" dB " in line for line in lines_of_progress[1:]] == [True] * 5
    assert content(tmp_path / "out") == whole
    assert path.read_text().splitlines(keepends=True)[:5] == lines[:5]
    lines_of_progress.clear()
    settings(lines_of_progress.append)
    assert len(lines_of_progress) == 1  # all rows are there
    figures = (tmp_path / "out" / "images.md").read_text()
    assert [line.split("|")[3:8] for line in figures.splitlines()] == [
        line.split("|")[3:8] for line in report.splitlines()
    ]


def _children(pid: int) -> set[int]:
    text = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout
    return {int(a) for a, b in (line.split() for line in text.splitlines()[1:]) if int(b) == pid}


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_a_killed_run_leaves_no_process_and_is_finished_by_the_next(
    photos: Path, tmp_path: Path, reference: set[tuple[str, ...]]
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "restorekit", *shlex.split(replace(bench(photos, out), workers=2).command())[1:]]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 600  # on a loaded machine too
    path = out / "images.csv"
    while time.monotonic() < until and (not path.exists() or path.read_text().count("\n") < 3):
        time.sleep(0.01)
    workers = _children(process.pid)
    with pytest.raises(BadInput, match="another run writes there"):
        bench(photos, out)()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(workers) >= 2
    while time.monotonic() < until and any(map(_alive, workers)):
        time.sleep(0.05)
    assert not any(map(_alive, workers))
    before = content(out)
    assert len(before) < 9
    bench(photos, out)()
    assert before < content(out) == reference


def test_what_refuses_or_does_not_fit_is_listed_with_its_reason(photos: Path, tmp_path: Path) -> None:
    run_ = replace(bench(photos, tmp_path / "out"), ops=(BLUR.replace("gaussian:1.5", "motion:5:30"), NOISE), nfe=(3,), steps=(), solvers=("hqs", "ddrm", "daps"), limit=1)  # fmt: skip
    outcome = run_()
    assert {(r["op"].partition(":")[0].partition("@")[0], r["solver"]) for r in outcome.rows} == {("blur", "hqs"), ("denoise", "hqs"), ("denoise", "ddrm")}  # fmt: skip
    for name in ("images.md", "images.html"):
        text = (tmp_path / "out" / name).read_text()
        assert "ddrm needs an operator with an SVD" in text
        assert "3 calls are too few: one step takes 5" in text
    said = json.loads((tmp_path / "out" / "images.json").read_text())["left_out"]
    assert [s["what"] for s in said] == ["ddrm", "daps", "daps"]


def test_a_run_that_diverges_has_a_row_that_says_so(photos: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(
        "from dataclasses import dataclass\nfrom restorekit.inference.solver import Solver, Step\n"
        "@dataclass(frozen=True, eq=False)\nclass Bad(Solver):\n"
        "    def __call__(self, problem, denoise, sigmas, x, rng):\n"
        "        yield Step(x / 0, x, sigmas[0])\n"
    )
    settings = replace(bench(photos, tmp_path / "out"), solvers=("hqs", f"{own}:Bad"), limit=1)
    outcome = settings()
    states = [r["state"] for r in table(tmp_path / "out")]
    assert states[0] == "ok"
    assert states[1].startswith("Bad diverged at sigma")
    assert [(len(g.rows), g.diverged) for g in outcome.groups] == [(1, 0), (0, 1)]
    assert "| diverged |" in (tmp_path / "out" / "images.md").read_text()
    settings()
    assert len(table(tmp_path / "out")) == 2


@pytest.mark.parametrize(
    "name", ["hqs", "diffpir", "pigdm", "mmps", "daps", "pnpdm", "dps:paper=true", "ddnm+:travel=5/3"]
)
@pytest.mark.parametrize("nfe", [1, 7, 20])
def test_the_most_steps_within_so_many_calls(name: str, nfe: int) -> None:
    chosen = solver_of(name)
    problem = Degradation.of(NOISE).measure(np.full((3, 16, 16), 0.5, np.float32), "a", 0)
    steps = steps_within(chosen, problem, nfe)
    calls = [chosen.calls(chosen.schedule(problem, n)) for n in range(1, nfe + 2)]
    fitting = [n for n, c in enumerate(calls, 1) if c <= nfe]
    assert steps == (max(fitting) if fitting else None)


def mistakes(d: Path) -> dict[str, tuple[list[str], str]]:
    (d / "empty").mkdir()
    return {
        "no folder": (["--data", str(d / "none")], "is no folder"),
        "no pictures": (["--data", str(d / "empty")], "holds no pictures"),
        "operator": (["--op", "blurr:kernel=gaussian:2"], "unknown operator 'blurr'"),
        "noise": (["--op", "denoise@gauss:0.1"], "unknown noise 'gauss'"),
        "solver": (["--solver", "hqss"], "unknown solver 'hqss'"),
        "prior": (["--prior", "nature"], "unknown prior 'nature'"),
        "too small": (["--crop", "64"], "40x40 pixels, smaller than 64x64; give --crop 40 or less"),
        "crop": (["--crop", "8"], "at least 16 pixels"),
        "nothing": (["--op", "blur:kernel=motion:5:30", "--solver", "ddrm"], "nothing to measure .ddrm: ddrm needs"),
        "features": (["--features", str(d / "photos" / "p0.png")], "not a TorchScript file"),
        "lpips": (["--lpips", "alexa"], "give alex, squeeze, vgg, none"),
        "device": (["--device", "tpu9"], "cannot be used here"),
    }


@pytest.mark.parametrize("name", ["no folder", "no pictures", "operator", "noise", "solver", "prior", "too small", "crop", "nothing", "features", "lpips", "device"])  # fmt: skip
def test_a_mistake_is_one_line_and_nothing_is_written(
    name: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extra, said = mistakes(tmp_path)[name]
    data = [] if "--data" in extra else ["--data", str(photos)]
    crop = [] if "--crop" in extra else ["--crop", "32"]
    with pytest.raises(SystemExit) as stop:
        run(["bench", "images", *data, *crop, "--out", str(tmp_path / "out"), *extra])
    assert stop.value.code != 0
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(said, line), line
    assert not (tmp_path / "out").exists()


def test_the_command_with_its_plural_spellings_writes_all_four_files(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["bench", "images", "--data", photos, "--ops", NOISE, "--solvers", "hqs", "--solvers", "ddrm", "--steps", 1, "--steps", 3,
             "--priors", "natural-fast", "--crop", 32, "--workers", 1, "--limit", 2, "--out", out]  # fmt: skip
    with pytest.raises(SystemExit) as stop:
        run([str(w) for w in words])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert "prior distance" in printed
    assert {p.name for p in out.iterdir()} == {
        "images.csv",
        "images.json",
        "images.md",
        "images.html",
        "pictures",
        ".lock",
        ".images.csv.lock",
    }
    record = json.loads((out / "images.json").read_text())
    rows = table(out)
    for result in record["results"]:
        mine = [float(r["psnr"]) for r in rows if (r["solver"], int(r["steps"])) == (result["solver"], result["steps"])]
        assert result["psnr"] == pytest.approx(np.mean(mine))
        assert result["psnr_error"] == pytest.approx(np.std(mine, ddof=1) / 2**0.5)
    assert record["frechet_is"].endswith("(not FID)")
    reader = Reader((out / "images.html").read_text())
    assert len(reader.all("svg")) == 4
    assert sum("hqs" in (e["alt"] or "") for e in reader.all("img")) == 2
    # Each row of the page is a group of the CSV, and a plot has a point for each.
    found = points(read(out / "images.csv"), "nfe", "psnr")
    assert [(p.series, p.x) for p in found] == [("ddrm", 1), ("ddrm", 3), ("hqs", 1), ("hqs", 3)]
    # The command of the report is the one that was given.
    again = shlex.split(record["command"])
    (out / "images.html").unlink()
    with pytest.raises(SystemExit):
        run(again[1:])
    assert (out / "images.html").exists()
    assert " dB " not in capsys.readouterr().err


def test_the_bars_of_a_plot_leave_out_what_pictures_differ_by() -> None:
    rng = np.random.default_rng(0)
    easy = rng.normal(0, 10, 400)

    def row(name: str, i: int, shift: float) -> dict[str, str]:
        value = str(30 + shift + easy[i] + rng.normal(0, 0.5))
        return dict.fromkeys(KEYS, "1") | {
            "solver": name,
            "picture": f"{i:03}",
            "psnr": value,
            "nfe": "5",
            "state": "ok",
        }

    rows = [row(name, i, shift) for name, shift in (("a", 0), ("b", 1), ("c", 2)) for i in range(400)]
    found = groups(rows)
    for p in points(found, "nfe", "psnr"):
        assert p.error == pytest.approx(0.5 / 20, rel=0.15)
    assert found[0].mean("psnr").error == pytest.approx(10 / 20, rel=0.15)
    difference = found[0].behind(found[2])
    assert float(difference) == pytest.approx(-2, abs=0.2)
    assert difference.error == pytest.approx(0.5 * 2**0.5 / 20, rel=0.15)
    rows[0]["state"] = "a diverged"
    assert [p.series for p in points(groups(rows), "nfe", "psnr")] == ["b", "c"]


def test_pictures_are_cropped_in_the_middle_and_named_by_their_folder(tmp_path: Path) -> None:
    photos = folder(tmp_path / "set", count=2, size=41)
    (photos / "notes.txt").write_text("no picture")
    found = clean_pictures([photos], 32)
    assert [c.name for c in found] == ["set/p0.png", "set/p1.png"]
    whole = read_picture(photos / "p0.png").pixels
    np.testing.assert_array_equal(found[0].pixels, whole[:, 4:36, 4:36])
    np.testing.assert_array_equal(Clean("x", photos / "p0.png", 0).pixels, whole)
    other = folder(tmp_path / "b", count=0)
    other.rename(tmp_path / "c")
    with pytest.raises(BadInput, match="two pictures are called set/p0"):
        clean_pictures([photos, photos], 32)


def test_the_prior_distance_grows_with_every_distortion_and_ranks_as_ssim() -> None:
    distance, rng = PriorDistance.shipped(), np.random.default_rng(0)
    found, structure = [], []
    for top, left in ((60, 190), (200, 60)):
        x = np.ascontiguousarray(PHOTO[top : top + 64, left : left + 64].transpose(2, 0, 1) / np.float32(255))
        n = rng.standard_normal(x.shape).astype(np.float32)
        families = [
            [gaussian_filter(x, (0, s, s)) for s in (0.5, 0.9, 1.5, 3)],
            [x + s * n for s in (0.01, 0.04, 0.1, 0.25)],
            [_jpeg(x, q) for q in (90, 60, 30, 8)],
        ]
        assert distance(x, x) == 0
        for family in families:
            mine = [distance(v, x) for v in family]
            assert all(a < b for a, b in pairwise(mine)), mine
            found += mine
            structure += [ssim(v.clip(0, 1), x) for v in family]
        assert distance(x, families[0][1]) == pytest.approx(distance(families[0][1], x), rel=1e-5)
    assert float(spearmanr(found, structure)[0]) < -0.9  # type: ignore[arg-type]


def _jpeg(x: np.ndarray, quality: int) -> np.ndarray:
    file = BytesIO()
    Image.fromarray(np.rint(255 * x.transpose(1, 2, 0)).astype(np.uint8)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)).transpose(2, 0, 1) / np.float32(255)
