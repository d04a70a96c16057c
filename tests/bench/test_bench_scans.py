"""benchmarks/networks/scan.py, mamba_cost.py and ablation.py: what is timed is right, and what is said of the figures follows."""

from __future__ import annotations

import importlib
import math
import zipfile
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from torch import Tensor

from restorekit.files.journal import Rows
from restorekit.priors.find import load_prior
from restorekit.priors.formats.checkpoint import PriorSpec
from restorekit.priors.networks.scan import ssd_scan
from restorekit.priors.prior import Prior


@pytest.fixture(scope="module")
def bench() -> Any:
    rooms = {p.stem: p.parent.name for p in (Path(__file__).parents[2] / "benchmarks").glob("*/*.py")}
    return lambda name: importlib.import_module(f"benchmarks.{rooms[name]}.{name}")


def leaves(*shapes: tuple[int, ...], seed: int = 0) -> list[Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return [torch.rand(s, generator=rng, dtype=torch.float64).requires_grad_() for s in shapes]


def grads(y: Tensor, inputs: list[Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad((y * torch.linspace(1, 2, y.numel()).view_as(y)).sum(), inputs)


def test_the_sequential_loop_is_the_same_recurrence(bench: Any) -> None:
    given = leaves((2, 9, 3, 4), (2, 9, 3), (3,), (2, 9, 1, 5), (2, 9, 1, 5))
    given[2] = (-given[2]).detach().requires_grad_()  # decays
    ours, theirs = ssd_scan(*given, backend="torch")[0], bench("mixers").loop(*given)
    torch.testing.assert_close(theirs, ours)
    for a, b in zip(grads(theirs, given), grads(ours, given)):
        torch.testing.assert_close(a, b)


def test_the_parallel_scan_is_that_of_mamba_1(bench: Any) -> None:
    def pscan(decay: Tensor, added: Tensor) -> Tensor:
        h, out = torch.zeros_like(added[:, 0]), []
        for t in range(added.shape[1]):
            h = decay[:, t] * h + added[:, t]
            out.append(h)
        return torch.stack(out, 1)

    # With one step and one decay for all channels of a head Mamba-1 is Mamba-2.
    x, dt, rate, B, C = (t.detach() for t in leaves((2, 7, 1, 4), (2, 7, 1), (1,), (2, 7, 1, 5), (2, 7, 1, 5)))
    A = -rate
    found = bench("mixers").parallel(
        pscan, x[:, :, 0], dt.expand(-1, -1, 4), A.expand(4)[:, None].expand(4, 5), B[:, :, 0], C[:, :, 0]
    )
    torch.testing.assert_close(found, ssd_scan(x, dt, A, B, C, backend="torch")[0][:, :, 0])


def test_attention_is_that_of_its_heads(bench: Any) -> None:
    torch.manual_seed(0)
    net, u = bench("mixers").Attention(128).double(), leaves((2, 6, 128))[0].detach()
    q, k, v = (t.unflatten(-1, (2, 64)).transpose(1, 2) for t in net.qkv(u).split(128, -1))
    mixed = ((q @ k.mT / 8).softmax(-1) @ v).transpose(1, 2).flatten(2)
    torch.testing.assert_close(net(u), net.out_proj(mixed))


def test_crossings_are_interpolated(bench: Any) -> None:
    scan, lengths = bench("scan"), (256, 1024, 4096)
    best: dict[tuple[str, int, bool], float | str] = {("a", n, False): 10.0 * n for n in lengths}
    best |= {("b", n, False): n**2 / 100 for n in lengths}
    assert scan.crossing(best, "a", "b", lengths, False) == "1,000"
    assert scan.crossing(best, "b", "a", lengths, False) == "below 256"
    slow = {k: (v if k[0] == "b" else 1e9) for k, v in best.items()} | {("b", 4096, False): "over 6 GB"}
    assert scan.crossing(slow, "a", "b", lengths, False) == "beyond 1,024"


def test_what_takes_too_long_or_too_much_is_left_out(bench: Any) -> None:
    scan = bench("scan")
    loop, ours = (scan.Way(n, torch.float32, lambda n: ([], len), (1, 5)) for n in (scan.OTHERS[0], scan.OURS))
    assert scan.excuse(loop, 16384, False, 7000.0, 4.0) == ""
    assert scan.excuse(loop, 16384, False, 8000.0, 4.0) == "over 30 s"
    assert scan.excuse(ours, 16384, False, 8000.0, 4.0) == ""
    assert scan.excuse(loop, 16384 + 8192, True, 0.0, 4.0) == "over 6 GB"
    assert scan.excuse(loop, 65536, True, "over 30 s", 4.0) == "over 30 s"


def test_exponents_are_of_the_number_of_pixels(bench: Any) -> None:
    assert bench("mamba_cost").slope([64, 128, 256], [3.0 * s**3 for s in (64, 128, 256)]) == pytest.approx(1.5)


def test_both_networks_of_the_cost_benchmark_run(bench: Any) -> None:
    cost = bench("mamba_cost")
    for mixer in cost.MIXERS:
        net = cost.network(mixer)
        assert {type(b.mixer).__name__ for b in net.blocks} == {"Attention" if mixer == "attention" else "Mamba2"}
        assert net(torch.rand(1, 3, 16, 16), torch.zeros(1)).shape == (1, 3, 16, 16)


def test_differences_are_taken_seed_by_seed(bench: Any, tmp_path: Path) -> None:
    ablation = bench("ablation")
    labels = [f"band {i}" for i in range(len(ablation.BANDS))]
    rows = Rows(tmp_path / "rows.csv", ("variant", "steps", "seed"), (*labels, "mean", "seconds"))
    level = {0: 0.3, 1: 0.4, 2: 0.5}  # seeds differ by more than variants
    gaps = ((0, 0, 0), (0.01, 0.011, 0.012), (0.01, -0.01, 0.002), (-0.02, -0.021, -0.022))
    for variant, values in zip(ablation.PARTS, gaps):
        for seed, gap in enumerate(values):
            rows.add(variant.name, 7, seed, *[level[seed]] * len(labels), level[seed] + gap, 1.0)
            rows.add(variant.name, 8, seed, *[9.0] * len(labels), 9.0, 1.0)  # of another number of steps
    found = ablation.compared(rows, ablation.PARTS, 7)
    assert [r[-1] for r in found] == ["", "worse", "within chance", "better"]
    assert found[0][-4:-2] == ["0.4000", "0.1000"]
    half = 4.302653 * 0.001 / math.sqrt(3)  # Student's t of two degrees of freedom
    assert found[1][-2] == f"+0.0110 ± {half:.4f}"


def test_every_variant_can_be_trained_and_differs_from_the_first(bench: Any) -> None:
    ablation = bench("ablation")
    every = {v.name: v for table in ablation.TABLES.values() for v in table}
    assert all(every[v.name] is v for table in ablation.TABLES.values() for v in table)  # a name is one variant
    for variants in ablation.TABLES.values():
        configs = [v.config(3, 11) for v in variants]
        assert all((c.run.seed, c.optim.batch) == (3, 16) for c in configs)
        told = [
            (str(c.model), c.optim.steps, getattr(v, "kappa", None), getattr(v, "top", None))
            for c, v in zip(configs, variants)
        ]
        assert len(set(told)) == len(told)
        same = [c.model_copy(update={"model": configs[0].model, "optim": configs[0].optim}) for c in configs]
        assert all(c == configs[0] for c in same)  # nothing else differs
        assert {c.optim.steps for c in configs} <= {11, 22}


def test_a_cascade_is_trained_in_two_stages_and_judged_as_one(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ablation, rng = bench("ablation"), np.random.default_rng(0)
    for module in (ablation, bench("common")):
        monkeypatch.setattr(module, "DATA", tmp_path)
    for name in ("natural128-train.zip", "natural128-test.zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as pack:
            for i in range(3):
                level = rng.integers(0, 256, (2, 2, 3), np.uint8).repeat(18, 0).repeat(20, 1)
                pack.writestr(f"{i}.jpg", iio.imwrite("<bytes>", level, extension=".jpg"))
    small = {"model": {"width": 16, "head": 8, "depth": 3, "embed": 8, "state": 4}}
    variant = ablation.InTwoStages("small", small, kappa=0.4)
    (tmp_path / "run" / "low").mkdir(parents=True)
    path = variant.trained(0, 2, tmp_path / "run")
    assert load_prior(str(path)).cascade is not None
    losses = variant.judge(path)
    assert len(losses) == 4
    assert all(0.3 < v < 3 for v in losses)  # nothing was learnt yet


def test_a_moved_prior_is_that_of_pictures_of_the_other_mean_and_spread(bench: Any, tmp_path: Path) -> None:
    def gaussian(mean: float, spread: float) -> Prior:
        def denoise(x: Tensor, sigma: float | Tensor, /) -> Tensor:
            s = torch.as_tensor(sigma, dtype=x.dtype) ** 2
            return (mean * s + spread**2 * x) / (s + spread**2)

        return Prior(PriorSpec("gaussian", {}, spread, mean), denoise, tmp_path)

    natural, logs = gaussian(0.45, 0.25), gaussian(-2.0, 1.3)
    x, sigma = torch.linspace(-6, 2, 9, dtype=torch.float64), torch.tensor(0.7, dtype=torch.float64)
    torch.testing.assert_close(bench("speckle").AsLogarithms(natural, logs)(x, sigma), logs(x, sigma))
