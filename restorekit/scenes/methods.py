"""How the intensities of one block become those of the scene under the speckle: a filter, or a solver with a prior."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restorekit import driver, spec
from restorekit.errors import BadInput
from restorekit.likelihood import Gamma, Likelihood, Tempered
from restorekit.operators import Identity
from restorekit.priors.library import Precision, device_of, load_prior
from restorekit.priors.prior import Prior
from restorekit.raster.source import Window
from restorekit.sar.classical import FILTERS
from restorekit.sar.looks import Array, Mask
from restorekit.scenes.noise import SceneRng
from restorekit.scenes.survey import Facts
from restorekit.solvers.from_text import solver as solver_of
from restorekit.types import Problem, Solver

ALIASES = {"sar-dps": "dps"}
WHOLE = 768  # up to this side the network sees a block at once, pixels; beyond, in windows


@dataclass(frozen=True, eq=False)
class Block:
    """Intensities (h, w) of a window of a scene, 0 where there is no signal, and what holds for the whole band."""

    window: Window
    band: int  # from 1
    intensity: Array
    signal: Mask
    facts: Facts


class Method(Protocol):
    """Settings; the call gives (N, h, w) intensities, N draws or one answer, of any value where there is no signal."""

    @property
    def halo(self) -> int: ...
    def __call__(self, block: Block) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class Classical:
    """A filter of `restorekit.sar.classical`, as text: lee, lee:size=9."""

    text: str

    @property
    def halo(self) -> int:
        return self._filter(1.0).halo

    def _filter(self, looks: float):  # type: ignore[no-untyped-def]
        name, positional, named = spec.split(self.text)
        return spec.build(FILTERS[name], name, positional, named, looks=looks)

    def __call__(self, block: Block) -> NDArray[np.float64]:
        return self._filter(block.facts.looks)(block.intensity, block.signal)[None]


@lru_cache(maxsize=2)
def _prior(name: str, device: str, precision: Precision, tile: int | None) -> Prior:
    prior = load_prior(name, device=device_of(device), precision=precision, tile=tile if tile else "auto")
    if prior.units is None:
        raise BadInput(f"--prior {name} knows pictures and no logarithms of intensities; take --prior sar")
    return prior


@dataclass(frozen=True)
class Diffusion:
    """A solver with a prior of log-intensities, u = ln(intensity) moved so that the median of the band is that of the prior.

    weight: of the likelihood, 1 / kappa for speckle of correlated pixels.
    """

    solver: str
    prior: str = "sar"
    steps: int | None = None
    samples: int = 1
    seed: int = 0
    device: str = "auto"
    precision: Precision = "auto"
    tempered: bool = True
    halo: int = 64

    def law(self, facts: Facts) -> Likelihood:
        law = Gamma(facts.looks, domain="log")
        return Tempered(law, 1 / facts.kappa) if self.tempered and facts.kappa > 1 else law

    def network(self, side: int = 0) -> Prior:
        """For blocks of that side, pixels."""
        return _prior(self.prior, self.device, self.precision, None if side > WHOLE else WHOLE)

    def __call__(self, block: Block) -> NDArray[np.float64]:
        prior = self.network(max(block.intensity.shape))
        law, device = self.law(block.facts), device_of(self.device)
        assert prior.units is not None
        shift = prior.units.mean - block.facts.middle
        with np.errstate(divide="ignore"):
            y = np.where(block.signal, np.log(block.intensity) + shift, prior.units.mean)
        there = None if block.signal.all() else _picture(block.signal, device)
        problem = Problem(_picture(y, device), Identity((1, *y.shape)), law, there)
        solver = solver_of(self.solver)
        found = driver.restore(
            problem, prior.for_bands(1), solver, steps=self.steps, samples=self.samples, seed=self.seed, batch=1,
            rng=lambda seed, first, count: SceneRng(seed, range(first, first + count), block.window, block.band),
        )  # fmt: skip
        return np.exp(found.samples[:, 0].double().cpu().numpy() - shift)

    def check(self) -> Solver:
        """Refuses before any block is read what would be refused at the first."""
        solver = solver_of(self.solver)
        solver.check(Problem(torch.zeros(1, 1, 8, 8), Identity((1, 8, 8)), Gamma(1.0, domain="log")))
        if self.samples > 1 and not solver.samples:
            raise BadInput(
                f"{self.solver} is an optimiser: one answer, no samples; leave out --samples or take --solver sar-dps"
            )
        self.network()
        return solver


def _picture(x: NDArray[np.generic], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x, np.float32))[None, None].to(device)


def method_of(text: str, diffusion: Diffusion) -> Classical | Diffusion:
    """A filter by name, or `diffusion` with the solver of that name. BadInput lists what is known."""
    name, positional, named = spec.split(text)
    if name in FILTERS:
        spec.build(FILTERS[name], name, positional, named, looks=1.0)
        return Classical(text)
    try:
        solver_of(ALIASES.get(name, name) + text[len(name) :])
    except BadInput as error:
        unknown = str(error).startswith("unknown solver")
        raise BadInput(f"{error}; or a filter: {', '.join(FILTERS)}" if unknown else str(error)) from None
    return replace(diffusion, solver=ALIASES.get(name, name) + text[len(name) :])
