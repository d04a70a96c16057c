"""A survey measures what holds for a whole band of a scene, before any block is treated.

Where nothing was measured, the unit, the scale, the looks of its speckle. It is read at windows spread evenly, the same
ones every time, so that large scenes cost no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files.bands import Window
from restorekit.files.scene import Reads, Scene
from restorekit.sar import halves
from restorekit.sar.domain import Domain, domain_of, fill_of
from restorekit.sar.looks import Array, Grain, Looks, Mask, kappa_of_grain, measure
from restorekit.sar.whiten import Whitening, whitening_of

SIDE = 240  # of a window that is looked at, pixels: ten windows in which looks are measured
MOST = 8  # windows per axis
CORRELATED = 1.15  # sum of correlations from which on something is done about them
HIGHEST = 1e30  # intensity above which a number is none of a radar, and float32 ends
STRIP = 512  # rows that are read at once where every pixel has to be


Sampled = list[tuple[NDArray[Any], Array, Mask]]  # numbers of the file, intensities, where above 0


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
class RadarBand:
    """It reads the numbers of a band as intensities. `border` is None where the file itself says what was not
    measured."""

    number: int  # from 1
    domain: Domain
    scale: float
    offset: float
    border: Border | None
    fill: float | None = None  # a number of no measurement that the file does not name

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

    def numbers(self, intensity: Array) -> Array:
        """Return what the file would hold for intensities."""
        return (self.domain.value(intensity) - self.offset) / self.scale

    def deviation(self, intensity: Array, looks: float) -> Array:
        """Return the standard deviation of `numbers` under speckle of mean `intensity`."""
        return self.domain.deviation(intensity, looks) / abs(self.scale)

    def back(self, numbers: Array) -> Array:
        """Return the intensities of `numbers`; those of complex data are intensities already."""
        if self.domain.name == "complex":
            return numbers
        return self.domain.intensity(self.scale * numbers + self.offset)


@dataclass(frozen=True)
class BandStatistics:
    """It holds what was measured of one band, for every block alike."""

    middle: float  # median of ln(intensity)
    looks: float
    kappa: float  # sum of the correlations of speckle
    measured: Looks | None  # None where nothing could be, and looks were given
    remedy: str = "none"  # for correlated speckle: none, temper, subsample, whiten
    whitening: Whitening | None = None  # of "whiten"
    before: float | None = None  # looks of the data as they are, where a remedy changes them

    @property
    def detected(self) -> float:
        """Return the looks of a pixel of the data as they are."""
        return self.looks if self.before is None else self.before

    @property
    def grain(self) -> tuple[float, float]:
        """Return the correlation of the intensity of neighbours, rows and columns, in the data as they are."""
        return (0.0, 0.0) if self.measured is None else self.measured.lag_one

    @property
    def median(self) -> float:
        """Return the median of the intensity."""
        return float(np.exp(self.middle))

    @property
    def floor(self) -> float:
        """Return the intensity given to pixels that were measured without a signal."""
        return 1e-4 * self.median


def windows(height: int, width: int, side: int = SIDE, most: int = MOST) -> list[Window]:
    """Return at most `most` squared windows, spread evenly; the whole scene where that is no larger."""

    def starts(n: int) -> list[int]:
        count = min(most, -(-n // side))
        return sorted({round(k * max(0, n - side) / max(1, count - 1)) for k in range(count)})

    return [Window(i, j, min(side, height), min(side, width)) for i in starts(height) for j in starts(width)]


def band_of(scene: Scene, source: Reads, number: int, domain: str) -> tuple[RadarBand, str]:
    """Return how to read a band, and what is to be said about it. Raises BadInput for numbers of another unit."""
    every = windows(scene.height, scene.width)
    parts = [source.read(window, number) for window in every]
    sample = np.concatenate([x[valid] for x, valid in parts])

    def others() -> Iterator[tuple[int, NDArray[Any]]]:
        for other in scene.bands:
            if other != number:
                found = (source.read(window, other)[0][valid] for window, (_, valid) in zip(every, parts))
                yield other, np.concatenate(list(found))

    halves.told(scene.path, number, scene.dtype, scene.raster, scene.reading.layout).check(domain, sample, others)
    fill = fill_of(sample)
    sample = sample if fill is None else sample[sample != fill]
    scale, offset = scene.gain(number)
    with np.errstate(over="ignore", invalid="ignore"):  # of a scale that no radar has
        meant = sample if sample.dtype.kind == "c" else scale * sample + offset
    found, said = domain_of(domain, scene.dtype, meant)
    if fill is not None:
        said = "; ".join(filter(None, [said, f"{fill:g} is taken for no data, though the file does not say so"]))
    border = border_of(scene, source, number) if scene.nodata != 0 else None  # else zeros may be either
    return RadarBand(number, found, scale, offset, border, fill), said


def survey(
    scene: Scene,
    source: Reads,
    band: RadarBand,
    looks: float | None,
    decorrelate: str = "auto",
    grain: Grain | None = None,
) -> BandStatistics | None:
    """Measure a band; None where no pixel is above 0.

    decorrelate: auto whitens correlated complex data, and gives correlated detected data less weight. grain: the
    correlation of neighbours where it is known, instead of that which is measured. Raises BadInput where looks are to
    be measured and cannot be, or for a remedy that the data do not allow.
    """
    samples = _sample(source, band, windows(scene.height, scene.width))
    if not samples:  # a scene that is empty nearly everywhere: look at all of it
        every = (Window(i, j, min(SIDE, scene.height - i), min(SIDE, scene.width - j))
                 for i in range(0, scene.height, SIDE) for j in range(0, scene.width, SIDE))  # fmt: skip
        samples = _sample(source, band, every, enough=MOST**2)
    if not samples:
        return None
    middle = float(np.median(np.concatenate([np.log(y[signal]) for _, y, signal in samples])))
    measured = _measured([(y, signal) for _, y, signal in samples], looks, grain)
    kappa = _kappa(measured, grain)
    remedy = _remedy(decorrelate, band, None if measured is None and grain is None else kappa)
    if remedy == "none" or (measured is None and grain is None):
        return BandStatistics(middle, looks or _looks(measured), kappa, measured, "none")
    whitening, after = None, measured
    if remedy == "whiten":
        whitening = whitening_of(_full(samples, scene))
        after = _measured([(whitening(z), whitening.coarse(s)) for z, _, s in samples if s.all()], looks)
    if remedy == "subsample":
        grain = grain and (grain[0] ** 4, grain[1] ** 4)
        after = _measured([(y[::2, ::2], signal[::2, ::2]) for _, y, signal in samples], looks, grain)
    kappa = _kappa(after, None if remedy == "whiten" else grain)
    before = looks or _looks(measured)
    return BandStatistics(middle, looks or _looks(after), kappa, measured, remedy, whitening, before)


def _kappa(measured: Looks | None, grain: Grain | None) -> float:
    if grain is not None:
        return kappa_of_grain(grain)
    return 1.0 if measured is None else measured.kappa


def _looks(measured: Looks | None) -> float:
    return 1.0 if measured is None else measured.looks


def _measured(parts: list[tuple[Array, Mask]], looks: float | None, grain: Grain | None = None) -> Looks | None:
    """Return the looks that were measured; looks: as given, and then none that can be measured are needed."""
    try:
        return measure(*_stacked(parts), looks=looks, grain=grain)
    except BadInput:
        if looks is None:
            raise
        return None


def _remedy(asked: str, band: RadarBand, kappa: float | None) -> str:
    """Return what is done about correlated speckle; kappa: None where nothing is known of it."""
    is_complex = band.domain.name == "complex"
    if asked == "whiten" and not is_complex:
        raise BadInput("`decorrelate=whiten` needs complex data, whose phase says how; take auto or subsample")
    if asked != "auto":
        return asked
    correlated = kappa is not None and kappa > CORRELATED
    return "none" if not correlated else "whiten" if is_complex else "temper"


def _full(found: Sampled, scene: Scene) -> list[NDArray[Any]]:
    """Return windows of one size without a gap."""
    size = min(SIDE, scene.height), min(SIDE, scene.width)
    parts = [z for z, _, signal in found if signal.all() and z.shape == size]
    if not parts:
        raise BadInput("no window without gaps to measure the spectrum in; take `decorrelate=none`")
    return parts


def _sample(source: Reads, band: RadarBand, where: Iterable[Window], enough: int | None = None) -> Sampled:
    """Return numbers and intensities of those windows that hold any, and where they do."""
    found: Sampled = []
    for window in where:
        raw, y, _, signal = band.read(source, window)
        if signal.any():
            found.append((raw, y, signal))
        if enough is not None and len(found) >= enough:
            break
    return found


def _stacked(found: list[tuple[Array, Mask]]) -> tuple[Array, Mask]:
    """Return all of them below each other, filled up to one width.

    Windows of looks do not reach over the seams, whose height is a multiple of theirs or the end of the scene.
    """
    if len(found) == 1:
        return found[0]
    shape = (SIDE, max(y.shape[1] for y, _ in found))
    y, signal = np.zeros((len(found) * SIDE, shape[1])), np.zeros((len(found) * SIDE, shape[1]), np.bool_)
    for k, (values, there) in enumerate(found):
        y[k * SIDE : k * SIDE + values.shape[0], : values.shape[1]] = values
        signal[k * SIDE : k * SIDE + values.shape[0], : values.shape[1]] = there
    return y, signal
