"""Despeckling of an array in memory, as of a file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from restorekit.despeckling.plan import Settings, plan
from restorekit.sar.looks import Array, Mask


def despeckled(
    settings: Settings,
    intensity: Array,
    valid: Mask,
    looks: float | None = None,
    say: Callable[[str], None] | None = None,
) -> Array:
    """Intensities (H, W) under the speckle, 0 where nothing is valid. looks: as in `settings`, if None. say: is told of
    point targets, which are kept as measured."""
    with tempfile.TemporaryDirectory(prefix="restorekit-") as folder:
        source, target = Path(folder) / "in.npy", Path(folder) / "out.npy"
        np.save(source, np.where(valid, intensity, np.nan))
        plan(source, target, replace(settings, domain="intensity", looks=looks or settings.looks)).run(say=say)
        return np.where(valid, np.nan_to_num(np.load(target)), 0.0)
