"""Noise as flat blocks show it, beside what it is: cameras' JPEG, grain, clipped pixels, integers, impulses, clean pictures.

python -m benchmarks.restoration.noise_level              # needs $RESTOREKIT_DATA; a run that was stopped goes on
python -m benchmarks.restoration.noise_level --pictures 2 # of each set, at most
python -m benchmarks.restoration.noise_level --kinds real --side 512 --no-best   # cameras' pictures as they are
"""

from __future__ import annotations

import argparse
import io as bytes_io
import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import skimage.data
import torch
from PIL import Image
from scipy import ndimage

from benchmarks.support.common import DATA, RESULTS, archive, centre, classic, load_labelled, publish
from restorekit.errors import BadInput
from restorekit.files.journal import Rows
from restorekit.files.picture import read_picture
from restorekit.inference.coloured import Coloured
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.driver import restore
from restorekit.inference.problem import Problem
from restorekit.metrics.fidelity import psnr
from restorekit.noise.level import Noise, NoiseLevel
from restorekit.operators import Identity, Inpaint
from restorekit.tasks import defaults
from restorekit.tasks.noise_found import law_as_found
from restorekit.text.names import noise_of, solver_of

LEVELS = (0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.12, 0.2)  # of which the best is chosen with the truth
# One half of the pairs; `NoiseLevel.gain`, `usual` and `drawn` were chosen with both in sight.
CAMERAS = ("Canon5D2", "Canon600D", "Sony")
KEYS, VALUES = ("prior", "kind", "case", "picture"), ("true", "measured", "white", "said", "left_out", "in", "out", "best_level", "best")  # fmt: skip
parser = argparse.ArgumentParser()
parser.add_argument("--prior", default="natural")
parser.add_argument("--pictures", type=int, default=100, help="of each set, at most")
parser.add_argument(
    "--side", type=int, default=256, help="pixels, the middle of each picture; other than 256 in a table of its own"
)
parser.add_argument(
    "--no-best", dest="best", action="store_false", help="look for no best level: eleven calls a picture less"
)
parser.add_argument("--kinds", default="real,grain,clipped,integers,impulses,clean,white")
parser.add_argument("--threads", type=int, default=1)

Array = np.ndarray
Made = Callable[[Array, np.random.Generator], Array]


@dataclass(frozen=True, eq=False)
class Row:
    kind: str
    case: str
    picture: str
    y: Array
    truth: Array
    best: bool = False  # whether the best level is looked for


def eight(x: Array) -> Array:
    """As a file of 8 bits holds it."""
    return ((x.clip(0, 1) * 255).round() / 255).astype(np.float32)


def grain(blur: float, sigma: float) -> Made:
    def make(x: Array, rng: np.random.Generator) -> Array:
        z = np.asarray(ndimage.gaussian_filter(rng.standard_normal(x.shape), (0, blur, blur)))
        return eight(x + sigma * z / z.std())

    return make


def resampled(sigma: float) -> Made:
    """Noise that was enlarged by half with the picture, bilinearly."""

    def make(x: Array, rng: np.random.Generator) -> Array:
        small = rng.standard_normal((len(x), *(-(-2 * n // 3) + 1 for n in x.shape[1:])))
        z = np.asarray(ndimage.zoom(small, (1, 1.5, 1.5), order=1))[:, : x.shape[1], : x.shape[2]]
        return eight(x + sigma * z / z.std())

    return make


def demosaiced(sigma: float) -> Made:
    """White noise on a Bayer mosaic, of which missing values are means of those beside them."""

    def make(x: Array, rng: np.random.Generator) -> Array:
        row, column = np.mgrid[: x.shape[1], : x.shape[2]] % 2
        cross, square = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4, np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
        sites = ((row + column == 0, square), (row + column == 1, cross), (row + column == 2, square))
        z = sigma * rng.standard_normal(x.shape[1:])
        return eight(
            np.stack([ndimage.convolve(np.where(s, b + z, 0), k, mode="mirror") for b, (s, k) in zip(x, sites)])
        )

    return make


def jpeg(sigma: float, quality: int) -> Made:
    def make(x: Array, rng: np.random.Generator) -> Array:
        held, y = bytes_io.BytesIO(), eight(x + sigma * rng.standard_normal(x.shape))
        Image.fromarray((y * 255).round().astype(np.uint8).transpose(1, 2, 0)).save(held, "JPEG", quality=quality)
        return (np.asarray(Image.open(held)).transpose(2, 0, 1) / 255).astype(np.float32)

    return make


def white(sigma: float) -> Made:
    return lambda x, rng: eight(x + sigma * rng.standard_normal(x.shape))


def salted(share: float, sigma: float) -> Made:
    def make(x: Array, rng: np.random.Generator) -> Array:
        hit = rng.random(x.shape) < share
        return eight(np.where(hit, rng.random(x.shape) < 0.5, x + sigma * rng.standard_normal(x.shape)))

    return make


GRAIN = {f"Gaussian grain of {b} pixels, 0.04": grain(b, 0.04) for b in (0.7, 1.0, 1.5)}
GRAIN |= {"enlarged by half, 0.04": resampled(0.04), "demosaiced, 0.05": demosaiced(0.05)}
GRAIN |= {f"white 0.04, JPEG q{q}": jpeg(0.04, q) for q in (95, 85, 50)}
IMPULSES = {f"{share:.1%}, noise {s}": salted(share, s) for share in (0.002, 0.05) for s in (0.0, 0.02)}
WHITE = {f"{s}": white(s) for s in (0.005, 0.01, 0.03, 0.1)}


def photographs(count: int) -> list[tuple[str, Array]]:
    """Of skimage.data, then of Kodak and McMaster."""
    own = [
        (n, np.moveaxis(getattr(skimage.data, n)(), -1, 0) / 255) for n in ("astronaut", "chelsea", "coffee", "rocket")
    ]
    return own[:count] + classic("kodak", count) + classic("mcmaster", count)


def pairs(count: int) -> Iterator[tuple[str, Array, Array]]:
    """(name, file of a camera, mean of many shots), the same number of each camera first."""
    by_camera: dict[str, list[str]] = {}
    for path in sorted((DATA / "realnoise").glob("*_real.jpg")):
        by_camera.setdefault(path.name.split("_")[0], []).append(path.name.removesuffix("_real.jpg"))
    for names in by_camera.values():
        for name in names[:count]:
            real, mean_of = (
                read_picture(DATA / "realnoise" / f"{name}_{which}.jpg").pixels for which in ("real", "mean")
            )
            yield name, real, mean_of


def name_of(side: int) -> str:
    return "noise_level" if side == 256 else f"noise_level-{side}"


def cases(kinds: list[str], count: int, side: int) -> Iterator[Row]:
    if "real" in kinds:
        for name, y, truth in pairs(count):
            yield Row("real", name.split("_")[0], name, centre(y, side), centre(truth, side), True)
    pictures = [(name, centre(x, side)) for name, x in photographs(count)]
    made = {"grain": GRAIN, "impulses": IMPULSES, "white": WHITE}
    for kind in [k for k in made if k in kinds]:
        for case, make in made[kind].items():
            for name, x in pictures:
                rng = np.random.default_rng(zlib.crc32(f"{case} {name}".encode()))
                yield Row(kind, case, name, make(x, rng), x, kind == "grain")
    for name, x in pictures:
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        if "clipped" in kinds:
            for share in (0.0, 0.2, 0.4, 0.55, 0.7):
                bright = x / np.quantile(x.mean(0), 1 - share)
                yield Row("clipped", f"0.1, {share:.0%} above white", name, white(0.1)(bright, rng), bright.clip(0, 1))
            for share in (0.4, 0.55):
                y = white(0.1)(x, rng)
                y[:, :, : int(share * y.shape[2])] = eight(np.array(0.4))
                yield Row(
                    "clipped", f"0.1, {share:.0%} filled with grey", name, y, np.where(y == eight(np.array(0.4)), y, x)
                )
        if "integers" in kinds:
            for low, high in ((60, 260), (0, 300), (0, 4095), (500, 16000)):
                held = np.rint(low + (x + 0.04 * rng.standard_normal(x.shape)) * (high - low)).clip(0, 65535)
                top = 2.0 ** int(held.max()).bit_length() - 1  # as the command takes it
                truth = (low + x * (high - low)) / top
                yield Row("integers", f"uint16, {low} to {high}", name, (held / top).astype(np.float32), truth)
    if "clean" in kinds:
        further = [(name, centre(x, side)) for name, x in archive("photos256-test.zip", 3 * count)]
        for name, x in pictures + further:
            yield Row("clean", "", name, eight(x), eight(x))


def denoised(y: Array, found: Noise, denoise: Denoiser) -> Array:
    """As `restorekit denoise` did without options, before it asked the prior about the noise."""
    shape, impulses = (y.shape[0], y.shape[1], y.shape[2]), found.share > 0
    if found.floor and not impulses:
        return y
    operator = Inpaint(shape, torch.from_numpy(~found.impulses).float()) if impulses else Identity(shape)
    law = law_as_found(found, False)
    law = noise_of(law) if isinstance(law, str) else law
    task = defaults.GRAIN if isinstance(law, Coloured) else defaults.TASKS["denoise"]
    task = defaults.IMPULSES if impulses else task
    problem = Problem(torch.from_numpy(y)[None], operator, law)
    return restore(problem, denoise, solver_of(task.solver), steps=task.steps).samples[0].numpy()


def measure(rows: Rows, options: argparse.Namespace, label: str, denoise: Denoiser) -> None:
    for row in cases(options.kinds.split(","), options.pictures, options.side):
        if rows.has(label, row.kind, row.case, row.picture):
            continue
        truth = row.truth.astype(np.float32)

        def quality(x: Array, truth: Array = truth) -> float:
            return psnr(x.clip(0, 1), truth.clip(0, 1))

        try:
            found = NoiseLevel()(row.y)
        except BadInput:
            rows.add(label, row.kind, row.case, row.picture, *([math.nan] * 2), math.nan, "refused", *([math.nan] * 5))
            continue
        out = quality(denoised(row.y, found, denoise))
        best = [(out, found.sigma)]
        wanted = row.best and options.best
        for level in LEVELS if wanted else ():
            with torch.no_grad():
                best.append((quality(denoise(torch.from_numpy(row.y)[None], level)[0].numpy()), level))
        said = [
            w
            for w, is_so in (("correlated", found.correlated), ("floor", found.floor), ("impulses", found.share > 0))
            if is_so
        ]
        rms = float(np.sqrt(np.square(row.y - truth).mean()))
        rows.add(
            label, row.kind, row.case, row.picture, rms, found.sigma, found.white, " ".join(said), found.left_out,
            quality(row.y), out, max(best)[1] if wanted else math.nan, max(best)[0] if wanted else math.nan,
        )  # fmt: skip
        print(
            row.kind,
            row.case,
            row.picture,
            f"{rms:.4f} {found.sigma:.4f} {quality(row.y):.2f} -> {out:.2f}",
            flush=True,
        )


def mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def summary(own: list[dict[str, str]]) -> list[list[object]]:
    """A line for each case."""
    lines: list[list[object]] = []
    for case in dict.fromkeys((r["kind"], r["case"]) for r in own):
        of = [r for r in own if (r["kind"], r["case"]) == case and r["said"] != "refused"]
        columns = {
            name: [float(r[name]) for r in of]
            for name in ("true", "measured", "white", "left_out", "in", "out", "best")
        }
        gains = np.array([out - before for out, before in zip(columns["out"], columns["in"]) if math.isfinite(before)])
        means = [mean(columns[c]) for c in ("true", "measured", "white", "left_out", "in", "out", "best")]
        least = float(gains.min()) if gains.size else math.nan
        lines.append([*case, len(of), *means, least, sum("correlated" in r["said"] for r in of)])
    return lines


def main() -> None:
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    label, prior = load_labelled(options.prior)
    rows = Rows(RESULTS / f"{name_of(options.side)}_rows.csv", KEYS, VALUES)
    measure(rows, options, label, prior.for_bands(3))
    own = [r for r in rows.rows if r["prior"] == label]
    header = ["noise", "case", "pictures", "rms", "measured", "finest detail", "left out", "dB in", "out", "best level", "least gain", "correlated"]  # fmt: skip
    real = [r for r in own if r["kind"] == "real"]
    sets = {
        "Canon5D2, Canon600D, Sony": [r for r in real if r["case"] in CAMERAS],
        "the others": [r for r in real if r["case"] not in CAMERAS],
    }
    halves = [
        [name, len(of), *(mean([float(r[c]) for r in of]) for c in ("in", "out", "best")),
         min((float(r["out"]) - float(r["in"]) for r in of), default=math.nan)]
        for name, of in sets.items()
    ]  # fmt: skip
    note = (
        f"What flat blocks alone show, before `denoise` asks the prior; the middle {options.side} x {options.side} pixels of each picture; PSNR of [0, 1]. Best "
        f"level: of white noise, by {label}, chosen with the truth among {', '.join(map(str, LEVELS))} and the one measured."
    )
    worst = sorted(real, key=lambda r: float(r["out"]) - float(r["in"]))
    publish(
        name_of(options.side),
        "The level of noise, measured in the picture",
        [
            ("All", header, summary(own)),
            ("Cameras' JPEG, by half of the cameras; no half is out of sample, as settings were chosen with all pairs in sight", ["cameras", "pairs", "in", "out", "best level", "least gain"], halves),
            ("Cameras' JPEG, worst first", ["picture", "rms", "measured", "finest detail", "in", "out", "best level", "best"],
             [[r["picture"], *(float(r[c]) for c in ("true", "measured", "white", "in", "out", "best_level", "best"))] for r in worst]),
        ],
        [note],
    )  # fmt: skip


if __name__ == "__main__":
    main()
