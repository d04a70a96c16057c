"""Figures say on which machine they were measured, in one line and as a table."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

import restorekit


def versions() -> dict[str, str]:
    """Return the versions of restorekit, torch and Python, by name."""
    return {"restorekit": restorekit.__version__, "torch": torch.__version__, "python": platform.python_version()}


def machine(device: torch.device) -> str:
    """Return the processor, or the GPU too where it is used."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    models = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")]
    name = models[0] if models else platform.processor() or platform.machine()
    cpu = f"{name}{', AMX' if 'amx_bf16' in text else ''}, {os.cpu_count()} cores"
    return f"{torch.cuda.get_device_name(device)}; {cpu}" if device.type == "cuda" else cpu
