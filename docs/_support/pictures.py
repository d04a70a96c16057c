"""Draw the pictures of the task pages by the commands on them: docs/images/TASK.webp, panels side by side.

python docs/_support/pictures.py [TASK ...]
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from restorekit.cli.main import run
from restorekit.files.picture import read_picture, write_picture

IMAGES = Path(__file__).parents[1] / "images"
SIDE = 192


def command(text: str) -> None:
    """Run a restorekit command; SystemExit where it fails."""
    try:
        run(text.split())
    except SystemExit as left:
        if left.code:
            raise


def panel(path: str, scale: int = 1) -> np.ndarray:
    """(3, H, W) on [0, 1], pixels repeated `scale` times."""
    x = read_picture(Path(path)).pixels
    return np.repeat(np.repeat(np.broadcast_to(x, (3, *x.shape[1:])), scale, 1), scale, 2)


def photo() -> None:
    Image.fromarray(skimage.data.astronaut()[20 : 20 + SIDE, 150 : 150 + SIDE]).save("photo.png")


def denoise() -> list[np.ndarray]:
    command("degrade photo.png noisy.png --noise gaussian:0.1 --dtype uint8")
    command("denoise noisy.png clean.png --noise gaussian:0.1")
    return [panel("noisy.png"), panel("clean.png"), panel("photo.png")]


def inpaint() -> list[np.ndarray]:
    known = np.random.default_rng(0).random((SIDE, SIDE)) < 0.3
    Image.fromarray(known).save("mask.png")
    holes = np.asarray(Image.open("photo.png")) * known[..., None]
    Image.fromarray(holes.astype(np.uint8)).save("holes.png")
    command("inpaint holes.png full.png --mask mask.png")
    return [panel("holes.png"), panel("full.png"), panel("photo.png")]


def deblur() -> list[np.ndarray]:
    command("degrade photo.png blurred.tif --op blur:kernel=motion:15:30 --noise gaussian:0.01 --dtype uint16")
    command("deblur blurred.tif sharp.tif --kernel motion:15:30 --noise gaussian:0.01 --boundary reflect")
    return [panel("blurred.tif"), panel("sharp.tif"), panel("photo.png")]


def upscale() -> list[np.ndarray]:
    command("degrade photo.png small.png --op resize:factor=4 --noise gaussian:0.002 --dtype uint8")
    command("upscale small.png large.png --factor 4")
    return [panel("small.png", 4), panel("large.png"), panel("photo.png")]


def dejpeg() -> list[np.ndarray]:
    Image.open("photo.png").save("photo.jpg", quality=10)
    command("dejpeg photo.jpg dejpegged.png")
    return [panel("photo.jpg"), panel("dejpegged.png"), panel("photo.png")]


def colorize() -> list[np.ndarray]:
    Image.open("photo.png").convert("L").save("grey.png")
    command("colorize grey.png colour.png")
    return [panel("grey.png"), panel("colour.png"), panel("photo.png")]


def derain() -> list[np.ndarray]:
    from restorekit.rain.streaks import Streaks, fallen

    x = read_picture(Path("photo.png")).pixels
    write_picture(
        Path("rainy.png"), fallen(x, Streaks(density=0.06)(x.shape[1:], np.random.default_rng(0))), dtype="uint8"
    )
    command("derain rainy.png dry.png")
    return [panel("rainy.png"), panel("dry_base.png"), panel("dry.png"), panel("photo.png")]


def degrade() -> list[np.ndarray]:
    command("degrade photo.png y.tif --op blur:kernel=disc:4 --noise gaussian:0.05 --dtype uint16")
    command("degrade photo.png counts.tif --noise poisson:20 --dtype uint8")
    command("degrade photo.png speckled.tif --noise gamma:4 --dtype uint8")
    return [panel("photo.png"), panel("y.tif"), panel("counts.tif"), panel("speckled.tif")]


TASKS: dict[str, Callable[[], list[np.ndarray]]] = {
    f.__name__: f for f in (denoise, inpaint, deblur, upscale, dejpeg, colorize, derain, degrade)
}


def draw(name: str) -> None:
    panels = TASKS[name]()
    gap = np.ones((3, panels[0].shape[1], 6))
    sheet = np.concatenate([part for p in panels for part in (p, gap)][:-1], -1)
    picture = Image.fromarray((sheet.clip(0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0))
    picture.save(IMAGES / f"{name}.webp", quality=90)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        photo()
        for task in sys.argv[1:] or TASKS:
            draw(task)
