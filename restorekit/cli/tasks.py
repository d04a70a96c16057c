"""What a task does when it is told no more: solver and steps, as `benchmarks/tune.py` found them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    solver: str  # for one answer: the best PSNR
    steps: int
    sampler: str  # for several samples
    sampler_steps: int


TASKS = {
    "denoise": Task("hqs", 1, "diffpir:zeta=1,first=1", 20),
    "blur": Task("hqs:first=0.5", 8, "diffpir:zeta=1,first=0.3", 20),
    "average": Task("hqs:first=0.5", 16, "diffpir:zeta=1,first=1", 20),
    "decimate": Task("hqs:first=0.5", 16, "diffpir:zeta=1,first=1", 20),
    "inpaint": Task("hqs:first=0.3", 30, "diffpir:zeta=1,first=1", 50),
    "grey": Task("hqs:first=1", 8, "diffpir:zeta=1,first=1", 20),
    "hadamard": Task("hqs:first=0.3", 30, "diffpir:zeta=1,first=1", 50),
    "phase": Task("dps", 200, "dps", 200),
    "saturate": Task("dps", 200, "dps", 200),
}
NOT_GAUSSIAN = Task("hqs:first=0.5", 8, "diffpir:zeta=1,first=1", 20)  # denoising of counts and speckle
OTHER = Task("dps", 100, "dps", 100)  # takes any operator and noise
