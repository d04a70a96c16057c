"""Polarisations of one date: one set of looks, one map of structure, and a ratio without edges of one of them alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from restorekit import despeckle
from restorekit.despeckling.plan import plan
from restorekit.despeckling.settings import Settings
from restorekit.errors import BadInput
from restorekit.files.scene import scene_in_memory
from restorekit.notes import Notes
from restorekit.priors.rotated import Rotated
from restorekit.sar.polarisations import components_of, one_of_each, polarisation_of, speckle_correlation
from restorekit.sar.structure import Structure
from tests.support.scenes import write_tiff

FEW_BARS = Structure(lengths=(9.0, 25.0), widths=(2.0,), squares=())  # whose thresholds are simulated in a second


def measured(side: int = 72, seed: int = 0, looks: float = 4.0) -> np.ndarray:
    """(2, H, W) intensities of two fields, 6 dB apart in the first band and 3 dB in the second."""
    rng, step = np.random.default_rng(seed), np.where(np.arange(side) < side // 2, 1.0, 4.0)
    x = np.stack([np.tile(step, (side, 1)), 0.1 * np.tile(np.sqrt(step), (side, 1))])
    return x * rng.gamma(looks, 1 / looks, x.shape)


def named(path: Path, y: np.ndarray) -> Path:
    import rasterio

    with rasterio.open(write_tiff(path, y), "r+") as d:
        d.descriptions = ("VV", "VH")
    return path


@pytest.mark.parametrize(
    ("name", "polarisation"),
    [("VV", "vv"), ("Sigma0_VH_db", "vh"), ("HVHV", "hv"), ("Amplitude HH", "hh"), ("VV-VH", None), ("HHHV", None), ("red", None)],
)  # fmt: skip
def test_a_name_says_one_polarisation_or_none(name: str, polarisation: str | None) -> None:
    assert polarisation_of(name) == polarisation


def test_a_like_and_a_cross_polarised_band_are_one_of_each() -> None:
    assert one_of_each(["vv", "vh"])
    assert one_of_each(["hv", "hh"])
    assert not one_of_each(["vv", "hh"])
    assert not one_of_each(["vv", "vh", "hh"])
    assert not one_of_each(["vv", None])


def test_components_are_those_of_what_lies_under_the_speckle() -> None:
    found = components_of([(measured(200), np.ones((200, 200), np.bool_))], 4.0)
    axes = np.array(found.axes)
    assert axes @ axes.T == pytest.approx(np.eye(2), abs=1e-12)
    assert axes[0] == pytest.approx(np.array([2, 1]) / np.sqrt(5), abs=0.03)  # twice the contrast, in dB, in the first
    assert found.gains[0] < 1 < found.gains[1] <= 2


def test_a_rotated_denoiser_keeps_white_noise_white_and_is_the_prior_on_equal_bands() -> None:
    x, half = torch.randn(2, 2, 8, 8, generator=torch.Generator().manual_seed(0)).double(), 0.5**0.5
    seen = []

    def shrink(z: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        seen.append(torch.as_tensor(sigma).flatten())
        return z / (1 + torch.as_tensor(sigma).reshape(-1, 1, 1, 1) ** 2)

    found = Rotated(shrink, [[half, half], [half, -half]], [1.0, 1.0])(x, 0.7)
    assert found.numpy() == pytest.approx((x / 1.49).numpy())  # a linear one of one level is the same in every basis
    assert seen[0].tolist() == pytest.approx([0.7] * 4)
    Rotated(shrink, [[half, half], [half, -half]], [half, 2.0])(x, torch.tensor([0.7, 0.1]))
    assert seen[1].tolist() == pytest.approx([0.7 * half, 1.4, 0.1 * half, 0.2])


def correlated(coherence: float, side: int = 72) -> np.ndarray:
    """(2, H, W) intensities of three looks over texture, of complex numbers of this coherence."""
    z = np.random.default_rng(2).normal(size=(2, 3, side, side, 2)) @ np.array([1, 1j])
    z[1] = coherence * z[0] + np.sqrt(1 - coherence**2) * z[1]
    texture = np.exp(np.sin(np.arange(side) / 8))
    return texture * (np.abs(z) ** 2).mean(1)


@pytest.mark.parametrize("coherence", [0.0, 0.5, 0.95])
def test_the_correlation_of_speckle_is_the_squared_coherence_whatever_the_texture(coherence: float) -> None:
    one, other = correlated(coherence)
    found, error = speckle_correlation(one, other, np.ones(one.shape, np.bool_), 1)
    assert found == pytest.approx(coherence**2, abs=0.06)
    assert error < 0.06
    assert speckle_correlation(one, other, np.zeros(one.shape, np.bool_), 1) == (0, 0)


def test_bands_whose_speckle_is_not_independent_are_restored_apart_which_is_said(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"solver": "lee", "domain": "intensity"}
    for coherence in (0.0, 0.8):
        path = named(tmp_path / "s.tif", correlated(coherence).astype(np.float32))
        made = plan(path, None, Settings(**settings))
        assert (made.polarised is None) == (coherence > 0.5)
        assert any("not independent" in text for text in made.said) == (coherence > 0.5)
    asked = plan(path, None, Settings(**settings, polarisations="together"))
    assert asked.polarised is not None
    assert asked.polarised.correlation == pytest.approx(0.64, abs=0.1)


def test_a_line_in_one_band_is_given_back_in_both_and_less_evidence_in_each_is_enough() -> None:
    rng = np.random.default_rng(3)
    ratio = rng.gamma(4, 1 / 4, (2, 64, 64))
    ratio[:, :, 40:42] *= 0.5  # what both show
    valid = np.ones(ratio.shape, np.bool_)
    found = FEW_BARS.fitted(4.0, bands=2)(ratio, valid)
    assert np.array_equal(found.mask[0], found.mask[1])
    assert found.mask[0][:, 40:42].mean() > 0.9
    assert found.factor[:, 10:50, 40:42].mean() == pytest.approx(0.5, abs=0.12)


def test_bands_named_after_polarisations_have_one_set_of_looks(tmp_path: Path) -> None:
    y = measured().astype(np.float32)
    path = named(tmp_path / "s.tif", y)
    settings: dict[str, Any] = {"solver": "lee", "domain": "intensity"}
    made = plan(path, None, Settings(**settings))
    assert made.polarised is not None
    assert made.polarised.numbers == (1, 2)
    one, other = (facts for _, facts in made.bands.values())
    assert (one.looks, one.grain) == (other.looks, other.grain)
    assert one.middle != other.middle
    apart = plan(path, None, Settings(**settings, polarisations="apart"))
    assert apart.polarised is None
    assert apart.bands[1][1].looks != apart.bands[2][1].looks
    plain = plan(write_tiff(tmp_path / "p.tif", y), None, Settings(**settings))
    assert plain.polarised is None
    with pytest.raises(BadInput, match="polarisations"):
        plan(path, None, Settings(**settings, polarisations="both"))


def test_together_restores_every_block_once_and_keeps_targets_of_one_band_in_both(tmp_path: Path) -> None:
    y = measured(80)[:, :36]
    y[0, 30, 30] = 2000.0
    path = named(tmp_path / "s.tif", y.astype(np.float32))
    more: dict[str, Any] = {
        "solver": "hqs",
        "looks": 4.0,
        "domain": "intensity",
        "structure": FEW_BARS,
        "grain": (0.0, 0.0),
        "notes": Notes(),
        "executor": "serial",
    }
    result = despeckle(path, tmp_path / "o.tif", block=64, steps=1, mask=True, **more)
    record = json.loads((tmp_path / "o.tif.json").read_text())
    assert record["polarisations"]["numbers"] == [1, 2]
    assert record["targets_kept"]["1"] == record["targets_kept"]["2"] >= 1
    result.save_page(tmp_path / "o.html", "despeckle")
    assert "VV and VH restored together, 4.00 looks" in (tmp_path / "o.html").read_text()
    x = result.mean.numpy()
    assert x[:, 30, 30] == pytest.approx(y[:, 30, 30], rel=1e-5)
    assert np.isfinite(x).all()
    assert x.mean((1, 2)) == pytest.approx(y.mean((1, 2)), rel=0.03)


def test_the_ratio_of_polarisations_is_nearer_to_the_truth_than_that_of_bands_apart() -> None:
    y = measured(48, seed=5, looks=1.0)
    truth = 10 * np.log10(10 * np.where(np.arange(48) < 24, 1.0, 2.0))
    off = {}
    for way in ("together", "apart"):
        scene = scene_in_memory(y, "scene")
        made = plan(scene, None, Settings(
            solver="hqs", looks=1.0, grain=(0.0, 0.0), domain="intensity", polarisations=way, structure=None, targets=None,
        ))  # fmt: skip
        x = made.array(made.in_memory())
        off[way] = np.sqrt(np.mean((10 * np.log10(x[0] / x[1]) - truth) ** 2))
    assert off["together"] < 0.85 * off["apart"]
