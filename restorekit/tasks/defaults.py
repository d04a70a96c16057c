"""A task has defaults of solver and steps, as `benchmarks/restoration/tune.py` found them."""

from __future__ import annotations

from dataclasses import dataclass

from restorekit.despeckling.methods import TUNED


@dataclass(frozen=True)
class Task:
    """The solvers of a task, for one answer and for several samples, with their levels."""

    solver: str  # for one answer: the best PSNR
    steps: int
    sampler: str  # for several samples
    sampler_steps: int


# One answer: benchmarks/restoration/tune.py. Samplers: the one whose spread is right at every noise (`restorekit bench posterior`), where there
# is one.
TASKS = {
    "denoise": Task("hqs", 1, "mmps", 50),
    "blur": Task("hqs:first=0.5", 8, "mmps", 50),
    "average": Task("hqs:first=0.5", 16, "mmps", 50),
    "decimate": Task("hqs:first=0.5", 16, "mmps", 50),
    "resize": Task("hqs:first=0.5", 24, "mmps", 50),
    "inpaint": Task("hqs:first=0.3", 30, "mmps", 50),
    "mosaic": Task("hqs:first=0.1", 16, "mmps", 50),
    "grey": Task("hqs:first=1", 8, "mmps", 50),
    "hadamard": Task("hqs:first=0.3", 30, "mmps", 50),
    "jpeg": Task("hqs:first=0.1,lambda=0.1", 8, "mmps", 50),
    "phase": Task("dps", 200, "dps", 200),
    "saturate": Task("dps", 200, "dps", 200),
}
JPEG_AFTER = Task("hqs:first=0.2,lambda=0.1", 16, "mmps", 50)  # what was measured was written as a JPEG
SAMPLED = Task(
    "hqs:first=0.1", 24, "mmps", 50
)  # resizing by a library that does not smooth: a few pixels of each block are seen
IMPULSES = Task("hqs:first=0.1", 8, "mmps", 50)  # denoising with single values missing
COUNTS = Task("hqs:first=0.5", 8, "ep", 30)  # denoising
SENSOR = Task("hqs", 1, "ep", 30)  # counts with read noise: one call on values whose noise is even
GRAIN = Task("hqs:first=0.2", 8, "mmps", 50)
SPECKLE = Task("hqs:first=0.5", 8, "diffpir:zeta=1,first=1", 20)
LOG_SPECKLE = Task(
    *TUNED["hqs"], "ep", 30
)  # benchmarks/remote_sensing/speckle.py, benchmarks/remote_sensing/speckle_draws.py
OTHER = Task("dps", 100, "dps", 100)  # takes any operator and noise
