"""A solver knows of a prior only that it denoises, pictures or latents."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor


class Denoiser(Protocol):
    """A denoiser returns E[x0 | x = x0 + sigma n], n ~ N(0, I): all that a solver knows of a prior.

    x is (B, C, H, W) in the prior's domain (pictures: [0, 1]); sigma, in the same unit, is a float or a (B,) tensor.
    The result is like x.
    """

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor: ...


@runtime_checkable
class Latent(Protocol):
    """A prior of latents z of pictures x. A solver works on z, of which A(decode(z)) was measured; see
    `driver.restore`.

    z is (B, c, h, w), its deviation about 1, and sigma in that unit. x is (B, C, H, W), C as `for_bands` was told;
    encode takes any H and W, and what decode gives may be larger at the bottom and the right, if H or W cannot be had.
    """

    def for_bands(self, bands: int, /) -> Latent:
        """Return the prior for pictures of so many bands."""
        ...

    def denoise(self, z: Tensor, sigma: float | Tensor, /) -> Tensor:
        """Return E[z0 | z = z0 + sigma n], like z (B, c, h, w)."""
        ...

    def encode(self, x: Tensor, /) -> Tensor:
        """Return the latents (B, c, h, w) of pictures x (B, C, H, W)."""
        ...

    def decode(self, z: Tensor, /) -> Tensor:
        """Return the pictures (B, C, H, W) of latents z (B, c, h, w)."""
        ...
