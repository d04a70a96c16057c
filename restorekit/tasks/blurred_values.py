"""A blur may be simulated in the values of a file, instead of in the light that they stand for; this module tells."""

from __future__ import annotations

import numpy as np
import scipy
import torch

from restorekit.blind.boundary import unexplained
from restorekit.noise.level import estimate_sigma
from restorekit.tasks.observation import Observation

SEEN_SIDE = 512  # pixels, of the part of a picture that says whether its light was blurred or its values
OVEREXPOSED = 1e-3  # share of values at white from which on that is not asked
LIKELIER = 1.05  # misfit of the light over that of the values, between files of either kind
SIMULATED = (
    "the kernel fits the values of the file better than the light: the blur seems to have been simulated in them; "
    "try `transfer=linear`"
)


def simulated(read: Observation, kernel: np.ndarray) -> bool:
    """Return True where the kernel explains the values of the file better than the light, away from values at white."""
    light, values, white = read.picture.pixels, read.as_read.pixels, read.clipped[1]
    reach = (1, *(2 * n + 1 for n in kernel.shape))
    near = np.asarray(scipy.ndimage.maximum_filter(white, reach), bool)
    top, left = (max(0, n - SEEN_SIDE) // 2 for n in near.shape[1:])
    part = np.s_[:, top : top + SEEN_SIDE, left : left + SEEN_SIDE]
    where = torch.from_numpy(~near[part])[None]
    overexposed = float(white.mean()) > OVEREXPOSED or float(where.double().mean()) < 0.25
    if overexposed or any(3 * k > n for k, n in zip(kernel.shape, where.shape[2:])):
        return False
    of_file = max(0.002, estimate_sigma(values, ~white))
    of_light = max(0.002, estimate_sigma(light, ~white), read.response.in_light(of_file, read.picture))
    misfits = [
        unexplained(torch.from_numpy(x[part])[None], torch.from_numpy(kernel), level, where)
        for x, level in ((light, of_light), (values, of_file))
    ]
    return misfits[0] > LIKELIER * misfits[1]
