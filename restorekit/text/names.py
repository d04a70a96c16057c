"""Every name of an operator, a noise law or a solver in text, and what it builds; those of a user's file among them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch

from restorekit.citations import CITATIONS
from restorekit.errors import BadInput
from restorekit.files.kernel_files import kernel_file
from restorekit.files.kernel_grid import kernel_grid_files, read_kernel_grid
from restorekit.files.masks import read_mask
from restorekit.files.overwrite import inside
from restorekit.inference.coloured import Coloured
from restorekit.inference.likelihood import Gamma, Gaussian, Likelihood, Poisson
from restorekit.inference.sensor_noise import PoissonGaussian
from restorekit.inference.solver import Solver
from restorekit.operators import (
    BlockAverage,
    FreeBlur,
    Grey,
    GridBlur,
    Hadamard,
    Identity,
    Inpaint,
    Mosaic,
    Operator,
    PhaseRetrieval,
    Resize,
    Saturate,
    blur,
    decimation,
)  # fmt: skip
from restorekit.operators.base import Shape
from restorekit.solvers import SOLVERS
from restorekit.text import kernels
from restorekit.text.generated_masks import generated_mask
from restorekit.text.grammar import build, own_class, split
from restorekit.text.jpeg_last import NAME as JPEG
from restorekit.text.jpeg_last import before as before_jpeg
from restorekit.text.kernels import kernel

Size = tuple[int, ...] | None  # "64x96"


def _denoise(measured: Shape, image: Shape | None) -> Operator:
    return Identity(image or measured)


def _inpaint(measured: Shape, image: Shape | None, mask: str = "") -> Operator:
    """Mask a picture. mask: a file as large as the measurement, 1 (white) = measured; random:SHARE[:SEED], box:SHARE."""
    if not mask:
        raise BadInput("inpaint: a mask is needed, as in inpaint:mask=mask.png (white = measured) or mask=random:0.2")
    shape = image or measured
    made = generated_mask(mask, shape[1:])
    return Inpaint(shape, torch.from_numpy(read_mask(mask, shape[1:])) if made is None else made)


def _blur(
    measured: Shape,
    image: Shape | None,
    kernel: str,
    boundary: Literal["auto", "reflect", "circular", "free"] = "auto",
) -> Operator:
    """Blur with one kernel, or with the grid of them that a folder holds. boundary: auto is reflect, with a folder free."""
    if os.path.isdir(kernel):
        return _grid_blur(measured, image, kernel, boundary)
    k = named_kernel(kernel)
    boundary = "reflect" if boundary == "auto" else boundary
    shape = FreeBlur.image_shape_for(measured, kernel=k) if boundary == "free" else measured
    return blur(image or shape, k, boundary)


def _grid_blur(measured: Shape, image: Shape | None, folder: str, boundary: str) -> Operator:
    if boundary not in ("auto", "free"):
        raise ValueError(f"boundary={boundary} is for one kernel, and {folder} is a folder of them; leave it out")
    grid = torch.from_numpy(read_kernel_grid(folder))
    h, w = grid.shape[2:]
    size = measured if image is None else (image[0], image[1] - h + 1, image[2] - w + 1)
    if h > size[1] or w > size[2]:
        raise ValueError(f"the kernels of {folder} are {h}x{w}, too large for the picture; crop them")
    return GridBlur.of(size, grid)


def _average(measured: Shape, image: Shape | None, factor: int = 2, size: Size = None) -> Operator:
    """Average blocks. size: HxW of the result, where it is no multiple of the factor."""
    return BlockAverage(image or BlockAverage.image_shape_for(measured, factor=factor, size=size), factor)


def _decimate(
    measured: Shape,
    image: Shape | None,
    factor: int = 2,
    size: Size = None,
    kernel: str = "gaussian:1.2",
    boundary: Literal["reflect", "circular"] = "reflect",
    align: Literal["centre", "corner"] = "centre",
) -> Operator:
    """Keep a pixel of each block of the blurred picture, the middle one or the first."""
    shape = image or BlockAverage.image_shape_for(measured, factor=factor, size=size)
    even = align == "centre" and factor % 2 == 0  # then the middle lies between pixels, where a Gaussian is known too
    return decimation(shape, factor, named_kernel(kernel, even), boundary, align)


def _resize(
    measured: Shape,
    image: Shape | None,
    factor: float | None = None,
    filter: str = "bicubic",
    like: str = "auto",
    size: Size = None,
) -> Operator:
    """Resize as a library does. size: HxW of the result, where it is not the factor times the measurement."""
    if image is None:
        shape = Resize.image_shape_for(measured, factor=factor, size=size, filter=filter, like=like)
        return Resize.of(shape, (measured[1], measured[2]), factor, filter, like)
    if size is not None and size != image[1:]:
        sides, own = ("x".join(map(str, s)) for s in (size, image[1:]))
        raise ValueError(f"size={sides} is that of the picture, which is {own}; leave it out")
    factor = 2.0 if factor is None else factor
    return Resize.of(image, Resize.size_for(image, factor, filter, like), factor, filter, like)


def _grey(measured: Shape, image: Shape | None) -> Operator:
    return Grey(image or Grey.image_shape_for(measured))


def _mosaic(measured: Shape, image: Shape | None, pattern: str = "rggb") -> Operator:
    """Measure one colour at each pixel. pattern: rggb, bggr, grbg, gbrg, xtrans, or 36 letters."""
    return Mosaic.of(image or Mosaic.image_shape_for(measured), pattern)


def _hadamard(
    measured: Shape, image: Shape | None, size: tuple[int, ...] = (), ratio: float = 0.25, seed: int = 0
) -> Operator:
    """Sense compressively. size: HxW of the picture."""
    return Hadamard(image or Hadamard.image_shape_for(measured, size=size), ratio, seed)


def _phase(measured: Shape, image: Shape | None, oversample: float = 2.0) -> Operator:
    return PhaseRetrieval(image or PhaseRetrieval.image_shape_for(measured, oversample=oversample), oversample)


def _saturate(measured: Shape, image: Shape | None, gain: float = 2.0) -> Operator:
    return Saturate(image or measured, gain)


named_kernel = kernel  # in functions that have a setting of that name
OPERATIONS: dict[str, Callable[..., Operator]] = {
    "denoise": _denoise,
    "inpaint": _inpaint,
    "blur": _blur,
    "average": _average,
    "decimate": _decimate,
    "resize": _resize,
    "grey": _grey,
    "mosaic": _mosaic,
    "hadamard": _hadamard,
    "phase": _phase,
    "saturate": _saturate,
}
NO_PICTURE = ("hadamard", "phase")  # what they measure is no picture: values of any size and sign
NOISES: dict[str, type[Likelihood]] = {
    "gaussian": Gaussian,
    "poisson": Poisson,
    "gamma": Gamma,
    "poisson-gaussian": PoissonGaussian,
}
MADE: dict[str, Callable[..., Likelihood]] = {**NOISES, "grain": Coloured.grain}


def operator_of(text: str, *, measured: Shape = (0, 0, 0), image: Shape | None = None) -> Operator:
    """Return the operator of a text, for a picture of shape `image` (C, H, W), or else for a measurement of shape `measured`.

    Raises `BadInput` for an unknown name or setting, and where sizes do not fit.
    """
    if before_jpeg(text) is not None:
        raise BadInput(
            f"operator {text!r}: bins of a JPEG are those of a file, which `restore`, `compare` and `dejpeg` read; to write one, name the "
            "measurement OUT.jpg"
        )
    mine = own_class(text, Operator)
    if mine is not None:
        cls, settings, names = mine
        shape = image if image is not None else cls.image_shape_for(measured)
        return build(cls, *split(settings), names, image_shape=shape)
    name, positional, named = split(text)
    if name not in OPERATIONS:
        raise BadInput(f"unknown operator {name!r}; known: {', '.join(OPERATIONS)}, or file.py:Class")
    return build(OPERATIONS[name], name, positional, named, measured=measured, image=image)


def notes_of(text: str) -> list[str]:
    """Return what a user may not expect of the files that the operator of a text is made from: its kernel."""
    name, positional, named = split(text.removesuffix(f"|{JPEG}"))
    if name not in ("blur", "decimate"):
        return []
    seen = name == "blur"
    at = positional[:1] if seen else []
    return [line for value in (*at, *filter(None, [named.get("kernel")])) for line in kernels.notes(value, seen)]


def kernel_folder(text: str) -> Path | None:
    """Return the folder of kernels that the operator of a text blurs with, None of any other operator."""
    name, positional, named = split(text.removesuffix(f"|{JPEG}"))
    value = named.get("kernel", positional[0] if positional else None) if name == "blur" else None
    return Path(value) if value and os.path.isdir(value) else None


def noise_of(text: str) -> Likelihood:
    """Return the noise law of a text: gaussian:0.02, poisson:30, gamma:4,domain=amplitude, poisson-gaussian:0.01,0.002,
    grain:0.05,1, or file.py:Class of a user.

    Raises `BadInput` for an unknown name or setting, and for a sigma far above white, which is 1.
    """
    mine = own_class(text, Likelihood)
    if mine is not None:
        return build(mine[0], *split(mine[1]), mine[2])
    name, positional, named = split(text)
    if name not in MADE:
        known = ", ".join(MADE)
        raise BadInput(
            f"unknown noise {name!r}; known: {known}, as in gaussian:0.02, poisson:30, gamma:4, poisson-gaussian:0.01,0.002, "
            "or file.py:Class"
        )
    law = build(MADE[name], name, positional, named)
    if isinstance(law, PoissonGaussian) and max(law.gain, law.read) > 2:
        raise BadInput(
            f"{text} is far above white, which is 1; GAIN and READ of 8-bit values are 255 times as large: give "
            f"poisson-gaussian:{law.gain / 255:.3g},{law.read / 255:.3g}"
        )
    if isinstance(law, Gaussian) and float(law.sigma) > 2:
        raise BadInput(
            f"gaussian:{float(law.sigma):g} is far above white, which is 1; for 8-bit values give "
            f"gaussian:{float(law.sigma) / 255:.3g}"
        )
    return law


def references(solvers: Sequence[str] | None = None) -> list[str]:
    """Return the BibTeX of solvers by their names, of all for None, each once. Raises BadInput for an unknown name."""
    if unknown := [name for name in solvers or () if name not in SOLVERS]:
        raise BadInput(f"unknown solver {unknown[0]!r}; known: {', '.join(SOLVERS)}")
    return [CITATIONS[key] for key in dict.fromkeys(SOLVERS[name].reference for name in (solvers or SOLVERS))]


def solver_of(text: str) -> Solver:
    """Return the solver of a text: `diffpir:zeta=0.5`, or the user's own `file.py:Class:setting=1`.

    Raises `BadInput` for an unknown name or setting, and lists the known ones.
    """
    mine = own_class(text, Solver)
    if mine is not None:
        return build(mine[0], *split(mine[1]), mine[2])
    name, positional, named = split(text)
    if name not in SOLVERS:
        raise BadInput(f"unknown solver {name!r}; known: {', '.join(SOLVERS)}, or file.py:Class")
    return build(SOLVERS[name], name, positional, named)


def files_of(*texts: str | None) -> list[Path]:
    """Return the files that texts name and a run opens: masks, kernels, priors, `file.py`, and those in the folder of a prior.

    A value counts as one where a file of that name is there, whatever the setting; none is opened here.
    """
    paths: list[Path] = []
    for text in (text.removesuffix(f"|{JPEG}") for text in texts if text):
        head, _, rest = text.partition(":")
        named = split(rest if head.endswith(".py") else text)
        for value in (text, head, *named[1], *named[2].values()):
            # A folder that happens to have the name of a prior or an operator is none of theirs.
            if any(os.path.isfile(Path(value, name)) for name in ("config.json", "unet/config.json")):
                paths += inside(Path(value))
            elif os.path.isfile(value):
                paths.append(Path(value))
            elif (file := kernel_file(value)) is not None:
                paths.append(file)
        if (folder := kernel_folder(text)) is not None:
            paths += kernel_grid_files(folder).values()
    return list(dict.fromkeys(paths))
