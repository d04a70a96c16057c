"""Several processes that take jobs from one list: none is done twice, and none outlives its parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

import torch

from restorekit.errors import BadInput

Job = TypeVar("Job")
READY = "ready"


class Lost(RuntimeError):
    """The process of a job ended without an answer, as when the system takes it for want of memory."""


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()  # returns when it is gone, however it went
        os._exit(1)


def _serve(pipe: Connection, make: Callable[[], Callable[[Any], Any]]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        work = make()
        pipe.send(READY)
        while True:
            pipe.send(work(pipe.recv()))
    except (EOFError, BrokenPipeError):
        return


def share(jobs: Sequence[Job], count: int, make: Callable[[], Callable[[Job], Any]]) -> Iterator[tuple[Job, Any]]:
    """Yield (job, answer) as they come. `make`, called in each process, gives the function that does a job; the answer of a job
    whose process ended is a `Lost`. With one process, or one job, everything runs in this one.

    Both must be picklable, and a script that calls this needs `if __name__ == "__main__":`, as processes are spawned.
    """
    if min(count, len(jobs)) <= 1:
        work = make() if jobs else None
        for job in jobs:
            assert work is not None
            yield job, work(job)
        return
    context, todo = multiprocessing.get_context("spawn"), deque(jobs)
    running: dict[Connection, tuple[Any, Job | None]] = {}

    def begin() -> None:
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, make), daemon=True)
        process.start()
        theirs.close()  # so that its end is seen here
        running[ours] = (process, None)

    try:
        for _ in range(min(count, len(jobs))):
            begin()
        while running:
            for pipe in wait(list(running)):
                assert isinstance(pipe, Connection)
                process, job = running[pipe]
                try:
                    answer = pipe.recv()
                except EOFError:
                    process.join()
                    del running[pipe]
                    if job is None:
                        raise BadInput(
                            "a worker process could not start; use `workers=1`, or from a script guard it with "
                            "if __name__ == '__main__'"
                        ) from None
                    if todo:
                        begin()
                    yield job, Lost(f"its process ended with code {process.exitcode}; was there enough memory?")
                    continue
                if todo:
                    running[pipe] = (process, todo.popleft())
                    with suppress(OSError):  # it has just ended: the next turn finds that out
                        pipe.send(running[pipe][1])
                else:
                    del running[pipe]
                    pipe.close()
                if job is not None:
                    yield job, answer
    finally:
        for process, _ in running.values():
            process.kill()
            process.join()


@contextmanager
def one_thread() -> Iterator[None]:
    """Run all methods on one thread, so that their seconds compare; what the caller had is put back."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
