"""A prior is judged by what it denoises: PSNR and SSIM by noise level, one network call each, beside noisy pictures
and other priors."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from restorekit.bench.priors.eval_pictures import seed_of
from restorekit.inference.denoiser import Denoiser, Latent
from restorekit.inference.driver import decoded
from restorekit.metrics.fidelity import psnr, rmse, ssim
from restorekit.training.data.patches import log_intensity

NOISY, CODEC = "noisy", "codec alone"
AT_ONCE = 2**16  # pixels of a batch
Named = tuple[str, np.ndarray]  # a picture (C, H, W) by its name
Told = Callable[[int, int], None]  # (done, in all)


@dataclass(frozen=True)
class PixelUnit:
    """It says what the pixels of a prior are, and what its noise levels and errors are measured in."""

    unit: str
    white: float  # the range that PSNR and SSIM are taken to
    sigmas: tuple[float, ...]
    clips: bool = True  # estimates to [0, 1]


PICTURES = PixelUnit("white = 1", 1.0, (0.05, 0.1, 0.2, 0.5))
DOMAINS = {
    "srgb": PICTURES,
    "linear": PICTURES,
    # ln of intensity; from black to white of 8 bits it is 2 ln 256.
    "log-intensity": PixelUnit("ln of intensity", 2 * math.log(256), (0.25, 0.5, 1.0, 2.0), clips=False),
    "latent": PixelUnit("deviations of the latent; errors: white = 1", 1.0, (0.1, 0.25, 0.5, 1.0)),
}


@dataclass(frozen=True)
class Row:
    """Means over the pictures of one method at one level."""

    sigma: float
    method: str
    psnr: float  # dB
    ssim: float
    rmse: float  # in the unit of the domain
    pictures: int
    seconds: float  # per picture, the median; NaN for what takes no network call


def _batches(pictures: Iterable[Named]) -> Iterator[list[Named]]:
    """Yield neighbours of one shape together, up to AT_ONCE pixels."""
    held: list[Named] = []
    for item in pictures:
        if held and (item[1].shape != held[0][1].shape or (len(held) + 1) * item[1][0].size > AT_ONCE):
            yield held
            held = []
        held.append(item)
    if held:
        yield held


def _noise(names: Sequence[str], sigma: float, seed: int, like: Tensor) -> Tensor:
    """Return noise of each picture that is a function of (name, sigma, seed) and its shape, whatever else is measured."""
    draws = [
        torch.randn(like.shape[1:], generator=torch.Generator().manual_seed(seed_of(name, sigma, seed)))
        for name in names
    ]
    return sigma * torch.stack(draws).to(like)


@dataclass(frozen=True, eq=False)
class Denoising:
    """Settings; the call measures. `priors` are denoisers of `domain` by name.

    A prior of latents (with encode and decode; one alone) sees noise on its latents. What comes of it, and what its codec
    alone gives back, is compared with the picture.
    """

    priors: Mapping[str, Denoiser | Latent]
    sigmas: Sequence[float]
    domain: str = "srgb"
    seed: int = 0
    device: str | torch.device = "cpu"

    @torch.no_grad()
    def __call__(self, pictures: Sequence[Named], progress: Told = lambda done, total: None) -> list[Row]:
        """Return rows by level, then method: the noisy pictures, then each prior, all under the same noise.

        pictures: names and arrays (C, H, W) float32 in [0, 1], whose grey levels are amplitudes where the domain is
        log-intensity.
        """
        errors: dict[tuple[float, str], list[tuple[float, float, float]]] = {}
        spent: dict[tuple[float, str], list[float]] = {}
        done = 0
        for batch in _batches(pictures):
            for sigma in self.sigmas:
                for name, found, truth, seconds in self._answers(batch, sigma):
                    white = DOMAINS[self.domain].white
                    pairs = [(psnr(x, t, white), ssim(x, t, white), rmse(x, t)) for x, t in zip(found, truth)]
                    errors.setdefault((sigma, name), []).extend(pairs)
                    spent.setdefault((sigma, name), []).append(seconds / len(batch))
            done += len(batch)
            progress(done, len(pictures))
        rows = []
        for (sigma, name), values in errors.items():
            means, each = np.mean(values, 0).tolist(), float(np.median(spent[sigma, name]))
            rows.append(Row(sigma, name, means[0], means[1], means[2], len(values), each))
        return sorted(rows, key=lambda row: self.sigmas.index(row.sigma))

    def _answers(self, batch: list[Named], sigma: float) -> Iterator[tuple[str, np.ndarray, np.ndarray, float]]:
        """Yield (method, its answers, the truth, seconds) for a batch at one level."""
        clean = np.stack([x for _, x in batch])
        truth = log_intensity(clean) if self.domain == "log-intensity" else clean
        x, clips = torch.from_numpy(truth).to(self.device), DOMAINS[self.domain].clips
        first = next(iter(self.priors.values()))
        latent = first if isinstance(first, Latent) else None
        z = latent.encode(x) if latent else x

        def back(state: Tensor, clip: bool) -> np.ndarray:
            found = decoded(latent, state, x.shape[-2], x.shape[-1]) if latent else state
            return (found.clamp(0, 1) if clip else found).float().cpu().numpy()

        noisy = z + _noise([name for name, _ in batch], sigma, self.seed, z)
        yield NOISY, back(noisy, clip=latent is not None), truth, math.nan
        if latent:
            yield CODEC, back(z, clips), truth, math.nan
        for name, prior in self.priors.items():
            began = time.perf_counter()
            denoise = prior.denoise if isinstance(prior, Latent) else prior
            found = back(denoise(noisy, sigma), clips)
            yield name, found, truth, time.perf_counter() - began
