"""OUT_mean, OUT_std, OUT_low and OUT_high: which interval a run gets, and its files."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.files import decode
from restorekit.files.atomic import named_beside
from restorekit.files.nodata import Empty, marked_nan
from restorekit.files.picture import Picture, output_dtype, output_span, overlay_info, write_picture
from restorekit.inference.likelihood import Gamma, Gaussian
from restorekit.inference.restoration import Restoration
from restorekit.inference.solver import Solver
from restorekit.operators import Inpaint, Operator
from restorekit.priors.find import shipped
from restorekit.priors.formats.checkpoint import read_spec
from restorekit.priors.prior import LatentPrior, Prior
from restorekit.tasks.forward import Forward
from restorekit.uncertainty.calibration import (
    JPEG,
    Calibration,
    Conditions,
    FoundInterval,
    Uncalibrated,
    beside,
    solver_key,
    uncalibrated,
)
from restorekit.uncertainty.interval import Interval

Array = np.ndarray
LOSSY = 0.1  # of the noise: where a JPEG lost more by its rounding, what is left of the noise is no longer white


def found_for(
    option: str | os.PathLike[str], level: float, prior: Prior, wanted: Conditions, refused: str | None
) -> FoundInterval:
    """Return the interval for samples under the conditions `wanted`, by `calibration`: "auto", "none" or a file.

    refused: why the run is none that can be calibrated. Where there is no calibration, auto gives the interval of a
    Gaussian posterior and says so; a file that was asked for is refused with BadInput, as is a level beyond its pictures.
    """
    if option == "none":
        return replace(uncalibrated(level, "calibration=none"), note="")
    path = beside(prior.path) if option == "auto" else Path(option)
    try:
        if refused is not None:
            raise Uncalibrated(refused)
        if option == "auto" and not path.is_file():
            raise Uncalibrated(f"none for prior {prior.spec.name}")
        return Calibration.read(path).find(wanted, prior.sha256, level, path.name)
    except Uncalibrated as error:
        if option == "auto" and refused is None:
            other = _other_prior(prior, wanted, level)
            way = f"{other} has one: `prior={other}`" if other else "`restorekit calibrate` makes one"
            return _said_of_colours(uncalibrated(level, f"{error}; {way}"), wanted)
        if option == "auto":
            return _said_of_colours(uncalibrated(level, refused or ""), wanted)
        raise BadInput(f"`calibration={path}`: {error}; calibrate for it, or give `calibration=auto`") from None
    except BadInput as error:
        raise BadInput(f"{error}; or give `calibration=none`") from None


def _said_of_colours(found: FoundInterval, wanted: Conditions) -> FoundInterval:
    """One unknown for a whole picture: few samples do not tell how far colours that were not measured may be off."""
    if wanted.operation[0] != "grey":
        return found
    return replace(
        found, note=f"{found.note}; colours that were not measured are often farther off than such intervals reach"
    )


def _other_prior(prior: Prior, wanted: Conditions, level: float) -> str | None:
    """Return a shipped prior that was trained on the pictures that a shipped `prior` was, and has a calibration that fits."""
    known = shipped()
    if prior.path not in known.values():
        return None  # who has a prior of their own has pictures of their own
    own = read_spec(prior.path)
    for name, weights in known.items():
        other, path = read_spec(weights), beside(weights)
        alike = (other.domain, other.bands, other.data) == (own.domain, own.bands, own.data)
        if weights == prior.path or not alike or not path.is_file():
            continue
        try:
            there = Calibration.read(path)
            there.find(wanted, there.sha256, level)
        except BadInput:  # none that fits, or too few pictures for the level
            continue
        return name
    return None


def conditions(
    task: str, forward: Forward, clipped: str, solver: Solver, steps: int | None, samples: int
) -> Conditions:
    """Return the conditions under which the samples are drawn, by which a calibration is found."""
    read, found, dtype = forward.read, forward.found, _type(forward)
    return Conditions(
        task=task,
        noise=forward.noise_text,
        dtype=dtype,
        transfer=read.response.curve.name,
        clipped=clipped,
        solver=solver_key(solver, steps),
        samples=samples,
        measured=found is not None,
        shared=found is not None and dtype == JPEG and not found.white_before,
    )


def _type(forward: Forward) -> str:
    """Return the type of a file, JPEG where that lost much of the noise by its rounding."""
    read, law = forward.read, forward.law
    level = float(law.sigma) if isinstance(law, Gaussian) and not isinstance(law.sigma, Tensor) else 0.0
    lost = 0.0 if read.input.path is None else decode.jpeg_rounding(read.input.path)
    return JPEG if lost > LOSSY * level else read.as_read.dtype


def refusal(prior: Prior, forward: Forward, flips: int, coarse: bool, start: bool) -> str | None:
    """Return why no calibration holds for a run with these settings; None where one may."""
    law = forward.law
    if isinstance(prior, LatentPrior) or (isinstance(law, Gamma) and law.domain == "log"):
        return f"prior {prior.spec.name} is none of pictures"
    if flips > 1 or coarse or start:
        return "they are for runs without `flips`, `coarse`, `start` and `begin`"
    if isinstance(law, Gaussian) and isinstance(law.sigma, Tensor) and law.sigma.numel() > 1:
        return "they are for noise that is alike in all pixels"
    found = forward.found
    if found is not None and found.correlated and _type(forward) != JPEG:
        return "they are for noise that neighbours do not share, and here they do"
    return "impulses were found" if forward.impulses is not None else None


def files(target: Path) -> list[Path]:
    """Return OUT_mean, OUT_std.tif and .png, and OUT_low and OUT_high in the format of OUT."""

    def named(end: str, suffix: str = target.suffix) -> Path:
        return named_beside(target, f"{target.stem}_{end}{suffix}")

    return [named("mean"), named("std", ".tif"), named("std", ".png"), named("low"), named("high")]


def write(
    target: Path, result: Restoration, found: FoundInterval, like: Picture, kept: Picture, operator: Operator
) -> dict[str, Any]:
    """Write `files` of the samples of a result; returns what the record says of them.

    kept: `like`, also with the values of measured pixels that OUT and OUT_mean keep; what the samples say of them is in the others.
    """
    mean, std_tif, std_png, *ends = files(target)
    write_picture(mean, result.mean.float().cpu().numpy(), kept)
    span = output_span(like, output_dtype(target, like.dtype, None))
    said = write_std(std_tif, std_png, result.std.float().cpu().numpy(), like, span)
    _write_interval(ends, target, result.samples.float().cpu().numpy(), found.interval, like, operator)
    return said | record(found)


def write_std(tif: Path, png: Path, std: Array, like: Picture, span: tuple[float, float]) -> dict[str, Any]:
    """Write standard deviations (C, H, W), white = 1, in values of OUT, NaN where there is no data; and as a picture, white where
    they are largest. Return what the record says of them.

    span: the values of OUT, which may be of another type than IN, that are black and white.
    """
    low, high = span
    std = (std * (high - low)).astype(np.float32)
    info, empty = overlay_info(like, len(std) == len(like.pixels) and span == like.span), None
    shown, marked = std.mean(0, keepdims=True), info
    if (mask := info.get("mask")) is not None:
        empty = Empty(~mask, np.full((1, int((~mask).sum())), np.nan, np.float32))
        shown, marked = np.where(mask, shown, 0), marked_nan(info)
    write_picture(tif, std, Picture(std, "float32", info=marked, empty=empty))
    white = float(shown.max()) or 1.0
    write_picture(png, shown / white, Picture(shown, "uint8", (0.0, 255.0), info=info), "uint8")
    return {"std_unit": f"values of OUT over {low:g}..{high:g}", "std_png_white": white}


def _write_interval(
    paths: list[Path],
    target: Path,
    samples: Array,
    interval: Interval,
    like: Picture,
    operator: Operator,
) -> None:
    """Write both ends, like OUT. Integers are rounded outwards, so that no rounding takes a true value out."""
    kind = output_dtype(target, like.dtype, None)
    black, white = output_span(like, kind)
    measured = operator.mask.cpu().numpy() > 0 if isinstance(operator, Inpaint) else None
    if measured is None and like.empty is not None and like.empty.where.shape == samples.shape[-2:]:
        measured = ~like.empty.where[None]  # whose wide spread is not that of the pixels beside it
    for path, values, outwards in zip(paths, interval(samples, measured), (np.floor, np.ceil)):
        if kind.kind in "iu":
            values = (outwards(np.round(values * (white - black) + black, 6)) - black) / (white - black)
        write_picture(path, values, like)


def record(found: FoundInterval) -> dict[str, Any]:
    """Return the entry of OUT.json."""
    return {
        "intervals": {
            **found.record,
            "spread": asdict(found.interval.spread),
        }
    }
