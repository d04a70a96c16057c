"""This module makes pictures smaller as libraries do: rows and columns by a matrix each, which gives an exact SVD.

A measured pixel i sits at (i + 1/2) s - 1/2 of the picture, s the picture pixels from one measured pixel to the next: centres of
pixels lie on centres of areas, in every library here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from restorekit.operators.base import Lattice, Shape
from restorekit.operators.separable import Separable

Array = NDArray[Any]
AUTO = "auto"
EXACT = "exact"
LARGEST = 1 << 29  # weights of an axis
BEYOND = 1e-9  # of a pixel: what a side may miss a whole number by

# The filters of each library. All of one line are equal to the library on floats, borders included (tests/operators/test_resize.py).
FILTERS: dict[str, tuple[str, ...]] = {
    "pillow": ("bicubic", "lanczos", "bilinear", "box"),
    "torch": ("bicubic", "bilinear", "area"),
    "torch-antialias": ("bicubic", "bilinear"),
    "opencv": ("bicubic", "lanczos", "bilinear", "area"),
    "skimage": ("bicubic", "bilinear"),
    "matlab": ("bicubic", "lanczos", "bilinear"),
    EXACT: ("area",),
}
# Libraries that take a factor as well as a size, and how they round a side that it does not divide.
_ROUNDED: dict[str, Callable[[float], int]] = {
    "torch": lambda side: math.floor(side + BEYOND),
    "torch-antialias": lambda side: math.floor(side + BEYOND),
    "opencv": round,
    "matlab": lambda side: math.ceil(side - BEYOND),
    EXACT: lambda side: math.ceil(side - BEYOND),
}
_UNDONE: dict[Any, Callable[[float], int]] = {
    "torch": lambda side: math.ceil(side - BEYOND),
    "torch-antialias": lambda side: math.ceil(side - BEYOND),
    "matlab": lambda side: math.floor(side + BEYOND),
    EXACT: lambda side: math.floor(side + BEYOND),
}


def _cubic(a: float) -> Callable[[Array], Array]:
    """Return the kernel of cubic convolution (Keys, IEEE TASSP 29, 1981), with its slope `a` at 1."""

    def kernel(x: Array) -> Array:
        x = np.abs(x)
        near, far = (a + 2) * x**3 - (a + 3) * x**2 + 1, a * (x**3 - 5 * x**2 + 8 * x - 4)
        return np.where(x < 1, near, np.where(x < 2, far, 0.0))

    return kernel


def _lanczos(lobes: int) -> Callable[[Array], Array]:
    return lambda x: np.where(np.abs(x) < lobes, np.sinc(x) * np.sinc(x / lobes), 0.0)


def _triangle(x: Array) -> Array:
    return np.maximum(1 - np.abs(x), 0.0)


def _box(x: Array) -> Array:
    return np.where((x > -0.5) & (x <= 0.5), 1.0, 0.0)


_SMOOTH = {
    "bicubic": (_cubic(-0.5), 2.0),
    "lanczos": (_lanczos(3), 3.0),
    "bilinear": (_triangle, 1.0),
    "box": (_box, 0.5),
}
_SHARP = {"bicubic": (_cubic(-0.75), 2), "lanczos": (_lanczos(4), 4), "bilinear": (_triangle, 1)}


def _normalised(weights: Array) -> Array:
    return weights / weights.sum(1, keepdims=True)


def _gathered(index: Array, weights: Array, n: int) -> Array:
    """Return (m, n): weights (m, k) of the pixels `index` (m, k), added where one is taken twice."""
    rows = np.broadcast_to(np.arange(len(index))[:, None], index.shape)
    matrix = np.zeros((len(index), n))
    np.add.at(matrix, (rows, index.astype(int)), weights)
    return matrix


def _window(at: Array, reach: float) -> Array:
    """Return (m, k): the pixels up to `reach` from each place of `at` (m,), and one more on either side."""
    return np.floor(at - reach)[:, None] + np.arange(math.ceil(2 * reach) + 2)


@dataclass(frozen=True)
class ResizedAxis:
    """One axis of a resizer: `n` picture pixels become `m`, which lie `scale` of them apart."""

    n: int
    m: int
    scale: float
    filter: str
    like: str

    @property
    def places(self) -> Array:
        """Return (m,): where measured pixels lie, in picture pixels from the centre of the first."""
        return (np.arange(self.m) + 0.5) * self.scale - 0.5

    def matrix(self) -> Array:
        """Return the weights (m, n); each row sums to 1."""
        if self.filter == "area":
            return {"torch": self._pooled, "opencv": self._opencv_area}.get(self.like, self._area)()
        if self.like == "skimage":
            return self._skimage()
        if self.like in ("torch", "opencv"):
            kernel, taps = _SHARP[self.filter]
            index = _window(self.places, taps)
            weights = kernel(self.places[:, None] - index)
            return _normalised(_gathered(index.clip(0, self.n - 1), weights, self.n))
        return self._antialiased()

    def _antialiased(self) -> Array:
        """Stretch the kernel by the scale: pixels beyond the frame count for nothing, or, of MATLAB, are mirrored."""
        (kernel, reach), wide = _SMOOTH[self.filter], max(self.scale, 1.0)
        index = _window(self.places, reach * wide)
        # As Pillow rounds it, which decides where an edge of a box lies on the centre of a pixel.
        middle = (np.arange(self.m)[:, None] + 0.5) * self.scale
        weights = kernel((index - middle + 0.5) * (1 / wide))
        if self.like == "matlab":
            around = index % (2 * self.n)
            index = np.minimum(around, 2 * self.n - 1 - around)
        else:
            first, end = (np.floor(middle + side * reach * wide + 0.5).clip(0, self.n) for side in (-1, 1))
            weights = np.where((index >= first) & (index < end), weights, 0.0)
        return _normalised(_gathered(index.clip(0, self.n - 1), weights, self.n))

    def _area(self) -> Array:
        ends = np.arange(self.m + 1) * self.scale
        pixels = np.arange(self.n)
        over = np.minimum(ends[1:, None], pixels + 1) - np.maximum(ends[:-1, None], pixels)
        return _normalised(over.clip(min=0))

    def _pooled(self) -> Array:
        """Return adaptive pooling: every pixel that an area touches counts the same."""
        i = np.arange(self.m)
        first, end = i * self.n // self.m, -(-(i + 1) * self.n // self.m)
        pixels = np.arange(self.n)
        return _normalised(((pixels >= first[:, None]) & (pixels < end[:, None])).astype(float))

    def _opencv_area(self) -> Array:
        """Return `_area` without parts of less than a thousandth of a pixel, which OpenCV leaves out."""
        start = np.arange(self.m)[:, None] * self.scale
        end = np.minimum(start + self.scale, self.n)
        pixels = np.arange(self.n)
        over = np.minimum(end, pixels + 1) - np.maximum(start, pixels)
        return over * (over > 1e-3) / np.minimum(self.scale, self.n - start)

    def _skimage(self) -> Array:
        """Return a Gaussian of deviation (s - 1) / 2, then a spline of order 1 or 3; the picture is mirrored about its
        first and last pixel."""

        def mirrored(index: Array) -> Array:
            period = max(2 * (self.n - 1), 1)
            around = index % period
            return np.minimum(around, period - around)

        sigma = max(0.0, (self.scale - 1) / 2)
        smooth = np.eye(self.n)
        if sigma > 0:
            offsets = np.arange(-int(4 * sigma + 0.5), int(4 * sigma + 0.5) + 1)
            taps = np.exp(-0.5 * (offsets / sigma) ** 2)
            index = mirrored(np.arange(self.n)[:, None] + offsets)
            smooth = _gathered(index, np.broadcast_to(taps / taps.sum(), index.shape), self.n)
        order = 1 if self.filter == "bilinear" else 2
        index = _window(self.places, order)
        offset = np.abs(self.places[:, None] - index)
        if self.filter == "bilinear":
            return _gathered(mirrored(index), _triangle(offset), self.n) @ smooth
        spline = _gathered(mirrored(index), _b_spline(offset), self.n)
        if self.n == 1:
            return spline @ smooth
        near = np.arange(self.n)[:, None] + np.arange(-1, 2)
        values = _gathered(mirrored(near), np.broadcast_to([1 / 6, 4 / 6, 1 / 6], near.shape), self.n)
        bands = np.zeros((3, self.n))
        bands[0, 1:], bands[1], bands[2, :-1] = values.diagonal(1), values.diagonal(), values.diagonal(-1)
        return spline @ scipy.linalg.solve_banded((1, 1), bands, smooth)


def _b_spline(x: Array) -> Array:
    """Return the cubic B-spline at distances x."""
    return np.where(x < 1, (4 - 6 * x**2 + 3 * x**3) / 6, np.where(x < 2, (2 - x.clip(max=2)) ** 3 / 6, 0.0))


@lru_cache(maxsize=16)
def _weights(axis: ResizedAxis) -> Tensor:
    return torch.from_numpy(axis.matrix())


def library(filter_: str, like: str = AUTO) -> str:
    """Return the library whose `filter_` is meant: for "auto" Pillow, and for area exact means, as no library has them alone.

    Raises ValueError for a filter or a library that is not known, or do not go together.
    """
    if like == AUTO:
        like = EXACT if filter_ == "area" else "pillow"
    known = list(dict.fromkeys(name for names in FILTERS.values() for name in names))
    if filter_ not in known:
        raise ValueError(f"filter={filter_!r} is unknown; it is {' or '.join(known)}")
    if like not in FILTERS:
        raise ValueError(f"like={like!r} is unknown; it is {AUTO} or {' or '.join(FILTERS)}")
    if filter_ not in FILTERS[like]:
        raise ValueError(f"like={like} has no filter={filter_}; it has {' and '.join(FILTERS[like])}")
    return like


def _possible(factor: float) -> None:
    if not 0 < factor < math.inf:
        raise ValueError(f"factor={factor:g} must be above 0")


@dataclass(frozen=True, eq=False)
class Resize(Separable):
    """Make a picture of another size: y is (B, C, *size), as a library makes it from floats.

    size: (h, w) of the measurement. factor: picture pixels from one measured pixel to the next, where the library was given that
    and not the size; None: sides of the picture over those of the measurement, an axis each. filter: "bicubic", "lanczos",
    "bilinear", "box", "area". like: the library, a key of `FILTERS`; "auto": Pillow, and exact means for "area".

    Bicubic of "pillow" is that of torch with antialias too (cubic convolution, a = -1/2, stretched by the factor, renormalised at
    the border) and, but for the mirrored border, that of MATLAB; "torch" and "opencv" (a = -3/4) smooth nothing, "skimage" is a
    Gaussian and a B-spline. Values beyond black and white, which most filters make at edges, are kept.

    Raises ValueError for a side below 1, a factor that does not fit the size, and a filter that the library has not.
    """

    size: tuple[int, int]
    factor: float | None = None
    filter: str = "bicubic"
    like: str = AUTO

    def __post_init__(self) -> None:
        like = library(self.filter, self.like)
        if min(self.size) < 1 or len(self.size) != 2:
            raise ValueError(f"size={'x'.join(map(str, self.size))} must be two numbers, 1 or more")
        if max(n * m for n, m in zip(self.image_shape[1:], self.size)) > LARGEST:
            sides, small = ("x".join(map(str, s)) for s in (self.image_shape[1:], self.size))
            raise ValueError(
                f"{sides} pixels made {small} are too many to be resized in one; take a factor nearer to 1"
            )
        if self.factor is None:
            return
        _possible(self.factor)
        if like not in _ROUNDED:
            raise ValueError(f"like={like} takes no factor, only a size")
        _fits(self.image_shape[1:], self.factor, self.size, like)

    @classmethod
    def image_shape_for(
        cls,
        measured: Shape,
        *,
        factor: float | None = None,
        size: Sequence[int] | None = None,
        filter: str = "bicubic",
        like: str = AUTO,
        **_: Any,
    ) -> Shape:
        """Return the shape of `measured` with the sides `size` (H, W), or else its own times the factor, 2 by default.

        A side that the library would have rounded to that of `measured` is taken, the nearest to the factor. Raises ValueError
        where size and factor do not fit.
        """
        like = library(filter, like)
        factor = 2.0 if factor is None and size is None else factor
        if factor is not None:
            _possible(factor)
        if size is None and factor is not None:
            undone = _UNDONE.get(like, round)
            size = [max(1, undone(side * factor)) for side in measured[1:]]
        elif size is not None and (len(size) != 2 or min(size) < 1):
            raise ValueError(f"size={'x'.join(map(str, size))} must be two numbers, 1 or more")
        elif size is not None and factor is not None:
            _fits(size, factor, measured[1:], like)
        assert size is not None
        return (measured[0], size[0], size[1])

    @classmethod
    def size_for(cls, image_shape: Shape, factor: float, filter: str = "bicubic", like: str = AUTO) -> tuple[int, int]:
        """Return the size (h, w) of the measurement of a picture of `image_shape`, as the library rounds it; Pillow and
        scikit-image take sizes alone, which are rounded to the nearest."""
        _possible(factor)
        rounded = _ROUNDED.get(library(filter, like), round)
        h, w = (max(1, rounded(side / factor)) for side in image_shape[1:])
        return h, w

    @classmethod
    def of(
        cls,
        image_shape: Shape,
        size: tuple[int, int],
        factor: float | None = None,
        filter: str = "bicubic",
        like: str = AUTO,
    ) -> Resize:
        """Return the resizer, the factor left out where the library takes none.

        Raises ValueError where factor and size do not fit, as the class does.
        """
        taken = library(filter, like)
        if factor is not None:
            _possible(factor)
            _fits(image_shape[1:], factor, size, taken)
        return cls(image_shape, size, factor if taken in _ROUNDED else None, filter, like)

    @property
    def _axes(self) -> tuple[ResizedAxis, ResizedAxis]:
        like = library(self.filter, self.like)
        rows, columns = (
            ResizedAxis(n, m, n / m if self.factor is None else self.factor, self.filter, like)
            for n, m in zip(self.image_shape[1:], self.size)
        )
        return rows, columns

    def to(self, *args: Any, **kwargs: Any) -> Resize:
        """Return the operator itself: it holds no tensors, and what it has found of its SVD is kept."""
        return self

    @property
    def weights(self) -> tuple[Tensor, Tensor]:
        rows, columns = (_weights(axis) for axis in self._axes)
        return rows, columns

    @property
    def smooths(self) -> bool:
        """Return True where each picture pixel counts for a measured one, as far as they are apart; torch without antialias and
        most of OpenCV see a few near the middle of it alone."""
        return library(self.filter, self.like) not in ("torch", "opencv") or self.filter not in _SHARP

    def estimate(self, y: Tensor) -> Tensor:
        """Return cubic interpolation of y (B, C, h, w) as (B, C, H, W) where most pixels were not seen, which least squares would
        leave at the mean; else the damped least squares of all operators."""
        if self.smooths:
            return super().estimate(y)
        return torch.nn.functional.interpolate(y, self.image_shape[1:], mode="bicubic", align_corners=False)

    @property
    def text(self) -> str:
        """Return the settings in text, with factor and sides of the picture, from which the same operator can be made again."""
        (height, width), (h, w) = self.image_shape[1:], self.size
        factor = self.factor or (height / h if height * w == width * h else None)
        told = "" if factor is None else f"factor={int(factor) if factor == int(factor) else factor},"
        return f"resize:{told}filter={self.filter},like={library(self.filter, self.like)},size={height}x{width}"

    @property
    def lattice(self) -> Lattice:
        rows, columns = ((axis.scale, (axis.scale - 1) / 2) for axis in self._axes)
        return rows, columns


def _fits(picture: Sequence[int], factor: float, size: Sequence[int], like: str) -> None:
    rounded = _ROUNDED.get(like)
    fits = (
        rounded(n / factor) == m if rounded else abs(n / factor - m) < 1 for n, m in zip(picture, size, strict=True)
    )
    if not all(fits):
        sides, small = ("x".join(map(str, s)) for s in (picture, size))
        raise ValueError(f"size={sides} with factor={factor:g} does not give {small} pixels as {like} rounds them")
