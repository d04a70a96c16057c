"""Finished blocks on disk: the journal of a run, from which the same command goes on after whatever stopped it."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files.atomic import atomic
from restorekit.files.lock import alone
from restorekit.files.picture import write_json

Key = tuple[int, int, int]  # band (from 1), row and column of the block
Layers = dict[str, NDArray[Any]]  # by name, (h, w) each; empty: nothing was measured there


class BlockStore(Protocol):
    """Finished blocks are kept in a store."""

    def put(self, key: Key, layers: Layers) -> None:
        """Keep the layers of a block."""
        ...

    def get(self, key: Key) -> Layers | None:
        """Return the layers of a block, None where it is not finished."""
        ...

    def finished(self) -> set[Key]:
        """Return the blocks that are kept."""
        ...


@dataclass(frozen=True)
class MemoryStore:
    """Finished blocks in memory, of a scene whose result fits there."""

    blocks: dict[Key, Layers] = field(default_factory=dict)

    def put(self, key: Key, layers: Layers) -> None:
        self.blocks[key] = layers

    def get(self, key: Key) -> Layers | None:
        return self.blocks.get(key)

    def finished(self) -> set[Key]:
        return set(self.blocks)


@dataclass(frozen=True)
class Store:
    """A folder with one file per finished block, each put there whole by a rename."""

    folder: Path

    def __str__(self) -> str:
        return str(self.folder)

    def _path(self, key: Key) -> Path:
        return self.folder / "blocks" / "{}_{}_{}.npz".format(*key)

    def put(self, key: Key, layers: Layers) -> None:
        """Write the layers of a block to its file."""
        with atomic(self._path(key)) as handle:
            np.savez(handle, **layers)  # type: ignore[arg-type]

    def get(self, key: Key) -> Layers | None:
        """Return the layers of a block, None where there is no file, or none that can be read: an NPZ file knows the
        check sums of its parts."""
        try:
            with np.load(self._path(key), allow_pickle=False) as held:
                return {name: held[name] for name in held.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return None

    def finished(self) -> set[Key]:
        """Return the blocks that are there and whole."""
        names = (path.stem.split("_") for path in (self.folder / "blocks").glob("[0-9]*.npz"))  # none half written
        keys = {(int(b), int(i), int(j)) for b, i, j in names}
        return {key for key in keys if self.get(key) is not None}

    def drop(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def opened(folder: Path, settings: dict[str, Any], *, restart: bool = False) -> Iterator[Store]:
    """Yield the blocks of a run with these settings, locked against a second run; those of an unfinished one are found again.

    BadInput where the folder belongs to a run with other settings, whose work would be lost, or to one that is going on.
    """
    with alone(folder, "wait for it, or give another OUT"):
        record = folder / "settings.json"
        if restart:
            shutil.rmtree(folder / "blocks", ignore_errors=True)
        (folder / "blocks").mkdir(exist_ok=True)
        if not record.is_file():
            write_json(record, settings)
        held, asked = (json.loads(text) for text in (record.read_text(), json.dumps(settings)))
        blocks = Store(folder)
        if held != asked and not blocks.finished():  # nothing would be lost
            write_json(record, settings)
            held = asked
        differ = sorted(k for k in held.keys() | asked.keys() if held.get(k) != asked.get(k))
        if differ:
            raise BadInput(
                f"{folder} holds the unfinished work of a run with another {differ[0]} ({_short(held.get(differ[0]))}); "
                "run that command again to finish it, or add `restart` to throw it away"
            )
        yield blocks


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 40 else f"{text[:37]}..."
