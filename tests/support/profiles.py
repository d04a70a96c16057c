"""ICC profiles of curves, tables and other colours, as bytes: for tests of what files say of their values."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence


def curv(*values: int) -> bytes:
    """Return a curve: none, a gamma times 256, or light of 16 bits."""
    return b"curv\0\0\0\0" + struct.pack(f">I{len(values)}H", len(values), *values)


def para(kind: int, *numbers: float) -> bytes:
    """Return a parametric curve of this type."""
    fixed = (round(65536 * v) for v in numbers)
    return b"para\0\0\0\0" + struct.pack(f">HH{len(numbers)}i", kind, 0, *fixed)


def named(text: str) -> bytes:
    """Return a description as version 2 has it."""
    return b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text.encode() + b"\0" * 79


def xyz(values: Sequence[float]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(65536 * v) for v in values))


# Colours of sRGB and the white point of profiles, which are those of D50.
MATRIX = {
    b"wtpt": xyz((0.9642, 1, 0.8249)),
    b"rXYZ": xyz((0.4360, 0.2225, 0.0139)),
    b"gXYZ": xyz((0.3851, 0.7169, 0.0971)),
    b"bXYZ": xyz((0.1431, 0.0606, 0.7139)),
}


def profile(
    tags: Mapping[bytes, bytes], space: bytes = b"RGB ", kind: bytes = b"mntr", pcs: bytes = b"XYZ ", name: str = "made"
) -> bytes:
    """Return a profile of these tags, a name and colours."""
    held = {b"desc": named(name), b"cprt": b"text\0\0\0\0none\0", **MATRIX, **tags}
    at, table, body = 132 + 12 * len(held), b"", b""
    for tag, data in held.items():
        data += b"\0" * (-len(data) % 4)
        table += struct.pack(">4sII", tag, at + len(body), len(data))
        body += data
    content = bytearray(128)
    struct.pack_into(">I4sI4s4s4s", content, 0, at + len(body), b"lcms", 0x04000000, kind, space, pcs)
    struct.pack_into(">6H4s", content, 24, 2026, 1, 1, 0, 0, 0, b"acsp")
    struct.pack_into(">3i", content, 68, *(round(65536 * v) for v in (0.9642, 1, 0.8249)))
    return bytes(content) + struct.pack(">I", len(held)) + table + body


def of_curves(*curves: bytes, name: str = "made") -> bytes:
    """Return an RGB profile of one curve for all bands or of three, or a grey one, where `curves` begins with b"grey"."""
    if curves[0] == b"grey":
        return profile({b"kTRC": curves[1]}, space=b"GRAY", name=name)
    each = curves if len(curves) == 3 else curves * 3
    return profile(dict(zip((b"rTRC", b"gTRC", b"bTRC"), each)), name=name)
