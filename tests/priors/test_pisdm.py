"""PIS-DM: scan orders, the network, and its place among the priors."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from restorekit.errors import BadInput
from restorekit.metrics.fidelity import psnr
from restorekit.priors.cascade import down
from restorekit.priors.find import Network, load_prior
from restorekit.priors.formats import checkpoint
from restorekit.priors.formats.checkpoint import PriorSpec
from restorekit.priors.networks import scan as ssd
from restorekit.priors.networks.pisdm import PISDM, PISDMConfig
from restorekit.priors.networks.scan_orders import SCANS, move, passage, scan_order
from restorekit.priors.precond import EDM
from restorekit.priors.wrappers import GuidedByClass, Tiled
from restorekit.training.config import read_config
from restorekit.training.loop import train

GRIDS = [(16, 16), (15, 15), (8, 12), (7, 4), (1, 9), (5, 1), (2, 2), (1, 1)]
SMALL = PISDMConfig((1, 3), width=16, depth=3, state=4, head=8, embed=16, side=16)
CONFIGS_FOLDER = Path(__file__).parents[2] / "configs"


def random_net(config: PISDMConfig = SMALL, seed: int = 0) -> PISDM:
    """With its zero-initialised layers made random, so that every path carries something."""
    torch.manual_seed(seed)
    net = PISDM(config)
    for module in net.modules():
        if isinstance(module, nn.Linear) and not bool(module.weight.any()):
            nn.init.normal_(module.weight, std=0.1)
    return net.eval().requires_grad_(False)


def pictures(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


# --- scan orders ---


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize(("height", "width"), GRIDS)
def test_orders_are_permutations_with_their_inverses(scan: str, height: int, width: int) -> None:
    raster = torch.arange(height * width)
    for block in range(17):
        order, inverse = scan_order(scan, block, height, width)
        assert torch.equal(order.sort().values, raster)
        assert torch.equal(order[inverse], raster)
        if scan != "cross4":  # each step goes to a neighbour
            steps = (order // width).diff().abs() + (order % width).diff().abs()
            assert bool((steps == 1).all())


def test_each_scan_has_its_number_of_orders_and_the_spirals_their_direction() -> None:
    def distinct(scan: str) -> int:
        return len({tuple(scan_order(scan, b, 6, 8)[0].tolist()) for b in range(8)})

    assert [distinct(s) for s in SCANS] == [4, 8, 8, 8]
    for block in range(8):
        assert scan_order("spiral-seed", block, 5, 5)[0][0] == 12  # from the centre
        assert torch.equal(
            scan_order("spiral-seed", block + 8, 5, 5)[0], scan_order("spiral-seed", block, 5, 5)[0].flip(0)
        )
    assert scan_order("spiral-seed", 8, 3, 3)[0].tolist() == [0, 1, 2, 5, 8, 7, 6, 3, 4]
    assert [scan_order("cross4", b, 2, 2)[0].tolist() for b in range(4)] == [
        [0, 1, 2, 3], [3, 2, 1, 0], [0, 2, 1, 3], [3, 1, 2, 0]
    ]  # fmt: skip


def reach(scan: str, blocks: int, height: int, width: int) -> float:
    """The share of ordered pairs of different tokens of which the second hears of the first."""
    count = height * width
    heard = torch.eye(count)
    for block in range(blocks):
        place = scan_order(scan, block, height, width)[1]
        heard = (heard @ (place[:, None] <= place).float() > 0).float()
    return float((heard.sum() - count) / (count * (count - 1)))


@pytest.mark.parametrize(("height", "width"), [(16, 16), (15, 15), (7, 12), (3, 1)])
def test_the_default_scan_connects_all_pairs_of_tokens_in_two_blocks(height: int, width: int) -> None:
    assert reach(PISDMConfig().scan, 2, height, width) == 1


def test_the_seeds_scan_leaves_pairs_unconnected_for_eight_blocks() -> None:
    assert reach("spiral-seed", 8, 16, 16) == pytest.approx(0.58, abs=0.01)
    assert reach("spiral-seed", 9, 16, 16) == 1  # the first spiral inwards
    assert reach("spiral-alt", 8, 16, 16) == reach("zigzag8", 8, 16, 16) == 1


def test_with_fewer_orders_the_first_ones_come_again() -> None:
    seen: list[tuple[Any, ...]] = []
    for orders in (0, 1, 2, 8):
        net = PISDM(replace(SMALL, depth=5, orders=orders))
        places: list[list[int]] = []
        for block in net.blocks:  # what a block is handed, by the numbers that the tokens carry

            def keep(module: nn.Module, given: tuple[Tensor, ...], out: Tensor, places: Any = places) -> None:
                places.append(given[0][0, 2:-1, 0].round().int().tolist())

            block.register_forward_hook(keep)
        net.blocks.apply(lambda m: nn.init.zeros_(m.out_proj.weight) if hasattr(m, "out_proj") else None)  # type: ignore[arg-type]
        grid = torch.arange(12.0).view(1, 3, 4, 1).expand(-1, -1, -1, 16)
        out = net._mix(grid, torch.zeros(1, 3, 16), torch.zeros(1, 2, 16))
        assert torch.equal(out, grid)
        seen.append(tuple(map(tuple, places)))
    expected = [tuple(scan_order("cross4", b, 3, 4)[0].tolist()) for b in range(5)]
    assert seen[0] == seen[3] == tuple(expected)
    assert seen[1] == (expected[0],) * 5
    assert seen[2] == (expected[0], expected[1], expected[0], expected[1], expected[0])


@pytest.mark.parametrize("classes", [0, 2])
def test_without_padding_tokens_there_are_none_and_the_rest_begins_alike(classes: int) -> None:
    torch.manual_seed(0)
    whole = PISDM(replace(SMALL, classes=classes))
    torch.manual_seed(0)
    net = PISDM(replace(SMALL, classes=classes, padding=False))
    states = whole.state_dict(), net.state_dict()
    assert states[0].keys() - states[1].keys() == {"ends"}
    assert all(torch.equal(v, states[0][k]) for k, v in states[1].items())
    lengths: list[int] = []
    net.blocks[1].register_forward_hook(lambda module, given, out: lengths.append(out.shape[1]))
    assert net(pictures(1, 3, 9, 16), torch.zeros(1)).shape == (1, 3, 9, 16)
    assert lengths == [3 * 4 + 1 + bool(classes)]


@pytest.mark.parametrize("scan", SCANS)
def test_passages_chain_to_the_order_and_back(scan: str) -> None:
    tokens = torch.arange(2 + 15 + 1.0).view(1, -1, 1).requires_grad_()
    x, at = tokens, None
    for block in (0, 1, 5, 9, None):
        x = move(x, passage(scan, (at, block), 3, 5, 2, 1, "cpu"))
        at = block
        inner = torch.arange(15) if block is None else scan_order(scan, block, 3, 5)[0]
        assert x.flatten().tolist() == [0, 1, *(inner + 2).tolist(), 17]
    (x * torch.arange(18.0).view(1, -1, 1)).sum().backward()
    assert tokens.grad is not None
    assert tokens.grad.flatten().tolist() == list(range(18))


# --- the network ---


@pytest.mark.parametrize(("height", "width"), [(16, 16), (13, 22), (4, 4), (1, 1), (3, 40)])
@pytest.mark.parametrize("scan", SCANS)
def test_any_height_and_width(scan: str, height: int, width: int) -> None:
    net = random_net(replace(SMALL, scan=scan))
    for bands in (1, 3):
        x = pictures(2, bands, height, width)
        out, features = net.with_features(x, torch.zeros(2))
        assert out.shape == x.shape
        assert features.shape == (2, 16, -(-height // 4), -(-width // 4))
        assert bool(torch.isfinite(out).all())


def test_an_untrained_network_predicts_nothing_and_settings_that_cannot_be_are_refused() -> None:
    assert not bool(PISDM(SMALL)(pictures(1, 3, 8, 8), torch.zeros(1)).any())
    wrong: dict[str, Any]
    for wrong, words in (
        ({"depth": 4}, "odd; try 3"),
        ({"scan": "hilbert"}, "cross4"),
        ({"orders": -1}, "0 for all"),
        ({"head": 7}, "divide"),
    ):
        with pytest.raises(ValueError, match=words):
            PISDMConfig(**wrong)


def test_gradients_at_the_start_are_of_one_size() -> None:
    torch.manual_seed(0)
    net, x = PISDM(PISDMConfig((1,), width=32, depth=9, state=4, head=16)), pictures(2, 1, 16, 16)
    nn.init.normal_(net.head["1"].weight, std=0.1)  # type: ignore[arg-type]
    net(x, torch.zeros(2)).square().sum().backward()
    sizes = [float(p.grad.norm()) for n, p in net.named_parameters() if p.grad is not None and n.endswith("table")]
    assert len(sizes) == 9
    assert max(sizes) < 30 * min(sizes)


def test_pictures_of_a_batch_do_not_meet() -> None:
    net = random_net().double()
    x = pictures(3, 3, 12, 8).double()
    level = torch.tensor([-1.0, 0.5, 0.0], dtype=torch.float64)
    whole = net(x, level)
    for i in range(3):
        torch.testing.assert_close(net(x[i : i + 1], level[i : i + 1])[0], whole[i], rtol=0, atol=1e-12)
    level[1] = -0.5
    changed = (net(x, level) - whole).abs().amax((1, 2, 3))
    assert bool((changed[[0, 2]] < 1e-12).all())
    assert float(changed[1]) > 1e-4


def test_every_token_hears_of_every_other() -> None:
    net = random_net(replace(SMALL, local=0)).double()
    x = pictures(1, 1, 20, 12).double()
    before = net(x, torch.zeros(1).double())
    for row, column in ((0, 0), (8, 4), (16, 8), (0, 8)):
        changed = x.clone()
        changed[..., row : row + 4, column : column + 4] += 1
        differs = (net(changed, torch.zeros(1).double()) - before).abs()
        assert bool((down(differs, 4) > 0).all())


def test_gradients_are_those_of_differences() -> None:
    net = random_net(PISDMConfig((1,), width=8, depth=3, state=2, head=4, embed=8)).double()
    x = pictures(1, 1, 8, 8).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: net(z, torch.zeros(1).double()), (x,), fast_mode=True)
    vjp = torch.func.vjp(lambda z: net(z, torch.zeros(1).double()), x.detach())[1]
    weight = pictures(1, 1, 8, 8, seed=1).double()
    (expected,) = torch.autograd.grad(net(x, torch.zeros(1).double()), x, weight)
    torch.testing.assert_close(vjp(weight)[0], expected)


def test_bf16_stays_near_fp32() -> None:
    net, x = random_net(PISDMConfig(width=64, depth=5)), pictures(2, 3, 32, 32)
    expected = net(x, torch.zeros(2))
    with torch.autocast("cpu", torch.bfloat16):
        found = net(x, torch.zeros(2))
    assert float((found - expected).norm() / expected.norm()) < 0.03


def test_classes_and_guidance() -> None:
    config = replace(SMALL, classes=3)
    net, x, level = random_net(config), pictures(2, 3, 8, 8), torch.zeros(2)
    none = net(x, level)
    torch.testing.assert_close(net(x, level, torch.tensor([-1, -1])), none)
    mixed = net(x, level, torch.tensor([2, -1]))
    torch.testing.assert_close(mixed[1], none[1])
    assert float((mixed[0] - none[0]).abs().max()) > 1e-4
    with pytest.raises(ValueError, match="no classes"):
        random_net()(x, level, torch.tensor([0, 0]))

    of_class = EDM(partial(net, label=torch.tensor([1, 1])), 0.25)
    free = EDM(net, 0.25)
    for weight in (0.0, 1.0, 1.4):
        # In eps, as Ho and Salimans write it: eps_none + weight (eps_class - eps_none).
        eps = (x - free(x, 0.3)) / 0.3 + weight * (free(x, 0.3) - of_class(x, 0.3)) / 0.3
        torch.testing.assert_close(GuidedByClass(of_class, free, weight)(x, 0.3), x - 0.3 * eps)


def test_it_learns_a_picture_by_heart() -> None:
    torch.manual_seed(0)
    net = PISDM(PISDMConfig((1,), width=32, depth=3, state=8, head=16, embed=32))
    x0, rng = pictures(1, 1, 16, 16).expand(4, -1, -1, -1) - 0.5, torch.Generator().manual_seed(0)
    optimizer, losses = torch.optim.Adam(net.parameters(), lr=3e-3), []
    for _ in range(150):
        noise, c_noise = torch.randn(x0.shape, generator=rng), torch.rand(4, generator=rng) - 0.5
        loss = (net((x0 + (4 * c_noise).exp().view(-1, 1, 1, 1) * noise), c_noise) - x0).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-10:]) < 0.15 * sum(losses[:10])
    assert all(bool(p.grad is not None) for p in net.parameters())


@pytest.mark.gpu
@pytest.mark.parametrize("half", [False, True])
def test_both_scans_give_the_same_picture_on_a_gpu(half: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if ssd.kernel() is None:
        pytest.skip("mamba-ssm is not installed")
    net, clean = random_net(PISDMConfig(width=128, depth=5)).cuda(), pictures(1, 3, 60, 72).cuda()
    found = []
    for backend in ("torch", "mamba_ssm"):
        monkeypatch.setenv("RESTOREKIT_SCAN", backend)
        found.append(EDM(Network(net, half), 0.25)(clean, 0.2))
    assert psnr(*(x[0].cpu().numpy() for x in found)) > 50


# --- its place among the priors ---


def spec(config: PISDMConfig) -> PriorSpec:
    arch = {"kind": "pisdm", **{k: list(v) if isinstance(v, tuple) else v for k, v in asdict(config).items()}}
    return PriorSpec("toy", arch, 0.25, 0.45)


def test_a_checkpoint_comes_back_and_is_a_prior(tmp_path: Path) -> None:
    config = replace(SMALL, classes=3)
    path = tmp_path / "toy.safetensors"
    checkpoint.save(path, random_net(config).state_dict(), spec(config), torch.float32)
    net, found = checkpoint.load(path)
    assert (found.config, found.bands) == (config, (1, 3))
    assert isinstance(net, PISDM)
    x = pictures(1, 3, 13, 9)
    torch.testing.assert_close(net(x, torch.zeros(1)), random_net(config)(x, torch.zeros(1)))
    prior = load_prior(str(path), precision="fp32")
    assert prior(x, 0.3).shape == x.shape
    assert float((prior(x, 1e-4) - x).abs().max()) < 1e-3
    classed = load_prior(str(path), precision="fp32", label=2)
    assert float((classed(x, 0.3) - prior(x, 0.3)).abs().max()) > 1e-5
    with pytest.raises(BadInput, match="from 0 to 2"):
        load_prior(str(path), label=3)
    assert isinstance(prior.network, Tiled)  # larger pictures in windows of twice the side of the training
    assert (prior.network.tile, prior.network.halo, prior.network.blend) == (32, 4, 4)
    assert prior(pictures(1, 3, 40, 37), 0.3).shape == (1, 3, 40, 37)


@pytest.mark.parametrize("change", [{"depth": 4}, {"heads": 4}])
def test_a_header_that_cannot_be_built_is_told_in_one_line(change: dict[str, int], tmp_path: Path) -> None:
    path, bad = tmp_path / "toy.safetensors", spec(SMALL)
    checkpoint.save(path, random_net().state_dict(), PriorSpec("toy", bad.arch | change, 0.25))
    with pytest.raises(BadInput, match=r"^[^\n]+$"):
        load_prior(str(path))


def test_the_configuration_is_small_enough_and_trains(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for i in range(2):
        iio.imwrite(tmp_path / "in" / f"{i}.png", rng.integers(0, 256, (70, 80, 3), np.uint8))
    settings = {"optim.steps": 2, "optim.batch": 2, "optim.warmup": 1, "data.grey_every": 2}
    config = read_config(CONFIGS_FOLDER / "mamba.yaml", **settings)
    assert isinstance(config.model, PISDMConfig)
    path = train(config, tmp_path / "in", tmp_path / "out", quiet=True)
    assert path.stat().st_size < 14e6
    net, found = checkpoint.load(path)
    assert isinstance(net, PISDM)
    assert found.config == config.model
    train(read_config(CONFIGS_FOLDER / "mamba.yaml", **settings | {"optim.steps": 3}), tmp_path / "in", tmp_path / "out",
          resume=True, quiet=True)  # fmt: skip
    assert checkpoint.read_spec(path).training["steps"] == 3


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("{kind: transformer}", "model: kind is unknown; it is one of unet, pisdm"),
        ("{kind: pisdm, depth: 4}", "model: depth=4 must be odd"),
        ("{kind: pisdm, widths: [4]}", r"model\.widths: .*known here: bands, kind, patch, width"),
        ("{kind: pisdm, side: 32}", "model.side=32 must be data.crop=64"),
        ("{kind: pisdm, scan: rows}", "model.scan: .*cross4"),
    ],
)
def test_configurations_that_cannot_be(model: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(f"model: {model}\n")
    with pytest.raises(BadInput, match=words):
        read_config(tmp_path / "c.yaml")
