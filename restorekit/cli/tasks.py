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
    "denoise": Task("hqs", 1, "diffpir", 20),
    "blur": Task("hqs", 8, "diffpir:zeta=0.3", 30),
    "average": Task("hqs", 12, "diffpir:zeta=0.3", 30),
    "decimate": Task("hqs", 12, "diffpir:zeta=0.3", 30),
    "inpaint": Task("diffpir:zeta=1", 30, "diffpir:zeta=1", 30),
    "grey": Task("diffpir:zeta=0.3", 30, "diffpir:zeta=0.3", 30),
    "hadamard": Task("diffpir:zeta=0.3", 50, "diffpir:zeta=0.3", 50),
    "phase": Task("dps", 200, "dps", 200),
    "saturate": Task("dps", 100, "dps", 100),
}
OTHER = Task("dps", 100, "dps", 100)  # the one solver that takes any operator and noise
