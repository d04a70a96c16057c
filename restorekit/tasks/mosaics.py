"""A mosaic of colour filters is measured: the operator, the noise and the curve that its file speaks of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from restorekit.errors import BadInput
from restorekit.files.curves import CURVES, Curve
from restorekit.files.picture import Picture
from restorekit.files.raw import RAW, Sensor
from restorekit.files.transfer import Response, curve_named
from restorekit.inference.likelihood import Gaussian, Likelihood
from restorekit.noise.level import Noise, NoiseLevel
from restorekit.notes import Notes
from restorekit.operators.base import Shape
from restorekit.operators.mosaic import Mosaic, name_of, sites
from restorekit.text.grammar import split

MOSAIC = "mosaic"  # the name of the operator
AROUND = 5  # pixels of a side, over which the brightness is found that noise is known by


@dataclass(frozen=True, eq=False)
class Developed(Response):
    """The response of a raw file: its values are light, pictures are seen as sRGB, and results are coded by `output`."""

    sensor: Sensor | None = None
    output: Curve = CURVES["srgb"]

    def said(self, name: str) -> Iterator[str]:
        sensor = self.sensor
        assert sensor is not None
        red, _, blue = (v / sensor.balance[1] for v in sensor.balance)
        yield (
            f"raw: {name} is a mosaic {sensor.pattern} of black {min(sensor.black):g} and white {max(sensor.white):g}, red times {red:.3g} and "
            f"blue times {blue:.3g} for grey; the result is {self.output.name}"
        )
        if not sensor.as_shot:
            instead = "none is made" if set(sensor.balance) == {1.0} else "that of daylight is taken"
            yield (
                f"raw: {name} does not tell the white balance as shot, whose numbers must be above 0 (AsShotNeutral of a DNG); {instead}, "
                "so that colours may be off: set it in the file"
            )

    def encoded(self, light: np.ndarray) -> np.ndarray:
        return np.asarray(self.output.encode(light))


def developed(picture: Picture, transfer: str, label: str) -> tuple[Picture, Developed]:
    """Return a raw file as one of values that are coded, and its response. transfer: of the result; auto is sRGB.

    Raises BadInput for an unknown curve, or one of single bands.
    """
    sensor: Sensor = picture.info[RAW]
    output = CURVES["srgb"] if transfer == "auto" else curve_named(transfer)
    if not output.fits(3):
        raise BadInput(f"`transfer={transfer}` is no curve of three bands; give srgb or linear", argument="transfer")
    coded = CURVES["srgb"].encode(picture.pixels).astype(np.float32)
    if min(sensor.black) > 0:  # then the sensor does not stop at black, and 0 is a value as any other
        coded[coded == 0] = np.finfo(np.float32).tiny
    return replace(picture, pixels=coded), Developed(CURVES["srgb"], source=label, sensor=sensor, output=output)


def raw_record(response: Response) -> dict[str, Any]:
    """Return what the record of a run says of a raw file, and of how its result is coded; {} of other files."""
    if not isinstance(response, Developed) or response.sensor is None:
        return {}
    return {"raw": response.sensor.record() | {"result": response.output.name}}


def mosaic_of(text: str, sensor: Sensor, shape: Shape) -> Mosaic:
    """Return the operator of a raw file, whose pattern a text "mosaic:pattern=bggr" may replace. Raises BadInput for an unknown one."""
    _, positional, named = split(text)
    pattern = [*positional, *filter(None, [named.get("pattern")])]
    try:
        return Mosaic.of(Mosaic.image_shape_for(shape), *(pattern or [sensor.pattern]), colours=_tensor(sensor.colours))
    except ValueError as error:
        raise BadInput(f"mosaic: {error}") from None


def _tensor(values: Any) -> Tensor:
    return torch.from_numpy(np.asarray(values)).float()


def pattern_of(operator: Mosaic) -> Tensor:
    """Return (p, p), the colour that each filter of a mosaic passes most of, as the pattern repeats."""
    main = operator.rows.abs().argmax(0).cpu()
    bayer = all(torch.equal(main[a::2, b::2], main[a, b].expand_as(main[a::2, b::2])) for a in (0, 1) for b in (0, 1))
    side = 2 if bayer else 6
    return main[:side, :side]


def mosaic_noise(
    light: np.ndarray, operator: Mosaic, sensor: Sensor | None, name: str, notes: Notes
) -> tuple[Likelihood, Noise | None]:
    """Return the noise of a mosaic (1, H, W) of light, with a deviation for each pixel: by the profile of its file, else measured.

    It is measured in the values of one colour, as neighbours of others differ: of a Bayer pattern in its green, of others
    in the pixels of each place of the pattern by themselves, of which a wide pattern leaves little.
    """
    y = torch.from_numpy(np.ascontiguousarray(light)).float()
    if sensor is not None and sensor.noise is not None:
        profile, found = sensor.noise, None
        said = ", ".join(f"{gain:.3g} and {at_black**0.5:.3g}" for gain, at_black in dict.fromkeys(profile))
        notes(f"noise: by the profile of {name}, gain and deviation at black {said}; give `noise` if you know better")
    else:
        found = NoiseLevel()(*_of_one_colour(light[0], pattern_of(operator)))
        grows = found.sensor is not None and found.grows
        gain, read = (found.sensor.gain, found.sensor.read) if grows and found.sensor else (0.0, found.sigma)
        profile = ((gain, read**2),) * 3
        what = (
            f"gain {gain:.3g} and deviation {read:.3g} at black" if gain else f"{read:.3g}, alike at every brightness"
        )
        how = "assumed, a floor" if found.floor else "measured in its values, as it has no noise profile"
        notes(f"noise: of {name} {what}, {how}; give `noise` if you know better")
    return Gaussian(_deviation(y, pattern_of(operator), profile)), found


def _of_one_colour(light: np.ndarray, tile: Tensor) -> tuple[np.ndarray, np.ndarray | None]:
    """Return values (C, H, W) of a mosaic (H, W) whose neighbours have one colour, and where there are any, None for everywhere.

    Green of a Bayer pattern lies on a grid turned by 45 degrees, with steps shorter than those of a colour's rows by the root of 2.
    """
    p = len(tile)
    if p > 2:
        height, width = (n // p * p for n in light.shape)
        return np.stack([light[a:height:p, b:width:p] for a in range(p) for b in range(p)]), None
    odd = int(tile[0, 0] != 1)  # of the sum of row and column, where green is
    row, column = np.nonzero((np.add.outer(*(np.arange(n) for n in light.shape)) % 2) == odd)
    down, across = (row + column - odd) // 2, (row - column) // 2
    across = across - across.min()
    told = np.zeros((1, down.max() + 1, across.max() + 1), bool)
    turned = np.full(told.shape, light[row, column].mean(), np.float32)
    told[0, down, across], turned[0, down, across] = True, light[row, column]
    return turned, told


def _deviation(y: Tensor, tile: Tensor, profile: tuple[tuple[float, float], ...]) -> Tensor:
    """Return the deviation of the noise at each pixel of a mosaic, like y (1, H, W), by the mean of its colour around it."""
    colours = sites(name_of(tile), *y.shape[1:])
    pad = AROUND // 2
    variance = torch.zeros_like(y)
    for colour, (gain, at_black) in enumerate(profile):
        own = (colours == colour)[None].to(y)
        total, count = (F.avg_pool2d(F.pad(v[None], (pad,) * 4, "replicate"), AROUND, 1)[0] for v in (y * own, own))
        mean = (total / count.clamp(min=1e-6)).clamp(0, 1)
        variance += own * (gain * mean + at_black)
    return variance.clamp(min=1e-10).sqrt()
