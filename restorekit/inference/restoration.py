"""The result of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Restoration:
    """samples (N, C, H, W) in the prior's domain, with what is needed to make them again."""

    samples: Tensor
    nfe: int  # network calls per sample
    seconds: float
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def mean(self) -> Tensor:
        """(C, H, W): the estimate to show when there are several samples."""
        return self.samples.mean(0)

    @property
    def std(self) -> Tensor:
        """(C, H, W): per-pixel spread over the samples; the error bar. Needs at least two samples."""
        return self.samples.std(0)
