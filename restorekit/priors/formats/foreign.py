"""This module holds what is known about a network that another library trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from restorekit.errors import BadInput
from restorekit.priors.precond import Flow, Prediction, VPTable


@dataclass(frozen=True)
class ForeignSpec:
    """A network that predicts eps, v, x0 or the velocity of a flow, for pictures that were scaled to [-1, 1].

    It normalises over groups of channels and attends over the picture: an output pixel depends on the whole input, so
    windows do not give the numbers of the whole picture.
    """

    name: str
    kind: str  # "diffusers" or "guided-diffusion"
    bands: tuple[int, ...]
    multiple: int  # sides must be multiples of it
    predicts: Prediction
    sigma_min: float  # least and largest level it was trained on, in the unit of pictures on [0, 1]
    sigma_max: float
    steps: str  # its noise, in words
    side: int | None = None  # of the pictures it was trained on, pixels; None: not said
    integer_time: bool = False
    classes: int | None = None
    arch: dict[str, Any] = field(default_factory=dict)


def levels(table: VPTable | Flow) -> tuple[float, float]:
    """Return the least and largest sigma of a process, in the unit of pictures on [0, 1]: half of that on [-1, 1]."""
    return table.sigma_min / 2, table.sigma_max / 2


def check_label(name: str, classes: int | None, label: int | None) -> None:
    """Raise `BadInput` for a network with classes without a class, and the reverse."""
    if classes is None and label is not None:
        raise BadInput(f"prior {name} knows no classes; leave out the label (`label={label}`)")
    if classes is not None and (label is None or not 0 <= label < classes):
        raise BadInput(
            f"prior {name} is trained for {classes} classes: `restorekit sample` takes `label=0`, in Python "
            f"load_prior({name!r}, label=0), a number from 0 to {classes - 1}"
        )
