"""The restoration tasks of the benchmarks: a measurement of a true picture, seeded by the picture's number."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from benchmarks.support.common import kernels
from restorekit.errors import Unsupported
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.inference.restoration import Restoration
from restorekit.inference.schedule import log_uniform
from restorekit.inference.solver import Solver
from restorekit.operators import BlockAverage, Grey, Identity, Inpaint, LinearOperator, blur
from restorekit.solvers import SOLVERS

TASKS: dict[str, float] = {  # name -> sigma_y
    "denoise-0.1": 0.1,
    "denoise-0.2": 0.2,
    "deblur-0.01": 0.01,
    "deblur-0.03": 0.03,
    "upscale4": 0.01,
    "inpaint80": 0.01,
    "box": 0.01,
    "colorize": 0.01,
}


def sigma_of(task: str) -> float:
    """The noise of a task; `denoise-S` exists for every S."""
    return float(task[8:]) if task.startswith("denoise-") else TASKS[task]


@dataclass(frozen=True, eq=False)
class Case:
    """One measurement: the problem, and what classical methods need to know of it."""

    task: str
    number: int
    truth: np.ndarray  # (C, H, W)
    problem: Problem
    kernel: np.ndarray | None = None
    mask: np.ndarray | None = None  # (H, W), True where measured

    @property
    def sigma(self) -> float:
        return sigma_of(self.task)

    @property
    def y(self) -> np.ndarray:
        return self.problem.y[0].numpy()


def make(task: str, truth: np.ndarray, number: int) -> Case:
    """The measurement number `number` of a task; sides must be multiples of 4."""
    seed = zlib.crc32(task.encode()) + number
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    shape: tuple[int, int, int] = truth.shape  # type: ignore[assignment]
    kernel, mask, operator = None, None, None
    if task.startswith("denoise"):
        operator = Identity(shape)
    elif task.startswith("deblur"):
        kernel = kernels()[number % 8][1]
        operator = blur(shape, torch.from_numpy(kernel), "reflect")
    elif task == "upscale4":
        operator = BlockAverage(shape, 4)
    elif task == "colorize":
        operator = Grey(shape)
    elif task == "inpaint80":
        mask = rng.random(shape[1:]) >= 0.8
    elif task == "box":
        mask = np.ones(shape[1:], bool)
        (h, w), (top, left) = (
            (n // 4 for n in shape[1:]),
            (int(rng.integers(n // 8, n - n // 4 - n // 8)) for n in shape[1:]),
        )
        mask[top : top + h, left : left + w] = False
    else:
        raise SystemExit(f"unknown task {task}; known: {', '.join(TASKS)}")
    if mask is not None:
        operator = Inpaint(shape, torch.from_numpy(mask.astype(np.float32))[None])
    assert isinstance(operator, LinearOperator)
    law = Gaussian(sigma_of(task))
    y = law.sample(operator(torch.from_numpy(truth)[None]), generator)
    y = y if mask is None else operator(y)  # nothing is measured in a hole, not even noise
    return Case(task, number, truth, Problem(y, operator, law), kernel, mask)


def cases(task: str, pictures: list[tuple[str, np.ndarray]], per_picture: int = 1) -> list[tuple[str, Case]]:
    """Name and case of every picture; deblurring takes `per_picture` kernels each, going through all eight in turn."""
    count = per_picture if task.startswith("deblur") else 1
    out = []
    for i, (name, x) in enumerate(pictures):
        out += [
            (name if count == 1 else f"{name}-k{(i * count + j) % 8 + 1}", make(task, x, i * count + j))
            for j in range(count)
        ]
    return out


def solver_of(text: str) -> tuple[str, Solver, dict[str, Any]]:
    """`name` or `name:key=value,...` -> label, solver, and what goes to `restore` (steps, first, last of a log schedule)."""
    name, _, rest = text.partition(":")
    if name not in SOLVERS:
        raise SystemExit(f"unknown solver {name}; known: {', '.join(SOLVERS)}")
    settings: dict[str, Any] = {}
    for pair in filter(None, rest.split(",")):
        key, _, value = pair.partition("=")
        settings[key] = _number(value)
    run = {k: settings.pop(k) for k in ("steps", "first", "last", "samples") if k in settings}
    if "travel" in settings:  # travel=10x3
        settings["travel"] = tuple(int(n) for n in str(settings["travel"]).split("x"))
    return text, replace(SOLVERS[name](), **settings), run


def _number(text: str) -> Any:
    if text in ("none", "None"):
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def run_solver(case: Case, denoise: Denoiser, chosen: tuple[str, Solver, dict[str, Any]]) -> Restoration | None:
    """`restore` with the settings of `solver_of`; None where the solver cannot treat the task."""
    _, solver, run = chosen
    levels = None
    if "first" in run or "last" in run:
        usual = solver.schedule(case.problem, run.get("steps"))
        last = run.get("last", usual[-2])
        levels = log_uniform(len(usual) - 1, max(run.get("first", usual[0]), last), last)
    elif run.get("steps") == 1:  # a log-uniform grid of one level would be its first; one denoising is at the last
        levels = [case.sigma, 0.0]
    try:
        return restore(
            case.problem, denoise, solver, steps=run.get("steps"), sigmas=levels, samples=run.get("samples", 1)
        )
    except Unsupported:
        return None
