"""Batches that other processes make ahead, and pictures that are arrays of logarithms of intensities."""

from __future__ import annotations

import io
import signal
import zipfile
from pathlib import Path

import numpy as np
import pytest

from restorekit.errors import BadInput, Stopped
from restorekit.priors.formats.checkpoint import read_spec
from restorekit.training.config import Config, read_config
from restorekit.training.data.cache import Pictures
from restorekit.training.loop import train
from restorekit.training.watch import RunMonitor
from tests.support.training_runs import TINY, changed, mixed_pictures, same_weights


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "tiny.yaml").write_text(TINY)
    return read_config(tmp_path / "tiny.yaml")


def test_processes_that_work_ahead_change_nothing(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped by a signal with two of them, and gone on with none, a run ends with the weights of a run that knew none."""
    pictures, step = mixed_pictures(tmp_path / "pictures"), RunMonitor.step
    train(config, pictures, tmp_path / "alone", quiet=True)

    def stopping(self: RunMonitor, number: int, *args: object) -> None:
        step(self, number, *args)  # type: ignore[arg-type]
        if number == 3:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(RunMonitor, "step", stopping)
        with pytest.raises(Stopped, match="stopped at step 3"):
            train(changed(config, run__workers=2), pictures, tmp_path / "ahead", quiet=True)
    train(config, pictures, tmp_path / "ahead", resume=True, quiet=True)
    assert same_weights(tmp_path / "alone/prior.safetensors", tmp_path / "ahead/prior.safetensors")


RADAR = {
    "domain": "log-intensity",
    "model__bands": (1,),
    "data__arrays": True,
    "data__gain": 0.0,
    "data__contrast": 0.0,
}


def scenes(folder: Path) -> list[np.ndarray]:
    folder.mkdir()
    found = [np.random.default_rng(k).normal(-3, 1, (20 + k, 24)).astype(np.float32) for k in range(3)]
    for k, x in enumerate(found):
        np.save(folder / f"{k}.npy", x)
    return found


def test_arrays_are_kept_to_the_bit_in_folders_and_zips(tmp_path: Path) -> None:
    held = scenes(tmp_path / "scenes")
    with zipfile.ZipFile(tmp_path / "scenes.zip", "w") as z:
        for k, x in enumerate(held):
            raw = io.BytesIO()
            np.save(raw, x.astype(np.float64))
            z.writestr(f"{k}.npy", raw.getvalue())
    for source in ("scenes", "scenes.zip"):
        pictures = Pictures.open(tmp_path / source, tmp_path / f"cache-{source}", arrays=True)
        assert all(np.array_equal(pictures[k][..., 0], x) for k, x in enumerate(held))
    with pytest.raises(BadInput, match="no pictures"):
        Pictures.open(tmp_path / "scenes", tmp_path / "cache")  # of pictures, they are none


def test_a_prior_is_trained_on_arrays_and_one_that_begins_with_it_keeps_its_mean(
    config: Config, tmp_path: Path
) -> None:
    held = scenes(tmp_path / "scenes")
    radar = changed(config, **RADAR)
    first = read_spec(train(radar, tmp_path / "scenes", tmp_path / "first", quiet=True))
    assert first.domain == "log-intensity"
    assert first.mean == pytest.approx(np.mean([x.mean() for x in held]), abs=0.1)
    (tmp_path / "more").mkdir()
    np.save(tmp_path / "more/a.npy", held[0] + 7)
    second = changed(radar, init=str(tmp_path / "first/prior.safetensors"))
    begun = read_spec(train(second, tmp_path / "more", tmp_path / "second", quiet=True))
    assert (begun.mean, begun.sigma_data) == (first.mean, first.sigma_data)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((20, 20, 3), np.float32), "no array .H, W. of floats"),
        (np.zeros((20, 20), np.uint8), "no array .H, W. of floats"),
        (np.full((20, 20), np.nan, np.float32), "not finite"),
    ],
)
def test_arrays_of_another_kind_are_refused(x: np.ndarray, words: str, config: Config, tmp_path: Path) -> None:
    (tmp_path / "wrong").mkdir()
    np.save(tmp_path / "wrong/x.npy", x)
    with pytest.raises(BadInput, match=words):
        train(changed(config, **RADAR), tmp_path / "wrong", tmp_path / "run", quiet=True)
    with pytest.raises(ValueError, match="set domain=log-intensity"):
        changed(config, data__arrays=True)
