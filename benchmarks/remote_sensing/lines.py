"""Thin dark lines in despeckled scenes: how much of their contrast is left, with and without the test of the ratio image.

Rivers of one and three pixels, 6 dB under what lies beside them, wind over a flat sea and over EuroSAT tiles. `hqs` as it
restores, and with what is given back; beside it Lee's filter and BM3D of the logarithm, which know the looks. The scenes were
not used to choose the settings of the test.

python -m benchmarks.remote_sensing.lines [--scenes 2]
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.remote_sensing.despeckle import amplitude, draws, everywhere, intensities, of_logarithm, sd
from benchmarks.support.classical import bm3d
from benchmarks.support.common import RESULTS, archive, grey, publish
from restorekit.despeckling.settings import Settings
from restorekit.files.journal import Rows
from restorekit.metrics.fidelity import psnr
from restorekit.sar.filters import Lee
from restorekit.sar.speckle import SWATHS, draw
from restorekit.sar.structure import Structure

Array = NDArray[np.floating]
SIDE, FINE = 256, 4
DEPTH = 6.0  # dB
SPECKLE = ((1, None), (4, None), (1, "iw1"), (5, "iw2"))
WIDTHS = (1, 3)
SEED = 11  # of the tiles


def rivers(width: int, rng: np.random.Generator) -> Array:
    """The share (H, W) of each pixel that lies in one of three winding rivers."""
    down, right = np.mgrid[: SIDE * FINE, : SIDE * FINE] / FINE
    held = np.zeros(down.shape, np.bool_)
    for _ in range(3):
        angle, (a, b) = rng.uniform(0, np.pi), rng.uniform(0.25, 0.75, 2) * SIDE
        across = (right - a) * np.cos(angle) + (down - b) * np.sin(angle)
        along = (down - b) * np.cos(angle) - (right - a) * np.sin(angle)
        held |= np.abs(across - 8 * np.sin(along / 35 + rng.uniform(0, 6))) < width / 2
    return held.reshape(SIDE, FINE, SIDE, FINE).mean((1, 3))


def grounds(scenes: int) -> dict[str, list[Array]]:
    tiles = [x for _, x in intensities(grey(archive("eurosat64-test.zip", 16 * scenes, seed=SEED)))]
    fields = [np.block([tiles[16 * k + 4 * i : 16 * k + 4 * i + 4] for i in range(4)]) for k in range(scenes)]
    return {"sea": [np.full((SIDE, SIDE), 0.1)] * scenes, "fields": fields}


def contrast(x: Array, share: Array) -> float:
    """Level beside the rivers over that in them, dB."""
    held = share > 0
    on = share > 0.99 if (share > 0.99).sum() > 50 else share > 0.6
    near, far = (np.asarray(ndimage.binary_dilation(held, iterations=n), np.bool_) for n in (3, 8))
    return float(10 * np.log10(x[far & ~near].mean() / x[on].mean()))


def blocks(y: Array, looks: int) -> Array:
    """BM3D of the logarithm."""
    return of_logarithm(lambda u: bm3d(u[None], sd(looks))[0], looks)(y)


def run(rows: Rows, scenes: int) -> None:
    for kind, fields in grounds(scenes).items():
        for (looks, grain), width in [(s, w) for s in SPECKLE for w in WIDTHS]:
            for k, ground in enumerate(fields):
                key = (kind, looks, grain or "white", width, k)
                if rows.has(*key, "BM3D of the log"):
                    continue
                rng = np.random.default_rng(zlib.crc32(" ".join(map(str, key)).encode()))
                share = rivers(width, rng)
                truth = ground * (1 - share * (1 - 10 ** (-DEPTH / 10)))
                spectrum = None if grain is None else SWATHS[grain]
                y = truth * draw(truth.shape, looks, spectrum, rng)
                lag_one = (0.0, 0.0) if spectrum is None else spectrum.lag_one
                x = draws(y, Settings(solver="hqs", looks=float(looks), domain="intensity", grain=lag_one))[0]
                found = {
                    "truth": truth, "measured": y, "hqs, nothing given back": x,
                    "hqs": x * Structure().fitted(looks, lag_one)(y / x, everywhere(y)).factor,
                    "Lee 7": Lee(looks, 7)(y, everywhere(y)),
                    "BM3D of the log": blocks(y, looks),
                }  # fmt: skip
                for method, z in found.items():
                    rows.add(*key, method, contrast(z, share), psnr(amplitude(z), amplitude(truth)))
            print(kind, looks, grain, width, flush=True)


def tabulated(rows: Rows, column: str, methods: Sequence[str]) -> list[list[object]]:
    body: list[list[object]] = []
    for key in dict.fromkeys((r["scene"], r["looks"], r["grain"], r["width"]) for r in rows.rows):
        mine = [r for r in rows.rows if (r["scene"], r["looks"], r["grain"], r["width"]) == key]
        means = [np.mean([float(r[column]) for r in mine if r["method"] == method]) for method in methods]
        body.append([*key, *(f"{m:.2f}" for m in means)])
    return body


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=2, help="of each kind")
    args = parser.parse_args()
    rows = Rows(
        RESULTS / "lines_rows.csv", ("scene", "looks", "grain", "width", "number", "method"), ("contrast", "psnr")
    )
    run(rows, args.scenes)
    head = ("scene", "looks", "grain", "width")
    methods = list(dict.fromkeys(r["method"] for r in rows.rows))
    filters = [m for m in methods if m not in ("truth", "measured")]
    publish("lines", "Thin dark lines in despeckled scenes", [
        ("Level beside the lines over that in them, dB", (*head, *methods), tabulated(rows, "contrast", methods)),
        ("PSNR of the amplitude, dB", (*head, *filters), tabulated(rows, "psnr", filters)),
    ], [
        (f"Means over {args.scenes} scenes of {SIDE}x{SIDE} pixels. Lines are {DEPTH:g} dB under the ground; the level in them is "
        "that of pixels that they cover whole, or by more than 0.6. `hqs` with the stated looks and grain."),
    ])  # fmt: skip


if __name__ == "__main__":
    main()
