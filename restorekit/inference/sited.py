"""Laws of values that say only where their mean lies: beyond a stop, or in a bin."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from restorekit.inference.likelihood import Gaussian, Likelihood


class Sited(Likelihood):
    """Gaussian noise `law`, of which values tell a side or a bin; what one says depends on how well its mean is known before.

    Solvers that take it as Gaussian ask `site`, which knows that. Its score is right on average, so that nothing is taken off.
    """

    law: Gaussian

    @property
    def sigma(self) -> float | Tensor:
        """Return the deviation of the noise before it is held or rounded."""
        return self.law.sigma

    @property
    @abstractmethod
    def stopped(self) -> Tensor:
        """Return where y says only where its mean lies: bool, broadcasts to y."""

    @abstractmethod
    def with_sigma(self, sigma: float | Tensor) -> Sited:
        """Return the law of other noise, and all else as it is."""

    @abstractmethod
    def site(self, y: Tensor, mean: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
        """Return (b, S): if mean + r n, r^2 = `spread`, is what is known before, y moves it as a value mean + b of
        Gaussian noise of variance S does. All are like y."""
