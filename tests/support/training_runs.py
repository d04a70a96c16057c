"""What tests of runs share: pictures, a small configuration, and what a run leaves."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from restorekit.training.config import Config
from restorekit.training.data.patches import Patches
from restorekit.training.loop import train

TINY = """
name: tiny
model: {bands: [1, 3], widths: [8, 16], embed: 16}
data: {crop: 16, grey_every: 3}
optim: {batch: 4, steps: 6, lr: 0.002, warmup: 2}
run: {precision: fp32, log_every: 1, sample_every: 3, checkpoint_every: 1000}
"""


def mixed_pictures(folder: Path) -> Path:
    """Fill a folder with smooth pictures: mixed sizes, colour, grey and 16 bit."""
    (folder / "deep").mkdir(parents=True)
    shapes: list[tuple[str, tuple[int, ...], Any]] = [
        ("a.png", (20, 31, 3), np.uint8), ("b.png", (40, 17), np.uint8), ("deep/c.png", (18, 18), np.uint16),
        ("d.tif", (25, 33, 3), np.uint16), ("e.png", (9, 50, 3), np.uint8), ("f.png", (24, 24, 4), np.uint8),
    ]  # fmt: skip
    for i, (name, shape, dtype) in enumerate(shapes):
        h, w = np.indices(shape[:2])
        wave = 0.5 + 0.4 * np.sin(0.2 * h + 0.1 * (i + 1) * w)
        picture = np.broadcast_to(wave.reshape(*shape[:2], *[1] * (len(shape) - 2)), shape) * np.iinfo(dtype).max
        iio.imwrite(folder / name, picture.astype(dtype))
    (folder / "notes.txt").write_text("not a picture")
    return folder


def weights(path: Path) -> dict[str, Tensor]:
    with safe_open(path, framework="pt") as f:
        return {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118 (not a dict)


def read_log(out: Path) -> list[dict[str, float]]:
    with (out / "log.csv").open(newline="", encoding="utf-8") as f:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(f)]


def changed(config: Config, **settings: Any) -> Config:
    """`config` with other settings: optim__steps=3 is optim.steps=3."""
    raw = config.model_dump()
    for key, value in settings.items():
        section, _, name = key.rpartition("__")
        (raw[section] if section else raw)[name] = value
    return Config.model_validate(raw)


def interrupt(step: int, config: Config, pictures: Path, out: Path, resume: bool = False) -> None:
    """A run of batches of 4 that is killed when it has done this many steps."""
    plain = Patches.batch

    def stopped(self: Patches, first: int, count: int, grey: bool) -> tuple[Tensor, ...]:
        if first == step * 4:
            raise KeyboardInterrupt
        return plain(self, first, count, grey)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Patches, "batch", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(config, pictures, out, resume=resume, quiet=True)


def same_weights(first: Path, second: Path) -> bool:
    a, b = weights(first), weights(second)
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
