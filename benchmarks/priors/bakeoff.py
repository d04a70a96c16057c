"""Which network is the best denoiser per second of CPU: candidates of one price per call, trained for equal CPU time.

A trial is one line of TRIALS. All see the same patches in the same order (white noise, EDM loss). A row is one trial at
one budget of CPU seconds (`time.process_time`: what else runs on the machine hardly counts); rows that are there are
not made again. PSNR is that of one call on pictures that no reported figure uses: every eighth of natural128-test, and
the first half, by name, of photos256-test; middle 128x128, noise not clipped, estimates clipped.
"""

from __future__ import annotations

import argparse
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.priors.bakeoff_nets import Candidate, Net, today
from benchmarks.support.common import DATA, RESULTS, archive, centre, need_data, publish
from restorekit.files.journal import Rows
from restorekit.metrics.fidelity import psnr
from restorekit.priors.precond import EDM
from restorekit.training.config import Data, NoiseLevels
from restorekit.training.data.cache import Pictures
from restorekit.training.data.patches import Patches

LEVELS = (15, 25, 50)  # of 255
MEAN, SPREAD = 0.44, 0.26  # of both sources together
SOURCES = ("photos256-train.zip", "natural128-train.zip")


NOISE = NoiseLevels()


@dataclass(frozen=True)
class Trial:
    net: Callable[[], nn.Module]
    lr: float = 1e-3
    crop: int = 64
    batch: int = 8
    share: float = 0.5  # of patches from photos256
    zoom: float = 1.0  # largest factor that pictures are reduced by
    loss: str = "l2"
    ema: float = 0.995
    decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.99)
    noise: NoiseLevels = NOISE


def net(*args: object, **settings: object) -> Callable[[], nn.Module]:
    return lambda: Candidate(Net(*args, **settings))  # type: ignore[arg-type]


DEEP = ("residual", (32, 64, 128, 192), (2, 4, 2, 3))
SCALED = Trial(net(*DEEP, film=True))
ONE = Trial(net("single", (32, 64, 128, 192), (2, 3, 2, 3), film=True))
GATED = Trial(net("gated", (32, 64, 128, 192), (2, 2, 5, 7), film=True), 2e-3)
TODAY = Trial(lambda: today(widths=(32, 64, 128, 192), blocks=2, middle=1))
TRIALS = {
    "today's U-Net": TODAY,
    "today's U-Net, 2e-3": replace(TODAY, lr=2e-3),
    "wider, shallower, 2e-3": Trial(lambda: today(widths=(48, 96, 192, 256), blocks=1, middle=0), 2e-3),
    "no norm, level as bands, 5e-4": Trial(net(*DEEP), 5e-4),
    "no norm, 5e-4": replace(SCALED, lr=5e-4),
    "no norm": SCALED,
    "no norm, 2e-3": replace(SCALED, lr=2e-3),
    "no norm, wider, 2e-3": Trial(net("residual", (48, 72, 128, 176), (2, 2, 1, 3), film=True), 2e-3),
    "no norm, level in each block, 5e-4": Trial(net("single", *DEEP[1:], film=True, norm=False), 5e-4),
    "no norm, space-to-depth 2, 2e-3": Trial(net("residual", (96, 144, 176), (3, 2, 2), 2, film=True), 2e-3),
    "one norm": ONE,
    "one norm, 2e-3": replace(ONE, lr=2e-3),
    "one norm, space-to-depth 2": Trial(net("single", (96, 136, 176), (3, 2, 2), 2, film=True)),
    "gated, 2e-3": GATED,
    "gated, 2e-3, 96x96": replace(GATED, crop=96, batch=4),
    "gated, 2e-3, 128x128": replace(GATED, crop=128, batch=2),
    "gated, 2e-3, photos256 drawn as one of five": replace(GATED, share=0.2),
    "gated, 2e-3, photos256 drawn as four of five": replace(GATED, share=0.8),
    "gated, 2e-3, reduced by up to 1.5": replace(GATED, zoom=1.5),
    "gated, 2e-3, L1": replace(GATED, loss="l1"),
    "gated, 1e-3": replace(GATED, lr=1e-3),
    "gated, 4e-3": replace(GATED, lr=4e-3),
    "gated, 2e-3, narrow levels": replace(GATED, noise=NoiseLevels(log_mean=-2.2, log_std=0.9, wide=0.2)),
    "gated, deeper, 2e-3": Trial(net("gated", (32, 64, 128, 192), (2, 3, 5, 8), film=True), 2e-3),
    "gated, level in each block, 2e-3": Trial(net("levelled", (32, 64, 128, 192), (2, 2, 5, 7), film=True), 2e-3),
    "gated, halves, 2e-3": Trial(net("short", (32, 64, 128, 208), (4, 5, 10, 12), film=True), 2e-3),
    "gated, no norm, 5e-4": Trial(net("gated", (40, 80, 144, 208), (2, 3, 4, 6), film=True, norm=False), 5e-4),
    "large kernel, 2e-3": Trial(net("large", (32, 64, 128, 208), (2, 3, 4, 4), film=True), 2e-3),
    "plain stack": Trial(net("plain", (128,), (11,), 2)),
}


class Source:
    """Patch number i of the run, from one of the two sources."""

    def __init__(self, trial: Trial, cache: Path):
        self.share, data = trial.share, Data(crop=trial.crop, zoom=trial.zoom)
        opened = [Pictures.open(DATA / name, cache / name).at_least(trial.crop) for name in SOURCES]
        self.patches = [Patches(pictures, data, trial.noise, seed=0) for pictures in opened]

    def batch(self, step: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
        items = []
        for i in range(step * count, step * count + count):
            first = np.random.default_rng([1, i]).random() < self.share
            items.append(self.patches[0 if first else 1].item(i, False)[:3])
        x0, noise, sigma = zip(*items)
        pixels = (torch.from_numpy(np.stack(t)).to(memory_format=torch.channels_last) for t in (x0, noise))
        return *pixels, torch.tensor(sigma)  # type: ignore[return-value]


def loss_of(kind: str, difference: Tensor) -> Tensor:
    if kind == "l1":
        return difference.abs().mean()
    return (difference.square() + 1e-4).sqrt().mean() if kind == "charbonnier" else difference.square().mean()


def channels_last(model: nn.Module) -> nn.Module:
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def trained(trial: Trial, seconds: float, cache: Path) -> tuple[EDM, int]:
    """The averaged network after so many CPU seconds, and the patches it saw."""
    torch.manual_seed(0)
    model = channels_last(trial.net())
    edm, source = EDM(model, SPREAD, MEAN), Source(trial, cache)
    optimizer = torch.optim.AdamW(model.parameters(), trial.lr, trial.betas, weight_decay=trial.decay, fused=True)
    ema = {k: v.clone() for k, v in model.state_dict().items()}
    step, began = 0, time.process_time()
    while (spent := (time.process_time() - began) / seconds) < 1:
        rate = min(1.0, (step + 1) / 50) * min(1.0, (1 - spent) / 0.6)
        for group in optimizer.param_groups:
            group["lr"] = trial.lr * rate
        x0, noise, sigma = source.batch(step, trial.batch)
        s = sigma.view(-1, 1, 1, 1)
        c_skip, c_out, c_in = edm.coefficients(s)
        z0 = x0 - MEAN
        z = z0 + s * noise
        with torch.autocast("cpu", torch.bfloat16):
            out = model(c_in * z, sigma.log() / 4)
        loss = loss_of(trial.loss, out.float() - (z0 - c_skip * z) / c_out)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            weight = 1 - min(trial.ema, (1 + step) / (10 + step))
            torch._foreach_lerp_(list(ema.values()), list(model.state_dict().values()), weight)  # pyright: ignore[reportPrivateImportUsage]
        step += 1
    model.load_state_dict(ema)
    return EDM(model.eval(), SPREAD, MEAN), step * trial.batch


def pictures() -> dict[str, list[np.ndarray]]:
    photos = archive("photos256-test.zip")
    chosen = {"natural128": archive("natural128-test.zip")[::8], "photos256": photos[: len(photos) // 2]}
    return {name: [centre(x, 128, 8) for _, x in found] for name, found in chosen.items()}


@torch.no_grad()
def quality(edm: EDM) -> list[float]:
    """PSNR at LEVELS on the two sets, one after the other."""
    means = []
    for name, chosen in pictures().items():
        for level in LEVELS:
            found = []
            for i, x in enumerate(chosen):
                g = torch.Generator().manual_seed(zlib.crc32(f"{name} {i} {level}".encode()))
                clean = torch.from_numpy(x)[None]
                noisy = clean + level / 255 * torch.randn(clean.shape, generator=g)
                with torch.autocast("cpu", torch.bfloat16):
                    out = edm(noisy, level / 255)
                found.append(psnr(out[0].float().clamp(0, 1).numpy(), x))
            means.append(float(np.mean(found)))
    return means


@torch.no_grad()
def prices(model: nn.Module, repeats: int = 4) -> tuple[float, float, float, float]:
    """CPU milliseconds of a call at 256x256 in bf16 and in fp32, and both over those of today's network, taking turns."""
    nets = {"it": model, "today": channels_last(TODAY.net())}
    x = torch.rand(1, 3, 256, 256).to(memory_format=torch.channels_last)
    best: dict[tuple[str, bool], float] = {}
    for turn in range(repeats + 1):
        for key in ((name, half) for half in (True, False) for name in nets):
            with torch.autocast("cpu", torch.bfloat16, enabled=key[1]):
                began = time.process_time()
                nets[key[0]](x, torch.tensor([-0.6]))
                spent = (time.process_time() - began) * 1e3
            best[key] = min(best.get(key, spent), spent) if turn else float("inf")
    half, full = best["it", True], best["it", False]
    return half, half / best["today", True], full, full / best["today", False]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trial", action="append", help="a name in TRIALS; may be repeated; all where left out")
    parser.add_argument("--seconds", type=float, default=240, help="CPU seconds of training")
    parser.add_argument("--cache", type=Path, default=Path("runs/bakeoff"), help="where decoded pictures are kept")
    parser.add_argument("--table", action="store_true", help="make the table of the rows there are, train nothing")
    args = parser.parse_args()
    need_data()
    torch.set_num_threads(1)
    columns = [f"{name} {level}" for name in ("natural128", "photos256") for level in LEVELS]
    values = ("parameters", "bf16 ms", "bf16 ratio", "fp32 ms", "fp32 ratio", "patches", *columns)
    rows = Rows(RESULTS / "bakeoff_rows.csv", ("trial", "seconds"), values)
    for name in [] if args.table else args.trial or list(TRIALS):
        if rows.has(name, args.seconds):
            continue
        edm, seen = trained(TRIALS[name], args.seconds, args.cache)
        count = sum(p.numel() for p in edm.net.parameters())  # type: ignore[attr-defined]
        found = [*prices(edm.net), seen, *quality(edm)]  # type: ignore[arg-type]
        rows.add(name, args.seconds, count, *found)
        print(name, args.seconds, count, *(f"{v:.5g}" for v in found), flush=True)
    report(rows)


def report(rows: Rows) -> None:
    tables = []
    for seconds in sorted({float(r["seconds"]) for r in rows.rows}):
        mine = [r for r in rows.rows if float(r["seconds"]) == seconds]
        body = []
        for r in mine:
            marks = [
                " / ".join(f"{float(r[f'{name} {level}']):.2f}" for level in LEVELS)
                for name in ("natural128", "photos256")
            ]
            mean = np.mean([float(r[f"{name} {level}"]) for name in ("natural128", "photos256") for level in LEVELS])
            price = f"{float(r['bf16 ms']):.0f} ({float(r['bf16 ratio']):.2f})"
            full = f"{float(r['fp32 ms']):.0f} ({float(r['fp32 ratio']):.2f})"
            body.append(
                (r["trial"], f"{int(r['parameters']) / 1e6:.2f}", price, full, r["patches"], *marks, f"{mean:.3f}")
            )
        header = (
            "trial", "M parameters", "ms bf16 (of today's)", "ms fp32 (of today's)", "patches seen",
            "natural128 15 / 25 / 50", "photos256 15 / 25 / 50", "mean",
        )  # fmt: skip
        tables.append((f"{seconds:.0f} CPU seconds of training", header, body))
    notes = [
        "PSNR in dB of one call, means over 38 pictures of natural128-test and 53 of photos256-test, middle 128x128, RGB.",
        "Patches of 64x64, batches of 8, where the name says nothing else; rate 1e-3 where it says none.",
        "Other work on the machine took memory bandwidth: some saw up to a fifth fewer patches in equal CPU time for that.",
        "Milliseconds: least CPU time of a 256x256 call, one thread; in brackets over that of today's network, taking turns.",
    ]
    publish("bakeoff", "Networks per second of CPU", tables, notes)


if __name__ == "__main__":
    main()
