"""The examples run as they are, in an empty folder, and print what they say they print."""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
SAYS = {
    "deepinv_physics": r"restored: [\d.]+ dB",
    "own_noise": r"restored: [\d.]+ dB",
    "own_prior": r"natural-fast +[\d.]+ dB",
    "own_operator": r"restored: [\d.]+ dB",
    "own_solver": r"spread [\d.]+ of the exact one",
    "uncertainty": r"truth within 2 standard deviations: \d+% of pixels",
    "compare_samplers": r"mmps +12",
    "fuse_pair": r"fused +0\.\d+",
    "despeckle_tile": r"hqs +\d+\.\d",
    "derain_picture": r"repaired +\d+\.\d+ +0\.\d+",
    "deblur_wrong_kernel": r"true_kernel +\d+\.\d+ dB",
}

QUICK = {"despeckle_tile": ("--steps", "3"), "compare_samplers": ("--calls", "12")}


ALONE = "own_prior"  # in a process of its own, which imports what it needs itself


def run(name: str, folder: Path, *arguments: str) -> str:
    script = str(ROOT / "examples" / f"{name}.py")
    if name == ALONE:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, script, *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.chdir(folder)
        patch.setattr(sys, "argv", [script, *arguments])
        runpy.run_path(script, run_name="__main__")
    return said.getvalue()


@pytest.mark.parametrize("name", SAYS)
def test_an_example_runs_and_says_what_it_found(name: str, tmp_path: Path) -> None:
    if name == "deepinv_physics":
        _needs_deepinv()
    if name in ("fuse_pair", "despeckle_tile"):
        pytest.importorskip("rasterio")
    said = run(name, tmp_path, *QUICK.get(name, ()))
    assert re.search(SAYS[name], said), said
    if name == "deepinv_physics":
        before, after = (float(n) for n in re.findall(r"([\d.]+) dB", said))
        assert after > before + 2
    if name == "own_solver":
        error, spread = (float(n) for n in re.findall(r"(?:mean|spread) ([\d.]+)", said))
        assert error < 0.3
        assert 0.8 < spread < 1.25
    if name == "fuse_pair":
        ours, mean = (float(re.findall(rf"^{n} +([\d.]+)", said, re.MULTILINE)[0]) for n in ("fused", "mean"))
        assert ours > 1.3 * mean
    if name == "despeckle_tile":
        _the_tile_is_flatter_and_lies_where_it_lay(said, tmp_path)
    if name == "derain_picture":
        rainy, plain, repaired = (
            float(n) for n in re.findall(r"^(?:rainy|plain|repaired) +([\d.]+)", said, re.MULTILINE)
        )
        assert repaired > plain > rainy
    if name == "deblur_wrong_kernel":
        told, corrected, true = (float(n) for n in re.findall(r"([\d.]+) dB", said))
        assert told + 4 < corrected < true + 0.5
    for picture in re.findall(r"^(\w+\.png): ", said, re.MULTILINE):
        assert (tmp_path / picture).stat().st_size > 1000


def _the_tile_is_flatter_and_lies_where_it_lay(said: str, folder: Path) -> None:
    import rasterio

    enl, ratio = (
        {n: float(v[i]) for n, *v in re.findall(r"^(\w+) +([\d.]+) +([\d.]+)", said, re.MULTILINE)} for i in (0, 1)
    )
    assert enl["measured"] < 10
    assert enl["lee"] > 3 * enl["measured"]  # its window has 49 pixels of a grain of about three
    assert enl["hqs"] > 2 * enl["lee"]
    assert all(0.95 < ratio[name] < 1.05 for name in ("lee", "hqs"))
    for name in ("lee", "hqs"):
        with rasterio.open(folder / f"{name}.tif") as d:
            assert (d.shape, d.count, d.dtypes[0]) == ((160, 160), 1, "float32")
            assert d.crs is not None
            assert (d.transform.c, d.transform.f) != (0, 0)


def test_the_sheet_of_priors_has_a_row_for_each_that_is_asked_for(tmp_path: Path) -> None:
    said = run("every_prior", tmp_path, "--prior", "natural-fast", "--prior", "mamba-cascade", "--steps", "3")
    rows = [line.split()[:2] for line in said.splitlines() if line.endswith(" dB")]
    assert [row[0] for row in rows] == 3 * ["natural-fast"] + 3 * ["mamba-cascade"]
    assert len({tuple(row) for row in rows}) == 6
    with Image.open(tmp_path / "every_prior.png") as sheet:
        assert sheet.size == (5 * 134 - 6, 2 * 162)


def test_the_command_line_takes_the_operator_and_solver_of_the_examples() -> None:
    from restorekit.text.names import operator_of, solver_of

    ghost = operator_of(f"{ROOT}/examples/own_operator.py:Ghost:shift=3,strength=0.25", measured=(2, 5, 8))
    assert ghost.image_shape == (2, 5, 8)
    assert (ghost.shift, ghost.strength) == (3, 0.25)  # type: ignore[attr-defined]
    langevin = solver_of(f"{ROOT}/examples/own_solver.py:Langevin:repeats=2")
    assert langevin.calls([1.0, 0.5, 0.0]) == 4


def _needs_deepinv() -> None:
    from restorekit.errors import BadInput
    from restorekit.interop.deepinv import import_deepinv

    try:
        import_deepinv()
    except BadInput as error:
        pytest.skip(str(error))
