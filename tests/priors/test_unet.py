from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from restorekit.errors import BadInput
from restorekit.priors.find import bf16_pays
from restorekit.priors.formats.checkpoint import PriorSpec, load, save
from restorekit.priors.networks.unet import UNet, UNetConfig
from restorekit.priors.precond import EDM
from restorekit.priors.wrappers import Padded, Tiled

CONFIGS = {
    "two-levels": UNetConfig((1, 3), (4, 6), embed=8),
    "three-levels": UNetConfig((1, 3), (4, 6, 8), middle=0, embed=8),
    "deep": UNetConfig((1,), (4, 6), blocks=2, middle=2, embed=8),
    "patch-2": UNetConfig((1, 3), (4, 6), patch=2, embed=8),
    "patch-4": UNetConfig((1, 3), (6,), patch=4, embed=8),
    "gated": UNetConfig((1, 3), (4, 6, 8), blocks=(1, 2, 1), embed=8, block="gated"),
    "gated-patch-2": UNetConfig((1,), (4, 6), middle=0, patch=2, embed=8, block="gated"),
}


GOLDEN = {  # of this code, once `natural` had been trained and measured with it
    "two-levels": [0.269765448068, 0.0434642519885, -0.697288226882],
    "deep": [-0.370924765135, -0.725717405318, -0.479719350524],
    "patch-2": [0.391272606247, -0.266156660818, 0.480666319494],
    "gated": [4.28856795668631, -20.2598767746588, 20.9717557663935],
}


def random_unet(config: UNetConfig, seed: int = 0) -> UNet:
    """With its zero-initialised layers made random, so that every path carries something."""
    torch.manual_seed(seed)
    net = UNet(config)
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and not bool(module.weight.any()):
            nn.init.normal_(module.weight, std=0.2)
    return net.eval().requires_grad_(False)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_output_has_the_shape_of_the_input(config: UNetConfig) -> None:
    net, step = random_unet(config), config.multiple
    for bands in config.bands:
        x = torch.rand(2, bands, 2 * step, 3 * step)
        assert net(x, torch.zeros(2)).shape == x.shape


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_an_untrained_network_predicts_nothing(config: UNetConfig) -> None:
    x = torch.rand(1, config.bands[0], config.multiple, config.multiple)
    assert not bool(UNet(config)(x, torch.zeros(1)).any())  # its last layer starts at zero


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_receptive_radius_is_a_true_bound_and_not_a_loose_one(config: UNetConfig) -> None:
    net, radius, step = random_unet(config).double(), config.receptive_radius, config.multiple
    side = 2 * radius + 4 * step
    x = torch.rand(1, config.bands[0], side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    level = torch.zeros(1, dtype=torch.float64)
    before, reach = net(x, level), 0
    axis = torch.arange(side)
    for at in (side // 2, side // 2 + 1, side // 2 + step - 1):  # a pixel's place in the grid of the network matters
        changed = x.clone()
        changed[0, 0, at, at] += 5
        differs = (net(changed, level) - before).abs().amax((0, 1)) > 0
        distance = torch.maximum((axis - at).abs()[:, None], (axis - at).abs())
        reach = max(reach, int(distance[differs].max()))
    assert radius / 4 < reach <= radius


@pytest.mark.parametrize(("kind", "expected"), GOLDEN.items(), ids=GOLDEN)
def test_the_function_that_weights_stand_for_is_fixed(kind: str, expected: list[float]) -> None:
    # Weights and inputs without a random generator; a change of these numbers makes shipped checkpoints wrong.
    config = CONFIGS[kind]
    net, step = UNet(config).double(), config.multiple
    with torch.no_grad():
        for i, (_, weight) in enumerate(sorted(net.named_parameters())):
            weight.copy_(0.5 * torch.arange(weight.numel(), dtype=torch.float64).add(i).sin().view_as(weight))
        x = torch.arange(config.bands[-1] * 4 * step**2, dtype=torch.float64).sin().view(1, -1, 2 * step, 2 * step)
        out = net(x, torch.tensor([-0.7], dtype=torch.float64)).flatten()
    assert out[[0, 3, -1]].tolist() == pytest.approx(expected, rel=1e-9)


def test_blocks_may_be_said_for_each_resolution() -> None:
    net = UNet(UNetConfig((3,), (4, 6, 8), blocks=(1, 3, 2), middle=1, embed=8, block="gated"))
    stages = ([*net.enc], [net.mid], [*net.dec])
    counts = [[len(stage.blocks) for stage in part] for part in stages]  # pyright: ignore[reportArgumentType]
    assert counts == [[1, 3, 2], [1], [1, 3]]
    same = [UNet(UNetConfig((3,), (4, 6), blocks=blocks, embed=8)).state_dict() for blocks in (2, (2, 2))]
    assert [(k, v.shape) for k, v in same[0].items()] == [(k, v.shape) for k, v in same[1].items()]


@pytest.mark.parametrize("kind", ["two-levels", "gated"])
def test_a_network_comes_back_from_its_checkpoint(kind: str, tmp_path: Path) -> None:
    net, arch = random_unet(CONFIGS[kind]), {"kind": "unet", **vars(CONFIGS[kind])}
    save(tmp_path / "toy.safetensors", net.state_dict(), PriorSpec("toy", arch, 0.25))
    found, spec = load(tmp_path / "toy.safetensors")
    assert spec.config == CONFIGS[kind]
    expected = {name: value.half().float() for name, value in net.state_dict().items()}
    assert all(torch.equal(value, expected[name]) for name, value in found.state_dict().items())


@pytest.mark.parametrize(
    ("settings", "words"), [({"blocks": (1, 2, 3)}, "blocks=[1, 2, 3]"), ({"block": "odd"}, "normed, gated")]
)
def test_networks_that_cannot_be_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=re.escape(words)):
        UNetConfig((3,), (4, 6), **settings)


@pytest.mark.parametrize("kind", ["two-levels", "gated"])
def test_the_noise_level_of_one_picture_leaves_the_others_alone(kind: str) -> None:
    net = random_unet(CONFIGS[kind]).double()
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    both = net(x, torch.tensor([-1.0, 0.5], dtype=torch.float64))
    other = net(x, torch.tensor([-1.0, -0.5], dtype=torch.float64))
    torch.testing.assert_close(both[0], other[0], rtol=0, atol=1e-12)
    assert float((both[1] - other[1]).abs().max()) > 1e-3


@pytest.mark.parametrize("kind", ["two-levels", "gated"])
@pytest.mark.parametrize("tile", [16, 32, 48])
@pytest.mark.parametrize(("height", "width"), [(70, 90), (17, 110)])
def test_tiles_give_the_whole_picture(kind: str, tile: int, height: int, width: int) -> None:
    config = CONFIGS[kind]
    whole = Padded(EDM(random_unet(config), 0.25), config.multiple)
    tiled = Tiled(whole, tile, config.receptive_radius, 2 * config.multiple)  # as load_prior builds it
    x = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))
    for sigma in (0.05, 2.0):
        expected = whole(x, sigma)
        assert float((expected - x).abs().max()) > 1e-3
        # float32 convolutions of other sizes sum in another order: 1e-7 times the largest value (about 3), grown by
        # the layers.
        torch.testing.assert_close(tiled(x, sigma), expected, rtol=0, atol=1e-5)


def test_a_halo_below_the_radius_shows() -> None:
    config = UNetConfig((1,), (4, 6), embed=8)
    whole = EDM(random_unet(config), 0.25)
    x = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    assert float((Tiled(whole, 16, 4)(x, 0.5) - whole(x, 0.5)).abs().max()) > 1e-4


def watched_tiles(calls: list[bool], kind: str = "two-levels") -> tuple[Padded, Tiled]:
    """A float64 denoiser that notes whether each of its calls builds a graph, and itself in tiles, as load_prior does."""
    config = CONFIGS[kind]
    inner = EDM(random_unet(config).double(), 0.25)

    def watched(x: Tensor, sigma: float | Tensor, /) -> Tensor:
        calls.append(torch.is_grad_enabled() and x.requires_grad)
        return inner(x, sigma)

    whole = Padded(watched, config.multiple)
    return whole, Tiled(whole, 16, config.receptive_radius, 2 * config.multiple)


@pytest.mark.parametrize("kind", ["two-levels", "gated"])
def test_gradients_through_tiles_are_those_of_the_whole_and_keep_no_graph(kind: str) -> None:
    calls: list[bool] = []
    whole, tiled = watched_tiles(calls, kind)
    x, weight = torch.rand(2, 2, 1, 40, 70, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def gradient(denoise: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, float]:
        kept: list[Tensor] = []
        leaf = x.clone().requires_grad_(True)
        with saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):  # type: ignore[func-returns-value]
            out = denoise(leaf, torch.tensor([0.1, 0.7], dtype=torch.float64))
        bytes_kept = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in kept}  # views count once
        return torch.autograd.grad(out, leaf, weight)[0], sum(bytes_kept.values()) / x.nbytes

    expected, plain = gradient(whole)
    calls.clear()
    found, in_tiles = gradient(tiled)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    assert in_tiles < 4  # pictures' worth: x, and one-band weights that overlap
    assert plain > 10 * in_tiles  # with all activations
    assert calls == [True] * 2 * 15  # each of 3 x 5 windows again in the backward pass
    calls.clear()
    tiled(x, 0.1)
    with torch.no_grad():
        tiled(x.clone().requires_grad_(True), 0.1)
    assert calls == [False] * 2 * 15


def test_tiles_can_be_differentiated_twice_and_by_torch_func() -> None:
    whole, tiled = watched_tiles([])
    x = torch.rand(1, 1, 20, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected, found = (torch.func.vjp(lambda z, d=d: d(z, 0.1), x)[1](x)[0] for d in (whole, tiled))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    second = []
    for denoise in (whole, tiled):
        leaf = x.clone().requires_grad_(True)
        (first,) = torch.autograd.grad(denoise(leaf, 0.1).square().sum(), leaf, create_graph=True)
        second.append(torch.autograd.grad(first.square().sum(), leaf)[0])
    torch.testing.assert_close(second[1], second[0], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (9, 0), (12, 0)])
def test_bf16_pays_from_compute_capability_8_on(capability: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)  # as on a T4, which emulates it
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert bf16_pays(torch.device("cuda", 0)) == (capability >= (8, 0))


@pytest.mark.parametrize("unit", ["amx_tile", "avx512_bf16"])
def test_bf16_pays_on_a_cpu_that_computes_it(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"_is_{name}_supported" for name in ("amx_tile", "avx512_bf16")]
    for there in (True, False):
        for name in names:
            monkeypatch.setattr(torch.cpu, name, lambda yes=there and unit in name: yes, raising=False)
        assert bf16_pays(torch.device("cpu")) is there
        assert not bf16_pays(torch.device("meta"))
    for name in names:
        monkeypatch.delattr(torch.cpu, name)
    assert not bf16_pays(torch.device("cpu"))
