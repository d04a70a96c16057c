"""FFTD: its fusions against the printed equations, its attention, the network, its place among the priors."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import Tensor, nn

from restorekit.priors.networks.fftd import FFTD, Attention, Block, FFTDConfig, Fusion, turned
from restorekit.priors.precond import Adapted, VPTable
from restorekit.priors.wrappers import GuidedByClass

SMALL = FFTDConfig(channels=3, width=16, heads=2, embed=16, side=16)
FUSES = ("adaptive", "add", "concat")


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_net(config: FFTDConfig = SMALL, seed: int = 0) -> FFTD:
    """With its zero-initialised layers made random, so that every path carries something; float64."""
    torch.manual_seed(seed)
    net = FFTD(config)
    for name, p in net.named_parameters():
        if name.endswith("table") or not bool(p.any()):
            nn.init.normal_(p, std=0.3)
    return net.double().eval().requires_grad_(False)


# --- the fusion and the attention, against plain transcriptions ---


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def silu(x: np.ndarray) -> np.ndarray:
    return x * sigmoid(x)


def fusion_of_the_seed(f: Fusion, x1: np.ndarray, x2: np.ndarray, h: int, w: int) -> np.ndarray:
    """Eqs 18 to 25 for one item, tokens (L, D), token by token and channel by channel, with the misprints corrected."""
    p = {k: v.numpy() for k, v in f.state_dict().items()}
    both = np.concatenate([x1, x2], 1)  # (L, 2D)

    def squeeze(pool: np.ndarray) -> np.ndarray:
        inner = silu(p["channel.0.weight"] @ pool + p["channel.0.bias"])
        return p["channel.2.weight"] @ inner + p["channel.2.bias"]

    w_channel = sigmoid(squeeze(both.mean(0)) + squeeze(both.max(0)))  # 18 to 20
    maps = both.T.reshape(-1, h, w)  # 21
    for i in (0, 2, 4):  # 22
        weight, bias = p[f"spatial.{i}.weight"], p[f"spatial.{i}.bias"]
        maps = np.stack([
            sum(scipy.ndimage.correlate(m, k, mode="constant") for m, k in zip(maps, kernels)) + b
            for kernels, b in zip(weight, bias)
        ])  # fmt: skip
        maps = silu(maps) if i < 4 else maps
    w_spatial = sigmoid(maps).reshape(-1, 1)

    def norm(x: np.ndarray, which: str) -> np.ndarray:
        z = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
        return z * p[f"{which}.weight"] + p[f"{which}.bias"]

    x_channel, x_spatial = w_channel * norm(x1, "norm1"), w_spatial * norm(x2, "norm2")  # 23, 24
    return x_channel + x_spatial + p["scale"] * (both @ p["direct.weight"].T + p["direct.bias"])  # 25


@pytest.mark.parametrize(("h", "w"), [(4, 4), (3, 5), (1, 1)])
def test_the_fusion_is_that_of_the_equations(h: int, w: int) -> None:
    torch.manual_seed(0)
    fusion = Fusion(32).double().requires_grad_(False)
    assert float(fusion.scale) == pytest.approx(0.1)
    for p in fusion.parameters():  # norms too are not to be what they are at the start
        p += 0.2 * torch.randn_like(p)
    x1, x2 = numbers(2, h, w, 32), 3 * numbers(2, h, w, 32, seed=1) + 1
    found = fusion(x1, x2)
    for i in range(2):
        a, b = (x[i].reshape(-1, 32).numpy() for x in (x1, x2))
        expected = fusion_of_the_seed(fusion, a, b, h, w).reshape(h, w, 32)
        np.testing.assert_allclose(found[i].numpy(), expected, rtol=1e-10, atol=1e-10)


def test_without_its_convolutions_the_fusion_knows_no_order() -> None:
    fusion = Fusion(16).double().requires_grad_(False)
    for p in fusion.spatial.parameters():
        p.zero_()  # every place weighs a half
    x1, x2, order = numbers(1, 4, 4, 16), numbers(1, 4, 4, 16, seed=1), torch.randperm(16)

    def shuffled(x: Tensor) -> Tensor:
        return x.flatten(1, 2)[:, order].unflatten(1, (4, 4))

    torch.testing.assert_close(fusion(shuffled(x1), shuffled(x2)), shuffled(fusion(x1, x2)))
    assert not torch.allclose(fusion(x2, x1), fusion(x1, x2))  # but which is which


def attention_by_hand(a: Attention, x: Tensor) -> Tensor:
    """One item (h, w, D): channels of the two halves of a head as complex numbers, whose phase runs with row or column."""
    h, w, d = x.shape
    size = d // a.heads
    rows, columns = (g.flatten().double() for g in torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij"))
    speed = torch.tensor([100.0 ** (-i / (size // 4)) for i in range(size // 4)], dtype=torch.float64)
    phase = torch.cat([rows[:, None] * speed, columns[:, None] * speed], 1)
    q, k, v = (x.flatten(0, 1) @ a.qkv.weight.T + a.qkv.bias).split(d, 1)
    out = []
    for i in range(a.heads):
        part = slice(i * size, (i + 1) * size)
        zq, zk = (torch.complex(*z[:, part].chunk(2, 1)) for z in (q, k))
        turn = torch.exp(1j * (phase[:, None] - phase[None]))
        logits = (zq[:, None] * zk.conj()[None] * turn).sum(-1).real / size**0.5
        out.append(logits.softmax(1) @ v[:, part])
    return (torch.cat(out, 1) @ a.out.weight.T + a.out.bias).view(h, w, d)


def test_the_attention_turns_pairs_by_row_and_column() -> None:
    torch.manual_seed(0)
    attention, x = Attention(24, 3).double().requires_grad_(False), 2 * numbers(2, 3, 5, 24)
    for i in range(2):
        torch.testing.assert_close(attention(x)[i], attention_by_hand(attention, x[i]))


def test_what_two_tokens_say_to_each_other_depends_on_their_distance_alone() -> None:
    q, k = numbers(8), numbers(8, seed=1)
    a, b = (turned(z.expand(1, 7, 9, 1, 8)) for z in (q, k))
    products = torch.einsum("rcd,pqd->rcpq", a[0, :, :, 0], b[0, :, :, 0])
    for r, c in ((1, 0), (2, 3), (-3, 2)):  # the same distance from two places
        here, there = products[3, 4, 3 + r, 4 + c], products[3, 2, 3 + r, 2 + c]
        torch.testing.assert_close(here, there)
        assert abs(float(here - products[3, 4, 3, 4])) > 1e-3
    torch.testing.assert_close(a.norm(dim=-1), q.norm().expand(1, 7, 9, 1))


def test_with_sums_a_block_is_the_usual_one_of_a_transformer() -> None:
    torch.manual_seed(0)
    block = Block(replace(SMALL, fuse="add")).double().requires_grad_(False)
    x, none = numbers(2, 4, 4, 16), torch.zeros(2, 5, 16, dtype=torch.float64)
    assert torch.equal(block(x, none), x)  # its gate is shut at the start
    block.table[4] = 1
    norm = nn.LayerNorm(16, elementwise_affine=False)
    after = x + block.attention(norm(x))
    torch.testing.assert_close(block(x, none), after + block.feed(norm(after)))


# --- the network ---


@pytest.mark.parametrize(("height", "width"), [(16, 16), (8, 12), (7, 5), (2, 22), (1, 1)])
@pytest.mark.parametrize("side", [8, 16])
@pytest.mark.parametrize("fuse", FUSES)
def test_any_height_and_width(fuse: Any, side: int, height: int, width: int) -> None:
    z = numbers(2, 3, height, width)
    out = random_net(replace(SMALL, fuse=fuse, side=side))(z, torch.tensor([3.0, 700.0]).double())
    assert out.shape == z.shape
    assert bool(torch.isfinite(out).all())
    assert float(out.abs().mean()) > 1e-3


@pytest.mark.parametrize(("fuse", "count"), [("adaptive", 146.75), ("concat", 110), ("add", 96)])
def test_it_is_as_large_as_the_seed_prints(fuse: Any, count: float) -> None:
    with torch.device("meta"):
        net = FFTD(FFTDConfig(width=320, heads=5, fuse=fuse))
    parts = (net.blocks, net.down, net.up, net.fusions)
    weights = sum(p.numel() for part in parts for n, p in part.named_parameters() if not n.endswith("table"))
    assert weights == pytest.approx(count * 320**2, rel=0.005)  # the rest are offsets and norms
    printed = {"adaptive": 14.98e6, "concat": 11.49e6, "add": 9.54e6}[fuse]
    assert weights == pytest.approx(printed, rel=0.04)


def test_b3_is_at_a_quarter_where_there_is_room() -> None:
    seen: dict[int, tuple[int, ...]] = {}
    for side in (8, 15, 16, 64):
        net, sizes = random_net(replace(SMALL, side=side)), list[torch.Size]()
        net.blocks[2].register_forward_pre_hook(lambda _, given, sizes=sizes: sizes.append(given[0].shape))  # pyright: ignore[reportAttributeAccessIssue]
        net(numbers(1, 3, 16, 16), torch.zeros(1).double())
        seen[side] = tuple(sizes[0][1:3])
    assert seen == {8: (8, 8), 15: (8, 8), 16: (4, 4), 64: (4, 4)}


def test_an_untrained_network_predicts_nothing_and_settings_that_cannot_be_are_refused() -> None:
    assert not bool(FFTD(SMALL)(numbers(1, 3, 8, 8).float(), torch.zeros(1)).any())
    wrong: dict[str, Any]
    for wrong, words in (({"width": 18}, "4 [*] heads = 20; try 20"), ({"fuse": "mean"}, "adaptive, add, concat"),
                         ({"heads": 0}, "positive"), ({"classes": -1}, "positive")):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            FFTDConfig(**wrong)


@pytest.mark.parametrize("fuse", FUSES)
def test_gradients_reach_all_parameters(fuse: Any) -> None:
    net = random_net(replace(SMALL, fuse=fuse, classes=2)).requires_grad_(True)
    net(
        numbers(3, 3, 8, 8), torch.tensor([0.0, 30.0, 999.0]).double(), torch.tensor([0, 1, -1])
    ).square().sum().backward()
    for name, p in net.named_parameters():
        assert p.grad is not None, name
        assert float(p.grad.abs().max()) > 1e-8, name
    assert net.classes is not None
    assert net.classes.weight.grad is not None
    assert bool(net.classes.weight.grad.abs().amax(1).all())  # the one for no class too


def test_latents_of_a_batch_do_not_meet() -> None:
    net, z, t = random_net(), numbers(3, 3, 12, 8), torch.tensor([1.0, 500.0, 40.0]).double()
    whole = net(z, t)
    for i in range(3):
        torch.testing.assert_close(net(z[i : i + 1], t[i : i + 1])[0], whole[i], rtol=0, atol=1e-12)
    t[1] = 505.5
    changed = (net(z, t) - whole).abs().amax((1, 2, 3))
    assert bool((changed[[0, 2]] < 1e-12).all())
    assert float(changed[1]) > 1e-4


def test_every_token_hears_of_every_other() -> None:
    net, z, t = random_net(replace(SMALL, fuse="add")), numbers(1, 3, 8, 12), torch.zeros(1).double()
    before = net(z, t)
    for row, column in ((0, 0), (7, 11), (3, 5)):
        changed = z.clone()
        changed[..., row, column] += 1
        assert float((net(changed, t) - before).abs().amax(1).min()) > 1e-9


def test_gradients_are_those_of_differences() -> None:
    net = random_net(replace(SMALL, channels=2, width=8, embed=8, side=8))
    z, t = numbers(1, 2, 4, 4).requires_grad_(), torch.tensor([20.0]).double()
    assert torch.autograd.gradcheck(lambda x: net(x, t), (z,), fast_mode=True)
    vjp = torch.func.vjp(lambda x: net(x, t), z.detach())[1]
    weight = numbers(1, 2, 4, 4, seed=1)
    (expected,) = torch.autograd.grad(net(z, t), z, weight)
    torch.testing.assert_close(vjp(weight)[0], expected)


def test_bf16_stays_near_fp32() -> None:
    net, z, t = random_net(replace(SMALL, width=64)).float(), numbers(2, 3, 16, 16).float(), torch.tensor([5.0, 800.0])
    expected = net(z, t)
    with torch.autocast("cpu", torch.bfloat16):
        found = net(z, t)
    assert float((found - expected).norm() / expected.norm()) < 0.03  # 8 bits, over some forty layers


def test_classes_and_guidance() -> None:
    net, z, t = random_net(replace(SMALL, classes=3)), numbers(2, 3, 8, 8), torch.tensor([3.0, 3.0]).double()
    none = net(z, t)
    torch.testing.assert_close(net(z, t, torch.tensor([-1, -1])), none)
    mixed = net(z, t, torch.tensor([2, -1]))
    torch.testing.assert_close(mixed[1], none[1])
    assert float((mixed[0] - none[0]).abs().max()) > 1e-4
    with pytest.raises(ValueError, match="no classes"):
        random_net()(z, t, torch.tensor([0, 0]))

    table = VPTable.linear()
    of_class = Adapted(partial(net, label=torch.tensor([1, 1])), "eps", table, (0, 1))
    free = Adapted(net, "eps", table, (0, 1))
    eps = [(z - d(z, 0.7)) / 0.7 for d in (of_class, free)]
    expected = z - 0.7 * (1.4 * eps[0] - 0.4 * eps[1])
    torch.testing.assert_close(GuidedByClass(of_class, free, 1.4)(z, 0.7), expected)


def test_it_learns_a_latent_by_heart() -> None:
    torch.manual_seed(0)
    net, table = FFTD(replace(SMALL, width=32, side=8)), VPTable.linear()
    z0, rng = numbers(1, 3, 8, 8).float().expand(4, -1, -1, -1), torch.Generator().manual_seed(0)
    optimizer, losses = torch.optim.Adam(net.parameters(), lr=5e-3), []
    for _ in range(80):
        noise, t = torch.randn(z0.shape, generator=rng), 999 * torch.rand(4, generator=rng)
        a = 1 / (1 + table.sigma(t).view(-1, 1, 1, 1) ** 2)
        loss = (net(a.sqrt() * z0 + (1 - a).sqrt() * noise, t) - noise).square().mean()  # eqs 27 and 28
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(1, abs=0.15)  # it begins by saying nothing
    assert sum(losses[-20:]) / 20 < 0.35


# --- as a denoiser of latents ---


def test_on_the_span_0_1_the_adapter_is_the_formula_of_ddim() -> None:
    # Latents are not pictures on [0, 1]; on that span no value is moved or scaled.
    net, table, z = random_net(), VPTable.linear(), 3 * numbers(2, 3, 8, 8)
    t = torch.tensor([10.0, 600.0]).double()
    a = table.alpha_bar[t.long()].view(-1, 1, 1, 1)
    z_t = a.sqrt() * z + (1 - a).sqrt() * numbers(2, 3, 8, 8, seed=1)
    expected = (z_t - (1 - a).sqrt() * net(z_t, t)) / a.sqrt()  # the z0 of eq 29
    found = Adapted(net, "eps", table, (0, 1))(z_t / a.sqrt(), ((1 - a) / a).sqrt().flatten())
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
