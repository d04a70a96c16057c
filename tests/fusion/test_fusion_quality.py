"""Every metric of fusion against a slow reference written out from its definition, or a case computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from restorekit.fusion import scores as quality

Array = np.ndarray


def scene(h: int = 40, w: int = 48) -> tuple[Array, Array, Array]:
    """Two sources with edges of their own, and something between them."""
    rng = np.random.default_rng(0)
    i, j = np.mgrid[:h, :w]
    a = 0.3 + 0.4 * (j > w / 2) + 0.05 * rng.standard_normal((h, w))
    b = 0.6 - 0.4 * (i > h / 3) + 0.05 * np.sin(i / 3) + 0.05 * rng.standard_normal((h, w))
    a, b = a.clip(0, 1), b.clip(0, 1)
    return a, b, (0.7 * a + 0.3 * b).clip(0, 1)


def levels(x: Array) -> list[int]:
    return [round(255 * v) for v in x.ravel().tolist()]


def test_entropy_by_hand() -> None:
    x = np.array([[0.0, 0.0], [1.0, 0.5]])
    assert quality.entropy(x) == pytest.approx(0.5 * 1 + 2 * 0.25 * 2)
    assert quality.entropy(np.full((3, 3), 0.2)) == 0


def test_deviation_frequency_and_gradient_by_hand() -> None:
    x = np.array([[0, 0, 0], [0, 51, 0], [0, 0, 0]]) / 255
    assert quality.deviation(x) == pytest.approx(math.sqrt(51**2 / 9 - (51 / 9) ** 2))
    # Two of six differences along each axis are 51.
    assert quality.spatial_frequency(x) == pytest.approx(math.sqrt(2 * 2 * 51**2 / 6))
    # gx is 51 or -51 at the ends of the middle row and 0 in the middle, gy likewise in the middle column.
    assert quality.average_gradient(x) == pytest.approx(4 * 51 / math.sqrt(2) / 9)


def test_information_and_cross_entropy_against_counting() -> None:
    a, _, f = scene(12, 9)
    x, y = levels(a), levels(f)
    n = len(x)
    mi = ce = 0.0
    for i in set(x):
        if i in y:
            p, q = x.count(i) / n, y.count(i) / n
            ce += p * math.log2(p / q)
        for j in {k for m, k in zip(x, y) if m == i}:
            p = sum(u == i and v == j for u, v in zip(x, y)) / n
            mi += p * math.log2(p / (x.count(i) / n * y.count(j) / n))
    assert quality.mutual_information(a, f) == pytest.approx(mi)
    assert quality.cross_entropy(a, f) == pytest.approx(ce)
    assert ce != 0


def test_information_of_a_picture_with_itself_is_its_entropy_in_bits() -> None:
    a, b, _ = scene()
    assert quality.mutual_information(a, a) == pytest.approx(quality.entropy(a))
    assert quality.evaluate(a, b, a)["mi"] == pytest.approx(quality.entropy(a) + quality.mutual_information(b, a))


def test_cross_entropy_prefers_a_copy_to_the_mean() -> None:
    # Why CE is reported and never a goal: of two sources the copy of one comes out better than any compromise.
    a, b, _ = scene()
    copy, mean = (quality.evaluate(a, b, f)["ce"] for f in (a, (a + b) / 2))
    assert copy < mean
    assert quality.METRICS["ce"].lower
    assert [name for name, column in quality.METRICS.items() if column.lower] == ["ce"]


def test_psnr_is_that_of_the_mean_of_both_errors() -> None:
    a = np.zeros((5, 4))
    b, f = a + 51 / 255, a + 51 / 255
    assert quality.psnr_of_fusion(a, b, f) == pytest.approx(10 * math.log10(255**2 / (51**2 / 2)))
    assert quality.psnr_of_fusion(a, a, a) == math.inf
    # Neither the mean of two PSNR, nor a root taken too early.
    values = quality.evaluate(*scene())
    x, y, z = (255 * v for v in scene())
    errors = np.square(x - z).mean(), np.square(y - z).mean()
    assert values["psnr"] == pytest.approx(10 * math.log10(255**2 / (sum(errors) / 2)))
    assert abs(values["psnr"] - np.mean([10 * math.log10(255**2 / e) for e in errors])) > 0.5


def test_similarity_is_that_of_skimage_and_the_sum_twice_the_mean() -> None:
    a, b, f = scene()
    values = quality.evaluate(a, b, f)
    sides = [
        structural_similarity(x, f, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
        for x in (a, b)
    ]
    assert values["ssim_mean"] == pytest.approx(np.mean(sides), rel=1e-6)
    assert values["ssim_sum"] == pytest.approx(np.sum(sides), rel=1e-6)


def sobel(x: Array) -> tuple[Array, Array]:
    """Strength and orientation, pixel by pixel, the border mirrored with its edge repeated."""
    p = np.pad(255 * x, 1, mode="symmetric")
    g, angle = np.zeros_like(x), np.zeros_like(x)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            k = p[i : i + 3, j : j + 3]
            gx = float((k[:, 2] - k[:, 0]) @ [1, 2, 1])
            gy = float((k[2] - k[0]) @ [1, 2, 1])
            g[i, j] = math.hypot(gx, gy)
            angle[i, j] = math.atan(gy / gx) if gx else math.pi / 2
    return g, angle


def test_edge_transfer_against_the_formula_written_out() -> None:
    a, b, f = scene(14, 11)
    gf, tf = sobel(f)
    top = bottom = 0.0
    for source in (a, b):
        g, t = sobel(source)
        for u, v, s, w in zip(g.ravel(), gf.ravel(), t.ravel(), tf.ravel()):
            strength = v / u if u > v else (u / v if v else 0.0)
            alignment = 1 - abs(s - w) / (math.pi / 2)
            q = 0.9994 / (1 + math.exp(-15 * (strength - 0.5))) * 0.9879 / (1 + math.exp(-22 * (alignment - 0.8)))
            top, bottom = top + q * u, bottom + u
    assert quality.edge_transfer(a, b, f) == pytest.approx(top / bottom)
    assert quality.edge_transfer(a, a, a) == pytest.approx(
        0.9994 / (1 + math.exp(-7.5)) * 0.9879 / (1 + math.exp(-4.4))
    )


def test_correlations_against_numpy() -> None:
    a, b, f = scene()

    def corr(x: Array, y: Array) -> float:
        return float(np.corrcoef(x.ravel(), y.ravel())[0, 1])

    values = quality.evaluate(a, b, f)
    assert values["scd"] == pytest.approx(corr(f - b, a) + corr(f - a, b))
    assert values["cc"] == pytest.approx((corr(a, f) + corr(b, f)) / 2)


def windows(x: Array, n: int) -> list[Array]:
    return [x[i : i + n, j : j + n] for i in range(x.shape[0] - n + 1) for j in range(x.shape[1] - n + 1)]


def scales(*pictures: Array) -> list[tuple[Array, tuple[Array, ...]]]:
    found, now = [], tuple(255 * x for x in pictures)
    for n in (17, 9, 5, 3):
        t = np.arange(n) - n // 2
        weights = np.exp(-(t[:, None] ** 2 + t**2) / (2 * (n / 5) ** 2))
        weights /= weights.sum()
        if n < 17:
            small = []
            for x in now:
                h, w = x.shape
                full = [float((weights * v).sum()) for v in windows(x, n)]
                small.append(np.reshape(full, (h - n + 1, w - n + 1))[::2, ::2])
            now = tuple(small)
        if min(now[0].shape) >= n:
            found.append((weights, now))
    return found


def channel(x: Array, y: Array, weights: Array) -> tuple[float, float, float]:
    """Variance of x, gain and noise of y = g x + noise in one window."""
    mx, my = (weights * x).sum(), (weights * y).sum()
    vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
    g = (weights * (x - mx) * (y - my)).sum() / (vx + 1e-10)
    return vx, (max(g, 0.0)), (vy - g * g * vx if g > 0 else vy)


def test_fidelity_of_information_against_windows_one_by_one() -> None:
    a, _, f = scene(35, 37)
    kept = there = 0.0
    for weights, (x, y) in scales(a, f):
        for u, v in zip(windows(x, len(weights)), windows(y, len(weights))):
            vx, g, noise = channel(u, v, weights)
            kept += math.log10(1 + g * g * vx / (max(noise, 1e-10) + 2))
            there += math.log10(1 + vx / 2)
    assert quality.vif(a, f) == pytest.approx(kept / there, rel=1e-6)
    assert quality.vif(a, a) == pytest.approx(1, abs=1e-6)


def test_the_fidelity_of_han_takes_the_livelier_source_of_each_window() -> None:
    a, b, f = scene(35, 37)
    noise, total, weight_of_all = 0.005 * 255**2, 0.0, 0.0
    for p, (weights, (x, y, z)) in zip((0.0333, 0.2333, 0.2333, 0.5), scales(a, b, f)):
        with_distortion = without = 0.0
        for u, v, w in zip(*(windows(q, len(weights)) for q in (x, y, z))):
            one, other = channel(u, w, weights), channel(v, w, weights)
            variance, g, rest = one if one[0] >= other[0] else other
            with_distortion += math.log2(1 + g * g * variance / (max(rest, 1e-10) + noise))
            without += math.log2(1 + variance / noise)
        total, weight_of_all = total + p * with_distortion / without, weight_of_all + p
    assert quality.viff(a, b, f) == pytest.approx(total / weight_of_all, rel=1e-6)
    assert quality.viff(a, a, a) == pytest.approx(1, abs=1e-6)


def test_two_kinds_of_fidelity_are_two_figures() -> None:
    a, b, f = scene()
    values = quality.evaluate(a, b, f)
    assert values["vif_sum"] == pytest.approx(quality.vif(a, f) + quality.vif(b, f))
    assert quality.evaluate(a, b, a)["vif_sum"] > 1 > quality.evaluate(a, b, a)["viff_han"]  # of a copy


def test_flat_pictures_give_numbers() -> None:
    flat = np.full((40, 40), 0.5)
    values = quality.evaluate(flat, flat, flat)
    assert list(values) == list(quality.METRICS)
    assert not any(math.isnan(v) for v in values.values())


def test_values_beyond_white_and_black_count_as_white_and_black() -> None:
    a, b, f = scene()
    wild = np.where(f > 0.5, 2.0, -1.0)
    assert quality.evaluate(a, b, wild) == quality.evaluate(a, b, wild.clip(0, 1))


def test_pictures_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="all three must be of one size"):
        quality.evaluate(np.zeros((9, 9)), np.zeros((9, 9)), np.zeros((9, 8)))
