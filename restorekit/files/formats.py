"""A file is told by its suffix and by how it begins: here is the one table of each for the package.

Weights have tables of their own (`restorekit.priors.formats`), and what GDAL opens is listed in
`restorekit.files.drivers`.
"""

from __future__ import annotations

import os
import re
import shlex
import struct
from pathlib import Path

from restorekit.errors import BadInput

# Suffixes of formats that are read and written; the kind of each is the name that Pillow gives it.
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF", ".npy": "NPY"}
FORMATS |= {".bmp": "BMP", ".webp": "WEBP"}
READ_ONLY = {".gif": "GIF"}
KNOWN = ", ".join(FORMATS)
PICTURES = tuple(s for s, kind in {**FORMATS, **READ_ONLY}.items() if kind not in ("TIFF", "NPY"))
RASTERS = (".tif", ".tiff")
PLAIN = (*PICTURES, ".npy")  # never opened by GDAL
ORIENTED = ("PNG", "JPEG", "WEBP", "TIFF")  # formats that can say how they are to be turned
LOSSY = ("JPEG",)  # WebP is written without loss

HEAD = 16  # bytes by which a file is told
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_STARTS = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"\x93NUMPY": "NPY", b"BM": "BMP", b"GIF8": "GIF"}
_STARTS |= dict.fromkeys(TIFF, "TIFF")
_STARTS |= {b"\xff\x0a": "JPEG XL", b"\0\0\0\x0cJXL ": "JPEG XL", b"\0\0\0\x0cjP  ": "JPEG 2000", b"8BPS": "PSD"}
_BRANDS = {b"heic": "HEIC", b"heix": "HEIC", b"heim": "HEIC", b"hevc": "HEIC", b"mif1": "HEIC", b"msf1": "HEIC"}
_BRANDS |= {b"avif": "AVIF", b"avis": "AVIF"}

# Kinds that are not decoded here, where 8 bits are all that a picture library gives of them or it has no decoder: their
# suffixes, and a program that writes what is read, with all bits.
CONVERTED = {
    "HEIC": ((".heic", ".heif", ".hif"), "heif-convert {name} {stem}.png"),
    "AVIF": ((".avif",), "avifdec -d 16 {name} {stem}.png"),
    "JPEG XL": ((".jxl",), "djxl {name} {stem}.png"),
    "JPEG 2000": ((".jp2", ".j2k", ".jpx"), "opj_decompress -i {name} -o {stem}.png"),
    "PSD": ((".psd", ".psb"), "magick {name}[0] {stem}.png"),
    "camera raw": (
        (".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"),
        "restorekit denoise {name} {stem}_developed.tif, or dcraw_emu -4 -T -o 1 {name}, which gives 16 bits of linear light",
    ),
}


def content(start: bytes) -> str:
    """Return the kind of a file that begins so (`HEAD` bytes tell all kinds, 8 the usual ones), "text", or "" where it
    is unknown."""
    if start.startswith(b"RIFF"):
        return "WEBP" if start[8:12] in (b"WEBP", b"") else ""
    if start[4:8] == b"ftyp":
        return _BRANDS.get(start[8:12], "")
    kind = next((kind for signature, kind in _STARTS.items() if start.startswith(signature)), "")
    text = start.removeprefix(b"\xef\xbb\xbf")
    return kind or ("text" if text and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in text) else "")


def content_of(path: Path) -> str:
    """Return the `content` of a file."""
    with open(path, "rb") as handle:
        return content(handle.read(HEAD))


def written_kind(path: Path) -> str:
    """Return the kind that a suffix names. Raises BadInput where nothing is written with it."""
    suffix = path.suffix.lower()
    if suffix in READ_ONLY:
        raise BadInput(f"{path}: {READ_ONLY[suffix]} is read, and not written; give {path.stem}.png")
    if suffix in CONVERTED["camera raw"][0]:
        raise BadInput(f"{path}: raw files of cameras are not written; give {path.stem}.tif")
    return kind_of(path)


def kind_of(path: Path) -> str:
    """Return the kind of a file that is read, by its suffix. Raises BadInput with who converts it, or with the
    suffixes that are known."""
    suffix = path.suffix.lower()
    if (kind := FORMATS.get(suffix) or READ_ONLY.get(suffix)) is not None:
        return kind
    for name, (suffixes, _) in CONVERTED.items():
        if suffix in suffixes:
            raise BadInput(f"{path}: {name} is not read here; {converter(name, path)}")
    if _DATASET.match(str(path)):
        raise BadInput(
            f"{path} is a name of GDAL, which scenes of radar and of fusion may have; as a picture, "
            f"write it to a file first: gdal_translate {shlex.quote(str(path))} picture.tif"
        )
    raise BadInput(f"{path}: unknown file type {path.suffix!r}; known: {KNOWN}")


_DATASET = re.compile(r"/vsi\w+/|[A-Za-z][A-Za-z0-9_]+:(?!\\)")


def converter(kind: str, path: Path) -> str:
    """Return the command that makes a picture that is read of one of a kind in `CONVERTED`."""
    return "convert it: " + CONVERTED[kind][1].format(name=shlex.quote(typed(path)), stem=shlex.quote(path.stem))


def check_content(path: Path, kind: str) -> None:
    """Raise BadInput where a file does not begin as one of its kind, with what it is and the way out."""
    actual = content_of(path)
    if actual in CONVERTED:
        raise BadInput(f"{path}: its content is {actual}, which is not read here; {converter(actual, path)}")
    if actual != kind and actual in (*FORMATS.values(), *READ_ONLY.values()):
        raise BadInput(f"{path}: its content is {actual}, not {kind}; rename it")
    if actual != kind:
        what = "it holds text" if actual else "it does not begin as one"
        raise BadInput(f"{path}: this is no {kind}, {what}; give a picture ({KNOWN}), or get a fresh copy")


def damage(error: BaseException) -> str:
    """Return the words for a file that a decoder fails on: its reason in brackets, unless that is about its own
    buffers."""
    line = " ".join(str(error).split())[:160] or type(error).__name__
    return "damaged or cut short" + ("" if isinstance(error, struct.error) or "BytesIO" in line else f" ({line})")


def typed(path: Path) -> str:
    """Return a path as it may have been typed: from the current folder, where that is shorter."""
    return min(os.path.relpath(path), str(path), key=len)
