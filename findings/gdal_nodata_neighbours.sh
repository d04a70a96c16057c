#!/usr/bin/env bash
# rasterio 1.4.4 (wheel with GDAL 3.10.3), seen on 2026-11-29.
# A float raster declares a value of no data. Expected: a pixel is masked where it holds that value (or NaN), and a valid pixel that
# happens to hold it may be saved by moving it to the next representable number.
# Seen: pixels near the value are masked too. float32: the next 4 numbers on either side (8 towards 0 from a power of 2). float64: the
# same relative distance, 4.7e-7, although the type resolves 2.2e-16: with -9999 declared, -9999.004 is masked. 0 is compared exactly.
# The comparison with this tolerance is the macro ARE_REAL_EQUAL of GDAL; the manual says nothing of it.
# Exit 0 while that is so, 1 once it has changed, 2 where the packages cannot be installed.
set -u
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" install -q rasterio==1.4.4 numpy==2.4.6 >/dev/null 2>&1 || exit 2
cd "$folder" && OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
import rasterio


def masked(values, nodata):
    with rasterio.open("v.tif", "w", driver="GTiff", height=1, width=len(values), count=1, dtype=values.dtype, nodata=nodata) as f:
        f.write(values[None, None])
    with rasterio.open("v.tif") as f:
        return [bool(m) for m in f.dataset_mask()[0] == 0]


def after(value, count, dtype):
    found = [dtype(value)]
    for _ in range(count):
        found.append(np.nextafter(found[-1], dtype(np.inf)))
    return np.array(found)


single = masked(after(-9999, 6, np.float32), -9999)
double = masked(np.array([-9999, np.nextafter(-9999.0, 0), -9999.004, -9999.02]), -9999)
zero = masked(after(0, 3, np.float32), 0)
print(f"rasterio {rasterio.__version__}, GDAL {rasterio.__gdal_version__}; masked: float32, the value and the 6 after it {single};")
print(f"float64 -9999, the number after it, -9999.004, -9999.02: {double}; float32, 0 and the 3 after it {zero}")
seen = single == [True] * 5 + [False] * 2 and double == [True] * 3 + [False] and zero == [True] + [False] * 3
sys.exit(0 if seen else 1)
PY
