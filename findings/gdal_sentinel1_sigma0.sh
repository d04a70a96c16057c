#!/usr/bin/env bash
# rasterio 1.4.4 (wheel with GDAL 3.10.3), seen on 2026-11-29.
# Of a Sentinel-1 SLC product GDAL lists subdatasets SENTINEL1_CALIB:SIGMA0, BETA0 and GAMMA, described as so calibrated; among the
# files of each it names the annotation with the calibration tables. The product here is a real one, cut to three of its six
# images by the authors of xarray-sentinel 0.9.6, in whose source package it is; its pixels are placeholders of 1 + 0i.
# Expected: |DN|^2 / A^2 with the table A of each quantity. Seen: |DN|^2 in all of them, as in UNCALIB, without a warning: 47 to
# 50 dB too bright. For GRD products GDAL lists none of these (OSGeo/gdal issue 5826 asks for them).
# Exit 0 while that is so, 1 once it has changed, 2 where the packages cannot be installed.
set -u
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" install -q rasterio==1.4.4 numpy==2.4.6 >/dev/null 2>&1 || exit 2
"$folder/venv/bin/pip" download -q --no-deps --no-binary xarray-sentinel -d "$folder" xarray-sentinel==0.9.6 >/dev/null 2>&1 || exit 2
tar -xzf "$folder"/xarray_sentinel-0.9.6.tar.gz -C "$folder" || exit 2
cd "$folder" && OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PY'
import glob
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import rasterio
from rasterio.windows import Window

[safe] = glob.glob("xarray*/tests/data/S1B_IW_SLC__1SDV_20210401T052622*.SAFE")
[table] = glob.glob(f"{safe}/annotation/calibration/calibration-s1b-iw1-slc-vh-*.xml")
[vector] = [v for v in ElementTree.parse(table).iter("calibrationVector") if v.findtext("line") == "577"]
pixel = np.array(vector.findtext("pixel").split(), float)
window = Window(4000, 577, 200, 1)


def read(calibration, kind):
    with rasterio.open(f"SENTINEL1_CALIB:{calibration}:{safe}/manifest.safe:IW1_VH:{kind}") as f:
        return f.read(1, window=window)[0], any("calibration-s1b-iw1-slc-vh" in name for name in f.files)


with rasterio.open(f"{safe}/manifest.safe") as f:
    offered = {s.split(":")[1] for s in f.subdatasets if "IW1" in s}
power = np.abs(read("UNCALIB", "COMPLEX")[0]) ** 2
worst = []
for name, tag in (("SIGMA0", "sigmaNought"), ("BETA0", "betaNought"), ("GAMMA", "gamma")):
    found, named = read(name, "INTENSITY")
    due = power / np.interp(4000 + np.arange(200), pixel, np.array(vector.findtext(tag).split(), float)) ** 2
    excess = float(np.median(10 * np.log10(found / due)))
    worst.append(name in offered and named and np.array_equal(found, power.astype("float32")) and excess > 40)
    print(f"GDAL {rasterio.__gdal_version__} {name}: seen {found[0]:.3g}, due {due[0]:.3g}, {excess:.1f} dB too bright")
sys.exit(0 if (power == 1).all() and all(worst) else 1)
PY
