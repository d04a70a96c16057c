"""JPEG as files have it: `dejpeg` beside the decoded picture and the best level of `denoise`, by three encoders.

python -m benchmarks.restoration.jpeg              # needs $RESTOREKIT_DATA/classic; a run that was stopped goes on

Pillow is libjpeg-turbo. GDAL (rasterio) brings libjpeg 9, whose chroma is no mean of four pixels, and mozjpeg (jpeglib) chooses
coefficients that are cheap instead of the nearest, so that they leave their bins. Other rows break what is assumed as well: a picture
that was a JPEG before, on the same blocks and on others.
"""

from __future__ import annotations

import argparse
import importlib
import io
import tempfile
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import restorekit
from benchmarks.support.common import RESULTS, centre, classic, load_labelled, progress, publish
from restorekit.files.journal import Rows
from restorekit.files.jpeg_file import read_jpeg
from restorekit.files.picture import read_picture
from restorekit.metrics.fidelity import psnr
from restorekit.notes import Notes
from restorekit.operators import JPEG
from restorekit.priors.prior import Prior

Array = np.ndarray
LEVELS = (0.003, 0.006, 0.01, 0.015, 0.02, 0.03, 0.045, 0.06, 0.08, 0.11)  # of which the best is chosen with the truth
QUALITIES = (10, 15, 30, 50, 75, 85, 95)
parser = argparse.ArgumentParser(description="JPEG as files have it.")
parser.add_argument("--prior", default="natural")
parser.add_argument("--pictures", type=int, default=3, help="of Kodak and of McMaster")
parser.add_argument(
    "--side", type=int, default=107, help="pixels, the middle of each picture; 107 is no whole number of blocks"
)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--report-only", action="store_true")


def pillow(quality: int, sampling: str = "4:2:0") -> Callable[[Array, Path], None]:
    return lambda x, path: Image.fromarray(x).save(path, quality=quality, subsampling=sampling)


def gdal(quality: int) -> Callable[[Array, Path], None]:
    """libjpeg 9 by rasterio: chroma by the DCT of 16 x 16 pixels."""

    def write(x: Array, path: Path) -> None:
        rasterio = importlib.import_module("rasterio")
        h, w, _ = x.shape
        with rasterio.MemoryFile() as memory:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it lies nowhere on the map
                with memory.open(driver="GTiff", height=h, width=w, count=3, dtype="uint8") as out:
                    out.write(x.transpose(2, 0, 1))
            importlib.import_module("rasterio.shutil").copy(memory.name, path, driver="JPEG", QUALITY=str(quality))

    return write


def mozjpeg(quality: int) -> Callable[[Array, Path], None]:
    """mozjpeg 4.0.3 by jpeglib, coefficients chosen by their cost."""

    def write(x: Array, path: Path) -> None:
        jpeglib = importlib.import_module("jpeglib")
        with jpeglib.version("mozjpeg403"):
            jpeglib.from_spatial(x).write_spatial(str(path), qt=quality, flags=["+TRELLIS_QUANT", "+TRELLIS_QUANT_DC"])

    return write


def twice(first: int, second: int, shift: int = 0) -> Callable[[Array, Path], None]:
    """A JPEG of a JPEG; shift: pixels that were cut off between, so that blocks lie otherwise."""

    def write(x: Array, path: Path) -> None:
        grown = np.pad(x, ((shift, 0), (shift, 0), (0, 0)), mode="reflect")
        data = io.BytesIO()
        Image.fromarray(grown).save(data, "JPEG", quality=first)
        again = np.asarray(Image.open(data))[shift:, shift:]
        Image.fromarray(np.ascontiguousarray(again)).save(path, quality=second)

    return write


KINDS: dict[str, Callable[[Array, Path], None]] = {
    **{f"Pillow q{q}": pillow(q) for q in QUALITIES},
    "Pillow q75, 4:4:4": pillow(75, "4:4:4"),
    "Pillow q100": pillow(100),
    **{f"GDAL q{q}": gdal(q) for q in (15, 50, 85, 95)},
    **{f"mozjpeg q{q}": mozjpeg(q) for q in (15, 50, 85)},
    "twice, q60 and q85": twice(60, 85),
    "twice, q60 and q85, blocks moved": twice(60, 85, 3),
}
ENCODERS = {"Pillow": pillow(100), "GDAL": gdal(100), "mozjpeg": mozjpeg(100)}


def available(kind: str) -> bool:
    needed = {"GDAL": "rasterio", "mozjpeg": "jpeglib"}.get(kind.split()[0])
    return needed is None or find_spec(needed) is not None


def y_of(x: Array) -> Array:
    return np.tensordot([0.299, 0.587, 0.114], x, 1)[None]


def quality(x: Array, truth: Array) -> tuple[float, float]:
    x = np.rint(255 * x.clip(0, 1)) / 255
    return psnr(x, truth), psnr(y_of(x), y_of(truth))


def white(y: Array, truth: Array, prior: Prior) -> tuple[float, float, float]:
    """The best of `LEVELS`, by PSNR of RGB: (that, that of Y, the level)."""
    denoise = prior.for_bands(len(y))
    with torch.no_grad():
        found = [(*quality(denoise(torch.from_numpy(y)[None], s)[0].numpy(), truth), s) for s in LEVELS]
    return max(found)


def pictures(options: argparse.Namespace) -> list[tuple[str, Array]]:
    both = classic("kodak", options.pictures) + classic("mcmaster", options.pictures)
    return [(name, centre(x, options.side)) for name, x in both]


def bytes_of(x: Array) -> Array:
    return np.ascontiguousarray(np.rint(255 * x).astype(np.uint8).transpose(1, 2, 0))


def measure(rows: Rows, label: str, prior: Prior, options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "y.jpg")
        for kind, write in KINDS.items():
            for name, x in pictures(options) if available(kind) else ():
                if rows.has(label, kind, name):
                    continue
                write(bytes_of(x), path)
                y = read_picture(path).pixels
                done = restorekit.dejpeg(path, prior=prior, notes=Notes())
                before, after, best = quality(y, x), quality(done.samples[0].numpy(), x), white(y, x, prior)
                rows.add(label, kind, name, *before, *after, *best)
                progress(f"{kind} {name}: {before[0]:.2f} -> {after[0]:.2f}, best white {best[0]:.2f} at {best[2]:g}")


def rounding(options: argparse.Namespace) -> list[list[object]]:
    """What coefficients of files of steps 1 lie off those of the picture, in levels, beyond the rounding to whole steps."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "y.jpg")
        for encoder, write in ENCODERS.items():
            if not available(encoder):
                continue
            found: list[list[float]] = []
            for _, x in pictures(options):
                write(bytes_of(x), path)
                stored = read_jpeg(path)
                jpeg = JPEG((3, *stored.size), stored.sampling, stored.colour)
                seen = jpeg(torch.from_numpy(x).double()[None])
                told = torch.cat([torch.from_numpy(v * s).flatten() for v, s in zip(stored.levels, stored.steps)]) / 255
                off = 255 * (told + jpeg.level(seen) - seen)
                found.append([float(part.square().mean()) for part in off.split(jpeg.sizes, 1)])
            lines.append([encoder, *(float(max(v - 1 / 12, 0) ** 0.5) for v in np.mean(found, 0))])
    return lines


def table(rows: Rows, label: str, kinds: list[str]) -> list[list[object]]:
    """A line for each kind, the one that gains least over the best level first."""
    lines = []
    for kind in kinds:
        of = [r for r in rows.rows if r["prior"] == label and r["kind"] == kind]
        if not of:
            continue
        column = {c: np.array([float(r[c]) for r in of]) for c in of[0] if c not in rows.keys}
        pairs = [f"{column[c].mean():.2f} / {column[f'{c}_y'].mean():.2f}" for c in ("file", "dejpeg", "white")]
        gain, beyond = column["dejpeg"] - column["file"], column["dejpeg"] - column["white"]
        lines.append((beyond.mean(), [kind, len(of), *pairs, gain.mean(), gain.min(), beyond.mean(), beyond.min()]))
    return [
        [v if isinstance(v, str | int) else f"{v:+.2f}" for v in line] for _, line in sorted(lines, key=lambda v: v[0])
    ]


def main() -> None:
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    label, prior = load_labelled(options.prior)
    values = ("file", "file_y", "dejpeg", "dejpeg_y", "white", "white_y", "level")
    rows = Rows(RESULTS / "jpeg_rows.csv", ("prior", "kind", "picture"), values)
    if not options.report_only:
        measure(rows, label, prior, options)
    header = (
        "file",
        "pictures",
        "decoded",
        "`dejpeg`",
        "best white level",
        "gain",
        "its worst",
        "beyond white",
        "its worst",
    )
    own = [k for k in KINDS if k.startswith("Pillow")]
    tables = [
        ("By Pillow (libjpeg-turbo), PSNR of RGB / of Y, dB", header, table(rows, label, own)),
        ("By others, and files that are not what is assumed, PSNR of RGB / of Y, dB", header,
         table(rows, label, [k for k in KINDS if k not in own])),
        ("What coefficients lie off those of the picture beyond their rounding, steps of 1, in levels of 255",
         ("encoder", "Y", "Cb", "Cr"), [[n, *(f"{v:.2f}" for v in vs)] for n, *vs in rounding(options)]),
    ]  # fmt: skip
    notes = [
        f"Prior {label}, the command's defaults, one answer, rounded to 8 bits; the middle {options.side} pixels a side of Kodak and McMaster.",
        f"Best white level: one call of the same network, of the levels {', '.join(f'{v:g}' for v in LEVELS)}, the best chosen with the truth.",
        "Gain: of RGB over the decoded picture; worst: of one picture. Rows: the least beyond the best level first.",
        (
            "4:2:0 but where another is named. GDAL: libjpeg 9, its chroma by the DCT of 16 x 16 pixels; mozjpeg 4.0.3: trellis, whose "
            "coefficients need not be the nearest. Blocks moved: 3 pixels were cut off between."
        ),
    ]
    publish("jpeg", "JPEG", tables, notes)


if __name__ == "__main__":
    main()
