"""despeckle: a radar scene of any size, georeferenced or not."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from restorekit.cli.batch import Many, check_report, perform, several
from restorekit.cli.options import CHECKED, NetworkOpt, shared_options, values
from restorekit.cli.wording import command_of, printed, say


@several
@shared_options(
    "steps", "seed", "device", "layout",
    domain=(Annotated[str, typer.Option(help="What the values are: intensity, amplitude, db, complex; db:LO,HI, stretched to bytes; real,imaginary or amplitude,phase, in two bands; auto takes what the file says, and says so.")], "auto"),
    looks=(Annotated[str, typer.Option(help="Looks of the speckle; auto measures them where the scene is flat.")], "auto"),
    solver=(Annotated[str, typer.Option("--solver", help="ep, sar-dps, paper, hqs, mmps or another of `restorekit solvers`; or a filter: boxcar, lee, refined-lee, frost, gamma-map, as lee:size=9.")], "ep"),
    bands=(Annotated[str | None, typer.Option(metavar="N,N,…", help="Bands to treat, from 1; others stay as they are, as one of incidence angles should. Default: all.")], None),
    samples=(Annotated[int | None, typer.Option(min=1, help="Posterior samples; more than one give their mean in linear power, and OUT_std. Default: 4, or the one answer of a filter or an optimiser.")], None),
    decorrelate=(Annotated[str, typer.Option(help="What to do about speckle whose grain is larger than a pixel: auto, whiten, subsample, none.")], "auto"),
    targets=(Annotated[str, typer.Option(metavar="auto|off|RATE", help="Pixels that cannot be speckle of their surroundings are kept as measured; RATE: false alarms per pixel, auto is 1e-5.")], "auto"),
    structure=(Annotated[str, typer.Option(metavar="auto|off|RATE", help="Lines and small fields that the ratio image shows are given back to what a solver restored; RATE: false alarms per pixel, auto is 1e-5.")], "auto"),
    grain=(Annotated[str | None, typer.Option(metavar="RHO_ROW,RHO_COL|NAME", help="Correlation of the intensity of speckle with the next row and column, 0 to 0.95, or the name of a product, as sentinel-1-iw-grd, whose looks are taken too; help lists them. Default: of the product, or measured where the scene is flat.")], None),
    polarisations=(Annotated[str, typer.Option(metavar="auto|together|apart", help="Bands that are polarisations of one date have one set of looks and one map of structure; auto: a like- and a cross-polarised band, by their names.")], "auto"),
    covariance=(Annotated[bool, typer.Option("--covariance", help="Bands are the covariance of two polarisations: C11, C22, and the real and imaginary part of C12, by these names (C12_re, C12_im) or in this order. It stays positive semidefinite.")], False),
    mask=(Annotated[bool, typer.Option("--mask", help="Write OUT_mask too: 1 where a target was kept, 2 where structure was given back, 0 elsewhere.")], False),
    joint=(Annotated[bool, typer.Option("--joint", help="IN are dates of one place, or the bands of one file are: they are restored together, with the looks of all where nothing changes. Several IN need --out FOLDER.")], False),
    joint_by=(Annotated[str, typer.Option(metavar="change|ratio", help="With --joint: a date differs from the mean of all where it changed, or its ratio to the mean is restored.")], "change"),
    changes=(Annotated[str, typer.Option(metavar="auto|RATE", help="With --joint: share of the pixels of a date without a change that are called changed; auto is 3e-3.")], "auto"),
    preview=(Annotated[str | None, typer.Option(metavar="TOP,LEFT,HEIGHT,WIDTH", help="Restore that part alone: the same values as the whole would have there.")], None),
    prior=(Annotated[str, typer.Option(help="A prior of log-intensities: sar, or a checkpoint; for `paper` one of pictures. Default: sar, natural.")], "auto"),
    precision=(Annotated[str, typer.Option(help="fp32, auto or bf16 for the network; bf16 is faster, with coarser rounding.")], "fp32"),
    keep_dtype=(Annotated[bool, typer.Option("--keep-dtype", help="Write the type of IN instead of float32.")], False),
    executor=(Annotated[str, typer.Option(help="serial, processes or dask (its cluster here is reached from this machine alone); auto takes processes for more than a minute of work.")], "auto"),
    workers=(Annotated[int | None, typer.Option(min=1, help="Processes; default: one per core.")], None),
    scheduler=(Annotated[str | None, typer.Option(metavar="ADDRESS", help="Of a dask cluster that is running, as tcp://host:8786. It is trusted: it and all who can reach it may run code here.")], None),
    tile=(Annotated[int, typer.Option(min=1, help="Side of what a worker takes at a time, pixels, at least one block; does not change the result.")], 512),
    block=(Annotated[int | None, typer.Option(min=64, help="Side of the blocks, pixels, faded into each other; part of the result. Default 512, filters 1024.")], None),
    report=(Annotated[Path | None, typer.Option(metavar="PAGE.html", help="A page with pictures, the ratio, and figures with what each should be.")], None),
    restart=(Annotated[bool, typer.Option("--restart", help="Throw away the unfinished work of an earlier run with other settings.")], False),
    stac=(Annotated[str | None, typer.Option("--stac", metavar="TIME|auto", help="A STAC item beside OUT, OUT_stac.json: of that time of measurement, as 2026-01-02T03:04:05Z; auto reads it in the name of IN or its tags.")], None),
    interop_snap=(Annotated[bool, typer.Option("--interop-snap", help="Without the predictor that some older readers of GeoTIFF do not know.")], False),
    product=(Annotated[str | None, typer.Option("--product", metavar="WORD,WORD,…", help="What to take of a product of a radar satellite: a quantity (sigma0, beta0, gamma0, dn), a polarisation, a dataset.")], None),
    network=(NetworkOpt, False),
)  # fmt: skip
def despeckle(
    ctx: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="IN", help="GeoTIFF and what else GDAL reads, NPY, PNG; one band or several. Also NETCDF:FILE:NAME, HDF5:FILE://NAME, GTIFF_DIR:PAGE:FILE, /vsizip/FILE/NAME.", show_default=False)],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Written in the unit of IN as float32: .tif, .npy; pictures of pictures.", show_default=False)],
    **settings: Any,
) -> None:  # fmt: skip
    """Take the speckle out of a radar scene; what came with the file comes back with it. An interrupted run goes on when repeated.

    restorekit despeckle in.tif out.tif --looks 4.4 --solver hqs

    restorekit despeckle may.tif june.tif july.tif --joint --out restored
    """
    from restorekit.errors import BadInput
    from restorekit.files.datasets import container
    from restorekit.files.overwrite import separate
    from restorekit.files.reading import Reading
    from restorekit.tasks.despeckle import despeckle as run
    from restorekit.text.names import files_of

    check_report(source, report := settings.pop("report"))
    pages = [report] if report else []
    if isinstance(source, Path):
        separate([container(source), *files_of(settings["solver"], settings["prior"])], [target], pages)
    layout, network, product = (settings.pop(name) for name in ("layout", "network", "product"))
    settings["reading"] = Reading(layout, network=network, product=product)
    joint, of_dates = settings.pop("joint"), {name: settings.pop(name) for name in ("joint_by", "changes")}
    if not joint and list(of_dates.values()) != ["change", "auto"]:
        raise BadInput("`joint_by` and `changes` are for several dates, with `joint`", argument="joint")
    began = time.perf_counter()

    def line(result: Any, _: Path, files: list[Path]) -> str:
        written = [p for p in pages if result.save_page(p, command_of(ctx))]
        return f"{', '.join(map(str, [*files, *written]))}  ({time.perf_counter() - began:.1f} s)"

    if joint:
        return together(ctx, source, target, settings | of_dates, line)
    perform(ctx, run, source, target, settings, line, unit="blocks")
    return None


def together(
    ctx: typer.Context, source: Path | Many, target: Path, settings: dict[str, Any], line: Callable[[Any, Path, list[Path]], str]
) -> None:  # fmt: skip
    """Restore dates together: the inputs of `Many` into the folder `target`, or the bands of one file."""
    from restorekit.files.overwrite import overwriting
    from restorekit.report.progress import phases
    from restorekit.tasks.dates import dates_of, despeckle_dates
    from restorekit.tasks.sound import check_settings

    settings = values(settings)
    overwrite = settings.pop("overwrite")
    if CHECKED in ctx.meta:
        return check_settings(despeckle_dates, settings)
    places = dates_of(source.places) if isinstance(source, Many) else [source]
    suffix = source.suffix if isinstance(source, Many) else None
    with overwriting(overwrite), phases("blocks") as show:
        results = despeckle_dates(places, target, suffix=suffix, notes=printed(ctx), progress=show, **settings)
    for result in results:
        say(line(result, target, list(result.files)))
    return None
