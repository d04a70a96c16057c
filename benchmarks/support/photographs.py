"""Files as cameras write them, with their truth: by `restorekit degrade`'s camera, and by one of other people's code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.support.other_camera import OtherCamera
from restorekit.files.curves import SRGB
from restorekit.files.recompressed import jpeg_options
from restorekit.simulation.camera import Camera
from restorekit.text.cameras import camera_of

Array = np.ndarray
CAMERAS = ("phone", "still", "other")


@dataclass(frozen=True, eq=False)
class Photograph:
    """A JPEG with its truth (3, H, W) in values of the file; no record lies beside it."""

    path: Path
    truth: Array


def photograph(
    camera: str, x: Array, path: Path, seed: int, kernel: Array | None = None, reduce: int = 1
) -> Photograph:
    """Write what a camera of CAMERAS makes of a picture x (3, H, W), coded as sRGB. kernel: of a motion, (h, w) odd, sum 1. reduce: the
    file is so many times smaller than the truth."""
    if camera == "other":
        packed, truth = OtherCamera()(x, seed, kernel, reduce)
        path.write_bytes(packed)
        return Photograph(path, truth.astype(np.float32))
    made = camera_of(camera if kernel is None else f"{camera}:lens=off")
    if kernel is not None:
        made = Camera(**{**vars(made), "lens": camera_of(camera).lens, "shutter": torch.from_numpy(kernel).float()})
    shot = made(SRGB().decode(x), torch.Generator().manual_seed(seed))
    codes, truth = shot.before_jpeg, shot.truth.clip(0, 1)
    if reduce > 1:
        height, width = (n // reduce * reduce for n in codes.shape[1:])
        truth = truth[:, :height, :width]
        codes = np.stack([np.asarray(Image.fromarray(b.astype(np.float32)).resize((width // reduce, height // reduce), Image.Resampling.BICUBIC)) for b in codes[:, :height, :width]])  # fmt: skip
    bits = np.rint(codes.clip(0, 1) * 255).astype(np.uint8)
    assert made.jpeg is not None
    Image.fromarray(np.moveaxis(bits, 0, -1)).save(path, "JPEG", **jpeg_options(made.jpeg, made.chroma))
    return Photograph(path, truth.astype(np.float32))
