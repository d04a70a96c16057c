"""What tasks give: a line, pictures for a notebook and for matplotlib, notes, and the numbers that their files hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch

import restorekit
from restorekit import BadInput, Restoration
from restorekit.notes import Notes
from restorekit.report.panels import Panelled
from tests.support.fields import rasters
from tests.support.scenes import speckled, write_tiff

PHOTO = skimage.data.astronaut()[40:72, 190:222]
DRAWN: dict[str, Any] = {"solver": "diffpir", "steps": 2, "samples": 3, "looks": 4.0, "block": 64}


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    y = speckled(70, 90)[1]
    y[:3] = np.nan  # not measured
    return y


@pytest.fixture(scope="module")
def despeckled(scene: np.ndarray) -> Any:
    return restorekit.despeckle(scene, notes=Notes(), **DRAWN)


@pytest.fixture(scope="module")
def results(despeckled: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    optical, sar = rasters(tmp_path_factory.mktemp("pair"))
    made = restorekit.degrade(PHOTO, "blur:kernel=gaussian:1", noise="gaussian:0.05", notes=Notes())
    words: dict[str, Any] = {"noise": "gaussian:0.05", "prior": "natural-fast", "steps": 1, "notes": Notes()}
    solvers = ["hqs", "ddnm"]
    return {
        "despeckle": despeckled,
        "fuse": restorekit.fuse(optical, sar, despeckle="lee", notes=Notes()),
        "degrade": made,
        "compare": restorekit.compare(
            made.measurement, "blur:kernel=gaussian:1", solvers=solvers, truth=PHOTO, **words
        ),
        "denoise": restorekit.denoise(made.measurement, **words),
    }


# Panels that are shown, and words of the line.
SHOWN = {
    "despeckle": (["measured", "restored", "standard deviation"], "1x70x90 in memory, 3 samples"),
    "fuse": (["optical", "radar, matched", "fused"], "FusedPicture(3x120x130 in ["),
    "degrade": (["measurement", "truth"], "3x32x32 of a truth 3x32x32, blur, gaussian:0.05, seed 0"),
    "compare": (["measurement", "truth", "hqs, "], "hqs; refused: ddnm"),
    "denoise": (["result", "residual, -3 to 3 deviations"], "3x32x32 in ["),
}


@pytest.mark.parametrize("task", SHOWN)
def test_a_result_says_what_it_is_in_one_line_and_shows_itself(results: dict[str, Any], task: str) -> None:
    result, (titles, words) = results[task], SHOWN[task]
    line = repr(result)
    assert words in line
    assert "\n" not in line
    assert "nan" not in line
    html = result._repr_html_()
    assert html.count("data:image/png;base64,") == len(titles)
    assert all(title in html for title in titles)
    assert isinstance(result.notes, tuple)
    assert all(isinstance(note, str) for note in result.notes)


@pytest.mark.parametrize("task", SHOWN)
def test_a_result_is_plotted(results: dict[str, Any], task: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    figure, (titles, _) = results[task].plot(), SHOWN[task]
    shown = [axis.get_title() for axis in figure.axes][: len(titles)]
    assert all(found.startswith(expected) for found, expected in zip(shown, titles))
    figure.savefig(tmp_path / "plot.png", dpi=40)
    assert np.ptp(skimage.io.imread(tmp_path / "plot.png")) > 100


def test_tasks_with_a_picture_as_answer_give_a_restoration(results: dict[str, Any]) -> None:
    for task in ("despeckle", "fuse", "denoise"):
        assert isinstance(results[task], Restoration)
    fused = results["fuse"]
    low, high = fused.source.pair.span
    assert fused.samples.shape == (1, *fused.pixels.shape)
    expected = (fused.pixels.astype(float) - low) / (high - low)
    np.testing.assert_allclose(fused.mean.numpy(), expected, atol=1e-6)


def test_draws_of_a_scene_have_its_mean_and_its_deviation(despeckled: Any, scene: np.ndarray) -> None:
    draws, there = despeckled.samples, np.isfinite(scene)
    assert draws.shape == (3, 1, *scene.shape)
    assert torch.equal(torch.isnan(draws[0, 0]), torch.from_numpy(~there))
    torch.testing.assert_close(draws.mean(0), despeckled.mean, rtol=1e-5, atol=0, equal_nan=True)
    apart = (draws.std(0) - despeckled.std).abs() / despeckled.std
    assert float(apart[torch.isfinite(apart)].median()) < 1e-5  # point targets have the deviation of speckle
    lowest, highest = despeckled.quantile([0, 1])
    assert bool(((lowest <= despeckled.mean) & (despeckled.mean <= highest))[0, there].all())


def test_coverage_of_a_scene_counts_what_was_measured(despeckled: Any, scene: np.ndarray) -> None:
    assert despeckled.coverage(despeckled.mean) == 1
    truth = despeckled.mean + torch.where(torch.arange(scene.shape[1]) % 2 == 0, 0, 1e6)
    assert despeckled.coverage(truth.numpy()) == pytest.approx(0.5)
    with pytest.raises(BadInput, match="level=2"):
        despeckled.coverage(truth, level=2)


def test_a_scene_in_a_file_is_opened_when_it_is_asked_for(scene: np.ndarray, tmp_path: Path, despeckled: Any) -> None:
    source = write_tiff(tmp_path / "in.tif", scene)
    held = restorekit.despeckle(source, tmp_path / "out.tif", notes=Notes(), **DRAWN)
    assert isinstance(held, Restoration)
    assert "out.tif" in repr(held)
    assert "samples" not in vars(held)
    np.testing.assert_array_equal(held.mean, despeckled.mean)
    assert held.coverage(held.mean) == 1
    for ask in (lambda: held.samples, lambda: held.quantile(0.5)):
        with pytest.raises(BadInput, match="written block by block, and its draws are not kept; leave out `out`"):
            ask()
    assert held._repr_html_().count("data:image/png;base64,") == 3
    part = restorekit.despeckle(scene, solver="lee", looks=4.0, preview=(8, 16, 32, 24), notes=Notes())
    assert part.samples.shape == (1, 1, 32, 24)
    torch.testing.assert_close(part.samples[0], part.mean)
    assert part._repr_html_().count("data:image/png;base64,") == 2


def test_who_waits_at_a_terminal_sees_a_bar(scene: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    units, told = list[str](), list[tuple[Any, ...]]()

    @contextmanager
    def phases(unit: str) -> Iterator[Callable[..., None]]:
        units.append(unit)
        yield lambda *done: told.append(done)

    monkeypatch.setattr("restorekit.report.progress.phases", phases)
    monkeypatch.setattr("restorekit.report.progress.is_watched", lambda: True)
    quick: dict[str, Any] = {"solver": "lee", "looks": 4.0, "block": 64, "notes": Notes()}
    restorekit.despeckle(scene, **quick)
    assert units == ["blocks"]
    assert told == [("blocks", n, 4) for n in (1, 2, 3, 4)]
    restorekit.despeckle(scene, progress=False, **quick)
    restorekit.despeckle(scene, progress=lambda *done: None, **quick)
    assert len(units) == 1


def test_a_result_has_to_say_which_pictures_it_shows() -> None:
    class Mute(Panelled):
        notes = ()

    with pytest.raises(TypeError, match="panels"):
        Mute()  # type: ignore[abstract]
