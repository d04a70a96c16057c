"""`restorekit calibrate`, and OUT_low and OUT_high of the commands that draw samples."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

import restorekit
from restorekit.cli.main import run
from restorekit.errors import BadInput
from restorekit.files.picture import read_picture
from restorekit.priors.find import shipped
from restorekit.tasks import calibration_rows as coverage
from restorekit.tasks.calibration_rows import rows_of
from restorekit.uncertainty.calibration import Calibration, beside
from restorekit.uncertainty.interval import student

PHOTO = skimage.data.astronaut()
MMPS = ("--prior", "natural-fast", "--solver", "mmps", "--steps", 2)
NOISE = ("--noise", "gaussian:0.1")


def go(*arguments: object, code: int = 0) -> None:
    with pytest.raises(SystemExit) as stop:
        run([str(a) for a in arguments])
    assert stop.value.code == code


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """21 pictures of 16x16 pixels."""
    (tmp_path / "photos").mkdir()
    for i in range(21):
        top, left = 60 + 20 * (i // 7), 150 + 20 * (i % 7)
        Image.fromarray(PHOTO[top : top + 16, left : left + 16]).save(tmp_path / "photos" / f"{i:02}.png")
    return tmp_path / "photos"


def noisy(path: Path, dtype: str = "uint8") -> Path:
    clean = path.with_name("clean.png")
    Image.fromarray(PHOTO[40:64, 190:210]).save(clean)
    go("degrade", clean, path, "--op", "denoise", *NOISE, "--dtype", dtype)
    return path


def calibrated(photos: Path, out: Path, *more: object, code: int = 0) -> None:
    go("calibrate", "--data", photos, "--task", "denoise", *NOISE, *MMPS, "--samples", 3, "--crop", 16, "--out", out, *more, code=code)  # fmt: skip


def test_a_calibration_is_made_goes_on_where_it_stopped_and_makes_error_bars_wider(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, journal = tmp_path / "c.json", tmp_path / "c_rows.csv"
    plain, drawn = coverage.restore, list[int]()

    def stopping(*args: object, **options: object) -> object:
        drawn.append(1)
        if len(drawn) == 5:
            raise KeyboardInterrupt
        return plain(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(coverage, "restore", stopping)
    calibrated(photos, out, code=130)
    assert "what was drawn is kept" in capsys.readouterr().err
    assert not out.exists()
    begun = journal.read_text()
    calibrated(photos, out)
    assert len(drawn) == 5 + 21 - 4  # none is drawn again
    assert journal.read_text().startswith(begun)
    said = capsys.readouterr()
    assert "| denoise | gaussian:0.1 | uint8, censored | 3 | 11 |" in said.out
    assert "11 pictures calibrate, enough for a level of 0.91 at most" in said.err
    kept = Calibration.read(out)
    assert [e.conditions.samples for e in kept.entries] == [2, 3]
    assert {row["half"] for row in rows_of(journal).rows} == {"calibrate", "judge"}
    judged = kept.entries[1].judged
    assert judged["pictures"] == 10
    assert judged["coverage"] > 0.85 > judged["uncalibrated"]  # two levels leave too little spread

    y, samples = noisy(tmp_path / "y.tif", "float32"), ("--samples", 3)
    go("denoise", y, tmp_path / "a.tif", *NOISE, *MMPS, *samples)
    assert "error bars are not calibrated (none of denoise at gaussian:0.1 of float32 files" in capsys.readouterr().err
    go("denoise", noisy(tmp_path / "y.png"), tmp_path / "b.png", *NOISE, *MMPS, *samples, "--calibration", out)
    assert "calibrated" not in capsys.readouterr().err
    record = json.loads((tmp_path / "b.png.json").read_text())
    assert record["intervals"]["factor"] == pytest.approx(kept.entries[1].factor(0.9), rel=1e-3)
    assert record["intervals"]["factor"] > 1.3
    assert record["intervals"]["calibration"]["pictures"] == [11]
    assert {str(tmp_path / f"b_{end}.png") for end in ("low", "high")} <= set(record["outputs"])


def test_what_a_prior_is_calibrated_for_is_shown_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    go("priors", "show", "natural-fast")
    card, _, table = capsys.readouterr().out.partition("## Calibrated error bars")
    assert "## Limits" in card
    assert "| denoise | gaussian:0.05 | uint8 | linear | measured | mmps | 50 |" in table
    assert (
        ", measured | jpeg | linear | censored | mmps | 50 | 2, 4, 8 |" in table
    )  # noise that was measured in each file
    weights = tmp_path / "mine.safetensors"
    weights.symlink_to(shipped()["natural-fast"])
    go("priors", "show", weights)
    assert "calibration" not in json.loads(capsys.readouterr().out)
    known = Calibration.read(beside(shipped()["natural-fast"]))
    told = [entry for entry in known.entries if not entry.conditions.measured]
    replace(known, entries=(told[-1],)).write(beside(weights))
    go("priors", "show", weights)
    (only,) = json.loads(capsys.readouterr().out)["calibration"]
    last = told[-1].conditions
    assert (only["task"], only["noise"], only["samples"]) == (last.task, last.noise, str(last.samples))
    replace(known, sha256="0" * 64).write(beside(weights))
    go("priors", "show", weights)  # that of other weights holds for no run
    assert "calibration" not in json.loads(capsys.readouterr().out)
    go("priors", "show", "sar")
    assert capsys.readouterr().out.endswith("## Calibrated error bars\n\nNone.\n")


def test_too_few_pictures_are_told_before_they_are_drawn_and_judged_on(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, few = (
        tmp_path / "c.json",
        "3 pictures calibrate, enough for a level of 0.75 at most; 0.9 takes 9 that calibrate, ",
    )

    def stopping(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(coverage, "restore", stopping)
        calibrated(photos, out, "--pictures", 3, code=130)
        assert f"{few}--pictures 9 or more" in capsys.readouterr().err
        for i in range(6, 21):
            (photos / f"{i:02}.png").unlink()
        calibrated(photos, out, code=130)
        assert f"{few}18 pictures or more" in capsys.readouterr().err
    calibrated(photos, out)
    said = capsys.readouterr()
    assert "| task |" not in said.out
    assert "(2 entries, none judged;" in said.out
    assert "2 of 2 entries were not judged: that is done at 0.9, which they cannot guarantee" in said.err
    assert [e.judged for e in Calibration.read(out).entries] == [{}, {}]


def test_other_pictures_of_the_same_names_are_drawn_anew(photos: Path, tmp_path: Path) -> None:
    out, fresh, one = tmp_path / "c.json", tmp_path / "d.json", ("--pictures", 2)
    calibrated(photos, out, *one)
    before = rows_of(tmp_path / "c_rows.csv").rows
    assert {row["restorekit"] for row in before} == {restorekit.__version__}
    for i in range(0, 21, 4):
        Image.fromarray(PHOTO[300 : 300 + 16, 20 * i : 20 * i + 16]).save(photos / f"{i:02}.png")
    calibrated(photos, out, *one)
    calibrated(photos, fresh, *one)
    again, alone = (Calibration.read(path) for path in (out, fresh))
    np.testing.assert_array_equal([e.ratios for e in again.entries], [e.ratios for e in alone.entries])
    assert [e.pictures for e in again.entries] == [2, 2]
    rows = rows_of(tmp_path / "c_rows.csv").rows
    assert rows[: len(before)] == before
    changed = {row["picture"] for row in rows[len(before) :]}
    assert changed <= {f"{i:02}.png" for i in range(0, 21, 4)}
    assert changed


def test_a_table_without_content_and_precision_is_gone_on_with_as_it_is(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, journal = tmp_path / "c.json", tmp_path / "c_rows.csv"
    calibrated(photos, out, "--pictures", 2, "--clipped", "measured")
    whole = rows_of(journal).rows
    older = [name for name in whole[0] if name not in coverage.LATER]
    with journal.open("w", newline="") as f:
        writer = csv.DictWriter(f, older, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(whole[:-4])  # of the last two pictures there is nothing
    begun = journal.read_text()
    capsys.readouterr()
    calibrated(photos, out, "--pictures", 2)
    said = capsys.readouterr().err
    assert "told pictures apart by their names alone" in said
    assert "all rows are drawn with clipped values measured" in said
    text = journal.read_text()
    assert text.startswith(begun)
    rows = rows_of(journal).rows
    assert [{k: row[k] for k in older if k != "seconds"} for row in rows] == [
        {k: row[k] for k in older if k != "seconds"} for row in whole
    ]
    assert {(row["digest"], row["precision"], row["restorekit"]) for row in rows} == {("", "", "")}


def test_rows_of_another_version_are_taken_with_a_note(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, journal, few = tmp_path / "c.json", tmp_path / "c_rows.csv", ("--pictures", 1)
    calibrated(photos, out, *few)
    calibrated(photos, out, *few)
    assert "rows of restorekit" not in capsys.readouterr().err
    older = journal.read_text().replace(f",{restorekit.__version__}\n", ",0.0.7\n", 1)
    assert ",0.0.7\n" in older
    journal.write_text(older)
    calibrated(photos, out, *few)
    told = f"c_rows.csv has rows of restorekit 0.0.7, which are taken as those of {restorekit.__version__}"
    assert capsys.readouterr().err.count(told) == 1
    assert journal.read_text() == older
    calibrated(photos, out, *few, "--seed", 1)  # of whose rows there are none
    assert "rows of restorekit" not in capsys.readouterr().err


def test_another_precision_is_drawn_anew(photos: Path, tmp_path: Path) -> None:
    for precision in ("fp32", "bf16"):
        calibrated(photos, tmp_path / "c.json", "--pictures", 2, "--precision", precision)
    scores: dict[str, list[str]] = {}
    for row in rows_of(tmp_path / "c_rows.csv").rows:
        scores.setdefault(row["precision"], []).append(row["scores"])
    assert len(scores["fp32"]) == len(scores["bf16"]) == 8
    assert scores["fp32"] != scores["bf16"]


@pytest.mark.parametrize("op", ["grey", "average:factor=2"])
def test_pictures_of_which_less_was_measured_than_there_is_are_calibrated(
    op: str, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "c.json"
    go("calibrate", "--data", photos, "--task", op, *NOISE, *MMPS, "--samples", 2, "--crop", 16, "--out", out)
    (entry,) = json.loads(out.read_text())["entries"]
    assert entry["pictures"] == 11
    assert 0.5 < entry["judged"]["coverage"] <= 1


def test_intervals_lie_around_the_mean_with_the_width_that_is_recorded(tmp_path: Path) -> None:
    y = noisy(tmp_path / "y.tif", "float32")
    go("denoise", y, tmp_path / "o.tif", *NOISE, *MMPS, "--samples", 3, "--level", 0.8, "--calibration", "none")
    low, high, mean, std = (
        read_picture(tmp_path / f"o_{end}.tif", (0.0, 1.0)).pixels for end in ("low", "high", "mean", "std")
    )
    half = student(0.8, 3) * (1 + 1 / 3) ** 0.5 * std
    assert (high + low) / 2 == pytest.approx(mean, abs=1e-5)
    assert (high - low) / 2 == pytest.approx(half, rel=1e-3, abs=1e-5)
    said = json.loads((tmp_path / "o.tif.json").read_text())["intervals"]
    assert (said["level"], said["calibration"], said["why"]) == (0.8, "none", "calibration=none")


def test_files_of_integers_are_rounded_outwards_and_cut_to_their_range(tmp_path: Path) -> None:
    y, options = noisy(tmp_path / "y.png"), (*NOISE, *MMPS, "--samples", 2, "--calibration", "none")
    go("denoise", y, tmp_path / "o.png", *options)
    Image.fromarray(np.asarray(Image.open(y))).save(tmp_path / "same.tif")
    go("denoise", tmp_path / "same.tif", tmp_path / "o.npy", *options)  # also of 8 bits
    low, high, mean = (np.asarray(Image.open(tmp_path / f"o_{end}.png"), float) for end in ("low", "high", "mean"))
    assert low.min() == 0
    assert high.max() == 255
    assert ((low <= mean) & (mean <= high)).all()
    std = read_picture(tmp_path / "o_std.tif", (0.0, 1.0)).pixels.transpose(1, 2, 0)
    exact = student(0.9, 2) * 1.5**0.5 * std
    free = (low > 0) & (high < 255)
    assert ((high - low) >= 2 * exact - 1e-3)[free].all()
    assert ((high - low) <= 2 * exact + 2)[free].all()


def test_inpainting_and_deblurring_write_intervals_too(tmp_path: Path) -> None:
    y = noisy(tmp_path / "y.png")
    mask = np.random.default_rng(0).random((24, 20)) > 0.4
    Image.fromarray(mask).save(tmp_path / "m.png")
    go("inpaint", y, tmp_path / "i.png", "--mask", tmp_path / "m.png", *MMPS, "--samples", 2)
    go("deblur", y, tmp_path / "d.png", "--kernel", "gaussian:1", "--noise", "gaussian:0.05", *MMPS, "--samples", 2, "--level", 0.7)  # fmt: skip
    assert json.loads((tmp_path / "d.png.json").read_text())["intervals"]["level"] == 0.7
    for name in ("i", "d"):
        low, high = (np.asarray(Image.open(tmp_path / f"{name}_{end}.png")) for end in ("low", "high"))
        assert low.shape == (24, 20, 3)
        assert (low <= high).all()


def test_what_cannot_be_is_one_line(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    y, c = noisy(tmp_path / "y.png"), tmp_path / "c.json"
    calibrated(photos, c, "--pictures", 9)
    capsys.readouterr()
    deno = ("denoise", y, tmp_path / "o.png", *MMPS, "--samples", 3)
    cases = [
        ((*deno, *NOISE, "--level", 2), "--level"),
        ((*deno, *NOISE, "--level", 0.95, "--calibration", c), "--level 0.95: 9 pictures calibrate"),
        ((*deno, "--noise", "gaussian:0.3", "--calibration", c), "for noise at 0.1, not 0.3"),
        ((*deno, *NOISE, "--flips", 2, "--calibration", c), "without --flips"),
        ((*deno, *NOISE, "--calibration", tmp_path / "none.json"), "no such file"),
        ((*deno, *NOISE, "--calibration", y), "no calibration"),
        (("denoise", y, tmp_path / "o.png", *NOISE, *MMPS[:-2], "--samples", 3, "--calibration", c), "none of denoise"),
        ((*deno, *NOISE, "--prior", "natural", "--calibration", c), "other weights"),
    ]
    more = ("--task", "denoise", *NOISE, *MMPS, "--crop", 16)
    cases += [
        (("calibrate", "--data", photos, *more, "--out", tmp_path / "x.txt"), "x.txt: a calibration is JSON"),
        (("calibrate", "--data", photos, *more, "--out", tmp_path / "x.json", "--dtype", "int8"), "--dtype 'int8'"),
        (("calibrate", "--data", photos, *more, "--out", tmp_path / "x.json", "--solver", "hqs"), "take a solver that draws"),
        (("calibrate", "--data", photos, *more, "--out", tmp_path / "x.json", "--crop", 17), "smaller --crop"),
        (("calibrate", "--data", tmp_path / "nowhere", *more, "--out", tmp_path / "x.json"), "neither a folder nor a zip"),
        (("calibrate", "--data", photos, *more, "--out", c, "--prior", "natural"), "that of other weights"),
    ]  # fmt: skip
    for arguments, why in cases:
        go(*arguments, code=2 if why == "--level" else 1)
        said = [line for line in capsys.readouterr().err.strip().splitlines() if not line.startswith("range:")]
        assert len(said) == 1, said
        assert why in said[0], said
    assert not list(tmp_path.glob("o*"))
    assert not list(tmp_path.glob("x*"))


def test_what_is_opened_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("o_low.png", "o_high.png"):
        y = noisy(tmp_path / name)
        before = y.read_bytes()
        go("denoise", y, tmp_path / "o.png", *NOISE, *MMPS, "--samples", 2, code=1)
        assert "is the input itself" in capsys.readouterr().err
        assert y.read_bytes() == before
    noisy(tmp_path / "y.png")
    (tmp_path / "z.png.json").write_text("{}")
    go("denoise", tmp_path / "y.png", tmp_path / "z.png", *NOISE, *MMPS, "--samples", 2, "--calibration", tmp_path / "z.png.json", code=1)  # fmt: skip
    assert "is the input itself" in capsys.readouterr().err


def test_halves_are_those_of_the_sorted_list_whatever_is_small_or_broken(photos: Path) -> None:
    (photos / "00.png").write_bytes(b"no picture")
    Image.fromarray(PHOTO[:8, :8]).save(photos / "03.png")
    halves = {t.name: t.half for t in coverage.SplitPictures(photos, 16).pictures}
    assert "00.png" not in halves
    assert "03.png" not in halves
    assert all(half == ("judge" if int(name[:2]) % 2 else "calibrate") for name, half in halves.items())
    some = coverage.SplitPictures(photos, 16).some(2)
    assert [t.half for t in some] == ["calibrate"] * 2 + ["judge"] * 2
    for path in sorted(photos.glob("*"))[2:]:
        path.unlink()
    with pytest.raises(BadInput, match="smaller `crop`"):
        _ = coverage.SplitPictures(photos, 16).pictures
