"""restore and its short forms: a measured file in, a restored file out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from restorekit.cli.options import (
    ASSUMED,
    AssumedNoise,
    CalibrationOpt,
    Device,
    Flips,
    In,
    LayoutOpt,
    LevelOpt,
    Noise,
    Out,
    PagesOpt,
    Precision,
    PriorOpt,
    Range,
    Samples,
    Seed,
    SolverOpt,
    Steps,
    Tile,
    TransferOpt,
)
from restorekit.cli.pages import readings


def restore(
    source: In,
    target: Out,
    op: Annotated[str, typer.Option(help="Forward model: denoise, inpaint:mask=FILE, blur:kernel=..., average:factor=4, decimate, grey, hadamard, phase, saturate; or file.py:Class, and that file is run as code.")],
    noise: Noise = "auto",
    solver: SolverOpt = "auto",
    prior: PriorOpt = "natural",
    samples: Samples = 1,
    steps: Steps = None,
    seed: Seed = 0,
    device: Device = "auto",
    tile: Tile = None,
    precision: Precision = "auto",
    flips: Flips = 1,
    range_: Range = None,
    transfer: TransferOpt = "auto",
    coarse: Annotated[bool, typer.Option("--coarse", help="Begin with the low stage of a cascade prior: fewer calls at full size.")] = False,
    start: Annotated[float | None, typer.Option(metavar="SIGMA", help="Noise level to begin at, of pictures on [0, 1]: a first estimate, or --begin, noised so far. The lower, the fewer calls, and the more of it stays; default: the highest level of the solver.")] = None,
    begin: Annotated[Path | None, typer.Option(metavar="FILE", help="Picture to begin from, such as the result of another solver, for --start; default: a crude estimate from IN.")] = None,
    level: LevelOpt = None,
    calibration: CalibrationOpt = None, layout: LayoutOpt = None, pages: PagesOpt = None,
) -> None:  # fmt: skip
    """Restore IN, measured through a known operator, and write OUT, OUT.json, and with --samples a mean, a std and intervals.

    Kernels: a file, gaussian:SIGMA, motion:LENGTH:DEGREES, uniform:SIZE.

    restorekit restore in.tif out.tif --op blur:kernel=motion:15:30 --noise gaussian:0.02 --samples 8
    """
    _run(
        source, target, op, noise, solver, prior, samples, steps, seed, device, tile, precision, flips, range_, transfer,
        coarse=coarse, start=start, begin=begin, level=level, calibration=calibration, layout=layout, pages=pages,
    )  # fmt: skip


def _run(
    source: Path, target: Path, op: str, noise: str | None, solver: str, prior: str, samples: int, steps: int | None,
    seed: int, device: str, tile: int | None, precision: str, flips: int, range_: str | None, transfer: str = "auto", *,
    level: float | None, calibration: str | None, coarse: bool = False, start: float | None = None,
    begin: Path | None = None, layout: str | None = None, pages: str | None = None,
) -> None:  # fmt: skip
    """noise: None where `ASSUMED` is to be taken, and said."""
    from restorekit.tasks.restore import Job

    for reading, out in readings(source, target, layout, pages):
        Job(
            source=source, target=out, reading=reading, op=op, noise=noise or ASSUMED, assumed=noise is None, solver=solver, prior=prior,
            samples=samples, steps=steps, seed=seed, device=device, tile=tile, precision=precision, flips=flips, range=range_,
            transfer=transfer, coarse=coarse, start=start, begin=begin, interval_level=level, calibration=calibration,
        ).run()  # fmt: skip


def denoise(
    source: In, target: Out, noise: Noise = "auto", solver: SolverOpt = "auto", prior: PriorOpt = "natural",
    samples: Samples = 1, steps: Steps = None, seed: Seed = 0, device: Device = "auto", tile: Tile = None,
    precision: Precision = "auto", flips: Flips = 1, range_: Range = None, level: LevelOpt = None,
    calibration: CalibrationOpt = None, layout: LayoutOpt = None, pages: PagesOpt = None,
) -> None:  # fmt: skip
    """Remove noise. restorekit denoise noisy.png clean.png --noise gaussian:0.1"""
    _run(
        source, target, "denoise", noise, solver, prior, samples, steps, seed, device, tile, precision, flips, range_,
        level=level, calibration=calibration, layout=layout, pages=pages,
    )  # fmt: skip


def inpaint(
    source: In, target: Out,
    mask: Annotated[Path, typer.Option(help="Picture as large as IN of two values, one band: white = measured, black = missing; floats from 0 to 1 weight a pixel.")],
    noise: AssumedNoise = None, solver: SolverOpt = "auto", prior: PriorOpt = "natural",
    samples: Samples = 1, steps: Steps = None, seed: Seed = 0, device: Device = "auto", tile: Tile = None,
    precision: Precision = "auto", flips: Flips = 1, range_: Range = None, level: LevelOpt = None,
    calibration: CalibrationOpt = None, layout: LayoutOpt = None, pages: PagesOpt = None,
) -> None:  # fmt: skip
    """Fill missing pixels. restorekit inpaint holes.png full.png --mask mask.png"""
    op = f"inpaint:mask={mask}"
    _run(
        source, target, op, noise, solver, prior, samples, steps, seed, device, tile, precision, flips, range_,
        level=level, calibration=calibration, layout=layout, pages=pages,
    )  # fmt: skip


def deblur(
    source: In, target: Out,
    kernel: Annotated[str, typer.Option(help="File (PNG, TIFF, NPY, NPZ:key, MAT:key, CSV), gaussian:SIGMA, motion:LENGTH:DEGREES, disc:RADIUS, uniform:SIZE; or estimate: straight motion, defocus or Gaussian, from IN. IN is a convolution with it, centred at (h // 2, w // 2), as in scipy.ndimage: one made for a correlation (imfilter) is to be turned by 180 degrees.")],
    kernel_error: Annotated[str, typer.Option(help="none: the kernel is right; auto: it may be off in length, width, direction or single taps; or by how much, as 0.1: a share of its length and of each tap, and that many radians of direction.")] = "none",
    boundary: Annotated[str, typer.Option(help="free: what lies beyond the frame is not known (photographs); reflect, circular: simulated so; auto: as the edges say.")] = "auto",
    noise: Noise = "auto", solver: SolverOpt = "auto", prior: PriorOpt = "natural",
    samples: Samples = 1, steps: Steps = None, seed: Seed = 0, device: Device = "auto", tile: Tile = None,
    precision: Precision = "auto", flips: Flips = 1, range_: Range = None,
    transfer: TransferOpt = "auto", level: LevelOpt = None, calibration: CalibrationOpt = None,
    layout: LayoutOpt = None, pages: PagesOpt = None,
) -> None:  # fmt: skip
    """Undo a blur whose kernel is known, nearly known, or to be found. A corrected kernel is in OUT_kernel.npy and .png.

    restorekit deblur blurred.tif sharp.tif --kernel k.png --kernel-error auto --noise gaussian:0.01
    """
    from restorekit.tasks.deblur import Deblurring

    for reading, out in readings(source, target, layout, pages):
        Deblurring(
            source=source, target=out, reading=reading, op=f"blur:kernel={kernel}", noise=noise, solver=solver, prior=prior,
            samples=samples, steps=steps, seed=seed, device=device, tile=tile, precision=precision, flips=flips, range=range_,
            transfer=transfer, kernel=kernel, kernel_error=kernel_error, boundary=boundary, interval_level=level,
            calibration=calibration,
        ).run()  # fmt: skip


def upscale(
    source: In, target: Out,
    factor: Annotated[int, typer.Option(min=1, help="How many times larger.")] = 2,
    kernel: Annotated[str | None, typer.Option(help="Blur before decimation; default: each pixel is the mean of a block.")] = None,
    noise: AssumedNoise = None, solver: SolverOpt = "auto", prior: PriorOpt = "natural",
    samples: Samples = 1, steps: Steps = None, seed: Seed = 0, device: Device = "auto", tile: Tile = None,
    precision: Precision = "auto", flips: Flips = 1, range_: Range = None,
    transfer: TransferOpt = "auto", level: LevelOpt = None, calibration: CalibrationOpt = None,
    layout: LayoutOpt = None, pages: PagesOpt = None,
) -> None:  # fmt: skip
    """Super-resolution. restorekit upscale small.png large.png --factor 4"""
    op = f"decimate:factor={factor},kernel={kernel}" if kernel else f"average:factor={factor}"
    _run(
        source, target, op, noise, solver, prior, samples, steps, seed, device, tile, precision, flips, range_, transfer,
        level=level, calibration=calibration, layout=layout, pages=pages,
    )  # fmt: skip


def colorize(
    source: In, target: Out, noise: AssumedNoise = None, solver: SolverOpt = "auto", prior: PriorOpt = "natural",
    samples: Samples = 1, steps: Steps = None, seed: Seed = 0, device: Device = "auto", tile: Tile = None,
    precision: Precision = "auto", flips: Flips = 1, range_: Range = None, level: LevelOpt = None,
    calibration: CalibrationOpt = None, layout: LayoutOpt = None, pages: PagesOpt = None,
) -> None:  # fmt: skip
    """Colours for a grey picture. restorekit colorize grey.png colour.png --samples 4"""
    _run(
        source, target, "grey", noise, solver, prior, samples, steps, seed, device, tile, precision, flips, range_,
        level=level, calibration=calibration, layout=layout, pages=pages,
    )  # fmt: skip
