"""Blur kernels come in files: pictures, arrays, tables, and the variables of MATLAB and NumPy archives."""

from __future__ import annotations

import os
import zipfile
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from restorekit.errors import BadInput
from restorekit.files.atomic import one_line
from restorekit.files.formats import CONVERTED, FORMATS, KNOWN, READ_ONLY
from restorekit.files.reading import Reading
from restorekit.files.session import opened
from restorekit.files.stored import PathLike, check_source, stored_values

ARCHIVES = (".npz", ".mat")
KINDS = f"{KNOWN}, .npz:key, .mat:key, .csv, .txt"
MOST = 2**24  # entries of a kernel: as many as a picture of 4096x4096 has
LEAST_SUM = 0.01  # of a kernel, as a share of the sum of magnitudes: below it is a derivative, and no blur
NEGATIVE = 1e-4  # share of the weight that is no rounding
_ALIKE = 0.1  # of the largest value: what JPEG makes of grey stays below
_LUMA = np.array([0.299, 0.587, 0.114])


def read_kernel(path: PathLike) -> np.ndarray:
    """Return a blur kernel (h, w) float32 of sum 1 from a picture (colour: its luma), .npy, `file.npz:key`,
    `file.mat:key`, .csv or .txt.

    What is blurred is a convolution with it, and its centre is at (h // 2, w // 2), as in scipy.ndimage. Negative
    lobes, as of antialiased bicubic and Lanczos filters, are kept. Raises BadInput for entries that are not finite, a
    sum that is not positive, an origin in the corner (`origin_in_corner`), other shapes, or a key that is not there.
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
    elif suffix in (*FORMATS, *READ_ONLY, *(s for suffixes, _ in CONVERTED.values() for s in suffixes)):
        kernel = kernel_pixels(source)
    else:
        raise BadInput(f"{name}: unknown kernel file {suffix!r}; known: {KINDS}")
    return _checked(name, kernel)


def _checked(name: str, kernel: np.ndarray) -> np.ndarray:
    if kernel.dtype.kind not in "biuf" or kernel.ndim != 2 or not kernel.size:
        raise BadInput(f"{name}: {kernel.dtype} of shape {kernel.shape} is no kernel; give real numbers (h, w)")
    kernel = kernel.astype(np.float64)
    if not np.isfinite(kernel).all():
        raise BadInput(f"{name}: a kernel needs finite entries (no NaN); fill them first")
    total, weight = kernel.sum(), np.abs(kernel).sum()
    if not (np.isfinite(weight) and total > LEAST_SUM * weight):
        what = "all zero" if not weight else f"of sum {total:.3g}, where the magnitudes have {weight:.3g}"
        raise BadInput(f"{name}: a kernel of a blur has a positive sum, and this one is {what}; give the blur itself")
    if origin_in_corner(kernel):
        raise BadInput(
            f"{name}: its weight lies around the corner (0, 0), as code with FFTs stores kernels, and the centre of a kernel "
            "is (h // 2, w // 2); save np.fft.fftshift(k), or, where it is meant so, put zeros around it"
        )
    return (kernel / total).astype(np.float32)


def origin_in_corner(kernel: np.ndarray) -> bool:
    """Return True where a kernel (h, w) is stored with its origin at (0, 0), wrapping around.

    It is where it wraps, and the distances of its weight from the corner, around the edges, are less than half as large
    (root mean square) as those from the centre.
    """
    weight = np.abs(np.asarray(kernel, np.float64))
    sides = [np.arange(n) for n in weight.shape]
    middle = [(i - len(i) // 2) ** 2 for i in sides]
    corner = [np.minimum(i, len(i) - i) ** 2 for i in sides]
    far, near = (float((weight * (r[0][:, None] + r[1])).sum()) for r in (middle, corner))
    wraps = any((weight.sum(1 - axis)[i > len(i) // 2]).sum() > 0.02 * weight.sum() for axis, i in enumerate(sides))
    return bool(wraps and near < far / 4)


def kernel_notes(name: str, kernel: Any, seen: bool = False) -> list[str]:
    """Return what a user may not expect of a kernel (h, w), as read, a line each: where its centre is taken, where its
    weight lies; seen: that of a blur of light, which has no negative entries."""
    kernel = np.asarray(kernel, np.float64)
    notes, shape = [], kernel.shape
    if any(n % 2 == 0 for n in shape):
        here, there = tuple(n // 2 for n in shape), tuple((n - 1) // 2 for n in shape)
        notes.append(
            f"{name} is {shape[0]}x{shape[1]}; of an even side the middle lies between two entries, and the centre is taken at "
            f"{here}, counted from 0, as in scipy.ndimage; scipy.signal, torch and kornia take {there}, and the result then "
            "lies one pixel off"
        )
    weight = np.abs(kernel)
    means = [float((weight.sum(1 - axis) * np.arange(n)).sum() / weight.sum()) for axis, n in enumerate(shape)]
    off = [mean - n // 2 for mean, n in zip(means, shape)]
    if any(abs(o) > max(2.0, n / 4) for o, n in zip(off, shape)):
        notes.append(
            f"the weight of {name} lies {off[0]:+.1f} rows and {off[1]:+.1f} columns from its centre; the result is moved as far"
        )
    if seen and (below := float(weight[kernel < 0].sum() / weight.sum())) > NEGATIVE:
        notes.append(
            f"{name} has negative entries, {below:.1%} of its weight, which no lens and no shake has; unless the picture was sharpened or "
            "resized by it, they are errors of how it was found: save np.maximum(k, 0)"
        )
    return notes


def kernel_file(text: str) -> Path | None:
    """Return the file that a kernel by its name or path is read from; None where there is none."""
    file, _ = _parts(text)
    return file if file.suffix and file.is_file() else None


def kernel_pixels(path: Path) -> np.ndarray:
    """Return the values of a picture, (h, w) where it has one band, or three alike, of which the luma is taken.

    Raises BadInput where the three differ.
    """
    # Three axes are no kernel, whatever they are; who reads a kernel says what is wrong with it.
    kernel, _, info = stored_values(path, True, Reading(layout="HWC"))
    if len(kernel) == 1 and info.get("layout", "HW") == "HW":
        return kernel[0]
    if len(kernel) != 3 or "axes" in info:
        return kernel
    shapes = kernel / np.maximum(np.abs(kernel).max((1, 2), keepdims=True), np.finfo(float).tiny)  # a tint is none
    if np.ptp(shapes, axis=0).max() > _ALIKE:
        raise BadInput(
            f"{path}: its bands differ, as of a photograph, and a kernel is grey; save one band: magick {path} -channel G -separate kernel.png"
        )
    return np.tensordot(_LUMA, kernel, 1)


def _parts(name: str) -> tuple[Path, str]:
    """Return (file, variable) of `file.npz:variable`."""
    for suffix in ARCHIVES:
        stem, colon, key = name.partition(f"{suffix}:")
        if colon:
            return Path(stem + suffix), key
    return Path(name), ""


def _archived(source: Path, key: str) -> np.ndarray:
    """Return one variable: only the one asked for is unpacked, and none that is too large for a kernel by its header."""
    return _in_npz(source, key) if source.suffix.lower() == ".npz" else _in_mat(source, key)


def _in_npz(source: Path, key: str) -> np.ndarray:
    with zipfile.ZipFile(source) as archive:
        names = [n.removesuffix(".npy") for n in archive.namelist()]
        with archive.open(f"{_variable(source, key, names)}.npy") as member:
            version = np.lib.format.read_magic(member)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            _check_size(source, header(member)[0])
        with archive.open(f"{_variable(source, key, names)}.npy") as member:
            return np.lib.format.read_array(member, allow_pickle=False)


def _in_mat(source: Path, key: str) -> np.ndarray:
    from scipy.io import loadmat, whosmat

    shapes = {name: shape for name, shape, _ in whosmat(source)}
    numbers = ("double", "single", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "logical")
    if not key:  # a file of a benchmark often holds the pictures, too
        kinds = {name: kind for name, _, kind in whosmat(source)}
        small = {n: s for n, s in shapes.items() if kinds[n] in numbers and len(s) == 2 and np.prod(s) > 1}
        shapes = small or shapes
    name = _variable(source, key, list(shapes))
    _check_size(source, shapes[name])
    return loadmat(source, variable_names=[name])[name]


def _check_size(source: Path, shape: tuple[int, ...]) -> None:
    if np.prod(shape, dtype=np.float64) > MOST:
        raise BadInput(f"{source}: an array of shape {shape} is too large for a kernel; give one of at most 4096x4096")


def _variable(source: Path, key: str, found: list[str]) -> str:
    if not key and len(found) == 1:
        return found[0]
    if key not in found:
        what = f"no kernel {key!r}" if key else f"{len(found)} variables"
        raise BadInput(f"{source}: {what}; write {source.name}:KEY, KEY one of {', '.join(found)}")
    return key


def _table(source: Path) -> np.ndarray:
    text = source.read_text(encoding="utf-8-sig")
    return np.loadtxt(StringIO(text), delimiter=next((mark for mark in ",;" if mark in text), None), ndmin=2)
