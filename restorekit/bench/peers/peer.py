"""A method of another library, or of ours, as `restorekit bench peers` calls it: a problem and a denoiser in, samples out.

A peer of one's own is a frozen dataclass on `Peer` with `library` and `sample`; its fields are its settings.
`restorekit bench peers --peer mine.py:Mine` runs it beside the others.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from restorekit.errors import Unsupported
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.operators import LinearOperator

MISSING = "-"  # the version of a library that is not installed


class Peer(ABC):
    """One method at fixed settings. Its library is imported when it is first needed, not before."""

    library: ClassVar[str]  # the distribution, as pip names it
    module: ClassVar[str] = ""  # what is imported; without it, `library`
    licence: ClassVar[str] = "not stated"
    draws: ClassVar[bool] = True  # False: it gives one answer, and no samples
    learned: ClassVar[bool] = True  # False: it has a model of pictures of its own and asks no denoiser

    @classmethod
    def version(cls) -> str:
        """Return the version of the library that is installed, `MISSING` where none is."""
        try:
            return version(cls.library)
        except PackageNotFoundError:
            return MISSING

    @classmethod
    def load(cls) -> Any:
        """Return the library, imported."""
        return importlib.import_module(cls.module or cls.library)

    @classmethod
    def available(cls) -> str | None:
        """Return None where the library can be imported, else the reason in one line, with the way out."""
        try:
            cls.load()
        except Exception as error:  # noqa: BLE001 (whatever a foreign library raises at its import)
            here = torch.__version__.partition("+")[0]  # named, or pip would exchange it for the newest
            own = not cls.__module__.startswith("restorekit.")
            way = f"pip install {cls.library}" if own else f'pip install "torch=={here}" "restorekit[peers]"'
            return f"{cls.library} cannot be imported ({' '.join(str(error).split())[:200]}): {way}"
        return None

    def settings(self, *without: str) -> str:
        """Return every setting in words, so that a row is measured again where one has changed."""
        own = {f.name: getattr(self, f.name) for f in fields(cast(Any, self)) if f.name not in without}
        return ", ".join(f"{k.rstrip('_')} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in own.items())

    def check(self, problem: Problem) -> None:
        """Raise `Unsupported` with the reason where the method does not take this problem."""

    @abstractmethod
    def sample(self, problem: Problem, denoise: Denoiser, count: int, seed: int) -> Tensor:
        """Return (count, C, H, W): draws given the one measurement problem.y (1, ...). The seed decides all of them."""


def white(problem: Problem, who: str) -> tuple[LinearOperator, Tensor, float]:
    """Return (A, y, sigma_y) of y = A x + sigma_y n. Raises `Unsupported` for other laws, masks and operators."""
    law, operator = problem.likelihood, problem.operator
    if not isinstance(law, Gaussian) or torch.as_tensor(law.sigma).numel() != 1 or problem.mask is not None:
        raise Unsupported(f"{who} is given Gaussian noise of one sigma, without a mask")
    if not isinstance(operator, LinearOperator):
        raise Unsupported(f"{who} is given linear operators, {type(operator).__name__} is none")
    return operator, problem.y, float(law.sigma)
