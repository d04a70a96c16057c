#!/usr/bin/env bash
# rasterio 1.4.4 (wheel with GDAL 3.10.3), seen on 2026-11-29.
# A single-look complex radar image of integers, as Sentinel-1 delivers it, whose empty margins are 0, declares 0 as no data.
# Expected: masked are the pixels that are 0 + 0i. Seen: all whose real part is 0, whatever the imaginary part: of a dark area, sea say,
# with a deviation of 10 in either part 4 % are lost, where 0.2 % are 0.
# That GDAL looks at the real part alone was agreed with OSGeo/gdal pull request 808 (2018); it was found in no manual.
# The masks and masked arrays of rasterio follow.
# Exit 0 while that is so, 1 once it has changed, 2 where the packages cannot be installed.
set -u
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" install -q rasterio==1.4.4 numpy==2.4.6 >/dev/null 2>&1 || exit 2
cd "$folder" && OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
import rasterio

rng = np.random.default_rng(0)
z = np.rint(10 * rng.normal(size=(512, 512))) + 1j * np.rint(10 * rng.normal(size=(512, 512)))
with rasterio.open("slc.tif", "w", driver="GTiff", height=512, width=512, count=1, dtype="complex_int16", nodata=0) as f:
    f.write(z.astype("complex64")[None])
with rasterio.open("slc.tif") as f:
    masked = f.dataset_mask() == 0
    same = bool((f.read(1, masked=True).mask == masked).all() and (f.read(1) == z).all())
zero, real = z == 0, z.real == 0
print(f"GDAL {rasterio.__gdal_version__}: masked {masked.mean():.4f} of the pixels; 0 are {zero.mean():.4f}; of real part 0 {real.mean():.4f}")
sys.exit(0 if same and (masked == real).all() and masked.sum() > 10 * zero.sum() else 1)
PY
