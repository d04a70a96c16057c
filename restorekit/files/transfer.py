"""The transfer function (IEC 61966-2-1 for sRGB) is how the light of a scene became the values of a file.

A lens and a moving camera average light, and the light is coded afterwards: a blur is right on decoded values only.
What a solver sees is decoded before, and its result coded after.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files.formats import FORMATS
from restorekit.files.picture import Picture, output_dtype, output_span
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem

Array = NDArray[np.floating[Any]]
# Operators that auto takes to act on light. A mean over a block hardly differs from that of the values of the file, and the prior,
# which knows pictures as they are coded, is worth more (benchmarks/restoration/linear_light.py); of others nothing is known.
MIXING = ("blur", "decimate")
NOT_TOLD = 1.0  # standard deviation of a value at white, which may stand for any amount of light above
FULL = (1023, 4095, 16383)
# A pile at the end of a histogram: values in a band, share of it (more is paper, or a fill), times as many as at the four values
# below it, and how many, at least.
MANY, PILE, STEEP, LEAST = 32, (5e-4, 0.5), 4.0, 8
_ALIKE = 12  # codes of 255 by which a profile may differ from sRGB: Adobe RGB and Display P3 do by less
_CICP = {8: "linear", 13: "srgb"}  # ITU-T H.273, transfer characteristics
_VIDEO = {16: "PQ", 18: "HLG"}


@dataclass(frozen=True)
class Linear:
    """The curve of values that are taken as they are."""

    name = "linear"

    def decode(self, coded: Array) -> Array:
        """Return the light of coded values, white 1 in both."""
        return coded

    def encode(self, light: Array) -> Array:
        """Return the coded values of light; the inverse of `decode`, on all real numbers."""
        return light

    def slope(self, light: Array) -> Array:
        """Return d coded / d light: what a small error of the light is in values of the file."""
        return np.ones_like(light)


@dataclass(frozen=True)
class SRGB(Linear):
    """The curve of sRGB (IEC 61966-2-1). Below 0 its linear part goes on, above 1 its power."""

    name = "srgb"

    def decode(self, coded: Array) -> Array:
        v = np.asarray(coded, np.float64)
        return np.where(v <= 0.04045, v / 12.92, ((np.maximum(v, 0.04045) + 0.055) / 1.055) ** 2.4)

    def encode(self, light: Array) -> Array:
        v = np.asarray(light, np.float64)
        return np.where(v <= 0.0031308, 12.92 * v, 1.055 * np.maximum(v, 0.0031308) ** (1 / 2.4) - 0.055)

    def slope(self, light: Array) -> Array:
        v = np.asarray(light, np.float64)
        return np.where(v <= 0.0031308, 12.92, 1.055 / 2.4 * np.maximum(v, 0.0031308) ** (1 / 2.4 - 1))


CURVES: dict[str, Linear] = {"srgb": SRGB(), "linear": Linear()}
Option = Literal["auto", "srgb", "linear"]


@dataclass(frozen=True, eq=False)
class Response:
    """The curve of one file, and what its metadata say that was not followed, or None."""

    curve: Linear
    doubt: str | None = None

    @property
    def coded(self) -> bool:
        """Return True where values of the file are not proportional to light."""
        return isinstance(self.curve, SRGB)

    def said(self, name: str) -> Iterator[str]:
        """Yield lines for a person, of a file `name`."""
        if self.coded:
            yield (
                f"transfer: srgb, {name} is restored in linear light, the unit of its noise; give `transfer=linear` where the "
                "blur was simulated in the values of the file"
            )
        if self.doubt is not None:
            yield f"{name} is taken as {self.curve.name}, though {self.doubt}"

    def decoded(self, picture: Picture) -> Picture:
        """Return the picture in light."""
        return replace(picture, pixels=self.curve.decode(picture.pixels).astype(np.float32)) if self.coded else picture

    def rounding(self, picture: Picture) -> float:
        """Return the standard deviation of the rounding to integers of a picture in light, (1 / slope)^2 / 12 on the
        mean over its pixels."""
        if not picture.dtype.startswith(("int", "uint")):
            return 0.0
        return self.in_light(1 / (picture.span[1] - picture.span[0]) / 12**0.5, picture)

    def in_light(self, sigma: float, picture: Picture) -> float:
        """Return the root mean square, over the pixels of a picture in light, of a standard deviation `sigma` in
        values of the file.

        It is larger in bright parts, sigma / slope, and a level of the picture must hold there: one too low there makes
        grain of noise, one too high in the dark costs less.
        """
        return float(np.sqrt(np.mean((sigma / self.curve.slope(picture.pixels)) ** 2)))


def at_limits(picture: Picture) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return (black, white), bool (C, H, W): values of a picture as read that are the least or the greatest of its
    integers, or at the greatest that its sensor gives, band by band (`_stop`)."""
    black = np.zeros(picture.pixels.shape, bool)
    if not picture.dtype.startswith(("int", "uint")):
        return black, black.copy()
    (low, high), limits = picture.span, np.iinfo(picture.dtype)
    least, most = (np.float32((v - low) / (high - low)) for v in (limits.min, limits.max))
    told = np.ones(picture.pixels.shape[1:], bool) if picture.empty is None else ~picture.empty.where
    white = np.stack([x == most if (x[told] == most).any() else _stop(x, told, picture) for x in picture.pixels])
    return (picture.pixels == least) & told, white & told


def _stop(x: Array, told: NDArray[np.bool_], picture: Picture) -> NDArray[np.bool_]:
    """Return where a band (H, W) that stays below the end of its type is at the greatest value of the sensor: the last of
    10, 12 or 14 bits, or one that is far more frequent than those below it, in a picture of many values."""
    if not told.any():
        return told
    levels, counts = np.unique(x[told], return_counts=True)
    top = round(float(levels[-1]) * (picture.span[1] - picture.span[0]) + picture.span[0])
    full = picture.dtype in ("int16", "uint16") and top in FULL and counts[-1] > 1
    piled = len(levels) >= MANY and PILE[0] * counts.sum() <= counts[-1] <= PILE[1] * counts.sum()
    piled = piled and counts[-1] >= LEAST and counts[-1] > STEEP * counts[-5:-1].mean()
    return (x == levels[-1]) & told if full or piled else np.zeros_like(told)


def without_white(problem: Problem, white: NDArray[np.bool_]) -> Problem:
    """Return the problem with values y (1, C, H, W) at white next to not measured: how much more light there was is
    not told.

    They keep their value as that of a large deviation, NOT_TOLD: a solver begins there, and large white areas stay what
    they are. Black stays measured, as light is not below 0. Laws that are not Gaussian take all values as measured.
    """
    law = problem.likelihood
    if not white.any() or not isinstance(law, Gaussian) or problem.y.shape[1:] != white.shape:
        return problem
    at = torch.from_numpy(white).to(problem.y.device)[None]
    return replace(problem, likelihood=Gaussian(torch.where(at, NOT_TOLD, torch.as_tensor(law.sigma).to(problem.y))))


def written_as(path: Path, like: Picture, dtype: str | None = None) -> Picture:
    """Return `like` with the type, the span and what is said of its colours that a file written by `write_picture`
    has."""
    target = output_dtype(path, like.dtype, dtype)
    lost = {".png": (), ".bmp": ("png_chunks", "icc_profile")}.get(path.suffix.lower(), ("png_chunks",))
    info = {key: value for key, value in like.info.items() if key not in lost}
    return replace(like, dtype=target.name, span=output_span(like, target), info=info)


def chosen(option: str, operation: str, noise: str, picture: Picture, path: Path) -> Response:
    """Return the response of a file by the setting `transfer`; auto: sRGB for a photograph of 8 bits that was blurred,
    else linear.

    picture: as it is in the file `path`, or will be. A photograph has one or three bands, black and white at 0 and 255,
    and no speckle (noise gamma:...); a file that says that its values are linear is believed. Raises BadInput for
    another setting, and for PQ and HLG.
    """
    if option in CURVES:
        return Response(CURVES[option])
    if option != "auto":
        raise BadInput(f"`transfer={option}` is unknown; it is auto, {' or '.join(CURVES)}")
    photograph = picture.dtype == "uint8" and picture.span == (0.0, 255.0) and len(picture.pixels) in (1, 3)
    photograph = photograph and not noise.startswith("gamma") and FORMATS.get(path.suffix.lower(), "NPY") != "NPY"
    if operation not in MIXING or not photograph:
        return Response(CURVES["linear"])
    name, doubt = _told(picture.info)
    return Response(CURVES[name], doubt)


def _told(info: dict[str, Any]) -> tuple[str, str | None]:
    """Return (name of the curve, what to say of it) by the metadata of a photograph, the first that there is as PNG
    orders them."""
    chunks = dict(info.get("png_chunks", ()))
    if len(chunks.get(b"cICP", b"")) == 4:
        number = chunks[b"cICP"][1]
        if number in _VIDEO:
            raise BadInput(
                f"the file is coded in {_VIDEO[number]}, which is not known here; give `transfer=srgb` or linear"
            )
        return _CICP.get(number, "srgb"), None if number in _CICP else f"its cICP chunk says transfer {number}"
    if info.get("icc_profile"):
        return _profile(info["icc_profile"])
    if b"sRGB" not in chunks and len(chunks.get(b"gAMA", b"")) == 4:
        gamma = struct.unpack(">I", chunks[b"gAMA"])[0] / 1e5
        if 0.9 < gamma < 1.1:
            return "linear", None
        return "srgb", None if 0.4 < gamma < 0.5 else f"its gAMA chunk says {gamma:g}"
    return "srgb", None


def _profile(content: bytes) -> tuple[str, str | None]:
    """Return the curve by the greys of an ICC profile, as sRGB has them."""
    from PIL import Image, ImageCms

    try:
        profile: Any = ImageCms.ImageCmsProfile(BytesIO(content))
        name = (ImageCms.getProfileDescription(profile).strip() or "without a name").replace("\n", " ")
        mode = {"GRAY": "L", "RGB": "RGB"}.get(profile.profile.xcolor_space.strip(), "")
        ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None]).convert(mode or "L")
        seen = (
            ImageCms.profileToProfile(ramp, profile, ImageCms.createProfile("sRGB"), outputMode="RGB") if mode else None
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return "srgb", "its ICC profile cannot be read"
    if seen is None:
        return "srgb", f"its ICC profile ({name}) is none of RGB or grey"
    codes = np.asarray(seen, np.float64)[0].mean(-1)
    plain = np.arange(256.0)
    if np.abs(codes - plain).max() <= _ALIKE:
        return "srgb", None
    if np.abs(codes - 255 * SRGB().encode(plain / 255)).max() <= _ALIKE:
        return "linear", None
    return "srgb", f"its ICC profile ({name}) says another curve"
