"""Where measured pixels lie in a picture: the centre of mass of what each sees, found by a ramp."""

from __future__ import annotations

import pytest
import torch

from restorekit.operators import Operator
from restorekit.operators.blur import FreeBlur, blur
from restorekit.operators.combine import compose
from restorekit.operators.diagonal import Identity
from restorekit.operators.downsample import BlockAverage, decimation
from restorekit.operators.resize import Resize

SHAPE = (1, 36, 48)
EVEN = torch.full((2, 4), 0.125, dtype=torch.float64)
SKEW = torch.tensor([[0.0, 0.0, 0.1], [0.2, 0.4, 0.0], [0.3, 0.0, 0.0]], dtype=torch.float64)
FLAT = torch.full((3, 3), 1 / 9, dtype=torch.float64)
CASES: dict[str, Operator] = {
    "identity": Identity(SHAPE),
    "average 2": BlockAverage(SHAPE, 2),
    "average 3": BlockAverage(SHAPE, 3),
    "decimate 2": decimation(SHAPE, 2, FLAT),
    "decimate 3, even kernel": decimation(SHAPE, 3, EVEN),
    "decimate 4, skew kernel": decimation(SHAPE, 4, SKEW),
    "decimate 2, corner": decimation(SHAPE, 2, FLAT, align="corner"),
    "decimate 3, even kernel, corner": decimation(SHAPE, 3, EVEN, align="corner"),
    "resize": Resize(SHAPE, (18, 12), None, "lanczos"),
    "resize by 3.3": Resize(SHAPE, (10, 14), 3.3, "bilinear", "torch"),
    "resize, larger": Resize(SHAPE, (60, 71), None, "bicubic", "skimage"),
    "circular": decimation(SHAPE, 3, SKEW, "circular"),
    "blur": blur(SHAPE, SKEW),
    "free": FreeBlur(SHAPE, SKEW),
    "average of averages": compose(BlockAverage((1, 18, 24), 3), BlockAverage(SHAPE, 2)),
}


@pytest.mark.parametrize("case", CASES)
def test_measured_pixels_lie_where_the_operator_says(case: str) -> None:
    operator = CASES[case]
    _, height, width = operator.image_shape
    rows, columns = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    ramps = torch.stack([rows, columns])[:, None].double()
    seen, inside = operator(ramps), operator.inside(ramps)
    middle = [n // 2 for n in seen.shape[-2:]]
    for axis, (step, start) in enumerate(operator.lattice):
        origin = inside[axis, 0, 0, 0]
        assert seen[axis, 0, middle[0], middle[1]] - origin == pytest.approx(start + step * middle[axis], abs=1e-5)
