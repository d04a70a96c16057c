"""Blur kernels in files: pictures, arrays, tables, and the variables of MATLAB and NumPy archives."""

from __future__ import annotations

import os
from io import StringIO
from pathlib import Path

import numpy as np

from restorekit.errors import BadInput
from restorekit.files.atomic import one_line
from restorekit.files.picture import FORMATS, KNOWN, PathLike, check_source, kernel_pixels
from restorekit.files.session import opened

ARCHIVES = (".npz", ".mat")
KNOWN = f"{KNOWN}, .npz:key, .mat:key, .csv, .txt"


def read_kernel(path: PathLike) -> np.ndarray:
    """Blur kernel (h, w) float32 of sum 1 from a picture (colour: its luma), .npy, `file.npz:key`, `file.mat:key`, .csv or .txt.

    BadInput for negative or non-finite entries, an all-zero kernel, other shapes, or a key that is not there.
    """
    name = os.fspath(path)
    source, key = _parts(name)
    suffix = source.suffix.lower()
    if suffix in (*ARCHIVES, ".csv", ".txt"):
        check_source(source)
        opened(source)
        try:
            kernel = _archived(source, key) if suffix in ARCHIVES else _table(source)
        except BadInput:
            raise
        except NotImplementedError:  # what SciPy says of MATLAB 7.3, which is HDF5
            raise BadInput(f"{name}: MATLAB 7.3; save it with -v7, or the kernel as .csv") from None
        except Exception as error:
            raise BadInput(f"{name}: no readable kernel, it may be damaged ({one_line(error)})") from error
    elif suffix in FORMATS:
        kernel = kernel_pixels(source)
    else:
        raise BadInput(f"{name}: unknown kernel file {suffix!r}; known: {KNOWN}")
    if kernel.dtype.kind not in "biuf" or kernel.ndim != 2 or not kernel.size:
        raise BadInput(f"{name}: {kernel.dtype} of shape {kernel.shape} is no kernel; give real numbers (h, w)")
    kernel = kernel.astype(np.float64)
    if not np.isfinite(kernel).all() or kernel.min() < 0 or not 0 < kernel.sum() < np.inf:
        raise BadInput(f"{name}: a kernel needs finite entries >= 0 (no NaN), not all zero; clip or fill it first")
    return (kernel / kernel.sum()).astype(np.float32)


def kernel_file(text: str) -> Path | None:
    """The file that a kernel by its name or path is read from, where there is one."""
    file, _ = _parts(text)
    return file if file.suffix and file.is_file() else None


def _parts(name: str) -> tuple[Path, str]:
    """(file, variable) of `file.npz:variable`."""
    for suffix in ARCHIVES:
        stem, colon, key = name.partition(f"{suffix}:")
        if colon:
            return Path(stem + suffix), key
    return Path(name), ""


def _archived(source: Path, key: str) -> np.ndarray:
    if source.suffix.lower() == ".npz":
        with np.load(source, allow_pickle=False) as archive:
            return _variable(source, key, {name: archive[name] for name in archive.files})
    from scipy.io import loadmat

    found = {k: v for k, v in loadmat(source).items() if not k.startswith("__")}
    if not key:  # a file of a benchmark often holds the pictures, too
        small = {k: v for k, v in found.items() if v.dtype.kind in "biuf" and v.ndim == 2 and v.size > 1}
        found = small or found
    return _variable(source, key, found)


def _variable(source: Path, key: str, found: dict[str, np.ndarray]) -> np.ndarray:
    if not key and len(found) == 1:
        return next(iter(found.values()))
    if key not in found:
        what = f"no kernel {key!r}" if key else f"{len(found)} variables"
        raise BadInput(f"{source}: {what}; write {source.name}:KEY, KEY one of {', '.join(found)}")
    return found[key]


def _table(source: Path) -> np.ndarray:
    text = source.read_text(encoding="utf-8-sig")
    return np.loadtxt(StringIO(text), delimiter=next((mark for mark in ",;" if mark in text), None), ndmin=2)
