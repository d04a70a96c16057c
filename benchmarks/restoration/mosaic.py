"""`denoise` of raw files, noise and colours in one step, beside LibRaw's demosaicing and that followed by `denoise`.

python -m benchmarks.restoration.mosaic     # needs $RESTOREKIT_DATA/classic and rawpy; a run that was stopped goes on
"""

from __future__ import annotations

import argparse
import tempfile
import zlib
from pathlib import Path

import numpy as np
import tifffile
import torch

import restorekit
from benchmarks.support.common import RESULTS, centre, classic, load_labelled, publish
from benchmarks.support.crops import add_options, inner_psnr
from benchmarks.support.dng import developed, mosaic, write
from restorekit.files.curves import SRGB
from restorekit.files.journal import Rows
from restorekit.notes import Notes
from restorekit.priors.prior import Prior

MARGIN = 4  # pixels of each side, where demosaicings differ in what they know
NOISES = {"little noise": (0.0008, 0.001), "noise": (0.003, 0.003), "much noise": (0.01, 0.006)}  # gain, read
PEERS = ("AHD", "DHT")
PROFILES = ("its own", "none", "twice the gain")
VALUES = (*PEERS, *(f"{p}, denoise" for p in PEERS), *PROFILES)
parser = argparse.ArgumentParser(description="Raw files.")
add_options(parser, 6, "McMaster")


def quality(y: np.ndarray, x: np.ndarray) -> float:
    return inner_psnr(y, x, MARGIN)


def afterwards(coded: np.ndarray, folder: Path, prior: Prior) -> np.ndarray:
    path = folder / "demosaiced.tif"
    tifffile.imwrite(path, np.rint(np.moveaxis(coded.clip(0, 1), 0, -1) * 65535).astype(np.uint16), photometric="rgb")
    return restorekit.denoise(path, prior=prior, notes=Notes()).mean.numpy()


def measured(x: np.ndarray, gain: float, read: float, seed: int, folder: Path, prior: Prior) -> list[float]:
    """PSNR in values of sRGB, in the order of VALUES."""
    raw, path = mosaic(SRGB().decode(x), gain, read, np.random.default_rng(seed)), folder / "a.dng"
    write(path, raw, (gain, read**2))
    peers = [SRGB().encode(developed(path, name)) for name in PEERS]
    own = []
    for profile in ((gain, read**2), None, (2 * gain, read**2)):
        write(path, raw, profile)
        own.append(restorekit.denoise(path, prior=prior, notes=Notes()).mean.numpy())
    return [quality(y, x) for y in (*peers, *(afterwards(y, folder, prior) for y in peers), *own)]


def main() -> None:
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    label, prior = load_labelled(options.prior)
    rows = Rows(RESULTS / "mosaic_rows.csv", ("prior", "noise", "picture"), VALUES)
    with tempfile.TemporaryDirectory() as folder:
        for noise, (gain, read) in NOISES.items():
            for name, x in classic("mcmaster", options.pictures):
                if not rows.has(label, noise, name):
                    seed = zlib.crc32(f"{noise} {name}".encode())
                    found = measured(centre(x, options.side, 2), gain, read, seed, Path(folder), prior)
                    rows.add(label, noise, name, *found)
                    print(noise, name, " ".join(f"{v:.2f}" for v in found), flush=True)
    own = [r for r in rows.rows if r["prior"] == label]
    lines, each = [], []
    for noise in NOISES:
        of = [[float(r[v]) for v in VALUES] for r in own if r["noise"] == noise]
        if of:
            best = [max(one[: 2 * len(PEERS)]) for one in of]
            gains = [one[len(PEERS) * 2] - top for one, top in zip(of, best)]
            lines.append([noise, len(of), min(gains), *np.mean(of, 0).tolist()])
    for r in own:
        each.append([r["noise"], r["picture"], *(float(r[v]) for v in VALUES)])
    lines.sort(key=lambda line: line[2])
    lines = [[*line[:2], f"{line[2]:+.2f}", *line[3:]] for line in lines]
    note = (
        f"By {label}; the middle {options.side} x {options.side} pixels of six pictures of McMaster, whose light is seen by a sensor RGGB of 10 bits with "
        f"overlapping filters, with noise of gain and read {'; '.join(f'{k} {g:g} and {r:g}' for k, (g, r) in NOISES.items())}. PSNR in values of sRGB, "
        f"{MARGIN} pixels of each side left out. AHD, DHT: LibRaw by rawpy with `adjust_maximum_thr=0`, of which `denoise` afterwards measures the noise "
        "by itself. Ours by the noise profile of the file: its own, none, or one that is wrong. Least gain: of one picture, to the best "
        "of the four others. The worst row comes first."
    )
    ours = tuple(f"`denoise`, profile: {p}" for p in PROFILES)
    head = ("noise", "pictures", "least gain", *VALUES[: 2 * len(PEERS)], *ours)
    publish("mosaic", "Raw files", [("All", head, lines), ("Each", ("noise", "picture", *head[3:]), each)], [note])


if __name__ == "__main__":
    main()
