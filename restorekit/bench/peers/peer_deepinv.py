"""deepinv (Tachella et al. 2025, BSD-3-Clause): its samplers as peers, and as functions of (measurements, physics, denoiser,
network calls, seed).

Facts about deepinv are those of version 0.5.0. Pictures and sigma are on [0, 1] at every interface here; what it does on
[-1, 1] inside is its own affair, and the noise levels it visits are given back in the unit of [0, 1]. Each class takes
the settings that its documentation names; the defaults are deepinv's.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from restorekit.bench.peers.peer import Peer, white
from restorekit.errors import Unsupported
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.inference.schedule import log_uniform
from restorekit.interop.deepinv import import_deepinv, model_from, physics_from
from restorekit.operators import CircularBlur, Identity, Inpaint, LinearOperator, SVDOperator
from restorekit.priors.perception.vision import mend_torchvision

Process = Literal["vp", "ve"]  # vp: deepinv's default grid; ve: log-uniform from 10 to 0.01, the grid that ours take
VE_MIN, VE_MAX = 0.01, 10.0


def physics_of(operator: LinearOperator, sigma_y: float) -> Any:
    """Return deepinv's own physics where it has the operator with singular values, else ours with an SVD by the bridge.

    Raises ValueError where the two would not measure the same.
    """
    known, shape = import_deepinv().physics, operator.image_shape
    noise = known.GaussianNoise(sigma_y)
    physics = physics_from(operator, Gaussian(sigma_y))
    if isinstance(operator, Identity):
        physics = known.Denoising(noise)
    elif isinstance(operator, Inpaint):  # its DDRM needs a mask of its own for each band
        physics = known.Inpainting(shape, mask=operator.mask.expand(shape).clone(), noise_model=noise)
    elif isinstance(operator, CircularBlur):
        physics = known.BlurFFT(shape, filter=operator.kernel[None, None], noise_model=noise)
    x = torch.rand((1, *shape), generator=torch.Generator().manual_seed(0))
    if float((physics.A(x) - operator(x)).abs().max()) > 1e-4:
        raise ValueError(f"deepinv's {type(physics).__name__} does not measure what {type(operator).__name__} does")
    return physics


@dataclass(frozen=True)
class Theirs(Peer):
    """A sampler of deepinv at fixed settings; `calls` network calls, where its class has a number of its own that one."""

    calls: int = field(default=100, kw_only=True)

    library = "deepinv"
    licence = "BSD-3-Clause"
    spectral: ClassVar[bool] = False  # whether it needs singular values

    @classmethod
    def load(cls) -> Any:
        mend_torchvision()
        return super().load()

    def __post_init__(self) -> None:
        if self.calls < 2:
            raise ValueError(f"calls={self.calls} must be at least 2")

    @abstractmethod
    def levels(self, calls: int) -> list[float]:
        """Return the noise levels, in the unit of [0, 1], that `calls` network calls visit; falling, the last one 0."""

    @abstractmethod
    def sampler(self, denoise: Denoiser, calls: int, seed: int) -> Any: ...

    def check(self, problem: Problem) -> None:
        operator = white(problem, "deepinv")[0]
        if self.spectral and not isinstance(operator, SVDOperator):
            raise Unsupported(f"deepinv's DDRM needs singular values, {type(operator).__name__} has none")

    def sample(self, problem: Problem, denoise: Denoiser, count: int, seed: int) -> Tensor:
        """Draw in single precision, as deepinv's networks are."""
        operator, y, sigma_y = white(problem, "deepinv")
        physics = physics_of(operator.to(torch.float32), sigma_y)
        many = y.float().repeat_interleave(count, 0)
        return self(many, physics, denoise, self.calls, seed).to(y)

    def __call__(self, y: Tensor, physics: Any, denoise: Denoiser, calls: int, seed: int) -> Tensor:
        """Return one draw per measurement y (B, ...), as (B, C, H, W) on [0, 1]."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # DDRM and DiffPIR draw from torch's global stream
            return self.sampler(denoise, calls, seed)(y.clone(), physics).detach()  # a copy: its DDRM writes into y


@dataclass(frozen=True)
class TheirDDRM(Theirs):
    """`DDRM`; grid "linear" is its default, from 1 to 0 (the last call is at sigma 0), "log" runs from 10 to 0.01."""

    eta: float = 0.85
    grid: Literal["linear", "log"] = "linear"

    spectral = True

    def _sigmas(self, calls: int) -> list[float]:
        return torch.linspace(1, 0, calls).tolist() if self.grid == "linear" else log_uniform(calls)[:-1]

    def levels(self, calls: int) -> list[float]:
        return [s for s in self._sigmas(calls) if s > 0] + [0.0]

    def sampler(self, denoise: Denoiser, calls: int, seed: int) -> Any:
        return import_deepinv().sampling.DDRM(model_from(denoise), sigmas=self._sigmas(calls), eta=self.eta)


@dataclass(frozen=True)
class TheirDiffPIR(Theirs):
    """`DiffPIR`, with `L2` as data fidelity; x0 is clamped to [0, 1], and the result of its last call is not used."""

    zeta: float = 0.1
    lambda_: float = 7.0

    def levels(self, calls: int) -> list[float]:
        made = self.sampler(lambda x, sigma: x, calls, 0)
        return [*dict.fromkeys(float(made.sigmas[i]) / 2 for i in made.seq), 0.0]

    def sampler(self, denoise: Denoiser, calls: int, seed: int) -> Any:
        """Return the sampler of deepinv."""
        dinv = import_deepinv()
        return dinv.sampling.DiffPIR(
            model_from(denoise), dinv.optim.L2(), max_iter=calls, zeta=self.zeta, lambda_=self.lambda_
        )


@dataclass(frozen=True)
class GuidedDiffusion(Theirs):
    """A reverse diffusion with a term for the measurement, by ancestral steps, as its `DPS` takes them."""

    def levels(self, calls: int) -> list[float]:
        if self.process == "ve":
            return log_uniform(calls, VE_MAX, VE_MIN)
        times = [1 - i / calls for i in range(calls)]
        return [0.5 * math.sqrt(math.expm1(0.1 * t + 0.5 * 19.9 * t**2)) for t in times] + [0.0]

    @property
    @abstractmethod
    def process(self) -> Process: ...

    @abstractmethod
    def fidelity(self) -> Any: ...

    def sampler(self, denoise: Denoiser, calls: int, seed: int) -> Any:
        """Return the sampler of deepinv, with the levels of the process."""
        known = import_deepinv().sampling
        if self.process == "vp":
            sde, count = known.VariancePreservingDiffusion(alpha=1.0), calls + 1  # no call at the last time, 0
        else:  # on [-1, 1]; the last call denoises the level it ends at
            sde = known.VarianceExplodingDiffusion(sigma_min=2 * VE_MIN, sigma_max=2 * VE_MAX, alpha=1.0)
            count = calls
        times, rng = torch.linspace(1, 0, count, dtype=torch.float64), torch.Generator().manual_seed(seed)
        return known.PosteriorDiffusion(self.fidelity(), model_from(denoise), sde, known.DDPMSolver(times, rng=rng))


@dataclass(frozen=True)
class TheirDPS(GuidedDiffusion):
    """`DPS`: guidance "norm" (default) differentiates |y - A x0|, "annealed" |y - A x0|^2 / (2 sigma_y^2 + 2 sigma^2)."""

    guidance: Literal["norm", "annealed"] = "norm"
    weight: float = 1.0
    process: Process = "vp"  # type: ignore[assignment]
    calls: int = field(default=1000, kw_only=True)

    def fidelity(self) -> Any:
        """Return the data fidelity of deepinv."""
        known = import_deepinv().sampling  # the clip is what its class DPS sets
        return known.DPSDataFidelity(weight=self.weight, guidance=self.guidance, clip=[-1.0, 1.0])

    def sampler(self, denoise: Denoiser, calls: int, seed: int) -> Any:
        """Return deepinv's own `DPS` for "vp", the guided diffusion for "ve"."""
        if self.process == "ve":
            return super().sampler(denoise, calls, seed)
        return import_deepinv().sampling.DPS(
            model_from(denoise),
            num_steps=calls + 1,
            weight=self.weight,
            guidance=self.guidance,
            rng=torch.Generator().manual_seed(seed),
        )


@dataclass(frozen=True)
class TheirPiGDM(GuidedDiffusion):
    """`PiGDMDataFidelity` in `PosteriorDiffusion`, which names no default process or steps: those of its `DPS`."""

    weight: float = 1.0
    process: Process = "vp"  # type: ignore[assignment]

    def fidelity(self) -> Any:
        return import_deepinv().sampling.PiGDMDataFidelity(weight=self.weight)


@dataclass(frozen=True)
class TheirMMPS(GuidedDiffusion):
    """`MomentMatchingDataFidelity` in `PosteriorDiffusion`: three iterations of conjugate gradients, as ours."""

    weight: float = 1.0
    process: Process = "vp"  # type: ignore[assignment]

    def fidelity(self) -> Any:
        return import_deepinv().sampling.MomentMatchingDataFidelity(weight=self.weight)


DEFAULT: dict[str, Theirs] = {
    "DDRM": TheirDDRM(), "DiffPIR": TheirDiffPIR(), "DPS": TheirDPS(), "PiGDM": TheirPiGDM(), "MMPS": TheirMMPS()
}  # fmt: skip
OWN_CALLS = {"DDRM": 100, "DiffPIR": 100, "DPS": 1000}  # network calls of deepinv's defaults
PROCESSES: tuple[Process, ...] = ("vp", "ve")
GRID: dict[str, Sequence[Theirs]] = {
    "DDRM": [TheirDDRM(eta, grid) for eta in (0.5, 0.85, 1.0) for grid in ("linear", "log")],
    "DiffPIR": [TheirDiffPIR(zeta, lambda_) for zeta in (0.1, 0.3, 1.0) for lambda_ in (1.0, 7.0, 25.0)],
    "DPS": [TheirDPS("norm", w) for w in (100.0, 1000.0)]  # block averages have |A| = 1/4, hence weights up to 16
    + [TheirDPS("annealed", w, process) for w in (0.5, 1.0, 2.0, 16.0) for process in PROCESSES],
    "PiGDM": [TheirPiGDM(w, process) for w in (0.5, 1.0) for process in PROCESSES],
    "MMPS": [TheirMMPS(1.0, "ve")],
}
