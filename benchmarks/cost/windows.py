"""What the side of the windows costs and brings where they do not give the numbers of the whole picture (a scan over all
tokens): PSNR and time of one call of a prior, in one run.

python -m benchmarks.cost.windows [--prior mamba-cascade] [--limit 6]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from benchmarks.support.common import Pictures, centre, picture_set, prior_label, publish
from restorekit.metrics.fidelity import psnr
from restorekit.priors.find import Prior, load_prior

SIGMAS = (0.05, 0.1, 0.2, 0.5)


@torch.no_grad()
def measured(prior: Prior, pictures: Pictures) -> list[float]:
    """PSNR at each level, and processor seconds per call."""
    found: dict[float, list[float]] = {s: [] for s in SIGMAS}
    seconds = 0.0
    for i, (_, x) in enumerate(pictures):
        clean = torch.from_numpy(x)[None]
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(i))
        for sigma in SIGMAS:
            noisy, began = clean + sigma * noise, time.process_time()
            out = prior(noisy, sigma)
            seconds += time.process_time() - began
            found[sigma].append(psnr(out[0].clamp(0, 1).numpy(), x))
    return [*(float(np.mean(v)) for v in found.values()), seconds / len(pictures) / len(SIGMAS)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prior", default="mamba-cascade")
    parser.add_argument("--limit", type=int, default=6, help="pictures of Kodak")
    args = parser.parse_args()
    torch.set_num_threads(1)
    whole = load_prior(args.prior, tile=None)
    side = load_prior(args.prior).spec.config.tile // 2  # type: ignore[union-attr]
    tables = []
    for size in (2 * side, 4 * side, None):
        pictures = [(n, centre(x, size)) for n, x in picture_set("kodak", args.limit)]
        shown = "x".join(map(str, sorted(pictures[0][1].shape[1:]))) if size is None else f"{size}x{size}"
        rows, ours = [], measured(whole, pictures)
        for tile in (side, 2 * side, 4 * side):
            if size is None or tile < size:
                line = measured(load_prior(args.prior, tile=tile), pictures)
                rows.append([tile, *(f"{v:.2f}" for v in line[:-1]), f"{line[-1] / ours[-1]:.2f}"])
        rows.append(["whole", *(f"{v:.2f}" for v in ours[:-1]), "1.00"])
        tables.append(
            (f"{len(pictures)} pictures of Kodak, {shown}", ("window", *(f"sigma {s}" for s in SIGMAS), "time"), rows)
        )
    default = load_prior(args.prior).tile
    notes = [
        f"{prior_label(whole)}, trained on {side} pixels, by default in windows of {default}. Mean PSNR in dB of one call.",
        "Window: side of what they put together; each sees a halo and a blend more, where the work of small ones goes.",
        "Time: processor time of a call, that of the whole picture at once = 1.",
    ]
    publish("windows", "The side of the windows", tables, notes)


if __name__ == "__main__":
    main()
