"""Posterior samplers and optimisers. A solver is a frozen dataclass whose call is a generator of `Step`s."""

from restorekit.solvers.ddnm import DDNM, DDNMPlus
from restorekit.solvers.ddrm import DDRM
from restorekit.solvers.diffpir import HQS, DiffPIR
from restorekit.solvers.dps import DPS
from restorekit.types import Solver

SOLVERS: dict[str, type[Solver]] = {
    "ddnm": DDNM,
    "ddnm+": DDNMPlus,
    "ddrm": DDRM,
    "diffpir": DiffPIR,
    "dps": DPS,
    "hqs": HQS,
}

__all__ = ["DDNM", "DDRM", "DPS", "HQS", "SOLVERS", "DDNMPlus", "DiffPIR"]
