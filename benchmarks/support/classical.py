"""What restorekit is measured against: scikit-image and, for denoising, BM3D. Settings are tuned on training pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from skimage import restoration, transform

from benchmarks.support.common import RESULTS, centre, training_pictures
from benchmarks.support.tasks import Case, cases
from restorekit.bench.peers.peer_bm3d import denoised
from restorekit.files.picture import write_text
from restorekit.metrics.fidelity import psnr


def _last(x: np.ndarray) -> np.ndarray:
    return np.moveaxis(x.astype(np.float64), 0, -1)


def _first(x: np.ndarray) -> np.ndarray:
    return np.moveaxis(x, -1, 0)


def tv(noisy: np.ndarray, weight: float) -> np.ndarray:
    """Total variation (Chambolle) on (C, H, W)."""
    out = restoration.denoise_tv_chambolle(_last(noisy), weight, max_num_iter=300, channel_axis=-1)
    return _first(np.asarray(out))


def nlm(noisy: np.ndarray, sigma: float, h: float, patch: int) -> np.ndarray:
    """Non-local means on (C, H, W); the noise level is given."""
    if len(noisy) == 1:  # scikit-image takes the axis of a single band away
        return restoration.denoise_nl_means(noisy[0].astype(np.float64), patch, 9, h * sigma, sigma=sigma)[None]
    out = restoration.denoise_nl_means(_last(noisy), patch, 9, h * sigma, sigma=sigma, fast_mode=True, channel_axis=-1)
    return _first(out)


def bm3d(noisy: np.ndarray, sigma: float) -> np.ndarray:
    """(Colour) BM3D on (C, H, W); the noise level is given."""
    try:
        return denoised(noisy, sigma)
    except ImportError:
        raise SystemExit("bm3d is not installed; `pip install bm3d`, or leave it out with --no-bm3d") from None


def _deconvolved(case: Case, method: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """Band by band, with a mirrored margin: these methods know no reflecting boundary and would ring at the edges."""
    assert case.kernel is not None
    h, w = case.kernel.shape
    margin = ((h, h), (w, w))
    out = [
        method(np.pad(band, margin, "symmetric"), case.kernel.astype(np.float64)) for band in case.y.astype(np.float64)
    ]
    return np.stack([band[h:-h, w:-w] for band in out])


def wiener(case: Case, balance: float) -> np.ndarray:
    return _deconvolved(case, lambda y, k: np.asarray(restoration.wiener(y, k, balance, clip=False)))


def richardson_lucy(case: Case, iterations: int) -> np.ndarray:
    return _deconvolved(
        case, lambda y, k: restoration.richardson_lucy(y, k, iterations, clip=False, filter_epsilon=1e-6)
    )


def bicubic(case: Case) -> np.ndarray:
    size = case.truth.shape
    return np.asarray(transform.resize(case.y.astype(np.float64), size, order=3, mode="symmetric", anti_aliasing=False))


def biharmonic(case: Case) -> np.ndarray:
    assert case.mask is not None
    return _first(restoration.inpaint_biharmonic(_last(case.y), ~case.mask, channel_axis=-1))


Method = Callable[..., np.ndarray]

# name -> (function of a case and its settings, grid of settings)
METHODS: dict[str, dict[str, tuple[Method, Sequence[dict[str, Any]]]]] = {
    "denoise": {
        "tv": (
            lambda c, scale: tv(c.y, scale * c.sigma),
            [{"scale": s} for s in (0.25, 0.35, 0.45, 0.55, 0.7, 0.85, 1.0, 1.2)],
        ),
        "nlm": (
            lambda c, h, patch: nlm(c.y, c.sigma, h, patch),
            [{"h": h, "patch": p} for p in (5, 7) for h in (0.2, 0.3, 0.4, 0.5, 0.6, 0.75)],
        ),
    },
    "deblur": {
        "wiener": (wiener, [{"balance": b} for b in (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3)]),
        "richardson-lucy": (richardson_lucy, [{"iterations": n} for n in (5, 10, 15, 20, 30, 50, 80)]),
    },
    "upscale4": {"bicubic": (bicubic, [{}])},
    "inpaint80": {"biharmonic": (biharmonic, [{}])},
    "box": {"biharmonic": (biharmonic, [{}])},
    "colorize": {"grey": (lambda c: np.repeat(c.y, len(c.truth), 0), [{}])},
}


def methods(task: str) -> dict[str, tuple[Method, Sequence[dict[str, Any]]]]:
    return METHODS[task.split("-")[0]]


def tuned(task: str, method: str, pictures: int = 8) -> dict[str, Any]:
    """The settings with the best mean PSNR on training pictures, remembered in results/classical.json."""
    function, grid = methods(task)[method]
    if len(grid) == 1:
        return grid[0]
    path = RESULTS / "classical.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    key = f"{task} {method}"
    if key not in known:
        chosen = [(n, centre(x, 128)) for n, x in training_pictures(pictures)]
        trials = [case for _, case in cases(task, chosen)]
        quality = [
            float(np.mean([psnr(function(c, **settings).clip(0, 1), c.truth) for c in trials])) for settings in grid
        ]
        best = int(np.argmax(quality))
        known[key] = {"settings": grid[best], "psnr": round(quality[best], 2), "grid": len(grid), "chosen": best}
        write_text(path, json.dumps(known, indent=1, sort_keys=True) + "\n")
    return known[key]["settings"]


def classical(case: Case, method: str) -> np.ndarray:
    """The restored picture (C, H, W) of a classical method with tuned settings, not clipped."""
    function, _ = methods(case.task)[method]
    return function(case, **tuned(case.task, method))
