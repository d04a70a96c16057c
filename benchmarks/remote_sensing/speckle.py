"""Speckle of 1 and 4 looks on known scenes: the same solvers, settings and seeds with the prior of log-intensity and with
`natural`, moved to the mean and the spread of log-intensities by an affine map.

Beside them total variation of the log-intensity (Chambolle), its weight chosen on training pictures, and the noisy scene.
PSNR is of the amplitude on [0, 1], the intensity under the speckle being the square of the luminance.

python -m benchmarks.remote_sensing.speckle [--prior sar] [--limit 12]
"""

from __future__ import annotations

import argparse
import math
import time
import zlib
from dataclasses import dataclass

import numpy as np
import torch
from skimage.restoration import denoise_tv_chambolle
from torch import Tensor

from benchmarks.support.common import RESULTS, Pictures, archive, centre, classic, grey, load_labelled, publish
from restorekit.files.journal import Rows
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gamma
from restorekit.inference.problem import Problem
from restorekit.inference.units import Units
from restorekit.metrics.fidelity import coverage, psnr, ssim
from restorekit.operators import Identity
from restorekit.priors.find import Prior
from restorekit.priors.formats.checkpoint import PriorSpec
from restorekit.text.names import solver_of
from restorekit.training.data.patches import log_intensity

SOLVERS = (
    ("hqs:first=0.3,lambda=0.07", 12, 1),
    ("sar-dps", 13, 4),
    ("diffpir", 20, 4),
    ("dps", 50, 4),
    ("dps", 200, 1),
)  # steps, samples
LOOKS = (1, 4)
WEIGHTS = (0.3, 0.5, 0.8, 1.2, 1.8)


@dataclass(frozen=True, eq=False)
class AsLogarithms:
    """`natural` for pictures of the mean and the spread that `like` was trained on."""

    natural: Prior
    like: Prior

    @property
    def units(self) -> Units | None:
        return self.like.units

    def __call__(self, x: Tensor, sigma: Tensor | float, /) -> Tensor:
        own, target = self.natural.spec, self.like.spec
        assert isinstance(own, PriorSpec)
        assert isinstance(target, PriorSpec)
        gain = target.sigma_data / own.sigma_data
        shift = target.mean - gain * own.mean
        return shift + gain * self.natural((x - shift) / gain, torch.as_tensor(sigma) / gain)


def speckled(x: np.ndarray, looks: int, name: str) -> tuple[Tensor, Tensor]:
    """ln of the intensity of a grey scene, (1, 1, H, W), and of its measurement."""
    u = torch.from_numpy(log_intensity(x))[None]
    rng = torch.Generator().manual_seed(zlib.crc32(f"{name} {looks}".encode()))
    return u, Gamma(looks, domain="log").sample(u, rng)


def amplitude(u: Tensor | np.ndarray) -> np.ndarray:
    return np.exp(np.asarray(u, dtype=np.float64).reshape(np.shape(u)[-2:]) / 2).clip(0, 1)[None]


def tv(y: Tensor, weight: float, looks: int) -> np.ndarray:
    """Of the log-intensity less the mean of its speckle, digamma(looks) - ln(looks)."""
    bias = float(torch.digamma(torch.tensor(float(looks)))) - np.log(looks)
    return denoise_tv_chambolle(y[0, 0].numpy() - bias, weight=weight)


def weight_of(looks: int) -> float:
    """The best weight of total variation on training tiles."""
    tiles, found = grey(archive("eurosat64-train.zip", 8, seed=1)), []
    for weight in WEIGHTS:
        pairs = [(speckled(x, looks, n), x) for n, x in tiles]
        found.append(np.mean([psnr(amplitude(tv(y, weight, looks)), amplitude(u)) for (u, y), _ in pairs]))
    return WEIGHTS[int(np.argmax(found))]


def scenes(limit: int) -> dict[str, Pictures]:
    few = [(n, centre(x, 96)) for n, x in grey(classic("kodak"))][: max(2, limit // 2)]
    return {"EuroSAT tiles, 64x64": grey(archive("eurosat64-test.zip", limit)), "Kodak, middle 96x96": few}


def measure(rows: Rows, priors: dict[str, Denoiser], kinds: dict[str, Pictures]) -> None:
    for looks in LOOKS:
        weight = weight_of(looks)
        for kind, pictures in kinds.items():
            for name, x in pictures:
                treat(rows, priors, (kind, looks, name), x, weight)
            print(kind, looks, flush=True)


def treat(rows: Rows, priors: dict[str, Denoiser], scene: tuple[str, int, str], x: np.ndarray, weight: float) -> None:
    """Everything that is still missing of one measurement; `scene` is its kind, looks and name."""
    _, looks, name = scene
    u, y = speckled(x, looks, name)
    truth = amplitude(u)

    def add(method: str, steps: int, samples: int, who: str, out: np.ndarray, held: float, seconds: float) -> None:
        rows.add(*scene, method, steps, samples, who, psnr(out, truth), ssim(out, truth), held, seconds)

    plain = {"speckle": lambda: y, f"TV, weight {weight:g}": lambda: tv(y, weight, looks)}
    for method, made in plain.items():
        if not rows.has(*scene, method, 0, 0, "-"):
            add(method, 0, 0, "-", amplitude(made()), math.nan, 0.0)
    problem = Problem(y, Identity((1, *x.shape[1:])), Gamma(looks, domain="log"))
    for text, steps, samples in SOLVERS:
        for who, prior in priors.items():
            if not rows.has(*scene, text, steps, samples, who):
                began = time.perf_counter()
                found = restore(problem, prior, solver_of(text), steps=steps, samples=samples, seed=0).samples
                held = coverage(found.numpy(), u[0].numpy()) if samples > 1 else math.nan
                mean = np.mean([amplitude(u) for u in found], axis=0)
                add(text, steps, samples, who, mean, held, time.perf_counter() - began)


def table(rows: Rows, kind: str, looks: int, names: set[str], priors: list[str]) -> list[list[object]]:
    """Of these pictures and priors, at the settings of today: the rows may hold others too."""
    mine = [r for r in rows.rows if (r["scene"], r["looks"]) == (kind, str(looks)) and r["picture"] in names]
    body: list[list[object]] = []
    for method in dict.fromkeys(r["method"] for r in mine if r["prior"] == "-"):
        values = {r["picture"]: float(r["psnr"]) for r in mine if r["method"] == method}
        body.append([method, "-", "-", f"{np.mean(list(values.values())):.2f}", "", "", ""])
    for key in SOLVERS:
        own = [r for r in mine if (r["method"], int(r["steps"]), int(r["samples"])) == key]
        first, second = ({r["picture"]: r for r in own if r["prior"] == p} for p in priors)
        gaps = [float(first[n]["psnr"]) - float(second[n]["psnr"]) for n in names]
        psnrs = (f"{np.mean([float(r['psnr']) for r in of.values()]):.2f}" for of in (first, second))
        held = np.mean([float(r["coverage"]) for r in first.values()])
        error = np.std(gaps, ddof=1) / np.sqrt(len(gaps))
        shown = "-" if math.isnan(held) else f"{held:.2f}"
        body.append([*key, *psnrs, f"{np.mean(gaps):+.2f} ± {error:.2f}", shown])
    return body


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prior", default="sar", help="shipped name or checkpoint, trained on log-intensities")
    parser.add_argument("--limit", type=int, default=12, help="EuroSAT tiles; half as many of Kodak")
    args = parser.parse_args()
    label, sar = load_labelled(args.prior)
    other, natural = load_labelled("natural")
    priors, kinds = {label: sar, other: AsLogarithms(natural, sar)}, scenes(args.limit)
    fields = ("scene", "looks", "picture", "method", "steps", "samples", "prior")
    rows = Rows(RESULTS / "speckle_rows.csv", fields, ("psnr", "ssim", "coverage", "seconds"))
    measure(rows, priors, kinds)
    header = ("", "steps", "samples", *priors, "difference", "in 90 %")
    tables = [
        (f"{k}, {n} look{'s' * (n > 1)}", header, table(rows, k, n, {name for name, _ in pictures}, list(priors)))
        for k, pictures in kinds.items()
        for n in LOOKS
    ]
    counts = ", ".join(f"{len(p)} of {k}" for k, p in kinds.items())
    notes = [
        f"PSNR of the amplitude in dB, of the mean of the samples; {counts}. Difference: mean over the scenes ± its standard error. In 90 %: share of the pixels inside such intervals of the samples of the first prior.",
        f"{other} sees the log-intensities moved to its own mean and spread. Solvers at the settings named, on logarithms.",
    ]
    publish("speckle", "Despeckling of known scenes", tables, notes)


if __name__ == "__main__":
    main()
