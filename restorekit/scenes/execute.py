"""Blocks are treated by this process, by several, or by a dask cluster. They differ in nothing but time.

Workers read the scene themselves and give back finished blocks; only the process that was started writes.
"""

from __future__ import annotations

import asyncio
import importlib.util
import multiprocessing
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from restorekit.errors import BadInput
from restorekit.scenes.block_store import Key, Layers
from restorekit.scenes.operation import Job
from restorekit.scenes.process_memory import keep_freed_memory
from restorekit.text.terminal import one_line

LOOPBACK = "127.0.0.1"
PATIENCE = 20  # seconds, with a scheduler
_NO_DASHBOARD: dict[str, Any] = {
    "dashboard_address": None,
    "scheduler_kwargs": {"dashboard_address": f"{LOOPBACK}:0"},  # where dask listens all the same, else at 8787
}
Finished = tuple[Key, Layers]
Item = TypeVar("Item")


class Executor(Protocol):
    """An executor treats the blocks of a job."""

    def __call__(self, job: Job, tasks: Sequence[Sequence[Key]]) -> Iterator[Finished]:
        """Yield the blocks of all tasks, in any order."""
        ...


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Let torch use so many threads; None for as many as it has."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run_task(job: Job, keys: Sequence[Key]) -> list[Finished]:
    """Treat some blocks in this process and return them with their keys."""
    with threads(job.threads):
        return [(key, job(key)) for key in keys]


@dataclass(frozen=True)
class Serial:
    """This process."""

    def __call__(self, job: Job, tasks: Sequence[Sequence[Key]]) -> Iterator[Finished]:
        for keys in tasks:
            for key in keys:
                yield from run_task(job, [key])


_job: Job | None = None  # of a worker process, which is given it once


def _begin(job: Job) -> None:
    global _job
    _job = job
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches every process: here it ends it, without a word
    keep_freed_memory()


def _task(keys: Sequence[Key]) -> list[Finished]:
    assert _job is not None
    return run_task(_job, keys)


@dataclass(frozen=True)
class Processes:
    """It treats blocks in so many processes of this machine."""

    workers: int

    def __call__(self, job: Job, tasks: Sequence[Sequence[Key]]) -> Iterator[Finished]:
        context = multiprocessing.get_context("spawn")  # a fork of a process that has used torch may hang
        with ProcessPoolExecutor(self.workers, context, _begin, (job,)) as pool:
            waiting = {pool.submit(_task, keys) for keys in tasks}
            try:
                for done in as_completed(waiting):
                    waiting.discard(done)  # a future keeps its result
                    yield from done.result()
            except BrokenProcessPool:
                raise BadInput(
                    "a worker was killed, perhaps for want of memory; the same command goes on where it stopped, with less "
                    "by `workers=1`"
                ) from None
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True)
class Dask:
    """A cluster at `address`, or one of `workers` processes here, which listens on the loopback address alone. A worker that
    dies is replaced and its task repeated.

    Dask carries pickles: whoever can reach a scheduler runs code as its workers, and they as whoever connects to them.
    """

    workers: int
    address: str | None = None

    def __call__(self, job: Job, tasks: Sequence[Sequence[Key]]) -> Iterator[Finished]:
        with dask_client(self.address, self.workers) as client:
            from distributed import as_completed as completed

            if self.address is None:
                client.run(keep_freed_memory)
            shared = client.scatter(job, broadcast=True, hash=False)
            futures = [client.submit(run_task, shared, keys, pure=False, retries=3) for keys in tasks]
            for future, found in completed(futures, with_results=True):  # type: ignore[misc]
                future.release()
                yield from found


def on_cluster(address: str, work: Callable[[Item], Any], items: Sequence[Item]) -> Iterator[tuple[Item, Any]]:
    """Yield (item, answer of `work`) in any order, from the workers of the dask cluster at `address`; the answer is the
    exception where `work` raised one, or the workers that had it died.

    Raises BadInput without dask, or where no scheduler answers.
    """
    with dask_client(address, 1) as client:
        from distributed import as_completed as completed

        waiting = {future.key: (future, item) for item in items for future in [client.submit(work, item, pure=False)]}
        for done in completed([future for future, _ in waiting.values()]):
            future, item = waiting.pop(done.key)  # a future keeps its result
            try:
                answer = future.result()
            except (Exception, CancelledError, asyncio.CancelledError) as error:  # noqa: BLE001 (of a worker)
                answer = error
            yield item, answer


def dask_client(address: str | None, workers: int) -> Any:
    """Return a client of the cluster at `address`, or of one of `workers` processes here. Raises BadInput without dask, or an answer."""
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise BadInput('a cluster needs dask; pip install "restorekit[cluster]"') from None
    if address is None:
        local: Any = LocalCluster
        return Client(local(n_workers=workers, threads_per_worker=1, host=LOOPBACK, **_NO_DASHBOARD, **_secured()))
    try:
        with ThreadPoolExecutor(1) as pool:  # here a notebook has its own loop
            pool.submit(lambda: asyncio.run(_greeted(address))).result()
        return Client(address, timeout=PATIENCE)
    # Of an address that is none, also of TLS without keys; of nobody there; of silence.
    except (OSError, ValueError, TypeError, RuntimeError, ImportError, asyncio.TimeoutError) as error:
        why = one_line(str(error)) or f"silence for {PATIENCE} s"
        raise BadInput(
            f"`scheduler={address}`: no dask scheduler answers ({why}); start one, or leave it out"
        ) from None


async def _greeted(address: str) -> None:
    """Exchange the greeting of dask with whoever is at an address: a client waits for that without end (findings/)."""
    from distributed.comm.core import connect
    from distributed.security import Security

    async def greet() -> None:
        comm = await connect(address, timeout=PATIENCE, **Security().get_connection_args("client"))
        await comm.close()

    await asyncio.wait_for(greet(), PATIENCE)


def _secured() -> dict[str, Any]:
    """Return keys of this run alone, without which no other user of the machine can hand work to its cluster; they need
    `cryptography`, and without it only the loopback address keeps others out."""
    if importlib.util.find_spec("cryptography") is None:
        return {}
    from distributed.security import Security

    return {"security": Security.temporary()}


def _unguarded() -> str | None:
    """Return the script that this process runs where it has no line that spares the processes it starts; None without a script."""
    main = sys.modules.get("__main__")
    script = getattr(main, "__file__", None)
    if script is None or getattr(main, "__spec__", None) is not None or not script.endswith(".py"):
        return None  # a notebook, `python -m` and an installed command: workers run none of these
    try:
        with open(script, encoding="utf-8", errors="replace") as handle:
            return None if re.search(r"^\s*(if|elif)\b.*\b__name__\b", handle.read(), re.MULTILINE) else script
    except OSError:
        return None


EXECUTORS = ("serial", "processes", "dask")


def executor_of(name: str, workers: int | None, address: str | None) -> Executor:
    """Return the executor of that name; `workers` None for as many as there are cores.

    Raises BadInput for unknown names, and for processes where each would run the script that is running once more.
    """
    count = workers or os.cpu_count() or 1
    if name not in EXECUTORS:
        raise BadInput(f"unknown executor {name!r}; known: {', '.join(EXECUTORS)}")
    if address is not None and name != "dask":
        raise BadInput(f"`scheduler` is for `executor=dask`, and not for {name}")
    if name != "serial" and address is None and (script := _unguarded()) is not None:
        raise BadInput(
            f"{script}: every worker process runs the script again as it starts; put what the script does below the line "
            'if __name__ == "__main__": or give `executor=serial`',
            argument="executor",
        )
    return Serial() if name == "serial" else Processes(count) if name == "processes" else Dask(count, address)
