"""priors eval: a prior judged on pictures that it was not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from restorekit.bench.bench_settings import EvaluationSettings
from restorekit.cli.options import given, settings_options
from restorekit.cli.wording import print_table, say
from restorekit.text.terminal import printable


@settings_options(EvaluationSettings)
def evaluate(
    prior: Annotated[str, typer.Argument(metavar="NAME", help="A shipped name, or a file or folder as for --prior of `restore`.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Report to write, .json or .md; with --train, a strip of pictures .png beside it.", show_default=False)] = None,
    **settings: Any,
) -> None:  # fmt: skip
    """Judge a prior: what it denoises, how like the pictures its samples are, whether they are copies.

    restorekit priors eval natural --data test.zip --samples 200 --train train.zip --out report.json
    """
    import sys

    from restorekit.bench.priors.eval_files import EvalFiles
    from restorekit.bench.priors.eval_report import heading, skipped, tables, where
    from restorekit.bench.priors.evaluation import Evaluation
    from restorekit.report.progress import phases

    made = Evaluation(prior=prior, **given(settings))
    report = EvalFiles(out, made.train is not None)
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
