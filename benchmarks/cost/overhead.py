"""What a solver costs beside the network: milliseconds per step at 1x3x256x256, one thread, one 3x3 convolution as network.

Three ways, interleaved in one process: `restorekit.restore`, a bare loop of the same maths written straight in torch
(no package calls inside), and the same solver of deepinv where it has one. The least time over the repeats counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.cost.bare import BARE
from benchmarks.peers.deepinv_loops import deepinv_loops
from benchmarks.support.common import machine, publish
from restorekit import restore
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.inference.schedule import log_uniform
from restorekit.inference.solver import Solver
from restorekit.operators import BlockAverage, CircularBlur, Inpaint, LinearOperator, ReflectBlur
from restorekit.solvers import DDNM, DDRM, DPS, DiffPIR

SIGMA_Y = 0.05
PLAN = {  # label -> solver, operator
    "DDRM inpainting": (DDRM(), "inpaint"),
    "DDRM circular blur": (DDRM(), "circular"),
    "DDRM block average": (DDRM(), "blocks"),
    "DDNM inpainting": (DDNM(), "inpaint"),
    "DPS inpainting": (DPS(), "inpaint"),
    "DPS circular blur": (DPS(), "circular"),
    "DiffPIR inpainting": (DiffPIR(zeta=0.3), "inpaint"),
    "DiffPIR circular blur": (DiffPIR(zeta=0.3), "circular"),
    "DiffPIR reflect blur (CG)": (DiffPIR(zeta=0.3), "reflect"),
}


class Tiny(nn.Module):
    """One 3x3 convolution as a denoiser; the gain keeps the loop stable."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        with torch.no_grad():
            self.conv.weight.fill_(0.3 / 27)
        self.requires_grad_(False)

    def forward(self, x: Tensor, sigma: object) -> Tensor:
        return self.conv(x)


def kernel(size: int = 9) -> Tensor:
    """A lopsided kernel: no symmetry that a transform could exploit."""
    k = torch.rand(size, size, generator=torch.Generator().manual_seed(1)) ** 4
    return k / k.sum()


def operators(side: int) -> dict[str, LinearOperator]:
    shape = (3, side, side)
    mask = (torch.rand(1, side, side, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    return {
        "inpaint": Inpaint(shape, mask),
        "circular": CircularBlur(shape, kernel()),
        "reflect": ReflectBlur(shape, kernel()),
        "blocks": BlockAverage(shape, 4),
    }


def timed(run: Callable[[], object]) -> float:
    began = time.process_time()  # CPU time: what other processes take does not count
    run()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only", default="", help="part of a label")
    parser.add_argument("--no-deepinv", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    net, sides = Tiny(), operators(args.side)
    truth = torch.rand(1, 3, args.side, args.side, generator=torch.Generator().manual_seed(2))
    theirs = {} if args.no_deepinv else deepinv_loops(net, kernel(), sides["inpaint"].mask[None], args.steps, SIGMA_Y)  # type: ignore[attr-defined]
    # DPS costs the gradient of the network too: both calls are printed as the floor.
    floor, floor_gradient = (
        min(timed(lambda g=g: network(net, truth, g)) for _ in range(20)) * 1e3 for g in (False, True)
    )
    body: list[list[object]] = []
    for label, (solver, which) in PLAN.items():
        if args.only.lower() not in label.lower():
            continue
        operator = sides[which]
        law = Gaussian(SIGMA_Y)
        problem = Problem(law.sample(operator(truth), torch.Generator().manual_seed(3)), operator, law)
        turns = 2 if "CG" in label else args.repeats  # slow, and far above the resolution of the clock
        best = race(label, solver, problem, net, theirs, args.steps, turns)
        ours, bare, deep = (best.get(k, float("nan")) for k in ("ours", "bare", "deepinv"))
        body.append([label, ours, bare, ours / bare, deep, deep / ours])
        print(machine() if len(body) == 1 else "", *body[-1], flush=True)
    size = f"1x3x{args.side}x{args.side}"
    notes = [
        f"CPU time per step, least of {args.repeats} runs of {args.steps} steps, setup included, at {size}.",
        f"The network alone takes {floor:.2f} ms, with its gradient {floor_gradient:.2f} ms.",
        "Target: ours at most 1.2 times the bare loop, and below deepinv.",
    ]
    header = ("solver", "restorekit ms", "bare loop ms", "ours / bare", "deepinv ms", "deepinv / ours")
    publish("overhead", "Solver overhead", [("", header, body)], notes)


def network(net: nn.Module, x: Tensor, gradient: bool) -> None:
    leaf = x.clone().requires_grad_(gradient)
    out = net(leaf, 0.1)
    if gradient:
        torch.autograd.grad(out.sum(), leaf)


def race(
    label: str, solver: Solver, problem: Problem, net: Tiny, theirs: dict[str, Callable], steps: int, repeats: int
) -> dict[str, float]:
    """Milliseconds per step of each way, the ways taking turns."""
    levels = log_uniform(steps)
    runs: dict[str, Callable[[], Tensor]] = {
        "ours": lambda: restore(problem, net, solver, sigmas=levels).samples,
        "bare": lambda: BARE[label](problem.y, problem.operator, net, levels, SIGMA_Y),
    }
    if label in theirs:
        runs["deepinv"] = lambda: theirs[label](problem.y)
    best = dict.fromkeys(runs, float("inf"))
    for turn in range(repeats + 1):
        for name, run in runs.items():
            spent = timed(run) * 1e3 / steps
            if turn:  # the first turn warms up caches of FFT plans and memory
                best[name] = min(best[name], spent)
    return best


if __name__ == "__main__":
    main()
