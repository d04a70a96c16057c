"""Despeckling of a scene: what is measured in it first, what follows for its blocks, and the run."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import restorekit
from restorekit.despeckling.block import Job
from restorekit.despeckling.methods import Classical, Diffusion, method_of
from restorekit.despeckling.survey import Band, Facts, band_of, survey
from restorekit.errors import BadInput
from restorekit.files.atomic import together
from restorekit.files.bands import Window
from restorekit.files.datasets import absolute, container, source_digest
from restorekit.files.digest import sha256
from restorekit.files.geotiff import PROVENANCE
from restorekit.files.overwrite import separate
from restorekit.files.reading import PLAINLY, Reading
from restorekit.files.scene import Scene, scene_of
from restorekit.priors.find import find
from restorekit.sar.looks import CLOSEST, Grain
from restorekit.sar.targets import Targets
from restorekit.scenes.blend import Result
from restorekit.scenes.block_store import Key, Store, opened
from restorekit.scenes.execute import Executor, Serial
from restorekit.scenes.grid import Grid
from restorekit.scenes.outputs import TIFF, Output, form_of, losses
from restorekit.text.names import files_of

SIDE = {Classical: 1024, Diffusion: 512}  # of the squares of the grid, pixels
FADE = 32
MANY = 12.0  # looks from which on it is asked whether they are amplitudes
SPECKLED = 60.0  # looks from which on they are not believed
DECORRELATE = ("auto", "whiten", "subsample", "none")

DONE = {
    "temper": "the likelihood is given less weight for it",
    "subsample": "every other pixel is taken, four times",
    "whiten": "whitened",
}

Progress = Callable[[int, int], None]  # (blocks done, blocks in all)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a result depends on, besides the scene."""

    domain: str = "auto"
    looks: float | None = None  # None: measured
    solver: str = "ep"  # or a filter of `restorekit.sar.filters`
    bands: tuple[int, ...] | None = None  # to treat, from 1; None: all
    prior: str = "auto"  # sar, or natural for `paper`
    steps: int | None = None
    samples: int | None = None  # None: 4 of a sampler, the one answer of others
    seed: int = 0
    decorrelate: str = "auto"
    targets: Targets | None = field(
        default_factory=Targets
    )  # point targets are kept as measured; None: are treated like all else
    grain: Grain | None = None  # correlation of intensity with the next row, the next column; None: measured
    device: str = "auto"
    precision: str = "fp32"  # bf16 is faster; its rounding spoils f(k y) = k f(y)
    block: int | None = None  # side of the squares of the grid; None: 512, and 1024 for filters
    keep_dtype: bool = False
    reading: Reading = PLAINLY

    @cached_property
    def method(self) -> Classical | Diffusion:
        made = method_of(self.solver, Diffusion(
            self.solver, self.prior, self.steps, self.samples, self.seed, self.device, self.precision,  # type: ignore[arg-type]
        ))  # fmt: skip
        if isinstance(made, Diffusion):
            return made.checked()
        for option, unused in (
            ("--samples", self.samples in (None, 1)),
            ("--steps", self.steps is None),
            ("--prior", self.prior == "auto"),
        ):
            if not unused:
                raise BadInput(f"{self.solver} is a filter, without samples, steps or a prior; leave out {option}")
        return made

    @property
    def text(self) -> str:
        """The solver with what was tuned."""
        return self.method.text

    @property
    def draws(self) -> int:
        return self.method.draws

    @property
    def learned(self) -> bool:
        """Whether a prior is used."""
        return isinstance(self.method, Diffusion)

    @property
    def remedy(self) -> str:
        """Filters take their looks from the data as they are."""
        return self.decorrelate if self.learned else "none"

    def grid(self, height: int, width: int) -> Grid:
        side = self.block or SIDE[type(self.method)]
        classical = isinstance(self.method, Classical)
        return Grid(height, width, side, self.method.halo, 0 if classical else min(FADE, side // 4))


@dataclass(frozen=True, eq=False)
class Plan:
    """A scene that has been looked at, and what is to be done with it."""

    scene: Scene
    target: Path
    settings: Settings
    bands: dict[int, tuple[Band, Facts]]
    said: list[str] = field(default_factory=list)  # to be printed: what was guessed or measured
    preview: Window | None = None  # the part to restore; None: all of it

    @cached_property
    def keys(self) -> list[Key]:
        """Blocks that count for what is asked."""
        grid, part = self.job.grid, self.preview
        return [(band, i, j) for band in self.bands for i, j in grid if part is None or grid.kept(i, j).common(part)]

    @cached_property
    def job(self) -> Job:
        grid = self.settings.grid(self.scene.height, self.scene.width)
        threads = 1 if len(grid) * len(self.bands) > 1 else None
        detectors = {}
        if (targets := self.settings.targets) is not None:
            detectors = {
                number: targets.fitted(facts.detected, facts.grain) for number, (_, facts) in self.bands.items()
            }
        return Job(self.scene.path, grid, self.bands, self.settings.method, threads, detectors, self.scene.reading)

    @property
    def outputs(self) -> list[Output]:
        layers = {"mean": self.target}
        if self.settings.draws > 1:
            layers["std"] = beside(self.target, "std")
        return [
            Output(path, layer, form_of(self.scene, path, layer, self.settings.keep_dtype), not self._signed)
            for layer, path in layers.items()
        ]

    @property
    def _signed(self) -> bool:
        return any(band.domain.signed for band, _ in self.bands.values())

    @property
    def folder(self) -> Path:
        """Where unfinished work lies."""
        return self.target.with_name(f".{self.target.name}.work")

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that must be the same for the work of one run to be of use to another."""
        s, grid = self.settings, self.job.grid
        of_prior: dict[str, Any] = {}
        if isinstance(s.method, Diffusion):
            of_prior = {"prior": s.method.prior, "prior_sha256": sha256(find(s.method.prior))}
        return {
            "restorekit": restorekit.__version__, "input": source_digest(self.scene.path, self.scene.reading), "solver": s.text,
            **of_prior, "steps": s.method.steps if isinstance(s.method, Diffusion) else None, "samples": s.draws, "seed": s.seed, "domain": s.domain,
            "decorrelate": s.decorrelate, "grain": s.grain and list(s.grain), "targets": None if s.targets is None else asdict(s.targets),
            "precision": s.precision, "keep_dtype": s.keep_dtype, "block": grid.side, "halo": grid.halo, "fade": grid.fade,
            "bands": {str(n): {"domain": b.domain.name, "looks": f.looks, "kappa": f.kappa, "median": f.median} | _correlation(f)
                      for n, (b, f) in self.bands.items()},
        }  # fmt: skip

    def finished(self) -> set[Key]:
        """Blocks that an interrupted run of the same settings left."""
        return Store(self.folder).finished() & set(self.keys) if self.folder.is_dir() else set()

    def tasks(self, missing: Sequence[Key], tile: int) -> list[list[Key]]:
        """Blocks in groups that lie in one square of `tile` pixels, at least one block each."""
        per = max(1, tile // self.job.grid.side)
        groups: dict[tuple[int, int, int], list[Key]] = {}
        for band, i, j in missing:
            groups.setdefault((band, i // per, j // per), []).append((band, i, j))
        return list(groups.values())

    def run(
        self,
        executor: Executor | None = None,
        *,
        tile: int = 0,
        restart: bool = False,
        progress: Progress | None = None,
        snap: bool = False,
        say: Callable[[str], None] | None = None,
    ) -> list[Path]:
        """Treats what is not yet treated, writes the files, and says which. What is interrupted goes on when run again.

        say: is told what was found on the way, as the number of point targets."""
        outputs, keys = [replace(output, snap=snap) for output in self.outputs], self.keys
        with opened(self.folder, self.identity, restart=restart) as store:
            done = store.finished() & set(keys)
            tasks = self.tasks([k for k in keys if k not in done], tile)
            for key, layers in (executor or Serial())(self.job, tasks):
                store.put(key, layers)
                done.add(key)
                if progress is not None:
                    progress(len(done), len(keys))
            result = Result(self.job, store, self.preview)
            kept = {number: result.kept(number) for number in self.bands} if self.settings.targets is not None else {}
            self._write(outputs, result, kept)
            store.drop()
        if say is not None:
            for number, count in kept.items():
                if count:
                    say(f"band {number}: {self._kept(count)}")
        return [output.target for output in outputs]

    def _kept(self, count: int) -> str:
        assert self.settings.targets is not None
        what, whose = ("1 pixel", "its") if count == 1 else (f"{count} pixels", "their")
        rate = self.settings.targets.false_alarms
        return f"{what} cannot be speckle of {whose} surroundings (false alarms: {rate:g} per pixel); kept as measured"

    def _write(self, outputs: list[Output], result: Result, kept: dict[int, int]) -> None:
        # No date: the same work gives the same bytes.
        record = self.identity | {"targets_kept": {str(number): count for number, count in kept.items()}}
        tags = {PROVENANCE: json.dumps(record), "TIFFTAG_SOFTWARE": f"restorekit {restorekit.__version__}"}
        with together():
            for output in outputs:
                output.write(self.scene, result, result.store.folder, tags)


def _correlation(facts: Facts) -> dict[str, Any]:
    """Of neighbours, before anything was done about it, for the record."""
    found = facts.measured
    return {} if found is None else {"correlation": list(found.lag_one), "with_texture": found.textured}


def beside(target: Path, what: str) -> Path:
    suffix = target.suffix if target.suffix.lower() in (*TIFF, ".npy") else ".tif"
    return target.with_name(f"{target.stem}_{what}{suffix}")


def plan(source: Path, target: Path, settings: Settings, preview: Window | None = None) -> Plan:
    """Looks at the scene. BadInput for whatever can be refused before hours of work."""
    scene = scene_of(absolute(source), settings.reading)  # workers may be elsewhere in the same file system
    if preview is not None and not preview.within(scene.height, scene.width):
        raise BadInput(f"--preview lies outside the scene, which has {scene.height} rows and {scene.width} columns")
    if settings.looks is not None and not 0 < settings.looks < 1e4:
        raise BadInput(
            f"--looks {settings.looks:g} must be above 0; 1 for single-look data, about 4.4 for Sentinel-1 GRD"
        )
    if settings.grain is not None and not all(0 <= rho <= CLOSEST for rho in settings.grain):
        raise BadInput(
            f"--grain {settings.grain[0]:g},{settings.grain[1]:g}: correlations of intensity with the next row and the next column "
            f"lie between 0 and {CLOSEST:g}; 0,0 for independent pixels, about 0.65,0.6 for Sentinel-1 IW GRD"
        )
    if settings.decorrelate not in DECORRELATE:
        raise BadInput(f"unknown --decorrelate {settings.decorrelate!r}; known: {', '.join(DECORRELATE)}")
    layers = [("mean", target)] + ([("std", beside(target, "std"))] if settings.draws > 1 else [])
    separate([container(source), *files_of(settings.solver, settings.prior)], [path for _, path in layers])
    for layer, path in layers:
        form_of(scene, path, layer, settings.keep_dtype)
    unknown = set(settings.bands or ()) - set(scene.bands)
    if unknown:
        raise BadInput(f"--bands {min(unknown)}: {source.name} has {', '.join(map(str, scene.bands))}")
    bands, said = {}, losses(scene, target)
    with scene.opened() as reader:
        for number in scene.bands:
            if settings.bands is not None and number not in settings.bands:
                said.append(f"band {number}: not asked for, it stays as it is")
                continue
            if not _anything(scene, reader, number):
                said.append(f"band {number}: no measured pixel, it stays as it is")
                continue
            band, words = band_of(scene, reader, number, settings.domain)
            facts = survey(scene, reader, band, settings.looks, settings.remedy, settings.grain)
            if facts is None:
                said.append(f"band {number}: no pixel above 0, it stays as it is")
                continue
            if settings.looks is None and facts.looks > SPECKLED:
                raise BadInput(
                    f"band {number}: {facts.looks:.0f} looks measured, hardly any speckle, as where the unit is another or a "
                    "value is fill; check --domain and the nodata value, or give --looks"
                )
            bands[number] = (band, facts)
            said += [
                f"band {number}: {line}"
                for line in (words, _looks(facts, settings), _many(band, facts, settings))
                if line
            ]
    if not bands:
        said.append("nothing was measured anywhere: the file is copied")
    return Plan(scene, target, settings, bands, said, preview)


def _anything(scene: Scene, reader: Any, band: int) -> bool:
    strips = (
        Window(i, 0, min(SIDE[Diffusion], scene.height - i), scene.width)
        for i in range(0, scene.height, SIDE[Diffusion])
    )
    return any(reader.read(strip, band)[1].any() for strip in strips)


def _many(band: Band, facts: Facts, settings: Settings) -> str:
    """Floats may be amplitudes, whose looks are a quarter of what they are as intensities."""
    guessed = settings.domain == "auto" and band.domain.name == "intensity"
    if not guessed or facts.measured is None or facts.measured.looks < MANY:
        return ""
    n = facts.measured.looks
    return (
        f"{n:.0f} looks are many for intensities; if they are amplitudes, of {n / 4:.1f} looks, give --domain amplitude"
    )


def _looks(facts: Facts, settings: Settings) -> str:
    given = "" if settings.grain is None else ", the correlation as given"
    if facts.measured is None:
        return f"looks {facts.looks:g} as given; no flat window to check them in{given}"
    done = f"; {DONE[facts.remedy]}" if facts.remedy != "none" else ""
    if facts.remedy in ("subsample", "whiten"):
        done += f": looks {facts.looks:.2f}, {facts.looks / facts.kappa:.2f} effective"
    if facts.measured.textured:
        given = "; give --grain ROW,COLUMN where it is known"
    if settings.looks is None:
        return str(facts.measured) + given + done
    ratio = settings.looks / facts.measured.looks
    far = "" if abs(math.log(ratio)) < math.log(2) else ", far from what was measured; --looks auto takes that"
    return f"looks {settings.looks:g} as given{far}; measured: {facts.measured}{given}{done}"
