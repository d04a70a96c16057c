#!/usr/bin/env bash
# azula 0.11.1 (torch 2.13.0), seen on 2026-11-29.
# azula.guidance.DPSSampler draws several pictures at a time, x of shape (B, ...); the paper (Chung et al., ICLR 2023, Algorithm 1)
# has a step of length zeta / ||y - A(x0)|| for each picture.
# Expected: how closely a sample fits the measurement does not depend on how many are drawn beside it.
# Seen: the norm runs over the whole batch, so that the guidance of each picture is weaker by the root of their number: drawn one
# at a time samples of the same y end at a distance of 0.15 from it, 64 drawn at once at 4.7 (same zeta, levels and prior).
# Whoever compares samplers, or draws many samples for an error bar, has to draw one at a time or scale zeta by the root of B.
# Exit 0 while that is so, 1 once it has changed, 2 where the packages cannot be installed.
set -u
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" install -q torch==2.13.0 azula==0.11.1 >/dev/null 2>&1 || exit 2
cd "$folder" && OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version

import torch
from azula.denoise import DiracPosterior, Denoiser
from azula.guidance.dps import DPSSampler
from azula.noise import VPSchedule

N, COUNT = 16, 64


class Exact(Denoiser):
    """E[x0 | x_t] of independent standard normal numbers."""

    def __init__(self):
        super().__init__()
        self.schedule = VPSchedule()

    def forward(self, x_t, t, **kwargs):
        alpha, sigma = self.schedule(t)
        return DiracPosterior(mean=alpha * x_t / (alpha**2 + sigma**2))


y = torch.linspace(-2, 2, N)


def misfit(batch):
    """Mean distance of COUNT samples from y, of which `batch` are drawn at once."""
    torch.manual_seed(0)
    found = []
    for _ in range(COUNT // batch):
        sampler = DPSSampler(Exact(), y.expand(batch, N), lambda x: x, zeta=0.3, steps=200, silent=True)
        found.append(sampler(torch.randn(batch, N)))
    return float((torch.cat(found) - y).norm(dim=1).mean())


one, many = misfit(1), misfit(COUNT)
print(f"azula {version('azula')}: |x - y| of samples drawn one at a time {one:.3f}, of {COUNT} at once {many:.3f}")
sys.exit(0 if many > 2 * one else 1)
PY
