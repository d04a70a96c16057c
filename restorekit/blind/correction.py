"""Any solver with a data step deblurs with a kernel that is not quite right.

    min_{x,h} |(K + h) x - y|^2 / (2 sigma_y^2) + lambda Phi(x) + nu |h|^2 / 2

(Wang, Wu, Li, Yang, "Review of diffusion models for inverse problems in image processing", J. National University of
Defense Technology 47(4), 2025, section 3.1, eqs 20 and 21.) Deviation: not the joint optimum, which blurs less and
less, as x0 is smoother than x, but the likeliest h with x drawn or integrated out; first a change of size, form and
direction (`blind.stretch`), then the single taps (`blind.taps`), on the support of K, of sum 0, with nu_i = 1 / (error
k_i)^2. Late: before the solver starts, which is then told the better kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from restorekit.blind.ascent import Ascent, Climbed
from restorekit.blind.drawn import Array
from restorekit.blind.stretch import Frame, Stretch, Stretched
from restorekit.blind.taps import FoundTaps, Taps
from restorekit.errors import Unsupported
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.inference.rng import Rng
from restorekit.inference.schedule import log_uniform
from restorekit.inference.solver import Solver, Step
from restorekit.operators import CircularBlur, FreeBlur, ReflectBlur, SymmetricBlur, blur
from restorekit.solvers.diffpir import HQS, DiffPIR

WORTH_A_LOOK = 4.0  # gain by the spectrum, below its gate, that is worth a look by draws
Blur = CircularBlur | FreeBlur | ReflectBlur | SymmetricBlur


@dataclass(frozen=True, eq=False)
class Kernel:
    """A kernel (h, w) of sum 1, the given one with its margins, and how it was found."""

    kernel: Array
    stretched: Stretched | None = None
    climbed: Climbed | None = None
    taps: FoundTaps | None = None
    nfe: int = 0  # network calls that it took

    @property
    def changed(self) -> bool:
        """Return True where it is another than the given one."""
        better = self.climbed or self.stretched
        return bool(better is not None and better.theta.any()) or bool(self.taps is not None and self.taps.moved)

    def record(self) -> dict[str, Any]:
        """Return plain numbers, for a file."""
        figures: dict[str, Any] = {}
        if self.stretched is not None:
            better = self.climbed or self.stretched
            size, form, turn = (float(t) for t in better.theta)
            figures |= {"length": np.exp(size + form / 2), "width": np.exp(size - form / 2), "turn": np.degrees(turn)}
            by_spectrum = self.stretched.gain if self.climbed is None or self.stretched.theta.any() else 0.0
            figures |= {"gain": by_spectrum + (0.0 if self.climbed is None else self.climbed.gain)}
        plain = {k: round(float(v), 4) for k, v in figures.items()} | {"nfe": self.nfe}
        return plain | ({} if self.taps is None else {"taps": _taps(self.taps)})


def _taps(found: FoundTaps) -> dict[str, Any]:
    return {"moved": round(found.moved, 4), "error": round(found.error, 4), "shares": found.shares}


@dataclass(frozen=True)
class KernelCorrection:
    """It finds the likelier kernel of a problem y = k * x + n.

    error: the relative deviation of the kernel. None: it is looked for.
    """

    error: float | None = None
    side: int = 160  # of the part of the picture that draws are made of, pixels
    steps: int = 15  # noise levels of a draw
    seed: int = 0
    draws: bool = True  # False: by the spectrum alone, without a network

    def __post_init__(self) -> None:
        if self.error is not None and not 0 < self.error <= 1:
            raise ValueError(f"error={self.error:g} must be above 0, and at 1 at most: a share of the kernel")

    @property
    def calls(self) -> int:
        """Return the network calls, at most."""
        slopes = 2 * (Ascent.most + 1 + Ascent.checks)
        return self.steps * (2 * slopes * Ascent.draws + 3 * Taps.draws) if self.draws else 0

    def __call__(self, problem: Problem, denoise: Denoiser, told: Callable[[int], None] = lambda calls: None) -> Kernel:
        """Return the kernel. told: is given the number of network calls at each. Raises `Unsupported` where nothing is
        known of a kernel."""
        a, sigma_y = checked(problem)
        y, kernel = (v.detach().double().cpu().numpy() for v in (problem.y[0], a.kernel))
        kernel = np.pad(kernel, margins(kernel, problem.y.shape[-2:]))
        stretched = Stretch(margin=0, error=self.error)(y, kernel, sigma_y)
        if not self.draws:
            return Kernel(stretched.kernel, stretched)
        rng, calls, sampler = np.random.default_rng(self.seed), [0], DiffPIR()

        def counted(x: Tensor, sigma: float | Tensor, /) -> Tensor:
            calls[0] += 1
            told(calls[0])
            return denoise(x, sigma)

        def draw(y: Array, kernel: Array, number: int) -> Array:
            k, seen = (torch.from_numpy(v).to(problem.y) for v in (kernel, y[None]))
            shape = (y.shape[0], y.shape[1], y.shape[2])
            part = Problem(seen, FreeBlur.of(shape, k), Gaussian(sigma_y))
            # Down to 0.01, whatever the noise: on such draws the gates of the corrections were measured.
            sigmas = log_uniform(self.steps, sampler.first, 0.01)
            noise = Rng([1000 * self.seed + number])  # the same, so that it cancels
            x = sampler.start(part, sigmas[0], noise)
            for step in sampler(part, counted, sigmas, x, noise):
                x = step.x
            return x[0].double().cpu().numpy()

        part, frame = rough_part(y, self.side), Frame(kernel)
        other = stretched.likeliest if stretched.gain > WORTH_A_LOOK else None
        climbed = Ascent(self.error)(part, frame, stretched.theta, sigma_y, draw, self.seed, other)
        if self.error is None and (
            frame.straight or frame.round
        ):  # a shape with a name, whose taps are not off one by one
            return Kernel(climbed.kernel, stretched, climbed, nfe=calls[0])
        found = Taps(self.error)(part, climbed.kernel, sigma_y, draw, rng)
        return Kernel(found.kernel, stretched, climbed, found, calls[0])


def checked(problem: Problem) -> tuple[Blur, float]:
    """Return the blur and sigma_y. Raises `Unsupported` for other operators, masks and noise that is not the same
    everywhere."""
    a, law = problem.operator, problem.likelihood
    if not isinstance(a, Blur):
        raise Unsupported(f"a kernel is corrected of a blur, not of {a.title}; use `deblur`, or no correction")
    if not isinstance(law, Gaussian) or torch.as_tensor(law.sigma).numel() != 1 or problem.mask is not None:
        raise Unsupported(f"a kernel is corrected under Gaussian noise of one level, without a mask, not {law.title}")
    return a, float(law.sigma)


def rough_part(y: Array, side: int) -> Array:
    """Return the square of y (C, H, W), at most `side` pixels wide, where there is most to see."""
    _, h, w = y.shape
    slopes = sum((np.diff(y, axis=d, append=np.take(y, [-1], d)) ** 2).sum(0) for d in (1, 2))
    sums = np.pad(np.asarray(slopes).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    a, b = min(side, h), min(side, w)
    inside = sums[a:, b:] - sums[:-a, b:] - sums[a:, :-b] + sums[:-a, :-b]
    top, left = np.unravel_index(int(inside.argmax()), inside.shape)
    return y[:, top : top + a, left : left + b]


def margins(kernel: Array, picture: Sequence[int], width: int = 6) -> list[tuple[int, int]]:
    """Return the rows and columns of zeros, to each side, that a kernel lacks to grow by `width`, and that fit on the
    picture."""
    lacking = []
    for axis, side in enumerate(picture):
        occupied = np.flatnonzero(np.abs(kernel).sum(1 - axis) > 0)
        free = min(int(occupied[0]), kernel.shape[axis] - 1 - int(occupied[-1]))
        lacking.append((max(0, min(width - free, (side - kernel.shape[axis]) // 2)),) * 2)
    return lacking


def trimmed(kernel: Array, lost: float = 1e-4) -> Array:
    """Return a kernel (h, w) less what is next to 0 around it, of sum 1: each such row of a free boundary is a row
    more to restore."""
    parts = []
    for axis, n in enumerate(kernel.shape):
        mass = np.abs(kernel).sum(1 - axis)
        far = np.abs(np.arange(n) - n // 2)
        needed = next((r for r in range(n // 2) if mass[far > r].sum() <= lost * mass.sum()), n // 2)
        parts.append(slice(n // 2 - needed, n // 2 + needed + 1))
    inner = kernel[tuple(parts)]
    return inner / inner.sum()


def with_kernel(problem: Problem, kernel: Array) -> Problem:
    """Return the same measurement through another kernel (h, w); where nothing is assumed of the boundary x gets
    another size."""
    a, _ = checked(problem)
    k = torch.from_numpy(np.ascontiguousarray(trimmed(kernel))).to(a.kernel)
    if isinstance(a, FreeBlur):
        c, h, w = problem.y.shape[1:]
        return replace(problem, operator=FreeBlur.of((c, h, w), k))
    return replace(problem, operator=blur(a.image_shape, k, "circular" if isinstance(a, CircularBlur) else "reflect"))


def _of_same_size(problem: Problem, kernel: Array) -> Problem:
    """Return what `with_kernel` does, x of the size that it has. Raises `Unsupported` where the kernel does not fit."""
    a, _ = checked(problem)
    if not isinstance(a, FreeBlur):
        return with_kernel(problem, kernel)
    inner = trimmed(kernel)
    before = [n // 2 - m // 2 for n, m in zip(a.kernel.shape, inner.shape)]
    after = [n - m - b for n, m, b in zip(a.kernel.shape, inner.shape, before)]
    if min(before + after) < 0:
        raise Unsupported(
            "the better kernel is larger than the given one, and with it the picture; pad the kernel of a free boundary "
            "with zeros, some 6 to each side"
        )
    k = torch.from_numpy(np.pad(inner, list(zip(before, after)))).to(a.kernel)
    return replace(problem, operator=FreeBlur(a.image_shape, k))


@dataclass(frozen=True, eq=False)
class Corrected(Solver):
    """Any solver is told the better kernel; its levels, samples and demands are those of the solver."""

    solver: Solver = field(default_factory=HQS)
    correction: KernelCorrection = field(default_factory=KernelCorrection)

    @property
    def is_sampler(self) -> bool:  # type: ignore[override]
        return self.solver.is_sampler

    @property
    def gradient(self) -> bool:  # type: ignore[override]
        return self.solver.gradient

    def start(self, problem: Problem, sigma: float, rng: Rng, begin: Tensor | None = None) -> Tensor:
        return self.solver.start(problem, sigma, rng, begin)

    def check(self, problem: Problem) -> None:
        checked(problem)
        self.solver.check(problem)

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        return self.solver.schedule(problem, steps)

    def calls(self, sigmas: Sequence[float]) -> int:
        """Return the network calls of the solver with those for the kernel, at most."""
        return self.solver.calls(sigmas) + self.correction.calls

    @property
    def products(self) -> int:
        return self.solver.products

    def settings(self) -> dict[str, Any]:
        own = {"error": self.correction.error, "draws": self.correction.draws}
        return {"corrects": type(self.solver).__name__, **self.solver.settings(), "correction": own}

    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]:
        found = self.correction(problem, denoise)
        better = _of_same_size(problem, found.kernel) if found.changed else problem
        yield from self.solver(better, denoise, sigmas, x, rng)
