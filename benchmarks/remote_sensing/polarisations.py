"""VV and VH restored together and each by itself, on scenes whose truth is known: error of their ratio, and of each.

Truth: optical tiles of Sentinel-2 whose green channel gives the logarithm of VV and whose red one that of VH, with half of the contrast;
drawn fields, whose contrast in dB is half in VH; and what breaks it, fields most of whose edges are in one band alone. That principal
components are taken, and their gains, was decided on Kodak pictures and on the fields.

python -m benchmarks.remote_sensing.polarisations
"""

from __future__ import annotations

import argparse
import os
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.support.common import RESULTS, publish
from restorekit.despeckling.plan import plan
from restorekit.despeckling.settings import Settings
from restorekit.files.journal import Rows
from restorekit.files.scene import scene_in_memory
from restorekit.products.opening import scene_of
from restorekit.sar.known import KNOWN
from restorekit.sar.speckle import draw, spectrum_of

Array = NDArray[np.floating]
SIDE = 128
SENTINEL = KNOWN["sentinel-1-iw-grd"]
KINDS: dict[str, tuple[float, tuple[float, float]]] = {
    "1 look": (1.0, (0.0, 0.0)), "4 looks": (4.0, (0.0, 0.0)),
    "Sentinel-1 GRD, 4.4 looks": (SENTINEL.looks, SENTINEL.grain),
}  # fmt: skip
PAIRS = Path(os.environ.get("RESTOREKIT_DATA", "../shared/data")) / "fusion/terramesh/S2RGB"


def fields(*, shared: bool = True) -> Array:
    """(2, H, W): fields whose edges are in both bands, VH with half of the contrast in dB, or the disc in VH alone and the bar in VV."""
    i, j = np.indices((SIDE, SIDE))
    bar, disc = (abs(i - SIDE * 0.4) < 10) & (abs(j - SIDE / 2) < SIDE * 0.35), (i - 95) ** 2 + (j - 40) ** 2 < 22**2
    right = np.where(j < SIDE // 2, 1.0, 4.0)
    vv, vh = right * np.where(bar, 5.0, 1.0), np.sqrt(right) * np.where(disc, 0.4, 1.0)
    if shared:
        vv, vh = vv * np.where(disc, 0.16, 1.0), vh * np.where(bar, np.sqrt(5.0), 1.0)
    return np.stack([0.1 * vv, 0.02 * vh])


def scenes() -> dict[str, Array]:
    found = {"edges of one band alone": fields(shared=False), "fields": fields()}
    for path in sorted(PAIRS.glob("*.tif")):
        scene = scene_of(path)
        with scene.opened() as source:
            red, green = (source.read(scene.whole, n)[0][:SIDE, :SIDE].astype(float) for n in (1, 2))
        vv, vh = (np.log(x / 255 + 0.03) if x.max() > 1 else np.log(x + 0.03) for x in (green, red))
        found[f"tile {len(found) - 1}"] = np.stack(
            [np.exp(1.6 * (vv - vv.mean())), np.exp(0.8 * (vh - vh.mean()) - 1.6)]
        )
    return found


def rms(error: Array) -> float:
    return float(np.sqrt(np.mean(error**2)))


def measure(rows: Rows) -> None:
    for name, truth in scenes().items():
        for kind, (looks, grain) in KINDS.items():
            rng = np.random.default_rng(zlib.crc32(f"{name} {kind}".encode()))
            y = np.stack([x * draw(x.shape, looks, spectrum_of(grain), rng) for x in truth])
            for way in ("apart", "together"):
                if rows.has(name, kind, way):
                    continue
                made = plan(scene_in_memory(y, "scene"), None, Settings(
                    solver="hqs", looks=looks, grain=grain, domain="intensity", polarisations=way,
                ))  # fmt: skip
                vv, vh = 10 * np.log10(made.array(made.in_memory()) / truth)
                rows.add(name, kind, way, rms(vv - vh), rms(vv), rms(vh))
                print(name, kind, way, f"{rms(vv - vh):.2f}", flush=True)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    import torch

    torch.set_num_threads(1)
    rows = Rows(RESULTS / "polarisations_rows.csv", ("scene", "speckle", "way"), ("ratio", "vv", "vh"))
    measure(rows)
    of = {(r["scene"], r["speckle"], r["way"]): r for r in rows.rows}
    pairs = [
        (name, kind, of[name, kind, "apart"], of[name, kind, "together"]) for name, kind, way in of if way == "apart"
    ]
    pairs.sort(key=lambda p: -float(p[3]["ratio"]) / float(p[2]["ratio"]))
    columns = ("scene", "speckle", "VV/VH, apart", "together", "VV, apart", "together", "VH, apart", "together")
    table = [
        [name, kind, *(f"{float(r[what]):.2f}" for what in ("ratio", "vv", "vh") for r in (apart, together))]
        for name, kind, apart, together in pairs
    ]
    publish(
        "polarisations", "Polarisations restored together",
        [("Error of `hqs` in dB, root mean square over all pixels, worst first", columns, table)],
        [f"Scenes of {SIDE}x{SIDE} pixels whose truth is known; looks and grain are given, so that the one map of structure is all that differs."],
    )  # fmt: skip


if __name__ == "__main__":
    main()
