"""A band of a scene is read as intensities: by what the file says of it, and where it says nothing, by its values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.files.bands import Window
from restorekit.files.scene import Reads, Scene
from restorekit.sar import halves
from restorekit.sar.band_units import Sample, no_brightness, stretched, units_of
from restorekit.sar.domain import DOMAINS, PARTS, Domain, below_zero, domain_of, fill_of, stretch
from restorekit.sar.looks import Array, Mask

SIDE = 240  # of a window that is looked at, pixels: ten windows in which looks are measured
MOST = 8  # windows per axis
HIGHEST = 1e30  # intensity above which a number is none of a radar, and float32 ends
STRIP = 512  # rows that are read at once where every pixel has to be


@dataclass(frozen=True, eq=False)
class Border:
    """It holds where zeros reach in from the border: [first, last) of what lies between them, per row and per column."""

    rows: NDArray[np.int64]  # (H, 2)
    columns: NDArray[np.int64]  # (W, 2)

    def outside(self, window: Window) -> Mask:
        """Return where zeros reach in from the border of a window, (h, w), each row and column read from the border
        inwards."""
        i = np.arange(window.top, window.top + window.height)[:, None]
        j = np.arange(window.left, window.left + window.width)
        across, down = self.rows[window.slices[0]], self.columns[window.slices[1]]
        beside = (j < across[:, :1]) | (j >= across[:, 1:])
        return beside | (i < down[:, 0]) | (i >= down[:, 1])


def border_of(scene: Scene, source: Reads, band: int) -> Border:
    """Return the border of a band, which is read whole, strip by strip."""
    rows = np.zeros((scene.height, 2), np.int64)
    columns = np.stack([np.full(scene.width, scene.height), np.zeros(scene.width, np.int64)], 1)
    for top in range(0, scene.height, STRIP):
        window = Window(top, 0, min(STRIP, scene.height - top), scene.width)
        x, valid = source.read(window, band)
        with np.errstate(invalid="ignore"):  # of a NaN that signals
            there = valid & (x != 0)
        some = there.any(1)
        rows[window.slices[0], 0] = np.where(some, there.argmax(1), scene.width)
        rows[window.slices[0], 1] = np.where(some, scene.width - there[:, ::-1].argmax(1), 0)
        some = there.any(0)
        first, last = top + there.argmax(0), top + window.height - there[::-1].argmax(0)
        columns[:, 0] = np.where(some, np.minimum(columns[:, 0], first), columns[:, 0])
        columns[:, 1] = np.where(some, np.maximum(columns[:, 1], last), columns[:, 1])
    return Border(rows, columns)


@dataclass(frozen=True, eq=False)
class ThermalNoise:
    """The thermal noise of a band of a product, whose power is in what is read: speckle is on the sum."""

    product: Any  # with `noise_at`
    number: int

    def __call__(self, window: Window) -> Array | float:
        """Return (h, w) of the noise in a window, in the unit of the intensity; 0 where none is to come off."""
        noise = self.product.noise_at(window, self.number)
        return 0.0 if noise is None else noise


@dataclass(frozen=True, eq=False)
class RadarBand:
    """It reads the numbers of a band as intensities. `border` is None where the file itself says what was not
    measured."""

    number: int  # from 1
    domain: Domain
    scale: float
    offset: float
    border: Border | None
    fill: float | None = None  # a number of no measurement that the file does not name
    noise: ThermalNoise | None = None  # that comes off what is restored

    def read(self, source: Reads, window: Window) -> tuple[NDArray[Any], Array, Mask, Mask]:
        """Read a window and return what `interpret` does."""
        return self.interpret(*source.read(window, self.number), window)

    def interpret(self, raw: NDArray[Any], there: Mask, window: Window) -> tuple[NDArray[Any], Array, Mask, Mask]:
        """Return (numbers of the file, intensities, where measured, and of that where above 0), each (h, w) of a window.

        Intensities are 0 where nothing is above 0. Numbers above `HIGHEST` count as no data, as infinity does. raw, there: numbers of the file, and where it says that they are data.
        """
        with np.errstate(all="ignore"):
            if self.domain.signed and raw.dtype.kind == "f":
                there = there | np.isneginf(raw)  # the logarithm of no signal at all
            if self.fill is not None:
                there = there & (raw != np.asarray(self.fill).astype(raw.dtype))
            if self.border is not None:
                there = there & ~self.border.outside(window)
            values = (
                raw if (self.scale, self.offset) == (1.0, 0.0) else self.scale * raw.astype(np.float64) + self.offset
            )
            intensity = self.domain.intensity(values)
            if raw.dtype.kind in "iu" and not self.domain.signed and self.offset == 0:
                intensity = np.where(raw == 0, self.domain.least(self.scale), intensity)
            there = there & ~(intensity > HIGHEST)
            signal = there & np.isfinite(intensity) & (intensity > 0)
            if not self.domain.signed and values.dtype.kind == "f":
                signal &= values > 0
        return raw, np.where(signal, intensity, 0.0), there, signal

    def negative(self, raw: NDArray[Any], there: Mask) -> Mask:
        """Return where measured numbers (h, w) of the file mean an intensity or an amplitude below 0; nowhere of dB and complex ones."""
        if self.domain.signed or raw.dtype.kind != "f":
            return np.zeros_like(there)
        with np.errstate(invalid="ignore"):
            return there & (self.scale * raw + self.offset < 0)

    def numbers(self, intensity: Array, window: Window | None = None) -> Array:
        """Return what the file would hold for intensities; of a window, without the noise there."""
        if self.noise is not None and window is not None:
            intensity = intensity - self.noise(window)
        return (self.domain.value(intensity) - self.offset) / self.scale

    def deviation(self, intensity: Array, looks: float) -> Array:
        """Return the standard deviation of `numbers` under speckle of mean `intensity`."""
        return self.domain.deviation(intensity, looks) / abs(self.scale)

    def back(self, numbers: Array, window: Window | None = None) -> Array:
        """Return the intensities of `numbers`, of a window with the noise there; those of complex data are intensities already."""
        if self.domain.name == "complex":
            return numbers
        intensity = self.domain.intensity(self.scale * numbers + self.offset)
        return intensity if self.noise is None or window is None else intensity + self.noise(window)


def windows(height: int, width: int, side: int = SIDE, most: int = MOST) -> list[Window]:
    """Return at most `most` squared windows, spread evenly; the whole scene where that is no larger."""

    def starts(n: int) -> list[int]:
        count = min(most, -(-n // side))
        return sorted({round(k * max(0, n - side) / max(1, count - 1)) for k in range(count)})

    return [Window(i, j, min(side, height), min(side, width)) for i in starts(height) for j in starts(width)]


def bands_of(scene: Scene, source: Reads, numbers: Sequence[int], domain: str) -> dict[int, tuple[RadarBand, str]]:
    """Return by number, from 1, how to read bands, and what is to be said about each.

    domain: as asked; "auto" takes what the file says of its bands, then their values, and one unit for all of them. Raises
    BadInput for numbers of another unit, for half of a complex number, and where bands look as if of different units.
    """
    domain = "complex" if domain in PARTS else domain  # two bands that were made one
    samples = {number: _sample(scene, source, number, domain) for number in numbers}
    units = units_of(list(samples.values()), domain)
    return {number: _band(scene, source, sample, *units[number]) for number, sample in samples.items()}


def not_bright(scene: Scene, numbers: Sequence[int]) -> dict[int, str]:
    """Return by number which bands are none of a brightness, as a ratio or an angle, and by what they are known."""
    known = [] if scene.product is None else [n for n in numbers if scene.product.bands[n - 1].domain]
    return no_brightness(scene.path, [n for n in numbers if n not in known], scene.raster)


def _sample(scene: Scene, source: Reads, number: int, domain: str) -> Sample:
    """Read a sample of a band. Raises BadInput for half of a complex number."""
    every = windows(scene.height, scene.width)
    parts = [source.read(window, number) for window in every]
    fill = fill_of(np.concatenate([x[valid] for x, valid in parts]))
    if fill is not None:
        parts = [(x, valid & (x != fill)) for x, valid in parts]
    if scene.product is not None and (said := scene.product.bands[number - 1].domain):
        return Sample(number, scene.dtype, parts, (1.0, 0.0), said, fill=fill)

    def others() -> Iterator[tuple[int, NDArray[Any]]]:
        for other in scene.bands:
            if other != number:
                found = (source.read(window, other)[0][valid] for window, (_, valid) in zip(every, parts))
                yield other, np.concatenate(list(found))

    sample = Sample.of_file(scene.path, number, scene.dtype, parts, scene.gain(number), scene.raster, fill)
    half = halves.told(scene.path, number, scene.dtype, scene.raster, scene.reading.layout, paired=True)
    half.check(sample.told if domain == "auto" and sample.told else domain, sample.values, others)
    return sample


def _band(scene: Scene, source: Reads, sample: Sample, domain: str, why: str) -> tuple[RadarBand, str]:
    scale, offset = sample.gain
    if (levels := stretch(domain)) is not None:
        domain, (scale, offset) = "db", stretched(sample, levels)
    with np.errstate(over="ignore", invalid="ignore"):  # of a scale that no radar has
        values = sample.values
        meant = values if values.dtype.kind == "c" else scale * values + offset
    if scene.product is not None and sample.told == domain:  # which knows what it is, however much is below its noise
        found, below = DOMAINS[domain], 0.0 if meant.dtype.kind == "c" else float((meant < 0).mean())
        said = "" if found.signed else below_zero(below)
    else:
        found, said = domain_of(domain, scene.dtype, meant)
    said = "; ".join(filter(None, [why, said]))
    if sample.fill is not None:
        said = "; ".join(filter(None, [said, f"{sample.fill:g} is taken for no data, though the file does not say so"]))
    border = (
        border_of(scene, source, sample.number) if scene.framed and scene.nodata != 0 else None
    )  # else zeros may be either
    own = scene.product is not None and sample.told == domain and hasattr(scene.product, "noise_at")
    noise = ThermalNoise(scene.product, sample.number) if own else None
    return RadarBand(sample.number, found, scale, offset, border, sample.fill, noise), said
