"""What trainings cost, for comparisons at equal compute: floating-point operations of the loss of one patch and its
gradient, counted by torch, times the patches of the run. Nothing is trained, and no pictures are needed.

python -m benchmarks.networks.compute --chain configs/cats-codec.yaml configs/cats-decoder.yaml configs/fftd-cats.yaml \
    --chain configs/cats-unet.yaml

Where a configuration names a codec or weights to begin with, untrained ones of the first codec given take their place: they
cost the same.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import imageio.v3 as iio
import numpy as np
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.support.common import publish
from restorekit.priors.formats.checkpoint import save
from restorekit.training.config import Config, FFTDModel, read_config
from restorekit.training.data.cache import Pictures
from restorekit.training.objectives.by_model import objective_of
from restorekit.training.objectives.codec import CodecObjective
from restorekit.training.objectives.objective import Objective

BATCH = 4


def attention(q: Tensor, k: Tensor, v: Tensor, *_: Any, **__: Any) -> Tensor:
    """As torch's, in products that the counter knows; it counts nothing for the kernel of CPUs."""
    return (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v


def noise_pictures(folder: Path, side: int) -> Pictures:
    rng = np.random.default_rng(0)
    (folder / "in").mkdir()
    for i in range(2):
        iio.imwrite(folder / "in" / f"{i}.png", rng.integers(0, 256, (side, side, 3), np.uint8))
    return Pictures.open(folder / "in", folder / "cache")


def operations(objective: Objective, config: Config) -> float:
    """Of one patch, mean over the steps of a perceptual term that comes every so often."""
    every, total = config.loss.perceptual_every, 0
    for step in range(every):
        objective.step = step + 10**6  # behind any warm-up
        with mock.patch.object(F, "scaled_dot_product_attention", attention), FlopCounterMode(display=False) as counter:
            objective(*objective.batch(0, 0, BATCH)).backward()
        total += counter.get_total_flops()
    return total / every / BATCH


def untrained(path: Path, objective: CodecObjective) -> None:
    channels = objective.spec.arch["channels"]
    arch = objective.spec.arch | {"mean": [0.0] * channels, "std": [1.0] * channels}
    save(path, objective.net.state_dict(), replace(objective.spec, arch=arch))


def stand_in(config: Config, codec: Path) -> dict[str, Any]:
    """Overrides that take the untrained codec where the configuration names files."""
    found: dict[str, Any] = {"init": str(codec) if config.loss.decoder_only else ""}
    return found | ({"model.codec": str(codec)} if isinstance(config.model, FFTDModel) else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--chain",
        type=Path,
        nargs="+",
        action="append",
        required=True,
        help="configurations, in order; again for another chain",
    )
    args = parser.parse_args()
    rows = []
    for chain in args.chain:
        total = 0.0
        with tempfile.TemporaryDirectory() as name:
            folder, pictures = Path(name), None
            for path in chain:
                plain = read_config(path)
                pictures = pictures or noise_pictures(folder, 2 * plain.data.crop * plain.data.shrink)
                config = read_config(path, **stand_in(plain, folder / "codec.safetensors"))
                objective = objective_of(config, pictures, "noise")
                if isinstance(objective, CodecObjective) and not (folder / "codec.safetensors").exists():
                    untrained(folder / "codec.safetensors", objective)
                own, patches = operations(objective, config), config.optim.steps * config.optim.batch
                size = sum(p.numel() for p in objective.kept.parameters())
                total += own * patches / 1e15
                rows.append(
                    [path.stem, f"{size:,}", f"{own / 1e9:.2f}", f"{patches:,}", f"{own * patches / 1e15:.3f}", ""]
                )
        rows[-1][-1] = f"{total:.3f}"
    header = ("configuration", "parameters", "GFLOP per patch", "patches", "PFLOP", "PFLOP of the chain")
    publish(
        "compute",
        "What trainings cost",
        [("", header, rows)],
        ["Forward and backward, counted by torch.utils.flop_counter."],
    )


if __name__ == "__main__":
    main()
