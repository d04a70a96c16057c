"""Dates that are restored together have to lie on one grid, and on each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack

import numpy as np

from restorekit.despeckling.plan import DespecklePlan
from restorekit.despeckling.radar_band import MOST, SIDE, windows
from restorekit.despeckling.shared_blocks import Slot
from restorekit.errors import BadInput
from restorekit.files.bands import Raster
from restorekit.files.scene import Reads, Scene
from restorekit.sar.between_dates import Shift, shift_of
from restorekit.sar.looks import Array, Mask
from restorekit.sar.polarisations import polarisation_of

SAID = 0.1  # pixels of a shift that is said
SURE = 3.0  # standard errors that it must be, so that it is none of chance
LOOKED_AT = 16  # windows in which dates are compared


def same_place(scenes: Sequence[Scene]) -> None:
    """Raise BadInput where files are of another size, number of bands or place on the map than the first."""
    first, *rest = scenes
    for other in rest:
        for what, own, its in (
            ("pixels", f"{first.height} x {first.width}", f"{other.height} x {other.width}"),
            ("bands", str(first.count), str(other.count)),
            ("coordinate system", _crs(first.raster), _crs(other.raster)),
        ):
            if own != its:
                raise _elsewhere(first, other, f"{what}: {its}, and not {own}")
        if (off := _offset(first.raster, other.raster)) is not None:
            raise _elsewhere(first, other, off)


def _elsewhere(first: Scene, other: Scene, what: str) -> BadInput:
    return BadInput(
        f"{other.path.name} lies on another grid than {first.path.name} ({what}); dates are compared pixel by pixel: "
        "resample them to one grid first"
    )


def _crs(raster: Raster | None) -> str:
    crs = None if raster is None else raster.crs or raster.gcps_crs
    return "none" if not crs else str(crs)


def _offset(first: Raster | None, other: Raster | None) -> str | None:
    """Return how the grids of two rasters differ, by more than a hundredth of a pixel, in words; None where they do not."""
    if first is None or other is None or first.transform is None or other.transform is None:
        return None
    to, own = first.transform, other.transform
    size = to.a * to.e - to.b * to.d
    away = []
    for column, row in ((0, 0), (first.width, 0), (0, first.height)):
        x = own.a * column + own.b * row + own.c - to.c
        y = own.d * column + own.e * row + own.f - to.f
        away.append(((to.e * x - to.b * y) / size - column, (to.a * y - to.d * x) / size - row))
    if max(abs(d) for corner in away for d in corner) < 0.01:
        return None
    right, down = (0.0 + round(d, 2) for d in away[0])
    return f"its corner {down:.2f} px down and {right:.2f} px right"


def intensities(made: Sequence[DespecklePlan], slots: Sequence[Slot]) -> list[tuple[Array, Mask]]:
    """Return (intensities, where above 0), each (T, h, w), of windows spread over the scene."""
    scene = made[0].scene
    every = windows(scene.height, scene.width, SIDE, min(MOST, 4))
    parts = []
    with ExitStack() as files:
        opened_by: dict[int, Reads] = {
            n: files.enter_context(_opened(made[n])) for n in {number for number, _ in slots}
        }
        for window in every[:: max(1, len(every) // LOOKED_AT)]:
            read = [made[n].bands[band][0].read(opened_by[n], window) for n, band in slots]
            parts.append((np.stack([y for _, y, _, _ in read]), np.stack([signal for *_, signal in read])))
    return parts


def _opened(one: DespecklePlan) -> AbstractContextManager[Reads]:
    return one.scene.opened()


def check_shifts(
    parts: Sequence[tuple[Array, Mask]], names: Sequence[str], most: float, say: Callable[[str], None]
) -> dict[str, Shift]:
    """Return the shift of each date against the others, of two that of the second. Raises BadInput where one is more than `most`
    pixels; `say` is told of what is less."""
    found: list[tuple[str, Shift]] = []
    for t, name in enumerate(names):
        if len(names) == 2 and t == 0:
            continue
        pairs = []
        for y, there in parts:
            others = np.delete(there, t, 0)
            count = others.sum(0)
            # Levels of dates differ: the mean of logarithms.
            logs = np.where(others, np.log(np.where(others, np.delete(y, t, 0), 1)), 0.0)
            mean = np.exp(logs.sum(0) / np.maximum(count, 1))
            pairs.append((mean, y[t], there[t] & (count > 0)))
        found.append((name, shift_of(pairs)))
    sure = [pair for pair in found if pair[1].distance > SURE * pair[1].error]
    name, worst = max(sure, key=lambda pair: pair[1].distance, default=found[0])
    if sure and worst.distance > most:
        whom = names[0] if len(names) == 2 else "the other dates"
        raise BadInput(
            f"{name} lies {worst} of {whom} (± {worst.error:.2f}); dates have to lie on each other within {most:g} px: "
            "co-register them first"
        )
    for name, shift in sure:
        if shift.distance > SAID:
            say(f"{name}: lies {shift} of the other dates (± {shift.error:.2f}); edges are blurred by that")
    return dict(found)


def check_different(parts: Sequence[tuple[Array, Mask]], names: Sequence[str]) -> None:
    """Raise BadInput where two dates hold the same numbers."""
    for t, name in enumerate(names):
        for s in range(t):
            both = [there[s] & there[t] for _, there in parts]
            if any(b.any() for b in both) and all(
                np.array_equal(y[s][b], y[t][b]) for (y, _), b in zip(parts, both, strict=True)
            ):
                raise BadInput(
                    f"{names[s]} and {name} hold the same numbers: they are one date, or hold no speckle; give each date once"
                )


def check_names(scenes: Sequence[Scene]) -> None:
    """Raise BadInput where bands of the same names stand in another order than in the first file, or are of another polarisation."""
    first = _band_names(scenes[0])
    for other in scenes[1:]:
        names = _band_names(other)
        if names != first and sorted(names) == sorted(first):
            raise BadInput(
                f"the bands of {other.path.name} are {', '.join(names)}, those of {scenes[0].path.name} {', '.join(first)}; bands of one "
                "number are taken together: write them in one order first"
            )
        for number, (own, its) in enumerate(zip(first, names, strict=False), 1):
            known = polarisation_of(own), polarisation_of(its)
            if None not in known and known[0] != known[1]:
                raise BadInput(
                    f"band {number} of {other.path.name} is {its}, and of {scenes[0].path.name} {own}; dates of one polarisation are compared: "
                    "give the same of both, or name the bands after what they hold if the names are wrong"
                )


def _band_names(scene: Scene) -> list[str]:
    if scene.product is not None:
        return [band.name for band in scene.product.bands]
    return [] if scene.raster is None else [str(name or "") for name in scene.raster.descriptions]
