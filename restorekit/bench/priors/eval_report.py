"""The tables of an evaluation, from its record: for the terminal and as Markdown."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from restorekit.bench.images.image_sets import ENOUGH
from restorekit.bench.priors.reconstruction import NOT_QUANTISED, QUANTISED
from restorekit.report.text_tables import markdown as table_of


@dataclass(frozen=True)
class Table:
    """A table of the report, with notes below it."""

    title: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    notes: tuple[str, ...] = ()


def number(value: float, digits: int = 4) -> str:
    """Return a number as text, "-" for NaN."""
    return "-" if math.isnan(value) else f"{value:.{digits}g}"


def _denoising(record: dict[str, Any]) -> Table:
    found = record["denoising"]
    rows = [
        (f"{r['sigma']:g}", r["method"], f"{r['psnr']:.2f}", f"{r['ssim']:.4f}", f"{r['rmse']:.4f}", str(r["pictures"]),
         "-" if math.isnan(r["seconds"]) else f"{1e3 * r['seconds']:.0f}")
        for r in found["rows"]
    ]  # fmt: skip
    pictures, crop = record["pictures"], found["crop"]
    notes = (
        f"Means over {pictures['count']} pictures of {pictures['name']} (sha256 {pictures['sha256'][:12]})"
        + (f", the middle {crop} pixels" if crop else "")
        + f", {record['bands']} band(s); one network call each.",
        f"sigma: {found['unit']}; PSNR and SSIM to a range of {found['psnr_range']:.4g}; seed {record['seed']}, noise by picture.",
        *(f"{name}: sha256 {sha[:12]}." for name, sha in found["beside"].items()),
    )
    return Table("Denoising", ("sigma", "method", "PSNR dB", "SSIM", "RMSE", "pictures", "ms each"), rows, notes)


def _net(features: dict[str, Any]) -> str:
    return f"{features['name']}, sha256 {features['sha256'][:12]}, {features['dimension']} features"


def _sets(record: dict[str, Any]) -> Table:
    found = record["sets"]
    rows = [
        (
            r["name"],
            str(r["n"]),
            number(r["frechet"]),
            number(r["kernel"]),
            f"{r['precision']:.3f}",
            f"{r['recall']:.3f}",
        )
        for r in found["rows"]
    ]
    n, few = found["rows"][0]["n"], min(found["rows"][0]["n"], found["pictures"])
    drawn = f" by {found['solver']}, {found['steps']} levels" if "solver" in found else ""
    height, width = found["size"]
    notes = [
        f"{n} samples{drawn} against {found['pictures']} pictures, {height}x{width}; kernel distance, precision and recall "
        + f"(k = 3) of {few} of each.",
        f"Feature network: {_net(found['features'])}.",
    ]
    if len(rows) > 1:
        notes.append("training pictures: what samples would have that are drawn from their law.")
    if few < ENOUGH:
        notes.append(f"So few say more about the choice of pictures than about the prior; {ENOUGH} or more are better.")
    if few <= found["features"]["dimension"]:
        notes.append(
            "The Fréchet distance of no more pictures than features is too large; compare equal numbers alone."
        )
    header = ("set", "n", found["fid"], found["kid"], "precision", "recall")
    return Table("Samples as a set", header, rows, tuple(notes))


def _neighbours(record: dict[str, Any]) -> Table:
    found = record["neighbours"]
    rows = [
        (space, name, f"{f['n']:.0f}", number(f["least"]), number(f["median"]), f"{f['ratio_least']:.3f}",
         f"{f['ratio_median']:.3f}", f"{f['below']:.0f}")
        for space in ("features", "pixels")
        for name, f in found[space].items()
    ]  # fmt: skip
    train, n = found["train"], found["features"]["samples"]["n"]
    notes = (
        f"Of {found['windows']} windows of {train['count']} training pictures of {train['name']} (sha256 {train['sha256'][:12]}), "
        + "all flips and quarter turns.",
        f"Feature network: {_net(found['network'])}. Pixels: root mean square of the difference, white = 1.",
        "ratio: to the mean of the next neighbours, near 0 for a copy. below: how many are below the 1 % quantile of the "
        + f"ratios of held-out pictures; of samples that are no copies, about {0.01 * n:.1f}.",
    )
    header = ("by", "set", "n", "least", "median", "ratio least", "ratio median", "below")
    return Table("Nearest training pictures", header, rows, notes)


def _reconstruction(record: dict[str, Any]) -> Table:
    found, pictures = record["reconstruction"], record["pictures"]
    figures = dict.fromkeys(name for way in found.values() for name in way)
    rows = [(name, *(number(way.get(name, math.nan)) for way in found.values())) for name in figures]
    notes = [f"Means over {pictures['count']} pictures of {pictures['name']} (sha256 {pictures['sha256'][:12]})."]
    if QUANTISED in found:
        notes.append(
            f"{QUANTISED}: its codes decoded. {NOT_QUANTISED}: its latents as they are, on which priors of them work and "
            "loss.decoder_only trains."
        )
    return Table("Reconstruction", ("figure", *found), rows, tuple(notes))


PARTS = {"denoising": _denoising, "reconstruction": _reconstruction, "sets": _sets, "neighbours": _neighbours}


def tables(record: dict[str, Any]) -> list[Table]:
    """Return the tables of a record."""
    return [make(record) for part, make in PARTS.items() if part in record]


def skipped(record: dict[str, Any]) -> list[str]:
    """Return which files of the pictures and of the training pictures could not be read, and why, in words."""
    parts = (record["pictures"], record.get("neighbours", {}).get("train", {}))
    return [f"{p['unread']} files of {p['name']} skipped: {p['why']}" for p in parts if p.get("unread")]


def heading(record: dict[str, Any]) -> str:
    """Return the title of a report: the prior and its weights."""
    prior = record["prior"]
    return f"{prior['name']} ({prior['domain']}), sha256 {prior['sha256'][:12]}"


def where(record: dict[str, Any]) -> str:
    """Return the line that says where the figures are from."""
    versions = ", ".join(f"{name} {record[name]}" for name in ("restorekit", "torch", "python"))
    return f"{record['machine']}; {record['device']}, {record['precision']}; {versions}"


def markdown(record: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    parts = [f"# {heading(record)}"]
    for t in tables(record):
        parts += [f"## {t.title}", table_of(t.header, t.rows), "\n".join(t.notes)]
    return "\n\n".join([*parts, where(record)]) + "\n"
