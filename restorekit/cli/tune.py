"""tune: the few free settings of a solver, on pictures held aside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from restorekit.cli.options import Device, Precision, PriorOpt, Seed, Threads, on_threads
from restorekit.cli.wording import print_progress


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
    threads: Threads = None,
    out: Annotated[Path, typer.Option(help="Folder for tune.csv and tune.md; a run goes on where it stopped.")] = Path("tune"),
) -> None:  # fmt: skip
    """Find a solver's settings. restorekit tune --data photos --op average:factor=4 --solver diffpir --steps 20"""
    from restorekit.bench.solver_tuning import SolverTuning

    on_threads(threads)
    found = SolverTuning(
        data=data, op=op, noise=noise, solver=solver, prior=prior, steps=tuple(steps or ()), ranges=tuple(ranges or ()),
        score=score, samples=samples, budget=budget, pictures=pictures, crop=crop, seed=seed, device=device,
        precision=precision, out=out,
    )(print_progress)  # fmt: skip
    line = f"--solver {found.best.settings} --steps {found.best.steps}"
    found.save(out / "tune.md", line)
    print(f"{found.table}\n\n{found.sense}\nchosen: {line}{found.doubt}")
