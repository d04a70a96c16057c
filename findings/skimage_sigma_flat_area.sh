#!/usr/bin/env bash
# scikit-image 0.26.0 (PyWavelets 1.9.0), seen on 2026-11-29.
# restoration.estimate_sigma of a picture with white noise of 0.1, of which 69 % are a flat area, as an empty margin of a scene is.
# Expected: how the flat area counts does not depend on the value that it holds, as a constant has no detail.
# Seen: with 0 the noise is found, 0.097; with 0.5, or 1, it is 1e-33. The median is taken over those coefficients that are not
# exactly 0; a flat area of 0 is left out by that, of another value rounding leaves 1e-17, which counts. Adding one number to all
# pixels thus changes the noise from 0.097 to nothing; denoise_wavelet takes this estimate where no sigma is given.
# The documentation speaks of the median of the coefficients alone.
# Exit 0 while that is so, 1 once it has changed, 2 where the packages cannot be installed.
set -u
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" install -q scikit-image==0.26.0 PyWavelets==1.9.0 scipy==1.17.1 numpy==2.4.6 >/dev/null 2>&1 || exit 2
cd "$folder" && OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
import skimage
from skimage.restoration import estimate_sigma

x = 0.1 * np.random.default_rng(0).normal(size=(256, 256))
x[:, 80:] = 0
found = {value: float(estimate_sigma(x + value)) for value in (0, 0.5, 1)}
print(f"scikit-image {skimage.__version__}: noise 0.1 beside a flat area of", {k: float(f"{v:.3g}") for k, v in found.items()})
sys.exit(0 if abs(found[0] - 0.1) < 0.01 and max(found[0.5], found[1]) < 1e-6 else 1)
PY
