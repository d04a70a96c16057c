"""A picture with rain made up for it, without that rain by the plain derainer, and repaired: derained.png, all side by side.

python examples/derain_picture.py [FILE] [--angle 12] [--density 0.05] [--prior natural]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import skimage.data

from restorekit.cli.main import run
from restorekit.files.picture import read_picture, write_picture
from restorekit.metrics.fidelity import psnr, ssim
from restorekit.rain.streaks import Streaks, fallen

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="a picture without rain")
    parser.add_argument("--angle", type=float, default=12, help="degrees clockwise from upright")
    parser.add_argument("--density", type=float, default=0.05)
    parser.add_argument("--prior", default="natural-fast")
    arguments = parser.parse_args()
    photo = skimage.data.astronaut()[:192, 130:322].transpose(2, 0, 1) / 255
    x = read_picture(arguments.file).pixels if arguments.file else photo.astype(np.float32)
    height, width = x.shape[1:]
    streaks = Streaks(angle=arguments.angle, density=arguments.density)
    y = fallen(x, streaks((height, width), np.random.default_rng(0)))

    with tempfile.TemporaryDirectory() as folder:
        rainy, out = Path(folder) / "rainy.png", Path(folder) / "out.png"
        write_picture(rainy, y)
        try:
            run(["derain", str(rainy), str(out), "--prior", arguments.prior])
        except SystemExit as stop:
            if stop.code:
                raise
        found = {"rainy": rainy, "plain": out.with_name("out_base.png"), "repaired": out}
        pictures = {name: read_picture(path).pixels for name, path in found.items()}

    print(f"{'':9} PSNR   SSIM")
    for name, picture in pictures.items():
        print(f"{name:9} {psnr(picture, x):.2f}  {ssim(picture, x):.3f}")
    write_picture("derained.png", np.concatenate([*pictures.values(), x], -1))
    print("derained.png: rainy, by the plain derainer, repaired, as it was")
