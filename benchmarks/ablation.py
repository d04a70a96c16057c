"""The ablations of seed 000 (its Tables 1 and 2) at a size that a CPU trains: what each part of PIS-DM does to the loss.

All variants train on the same patches in the same order, several seeds each, and are judged by the denoising loss on
fixed patches of other pictures, in bands of the noise level. A difference to the whole network is taken seed by seed;
it is called one where the 95 % interval of its mean (Student's t) leaves out zero.

Each run is a row in results/ablation_rows.csv as soon as it is done; a killed run goes on where it stopped.

python benchmarks/ablation.py [--seeds 3] [--only scans] [--quick]
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
from typing import Any

import numpy as np
import torch
from common import DATA, RESULTS, archive, centre, need_data, publish
from scipy import stats

from restorekit.bench.rows import Rows
from restorekit.priors.library import load_prior
from restorekit.training.config import Config
from restorekit.training.loop import train
from restorekit.training.pictures import Pictures

BANDS = ((0.02, 0.06), (0.06, 0.2), (0.2, 0.6), (0.6, 2.0))  # noise levels, white = 1
SIDE, PATCHES = 32, 256
PICTURES = DATA / "natural128-train.zip"
BASE: dict[str, dict[str, Any]] = {
    "model": {
        "kind": "pisdm", "bands": [3], "patch": 4, "width": 64, "depth": 9, "state": 16, "head": 32, "embed": 64,
        "side": SIDE,
    },
    "data": {"crop": SIDE, "grey_every": 0},
    "optim": {"batch": 16, "lr": 2e-3, "warmup": 20, "ema": 0.99},
}  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """Something changed in BASE: sections of a configuration, as `{"model": {"local": 0}}`.

    What takes more than one run, as the cascade and the scale-invariant loss between its stages, is a subclass with a
    `trained` of its own.
    """

    name: str
    change: dict[str, dict[str, Any]] = field(default_factory=dict)

    def config(self, seed: int, steps: int) -> Config:
        sections = {k: BASE.get(k, {}) | self.change.get(k, {}) for k in BASE.keys() | self.change.keys()}
        sections["optim"] = sections["optim"] | {"steps": steps}
        once = {"checkpoint_every": 1e6, "sample_every": 10**9, "log_every": 10**6}
        return Config.model_validate({**sections, "name": "ablation", "run": {"seed": seed, **once}})

    def trained(self, seed: int, steps: int, out: Path) -> Path:
        """The prior; `out` holds the decoded pictures already."""
        return train(self.config(seed, steps), PICTURES, out, quiet=True)


WHOLE = Variant("whole: cross4, 4 orders")
PARTS = (
    WHOLE,
    Variant("without the cyclic scan: 1 order", {"model": {"orders": 1}}),
    Variant("without padding tokens", {"model": {"padding": False}}),
    Variant("without local enhancement", {"model": {"local": 0}}),
)
SCANS = (
    *(Variant(f"spiral-seed, {n} orders", {"model": {"scan": "spiral-seed", "orders": n}}) for n in (1, 2, 4, 8)),
    Variant("spiral-alt, 8 orders", {"model": {"scan": "spiral-alt"}}),
    Variant("zigzag8, 8 orders", {"model": {"scan": "zigzag8"}}),
    Variant("cross4, 2 orders", {"model": {"orders": 2}}),
)
TABLES = {"parts": PARTS, "scans": SCANS}
CAPTIONS = {"parts": "Parts (Table 1 of the seed)", "scans": "Scan orders (Table 2 of the seed)"}


def judge(path: Path) -> list[float]:
    """The EDM loss of each band: the squared error over c_out^2, 1 for a network that answers nothing, about."""
    prior, rng = load_prior(str(path), precision="fp32", tile=None), torch.Generator().manual_seed(0)
    x0 = torch.from_numpy(np.stack([centre(x, SIDE) for _, x in archive("natural128-test.zip", PATCHES)]))
    found = []
    for low, high in BANDS:
        sigma = torch.exp(torch.linspace(math.log(low), math.log(high), len(x0)))
        noise = torch.randn(x0.shape, generator=rng)
        s, data = sigma.view(-1, 1, 1, 1), prior.spec.sigma_data  # type: ignore[union-attr]
        with torch.no_grad():
            error = torch.cat([prior(x, t) for x, t in zip((x0 + s * noise).split(32), sigma.split(32))]) - x0
        found.append(float((error.square() * (s**2 + data**2) / (s * data) ** 2).mean()))
    return found


def measure(rows: Rows, variants: Sequence[Variant], seeds: Sequence[int], steps: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        for seed in seeds:  # seed after seed: what is there after a stop is comparable
            for variant in variants:
                if rows.has(variant.name, steps, seed):
                    continue
                if not cache.exists():
                    Pictures.open(PICTURES, cache)
                out = Path(folder) / "run"
                out.mkdir()
                os.symlink(cache, out / "cache")
                began = time.process_time()
                path = variant.trained(seed, steps, out)
                seconds = time.process_time() - began
                losses = judge(path)
                rows.add(variant.name, steps, seed, *losses, float(np.mean(losses)), seconds)
                print(variant.name, seed, [round(v, 4) for v in losses], f"{seconds:.0f} s", flush=True)
                shutil.rmtree(out)


def compared(rows: Rows, variants: Sequence[Variant], steps: int) -> list[list[Any]]:
    """Mean and spread of each variant, and its difference to the whole network."""

    def losses(name: str) -> dict[str, float]:
        return {r["seed"]: float(r["mean"]) for r in rows.rows if r["variant"] == name and r["steps"] == str(steps)}

    def bands(name: str) -> list[str]:
        own = [r for r in rows.rows if r["variant"] == name and r["steps"] == str(steps)]
        return [f"{np.mean([float(r[k]) for r in own]):.3f}" for k in rows.fields[3 : 3 + len(BANDS)]]

    whole, body = losses(WHOLE.name), []
    for variant in variants:
        own = losses(variant.name)
        if not own:
            continue
        values, gaps = list(own.values()), [v - whole[s] for s, v in own.items() if s in whole]
        row = [variant.name, len(own), *bands(variant.name), f"{np.mean(values):.4f}"]
        row.append(f"{np.std(values, ddof=1):.4f}" if len(values) > 1 else "-")
        if variant is WHOLE or len(gaps) < 2:
            body.append([*row, "", ""])
            continue
        half = stats.t.ppf(0.975, len(gaps) - 1) * np.std(gaps, ddof=1) / math.sqrt(len(gaps))
        mean = np.mean(gaps)
        says = "within chance" if abs(mean) <= half else "worse" if mean > 0 else "better"
        body.append([*row, f"{mean:+.4f} ± {half:.4f}", says])
    return body


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=TABLES, help="one of the tables")
    parser.add_argument("--quick", action="store_true", help="a few steps, to see that it runs; nothing is kept")
    args = parser.parse_args()
    need_data()
    torch.set_num_threads(1)
    steps, seeds = (5, range(2)) if args.quick else (args.steps, range(args.seeds))
    tables = {name: v for name, v in TABLES.items() if args.only in (None, name)}
    tables = {name: v if WHOLE in v else (WHOLE, *v) for name, v in tables.items()}
    with tempfile.TemporaryDirectory() as nowhere:
        folder = Path(nowhere) if args.quick else RESULTS
        labels = [f"{low:g} to {high:g}" for low, high in BANDS]
        rows = Rows(folder / "ablation_rows.csv", ("variant", "steps", "seed"), (*labels, "mean", "seconds"))
        for variants in tables.values():
            measure(rows, variants, seeds, steps)
        header = ["", "runs", *labels, "mean", "spread", "to the whole", ""]
        body = [(CAPTIONS[name], header, compared(rows, v, steps)) for name, v in tables.items()]
        if args.quick:
            print(body)
            return
        publish("ablation", "Ablations of PIS-DM", body, notes(rows, steps))


def notes(rows: Rows, steps: int) -> list[str]:
    m, o = BASE["model"], BASE["optim"]
    seconds = np.median([float(r["seconds"]) for r in rows.rows if r["steps"] == str(steps)])
    tokens = (SIDE // m["patch"]) ** 2
    size = f"Width {m['width']}, {m['depth']} blocks, patch {m['patch']}, {SIDE} px crops ({tokens} tokens)"
    return [
        f"{size} of {PICTURES.name}, {steps} steps of {o['batch']}, bf16; {seconds:.0f} s of CPU time a run.",
        f"Loss on {PATCHES} patches of natural128-test.zip, in bands of sigma and their mean.",
        "Spread: standard deviation over seeds; ±: half of the 95 % interval of the mean difference, seed by seed.",
        "So short a training tells what helps to learn, not what a network can do in the end.",
    ]


if __name__ == "__main__":
    main()
