"""Curves of ICC profiles (ICC.1:2010): those of grey and RGB profiles of curves, read from the file itself.

Libraries apply whole profiles, to 8 bits, and give no curve. Profiles of tables have none that holds for all colours.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from restorekit.errors import BadInput
from restorekit.files.curves import Curve, Linear, Power, Sampled, Toe, joined
from restorekit.files.session import opened

_HEADER, _ENTRY, _MOST_TAGS, _LARGEST = 128, 12, 1000, 2**26  # bytes, bytes, tags, bytes
_CURVES = {"GRAY": (b"kTRC",), "RGB": (b"rTRC", b"gTRC", b"bTRC")}
_TABLES = (b"A2B0", b"A2B1", b"A2B2", b"D2B0", b"D2B1")
_LINKS = {b"link": "a link of two devices", b"abst": "an abstract one", b"nmcl": "one of named colours"}
_PARAMETERS = {0: "g", 1: "gab", 2: "gabe", 3: "gabcd", 4: "gabcdef"}
_ADVICE = "give a profile of curves, `transfer=srgb` or gamma:2.2"


def read_profile(path: Path) -> Curve:
    """Return the curve of a profile file. Raises BadInput for a file that is none, and for one without a single curve."""
    if not path.is_file():
        raise BadInput(f"{path}: no such profile; check the path", argument="transfer")
    opened(path)
    try:
        with path.open("rb") as handle:
            content = handle.read(_LARGEST)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})", argument="transfer") from error
    try:
        return curve_of_profile(content)
    except BadInput as error:
        raise BadInput(f"{path}: {error}; {_ADVICE}", argument="transfer") from None


def curve_of_profile(content: bytes) -> Curve:
    """Return the curve of a profile: one, or one per band where they differ. Raises BadInput, without a way out, where it
    has none."""
    tags = _tags(content)
    name = profile_name(content)
    kind, space = content[12:16], content[16:20].decode("ascii", "replace").strip()
    if kind in _LINKS:
        raise BadInput(f"the profile ({name}) is {_LINKS[kind]}, which says nothing of light")
    if space not in _CURVES:
        raise BadInput(f"the profile ({name}) is one of {space} colours, and not of grey or RGB")
    wanted = _CURVES[space]
    if any(tag not in tags for tag in wanted):
        tables = [tag.decode() for tag in _TABLES if tag in tags]
        what = f"one of tables ({', '.join(tables)})" if tables else "without curves"
        raise BadInput(f"the profile ({name}) is {what}, which is no curve from light to values")
    if content[20:24] == b"Lab ":
        raise BadInput(f"the profile ({name}) gives lightness (Lab) and not light")
    return joined([_curve(f"icc:{name}", tags[tag]) for tag in wanted])


def profile_name(content: bytes) -> str:
    """Return what a profile calls itself, on one line, or "without a name"."""
    try:
        data = _tags(content).get(b"desc", b"")
        if data[:4] == b"desc":
            size = struct.unpack_from(">I", data, 8)[0]
            text = data[12 : 12 + size].decode("ascii", "replace")
        elif data[:4] == b"mluc":
            size, at = struct.unpack_from(">II", data, 20)
            text = data[at : at + size].decode("utf-16-be", "replace")
        else:
            text = ""
    except (BadInput, struct.error):
        text = ""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:60] or "without a name"


def _tags(content: bytes) -> dict[bytes, bytes]:
    if len(content) < _HEADER + 4 or content[36:40] != b"acsp":
        raise BadInput("no ICC profile")
    count = struct.unpack_from(">I", content, _HEADER)[0]
    first = _HEADER + 4
    if count > _MOST_TAGS or first + count * _ENTRY > len(content):
        raise BadInput("a damaged ICC profile")
    entries = struct.iter_unpack(">4sII", content[first : first + count * _ENTRY])
    return {tag: content[at : at + size] for tag, at, size in entries}


def _curve(name: str, data: bytes) -> Curve:
    try:
        if data[:4] == b"curv":
            return _listed(name, data)
        if data[:4] == b"para":
            kind = struct.unpack_from(">H", data, 8)[0]
            if kind in _PARAMETERS:
                letters = _PARAMETERS[kind]
                numbers = np.array(struct.unpack_from(f">{len(letters)}i", data, 12)) / 65536
                return _parametric(name, kind, dict(zip(letters, numbers.tolist())))
    except struct.error:
        pass
    raise BadInput(f"{name}: a damaged curve")


def _listed(name: str, data: bytes) -> Curve:
    count = struct.unpack_from(">I", data, 8)[0]
    if count == 0:
        return Linear()
    if count == 1:
        return Power(struct.unpack_from(">H", data, 12)[0] / 256)
    if len(data) < 12 + 2 * count:
        raise BadInput(f"{name}: a damaged curve")
    return sampled(name, np.frombuffer(data, ">u2", count, 12))


def sampled(name: str, values: Sequence[int] | np.ndarray) -> Curve:
    """Return the curve of 16-bit light (n,) at n codes from 0 to 1. Raises BadInput where it does not rise."""
    return Sampled.of(name, np.asarray(values, np.float64) / 65535)


def _parametric(name: str, kind: int, p: dict[str, float]) -> Curve:
    """Return a curve of type 0 to 4. Types 1 and 2 are flat below -b / a, which has to lie at 0 or below."""
    gamma, a, b, e = p["g"], p.get("a", 1.0), p.get("b", 0.0), p.get("e", 0.0)
    if a <= 0:
        raise BadInput(f"{name}: its curve does not rise")
    if kind >= 3 and p["d"] > 0:
        return Toe.meeting(name, gamma, a, b, p["c"], p["d"], e, p.get("f", 0.0))
    if b == 0 and e == 0:
        return Power(gamma, a)
    if b <= 0:
        raise BadInput(f"{name}: its curve is flat in part, where values say nothing of the light")
    start = 1e-6  # the power holds from 0 on; below, it goes on straight
    return Toe.meeting(name, gamma, a, b, ((a * start + b) ** gamma - b**gamma) / start, start, e, b**gamma + e)
