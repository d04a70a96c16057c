"""dejpeg: what is gained, what is kept, what is refused, alone and after another operator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from skimage import data
from typer.testing import CliRunner

import restorekit
from restorekit.cli.main import app
from restorekit.errors import BadInput
from restorekit.files import jpeg_file as jpeg
from restorekit.files.picture import read_picture
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.quantised import Quantised
from restorekit.metrics.fidelity import psnr
from restorekit.notes import Notes
from restorekit.operators import JPEG, BlockAverage, JPEGAfter
from restorekit.tasks.dejpeg import JPEGRestoring
from restorekit.tasks.restore import Restoring

TRUTH = np.ascontiguousarray(data.astronaut()[40:105, 150:223])  # 65 x 73, an eye and hair
QUICK: dict[str, Any] = {"prior": "natural-fast", "steps": 3}


def written(path: Path, values: np.ndarray = TRUTH, /, **settings: Any) -> Path:
    Image.fromarray(values).save(path, **settings)
    return path


def quality(values: np.ndarray, truth: np.ndarray = TRUTH) -> float:
    return psnr(values.astype(float), truth.transpose(2, 0, 1) / 255.0)


def blocks(values: np.ndarray) -> float:
    """How much larger steps are between blocks than within, (C, H, W)."""
    steps = np.abs(np.diff(values.astype(float), axis=2)).mean((0, 1))
    return float(steps[7::8].mean() / np.delete(steps, np.s_[7::8]).mean())


def test_the_command_gains_at_every_quality_and_says_how(tmp_path: Path) -> None:
    for q, least in ((15, 0.5), (60, 0.4), (92, 0.2)):
        source, out = written(tmp_path / f"{q}.jpg", quality=q), tmp_path / f"{q}.png"
        done = CliRunner().invoke(app, ["dejpeg", str(source), str(out), "--prior", "natural-fast"])
        assert done.exit_code == 0, done.output
        before, after = read_picture(source).pixels, read_picture(out).pixels
        assert quality(after) > quality(before) + least
        record = json.loads(out.with_name(f"{q}.png.json").read_text())
        assert (record["operator"], record["noise_measured"]) == ("jpeg", False)
        if q == 15:
            assert blocks(before) > 1.5
            assert blocks(after) < 1.15


@pytest.mark.parametrize("span", [(0, 128), (20, 255), (0, 255)])
def test_bins_hold_the_picture_in_any_range(span: tuple[int, int], tmp_path: Path) -> None:
    source = written(tmp_path / "y.jpg", TRUTH[:64, :64], quality=60, subsampling=0)
    measured = JPEGRestoring(prior="natural-fast", range=span).measure(source, Notes())
    truth = (torch.from_numpy(TRUTH[:64, :64].copy()).permute(2, 0, 1)[None].double() - span[0]) / (span[1] - span[0])
    law = measured.forward.law
    assert isinstance(law, Quantised)
    off = (measured.forward.operator.to(torch.float64)(truth) - measured.plain.y).abs() - law.step.double() / 2
    assert float(off.max()) < 8 / (span[1] - span[0])  # pixels are rounded before the DCT


def test_a_dark_file_gains(tmp_path: Path) -> None:
    dark = np.rint(0.08 * TRUTH).astype(np.uint8)
    source, out = written(tmp_path / "y.jpg", dark, quality=60), tmp_path / "x.png"
    restorekit.dejpeg(source, notes=Notes(), **QUICK).save(out)
    before, after = (read_picture(p, (0, 255)).pixels for p in (source, out))
    assert quality(after, dark) > quality(before, dark)


def test_tables_of_one_and_whole_chroma_leave_the_values(tmp_path: Path) -> None:
    source = written(tmp_path / "y.jpg", quality=100, subsampling="4:4:4")
    notes = Notes()
    done = restorekit.dejpeg(source, notes=notes, out=tmp_path / "x.png", **QUICK)
    done.save(tmp_path / "x.png")
    assert any("nothing to gain" in text for text in notes.texts)
    assert done.nfe == 0
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "x.png")), np.asarray(Image.open(source)))


def test_coefficients_of_a_picture_that_is_shown_turned_are_those_stored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 8
    cases: tuple[tuple[str, dict[str, Any]], ...] = (("a", {}), ("b", {"exif": exif}))
    plain, turned = (written(tmp_path / f"{n}.jpg", quality=30, **s) for n, s in cases)
    a, b = (restorekit.dejpeg(path, notes=Notes(), **QUICK) for path in (plain, turned))
    assert b.samples.shape[-2:] == (73, 65)
    off = a.samples[0] - b.samples[0].flip(-2).mT  # 8: shown counter-clockwise
    assert float(off.abs().mean()) < 0.01  # the network sees another picture
    b.save(tmp_path / "b.png")
    assert Image.open(tmp_path / "b.png").getexif()[274] == 8


def test_a_part_is_what_the_whole_has_there(tmp_path: Path) -> None:
    source = written(tmp_path / "y.jpg", quality=30)
    whole = restorekit.dejpeg(source, notes=Notes(), **QUICK).samples
    part = restorekit.dejpeg(source, notes=Notes(), preview=(19, 22, 30, 31), **QUICK).samples
    assert part.shape == (1, 3, 30, 31)
    assert float((part - whole[..., 19:49, 22:53]).abs().mean()) < 0.012


def test_without_the_extra_it_says_how_bins_were_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jpeg, "_stored_levels", lambda *_: None)
    for q, said, law in ((50, "from decoded pixels", Quantised), (95, "not used", Gaussian)):
        notes = Notes()
        done = restorekit.dejpeg(written(tmp_path / "y.jpg", quality=q), notes=notes, prior="natural-fast")
        assert any(said in text and "restorekit[jpeg]" in text for text in notes.texts)
        assert isinstance(done.source.measured.problem.likelihood, law)  # type: ignore[union-attr]
        assert quality(done.samples[0].numpy()) > quality(read_picture(tmp_path / "y.jpg").pixels) + 0.1


def test_grey_and_noise_and_several_samples(tmp_path: Path) -> None:
    grey = written(tmp_path / "g.jpg", np.ascontiguousarray(TRUTH[..., 1]), quality=20)
    assert restorekit.dejpeg(grey, notes=Notes(), **QUICK).samples.shape == (1, 1, 65, 73)
    rng = np.random.default_rng(0)
    noisy = (TRUTH + 15 * rng.standard_normal(TRUTH.shape)).clip(0, 255).round().astype(np.uint8)
    source = written(tmp_path / "n.jpg", noisy, quality=85)
    plain, told = (restorekit.dejpeg(source, noise=n, notes=Notes(), **QUICK) for n in (None, "gaussian:0.06"))
    assert quality(told.samples[0].numpy()) > quality(plain.samples[0].numpy()) + 1
    drawn = restorekit.dejpeg(source, samples=2, preview=(0, 0, 16, 16), notes=Notes(), solver="mmps", **QUICK)
    assert float(drawn.std.mean()) > 0


def test_what_came_before_is_undone_by_the_bins(tmp_path: Path) -> None:
    small = TRUTH[:64, :72].reshape(32, 2, 36, 2, 3).mean((1, 3)).round().astype(np.uint8)
    source = written(tmp_path / "y.jpg", small, quality=75)
    done = restorekit.upscale(source, 2, filter="area", prior="natural-fast", notes=Notes())
    told = Restoring(op="average:factor=2|jpeg", noise="gaussian:0.002", prior="natural-fast")(source)
    torch.testing.assert_close(done.samples, told.samples)
    operator = done.source.measured.problem.operator  # type: ignore[union-attr]
    assert isinstance(operator, JPEGAfter)
    assert isinstance(operator.inner, BlockAverage)
    assert isinstance(operator.outer, JPEG)
    pixels = restorekit.upscale(source, 2, filter="area", noise="gaussian:0.01", prior="natural-fast", notes=Notes())
    truth = TRUTH[:64, :72]
    assert quality(done.samples[0].numpy(), truth) > quality(pixels.samples[0].numpy(), truth) + 0.1


@pytest.mark.parametrize(
    ("op", "said"),
    [
        ("phase|jpeg", "before jpeg comes one of"),
        ("jpeg|blur:kernel=gaussian:1", "written as JPEG last"),
        ("jpeg:quality=10", "written as JPEG last"),
        ("blur:kernel=nowhere.png|jpeg", "nowhere.png"),
    ],
)
def test_operators_that_no_jpeg_is_of_are_refused(op: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=said):
        Restoring(op=op, noise="gaussian:0.01", **QUICK)(written(tmp_path / "y.jpg", quality=50))


def test_other_inputs_and_settings_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="its content is PNG"):
        restorekit.dejpeg(written(tmp_path / "y.png"), notes=Notes(), **QUICK)
    with pytest.raises(BadInput, match="an array has none"):
        restorekit.dejpeg(TRUTH, notes=Notes(), **QUICK)  # type: ignore[arg-type]
    source = written(tmp_path / "y.jpg", quality=50)
    with pytest.raises(BadInput, match="is white"):
        restorekit.dejpeg(source, noise="poisson:30", notes=Notes(), **QUICK)
    with pytest.raises(BadInput, match="transfer=linear"):
        restorekit.dejpeg(source, transfer="srgb", notes=Notes(), **QUICK)
    with pytest.raises(BadInput, match=r"OUT\.jpg"):
        restorekit.degrade(TRUTH, "blur:kernel=gaussian:1|jpeg", notes=Notes())


def test_denoise_uses_the_bins_of_a_file_by_itself(tmp_path: Path) -> None:
    """Beside a picture of the same values in a file that has none, and not where another way is asked for."""
    source = written(tmp_path / "y.jpg", quality=50)
    plain = written(tmp_path / "y.png", np.asarray(Image.open(source)))
    settings: dict[str, Any] = {"prior": "natural-fast"}
    done = restorekit.denoise(source, **settings)
    done.save(tmp_path / "out.png")
    kept = json.loads((tmp_path / "out.png.json").read_text())
    assert kept["operator"] == "jpeg"
    assert kept["noise_found"]["jpeg_rounding"] is True
    assert any(text.startswith("jpeg: the bins") for text in done.notes)
    as_noise = restorekit.denoise(source, noise="gaussian:0.03", **settings)
    assert quality(done.samples[0].numpy()) > quality(as_noise.samples[0].numpy()) + 0.1
    assert quality(done.samples[0].numpy()) > quality(restorekit.denoise(plain, **settings).samples[0].numpy()) + 0.2
    fine = written(tmp_path / "fine.jpg", quality=100, subsampling=0)
    assert not any(text.startswith("jpeg: the bins") for text in restorekit.denoise(fine, **settings).notes)


def test_denoise_leaves_letters_on_paper_and_makes_up_no_colours(tmp_path: Path) -> None:
    """Of a grey file with halved chroma nothing tells fine colours; of letters on paper nothing tells noise."""
    image = Image.new("RGB", (96, 96), "white")
    for row in range(2, 96, 15):
        ImageDraw.Draw(image).text((3, row), "The quick brown fox", fill="black", font=ImageFont.load_default(12))
    page = np.asarray(image)
    source = written(tmp_path / "page.jpg", page, quality=95)
    done = restorekit.denoise(source, prior="natural-fast")
    assert np.array_equal(done.samples[0].numpy(), read_picture(source).pixels)
    assert any(text.startswith("denoise: most of the picture is constant") for text in done.notes)
    grey = np.repeat(np.asarray(Image.fromarray(TRUTH).convert("L"))[..., None], 3, 2)
    found = (
        restorekit.denoise(written(tmp_path / "grey.jpg", grey, quality=60), prior="natural-fast").samples[0].numpy()
    )
    assert np.ptp(found, axis=0).max() < 1e-5
    assert quality(found, grey) > quality(read_picture(tmp_path / "grey.jpg").pixels, grey) + 0.3
