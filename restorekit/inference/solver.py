"""A solver has its settings as fields, and its algorithm as a call that yields a `Step` per network call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from restorekit.errors import Unsupported
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.problem import CLEAN, Problem
from restorekit.inference.rng import Rng
from restorekit.inference.schedule import log_uniform


class Step(NamedTuple):
    """A solver yields a step after each network call: the new state and the clean estimate, (B, C, H, W) each, and the
    level just used."""

    x: Tensor
    x0: Tensor
    sigma: float


@dataclass(frozen=True, eq=False)
class Solver(ABC):
    """A posterior solver, whose fields are its settings and whose call is the algorithm, a generator of one `Step` per
    network call.

    The call takes the problem, a denoiser, `sigmas`, the state x (B, C, H, W) at the first of them and the random
    streams. `sigmas` falls and ends in 0, so the last state is the result. `problem.y` is never written to. Derive from
    it for a solver of your own.
    """

    reference: ClassVar[str] = ""  # key in CITATIONS
    is_sampler: ClassVar[bool] = True  # draws from (an approximation of) the posterior; False: returns one optimum
    exact: ClassVar[bool] = False  # meets y exactly, noise included: samples only of what is clean
    when: ClassVar[str] = ""  # in which case to take it, and in which rather another: a sentence
    needs: ClassVar[str] = "any operator and noise law with a gradient"
    relinearises: ClassVar[bool] = False  # gains by `Coded` pictures, whose derivative it follows from step to step
    gradient: ClassVar[bool] = False  # one vector-Jacobian product per network call
    # Lets rounding grow, so that what is given in single precision is run in double (precision.py).
    amplifies: ClassVar[bool] = False
    default_steps: ClassVar[int] = 50
    least_noise: ClassVar[float] = 0.0  # Gaussian noise below this, in the unit of the picture, counts as this
    # Fewer levels than this are worth a warning: on small Gaussian problems the mean is more than half a posterior deviation
    # farther off than at `default_steps`, or a spread half as large again or a third less (tests/solvers/test_least_levels.py).
    least_steps: ClassVar[int] = 1
    tunable: ClassVar[dict[str, tuple[float, float]]] = {}  # what `restorekit tune` searches: setting -> least, most

    @abstractmethod
    def __call__(
        self, problem: Problem, denoise: Denoiser, sigmas: Sequence[float], x: Tensor, rng: Rng, /
    ) -> Iterator[Step]: ...

    def start(self, problem: Problem, sigma: float, rng: Rng, begin: Tensor | None = None) -> Tensor:
        """Return the state (B, C, H, W) at the first noise level: `begin`, or a crude estimate, plus noise of that
        level."""
        x = problem.estimate() if begin is None else begin
        return x + sigma * rng.normal(x)

    def check(self, problem: Problem) -> None:
        """Raise `Unsupported`, naming a way out, if this solver cannot treat the problem."""

    def check_draws(self, problem: Problem) -> None:
        """Raise `Unsupported`, naming a way out, where several samples would not differ as the posterior says."""
        if self.exact and problem.picture_noise() > CLEAN:
            raise Unsupported(
                f"{type(self).__name__} meets the measurement exactly, noise included, so that samples do not differ where "
                "something was measured; leave out `samples` or take `solver=ddnm+`, mmps or pigdm"
            )

    def schedule(self, problem: Problem, steps: int | None) -> list[float]:
        """Return the solver's own noise levels, falling to 0, in units of a picture on [0, 1]."""
        return log_uniform(steps or self.default_steps, 10.0, problem.last_level())

    def doubts(self, problem: Problem, sigmas: Sequence[float]) -> str | None:
        """Return in one line what speaks against a schedule of so few levels; None where nothing does."""
        levels = len(sigmas) - 1
        if levels >= self.least_steps:
            return None
        return (
            f"{type(self).__name__} is far off with {levels} noise level{'s' * (levels > 1)}; take at least {self.least_steps} "
            f"({self.default_steps} is its default)"
            + ", or a solver that needs fewer, such as hqs"
            * (self.least_steps > 3)
        )

    def calls(self, sigmas: Sequence[float]) -> int:
        """Return the network calls for a schedule: the NFE that the run must count."""
        return len(sigmas) - 1

    @property
    def products(self) -> int:
        """Return the vector-Jacobian products per network call, at most."""
        return int(self.gradient)

    def settings(self) -> dict[str, Any]:
        """Return the settings by name, as a record keeps them."""
        return {f.name: getattr(self, f.name) for f in fields(self)}
