"""An array in memory is despeckled as a file is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from restorekit.despeckling.plan import Settings, plan
from restorekit.files.scene import scene_in_memory
from restorekit.sar.looks import Array, Mask


def despeckled(
    settings: Settings,
    intensity: Array,
    valid: Mask,
    looks: float | None = None,
    say: Callable[[str], None] | None = None,
) -> Array:
    """Return intensities (H, W) float32 under the speckle, 0 where nothing is valid.

    looks: of the speckle, where `settings` do not give them. say: is told of point targets, which are kept as measured.
    Raises BadInput as `restorekit.despeckling.plan.plan` does.
    """
    scene = scene_in_memory(np.where(valid, intensity, np.nan)[None], "the radar picture")
    work = plan(scene, None, replace(settings, domain="intensity", looks=looks or settings.looks))
    return np.where(valid, np.nan_to_num(work.array(work.in_memory(say=say))[0]), np.float32(0))
