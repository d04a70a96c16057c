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

from restorekit.bench.reconstruction import NOT_QUANTISED, QUANTISED, reconstruction
from restorekit.metrics import psnr
from restorekit.priors.codec import Codec
from restorekit.priors.library import load_codec
from restorekit.training.config import Config, read_config
from restorekit.training.loop import train

CONFIG = Path(__file__).resolve().parent.parent / "configs" / "cats-codec.yaml"
COLUMNS = (
    "f",
    "latent",
    "parameters",
    "bits",
    "L1",
    "PSNR",
    "SSIM",
    "codes used",
    "perplexity",
    "PSNR, not quantised",
    "cubic PSNR",
)


def shrunk(pictures: Pictures, factor: int) -> float:
    """Mean PSNR of pictures reduced by `factor`, with an antialiased cubic, and enlarged again; nothing is coded."""
    found = []
    for _, picture in pictures:
        x = torch.from_numpy(picture)[None]
        small = F.interpolate(x, scale_factor=1 / factor, mode="bicubic", antialias=True)
        found.append(psnr(F.interpolate(small, size=x.shape[-2:], mode="bicubic").clamp(0, 1)[0].numpy(), picture))
    return float(np.mean(found))


def trained(config: Config, data: str) -> Codec:
    with tempfile.TemporaryDirectory() as folder:
        return load_codec(str(train(config, DATA / f"{data}-train.zip", Path(folder) / "run", quiet=True)))


def row(factor: int, pictures: Pictures, args: argparse.Namespace) -> tuple[object, ...]:
    found: list[dict[str, dict[str, float]]] = []
    codecs: list[Codec] = []
    for seed in range(args.seeds):
        overrides = {"model.factor": factor, "optim.steps": args.steps, "run.seed": seed, "run.sample_every": 10**9}
        codecs.append(trained(read_config(args.config, **overrides), args.data))
        found.append(reconstruction(codecs[-1], [x for _, x in pictures]))
    config, size = codecs[0].net.config, sum(p.numel() for p in codecs[0].net.parameters())
    mean = {k: float(np.mean([f[QUANTISED][k] for f in found])) for k in found[0][QUANTISED]}
    plain = float(np.mean([f[NOT_QUANTISED]["psnr"] for f in found]))
    side = config.side // factor
    like = (f"{mean['l1']:.4f}", mean["psnr"], f"{mean['ssim']:.3f}", f"{mean['used']:.2f}", round(mean["perplexity"]))
    return factor, f"{side}x{side}x{config.channels}", size, round(mean["bits"]), *like, plain, shrunk(pictures, factor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--config", type=Path, default=CONFIG, help="a configuration with `kind: codec`, regulariser vq"
    )
    parser.add_argument("--data", default="cats64", help="NAME-train.zip and NAME-test.zip of the data folder")
    parser.add_argument("--factors", type=int, nargs="+", default=[4, 8, 16, 32, 64])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--limit", type=int, default=100, help="test pictures")
    args = parser.parse_args()
    pictures, rows = archive(f"{args.data}-test.zip", args.limit), []
    for factor in args.factors:
        rows.append(row(factor, pictures, args))
        print(dict(zip(COLUMNS, rows[-1])), flush=True)
    model = read_config(args.config).model
    note = (
        f"`{args.config.name}` with {args.steps} steps for each f, {args.seeds} seed(s), {model.codes} codes; means over "  # type: ignore[attr-defined]
        f"{len(pictures)} pictures of {args.data}-test. Bits: of the codes of one picture. Not quantised: the "
        "latents decoded as they are. Cubic: the picture reduced by f and enlarged again, in floats."
    )
    publish("codec", "Codecs of different f", [("", COLUMNS, rows)], [note])


if __name__ == "__main__":
    main()
