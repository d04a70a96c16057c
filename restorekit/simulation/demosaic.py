"""Plain demosaicing, as a simulated camera does it: linear filters of the values of a mosaic."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

_CROSS = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4
_SQUARE = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
# Malvar, He and Cutler, "High-quality linear interpolation for demosaicing of Bayer-patterned color images", ICASSP 2004, fig 2.
_GREEN = np.array([[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]]) / 8
_ROW = np.array([[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]]) / 8
_DIAGONAL = (
    np.array([[0, 0, -1.5, 0, 0], [0, 2, 0, 2, 0], [-1.5, 0, 6, 0, -1.5], [0, 2, 0, 2, 0], [0, 0, -1.5, 0, 0]]) / 8
)


def bilinear(y: Array, colours: NDArray[np.intp]) -> Array:
    """Return (3, H, W) of a mosaic y (H, W), each colour the mean of the nearest pixels that see it; colours (H, W) as of
    `sites`, of a Bayer pattern.

    The edge is mirrored about its pixels, which keeps the pattern.
    """
    from scipy import ndimage

    kernels = (_SQUARE, _CROSS, _SQUARE)
    return np.stack([ndimage.convolve(np.where(colours == c, y, 0.0), k, mode="mirror") for c, k in enumerate(kernels)])


def malvar(y: Array, colours: NDArray[np.intp]) -> Array:
    """Return (3, H, W) of a mosaic y (H, W) by linear filters of 5 x 5 that take detail from all colours (Malvar, He and
    Cutler 2004); colours (H, W) as of `sites`, of a Bayer pattern."""
    from scipy import ndimage

    green, row, column, diagonal = (ndimage.convolve(y, k, mode="mirror") for k in (_GREEN, _ROW, _ROW.T, _DIAGONAL))
    of_red = (colours == 0).any(1)[:, None]  # rows that have red
    at_green = colours == 1
    out = np.empty((3, *y.shape), y.dtype)
    out[1] = np.where(at_green, y, green)
    for own, other, beside in ((0, 2, of_red), (2, 0, ~of_red)):
        out[own] = np.where(colours == own, y, np.where(colours == other, diagonal, np.where(beside, row, column)))
    return out


DEMOSAIC = {"bilinear": bilinear, "malvar": malvar}
