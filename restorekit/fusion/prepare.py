"""A radar picture is made ready to be fused: speckle taken out, and its grey levels those of the optical picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.sar.filters import FILTERS

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]
MATCHES = ("moments", "histogram")


def check_match(how: str) -> None:
    """Raise BadInput for what is not of `MATCHES`."""
    if how not in MATCHES:
        raise BadInput(f"unknown match {how!r}; known: {', '.join(MATCHES)}")


DESPECKLERS = ("none", *FILTERS)


def despeckled(name: str, intensity: Array, valid: Mask, looks: float) -> Array:
    """Return intensities (H, W) filtered by a filter of `restorekit.sar.filters`, or as they are. Raises BadInput for
    an unknown name."""
    if name == "none":
        return intensity
    if name not in FILTERS:
        raise BadInput(f"unknown despeckler {name!r}; known: {', '.join(DESPECKLERS)}")
    return FILTERS[name](looks)(intensity, valid)


def logarithm(intensity: Array, valid: Mask) -> Array:
    """Return ln I (H, W); pixels without a signal, 0 or less, get the least one that is there. Raises BadInput where
    none has any."""
    signal = valid & (intensity > 0)
    if not signal.any():
        raise BadInput("the radar picture has no valid pixel above 0; check `domain` and the band")
    floor = float(intensity[signal].min())
    return np.log(np.where(valid, np.maximum(intensity, floor), floor))


def moments(radar: Array, luminance: Array, valid: Mask) -> tuple[float, float]:
    """Return (gain, offset) by which radar (H, W) gets the mean and the standard deviation of `luminance`, each of values held
    within their 1 % and 99 % quantiles, so that a few do not count for all."""
    x, y = (np.clip(v[valid], *np.quantile(v[valid], (0.01, 0.99))) for v in (radar, luminance))
    gain = float(y.std()) / max(float(x.std()), 1e-12)
    return gain, float(y.mean()) - gain * float(x.mean())


def matched(radar: Array, luminance: Array, valid: Mask, how: str = "moments", levels: int = 1024) -> Array:
    """Return radar (H, W) with the grey levels of `luminance`, by pixels valid in both.

    moments: mean and standard deviation of one become those of the other; contrasts keep their proportions. The result is held within the
    values that `luminance` has. histogram: the quantiles do, `levels` of them; where one picture has few levels for
    what the other has many, what is left of speckle is stretched with the rest.
    """
    check_match(how)
    x, y = radar[valid], luminance[valid]
    if how == "moments":
        gain, offset = moments(radar, luminance, valid)
        return np.clip(gain * radar + offset, y.min(), y.max())
    shares = np.linspace(0, 1, levels)
    at, first = np.unique(np.quantile(x, shares), return_index=True)
    last = np.append(first[1:], levels) - 1  # values that many pixels share take the middle of their quantiles
    return np.interp(radar, at, np.quantile(y, (shares[first] + shares[last]) / 2))
