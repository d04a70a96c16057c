"""Denoisers are made of denoisers: any size, bounded memory, any number of bands, flips averaged, guidance by a class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from restorekit.inference.coding import Coding
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.units import Units, units_of
from restorekit.operators.blur import mirror


class Wrapper:
    """A denoiser that keeps the unit of the one it holds."""

    denoise: Denoiser

    @property
    def units(self) -> Units | Coding | None:
        """Return the units of the denoiser inside."""
        return units_of(self.denoise)


@dataclass(frozen=True, eq=False)
class Padded(Wrapper):
    """It takes any height and width for a denoiser that needs multiples: mirrored at the bottom and the right, then
    cut."""

    denoise: Denoiser
    multiple: int

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        height, width = x.shape[-2:]
        down, right = -height % self.multiple, -width % self.multiple
        if not down and not right:
            return self.denoise(x, sigma)
        rows, columns = mirror(height, 0, down, x.device), mirror(width, 0, right, x.device)
        return self.denoise(x[..., rows, :][..., columns], sigma)[..., :height, :width]


@dataclass(frozen=True, eq=False)
class Tiled(Wrapper):
    """It denoises windows of bounded size, their outputs averaged where they overlap: memory does not grow with the
    picture.

    Each window is a tile with `halo + blend` pixels around it. The outermost `halo` is thrown away and over `blend`
    neighbouring windows fade into each other. With halo >= the network's receptive radius (and tile, halo and blend
    multiples of its stride) the result is that of the whole picture, whatever the tile, up to the rounding of the
    network: on a CPU, `natural` differs by 1e-7 at most in fp32 and by 5e-3 (rms 5e-4) in bf16, white = 1.

    No window keeps its graph: where gradients are wanted each is run a second time in the backward pass.
    """

    denoise: Denoiser
    tile: int = 512
    halo: int = 64
    blend: int = 0

    def _windows(self, size: int) -> Iterator[tuple[slice, slice, Tensor]]:
        """Return (window, the part of it that counts, its weights) along one axis."""
        for start in range(0, size, self.tile):
            stop = min(start + self.tile, size)
            first, last = max(0, start - self.blend), min(size, stop + self.blend)
            window = slice(max(0, first - self.halo), min(size, last + self.halo))
            at = torch.arange(first, last, dtype=torch.float32) + 0.5
            rise = torch.ones_like(at) if start == 0 else (at - (start - self.blend)) / max(1, 2 * self.blend)
            fall = torch.ones_like(at) if stop == size else (stop + self.blend - at) / max(1, 2 * self.blend)
            weight = torch.minimum(rise, fall).clamp(0, 1) if self.blend else torch.ones_like(at)
            yield window, slice(first, last), weight

    def _window(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        # torch.func.vjp and its kin do not take the hooks of checkpoint: there the graphs are kept.
        if not x.requires_grad or torch._C._are_functorch_transforms_active():
            return self.denoise(x, sigma)
        # A denoiser draws no random numbers, so the global generator need not be read and set back.
        return checkpoint(self.denoise, x, sigma, use_reentrant=False, preserve_rng_state=False)  # type: ignore[no-any-return]

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        height, width = x.shape[-2:]
        if height <= self.tile and width <= self.tile:
            return self.denoise(x, sigma)
        out, total = torch.zeros_like(x), x.new_zeros(height, width)
        for (rows, down, fade_rows), (columns, right, fade_columns) in product(
            self._windows(height), self._windows(width)
        ):
            d = self._window(x[..., rows, columns], sigma)
            top, left = down.start - rows.start, right.start - columns.start
            part = d[..., top : top + down.stop - down.start, left : left + right.stop - right.start]
            weight = (fade_rows[:, None] * fade_columns).to(x)
            out[..., down, right] += weight * part
            total[down, right] += weight
        return out / total if self.blend else out


@dataclass(frozen=True, eq=False)
class ChannelWise(Wrapper):
    """It runs a one-band denoiser on any number of bands, each on its own."""

    denoise: Denoiser

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        per_band = sigma.repeat_interleave(x.shape[1]) if isinstance(sigma, Tensor) and sigma.ndim else sigma
        return self.denoise(x.flatten(0, 1).unsqueeze(1), per_band).view_as(x)


@dataclass(frozen=True, eq=False)
class EnsembleFlip(Wrapper):
    """It averages over flips: 2 (left-right), 4 (both axes) or 8 (quarter turns too); as many network calls."""

    denoise: Denoiser
    count: int = 4

    def __post_init__(self) -> None:
        if self.count not in (2, 4, 8):
            raise ValueError(f"count={self.count} is unknown; it is 2, 4 or 8")

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        axes: list[tuple[int, ...]] = [(), (-1,), (-2,), (-2, -1)][: min(self.count, 4)]
        views = [(t, a) for t in ((False, True) if self.count == 8 else (False,)) for a in axes]
        total = torch.zeros_like(x)
        for turned, axis in views:
            z = (x.transpose(-1, -2) if turned else x).flip(axis)
            d = self.denoise(z, sigma).flip(axis)
            total = total + (d.transpose(-1, -2) if turned else d)
        return total / len(views)


@dataclass(frozen=True, eq=False)
class GuidedByClass:
    """It guides without a classifier: D = D_none + weight (D_class - D_none). Ho and Salimans, 2022, eq 6, with weight
    = 1 + w.

    D is linear in their eps, so the formula holds for it as it stands. 1 is the class itself, 0 no class. The "CFG =
    4.0" of Li et al. 2025 for DiM is most likely DiM's w = 0.4, that is 1.4.
    """

    conditional: Denoiser
    unconditional: Denoiser
    weight: float = 1.4

    @property
    def units(self) -> Units | Coding | None:
        """Return the units of the denoiser with the class."""
        return units_of(self.conditional)

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        return torch.lerp(self.unconditional(x, sigma), self.conditional(x, sigma), self.weight)
