"""Noise that belongs to the pixels of a scene, not to the window that a solver happens to see."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restorekit.files.bands import Window
from restorekit.inference.rng import Rng

CELL = 256  # side of the squares of pixels that share a stream, pixels


def cell(key: int, draw: int, row: int, column: int) -> NDArray[np.float32]:
    """Return (CELL, CELL) standard normal numbers: a function of the key and of three counters (Philox, Salmon et al., SC 2011)."""
    stream = np.random.Philox(key=key, counter=np.array([0, draw, row, column], np.uint64))
    return np.random.Generator(stream).standard_normal((CELL, CELL), np.float32)


def field(key: int, draw: int, window: Window) -> NDArray[np.float32]:
    """Return (h, w): the `draw`-th field of a scene, in a window of it."""
    first = window.top // CELL, window.left // CELL
    last = (window.top + window.height - 1) // CELL, (window.left + window.width - 1) // CELL
    rows = [
        np.concatenate([cell(key, draw, i, j) for j in range(first[1], last[1] + 1)], 1)
        for i in range(first[0], last[0] + 1)
    ]
    top, left = window.top - first[0] * CELL, window.left - first[1] * CELL
    return np.concatenate(rows)[top : top + window.height, left : left + window.width]


class SceneRng(Rng):
    """An `Rng` for pictures (B, C, H, W) of one window of a scene: each draw is the next field of the scene.

    One stream per picture and band, functions of (seed, number of the sample, band).
    """

    def __init__(self, seed: int, samples: range, window: Window, band: int = 0):
        super().__init__([])
        self.seed, self.numbers, self.window, self.band = seed, samples, window, band
        self.draws = 0

    def key(self, number: int, band: int) -> int:
        return int(np.random.SeedSequence([self.seed, number, band]).generate_state(1, np.uint64)[0])

    def normal(self, like: Tensor) -> Tensor:
        if like.ndim != 4 or len(like) != len(self.numbers):
            raise ValueError(f"this Rng has {len(self.numbers)} streams of pictures, not {tuple(like.shape)}")
        fields = [
            [field(self.key(n, self.band + c), self.draws, self.window) for c in range(like.shape[1])]
            for n in self.numbers
        ]
        self.draws += 1
        drawn = np.stack([np.stack(bands) for bands in fields])
        return torch.from_numpy(drawn).to(like)
