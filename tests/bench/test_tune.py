"""`restorekit tune`: the search, its budget, its resume, and the scores it goes by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from restorekit.bench.search import CandidateScores, Trial, Tuning, clear_gain, rows_of, score, table, with_ranges
from restorekit.cli.main import run
from restorekit.errors import BadInput
from restorekit.files.picture import Picture, write_picture
from restorekit.metrics.fidelity import crps
from restorekit.priors.analytic import GaussianPrior
from restorekit.solvers import SOLVERS
from restorekit.text.degradation import Degradation
from restorekit.text.names import solver_of

SHAPE = (1, 16, 16)


def _trials(count: int) -> tuple[list[Trial], GaussianPrior]:
    prior = GaussianPrior.smooth(SHAPE, std=0.15)
    truths = prior.sample(count, torch.Generator().manual_seed(0)).float().numpy()
    task = Degradation("average:factor=2", "gaussian:0.05")
    made = [Trial(f"p{i}", x, task.measure(x, f"p{i}", 0)) for i, x in enumerate(truths)]
    return made, GaussianPrior(prior.mean.float(), prior.variances.float())


def test_a_bad_setting_is_found_out_within_the_budget(tmp_path: Path) -> None:
    trials, prior = _trials(4)
    tuning = with_ranges(Tuning("diffpir:zeta=0.3", [10], {}, 40, 1, "psnr"), ["lambda=0.01,100"])
    rows, lines = rows_of(tmp_path / "tune.csv"), []
    found = tuning(trials, prior, rows, "key", lines.append)
    assert len(rows.rows) <= 40
    assert max(len(f.scores) for f in found if f.settings != "diffpir:zeta=0.3") == 4  # and so does the best
    assert len(lines) == len(tuning.rungs(4)) == 3
    default = next(f for f in found if f.settings == "diffpir:zeta=0.3")
    assert len(default.scores) == 4
    assert found[0].mean() >= default.mean()
    worst = max(found, key=lambda f: abs(np.log(float(f.settings.partition("lambda=")[2] or 1))))
    assert worst.mean(1) < found[0].mean(1) - 0.5  # a weight far from 1 costs more than that
    assert len(worst.scores) < 4
    assert table(found, tuning).count("diffpir") == sum(len(f.scores) == 4 for f in found)
    again = tuning(trials, None, rows_of(tmp_path / "tune.csv"), "key", lines.append)  # type: ignore[arg-type]
    assert [(f.settings, f.scores) for f in again] == [(f.settings, f.scores) for f in found]  # nothing ran again


@pytest.mark.parametrize("budget", [20, 33, 60, 100])
@pytest.mark.parametrize("steps", [[10], [5, 10, 20]])
@pytest.mark.parametrize("trials", [1, 3, 6])
def test_the_budget_is_kept_and_nearly_used(budget: int, steps: list[int], trials: int) -> None:
    tuning = Tuning("diffpir", steps, {"zeta": (0.0, 1.0)}, budget)
    if budget < (len(steps) + 1) * trials:
        with pytest.raises(BadInput, match="`budget"):
            tuning.rungs(trials)
        return
    rungs = tuning.rungs(trials)
    spent = len(steps) * trials + sum(
        n * (end - before) for (n, end), before in zip(rungs, [0, *(e for _, e in rungs)])
    )
    assert budget / 2 < spent <= budget
    assert rungs[-1][1] == trials
    given, others = tuning.candidates(rungs[0][0])
    assert len(given) == len(steps)
    assert len({*given, *others}) == len(given) + len(others)


def test_no_copy_of_what_was_given_is_run() -> None:
    given, others = Tuning("mcg", [5], {"scale": (0.1, 10.0)}).candidates(6)
    assert given == [("mcg", 5)]
    assert len(others) == 6
    assert ("mcg:scale=1", 5) not in others  # that is mcg itself


def test_another_picture_of_the_same_name_is_another_trial() -> None:
    (one, other), _ = _trials(2)
    assert one.key != Trial(one.name, other.truth, other.problem).key


def test_a_gain_is_clear_beyond_two_standard_errors() -> None:
    tuning = Tuning("hqs", [8])
    default = CandidateScores("hqs", 8, 8, (20.0, 22.0, 24.0))
    assert clear_gain([CandidateScores("hqs:first=1", 8, 8, (20.5, 22.6, 24.4)), default], tuning)
    assert not clear_gain([CandidateScores("hqs:first=1", 8, 8, (23.0, 21.9, 24.1)), default], tuning)
    assert not clear_gain([default], tuning)
    lower = Tuning("ddrm", [8], score="crps", samples=2)
    assert clear_gain(
        [CandidateScores("ddrm:eta=0", 8, 8, (0.01, 0.02)), CandidateScores("ddrm", 8, 8, (0.02, 0.0301))], lower
    )  # less is better


def test_the_ranked_probability_score_is_proper_and_that_of_its_definition() -> None:
    rng = np.random.default_rng(0)
    x, truth = rng.normal(size=(6, 1, 60, 60)), rng.normal(size=(1, 60, 60))
    pairs = [np.abs(x[i] - x[j]).mean() for i in range(6) for j in range(6) if i != j]
    assert crps(x, truth) == pytest.approx(np.mean([np.abs(s - truth).mean() for s in x]) - np.mean(pairs) / 2)
    assert crps(x[:1], truth) == pytest.approx(float(np.abs(x[0] - truth).mean()))
    right = crps(x, truth)
    assert right < crps(0.5 * x, truth) < crps(0.1 * x, truth)  # too sure
    assert right < crps(2 * x, truth)  # not sure enough
    assert score("crps", np.full((2, 1, 4, 4), 3.0), np.ones((1, 4, 4))) == 0  # clipped to white


def test_what_solvers_call_tunable_are_settings_they_take() -> None:
    for name, kind in SOLVERS.items():
        for setting, (low, high) in kind.tunable.items():
            for value in (low, high):
                text = f"{name}:{setting.rstrip('_')}={int(value) if isinstance(low, int) else value}"
                assert float(getattr(solver_of(text), setting)) == value


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--solver", "ddnm++"], "ddnm+"),
        (["--solver", "smc"], "--search"),
        (["--solver", "hqs", "--search", "zeta=0,1"], "first"),
        (["--solver", "hqs", "--search", "first=2,1"], "smaller"),
        (["--solver", "hqs", "--search", "first"], "--search zeta=0,1"),
        (["--solver", "hqs", "--score", "lpips"], "psnr"),
        (["--solver", "ddrm", "--score", "crps", "--samples", "1"], "--samples 2"),
        (["--solver", "ddrm", "--noise", "poisson:30"], "dps"),
        (["--solver", "hqs", "--precision", "bf15"], "bf16"),
        (["--solver", "hqs:first=1", "--search", "first=0.2,1"], "leave out one"),
        (["--solver", "diffpir", "--search", "zeta=-2,-1"], "zeta"),
        (["--solver", "diffpir", "--search", "foo=0,1"], "zeta"),
        (["--solver", "hqs", "--steps", "2", "--steps", "4", "--budget", "4"], "--budget"),
        (["--solver", "hqs", "--crop", "64"], "--crop"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _pictures(tmp_path / "in", 2)
    with pytest.raises(SystemExit) as stop:
        run(["tune", "--data", str(tmp_path / "in"), "--op", "average:2", "--prior", "natural-fast", "--crop", "32",
             "--out", str(tmp_path / "out"), *arguments])  # fmt: skip
    error = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code
    assert len(error) == 1
    assert message in error[0]
    assert not (tmp_path / "out").exists()


def _pictures(folder: Path, count: int) -> None:
    folder.mkdir()
    for i in range(count):
        x = np.random.default_rng(i).random((3, 6, 6)).repeat(8, 1).repeat(8, 2).astype(np.float32)
        write_picture(folder / f"{i}.png", x, Picture(x, "uint8", (0.0, 255.0)))


def test_the_command_prints_what_it_chose_and_goes_on_where_it_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _pictures(tmp_path / "in", 2)
    command = ["tune", "--data", str(tmp_path / "in"), "--op", "inpaint:mask=random:0.5", "--solver", "hqs", "--steps", "2",
               "--prior", "natural-fast", "--crop", "32", "--budget", "10", "--out", str(tmp_path / "out")]  # fmt: skip
    printed = []
    for _ in range(2):
        with pytest.raises(SystemExit) as stop:
            run(command)
        assert stop.value.code == 0
        printed.append(capsys.readouterr().out)
    assert "chosen: --solver hqs" in printed[0]
    assert printed[0] == printed[1]
    rows = (tmp_path / "out" / "tune.csv").read_text().splitlines()
    assert len(rows) == len(set(rows)) >= 5
    assert "Chosen: `--solver hqs" in (tmp_path / "out" / "tune.md").read_text()
