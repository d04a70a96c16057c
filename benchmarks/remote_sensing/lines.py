"""Thin dark lines in despeckled scenes: how much of their contrast is left, with and without the test of the ratio image.

Rivers of one and three pixels, 6 dB under what lies beside them, wind over a flat sea and over EuroSAT tiles. `hqs` as it
restores, and with what is given back; beside it Lee's filter and BM3D of the logarithm, which know the looks. The scenes were
not used to choose the settings of the test. Then the same with looks that are said wrong, how many of the pixels that are given back lie
on no line, and whether draws of `ep` hold the truth where something is given back.

python -m benchmarks.remote_sensing.lines [--scenes 2]
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.remote_sensing.despeckle import amplitude, draws, everywhere, intensities, of_logarithm, sd, seen
from benchmarks.support.classical import bm3d
from benchmarks.support.common import RESULTS, archive, grey, publish
from restorekit.despeckling.kept import with_structure
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
WRONG = (1.5, 0.67)  # times the looks of the speckle, as they are said
NEAR = 2  # pixels beside a line that count as on it
DRAWS, CROP = 19, 96  # of `ep`, whose least and largest hold 90 %; side of the scene
COVERED = ((5, "iw2", 1),)  # looks, grain, width
MULTILOOKED = SPECKLE[1::2]  # of the rows with looks said wrong, one scene each
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


def made(key: Sequence[object], ground: Array, looks: int, grain: str | None, width: int) -> tuple[Array, Array, Array]:
    """(share of the lines, truth, measured) of a case."""
    rng = np.random.default_rng(zlib.crc32(" ".join(map(str, key)).encode()))
    share = rivers(width, rng)
    truth = ground * (1 - share * (1 - 10 ** (-DEPTH / 10)))
    return share, truth, truth * draw(truth.shape, looks, SWATHS[grain] if grain else None, rng)


def grain_of(grain: str | None) -> tuple[float, float]:
    return (0.0, 0.0) if grain is None else SWATHS[grain].lag_one


def hqs(y: Array, looks: float, grain: str | None) -> Array:
    return draws(y, Settings(solver="hqs", looks=looks, domain="intensity", grain=grain_of(grain)))[0]


def cases(scenes: int) -> Iterator[tuple[tuple[str, int, str, int, int], Array, int, str | None, int]]:
    for kind, fields in grounds(scenes).items():
        for (looks, grain), width in [(s, w) for s in SPECKLE for w in WIDTHS]:
            for k, ground in enumerate(fields):
                yield (kind, looks, grain or "white", width, k), ground, looks, grain, width


def run(rows: Rows, scenes: int) -> None:
    for key, ground, looks, grain, width in cases(scenes):
        if rows.has(*key, "BM3D of the log"):
            continue
        share, truth, y = made(key, ground, looks, grain, width)
        x = hqs(y, float(looks), grain)
        found = {
            "truth": truth, "measured": y, "hqs, nothing given back": x,
            "hqs": x * Structure().fitted(looks, grain_of(grain))(y / x, everywhere(y)).factor,
            "Lee 7": Lee(looks, 7)(y, everywhere(y)),
            "BM3D of the log": blocks(y, looks),
        }  # fmt: skip
        for method, z in found.items():
            rows.add(*key, method, contrast(z, share), psnr(amplitude(z), amplitude(truth)))
        print(*key, flush=True)


def said_wrong(rows: Rows) -> None:
    """`hqs` and the test of the ratio with looks that are not those of the speckle."""
    for key, ground, looks, grain, width in cases(1):
        if (looks, grain) not in MULTILOOKED:
            continue
        for times in WRONG:
            if rows.has(*key, times):
                continue
            share, truth, y = made(key, ground, looks, grain, width)
            x = hqs(y, times * looks, grain)
            returned = Structure().fitted(times * looks, grain_of(grain))(y / x, everywhere(y))
            z = x * returned.factor
            near = np.asarray(ndimage.binary_dilation(share > 0, iterations=NEAR), np.bool_)
            marked, off = int(returned.mask.sum()), int((returned.mask & ~near).sum())
            rows.add(
                *key,
                times,
                contrast(z, share),
                psnr(amplitude(x), amplitude(truth)),
                psnr(amplitude(z), amplitude(truth)),
                marked,
                off,
            )
        print(*key, "looks said wrong", flush=True)


def covered(rows: Rows) -> None:
    """How often the least and the largest of the draws hold the truth, where something is given back and elsewhere."""
    for kind, fields in grounds(1).items():
        for looks, grain, width in COVERED:
            key = (kind, looks, grain or "white", width)
            if rows.has(*key):
                continue
            _, truth, y = (x[:CROP, :CROP] for x in made((*key, 0), fields[0], looks, grain, width))
            how = Settings(solver="ep", samples=DRAWS, looks=float(looks), domain="intensity", grain=grain_of(grain))
            block, method = seen(y, how)
            test = Structure().fitted(looks, grain_of(grain))
            found, returned = with_structure(test, method(block), block)
            held = (truth >= found.min(0)) & (truth <= found.max(0))
            rows.add(
                *key,
                int(returned.sum()),
                float(held[returned].mean()) if returned.any() else float("nan"),
                float(held[~returned].mean()),
            )
            print(*key, "coverage", flush=True)


def tabulated(rows: Rows, column: str, methods: Sequence[str]) -> list[list[object]]:
    body: list[list[object]] = []
    for key in dict.fromkeys((r["scene"], r["looks"], r["grain"], r["width"]) for r in rows.rows):
        mine = [r for r in rows.rows if (r["scene"], r["looks"], r["grain"], r["width"]) == key]
        means = [np.mean([float(r[column]) for r in mine if r["method"] == method]) for method in methods]
        body.append([*key, *(f"{m:.2f}" for m in means)])
    return body


def by_said(rows: Rows) -> list[list[object]]:
    """Means by scene, grain and factor, and the share of all pixels given back that lie on no line."""
    body: list[list[object]] = []
    for key in dict.fromkeys((r["scene"], r["grain"], r["said"]) for r in rows.rows):
        mine = [r for r in rows.rows if (r["scene"], r["grain"], r["said"]) == key]
        means = [f"{np.mean([float(r[c]) for r in mine]):.2f}" for c in ("contrast", "before", "psnr")]
        marked, off = (sum(int(r[c]) for r in mine) for c in ("marked", "off"))
        body.append([*key, *means, marked, f"{100 * off / max(marked, 1):.1f}"])
    return sorted(body, key=lambda row: -float(str(row[-1])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=2, help="of each kind")
    args = parser.parse_args()
    rows = Rows(
        RESULTS / "lines_rows.csv", ("scene", "looks", "grain", "width", "number", "method"), ("contrast", "psnr")
    )
    run(rows, args.scenes)
    head = ("scene", "looks", "grain", "width")
    wrong = Rows(
        RESULTS / "lines_said_rows.csv", ("scene", "looks", "grain", "width", "number", "said"), ("contrast", "before", "psnr", "marked", "off"),
    )  # fmt: skip
    said_wrong(wrong)
    held = Rows(
        RESULTS / "lines_covered_rows.csv", ("scene", "looks", "grain", "width"), ("returned", "there", "elsewhere")
    )
    covered(held)
    methods = list(dict.fromkeys(r["method"] for r in rows.rows))
    filters = [m for m in methods if m not in ("truth", "measured")]
    publish("lines", "Thin dark lines in despeckled scenes", [
        ("Level beside the lines over that in them, dB", (*head, *methods), tabulated(rows, "contrast", methods)),
        ("PSNR of the amplitude, dB", (*head, *filters), tabulated(rows, "psnr", filters)),
        ("Looks said wrong, by this factor",
         ("scene", "grain", "said", "contrast, dB", "PSNR, nothing given back", "PSNR", "pixels given back", "on no line, %"), by_said(wrong)),
        (f"Share of the truth between the least and the largest of {DRAWS} draws of ep, wanted 0.90",
         (*head, "pixels given back", "there", "elsewhere"), [[r[k] for k in ("scene", "looks", "grain", "width", "returned")]
          + [f"{float(r[k]):.3f}" for k in ("there", "elsewhere")] for r in sorted(held.rows, key=lambda r: float(r["there"]))]),
    ], [
        (f"Means over {args.scenes} scenes of {SIDE}x{SIDE} pixels. Lines are {DEPTH:g} dB under the ground; the level in them is "
        "that of pixels that they cover whole, or by more than 0.6. `hqs` with the stated looks and grain. Looks said wrong: means over both widths, of four looks (white) and five (iw2), a scene each; a pixel that is given back lies on no line "
         f"where none is within {NEAR} pixels. Draws: one scene of {CROP}x{CROP} each."),
    ])  # fmt: skip


if __name__ == "__main__":
    main()
