"""Noise as cameras and files have it: `denoise` without options beside the same solver told the truth, and classics told it.

python -m benchmarks.restoration.camera_noise              # needs $RESTOREKIT_DATA; a run that was stopped goes on
python -m benchmarks.restoration.camera_noise --pictures 2 --no-bm3d   # of each set, at most
"""

from __future__ import annotations

import argparse
import math
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

import restorekit
from benchmarks.restoration.noise_level import pairs
from benchmarks.support.common import DATA, RESULTS, centre, classic, load_labelled, publish
from benchmarks.support.photographs import photograph
from restorekit.files.journal import Rows
from restorekit.files.picture import read_picture
from restorekit.files.transfer import SRGB
from restorekit.inference.coloured import Coloured
from restorekit.inference.likelihood import Gaussian, Likelihood
from restorekit.inference.sensor_noise import Anscombe, PoissonGaussian
from restorekit.metrics.fidelity import psnr
from restorekit.noise.level import Noise
from restorekit.notes import Notes
from restorekit.priors.prior import Prior
from restorekit.tasks.defaults import IMPULSES
from restorekit.text.names import solver_of

# Of white noise, of which the best is chosen with the truth.
LEVELS = (0.01, 0.02, 0.03, 0.045, 0.065, 0.09, 0.12, 0.16)
KEYS = ("prior", "kind", "picture")
VALUES = (
    "law",
    "true_gain",
    "gain",
    "gain_error",
    "thirds",
    "in",
    "out",
    "told",
    "best",
    "best_level",
    "bm3d",
    "median",
)
BM3D_LEVELS = (0.03, 0.05)  # for cameras, of which the best is chosen with the truth
JUDGED = ("Canon80D", "NikonD800")  # cameras without whose pairs the shares of `Octaves` were chosen
parser = argparse.ArgumentParser(description="Noise as cameras and files have it.")
parser.add_argument("--prior", default="natural")
parser.add_argument("--pictures", type=int, default=3, help="of Kodak and of McMaster, at most")
parser.add_argument("--pairs", type=int, default=100, help="of each camera, at most")
parser.add_argument("--judged", action="store_true", help="of the cameras, those alone that judge")
parser.add_argument("--side", type=int, default=160, help="pixels, the middle of each picture; of pairs 256")
parser.add_argument("--no-bm3d", dest="bm3d", action="store_false")
parser.add_argument("--kinds", help="separated by semicolons; all by default")
parser.add_argument("--threads", type=int, default=1)

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Kind:
    """A row: how a file is made of a picture, and the truth about its noise."""

    make: Callable[[Array, np.random.Generator], Array]
    law: Likelihood | None = None
    suffix: str = "png"
    quality: int = 75
    hidden: float = 0.0  # share of impulses
    camera: str = ""  # of `photograph`, which writes the file and says the truth


def counts(gain: float, read: float) -> Callable[[Array, np.random.Generator], Array]:
    return lambda x, rng: gain * rng.poisson(x / gain) + read * rng.standard_normal(x.shape)


def white(sigma: float) -> Callable[[Array, np.random.Generator], Array]:
    return lambda x, rng: x + sigma * rng.standard_normal(x.shape)


def grain(sigma: float, width: float) -> Callable[[Array, np.random.Generator], Array]:
    def make(x: Array, rng: np.random.Generator) -> Array:
        z = np.asarray(ndimage.gaussian_filter(rng.standard_normal(x.shape), (0, width, width), mode="wrap"))
        return x + sigma * z / z.std()

    return make


def phone(gain: float, read: float) -> Callable[[Array, np.random.Generator], Array]:
    """Counts and read noise on a Bayer mosaic of linear light, demosaiced bilinearly, coded as sRGB."""
    cross, square = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4, np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4

    def make(x: Array, rng: np.random.Generator) -> Array:
        row, column = np.mgrid[: x.shape[1], : x.shape[2]] % 2
        sites = ((row + column == 0, square), (row + column == 1, cross), (row + column == 2, square))
        light = counts(gain, read)(np.maximum(SRGB().decode(x), 0), rng)
        bands = [ndimage.convolve(np.where(s, b, 0), k, mode="mirror") for b, (s, k) in zip(light, sites)]
        return SRGB().encode(np.stack(bands).clip(0, 1))

    return make


def salted(share: float, sigma: float) -> Callable[[Array, np.random.Generator], Array]:
    def make(x: Array, rng: np.random.Generator) -> Array:
        return np.where(
            rng.random(x.shape) < share, rng.random(x.shape) < 0.5, x + sigma * rng.standard_normal(x.shape)
        )

    return make


KINDS: dict[str, Kind] = {
    "Poisson-Gaussian 0.02, 0.01": Kind(counts(0.02, 0.01), PoissonGaussian(0.02, 0.01)),
    "Poisson-Gaussian 0.005, 0.01": Kind(counts(0.005, 0.01), PoissonGaussian(0.005, 0.01)),
    "white 0.005": Kind(white(0.005), Gaussian(0.005)),
    "white 0.02": Kind(white(0.02), Gaussian(0.02)),
    "white 0.05": Kind(white(0.05), Gaussian(0.05)),
    "grain of 1 pixel, 0.05": Kind(grain(0.05, 1.0), Coloured.grain(0.05, 1.0)),
    "phone-like, JPEG q85": Kind(phone(0.02, 0.01), suffix="jpg", quality=85),
    "impulses 6 %, noise 0.01": Kind(salted(0.06, 0.01), hidden=0.06),
    "impulses 25 %, noise 0.01": Kind(salted(0.25, 0.01), hidden=0.25),
    "white 0.03, JPEG q85": Kind(white(0.03), suffix="jpg", quality=85),
    "JPEG q15": Kind(lambda x, rng: x, suffix="jpg", quality=15),
    "JPEG q50": Kind(lambda x, rng: x, suffix="jpg", quality=50),
    "JPEG q85": Kind(lambda x, rng: x, suffix="jpg", quality=85),
    "camera of restorekit (phone)": Kind(lambda x, rng: x, suffix="jpg", camera="phone"),
    "camera of other people's code": Kind(lambda x, rng: x, suffix="jpg", camera="other"),
}


def written(path: Path, y: Array, quality: int) -> Array:
    """Write 8 bits, and return them as they are read."""
    codes = (y.clip(0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0).squeeze()
    if path.suffix == ".jpg":
        Image.fromarray(codes).save(path, quality=quality)
    else:
        Image.fromarray(codes).save(path)
    return read_picture(path).pixels


def cut(source: Path, y: Array, path: Path) -> Array:
    """Write a part y of a JPEG, whole blocks of it, with the tables and chroma of that file, and return it as it is read: the
    coefficients are those of the file again."""
    with Image.open(source) as image:
        image.load()
        tables, sampling = image.quantization, image.layer[0][1:3]
    codes = (y * 255).round().astype(np.uint8).transpose(1, 2, 0)
    Image.fromarray(codes).save(path, qtables=tables, subsampling={(1, 1): 0, (2, 1): 1, (2, 2): 2}[sampling])
    return read_picture(path).pixels


def quality(x: Array, truth: Array) -> float:
    return psnr(x.clip(0, 1), truth.clip(0, 1))


def bm3d(y: Array, kind: Kind) -> Array | None:
    """BM3D told the truth: behind the transform that makes counts even, or with the spectrum of the grain."""
    import bm3d as package  # pyright: ignore[reportMissingImports]

    np.__dict__.setdefault("trapz", np.trapezoid)  # which the package calls for a spectrum, and NumPy 2.4 has no more
    bands = np.moveaxis(y.astype(np.float64), 0, -1)
    if isinstance(kind.law, Gaussian):
        return np.moveaxis(np.asarray(package.bm3d_rgb(bands, kind.law.sigma)), -1, 0)
    if isinstance(kind.law, PoissonGaussian):
        even = Anscombe(kind.law.gain, kind.law.read)
        out = np.asarray(package.bm3d_rgb(even(torch.from_numpy(bands)).numpy(), even.level))
        return np.moveaxis(even.inverse(torch.from_numpy(out)).numpy(), -1, 0)
    if isinstance(kind.law, Coloured):
        spectrum = np.fft.fft2(np.fft.ifftshift(_padded(kind.law.covariance.double().numpy(), y.shape[1:]))).real
        psd = np.maximum(spectrum, 1e-9)[..., None].repeat(3, 2) * y[0].size
        return np.moveaxis(np.asarray(package.bm3d_rgb(bands, psd)), -1, 0)
    return None


def bm3d_at_best(y: Array, truth: Array) -> float:
    """The PSNR of BM3D at the best of BM3D_LEVELS, chosen with the truth."""
    import bm3d as package  # pyright: ignore[reportMissingImports]

    bands = np.moveaxis(y.astype(np.float64), 0, -1)
    return max(quality(np.moveaxis(np.asarray(package.bm3d_rgb(bands, s)), -1, 0), truth) for s in BM3D_LEVELS)


def thirds(law: Likelihood, true: Likelihood | None, x: Array) -> float:
    """The relative error of the level found in each third of brightness, root mean square; nan of what has no level."""
    parts = np.array_split(np.sort(x, axis=None), 3)
    found, known = ([_level(v, float(part.mean())) for part in parts] for v in (law, true))
    return float(np.sqrt(np.mean(np.square(np.array(found) / np.array(known) - 1))))


def measured(found: Noise | None, law: Likelihood) -> Likelihood:
    """The law that was measured, which is not that used where less is taken out of a picture than it shows."""
    if found is None or not isinstance(law, Gaussian) or found.correlated or (found.floor and found.white < law.sigma):
        return law
    return Gaussian(found.white)


def _level(law: Likelihood | None, mean: float) -> float:
    if isinstance(law, PoissonGaussian):
        return math.sqrt(law.gain * mean + law.read**2)
    return float(law.sigma) if isinstance(law, Gaussian | Coloured) else math.nan


def _padded(covariance: Array, shape: tuple[int, ...]) -> Array:
    """The covariance in the middle, (h // 2, w // 2), of zeros."""
    out = np.zeros(shape)
    (h, w), (k, m) = (n // 2 for n in shape), (n // 2 for n in covariance.shape)
    out[h - k : h + k + 1, w - m : w + m + 1] = covariance
    return out


def best_white(y: Array, truth: Array, prior: Prior) -> tuple[float, float]:
    denoise = prior.for_bands(len(y))
    with torch.no_grad():
        found = [(quality(denoise(torch.from_numpy(y)[None], s)[0].numpy(), truth), s) for s in LEVELS]
    return max(found)


def told(path: Path, y: Array, truth: Array, kind: Kind, prior: Prior) -> float:
    """The same solver told the truth: the law, or where the impulses are and how much noise; nan where that is a level."""
    if kind.law is not None:
        done = restorekit.denoise(path, noise=kind.law, prior=prior, notes=Notes())
        return quality(done.samples[0].numpy(), truth)
    if kind.hidden:
        mask = torch.from_numpy((np.abs(y - truth) < 0.06).astype(np.float32))
        done = restorekit.restore(
            restorekit.Problem(torch.from_numpy(y)[None], restorekit.operators.Inpaint(y.shape, mask), restorekit.Gaussian(0.01)),
            prior, solver_of(IMPULSES.solver), steps=IMPULSES.steps,
        )  # fmt: skip
        return quality(done.samples[0].numpy(), truth)
    return math.nan


def measure(rows: Rows, label: str, prior: Prior, options: argparse.Namespace) -> None:
    kinds = options.kinds.split(";") if options.kinds else [*KINDS, "cameras"]
    pictures = [
        (n, centre(x, options.side))
        for n, x in classic("kodak", options.pictures) + classic("mcmaster", options.pictures)
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name, kind in KINDS.items():
            for picture, x in pictures if name in kinds else ():
                if rows.has(label, name, picture):
                    continue
                path = Path(folder, f"y.{kind.suffix}")
                rng = np.random.default_rng(zlib.crc32(f"{name} {picture}".encode()))
                truth = x
                if kind.camera:
                    shot = photograph(kind.camera, x, path, int(rng.integers(2**31)))
                    y, truth = read_picture(path).pixels, shot.truth
                else:
                    y = written(path, kind.make(x, rng), kind.quality)
                one(rows, (label, name, picture), path, y, truth, kind, prior, options.bm3d)
        if "cameras" not in kinds:
            return
        for picture, y, x in pairs(options.pairs):
            skipped = options.judged and not picture.startswith(JUDGED)
            if not skipped and not rows.has(label, "cameras", picture):
                path = Path(folder, "y.jpg")
                y = cut(DATA / "realnoise" / f"{picture}_real.jpg", centre(y, 256), path)
                one(
                    rows,
                    (label, "cameras", picture),
                    path,
                    y,
                    centre(x, 256),
                    Kind(lambda x, rng: x),
                    prior,
                    options.bm3d and picture.startswith(JUDGED),
                )


def one(
    rows: Rows, key: tuple[str, str, str], path: Path, y: Array, x: Array, kind: Kind, prior: Prior, with_bm3d: bool
) -> None:
    done = restorekit.denoise(path, prior=prior, notes=Notes())
    forward = done.source.measured.forward  # type: ignore[union-attr]
    law, found = str(forward.noise_text), forward.found.sensor
    true = kind.law.gain if isinstance(kind.law, PoissonGaussian) else math.nan
    gain, error = (math.nan, math.nan) if found is None else (found.gain, found.gain_error)
    out = quality(done.samples[0].numpy(), x)
    best, level = best_white(y, x, prior)
    peer = bm3d(y, kind) if with_bm3d else None
    theirs = math.nan if peer is None else quality(peer, x)
    theirs = bm3d_at_best(y, x) if with_bm3d and key[1] == "cameras" else theirs
    median = quality(np.asarray(ndimage.median_filter(y, (1, 3, 3))), x) if kind.hidden else math.nan
    rows.add(
        *key, law, true, gain, error, thirds(measured(forward.found, forward.law), kind.law, x), quality(y, x), out,
        told(path, y, x, kind, prior), best, level, theirs, median,
    )  # fmt: skip
    print(*key[1:], law, f"{quality(y, x):.2f} -> {out:.2f}, best white {best:.2f}", flush=True)


def _short_of(line: list[Any]) -> float:
    """What a row is above the best that was told the truth, negative where it is below; the worst first."""
    _, _, _, out, *others = line
    return float(out) - max((float(v) for v in others[:4] if math.isfinite(float(v))), default=math.inf)


def mean(values: list[float]) -> float:
    kept = [v for v in values if math.isfinite(v)]
    return float(np.mean(kept)) if kept else math.nan


def main() -> None:
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    label, prior = load_labelled(options.prior)
    with_bm3d = options.bm3d and find_spec("bm3d") is not None
    options.bm3d = with_bm3d
    rows = Rows(RESULTS / "camera_noise_rows.csv", KEYS, VALUES)
    measure(rows, label, prior, options)
    own = [r for r in rows.rows if r["prior"] == label]
    lines = []
    groups = {kind: [r for r in own if r["kind"] == kind] for kind in dict.fromkeys(r["kind"] for r in own)}
    pairs_of = groups.pop("cameras", [])
    judged = [r for r in pairs_of if r["picture"].startswith(JUDGED)]
    beside = [r for r in judged if math.isfinite(float(r["bm3d"]))]
    groups |= {
        "cameras, judged beside bm3d": beside,
        "cameras, judged": judged,
        "cameras, tuned on": [r for r in pairs_of if r not in judged],
    }
    for kind, of in groups.items():
        if not of:
            continue
        columns = {c: [float(r[c]) for r in of] for c in ("in", "out", "told", "best", "bm3d", "median", "thirds")}
        if not all(map(math.isfinite, columns["bm3d"])):  # means are of the same pictures
            columns["bm3d"] = []
        gains = [a - b for a, b in zip(columns["out"], columns["in"])]
        lines.append(
            [
                kind,
                len(of),
                *(mean(columns[c]) for c in ("in", "out", "told", "best", "bm3d", "median")),
                min(gains),
                mean([v**2 for v in columns["thirds"]]) ** 0.5,
            ]
        )
    lines.sort(key=lambda line: _short_of(line))
    sensor = [r for r in own if math.isfinite(float(r["true_gain"]))]
    inside = [abs(float(r["gain"]) - float(r["true_gain"])) < 2 * float(r["gain_error"]) for r in sensor]
    notes = [
        (
            f"`denoise` without options, by {label}; the middle {options.side} x {options.side} pixels of pictures of Kodak and McMaster in "
            "files of 8 bits, of cameras 256 x 256 of the JPEG, cut out with its own tables (mean of many shots as truth). The file of a camera made here or of other people's code has the truth of its own values. PSNR of [0, 1], means. Told: the same "
            "solver with the true law, for impulses with their places and the level. Best level: of white noise, one call, chosen "
            f"with the truth among {', '.join(map(str, LEVELS))}. BM3D: told the truth, behind Anscombe's transform for counts, with "
            "the spectrum for grain, of cameras at the best of "
            f"{', '.join(map(str, BM3D_LEVELS))} by the truth. Median: 3x3. Level in thirds: relative error of the level measured in each third "
            f"of brightness, root mean square. What treats cameras and JPEG was chosen without the pairs of {' and '.join(JUDGED)}, judged here, and on other pictures of Kodak and McMaster, but that a prior alone tells noise that is everywhere was added with flower 1 and plant 3 of NikonD800 in sight; what earlier runs chose for white noise, with all in sight; the law by brightness on ten others, but "
            "that blocks alone tell of a picture that the prior does not know was added with McMaster 1 in sight, and noise cut off at black with 2. Worst row first, by what it "
            "is short of the best of the told ones."
        ),
        "" if with_bm3d else "bm3d is not installed, or was left out: its column holds what earlier runs measured.",
        f"Gains within two of their errors: {sum(inside)} of {len(inside)}." if inside else "",
    ]
    header = [
        "noise",
        "pictures",
        "dB in",
        "out",
        "told",
        "best level",
        "bm3d",
        "median",
        "least gain",
        "level in thirds",
    ]
    of_laws = [
        [r["kind"], r["picture"], r["law"], *(float(r[c]) for c in ("in", "out", "told", "best", "best_level", "bm3d"))]
        for r in own
    ]
    publish(
        "camera_noise",
        "Noise as cameras and files have it",
        [
            ("All", header, lines),
            ("Each", ["noise", "picture", "law", "dB in", "out", "told", "best level", "level", "bm3d"], of_laws),
        ],
        [n for n in notes if n],
    )


if __name__ == "__main__":
    main()
