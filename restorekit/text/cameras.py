"""Cameras in text: `phone`, `phone:jpeg=off,shutter=motion:15:30`, `off:jpeg=85`."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from torch import Tensor

from restorekit.errors import BadInput
from restorekit.simulation.camera import Camera
from restorekit.text.grammar import build, split
from restorekit.text.kernels import kernel

_BLURS = ("lens", "shutter")
# What each part is where it is switched off. A part is off as a whole, `sensor=off`, or one setting of it, `bits=off`.
_OFF: dict[str, str] = {
    "exposure": "1", "lens": "off", "vignetting": "0", "shutter": "off", "pattern": "none", "gain": "0", "read": "0",
    "bits": "none", "black": "0", "balance": "1/1/1", "tone": "linear", "jpeg": "none",
}  # fmt: skip
PARTS = {
    "light": ("exposure",),
    "optics": ("lens", "vignetting"),
    "sensor": ("pattern", "gain", "read", "bits", "black"),
}
CAMERAS: dict[str, dict[str, str]] = {
    "phone": {"lens": "gaussian:0.6"},
    "still": {
        "lens": "gaussian:0.5", "gain": "0.0008", "read": "0.001", "bits": "14", "black": "0.03", "jpeg": "95", "chroma": "4:2:2",
    },
    "off": {**_OFF, "tone": "srgb"},
}  # fmt: skip


def camera_of(text: str) -> Camera:
    """Return the camera of a text: a name of CAMERAS, then settings of `Camera`, of which each, and each of PARTS, may be off.

    "off" itself is a camera of which only the tone curve is left, so that `off:jpeg=30` has one part. lens and shutter are kernels by
    name or file, as `blur` takes them. Raises `BadInput` for an unknown name or setting, or a value that cannot be.
    """
    name, positional, named = split(text)
    known = [f.name for f in fields(Camera)]
    if name not in CAMERAS:
        raise BadInput(f"unknown camera {name!r}; known: {', '.join(CAMERAS)}, as in phone:jpeg=off", argument="camera")
    if wrong := next((key for key in (*positional, *named) if key not in (*known, *PARTS) or key in positional), None):
        raise BadInput(
            f"camera {name}: unknown setting {wrong!r}; it takes {', '.join(known)}, and {', '.join(PARTS)} to switch off",
            argument="camera",
        )
    settings = dict(CAMERAS[name])
    for key, value in named.items():
        if key in PARTS and value != "off":
            raise BadInput(f"camera {name}: {key} can be off, or give {', '.join(PARTS[key])}", argument="camera")
        settings |= {one: _OFF[one] for one in PARTS[key]} if key in PARTS else {key: value}
    settings |= {key: _OFF[key] for key, value in settings.items() if value in ("off", "none") and key in _OFF}
    blurs: dict[str, Any] = {}
    for key in _BLURS:
        value = settings.pop(key, "off")
        blurs[key] = None if value == "off" else _point_spread(value, key)
    return build(Camera, f"camera {name}", [], settings, **blurs)


def _point_spread(text: str, key: str) -> Tensor:
    made = kernel(text)
    if float(made.min()) < 0:
        raise BadInput(
            f"{key}={text}: light is not negative, and this kernel is in part; give another", argument="camera"
        )
    return made
