"""tune: the few free settings of a solver, on pictures held aside."""

from __future__ import annotations

from typing import Any

from restorekit.bench.bench_settings import TuningSettings
from restorekit.cli.options import Threads, given, on_threads, settings_options
from restorekit.cli.wording import print_progress


@settings_options(TuningSettings, ranges=("--search",))
def tune(*, threads: Threads = None, **settings: Any) -> None:
    """Find a solver's settings. restorekit tune --data photos --op average:factor=4 --solver diffpir --steps 20"""
    from restorekit.bench.solver_tuning import SolverTuning

    on_threads(threads)
    tuning = SolverTuning(**given(settings))
    found = tuning(print_progress)
    line = f"--solver {found.best.settings} --steps {found.best.steps}"
    found.save(tuning.out / "tune.md", line)
    print(f"{found.table}\n\n{found.sense}\nchosen: {line}{found.doubt}")
