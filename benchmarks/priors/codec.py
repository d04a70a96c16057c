"""What comes back from a codec at f = 4 to 64, trained alike: reconstruction against the bits of a picture.

Liu et al. 2025, table 1, has the error fall from f = 8 to f = 64 at 4 channels and 16384 codes.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.support.common import DATA, RESULTS, Pictures, archive, publish
from restorekit.bench.priors.reconstruction import NOT_QUANTISED, QUANTISED, reconstruction
from restorekit.files.journal import Rows
from restorekit.metrics.fidelity import psnr
from restorekit.priors.find import load_codec
from restorekit.priors.networks.ivqvae import Codec
from restorekit.training.config import Config, read_config
from restorekit.training.loop import train

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "cats-codec.yaml"
COLUMNS = (
    "f",
    "latent",
    "parameters",
    "bits",
    "L1",
    "PSNR",
    "spread",
    "SSIM",
    "codes used",
    "perplexity",
    "PSNR, not quantised",
    "cubic PSNR",
)
VALUES = ("latent", "size", "bits", "l1", "psnr", "ssim", "used", "perplexity", "plain")


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


def measure(rows: Rows, factor: int, pictures: Pictures, args: argparse.Namespace) -> None:
    """The runs of one f that are still missing."""
    for seed in range(args.seeds):
        if rows.has(args.config.name, args.steps, factor, seed):
            continue
        overrides = {"model.factor": factor, "optim.steps": args.steps, "run.seed": seed, "run.sample_every": 10**9}
        codec = trained(read_config(args.config, **overrides), args.data)
        found, config = reconstruction(codec, [x for _, x in pictures]), codec.net.config
        latent = f"{config.side // factor}x{config.side // factor}x{config.channels}"
        size = sum(p.numel() for p in codec.net.parameters())
        values = [found[QUANTISED][k] for k in ("bits", "l1", "psnr", "ssim", "used", "perplexity")]
        rows.add(args.config.name, args.steps, factor, seed, latent, size, *values, found[NOT_QUANTISED]["psnr"])
        print(factor, seed, found, flush=True)


def told(rows: Rows, factor: int, pictures: Pictures, args: argparse.Namespace) -> tuple[object, ...]:
    """Means over the seeds, and how far these spread in PSNR."""
    key = (args.config.name, str(args.steps), str(factor))
    mine = [r for r in rows.rows if (r["config"], r["steps"], r["f"]) == key]
    mean = {k: float(np.mean([float(r[k]) for r in mine])) for k in VALUES[2:]}
    spread = float(np.std([float(r["psnr"]) for r in mine], ddof=1)) if len(mine) > 1 else float("nan")
    return (factor, mine[0]["latent"], mine[0]["size"], round(mean["bits"]), f"{mean['l1']:.4f}",
            f"{mean['psnr']:.2f}", f"{spread:.2f}", f"{mean['ssim']:.3f}", f"{mean['used']:.2f}",
            round(mean["perplexity"]), f"{mean['plain']:.2f}", f"{shrunk(pictures, factor):.2f}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--config", type=Path, default=CONFIG, help="a configuration with `kind: codec`, regulariser vq"
    )
    parser.add_argument("--data", default="cats64", help="NAME-train.zip and NAME-test.zip of the data folder")
    parser.add_argument("--factors", type=int, nargs="+", default=[4, 8, 16, 32, 64])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", type=int, default=100, help="test pictures")
    args = parser.parse_args()
    pictures = archive(f"{args.data}-test.zip", args.limit)
    rows = Rows(RESULTS / "codec_rows.csv", ("config", "steps", "f", "seed"), VALUES)
    for factor in args.factors:
        measure(rows, factor, pictures, args)
    body = [told(rows, factor, pictures, args) for factor in args.factors]
    model = read_config(args.config).model
    note = (
        f"`{args.config.name}` with {args.steps} steps for each f, {args.seeds} seed(s), {model.codes} codes; means over "  # type: ignore[attr-defined]
        f"{len(pictures)} pictures of {args.data}-test. Bits: of the codes of one picture. Not quantised: the "
        "latents decoded as they are. Spread: standard deviation of the PSNR over seeds. Cubic: the picture reduced by f and enlarged again, in floats."
    )
    publish("codec", "Codecs of different f", [("", COLUMNS, body)], [note])


if __name__ == "__main__":
    main()
