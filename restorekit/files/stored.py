"""Values of a picture file are checked as they are stored, and turned as viewers show them: every check that needs no
range."""

from __future__ import annotations

import importlib
import math
import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from restorekit.errors import BadInput
from restorekit.files import decode
from restorekit.files.atomic import check_name
from restorekit.files.formats import check_content, damage, kind_of
from restorekit.files.nodata import hidden, nodata_of
from restorekit.files.orientation import as_shown, turned
from restorekit.files.reading import PLAINLY, Reading
from restorekit.files.session import opened, opened_result

PathLike: TypeAlias = "str | os.PathLike[str]"


def read_values(path: PathLike, reading: Reading = PLAINLY) -> tuple[np.ndarray, dict[str, Any]]:
    """Return values (C, H, W) in the type of the file, NaN and infinity among them, and `info` as in a Picture."""
    raw, _, info = stored_values(Path(path), True, reading)
    return raw, info


def check_source(path: Path, empty: bool = False) -> None:
    """Raise BadInput for a path that is no file, cannot be read or, unless `empty`, holds nothing."""
    check_name(path)
    if os.path.isdir(path):
        raise BadInput(f"{path}: this is a folder; give a file")
    if not os.path.exists(path):
        raise BadInput(f"{path}: no such file; check the path (the working folder is {os.getcwd()})")
    if not os.access(path, os.R_OK):
        raise BadInput(f"{path}: no permission to read it; change its mode or owner")
    if not empty and os.path.getsize(path) == 0:
        raise BadInput(f"{path}: the file is empty (0 bytes); get a fresh copy")


def stored_values(path: Path, holes: bool = False, reading: Reading = PLAINLY) -> decode.Decoded:
    """Return values (C, H, W) in the file's type, turned as viewers show them, alpha (H, W) or None, and `info` as in
    a Picture.

    Raises BadInput for what is missing, of another kind, damaged or complex, and, without `holes`, for NaN and
    infinity.
    """
    check_source(path)
    opened_result(path)
    kind = kind_of(path)
    check_content(path, kind)
    try:
        raw, alpha, info = decode.load(path, kind, reading=reading)
    except BadInput:
        raise
    except Exception as error:
        raise BadInput(f"{path}: no readable {kind}, {damage(error)}; get a fresh copy") from error
    if raw.dtype.kind == "c":
        raise BadInput(f"{path}: complex values; save the magnitude, or real and imaginary part as two bands")
    if raw.dtype.kind not in "biuf" or not raw.size:
        raise BadInput(
            f"{path}: {raw.dtype} of shape {raw.shape} is no picture; give real numbers and at least one pixel"
        )
    mask = path.with_name(path.name + ".msk")
    opened(mask)
    if mask.is_file():
        sidecar = importlib.import_module("restorekit.files.tiff").sidecar
        info = info | sidecar(path, raw.shape[1:], info.get("mask"))
    finite = np.isfinite(raw) | (np.isnan(raw) & math.isnan(nodata_of(info.get("tiff_tags", ())) or 0.0))
    finite |= False if (unseen := hidden(info.get("mask"), alpha)) is None else unseen
    if raw.dtype.kind == "f" and not holes and (bad := int((~finite).any(0).sum())):
        count = raw[0].size
        raise BadInput(
            f"{path}: {bad} of {count} pixels hold NaN or infinity; fill them, or use `inpaint` with a mask that is black there"
        )
    # Bytes in the order of this machine, which libraries further on take for granted.
    native = raw.dtype.newbyteorder("=")
    raw, alpha = raw.astype(native, copy=False), None if alpha is None else alpha.astype(native, copy=False)
    return turned(raw, alpha, info, as_shown) if "orientation" in info else (raw, alpha, info)
