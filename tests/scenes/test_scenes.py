"""Scenes in blocks: the same bytes however they were cut up, by whom, and after whatever interruption."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from restorekit.despeckling.plan import DespecklePlan, Settings, plan
from restorekit.errors import BadInput
from restorekit.files.bands import Window
from restorekit.sar.filters import Lee
from restorekit.scenes.execute import Dask, Processes
from tests.support.scenes import read_tiff, speckled, tiny_prior, write_tiff

FAST = Settings(solver="hqs", prior=tiny_prior(), steps=2, looks=4.0, block=64, decorrelate="none")
SAMPLED = replace(FAST, solver="diffpir", samples=2)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    y = np.stack([speckled(110, 130, seed=seed)[1] for seed in (0, 1)])
    return write_tiff(tmp_path_factory.mktemp("scene") / "in.tif", y)


def run(source: Path, target: Path, settings: Settings = FAST, **more: Any) -> DespecklePlan:
    made = plan(source, target, settings, more.pop("preview", None))
    made.run(more.pop("executor", None), **more)
    return made


@pytest.fixture(scope="module")
def whole(scene: Path) -> Path:
    target = scene.with_name("whole.tif")
    run(scene, target, SAMPLED)
    return target


@pytest.mark.parametrize("tile", [64, 100])
def test_the_size_of_a_task_does_not_change_a_byte(scene: Path, whole: Path, tile: int, tmp_path: Path) -> None:
    run(scene, tmp_path / "whole.tif", SAMPLED, tile=tile)
    assert digest(tmp_path / "whole.tif") == digest(whole)
    assert digest(tmp_path / "whole_std.tif") == digest(whole.with_name("whole_std.tif"))


def test_processes_do_not_change_a_byte(scene: Path, whole: Path, tmp_path: Path) -> None:
    run(scene, tmp_path / "whole.tif", SAMPLED, executor=Processes(2))
    assert digest(tmp_path / "whole.tif") == digest(whole)


def workers() -> set[str]:
    """Processes that this one spawned."""
    listed = subprocess.run(["pgrep", "-P", str(os.getpid())], capture_output=True, text=True, check=False)
    return {pid for pid in listed.stdout.split() if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()}


def kill_a_worker(others: set[str]) -> str | None:
    """The worker that was killed, none of `others`, which are of another test."""
    for pid in workers() - others:
        os.kill(int(pid), signal.SIGKILL)
        return pid
    return None


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_a_killed_worker_is_told_and_the_same_command_goes_on(scene: Path, whole: Path, tmp_path: Path) -> None:
    others = workers()

    def progress(done: int, total: int) -> None:
        if done == 2:
            assert kill_a_worker(others)

    with pytest.raises(BadInput, match=r"a worker was killed.* the same command goes on"):
        run(scene, tmp_path / "whole.tif", SAMPLED, executor=Processes(2), progress=progress)
    assert not (tmp_path / "whole.tif").exists()
    run(scene, tmp_path / "whole.tif", SAMPLED)
    assert digest(tmp_path / "whole.tif") == digest(whole)


def test_a_cluster_whose_worker_is_killed_does_not_change_a_byte(scene: Path, whole: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    killed, others = [], workers()

    def progress(done: int, total: int) -> None:
        if done == 2 and not killed:
            killed.append(kill_a_worker(others))

    run(scene, tmp_path / "whole.tif", SAMPLED, executor=Dask(2), progress=progress)
    assert killed or not Path("/proc").is_dir()
    assert digest(tmp_path / "whole.tif") == digest(whole)


def test_a_preview_is_the_part_of_the_whole(scene: Path, whole: Path, tmp_path: Path) -> None:
    import rasterio

    part = Window(30, 50, 70, 41)
    made = run(scene, tmp_path / "part.tif", SAMPLED, preview=part)
    assert 0 < len(made.keys) < len(made.job.keys)
    for name in ("", "_std"):
        a, b = tmp_path / f"part{name}.tif", whole.with_name(f"whole{name}.tif")
        np.testing.assert_array_equal(read_tiff(a), read_tiff(b)[:, 30:100, 50:91])
        with rasterio.open(a) as x, rasterio.open(b) as y:
            assert x.transform @ (0, 0) == y.transform @ (50, 30)


def test_a_preview_outside_is_refused(scene: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="110 rows and 130 columns"):
        plan(scene, tmp_path / "x.tif", FAST, Window(100, 100, 60, 60))


KILLED = """
import sys
from pathlib import Path
from restorekit.despeckling.plan import Settings, plan
settings = Settings(solver="hqs", prior=sys.argv[3], steps=2, looks=4.0, block=64, decorrelate="none")
made = plan(Path(sys.argv[1]), Path(sys.argv[2]), settings)
made.run()
"""


def test_a_killed_run_goes_on_and_gives_the_same_bytes(scene: Path, tmp_path: Path) -> None:
    run(scene, tmp_path / "whole.tif")
    target = tmp_path / "killed.tif"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(scene), str(target), tiny_prior()])
    blocks = tmp_path / ".killed.tif.work" / "blocks"
    began = time.monotonic()
    while not (blocks.is_dir() and len(list(blocks.glob("*.npz"))) >= 3):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() - began < 120
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not target.exists()
    kept = set(blocks.glob("*.npz"))
    damaged = min(kept)
    damaged.write_bytes(damaged.read_bytes()[:-40])  # as after a loss of power
    calls = []
    run(scene, target, progress=lambda done, total: calls.append((done, total)))
    total = calls[-1][1]
    assert calls[-1] == (total, total)
    assert len(calls) == total - len(kept) + 1
    assert digest(target) == digest(tmp_path / "whole.tif")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "killed.tif",
        "killed.tif.json",
        "whole.tif",
        "whole.tif.json",
    ]


def test_unfinished_work_of_other_settings_is_not_lost(scene: Path, tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Enough

    target = tmp_path / "out.tif"
    with pytest.raises(Enough):
        run(scene, target, progress=stop)
    other = replace(FAST, steps=3)
    with pytest.raises(BadInput, match=r"another steps \(2\).*`restart`"):
        run(scene, target, other)
    run(scene, target, other, restart=True)
    assert target.is_file()


def test_two_runs_at_once_are_refused(scene: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.tif"

    def again(done: int, total: int) -> None:
        with pytest.raises(BadInput, match="another run writes there"):
            run(scene, target)

    run(scene, target, progress=again)


@pytest.mark.parametrize("k", [1e-4, 0.37, 1e4])
@pytest.mark.parametrize("solver", ["hqs", "lee"])
def test_the_result_scales_with_the_scene(solver: str, k: float, tmp_path: Path) -> None:
    y = speckled()[1]
    settings = Settings(solver=solver, steps=2 if solver == "hqs" else None, block=128, domain="intensity")
    found = []
    for factor in (1.0, k):
        np.save(tmp_path / "in.npy", y * np.float32(factor))
        run(tmp_path / "in.npy", tmp_path / "out.npy", settings)
        found.append(np.load(tmp_path / "out.npy").astype(np.float64) / np.float64(np.float32(factor)))
    # Inputs and outputs are rounded to float32, 6e-8; the logarithm by 1e-7 or so more, in the units of the network.
    np.testing.assert_allclose(found[1], found[0], rtol=2e-5)


def test_units_of_one_scene_give_one_result(tmp_path: Path) -> None:
    y = speckled()[1].astype(np.float64)
    rng = np.random.default_rng(0)
    forms = {
        "intensity": (y, lambda x: x), "amplitude": (np.sqrt(y), np.square), "db": (10 * np.log10(y), lambda x: 10 ** (x / 10)),
        "complex": (np.sqrt(y) * np.exp(2j * np.pi * rng.random(y.shape)), lambda x: x),
    }  # fmt: skip
    found = {}
    for domain, (values, back) in forms.items():
        np.save(tmp_path / "in.npy", values)
        run(
            tmp_path / "in.npy",
            tmp_path / "out.npy",
            Settings(solver="hqs", prior=tiny_prior(), steps=2, looks=4.0, block=128, domain=domain),
        )
        found[domain] = back(np.load(tmp_path / "out.npy").astype(np.float64))
    for domain in forms:
        np.testing.assert_allclose(found[domain], found["intensity"], rtol=2e-5, err_msg=domain)


def test_a_filter_in_blocks_is_the_filter_of_the_whole(tmp_path: Path) -> None:
    y = speckled()[1]
    np.save(tmp_path / "in.npy", y)
    run(tmp_path / "in.npy", tmp_path / "out.npy", Settings(solver="lee:size=5", looks=4.0, block=64))
    expected = Lee(4.0, 5)(y.astype(np.float64), np.ones(y.shape, np.bool_))
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, rtol=1e-6)  # float32


def test_no_data_no_signal_and_data(tmp_path: Path) -> None:
    y = speckled(100, 120)[1]
    y[:10] = np.nan
    y[40:44, 50:54] = 0.0
    y[60, 70] = -3.0  # what thermal noise removal leaves
    y[90:, :5] = 0.0  # at the border: outside the swath
    source, target = write_tiff(tmp_path / "in.tif", y, nodata=np.nan), tmp_path / "out.tif"
    run(source, target, Settings(solver="hqs", steps=2, looks=4.0, domain="intensity"))
    out = read_tiff(target)[0]
    nothing = np.zeros(y.shape, bool)
    nothing[:10] = nothing[90:, :5] = True
    np.testing.assert_array_equal(np.isnan(out), nothing)
    dark = np.zeros(y.shape, bool)
    dark[40:44, 50:54] = True
    assert len(np.unique(out[dark])) == 1
    assert 0 < float(out[dark].max()) < 1e-3 * float(np.median(out[~nothing]))
    assert 0.5 < float(out[60, 70] / np.median(out[57:64, 67:74])) < 2  # restored from its neighbours
    clean = speckled(100, 120)[1]
    run(
        write_tiff(tmp_path / "clean.tif", clean),
        tmp_path / "clean_out.tif",
        Settings(solver="hqs", steps=2, looks=4.0),
    )
    far = np.s_[10:30, 60:]
    assert float(np.abs(np.log(out[far] / read_tiff(tmp_path / "clean_out.tif")[0][far])).max()) < 1.0


def test_bands_that_are_not_asked_for_stay_as_they_are(tmp_path: Path) -> None:
    y = np.stack([speckled(150, 170)[1], np.linspace(30, 45, 150 * 170, dtype=np.float32).reshape(150, 170)])
    y[1, :10, :10] = 0
    source = write_tiff(tmp_path / "in.tif", y)
    made = plan(source, tmp_path / "out.tif", Settings(solver="lee", bands=(1,)))
    made.run()
    assert "band 2: not asked for, it stays as it is" in made.said
    found = read_tiff(tmp_path / "out.tif")
    np.testing.assert_array_equal(found[1], y[1])
    assert found[0].std() < 0.8 * y[0].std()


def db(looks: float = 4.4, seed: int = 0) -> np.ndarray:
    """A scene in dB, (192, 192)."""
    return (10 * np.log10(0.05 * np.random.default_rng(seed).gamma(looks, 1 / looks, (192, 192)))).astype(np.float32)


@pytest.mark.parametrize("fill", [-9999.0, -32768.0, 0.0])
def test_fill_that_the_file_does_not_name_is_no_measurement(fill: float, tmp_path: Path) -> None:
    y = db()
    y[:, :50] = fill
    np.save(tmp_path / "in.npy", y)
    made = plan(tmp_path / "in.npy", tmp_path / "out.npy", Settings(solver="lee"))
    made.run()
    assert made.bands[1][1].looks == pytest.approx(4.4, rel=0.15)
    assert any("is taken for no data" in line for line in made.said) == (fill != 0)
    found = np.load(tmp_path / "out.npy")
    np.testing.assert_array_equal(found[:, :50], y[:, :50])
    assert found[:, 50:].std() < 0.6 * y[:, 50:].std()


@pytest.mark.parametrize(
    ("values", "domain", "words"),
    [
        (np.rint(100 * db()).astype(np.int16), "auto", "are no dB; .* -scale 0.01"),
        (np.maximum(db(), 20 + db().max()), "db", "one value repeats itself|hardly any speckle"),
        (10 ** (db() / 10) - 0.02, "auto", "give `domain=db` or `domain=intensity`"),
        (db(), "intensity", "give `domain=db`"),
        (10 ** (db() / 10), "db", "hardly any speckle"),
        (np.stack([db(), db()], -1), "auto", "two bands or real and imaginary parts"),
    ],
)
def test_numbers_of_another_unit_are_refused(values: np.ndarray, domain: str, words: str, tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", values)
    with pytest.raises(BadInput, match=words):
        plan(tmp_path / "in.npy", tmp_path / "out.npy", Settings(solver="lee", domain=domain))


def test_intensities_less_their_noise_are_without_signal_where_below_zero(tmp_path: Path) -> None:
    y = 10 ** (db() / 10)
    y[:, :40] -= 0.03
    np.save(tmp_path / "in.npy", y)
    made = plan(tmp_path / "in.npy", tmp_path / "out.npy", Settings(solver="lee", domain="intensity"))
    made.run()
    assert any("count as no signal" in line for line in made.said)
    found = np.load(tmp_path / "out.npy")
    np.testing.assert_array_equal(found[found <= 0], y.astype(np.float32)[found <= 0])  # stays; alone, it is restored


def test_no_output_is_the_input(tmp_path: Path) -> None:
    source = tmp_path / "scene_std.npy"
    np.save(source, db())
    with pytest.raises(BadInput, match="is the input itself"):
        plan(source, tmp_path / "scene.npy", Settings(samples=2))
    plan(source, tmp_path / "scene.npy", Settings(solver="hqs"))


def test_floats_that_may_be_amplitudes_are_said(tmp_path: Path) -> None:
    y = 0.2 * np.random.default_rng(0).gamma(4.4, 1 / 4.4, (192, 192))
    said = []
    for name, x in (("one", y), ("other", np.sqrt(y))):  # of which nothing tells
        np.save(tmp_path / f"{name}.npy", x)
        said.append(plan(tmp_path / f"{name}.npy", tmp_path / "out.npy", Settings(solver="lee")).said)
    assert not any("give `domain=amplitude`" in line for line in said[0])
    assert any("if they are amplitudes, of 4." in line for line in said[1])


@pytest.mark.parametrize("solver", ["hqs", "lee", "refined-lee", "frost", "gamma-map", "boxcar"])
def test_a_scene_of_nothing_is_copied(solver: str, tmp_path: Path) -> None:
    empty = np.full((40, 50), np.nan, np.float32)
    source = write_tiff(tmp_path / "in.tif", empty, nodata=np.nan)
    made = run(source, tmp_path / "out.tif", Settings(solver=solver))
    assert any("nothing was measured" in line for line in made.said)
    assert np.isnan(read_tiff(tmp_path / "out.tif")).all()


def test_a_kept_type_never_turns_data_into_no_data(tmp_path: Path) -> None:
    dark = np.random.default_rng(0).integers(1, 4, (64, 64)).astype(np.uint16)
    dark[:8] = 0
    source = write_tiff(tmp_path / "in.tif", dark, nodata=0)
    run(source, tmp_path / "out.tif", Settings(solver="boxcar", looks=1.0, keep_dtype=True, domain="amplitude"))
    out = read_tiff(tmp_path / "out.tif")[0]
    assert out.dtype == np.uint16
    np.testing.assert_array_equal(out == 0, dark == 0)


def test_deviations_are_those_of_the_samples(scene: Path, whole: Path, tmp_path: Path) -> None:
    draws = []
    for seed in range(2):
        made = plan(scene, tmp_path / "x.tif", Settings(solver="diffpir", steps=2, samples=2, looks=4.0, block=64, decorrelate="none"))  # fmt: skip
        key = (1, 1, 1)
        grid, (band, facts) = made.job.grid, made.bands[1]
        with made.scene.opened() as reader:
            raw, y, _, signal = band.read(reader, grid.seen(1, 1))
        from restorekit.despeckling.methods import SpeckledBlock

        drawn = made.settings.method(SpeckledBlock(grid.seen(1, 1), 1, raw, y, signal, facts))
        inner = grid.kept(1, 1).inside(grid.seen(1, 1))
        layers = made.job(key)
        np.testing.assert_allclose(layers["mean"] * facts.median, drawn[(slice(None), *inner)].mean(0), rtol=1e-6)
        np.testing.assert_allclose(layers["std"], drawn[(slice(None), *inner)].std(0, ddof=1), rtol=1e-5)
        draws.append(drawn[seed])
    assert not np.allclose(draws[0], draws[1])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(solver="wavelet"), "unknown solver 'wavelet'; known: .*hqs.*; or a filter: boxcar, lee"),
        (Settings(solver="lee:size=4"), "size=4 odd"),
        (Settings(solver="lee", samples=4), "leave out `samples`"),
        (Settings(solver="lee", steps=4), "leave out `steps`"),
        (Settings(solver="lee", prior="sar"), "leave out `prior`"),
        (Settings(solver="lee", bands=(1, 3)), "`bands=3`: in.tif has 1, 2"),
        (Settings(solver="hqs", samples=4), "one answer, no samples"),
        (Settings(solver="ddrm"), "Gaussian noise"),
        (Settings(looks=0.0), "`looks=0` must be above 0"),
        (Settings(looks=-2.0), "`looks=-2` must be above 0"),
        (Settings(prior="natural"), "take `prior=sar`"),
        (Settings(domain="power"), "unknown domain 'power'"),
        (Settings(domain="complex"), "the file holds float32"),
        (Settings(decorrelate="maybe"), "unknown `decorrelate` 'maybe'"),
    ],
)
def test_impossible_settings_are_refused_before_any_work(
    scene: Path, settings: Settings, words: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=words):
        plan(scene, tmp_path / "out.tif", settings)
    assert not list(tmp_path.iterdir())
