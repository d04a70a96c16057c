"""metrics fusion: what a fused picture kept of its two sources."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from restorekit.cli.fuse import Align, Bands, Despeckle, Domain, Looks, MatchTo, Optical, Sar, SarBand
from restorekit.cli.options import Range


def fusion(
    optical: Optical,
    sar: Sar,
    fused: Annotated[Path, typer.Argument(metavar="FUSED", help="Fused picture, in the numbers of OPTICAL.", show_default=False)],
    align: Align = False,
    bands: Bands = None,
    sar_band: SarBand = 1,
    domain: Domain = "auto",
    despeckle: Despeckle = "hqs",
    looks: Looks = "auto",
    match: MatchTo = "moments",
    range_: Range = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:  # fmt: skip
    """Compare FUSED with its sources, SAR made ready as `fuse` does. restorekit metrics fusion optical.tif sar.tif fused.tif"""
    import json
    import sys

    from restorekit.cli.fuse import measured, pairing_of
    from restorekit.errors import BadInput
    from restorekit.fusion import inputs as files
    from restorekit.fusion.scores import METRICS

    pair = pairing_of(align, True, bands, sar_band, domain, despeckle, looks, match, range_)(optical, sar)
    found = files.read(fused)
    values = found.values if len(found.values) == 1 else files.read(fused, pair.bands).values
    if found.size != pair.optical.size:
        raise BadInput(
            f"{fused} is {found.size[0]}x{found.size[1]} pixels and {optical} {pair.optical.size[0]}x"
            f"{pair.optical.size[1]}; compare pictures of one size"
        )
    if found.dtype != pair.optical.dtype:
        raise BadInput(
            f"{fused} holds {found.dtype} and {optical} {pair.optical.dtype}; their numbers are not the same"
        )
    figures = measured(pair, values)
    for note in pair.notes:
        print(f"restorekit: note: {note}", file=sys.stderr)
    if as_json:
        print(json.dumps({k: v if abs(v) != float("inf") else str(v) for k, v in figures.items()}))
        return
    print(f"SAR: {pair.record['domain']}, speckle filter {despeckle}, {match} of the luminance")
    for name, column in METRICS.items():
        print(f"{column.title:18} {figures[name]:9.4f}  {'lower' if column.lower else 'higher'} is better")
    if figures["filled"]:
        print(f"{figures['filled']:.1%} of the pixels are not valid and were made alike in all three")
