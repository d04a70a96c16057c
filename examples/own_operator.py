"""A forward model of your own: a ghost, the faint second image of a double-glazed window. Writes own_operator.png.

From the command line: restorekit restore IN OUT --op examples/own_operator.py:Ghost:shift=9,strength=0.5 ...
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from skimage import data
from torch import Tensor
from torch.nn import functional as F

from restorekit import Gaussian, Problem, restore
from restorekit.files.picture import write_picture
from restorekit.metrics import fidelity
from restorekit.operators import LinearOperator, check, report
from restorekit.priors.analytic import GaussianPrior
from restorekit.solvers import DiffPIR


@dataclass(frozen=True, eq=False)
class Ghost(LinearOperator):
    """y = x + strength * (x moved `shift` pixels to the right; nothing comes in from the left)."""

    shift: int = 9
    strength: float = 0.5

    def __call__(self, x: Tensor, /) -> Tensor:
        return x + self.strength * F.pad(x, (self.shift, 0))[..., : x.shape[-1]]

    def adjoint(self, y: Tensor, /) -> Tensor:  # may be left out: autograd finds it, a little slower
        return y + self.strength * F.pad(y, (0, self.shift))[..., self.shift :]


if __name__ == "__main__":
    print(report(check(Ghost((2, 12, 16), shift=3))))

    truth = torch.from_numpy(data.camera()[64:192, 160:288] / np.float32(255))[None, None]
    operator, noise = Ghost((1, 128, 128)), Gaussian(0.02)
    y = noise.sample(operator(truth), torch.Generator().manual_seed(0))
    prior = GaussianPrior.smooth((1, 128, 128))  # a stand-in that needs no weights; or load_prior("natural")

    result = restore(Problem(y, operator, noise), prior, DiffPIR(zeta=0.3, first=10.0), steps=30, samples=8)

    for name, picture in {"measured": y[0], "restored": result.mean}.items():
        print(f"{name}: {fidelity.psnr(picture.numpy(), truth[0].numpy()):.2f} dB")
    strip = torch.cat([truth[0], y[0] / (1 + operator.strength), result.mean], -1)
    write_picture("own_operator.png", strip.clamp(0, 1).numpy())
    print("own_operator.png: truth, measurement, restoration")
