"""A discriminator that looks at parts of pictures, and the two losses between it and a decoder: Esser et al., "Taming
Transformers for High-Resolution Image Synthesis", CVPR 2021, eqs 6 and 7; hinges of Lim and Ye, "Geometric GAN", 2017.

Both sides are minimised as one sum by one optimiser. The decoder's term goes through a copy of the discriminator
without gradients for its weights, the discriminator's through pictures without gradients.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from restorekit.priors.networks.unet import PixelNorm

MOST = 1e4  # of the weight, where the decoder's term has hardly a gradient


class Discriminator(nn.Module):
    """Pictures (B, C, H, W) in [0, 1] -> a score for each part (B, 1, H / 4, W / 4), of 18 x 18 pixels."""

    def __init__(self, bands: tuple[int, ...], width: int = 32):
        super().__init__()
        self.stem = nn.ModuleDict({str(n): nn.Conv2d(n, width, 4, stride=2, padding=1) for n in bands})
        self.rest = nn.Sequential(
            nn.LeakyReLU(0.2), nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            PixelNorm(2 * width), nn.LeakyReLU(0.2), nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            PixelNorm(2 * width), nn.LeakyReLU(0.2), nn.Conv2d(2 * width, 1, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self.stem[str(x.shape[1])](2 * x - 1)).float()


def fooling(judge: nn.Module, x: Tensor) -> Tensor:
    """Return -E D(x), Liu et al. 2025 eq 13, of decoded pictures x (B, C, H, W): its gradient reaches x and not the discriminator."""
    frozen = {name: p.detach() for name, p in judge.named_parameters()}
    return -functional_call(judge, frozen, (x,)).mean()


def judging(judge: nn.Module, x: Tensor, truth: Tensor) -> Tensor:
    """Return (E max(0, 1 - D(truth)) + E max(0, 1 + D(x))) / 2: its gradient reaches the discriminator and not x.

    Liu et al. 2025, eq 14, prints it without max(0, .), which has no lower bound.
    """
    return (F.relu(1 - judge(truth)).mean() + F.relu(1 + judge(x.detach())).mean()) / 2


def balance(likeness: Tensor, fooled: Tensor, last: Tensor) -> Tensor:
    """Return |gradient of likeness| / |gradient of fooled| at the weights `last` of the decoder, over all processes, at most
    `MOST`: Esser et al., eq 7.
    """
    norms = []
    for loss in (likeness, fooled):
        (gradient,) = torch.autograd.grad(loss, last, retain_graph=True)
        gradient = gradient.contiguous()
        if dist.is_initialized():  # of the whole batch, so that all processes weigh alike
            dist.all_reduce(gradient)
        norms.append(gradient.norm())
    return (norms[0] / norms[1].clamp(min=1e-12)).clamp(max=MOST)
