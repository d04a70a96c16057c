"""A measurement and a prior become one denoiser, for samplers and programs that know only denoisers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from restorekit.errors import BadInput, Unsupported
from restorekit.inference.coding import Coding
from restorekit.inference.denoiser import Denoiser, Latent
from restorekit.inference.problem import Problem
from restorekit.inference.units import Units, denoiser_in, problem_in, units_of
from restorekit.solvers.mmps import MMPS
from restorekit.solvers.parts.guided import Guided


@dataclass(eq=False)
class _Run:
    """The conditional denoiser of one run, and the level of its last call: a call below it belongs to the same run."""

    denoise: Denoiser | None = None
    sigma: float = 0.0
    like: tuple[Any, ...] = ()


@dataclass(frozen=True, eq=False)
class Conditional:
    """The denoiser of the posterior, E[x0 | x = x0 + sigma n, y]: a prior that has seen a measurement.

    `Conditional(prior, problem)` is itself a denoiser, so that every sampler of `solvers.samplers` draws from the posterior with
    it as it draws from the prior with `prior`: `DDIM()(Conditional(prior, problem), sigmas, x, rng)`. Use it to follow a
    sampler of one's own, or to look at one noise level; for pictures `restore` chooses levels, batches and seeds.

    denoise: the prior, in its own unit. problem: y of shape (1, ...), for any number of pictures, or as many measurements
    as pictures that will come. method: how the likelihood enters, one of the solvers that are guided, `MMPS` if not told, which is
    exact for Gaussian priors and noise up to its `iterations`; its own sampler is not used.

    A call takes x (B, C, H, W) and sigma, a number or (B,), in the unit of the prior, and returns x0 (B, C, H, W) without
    a graph. Where a method iterates, it begins where the call before ended as long as sigma does not rise, as in a run
    down the noise levels; a call at a higher level, or for pictures of another shape, begins afresh.

    Raises `BadInput` where the prior is no denoiser, the method is not guided or the numbers of pictures and measurements
    differ; `Unsupported` where the method cannot treat the problem, and for priors of latents.
    """

    denoise: Denoiser
    problem: Problem
    method: Guided = field(default_factory=MMPS)
    _run: _Run = field(default_factory=_Run, init=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.denoise, Latent):
            raise Unsupported(
                "a prior of latents has no linear measurement to be guided by; use restore with vds or dps"
            )
        if not callable(self.denoise):
            raise BadInput(
                f"the denoiser is a {type(self.denoise).__name__}; give a prior, such as load_prior('natural')"
            )
        if not isinstance(self.method, Guided):
            given = self.method.__name__ if isinstance(self.method, type) else type(self.method).__name__
            raise BadInput(f"{given} is no guided method; give one such as MMPS(), PiGDM() or EP()", argument="method")
        self.method.check(self._in_units(self.problem))

    @property
    def units(self) -> Units | Coding | None:
        """Return the unit of the prior, which is that of this denoiser; None for pictures on [0, 1]."""
        return units_of(self.denoise)

    def _in_units(self, problem: Problem) -> Problem:
        return problem if self.units is None else problem_in(self.units, problem)

    def _begun(self, count: int) -> Denoiser:
        """Return the conditional denoiser of a new run with `count` pictures, in units of a picture on [0, 1]."""
        problem = self.problem
        if len(problem.y) not in (1, count):
            raise BadInput(
                f"{count} pictures for {len(problem.y)} measurements; give one measurement, or one a picture"
            )
        problem = self._in_units(replace(problem, y=problem.y.expand(count, *problem.y.shape[1:])))
        prior = self.denoise if self.units is None else denoiser_in(self.units, self.denoise)
        return self.method.conditional(problem, prior)

    @torch.no_grad()
    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        levels = torch.as_tensor(sigma, dtype=torch.float64).flatten().tolist()
        if len(set(levels)) > 1:
            return self._each(x, levels)
        level, like = levels[0], (x.shape, x.dtype, x.device)
        run = self._run
        if run.denoise is None or level > run.sigma or like != run.like:
            run.denoise, run.like = self._begun(len(x)), like
        run.sigma = level
        if self.units is None:
            return run.denoise(x, level)
        return self.units.back(run.denoise(self.units.of(x), level / self.units.gain))

    def _each(self, x: Tensor, levels: list[float]) -> Tensor:
        """Denoise pictures that have noise levels of their own, one by one."""
        if len(levels) != len(x) or not all(map(math.isfinite, levels)):
            raise BadInput(f"{len(levels)} noise levels for {len(x)} pictures; give one number, or one a picture")
        problems = self.problem.split()
        problems = problems * len(x) if len(problems) == 1 else problems
        parts = zip(x.split(1), levels, problems, strict=True)
        return torch.cat([Conditional(self.denoise, p, self.method)(one, level) for one, level, p in parts])
