"""`resized` carries over to a result with other pixels what a file says of its own: place on the map, mask, alpha, no data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.files.nodata import Empty
from restorekit.files.place import PLACE, Placement, placed

Size = tuple[int, ...]
Parts = tuple["NDArray[Any] | None", dict[str, Any], "Empty | None"]  # alpha, info and empty of a Picture


def resized(old: Size, new: Size, parts: Parts, grid: Placement | None) -> tuple[Parts, list[str]]:
    """Return (alpha, info, empty) of a picture of `old` pixels (H, W) for a result of `new` ones, and notes on how each
    is written.

    grid: where the pixels of the picture lie in the result, None where that is not known. Alpha, mask and pixels
    without data are enlarged by whole pixels, the last ones cut off where the result has fewer, or by the nearest pixel
    where steps are not whole; in a reduced picture a pixel has no data where any of those that it stands for has none.
    """
    if old == new:
        return parts, []
    alpha, info, empty = parts
    info, said = dict(info), list[str]()
    resize = None if grid is None else Blocks.between(old, new, grid) or Gathered.between(old, new, grid)
    if alpha is not None:
        said.append(f"written with its alpha {resize.word}" if resize else "written without alpha")
        alpha = resize and resize(alpha)
    if (mask := info.pop("mask", None)) is not None:
        said.append(f"written with its mask {resize.word}" if resize else "written without its mask")
        info |= {"mask": resize(mask)} if resize else {}
    if empty is not None:
        empty = resize and resize.empty(empty)
    if tags := info.get("tiff_tags"):
        if resize and grid is not None:
            info["tiff_tags"] = placed(tags, grid.stored(info.get("orientation", 1), old, new))
        elif any(tag[0] in PLACE for tag in tags):
            info["tiff_tags"] = [tag for tag in tags if tag[0] not in PLACE]
            said.append("written without its map coordinates")
    return (alpha, info, empty), said


def frame(old: Size, new: Size) -> Placement | None:
    """Return the placement of a picture of `old` pixels (H, W) in one of `new` pixels that shows the same frame.

    None where neither size is a whole multiple of the other.
    """
    steps = [n / o for n, o in zip(new, old)]
    return Placement.enlarged(*steps) if all(max(n, o) % min(n, o) == 0 for n, o in zip(new, old)) else None


@dataclass(frozen=True)
class Blocks:
    """Resampling by whole pixels to `size` (H, W): `larger` repeats each value over `times` pixels (rows, columns),
    else as many become one.
    """

    times: tuple[int, int]
    larger: bool
    size: Size

    @staticmethod
    def between(old: Size, new: Size, grid: Placement) -> Blocks | None:
        """Return the resampling from `old` to `new` pixels (H, W) by `grid`; None where sizes or steps do not fit."""
        steps = [grid.rows[0], grid.columns[0]]
        larger = min(steps) >= 1
        times = [step if larger else 1 / step for step in steps]
        small, large = (old, new) if larger else (new, old)
        whole = [round(t) for t in times]
        fits = all(abs(t - w) < 1e-9 and w >= 1 and s == -(-n // w) for t, w, s, n in zip(times, whole, small, large))
        return Blocks((whole[0], whole[1]), larger, new) if fits else None

    @property
    def word(self) -> str:
        return "enlarged" if self.larger else "reduced"

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return x (..., H, W) at `size`: each value repeated, or the smallest of those that become one."""
        return self._repeated(x) if self.larger else self._parts(x).min(-1)

    def empty(self, empty: Empty) -> Empty:
        """Return the pixels without data at `size`: in a smaller picture those that stand for any, with what the first
        of them holds.
        """
        whole = np.zeros((len(empty.held), *empty.where.shape), empty.held.dtype)
        whole[:, empty.where] = empty.held
        if self.larger:
            where = self._repeated(empty.where)
            return Empty(where, self._repeated(whole)[:, where], empty.value)
        parts = self._parts(empty.where, False)
        where, first = np.asarray(parts.any(-1)), parts.argmax(-1)[None, ..., None]
        held = np.take_along_axis(self._parts(whole), first, -1)[..., 0]
        return Empty(where, held[:, where], empty.value)

    def _repeated(self, x: NDArray[Any]) -> NDArray[Any]:
        rows, columns = self.times
        return x.repeat(rows, -2).repeat(columns, -1)[..., : self.size[0], : self.size[1]]

    def _parts(self, x: NDArray[Any], beyond: Any = None) -> NDArray[Any]:
        """Return (..., H, W, n), the n values that become one; beyond the edge the last one is repeated, or all is `beyond`."""
        (rows, columns), (height, width) = self.times, self.size
        margin = [(0, 0)] * (x.ndim - 2) + [(0, height * rows - x.shape[-2]), (0, width * columns - x.shape[-1])]
        x = np.pad(x, margin, "edge") if beyond is None else np.pad(x, margin, constant_values=beyond)
        blocks = x.reshape(*x.shape[:-2], height, rows, width, columns)
        return np.moveaxis(blocks, -3, -2).reshape(*x.shape[:-2], height, width, rows * columns)


@dataclass(frozen=True, eq=False)
class Gathered:
    """Resampling by steps that are not whole: a new pixel takes the nearest old one, or stands for all that it covers.

    rows, columns: (H, n) and (W, n), the old pixels of each new one.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    larger: bool

    @staticmethod
    def between(old: Size, new: Size, grid: Placement) -> Gathered | None:
        """Return the resampling from `old` to `new` pixels (H, W) by `grid`; None where both show different frames."""
        axes = list(zip(old, new, (grid.rows, grid.columns)))
        larger = min(step for _, _, (step, _) in axes) >= 1
        for n, m, (step, start) in axes:
            room = max(step, 1.0) + 1e-9
            if (step >= 1) != larger or abs(m - n * step) > room or abs(start - (step - 1) / 2) > room:
                return None
        rows, columns = (_covered(n, m, step, start) for n, m, (step, start) in axes)
        return Gathered(rows, columns, larger)

    @property
    def word(self) -> str:
        return "enlarged" if self.larger else "reduced"

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return x (..., H, W) for the new pixels: the smallest of the values that become one."""
        return self._parts(x).min(-1)

    def empty(self, empty: Empty) -> Empty:
        """Return the new pixels that stand for any without data, with what the first of those holds."""
        whole = np.zeros((len(empty.held), *empty.where.shape), empty.held.dtype)
        whole[:, empty.where] = empty.held
        parts = self._parts(empty.where)
        where, first = np.asarray(parts.any(-1)), parts.argmax(-1)[None, ..., None]
        held = np.take_along_axis(self._parts(whole), first, -1)[..., 0]
        return Empty(where, held[:, where], empty.value)

    def _parts(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return (..., H, W, n), the n values that become one, some of them twice."""
        found = x[..., self.rows[:, :, None, None], self.columns]
        return np.moveaxis(found, -3, -2).reshape(*x.shape[:-2], len(self.rows), len(self.columns), -1)


def _covered(n: int, m: int, step: float, start: float) -> NDArray[np.intp]:
    """Return (m, k): of `n` old pixels of an axis, which lie at `start + step i`, those that each of `m` new ones covers."""
    at = (np.arange(m) - start) / step
    if step >= 1:
        return np.floor(at + 0.5 + 1e-9).astype(np.intp).clip(0, n - 1)[:, None]
    half = 0.5 / step - 1e-6
    first, last = np.floor(at - half + 0.5), np.floor(at + half + 0.5)
    index = np.minimum(first[:, None] + np.arange(int((last - first).max()) + 1), last[:, None])
    return index.astype(np.intp).clip(0, n - 1)
