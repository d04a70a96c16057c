"""The parts of a fusion: grey levels, colours, fusion without a model, and both solvers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.fusion import baselines as classical
from restorekit.fusion import luminance as colour
from restorekit.fusion import prepare
from restorekit.fusion.joint import Diffusion, Map, estimate, solver_of
from restorekit.fusion.selection import Sources
from restorekit.inference.rng import Rng
from tests.support.fields import fields

RNG = np.random.default_rng(0)


# --- grey levels ---


@pytest.mark.parametrize("how", prepare.MATCHES)
def test_a_match_keeps_the_order_and_forgets_the_unit(how: str) -> None:
    radar, luminance = RNG.normal(-2, 0.5, (40, 50)), RNG.beta(2, 5, (40, 50))
    valid = RNG.random((40, 50)) > 0.2
    found = prepare.matched(radar, luminance, valid, how)
    order = np.argsort(radar[valid])
    assert (np.diff(found[valid][order]) >= 0).all()
    np.testing.assert_allclose(prepare.matched(4.3 * radar + 9, luminance, valid, how), found, atol=1e-9)
    lies = prepare.matched(np.where(valid, radar, 1e6), np.where(valid, luminance, -7.0), valid, how)
    np.testing.assert_array_equal(lies[valid], found[valid])


def test_the_histogram_is_matched_by_quantiles_and_moments_by_moments() -> None:
    radar, luminance = RNG.exponential(1, (90, 90)), RNG.beta(2, 3, (90, 90))
    valid = np.ones(radar.shape, bool)
    levels = np.linspace(0.02, 0.98, 25)
    by_quantiles = prepare.matched(radar, luminance, valid, "histogram")
    np.testing.assert_allclose(np.quantile(by_quantiles, levels), np.quantile(luminance, levels), atol=5e-3)
    plain = RNG.normal(3, 2, (90, 90))
    wide = RNG.normal(0.5, 0.1, (90, 90))
    by_moments = prepare.matched(plain, wide, valid, "moments")
    # Both lose the same tails before they are measured, and what is clipped at the end is a handful.
    assert by_moments.mean() == pytest.approx(wide.mean(), abs=2e-3)
    assert by_moments.std() == pytest.approx(wide.std(), rel=0.03)
    assert wide.min() <= by_moments.min() <= by_moments.max() <= wide.max()


def test_levels_that_many_pixels_share_stay_one_level_in_the_middle() -> None:
    radar = np.repeat([0.0, 1.0], 500).reshape(10, 100)
    luminance = np.linspace(0, 1, 1000).reshape(10, 100)
    found = prepare.matched(radar, luminance, np.ones(radar.shape, bool), "histogram")
    np.testing.assert_allclose(np.unique(found), [0.25, 0.75], atol=2e-3)


def test_pixels_without_signal_get_the_least_there_is() -> None:
    intensity = np.array([[4.0, 0.0, -1.0, 0.5, 9.0]])
    valid = np.array([[True, True, True, True, False]])
    np.testing.assert_allclose(prepare.logarithm(intensity, valid), np.log([[4, 0.5, 0.5, 0.5, 0.5]]))
    with pytest.raises(BadInput, match="no valid pixel above 0"):
        prepare.logarithm(-intensity, intensity > 0)


def test_an_unknown_despeckler_or_match_lists_the_known_ones() -> None:
    one, valid = np.ones((20, 20)), np.ones((20, 20), bool)
    with pytest.raises(BadInput, match="known: none, boxcar, lee"):
        prepare.despeckled("wavelet", one, valid, 4)
    with pytest.raises(BadInput, match="known: moments, histogram"):
        prepare.matched(one, one, valid, "wavelet")
    assert prepare.despeckled("none", one, valid, 4) is one


# --- colours ---


def test_the_luminance_becomes_the_new_one_and_chroma_stays() -> None:
    rgb, fused = RNG.uniform(80, 120, (3, 9, 8)), RNG.uniform(60, 180, (9, 8))
    out, paler = colour.recoloured(rgb, fused, 0, 255)
    assert paler == 0
    np.testing.assert_allclose(colour.luminance(out), fused)
    np.testing.assert_allclose(out - colour.luminance(out), rgb - colour.luminance(rgb))


def test_where_there_is_no_room_colour_gives_way_and_luminance_does_not() -> None:
    rgb = np.array([250.0, 10.0, 10.0]).reshape(3, 1, 1) * np.ones((3, 2, 2))
    fused = np.array([[200.0, 5.0], [81.8, 300.0]])
    out, paler = colour.recoloured(rgb, fused, 0, 255)
    np.testing.assert_allclose(colour.luminance(out), np.clip(fused, 0, 255))
    assert 0 <= out.min() <= out.max() <= 255
    assert paler == 3  # the third is the picture's own luminance
    np.testing.assert_allclose(out[:, 1, 0], rgb[:, 1, 0], atol=0.3)
    chroma, was = out[:, 0, 0] - out[:, 0, 0].mean(), rgb[:, 0, 0] - rgb[:, 0, 0].mean()
    assert np.corrcoef(chroma, was)[0, 1] == pytest.approx(1)  # paler, of the same hue


@pytest.mark.parametrize("count", [1, 3])
def test_grey_stays_grey(count: int) -> None:
    grey = np.broadcast_to(RNG.random((1, 4, 5)), (count, 4, 5))
    fused = RNG.random((4, 5))
    out, paler = colour.recoloured(grey, fused, 0, 1)
    np.testing.assert_allclose(out, np.broadcast_to(fused, out.shape))
    assert paler == 0


def test_limits_are_those_of_the_type() -> None:
    assert colour.limits("uint8", np.zeros(1)) == (0, 255)
    assert colour.limits("int16", np.array([-1])) == (-32768, 32767)
    assert colour.limits("int16", np.zeros(1)) == (0, 32767)
    assert colour.limits("float32", np.array([0.2])) == (0, np.inf)
    assert colour.limits("float32", np.array([-0.2])) == (-np.inf, np.inf)


# --- without a model ---


def edges() -> tuple[np.ndarray, np.ndarray]:
    o, r = np.full((64, 80), 0.5), np.full((64, 80), 0.5)
    o[:, 30:], r[40:] = 0.8, 0.2
    return o, r


@pytest.mark.parametrize(
    "fuse", [classical.mean, classical.maximum, classical.pca, classical.local_mean, classical.pyramid]
)
def test_a_picture_fused_with_itself_is_itself(fuse: classical.Fusion) -> None:
    x = RNG.random((37, 50))
    np.testing.assert_allclose(fuse(x, x), x, atol=1e-12)


def test_pca_weighs_by_the_first_component() -> None:
    x, y = RNG.normal(size=(2, 40, 40))
    o, r = 3 * x, x + 0.1 * y
    f = classical.pca(o, r)
    w = np.linalg.lstsq(np.stack([o.ravel(), r.ravel()], 1), f.ravel(), rcond=None)[0]
    assert w.sum() == pytest.approx(1)
    assert w[0] / w[1] == pytest.approx(3, rel=0.02)


def test_the_pyramid_keeps_the_edges_of_both_where_a_mean_halves_them() -> None:
    o, r = edges()
    f = classical.pyramid(o, r)
    across, down = f[10, 32] - f[10, 27], f[37, 10] - f[42, 10]
    assert across > 0.8 * 0.3
    assert down > 0.8 * 0.3
    mean = classical.mean(o, r)
    assert mean[10, 32] - mean[10, 27] == pytest.approx(0.15)


def test_the_pyramid_moves_nothing() -> None:
    dot = np.zeros((65, 71))
    dot[32, 40] = 1
    found = classical.pyramid(dot, np.zeros_like(dot))
    assert np.unravel_index(found.argmax(), found.shape) == (32, 40)
    np.testing.assert_allclose(classical.pyramid(dot[::-1], 0 * dot), classical.pyramid(dot, 0 * dot)[::-1], atol=1e-9)


# --- the solvers ---


def tensors() -> tuple[Tensor, Tensor]:
    place = fields(48, 56, 20)
    o = torch.from_numpy(colour.luminance(place.rgb)).float()
    r = torch.from_numpy(np.log(place.intensity) / 3 + 1).float()
    return o[None, None], r[None, None]


def blurred(x: Tensor, sigma: float | Tensor) -> Tensor:
    """In place of a network: a mean over 3x3 pixels."""
    return torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def test_map_is_a_minimum_for_its_estimate() -> None:
    o, r = tensors()
    sources, solver = Sources(o, r), Map()
    x0 = estimate(sources)
    found = solver.fuse(sources, None, Rng([0]))
    assert found.nfe == 0
    value = float(solver.objective(found.picture, x0, sources))
    for other in (x0, o, r, (o + r) / 2):
        assert value < float(solver.objective(other, x0, sources))


def test_diffusion_asks_the_prior_once_a_level_and_ends_at_a_minimum() -> None:
    o, r = tensors()
    sources, seen = Sources(o, r), []

    def denoise(x: Tensor, sigma: float | Tensor) -> Tensor:
        seen.append((float(sigma), blurred(x, sigma)))
        return seen[-1][1]

    solver = Diffusion(steps=7, first=0.3)
    found = solver.fuse(sources, denoise, Rng([0]))
    levels = [sigma for sigma, _ in seen]
    assert found.nfe == len(levels) == 7
    assert levels == sorted(levels, reverse=True)
    assert (levels[0], levels[-1]) == pytest.approx((0.3, 0.01))
    last = seen[-1][1]
    best = float(solver.objective(replace(Map(), c=solver.c, iterations=2000)(last, sources)[0], last, sources))
    assert float(solver.objective(found.picture, last, sources)) <= 1.005 * best


def test_diffusion_is_a_function_of_its_seed() -> None:
    sources, solver = Sources(*tensors()), Diffusion(steps=4)
    one, same, other = (solver.fuse(sources, blurred, Rng([seed])).picture for seed in (3, 3, 4))
    torch.testing.assert_close(one, same, rtol=0, atol=0)
    assert not torch.equal(one, other)


def test_without_fresh_noise_the_exact_prior_of_a_picture_gives_the_minimum_for_it() -> None:
    # A prior that knows one picture answers it at every level, so the last level decides alone.
    o, r = tensors()
    sources, truth = Sources(o, r), 0.5 * (o + r)
    solver = Diffusion(steps=2, zeta=0.0, iterations=10, final=1500)
    found = solver.fuse(sources, lambda x, sigma: truth, Rng([0])).picture
    exact, _ = replace(Map(), c=solver.c, iterations=1500)(truth, sources)
    assert float(solver.objective(found, truth, sources)) == pytest.approx(
        float(solver.objective(exact, truth, sources)), rel=1e-4
    )


def test_holes_of_one_picture_are_filled_from_the_other_before_the_estimate() -> None:
    o, r = tensors()
    there = torch.ones_like(o)
    there[..., 10:20, 10:20] = 0
    wild = torch.where(there > 0, r, torch.nan)
    found = estimate(Sources(o, wild, torch.ones_like(o), there))
    assert bool(found.isfinite().all())
    torch.testing.assert_close(found[..., 14:16, 14:16], o[..., 14:16, 14:16], atol=0.05, rtol=0)


def test_a_prior_is_asked_for_where_it_is_missing() -> None:
    with pytest.raises(BadInput, match="`solver=map`"):
        Diffusion().fuse(Sources(*tensors()), None, Rng([0]))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mean", "known: map, diffusion"),
        ("map:steps=3", "map takes a, b, c, d, rho, iterations"),
        ("map:a=-1", "weights must be 0 or more"),
        ("diffusion:zeta=2", "zeta in 0..1"),
        ("diffusion:first=0", "first must be above 0"),
    ],
)
def test_solvers_from_text_say_what_is_known(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        solver_of(text)
    assert solver_of("diffusion:steps=4,a=0.5") == Diffusion(steps=4, a=0.5)
