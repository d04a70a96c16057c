"""A despeckled band is judged by figures, each with what it should be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from restorekit.errors import BadInput
from restorekit.sar import quality
from restorekit.sar.level_bias import SIDES, LevelBias, check_speckle, level_bias, shift_of
from restorekit.sar.looks import Array, Looks, Mask, Windows, flattest, measure, windows

Box = tuple[int, int, int, int]  # top, left, height, width


@dataclass(frozen=True)
class Figure:
    """A number, with words for what it should be, and `ideal` where that is a number."""

    key: str
    title: str
    value: float
    should: str
    ideal: float | None = None

    @property
    def text(self) -> str:
        """Return the value to the digits that are shown."""
        return f"{self.value:.4g}" if abs(self.value) >= 100 else f"{self.value:.3f}"


@dataclass(frozen=True)
class Assessment:
    """An assessment holds `looks` of the speckle, as given or measured, and `measured`, what the scene says of it.

    `measured` is None where no window is flat.
    """

    looks: float
    measured: Looks | None
    figures: tuple[Figure, ...]
    notes: tuple[str, ...] = field(default=())
    levels: tuple[LevelBias, ...] = ()  # the bias from dark to bright, over cells of several sizes

    def plain(self) -> dict[str, Any]:
        """Return numbers, and what they should be, for a file."""
        speckle = self.measured
        return {
            "looks": self.looks,
            "looks_measured": None if speckle is None else speckle.looks,
            "correlation": None if speckle is None else {"lag_one": list(speckle.lag_one), "kappa": speckle.kappa},
            "figures": {f.key: f.value for f in self.figures},
            "level_bias": {str(b.side): {"bias": _known(b.bias), "error": _known(b.error)} for b in self.levels},
            "should_be": {f.key: f.should for f in self.figures},
            "notes": list(self.notes),
        }


def _known(values: Sequence[float]) -> list[float | None]:
    """Return the values for a file, None for those that could not be had."""
    return [v if math.isfinite(v) else None for v in values]


@dataclass(frozen=True, eq=False)
class Wanted:
    """Settings of an assessment. looks: None to measure them. window: a flat part of the scene, for ENL. target: a
    bright one, for TCR."""

    looks: float | None = None
    window: Box | None = None
    target: Box | None = None


def assess(
    measured: Array, restored: Array, valid: Mask, wanted: Wanted, truth: Array | None = None, by: Array | None = None
) -> Assessment:
    """Return the figures of restored intensities (H, W) against measured ones, over the pixels of `valid`, and against
    a truth if any. by: (H, W), a level with speckle of its own, by which the scene is sorted from dark to bright; None for `restored`.

    Raises BadInput where nothing is valid, a window lies outside, looks cannot be measured, or `by` is one of the two.
    """
    if not (measured[valid] > 0).any():
        raise BadInput("no pixel holds a value above 0 in all files: nothing to compare")
    if by is not None:
        check_speckle(by, {"the measured scene": measured, "the restored scene": restored}, valid)
    speckle, flat = _looks(measured, valid, needed=wanted.looks is None)
    looks = speckle.looks if wanted.looks is None and speckle is not None else wanted.looks or 1.0
    pair = quality.Pair(measured, restored, valid)
    figures = [*_ratio(pair, looks), *_flat(pair, flat, wanted.window), *_structure(pair, flat, speckle)]
    figures += [*_edges(pair, looks, truth), *_target(pair, wanted.target)]
    levels = tuple(b for side in SIDES if (b := level_bias(measured, restored, valid, side, by)) is not None)
    figures += _levels(levels, own=by is None)
    figures += _errors(quality.errors(restored, truth, valid)) if truth is not None else []
    return Assessment(looks, speckle, tuple(figures), tuple(_notes(pair, speckle, by)), levels)


def _looks(y: Array, valid: Mask, *, needed: bool) -> tuple[Looks | None, Windows | None]:
    try:
        return measure(y, valid), flattest(y, windows(y, valid))
    except BadInput:
        if needed:
            raise
        return None, None


def _ratio(pair: quality.Pair, looks: float) -> list[Figure]:
    return [
        Figure("moi", "MoI, mean restored / mean measured", pair.mean_of_image, "1", 1.0),
        Figure("mor", "MoR, mean of measured / restored", pair.mean_of_ratio, "1; below by what restored follows its own speckle", 1.0),
        Figure(
            "vor", "VoR, variance of measured / restored", pair.variance_of_ratio,
            f"{1 / looks:.3f} = 1 / looks; below: speckle is left, above: structure is lost", 1 / looks,
        ),
    ]  # fmt: skip


def _levels(levels: Sequence[LevelBias], *, own: bool) -> list[Figure]:
    """Return the largest bias of a tenth of the scene for each size of cells."""
    figures = []
    for b in levels:
        tenth, bias, error = b.worst
        cells = "pixels" if b.side == 1 else f"cells of {b.side}x{b.side}"
        should = f"0 within 0.15 dB or two standard errors, {2 * error:.2f}; {len(b.beyond())} of 10 are not"
        # An average over so many pixels hardly has speckle of its own.
        doubt = (
            "; sorted by the result, which follows the speckle: better by a scene of other speckle"
            if own and b.side < SIDES[-2]
            else ""
        )
        figures.append(
            Figure(f"level_{b.side}", f"bias, tenth {tenth} of {cells} dark to bright, dB", bias, should + doubt, 0.0)
        )
    return figures


def _flat(pair: quality.Pair, flat: Windows | None, window: Box | None) -> list[Figure]:
    figures = []
    for key, where, parts in (("flat", "flattest windows", flat), ("window", "`window`", _window(pair, window))):
        if parts is None:
            continue
        y, x = parts.of(pair.measured), parts.of(pair.restored)
        before, after = (float(np.median([quality.enl(p) for p in z])) for z in (y, x))
        figures.append(
            Figure(
                f"enl_{key}", f"ENL, {where}", after, f"above {before:.2f}, that of measured; more is not always better"
            )
        )
        before, after = (float(np.median([quality.variation(p) for p in z])) for z in (y, x))
        figures.append(Figure(f"cx_{key}", f"C_x, {where}", after, f"below {before:.3f}, that of measured"))
    return figures


def _window(pair: quality.Pair, box: Box | None) -> Windows | None:
    if box is None:
        return None
    inside(box, pair.valid, "`window`")
    top, left, height, width = box
    return Windows(np.array([(top, left)]), height, width)


def inside(box: Box, valid: Mask, name: str) -> None:
    """Raise BadInput unless `box` lies in the picture and all of it is valid."""
    top, left, height, width = box
    h, w = valid.shape
    if min(box) < 0 or height * width < 2 or top + height > h or left + width > w:
        raise BadInput(
            f"{name} {','.join(map(str, box))} does not lie in the {h}x{w} pixels; give TOP,LEFT,HEIGHT,WIDTH"
        )
    if not valid[top : top + height, left : left + width].all():
        raise BadInput(f"{name} {','.join(map(str, box))} holds pixels that are not valid; choose another one")


def _structure(pair: quality.Pair, flat: Windows | None, found: Looks | None) -> list[Figure]:
    lag = 1 if found is None else found.reach
    s = quality.structure(pair, flat, lag=lag)
    beyond = "" if lag == 1 else f"; of pixels {lag} apart, as nearer ones share their grain"
    dh = Figure("dh", "dh, structure in the ratio, %", s.dh, f"0{beyond}", 0.0)
    if flat is None:
        return [dh]
    r = Figure("r", "r, looks and mean of the ratio in flat windows", s.r, "0", 0.0)
    return [r, dh, Figure("m", "M = r + dh", s.m, "0", 0.0)]


def _edges(pair: quality.Pair, looks: float, truth: Array | None) -> list[Figure]:
    against = "measured" if truth is None else "the truth"
    should = "1" if truth is not None else "far below 1, as most gradients that were measured are speckle"
    epi = Figure("epi", f"EPI, gradients over those of {against}", pair.edge_preservation(truth), should,
                 None if truth is None else 1.0)  # fmt: skip
    across, down = pair.edges_of_ratio()
    # E[y] E[1 / y] of neighbours whose speckle is independent.
    perfect = (
        f"{1 - 1 / looks:.2f} for a perfect filter under independent speckle"
        if looks >= 2
        else "far below 1 even for a perfect filter"
    )
    word = perfect if looks >= 2 else f"{perfect}: no guide at so few looks"
    return [
        epi,
        Figure("epd_roa_across", "EPD-ROA across", across, word),
        Figure("epd_roa_down", "EPD-ROA down", down, word),
    ]


def _target(pair: quality.Pair, box: Box | None) -> list[Figure]:
    """Return TCR against a frame around the target, as wide as it is."""
    if box is None:
        return []
    inside(box, pair.valid, "`target`")
    top, left, height, width = box
    target, around = np.zeros_like(pair.valid), np.zeros_like(pair.valid)
    target[top : top + height, left : left + width] = True
    around[max(0, top - height) : top + 2 * height, max(0, left - width) : left + 2 * width] = True
    clutter = around & ~target & pair.valid
    if not clutter.any():
        raise BadInput(f"`target={','.join(map(str, box))}` has no clutter around it; choose a smaller one")
    before, after = (quality.target_to_clutter(x, target, clutter) for x in (pair.measured, pair.restored))
    return [Figure("tcr", "TCR, target to clutter, dB", after, f"{before:.2f}, that of measured", before)]


def _errors(e: quality.Errors) -> list[Figure]:
    deciles = enumerate(e.bias_by_decile, 1)
    return [
        Figure("psnr", "PSNR of the amplitude, its largest the peak, dB", e.psnr, "as high as can be"),
        Figure("ssim", "SSIM of the amplitude", e.ssim, "1", 1.0),
        Figure("log_mse", "mean squared error of ln intensity", e.log_mse, "0", 0.0),
        Figure("bias", "bias, mean of 10 lg(restored / truth), dB", e.bias, "0", 0.0),
        *(Figure(f"bias_{i}", f"bias, tenth {i} of the truth, dark to bright, dB", b, "0", 0.0) for i, b in deciles),
    ]


def _notes(pair: quality.Pair, found: Looks | None, by: Array | None) -> Sequence[str]:
    notes = [] if found is None or (found.agree and not found.textured) else [str(found)]
    if found is None:
        notes.append("no window is flat enough to measure looks in: figures of flat windows are left out")
    if bad := int((pair.valid & ~(pair.restored > 0)).sum()):
        notes.append(f"restored is not above 0 at {bad} pixels, which count as ratio 1")
    ratio = pair.mean_of_ratio
    if not 0.1 < ratio < 10 and math.isfinite(ratio):
        notes.append(f"measured / restored is {ratio:.3g} on average: are both in one unit? see `domain`")
    if by is not None and (moved := shift_of(by, pair.restored, pair.valid)) is not None:
        notes.append(
            f"`by` lies on the restored scene better when it is moved by {moved[0]:+d} rows and {moved[1]:+d} columns: tenths are then less sharp; is it of the same grid?"
        )
    return notes
