"""The annotation of a Sentinel-1 image says its size, times, processing and place.

Product Specification S1-RS-MDA-52-7441, level-1 product annotation: imageInformation, processingInformation,
swathTiming, geolocationGrid and swathMerging; names of fields are those of the document in short.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from restorekit.products.sentinel1_files import Node

Whole = NDArray[np.int64]
MOST = 2**20  # lines or samples of an image; those of 25 minutes have some 500,000 lines
NANO = 1e-9  # seconds of a nanosecond


@dataclass(frozen=True)
class LookProcessing:
    """A record processingParameters says how one axis of a swath was focused.

    window: of the spectrum, "Hamming", "Kaiser" or "None", with its coefficient. bandwidth, overlap: of one look and of
    two neighbours, Hz. looks: how many were added.
    """

    window: str
    coefficient: float
    bandwidth: float
    looks: int
    overlap: float


@dataclass(frozen=True)
class SwathProcessing:
    """A record swathProcParams says how a swath was focused; first, last: samples that it has in the image, in all
    lines together."""

    swath: str
    across: LookProcessing  # rangeProcessing
    along: LookProcessing  # azimuthProcessing
    first: int
    last: int


@dataclass(frozen=True, eq=False)
class Bursts:
    """Bursts of a TOPS image lie in its file one below the other, `lines` each, and overlap on the ground.

    starts: (n,) zero-Doppler times of the first lines, nanoseconds of 1970. first, last: (n, lines), the samples of each
    line that are valid; first is -1 where none is.
    """

    lines: int
    starts: Whole
    first: Whole
    last: Whole


@dataclass(frozen=True)
class GridPoint:
    """A geolocationGridPoint gives the place of a pixel: line and pixel of the file, time in nanoseconds of 1970,
    degrees and metres above the ellipsoid, and the angle of incidence in degrees."""

    time: int
    line: float
    pixel: float
    latitude: float
    longitude: float
    height: float
    incidence: float


@dataclass(frozen=True, eq=False)
class Annotation:
    """Facts of one image, a swath in one polarisation, as annotation/NAME.xml has them.

    lines, samples: of the file. interval: between lines, s. spacing: of samples, m, on the ground where `ground` is True
    and along the line of sight otherwise. rate: of samples in slant range, Hz. noise_removed: whether the processor has
    subtracted thermal noise.
    """

    mission: str
    type: str
    mode: str
    swath: str
    polarisation: str
    lines: int
    samples: int
    first_line: int
    interval: float
    spacing: float
    rate: float
    ground: bool
    complex: bool
    incidence: float
    noise_removed: bool
    swaths: tuple[SwathProcessing, ...]
    points: tuple[GridPoint, ...]
    bursts: Bursts | None

    def incidence_at(self, first: float, last: float) -> float:
        """Return the mean angle of incidence of samples first to last, degrees."""
        angles = [p.incidence for p in self.points if first <= p.pixel <= last]
        return float(np.mean(angles)) if angles else self.incidence


def annotation_of(root: Node) -> Annotation:
    """Return the facts of an annotation. Raises BadInput where it is damaged."""
    header, image = root.at("adsHeader"), root.at("imageAnnotation/imageInformation")
    product = root.at("generalAnnotation/productInformation")
    lines, samples = (image.whole(f"numberOf{what}") for what in ("Lines", "Samples"))
    interval, spacing = image.number("azimuthTimeInterval"), image.number("rangePixelSpacing")
    rate = product.number("rangeSamplingRate")
    if not (0 < lines <= MOST and 0 < samples <= MOST and min(interval, spacing, rate) > 0):
        raise root.damaged(f"{lines} lines of {samples} samples, every {interval:g} s and {spacing:g} m, cannot be")
    processing = root.at("imageAnnotation/processingInformation")
    return Annotation(
        *(header.text(name) for name in ("missionId", "productType", "mode", "swath", "polarisation")),
        lines=lines,
        samples=samples,
        first_line=image.time("productFirstLineUtcTime"),
        interval=interval,
        spacing=spacing,
        rate=rate,
        ground=product.text("projection") == "Ground Range",
        complex=image.text("pixelValue") == "Complex",
        incidence=image.number("incidenceAngleMidSwath"),
        noise_removed=processing.text("thermalNoiseCorrectionPerformed").lower() == "true",
        swaths=_swaths(root, processing, samples),
        points=tuple(_point(p) for p in root.all("geolocationGrid/geolocationGridPointList/geolocationGridPoint")),
        bursts=_bursts(root, lines, samples, interval),
    )


def _looks(node: Node) -> LookProcessing:
    values = (node.number(name) for name in ("windowCoefficient", "lookBandwidth", "lookOverlap"))
    coefficient, bandwidth, overlap = values
    looks = node.whole("numberOfLooks")
    if bandwidth <= 0 or looks < 1 or overlap >= bandwidth:
        raise node.damaged(f"{looks} looks of {bandwidth:g} Hz that share {overlap:g} Hz cannot be")
    return LookProcessing(node.text("windowType"), coefficient, bandwidth, looks, overlap)


def _swaths(root: Node, processing: Node, samples: int) -> tuple[SwathProcessing, ...]:
    bounds: dict[str, tuple[int, int]] = {}
    for merge in root.all("swathMerging/swathMergeList/swathMerge"):
        parts = merge.all("swathBoundsList/swathBounds")
        if parts:
            first = min(p.whole("firstRangeSample") for p in parts)
            bounds[merge.text("swath")] = first, max(p.whole("lastRangeSample") for p in parts)
    return tuple(
        SwathProcessing(
            name := p.text("swath"), _looks(p.at("rangeProcessing")), _looks(p.at("azimuthProcessing")),
            *bounds.get(name, (0, samples - 1)),
        )
        for p in processing.all("swathProcParamsList/swathProcParams")
    )  # fmt: skip


def _point(node: Node) -> GridPoint:
    names = ("line", "pixel", "latitude", "longitude", "height", "incidenceAngle")
    return GridPoint(node.time("azimuthTime"), *(node.number(name) for name in names))


def _bursts(root: Node, lines: int, samples: int, interval: float) -> Bursts | None:
    timing = root.at("swathTiming")
    found = timing.all("burstList/burst")
    if not found:
        return None
    each = timing.whole("linesPerBurst")
    if each < 1 or each * len(found) != lines:
        raise root.damaged(f"{len(found)} bursts of {each} lines are not the {lines} lines of its image")
    starts = np.array([b.time("azimuthTime") for b in found], np.int64)
    if (np.diff(starts) <= 0).any() or (starts[-1] - starts[0]) * NANO / interval > MOST:
        raise root.damaged("its bursts do not follow each other in time")
    first, last = ([b.array(name) for b in found] for name in ("firstValidSample", "lastValidSample"))
    if any(len(v) != each or v.min() < -1 or v.max() >= samples for v in (*first, *last)):
        raise root.damaged(f"its bursts do not say which of {samples} samples are valid in each of {each} lines")
    return Bursts(each, starts, np.stack(first).astype(np.int64), np.stack(last).astype(np.int64))
