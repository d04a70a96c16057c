"""The correlation of speckle between neighbours, measured or given, and what follows from it for a scene."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from restorekit.despeckling.plan import DespecklePlan, Settings, plan
from restorekit.errors import BadInput
from restorekit.sar.known import KNOWN, grain_of_resolution
from restorekit.sar.speckle import SpeckleSpectrum, draw, swath

IW1 = swath("iw1").lag_one


def planned(folder: Path, y: np.ndarray, **more: object) -> DespecklePlan:
    np.save(folder / "in.npy", y.astype(np.float32))
    settings = Settings(solver="hqs", domain="intensity", **more)  # type: ignore[arg-type]
    return plan(folder / "in.npy", folder / "out.npy", settings)


def town(side: int = 96) -> np.ndarray:
    """Blocks of 6 pixels under speckle of four looks with a grain: nothing is flat."""
    x = np.exp(1.5 * np.kron(np.random.default_rng(1).normal(size=(side // 6, side // 6)), np.ones((6, 6))))
    return x * draw(x.shape, 4, swath("iw1"), np.random.default_rng(3))


def test_a_given_grain_is_used_said_and_recorded(tmp_path: Path) -> None:
    measured, given = (planned(tmp_path, town(), looks=4.0, grain=grain) for grain in (None, IW1))
    assert measured.bands[1][1].kappa > 2 * swath("iw1").kappa
    assert "of texture too, which makes them larger than those of the speckle" in measured.said[-1]
    assert "give `grain" in measured.said[-1]
    facts = given.bands[1][1]
    assert facts.kappa == pytest.approx(swath("iw1").kappa, rel=0.02)
    assert facts.remedy == "temper"
    assert "correlation as given" in given.said[-1]
    assert given.identity["grain"] == list(IW1)
    assert given.identity["bands"]["1"]["correlation"] == list(IW1)
    assert measured.identity["grain"] is None
    assert measured.identity["bands"]["1"]["with_texture"]


def test_pixels_said_to_be_independent_are_taken_so(tmp_path: Path) -> None:
    facts = planned(tmp_path, town(), looks=4.0, grain=(0.0, 0.0)).bands[1][1]
    assert (facts.kappa, facts.remedy) == (1.0, "none")


def test_every_other_pixel_has_the_correlation_of_the_second_lag(tmp_path: Path) -> None:
    facts = planned(tmp_path, town(), looks=4.0, grain=(0.7, 0.6), decorrelate="subsample").bands[1][1]
    # rho^4 of a Gaussian point spread, 1 + 2 (rho + rho^4 + ...) along each axis.
    assert facts.kappa == pytest.approx((1 + 2 * (0.7**4 + 0.7**16)) * (1 + 2 * 0.6**4), rel=2e-3)


def test_a_grain_needs_no_flat_place(tmp_path: Path) -> None:
    facts = planned(tmp_path, town()[:20], looks=4.0, grain=IW1).bands[1][1]
    assert facts.measured is None
    assert facts.kappa == pytest.approx(swath("iw1").kappa, rel=0.02)
    assert facts.remedy == "temper"


@pytest.mark.parametrize("grain", [(-0.1, 0.2), (0.2, 1.0), (3.27, 3.04), (float("nan"), 0.0)])
def test_correlations_that_cannot_be_are_refused(grain: tuple[float, float], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"`grain=.* lie between 0 and 0.95; .*Sentinel-1"):
        planned(tmp_path, town(), looks=4.0, grain=grain)


def test_the_name_of_a_product_gives_looks_and_grain(tmp_path: Path) -> None:
    for side in (96, 60):  # the same whatever the crop
        made = planned(tmp_path, town(side), grain="sentinel-1-iw-grd")
        facts = made.bands[1][1]
        assert (facts.looks, facts.grain) == (4.4, (0.64, 0.62))
        assert "looks 4.4 of sentinel-1-iw-grd" in made.said[-1]
    record = made.identity
    assert (record["grain"], record["grain_of_name"]) == ("sentinel-1-iw-grd", [0.64, 0.62])
    assert "ESA" in record["grain_source"]
    given = planned(tmp_path, town(), looks=3.0, grain="sentinel-1-iw-grd")
    assert given.bands[1][1].looks == 3.0
    assert "looks 3 as given" in given.said[-1]
    assert "the correlation of sentinel-1-iw-grd (0.64,0.62)" in given.said[-1] or given.bands[1][1].measured.textured  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["help", "sentinel-1-ew-grd"])
def test_other_names_list_those_that_are_known(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"sentinel-1-iw-grd 0.64,0.62 \(4.4 looks\).*sentinel-1-iw3-slc") as refused:
        planned(tmp_path, town(), grain=name)
    assert refused.value.argument == "grain"


def test_the_numbers_of_the_table_are_those_of_the_spectra() -> None:
    """Intensity correlation of a Hamming window of 0.70 (azimuth of IW1) and of the published bandwidths."""
    iw1 = SpeckleSpectrum(64.345 / 56.5, 486.486 / 327, 0.70).lag_one[0], swath("iw1").lag_one[1]
    assert KNOWN["sentinel-1-iw1-slc"].grain == pytest.approx(iw1, abs=0.006)
    for name, bandwidths in (("iw2", (48.3, 313)), ("iw3", (42.79, 314))):
        expected = SpeckleSpectrum(64.345 / bandwidths[0], 486.486 / bandwidths[1]).lag_one
        assert KNOWN[f"sentinel-1-{name}-slc"].grain == pytest.approx(expected, abs=0.006)


RESOLUTIONS = {  # metres along and across the track, and spacing of rows and columns, by the product definition of ESA
    "iw-grd": (22, 20, 10, 10), "ew-grdh": (50, 50, 25, 25), "ew-grdm": (87, 93, 40, 40), "sm-grdh": (23, 23, 10, 10),
    "iw1-slc": (22, 2.7, 14.1, 2.33), "iw2-slc": (22, 3.1, 14.1, 2.33), "iw3-slc": (22, 3.5, 14.1, 2.33),
}  # fmt: skip


@pytest.mark.parametrize("name", RESOLUTIONS)
def test_resolution_and_spacing_give_the_grain_that_spectra_give(name: str) -> None:
    down, across, rows, columns = RESOLUTIONS[name]
    found = grain_of_resolution(down / rows, across / columns)
    assert KNOWN[f"sentinel-1-{name}"].grain == pytest.approx(found, abs=0.04 if "iw" in name else 0.006)


def test_a_resolution_below_a_pixel_leaves_them_independent() -> None:
    assert grain_of_resolution(0.9, 1.0) == (0.0, 0.0)
    with pytest.raises(BadInput, match="of 0 x 2 pixels cannot be"):
        grain_of_resolution(0, 2)
