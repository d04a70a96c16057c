#!/usr/bin/env bash
# rawpy 0.28.0 (LibRaw 0.22.2), tifffile 2026.3.3, seen on 2026-11-30.
# A DNG of RGGB whose tag BlackLevel has four fractions, 64.5, 65.75, 66.5 and 67.25, row by row, and BlackLevelDeltaH a level that rises from column to column by 0.5.
# Expected: black_level_per_channel, or what postprocess takes off, has them. Seen: fractions are cut, the third and the fourth change
# places, as they are listed by colour and not by place, and of the levels by column one mean is added to all.
# Exit 0 while that is so, 1 once it has changed, 2 where the packages cannot be installed.
set -u
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" install -q rawpy==0.28.0 tifffile==2026.3.3 numpy==2.4.6 >/dev/null 2>&1 || exit 2
cd "$folder" && OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
import rawpy
import tifffile

values = np.full((32, 48), 500, "uint16")
black = [645, 10, 6575, 100, 665, 10, 6725, 100]
tags = [
    (50706, 1, 4, bytes([1, 4, 0, 0]), True), (33421, 3, 2, (2, 2), True), (33422, 1, 4, bytes([0, 1, 1, 2]), True),
    (50708, 2, 0, "a sensor", True), (50717, 4, 1, 1023, True), (50713, 3, 2, (2, 2), True), (50714, 5, 4, black, True),
]
by_column = (50715, 10, 48, [n for i in range(48) for n in (i, 2)], True)
seen = []
for extra in ([], [by_column]):
    tifffile.imwrite("a.dng", values, photometric=32803, extratags=[*tags, *extra], metadata=None)
    with rawpy.imread("a.dng") as raw:
        seen.append(list(raw.black_level_per_channel))
print(f"rawpy {rawpy.__version__}, LibRaw {'.'.join(map(str, rawpy.libraw_version))}: {seen[0]}, with levels by column {seen[1]}")
sys.exit(0 if seen[0] == [64, 65, 67, 66] and len({b - a for a, b in zip(*seen)}) == 1 and seen[1] != seen[0] else 1)
PY
