"""tune: the few free settings of a solver, on pictures held aside."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from restorekit.cli.options import Precision, PriorOpt, Seed
from restorekit.errors import BadInput


def tune(
    data: Annotated[Path, typer.Option(help="Folder of clean pictures that are used for nothing else.")],
    op: Annotated[str, typer.Option(help="Forward model, as for `restore`.")],
    solver: Annotated[str, typer.Option(help="With settings that are to stay, as diffpir:zeta=1.")],
    noise: Annotated[str | None, typer.Option(help="Noise law, as for `restore`; default: gaussian:0.02, to denoise 0.1.", show_default=False)] = None,
    prior: PriorOpt = "natural",
    steps: Annotated[list[int] | None, typer.Option(min=1, help="Noise levels to try; again for more. Default: the solver's own.")] = None,
    ranges: Annotated[list[str] | None, typer.Option("--range", metavar="NAME=LO,HI", help="What to search; again for more. Default: what the solver says.")] = None,
    score: Annotated[str, typer.Option(help="psnr, ssim or crps (all samples against the truth); auto: crps for samplers.")] = "auto",
    samples: Annotated[int | None, typer.Option(min=1, help="Draws per restoration. Default: 4 for crps, else 1.")] = None,
    budget: Annotated[int, typer.Option(min=4, help="Restorations in all.")] = 60,
    pictures: Annotated[int, typer.Option(min=1, help="At most so many pictures.")] = 8,
    crop: Annotated[int, typer.Option(min=16, help="Centre crops of this side.")] = 128,
    seed: Seed = 0,
    precision: Precision = "auto",
    out: Annotated[Path, typer.Option(help="Folder for tune.csv and tune.md; a run goes on where it stopped.")] = Path("tune"),
) -> None:  # fmt: skip
    """Find a solver's settings. restorekit tune --data photos --op average:factor=4 --solver diffpir --steps 20"""
    import torch

    from restorekit.bench import tune as bench
    from restorekit.bench.image_cases import Task, clean_pictures
    from restorekit.priors.library import load_prior
    from restorekit.solvers.from_text import solver as solver_of

    torch.set_num_threads(1)
    made = solver_of(solver)
    if score == "auto":
        score = "crps" if made.samples else "psnr"
    count = samples or (4 if score == "crps" else 1)
    levels = list(steps) if steps else [made.default_steps]
    tuning = bench.with_ranges(bench.Tuning(solver, levels, {}, budget, count, score, seed), ranges or [])  # type: ignore[arg-type]
    if not tuning.ranges and len(levels) == 1:
        raise BadInput(f"{solver} has nothing to tune; give --range NAME=LO,HI or several --steps")
    network = load_prior(prior, precision=precision)  # type: ignore[arg-type]
    task = Task.of(op if noise is None else f"{op}@{noise}")
    clean = clean_pictures([data], crop, pictures)
    trials = [bench.Trial(c.name, c.pixels, task.measure(c.pixels, c.name, seed)) for c in clean]
    for trial in trials:
        made.check(trial.problem)
    key = f"{task.text} {network.spec.name}@{network.sha256[:8]} crop {crop}"
    rows = bench.rows_of(out / "tune.csv")
    denoise = network.for_bands(trials[0].truth.shape[0])
    found = tuning(trials, denoise, rows, key, lambda line: print(line, file=sys.stderr, flush=True))
    text = bench.table(found, tuning)
    best = found[0]
    line = f"--solver {best.settings} --steps {best.steps}"
    verdict = "" if bench.clear_gain(found, tuning) else " (not clearly better than the default)"
    (out / "tune.md").write_text(
        f"# {solver} on {key}, {score}, {count} sample(s)\n\n{text}\n\nChosen: `{line}`{verdict}\n"
    )
    print(f"{text}\n\nchosen: {line}{verdict}")
