"""One deraining from file to file."""

from __future__ import annotations

import dataclasses
import math
import shlex
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from restorekit.cli.options import checked_precision
from restorekit.errors import BadInput
from restorekit.files.atomic import together
from restorekit.files.formats import FORMATS, LOSSY
from restorekit.files.picture import (
    Picture,
    check_writable,
    overlay_info,
    write_json,
    write_picture,
    write_text,
)
from restorekit.files.record import head
from restorekit.files.record import outputs as output_hashes
from restorekit.priors.find import Prior, device_of, load_prior, of_pictures
from restorekit.priors.prior import LatentPrior
from restorekit.rain.morphology import Directional
from restorekit.rain.refine import PAPER, WEAK, Refined, Refinement
from restorekit.rain.residue import PAPER_RESIDUE, WEAK_RESIDUE, Found, Mask, Residue
from restorekit.report.derained import render
from restorekit.report.progress import bar
from restorekit.tasks.derain_inputs import Given
from restorekit.text.names import files_of, solver_of

Array = np.ndarray


@dataclass(frozen=True, kw_only=True)
class Deraining(Given):
    """Settings are the options of the command, and have their defaults."""

    weak: bool = False
    solver: str = "ddnm+"
    prior: str = "natural"
    samples: int | None = None
    steps: int | None = None
    share: float | None = None
    floor: float | None = None
    cap: float | None = None
    dilate: int | None = None
    feather: int | None = None
    sigma: str | None = None
    weight: float | None = None
    seed: int = 0
    device: str = "auto"
    tile: int | None = None
    precision: str = "auto"

    def run(self) -> None:
        """Everything that can be refused is refused before the network runs; files are written at the end."""
        self._check_options()
        refinement = self.refinement
        self.check_places(self.outputs.values())
        b, found, said = self.plain, self.found, set[str]()
        self._check_type()
        notes = [*self.notes, *check_writable(self.target, len(b), self.like.alpha is not None)]
        prior = self.loaded
        if found.k.any():
            refinement.solver.check(refinement.problem(torch.from_numpy(b)[None], found.k | self.empty))
        else:
            notes.append(f"nothing was repaired: {self._why_nothing}")
        if self.derained is None:
            notes.append(
                "the derainer here is a plain one and weak; give what a good one makes of IN by --derained FILE"
            )
        if FORMATS.get(self.target.suffix.lower()) in LOSSY:
            notes.append(
                f"{self.target}: JPEG changes every pixel a little; .png or .tif leave those outside the mask as they were"
            )
        _say(notes, said)
        refined = self._refined(refinement, found, prior)
        with together():
            notes = self._write(refined, found)
        _say(notes, said)
        print(f"{self.target}  ({found.k.mean():.1%} of the picture repaired{_run(refined)}, and .json)")

    def command(self) -> str:
        """The command that does the same again, for a shell."""
        words = ["restorekit", "derain", self.source, self.target]
        for setting in dataclasses.fields(self):
            value = getattr(self, setting.name)
            if setting.default is not dataclasses.MISSING and value != setting.default:
                words += [f"--{setting.name}"] if value is True else [f"--{setting.name}", value]
        return shlex.join(map(str, words))

    # --- what is refused ---

    @property
    def named(self) -> list[Path]:
        return files_of(self.solver, self.prior)

    def _check_options(self) -> None:
        """Options of which one makes the other do nothing."""
        if self.mask is not None and self.rain is not None:
            raise BadInput("--mask says where to repair, so --rain says nothing more; give one of them")
        idle = [f"--{name}" for name, value in self._of_residue.items() if value is not None]
        if self.mask is not None and idle:
            raise BadInput(
                f"--mask says where to repair, so {', '.join(idle)} would do nothing; leave out one or the other"
            )
        if self.paper and self.weak:
            raise BadInput("--solver paper has settings of its own, so --weak would do nothing; leave out one of them")

    def _check_type(self) -> None:
        """No data must come out as it is."""
        b = self.of_base
        if b.empty.any() and not _holds(self.target, b.picture):
            raise BadInput(
                f"{self.target}: cannot hold {b.picture.dtype}, and with it the no-data pixels of "
                f"{self.derained or self.source}; write .tif"
            )

    # --- where ---

    @cached_property
    def found(self) -> Found:
        if self.mask is not None:
            return Found(self.white & ~self.empty, float("nan"))
        return self.residue(self.layer, ~self.empty)

    @property
    def _why_nothing(self) -> str:
        if self.mask is not None:
            return f"{self.mask} is {'white only where there is no data' if self.white.any() else 'black everywhere'}"
        valid, r = ~self.empty, self.residue
        strongest = self.layer[valid].max()
        if self.rain is not None and strongest == 0:
            return f"{self.rain} holds no rain"
        if self.rain is None and self.derained is not None and strongest < r.floor:
            y, b = self.rainy[:, valid], self.plain[:, valid]
            if np.array_equal(y, b):
                return f"{self.derained} is the same as {self.source}"
            if strongest == 0 or b.mean() > y.mean():
                darker = "nowhere darker" if strongest == 0 else "on average brighter"
                return f"{self.derained} is {darker} than {self.source}; are the two swapped?"
        if strongest < r.floor:
            return (
                f"the strongest rain is {strongest:.3g} of white, below --floor {r.floor:g}; a smaller one repairs it"
            )
        return f"too much of the rain is as strong as the strongest for --cap {r.cap:g}; a larger one repairs it"

    # --- how it is done ---

    @property
    def paper(self) -> bool:
        return self.solver.partition(":")[0] == "paper"

    @property
    def leaves_much(self) -> bool:
        return self.weak or self.derained is None

    @property
    def _of_residue(self) -> dict[str, float | None]:
        return {"share": self.share, "floor": self.floor, "cap": self.cap, "dilate": self.dilate}

    @property
    def residue(self) -> Residue:
        preset = PAPER_RESIDUE if self.paper else WEAK_RESIDUE if self.leaves_much else Residue()
        return _changed(preset, self._of_residue)

    @cached_property
    def refinement(self) -> Refinement:
        if self.paper and self.solver != "paper":
            raise BadInput(
                f"--solver {self.solver}: paper takes no settings; give dps with settings, --sigma none, --weight 1"
            )
        preset = PAPER if self.paper else WEAK if self.leaves_much else Refinement()
        given: dict[str, Any] = {
            "weight": self.weight,
            "steps": self.steps,
            "feather": self.feather,
            "sigma": _sigma(self.sigma),
        }
        if not self.paper and self.solver != "ddnm+":
            given["solver"] = solver_of(self.solver)
            given["steps"] = self.steps or (None if self._none else preset.steps)
        made = _changed(preset, given)
        if self._none:  # far from B, so by the solver's own levels
            made = replace(made, sigma=None, first=None, steps=self.steps)
        if self.samples is not None and self.samples > 1 and not made.solver.samples:
            raise BadInput(f"--solver {self.solver} gives one answer and no samples; leave out --samples or take ddnm+")
        return replace(made, samples=self.samples or (made.samples if made.solver.samples else 1))

    @property
    def _none(self) -> bool:
        return self.sigma is not None and self.sigma.lower() == "none"

    @cached_property
    def place(self) -> torch.device:
        return device_of(self.device)

    @cached_property
    def loaded(self) -> Prior:
        precision = checked_precision(self.precision)
        prior = of_pictures(load_prior(self.prior, device=self.place, precision=precision, tile=self.tile or "auto"))
        if isinstance(prior, LatentPrior):
            raise BadInput(f"--prior {self.prior} is one of latents, which know no single pixels; take natural")
        return prior

    def _refined(self, refinement: Refinement, found: Found, prior: Prior) -> Refined:
        b = self.plain
        denoise = cast(Any, prior.for_bands(len(b)))
        with bar(type(refinement.solver).__name__) as show:
            return refinement(b, found.k, denoise, self.seed, self.place, lambda done, total, _: show(done, total))

    # --- what comes out ---

    @property
    def outputs(self) -> dict[str, Path]:
        """What is written beside OUT, those of the standard deviation where anything is repaired."""
        names = ["mask", *(["base"] if self.derained is None else [])]
        names += ["std", "std_png"] if self.refinement.samples > 1 else []
        return {k: self.beside[k] for k in names}

    def _write(self, refined: Refined, found: Found) -> list[str]:
        outputs, kept = self.outputs, self.empty if self.derained is None else ~found.k
        notes = self._write_picture(self.target, refined.picture, kept)
        written = [self.target, outputs["mask"]]
        mask = found.k[None].astype(np.float32)
        placed = overlay_info(self.like, mask.shape[1:])
        shown_as = {k: v for k, v in placed.items() if k == "orientation"}  # the mask itself has no holes
        write_picture(outputs["mask"], mask, Picture(mask, "uint8", (0.0, 255.0), info=shown_as))
        if self.derained is None:
            self._write_picture(outputs["base"], self.plain, kept)
            written.append(outputs["base"])
        extra: dict[str, Any] = {}
        if refined.run is not None and "std" in outputs:
            low, high = self.like.span
            std = (refined.std * (high - low)).astype(np.float32)
            write_picture(outputs["std"], std, Picture(std, "float32", (0.0, 1.0), info=placed))
            white = float(std.mean(0).max()) or 1.0
            shown = std.mean(0, keepdims=True) / white
            write_picture(outputs["std_png"], shown, Picture(shown, "uint8", (0.0, 255.0), info=placed), "uint8")
            written += [outputs["std"], outputs["std_png"]]
            extra = {"std_unit": f"file values over {low:g}..{high:g}", "std_png_white": white}
        known = [*written, *self.files.values()]
        if stale := [p.name for p in self.beside.values() if p not in known and p.exists()]:
            notes.append(f"{', '.join(stale)}: of an earlier run, not of this one")
        record = self._record(refined, found) | extra
        if self.report is not None:
            write_text(self.report, self._page(refined, found))
            written.append(self.report)
        record["outputs"] = output_hashes(written)
        write_json(self.record_file, record)
        return notes

    def _write_picture(self, path: Path, picture: Array, kept: Mask) -> list[str]:
        """Like B; `kept` pixels (H, W) with the values of its file, which those on [0, 1] in float32 do not hold to the last bit."""
        like, raw = self.like, self.of_base.raw
        low, high = like.span
        values = np.where(kept & ~self.of_base.empty, raw, picture.astype(np.float64) * (high - low) + low)
        if not _holds(path, like):
            return write_picture(path, (values - low) / (high - low), like)
        return write_picture(path, values, replace(like, span=(0.0, 1.0)))

    def _record(self, refined: Refined, found: Found) -> dict[str, Any]:
        r, run, prior = self.refinement, refined.run, self.loaded
        return {
            **head(self.files, command="derain"),
            "base": None if self.derained is not None else {"name": "Directional", **dataclasses.asdict(Directional())},
            "residue": None if self.mask is not None else dataclasses.asdict(self.residue),
            "threshold": None if self.mask is not None else found.threshold,
            "masked": float(found.k.mean()),
            "orientation": self.like.info.get("orientation", 1),
            "no_data": round(float(self.empty.mean()), 6),
            "refinement": {"sigma": r.sigma, "weight": r.weight, "first": r.first, "feather": r.feather},
            "prior": {"name": prior.spec.name, "sha256": prior.sha256},
            "device": str(self.place),
            "precision": prior.precision,
            "tile": prior.tile,
            "seed": self.seed,
            **({} if run is None else run.settings),
            "nfe": 0 if run is None else run.nfe,
            "seconds": 0.0 if run is None else round(run.seconds, 2),
        }

    def _page(self, refined: Refined, found: Found) -> str:
        pictures = {"Rainy": self.rainy, "Derained": self.plain, "Repaired": refined.picture}
        pictures["Mask"] = found.k[None].astype(np.float32)
        r = self.refinement
        facts = [
            ("picture", f"{self.rainy.shape[2]} x {self.rainy.shape[1]} pixels"),
            ("masked", f"{found.k.mean():.1%}"), ("solver", type(r.solver).__name__), ("samples", str(r.samples)),
            ("prior", self.loaded.spec.name), ("weight", f"{r.weight:g}"),
        ]  # fmt: skip
        return render(self.source.name, pictures, refined.picture - self.plain, facts, self.command())


def _changed(preset: Any, given: dict[str, Any]) -> Any:
    """BadInput for settings that cannot be."""
    try:
        return replace(preset, **{k: v for k, v in given.items() if v is not None})
    except ValueError as error:
        name, _, rest = str(error).partition("=")
        raise BadInput(f"--{name} {rest}") from None


def _sigma(text: str | None) -> float | None:
    if text is None or text.lower() == "none":
        return None
    try:
        sigma = float(text)
    except ValueError:
        sigma = math.nan
    if not 0 < sigma < math.inf:
        raise BadInput(f"--sigma {text!r} is not understood; give a number above 0, as 0.05, or none")
    return sigma


def _holds(path: Path, picture: Picture) -> bool:
    """Whether a file of that name can hold the type of the picture."""
    try:
        check_writable(path, len(picture.pixels), False, picture.dtype)
    except BadInput:
        return False
    return True


def _say(notes: list[str], said: set[str]) -> None:
    """On stderr, those that were not `said` yet."""
    for note in dict.fromkeys(notes):
        if note not in said:
            print(f"restorekit: note: {note}", file=sys.stderr)
        said.add(note)


def _run(refined: Refined) -> str:
    run = refined.run
    return "" if run is None else f", {run.nfe} network call{'s' * (run.nfe != 1)} per sample, {run.seconds:.1f} s"
