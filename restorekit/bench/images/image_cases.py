"""Clean pictures of folders, which the benches of pictures measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from restorekit.errors import BadInput
from restorekit.files.formats import FORMATS
from restorekit.files.picture import read_picture

SUFFIXES = tuple(FORMATS)
SMALLEST = 16  # pixels a side: SSIM and the encoders of the priors need as much


@dataclass(frozen=True)
class Clean:
    """A file, and its name in the table: that of its folder and its own."""

    name: str
    path: Path
    crop: int  # pixels a side, from the middle; 0: the whole picture

    @cached_property
    def pixels(self) -> np.ndarray:
        """Return (C, H, W) float32 in [0, 1]. Raises BadInput where it is smaller than the crop, or cannot be read."""
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
