"""Whether the distances that a codec is trained with rank distortions as they should.

Three questions, on crops of the classic test pictures. Does a distance grow with every step of one distortion? Does it
rank different ones as SSIM does? And at one mean squared error, does it find a picture of other brightness or contrast
nearer than a blurred, noisy or JPEG one, as people do (Wang et al., IEEE Trans. Image Processing 2004, figure 2)?
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from io import BytesIO

import imageio.v3 as iio
import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr
from torch import Tensor

from benchmarks.support.common import CLASSIC, centre, classic, publish
from restorekit.metrics.fidelity import rmse, ssim
from restorekit.priors.perception.likeness import PriorDistance, gradient_distance
from restorekit.training.config import Loss

Distance = Callable[[np.ndarray, np.ndarray], float]
EQUAL = ("brightness", "contrast", "blur", "noise", "JPEG 10")


def jpeg(x: np.ndarray, quality: int) -> np.ndarray:
    raw = iio.imwrite(
        "<bytes>", np.rint(255 * x.transpose(1, 2, 0)).astype(np.uint8), extension=".jpg", quality=quality
    )
    return np.asarray(iio.imread(BytesIO(raw), extension=".jpg"), np.float32).transpose(2, 0, 1) / 255


def blur(x: np.ndarray, sigma: float) -> np.ndarray:
    return gaussian_filter(x, (0, sigma, sigma))


def enlarged(x: np.ndarray, factor: int) -> np.ndarray:
    t = torch.from_numpy(x)[None]
    small = torch.nn.functional.interpolate(t, scale_factor=1 / factor, mode="bicubic", antialias=True)
    return torch.nn.functional.interpolate(small, size=x.shape[1:], mode="bicubic")[0].numpy()


def families(x: np.ndarray, rng: np.random.Generator) -> dict[str, list[np.ndarray]]:
    """Each distortion from weak to strong."""
    noise = rng.standard_normal(x.shape, np.float32)
    return {
        "blur": [blur(x, s) for s in (0.5, 0.8, 1.2, 2, 3)],
        "noise": [x + s * noise for s in (0.01, 0.02, 0.05, 0.1, 0.2)],
        "JPEG": [jpeg(x, q) for q in (95, 80, 60, 40, 20, 10)],
        "shrunk": [enlarged(x, f) for f in (2, 4, 8)],
    }


def equal_error(x: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Distortions of one root mean squared error, that of JPEG at quality 10."""
    coded = jpeg(x, 10)
    error = rmse(coded, x)
    low, high = 0.0, 50.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if rmse(blur(x, middle), x) < error else (low, middle)
    noise = rng.standard_normal(x.shape).astype(np.float32)
    spread = x - x.mean()
    return {
        "brightness": x + (error if x.mean() < 0.5 else -error),
        "contrast": x - spread * error / np.sqrt(np.square(spread).mean()),
        "blur": blur(x, low),
        "noise": x + noise * error / np.sqrt(np.square(noise).mean()),
        "JPEG 10": coded,
    }


def distances() -> dict[str, Distance]:
    prior, weights = PriorDistance.shipped(), Loss()

    def on_tensors(distance: Callable[[Tensor, Tensor], Tensor]) -> Distance:
        return lambda x, truth: float(distance(*(torch.from_numpy(np.ascontiguousarray(p))[None] for p in (x, truth))))

    parts: dict[str, Distance] = {
        "L1": on_tensors(lambda x, t: (x - t).abs().mean()),
        "gradients": on_tensors(gradient_distance),
        "prior distance": on_tensors(prior.between),
    }
    sums = zip(parts.values(), (weights.l1, weights.gradient, weights.perceptual))
    used = list(sums)
    return parts | {
        "their sum": lambda x, t: sum(w * d(x, t) for d, w in used),
        "1 - SSIM": lambda x, t: 1 - ssim(x, t),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--limit", type=int, default=6, help="pictures of each set")
    args = parser.parse_args()
    pictures = [centre(x, args.crop, 8) for name in CLASSIC for _, x in classic(name, args.limit)]
    measure, order, rank, nearer, levels = distances(), {}, {}, {}, {}
    for number, x in enumerate(pictures):
        rng = np.random.default_rng(number)
        distorted, equal = families(x, rng), equal_error(x, rng)
        structure = [1 - ssim(y, x) for family in distorted.values() for y in family]
        for name, distance in measure.items():
            values = {k: [distance(y, x) for y in family] for k, family in distorted.items()}
            for k, v in values.items():
                order.setdefault((name, k), []).extend(a < b for a, b in zip(v, v[1:]))
            rank.setdefault(name, []).append(spearmanr([v for family in values.values() for v in family], structure)[0])
            same = {k: distance(y, x) for k, y in equal.items()}
            worst = min(same[k] for k in ("blur", "noise", "JPEG 10"))
            nearer.setdefault(name, []).append([same["brightness"] < worst, same["contrast"] < worst])
            levels.setdefault(name, []).append([same[k] for k in EQUAL])
    kinds = ("blur", "noise", "JPEG", "shrunk")
    steps = [(n, *(f"{np.mean(order[n, k]):.3f}" for k in kinds), f"{np.mean(rank[n]):.3f}") for n in measure]
    share = [(n, *(f"{v:.2f}" for v in np.mean(nearer[n], 0))) for n in measure]
    ratio = [(n, *(f"{v:.2f}" for v in np.mean(levels[n], 0) / np.mean(levels[n], 0)[-1])) for n in measure]
    weights = Loss()
    note = (
        f"{len(pictures)} pictures of {', '.join(CLASSIC)}, centre crops of {args.crop}. Prior distance: features of "
        f"`{PriorDistance.shipped().features.label}`, not LPIPS. Their sum: weights {weights.l1:g}, {weights.gradient:g} "
        f"and {weights.perceptual:g}, the defaults of the loss section."
    )
    growing = "Share of steps to a stronger distortion at which the distance grows, and rank correlation with 1 - SSIM"
    nearest = "At equal squared error: share of pictures in which the change is nearer than blur, noise and JPEG"
    tables = [
        (growing, ("distance", *kinds, "correlation"), steps),
        (nearest, ("distance", "brightness", "contrast"), share),
        ("At equal squared error: the mean distance over that of JPEG", ("distance", *EQUAL), ratio),
    ]
    publish("likeness", "Distances that a codec is trained with", tables, [note])


if __name__ == "__main__":
    main()
