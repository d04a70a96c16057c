"""What a radar picture shows, put into an optical one: fused.png holds both, the mean of them, and what `fuse` makes of them.

python examples/fuse_pair.py [OPTICAL SAR] [--for eye] [--solver diffusion]

Without files: a pair of Sentinel tiles where $RESTOREKIT_DATA has one, else fields that are made up, whose optical and radar
brightness have nothing to do with each other.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np

from restorekit.cli.main import run
from restorekit.files.picture import write_picture
from restorekit.fusion.baselines import mean
from restorekit.fusion.luminance import recoloured
from restorekit.fusion.pair import FusionPair, Pairing
from restorekit.fusion.prepare import despeckled
from restorekit.fusion.scores import evaluate

DATA = Path(os.environ.get("RESTOREKIT_DATA", "../shared/data")) / "fusion" / "terramesh"
TILE = "433D_629L_3_1.tif"


def made_up(folder: Path, side: int = 160, count: int = 120) -> tuple[Path, Path]:
    """Fields, each the pixels next to one of `count` points: an 8-bit picture, and amplitudes with the speckle of 4 looks."""
    rng = np.random.default_rng(0)
    points = side * rng.random((count, 2))
    at = np.moveaxis(np.mgrid[:side, :side], 0, -1)[..., None, :]
    field = np.square(at - points).sum(-1).argmin(-1)
    optical, sar = folder / "optical.png", folder / "sar.npy"
    write_picture(optical, rng.uniform(0.15, 0.85, (3, count))[:, field])
    intensity = np.exp(rng.uniform(-3, 0, count))[field] * rng.gamma(4, 1 / 4, (side, side))
    np.save(sar, np.sqrt(intensity).astype(np.float32))
    return optical, sar


def panels(pair: FusionPair, fused: np.ndarray) -> list[np.ndarray]:
    """(3, H, W) each, black 0 and white 1."""
    low, high = pair.span
    seen = (pair.seen - low) / (high - low)
    radar = np.broadcast_to(pair.radar, seen.shape)
    halves, _ = recoloured(seen, mean(pair.luminance, pair.radar), 0, 1)
    return [seen, radar, halves, (fused - low) / (high - low)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="OPTICAL and SAR")
    parser.add_argument("--for", dest="purpose", default="interpretation", help="or eye, which alone asks a solver")
    parser.add_argument("--solver", default="map")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        real = (DATA / "S2RGB" / TILE, DATA / "S1RTC" / TILE)
        optical, sar = arguments.files or (real if real[0].exists() else made_up(Path(folder)))
        domain = "amplitude" if sar.suffix == ".npy" else "auto"
        out = Path(folder) / f"out{optical.suffix}"
        try:
            run(
                [
                    "fuse",
                    str(optical),
                    str(sar),
                    str(out),
                    "--for",
                    arguments.purpose,
                    "--solver",
                    arguments.solver,
                    "--domain",
                    domain,
                ]
            )
        except SystemExit as stop:
            if stop.code:
                raise
        make = Pairing(despeckle=lambda i, v, n: despeckled("lee", i, v, n), despeckler="lee", domain=domain)
        pair = make(optical, sar)
        fused = make(out, sar).seen

    print(f"{'':8} VIFF   Qabf   SSIM")
    pictures = {"mean": mean(pair.luminance, pair.radar), "fused": pair.grey(fused)}
    for name, f in pictures.items():
        found = evaluate(pair.luminance, pair.radar, f)
        print(f"{name:8} {found['viff_han']:.3f}  {found['qabf']:.3f}  {found['ssim_mean']:.3f}")
    write_picture("fused.png", np.concatenate(panels(pair, fused), -1).clip(0, 1))
    print("fused.png: optical, radar without its speckle, mean, fused")
