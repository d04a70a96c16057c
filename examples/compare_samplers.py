"""Several samplers on one photograph: what a sample looks like, and how far its error bars can be believed.

Writes compare_samplers.png. `restorekit compare` makes a page of the same for a file of your own, and
`restorekit bench posterior` compares all solvers where the exact answer is known.
"""

from __future__ import annotations

import argparse

import torch
from skimage import data

from restorekit import Gaussian, Problem, load_prior, restore
from restorekit.files.picture import write_picture
from restorekit.metrics.fidelity import coverage, psnr, spread_skill
from restorekit.operators import Inpaint
from restorekit.text.names import solver_of

SHAPE, SAMPLES = (3, 64, 64), 4
SAMPLERS = ("diffpir", "ddrm", "ddnm+:travel=5x2", "pigdm", "mmps", "daps")

parser = argparse.ArgumentParser()
parser.add_argument("--calls", type=int, default=50, help="of the network, about so many for each sample")

if __name__ == "__main__":
    calls = parser.parse_args().calls
    truth = torch.tensor(data.astronaut()[8:72, 186:250] / 255.0).float().permute(2, 0, 1)
    rng = torch.Generator().manual_seed(0)
    mask = (torch.rand(1, *SHAPE[1:], generator=rng) < 0.3).float()
    operator, noise = Inpaint(SHAPE, mask), Gaussian(0.02)
    problem = Problem(noise.sample(operator(truth[None]), rng) * mask, operator, noise)
    prior = load_prior("natural-fast")

    print(f"70 % of the pixels missing, noise 0.02, {SAMPLES} samples of about {calls} calls each")
    print(f"{'solver':17} {'calls':>5} {'seconds':>8} {'sample':>7} {'mean':>6} {'spread/error':>13} {'in 90 %':>8}")
    panels = [truth, problem.y[0]]
    for text in SAMPLERS:
        made = solver_of(text)
        steps = max(n for n in range(1, calls + 1) if made.calls(made.schedule(problem, n)) <= calls)
        result = restore(problem, prior, made, steps=steps, samples=SAMPLES)
        samples, x = result.samples.numpy().clip(0, 1), truth.numpy()
        quality = f"{psnr(samples[0], x):7.2f} {psnr(samples.mean(0), x):6.2f}"
        print(f"{text:17} {result.nfe:5d} {result.seconds / SAMPLES:8.2f} {quality} {spread_skill(samples, x):13.2f} "
              f"{coverage(samples, x):8.2f}")  # fmt: skip
        panels.append(result.samples[0])
    print("sample, mean: PSNR in dB. spread/error: 1 if the samples are as far from each other as from the truth;")
    print("in 90 %: share of the pixels inside the interval that the samples give. Both say: below, it is too sure.")
    write_picture("compare_samplers.png", torch.cat(panels, -1).clamp(0, 1).numpy())
    print("compare_samplers.png: truth, measurement, a sample of each")
