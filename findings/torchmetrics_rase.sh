#!/usr/bin/env bash
# torchmetrics 1.9.0 (torch 2.13.0), seen on 2026-11-29.
# The relative average spectral error of pansharpening: 100 / M times the root mean square error over the bands, M the mean of the
# reference in a sliding window. Of a reference of 0.5 everywhere and an estimate of 0.55 it is 10 %, whatever the window.
# Expected: 10. Seen: 640 with the default window of 8, 160 with 4, 2560 with 16: the mean over the window is divided by the
# window's area once more. sewar 0.4.10, a library of numpy for the same measures, gives 10.
# The documentation gives no formula, and an example of noise beside noise with 5326 %; no issue of the project was found on it.
# Exit 0 while that is so, 1 once it has changed, 2 where the packages cannot be installed.
set -u
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" install -q torch==2.13.0 torchmetrics==1.9.0 sewar==0.4.10 >/dev/null 2>&1 || exit 2
cd "$folder" && OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import torch
from sewar.full_ref import rase
from torchmetrics.functional.image import relative_average_spectral_error

true = torch.full((1, 3, 64, 64), 0.5)
found = {n: float(relative_average_spectral_error(true + 0.05, true, window_size=n)) for n in (4, 8, 16)}
other = {n: float(rase(np.full((64, 64, 3), 0.5), np.full((64, 64, 3), 0.55), ws=n)) for n in found}
print(f"torchmetrics {version('torchmetrics')}: {found}; sewar {version('sewar')}: {other}")
right = all(abs(v - 10) < 1e-3 for v in other.values())
sys.exit(0 if right and all(abs(v / (10 * n**2) - 1) < 1e-3 for n, v in found.items()) else 1)
PY
