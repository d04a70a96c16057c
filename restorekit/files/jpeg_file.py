"""This module reads what a JPEG file holds before it is decoded: quantised DCT coefficients, their steps, and how chroma was averaged.

jpeglib (extra `jpeg`) reads the coefficients. Without it they are found in the planes that Pillow decodes, where steps are coarse
enough to tell one from the next: the decoder's enlargement of chroma is undone, its rounding to bytes is not.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files import decode
from restorekit.files.formats import content_of
from restorekit.files.orientation import TAG, as_shown, as_stored, valid
from restorekit.files.quiet import unwarned

EXTRA = "pip install 'restorekit[jpeg]'"
COARSE = (
    3  # steps, of all coefficients, from which on they can be told from decoded pixels: up to quality 87 of libjpeg
)
UNSURE = 3.0  # times as wide a bin, of blocks whose pixels stop at black or white, where planes tell less
_BLOCK = 8
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class StoredJPEG:
    """The coefficients of a JPEG, component by component: `levels` (rows, columns, 8, 8) of blocks, integers, `steps` (8, 8),
    their unit in values of 0 to 255, and `unsure` (rows, columns), True where a block tells less (`UNSURE`).

    size: (H, W) as stored. sampling: (rows, columns) of pixels whose mean a value of each component is. colour: "ycc" or "none".
    orientation: of EXIF, 1 to 8. exact: whether levels are those of the file, or told from decoded planes; they are no integers
    then where steps are too fine for that (`COARSE`).
    """

    size: tuple[int, int]
    sampling: tuple[tuple[int, int], ...]
    colour: Literal["ycc", "none"]
    orientation: int
    levels: tuple[NDArray[Any], ...]
    steps: tuple[NDArray[Any], ...]
    unsure: tuple[NDArray[np.bool_], ...]
    exact: bool

    @property
    def filled(self) -> tuple[NDArray[np.bool_], ...]:
        """Return (rows, columns) of each component, True for blocks that reach beyond the picture: an encoder fills them as it likes."""
        found = []
        for levels, halved in zip(self.levels, self.sampling):
            ends = [np.arange(1, n + 1) * _BLOCK * a > side for n, a, side in zip(levels.shape, halved, self.size)]
            found.append(ends[0][:, None] | ends[1])
        return tuple(found)

    @property
    def binned(self) -> bool:
        """Return True where levels are integers."""
        return self.exact or min(float(s.min()) for s in self.steps) >= COARSE

    @property
    def lossless(self) -> bool:
        """Return True where nothing was lost but by rounding, as of pixels: every step is 1, and chroma is whole."""
        return all(float(s.max()) == 1 for s in self.steps) and set(self.sampling) == {(1, 1)}

    @property
    def colourless(self) -> bool:
        """Return True for three components of which both of chroma are 0 throughout: a grey picture, written as one of colours."""
        return (
            self.colour == "ycc" and len(self.levels) == 3 and not any(np.abs(v).max() >= 0.5 for v in self.levels[1:])
        )

    @property
    def widths(self) -> tuple[NDArray[Any], ...]:
        """Return the width of each bin, like `levels`, in values of 0 to 255."""
        return tuple(s * np.where(u, UNSURE, 1.0)[..., None, None] for s, u in zip(self.steps, self.unsure))

    def window(self, box: tuple[int, int, int, int]) -> tuple[StoredJPEG, tuple[int, int]]:
        """Return (the part of whole blocks that holds a box TOP, LEFT, HEIGHT, WIDTH of the stored pixels, where in it the box begins)."""
        unit = [_BLOCK * max(s[axis] for s in self.sampling) for axis in (0, 1)]
        first = [start // n for start, n in zip(box[:2], unit)]
        last = [-(-(start + side) // n) for start, side, n in zip(box[:2], box[2:], unit)]
        size = [min(b * n, whole) - a * n for a, b, n, whole in zip(first, last, unit, self.size)]
        per = [[n // (_BLOCK * s) for n, s in zip(unit, sampling)] for sampling in self.sampling]
        at = [tuple(slice(a * n, b * n) for a, b, n in zip(first, last, each)) for each in per]
        levels, unsure = (tuple(v[where] for v, where in zip(values, at)) for values in (self.levels, self.unsure))
        part = replace(self, size=(size[0], size[1]), levels=levels, unsure=unsure)
        return part, (box[0] - first[0] * unit[0], box[1] - first[1] * unit[1])

    def window_shown(
        self, box: tuple[int, int, int, int], shown: tuple[int, int]
    ) -> tuple[StoredJPEG, tuple[int, int, int, int]]:
        """Return (the part that holds a box of the picture as shown, (H, W) `shown`, the box within that part as shown)."""
        top, left, height, width = box
        marked = np.zeros(shown, bool)
        marked[top : top + height, left : left + width] = True
        rows, columns = (np.flatnonzero(as_stored(marked, self.orientation).any(axis)) for axis in (1, 0))
        part, (y, x) = self.window((rows[0], columns[0], len(rows), len(columns)))
        marked = np.zeros(part.size, bool)
        marked[y : y + len(rows), x : x + len(columns)] = True
        rows, columns = (np.flatnonzero(as_shown(marked, self.orientation).any(axis)) for axis in (1, 0))
        return part, (int(rows[0]), int(columns[0]), height, width)


def read_jpeg(path: Path) -> StoredJPEG:
    """Return what the JPEG `path` holds. Raises BadInput for another kind of file, and for components that are neither grey
    nor three colours."""
    if (kind := content_of(path)) != "JPEG":
        raise BadInput(
            f"{path}: its content is {kind or 'unknown'}, which has no tables of a JPEG; give the JPEG itself, before anything "
            "was changed, or take `denoise`"
        )
    data = path.read_bytes()
    with unwarned(), decode.opened(path, data, ["JPEG"]) as image:
        layers = [tuple(layer) for layer in image.layer]  # type: ignore[attr-defined]
        tables = {n: np.array(t, np.float64).reshape(_BLOCK, _BLOCK) for n, t in image.quantization.items()}  # type: ignore[attr-defined]
        info, size = dict(image.info), (image.height, image.width)
        orientation = valid(image.getexif().get(TAG))
    if len(layers) not in (1, 3):
        name = shlex.quote(str(path))
        raise BadInput(
            f"{path}: a JPEG of {len(layers)} components (CMYK) is not read; convert it: magick {name} -colorspace sRGB "
            f"{shlex.quote(path.stem + '_rgb.png')}, and take `denoise`"
        )
    most = [max(layer[axis] for layer in layers) for axis in (2, 1)]
    if any(top % layer[axis] for layer in layers for top, axis in zip(most, (2, 1))):
        raise BadInput(f"{path}: chroma is halved by no whole number; take `denoise`")
    # One component is never interleaved, whatever factors it states.
    sampling = tuple((most[0] // layer[2], most[1] // layer[1]) for layer in layers) if len(layers) > 1 else ((1, 1),)
    colour = _colours(layers, info)
    missing = [layer[3] for layer in layers if layer[3] not in tables]
    if missing:
        raise BadInput(f"{path}: its quantisation table {missing[0]} is missing; take `denoise`")
    steps = tuple(tables[layer[3]] for layer in layers)
    levels = _stored_levels(path, sampling, size)
    if levels is not None:
        sure = tuple(np.zeros(v.shape[:2], bool) for v in levels)
        return StoredJPEG(size, sampling, colour, orientation, levels, steps, sure, True)
    return _from_planes(data, size, sampling, colour, orientation, steps)


def _colours(layers: list[tuple[int, ...]], info: dict[str, Any]) -> Literal["ycc", "none"]:
    """Return how components are coded, by the rules of libjpeg: a JFIF marker, that of Adobe, then the names of components."""
    if len(layers) == 1:
        return "none"
    if "jfif" in info:
        return "ycc"
    if "adobe" in info:
        return "none" if info.get("adobe_transform") == 0 else "ycc"
    return "none" if [layer[0] for layer in layers] == [82, 71, 66] else "ycc"


def _stored_levels(
    path: Path, sampling: tuple[tuple[int, int], ...], size: tuple[int, int]
) -> tuple[NDArray[Any], ...] | None:
    """Return the levels by jpeglib; None where it is not installed or cannot read the file."""
    if importlib.util.find_spec("jpeglib") is None:
        return None
    try:
        with unwarned():
            found = importlib.import_module("jpeglib").read_dct(str(path))
            levels = [np.array(v, np.int64) for v in (found.Y, found.Cb, found.Cr) if v is not None]
    except Exception:  # noqa: BLE001 (whatever it raises: Pillow has decoded the file)
        return None
    grids = [_grid(size, s) for s in sampling]
    if len(levels) != len(grids) or any(v.shape[:2] < g for v, g in zip(levels, grids)):
        return None
    return tuple(v[: g[0], : g[1]] for v, g in zip(levels, grids))


def _grid(size: tuple[int, int], sampling: tuple[int, int]) -> tuple[int, int]:
    return -(-size[0] // (_BLOCK * sampling[0])), -(-size[1] // (_BLOCK * sampling[1]))


def _from_planes(
    data: bytes, size: tuple[int, int], sampling: tuple[tuple[int, int], ...], colour: Literal["ycc", "none"],
    orientation: int, steps: tuple[NDArray[Any], ...],
) -> StoredJPEG:  # fmt: skip
    """Return the levels that the decoded planes tell, unsure where they stop at black or white."""
    from PIL import Image
    from scipy.fft import dctn

    mode = "L" if len(sampling) == 1 else "YCbCr" if colour == "ycc" else "RGB"
    with unwarned(), Image.open(io.BytesIO(data)) as image:
        image.draft(mode, image.size)
        planes = np.moveaxis(np.atleast_3d(np.asarray(image, np.float64)), -1, 0)
    levels, all_unsure = [], []
    fine = min(float(s.min()) for s in steps) < COARSE
    for plane, halved, step in zip(planes, sampling, steps):
        for axis in (0, 1):
            plane = _reduced(plane, halved[axis], axis)
        rows, columns = _grid(size, halved)
        more = (rows * _BLOCK - plane.shape[0], columns * _BLOCK - plane.shape[1])
        plane = np.pad(plane, ((0, more[0]), (0, more[1])), mode="edge")
        blocks = plane.reshape(rows, _BLOCK, columns, _BLOCK).swapaxes(1, 2)
        found = dctn(blocks - 128, axes=(2, 3), norm="ortho") / step
        levels.append(found if fine else np.rint(found).astype(np.int64))
        unsure = ((blocks <= 0) | (blocks >= 255)).any((2, 3))
        unsure[rows - 1 :] |= more[0] > 0  # what fills a block is not known from the pixels of the picture
        unsure[:, columns - 1 :] |= more[1] > 0
        all_unsure.append(unsure)
    return StoredJPEG(size, sampling, colour, orientation, tuple(levels), steps, tuple(all_unsure), False)


def _reduced(plane: NDArray[Any], factor: int, axis: int) -> NDArray[Any]:
    """Return a component as it was before a decoder enlarged it: for a factor of 2 by weights of 3/4 and 1/4 (libjpeg), else by
    repetition."""
    from scipy.linalg import solve_banded

    x = np.moveaxis(plane, axis, 0)
    if factor == 1:
        return plane
    count = -(-len(x) // factor)
    if factor != 2:
        starts = np.arange(0, len(x), factor)
        means = np.add.reduceat(x, starts, axis=0) / np.diff(starts, append=len(x))[:, None]
        return np.moveaxis(means, 0, axis)
    right = np.stack([x[0::2][:count], x[1::2][:count]] if len(x) % 2 == 0 else [x[0::2], np.vstack([x[1::2], x[-1:]])])
    bands = np.tile(np.array([[1.0], [6.0], [1.0]]) / 8, (1, count))
    values = right.mean(0)
    bands[1, 0] = bands[1, -1] = 7 / 8 if count > 1 else 1.0
    if len(x) % 2:  # of the last one only the pixel (3, 1) / 4 on the inner side is there
        values[-1] = x[-1]
        bands[1, -1], bands[2, max(count - 2, 0)] = (3 / 4, 1 / 4) if count > 1 else (1.0, 0.0)
    return np.moveaxis(solve_banded((1, 1), bands, values), 0, axis)
