"""`denoise`, `deblur` and `upscale` without options on files as cameras write them, one of the cameras made of other people's code.

python -m benchmarks.restoration.camera     # needs $RESTOREKIT_DATA/classic, opencv-python-headless and colour-demosaicing
"""

from __future__ import annotations

import argparse
import tempfile
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import restorekit
from benchmarks.support.common import RESULTS, centre, classic, load_labelled, publish
from benchmarks.support.crops import add_options, inner_psnr
from benchmarks.support.photographs import CAMERAS, Photograph, photograph
from restorekit.files.journal import Rows
from restorekit.files.picture import read_picture
from restorekit.notes import Notes
from restorekit.priors.prior import Prior
from restorekit.text.kernels import kernel

MARGIN = 8  # pixels of each side that do not count: demosaicing and blur know less there
MOTION = "motion:9:30"
TASKS = ("denoise", "deblur", "upscale")
parser = argparse.ArgumentParser(description="Files as cameras write them.")
add_options(parser, 3, "Kodak and of McMaster")


def quality(y: np.ndarray, truth: np.ndarray) -> float:
    return inner_psnr(y, truth, MARGIN)


def made(task: str, camera: str, x: np.ndarray, path: Path, seed: int) -> Photograph:
    blur = kernel(MOTION).numpy() if task == "deblur" else None
    return photograph(camera, x, path, seed, blur, 2 if task == "upscale" else 1)


def before(task: str, photo: Photograph) -> np.ndarray:
    """The file as it is; of one to enlarge, by Pillow's Lanczos."""
    if task != "upscale":
        return read_picture(photo.path).pixels
    _, height, width = photo.truth.shape
    large = Image.open(photo.path).resize((width, height), Image.Resampling.LANCZOS)
    return np.moveaxis(np.asarray(large, np.float32), -1, 0) / 255


def restored(task: str, photo: Photograph, prior: Prior) -> tuple[np.ndarray, str]:
    notes = Notes()
    if task == "denoise":
        done = restorekit.denoise(photo.path, prior=prior, notes=notes)
    elif task == "deblur":
        done = restorekit.deblur(photo.path, MOTION, prior=prior, notes=notes)
    else:
        done = restorekit.upscale(photo.path, 2, prior=prior, notes=notes)
    return done.mean.numpy(), str(done.source.measured.forward.noise_text)  # type: ignore[union-attr]


def main() -> None:
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    label, prior = load_labelled(options.prior)
    rows = Rows(RESULTS / "camera_rows.csv", ("prior", "task", "camera", "picture"), ("in", "out", "noise"))
    sets = [(f"{s} {n}", x) for s in ("kodak", "mcmaster") for n, x in classic(s, options.pictures)]
    with tempfile.TemporaryDirectory() as folder:
        for task in TASKS:
            for camera in CAMERAS:
                for name, x in sets:
                    if rows.has(label, task, camera, name):
                        continue
                    seed = zlib.crc32(f"{task} {camera} {name}".encode())
                    photo = made(task, camera, centre(x, options.side), Path(folder, "y.jpg"), seed)
                    first = quality(before(task, photo), photo.truth)
                    y, noise = restored(task, photo, prior)
                    rows.add(label, task, camera, name, first, quality(y, photo.truth), noise)
                    print(task, camera, name, f"{first:.2f} -> {quality(y, photo.truth):.2f}", noise, flush=True)
    own = [r for r in rows.rows if r["prior"] == label]
    lines = []
    for task in TASKS:
        for camera in CAMERAS:
            of = [(float(r["in"]), float(r["out"])) for r in own if (r["task"], r["camera"]) == (task, camera)]
            if of:
                gains = [b - a for a, b in of]
                means = [float(np.mean(v)) for v in zip(*of)]
                lines.append([task, camera, len(of), min(gains), *means, means[1] - means[0]])
    lines.sort(key=lambda line: (TASKS.index(line[0]), line[-1]))
    each = [[r["task"], r["camera"], r["picture"], float(r["in"]), float(r["out"]), r["noise"]] for r in own]
    note = (
        f"By {label}, without options but the kernel ({MOTION}; of `upscale` the factor, 2). The middle {options.side} x {options.side} pixels "
        "of pictures of Kodak and McMaster, JPEG without a record beside it; PSNR to what the same camera makes of the scene without noise, blur and JPEG, "
        f"{MARGIN} pixels of each side left out. phone, still: `restorekit degrade` with that camera; other: OpenCV, colour-demosaicing and NumPy, and a "
        "tone curve that is not sRGB (benchmarks/support/other_camera.py). In, of `upscale`: Lanczos. The worst camera of each task comes first."
    )
    head = ["task", "camera", "pictures", "least gain", "dB in", "out", "gain"]
    publish("camera", "Files as cameras write them", [("All", head, lines), ("Each", ["task", "camera", "picture", "dB in", "out", "noise"], each)], [note])  # fmt: skip


if __name__ == "__main__":
    main()
