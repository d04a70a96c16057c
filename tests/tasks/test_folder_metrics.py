"""Metrics of many pictures: which truth each is compared with, what a failure leaves, what a table says."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import restorekit
from restorekit import BadInput, Batch
from restorekit.tasks.picture_metrics import folder_metrics, picture_metrics
from tests.cli.test_cli_batch import go

NAMES = ("a", "b")


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """results/a.png and b.png, truths/a.png and b.png."""
    monkeypatch.chdir(tmp_path)
    for seed, (folder, name) in enumerate((f, n) for f in ("results", "truths") for n in NAMES):
        (tmp_path / folder).mkdir(exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / folder / f"{name}.png")
    return tmp_path


def table(text: str) -> dict[str, dict[str, str]]:
    return {row.pop("picture"): row for row in csv.DictReader(io.StringIO(text))}


def test_a_row_is_what_the_pair_alone_gives_and_the_mean_is_of_them(made: Path) -> None:
    found = folder_metrics("results", "truths", crop=2)
    alone = {f"results/{n}.png": picture_metrics(f"results/{n}.png", f"truths/{n}.png", crop=2) for n in NAMES}
    assert found.scores == alone
    assert found.mean == {name: pytest.approx(np.mean([s[name] for s in alone.values()])) for name in ("psnr", "ssim", "mae", "rmse")}  # fmt: skip
    rows = table(found.csv())
    assert list(rows) == ["results/a.png", "results/b.png", "mean"]
    assert rows["results/a.png"]["psnr"] == f"{alone['results/a.png']['psnr']:.4f}"
    assert rows["mean"]["psnr"] == f"{found.mean['psnr']:.4f}"


def test_a_pair_that_fails_stops_no_other_and_is_not_in_the_mean(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (made / "truths" / "a.png").unlink()
    assert go("metrics", "results", "truths", "--names", "psnr") == 1
    out, err = capsys.readouterr()
    rows, alone = table(out), picture_metrics("results/b.png", "truths/b.png", names=["psnr"])["psnr"]
    assert rows["results/a.png"] == {"psnr": "", "error": "truths: no file there of the name a or a_truth; each picture needs one"}  # fmt: skip
    assert rows["mean"] == rows["results/b.png"] == {"psnr": f"{alone:.4f}", "error": ""}
    assert err.splitlines() == ["restorekit: a.png: truths: no file there of the name a or a_truth; each picture needs one"]  # fmt: skip


def test_json_holds_the_same_and_no_infinity(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert go("metrics", "results/*.png", "results", "--json", "--names", "psnr,mae") == 0
    same = {"psnr": "inf", "mae": 0.0}
    assert json.loads(capsys.readouterr().out) == {
        "pictures": {"results/a.png": same, "results/b.png": same}, "mean": same, "failed": {},
    }  # fmt: skip


def test_one_truth_may_be_for_all_and_no_file_is_written(made: Path) -> None:
    before = sorted(made.rglob("*"))
    found = folder_metrics(["results/b.png", "results/a.png"], "truths/a.png", names=["mae"])
    assert list(found.scores) == ["results/b.png", "results/a.png"]
    assert found.scores["results/b.png"] == picture_metrics("results/b.png", "truths/a.png", names=["mae"])
    assert sorted(made.rglob("*")) == before


def test_what_a_batch_wrote_beside_its_results_is_no_result(made: Path) -> None:
    """`degrade` writes a_truth.tif beside a.tif: the one is no result, and is the truth of the other."""
    Batch(restorekit.degrade, {"noise": "gaussian:0.1"}, suffix=".tif")("truths", "made")
    assert {p.name for p in Path("made").glob("*.tif")} == {"a.tif", "b.tif", "a_truth.tif", "b_truth.tif"}
    for places in ("made", "made/*.tif"):
        found = folder_metrics(places, "made")
        assert [Path(p).name for p in found.scores] == ["a.tif", "b.tif"]
        assert 19 < found.mean["psnr"] < 22  # of noise of a tenth
        assert not found.failed
    assert list(folder_metrics("made/a_truth.tif", "truths/a.png").scores) == ["made/a_truth.tif"]


@pytest.mark.parametrize(
    ("places", "truth", "names", "said"),
    [
        ("results", "truths", ["q"], "unknown metric q"),
        ("results", "nowhere", None, "nowhere: no such file"),
        ("none/*.png", "truths", None, "no file has such a name"),
    ],
)
def test_what_is_wrong_for_all_is_said_once(
    places: str, truth: str, names: list[str] | None, said: str, made: Path
) -> None:
    with pytest.raises(BadInput, match=said):
        folder_metrics(places, truth, names=names)


def test_what_single_runs_wrote_beside_is_left_out_unless_it_is_named(tmp_path: Path) -> None:
    for seed, name in enumerate(("a.tif", "b.tif")):
        pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)
        restorekit.degrade(pixels, noise="gaussian:0.1").save(tmp_path / name)
    found = folder_metrics(tmp_path, tmp_path)
    assert sorted(Path(p).name for p in found.scores) == ["a.tif", "b.tif"]
    named = folder_metrics([tmp_path / "a_truth.tif"], tmp_path / "a_truth.tif", names=["mae"])
    assert named.mean == {"mae": 0}
    (tmp_path / "a.tif.json").unlink()  # by which it was known
    assert len(folder_metrics(tmp_path, tmp_path / "a_truth.tif").outcomes) == 3
