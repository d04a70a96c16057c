"""This module finds what was not measured, in pictures of which nobody says how noisy they are."""

from __future__ import annotations

from dataclasses import dataclass

from restorekit.inference.likelihood import Likelihood
from restorekit.tasks.restore import Restoring


@dataclass(frozen=True, kw_only=True)
class Filling(Restoring):
    """Find what was not measured, in a picture that mostly says nothing of its noise: `noise_found.ASSUMED` is taken."""

    noise: str | Likelihood | None = None

    @property
    def _own(self) -> str:
        return ""
