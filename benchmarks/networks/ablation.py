"""The ablations of the two papers at a size that a CPU trains: what each part of PIS-DM does to the loss (Li et al. 2025, Tables 1 and
2), the cascade and its scale-invariant loss, and the fusions of FFTD (Liu et al. 2025). That of f is `benchmarks/priors/codec.py`.

All variants of a table train on the same patches in the same order, several seeds each, and are judged by the loss on fixed
patches of other pictures, in bands of the noise level. A difference to the first of a table is taken seed by seed; it is
called one where the 95 % interval of its mean (Student's t) leaves out zero.

Each run is a row in results/ablation_rows.csv as soon as it is done; a killed run goes on where it stopped.

python -m benchmarks.networks.ablation [--seeds 3] [--only scans] [--quick]
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from benchmarks.support.common import DATA, RESULTS, archive, centre, need_data, publish
from restorekit.files.journal import Rows
from restorekit.priors.find import load_prior
from restorekit.priors.formats.checkpoint import PriorSpec
from restorekit.priors.prior import LatentPrior
from restorekit.training.config import Config
from restorekit.training.data.cache import Pictures
from restorekit.training.loop import train

Bands = tuple[tuple[float, float], ...]
BANDS: Bands = ((0.02, 0.06), (0.06, 0.2), (0.2, 0.6), (0.6, 2.0))  # noise levels, white = 1
LATENT_BANDS: Bands = ((0.05, 0.2), (0.2, 0.6), (0.6, 2.0), (2.0, 8.0))  # in deviations of the latents
SIDE, PATCHES = 32, 256
BASE: dict[str, dict[str, Any]] = {
    "model": {
        "kind": "pisdm", "bands": [3], "patch": 4, "width": 64, "depth": 9, "state": 16, "head": 32, "embed": 64,
        "side": SIDE,
    },
    "data": {"crop": SIDE, "grey_every": 0},
    "optim": {"batch": 16, "lr": 2e-3, "warmup": 20, "ema": 0.99},
}  # fmt: skip


FFTD: dict[str, dict[str, Any]] = {
    "model": {"kind": "fftd", "codec": "fftd-cats", "width": 96, "heads": 3, "embed": 128},
    "data": {"crop": 64, "flips": False},
    "optim": {"batch": 16, "lr": 1e-3, "warmup": 20, "ema": 0.99},
}


@dataclass(frozen=True)
class Variant:
    """Something changed in `base`: sections of a configuration, as `{"model": {"local": 0}}`."""

    name: str
    change: dict[str, dict[str, Any]] = field(default_factory=dict)
    base: ClassVar[dict[str, dict[str, Any]]] = BASE
    pictures: ClassVar[str] = "natural128"
    bands: ClassVar[Bands] = BANDS

    def config(self, seed: int, steps: int, **more: Any) -> Config:
        sections = {k: self.base.get(k, {}) | self.change.get(k, {}) for k in self.base.keys() | self.change.keys()}
        sections["optim"] = {"steps": steps} | sections["optim"]
        once = {"checkpoint_every": 1e6, "sample_every": 10**9, "log_every": 10**6}
        return Config.model_validate({**sections, "name": "ablation", "run": {"seed": seed, **once}, **more})

    def trained(self, seed: int, steps: int, out: Path) -> Path:
        """The prior; `out` holds the decoded pictures already."""
        return train(self.config(seed, steps), DATA / f"{self.pictures}-train.zip", out, quiet=True)

    def judge(self, path: Path) -> list[float]:
        return denoising(path)


@dataclass(frozen=True)
class Longer(Variant):
    """As many steps as both stages of a cascade together."""

    def config(self, seed: int, steps: int, **more: Any) -> Config:
        return super().config(seed, 2 * steps, **more)


@dataclass(frozen=True)
class InTwoStages(Variant):
    """As many steps for the low stage, on pictures of half the side, as then for the high one, which begins with it."""

    kappa: float = 0.4
    top: float | None = BANDS[-1][
        1
    ]  # where the high stage's answers end: beyond what is judged; None: the relay, as in eq 9

    def trained(self, seed: int, steps: int, out: Path) -> Path:
        model = self.base["model"] | self.change.get("model", {}) | {"side": SIDE // 2}
        small = self.base["data"] | {"crop": SIDE // 2, "shrink": 2}
        low = self.config(seed, steps, data=small, model=model)
        first = train(low, DATA / f"{self.pictures}-train.zip", out / "low", quiet=True)
        stage = {"low": str(first), "factor": 2, "top": self.top, "kappa": self.kappa, "ramp": steps // 4}
        high = self.config(seed, steps, init=str(first), cascade=stage)
        return train(high, DATA / f"{self.pictures}-train.zip", out, quiet=True)


@dataclass(frozen=True)
class OfLatents(Variant):
    """FFTD on the latents of the shipped codec."""

    base: ClassVar[dict[str, dict[str, Any]]] = FFTD
    pictures: ClassVar[str] = "cats64"
    bands: ClassVar[Bands] = LATENT_BANDS

    def judge(self, path: Path) -> list[float]:
        return predicting(path)


WHOLE = Variant("whole: cross4, 4 orders")
PARTS = (
    WHOLE,
    Variant("without the cyclic scan: 1 order", {"model": {"orders": 1}}),
    Variant("without padding tokens", {"model": {"padding": False}}),
    Variant("without local enhancement", {"model": {"local": 0}}),
    Variant("with convolutions at full resolution", {"model": {"detail": (16,)}}),
)
SCANS = (
    WHOLE,
    *(Variant(f"spiral-seed, {n} orders", {"model": {"scan": "spiral-seed", "orders": n}}) for n in (1, 2, 4, 8)),
    Variant("spiral-alt, 8 orders", {"model": {"scan": "spiral-alt"}}),
    Variant("zigzag8, 8 orders", {"model": {"scan": "zigzag8"}}),
    Variant("cross4, 2 orders", {"model": {"orders": 2}}),
)
CASCADE = (
    InTwoStages("cascade"),
    InTwoStages("cascade without the scale-invariant loss", kappa=0.0),
    InTwoStages("cascade, the low stage above the relay", top=None),
    WHOLE,
    Longer("one stage, twice the steps"),
)
FUSIONS = (
    OfLatents("adaptive fusion"),
    OfLatents("fused by adding", {"model": {"fuse": "add"}}),
    OfLatents("fused by concatenation", {"model": {"fuse": "concat"}}),
)
TABLES: dict[str, tuple[Variant, ...]] = {"parts": PARTS, "scans": SCANS, "cascade": CASCADE, "fusions": FUSIONS}
CAPTIONS = {
    "parts": "Parts of PIS-DM (Table 1 of Li et al. 2025)",
    "scans": "Scan orders (Table 2 of Li et al. 2025)",
    "cascade": "Cascade and scale-invariant loss (Table 1 of Li et al. 2025)",
    "fusions": "Fusions of FFTD (Liu et al. 2025)",
}


def drawn(name: str, side: int) -> tuple[Tensor, torch.Generator]:
    x0 = torch.from_numpy(np.stack([centre(x, side) for _, x in archive(f"{name}-test.zip", PATCHES)]))
    return x0, torch.Generator().manual_seed(0)


def spread(band: tuple[float, float], count: int) -> Tensor:
    return torch.exp(torch.linspace(math.log(band[0]), math.log(band[1]), count))


def denoising(path: Path) -> list[float]:
    """The EDM loss of each band: the squared error over c_out^2, 1 for a network that answers nothing, about."""
    prior, (x0, rng) = load_prior(str(path), precision="fp32", tile=None), drawn("natural128", SIDE)
    spec, found = prior.spec, []
    assert isinstance(spec, PriorSpec)
    for band in BANDS:
        sigma = spread(band, len(x0))
        noise = torch.randn(x0.shape, generator=rng)
        s, data = sigma.view(-1, 1, 1, 1), spec.sigma_data
        with torch.no_grad():
            error = torch.cat([prior(x, t) for x, t in zip((x0 + s * noise).split(32), sigma.split(32))]) - x0
        found.append(float((error.square() * (s**2 + data**2) / (s * data) ** 2).mean()))
    return found


def predicting(path: Path) -> list[float]:
    """The same of latents, which have mean 0 and deviation 1: the squared error of z0, times (1 + sigma^2) / sigma^2."""
    prior, (x0, rng) = load_prior(str(path), tile=None), drawn("cats64", 64)
    assert isinstance(prior, LatentPrior)
    z0, found = torch.cat([prior.codec.encode(x) for x in x0.split(32)]), []
    for band in LATENT_BANDS:
        sigma = spread(band, len(z0))
        s, noise = sigma.view(-1, 1, 1, 1), torch.randn(z0.shape, generator=rng)
        with torch.no_grad():
            error = torch.cat([prior.denoise(z, t) for z, t in zip((z0 + s * noise).split(32), sigma.split(32))]) - z0
        found.append(float((error.square() * (s**2 + 1) / s**2).mean()))
    return found


def measure(rows: Rows, variants: Sequence[Variant], seeds: Sequence[int], steps: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        for seed in seeds:  # seed after seed: what is there after a stop is comparable
            for variant in variants:
                if rows.has(variant.name, steps, seed):
                    continue
                if not cache.exists():
                    Pictures.open(DATA / f"{variant.pictures}-train.zip", cache)
                out = Path(folder) / "run"
                for place in (out, out / "low"):
                    place.mkdir()
                    os.symlink(cache, place / "cache")
                began = time.process_time()
                path = variant.trained(seed, steps, out)
                seconds = time.process_time() - began
                losses = variant.judge(path)
                rows.add(variant.name, steps, seed, *losses, float(np.mean(losses)), seconds)
                print(variant.name, seed, [round(v, 4) for v in losses], f"{seconds:.0f} s", flush=True)
                shutil.rmtree(out)


def compared(rows: Rows, variants: Sequence[Variant], steps: int) -> list[list[Any]]:
    """Mean and spread of each variant, its seconds, and its difference to the first."""

    def own(variant: Variant, column: str) -> dict[str, float]:
        mine = [r for r in rows.rows if r["variant"] == variant.name and r["steps"] == str(steps)]
        return {r["seed"]: float(r[column]) for r in mine}

    first, body = own(variants[0], "mean"), []
    for variant in variants:
        losses = own(variant, "mean")
        if not losses:
            continue
        values, gaps = list(losses.values()), [v - first[s] for s, v in losses.items() if s in first]
        bands = [f"{np.mean(list(own(variant, k).values())):.3f}" for k in rows.fields[3:-2]]
        row = [variant.name, len(losses), f"{np.median(list(own(variant, 'seconds').values())):.0f}", *bands]
        row += [f"{np.mean(values):.4f}", f"{np.std(values, ddof=1):.4f}" if len(values) > 1 else "-"]
        if variant is variants[0] or len(gaps) < 2:
            body.append([*row, "", ""])
            continue
        half = stats.t.ppf(0.975, len(gaps) - 1) * np.std(gaps, ddof=1) / math.sqrt(len(gaps))
        mean = np.mean(gaps)
        says = "within chance" if abs(mean) <= half else "worse" if mean > 0 else "better"
        body.append([*row, f"{mean:+.4f} ± {half:.4f}", says])
    return body


def labels(variants: Sequence[Variant]) -> list[str]:
    return [f"{low:g} to {high:g}" for low, high in variants[0].bands]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=TABLES, action="append", help="one of the tables; again for more")
    parser.add_argument("--quick", action="store_true", help="a few steps, to see that it runs; nothing is kept")
    args = parser.parse_args()
    need_data()
    torch.set_num_threads(1)
    steps, seeds = (5, range(2)) if args.quick else (args.steps, range(args.seeds))
    with tempfile.TemporaryDirectory() as nowhere:
        bands = [f"band {i}" for i in range(1, len(BANDS) + 1)]
        folder = Path(nowhere) if args.quick else RESULTS
        rows = Rows(folder / "ablation_rows.csv", ("variant", "steps", "seed"), (*bands, "mean", "seconds"))
        for name in args.only or TABLES:
            measure(rows, TABLES[name], seeds, steps)
        body = []
        for name, variants in TABLES.items():
            header = ["", "runs", "CPU s", *labels(variants), "mean", "spread", "to the first", ""]
            body.append((CAPTIONS[name], header, compared(rows, variants, steps)))
        if args.quick:
            print(body)
            return
        publish("ablation", "Ablations of PIS-DM and FFTD", body, notes(steps))


def notes(steps: int) -> list[str]:
    m, o, f = BASE["model"], BASE["optim"], FFTD["model"]
    tokens = (SIDE // m["patch"]) ** 2
    size = f"width {m['width']}, {m['depth']} blocks, patch {m['patch']}, {SIDE} px crops ({tokens} tokens)"
    latents = f"width {f['width']}, latents of 64 px pictures of cats64-train.zip by the codec of fftd-cats"
    return [
        f"{steps} steps of {o['batch']}, bf16. PIS-DM: {size} of natural128-train.zip. FFTD: {latents}.",
        f"Loss on {PATCHES} patches of natural128-test.zip or cats64-test.zip, in bands of sigma and their mean.",
        "Spread: standard deviation over seeds; ±: half of the 95 % interval of the mean difference, seed by seed.",
        "Cascade: the high stage answers for all the levels judged, but where the low stage does above the relay.",
        "So short a training tells what helps to learn, not what a network can do in the end.",
    ]


if __name__ == "__main__":
    main()
