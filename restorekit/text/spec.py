"""Settings from text: "blur:kernel=motion:15:30,boundary=circular" -> a frozen dataclass; unknown names are refused."""

from __future__ import annotations

import math
import os
import runpy
import sys
import types
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.files.kernel_files import kernel_file
from restorekit.files.masks import read_mask
from restorekit.files.overwrite import inside
from restorekit.inference.likelihood import Gamma, Gaussian, Likelihood, Poisson
from restorekit.operators import (
    BlockAverage,
    FreeBlur,
    Grey,
    Hadamard,
    Identity,
    Inpaint,
    Operator,
    PhaseRetrieval,
    Saturate,
    blur,
    decimation,
)  # fmt: skip
from restorekit.text import kernels
from restorekit.text.kernels import kernel

T = TypeVar("T")
Shape = tuple[int, int, int]


def split(text: str) -> tuple[str, list[str], dict[str, str]]:
    """ "name:a,b=c" -> ("name", ["a"], {"b": "c"}); values may hold colons."""
    name, _, rest = text.partition(":")
    positional, named = [], {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if equals:
            named[key.strip()] = value.strip()
        else:
            positional.append(part.strip())
    return name.strip(), positional, named


def files(*texts: str | None) -> list[Path]:
    """The files that specs name and a run opens: masks, kernels, priors, `file.py`, and those in the folder of a prior.

    A value counts as one where a file of that name is there, whatever the setting; none is opened here.
    """
    found: list[Path] = []
    for text in filter(None, texts):
        head, _, rest = text.partition(":")
        named = split(rest if head.endswith(".py") else text)
        for value in (text, head, *named[1], *named[2].values()):
            # A folder that happens to have the name of a prior or an operator is none of theirs.
            if any(os.path.isfile(Path(value, name)) for name in ("config.json", "unet/config.json")):
                found += inside(Path(value))
            elif os.path.isfile(value):
                found.append(Path(value))
            elif (file := kernel_file(value)) is not None:
                found.append(file)
    return list(dict.fromkeys(found))


def convert(value: str, kind: Any, where: str) -> Any:
    """A string as the type of a dataclass field."""
    options = get_args(kind)
    if get_origin(kind) in (Union, types.UnionType):
        if value.lower() == "none" and type(None) in options:
            return None
        kind = next(k for k in options if k not in (type(None), Tensor))
        options = get_args(kind)
    if get_origin(kind) is Literal:
        if value not in options:
            raise BadInput(f"{where}={value!r} is unknown; it is {' or '.join(map(str, options))}")
        return value
    if get_origin(kind) is tuple:
        inner = options[0]
        return tuple(convert(v, inner, where) for v in value.replace("x", "/").split("/"))
    try:
        made = {"true": True, "false": False}[value.lower()] if kind is bool else kind(value)
        if isinstance(made, float) and not math.isfinite(made):
            raise ValueError
        return made
    except (ValueError, KeyError):
        raise BadInput(f"{where}={value!r} is not a {getattr(kind, '__name__', kind)}") from None


def build(
    cls: type[T],
    name: str,
    positional: list[str],
    named: dict[str, str],
    names_of: dict[str, Any] | None = None,
    **given: Any,
) -> T:
    """An instance of a dataclass from text; `given` fields are already values. Errors list the known fields."""
    known = [f for f in fields(cls) if f.name not in given]  # type: ignore[arg-type]
    names = [f.name for f in known]
    listing = f"{name} takes {', '.join(names) or 'no settings'}"
    if len(positional) > len(names):
        raise BadInput(f"{name}: too many values ({', '.join(positional)}); {listing}")
    settings = dict(zip(names, positional)) | named
    # `lambda` cannot be a field's name in Python; accept it from people.
    settings = {f"{k}_" if f"{k}_" in names else k: v for k, v in settings.items()}
    for unknown in settings.keys() - set(names):
        raise BadInput(f"{name}: unknown setting {unknown!r}; {listing}")
    missing = [
        f.name for f in known if f.default is MISSING and f.default_factory is MISSING and f.name not in settings
    ]
    if missing:
        raise BadInput(f"{name}: {missing[0]} is needed, as in {name}:{missing[0]}=...; {listing}")
    # A class from a file that `runpy` ran has no module to look its annotations up in; its bases do.
    modules = [vars(sys.modules[base.__module__]) for base in reversed(cls.__mro__) if base.__module__ in sys.modules]
    known_names = {k: v for module in modules for k, v in module.items()} | (names_of or {})
    hints = get_type_hints(cls, globalns=known_names)
    values = {k: convert(v, hints[k], f"{name}: {k}") for k, v in settings.items()}
    try:
        return cls(**given, **values)
    except ValueError as error:
        raise BadInput(f"{name}: {error}") from None


@dataclass(frozen=True)
class DenoiseOp:
    def image(self, y: Shape) -> Shape:
        return y

    def operator(self, image: Shape) -> Operator:
        return Identity(image)


@dataclass(frozen=True)
class InpaintOp(DenoiseOp):
    mask: str = ""  # file as large as the measurement, 1 (white) = measured; random:SHARE[:SEED], box:SHARE

    def operator(self, image: Shape) -> Operator:
        if not self.mask:
            raise BadInput(
                "inpaint: a mask is needed, as in inpaint:mask=mask.png (white = measured) or mask=random:0.2"
            )
        made = generated_mask(self.mask, image[1:])
        return Inpaint(image, torch.from_numpy(read_mask(self.mask, image[1:])) if made is None else made)


def generated_mask(text: str, size: tuple[int, int]) -> Tensor | None:
    """(1, H, W) of `random:SHARE[:SEED]`, that share of the pixels measured, or `box:SHARE`, a hole of that share of each
    side in the middle; None where the text names a file."""
    name, *numbers = text.split(":")
    if name not in ("random", "box") or not numbers:
        return None
    try:
        share, seed = float(numbers[0]), int(numbers[1]) if numbers[1:] else 0
    except ValueError:
        share, seed = -1.0, 0
    if not 0 < share < 1 or seed < 0 or len(numbers) > (2 if name == "random" else 1):
        raise BadInput(
            f"mask={text} is not understood; a share lies between 0 and 1, as in random:0.2, random:0.2:7, box:0.25"
        )
    if name == "random":
        return (torch.rand((1, *size), generator=torch.Generator().manual_seed(seed)) < share).float()
    mask = torch.ones(1, *size)
    (top, height), (left, width) = (((n - round(n * share)) // 2, round(n * share)) for n in size)
    mask[:, top : top + height, left : left + width] = 0
    return mask


@dataclass(frozen=True)
class BlurOp:
    kernel: str
    boundary: Literal["reflect", "circular", "free"] = "reflect"

    def image(self, y: Shape) -> Shape:
        return FreeBlur.of(y, kernel(self.kernel)).image_shape if self.boundary == "free" else y

    def operator(self, image: Shape) -> Operator:
        return blur(image, kernel(self.kernel), self.boundary)


@dataclass(frozen=True)
class AverageOp:
    factor: int = 2
    size: tuple[int, ...] | None = None  # HxW of the result, where it is no multiple of the factor

    def image(self, y: Shape) -> Shape:
        if self.factor < 1:
            raise BadInput(f"factor={self.factor} must be at least 1")
        if self.size is None:
            return (y[0], y[1] * self.factor, y[2] * self.factor)
        if len(self.size) != 2 or tuple(-(-n // self.factor) for n in self.size) != y[1:]:
            raise BadInput(
                f"size={'x'.join(map(str, self.size))} with factor={self.factor} does not give {y[1]}x{y[2]} pixels"
            )
        return (y[0], self.size[0], self.size[1])

    def operator(self, image: Shape) -> Operator:
        return BlockAverage(image, self.factor)


@dataclass(frozen=True)
class DecimateOp(AverageOp):
    kernel: str = "gaussian:1.2"
    boundary: Literal["reflect", "circular"] = "reflect"

    def operator(self, image: Shape) -> Operator:
        return decimation(image, self.factor, kernel(self.kernel), self.boundary)


@dataclass(frozen=True)
class GreyOp:
    def image(self, y: Shape) -> Shape:
        if y[0] != 1:
            raise BadInput(
                f"the measurement of a grey operator has one band, this one has {y[0]}; convert it to grey first"
            )
        return (3, *y[1:])

    def operator(self, image: Shape) -> Operator:
        return Grey(image)


@dataclass(frozen=True)
class HadamardOp:
    size: tuple[int, ...] = ()  # HxW of the picture
    ratio: float = 0.25
    seed: int = 0

    def image(self, y: Shape) -> Shape:
        if len(self.size) != 2:
            raise BadInput("hadamard: the size of the picture is needed, as in hadamard:size=256x256,ratio=0.25")
        return (y[0], self.size[0], self.size[1])

    def operator(self, image: Shape) -> Operator:
        return Hadamard(image, self.ratio, self.seed)


@dataclass(frozen=True)
class PhaseOp(DenoiseOp):
    oversample: float = 2.0

    def image(self, y: Shape) -> Shape:
        return (y[0], round(y[1] / self.oversample), round(y[2] / self.oversample))

    def operator(self, image: Shape) -> Operator:
        return PhaseRetrieval(image, self.oversample)


@dataclass(frozen=True)
class SaturateOp(DenoiseOp):
    gain: float = 2.0

    def operator(self, image: Shape) -> Operator:
        return Saturate(image, self.gain)


OPERATIONS: dict[str, type] = {
    "denoise": DenoiseOp,
    "inpaint": InpaintOp,
    "blur": BlurOp,
    "average": AverageOp,
    "decimate": DecimateOp,
    "grey": GreyOp,
    "hadamard": HadamardOp,
    "phase": PhaseOp,
    "saturate": SaturateOp,
}
NO_PICTURE = ("hadamard", "phase")  # what they measure is no picture: values of any size and sign
NOISES: dict[str, type[Likelihood]] = {"gaussian": Gaussian, "poisson": Poisson, "gamma": Gamma}


def own(text: str, base: type[T]) -> tuple[type[T], str, dict[str, Any]] | None:
    """(class, "Class:settings", names of the file) of "file.py:Class:settings"; None if the text names no Python file."""
    file, _, rest = text.partition(":")
    if not file.endswith(".py"):
        return None
    if not Path(file).is_file():
        raise BadInput(f"{file}: no such file; give an existing Python file, as in mine.py:MyClass")
    name, _, settings = rest.partition(":")
    names = runpy.run_path(file)
    classes = {k: v for k, v in names.items() if isinstance(v, type) and issubclass(v, base)}
    found = {k: v for k, v in classes.items() if v.__module__ == "<run_path>"}
    if name not in found:
        raise BadInput(f"{file} has no {base.__name__} named {name!r}; it has {', '.join(found) or 'none'}")
    return found[name], f"{name}:{settings}", names


def operator(text: str, *, measured: Shape = (0, 0, 0), image: Shape | None = None) -> Operator:
    """The operator of a spec for a picture of shape `image`, or else for a measurement of shape `measured`."""
    mine = own(text, Operator)
    if mine is not None:
        cls, settings, names = mine
        shape = image if image is not None else cls.image_shape_for(measured)
        return build(cls, *split(settings), names, image_shape=shape)
    name, positional, named = split(text)
    if name not in OPERATIONS:
        raise BadInput(f"unknown operator {name!r}; known: {', '.join(OPERATIONS)}, or file.py:Class")
    spec = build(OPERATIONS[name], name, positional, named)
    try:
        return spec.operator(image if image is not None else spec.image(measured))
    except BadInput:
        raise
    except ValueError as error:
        raise BadInput(f"{name}: {error}") from None


def notes(text: str) -> list[str]:
    """What a user may not expect of the files that the operator of a spec is made from: its kernel."""
    name, positional, named = split(text)
    if name not in ("blur", "decimate"):
        return []
    at = [] if name == "decimate" else positional[:1]
    return [line for value in (*at, *filter(None, [named.get("kernel")])) for line in kernels.notes(value)]


def likelihood(text: str) -> Likelihood:
    """The noise law of a spec: gaussian:0.02, poisson:30, gamma:4,domain=amplitude."""
    name, positional, named = split(text)
    if name not in NOISES:
        raise BadInput(f"unknown noise {name!r}; known: {', '.join(NOISES)}, as in gaussian:0.02, poisson:30, gamma:4")
    law = build(NOISES[name], name, positional, named)
    if isinstance(law, Gaussian) and float(law.sigma) > 2:
        raise BadInput(
            f"gaussian:{float(law.sigma):g} is far above white, which is 1; for 8-bit values give "
            f"gaussian:{float(law.sigma) / 255:.3g}"
        )
    return law
