"""tune: the few free settings of a solver, on pictures held aside."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from restorekit.cli.options import Device, Precision, PriorOpt, Seed
from restorekit.errors import BadInput


def tune(
    data: Annotated[Path, typer.Option(help="Folder of clean pictures that are used for nothing else.")],
    op: Annotated[str, typer.Option(help="Forward model, as for `restore`.")],
    solver: Annotated[str, typer.Option(help="With settings that are to stay, as diffpir:zeta=1.")],
    noise: Annotated[str | None, typer.Option(help="Noise law, as for `restore`; default: gaussian:0.02, to denoise 0.1.", show_default=False)] = None,
    prior: PriorOpt = "natural",
    steps: Annotated[list[int] | None, typer.Option(min=1, help="Noise levels to try; again for more. Default: the solver's own.")] = None,
    ranges: Annotated[list[str] | None, typer.Option("--search", metavar="NAME=LO,HI", help="What to search; again for more. Default: what the solver says.")] = None,
    score: Annotated[str, typer.Option(help="psnr, ssim or crps (all samples against the truth); auto: crps for samplers.")] = "auto",
    samples: Annotated[int | None, typer.Option(min=1, help="Draws per restoration. Default: 4 for crps, else 1.")] = None,
    budget: Annotated[int, typer.Option(min=4, help="Restorations in all.")] = 60,
    pictures: Annotated[int, typer.Option(min=1, help="At most so many pictures.")] = 8,
    crop: Annotated[int, typer.Option(min=16, help="Centre crops of this side.")] = 128,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Default: all cores.", show_default=False)] = None,
    out: Annotated[Path, typer.Option(help="Folder for tune.csv and tune.md; a run goes on where it stopped.")] = Path("tune"),
) -> None:  # fmt: skip
    """Find a solver's settings. restorekit tune --data photos --op average:factor=4 --solver diffpir --steps 20"""
    import torch

    from restorekit.bench import search as bench
    from restorekit.bench.images.image_cases import clean_pictures
    from restorekit.files.lock import alone
    from restorekit.files.overwrite import inside, separate
    from restorekit.files.picture import write_text
    from restorekit.priors.find import device_of, load_prior, of_pictures
    from restorekit.text.degradation import Degradation
    from restorekit.text.names import files_of, solver_of

    if threads:
        torch.set_num_threads(threads)
    made = solver_of(solver)
    if score == "auto":
        score = "crps" if made.samples else "psnr"
    count = samples or (4 if score == "crps" else 1)
    levels = list(steps) if steps else [made.default_steps]
    tuning = bench.with_ranges(bench.Tuning(solver, levels, {}, budget, count, score, seed), ranges or [])  # type: ignore[arg-type]
    if not tuning.ranges and len(levels) == 1:
        raise BadInput(f"{solver} has nothing to tune; give --search NAME=LO,HI or several --steps")
    tuning.candidates(8)  # settings that the solver does not take are refused before anything runs
    separate([*inside(data), *files_of(op, solver, prior)], [out / "tune.csv", out / "tune.md"])
    place = device_of(device)
    network = of_pictures(load_prior(prior, device=place, precision=precision))  # type: ignore[arg-type]
    task = Degradation.of(op if noise is None else f"{op}@{noise}")
    trials = []
    for clean in clean_pictures([data], crop, pictures):
        problem = task.measure(clean.pixels, clean.name, seed)
        made.check(problem)
        if count > 1:
            made.check_draws(problem)
        there = replace(problem, y=problem.y.to(place), operator=problem.operator.to(place))
        trials.append(bench.Trial(clean.name, clean.pixels, there))
    tuning.rungs(len(trials))
    key = f"{task.text} {network.spec.name}@{network.sha256[:8]} crop {crop} {place.type} {network.precision}"
    denoise = network.for_bands(trials[0].truth.shape[0])
    with alone(out):
        rows = bench.rows_of(out / "tune.csv")
        found = tuning(trials, denoise, rows, key, lambda line: print(line, file=sys.stderr, flush=True))
    text, best = bench.table(found, tuning), found[0]
    line = f"--solver {best.settings} --steps {best.steps}"
    verdict = "" if bench.clear_gain(found, tuning) else " (not clearly better than the default)"
    sense = f"{score}: {'lower' if bench.SIGN[tuning.score] < 0 else 'higher'} is better"
    title = f"# {solver} on {key}, {count} sample(s); {sense}"
    write_text(out / "tune.md", f"{title}\n\n{text}\n\nChosen: `{line}`{verdict}\n")
    print(f"{text}\n\n{sense}\nchosen: {line}{verdict}")
