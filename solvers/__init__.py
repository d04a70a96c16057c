"""Posterior samplers and optimisers. A solver is a frozen dataclass whose call is a generator of `Step`s."""

from restorekit.solvers.daps import DAPS
from restorekit.solvers.ddnm import DDNM, DDNMPlus
from restorekit.solvers.ddrm import DDRM
from restorekit.solvers.diffpir import HQS, DiffPIR
from restorekit.solvers.dps import DPS
from restorekit.solvers.enkg import EnKG
from restorekit.solvers.exchange import Exchange
from restorekit.solvers.flowdps import FlowDPS
from restorekit.solvers.gdp import GDP
from restorekit.solvers.mcg import MCG
from restorekit.solvers.mmps import MMPS
from restorekit.solvers.pigdm import PiGDM
from restorekit.solvers.pnpdm import PnPDM
from restorekit.solvers.pnpflow import PnPFlow
from restorekit.solvers.quadrature import Quadrature
from restorekit.solvers.sar_dps import SARDPS
from restorekit.solvers.smc import SMC
from restorekit.solvers.vds import VDS
from restorekit.types import Solver

SOLVERS: dict[str, type[Solver]] = {
    "daps": DAPS,
    "ddnm": DDNM,
    "ddnm+": DDNMPlus,
    "ddrm": DDRM,
    "diffpir": DiffPIR,
    "dps": DPS,
    "enkg": EnKG,
    "exchange": Exchange,
    "flowdps": FlowDPS,
    "gdp": GDP,
    "hqs": HQS,
    "mcg": MCG,
    "mmps": MMPS,
    "pigdm": PiGDM,
    "pnpdm": PnPDM,
    "pnpflow": PnPFlow,
    "quadrature": Quadrature,
    "sar-dps": SARDPS,
    "smc": SMC,
    "vds": VDS,
}

__all__ = [
    "DAPS",
    "DDNM",
    "DDRM",
    "DPS",
    "GDP",
    "HQS",
    "MCG",
    "MMPS",
    "SARDPS",
    "SMC",
    "SOLVERS",
    "VDS",
    "DDNMPlus",
    "DiffPIR",
    "EnKG",
    "Exchange",
    "FlowDPS",
    "PiGDM",
    "PnPDM",
    "PnPFlow",
    "Quadrature",
]
