"""How the cost of the PIS-DM prior grows with the picture: time and peak memory of a call, and of a call and its gradient.

The network of `configs/mamba.yaml`, untrained, sees the whole picture in one window (as `load_prior` with `tile=None`),
so that growth is the network's; beside it the same with attention of equal width in place of each scan. Every row is a
process of its own. Exponents are slopes of lines through the logarithms: 1 is linear in the number of pixels.

python -m benchmarks.networks.mamba_cost [--sides 64 128 256 512] [--precision fp32]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.networks.mixers import Attention
from benchmarks.support.common import publish
from restorekit.priors.find import Network, Precision, bf16_pays
from restorekit.priors.networks.pisdm import PISDM, PISDMConfig
from restorekit.priors.precond import EDM
from restorekit.training.config import read_config

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "mamba.yaml"
SIDES = (64, 128, 256, 512)
MIXERS = ("Mamba-2", "attention")


def network(mixer: str) -> PISDM:
    model = read_config(CONFIG).model
    assert isinstance(model, PISDMConfig)
    torch.manual_seed(0)
    net = PISDM(model)
    if mixer == "attention":
        for block in net.blocks:
            block.mixer = Attention(model.width)  # type: ignore[assignment]
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def peak() -> int:
    """Bytes of the largest resident size so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def one(mixer: str, side: int, gradient: bool, half: bool, budget: float) -> dict[str, float]:
    """Least milliseconds of CPU time over the repeats, and GB on top of the network and its libraries."""
    torch.set_num_threads(1)
    denoise = EDM(Network(network(mixer), half), 0.25)

    def run(side: int) -> float:
        x = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)).requires_grad_(gradient)
        began = time.process_time()
        with torch.set_grad_enabled(gradient):
            x0 = denoise(x, 0.1)
        if gradient:
            torch.autograd.grad(x0, x, torch.ones_like(x0))
        return time.process_time() - began

    run(16)
    before, spent = peak(), [run(side)]
    while sum(spent) < budget and len(spent) < 10:
        spent.append(run(side))
    return {"ms": 1e3 * min(spent), "GB": (peak() - before) / 1e9}


def slope(sides: Sequence[int], values: Sequence[float]) -> float:
    """The exponent of the number of pixels."""
    return float(np.polyfit(2 * np.log(sides), np.log(values), 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES)
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    parser.add_argument("--budget", type=float, default=4.0, help="seconds after which a row is not repeated")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        mixer, side, gradient, half = json.loads(args.one)
        print(json.dumps(one(mixer, side, gradient, half, args.budget)))
        return
    precision: Precision = args.precision
    half = precision == "bf16" or (precision == "auto" and bf16_pays(torch.device("cpu")))
    torch.set_num_threads(1)
    found: dict[tuple[str, bool, int], dict[str, float]] = {}
    for side in sorted(args.sides):
        for mixer in MIXERS:
            for gradient in (False, True):
                job = json.dumps([mixer, side, gradient, half])
                command = [sys.executable, "-m", __spec__.name, "--one", job, "--budget", str(args.budget)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                found[mixer, gradient, side] = json.loads(done.stdout)
                print(job, done.stdout.strip(), flush=True)
    sides = sorted(args.sides)
    rows, growth = [], []
    for mixer in MIXERS:
        for gradient in (False, True):
            what = f"{mixer}, {'call and gradient' if gradient else 'call'}"
            cells = [found[mixer, gradient, side] for side in sides]
            rows.append([what, *(c[k] for k in ("ms", "GB") for c in cells)])
            growth.append([what, *(slope(sides[i:], [c[k] for c in cells[i:]]) for k in ("ms", "GB") for i in (0, -2))])
    last = f"{sides[-2]} to {sides[-1]}"
    header = ["", *(f"{side} px, {unit}" for unit in ("ms", "GB") for side in sides)]
    parameters = {m: sum(p.numel() for p in network(m).parameters()) / 1e6 for m in MIXERS}
    notes = [
        f"One picture of 3 bands, {'bf16' if half else 'fp32'}, CPU time; memory on top of the network and its libraries.",
        f"{parameters[MIXERS[0]]:.2f}M parameters with Mamba-2, {parameters[MIXERS[1]]:.2f}M with attention.",
    ]
    tables = [
        ("", header, rows),
        ("Exponents of the number of pixels", ["", "time", f"time, {last}", "memory", f"memory, {last}"], growth),
    ]
    publish("mamba_cost", "Cost of PIS-DM over the size of the picture", tables, notes)


if __name__ == "__main__":
    main()
