"""Raw files of cameras: one value at each pixel, behind a mosaic of colour filters, with black and white, noise and colours.

LibRaw reads them, by the package rawpy, an extra. What it rounds or leaves out of a DNG is read from its tags: black levels,
the noise profile, the kind of its samples.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files.formats import CONVERTED, content_of, damage
from restorekit.files.picture import Picture
from restorekit.files.quiet import quiet, unheard
from restorekit.files.reading import check_size
from restorekit.files.session import opened
from restorekit.files.stored import check_source
from restorekit.operators.mosaic import name_of, tile_of

Array = NDArray[np.floating[Any]]
RAW = "raw"  # in `info` of a Picture: the `Sensor`
FULL = (0.0, 65535.0)  # what black and white are in the type that a result is written in
_DNG_VERSION, _REPEAT, _BLACK, _DELTA_H, _DELTA_V, _ACTIVE = 50706, 50713, 50714, 50715, 50716, 50829
_NOISE, _CFA, _LINEAR = 51041, 32803, 34892
unheard("tifffile")
_LEAST_READ = 1e-6  # deviation at black, of a profile that says none, or less than that


@dataclass(frozen=True, eq=False)
class Sensor:
    """It holds what a raw file says of the sensor and its colours.

    pattern: of the filters from the top left of the picture as it is shown (`restorekit.operators.mosaic`). colours: (3, 3), what a red, green and blue
    filter pass of linear sRGB, white balance included: grey light of 1 gives 1 at most. black: the levels of the
    four, or more, places of the black pattern, as stored; white: that of each colour. balance: factors that make grey of grey light. noise: (gain, variance at black) of red, green and
    blue, in units of white, as the file says; None where it does not. source: what black and noise were read from.
    """

    pattern: str
    colours: Array
    black: tuple[float, ...]
    white: tuple[float, ...]
    balance: tuple[float, ...]
    as_shot: bool = (
        True  # whether `balance` is what the camera chose, and not a stand-in for what the file does not tell
    )
    noise: tuple[tuple[float, float], ...] | None = None

    def part(self, top: int, left: int) -> Sensor:
        """Return that of a part of the picture from this row and column on."""
        tile = tile_of(self.pattern)
        return replace(self, pattern=name_of(tile.roll((-top, -left), (0, 1))))

    def record(self) -> dict[str, Any]:
        """Return what the record of a result keeps."""
        return {
            "pattern": self.pattern, "black": self.black, "white": self.white, "balance": self.balance,
            "balance_as_shot": self.as_shot,
            "colours": self.colours.round(6).tolist(), "noise_profile": self.noise,
        }  # fmt: skip


def is_raw(path: Path) -> bool:
    """Return True for a file that is a camera's raw file, by its suffix or the tag of a DNG; False where there is none."""
    if path.suffix.lower() in CONVERTED["camera raw"][0]:
        return True
    if not path.is_file() or content_of(path) != "TIFF":
        return False
    with suppress(Exception):  # a damaged TIFF is refused by whoever reads it
        tifffile = importlib.import_module("tifffile")
        with tifffile.TiffFile(path) as tif:
            return _DNG_VERSION in tif.pages.first.tags
    return False


def read_raw(path: Path) -> Picture:
    """Return the values of a raw file, (1, H, W), light with black 0 and white 1, upright, and its `Sensor` as info[RAW].

    Values at white and above are 1; below black they are negative. Raises BadInput where rawpy is missing, and for a file
    that it cannot read, that holds no mosaic, floats, or colours other than red, green and blue.
    """
    check_source(path)
    if importlib.util.find_spec("rawpy") is None:
        raise BadInput(f'{path}: a camera\'s raw file needs rawpy: pip install "restorekit[raw]"')
    opened(path)
    rawpy = importlib.import_module("rawpy")
    tags = _Tags.of(path)
    try:
        with quiet(), rawpy.imread(str(path)) as raw:
            return _picture(path, raw, tags)
    except rawpy.LibRawError as error:
        why = error.args[0] if error.args else error
        why = why.decode(errors="replace") if isinstance(why, bytes) else str(why)
        raise BadInput(
            f"{path}: LibRaw cannot read it, {damage(ValueError(why))}; get a fresh copy, or a DNG of it"
        ) from None


@dataclass(frozen=True)
class _Tags:
    """Tags of a DNG; {} of other files."""

    head: dict[int, Any]
    own: dict[int, Any]  # of the page of the mosaic

    @staticmethod
    def of(path: Path) -> _Tags:
        tifffile = importlib.import_module("tifffile")
        if content_of(path) != "TIFF":
            return _Tags({}, {})
        try:
            with tifffile.TiffFile(path) as tif:
                head = {tag.code: tag.value for tag in tif.pages.first.tags}
                if _DNG_VERSION not in head:
                    return _Tags({}, {})
                whole = [page for page in _pages(tif) if not int(page.subfiletype) & 1]
                page = next((p for p in whole if int(p.photometric) in (_CFA, _LINEAR)), None)
                if page is None or int(page.photometric) == _LINEAR:
                    raise BadInput(
                        f"{path}: a DNG without a mosaic, its colours were demosaiced before; convert it: dcraw_emu -4 -T -o 1 {path.name}"
                    )
                if int(page.sampleformat) == 3:
                    raise BadInput(f"{path}: a DNG of floats, which LibRaw cuts to 14 bits; save it as 16-bit integers")
                return _Tags(head, {tag.code: tag.value for tag in page.tags})
        except BadInput:
            raise
        except Exception as error:
            raise BadInput(f"{path}: no readable DNG, {damage(error)}; get a fresh copy") from error

    def numbers(self, code: int) -> list[float] | None:
        """Return the numbers of a tag, fractions divided; None where there is none."""
        value = self.own.get(code, self.head.get(code))
        if value is None:
            return None
        flat = [float(v) for v in np.ravel(np.asarray(value, np.float64))]
        # tifffile gives fractions as numerator and denominator one after the other; black levels may be integers too.
        return flat


def _pages(tif: Any) -> Iterator[Any]:
    for page in tif.pages:
        yield page
        yield from page.pages or ()


def _picture(path: Path, raw: Any, tags: _Tags) -> Picture:
    letters = raw.color_desc.decode("ascii", "replace").lower()
    sizes, raw_type = raw.sizes, int(raw.raw_type.value if hasattr(raw.raw_type, "value") else raw.raw_type)
    if raw_type != 0 or set(letters) != set("rgb"):
        raise BadInput(
            f"{path}: no mosaic of red, green and blue ({letters or 'no filters'}); develop it by its maker's program"
        )
    values = np.asarray(raw.raw_image_visible)
    index = np.asarray(raw.raw_colors_visible)
    height, width = values.shape
    check_size(path, height, width, 3)
    colour = np.array(["rgb".index(letter) for letter in letters])[index]
    black, levels = _black(raw, tags, index)
    white = _white(raw)
    top = np.asarray(white)[colour]
    light = ((values - black) / (top - black)).clip(None, 1)
    light, colour = (_upright(v, sizes.flip) for v in (light, colour))
    side = len(raw.raw_pattern)
    import torch

    pattern = name_of(torch.from_numpy(np.ascontiguousarray(colour[:side, :side])))
    try:
        tile_of(pattern)
    except ValueError as error:
        raise BadInput(f"{path}: {error}; develop it by its maker's program") from None
    balance, as_shot = _balance(raw)
    sensor = Sensor(pattern, _colours(raw, balance), levels, white, balance, as_shot, _noise(tags))
    return Picture(np.ascontiguousarray(light[None], np.float32), "uint16", FULL, info={RAW: sensor, "layout": "HWC"})


def _upright(v: Array, flip: int) -> Array:
    """Return (H, W) as it is shown: LibRaw mirrors rows for bit 2, columns for bit 1, and then transposes for bit 4."""
    v = v[::-1] if flip & 2 else v
    v = v[:, ::-1] if flip & 1 else v
    return v.T if flip & 4 else v


def _black(raw: Any, tags: _Tags, index: NDArray[Any]) -> tuple[Array, tuple[float, ...]]:
    """Return (the black level of each visible pixel, the levels as stored): of a DNG by its tags, whose fractions and deltas LibRaw
    leaves out."""
    stored = _fractions(tags, _BLACK)
    if stored is None:
        levels = np.asarray(raw.black_level_per_channel, np.float64)
        return levels[index], tuple(levels.tolist())
    rows, columns = (int(v) for v in tags.own.get(_REPEAT, tags.head.get(_REPEAT, (1, 1))))
    tile = np.resize(np.asarray(stored), (rows, columns))
    active = tags.own.get(_ACTIVE, (0, 0))
    at = [int(m) - int(a) for m, a in zip((raw.sizes.top_margin, raw.sizes.left_margin), active[:2])]
    y, x = (np.arange(n) + a for n, a in zip(index.shape, at))
    black = tile[y[:, None] % rows, x % columns]
    for code, places, axis in ((_DELTA_V, y, 1), (_DELTA_H, x, 0)):
        delta = _fractions(tags, code)
        if delta is not None:
            black = black + np.expand_dims(np.asarray(delta)[places.clip(0, len(delta) - 1)], axis)
    return black, tuple(stored)


def _fractions(tags: _Tags, code: int) -> list[float] | None:
    """Return the numbers of a tag that may be integers, or fractions given as pairs."""
    given = tags.numbers(code)
    if given is None:
        return None
    rows, columns = (int(v) for v in tags.own.get(_REPEAT, tags.head.get(_REPEAT, (1, 1))))
    whole = rows * columns if code == _BLACK else None
    pairs = len(given) == 2 * whole if whole is not None else True  # deltas are always fractions
    return [a / b for a, b in zip(given[::2], given[1::2])] if pairs else given


def _white(raw: Any) -> tuple[float, float, float]:
    """Return the level of red, green and blue from which on nothing more is told."""
    common = float(raw.white_level)
    own = raw.camera_white_level_per_channel
    stops = [float(v) for v in own[:3]] if own is not None and min(own[:3]) > common / 2 else [common] * 3
    red, green, blue = (min(v, common) for v in stops)
    return red, green, blue


def _balance(raw: Any) -> tuple[tuple[float, float, float], bool]:
    """Return (the factors that make grey of grey light, the least of them 1, whether they are those as shot): else they are of
    daylight, else all 1."""
    for given, as_shot in ((raw.camera_whitebalance, True), (raw.daylight_whitebalance, False)):
        factors = np.asarray(given[:3], np.float64)
        if np.isfinite(factors).all() and factors.min() > 0:
            red, green, blue = (factors / factors.min()).tolist()
            return (red, green, blue), as_shot
    return (1.0, 1.0, 1.0), False


def _colours(raw: Any, balance: tuple[float, ...]) -> Array:
    """Return what each filter passes of linear sRGB, by the matrix of the camera where the file has one."""
    to_srgb = np.asarray(raw.color_matrix, np.float64)[:, :3]
    known = np.isfinite(to_srgb).all() and abs(np.linalg.det(to_srgb)) > 1e-3
    passes = np.linalg.inv(to_srgb) if known else np.eye(3)
    return passes / passes.sum(1, keepdims=True) / np.asarray(balance)[:, None]


def _noise(tags: _Tags) -> tuple[tuple[float, float], ...] | None:
    """Return (gain, variance at black) of red, green and blue, of the tag NoiseProfile (DNG 1.3); None where there is none.

    One pair is of all colours. A gain that is not above 0 says nothing.
    """
    given = tags.numbers(_NOISE)
    if given is None or len(given) not in (2, 6) or not np.isfinite(given).all() or min(given[::2]) <= 0:
        return None
    pairs = list(zip(given[::2], given[1::2]))
    return tuple((gain, max(at_black, _LEAST_READ**2)) for gain, at_black in (pairs * 3 if len(pairs) == 1 else pairs))
