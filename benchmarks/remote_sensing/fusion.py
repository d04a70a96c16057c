"""Fusion of real optical and radar pairs: the solvers of `restorekit fuse` beside the mean, the maximum and PCA.

python -m benchmarks.remote_sensing.fusion            # needs $RESTOREKIT_DATA/fusion
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.support.common import DATA, centre, load_labelled, need_data, publish
from restorekit.despeckling.arrays import despeckled
from restorekit.despeckling.plan import Settings
from restorekit.fusion import baselines as classical
from restorekit.fusion.joint import Diffusion, Map
from restorekit.fusion.luminance import recoloured
from restorekit.fusion.pair import FusionPair, Pairing
from restorekit.fusion.scores import METRICS, evaluate
from restorekit.fusion.selection import Sources
from restorekit.inference.rng import streams

TILES = ("282D_485L_3_3", "38D_378R_2_3", "433D_629L_3_1")
CROP = 768
PLAIN = {"mean": classical.mean, "maximum": classical.maximum, "PCA": classical.pca}


def pairs() -> Iterator[tuple[str, Path, Path]]:
    """(name, optical file, radar file)"""
    folder = DATA / "fusion"
    for n in (1, 2):
        yield f"mosaic {n}", folder / f"mosaics/pair{n}_Optical.jpg", folder / f"mosaics/pair{n}_SAR.jpg"
    for name in TILES:
        yield f"tile {name}", folder / f"terramesh/S2RGB/{name}.tif", folder / f"terramesh/S1RTC/{name}.tif"


def run(solver: Map | Diffusion, o: np.ndarray, r: np.ndarray, denoise: Any) -> np.ndarray:
    sources = Sources(*(torch.from_numpy(np.ascontiguousarray(x, np.float32))[None, None] for x in (o, r)))
    return solver.fuse(sources, denoise, streams(0, 0, 1)).picture[0, 0].double().numpy()


def fused(o: np.ndarray, r: np.ndarray, denoise: Any) -> Iterator[tuple[str, np.ndarray, float]]:
    """(name, picture, seconds)"""
    solvers = {"map": partial(run, Map(), denoise=None), "diffusion": partial(run, Diffusion(), denoise=denoise)}
    for name, fuse in {**PLAIN, **solvers}.items():
        began = time.perf_counter()
        yield name, fuse(o, r), time.perf_counter() - began


def rows_of(o: np.ndarray, r: np.ndarray, results: Iterator[tuple[str, np.ndarray, float]]) -> Iterator[list[Any]]:
    for name, f, seconds in results:
        found = evaluate(o, r, f)
        yield [name, *(round(found[m], 3) for m in METRICS), round(seconds, 1)]


def sheet(pair: FusionPair, results: dict[str, np.ndarray], at: tuple[slice, slice], path: Path) -> None:
    """The optical picture, the radar picture as it is fused, and the results, side by side in colour."""
    rgb = pair.seen[:, at[0], at[1]]
    grey = np.broadcast_to(255 * pair.radar[at], rgb.shape)
    shown = [rgb, grey, *(recoloured(rgb, 255 * f, 0, 255)[0] for f in results.values())]
    row = np.concatenate([x.clip(0, 255).round().astype(np.uint8).transpose(1, 2, 0) for x in shown], 1)
    Image.fromarray(row).save(path)


parser = argparse.ArgumentParser()
parser.add_argument("--sheets", type=Path, help="folder for pictures of what was fused")
parser.add_argument("--whole", action="store_true", help="diffusion on whole mosaics too (a quarter of an hour each)")
parser.add_argument("--threads", type=int, default=1)


def main() -> None:
    arguments = parser.parse_args()
    need_data()
    torch.set_num_threads(arguments.threads)
    label, prior = load_labelled("natural")
    make = Pairing(despeckle=partial(despeckled, Settings(solver="hqs")), despeckler="hqs")
    header = ["fusion", *(f"{c.title}{' (lower)' if c.lower else ''}" for c in METRICS.values()), "s"]
    tables = []
    for name, optical, radar in pairs():
        pair = make(optical, radar)
        both = np.stack([pair.luminance, pair.radar])
        large = name.startswith("mosaic")
        if large and not arguments.whole:  # everything but the network on all of it
            o, r = both
            whole = ((n, f, s) for n, f, s in everything_plain(o, r))
            tables.append((f"{name}, {o.shape[1]}x{o.shape[0]}", header, list(rows_of(o, r, whole))))
            both = centre(both, CROP)
        o, r = both
        results = list(fused(o, r, prior))
        what = f"{name}, the middle {o.shape[1]}x{o.shape[0]}" if large and not arguments.whole else name
        tables.append((what, header, list(rows_of(o, r, iter(results)))))
        print(what, flush=True)
        if arguments.sheets:
            arguments.sheets.mkdir(parents=True, exist_ok=True)
            top, left = ((a - b) // 2 for a, b in zip(pair.luminance.shape, o.shape))
            at = slice(top, top + o.shape[0]), slice(left, left + o.shape[1])
            sheet(pair, {n: f for n, f, _ in results[-2:]}, at, arguments.sheets / f"{name.replace(' ', '_')}.png")
    notes = [
        (
            f"Defaults of `restorekit fuse`: SAR through `hqs` with measured looks, its logarithm with the moments of the "
            f"luminance; {Map()}; {Diffusion()} with {label}, seed 0. Metrics are of the luminance with both sources, the radar "
            "picture as it was fused. None of them knows a truth: the mean is the best there is in PSNR by its definition, the "
            "maximum and a copy of either source are hard to beat in MI, and what is left of speckle raises EN, SD, SF and AG."
        ),
    ]
    publish("fusion", "Fusion of optical and radar pictures", tables, notes)


def everything_plain(o: np.ndarray, r: np.ndarray) -> Iterator[tuple[str, np.ndarray, float]]:
    for name, fuse in {**PLAIN, "map": partial(run, Map(), denoise=None)}.items():
        began = time.perf_counter()
        yield name, fuse(o, r), time.perf_counter() - began


if __name__ == "__main__":
    main()
