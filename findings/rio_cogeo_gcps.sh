#!/usr/bin/env bash
# rio-cogeo 7.0.4 (rasterio 1.4.4 with GDAL 3.10.3), seen on 2026-11-29.
# cog_translate turns a raster into a cloud-optimised GeoTIFF. The raster here has the ground control points of a real Sentinel-1 IW
# SLC swath, read from its annotation (in the source package of xarray-sentinel 0.9.6), as radar products have them, and no transform.
# Expected: the copy has the same points, as GDAL's own driver COG keeps them. Seen: they are gone, without a word; in their place an
# affine transform fitted through them, some 1 km off in the root mean square and more than 2 km at worst; and there is
# a second band, of transparency.
# rio-cogeo pull request 293 brought the fit; rio-tiler issue 977 asks whether it is meant there.
# Exit 0 while that is so, 1 once it has changed, 2 where the packages cannot be installed.
set -u
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" install -q rio-cogeo==7.0.4 rasterio==1.4.4 numpy==2.4.6 >/dev/null 2>&1 || exit 2
"$folder/venv/bin/pip" download -q --no-deps --no-binary xarray-sentinel -d "$folder" xarray-sentinel==0.9.6 >/dev/null 2>&1 || exit 2
tar -xzf "$folder"/xarray_sentinel-0.9.6.tar.gz -C "$folder" || exit 2
cd "$folder" && OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PY'
import glob
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.shutil import copy
from rio_cogeo import cog_profiles, cog_translate

[annotation] = glob.glob("xarray*/tests/data/S1B_IW_SLC__1SDV_20210401T052622*.SAFE/annotation/s1b-iw1-slc-vv-*.xml")
product = ElementTree.parse(annotation)
shrink = 32  # the picture itself does not matter: every 32nd line and sample
height, width = (int(product.findtext(f".//imageInformation/numberOf{n}")) // shrink for n in ("Lines", "Samples"))
points = [
    GroundControlPoint(
        float(p.findtext("line")) / shrink, float(p.findtext("pixel")) / shrink,
        float(p.findtext("longitude")), float(p.findtext("latitude")),
    )
    for p in product.iter("geolocationGridPoint")
]
size = {"height": height, "width": width, "count": 1}
with rasterio.open("s.tif", "w", driver="GTiff", dtype="float32", gcps=points, crs="EPSG:4326", **size) as f:
    f.write(np.ones((1, height, width), "float32"))
cog_translate("s.tif", "c.tif", cog_profiles.get("deflate"), in_memory=True, quiet=True)
copy("s.tif", "g.tif", driver="COG")
with rasterio.open("g.tif") as f:
    gdal = len(f.gcps[0])
with rasterio.open("c.tif") as f:
    left, bands = len(f.gcps[0]), f.count
    t = f.transform
col, row, x, y = np.array([(p.col, p.row, p.x, p.y) for p in points]).T
east = (t.a * col + t.b * row + t.c - x) * np.cos(np.radians(y)) * 111_320
north = (t.d * col + t.e * row + t.f - y) * 111_320
metres = np.hypot(east, north)
rms = np.sqrt((metres**2).mean())
print(f"{len(points)} points: kept by GDAL's COG {gdal}, by rio-cogeo {left}; bands {bands}; off by {rms:.0f} m rms, {metres.max():.0f} m at most")
sys.exit(0 if gdal == len(points) and left == 0 and bands == 2 and metres.max() > 1000 else 1)
PY
