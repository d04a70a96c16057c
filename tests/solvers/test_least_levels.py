"""The least number of levels of each solver: what it is measured by, and the warning below it.

On small dense Gaussian problems (denoising and inpainting at 0.05, inpainting and means of 2x2 at 0.01) it is the first of 1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25 ... levels at which the mean is at most half a posterior
deviation farther off than at the default number, and no spread is 1.5 times larger or smaller than there. smc and exchange are
too slow for all four and have the first two; quadrature, which takes no Gaussian noise, has what pigdm has, ep what it needs
for speckle in the logarithm (1, 4 and 16 looks, wide; 1 and 4, narrow).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from restorekit import operators as ops
from restorekit.bench.posterior.exam_gaussian import OPERATORS, PRIORS, GaussianExam
from restorekit.bench.posterior.run_exam import Size, measure
from restorekit.cli.main import run
from restorekit.files.picture import write_picture
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.solvers import DPS, HQS, SOLVERS
from restorekit.tasks.defaults import TASKS
from restorekit.text.names import solver_of

SHAPE = (1, 8, 8)
PROBLEM = Problem(torch.zeros(1, *SHAPE), ops.Inpaint(SHAPE, torch.ones(SHAPE)), Gaussian(0.05))


@pytest.mark.parametrize("name", ["daps", "ddrm", "dps", "mmps", "pigdm", "pnpdm", "sar-dps"])
def test_at_the_least_number_of_levels_errors_are_not_gross_and_far_below_they_are(name: str) -> None:
    exam = GaussianExam(OPERATORS["inpaint"](), 0.05, PRIORS["random"]())
    least, size = SOLVERS[name].least_steps, Size(1, 39)
    enough, few = (measure(exam, SOLVERS[name](), n, size)[0] for n in (least, max(1, least // 8)))
    assert enough.error_measured.value < 0.75
    assert enough.error_unmeasured.value < 0.75
    assert 0.6 < enough.spread_measured.value < 1.6
    assert 0.6 < enough.spread_unmeasured.value < 1.6
    far = max(few.error_measured.value, few.error_unmeasured.value)
    assert far > 0.65 or not 0.6 < few.spread_measured.value < 1.6


@pytest.mark.parametrize("name", [n for n, s in SOLVERS.items() if s.least_steps > 1])
def test_a_solver_says_when_levels_are_too_few(name: str) -> None:
    solver = SOLVERS[name]()
    least = solver.least_steps
    assert least <= solver.default_steps
    said = solver.doubts(PROBLEM, [float(s) for s in range(least - 1, -1, -1)])
    assert said is not None
    assert f"at least {least} " in said
    assert "\n" not in said
    assert solver.doubts(PROBLEM, [float(s) for s in range(least, -1, -1)]) is None


def test_one_step_of_hqs_denoises() -> None:
    plain = Problem(PROBLEM.y, ops.Identity(SHAPE), PROBLEM.likelihood)
    assert HQS().doubts(plain, [0.05, 0.0]) is None
    assert HQS().doubts(PROBLEM, [0.05, 0.0]) is not None


def test_no_default_of_a_task_is_doubted() -> None:
    for name, task in TASKS.items():
        for text, steps in ((task.solver, task.steps), (task.sampler, task.sampler_steps)):
            solver = solver_of(text)
            if not (name == "denoise" and isinstance(solver, HQS)):
                assert steps >= solver.least_steps, (name, text)


@pytest.mark.parametrize("steps", [1, DPS.least_steps])
def test_the_command_warns_below_it(steps: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).random((1, 16, 16)).astype(np.float32) * 0.5 + 0.25
    write_picture(tmp_path / "y.tif", x, dtype="float32")
    with pytest.raises(SystemExit) as stop:
        run(["restore", str(tmp_path / "y.tif"), str(tmp_path / "out.tif"), "--op", "denoise", "--noise", "gaussian:0.1",
             "--prior", "natural-fast", "--solver", "dps", "--steps", str(steps)])  # fmt: skip
    assert stop.value.code == 0
    assert ("note: DPS is far off with 1 noise level; take at least" in capsys.readouterr().err) == (steps == 1)
