"""Pictures from folders and zips, decoded once into one cache of bytes that all processes share."""

from __future__ import annotations

import hashlib
import json
import logging
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files.atomic import atomic, check_name, together
from restorekit.files.formats import FORMATS
from restorekit.files.session import opened
from restorekit.training.data.decoding import log_array, rgb8

SUFFIXES = frozenset(FORMATS.keys() - {".npy"})
ARRAYS = frozenset({".npy"})  # of logarithms of intensities
log = logging.getLogger(__name__)
T = TypeVar("T")


def _paths(source: Path, suffixes: frozenset[str] = SUFFIXES) -> list[tuple[str, Path]]:
    """Return name and path of what is read: the pictures of a folder in the order of their names, or the zip itself."""
    if source.is_dir():
        found = (p for p in source.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
        return sorted((p.relative_to(source).as_posix(), p) for p in found)
    if zipfile.is_zipfile(source):
        return [(source.name, source)]
    raise BadInput(f"{source} is neither a folder nor a zip of pictures ({', '.join(sorted(suffixes))})")


def files(source: Path, limit: int | None = None, suffixes: frozenset[str] = SUFFIXES) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the pictures of a folder or zip in the order of their names; `limit`: so many, spread evenly.

    BadInput for a zip that is damaged or wants a password.
    """
    paths = _paths(source, suffixes)
    if source.is_dir():
        for name, path in _spread(paths, limit):
            opened(path)
            yield name, path.read_bytes()
        return
    opened(source)
    try:
        with zipfile.ZipFile(source) as z:
            for name in _spread(sorted(n for n in z.namelist() if Path(n).suffix.lower() in suffixes), limit):
                yield name, z.read(name)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise BadInput(f"{source}: a zip that cannot be read ({error}); pack it again, without a password") from None


def _spread(items: Sequence[T], limit: int | None) -> Sequence[T]:
    """Return at most `limit` of them, at even distances from the first on."""
    if limit is None or limit >= len(items):
        return items
    return [items[i * len(items) // limit] for i in range(limit)]


def _stamp(sources: Sequence[Path], suffixes: frozenset[str] = SUFFIXES) -> str:
    """Return the SHA-256 over the places of `sources` and the names, sizes and times of their files; reads none of them.

    Unequal where nothing but a place or a time changed, which costs a decoding. Equal in spite of a change only
    where a file was rewritten in place with its size and its time of modification kept.
    """
    stats = [(name, path.stat()) for source in sources for name, path in _paths(source, suffixes)]
    files = [(name, s.st_size, s.st_mtime_ns) for name, s in stats]
    places = [str(source.resolve()) for source in sources]
    return hashlib.sha256(json.dumps([places, files]).encode()).hexdigest()


def _index(cache: Path) -> dict[str, Any]:
    """Return what `_decode` left in `cache`; empty where it left nothing, or not all of it."""
    try:
        return json.loads((cache / "pictures.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}


def _decode(sources: Sequence[Path], cache: Path, expected: str | None, arrays: bool) -> None:
    """Fill `cache` from `sources`. Until all is decoded and found to be as expected, an earlier content stays."""
    suffixes = ARRAYS if arrays else SUFFIXES
    stamp = _stamp(sources, suffixes)  # before the reading: files that change meanwhile show at the next call
    cache.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    shapes: list[tuple[int, int]] = []
    names: list[str] = []
    broken: list[str] = []
    for name in (name for source in sources for name, _ in _paths(source, suffixes)):
        check_name(name)
    with together():  # the index last: never an old one beside new pixels
        with atomic(cache / "pictures.u8") as out:
            for name, raw in (file for source in sources for file in files(source, suffixes=suffixes)):
                try:
                    picture = log_array(raw) if arrays else rgb8(name, raw)
                except ValueError as error:
                    broken.append(f"{name}: {error}")
                    continue
                digest.update(name.encode() + hashlib.sha256(raw).digest())
                shapes.append(picture.shape[:2])
                names.append(name)
                out.write(picture.tobytes())
        _usable(sources, len(shapes), broken, suffixes)
        _expect(sources, digest.hexdigest(), expected)
        meta = {"shapes": shapes, "names": names, "broken": broken, "sha256": digest.hexdigest(), "stamp": stamp}
        meta |= {"arrays": True} if arrays else {}
        with atomic(cache / "pictures.json") as out:
            out.write(json.dumps(meta).encode())


def told(items: Sequence[str]) -> str:
    """Return the first three, and how many more there are."""
    return "; ".join(items[:3]) + (f" and {len(items) - 3} more" if len(items) > 3 else "")


def _usable(sources: Sequence[Path], count: int, broken: list[str], suffixes: frozenset[str]) -> None:
    where = ", ".join(map(str, sources))
    if not count and broken:
        raise BadInput(f"none of the {len(broken)} pictures in {where} can be read; the first: {broken[0]}")
    if not count:
        raise BadInput(f"no pictures ({', '.join(sorted(suffixes))}) in {where}")
    if broken:
        log.warning("%d of %d pictures skipped: %s", len(broken), count + len(broken), told(broken))


def _expect(sources: Sequence[Path], fingerprint: str, expected: str | None) -> None:
    if expected is not None and fingerprint != expected:
        raise BadInput(
            f"{', '.join(map(str, sources))}: other pictures than the run began with (sha256 {fingerprint[:12]}, not "
            f"{expected[:12]}); `resume` with those, or begin a run in another `out`"
        )


def _depth(arrays: bool) -> int:
    """Return the bytes of a pixel."""
    return 4 if arrays else 3


@dataclass(frozen=True, eq=False)
class Pictures:
    """RGB pictures of any sizes, behind one memory-mapped file that all processes share.

    arrays: they are logarithms of intensities, float32 of one band, and no colours.
    """

    pixels: NDArray[np.uint8]
    shapes: NDArray[np.int64]  # (N, 2) height, width
    offsets: NDArray[np.int64]  # (N,)
    fingerprint: str  # sha256 over names and bytes of all that was read, those left out for their size with them
    names: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()  # names of what could not be read, each with the reason
    small: tuple[str, ...] = ()  # names of what `at_least` left out
    side: int = 0  # which is smaller than this, pixels
    leading: bool = False  # how `some` chooses
    arrays: bool = False

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, i: int) -> NDArray[np.uint8] | NDArray[np.float32]:
        """Return (H, W, 3) of 8 bits, of arrays (H, W, 1) of float32."""
        h, w = self.shapes[i]
        found = self.pixels[self.offsets[i] : self.offsets[i] + h * w * _depth(self.arrays)]
        return found.view(np.float32).reshape(h, w, 1) if self.arrays else found.reshape(h, w, 3)

    @staticmethod
    def open(source: Path | Sequence[Path], cache: Path, expected: str | None = None, arrays: bool = False) -> Pictures:
        """Decode one or several folders or zips into the folder `cache`, or use what an earlier call left there if
        nothing has changed since. Files that cannot be read are skipped and told of.

        Refuses, with the cache as it was, pictures whose fingerprint is not the `expected` one.
        """
        sources = [source] if isinstance(source, Path) else list(source)
        index = _index(cache)
        same = index.get("stamp") == _stamp(sources, ARRAYS if arrays else SUFFIXES)
        if not same or index.get("arrays", False) != arrays:
            _decode(sources, cache, expected, arrays)
        pictures = Pictures.cached(cache)
        _expect(sources, pictures.fingerprint, expected)
        return pictures

    @staticmethod
    def cached(cache: Path) -> Pictures:
        """Return the pictures that `open` left in `cache`, in this process or another."""
        meta = json.loads((cache / "pictures.json").read_text())
        shapes = np.array(meta["shapes"], np.int64)
        arrays = meta.get("arrays", False)
        offsets = np.concatenate([[0], np.cumsum(shapes.prod(1) * _depth(arrays))[:-1]])
        pixels = np.memmap(cache / "pictures.u8", np.uint8, "r")
        about = meta["sha256"], tuple(meta["names"]), tuple(meta["broken"])
        return Pictures(pixels, shapes, offsets, *about, arrays=arrays)

    def at_least(self, crop: int, shrink: int = 1) -> Pictures:
        """Return only the pictures that a crop fits into when they are reduced by `shrink`."""
        side = crop * shrink
        keep = np.asarray((self.shapes >= side).all(1))
        if not keep.any():
            asked = f"data.crop={crop}" if shrink == 1 else f"data.crop x data.shrink = {crop} x {shrink}"
            raise BadInput(f"every picture is smaller than {asked}; choose a smaller crop")
        names, small = (tuple(n for n, k in zip(self.names, keep.tolist()) if k == kept) for kept in (True, False))
        kept = replace(self, shapes=self.shapes[keep], offsets=self.offsets[keep], names=names)
        return replace(kept, small=self.small + small, side=max(self.side, side))

    def about(self, name: str) -> str:
        """Return what a card says of them: how many are used, under which checksum, and what is left out. name: their files."""
        count = len(self) + len(self.small)
        small = f" of all {count}, {len(self.small)} smaller than {self.side} left out" if self.small else ""
        broken = f", {len(self.broken)} unreadable ones skipped" if self.broken else ""
        return f"{name}: {len(self)} pictures, sha256 {self.fingerprint}{small}{broken}"

    def tell_small(self) -> None:
        """Log what `at_least` left out."""
        if self.small:
            count = len(self) + len(self.small)
            log.warning(
                "%d of %d pictures smaller than %d left out: %s", len(self.small), count, self.side, told(self.small)
            )

    def some(self, n: int) -> Sequence[int]:
        """Return the numbers of n pictures to measure something on, or of all there are: from all folders and sources alike.

        Those of the first n with `leading`, which was the rule before states kept what was measured: a run of that time
        that goes on must find what it began with.
        """
        return range(min(n, len(self))) if self.leading else _spread(range(len(self)), n)

    def sigma_data(self, n: int = 500) -> tuple[float, float]:
        """Return mean and standard deviation of the pixels over `some` n pictures, in [0, 1]."""
        values = np.concatenate([self[i].ravel()[::7] for i in self.some(n)]) / 255.0
        return float(values.mean()), float(values.std())
