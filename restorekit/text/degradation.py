"""A `Degradation` is an operator and a noise law in words; it measures clean pictures for benches, tuning and calibration."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch

from restorekit.errors import BadInput
from restorekit.inference.likelihood import Likelihood
from restorekit.inference.problem import Problem
from restorekit.operators import Inpaint
from restorekit.text.names import noise_of, operator_of

NOISES = {"denoise": "gaussian:0.1"}  # for an operator without one
NOISE = "gaussian:0.02"


@dataclass(frozen=True)
class Degradation:
    """An operator and a noise law in words, `blur:kernel=gaussian:2@gaussian:0.02`: what follows the last @ is the noise."""

    op: str
    noise: str

    @classmethod
    def of(cls, text: str) -> Degradation:
        """Read a text. Without a noise it is gaussian:0.1 where nothing but noise is to be removed, else gaussian:0.02."""
        op, at, noise = text.rpartition("@")
        op, noise = (op, noise) if at else (text, NOISES.get(text.partition(":")[0], NOISE))
        task = cls(op.strip(), noise.strip())
        if not task.op:
            raise BadInput(f"`op={text!r}` names no operator; give it as blur:kernel=gaussian:2@gaussian:0.02")
        _ = task.law  # refused here if unknown
        return task

    @property
    def text(self) -> str:
        return f"{self.op}@{self.noise}"

    @property
    def law(self) -> Likelihood:
        return noise_of(self.noise)

    def measure(self, truth: np.ndarray, name: str, seed: int) -> Problem:
        """Return a measurement of truth (C, H, W): its noise is a function of (task, name, seed) and the size alone.

        Raises BadInput where the operator is unknown or does not take pictures of this shape.
        """
        operator = operator_of(self.op, image=(truth.shape[0], truth.shape[1], truth.shape[2]))
        digest = hashlib.sha256(f"{self.text}\n{name}\n{seed}".encode()).digest()
        rng = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        y = self.law.sample(operator(torch.from_numpy(truth)[None]), rng)
        if isinstance(operator, Inpaint):  # nothing is measured in a hole, not even noise
            y = y * (operator.mask > 0)
        return Problem(y, operator, self.law)
