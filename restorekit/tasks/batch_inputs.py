"""`jobs_of` lists the pictures of a batch: which files, folders and globs name, how each result is called, which
settings are its own.
"""

from __future__ import annotations

import glob
import itertools
import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from restorekit.errors import BadInput
from restorekit.files.formats import FORMATS, KNOWN, READ_ONLY
from restorekit.files.overwrite import separate
from restorekit.files.session import content, is_aside, number_of
from restorekit.files.tiff_beside import BESIDE
from restorekit.notes import Notes
from restorekit.products.opening import is_product
from restorekit.tasks.batch_journal import Journal
from restorekit.tasks.pages import readings

SUMMARY = "summary.csv"  # the table of a batch
# Settings of which a folder holds one file for each picture.
COMPANIONS = ("mask", "kernel", "derained", "rain", "truth", "begin", "sar", "cloud")


@dataclass(frozen=True)
class PictureJob:
    """One picture of a batch: what is read, what is written, and settings of its own."""

    source: Path
    target: Path
    own: dict[str, Any] = field(default_factory=dict)
    error: str = ""  # why it cannot even be begun
    rivals: tuple[str, ...] = ()  # names of other results which files beside this one could have

    @property
    def name(self) -> str:
        """Return the name of the source without its folder, and its page."""
        return self.source.name + (f", page {self.own['page']}" if self.own.get("page") else "")


def pictures_of(
    places: Iterable[str | os.PathLike[str]], notes: Notes | None = None, *, products: bool = False
) -> list[Path]:
    """Return the pictures that files, folders and globs name, each once, those of a folder or a glob by name.

    Of a folder they are the files in it with the suffix of a picture; folders in it are not looked into, hidden files left
    out, and so is, of folders, globs and several files, which a shell makes of a glob, what was written beside results, as OUT_std, OUT_kernel
    and OUT.json, unless they hold nothing else; `notes` are told. A file that is named and is not there is kept: it fails by
    itself. products: whether what is one product of a radar satellite, a SAFE, Zarr, HDF5, netCDF or NITF, is a picture too, whatever its
    suffix; `notes` are then told of the other files of a folder. Raises `BadInput` where a folder or a glob has none.
    """
    places, found = list(places), dict[object, Path]()
    named = [path for path in map(Path, places) if path.is_file()]
    notes = Notes() if notes is None else notes
    kept = set(_without_asides("among the files named", named, notes))
    for place in places:
        path, text = Path(place), os.fspath(place)
        if products and path.is_dir() and is_product(path):
            paths = [path]
        elif path.is_dir():
            inside = sorted(p for p in path.iterdir() if not p.name.startswith("."))
            paths = [p for p in inside if _is_picture(p) or (products and is_product(p))]
            if products:
                _tell_others(path, [p for p in inside if p not in set(paths)], notes)
            if not paths:
                raise BadInput(
                    f"{path}: no pictures in this folder ({KNOWN}); give another, or a glob, '{path}/*/*.png'"
                )
            paths = _without_asides(path, paths, notes)
        elif glob.has_magic(text) and not path.exists():
            paths = [Path(p) for p in sorted(glob.glob(text, recursive=True))]
            paths = [p for p in paths if p.is_file() or (products and is_product(p))]
            if not paths:
                raise BadInput(f"{text}: no file has such a name; check the path (the working folder is {os.getcwd()})")
            paths = _without_asides(path, paths, notes)
        else:
            paths = [path] if path in kept or path not in named else []
        for p in paths:
            found.setdefault(number_of(p) or str(p), p)
    if not found:
        raise BadInput("no pictures were given; name files, folders or globs")
    return list(found.values())


def _tell_others(folder: Path, others: list[Path], notes: Notes) -> None:
    """Tell of files that may have been meant: of no suffix of those that lie beside pictures, and no table of a batch."""
    others = [p for p in others if p.is_file() and p.suffix.lower() not in BESIDE and p.name != SUMMARY]
    if others:
        more = ", ..." if len(others) > 3 else ""
        notes(
            f"{folder}: of the files, {len(others)} are neither pictures nor products by their suffix or content, and are left out "
            f"({', '.join(p.name for p in others[:3])}{more}); name one, or give a glob, to have it taken"
        )


def _without_asides(place: Path | str, paths: list[Path], notes: Notes) -> list[Path]:
    """Return the pictures of several that were not written beside results; all of them where there are no others."""
    known = {path for folder in {path.parent for path in paths} for path in Journal(folder).asides()}
    asides = [path for path in paths if path in known or is_aside(path) or _is_record(path)]
    if not asides or len(asides) == len(paths):
        return paths
    more = ", ..." if len(asides) > 3 else ""
    notes(
        f"{place}: {len(asides)} of {len(paths)} files were written beside results and are left out "
        f"({', '.join(path.name for path in asides[:3])}{more}); name one alone to have it taken"
    )
    return [path for path in paths if path not in set(asides)]


def jobs_of(
    places: Iterable[str | os.PathLike[str]], folder: Path, settings: Mapping[str, Any], suffix: str | None, pages: str | None,
    written: Callable[[Mapping[str, Any], Path], list[Path]] = lambda _, target: [target], notes: Notes | None = None,
    products: bool = False,
) -> list[PictureJob]:  # fmt: skip
    """Return the jobs of a batch. A result has the stem and the suffix of its picture: .png for a format that is only read, .tif for an unknown suffix.

    written: (settings, OUT) -> the files that are written for OUT. notes, products: as of `pictures_of`. Raises `BadInput` where two pictures would have one file, or
    one is a file that is read.
    """
    if suffix is not None and suffix.lower() not in (*FORMATS, ".html"):
        raise BadInput(f"`suffix={suffix}` is none that is written; there are {KNOWN}", argument="suffix")
    if folder.suffix.lower() in FORMATS and not folder.is_dir():
        raise BadInput(
            f"`out={folder}` is to be a folder, and has the name of a picture; for one picture give IN and OUT"
        )
    folders, jobs = _folders(settings), []
    for source in pictures_of(places, notes, products=products):
        target = folder / (source.stem + (suffix or _suffix(source)))
        try:
            own = _companions(folders, source)
            parts = readings(source, target, settings.get("layout"), pages)
        except BadInput as error:
            jobs.append(PictureJob(source, target, error=str(error)))
            continue
        jobs += [PictureJob(source, out, own if pages is None else {**own, "page": part.page}) for part, out in parts]
    outs = {job.target for job in jobs}  # one that a file beside another would replace fails by itself
    files = [
        [job.target]
        if job.error
        else [p for p in written({**settings, **job.own}, job.target) if p == job.target or p not in outs]
        for job in jobs
    ]
    _refuse_one_name(jobs, files)
    opened = [job.source for job in jobs] + [p for job in jobs for p in job.own.values() if isinstance(p, Path)]
    separate(
        [*opened, *(Path(v) for k, v in settings.items() if k in COMPANIONS and _is_file(v))],
        [path for each in files for path in each],
    )
    names = sorted(job.target.name for job in jobs)
    return [replace(job, rivals=tuple(_rivals(f"{job.target.stem}_", names))) for job in jobs]


def pairs_of(places: Iterable[str | os.PathLike[str]], settings: Mapping[str, Any]) -> list[PictureJob]:
    """Return jobs that write nothing: a picture each, and what folders in the settings hold for it."""
    jobs = []
    for source in pictures_of(places):
        try:
            jobs.append(PictureJob(source, source, _companions(_folders(settings), source)))
        except BadInput as error:
            jobs.append(PictureJob(source, source, error=str(error)))
    return jobs


def is_several(place: str | os.PathLike[str]) -> bool:
    """Return True for a folder and for a glob, which stand for any number of pictures."""
    return os.path.isdir(place) or (glob.has_magic(os.fspath(place)) and not os.path.exists(place))


def _folders(settings: Mapping[str, Any]) -> dict[str, Path]:
    """Return the settings that are folders of one file for each picture."""
    return {k: Path(v) for k, v in settings.items() if k in COMPANIONS and isinstance(v, str | os.PathLike) and Path(v).is_dir()}  # fmt: skip


def _companions(folders: Mapping[str, Path], source: Path) -> dict[str, Any]:
    return {name: _companion(name, place, source) for name, place in folders.items()}


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in (*FORMATS, *READ_ONLY) and not path.name.startswith(".") and path.is_file()


def _is_record(path: Path) -> bool:
    return path.suffix == ".json" and "restorekit" in content(path)


def _is_file(value: Any) -> bool:
    return isinstance(value, str | os.PathLike) and os.path.isfile(value)


def _suffix(source: Path) -> str:
    if source.suffix.lower() in READ_ONLY:
        return ".png"
    return source.suffix if source.suffix.lower() in FORMATS else ".tif"


def _companion(name: str, folder: Path, source: Path) -> Path:
    """Return the file of a folder that belongs to a picture: STEM_name, or one of its stem. World files and the like are none."""
    stems = (source.stem, f"{source.stem}_{name}")
    found = [p for p in folder.iterdir() if p.stem in stems and p.is_file() and not p.name.startswith(".")]
    found = sorted(p for p in found if p.suffix not in BESIDE)
    found = [p for p in found if p.stem == stems[1]] or found  # of `degrade`, a_truth.tif lies beside a.tif
    if len(found) != 1:
        what = "no file" if not found else f"{len(found)} files ({', '.join(p.name for p in found)})"
        raise BadInput(
            f"{folder}: {what} there of the name {stems[0]} or {stems[1]}; each picture needs one", argument=name
        )
    return found[0]


def _refuse_one_name(jobs: list[PictureJob], files: list[list[Path]]) -> None:
    """Raise BadInput where two jobs would write one of their `files`, OUT or one beside it."""
    by_name: dict[str, PictureJob] = {}
    for job, written in zip(jobs, files):
        for path in written:
            other = by_name.setdefault(path.name.casefold(), job)
            if other is not job:
                raise BadInput(
                    f"{other.source} and {job.source} would both be written to {path}; rename one, or give them folders of "
                    "their own"
                )


def _rivals(start: str, names: list[str]) -> Iterator[str]:
    """Yield those of the sorted names that begin with `start`."""
    for name in itertools.islice(names, bisect_left(names, start), None):
        if not name.startswith(start):
            return
        yield name
