"""A folder of blur kernels says how a blur changes over the picture."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from restorekit.errors import BadInput
from restorekit.files.kernel_files import read_kernel
from restorekit.files.stored import PathLike

MOST = 32  # rows, and columns, of a grid: each kernel costs two FFTs of the picture a product
_NAME = re.compile(r"(?:.*\D)?(\d+)_(\d+)$")


def kernel_grid_files(folder: PathLike) -> dict[tuple[int, int], Path]:
    """Return the file of each (row, column) of a folder of kernels named by them, as `0_0.png`, or `k_0_0.npy`.

    Rows count from the top and columns from the left, from 0 or from 1. Raises `BadInput` where names repeat or one is
    missing.
    """
    found: dict[tuple[int, int], Path] = {}
    for path in sorted(Path(folder).iterdir()):
        name = None if path.name.startswith(".") or not path.is_file() else _NAME.match(path.stem)
        if name is None:
            continue
        at = int(name[1]), int(name[2])
        if at in found:
            raise BadInput(
                f"{folder}: {found[at].name} and {path.name} are both row {at[0]}, column {at[1]}; leave one out"
            )
        found[at] = path
    if not found:
        raise BadInput(f"{folder}: no kernels named by row and column, as 0_0.png, 0_1.png, 1_0.png, 1_1.png")
    least = min(min(at) for at in found)
    found = {(i - least, j - least): path for (i, j), path in found.items()}
    rows, columns = (1 + max(at[axis] for at in found) for axis in (0, 1))
    if least > 1 or max(rows, columns) > MOST:
        raise BadInput(f"{folder}: rows and columns are counted from 0 or 1, {MOST} of each at most")
    for i, j in np.ndindex(rows, columns):
        if (i, j) not in found:
            raise BadInput(
                f"{folder}: a grid of {rows}x{columns} kernels lacks row {i + least}, column {j + least}; add the file {i + least}_{j + least}.png"
            )
    return found


def read_kernel_grid(folder: PathLike) -> np.ndarray:
    """Return the kernels (rows, columns, h, w) float32 of a folder, each of sum 1, with zeros around those smaller than the
    largest.

    Their files are those of `kernel_grid_files`, each as of `read_kernel`; row 0, column 0 is that of the top left part of
    the picture. Raises `BadInput` for what is no kernel, and for a grid with holes.
    """
    kernels = {at: read_kernel(path) for at, path in kernel_grid_files(folder).items()}
    rows, columns = (1 + max(at[axis] for at in kernels) for axis in (0, 1))
    # Odd sides, so that a kernel of an even side keeps its centre (h // 2, w // 2).
    h, w = (2 * max(k.shape[axis] // 2 for k in kernels.values()) + 1 for axis in (0, 1))
    grid = np.zeros((rows, columns, h, w), np.float32)
    for (i, j), k in kernels.items():
        top, left = h // 2 - k.shape[0] // 2, w // 2 - k.shape[1] // 2
        grid[i, j, top : top + k.shape[0], left : left + k.shape[1]] = k
    return grid
