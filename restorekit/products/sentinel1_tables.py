"""Tables beside a Sentinel-1 image give calibration and thermal noise as vectors across the track, at some lines.

Product Specification S1-RS-MDA-52-7441, calibration and noise annotation data sets. Power is |DN|^2 / A^2, with A
interpolated bilinearly. Noise is a power in units of |DN|^2, the product of a vector across the track and, in products of
IPF 2.90 and later, of vectors along the track that hold in blocks of the image; it comes off before A^2 is divided by.
Lines and pixels count in the file of the image, where the bursts of TOPS modes lie one below the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from restorekit.products.sentinel1_files import Node

Array = NDArray[np.float64]
QUANTITIES = {"sigma0": "sigmaNought", "beta0": "betaNought", "gamma0": "gamma", "dn": "dn"}
GRID = 64  # lines and samples, at most, of the grid on which a mean over an image is taken


@dataclass(frozen=True, eq=False)
class VectorTable:
    """A table has at each of its lines values at some pixels; between them it is bilinear, beyond them the last value
    holds.

    lines: (n,), rising. pixels, values: n arrays, rising pixels, which need not be the same at every line.
    """

    lines: Array
    pixels: tuple[Array, ...]
    values: tuple[Array, ...]

    def at(self, lines: Array, pixels: Array) -> Array:
        """Return (h, w), the table at lines (h,) and pixels (w,)."""
        n = len(self.lines)
        above = np.clip(np.searchsorted(self.lines, lines, side="right") - 1, 0, max(n - 2, 0))
        below = np.minimum(above + 1, n - 1)
        gap = np.maximum(self.lines[below] - self.lines[above], 1.0)  # 1: a single vector, to which it adds nothing
        share = np.clip((lines - self.lines[above]) / gap, 0.0, 1.0)[:, None]
        needed, places = np.unique(np.stack([above, below]), return_inverse=True)
        rows = np.stack([np.interp(pixels, self.pixels[k], self.values[k]) for k in needed])
        upper, lower = places.reshape(2, -1)
        return (1 - share) * rows[upper] + share * rows[lower]


def vector_table(nodes: Sequence[Node], name: str, least: float) -> VectorTable:
    """Return the table of vectors, of which `name` holds the values, in whatever order they come.

    Raises BadInput for vectors whose values are not those of their pixels, and for values below `least`.
    """
    found: dict[float, tuple[Array, Array]] = {}
    for node in nodes:
        line, pixels, values = node.number("line"), node.array("pixel"), node.array(name)
        if not pixels.size or pixels.shape != values.shape:
            raise node.damaged(
                f"its vector of line {line:g} has {values.size} values of {name} at {pixels.size} pixels"
            )
        if values.min() < least:
            raise node.damaged(f"{name} is {values.min():g} at line {line:g}, and cannot be below {least:g}")
        pixels, order = np.unique(pixels, return_index=True)
        found.setdefault(line, (pixels, values[order]))
    lines = sorted(found)
    return VectorTable(np.array(lines), tuple(found[k][0] for k in lines), tuple(found[k][1] for k in lines))


def calibration_table(root: Node, quantity: str) -> VectorTable:
    """Return A of a quantity, one of `QUANTITIES`, from a calibration annotation. Raises BadInput where it is damaged."""
    nodes = root.all("calibrationVectorList/calibrationVector")
    if not nodes:
        raise root.damaged("it has no calibrationVector")
    return vector_table(nodes, QUANTITIES[quantity], least=float(np.finfo(np.float32).tiny))


@dataclass(frozen=True, eq=False)
class AzimuthBlock:
    """A record noiseAzimuthVector: a factor along the track, at `lines`, for a rectangle of the image whose first and last
    lines and samples belong to it."""

    rectangle: tuple[float, float, float, float]  # first line, last line, first sample, last sample
    lines: Array
    values: Array


@dataclass(frozen=True, eq=False)
class NoiseTable:
    """Thermal noise, a power in units of |DN|^2: a table across the track times the factors of blocks."""

    across: VectorTable
    blocks: tuple[AzimuthBlock, ...] = ()

    def at(self, lines: Array, pixels: Array) -> Array:
        """Return (h, w), the noise at lines (h,) and pixels (w,); a pixel of no block has the factor 1."""
        noise = self.across.at(lines, pixels)
        for block in self.blocks:
            top, bottom, left, right = block.rectangle
            rows, columns = (lines >= top) & (lines <= bottom), (pixels >= left) & (pixels <= right)
            if rows.any() and columns.any():
                factor = np.interp(lines[rows], block.lines, block.values)
                noise[np.ix_(rows, columns)] *= factor[:, None]
        return noise


def noise_table(root: Node) -> NoiseTable | None:
    """Return the noise of a noise annotation, of the layout of IPF 2.90 or the one before; None where it has no vectors.

    Raises BadInput where it is damaged.
    """
    nodes, name = root.all("noiseRangeVectorList/noiseRangeVector"), "noiseRangeLut"
    if not nodes:
        nodes, name = root.all("noiseVectorList/noiseVector"), "noiseLut"
    if not nodes:
        return None
    blocks = root.all("noiseAzimuthVectorList/noiseAzimuthVector")
    return NoiseTable(vector_table(nodes, name, least=0.0), tuple(_block(b) for b in blocks))


def _block(node: Node) -> AzimuthBlock:
    edges = (("firstAzimuthLine", -np.inf), ("lastAzimuthLine", np.inf), ("firstRangeSample", -np.inf),
             ("lastRangeSample", np.inf))  # fmt: skip
    # A block that names no edge is the whole image.
    top, bottom, left, right = (node.number(e) if node.all(e) else default for e, default in edges)
    lines, values = node.array("line"), node.array("noiseAzimuthLut")
    if not lines.size or lines.shape != values.shape or values.min() < 0:
        raise node.damaged(f"a noiseAzimuthVector has {values.size} values at {lines.size} lines, or values below 0")
    order = np.argsort(lines, kind="stable")
    return AzimuthBlock((top, bottom, left, right), lines[order], values[order])


def mean_noise(noise: NoiseTable, calibration: VectorTable, lines: int, samples: int) -> float:
    """Return the mean over an image of noise / A^2, which is its noise-equivalent sigma0 (or beta0, gamma0), linear."""
    rows = np.unique(np.linspace(0, lines - 1, min(lines, GRID)).round())
    columns = np.unique(np.linspace(0, samples - 1, min(samples, GRID)).round())
    return float((noise.at(rows, columns) / calibration.at(rows, columns) ** 2).mean())
