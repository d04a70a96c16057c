"""Files of a Sentinel-1 product lie in a folder NAME.SAFE, or in a zip archive of it, under names of a convention.

Sentinel-1 Product Specification S1-RS-MDA-52-7441, naming of the data sets: mission, swath, type, polarisation, start,
stop, orbit, data take and number of an image, as in s1a-iw1-slc-vh-20210401t052624-20210401t052649-026269-032297-001.
The image is measurement/NAME.tiff; annotation/NAME.xml, annotation/calibration/calibration-NAME.xml and noise-NAME.xml
say what it is. In a COG_SAFE the names end in -cog. Files are found by these names, and not by the addresses in
manifest.safe, which may lead anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files.datasets import MANIFEST, member, members

LARGEST = 2**26  # bytes of an annotation; those of 25 minutes have some 20 million
ZIP = "/vsizip/"
_TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?")
_NAME = re.compile(
    r"(?P<place>measurement/|annotation/|annotation/calibration/)(?P<prefix>|calibration-|noise-)"
    r"(?P<stem>s1[a-z]-(?P<swath>[a-z]+\d*)-(?P<type>[a-z]+)-(?P<polarisation>[hv]{2})-[\dt]+-[\dt]+-\d+-[\da-f]+-\d+)"
    r"(?:-cog)?\.(?:tiff?|xml)"
)
_KINDS = {
    ("measurement/", ""): "measurement",
    ("annotation/", ""): "annotation",
    ("annotation/calibration/", "calibration-"): "calibration",
    ("annotation/calibration/", "noise-"): "noise",
}


@dataclass(frozen=True, eq=False)
class Node:
    """A node is an element of an XML file that says which file it is of, where something is missing."""

    element: ElementTree.Element
    file: str

    def damaged(self, what: str) -> BadInput:
        """Return the error about this file."""
        return BadInput(f"{self.file} is damaged: {what}; get the product again")

    def at(self, path: str) -> Node:
        """Return the element at a path below. Raises BadInput where there is none."""
        found = self.element.find(path)
        if found is None:
            raise self.damaged(f"it has no {path}")
        return Node(found, self.file)

    def all(self, path: str) -> list[Node]:
        """Return the elements at a path below, maybe none."""
        return [Node(e, self.file) for e in self.element.findall(path)]

    def text(self, path: str) -> str:
        """Return the text at a path, "" where the element is empty. Raises BadInput where there is none."""
        return (self.at(path).element.text or "").strip()

    def number(self, path: str) -> float:
        """Return the number at a path. Raises BadInput where there is no finite one."""
        values = self.array(path)
        if values.size != 1:
            raise self.damaged(f"{path} holds {values.size} numbers in place of one")
        return float(values[0])

    def whole(self, path: str) -> int:
        """Return the whole number at a path. Raises BadInput where there is none."""
        value = self.number(path)
        if value != int(value):
            raise self.damaged(f"{path} is {value:g} and no whole number")
        return int(value)

    def array(self, path: str) -> NDArray[np.float64]:
        """Return the numbers (n,) at a path, which are separated by blanks. Raises BadInput where there are none."""
        text = self.text(path)
        try:
            values = np.array(text.split(), np.float64)
        except ValueError:
            raise self.damaged(f"{path} holds something else than numbers") from None
        if not np.isfinite(values).all():
            raise self.damaged(f"{path} holds numbers that are not finite")
        return values

    def time(self, path: str) -> int:
        """Return the time (UTC) at a path, in nanoseconds of 1970. Raises BadInput where there is none."""
        text = self.text(path)
        try:
            if _TIME.fullmatch(text):
                return int(np.datetime64(text, "ns").astype(np.int64))
        except ValueError:
            pass
        raise self.damaged(f"{path} is no time")


def parsed(data: bytes, file: str) -> Node:
    """Return the root of an XML file. Raises BadInput for what is too large, no UTF-8, no XML, or declares types.

    Without a declaration of types (DTD) XML names no entities, hence no other files and no text that grows without end.
    The text is decoded here, and has no zeros, so that no other encoding hides one.
    """
    if len(data) > LARGEST:
        raise BadInput(f"{file} has more than {LARGEST >> 20} MB, which is no annotation; get the product again")
    try:
        text = data.decode("utf-8-sig")
        if "\0" in text:
            raise ValueError("it holds zeros")
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise BadInput(f"{file} declares types or entities, which no Sentinel-1 product does; it is not read")
        return Node(ElementTree.fromstring(text), file)
    except (UnicodeDecodeError, ElementTree.ParseError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{file} is damaged: it is no XML ({error}); get the product again") from None


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """The files of one image are named from the root of the product: `measurement` and what says how to read it."""

    stem: str
    swath: str  # "IW", "IW1", "S3"
    type: str  # "GRD", "SLC"
    polarisation: str  # "VV"
    names: dict[str, str] = field(default_factory=dict)  # by kind: measurement, annotation, calibration, noise


@dataclass(frozen=True, eq=False)
class Safe:
    """A SAFE product on disk: a folder, or a folder in a zip archive.

    root: the folder or the archive. inside: the folder in the archive, "" where its files lie at the top.
    """

    root: Path
    zipped: bool = False
    inside: str = ""

    def read(self, name: str) -> Node:
        """Return the root of the XML file of that name. Raises BadInput where it cannot be read."""
        try:
            if self.zipped:
                with member(self.root, "zip", self._member(name)) as handle:
                    data = handle.read(LARGEST + 1)
            else:
                with open(self.root / name, "rb") as handle:
                    data = handle.read(LARGEST + 1)
        except OSError as error:
            raise BadInput(f"{self.root / name} cannot be read ({error.strerror or error})") from None
        return parsed(data, str(self.root / self._member(name)))

    def raster(self, name: str) -> Path:
        """Return the path by which `restorekit.files.bands.dataset_of` opens the file of that name."""
        return Path(f"{ZIP}{self.root}/{self._member(name)}") if self.zipped else self.root / name

    def _member(self, name: str) -> str:
        return f"{self.inside}/{name}" if self.inside else name

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return the names of all files of the product that have a place in it, from its root, sorted."""
        if not self.zipped:
            rooms = ("measurement", "annotation", "annotation/calibration")
            return tuple(sorted(f"{room}/{p.name}" for room in rooms for p in _files_of(self.root / room)))
        start = f"{self.inside}/" if self.inside else ""
        return tuple(sorted(n.removeprefix(start) for n in members(self.root, "zip") if n.startswith(start)))

    @cached_property
    def images(self) -> tuple[ImageFiles, ...]:
        """Return the images that have an annotation or a measurement, equal polarisations first, then by name."""
        found: dict[str, ImageFiles] = {}
        for name in self.names:
            match = _NAME.fullmatch(name)
            kind = match and _KINDS.get((match["place"], match["prefix"]))
            if not match or not kind:
                continue
            swath, type_, polarisation = (match[key].upper() for key in ("swath", "type", "polarisation"))
            files = ImageFiles(match["stem"], swath, type_, polarisation)
            found.setdefault(match["stem"], files).names[kind] = name
        images = [i for i in found.values() if {"annotation", "measurement"} & set(i.names)]
        return tuple(sorted(images, key=lambda i: (i.polarisation[0] != i.polarisation[1], i.stem)))

    def of_swath(self, swath: str | None) -> list[ImageFiles]:
        """Return the images of a swath, one of each polarisation; None: of the only swath there is a measurement of.

        Raises BadInput where there is none, where there are several swaths, and where a polarisation is there twice.
        """
        swaths = sorted({i.swath for i in self.images})
        measured = sorted({i.swath for i in self.images if "measurement" in i.names}) or swaths
        if not swaths:
            raise BadInput(f"{self.root} holds no image of Sentinel-1; get the product again, whole")
        if swath is None and len(measured) > 1:
            raise BadInput(
                f"{self.root} holds the swaths {', '.join(measured)}; give `swath={measured[0]}`", argument="swath"
            )
        chosen = measured[0] if swath is None else swath.upper()
        if chosen not in swaths:
            raise BadInput(f"{self.root} holds no swath {swath}; it has {', '.join(swaths)}", argument="swath")
        images = [i for i in self.images if i.swath == chosen]
        if len({i.polarisation for i in images}) < len(images):
            raise BadInput(f"{self.root} holds several images of {chosen}, as wave mode does; those are not read")
        return images


def _files_of(folder: Path) -> Iterable[Path]:
    return (p for p in folder.iterdir() if p.is_file()) if folder.is_dir() else ()


def chosen_images(images: list[ImageFiles], polarisation: str | None, root: Path) -> list[ImageFiles]:
    """Return the images of a polarisation; None: of all that were measured. Raises BadInput where one lacks a file."""
    measured = [i for i in images if "measurement" in i.names]
    wanted = measured if polarisation is None else [i for i in images if i.polarisation == polarisation.upper()]
    if not wanted or not all("measurement" in i.names for i in wanted):
        have = ", ".join(i.polarisation for i in measured) or "none"
        name = polarisation.upper() if polarisation else "any polarisation"
        raise BadInput(
            f"{root} holds no measurement of {name} in {images[0].swath} (there is {have}); get the product again, whole, "
            "or give another `polarisation`",
            argument="polarisation",
        )
    for image in wanted:
        for kind in ("annotation", "calibration"):
            if kind not in image.names:
                raise BadInput(f"{root} has no {kind} of {image.stem}, which says what it holds; get the product again")
    return wanted


def safe_of(path: Path) -> Safe:
    """Return the product at a path: its folder, its manifest.safe, a zip archive of it, or /vsizip/ARCHIVE/NAME.SAFE.

    Raises BadInput for what is none of these.
    """
    text = str(path)
    if (braced := re.fullmatch(re.escape(ZIP) + r"\{([^}]+)\}/?(.*)", text)) is not None and Path(braced[1]).is_file():
        return _zipped(Path(braced[1]), braced[2])
    if text.startswith(ZIP):
        parts = Path(text.removeprefix(ZIP)).parts
        if not Path(*parts).is_absolute() and not Path(*parts[:1]).exists():
            parts = Path("/", *parts).parts
        n = next((n for n in range(1, len(parts) + 1) if Path(*parts[:n]).is_file()), None)
        if n is None:
            raise BadInput(f"{path}: no such archive")
        return _zipped(Path(*parts[:n]), "/".join(parts[n:]))
    if path.is_dir() and (path / MANIFEST).is_file():
        return Safe(path)
    if path.name == MANIFEST and path.is_file():
        return Safe(path.parent)
    if path.is_file() and path.suffix.lower() == ".zip":
        return _zipped(path, "")
    if not path.exists():
        raise BadInput(f"{path}: no such file or folder")
    raise BadInput(
        f"{path} is no SAFE product: it has no {MANIFEST}; give the folder NAME.SAFE, or a zip archive of it"
    )


def _zipped(archive: Path, inside: str) -> Safe:
    inside = inside.removesuffix(MANIFEST).rstrip("/")
    places = [PurePosixPath(n).parent for n in members(archive, "zip") if PurePosixPath(n).name == MANIFEST]
    folders = sorted("" if str(p) == "." else str(p) for p in places)
    fit = [f for f in folders if inside in ("", f)]
    if len(fit) != 1:
        shown = ", ".join(f"{ZIP}{archive}/{f}" for f in folders[:8])
        what = (
            f"holds several SAFE products; give one of {shown}" if fit else f"holds no SAFE product with a {MANIFEST}"
        )
        raise BadInput(f"{archive} {what}")
    return Safe(archive, True, fit[0])


def processor_version(manifest: Node) -> float:
    """Return the version of the Instrument Processing Facility that made the product, such as 2.9; 0 where it is not said.

    Raises BadInput for the manifest of something else than images of Sentinel-1.
    """
    said: dict[str, str] = {}
    version = ""
    for e in manifest.element.iter():
        name = e.tag.rpartition("}")[2]
        said.setdefault(name, (e.text or "").strip())
        if name == "software" and "IPF" in e.get("name", ""):
            version = version or e.get("version", "")
    family, product = said.get("familyName", ""), said.get("productType", "")
    if family != "SENTINEL-1" or product not in ("GRD", "SLC"):
        what = " ".join((family or "an unknown mission", product)).strip()
        raise BadInput(f"{manifest.file} is of {what}; GRD and SLC products of SENTINEL-1 are read")
    return float(version) if re.fullmatch(r"\d+(\.\d*)?", version) else 0.0
