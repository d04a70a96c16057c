"""What a task does when it is told no more: solver and steps, as `benchmarks/tune.py` found them."""

from __future__ import annotations

from dataclasses import dataclass

from restorekit.scenes.methods import TUNED


@dataclass(frozen=True)
class Task:
    solver: str  # for one answer: the best PSNR
    steps: int
    sampler: str  # for several samples
    sampler_steps: int


# Samplers: the least ranked probability score, and of those within 5 % of it the one whose intervals hold best.
TASKS = {
    "denoise": Task("hqs", 1, "pigdm:prior_std=0.08", 13),
    "blur": Task("hqs:first=0.5", 8, "pigdm:prior_std=0.16", 13),
    "average": Task("hqs:first=0.5", 16, "mmps:iterations=3", 13),
    "decimate": Task("hqs:first=0.5", 16, "mmps:iterations=3", 13),
    "inpaint": Task("hqs:first=0.3", 30, "mmps:iterations=3", 13),
    "grey": Task("hqs:first=1", 8, "ddrm", 20),
    "hadamard": Task("hqs:first=0.3", 30, "mmps:iterations=3", 13),
    "phase": Task("dps", 200, "dps", 200),
    "saturate": Task("dps", 200, "dps", 200),
}
GREY_IN_PARTS = Task("hqs:first=1", 8, "mmps:iterations=3", 13)  # with no data in it, which ddrm does not take
IMPULSES = Task("hqs:first=0.1", 4, "mmps:iterations=3", 13)  # denoising with single values missing
COUNTS = Task("hqs:first=0.5", 8, "quadrature", 13)  # denoising
SPECKLE = Task("hqs:first=0.5", 8, "diffpir:zeta=1,first=1", 20)
LOG_SPECKLE = Task(*TUNED["hqs"], "sar-dps", 13)  # benchmarks/speckle.py
OTHER = Task("dps", 100, "dps", 100)  # takes any operator and noise
