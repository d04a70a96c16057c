"""A photograph blurred by a motion that was a little longer than is thought: as told, corrected, and with the true kernel.

python examples/deblur_wrong_kernel.py --out deblur
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from skimage import data

from restorekit.blind.correction import KernelCorrection, with_kernel
from restorekit.blind.families import motion
from restorekit.files.picture import Picture, write_picture
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.metrics.fidelity import psnr
from restorekit.operators import FreeBlur
from restorekit.priors.find import load_prior
from restorekit.solvers import HQS

SIGMA_Y, SIDE, ROOM = 0.01, 128, 20  # noise; side of the picture; what is beyond its frame

parser = argparse.ArgumentParser()
parser.add_argument("--out", type=Path, default=Path("deblur"))
parser.add_argument("--draws", action="store_true", help="by draws of the picture, too, which takes a minute")
options = parser.parse_args()
options.out.mkdir(parents=True, exist_ok=True)

x = data.astronaut()[20 : 20 + SIDE + 2 * ROOM, 150 : 150 + SIDE + 2 * ROOM].transpose(2, 0, 1) / 255
inside = (slice(None), slice(ROOM, -ROOM), slice(ROOM, -ROOM))
true, told = motion(18, 30), np.pad(motion(15, 30), 4)  # room for it to grow
y = np.stack([ndimage.convolve(band, true) for band in x])[inside]
y = torch.from_numpy(y + SIGMA_Y * np.random.default_rng(0).standard_normal(y.shape)).float()

denoise = load_prior("natural-fast")
problem = Problem(y[None], FreeBlur.of((3, SIDE, SIDE), torch.from_numpy(told).float()), Gaussian(SIGMA_Y))
found = KernelCorrection(draws=options.draws)(problem, denoise)
print({k: round(v, 2) for k, v in found.record().items() if k != "nfe"})  # length: times the given one

known = replace(problem, operator=FreeBlur.of((3, SIDE, SIDE), torch.from_numpy(true).float()))
for name, p in {"as_told": problem, "corrected": with_kernel(problem, found.kernel), "true_kernel": known}.items():
    out = p.operator.inside(restore(p, denoise, HQS(first=0.5), steps=8).samples)[0].numpy().clip(0, 1)
    write_picture(options.out / f"{name}.png", out, Picture(out, "uint8", (0.0, 255.0)), "uint8")
    print(f"{name:12} {psnr(out, x[inside]):.2f} dB")
