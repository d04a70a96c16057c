"""Every solver on one problem whose posterior is known exactly: who draws samples, and how good are they?"""

from __future__ import annotations

import torch

from restorekit import Gaussian, Problem, restore
from restorekit.errors import Unsupported
from restorekit.operators import BlockAverage
from restorekit.priors.analytic import GaussianPrior
from restorekit.solvers import SOLVERS

SHAPE, SIGMA_Y, SAMPLES = (1, 16, 16), 0.05, 64


if __name__ == "__main__":
    prior = GaussianPrior.smooth(SHAPE)
    operator, noise = BlockAverage(SHAPE, 2), Gaussian(SIGMA_Y)
    rng = torch.Generator().manual_seed(0)
    y = noise.sample(operator(prior.sample(1, rng)), rng)
    mean, covariance = prior.posterior(operator, y, SIGMA_Y)
    std = covariance.diagonal().sqrt().view(SHAPE)

    print(f"half the resolution, noise {SIGMA_Y}, {SAMPLES} samples, each solver with its own settings")
    print(f"{'solver':10} {'mean error':>10} {'spread':>7} {'calls':>6} {'seconds':>8}")
    for name, kind in SOLVERS.items():
        solver = kind()
        try:
            result = restore(Problem(y, operator, noise), prior, solver, samples=SAMPLES if solver.samples else 1)
        except Unsupported:
            continue
        error = float(((result.mean - mean[0]) / std).square().mean().sqrt())
        spread = f"{float((result.std / std).mean()):7.2f}" if solver.samples else "   none"
        print(f"{name:10} {error:10.2f} {spread} {result.nfe:6d} {result.seconds:8.2f}")
    print("mean error: distance of the mean to that of the exact posterior, in posterior standard deviations;")
    print(
        f"{SAMPLES**-0.5:.2f} is what {SAMPLES} exact samples give. spread: 1 is exact, none: one answer, no samples."
    )
