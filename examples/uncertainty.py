"""Error bars that can be checked: how often does the truth lie inside them? Writes uncertainty.png.

The pictures are drawn from a Gaussian prior, so the exact posterior is known beside the sampled one.
"""

from __future__ import annotations

import torch

from restorekit import Gaussian, Problem, restore
from restorekit.files.picture import write_picture
from restorekit.inference.schedule import log_uniform
from restorekit.operators import Inpaint
from restorekit.priors.analytic import GaussianPrior
from restorekit.solvers import MMPS

SHAPE, SIGMA_Y, SAMPLES = (1, 24, 24), 0.02, 40


if __name__ == "__main__":
    prior, noise = GaussianPrior.smooth(SHAPE), Gaussian(SIGMA_Y)
    rng = torch.Generator().manual_seed(0)
    mask = (torch.rand(1, *SHAPE[1:], generator=rng) < 0.3).double()
    mask[:, 8:16, 8:16] = 0  # a hole: nothing is measured there
    operator = Inpaint(SHAPE, mask)

    inside, errors, panels = [], [], []
    truths = prior.sample(4, rng)
    measured = noise.sample(operator(truths), rng) * mask
    for truth, y in zip(truths, measured):
        levels = log_uniform(50, 10.0, SIGMA_Y / 5)  # the last step is not drawn: it must be finer than the noise
        result = restore(Problem(y[None], operator, noise), prior, MMPS(), sigmas=levels, samples=SAMPLES)
        z = (truth - result.mean).abs() / result.std
        inside.append(torch.stack([(z < 1).double().mean(), (z < 2).double().mean()]))
        errors.append(result.std)
        panels.append(torch.cat([truth, y, result.mean, result.std * 4], -1))
    _, covariance = prior.posterior(operator, measured[:1], SIGMA_Y)
    exact, std = covariance.diagonal().clamp(min=0).sqrt().view(SHAPE), torch.stack(errors).mean(0)

    one, two = torch.stack(inside).mean(0)
    print(f"truth within 1 standard deviation: {one:.0%} of pixels (68% if the error bars are right)")
    print(f"truth within 2 standard deviations: {two:.0%} of pixels (95% if the error bars are right)")
    hole = mask == 0
    print(f"error bar where nothing is measured: {std[hole].mean():.4f}, exact {exact[hole].mean():.4f}")
    print(f"error bar where a pixel is measured: {std[~hole].mean():.4f}, exact {exact[~hole].mean():.4f}")
    write_picture("uncertainty.png", torch.cat(panels, -2).clamp(0, 1).float().numpy())
    print("uncertainty.png: truth, measurement, mean, 4 x standard deviation; a row per picture")
