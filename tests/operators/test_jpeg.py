"""The operator of JPEG beside Pillow's encoder and decoder, and scipy's DCT."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.fft import dctn
from skimage import data

from restorekit.files.jpeg_file import read_jpeg
from restorekit.operators import JPEG, Weighted

TRUTH = np.ascontiguousarray(data.chelsea()[60:101, 100:157])  # 41 x 57: no whole number of blocks
X = torch.from_numpy(TRUTH.transpose(2, 0, 1) / 255.0)[None]


def test_one_component_is_the_orthonormal_transform_of_blocks() -> None:
    x = torch.rand(1, 1, 16, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = JPEG((1, 16, 24), ((1, 1),), "none").coefficients(JPEG((1, 16, 24), ((1, 1),), "none")(x))[0]
    blocks = x[0, 0].numpy().reshape(2, 8, 3, 8).swapaxes(1, 2)
    np.testing.assert_allclose(found[0].numpy(), np.asarray(dctn(blocks, axes=(2, 3), norm="ortho")), atol=1e-12)


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_its_coefficients_are_what_an_encoder_rounds(sampling: str, tmp_path: Path) -> None:
    path = tmp_path / "y.jpg"
    Image.fromarray(TRUTH).save(path, quality=60, subsampling=sampling)
    stored = read_jpeg(path)
    jpeg = JPEG((3, 41, 57), stored.sampling, stored.colour)
    seen = jpeg(X)
    off = (seen - jpeg.level(seen)) * 255
    for part, levels, step, unsure in zip(off.split(jpeg.sizes, 1), stored.levels, stored.steps, stored.unsure):
        miss = ((part.numpy().reshape(levels.shape) - levels * step) / step)[~unsure]
        assert np.abs(miss).max() < 0.5 + 1.5 / step.min()  # pixels of components are rounded as well
        assert np.mean(np.abs(miss) > 0.5) < 0.01


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_is_shown_turned_has_the_coefficients_of_what_is_stored(orientation: int) -> None:
    from restorekit.files.orientation import as_shown

    shown = torch.from_numpy(np.ascontiguousarray(as_shown(X.numpy(), orientation)))
    sides = (shown.shape[-2], shown.shape[-1])
    turned = JPEG((3, *sides), orientation=orientation)
    torch.testing.assert_close(turned(shown), JPEG((3, 41, 57))(X))
    torch.testing.assert_close(turned.estimate(turned(shown)).shape, shown.shape)


def test_the_first_estimate_is_what_a_decoder_shows() -> None:
    data_ = io.BytesIO()
    Image.fromarray(TRUTH).save(data_, "JPEG", quality=100, subsampling="4:4:4")
    jpeg = JPEG((3, 41, 57), ((1, 1),) * 3)
    shown = np.asarray(Image.open(data_)).transpose(2, 0, 1) / 255
    assert np.abs(jpeg.estimate(jpeg(X))[0].numpy() - shown).max() < 4 / 255


def test_the_preconditioner_is_the_inverse_where_chroma_is_whole_and_blocks_are_weighted_alike() -> None:
    jpeg = JPEG((3, 16, 24), ((1, 1),) * 3)
    steps = torch.linspace(1, 40, 64, dtype=torch.float64)
    weight = torch.cat([(i / steps).repeat(n // 64) for i, n in enumerate(jpeg.sizes, 1)])[None]
    system, rho = Weighted.of(jpeg, weight), 1e-3
    b = torch.rand(1, 3, 16, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x = system.precondition(b, rho)
    torch.testing.assert_close(system.adjoint(system(x)) + rho * x, b)


@pytest.mark.parametrize("sides", [(32, 48), (27, 21)])
def test_white_noise_has_the_deviation_in_coefficients_that_it_says(sides: tuple[int, int]) -> None:
    jpeg = JPEG((3, *sides))
    noise = torch.randn(64, 3, *sides, generator=torch.Generator().manual_seed(0))
    parts = jpeg(noise).split(jpeg.sizes, 1)
    for part, gain, (rows, columns) in zip(parts, jpeg.gains(noise), jpeg.grids):
        whole = part.unflatten(1, (rows, columns, 64))[:, : rows - 1, : columns - 1]
        assert float(whole.std()) == pytest.approx(gain, rel=0.03)
    assert jpeg.spectral_norm(noise) == pytest.approx(JPEG((3, 32, 48)).spectral_norm(noise))


def test_other_bands_and_samplings_are_refused() -> None:
    with pytest.raises(ValueError, match="no JPEG"):
        JPEG((4, 8, 8))
    with pytest.raises(ValueError, match="no JPEG"):
        JPEG((1, 8, 8), ((1, 1),))
    with pytest.raises(ValueError, match="counted from 1"):
        JPEG((3, 8, 8), orientation=9)
