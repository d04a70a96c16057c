"""RR-DPS repairs with a prior what a derainer left (Wang, Wu, Li, Yang 2025, section 3.4; Wu et al., ICGIP 2024).

There the pixels of K are thrown away and painted anew. What a good derainer says under a streak is better than that
(benchmarks/restoration/derain.py): so by default it counts as a measurement with noise, and what is sampled counts for
a part. Errors of a derainer are no white noise and not independent of those of the prior, hence the part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.inference.restoration import Restoration
from restorekit.inference.schedule import log_uniform
from restorekit.inference.solver import Solver, Step
from restorekit.operators import Identity, Inpaint
from restorekit.rain.residue import Mask
from restorekit.solvers.ddnm import DDNMPlus
from restorekit.solvers.dps import DPS

Array = NDArray[np.floating]
CLEAN = 0.005  # noise level of B where it is not repaired: that of its 8 bits, and little more


class Refined(NamedTuple):
    """A repaired picture with what it was made of."""

    picture: Array  # (C, H, W); B itself outside K
    std: Array  # (C, H, W) over the samples, as they count in the picture; 0 outside K
    run: Restoration | None  # None where K is empty


@dataclass(frozen=True)
class Refinement:
    """It makes B + weight * feather * (x - B) in K, x the mean of posterior samples given B."""

    solver: Solver = field(default_factory=DDNMPlus)
    steps: int | None = 5
    sigma: float | None = 0.07  # noise level of B in K, white = 1; None: nothing is measured there (eq 27)
    weight: float = 0.1  # of x beside B; 1: x alone
    first: float | None = 0.2  # noise level to begin from, at B; None: the solver's own levels
    feather: int = 1  # pixels inside K over which x comes in
    samples: int = 2

    def __post_init__(self) -> None:
        if not 0 < self.weight <= 1:
            raise ValueError(f"weight={self.weight:g}: must lie above 0, and at 1 at most")
        if self.sigma is not None and not self.sigma > 0:
            raise ValueError(f"sigma={self.sigma:g}: must be above 0, or none: nothing is measured in the mask")
        if self.feather < 0:
            raise ValueError(f"feather={self.feather}: must be at least 0")
        if self.first is not None and not self.first > 0.01:
            raise ValueError(f"first={self.first:g}: must be above 0.01")

    def problem(self, b: Tensor, k: Mask) -> Problem:
        """Return the problem of b (1, C, H, W), where k (H, W) is set. Raises BadInput where nothing would be
        measured."""
        shape = (b.shape[1], b.shape[2], b.shape[3])
        at = torch.from_numpy(k)[None].to(b.device)
        if self.sigma is None:
            if k.all():
                raise BadInput("the mask is white everywhere, so nothing is measured; give one with black in it")
            return Problem(b, Inpaint(shape, (~at).to(b)), Gaussian(CLEAN))
        sigma = torch.full_like(b, CLEAN).masked_fill_(at, self.sigma)
        return Problem(b, Identity(shape), Gaussian(sigma))

    def share(self, k: Mask) -> Array:
        """Return how much x counts (H, W): 0 outside k, from its edge inwards up to `weight`."""
        if k.all():  # no edge, and the distance to none is -1
            return np.full(k.shape, self.weight)
        padded = np.asarray(scipy.ndimage.distance_transform_cdt(np.pad(k, 1, mode="edge"), "chessboard"))
        inside = padded[1:-1, 1:-1]
        return self.weight * np.minimum(inside / (self.feather + 1), 1) * k

    def __call__(
        self,
        b: Array,
        k: Mask,
        denoise: Denoiser,
        seed: int = 0,
        device: torch.device | str = "cpu",
        progress: Callable[[int, int, Step], None] | None = None,
    ) -> Refined:
        """Repair b (C, H, W) on [0, 1] where k (H, W) is set."""
        if not k.any():
            return Refined(b, np.zeros_like(b), None)
        y = torch.from_numpy(np.ascontiguousarray(b, np.float32))[None].to(device)
        begun = {}
        if self.first is not None:
            levels = log_uniform(self.steps or self.solver.default_steps, self.first, 0.01)
            begun = {"sigmas": levels, "begin": y.expand(self.samples, *y.shape[1:])}
        run = restore(
            self.problem(y, k), denoise, self.solver, steps=self.steps, samples=self.samples, seed=seed,
            progress=progress, **begun,
        )  # fmt: skip
        x, share = run.mean.float().cpu().numpy(), self.share(k)
        std = share * run.std.float().cpu().numpy() if self.samples > 1 else np.zeros_like(b)
        return Refined(np.where(k, b + share * (x - b), b), std.astype(np.float32), run)


# Wang, Wu, Li, Yang 2025: what is in the mask is thrown away, and what is painted there comes into the picture as it is.
PAPER = Refinement(solver=DPS(), steps=None, sigma=None, weight=1.0, first=None, feather=2, samples=1)
# For a derainer that leaves much: chosen on made-up rain, taken from training photographs by the plain derainer.
WEAK = Refinement(steps=7, sigma=0.3, weight=0.5, first=0.5)
