"""`with_files_beside` reads what files beside a TIFF add: its place in a world file, RPCs in text, all else in GDAL's
`.aux.xml`.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from restorekit.files.place import PLACE, Tag
from restorekit.files.session import opened

_STEMS = (".tfw", ".TFW", ".tifw", ".wld", ".tab", ".RPB", ".rpb", "_RPC.TXT", "_rpc.txt")
_AUXILIARY = ".aux.xml"
BESIDE = {
    *(end for end in _STEMS if end.startswith(".")),
    ".json",
    ".txt",
    ".xml",
    ".prj",
}  # of no picture, mask or kernel
# Elements of `.aux.xml` that say more than statistics do, which programs leave beside a file that they show.
_SAYING = (b"<SRS", b"<GeoTransform", b"<GCPList", b'"RPC"', b"<NoDataValue", b"<Scale", b"<Offset", b"<Description")
_SAYING += (b"<UnitType", b"<ColorInterp")


def with_files_beside(path: Path, tags: list[Tag], samples: int) -> list[Tag]:
    """Return the tags of a TIFF, completed by the files beside it as GDAL reads them; the tags as they are without such
    files or rasterio.

    samples: values of a pixel in the TIFF; files beside a raster of another number are passed over.
    """
    opened(*(path.with_name(path.stem + end) for end in _STEMS))
    if not any(_beside(path)) or not importlib.util.find_spec("rasterio"):
        return tags
    from restorekit.errors import BadInput
    from restorekit.files.bands import dataset_of, facts_of

    try:
        with dataset_of(path) as dataset:
            if dataset.count != samples or len(dataset.files) < 2:
                return tags
            found = _tags_of(facts_of(path, dataset))
    except BadInput:
        return tags
    kinds = {tag[0] for tag in found}
    if not kinds & set(PLACE):
        found += [tag for tag in tags if tag[0] in PLACE]
    kinds |= {tag[0] for tag in found}
    return found + [tag for tag in tags if tag[0] not in kinds and tag[0] not in PLACE]


def unread_beside(path: Path) -> list[str]:
    """Return the names of the files beside a TIFF that only rasterio would read, where it is missing."""
    return [] if importlib.util.find_spec("rasterio") else [file.name for file in _beside(path)]


def _beside(path: Path) -> Iterator[Path]:
    """Yield the files beside a TIFF that may say more of it."""
    yield from (p for end in _STEMS if (p := path.with_name(path.stem + end)).is_file())
    auxiliary = path.with_name(path.name + _AUXILIARY)
    if auxiliary.is_file() and any(word in auxiliary.read_bytes() for word in _SAYING):
        yield auxiliary


def _tags_of(raster: Any) -> list[Tag]:
    """Return the metadata of a raster as the tags that GDAL writes for it."""
    import rasterio
    import tifffile

    from restorekit.files.geotiff import describe_as, profile_of
    from restorekit.files.quiet import unplaced
    from restorekit.files.tiff_tags import carried

    with rasterio.MemoryFile() as file:
        profile: dict[str, Any] = profile_of(raster, raster.dtype, raster.nodata) | {"height": 1, "width": 1}
        with unplaced(), file.open(**profile) as dataset:
            describe_as(dataset, raster)
        with tifffile.TiffFile(io.BytesIO(bytes(file.getbuffer()))) as tif:
            return carried(tif, tif.pages.first)
