"""This module decides what follows from the settings and the inputs of a deraining, and refuses some of both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from restorekit.errors import BadInput
from restorekit.files.atomic import check_target
from restorekit.files.overwrite import separate
from restorekit.files.picture import Picture, check_writable
from restorekit.notes import Notes
from restorekit.priors.find import Prior, device_of, load_prior, of_pictures
from restorekit.priors.prior import LatentPrior
from restorekit.rain.refine import PAPER, WEAK, Refinement
from restorekit.rain.residue import PAPER_RESIDUE, WEAK_RESIDUE, Residue, ResidueMask
from restorekit.tasks.derain_inputs import DerainInputs
from restorekit.tasks.saving import beside, record_file
from restorekit.text.names import files_of, solver_of

if TYPE_CHECKING:
    from restorekit.tasks.derain import Deraining


class Page(NamedTuple):
    """A page to write with the result, and the command that stands on it."""

    path: Path
    command: str


@dataclass(frozen=True, eq=False)
class DerainRun:
    """One deraining: settings and inputs, what follows from both, and the files of the result."""

    settings: Deraining
    inputs: DerainInputs
    notes: Notes
    page: Page | None = None

    # --- what is refused ---

    def check_settings(self) -> None:
        """Raise BadInput for settings of which one makes the other do nothing."""
        inputs = self.inputs
        if inputs.mask is not None and inputs.rain is not None:
            raise BadInput("`mask` says where to repair, so `rain` says nothing more; give one of them")
        idle = [f"`{name}`" for name, value in self._of_residue.items() if value is not None]
        if inputs.mask is not None and idle:
            raise BadInput(
                f"`mask` says where to repair, so {', '.join(idle)} would do nothing; leave out one or the other"
            )
        if self.paper and self.settings.weak:
            raise BadInput("`solver=paper` has settings of its own, so `weak` would do nothing; leave out one of them")

    def check_places(self, target: Path) -> None:
        """Raise BadInput where a file that is written cannot be put there, or would replace one that is read."""
        pages = [] if self.page is None else [self.page.path]
        places = [target, *self.outputs(target).values(), record_file(target)]
        read = files_of(self.settings.solver, self.settings.prior)
        separate([*self.inputs.files.values(), *read], places, pages)
        for path in (*places, *pages):
            check_target(path)

    def check_type(self, target: Path) -> None:
        """Raise BadInput where pixels without data could not come out as they are."""
        b = self.inputs.of_base
        if b.empty.any() and not holds(target, b.picture):
            name = self.inputs.name("rainy" if self.inputs.derained is None else "derained")
            raise BadInput(
                f"{target}: cannot hold {b.picture.dtype}, and with it the no-data pixels of {name}; write .tif"
            )

    def say_lost(self, target: Path) -> None:
        """Note what a file at `target` does not hold. Raises BadInput where it cannot hold the picture."""
        like, lost = self.inputs.like(target)
        for text in [*lost, *check_writable(target, len(self.inputs.plain), like.alpha is not None)]:
            self.notes(text)

    # --- where ---

    @cached_property
    def found(self) -> ResidueMask:
        """Return the pixels that are repaired, and the threshold of rain."""
        inputs = self.inputs
        if inputs.mask is not None:
            return ResidueMask(inputs.white & ~inputs.empty, float("nan"))
        return self.residue(inputs.layer, ~inputs.empty)

    @property
    def why_nothing(self) -> str:
        """Return why no pixel is repaired, in words."""
        inputs, r = self.inputs, self.residue
        if inputs.mask is not None:
            where = "white only where there is no data" if inputs.white.any() else "black everywhere"
            return f"{inputs.name('mask')} is {where}"
        valid = ~inputs.empty
        strongest = inputs.layer[valid].max()
        if inputs.rain is not None and strongest == 0:
            return f"{inputs.name('rain')} holds no rain"
        if inputs.rain is None and inputs.derained is not None and strongest < r.floor:
            y, b = inputs.rainy[:, valid], inputs.plain[:, valid]
            rainy, derained = inputs.name("rainy"), inputs.name("derained")
            if np.array_equal(y, b):
                return f"{derained} is the same as {rainy}"
            if strongest == 0 or b.mean() > y.mean():
                darker = "nowhere darker" if strongest == 0 else "on average brighter"
                return f"{derained} is {darker} than {rainy}; are the two swapped?"
        if strongest < r.floor:
            return (
                f"the strongest rain is {strongest:.3g} of white, below `floor={r.floor:g}`; a smaller one repairs it"
            )
        return f"too much of the rain is as strong as the strongest for `cap={r.cap:g}`; a larger one repairs it"

    # --- how it is done ---

    @property
    def paper(self) -> bool:
        return self.settings.solver.partition(":")[0] == "paper"

    @property
    def solver_name(self) -> str:
        """Return the name of the solver that runs."""
        return "dps" if self.paper else self.settings.solver.partition(":")[0]

    @property
    def leaves_much(self) -> bool:
        return self.settings.weak or self.inputs.derained is None

    @property
    def _of_residue(self) -> dict[str, float | None]:
        s = self.settings
        return {"share": s.share, "floor": s.floor, "cap": s.cap, "dilate": s.dilate}

    @property
    def residue(self) -> Residue:
        """Return the settings of the mask. Raises BadInput for those that cannot be."""
        preset = PAPER_RESIDUE if self.paper else WEAK_RESIDUE if self.leaves_much else Residue()
        return changed(preset, self._of_residue)

    @cached_property
    def refinement(self) -> Refinement:
        """Return the settings of the repair. Raises BadInput for those that cannot be."""
        s = self.settings
        if self.paper and s.solver != "paper":
            raise BadInput(
                f"`solver={s.solver}`: paper takes no settings; give dps with settings, `sigma=none`, `weight=1`"
            )
        preset = PAPER if self.paper else WEAK if self.leaves_much else Refinement()
        none = s.sigma == "none"
        given: dict[str, Any] = {"weight": s.weight, "steps": s.steps, "feather": s.feather}
        given["sigma"] = None if none else s.sigma
        if not self.paper and s.solver != "ddnm+":
            given["solver"] = solver_of(s.solver)
            given["steps"] = s.steps or (None if none else preset.steps)
        made = changed(preset, given)
        if none:  # far from B, so by the solver's own levels
            made = replace(made, sigma=None, first=None, steps=s.steps)
        if s.samples is not None and s.samples > 1 and not made.solver.is_sampler:
            raise BadInput(f"`solver={s.solver}` gives one answer and no samples; leave out `samples` or take ddnm+")
        return replace(made, samples=s.samples or (made.samples if made.solver.is_sampler else 1))

    @cached_property
    def place(self) -> torch.device:
        return device_of(self.settings.device)

    @cached_property
    def loaded(self) -> Prior:
        """Return the prior. Raises BadInput for one of latents, or an unknown precision."""
        s = self.settings
        if s.precision not in ("auto", "bf16", "fp32"):
            raise BadInput(f"`precision` {s.precision!r} is unknown; it is auto, bf16 or fp32", argument="precision")
        prior = of_pictures(load_prior(s.prior, device=self.place, precision=s.precision, tile=s.tile or "auto"))
        if isinstance(prior, LatentPrior):
            raise BadInput(f"`prior={s.prior}` is one of latents, which know no single pixels; take natural")
        return prior

    # --- what comes out ---

    def beside(self, target: Path) -> dict[str, Path]:
        """Return the files that a run, this one or another, may have written beside `target`."""
        suffixes = {"mask": ".png", "base": None, "std": ".tif"}
        return {what: beside(target, what, suffix) for what, suffix in suffixes.items()} | {
            "std_png": beside(target, "std", ".png")
        }

    def outputs(self, target: Path) -> dict[str, Path]:
        """Return the files that are written beside `target`, those of the standard deviation where anything is repaired."""
        names = ["mask", *(["base"] if self.inputs.derained is None else [])]
        names += ["std", "std_png"] if self.refinement.samples > 1 else []
        return {k: self.beside(target)[k] for k in names}


def changed(preset: Any, given: dict[str, Any]) -> Any:
    """Return the preset with what was given. Raises BadInput for settings that cannot be."""
    try:
        return replace(preset, **{k: v for k, v in given.items() if v is not None})
    except ValueError as error:
        name, _, rest = str(error).partition("=")
        value, _, rest = rest.partition(":")
        raise BadInput(f"`{name}={value}`:{rest}", argument=name) from None


def holds(path: Path, picture: Picture) -> bool:
    """Return whether a file of that name can hold the type of the picture."""
    try:
        check_writable(path, len(picture.pixels), False, picture.dtype)
    except BadInput:
        return False
    return True
