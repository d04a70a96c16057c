"""Samples of a prior without a measurement: what it takes pictures to be.

    Sampling(prior="natural", n=16, solver="dpm++")()

Sample i is a function of (seed, i) and the settings: of another n or batch it differs by the rounding of the network alone.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.inference.denoiser import Denoiser, Latent
from restorekit.inference.driver import decoded
from restorekit.inference.rng import low_stage_seed, streams
from restorekit.inference.schedule import below, log_uniform
from restorekit.priors.cascade import Cascade, CascadeConfig, up
from restorekit.priors.find import Precision, device_of, load_prior
from restorekit.priors.formats.checkpoint import PriorSpec
from restorekit.priors.formats.foreign import ForeignSpec
from restorekit.priors.networks.two_stage import LatentConfig
from restorekit.priors.prior import Prior
from restorekit.priors.wrappers import GuidedByClass
from restorekit.solvers.samplers import SAMPLERS, Sampler
from restorekit.tasks.task_settings import SamplingSettings
from restorekit.text.grammar import build, split

SIDE = 64  # of a sample, pixels, where the prior does not say what it was trained on
Told = Callable[[int, int], None]  # (network calls done, in all)


def sampler_of(text: str, eta: float | None = None) -> Sampler:
    """A sampler from text with settings, as `heun:churn=20`. BadInput for what is unknown, which lists what is known."""
    name, positional, named = split(text)
    if name not in SAMPLERS:
        raise BadInput(f"unknown solver {name!r} of samples; known: {', '.join(SAMPLERS)}")
    if eta is not None:
        if not 0 <= eta <= 1:
            raise BadInput(f"eta={eta:g} must be in [0, 1]: 0 adds no noise, 1 is the ancestral step")
        if "eta" not in SAMPLERS[name].__dataclass_fields__:
            taking = [n for n, kind in SAMPLERS.items() if "eta" in kind.__dataclass_fields__]
            raise BadInput(f"eta is a setting of {' and '.join(taking)}, not of {name}; leave it out")
        named["eta"] = str(eta)
    return build(SAMPLERS[name], name, positional, named)


def levels(spec: PriorSpec | ForeignSpec, height: int, width: int, steps: int) -> list[float]:
    """Noise levels from where nothing of a picture is left to where its grain is below what can be seen, or was trained.

    A picture of `height` x `width` pixels of deviation s has no component above s sqrt(height width); the first level is
    five times that, the last s / 30, both within the levels of the prior.
    """
    s = spec.sigma_data if isinstance(spec, PriorSpec) else 0.25
    highest = min(spec.sigma_max, 5 * s * math.sqrt(height * width))
    return log_uniform(steps, highest, min(highest, max(spec.sigma_min, s / 30)))


def trained_side(spec: PriorSpec | ForeignSpec) -> int:
    """Side of the pictures a prior was trained on, or SIDE where it does not matter or is not known."""
    if isinstance(spec, ForeignSpec):
        return spec.side or SIDE
    config = spec.config
    if isinstance(config, LatentConfig):
        return config.tile
    if isinstance(config, CascadeConfig):  # the picture is that of the low stage, its detail that of the high one
        return max(config.high.side, config.factor * config.low.side)
    return getattr(config, "side", SIDE)


def displayed(x: Tensor, domain: str) -> Tensor:
    """Return pictures in a domain as they are looked at, on [0, 1]: amplitude exp(x / 2) of log-intensity, others as
    they are."""
    return ((x / 2).exp() if domain == "log-intensity" else x).clamp(0, 1)


@torch.no_grad()
def draw(
    denoise: Denoiser,
    sampler: Sampler,
    sigmas: Sequence[float],
    shape: tuple[int, int, int],
    count: int,
    *,
    mean: float = 0.0,
    seed: int = 0,
    batch: int = 1,
    device: str | torch.device = "cpu",
    progress: Told | None = None,
    begin: Tensor | None = None,
) -> Tensor:
    """(count, *shape): samples from `mean` plus noise of the first level down to 0. BadInput at the first NaN.

    begin: a picture per sample (count, *shape) instead of the mean; with the level of a relay it is eq 9 of Li et al. 2025.
    """
    total, calls, done = sampler.calls(len(sigmas) - 1) * -(-count // batch), 0, []
    for first in range(0, count, batch):
        size = min(batch, count - first)
        rng = streams(seed, first, size)
        at = mean if begin is None else begin[first : first + size]
        x = at + sigmas[0] * rng.normal(torch.zeros(size, *shape, device=device))
        for step in sampler(denoise, sigmas, x, rng):
            x, calls = step.x, calls + 1
            if not math.isfinite(float(x.sum())):  # one pass; infinities of both signs sum to NaN
                raise BadInput(f"the samples diverged at sigma {step.sigma:.3g} (not a number); take more steps")
            if progress is not None:
                progress(calls, total)
        done.append(x)
    return torch.cat(done)


def _denoise(prior: Denoiser | Latent) -> Denoiser:
    return prior.denoise if isinstance(prior, Latent) else prior


@dataclass(frozen=True, eq=False)
class Part:
    """It says what one stage draws: states of a shape (C, H, W), from the first of its levels down."""

    denoise: Denoiser
    shape: tuple[int, int, int]
    sigmas: list[float]
    mean: float
    seed: int
    factor: int = 1  # by which what the part before drew is enlarged, to begin with


@dataclass(frozen=True, eq=False)
class Samples:
    """pictures (n, C, H, W) in the domain of the prior, with what is needed to make them again."""

    pictures: Tensor
    nfe: int  # network calls per sample, at full size
    seconds: float
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Sampling(SamplingSettings):
    """All settings; the call draws. What cannot be is refused, by BadInput, where it is first needed."""

    prior: str | os.PathLike[str] | Prior
    solver: str | Sampler = "dpm++"  # of SAMPLERS, with settings

    @cached_property
    def place(self) -> torch.device:
        return device_of(self.device)

    @cached_property
    def sampler(self) -> Sampler:
        return sampler_of(self.solver, self.eta) if isinstance(self.solver, str) else self.solver

    def _load(self, label: int | None) -> Prior:
        if isinstance(self.prior, Prior):
            if self.label is not None or self.guidance is not None:
                raise BadInput("a class is chosen where a prior is loaded; give its name or path here, or no `label`")
            return self.prior
        precision = cast(Precision, self.precision)
        return load_prior(os.fspath(self.prior), device=self.place, precision=precision, label=label)

    @property
    def prior_name(self) -> str:
        return self.prior.spec.name if isinstance(self.prior, Prior) else os.fspath(self.prior)

    @cached_property
    def loaded(self) -> Prior:
        return self._load(self.label)

    @cached_property
    def guided(self) -> bool:
        """Return True where each step takes two network calls, with the class and without."""
        if self.guidance is None or self.guidance == 1:
            return False
        if self.label is None:
            raise BadInput("guidance is towards a class; give its number, as `label=0`")
        if isinstance(self.loaded.spec, ForeignSpec):
            raise BadInput(
                f"prior {self.prior_name} was not trained without a class, which guidance needs; leave it out"
            )
        return True

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """C, H, W of a sample."""
        known = self.loaded.spec.bands
        if self.bands is not None and self.bands not in known:
            raise BadInput(
                f"prior {self.prior_name} makes pictures of {' or '.join(map(str, known))} bands, not {self.bands}"
            )
        height, width = self.size or (trained_side(self.loaded.spec),) * 2
        if min(height, width) < 1:
            raise BadInput(f"size {height}x{width}: give height and width in pixels, as 64x64")
        return self.bands or max(known), height, width

    def check(self) -> None:
        """Refuse what cannot be before anything is drawn."""
        if self.n < 1 or self.steps < 1 or (self.batch is not None and self.batch < 1) or self.seed < 0:
            raise BadInput("n, steps and batch must be at least 1, the seed at least 0")
        _ = self.sampler, self.shape, self.guided

    @property
    def off_size(self) -> str | None:
        """Return what to say where samples are not of the size that a prior of whole objects was trained on."""
        spec, (_, height, width) = self.loaded.spec, self.shape
        side = trained_side(spec)
        latent = isinstance(spec, PriorSpec) and isinstance(spec.config, LatentConfig)
        if not latent or (height, width) == (side, side):
            return None
        return (
            f"{spec.name} was trained on pictures of {side}x{side}; at {height}x{width} its samples are none of those"
        )

    @property
    def domain(self) -> str:
        """Return what the samples are: one of `checkpoint.DOMAINS`, of the pictures where the prior is one of latents."""
        spec = self.loaded.spec
        domain = spec.domain if isinstance(spec, PriorSpec) else "srgb"
        return "srgb" if domain == "latent" else domain

    @cached_property
    def _prior(self) -> Denoiser | Latent:
        """Return the prior for pictures of as many bands as a sample has."""
        return self.loaded.for_bands(self.shape[0])

    def _guide(self, of: Callable[[Prior], Denoiser]) -> Denoiser:
        """Return what `of` takes from the prior, guided towards the class where that is asked for."""
        own = of(self.loaded)
        return GuidedByClass(own, of(self._load(None)), cast(float, self.guidance)) if self.guided else own

    @property
    def denoiser(self) -> Denoiser:
        """Return what is called at each step; of latents where the prior is one of latents."""
        return self._guide(lambda prior: _denoise(prior.for_bands(self.shape[0])))

    @torch.no_grad()
    def _state_shape(self) -> tuple[int, int, int]:
        """Return the shape of what is diffused: a picture, or for a prior of latents the latent of one as large."""
        if not isinstance(self._prior, Latent):
            return self.shape
        c, h, w = self._prior.encode(torch.full((1, *self.shape), 0.5, device=self.place)).shape[1:]
        return c, h, w

    def _parts(self) -> list[Part]:
        """Return what is drawn, one after the other: the picture, or first that of the low stage."""
        spec, shape = self.loaded.spec, self._state_shape()
        mean = spec.mean if isinstance(spec, PriorSpec) else 0.5
        sigmas = levels(spec, *shape[1:], self.steps)
        cascade = self.loaded.cascade if self.relay else None
        if cascade is None or not isinstance(spec, PriorSpec) or not isinstance(spec.config, CascadeConfig):
            return [Part(self.denoiser, shape, sigmas, mean, self.seed)]
        f, own = cascade.factor, spec.config
        small = (shape[0], -(-shape[1] // f), -(-shape[2] // f))
        below_it = replace(spec, sigma_data=own.low_sigma_data, sigma_max=spec.sigma_max / f)
        low = self._guide(lambda prior: cast(Cascade, prior.cascade).low)
        return [
            Part(low, small, levels(below_it, *small[1:], self.steps), own.low_mean, low_stage_seed(self.seed)),
            Part(self.denoiser, shape, below(sigmas, cascade.relay), mean, self.seed, f),
        ]

    def __call__(self, progress: Told | None = None) -> Samples:
        self.check()
        each, parts = 2 if self.guided else 1, self._parts()
        batch = self.batch or max(1, (2**16 if self.place.type == "cpu" else 2**20) // math.prod(self.shape[1:]))
        calls = [each * self.sampler.calls(len(part.sigmas) - 1) for part in parts]
        began, done, x = time.perf_counter(), 0, None

        def told(step: int, _: int) -> None:
            if progress is not None:
                progress(done + each * step, sum(calls) * -(-self.n // batch))

        for part, own in zip(parts, calls):
            begin = None if x is None else up(x, part.factor)[..., : part.shape[1], : part.shape[2]]
            x = draw(part.denoise, self.sampler, part.sigmas, part.shape, self.n, mean=part.mean, seed=part.seed,
                     batch=batch, device=self.place, progress=told, begin=begin)  # fmt: skip
            done += own * -(-self.n // batch)
        assert x is not None
        pictures = decoded(self._prior, x, *self.shape[1:]) if isinstance(self._prior, Latent) else x
        settings = self._settings(parts[-1].sigmas, batch)
        if len(parts) == 2:
            settings |= {"relay": parts[-1].sigmas[0], "low_nfe": calls[0], "low_sigmas": parts[0].sigmas}
        return Samples(pictures, calls[-1], time.perf_counter() - began, settings)

    def _settings(self, sigmas: Sequence[float], batch: int) -> dict[str, Any]:
        own = {f: getattr(self.sampler, f) for f in self.sampler.__dataclass_fields__}
        guidance = self.guidance if self.guided else None
        return {
            "solver": type(self.sampler).__name__, **own, "sigmas": list(sigmas), "samples": self.n, "seed": self.seed,
            "size": list(self.shape), "batch": batch, "label": self.label, "guidance": guidance,
        }  # fmt: skip
