"""What comes back from a codec at f = 4 to 64, trained alike: reconstruction against the bits of a picture.

Seed 001, table 1, has the error fall from f = 8 to f = 64 at 4 channels and 16384 codes.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from common import DATA, Pictures, archive, publish
from torch.nn import functional as F

from restorekit.bench.reconstruction import reconstruction
from restorekit.metrics import psnr
from restorekit.priors.library import load_codec
from restorekit.training.config import Config, read_config
from restorekit.training.loop import train

CONFIG = Path(__file__).resolve().parent.parent / "configs" / "cats-codec.yaml"
COLUMNS = ("f", "latent", "parameters", "bits", "L1", "PSNR", "SSIM", "codes used", "perplexity", "cubic PSNR")


def shrunk(pictures: Pictures, factor: int) -> float:
    """Mean PSNR of pictures reduced by `factor`, with an antialiased cubic, and enlarged again; nothing is coded."""
    found = []
    for _, picture in pictures:
        x = torch.from_numpy(picture)[None]
        small = F.interpolate(x, scale_factor=1 / factor, mode="bicubic", antialias=True)
        found.append(psnr(F.interpolate(small, size=x.shape[-2:], mode="bicubic").clamp(0, 1)[0].numpy(), picture))
    return float(np.mean(found))


def configured(factor: int, seed: int, args: argparse.Namespace) -> Config:
    overrides = {"model.factor": factor, "optim.steps": args.steps, "run.seed": seed, "run.sample_every": 10**9}
    return read_config(args.config, **overrides)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=CONFIG, help="a configuration with `kind: codec`")
    parser.add_argument("--data", default="cats64", help="NAME-train.zip and NAME-test.zip of the data folder")
    parser.add_argument("--factors", type=int, nargs="+", default=[4, 8, 16, 32, 64])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--limit", type=int, default=100, help="test pictures")
    args = parser.parse_args()
    pictures, rows = archive(f"{args.data}-test.zip", args.limit), []
    for factor in args.factors:
        found = []
        for seed in range(args.seeds):
            with tempfile.TemporaryDirectory() as folder:
                config = configured(factor, seed, args)
                path = train(config, DATA / f"{args.data}-train.zip", Path(folder) / "run", quiet=True)
                codec = load_codec(str(path))
            found.append(reconstruction(codec, [x for _, x in pictures]))
        mean = {k: float(np.mean([f[k] for f in found])) for k in found[0]}
        side, size = config.data.crop // factor, sum(p.numel() for p in codec.net.parameters())
        values = (f"{mean['l1']:.4f}", mean["psnr"], f"{mean['ssim']:.3f}", f"{mean['used']:.2f}")
        shape = f"{side}x{side}x{codec.channels}"
        rows.append((factor, shape, size, round(mean["bits"]), *values, round(mean["perplexity"]), shrunk(pictures, factor)))  # fmt: skip
        print(dict(zip(COLUMNS, rows[-1])), flush=True)
    c = config.model
    note = (
        f"`{args.config.name}` with {args.steps} steps of {config.optim.batch} patches for each f, {args.seeds} seed(s), "
        f"{c.channels} channels, {c.codes} codes; means over {len(pictures)} pictures of {args.data}-test. "  # type: ignore[attr-defined]
        "Bits: of the codes of one picture. Cubic: the picture reduced by f and enlarged again, in floats."
    )
    publish("codec", "Codecs of different f", [("", COLUMNS, rows)], [note])


if __name__ == "__main__":
    main()
