"""The transfer function (IEC 61966-2-1 for sRGB) is how the light of a scene became the values of a file.

A lens and a moving camera average light, and the light is coded afterwards: a blur is right on decoded values only.
What a solver sees is decoded before, and its result coded after.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files.curves import BT709, CURVES, SRGB, Curve, Linear, Power, joined  # noqa: F401 (found here by others)
from restorekit.files.formats import FORMATS
from restorekit.files.icc import curve_of_profile, profile_name, read_profile, sampled
from restorekit.files.picture import Picture, output_dtype, output_span
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem

# Operators that auto takes to act on light. A mean over a block hardly differs from that of the values of the file, and the prior,
# which knows pictures as they are coded, is worth more (benchmarks/restoration/linear_light.py); of others nothing is known.
MIXING = ("blur", "decimate")
NOT_TOLD = 1.0  # standard deviation of a value at white, which may stand for any amount of light above
FULL = (1023, 4095, 16383)
# A pile at the end of a histogram: values in a band, share of it (more is paper, or a fill), times as many as at the four values
# below it, and how many, at least.
MANY, PILE, STEEP, LEAST = 32, (5e-4, 0.5), 4.0, 8
SMEARED, BLOCK = 4, 4  # values over which a JPEG smears what was at a limit, and pixels from one that still is there
GAMMAS = (1.0, 5.0)  # exponents from values to light that files have; below 1 it is the inverse that was meant
_PROFILES = (".icc", ".icm")
# ITU-T H.273, transfer characteristics.
_CICP: dict[int, Curve] = {8: CURVES["linear"], 13: CURVES["srgb"], 4: Power(2.2), 5: Power(2.8)}
_CICP |= dict.fromkeys((1, 6, 14, 15), BT709)
_VIDEO = {16: "PQ", 18: "HLG"}
_OF_SRGB = 0.45455  # gAMA beside sRGB, as PNG wants it; who writes it alone means sRGB as well
_KNOWN = "auto, srgb, linear, gamma:2.2 (an exponent) or an ICC profile, FILE.icc"


@dataclass(frozen=True, eq=False)
class Response:
    """The curve of one file; what says so, or None; and what its metadata say that was not followed, or None.

    assumed: the values were taken as linear, where others of their kind are coded. recorded: it is the one by which
    the file was made.
    """

    curve: Curve
    doubt: str | None = None
    source: str | None = None
    assumed: bool = False
    recorded: bool = False

    @property
    def coded(self) -> bool:
        """Return True where values of the file are not proportional to light."""
        return not isinstance(self.curve, Linear)

    def said(self, name: str) -> Iterator[str]:
        """Yield lines for a person, of a file `name`."""
        by = "" if self.source is None else f" by {self.source}"
        if self.coded:
            yield (
                f"transfer: {self.curve.name}{by}, {name} is restored in linear light, the unit of its noise; give "
                "`transfer=linear` where the blur was simulated in the values of the file"
            )
        elif self.source is not None:
            yield f"transfer: linear{by}, the values of {name} are taken as they are"
        elif self.assumed:
            yield (
                f"transfer: linear, as {name} has 16 bits and says nothing of its curve; give `transfer=srgb` where it is "
                "a developed photograph"
            )
        if self.doubt is not None:
            yield f"{name} is taken as {self.curve.name}, though {self.doubt}"

    def decoded(self, picture: Picture) -> Picture:
        """Return the picture in light."""
        return replace(picture, pixels=self.curve.decode(picture.pixels).astype(np.float32)) if self.coded else picture

    def encoded(self, light: NDArray[Any]) -> NDArray[Any]:
        """Return light (..., C, H, W) in values of the file of a result."""
        return self.curve.encode(light)

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


def at_limits(picture: Picture, smeared: bool = False) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return (black, white), bool (C, H, W): values of a picture as read that are the least or the greatest of its
    integers, or at the greatest that its sensor gives, band by band (`_stop`).

    smeared: the file is a JPEG, of 8 bits, which left half of what was at a limit a little beside it.
    """
    black = np.zeros(picture.pixels.shape, bool)
    if not picture.dtype.startswith(("int", "uint")):
        return black, black.copy()
    (low, high), limits = picture.span, np.iinfo(picture.dtype)
    least, most = (np.float32((v - low) / (high - low)) for v in (limits.min, limits.max))
    told = np.ones(picture.pixels.shape[1:], bool) if picture.empty is None else ~picture.empty.where
    white = np.stack([x == most if (x[told] == most).any() else _stop(x, told, picture) for x in picture.pixels])
    black = picture.pixels == least
    if smeared and picture.dtype == "uint8" and picture.span == (0.0, 255.0):
        black = np.stack([_near(x, at, least) for x, at in zip(picture.pixels, black)])
        white = np.stack([_near(x, at, most) for x, at in zip(picture.pixels, white)])
    return black & told, white & told


def _near(x: NDArray[Any], at: NDArray[np.bool_], limit: np.float32) -> NDArray[np.bool_]:
    """Return where values x (H, W) of 8 bits that lie beside some `at` a limit stood there before a JPEG smeared them."""
    if at.sum() < LEAST:
        return at
    beside = np.asarray(scipy.ndimage.maximum_filter(at, 2 * BLOCK + 1), bool)
    return at | (beside & (np.abs(x - limit) < (SMEARED + 0.5) / 255))


def _stop(x: NDArray[Any], told: NDArray[np.bool_], picture: Picture) -> NDArray[np.bool_]:
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
    if FORMATS.get(path.suffix.lower()) != "TIFF" or target.name != like.dtype:
        lost = (*lost, "transfer_function")
    info = {key: value for key, value in like.info.items() if key not in lost}
    return replace(like, dtype=target.name, span=output_span(like, target), info=info)


def profile_file(option: str) -> Path | None:
    """Return the file that a setting `transfer` names; None where it is no profile."""
    return Path(option) if Path(option).suffix.lower() in _PROFILES else None


def curve_named(option: str) -> Curve:
    """Return the curve of a setting `transfer` other than auto. Raises BadInput for what is no curve."""
    if option in CURVES:
        return CURVES[option]
    if option == BT709.name:
        return BT709
    head, colon, number = option.partition(":")
    if head == "gamma" and colon:
        try:
            gamma = float(number)
        except ValueError:
            gamma = math.nan
        if not GAMMAS[0] <= gamma <= GAMMAS[1]:
            low, high = GAMMAS
            raise BadInput(
                f"`transfer={option}`: the exponent from values to light is a number from {low:g} to {high:g}, as in gamma:2.2",
                argument="transfer",
            )
        return Power(gamma) if gamma != 1 else CURVES["linear"]
    if (path := profile_file(option)) is not None:
        return read_profile(path)
    if option.lower() in ("pq", "hlg"):
        raise BadInput(f"`transfer={option}` is not known here, only {_KNOWN}", argument="transfer")
    raise BadInput(f"`transfer={option}` is unknown; it is {_KNOWN}", argument="transfer")


def chosen(option: str, operation: str, noise: str, picture: Picture, path: Path) -> Response:
    """Return the response of a file by the setting `transfer`; auto: of a photograph that was blurred the curve that it
    carries, without one sRGB for 8 bits; else linear.

    picture: as it is in the file `path`, or will be. A photograph has integers of 8 or 16 bits, one or three bands, black and
    white at the ends of its type, and no speckle (noise gamma:...). Raises BadInput for another setting, for a curve of
    other bands, and for PQ and HLG.
    """
    bands = len(picture.pixels)
    if option != "auto":
        curve = curve_named(option)
        if not curve.fits(bands):
            raise BadInput(
                f"`transfer={option}` has a curve for each of three bands, and the picture has {bands}; give one of grey",
                argument="transfer",
            )
        named = profile_file(option)
        return Response(curve, source=None if named is None else named.name)
    full = {"uint8": (0.0, 255.0), "uint16": (0.0, 65535.0)}.get(picture.dtype)
    photograph = full is not None and picture.span == full and bands in (1, 3)
    photograph = photograph and not noise.startswith("gamma") and FORMATS.get(path.suffix.lower(), "NPY") != "NPY"
    if operation not in MIXING or not photograph:
        return Response(CURVES["linear"])
    curve, source, doubt = _told(picture.info, bands)
    if curve is not None:
        return Response(curve, doubt, source)
    wide = picture.dtype == "uint16"
    return Response(CURVES["linear" if wide else "srgb"], doubt, None, assumed=wide and doubt is None)


def _told(info: dict[str, Any], bands: int) -> tuple[Curve | None, str | None, str | None]:
    """Return (curve, what says so, what else is said and not followed) by the metadata of a photograph, the first that
    there is as PNG orders them: cICP, ICC profile, sRGB, gAMA; of TIFF the transfer function last."""
    chunks, doubt = dict(info.get("png_chunks", ())), None
    if len(chunks.get(b"cICP", b"")) == 4:
        number = chunks[b"cICP"][1]
        if number in _VIDEO:
            raise BadInput(
                f"the file is coded in {_VIDEO[number]}, which is not known here; give `transfer=srgb` or linear"
            )
        if number in _CICP:
            return _CICP[number], f"its cICP chunk (transfer {number})", None
        doubt = f"its cICP chunk says transfer {number}"
    if info.get("icc_profile"):
        try:
            curve = curve_of_profile(info["icc_profile"])
            if curve.fits(bands):
                return curve, f"its ICC profile ({profile_name(info['icc_profile'])})", doubt
            doubt = doubt or "its ICC profile has a curve for each of three bands"
        except BadInput as error:
            doubt = doubt or f"it carries an ICC profile that is not followed: {error}"
    if b"sRGB" in chunks:
        return CURVES["srgb"], "its sRGB chunk", doubt
    if len(chunks.get(b"gAMA", b"")) == 4:
        gamma = struct.unpack(">I", chunks[b"gAMA"])[0] / 1e5
        if abs(gamma - _OF_SRGB) < 0.005:
            return CURVES["srgb"], f"its gAMA chunk ({gamma:g})", doubt
        if gamma > 0 and GAMMAS[0] <= round(1 / gamma, 3) <= GAMMAS[1]:
            exponent = round(1 / gamma, 3)
            curve = Power(exponent) if exponent > 1.01 else CURVES["linear"]
            return curve, f"its gAMA chunk ({gamma:g})", doubt
        doubt = doubt or f"its gAMA chunk says {gamma:g}"
    if info.get("transfer_function") is not None:
        try:
            curve = _tabled(info["transfer_function"])
            if curve.fits(bands):
                return curve, "its TIFF transfer function", doubt
            doubt = doubt or "its TIFF transfer function is one of three bands"
        except BadInput as error:
            doubt = doubt or str(error)
    return None, None, doubt


def _tabled(values: Any) -> Curve:
    """Return the curve of a TIFF transfer function, one table or three one after the other, 16-bit light of all codes."""
    table = np.asarray(values, np.float64).ravel()
    bands = 3 if len(table) in (3 * 2**8, 3 * 2**16) else 1
    return joined([sampled("its TIFF transfer function", one) for one in table.reshape(bands, -1)])
