"""The file `.msk` that GDAL puts beside a raster, with a mask of all its bands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.files.atomic import atomic
from restorekit.files.formats import FORMATS
from restorekit.files.overwrite import refuse_foreign

_METADATA = 42112
_OF_ALL_BANDS = 2  # GMF_PER_DATASET


def mask_file(path: Path, info: dict[str, Any]) -> Path | None:
    """Return the path of the `.msk` file that a picture with this `info` gets; None where it has no mask, or keeps it
    inside.
    """
    tiff = FORMATS.get(path.suffix.lower()) == "TIFF"
    return path.with_name(path.name + ".msk") if tiff and info.get("mask_beside") and "mask" in info else None


def written_beside(path: Path, info: dict[str, Any]) -> list[Path]:
    """Return the files that are written beside a picture with this `info`."""
    return [file] if (file := mask_file(path, info)) is not None else []


def write_mask_file(path: Path, mask: NDArray[np.bool_], bands: int) -> None:
    """Write a mask (H, W), True where there is data, of a raster of so many bands. Raises BadInput in place of a foreign one."""
    import tifffile

    refuse_foreign([path])
    items = "".join(f'<Item name="INTERNAL_MASK_FLAGS_{i}">{_OF_ALL_BANDS}</Item>' for i in range(1, bands + 1))
    text = f"<GDALMetadata>{items}</GDALMetadata>"
    with atomic(path) as handle:
        tifffile.imwrite(
            handle, mask.astype(np.uint8) * np.uint8(255), photometric="minisblack", compression="zlib", metadata=None,
            software=False, extratags=[(_METADATA, 2, len(text) + 1, text, True)],
        )  # fmt: skip


def said_of_earlier(path: Path, written: Path | None) -> list[str]:
    """Return a note for each file that an earlier picture left beside `path`, which programs would read with the new
    one.

    written: the file that belongs to the new picture, and is left out; None where there is none.
    """
    does = {".msk": "masks", ".ovr": "shows", ".aux.xml": "describes"}
    there = [(beside, verb) for end, verb in does.items() if os.path.exists(beside := f"{path}{end}")]
    return [
        f"{beside}: of an earlier file; it {verb} this one too, so move it away"
        for beside, verb in there
        if written is None or beside != str(written)
    ]
