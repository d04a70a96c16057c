"""sample: pictures that a prior makes up."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from restorekit.cli.options import Device, Precision, Seed

if TYPE_CHECKING:
    from restorekit.tasks.sample import Samples, Sampling


def sample(
    prior: Annotated[str, typer.Argument(metavar="PRIOR", help="A shipped name, or a file or folder as for --prior of `restore`.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Grid to write, .png or .tif; OUT.json is written beside it.", show_default=False)],
    n: Annotated[int, typer.Option("--n", min=1, help="Samples.")] = 16,
    solver: Annotated[str, typer.Option(help="dpm++, ddim, ddpm, heun or sde, with settings, as heun:churn=20.")] = "dpm++",
    steps: Annotated[int, typer.Option(min=1, help="Noise levels; heun and sde take two network calls at each.")] = 50,
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
    from contextlib import nullcontext

    from restorekit.cli.options import size as size_of
    from restorekit.files.lock import alone_with
    from restorekit.files.overwrite import separate
    from restorekit.files.picture import check_writable
    from restorekit.report.progress import bar
    from restorekit.tasks.sample import Sampling
    from restorekit.text.names import files_of

    made = Sampling(prior=prior, n=n, solver=solver, steps=steps, size=size_of(size), bands=bands, seed=seed, label=label,
                    guidance=guidance, eta=eta, relay=relay, batch=batch, device=device, precision=precision)  # fmt: skip
    names = [] if folder is None else [folder / name for name in _names(n, out)]
    separate(files_of(prior, solver), [out, out.with_name(out.name + ".json"), *names])
    made.check()
    if made.off_size:
        print(f"restorekit: note: {made.off_size}", file=sys.stderr)
    check_writable(out, made.shape[0], False)
    if folder is not None:
        _usable(folder)
    with nullcontext() if folder is None else alone_with(folder, "wait for it, or give another `folder`"):
        if folder is not None:
            _refuse_samples(folder, names)
        with bar(f"{n} samples") as show:
            found = made(show)
        _write(made, found, out, folder)


def _names(n: int, out: Path) -> list[str]:
    """The files of single samples."""
    return [f"{i:05d}{out.suffix.lower()}" for i in range(n)]


def _usable(folder: Path) -> None:
    from restorekit.errors import BadInput

    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file; --folder takes a folder")
    folder.mkdir(parents=True, exist_ok=True)


def _refuse_samples(folder: Path, names: list[Path]) -> None:
    """BadInput where single samples would replace those of an earlier run."""
    from restorekit.errors import BadInput

    if there := [path.name for path in names if path.exists()]:
        raise BadInput(
            f"{folder} holds {there[0]} of an earlier run, which would be replaced; give another `folder`, or move it away"
        )


def _write(made: Sampling, found: Samples, out: Path, folder: Path | None) -> None:
    from restorekit.files.atomic import together

    with together():
        _write_all(made, found, out, folder)
    _, h, w = made.shape
    low = f" and {found.settings['low_nfe']} of the low stage" if "low_nfe" in found.settings else ""
    print(
        f"{out}  ({made.n} samples of {made.loaded.spec.name}, {h}x{w}, {found.nfe} network calls each{low}, "
        f"{found.seconds:.1f} s)"
    )


def _write_all(made: Sampling, found: Samples, out: Path, folder: Path | None) -> None:
    import sys

    from restorekit.files.picture import write_json, write_picture
    from restorekit.files.record import head, outputs
    from restorekit.report.mosaic import mosaic
    from restorekit.tasks.sample import displayed

    prior = made.loaded
    pictures = displayed(found.pictures.float().cpu(), made.domain)
    write_picture(out, mosaic(pictures.numpy()))
    names = []
    if folder is not None:
        names = _names(len(pictures), out)
        for name, x in zip(names, pictures.numpy()):
            write_picture(folder / name, x)
        others = sorted(p.name for p in folder.iterdir() if _is_sample(p, out) and p.name not in names)
        if others:
            print(
                f"restorekit: note: {folder} holds {len(others)} more, such as {others[0]}, of another run",
                file=sys.stderr,
            )
    record = {
        **head(), "prior": {"name": prior.spec.name, "sha256": prior.sha256}, **found.settings, "nfe": found.nfe,
        "seconds": round(found.seconds, 2), "device": str(made.place), "precision": prior.precision,
        "outputs": outputs([out, *(folder / n for n in names if folder)]),
    }  # fmt: skip
    write_json(out.with_name(out.name + ".json"), record)


def _is_sample(path: Path, out: Path) -> bool:
    """Whether it looks like a single sample; not a file that is being written."""
    return path.suffix == out.suffix.lower() and not path.name.startswith(".")
