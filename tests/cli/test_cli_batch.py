"""IN... --out FOLDER, --config and completion, as a user at a terminal meets them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restorekit.cli.main import run
from restorekit.tasks import batch

DEGRADE = ["degrade", "--noise", "gaussian:0.1"]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed, name in enumerate(("a.png", "b.png")):
        pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


def go(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        run([str(a) for a in arguments])
    return int(stop.value.code or 0)


def test_a_folder_of_pictures_is_one_command(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blur = ["--op", "blur:kernel=gaussian:1"]
    assert go(*DEGRADE, *blur, "photos", "--out", "made") == 0
    out, err = capsys.readouterr()
    assert [line.split()[:3] for line in out.splitlines()[:3]] == [["picture", "result", "state"], ["a.png", "a.png", "done"], ["b.png", "b.png", "done"]]  # fmt: skip
    assert out.splitlines()[-1] == "made  (2 done, and summary.csv)"
    note = "restorekit: a.png: transfer: srgb, a.png was degraded in linear light, the unit of the noise"
    more = "restorekit: 1 more has a note like 'a.png: transfer: srgb, a.png was ...'"
    assert [line for line in err.splitlines() if line] == [note, more]
    assert go(*DEGRADE, *blur, "photos/*.png", "--out", "made") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "made  (2 there already, and summary.csv)"


def test_a_failed_picture_is_the_last_word_and_the_exit_code(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "b.png").write_bytes(b"GIF89a")
    assert go(*DEGRADE, photos, "--out", "made") == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "made  (1 done, 1 failed, and summary.csv)"
    assert err.splitlines()[-1].startswith("restorekit: b.png: its content is GIF, not PNG")


def test_a_result_that_misses_the_measurement_is_as_loud_as_an_error(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = ["--prior", "natural-fast", "--steps", 1, "--kernel", "gaussian:1", "--noise", "gaussian:0.01"]
    assert go("deblur", photos, "--out", "made", *quick) == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if "WARNING" in line]
    assert [w.partition(": the result misses the measurement")[0] for w in warnings] == [f"restorekit: WARNING: {name}.png" for name in "ab"]  # fmt: skip
    assert go("deblur", photos, "--out", "made", *quick) == 0  # it is still so
    assert sum("WARNING" in line for line in capsys.readouterr().err.splitlines()) == 2


def test_a_stop_says_what_is_kept(
    photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(batch, "outcome_of", stop)
    assert go(*DEGRADE, photos, "--out", "made") == 130
    assert (
        capsys.readouterr().err.strip() == "restorekit: stopped; finished pictures are kept, the same command goes on"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["photos/a.png"], "Missing argument 'OUT'."),
        (["photos/a.png", "o.png", "more.png"], "Got unexpected extra argument (more.png); many pictures need --out"),
        (["photos/a.png", "o.png", "--suffix", ".png"], "--suffix and --scheduler are for many pictures"),
        (["--out", "made"], "Missing argument 'IN'."),
        (["photos", "--out", "photos"], "is the input itself"),
    ],
)
def test_places_that_do_not_fit(
    arguments: list[str], said: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert go("degrade", *arguments) != 0
    assert said in capsys.readouterr().err


def test_a_page_is_of_one_picture(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert go("derain", photos, "--out", "made", "--report", "page.html") == 1
    assert "is a page of one picture" in capsys.readouterr().err


def test_comparisons_of_a_folder_are_pages(photos: Path) -> None:
    quick = ["--prior", "natural-fast", "--steps", 1, "--solver", "hqs", "--noise", "gaussian:0.1", "--samples", 1]
    assert go("compare", photos, "--out", "pages", "--op", "denoise", *quick) == 0
    assert sorted(p.name for p in Path("pages").glob("*.html")) == ["a.html", "b.html"]


def test_printed_settings_are_a_file_that_gives_the_same(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--noise", "gaussian:0.2", "--range", "0,200", "--dtype", "uint16"]
    assert go("degrade", "--print-config", *given) == 0
    printed = capsys.readouterr().out
    assert "# File values that mean black and white" in printed
    assert "\nseed: 0\n" in printed
    assert "\ncorrelated: null\n" in printed
    Path("c.yaml").write_text(printed)
    assert go("degrade", "--print-config", "--config", "c.yaml") == 0
    assert capsys.readouterr().out == printed
    assert go("degrade", "photos/a.png", "1.tif", *given, "--seed", 3) == 0
    assert go("degrade", "photos/a.png", "2.tif", "--config", "c.yaml", "--seed", 3) == 0  # the command line goes first
    assert Path("1.tif").read_bytes() == Path("2.tif").read_bytes()


def test_a_file_may_name_what_a_command_needs_and_all_of_a_list(
    capsys: pytest.CaptureFixture[str], photos: Path
) -> None:
    Path("c.yaml").write_text("op: denoise\nsolver: [hqs, 'mmps:iterations=2']\nnoise: gaussian:0.1\n")
    assert go("compare", "--config", "c.yaml", "--print-config") == 0
    printed = capsys.readouterr().out
    assert "\nop: denoise\n" in printed
    assert "\nsolver:\n- hqs\n- mmps:iterations=2\n" in printed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nois: gaussian:0.1", "restorekit denoise has no setting nois; did you mean noise?"),
        ("xyzzy: 1", "has no setting xyzzy; there are strength, noise, solver"),
        ("noise: {a: 1}", "noise is to be one value"),
        ("- noise", "expected lines of NAME: VALUE"),
        ("noise: [", "is not YAML"),
        ("steps: many", "c.yaml, line 1: steps: "),
        ("steps: 1\nnoise: foo", "c.yaml, line 2: noise: unknown noise 'foo'"),
        ("prior: nothere", "c.yaml, line 1: prior: unknown prior 'nothere'"),
        ("prior: nothere.safetensors", "c.yaml, line 1: prior: "),
        ("level: 0.8", "c.yaml, line 1: level: "),
    ],
)
def test_a_wrong_file_of_settings_is_one_line(
    text: str, said: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("c.yaml").write_text(text)
    assert go("denoise", "photos/a.png", "o.png", "--config", "c.yaml") != 0
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not Path("o.png").exists()


def test_values_are_what_the_command_line_takes_them_for(capsys: pytest.CaptureFixture[str], photos: Path) -> None:
    Path("c.yaml").write_text("targets: off\nkeep-dtype: true\nlooks: 4\nsteps: null\n")
    assert go("despeckle", "--config", "c.yaml", "--print-config") == 0
    printed = capsys.readouterr().out
    assert all(f"\n{line}\n" in printed for line in ("targets: 'off'", "keep_dtype: true", "looks: '4'", "steps: null"))
    Path("c.yaml").write_text("range: [0, 200]\n")
    assert go("degrade", "--config", "c.yaml", "--print-config") == 0
    assert "\nrange: 0,200\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("denoise --solver dd", "ddnm ddnm+ ddrm"),
        ("denoise --prior natural", "natural natural-fast"),
        ("restore --op bl", "blur"),
        ("upscale --noise poisson-", "poisson-gaussian"),
    ],
)
def test_a_shell_completes_names_without_torch(words: str, expected: str, tmp_path: Path) -> None:
    count = len(words.split())
    asked = {"_RESTOREKIT_COMPLETE": "complete_bash", "COMP_WORDS": f"restorekit {words}", "COMP_CWORD": str(count)}
    code = "import sys\nfrom restorekit.cli.main import run\ntry: run([])\nexcept SystemExit: pass\nprint('torch' in sys.modules, file=sys.stderr)"  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, **asked},
    )
    assert done.stdout.split() == expected.split()
    assert done.stderr.strip() == "False"
