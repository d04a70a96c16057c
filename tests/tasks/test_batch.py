"""Many pictures by one task: what is written, what is not made again, and what stops nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import tifffile
from PIL import Image

import restorekit
from restorekit import BadInput, Batch
from restorekit.files.session import session
from restorekit.notes import Notes
from restorekit.priors import find
from restorekit.priors.find import kept_priors, load_prior
from restorekit.tasks import batch as batch_module
from restorekit.tasks.batch import DONE, FAILED, THERE, BatchResult
from restorekit.tasks.batch_inputs import pictures_of
from restorekit.tasks.deblur import Deblurring

QUICK: dict[str, Any] = {"prior": "natural-fast", "steps": 1, "noise": "gaussian:0.05", "solver": "hqs"}
DEGRADE = Batch(restorekit.degrade, {"noise": "gaussian:0.1"})  # without a network


def picture(path: Path, seed: int = 0, shape: tuple[int, ...] = (16, 16, 3)) -> Path:
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8)).save(path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "deeper").mkdir(parents=True)
    for seed, name in enumerate(("a.png", "b.png", "c.bmp", ".hidden.png", "deeper/d.png")):
        picture(folder / name, seed)
    (folder / "notes.txt").write_text("no picture")
    return folder


def states(result: BatchResult) -> dict[str, str]:
    return {outcome.job.source.name: outcome.state for outcome in result.outcomes}


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if not p.name.startswith(".")}


def test_results_are_those_of_single_calls_and_the_prior_is_loaded_once(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    single = {
        p.name: restorekit.denoise(p, **QUICK).save(tmp_path / p.name)[0].read_bytes() for p in photos.glob("?.*")
    }
    loaded: list[object] = []
    load = find._loaded
    monkeypatch.setattr(find, "_loaded", lambda *given: loaded.append(given) or load(*given))
    heard: list[str] = []
    result = Batch(restorekit.denoise, QUICK)(photos, tmp_path / "out", heard=lambda o: heard.append(o.job.target.name))
    assert states(result) == {"a.png": DONE, "b.png": DONE, "c.bmp": DONE}
    assert heard == ["a.png", "b.png", "c.bmp"]
    assert len(loaded) == 1
    made = files(tmp_path / "out")
    assert {name: made[name] for name in single} == single
    record = json.loads(made["a.png.json"])
    assert [o.calls for o in result.outcomes] == [record["nfe"]] * 3
    assert result.outcomes[0].misfit == record["misfit"]
    assert repr(result) == f"BatchResult('{tmp_path / 'out'}', 3 done)"


def test_a_failed_picture_stops_no_other(photos: Path, tmp_path: Path) -> None:
    (photos / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    result = DEGRADE([photos, tmp_path / "nothing.png"], tmp_path / "out")
    assert states(result) == {"a.png": DONE, "b.png": FAILED, "c.bmp": DONE, "nothing.png": FAILED}
    assert [(o.job.source.name, o.trace) for o in result.failed] == [("b.png", ""), ("nothing.png", "")]
    assert "damaged" in result.failed[0].error
    assert "no such file" in result.failed[1].error
    lines = result.summary.read_text().splitlines()
    assert lines[0] == "picture,result,state,calls,seconds,misfit,notes,error"
    assert [line.split(",")[1:3] for line in lines[1:]] == [["a.png", "done"], ["", "failed"], ["c.bmp", "done"], ["", "failed"]]  # fmt: skip


def test_files_beside_results_are_no_pictures_of_a_folder(photos: Path, tmp_path: Path) -> None:
    (blurred := tmp_path / "blurred").mkdir()
    for name in ("a.png", "b.png"):
        picture(photos / name, 1, (48, 48, 3))
        restorekit.degrade(photos / name, camera="phone:shutter=motion:5:0").save(blurred / name)
    assert {"a_kernel.npy", "a_truth.png"} <= set(files(blurred))
    beside = len([p for p in files(blurred) if "_" in p])
    picture(blurred / "own_truth.png", 7)  # of no record
    for place in (blurred, blurred / "*.[np][pn][gy]"):
        result = DEGRADE(place, tmp_path / f"out{len(str(place))}")
        assert states(result) == {"a.png": DONE, "b.png": DONE, "own_truth.png": DONE}
        assert [*result.notes] == [
            f"{place}: {beside} of {beside + 3} files were written beside results and are left out "
            + "(a_kernel.npy, a_truth.png, b_kernel.npy, ...); name one alone to have it taken"
        ]
    named = [p.name for p in pictures_of([blurred, blurred / "a_truth.png"])]
    assert named == ["a.png", "b.png", "own_truth.png", "a_truth.png"]
    assert [p.name for p in pictures_of([blurred / "?_truth.png"])] == ["a_truth.png", "b_truth.png"]
    expanded = [p.name for p in pictures_of(sorted(blurred.iterdir()))]  # as a shell does
    assert expanded == ["a.png", "b.png", "own_truth.png"]


def broken(source: Path, *, out: Path, notes: Notes) -> NoReturn:
    raise RuntimeError("not enough memory: you tried to allocate memory" if "a" in source.stem else "odd\nthing")


def test_what_nobody_foresaw_is_one_line_and_stops_no_other(photos: Path, tmp_path: Path) -> None:
    result = Batch(broken)([photos / "a.png", photos / "b.png"], tmp_path / "out")
    first, second = result.outcomes
    assert (first.error.partition(";")[0], first.trace) == ("out of memory", "")
    assert second.error == "RuntimeError: odd thing"
    assert "in broken" in second.trace


def test_what_is_there_is_not_made_again_until_something_changed(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    DEGRADE(photos, out)
    before = files(out)
    again = DEGRADE(photos, out)
    assert set(states(again).values()) == {THERE}
    assert {k: v for k, v in files(out).items() if k != "summary.csv"} == {k: v for k, v in before.items() if k != "summary.csv"}  # fmt: skip
    picture(photos / "b.png", 9)
    assert states(DEGRADE(photos, out)) == {"a.png": THERE, "b.png": DONE, "c.bmp": THERE}
    picture(out / "a.png", 10)  # by hand
    assert states(DEGRADE(photos, out)) == {"a.png": DONE, "b.png": THERE, "c.bmp": THERE}
    (out / "c_truth.bmp").unlink()
    assert states(DEGRADE(photos, out)) == {"a.png": THERE, "b.png": THERE, "c.bmp": DONE}
    assert set(states(Batch(restorekit.degrade, {"noise": "gaussian:0.2"})(photos, out)).values()) == {DONE}
    moved = photos.rename(tmp_path / "moved")
    assert set(states(Batch(restorekit.degrade, {"noise": "gaussian:0.2"})(moved, out)).values()) == {DONE}


def test_a_file_that_the_settings_name_counts_too(photos: Path, tmp_path: Path) -> None:
    kernel = tmp_path / "k.npy"
    np.save(kernel, np.ones((3, 3)))
    blurred = Batch(restorekit.degrade, {"op": f"blur:kernel={kernel}"})
    assert states(blurred([photos / "a.png"], tmp_path / "out")) == {"a.png": DONE}
    assert states(blurred([photos / "a.png"], tmp_path / "out")) == {"a.png": THERE}
    np.save(kernel, np.ones((1, 3)))
    assert states(blurred([photos / "a.png"], tmp_path / "out")) == {"a.png": DONE}


def test_a_file_that_appears_beside_a_picture_counts_too(tmp_path: Path) -> None:
    """It would be read: of a mask put there later, the pixels are no longer measured."""
    source = tmp_path / "a.tif"
    tifffile.imwrite(source, np.random.default_rng(0).random((16, 16), np.float32))
    assert states(DEGRADE([source], tmp_path / "out")) == {"a.tif": DONE}
    assert states(DEGRADE([source], tmp_path / "out")) == {"a.tif": THERE}
    mask = np.full((16, 16), 255, np.uint8)
    mask[:4] = 0
    tifffile.imwrite(tmp_path / "a.tif.msk", mask)
    assert states(DEGRADE([source], tmp_path / "out")) == {"a.tif": DONE}
    (tmp_path / "a.tfw").write_text("10\n0\n0\n-10\n5\n-5\n")
    assert states(DEGRADE([source], tmp_path / "out")) == {"a.tif": DONE}
    assert states(DEGRADE([source], tmp_path / "out")) == {"a.tif": THERE}
    (tmp_path / "a.tif.msk").unlink()
    assert states(DEGRADE([source], tmp_path / "out")) == {"a.tif": DONE}


def test_settings_without_a_plain_form_are_never_taken_for_the_same(photos: Path, tmp_path: Path) -> None:
    unknown = Batch(restorekit.degrade, {"noise": object()})
    assert batch_module.key_of(unknown.task, unknown.settings, _job(photos)) is None
    arrays = [batch_module.key_of(restorekit.degrade, {"kernel": np.full((2, 2), v)}, _job(photos)) for v in (1.0, 2.0)]
    assert None not in arrays
    assert arrays[0] != arrays[1]


def _job(photos: Path) -> batch_module.PictureJob:
    return batch_module.PictureJob(photos / "a.png", photos.parent / "out" / "a.png")


def test_a_stopped_batch_goes_on(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def stop(_: str, done: float, total: int) -> None:
        assert total == 3
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        DEGRADE(photos, out, progress=stop)
    assert [line.split(",")[1:3] for line in (out / "summary.csv").read_text().splitlines()[1:]] == [["a.png", "done"], ["b.png", "done"]]  # fmt: skip
    with open(out / ".batch.jsonl", "a") as handle:
        handle.write('{"result": "c.bmp", "key"')  # what a kill may leave of a line
    assert states(DEGRADE(photos, out)) == {"a.png": THERE, "b.png": THERE, "c.bmp": DONE}
    assert set(states(DEGRADE(photos, out)).values()) == {THERE}


def test_folders_globs_and_files_name_each_picture_once(photos: Path, tmp_path: Path) -> None:
    result = DEGRADE([f"{photos}/*.png", photos / "a.png", f"{photos}/**/d.png"], tmp_path / "out", progress=None)
    assert [o.job.source.name for o in result.outcomes] == ["a.png", "b.png", "d.png"]


@pytest.mark.parametrize(
    ("places", "out", "settings", "said"),
    [
        (["photos", "photos/deeper/../deeper"], "photos", {}, "is the input itself"),
        (["photos", "other"], "out", {}, "would both be written to"),
        (["photos/*.gif"], "out", {}, "no file has such a name"),
        (["empty"], "out", {}, "no pictures in this folder"),
        ([], "out", {}, "no pictures were given"),
        (["photos"], "foreign", {}, "is no summary of restorekit"),
        (["photos"], "photos/notes.txt", {}, "is a file; `out` takes a folder"),
        (["photos"], "out", {"suffix": "png"}, "is none that is written; there are .png"),
        (["photos"], "out.png", {}, "is to be a folder, and has the name of a picture"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(
    places: list[str], out: str, settings: Any, said: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("other", "empty", "foreign"):
        (tmp_path / name).mkdir()
    picture(tmp_path / "other/a.png", 7)
    (tmp_path / "foreign/summary.csv").write_text("mine\n")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(BadInput, match=said):
        Batch(restorekit.degrade, **settings)(places, out)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_file_beside_one_result_does_not_replace_another(photos: Path, tmp_path: Path) -> None:
    picture(photos / "a_truth.png", 5)
    result = DEGRADE(photos, tmp_path / "out")
    assert states(result) == {"a.png": FAILED, "a_truth.png": DONE, "b.png": DONE, "c.bmp": DONE}
    assert "would replace that of another picture" in result.failed[0].error
    assert not (tmp_path / "out/a.png").exists()


def test_each_picture_has_its_own_kernel_or_all_have_one(photos: Path, tmp_path: Path) -> None:
    kernels = tmp_path / "kernels"
    kernels.mkdir()
    np.save(kernels / "a.npy", np.ones((3, 3)))
    np.save(kernels / "b_kernel.npy", np.ones((1, 3)))
    result = Batch(Deblurring, {**QUICK, "kernel": kernels})(photos, tmp_path / "out")
    assert states(result) == {"a.png": DONE, "b.png": DONE, "c.bmp": FAILED}
    assert "no file there of the name c or c_kernel" in result.failed[0].error
    named = [json.loads((tmp_path / f"out/{name}.png.json").read_text())["kernel"]["given"] for name in "ab"]
    assert named == [str(kernels / "a.npy"), str(kernels / "b_kernel.npy")]
    np.save(kernels / "c.npy", np.ones((3, 1)))
    (kernels / "c.tfw").write_text("of a map that lay there")
    (kernels / "c.json").write_text("{}")
    np.save(kernels / "a.npy", np.ones((1, 3)))
    assert states(Batch(Deblurring, {**QUICK, "kernel": kernels})(photos, tmp_path / "out")) == {"a.png": DONE, "b.png": THERE, "c.bmp": DONE}  # fmt: skip


def test_suffixes_are_those_of_the_pictures_unless_given(tmp_path: Path) -> None:
    picture(tmp_path / "a.gif", shape=(16, 16))
    picture(tmp_path / "b.png")
    made = DEGRADE([tmp_path / "a.gif", tmp_path / "b.png"], tmp_path / "out")
    assert [o.job.target.name for o in made.outcomes] == ["a.png", "b.png"]
    made = Batch(restorekit.degrade, suffix=".tif")([tmp_path / "b.png"], tmp_path / "out")
    assert [o.job.target.name for o in made.outcomes] == ["b.tif"]


def test_pages_are_pictures_of_their_own(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 65536, (3, 16, 16), np.uint16)
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack", metadata=None)
    picture(tmp_path / "one.png")
    result = Batch(restorekit.denoise, QUICK, pages="2-3")([tmp_path / "s.tif", tmp_path / "one.png"], tmp_path / "out")
    assert [(o.job.target.name, o.state) for o in result.outcomes] == [("s_p2.tif", DONE), ("s_p3.tif", DONE), ("one.png", FAILED)]  # fmt: skip
    assert json.loads((tmp_path / "out/s_p3.tif.json").read_text())["input"]["page"] == 3


def test_two_runs_do_not_share_a_folder(photos: Path, tmp_path: Path) -> None:
    def begin(*_: object) -> None:
        with pytest.raises(BadInput, match="another run writes there"):
            DEGRADE([photos / "b.png"], tmp_path / "out")

    assert states(DEGRADE([photos / "a.png"], tmp_path / "out", progress=begin)) == {"a.png": DONE}


def test_a_cluster_gives_what_this_process_gives(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.chdir(tmp_path)
    (photos / "c.bmp").write_bytes(b"BM")
    here = Batch(restorekit.denoise, QUICK)(["photos"], "here")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        away = Batch(restorekit.denoise, QUICK, scheduler=cluster.scheduler_address)(["photos"], "away")
    assert states(away) == states(here) == {"a.png": DONE, "b.png": DONE, "c.bmp": FAILED}
    assert [o.job for o in away.outcomes[:1]] == [batch_module.PictureJob(Path("photos/a.png"), Path("away/a.png"))]
    assert away.failed[0].error == here.failed[0].error
    for name in ("a.png", "b.png"):
        assert (tmp_path / "away" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    assert set(states(Batch(restorekit.denoise, QUICK)(["photos"], "away")).values()) == {THERE, FAILED}


def test_a_picture_whose_worker_died_is_a_failed_one(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(_: str, work: Any, jobs: Any) -> Any:
        for job in jobs:
            yield job, RuntimeError("it died") if job.source.stem == "a" else work(job)

    monkeypatch.setattr(batch_module, "on_cluster", lost)
    result = Batch(restorekit.degrade, scheduler="tcp://nowhere:1")(photos, tmp_path / "out")
    assert states(result) == {"a.png": FAILED, "b.png": DONE, "c.bmp": DONE}
    assert result.failed[0].error.startswith("no worker of the cluster gave an answer (RuntimeError: it died)")


def test_a_worker_elsewhere_finds_a_folder_of_kernels(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(_: str, work: Any, jobs: Any) -> Any:
        with monkeypatch.context() as there:
            there.chdir("/")
            answers = [(job, work(job)) for job in jobs]
        return iter(answers)

    monkeypatch.chdir(tmp_path)
    Path("grid").mkdir()
    for name in ("0_0", "0_1"):
        np.save(f"grid/{name}.npy", np.ones((3, 3)))
    monkeypatch.setattr(batch_module, "on_cluster", elsewhere)
    result = Batch(restorekit.degrade, {"op": "blur:kernel=grid"}, scheduler="tcp://nowhere:1")(
        ["photos"], tmp_path / "out"
    )
    assert set(states(result).values()) == {DONE}
    whole = batch_module._absolute({"kernel": "grid", "op": "blur:kernel=grid", "prior": "grid"})
    assert whole == {"kernel": f"{tmp_path}/grid", "op": f"blur:kernel={tmp_path}/grid", "prior": "grid"}


def test_priors_are_kept_within_a_block_and_loaded_again_when_their_file_changed(tmp_path: Path) -> None:
    copy = tmp_path / "own.safetensors"
    copy.write_bytes(find.shipped()["natural-fast"].read_bytes())
    assert load_prior(str(copy)) is not load_prior(str(copy))
    with session(Notes()) as files_, kept_priors():
        first = load_prior(str(copy))
        assert load_prior(str(copy)) is first
        assert load_prior(str(copy), precision="fp32") is not first
        copy.touch()
        assert load_prior(str(copy)) is not first
    assert set(files_.read) == {copy}


def test_a_truth_adds_decibels_to_the_summary(photos: Path, tmp_path: Path) -> None:
    """Of each solver, also of results that are there already."""
    settings = {"op": "denoise", "noise": "gaussian:0.1", "steps": 1, "samples": 1, "prior": "natural-fast"}
    comparing = Batch(restorekit.compare, {**settings, "solvers": ["hqs", "ddrm"], "truth": photos}, suffix=".html")
    made = comparing([photos / "a.png"], tmp_path / "out")
    with pytest.warns(restorekit.RestorekitNote, match="far off"):
        page = restorekit.compare(photos / "a.png", **settings, solvers=["hqs", "ddrm"], truth=photos / "a.png")
    assert made.outcomes[0].scores == pytest.approx(page.scores)
    table = made.summary.read_text().splitlines()
    assert table[0] == "picture,result,state,calls,seconds,misfit,notes,error,psnr hqs,ssim hqs,psnr ddrm,ssim ddrm"
    assert table[1].endswith(f",{page.scores['psnr hqs']:.4f},{page.scores['ssim hqs']:.4f},{page.scores['psnr ddrm']:.4f},{page.scores['ssim ddrm']:.4f}")  # fmt: skip
    (photos / "b.png").write_bytes(b"")
    again = comparing(photos, tmp_path / "out")
    assert states(again) == {"a.png": THERE, "b.png": FAILED, "c.bmp": DONE}
    rows = again.summary.read_text().splitlines()
    assert rows[1].split(",")[-4:] == table[1].split(",")[-4:]
    assert rows[2].endswith(",,,,")


def test_two_pictures_of_one_file_beside_are_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "ph").mkdir()
    for name in ("a.png", "a.tif"):
        picture(tmp_path / "ph" / name, 1)
    with pytest.raises(BadInput, match=r"a\.png and .*a\.tif would both be written to .*a_std\.tif; rename one"):
        Batch(restorekit.denoise, {"samples": 2, "steps": 1})(tmp_path / "ph", tmp_path / "cl")
    assert not (tmp_path / "cl").exists()
    assert Batch(restorekit.degrade)(tmp_path / "ph", tmp_path / "cl").counts == "2 done"


def test_a_result_whose_record_was_lost_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "ph").mkdir()
    for name in ("a.png", "b.png"):
        picture(tmp_path / "ph" / name, 1)
    run = Batch(restorekit.degrade, overwrite=False)
    assert run(tmp_path / "ph", tmp_path / "cl").counts == "2 done"
    (tmp_path / "cl/a.png.json").unlink()
    assert run(tmp_path / "ph", tmp_path / "cl").counts == "1 done, 1 there already"
    (tmp_path / "cl/a.png.json").unlink()
    (tmp_path / "cl/a.png").write_bytes(b"mine")
    with pytest.raises(BadInput, match=r"a\.png is there already and is no result"):
        run(tmp_path / "ph", tmp_path / "cl")
