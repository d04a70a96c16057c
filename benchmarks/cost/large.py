"""Peak memory and time of restoring one large picture from file to file.

python -m benchmarks.cost.large --side 4096 --steps 2
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
import skimage.data
import tifffile

from benchmarks.support.common import publish

parser = argparse.ArgumentParser()
parser.add_argument("--side", type=int, default=4096)
parser.add_argument("--steps", type=int, default=2)
parser.add_argument("--prior", default="natural")
parser.add_argument("--task", default="deblur", choices=["deblur", "denoise"])
arguments = parser.parse_args()

with tempfile.TemporaryDirectory() as folder:
    tile = skimage.data.astronaut().astype(np.uint16) * 257
    count = -(-arguments.side // len(tile))
    tifffile.imwrite(
        f"{folder}/y.tif", np.tile(tile, (count, count, 1))[: arguments.side, : arguments.side], photometric="rgb"
    )
    extra = ["--kernel", "motion:15:30"] if arguments.task == "deblur" else []
    command = [
        sys.executable,
        "-m",
        "restorekit",
        arguments.task,
        f"{folder}/y.tif",
        f"{folder}/out.tif",
        "--noise",
        "gaussian:0.02",
    ]
    began = time.monotonic()
    subprocess.run([*command, *extra, "--steps", str(arguments.steps), "--prior", arguments.prior], check=True)
    seconds = time.monotonic() - began
    assert tifffile.imread(f"{folder}/out.tif").shape == (arguments.side, arguments.side, 3)

peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
header = ["task", "picture", "prior", "network calls", "peak RSS, GiB", "seconds"]
row = [
    arguments.task,
    f"3x{arguments.side}x{arguments.side}",
    arguments.prior,
    arguments.steps,
    round(peak, 2),
    round(seconds),
]
publish(
    "large", "A large picture", [("", header, [row])], ["Whole command, from file to file, in a process of its own."]
)
