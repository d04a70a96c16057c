"""How long a command takes to its first network call, beside `import torch` alone: processes in turn, in one run.

python -m benchmarks.cost.startup

A process ends at the first call of a network, so that imports, the reading of the file and the loading of the prior count.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.support.common import publish
from restorekit.files.picture import write_picture

MOST = 0.6  # seconds beyond torch
COMMANDS = {
    "denoise": "--noise gaussian:0.05",
    "deblur": "--kernel gaussian:1.2 --noise gaussian:0.02",
    "inpaint": "--mask random:0.5 --noise gaussian:0.02",
    "upscale": "--factor 2 --noise gaussian:0.02",
}
PRIORS = ("natural-fast", "natural")
FIRST_CALL = """
import os, sys, torch
torch.nn.Module.__call__ = lambda *_, **__: os._exit(0)
from restorekit.cli.main import run
run(sys.argv[1:])
"""


def seconds(code: str, *arguments: str) -> float:
    """Of one process that runs `code`; it must end well."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)  # fmt: skip
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        picture, out = Path(folder, "in.png"), str(Path(folder, "out.png"))
        write_picture(picture, np.random.default_rng(0).random((3, 64, 64)))
        runs = {
            (command, prior): [command, str(picture), out, *said.split(), "--prior", prior]
            for command, said in COMMANDS.items()
            for prior in PRIORS
        }
        alone: list[float] = []
        taken: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
        for _ in range(options.repeats + 1):
            for key, arguments in runs.items():
                alone.append(seconds("import torch"))
                taken[key].append(seconds(FIRST_CALL, *arguments))
    torch_alone = median(alone[len(runs) :])  # the first round fills the caches of the disk
    rows = [[*key, median(t[1:]), median(t[1:]) - torch_alone, median(t[1:]) / torch_alone] for key, t in taken.items()]
    rows.sort(key=lambda row: -float(row[2]))
    header = ("command", "prior", "to the first call, s", "beyond torch, s", "ratio")
    what = (
        f"`import torch` alone: {torch_alone:.2f} s. Medians of {options.repeats} processes, in turn. A command should take "
        f"at most {MOST} s more."
    )
    publish("startup", "Start of a command", [("Slowest first", header, rows)], [what])


if __name__ == "__main__":
    main()
