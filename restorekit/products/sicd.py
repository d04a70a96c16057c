"""SICD, complex images of many sensors in a NITF: pixel types, amplitude tables, scale factors, place and grain.

NGA.STND.0024-1, volumes 1 and 2: ImageData, Grid, Radiometric, GeoData. Polynomials are of metres from the scene
centre point (SCP), sum over i, j of c[i, j] row^i col^j. GDAL opens such a file as two real bands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files.atomic import one_line
from restorekit.files.bands import Window, import_rasterio
from restorekit.products.product import BandFacts, needs
from restorekit.sar.looks import CLOSEST, Grain

QUANTITIES = {"sigma0": "SigmaZeroSFPoly", "beta0": "BetaZeroSFPoly", "gamma0": "GammaZeroSFPoly"}
LARGEST = 64 * 2**20  # bytes of XML
MARK = b"urn:SICD:"


def is_sicd(path: Path) -> bool:
    """Return True for a NITF whose first data extension is the XML of a SICD, as its subheader says."""
    with open(path, "rb") as handle:
        return bool(_xml(handle, subheader=True))


def _xml(handle: BinaryIO, subheader: bool = False) -> bytes:
    """Return the subheader of the first data extension, or its data; b"" of files that have none. NITF 2.1, table A-1."""
    head = handle.read(388)
    if not head.startswith((b"NITF", b"NSIF")):
        return b""
    try:
        at, length = 360, int(head[354:360])
        handle.seek(0)
        head, offset = handle.read(length), length
        for wide in ((6, 10), (4, 6), None, (4, 5), (4, 9)):  # images, graphics, reserved, text, data extensions
            count, at = int(head[at : at + 3]), at + 3
            for _ in range(count if wide is not None else 0):
                first, second = (int(head[at + a : at + b]) for a, b in ((0, wide[0]), (wide[0], sum(wide))))  # type: ignore[index]
                if wide == (4, 9):
                    handle.seek(offset)
                    found = handle.read(first)
                    return (found if subheader else handle.read(min(second, LARGEST))) if MARK in found else b""
                offset, at = offset + first + second, at + sum(wide)  # type: ignore[arg-type]
    except ValueError:  # of what is no number
        return b""
    return b""


@dataclass(frozen=True)
class GridAxis:
    """An axis of the grid: metres between pixels, cycles per metre of the band, its weights over that or None."""

    spacing: float
    bandwidth: float
    weights: tuple[float, ...] | None

    @property
    def correlation(self) -> float | None:
        """Return the correlation of the intensity of neighbours: |rho|^2, rho the transform of the squared weights at one
        pixel; None where the weights are not known."""
        if self.weights is None or not 0 < self.bandwidth * self.spacing <= 1:
            return None
        at = np.linspace(-0.5, 0.5, 2049)
        w = (
            np.interp(at, np.linspace(-0.5, 0.5, len(self.weights)), self.weights)
            if len(self.weights) > 1
            else np.ones_like(at)
        )
        rho = (w**2 * np.cos(2 * np.pi * at * self.bandwidth * self.spacing)).sum() / (w**2).sum()
        return min(float(rho**2), CLOSEST)


@dataclass(frozen=True)
class Segment:
    """Rows top .. top + rows of the image lie at a byte of the file."""

    top: int
    rows: int
    offset: int


@dataclass(frozen=True, eq=False)
class SicdHeader:
    """It holds what the XML of a SICD says."""

    rows: int
    columns: int
    pixels: str
    kind: np.dtype[Any]  # of them in the file, big-endian
    segments: tuple[Segment, ...]
    table: NDArray[np.float64] | None  # amplitudes of 256 numbers
    first: tuple[int, int]  # row and column of the whole image, of this one's first pixel
    centre: tuple[int, int]  # of the SCP in the whole image
    axes: tuple[GridAxis, GridAxis]
    scales: dict[str, NDArray[np.float64]]  # polynomials by quantity
    noise: float | None  # dB at the SCP, where it is absolute
    polarisation: str
    sensor: str
    corners: Sequence[
        tuple[float, float]
    ]  # latitude, longitude of the first row: first and last column, then last row: last, first


@dataclass(frozen=True, eq=False)
class Sicd:
    """A SICD: one band of complex values, times the root of the scale factor that makes their power `quantity`.

    quantity: "sigma0", "beta0", "gamma0", "dn" for the numbers of the file; "" for sigma0 where the file has its factor. Noise is a power, and
    is not taken out of complex values.
    """

    path: Path
    quantity: str = ""

    count = 1
    dtype = "complex64"
    crs = transform = None
    framed = True  # pixels without data around the image are zeros

    def __post_init__(self) -> None:
        if self.quantity not in ("", "dn", *QUANTITIES):
            raise BadInput(
                f"{self.path}: `product={self.quantity}` is none of {', '.join(QUANTITIES)}, dn", argument="product"
            )
        if self.quantity in QUANTITIES and self.quantity not in self.header.scales:
            there = ", ".join(self.header.scales) or "none"
            raise BadInput(
                f"{self.path} has no factor of {self.quantity} (there: {there}); give `product=dn` for the numbers of the file",
                argument="product",
            )

    @cached_property
    def header(self) -> SicdHeader:
        """Return what the XML says. Raises BadInput for a damaged one."""
        needs("sarkit", self.path, "a SICD")
        try:
            return _header(self.path)
        except BadInput:
            raise
        except Exception as error:  # noqa: BLE001 (of lxml and sarkit, by several names)
            raise BadInput(
                f"{self.path}: a SICD whose header cannot be read ({one_line(error)}); get a fresh copy"
            ) from None

    @property
    def height(self) -> int:
        """Return the number of rows."""
        return self.header.rows

    @property
    def width(self) -> int:
        """Return the number of columns."""
        return self.header.columns

    @property
    def unit(self) -> str:
        """Return what the power of a value is."""
        return self.quantity or ("sigma0" if "sigma0" in self.header.scales else "dn")

    @property
    def bands(self) -> tuple[BandFacts, ...]:
        """Return the band: one look, and the grain of the spectra that the grid describes."""
        rows, columns = (axis.correlation for axis in self.header.axes)
        grain: Grain | None = None if rows is None or columns is None else (round(rows, 3), round(columns, 3))
        return (BandFacts(self.header.polarisation, "complex", 1.0, grain, "" if self.unit == "dn" else self.unit),)

    @property
    def said(self) -> tuple[str, ...]:
        """Return what was made of the numbers."""
        h = self.header
        said = [
            f"SICD of {h.sensor or 'an unnamed sensor'}, {h.pixels}"
            + (", amplitudes by the table of the file" if h.table is not None else "")
        ]
        if self.unit == "dn":
            said.append(
                "not calibrated: the numbers of the file" + ("" if h.scales else ", which has no scale factors")
            )
        else:
            said.append(f"calibrated to {self.unit} by {QUANTITIES[self.unit]}")
        if h.noise is not None:
            said.append(
                f"noise, {h.noise:.1f} dB of the numbers of the file at the centre, is not taken out of complex values"
            )
        return tuple(said)

    @property
    def gcps(self) -> tuple[Any, ...]:
        """Return the centres of the four corner pixels."""
        if len(self.header.corners) != 4:
            return ()
        point: Any = import_rasterio().control.GroundControlPoint
        last = self.height - 0.5, self.width - 0.5
        at = ((0.5, 0.5), (0.5, last[1]), last, (last[0], 0.5))
        return tuple(
            point(row=row, col=col, x=lon, y=lat, z=0.0, id=str(i))
            for i, ((row, col), (lat, lon)) in enumerate(zip(at, self.header.corners), 1)
        )

    @property
    def gcps_crs(self) -> Any:
        """Return WGS 84."""
        return "EPSG:4326" if self.gcps else None

    def read(self, window: Window, band: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return (h, w) complex64, and True where that is finite."""
        h = self.header
        try:
            raw = np.concatenate([part for s in h.segments for part in _rows(self.path, s, h, window)])
        except (OSError, ValueError) as error:
            raise BadInput(
                f"{self.path}: damaged at rows {window.top} and below ({one_line(error)}); copy it again"
            ) from None
        z = complex_of(raw, h.table)
        if self.unit != "dn":
            i, j = window.top + np.arange(window.height), window.left + np.arange(window.width)
            x, y = (
                (k + first - centre) * axis.spacing for k, first, centre, axis in zip((i, j), h.first, h.centre, h.axes)
            )
            factor = np.polynomial.polynomial.polygrid2d(x, y, h.scales[self.unit])
            z = np.where(factor > 0, z * np.sqrt(np.maximum(factor, 0)), np.nan).astype(np.complex64)
        return z, np.isfinite(z)


def complex_of(raw: NDArray[Any], table: NDArray[np.float64] | None = None) -> NDArray[np.complex64]:
    """Return pixels of a SICD as complex numbers: of integers the parts as they are, of bytes amplitude (by the table, where
    there is one) and phase in 256 steps of a circle (table 3-1)."""
    if raw.dtype.names is None:
        return raw.astype(np.complex64)
    if "amp" not in raw.dtype.names:
        return (raw["real"].astype(np.float32) + 1j * raw["imag"].astype(np.float32)).astype(np.complex64)
    amplitude = raw["amp"].astype(np.float64) if table is None else table[raw["amp"]]
    return (amplitude * np.exp(2j * np.pi / 256 * raw["phase"])).astype(np.complex64)


def _rows(path: Path, segment: Segment, header: SicdHeader, window: Window) -> Iterator[NDArray[Any]]:
    """Yield what a segment holds of a window, nothing where it holds none."""
    first, last = max(window.top, segment.top), min(window.top + window.height, segment.top + segment.rows)
    if first < last:
        shape = segment.rows, header.columns
        held = np.memmap(path, header.kind, "r", segment.offset, shape)
        yield held[first - segment.top : last - segment.top, window.left : window.left + window.width]


def _segments(path: Path, reader: Any, rows: int) -> tuple[Segment, ...]:
    """Return the segments of an image, by their names SICD000, or SICD001, SICD002 ... (volume 2, section 2.3)."""
    parts = [s for s in reader.jbp["ImageSegments"] if s["subheader"]["IID1"].value.startswith("SICD")]
    found, top = list[Segment](), 0
    for part in sorted(parts, key=lambda s: s["subheader"]["IID1"].value):
        if (packed := part["subheader"]["IC"].value) != "NC":
            raise BadInput(
                f"{path}: a SICD whose pixels are compressed or masked (IC={packed}), which is not read; write it uncompressed"
            )
        found.append(Segment(top, part["subheader"]["NROWS"].value, part["Data"].get_offset()))
        top += found[-1].rows
    if top != rows:
        raise BadInput(f"{path}: a SICD of {rows} rows, of which its segments hold {top}; get a fresh copy")
    return tuple(found)


def _header(path: Path) -> SicdHeader:
    import lxml.etree
    import sarkit.sicd

    with open(path, "rb") as handle:
        text = _xml(handle)
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise BadInput(f"{path}: its XML has a document type, which is not read; get a fresh copy")
    tree = lxml.etree.ElementTree(
        lxml.etree.fromstring(text, lxml.etree.XMLParser(resolve_entities=False, no_network=True))
    )
    load: Any = sarkit.sicd.XmlHelper(tree).load
    pixels = tree.findtext("{*}ImageData/{*}PixelType") or ""
    if pixels not in sarkit.sicd.PIXEL_TYPES:
        raise BadInput(f"{path}: a SICD of unknown pixels {pixels!r}; known: {', '.join(sarkit.sicd.PIXEL_TYPES)}")
    with open(path, "rb") as handle, sarkit.sicd.NitfReader(handle) as reader:
        segments = _segments(path, reader, load("{*}ImageData/{*}NumRows"))
    table = load("{*}ImageData/{*}AmpTable") if pixels == "AMP8I_PHS8I" else None
    scales = {
        name: np.atleast_2d(np.asarray(c, np.float64))
        for name, tag in QUANTITIES.items()
        if (c := load(f"{{*}}Radiometric/{{*}}{tag}")) is not None
    }
    noise = None
    if tree.findtext("{*}Radiometric/{*}NoiseLevel/{*}NoiseLevelType") == "ABSOLUTE":
        noise = float(np.ravel(load("{*}Radiometric/{*}NoiseLevel/{*}NoisePoly"))[0])
    corners = load("{*}GeoData/{*}ImageCorners")
    return SicdHeader(
        rows=load("{*}ImageData/{*}NumRows"), columns=load("{*}ImageData/{*}NumCols"), pixels=pixels,
        kind=sarkit.sicd.PIXEL_TYPES[pixels]["dtype"].newbyteorder(">"), segments=segments,
        table=None if table is None else np.asarray(table, np.float64),
        first=(load("{*}ImageData/{*}FirstRow") or 0, load("{*}ImageData/{*}FirstCol") or 0),
        centre=tuple(int(v) for v in load("{*}ImageData/{*}SCPPixel")),  # type: ignore[arg-type]
        axes=(_axis(tree, load, "Row"), _axis(tree, load, "Col")), scales=scales, noise=noise,
        polarisation=(tree.findtext("{*}ImageFormation/{*}TxRcvPolarizationProc") or "").replace(":", ""),
        sensor=(tree.findtext("{*}CollectionInfo/{*}CollectorName") or "").strip(),
        corners=() if corners is None else [(float(a), float(b)) for a, b in corners],
    )  # fmt: skip


def _axis(tree: Any, load: Any, name: str) -> GridAxis:
    weights = load(f"{{*}}Grid/{{*}}{name}/{{*}}WgtFunct")
    uniform = (tree.findtext(f"{{*}}Grid/{{*}}{name}/{{*}}WgtType/{{*}}WindowName") or "").upper() == "UNIFORM"
    return GridAxis(
        float(load(f"{{*}}Grid/{{*}}{name}/{{*}}SS")), float(load(f"{{*}}Grid/{{*}}{name}/{{*}}ImpRespBW") or 0),
        tuple(float(w) for w in weights) if weights is not None else (1.0,) if uniform else None,
    )  # fmt: skip
