"""The noise that a task works with: as given, or as measured in the picture and said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from restorekit.errors import BadInput
from restorekit.files import decode
from restorekit.files.jpeg_file import read_jpeg
from restorekit.files.transfer import MIXING
from restorekit.inference.coloured import Coloured
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.likelihood import Likelihood
from restorekit.noise.impulses import CUT_OFF, Impulses
from restorekit.noise.jpeg_loss import jpeg_loss
from restorekit.noise.jpeg_spectrum import BeforeJPEG, JPEGSpectrum
from restorekit.noise.judgement import asked
from restorekit.noise.level import Noise, NoiseLevel
from restorekit.noise.stop_band import BlurredNoise, StopBand
from restorekit.notes import Notes
from restorekit.operators import CircularBlur, CircularDecimation, FreeBlur, Operator, ReflectBlur, SymmetricBlur
from restorekit.operators.combine import Compose
from restorekit.operators.downsample import Decimate, SeparableDecimation
from restorekit.tasks import ranges
from restorekit.tasks.observation import Observation
from restorekit.tasks.recorded_noise import recorded_level
from restorekit.text.names import NO_PICTURE
from restorekit.text.spelling import noise_text

ASSUMED = "gaussian:0.01"  # where a picture mostly says nothing of its noise
Law = str | Likelihood
Blurred = tuple[np.ndarray, int]  # kernel (h, w), and every how many of the blurred pixels are kept
BLURRED = (
    "neighbours share more than that ({0.right:.2f} to the right, {0.below:.2f} below), as texture does that was blurred, and the "
    "noise of some cameras; if it is the latter, give `noise=gaussian:{0.sigma:.4f}`"
)
# Share of a picture that says nothing, and level of the rest, too little to tell its kind, from which on that is letters on paper:
# noise of such a level leaves no paper constant.
CONSTANT, LETTERS = 0.5, 0.1
PASSED = "nothing of the picture shows its noise alone where the kernel takes frequencies out: flat parts were asked"


def measured_noise(
    read: Observation,
    valid: np.ndarray | None,
    ranged: bool,
    notes: Notes,
    law: Callable[[Noise], Law],
    prior: Callable[[int], Denoiser] | None = None,
    blur: Blurred | None = None,
) -> tuple[Law, Noise]:
    """Return the law to use, by what `law` makes of the noise found where `valid` (1 or C, H, W) is True, everywhere for
    None, and that noise; notes say both.

    ranged: black and white were given, so that no other range is advised. prior: a denoiser for so many bands, which knows
    texture from noise. blur: what the measurement went through, where that is known: the frequencies that it takes out tell first.
    Raises `BadInput` where the measurement is no picture, and where nothing of it tells.
    """
    if read.operation in NO_PICTURE:
        raise BadInput(
            f"{read.operation} measures no picture, whose noise could be told; give `noise=gaussian:0.01`",
            argument="noise",
        )
    floor = max(NoiseLevel.floor, read.response.rounding(read.picture))
    coded = read.as_read.pixels if read.response.coded else None
    impulses = Impulses() if coded is None else Impulses(tail=CUT_OFF)  # whose noise is strong at black
    found, blurred = NoiseLevel(floor=floor, impulses=impulses)(read.picture.pixels, valid, coded), []
    path = read.input.path
    lossy = 0.0 if path is None else decode.jpeg_rounding(path)
    recorded = recorded_level(read)
    if recorded is not None:
        found = found.finest(floor)  # for what else there is; the level is known
        found = replace(found, sigma=max(recorded[0], floor), white=recorded[0], floor=recorded[0] < floor, sensor=None)
    elif (band := _of_stop_band(read, valid, found, blur, floor, lossy > 0)) is not None:
        found = band
    else:
        found, blurred = _of_blocks(read, valid, found, lossy, floor)
        if blur is not None and np.count_nonzero(blur[0]) > 1:
            blurred += [PASSED]
            found = _at_most(read, valid, found, blur, floor) if not lossy else found
    lost = 0.0 if recorded is not None else _lost(read, path, lossy)
    rounded = read.operation in MIXING and lost > found.sigma
    found = found.at_least(lost, floor=True) if rounded else found
    if prior is not None and coded is None:
        found = asked(found, read.picture.pixels, valid, prior, lost, floor, _before(path) if lossy else None)
    if read.operation == "denoise" and lost > 0:
        found = found.of_jpeg(lost)
    chosen = law(found)
    narrow = ranges.hint(read.as_read) if found.floor and not ranged else None
    text = noise_text(chosen)
    for line in [
        _of_level(text, found, read.input.name, lost > 0, rounded, None if recorded is None else recorded[1]),
        *found.notes,
        *blurred,
        *filter(None, [narrow]),
    ]:
        notes(f"noise: {line}")
    return chosen, found


def blurred_by(operator: Operator) -> Blurred | None:
    """Return the kernel (h, w) of an operator that blurs, and of what it leaves every how many pixels it keeps; None of another."""
    factor = 1
    if isinstance(operator, Compose) and isinstance(operator.outer, Decimate):
        operator, factor = operator.inner, operator.outer.factor
    if isinstance(operator, CircularDecimation | SeparableDecimation):
        factor = operator.factor
    elif not isinstance(operator, FreeBlur | ReflectBlur | SymmetricBlur | CircularBlur):
        return None
    return operator.kernel.double().cpu().numpy(), factor


def _of_stop_band(
    read: Observation, valid: np.ndarray | None, found: Noise, blur: Blurred | None, floor: float, jpeg: bool
) -> Noise | None:
    """Return the noise at the frequencies that a blur takes out; None where there are none, or it is not known."""
    if blur is None:
        return None
    band = StopBand()(read.picture.pixels, _told(read, valid, found), *blur)
    return None if band is None else BlurredNoise.of(found, band, jpeg, floor)


def _at_most(read: Observation, valid: np.ndarray | None, found: Noise, blur: Blurred, floor: float) -> Noise:
    """Return the noise of flat blocks, no more than is left where a blur passes least of the picture."""
    if blur[1] > 1 or found.correlated or found.floor:
        return found
    most = StopBand().most(read.picture.pixels, _told(read, valid, found), blur[0])
    if most >= found.white:
        return found
    return replace(found, sigma=max(most, floor), white=most, floor=most < floor, sensor=None)


def _told(read: Observation, valid: np.ndarray | None, found: Noise) -> np.ndarray:
    """Return (C, H, W): values that are neither clipped nor impulses, and were measured."""
    black, white = read.clipped
    told = ~(black | white | found.impulses)
    return told if valid is None else told & (np.broadcast_to(valid, told.shape) > 0.5)


def _of_blocks(
    read: Observation, valid: np.ndarray | None, found: Noise, lossy: float, floor: float
) -> tuple[Noise, list[str]]:
    """Return the noise as blocks show it, and what to say: what neighbours share is blurred texture in a file that lost
    nothing, and in a JPEG mostly the noise of a camera."""
    coded, blurred = read.as_read.pixels if read.response.coded else None, []
    found = _without_letters(found, floor)
    mixed = read.operation in MIXING and not lossy
    if mixed and found.correlated:
        found, blurred = found.finest(floor), [BLURRED.format(found)]
    # Where light tells its noise, a reading of the values, turned into light, adds the texture of bright parts alone.
    if coded is not None and (lossy or found.floor):
        of_file = _without_letters(NoiseLevel()(coded, valid), NoiseLevel.floor)
        of_file = of_file.finest(NoiseLevel.floor) if mixed and of_file.correlated else of_file
        found = found.at_least(read.response.in_light(0.0 if of_file.floor else of_file.sigma, read.picture))
    return found, blurred


def _without_letters(found: Noise, floor: float) -> Noise:
    """Return the noise, a floor where what tells of it seems to be the rims of letters on paper."""
    if not (found.left_out > CONSTANT and not found.sure and found.white > LETTERS):
        return found
    return replace(found, sigma=floor, white=0.0, floor=True, correlated=False, sensor=None, covariance=None)


def _lost(read: Observation, path: Path | None, lossy: float) -> float:
    """Return what a JPEG lost by its rounding, in the unit of the picture; of blurred ones as its coefficients show it."""
    if path is None or not lossy:
        return 0.0
    if read.operation not in MIXING:
        return read.response.in_light(lossy, read.picture)
    most = read.response.in_light(lossy, read.picture)
    try:
        return min(
            jpeg_loss(read_jpeg(path), read.response.curve), most
        )  # of few blocks the coefficients tell too much
    except BadInput:  # of a kind whose coefficients are not read
        return most


def _before(path: Path | None) -> BeforeJPEG | None:
    """Return what the coefficients of a JPEG show of its noise; None where they are not read."""
    if path is None:
        return None
    try:
        return JPEGSpectrum()(read_jpeg(path))
    except BadInput:
        return None


def law_as_found(found: Noise, masked: bool) -> Law:
    """Return the law of the noise as it is: of a sensor, of a grain, or white where it is or nothing else is sure.

    masked: some values were not measured, which a grain would mix with others.
    """
    if not (found.share > 0 or found.floor):
        if found.grows and found.sensor is not None:
            return f"poisson-gaussian:{found.sensor.gain:.4g},{found.sensor.read:.4g}"
        if found.covariance is not None and not masked:
            return Coloured(torch.from_numpy(found.covariance).float())
    return white_law(found)


def white_law(found: Noise) -> str:
    """Return white noise of the level that takes out what was found."""
    return f"gaussian:{found.sigma:.4f}"


def _of_level(text: str, found: Noise, name: str, jpeg: bool, rounded: bool, record: str | None) -> str:
    """Return what the law is, for a person. rounded: its level is that of the rounding of a JPEG, and not of noise. record: the
    name of that which states it."""
    if record is not None:
        return f"{text}, as {name} was made by its record {record}"
    why, advice = f", measured in {name}", "give `noise` if you know better"
    if isinstance(found, BlurredNoise) and not (rounded or found.floor):
        why += " at the frequencies that the blur takes out"
    if rounded:
        why = f", what {name} lost by its JPEG rounding, above the noise in it"
    elif found.rounded:
        why = f", chosen for what {name} lost by its JPEG rounding; the noise in it is no more, and not measured"
    elif found.floor and jpeg:
        why = f" is assumed, a floor: the rounding of a JPEG hides what noise {name} has"
        advice = "where you see some, give it, as `noise=gaussian:0.02`"
    elif found.floor:
        why = f" is assumed, a floor: none above it can be told from what {name} shows"
    elif not found.sure:
        why = f" is a guess: too little of {name} is flat to tell whether its noise is white"
    return f"{text}{why}; {advice}"
