"""Enlarging pictures that ordinary resizers made smaller: what is assumed, what is refused, what the record holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from typer.testing import CliRunner

import restorekit
from restorekit.cli.main import app, run
from restorekit.errors import BadInput
from restorekit.inference.schedule import log_uniform
from restorekit.metrics.fidelity import psnr
from restorekit.notes import Notes
from restorekit.operators import BlockAverage, CircularDecimation, Resize, SeparableDecimation
from restorekit.solvers import MMPS
from restorekit.tasks.upscale import made_smaller
from restorekit.text.names import operator_of
from tests.support.oracle import SHAPE, Oracle, measure

TRUTH = data.chelsea()[60:124, 100:172]  # 64 x 72, an eye
QUICK: dict[str, Any] = {"prior": "natural-fast", "steps": 3}


def smaller(path: Path, size: tuple[int, int], **settings: Any) -> Path:
    Image.fromarray(TRUTH).resize((size[1], size[0]), Image.Resampling.BICUBIC).save(path, **settings)
    return path


def command(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_without_a_setting_it_suits_what_pillow_made_and_beats_lanczos(tmp_path: Path) -> None:
    source, out = smaller(tmp_path / "y.png", (16, 18)), tmp_path / "x.png"
    done = command("upscale", source, out, "--factor", 4, "--prior", "natural-fast")
    assert done.exit_code == 0, done.output
    assert "gaussian:0.002 is assumed" in done.stderr
    large = np.asarray(Image.open(source).resize((72, 64), Image.Resampling.LANCZOS))
    found, lanczos = (psnr(x.astype(float) / 255, TRUTH / 255.0) for x in (np.asarray(Image.open(out)), large))
    assert found > lanczos + 0.5
    record = json.loads((tmp_path / "x.png.json").read_text())
    assert record["operator"] == "resize:factor=4,filter=bicubic,like=pillow,size=64x72"
    assert record["misfit"] < 1


def test_a_few_pixels_of_each_block_are_enough_to_begin_from() -> None:
    """torch sees 16 of 64 pixels without antialias; from a least-squares start, grey between them, a result stays grey."""
    x = torch.from_numpy(TRUTH.transpose(2, 0, 1) / 255)[None]
    small = torch.nn.functional.interpolate(x, (16, 18), mode="bicubic", align_corners=False).clamp(0, 1)
    values = (255 * small[0]).round().byte().permute(1, 2, 0).numpy()
    large = np.asarray(Image.fromarray(values).resize((72, 64), Image.Resampling.LANCZOS)).transpose(2, 0, 1) / 255
    result = restorekit.upscale(values, 4, like="torch", prior="natural-fast", notes=Notes())
    assert result.settings["sigmas"][0] == pytest.approx(0.1)
    assert psnr(result.samples[0].double().numpy(), x[0].numpy()) > psnr(large, x[0].numpy()) + 0.3


def test_the_operator_of_a_record_is_the_one_that_was_used(tmp_path: Path) -> None:
    """Factor and size are both in it: torch puts the last pixel of a factor of 3.3 elsewhere than that of a size."""
    source = smaller(tmp_path / "y.png", (20, 22))
    for settings in ({"factor": 3.3, "like": "torch"}, {"size": (64, 72)}, {"factor": 3.2, "size": (64, 72)}):
        result = restorekit.upscale(source, **settings, **QUICK, notes=Notes())  # type: ignore[arg-type]
        used = result.source.measured.forward.operator  # type: ignore[union-attr]
        result.save(tmp_path / "x.png")
        text = json.loads((tmp_path / "x.png.json").read_text())["operator"]
        again = operator_of(text, measured=(3, 20, 22))
        assert isinstance(again, Resize)
        for one, other in zip(used.weights, again.weights):
            torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_noise_is_that_of_rounding_and_of_a_jpeg_more(tmp_path: Path) -> None:
    levels = []
    for name, settings in (("y.png", {}), ("y.jpg", {"quality": 95}), ("z.jpg", {"quality": 70})):
        source = smaller(tmp_path / name, (16, 18), **settings)
        notes = Notes()
        restorekit.upscale(source, 4, **QUICK, notes=notes, preview=(0, 0, 12, 14))  # of a part the bins are not used
        (said,) = (text for text in notes.texts if "is assumed" in text)
        levels.append(float(said.partition("gaussian:")[2].partition(" ")[0]))
    assert levels[0] == 0.002
    assert 0.002 < levels[1] < 0.006 < levels[2] < 0.03


@pytest.mark.parametrize(
    ("settings", "kind", "text"),
    [
        ({}, Resize, "resize:factor=2,filter=bicubic,like=auto"),
        ({"factor": 2.5}, Resize, "resize:factor=2.5,filter=bicubic,like=auto"),
        ({"size": (37, 41), "filter": "lanczos"}, Resize, "resize:size=37x41,filter=lanczos,like=auto"),
        ({"factor": 3, "filter": "area"}, BlockAverage, "average:factor=3"),
        ({"factor": 1.5, "filter": "area"}, Resize, "resize:factor=1.5,filter=area,like=auto"),
        ({"factor": 3, "kernel": "gaussian:1"}, SeparableDecimation, "decimate:factor=3,kernel=gaussian:1,align=centre"),
    ],
)  # fmt: skip
def test_settings_become_an_operator(settings: dict[str, Any], kind: type, text: str) -> None:
    assert made_smaller(**settings) == text
    assert isinstance(operator_of(text, measured=(3, 20, 22)), kind)


def test_a_circular_decimation_has_the_phase_that_was_asked_for() -> None:
    starts = {}
    for align in ("centre", "corner"):
        op = operator_of(f"decimate:4,kernel=gaussian:1,boundary=circular,align={align}", image=(1, 16, 24))
        assert isinstance(op, CircularDecimation)
        starts[align] = op.lattice
    assert starts == {"centre": ((4, 1.5), (4, 1.5)), "corner": ((4, 0), (4, 0))}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--factor 0", "should be greater than or equal to 1"),
        ("--factor nan", "should be greater than or equal to 1"),
        ("--factor 1e9", "made 16x18 are too many to be resized in one; take a factor nearer to 1"),
        ("--factor 4 --size 300x300", "size=300x300 with factor=4 does not give 16x18 pixels as pillow rounds them"),
        ("--size 8x9", "--size 8x9 is smaller than the input, 16x18"),
        ("--size 64x72 --preview 0,0,8,8", "--size is that of the whole result, and --preview a part"),
        ("--filter cubic", "filter='cubic' is unknown; it is bicubic or lanczos or bilinear or box or area"),
        ("--like scipy", "like='scipy' is unknown; it is auto or pillow or torch"),
        ("--like torch --filter lanczos", "like=torch has no filter=lanczos; it has bicubic and bilinear and area"),
        ("--kernel gaussian:1 --factor 2.5", "--kernel needs a whole --factor"),
        ("--kernel gaussian:1 --filter area", "--kernel says what was averaged"),
        ("--kernel gaussian:1 --align top", "align='top' is unknown; it is centre or corner"),
        ("--align corner", "--align corner is for a --kernel"),
    ],
)
def test_bad_settings_are_refused_in_a_line(
    words: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = smaller(tmp_path / "y.png", (16, 18)), tmp_path / "x.png"
    with pytest.raises(SystemExit) as stop:
        run([str(w) for w in ("upscale", source, out, "--prior", "natural-fast", "--steps", 1, *words.split())])
    assert stop.value.code in (1, 2)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("restorekit:")]
    assert said in line
    assert list(tmp_path.iterdir()) == [source]


def test_size_and_factor_of_text_must_fit_the_picture_too() -> None:
    with pytest.raises(BadInput, match="size=30x30 is that of the picture, which is 20x22; leave it out"):
        operator_of("resize:factor=2,size=30x30", image=(3, 20, 22))
    with pytest.raises(BadInput, match="resize: factor=0 must be above 0"):
        operator_of("resize:0", image=(3, 20, 22))


def test_degrade_and_restore_by_one_text_are_of_one_size(tmp_path: Path) -> None:
    Image.fromarray(TRUTH).save(tmp_path / "t.png")
    op = "resize:factor=3.3,filter=lanczos,size=64x72"
    assert (
        command("degrade", tmp_path / "t.png", tmp_path / "y.png", "--op", op, "--noise", "gaussian:0.002").exit_code
        == 0
    )
    assert Image.open(tmp_path / "y.png").size == (22, 19)
    words = ("--op", op, "--noise", "gaussian:0.002", "--prior", "natural-fast", "--steps", 3)
    assert command("restore", tmp_path / "y.png", tmp_path / "x.png", *words).exit_code == 0
    assert Image.open(tmp_path / "x.png").size == (72, 64)


def test_a_sampler_of_a_resized_picture_is_that_of_the_exact_posterior() -> None:
    """Figures of the same solver on block means (tests/solvers): it is the operator that is tested here."""
    oracle = Oracle(Resize(SHAPE, (5, 4)))
    found = measure(oracle, MMPS(), log_uniform(50))
    assert found.error < 0.15, str(found)
    assert 0.85 < found.seen < 1.1, str(found)
    assert 0.85 < found.blind < 1.1, str(found)
    assert 0.8 < found.coverage < 0.95, str(found)


def test_a_picture_that_was_sampled_without_smoothing_is_told_from_one_that_was(tmp_path: Path) -> None:
    whole = data.chelsea()
    for how, said in ((Image.Resampling.NEAREST, True), (Image.Resampling.BICUBIC, False)):
        small = Image.fromarray(whole).resize((225, 150), how).crop((80, 43, 144, 107))
        small.save(tmp_path / "y.png")
        notes = Notes()
        restorekit.upscale(tmp_path / "y.png", 2, notes=notes, **QUICK)
        assert any("like=torch" in text for text in notes.texts) == said
    notes = Notes()
    restorekit.upscale(tmp_path / "y.png", 2, like="opencv", notes=notes, **QUICK)
    assert not any("like=torch" in text for text in notes.texts)
