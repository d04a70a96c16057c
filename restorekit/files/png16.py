"""This module reads PNG by chunks, and pixels of 16 bits: Pillow cuts 16-bit RGB to 8 bits, and no other dependency
knows it.

Non-interlaced grey, grey + alpha, RGB and RGBA. A damaged file raises ValueError.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Chunks that say what the numbers mean as colours.
COLOUR = (b"cICP", b"cHRM", b"gAMA", b"sRGB")
_SAMPLES = {0: 1, 2: 3, 4: 2, 6: 4}
_BLOCK = 1_000_000
_EXIF = b"Exif\x00\x00"

Chunks: TypeAlias = "list[tuple[bytes, bytes]]"


def dpi(values: Iterable[Any]) -> dict[str, Any]:
    """Return {"dpi": (x, y)}, or nothing for what every format could not hold."""
    pair = tuple(float(value) for value in values)
    return {"dpi": pair} if len(pair) == 2 and all(0 < value < 65535 for value in pair) else {}


def chunks(data: bytes) -> Chunks:
    """Return the (type, content) pairs of a PNG file, each checked against its CRC. Raises ValueError where one is cut
    or altered."""
    if not data.startswith(SIGNATURE):
        raise ValueError("no PNG signature")
    parts: Chunks = []
    at = len(SIGNATURE)
    while not parts or parts[-1][0] != b"IEND":
        if len(data) < at + 12:
            raise ValueError("the file ends early")
        length, kind = struct.unpack_from(">I4s", data, at)
        if len(data) < at + 12 + length:
            raise ValueError("the file ends early")
        if zlib.crc32(data[at + 4 : at + 8 + length]) != struct.unpack_from(">I", data, at + 8 + length)[0]:
            raise ValueError(f"checksum of chunk {kind!r} is wrong")
        parts.append((kind, data[at + 8 : at + 8 + length]))
        at += 12 + length
    if parts[0][0] != b"IHDR" or len(parts[0][1]) != 13:
        raise ValueError("no header")
    return parts


def meta(parts: Chunks) -> dict[str, Any]:
    """Return what must survive a round trip: "dpi", "icc_profile", "exif" (with the prefix that Pillow uses),
    "png_chunks"."""
    info: dict[str, Any] = {}
    for kind, content in parts:
        if kind == b"pHYs" and len(content) == 9 and content[8] == 1:
            info |= dpi(v * 0.0254 for v in struct.unpack(">II", content[:8]))
        elif kind == b"iCCP":
            info["icc_profile"] = zlib.decompress(content[content.index(b"\x00") + 2 :])
        elif kind == b"eXIf":
            info["exif"] = _EXIF + content
    kept = [part for part in parts if part[0] in COLOUR]
    return {**info, "png_chunks": kept} if kept else info


def decode(parts: Chunks) -> tuple[np.ndarray, np.ndarray | None]:
    """Return pixels (H, W, 1 or 3) and alpha (H, W) or None, uint16, of a non-interlaced 16-bit PNG."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", parts[0][1])
    if depth != 16 or interlaced or colour not in _SAMPLES or not width or not height:
        raise ValueError("not a non-interlaced 16-bit PNG")
    samples = _SAMPLES[colour]
    expected = height * (1 + width * samples * 2)
    # The limit keeps a forged stream from filling the memory.
    inflate = zlib.decompressobj()
    raw = inflate.decompress(b"".join(content for kind, content in parts if kind == b"IDAT"), expected + 1)
    if len(raw) != expected or not inflate.eof:
        raise ValueError("the amount of pixel data does not fit the size in the header")
    lines = np.frombuffer(raw, np.uint8).reshape(height, -1)
    pixels = _unfilter(lines[:, 1:].reshape(height, width, samples * 2), lines[:, 0])
    values = pixels.view(">u2").astype(np.uint16)
    if samples in (2, 4):
        return values[..., :-1], values[..., -1]
    key = next((content for kind, content in parts if kind == b"tRNS"), None)
    if key is None:
        return values, None
    clear = (values == np.frombuffer(key, ">u2", samples)).all(-1)
    return values, np.where(clear, 0, 65535).astype(np.uint16)


def _unfilter(lines: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Undo the five filters; lines (H, W, bytes a pixel) uint8, kinds (H,).

    A pixel needs its left, upper and upper-left neighbour, so all pixels of one anti-diagonal can be undone at once;
    in the flattened, zero-padded picture an anti-diagonal is a slice with a constant step.
    """
    height, width, size = lines.shape
    if kinds.max() > 4:
        raise ValueError(f"unknown filter type {kinds.max()}")
    padded = np.zeros((height + 1, width + 1, size), np.uint8)
    padded[1:, 1:] = lines
    flat, row = padded.reshape(-1, size), width + 1
    for diagonal in range(height + width - 1):
        first, last = max(0, diagonal - width + 1), min(height - 1, diagonal)
        start = row + diagonal + 1 + first * width
        stop = start + (last - first) * width + 1
        left, up, corner = (flat[start - back : stop - back : width].astype(np.int16) for back in (1, row, row + 1))
        here = flat[start:stop:width]
        here += np.choose(kinds[first : last + 1, None], _predictions(left, up, corner)).astype(np.uint8)
    return np.ascontiguousarray(padded[1:, 1:])


def _predictions(left: np.ndarray, up: np.ndarray, corner: np.ndarray) -> list[np.ndarray]:
    """Return what each of the five filters subtracts, for int16 neighbours."""
    to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
    paeth = np.where((to_left <= to_up) & (to_left <= to_corner), left, np.where(to_up <= to_corner, up, corner))
    return [np.zeros_like(left), left, up, (left + up) >> 1, paeth]


def _filter(here: np.ndarray, left: np.ndarray, up: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """Return lines (H, 1 + W * bytes a pixel) uint8, each with the filter whose residuals, as signed bytes, are
    smallest."""
    height = len(here)
    tries = [(here - guess).astype(np.uint8).reshape(height, -1) for guess in _predictions(left, up, corner)]
    costs = [abs(tried.view(np.int8).astype(np.int16)).sum(1, dtype=np.int64) for tried in tries]
    best = np.argmin(costs, axis=0)
    return np.column_stack([best.astype(np.uint8), np.stack(tries)[best, np.arange(height)]])


def encode(pixels: np.ndarray, alpha: np.ndarray | None, info: dict[str, Any]) -> bytes:
    """Return the PNG file of pixels (H, W, 1 or 3) and alpha (H, W) or None, uint16, with `info` as `meta` gives it."""
    planes = pixels if alpha is None else np.concatenate([pixels, alpha[..., None]], axis=-1)
    height, width, samples = planes.shape
    colour = {count: code for code, count in _SAMPLES.items()}[samples]
    size = samples * 2
    padded = np.zeros((height + 1, width + 1, size), np.int16)
    padded[1:, 1:] = np.ascontiguousarray(planes.astype(">u2")).view(np.uint8).reshape(height, width, size)
    lines = np.empty((height, 1 + width * size), np.uint8)
    # In blocks of lines, so that the candidates stay small.
    step = max(1, _BLOCK // (width * size))
    for first in range(0, height, step):
        block = padded[first : first + step + 1]
        lines[first : first + step] = _filter(block[1:, 1:], block[1:, :-1], block[:-1, 1:], block[:-1, :-1])
    parts: Chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))]
    parts += info.get("png_chunks", [])
    if info.get("icc_profile"):
        parts.append((b"iCCP", b"ICC Profile\x00\x00" + zlib.compress(info["icc_profile"])))
    if info.get("dpi"):
        parts.append((b"pHYs", struct.pack(">IIB", *(round(v / 0.0254) for v in info["dpi"]), 1)))
    if info.get("exif"):
        parts.append((b"eXIf", info["exif"].removeprefix(_EXIF)))
    parts += [(b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b"")]
    return SIGNATURE + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts
    )
