"""`upscale` of Set5 and Set14, x2, x3 and x4, beside Lanczos and cubic interpolation.

python -m benchmarks.restoration.super_resolution        # needs $RESTOREKIT_DATA/classic; a run that was stopped goes on

Small pictures have 8 bits. Those of the papers are made by MATLAB's kernel (antialiased cubic, mirrored border), which is
ours; others by Pillow, torch and scikit-image, which share nothing with what restores them.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from skimage.transform import resize
from torch.nn.functional import interpolate

import restorekit
from benchmarks.support.common import DATA, RESULTS, centre, load_labelled, need_data, progress, publish
from restorekit.files.journal import Rows
from restorekit.files.picture import read_picture
from restorekit.metrics.fidelity import psnr
from restorekit.notes import Notes
from restorekit.operators import Resize
from restorekit.priors.prior import Prior
from restorekit.tasks.upscale import SHARP, steepness

Array = np.ndarray
FACTORS = (2, 3, 4)
CROP = 96  # pixels a side, to keep the run short: a quarter of an hour of one core
# Dong et al., "Image Super-Resolution Using Deep Convolutional Networks", TPAMI 38, 2016, "bicubic", which tells whether all is done
# as there, and SRCNN; Zhang, Van Gool, Timofte, "Deep Unfolding Network for Image Super-Resolution", CVPR 2020, USRNet, from the table
# "PSNR results of USRNet for bicubic degradation" of the authors' repository, cszn/USRNet, README.md.
PRINTED = {
    "set5": {2: (33.66, 36.66, 37.72), 3: (30.39, 32.75, 34.45), 4: (28.42, 30.49, 32.45)},
    "set14": {2: (30.23, 32.45, 33.49), 3: (27.54, 29.30, 30.51), 4: (26.00, 27.50, 28.83)},
}
parser = argparse.ArgumentParser()
parser.add_argument("--prior", default="natural")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--report-only", action="store_true")


def rounded(x: Array) -> Array:
    """The values that a file of 8 bits holds, [0, 1]."""
    return np.rint(255 * x.clip(0, 1)) / 255


def matlab(x: Array, size: tuple[int, int]) -> Array:
    """imresize of MATLAB, (C, H, W) to (C, *size)."""
    return Resize((len(x), *x.shape[1:]), size, None, "bicubic", "matlab")(torch.from_numpy(x)[None])[0].numpy()


def by_pillow(x: Array, size: tuple[int, int], how: Image.Resampling = Image.Resampling.BICUBIC) -> Array:
    image = Image.fromarray(np.rint(255 * x).astype(np.uint8).transpose(1, 2, 0))
    return np.asarray(image.resize((size[1], size[0]), how)).transpose(2, 0, 1) / 255


def by_torch(x: Array, size: tuple[int, int]) -> Array:
    return interpolate(torch.from_numpy(x)[None], size, mode="bicubic", align_corners=False)[0].numpy()


def by_skimage(x: Array, size: tuple[int, int]) -> Array:
    return np.asarray(resize(x.transpose(1, 2, 0), size)).transpose(2, 0, 1)


class Maker(NamedTuple):
    """What made a picture smaller, and the settings of `upscale` that say so."""

    make: Callable[[Array, tuple[int, int]], Array]
    told: dict[str, Any]


MAKERS = {
    "matlab": Maker(matlab, {"like": "matlab"}),
    "pillow": Maker(by_pillow, {}),
    "torch, no antialias": Maker(by_torch, {"like": "torch"}),
    "scikit-image, order 1": Maker(by_skimage, {"like": "skimage", "filter": "bilinear"}),
}


def y_of(x: Array) -> Array:
    """The luma of papers: rgb2ycbcr of MATLAB, (1, H, W)."""
    return (16 + np.tensordot([65.481, 128.553, 24.966], x, 1))[None] / 255


def quality(x: Array, truth: Array, factor: int) -> tuple[float, float]:
    """PSNR, dB, of Y and of RGB, without a border of `factor` pixels."""
    a, b = (v[:, factor:-factor, factor:-factor] for v in (rounded(x), truth))
    return psnr(y_of(a), y_of(b)), psnr(a, b)


def pictures(folder: str, crop: int | None, factor: int) -> Iterator[tuple[str, Array]]:
    """Whole pictures are cut at the right and below to multiples of the factor, as papers do; parts are their middle."""
    need_data()
    for path in sorted((DATA / "classic" / folder).glob("*.png")):
        x = read_picture(path).pixels.astype(np.float64)
        x = np.repeat(x, 3, 0) if len(x) == 1 else x[:3]
        h, w = (n // factor * factor for n in x.shape[1:])
        yield path.stem, x[:, :h, :w] if crop is None else centre(x, crop, factor)


def cases() -> Iterator[tuple[str, str, int | None, tuple[int, ...], bool]]:
    """(set, maker, crop, factors, whether the default is run beside the settings that are told)."""
    yield "set5", "matlab", None, (4, 3, 2), False
    for maker, (_, told) in MAKERS.items():
        if maker != "matlab":
            yield "set5", maker, CROP, (4, 2), told != {}
    yield "set14", "matlab", CROP, (4, 3, 2), False
    yield "set14", "matlab", None, (4, 3, 2), False  # last: two hours of one core


def measure(rows: Rows, label: str, prior: Prior) -> None:
    for folder, maker, crop, factors, beside in cases():
        for factor in factors:
            for name, truth in pictures(folder, crop, factor):
                size = truth.shape[1] // factor, truth.shape[2] // factor
                small = rounded(MAKERS[maker].make(truth, size))
                told, at = MAKERS[maker].told, (folder, str(crop or "whole"), maker, factor, name)
                ways = (
                    {"upscale, told": told, "upscale": {}} if beside else {"upscale, told" if told else "upscale": told}
                )
                rest = {
                    "lanczos": lambda s=small, t=truth: by_pillow(s, t.shape[1:], Image.Resampling.LANCZOS),
                    "bicubic": lambda s=small, t=truth: matlab(s, t.shape[1:]),
                }
                for way, make in rest.items():
                    if not rows.has("-", *at, way):
                        rows.add("-", *at, way, *quality(make(), truth, factor), 0.0)
                for way, settings in ways.items():
                    if rows.has(label, *at, way):
                        continue
                    values = np.rint(255 * small).astype(np.uint8).transpose(1, 2, 0)
                    done = restorekit.upscale(values, factor, prior=prior, notes=Notes(), **settings)
                    found = quality(done.samples[0].double().numpy(), truth, factor)
                    rows.add(label, *at, way, *found, done.seconds)
                    progress(f"{' '.join(map(str, at))} {way}: {found[0]:.2f} dB, {done.seconds:.0f} s")


def printed(rows: Rows, label: str) -> list[list[object]]:
    """Cubic interpolation of whole pictures and, where they were run, `upscale`, beside what a paper prints."""
    lines = []
    for folder, known in PRINTED.items():
        for factor in FACTORS:
            values = []
            for _, truth in pictures(folder, None, factor):
                small = rounded(matlab(truth, (truth.shape[1] // factor, truth.shape[2] // factor)))
                values.append(quality(matlab(small, truth.shape[1:]), truth, factor)[0])
            at = (label, folder, "whole", "matlab", str(factor))
            own = [float(r["y"]) for r in rows.rows if tuple(r[k] for k in rows.keys[:5]) == at]
            here = f"{np.mean(own):.2f}" if len(own) == len(values) else ""
            bicubic, srcnn, usrnet = (f"{v:.2f}" for v in known[factor])
            gap = f"{np.mean(own) - known[factor][2]:+.2f}" if here else ""
            lines.append(
                [f"{folder} x{factor}", len(values), f"{np.mean(values):.2f}", bicubic, here, srcnn, usrnet, gap]
            )
    return lines


def hints() -> list[list[object]]:
    """How often `upscale` says that a picture was hardly smoothed, by what made it; whole pictures."""
    makers = {
        "torch, no antialias": by_torch,
        "Pillow, Lanczos": lambda x, size: by_pillow(x, size, Image.Resampling.LANCZOS),
        "Pillow, bicubic": by_pillow,
        "scikit-image, order 1": by_skimage,
    }
    lines = []
    for maker, make in makers.items():
        counts: list[object] = []
        for factor in FACTORS:
            seen = [
                steepness(rounded(make(x, (x.shape[1] // factor, x.shape[2] // factor)))) > SHARP
                for folder in ("kodak", "mcmaster", "set14")
                for _, x in pictures(folder, None, factor)
            ]
            counts.append(f"{sum(seen)} of {len(seen)}")
        lines.append([maker, *counts])
    return lines


def table(rows: Rows, label: str, chosen: Callable[[dict[str, str]], bool]) -> list[list[object]]:
    """A line for each set, maker and factor: the means of Y and of RGB."""
    mine = [r for r in rows.rows if r["prior"] in ("-", label) and chosen(r)]
    lines = []
    for at in dict.fromkeys((r["set"], r["crop"], r["maker"], r["factor"]) for r in mine):
        part = [r for r in mine if (r["set"], r["crop"], r["maker"], r["factor"]) == at]

        def mean(way: str, what: str, part: list[dict[str, str]] = part) -> float:
            values = [float(r[what]) for r in part if r["way"] == way]
            return float(np.mean(values)) if values else math.nan

        def shown(way: str, mean: Callable[[str, str], float] = mean) -> str:
            pair = mean(way, "y"), mean(way, "rgb")
            return "" if math.isnan(pair[0]) else f"{pair[0]:.2f} / {pair[1]:.2f}"

        best = mean("upscale, told", "y")
        gain = (mean("upscale", "y") if math.isnan(best) else best) - mean("lanczos", "y")
        count = len({r["picture"] for r in part})
        ways = [shown(way) for way in ("bicubic", "lanczos", "upscale", "upscale, told")]
        lines.append([at[0], at[1], at[2], f"x{at[3]}", count, *ways, f"{gain:+.2f}"])
    return lines


def main() -> None:
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    label, prior = load_labelled(options.prior)
    rows = Rows(
        RESULTS / "super_resolution_rows.csv",
        ("prior", "set", "crop", "maker", "factor", "picture", "way"),
        ("y", "rgb", "seconds"),
    )
    if not options.report_only:
        measure(rows, label, prior)
    header = (
        "set",
        "pixels",
        "made by",
        "factor",
        "pictures",
        "cubic",
        "Lanczos",
        "`upscale`",
        "`upscale`, told",
        "gain",
    )
    tables = [
        ("As papers make it: MATLAB's kernel, 8 bits. PSNR of Y / of RGB, dB", header,
         table(rows, label, lambda r: r["maker"] == "matlab")),
        ("Made by other people's code, 8 bits. PSNR of Y / of RGB, dB", header,
         table(rows, label, lambda r: r["maker"] != "matlab")),
        ("Whole pictures beside papers (SRCNN: Dong et al., TPAMI 38, 2016; USRNet: Zhang et al., CVPR 2020), PSNR of Y, dB",
         ("set", "pictures", "cubic, here", "cubic, there", "`upscale`, told", "SRCNN, there", "USRNet, there", "to USRNet"),
         printed(rows, label)),
        ("Pictures of Kodak, McMaster and Set14 of which `upscale` says that they were hardly smoothed",
         ("made by", *(f"x{f}" for f in FACTORS)), hints()),
    ]  # fmt: skip
    notes = [
        f"Prior {label}, the command's defaults, one answer, rounded to 8 bits; `told`: with the `like` and `filter` that made the picture.",
        "Y is that of MATLAB's rgb2ycbcr; a border of as many pixels as the factor is left out. Gain: of Y, of what was told, to Lanczos.",
        f"`pixels`: whole pictures, of which the first by name where there are fewer than in the set, or the middle {CROP} a side.",
        "Cubic and Lanczos enlarge by MATLAB's kernel and by Pillow.",
        "`upscale` of whole Set14 was run on an AMD EPYC without AMX, all else on an Intel Xeon with it; butterfly of Set5 again on the first: "
        + ".000 dB off at x4, .002 at x2. The machine above made the tables.",
    ]
    publish("super_resolution", "Super-resolution", tables, notes)


if __name__ == "__main__":
    main()
