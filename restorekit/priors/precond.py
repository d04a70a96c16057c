"""Networks become denoisers: every parametrisation is turned once into D(x, sigma) = E[x0 | x = x0 + sigma n].

With a noise process x_t = scale * (x0 + sigma n), the predictions relate by
    eps: D = x - sigma eps          v: D = scale * x_t - (scale * sigma) v      x0: D      score: D = x + sigma^2 scale s
(v for variance-preserving processes only), and by the velocity of a flow, D = x_t - t velocity, see `Flow`.

A network answers beyond the levels it was trained on, sigma_min to sigma_max, by what holds there for any data:
    below: the score is constant, D - x = (sigma / sigma_min)^2 (D(x, sigma_min) - x);
    above: x is noise and says little, D(x, sigma) = D(m + sigma_max / sigma (x - m), sigma_max), m the middle of the range.
For N(., C) the first errs by less than sigma_min^2 / C of D - x, and by less than sigma where C is small; the second by
about C (1 / sigma_max - 1 / sigma) times unit noise. It scales x to the noise that the network expects: scaling by
(sigma_max / sigma)^2, to E[x at sigma_max | x at sigma], errs less for Gaussians, but a network that predicts eps and
normalises its input would answer with noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from restorekit.errors import BadInput

Prediction = Literal["eps", "v", "x0", "score", "velocity"]


def per_item(sigma: float | Tensor, x: Tensor) -> Tensor:
    """Return sigma as (B, 1, 1, 1) in the dtype and on the device of x."""
    s = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
    return s.expand(len(x)).view(-1, *[1] * (x.ndim - 1))


@dataclass(frozen=True, eq=False)
class EDM:
    """The preconditioning of Karras et al. 2022, eq 7, is D = c_skip x + c_out F(c_in x, ln(sigma)/4), about the mean
    of the data.

    `net` takes (B, C, H, W) and (B,). sigma_data is the standard deviation of the pixels about `mean`. Any sigma is
    passed on as it is: below the least trained one c_out, hence |D - x|, still falls with sigma.
    """

    net: Callable[[Tensor, Tensor], Tensor]
    sigma_data: float
    mean: float = 0.5

    def coefficients(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return c_skip, c_out and c_in at noise level sigma."""
        total = sigma**2 + self.sigma_data**2
        return self.sigma_data**2 / total, sigma * self.sigma_data / total.sqrt(), 1 / total.sqrt()

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        s = per_item(sigma, x)
        c_skip, c_out, c_in = self.coefficients(s)
        z = x - self.mean
        c_noise = s.flatten().clamp(min=1e-8).log() / 4
        return self.mean + c_skip * z + c_out * self.net(c_in * z, c_noise).to(x.dtype)


class NoiseProcess(Protocol):
    """A process maps a network's training noise to sigma: x_t = scale(sigma) * (x0 + sigma n), at network time
    time(sigma).

    sigma, with sigma_min and sigma_max, the least and largest trained levels, is in the unit of the network's span.
    """

    @property
    def sigma_min(self) -> float:
        """Return the least trained level."""
        ...

    @property
    def sigma_max(self) -> float:
        """Return the largest trained level."""
        ...

    def scale(self, sigma: Tensor) -> Tensor:
        """Return scale(sigma), like sigma."""
        ...

    def time(self, sigma: Tensor) -> Tensor:
        """Return the time that the network is given at sigma, like sigma."""
        ...


@dataclass(frozen=True)
class VE:
    """The variance explodes: x_t = x0 + sigma n, the network takes sigma itself, or ln(sigma) / 4 with `log=True`."""

    sigma_min: float = 0.002
    sigma_max: float = 100.0
    log: bool = False

    def scale(self, sigma: Tensor) -> Tensor:
        """Return 1, like sigma."""
        return torch.ones_like(sigma)

    def time(self, sigma: Tensor) -> Tensor:
        """Return sigma, or ln(sigma) / 4."""
        return sigma.log() / 4 if self.log else sigma


@dataclass(frozen=True)
class VP:
    """The variance is preserved in continuous time: beta(t) is linear from beta_min to beta_max over t in (0, 1) (Song
    et al. 2021, eq 33)."""

    beta_min: float = 0.1
    beta_max: float = 20.0
    sigma_min: float = 1e-3

    @property
    def sigma_max(self) -> float:
        """Return the level at t = 1."""
        return math.sqrt(math.expm1((self.beta_min + self.beta_max) / 2))

    def scale(self, sigma: Tensor) -> Tensor:
        """Return sqrt(alpha_bar) at sigma."""
        return 1 / (1 + sigma**2).sqrt()

    def time(self, sigma: Tensor) -> Tensor:
        """Return t at sigma."""
        b = self.beta_max - self.beta_min  # b t^2 / 2 + beta_min t = ln(1 + sigma^2)
        log = torch.log1p(sigma**2)
        return 2 * log / (self.beta_min + (self.beta_min**2 + 2 * b * log).sqrt())


@dataclass(frozen=True)
class Flow:
    """A rectified flow (Liu, Gong, Liu, ICLR 2023) is x_t = (1 - t) x0 + t n, so sigma = t / (1 - t), of velocity n -
    x0.

    end: what the time that the network is given leads to, and its velocity with it; "noise" as above (Stable Diffusion
    3, diffusers), or "data", x_t = (1 - t) n + t x0 of velocity x0 - n (Lipman et al., ICLR 2023). unit: that time at
    its end, 1, or 1000 for networks that count steps.
    """

    sigma_min: float = 1e-3
    sigma_max: float = 1e3
    end: Literal["noise", "data"] = "noise"
    unit: float = 1.0

    def __post_init__(self) -> None:
        if self.end not in ("noise", "data"):
            raise BadInput(f"end={self.end!r} of a flow is unknown; it is noise or data")
        if not 0 < self.unit < math.inf:
            raise BadInput(f"unit={self.unit!r} of the time of a flow must be above 0, such as 1 or 1000")

    def scale(self, sigma: Tensor) -> Tensor:
        """Return 1 - t at sigma."""
        return 1 / (1 + sigma)

    def time(self, sigma: Tensor) -> Tensor:
        """Return the time that the network is given at sigma, by `end` and `unit`."""
        return self.unit * (sigma if self.end == "noise" else 1.0) / (1 + sigma)


@dataclass(frozen=True, eq=False)
class VPTable:
    """The variance is preserved in steps 0..T-1 of a table of alpha_bar; times between two steps are interpolated in
    ln(sigma)."""

    alpha_bar: Tensor  # (T,), falling, between 1 and 0

    def __post_init__(self) -> None:
        a = self.alpha_bar
        if len(a) < 2 or not bool((a[1:] < a[:-1]).all()) or not 0 < float(a[-1]) <= float(a[0]) < 1:
            raise BadInput("alpha_bar must fall from step to step within (0, 1); leave out steps where it is 0 or 1")

    @staticmethod
    def linear(steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> VPTable:
        """Return the table of Ho et al. 2020."""
        return VPTable(torch.cumprod(1 - torch.linspace(first, last, steps, dtype=torch.float64), 0))

    @staticmethod
    def cosine(steps: int = 1000, offset: float = 0.008, largest: float = 0.999) -> VPTable:
        """Return the table of Nichol and Dhariwal 2021, eq 17: alpha_bar a squared cosine, no beta above `largest`."""
        time = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
        curve = ((time + offset) / (1 + offset) * math.pi / 2).cos() ** 2
        return VPTable(torch.cumprod(1 - (1 - curve[1:] / curve[:-1]).clamp(max=largest), 0))

    @property
    def log_sigmas(self) -> Tensor:
        """Return ln(sigma) of every step (T,)."""
        a = self.alpha_bar.double()
        return 0.5 * ((1 - a) / a).log()

    @property
    def sigma_min(self) -> float:
        """Return the level of step 0."""
        return float(self.log_sigmas[0].exp())

    @property
    def sigma_max(self) -> float:
        """Return the level of the last step."""
        return float(self.log_sigmas[-1].exp())

    def scale(self, sigma: Tensor) -> Tensor:
        """Return sqrt(alpha_bar) at sigma."""
        return 1 / (1 + sigma**2).sqrt()

    def time(self, sigma: Tensor) -> Tensor:
        """Return the (fractional) step at sigma."""
        grid, log = self.log_sigmas.to(sigma.device), sigma.double().log()
        k = torch.searchsorted(grid, log).clamp(1, len(grid) - 1)
        return (k - 1 + (log - grid[k - 1]) / (grid[k] - grid[k - 1])).clamp(0, len(grid) - 1).to(sigma.dtype)

    def sigma(self, time: Tensor) -> Tensor:
        """Return the noise level of a (fractional) step, the inverse of `time`."""
        grid = self.log_sigmas.to(time.device)
        k = time.double().floor().clamp(0, len(grid) - 2).long()
        return (grid[k] + (time.double() - k) * (grid[k + 1] - grid[k])).exp().to(time.dtype)


@dataclass(frozen=True, eq=False)
class Adapted:
    """It makes a denoiser of a network trained to predict eps, v, x0, the score or the velocity of a flow.

    `net` takes (x_t, t) with t (B,). `span` is the range the network was trained on, for pictures that are [0, 1] here.
    A network with 2C outputs (learned variance) gives its first C. With `integer_time`, for networks that know only
    whole steps, the estimates at the two neighbouring steps are interpolated (two network calls), in sigma^2: at low
    noise D is linear in it, at high noise it hardly changes.
    """

    net: Callable[[Tensor, Tensor], Tensor]
    predicts: Prediction
    process: NoiseProcess
    span: tuple[float, float] = (-1.0, 1.0)
    integer_time: bool = False

    def __post_init__(self) -> None:
        if self.predicts not in get_args(Prediction):
            raise BadInput(f"predicts={self.predicts!r} is unknown; it is one of {', '.join(get_args(Prediction))}")
        if self.predicts == "v" and not isinstance(self.process, VP | VPTable):
            raise BadInput(
                "a v-prediction needs a variance-preserving process: VP or VPTable; of a flow it is `velocity`"
            )
        if self.predicts == "velocity" and not isinstance(self.process, Flow):
            raise BadInput("a velocity is that of a flow: it needs the process Flow")
        if not self.span[0] < self.span[1]:
            raise BadInput(
                f"span={self.span} must be (low, high), the values of black and white; try (-1, 1) or (0, 1)"
            )
        if self.integer_time and not isinstance(self.process, VPTable):
            raise BadInput("integer_time needs a table of steps: VPTable")

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        low, high = self.span
        s = per_item(sigma, x) * (high - low)
        known = s.clamp(self.process.sigma_min, self.process.sigma_max)
        # The factor is 1 up to sigma_max; maximum keeps it so at sigma 0.
        z = (low + high) / 2 + (high - low) * (x - 0.5) * (known / torch.maximum(s, known))
        d = (
            self._interpolated(z, known)
            if self.integer_time
            else self._x0(z, known, self.process.time(known.flatten()))
        )
        d = torch.where(s < known, z + (s / known) ** 2 * (d - z), d)
        return (d - low) / (high - low)

    def _x0(self, z: Tensor, s: Tensor, t: Tensor) -> Tensor:
        scale = self.process.scale(s)
        out = self.net(scale * z, t)[:, : z.shape[1]]
        if self.predicts == "eps":
            return z - s * out
        if self.predicts == "v":
            return scale**2 * z - scale * s * out
        if self.predicts == "velocity":  # x_t - t (n - x0)
            forward = isinstance(self.process, Flow) and self.process.end == "noise"
            return scale * z + scale * s * (-out if forward else out)
        return out if self.predicts == "x0" else z + s**2 * scale * out

    def _interpolated(self, z: Tensor, s: Tensor) -> Tensor:
        table: VPTable = self.process  # type: ignore[assignment]
        t = table.time(s.flatten())
        below = t.floor().clamp(max=len(table.alpha_bar) - 2)
        levels = [(k, table.sigma(k).view_as(s)) for k in (below, below + 1)]
        d = [self._x0(z, level, k) for k, level in levels]
        low, high = (level**2 for _, level in levels)
        return torch.lerp(d[0], d[1], (s**2 - low) / (high - low))
