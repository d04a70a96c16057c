"""This package holds posterior samplers and optimisers: a solver is a frozen dataclass whose call is a generator of
`Step`s."""

from restorekit.inference.solver import Solver
from restorekit.solvers.conditional_denoiser import Conditional
from restorekit.solvers.daps import DAPS
from restorekit.solvers.ddnm import DDNM, DDNMPlus
from restorekit.solvers.ddrm import DDRM
from restorekit.solvers.diffpir import HQS, DiffPIR
from restorekit.solvers.dps import DPS
from restorekit.solvers.dsg import DSG
from restorekit.solvers.enkg import EnKG
from restorekit.solvers.ep import EP
from restorekit.solvers.exchange import Exchange
from restorekit.solvers.flowdps import FlowDPS
from restorekit.solvers.gdp import GDP
from restorekit.solvers.ilvr import ILVR
from restorekit.solvers.mcg import MCG
from restorekit.solvers.mmps import MMPS
from restorekit.solvers.mpgd import MPGD
from restorekit.solvers.pigdm import PiGDM
from restorekit.solvers.pnpdm import PnPDM
from restorekit.solvers.pnpflow import PnPFlow
from restorekit.solvers.quadrature import Quadrature
from restorekit.solvers.sar_dps import SARDPS
from restorekit.solvers.sitcom import SITCOM
from restorekit.solvers.smc import SMC
from restorekit.solvers.snips import SNIPS
from restorekit.solvers.tmpd import TMPD
from restorekit.solvers.vds import VDS

SOLVERS: dict[str, type[Solver]] = {
    "daps": DAPS,
    "ddnm": DDNM,
    "ddnm+": DDNMPlus,
    "ddrm": DDRM,
    "diffpir": DiffPIR,
    "dps": DPS,
    "dsg": DSG,
    "enkg": EnKG,
    "ep": EP,
    "exchange": Exchange,
    "flowdps": FlowDPS,
    "gdp": GDP,
    "hqs": HQS,
    "ilvr": ILVR,
    "mcg": MCG,
    "mmps": MMPS,
    "mpgd": MPGD,
    "pigdm": PiGDM,
    "pnpdm": PnPDM,
    "pnpflow": PnPFlow,
    "quadrature": Quadrature,
    "sar-dps": SARDPS,
    "sitcom": SITCOM,
    "smc": SMC,
    "snips": SNIPS,
    "tmpd": TMPD,
    "vds": VDS,
}

__all__ = [
    "DAPS",
    "DDNM",
    "DDRM",
    "DPS",
    "DSG",
    "EP",
    "GDP",
    "HQS",
    "ILVR",
    "MCG",
    "MMPS",
    "MPGD",
    "SARDPS",
    "SITCOM",
    "SMC",
    "SNIPS",
    "SOLVERS",
    "TMPD",
    "VDS",
    "Conditional",
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
