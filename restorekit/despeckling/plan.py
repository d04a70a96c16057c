"""A scene is despeckled by a plan: what is measured in it first, what follows for its blocks, and the run."""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import restorekit
from restorekit.despeckling import kept
from restorekit.despeckling.block import BlockDespeckling, draw_layer
from restorekit.despeckling.covariance_bands import CovarianceBands, as_covariance
from restorekit.despeckling.first_look import Polarised, looked_at
from restorekit.despeckling.methods import PosteriorMethod
from restorekit.despeckling.polarised_block import Alone, PolarisedDespeckling
from restorekit.despeckling.radar_band import RadarBand
from restorekit.despeckling.settings import DECORRELATE, POLARISATIONS, Settings
from restorekit.despeckling.shared_blocks import DateStore, JointJob
from restorekit.despeckling.stac import check_item, item, item_path
from restorekit.despeckling.survey import BandStatistics
from restorekit.errors import BadInput
from restorekit.files.atomic import named_beside, together
from restorekit.files.bands import Window
from restorekit.files.datasets import absolute, container, source_digest
from restorekit.files.digest import sha256
from restorekit.files.geotiff import PROVENANCE
from restorekit.files.overwrite import separate
from restorekit.files.picture import write_json
from restorekit.files.record import earlier, head
from restorekit.files.record import outputs as checksums
from restorekit.files.scene import Scene
from restorekit.priors.find import find
from restorekit.products.opening import product_digest, scene_as
from restorekit.sar.domain import PARTS
from restorekit.sar.known import known_product
from restorekit.sar.looks import CLOSEST
from restorekit.scenes.blend import BlendedScene, Form, magnitude
from restorekit.scenes.block_store import BlockStore, Key, MemoryStore, Store, opened
from restorekit.scenes.execute import Executor, Serial
from restorekit.scenes.operation import BlockJob
from restorekit.scenes.outputs import TIFF, Output, form_of, kind_of, losses
from restorekit.text.names import files_of

Progress = Callable[[int, int], None]  # (blocks done, blocks in all)


@dataclass(frozen=True, eq=False)
class DespecklePlan:
    """A scene that has been looked at, with what is to be done with it. target: None where the result stays in memory."""

    scene: Scene
    target: Path | None
    settings: Settings
    bands: dict[int, tuple[RadarBand, BandStatistics]]
    said: list[str] = field(default_factory=list)  # to be printed: what was guessed or measured
    preview: Window | None = None  # the part to restore; None: all of it
    keep_draws: bool = False  # beside their mean and deviation
    joint: dict[str, Any] | None = None  # of other dates that the result depends on, for the record
    polarised: Polarised | None = None  # bands that are restored as one
    covariance: CovarianceBands | None = None  # of which the intensities are restored, and C12 follows from them

    @cached_property
    def keys(self) -> list[Key]:
        """Return the blocks that count for what is asked; those of polarisations that are restored as one are named by the first."""
        grid, part = self.job.grid, self.preview
        return [(group, i, j) for group in self.groups for i, j in grid if part is None or grid.kept(i, j).common(part)]

    @property
    def groups(self) -> dict[int, tuple[int, ...]]:
        """Return the bands that are restored together, by the first of them."""
        one = () if self.polarised is None else self.polarised.numbers
        return {number: one if number in one else (number,) for number in self.bands if number not in one[1:]}

    @cached_property
    def work(self) -> BlockJob | JointJob:
        """Return what is done to the blocks: to those of `job`, or to all polarisations of one at once."""
        if self.polarised is None:
            return self.job
        single, count = self.job.operation, len(self.polarised.numbers)
        assert isinstance(single, BlockDespeckling)
        of_bands = {number: self.bands[number][1] for number in self.polarised.numbers}
        together = replace(single, detectors=kept.detectors(self.settings, of_bands, count))
        facts = of_bands[self.polarised.numbers[0]]
        test = self.settings.structure if self.settings.structured else None
        fitted = None if test is None else test.fitted(facts.detected, facts.grain, count)
        joined = PolarisedDespeckling(together, self.polarised.components, fitted)
        operations = {g: Alone(single) if len(numbers) == 1 else joined for g, numbers in self.groups.items()}
        slots = {group: tuple((0, number) for number in numbers) for group, numbers in self.groups.items()}
        return JointJob((self.job,), slots, operations, self.job.grid, 1 if len(self.keys) > 1 else None)

    def _of_bands(self, store: BlockStore) -> BlockStore:
        """Return the finished blocks band by band."""
        if self.polarised is None:
            return store
        slots = {number: (g, t) for g, numbers in self.groups.items() for t, number in enumerate(numbers)}
        return DateStore(store, slots)

    @cached_property
    def job(self) -> BlockJob:
        """Return everything that a worker needs."""
        grid = self.settings.grid(self.scene.height, self.scene.width)
        threads = 1 if len(grid) * len(self.bands) > 1 else None
        of_bands = {number: facts for number, (_, facts) in self.bands.items()}
        operation = BlockDespeckling(
            self.bands, self.settings.method, kept.detectors(self.settings, of_bands), kept.ratio_tests(self.settings, of_bands),
            self.keep_draws,
        )  # fmt: skip
        where = self.scene if self.scene.pixels is not None else self.scene.path
        return BlockJob(where, grid, tuple(self.bands), operation, threads, self.scene.reading)

    @property
    def timed(self) -> BlockJob:
        """Return the blocks by which a run is timed beforehand."""
        return self.job

    @property
    def layers(self) -> list[str]:
        """Return the names of the results: mean, std for several samples, and the mask where it is asked for."""
        return ["mean", *(["std"] if self.settings.draws > 1 else []), *([kept.MASK] if self.settings.mask else [])]

    @property
    def drawn(self) -> list[str]:
        """Return the layers of the draws, where they are kept."""
        return [draw_layer(i) for i in range(self.settings.draws)] if self.keep_draws else []

    def outputs(self, target: Path, snap: bool = False) -> list[Output]:
        """Return the files to write at `target` and beside it. Raises BadInput for what they cannot hold."""
        found = []
        for layer in self.layers:
            path = target if layer == "mean" else beside(target, layer)
            form = form_of(self.scene, path, kind_of(layer), self.settings.keep_dtype)
            found.append(Output(path, layer, form, kind_of(layer), not self._signed, snap))
        return found

    @property
    def _signed(self) -> bool:
        return any(band.domain.signed for band, _ in self.bands.values())

    @property
    def folder(self) -> Path:
        """Return the folder of unfinished work."""
        assert self.target is not None
        return self.target.with_name(f".{self.target.name}.work")

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Return all that must be the same for the work of one run to be of use to another."""
        s, grid = self.settings, self.job.grid
        of_prior: dict[str, Any] = {}
        if isinstance(s.method, PosteriorMethod):
            of_prior = {"prior": s.method.prior, "prior_sha256": sha256(find(s.method.prior))}
        return {
            "restorekit": restorekit.__version__, "input": self._digest, "solver": s.text,
            **of_prior, "steps": s.method.steps if isinstance(s.method, PosteriorMethod) else None, "samples": s.draws, "seed": s.seed, "domain": s.domain,
            "decorrelate": s.decorrelate, "grain": s.grain if s.grain is None or isinstance(s.grain, str) else list(s.grain), **self._of_product, **kept.identity(s),
            "precision": s.precision, "keep_dtype": s.keep_dtype, "block": grid.side, "halo": grid.halo, "fade": grid.fade,
            "bands": {str(n): {"domain": b.domain.name, "looks": f.looks, "kappa": f.kappa, "median": f.median} | _correlation(f)
                      for n, (b, f) in self.bands.items()},
            **({} if self.joint is None else {"joint": self.joint}),
            **({} if self.covariance is None else {"covariance": asdict(self.covariance) | {"restored": s.polarisations}}),
            **({} if self.polarised is None or self.joint is not None else {"polarisations": asdict(self.polarised)}),
        }  # fmt: skip

    @property
    def _of_product(self) -> dict[str, Any]:
        """Return what was done to the numbers of a product, and the looks and grain that came with it, for the record."""
        product, grain = self.scene.product, self.settings.grain
        named = known_product(grain) if isinstance(grain, str) else None
        found: dict[str, Any] = {} if product is None else {"product": list(product.said)}
        return found if named is None else found | {"grain_of_name": list(named.grain), "grain_source": named.source}

    @property
    def _digest(self) -> str:
        """Return the SHA-256 of the files, or of the values of an array."""
        if (digest := product_digest(self.scene)) is not None:
            return digest
        if self.scene.pixels is None:
            return source_digest(self.scene.path, self.scene.reading)
        return hashlib.sha256(np.ascontiguousarray(self.scene.pixels).tobytes()).hexdigest()

    def finished(self) -> set[Key]:
        """Return the blocks that an interrupted run of the same settings left."""
        return Store(self.folder).finished() & set(self.keys) if self.folder.is_dir() else set()

    def tasks(self, missing: Sequence[Key], tile: int) -> list[list[Key]]:
        """Return the blocks in groups that lie in one square of `tile` pixels, at least one block each."""
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
        """Treat what is not yet treated, write the files, and return their paths. What is interrupted goes on when run again.

        say: is told what was found on the way, as the number of point targets.
        """
        assert self.target is not None
        outputs = self.outputs(self.target, snap)
        with opened(self.folder, self.identity, restart=restart) as store:
            scene = self._treated(store, executor, tile, progress, say)
            self.write(outputs, scene, store.folder)
            store.drop()
        return self.results(outputs)

    def in_memory(
        self,
        executor: Executor | None = None,
        *,
        tile: int = 0,
        progress: Progress | None = None,
        say: Callable[[str], None] | None = None,
    ) -> BlendedScene:
        """Treat all blocks and return them; nothing is written."""
        return self._treated(MemoryStore(), executor, tile, progress, say)

    def _treated(
        self,
        store: BlockStore,
        executor: Executor | None,
        tile: int,
        progress: Progress | None,
        say: Callable[[str], None] | None,
    ) -> BlendedScene:
        done = store.finished() & set(self.keys)
        tasks = self.tasks([k for k in self.keys if k not in done], tile)
        for key, layers in (executor or Serial())(self.work, tasks):
            store.put(key, layers)
            done.add(key)
            if progress is not None:
                progress(len(done), len(self.keys))
        derived = {} if self.covariance is None else dict.fromkeys(self.covariance.parts, self.covariance)
        scene = BlendedScene(self.job, self._of_bands(store), self.preview, derived)
        if say is not None:
            for text in self.counted.said(scene):
                say(text)
        return scene

    @property
    def counted(self) -> kept.KeptPixels:
        """Return what counts the pixels that were not left to the solver."""
        test = None if self.joint is None else self.joint.get("changes")
        return kept.KeptPixels(self.settings, tuple(self.bands), None if test is None else test["false_alarms"])

    def save(self, scene: BlendedScene, target: Path, snap: bool = False) -> list[Path]:
        """Write a result of `in_memory` and return the paths. Raises BadInput where `target` cannot hold it."""
        self.check(target)
        outputs = self.outputs(target, snap)
        with tempfile.TemporaryDirectory(prefix=f".{target.name[:40]}.", dir=target.parent) as folder:
            self.write(outputs, scene, Path(folder))
        return self.results(outputs)

    def array(self, scene: BlendedScene, layer: str = "mean") -> NDArray[np.float32]:
        """Return a layer (C, H, W) float32, in the numbers of the file; NaN where nothing was measured."""
        form, part = Form("float32", math.nan), self.preview or self.scene.whole
        out = np.full((self.scene.count, part.height, part.width), np.nan, np.float32)
        with self.scene.opened() as source:
            for number in range(1, self.scene.count + 1):
                if number in self.bands or (number in scene.derived and kind_of(layer) == "value"):
                    out[number - 1] = scene.array(source, number, layer, form)
                elif kind_of(layer) == "value":
                    raw, valid = source.read(part, number)
                    out[number - 1] = np.where(valid, magnitude(raw), np.nan)
        return out

    def check(self, target: Path) -> None:
        """Raise BadInput where a file to write would replace one that is read, or cannot hold the result."""
        named = files_of(self.settings.solver, self.settings.prior)
        inputs = named if self.scene.pixels is not None else [container(self.scene.path), *named]
        if self.settings.stac is not None:
            check_item(self.scene, target, self.settings.stac)
        separate(inputs, self._files(target))

    def _files(self, target: Path) -> list[Path]:
        """Return all files that are written for OUT, their record last."""
        results = self.results(self.outputs(target))
        return [*results, named_beside(target, target.name + ".json")]

    def results(self, outputs: list[Output]) -> list[Path]:
        """Return the files of a result: of its layers, and a STAC item where one is asked for."""
        beside_them = [] if self.settings.stac is None else [item_path(outputs[0].target)]
        return [*(output.target for output in outputs), *beside_them]

    def write(self, outputs: list[Output], scene: BlendedScene, folder: Path) -> None:
        """Write the files of a treated scene, all or none; `folder` is for what is not finished."""
        # No date: the same work gives the same bytes.
        record = self.identity | self.counted.record(scene)
        tags = {PROVENANCE: json.dumps(record), "TIFFTAG_SOFTWARE": f"restorekit {restorekit.__version__}"}
        with together():
            for output in outputs:
                output.write(self.scene, scene, folder, tags)
            if self.settings.stac is not None:
                write_json(item_path(outputs[0].target), item(self.scene, self.preview, outputs, self.settings.stac))
            *written, own = self._files(target := outputs[0].target)
            _, of_stale = earlier(own, written, [beside(target, "std"), beside(target, kept.MASK)])
            write_json(own, head(command="despeckle") | record | of_stale | {"outputs": checksums(written)})


def _correlation(facts: BandStatistics) -> dict[str, Any]:
    """Return the correlation of neighbours before anything was done about it, for the record."""
    found = facts.measured
    return {} if found is None else {"correlation": list(found.lag_one), "with_texture": found.textured}


def beside(target: Path, what: str) -> Path:
    """Return the name of a file that is written beside `target`."""
    suffix = target.suffix if target.suffix.lower() in (*TIFF, ".npy") else ".tif"
    return named_beside(target, f"{target.stem}_{what}{suffix}")


def plan(source: Path | Scene, target: Path | None, settings: Settings, preview: Window | None = None) -> DespecklePlan:
    """Look at the scene and return what is to be done. Raises BadInput for whatever can be refused before hours of work.

    source: a file, or a scene in memory. target: None where the result stays in memory. preview: the part to restore.
    """
    # Workers may be elsewhere in the same file system.
    where = source if isinstance(source, Scene) else absolute(source)
    scene = scene_as(where, settings.domain, settings.reading, settings.bands)
    if settings.domain in PARTS or scene.reading.parts is not None:  # which took the bands that were asked for
        settings = replace(settings, bands=None)
    _check(scene, settings, preview)
    result = DespecklePlan(scene, target, settings, {}, [], preview)
    if target is not None:
        result.check(target)
        result.said.extend(losses(scene, target))
    if settings.covariance:
        settings, bands = as_covariance(scene, settings, result.said.append)
        result = replace(result, settings=settings, covariance=bands)
    found, polarised = looked_at(scene, settings, result.said.append)
    result = replace(result, bands=found, polarised=polarised)
    if not result.bands:
        result.said.append("nothing was measured anywhere: the file is copied")
    return result


def _check(scene: Scene, settings: Settings, preview: Window | None) -> None:
    if preview is not None and not preview.within(scene.height, scene.width):
        raise BadInput(f"`preview` lies outside the scene, which has {scene.height} rows and {scene.width} columns")
    if settings.looks is not None and not 0 < settings.looks < 1e4:
        raise BadInput(
            f"`looks={settings.looks:g}` must be above 0; 1 for single-look data, about 4.4 for Sentinel-1 GRD"
        )
    if isinstance(settings.grain, str):
        known_product(settings.grain)
    elif settings.grain is not None and not all(0 <= rho <= CLOSEST for rho in settings.grain):
        raise BadInput(
            f"`grain={settings.grain[0]:g},{settings.grain[1]:g}`: correlations of intensity with the next row and the next "
            f"column lie between 0 and {CLOSEST:g}; 0,0 for independent pixels, `grain=sentinel-1-iw-grd` for Sentinel-1 IW GRD"
        )
    if settings.decorrelate not in DECORRELATE:
        raise BadInput(f"unknown `decorrelate` {settings.decorrelate!r}; known: {', '.join(DECORRELATE)}")
    if settings.polarisations not in POLARISATIONS:
        raise BadInput(
            f"unknown `polarisations` {settings.polarisations!r}; known: {', '.join(POLARISATIONS)}",
            argument="polarisations",
        )
    _ = settings.method  # refuses settings that the solver does not have
