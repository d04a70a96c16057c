"""Pictures drawn behind a blurred one are compared with what was measured."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy
from numpy.typing import NDArray

Array = NDArray[np.float64]
Draw = Callable[
    [Array, Array, int], Array
]  # (y, kernel, number) -> x from p(x | y), larger than y by the kernel less one


def blurred(x: Array, kernel: Array) -> Array:
    """Return x blurred, (C, H, W) where all of the kernel lies on it."""
    return scipy.signal.fftconvolve(x, kernel[None], mode="valid", axes=(1, 2))


def window(shape: tuple[int, ...]) -> Array:
    """Return weights (H, W), towards 0 at the frame, where draws know least; squared they are Hann's."""
    return np.sqrt(np.outer(np.hanning(shape[-2] + 2)[1:-1], np.hanning(shape[-1] + 2)[1:-1]))
