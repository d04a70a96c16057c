"""The noise that a task works with: as given, or as measured in the picture and said."""

from __future__ import annotations

import numpy as np

from restorekit.errors import BadInput
from restorekit.files import decode
from restorekit.files.transfer import MIXING
from restorekit.noise.level import Noise, NoiseLevel
from restorekit.notes import Notes
from restorekit.tasks import ranges
from restorekit.tasks.observation import Observation
from restorekit.text.names import NO_PICTURE

ASSUMED = "gaussian:0.01"  # where a picture mostly says nothing of its noise


def measured_noise(read: Observation, valid: np.ndarray | None, ranged: bool, notes: Notes) -> Noise:
    """Return the noise of the picture where `valid` (1 or C, H, W) is True, everywhere for None; notes say what was found.

    ranged: black and white were given, so that no other range is advised. Raises `BadInput` where the measurement is no
    picture, and where nothing of it tells.
    """
    if read.operation in NO_PICTURE:
        raise BadInput(
            f"{read.operation} measures no picture, whose noise could be told; give `noise=gaussian:0.01`",
            argument="noise",
        )
    floor = max(NoiseLevel.floor, read.response.rounding(read.picture))
    coded = read.as_read.pixels if read.response.coded else None
    found = NoiseLevel(floor=floor)(read.picture.pixels, valid, coded)
    if coded is not None:
        of_file = NoiseLevel()(coded, valid)
        found = found.at_least(read.response.in_light(0.0 if of_file.floor else of_file.sigma, read.picture))
    path = read.input.path
    lost = 0.0 if path is None else read.response.in_light(decode.jpeg_rounding(path), read.picture)
    rounded = read.operation in MIXING and lost > found.sigma
    found = found.at_least(lost, floor=True) if rounded else found
    narrow = ranges.hint(read.as_read) if found.floor and not ranged else None
    for line in [_of_level(found, read.input.name, lost > 0, rounded), *found.notes, *filter(None, [narrow])]:
        notes(f"noise: {line}")
    return found


def _of_level(found: Noise, name: str, jpeg: bool, rounded: bool) -> str:
    """Return what the level is, for a person. rounded: it is that of the rounding of a JPEG, and not of noise."""
    why, advice = f", measured in {name}", "give `noise` if you know better"
    if rounded:
        why = f", what {name} lost by its JPEG rounding, above the noise in it"
    elif found.floor and jpeg:
        why = f" is assumed, a floor: the rounding of a JPEG hides what noise {name} has"
        advice = "where you see some, give it, as `noise=gaussian:0.02`"
    elif found.floor:
        why = f" is assumed, a floor: {name} shows no noise above it"
    return f"gaussian:{found.sigma:.4f}{why}; {advice}"
