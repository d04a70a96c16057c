"""Fused pictures are judged by scores of grey pictures A, B (sources) and F (fused), (H, W) on [0, 1].

Where definitions differ, that of the VIFB benchmark (Zhang, Ye, Xiao, CVPRW 2020) is taken, in grey levels 0 to 255.
Values beyond [0, 1] count as its ends. None of them knows a truth. CE is better lower, all others higher; noise raises
EN, SD, SF and AG.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

Array = NDArray[np.floating]
WHITE = 255.0
HAN = (0.0333, 0.2333, 0.2333, 0.5)  # weights of the four scales of VIFF, fine to coarse


def _levels(x: Array) -> Array:
    return WHITE * np.clip(np.asarray(x, np.float64), 0, 1)


def _histogram(x: Array) -> Array:
    counts = np.bincount(np.rint(x).astype(np.int64).ravel(), minlength=256)
    return counts / counts.sum()


def entropy(f: Array) -> float:
    """Return EN, in bits."""
    p = _histogram(_levels(f))
    return float(-(p[p > 0] * np.log2(p[p > 0])).sum())


def deviation(f: Array) -> float:
    """Return SD, that of the population."""
    return float(_levels(f).std())


def spatial_frequency(f: Array) -> float:
    """Return SF = sqrt(mean dx^2 + mean dy^2), means over the differences there are."""
    x = _levels(f)
    return math.sqrt(float(np.square(np.diff(x, axis=1)).mean() + np.square(np.diff(x, axis=0)).mean()))


def average_gradient(f: Array) -> float:
    """Return AG = mean sqrt((gx^2 + gy^2) / 2), central differences."""
    gy, gx = np.gradient(_levels(f))
    return float(np.sqrt((gx**2 + gy**2) / 2).mean())


def mutual_information(a: Array, f: Array) -> float:
    """Return I(A; F) in bits, 256 levels. MI of a fusion is the sum for both sources."""
    pairs = np.histogram2d(
        np.rint(_levels(a)).ravel(), np.rint(_levels(f)).ravel(), bins=256, range=[[-0.5, 255.5], [-0.5, 255.5]]
    )[0]
    p = pairs / pairs.sum()
    alone = p.sum(1, keepdims=True) * p.sum(0, keepdims=True)
    return float((p[p > 0] * np.log2(p[p > 0] / alone[p > 0])).sum())


def cross_entropy(a: Array, f: Array) -> float:
    """Return KL(A || F) of the histograms in bits, levels empty on either side left out. CE is the mean for both
    sources."""
    p, q = _histogram(_levels(a)), _histogram(_levels(f))
    both = (p > 0) & (q > 0)
    return float((p[both] * np.log2(p[both] / q[both])).sum())


def psnr_of_fusion(a: Array, b: Array, f: Array) -> float:
    """Return 10 lg(255^2 / mean of the two mean squared errors), dB."""
    x, y, z = (_levels(v) for v in (a, b, f))
    mse = 0.5 * (float(np.square(x - z).mean()) + float(np.square(y - z).mean()))
    return math.inf if mse == 0 else 10 * math.log10(WHITE**2 / mse)


def similarity(a: Array, f: Array) -> float:
    """Return SSIM, Gaussian window of sigma 1.5."""
    x, y = _levels(a), _levels(f)
    value = structural_similarity(x, y, data_range=WHITE, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    return float(np.mean(value))


def _edges(x: Array) -> tuple[Array, Array]:
    """Return the Sobel strength, and the orientation in (-pi/2, pi/2]."""
    gx, gy = scipy.ndimage.sobel(x, 1), scipy.ndimage.sobel(x, 0)
    return np.hypot(gx, gy), np.arctan(np.divide(gy, gx, out=np.full_like(gy, np.inf), where=gx != 0))


def edge_transfer(a: Array, b: Array, f: Array) -> float:
    """Return Qabf (Xydeas, Petrovic, Electronics Letters 2000)."""
    gf, af = _edges(_levels(f))
    total, weight = 0.0, 0.0
    for source in (a, b):
        g, angle = _edges(_levels(source))
        least, most = np.minimum(g, gf), np.maximum(g, gf)
        strength = np.divide(least, most, out=np.zeros_like(g), where=most > 0)
        alignment = 1 - np.abs(angle - af) / (math.pi / 2)
        kept = 0.9994 / (1 + np.exp(-15 * (strength - 0.5))) * 0.9879 / (1 + np.exp(-22 * (alignment - 0.8)))
        total, weight = total + float((kept * g).sum()), weight + float(g.sum())
    return total / weight if weight else 0.0


def _correlation(a: Array, b: Array) -> float:
    x, y = a - a.mean(), b - b.mean()
    size = math.sqrt(float(np.square(x).sum() * np.square(y).sum()))
    return float((x * y).sum()) / size if size else 0.0


def correlation(a: Array, b: Array, f: Array) -> float:
    """Return CC, the mean for both sources."""
    x, y, z = (_levels(v) for v in (a, b, f))
    return 0.5 * (_correlation(x, z) + _correlation(y, z))


def sum_of_correlations_of_differences(a: Array, b: Array, f: Array) -> float:
    """Return SCD = corr(F - B, A) + corr(F - A, B) (Aslantas, Bendes, AEU 2015)."""
    x, y, z = (_levels(v) for v in (a, b, f))
    return _correlation(z - y, x) + _correlation(z - x, y)


# --- visual information fidelity ---


def _local(x: Array, y: Array, window: Array) -> tuple[Array, Array, Array]:
    """Return the variances of both and the covariance in the window, valid positions alone."""

    def mean(v: Array) -> Array:
        return scipy.signal.fftconvolve(v, window, mode="valid")

    mx, my = mean(x), mean(y)
    vx, vy = np.maximum(mean(x * x) - mx**2, 0), np.maximum(mean(y * y) - my**2, 0)
    return vx, vy, mean(x * y) - mx * my


def _channel(vx: Array, vy: Array, cov: Array) -> tuple[Array, Array]:
    """Return the gain g and the noise of y = g x + noise (Sheikh, Bovik, TIP 2006), within what is possible."""
    tiny = 1e-10
    g = cov / (vx + tiny)
    noise = vy - g * cov
    g, noise = np.where(vx < tiny, 0.0, g), np.where(vx < tiny, vy, noise)
    g, noise = np.where(vy < tiny, 0.0, g), np.where(vy < tiny, 0.0, noise)
    noise = np.where(g < 0, vy, noise)
    return np.maximum(g, 0), np.maximum(noise, tiny)


def _scales(*pictures: Array, count: int = 4) -> list[tuple[Array, list[Array]]]:
    """Yield the window and the pictures at each scale: Gaussians of 17, 9, 5 and 3 pixels, halved in between."""
    found, now = [], list(pictures)
    for s in range(count):
        n = 2 ** (count - s) + 1
        t = np.arange(n) - n // 2
        line = np.exp(-0.5 * (t / (n / 5)) ** 2)
        window = np.outer(line, line) / line.sum() ** 2
        if s:
            now = [scipy.signal.fftconvolve(x, window, mode="valid")[::2, ::2] for x in now]
        if min(now[0].shape) < n:
            break
        found.append((window, now))
    return found


def vif(a: Array, f: Array, noise: float = 2.0) -> float:
    """Return VIF of the pixel domain, of F with reference A. `vif_sum`, which codes call VIFF, is the sum for both
    sources."""
    kept, there = 0.0, 0.0
    for window, (x, y) in _scales(_levels(a), _levels(f)):
        vx, vy, cov = _local(x, y, window)
        g, rest = _channel(vx, vy, cov)
        kept += float(np.log10(1 + g**2 * vx / (rest + noise)).sum())
        there += float(np.log10(1 + vx / noise).sum())
    return kept / there if there else 1.0


def viff(a: Array, b: Array, f: Array, noise: float = 0.005 * WHITE**2) -> float:
    """Return VIFF (Han, Cai, Cao, Xu, Information Fusion 2013), the scales weighted by fixed numbers.

    In each window the source that varies more is the reference.
    """
    total, weights = 0.0, 0.0
    for weight, (window, (x, y, z)) in zip(HAN, _scales(_levels(a), _levels(b), _levels(f))):
        va, vf, caf = _local(x, z, window)
        vb, _, cbf = _local(y, z, window)
        first = va >= vb
        vx, cov = np.where(first, va, vb), np.where(first, caf, cbf)
        g, rest = _channel(vx, vf, cov)
        with_distortion = float(np.log2(1 + g**2 * vx / (rest + noise)).sum())
        without = float(np.log2(1 + vx / noise).sum())
        total, weights = total + weight * (with_distortion / without if without else 1.0), weights + weight
    return total / weights if weights else math.nan


@dataclass(frozen=True)
class FusionMetric:
    """A metric of a fused picture has a title in tables, and may be better lower."""

    title: str
    lower: bool = False


METRICS = {
    "viff_han": FusionMetric("VIFF (Han 2013)"), "vif_sum": FusionMetric("VIF, sum of both"), "mi": FusionMetric("MI, bits, sum"),
    "ce": FusionMetric("CE, bits, mean", lower=True), "psnr": FusionMetric("PSNR, mean MSE"), "ssim_mean": FusionMetric("SSIM, mean"),
    "ssim_sum": FusionMetric("SSIM, sum"), "qabf": FusionMetric("Qabf"), "scd": FusionMetric("SCD"), "cc": FusionMetric("CC, mean"),
    "en": FusionMetric("EN, bits"), "sf": FusionMetric("SF"), "ag": FusionMetric("AG"), "sd": FusionMetric("SD"),
}  # fmt: skip


def listed(figures: Mapping[str, float]) -> str:
    """Return a line for each of METRICS, and one for the share of pixels that are not valid, "filled", if there are any."""
    lines = [
        f"{metric.title:18} {figures[name]:9.4f}  {'lower' if metric.lower else 'higher'} is better"
        for name, metric in METRICS.items()
    ]
    if figures["filled"]:
        lines.append(f"{figures['filled']:.1%} of the pixels are not valid and were made alike in all three")
    return "\n".join(lines)


def evaluate(a: Array, b: Array, f: Array) -> dict[str, float]:
    """Return all of METRICS, by name. Raises ValueError where shapes differ."""
    if not a.shape == b.shape == f.shape:
        raise ValueError(f"pictures of {a.shape}, {b.shape} and {f.shape}: all three must be of one size")
    alike = similarity(a, f), similarity(b, f)
    return {
        "viff_han": viff(a, b, f), "vif_sum": vif(a, f) + vif(b, f),
        "mi": mutual_information(a, f) + mutual_information(b, f),
        "ce": 0.5 * (cross_entropy(a, f) + cross_entropy(b, f)), "psnr": psnr_of_fusion(a, b, f),
        "ssim_mean": 0.5 * sum(alike), "ssim_sum": sum(alike), "qabf": edge_transfer(a, b, f),
        "scd": sum_of_correlations_of_differences(a, b, f), "cc": correlation(a, b, f), "en": entropy(f),
        "sf": spatial_frequency(f), "ag": average_gradient(f), "sd": deviation(f),
    }  # fmt: skip
