"""Two grey pictures (H, W) are fused without a model: others are compared with these, and begin from them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy
from numpy.typing import NDArray

Array = NDArray[np.floating]
Fusion = Callable[[Array, Array], Array]


def mean(o: Array, r: Array) -> Array:
    """Return the mean of both pictures."""
    return (o + r) / 2


def maximum(o: Array, r: Array) -> Array:
    """Return the larger value of both pictures."""
    return np.maximum(o, r)


def pca(o: Array, r: Array) -> Array:
    """Weight both pictures by their first principal component, of sum 1."""
    weights = np.abs(np.linalg.eigh(np.cov(o.ravel(), r.ravel()))[1][:, -1])
    return (weights[0] * o + weights[1] * r) / weights.sum()


def _power(x: Array, sigma: float) -> Array:
    return scipy.ndimage.gaussian_filter(np.square(x), sigma)


def _share(one: Array, other: Array) -> Array:
    """Return the share of the first, by powers that are 0 or more; half where both are 0."""
    total = one + other
    return np.divide(one, total, out=np.full_like(total, 0.5), where=total > 0)


def local_mean(o: Array, r: Array, sigma: float = 3.0) -> Array:
    """Weight each picture by its variance in the neighbourhood, a Gaussian of `sigma` pixels."""
    powers = [np.maximum(_power(x, sigma) - np.square(scipy.ndimage.gaussian_filter(x, sigma)), 0) for x in (o, r)]
    w = scipy.ndimage.gaussian_filter(_share(*powers), sigma)
    return w * o + (1 - w) * r


def _half(x: Array) -> Array:
    return scipy.ndimage.gaussian_filter(x, 1.0)[::2, ::2]


def _double(x: Array, shape: tuple[int, ...]) -> Array:
    """Enlarge bilinearly; pixel i goes to 2i, so that nothing moves."""
    at = np.meshgrid(*(np.arange(n) / 2 for n in shape), indexing="ij")
    return scipy.ndimage.map_coordinates(x, at, order=1, mode="nearest")


def pyramid(o: Array, r: Array, levels: int = 5, sharpness: float = 3.0) -> Array:
    """Take details of each scale from the picture where they are stronger, the rest by `local_mean`.

    A Laplacian pyramid (Burt, Kolczynski, ICCV 1993). Weights are those of the power in a Gaussian of 1 pixel to the
    `sharpness`: 1 blends, more selects. The result is held within the values of both; a level is left out where it
    would be smaller than 8 pixels.
    """
    low, high = min(o.min(), r.min()), max(o.max(), r.max())
    below = [(o, r)]
    while len(below) <= levels and min(below[-1][0].shape) >= 16:
        below.append((_half(below[-1][0]), _half(below[-1][1])))
    f = local_mean(*below[-1], sigma=1.0)
    for (fine_o, fine_r), (coarse_o, coarse_r) in zip(below[-2::-1], below[:0:-1]):
        detail = fine_o - _double(coarse_o, fine_o.shape), fine_r - _double(coarse_r, fine_r.shape)
        w = _share(*(_power(x, 1.0) ** sharpness for x in detail))
        f = _double(f, fine_o.shape) + w * detail[0] + (1 - w) * detail[1]
    return f.clip(low, high)
