"""A STAC item beside the result says what it is, where and of when, for catalogues (STAC 1.0.0, projection 1.1.0, raster 1.1.0)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import restorekit
from restorekit.errors import BadInput
from restorekit.files.atomic import named_beside
from restorekit.files.bands import Raster, Window
from restorekit.files.footprint import footprint
from restorekit.files.scene import Scene
from restorekit.scenes.outputs import TIFF, Output

COG = "image/tiff; application=geotiff; profile=cloud-optimized"
EXTENSIONS = [
    "https://stac-extensions.github.io/projection/v1.1.0/schema.json",
    "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
]
STAMP = re.compile(r"(?<!\d)(20\d\d)(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(?!\d)")
KEYS = ("start_datetime", "end_datetime", "datetime", "acquisition_start_utc", "acquisition_end_utc", "collect_start")

TITLES = {
    "value": "despeckled",
    "deviation": "standard deviation of the samples",
    "mask": "1 where a point target was kept, 2 where structure was given back",
}
ROLES = {"value": "data", "deviation": "uncertainty", "mask": "metadata"}


def item_path(target: Path) -> Path:
    """Return the path of the item beside a result."""
    return named_beside(target, f"{target.stem}_stac.json")


def times_of(scene: Scene, asked: str) -> list[datetime]:
    """Return when a scene was measured, one time or its start and end: as asked in ISO 8601, or with "auto" by the stamps in its
    name, YYYYMMDDTHHMMSS, or its tags. Raises BadInput where nothing says it, for a catalogue is ordered by it."""
    if asked != "auto":
        found = _time(asked)
        if found is None:
            raise BadInput(f"`stac={asked}` is no time; give it as 2026-01-02T03:04:05Z, or auto", argument="stac")
        return [found]
    name = scene.path.parent.name if scene.path.name == "manifest.safe" else scene.path.name
    stamps = [_time("{}-{}-{}T{}:{}:{}Z".format(*m.groups())) for m in STAMP.finditer(name)]
    tags = (
        {} if scene.raster is None else {k.lower(): v for space in scene.raster.tags.values() for k, v in space.items()}
    )
    found = [t for t in (stamps or [_time(tags[k]) for k in KEYS if k in tags]) if t is not None][:2]
    if not found:
        raise BadInput(
            f"{scene.path.name}: neither its name nor its tags say when it was measured, by which a catalogue is ordered; give it as "
            "`stac=2026-01-02T03:04:05Z`",
            argument="stac",
        )
    return sorted(found)


def check_item(scene: Scene, target: Path, asked: str) -> None:
    """Raise BadInput where no item can be written beside a result."""
    if target.suffix.lower() not in TIFF:
        raise BadInput(
            f"{target}: a STAC item is of a GeoTIFF; give {target.stem}.tif, or leave out `stac`", argument="stac"
        )
    times_of(scene, asked)


def item(scene: Scene, part: Window | None, outputs: Sequence[Output], asked: str) -> dict[str, Any]:
    """Return the item of the files that were written of a scene, or of a part of it."""
    target, raster = (
        outputs[0].target,
        scene.raster if part is None or scene.raster is None else scene.raster.part(part),
    )
    times = times_of(scene, asked)
    first, last = (t.strftime("%Y-%m-%dT%H:%M:%S.%fZ").replace(".000000Z", "Z") for t in (times[0], times[-1]))
    when: dict[str, Any] = (
        {"datetime": first} if first == last else {"datetime": None, "start_datetime": first, "end_datetime": last}
    )
    where = None if raster is None else footprint(raster)
    height, width = (scene.height, scene.width) if part is None else (part.height, part.width)
    found: dict[str, Any] = {
        "type": "Feature", "stac_version": "1.0.0", "stac_extensions": EXTENSIONS, "id": target.stem,
        "geometry": None if where is None else where[0],
        "properties": {**when, "proj:epsg": _epsg(raster), "proj:shape": [height, width], **_transform(raster),
                       "processing:software": {"restorekit": restorekit.__version__}},
        "links": [],
        "assets": {output.layer if output.kind != "value" else "data": _asset(output, scene, raster) for output in outputs},
    }  # fmt: skip
    return found if where is None else found | {"bbox": where[1]}


def _asset(output: Output, scene: Scene, raster: Raster | None) -> dict[str, Any]:
    nodata = output.form.nodata
    bands = list[dict[str, Any]]()
    for number in range(1, scene.count + 1):
        name, unit = (None, None) if raster is None else (raster.descriptions[number - 1], raster.units[number - 1])
        told = {
            "data_type": output.form.dtype,
            "nodata": "nan" if nodata is not None and math.isnan(nodata) else nodata,
            "unit": unit,
            "name": name,
        }
        bands.append({key: value for key, value in told.items() if value is not None})
    title = TITLES[output.kind]
    return {
        "href": f"./{output.target.name}",
        "type": COG,
        "title": title,
        "roles": [ROLES[output.kind]],
        "raster:bands": bands,
    }


def _epsg(raster: Raster | None) -> int | None:
    crs = None if raster is None or raster.transform is None else raster.crs
    return crs.to_epsg() if crs else None


def _transform(raster: Raster | None) -> dict[str, Any]:
    if raster is None or raster.transform is None or not raster.crs:
        return {}
    return {"proj:transform": [float(v) for v in list(raster.transform)[:6]]}


def _time(text: str) -> datetime | None:
    """Return a time in UTC, of text in ISO 8601; None for other text. Without a zone it is UTC."""
    try:
        found = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        return None
    return found.replace(tzinfo=timezone.utc) if found.tzinfo is None else found.astimezone(timezone.utc)
