"""metrics fusion: what a fused picture kept of its two sources."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from restorekit.cli.fuse import Align, Bands, Despeckle, Domain, Looks, MatchTo, Optical, Sar, SarBand, SarPage
from restorekit.cli.options import LayoutOpt, Page, Range


def fusion(
    ctx: typer.Context,
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
    layout: LayoutOpt = None,
    page: Page = None,
    sar_page: SarPage = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:  # fmt: skip
    """Compare FUSED with its sources, SAR made ready as `fuse` does. restorekit metrics fusion optical.tif sar.tif fused.tif"""
    import json

    from restorekit.cli.fuse import pair_settings
    from restorekit.cli.wording import printed
    from restorekit.fusion.scores import METRICS
    from restorekit.tasks.fuse import fusion_metrics

    settings = pair_settings(align, bands, sar_band, domain, despeckle, looks, match, range_)
    settings |= {"layout": layout, "page": page, "sar_page": sar_page}
    figures, pair = fusion_metrics(optical, sar, fused, notes=printed(ctx), **settings)
    if as_json:
        print(json.dumps({k: v if abs(v) != float("inf") else str(v) for k, v in figures.items()}))
        return
    print(f"SAR: {pair.record['domain']}, speckle filter {despeckle}, {match} of the luminance")
    for name, column in METRICS.items():
        print(f"{column.title:18} {figures[name]:9.4f}  {'lower' if column.lower else 'higher'} is better")
    if figures["filled"]:
        print(f"{figures['filled']:.1%} of the pixels are not valid and were made alike in all three")
