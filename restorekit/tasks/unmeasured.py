"""This module knows what a file says of its pixels beside their values: how they are turned, and which hold no data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files.nodata import filled, nodata_of, parts_of
from restorekit.files.orientation import otherwise_placed
from restorekit.files.picture import Picture
from restorekit.operators import Inpaint, Operator


def placed(picture: Picture, source: object, notes: Callable[[str], None]) -> Picture:
    """Return the picture; notes say what a user may not expect of how `source` was read."""
    if (n := picture.info.get("orientation")) is not None:
        notes(
            f"{source} is taken as viewers show it, turned by its orientation {n} (EXIF); masks, kernels and sizes are "
            "those of what is shown"
        )
    if picture.alpha is not None and not picture.alpha.any():
        notes(f"{source} is transparent everywhere (alpha 0), which is not taken for no data")
    return picture


def left_empty(picture: Picture, wanted: NDArray[np.bool_]) -> Picture:
    """Return a picture read with holes, in which pixels of its value of no data hold none, but for those that are `wanted` (H, W)."""
    stays = None if picture.unvalued is None else picture.unvalued & ~wanted
    value = nodata_of(picture.info.get("tiff_tags", ()))
    if stays is None or value is None or not stays.any():
        return picture
    held = np.full(picture.pixels.shape, value).astype(picture.dtype)
    where, empty = stays, picture.empty
    if empty is not None:
        held[:, empty.where] = empty.held
        where = where | empty.where
    pixels = filled(picture.pixels, stays)
    return replace(picture, pixels=pixels, empty=parts_of(where, held, value))


def without_empty(operator: Operator, picture: Picture, source: object, notes: Callable[[str], None]) -> Operator:
    """Return the operator; one of inpainting measures nothing where the file itself has no data, nor is anything filled there.

    Raises BadInput where nothing else was to be filled.
    """
    empty = picture.empty
    if empty is None or not isinstance(operator, Inpaint):
        return operator
    wanted = operator.mask.numpy() <= 0
    asked = int((wanted.all(0) & empty.where).sum())
    if asked and not (wanted & ~empty.where).any():
        raise BadInput(
            f"{source}: all that is to be filled is no data of the file (masked or transparent), and stays so; write it "
            "without its mask or alpha"
        )
    if asked:
        notes(
            f"{asked} pixels to be filled are no data of {source} (masked or transparent), and stay as they are; write it "
            "without its mask or alpha to have them filled"
        )
    return Inpaint(operator.image_shape, operator.mask * torch.from_numpy(~empty.where))


def refuse_turned(one: Picture, path: object, other: Picture, others: object) -> None:
    """Raise BadInput where two files of the same scene have orientations that do not fit what they show.

    Programs that ignore the orientation write pixels as they were stored, and drop the tag.
    """
    a, b = (picture.info.get("orientation", 1) for picture in (one, other))
    if otherwise_placed(one.pixels, other.pixels, a, b):
        raise BadInput(
            f"{path} has the orientation {a} (EXIF) and {others} {b}, but both hold their pixels in the same order: one was "
            "written by a program that ignores orientation; give both the same tag, or turn one of them"
        )


def turned_size(one: Picture, other: Picture) -> str:
    """Return words for the reason, where two pictures have each other's height and width and an orientation explains it."""
    a, b = (picture.info.get("orientation", 1) for picture in (one, other))
    swapped = one.pixels.shape[-2:] == other.pixels.shape[-2:][::-1] and (a, b) != (1, 1)
    return f" as viewers show them, turned by their EXIF orientations {a} and {b}" if swapped else ""


def behind_mask(pixels: np.ndarray, operator: Inpaint, label: str) -> np.ndarray:
    """Return the values with 0 for NaN behind the mask. Raises `BadInput` for NaN elsewhere."""
    bad = ~np.isfinite(pixels)
    if not bad.any():
        return pixels
    if count := int((bad & (operator.mask.numpy() > 0)).any(0).sum()):
        raise BadInput(f"{label}: {count} pixels that the mask calls measured hold NaN or infinity; mask them too")
    return np.where(bad, np.float32(0), pixels)
