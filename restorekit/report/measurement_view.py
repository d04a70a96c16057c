"""A measurement to look at: as a picture of the size of a result."""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F

from restorekit.inference.problem import Problem


def measurement_shown(problem: Problem, coefficients: bool) -> tuple[np.ndarray, str]:
    """Return the measurement (1, ...) as a picture (C, H, W) of the size of a result, and how it was made one.

    coefficients: it holds values of any size and sign, such as those of a transform.
    """
    y, (_, h, w) = problem.y.float(), problem.operator.image_shape
    if coefficients or y.ndim != 4 or min(y.shape[2:]) <= 1:
        first = problem.estimate()
        return first[0].float().cpu().numpy(), "is no picture: a first estimate from it is shown"
    own = y.shape[2:]
    if own == (h, w):
        return y[0].cpu().numpy(), ""
    # Whole pixels where the factor is a whole number, as for blocks that are cut off at the edge.
    factors = [-(-n // m) for n, m in zip((h, w), own)]
    if all(-(-n // f) == m for n, m, f in zip((h, w), own, factors)):
        y = y.repeat_interleave(factors[0], 2).repeat_interleave(factors[1], 3)[..., :h, :w]
    else:
        y = F.interpolate(y, size=(h, w), mode="nearest-exact")
    return y[0].cpu().numpy(), f"{own[1]} × {own[0]}, its pixels enlarged"
