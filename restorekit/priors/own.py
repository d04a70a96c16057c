"""A user's own prior lies in a Python file, `file.py:Name`, which is run as code."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch

from restorekit.errors import BadInput
from restorekit.files.own_file import run_own_file
from restorekit.inference.denoiser import Denoiser
from restorekit.priors.formats.foreign import ForeignSpec
from restorekit.priors.prior import Prior
from restorekit.priors.wrappers import Tiled


def own_file(text: str) -> Path | None:
    """Return the file of "file.py:Name"; None where the text names no Python file."""
    file = text.partition(":")[0]
    return Path(file) if file.endswith(".py") else None


def own_prior(text: str, device: torch.device, tile: int | None = None) -> Prior:
    """Run the file of "file.py:Name" and return `Name` as a prior: a callable denoise(x, sigma), or a class of which one is made.

    x is (B, C, H, W) in pictures on [0, 1], sigma a float or a (B,) tensor in that unit. A class attribute `bands`, (1, 3)
    by default, says which C it takes. It sees the whole picture, or with `tile` windows of that side, which overlap by a
    quarter. Raises `BadInput` where the file or a callable of that name is missing, and where making one fails.
    """
    file, _, name = text.partition(":")
    name, _, settings = name.partition(":")
    if settings:
        raise BadInput(
            f"{text}: a prior of your own takes no settings; give its fields defaults, or write a second class"
        )
    names = run_own_file(file, "MyPrior")
    if name not in names:
        told = f"has no {name!r}" if name else "may hold several"
        own = [k for k, v in names.items() if getattr(v, "__module__", None) == "<run_path>" and not k.startswith("_")]
        listing = f"it holds {', '.join(own)}" if own else "it defines no class and no function"
        raise BadInput(f"{file} {told}; give a name in it, as in {file}:{own[0] if own else 'MyPrior'} ({listing})")
    prior = names[name]
    if isinstance(prior, type):
        try:
            prior = prior()
        except TypeError as error:
            raise BadInput(f"{text}: {error}; give its fields defaults") from None
    if not callable(prior):
        raise BadInput(f"{text} is a {type(prior).__name__}; a prior is callable as denoise(x, sigma)")
    if callable(move := getattr(prior, "to", None)):
        prior = move(device)
    bands = tuple(int(n) for n in getattr(prior, "bands", (1, 3)))
    spec = ForeignSpec(
        name=name, kind="file.py", bands=bands, multiple=1, predicts="x0", sigma_min=0.002, sigma_max=100.0,
        steps="any level",
    )  # fmt: skip
    denoise = cast(Denoiser, prior)
    if tile is not None:
        denoise = Tiled(denoise, tile, tile // 4, blend=1)
    return Prior(spec, denoise, Path(file), "fp32", tile)
