"""What a scan over tokens costs, beside other scans and attention: width 256, 16 states a channel, batch 4.

Forward, and forward and backward to all inputs, for 256 to 16,384 tokens; kernels alone and whole layers. On a CPU one
thread and its CPU time, ms; on a GPU wall time. The least over the repeats counts, the ways taking turns at each length.

python -m benchmarks.networks.scan [--device cuda] [--lengths 256 1024]
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.networks.mixers import HEAD, Attention, loop, parallel
from benchmarks.support.common import publish
from restorekit.priors.networks.mamba2 import Mamba2
from restorekit.priors.networks.scan import Backend, kernel, ssd_scan

BATCH, WIDTH, STATES = 4, 256, 16
LENGTHS = (256, 1024, 4096, 16384)
LONGEST = 30.0  # seconds of one run, judged by the length before
MEMORY = 6.0  # GB of one run, by `copies` of all states
OURS, OTHERS = "ssd_scan", ("sequential loop", "mambapy parallel scan")
FP32, BF16 = torch.float32, torch.bfloat16
NAMES = {FP32: "fp32", BF16: "bf16"}


@dataclass(frozen=True)
class Way:
    """Something to time: `make(tokens)` gives its inputs and the function of them."""

    name: str
    dtype: torch.dtype
    make: Callable[[int], tuple[list[Tensor], Callable[..., Tensor]]]
    copies: tuple[int, int] = (0, 0)  # tensors of all (batch, L, width, STATES) states held forward, and backward too

    @property
    def label(self) -> str:
        return f"{self.name}, {NAMES[self.dtype]}"


def scan_inputs(tokens: int, dtype: torch.dtype, device: str) -> list[Tensor]:
    """x, dt, A, B, C of `ssd_scan`, steps and decays as those of a Mamba-2 at the start of its training."""
    rng, heads = torch.Generator().manual_seed(0), WIDTH // HEAD
    x, b, c = (
        torch.randn(BATCH, tokens, *s, generator=rng).to(dtype) for s in ((heads, HEAD), (1, STATES), (1, STATES))
    )
    dt = 0.1 * torch.rand(BATCH, tokens, heads, generator=rng)
    return [t.to(device) for t in (x, dt, -1 - 15 * torch.rand(heads, generator=rng), b, c)]


def ssd(tokens: int, dtype: torch.dtype, device: str, backend: Backend) -> tuple[list[Tensor], Callable[..., Tensor]]:
    return scan_inputs(tokens, dtype, device), lambda *t: ssd_scan(*t, backend=backend)[0]


def mamba1(tokens: int, device: str) -> tuple[list[Tensor], Callable[..., Tensor]]:
    """The inputs of `ssd` as Mamba-1 has them: a step and decays of each channel."""
    from mambapy.pscan import pscan  # type: ignore[import-not-found]

    x, dt, A, b, c = scan_inputs(tokens, FP32, device)
    full = [x.flatten(2), dt.repeat_interleave(HEAD, 2), A.repeat_interleave(HEAD)[:, None].repeat(1, STATES)]
    return [*full, b[:, :, 0], c[:, :, 0]], lambda *t: parallel(pscan, *t)


def sdpa(tokens: int, dtype: torch.dtype, device: str) -> tuple[list[Tensor], Callable[..., Tensor]]:
    rng = torch.Generator().manual_seed(0)
    shape = (BATCH, WIDTH // HEAD, tokens, HEAD)
    return [torch.randn(shape, generator=rng).to(device, dtype) for _ in range(3)], F.scaled_dot_product_attention


def layer(
    net: torch.nn.Module, tokens: int, dtype: torch.dtype, device: str
) -> tuple[list[Tensor], Callable[..., Tensor]]:
    net = net.to(device)

    def run(u: Tensor, *weights: Tensor) -> Tensor:
        state = dict(zip((n for n, _ in net.named_parameters()), weights))
        with torch.autocast(device, BF16, enabled=dtype == BF16):
            return torch.func.functional_call(net, state, (u,))

    u = torch.randn(BATCH, tokens, WIDTH, generator=torch.Generator().manual_seed(0))
    return [u.to(device), *net.parameters()], run


def kernels(device: str) -> tuple[list[Way], list[str]]:
    """The scans and attention that there are here, and what to say of those that there are not."""
    ways = [Way(OURS, d, lambda n, d=d: ssd(n, d, device, "torch")) for d in (FP32, BF16)]
    missing = []
    if device == "cuda" and kernel() is not None:
        ways += [Way("mamba-ssm kernel", d, lambda n, d=d: ssd(n, d, device, "mamba_ssm")) for d in (FP32, BF16)]
    elif device == "cuda":
        missing.append("The kernel of mamba-ssm is left out: it cannot be imported here.")
    ways.append(Way(OTHERS[0], FP32, lambda n: (scan_inputs(n, FP32, device), loop), (1, 3)))
    try:
        import mambapy.pscan  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        missing.append("mambapy is left out: it cannot be imported here (`pip install mambapy --no-deps`).")
    else:
        ways.append(Way(OTHERS[1], FP32, lambda n: mamba1(n, device), (5, 8)))
    ways += [Way("attention (SDPA)", d, lambda n, d=d: sdpa(n, d, device)) for d in (FP32, BF16)]
    return ways, missing


def layers(device: str) -> list[Way]:
    torch.manual_seed(0)
    nets = {
        "Mamba-2 layer, expand 1": Mamba2(WIDTH, STATES, HEAD, 1),
        "Mamba-2 layer, expand 2": Mamba2(WIDTH, STATES, HEAD, 2),
        "attention layer": Attention(WIDTH),
    }
    return [
        Way(name, d, lambda n, net=net, d=d: layer(net, n, d, device))
        for name, net in nets.items()
        for d in (FP32, BF16)
    ]


def once(way: Way, tokens: int, backward: bool, device: str) -> float:
    """Seconds of one run."""
    given, function = way.make(tokens)
    leaves = [t.detach().requires_grad_(backward) for t in given]
    clock = time.perf_counter if device == "cuda" else time.process_time  # what other processes take does not count
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    wait()
    began = clock()
    with torch.set_grad_enabled(backward):
        out = function(*leaves)
    if backward:
        torch.autograd.grad(out, leaves, torch.ones_like(out))
    wait()
    return clock() - began


Times = dict[tuple[str, int, bool], float | str]  # label, tokens, backward -> ms, or why not


def measure(ways: Sequence[Way], lengths: Sequence[int], device: str, repeats: int, budget: float) -> Times:
    """Least milliseconds. Way after way, `repeats` turns; one that has used `budget` seconds is not asked again."""
    best: Times = {}
    for at, tokens in enumerate(lengths):
        runs = [(way, backward) for way in ways for backward in (False, True)]
        used = dict.fromkeys(runs, 0.0)
        for run in runs:
            way, backward = run
            earlier = best.get((way.label, lengths[at - 1], backward), 0.0) if at else 0.0
            reason = excuse(way, tokens, backward, earlier, tokens / lengths[at - 1])
            best[way.label, tokens, backward] = reason or math.inf
        for turn in range(repeats + 1):  # in the first, caches of memory and kernels fill
            for run in runs:
                way, backward = run
                key = (way.label, tokens, backward)
                known = best[key]
                if isinstance(known, str) or used[run] > budget:
                    continue
                spent = once(way, tokens, backward, device)
                used[run] += spent
                if turn or spent > budget:
                    best[key] = min(known, 1e3 * spent)
        print(tokens, {k: v for k, v in best.items() if k[1] == tokens}, flush=True)
    return best


def excuse(way: Way, tokens: int, backward: bool, earlier: float | str, longer: float) -> str:
    """Why a run is left out, nothing where it is not."""
    if isinstance(earlier, str):
        return earlier
    if earlier * longer > 1e3 * LONGEST and way.name in OTHERS:
        return f"over {LONGEST:.0f} s"
    held = 4 * BATCH * tokens * WIDTH * STATES * way.copies[backward] / 1e9
    return f"over {MEMORY:.0f} GB" if held > MEMORY else ""


def agree(device: str) -> None:
    """What is timed must be right: the scans of Mamba-2 give the same."""
    given = scan_inputs(200, FP32, device)
    expected = loop(*given)
    torch.testing.assert_close(ssd_scan(*given, backend="torch")[0], expected, rtol=1e-3, atol=1e-3)
    if device == "cuda" and kernel() is not None:
        torch.testing.assert_close(ssd_scan(*given, backend="mamba_ssm")[0], expected, rtol=1e-2, atol=1e-2)


def crossing(best: Times, ours: str, theirs: str, lengths: Sequence[int], backward: bool) -> str:
    """From how many tokens on `ours` takes less time, interpolated in logarithms."""
    ratios = []
    for tokens in lengths:
        a, b = best[ours, tokens, backward], best[theirs, tokens, backward]
        if not isinstance(a, str) and not isinstance(b, str):
            ratios.append((math.log(tokens), math.log(a / b)))
    if ratios[0][1] < 0:
        return f"below {lengths[0]}"
    for (n0, r0), (n1, r1) in pairwise(ratios):
        if r0 >= 0 > r1:
            return f"{math.exp(n0 + (n1 - n0) * r0 / (r0 - r1)):,.0f}"
    return f"beyond {math.exp(ratios[-1][0]):,.0f}"


def table(best: Times, ways: Sequence[Way], lengths: Sequence[int]) -> tuple[list[str], list[list[Any]]]:
    header = ["", *(f"{n:,} {what}" for n in lengths for what in ("forward", "and backward"))]
    return header, [[w.label, *(best[w.label, n, b] for n in lengths for b in (False, True))] for w in ways]


def verdict(best: Times, lengths: Sequence[int]) -> list[str]:
    """How many times as long the other scans take as ours in fp32."""
    lines = []
    for name in OTHERS:
        times = {}
        for n in lengths:
            for b in (False, True):
                other, own = best.get((f"{name}, fp32", n, b), "absent"), best[f"{OURS}, fp32", n, b]
                if not isinstance(other, str) and not isinstance(own, str):
                    times[n, b] = other / own
        if times:
            low, high = min(times.values()), max(times.values())
            slower = [f"{n:,} {'and backward' if b else 'forward'}" for (n, b), t in times.items() if t <= 1]
            where = f"it is the faster at {', '.join(slower)}" if slower else "ours is the faster at every length"
            lines.append(f"The {name} takes {low:.1f} to {high:.1f} times as long as ours in fp32; {where} measured.")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--budget", type=float, default=4.0, help="seconds after which a way is not repeated")
    args = parser.parse_args()
    torch.set_num_threads(1)
    device, lengths = args.device, sorted(args.lengths)
    agree(device)
    found, missing = kernels(device)
    whole = layers(device)
    best = measure(found, lengths, device, args.repeats, args.budget)
    best |= measure(whole, lengths, device, args.repeats, args.budget)
    pairs = [(OURS, "attention (SDPA)"), *((w.name, "attention layer") for w in whole[:4:2])]
    pairs += [("mamba-ssm kernel", "attention (SDPA)")] if any(w.name == "mamba-ssm kernel" for w in found) else []
    crossings = [
        [f"{a}, {p}", *(crossing(best, f"{a}, {p}", f"{b}, {p}", lengths, back) for back in (False, True))]
        for a, b in pairs
        for p in NAMES.values()
    ]
    name = torch.cuda.get_device_name() if device == "cuda" else ""
    notes = [
        f"{name + ': wall' if name else 'CPU'} time in ms, least of up to {args.repeats} runs.",
        f"Width {WIDTH}, {STATES} states, batch {BATCH}, heads of {HEAD}. Kernels without projections; layers are whole.",
        f"Left out: what would take more than {LONGEST:.0f} s (of the other scans) or {MEMORY:.0f} GB.",
        *missing,
        *verdict(best, lengths),
    ]
    tables = [
        ("Kernels", *table(best, found, lengths)),
        ("Whole layers", *table(best, whole, lengths)),
        ("Tokens from which ours is faster than attention of the same precision", ["", "forward", "and backward"], crossings),
    ]  # fmt: skip
    publish("scan" if device == "cpu" else f"scan-{device}", "Scans and attention", tables, notes)


if __name__ == "__main__":
    main()
