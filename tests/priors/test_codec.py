"""The codec: network, code book, standardised latents, file."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.bench.priors.reconstruction import reconstruction
from restorekit.errors import BadInput
from restorekit.metrics.fidelity import psnr, ssim
from restorekit.priors.find import load_codec, load_prior, shipped
from restorekit.priors.formats.checkpoint import PriorSpec, load, save
from restorekit.priors.networks import codebook
from restorekit.priors.networks.codebook import Codebook, perplexity
from restorekit.priors.networks.ivqvae import Attention, Codec, CodecConfig, CodecNet, reconstruct

F64 = torch.float64
SMALL = CodecConfig((1, 3), width=4, multipliers=(1, 2), blocks=1, attention=4, side=16, codes=8)


def random_net(config: CodecConfig = SMALL, seed: int = 0) -> CodecNet:
    """With its zero-initialised layers made random, so that every path carries something; float64."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = CodecNet(config)
        for module in net.modules():
            if isinstance(module, nn.Conv2d) and not bool(module.weight.any()):
                nn.init.normal_(module.weight, std=0.2)
    return net.double().eval().requires_grad_(False)


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


# --- the network ---


@pytest.mark.parametrize("factor", [4, 8, 16, 32, 64])
@pytest.mark.parametrize("regulariser", ["vq", "kl", "none"])
def test_a_latent_is_smaller_by_f_and_comes_back(factor: int, regulariser: str) -> None:
    net = random_net(replace(SMALL, factor=factor, channels=3, regulariser=regulariser))  # type: ignore[arg-type]
    for bands in (1, 3):
        x = rand(2, bands, factor, 2 * factor)
        z = net.encode(x)
        assert z.shape == (2, 3, 1, 2)
        assert net.decode(z, bands=bands).shape == x.shape
        assert (net.quantise(z)[1] is not None) == (regulariser == "vq")
    assert net.decode(z).shape[1] == 3


def test_sides_that_do_not_fit_are_refused_with_the_way_out() -> None:
    net = random_net()
    with pytest.raises(ValueError, match=r"picture of 9x8 .*by f=4: mirror it to 12x8 .*ivqvae\.reconstruct"):
        net.encode(rand(1, 3, 9, 8))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"factor": 2}, "factor=2 is unknown; it is one of 4, 8, 16, 32, 64"),
        ({"multipliers": ()}, "multipliers must be positive"),
        ({"channels": 0}, "must be positive"),
        ({"regulariser": "vae"}, "regulariser='vae' is unknown; it is vq, kl or none"),
        ({"codes": 1}, "codes=1 is no code book"),
        ({"width": 65, "multipliers": (1,)}, "65 channels do not part into heads of at most 64"),
        ({"mean": (1.0, 2.0)}, "mean must have a number for each of the 4 channels"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(SMALL, **settings)  # type: ignore[arg-type]


def test_the_last_multiplier_is_kept_and_small_features_attend() -> None:
    config = CodecConfig(factor=32, width=8, multipliers=(1, 2, 3), attention=16, side=64)
    assert config.widths == (8, 16, 24, 24, 24, 24)
    assert config.attends == (False, False, True, True, True, True)
    assert not any(replace(config, attention=0).attends)
    assert config.bits(64, 64) == 4 * 10  # 2 x 2 positions, 1024 codes
    assert len([m for m in CodecNet(config).modules() if isinstance(m, Attention)]) == 2 * 4


@pytest.mark.parametrize(("width", "heads"), [(8, 1), (96, 2)])
def test_attention_is_the_formula(width: int, heads: int) -> None:
    net = Attention(width).double()
    nn.init.normal_(net.out.weight)
    x, bias = randn(2, width, 3, 5), net.qkv.bias
    assert bias is not None
    assert net.out.bias is not None
    with torch.no_grad():
        found = net(x) - x
        y = F.layer_norm(x.permute(0, 2, 3, 1), (width,)).reshape(2, 15, width)
        q, k, v = (y @ w.T + b for w, b in zip(net.qkv.weight[..., 0, 0].chunk(3), bias.chunk(3)))
        parts = []
        for one in range(heads):
            a, b, c = (t[..., one * width // heads : (one + 1) * width // heads] for t in (q, k, v))
            parts.append((a @ b.transpose(1, 2) / (width / heads) ** 0.5).softmax(-1) @ c)
        out = torch.cat(parts, -1) @ net.out.weight[..., 0, 0].T + net.out.bias
    torch.testing.assert_close(found, out.transpose(1, 2).unflatten(2, (3, 5)), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("attention", "same"), [(0, True), (4, False)])
def test_without_attention_a_part_is_coded_as_in_the_whole(attention: int, same: bool) -> None:
    net = random_net(replace(SMALL, attention=attention, regulariser="none"))
    x = rand(1, 3, 16, 96)
    whole, part = net.encode(x), net.encode(x[..., 16:80])
    error = float((whole[..., 4:20] - part)[..., 6:-6].abs().max())  # 24 pixels from the cut: beyond what it sees
    assert (error < 1e-12) == same


def test_the_function_that_weights_stand_for_is_fixed() -> None:
    # Weights and inputs without a random generator; a change of these numbers makes trained codecs wrong.
    net = CodecNet(SMALL).double()
    with torch.no_grad():
        for i, (_, weight) in enumerate(sorted(net.named_parameters())):
            weight.copy_(0.5 * torch.arange(weight.numel(), dtype=F64).add(i).sin().view_as(weight))
        x = torch.arange(3 * 64, dtype=F64).sin().add(1).div(2).view(1, 3, 8, 8)
        z = net.encode(x)
        out = net.decode(z, quantise=False)
    assert z.flatten()[[0, 5, -1]].tolist() == pytest.approx(GOLDEN[0], rel=1e-9)
    assert out.flatten()[[0, 50, -1]].tolist() == pytest.approx(GOLDEN[1], rel=1e-9)


GOLDEN = ([-2.85504341567, 1.33668308124, 0.866813447449], [-3.26903827558, -2.18197971834, 0.637290372871])


def test_decoder_gradients_are_those_of_differences() -> None:
    net, z = random_net(), randn(1, 4, 2, 2).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda t: net.decode(t, quantise=False, bands=1), z)
    x = rand(1, 1, 8, 8).requires_grad_(True)
    assert torch.autograd.gradcheck(net.encode, x)


# --- the code book ---


@pytest.mark.parametrize("at_once", [2**24, 20])
def test_nearest_is_the_nearest(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codebook, "AT_ONCE", at_once)
    book, z = Codebook(8, 3).double(), 2 * randn(2, 3, 4, 5)
    distance = (z[:, None] - book.codes[None, :, :, None, None]).square().sum(2)
    assert torch.equal(book.nearest(z), distance.argmin(1))


def test_nearest_is_exact_under_autocast() -> None:
    book = Codebook(2, 1)
    book.codes.copy_(torch.tensor([[100.0], [100.1]]))  # one number in bf16
    z = torch.tensor([100.0, 100.04, 100.06, 100.1]).view(1, 1, 2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert book.nearest(z).flatten().tolist() == [0, 0, 1, 1]


def test_values_are_codes_and_gradients_go_straight_through() -> None:
    net, z = random_net(), randn(2, 4, 2, 2).requires_grad_(True)
    codes, index, loss = net.quantise(z)
    assert net.book is not None
    assert index is not None
    assert torch.equal(codes, net.book.codes[index].movedim(-1, 1))
    assert float((codes - z).detach().abs().max()) > 0.1
    weight = rand(2, 3, 8, 8)
    at = codes.detach().requires_grad_(True)
    (plain,) = torch.autograd.grad(net.decode(at, quantise=False), at, weight)
    (through,) = torch.autograd.grad(net.decode(z), z, weight)
    torch.testing.assert_close(through, plain, rtol=0, atol=1e-12)
    assert torch.equal(net.decode(z), net.decode(codes, quantise=False))
    # beta is on the side of the encoder.
    (pull,) = torch.autograd.grad(loss, z)
    torch.testing.assert_close(pull, 2 * 0.25 * (z - codes).detach() / z.numel())
    assert float(loss) == pytest.approx(0.25 * float((z - codes).square().mean()))


def test_codes_become_the_means_of_what_takes_them() -> None:
    book = Codebook(4, 2).double()
    book.codes.copy_(torch.tensor([[1.0, 0], [-1, 0], [0, 5], [9, 9]]))
    book.share.fill_(0.25)
    z = torch.cat([randn(50, 2) * 0.1 + at for at in torch.tensor([[2.0, 0], [-2, 0], [0, 4]])])
    rows = z.T.reshape(1, 2, 10, 15)
    for _ in range(1000):
        book.learn(rows, book.nearest(rows))
    means = torch.stack([part.mean(0) for part in z.split(50)])
    # 0.98^1000 = 2e-9 of the beginning is left.
    torch.testing.assert_close(book.codes[:3], means, rtol=0, atol=1e-7)
    torch.testing.assert_close(book.share, torch.tensor([1, 1, 1, 0], dtype=F64) / 3, rtol=0, atol=1e-7)
    assert book.codes[3].tolist() == pytest.approx([9, 9])  # nothing takes it


def test_one_step_is_a_running_mean() -> None:
    book = Codebook(2, 1).double()
    book.codes.copy_(torch.tensor([[0.0], [10]]))
    book.share.copy_(torch.tensor([0.6, 0.4]))
    z = torch.tensor([1.0, 1, 2, 12], dtype=F64).view(1, 1, 2, 2)
    book.learn(z, book.nearest(z))
    share = 0.98 * np.array([0.6, 0.4]) + 0.02 * np.array([0.75, 0.25])
    codes = (0.98 * np.array([0.0, 4]) + 0.02 * np.array([4, 12]) / 4) / share
    assert book.share.tolist() == pytest.approx(share.tolist())
    assert book.codes.flatten().tolist() == pytest.approx(codes.tolist())


def test_a_book_begins_with_the_data_and_moves_what_is_unused() -> None:
    book, z = Codebook(6, 2).double(), randn(1, 2, 4, 4)
    rows = {tuple(row) for row in codebook.positions(z).tolist()}
    book.begin(z, 0)
    first = book.codes.clone()
    assert {tuple(row) for row in first.tolist()} <= rows
    assert len({tuple(row) for row in first.tolist()}) == 6
    book.begin(z + 1, 0)  # a book that has begun stays as it is
    assert torch.equal(book.codes, first)
    assert book.revive(z, 0) == 0
    book.share[[1, 4]] = 0.04 / 6
    other = randn(1, 2, 4, 4, seed=1)
    same, different = Codebook(6, 2).double(), Codebook(6, 2).double()
    for copy in (same, different):
        copy.load_state_dict(book.state_dict())
    assert book.revive(other, 5) == same.revive(other, 5) == different.revive(other, 6) == 2
    assert torch.equal(book.codes, same.codes)
    assert not torch.equal(book.codes, different.codes)
    assert torch.equal(book.codes[[0, 2, 3, 5]], first[[0, 2, 3, 5]])
    assert {tuple(row) for row in book.codes[[1, 4]].tolist()} <= {tuple(r) for r in codebook.positions(other).tolist()}
    assert book.revive(other, 7) == 0  # they are given time
    many = Codebook(50, 2).double()
    many.begin(z, 0)  # more codes than positions
    assert {tuple(row) for row in many.codes.tolist()} == rows


def test_perplexity_counts_codes_that_are_used_alike() -> None:
    assert perplexity(torch.tensor([3, 3, 3, 0])) == pytest.approx(3)
    assert perplexity(torch.tensor([7, 0])) == pytest.approx(1)
    assert perplexity(torch.tensor([1, 3])) == pytest.approx(2 / (0.5 * 3**0.75))  # exp(ln 4 - 3/4 ln 3)


# --- standardised latents, any size, files ---


def test_standardising_changes_nothing_but_the_unit() -> None:
    net, x = random_net(), rand(2, 3, 8, 12)
    mean, std = rand(4), 0.5 + rand(4, seed=1)
    codec, z = Codec(net, mean, std), net.encode(x)
    standard = codec.encode(x)
    torch.testing.assert_close(standard, (z - mean.view(4, 1, 1)) / std.view(4, 1, 1))
    for quantise in (True, False):
        torch.testing.assert_close(codec.decode(standard, quantise), net.decode(z, quantise))
    codes, index, _ = codec.quantise(standard)
    assert torch.equal(index, net.quantise(z)[1])  # type: ignore[arg-type]
    torch.testing.assert_close(codec.decode(codes, quantise=False), net.decode(z))
    assert (codec.factor, codec.channels) == (4, 4)


def test_any_size_is_mirrored_coded_and_cut() -> None:
    net, x = random_net(), rand(2, 1, 9, 14)
    found, index = reconstruct(net, x)
    padded = torch.from_numpy(np.pad(x.numpy(), ((0, 0), (0, 0), (0, 3), (0, 2)), mode="symmetric"))
    torch.testing.assert_close(found, net.decode(net.encode(padded), bands=1)[..., :9, :14])
    assert index is not None
    assert index.shape == (2, 3, 4)
    found, index = reconstruct(net, x, quantise=False)
    assert index is None
    torch.testing.assert_close(found, net.decode(net.encode(padded), quantise=False, bands=1)[..., :9, :14])


def test_a_file_comes_back_and_is_no_prior(tmp_path: Path) -> None:
    path, net = tmp_path / "codec.safetensors", random_net()
    config = replace(SMALL, mean=(0.1, 0.2, 0.3, 0.4), std=(1.0, 2.0, 3.0, 4.0))
    spec = PriorSpec("small", {"kind": "codec", **asdict(config)}, 0.25)
    save(path, net.state_dict(), spec, torch.float64)
    found, read = load(path)
    assert isinstance(found, CodecNet)
    assert found.config == read.config == config
    codec = load_codec(str(path))
    assert codec.mean.tolist() == pytest.approx(config.mean)
    assert codec.std.tolist() == pytest.approx(config.std)
    assert codec.label.startswith("small@")
    x = rand(1, 3, 8, 8)
    # Loaded in float32: rounding of 6e-8 that a few layers carry on.
    torch.testing.assert_close(codec.net.encode(x.float()), net.encode(x).float(), rtol=0, atol=1e-4)
    with pytest.raises(BadInput, match=r"codec\.safetensors is a codec and denoises nothing: .*load_codec"):
        load_prior(str(path))
    with pytest.raises(BadInput, match="natural is a denoiser and no codec"):
        load_codec("natural")
    with pytest.raises(BadInput, match="is no codec"):
        load_codec(str(tmp_path))
    assert "natural" in shipped()


def test_half_precision_weights_lose_little(tmp_path: Path) -> None:
    path, net, x = tmp_path / "codec.safetensors", random_net(), rand(1, 3, 16, 16)
    save(path, net.state_dict(), PriorSpec("small", {"kind": "codec", **asdict(SMALL)}, 0.25))
    lost = load_codec(str(path)).net.encode(x.float()) - net.encode(x).float()
    assert 0 < float(lost.abs().max()) < 0.02 * float(net.encode(x).abs().max())  # 2^-11 per weight, some 100 of them


def test_reconstruction_is_measured_over_all_pictures() -> None:
    net = random_net()
    codec = Codec.of(net)
    pictures = [rand(3, 8, 12, seed=i).numpy() for i in range(3)] + [rand(1, 16, 13).numpy()]
    measured = reconstruction(Codec.of(net.float()), pictures)
    assert set(measured) == {"quantised", "not quantised"}
    inputs = [torch.from_numpy(p)[None].float() for p in pictures]
    for way, found in measured.items():
        back = [reconstruct(codec.net, x, quantise=way == "quantised") for x in inputs]
        restored = [y[0].clamp(0, 1).double().numpy() for y, _ in back]
        assert found["psnr"] == pytest.approx(np.mean([psnr(y, p) for y, p in zip(restored, pictures)]), rel=1e-5)
        assert found["ssim"] == pytest.approx(np.mean([ssim(y, p) for y, p in zip(restored, pictures)]), rel=1e-4)
        assert found["l1"] == pytest.approx(
            np.mean([np.abs(y - p).mean() for y, p in zip(restored, pictures)]), rel=1e-5
        )
    assert measured["not quantised"].keys() == {"psnr", "ssim", "l1"}
    assert abs(measured["quantised"]["psnr"] - measured["not quantised"]["psnr"]) > 1e-3
    found, numbers = measured["quantised"], [reconstruct(codec.net, x)[1] for x in inputs]
    counts = np.bincount(np.concatenate([i.flatten().numpy() for i in numbers if i is not None]), minlength=8)
    assert found["used"] == (counts > 0).mean()
    p = counts[counts > 0] / counts.sum()
    assert found["perplexity"] == pytest.approx(np.exp(-(p * np.log(p)).sum()))
    assert found["bits"] == (3 * 6 + 16) / 4 * 3
    plain = reconstruction(Codec.of(random_net(replace(SMALL, regulariser="none")).float()), pictures)
    assert {way: set(found) for way, found in plain.items()} == {"not quantised": {"psnr", "ssim", "l1"}}
    with pytest.raises(BadInput, match="1 or 3 bands, one has 2; pick bands"):
        reconstruction(codec, [np.zeros((2, 8, 8))])
    with pytest.raises(BadInput, match="no pictures"):
        reconstruction(codec, [])
