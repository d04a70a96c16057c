"""A picture that was a JPEG and is none any more shows the blocks of 8 pixels, and what their coefficients lost is told by the JPEG alone."""

from __future__ import annotations

import numpy as np

from restorekit.files.formats import content_of
from restorekit.tasks.observation import Observation

BLOCK = 8
LEAST, MOST = 64, 1024  # pixels a side, of a picture whose blocks are looked for, and of its part where they are
# Steps between blocks, over those within, and beyond the differences of the other places: 1.1 and 2.3 at most of 25 crops of Set5,
# Set14, McMaster and Urban100 that were no JPEG; most JPEGs of quality 30 have more, half of quality 50, few of 75.
STEEPER, APART = 1.12, 6.0


def note_of(read: Observation) -> str | None:
    """Return what to say of a file of 8 bits that was made from a JPEG and is none; None of others, and where no blocks are seen."""
    path, picture = read.input.path, read.as_read
    if (
        picture.dtype != "uint8"
        or (path is not None and content_of(path) == "JPEG")
        or not shows_blocks(picture.pixels)
    ):
        return None
    return (
        f"{read.input.name} shows the blocks of a JPEG, and is none any more: between which bounds its coefficients lie is told by the "
        "JPEG alone; give that file, before anything was changed (restorekit dejpeg)"
    )


def shows_blocks(x: np.ndarray) -> bool:
    """Return True where a picture (C, H, W) has steps along lines that lie 8 pixels apart, in both directions."""
    if min(x.shape[1:]) < LEAST:
        return False
    grey = x[:, :MOST, :MOST].astype(np.float64).mean(0)
    return _lines(grey) and _lines(grey.T)


def _lines(grey: np.ndarray) -> bool:
    """Return True where differences from one column to the next are larger, beside those around them, at one of eight places."""
    step = np.abs(np.diff(grey, axis=1))
    beside = (step[:, :-2] + step[:, 2:]) / 2
    excess = step[:, 1:-1] - beside
    size = np.array([np.abs(beside[:, n::BLOCK]).mean() for n in range(BLOCK)]).mean()
    means = np.array([excess[:, n::BLOCK].mean() for n in range(BLOCK)])
    at = int(means.argmax())
    others = np.delete(means, [at, (at - 1) % BLOCK, (at + 1) % BLOCK])  # a step makes its neighbours look smaller
    spread = max(float(others.std()), 1e-9)
    return bool(means[at] - others.mean() > APART * spread and 1 + means[at] / max(size, 1e-9) > STEEPER)
