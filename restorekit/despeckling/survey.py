"""A survey measures what holds for a whole band of a scene, before any block is treated.

The looks of its speckle, their correlation, its level. It is read at windows spread evenly, the same ones every time, so
that large scenes cost no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.despeckling.radar_band import MOST, SIDE, RadarBand, windows
from restorekit.errors import BadInput
from restorekit.files.bands import Window
from restorekit.files.scene import Reads, Scene
from restorekit.sar.coherence import coherent_grain
from restorekit.sar.looks import Array, Grain, Looks, Mask, kappa_of_grain, measure
from restorekit.sar.polarisations import Components, components_of, speckle_correlation
from restorekit.sar.whiten import Whitening, whitening_of

LOOKED_AT = 16  # windows in which components of polarisations are measured
CORRELATED = 1.15  # sum of correlations from which on something is done about them


Sampled = list[tuple[NDArray[Any], Array, Mask]]  # numbers of the file, intensities, where above 0


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
    correlation of neighbours where it is known, instead of that which is measured, of complex data by their phases. Raises
    BadInput where looks are to be measured and cannot be, or for a remedy that the data do not allow.
    """
    samples = _sample(source, band, windows(scene.height, scene.width))
    if not samples:  # a scene that is empty nearly everywhere: look at all of it
        every = (Window(i, j, min(SIDE, scene.height - i), min(SIDE, scene.width - j))
                 for i in range(0, scene.height, SIDE) for j in range(0, scene.width, SIDE))  # fmt: skip
        samples = _sample(source, band, every, enough=MOST**2)
    if not samples:
        return None
    return _statistics(scene, band, samples, _middle(samples), looks, decorrelate, grain)


def survey_together(
    scene: Scene,
    source: Reads,
    bands: Sequence[RadarBand],
    looks: float | None,
    decorrelate: str = "auto",
    grain: Grain | None = None,
) -> tuple[dict[int, BandStatistics], Components, tuple[float, float]] | None:
    """Measure polarisations of one date, which have one set of looks and one grain; return what holds for each, by number, the
    principal components of their logarithms, and the largest correlation of the speckle of two, with its standard error. None where one of them has no pixel above 0 in the windows that are looked at.

    The flattest windows of all bands are those in which looks are measured. Raises BadInput as `survey` does.
    """
    every = windows(scene.height, scene.width)
    samples = [_sample(source, band, every) for band in bands]
    if not all(samples):
        return None
    middles = [_middle(of_band) for of_band in samples]
    of_all = [sample for of_band in samples for sample in of_band]
    common = _statistics(scene, bands[0], of_all, middles[0], looks, decorrelate, grain)
    facts = {band.number: replace(common, middle=middle) for band, middle in zip(bands, middles, strict=True)}
    parts = []
    for window in every[:: max(1, len(every) // LOOKED_AT)]:
        read = [band.read(source, window) for band in bands]
        parts.append((np.stack([y for _, y, _, _ in read]), np.logical_and.reduce([signal for *_, signal in read])))
    if sum(int(there.sum()) for _, there in parts) < SIDE:
        return None
    reach = 1 if common.measured is None else common.measured.reach
    each = [_stacked([(y[k], there) for y, there in parts]) for k in range(len(bands))]
    valid = each[0][1]
    alike = max(
        speckle_correlation(one[0], other[0], valid, reach) for k, one in enumerate(each) for other in each[k + 1 :]
    )
    return facts, components_of(parts, common.detected), alike


def _middle(samples: Sampled) -> float:
    return float(np.median(np.concatenate([np.log(y[signal]) for _, y, signal in samples])))


def _statistics(
    scene: Scene, band: RadarBand, samples: Sampled, middle: float, looks: float | None, decorrelate: str, grain: Grain | None
) -> BandStatistics:  # fmt: skip
    if grain is None and band.domain.name == "complex":
        grain = coherent_grain((z, signal) for z, _, signal in samples)
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
