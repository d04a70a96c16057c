"""Records, journals and priors know by checksums of files what they were made from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from restorekit.errors import BadInput


def sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of the content of a file, 64 hexadecimal digits. Raises BadInput where it cannot be read."""
    digest = hashlib.sha256()
    if os.path.exists(path) and not os.access(path, os.R_OK):
        raise BadInput(f"{path}: no permission to read it; change its mode or owner")
    try:
        with open(path, "rb") as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file; check the path (the working folder is {os.getcwd()})") from None
    except IsADirectoryError:
        raise BadInput(f"{path}: this is a folder; give a file") from None
    return digest.hexdigest()


def fingerprint(paths: Sequence[Path]) -> str:
    """Return one checksum of all that was read: for one file its SHA-256, for several that of their names and
    checksums."""
    if len(paths) == 1:
        return sha256(paths[0])
    lines = sorted(f"{path.name} {sha256(path)}" for path in paths)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
