"""Resizing as libraries do it: each to 1e-5 of the library on floats, borders included, and rows worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.transform import resize as skimage_resize
from torch.nn.functional import interpolate

from restorekit.operators import BlockAverage, Resize, SeparableDecimation, check, decimation, report
from restorekit.operators.blur import blur
from restorekit.operators.downsample import Decimate, centred
from restorekit.operators.resize import FILTERS
from tests.support.cases import gaussian, kernel, motion

Size = tuple[int, int]
PICTURE = np.random.default_rng(0).random((45, 31))
SIZES: list[Size] = [(13, 10), (15, 12), (22, 16), (44, 29), (90, 47), (1, 1), (45, 31)]
KERNELS = {
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "bilinear": Image.Resampling.BILINEAR,
    "box": Image.Resampling.BOX,
}


def ours(size: Size, filter_: str, like: str, factor: float | None = None, x: np.ndarray = PICTURE) -> np.ndarray:
    return Resize((1, *x.shape), size, factor, filter_, like)(torch.from_numpy(x)[None, None])[0, 0].numpy()


def torch_s(filter_: str, antialias: bool, **size: Any) -> np.ndarray:
    how = {} if filter_ == "area" else {"align_corners": False, "antialias": antialias}
    return interpolate(torch.from_numpy(PICTURE)[None, None], mode=filter_, **size, **how)[0, 0].numpy()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("filter_", FILTERS["pillow"])
def test_as_pillow(filter_: str, size: Size) -> None:
    image = Image.fromarray(PICTURE.astype(np.float32))
    expected = np.asarray(image.resize((size[1], size[0]), KERNELS[filter_]))
    np.testing.assert_allclose(ours(size, filter_, "pillow"), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("like", ["torch", "torch-antialias"])
def test_as_torch(like: str, size: Size) -> None:
    for filter_ in FILTERS[like]:
        expected = torch_s(filter_, like == "torch-antialias", size=size)
        np.testing.assert_allclose(ours(size, filter_, like), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [0.3, 0.37, 1.7])
@pytest.mark.parametrize("like", ["torch", "torch-antialias"])
def test_a_factor_that_torch_was_given_counts_and_not_the_sides(like: str, scale: float) -> None:
    for filter_ in ("bicubic", "bilinear"):
        expected = torch_s(filter_, like == "torch-antialias", scale_factor=scale)
        size = Resize.size_for((1, *PICTURE.shape), 1 / scale, filter_, like)
        assert size == expected.shape
        np.testing.assert_allclose(ours(size, filter_, like, 1 / scale), expected, rtol=0, atol=1e-12)
        assert np.abs(ours(size, filter_, like) - expected).max() > 0.01


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("filter_", FILTERS["skimage"])
def test_as_scikit_image(filter_: str, size: Size) -> None:
    expected = np.asarray(skimage_resize(PICTURE, size, order={"bilinear": 1, "bicubic": 3}[filter_], clip=False))
    np.testing.assert_allclose(ours(size, filter_, "skimage"), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("filter_", FILTERS["opencv"])
def test_as_opencv(filter_: str) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed; the rows below hold its weights")
    names = {"bicubic": "INTER_CUBIC", "lanczos": "INTER_LANCZOS4", "bilinear": "INTER_LINEAR", "area": "INTER_AREA"}
    how, x = getattr(cv2, names[filter_]), PICTURE.astype(np.float32)
    for h, w in SIZES:
        expected = cv2.resize(x, (w, h), interpolation=how)
        np.testing.assert_allclose(ours((h, w), filter_, "opencv"), expected, rtol=0, atol=1e-5)
    for scale in (0.3, 0.37, 1.7):
        expected = cv2.resize(x, None, fx=scale, fy=scale, interpolation=how)
        size = Resize.size_for((1, *x.shape), 1 / scale, filter_, "opencv")
        np.testing.assert_allclose(ours(size, filter_, "opencv", 1 / scale), expected, rtol=0, atol=1e-5)


# Rows of weights by hand. A factor of 2 puts pixel i at 2 i + 1/2; of 3 at 3 i + 1.
_HALF = [-3 / 32, 19 / 32]  # cubic convolution of a = -3/4 at distances 3/2 and 1/2
_LANCZOS4 = [
    math.sin(math.pi * d) / (math.pi * d) * math.sin(math.pi * d / 4) / (math.pi * d / 4) for d in (0.5, 1.5, 2.5, 3.5)
]
_KEYS = [-3, -9, 29, 111, 111, 29, -9, -3]  # a = -1/2 at distances 7/4, 5/4, 3/4 and 1/4, times 128
ROWS = {
    ("bicubic", "opencv", 2, 3): [0, 0, 0, 0, 0, *_HALF, *_HALF[::-1], 0, 0, 0],
    ("bicubic", "opencv", 2, 0): [_HALF[0] + _HALF[1], _HALF[1], _HALF[0]] + [0] * 9,  # the edge repeated
    ("bilinear", "opencv", 2, 1): [0, 0, 0.5, 0.5] + [0] * 8,
    ("bilinear", "opencv", 3, 1): [0, 0, 0, 0, 1] + [0] * 7,
    ("lanczos", "opencv", 2, 3): [0, 0, 0, *_LANCZOS4[::-1], *_LANCZOS4, 0],
    ("area", "opencv", 3, 1): [0, 0, 0, 1, 1, 1] + [0] * 6,
    ("area", "auto", 2.4, 1): [0, 0, 0.6, 1, 0.8] + [0] * 7,  # from 2.4 to 4.8
    ("bicubic", "matlab", 2, 3): [0, 0, 0, *_KEYS, 0],
    ("bicubic", "matlab", 2, 0): [111 + 29, 111 - 9, 29 - 3, -9, -3] + [0] * 7,  # pixels -1, -2, -3 are 0, 1, 2
    ("bicubic", "pillow", 2, 0): [111, 111, 29, -9, -3] + [0] * 7,  # they are left out, and the rest made to sum to 1
    ("bilinear", "matlab", 2, 0): [3 + 1, 3, 1] + [0] * 9,
}  # fmt: skip


@pytest.mark.parametrize("case", ROWS, ids=lambda c: "-".join(map(str, c)))
def test_a_row_of_weights_is_that_worked_out_by_hand(case: tuple[str, str, float, int]) -> None:
    filter_, like, factor, at = case
    m = round(12 / factor)
    row = Resize((1, 12, 1), (m, 1), None, filter_, like).weights[0][at]
    expected = np.array(ROWS[case], float)
    np.testing.assert_allclose(row, expected / expected.sum(), atol=1e-12)


def test_matlab_rounds_sides_up_and_keeps_its_factor() -> None:
    size = Resize.size_for((1, 75, 75), 1 / 0.3, "bicubic", "matlab")
    assert size == (23, 23)
    row = Resize((1, 75, 75), size, 1 / 0.3, "bicubic", "matlab").weights[0][11].numpy()
    assert float(row @ np.arange(75)) == pytest.approx(11.5 / 0.3 - 0.5, abs=0.01)  # not 11.5 * 75 / 23 - 0.5 = 37


def test_whole_blocks_are_averaged_alike() -> None:
    x = torch.rand(2, 3, 12, 18, dtype=torch.float64)
    for like in ("auto", "opencv", "torch"):
        torch.testing.assert_close(Resize((3, 12, 18), (4, 6), None, "area", like)(x), BlockAverage((3, 12, 18), 3)(x))


OPERATORS = {
    "fractional": Resize((2, 13, 11), (5, 3), None, "lanczos"),
    "larger": Resize((1, 5, 7), (9, 11)),
    "larger and smaller": Resize((2, 5, 12), (9, 5), None, "bilinear"),
    "smaller and larger": Resize((1, 12, 5), (5, 9), None, "area"),
    "spline": Resize((1, 12, 9), (4, 3), None, "bicubic", "skimage"),
    "one pixel": Resize((1, 4, 6), (1, 1)),
    "decimation": decimation((2, 13, 9), 3, gaussian(5, 1.0)),
    "decimation, even": decimation((1, 12, 8), 2, gaussian(5, 1.0)),
    "decimation, skew": decimation((1, 12, 10), 2, motion()[:5, :5]),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_every_identity(name: str) -> None:
    results = check(OPERATORS[name])
    assert all(c.passed for c in results), "\n" + report([c for c in results if not c.passed])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (((0, 3),), "must be two numbers, 1 or more"),
        (((4, 3), 0.0, "bicubic", "torch"), "factor=0 must be above 0"),
        (((4, 3), 2.0), "like=pillow takes no factor"),
        (((4, 3), 4.0, "bicubic", "torch"), "size=12x10 with factor=4 does not give 4x3 pixels as torch rounds them"),
        (((4, 3), None, "cubic"), "filter='cubic' is unknown; it is bicubic or lanczos"),
        (((4, 3), None, "bicubic", "numpy"), "like='numpy' is unknown; it is auto or pillow"),
        (((4, 3), None, "area", "pillow"), "like=pillow has no filter=area; it has bicubic and lanczos"),
    ],
)
def test_what_cannot_be_is_refused(settings: tuple[Any, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Resize((1, 12, 10), *settings)


@pytest.mark.parametrize(
    ("settings", "sides"),
    [
        ({}, (44, 34)),
        ({"factor": 3.3}, (73, 56)),
        ({"factor": 3.3, "like": "matlab"}, (72, 56)),  # 72 / 3.3 = 21.8 and 56 / 3.3 = 16.97, rounded up
        ({"factor": 3.3, "like": "torch"}, (73, 57)),  # rounded down
        ({"size": (75, 60)}, (75, 60)),
        ({"size": (75, 58), "factor": 3.4}, (75, 58)),
    ],
)
def test_the_picture_behind_a_measurement(settings: dict[str, Any], sides: Size) -> None:
    assert Resize.image_shape_for((3, 22, 17), **settings) == (3, *sides)


# --- blur and decimation ---


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_decimation_samples_the_middle_of_a_block(factor: int) -> None:
    """Of a ramp, which a symmetric kernel leaves as it is; corner samples its first pixel."""
    shape = (1, 12 * factor, 12 * factor)
    ramp = torch.arange(float(shape[1]), dtype=torch.float64).expand(shape)[None]
    for align, start in (("centre", (factor - 1) / 2), ("corner", 0.0)):
        op = decimation(shape, factor, gaussian(5, 1.0), align=align)  # type: ignore[arg-type]
        assert op.lattice == ((factor, start), (factor, start))
        np.testing.assert_allclose(op(ramp)[0, 0, 6, 3:9], factor * np.arange(3, 9) + start, atol=1e-9)


def test_an_even_kernel_of_an_even_factor_falls_on_no_half_pixel() -> None:
    flat = torch.full((4, 4), 1 / 16, dtype=torch.float64)
    x = torch.rand(1, 2, 12, 16, dtype=torch.float64)
    torch.testing.assert_close(decimation((2, 12, 16), 4, flat)(x), BlockAverage((2, 12, 16), 4)(x))
    assert float((centred(flat, 4) > 0).sum()) == 16


@pytest.mark.parametrize("taps", [(5, 5), (4, 2), (3, 6)])
def test_a_separable_decimation_is_blur_then_every_second_pixel(taps: Size) -> None:
    k = torch.outer(kernel(taps[0], 1)[:, 0], kernel(1, taps[1], 1)[0])
    op = decimation((2, 9, 11), 2, k, align="corner")
    x = torch.rand(1, 2, 9, 11, dtype=torch.float64)
    assert isinstance(op, SeparableDecimation)
    torch.testing.assert_close(op(x), Decimate((2, 9, 11), 2)(blur((2, 9, 11), k)(x)))


def test_an_unknown_align_is_refused() -> None:
    with pytest.raises(ValueError, match="align='middle' is unknown; it is centre or corner"):
        decimation((1, 8, 8), 2, gaussian(3, 1.0), align="middle")  # type: ignore[arg-type]
