"""Super-resolution of pictures that were made smaller: by a library's resizer, or by a blur of which every few pixels were kept."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files import decode
from restorekit.notes import Notes
from restorekit.operators import Operator, Resize
from restorekit.operators.base import Shape
from restorekit.tasks.filling import Filling
from restorekit.tasks.forward import Forward
from restorekit.tasks.jpeg_forward import is_jpeg, jpeg_forward
from restorekit.tasks.measured import Measured
from restorekit.tasks.observation import Observation
from restorekit.text.jpeg_last import before

FILTER = "bicubic"
SEEN = 48  # pixels a side, from which on a spectrum tells something
BANDS = ((0.2, 0.28), (0.38, 0.5))  # cycles per pixel
SHARP = -1.8  # a less steep fall is seldom that of a picture that was smoothed
ROUNDED = 0.002  # half a step of 8 bits: rounding, once or twice, is 0.3 to 0.4 of one, and what was cut off at black and white


@dataclass(frozen=True, kw_only=True)
class Upscaling(Filling):
    """Enlarge a picture, which mostly is a file of 8 bits without any noise but its rounding.

    Where nobody gave the noise, it is `ROUNDED` in values of the file. Of a JPEG that is taken as the bins of its coefficients, for one
    answer; for several samples, and where bins cannot be told, the noise is what the JPEG lost by its rounding.
    """

    def _forward(self, reading: Observation, notes: Notes) -> Forward:
        plain = self.noise is None and self.samples == 1 and self.preview is None and isinstance(self.op, str)
        if not (plain and before(self.op) is None and reading.empty is None and is_jpeg(reading)):
            return super()._forward(reading, notes)
        notes(
            f"jpeg: {reading.input.name} is taken as the bins that its coefficients lie in; `noise=gaussian:{ROUNDED}` takes its decoded "
            "values"
        )
        return jpeg_forward(str(self.op), reading, f"gaussian:{ROUNDED}", None, notes)

    def check_settings(self) -> None:
        super().check_settings()
        if self.preview is not None and isinstance(self.op, str) and "size=" in self.op:
            raise BadInput(
                "`size` is that of the whole result, and `preview` a part; give `factor` instead", argument="size"
            )

    def _operator(self, measured: Shape) -> Operator:
        operator = super()._operator(measured)
        sides = operator.image_shape[1:]
        if any(n < m for n, m in zip(sides, measured[1:])):
            wanted, own = ("x".join(map(str, s)) for s in (sides, measured[1:]))
            raise BadInput(
                f"`size={wanted}` is smaller than the input, {own}; to make it smaller, take `degrade`", argument="size"
            )
        return operator

    def _doubts(self, measured: Measured, notes: Notes) -> None:
        """Note where the finest detail is stronger than a resizer that smooths leaves it."""
        operator, read = measured.forward.operator, measured.read
        plain = isinstance(operator, Resize) and operator.smooths and self.noise is None and read.empty is None
        pixels = read.as_read.pixels
        if plain and min(pixels.shape[1:]) >= SEEN and steepness(pixels) > SHARP:
            notes(
                f"the finest detail of {read.input.name} is stronger than a resizer that smooths leaves it; where it was made smaller by "
                "torch without antialias or by OpenCV, give `like=torch` or `like=opencv`; where that is noise, give `noise`"
            )

    def _assumed(self, reading: Observation) -> str:
        path = reading.input.path
        # Most coefficients of a JPEG are nearer to 0 than half a step, and lose less than rounding would take.
        level = ROUNDED if path is None else max(ROUNDED, 0.5 * decode.jpeg_rounding(path))
        return f"gaussian:{reading.response.in_light(level, reading.picture):.4g}"


def steepness(pixels: NDArray[Any]) -> float:
    """Return the exponent of frequency by which the power of a picture (C, H, W) falls in the finest octave, -2 to -5 for photographs.

    Resizers without antialias fold finer detail into it, and it falls less. From one number of a picture there is no certainty: a
    benchmark (`benchmarks/restoration/super_resolution.py`) counts both errors."""
    x = pixels.mean(0, dtype=np.float64)
    h, w = x.shape
    power = np.abs(np.fft.fft2((x - x.mean()) * np.outer(np.hanning(h), np.hanning(w)))) ** 2
    frequency = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.fftfreq(w))
    logs = [np.log(power[(frequency > low) & (frequency <= high)].mean() + 1e-300) for low, high in BANDS]
    middles = [np.log((low + high) / 2) for low, high in BANDS]
    return float((logs[1] - logs[0]) / (middles[1] - middles[0]))


def made_smaller(
    factor: float | None = None,
    filter: str = FILTER,
    like: str = "auto",
    kernel: str | os.PathLike[str] | None = None,
    align: str = "centre",
    size: Sequence[int] | None = None,
) -> str:
    """Return in text the operator that made a picture smaller; settings as of `restorekit.upscale`.

    Raises `BadInput` for settings that do not go together.
    """
    factor = 2 if factor is None and size is None else factor
    if factor is not None and not factor >= 1:
        raise BadInput(f"`factor={factor:g}` must be at least 1", argument="factor")
    whole = factor is not None and factor == int(factor)
    sides = None if size is None else "x".join(map(str, size))
    told = [] if factor is None else [f"factor={int(factor) if whole else factor}"]
    told += [] if sides is None else [f"size={sides}"]
    if kernel is None:
        if align != "centre":
            raise BadInput(
                f"`align={align}` is for a `kernel`; a resizer has the phase of its library", argument="align"
            )
        if whole and sides is None and (filter, like) == ("area", "auto"):
            return f"average:{told[0]}"
        return f"resize:{','.join([*told, f'filter={filter}', f'like={like}'])}"
    if (filter, like) != (FILTER, "auto"):
        raise BadInput("`kernel` says what was averaged; leave `filter` and `like` out", argument="kernel")
    if not whole:
        raise BadInput("`kernel` needs a whole `factor`: every few pixels are kept", argument="factor")
    return f"decimate:{','.join([*told, f'kernel={os.fspath(kernel)}', f'align={align}'])}"
