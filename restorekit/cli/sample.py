"""sample: pictures that a prior makes up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from restorekit.cli.options import Device, Precision, Seed
from restorekit.cli.options import size as size_of
from restorekit.cli.wording import printed, say
from restorekit.report.progress import phases


def sample(
    ctx: typer.Context,
    prior: Annotated[str, typer.Argument(metavar="PRIOR", help="A shipped name, or a file or folder as for --prior of `restore`.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Grid to write, .png or .tif; OUT.json is written beside it.", show_default=False)],
    n: Annotated[int, typer.Option("--n", min=1, max=1_000_000, help="Samples.")] = 16,
    solver: Annotated[str, typer.Option(help="dpm++, ddim, ddpm, heun or sde, with settings, as heun:churn=20.")] = "dpm++",
    steps: Annotated[int, typer.Option(min=1, max=100_000, help="Noise levels; heun and sde take two network calls at each.")] = 50,
    size: Annotated[str | None, typer.Option(metavar="HxW", help="Of a sample, pixels; default: what the prior was trained on, or 64x64.", show_default=False)] = None,
    bands: Annotated[int | None, typer.Option(min=1, help="Of what the prior takes; default: the most.", show_default=False)] = None,
    seed: Seed = 0,
    label: Annotated[int | None, typer.Option(min=0, help="Class, for priors with classes.", show_default=False)] = None,
    guidance: Annotated[float | None, typer.Option(min=0, help="Weight of the class against none (two network calls a step); default: the class alone.", show_default=False)] = None,
    eta: Annotated[float | None, typer.Option(help="Fresh noise of ddim and ddpm: 0 none, 1 ancestral.", show_default=False)] = None,
    relay: Annotated[bool, typer.Option(help="Of a cascade: the low stage first, the high one from a small noise on.")] = True,
    batch: Annotated[int | None, typer.Option(min=1, help="Samples at a time; changes memory, not the samples.", show_default=False)] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    folder: Annotated[Path | None, typer.Option(metavar="DIR", help="Write each sample there too, as 00000.png and so on.", show_default=False)] = None,
) -> None:  # fmt: skip
    """Draw samples of a prior, without any measurement, into one grid.

    restorekit sample natural --n 16 --steps 50 --out grid.png
    """
    from restorekit import sample as run

    with phases("network calls") as show:
        drawn = run(
            prior, n, solver=solver, steps=steps, size=size_of(size), bands=bands, seed=seed, label=label,
            guidance=guidance, eta=eta, relay=relay, batch=batch, device=device, precision=precision, folder=folder,
            out=out, notes=printed(ctx), progress=show,
        )  # fmt: skip
    drawn.save(out)
    height, width = drawn.samples.shape[-2:]
    low = f" and {drawn.settings['low_nfe']} of the low stage" if "low_nfe" in drawn.settings else ""
    say(
        f"{out}  ({n} samples of {drawn.source.sampling.loaded.spec.name}, {height}x{width}, {drawn.nfe} network calls "
        f"each{low}, {drawn.seconds:.1f} s)"
    )
