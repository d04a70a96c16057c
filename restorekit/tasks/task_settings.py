"""Tasks have settings, a dataclass with the documentation of each; free of torch, for the command line shows them."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Annotated

from restorekit.errors import BadInput
from restorekit.text.choices import Choice


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """Settings of drawing samples of a prior. `batch=None`: 2^16 pixels of them on a CPU, 2^20 elsewhere."""

    n: Annotated[int, Choice("Samples.", least=1, most=1_000_000)] = 16
    steps: Annotated[int, Choice("Noise levels; heun and sde take two network calls at each.", least=1, most=100_000)] = 50  # fmt: skip
    size: Annotated[tuple[int, int] | None, Choice("Of a sample, pixels; default: what the prior was trained on, or 64x64.", form="HxW")] = None  # fmt: skip
    bands: Annotated[int | None, Choice("Of what the prior takes; default: the most.", least=1)] = None
    seed: int = 0
    label: Annotated[int | None, Choice("Class, for priors with classes.", least=0)] = None
    guidance: Annotated[float | None, Choice("Weight of the class against none (two network calls a step); default: the class alone.", least=0)] = None  # fmt: skip
    eta: Annotated[float | None, Choice("Fresh noise of ddim and ddpm: 0 none, 1 ancestral.")] = None
    relay: Annotated[bool, Choice("Of a cascade: the low stage first, the high one from a small noise on.")] = True
    batch: Annotated[int | None, Choice("Samples at a time; changes memory, not the samples.", least=1)] = None
    device: str = "auto"
    precision: str = "auto"


@dataclass(frozen=True, kw_only=True)
class CalibrationSettings:
    """Settings of a calibration, but for what is calibrated."""

    steps: int | None = None
    samples: Annotated[int, Choice("Draws per picture; factors are for so many, and for 2, 4, 8 ... of them.", least=2)] = 8  # fmt: skip
    dtype: Annotated[str, Choice("Of the measured files: uint8 and uint16 cut off and round, float32 does not.")] = "uint8"  # fmt: skip
    transfer: Annotated[str, Choice("linear, or srgb: measured in light, as 8-bit pictures of `deblur`.")] = "linear"
    pictures: Annotated[int | None, Choice("At most so many for each half.", least=1)] = None
    crop: Annotated[int, Choice("Centre crops of this side.", least=16)] = 64
    power: Annotated[float | None, Choice("Of the local spread: above 1 intervals are wider where samples differ much, and narrower where little; default: 1.15 for operators that blur or reduce by more than 2, else 1.", least=0.5, most=2)] = None  # fmt: skip
    clipped: Annotated[str, Choice("Values at black and white of integers: censored, that or beyond, or measured, as they are.")] = "censored"  # fmt: skip
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"


@dataclass(frozen=True, kw_only=True)
class AdaptationSettings:
    """Settings of an adaptation of a prior to radar scenes."""

    domain: Annotated[str, Choice("What the values are: intensity, amplitude, db, complex; auto takes what the file says.")] = "auto"  # fmt: skip
    looks: Annotated[str, Choice("Looks of the speckle of every scene; auto measures them where a scene is flat.")] = "auto"  # fmt: skip
    grain: Annotated[str | None, Choice("As of `despeckle`: correlation with the next row and column, or the name of a product.", form="RHO_ROW,RHO_COL|NAME")] = None  # fmt: skip
    pairs: Annotated[bool, Choice("Scenes are pairs of dates of a place, one after the other, that lie on each other.")] = False  # fmt: skip
    rounds: Annotated[int, Choice("At most so many; it ends before where two brought nothing.", least=1, most=1000)] = 6
    tiles: Annotated[int, Choice("Tiles that are drawn anew in a round.", least=4)] = 192
    steps: Annotated[int, Choice("Steps of training in a round, 16 patches each.", least=1)] = 300
    rate: Annotated[float, Choice("Learning rate.", least=0)] = 2e-4
    side: Annotated[int, Choice("Of a tile, pixels.", least=32, most=512)] = 64
    judge: Annotated[int, Choice("Of the tiles set apart so many judge, at most.", least=6)] = 64
    seed: int = 0
    device: str = "auto"


def refuse_unknown(names: Iterable[str], known: Collection[str], what: str) -> None:
    """Raise BadInput for a name that is no setting of a task, `what`, with the one that was meant, or those there are."""
    for name in names:
        if name in known:
            continue
        near = difflib.get_close_matches(name, known, 1)
        way = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(known)}"
        if name == "record":
            way = "`denoise`, `inpaint`, `deblur`, `upscale`, `colorize` and `restore` keep their steps"
        raise BadInput(f"`{name}` is no setting of {what}; {way}", argument=name)
