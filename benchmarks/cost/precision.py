"""What bf16 costs in quality and saves in time: PSNR on Kodak crops, and the time of a network call at 256x256."""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from torch import Tensor

from benchmarks.support.common import centre, classic, load_labelled, publish
from benchmarks.support.tasks import Case, make, run_solver, solver_of
from restorekit.inference.denoiser import Denoiser
from restorekit.metrics.fidelity import psnr
from restorekit.priors.find import find
from restorekit.priors.formats.checkpoint import load
from restorekit.priors.precond import EDM

RUNS = {  # what is compared -> task, solver
    "denoise sigma 0.05, one call": ("denoise-0.05", "hqs:steps=1"),
    "denoise sigma 0.2, one call": ("denoise-0.2", "hqs:steps=1"),
    "deblur, HQS": ("deblur-0.01", "hqs"),
    "deblur, DiffPIR": ("deblur-0.01", "diffpir:steps=20,zeta=1.0,first=1.0"),
}


def quality(cases: list[Case], text: str, denoise: Denoiser) -> tuple[float, list[np.ndarray]]:
    out = []
    for case in cases:
        result = run_solver(case, denoise, solver_of(text))
        assert result is not None
        out.append(result.mean.numpy().clip(0, 1))
    return float(np.mean([psnr(x, c.truth) for x, c in zip(out, cases)])), out


def contiguous(name: str) -> Denoiser:
    """The network in plain float32 with the default layout: what bf16 and channels-last are compared with."""
    net, spec = load(find(name))
    return EDM(net, spec.sigma_data, spec.mean)


def milliseconds(ways: dict[str, Denoiser], x: Tensor, repeats: int) -> dict[str, float]:
    """Least wall time per call, the ways taking turns."""
    best = dict.fromkeys(ways, float("inf"))
    with torch.no_grad():
        for turn in range(repeats + 1):
            for name, run in ways.items():
                began = time.perf_counter()
                run(x, 0.1)
                if turn:
                    best[name] = min(best[name], (time.perf_counter() - began) * 1e3)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prior", default="natural", help="shipped name or checkpoint")
    parser.add_argument("--limit", type=int, default=4, help="Kodak pictures")
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--name", default="precision", help="of the table: another processor, another table")
    args = parser.parse_args()
    label, exact = load_labelled(args.prior, "fp32")
    _, half = load_labelled(args.prior, "bf16")
    pictures = [centre(x, args.crop, 8) for _, x in classic("kodak", args.limit)]
    body = []
    for what, (task, text) in RUNS.items():
        cases = [make(task, x, i) for i, x in enumerate(pictures)]
        (p32, a), (p16, b) = quality(cases, text, exact), quality(cases, text, half)
        between = float(np.mean([psnr(u, v) for u, v in zip(a, b)]))
        body.append((what, f"{p32:.3f}", f"{p16:.3f}", f"{p16 - p32:+.3f}", between))
    times = []
    x = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    ways = {"fp32 contiguous": contiguous(args.prior), "fp32 channels-last": exact, "bf16 channels-last": half}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        best = milliseconds(ways, x, args.repeats)
        times.append((threads, *best.values(), best["fp32 contiguous"] / best["bf16 channels-last"]))
    tables = [
        ("Quality", ("task", "fp32 PSNR", "bf16 PSNR", "difference", "PSNR of one to the other"), body),
        ("Milliseconds per call, 1x3x256x256", ("threads", *ways, "speed-up"), times),
    ]
    notes = [
        f"Prior {label}; {len(pictures)} Kodak pictures, centre crops of {args.crop}; least of {args.repeats} calls."
    ]
    publish(args.name, "fp32 and bf16", tables, notes)


if __name__ == "__main__":
    main()
