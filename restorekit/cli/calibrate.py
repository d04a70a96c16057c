"""calibrate: factors that make the error bars of a prior hold, on pictures of one's own."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import restorekit
from restorekit.cli.options import Device, Precision, PriorOpt, Seed, SolverOpt, Steps
from restorekit.errors import BadInput

if TYPE_CHECKING:
    from restorekit.priors.prior import Prior
    from restorekit.uncertainty.calibration import Calibration


def calibrate(
    data: Annotated[Path, typer.Option(help="Folder or zip of clean pictures that trained nothing. By name, those at even positions calibrate, those at odd ones judge.")],
    task: Annotated[str, typer.Option(help="Forward model, as --op of `restore`.")],
    out: Annotated[Path, typer.Option(help="File to write, or to add to: NAME.calibration.json beside NAME.safetensors is found by itself, any other by --calibration. Its table is beside it, and a run goes on where it stopped.")],
    noise: Annotated[list[str], typer.Option(help="Noise law, as for `restore`; again for more levels, between which factors are interpolated.")],
    prior: PriorOpt = "natural",
    solver: SolverOpt = "mmps",
    steps: Steps = None,
    samples: Annotated[int, typer.Option(min=2, help="Draws per picture; factors are for so many, and for 2, 4, 8 ... of them.")] = 8,
    dtype: Annotated[str, typer.Option(help="Of the measured files: uint8 and uint16 cut off and round, float32 does not.")] = "uint8",
    transfer: Annotated[str, typer.Option(help="linear, or srgb: measured in light, as 8-bit pictures of `deblur`.")] = "linear",
    pictures: Annotated[int | None, typer.Option(min=1, help="At most so many for each half.", show_default=False)] = None,
    crop: Annotated[int, typer.Option(min=16, help="Centre crops of this side.")] = 64,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Default: all cores.", show_default=False)] = None,
) -> None:  # fmt: skip
    """Make error bars hold: how far the truth lies from the samples, on pictures with a known truth.

    restorekit calibrate --data photos.zip --task denoise --noise gaussian:0.02 --noise gaussian:0.05 --prior mine.safetensors --out mine.calibration.json
    """
    import torch

    from restorekit.bench.images.image_cases import Task
    from restorekit.bench.intervals.coverage import LEVEL, Drawn, Held, rows_of, run
    from restorekit.bench.intervals.coverage_table import HEADER, entries, other_versions, table
    from restorekit.bench.journal import markdown
    from restorekit.cli.options import checked_precision
    from restorekit.files.atomic import check_target
    from restorekit.files.lock import alone_with
    from restorekit.files.overwrite import inside, separate
    from restorekit.priors.find import device_of, load_prior, of_pictures
    from restorekit.report.progress import bar
    from restorekit.text.names import files_of, solver_of
    from restorekit.uncertainty.conformal import check_count

    if threads:
        torch.set_num_threads(threads)
    if out.suffix.lower() != ".json":
        raise BadInput(f"--out {out}: a calibration is JSON; give --out {out.stem}.calibration.json")
    journal = out.with_name(f"{out.stem}_rows.csv")
    separate([*inside(data), *files_of(task, solver, prior)], [out, journal])
    check_target(out)
    made = solver_of(solver)
    place = device_of(device)
    network = of_pictures(load_prior(prior, device=place, precision=checked_precision(precision)))
    drawn = Drawn(
        prior=network,
        solver=made,
        steps=steps,
        samples=samples,
        dtype=dtype,
        transfer=transfer,
        seed=seed,
        device=place,
    )
    _known(out, network)
    tasks = [Task(task.strip(), n.strip()) for n in dict.fromkeys(noise)]
    held = Held(data, crop)
    some = held.some(pictures)
    kept = sum(truth.half == "calibrate" for truth in some)
    check_count(kept, 0.5, "data")
    for one in tasks:
        problem = drawn.problem(one, some[0])
        made.check(problem)
        made.check_draws(problem)
    with alone_with(out):
        known = _known(out, network)
        rows = rows_of(journal)
        if "digest" in rows.lacking:
            print(
                f"restorekit: note: {journal.name} is of an earlier version, which told pictures apart by their names alone, and no "
                "--precision; where either has changed, give another --out",
                file=sys.stderr,
            )
        if others := other_versions(drawn, tasks, held.name, rows, held.pictures):
            print(
                f"restorekit: note: {journal.name} has rows of restorekit {', '.join(others)}, which are taken as those of "
                f"{restorekit.__version__}; give another --out to draw them anew",
                file=sys.stderr,
            )
        print(f"restorekit: note: {_enough(kept, pictures)}", file=sys.stderr)  # before the work, which may be in vain
        with bar("pictures", "restorations") as show:
            run(drawn, tasks, held, pictures, rows, show)
        found = entries(drawn, tasks, held.name, rows, held.pictures)
        replace(known.joined(found), version=restorekit.__version__).write(out)
    judged = table(found)
    if judged:
        print(markdown(HEADER, judged))
    if len(judged) < len(found):
        print(
            f"restorekit: note: {len(found) - len(judged)} of {len(found)} entries were not judged: that is done at {LEVEL:g}, "
            "which they cannot guarantee",
            file=sys.stderr,
        )
    how = f"judged on {len(some) - kept} pictures" if judged else "none judged"
    print(f"{out}  ({len(found)} entries, {how}; {journal.name} has every picture)")


def _known(out: Path, network: Prior) -> Calibration:
    """What `out` holds, an empty one where it is not there; BadInput where it is that of other weights."""
    from restorekit.uncertainty.calibration import Calibration

    known = Calibration.read(out) if out.is_file() else Calibration(network.spec.name, network.sha256)
    if known.sha256 != network.sha256:
        raise BadInput(f"{out} is that of other weights ({known.prior} {known.sha256[:12]}); give another --out")
    return known


def _enough(kept: int, pictures: int | None) -> str:
    """What `kept` pictures that calibrate guarantee; `pictures`: at most so many of each half were asked for."""
    from restorekit.bench.intervals.coverage import LEVEL
    from restorekit.uncertainty.conformal import least_pictures

    said = f"{kept} pictures calibrate, enough for --level {int(100 * kept / (kept + 1)) / 100:g} at most"
    least = least_pictures(LEVEL)
    if kept >= least:
        return said
    limited = pictures is not None and pictures < least
    return f"{said}; {LEVEL:g} takes {f'--pictures {least}' if limited else f'{2 * least} pictures'} or more"
