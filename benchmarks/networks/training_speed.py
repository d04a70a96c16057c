"""The training loop beside a bare loop of the same network: CPU time per step, the two taking turns.

The bare loop has forward, loss, backward and the optimiser, on one batch that lies in memory; the package's has pictures,
noise, clipping, the average of the weights and the log as well. Checkpoints and grids of samples are left out of both.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.support.common import DATA, need_data, publish
from restorekit.training.batches import Steps
from restorekit.training.config import read_config
from restorekit.training.data.cache import Pictures
from restorekit.training.loop import Process, _begin, _descend, _placed
from restorekit.training.objectives.by_model import objective_of
from restorekit.training.watch import RunMonitor

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def least(ways: dict[str, Callable[[], None]], turns: int) -> dict[str, float]:
    """Least CPU seconds of a step; the first turn is not counted."""
    best = dict.fromkeys(ways, float("inf"))
    for turn in range(turns + 1):
        for name, run in ways.items():
            began = time.process_time()
            run()
            if turn:
                best[name] = min(best[name], time.process_time() - began)
    return best


def measured(name: str, sources: list[Path], turns: int, folder: Path) -> tuple[object, ...]:
    config = read_config(CONFIGS / f"{name}.yaml", **{"run.log_every": 1})
    process = Process(0, 1, torch.device("cpu"))
    pictures = Pictures.open(sources, folder / "cache").at_least(config.data.crop)
    states = [_begin(config, objective_of(config, pictures, ""), process.device) for _ in range(2)]
    fixed = _placed(Steps(states[1].objective, config.optim.batch, 0, 1)[0], process.device)
    with RunMonitor(config, folder, 0, 0.0, active=True, quiet=True) as watch:

        def ours() -> None:
            state = states[0]
            loss, norm = _descend(
                config,
                state,
                state.objective,
                _placed(Steps(state.objective, config.optim.batch, 0, 1)[0], process.device),
            )
            watch.step(state.step, loss, norm, 0.0)

        def bare() -> None:
            state = states[1]
            with torch.autocast("cpu", torch.bfloat16, enabled=config.run.precision == "bf16"):
                loss = state.objective(*fixed)
            state.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            state.optimizer.step()

        best = least({"ours": ours, "bare": bare}, turns)
    rates = [config.optim.batch * config.data.crop**2 / best[k] / 1e6 for k in ("ours", "bare")]
    return name, f"{best['ours']:.3f}", f"{best['bare']:.3f}", f"{best['ours'] / best['bare']:.3f}", *rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", action="append", help="names in configs/, of U-Nets; may be repeated")
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--data", type=Path, action="append", help="default: natural128-train.zip, photos256-train.zip")
    args = parser.parse_args()
    need_data()
    torch.set_num_threads(1)
    sources = args.data or [DATA / "photos256-train.zip", DATA / "natural128-train.zip"]
    with tempfile.TemporaryDirectory() as folder:
        body = [measured(name, sources, args.turns, Path(folder)) for name in args.config or ["natural-long"]]
    header = ("configuration", "s per step", "bare", "ratio", "Mpixel/s", "bare")
    notes = [f"Least of {args.turns} steps, CPU time of one thread, colour batches."]
    publish("training_speed", "Training steps beside a bare loop", [("", header, body)], notes)


if __name__ == "__main__":
    main()
