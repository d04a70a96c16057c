"""Both sides of `peers.py`, called alike: our solvers and deepinv's, at their defaults and on small grids."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from restorekit.bench.peers.peer_deepinv import Theirs, physics_of
from restorekit.bench.posterior.run_exam import Stream
from restorekit.inference.checks import Counted
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.inference.solver import Solver
from restorekit.operators import SVDOperator
from restorekit.solvers import DDRM, DPS, MMPS, DiffPIR, PiGDM

SHARES, SCALES = (0.1, 0.3, 1.0), (0.5, 1.0, 2.0)
OURS: dict[str, dict[str, Solver]] = {  # at the settings that the package has without being told
    "DDRM": {"default": DDRM(), "paper": DDRM(paper=True)},
    "DiffPIR": {"default": DiffPIR(), "paper": DiffPIR(paper=True)},
    "DPS": {"default": DPS(), "paper": DPS(paper=True)},
    "PiGDM": {"default": PiGDM(), "paper": PiGDM(paper=True)},
    "MMPS": {"default": MMPS()},
}
OUR_GRID: dict[str, Sequence[Solver]] = {
    "DDRM": [DDRM(eta) for eta in (0.5, 0.85, 1.0, None)],
    "DiffPIR": [DiffPIR(lambda_, zeta) for zeta in SHARES for lambda_ in SCALES],
    "DPS": [DPS(s) for s in (0.25, 0.35, 0.5, 1.0)] + [DPS(s, paper=True) for s in (0.3, 1.0)],
    "PiGDM": [PiGDM(std, sampler) for std in (0.15, 0.25) for sampler in ("sde", "ddpm")],
    "MMPS": [],
}


@dataclass(frozen=True)
class Draws:
    """(B, samples, C, H, W); network calls, vector-Jacobian products; CPU seconds per sample; the levels visited."""

    x: Tensor
    nfe: int
    vjps: int
    seconds: float
    levels: list[float]
    settings: str
    process: str = "ddpm"  # the sampler that an exact score on these levels is followed by


Side = Callable[[SVDOperator, float, Tensor, Denoiser, int, int, int], Draws]


def ours(solver: Solver) -> Side:
    def draw(
        operator: SVDOperator, sigma_y: float, y: Tensor, denoise: Denoiser, calls: int, samples: int, seed: int
    ) -> Draws:
        problem = Problem(y.repeat_interleave(samples, 0), operator, Gaussian(sigma_y))
        levels = solver.schedule(problem, calls)
        if solver.calls(levels) > calls:  # two calls a level, the last one excepted
            levels = solver.schedule(problem, (calls + 1) // 2)
        solver.check(problem)
        counted, rng, began = Counted(denoise), Stream(seed), time.process_time()
        x = solver.start(problem, levels[0], rng)
        for step in solver(problem, counted, levels, x, rng):
            x = step.x
        seconds = (time.process_time() - began) / len(x)
        x, process = x.view(len(y), samples, *x.shape[1:]), "ddpm"
        if isinstance(solver, (PiGDM, MMPS)) and not getattr(solver, "paper", False):
            process = solver.sampler
        return Draws(x, counted.calls, counted.vjps, seconds, levels, label(solver), process)

    return draw


def theirs(peer: Theirs) -> Side:
    def draw(
        operator: SVDOperator, sigma_y: float, y: Tensor, denoise: Denoiser, calls: int, samples: int, seed: int
    ) -> Draws:
        physics, many = physics_of(operator, sigma_y), y.repeat_interleave(samples, 0)
        counted, began = Counted(denoise), time.process_time()
        x = peer(many, physics, counted, calls, seed)
        seconds = (time.process_time() - began) / len(x)
        x = x.view(len(y), samples, *x.shape[1:])
        return Draws(x, counted.calls, counted.vjps, seconds, peer.levels(calls), peer.settings("calls"))

    return draw


def label(solver: Solver) -> str:
    left_out = {"first", "eta_b", "iterations"} | (
        {"sampler", "prior_std"} if getattr(solver, "paper", False) else set()
    )
    parts = {k: v for k, v in solver.settings().items() if k not in left_out}
    named = (
        f"{k.rstrip('_')} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in parts.items() if v is not False
    )
    return ", ".join(named)
