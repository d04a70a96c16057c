"""Structure is told from noise that neighbours share: by how even it lies, and by the colours of what a prior takes out."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from restorekit.noise.evidence import Evidence, Seen
from restorekit.noise.judgement import judged
from restorekit.noise.level import Noise
from restorekit.noise.residue import Residue

FLOOR = 0.002
SIZE = (3, 96, 96)


def smooth(x: Tensor, sigma: float | Tensor, /) -> Tensor:
    """The prior of flat pictures."""
    return x.mean((-2, -1), keepdim=True).expand_as(x)


def narrow(x: Tensor, sigma: float | Tensor, /) -> Tensor:
    """The prior of independent values of N(1/2, 0.001^2)."""
    return (0.001**2 * x + 0.5 * sigma**2) / (0.001**2 + sigma**2)


def shared() -> Noise:
    """A camera's noise as flat blocks show it."""
    return Noise(0.045, 0.002, 0.5, 0.5, True, 0.0, False, np.zeros(SIZE, bool), camera=True)


def grain(tint: tuple[float, float, float] | None) -> np.ndarray:
    """Blurred noise, of one tint or of each band's own."""
    rng = np.random.default_rng(0)
    z = ndimage.gaussian_filter(rng.standard_normal(SIZE), (0, 1, 1))
    z = z if tint is None else z[:1] * np.array(tint)[:, None, None]
    return (0.5 + 0.1 * z).astype(np.float32)


def test_noise_that_bands_have_by_themselves_is_coloured() -> None:
    """Of three independent bands of deviation s, luma has 0.669 s, both differences together 0.97 s beside what luma explains."""
    own = Residue()(torch.from_numpy(grain(None))[None], smooth)
    assert 1.2 < own < 1.8
    assert Residue()(torch.from_numpy(grain((1.0, 1.0, 1.0)))[None], smooth) < 1e-3


def test_texture_of_one_tint_has_no_colour_of_its_own() -> None:
    assert Residue()(torch.from_numpy(grain((1.0, 0.7, 0.4)))[None], smooth) < 1e-3


def test_few_pixels_or_one_band_show_no_colour() -> None:
    assert math.isnan(Residue()(torch.zeros(1, 3, 12, 12), smooth))
    assert math.isnan(Residue()(torch.zeros(1, 1, 96, 96), smooth))


def test_noise_is_in_every_block_and_stripes_are_not() -> None:
    rng = np.random.default_rng(0)
    told = np.ones((1, 128, 128), bool)
    noise = (0.5 + 0.02 * rng.standard_normal((1, 128, 128))).astype(np.float32)
    level, even = Evidence().evenness(noise, told, narrow, 0.05)
    assert level == pytest.approx(0.02, rel=0.1)
    assert even > 0.85
    half = noise.copy()
    half[:, :, 48:] += 0.04 * (np.arange(80) // 3 % 2 - 0.5).astype(np.float32)
    half[:, :, :48] = 0.5
    assert Evidence().evenness(half, told, narrow, 0.05)[1] < 0.3


def test_a_picture_that_the_prior_does_not_know_is_not_even() -> None:
    y = (0.5 + 0.2 * np.random.default_rng(0).standard_normal((1, 128, 128))).astype(np.float32)
    assert Evidence().evenness(y, np.ones(y.shape, bool), narrow, 0.05)[1] == 0
    assert (
        Evidence().evenness(y[:, :24, :24], np.ones((1, 24, 24), bool), narrow, 0.05)[1] == 1
    )  # too few blocks to say


@pytest.mark.parametrize("lost", [0.0, 0.0076, 0.038])
def test_what_is_at_half_size_here_and_there_is_structure(lost: float) -> None:
    """Stripes of a zebra: grey ones at half size, in some of the blocks, without a colour of their own."""
    seen = Seen(0.0, 0.0, 0.006, 0.67, even=0.3, colour=0.7)
    found = judged(shared(), seen, lost, FLOOR)
    assert not found.correlated
    assert found.floor
    even, coloured = (judged(shared(), seen._replace(**more), lost, FLOOR) for more in ({"even": 0.8}, {"colour": 1.4}))
    assert even.sigma > 0.02
    assert coloured.sigma > 0.02


@pytest.mark.parametrize(
    ("right", "below"), [(0.8, 0.2), (0.05, 0.06)], ids=["lines lie one way", "neighbours share nothing"]
)
def test_what_neighbours_do_not_share_alike_is_no_noise_of_a_camera(right: float, below: float) -> None:
    found = replace(shared(), right=right, below=below)
    assert judged(found, Seen(0.0, 0.0, 0.006, 0.67, 0.9, 1.4), 0.0, FLOOR).floor


def test_one_band_has_to_be_more_even() -> None:
    seen = Seen(0.0, 0.0, 0.006, 1.0, even=0.55)
    assert judged(shared(), seen, 0.0, FLOOR).floor
    assert judged(shared(), seen._replace(colour=0.5), 0.0, FLOOR).correlated
    assert judged(shared(), seen._replace(even=0.65), 0.0, FLOOR).correlated


def test_halftone_is_no_grain_though_all_of_it_is_alike() -> None:
    """The prior reads the most that is looked at: it does not know such a picture."""
    covariance = np.zeros((19, 19))
    covariance[9, 9] = 0.5**2
    found = replace(shared(), covariance=covariance, camera=False)
    assert judged(found, Seen(0.0, 0.0, 0.0537, 0.67, 0.0, 0.9), 0.0, FLOOR).floor
    assert judged(found, Seen(0.0, 0.0, 0.0537, 0.67, 0.0, 1.5), 0.0, FLOOR).covariance is not None


def test_strong_coloured_noise_in_a_fine_jpeg_is_found() -> None:
    """That of a phone at quality 95: grey shows it in full as well, and flat blocks may be too few to say that neighbours share it."""
    unsure = replace(shared(), sigma=0.0276, white=0.0276, correlated=False, camera=False)
    seen = Seen(0.002, 0.0138, 0.0193, 0.67, 0.4, 1.4)
    assert judged(unsure, seen, 0.0076, FLOOR).sigma > 0.05
    assert judged(unsure, seen._replace(colour=0.8), 0.0076, FLOOR).sigma < 0.01


def test_of_letters_on_paper_in_a_jpeg_nothing_is_told() -> None:
    """Where the prior has too few blocks, what flat parts read is the ringing of edges."""
    letters = replace(shared(), sigma=0.3, white=0.3, correlated=False, camera=False, left_out=0.7, sure=False)
    unseen = Seen(math.nan, math.nan, math.nan, 0.67)
    assert judged(letters, unseen, 0.03, FLOOR).floor
    assert judged(letters, unseen, 0.0, FLOOR).sigma == 0.3
