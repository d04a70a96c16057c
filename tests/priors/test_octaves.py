"""Noise is taken out octave by octave: what is called, with which level, and what is left as it is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from restorekit.priors.octaves import Octaves


@pytest.mark.parametrize("sides", [(64, 64), (61, 75)])
def test_coarse_octaves_come_first_at_their_levels(sides: tuple[int, int]) -> None:
    seen = []

    def denoise(x: Tensor, sigma: float | Tensor, /) -> Tensor:
        seen.append((*x.shape[-2:], float(sigma)))
        return x

    x = torch.rand(2, 3, *sides)
    assert torch.equal(Octaves(denoise)(x, 0.1), x)  # nothing was taken out
    small = [(-(-sides[0] // f), -(-sides[1] // f)) for f in (4, 2, 1)]
    assert [s[:2] for s in seen] == [*small, sides]
    assert [s[2] for s in seen] == pytest.approx([0.022, 0.033, 0.055, 0.082])


def test_the_answer_is_the_mean_of_the_octaves_and_of_one_call() -> None:
    x = torch.rand(1, 1, 64, 64)
    halves = Octaves(lambda x, sigma: 0.5 * x)
    octaves = Octaves(halves.denoise, alone=0.0)(x, 0.1)
    assert not torch.allclose(octaves, 0.5 * x, atol=0.01)
    assert torch.allclose(halves(x, 0.1), (octaves + 0.5 * x) / 2)


def test_what_a_coarse_octave_takes_out_is_gone() -> None:
    """A denoiser that knows only grey 1/2 at a quarter of the size takes out the mean, and leaves the detail to the last call."""

    def denoise(x: Tensor, sigma: float | Tensor, /) -> Tensor:
        return torch.full_like(x, 0.5) if x.shape[-1] < 64 else x

    x = torch.rand(1, 3, 64, 64) + 1
    out = Octaves(denoise, alone=0.0)(x, 0.1)
    assert float((out.mean() - 0.5).abs()) < 0.02
    assert float(out.std()) > 0.8 * float(
        (x - torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(x, 2), scale_factor=2)).std()
    )


def test_a_picture_too_small_for_octaves_is_denoised_whole() -> None:
    x = torch.rand(1, 1, 12, 12)
    assert torch.equal(Octaves(lambda x, sigma: x * 0.5)(x, 0.1), x * 0.5)
