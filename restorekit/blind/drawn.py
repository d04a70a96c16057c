"""What is drawn of the picture behind a blurred one, and how it is compared with what was measured."""

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
    """(C, H, W) where all of the kernel lies on x."""
    return scipy.signal.fftconvolve(x, kernel[None], mode="valid", axes=(1, 2))


def window(shape: tuple[int, ...]) -> Array:
    """(H, W), towards 0 at the frame, where draws know least; what is weighed by it twice has Hann's weights."""
    return np.sqrt(np.outer(np.hanning(shape[-2] + 2)[1:-1], np.hanning(shape[-1] + 2)[1:-1]))
