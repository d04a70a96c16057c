"""Small SICDs, written by sarkit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

URN = "urn:SICD:1.4.0"
CORNERS = (
    (10.0, 20.0),
    (10.0, 20.1),
    (9.9, 20.1),
    (9.9, 20.0),
)  # latitude, longitude: first row, then last row backwards


def numbers(z: NDArray[Any], pixels: str) -> NDArray[Any]:
    """Return complex numbers in a pixel type; of bytes the amplitude is at most 255."""
    if pixels == "RE32F_IM32F":
        return z.astype(np.complex64)
    if pixels == "RE16I_IM16I":
        out = np.zeros(z.shape, [("real", "<i2"), ("imag", "<i2")])
        out["real"], out["imag"] = np.rint(np.real(z)), np.rint(np.imag(z))
        return out
    out = np.zeros(z.shape, [("amp", "u1"), ("phase", "u1")])
    out["amp"] = np.rint(np.abs(z)).clip(0, 255)
    out["phase"] = np.rint(np.angle(z) / (2 * np.pi) * 256).astype(int) % 256
    return out


def sicd_xml(
    shape: tuple[int, int], pixels: str, *, table: NDArray[Any] | None = None, scale: NDArray[Any] | None = None,
    weights: tuple[float, ...] | None = None, first: tuple[int, int] = (0, 0), noise: float | None = None,
) -> str:  # fmt: skip
    rows, columns = shape
    amplitudes = "" if table is None else listed("AmpTable", "Amplitude", table, 0)
    window = "" if weights is None else listed("WgtFunct", "Wgt", weights, 1)
    axis = "".join(
        f"<{name}><UVectECF><X>1</X><Y>0</Y><Z>0</Z></UVectECF><SS>{spacing}</SS><ImpRespWid>1.0</ImpRespWid><Sgn>-1</Sgn>"
        f"<ImpRespBW>0.8</ImpRespBW><KCtr>60.0</KCtr><DeltaK1>-0.4</DeltaK1><DeltaK2>0.4</DeltaK2>{window}</{name}>"
        for name, spacing in (("Row", 1.0), ("Col", 0.625))
    )
    radiometric = ""
    if scale is not None or noise is not None:
        level = "" if noise is None else polynomial("NoisePoly", np.array([[noise]]))
        level = level and f"<NoiseLevel><NoiseLevelType>ABSOLUTE</NoiseLevelType>{level}</NoiseLevel>"
        factor = "" if scale is None else polynomial("SigmaZeroSFPoly", scale)
        radiometric = f"<Radiometric>{level}{factor}</Radiometric>"
    corners = "".join(
        f'<ICP index="{i}:{name}"><Lat>{lat}</Lat><Lon>{lon}</Lon></ICP>'
        for i, (name, (lat, lon)) in enumerate(zip(("FRFC", "FRLC", "LRLC", "LRFC"), CORNERS), 1)
    )
    return (
        f'<SICD xmlns="{URN}"><CollectionInfo><CollectorName>Example-1</CollectorName><CoreName>x</CoreName><CollectType>MONOSTATIC</CollectType>'
        "<RadarMode><ModeType>SPOTLIGHT</ModeType></RadarMode><Classification>UNCLASSIFIED</Classification></CollectionInfo>"
        f"<ImageData><PixelType>{pixels}</PixelType>{amplitudes}<NumRows>{rows}</NumRows><NumCols>{columns}</NumCols><FirstRow>{first[0]}</FirstRow>"
        f"<FirstCol>{first[1]}</FirstCol><FullImage><NumRows>{rows}</NumRows><NumCols>{columns}</NumCols></FullImage>"
        f"<SCPPixel><Row>{rows // 2}</Row><Col>{columns // 2}</Col></SCPPixel></ImageData>"
        "<GeoData><EarthModel>WGS_84</EarthModel><SCP><ECF><X>6000000</X><Y>2000000</Y><Z>1000000</Z></ECF><LLH><Lat>9.95</Lat><Lon>20.05</Lon><HAE>0</HAE></LLH></SCP>"
        f"<ImageCorners>{corners}</ImageCorners></GeoData>"
        f'<Grid><ImagePlane>SLANT</ImagePlane><Type>RGAZIM</Type><TimeCOAPoly order1="0" order2="0"><Coef exponent1="0" exponent2="0">0</Coef></TimeCOAPoly>{axis}</Grid>'
        "<Timeline><CollectStart>2026-01-02T03:04:05.0Z</CollectStart><CollectDuration>1.0</CollectDuration></Timeline>"
        f"<ImageFormation><TxRcvPolarizationProc>V:V</TxRcvPolarizationProc></ImageFormation>{radiometric}</SICD>"
    )


def listed(name: str, entry: str, values: Any, start: int) -> str:
    entries = "".join(f'<{entry} index="{i}">{v}</{entry}>' for i, v in enumerate(values, start))
    return f'<{name} size="{len(values)}">{entries}</{name}>'


def polynomial(name: str, c: NDArray[Any]) -> str:
    coefficients = "".join(
        f'<Coef exponent1="{i}" exponent2="{j}">{c[i, j]}</Coef>' for i in range(c.shape[0]) for j in range(c.shape[1])
    )
    return f'<{name} order1="{c.shape[0] - 1}" order2="{c.shape[1] - 1}">{coefficients}</{name}>'


def write_sicd(path: Path, z: NDArray[Any], pixels: str = "RE32F_IM32F", **more: Any) -> Path:
    """Write complex numbers (H, W) as a SICD."""
    import lxml.etree
    import sarkit.sicd

    tree = lxml.etree.ElementTree(lxml.etree.fromstring(sicd_xml(z.shape, pixels, **more)))  # type: ignore[arg-type]
    secret: Any = {"security": {"clas": "U"}}
    metadata = sarkit.sicd.NitfMetadata(
        xmltree=tree, file_header_part={"ostaid": "nowhere", "ftitle": "an example"} | secret,
        im_subheader_part={"isorce": "this sensor"} | secret, de_subheader_part=secret,
    )  # fmt: skip
    with open(path, "wb") as handle, sarkit.sicd.NitfWriter(handle, metadata) as writer:
        writer.write_image(numbers(z, pixels))
    return path
