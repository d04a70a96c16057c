#!/usr/bin/env bash
# rasterio 1.4.4 (wheel with GDAL 3.10.3 and libjpeg 9.6), tifffile 2026.3.3 with imagecodecs 2026.3.6, pillow 13.0.0 (these two with
# libjpeg-turbo), seen on 2026-11-29. The usual GeoTIFF of aerial images: JPEG inside, YCbCr with colour at half the resolution.
# Expected: readers of the same file differ by a level or two of rounding.
# Seen: tifffile and pillow agree exactly; GDAL differs from them by up to 92 of 255 at edges of colour, 19.6 in the root mean
# square of this picture of stripes, though no setting was touched. libjpeg 7 and later enlarge the colours by a larger inverse DCT,
# libjpeg-turbo interpolates (libjpeg-turbo issue 63 tells of the two ways). So a result depends on which library opened the file.
# Exit 0 while that is so, 1 once it has changed, 2 where the packages cannot be installed.
set -u
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" install -q rasterio==1.4.4 tifffile==2026.3.3 imagecodecs==2026.3.6 pillow==13.0.0 numpy==2.4.6 >/dev/null 2>&1 || exit 2
cd "$folder" && OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
import rasterio
import tifffile
from PIL import Image

y, x = np.mgrid[:64, :64]
stripes = (x + y) % 16 < 8
picture = np.stack([255 * stripes, 0 * x, 255 * ~stripes]).astype("uint8")
with rasterio.open(
    "j.tif", "w", driver="GTiff", height=64, width=64, count=3, dtype="uint8",
    compress="JPEG", photometric="YCBCR", JPEG_QUALITY=95,
) as f:
    f.write(picture)
with rasterio.open("j.tif") as f:
    gdal = f.read().transpose(1, 2, 0).astype(int)
tiff = tifffile.imread("j.tif").astype(int)
pillow = np.asarray(Image.open("j.tif")).astype(int)
near, far = int(abs(tiff - pillow).max()), abs(gdal - tiff)
rms = np.sqrt((far**2).mean())
print(f"GDAL {rasterio.__gdal_version__} and tifffile: up to {far.max()} levels apart, rms {rms:.1f}; pillow and tifffile: up to {near}")
sys.exit(0 if near == 0 and far.max() > 50 else 1)
PY
