"""Pictures that a prior is judged on: from a folder or zip, read as the training reads them, 8 bits and three bands."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.training.data.cache import files
from restorekit.training.data.decoding import rgb8
from restorekit.training.data.patches import LUMA

Window = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class PictureSet:
    """Pictures (H, W, 3) uint8 of any sizes, and the checksum over their names and files."""

    source: Path
    names: tuple[str, ...]
    pictures: tuple[NDArray[np.uint8], ...]
    sha256: str
    broken: tuple[str, ...] = ()  # names of what could not be read, each with the reason

    @classmethod
    def read(cls, source: Path, limit: int | None = None) -> PictureSet:
        """Read at most `limit` pictures, spread evenly over the names. BadInput where there are none, or the zip is damaged."""
        if not source.exists():
            raise BadInput(f"{source}: no such file or folder; give a folder or zip of pictures")
        names, found, broken, digest = [], [], [], hashlib.sha256()
        for name, raw in files(source, limit):
            try:
                found.append(rgb8(name, raw))
            except ValueError as error:
                broken.append(f"{name}: {error}")
                continue
            names.append(name)
            digest.update(name.encode() + hashlib.sha256(raw).digest())
        if not found:
            raise BadInput(
                f"{source} holds no pictures that can be read{f'; the first: {broken[0]}' if broken else ''}"
            )
        return cls(source, tuple(names), tuple(found), digest.hexdigest(), tuple(broken))

    def __len__(self) -> int:
        return len(self.pictures)

    def some(self, count: int) -> PictureSet:
        """Return at most `count` of them, spread evenly over the names."""
        keep = range(len(self)) if count >= len(self) else [i * len(self) // count for i in range(count)]
        return replace(self, names=tuple(self.names[i] for i in keep), pictures=tuple(self.pictures[i] for i in keep))

    def least(self) -> tuple[int, int]:
        """Return the least height and the least width."""
        return min(len(p) for p in self.pictures), min(p.shape[1] for p in self.pictures)

    def centres(self, side: int, bands: int) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Yield name and middle, at most `side` pixels a side (0: whole), (bands, H, W) float32 in [0, 1]."""
        for name, picture in zip(self.names, self.pictures):
            h, w = picture.shape[:2]
            size = (min(h, side) if side else h, min(w, side) if side else w)
            top, left = (h - size[0]) // 2, (w - size[1]) // 2
            yield name, as_bands(picture[top : top + size[0], left : left + size[1]], bands)

    def crops(self, size: tuple[int, int], bands: int) -> NDArray[np.float32]:
        """Return (N, bands, *size): one window of each picture, where in it a function of its name alone."""
        self.refuse_smaller(size)
        found = []
        for name, picture in zip(self.names, self.pictures):
            rng = np.random.default_rng(seed_of("crop", name))
            top, left = (int(rng.integers(n - k + 1)) for n, k in zip(picture.shape, size))
            found.append(as_bands(picture[top : top + size[0], left : left + size[1]], bands))
        return np.stack(found)

    def refuse_smaller(self, size: tuple[int, int]) -> None:
        """Raise BadInput where a picture is smaller than `size`."""
        h, w = self.least()
        if h < size[0] or w < size[1]:
            raise BadInput(
                f"{self.source} holds pictures of {h}x{w} pixels, the samples are {size[0]}x{size[1]}; give `size={h}x{w}`"
            )


def seed_of(*words: object) -> int:
    """Return a seed that is a function of the words."""
    return int.from_bytes(hashlib.sha256("\n".join(map(str, words)).encode()).digest()[:8], "big") >> 1


def as_bands(picture: NDArray[np.uint8], bands: int) -> NDArray[np.float32]:
    """Return (H, W, 3) uint8 as (3, H, W) in [0, 1], or its luminance (1, H, W). BadInput for other numbers of bands."""
    x = picture.astype(np.float32) / 255
    if bands not in (1, 3):
        raise BadInput(
            f"pictures of {bands} bands cannot be had of files of 8 bits and three bands; give `bands=1` or 3"
        )
    return np.ascontiguousarray((x @ LUMA)[None] if bands == 1 else x.transpose(2, 0, 1), np.float32)


def windows(shape: Sequence[int], size: tuple[int, int]) -> list[Window]:
    """Return the windows of `size` that cover (H, W) side by side; the last of a row or column ends with it."""

    def starts(length: int, side: int) -> list[int]:
        return sorted({*range(0, length - side + 1, side), length - side})

    return [
        (slice(top, top + size[0]), slice(left, left + size[1]))
        for top in starts(shape[0], size[0])
        for left in starts(shape[1], size[1])
    ]
