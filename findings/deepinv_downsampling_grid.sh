#!/usr/bin/env bash
# deepinv 0.5.0 (torch 2.13.0), seen on 2026-11-29.
# physics.Downsampling with an antialiasing filter is its operator of super-resolution. Of a ramp whose value is the column, a coarse
# pixel that stands for a block of f columns is due their mean, as the reduction of PyTorch with antialias=True gives it.
# Expected: filter="bicubic" gives that at each factor. Seen: at factor 2 it does; at 3 a coarse pixel shows what lies half a column
# left of its centre, at 4 a whole column; with filter="gaussian" 0.5, 1 and 1.5 columns. DownsamplingMatlab of the same library
# is centred. A picture that was reduced by anything else thus does not fit the operator, and is restored with a shift.
# The shift was found in none of the project's issues.
# Exit 0 while that is so, 1 once it has changed, 2 where the packages cannot be installed.
set -u
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" install -q torch==2.13.0 deepinv==0.5.0 >/dev/null 2>&1 || exit 2
cd "$folder" && OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version

import torch

try:
    import torchvision  # noqa: F401, of deepinv
except RuntimeError:  # the wheel for CUDA beside a torch without it: two of its operators, unused here, have to be declared
    for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    declared = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from deepinv.physics import Downsampling, DownsamplingMatlab

N = 96
ramp = torch.arange(float(N)).expand(1, 1, N, N) / N


def off(small, factor):
    side = small.shape[-1]
    across = small[0, 0, side // 2] * N - ((torch.arange(side) + 0.5) * factor - 0.5)
    return round(float(across[side // 2]), 2)


found = {
    name: [off(Downsampling(img_size=(1, N, N), filter=name, factor=f, padding="circular")(ramp), f) for f in (2, 3, 4)]
    for name in ("bicubic", "gaussian")
}
found["DownsamplingMatlab"] = [abs(off(DownsamplingMatlab(factor=f)(ramp), f)) for f in (2, 3, 4)]
found["torch"] = [
    abs(off(torch.nn.functional.interpolate(ramp, scale_factor=1 / f, mode="bicubic", antialias=True), f)) for f in (2, 3, 4)
]
print(f"deepinv {version('deepinv')}, columns off at the factors 2, 3, 4: {found}")
seen = [0, -0.5, -1], [-0.5, -1, -1.5], [0, 0, 0], [0, 0, 0]
sys.exit(0 if tuple(found.values()) == seen else 1)
PY
