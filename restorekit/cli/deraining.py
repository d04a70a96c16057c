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

import restorekit
from restorekit import codecs, io
from restorekit.cli.options import check_page, checked_precision, span
from restorekit.cli.progress import bar
from restorekit.errors import BadInput
from restorekit.priors.library import Prior, device_of, load_prior, of_pictures
from restorekit.priors.prior import LatentPrior
from restorekit.rain.base import Directional
from restorekit.rain.refine import PAPER, WEAK, Refined, Refinement
from restorekit.rain.residue import PAPER_RESIDUE, WEAK_RESIDUE, Found, Mask, Residue, rain_layer
from restorekit.report.derained import render
from restorekit.solvers.from_text import solver as solver_of

Array = np.ndarray
SMALLEST = 4  # pixels per side


@dataclass(frozen=True, kw_only=True)
class Deraining:
    source: Path
    target: Path
    derained: Path | None
    weak: bool
    rain: Path | None
    mask: Path | None
    solver: str
    prior: str
    samples: int | None
    steps: int | None
    share: float | None
    floor: float | None
    cap: float | None
    dilate: int
    feather: int | None
    sigma: str | None
    weight: float | None
    seed: int
    device: str
    tile: int | None
    precision: str
    range: str | None
    report: Path | None

    def run(self) -> None:
        """Everything that can be refused is refused before the network runs; files are written at the end."""
        outputs = self._check_places()
        b = self.plain
        notes = io.check_writable(self.target, len(b.pixels), b.alpha is not None)
        refinement, found = self.refinement, self.found
        prior = self.loaded
        if found.k.any():
            refinement.solver.check(refinement.problem(torch.from_numpy(b.pixels)[None], found.k))
        else:
            notes.append(self._nothing)
        refined = self._refined(refinement, found, prior)
        if self.derained is None:
            notes.append(
                "the derainer here is a plain one and weak; give what a good one makes of IN by --derained FILE"
            )
        notes += self._write(refined, found, outputs)
        for note in dict.fromkeys(notes):
            print(f"restorekit: note: {note}", file=sys.stderr)
        print(f"{self.target}  ({found.k.mean():.1%} of the picture repaired{_run(refined)}, and .json)")

    # --- what is given ---

    @cached_property
    def outputs(self) -> dict[str, Path]:
        """What may be written beside OUT."""
        stem, suffix = self.target.stem, self.target.suffix
        names = {
            "mask": f"{stem}_mask.png",
            "base": f"{stem}_base{suffix}",
            "std": f"{stem}_std.tif",
            "std_png": f"{stem}_std.png",
        }
        if self.derained is not None:
            del names["base"]
        return {k: self.target.with_name(v) for k, v in names.items()}

    def _check_places(self) -> dict[str, Path]:
        if self.report is not None:
            check_page(self.report)
        pages = () if self.report is None else (self.report,)
        for given in (self.source, self.derained, self.rain, self.mask):
            for path in (self.target, *self.outputs.values(), *pages) if given is not None else ():
                io.different(cast(Path, given), path)
        for path in (self.target, *self.outputs.values()):
            io.check_target(path)
        return self.outputs

    def _read(self, path: Path) -> io.Picture:
        return io.read(path, span(self.range))

    @cached_property
    def rainy(self) -> io.Picture:
        picture = self._read(self.source)
        _, height, width = picture.pixels.shape
        if min(height, width) < SMALLEST:
            raise BadInput(f"{self.source} is {height}x{width} pixels; at least {SMALLEST}x{SMALLEST} are needed")
        if float(np.ptp(picture.pixels)) == 0:
            raise BadInput(f"{self.source} is constant: there is no rain in it; check the file")
        return picture

    @cached_property
    def plain(self) -> io.Picture:
        """B, as a file of its own or by the plain derainer."""
        y = self.rainy
        if self.derained is None:
            return replace(y, pixels=Directional()(y.pixels))
        picture = self._read(self.derained)
        if picture.pixels.shape != y.pixels.shape:
            raise BadInput(
                f"{self.derained} is {_size(picture.pixels)}, {self.source} {_size(y.pixels)} (bands x height x width); "
                "give the derained picture of the same IN, neither cut nor resized"
            )
        return picture

    @cached_property
    def layer(self) -> Array:
        """R (H, W)."""
        if self.rain is None:
            return rain_layer(self.rainy.pixels, self.plain.pixels)
        r = io.read(self.rain, self._rain_span).pixels
        shape = self.rainy.pixels.shape
        if r.shape[1:] != shape[1:] or len(r) not in (1, shape[0]):
            raise BadInput(
                f"{self.rain} is {_size(r)}, {self.source} {_size(self.rainy.pixels)}; give rain of that size"
            )
        return np.clip(r, 0, None).max(0)

    @property
    def _rain_span(self) -> tuple[float, float] | None:
        """Rain is a difference: 0 is none, whatever black is."""
        values = span(self.range)
        return None if values is None else (0.0, values[1] - values[0])

    @cached_property
    def found(self) -> Found:
        if self.mask is not None:
            if self.rain is not None:
                raise BadInput("--mask says where to repair, so --rain says nothing more; give one of them")
            return Found(self._own_mask(self.mask), float("nan"))
        return self.residue(self.layer)

    def _own_mask(self, path: Path) -> Mask:
        raw = _stored(path)
        size = self.rainy.pixels.shape[1:]
        if raw.shape[1:] != size:
            raise BadInput(
                f"{path} is {raw.shape[1]}x{raw.shape[2]}, {self.source} {size[0]}x{size[1]}; resize the mask"
            )
        binary = raw.dtype.kind in "iub" and raw.max() <= 1
        return np.any(raw > 0 if binary else io.read(path).pixels >= 0.5, axis=0)

    @property
    def _nothing(self) -> str:
        if self.mask is not None:
            return f"{self.mask} is black everywhere: nothing was repaired"
        return f"nothing was repaired: the strongest rain is {self.layer.max():.3f} of white, or too much is as strong; see --floor and --cap"

    # --- how it is done ---

    @property
    def paper(self) -> bool:
        return self.solver.partition(":")[0] == "paper"

    @property
    def leaves_much(self) -> bool:
        return self.weak or self.derained is None

    @property
    def residue(self) -> Residue:
        given = {"share": self.share, "floor": self.floor, "cap": self.cap, "dilate": self.dilate}
        return _changed(PAPER_RESIDUE if self.paper else WEAK_RESIDUE if self.leaves_much else Residue(), given)

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
        b = self.plain.pixels
        denoise = cast(Any, prior.for_bands(len(b)))
        with bar(type(refinement.solver).__name__) as show:
            return refinement(b, found.k, denoise, self.seed, self.place, lambda done, total, _: show(done, total))

    # --- what comes out ---

    def _write(self, refined: Refined, found: Found, outputs: dict[str, Path]) -> list[str]:
        like = self.plain
        pixels, as_stored = self._exact(refined.picture, found.k)
        notes = io.write(self.target, pixels, as_stored)
        if self.target.suffix.lower() in (".jpg", ".jpeg"):
            notes.append(
                f"{self.target}: JPEG changes every pixel a little; .png or .tif leave those outside the mask as they were"
            )
        written = [self.target]
        mask = found.k[None].astype(np.float32)
        io.write(outputs["mask"], mask, io.Picture(mask, "uint8", (0.0, 255.0)))
        written.append(outputs["mask"])
        if self.derained is None:
            io.write(outputs["base"], like.pixels, like)
            written.append(outputs["base"])
        extra: dict[str, Any] = {}
        if refined.run is not None and len(refined.run.samples) > 1:
            low, high = like.span
            std = (refined.std * (high - low)).astype(np.float32)
            io.write(outputs["std"], std, io.Picture(std, "float32", (0.0, 1.0)))
            white = float(std.mean(0).max()) or 1.0
            shown = std.mean(0, keepdims=True) / white
            io.write(outputs["std_png"], shown, io.Picture(shown, "uint8", (0.0, 255.0)), "uint8")
            written += [outputs["std"], outputs["std_png"]]
            extra = {"std_unit": f"file values over {low:g}..{high:g}", "std_png_white": white}
        if stale := [p.name for p in outputs.values() if p not in written and p.exists()]:
            notes.append(f"{', '.join(stale)}: of an earlier run, not of this one")
        record = self._record(refined, found) | extra
        if self.report is not None:
            io.write_text(self.report, self._page(refined, found))
            written.append(self.report)
        record["outputs"] = {str(p): io.sha256(p) for p in written}
        io.write_json(self.target.with_name(self.target.name + ".json"), record)
        return notes

    def _exact(self, picture: Array, k: Mask) -> tuple[Array, io.Picture]:
        """What to write, and like what: where the type stays, the file's own values outside the mask, which pixels on [0, 1] in
        float32 do not hold to the last bit."""
        like = self.plain
        raw = _stored(self.source if self.derained is None else self.derained)
        low, high = like.span
        values = picture.astype(np.float64) * (high - low) + low
        if self.derained is not None and raw.dtype.name == like.dtype:
            values = np.where(k, values, raw)
            if _holds(self.target, like):
                return values, replace(like, span=(0.0, 1.0))
        return (values - low) / (high - low), like

    def _record(self, refined: Refined, found: Found) -> dict[str, Any]:
        r, run, prior = self.refinement, refined.run, self.loaded
        given = {"rainy": self.source, "derained": self.derained, "rain": self.rain, "mask": self.mask}
        return {
            "restorekit": restorekit.__version__,
            "torch": torch.__version__,
            "command": "derain",
            "input": {k: {"path": str(p), "sha256": io.sha256(p)} for k, p in given.items() if p is not None},
            "base": None if self.derained is not None else {"name": "Directional", **dataclasses.asdict(Directional())},
            "residue": None if self.mask is not None else dataclasses.asdict(self.residue),
            "threshold": None if self.mask is not None else found.threshold,
            "masked": float(found.k.mean()),
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
        pictures = {"Rainy": self.rainy.pixels, "Derained": self.plain.pixels, "Repaired": refined.picture}
        pictures["Mask"] = found.k[None].astype(np.float32)
        r = self.refinement
        facts = [
            ("picture", f"{self.rainy.pixels.shape[2]} x {self.rainy.pixels.shape[1]} pixels"),
            ("masked", f"{found.k.mean():.1%}"), ("solver", type(r.solver).__name__), ("samples", str(r.samples)),
            ("prior", self.loaded.spec.name), ("weight", f"{r.weight:g}"),
        ]  # fmt: skip
        words = [self.source, self.target, *(() if self.derained is None else ("--derained", self.derained))]
        command = shlex.join(["restorekit", "derain", *map(str, words)])
        return render(self.source.name, pictures, refined.picture - self.plain.pixels, facts, command)


def _changed(preset: Any, given: dict[str, Any]) -> Any:
    """BadInput for settings that cannot be."""
    try:
        return replace(preset, **{k: v for k, v in given.items() if v is not None})
    except ValueError as error:
        raise BadInput(str(error)) from None


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


def _stored(path: Path) -> Array:
    """Values (C, H, W) in the type of the file, which `io.read` has checked or checks."""
    io.read(path, (0.0, 1.0))
    with open(path, "rb") as f:
        kind = codecs.content(f.read(8))
    return codecs.load(path, kind)[0]


def _holds(path: Path, picture: io.Picture) -> bool:
    """Whether a file of that name can hold the type of the picture."""
    try:
        io.check_writable(path, len(picture.pixels), False, picture.dtype)
    except BadInput:
        return False
    return True


def _size(x: Array) -> str:
    return "x".join(map(str, x.shape))


def _run(refined: Refined) -> str:
    run = refined.run
    return "" if run is None else f", {run.nfe} network calls per sample, {run.seconds:.1f} s"
