"""`deblur` without a kernel, by the protocol of Levin et al. (CVPR 2009) on other pictures, and on what breaks it.

python -m benchmarks.restoration.blind                        # needs $RESTOREKIT_DATA/classic; a run that was stopped goes on
python -m benchmarks.restoration.blind --prior natural-fast   # the same kernels with a prior
python -m benchmarks.restoration.blind --groups breaks,"light of" --most 8   # eight more rows of these
python -m benchmarks.restoration.blind --part 0/2             # every second case; the page is made by a run without --part
python -m benchmarks.restoration.blind --time --threads 2

Eight kernels, four grey crops of 255x255, blurred where all of the kernel lies on the picture. Error ratio: squared error
of the result over that with the true kernel, same solver and noise, each after the shift that suits it best.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy import ndimage, signal

import restorekit
from benchmarks.support.common import RESULTS, centre, classic, kernels, load_labelled, publish
from restorekit.blind.families import disc, gaussian
from restorekit.blind.kernel_forms import aligned, centred
from restorekit.blind.plausible import Plausible
from restorekit.blind.pyramid import Pyramid
from restorekit.errors import BadInput
from restorekit.files.curves import SRGB
from restorekit.files.journal import Rows
from restorekit.files.picture import write_text
from restorekit.inference.likelihood import Gaussian
from restorekit.notes import Notes
from restorekit.tasks.blind_kernel import blind_kernel, with_misfit
from restorekit.tasks.observation import observe

Array = np.ndarray
Table = tuple[str, Sequence[str], Sequence[Sequence[Any]]]
SIDE, NOISE, IN_LIGHT, MARGIN, FURTHEST = 255, 0.01, 0.003, 8, 6
PICTURES = (("kodak", "kodim05"), ("kodak", "kodim09"), ("set14", "man"), ("set14", "monarch"))
FRESH = (
    ("kodak", "kodim06"),
    ("kodak", "kodim11"),
    ("set14", "lenna"),
    ("mcmaster", "4"),
)  # on which nothing was ever tried
LARGE = (
    ("urban", "img_001_SRF_4_HR"),
    ("urban", "img_006_SRF_4_HR"),
    ("set14", "barbara"),
)  # of at least 538 pixels a side
LUMA = np.array([0.299, 0.587, 0.114])
KEY, LEAN, TURNS = ("group", "picture", "kernel"), 10.0, 60  # strength of the prior and turns of the plain solver
parser = argparse.ArgumentParser()
parser.add_argument("--prior", help="restore with this too, from the kernels that were kept, instead of searching")
parser.add_argument(
    "--kept", type=Path, default=Path(tempfile.gettempdir()) / "restorekit-blind", help="folder of the kernels found"
)
parser.add_argument("--groups", help="only groups that begin so, with commas between")
parser.add_argument("--part", default="0/1", help="I/N: every N-th case from the I-th")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--most", type=int, default=10**6, help="cases to measure at most, before the page is made")
parser.add_argument("--time", action="store_true", help="measure how long a search takes at 512x512, and nothing else")


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
        return self.group.startswith("light")

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


VALUES, LIGHT, OTHERS = "values", "light, 8 bits", ", fresh crops"
LARGER, LARGE_SIDE = "light of 512x512, 8 bits", 512


def crops(pictures: Sequence[tuple[str, str]], side: int = SIDE) -> list[tuple[str, Array]]:
    """Return (name, grey crop of `side` from the middle) of pictures by folder and name."""
    out = []
    for folder, name in pictures:
        x = dict(classic(folder))[name]
        x = np.tensordot(LUMA, x, 1) if len(x) == 3 else x[0]
        out.append((name, centre(x[None].astype(np.float64), side)[0]))
    return out


def cases() -> Iterator[Made]:
    known, fresh = crops(PICTURES), crops(FRESH)
    for group, grey in ((VALUES, known), (VALUES + OTHERS, fresh), (LIGHT, known), (LIGHT + OTHERS, fresh)):
        pairs = [(p, k) for k in range(8) for p in range(4)]
        for p, k in sorted(pairs, key=lambda pair: (sum(pair) % 2, pair[1])):
            name, x = grey[p]
            label, kernel = kernels()[k]
            kernel = kernel.astype(np.float64)
            if group.startswith(VALUES):
                yield Made(group, name, label, x, kernel)
            else:
                yield Made(group, name, label, SRGB().decode(x), kernel, IN_LIGHT)
    own = [k.astype(np.float64) for _, k in kernels()]
    for k in (3, 0):
        for name, x in crops(LARGE, LARGE_SIDE + len(own[k]) - 1):
            yield Made(LARGER, name, kernels()[k][0], SRGB().decode(x), own[k], IN_LIGHT)
    turned = [np.pad(ndimage.rotate(own[0], a, reshape=False, order=1).clip(0), 2) for a in (0, 25)]
    for name, x in known[:2]:
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
    parts, splines = np.arange(-0.75, 0.76, 0.25), ndimage.spline_filter(result, 3, mode="nearest")
    fine = [
        ndimage.shift(splines, (i + a, j + b), order=3, mode="nearest", prefilter=False) for a in parts for b in parts
    ]
    return min(float(((x - truth)[inner] ** 2).mean()) for x in fine)


@dataclass(frozen=True, eq=False)
class Searched:
    """What a search gave for a case, kept in a file."""

    kernel: Array  # (0, 0) where the picture was refused
    sigma: float  # with what the error of the kernel does
    said: str
    figures: tuple[float, ...] = ()  # alike, gain, error stated

    @classmethod
    def of(cls, case: Made, y: Array) -> Searched:
        read = observe(
            torch.from_numpy(y).float()[None], "blur", "auto", None, "srgb" if case.in_light else "linear", Notes()
        )
        try:
            found = blind_kernel(read, case.sigma)
        except BadInput:
            return cls(np.zeros((0, 0)), case.sigma, "refused", (0.0, 0.0, 0.0))
        law, own = with_misfit(Gaussian(case.sigma), found.misfit), found.found
        said = "none seen" if found.none else "" if found.sure else "doubted"
        return cls(found.kernel, float(law.sigma), said, (own.alike, own.gain, own.error))  # type: ignore[attr-defined]

    @property
    def blurs(self) -> bool:
        return self.kernel.size > 1


def plain(case: Made, y: Array, kernel: Array, sigma: float) -> Array:
    """Return the best picture under a prior of sparse gradients: no network, a second each. sigma: noise and what the kernel spoils."""
    light = np.asarray(SRGB().decode(y)) if case.in_light else y
    values = np.asarray(light, np.float64)
    result, _ = Plausible(Pyramid.of(values, np.ones_like(values)), sigma).sharp(kernel, LEAN, TURNS)
    return SRGB().encode(result.clip(0, 1)) if case.in_light else result


def off(found: Array, true: Array) -> float:
    """Return |found - true| / |found| after the best shift by whole pixels."""
    side = max(*found.shape, *true.shape) // 2 * 2 + 1
    a = centred(found, side)
    return float(np.linalg.norm(aligned(centred(true, side), a) - a) / np.linalg.norm(a))


def chosen(options: argparse.Namespace, done: Callable[[Made], bool]) -> Iterator[tuple[Made, Path]]:
    """Yield the cases of a part that are not done yet, and the file of each kernel."""
    first, count = (int(n) for n in options.part.split("/"))
    todo = [c for i, c in enumerate(cases()) if i % count == first and not done(c)]
    if options.groups:
        todo = [c for c in todo if c.group.startswith(tuple(options.groups.split(",")))]
    options.kept.mkdir(parents=True, exist_ok=True)
    for case in todo[: options.most]:
        yield case, options.kept / f"{zlib.crc32(repr((case.group, case.picture, case.name)).encode()):08x}.npz"


def search(rows: Rows, options: argparse.Namespace) -> None:
    for case, file in chosen(options, lambda c: rows.has(c.group, c.picture, c.name)):
        y, truth = case()
        began, work = time.perf_counter(), time.process_time()
        found = Searched.of(case, y)
        took, work = time.perf_counter() - began, time.process_time() - work
        np.savez(file, kernel=found.kernel, sigma=found.sigma, said=found.said)
        told = error(plain(case, y, case.kernel, case.sigma), truth) if case.kernel.size > 1 else error(y, truth)
        own = error(plain(case, y, found.kernel, found.sigma) if found.blurs else y, truth)
        true = off(found.kernel, case.kernel) if found.blurs else 1.0
        ratio = own / told if case.kernel.size > 1 or found.blurs else 1.0
        rows.add(case.group, case.picture, case.name, ratio, *(-10 * np.log10(e) for e in (told, own, error(y, truth))),
                 found.said, *found.figures, true, took, work)  # fmt: skip
        print(
            case.group,
            case.picture,
            case.name,
            f"{ratio:.2f}",
            found.said,
            f"{took:.0f} s, {work:.0f} s of a core",
            flush=True,
        )


def restored_error(case: Made, prior: str, kernel: Array, sigma: float) -> float:
    """Return the error with a prior, by what `deblur` does with a kernel that it found."""
    y, truth = case()
    if kernel.size <= 1:
        return error(y, truth)
    curve = {"transfer": "srgb"} if case.in_light else {}
    shared = {"prior": prior, "boundary": "free", "progress": False, "notes": Notes(), **curve}
    x = restorekit.deblur(y.astype(np.float32), kernel, noise=f"gaussian:{sigma:g}", **shared)
    return error(x.samples[0, 0].double().numpy(), truth)


def restore(rows: Rows, options: argparse.Namespace, label: str) -> None:
    for case, file in chosen(options, lambda c: rows.has(label, c.group, c.picture, c.name)):
        if file.exists():
            with np.load(file) as kept:
                found = Searched(kept["kernel"], float(kept["sigma"]), str(kept["said"]))
        else:
            found = Searched.of(case, case()[0])
        told = restored_error(case, options.prior, case.kernel, case.sigma)
        own = restored_error(case, options.prior, found.kernel, found.sigma)
        rows.add(
            label,
            case.group,
            case.picture,
            case.name,
            own / told,
            -10 * np.log10(told),
            -10 * np.log10(own),
            found.said,
        )
        print(label, case.group, case.picture, case.name, f"{own / told:.2f}", found.said, flush=True)


def summed(rows: list[dict[str, str]]) -> list[list[Any]]:
    """Return a line for each group: cases, worst and median ratio, shares below 2 and 3, and below 2 of those not doubted."""
    lines = list[list[Any]]()
    for group in dict.fromkeys(r["group"] for r in rows):
        own = [r for r in rows if r["group"] == group]
        ratios, sure = np.array([float(r["ratio"]) for r in own]), np.array([r["said"] == "" for r in own])
        bad, good = ratios > 3, ratios < 2
        lines.append([group, len(own), float(ratios.max()), float(np.median(ratios)), f"{good.mean():.0%}", f"{(ratios < 3).mean():.0%}",
                      f"{(bad & ~sure).sum()} of {bad.sum()}", f"{(good & ~sure).sum()} of {good.sum()}"])  # fmt: skip
    return lines


def timed(threads: int) -> list[list[Any]]:
    """Return a line: a search at 512x512."""
    x = dict(classic("kodak"))["kodim05"]
    kernel = kernels()[3][1].astype(np.float64)
    y = signal.fftconvolve(centre(x, 512 + len(kernel) - 1).mean(0), kernel, mode="valid")
    y += NOISE * np.random.default_rng(0).standard_normal(y.shape)
    began, work = time.perf_counter(), time.process_time()
    Searched.of(Made(VALUES, "kodim05", "levin09_4", y, kernel), y)
    return [["512x512", threads, f"{time.perf_counter() - began:.0f}", f"{time.process_time() - work:.0f}"]]


def main() -> None:
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = RESULTS / "blind_time.csv"
    if options.time:
        write_text(clock, "\n".join(",".join(map(str, line)) for line in timed(options.threads)) + "\n")
        return
    rows = Rows(RESULTS / "blind_rows.csv", KEY, ("ratio", "told", "found", "input", "said", "alike", "gain", "stated", "true", "seconds",
                                                  "processors"))  # fmt: skip
    with_priors = RESULTS / "blind_prior_rows.csv"
    restored = Rows(
        with_priors if options.prior or with_priors.exists() else None,
        ("prior", *KEY),
        ("ratio", "told", "found", "said"),
    )
    if options.prior:
        restore(restored, options, load_labelled(options.prior)[0])
    else:
        search(rows, options)
    if options.part != "0/1":
        return
    header = (
        "rows",
        "cases",
        "worst ratio",
        "median",
        "below 2",
        "below 3",
        "above 3 and doubted",
        "below 2 and doubted",
    )
    tables: list[Table] = [("Sparse gradients, all cases", header, summed(rows.rows))]
    for label in dict.fromkeys(r["prior"] for r in restored.rows):
        tables.append(
            (f"{label}, the cases that were run", header, summed([r for r in restored.rows if r["prior"] == label]))
        )
    blurred = [r for r in rows.rows if r["said"] in ("", "doubted")]
    within = np.mean([float(r["true"]) < 2 * float(r["stated"]) for r in blurred])
    tables.append(
        ("Error of the kernel", ("kernels found", "within twice the stated error"), [[len(blurred), f"{within:.0%}"]])
    )
    if clock.exists():
        tables.append(
            (
                "Time of a search",
                ("picture", "threads", "seconds", "seconds of cores"),
                [clock.read_text().strip().split(",")],
            )
        )
    with_prior = {tuple(r[k] for k in KEY): r["ratio"] for r in restored.rows}
    for group in dict.fromkeys(r["group"] for r in rows.rows):
        part = sorted((r for r in rows.rows if r["group"] == group), key=lambda r: -float(r["ratio"]))
        lines = [[r["picture"], r["kernel"], f"{float(r['ratio']):.2f}", *(f"{float(r[k]):.1f}" for k in ("input", "found", "told")),
                  f"{float(with_prior[own]):.2f}" if (own := tuple(r[k] for k in KEY)) in with_prior else "", r["said"],
                  f"{float(r['processors']):.0f}"] for r in part]  # fmt: skip
        names = (
            "picture",
            "kernel",
            "ratio",
            "input",
            "kernel found",
            "kernel told",
            "ratio with a prior",
            "said",
            "seconds of a core",
        )
        tables.append((f"{group}: PSNR in dB, worst first", names, lines))
    what = (
        f"Grey crops of {SIDE}x{SIDE} from the middle of {', '.join(name for _, name in PICTURES)}; fresh crops, chosen by name "
        f"before any was looked at: {', '.join(name for _, name in FRESH)}; larger ones: {', '.join(name for _, name in LARGE)}. The eight kernels of Levin et al. "
        f"2009, blurred where all of the kernel lies on the picture; noise {NOISE} in values, {IN_LIGHT} in light, told. Restored without "
        "a kernel and with the true one by the same solver, after the best shift of each: sparse gradients (no network), and a prior. Where "
        "no blur was seen, or the picture was refused, the input itself counts."
    )
    publish("blind", "Deblurring without a kernel", tables, [what])


if __name__ == "__main__":
    main()
