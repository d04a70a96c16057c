"""Fusion: what a radar picture shows, put into an optical one of the same place."""

from __future__ import annotations

import dataclasses
import os
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from restorekit.despeckling.arrays import despeckled as despeckled_by_prior
from restorekit.despeckling.settings import Settings
from restorekit.errors import BadInput
from restorekit.files.atomic import check_target
from restorekit.files.datasets import container
from restorekit.files.overwrite import separate
from restorekit.files.picture import Picture
from restorekit.files.reading import Reading
from restorekit.files.record import head, refuse_of_another
from restorekit.files.scene import Scene
from restorekit.fusion import pair_files as inputs
from restorekit.fusion.cloud_source import CloudSource
from restorekit.fusion.joint import Diffusion, Map, solver_of
from restorekit.fusion.pair import Despeckler, FusionPair, Pairing, ReadPair
from restorekit.fusion.prepare import DESPECKLERS, despeckled
from restorekit.fusion.purposes import Purpose, purpose_of
from restorekit.fusion.selection import Sources
from restorekit.inference.driver import streams
from restorekit.notes import Notes
from restorekit.priors.find import Precision, Prior, device_of, load_prior, of_pictures
from restorekit.priors.prior import LatentPrior
from restorekit.products.opening import product_digest, scene_of
from restorekit.report.progress import watched
from restorekit.tasks.each import each_measurement
from restorekit.tasks.fused_picture import FusedOrigin, FusedPicture, in_place, measured, words_of
from restorekit.tasks.identity import identity_of
from restorekit.tasks.inputs import Source, Span, bands_first
from restorekit.tasks.measurement import Progress
from restorekit.tasks.saving import record_file
from restorekit.tasks.task_settings import refuse_unknown
from restorekit.text.names import files_of

LEARNED = ("hqs", "sar-dps")  # despecklers with the prior of `despeckle`


class Prepared(NamedTuple):
    """A pair made ready, with the solver and the prior that fuse it."""

    pair: FusionPair
    solver: Map | Diffusion
    prior: Prior | None


@dataclass(frozen=True, kw_only=True)
class Fusing:
    """Settings of a fusion; the call fuses.

    solver: "map", without a network, or "diffusion", with settings as "map:a=0.5,c=2". align: resample the radar picture to
    the grid of the optical one. trust_grid: go on where the pictures do not show that they lie on each other. bands: of the
    optical picture, from 1; the others are copied; by default the first three, or the first. sar_band: of the radar picture.
    domain: what that holds: "intensity", "amplitude", "db", "complex", or "auto". despeckle: "none", a filter of
    `restorekit.sar.filters`, or "hqs" or "sar-dps" with the prior of `restorekit.despeckle`. looks: of the radar picture,
    measured by default. match: "moments" or "histogram" of the luminance. range: values of black and white of the optical one.
    layout: axes of NPY files of three, "HWC" or "CHW". page, sar_page: of a TIFF of several that is the optical or the radar picture,
    from 1. product: what is taken of a radar picture that is a product of a radar satellite, HDF5 or Zarr, as "VV,gamma0".
    purpose: "eye", the optical picture with fine details of the radar picture, or "interpretation", all of its contrasts that speckle
    does not explain, linear in decibels. cloud: "auto", "band:4" of the optical picture, from 1, or a file; cloud_classes: what its values
    are, "mask", "scl", "qa60" or numbers; cloud shows the radar picture. added: whether OUT_added, the result less the optical picture, is
    written; for interpretation it always is.
    """

    solver: str = "map"
    align: bool = False
    trust_grid: bool = False
    bands: tuple[int, ...] | None = None
    sar_band: int = 1
    domain: str = "auto"
    despeckle: str = "hqs"
    looks: float | None = None
    match: str = "moments"
    range: Span | None = None
    prior: str = "natural"
    seed: int = 0
    device: str = "auto"
    tile: int | None = None
    precision: Precision = "auto"
    layout: str | None = None
    page: int | None = None
    sar_page: int | None = None
    product: str | None = None
    purpose: str = "eye"
    cloud: str | None = None
    cloud_classes: str | None = None
    added: bool = False

    def __call__(
        self,
        optical: Source,
        sar: Source,
        *,
        out: str | os.PathLike[str] | None = None,
        notes: Notes | None = None,
        progress: Progress | None = None,
    ) -> FusedPicture:
        """Fuse two pictures of one place; what can be refused is refused before the radar picture is despeckled.

        out: where the result will be saved. notes: is told what a reader of the result should know; progress: (solver,
        iterations or network calls done, in all). Raises `BadInput` for a pair that does not fit, with the way out.
        """
        notes = Notes() if notes is None else notes
        named = _paths(optical, sar)
        if out is not None:
            self._separate(named, Path(out))
        chosen, purpose, pairing = solver_of(self.solver), purpose_of(self.purpose), self.pairing(notes)
        if not purpose.selects and self.solver != Fusing.solver:
            raise BadInput(
                f"`purpose={self.purpose}` adds what the radar picture shows and asks no solver; leave `solver` out",
                argument="solver",
            )
        prior = self._prior(chosen)
        began = time.monotonic()
        read = self.read(pairing, optical, sar, notes)
        if out is not None:
            inputs.check_bands_writable(Path(out), read.optical)
        if self._learned:
            pairing.refuse_shifted(read)
        if self._learned and notes.heard is not None:  # of the run, and not of the result
            notes.heard(f"the radar picture is despeckled first, by {self.despeckle}; `despeckle=lee` is fast")
        pair = pairing.matched(read, notes)
        prepared = time.monotonic() - began
        told = None if progress is None else partial(progress, self.solver.partition(":")[0])
        fused, weight, nfe = self._fused(Prepared(pair, chosen, prior), purpose, told)
        pixels, said = in_place(pair, purpose, fused, weight)
        for text in words_of(said, pair.optical.dtype):
            notes(text)
        network: dict[str, Any] = {"prior": None}
        if prior is not None:
            of_prior = {"name": prior.spec.name, "sha256": prior.sha256}
            network = {"prior": of_prior, "precision": prior.precision, "tile": prior.tile}
        of_radar = Reading(self.layout, self.sar_page, product=self.product)
        record = {
            **head(command="fuse"),
            "input": {
                "optical": _identity(optical) | Reading(self.layout, self.page).record(),
                "sar": _identity(sar, of_radar) | of_radar.record(),
            },
            "solver": {"name": type(chosen).__name__, **dataclasses.asdict(chosen)} if purpose.selects else None, "seed": self.seed, "purpose": self.purpose, **pair.record,
            **self._of_added(pair), **network, "nfe": nfe, "device": str(device_of(self.device)), **said,
        }  # fmt: skip
        metrics = measured(pair, pixels[[n - 1 for n in pair.bands]])
        low, high = pair.span
        grey = np.where(pair.optical.valid, (pixels.astype(np.float64) - low) / (high - low), np.nan)
        return FusedPicture(
            samples=torch.from_numpy(grey.astype(np.float32))[None],
            nfe=nfe, seconds=time.monotonic() - began, settings=_settings(record["solver"]),
            notes=tuple(notes.texts), source=FusedOrigin(self, pair, pixels, record, named, notes),
            pixels=pixels, metrics=metrics, prepared=prepared,
        )  # fmt: skip

    def read(self, pairing: Pairing, optical: Source, sar: Source, notes: Notes) -> ReadPair:
        """Return both pictures on one grid, as measured. Raises BadInput where they are no pair."""
        optical_bands = bands_of(optical, "optical", Reading(self.layout, self.page))
        return pairing.read(optical_bands, self._radar(sar, notes), notes)

    def _radar(self, sar: Source, notes: Notes) -> Path | inputs.Bands | Scene:
        """Return the radar picture: a product by its own reader, all else as it comes."""
        reading = Reading(self.layout, self.sar_page, product=self.product)
        product = inputs.product_of(sar, reading, notes) if isinstance(sar, str | os.PathLike) else None
        return bands_of(sar, "radar", reading) if product is None else product

    def pairing(self, notes: Notes) -> Pairing:
        """Return how the pair is made ready. Raises BadInput for settings that cannot be."""
        known = (*DESPECKLERS, *LEARNED)
        if self.despeckle.partition(":")[0] not in known:
            raise BadInput(
                f"`despeckle` {self.despeckle!r} is unknown; known: {', '.join(known)}", argument="despeckle"
            )
        filtered: Despeckler = partial(despeckled, self.despeckle)
        return Pairing(
            despeckle=self._with_prior(notes) if self._learned else filtered, despeckler=self.despeckle, looks=self.looks,
            align=self.align, trust_grid=self.trust_grid, bands=self.bands, sar_band=self.sar_band, domain=self.domain,
            match=self.match, span=self.range, cloud=CloudSource(self.cloud, self.cloud_classes),
        )  # fmt: skip

    @property
    def _learned(self) -> bool:
        return self.despeckle.partition(":")[0] in LEARNED

    def _with_prior(self, notes: Notes) -> Despeckler:
        """Return a despeckler that does as `restorekit.despeckle`, with the mean of its samples where it draws some."""
        settings = Settings(solver=self.despeckle, seed=self.seed, device=self.device)
        _ = settings.method  # refuses a wrong setting now
        return partial(despeckled_by_prior, settings, say=lambda text: notes(f"radar, {text}"))

    def _prior(self, chosen: Map | Diffusion) -> Prior | None:
        if self.precision not in ("auto", "bf16", "fp32"):
            raise BadInput(f"`precision` {self.precision!r} is unknown; it is auto, bf16 or fp32", argument="precision")
        if not chosen.network:
            return None
        place = device_of(self.device)
        prior = of_pictures(load_prior(self.prior, device=place, precision=self.precision, tile=self.tile or "auto"))
        if isinstance(prior, LatentPrior):
            raise BadInput(f"`prior={self.prior}` is one of latents; take one of pictures, such as natural")
        return prior

    def _fused(
        self, ready: Prepared, purpose: Purpose, progress: Any
    ) -> tuple[NDArray[np.floating], NDArray[np.floating], int]:
        """Return the fused luminance (H, W), the weight that the radar picture has in it, and the network calls."""
        pair, place = ready.pair, device_of(self.device)
        calls = 0

        def tensor(x: Any) -> torch.Tensor:
            return torch.from_numpy(np.ascontiguousarray(x, np.float32))[None, None].to(place)

        def selected(optical: Any, radar: Any, weight: Any) -> NDArray[np.floating]:
            nonlocal calls
            sources = Sources(*map(tensor, (optical, radar, pair.valid_optical * (1 - weight), weight)))
            denoise: Any = None if ready.prior is None else ready.prior.for_bands(1)
            found = ready.solver.fuse(sources, denoise, streams(self.seed, 0, 1), progress)
            calls += found.nfe
            return found.picture[0, 0].double().cpu().numpy()

        fused, weight = purpose(pair, selected)
        return np.where(pair.valid, fused, pair.luminance), weight, calls

    def _separate(self, named: dict[str, Path | None], target: Path) -> None:
        """Raise BadInput where a file that is written is one that is read, or cannot be put there."""
        read = [container(path) for path in (*named.values(), CloudSource(self.cloud).path) if path is not None]
        written = [target, *self.asides(target), record_file(target)]
        separate([*read, *files_of(self.solver, self.despeckle, self.prior)], written)
        refuse_of_another(record_file(target), written[1:-1])
        for path in written[1:]:
            check_target(path)

    def _of_added(self, pair: FusionPair) -> dict[str, Any]:
        """Return what the record says of OUT_added: its unit, and for interpretation how much luminance a decibel is."""
        if not self.writes_added:
            return {}
        gain = pair.record["luminance_per_db"] if self.purpose == "interpretation" else None
        low, high = pair.span
        more = {} if gain is None else {"luminance_per_db": gain * (high - low)}
        return {"added": {"unit": f"numbers of {pair.optical.path.name}", "is": "OUT - OPTICAL", **more}}

    @property
    def writes_added(self) -> bool:
        """Return whether OUT_added is written."""
        return self.added or self.purpose == "interpretation"

    def asides(self, target: Path) -> list[Path]:
        """Return what is written beside OUT, the record aside."""
        chosen = {"added": self.writes_added, "cloud": self.cloud is not None}
        return [inputs.aside(target, what) for what, wanted in chosen.items() if wanted]


@each_measurement
def fuse(
    optical: Source,
    sar: Source,
    out: str | os.PathLike[str] | None = None,
    *,
    notes: Notes | None = None,
    progress: Progress | bool | None = None,
    **settings: Any,
) -> FusedPicture:
    """Put what a radar picture shows into an optical one of the same place, colours kept.

    optical, sar: a path, an array (H, W) or (H, W, C), a tensor (C, H, W), or a `Picture`. Settings are those of `Fusing`, as
    `solver="diffusion"`. out: where the result will be saved, so that what cannot be written there is refused first. Returns a
    `FusedPicture`, a `Restoration` whose `save(path)` writes what the command writes. Without `notes` each note is raised as a `RestorekitNote`
    warning. Raises `BadInput` with the way out.

        restorekit.fuse("optical.tif", "sar.tif").save("fused.tif")
    """
    told = Notes() if notes is None else notes
    refuse_unknown(settings, Fusing.__dataclass_fields__, "a fusion")
    task = Fusing(**settings)
    with watched(progress, solver_of(task.solver).unit) as shown:
        result = task(optical, sar, out=out, notes=told, progress=shown)
    if notes is None:
        told.warn(stacklevel=4)
    return result


def _settings(solver: dict[str, Any] | None) -> dict[str, Any]:
    return {"solver": None} if solver is None else solver | {"solver": solver["name"]}


def _paths(optical: Source, sar: Source) -> dict[str, Path | None]:
    named = {"optical": optical, "sar": sar}
    return {name: Path(s) if isinstance(s, str | os.PathLike) else None for name, s in named.items()}


def _identity(source: Source, reading: Reading | None = None) -> dict[str, Any]:
    if isinstance(source, str | os.PathLike):
        if Path(source).is_dir():  # of a product
            return {"path": str(source), "sha256": product_digest(scene_of(Path(source), reading or Reading()))}
        return identity_of(Path(source))
    return identity_of(None, source.pixels if isinstance(source, Picture) else bands_first(source)[0])


def bands_of(source: Source, name: str, reading: Reading) -> Path | inputs.Bands:
    """Return the path of a file or of its page, or the bands of what is none, or has a layout."""
    if isinstance(source, str | os.PathLike):
        path = inputs.page_named(Path(source), reading.page)
        return inputs.read(path, reading=reading) if reading.layout and inputs.is_plain(path) else path
    if isinstance(source, Picture):
        return inputs.of_picture(source, Path(f"the {name} picture"))
    return inputs.of_values(bands_first(source)[0], f"the {name} picture")
