"""degrade: make a test measurement from a clean picture, with its truth."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from restorekit.cli.options import Range, Seed, TransferOpt

if TYPE_CHECKING:
    from restorekit.inference.likelihood import Likelihood


def degrade(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Clean picture.", show_default=False)],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Measurement to write; OUT_truth is written beside it.", show_default=False)],
    op: Annotated[str, typer.Option(help="Forward model, as for `restore`; denoise changes nothing but by noise.")] = "denoise",
    noise: Annotated[str, typer.Option(help="gaussian:SIGMA, poisson:COUNTS_AT_WHITE, gamma:LOOKS.")] = "gaussian:0.01",
    correlated: Annotated[str | None, typer.Option(metavar="SWATH", help="Speckle with the grain of a Sentinel-1 swath, iw1, iw2 or iw3; with gamma noise.")] = None,
    seed: Seed = 0,
    dtype: Annotated[str | None, typer.Option(help="uint8, uint16 or float32; default: that of IN, float32 for hadamard and phase. Integers clip the noise.")] = None,
    range_: Range = None,
    transfer: TransferOpt = "auto",
) -> None:  # fmt: skip
    """Make a test measurement. restorekit degrade photo.png blurred.tif --op blur:kernel=motion:15:30 --noise gaussian:0.02 --dtype uint16"""
    import torch

    from restorekit.cli.options import span
    from restorekit.errors import BadInput
    from restorekit.files.atomic import together
    from restorekit.files.overwrite import separate
    from restorekit.files.picture import check_writable, read_picture, write_picture
    from restorekit.files.transfer import chosen, written_as
    from restorekit.inference.likelihood import Gamma
    from restorekit.tasks.ranges import check_range
    from restorekit.text.names import NO_PICTURE, files_of, noise_of, operator_of

    truth = target.with_name(f"{target.stem}_truth{target.suffix}")
    separate([source, *files_of(op)], [target, truth])
    law = noise_of(noise)
    grain = None if correlated is None else _grained(law, correlated)
    logarithms = isinstance(law, Gamma) and law.domain == "log"
    picture = read_picture(source, (0.0, 1.0) if logarithms else span(range_))
    if range_ is None:
        check_range(source, picture)
    if logarithms and not picture.dtype.startswith("float"):
        raise BadInput(
            f"{source} holds {picture.dtype} and no logarithms of intensities; give floats, or --noise gamma:LOOKS"
        )
    shape = picture.pixels.shape
    operator = operator_of(op, image=(shape[0], shape[1], shape[2]))
    rng = torch.Generator().manual_seed(seed)
    response = chosen(transfer, op.partition(":")[0], noise, written_as(target, picture, dtype), target)
    clean = torch.from_numpy(response.decoded(picture).pixels)[None]
    y = (grain or law).sample(operator(clean), rng)[0]
    y = y if y.ndim == 3 else y.reshape(shape[0] if y.ndim == 2 else 1, 1, -1)
    if op.partition(":")[0] in NO_PICTURE:
        dtype = dtype or "float32"
        if dtype != "float32":
            raise BadInput(
                f"a measurement of {op.partition(':')[0]} is no picture and does not fit {dtype}; use --dtype float32"
            )
        picture = replace(picture, span=(0.0, 1.0))
    check_writable(target, y.shape[0], picture.alpha is not None, dtype)
    check_writable(truth, shape[0], picture.alpha is not None, dtype)
    coded = response.curve.encode
    with together():
        write_picture(target, coded(y.numpy()), picture, dtype)
        write_picture(truth, coded(operator.inside(clean)[0].numpy()), picture, dtype)
    if response.coded:
        print(f"transfer: srgb, {source.name} was degraded in linear light, the unit of the noise", file=sys.stderr)
    print(f"{target}  (truth: {truth})")


def _grained(law: Likelihood, name: str) -> Likelihood:
    from restorekit.errors import BadInput
    from restorekit.inference.likelihood import Gamma
    from restorekit.sar.grain import Correlated
    from restorekit.sar.speckle import swath

    if not isinstance(law, Gamma):
        raise BadInput(f"--correlated {name} is for speckle; give --noise gamma:LOOKS")
    return Correlated.of(law, swath(name))
