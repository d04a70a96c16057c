"""Training of a codec: its loss, the discriminator, runs of one process and of two."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.priors.find import load_codec
from restorekit.priors.formats.checkpoint import read_spec
from restorekit.priors.networks.ivqvae import CodecConfig
from restorekit.priors.perception.likeness import PriorDistance, gradient_distance
from restorekit.training.config import Config, read_config
from restorekit.training.data.cache import Pictures
from restorekit.training.loop import train
from restorekit.training.objectives.adversary import MOST, Discriminator, balance, fooling, judging
from restorekit.training.objectives.by_model import objective_of
from restorekit.training.objectives.codec import CodecObjective
from tests.support.training_runs import changed, interrupt, read_log, same_weights, weights

TINY = """
name: tiny
model: {kind: codec, bands: [1, 3], width: 8, multipliers: [1, 2], blocks: 1, attention: 4, side: 16, codes: 16}
data: {crop: 16, grey_every: 3}
loss: {perceptual: 0, gradient: 0.5, adversarial: 0.8, disc_start: 0.4, disc_width: 4}
optim: {batch: 4, steps: 6, lr: 0.002, warmup: 2}
run: {precision: fp32, log_every: 1, sample_every: 3, checkpoint_every: 1000}
"""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of coloured waves."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    h, w = np.indices((24, 30))
    for i in range(5):
        wave = [0.5 + 0.4 * np.sin(0.3 * h * np.cos(i + c) + 0.4 * w * np.sin(i + c)) for c in range(3)]
        iio.imwrite(folder / f"{i}.png", np.stack(wave, -1).__mul__(255).astype(np.uint8))
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "tiny.yaml").write_text(TINY)
    return read_config(tmp_path / "tiny.yaml")


def objective(config: Config, pictures: Path, **settings: Any) -> CodecObjective:
    found = objective_of(changed(config, **settings), Pictures.open(pictures, pictures.parent / "cache"), "waves")
    assert isinstance(found, CodecObjective)
    return found


def gradients(loss: Tensor, module: torch.nn.Module) -> list[float]:
    found = torch.autograd.grad(loss, list(module.parameters()), allow_unused=True, retain_graph=True)
    return [0.0 if g is None else float(g.abs().max()) for g in found]


# --- the terms of the loss ---


def test_differences_of_gradients_at_three_sizes() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 3, 16, 16)), rng.random((2, 3, 16, 16))
    found = float(gradient_distance(torch.from_numpy(x), torch.from_numpy(y)))
    expected, e = 0.0, x - y
    for _ in range(3):
        expected += (np.abs(np.diff(e, axis=2)).mean() + np.abs(np.diff(e, axis=3)).mean()) / 6
        e = e.reshape(2, 3, e.shape[2] // 2, 2, e.shape[3] // 2, 2).mean((3, 5))
    assert found == pytest.approx(expected)
    level = torch.from_numpy(x)
    assert float(gradient_distance(level, level + 0.3)) < 1e-12  # it sees no levels


def test_the_distance_of_features_can_be_descended() -> None:
    distance = PriorDistance.shipped()
    truth = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    x = (truth.roll(1, 3)).requires_grad_(True)
    value = distance.between(x, truth)
    (slope,) = torch.autograd.grad(value, x)
    step = 1e-3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        difference = (distance.between(x + step, truth) - distance.between(x - step, truth)) / 2
        assert float(difference) == pytest.approx(float((slope * step).sum()), rel=0.05)  # to second order in the step
        down = distance.between(x - 1e-2 * slope / slope.abs().max(), truth)
        pair = [float(distance.between(a, b)) for a, b in zip(x.split(1), truth.split(1))]
    assert float(down) < float(value.detach())
    assert float(value) == pytest.approx(np.mean(pair), rel=1e-5)
    assert not any(p.requires_grad for p in distance.features.net.parameters())


def test_weights_scale_their_terms(config: Config, pictures: Path) -> None:
    def loss(**parts: float) -> float:
        zero = dict.fromkeys(("l1", "gradient", "perceptual", "adversarial"), 0.0)
        settings = {f"loss__{k}": v for k, v in (zero | parts).items()}
        made = objective(config, pictures, model__beta=0.0, **settings)
        return float(made(*made.batch(0, 0, 4)).detach())

    assert loss() == 0
    for name in ("l1", "gradient", "perceptual"):
        assert loss(**{name: 2.0}) == pytest.approx(2 * loss(**{name: 1.0}), rel=1e-5)
        assert loss(**{name: 1.0}) > 1e-3
    assert loss(l1=1, gradient=1, perceptual=1) == pytest.approx(
        loss(l1=1) + loss(gradient=1) + loss(perceptual=1), rel=1e-5
    )
    made = objective(
        config, pictures, loss__l1=1.0, loss__gradient=0.0, loss__adversarial=0.0, model__regulariser="none"
    )
    x0, noise = made.batch(0, 0, 4)
    back = made.net.decode(made.net.encode(x0))
    assert float(made(x0, noise)) == pytest.approx(float((back - x0).abs().mean()))


def test_a_gaussian_latent_is_drawn_and_pulled_to_the_standard_one(config: Config, pictures: Path) -> None:
    kl = {"model__regulariser": "kl", "loss__l1": 0.0, "loss__gradient": 0.0, "loss__adversarial": 0.0}
    made = objective(config, pictures, loss__kl=1.0, **kl)
    x0, noise = made.batch(0, 0, 4)
    mean, log_variance = made.net.moments(x0)
    assert log_variance is not None
    assert mean.shape == log_variance.shape == (4, 4, 4, 4)
    p = torch.distributions.Normal(mean, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(p, torch.distributions.Normal(0.0, 1.0)).mean()
    assert float(made(x0, noise)) == pytest.approx(float(expected), rel=1e-5)
    assert torch.equal(made.net.encode(x0), mean)
    alike = objective(config, pictures, **(kl | {"loss__kl": 0.0, "loss__l1": 1.0}))
    still = float((alike.net.decode(mean) - x0).abs().mean())  # of the same weights: the seed is the same
    assert float(alike(x0, torch.zeros_like(noise))) == pytest.approx(still)
    assert abs(float(alike(x0, noise)) - still) > 1e-4


def test_a_gaussian_latent_may_have_more_numbers_than_the_picture(config: Config, pictures: Path) -> None:
    wide = {"model__regulariser": "kl", "model__bands": [1], "model__channels": 20, "data__grey_every": 0}
    made = objective(config, pictures, **wide)
    x0, noise = made.batch(0, 0, 64)
    assert (x0.shape, noise.shape) == ((64, 1, 16, 16), (64, 20, 4, 4))
    assert float(noise.mean()) == pytest.approx(0, abs=0.035)  # 20 480 numbers: 5 deviations, here and below
    assert float(noise.std()) == pytest.approx(1, abs=0.025)
    other = np.corrcoef(noise.flatten(0, 1).flatten(1).numpy())  # no draw is used for two channels or two items
    assert float(np.abs(other - np.eye(len(other))).max()) < 0.999
    loss = made(x0, noise)
    loss.backward()
    assert bool(loss.isfinite())
    assert made.net.into.weight.grad is not None


def test_each_side_of_the_game_learns_from_its_own_term() -> None:
    torch.manual_seed(0)
    judge, truth = Discriminator((3,), 4), torch.rand(2, 3, 16, 16)
    x = torch.rand(2, 3, 16, 16, requires_grad=True)
    fooled, judged = fooling(judge, x), judging(judge, x, truth)
    assert not any(gradients(fooled, judge))
    assert float(torch.autograd.grad(fooled, x, retain_graph=True)[0].abs().max()) > 0
    assert all(g > 0 for g in gradients(judged, judge)[:-1])
    assert torch.autograd.grad(judged, x, allow_unused=True)[0] is None
    a, b = judge(truth), judge(x)
    assert a.shape == (2, 1, 4, 4)
    assert float(fooled) == pytest.approx(-float(b.mean()))
    assert float(judged) == pytest.approx(float((1 - a).clamp(min=0).mean() + (1 + b).clamp(min=0).mean()) / 2)


def test_the_hinge_stops_where_the_judge_is_sure() -> None:
    def score(sign: float) -> torch.nn.Module:
        class Sure(torch.nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return sign * 5 * (2 * x - 1)

        return Sure()

    fake, real = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    assert float(judging(score(1), fake, real)) == 0
    assert float(judging(score(-1), fake, real)) == 6


def test_the_judge_sees_18_pixels() -> None:
    judge = Discriminator((1,), 4).double()
    x = torch.zeros(1, 1, 40, 40, dtype=torch.float64, requires_grad=True)
    (seen,) = torch.autograd.grad(judge(x)[0, 0, 5, 5], x)
    assert [int((seen.abs().sum(d).flatten() > 0).sum()) for d in (2, 3)] == [18, 18]


def test_the_balance_is_the_ratio_of_gradients_and_limited() -> None:
    last = torch.tensor([3.0, 4.0], requires_grad=True)
    like, fooled = (last * torch.tensor([1.0, 2.0])).sum(), 0.1 * last[0]
    assert float(balance(like, fooled, last)) == pytest.approx(5**0.5 / 0.1)
    assert float(balance(like, 0 * fooled, last)) == MOST
    assert not balance(like, fooled, last).requires_grad


def test_the_discriminator_begins_late_and_is_weighed(config: Config, pictures: Path) -> None:
    made = objective(config, pictures)
    judge, batch = made.judge, made.batch(0, 0, 4)
    assert judge is not None
    made.step = 2  # 0.4 of 6 steps are not over
    before = made(*batch)
    assert not any(gradients(before, judge))
    made.step = 3
    after = made(*batch)
    assert any(gradients(after, judge))
    x = made.net.decode(made.net.encode(batch[0]), bands=3)
    like = (x - batch[0]).abs().mean() + 0.5 * gradient_distance(x, batch[0])
    weight = 0.8 * balance(like, fooling(judge, x), made.net.head["3"].weight)  # type: ignore[arg-type]
    expected = weight * fooling(judge, x) + judging(judge, x, batch[0])
    assert float(after - before) == pytest.approx(float(expected), rel=1e-4)
    assert objective(config, pictures, loss__adversarial=0.0).judge is None


# --- the code book in a run ---


def test_codes_learn_and_those_without_use_are_moved_until_the_rate_falls(config: Config, pictures: Path) -> None:
    made = objective(config, pictures, optim__decay_from=0.5)
    book = made.net.book
    assert book is not None
    made(*made.batch(0, 0, 4))
    begun = book.codes.clone()
    made.settle()
    assert not torch.equal(book.codes, begun)
    for step, moves in ((2, True), (3, False)):  # the rate falls from step 3 of 6 on
        made.step = step
        book.share[5], book.codes[5] = 0.0, 1e6  # nothing takes it
        made(*made.batch(step, 0, 4))
        made.settle()
        assert (float(book.codes[5].max()) < 1e6) == moves


def test_batches_are_functions_of_seed_and_step(config: Config, pictures: Path) -> None:
    made = objective(config, pictures)
    x0, noise = made.batch(1, 0, 4)
    for i in range(4):
        one = made.batch(1, i, 1)
        assert torch.equal(one[0][0], x0[i])
        assert torch.equal(one[1][0], noise[i])
    assert [made.batch(step, 0, 1)[0].shape[1] for step in range(6)] == [3, 3, 1, 3, 3, 1]
    assert not torch.equal(made.batch(0, 0, 4)[0], x0)


# --- runs ---


@pytest.mark.parametrize("regulariser", ["vq", "kl", "none"])
def test_a_run_leaves_a_codec_with_standard_latents(
    regulariser: str, config: Config, pictures: Path, tmp_path: Path
) -> None:
    config = changed(config, model__regulariser=regulariser, run__precision="bf16" if regulariser == "vq" else "fp32")
    path = train(config, pictures, tmp_path / "run", quiet=True)
    assert sorted(p.name for p in (tmp_path / "run" / "samples").iterdir()) == ["0000003.png", "0000006.png"]
    assert np.asarray(iio.imread(tmp_path / "run" / "samples" / "0000003.png")).shape == (3 * 16, 8 * 16, 3)
    spec, codec = read_spec(path), load_codec(str(path))
    assert (spec.name, spec.training["steps"], spec.arch["kind"]) == ("tiny", 6, "codec")
    assert "5 pictures" in spec.data
    assert not any(k.startswith("judge") for k in weights(path))
    made = objective(config, pictures)
    z = codec.encode(made.patches.batch(0, 256, False)[0])
    # Weights in fp16 and latents in fp32: off by some 2^-11.
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(4), rtol=0, atol=5e-3)
    torch.testing.assert_close(z.std((0, 2, 3)), torch.ones(4), rtol=0, atol=5e-3)


@pytest.mark.parametrize(("regulariser", "left"), [("none", 0.5), ("vq", 0.85)])  # 16 codes say less
def test_the_loss_falls(regulariser: str, left: float, config: Config, pictures: Path, tmp_path: Path) -> None:
    plain = changed(config, model__regulariser=regulariser, loss__adversarial=0.0, optim__lr=0.004, data__grey_every=80)
    train(changed(plain, optim__steps=80), pictures, tmp_path / "run", quiet=True)
    losses = [row["loss"] for row in read_log(tmp_path / "run")]
    assert np.mean(losses[-10:]) < left * np.mean(losses[:3])


def test_an_interrupted_run_resumes_bit_for_bit(config: Config, pictures: Path, tmp_path: Path) -> None:
    whole = train(config, pictures, tmp_path / "whole", quiet=True)
    interrupt(4, changed(config, run__checkpoint_every=1e-9), pictures, tmp_path / "parts")
    resumed = train(config, pictures, tmp_path / "parts", resume=True, quiet=True)
    assert same_weights(whole, resumed)
    state = weights(whole.with_name("state.safetensors"))
    assert any(k.startswith("judge.") for k in state)
    assert not any(k.startswith("distance") for k in state)
    assert same_weights(whole.with_name("state.safetensors"), resumed.with_name("state.safetensors"))


def test_a_run_can_begin_with_a_trained_codec(config: Config, pictures: Path, tmp_path: Path) -> None:
    path = train(config, pictures, tmp_path / "run", quiet=True)
    made = objective(config, pictures, init=str(path))
    assert all(torch.equal(v, weights(path)[k].float()) for k, v in made.net.state_dict().items())
    made(*made.batch(0, 0, 4))
    assert torch.equal(made.net.book.codes, weights(path)["book.codes"].float())  # type: ignore[union-attr]


def test_two_processes_train_what_one_does(config: Config, pictures: Path, tmp_path: Path) -> None:
    alone = train(config, pictures, tmp_path / "one", quiet=True)
    code = (
        "import sys; from pathlib import Path; from restorekit.training.config import read_config;"
        "from restorekit.training.loop import train; config, *paths = map(Path, sys.argv[1:]);"
        "train(read_config(config), *paths, quiet=True)"
    )
    (tmp_path / "worker.py").write_text(code)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = [tmp_path / "worker.py", tmp_path / "tiny.yaml", pictures, tmp_path / "two"]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    first, second = (weights(p / "state.safetensors") for p in (alone.parent, tmp_path / "two"))
    assert first.keys() == second.keys()
    for k in first:
        # As for denoisers: sums in another order, and Adam's first steps divide gradients near 0 by their own size.
        torch.testing.assert_close(second[k], first[k], rtol=1e-3, atol=1e-4, msg=lambda m, k=k: f"{k}: {m}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model: {kind: codec, factor: 5}", ["model.factor", "4, 8, 16, 32 or 64"]),
        ("model: {kind: codec, codes: 1}", ["model: codes=1"]),
        ("model: {kind: codec, patch: 2}", ["model.patch", "factor", "regulariser"]),
        ("model: {kind: codec, width: 65, multipliers: [1]}", ["model", "heads of at most 64"]),
        ("model: {kind: codec, side: 32}", ["model.side=32", "data.crop=64"]),
        ("{model: {kind: codec, factor: 16, side: 40}, data: {crop: 40}}", ["data.crop=40", "multiple of 16", "as 32"]),
        ("{model: {kind: codec, bands: [1]}, domain: log-intensity}", ["domain=log-intensity", "codec"]),
        ("{model: {kind: codec}, loss: {disc_start: 2}}", ["loss.disc_start"]),
        ("{model: {kind: codec}, noise: {log_mean: 0}}", ["noise is not for model.kind=codec"]),
        ("{model: {kind: codec}, run: {compile: true}}", ["run.compile is not for model.kind=codec"]),
        ("loss: {l1: 2}", ["loss is for model.kind=codec"]),
        ("{model: {kind: codec}, loss: {gan: 1}}", ["loss.gan", "adversarial"]),
        ("{model: {kind: codec}, loss: {decoder_only: true}}", ["loss.decoder_only", "`init`"]),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_line(text: str, words: list[str], tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(BadInput) as caught:
        read_config(tmp_path / "c.yaml")
    assert "\n" not in str(caught.value)
    assert [word for word in ["c.yaml", *words] if word not in str(caught.value)] == []


def test_lpips_that_is_not_here_is_refused_before_the_run(config: Config, pictures: Path) -> None:
    with pytest.raises(BadInput, match=r"^`loss\.lpips=nowhere\.pth`: give alex, squeeze, vgg, none"):
        objective(config, pictures, loss__perceptual=1.0, loss__lpips="nowhere.pth")


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[2].glob("configs/*codec*.yaml")), ids=lambda p: p.stem)
def test_configurations_are_valid(path: Path) -> None:
    config = read_config(path)
    assert isinstance(config.model, CodecConfig)
    assert config.licence != "not stated"


def test_a_decoder_can_learn_alone_and_leaves_the_latents_as_they_are(
    config: Config, pictures: Path, tmp_path: Path
) -> None:
    first = train(config, pictures, tmp_path / "first", quiet=True)
    more = changed(config, init=str(first), loss__decoder_only=True, optim__steps=4)
    second = train(more, pictures, tmp_path / "second", quiet=True)
    before, after = load_codec(str(first)), load_codec(str(second))
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    z = before.encode(x)
    assert torch.equal(after.encode(x), z)
    assert torch.equal(after.quantise(z)[0], before.quantise(z)[0])
    assert float((after.decode(z) - before.decode(z)).abs().max()) > 1e-3

    made = objective_of(more, Pictures.open(pictures, tmp_path / "cache"), "waves")
    assert isinstance(made, CodecObjective)
    made.step = 0  # before the discriminator
    x0, noise = made.batch(0, 0, 4)
    back = made.net.decode(made.net.encode(x0), quantise=False)
    expected = (back - x0).abs().mean() + 0.5 * gradient_distance(back, x0)
    assert float(made(x0, noise)) == pytest.approx(float(expected), rel=1e-5)
    assert max(gradients(made(x0, noise), made.net.up)) > 0
