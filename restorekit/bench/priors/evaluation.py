"""A prior judged on pictures that it was not trained on.

    Evaluation(prior="natural", data=Path("photos.zip"), samples="200", train=Path("train.zip"))()

What it denoises, level by level; how like the pictures its samples are, as a set; whether they are copies of training
pictures. A codec is judged on what it gives back. Every figure comes with the number of pictures, and those of sets with the feature network and its checksum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from restorekit.bench.bench_settings import EvaluationSettings
from restorekit.bench.images.image_cases import SMALLEST
from restorekit.bench.machine import machine, versions
from restorekit.bench.priors.eval_denoise import DOMAINS, Denoising
from restorekit.bench.priors.eval_neighbours import Neighbours, neighbours
from restorekit.bench.priors.eval_pictures import PictureSet
from restorekit.bench.priors.eval_sets import FeatureNet, set_row
from restorekit.bench.priors.reconstruction import reconstruction
from restorekit.errors import BadInput
from restorekit.priors.find import Precision, Prior, device_of, find, load_codec, load_prior
from restorekit.priors.formats.checkpoint import read_spec, sha256
from restorekit.priors.networks.ivqvae import Codec
from restorekit.priors.perception.likeness import need_torchmetrics
from restorekit.tasks.sample import Sampling, displayed
from restorekit.training.data.cache import told

Phase = Callable[[str, int, int], None]  # (what is done, how much of it, of how much)
LOUDEST = 1e6  # noise level
FEWEST = 4  # pictures of a set: precision and recall look at three neighbours of each


@dataclass(frozen=True, eq=False)
class Findings:
    """`record` is what is written as JSON; `strip`, where neighbours were asked for, shows the likeliest copies."""

    record: dict[str, Any]
    strip: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluation(EvaluationSettings):
    """A prior on trial; the call measures. BadInput, before anything runs, for what cannot be."""

    prior: str

    @cached_property
    def sampling(self) -> Sampling:
        """Return the settings of the samples."""
        n = int(self.samples) if self.samples and self.samples.isdecimal() else 1
        return Sampling(
            prior=self.prior, n=n, solver=self.solver, steps=self.steps, size=self.size, bands=self.bands, seed=self.seed,
            label=self.label, guidance=self.guidance, device=self.device, precision=self.precision,
        )  # fmt: skip

    @property
    def loaded(self) -> Prior:
        return self.sampling.loaded

    @property
    def domain(self) -> str:
        return getattr(self.loaded.spec, "domain", "srgb")

    @cached_property
    def pictures(self) -> PictureSet:
        return PictureSet.read(self.data, self.limit)

    @cached_property
    def drawn(self) -> PictureSet | None:
        """Samples that were drawn before; None where they are to be drawn."""
        if self.samples is None or self.samples.isdecimal():
            return None
        found = PictureSet.read(Path(self.samples))
        if len({p.shape for p in found.pictures}) > 1:
            raise BadInput(
                f"{self.samples} holds pictures of several sizes; give samples of one, as `sample` writes with `folder`"
            )
        return found

    @cached_property
    def training(self) -> PictureSet | None:
        return None if self.train is None else PictureSet.read(self.train, self.train_limit)

    @cached_property
    def others(self) -> dict[str, Prior]:
        """Return the priors to compare with, by name."""
        found = {}
        for name in self.beside:
            other = load_prior(name, device=self.sampling.place, precision=cast(Precision, self.precision))
            theirs = getattr(other.spec, "domain", "srgb")
            if theirs != self.domain or theirs == "latent":
                raise BadInput(
                    f"`beside={name}` denoises {theirs}, {self.prior} {self.domain}; compare priors of one kind of pixels"
                )
            found[name] = other
        return found

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """C, H, W of a sample."""
        if self.drawn is None:
            return self.sampling.shape
        height, width = self.drawn.pictures[0].shape[:2]
        return self.sampling.shape[0], height, width

    @cached_property
    def codec(self) -> Codec | None:
        """The codec, where `prior` names one."""
        path = find(self.prior)
        spec = None if path.is_dir() or path.suffix != ".safetensors" else read_spec(path)
        if spec is None or spec.arch.get("kind") != "codec":
            return None
        for name in ("samples", "train", "beside"):
            if getattr(self, name):
                raise BadInput(f"{self.prior} is a codec: it gives pictures back and draws none; leave out `{name}`")
        return load_codec(self.prior, device=device_of(self.device))

    def check(self) -> None:
        """Refuse what cannot be before anything is measured."""
        if self.crop and self.crop < SMALLEST:
            raise BadInput(f"`crop={self.crop}`: at least {SMALLEST} pixels a side are needed, or 0 for whole pictures")
        if self.codec is None:
            self._check_prior()
        _ = self.pictures

    def _check_prior(self) -> None:
        for name, least in (("limit", FEWEST), ("train_limit", 3)):
            value = getattr(self, name)
            if value is not None and value < (least if self.samples else 1):
                raise BadInput(f"`{name}={value}`: at least {least if self.samples else 1} are needed")
        if self.sigmas and not all(0 < s <= LOUDEST for s in self.sigmas):
            raise BadInput(
                f"`sigmas={', '.join(map(str, self.sigmas))}`: noise levels are numbers above 0, {LOUDEST:g} at most, as 0.05,0.1,0.2"
            )
        if self.train is not None and self.samples is None:
            raise BadInput("`train` is for the neighbours of samples; give `samples` too, as `samples=64`")
        if self.sigmas == () and self.samples is None:
            raise BadInput("`sigmas=none` leaves nothing to do; give `samples`, as `samples=200`")
        self.sampling.check()
        if self.sampling.shape[0] not in (1, 3):
            raise BadInput(
                f"prior {self.prior} takes {self.sampling.shape[0]} bands; pictures of files have 1 or 3 (`bands`)"
            )
        _ = self.pictures, self.others, self.training
        if self.sigmas != () and min(self.pictures.least()) < SMALLEST:
            raise BadInput(f"{self.data} holds pictures below {SMALLEST} pixels a side; leave them out")
        if self.samples is not None:
            self._check_samples()

    def _check_samples(self) -> None:
        need_torchmetrics("`samples`")
        count = self.sampling.n if self.drawn is None else len(self.drawn)
        if min(count, len(self.pictures)) < FEWEST:
            raise BadInput(
                f"{count} samples and {len(self.pictures)} pictures: at least {FEWEST} of each are needed to compare sets"
            )
        self.pictures.refuse_smaller(self.shape[1:])
        if self.training is not None:
            self.training.refuse_smaller(self.shape[1:])
        _ = self.net

    @cached_property
    def net(self) -> FeatureNet:
        return FeatureNet.of(self.features, self.shape[1:], self.sampling.place)

    def __call__(self, phase: Phase = lambda what, done, total: None) -> Findings:
        self.check()
        if self.codec is not None:
            return self._reconstruction(self.codec, phase)
        prior = self.loaded
        record = self._record(prior.path, prior.spec.name, self.domain, prior.precision, self.sampling.shape[0])
        if self.sigmas != ():
            record["denoising"] = self._denoising(phase)
        if self.samples is None:
            return Findings(record)
        found = self._samples(phase)
        record["sets"] = self._sets(found, phase)
        if self.training is None:
            return Findings(record)
        near = self._neighbours(found, phase)
        record["neighbours"] = {
            "train": _described(self.training), "windows": near.seen, "network": self._net(), **near.figures()
        }  # fmt: skip
        return Findings(record, near.strip())

    def _record(self, path: Path, name: str, domain: str, precision: str, bands: int) -> dict[str, Any]:
        place = device_of(self.device)
        return versions() | {
            "machine": machine(place), "device": str(place), "precision": precision,
            "prior": {"name": name, "sha256": sha256(path), "domain": domain},
            "pictures": _described(self.pictures), "bands": bands, "seed": self.seed,
        }  # fmt: skip

    def _reconstruction(self, codec: Codec, phase: Phase) -> Findings:
        bands = self.bands or max(codec.net.config.bands)
        path = find(self.prior)
        record = self._record(path, read_spec(path).name, "a codec", "fp32", bands)

        def each() -> Iterator[np.ndarray]:
            for done, (_, picture) in enumerate(self.pictures.centres(self.crop, bands), 1):
                yield picture
                phase("reconstruction", done, len(self.pictures))

        with torch.no_grad():
            return Findings(record | {"reconstruction": reconstruction(codec, each())})

    def _denoising(self, phase: Phase) -> dict[str, Any]:
        bands, kind = self.sampling.shape[0], DOMAINS[self.domain]
        priors = {self.loaded.spec.name: self.loaded}
        for name, other in self.others.items():  # a prior of one's own may be called as a shipped one
            priors[f"{name}@{other.sha256[:8]}" if name in priors else name] = other
        denoise = Denoising({name: p.for_bands(bands) for name, p in priors.items()}, self.sigmas or kind.sigmas,
                            self.domain, self.seed, self.sampling.place)  # fmt: skip
        rows = denoise(
            list(self.pictures.centres(self.crop, bands)), lambda done, total: phase("denoising", done, total)
        )
        return {
            "unit": kind.unit, "psnr_range": kind.white, "crop": self.crop,
            "beside": {name: p.sha256 for name, p in self.others.items()}, "rows": [asdict(row) for row in rows],
        }  # fmt: skip

    def _samples(self, phase: Phase) -> np.ndarray:
        """Return (N, C, H, W) in [0, 1], of 8 bits as the pictures are."""
        if self.drawn is not None:
            return self.drawn.crops(self.shape[1:], self.shape[0])
        found = self.sampling(lambda done, total: phase("sampling", done, total)).pictures
        x = displayed(found.float().cpu(), self.sampling.domain)
        return ((255 * x).round() / 255).numpy()

    def _sets(self, found: np.ndarray, phase: Phase) -> dict[str, Any]:
        size, bands, net = self.shape[1:], self.shape[0], self.net
        data = net(self.pictures.crops(size, bands), lambda done, total: phase("features of pictures", done, total))
        rows = [set_row("samples", net(found, lambda done, total: phase("features of samples", done, total)), data)]
        if self.training is not None and len(self.training) >= FEWEST:
            rows.append(set_row("training pictures", net(self.training.some(len(found)).crops(size, bands)), data))
        made = {} if self.drawn is not None else {"solver": self.solver, "steps": self.steps}
        return {
            "features": self._net(), "fid": net.fid, "kid": net.kid, "size": list(size), "pictures": len(data),
            **made, "rows": [asdict(row) for row in rows],
        }  # fmt: skip

    def _net(self) -> dict[str, Any]:
        return {"name": self.net.label, "sha256": self.net.sha256, "dimension": self.net.dimension}

    def _neighbours(self, found: np.ndarray, phase: Phase) -> Neighbours:
        # As many held-out pictures as samples: the least of many is smaller than the least of few.
        held = self.pictures.some(max(FEWEST, len(found))).crops(self.shape[1:], self.shape[0])
        training = cast(PictureSet, self.training)
        return neighbours(found, held, training, self.net, lambda done, total: phase("training pictures", done, total))


def _described(pictures: PictureSet) -> dict[str, Any]:
    unread = {"unread": len(pictures.broken)} | ({"why": told(pictures.broken)} if pictures.broken else {})
    return {"name": pictures.source.name, "count": len(pictures), **unread, "sha256": pictures.sha256}
