"""A prior is described here: its model card, the list of shipped ones, and whether it denoises at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

import torch

from restorekit.errors import BadInput
from restorekit.inference.denoiser import Latent
from restorekit.priors.find import find, load_prior, shipped, spec_of
from restorekit.priors.formats.checkpoint import load, read_spec, sha256
from restorekit.priors.formats.diffusers import weights_of
from restorekit.report.text_tables import markdown
from restorekit.uncertainty.calibration import HEADER, Calibration, beside

LEAST = 3.0  # dB of noise that a network must remove for its file to be whole


def listed_priors() -> list[str]:
    """Return a line for each shipped prior: domain, bands, size and data."""
    lines = []
    for name, path in shipped().items():
        spec = read_spec(path)
        bands, size = "/".join(map(str, spec.bands)), path.stat().st_size / 1e6
        lines.append(f"{name:14} {spec.domain}, {bands} bands, {size:.1f} MB  {spec.data.partition(', sha256')[0]}")
    return lines


def card_of(name: str) -> str:
    """Return the model card of a shipped prior with its calibrations, or what the files of another say, as JSON.

    Raises BadInput for a file that cannot be used.
    """
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
    if not card.is_file():
        table = {} if known is None else {"calibration": [dict(zip(HEADER, line)) for line in lines]}
        return json.dumps(asdict(spec) | table, indent=2)
    can = getattr(spec, "domain", "") == "srgb"
    bars = markdown(HEADER, lines) if lines else "None; `restorekit calibrate` makes them." if can else "None."
    return f"{card.read_text(encoding='utf-8').rstrip()}\n\n## Calibrated error bars\n\n{bars}"


@torch.no_grad()
def verified(name: str) -> Iterator[str]:
    """Yield what a prior removes of noise for each number of bands that it takes, in words, and its checksum at the end.

    Raises BadInput where that is less than `LEAST`.
    """
    prior = load_prior(name)
    rng = torch.Generator().manual_seed(0)
    for bands in prior.spec.bands:
        ramp, own = torch.linspace(0, 1, 48).expand(1, bands, 48, 48), prior.for_bands(bands)
        latent = isinstance(own, Latent)
        clean, sigma, denoise = (own.encode(ramp), 0.5, own.denoise) if latent else (ramp, 0.1, own)
        noisy = clean + sigma * torch.randn(clean.shape, generator=rng)
        gain = 10 * torch.log10((noisy - clean).square().mean() / (denoise(noisy, sigma) - clean).square().mean())
        what = "the latent of a ramp" if latent else "a ramp"
        yield f"{bands} band(s): {float(gain):.1f} dB of noise removed from {what} at sigma {sigma}"
        if not float(gain) > LEAST:
            raise BadInput(f"{name} does not denoise; the file is damaged or not finished")
    yield f"sha256 {prior.sha256}  {find(name)}"
