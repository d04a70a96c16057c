"""A run trains one objective: one module with a loss, of which one part is the prior."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from restorekit.training.data.patches import Patches


class Objective(nn.Module, ABC):
    """`forward(*batch)` is the loss that the loop descends on all parameters; the average of `kept` is the prior.

    A discriminator or a critic is a part of it like any other: what it should not teach the rest it is shown detached.
    Networks that are frozen are not to be registered as submodules, else they swell the state of the run.
    """

    step: int = 0  # of the run; set by the loop before each forward, for weights that rise

    def __init__(self, measured: dict[str, float] | None = None) -> None:
        """measured: by the run that is resumed; nothing of it is measured again."""
        super().__init__()
        self.measured = dict(measured or {})  # on the pictures, by name; kept in the state
        self.inherited: dict[str, Any] = {}  # what else than weights it took from `init`: of JSON, kept in the state

    def moments(self, patches: Patches, grey: bool) -> tuple[float, float]:
        """Return mean and standard deviation of x0: those that were measured when the run began, else of `patches`."""
        if "mean" not in self.measured:
            self.measured["mean"], self.measured["sigma_data"] = patches.moments(grey)
        return self.measured["mean"], self.measured["sigma_data"]

    @property
    @abstractmethod
    def kept(self) -> nn.Module:
        """Return the part whose exponential average is the prior."""

    @abstractmethod
    def batch(self, step: int, first: int, count: int) -> tuple[Tensor, ...]:
        """Return items `first` to `first + count` of the batch of a step, on the CPU: a pure function of these and the seed."""

    @abstractmethod
    def save(self, path: Path, ema: dict[str, Tensor], training: dict[str, Any]) -> None:
        """Write the prior, `ema` being the state of `kept`; `training` goes into its header."""

    @abstractmethod
    def grid(self, path: Path, ema: dict[str, Tensor]) -> None:
        """Draw a picture for the person who watches the run."""

    def settle(self) -> None:
        """Do what follows each step of the optimiser, in all processes."""
