"""Several dates restored together: looks of all where nothing changes, change kept, refused where they do not lie on each other."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from restorekit import despeckle, despeckle_dates
from restorekit.cli.main import run as command
from restorekit.despeckling.joint_block import JointDespeckling
from restorekit.despeckling.methods import SpeckledBlock
from restorekit.despeckling.settings import Settings
from restorekit.despeckling.stack import Together, stack
from restorekit.errors import BadInput
from restorekit.files.scene import scene_in_memory
from restorekit.notes import Notes
from tests.support.scenes import read_tiff, write_tiff

GRAIN = (0.0, 0.0)


def done(*arguments: object) -> bool:
    with pytest.raises(SystemExit) as end:
        command([str(a) for a in arguments])
    return end.value.code == 0


def texture(side: int = 120) -> np.ndarray:
    return np.exp(3 * gaussian_filter(np.random.default_rng(0).normal(0, 1, (side, side)), 1.5))


def measured(count: int = 4, looks: float = 4.0, seed: int = 1) -> list[np.ndarray]:
    rng, x = np.random.default_rng(seed), texture()
    return [(x * rng.gamma(looks, 1 / looks, x.shape)).astype(np.float32) for _ in range(count)]


def files(folder: Path, dates: list[np.ndarray], **more: Any) -> list[Path]:
    folder.mkdir(exist_ok=True)
    return [write_tiff(folder / f"d{k}.tif", y, **more) for k, y in enumerate(dates)]


def together(dates: list[Any], **settings: Any) -> list[Any]:
    known: dict[str, Any] = {"looks": 4.0, "grain": GRAIN, "domain": "intensity", "solver": "lee", "notes": Notes()}
    return despeckle_dates(dates, **(known | settings))


def enl(x: np.ndarray) -> float:
    return float(x.mean() ** 2 / x.var())


def test_dates_have_the_looks_of_all_and_keep_their_change() -> None:
    rng, x = np.random.default_rng(2), np.ones((128, 128))
    x[:, 64:] = 4
    dates = [x * rng.gamma(4, 1 / 4, x.shape) for _ in range(6)]
    dates[2][40:60, 20:40] *= 4
    joint = [r.mean[0].numpy() for r in together(dates)]
    single = (
        despeckle(dates[0], looks=4.0, grain=GRAIN, domain="intensity", solver="lee", notes=Notes()).mean[0].numpy()
    )
    assert enl(joint[0][70:, 5:60]) > 3.3 * enl(single[70:, 5:60])
    # An edge of 6 dB: the rows of the filtered date are as far off on both sides.
    off = [np.abs(np.log(y[70:, 60:68] / x[70:, 60:68])).mean() for y in (joint[0], single)]
    assert off[0] < 0.8 * off[1]
    inside = [float(y[45:55, 25:35].mean()) for y in joint]
    assert inside[2] == pytest.approx(4, rel=0.12)
    assert np.delete(inside, 2) == pytest.approx(np.ones(5), rel=0.12)


@dataclass(frozen=True)
class Four:
    """Four answers, 3 % of the measurement apart."""

    halo, text, draws = 0, "four", 4

    def __call__(self, block: SpeckledBlock) -> np.ndarray:
        return block.intensity * np.array([0.96, 0.98, 1.02, 1.04])[:, None, None]


def test_a_changed_date_is_never_worse_than_by_itself_and_its_error_bar_is_its_own() -> None:
    rng, shape = np.random.default_rng(3), (160, 160)
    truth = np.ones((6, *shape))
    i, j = np.indices(shape)
    truth[1, 10:30, 50:70] = 4
    truth[1, (i - 60) ** 2 + (j - 30) ** 2 < 12**2] = 0.25
    dates = truth * rng.gamma(4, 1 / 4, truth.shape)
    dates[3][:, 150:] = np.nan
    scenes = [scene_in_memory(y[None], f"date {k}") for k, y in enumerate(dates)]
    settings = Settings(looks=4.0, grain=GRAIN, domain="intensity", solver="hqs", targets=None, structure=None)
    made = stack(scenes, [None] * 6, settings, Together()).job
    joint = made.operations[1]
    assert isinstance(joint, JointDespeckling)
    singles = tuple(replace(date, method=Four()) for date in joint.dates)
    jobs = tuple(replace(job, operation=date) for job, date in zip(made.jobs, singles, strict=True))
    job = replace(made, jobs=jobs, operations={1: replace(joint, method=Four(), dates=singles)})
    layers = pickle.loads(pickle.dumps(job))((1, 0, 0))
    single = jobs[1]((1, 0, 0))
    changed, still = truth[1] != 1, layers["1_mean"] != single["mean"]
    assert layers["1_changed"][changed].mean() > 0.95
    for name in ("mean", "std"):
        assert np.allclose(layers[f"1_{name}"][changed], single[name][changed], rtol=0.02)
    # Within the reach of the squares that found it, too.
    assert (layers["1_mean"] == single["mean"])[8:32, 48:72].all()
    assert not changed[still].any()
    # Elsewhere it has the looks of all, and so have the other dates where it changed.
    assert layers["1_mean"][130:, 110:145].std() < 0.7 * single["mean"][130:, 110:145].std()
    level = joint.dates[0].bands[1][1].median
    assert float(layers["0_mean"][changed].mean() * level) == pytest.approx(1, abs=0.05)
    assert "0_changed" not in layers or layers["0_changed"].mean() < 0.03
    assert (layers["3_mean"][:, 150:] == 0).all()
    assert (layers["2_mean"][:, 150:] > 0).all()


def test_the_command_writes_each_date_in_its_own_place(tmp_path: Path) -> None:
    dates = measured(3)
    dates[1][:40] = -9999
    sources = files(tmp_path / "in", dates, nodata=-9999.0)
    arguments = ["despeckle", *sources, "--joint", "--solver", "lee", "--looks", 4, "--grain", "0,0", "--mask"]
    assert done(*arguments, "--out", tmp_path / "a", "--executor", "serial")
    for k in range(3):
        one = tmp_path / "a" / f"d{k}.tif"
        record = json.loads(one.with_name(f"d{k}.tif.json").read_text())
        assert record["joint"]["names"] == ["d0.tif", "d1.tif", "d2.tif"]
        assert record["joint"]["groups"]["1"]["looks"] == pytest.approx(12)
    assert (read_tiff(tmp_path / "a" / "d1.tif")[0, :40] == -9999).all()
    assert (read_tiff(tmp_path / "a" / "d0.tif")[0] > 0).all()
    assert not list((tmp_path / "a").glob(".*"))


def test_bands_of_one_file_are_dates(tmp_path: Path) -> None:
    dates = measured(2)
    source = write_tiff(tmp_path / "stack.tif", np.stack(dates))
    assert done("despeckle", source, tmp_path / "out.tif", "--joint", "--solver", "lee", "--looks", 4, "--grain", "0,0")
    arrays = together([np.stack(dates, -1)])[0].mean.numpy()
    assert np.allclose(read_tiff(tmp_path / "out.tif"), arrays, rtol=1e-5)


def test_a_part_has_the_values_of_the_whole() -> None:
    dates = measured(3)
    whole = together(dates, block=64)[1].mean[0].numpy()
    part = together(dates, block=64, preview=(60, 10, 60, 50))[1].mean[0].numpy()
    assert np.array_equal(part, whole[60:120, 10:60])


def test_ratio_restores_what_is_left_of_each_date() -> None:
    found = together(measured(4), joint_by="ratio")
    assert 0.7 < float(found[0].mean.mean()) / float(texture().mean()) < 1.3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"column": 1}, "d1.tif lies on another grid than d0.tif (its corner 0.00 px down and 1.00 px right)"),
        ({"crs": "EPSG:32632"}, "(coordinate system: EPSG:32632, and not EPSG:32631)"),
    ],
)  # fmt: skip
def test_another_grid_is_refused_in_one_line(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    from rasterio.transform import from_origin

    if "column" in change:
        change = {"transform": from_origin(5e5 + 10, 6e6, 10, 10)}
    y = measured(2)
    sources = [*files(tmp_path / "in", y[:1]), write_tiff(tmp_path / "in" / "d1.tif", y[1], **change)]
    with pytest.raises(BadInput) as error:
        together([str(s) for s in sources], out=tmp_path / "out")
    assert said in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_date_that_is_off_by_a_pixel_is_refused_with_the_shift() -> None:
    dates = [*measured(4)]
    dates[2] = np.roll(dates[2], (1, -2), (0, 1))
    with pytest.raises(BadInput, match=r"date 3 lies (1\.0|0\.9) px down and (2\.0|1\.9) px left of the other dates"):
        together(dates)


def test_one_size_and_more_than_one_date_are_needed() -> None:
    dates = measured(2)
    with pytest.raises(BadInput, match=r"pixels: 110 x 120, and not 120 x 120"):
        together([dates[0], dates[1][:110]])
    with pytest.raises(BadInput, match="`joint` restores several dates together, and there is one"):
        together(dates[:1])
    with pytest.raises(BadInput, match="`joint_by=mean` is unknown; known: change, ratio"):
        together(dates, joint_by="mean")


def test_what_is_no_other_date_is_refused_by_name(tmp_path: Path) -> None:
    dates = measured(3)
    with pytest.raises(BadInput, match="date 1 and date 3 hold the same numbers"):
        together([dates[0], dates[1], dates[0]])
    with pytest.raises(BadInput, match="date 2: nothing that can be a radar intensity was measured in this date"):
        together([dates[0], np.zeros_like(dates[1]), dates[2]])
    with pytest.raises(BadInput, match="`changes=lots`: give the share of pixels"):
        together(dates, changes="lots")
    assert together(dates, changes="1e-4", grain="0,0")[0].mean.shape == (1, 120, 120)


def test_dates_of_other_looks_and_levels_are_told(tmp_path: Path) -> None:
    notes, dates = Notes(), measured(3)
    dates[2] = 2 * dates[2]
    found = together(dates, notes=notes)
    assert any("levels of the dates as a whole, dB" in text and "+2.0" in text for text in notes.texts)
    assert float(found[2].mean.mean() / found[0].mean.mean()) == pytest.approx(2, rel=0.03)


def test_a_part_of_a_wide_scene_needs_the_blocks_of_that_part_alone(tmp_path: Path) -> None:
    rng, shape = np.random.default_rng(5), (64, 20_000)
    dates = [rng.gamma(4, 1 / 4, shape).astype(np.float32) for _ in range(2)]
    dates[1][20:40, 15_000:15_030] *= 10
    sources = [str(s) for s in files(tmp_path / "in", dates)]
    settings = {"looks": 4.0, "grain": GRAIN, "domain": "intensity", "solver": "boxcar", "targets": None, "mask": True}
    found = together(sources, preview=(0, 14_950, 64, 120), block=256, out=tmp_path / "out", **settings)
    made = found[1].plan
    assert len([key for key in made.keys if key[0] == 1]) == 1
    mask = read_tiff(tmp_path / "out" / "d1_mask.tif")[0]
    assert mask.shape == (64, 120)
    assert (mask[24:36, 55:75] == 3).all()
    assert (mask[:, :40] == 3).mean() < 0.05
