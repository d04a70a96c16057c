"""A job for processes of their own, which import this and nothing heavy."""

from __future__ import annotations

import os
from collections.abc import Callable


def square(job: int) -> int:
    """Its square; the process of job 2 ends instead."""
    if job == 2:
        os._exit(9)
    return job * job


def maker() -> Callable[[int], int]:
    return square
