#!/usr/bin/env bash
# rio-stac 0.12.0 (rasterio 1.4.4), seen on 2026-11-29.
# create_stac_item(..., with_raster=True) writes statistics of each band, among them valid_percent.
# Expected: 100 for a raster of which every pixel is valid, whether or not it declares a value of no data.
# Seen: 100 where one is declared, and 100 divided by the number of pixels where none is: 0.024 for 64 x 64 pixels, less for larger
# ones. A catalogue that is searched for scenes with enough valid pixels leaves out those that are complete.
# None of the project's issues that were searched has it.
# Exit 0 while that is so, 1 once it has changed, 2 where the packages cannot be installed.
set -u
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" install -q rio-stac==0.12.0 rasterio==1.4.4 numpy==2.4.6 >/dev/null 2>&1 || exit 2
cd "$folder" && OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PY'
import datetime
import sys

import numpy as np
import rasterio
from rasterio.transform import from_origin
from rio_stac import create_stac_item


def percent(side, nodata):
    with rasterio.open(
        "s.tif", "w", driver="GTiff", height=side, width=side, count=1, dtype="float32",
        crs="EPSG:32633", transform=from_origin(5e5, 5e6, 10, 10), nodata=nodata,
    ) as f:
        f.write(np.arange(1, side**2 + 1, dtype="float32").reshape(1, side, side))
    item = create_stac_item("s.tif", with_raster=True, input_datetime=datetime.datetime(2026, 1, 1)).to_dict()
    return item["assets"]["asset"]["raster:bands"][0]["statistics"]["valid_percent"]


declared, small, large = percent(64, -9999), percent(64, None), percent(256, None)
print(f"valid_percent: with a value of no data {declared}, without {small} of 64 x 64 pixels, {large} of 256 x 256")
sys.exit(0 if declared == 100 and small == 100 / 64**2 and large == 100 / 256**2 else 1)
PY
