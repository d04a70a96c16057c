"""The peers by name, ours among them, and those of a user's file."""

from __future__ import annotations

from dataclasses import dataclass, is_dataclass

from torch import Tensor

from restorekit.bench.peers.peer import Peer
from restorekit.bench.peers.peer_azula import AzulaDiffPIR, AzulaMMPS, AzulaTMPD
from restorekit.bench.peers.peer_bm3d import BM3D
from restorekit.bench.peers.peer_deepinv import TheirDDRM, TheirDiffPIR, TheirDPS, TheirMMPS, TheirPiGDM
from restorekit.bench.posterior.run_exam import Stream
from restorekit.errors import BadInput
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.driver import restore
from restorekit.inference.problem import Problem
from restorekit.inference.solver import Solver
from restorekit.solvers import SOLVERS
from restorekit.text.grammar import build, convert, own_class, split
from restorekit.text.names import solver_of


@dataclass(frozen=True)
class Ours(Peer):
    """A solver of this package as users run it: through `restore`, told the problem and the denoiser and nothing else."""

    solver: Solver
    steps: int | None = None  # noise levels; None: the solver's own

    library = "restorekit"
    licence = "Apache-2.0"

    @property
    def draws(self) -> bool:  # type: ignore[override]
        return self.solver.is_sampler

    def settings(self, *without: str) -> str:
        own = {k: v for k, v in self.solver.settings().items() if k not in without}
        own |= {} if self.steps is None else {"steps": self.steps}
        return ", ".join(f"{k} {v}" for k, v in own.items())

    def sample(self, problem: Problem, denoise: Denoiser, count: int, seed: int) -> Tensor:
        def rng(seed: int, first: int, count: int) -> Stream:
            return Stream(seed, first)

        return restore(problem, denoise, self.solver, steps=self.steps, samples=count, seed=seed, rng=rng).samples


PEERS: dict[str, type[Peer]] = {
    "azula-mmps": AzulaMMPS, "azula-tmpd": AzulaTMPD, "azula-diffpir": AzulaDiffPIR,
    "deepinv-mmps": TheirMMPS, "deepinv-pigdm": TheirPiGDM, "deepinv-dps": TheirDPS, "deepinv-ddrm": TheirDDRM,
    "deepinv-diffpir": TheirDiffPIR, "bm3d": BM3D,
}  # fmt: skip
# 40 steps of three iterations are 200 passes. On our levels, and with the sampler that keeps the spread (DDPM loses a tenth of
# it at so few), what is left of a difference is the method's.
DEFAULT = ("azula-mmps", "azula-mmps:sampler=Ito,grid=ours,steps=40", *list(PEERS)[1:])


def peer(text: str) -> Peer:
    """Return a peer from text, "azula-mmps:steps=40" or "mine.py:Mine:setting=1". Raises BadInput, and lists the known ones."""
    own = own_class(text, Peer)
    if own is not None:
        cls, settings, names = own
        if not is_dataclass(cls):
            raise BadInput(f"{text}: {cls.__name__} is no dataclass; put @dataclass(frozen=True) above it")
        if missing := sorted(cls.__abstractmethods__) or [n for n in ("library",) if not hasattr(cls, n)]:
            raise BadInput(f"{text}: {cls.__name__} has no {', '.join(missing)}; a peer needs library and sample")
        return build(cls, *split(settings), names)
    name, positional, named = split(text)
    if name not in PEERS:
        raise BadInput(f"unknown peer {name!r}; known: {', '.join(PEERS)}, or file.py:Class; ours are `solver`")
    return build(PEERS[name], name, positional, named)


def ours(text: str) -> Ours:
    """Return one of our solvers from text, as a peer; "mmps:steps=40" is mmps on as many noise levels. Raises BadInput."""
    name, positional, named = split(text)
    if name not in SOLVERS or "steps" not in named:
        return Ours(solver_of(text))
    steps = convert(named.pop("steps"), int, f"{name}: steps")
    if steps < 1:
        raise BadInput(f"{text}: `steps` must be at least 1")
    return Ours(build(SOLVERS[name], name, positional, named), steps)
