"""Fidelity tells how close a restored picture is to the truth, and how white a residual is. Arrays (C, H, W) in,
floats out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from restorekit.errors import BadInput


def _pair(x: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, truth = np.asarray(x, np.float64), np.asarray(truth, np.float64)
    if x.shape != truth.shape:
        raise BadInput(
            f"the picture is {x.shape}, the truth {truth.shape}; compare pictures of one size and band count"
        )
    if x.ndim != 3 or not x.size:
        raise BadInput(f"pictures of shape {x.shape} cannot be compared; give (C, H, W)")
    return x, truth


def mae(x: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean absolute error, in the unit of the pictures (C, H, W). Raises `BadInput` where their shapes
    differ."""
    x, truth = _pair(x, truth)
    return float(np.abs(x - truth).mean())


def rmse(x: np.ndarray, truth: np.ndarray) -> float:
    """Return the root of the mean squared error, in the unit of the pictures (C, H, W). Raises `BadInput` where their
    shapes differ."""
    x, truth = _pair(x, truth)
    return float(np.sqrt(np.square(x - truth).mean()))


def psnr(x: np.ndarray, truth: np.ndarray, data_range: float = 1.0) -> float:
    """Return the peak signal-to-noise ratio in dB over all bands of pictures (C, H, W); inf for equal pictures,
    nothing is clipped.

    data_range: black to white, in the unit of the pictures. Raises `BadInput` where their shapes differ.
    """
    error = rmse(x, truth)
    return math.inf if error == 0 else 20 * (math.log10(data_range) - math.log10(error))


def ssim(x: np.ndarray, truth: np.ndarray, data_range: float = 1.0, valid: np.ndarray | None = None) -> float:
    """Return the structural similarity of Wang et al. 2004 (Gaussian window, sigma 1.5), at most 1, mean over bands of
    (C, H, W).

    The mean leaves out a border of half the 11-pixel window. A side under 11 pixels has no such inside: the border is
    then half the largest odd window that fits, and the Gaussian sees mirrored pixels beyond it. valid (H, W): pixels
    that count; a window with any other is left out. Raises `BadInput` where none is left, or the shapes of the pictures
    differ.
    """
    from scipy.ndimage import minimum_filter
    from skimage.metrics import structural_similarity

    x, truth = _pair(x, truth)
    if valid is not None:
        x, truth = (np.where(valid, v, 0) for v in (x, truth))  # small pictures: a window sees them all the same
    short = min(11, *x.shape[1:])
    window = short - 1 + short % 2
    found: Any = structural_similarity(
        x,
        truth,
        full=True,
        win_size=window,
        data_range=data_range,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=0,
    )
    value, each = found
    if valid is None:
        return float(np.mean(value))
    whole = minimum_filter(valid, window, mode="constant", cval=0)
    if not whole.any():
        raise BadInput(
            f"no window of {window}x{window} pixels is without no data; leave out ssim (`names=psnr,mae,rmse`)"
        )
    return float(each[:, whole].mean())


def spread_skill(samples: np.ndarray, truth: np.ndarray) -> float:
    """Return the spread of samples (N, C, H, W) over the error of their mean: 1 where truth and samples are alike,
    whatever N.

    Root mean variance times sqrt(1 + 1/N), over the RMSE of the mean (Fortin et al., J. Hydrometeorology 2014, eq 15).
    NaN for fewer than two samples. Below 1 they are too sure. Raises `BadInput` where the truth is not (C, H, W).
    """
    if len(samples) < 2:
        return math.nan
    spread = math.sqrt(float(samples.var(0, ddof=1, dtype=np.float64).mean()) * (1 + 1 / len(samples)))
    skill = rmse(samples.mean(0), truth)
    return spread / skill if skill > 0 else math.inf if spread > 0 else math.nan


def crps(samples: np.ndarray, truth: np.ndarray) -> float:
    """Return the continuous ranked probability score of samples (N, C, H, W), in the unit of the picture; lower is
    better.

    Mean over the values of E|x - truth| - E|x - x'| / 2, its fair form for N samples (Ferro, Q. J. R. Meteorol. Soc.
    2014): neither too narrow nor too wide samples can gain by it. The mean absolute error for one sample. truth: (C, H,
    W).
    """
    n, own = len(samples), samples.astype(np.float64)
    error = float(np.abs(own - truth[None]).mean())
    ordered = np.sort(own, axis=0)
    weights = (2 * np.arange(n) - n + 1).reshape(-1, *[1] * truth.ndim)
    return error if n < 2 else error - float((weights * ordered).sum(0).mean()) / (n * (n - 1))


def coverage(samples: np.ndarray, truth: np.ndarray, level: float = 0.9) -> float:
    """Return the share of the values of truth (C, H, W) inside the central interval of `level` that samples (N, C, H,
    W) predict.

    Student's prediction interval, value by value: its expected share is `level` for any N where truth and samples are
    drawn from one Gaussian. NaN for fewer than two samples. Raises `BadInput` where the truth has another shape.
    """
    if len(samples) < 2:
        return math.nan
    return interval_coverage(samples.mean(0), samples.std(0, ddof=1, dtype=np.float64), len(samples), truth, level)


def interval_coverage(mean: np.ndarray, std: np.ndarray, samples: int, truth: np.ndarray, level: float = 0.9) -> float:
    """`coverage` of so many samples of which only mean and std (C, H, W) are known; values that are NaN in any do not count."""
    from scipy.stats import t

    mean, truth = _pair(mean, truth)
    half = float(t.ppf((1 + level) / 2, samples - 1)) * math.sqrt(1 + 1 / samples) * std
    known = ~(np.isnan(mean) | np.isnan(half) | np.isnan(truth))
    return float((np.abs(truth - mean) <= half)[known].mean()) if known.any() else math.nan


def residual_whiteness(residual: np.ndarray, sigma: float | None = None) -> dict[str, float]:
    """Return how far a residual y - A x, (C, H, W), is from white noise, as figures by name.

    "lag_x" and "lag_y" are the correlations with the right and lower neighbour, in [-1, 1]: about 0 for white noise,
    with a spread of 1 / sqrt(pixels), above 0 where structure of the picture is left. "mean" and "std" are in the unit
    of the residual; "std_ratio", given the noise level `sigma` in that unit, is about 1 if the fit is right. Raises
    `BadInput` for a residual of another shape or with NaN, and for a sigma that is not above 0.
    """
    residual = np.asarray(residual, np.float64)
    if residual.ndim != 3 or not residual.size or not np.isfinite(residual).all():
        raise BadInput(f"a residual must be finite numbers (C, H, W), this one has shape {residual.shape}")
    if sigma is not None and not sigma > 0:
        raise BadInput(f"sigma={sigma}: the noise level must be above 0")
    rest = residual - residual.mean(axis=(1, 2), keepdims=True)
    # What rounding leaves of a constant is not structure.
    rest[np.abs(rest) < 1e-12 * np.abs(residual).max()] = 0

    def correlation(here: np.ndarray, neighbour: np.ndarray) -> float:
        scale = math.sqrt(float(np.square(here).sum()) * float(np.square(neighbour).sum()))
        return float((here * neighbour).sum()) / scale if scale > 0 else 0.0

    result = {
        "lag_x": correlation(rest[..., :-1], rest[..., 1:]),
        "lag_y": correlation(rest[:, :-1], rest[:, 1:]),
        "mean": float(residual.mean()),
        "std": float(np.sqrt(np.square(rest).mean())),
    }
    return result if sigma is None else {**result, "std_ratio": result["std"] / sigma}


def luma(x: np.ndarray) -> np.ndarray:
    """Return the Rec. 601 luma (1, H, W) of RGB (3, H, W), in the same range; one band comes back as it is. Raises
    `BadInput` for others."""
    x = np.asarray(x)
    if x.ndim != 3 or len(x) not in (1, 3):
        raise BadInput(f"luma needs (3, H, W) or (1, H, W), this is {x.shape}; pick three bands first")
    return x if len(x) == 1 else np.tensordot(np.array([[0.299, 0.587, 0.114]], np.result_type(x, np.float32)), x, 1)


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {"psnr": psnr, "ssim": ssim, "mae": mae, "rmse": rmse}


def known(names: Iterable[str] | None) -> list[str]:
    """Return the names of metrics, all of `METRICS` for None. Raises `BadInput` for an unknown one."""
    names = list(METRICS if names is None else names)
    if unknown := [name for name in names if name not in METRICS]:
        raise BadInput(f"unknown metric {', '.join(unknown)}; known: {', '.join(METRICS)}")
    return names


def compare(
    x: np.ndarray, truth: np.ndarray, names: Iterable[str] | None = None, valid: np.ndarray | None = None
) -> dict[str, float]:
    """Return the named metrics (default: all) of a picture (C, H, W) in [0, 1] against the truth, by name.

    valid (H, W): pixels that count, all where left out. Raises `BadInput` for an unknown name, shapes that differ, or
    no valid pixel.
    """
    names = known(names)
    if valid is None:
        return {name: METRICS[name](x, truth) for name in names}
    x, truth = _pair(x, truth)
    if not valid.any():
        raise BadInput("no pixel holds data in both; compare pictures that do")
    inside = x[:, valid][:, None], truth[:, valid][:, None]
    return {n: ssim(x, truth, valid=valid) if n == "ssim" else METRICS[n](*inside) for n in names}
