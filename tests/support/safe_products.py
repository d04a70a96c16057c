"""Small SAFE products of Sentinel-1, written after the Product Specification S1-RS-MDA-52-7441.

Calibration and noise annotations are whole and valid by the schemas of the specification; of the product annotation those
records are written that a reader of images needs, with their fields and in their order. Numbers of the processing are those
of a product of interferometric wide mode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio  # noqa: TID253
import rasterio.shutil  # noqa: TID253
from rasterio.control import GroundControlPoint  # noqa: TID253

START = np.datetime64("2021-04-01T05:26:23.794457", "ns")
CALIBRATED = ("sigmaNought", "betaNought", "gamma", "dn")
IW1 = ("IW1", (0.70, 14.1e6, 5, 3500262.0), (0.70, 327.0, 1, 0.0))
IW2 = ("IW2", (0.73, 12.1e6, 5, 3050938.0), (0.75, 313.0, 1, 0.0))
IW3 = ("IW3", (0.75, 10.7e6, 5, 2678569.0), (0.75, 314.0, 1, 0.0))
IW1_SLC = ("IW1", (0.75, 56.5e6, 1, 0.0), (0.70, 327.0, 1, 0.0))
Axis = tuple[float, float, int, float]  # coefficient of the window, bandwidth and overlap of a look (Hz), looks between


@dataclass(frozen=True)
class SafeVector:
    """A record of a table across the track."""

    line: int
    pixels: Sequence[int]
    values: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class SafeBlock:
    """A noiseAzimuthVector; edges: first line, last line, first sample, last sample, all of the block."""

    edges: tuple[int, int, int, int] | None
    lines: Sequence[int]
    values: Sequence[float]
    swath: str = "IW1"


@dataclass(frozen=True)
class SafeBurst:
    """A burst that begins `rows` lines after the first one, and the first and last valid sample of each of its lines."""

    rows: float
    first: Sequence[int]
    last: Sequence[int]


@dataclass
class SafeImage:
    """One image: pixels (H, W), uint16 or complex with whole parts, and what its annotations say."""

    pixels: np.ndarray
    polarisation: str = "VV"
    swath: str = "IW"
    calibration: Sequence[SafeVector] = ()
    noise: Sequence[SafeVector] = ()
    blocks: Sequence[SafeBlock] = ()
    bursts: Sequence[SafeBurst] = ()
    processing: Sequence[tuple[str, Axis, Axis]] = (IW1, IW2, IW3)
    merged: Sequence[tuple[str, int, int]] = ()  # first and last sample of each swath
    interval: float = 1.498376640333055e-03
    old_noise: bool = False  # the layout before IPF 2.90
    noise_removed: bool = False
    lines_said: int | None = None

    @property
    def complex(self) -> bool:
        return np.iscomplexobj(self.pixels)

    def stem(self, number: int) -> str:
        kind = "slc" if self.complex else "grd"
        return f"s1b-{self.swath.lower()}-{kind}-{self.polarisation.lower()}-20210401t052623-20210401t052648-026269-032297-{number:03d}"


def flat_calibration(height: int, width: int, level: float = 500.0) -> list[SafeVector]:
    """One level of A for everything."""
    return [SafeVector(k, (0, width - 1), dict.fromkeys(CALIBRATED, (level, level))) for k in (0, height - 1)]


def _time(seconds: float) -> str:
    return str((START + np.timedelta64(round(seconds * 1e9), "ns")).astype("datetime64[us]"))


def _array(name: str, values: Sequence[float], form: str = "") -> str:
    return f'<{name} count="{len(values)}">{" ".join(format(v, form) for v in values)}</{name}>'


def _header(image: SafeImage, number: int) -> str:
    stop = _time(image.interval * (len(image.pixels) - 1))
    return f"""<adsHeader><missionId>S1B</missionId><productType>{"SLC" if image.complex else "GRD"}</productType>
<polarisation>{image.polarisation}</polarisation><mode>IW</mode><swath>{image.swath}</swath><startTime>{_time(0)}</startTime>
<stopTime>{stop}</stopTime><absoluteOrbitNumber>26269</absoluteOrbitNumber><missionDataTakeId>205463</missionDataTakeId>
<imageNumber>{number:03d}</imageNumber></adsHeader>"""


def calibration_xml(image: SafeImage, number: int = 1) -> str:
    vectors = "".join(
        f"<calibrationVector><azimuthTime>{_time(v.line * image.interval)}</azimuthTime><line>{v.line}</line>"
        f"{_array('pixel', v.pixels)}{''.join(_array(name, v.values[name], '.6e') for name in CALIBRATED)}</calibrationVector>\n"
        for v in image.calibration
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<calibration>{_header(image, number)}
<calibrationInformation><absoluteCalibrationConstant>1.000000e+00</absoluteCalibrationConstant></calibrationInformation>
<calibrationVectorList count="{len(image.calibration)}">
{vectors}</calibrationVectorList></calibration>
"""


def noise_xml(image: SafeImage, number: int = 1) -> str:
    across, lut = ("noise", "noiseLut") if image.old_noise else ("noiseRange", "noiseRangeLut")
    vectors = "".join(
        f"<{across}Vector><azimuthTime>{_time(v.line * image.interval)}</azimuthTime><line>{v.line}</line>"
        f"{_array('pixel', v.pixels)}{_array(lut, v.values['noise'], '.6e')}</{across}Vector>\n"
        for v in image.noise
    )
    found = f'<{across}VectorList count="{len(image.noise)}">\n{vectors}</{across}VectorList>'
    if not image.old_noise:
        names = ("firstAzimuthLine", "firstRangeSample", "lastAzimuthLine", "lastRangeSample")
        blocks = ""
        for b in image.blocks:
            edges = b.edges and (b.edges[0], b.edges[2], b.edges[1], b.edges[3])
            where = f"<swath>{b.swath}</swath>" + "".join(f"<{n}>{e}</{n}>" for n, e in zip(names, edges or ()))
            values = _array("line", b.lines) + _array("noiseAzimuthLut", b.values, ".6e")
            blocks += f"<noiseAzimuthVector>{where if edges else ''}{values}</noiseAzimuthVector>\n"
        found += f'\n<noiseAzimuthVectorList count="{len(image.blocks)}">\n{blocks}</noiseAzimuthVectorList>'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<noise>{_header(image, number)}\n{found}</noise>\n'


def _axis(name: str, axis: Axis) -> str:
    coefficient, bandwidth, looks, overlap = axis
    total = looks * bandwidth - (looks - 1) * overlap
    return f"""<{name}><windowType>Hamming</windowType><windowCoefficient>{coefficient:.6e}</windowCoefficient>
<totalBandwidth>{total:.6e}</totalBandwidth><processingBandwidth>{total:.6e}</processingBandwidth>
<lookBandwidth>{bandwidth:.6e}</lookBandwidth><numberOfLooks>{looks}</numberOfLooks><lookOverlap>{overlap:.6e}</lookOverlap></{name}>"""


def grid(image: SafeImage) -> list[tuple[int, int, float, float, float, float, float]]:
    """Points of the grid of places: line, pixel, seconds, latitude, longitude, height, incidence."""
    height, width = image.pixels.shape
    lines = sorted({0, height // 2, height - 1})
    rows: dict[int, float] = {k: float(k) for k in lines}
    if image.bursts:
        each = height // len(image.bursts)
        rows = {n * each: b.rows for n, b in enumerate(image.bursts)}
        rows[height - 1] = image.bursts[-1].rows + each - 1
    found = []
    for line, row in rows.items():
        for k in (0, width // 2, width - 1):
            share = k / (width - 1)
            found.append(
                (line, k, row * image.interval, 46.0 + 1e-4 * row, 9.0 + 1e-4 * k, 100.0 + k, 30.0 + 16.0 * share)
            )
    return found


def annotation_xml(image: SafeImage, number: int = 1) -> str:
    height, width = image.pixels.shape
    each = height // len(image.bursts) if image.bursts else 0
    rows = image.bursts[-1].rows + each if image.bursts else height
    points = "".join(
        f"""<geolocationGridPoint><azimuthTime>{_time(s)}</azimuthTime><slantRangeTime>{5.35e-3 + 6e-8 * j:.9e}</slantRangeTime><line>{k}</line>
<pixel>{j}</pixel><latitude>{lat:.9e}</latitude><longitude>{lon:.9e}</longitude><height>{h:.6e}</height>
<incidenceAngle>{angle:.9e}</incidenceAngle><elevationAngle>2.7e+01</elevationAngle></geolocationGridPoint>\n"""
        for k, j, s, lat, lon, h, angle in grid(image)
    )
    bursts = "".join(
        f"""<burst><azimuthTime>{_time(b.rows * image.interval)}</azimuthTime><azimuthAnxTime>2.2e+03</azimuthAnxTime>
<sensingTime>{_time(b.rows * image.interval)}</sensingTime><byteOffset>{n * each * width * 4}</byteOffset>
{_array("firstValidSample", b.first)}{_array("lastValidSample", b.last)}</burst>\n"""
        for n, b in enumerate(image.bursts)
    )
    processing = "".join(
        f"<swathProcParams><swath>{name}</swath>{_axis('rangeProcessing', across)}{_axis('azimuthProcessing', along)}"
        "<processorScalingFactor>1.0e+12</processorScalingFactor></swathProcParams>\n"
        for name, across, along in image.processing
    )
    merged = "".join(
        f"""<swathMerge><swath>{name}</swath><swathBoundsList count="1"><swathBounds><azimuthTime>{_time(0)}</azimuthTime>
<firstAzimuthLine>0</firstAzimuthLine><firstRangeSample>{first}</firstRangeSample><lastAzimuthLine>{height - 1}</lastAzimuthLine>
<lastRangeSample>{last}</lastRangeSample></swathBounds></swathBoundsList></swathMerge>\n"""
        for name, first, last in image.merged
    )
    slant = image.complex
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<product>{_header(image, number)}
<generalAnnotation><productInformation><pass>Descending</pass><timelinessCategory>NRT-3h</timelinessCategory>
<platformHeading>-1.656512198343102e+02</platformHeading><projection>{"Slant" if slant else "Ground"} Range</projection>
<rangeSamplingRate>6.434523812571428e+07</rangeSamplingRate><radarFrequency>5.405000454334350e+09</radarFrequency>
<azimuthSteeringRate>1.590368784000000e+00</azimuthSteeringRate></productInformation></generalAnnotation>
<imageAnnotation><imageInformation><productFirstLineUtcTime>{_time(0)}</productFirstLineUtcTime>
<productLastLineUtcTime>{_time(image.interval * (rows - 1))}</productLastLineUtcTime>
<ascendingNodeTime>2021-04-01T04:49:55.637823</ascendingNodeTime><anchorTime>{_time(0)}</anchorTime>
<slantRangeTime>5.343315555380221e-03</slantRangeTime><pixelValue>{"Complex" if slant else "Detected"}</pixelValue>
<outputPixels>16 bit {"Signed" if slant else "Unsigned"} Integer</outputPixels>
<rangePixelSpacing>{"2.329562e+00" if slant else "1.000000e+01"}</rangePixelSpacing><azimuthPixelSpacing>1.000000e+01</azimuthPixelSpacing>
<azimuthTimeInterval>{image.interval!r}</azimuthTimeInterval><azimuthFrequency>4.864863102995529e+02</azimuthFrequency>
<numberOfSamples>{width}</numberOfSamples><numberOfLines>{image.lines_said or height}</numberOfLines>
<zeroDopMinusAcqTime>1.505690820000000e+02</zeroDopMinusAcqTime><incidenceAngleMidSwath>3.8e+01</incidenceAngleMidSwath>
</imageInformation>
<processingInformation><detectionPerformed>{str(not slant).lower()}</detectionPerformed>
<thermalNoiseCorrectionPerformed>{str(image.noise_removed).lower()}</thermalNoiseCorrectionPerformed>
<swathProcParamsList count="{len(image.processing)}">
{processing}</swathProcParamsList></processingInformation></imageAnnotation>
<swathTiming><linesPerBurst>{each}</linesPerBurst><samplesPerBurst>{width if each else 0}</samplesPerBurst>
<burstList count="{len(image.bursts)}">{bursts}</burstList></swathTiming>
<geolocationGrid><geolocationGridPointList count="{len(grid(image))}">
{points}</geolocationGridPointList></geolocationGrid>
<swathMerging><swathMergeList count="{len(image.merged)}">{merged}</swathMergeList></swathMerging></product>
"""


def _manifest(images: Sequence[SafeImage], files: list[tuple[str, str, str]], version: str) -> str:
    """files: repID, address and stem of each."""
    identified = [(rep, href, stem, f"{rep}{stem}".replace("-", "")) for rep, href, stem in files]
    objects = "".join(
        f"""<dataObject ID="{name}" repID="{rep}"><byteStream mimeType="application/octet-stream" size="1">
<fileLocation locatorType="URL" href="./{href}"/></byteStream></dataObject>\n"""
        for rep, href, _, name in identified
    )
    annotations = "".join(
        f"""<metadataObject ID="{name}Annotation" classification="DESCRIPTION" category="DMD">
<dataObjectPointer dataObjectID="{name}"/></metadataObject>\n"""
        for rep, _, _, name in identified
        if "Measurement" not in rep
    )
    units = ""
    for rep, _, stem, name in identified:
        about = " ".join(f"{n}Annotation" for r, _, s, n in identified if s == stem and "Measurement" not in r)
        kind = f'Measurement Data Unit" dmdID="{about}' if "Measurement" in rep else "Metadata Unit"
        units += f'<xfdu:contentUnit unitType="{kind}" repID="{rep}"><dataObjectPointer dataObjectID="{name}"/></xfdu:contentUnit>\n'
    polarisations = "".join(
        f"<s1sarl1:transmitterReceiverPolarisation>{p}</s1sarl1:transmitterReceiverPolarisation>"
        for p in sorted({i.polarisation for i in images})
    )
    swaths = "".join(f"<s1sarl1:swath>{s}</s1sarl1:swath>" for s in sorted({i.swath for i in images}))
    kind = "SLC" if images[0].complex else "GRD"

    def wrapped(name: str, text: str) -> str:
        return f"""<metadataObject ID="{name}" classification="DESCRIPTION" category="DMD"><metadataWrap mimeType="text/xml"
vocabularyName="SAFE" textInfo="{name}"><xmlData>{text}</xmlData></metadataWrap></metadataObject>\n"""

    space = "http://www.esa.int/safe/sentinel-1.0"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<xfdu:XFDU xmlns:gml="http://www.opengis.net/gml" xmlns:xfdu="urn:ccsds:schema:xfdu:1" xmlns:safe="{space}"
xmlns:s1="{space}/sentinel-1" xmlns:s1sarl1="{space}/sentinel-1/sar/level-1"
version="esa/safe/sentinel-1.0/sentinel-1/sar/level-1/{kind.lower()}/standard/iwdp">
<informationPackageMap><xfdu:contentUnit unitType="SAFE Archive Information Package"
textInfo="Sentinel-1 IW Level-1 {kind} Product" dmdID="acquisitionPeriod platform generalProductInformation" pdiID="processing">
{units}</xfdu:contentUnit></informationPackageMap>
<metadataSection>{annotations}
{wrapped("processing", f'<safe:processing name="{kind} Post Processing" start="2021-04-01T06:46:21" stop="2021-04-01T07:03:17"><safe:facility country="France" name="Core Ground Segment" organisation="ESA" site="Toulouse"><safe:software name="Sentinel-1 IPF" version="{version}"/></safe:facility></safe:processing>')}
{wrapped("platform", f"<safe:platform><safe:nssdcIdentifier>2016-025A</safe:nssdcIdentifier><safe:familyName>SENTINEL-1</safe:familyName><safe:number>B</safe:number><safe:instrument><safe:familyName abbreviation='SAR'>Synthetic Aperture Radar</safe:familyName><safe:extension><s1sarl1:instrumentMode><s1sarl1:mode>IW</s1sarl1:mode>{swaths}</s1sarl1:instrumentMode></safe:extension></safe:instrument></safe:platform>")}
{wrapped("measurementOrbitReference", "<safe:orbitReference><safe:orbitNumber type='start'>26269</safe:orbitNumber><safe:orbitNumber type='stop'>26269</safe:orbitNumber><safe:relativeOrbitNumber type='start'>168</safe:relativeOrbitNumber><safe:relativeOrbitNumber type='stop'>168</safe:relativeOrbitNumber><safe:extension><s1:orbitProperties><s1:pass>DESCENDING</s1:pass><s1:ascendingNodeTime>2021-04-01T04:49:55.637823</s1:ascendingNodeTime></s1:orbitProperties></safe:extension></safe:orbitReference>")}
{wrapped("generalProductInformation", f"<s1sarl1:standAloneProductInformation><s1sarl1:missionDataTakeID>205463</s1sarl1:missionDataTakeID>{polarisations}<s1sarl1:productClass>S</s1sarl1:productClass><s1sarl1:productType>{kind}</s1sarl1:productType><s1sarl1:productTimelinessCategory>NRT-3h</s1sarl1:productTimelinessCategory></s1sarl1:standAloneProductInformation>")}
{wrapped("acquisitionPeriod", "<safe:acquisitionPeriod><safe:startTime>2021-04-01T05:26:23.794457</safe:startTime><safe:stopTime>2021-04-01T05:26:48.793373</safe:stopTime></safe:acquisitionPeriod>")}
{wrapped("measurementFrameSet", '<safe:frameSet><safe:frame><safe:footPrint srsName="http://www.opengis.net/gml/srs/epsg.xml#4326"><gml:coordinates>45.6,12.0 46.0,8.7 47.5,9.0 47.1,12.4</gml:coordinates></safe:footPrint></safe:frame></safe:frameSet>')}
</metadataSection>
<dataObjectSection>
{objects}</dataObjectSection></xfdu:XFDU>
"""


def _write_tiff(path: Path, image: SafeImage, cog: bool) -> None:
    height, width = image.pixels.shape
    points = [GroundControlPoint(k, j, lon, lat, h) for k, j, _, lat, lon, h, _ in grid(image)]
    profile: dict[str, Any] = {"width": width, "height": height, "count": 1, "driver": "GTiff", "gcps": points}
    profile |= {"crs": "EPSG:4326", "dtype": "complex_int16" if image.complex else "uint16"}
    plain = path.with_name("plain.tif") if cog else path
    with rasterio.open(plain, "w", **profile) as d:
        d.write(image.pixels.astype(np.complex64 if image.complex else np.uint16), 1)
    if cog:
        rasterio.shutil.copy(plain, path, driver="COG", blocksize=128, overview_resampling="nearest")
        plain.unlink()


def write_safe(folder: Path, images: Sequence[SafeImage], version: str = "003.40", *, cog: bool = False) -> Path:
    """Write a product, and return its folder."""
    kind = "SLC_" if images[0].complex else "GRDH"
    root = folder / f"S1B_IW_{kind}_1SDV_20210401T052623_20210401T052648_026269_032297_ECC8{'_COG' if cog else ''}.SAFE"
    for room in ("measurement", "annotation/calibration"):
        (root / room).mkdir(parents=True)
    files: list[tuple[str, str, str]] = []
    for number, image in enumerate(images, 1):
        stem = image.stem(number) + ("-cog" if cog else "")
        texts = {
            "s1Level1ProductSchema": (f"annotation/{stem}.xml", annotation_xml(image, number)),
            "s1Level1NoiseSchema": (f"annotation/calibration/noise-{stem}.xml", noise_xml(image, number)),
            "s1Level1CalibrationSchema": (
                f"annotation/calibration/calibration-{stem}.xml",
                calibration_xml(image, number),
            ),
        }
        for rep, (href, text) in texts.items():
            (root / href).write_text(text, encoding="utf-8")
            files.append((rep, href, stem))
        files.append(("s1Level1MeasurementSchema", f"measurement/{stem}.tiff", stem))
        _write_tiff(root / files[-1][1], image, cog)
    (root / "manifest.safe").write_text(_manifest(images, files, version), encoding="utf-8")
    return root
