#!/usr/bin/env bash
# rawpy 0.28.0 (LibRaw 0.22.2), tifffile 2026.3.3, seen on 2026-11-30.
# A DNG of a grey ramp up to 80 % of white, developed with gamma=(1, 1), no_auto_bright=True and no white balance, which is how
# linear light is asked for. Expected: values as they are, 0.8 of full scale at most.
# Seen: the brightest pixel becomes full scale, all others along with it, as adjust_maximum_thr is 0.75 by default: pictures
# whose brightest pixel lies between 75 and 100 % of white are stretched. With adjust_maximum_thr=0 they are as they should be.
# Exit 0 while that is so, 1 once it has changed, 2 where the packages cannot be installed.
set -u
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" install -q rawpy==0.28.0 tifffile==2026.3.3 numpy==2.4.6 >/dev/null 2>&1 || exit 2
cd "$folder" && OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
import rawpy
import tifffile

values = np.broadcast_to(np.linspace(0, 0.8 * 4095, 64), (48, 64)).round().astype("uint16")
tags = [
    (50706, 1, 4, bytes([1, 4, 0, 0]), True), (33421, 3, 2, (2, 2), True), (33422, 1, 4, bytes([0, 1, 1, 2]), True),
    (50708, 2, 0, "a sensor", True), (50717, 4, 1, 4095, True),
]
tifffile.imwrite("a.dng", values, photometric=32803, extratags=tags, metadata=None)
linear = {"gamma": (1, 1), "no_auto_bright": True, "output_bps": 16, "user_wb": [1, 1, 1, 1], "output_color": rawpy.ColorSpace.raw}
tops = []
for more in ({}, {"adjust_maximum_thr": 0.0}):
    with rawpy.imread("a.dng") as raw:
        tops.append(raw.postprocess(**linear, **more).max() / 65535)
print(f"rawpy {rawpy.__version__}, LibRaw {'.'.join(map(str, rawpy.libraw_version))}: brightest {tops[0]:.3f}, with adjust_maximum_thr=0 {tops[1]:.3f}")
sys.exit(0 if tops[0] > 0.97 and abs(tops[1] - 0.8) < 0.01 else 1)
PY
