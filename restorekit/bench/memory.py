"""The most memory that something took: of the GPU if it ran there, else of the process."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset(device: torch.device) -> bool:
    """Begin anew; False where the system cannot, and `peak` will be that of the whole life of the process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return True
    try:
        _CLEAR.write_text("5")  # Linux: the high-water mark falls back to what is resident now
    except OSError:
        return False
    return True


def peak(device: torch.device) -> float:
    """Return MiB since `reset`: tensors of torch on CUDA; elsewhere all that was resident of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if _STATUS.exists():
        mark = next((line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:")), None)
        if mark is not None:
            return int(mark.split()[1]) / 1024
    try:
        import resource
    except ImportError:
        return float("nan")
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (2**20 if sys.platform == "darwin" else 1024)


def meaning(device: torch.device) -> str:
    """Return what `peak` is here, in words."""
    if device.type == "cuda":
        return "most memory held by tensors on the GPU during the run, MiB"
    if reset(device):
        return "most memory resident in the process during the run, MiB, with Python, PyTorch and the weights"
    return "most memory resident in the process until then, MiB: this system does not tell it run by run"
