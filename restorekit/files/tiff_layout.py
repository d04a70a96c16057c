"""`PixelLayout` is how the pixels of a TIFF are stored: tiles or strips, compression, predictor, bits of a sample, overviews.

tifffile compresses with zlib alone, unless another package is there; `encoded` has GDAL do the rest, tile by tile.
"""

from __future__ import annotations

import importlib.util
import io
import struct
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

# Without loss, by the number of the tag: the name that GDAL has for it.
_LOSSLESS = {1: "NONE", 5: "LZW", 8: "DEFLATE", 32773: "PACKBITS", 34925: "LZMA", 50000: "ZSTD"}
_DEFLATE, _OLD_DEFLATE = 8, 32946
_PREDICTED = (5, _DEFLATE, 50000)
_BITS, _COMPRESSION, _PREDICTOR, _SHORT = 258, 259, 317, 3
RESOLUTION = (282, 283, 296)


@dataclass(frozen=True)
class PixelLayout:
    """The storage of pixels in a TIFF. tile: (rows, columns), multiples of 16; None for strips of `rows`.

    compression: the number of the TIFF tag. predictor: 1 none, 2 differences of neighbours, 3 differences of the bytes
    of floats. bits: per sample, where they do not fill its type. big: BigTIFF. sized: True if the file has a resolution
    for print. overviews: how many times smaller each is.
    """

    tile: tuple[int, int] | None = None
    rows: int | None = None
    compression: int = 1
    predictor: int = 1
    bits: int | None = None
    big: bool = False
    sized: bool = True
    overviews: tuple[int, ...] = ()

    @staticmethod
    def of(page: Any, overviews: tuple[int, ...] = ()) -> PixelLayout:
        """Return the layout of a tifffile page that has such overviews; DEFLATE stands for a compression with loss."""
        number = int(page.compression)
        number = _DEFLATE if number == _OLD_DEFLATE else number
        kept = number in _LOSSLESS
        tile = (page.tilelength, page.tilewidth) if page.is_tiled else None
        fits = tile is not None and not (tile[0] % 16 or tile[1] % 16)
        bits = page.bitspersample
        odd = isinstance(bits, int) and 1 < bits < 16 and bits != 8
        return PixelLayout(
            tile if fits else None,
            None if tile is not None or not 0 < page.rowsperstrip < page.imagelength else int(page.rowsperstrip),
            number if kept else _DEFLATE,
            int(page.predictor) if kept else 2,
            bits if odd else None,
            bool(page.parent.is_bigtiff),
            any(code in page.tags for code in RESOLUTION),
            overviews,
        )

    def for_type(self, dtype: np.dtype[Any]) -> PixelLayout:
        """Return the layout for values of `dtype`, without a predictor or a number of bits that this type cannot have."""
        known = {1} if self.compression not in _PREDICTED else {1, 3} if dtype.kind == "f" else {1, 2}
        predictor = self.predictor if self.predictor in known else max(known) if self.predictor > 1 else 1
        bits = self.bits if self.bits and dtype == (np.uint8 if self.bits < 8 else np.uint16) else None
        return replace(self, predictor=predictor if dtype.itemsize > 2 or dtype.kind != "f" else 1, bits=bits)

    @property
    def plain(self) -> bool:
        """Return True where tifffile can write it without GDAL."""
        return self.compression in (1, _DEFLATE) and self.predictor == 1 and self.bits is None

    @property
    def lost(self) -> list[str]:
        """Return what of it is written in another way where rasterio is missing, in words."""
        if importlib.util.find_spec("rasterio"):
            return []
        said = [] if self.compression in (1, _DEFLATE) else [f"{_LOSSLESS[self.compression]} is written as DEFLATE"]
        said += [f"samples of {self.bits} bits fill a type"] if self.bits else []
        return said + ["overviews are left out"] * bool(self.overviews)

    def options(self) -> dict[str, Any]:
        """Return the arguments that tifffile takes for it, compression apart."""
        told: dict[str, Any] = {"bigtiff": True} if self.big else {}
        told |= {"tile": self.tile} if self.tile else {"rowsperstrip": self.rows} if self.rows else {}
        return told

    def tags(self, samples: int) -> dict[int, tuple[int, ...]]:
        """Return the tags, of type SHORT, that describe `encoded` pixels and that tifffile was not told."""
        told = {_COMPRESSION: (self.compression,)}
        told |= {_PREDICTOR: (self.predictor,)} if self.predictor > 1 else {}
        return told | ({_BITS: (self.bits,) * samples} if self.bits else {})


def encoded(planes: NDArray[Any], layout: PixelLayout, chunky: bool) -> list[bytes] | None:
    """Return the tiles or strips of planes (C, H, W) as GDAL encodes them, in the order of the file; None where GDAL is
    missing or cannot.
    """
    if not importlib.util.find_spec("rasterio"):
        return None
    import rasterio
    import tifffile
    from rasterio.errors import RasterioError

    count, height, width = planes.shape
    planes = planes if layout.bits is None else np.minimum(planes, planes.dtype.type(2**layout.bits - 1))
    told: dict[str, Any] = {"compress": _LOSSLESS[layout.compression], "interleave": "pixel" if chunky else "band"}
    told |= {"predictor": layout.predictor} if layout.predictor > 1 else {}
    told |= {"nbits": layout.bits} if layout.bits else {}
    if layout.tile:
        told |= {"tiled": True, "blockysize": layout.tile[0], "blockxsize": layout.tile[1]}
    else:
        told |= {"blockysize": min(layout.rows or height, height)}
    told |= {"count": count, "height": height, "width": width, "dtype": planes.dtype.name}
    elsewhere = rasterio.Affine.translation(1, 1)  # a file that lies nowhere is warned of
    try:
        with rasterio.MemoryFile() as file:
            with file.open(driver="GTiff", transform=elsewhere, **told) as dataset:
                dataset.write(planes)
            whole = bytes(file.getbuffer())
    except (RasterioError, ValueError, TypeError):
        return None
    with tifffile.TiffFile(io.BytesIO(whole)) as tif:
        page: Any = tif.pages.first
        return [whole[at : at + size] for at, size in zip(page.dataoffsets, page.databytecounts)]


def amend(handle: BinaryIO, shorts: dict[int, tuple[int, ...]], without: tuple[int, ...] = ()) -> None:
    """Replace tags of type SHORT of the first page of a little-endian TIFF, and drop those of `without`.

    The new list of tags is written at the end of the file.
    """
    handle.seek(0)
    big = struct.unpack("<H", handle.read(4)[2:])[0] == 43
    number, entry, link, at = ("<Q", "<HHQ", "<Q", 8) if big else ("<H", "<HHI", "<I", 4)
    room = struct.calcsize(link)
    size = struct.calcsize(entry) + room
    handle.seek(at)
    (first,) = struct.unpack(link, handle.read(room))
    handle.seek(first)
    (count,) = struct.unpack(number, handle.read(struct.calcsize(number)))
    entries = {raw[:2]: raw for raw in (handle.read(size) for _ in range(count))}
    following = handle.read(room)
    for code in without:
        entries.pop(struct.pack("<H", code), None)
    handle.seek(0, io.SEEK_END)
    for code, values in shorts.items():
        content = struct.pack(f"<{len(values)}H", *values)
        if len(content) > room:
            where = _end(handle)
            handle.write(content)
            content = struct.pack(link, where)
        entries[struct.pack("<H", code)] = struct.pack(entry, code, _SHORT, len(values)) + content.ljust(room, b"\0")
    start = _end(handle)
    ordered = sorted(entries.values(), key=lambda raw: struct.unpack("<H", raw[:2]))
    handle.write(struct.pack(number, len(ordered)) + b"".join(ordered) + following)
    handle.seek(at)
    handle.write(struct.pack(link, start))


def _end(handle: BinaryIO) -> int:
    """Return the next even offset at the end of a file, where tags may begin."""
    at = handle.seek(0, io.SEEK_END)
    if at % 2:
        handle.write(b"\0")
    return at + at % 2
