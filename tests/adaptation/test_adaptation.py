"""A prior of radar scenes is taught by speckled ones: halves that are independent, rounds that are kept or not, and the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from restorekit import BadInput, adapt
from restorekit.adaptation import rounds as em
from restorekit.adaptation.predictive import Predictive, gain
from restorekit.adaptation.rounds import Rounds
from restorekit.adaptation.speckled_tiles import SpeckledTile, opened_scenes, paired, split, unchanged
from restorekit.despeckling.settings import Settings
from restorekit.priors.formats.checkpoint import PriorSpec, build, read_spec, save
from tests.support.fields import fields, go, refused
from tests.support.training_runs import same_weights

TINY = {"kind": "unet", "bands": [1], "widths": [8, 16], "blocks": 1, "middle": 1, "embed": 16}
SMALL = {"looks": 4.0, "grain": (0.0, 0.0), "rounds": 2, "tiles": 4, "steps": 2, "side": 32, "judge": 6}


def tile(y: np.ndarray, looks: float, **more: object) -> SpeckledTile:
    return SpeckledTile("a", y, looks, **more)  # type: ignore[arg-type]


def gamma(shape: tuple[int, int], looks: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(looks, 1 / looks, shape)


@pytest.fixture
def prior(tmp_path: Path) -> Path:
    spec = PriorSpec("tiny", TINY, 1.3, -2.0, "log-intensity", 0.01, 200.0)
    torch.manual_seed(0)
    save(tmp_path / "tiny.safetensors", build(spec).state_dict(), spec)
    return tmp_path / "tiny.safetensors"


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    np.save(tmp_path / "scene.npy", fields(128, 128).speckled(4).astype(np.float32))
    return tmp_path / "scene.npy"


@pytest.mark.parametrize("looks", [1.0, 4.4])
def test_halves_are_independent_speckle_of_half_the_looks(looks: float) -> None:
    """Of the same mean, with the law of L/2 looks, and uncorrelated in their logarithms too (Lukacs)."""
    y, z, a, b = tile(gamma((200, 200), looks), looks).halves()
    assert a == b == looks / 2
    for half in (y, z):
        assert stats.kstest(half.ravel(), "gamma", (a, 0, 1 / a)).pvalue > 0.001
    for f in (np.asarray, np.log):
        assert abs(np.corrcoef(f(y).ravel(), f(z).ravel())[0, 1]) < 4 / 200


def test_halves_are_the_same_whenever_they_are_asked_for() -> None:
    one = tile(gamma((32, 32), 4), 4)
    assert np.array_equal(one.halves()[0], one.halves()[0])
    assert not np.array_equal(one.halves()[0], replace(one, name="b").halves()[0])
    assert np.allclose(sum(one.halves()[:2]) / 2, one.intensity)


def test_halves_of_complex_data_are_real_and_imaginary_part(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    z = ((rng.normal(size=(128, 128)) + 1j * rng.normal(size=(128, 128))) * 3).astype(np.complex64)
    np.save(tmp_path / "z.npy", z)
    (opened,) = opened_scenes([tmp_path / "z.npy"], Settings(looks=1.0, solver="hqs"), 64, lambda _: None)
    first = next(opened.tiles())
    median = np.median(np.abs(z) ** 2)
    assert np.allclose(first.halves()[0], 2 * z.real[:64, :64] ** 2 / median, rtol=1e-4)
    assert np.allclose(first.halves()[1], 2 * z.imag[:64, :64] ** 2 / median, rtol=1e-4)
    assert first.halves()[2:] == (0.5, 0.5)


def test_dates_that_changed_are_left_out(tmp_path: Path) -> None:
    truth = fields(128, 128).intensity
    other = truth.copy()
    other[:64, :64] *= np.where(np.arange(64) % 16 < 8, 4.0, 1.0)
    for name, x, seed in (("a", truth, 1), ("b", other, 2)):
        np.save(tmp_path / f"{name}.npy", (x * gamma(x.shape, 4, seed)).astype(np.float32))
    names = [tmp_path / "a.npy", tmp_path / "b.npy"]
    tiles = paired(opened_scenes(names, Settings(looks=4.0, grain=(0.0, 0.0), solver="hqs"), 32, lambda _: None))
    assert {t.name.split("_", 2)[2] for t in tiles} <= {
        f"{i:06d}_{j:06d}" for i in range(0, 128, 32) for j in range(0, 128, 32) if max(i, j) >= 64
    }
    assert len(tiles) >= 10
    assert tiles[0].united[1] == 8
    assert np.allclose(tiles[0].united[0], (tiles[0].halves()[0] + tiles[0].halves()[1]) / 2)
    assert not unchanged(truth[:32, :32], np.roll(truth, 16, 1)[:32, :32], 4, 4)
    np.save(tmp_path / "beside.npy", np.roll(np.load(names[1]), (2, 1), (0, 1)))
    for other, words in (
        ("a", "are the same measurement"),
        ("beside", r"the second lies [12]\.\d px down and [01]\.\d px right"),
    ):
        both = [names[0], tmp_path / f"{other}.npy"]
        with pytest.raises(BadInput, match=words):
            paired(opened_scenes(both, Settings(looks=4.0, grain=(0.0, 0.0), solver="hqs"), 32, lambda _: None))
    with pytest.raises(BadInput, match="two dates of every place"):
        paired(opened_scenes(names[:1], Settings(looks=4.0, grain=(0.0, 0.0), solver="hqs"), 32, lambda _: None))


def test_tiles_that_judge_teach_nothing() -> None:
    tiles = [replace(tile(gamma((8, 8), 4), 4), name=str(i)) for i in range(30)]
    teach, judge = split(tiles)
    assert len(judge) == 5
    assert {t.name for t in teach} | {t.name for t in judge} == {t.name for t in tiles}
    with pytest.raises(BadInput, match="give more scenes, or a smaller `side`"):
        split(tiles[:5])


class Preset(Predictive):
    """Scores that are known: by the round whose weights they are of, 0 for those it began with."""

    scores = (1.0, 0.5, 0.7, 0.49, 0.6, 0.6, 0.6)

    def __call__(self, prior: Path, tiles: object) -> np.ndarray:
        number = int(prior.parent.parent.name[6:]) if "round-" in str(prior) else 0
        return self.scores[number] + np.array([-0.2, 0.2, 0.0])


def test_a_round_is_taken_where_the_score_fell_and_two_without_gain_end_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    began: list[Path] = []
    monkeypatch.setattr(Rounds, "_draw", lambda self, number, prior: began.append(prior))
    monkeypatch.setattr(Rounds, "_train", lambda self, number, prior: None)
    tiles = [tile(gamma((8, 8), 4), 4)] * 3
    run = Rounds(tmp_path / "old", tmp_path, tiles, tiles, rounds=6, score=Preset())
    done = list(run())
    assert [o.kept for o in done] == [True, False, True, False, False]
    assert began == [run.prior, run.trained(1), run.trained(1), run.trained(3), run.trained(3)]
    assert run.best(done) == run.trained(3)
    assert run.best([]) == run.best(done[1:2]) == run.prior
    assert [o.round for o in run(done[:3])] == [4, 5]  # where a run goes on


def test_the_gain_has_the_error_of_paired_scores() -> None:
    old = np.array([1.0, 5.0, 9.0])
    assert gain(old, old - np.array([0.1, 0.2, 0.3])) == pytest.approx((0.2, 0.1 / np.sqrt(3)))


def test_a_run_goes_on_where_it_stopped(
    prior: Path, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the draws of the second round, it ends with the weights of a run that was not."""
    whole = adapt(scene, tmp_path / "whole", prior, **SMALL)
    plain, calls = em.restored, 0

    def stopping(*args: object) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls == 3 + 4 + 3 + 2:  # judged, drawn, judged, and two of the second round
            raise KeyboardInterrupt
        return plain(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(em, "restored", stopping)
    monkeypatch.setattr("restorekit.adaptation.predictive.restored", stopping)
    with pytest.raises(KeyboardInterrupt):
        adapt(scene, tmp_path / "cut", prior, **SMALL)
    assert len(list((tmp_path / "cut/round-02/draws").iterdir())) == 1
    again = adapt(scene, tmp_path / "cut", prior, resume=True, **SMALL)
    assert again.rounds == whole.rounds
    assert same_weights(
        tmp_path / "cut/round-02/run/prior.safetensors", tmp_path / "whole/round-02/run/prior.safetensors"
    )
    assert same_weights(again.path, whole.path)


def test_the_command_writes_a_prior_that_despeckles(
    prior: Path, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    settings = ["--looks", 4, "--grain", "0,0", "--rounds", 1, "--tiles", 4, "--steps", 2, "--side", 32, "--judge", 6]
    assert go("adapt", prior, scene, "--out", out, *settings) == 0
    said = capsys.readouterr()
    assert "tiles taught, 3 judged, 1 rounds" in said.out
    assert "round 1: score" in said.err
    record = json.loads((out / "adaptation.json").read_text())
    kept = record["rounds"][0]["kept"]
    assert ((out / "prior.safetensors").read_bytes() == prior.read_bytes()) is not kept
    trained = read_spec(out / "round-01/run/prior.safetensors")
    assert (trained.mean, trained.sigma_data, trained.domain) == (-2.0, 1.3, "log-intensity")
    assert (
        go(
            "despeckle",
            scene,
            tmp_path / "o.npy",
            "--looks",
            4,
            "--solver",
            "hqs",
            "--prior",
            out / "prior.safetensors",
        )
        == 0
    )
    assert "holds an adaptation already; go on with it by --resume" in refused(
        capsys, "adapt", prior, scene, "--out", out, *settings
    )
    other = refused(capsys, "adapt", prior, scene, "--out", out, "--resume", *settings[:-2], "--judge", 7)
    assert "the settings are not those that the run" in other
    np.save(tmp_path / "more.npy", np.load(scene)[::-1])
    two = [tmp_path / "more.npy", scene]
    assert "the scenes are not those" in refused(capsys, "adapt", prior, *two, "--out", out, "--resume", *settings)


def test_what_cannot_be_adapted_is_refused_before_anything_is_written(
    scene: Path, prior: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert "take `sar`" in refused(capsys, "adapt", "natural-fast", scene, "--out", out)
    assert "12 are needed; give more scenes, or a smaller --side" in refused(
        capsys, "adapt", prior, scene, "--out", out, "--looks", 4, "--grain", "0,0"
    )
    assert "give every scene once" in refused(capsys, "adapt", prior, scene, scene, "--out", out)
    assert "more than the scene has" in refused(
        capsys, "adapt", prior, scene, "--out", out, "--looks", 4, "--grain", "0,0", "--side", 256
    )
    assert "check --out, or leave --resume out" in refused(capsys, "adapt", prior, scene, "--out", out, "--resume")
    assert "two dates of every place" in refused(
        capsys, "adapt", prior, scene, "--out", out, "--looks", 4, "--grain", "0,0", "--pairs", "--side", 32
    )
    assert not out.exists()
