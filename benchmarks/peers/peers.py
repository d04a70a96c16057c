"""Our samplers beside deepinv's: one denoiser, the same measurements, the same number of network calls.

First on problems with exact posteriors (W2, bias, spread, coverage), then on photographs with a shipped prior. Rows go to
results/peers_rows.csv and results/peers_picture_rows.csv as they come, so that a killed run goes on where it stopped;
`--quick` is a smoke test and leaves nothing behind. How deepinv is called is in restorekit/bench/peers/peer_deepinv.py; all
libraries at their defaults are in `restorekit bench peers`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.peers.peer_problems import (
    EXACT,
    PICTURES,
    Narrow,
    exact_row,
    picture_row,
    tasks,
    tuned_on_exam,
    tuned_on_pictures,
)
from benchmarks.peers.peer_report import PROBLEMS, report
from benchmarks.peers.peer_sides import OUR_GRID, OURS, Side, ours, theirs
from benchmarks.support.common import RESULTS, centre, load_labelled, picture_set, training_pictures
from restorekit.bench.peers.peer_deepinv import DEFAULT, GRID, OWN_CALLS
from restorekit.files.journal import Rows

CALLS = (50, 200)
KEYS = ("part", "problem", "method", "side", "kind", "calls")

# --- the runs ---


def exact_part(rows: Rows, problems: Sequence[str], calls: Sequence[int], draws: int, samples: int) -> None:
    def add(exam: Narrow, method: str, who: str, kind: str, count: int, pick: Callable[[], Side]) -> None:
        key = ("exact", exam.name, method, who, kind, count)
        if not rows.has(*key):
            values = exact_row(exam, pick(), count, draws, samples)
            rows.add(*key, *values)
            print(*key, *values[:1], f"W2 {values[4]:.3f}", flush=True)

    few = max(draws // 3, 2)
    for exam in map(Narrow.of, problems):
        for method, kinds in OURS.items():
            for count in calls:
                for kind, solver in kinds.items():
                    add(exam, method, "restorekit", kind, count, lambda s=solver: ours(s))
                add(exam, method, "deepinv", "default", count, lambda m=method: theirs(DEFAULT[m]))
                grids = {
                    "restorekit": [ours(s) for s in OUR_GRID[method]],
                    "deepinv": [theirs(p) for p in GRID[method]],
                }
                for who, grid in grids.items():
                    if grid:
                        add(exam, method, who, "tuned", count,
                            lambda g=grid, e=exam, c=count: tuned_on_exam(e, g, c, few, samples))  # fmt: skip
            if len(calls) > 1 and method in OWN_CALLS:
                own = OWN_CALLS[method]
                add(exam, method, "deepinv", "default", own, lambda m=method: theirs(DEFAULT[m]))
                add(exam, method, "restorekit", "default", own, lambda m=method: ours(OURS[m]["default"]))


def picture_part(
    rows: Rows, names: Sequence[str], prior: str, side: int, count: int, calls: int, samples: int, tune: bool
) -> None:
    tag, denoise = load_labelled(prior)
    shown = [*picture_set("kodak", count - count // 2), *picture_set("set5", count // 2)]
    truth = torch.stack([torch.from_numpy(centre(x, side, 8)) for _, x in shown])
    small = torch.stack([torch.from_numpy(centre(x, 64, 8)) for _, x in training_pictures(2)]) if tune else truth[:0]

    def add(name: str, method: str, who: str, kind: str, pick: Callable[[], Side]) -> None:
        key = (f"pictures {side} {tag}", name, method, who, kind, calls)
        if not rows.has(*key):
            values = picture_row(pick(), name, truth, denoise, calls, samples)
            rows.add(*key, *values)
            print(*key, *values[:1], f"CRPS {values[4]:.4f}", flush=True)

    methods = [m for m in OURS if m != "MMPS"]  # four more products per call: an hour on a CPU
    for tuning in (False, True) if tune else (False,):
        for name in names:
            for method in methods:
                if not tuning:
                    for kind, solver in OURS[method].items():
                        add(name, method, "restorekit", kind, lambda s=solver: ours(s))
                    add(name, method, "deepinv", "default", lambda m=method: theirs(DEFAULT[m]))
                    continue
                grid = [theirs(p) for p in GRID[method]]  # ours stay as they are
                add(name, method, "deepinv", "tuned",
                    lambda g=grid, n=name: tuned_on_pictures(g, n, small, denoise, calls, 2))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", nargs="+", default=["exact", "pictures"], choices=("exact", "pictures"))
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS), choices=PROBLEMS)
    parser.add_argument("--prior", default="natural-fast")
    parser.add_argument(
        "--tasks", nargs="+", default=list(tasks(8)), help="of: " + "; ".join(tasks(8)).replace("%", "%%")
    )
    parser.add_argument("--side", type=int, default=96, help="of the crops")
    parser.add_argument("--pictures", type=int, default=3)
    parser.add_argument(
        "--quick", action="store_true", help="a smoke test: few draws, one small picture, no tuning of it"
    )
    parser.add_argument("--report-only", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        run(args, Path(scratch) if args.quick else RESULTS)


def run(args: argparse.Namespace, folder: Path) -> None:
    exact = Rows(folder / "peers_rows.csv", KEYS, EXACT)
    pictures = Rows(folder / "peers_picture_rows.csv", KEYS, PICTURES)
    if not args.report_only:
        if "exact" in args.part:
            calls, draws, samples = ((10,), 6, 19) if args.quick else (CALLS, 30, 99)
            exact_part(exact, args.problems, calls, draws, samples)
        if "pictures" in args.part:
            size = (32, 1, 4, 2) if args.quick else (args.side, args.pictures, 50, 4)
            picture_part(pictures, args.tasks, args.prior, *size, tune=not args.quick)
    if args.quick:
        print(f"{len(exact.rows)} and {len(pictures.rows)} rows; nothing published")
        return
    report(exact.rows, pictures.rows)


if __name__ == "__main__":
    main()
