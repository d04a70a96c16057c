"""A scene of 20,000 x 20,000 pixels in bounded memory, and taken up again after a kill, by the command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from restorekit.cli.main import run

rasterio = pytest.importorskip("rasterio")

SIDE = 20_000
SMALLER = 4_000  # of which a run can be killed as well, in a fraction of the time
ONE = "from restorekit.cli.main import run; import sys; run(sys.argv[1:])"


def sparse(path: Path, side: int) -> list[tuple[int, int]]:
    """A scene that is empty but for three squares; (top, left) of these."""
    rng = np.random.default_rng(0)
    patches = [(0, 0), (side // 3 + 333, max(0, side // 2 - 1000)), (side - 600, side - 600)]
    with rasterio.open(
        path, "w", driver="GTiff", height=side, width=side, count=1, dtype="float32", tiled=True, blockxsize=512,
        blockysize=512, crs="EPSG:32631", transform=rasterio.Affine(10, 0, 5e5, 0, -10, 6e6), BIGTIFF="YES",
        SPARSE_OK=True, nodata=0,
    ) as d:  # fmt: skip
        for top, left in patches:
            y = rng.gamma(4, 0.25, (600, 600)).astype(np.float32)
            d.write(y, 1, window=rasterio.windows.Window(left, top, 600, 600))
    return patches


def command(source: Path, target: Path) -> list[str]:
    return ["despeckle", str(source), str(target), "--solver", "boxcar", "--executor", "serial"]


def start(source: Path, target: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", ONE, *command(source, target)], stderr=subprocess.DEVNULL)


def here(source: Path, target: Path) -> None:
    """In this process, which has its modules already."""
    with pytest.raises(SystemExit) as stop:
        run(command(source, target))
    assert stop.value.code == 0


def finished(process: subprocess.Popen[bytes]) -> float:
    """Its largest resident memory, bytes."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_maxrss * 1024.0


def flat(path: Path, side: int, patches: list[tuple[int, int]]) -> None:
    with rasterio.open(path) as d:
        assert d.shape == (side, side)
        for top, left in patches:
            x = d.read(1, window=rasterio.windows.Window(left, top, 600, 600))
            assert float(x.mean()) == pytest.approx(1, rel=0.02)  # 360,000 pixels of 4 looks
        assert not d.read(1, window=rasterio.windows.Window(side // 6, side // 6, 500, 500)).any()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is in KiB on Linux alone")
def test_memory_does_not_grow_with_the_scene(tmp_path: Path) -> None:
    largest = []
    for side in (3_600, 8_000):
        patches = sparse(tmp_path / f"in{side}.tif", side)
        largest.append(finished(start(tmp_path / f"in{side}.tif", tmp_path / f"out{side}.tif")))
        flat(tmp_path / f"out{side}.tif", side, patches)
    assert largest[1] < largest[0] + 1e8  # half of what one array of float32 would add


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is in KiB on Linux alone")
def test_memory_is_bounded(tmp_path: Path) -> None:
    patches = sparse(tmp_path / "in.tif", SIDE)
    assert finished(start(tmp_path / "in.tif", tmp_path / "out.tif")) < 3e9
    flat(tmp_path / "out.tif", SIDE, patches)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="signals")
def test_a_killed_run_gives_the_same_bytes(tmp_path: Path) -> None:
    source, whole, killed = (tmp_path / name for name in ("in.tif", "whole.tif", "killed.tif"))
    patches = sparse(source, SMALLER)
    here(source, whole)
    flat(whole, SMALLER, patches)
    process, blocks = start(source, killed), tmp_path / ".killed.tif.work" / "blocks"
    began = time.monotonic()
    while not (blocks.is_dir() and sum(1 for _ in blocks.iterdir()) >= 4):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() - began < 120
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not killed.exists()
    here(source, killed)
    assert killed.read_bytes() == whole.read_bytes()
