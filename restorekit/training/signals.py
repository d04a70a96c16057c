"""Ctrl-C and SIGTERM while a run goes on: it ends after a whole step, with a checkpoint."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

import torch
import torch.distributed as dist

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ECHO = 5.0  # seconds within which a launcher sends its processes what the terminal has sent them already
NOTE = b"restorekit: note: this step is finished and saved first; once more ends the run at once\n"


class Signals:
    """Context manager: the first signal is kept for `agreed`, a second one does what it would have done outside.

    Signals that were ignored stay so. Does nothing outside the main thread, which is the only one that may handle them.
    """

    def __init__(self, *, echo: float = 0.0, tell: bool = False):
        """echo: seconds in which a second signal is not meant as one; tell: whether the first is answered by a line."""
        self.received, self.echo, self.tell = 0, echo, tell
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self.before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self.before:
            signal.signal(*self.before.popitem())

    def _take(self, number: int, frame: FrameType | None) -> None:
        if not self.received:
            self.received, self.at = number, time.monotonic()
            if self.tell:
                os.write(2, NOTE)  # print() must not be called here: it may have been interrupted itself
        elif time.monotonic() - self.at >= self.echo:
            self.__exit__(None, None, None)
            signal.raise_signal(number)

    def agreed(self, device: torch.device) -> int:
        """Return the signal that this process or, where there are several, any of them has received; 0 for none."""
        if not dist.is_initialized():
            return self.received
        found = torch.tensor(self.received, device=device)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return int(found)
