"""Sentinel-1 GRD and SLC products are read from their SAFE folder, calibrated and without thermal noise.

Product Specification S1-RS-MDA-52-7441. The files are in `sentinel1_files`, what is said of an image in
`sentinel1_annotation`, calibration and noise in `sentinel1_tables`, bursts in `sentinel1_joining`, looks and grain in
`sentinel1_grain`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files.atomic import one_line
from restorekit.files.bands import Window, dataset_of, import_rasterio
from restorekit.products.product import BandFacts
from restorekit.products.sentinel1_annotation import Annotation, annotation_of
from restorekit.products.sentinel1_files import MANIFEST, ImageFiles, Safe, chosen_images, processor_version, safe_of
from restorekit.products.sentinel1_grain import image_grain, image_looks
from restorekit.products.sentinel1_joining import JoinedImage, Piece
from restorekit.products.sentinel1_tables import (
    QUANTITIES,
    NoiseTable,
    VectorTable,
    calibration_table,
    mean_noise,
    noise_table,
)

POLARISATIONS = ("HH", "HV", "VH", "VV")
NOISE_SCALED = 2.5  # version of the processor from which on noise is in units of |DN|^2; before, factors are missing
UNITS = {"dn": "digital numbers"}


@dataclass(frozen=True, eq=False)
class _Channel:
    """One polarisation: its facts, its tables, and where its pixels are."""

    files: ImageFiles
    annotation: Annotation
    calibration: VectorTable
    noise: NoiseTable | None
    subtracts: bool  # noise comes off: asked for, of power, and neither done by the processor nor in a scale of its own

    @cached_property
    def joined(self) -> JoinedImage:
        return JoinedImage(self.annotation)


@dataclass(frozen=True)
class Sentinel1:
    """A Sentinel-1 product is a scene of the polarisations of one swath. GRD: power; SLC: complex values, bursts joined.

    path: the folder NAME.SAFE (NAME_COG.SAFE too), its manifest.safe, a zip archive of it, or /vsizip/ARCHIVE/NAME.SAFE; large
    products are read faster from a folder. polarisation: "VV" and the like; None takes all that are there. quantity:
    "sigma0", "beta0", "gamma0", or "dn" for digital numbers. swath: "IW1" and the like, which a product of several needs.
    noise: whether thermal noise is subtracted from power; power below 0 is kept, as a mean over an area is right only with
    it. It is never subtracted from complex values, for it is a power, nor where the processor has done that. noise_later: `read`
    leaves it in, for what is made of the power, and `noise_at` says what is to be subtracted from that: power with its noise has
    the law of speckle, and without it has none.

    Raises BadInput, when it is made, for what is no such product, lacks a file, or is damaged.
    """

    path: Path
    polarisation: str | None = None
    quantity: str = "sigma0"
    swath: str | None = None
    noise: bool = True
    noise_later: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        if self.quantity not in QUANTITIES:
            raise BadInput(f"unknown quantity {self.quantity!r}; known: {', '.join(QUANTITIES)}", argument="quantity")
        if self.polarisation is not None and self.polarisation.upper() not in POLARISATIONS:
            raise BadInput(
                f"unknown polarisation {self.polarisation!r}; known: {', '.join(POLARISATIONS)}",
                argument="polarisation",
            )
        _ = self._channels  # where something is wrong it is said now

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings alone; who unpickles it reads the annotation again."""
        return Sentinel1, tuple(getattr(self, f.name) for f in fields(self))

    @cached_property
    def _safe(self) -> Safe:
        return safe_of(self.path)

    @cached_property
    def _version(self) -> float:
        return processor_version(self._safe.read(MANIFEST))

    @cached_property
    def _channels(self) -> tuple[_Channel, ...]:
        _ = self._version  # refuses other missions
        images = chosen_images(self._safe.of_swath(self.swath), self.polarisation, self._safe.root)
        channels = tuple(self._channel(image) for image in images)
        sizes = {(c.joined.height, c.annotation.samples) for c in channels}
        if len(sizes) > 1 or len({c.annotation.complex for c in channels}) > 1:
            raise BadInput(
                f"{self.path}: its polarisations differ in size; give `polarisation={channels[0].files.polarisation}`",
                argument="polarisation",
            )
        return channels

    def _channel(self, files: ImageFiles) -> _Channel:
        safe = self._safe
        annotation = annotation_of(safe.read(files.names["annotation"]))
        noise = noise_table(safe.read(files.names["noise"])) if "noise" in files.names else None
        subtracts = self.noise and self._scaled and not annotation.complex and not annotation.noise_removed
        if subtracts and noise is None:
            raise BadInput(
                f"{safe.root} holds no thermal noise of {files.stem}; get the product again, or give `noise=False`",
                argument="noise",
            )
        calibration = calibration_table(safe.read(files.names["calibration"]), self.quantity)
        return _Channel(files, annotation, calibration, noise, subtracts)

    @property
    def files(self) -> tuple[Path, ...]:
        """Return the files that are read, measurements first; of a product in an archive, the archive alone."""
        safe = self._safe
        if safe.zipped:
            return (safe.root,)
        kinds = ("measurement", "annotation", "calibration", "noise")
        names = [c.files.names[kind] for kind in kinds for c in self._channels if kind in c.files.names]
        return tuple(safe.root / name for name in (*names, MANIFEST))

    @property
    def _first(self) -> Annotation:
        return self._channels[0].annotation

    @property
    def count(self) -> int:
        """Return the number of polarisations."""
        return len(self._channels)

    @property
    def height(self) -> int:
        """Return the number of rows, of bursts joined."""
        return self._channels[0].joined.height

    @property
    def width(self) -> int:
        """Return the number of samples."""
        return self._first.samples

    @property
    def dtype(self) -> str:
        """Return "float32" for GRD, "complex64" for SLC."""
        return "complex64" if self._first.complex else "float32"

    @property
    def bands(self) -> tuple[BandFacts, ...]:
        """Return the facts of each polarisation."""
        return self._bands

    @cached_property
    def _bands(self) -> tuple[BandFacts, ...]:
        facts = []
        for c in self._channels:
            looks = image_looks(c.annotation)
            facts.append(
                BandFacts(
                    c.files.polarisation,
                    "complex" if c.annotation.complex else "intensity",
                    looks and looks[0],
                    image_grain(c.annotation),
                    UNITS.get(self.quantity, self.quantity),
                )
            )
        return tuple(facts)

    @property
    def crs(self) -> None:
        """Return None: the image lies in the geometry of the radar."""
        return

    @property
    def transform(self) -> None:
        """Return None: places are given by `gcps`."""
        return

    @property
    def gcps(self) -> tuple[Any, ...]:
        """Return the grid of places of the annotation: row, column, longitude, latitude, height above the ellipsoid in m."""
        return self._gcps

    @cached_property
    def _gcps(self) -> tuple[Any, ...]:
        control = import_rasterio().control
        joined = self._channels[0].joined
        return tuple(
            control.GroundControlPoint(joined.row(p), p.pixel, p.longitude, p.latitude, p.height, id=str(n))
            for n, p in enumerate(self._first.points, 1)
        )

    @property
    def gcps_crs(self) -> Any:
        """Return WGS 84 (EPSG:4326), None where there are no points."""
        return import_rasterio().crs.CRS.from_epsg(4326) if self._first.points else None

    @property
    def said(self) -> tuple[str, ...]:
        """Return sentences: what was calibrated to what, which noise was subtracted, its mean, bursts and looks."""
        return self._said

    @cached_property
    def _said(self) -> tuple[str, ...]:
        a = self._first
        names = ", ".join(b.name for b in self.bands)
        power = "complex values over A" if a.complex else "|DN|^2 over A^2"
        by = f"Sentinel-1 IPF {self._version:.2f}" if self._version else "an unnamed processor"
        found = [
            f"{a.mission} {a.mode} {a.type} {a.swath} {names}, by {by}, is {self.quantity}: {power}, A of {QUANTITIES[self.quantity]}."
        ]
        found.append(self._said_of_noise())
        if a.bursts is not None:
            found.append(
                f"{len(a.bursts.starts)} bursts of {a.bursts.lines} lines are joined by their azimuth times to {self.height}."
            )
        if (looks := image_looks(a)) is not None and not a.complex:
            along, across = a.swaths[0].along.looks, a.swaths[0].across.looks
            found.append(
                f"{across} x {along} looks that overlap are {looks[1]:.2f} independent ones"
                + (f", and {looks[0]:.1f} as published, which is taken." if looks[0] != looks[1] else ".")
            )
        return tuple(found)

    def _said_of_noise(self) -> str:
        levels = [
            f"{c.files.polarisation} {10 * math.log10(level):.1f} dB"
            for c in self._channels
            if c.noise is not None and self._scaled
            if (level := mean_noise(c.noise, c.calibration, c.annotation.lines, c.annotation.samples)) > 0
        ]
        what = "noise-equivalent sigma0" if self.quantity == "sigma0" else "noise"
        mean = f"; the mean {what} is {', '.join(levels)}." if levels else "."
        if self._first.noise_removed:
            return "Thermal noise was subtracted by the processor, and is not subtracted again."
        if self._channels[0].subtracts and self.noise_later:
            return f"Thermal noise is subtracted from what is made of the power{mean}"
        if self._channels[0].subtracts:
            return f"Thermal noise is subtracted, and power below 0 is kept{mean}"
        if self._first.complex:
            return f"Thermal noise is a power, and is not subtracted from complex values{mean}"
        if self.noise:
            return f"Thermal noise before IPF {NOISE_SCALED:.2f} is in a scale of its own, and is not subtracted."
        return f"Thermal noise is not subtracted{mean}"

    @property
    def _scaled(self) -> bool:
        """Return True where noise is in units of |DN|^2."""
        return not 0 < self._version < NOISE_SCALED

    def read(self, window: Window, band: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return (h, w) of a polarisation, from 1, float32 power or complex64, and True where it was measured.

        Only that window of the TIFF is read. 0 stands where nothing was measured: where a GRD has DN 0, and outside of the
        valid samples of bursts. Raises BadInput where the file is damaged. For many windows, `opened` is faster.
        """
        with self.opened(band) as reader:
            return reader.read(window, band)

    def noise_at(self, window: Window, band: int) -> NDArray[np.float64] | None:
        """Return (h, w) of the thermal noise of a polarisation, from 1, in the unit of its power; None where none is subtracted."""
        channel = self._channels[band - 1]
        if not channel.subtracts or channel.noise is None:
            return None
        lines = np.arange(window.top, window.top + window.height, dtype=float)
        samples = np.arange(window.left, window.left + window.width, dtype=float)
        return channel.noise.at(lines, samples) / channel.calibration.at(lines, samples) ** 2

    @contextmanager
    def opened(self, *bands: int) -> Iterator[Sentinel1Reader]:
        """Yield the product with the TIFFs of some bands open, from 1; of all where none is named.

        Raises BadInput for those of another size than the annotation says.
        """
        with ExitStack() as stack:
            datasets = {}
            for band in bands or range(1, self.count + 1):
                c = self._channels[band - 1]
                path = self._safe.raster(c.files.names["measurement"])
                dataset = stack.enter_context(dataset_of(path))
                if (dataset.height, dataset.width) != (c.annotation.lines, c.annotation.samples):
                    raise BadInput(
                        f"{path} has {dataset.height}x{dataset.width} pixels, and its annotation says {c.annotation.lines}x"
                        f"{c.annotation.samples}; get the product again"
                    )
                datasets[band] = dataset
            yield Sentinel1Reader(self, datasets)


@dataclass(frozen=True, eq=False)
class Sentinel1Reader:
    """An open product. `read` gives calibrated pixels and where they were measured."""

    product: Sentinel1
    datasets: dict[int, Any]  # of rasterio, by band

    def read(self, window: Window, band: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return (h, w) of a polarisation, from 1, and True where it was measured, as `Sentinel1.read`.

        Raises BadInput where the file is damaged, and for a window outside of it.
        """
        product = self.product
        if not window.within(product.height, product.width):
            raise BadInput(f"{product.path}: {window} lies outside of its {product.height}x{product.width} pixels")
        channel = product._channels[band - 1]
        values = np.zeros((window.height, window.width), product.dtype)
        valid = np.zeros(values.shape, np.bool_)
        for piece in channel.joined.within(window.top, window.height):
            rows = slice(piece.first - window.top, piece.last - window.top)
            values[rows], valid[rows] = self._piece(channel, band, piece, window.left, window.width)
        return values, valid

    def _piece(
        self, channel: _Channel, band: int, piece: Piece, left: int, width: int
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the calibrated pixels of one burst, or of an image without any."""
        at = Window(piece.line, left, piece.last - piece.first, width)
        try:
            dn = self.datasets[band].read(1, window=at.of_rasterio)
        except Exception as error:  # noqa: BLE001 (of GDAL, by several names)
            raise BadInput(
                f"{self.product.path}: {channel.files.names['measurement']} is damaged at lines {at.top} and below "
                f"({one_line(error)}); get the product again"
            ) from None
        lines, samples = np.arange(at.top, at.top + at.height, dtype=float), np.arange(left, left + width, dtype=float)
        a = channel.calibration.at(lines, samples)
        if channel.annotation.complex:
            valid = dn != 0 if channel.annotation.bursts is None else channel.joined.valid(piece, left, width)
            return np.where(valid, dn / a, 0).astype(np.complex64), valid
        valid = dn > 0
        power = np.square(dn.astype(np.float64))
        if channel.subtracts and channel.noise is not None and not self.product.noise_later:
            power -= channel.noise.at(lines, samples)
        return np.where(valid, power / a**2, 0).astype(np.float32), valid
