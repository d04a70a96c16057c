"""bench: compare solvers, ours and others, where the answer is known: exact posteriors, or clean pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from restorekit.cli.batch import Scheduler
from restorekit.cli.options import Device, Precision, Seed
from restorekit.cli.wording import print_progress, say

app = typer.Typer(help="Compare solvers where the answer is known.", no_args_is_help=True)


@app.command()
def posterior(
    solvers: Annotated[list[str] | None, typer.Option("--solver", help="With settings, as dps:paper=true; again for more; default: all.")] = None,
    problems: Annotated[list[str] | None, typer.Option("--problem", help="denoise, inpaint, average, blur, dense, mixture-2, mixture-8, ring, speckle-LOOKS, counts-20, or an exam of your own as file.py:Exam, a file that is run as code; again for more; default: all.", show_default=False)] = None,
    priors: Annotated[list[str] | None, typer.Option("--prior", help="stationary, random, modes, ring; of speckle wide, narrow; again for more; default: all.", show_default=False)] = None,
    sigmas: Annotated[list[float] | None, typer.Option("--sigma", help="Noise sigma_y of linear problems, on pictures of deviation 0.25; again for more; default: 0.002 to 0.3.", show_default=False)] = None,
    steps: Annotated[list[int] | None, typer.Option(min=2, help="Noise levels; again for more; default: the solver's own.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Seven noises instead of four and 519 samples instead of 99 (hours; quick: minutes).")] = False,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Folder for posterior.csv, .md and .tex; a run goes on where it stopped.")] = Path("bench"),
) -> None:  # fmt: skip
    """Samples against exact posteriors: distance, bias, spread, coverage. restorekit bench posterior --solver mmps --sigma 0.01"""
    from restorekit.bench.posterior.exam_table import Exams

    print(
        Exams(
            solvers=solvers, problems=problems, priors=priors, sigmas=sigmas, steps=steps, full=full, seed=seed, out=out
        )(print_progress)
    )


@app.command()
def images(
    data: Annotated[list[Path], typer.Option(metavar="DIR", help="Folder of clean pictures; again for more.", show_default=False)],
    ops: Annotated[list[str] | None, typer.Option("--op", "--ops", metavar="OP[@NOISE]", help="As blur:kernel=motion:15:30@gaussian:0.02; again for more. Default: a blur, four times smaller, noise.", show_default=False)] = None,
    solvers: Annotated[list[str] | None, typer.Option("--solver", "--solvers", help="With settings, as hqs:first=0.5; again for more. Default: hqs, diffpir, ddrm, pigdm, dps.", show_default=False)] = None,
    steps: Annotated[list[int] | None, typer.Option(min=1, help="Noise levels; again for more; default: the solver's own.", show_default=False)] = None,
    nfe: Annotated[list[int] | None, typer.Option(min=1, help="Network calls: as many levels as stay within; again for more.", show_default=False)] = None,
    priors: Annotated[list[str] | None, typer.Option("--prior", "--priors", help="As for `restore`; again for more. Default: natural-fast.", show_default=False)] = None,
    samples: Annotated[int, typer.Option(min=1, help="Draws of each sampler; an optimiser gives one answer.")] = 1,
    crop: Annotated[int, typer.Option(min=0, help="Side of the square from the middle, pixels; 0: whole pictures.")] = 128,
    limit: Annotated[int | None, typer.Option(min=1, help="Pictures of each folder, the first by name.")] = None,
    seed: Seed = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes; seconds are undisturbed with 1.")] = 2,
    scheduler: Scheduler = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Of each process; default: its share of the cores.")] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    features: Annotated[Path | None, typer.Option(help="TorchScript network for FID and KID: float pictures (B, 3, H, W) in [0, 1] to (B, D). Default: features of the shipped prior, and not called FID.", show_default=False)] = None,
    lpips: Annotated[str, typer.Option(help="alex, squeeze or vgg from the cache of torch.hub, such a weights file, none; auto: what is there.")] = "auto",
    out: Annotated[Path, typer.Option(help="Folder for images.csv, .json, .md and .html; a run goes on where it stopped.")] = Path("bench"),
) -> None:  # fmt: skip
    """Solvers on measurements of clean pictures: PSNR, SSIM, misfit, calibration, calls, seconds, memory.

    restorekit bench images --data photos --op blur:kernel=gaussian:2@gaussian:0.02 --solver hqs --solver dps --nfe 20 --nfe 50
    """
    from restorekit.bench.images.run_images import OPS, SOLVERS, Images

    Images(
        data=tuple(data), ops=tuple(ops or OPS), solvers=tuple(solvers or SOLVERS), steps=tuple(steps or ()), nfe=tuple(nfe or ()),
        priors=tuple(priors or ("natural-fast",)), samples=samples, crop=crop, limit=limit, seed=seed, workers=workers,
        scheduler=scheduler, threads=threads, device=device, precision=precision, features=features, lpips=lpips, out=out,
    )(print_progress)  # fmt: skip
    print((out / "images.md").read_text(encoding="utf-8"))
    say(f"{out / 'images.html'}  (and .csv, .json, .md)")


@app.command()
def peers(
    names: Annotated[list[str] | None, typer.Option("--peer", help="azula-mmps, -tmpd, -diffpir; deepinv-mmps, -pigdm, -dps, -ddrm, -diffpir; bm3d; with settings, as azula-mmps:steps=40; or file.py:Peer, a file that is run as code; again for more; default: all.", show_default=False)] = None,
    solvers: Annotated[list[str] | None, typer.Option("--solver", help="Ours beside them; again for more; default: mmps, pigdm, dps, ddrm, diffpir.", show_default=False)] = None,
    problems: Annotated[list[str] | None, typer.Option("--problem", help="Exams, as for `bench posterior`; again for more; default: all.", show_default=False)] = None,
    priors: Annotated[list[str] | None, typer.Option("--prior", help="Priors of the exams, as for `bench posterior`; again for more; default: all.", show_default=False)] = None,
    sigmas: Annotated[list[float] | None, typer.Option("--sigma", help="Noise sigma_y of the exams; again for more; default: 0.002 to 0.3.", show_default=False)] = None,
    exams: Annotated[bool, typer.Option(help="Exams with exact posteriors.")] = True,
    full: Annotated[bool, typer.Option("--full", help="Seven noises instead of four and 519 samples instead of 99.")] = False,
    data: Annotated[list[Path] | None, typer.Option(metavar="DIR", help="Folder of clean pictures; again for more; default: exams alone.", show_default=False)] = None,
    ops: Annotated[list[str] | None, typer.Option("--op", metavar="OP[@NOISE]", help="Of the pictures, as for `bench images`; again for more.", show_default=False)] = None,
    network: Annotated[str, typer.Option(help="Prior of the pictures, as for `restore`.")] = "natural-fast",
    samples: Annotated[int, typer.Option(min=1, help="On pictures, of each sampler.")] = 4,
    crop: Annotated[int, typer.Option(min=0, help="Side of the square from the middle of pictures, pixels; 0: whole pictures.")] = 96,
    limit: Annotated[int | None, typer.Option(min=1, help="Pictures of each folder, the first by name.")] = None,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Folder for peers.csv, .md and .html; a run goes on where it stopped.")] = Path("bench"),
) -> None:  # fmt: skip
    """azula, deepinv, bm3d and ours in the same exams and on the same pictures. restorekit bench peers --problem denoise --sigma 0.01

    pip install "restorekit[peers]" brings all three; what is not installed is listed with its reason, and the others go on.
    bm3d is for non-commercial use alone.
    """
    from restorekit.bench.images.run_images import OPS
    from restorekit.bench.peers.peer_list import DEFAULT
    from restorekit.bench.peers.run_peers import SOLVERS, Peers

    Peers(
        peers=tuple(names or DEFAULT), solvers=tuple(solvers or SOLVERS), problems=tuple(problems) if problems else None,
        priors=tuple(priors) if priors else None, sigmas=tuple(sigmas) if sigmas else None, exams=exams, full=full,
        data=tuple(data or ()), ops=tuple(ops or OPS), network=network, samples=samples, crop=crop, limit=limit, seed=seed, out=out,
    )(print_progress)  # fmt: skip
    print((out / "peers.md").read_text(encoding="utf-8"))
    say(f"{out / 'peers.html'}  (and .csv, .md)")
