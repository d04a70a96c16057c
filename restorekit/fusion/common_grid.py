"""Two rasters may share one grid; if not, a radar picture is brought to that of an optical one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files.bands import Raster, Window, import_rasterio
from restorekit.fusion.pair_files import read, whole

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]
CLOSE = 0.1  # pixels by which corners may differ: what rounding of coordinates leaves


def placed(raster: Raster | None) -> bool:
    """Return whether each pixel has a place on the map by an affine transform."""
    return raster is not None and bool(raster.crs) and raster.transform is not None


def differences(optical: Raster, radar: Raster) -> list[str]:
    """Return what keeps two georeferenced rasters from sharing a grid, in words; [] where nothing does."""
    reasons = []
    if (optical.height, optical.width) != (radar.height, radar.width):
        reasons.append(f"size {optical.height}x{optical.width} and {radar.height}x{radar.width}")
    if not (placed(optical) and placed(radar)):
        return [*reasons, *(f"{r.path.name} is placed by control points" for r in (optical, radar) if not placed(r))]
    if optical.crs != radar.crs:
        return [*reasons, f"{_name(optical.crs)} and {_name(radar.crs)}"]
    if max(_corners_apart(optical, radar)) > CLOSE:
        reasons.append(_transforms(optical.transform, radar.transform))
    return reasons


def _name(crs: Any) -> str:
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else crs.to_string()[:60]


def _corners_apart(one: Raster, other: Raster) -> list[float]:
    """Return how far corners lie apart, in pixels of the first."""
    corners = [(0, 0), (one.width, 0), (0, one.height), (one.width, one.height)]
    moved = [_at(~one.transform, _at(other.transform, corner)) for corner in corners]
    return [float(np.hypot(x - u, y - v)) for (x, y), (u, v) in zip(moved, corners)]


def _at(transform: Any, point: tuple[float, float]) -> tuple[float, float]:
    """Return (x, y) on the map of (column, row), or back; its operator is called * or @ by the version of affine."""
    t, (x, y) = transform, point
    return t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f


def _transforms(one: Any, other: Any) -> str:
    sides = [(abs(t.a), abs(t.e)) for t in (one, other)]
    if not np.allclose(*sides, rtol=1e-6):
        return f"pixels of {sides[0][0]:g}x{sides[0][1]:g} and {sides[1][0]:g}x{sides[1][1]:g} map units"
    right, down = _at(~one, (other.c, other.f))
    return f"corners {right:+.2f} pixels right and {down:+.2f} down of each other"


def part_for(radar: Raster, optical: Raster, margin: int = 16) -> Window:
    """Return what of `radar` is needed for the grid of `optical`. Raises BadInput where the two do not overlap."""
    if not placed(radar):
        return whole(radar)
    import_rasterio()
    from rasterio.warp import transform_bounds

    h, w = optical.height, optical.width
    corners = [_at(optical.transform, c) for c in ((0, 0), (w, 0), (0, h), (w, h))]
    xs, ys = zip(*corners)
    left, bottom, right, top = transform_bounds(
        optical.crs, radar.crs, min(xs), min(ys), max(xs), max(ys), densify_pts=41
    )
    ends = [_at(~radar.transform, c) for c in ((left, top), (right, top), (left, bottom), (right, bottom))]
    columns, rows = ([e[i] for e in ends] for i in (0, 1))
    first = max(0, int(np.floor(min(rows))) - margin), max(0, int(np.floor(min(columns))) - margin)
    last = min(radar.height, int(np.ceil(max(rows))) + margin), min(radar.width, int(np.ceil(max(columns))) + margin)
    if first[0] >= last[0] or first[1] >= last[1]:
        raise BadInput(f"{radar.path} and {optical.path} do not overlap on the map; give a pair of one place")
    return Window(*first, last[0] - first[0], last[1] - first[1])


def aligned(intensity: Array, valid: Mask, window: Window, radar: Raster, optical: Raster) -> tuple[Array, Mask, str]:
    """Return intensities (h, w) of a window of `radar` on the grid of `optical`, where they are valid, and how it was done.

    Resampled in linear power, where a mean keeps radiometry: by the mean where pixels become larger, else bilinear. Pixels
    that are not valid are left out, and nothing is made up where there are none.
    """
    if not placed(optical) or not radar.referenced:
        raise BadInput(f"`align` needs both places on the map; {optical.path} or {radar.path} has none")
    import_rasterio()
    from rasterio.warp import Resampling, calculate_default_transform, reproject

    h, w = intensity.shape
    where: dict[str, Any]
    if placed(radar):
        where = {"src_transform": radar.part(window).transform, "src_crs": radar.crs}
        step, _, _ = calculate_default_transform(radar.crs, optical.crs, w, h, **_bounds(where["src_transform"], w, h))
        coarser = abs(optical.transform.a) > 1.5 * abs(step.a)  # type: ignore[union-attr]
    else:
        where = {"gcps": list(radar.gcps), "src_crs": radar.gcps_crs} if radar.gcps else {"rpcs": radar.rpcs}
        coarser = optical.height * optical.width < 0.4 * h * w
    how = Resampling.average if coarser else Resampling.bilinear
    out = np.full((optical.height, optical.width), np.nan, np.float32)
    reproject(
        np.where(valid, intensity, np.nan).astype(np.float32), out, **where, src_nodata=np.nan, dst_nodata=np.nan,
        dst_transform=optical.transform, dst_crs=optical.crs, resampling=how,
    )  # fmt: skip
    there = np.isfinite(out)
    if not there.any():
        raise BadInput(f"{radar.path} and {optical.path} do not overlap on the map; give a pair of one place")
    return np.where(there, out, 0.0).astype(np.float64), there, how.name


def labels_on(labels: Raster, optical: Raster) -> Array:
    """Return the first band of `labels` (H, W) on the grid of `optical`, the nearest of each, NaN where there is none.

    Raises BadInput where the two do not overlap on the map, or `optical` has no place there.
    """
    if not placed(optical):
        raise BadInput(f"{optical.path} has no place on the map, and {labels.path} is of another grid; resample it")
    import_rasterio()
    from rasterio.warp import Resampling, reproject

    window = part_for(labels, optical)
    bands = read(labels.path, [1], labels, window)
    out = np.full((optical.height, optical.width), np.nan, np.float64)
    reproject(
        np.where(bands.valid[0], bands.values[0], np.nan).astype(np.float64), out, src_transform=labels.part(window).transform,
        src_crs=labels.crs, src_nodata=np.nan, dst_nodata=np.nan, dst_transform=optical.transform, dst_crs=optical.crs,
        resampling=Resampling.nearest,
    )  # fmt: skip
    return out


def _bounds(transform: Any, w: int, h: int) -> dict[str, float]:
    xs, ys = zip(*(_at(transform, c) for c in ((0, 0), (w, 0), (0, h), (w, h))))
    return {"left": min(xs), "bottom": min(ys), "right": max(xs), "top": max(ys)}
