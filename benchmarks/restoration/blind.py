"""`deblur` without a kernel, by the protocol of Levin et al. (CVPR 2009) on other pictures, and on what breaks it.

python -m benchmarks.restoration.blind             # needs $RESTOREKIT_DATA/classic; a run that was stopped goes on
python -m benchmarks.restoration.blind --part 0/2  # every second case; the page is made by a run without --part

Eight kernels, four grey crops of 255x255, blurred where all of the kernel lies on the picture. Error ratio: squared error
of the result over that with the true kernel, same solver and noise, each after the shift that suits it best.
"""

from __future__ import annotations

import argparse
import io
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from scipy import ndimage, signal

import restorekit
from benchmarks.support.common import RESULTS, centre, classic, kernels, load_labelled, publish
from restorekit.blind.families import disc, gaussian
from restorekit.errors import BadInput
from restorekit.files.curves import SRGB
from restorekit.files.journal import Rows
from restorekit.notes import Notes

Array = np.ndarray
SIDE, NOISE, IN_LIGHT, MARGIN, FURTHEST = 255, 0.01, 0.003, 8, 6
PICTURES = (("kodak", "kodim05"), ("kodak", "kodim09"), ("set14", "man"), ("set14", "monarch"))
LUMA = np.array([0.299, 0.587, 0.114])
parser = argparse.ArgumentParser()
parser.add_argument("--prior", default="natural-fast")
parser.add_argument("--part", default="0/1", help="I/N: every N-th case from the I-th")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--most", type=int, default=10**6, help="cases to measure at most, before the page is made")


@dataclass(frozen=True, eq=False)
class Made:
    """A blurred picture (H, W), with what is told of it."""

    group: str
    picture: str
    name: str  # of the kernel
    scene: Array  # in the values that are blurred
    kernel: Array
    sigma: float = NOISE
    quality: int = 0  # of a JPEG, 0: none
    white: float = np.inf
    second: Array | None = None  # the kernel of the right side, between which it changes

    @property
    def in_light(self) -> bool:
        return self.group != VALUES and not self.group.startswith("breaks")

    def __call__(self) -> tuple[Array, Array]:
        """(measurement, truth), in the values of the file where the blur was made in light."""
        h, w = self.kernel.shape
        y = signal.fftconvolve(self.scene, self.kernel, mode="valid")
        if self.second is not None:
            share = np.linspace(0, 1, y.shape[1])
            y = (1 - share) * y + share * signal.fftconvolve(self.scene, self.second, mode="valid")
        top, left = h - 1 - h // 2, w - 1 - w // 2
        truth = self.scene[top : top + y.shape[0], left : left + y.shape[1]]
        seed = zlib.crc32(f"{self.picture} {self.name}".encode())
        y = (y + self.sigma * np.random.default_rng(seed).standard_normal(y.shape)).clip(-np.inf, self.white)
        if self.quality:
            file = io.BytesIO()
            Image.fromarray(np.rint(255 * y.clip(0, 1)).astype(np.uint8)).save(file, "jpeg", quality=self.quality)
            y = np.asarray(Image.open(file)) / 255
        if not self.in_light:
            return y, truth
        return np.rint(255 * SRGB().encode(y.clip(0, 1))) / 255, SRGB().encode(truth)


VALUES, LIGHT = "values", "light, 8 bits"


def cases() -> Iterator[Made]:
    grey = []
    for folder, name in PICTURES:
        x = dict(classic(folder))[name]
        x = np.tensordot(LUMA, x, 1) if len(x) == 3 else x[0]
        grey.append((name, centre(x[None].astype(np.float64), SIDE)[0]))
    for group in (VALUES, LIGHT):
        pairs = [(p, k) for k in range(8) for p in range(4)]
        for p, k in sorted(pairs, key=lambda pair: (sum(pair) % 2, pair[1])):
            name, x = grey[p]
            label, kernel = kernels()[k]
            kernel = kernel.astype(np.float64)
            if group == VALUES:
                yield Made(VALUES, name, label, x, kernel)
            else:
                yield Made(LIGHT, name, label, SRGB().decode(x), kernel, IN_LIGHT)
    own = [k.astype(np.float64) for _, k in kernels()]
    turned = [np.pad(ndimage.rotate(own[0], a, reshape=False, order=1).clip(0), 2) for a in (0, 25)]
    for name, x in grey[:2]:
        yield Made("breaks: defocus", name, "disc of radius 6", x, disc(6.0))
        yield Made("breaks: Gaussian", name, "gaussian of 2.5", x, gaussian(2.5))
        yield Made("breaks: no blur", name, "none", x, np.ones((1, 1)))
        yield Made("breaks: kernel turns over the picture", name, "levin09_1", x, turned[0] / turned[0].sum(),
                   second=turned[1] / turned[1].sum())  # fmt: skip
        yield Made("breaks: a tenth at white", name, "levin09_2", x, own[1], white=float(np.quantile(x, 0.9)))
        yield Made("breaks: JPEG of quality 85", name, "levin09_3", x, own[2], quality=85)


def error(result: Array, truth: Array) -> float:
    """Return the squared error inside MARGIN after the best shift, by quarters of a pixel."""
    inner = np.s_[MARGIN:-MARGIN, MARGIN:-MARGIN]
    whole = {
        (i, j): float(((np.roll(result, (i, j), (0, 1)) - truth)[inner] ** 2).mean())
        for i in range(-FURTHEST, FURTHEST + 1) for j in range(-FURTHEST, FURTHEST + 1)
    }  # fmt: skip
    i, j = min(whole, key=lambda at: whole[at])
    parts = np.arange(-0.75, 0.76, 0.25)
    fine = [ndimage.shift(result, (i + a, j + b), order=3, mode="nearest") for a in parts for b in parts]
    return min(float(((x - truth)[inner] ** 2).mean()) for x in fine)


def measure(rows: Rows, label: str, prior: str, part: tuple[int, int], most: int) -> None:
    for number, case in enumerate(cases()):
        if most == 0 or number % part[1] != part[0] or rows.has(label, case.group, case.picture, case.name):
            continue
        most -= 1
        y, truth = case()
        curve = {"transfer": "srgb"} if case.in_light else {}
        shared = {"prior": prior, "noise": f"gaussian:{case.sigma:g}", "boundary": "free", "progress": False, **curve}
        told = restorekit.deblur(y.astype(np.float32), case.kernel, notes=Notes(), **shared)
        best = error(told.samples[0, 0].double().numpy(), truth)
        began, notes = time.perf_counter(), Notes()
        try:
            found = restorekit.deblur(y.astype(np.float32), notes=notes, **shared)
            own, said = error(found.samples[0, 0].double().numpy(), truth), found.notes
        except BadInput as refusal:
            own, said = error(y, truth), (str(refusal),)
        doubt = "refused" if not notes.texts and len(said) == 1 else "doubted" if "doubtful" in said[-1] else ""
        took = time.perf_counter() - began
        rows.add(label, case.group, case.picture, case.name, own / best, -10 * np.log10(best), -10 * np.log10(own),
                 -10 * np.log10(error(y, truth)), doubt, took)  # fmt: skip
        print(case.group, case.picture, case.name, f"{own / best:.2f}", doubt, f"{took:.0f} s", flush=True)


def main() -> None:
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    label, _ = load_labelled(options.prior)
    rows = Rows(
        RESULTS / "blind_rows.csv", ("prior", "group", "picture", "kernel"), ("ratio", "told", "found", "input", "said", "seconds")
    )  # fmt: skip
    first, count = (int(n) for n in options.part.split("/"))
    measure(rows, label, options.prior, (first, count), options.most)
    if count > 1:
        return
    own = [r for r in rows.rows if r["prior"] == label]
    summary, tables = [], []
    for group in dict.fromkeys(r["group"] for r in own):
        part = sorted((r for r in own if r["group"] == group), key=lambda r: -float(r["ratio"]))
        ratios = np.array([float(r["ratio"]) for r in part])
        summary.append([group, len(part), float(ratios.max()), float(np.median(ratios)), f"{(ratios < 2).mean():.0%}",
                        f"{(ratios < 3).mean():.0%}"])  # fmt: skip
        lines = [[r["picture"], r["kernel"], f"{float(r['ratio']):.2f}", *(f"{float(r[k]):.1f}" for k in ("input", "found", "told")),
                  r["said"], f"{float(r['seconds']):.0f}"] for r in part]  # fmt: skip
        header = ("picture", "kernel", "ratio", "input", "kernel found", "kernel told", "said", "seconds")
        tables.append((f"{group}: PSNR in dB, worst first", header, lines))
    tables.insert(0, ("", ("rows", "cases", "worst ratio", "median", "below 2", "below 3"), summary))
    what = (
        f"Grey crops of {SIDE}x{SIDE} from the middle of {', '.join(name for _, name in PICTURES)}; the eight kernels of Levin et al. "
        f"2009, blurred where all of the kernel lies on the picture; noise {NOISE} in values, {IN_LIGHT} in light, told. `deblur` with "
        f"{label}, without a kernel and with the true one, after the best shift of each. A refusal counts as the input itself."
    )
    publish("blind", "Deblurring without a kernel", tables, [what])


if __name__ == "__main__":
    main()
