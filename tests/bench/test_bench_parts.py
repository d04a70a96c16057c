"""What the image bench stands on: rows of several processes, processes, memory, features of networks, and its page."""

from __future__ import annotations

import mmap
import re
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from restorekit.bench import memory
from restorekit.bench.images.image_sets import ENOUGH, SetDistance
from restorekit.bench.images.run_images import Images
from restorekit.bench.workers import Lost, share
from restorekit.errors import BadInput
from restorekit.files.journal import Rows
from restorekit.files.lock import alone
from restorekit.priors.perception.likeness import BACKBONES, lpips
from tests.bench.test_bench_images import bench, folder
from tests.report.test_compare_browser import CONTRAST, LAPTOP, LOADED, PHONE
from tests.support.chromium import BINARY, browser
from tests.support.jobs import maker


def _fill(path: Path, name: str) -> None:
    rows = Rows(path, ("who", "number"), ("value",))
    for i in range(20):
        rows.add(name, i, "x" * 200)


def test_rows_of_several_processes_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    workers = [get_context("fork").Process(target=_fill, args=(path, f"w{i}")) for i in range(4)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    rows = Rows(path, ("who", "number"), ("value",))
    assert len(rows.rows) == len(rows.done) == 80
    assert path.read_text().count("\n") == 81
    assert all(r["value"] == "x" * 200 for r in rows.rows)


def test_half_a_line_is_removed_and_other_columns_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    first = Rows(path, ("a",), ("b",))
    first.add("x,\n1", 2.0)
    with open(path, "a") as f:
        f.write("y,1.23")  # complete as it looks, it may have been going to be 1.2345
    again = Rows(path, ("a",), ("b",))
    assert again.has("x, 1")
    assert not again.has("y")
    with open(path, "a") as f:
        f.write("z,")
    again.add("y", 3.0)
    assert path.read_text() == 'a,b\n"x, 1",2\ny,3\n'
    with pytest.raises(BadInput, match=r"t.csv is a table of other columns \(c\)"):
        Rows(path, ("a",), ("b", "c"))


def test_a_folder_is_for_one_run_at_a_time(tmp_path: Path) -> None:
    with alone(tmp_path), pytest.raises(BadInput, match="another run"), alone(tmp_path):
        pass
    with alone(tmp_path):
        pass


def test_a_job_that_ends_its_process_is_lost_and_the_others_are_done() -> None:
    found = dict(share([0, 1, 2, 3], 2, maker))
    assert isinstance(found.pop(2), Lost)
    assert found == {0: 0, 1: 1, 3: 9}


def test_memory_is_what_was_used_in_between() -> None:
    device = torch.device("cpu")
    if not memory.reset(device):
        pytest.skip("this system does not reset its high-water mark")
    before = memory.peak(device)
    with mmap.mmap(-1, 40 << 20) as block:  # not of a heap that others may have left free
        np.frombuffer(block, np.uint8)[:] = 1
        assert memory.peak(device) - before > 35
    memory.reset(device)
    assert memory.peak(device) - before < 20


class Colours(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.mean((2, 3)), x.std((2, 3))], 1)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "net.pt"
    torch.jit.trace(Colours(), torch.rand(2, 3, 16, 16)).save(str(path))  # type: ignore[union-attr]
    return path


@pytest.mark.slow
def test_distances_of_sets_are_those_of_their_formulas(network: Path) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.uniform(0, top, (ENOUGH, 3, 16, 16)).astype(np.float32) for top in (1.0, 0.8))
    sets = SetDistance(network, 16)
    assert sets.name == "FID (given features)"
    f, k = sets(list(b), list(a))
    p, q = (Colours()(torch.from_numpy(t)).double() for t in (a, b))
    sp, sq = (t.T.cov() for t in (p, q))
    root = torch.linalg.eigvals(sp @ sq).real.clamp(min=0).sqrt().sum()
    assert f == pytest.approx(
        float((p.mean(0) - q.mean(0)).square().sum() + sp.trace() + sq.trace() - 2 * root), rel=1e-3
    )
    n, kernel = ENOUGH, lambda s, t: (s @ t.T / s.shape[1] + 1) ** 3
    off = lambda m: float((m.sum() - m.diagonal().sum()) / (n * (n - 1)))
    assert k == pytest.approx(off(kernel(p, p)) + off(kernel(q, q)) - 2 * float(kernel(p, q).mean()), rel=1e-3)
    assert np.isnan(sets(list(b)[:-1], list(a)[:-1])).all()
    shipped = SetDistance(None, 16)
    assert "not FID" in shipped.name
    same, other = shipped(list(a), list(a)), shipped(list(b), list(a))
    assert same[0] == pytest.approx(0, abs=1e-3 * other[0])
    assert other[1] > same[1]


def test_a_network_of_another_shape_is_refused(tmp_path: Path, network: Path) -> None:
    class Whole(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    path = tmp_path / "whole.pt"
    torch.jit.trace(Whole(), torch.rand(2, 3, 16, 16)).save(str(path))  # type: ignore[union-attr]
    with pytest.raises(BadInput, match=r"must give features \(B, D\)"):
        _ = SetDistance(path, 16).module
    assert SetDistance(network, 16).module.num_features == 6


@pytest.mark.slow
def test_lpips_takes_weights_that_are_here_and_downloads_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from restorekit.priors.perception.vision import mend_torchvision

    mend_torchvision()
    from torchvision.models import squeezenet1_1

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    assert lpips("auto") is None
    with pytest.raises(BadInput, match="put it there"):
        lpips("alex")
    torch.manual_seed(0)
    file = tmp_path / "home" / "hub" / "checkpoints" / BACKBONES["squeeze"]
    file.parent.mkdir(parents=True)
    torch.save(squeezenet1_1().state_dict(), file)
    found = lpips("auto")
    assert found is not None
    assert found == lpips("squeeze") == lpips(str(file))
    x = np.random.default_rng(0).random((3, 48, 48)).astype(np.float32)
    assert found(x, x) == 0
    assert found(x, 1 - x) > found(x, x * 0.9) > 0
    a, b = (torch.from_numpy(p)[None] for p in (x, x * np.float32(0.9)))
    assert float(found.between(b, a)) == pytest.approx(found(x * 0.9, x), rel=1e-5)
    leaf = b.requires_grad_(True)
    (slope,) = torch.autograd.grad(found.between(leaf, a), leaf)
    assert float(found.between(b - 1e-2 * slope / slope.abs().max(), a)) < float(found.between(b, a))
    out = replace(bench(folder(tmp_path / "photos"), tmp_path / "out"), limit=1, solvers=("hqs",))()
    assert 0 < float(out.rows[0]["lpips_squeeze"]) < 2
    assert "| LPIPS |" in (tmp_path / "out" / "images.md").read_text()
    bad = tmp_path / BACKBONES["squeeze"]
    bad.write_bytes(b"no")
    with pytest.raises(BadInput, match="not a file of weights"):
        lpips(str(bad))
    torch.save({"a": torch.ones(1)}, bad)
    with pytest.raises(BadInput, match="not the weights of squeeze"):
        lpips(str(bad))


@pytest.mark.skipif(BINARY is None, reason="no chromium; Debian's package is enough")
def test_the_page_loads_alone_fits_and_can_be_read(tmp_path: Path) -> None:
    photos = folder(tmp_path / "photos", count=2)
    settings: Images = replace(bench(photos, tmp_path / "out"), solvers=("hqs", "ddrm:eta=0.5", "diffpir"), steps=(1, 3), samples=2,
                               ops=("blur:kernel=motion:5:30", "average:factor=2"))  # fmt: skip
    settings()
    page = tmp_path / "out" / "images.html"
    with browser(tmp_path / "profile") as chromium:
        for size in (LAPTOP, PHONE):
            for dark in (False, True):
                chromium.open(page, *size, dark=dark)
                assert min(chromium.run(LOADED)) > 0
                assert chromium.requests() == [page.as_uri()]
                assert chromium.complaints() == []
                assert chromium.run("document.documentElement.scrollWidth") <= chromium.run("innerWidth") == size[0]
                contrasts = chromium.run(CONTRAST)
                assert len(contrasts) > 150
                assert min(contrasts)[0] >= 4.5, min(contrasts)
                # The colours of a plot are those of the style, and its names are as large as can be read.
                colour = chromium.run("getComputedStyle(document.querySelector('.plot .s1 .mark')).stroke")
                assert len(set(re.findall(r"\d+", colour))) > 1
                assert chromium.run("document.querySelector('.plot .name').getBoundingClientRect().height") >= 12
        chromium.open(page, *LAPTOP)
        order = "[...document.querySelectorAll('tbody')[0].rows].map((r) => Number(r.cells[3]?.dataset.value))"
        chromium.run("document.querySelectorAll('thead tr:last-child button')[3].click()")
        values = [v for v in chromium.run(order) if v]
        assert values == sorted(values)
