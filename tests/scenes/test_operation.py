"""Any operation runs over a scene: by every executor, from a journal, in memory and into a file."""

from __future__ import annotations

import pickle
import socket
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from restorekit.errors import BadInput
from restorekit.files.bands import Window
from restorekit.files.scene import Scene, scene_in_memory, scene_of
from restorekit.scenes import execute
from restorekit.scenes.blend import BlendedScene, Form
from restorekit.scenes.block_store import Layers, MemoryStore, opened
from restorekit.scenes.execute import Dask, Executor, Processes, Serial, dask_client, executor_of, on_cluster
from restorekit.scenes.grid import Grid
from restorekit.scenes.operation import BlockJob, BlockPixels, Square
from restorekit.scenes.outputs import Output, form_of
from tests.support.scenes import read_tiff, write_tiff

SIZE = 5


@dataclass(frozen=True)
class Mean:
    """A moving mean of `SIZE` pixels, plus `more`; its margin is as wide as it reads."""

    more: float = 0.0
    margin: int = SIZE // 2

    def __call__(self, block: BlockPixels) -> Layers:
        x = np.where(block.valid, block.values, 0.0).astype(np.float64)
        return {"mean": uniform_filter(x, SIZE)[block.inner] + self.more}

    def numbers(self, square: Square, layer: str) -> tuple[np.ndarray, np.ndarray] | None:
        return (square.blended(layer), square.valid) if square.valid.any() else None


def pixels() -> np.ndarray:
    x = np.random.default_rng(0).random((2, 70, 90)).astype(np.float32)
    x[0, :40, :40] = np.nan
    return x


def job_of(scene: Path | Scene, operation: Mean = Mean()) -> BlockJob:
    return BlockJob(scene, Grid(70, 90, side=32, halo=0, fade=0), (1, 2), operation)


def whole(x: np.ndarray) -> np.ndarray:
    mean = np.stack([uniform_filter(np.nan_to_num(band).astype(np.float64), SIZE) for band in x])
    return np.where(np.isnan(x), np.nan, mean).astype(np.float32)


def finished(job: BlockJob, executor: Executor, store: MemoryStore) -> BlendedScene:
    for key, layers in executor(job, [[key] for key in job.keys]):
        store.put(key, layers)
    return BlendedScene(job, store)


@pytest.mark.parametrize("executor", [Serial(), Processes(2), Dask(1)])
def test_an_operation_in_blocks_is_the_operation_on_the_whole(executor: Executor, tmp_path: Path) -> None:
    if isinstance(executor, Dask):
        pytest.importorskip("distributed")
    path = write_tiff(tmp_path / "in.tif", pixels(), nodata=np.nan)
    scene = finished(job_of(path), executor, MemoryStore())
    with scene_of(path).opened() as source:
        found = np.stack([scene.array(source, band, "mean", Form("float32", np.nan)) for band in (1, 2)])
    np.testing.assert_allclose(found, whole(pixels()), rtol=1e-6)  # float32; running sums begin elsewhere in each block


def test_a_scene_in_memory_gives_the_same_and_can_be_sent() -> None:
    source = scene_in_memory(pixels(), "pixels")
    job = pickle.loads(pickle.dumps(job_of(source)))
    scene = finished(job, Serial(), MemoryStore())
    with source.opened() as reader:
        found = scene.array(reader, 1, "mean", Form("float32", np.nan))
    np.testing.assert_allclose(found, whole(pixels())[0], rtol=1e-6)


def test_blocks_that_fade_add_up_to_one() -> None:
    """Of a field of ones with more added: every pixel of the faded blocks has the same value as those of one block."""
    source = scene_in_memory(np.ones((1, 70, 90), np.float32), "ones")
    job = BlockJob(source, Grid(70, 90, side=32, halo=4, fade=8), (1,), Mean(more=1.0))
    with source.opened() as reader:
        found = finished(job, Serial(), MemoryStore()).array(reader, 1, "mean", Form("float32", np.nan))
    np.testing.assert_allclose(found, 2.0, rtol=1e-6)


def test_the_journal_keeps_blocks_and_a_part_is_written_as_a_file(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "in.tif", pixels(), nodata=np.nan)
    job, part = job_of(path), Window(20, 30, 40, 50)
    with opened(tmp_path / "work", {"operation": "mean"}) as store:
        store.put(job.keys[0], job(job.keys[0]))
    with opened(tmp_path / "work", {"operation": "mean"}) as store:
        assert store.finished() == {job.keys[0]}
        for key, layers in Serial()(job, [job.keys[1:]]):
            store.put(key, layers)
        scene = scene_of(path)
        form = form_of(scene, tmp_path / "out.tif", "value", False)
        Output(tmp_path / "out.tif", "mean", form).write(
            scene, BlendedScene(job, store, part), tmp_path / "work", {"MADE_BY": "a test"}
        )
    np.testing.assert_allclose(read_tiff(tmp_path / "out.tif"), whole(pixels())[:, 20:60, 30:80], rtol=1e-6)


def inverse(x: int) -> float:
    return 1 / x


def test_a_cluster_answers_for_every_item_where_one_fails() -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
        answers = dict(on_cluster(cluster.scheduler_address, inverse, [1, 0, 2]))
    assert (answers[1], answers[2], type(answers[0])) == (1.0, 0.5, ZeroDivisionError)


@pytest.mark.parametrize(
    "address", ["nonsense://", "", "tls://127.0.0.1:9", "inproc://nobody", "tcp://127.0.0.1:-1", "{}"]
)
def test_who_is_no_scheduler_is_named_and_not_waited_for(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that takes the connection and never says a word."""
    pytest.importorskip("distributed")
    monkeypatch.setattr(execute, "PATIENCE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(BadInput, match="no dask scheduler answers"):
        list(on_cluster(address.format(f"tcp://127.0.0.1:{silent.getsockname()[1]}"), inverse, [1]))


def test_a_cluster_here_leaves_the_port_of_dashboards_alone() -> None:
    pytest.importorskip("distributed")
    with dask_client(None, 1) as client:
        services = client.cluster.scheduler.services
        assert services["dashboard"].port != 8787
        assert services["dashboard"].address == "127.0.0.1"


def test_unknown_executors_are_refused() -> None:
    with pytest.raises(BadInput, match="known: serial, processes, dask"):
        executor_of("threads", 2, None)
    with pytest.raises(BadInput, match="`executor=dask`"):
        executor_of("serial", 2, "tcp://somewhere:8786")
