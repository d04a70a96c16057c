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
from typing import Any

import imageio.v3 as iio
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.training.config import Data, Noise

SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"}
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def _paths(source: Path) -> list[tuple[str, Path]]:
    """Name and path of what is read: the pictures of a folder in the order of their names, or the zip itself."""
    if source.is_dir():
        found = (p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        return sorted((p.relative_to(source).as_posix(), p) for p in found)
    if zipfile.is_zipfile(source):
        return [(source.name, source)]
    raise BadInput(f"{source} is neither a folder nor a zip of pictures ({', '.join(sorted(SUFFIXES))})")


def _files(source: Path) -> Iterator[tuple[str, bytes]]:
    paths = _paths(source)
    if source.is_dir():
        for name, path in paths:
            yield name, path.read_bytes()
        return
    with zipfile.ZipFile(source) as z:
        for name in sorted(n for n in z.namelist() if Path(n).suffix.lower() in SUFFIXES):
            yield name, z.read(name)


def _stamp(source: Path) -> str:
    """sha256 over the place of `source` and the names, sizes and times of its files; reads none of them.

    Unequal where nothing but the place or a time changed, which costs a decoding. Equal in spite of a change only
    where a file was rewritten in place with its size and its time of modification kept.
    """
    stats = [(name, path.stat()) for name, path in _paths(source)]
    files = [(name, s.st_size, s.st_mtime_ns) for name, s in stats]
    return hashlib.sha256(json.dumps([str(source.resolve()), files]).encode()).hexdigest()


def _rgb8(name: str, raw: bytes) -> NDArray[np.uint8]:
    try:
        a = np.asarray(iio.imread(io.BytesIO(raw), extension=Path(name).suffix))
    except Exception as error:  # noqa: BLE001 (whatever a decoder raises)
        raise BadInput(f"training picture {name} cannot be read ({error}); remove it or mend it") from None
    if a.dtype == np.uint16:
        a = (a >> 8).astype(np.uint8)
    if a.dtype != np.uint8 or a.ndim not in (2, 3):
        raise BadInput(f"training picture {name} is {a.dtype} with shape {a.shape}; 8 or 16 bit pictures are needed")
    a = a[..., None] if a.ndim == 2 else a
    return np.ascontiguousarray(a[..., :3] if a.shape[2] >= 3 else a[..., :1].repeat(3, 2))


def _index(cache: Path) -> dict[str, Any]:
    """What `_decode` left in `cache`; empty where it left nothing, or not all of it."""
    try:
        return json.loads((cache / "pictures.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}


def _decode(source: Path, cache: Path, expected: str | None) -> None:
    """Fill `cache` from `source`. Until all is decoded and found to be as expected, an earlier content stays."""
    stamp = _stamp(source)  # before the reading: a file that changes meanwhile shows at the next call
    found = iter(_files(source))
    first = next(found, None)
    if first is None:
        raise BadInput(f"no pictures ({', '.join(sorted(SUFFIXES))}) in {source}")
    cache.mkdir(parents=True, exist_ok=True)
    digest, shapes = hashlib.sha256(), []
    index, temporary = cache / "pictures.json", cache / "pictures.tmp"
    try:
        with open(temporary, "wb") as out:
            for name, raw in chain([first], found):
                picture = _rgb8(name, raw)
                digest.update(name.encode() + hashlib.sha256(raw).digest())
                shapes.append(picture.shape[:2])
                out.write(picture.tobytes())
        _expect(source, digest.hexdigest(), expected)
        index.unlink(missing_ok=True)  # never an old index beside new pixels
        os.replace(temporary, cache / "pictures.u8")
        temporary.write_text(json.dumps({"shapes": shapes, "sha256": digest.hexdigest(), "stamp": stamp}))
        os.replace(temporary, index)
    finally:
        temporary.unlink(missing_ok=True)


def _expect(source: Path, fingerprint: str, expected: str | None) -> None:
    if expected is not None and fingerprint != expected:
        raise BadInput(
            f"{source} holds other pictures than the run began with (sha256 {fingerprint[:12]}, not {expected[:12]}); "
            "--resume with those, or begin a run in another --out"
        )


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
    def open(source: Path, cache: Path, expected: str | None = None) -> Pictures:
        """Decode `source` into the folder `cache`, or use what an earlier call left there if `source` has not changed.

        Refuses, with the cache as it was, pictures whose fingerprint is not the `expected` one.
        """
        if _index(cache).get("stamp") != _stamp(source):
            _decode(source, cache, expected)
        pictures = Pictures.cached(cache)
        _expect(source, pictures.fingerprint, expected)
        return pictures

    @staticmethod
    def cached(cache: Path) -> Pictures:
        """The pictures that `open` left in `cache`, in this process or another."""
        meta = json.loads((cache / "pictures.json").read_text())
        shapes = np.array(meta["shapes"], np.int64)
        offsets = np.concatenate([[0], np.cumsum(shapes.prod(1) * 3)[:-1]])
        return Pictures(np.memmap(cache / "pictures.u8", np.uint8, "r"), shapes, offsets, meta["sha256"])

    def at_least(self, crop: int) -> Pictures:
        """Only the pictures that a crop fits into."""
        keep = (self.shapes >= crop).all(1)
        if not keep.any():
            raise BadInput(f"every picture is smaller than data.crop={crop}; choose a smaller crop")
        return Pictures(self.pixels, self.shapes[keep], self.offsets[keep], self.fingerprint)

    def sigma_data(self, n: int = 500) -> tuple[float, float]:
        """Mean and standard deviation of the pixels over the first n pictures, in [0, 1]."""
        values = np.concatenate([self[i].ravel()[::7] for i in range(min(n, len(self)))]) / 255.0
        return float(values.mean()), float(values.std())


@dataclass(frozen=True, eq=False)
class Patches:
    """Patch, noise and noise level number `index` of a run: a pure function of (seed, index)."""

    pictures: Pictures
    data: Data
    noise: Noise
    seed: int

    def item(self, index: int, grey: bool) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
        """x0 (C, crop, crop) in [0, 1], standard normal noise of that shape, sigma."""
        rng = np.random.Generator(np.random.Philox(key=[self.seed, index]))
        picture, crop, law = self.pictures[int(rng.integers(len(self.pictures)))], self.data.crop, self.noise
        top, left = (int(rng.integers(n - crop + 1)) for n in picture.shape[:2])
        patch = picture[top : top + crop, left : left + crop]
        if self.data.flips:
            turn, flip = int(rng.integers(4)), bool(rng.integers(2))
            patch = np.rot90(patch[:, ::-1] if flip else patch, turn)
        x0 = patch.astype(np.float32) / 255
        x0 = (x0 @ LUMA)[None] if grey else x0.transpose(2, 0, 1)
        if rng.random() < law.wide:
            log_sigma = rng.uniform(np.log(law.sigma_min), np.log(law.sigma_max))
        else:
            log_sigma = rng.normal(law.log_mean, law.log_std)
        sigma = float(np.clip(np.exp(log_sigma), law.sigma_min, law.sigma_max))
        return np.ascontiguousarray(x0, np.float32), rng.standard_normal(x0.shape, np.float32), sigma

    def batch(self, first: int, count: int, grey: bool) -> tuple[Tensor, Tensor, Tensor]:
        x0, noise, sigma = zip(*(self.item(i, grey) for i in range(first, first + count)))
        return torch.from_numpy(np.stack(x0)), torch.from_numpy(np.stack(noise)), torch.tensor(sigma)
