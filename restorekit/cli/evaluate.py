"""priors eval: a prior judged on pictures that it was not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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
    from restorekit.bench.priors.eval_report import markdown
    from restorekit.bench.priors.evaluation import Evaluation
    from restorekit.cli.options import size as size_of
    from restorekit.files.atomic import content_of, together
    from restorekit.files.overwrite import inside, separate
    from restorekit.files.picture import sha256, write_json, write_picture, write_text
    from restorekit.report.progress import phases
    from restorekit.text.names import files_of

    strip = _targets(out, train)
    places = [path for path in (data, train, samples and Path(samples)) if path]
    opened = [*inside(*places), *files_of(name, features, *(beside or ()))]
    separate(opened, [path for path in (out, strip) if path is not None])
    made = Evaluation(
        prior=name, data=data, limit=limit, sigmas=_sigmas(sigmas), beside=tuple(beside or ()), crop=crop, bands=bands,
        samples=samples, solver=solver, steps=steps, size=size_of(size), label=label, guidance=guidance, features=features,
        train=train, train_limit=train_limit, seed=seed, device=device, precision=precision,
    )  # fmt: skip
    made.check()
    with phases() as phase:
        found = made(phase)
    _print(found.record)
    if out is None:
        return
    with together():
        if found.strip is not None and strip is not None:
            write_picture(strip, found.strip)
            found.record["neighbours"]["strip"] = {"path": strip.name, "sha256": sha256(content_of(strip))}
        if out.suffix.lower() == ".json":
            write_json(out, found.record)
        else:
            write_text(out, markdown(found.record))
    say(f"{out}{f'  {strip}' if found.strip is not None else ''}")


def _sigmas(text: str | None) -> tuple[float, ...] | None:
    from restorekit.errors import BadInput

    if text is None or text == "none":
        return None if text is None else ()
    try:
        return tuple(dict.fromkeys(sorted(float(s) for s in text.split(","))))
    except ValueError:
        raise BadInput(f"--sigmas {text!r} is not understood; give numbers, as 0.05,0.1,0.2, or none") from None


def _targets(out: Path | None, train: Path | None) -> Path | None:
    """Where the strip of pictures goes; refuses where anything cannot be written."""
    from restorekit.errors import BadInput
    from restorekit.files.atomic import check_target
    from restorekit.files.picture import check_writable

    if out is None:
        if train is not None:
            raise BadInput("--train writes a strip of pictures beside the report: give --out report.json")
        return None
    if out.suffix.lower() not in (".json", ".md"):
        raise BadInput(f"--out {out}: a report is .json or .md")
    check_target(out)
    if train is None:
        return None
    strip = out.with_name(f"{out.stem}_neighbours.png")
    check_writable(strip, 3, False)
    return strip


def _print(record: dict[str, Any]) -> None:
    import sys

    from rich.console import Console
    from rich.table import Table

    from restorekit.bench.priors.eval_report import heading, tables, where

    for part in (record["pictures"], record.get("neighbours", {}).get("train", {})):
        if part.get("unread"):
            print(
                printable(f"restorekit: note: {part['unread']} files of {part['name']} skipped: {part['why']}"),
                file=sys.stderr,
            )
    print(heading(record))
    for t in tables(record):
        shown = Table(title=t.title, title_justify="left", box=None, pad_edge=False)
        for i, column in enumerate(t.header):
            shown.add_column(column, justify="left" if i < 2 else "right", overflow="fold")
        for row in t.rows:
            shown.add_row(*row)
        print()
        Console(width=120).print(shown)
        print("\n".join(t.notes))
    print(f"\n{where(record)}")
