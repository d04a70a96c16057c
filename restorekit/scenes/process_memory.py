"""Memory of large tensors kept by the process between two network calls."""

from __future__ import annotations

import ctypes
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of malloc.h


def keep_freed_memory() -> bool:
    """Tell glibc not to give blocks below 1 GB back to the system at once, from where they would be fetched
    again, page by page, at the next call. For processes that are ours; False where there is no glibc."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return all(mallopt(which, size) == 1 for which, size in ((MMAP_THRESHOLD, 2**30), (TRIM_THRESHOLD, 2**31 - 1)))
