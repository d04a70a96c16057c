"""Deblurring with a kernel that is off: not corrected, corrected, and with the true one, beside classical methods.

python -m benchmarks.restoration.kernel_error            # needs $RESTOREKIT_DATA/classic; a run that was stopped goes on
python -m benchmarks.restoration.kernel_error --part 1/2 # every second picture; the tables are made by a run without --part
"""

from __future__ import annotations

import argparse
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from benchmarks.support.classical import METHODS, Method, tuned
from benchmarks.support.common import RESULTS, classic, kernels, load_labelled, publish
from benchmarks.support.tasks import Case
from restorekit.blind.correction import KernelCorrection
from restorekit.blind.families import gaussian, motion
from restorekit.files.journal import Rows
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.driver import restore
from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.metrics.fidelity import psnr, ssim
from restorekit.operators import FreeBlur, Identity
from restorekit.solvers.diffpir import HQS

SIGMA_Y, SIDE, MARGIN = 0.01, 128, 6
LENGTH, DEGREES, WIDTH = 15.0, 30.0, 2.0
WAYS = ("wiener", "richardson-lucy", "not corrected", "corrected", "true kernel")
parser = argparse.ArgumentParser()
parser.add_argument("--prior", default="natural-fast")
parser.add_argument("--kodak", type=int, default=3)
parser.add_argument("--set5", type=int, default=5)
parser.add_argument("--part", default="0/1", help="I/N: every N-th picture from the I-th")
parser.add_argument("--threads", type=int, default=1)

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Wrong:
    """A pair of kernels, (true, given), of a picture by its number."""

    family: str
    error: str

    def __call__(self, number: int) -> tuple[Array, Array]:
        amount = float(self.error.split()[0]) if self.error != "exact" else 0.0
        if self.family == "length":
            return motion(LENGTH * (1 + amount / 100), DEGREES), motion(LENGTH, DEGREES)
        if self.family == "direction":
            return motion(LENGTH, DEGREES + amount), motion(LENGTH, DEGREES)
        if self.family == "gaussian":
            return gaussian(WIDTH * (1 + amount / 100)), gaussian(WIDTH)
        true = kernels()[number % 8][1].astype(np.float64)
        rng = np.random.default_rng(number)
        wrong = np.maximum(true * (1 + amount / 100 * rng.standard_normal(true.shape)), 0)
        return true / true.sum(), wrong / wrong.sum()


CASES = [Wrong("length", e) for e in ("exact", "-30 %", "-20 %", "-10 %", "10 %", "20 %", "30 %")]
CASES += [Wrong("direction", f"{d} degrees") for d in (3, 5, 10)]
CASES += [Wrong("levin", e) for e in ("exact", "5 %", "10 %", "25 %")]
CASES += [Wrong("gaussian", e) for e in ("exact", "-10 %", "10 %")]


def measured(x: Array, kernel: Array, seed: int) -> tuple[Array, Array]:
    """(y, truth), (C, SIDE, SIDE) of the middle: what lies beyond its frame is the rest of the picture."""
    whole = np.stack([ndimage.convolve(band.astype(np.float64), kernel, mode="reflect") for band in x])
    top, left = ((n - SIDE) // 2 for n in x.shape[1:])
    y, truth = (v[:, top : top + SIDE, left : left + SIDE] for v in (whole, x))
    noise = np.random.default_rng(seed).standard_normal(y.shape)
    return (y + SIGMA_Y * noise).astype(np.float32), np.ascontiguousarray(truth, np.float32)


def problem(y: Array, kernel: Array) -> Problem:
    shape = (y.shape[0], y.shape[1], y.shape[2])
    return Problem(torch.from_numpy(y)[None], FreeBlur.of(shape, torch.from_numpy(kernel).float()), Gaussian(SIGMA_Y))


def deblurred(y: Array, kernel: Array, denoise: Denoiser) -> Array:
    p = problem(y, kernel)
    return p.operator.inside(restore(p, denoise, HQS(first=0.5), steps=8).samples)[0].numpy()


def framed(kernel: Array, shape: tuple[int, ...]) -> Array:
    """With zeros around it, its middle where it was: a network sees pictures of another size a little differently."""
    out, (h, w) = np.zeros(shape), kernel.shape
    top, left = shape[0] // 2 - h // 2, shape[1] // 2 - w // 2
    out[top : top + h, left : left + w] = kernel
    return out


def plain(y: Array, truth: Array, kernel: Array, method: str) -> Array:
    """By a classical method, with the settings tuned for deblurring at this noise."""
    function: Method = METHODS["deblur"][method][0]
    shape = (y.shape[0], y.shape[1], y.shape[2])
    case = Case("deblur-0.01", 0, truth, Problem(torch.from_numpy(y)[None], Identity(shape), Gaussian(SIGMA_Y)), kernel)
    return function(case, **tuned("deblur-0.01", method))


def restored(
    y: Array, truth: Array, true: Array, given: Array, denoise: Denoiser
) -> Iterator[tuple[str, Array, float]]:
    """(way, picture, seconds)."""
    correction = KernelCorrection()
    for way in WAYS:
        began = time.perf_counter()
        if way in METHODS["deblur"]:
            x = plain(y, truth, given, way)
        else:
            kernel = np.pad(given, MARGIN)
            if way == "corrected":
                kernel = correction(problem(y, kernel), denoise).kernel
            x = deblurred(y, framed(true, kernel.shape) if way == "true kernel" else kernel, denoise)
        yield way, x, time.perf_counter() - began


def measure(rows: Rows, options: argparse.Namespace, label: str, denoise: Denoiser) -> None:
    part, of = (int(v) for v in options.part.split("/"))
    pictures = [*classic("kodak", options.kodak), *classic("set5", options.set5)]
    for number, (name, x) in list(enumerate(pictures))[part::of]:
        for case in CASES:
            if all(rows.has(label, case.family, case.error, name, way) for way in WAYS):
                continue
            true, given = case(number)
            y, truth = measured(x, true, zlib.crc32(f"{case.family} {case.error}".encode()) + number)
            for way, result, seconds in restored(y, truth, true, given, denoise):
                if rows.has(label, case.family, case.error, name, way):  # of a run that was stopped in between
                    continue
                x01 = result.clip(0, 1)
                rows.add(label, case.family, case.error, name, way, psnr(x01, truth), ssim(x01, truth), seconds)
                print(case.family, case.error, name, way, f"{psnr(x01, truth):.2f} dB, {seconds:.0f} s", flush=True)


def table(rows: Rows, label: str, figure: str, digits: int) -> list[list[str]]:
    out = []
    for case in CASES:
        own = [r for r in rows.rows if (r["prior"], r["family"], r["error"]) == (label, case.family, case.error)]
        own.sort(key=lambda r: r["picture"])  # of the same picture, whichever process was first
        values = {way: [float(r[figure]) for r in own if r["way"] == way] for way in WAYS}
        if not own:
            continue
        means = [f"{np.mean(values[way]):.{digits}f}" for way in WAYS]
        gains = np.subtract(values["corrected"], values["not corrected"])
        out.append(
            [f"{case.family}, {case.error}", *means, f"{gains.mean():+.{digits}f}", f"{gains.min():+.{digits}f}"]
        )
    return out


def main() -> None:
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    label, prior = load_labelled(options.prior)
    keys = ("prior", "family", "error", "picture", "way")
    rows = Rows(RESULTS / "kernel_error_rows.csv", keys, ("psnr", "ssim", "seconds"))
    measure(rows, options, label, prior.for_bands(3))
    if options.part != "0/1":
        return
    rows.reload()
    own = [r for r in rows.rows if r["prior"] == label]
    wrong = [r for r in own if r["error"] != "exact"]

    def mean(way: str, of: list[dict[str, str]]) -> float:
        return float(np.mean([float(r["psnr"]) for r in of if r["way"] == way]))

    header = ("kernel, error", *WAYS, "gain", "least gain")
    tables = [(title, header, table(rows, label, *what)) for title, what in
              (("PSNR, dB", ("psnr", 2)), ("SSIM", ("ssim", 4)))]  # fmt: skip
    seconds = {way: float(np.mean([float(r["seconds"]) for r in own if r["way"] == way])) for way in WAYS}
    what = (
        f"Means over the middle {SIDE}x{SIDE} of {len({r['picture'] for r in own})} pictures (Kodak, Set5), blurred with what "
        f"lies beyond the frame, noise {SIGMA_Y}; hqs with {label}, free boundary, the kernel corrected as by "
        "`deblur --kernel-error auto`. The given kernel is a motion of 15 pixels at 30 degrees, a Gaussian of 2 pixels, or one "
        "of Levin et al. with an independent error in every tap, and the true one is that much longer, turned further, or "
        "without it. Wiener and Richardson-Lucy get the wrong kernel and mirrored edges. Least gain: of a single picture."
    )
    gained = (
        f"Mean gain where the kernel is wrong: {mean('corrected', wrong) - mean('not corrected', wrong):+.2f} dB, of "
        f"{mean('true kernel', wrong) - mean('not corrected', wrong):+.2f} dB that the true kernel gains. A picture takes "
        f"{seconds['corrected'] / seconds['not corrected']:.1f} times as long with the correction."
    )
    notes = [what, gained]
    publish("kernel_error", "Deblurring with a wrong kernel", tables, notes)


if __name__ == "__main__":
    main()
