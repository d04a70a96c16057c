"""Measurements of the image bench: clean pictures of folders, and what an operator and a noise law make of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from restorekit.errors import BadInput
from restorekit.files.formats import FORMATS
from restorekit.files.picture import read_picture
from restorekit.inference.likelihood import Likelihood
from restorekit.inference.problem import Problem
from restorekit.operators import Inpaint
from restorekit.text.names import noise_of, operator_of

SUFFIXES = tuple(FORMATS)
SMALLEST = 16  # pixels a side: SSIM and the encoders of the priors need as much
NOISES = {"denoise": "gaussian:0.1"}  # for an operator without one
NOISE = "gaussian:0.02"


@dataclass(frozen=True)
class Clean:
    """A file, and its name in the table: that of its folder and its own."""

    name: str
    path: Path
    crop: int  # pixels a side, from the middle; 0: the whole picture

    @cached_property
    def pixels(self) -> np.ndarray:
        """(C, H, W) float32 in [0, 1]. Raises BadInput where it is smaller than the crop, or cannot be read."""
        x = read_picture(self.path).pixels
        h, w = x.shape[1:]
        least = self.crop or SMALLEST
        if min(h, w) < least:
            way = "leave it out"
            if self.crop and min(h, w) >= SMALLEST:
                way = f"give `crop={min(h, w)}` or less, or leave it out"
            raise BadInput(f"{self.path} is {h}x{w} pixels, smaller than {least}x{least}; {way}")
        side = self.crop or max(h, w)
        top, left = (max(0, n - side) // 2 for n in (h, w))
        return np.ascontiguousarray(x[:, top : top + side, left : left + side], np.float32)


def clean_pictures(folders: Sequence[Path], crop: int, limit: int | None = None) -> list[Clean]:
    """Return the pictures of the folders by name, at most `limit` of each. BadInput where there are none."""
    if crop and crop < SMALLEST:
        raise BadInput(f"`crop={crop}`: at least {SMALLEST} pixels a side are needed, or 0 for whole pictures")
    if not folders:
        raise BadInput("no folder of pictures; give `data=DIR`")
    found: dict[str, Clean] = {}
    for folder in folders:
        if not folder.is_dir():
            raise BadInput(f"{folder} is no folder; `data` takes a folder of clean pictures")
        paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
        if not paths:
            raise BadInput(f"{folder} holds no pictures ({', '.join(SUFFIXES)}); give the folder that does")
        for path in paths[:limit]:
            name = f"{folder.resolve().name}/{path.name}"
            if name in found:
                raise BadInput(f"two pictures are called {name}; rename one of the folders")
            found[name] = Clean(name, path, crop)
    return list(found.values())


def check_sizes(pictures: Sequence[Clean]) -> None:
    """Raise BadInput where one is smaller than its crop, naming one that all of them fill; or cannot be read."""
    sides = [min(read_picture(clean.path).pixels.shape[1:]) for clean in pictures]
    small = [(side, clean) for side, clean in zip(sides, pictures) if side < (clean.crop or SMALLEST)]
    if not small:
        return
    side, least = min(small, key=lambda s: s[0])
    if len(small) == 1 or side < SMALLEST:  # too small for any crop: which it is has to be known
        _ = least.pixels
    raise BadInput(
        f"{len(small)} of {len(pictures)} pictures, such as {least.path}, are smaller than {least.crop}x{least.crop} pixels; "
        f"give `crop={side}` or less, or leave them out"
    )


@dataclass(frozen=True)
class Degradation:
    """An operator and a noise law in words, `blur:kernel=gaussian:2@gaussian:0.02`: what follows the last @ is the noise."""

    op: str
    noise: str

    @classmethod
    def of(cls, text: str) -> Degradation:
        """Read a text. Without a noise it is gaussian:0.1 where nothing but noise is to be removed, else gaussian:0.02."""
        op, at, noise = text.rpartition("@")
        op, noise = (op, noise) if at else (text, NOISES.get(text.partition(":")[0], NOISE))
        task = cls(op.strip(), noise.strip())
        if not task.op:
            raise BadInput(f"`op={text!r}` names no operator; give it as blur:kernel=gaussian:2@gaussian:0.02")
        _ = task.law  # refused here if unknown
        return task

    @property
    def text(self) -> str:
        return f"{self.op}@{self.noise}"

    @property
    def law(self) -> Likelihood:
        return noise_of(self.noise)

    def measure(self, truth: np.ndarray, name: str, seed: int) -> Problem:
        """Return a measurement of truth (C, H, W): its noise is a function of (task, name, seed) and the size alone.

        Raises BadInput where the operator is unknown or does not take pictures of this shape.
        """
        operator = operator_of(self.op, image=(truth.shape[0], truth.shape[1], truth.shape[2]))
        digest = hashlib.sha256(f"{self.text}\n{name}\n{seed}".encode()).digest()
        rng = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        y = self.law.sample(operator(torch.from_numpy(truth)[None]), rng)
        if isinstance(operator, Inpaint):  # nothing is measured in a hole, not even noise
            y = y * (operator.mask > 0)
        return Problem(y, operator, self.law)
