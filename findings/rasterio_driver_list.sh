#!/usr/bin/env bash
# rasterio 1.4.4 (wheel with GDAL 3.10.3), seen on 2026-11-28.
# The documentation of rasterio.open says that `driver` may be one short name or a list of names that are tried.
# Expected: a GeoTIFF opens with driver=["GTiff", "NITF"], and only these drivers are tried.
# Seen: TypeError("invalid driver: ['GTiff', 'NITF']"); rasterio.io.DatasetReader takes the list, inside rasterio.Env().
# Whoever wants to keep GDAL from opening other formats (VRT and the like) has to go by DatasetReader.
# Exit 0 while that is so, 1 once it has changed, 2 where the packages cannot be installed.
set -u
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" install -q rasterio==1.4.4 numpy==2.2.6 >/dev/null 2>&1 || exit 2
cd "$folder" && "$folder/venv/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
import rasterio
from rasterio.io import DatasetReader

with rasterio.open("s.tif", "w", driver="GTiff", height=4, width=4, count=1, dtype="float32") as f:
    f.write(np.ones((1, 4, 4), "float32"))
names = ["GTiff", "NITF"]
try:
    with rasterio.open("s.tif", driver=names):
        seen = "opens"
except TypeError as error:
    seen = str(error)
with rasterio.Env(), DatasetReader("s.tif", driver=names) as d:
    reader = d.driver
print(f"rasterio {rasterio.__version__}: open(driver=list): {seen}; DatasetReader(driver=list): {reader}")
sys.exit(0 if "invalid driver" in seen and reader == "GTiff" else 1)
PY
