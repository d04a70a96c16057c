"""Real Sentinel-1 tiles: radiometry kept, speckle gone, place and holes as they were."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from restorekit.despeckling.plan import Settings, plan
from restorekit.sar.assessment import Wanted, assess
from restorekit.sar.looks import measure
from restorekit.sar.quality import Pair
from restorekit.sar.speckle import spectrum_of
from restorekit.sar.splitting import split
from tests.support.scenes import read_tiff

rasterio = pytest.importorskip("rasterio")
DATA = Path(os.environ.get("RESTOREKIT_DATA", Path(__file__).parents[3] / "shared" / "data")) / "sar" / "sentinel1"
pytestmark = [pytest.mark.data, pytest.mark.skipif(not DATA.is_dir(), reason="needs $RESTOREKIT_DATA/sar/sentinel1")]


def tile(name: str) -> Path:
    return next(DATA.glob(f"{name}_*.tif"))


def test_a_real_tile_keeps_its_place_bit_for_bit(tmp_path: Path) -> None:
    source, target = tile("Ghana"), tmp_path / "out.tif"
    plan(source, target, Settings(solver="lee")).run()
    with rasterio.open(source) as a, rasterio.open(target) as b:
        assert (a.crs, a.transform, a.shape, a.count) == (b.crs, b.transform, b.shape, b.count)
        assert a.descriptions == b.descriptions


def restored(y: np.ndarray, folder: Path) -> np.ndarray:
    np.save(folder / "in.npy", y.astype(np.float32))
    plan(folder / "in.npy", folder / "out.npy", Settings(solver="hqs", domain="intensity")).run()
    return np.load(folder / "out.npy").astype(np.float64)


def part(name: str) -> np.ndarray:
    return 10 ** (read_tiff(tile(name))[0, 128:384, 128:384].astype(np.float64) / 10)


@pytest.mark.parametrize("name", ["Ghana", "India"])
def test_a_real_scene_keeps_its_radiometry_and_loses_its_speckle(name: str, tmp_path: Path) -> None:
    y = part(name)
    found = assess(y, restored(y, tmp_path), np.ones(y.shape, np.bool_), Wanted())
    figures = {f.key: f.value for f in found.figures}
    assert figures["moi"] == pytest.approx(1, abs=0.01)
    assert figures["mor"] < 1  # of the speckle that was restored
    assert figures["vor"] == pytest.approx(1 / found.looks, rel=0.2)
    assert figures["enl_flat"] > 8 * found.looks


def test_levels_are_right_by_speckle_that_was_held_out(tmp_path: Path) -> None:
    """One half of the looks is restored, and the other, whose speckle it does not know, says what the levels are."""
    whole = part("Mekong")
    everywhere = np.ones(whole.shape, np.bool_)
    speckle = measure(whole, everywhere)
    y, other = split(whole, speckle.looks, spectrum_of(speckle.lag_one), np.random.default_rng(0))
    held_out = Pair(other, restored(y, tmp_path), everywhere)
    assert held_out.mean_of_image == pytest.approx(1, abs=0.03)
    assert held_out.mean_of_ratio == pytest.approx(1, abs=0.03)


def test_holes_stay_holes_and_do_not_spread(tmp_path: Path) -> None:
    source, target = tile("Nigeria"), tmp_path / "out.tif"
    plan(source, target, Settings(solver="refined-lee")).run()
    before, after = read_tiff(source), read_tiff(target)
    assert np.isnan(before).any()
    np.testing.assert_array_equal(np.isnan(after), np.isnan(before))


def test_an_empty_tile_comes_back_as_it_was(tmp_path: Path) -> None:
    source, target = tile("Paraguay"), tmp_path / "out.tif"
    made = plan(source, target, Settings())
    made.run()
    assert any("nothing was measured" in line for line in made.said)
    with rasterio.open(source) as a, rasterio.open(target) as b:
        assert (a.crs, a.transform, a.shape, a.count) == (b.crs, b.transform, b.shape, b.count)
        assert np.isnan(b.read()).all()
