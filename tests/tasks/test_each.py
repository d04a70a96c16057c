"""A tensor (B, C, H, W) in one call: each measurement as by itself, with the seed that it would be given alone."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch

import restorekit
from restorekit import BadInput
from restorekit.notes import Notes, RestorekitNote
from tests.support.scenes import speckled

PHOTO = torch.from_numpy(skimage.data.astronaut()[40:64, 190:238].copy()).permute(2, 0, 1)
BATCH = torch.stack([PHOTO[..., :24], PHOTO[..., 24:]])
QUICK: dict[str, Any] = {"prior": "natural-fast", "steps": 2, "noise": "gaussian:0.05", "notes": Notes()}
DRAWN = QUICK | {"solver": "mmps", "samples": 2}
MASKS = torch.ones(2, 1, 24, 24)
MASKS[0, :, 4:8], MASKS[1, :, 12:20] = 0, 0


@pytest.mark.parametrize("name", ["denoise", "upscale"])
def test_each_measurement_is_restored_as_alone_with_its_seed(name: str) -> None:
    task: Any = getattr(restorekit, name)
    results = task(BATCH, seed=5, **DRAWN)
    assert len(results) == 2
    for b, found in enumerate(results):
        alone = task(BATCH[b], seed=5 + b, **DRAWN)
        assert torch.equal(found.samples, alone.samples)
        assert found.settings == alone.settings
    # What else is in the batch changes nothing.
    again = task(torch.cat([BATCH[:1], BATCH[:1], BATCH]), seed=4, **DRAWN)
    assert torch.equal(again[1].samples, results[0].samples)


def test_one_measurement_in_a_batch_is_one_result() -> None:
    assert isinstance(restorekit.denoise(BATCH[:1], **QUICK), restorekit.Restoration)


def test_a_mask_for_each_or_one_for_all() -> None:
    own = restorekit.inpaint(BATCH, MASKS, **QUICK)
    for b in (0, 1):
        assert torch.equal(own[b].samples, restorekit.inpaint(BATCH[b], MASKS[b], **QUICK, seed=b).samples)
    shared = restorekit.inpaint(BATCH, mask=MASKS[1].numpy()[0], **QUICK)
    assert torch.equal(shared[1].samples, own[1].samples)
    with pytest.raises(BadInput, match="2 measurements were given, and 3 pictures beside them"):
        restorekit.inpaint(BATCH, torch.ones(3, 1, 24, 24), **QUICK)


def test_other_tasks_take_a_batch_too() -> None:
    scenes = torch.from_numpy(np.stack([speckled(40, 40, seed=n)[1] for n in (0, 1)]))[:, None]
    settings: dict[str, Any] = {"solver": "lee", "looks": 4.0, "notes": Notes()}
    despeckled = restorekit.despeckle(scenes, **settings)
    assert torch.equal(despeckled[1].mean, restorekit.despeckle(scenes[1], **settings).mean)
    made = restorekit.degrade(BATCH, noise="gaussian:0.1", seed=3, notes=Notes())
    np.testing.assert_array_equal(
        made[1].values, restorekit.degrade(BATCH[1], noise="gaussian:0.1", seed=4, notes=Notes()).values
    )
    compared = restorekit.compare(BATCH, "denoise", solvers=["hqs"], truth=BATCH, **{**QUICK, "steps": 1})
    np.testing.assert_array_equal(compared[1].truth, BATCH[1].numpy() / np.float32(255))


def test_what_is_no_batch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="`out` is one file, and 2 measurements were given"):
        restorekit.denoise(BATCH, out=tmp_path / "o.png", **QUICK)
    with pytest.raises(BadInput, match="`out` is one file"):
        restorekit.despeckle(BATCH, tmp_path / "o.npy")
    with pytest.raises(BadInput, match="the batch holds no measurement"):
        restorekit.denoise(BATCH[:0], **QUICK)
    with pytest.raises(BadInput, match="a batch of 2 pictures was given where one is expected"):
        restorekit.inpaint(BATCH[0], MASKS, **QUICK)


def test_notes_of_each_are_raised_where_the_task_is_called() -> None:
    told = {**QUICK, "notes": None, "noise": "auto"}
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        results = restorekit.denoise(BATCH, **told)
    assert [str(w.message) for w in raised] == [note for result in results for note in result.notes]
    assert {(w.category, w.filename) for w in raised} == {(RestorekitNote, __file__)}


def test_help_of_a_task_is_its_own() -> None:
    assert "source" in inspect.signature(restorekit.derain).parameters
    assert restorekit.despeckle.__doc__ is not None
    assert restorekit.despeckle.__doc__.startswith("Take the speckle out")
