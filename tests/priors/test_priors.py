from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit import operators as ops
from restorekit.bench.posterior.exam_gaussian import GaussianExam
from restorekit.errors import BadInput
from restorekit.priors import find as library
from restorekit.priors.analytic import GaussianMixture, GaussianPrior, dense, from_basis, to_basis
from restorekit.priors.find import load_prior
from restorekit.priors.formats import checkpoint
from restorekit.priors.networks.unet import UNetConfig
from restorekit.priors.precond import EDM
from restorekit.priors.wrappers import ChannelWise, EnsembleFlip, Padded, Tiled
from tests.priors.test_unet import random_unet
from tests.support.cases import mask

F64 = torch.float64
SMALL = UNetConfig((1, 3), (4, 6), embed=8)


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def gaussian_prior(basis: str, shape: tuple[int, int, int] = (2, 4, 5)) -> GaussianPrior:
    """Variances without any symmetry between the bins, but equal where a real picture needs it: nowhere, in `pack`."""
    return GaussianPrior(rand(*shape), 0.01 + rand(*shape, seed=1), basis)  # type: ignore[arg-type]


# --- analytic priors ---


@pytest.mark.parametrize("basis", ["pixel", "dct", "fft"])
def test_bases_are_orthonormal(basis: str) -> None:
    for shape in ((1, 3, 4), (1, 1, 5), (2, 4, 1)):
        n = math.prod(shape)
        rows = to_basis(torch.eye(n, dtype=F64).view(n, *shape), basis).flatten(1)
        torch.testing.assert_close(rows @ rows.T, torch.eye(n, dtype=F64), rtol=0, atol=1e-12)
        torch.testing.assert_close(from_basis(to_basis(rand(2, *shape), basis), basis), rand(2, *shape))


@pytest.mark.parametrize("basis", ["pixel", "dct", "fft"])
def test_gaussian_denoiser_is_the_wiener_filter(basis: str) -> None:
    prior, x = gaussian_prior(basis), rand(3, 2, 4, 5, seed=2)
    c = prior.covariance()
    torch.testing.assert_close(c, c.T)
    sigma = torch.tensor([0.01, 0.4, 7.0], dtype=F64)
    for i, s in enumerate(sigma):
        gain = torch.linalg.solve(c + s**2 * torch.eye(40, dtype=F64), c).T
        expected = prior.mean + (gain @ (x[i] - prior.mean).flatten()).view(2, 4, 5)
        torch.testing.assert_close(prior(x, sigma)[i], expected)
        torch.testing.assert_close(prior(x[i : i + 1], float(s))[0], expected)


@pytest.mark.parametrize("basis", ["pixel", "dct", "fft"])
def test_samples_have_the_covariance(basis: str) -> None:
    prior = gaussian_prior(basis, (1, 2, 3))
    x = prior.sample(40_000, torch.Generator().manual_seed(0)).flatten(1)
    c = prior.covariance()
    # Five standard errors of an entry: sqrt((c_ii c_jj + c_ij^2) / n), at most sqrt(2 / n) of the largest variance.
    assert float((x.T.cov() - c).abs().max()) < 5 * math.sqrt(2 / 40_000) * float(c.diagonal().max())
    assert float((x.mean(0) - prior.mean.flatten()).abs().max()) < 5 * math.sqrt(float(c.diagonal().max()) / 40_000)


@pytest.mark.parametrize("basis", ["pixel", "dct", "fft"])
def test_gaussian_posterior_is_the_weighted_least_squares_solution(basis: str) -> None:
    # In information form, while the code uses the gain: (C^-1 + A'A / s^2)^-1 and its mean.
    prior, operator = gaussian_prior(basis), ops.BlockAverage((2, 4, 5), 2)
    a, c = dense(operator, prior.mean), prior.covariance()
    y = rand(2, *operator(prior.mean[None]).shape[1:], seed=4)
    precision = torch.linalg.inv(c) + a.T @ a / 0.1**2
    mean, covariance = prior.posterior(operator, y, 0.1)
    torch.testing.assert_close(covariance, torch.linalg.inv(precision), rtol=1e-8, atol=1e-10)
    right = y.flatten(1) @ a / 0.1**2 + prior.mean.flatten() @ torch.linalg.inv(c)
    expected = torch.linalg.solve(precision, right.T).T.view(2, 2, 4, 5)
    torch.testing.assert_close(mean, expected, rtol=1e-8, atol=1e-10)


def test_conditioned_denoiser_is_the_wiener_filter_of_the_posterior() -> None:
    prior, operator = GaussianPrior.smooth((1, 4, 4)), ops.Inpaint((1, 4, 4), mask(1, 4, 4))
    y, x = rand(1, 1, 4, 4), rand(2, 1, 4, 4, seed=1)
    mean, c = prior.posterior(operator, y, 0.05)
    sigma = torch.tensor([0.02, 1.0], dtype=F64)
    found = GaussianExam(operator, 0.05, prior).conditioned(y)(x, sigma)
    for i, s in enumerate(sigma):
        gain = torch.linalg.solve(c + s**2 * torch.eye(16, dtype=F64), c).T
        torch.testing.assert_close(found[i].flatten(), mean.flatten() + gain @ (x[i] - mean[0]).flatten())


def mixture(basis: str = "pixel") -> GaussianMixture:
    means, variances = rand(3, 1, 3, 2), 0.01 + 0.2 * rand(3, 1, 3, 2, seed=1)
    return GaussianMixture(torch.tensor([0.2, 0.5, 0.3], dtype=F64), means, variances, basis)  # type: ignore[arg-type]


@pytest.mark.parametrize("basis", ["pixel", "dct", "fft"])
def test_a_mixture_of_one_is_a_gaussian(basis: str) -> None:
    one, x = gaussian_prior(basis), rand(3, 2, 4, 5, seed=2)
    single = GaussianMixture(torch.ones(1, dtype=F64), one.mean[None], one.variances[None], one.basis)
    for sigma in (0.1, torch.tensor([0.01, 0.3, 5.0], dtype=F64)):
        torch.testing.assert_close(single(x, sigma), one(x, sigma))


@pytest.mark.parametrize("basis", ["pixel", "dct", "fft"])
def test_mixture_denoiser_obeys_tweedie(basis: str) -> None:
    prior, x = mixture(basis), rand(4, 1, 3, 2, seed=5).requires_grad_(True)
    for sigma in (0.05, 0.5, 3.0):
        parts = []
        for k in range(3):  # dense densities, independent of the diagonal arithmetic of the code
            c = prior.component(k).covariance() + sigma**2 * torch.eye(6, dtype=F64)
            law = torch.distributions.MultivariateNormal(prior.means[k].flatten(), c)
            parts.append(prior.weights[k].log() + law.log_prob(x.flatten(1)))
        (score,) = torch.autograd.grad(torch.stack(parts).logsumexp(0).sum(), x)
        torch.testing.assert_close(prior(x.detach(), sigma), x.detach() + sigma**2 * score, rtol=1e-8, atol=1e-10)


def test_mixture_posterior_in_one_dimension_is_that_of_quadrature() -> None:
    weights = torch.tensor([0.3, 0.7], dtype=F64)
    means, variances = torch.tensor([-1.0, 0.8], dtype=F64), torch.tensor([0.04, 0.2], dtype=F64)
    prior = GaussianMixture(weights, means.view(2, 1, 1, 1), variances.view(2, 1, 1, 1))
    operator = ops.Inpaint((1, 1, 1), torch.full((1, 1, 1), 0.7, dtype=F64))
    grid = torch.linspace(-8, 8, 200_001, dtype=F64)  # spacing 8e-5 of smooth densities: exact to rounding
    for y in (-0.6, 0.05, 0.5):
        joint = weights[:, None] * torch.exp(-((grid - means[:, None]) ** 2) / (2 * variances[:, None]))
        joint = joint / variances[:, None].sqrt() * torch.exp(-((y - 0.7 * grid) ** 2) / (2 * 0.3**2))
        mass = joint.sum(1)
        w, m, c = prior.posterior(operator, torch.full((1, 1, 1, 1), y, dtype=F64), 0.3)
        torch.testing.assert_close(w, mass / mass.sum(), rtol=1e-9, atol=0)
        torch.testing.assert_close(m.flatten(), (joint * grid).sum(1) / mass, rtol=1e-9, atol=1e-12)
        second = (joint * (grid - m.view(2, 1)) ** 2).sum(1) / mass
        torch.testing.assert_close(c.flatten(), second, rtol=1e-9, atol=0)


# --- wrappers ---


def local(x: Tensor, sigma: float | Tensor, /) -> Tensor:
    """A denoiser that sees 3 pixels each way and is different at every level; zeros beyond the border, as networks have."""
    kernel = rand(7, 7, seed=9).to(x).expand(x.shape[1], 1, 7, 7)
    s = torch.as_tensor(sigma, dtype=x.dtype).expand(len(x)).view(-1, 1, 1, 1)
    return torch.tanh(F.conv2d(x, kernel, padding=3, groups=x.shape[1]) / 20) + s * x


@pytest.mark.parametrize("size", [(1, 1), (17, 9), (8, 16), (3, 40), (2, 2)])
def test_padded_takes_any_size(size: tuple[int, int]) -> None:
    seen: list[tuple[int, ...]] = []

    def strict(x: Tensor, sigma: float | Tensor, /) -> Tensor:
        seen.append(tuple(x.shape[-2:]))
        return 2 * x

    x = rand(2, 3, *size)
    torch.testing.assert_close(Padded(strict, 8)(x, 0.1), 2 * x)
    assert seen == [tuple(-(-n // 8) * 8 for n in size)]


def test_padding_is_a_mirror() -> None:
    seen: list[Tensor] = []
    Padded(lambda x, s: seen.append(x) or x, 4)(torch.arange(3.0).view(1, 1, 1, 3), 0.1)  # type: ignore[func-returns-value]
    assert seen[0][0, 0].tolist() == [[0.0, 1.0, 2.0, 2.0]] * 4


@pytest.mark.parametrize("tile", [6, 16, 24, 48])  # 6: more than two windows overlap under a blend of 8
@pytest.mark.parametrize("blend", [0, 2, 8])
@pytest.mark.parametrize("size", [(48, 48), (17, 90), (50, 31), (49, 97)])
def test_tiles_of_a_local_denoiser_give_the_whole(tile: int, blend: int, size: tuple[int, int]) -> None:
    x, sigma = rand(2, 2, *size), torch.tensor([0.1, 0.7], dtype=F64)
    largest: list[int] = []

    def watched(x: Tensor, sigma: float | Tensor, /) -> Tensor:
        largest.append(max(x.shape[-2:]))
        return local(x, sigma)

    tiled = Tiled(watched, tile, 3, blend)
    # Blending weights are summed in float64 and divided out again; without blending nothing is computed at all.
    torch.testing.assert_close(tiled(x, sigma), local(x, sigma), rtol=0, atol=1e-12)
    assert max(largest) <= tile + 2 * (3 + blend)


def test_too_small_a_halo_is_seen() -> None:
    x = rand(1, 1, 40, 40)
    assert float((Tiled(local, 16, 2)(x, 0.1) - local(x, 0.1)).abs().max()) > 1e-4


def test_blending_hides_what_a_short_halo_leaves() -> None:
    x = rand(1, 1, 96, 96)
    errors = [(Tiled(local, 32, 2, blend)(x, 0.1) - local(x, 0.1)).abs().max() for blend in (0, 8)]
    assert float(errors[1]) < 0.2 * float(errors[0])  # the seam has little weight: 1/32 at its outermost pixel


def test_channelwise_gives_each_band_the_level_of_its_picture() -> None:
    x, sigma = rand(2, 5, 6, 7), torch.tensor([0.1, 0.7], dtype=F64)
    expected = torch.stack([torch.stack([local(x[i, b].view(1, 1, 6, 7), float(s))[0, 0] for b in range(5)]) for i, s in enumerate(sigma)])  # fmt: skip
    torch.testing.assert_close(ChannelWise(local)(x, sigma), expected)
    torch.testing.assert_close(ChannelWise(local)(x[:1], 0.1), expected[:1])
    torch.testing.assert_close(ChannelWise(local)(x[:1], torch.tensor(0.1)), expected[:1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("count", [2, 4, 8])
def test_flips_make_the_denoiser_equivariant(count: int) -> None:
    calls: list[int] = []

    def counted(x: Tensor, sigma: float | Tensor, /) -> Tensor:
        calls.append(1)
        return local(x, sigma)

    x, flipped = rand(1, 2, 6, 9), EnsembleFlip(counted, count)
    out = flipped(x, 0.2)
    assert len(calls) == count
    assert out.shape == x.shape
    torch.testing.assert_close(flipped(x.flip(-1), 0.2), out.flip(-1))
    assert (float((flipped(x.flip(-2), 0.2) - out.flip(-2)).abs().max()) < 1e-12) == (count > 2)
    turned = flipped(x.transpose(-1, -2), 0.2)
    assert (float((turned - out.transpose(-1, -2)).abs().max()) < 1e-12) == (count == 8)
    with pytest.raises(ValueError, match="2, 4 or 8"):
        EnsembleFlip(local, 3)


@pytest.mark.parametrize("count", [2, 4, 8])
def test_flips_are_those_of_the_docstring(count: int) -> None:
    # A denoiser that multiplies by a fixed field, so the mean over flips is the field averaged over its own flips.
    field, x = rand(7, 7, seed=3), rand(2, 1, 7, 7)
    fields = [field, field.fliplr()]
    if count > 2:
        fields += [f.flipud() for f in fields]
    if count > 4:
        fields += [torch.rot90(f) for f in fields]
    found = EnsembleFlip(lambda x, sigma: sigma * field * x, count)(x, 0.3)
    torch.testing.assert_close(found, 0.3 * torch.stack(fields).mean(0) * x)


# --- checkpoints ---


def spec(config: UNetConfig) -> checkpoint.PriorSpec:
    arch = {"kind": "unet", **{k: list(v) if isinstance(v, tuple) else v for k, v in vars(config).items()}}
    return checkpoint.PriorSpec("toy", arch, 0.25, 0.45, data="none", licence="none", metrics={"psnr": 1.5})


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    checkpoint.save(tmp_path / "toy.safetensors", random_unet(SMALL).state_dict(), spec(SMALL))
    return tmp_path / "toy.safetensors"


def test_a_checkpoint_comes_back_as_it_was(saved: Path) -> None:
    net, found = checkpoint.load(saved)
    assert found == spec(SMALL)
    assert checkpoint.read_spec(saved) == found
    assert found.config == SMALL
    assert not net.training
    assert not any(p.requires_grad for p in net.parameters())
    for name, value in random_unet(SMALL).state_dict().items():
        assert net.state_dict()[name].dtype == torch.float32
        assert torch.equal(net.state_dict()[name], value.half().float()), name  # fp16 on disk, nothing else is lost
    assert [p.name for p in saved.parent.iterdir()] == ["toy.safetensors"]


def test_weights_are_fp16_on_disk_unless_asked_otherwise(saved: Path) -> None:
    state = random_unet(SMALL).state_dict()
    assert {k: t.dtype for k, t in load_file(saved).items()} == dict.fromkeys(state, torch.float16)
    checkpoint.save(saved, state, spec(SMALL), torch.float32)  # over the other, which must go as a whole
    assert all(torch.equal(load_file(saved)[k], v) for k, v in state.items())
    assert all(torch.equal(checkpoint.load(saved)[0].state_dict()[k], v) for k, v in state.items())


def test_a_crash_while_saving_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def crash(tensors: object, path: Path, metadata: object) -> None:
        Path(path).write_bytes(b"half of it")
        raise OSError("disk full")

    monkeypatch.setattr(checkpoint, "save_file", crash)
    with pytest.raises(BadInput, match=r"not written \(disk full\)"):
        checkpoint.save(saved, random_unet(SMALL, 1).state_dict(), spec(SMALL))
    assert saved.read_bytes() == before


def _broken(kind: str, path: Path) -> None:
    data = path.read_bytes()
    if kind == "garbage":
        path.write_bytes(b"not a checkpoint at all")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "cut-in-header":
        path.write_bytes(data[:50])
    elif kind == "cut-in-weights":
        path.write_bytes(data[:-100])
    elif kind == "other-format":
        save_file({"a": torch.zeros(1)}, path)
    else:
        arch = {"architecture": {"kind": "unet", "widths": [4, 8], "embed": 8}, "unknown-kind": {"kind": "transformer"}}
        arch |= {"unknown-field": {"kind": "unet", "heads": 4}, "weight-missing": spec(SMALL).arch}
        state = random_unet(SMALL).state_dict()
        if kind == "weight-missing":
            del state["norm.bias"]
        checkpoint.save(path, state, checkpoint.PriorSpec("toy", arch[kind], 0.25))


BROKEN = ["garbage", "empty", "cut-in-header", "cut-in-weights", "other-format", "architecture", "weight-missing"]


@pytest.mark.parametrize("kind", [*BROKEN, "unknown-kind", "unknown-field", "unknown-spec"])
def test_a_file_that_is_no_prior_is_told_in_one_line(kind: str, saved: Path) -> None:
    if kind == "unknown-spec":
        body = json.dumps({"name": "a", "arch": {"kind": "unet"}, "sigma_data": 1.0, "newer": 1})
        save_file({"a": torch.zeros(1)}, saved, metadata={"format": checkpoint.FORMAT, "spec": body})
    else:
        _broken(kind, saved)
    with pytest.raises(ValueError) as caught:
        checkpoint.load(saved)
    assert "\n" not in str(caught.value)
    assert str(saved) in str(caught.value) or "toy" in str(caught.value)
    with pytest.raises(BadInput):
        load_prior(str(saved))


# --- the library ---


@pytest.mark.parametrize("bands", [1, 3, 5])
def test_a_prior_takes_any_number_of_bands(bands: int, saved: Path) -> None:
    prior = load_prior(str(saved), precision="fp32", tile=None)
    x = rand(2, bands, 9, 11).float()
    out = prior.for_bands(bands)(x, 0.1)
    assert (out.shape, out.dtype) == (x.shape, torch.float32)
    expected = prior(x, 0.1) if bands != 5 else torch.cat([prior(x[:, b : b + 1], 0.1) for b in range(5)], 1)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-6)  # float32, another batch size


@pytest.mark.parametrize(
    ("precision", "pays", "half"),
    [("fp32", True, False), ("bf16", False, True), ("auto", True, True), ("auto", False, False)],
)
def test_precision_and_layout_reach_the_network(
    precision: library.Precision, pays: bool, half: bool, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Tensor, Tensor, Tensor]] = []
    plain = nn.Conv2d.forward

    def watched(layer: nn.Conv2d, x: Tensor) -> Tensor:
        out = plain(layer, x)
        seen.append((out, x, layer.weight))
        return out

    monkeypatch.setattr(nn.Conv2d, "forward", watched)
    monkeypatch.setattr(library, "bf16_pays", lambda device: pays)
    assert load_prior(str(saved), precision=precision)(rand(2, 3, 6, 10), 0.1).dtype == F64
    assert {out.dtype for out, _, _ in seen} == {torch.bfloat16 if half else torch.float32}
    assert all(t.is_contiguous(memory_format=torch.channels_last) for ts in seen for t in ts)


def test_a_prior_without_a_one_band_layer_refuses_other_numbers(tmp_path: Path) -> None:
    config = UNetConfig((3,), (4,), embed=8)
    checkpoint.save(tmp_path / "rgb.safetensors", random_unet(config).state_dict(), spec(config))
    prior = load_prior(str(tmp_path / "rgb.safetensors"))
    assert prior.for_bands(3) is prior
    with pytest.raises(BadInput, match="takes 3 bands, the picture has 4"):
        prior.for_bands(4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda path: load_prior("nosuch"), "unknown prior 'nosuch'; shipped: "),
        (lambda path: load_prior("nosuch.safetensors"), "no such file; shipped priors: "),
        (lambda path: load_prior(str(path), tile=0), "multiple of 2.*try 2"),
        (lambda path: load_prior(str(path), tile=1), "multiple of 2.*try 2"),
        (lambda path: load_prior(str(path), tile=33), "multiple of 2.*try 32"),
    ],
)
def test_load_prior_refuses_with_a_way_out(call: Callable[[Path], object], words: str, saved: Path) -> None:
    with pytest.raises(BadInput, match=words):
        call(saved)


def test_a_loaded_prior_is_its_network_preconditioned_as_its_header_says(saved: Path) -> None:
    x, net = rand(2, 3, 8, 6).float(), checkpoint.load(saved)[0]
    expected = EDM(net, 0.25, 0.45)(x, 0.2)
    torch.testing.assert_close(checkpoint.edm(net, spec(SMALL))(x, 0.2), expected)
    torch.testing.assert_close(load_prior(str(saved), precision="fp32")(x, 0.2), expected, rtol=0, atol=1e-6)
    tiled = load_prior(str(saved), tile=16).network
    assert isinstance(tiled, Tiled)
    assert (tiled.tile, tiled.halo, tiled.blend) == (16, SMALL.receptive_radius, 4)


def test_tiles_of_a_loaded_prior_give_the_whole(saved: Path) -> None:
    x = rand(1, 3, 61, 83).float()
    whole, tiled = (load_prior(str(saved), precision="fp32", tile=t)(x, 0.2) for t in (None, 16))
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-5)  # float32 sums in another order, six layers deep
