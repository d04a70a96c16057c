"""A noise law of your own: heavy tails, as dust and dead pixels leave them. Checks it, and restores a picture.

From the command line: restorekit denoise IN OUT --noise examples/own_noise.py:Laplace:width=0.05 --solver dps
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from skimage import data
from torch import Tensor

from restorekit import Problem, load_prior, restore
from restorekit.bench.identities import check_noise
from restorekit.files.picture import write_picture
from restorekit.inference.likelihood import Likelihood
from restorekit.metrics.fidelity import psnr
from restorekit.operators import Identity, report
from restorekit.solvers import DPS


@dataclass(frozen=True, eq=False)
class Laplace(Likelihood):
    """p(y | mean) = exp(-|y - mean| / width) / (2 width), value by value; width is in the unit of the picture."""

    width: float = 0.05

    def __post_init__(self) -> None:
        if not self.width > 0:
            raise ValueError(f"width={self.width:g} must be above 0")

    def unit_nll(self, y: Tensor, mean: Tensor) -> Tensor:
        return (y - mean).abs() / self.width

    def sample(self, mean: Tensor, generator: torch.Generator) -> Tensor:
        u = torch.rand(mean.shape, generator=generator, dtype=mean.dtype).to(mean.device) - 0.5
        return mean - self.width * u.sign() * torch.log1p(-2 * u.abs().clamp(max=0.5 - 1e-7))


if __name__ == "__main__":
    noise = Laplace(0.05)
    print(report(check_noise(noise)))
    x = torch.tensor(data.astronaut()[40:104, 190:254] / 255.0).float().permute(2, 0, 1)
    y = noise.sample(x[None], torch.Generator().manual_seed(0))
    result = restore(Problem(y, Identity((3, 64, 64)), noise), load_prior("natural-fast"), DPS(), steps=50)
    found = result.samples[0].clamp(0, 1).numpy()
    print(f"measured: {psnr(y[0].clamp(0, 1).numpy(), x.numpy()):.2f} dB\nrestored: {psnr(found, x.numpy()):.2f} dB")
    write_picture("own_noise.png", np.concatenate([x.numpy(), y[0].clamp(0, 1).numpy(), found], -1))
    print("own_noise.png: truth, measurement, restoration")
