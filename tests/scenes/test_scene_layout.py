"""Arrays of several bands: their axes are stated, and the result has those of the input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from restorekit.despeckling.plan import Settings, plan
from restorekit.files.reading import Reading
from restorekit.files.scene import scene_of
from restorekit.scenes.execute import executor_of
from tests.support.io_files import refusal
from tests.support.scenes import speckled, write_tiff

Y = np.stack([speckled(seed=n)[1] for n in range(3)])


def boxcar(source: Path, target: Path, layout: str | None = None) -> np.ndarray:
    settings = Settings(solver="boxcar", looks=4.0, domain="intensity", reading=Reading(layout))
    plan(source, target, settings).run()
    return np.load(target)


def test_the_result_has_the_axes_of_the_input(tmp_path: Path) -> None:
    np.save(tmp_path / "first.npy", Y)
    np.save(tmp_path / "last.npy", np.moveaxis(Y, 0, -1))
    first = boxcar(tmp_path / "first.npy", tmp_path / "a.npy", "CHW")
    last = boxcar(tmp_path / "last.npy", tmp_path / "b.npy")
    assert first.shape == Y.shape
    np.testing.assert_array_equal(np.moveaxis(last, -1, 0), first)


def test_an_array_of_a_raster_has_its_bands_last(tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    found = boxcar(write_tiff(tmp_path / "in.tif", Y), tmp_path / "out.npy")
    np.save(tmp_path / "last.npy", np.moveaxis(Y, 0, -1))
    np.testing.assert_array_equal(found, boxcar(tmp_path / "last.npy", tmp_path / "b.npy"))


def test_axes_are_not_guessed(tmp_path: Path) -> None:
    np.save(tmp_path / "first.npy", Y)
    refusal(lambda: scene_of(tmp_path / "first.npy"), "(3, 150, 170)", "`layout=CHW`", "np.moveaxis(x, 0, -1)")
    np.save(tmp_path / "two.npy", np.moveaxis(Y[:2], 0, -1))
    refusal(lambda: scene_of(tmp_path / "two.npy"), "two bands or real and imaginary parts", "`layout=HWC`")
    assert scene_of(tmp_path / "two.npy", Reading("HWC")).count == 2
    refusal(lambda: Reading("WHC"), "`layout=WHC` is unknown; it is HWC or CHW")


def test_processes_read_as_they_are_told(tmp_path: Path) -> None:
    np.save(tmp_path / "first.npy", Y)
    settings = Settings(solver="boxcar", looks=4.0, domain="intensity", block=64, reading=Reading("CHW"))
    plan(tmp_path / "first.npy", tmp_path / "a.npy", settings).run(executor_of("processes", 2, None))
    plan(tmp_path / "first.npy", tmp_path / "b.npy", settings).run()
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
