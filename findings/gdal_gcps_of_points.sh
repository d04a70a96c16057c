#!/usr/bin/env bash
# rasterio 1.4.4 (wheel with GDAL 3.10.3), seen on 2026-11-30.
# A GeoTIFF with ground control points whose values are of points (AREA_OR_POINT=Point, as elevation models have it).
# Expected: control points are read at the pixels at which they were written. Seen: each is read one pixel further right and down; a file that is
# read and written again with what was read moves by another pixel each time. With AREA_OR_POINT=Area they stay, and so they do where GDAL copies a
# file as a whole. Tie points of such a file count from the centre of a pixel: half a pixel is added in writing, where it would have to be
# taken off, and added in reading.
# Exit 0 while that is so, 1 once it has changed, 2 where the packages cannot be installed.
set -u
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" install -q rasterio==1.4.4 numpy==2.4.6 >/dev/null 2>&1 || exit 2
cd "$folder" && OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
import rasterio
from rasterio.control import GroundControlPoint as Point
from rasterio.shutil import copy


def written(points, kind):
    with rasterio.open("v.tif", "w", driver="GTiff", height=8, width=8, count=1, dtype="uint8", gcps=points, crs="EPSG:4326") as f:
        f.update_tags(AREA_OR_POINT=kind)
        f.write(np.ones((1, 8, 8), np.uint8))
    with rasterio.open("v.tif") as f:
        return f.gcps[0]


def spots(points):
    return [(p.row, p.col) for p in points]


points = [Point(0, 0, 10, 50, 0), Point(0, 8, 11, 50, 0), Point(8, 0, 10, 49, 0)]
area = spots(written(points, "Area"))
once = written(points, "Point")
twice = spots(written(once, "Point"))
written(points, "Point")
copy("v.tif", "w.tif", driver="GTiff")
with rasterio.open("w.tif") as f:
    copied = spots(f.gcps[0])
print(f"rasterio {rasterio.__version__}, GDAL {rasterio.__gdal_version__}; written {spots(points)}, read as Area {area}, as Point {spots(once)};")
print(f"what was read, written and read again: {twice}; a copy of the whole file: {copied}")
seen = area == spots(points) and spots(once)[0] == (1, 1) and twice[0] == (2, 2) and copied[0] == (1, 1)
sys.exit(0 if seen else 1)
PY
