"""Precision and recall of a set of samples tell how many lie where the data are, and how much of the data they reach.

Kynkäänniemi, Karras, Laine, Lehtinen, Aila, "Improved Precision and Recall Metric for Assessing Generative Models",
NeurIPS 2019, eqs 1 and 2. The manifold of a set is the union of balls about its members, each as wide as the distance
to the k-th nearest of the others; precision is the share of the samples within the manifold of the data, recall the
share of the data within that of the samples. Both depend on the sizes of the sets: compare equal ones.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from restorekit.errors import BadInput

K = 3  # section 3 of the paper
BLOCK = 512  # rows of a matrix of distances at a time


def _distances(a: Tensor, b: Tensor) -> Iterator[Tensor]:
    """Yield blocks (at most BLOCK, M) of the distances between the rows of a (N, D) and b (M, D).

    By differences, not by products: equal rows are at distance 0, and the balls of near-copies are small.
    """
    for rows in a.split(BLOCK):
        yield torch.cdist(rows, b, compute_mode="donot_use_mm_for_euclid_dist")


def radii(points: Tensor, k: int = K) -> Tensor:
    """Return the distance (N,) of each row of points (N, D) to the k-th nearest of the others. Raises `BadInput` for k
    points or fewer."""
    if not 1 <= k < len(points):
        raise BadInput(f"{len(points)} points have no {k} neighbours each; give at least {k + 1}")
    return torch.cat([d.kthvalue(k + 1, dim=1).values for d in _distances(points, points)])  # the nearest is itself


def within(points: Tensor, centres: Tensor, radius: Tensor) -> float:
    """Return the share of the rows of `points` (N, D) in at least one ball: `centres` (M, D), `radius` (M,)."""
    return float(torch.cat([(d <= radius).any(1) for d in _distances(points, centres)]).double().mean())


def precision_recall(data: Tensor, samples: Tensor, k: int = K) -> tuple[float, float]:
    """Return (precision, recall), shares in [0, 1], of features data (N, D) and samples (M, D); computed in float64.

    Raises `BadInput` for sets of k points or fewer.
    """
    data, samples = data.double(), samples.double()
    return within(samples, data, radii(data, k)), within(data, samples, radii(samples, k))
