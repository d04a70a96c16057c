"""Options that several commands share, each defined once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from restorekit.errors import BadInput

In = Annotated[Path, typer.Argument(metavar="IN", help="Measured picture: PNG, JPEG, TIFF, NPY.", show_default=False)]
Out = Annotated[
    Path, typer.Argument(metavar="OUT", help="Restored picture; its suffix is its format.", show_default=False)
]
Noise = Annotated[
    str,
    typer.Option(
        help="gaussian:SIGMA (white = 1), poisson:COUNTS_AT_WHITE, gamma:LOOKS (speckle; of logarithms "
        "gamma:LOOKS,domain=log); auto measures Gaussian noise."
    ),
]
ASSUMED = "gaussian:0.01"  # where a picture mostly says nothing of its noise
AssumedNoise = Annotated[
    str | None,
    typer.Option(
        "--noise",
        help="gaussian:SIGMA (white = 1), poisson:COUNTS_AT_WHITE, gamma:LOOKS (speckle); auto measures Gaussian noise.",
        show_default=f"{ASSUMED}, which is assumed",
    ),
]
SolverOpt = Annotated[
    str,
    typer.Option(
        "--solver",
        help="A name of `restorekit solvers`, with settings, as diffpir:zeta=0.5; or file.py:Class, and that file is run as code.",
    ),
]
PriorOpt = Annotated[
    str,
    typer.Option(
        "--prior",
        help="A shipped prior (`restorekit priors list`), a .safetensors file, a diffusers folder, or a .pt of guided-diffusion.",
    ),
]
Samples = Annotated[
    int, typer.Option(min=1, help="Posterior samples; more than one also gives mean, standard deviation and intervals.")
]
LevelOpt = Annotated[
    float | None,
    typer.Option(
        "--level",
        min=0.5,
        max=0.99,
        help="Of OUT_low and OUT_high: the share of true values between them.",
        show_default="0.9",
    ),
]
CalibrationOpt = Annotated[
    str | None,
    typer.Option(
        "--calibration",
        metavar="FILE",
        show_default="auto",
        help="What makes OUT_low and OUT_high hold, from `restorekit calibrate`; auto: that beside the prior, and a note where "
        "there is none; none: intervals of a Gaussian posterior.",
    ),
]
Steps = Annotated[
    int | None, typer.Option(min=1, help="Noise levels; default: what the task was tuned at, or the solver's own.")
]
Seed = Annotated[int, typer.Option(min=0, help="Same seed, same picture.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
Tile = Annotated[
    int | None,
    typer.Option(
        min=8,
        help="Side of the windows the network sees, pixels; smaller needs less memory. Default: 512; for mamba-cascade and "
        "priors of latents, whose result depends on it, what suits their training; for networks of other libraries, whose "
        "result depends on it too, the whole picture.",
    ),
]
Precision = Annotated[str, typer.Option(help="auto, bf16 or fp32 for the network.")]
Range = Annotated[
    str | None,
    typer.Option(
        "--range", metavar="LO,HI", help="File values that mean black and white, where not [0, 1] or full scale."
    ),
]
TransferOpt = Annotated[
    str,
    typer.Option(
        "--transfer",
        help="Curve from light to the values of the file: auto (sRGB for blur and decimate of 8-bit pictures, else "
        "linear), srgb, linear (values as they are: a blur that was simulated in them). --noise is in the unit of the light.",
    ),
]
LayoutOpt = Annotated[
    str | None,
    typer.Option(
        "--layout",
        metavar="HWC|CHW",
        help="Axes of an NPY of three: rows, columns, bands, or bands first.",
        show_default="HWC",
    ),
]
PagesOpt = Annotated[
    str | None,
    typer.Option(
        "--pages",
        metavar="N|N-M|all",
        help="Pages of a TIFF of several, from 1. Of more than one, each is restored by itself, into OUT_pN.",
        show_default="refused",
    ),
]
NetworkOpt = Annotated[
    bool, typer.Option("--network", help="IN may be an address, https://..., read by the parts that are needed.")
]
Flips = Annotated[int, typer.Option(help="Average the network over 2, 4 or 8 flips (as many times slower); 1: off.")]


def checked_precision(text: str) -> Literal["auto", "bf16", "fp32"]:
    if text not in ("auto", "bf16", "fp32"):
        raise BadInput(f"--precision {text!r} is unknown; it is auto, bf16 or fp32")
    return text  # type: ignore[return-value]


def numbers(text: str | None) -> tuple[int, ...] | None:
    """ "4,3,2" as numbers of bands, from 1."""
    if text is None:
        return None
    parts = text.split(",")
    if not all(p.strip().isdecimal() for p in parts):
        raise BadInput(f"--bands {text!r} is not understood; give numbers from 1, as --bands 1,2")
    return tuple(int(p) for p in parts)


def span(text: str | None) -> tuple[float, float] | None:
    """ "LO,HI" as numbers."""
    if text is None:
        return None
    try:
        low, high = (float(v) for v in text.split(","))
    except ValueError:
        raise BadInput(f"--range {text!r} is not understood; give two numbers, as --range 0,4095") from None
    if not low < high:
        raise BadInput(f"--range {text!r}: the first number must be the smaller one")
    return low, high


def size(text: str | None) -> tuple[int, int] | None:
    """ "HxW" as numbers; one number is a square."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(p.isdecimal() and int(p) > 0 for p in parts):
        raise BadInput(f"--size {text!r} is not understood; give height and width in pixels, as --size 64x96")
    return int(parts[0]), int(parts[-1])


def check_page(path: Path) -> None:
    """Refuse, before any work, a report that cannot be written."""
    from restorekit.files.atomic import check_target

    if path.suffix.lower() not in (".html", ".htm"):
        raise BadInput(f"{path}: a report is a page; give --report {path.stem or 'quality'}.html")
    check_target(path)
