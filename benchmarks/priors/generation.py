"""Samples of priors of one kind of pictures beside each other: the distance of their features from those of test pictures,
precision, recall, and whether they are copies; below what the training pictures themselves and, for a prior of latents,
what its codec leaves of them would get.

python -m benchmarks.priors.generation --prior fftd-cats --prior runs/cats-unet/prior.safetensors [--samples 400]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from benchmarks.support.common import DATA, archive, publish
from restorekit.bench.priors.evaluation import Evaluation
from restorekit.priors.find import find, load_prior
from restorekit.priors.formats.checkpoint import read_spec
from restorekit.priors.prior import LatentPrior

HEADER = (
    "",
    "parameters, millions",
    "Fréchet",
    "kernel x 1000",
    "precision",
    "recall",
    "copies",
)


def millions(name: str) -> str:
    """Parameters, a codec included: two bytes each."""
    return f"{find(name).stat().st_size / 2e6:.1f}"


def described(row: dict[str, Any]) -> list[str]:
    return [f"{row['frechet']:.2f}", f"{1000 * row['kernel']:.2f}", f"{row['precision']:.2f}", f"{row['recall']:.2f}"]


def through_codec(prior: LatentPrior, data: str, count: int, folder: Path) -> str:
    """A folder of training pictures as the codec gives them back."""
    for name, x in archive(f"{data}-train.zip", count, seed=2):
        with torch.no_grad():
            back = prior.decode(prior.encode(torch.from_numpy(x)[None]))[0]
        levels = (255 * back.clamp(0, 1)).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(levels).save(folder / f"{name}.png")
    return str(folder)


def rows(names: list[str], args: argparse.Namespace, features: list[str]) -> Iterator[list[object]]:
    reference: list[object] | None = None
    for name in names:
        train = DATA / f"{args.data}-train.zip"
        common: dict[str, Any] = {"data": DATA / f"{args.data}-test.zip", "sigmas": (), "features": args.features}
        found = Evaluation(prior=name, samples=str(args.samples), train=train, steps=args.steps, **common)()
        sets, near = found.record["sets"], found.record["neighbours"]["features"]
        features[:] = [
            f"{sets['features']['name']}, {sets['features']['dimension']} numbers, {sets['pictures']} test pictures"
        ]
        label = read_spec(find(name)).name
        yield [label, millions(name), *described(sets["rows"][0]), f"{near['samples']['below']:.0f}"]
        if reference is None:
            reference = ["training pictures", "", *described(sets["rows"][1]), ""]
        prior = load_prior(name)
        if isinstance(prior, LatentPrior):
            with tempfile.TemporaryDirectory() as folder:
                drawn = through_codec(prior, args.data, args.samples, Path(folder))
                coded = Evaluation(prior=name, samples=drawn, **common)().record["sets"]["rows"][0]
            yield [f"training pictures through the codec of {label}", "", *described(coded), ""]
    if reference:
        yield reference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prior", action="append", required=True)
    parser.add_argument("--data", default="cats64", help="NAME-train.zip and NAME-test.zip of the data folder")
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--steps", type=int, default=50, help="of DPM-Solver++")
    parser.add_argument("--features", help="as for `restorekit priors eval`")
    args = parser.parse_args()
    torch.set_num_threads(1)
    features: list[str] = []
    body = list(rows(args.prior, args, features))
    notes = [
        f"{args.samples} samples by DPM-Solver++ in {args.steps} steps. Features: {features[0]}.",
        "What their trainings cost: `compute.md`.",
        "Copies: samples nearer to a training picture, against the next ones, than 99 % of the test pictures are.",
    ]
    publish("generation", "Samples of priors", [("", HEADER, body)], notes)


if __name__ == "__main__":
    main()
