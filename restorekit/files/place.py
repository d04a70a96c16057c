"""`placed` rewrites the place that the tags of a TIFF give: tie points, an affine matrix, rational polynomial
coefficients (RPCs).

Tags are (code, type, count, value, True), as tifffile takes them. Tie points and the matrix count from the corner of
the first pixel, or from its centre where the file says that its values are of points (GeoTIFF 1.1, section 7.1.2;
GTRasterTypeGeoKey); RPCs count from its centre.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from restorekit.files.orientation import mirrored_rows_columns

SCALE, TIE_POINTS, MATRIX, KEYS, RPC = 33550, 33922, 34264, 34735, 50844
PLACE = (SCALE, TIE_POINTS, MATRIX, KEYS, 34736, 34737, RPC)
_RASTER_TYPE, _POINT = 1025, 2
_LINE, _SAMPLE = 2, 3  # offsets among the 92 numbers of the tag of RPCs; scales are 5 further on

Tag = tuple[Any, ...]


@dataclass(frozen=True)
class Placement:
    """An affine map from the pixels of one raster to those of another: (step, start) of rows and of columns.

    The centre of pixel i of the first lies at `start + step * i` of the second, counted from the centre of the second's
    first pixel.
    """

    rows: tuple[float, float]
    columns: tuple[float, float]

    @staticmethod
    def part(top: int, left: int) -> Placement:
        """Return the placement of a raster in its part that begins at pixel (top, left)."""
        return Placement((1.0, float(-top)), (1.0, float(-left)))

    @staticmethod
    def enlarged(rows: float, columns: float) -> Placement:
        """Return the placement of a raster in one of the same frame with `rows` times the rows and `columns` times the
        columns.
        """
        return Placement((rows, (rows - 1) / 2), (columns, (columns - 1) / 2))

    @property
    def inverse(self) -> Placement:
        """Return the placement of the second raster in the first."""
        return Placement(*((1 / step, -start / step) for step, start in (self.rows, self.columns)))

    def stored(self, orientation: int, old: tuple[int, ...], new: tuple[int, ...]) -> Placement:
        """Return the placement of the pixels as stored, of two rasters that are shown turned by `orientation` (1 to 8).

        old, new: (H, W) of the first and the second raster as shown.
        """
        swapped, *mirrored = mirrored_rows_columns(orientation)
        axes = [
            (step, (m - 1) - step * (n - 1) - start) if flip else (step, start)
            for (step, start), flip, n, m in zip((self.rows, self.columns), mirrored, old, new)
        ]
        return Placement(*(axes[::-1] if swapped else axes))


def placed(tags: Iterable[Tag], grid: Placement) -> list[Tag]:
    """Return the tags of a raster as those of another in which its pixels lie by `grid`; tags that say no place stay as
    they are.
    """
    tags = list(tags)
    middle = 0.0 if _of_points(tags) else 0.5  # where the centre of the first pixel is
    rows, columns = _Axis(*grid.rows, middle), _Axis(*grid.columns, middle)
    return [_placed(tag, rows, columns, grid) for tag in tags]


@dataclass(frozen=True)
class _Axis:
    """Coordinates of one axis, which are `middle` at the centre of the first pixel."""

    step: float
    start: float
    middle: float

    def __call__(self, at: float) -> float:
        return self.step * (at - self.middle) + self.start + self.middle

    @property
    def zero(self) -> float:
        """Return the old coordinate of the new 0."""
        return self.middle - (self.start + self.middle) / self.step


def _placed(tag: Tag, rows: _Axis, columns: _Axis, grid: Placement) -> Tag:
    code, kind, count, values, *rest = tag
    if code in (SCALE, TIE_POINTS, MATRIX, RPC) and not _whole(code, values):
        return tag
    if code == SCALE:
        values = (values[0] / columns.step, values[1] / rows.step, *values[2:])
    elif code == TIE_POINTS:  # (column, row, 0, x, y, z) of each
        axes = (columns, rows)
        values = tuple(axes[i % 6](v) if i % 6 < 2 else v for i, v in enumerate(values))
    elif code == MATRIX:  # 4x4, row by row; (x, y, z) = M (column, row, 0, 1)
        values = list(values)
        for at in (0, 4, 8):
            x, y = values[at], values[at + 1]
            values[at + 3] += x * columns.zero + y * rows.zero
            values[at], values[at + 1] = x / columns.step, y / rows.step
        values = tuple(values)
    elif code == RPC:
        values = list(values)
        for at, (step, start) in ((_LINE, grid.rows), (_SAMPLE, grid.columns)):
            values[at], values[at + 5] = step * values[at] + start, step * values[at + 5]
        values = tuple(values)
    return (code, kind, count, values, *rest)


def _whole(code: int, values: Any) -> bool:
    """Return True where a tag has as many numbers as it needs; damaged ones, which programs ignore, stay as they are."""
    count = len(values) if isinstance(values, tuple | list) else 0
    enough = {SCALE: count >= 2, TIE_POINTS: count % 6 == 0, MATRIX: count == 16, RPC: count > _SAMPLE + 5}[code]
    return count > 0 and enough and all(isinstance(v, int | float) for v in values)


def _of_points(tags: list[Tag]) -> bool:
    """Return True where the GeoKeys say that values are of points, not of areas.

    There are four numbers for each key: (key, tag that holds the value, count, value).
    """
    keys = next((tag[3] for tag in tags if tag[0] == KEYS), ())
    return isinstance(keys, tuple | list) and any(
        keys[i] == _RASTER_TYPE and keys[i + 3] == _POINT for i in range(4, len(keys) - 3, 4)
    )
