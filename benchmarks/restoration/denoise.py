"""Denoising: PSNR and SSIM of priors (one call), TV, non-local means and BM3D under white Gaussian noise.

BM3D takes seconds per picture: on test128 it sees a seeded subset, for which the others are reported a second time.
"""

from __future__ import annotations

import argparse
import time
import zlib
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.support.classical import bm3d, nlm, tuned, tv
from benchmarks.support.common import CLASSIC, centre, grey, load_labelled, picture_set, publish
from benchmarks.support.packed_rows import pack, unpacked
from restorekit.files.journal import Rows
from restorekit.metrics.fidelity import psnr, ssim

SIGMAS = (0.05, 0.1, 0.2, 0.5)
Method = Callable[[np.ndarray, float], np.ndarray]


def of_prior(prior: Callable, bands: int) -> Method:
    denoise = prior.for_bands(bands)  # type: ignore[attr-defined]

    @torch.no_grad()
    def run(noisy: np.ndarray, sigma: float) -> np.ndarray:
        return denoise(torch.from_numpy(noisy.astype(np.float32))[None], sigma)[0].numpy()

    return run


def classical_methods(with_bm3d: bool) -> dict[str, Method]:
    def nlm_tuned(noisy: np.ndarray, sigma: float) -> np.ndarray:
        return nlm(noisy, sigma, **tuned(f"denoise-{sigma}", "nlm"))

    methods: dict[str, Method] = {
        "noisy": lambda noisy, sigma: noisy,
        "tv": lambda noisy, sigma: tv(noisy, sigma * tuned(f"denoise-{sigma}", "tv")["scale"]),
        "nlm": nlm_tuned,
    }
    return methods | ({"bm3d": bm3d} if with_bm3d else {})


def measure(
    rows: Rows, name: str, pictures: list[tuple[str, np.ndarray]], methods: dict[str, Method], slow: set[str]
) -> None:
    """Add the missing rows of a picture set. `slow` names the pictures that BM3D treats."""
    for picture, x in pictures:
        for sigma in SIGMAS:
            seed = zlib.crc32(f"{name} {picture} {sigma}".encode())
            noisy = x + sigma * np.random.default_rng(seed).standard_normal(x.shape)
            for method, run in methods.items():
                if rows.has(name, picture, sigma, method) or (method == "bm3d" and picture not in slow):
                    continue
                began = time.perf_counter()
                out = run(noisy, sigma).reshape(x.shape)
                seconds = time.perf_counter() - began
                out = out if method == "noisy" else out.clip(0, 1)
                rows.add(name, picture, sigma, method, psnr(out, x), ssim(out, x), seconds)


def table(rows: Rows, name: str, methods: list[str], only: set[str] | None) -> list[list[object]]:
    body: list[list[object]] = []
    for method in methods:
        line: list[object] = [method]
        count = 0
        for sigma in SIGMAS:
            mine = [r for r in rows.rows if (r["set"], r["sigma"], r["method"]) == (name, str(sigma), method)]
            mine = [r for r in mine if only is None or r["picture"] in only]
            count = len(mine)
            pair = [float(np.mean([float(r[k]) for r in mine])) if mine else float("nan") for k in ("psnr", "ssim")]
            line.append("-" if not mine else f"{pair[0]:.2f} / {pair[1]:.3f}")
        spent = [float(r["seconds"]) for r in rows.rows if r["set"] == name and r["method"] == method]
        if count:
            body.append([*line, count, float(np.median(spent))])
    return body


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prior", action="append", required=True, help="shipped name or checkpoint; may be repeated")
    parser.add_argument("--pictures", default="test128", choices=["test128", *CLASSIC, "all"])
    parser.add_argument("--limit", type=int, help="pictures per set")
    parser.add_argument("--bm3d-limit", type=int, default=40, help="pictures of test128 that BM3D treats")
    parser.add_argument("--crop", type=int, help="centre crops of at most this side")
    parser.add_argument("--grey", action="store_true", help="luminance only")
    parser.add_argument("--no-bm3d", action="store_true")
    args = parser.parse_args()
    variant = ("-grey" if args.grey else "") + (f"-crop{args.crop}" if args.crop else "")
    rows = unpacked(f"denoise{variant}_rows", ("set", "picture", "sigma", "method"), ("psnr", "ssim", "seconds"))
    methods = classical_methods(not args.no_bm3d)
    for name in args.prior:
        label, prior = load_labelled(name)
        methods[label] = of_prior(prior, 1 if args.grey else 3)
    for name in ("test128", *CLASSIC) if args.pictures == "all" else (args.pictures,):
        pictures = [(n, centre(x, args.crop)) for n, x in picture_set(name, args.limit)]
        pictures = grey(pictures) if args.grey else pictures
        order = np.random.default_rng(0).permutation([n for n, _ in pictures])
        slow = set(order[: args.bm3d_limit]) if name == "test128" else set(order)
        measure(rows, name, pictures, methods, slow)
        rows.reload()
        report(rows, variant)
        pack(f"denoise{variant}_rows")


def report(rows: Rows, variant: str) -> None:
    tables = []
    header = ("method", *(f"sigma {s}" for s in SIGMAS), "pictures", "seconds")
    known = sorted({r["method"] for r in rows.rows}, key=lambda m: (m not in ("noisy", "tv", "nlm", "bm3d"), m))
    for name in ("test128", *CLASSIC):
        picked = {r["picture"] for r in rows.rows if r["set"] == name and r["method"] == "bm3d"}
        everything = {r["picture"] for r in rows.rows if r["set"] == name}
        if everything:
            fast = [m for m in known if m != "bm3d"] if picked and picked != everything else known
            tables.append((name, header, table(rows, name, fast, None)))
        if picked and picked != everything:
            tables.append((f"{name}, the pictures that BM3D treated", header, table(rows, name, known, picked)))
    settings = "; ".join(
        f"sigma {s}: TV weight {tuned(f'denoise-{s}', 'tv')['scale'] * s:.3g}, NLM h {tuned(f'denoise-{s}', 'nlm')['h'] * s:.3g} "
        f"patch {tuned(f'denoise-{s}', 'nlm')['patch']}"
        for s in SIGMAS
    )
    notes = [
        "PSNR in dB / SSIM, means over the pictures; noise unclipped, estimates clipped to [0, 1]; noise level given to all.",
        f"Tuned on 8 training pictures: {settings}.",
        "Seconds: median per picture, with the machine's other load at that time.",
    ]
    publish(f"denoise{variant}", "Denoising" + (", luminance" if "grey" in variant else ""), tables, notes)


if __name__ == "__main__":
    main()
