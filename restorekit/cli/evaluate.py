"""priors eval: a prior judged on pictures that it was not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from restorekit.cli.options import Device, Precision, Seed
from restorekit.cli.wording import printable, say


def evaluate(
    name: Annotated[str, typer.Argument(help="A shipped name, or a file or folder as for --prior of `restore`.", show_default=False)],
    data: Annotated[Path, typer.Option(metavar="DIR|ZIP", help="Pictures that it was not trained on.", show_default=False)],
    limit: Annotated[int | None, typer.Option(min=1, help="Pictures of --data, spread evenly over their names.", show_default=False)] = None,
    sigmas: Annotated[str | None, typer.Option(help="Levels to denoise, as 0.05,0.1; none: do not. Default: four that suit the pixels.", show_default=False)] = None,
    beside: Annotated[list[str] | None, typer.Option(metavar="PRIOR", help="Another prior on the same pictures; again for more.", show_default=False)] = None,
    crop: Annotated[int, typer.Option(min=0, help="Side of the middle that is denoised, pixels; 0: whole pictures.")] = 0,
    bands: Annotated[int | None, typer.Option(min=1, help="1 (luminance) or 3; default: the most that the prior takes.", show_default=False)] = None,
    samples: Annotated[str | None, typer.Option(metavar="N|DIR|ZIP", help="Compare so many samples with the pictures, or those of `restorekit sample --folder`.", show_default=False)] = None,
    solver: Annotated[str, typer.Option(help="Of the samples, as for `restorekit sample`.")] = "dpm++",
    steps: Annotated[int, typer.Option(min=1, max=100_000, help="Noise levels of the samples.")] = 50,
    size: Annotated[str | None, typer.Option(metavar="HxW", help="Of the samples; default: what the prior was trained on, or 64x64.", show_default=False)] = None,
    label: Annotated[int | None, typer.Option(min=0, help="Class of the samples, for priors with classes.", show_default=False)] = None,
    guidance: Annotated[float | None, typer.Option(min=0, help="Weight of the class against none.", show_default=False)] = None,
    features: Annotated[str | None, typer.Option(help="Network that pictures are compared by: TorchScript, float (B, 3, H, W) in [0, 1] to (B, D); weights of torch-fidelity's Inception; or a prior. Default: natural, and not called FID.", show_default=False)] = None,
    train: Annotated[Path | None, typer.Option(metavar="DIR|ZIP", help="The training pictures: find the nearest to each sample.", show_default=False)] = None,
    train_limit: Annotated[int | None, typer.Option(min=1, help="Pictures of --train, spread evenly.", show_default=False)] = None,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    out: Annotated[Path | None, typer.Option(help="Report to write, .json or .md; with --train, a strip of pictures .png beside it.", show_default=False)] = None,
) -> None:  # fmt: skip
    """Judge a prior: what it denoises, how like the pictures its samples are, whether they are copies.

    restorekit priors eval natural --data test.zip --samples 200 --train train.zip --out report.json
    """
    import sys

    from restorekit.bench.priors.eval_files import EvalFiles
    from restorekit.bench.priors.eval_report import heading, skipped, tables, where
    from restorekit.bench.priors.evaluation import Evaluation
    from restorekit.cli.options import size as size_of
    from restorekit.cli.tables import print_table
    from restorekit.report.progress import phases
    from restorekit.text.values import levels

    made = Evaluation(
        prior=name, data=data, limit=limit, sigmas=levels(sigmas), beside=tuple(beside or ()), crop=crop, bands=bands,
        samples=samples, solver=solver, steps=steps, size=size_of(size), label=label, guidance=guidance, features=features,
        train=train, train_limit=train_limit, seed=seed, device=device, precision=precision,
    )  # fmt: skip
    report = EvalFiles(out, train is not None)
    report.check(made)
    made.check()
    with phases() as phase:
        found = made(phase)
    for text in skipped(found.record):
        print(printable(f"restorekit: note: {text}"), file=sys.stderr)
    print(heading(found.record))
    for t in tables(found.record):
        print()
        print_table(t.header, t.rows, width=120, words=2, title=t.title)
        print("\n".join(t.notes))
    print(f"\n{where(found.record)}")
    if files := report.write(found):
        say("  ".join(map(str, files)))
