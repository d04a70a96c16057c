"""bench: compare solvers, ours and others, where the answer is known: exact posteriors, or clean pictures."""

from __future__ import annotations

from typing import Any

import typer

from restorekit.bench.bench_settings import ExamSettings, ImageSettings, PeerSettings
from restorekit.cli.options import given, settings_options
from restorekit.cli.wording import print_progress, say

app = typer.Typer(help="Compare solvers where the answer is known.", no_args_is_help=True)
ONCE = {"solvers": ("--solver",), "problems": ("--problem",), "priors": ("--prior",), "sigmas": ("--sigma",), "full": ("--full",)}  # fmt: skip


@app.command()
@settings_options(ExamSettings, **ONCE)
def posterior(**settings: Any) -> None:
    """Samples against exact posteriors: distance, bias, spread, coverage. restorekit bench posterior --solver mmps --sigma 0.01"""
    from restorekit.bench.posterior.exam_table import Exams

    print(Exams(**given(settings))(print_progress))


@app.command()
@settings_options(
    ImageSettings, ops=("--op", "--ops"), solvers=("--solver", "--solvers"), priors=("--prior", "--priors")
)
def images(**settings: Any) -> None:
    """Solvers on measurements of clean pictures: PSNR, SSIM, misfit, calibration, calls, seconds, memory.

    restorekit bench images --data photos --op blur:kernel=gaussian:2@gaussian:0.02 --solver hqs --solver dps --nfe 20 --nfe 50
    """
    from restorekit.bench.images.run_images import Images

    run = Images(**given(settings))
    run(print_progress)
    print((run.out / "images.md").read_text(encoding="utf-8"))
    say(f"{run.out / 'images.html'}  (and .csv, .json, .md)")


@app.command()
@settings_options(PeerSettings, peers=("--peer",), ops=("--op",), **ONCE)
def peers(**settings: Any) -> None:
    """azula, deepinv, bm3d and ours in the same exams and on the same pictures. restorekit bench peers --problem denoise --sigma 0.01

    pip install "restorekit[peers]" brings all three; what is not installed is listed with its reason, and the others go on.
    bm3d is for non-commercial use alone.
    """
    from restorekit.bench.peers.run_peers import Peers

    run = Peers(**given(settings))
    run(print_progress)
    print((run.out / "peers.md").read_text(encoding="utf-8"))
    say(f"{run.out / 'peers.html'}  (and .csv, .md)")
