"""Degrade a picture that scikit-image ships, restore it with the shipped prior, and show both beside a classical method.

python examples/demo.py --out demo
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from skimage import data, restoration

from restorekit.files.picture import read_picture
from restorekit.metrics.fidelity import psnr, ssim
from restorekit.text.kernels import kernel

BLUR, SIGMA = "motion:15:30", 0.02


def command(*arguments: str) -> None:
    """Run a restorekit command as a user would, showing it."""
    print("$ restorekit", shlex.join(arguments), flush=True)
    subprocess.run([sys.executable, "-m", "restorekit", *arguments], check=True)


def wiener(y: np.ndarray) -> np.ndarray:
    """skimage's Wiener filter, each band, at the best of several regularisation weights (chosen with the truth: a lead)."""
    truth = read_picture(OUT / "measured_truth.tif").pixels
    psf = kernel(BLUR).numpy()
    pad = psf.shape[0]
    padded = np.pad(y, ((0, 0), (pad, pad), (pad, pad)), mode="symmetric")  # else the frame rings
    results = []
    for balance in (0.003, 0.01, 0.03, 0.1, 0.3):
        bands = [np.asarray(restoration.wiener(band, psf, balance, clip=False))[pad:-pad, pad:-pad] for band in padded]
        results.append(np.stack(bands).clip(0, 1))
    return max(results, key=lambda x: psnr(x, truth))


def side_by_side(panels: dict[str, np.ndarray], path: Path) -> None:
    """Pictures (3, H, W) in a row, each with its caption."""
    pictures = [
        Image.fromarray((p.clip(0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)) for p in panels.values()
    ]
    width, height = pictures[0].size
    sheet = Image.new("RGB", (width * len(pictures) + 8 * (len(pictures) - 1), height + 24), "white")
    for i, (caption, picture) in enumerate(zip(panels, pictures)):
        sheet.paste(picture, (i * (width + 8), 24))
        ImageDraw.Draw(sheet).text((i * (width + 8) + 4, 6), caption, fill="black")
    sheet.save(path)


parser = argparse.ArgumentParser()
parser.add_argument("--out", type=Path, default=Path("demo"))
parser.add_argument("--size", type=int, default=320, help="side of the picture, pixels")
arguments = parser.parse_args()
OUT: Path = arguments.out
OUT.mkdir(parents=True, exist_ok=True)

began = time.monotonic()
Image.fromarray(data.astronaut()[: arguments.size, 70 : 70 + arguments.size]).save(OUT / "photo.png")
measured, restored = str(OUT / "measured.tif"), str(OUT / "restored.tif")
command("degrade", str(OUT / "photo.png"), measured, "--op", f"blur:kernel={BLUR}", "--noise", f"gaussian:{SIGMA}", "--dtype", "uint16")  # fmt: skip
command("deblur", measured, restored, "--kernel", BLUR, "--noise", f"gaussian:{SIGMA}")

y, x, truth = (read_picture(OUT / name).pixels for name in ("measured.tif", "restored.tif", "measured_truth.tif"))
rows = {"measurement": y, "Wiener (scikit-image, best weight)": wiener(y), "restorekit": x}
print(f"\n{'':36} PSNR    SSIM")
for name, picture in rows.items():
    print(f"{name:36} {psnr(picture, truth):5.2f}  {ssim(picture, truth):.4f}")
captions = {f"{name}  {psnr(p, truth):.2f} dB": p for name, p in rows.items()} | {"truth": truth}
side_by_side(captions, OUT / "comparison.png")
print(f"\nrestored picture: {restored}\nside by side:     {OUT / 'comparison.png'}\n{time.monotonic() - began:.0f} s")
