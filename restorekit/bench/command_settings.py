"""Settings of commands that restore no picture are checked as a run would, and nothing is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from restorekit.bench.images.run_images import Images
from restorekit.bench.peers.peer_list import peer
from restorekit.bench.peers.run_peers import Peers
from restorekit.bench.posterior.exam_table import Exams
from restorekit.bench.posterior.exams import cells
from restorekit.bench.priors.eval_files import EvalFiles, check_report_name
from restorekit.bench.priors.evaluation import Evaluation
from restorekit.bench.solver_tuning import SolverTuning
from restorekit.files.atomic import check_page
from restorekit.metrics.fidelity import known
from restorekit.notes import Notes
from restorekit.tasks.calibrate import Calibrating, check_json
from restorekit.tasks.fuse import Fusing
from restorekit.tasks.sample import Sampling, sampler_of
from restorekit.tasks.sample_files import check_samples
from restorekit.tasks.sound import check_each, checks_of, each
from restorekit.text.degradation import Degradation

Checks = dict[str, Callable[[Any], object]]  # of a setting by itself, by its name
_EXAMS: Checks = {
    "problems": lambda names: cells(problems=names),
    "priors": lambda names: cells(priors=names),
    "sigmas": lambda levels: cells(sigmas=levels),
}


def check_command(command: str, options: Mapping[str, Any]) -> None:
    """Raise BadInput for options of a command, "bench images", that its run would refuse before it begins.

    Each is checked by itself, and all together where none that the command needs is left out. A command that is not known
    here has nothing to check.
    """
    given = {name: value for name, value in options.items() if value not in (None, ())}
    if command in _ALONE:
        check_each(given, checks_of(command) | _ALONE[command])
    if command in _TOGETHER:
        kind, check, needed = _TOGETHER[command]
        own = {f.name for f in fields(kind)}
        required = {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}
        if required | needed <= given.keys():
            check(kind(**{name: value for name, value in given.items() if name in own}), given)


def _check_eval(judged: Evaluation, given: Mapping[str, Any]) -> None:
    EvalFiles(given.get("out"), judged.train is not None).check(judged)
    judged.check()


def _path(value: Any) -> Path | None:
    return None if value is None else Path(value)


def _degradation(text: str) -> None:
    checks_of("")["op"](Degradation.of(text).op)


_OPS: Checks = {"ops": each(_degradation), "priors": each(checks_of("")["prior"])}
_ALONE: dict[str, Checks] = {
    "sample": {"solver": sampler_of},
    "calibrate": {"task": checks_of("")["op"], "noise": each(checks_of("")["noise"]), "out": lambda out: check_json(Path(out))},
    "tune": {},
    "bench images": _OPS,
    "bench posterior": _EXAMS,
    "bench peers": _EXAMS | {"peers": each(peer), "ops": _OPS["ops"], "network": checks_of("")["prior"]},
    "priors eval": {"solver": sampler_of, "out": check_report_name},
    "metrics pictures": {"names": lambda names: known(names.split(","))},
    "metrics sar": {"report": lambda page: check_page(Path(page))},
    "metrics fusion": {},
}  # fmt: skip
_TOGETHER: dict[str, tuple[type, Callable[[Any, Mapping[str, Any]], object], set[str]]] = {
    "sample": (Sampling, lambda task, given: check_samples(task, _path(given.get("folder")), _path(given.get("out")), Notes()), set()),
    "calibrate": (Calibrating, lambda task, given: task.check(given["data"], given.get("out")), {"data"}),
    "tune": (SolverTuning, lambda task, given: task.check(), set()),
    "bench images": (Images, lambda task, given: task.check(), set()),
    "bench posterior": (Exams, lambda task, given: task.check(), set()),
    "bench peers": (Peers, lambda task, given: task.check(), set()),
    "priors eval": (Evaluation, _check_eval, set()),
    "metrics fusion": (Fusing, lambda task, given: task.pairing(Notes()), set()),
}  # fmt: skip
