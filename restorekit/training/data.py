"""Pictures from a folder or zip as one uint8 cache, and patches that are a function of (seed, index) alone."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"}
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def _files(source: Path) -> Iterator[tuple[str, bytes]]:
    if source.is_dir():
        for path in sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES):
            yield str(path.relative_to(source)), path.read_bytes()
    elif zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as z:
            for name in sorted(n for n in z.namelist() if Path(n).suffix.lower() in SUFFIXES):
                yield name, z.read(name)
    else:
        raise ValueError(f"{source} is neither a folder nor a zip of pictures ({', '.join(sorted(SUFFIXES))})")


def _rgb8(name: str, raw: bytes) -> NDArray[np.uint8]:
    try:
        a = np.asarray(iio.imread(io.BytesIO(raw), extension=Path(name).suffix))
    except Exception as error:  # noqa: BLE001 (whatever a decoder raises)
        raise ValueError(f"training picture {name} cannot be read ({error}); remove it or mend it") from None
    if a.dtype == np.uint16:
        a = (a >> 8).astype(np.uint8)
    if a.dtype != np.uint8 or a.ndim not in (2, 3):
        raise ValueError(f"training picture {name} is {a.dtype} with shape {a.shape}; 8 or 16 bit pictures are needed")
    a = a[..., None] if a.ndim == 2 else a
    return np.ascontiguousarray(a[..., :3] if a.shape[2] >= 3 else a[..., :1].repeat(3, 2))


@dataclass(frozen=True, eq=False)
class Pictures:
    """RGB pictures of any sizes, behind one memory-mapped uint8 file that all processes share."""

    pixels: NDArray[np.uint8]
    shapes: NDArray[np.int64]  # (N, 2) height, width
    offsets: NDArray[np.int64]  # (N,)
    fingerprint: str  # sha256 over names and bytes

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, i: int) -> NDArray[np.uint8]:
        h, w = self.shapes[i]
        return self.pixels[self.offsets[i] : self.offsets[i] + h * w * 3].reshape(h, w, 3)

    @staticmethod
    def open(source: Path, cache: Path) -> Pictures:
        """Decode `source` into the folder `cache`, or use what an earlier call left there."""
        index = cache / "pictures.json"
        if not index.exists():
            found = iter(_files(source))
            first = next(found, None)
            if first is None:
                raise ValueError(f"no pictures ({', '.join(sorted(SUFFIXES))}) in {source}")
            cache.mkdir(parents=True, exist_ok=True)
            digest, shapes = hashlib.sha256(), []
            with open(cache / "pictures.tmp", "wb") as out:
                for name, raw in chain([first], found):
                    picture = _rgb8(name, raw)
                    digest.update(name.encode() + hashlib.sha256(raw).digest())
                    shapes.append(picture.shape[:2])
                    out.write(picture.tobytes())
            os.replace(cache / "pictures.tmp", cache / "pictures.u8")
            index.write_text(json.dumps({"shapes": shapes, "sha256": digest.hexdigest()}))
        meta = json.loads(index.read_text())
        shapes = np.array(meta["shapes"], np.int64)
        offsets = np.concatenate([[0], np.cumsum(shapes.prod(1) * 3)[:-1]])
        return Pictures(np.memmap(cache / "pictures.u8", np.uint8, "r"), shapes, offsets, meta["sha256"])

    def at_least(self, crop: int) -> Pictures:
        """Only the pictures that a crop fits into."""
        keep = (self.shapes >= crop).all(1)
        if not keep.any():
            raise ValueError(f"every picture is smaller than data.crop={crop}; choose a smaller crop")
        return Pictures(self.pixels, self.shapes[keep], self.offsets[keep], self.fingerprint)

    def sigma_data(self, n: int = 500) -> tuple[float, float]:
        """Mean and standard deviation of the pixels over the first n pictures, in [0, 1]."""
        values = np.concatenate([self[i].ravel()[::7] for i in range(min(n, len(self)))]) / 255.0
        return float(values.mean()), float(values.std())


@dataclass(frozen=True, eq=False)
class Patches:
    """Patch, noise and noise level number `index` of a run: a pure function of (seed, index)."""

    pictures: Pictures
    crop: int
    flips: bool
    log_mean: float
    log_std: float
    wide: float
    sigma_min: float
    sigma_max: float
    seed: int

    def item(self, index: int, grey: bool) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
        """x0 (C, crop, crop) in [0, 1], standard normal noise of that shape, sigma."""
        rng = np.random.Generator(np.random.Philox(key=[self.seed, index]))
        picture = self.pictures[int(rng.integers(len(self.pictures)))]
        top, left = (int(rng.integers(n - self.crop + 1)) for n in picture.shape[:2])
        patch = picture[top : top + self.crop, left : left + self.crop]
        if self.flips:
            turn, flip = int(rng.integers(4)), bool(rng.integers(2))
            patch = np.rot90(patch[:, ::-1] if flip else patch, turn)
        x0 = patch.astype(np.float32) / 255
        x0 = (x0 @ LUMA)[None] if grey else x0.transpose(2, 0, 1)
        if rng.random() < self.wide:
            log_sigma = rng.uniform(np.log(self.sigma_min), np.log(self.sigma_max))
        else:
            log_sigma = rng.normal(self.log_mean, self.log_std)
        sigma = float(np.clip(np.exp(log_sigma), self.sigma_min, self.sigma_max))
        return np.ascontiguousarray(x0, np.float32), rng.standard_normal(x0.shape, np.float32), sigma

    def batch(self, first: int, count: int, grey: bool) -> tuple[Tensor, Tensor, Tensor]:
        x0, noise, sigma = zip(*(self.item(i, grey) for i in range(first, first + count)))
        return torch.from_numpy(np.stack(x0)), torch.from_numpy(np.stack(noise)), torch.tensor(sigma)
