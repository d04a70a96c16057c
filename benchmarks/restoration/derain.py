"""Rain: what a derainer left, repaired with a prior, on pairs with the output of a derainer; and the plain derainer.

python -m benchmarks.restoration.derain            # needs $RESTOREKIT_DATA/rain; a run that was stopped goes on
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.support.common import DATA, RESULTS, centre, load_labelled, need_data, picture_set, publish
from restorekit.files.journal import Rows
from restorekit.files.picture import read_picture
from restorekit.inference.denoiser import Denoiser
from restorekit.metrics.fidelity import luma, psnr, ssim
from restorekit.rain.morphology import Directional
from restorekit.rain.refine import PAPER, WEAK, Refinement
from restorekit.rain.residue import PAPER_RESIDUE, WEAK_RESIDUE, Residue, rain_layer
from restorekit.rain.streaks import Streaks, fallen
from restorekit.solvers.ddnm import DDNMPlus

FIGURES = {"psnr_y": "PSNR Y", "ssim_y": "SSIM Y", "psnr": "PSNR RGB", "ssim": "SSIM RGB"}
TUNED = (1, 2, 4, 6)  # what sigma and weight were chosen on
WEIGHTS = (0.1, 0.2, 0.4, 1.0)
LEVELS = (0.0, 0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 1.01)
CROP = 96
CROP_STEPS = 60  # of dps; its own 200 take as many times longer
PAINTED = replace(PAPER, solver=DDNMPlus(), steps=20)  # eq 27 by null space

SYNTHETIC = 8
KINDS = {"as they are": Streaks(), "dense": Streaks(density=0.12), "far": Streaks(depth=6), "near": Streaks(depth=1)}
KINDS |= {"flat, 30 degrees": Streaks(angle=30)}

Array = np.ndarray
parser = argparse.ArgumentParser()
parser.add_argument("--sheets", type=Path, help="folder for crops, side by side")
parser.add_argument("--threads", type=int, default=1)


@cache
def pair(number: int) -> tuple[Array, Array, Array]:
    """Rainy, clean, and without rain by a derainer, (C, H, W) each."""
    rainy, clean, base = (
        read_picture(DATA / "rain" / f / f"{number}.png").pixels for f in ("rain", "norain", "prenet6")
    )
    return rainy, clean, base


def eight(x: Array) -> Array:
    """As a file of 8 bits holds it."""
    return np.rint(255 * x.clip(0, 1)).astype(np.float32) / 255


def figures(x: Array, clean: Array) -> list[float]:
    x = eight(x)
    grey, truth = luma(x), luma(clean)
    return [psnr(grey, truth), ssim(grey, truth), psnr(x, clean), ssim(x, clean)]


def refined(y: Array, b: Array, make: Refinement, residue: Residue, denoise: Denoiser) -> tuple[Array, float]:
    k = residue(rain_layer(y, b)).k
    return make(b, k, denoise).picture, float(k.mean())


def cut(x: Array) -> Array:
    return centre(x, CROP)


def methods(denoise: Denoiser) -> Iterator[tuple[str, Callable[[int], dict[str, tuple[Array, Array, float]]]]]:
    """(name, number of a pair -> rows of that name: what was made, the truth, share that was masked)."""

    def rainy(n: int) -> dict[str, tuple[Array, Array, float]]:
        y, clean, b = pair(n)
        plain = Directional()(y)
        return {"rainy": (y, clean, 0.0), "derained": (b, clean, 0.0), "plain derainer": (plain, clean, 0.0)}

    def ours(n: int) -> dict[str, tuple[Array, Array, float]]:
        y, clean, b = pair(n)
        x, masked = refined(y, b, replace(Refinement(), weight=1.0), Residue(), denoise)
        used = {w: b + w * (x - b) for w in WEIGHTS}  # what a smaller weight gives follows from weight 1
        return {
            ("repaired" if w == Refinement().weight else f"weight {w:g}"): (used[w], clean, masked) for w in WEIGHTS
        }

    def painted(n: int) -> dict[str, tuple[Array, Array, float]]:
        y, clean, b = pair(n)
        x, masked = refined(y, b, PAINTED, PAPER_RESIDUE, denoise)
        return {"eq 27, null space": (x, clean, masked)}

    def plain(n: int) -> dict[str, tuple[Array, Array, float]]:
        y, clean, _ = pair(n)
        x, masked = refined(y, eight(Directional()(y)), WEAK, WEAK_RESIDUE, denoise)
        return {"plain derainer, repaired": (x, clean, masked)}

    def crops(n: int) -> dict[str, tuple[Array, Array, float]]:
        y, clean, b = map(cut, pair(n))
        x, masked = refined(y, b, replace(PAPER, steps=CROP_STEPS), PAPER_RESIDUE, denoise)
        return {"crop: derained": (b, clean, 0.0), "crop: paper": (x, clean, masked)}

    yield "rainy", rainy
    yield "repaired", ours
    yield "plain derainer, repaired", plain
    yield "eq 27, null space", painted
    yield "crop: paper", crops


def measure(rows: Rows, denoise: Denoiser, sheets: Path | None) -> None:
    for name, make in methods(denoise):
        for n in range(1, 13):
            if rows.has(name, n) and sheets is None:
                continue
            began = time.perf_counter()
            made = make(n)
            seconds = time.perf_counter() - began
            for what, (x, clean, masked) in made.items():
                if not rows.has(what, n):
                    rows.add(what, n, *(round(f, 5) for f in figures(x, clean)), masked, seconds)
                if sheets is not None and what in ("repaired", "eq 27, null space"):
                    sheet(n, x, sheets / f"{n}_{what.split(',')[0].replace(' ', '')}.png")
        print(name, flush=True)


def sheet(n: int, x: Array, path: Path, side: int = 120, times: int = 3) -> None:
    """Where most was changed: rainy, derained, x, clean."""
    y, clean, b = pair(n)
    from scipy.ndimage import uniform_filter

    moved = uniform_filter(np.abs(x - b).mean(0), side, mode="constant")
    top, left = (
        int(np.clip(c - side // 2, 0, m - side))
        for c, m in zip(np.unravel_index(moved.argmax(), moved.shape), moved.shape)
    )
    row = np.concatenate([p[:, top : top + side, left : left + side].clip(0, 1) for p in (y, b, x, clean)], 2)
    large = np.rint(255 * row).astype(np.uint8).transpose(1, 2, 0).repeat(times, 0).repeat(times, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(large).save(path)


def errors() -> list[list[Any]]:
    """How far the derained pictures are off where R is so much."""
    found = []
    for low, high in zip(LEVELS, LEVELS[1:]):
        squares, count = 0.0, 0
        for n in range(1, 13):
            y, clean, b = pair(n)
            r = rain_layer(y, b)
            at = (r >= low) & (r < high)
            squares, count = squares + float(np.square(b - clean).mean(0)[at].sum()), count + int(at.sum())
        total = sum(pair(n)[0][0].size for n in range(1, 13))
        found.append(
            [f"{low:g} to {min(high, 1):g}", f"{count / total:.1%}", f"{(squares / max(count, 1)) ** 0.5:.4f}"]
        )
    return found


def synthetic(rows: Rows, denoise: Denoiser) -> list[list[Any]]:
    """The plain derainer, and what is repaired of it, on streaks of each kind on photographs."""
    out = []
    for name, streaks in KINDS.items():
        for i, (_, x) in enumerate(picture_set("test128", SYNTHETIC)):
            if rows.has(f"{name}: repaired", i):
                continue
            y = eight(fallen(x, streaks(x.shape[1:], np.random.default_rng(i))))  # type: ignore[arg-type]
            plain = eight(Directional()(y))
            began = time.perf_counter()
            found, masked = refined(y, plain, WEAK, WEAK_RESIDUE, denoise)
            seconds = time.perf_counter() - began
            for what, made in {"rainy": y, "plain": plain, "repaired": found}.items():
                rows.add(f"{name}: {what}", i, *(round(f, 5) for f in figures(made, x)), masked, seconds)
        numbers = range(len(picture_set("test128", SYNTHETIC)))
        shown = (of(rows, f"{name}: {what}", "psnr", numbers) for what in ("rainy", "plain", "repaired"))
        rainy, plain, repaired = shown
        out.append([name, *(f"{v.mean():.2f}" for v in (rainy, plain, repaired)), f"{(repaired - plain).min():+.2f}"])
    return out


def of(rows: Rows, method: str, figure: str, numbers: Sequence[int] = range(1, 13)) -> Array:
    found = {int(r["picture"]): float(r[figure]) for r in rows.rows if r["method"] == method}
    return np.array([found[n] for n in numbers])


def summary(rows: Rows, named: Sequence[str], start: str) -> list[list[Any]]:
    out = []
    for m in named:
        gain = of(rows, m, "psnr_y") - of(rows, start, "psnr_y")
        rest = np.array([g for n, g in enumerate(gain, 1) if n not in TUNED])
        means = [f"{of(rows, m, f).mean():.{2 if f.startswith('psnr') else 4}f}" for f in FIGURES]
        change = [f"{gain.mean():+.3f}", f"{rest.mean():+.3f}", f"{gain.min():+.3f}"]
        out.append(
            [
                m.removeprefix("crop: "),
                *means,
                *change,
                f"{of(rows, m, 'masked').mean():.0%}",
                round(float(of(rows, m, "seconds").mean()), 1),
            ]
        )
    return out


def each(rows: Rows) -> list[list[Any]]:
    out = []
    for n in range(12):
        cells = []
        for f in FIGURES:
            digits = 3 if f.startswith("psnr") else 4
            cells += [f"{of(rows, m, f)[n]:.{digits}f}" for m in ("derained", "repaired")]
        out.append([n + 1, *cells, f"{of(rows, 'repaired', 'psnr_y')[n] - of(rows, 'derained', 'psnr_y')[n]:+.3f}"])
    means = [
        f"{of(rows, m, f).mean():.{3 if f.startswith('psnr') else 4}f}"
        for f in FIGURES
        for m in ("derained", "repaired")
    ]
    return [*out, ["mean", *means, f"{(of(rows, 'repaired', 'psnr_y') - of(rows, 'derained', 'psnr_y')).mean():+.3f}"]]


def main() -> None:
    arguments = parser.parse_args()
    need_data()
    torch.set_num_threads(arguments.threads)
    label, prior = load_labelled("natural")
    rows = Rows(RESULTS / "derain_rows.csv", ("method", "picture"), (*FIGURES, "masked", "seconds"))
    denoise: Any = prior.for_bands(3)
    measure(rows, denoise, arguments.sheets)
    made = Refinement()
    header = ["", *FIGURES.values(), "dB on Y, mean", "of those not tuned on", "worst", "masked", "s"]
    pairs = ["", *(f"{title}, {when}" for title in FIGURES.values() for when in ("derained", "repaired")), "dB on Y"]
    weights = ["repaired" if w == made.weight else f"weight {w:g}" for w in WEIGHTS]
    tables = [
        ("Twelve pairs of Rain100H, derained by PReNet", header, summary(rows, ["derained", "repaired", "eq 27, null space"], "derained")),
        ("Each picture", pairs, each(rows)),
        (f"Weight of what is sampled (`repaired`: {made.weight:g})", header, summary(rows, weights, "derained")),
        (f"The middle {CROP}x{CROP} of each, `--solver paper --steps {CROP_STEPS}`", header, summary(rows, ["crop: derained", "crop: paper"], "crop: derained")),
        ("Rainy pictures alone, the derainer the plain one", header, summary(rows, ["rainy", "plain derainer", "plain derainer, repaired"], "rainy")),
        ("Error of the derained pictures by the rain R that was taken away, white = 1", ["R", "pixels", "root mean square"], errors()),
        (f"Synthetic streaks on {SYNTHETIC} photographs of 128x128, the derainer the plain one", ["streaks", "PSNR RGB, rainy", "derained", "repaired", "repaired, worst gain"], synthetic(rows, denoise)),
    ]  # fmt: skip
    notes = [
        (
            f"{label}, seed 0; results as files of 8 bits hold them. `repaired` is what `restorekit derain` does when it is told "
            f"no more: {Residue()}, sigma {made.sigma}, weight {made.weight}, first {made.first}, {made.steps} steps, "
            f"{made.samples} samples of ddnm+. Sigma and weight were chosen on pictures {', '.join(map(str, TUNED))}; gains are "
            "of PSNR on Y against the first row. `eq 27` throws away what is masked, "
            f"{PAPER_RESIDUE.share:.0%} of the pixels and what is next to them. The settings of the plain derainer, and of the repair of what it leaves, were chosen "
            "on synthetic streaks on training photographs. No FID nor LPIPS: their networks are not in this package."
        ),
    ]
    publish("derain", "Rain", tables, notes)


if __name__ == "__main__":
    main()
