#!/usr/bin/env bash
# rasterio 1.4.4 (wheel with GDAL 3.10.3), seen on 2026-11-29.
# Copying to a GeoTIFF or a cloud-optimised one drops the tags that are in a namespace, unless COPY_SRC_MDD=YES is given, of which
# the manual says that all domains of metadata will be copied (OSGeo/gdal pull request 7981).
# Expected: with the option tags of both kinds are kept, of the file and of its bands.
# Seen: of the file yes; every band loses its ordinary tags, those without a namespace, which are kept where the option is not
# given. So no one copy keeps both kinds of a band's tags.
# Exit 0 while that is so, 1 once it has changed, 2 where the packages cannot be installed.
set -u
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" install -q rasterio==1.4.4 numpy==2.4.6 >/dev/null 2>&1 || exit 2
cd "$folder" && OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
import rasterio
from rasterio.shutil import copy

with rasterio.open("s.tif", "w", driver="GTiff", height=16, width=16, count=2, dtype="float32") as f:
    f.write(np.ones((2, 16, 16), "float32"))
    f.update_tags(date="2026-01-01")
    f.update_tags(ns="RADAR", orbit="7")
    f.update_tags(1, polarisation="VV")
    f.update_tags(1, ns="RADAR", looks="4")
    f.update_tags(2, polarisation="VH")  # no namespace here


def kept(driver, **options):
    copy("s.tif", "c.tif", driver=driver, **options)
    with rasterio.open("c.tif") as f:
        file = "date" in f.tags(), "orbit" in f.tags(ns="RADAR")
        return file, ("polarisation" in f.tags(1), "looks" in f.tags(1, ns="RADAR")), "polarisation" in f.tags(2)


seen = [(kept(d), kept(d, COPY_SRC_MDD="YES")) for d in ("GTiff", "COG")]
print(f"GDAL {rasterio.__gdal_version__}; kept of the file, of band 1 (without and in a namespace), of band 2: {seen}")
sys.exit(0 if seen == [(((True, False), (True, False), True), ((True, True), (False, True), False))] * 2 else 1)
PY
