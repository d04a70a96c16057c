"""Scenes are cut into tiles of white speckle: what a prior is taught with, and what it is judged by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import polygamma

from restorekit.despeckling.plan import plan
from restorekit.despeckling.radar_band import RadarBand
from restorekit.despeckling.settings import Settings
from restorekit.despeckling.survey import BandStatistics
from restorekit.errors import BadInput
from restorekit.files.bands import Window
from restorekit.files.scene import Reads, Scene
from restorekit.sar.between_dates import shift_of
from restorekit.sar.looks import Array
from restorekit.sar.splitting import split as halves_of

APART = 6  # one tile of so many judges
MIDDLE = 448  # side of what dates are compared in, pixels
LARGEST = 0.3  # pixels that dates may lie beside each other
LEAST = 12  # tiles of which a prior can be taught and judged


@dataclass(frozen=True, eq=False)
class SpeckledTile:
    """A tile holds intensities (side, side) over the median of its band, of white speckle of so many looks.

    parts: the squares of real and imaginary part, twice, of single-look complex data: two measurements of half a look
    each. second: the same place at another date, of `other_looks`.
    """

    name: str
    intensity: Array
    looks: float
    parts: tuple[Array, Array] | None = None
    second: Array | None = None
    other_looks: float = 0.0

    def halves(self) -> tuple[Array, Array, float, float]:
        """Return two measurements of the tile that are independent under the speckle, and the looks of each.

        Of two dates each is one. Of complex data they are real and imaginary part (Dalsasso, Denis and Tupin, TGRS 2022,
        "As if by magic", section III). Else they are those of
        `restorekit.sar.splitting`, the same ones whenever they are asked for.
        """
        if self.second is not None:
            return self.intensity, self.second, self.looks, self.other_looks
        if self.parts is not None:
            return *self.parts, 0.5, 0.5
        key = int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:8], "little")
        y, z = halves_of(self.intensity, self.looks, None, np.random.default_rng(key))
        return _positive(y), _positive(z), self.looks / 2, self.looks / 2

    @property
    def united(self) -> tuple[Array, float]:
        """Return the intensity that all of the measurements of the tile say together, and its looks."""
        if self.second is None:
            return self.intensity, self.looks
        looks = self.looks + self.other_looks
        return (self.looks * self.intensity + self.other_looks * self.second) / looks, looks


@dataclass(frozen=True, eq=False)
class OpenScene:
    """A scene that was looked at: one band, and how its speckle becomes white."""

    number: int  # of the scene, from 1
    scene: Scene
    band: RadarBand
    facts: BandStatistics
    side: int  # of a tile, pixels of white speckle

    @property
    def step(self) -> int:
        """Return the pixels of the file for one of a tile."""
        return 2 if self.facts.remedy == "subsample" else 1

    def tiles(self) -> Iterator[SpeckledTile]:
        """Yield the tiles that are measured everywhere and have speckle, in the order of the rows."""
        reach = self.reach
        with self.scene.opened() as source:
            for top in range(0, self.scene.height - reach[0] + 1, reach[0]):
                for left in range(0, self.scene.width - reach[1] + 1, reach[1]):
                    tile = self.tile(source, Window(top, left, *reach))
                    if tile is not None and speckled(tile.intensity, tile.looks):
                        yield tile

    @property
    def reach(self) -> tuple[int, int]:
        """Return the pixels of the file that a tile takes, rows and columns."""
        w = self.facts.whitening
        if w is not None:
            return tuple(int(np.ceil(self.side / axis.share)) for axis in (w.down, w.across))  # type: ignore[return-value]
        return self.side * self.step, self.side * self.step

    def tile(self, source: Reads, window: Window) -> SpeckledTile | None:
        """Return a tile, None where something in its window was not measured."""
        raw, intensity, _, signal = self.band.read(source, window)
        if not signal.all():
            return None
        name, looks = f"{self.number:03d}_b{self.band.number}_{window.top:06d}_{window.left:06d}", self.facts.looks
        at = slice(0, self.side), slice(0, self.side)
        if raw.dtype.kind == "c":
            z = (raw if self.facts.whitening is None else self.facts.whitening.white(raw))[at] / np.sqrt(
                self.facts.median
            )
            power = np.abs(z) ** 2
            one = abs(looks - 1) < 0.5  # of more looks the halves are those of detected data
            parts = (_positive(2 * z.real**2), _positive(2 * z.imag**2)) if one else None
            return SpeckledTile(name, _positive(power), looks, parts)
        return SpeckledTile(name, (intensity[:: self.step, :: self.step])[at] / self.facts.median, looks)


def _positive(y: NDArray[Any]) -> Array:
    return np.maximum(y.astype(np.float64), np.finfo(np.float32).tiny)


def opened_scenes(paths: Sequence[Path], settings: Settings, side: int, say: Callable[[str], None]) -> list[OpenScene]:
    """Look at scenes as `despeckle` does, and return every band that holds speckle.

    Speckle that is correlated is made white: complex data are whitened, of detected data every other pixel is taken.
    Raises BadInput for what `despeckle` refuses, and for scenes that are smaller than a tile.
    """
    found = []
    for number, path in enumerate(paths, 1):
        looked = plan(path, None, settings)
        if any(facts.remedy == "temper" for _, facts in looked.bands.values()):
            looked = plan(path, None, replace(settings, decorrelate="subsample"))
        for text in looked.said:
            say(f"{path.name}: {text}")
        for band, facts in looked.bands.values():
            scene = OpenScene(number, looked.scene, band, facts, side)
            if looked.scene.height < scene.reach[0] or looked.scene.width < scene.reach[1]:
                needs = "x".join(map(str, scene.reach))
                raise BadInput(
                    f"{path}: a tile takes {needs} pixels, more than the scene has; give larger scenes or a smaller `side`"
                )
            found.append(scene)
    return found


def paired(scenes: Sequence[OpenScene]) -> list[SpeckledTile]:
    """Return the tiles of scenes that are pairs, one after the other, of two dates of a place; where the place changed the
    tile is left out.

    Raises BadInput for pairs of different size, and where nothing but change is left.
    """
    found = []
    seconds = {(scene.number - 1, scene.band.number): scene for scene in scenes if scene.number % 2 == 0}
    for first in (scene for scene in scenes if scene.number % 2):
        second = seconds.get((first.number, first.band.number))
        if second is None:
            raise BadInput(
                f"`pairs`: {first.scene.path.name} has no second date with its bands; give two dates of every place, one after the other"
            )
        if (first.scene.height, first.scene.width, first.reach) != (
            second.scene.height,
            second.scene.width,
            second.reach,
        ):
            raise BadInput(
                f"{first.scene.path.name} and {second.scene.path.name} are no pair: sizes or grain differ; resample one to the other"
            )
        _check_pair(first, second)
        others = {_place(tile): tile for tile in second.tiles()}
        for tile in first.tiles():
            other = others.get(_place(tile))
            if other is not None and unchanged(tile.intensity, other.intensity, tile.looks, other.looks):
                found.append(replace(tile, parts=None, second=other.intensity, other_looks=other.looks))
    if not found:
        raise BadInput(
            "`pairs`: no tile is the same at both dates; check that they lie on each other, or leave `pairs` out"
        )
    return found


def _check_pair(first: OpenScene, second: OpenScene) -> None:
    """Raise BadInput for two dates that are one, or that lie beside each other, by what the middle of both holds."""
    height, width = (min(n, MIDDLE) for n in (first.scene.height, first.scene.width))
    window = Window((first.scene.height - height) // 2, (first.scene.width - width) // 2, height, width)
    with first.scene.opened() as one, second.scene.opened() as two:
        _, y, _, there = first.band.read(one, window)
        _, z, _, also = second.band.read(two, window)
    names = f"{first.scene.path.name} and {second.scene.path.name}"
    if np.array_equal(y, z):
        raise BadInput(f"{names} are the same measurement, and no pair; give two dates, or leave `pairs` out")
    shift = shift_of([(y, z, there & also)])
    if shift.distance > max(LARGEST, 3 * shift.error):
        raise BadInput(f"{names} are no pair: the second lies {shift}; resample it to the first")


def _place(tile: SpeckledTile) -> str:
    return tile.name.split("_", 2)[2]


def speckled(y: Array, looks: float, share: float = 0.25) -> bool:
    """Return True where the logarithm of a tile varies by at least a share of trigamma(L), the variance of speckle alone."""
    return float(np.log(y).var()) >= share * float(polygamma(1, looks))


def unchanged(y: Array, z: Array, looks: float, other: float, errors: float = 3.0) -> bool:
    """Return True where two tiles are speckle over the same scene.

    The means of ln y - ln z over windows of 4 pixels vary by (trigamma(L) + trigamma(L')) / 16 under speckle alone; what
    changed adds to that. errors: standard errors that are allowed, for so many windows.
    """
    d = np.log(y) - np.log(z)
    h, w = (n // 4 * 4 for n in d.shape)
    means = d[:h, :w].reshape(h // 4, 4, w // 4, 4).mean((1, 3))
    expected = float(polygamma(1, looks) + polygamma(1, other)) / 16
    return float(means.var()) < expected * (1 + errors * np.sqrt(2 / means.size))


def split(tiles: Sequence[SpeckledTile]) -> tuple[list[SpeckledTile], list[SpeckledTile]]:
    """Return the tiles that teach, and every sixth, which judges. Raises BadInput where there are too few."""
    if len(tiles) < LEAST:
        raise BadInput(
            f"{len(tiles)} tiles are measured everywhere and have speckle, {LEAST} are needed; give more scenes, or a smaller `side`"
        )
    teach = [tile for i, tile in enumerate(tiles) if i % APART]
    return teach, [tile for i, tile in enumerate(tiles) if not i % APART]
