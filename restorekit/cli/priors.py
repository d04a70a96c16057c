"""priors: list the shipped ones, show a model card, verify a checkpoint, judge one on pictures."""

from __future__ import annotations

from typing import Annotated

import typer

from restorekit.cli.evaluate import evaluate
from restorekit.cli.wording import say

app = typer.Typer(help="The trained priors.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="A shipped name, or a file or folder as for --prior.", show_default=False)]


@app.command("list")
def list_() -> None:
    """The shipped priors, a line each."""
    from restorekit.priors.find import shipped
    from restorekit.priors.formats.checkpoint import read_spec

    for name, path in shipped().items():
        spec = read_spec(path)
        bands = "/".join(map(str, spec.bands))
        print(
            f"{name:14} {spec.domain}, {bands} bands, {path.stat().st_size / 1e6:.1f} MB  {spec.data.partition(', sha256')[0]}"
        )


@app.command()
def show(name: Name) -> None:
    """What is known about a prior: for shipped ones the model card, else what its files say; and its calibration."""
    import json
    from dataclasses import asdict

    from restorekit.bench.journal import markdown
    from restorekit.priors.find import find, spec_of
    from restorekit.priors.formats.checkpoint import load, sha256
    from restorekit.priors.formats.diffusers import weights_of
    from restorekit.uncertainty.calibration import HEADER, Calibration, beside

    path = find(name)
    if path.suffix == ".safetensors":
        load(path)  # what is said of a file should be of one that can be used
    spec, weights = spec_of(path), weights_of(path) if path.is_dir() else path
    kept = beside(weights)
    known = Calibration.read(kept) if kept.is_file() else None
    if known is not None and known.sha256 != sha256(weights):
        known = None  # of other weights: it holds for no run
    lines = [] if known is None else known.table()
    card = path.with_suffix(".md")
    if not card.is_file():  # JSON alone, for programs
        table = {} if known is None else {"calibration": [dict(zip(HEADER, line)) for line in lines]}
        print(json.dumps(asdict(spec) | table, indent=2))
        return
    print(card.read_text(encoding="utf-8").rstrip())
    print("\n## Calibrated error bars\n")
    can = getattr(spec, "domain", "") == "srgb"
    print(markdown(HEADER, lines) if lines else "None; `restorekit calibrate` makes them." if can else "None.")


@app.command()
def verify(name: Name) -> None:
    """Load a checkpoint, run it, and check that it denoises; exit 1 if not."""
    import torch

    from restorekit.errors import BadInput
    from restorekit.inference.denoiser import Latent
    from restorekit.priors.find import find, load_prior

    prior = load_prior(name)
    rng = torch.Generator().manual_seed(0)
    for bands in prior.spec.bands:
        ramp, own = torch.linspace(0, 1, 48).expand(1, bands, 48, 48), prior.for_bands(bands)
        with torch.no_grad():
            latent = isinstance(own, Latent)
            clean, sigma, denoise = (own.encode(ramp), 0.5, own.denoise) if latent else (ramp, 0.1, own)
            noisy = clean + sigma * torch.randn(clean.shape, generator=rng)
            gain = 10 * torch.log10((noisy - clean).square().mean() / (denoise(noisy, sigma) - clean).square().mean())
        what = "the latent of a ramp" if latent else "a ramp"
        print(f"{bands} band(s): {float(gain):.1f} dB of noise removed from {what} at sigma {sigma}")
        if not float(gain) > 3:
            raise BadInput(f"{name} does not denoise; the file is damaged or not finished")
    say(f"sha256 {prior.sha256}  {find(name)}")


app.command("eval")(evaluate)
