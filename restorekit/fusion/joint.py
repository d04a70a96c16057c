"""An optical and a radar picture are fused by one minimum (`Map`), or the end of a reverse diffusion (`Diffusion`).

Zhang, Wang, Han 2023; Wang, Wu, Li, Yang 2025, eqs 25 and 26. The objective alone decides nothing where x0 lies between
both pictures and their weights are alike, for then x0 is a minimum. What x0 is decides: here the stronger detail of
each scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.fusion.baselines import pyramid
from restorekit.fusion.selection import Iterate, Selection, Sources
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.rng import Rng
from restorekit.inference.schedule import log_uniform
from restorekit.text.grammar import build, split


class Fused(NamedTuple):
    """A fused picture with its record."""

    picture: Tensor  # (1, 1, H, W)
    nfe: int


Shown = Callable[[int, int], None]  # (done, in all)


def estimate(sources: Sources) -> Tensor:
    """Return the `pyramid` of both pictures (1, 1, H, W); where only one has weight, that one."""
    o, r = sources.o, sources.r
    if sources.weight_r is not None:
        r = torch.where(sources.weight_r > 0, r, o)
    if sources.weight_o is not None:
        o = torch.where(sources.weight_o > 0, o, r)
    first, second = (x[0, 0].double().cpu().numpy() for x in (o, r))
    return torch.from_numpy(pyramid(first, second)).to(sources.o)[None, None]


@dataclass(frozen=True)
class Map(Selection):
    """It solves eq 26 with `estimate` for x0: the network is not asked."""

    network = False
    unit = "iterations"

    def fuse(self, sources: Sources, denoise: Denoiser | None, rng: Rng, shown: Shown | None = None) -> Fused:
        """Return the minimum; no denoiser is asked."""
        picture, _ = self(estimate(sources), sources, shown=shown)
        return Fused(picture, 0)


@dataclass(frozen=True)
class Diffusion(Selection):
    """It runs eq 25: at each noise level x0 = E[x0 | x] of the prior is replaced by the minimum of eq 26, and noise is
    put back.

    `iterations` of ADMM go on from where the last level ended; noise comes back as DDIM does it where zeta is 0 (Song
    et al. 2021). It begins at `first` from `estimate` plus noise, not from noise alone: x0 is what tells one picture
    from the other.
    """

    c: float = 2.0  # of the optical gradients: what the network takes for noise in them comes back
    iterations: int = 15
    final: int = 100  # iterations at the last level
    steps: int = 12  # noise levels, network calls
    first: float = 0.15  # noise level to begin with, white = 1
    zeta: float = 0.3  # share of fresh noise

    network = True
    unit = "network calls"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.first > 0 and 0 <= self.zeta <= 1 and self.steps >= 1 and self.final >= 1):
            raise ValueError("first must be above 0, zeta in 0..1, steps and final at least 1")

    @torch.no_grad()
    def fuse(self, sources: Sources, denoise: Denoiser | None, rng: Rng, shown: Shown | None = None) -> Fused:
        """Fuse the pictures; `denoise` takes (1, 1, H, W) on [0, 1]."""
        if denoise is None:
            raise BadInput("diffusion needs a prior; give `prior=natural`, or take `solver=map`")
        sigmas = log_uniform(self.steps, self.first, min(0.01, 0.5 * self.first))
        f, state = estimate(sources), None
        x = f + sigmas[0] * rng.normal(f)
        for i, (sigma, sigma_next) in enumerate(zip(sigmas, sigmas[1:]), 1):
            f, state = self._selected(denoise(x, sigma), sources, state, last=sigma_next == 0)
            keep = sigma_next / sigma * math.sqrt(1 - self.zeta)
            x = torch.lerp(f, x, keep).add_(rng.normal(x), alpha=sigma_next * math.sqrt(self.zeta))
            if shown is not None:
                shown(i, self.steps)
        return Fused(f, self.steps)

    def _selected(self, x0: Tensor, sources: Sources, state: Iterate | None, last: bool) -> tuple[Tensor, Iterate]:
        return (replace(self, iterations=self.final) if last else self)(x0, sources, state)


SOLVERS: dict[str, type[Map | Diffusion]] = {"map": Map, "diffusion": Diffusion}


def solver_of(text: str) -> Map | Diffusion:
    """Return `map` or `diffusion`, with settings, as `map:a=0.5,b=0.5`. Raises BadInput that lists the known ones."""
    name, positional, named = split(text)
    if name not in SOLVERS:
        raise BadInput(f"unknown fusion {name!r}; known: {', '.join(SOLVERS)}")
    return build(SOLVERS[name], name, positional, named)
