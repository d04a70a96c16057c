"""A raw file of a sensor that is known, written by tifffile, and developed by LibRaw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

Array = np.ndarray
BLACK, WHITE = 64, 1023
BALANCE = np.array([1.9, 1.0, 1.6])  # factors that make grey of grey light
# From XYZ to a camera, as of a sensor whose filters overlap; and from linear sRGB to XYZ of daylight (IEC 61966-2-1).
COLOUR = np.array([[0.7, -0.2, -0.05], [-0.5, 1.3, 0.2], [-0.1, 0.2, 0.6]])
XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])


def mosaic(light: Array, gain: float, read: float, rng: np.random.Generator) -> Array:
    """What a sensor (RGGB, uint16) gives of linear sRGB light (3, H, W): photons counted, read with noise, 10 bits, held at its ends."""
    camera = COLOUR @ XYZ
    seen = np.einsum("ij,jhw->ihw", camera / camera.sum(1, keepdims=True) / BALANCE[:, None], light)
    row, column = np.mgrid[: light.shape[1], : light.shape[2]] % 2
    one = np.take_along_axis(seen, (row + column)[None], 0)[0].clip(0)
    y = gain * rng.poisson(one / gain) + read * rng.standard_normal(one.shape)
    return np.rint(BLACK + y * (WHITE - BLACK)).clip(0, WHITE).astype(np.uint16)


def write(path: Path, raw: Array, profile: Sequence[float] | None) -> None:
    """Write a DNG. profile: its tag NoiseProfile, (gain, variance at black); None for none."""

    def fractions(values: Any) -> list[int]:
        return [n for v in np.ravel(values) for n in (round(float(v) * 100000), 100000)]

    tags: list[tuple[Any, ...]] = [
        (50706, 1, 4, bytes([1, 4, 0, 0]), True), (50708, 2, 0, "a sensor that is known", True), (33421, 3, 2, (2, 2), True),
        (33422, 1, 4, bytes([0, 1, 1, 2]), True), (50714, 5, 1, fractions(BLACK), True), (50717, 4, 1, WHITE, True),
        (50728, 5, 3, fractions(1 / BALANCE), True), (50721, 10, 9, fractions(COLOUR), True), (50778, 3, 1, 21, True),
    ]  # fmt: skip
    tags += [] if profile is None else [(51041, 12, len(profile), tuple(profile), True)]
    tifffile.imwrite(path, raw, photometric=32803, extratags=tags, metadata=None)


def developed(path: Path, algorithm: str) -> Array:
    """Linear sRGB light (3, H, W) by LibRaw, which stretches nothing (`adjust_maximum_thr`)."""
    import rawpy  # pyright: ignore[reportMissingImports]

    with rawpy.imread(str(path)) as raw:
        out = raw.postprocess(
            demosaic_algorithm=getattr(rawpy.DemosaicAlgorithm, algorithm), use_camera_wb=True, no_auto_bright=True,
            adjust_maximum_thr=0.0, output_bps=16, gamma=(1, 1), output_color=rawpy.ColorSpace.sRGB,
        )  # fmt: skip
    return np.moveaxis(out / 65535.0, -1, 0)
