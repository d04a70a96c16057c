"""Fusion of real optical and radar pairs, and of made ones whose truth is known: both purposes of `restorekit fuse` beside one
weight for the whole scene, the mean, the maximum and PCA.

python -m benchmarks.remote_sensing.fusion            # needs $RESTOREKIT_DATA/fusion
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from benchmarks.support.common import DATA, load_labelled, need_data, publish
from restorekit.despeckling.arrays import despeckled
from restorekit.despeckling.plan import Settings
from restorekit.fusion import baselines as classical
from restorekit.fusion import pair_files as files
from restorekit.fusion.joint import Diffusion, Map
from restorekit.fusion.luminance import brightened, luminance, recoloured
from restorekit.fusion.pair import FusionPair, Pairing
from restorekit.fusion.prepare import despeckled as filtered
from restorekit.fusion.purposes import PURPOSES
from restorekit.fusion.scores import METRICS, evaluate
from restorekit.fusion.selection import Sources
from restorekit.inference.rng import streams
from restorekit.sar.speckle import draw, spectrum_of

TILES = ("282D_485L_3_3", "38D_378R_2_3", "433D_629L_3_1")
CROP = 512
PLAIN = {"mean": classical.mean, "maximum": classical.maximum, "PCA": classical.pca}
LOOKS, GRAIN = 4.4, (0.73, 0.68)  # of Sentinel-1 IW GRD


class Result(NamedTuple):
    name: str
    grey: np.ndarray  # (H, W), the luminance
    colours: np.ndarray  # (C, H, W), in numbers of the file
    seconds: float


def cut(path: Path, size: int | None) -> files.Bands:
    """The bands of a file, or of its middle."""
    bands = files.read(path)
    if size is None or path.suffix == ".tif":
        return bands
    at = slice(None), *(slice((n - size) // 2, (n - size) // 2 + size) for n in bands.size)
    return replace(bands, values=bands.values[at], valid=bands.valid[at])


def pairs(size: int | None) -> Iterator[tuple[str, files.Bands, files.Bands, str]]:
    """(name, optical, radar, domain)"""
    folder = DATA / "fusion"
    for name in TILES:
        yield (
            f"tile {name}",
            cut(folder / f"terramesh/S2RGB/{name}.tif", None),
            cut(folder / f"terramesh/S1RTC/{name}.tif", None),
            "db",
        )
    for n in (1, 2):
        optical, sar = (cut(folder / f"mosaics/pair{n}_{kind}.jpg", size) for kind in ("Optical", "SAR"))
        yield f"mosaic {n}, {'whole' if size is None else f'the middle {size}x{size}'}", optical, sar, "amplitude"


def run(
    solver: Map | Diffusion, denoise: Any, o: np.ndarray, r: np.ndarray, weight: np.ndarray | None = None
) -> np.ndarray:
    given = (o, r) if weight is None else (o, r, 1 - weight, weight)
    sources = Sources(*(torch.from_numpy(np.ascontiguousarray(x, np.float32))[None, None] for x in given))
    return solver.fuse(sources, denoise, streams(0, 0, 1)).picture[0, 0].double().numpy()


def results(pair: FusionPair, denoise: Any, plain: bool = True) -> Iterator[Result]:
    o, r, (low, high) = pair.luminance, pair.radar, pair.span
    one: dict[str, Callable[..., np.ndarray]] = PLAIN if plain else {}
    for name, fuse in {**one, "map, one weight": partial(run, Map(), None)}.items():
        began = time.perf_counter()
        f = np.where(pair.valid, fuse(o, r), o)
        yield Result(name, f, recoloured(pair.seen, f * (high - low) + low, 0, 255)[0], time.perf_counter() - began)
    ours = [("eye, map", "eye", partial(run, Map(), None))]
    ours += [("eye, diffusion", "eye", partial(run, Diffusion(), denoise))] if denoise is not None else []
    for name, purpose, select in [*ours, ("interpretation", "interpretation", run)]:
        began = time.perf_counter()
        f, weight = PURPOSES[purpose](pair, select)
        f = np.where(pair.valid & (weight > 0), f, o)
        colours = brightened(PURPOSES[purpose].colours(pair), f * (high - low) + low, 0, 255, True)[0]
        colours = np.where(pair.valid & (weight > 0), colours, pair.seen).round()
        yield Result(name, pair.grey(colours), colours, time.perf_counter() - began)


# --- pairs whose truth is known ---

PLANTED = {  # side, pixels, and level over the country, dB
    "fields of 32 pixels, 3 dB": (32, 3.0),
    "squares of 5 pixels, 8 dB": (5, 8.0),
    "squares of 5 pixels, -8 dB": (5, -8.0),
    "points, 15 dB": (1, 15.0),
}


def made(optical: files.Bands, seed: int, texture: float) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """(intensity of a flat country with speckle and what is planted in it, where that is, by kind). texture: relative variance of a
    gamma texture of 3 pixels, which is neither speckle nor anything to see."""
    rng, size = np.random.default_rng(seed), optical.size
    truth, where = np.full(size, 0.05), {}
    for name, (side, db) in PLANTED.items():
        mask, taken = np.zeros(size, bool), 10 * np.log10(truth / 0.05) != 0
        for _ in range(200):
            i, j = (int(rng.integers(14, n - 14 - side)) for n in size)
            at = np.s_[i : i + side, j : j + side]
            around = np.s_[max(i - 14, 0) : i + side + 14, max(j - 14, 0) : j + side + 14]
            if mask.sum() < (1 if side > 9 else 5) * side**2 and not (taken | mask)[around].any():
                mask[at] = True
        truth, where[name] = np.where(mask, truth * 10 ** (db / 10), truth), mask
    if texture:
        smooth = ndimage.gaussian_filter(rng.standard_normal(size), 3.0)
        sigma = np.sqrt(np.log1p(texture))
        truth = truth * np.exp(sigma * smooth / smooth.std() - sigma**2 / 2)
    return truth * draw(size, LOOKS, spectrum_of(GRAIN), rng), where


def known(pair: FusionPair, result: Result, where: dict[str, np.ndarray]) -> list[float]:
    """(rms change where nothing is planted, levels; share changed there by more than 2; change of chromaticity; of
    each kind the contrast that appears, levels, with the sign that it should have)"""
    change = luminance(result.colours) - luminance(pair.seen)
    far = np.logical_not(ndimage.binary_dilation(np.any(list(where.values()), axis=0), iterations=8))
    shares = [x / np.maximum(x.sum(0), 1.0) for x in (pair.seen, result.colours)]
    bright = pair.seen.max(0) >= 16  # else rounding to whole levels is most of it
    colour = float(np.abs(shares[0] - shares[1]).sum(0)[bright].mean())
    found = [float(np.sqrt(np.square(change[far]).mean())), float(100 * (np.abs(change[far]) > 2).mean()), colour]
    for mask, (_, db) in zip(where.values(), PLANTED.values()):
        ring = np.logical_xor(*(ndimage.binary_dilation(mask, iterations=n) for n in (12, 3)))
        found.append(float(np.sign(db)) * float(change[mask].mean() - change[ring].mean()))
    return found


def truths() -> list[tuple[str, list[str], list[list[Any]]]]:
    header = [
        "radar picture",
        "fusion",
        "rms change where nothing is, levels",
        "changed by more than 2 there, %",
        "change of chromaticity",
        *(f"{name}, shown, levels" for name in PLANTED),
    ]
    rows, make = [], Pairing(despeckle=partial(filtered, "lee"), despeckler="lee", trust_grid=True, domain="intensity")
    for texture, what in ((0.0, "flat, speckle of Sentinel-1"), (0.1, "texture of 1.3 dB, and speckle of Sentinel-1")):
        found: dict[str, list[list[float]]] = {}
        for name in TILES:
            optical = cut(DATA / f"fusion/terramesh/S2RGB/{name}.tif", None)
            for seed in range(3):
                intensity, where = made(optical, seed, texture)
                pair = make(optical, files.of_values(intensity[None].astype(np.float32), "made"))
                for result in results(pair, None, plain=False):
                    found.setdefault(result.name, []).append(known(pair, result, where))
        for name, each in found.items():
            rows.append([what, name, *(float(f"{v:.3g}") for v in np.mean(each, axis=0))])
    rows.sort(key=lambda row: -row[2])
    return [(f"What is known: {len(TILES)} optical tiles, 3 made radar pictures each, worst first", header, rows)]


def sheet(pair: FusionPair, found: list[Result], path: Path) -> None:
    """The optical picture, the radar picture as it is matched, and the results, side by side in colour."""
    shown = [pair.seen, np.broadcast_to(255 * pair.radar, pair.seen.shape), *(x.colours for x in found)]
    row = np.concatenate([x.clip(0, 255).round().astype(np.uint8).transpose(1, 2, 0) for x in shown], 1)
    Image.fromarray(row).save(path)


parser = argparse.ArgumentParser()
parser.add_argument("--sheets", type=Path, help="folder for pictures of what was fused")
parser.add_argument("--whole", action="store_true", help="whole mosaics (an hour each)")
parser.add_argument("--made", action="store_true", help="only pairs whose truth is known; nothing is published")
parser.add_argument("--threads", type=int, default=1)


def main() -> None:
    arguments = parser.parse_args()
    need_data()
    torch.set_num_threads(arguments.threads)
    tables = truths()
    if arguments.made:
        for title, header, rows in tables:
            print(title, header, *rows, sep="\n")
        return
    label, prior = load_labelled("natural")
    header = [
        "fusion",
        *(f"{c.title}{' (lower)' if c.lower else ''}" for c in METRICS.values()),
        "changed by more than 2 levels, %",
        "s",
    ]
    for name, optical, radar, domain in pairs(None if arguments.whole else CROP):
        make = Pairing(
            despeckle=partial(despeckled, Settings(solver="hqs")), despeckler="hqs", trust_grid=True, domain=domain
        )
        pair = make(optical, radar)
        found = list(results(pair, prior))
        there = pair.valid
        middle = float(np.median(pair.luminance[there]))
        rows = []
        for x in found:
            scores = evaluate(*(np.where(there, y, middle) for y in (pair.luminance, pair.radar, x.grey)))
            changed = 100 * float((np.abs(luminance(x.colours) - luminance(pair.seen))[there] > 2).mean())
            rows.append([x.name, *(round(scores[m], 3) for m in METRICS), round(changed, 1), round(x.seconds, 1)])
        tables.append((name, header, rows))
        print(name, flush=True)
        if arguments.sheets:
            arguments.sheets.mkdir(parents=True, exist_ok=True)
            sheet(pair, found[-4:], arguments.sheets / f"{name.replace(' ', '_').replace(',', '')}.png")
    notes = [
        (
            f"Defaults of `restorekit fuse`: SAR through `hqs` with measured looks, its logarithm with the moments of the "
            f"luminance; {Map()}; {Diffusion()} with {label}, seed 0. `map, one weight` is what `fuse` did before each pixel had a weight, with "
            "chroma kept and not chromaticity. Metrics are of the luminance with both sources, the radar picture all of it as it was matched, its "
            "speckle and its level too: who shows less of it scores less, and a copy of the optical picture is hard to beat in MI and Qabf. None of them "
            "knows a truth; the first table does: there a radar picture is flat but for what is planted in it, and that the optical picture is of "
            "another place makes every change where nothing is planted wrong. There SAR goes through `lee`. It is simulated by the law that the test assumes; "
            "the rows with texture break it: texture of that kind is neither speckle nor anything to see. The 8-bit mosaics are taken for amplitudes."
        ),
    ]
    publish("fusion", "Fusion of optical and radar pictures", tables, notes)


if __name__ == "__main__":
    main()
