"""The unit of pictures: solvers give the same in another one, settings that have it scaled."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from restorekit.inference.likelihood import Gaussian
from restorekit.inference.problem import Problem
from restorekit.inference.schedule import log_uniform
from restorekit.inference.solver import Solver
from restorekit.priors.analytic import GaussianPrior
from restorekit.solvers import (
    DAPS,
    DDNM,
    DDRM,
    DPS,
    DSG,
    EP,
    GDP,
    HQS,
    ILVR,
    MCG,
    MMPS,
    MPGD,
    SARDPS,
    SITCOM,
    SMC,
    SNIPS,
    SOLVERS,
    TMPD,
    VDS,
    DDNMPlus,
    DiffPIR,
    EnKG,
    Exchange,
    FlowDPS,
    PiGDM,
    PnPDM,
    PnPFlow,
    Quadrature,
)
from tests.support.oracle import ORACLES, SHAPE, Stream

# Settings that have the unit of the picture are scaled with it.
SCALED: dict[str, Callable[[float], Solver]] = {
    "daps": lambda f: DAPS(tau=0.05 * f), "ddnm": lambda f: DDNM(), "ddnm+": lambda f: DDNMPlus(travel=(3, 2)), "ddrm": lambda f: DDRM(),
    "diffpir": lambda f: DiffPIR(), "dps": lambda f: DPS(), "hqs": lambda f: HQS(), "mcg": lambda f: MCG(scale=f),
    "mmps": lambda f: MMPS(prior_std=0.25 * f), "pigdm": lambda f: PiGDM(prior_std=0.25 * f), "pnpdm": lambda f: PnPDM(), "sar-dps": lambda f: SARDPS(),
    "exchange": lambda f: Exchange(sweeps=3), "smc": lambda f: SMC(8, prior_std=0.25 * f),
    "vds": lambda f: VDS(lr=0.05 * f, prior_std=0.25 * f),
    "tmpd": lambda f: TMPD(), "mpgd": lambda f: MPGD(prior_std=0.25 * f), "dsg": lambda f: DSG(),
    "ilvr": lambda f: ILVR(), "snips": lambda f: SNIPS(), "sitcom": lambda f: SITCOM(inner=3, unit=0.5 * f),
    "enkg": lambda f: EnKG(16, inner=3), "flowdps": lambda f: FlowDPS(span=2 / f), "gdp": lambda f: GDP("gain"),
    "pnpflow": lambda f: PnPFlow(span=2 / f),
}  # fmt: skip


@pytest.mark.parametrize("factor", [3.0, 0.1])
@pytest.mark.parametrize("name", SCALED)
def test_units_do_not_matter(name: str, factor: float) -> None:
    """y, sigma_y, the prior and the levels in another unit: the result is the same in that unit."""
    oracle = ORACLES["average"]()
    y, x = oracle.draw(2, 0)[1], Stream(3).normal(torch.zeros(2, *SHAPE, dtype=torch.float64))
    prior = oracle.prior
    scaled = GaussianPrior(prior.mean * factor, prior.variances * factor**2)

    def run(unit: float, denoise: GaussianPrior) -> Tensor:
        problem = Problem(y * unit, oracle.operator, Gaussian(oracle.sigma_y * unit))
        sigmas = [s * unit for s in log_uniform(20, 1.0, 0.02)]
        return [s.x for s in SCALED[name](unit)(problem, denoise, sigmas, x * unit, Stream(4))][-1]

    torch.testing.assert_close(
        run(factor, scaled) / factor, run(1.0, prior), rtol=0, atol=1e-7
    )  # rounding; Adam divides small gradients by their size


def test_every_solver_for_gaussian_noise_is_tested_in_other_units() -> None:
    assert {type(make(1.0)) for make in SCALED.values()} == set(SOLVERS.values()) - {EP, Quadrature}
