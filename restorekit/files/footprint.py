"""The outline of a raster on the globe, as GeoJSON."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy

from restorekit.files.bands import Raster, import_rasterio

ALONG = 16  # points of each side, which a projection bends


def footprint(raster: Raster) -> tuple[dict[str, Any], list[float]] | None:
    """Return (geometry, [west, south, east, north]) in degrees of WGS 84, None for a raster without a place.

    It is the outline of the pixels by the affine transform, or the hull of the ground control points, which lie within it; RPCs,
    which need heights, give none. A raster across the meridian of 180 degrees has longitudes beyond it.
    """
    points = _of_transform(raster) if raster.transform is not None and raster.crs else _of_points(raster)
    if points is None or len(points) < 3 or not np.isfinite(points).all():
        return None
    ring = [[round(float(x), 7), round(float(y), 7)] for x, y in [*points, points[0]]]
    west, south = (min(p[k] for p in ring) for k in (0, 1))
    east, north = (max(p[k] for p in ring) for k in (0, 1))
    return {"type": "Polygon", "coordinates": [ring]}, [west, south, east, north]


def _of_transform(raster: Raster) -> Any:
    h, w = raster.height, raster.width
    at = np.linspace(0, 1, ALONG, endpoint=False)
    columns = np.concatenate([w * at, np.full(ALONG, w), w * (1 - at), np.zeros(ALONG)])
    rows = np.concatenate([np.zeros(ALONG), h * at, np.full(ALONG, h), h * (1 - at)])
    t = raster.transform
    x, y = t.a * columns + t.b * rows + t.c, t.d * columns + t.e * rows + t.f
    return _degrees(raster.crs, x, y)[::-1]  # north up: counterclockwise


def _of_points(raster: Raster) -> Any:
    if len(raster.gcps) < 3 or not raster.gcps_crs:
        return None
    found = _degrees(raster.gcps_crs, [p.x for p in raster.gcps], [p.y for p in raster.gcps])
    try:
        return found[scipy.spatial.ConvexHull(found).vertices]
    except scipy.spatial.QhullError:  # all on one line
        return None


def _degrees(crs: Any, x: Any, y: Any) -> Any:
    from rasterio.warp import transform

    longitudes, latitudes = transform(crs, import_rasterio().crs.CRS.from_epsg(4326), list(x), list(y))[:2]
    return np.stack([longitudes, latitudes], 1)
