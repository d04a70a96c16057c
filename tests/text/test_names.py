from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from restorekit import operators as ops
from restorekit.errors import BadInput
from restorekit.inference.likelihood import Gamma, Gaussian, Poisson
from restorekit.noise.level import estimate_sigma
from restorekit.text.generated_masks import generated_mask
from restorekit.text.kernels import kernel
from restorekit.text.names import noise_of, operator_of


def test_operators_from_text() -> None:
    image = (3, 12, 10)
    assert isinstance(operator_of("denoise", image=image), ops.Identity)
    assert isinstance(operator_of("blur:kernel=motion:5:30", image=image), ops.ReflectBlur)
    assert isinstance(operator_of("blur:gaussian:0.5,circular", image=image), ops.CircularBlur)
    assert operator_of("average:4", measured=(3, 3, 2)).image_shape == (3, 12, 8)
    assert operator_of("average:factor=4,size=11x7", measured=(3, 3, 2)).image_shape == (3, 11, 7)
    assert operator_of("grey", measured=(1, 4, 5)).image_shape == (3, 4, 5)
    assert operator_of("phase:oversample=2", measured=(1, 8, 6)).image_shape == (1, 4, 3)
    with pytest.raises(BadInput, match="does not give"):
        operator_of("average:factor=4,size=20x7", measured=(3, 3, 2))


def test_noise_from_text() -> None:
    gaussian, poisson, gamma = (noise_of(t) for t in ("gaussian:0.02", "poisson:peak=30", "gamma:4,domain=log"))
    assert isinstance(gaussian, Gaussian)
    assert gaussian.sigma == 0.02
    assert isinstance(poisson, Poisson)
    assert poisson.peak == 30
    assert isinstance(gamma, Gamma)
    assert (gamma.looks, gamma.domain) == (4, "log")


@pytest.mark.parametrize("text", ["gaussian:1.5", "motion:1:0", "motion:9:45", "motion:3", "uniform:5"])
def test_kernels_have_unit_mass_and_a_centre(text: str) -> None:
    k = kernel(text).double()
    assert float(k.sum()) == pytest.approx(1, abs=1e-5)
    assert float(k.min()) >= 0
    for axis in (0, 1):
        taps = torch.arange(k.shape[axis]) - k.shape[axis] // 2
        assert float((k.sum(1 - axis) * taps).sum()) == pytest.approx(0, abs=1e-5)


def test_a_motion_kernel_points_counter_clockwise() -> None:
    k = kernel("motion:9:45")
    half = k.shape[0] // 2
    upper_right, upper_left = k[:half, half + 1 :].sum(), k[:half, :half].sum()
    assert float(upper_right) > 10 * float(upper_left)
    assert float(kernel("motion:9:0")[kernel("motion:9:0").shape[0] // 2].sum()) == pytest.approx(1, abs=1e-5)


def test_a_kernel_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "k.npz", a=np.ones((3, 5)), b=np.eye(3))
    assert kernel(f"{tmp_path / 'k.npz'}:a").shape == (3, 5)
    with pytest.raises(BadInput, match="a, b"):
        kernel(f"{tmp_path / 'k.npz'}:c")


@pytest.mark.parametrize("sigma", [0.02, 0.1])
def test_noise_is_measured_on_a_smooth_picture(sigma: float) -> None:
    ramp = np.linspace(0, 1, 200)[None, None] * np.ones((3, 160, 1))
    noisy = ramp + sigma * np.random.default_rng(0).standard_normal(ramp.shape)
    assert estimate_sigma(noisy) == pytest.approx(sigma, rel=0.03)
    mask = (np.random.default_rng(1).random((1, 160, 200)) > 0.2).astype(float)
    assert estimate_sigma(noisy * mask, mask) == pytest.approx(sigma, rel=0.05)


def test_masks_from_text() -> None:
    holes = generated_mask("random:0.2:7", (100, 90))
    assert holes is not None
    assert holes.shape == (1, 100, 90)
    assert float(holes.mean()) == pytest.approx(0.2, abs=0.02)  # five standard errors
    assert torch.equal(holes, generated_mask("random:0.2:7", (100, 90)))  # type: ignore[arg-type]
    assert not torch.equal(holes, generated_mask("random:0.2", (100, 90)))  # type: ignore[arg-type]
    box = generated_mask("box:0.25", (16, 40))
    assert box is not None
    assert float(box.sum()) == 16 * 40 - 4 * 10
    assert float(box[:, 6:10, 15:25].sum()) == 0
    assert generated_mask("mask.png", (4, 4)) is None
    assert isinstance(operator_of("inpaint:mask=random:0.5", image=(3, 8, 8)), ops.Inpaint)
    for wrong in ("random:2", "random:0", "random:x", "random:0.2:-1", "box:0.2:3", "box:1"):
        with pytest.raises(BadInput, match="a share lies between 0 and 1"):
            operator_of(f"inpaint:mask={wrong}", image=(3, 8, 8))


def test_a_noise_law_of_a_users_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from dataclasses import dataclass\n"
        "from restorekit.inference.likelihood import Gaussian\n\n\n"
        "@dataclass(frozen=True, eq=False)\nclass Strong(Gaussian):\n    times: float = 2.0\n"
    )
    law = noise_of(f"{file}:Strong:0.1,times=3")
    assert (law.sigma, law.times) == (0.1, 3.0)  # type: ignore[attr-defined]


@pytest.mark.parametrize("sigma", [0.3, 1.2, 7.7])
def test_a_gaussian_kernel_is_that_of_kornia(sigma: float) -> None:
    from kornia.filters import get_gaussian_kernel2d

    size = 2 * math.ceil(4 * sigma) + 1
    assert torch.equal(kernel(f"gaussian:{sigma}"), get_gaussian_kernel2d((size, size), (sigma, sigma))[0])
