"""Streaks, the plain derainer, the mask of residues, and their repair."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import skimage.data
import torch
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.metrics.fidelity import psnr
from restorekit.priors.find import load_prior
from restorekit.rain.morphology import Directional, direction, footprint
from restorekit.rain.refine import PAPER, Refinement
from restorekit.rain.residue import PAPER_RESIDUE, Residue, grown, rain_layer
from restorekit.rain.streaks import Streaks, fallen, line
from restorekit.solvers.diffpir import HQS

PHOTO = (skimage.data.astronaut()[20:148, 170:298].transpose(2, 0, 1) / 255).astype(np.float32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def ones(x: Tensor, sigma: float | Tensor, /) -> Tensor:
    """A prior that knows one picture."""
    return torch.ones_like(x)


# --- streaks ---


def test_a_streak_has_the_length_the_width_and_the_angle_it_was_given() -> None:
    upright = line(30, 4, 0)
    middle = len(upright) // 2
    assert upright.max() == pytest.approx(1)
    assert (upright[:, middle] > 0.999).sum() == 31
    profile = upright[middle]
    assert np.sqrt((profile * np.arange(-middle, middle + 1) ** 2).sum() / profile.sum()) == pytest.approx(2, rel=0.01)
    leaning = line(30, 2, 45)
    middle = len(leaning) // 2
    assert leaning[middle - 8, middle + 8] > 0.9  # up and to the right is clockwise
    assert leaning[middle - 8, middle - 8] < 0.01


def test_streaks_are_those_of_their_generator() -> None:
    streaks = Streaks()
    one, again, other = streaks((40, 50), rng(1)), streaks((40, 50), rng(1)), streaks((40, 50), rng(2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    assert one.shape == (40, 50)
    assert one.min() >= 0


def test_density_and_depth_and_strength_do_what_they_say() -> None:
    size = (200, 200)
    one = Streaks(depth=1, density=0.05)
    covered = [float((replace(one, density=d)(size, rng()) > 0.1).mean()) for d in (0.0, 0.05, 0.1)]
    assert covered[0] == 0
    assert 0.04 < covered[1] < 0.15  # flanks count too, and streaks overlap
    assert 1.5 * covered[1] < covered[2] < 2.2 * covered[1]
    near, far = one(size, rng()), replace(one, depth=4)(size, rng())
    assert (far > 0.02).mean() > 1.5 * (near > 0.02).mean()
    assert far.max() < 2 * near.max()
    np.testing.assert_allclose(replace(one, strength=1.0)(size, rng()), 2 * near)


@pytest.mark.parametrize(
    "bad", [{"length": 0.0}, {"width": -1.0}, {"density": 1.5}, {"depth": 0}, {"strength": -0.1}, {"angle": np.inf}]
)
def test_streaks_that_cannot_be(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must be|depth at least"):
        Streaks(**bad)  # type: ignore[arg-type]


def test_rain_only_adds_light_and_white_stays_white() -> None:
    y = fallen(PHOTO, Streaks()(PHOTO.shape[1:], rng()))  # type: ignore[arg-type]
    assert y.dtype == PHOTO.dtype
    assert (y >= PHOTO).all()
    assert y.max() <= 1


# --- the plain derainer ---


@pytest.mark.parametrize("angle", [-30.0, -8.0, 0.0, 20.0])
def test_the_direction_of_streaks_is_found(angle: float) -> None:
    r = Streaks(angle=angle, spread=0, density=0.06)((160, 160), rng())
    assert direction(r) == pytest.approx(angle, abs=4)


def test_a_footprint_is_a_line() -> None:
    assert footprint(5, 0).shape == (5, 1)
    assert footprint(5, 90).shape == (1, 5)
    np.testing.assert_array_equal(footprint(5, 45), np.eye(footprint(5, 45).shape[0], dtype=bool)[::-1])


def test_the_plain_derainer_takes_most_of_weak_rain_and_little_else() -> None:
    y = fallen(PHOTO, Streaks(angle=12)(PHOTO.shape[1:], rng()))  # type: ignore[arg-type]
    b = Directional()(y)
    assert psnr(b, PHOTO) > psnr(y, PHOTO) + 2
    assert (b <= y).all()
    assert b.min() >= 0
    assert psnr(Directional()(PHOTO), PHOTO) > 27


# --- the mask ---


def test_rain_is_the_brightest_band_of_what_was_taken_away() -> None:
    y, b = rng(0).random((2, 3, 5, 6))
    expected = np.maximum(y - b, 0).max(0)
    np.testing.assert_allclose(rain_layer(y, b), expected)


def test_the_mask_is_the_quantile_grown_and_held_to_its_cap() -> None:
    r = rng(0).random((60, 50))
    plain = Residue(share=0.1, floor=0.01, cap=1.0, dilate=0)(r)
    assert plain.k.mean() == pytest.approx(0.1, abs=0.001)
    np.testing.assert_array_equal(plain.k, r >= plain.threshold)
    wide = Residue(share=0.1, floor=0.01, cap=1.0, dilate=1)(r)
    np.testing.assert_array_equal(wide.k, grown(plain.k, 1))
    held = Residue(share=0.1, floor=0.01, cap=0.15, dilate=1)(r)
    assert 0.13 < held.k.mean() <= 0.15
    assert held.threshold > wide.threshold
    assert (wide.k >= held.k).all()


def test_only_pixels_of_the_picture_count() -> None:
    r, valid = rng(0).random((40, 30)), np.zeros((40, 30), bool)
    valid[:, :15] = True
    r[~valid] = 9
    make = Residue(share=0.2, floor=0.01, cap=0.5, dilate=1)
    found, cut = make(r, valid), make(r[:, :15])
    assert found.threshold == cut.threshold
    np.testing.assert_array_equal(found.k[:, :15], cut.k)
    assert not found.k[:, 15:].any()


def test_no_rain_no_mask() -> None:
    assert not Residue()(np.full((8, 9), 0.05)).k.any()
    found = Residue()(np.full((8, 9), 0.5))  # a veil: nothing is stronger than the rest
    assert not found.k.any()
    assert found.threshold == np.inf


@pytest.mark.parametrize("bad", [{"share": 0.0}, {"cap": 1.5}, {"floor": 0.0}, {"dilate": -1}])
def test_masks_that_cannot_be(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        Residue(**bad)  # type: ignore[arg-type]


# --- the repair ---


def hole(h: int = 24, w: int = 20) -> np.ndarray:
    k = np.zeros((h, w), bool)
    k[4:16, 5:15] = True
    k[0, 0] = True
    return k


def test_what_is_sampled_comes_in_from_the_edge_of_the_mask() -> None:
    share = Refinement(weight=0.6, feather=2).share(hole())
    assert (share[~hole()] == 0).all()
    np.testing.assert_allclose(share[10, 4:10], [0, 0.2, 0.4, 0.6, 0.6, 0.6])
    edge = np.zeros((9, 9), bool)
    edge[:, :5] = True  # runs out of the picture: no feather there
    assert Refinement(weight=1.0, feather=1).share(edge)[0, 0] == 1


@pytest.mark.parametrize("feather", [0, 1])
@pytest.mark.parametrize("white", [0.0, 0.5, 0.98, 1.0])
def test_what_is_sampled_never_counts_for_less_than_nothing_or_more_than_its_weight(feather: int, white: float) -> None:
    make, k = Refinement(weight=0.6, feather=feather), rng().random((12, 13)) <= white
    share = make.share(k)
    assert share.min() >= 0
    assert share.max() <= 0.6
    if k.all():
        assert (share == 0.6).all()


def test_a_mask_of_everything_is_repaired_forwards() -> None:
    found = Refinement(weight=1.0)(PHOTO[:, :12, :12] / 2, np.ones((12, 12), bool), ones)
    assert (found.std >= 0).all()
    assert found.picture.mean() > PHOTO[:, :12, :12].mean() / 2  # towards what the prior says


@pytest.mark.parametrize(
    "make", [Refinement(), Refinement(solver=HQS(), samples=1, first=None), replace(PAPER, steps=3)]
)
def test_outside_the_mask_nothing_changes(make: Refinement) -> None:
    b, k = PHOTO[:, :24, :20], hole()
    found = make(b, k, load_prior("natural-fast").for_bands(3))  # type: ignore[arg-type]
    np.testing.assert_array_equal(found.picture[:, ~k], b[:, ~k])
    assert (found.std[:, ~k] == 0).all()
    assert (found.std[:, 8, 10] > 0).all() == (make.samples > 1)
    assert not np.array_equal(found.picture[:, k], b[:, k])
    assert found.run is not None


def test_an_empty_mask_gives_the_derained_picture_back() -> None:
    b = PHOTO[:, :24, :20]
    found = Refinement()(b, np.zeros((24, 20), bool), ones)
    assert found.picture is b
    assert found.run is None


def test_what_is_thrown_away_has_no_say() -> None:
    k, b = hole(), PHOTO[:, :24, :20].copy()
    plain = replace(PAPER, solver=HQS(), steps=3, feather=0)
    other = np.where(k, 1 - b, b)
    prior = load_prior("natural-fast").for_bands(3)
    one, two = (plain(x, k, prior).picture for x in (b, other))  # type: ignore[arg-type]
    np.testing.assert_array_equal(one, two)
    with pytest.raises(BadInput, match="white everywhere"):
        plain(b, np.ones((24, 20), bool), ones)


def test_one_seed_one_picture() -> None:
    b, k, prior = PHOTO[:, :24, :20], hole(), load_prior("natural-fast").for_bands(3)
    runs = [Refinement(weight=1.0)(b, k, prior, seed).picture for seed in (1, 1, 2)]  # type: ignore[arg-type]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_streaks_that_were_left_become_weaker() -> None:
    r = Streaks(depth=1, strength=0.4)(PHOTO.shape[1:], rng())  # type: ignore[arg-type]
    y = fallen(PHOTO, r)
    b = fallen(PHOTO, 0.3 * r)  # a derainer that leaves some of it
    k, _ = Residue(cap=0.3)(rain_layer(y, b))
    found = replace(PAPER, solver=HQS(first=0.3), steps=8)(b, k, load_prior("natural-fast").for_bands(3))  # type: ignore[arg-type]
    assert psnr(found.picture, PHOTO) > psnr(b, PHOTO) + 0.5


@pytest.mark.parametrize("bad", [{"weight": 0.0}, {"weight": 1.2}, {"sigma": 0.0}, {"feather": -1}, {"first": 0.0}])
def test_repairs_that_cannot_be(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        Refinement(**bad)  # type: ignore[arg-type]


def test_paper_is_the_mask_of_the_seed() -> None:
    assert (PAPER.sigma, PAPER.weight, PAPER.first) == (None, 1.0, None)
    assert (PAPER_RESIDUE.share, PAPER_RESIDUE.cap) == (0.05, 0.15)
