"""Only files that hold their own pixels are opened.

GDAL also knows files that only name other files, or addresses on the network (a VRT, whatever its suffix, a description
of a map server, a tile index, the list of a product). Such a file makes the program read what its sender chose, so the
drivers that may open a file are listed here, and what a file is, is decided by its content.
"""

from __future__ import annotations

import mmap
import re
import shlex
from functools import lru_cache
from pathlib import Path

from restorekit.files.datasets import members
from restorekit.files.formats import TIFF, typed

# Each reads pixels from the file itself, and beside it at most text of a fixed name (.hdr, .rsc, .xml, .aux.xml). Left out
# are labels that may name the file of their pixels (PDS, ISIS, ERS, ILWIS), PCIDSK, whose channels may lie in other
# files, and databases.
DRIVERS = (
    "GTiff", "SNAP_TIFF", "NITF", "JP2OpenJPEG", "JP2KAK", "JP2ECW", "JP2MrSID", "JP2Lura", "HFA", "netCDF", "HDF5",
    "HDF5Image", "COSAR", "GFF", "AirSAR", "SAR_CEOS", "CEOS", "JAXAPALSAR", "ESAT", "ENVI", "EHdr", "GenBin", "ROI_PAC",
    "ISCE", "RST", "SAGA", "RMF", "KRO", "BT", "VICAR", "AAIGrid", "GSAG", "GSBG", "GS7BG", "XYZ", "PCRaster", "GRIB", "PNG", "JPEG",
    "BMP", "WEBP", "GIF", "PNM", "SGI",
)  # fmt: skip
# Of GDAL while a file is open: the only address that may be fetched is one that is none.
SHUT = {"CPL_VSIL_CURL_ALLOWED_FILENAME": "none"}
ALONE = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_TIMEOUT": "60",
    "GDAL_HTTP_CONNECTTIMEOUT": "20",
}  # an address
# What the first bytes of a file say that names others: the driver of GDAL, and a pattern.
NAMING = (
    ("VRT", rb"<VRTDataset"),
    ("WMS", rb"<GDAL_WMS|<TileMapService|<TileMap\b|<WMS_Capabilities|<WMT_MS_Capabilities|<WMS_Tile_Service|<\?xml.*<Service name=.WMS"),
    ("WMTS", rb"<GDAL_WMTS|<Capabilities[^>]*wmts|wmts/1\.0"),
    ("WCS", rb"<WCS_GDAL|<WCS_Capabilities"),
    ("GTI", rb"<GDALTileIndexDataset"),
    ("STACTA or STACIT", rb"\"stac_version\"|\"stac_extensions\""),
    ("EEDAI", rb"<EEDAI|^EEDAI:"),
    ("PLMOSAIC", rb"^PLMosaic:"),
    ("MRF", rb"<MRF_META"),
    ("SAFE", rb"<xfdu:XFDU"),
    ("SENTINEL2", rb"<n1:Level-\w+_User_Product|<n1:Level-\w+_Tile_ID"),
    ("RS2", rb"<product[^>]*rs2"),
    ("TSX", rb"<level1Product"),
    ("DIMAP", rb"<Dimap_Document"),
    ("PDS4", rb"<Product_Observational"),
    ("KMLSUPEROVERLAY", rb"<kml\b"),
    ("TIL", rb"numTiles\s*="),
    ("ERS", rb"DatasetHeader\s+Begin"),
    ("ILWIS", rb"\[Ilwis\]"),
    ("ISIS3", rb"^\s*Object\s*=\s*IsisCube"),
    ("PDS or ISIS2", rb"^\s*(PDS_VERSION_ID|CCSD3ZF|NJPL1I|ODL_VERSION_ID)"),
    ("Zarr", rb"\"zarr_format\"|\"zarr_consolidated_format\""),
)  # fmt: skip
OTHERS = (("PCIDSK", b"PCIDSK"), ("GPKG", b"SQLite format 3"), ("PDF", b"%PDF"))
HEAD = 16384  # bytes that are looked at: labels and schemas may stand before what is told by
# In an archive or at an address, where nobody looks first whether they name other files.
WHOLE = tuple(d for d in DRIVERS if d not in ("netCDF", "HDF5", "HDF5Image"))


def refusal(path: Path) -> str | None:
    """Return the message for a file that no driver of the list reads: what it is, and the way out. None where that is
    not known."""
    with open(path, "rb") as handle:
        head = handle.read(HEAD)
    text = head.split(b"\0", 1)[0].lstrip(b"\xef\xbb\xbf \t\r\n")
    named = (driver for driver, pattern in NAMING if re.search(pattern, text, re.IGNORECASE | re.DOTALL))
    if driver := next(named, None):
        return f"{path} is {driver}, which names other files or addresses, and those are not read; {way_out(path)}"
    if head.startswith(b"PK\x03\x04"):
        names = members(path, "zip")[:8]
        return f"{path} is a zip archive; give a file of it: {', '.join(f'/vsizip/{typed(path)}/{n}' for n in names)}"
    kind = next((kind for kind, magic in OTHERS if head.startswith(magic)), None)
    return kind and f"{path} is {kind}, whose pixels are not read here; {way_out(path)}"


def way_out(path: Path) -> str:
    """Return a command that writes the pixels themselves."""
    names = shlex.join([typed(path), f"{path.stem}_pixels.tif"])
    return f"if it is to be trusted, write its pixels to a file: gdal_translate {names}"


def strange_sidecar(path: Path) -> Path | None:
    """Return the mask or overviews beside a file that are no TIFF; GDAL opens them by their name whatever they are."""
    for suffix in (".msk", ".MSK", ".ovr", ".OVR"):
        beside = path.with_name(path.name + suffix)
        if beside.is_file():
            with open(beside, "rb") as handle:
                if handle.read(4) not in TIFF:
                    return beside
    return None


def elsewhere(path: Path) -> bool:
    """Return True for HDF5 with datasets that lie in other files: as byte ranges (a list of external files), or as
    parts of other datasets.

    Both are told by how they refer to a heap of names: a version, constants, and an address at which a heap begins
    (HDF5 File Format Specification, data object header messages "External Data Files" and "Data Layout").
    """
    found = path.stat()
    return _elsewhere(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=64)
def _elsewhere(path: Path, size: int, changed: int) -> bool:
    """Search all of an HDF5 file, once."""
    base = _hdf5_at(path, size)
    if base is None:
        return False
    with open(path, "rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
        wide = content[
            base + (13 if content[base + 8] < 2 else 9)
        ]  # bytes of an address, by the version of the superblock
        for signature, before in ((b"HEAP", rb"\x01\0\0\0...."), (b"GCOL", rb"[\x04\x05]\x03")):
            heaps = [m.start() - base for m in re.finditer(signature, content)]
            addresses = b"|".join(re.escape(at.to_bytes(wide, "little")) for at in heaps if at >= 0)
            if addresses and re.search(before + b"(?:" + addresses + b")", content, re.DOTALL):
                return True
    return False


def _hdf5_at(path: Path, size: int) -> int | None:
    """Return the byte at which HDF5 begins: 0, or behind a user's block of 512 times a power of two; None for other
    files."""
    at = 0
    with open(path, "rb") as handle:
        while at + 16 <= size:
            handle.seek(at)
            if handle.read(8) == b"\x89HDF\r\n\x1a\n":
                return at
            at = 512 if at == 0 else 2 * at
    return None
