"""The tags of a TIFF are read here, and reduced to those that are true of a result as well.

GDAL keeps tags, scales, offsets, names of bands and statistics as XML in one of them, GDAL_METADATA.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from restorekit.files.nodata import TAG as NODATA
from restorekit.files.place import PLACE, Tag

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

METADATA, TRANSFER_FUNCTION = 42112, 301
_GEO_METADATA, _DESCRIPTION, _XMP = 50909, 270, 700
# The name of the document, Make, Model, PageName, Software, DateTime, Artist, HostComputer, Copyright.
_TEXTS = (269, _DESCRIPTION, 271, 272, 285, 305, 306, 315, 316, 33432, _XMP, _GEO_METADATA)
_CARRIED = {*PLACE, *_TEXTS, METADATA, NODATA}
_ASCII = 2
# Of values in another unit, as after a change of type, and of deviations, to which an offset adds nothing.
_ROLES = {"unit": ("scale", "offset"), "deviation": ("offset",)}


def carried(tif: Any, page: Any) -> list[Tag]:
    """Return the tags of a page of a tifffile.TiffFile that its results get too, texts as bytes; statistics are left out."""
    # Text of a program about the layout of the pixels, which is another one in the result.
    ours = tif.is_ome or tif.is_imagej or tif.is_shaped or tif.is_fluoview or tif.is_stk
    found = [t for t in page.tags if t.code in _CARRIED and not (ours and t.code == _DESCRIPTION)]
    return without_statistics([(t.code, int(t.dtype), t.count, _value(tif, t), True) for t in found])


def _value(tif: Any, tag: Any) -> Any:
    if int(tag.dtype) != _ASCII or tag.code == NODATA:
        return tag.value
    tif.filehandle.seek(tag.valueoffset)
    return tif.filehandle.read(tag.count)  # text of other letters than ASCII as it is


def place_of(tags: Iterable[Tag]) -> list[Tag]:
    """Return the tags that say where a picture lies."""
    return [tag for tag in tags if tag[0] in PLACE]


def without_statistics(tags: Iterable[Tag]) -> list[Tag]:
    """Return the tags without the statistics of the values, which change."""
    return _with_items(tags, lambda item: not str(item.get("name", "")).startswith("STATISTICS_"))


def of_dataset(tags: Iterable[Tag]) -> list[Tag]:
    """Return the tags without what they say of single bands, for a result of other bands."""
    return _with_items(tags, lambda item: item.get("sample") is None)


def in_unit(tags: Iterable[Tag], change: str) -> list[Tag]:
    """Return the tags that are true of values in another "unit" than those of the file, or of a "deviation" of them."""
    return _with_items(tags, lambda item: item.get("role") not in _ROLES[change])


def _with_items(tags: Iterable[Tag], keep: Callable[[Element], bool]) -> list[Tag]:
    """Return the tags with only those items of GDAL_METADATA that `keep` accepts, unchanged where it accepts all."""
    left = (tag if tag[0] != METADATA else _kept(tag, keep) for tag in tags)
    return [tag for tag in left if tag is not None]


def _kept(tag: Tag, keep: Callable[[Element], bool]) -> Tag | None:
    from xml.etree import ElementTree

    code, kind, _, value, *rest = tag
    text = value if isinstance(value, bytes) else str(value).encode()
    if b"<!" in text:  # it defines entities, which GDAL never does
        return None
    try:
        root = ElementTree.fromstring(re.sub(rb"[\0\s]+$", b"", text))
    except ElementTree.ParseError:
        return None
    items = list(root)
    left = [item for item in items if keep(item)]
    if len(left) == len(items):
        return tag
    if not left:
        return None
    root[:] = left
    new = ElementTree.tostring(root, "unicode").encode() + b"\0"
    return (code, kind, len(new), new, *rest)
