"""A prior of your own: any denoiser, here one that smooths. Compares what it restores with what a trained prior does.

From the command line: restorekit denoise IN OUT --noise gaussian:0.1 --prior examples/own_prior.py:Smooth
"""

from __future__ import annotations

import torch
from skimage import data
from torch import Tensor

from restorekit import Gaussian, Problem, load_prior, restore
from restorekit.files.picture import write_picture
from restorekit.metrics.fidelity import psnr
from restorekit.operators import Identity
from restorekit.solvers import HQS


class Smooth:
    """E[x0 | x] for pictures whose Fourier coefficients are Gaussian and fall as 1 / frequency^2: a Wiener filter."""

    bands = (1, 3)  # what C may be
    strength = 0.25  # deviation of a pixel

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        """x (B, C, H, W) on [0, 1] with noise sigma, a float or (B,), in that unit."""
        noise = torch.as_tensor(sigma, dtype=x.dtype, device=x.device).reshape(-1, 1, 1, 1) ** 2
        h, w = x.shape[-2:]
        down = torch.fft.fftfreq(2 * h, device=x.device)[:, None] * 2 * h
        along = torch.fft.rfftfreq(2 * w, device=x.device) * 2 * w
        power = 1 / (1 + down**2 + along**2) ** 1.5
        power = power * self.strength**2 * (4 * h * w) / (2 * power.sum() - power[:, 0].sum())
        mirrored = torch.cat([x, x.flip(-1)], -1)
        mirrored = torch.cat([mirrored, mirrored.flip(-2)], -2) - 0.5
        smooth = torch.fft.irfft2(torch.fft.rfft2(mirrored) * power / (power + noise), s=mirrored.shape[-2:])
        return 0.5 + smooth[..., :h, :w]


if __name__ == "__main__":
    x = torch.tensor(data.astronaut()[40:104, 190:254] / 255.0).float().permute(2, 0, 1)
    noise = Gaussian(0.1)
    problem = Problem(noise.sample(x[None], torch.Generator().manual_seed(0)), Identity((3, 64, 64)), noise)
    panels = [problem.y[0]]
    for name, prior in (("smooth", Smooth()), ("natural-fast", load_prior("natural-fast"))):
        panels.append(restore(problem, prior, HQS(), steps=4).samples[0])
        print(f"{name:14}{psnr(panels[-1].clamp(0, 1).numpy(), x.numpy()):.2f} dB")
    write_picture("own_prior.png", torch.cat([*panels, x], -1).clamp(0, 1).numpy())
    print("own_prior.png: measurement, smooth, natural-fast, truth")
