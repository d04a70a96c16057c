"""The tables of `peers.py`, and in words what they say against either side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from benchmarks.support.common import publish

METHODS = ("DDRM", "DiffPIR", "DPS", "PiGDM", "MMPS")
KINDS = ("default", "paper", "tuned")
PROBLEMS = ("gauss-denoise", "gauss-inpaint", "gauss-sr", "gauss-blur")
Row = dict[str, str]
Table = tuple[str, Sequence[str], list[list[Any]]]

NOTES = [
    (
        "Both sides get the same denoiser object, the same measurements, the same number of network calls and the same number of "
        "samples, in single precision on one thread. deepinv is 0.5.0, through `restorekit/bench/peers/peer_deepinv.py`; its guided samplers keep "
        "their state in double precision, which is their default. Times are CPU times without the making of the operator; those "
        "of the exact problems are of batches of 2970 chains of 16 pixels, where the network costs next to nothing. The machine was "
        "busy with other work, and the same sampler differs by up to a quarter between rows: take time ratios with that."
    ),
    (
        "`default`: what the library does without being told, at that number of calls. `paper`: our switch to the published step. "
        "`tuned`: the best of a small grid on separate measurements: of the least W2 on exact problems, there for both "
        "sides, chosen per problem and number of calls; of the least CRPS on two training pictures of 64 pixels, there for "
        "deepinv only, so that on pictures ours is never tuned to the task; the "
        "best weight of DPS with guidance `norm` depends on the size of the picture, so that choice is not quite fair to it. The grids are `GRID` and `OUR_GRID` of the scripts."
    ),
    (
        "Exact problems: strips of 16 pixels whose variances fall with frequency, of deviation 0.15 about 0.5, and sigma_y 0.03, so that "
        "pixels lie 3.3 deviations inside [0, 1] and deepinv's clipping of x0 (to [0, 1] in DiffPIR, at 1 in DPS) does "
        "hardly anything; 30 measurements, 99 samples of each. W2 and mean error are in standard deviations of the posterior; "
        "`exact draws` is what as many exact draws give, `exact score` what the exact conditional denoiser gives on the levels "
        "of that row, so that it shows what the grid alone costs. `trace`: variance over the exact one. "
        "Our PiGDM assumes a prior deviation of 0.25, the tuned row may take the true 0.15; deepinv's formula has 1."
    ),
    (
        "deepinv 0.5.0 has PiGDM as `PiGDMDataFidelity` and MMPS as `MomentMatchingDataFidelity`, both without a default process: "
        "they run on the process and the steps of its `DPS` (`vp`), tuned also on a log-uniform grid (`ve`), which is ours. Our "
        "PiGDM and MMPS take two calls a level but for the last, hence 49 and 199 calls."
    ),
    (
        "What explains most of the differences, as read in the source of deepinv 0.5.0. DDRM divides its noise by sqrt 2 in every "
        "basis, which is right for the half spectrum of `BlurFFT` only. DPS with guidance `norm` multiplies the score by "
        "`weight`, so that the default weight of 1 hardly looks at y; `annealed` does. DiffPIR gives its last noisy state back. "
        "A grid uniform in the time of a VP process has few levels near the data. The published DPS step is made for 1000 calls and "
        "large pictures: at fewer, our `paper` row is hardly closer to the posterior than a draw of the prior either. Coverage "
        "alone does not tell: draws of the prior cover too."
    ),
    (
        "CRPS is the continuous ranked probability score per value, estimated without bias from four samples: the lower the better, "
        "and on average least for draws of the true posterior. PSNR is that of one sample, not of a mean: a sampler that is "
        "too sure has the higher one, and a calibrated one loses up to 3 dB by drawing. `spread / skill` is 1 if calibrated, "
        "below it too sure."
    ),
    (
        "Operators: deepinv's own `Denoising`, `Inpainting` and `BlurFFT`; block averages are ours by the bridge, since deepinv has no "
        "such operator with singular values. Blur is circular. MMPS takes five passes per call and is left out on pictures."
    ),
]


def listed(rows: Sequence[Row]) -> list[Row]:
    def place(r: Row) -> tuple[int, int, int, int]:
        return METHODS.index(r["method"]), int(r["calls"]), KINDS.index(r["kind"]), -ord(r["side"][0])

    return sorted(
        {tuple(r[k] for k in ("problem", "method", "side", "kind", "calls")): r for r in rows}.values(), key=place
    )


def against(rows: Sequence[Row], ours: str, theirs: str, worse: Callable[[Row, Row], bool], unit: str) -> str:
    """Where a row of ours is worse than one of theirs, all named."""
    at = {(r["problem"], r["method"], r["calls"], r["side"], r["kind"]): r for r in rows}
    pairs = []
    for r in listed(rows):
        if (r["side"], r["kind"]) == ("restorekit", ours):
            other = at.get((r["problem"], r["method"], r["calls"], "deepinv", theirs))
            pairs += [(r, other)] if other else []
    if not pairs:
        return ""
    bad = [r for r, other in pairs if worse(r, other)]
    names = ", ".join(f"{r['method']} on {r['problem']} ({r['calls']} calls)" for r in bad) or "none"
    return f"Our {ours} against deepinv's {theirs}, {unit}: ours is worse in {len(bad)} of {len(pairs)}: {names}."


def verdicts(exact: Sequence[Row], pictures: Sequence[Row]) -> list[str]:
    def above(r: Row, other: Row) -> bool:
        return float(r["w2"]) > float(other["w2"])

    def off(r: Row) -> float:
        return abs(float(r["coverage"]) - 0.9)

    lines = [
        against(exact, o, t, above, "W2") for o, t in (("default", "default"), ("default", "tuned"), ("tuned", "tuned"))
    ]
    for kind in ("default", "tuned"):
        lines.append(against(pictures, "default", kind, lambda r, o: float(r["crps"]) > float(o["crps"]), "CRPS"))
        lines.append(
            against(pictures, "default", kind, lambda r, o: float(r["psnr"]) < float(o["psnr"]), "PSNR of a sample")
        )
        lines.append(
            against(pictures, "default", kind, lambda r, o: off(r) > off(o), "distance of the coverage from 0.9")
        )
    return [line for line in lines if line]


def summary(exact: Sequence[Row]) -> Table:
    problems = [p for p in PROBLEMS if any(r["problem"] == p for r in exact)]
    body: list[list[Any]] = []
    for key in dict.fromkeys((r["method"], r["calls"], r["kind"], r["side"]) for r in listed(exact)):
        mine = [r for r in exact if (r["method"], r["calls"], r["kind"], r["side"]) == key]
        w2 = [next((float(r["w2"]) for r in mine if r["problem"] == p), float("nan")) for p in problems]
        covered, spent = fmean(float(r["coverage"]) for r in mine), fmean(1e3 * float(r["seconds"]) for r in mine)
        body.append([key[0], key[3], key[2], int(mine[0]["nfe"]), *w2, covered, spent])
    head = ("method", "library", "row", "calls", *(f"W2 {p.removeprefix('gauss-')}" for p in problems), "mean coverage 90 %",
            "ms/sample")  # fmt: skip
    return "Exact posteriors, in short", head, body


def exact_tables(exact: Sequence[Row]) -> list[Table]:
    head = ("method", "library", "row", "settings", "calls", "VJPs", "ms/sample", "W2", "exact draws", "exact score",
            "mean error", "trace", "coverage 90 %")  # fmt: skip
    tables = []
    for problem in (p for p in PROBLEMS if any(r["problem"] == p for r in exact)):
        body = [
            [r["method"], r["side"], r["kind"], r["settings"], int(r["nfe"]), int(r["vjps"]), 1e3 * float(r["seconds"]),
             *(float(r[k]) for k in ("w2", "floor", "control", "error", "trace", "coverage"))]
            for r in listed([r for r in exact if r["problem"] == problem])
        ]  # fmt: skip
        tables.append((f"Exact posterior: {problem}", head, body))
    return tables


def picture_tables(pictures: Sequence[Row]) -> list[Table]:
    head = ("method", "library", "row", "settings", "calls", "VJPs", "CRPS / 255", "PSNR", "SSIM", "spread / skill", "coverage 90 %",
            "seconds/sample", "time / our default")  # fmt: skip
    tables = []
    for problem in sorted({r["problem"] for r in pictures}):
        mine = [r for r in pictures if r["problem"] == problem]
        base = {r["method"]: float(r["seconds"]) for r in mine if (r["side"], r["kind"]) == ("restorekit", "default")}
        body = [
            [r["method"], r["side"], r["kind"], r["settings"], int(r["nfe"]), int(r["vjps"]),
             255 * float(r["crps"]), *(float(r[k]) for k in ("psnr", "ssim", "spread_skill", "coverage", "seconds")),
             float(r["seconds"]) / base[r["method"]]]
            for r in listed(mine)
        ]  # fmt: skip
        tables.append((f"Pictures, {problem}", head, body))
    return tables


def report(exact: Sequence[Row], pictures: Sequence[Row]) -> None:
    about = [r["part"].split() for r in pictures[:1]]
    shown = [
        f"Pictures: {side} pixels a side, prior {tag}, four samples of each, figures are means."
        for _, side, tag in about
    ]
    tables = [*([summary(exact)] if exact else []), *exact_tables(exact), *picture_tables(pictures)]
    publish("peers", "Beside deepinv", tables, [*verdicts(exact, pictures), *shown, *NOTES])
