"""Point spread functions by name: `gaussian:SIGMA`, `motion:LENGTH:ANGLE`, `disc:RADIUS` (defocus), `uniform:SIZE`, or a file.

A blurred picture is the convolution with its kernel, whose centre is at (h // 2, w // 2): `scipy.ndimage.convolve`. One that
was made for a correlation (`imfilter` of MATLAB, `filter2D` of OpenCV, `conv2d` of torch) is to be turned by 180 degrees.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.files.kernel_files import kernel_file, kernel_notes, read_kernel
from restorekit.files.kernel_grid import kernel_grid_files

NAMES = "gaussian:SIGMA, motion:LENGTH:DEGREES, disc:RADIUS, uniform:SIZE or a file (PNG, TIFF, NPY, NPZ:key, MAT:key, CSV, TXT)"
SEARCHED = ("auto", "estimate")  # kernels that are to be found in the picture


def is_searched(kernel: object) -> bool:
    """Return True where a setting says that the kernel is to be found in the picture."""
    return isinstance(kernel, str) and kernel.lower() in SEARCHED


def _numbers(text: str, values: list[str], counts: tuple[int, ...]) -> list[float]:
    try:
        numbers = [float(v) for v in values]
    except ValueError:
        raise BadInput(f"kernel {text!r}: {values} are not numbers; use {NAMES}") from None
    if len(numbers) not in counts or not all(math.isfinite(n) for n in numbers) or numbers[0] <= 0:
        raise BadInput(f"kernel {text!r} is not understood; use {NAMES}")
    return numbers


def _odd(text: str, size: float) -> int:
    if size != int(size) or int(size) % 2 == 0:
        raise BadInput(f"kernel {text!r}: the length must be an odd number of pixels; try {2 * int(size / 2) + 1}")
    return int(size)


def notes(text: str, seen: bool = True) -> list[str]:
    """Return what a user may not expect of a kernel that comes from a file, or of the first such of a folder of them: where its
    centre is taken, where its weight lies, and, of a blur that was `seen`, that it has negative entries."""
    if os.path.isdir(text):
        each = (kernel_notes(os.fspath(path), read_kernel(path), seen) for path in kernel_grid_files(text).values())
        return next(filter(None, each), [])
    return [] if kernel_file(text) is None else kernel_notes(text, kernel(text), seen)


def _gaussian(sigma: float, even: bool = False) -> Tensor:
    """Return a Gaussian out to four sigma. kornia has the same to the bit (tests/text), and takes a second to import."""
    reach = math.ceil(4 * sigma) + 0.5 * even
    x = torch.arange(2 * reach + 1, dtype=torch.float32) - reach
    one = torch.exp(-x.square() / (2 * torch.tensor(sigma).square()))
    return (one / one.sum())[:, None] * (one / one.sum())


def kernel(text: str, even: bool = False) -> Tensor:
    """Return a kernel (h, w) float32, sum 1. Angles are in degrees, counter-clockwise from the x axis; sigma and
    lengths in pixels. even: of a Gaussian alone, with even sides, whose middle lies between pixels.

    Raises `BadInput` for an unknown name, numbers that cannot be, and a file that is no kernel.
    """
    name, *values = text.split(":")
    if name == "gaussian":
        (sigma,) = _numbers(text, values, (1,))
        return _gaussian(sigma, even)
    if name == "motion":
        from kornia.filters import get_motion_kernel2d

        length, angle = [*_numbers(text, values, (1, 2)), 0.0][:2]
        size = _odd(text, length)
        return torch.ones(1, 1) if size == 1 else get_motion_kernel2d(max(3, size), angle, mode="bilinear")[0]
    if name == "disc":
        from restorekit.blind.families import disc

        (radius,) = _numbers(text, values, (1,))
        return torch.from_numpy(disc(radius)).float()
    if name == "uniform":
        size = _odd(text, _numbers(text, values, (1,))[0])
        return torch.full((size, size), 1 / size**2)
    if ".npz:" not in text and not Path(text).suffix:
        raise BadInput(f"kernel {text!r} is not understood; use {NAMES}")
    return torch.from_numpy(read_kernel(text))
