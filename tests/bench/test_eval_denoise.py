"""Denoising of pictures, logarithms and latents as `restorekit priors eval` measures it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from restorekit.bench.priors.eval_denoise import CODEC, NOISY, Denoising
from restorekit.bench.priors.eval_pictures import as_bands
from restorekit.training.data.patches import log_intensity
from tests.bench.test_eval_parts import pictures


def half(x: Tensor, sigma: float | Tensor, /) -> Tensor:
    return 0.5 * x + 0.25


def named(count: int = 3, h: int = 24, w: int = 20, bands: int = 3) -> list[tuple[str, np.ndarray]]:
    return [(f"{i}.png", as_bands(x, bands)) for i, x in enumerate(pictures(count, h, w))]


def test_denoising_is_measured_on_the_same_noise_by_picture() -> None:
    both = Denoising({"half": half, "again": half}, (0.1, 0.3))(named())
    assert [(r.sigma, r.method) for r in both] == [(s, m) for s in (0.1, 0.3) for m in (NOISY, "half", "again")]
    noisy, first, again = both[:3]
    # 20 log10(1 / 0.1), of 3 times 1440 values: one standard error is 0.09 dB.
    assert noisy.psnr == pytest.approx(20, abs=0.4)
    assert noisy.rmse == pytest.approx(0.1, rel=0.05)
    assert math.isnan(noisy.seconds)
    assert (first.psnr, first.ssim, first.rmse) == (again.psnr, again.ssim, again.rmse)
    assert first.seconds > 0
    assert first.pictures == 3
    # Each picture by itself: its noise depends on its name and not on its neighbours, its batch or the other levels.
    alone = [Denoising({"half": half}, (0.1,))([one])[1] for one in named()]
    assert np.mean([r.psnr for r in alone]) == pytest.approx(first.psnr, rel=1e-12)
    twice = [Denoising({"half": half}, (0.1,))([(name, named()[0][1])])[0].psnr for name in ("a", "b")]
    assert twice[0] != twice[1]  # of another name, other noise
    other = Denoising({"half": half}, (0.1,), seed=1)(named())[0]
    assert other.psnr != noisy.psnr


def test_estimates_are_clipped_and_the_noisy_picture_is_not() -> None:
    white = [("w", np.ones((1, 32, 32), np.float32))]
    noisy, same = Denoising({"same": lambda x, sigma: x}, (0.2,))(white)
    assert noisy.rmse == pytest.approx(0.2, rel=0.1)
    assert same.rmse == pytest.approx(0.2 / 2**0.5, rel=0.1)  # half of the noise is above white


def test_log_intensity_is_denoised_in_its_logarithm() -> None:
    seen: list[Tensor] = []

    def watched(x: Tensor, sigma: float | Tensor, /) -> Tensor:
        seen.append(x)
        return x

    ((name, grey),) = named(1, bands=1)
    noisy, same = Denoising({"same": watched}, (0.5,), "log-intensity")([(name, grey)])
    assert float((seen[0][0] - torch.from_numpy(log_intensity(grey))).std()) == pytest.approx(0.5, rel=0.1)
    assert noisy.psnr == same.psnr == pytest.approx(20 * math.log10(2 * math.log(256) / noisy.rmse), abs=1e-9)


def test_pictures_of_several_sizes_and_progress() -> None:
    told: list[tuple[int, int]] = []
    mixed = [*named(2), *[(f"b{n}", x) for n, x in named(3, 16, 16)]]
    rows = Denoising({"half": half}, (0.1,))(mixed, lambda *c: told.append(c))
    assert told == [(2, 5), (5, 5)]
    assert rows[0].pictures == 5


def test_latents_are_noised_decoded_and_set_beside_their_codec() -> None:
    class Latents:
        def denoise(self, z: Tensor, sigma: float | Tensor, /) -> Tensor:
            assert float(z.std()) > 1  # latents, at noise of their own unit
            return self.encode(torch.full((len(z), 3, 24, 20), 0.5))

        def encode(self, x: Tensor, /) -> Tensor:
            return 8 * (x[..., ::2, ::2] - 0.5)

        def decode(self, z: Tensor, /) -> Tensor:
            return (z / 8 + 0.5).repeat_interleave(2, -1).repeat_interleave(2, -2)

        def for_bands(self, bands: int) -> Latents:
            return self

    rows = {r.method: r for r in Denoising({"l": Latents()}, (1.0,), "latent")(named())}
    assert list(rows) == [NOISY, CODEC, "l"]
    grey = [float(np.sqrt(np.square(x - 0.5).mean())) for _, x in named()]
    assert rows["l"].rmse == pytest.approx(np.mean(grey), rel=1e-6)
    assert rows[CODEC].rmse < rows[NOISY].rmse
