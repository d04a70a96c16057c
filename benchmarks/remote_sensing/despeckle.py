"""Despeckling of scenes that are known: `restorekit despeckle` beside filters and denoisers of the logarithm.

Three tables: independent speckle of 1 and 4 looks on three kinds of scenes; coverage of the 90 % intervals; speckle with the
grain of Sentinel-1 swaths, with and without what is done about it. Settings of the others (window, weight) are chosen on
training tiles. PSNR and SSIM are of the amplitude on [0, 1], the intensity under the speckle being the square of the luminance.

python -m benchmarks.remote_sensing.despeckle [--limit 12] [--samples 4]
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import special
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

from benchmarks.support.classical import bm3d
from benchmarks.support.common import DATA, RESULTS, Pictures, archive, centre, classic, grey, need_data, publish
from restorekit.despeckling.methods import Classical, PosteriorMethod, SpeckledBlock
from restorekit.despeckling.plan import Settings, plan
from restorekit.files.journal import Rows
from restorekit.metrics.fidelity import coverage, psnr, ssim
from restorekit.sar.filters import Boxcar, Lee, RefinedLee
from restorekit.sar.speckle import SWATHS, draw
from restorekit.training.data.patches import log_intensity

Array = NDArray[np.floating]
LOOKS = (1, 4)
SIZES = (3, 5, 7, 9, 11)
WEIGHTS = (0.2, 0.3, 0.5, 0.8, 1.2, 1.8)
STRENGTHS = (0.4, 0.6, 0.8, 1.0, 1.2, 1.5)
ARCHIVE_SEED = 1  # of the training tiles


def amplitude(x: Array) -> Array:
    return np.sqrt(np.clip(x, 0, 1))[None]


def bias(looks: float) -> float:
    return float(special.digamma(looks) - np.log(looks))


def sd(looks: float) -> float:
    return math.sqrt(float(special.polygamma(1, looks)))


def of_logarithm(denoise: Callable[[Array], Array], looks: int) -> Callable[[Array], Array]:
    """Homomorphic: the logarithm, less the mean of its speckle, denoised."""
    return lambda y: np.exp(denoise(np.log(np.maximum(y, 1e-12)) - bias(looks)))


def everywhere(y: Array) -> NDArray[np.bool_]:
    return np.ones(y.shape, np.bool_)


def others(looks: int) -> dict[str, dict[float, Callable[[Array], Array]]]:
    """Method -> setting -> filter of intensities."""
    s = sd(looks)
    return {
        "boxcar": {n: lambda y, n=n: Boxcar(looks, n)(y, everywhere(y)) for n in SIZES},
        "Lee": {n: lambda y, n=n: Lee(looks, n)(y, everywhere(y)) for n in SIZES},
        "refined Lee": {n: lambda y, n=n: RefinedLee(looks, n)(y, everywhere(y)) for n in SIZES[1:]},
        "TV of the log": {w: of_logarithm(lambda u, w=w: denoise_tv_chambolle(u, weight=w), looks) for w in WEIGHTS},
        "NLM of the log": {
            h: of_logarithm(lambda u, h=h: denoise_nl_means(u, 5, 9, h * s, sigma=s), looks) for h in STRENGTHS
        },
        "BM3D of the log": {1.0: of_logarithm(lambda u: bm3d(u[None], s)[0], looks)},
    }


def speckled(x: Array, looks: int, name: str, grain: str | None = None) -> Array:
    rng = np.random.default_rng(zlib.crc32(f"{name} {looks} {grain}".encode()))
    return x * draw(x.shape, looks, None if grain is None else SWATHS[grain], rng)


def chosen(looks: int) -> dict[str, tuple[float, Callable[[Array], Array]]]:
    """Of every method the setting of the best mean PSNR on training tiles."""
    tiles = intensities(grey(archive("eurosat64-train.zip", 8, seed=ARCHIVE_SEED)))
    found = {}
    for method, settings in others(looks).items():
        scores = {
            s: np.mean([psnr(amplitude(f(speckled(x, looks, n))), amplitude(x)) for n, x in tiles])
            for s, f in (settings.items() if len(settings) > 1 else ())
        }
        best = max(scores, key=lambda s: float(scores[s])) if scores else next(iter(settings))
        found[method] = (best, settings[best])
    return found


def intensities(pictures: Pictures) -> list[tuple[str, Array]]:
    return [(n, np.exp(log_intensity(x))[0].astype(np.float64)) for n, x in pictures]


def scenes(limit: int) -> dict[str, list[tuple[str, Array]]]:
    need_data()
    found = {"EuroSAT tiles, 64x64": intensities(grey(archive("eurosat64-test.zip", limit)))}
    some = [*classic("set5"), *classic("kodak")][: max(2, limit // 2)]
    found["classic grey, middle 128x128"] = intensities([(n, centre(x, 128)) for n, x in grey(some)])
    found["Sentinel-2 tiles, middle 160x160"] = intensities(sentinel2())
    return found


def sentinel2(side: int = 160) -> Pictures:
    import rasterio

    pictures: Pictures = []
    for path in sorted((DATA / "fusion" / "terramesh" / "S2RGB").glob("*.tif")):
        with rasterio.open(path) as d:
            x = d.read([1, 2, 3]).astype(np.float32)
        white = float(np.percentile(x, 99.5))
        pictures.append((path.stem, centre(np.clip(x / white, 0, 1), side)))
    return grey(pictures)


def seen(y: NDArray[np.generic], settings: Settings) -> tuple[SpeckledBlock, Classical | PosteriorMethod]:
    """What `restorekit despeckle` makes of a file that holds y (H, W), which is one block, and what it treats it by."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.npy"
        np.save(source, y)
        made = plan(source, source.with_name("out.npy"), settings)
        grid, (band, facts) = made.job.grid, made.bands[1]
        with made.scene.opened() as reader:
            raw, intensity, _, signal = band.read(reader, grid.seen(0, 0))
        assert len(grid) == 1
        return SpeckledBlock(grid.seen(0, 0), 1, raw, intensity, signal, facts), settings.method


def draws(y: NDArray[np.generic], settings: Settings) -> NDArray[np.float64]:
    """(N, H, W) intensities."""
    block, method = seen(y, settings)
    return method(block)


def ours(looks: int, samples: int) -> dict[str, Settings]:
    common = {"looks": float(looks), "decorrelate": "none", "domain": "intensity"}
    return {
        "restorekit hqs": Settings(solver="hqs", samples=1, **common),  # type: ignore[arg-type]
        "restorekit sar-dps": Settings(solver="sar-dps", samples=samples, **common),  # type: ignore[arg-type]
    }


def independent(rows: Rows, kinds: dict[str, list[tuple[str, Array]]], samples: int) -> dict[int, dict[str, float]]:
    best = {}
    for looks in LOOKS:
        picked = chosen(looks)
        best[looks] = {m: s for m, (s, _) in picked.items()}
        for kind, pictures in kinds.items():
            for name, x in pictures:
                y = speckled(x, looks, name)

                def add(method: str, made: Callable[[], Array], key=(kind, looks, name), x=x) -> None:  # type: ignore[no-untyped-def]
                    if rows.has(*key, method):
                        return
                    began = time.perf_counter()
                    out = made()
                    seconds = time.perf_counter() - began
                    mean = out.mean(0) if out.ndim == 3 else out
                    held = math.nan
                    if len(out) > 1 and out.ndim == 3:
                        held = coverage(np.log(out)[:, None], np.log(x)[None])
                    rows.add(
                        *key,
                        method,
                        psnr(amplitude(mean), amplitude(x)),
                        ssim(amplitude(mean), amplitude(x)),
                        held,
                        seconds,
                    )

                add("speckle", lambda y=y: y)
                for method, (_, f) in picked.items():
                    add(method, lambda f=f, y=y: f(y))
                for method, settings in ours(looks, samples).items():
                    add(method, lambda s=settings, y=y: draws(y, s))
            print(kind, looks, flush=True)
    return best


REMEDIES = ("none", "auto", "subsample")


def correlated(rows: Rows, pictures: Sequence[tuple[str, Array]]) -> None:
    for grain in SWATHS:
        for looks in LOOKS:
            for name, x in pictures:
                y = speckled(x, looks, name, grain)
                key = (grain, looks, name)
                cases: dict[str, Callable[[], Array]] = {
                    f"hqs, {r}": lambda y=y, r=r, looks=looks: draws(y, _grain(r, looks))[0] for r in REMEDIES
                }
                cases |= {m: lambda f=f, y=y: f(y) for m, f in filters(looks).items()}
                if looks == 1:
                    rng = np.random.default_rng(zlib.crc32(f"{name} {grain}".encode()))
                    z = np.sqrt(x) * SWATHS[grain].field(x.shape[0], x.shape[1], rng)
                    cases["hqs, whiten (complex)"] = lambda z=z: draws(z, _grain("whiten", 1, "complex"))[0]
                    cases["hqs, none (complex)"] = lambda z=z: draws(z, _grain("none", 1, "complex"))[0]
                for method, made in cases.items():
                    if not rows.has(*key, method):
                        out = made()
                        rows.add(*key, method, psnr(amplitude(out), amplitude(x)), ssim(amplitude(out), amplitude(x)))
            print(grain, looks, flush=True)


def filters(looks: int) -> dict[str, Callable[[Array], Array]]:
    return {"boxcar 7": others(looks)["boxcar"][7], "Lee 7": others(looks)["Lee"][7]}


def _grain(remedy: str, looks: int, domain: str = "intensity") -> Settings:
    return Settings(solver="hqs", looks=float(looks), decorrelate=remedy, domain=domain, samples=1)


def table_of(
    rows: Rows, kinds: dict[str, list[tuple[str, Array]]], looks: int, best: dict[str, float]
) -> list[list[object]]:
    names = {kind: {n for n, _ in pictures} for kind, pictures in kinds.items()}
    mine = [r for r in rows.rows if r["looks"] == str(looks) and r["picture"] in names.get(r["scene"], ())]
    body: list[tuple[float, list[object]]] = []
    for method in dict.fromkeys(r["method"] for r in mine):
        of = [r for r in mine if r["method"] == method]
        cells = []
        means = []
        for kind in kinds:
            here = [r for r in of if r["scene"] == kind]
            p, s = (float(np.mean([float(r[k]) for r in here])) for k in ("psnr", "ssim"))
            cells.append(f"{p:.2f} / {s:.3f}")
            means.append(p)
        held = [float(r["coverage"]) for r in of]
        by_kind = [np.mean([float(r["coverage"]) for r in of if r["scene"] == k]) for k in kinds]
        shown = " / ".join(f"{v:.2f}" for v in by_kind) if not any(map(math.isnan, held)) else "-"
        label = f"{method}, {best[method]:g}" if method in best and method != "BM3D of the log" else method
        body.append((float(np.mean(means)), [label, *cells, f"{np.mean(means):.2f}", shown]))
    return [row for _, row in sorted(body, key=lambda b: -b[0])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=12, help="EuroSAT tiles; half as many classic pictures")
    parser.add_argument("--samples", type=int, default=4, help="of sar-dps")
    args = parser.parse_args()
    kinds = scenes(args.limit)
    rows = Rows(
        RESULTS / "despeckle_rows.csv", ("scene", "looks", "picture", "method"), ("psnr", "ssim", "coverage", "seconds")
    )
    best = independent(rows, kinds, args.samples)
    grains = Rows(RESULTS / "despeckle_grain_rows.csv", ("grain", "looks", "picture", "method"), ("psnr", "ssim"))
    some = [*kinds["Sentinel-2 tiles, middle 160x160"], *kinds["classic grey, middle 128x128"][:3]]
    correlated(grains, some)
    header = ("", *kinds, "mean PSNR", "in 90 %")
    tables: list[tuple[str, Sequence[str], Sequence[Sequence[object]]]] = [
        (f"Independent speckle, {n} look{'s' * (n > 1)}", header, table_of(rows, kinds, n, best[n])) for n in LOOKS
    ]
    methods = list(dict.fromkeys(r["method"] for r in grains.rows))
    body = [[m, *(_mean(grains, g, n, m, {name for name, _ in some}) for g in SWATHS for n in LOOKS)] for m in methods]
    columns = ("", *(f"{g}, {n} look{'s' * (n > 1)}" for g in SWATHS for n in LOOKS))
    tables.append(("Speckle with a grain", columns, body))
    counts = ", ".join(f"{len(p)} of {k}" for k, p in kinds.items())
    notes = [
        f"PSNR in dB / SSIM of the amplitude; {counts}. Of `sar-dps` the mean of {args.samples} samples in linear power; in 90 %: share of the pixels inside such intervals of the samples, by kind of scene. Numbers behind a method: its window, weight or strength, chosen on training tiles. BM3D knows the deviation of the logarithm.",
        f"With a grain: PSNR on {len(some)} scenes; `none` takes the pixels for independent, `auto` gives the likelihood less weight, `subsample` takes every other pixel, four times; complex data can be whitened.",
    ]
    publish("despeckle", "Despeckling of known scenes by the command", tables, notes)


def _mean(rows: Rows, grain: str, looks: int, method: str, names: set[str]) -> str:
    found = [
        float(r["psnr"]) for r in rows.rows
        if (r["grain"], r["looks"], r["method"]) == (grain, str(looks), method) and r["picture"] in names
    ]  # fmt: skip
    return f"{np.mean(found):.2f}" if found else "-"


if __name__ == "__main__":
    main()
