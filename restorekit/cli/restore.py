"""restore and its short forms: a measured file in, a restored file out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from restorekit.cli.batch import perform, several
from restorekit.cli.options import ASSUMED, PICTURE, REQUIRED, ROUNDING, In, Out, shared_options
from restorekit.text.completion import complete_noise, complete_operator


@several
@shared_options(
    *PICTURE, "transfer",
    op=(Annotated[str, typer.Option(autocompletion=complete_operator, help="Forward model: denoise, inpaint:mask=FILE, blur:kernel=..., resize:factor=4, average, decimate, grey, mosaic:pattern=rggb, hadamard, phase, saturate; or file.py:Class, and that file is run as code.")], REQUIRED),
    coarse=(Annotated[bool, typer.Option("--coarse", help="Begin with the low stage of a cascade prior: fewer calls at full size.")], False),
    start=(Annotated[float | None, typer.Option(metavar="SIGMA", help="Noise level to begin at, of pictures on [0, 1]: a first estimate, or --begin, noised so far. The lower, the fewer calls, and the more of it stays; default: the highest level of the solver.")], None),
    begin=(Annotated[Path | None, typer.Option(metavar="FILE", help="Picture to begin from, such as the result of another solver, for --start; default: a crude estimate from IN.")], None),
)  # fmt: skip
def restore(ctx: typer.Context, source: In, target: Out, **settings: Any) -> None:
    """Restore IN, measured through a known operator, and write OUT, OUT.json, and with --samples a mean, a std and intervals.

    Kernels: a file, gaussian:SIGMA, motion:LENGTH:DEGREES, uniform:SIZE.

    restorekit restore in.tif out.tif --op blur:kernel=motion:15:30 --noise gaussian:0.02 --samples 8
    """
    from restorekit.tasks.restore import Restoring as run

    perform(ctx, run, source, target, settings, _line)


@several
@shared_options(
    *PICTURE, "transfer",
    strength=(Annotated[float, typer.Option(help="Share of what was taken out that stays out, above 0 and at most 1: 0.7 leaves some grain.")], 1.0),
)  # fmt: skip
def denoise(ctx: typer.Context, source: In, target: Out, **settings: Any) -> None:
    """Remove noise, and fill in the colours of a camera's raw file. restorekit denoise noisy.png clean.png --noise gaussian:0.1"""
    from restorekit import denoise as run

    perform(ctx, run, source, target, settings, _line)


@several
@shared_options(
    *PICTURE, noise=ASSUMED,
    mask=(Annotated[Path, typer.Option(help="Picture as large as IN of two values, one band: white = measured, black = missing; floats from 0 to 1 weight a pixel.")], REQUIRED),
)  # fmt: skip
def inpaint(ctx: typer.Context, source: In, target: Out, **settings: Any) -> None:
    """Fill missing pixels; with --noise, take noise out of the others. restorekit inpaint holes.png full.png --mask mask.png"""
    from restorekit import inpaint as run

    perform(ctx, run, source, target, settings | {"mask": str(settings["mask"])}, _line)


@several
@shared_options(
    *PICTURE, "transfer",
    kernel=(Annotated[str, typer.Option(help="auto: of any form up to 45 pixels, from IN; estimate: straight motion, defocus or Gaussian, from IN; a file (PNG, TIFF, NPY, NPZ:key, MAT:key, CSV), gaussian:SIGMA, motion:LENGTH:DEGREES, disc:RADIUS, uniform:SIZE; or a folder of files named ROW_COLUMN, for a blur that changes over the picture. IN is a convolution with it, centred at (h // 2, w // 2), as in scipy.ndimage: one made for a correlation (imfilter) is to be turned by 180 degrees.")], "auto"),
    kernel_error=(Annotated[str, typer.Option(help="none: the kernel is right; auto: it may be off in length, width, direction or single taps; or by how much, as 0.1: a share of its length and of each tap, and that many radians of direction.")], "none"),
    boundary=(Annotated[str, typer.Option(help="free: what lies beyond the frame is not known (photographs); reflect, circular: simulated so; auto: as the edges say.")], "auto"),
)  # fmt: skip
def deblur(ctx: typer.Context, source: In, target: Out, **settings: Any) -> None:
    """Undo a blur whose kernel is known, nearly known, or to be found. One that was found is in OUT_kernel.npy and .png.

    restorekit deblur blurred.jpg sharp.png
    restorekit deblur blurred.tif sharp.tif --kernel k.png --kernel-error auto --noise gaussian:0.01
    """
    from restorekit import deblur as run

    perform(ctx, run, source, target, settings, _line)


@several
@shared_options(
    *PICTURE, "transfer", noise=ROUNDING,
    factor=(Annotated[float | None, typer.Option(min=1, help="How many times larger, 2.5 as well.", show_default="2")], None),
    filter=(Annotated[str, typer.Option(help="What made IN smaller: bicubic, lanczos, bilinear, box, or area, the mean of blocks.")], "bicubic"),
    like=(Annotated[str, typer.Option(help="The library that did: pillow, torch, torch-antialias, opencv, skimage, matlab; auto: Pillow, and exact means for area.")], "auto"),
    kernel=(Annotated[str | None, typer.Option(help="Instead of a filter, a blur of which one pixel of each block was kept: as --kernel of deblur.", show_default=False)], None),
    align=(Annotated[str, typer.Option(help="Of --kernel: the pixel in the middle of a block, centre, as resizers have it, or its first, corner, as x[::factor].")], "centre"),
    size=(Annotated[str | None, typer.Option(metavar="HxW", help="Sides of OUT, where they are not the factor times those of IN, or instead of --factor.", show_default=False)], None),
)  # fmt: skip
def upscale(ctx: typer.Context, source: In, target: Out, **settings: Any) -> None:
    """Super-resolution. restorekit upscale small.png large.png --factor 4 --like opencv"""
    from restorekit import upscale as run

    perform(ctx, run, source, target, settings, _line)


@several
@shared_options(*PICTURE, noise=ASSUMED)
def colorize(ctx: typer.Context, source: In, target: Out, **settings: Any) -> None:
    """Colours for a grey picture. restorekit colorize grey.png colour.png --samples 4"""
    from restorekit import colorize as run

    perform(ctx, run, source, target, settings, _line)


@several
@shared_options(
    *PICTURE,
    noise=(Annotated[str | None, typer.Option(autocompletion=complete_noise, help="gaussian:SIGMA (white = 1), noise of the picture before it was a JPEG, which is then taken out as well; auto measures it.", show_default="none to speak of")], None),
)  # fmt: skip
def dejpeg(ctx: typer.Context, source: In, target: Out, **settings: Any) -> None:
    """Take blocks, halos and smeared colours out of a JPEG, by the tables in the file. restorekit dejpeg photo.jpg photo.png"""
    from restorekit import dejpeg as run

    perform(ctx, run, source, target, settings, _line)


def _line(result: Any, out: Path, files: list[Path]) -> str:
    low = f" and {result.settings['low_nfe']} of the low stage" if "low_nfe" in result.settings else ""
    return f"{out}  ({result.nfe} network calls{low}, {result.seconds:.1f} s, {len(files) - 1} picture(s) and .json)"
