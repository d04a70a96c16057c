"""A raster is named as a file, one dataset of a file, a member of an archive, or an address; this module says what is
read of each.

GDAL takes more names than these. Those that are taken lead to a file of this machine, whose content is checked before
GDAL sees it, or, where the network is allowed, to one address alone.
"""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from restorekit.errors import BadInput
from restorekit.files.formats import PLAIN, TIFF, typed
from restorekit.files.reading import PLAINLY, Reading
from restorekit.files.stored import check_source

# Prefixes of datasets inside of a file, and how the rest is split: into (file, what is inside).
_FILE_FIRST = ("NETCDF", "HDF5")
_NUMBER_FIRST = ("GTIFF_DIR", "NITF_IM")
_ARCHIVES = ("zip", "tar")
MANIFEST = "manifest.safe"  # of a product, a folder of files
_PREFIX = re.compile(rf"({'|'.join((*_FILE_FIRST, *_NUMBER_FIRST))}):(.+)", re.IGNORECASE | re.DOTALL)
_ARCHIVED = re.compile(rf"/vsi({'|'.join(_ARCHIVES)})/(.+)", re.DOTALL)
REMOTE = re.compile(
    rf"(?!(?:{'|'.join((*_FILE_FIRST, *_NUMBER_FIRST))}):)[a-z][a-z0-9+.-]+:/|/vsi(curl|s3|gs|az|adls|oss|swift|webhdfs|hdfs|rest)|.*/vsi(curl|s3|gs|az)",
    re.IGNORECASE,
)
_WEB = re.compile(r"(?:/vsicurl/)?(https?):/+(.+)", re.IGNORECASE)


@dataclass(frozen=True)
class Dataset:
    """It says where a name leads: to a file of this machine, and in it a dataset of a driver or a member of an
    archive; or to an address.

    kind: "", a prefix of GDAL, "zip", "tar" or "web". inside: the dataset, the member, the address.
    """

    file: Path
    kind: str = ""
    inside: str = ""

    @property
    def gdal(self) -> str:
        """Return the name that GDAL takes, absolute."""
        file = os.path.abspath(self.file)
        if self.kind in _NUMBER_FIRST:
            return f"{self.kind}:{self.inside}:{file}"
        if self.kind in _FILE_FIRST:
            return f'{self.kind}:"{file}":{self._variable}'
        if self.kind in _ARCHIVES:
            return f"/vsi{self.kind}/{{{file}}}/{self.inside}"  # a Path makes one slash of //
        return f"/vsicurl/{self.inside}" if self.kind == "web" else file

    @property
    def _variable(self) -> str:
        return f"//{self.inside}" if self.kind == "HDF5" else self.inside

    @property
    def packed(self) -> bool:
        """Return True for a member of an archive."""
        return self.kind in _ARCHIVES

    @property
    def web(self) -> bool:
        """Return True for an address."""
        return self.kind == "web"


def dataset_named(path: Path, reading: Reading = PLAINLY) -> Dataset:
    """Return what a name leads to. Raises BadInput where it leads to no file, and for an address where the network is
    not allowed."""
    text = str(path)
    if path.is_file():
        return Dataset(path)
    if REMOTE.match(text):
        return Dataset(path, "web", _address(text, reading))
    if (match := _PREFIX.fullmatch(text)) is not None:
        kind, rest = match[1].upper(), match[2]
        first, second = _quoted(rest) if kind in _FILE_FIRST else rest.partition(":")[::2]
        file, inside = (first, second.lstrip("/")) if kind in _FILE_FIRST else (second.strip('"'), first)
        if not inside or not file or (kind in _NUMBER_FIRST and not inside.isdecimal()):
            form = f"{kind}:FILE:NAME" if kind in _FILE_FIRST else f"{kind}:NUMBER:FILE"
            raise BadInput(f"{path} is not understood; a dataset of a file is named {form}")
        check_source(Path(file))
        return Dataset(Path(file), kind, inside)
    if (match := _ARCHIVED.fullmatch(text)) is not None:
        return _archived(path, match[1].lower(), match[2])
    if text.startswith("/vsi"):
        raise BadInput(f"{path}: of GDAL's file systems /vsizip/ and /vsitar/ are read; write it to a file first")
    raise BadInput(f"{path}: no such file")


def _quoted(rest: str) -> tuple[str, str]:
    """Return (file, variable) of `"FILE":VARIABLE` or `FILE:VARIABLE`."""
    if (found := re.fullmatch(r'"([^"]+)":(.*)', rest, re.DOTALL)) is not None:
        return found[1], found[2]
    file, _, name = rest.rpartition(":")
    return file, name


def _archived(path: Path, kind: str, rest: str) -> Dataset:
    braced = re.fullmatch(r"\{([^}]+)\}/?(.*)", rest, re.DOTALL)
    for parts in [Path(rest).parts, Path("/", rest).parts] if braced is None else []:
        for n in range(1, len(parts) + 1):
            if Path(*parts[:n]).is_file():
                return _checked(path, Dataset(Path(*parts[:n]), kind, "/".join(parts[n:])))
    if braced is not None and Path(braced[1]).is_file():
        return _checked(path, Dataset(Path(braced[1]), kind, braced[2]))
    raise BadInput(f"{path}: no such archive")


def _checked(path: Path, made: Dataset) -> Dataset:
    names = members(made.file, made.kind)
    if made.inside not in names and f"{made.inside}/{MANIFEST}" in names:
        return made  # a product of several files, whose own reader opens them
    if made.inside not in names:
        some = ", ".join(f"/vsi{made.kind}/{typed(made.file)}/{n}" for n in names[:8])
        raise BadInput(f"{path}: the archive has no such file; give one of {some or 'another'}")
    for beside in (f"{made.inside}{suffix}" for suffix in (".msk", ".MSK", ".ovr", ".OVR")):
        if beside in names:
            with member(made.file, made.kind, beside) as handle:
                if handle.read(4) not in TIFF:
                    raise BadInput(
                        f"{path}: {beside} beside it is no TIFF, as a mask or overviews have to be; unpack it"
                    )
    return made


def archived_folder(path: Path) -> Dataset | None:
    """Return where a name leads that is a product's folder in an archive, None for other names."""
    match = _ARCHIVED.fullmatch(str(path))
    try:
        made = None if match is None else _archived(path, match[1].lower(), match[2])
    except BadInput:
        return None
    return None if made is None or made.inside in members(made.file, made.kind) else made


def members(file: Path, kind: str) -> list[str]:
    """Return the names of the files in a zip or tar archive."""
    try:
        if kind == "zip":
            with zipfile.ZipFile(file) as archive:
                return [n for n in archive.namelist() if not n.endswith("/")]
        with tarfile.open(file) as archive:
            return [m.name for m in archive if m.isfile()]
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, ValueError, NotImplementedError) as error:
        raise BadInput(f"{file}: no {kind} archive that can be read ({error}); get a fresh copy") from None


@contextmanager
def member(file: Path, kind: str, name: str) -> Iterator[IO[bytes]]:
    """Yield a file of an archive, open, to be read in order."""
    try:
        if kind == "zip":
            with zipfile.ZipFile(file) as archive, archive.open(name) as handle:
                yield handle
        else:
            with tarfile.open(file) as archive:
                handle = archive.extractfile(name)
                if handle is None:
                    raise KeyError(name)
                yield handle
    except (OSError, EOFError, RuntimeError, KeyError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise BadInput(f"{file}: {name} cannot be read ({error}); unpack it first") from None


def _address(text: str, reading: Reading) -> str:
    match = _WEB.fullmatch(text)
    text = f"{match[1].lower()}://{match[2]}" if match else text  # a Path keeps one slash of the two
    if match is None:
        raise BadInput(
            f"{text} is an address, and only files are read, or with `network` https:// and http://; copy it here first"
        )
    if not reading.network:
        raise BadInput(
            f"{text} is an address, and only files are read, unless `network` says otherwise; copy it here first, as with "
            "curl -O",
            argument="network",
        )
    return text


def is_dataset(path: Path) -> bool:
    """Return True where a path is none, but the name of a dataset of a file, of a member of an archive, or an address."""
    text = str(path)
    return not path.is_file() and any(p.match(text) for p in (REMOTE, _PREFIX, _ARCHIVED))


def absolute(path: Path) -> Path:
    """Return a name that means the same from every folder; workers may be in another."""
    if not is_dataset(path):
        return Path(os.path.realpath(path))
    return path if REMOTE.match(str(path)) else Path(dataset_named(path).gdal)


def container(path: Path) -> Path:
    """Return the file that a name leads to, or the path itself: it must not be written over, and its time of change
    counts."""
    return path if not is_dataset(path) or REMOTE.match(str(path)) else dataset_named(path).file


def sources(path: Path, reading: Reading = PLAINLY) -> dict[str, str]:
    """Return the SHA-256 of all that is read of a picture or a scene, by name, the file itself first.

    For a dataset in a file, the file counts; for a member of an archive, the member and not the archive; for a file
    with a mask, overviews or a header beside it, those too; for an address, the values that are read.
    """
    if path.is_file() and path.suffix.lower() in PLAIN:
        beside = path.with_name(path.name + ".msk")
        return {str(p): _digest(lambda p=p: open(p, "rb")) for p in (path, beside) if p.is_file()}
    from restorekit.files.bands import dataset_of, values_digest

    named = dataset_named(path, reading)
    with dataset_of(path, reading) as dataset:
        if named.web:
            return {named.inside: values_digest(dataset)}
        files = list(dict.fromkeys([named.gdal if named.packed else os.path.abspath(named.file), *dataset.files]))
    if named.packed:
        inside = named.gdal.removesuffix(named.inside)
        names = [f.removeprefix(inside) for f in files if f.startswith(inside)]
        return {inside + n: _digest(lambda n=n: member(named.file, named.kind, n)) for n in names}
    # Statistics that a viewer leaves beside a file are none of what is read.
    kept = [f for f in files if os.path.isfile(f) and not f.endswith(".aux.xml")]
    return {f: _digest(lambda f=f: open(f, "rb")) for f in kept}


def source_digest(path: Path, reading: Reading = PLAINLY) -> str:
    """Return 64 hex digits that change where anything does that is read of a picture or scene, and not where its name
    does.

    For a file that is read alone it is its SHA-256.
    """
    found, named = sources(path, reading), Dataset(path) if path.is_file() else dataset_named(path, reading)
    parts = [*found.values()]
    parts += [f"{named.kind}:{named.inside}"] if named.kind and not (named.packed or named.web) else []
    parts += [f"layout={reading.layout}"] if reading.layout is not None else []
    parts += [f"{reading.parts}={reading.pairs}"] if reading.parts is not None else []
    return parts[0] if len(parts) == 1 else hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _digest(opened: Callable[[], object]) -> str:
    digest = hashlib.sha256()
    with opened() as handle:  # type: ignore[attr-defined]
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
