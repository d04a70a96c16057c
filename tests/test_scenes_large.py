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

rasterio = pytest.importorskip("rasterio")

SIDE = 20_000
PATCHES = ((0, 0), (7000, 9000), (19_400, 19_400))
ONE = "from restorekit.cli.main import run; import sys; run(sys.argv[1:])"


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "in.tif"
    rng = np.random.default_rng(0)
    with rasterio.open(
        path, "w", driver="GTiff", height=SIDE, width=SIDE, count=1, dtype="float32", tiled=True, blockxsize=512,
        blockysize=512, crs="EPSG:32631", transform=rasterio.Affine(10, 0, 5e5, 0, -10, 6e6), BIGTIFF="YES",
        SPARSE_OK=True, nodata=0,
    ) as d:  # fmt: skip
        for top, left in PATCHES:
            y = rng.gamma(4, 0.25, (600, 600)).astype(np.float32)
            d.write(y, 1, window=rasterio.windows.Window(left, top, 600, 600))
    return path


def start(source: Path, target: Path) -> subprocess.Popen[bytes]:
    arguments = ["despeckle", str(source), str(target), "--solver", "boxcar", "--executor", "serial"]
    return subprocess.Popen([sys.executable, "-c", ONE, *arguments], stderr=subprocess.DEVNULL)


def finished(process: subprocess.Popen[bytes]) -> float:
    """Its largest resident memory, bytes."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_maxrss * 1024.0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is in KiB on Linux alone")
def test_memory_is_bounded_and_a_killed_run_gives_the_same_bytes(sparse: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole.tif", tmp_path / "killed.tif"
    assert finished(start(sparse, whole)) < 3e9
    process, blocks = start(sparse, killed), tmp_path / ".killed.tif.work" / "blocks"
    began = time.monotonic()
    while not (blocks.is_dir() and sum(1 for _ in blocks.iterdir()) >= 50):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() - began < 120
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not killed.exists()
    finished(start(sparse, killed))
    assert killed.read_bytes() == whole.read_bytes()
    with rasterio.open(whole) as d:
        assert d.shape == (SIDE, SIDE)
        for top, left in PATCHES:
            x = d.read(1, window=rasterio.windows.Window(left, top, 600, 600))
            assert float(x.mean()) == pytest.approx(1, rel=0.02)  # 360,000 pixels of 4 looks
        assert not d.read(1, window=rasterio.windows.Window(3000, 3000, 500, 500)).any()
