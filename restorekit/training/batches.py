"""Batches of a run follow each other, made between the steps or ahead of them by processes of their own."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from restorekit.training.config import Config
from restorekit.training.objectives.objective import Objective

AHEAD = 4  # batches of each process that wait to be used


@dataclass(frozen=True, eq=False)
class Steps(Dataset[tuple[Tensor, ...]]):
    """The share of one process in the batch of every step, by the number of the step."""

    objective: Objective
    batch: int  # of all processes together
    rank: int
    world: int

    def __getitem__(self, step: int) -> tuple[Tensor, ...]:
        share = self.batch // self.world
        return self.objective.batch(step, self.rank * share, share)


def batches(config: Config, objective: Objective, first: int, rank: int, world: int) -> Iterator[tuple[Tensor, ...]]:
    """Yield the batches (on the CPU) from step `first` to the last, for process `rank` of `world`.

    They are the same, and in the same order, whatever run.workers is, as each is a function of its step and the seed.
    """
    steps, numbers = Steps(objective, config.optim.batch, rank, world), range(first, config.optim.steps)
    if not config.run.workers:
        yield from (steps[number] for number in numbers)
        return
    yield from DataLoader(
        steps, batch_size=None, sampler=numbers, num_workers=config.run.workers, prefetch_factor=AHEAD,
        pin_memory=torch.cuda.is_available(), worker_init_fn=_left_alone, multiprocessing_context="fork",
    )  # fmt: skip


def _left_alone(_: int) -> None:
    """Let the run alone hear of Ctrl-C, which ends it after a whole step; it ends these."""
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)
