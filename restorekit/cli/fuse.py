"""fuse: an optical and a radar picture of one place in one picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from restorekit.cli.options import Device, Precision, PriorOpt, Range, Seed, Tile

if TYPE_CHECKING:
    from restorekit.fusion.joint import Diffusion, Map
    from restorekit.fusion.pair import Despeckler, Pair, Pairing

LEARNED = ("hqs", "sar-dps")
Optical = Annotated[Path, typer.Argument(metavar="OPTICAL", help="Optical picture: GeoTIFF, or PNG, JPEG, NPY.", show_default=False)]  # fmt: skip
Sar = Annotated[Path, typer.Argument(metavar="SAR", help="Radar picture of the same place.", show_default=False)]
Bands = Annotated[str | None, typer.Option(metavar="R,G,B", help="Bands of OPTICAL that are fused, from 1; the others are copied. Default: the first three, or the first.", show_default=False)]  # fmt: skip
SarBand = Annotated[int, typer.Option(min=1, help="Band of SAR, from 1.")]
Domain = Annotated[str, typer.Option(help="What SAR holds: intensity, amplitude, db, complex; auto says what it takes it for.")]  # fmt: skip
Despeckle = Annotated[
    str,
    typer.Option(
        help="none, boxcar, lee, refined-lee, frost or gamma-map; hqs or sar-dps with the prior of `restorekit despeckle`."
    ),
]
Looks = Annotated[str, typer.Option(help="Looks of SAR; auto measures them.")]
MatchTo = Annotated[str, typer.Option("--match", help="SAR gets the moments, or the histogram, of the luminance.")]
Align = Annotated[bool, typer.Option("--align", help="Resample SAR to the grid of OPTICAL, in linear power.")]
TrustGrid = Annotated[bool, typer.Option("--trust-grid", help="Go on where the pictures do not show that they lie on each other.")]  # fmt: skip


def fuse(
    optical: Optical,
    sar: Sar,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Fused picture, of the size, type and place of OPTICAL; OUT.json is written beside it.", show_default=False)],
    solver: Annotated[str, typer.Option(help="map: no network. diffusion: with the prior. Settings as map:a=0.5,c=2.")] = "map",
    align: Align = False,
    trust_grid: TrustGrid = False,
    bands: Bands = None,
    sar_band: SarBand = 1,
    domain: Domain = "auto",
    despeckle: Despeckle = "hqs",
    looks: Looks = "auto",
    match: MatchTo = "moments",
    range_: Range = None,
    prior: PriorOpt = "natural",
    seed: Seed = 0,
    device: Device = "auto",
    tile: Tile = None,
    precision: Precision = "auto",
) -> None:  # fmt: skip
    """Put what a radar picture shows into an optical one, colours kept. restorekit fuse optical.tif sar.tif fused.tif"""
    import sys
    import time

    from restorekit.files.atomic import together
    from restorekit.files.datasets import container
    from restorekit.files.overwrite import separate
    from restorekit.files.picture import write_json
    from restorekit.files.record import outputs
    from restorekit.fusion import inputs as files
    from restorekit.fusion.joint import solver_of
    from restorekit.text.names import files_of

    opened = [container(optical), container(sar), *files_of(solver, despeckle, prior)]
    separate(opened, [out, out.with_name(out.name + ".json")])
    chosen = solver_of(solver)
    pairing = pairing_of(align, trust_grid, bands, sar_band, domain, despeckle, looks, match, range_, seed, device)
    denoise, network = _prior(chosen, prior, device, tile, precision)
    began = time.monotonic()
    if despeckle.partition(":")[0] in LEARNED:
        print(
            f"restorekit: the radar picture is despeckled first, by {despeckle}; `--despeckle lee` is fast",
            file=sys.stderr,
        )
    pair = pairing(optical, sar)
    prepared = time.monotonic() - began
    files.check_bands_writable(out, pair.optical)
    fused, done = _fused(chosen, pair, denoise, seed, device)
    values, said = _in_place(pair, fused)
    record = _record(optical, sar, chosen, pair, seed) | network | done | said
    pixels = files.stored(values, pair.optical)
    record["metrics"] = measured(pair, pixels[[n - 1 for n in pair.bands]])
    with together():
        warnings = files.write(out, pixels, pair.optical, _line({k: v for k, v in record.items() if k != "metrics"}))
        record |= {"seconds": round(time.monotonic() - began, 2), "outputs": outputs([out])}
        write_json(out.with_name(out.name + ".json"), record)
    for note in dict.fromkeys([*pair.notes, *_spoken(said), *warnings]):
        print(f"restorekit: note: {note}", file=sys.stderr)
    print(
        f"{out}  ({solver.partition(':')[0]}, {done['nfe']} network calls, {record['seconds']:.1f} s, of them {prepared:.1f} s for the radar picture, and .json)"
    )


def pairing_of(
    align: bool, trust_grid: bool, bands: str | None, sar_band: int, domain: str, despeckle: str, looks: str, match: str,
    range_: str | None, seed: int = 0, device: str = "auto",
) -> Pairing:  # fmt: skip
    """What the options of `fuse` and `metrics fusion` say of a pair."""
    from functools import partial

    from restorekit.cli.options import numbers, span
    from restorekit.errors import BadInput
    from restorekit.fusion.pair import Pairing
    from restorekit.fusion.prepare import DESPECKLERS, despeckled

    known = (*DESPECKLERS, *LEARNED)
    if despeckle.partition(":")[0] not in known:
        raise BadInput(f"--despeckle {despeckle!r} is unknown; known: {', '.join(known)}")
    return Pairing(
        despeckle=_with_prior(despeckle, seed, device) if despeckle.partition(":")[0] in LEARNED else partial(despeckled, despeckle), despeckler=despeckle, looks=_looks(looks), align=align,
        trust_grid=trust_grid, bands=numbers(bands), sar_band=sar_band, domain=domain, match=match, span=span(range_),
    )  # fmt: skip


def _with_prior(solver: str, seed: int, device: str) -> Despeckler:
    """As `restorekit despeckle --solver`, with the mean of its samples where it draws some."""
    import sys
    from functools import partial

    from restorekit.despeckling.arrays import despeckled
    from restorekit.despeckling.plan import Settings

    settings = Settings(solver=solver, seed=seed, device=device)
    _ = settings.method  # refuses a wrong setting now
    return partial(despeckled, settings, say=lambda text: print(f"restorekit: radar, {text}", file=sys.stderr))


def _looks(text: str) -> float | None:
    import math

    from restorekit.errors import BadInput

    try:
        looks = None if text == "auto" else float(text)
    except ValueError:
        looks = math.nan
    if looks is not None and not 0 < looks < math.inf:
        raise BadInput(f"--looks {text!r} is not understood; give a number above 0, or auto")
    return looks


def _prior(
    chosen: Map | Diffusion, prior: str, device: str, tile: int | None, precision: str
) -> tuple[Any, dict[str, Any]]:
    from restorekit.errors import BadInput
    from restorekit.priors.find import device_of, load_prior, of_pictures
    from restorekit.priors.prior import LatentPrior

    if precision not in ("auto", "bf16", "fp32"):
        raise BadInput(f"--precision {precision!r} is unknown; it is auto, bf16 or fp32")
    if not chosen.network:
        return None, {"prior": None}
    loaded = of_pictures(load_prior(prior, device=device_of(device), precision=precision, tile=tile or "auto"))  # type: ignore[arg-type]
    if isinstance(loaded, LatentPrior):
        raise BadInput(f"--prior {prior} is one of latents; take one of pictures, such as natural")
    return loaded.for_bands(1), {
        "prior": {"name": loaded.spec.name, "sha256": loaded.sha256}, "precision": loaded.precision, "tile": loaded.tile,
    }  # fmt: skip


def _fused(chosen: Map | Diffusion, pair: Pair, denoise: Any, seed: int, device: str) -> tuple[Any, dict[str, Any]]:
    """The fused luminance (H, W), that of the optical picture where either is not valid."""
    import numpy as np
    import torch

    from restorekit.fusion.selection import Sources
    from restorekit.inference.rng import streams
    from restorekit.priors.find import device_of
    from restorekit.report.progress import bar

    place = device_of(device)

    def tensor(x: Any) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(x, np.float32))[None, None].to(place)

    sources = Sources(tensor(pair.luminance), tensor(pair.radar), tensor(pair.valid_optical), tensor(pair.valid_radar))
    with bar(type(chosen).__name__, chosen.unit) as show:
        found = chosen.fuse(sources, denoise, streams(seed, 0, 1), show)
    f = found.picture[0, 0].double().cpu().numpy()
    return np.where(pair.valid, f, pair.luminance), {"nfe": found.nfe, "device": str(place)}


def _in_place(pair: Pair, fused: Any) -> tuple[Any, dict[str, Any]]:
    """All bands of the optical file (C, H, W), those that are seen with the fused luminance."""
    import numpy as np

    from restorekit.fusion.luminance import limits, recoloured

    low, high = pair.span
    seen = np.where(pair.valid, pair.seen, 0.0)
    least, most = limits(pair.optical.dtype, seen)
    moved, paler = recoloured(seen, fused * (high - low) + low, least, most)
    values = pair.optical.values.copy().astype(np.float64)
    for n, x in zip(pair.bands, moved):
        values[n - 1] = np.where(pair.valid, x, values[n - 1])
    copied = [n for n in range(1, len(values) + 1) if n not in pair.bands]
    return values, {"paler": paler, "bands_copied": copied}


def _spoken(said: dict[str, Any]) -> list[str]:
    notes = []
    if said["paler"]:
        notes.append(f"{said['paler']} pixels lost colour, as their new luminance leaves less room for it")
    if said["bands_copied"]:
        notes.append(f"bands {', '.join(map(str, said['bands_copied']))} are copied as they were")
    return notes


def measured(pair: Pair, bands: Any) -> dict[str, Any]:
    """The metrics of fused values (C, H, W) in the numbers of the optical file, over the rectangle that holds all pixels
    valid in both pictures; those in it that are not are made alike in all three."""
    import numpy as np

    from restorekit.fusion.scores import evaluate

    rows, columns = (np.flatnonzero(pair.valid.any(axis)) for axis in (1, 0))
    inside = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    there = pair.valid[inside]
    fused = pair.grey(np.where(pair.valid, bands.astype(np.float64), 0.0))
    middle = float(np.median(pair.luminance[pair.valid]))
    three = (np.where(there, x[inside], middle) for x in (pair.luminance, pair.radar, fused))
    return {**evaluate(*three), "filled": round(1 - float(there.mean()), 6)}


def _record(optical: Path, sar: Path, chosen: Map | Diffusion, pair: Pair, seed: int) -> dict[str, Any]:
    import dataclasses

    from restorekit.files.record import head

    return {
        **head({"optical": optical, "sar": sar}, command="fuse"),
        "solver": {"name": type(chosen).__name__, **dataclasses.asdict(chosen)}, "seed": seed, **pair.record,
    }  # fmt: skip


def _line(record: dict[str, Any]) -> str:
    import json

    return json.dumps(record, ensure_ascii=False)
