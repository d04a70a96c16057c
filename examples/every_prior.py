"""Every shipped prior through three solvers each, on pictures that scikit-image ships, in one sheet: every_prior.png.

Each row: what was measured, three restorations with their PSNR, the truth. The pictures of `sar` are ln of intensity, the
square of the grey levels; the measurement has the speckle of four looks, and amplitudes are shown.

python examples/every_prior.py [--prior sar] [--steps 12] [--out every_prior.png]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from skimage import data
from skimage.transform import resize
from torch import Tensor

from restorekit import Gaussian, Problem, load_prior, restore
from restorekit.inference.likelihood import Gamma, Likelihood
from restorekit.metrics.fidelity import psnr
from restorekit.operators import BlockAverage, Identity, Inpaint, Operator, blur
from restorekit.priors.find import shipped
from restorekit.priors.prior import LatentPrior
from restorekit.text.kernels import kernel
from restorekit.text.names import solver_of

SIDE = 128  # of a panel


@dataclass(frozen=True)
class Row:
    prior: str
    task: str
    truth: Tensor  # (C, H, W)
    operator: Operator
    noise: Likelihood
    solvers: Sequence[tuple[str, int]]  # with the number of steps
    logarithms: bool = False

    def shown(self, x: Tensor) -> np.ndarray:
        """A picture as a panel (SIDE, SIDE, 3), grey values up to 1."""
        x = (x / 2).exp() if self.logarithms else x
        levels = x.clamp(0, 1).numpy().transpose(1, 2, 0)
        levels = np.kron(levels, np.ones((SIDE // levels.shape[0], SIDE // levels.shape[1], 1)))
        return np.broadcast_to(levels, (SIDE, SIDE, 3))


def photo(picture: np.ndarray, top: int, left: int, side: int = SIDE) -> Tensor:
    return torch.from_numpy(picture[top : top + side, left : left + side] / 255.0).float().permute(2, 0, 1)


def rows() -> list[Row]:
    shape = (3, SIDE, SIDE)
    rng = torch.Generator().manual_seed(0)
    mask = (torch.rand((1, SIDE, SIDE), generator=rng) < 0.2).float()
    cat = torch.from_numpy(resize(data.chelsea()[:, 85:385], (64, 64), anti_aliasing=True)).float().permute(2, 0, 1)
    grey = torch.from_numpy((data.camera()[60:188, 170:298] + 0.5) / 255.5).float()[None]
    return [
        Row("natural", "motion blur", photo(data.astronaut(), 0, 160), blur(shape, kernel("motion:9:30")), Gaussian(0.02),
            (("hqs", 8), ("diffpir", 20), ("mmps", 20))),
        Row("natural-fast", "four times smaller", photo(data.coffee(), 90, 240), BlockAverage(shape, 4), Gaussian(0.01),
            (("hqs", 16), ("ddrm", 50), ("dps", 100))),
        Row("mamba-cascade", "80 % missing", photo(data.chelsea(), 50, 110), Inpaint(shape, mask.expand(shape)), Gaussian(0.01),
            (("hqs:first=0.5", 30), ("pigdm", 49), ("dps", 60))),
        Row("fftd-cats", "noise 0.2", cat, Identity((3, 64, 64)), Gaussian(0.2),
            (("dps", 300), ("daps", 50), ("vds", 200))),
        Row("sar", "speckle, 4 looks", 2 * grey.log(), Identity((1, SIDE, SIDE)), Gamma(4, domain="log"),
            (("hqs:first=0.5", 8), ("diffpir", 20), ("dps", 50)), logarithms=True),
    ]  # fmt: skip


def panels(row: Row, steps: int | None) -> dict[str, np.ndarray]:
    """Caption and picture of each, in order."""
    prior = load_prior(row.prior)
    y = row.noise.sample(row.operator(row.truth[None]), torch.Generator().manual_seed(1))
    truth, measured = row.shown(row.truth), row.shown(y[0])
    found = {f"{row.prior}\n{row.task}": measured}
    for text, usual in row.solvers:
        x = restore(Problem(y, row.operator, row.noise), prior, solver_of(text), steps=steps or usual, seed=0).samples[
            0
        ]
        found[f"{text.partition(':')[0]}\n{psnr(row.shown(x), truth):.1f} dB"] = row.shown(x)
        print(row.prior, text, f"{psnr(row.shown(x), truth):.2f} dB", flush=True)
    if not isinstance(prior, LatentPrior):
        return found | {"truth": truth}
    ceiling = prior.ceiling(row.truth)  # what is restored through a codec is seldom better than this
    print(row.prior, f"its codec alone {ceiling:.2f} dB", flush=True)
    return found | {f"truth, by the codec\nalone {ceiling:.1f} dB": truth}


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--prior", action="append", choices=shipped(), help="one of them alone; again for more")
parser.add_argument("--steps", type=int, help="noise levels of every solver; default: what suits each")
parser.add_argument("--out", type=Path, default=Path("every_prior.png"))
args = parser.parse_args()

table = [panels(row, args.steps) for row in rows() if row.prior in (args.prior or shipped())]
step, line = SIDE + 6, SIDE + 34
sheet = Image.new("RGB", (5 * step - 6, len(table) * line), "white")
for i, row in enumerate(table):
    for j, (caption, panel) in enumerate(row.items()):
        sheet.paste(Image.fromarray((panel * 255).round().astype(np.uint8)), (j * step, i * line + 30))
        ImageDraw.Draw(sheet).text((j * step + 2, i * line + 4), caption, fill="black")
sheet.save(args.out)
print(f"{args.out}: every prior through three solvers")
