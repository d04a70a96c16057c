"""The noise of a file that `degrade` made as a camera does, as its record has it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from restorekit.errors import BadInput
from restorekit.files.record import record_beside
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.sensor_noise import PoissonGaussian
from restorekit.noise.stop_band import GREATER
from restorekit.tasks.observation import Observation
from restorekit.text.names import noise_of

MIXED_BY = ("pattern", "jpeg")  # settings of a camera after which neighbours share the noise


def recorded_level(read: Observation) -> tuple[float, str] | None:
    """Return (the level of white noise that takes out what a camera of `degrade` added, the name of its record); None of another file.

    The record has the law of each band in light, before a demosaicing and a JPEG: its root mean square at the light of the picture,
    greater where those mixed it.
    """
    path = read.input.path
    found = None if path is None or not read.response.recorded else record_beside(path, "degrade")
    laws = None if found is None else found[1].get("noise_of_bands")
    pixels = read.picture.pixels
    if found is None or not isinstance(laws, list) or len(laws) != len(pixels):
        return None
    if found[1].get("range") not in (None, list(read.as_read.span)):  # another white than that of the laws was given
        return None
    try:
        variances = [_variance(str(law), band) for law, band in zip(laws, pixels)]
    except BadInput:  # a record that was changed by hand
        return None
    camera: Any = found[1].get("camera")
    mixed = isinstance(camera, dict) and any(camera.get(name) is not None for name in MIXED_BY)
    return (GREATER if mixed else 1.0) * float(np.sqrt(np.mean(variances))), found[0]


def _variance(text: str, band: np.ndarray) -> float:
    """Return the mean variance of a law at the light of a band (H, W). Raises `BadInput` for a law that no sensor has."""
    law = noise_of(text)
    if isinstance(law, PoissonGaussian):
        return float(law.variance(torch.from_numpy(band)).mean())
    if isinstance(law, Gaussian) and not isinstance(law.sigma, torch.Tensor):
        return float(law.sigma) ** 2
    raise BadInput(f"{text} is no noise of a sensor")
