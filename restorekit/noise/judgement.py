"""Flat blocks and a prior each say how noisy a picture is; this module puts both together."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import numpy as np

from restorekit.errors import BadInput
from restorekit.inference.denoiser import Denoiser
from restorekit.noise.evidence import HALF, Evidence, Seen, seen_by
from restorekit.noise.impulses import CUT_OFF, Impulses
from restorekit.noise.jpeg_spectrum import BeforeJPEG
from restorekit.noise.level import Noise, NoiseLevel
from restorekit.noise.periodic import Periodic
from restorekit.noise.pixels import Telling
from restorekit.noise.quiet_blocks import QuietBlocks
from restorekit.noise.sensor import SensorFit
from restorekit.noise.verified import Verified

AGREE = 0.9  # of the level of flat blocks; a prior that finds as much confirms it
NEARLY = 0.6  # the same of a picture too small for a line of variance by brightness
LEAST = 0.0028  # level of grey at half size below which a prior tells nothing
ALONE = 0.0045  # the same where flat blocks do not show noise that neighbours share, and grey in full shows none
SHARED = 7.5  # level of white noise that takes out what neighbours share, over the level of grey at half size
ROUNDED = 4.0  # the same of noise that went through a coarse JPEG, which left no fine noise whatever it was
HALVED = 1.25  # level over that of the noise, where a JPEG halved its colours
HIGHEST = 0.08
MOST = 0.16  # the same of white noise that the coefficients of a JPEG show
LEFT = 0.7  # noise of a camera over what the rounding of its JPEG took; less is what rounding does to edges
PAPER = 0.5  # share of values that tell nothing, in which the rest is the ringing of letters
CERTAIN = 0.032  # level by both, below which a clean picture looks the same to both after a JPEG of quality 85
DOUBTED = 0.6  # share of it, of white noise, that is taken out then
USUAL = 0.045  # level that takes out what cameras' JPEG leave, to which one that is found in such a file is drawn
ROUGH = 0.03  # the highest level of a JPEG in which flat blocks do not show noise that neighbours share
CAREFUL = 0.02  # the highest level of what flat blocks do not show
LEFT_OF_COLOUR = 1.1  # level over that of white noise before a JPEG that halved its colours, whose noise is coarse then
STRONG = 0.01  # level of white noise from which on it is told by brightness
WIDE = 6.0  # by which the noise of dark parts may be less than that of all
RARE = 0.01  # share of impulses, below which they may be noise that was cut off
# Power of the level of flat blocks over that of a prior which finds more: 0 to 4 were tried on corners of McMaster 3 to 6 and of Set14
# (barbara, flowers, baboon) with white noise of 0.005, 0.02 and 0.05.
UNKNOWN = 4
EVEN = 0.48  # `Seen.even` from which on what is seen at half size is noise, which is everywhere
EVERYWHERE = 0.64  # the same of a JPEG, beyond which no clean one was seen: noise of a camera, whatever flat blocks have left of it
SURELY = 0.6  # the same of one band, which shows no colour, and where flat blocks do not show it shared by neighbours
COLOURED = (
    0.95  # `Seen.colour` from which on it is as well, if blocks agree: filters of a sensor have noise of their own
)
VIVID = (
    1.2  # the same where flat blocks do not show it shared by neighbours; some clean pictures of many colours have more
)
SCREEN = 0.6  # `Seen.lines` from which on what a prior does not know is a screen of print or a weave
SLANTED = 0.4  # difference of the correlations with the right and with the lower neighbour, from which on it is lines
NEIGHBOURS = 0.15  # correlation with either, at least, of noise that they share
PLAINLY = (
    0.008  # level of grey at half size, from which on coloured noise is one that neighbours share, whatever blocks show
)
CONFIRMED = 0.5  # of the level that the coefficients of a JPEG show, which a prior must find
QUIET = 0.6  # of a level, below which `QuietBlocks` refute it; of white noise they have 0.95 and more, of photons 0.74


Array = np.ndarray


def asked(
    found: Noise,
    pixels: Array,
    valid: Array | None,
    for_bands: Callable[[int], Denoiser],
    lost: float,
    floor: float,
    before: BeforeJPEG | None = None,
) -> Noise:
    """Return the noise of (C, H, W) on [0, 1] as `found` by its blocks, judged by a prior, whose denoiser of so many bands
    is `for_bands`. valid, floor: as `NoiseLevel` takes them. lost, before: of a JPEG, see `judged`."""
    known = np.ones(pixels.shape, bool) if valid is None else np.broadcast_to(valid, pixels.shape) > 0.5
    if lost > 0:  # which leaves no single value at an end: what looks so are letters
        found = replace(found, impulses=np.zeros_like(found.impulses))
    rare = 0 < found.share < RARE
    if rare and (_dots(found, pixels) or not Impulses(tail=CUT_OFF)(pixels, known).any()):  # noise that black cuts off
        found = NoiseLevel(floor=floor, impulses=lambda values, measured: np.zeros_like(measured))(pixels, valid)
    if found.impulses.any():
        found, pixels = _verified(found, pixels, valid, known, for_bands(len(pixels)), floor)
    told = Telling(reach=(1,))(pixels, known & ~found.impulses)
    sensor = found.sensor
    if lost == 0 and found.grows and sensor is not None and sensor.gain > 0:
        result = by_brightness(found, pixels, told, for_bands)
        if result.grows or result is found:
            return result
        found = replace(found, sensor=replace(sensor, grows=False))  # texture of bright parts
    seen = seen_by(pixels, told, for_bands, 2.5 * max(found.white, floor))
    result = judged(found, seen, lost, floor, before)
    strong = max(result.sigma, result.white) >= STRONG  # taken out or measured
    if lost > 0 or result.correlated or result.camera:
        return result
    result = by_brightness(found, pixels, told, for_bands, result) if strong else result
    return result if result.grows else _at_most(result, QuietBlocks()(pixels, told), floor)


def _at_most(result: Noise, most: float, floor: float) -> Noise:
    """Return white noise that is not in every block as no more than the blocks that show least have; texture adds to that as well."""
    if result.floor or most >= QUIET * result.sigma:
        return result
    return replace(result.white_of(most**2 / result.sigma, floor), white=most)


def _dots(found: Noise, pixels: Array) -> bool:
    """Return True where what looks like impulses, none of them at 0 or 1, are dots of a screen of print."""
    values = pixels[found.impulses]
    return float(values.min()) > 0 and float(values.max()) < 1 and Periodic()(pixels.mean(0)) >= SCREEN


def by_brightness(
    found: Noise, pixels: Array, told: Array, for_bands: Callable[[int], Denoiser], even: Noise | None = None
) -> Noise:
    """Return the white noise of (C, H, W) as a prior sees it from dark to bright.

    even: what was judged of all of it, where blocks show no noise that grows. Of a picture that the prior does not know, that level
    is used, which is less than is measured. Where too little of the picture tells, it is what was found before.
    """
    brightness, seen = Evidence().by_brightness(
        pixels, told, for_bands(len(pixels)), 2.5 * found.white, found.white / WIDE
    )
    if found.sensor is None or not len(seen):
        return found if even is None else even
    sensor = SensorFit().agreed(found.sensor, brightness, seen)
    measured = replace(
        found, sensor=sensor, sigma=sensor.level, white=sensor.level, correlated=False, covariance=None, asked=True
    )
    unknown = float(np.median(seen)) > found.white
    if even is None or (sensor.grows and not unknown) or even.sigma >= sensor.level:
        return measured
    white, sensor = (sensor.level, replace(sensor, grows=False)) if unknown else (even.sigma, sensor)
    return replace(measured, sigma=even.sigma, white=white, sensor=sensor, floor=even.floor)


def _verified(
    found: Noise, pixels: Array, valid: Array | None, known: Array, denoise: Denoiser, floor: float
) -> tuple[Noise, Array]:
    """Return the noise beside the impulses that a prior confirms or adds, and the picture with them filled in."""
    impulses, filled = Verified()(pixels, found.impulses, known, denoise, found.sigma)
    with suppress(BadInput):  # too little would be left
        again = NoiseLevel(floor=floor, impulses=lambda values, measured: impulses)(pixels, valid)
        return again, filled
    return replace(found, impulses=impulses), filled


def judged(found: Noise, seen: Seen, lost: float, floor: float, before: BeforeJPEG | None = None) -> Noise:
    """Return the noise by what flat blocks show, `found`, and a prior, `seen`. lost: what the rounding of a JPEG took. before:
    what its coefficients show.

    Texture only adds to the level of flat blocks, and what a prior does not know to its own, so that the lesser is nearer.
    Where the prior finds more, it does not know the picture, both are too high, and it would take out much of the picture: the
    level is below that of the blocks by a power of how far that of the prior is above it. White noise is white in all bands, in grey and at half size; a JPEG that
    halves the colours leaves it white in grey; what is seen at half size and not in full is noise that neighbours share.
    What blocks call shared and a prior does not see is texture; what it sees at half size is noise only where it is everywhere in
    the picture, or of a colour of its own: stripes, letters and grass are neither. White noise before a JPEG is seen in luma, by its coefficients and
    by the prior at half size, where the mean of four pixels has half of it; texture adds to either, so that the lesser is taken. Noise of
    a camera that the coefficients show in every block is that beyond doubt, however little the rounding left of it in flat blocks.
    """
    even = lost > 0 and found.left_out < PAPER and seen.half > LEAST and _everywhere(seen, before)
    if lost > 0 and found.camera and not even and (found.sigma <= LEFT * lost or found.left_out >= PAPER):
        found = found.finest(floor)
    if lost > 0 and found.left_out >= PAPER and not found.sure and np.isnan(seen.half):
        return found.nothing(floor)  # letters on paper
    if np.isnan(seen.bands):
        return found
    grey, half = (0.0 if np.isnan(v) else v for v in (seen.grey, seen.half))
    unseen = bool(np.isnan(seen.half))
    screen = _unknown(seen) and seen.lines >= SCREEN  # whose lines are no noise, white or shared
    if not screen and lost > 0 and before is not None and before.white and 2 * half > CONFIRMED * before.finest:
        level = (LEFT_OF_COLOUR if before.halved else 1.0) * min(before.finest, 2 * half) / seen.share
        return replace(found.white_of(min(level, MOST), floor), white_before=True)
    texture, vivid = half, seen.colour >= VIVID and abs(found.right - found.below) < SLANTED
    half = half if unseen or _noise(found, seen, lost) or (even and not screen) else 0.0
    if found.covariance is not None and (unseen or half > 0.1 * found.grain * seen.share):
        return replace(found, asked=True, sigma=min(found.sigma, HIGHEST) if lost > 0 else found.sigma)
    if found.correlated and unseen:
        return replace(found, asked=True)
    if seen.bands > max(found.white, floor):
        known = found.white / seen.bands
        less = found.white_of(found.white * known**UNKNOWN, floor)
        return replace(less, white=found.white * known)
    weave = seen.even == 0 and seen.lines >= SCREEN and seen.bands * seen.share > LEAST  # of less grey tells nothing
    if lost == 0 and weave and not found.correlated:
        level = min(
            seen.bands, found.white
        )  # of white noise, which grey has as well; what it has not is colour of a weave
        less = found.white_of(level * min(1.0, grey / seen.share / level) ** UNKNOWN if level else 0.0, floor)
        return replace(less, white=level)
    highest = HIGHEST if found.correlated or (vivid and (lost > 0 or seen.even >= EVEN)) else CAREFUL
    least = LEAST if found.correlated else ALONE if grey == 0 else PLAINLY if vivid else np.inf
    shared = half > least and seen.bands * seen.share < half
    if (even or (lost > 0 and found.camera)) and half > LEAST:
        level = (SHARED * half * found.sigma) ** 0.5 if found.camera else SHARED * half
        if level < CERTAIN and not even:
            return replace(found.white_of(DOUBTED * level, floor), camera=True)
        level = min((USUAL * level) ** 0.5, HIGHEST if even else highest)
        return replace(
            found, sigma=level, correlated=True, camera=True, covariance=None, sensor=None, asked=True, floor=False
        )
    if lost > 0.5 * half > 0.5 * LEAST:
        most = HIGHEST if found.correlated or found.tinted else ROUGH
        level = min(ROUNDED * float(half**2 - LEAST**2) ** 0.5, most)
        return replace(found.white_of(level, floor), camera=True)
    if shared and (grey < 0.5 * half or vivid):
        level = min(SHARED * half, highest)
        level = float(np.sqrt(level * found.sigma)) if found.camera else level
        return replace(
            found, sigma=level, correlated=True, camera=True, covariance=None, sensor=None, asked=True, floor=False
        )
    if (
        not (screen or (unseen and lost > 0))
        and grey > max(LEAST, 1.2 * texture)
        and seen.bands * seen.share < 0.7 * grey
    ):
        return found.white_of(min(HALVED * grey / seen.share, HIGHEST), floor)
    agree = AGREE if found.sensor is not None else NEARLY  # of few blocks nobody knows whether it grows with brightness
    known = seen.bands > agree * found.white and not found.correlated
    result = replace(found, asked=True) if known else found.white_of(min(seen.bands, found.white), floor)
    if lost == 0 or before is None or before.white or result.floor:
        return result
    # Coefficients do not show it white, as those of fine texture do not.
    return replace(result.white_of(DOUBTED * result.sigma, floor), white=result.white)


def _everywhere(seen: Seen, before: BeforeJPEG | None) -> bool:
    """Return True where the coefficients of a JPEG, or a prior, show noise that neighbours share in every part of the picture."""
    fine = seen.grey > 0  # which is better taken out in the bins
    if before is None or before.white or _unknown(seen) or fine:
        return False
    return before.shared or (seen.even >= EVERYWHERE and not np.isnan(seen.colour))


def _noise(found: Noise, seen: Seen, lost: float) -> bool:
    """Return True where what a prior sees at half size is noise that neighbours share, and no structure."""
    apart = lost == 0 and min(found.right, found.below) < NEIGHBOURS  # of a JPEG flat blocks have lost what they shared
    if abs(found.right - found.below) > SLANTED or apart:
        return False
    if _unknown(seen):
        return seen.colour >= VIVID and seen.lines < SCREEN
    grain = found.covariance is not None and np.isnan(seen.colour)  # of one band, which shows no colour
    both = (found.correlated or lost > 0) and not np.isnan(seen.colour)  # a JPEG leaves flat blocks little to show
    coloured = seen.colour >= COLOURED if found.correlated else seen.colour >= VIVID and seen.half > PLAINLY
    return seen.even >= (EVEN if both else SURELY) or coloured or grain


def _unknown(seen: Seen) -> bool:
    """Return True where the prior reads about the most that is looked at: it does not know the picture."""
    return seen.half > 0.9 * HALF
