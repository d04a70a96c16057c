"""What a result leaves unexplained: white and of size 1 where it is right, and otherwise where it is not."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import restorekit as rk
from restorekit.inference.censored import Censored
from restorekit.inference.likelihood import Gaussian, Poisson
from restorekit.inference.problem import Problem
from restorekit.inference.residual import Unexplained, residual_of
from restorekit.operators import Identity, Inpaint, blur
from restorekit.operators.matrix import Matrix

SHAPE = (3, 48, 40)


def picture() -> Tensor:
    """A ramp with waves, (1, 3, 48, 40), of no noise."""
    down, along = torch.meshgrid(torch.linspace(0, 1, 48), torch.linspace(0, 1, 40), indexing="ij")
    return (0.2 + 0.5 * along + 0.1 * torch.sin(40 * down)).expand(1, *SHAPE).clone()


def noise(seed: int = 0) -> Tensor:
    return torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(seed))


def left(problem: Problem, x: Tensor) -> Unexplained:
    found = residual_of(problem, x)
    assert found is not None
    return found


def test_the_truth_leaves_white_noise_of_size_1() -> None:
    operator = blur(SHAPE, torch.ones(3, 3) / 9)
    found = left(Problem(operator(picture()) + 0.05 * noise(), operator, Gaussian(0.05)), picture())
    assert all(abs(v - 1) < 0.08 for v in found.misfits)
    assert abs(found.right) < 0.05
    assert abs(found.below) < 0.05
    assert torch.allclose(found.deviations, noise()[0], atol=1e-4)


def test_structure_that_was_lost_is_shared_by_neighbours() -> None:
    problem = Problem(picture() + 0.03 * noise(), Identity(SHAPE), Gaussian(0.03))
    flat = picture().mean((-1, -2), keepdim=True).expand_as(picture())
    found = left(problem, flat)
    assert found.right > 0.8
    assert found.misfits[0] > 1.5


def test_noise_of_another_law_shows_by_brightness() -> None:
    y = Poisson(100).sample(picture(), torch.Generator().manual_seed(1))
    usual = float((picture().mean() / 100).sqrt())
    found = left(Problem(y, Identity(SHAPE), Gaussian(usual)), picture())
    assert found.misfits[0] < 0.9
    assert found.misfits[2] > 1.1
    right = left(Problem(y, Identity(SHAPE), Poisson(100)), picture())
    assert all(abs(v - 1) < 0.1 for v in right.misfits)


def test_what_was_not_measured_or_was_clipped_does_not_count() -> None:
    mask = (torch.rand(1, 48, 40, generator=torch.Generator().manual_seed(2)) > 0.3).float().expand(SHAPE)
    holes = left(Problem(picture() + 0.05 * noise(), Inpaint(SHAPE, mask), Gaussian(0.05)), picture())
    assert torch.equal(holes.deviations.isnan(), mask == 0)
    y = (1.5 * picture() + 0.05 * noise()).clamp(0, 1)
    stopped = left(Problem(y, Identity(SHAPE), Censored.of(y, 0.05)), 1.5 * picture())
    assert torch.equal(stopped.deviations.isnan(), (y[0] >= 1) | (y[0] <= 0))
    assert abs(stopped.misfits[0] - 1) < 0.08


def test_a_measurement_that_is_no_picture_has_none() -> None:
    x = torch.rand(1, 1, 20, 20)
    numbers = Matrix((1, 20, 20), torch.rand(300, 400))
    assert residual_of(Problem(numbers(x), numbers, Gaussian(0.1)), x) is None


def test_a_task_records_and_shows_it(tmp_path: Path) -> None:
    y = (picture()[0] + 0.1 * noise()[0]).clamp(0, 1).numpy().transpose(1, 2, 0)
    found = rk.denoise(np.rint(255 * y).astype(np.uint8), noise="gaussian:0.1", prior="natural-fast")
    assert isinstance(found.residual, Unexplained)
    found.save(tmp_path / "x.png")
    said = json.loads((tmp_path / "x.png.json").read_text())["residual"]
    assert said == found.residual.record()
    assert 0.7 < said["misfit_dark"] < 1.1
    assert not math.isnan(said["right"])
    assert "neighbours share" in found._repr_html_()
