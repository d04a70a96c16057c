"""A filter, or a solver with a prior, turns the intensities of one block into those of the scene under the speckle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restorekit.despeckling.survey import BandStatistics
from restorekit.errors import BadInput
from restorekit.files.bands import Window
from restorekit.inference import driver
from restorekit.inference.derived_laws import Tempered
from restorekit.inference.likelihood import Gamma, Likelihood
from restorekit.inference.problem import Problem
from restorekit.operators import Identity
from restorekit.priors.find import Precision, device_of, load_prior, of_pictures
from restorekit.priors.prior import Prior
from restorekit.priors.rotated import Rotated
from restorekit.sar.filters import FILTERS
from restorekit.sar.looks import Array, Mask
from restorekit.sar.polarisations import Components
from restorekit.sar.radiometry import Level
from restorekit.scenes.field_noise import SceneRng
from restorekit.text.grammar import build, split
from restorekit.text.names import solver_of

MIDDLE = 0.35  # what the median of intensities becomes where they are taken for a picture
# A name alone: with more weight on the data than for photographs (benchmarks/remote_sensing/despeckle_tuning.py).
TUNED = {"hqs": ("hqs:first=0.3,lambda=0.07", 12)}
WHOLE = 768  # up to this side the network sees a block at once, pixels; beyond, in windows


@dataclass(frozen=True, eq=False)
class SpeckledBlock:
    """A block holds intensities (h, w) of a window of a scene, 0 where there is no signal, and what holds for the
    whole band."""

    window: Window
    band: int  # from 1
    raw: NDArray[Any]  # as the file holds them
    intensity: Array
    signal: Mask
    facts: BandStatistics
    targets: Mask | None = (
        None  # (h, w): pixels that are kept as measured, in whose place `raw` and `intensity` hold clutter
    )

    @property
    def measured(self) -> Mask:
        """Return where a pixel says something of what is to be restored, (h, w)."""
        return self.signal if self.targets is None else self.signal & ~self.targets


class BlockMethod(Protocol):
    """Settings of a method; the call gives (N, h, w) intensities, N draws or one answer, of any value where there is
    no signal."""

    @property
    def halo(self) -> int:
        """Return the pixels around a block that its result depends on."""
        ...

    @property
    def text(self) -> str:
        """Return the method in text, for records."""
        ...

    @property
    def draws(self) -> int:
        """Return the number of samples of a block."""
        ...

    def __call__(self, block: SpeckledBlock) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class Classical:
    """It filters by one of `restorekit.sar.filters`, as text: lee, lee:size=9."""

    text: str
    draws = 1

    @property
    def halo(self) -> int:
        """Return the halo of the filter."""
        return self._filter(1.0).halo

    def _filter(self, looks: float):  # type: ignore[no-untyped-def]
        name, positional, named = split(self.text)
        return build(FILTERS[name], name, positional, named, looks=looks)

    def __call__(self, block: SpeckledBlock) -> NDArray[np.float64]:
        return self._filter(block.facts.looks)(block.intensity, block.signal)[None]


@lru_cache(maxsize=2)
def _prior(name: str, device: str, precision: Precision, tile: int | None, linear: bool) -> Prior:
    prior = load_prior(name, device=device_of(device), precision=precision, tile=tile if tile else "auto")
    if linear:
        return of_pictures(prior)
    if prior.units is None:
        raise BadInput(f"`prior={name}` knows pictures and no logarithms of intensities; take `prior=sar`")
    return prior


@dataclass(frozen=True)
class PosteriorMethod:
    """A solver with a prior of log-intensities, u = ln(intensity), moved so that the median of the band is that of the
    prior.

    What is done about correlated speckle is said by the statistics of the band. temper: the likelihood to the power
    kappa^(-temper), kappa being the sum of the correlations: 1 / kappa is what the pixels say together, which on real
    scenes smooths too much. subsample: every other pixel, four times. whiten: see `restorekit.sar.whiten`. The level of
    an answer, which in logarithms lies below the mean in linear power, is mended (`restorekit.sar.radiometry`), that of
    draws by their mean.
    """

    text: str  # the solver, with its settings
    prior: str = "auto"  # sar; of a linear one natural
    steps: int | None = None
    samples: int | None = None  # None: 4 of a sampler
    seed: int = 0
    device: str = "auto"
    precision: Precision = "auto"
    halo: int = 64
    temper: float = 0.75  # benchmarks/remote_sensing/despeckle_tuning.py
    linear: bool = False  # eq 24 of Wang, Wu, Li, Yang 2025 as it stands: intensities, under a prior of pictures

    def network(self, side: int = 0) -> Prior:
        """Return the prior for blocks of that side, pixels."""
        return _prior(self.prior, self.device, self.precision, None if side > WHOLE else WHOLE, self.linear)

    def __call__(self, block: SpeckledBlock) -> NDArray[np.float64]:
        return self.together([block])[0]

    def together(
        self, blocks: Sequence[SpeckledBlock], components: Components | None = None
    ) -> list[NDArray[np.float64]]:
        """Return the draws of polarisations of one block, whose speckle has the same looks and grain, restored as one picture
        under the prior of their `components`."""
        facts, at = blocks[0].facts, blocks[0].window
        law = self.law(facts)
        if facts.remedy == "whiten":
            whitening = facts.whitening
            assert whitening is not None
            ys = [whitening(np.where(block.signal, block.raw, 0)) for block in blocks]
            signals = [whitening.coarse(block.signal) & (y > 0) for block, y in zip(blocks, ys, strict=True)]
            corner = Window(whitening.down.size(at.top), whitening.across.size(at.left), *ys[0].shape)
            found = self._solved(ys, signals, law, corner, blocks, components)
            return [np.stack([np.exp(whitening.fine(np.log(x), at.height, at.width)) for x in of]) for of in found]
        if facts.remedy != "subsample":
            ys, signals = [block.intensity for block in blocks], [block.measured for block in blocks]
            return self._solved(ys, signals, law, at, blocks, components)
        out = [np.empty((self.draws, at.height, at.width)) for _ in blocks]
        for a, b in ((0, 0), (0, 1), (1, 0), (1, 1)):
            ys = [block.intensity[a::2, b::2] for block in blocks]
            signals = [block.measured[a::2, b::2] for block in blocks]
            if ys[0].size:  # the noise of all four is that of the coarse grid
                part = Window(at.top // 2, at.left // 2, *ys[0].shape)
                for x, found_part in zip(out, self._solved(ys, signals, law, part, blocks, components), strict=True):
                    x[:, a::2, b::2] = found_part
        return out

    def _solved(
        self, ys: Sequence[Array], signals: Sequence[Mask], law: Likelihood, at: Window, blocks: Sequence[SpeckledBlock],
        components: Components | None,
    ) -> list[NDArray[np.float64]]:  # fmt: skip
        """Return (draws, h, w) intensities under each y (h, w); `at` is where on the grid of the noise they lie."""
        size = ys[0].shape
        prior, device = self.network(max(size)), device_of(self.device)
        units = [block.facts.median for block in blocks]
        numbers = [self._number(y, signal, unit, prior) for y, signal, unit in zip(ys, signals, units, strict=True)]
        there = None if all(signal.all() for signal in signals) else _picture(np.stack(signals), device)
        problem = Problem(_picture(np.stack(numbers), device), Identity((len(ys), *size)), law, there)
        denoise = prior.for_bands(1)
        if len(ys) > 1:
            assert components is not None
            denoise = Rotated(denoise, components.axes, components.gains)
        found = driver.restore(
            problem, denoise, solver_of(self.text), steps=self.steps, samples=self.draws, seed=self.seed,
            batch=1, rng=lambda seed, first, count: SceneRng(seed, range(first, first + count), at, blocks[0].band),
        )  # fmt: skip
        draws = found.samples.double().cpu().numpy()
        out = []
        for band, (y, signal, unit) in enumerate(zip(ys, signals, units, strict=True)):
            x = draws[:, band]
            if self.linear:
                out.append(np.maximum(x, 1e-4) * unit / MIDDLE)
            else:
                x = np.exp(x - self._mean(prior)) * unit
                out.append(x * Level()(y, x.mean(0), signal))
        return out

    def _number(self, y: Array, signal: Mask, unit: float, prior: Prior) -> Array:
        """Return intensities y (h, w) in the numbers of the prior, and its middle where there is no signal."""
        with np.errstate(divide="ignore"):
            u = y / unit * MIDDLE if self.linear else np.log(y / unit) + self._mean(prior)
        return np.where(signal, u, MIDDLE if self.linear else self._mean(prior))

    @staticmethod
    def _mean(prior: Prior) -> float:
        assert prior.units is not None
        return prior.units.mean

    def law(self, facts: BandStatistics) -> Likelihood:
        """Return the noise law of a band."""
        law: Likelihood = Gamma(facts.looks, domain="intensity" if self.linear else "log")
        return Tempered(law, facts.kappa**-self.temper) if facts.remedy == "temper" else law

    @property
    def draws(self) -> int:
        """Return the number of samples: as set, else 4 of a sampler and 1 of an optimiser."""
        return self.samples or (4 if solver_of(self.text).is_sampler else 1)

    def checked(self) -> PosteriorMethod:
        """Return itself, with its prior by name. Raises BadInput before any block is read for what the first would refuse."""
        method = replace(self, prior=("natural" if self.linear else "sar") if self.prior == "auto" else self.prior)
        solver = solver_of(self.text)
        domain = "intensity" if self.linear else "log"
        solver.check(Problem(torch.zeros(1, 1, 8, 8), Identity((1, 8, 8)), Gamma(1.0, domain=domain)))
        if self.draws > 1 and not solver.is_sampler:
            raise BadInput(
                f"{self.text} is an optimiser: one answer, no samples; leave out `samples` or take `solver=ep`"
            )
        method.network()
        return method


def _picture(x: NDArray[np.generic], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x, np.float32))[None].to(device)


def despeckled_together(
    method: BlockMethod, blocks: Sequence[SpeckledBlock], components: Components | None
) -> list[NDArray[np.float64]]:
    """Return the draws (N, h, w) of each polarisation of one block: under one prior of their components, or each by itself where
    a method knows none."""
    if isinstance(method, PosteriorMethod) and not method.linear and components is not None:
        return method.together(blocks, components)
    return [method(block) for block in blocks]


def method_of(text: str, diffusion: PosteriorMethod) -> Classical | PosteriorMethod:
    """Return a filter by name, or `diffusion` with the solver of that name. Raises BadInput that lists what is known."""
    name, positional, named = split(text)
    if name == "paper":
        return replace(
            diffusion, text="sar-dps:paper=true" + (f",{text.partition(':')[2]}" if ":" in text else ""), linear=True
        )
    if name in FILTERS:
        build(FILTERS[name], name, positional, named, looks=1.0)
        return Classical(text)
    try:
        solver_of(text)
    except BadInput as error:
        unknown = str(error).startswith("unknown solver")
        raise BadInput(f"{error}; or a filter: {', '.join(FILTERS)}" if unknown else str(error)) from None
    settings, steps = TUNED.get(text, (text, None))
    return replace(diffusion, text=settings, steps=diffusion.steps or steps)
