"""restorekit/bench/peers/peer_deepinv.py calls deepinv's samplers as they are meant: units, noise levels, number of calls, the caller's y."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.interop.deepinv import import_deepinv
from restorekit.operators import BlockAverage, CircularBlur, Identity, Inpaint
from restorekit.priors.analytic import GaussianPrior

SHAPE = (3, 8, 8)
CALLS = 40
METHODS = ("DDRM", "DiffPIR", "DPS", "PiGDM", "MMPS")


@pytest.fixture(scope="module")
def peers() -> Any:
    try:
        import_deepinv()
    except BadInput as error:
        pytest.skip(str(error))
    from restorekit.bench.peers import peer_deepinv

    return peer_deepinv


class Recorded:
    """An exact denoiser that keeps the levels it is asked at."""

    def __init__(self) -> None:
        self.prior, self.sigmas = GaussianPrior.smooth(SHAPE, std=0.15, power=1.0), []

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        self.sigmas.append(float(torch.as_tensor(sigma).flatten()[0]))
        return self.prior(x, sigma)


def variants(peers: Any, method: str) -> list[Any]:
    """The default and, for DPS whose default hardly looks at y, guidance that does; both grids."""
    peer = {"DPS": peers.TheirDPS("annealed")}.get(method, peers.DEFAULT[method])
    other = {"DDRM": peers.TheirDDRM(grid="log"), "DPS": peers.TheirDPS("annealed", 1.0, "ve")}
    guided = {"PiGDM": peers.TheirPiGDM(1.0, "ve"), "MMPS": peers.TheirMMPS(1.0, "ve")}
    return [peer, *(d[method] for d in (other, guided) if method in d)]


@pytest.mark.parametrize("method", METHODS)
def test_hardly_any_noise_gives_the_measurement_back(method: str, peers: Any) -> None:
    """Denoising at sigma_y 0.002: a picture of deviation 0.15 comes back, at the levels that the adapter names."""
    y = GaussianPrior.smooth(SHAPE, std=0.15, power=1.0).sample(3, torch.Generator().manual_seed(0)).float()
    kept, physics = y.clone(), peers.physics_of(Identity(SHAPE), 0.002)
    for peer in variants(peers, method):
        denoise = Recorded()
        x = peer(y, physics, denoise, CALLS, 1)
        assert x.shape == y.shape
        assert torch.equal(y, kept)
        assert float((x - y).square().mean().sqrt()) < 0.02, peer
        assert len(denoise.sigmas) == CALLS
        visited = [s for s in dict.fromkeys(denoise.sigmas) if s > 0]
        assert visited == pytest.approx(peer.levels(CALLS)[:-1], rel=1e-3), peer
        assert torch.equal(peer(y, physics, denoise, CALLS, 1), x)  # the seed decides


def test_physics_measure_what_our_operators_do(peers: Any) -> None:
    kernel = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
    mask = (torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    found = [
        type(peers.physics_of(operator, 0.1)).__name__
        for operator in (Inpaint(SHAPE, mask), CircularBlur(SHAPE, kernel), BlockAverage(SHAPE, 4))
    ]
    assert found[:2] == ["Inpainting", "BlurFFT"]
    assert float(peers.physics_of(BlockAverage(SHAPE, 4), 0.1).noise_model.sigma) == pytest.approx(0.1)
