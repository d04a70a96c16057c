"""The cascade as one denoiser, and the scale-invariant loss between its stages."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from restorekit.priors.cascade import Cascade, down, relay_level, up
from restorekit.training.objectives.infomax import START, Critic, kappa_at, scale_loss
from tests.priors.test_pisdm import pictures, random_net

# --- the cascade ---


def test_down_and_up() -> None:
    x = pictures(2, 3, 8, 12)
    assert torch.equal(up(x, 4)[..., ::4, ::4], x)
    torch.testing.assert_close(down(up(x, 4), 4), x)
    torch.testing.assert_close(down(x, 4), nn.functional.avg_pool2d(x, 4))
    noise = torch.randn(1, 1, 400, 400, generator=torch.Generator().manual_seed(0))
    assert float(down(noise, 4).std()) == pytest.approx(1 / 4, rel=0.03)
    with pytest.raises(ValueError, match="multiples of 4"):
        down(pictures(1, 1, 8, 6), 4)


def test_relay_level_hides_what_upsampling_puts_in_place_of_detail() -> None:
    # White noise of level s: Up(Down(x)) - x has power s^2 beyond the low frequencies, and little of it below.
    noise = 0.1 * torch.randn(8, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    assert relay_level(noise, 4) == pytest.approx(0.1, rel=0.35)
    assert relay_level(up(pictures(4, 1, 16, 16), 4), 4) < 1e-6  # nothing is lost
    assert relay_level(2 * noise, 4) == pytest.approx(2 * relay_level(noise, 4), rel=1e-5)


def test_a_cascade_is_one_denoiser() -> None:
    # For N(0, 1) that is constant over blocks and known to both stages, the low stage answers exactly.
    prior = Cascade(lambda x, s: x / (1 + torch.as_tensor(s).view(-1, 1, 1, 1) ** 2), lambda x, s: 0 * x + 7, 0.5, 2)
    x = pictures(3, 1, 4, 4)
    low, between, high = 0.5, 0.6, 0.75
    torch.testing.assert_close(prior(x, low), torch.full_like(x, 7))
    coarse = up(down(x, 2), 2) / (1 + (high / 2) ** 2)
    torch.testing.assert_close(prior(x, high), coarse)
    share = math.log(between / 0.5) / math.log(1.5)
    expected = (1 - share) * 7 + share * up(down(x, 2), 2) / (1 + (between / 2) ** 2)
    torch.testing.assert_close(prior(x, between), expected)
    mixed = prior(x, torch.tensor([low, between, high]))
    torch.testing.assert_close(mixed, torch.stack([prior(x, s)[i] for i, s in enumerate((low, between, high))]))
    values = [float(prior(x, s)[0, 0, 0, 0]) for s in np.linspace(0.45, 0.8, 200)]
    assert max(abs(a - b) for a, b in pairwise(values)) < 0.2  # no jump


@pytest.mark.parametrize(
    ("settings", "words"), [((0.0,), "relay=0.0 must be positive"), ((0.5, 1), "factor=1"), ((0.5, 2, 0.4), "top=0.4")]
)
def test_stages_that_cannot_go_together(settings: tuple[float, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Cascade(lambda x, s: x, lambda x, s: x, *settings)  # type: ignore[arg-type]


# --- the scale-invariant loss ---


def test_scale_loss_starts_at_two_ln_two_and_learns_which_features_belong_together() -> None:
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    critic = Critic(6, 5, width=16)
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-2)
    found = []
    for _ in range(150):
        kind = torch.randn(16, 5, 1, 1, generator=rng)
        high = kind + 0.1 * torch.randn(16, 5, 8, 8, generator=rng)
        low = torch.cat([kind, kind[:, :1]], 1).expand(-1, -1, 4, 4)
        loss = scale_loss(critic, low, high)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(float(loss.detach()))
    assert found[0] == pytest.approx(START) == pytest.approx(2 * math.log(2))
    assert min(found) >= 0
    assert found[-1] < 0.6 * START
    with pytest.raises(ValueError, match="batch of 2"):
        scale_loss(critic, torch.zeros(1, 6, 4, 4), torch.zeros(1, 5, 8, 8))
    assert [kappa_at(s, 100) for s in (0, 50, 100, 500)] == pytest.approx([0, 0.2, 0.4, 0.4])


def test_scale_loss_reaches_both_networks() -> None:
    low, high = (random_net(seed=s).requires_grad_(True) for s in (0, 1))
    critic = Critic(16, 16, width=8)
    nn.init.normal_(critic.score[-1].weight)  # type: ignore[arg-type]
    x = pictures(2, 3, 16, 16)
    features = [net.with_features(z, torch.zeros(2))[1] for net, z in ((low, down(x, 2)), (high, x))]
    scale_loss(critic, *features).backward()
    for net in (low, high):
        gradient = net.blocks[0].mixer.in_proj.weight.grad  # type: ignore[union-attr]
        assert isinstance(gradient, Tensor)
        assert float(gradient.abs().max()) > 0
