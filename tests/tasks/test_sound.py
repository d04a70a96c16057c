"""What is wrong with the settings of a batch is refused once, before its first picture; and by --print-config."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import restorekit
from restorekit.cli.main import run
from restorekit.errors import BadInput
from restorekit.scenes.execute import executor_of
from restorekit.tasks import batch
from restorekit.tasks.restore import Restoring
from restorekit.tasks.sound import check_settings
from restorekit.training.config import config_for, read_config

WRONG: list[tuple[Any, dict[str, Any], str]] = [
    (restorekit.denoise, {"prior": "natura"}, "unknown prior 'natura'"),
    (restorekit.denoise, {"prior": "no.safetensors"}, "no such file"),
    (restorekit.denoise, {"noise": "gauss:1"}, "unknown noise 'gauss'"),
    (restorekit.denoise, {"solver": "dpss"}, "unknown solver 'dpss'"),
    (restorekit.denoise, {"level": 0.8}, "one sample has no intervals"),
    (restorekit.denoise, {"flips": 3}, "`flips=3` is unknown"),
    (restorekit.deblur, {"kernel": "nope.png"}, "no such file"),
    (restorekit.deblur, {"kernel": "gaussian:1", "boundary": "mirror"}, "boundary 'mirror' is unknown"),
    (restorekit.compare, {"op": "denoise", "solvers": ("hqs", "dpss")}, "unknown solver 'dpss'"),
    (restorekit.degrade, {"op": "blurr"}, "unknown operator 'blurr'"),
    (restorekit.despeckle, {"solver": "leee"}, "unknown solver 'leee'"),
    (restorekit.fuse, {"solver": "maps"}, "unknown fusion 'maps'"),
    (Restoring, {"op": "average:size=3"}, ""),
    (Restoring, {"op": "average:faktor=3"}, "unknown setting 'faktor'"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("a.png", "b.png")):
        pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(name)
    return tmp_path


@pytest.mark.parametrize(("task", "settings", "why"), WRONG)
def test_settings_that_suit_no_picture_are_refused(task: Any, settings: dict[str, Any], why: str) -> None:
    if not why:  # what depends on the picture is left to it
        return check_settings(task, settings)
    with pytest.raises(BadInput, match=why):
        check_settings(task, settings)


@pytest.mark.parametrize("kernel", ["auto", "estimate", "AUTO", "gaussian:1.2"])
def test_kernels_that_are_searched_for_are_settings(kernel: str) -> None:
    check_settings(restorekit.deblur, {"kernel": kernel})


def test_a_task_of_others_has_settings_of_its_own() -> None:
    def mine(source: Any, noise: str) -> None: ...

    check_settings(mine, {"noise": "of my own"})


def test_a_batch_is_refused_before_its_first_picture(folder: Path) -> None:
    with pytest.raises(BadInput, match="unknown prior 'natura'"):
        batch.Batch(restorekit.denoise, {"prior": "natura"})(["a.png", "b.png"], "made")
    assert not Path("made").exists()


def test_a_summary_that_cannot_be_written_hides_no_failure(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, text: str) -> None:
        raise BadInput(f"{path}: not written (no space left on the disk); mend that or choose another place")

    monkeypatch.setattr(batch, "write_text", full)
    Path("b.png").write_bytes(b"GIF89a")
    with pytest.raises(SystemExit) as stop:
        run(["degrade", "a.png", "b.png", "--out", "made"])
    out, err = capsys.readouterr()
    assert stop.value.code == 1
    assert out.splitlines()[-1] == "made  (1 done, 1 failed)"
    said = err.splitlines()
    assert said[-2].startswith("restorekit: b.png: its content is GIF")
    assert said[-1].startswith("restorekit: made/summary.csv: not written (no space left on the disk)")


@pytest.mark.parametrize(
    "words",
    [
        "denoise --noise gauss:1",
        "restore --op blurr",
        "despeckle --solver leee",
        "denoise --range 1",
        "fuse --solver maps",
        "fuse --match moment",
        "sample nope",
        "sample natural-fast --size 0x0",
        "sample --solver hqs",
        "sample natural-fast --bands 2 --out g.png",
        "sample natural-fast --out g.xyz",
        "calibrate --task blurr",
        "calibrate --noise gauss:1",
        "calibrate --out c.yaml",
        "tune --op zz",
        "tune --data . --op denoise --solver hqs --steps 5",
        "bench images --op zz@gaussian:1",
        "bench images --solver zz",
        "bench posterior --problem zz",
        "bench peers --peer zz",
        "bench peers --no-exams",
        "metrics --names zz",
        "metrics sar --domain zz",
        "metrics fusion --despeckle zz",
        "priors eval --out x.yaml",
        "train unett",
        "train unet --set optim.steps=0",
        "train unet --data nowhere --out run",
    ],
)
def test_print_config_refuses_what_a_run_would(folder: Path, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run([*words.split(), "--print-config"])
    assert stop.value.code == 1
    assert capsys.readouterr().out == ""


def test_print_config_of_a_training_is_a_configuration(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run(["train", "pisdm", "--set", "optim.steps=7", "--print-config"])
    assert stop.value.code == 0
    Path("c.yaml").write_text(capsys.readouterr().out)
    assert read_config(Path("c.yaml")) == config_for("pisdm", None, {"optim.steps": 7})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("steps: ten", "c.yaml, line 1: steps: "),
        ("seed: 1\n\nrange: 0;1", "c.yaml, line 3: range: --range '0;1' is not understood"),
        ("noise: auto\nsteps: 3\nnoise: auto", "c.yaml, line 3: noise stands in line 1 too"),
        ("solver:\n  name: hqs", "c.yaml, line 1: solver is to be one value"),
    ],
)
def test_a_file_of_settings_is_refused_by_line_and_key(
    folder: Path, text: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("c.yaml").write_text(text)
    with pytest.raises(SystemExit) as stop:
        run(["denoise", "a.png", "o.png", "--config", "c.yaml"])
    assert stop.value.code == 1
    assert capsys.readouterr().err.startswith(f"restorekit: {why}")


def test_a_script_that_workers_would_run_again_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "script.py"
    main = types.ModuleType("__main__")
    main.__file__, main.__spec__ = str(script), None
    monkeypatch.setitem(sys.modules, "__main__", main)
    script.write_text("import logging\nlog = logging.getLogger(__name__)\nwork()\n")
    with pytest.raises(
        BadInput, match=r'script\.py: every worker .* if __name__ == "__main__": or give `executor=serial`'
    ):
        executor_of("processes", 2, None)
    executor_of("serial", None, None)
    script.write_text("if __name__ == '__main__':\n    work()\n")
    executor_of("processes", 2, None)


def test_a_task_keeps_the_trajectory_and_reads_a_truth_as_its_input() -> None:
    clean = np.random.default_rng(0).integers(60, 200, (16, 16, 3), np.uint8)
    noisy = restorekit.degrade(clean, noise="gaussian:0.05").measurement
    found = restorekit.denoise(
        noisy, noise="gaussian:0.05", prior="natural-fast", solver="ddrm", steps=3, samples=2, record=True
    )
    assert len(found.trajectory) == 3
    assert found.trajectory[-1].x0.shape == found.samples.shape
    as_floats = np.moveaxis(clean / 255, -1, 0).astype(np.float32)
    shares = [
        found.coverage(x) for x in (clean, np.moveaxis(as_floats, 0, -1), as_floats, restorekit.Picture(as_floats))
    ]
    assert shares == [shares[0]] * 4
    grey = restorekit.Restoration(found.samples[:, :1], 1, 0.0)
    assert grey.coverage(as_floats[0]) == grey.coverage(as_floats[:1]) == grey.coverage(clean[..., 0])


@pytest.mark.parametrize("task", [restorekit.derain, restorekit.despeckle])
def test_an_unknown_setting_is_one_line(task: Any) -> None:
    with pytest.raises(BadInput, match=r"`record` is no setting of a de.*`restore` keep their steps"):
        task(np.zeros((32, 32), np.float32), record=True)
    with pytest.raises(BadInput, match="did you mean `solver`"):
        task(np.zeros((32, 32), np.float32), solvr="lee")
