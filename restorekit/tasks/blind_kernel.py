"""A blur of which nothing is known: its kernel from the picture, how sure it is, and what that costs the restoration."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch

from restorekit.blind.families import Estimate, Families, deviation, disc, gaussian, motion
from restorekit.blind.kernel_forms import reach_of
from restorekit.blind.spectrum import Array, Whittle
from restorekit.blind.steepness import steepness
from restorekit.blind.stretch import Frame
from restorekit.blind.unknown import AnyKernel, FoundKernel
from restorekit.errors import BadInput
from restorekit.files.record import record_beside
from restorekit.inference.likelihood import Gaussian
from restorekit.tasks.observation import Observation

SMALLEST = 64  # pixels a side, of a picture that may tell its kernel
EDGES = 6.0  # deviations of the noise that a difference of neighbours must have to count as an edge
TOLD = 0.004  # share of the pixels that must be edges
UNSURE, UNKNOWN = 0.5, 0.3  # likeness of the kernels of two halves, below which it is doubted, and refused
THIN, ROUND = 0.35, 0.75  # deviation across over deviation along, of kernels that may have a name
BLURRED = 20.0  # gain of ln p over no blur, below which none is seen: sharp pictures win up to 7, kernels that were found 40 and more
DOUBTED = 40.0  # and below which a kernel is doubted
SMALL, UNSURE_SMALL = 160, 0.7  # pixels a side, below which halves tell so little that they must be more alike
SEEN = 24.0  # gain of ln p of a blur with a name, below which none is seen at all
ROUGH = 6.0  # that is still gained when the best of a few with a name is refined
TOO_STEEP = 1.0  # of the steepest that a kernel allows: a picture above is sharp; edges of full contrast along a motion reach 0.9
# Pixels, deviation of a kernel of any form below which it may be how photographs differ among themselves: of sharp ones 0.6 to 1.2, of a motion of
# 7 pixels 1.4, of the smallest shake of Levin et al. 1.8.
NARROW = 1.25
# ln p by which a kernel must be likelier in light than another in the values of the file, to be right whatever pictures say of the two. On 16 pictures
# of photos256-train, blurred in light and in values, the true kernel was likelier where it was made, but for one that hardly tells; of eight
# searches of blurred values one was likelier in light, by 6.
SURELY_LIGHT = 20.0
NAMED = 8.0  # gain of ln p of a blur with a name over one of any form, from which on it is taken


@dataclass(frozen=True, eq=False)
class BlindKernel:
    """A kernel that was found in a picture."""

    found: FoundKernel
    estimate: Estimate | None = None  # the blur with a name that is likelier; None where there is none
    none: bool = False  # no blur was seen: the picture is sharp, or does not tell
    small: bool = False  # the picture is less than SMALL pixels wide or high
    light_tells_more: bool = (
        False  # it was found in the values of a file, and explains them less well than another does their light
    )
    values_fit: bool = False  # it was found in light, and pictures explain the values of the file better by it

    @property
    def kernel(self) -> Array:
        """Return the kernel (h, w) of sum 1."""
        return self.found.kernel if self.estimate is None else self.estimate.kernel

    @property
    def text(self) -> str:
        """Return what it is, for a person."""
        if self.estimate is not None:
            return self.estimate.text
        side = 2 * reach_of(self.kernel) + 1
        return (
            f"a form of its own, within {side}x{side} pixels; two halves of the picture, each by itself, tell it alike to "
            f"{self.found.alike:.2f} (1: the same), and what it may be off counts as noise"
        )

    @property
    def sure(self) -> bool:
        """Return True where both halves of the picture tell alike kernels, which explain it better than no blur."""
        return not (self.none or self._differ or self._weak or self.light_tells_more or self.values_fit)

    @property
    def _differ(self) -> bool:
        return self.found.alike < (UNSURE_SMALL if self.small else UNSURE)

    @property
    def _weak(self) -> bool:
        return self.estimate is None and self.found.gain < DOUBTED

    @property
    def doubted_twice(self) -> bool:
        """Return True where neither the halves nor the whole say much for it, as of sharp stripes.

        In all rows of `benchmarks/restoration/blind.py`, whose pictures are blurred, one of them does.
        """
        return self._differ and self._weak

    @property
    def doubt(self) -> str | None:
        """Return what is to be said after all else where the picture hardly tells its kernel."""
        if self.sure:
            return None
        if self.none:
            return (
                "no kernel was found that explains the picture better than none: it is sharp, or its blur cannot be told; "
                "give the kernel where you know it, `kernel=k.png`"
            )
        differ = f"the two halves of the picture tell different ones (likeness {self.found.alike:.2f})"
        weak = f"it explains the picture little better than no blur (by {self.found.gain:.0f} in ln p)"
        light = "the light of the picture tells another, and better; `transfer=srgb` takes that"
        values = (
            "by it pictures explain the values of the file better than its light, whose spectrum tells it all the same"
        )
        why = differ if self._differ else weak if self._weak else values if self.values_fit else light
        return (
            f"the kernel is doubtful, and the result may be worse than the input: {why}; look at OUT_kernel.png, and give the kernel "
            "where you know it, `kernel=k.png`"
        )

    @property
    def misfit(self) -> float:
        """Return what the error of the kernel does to the measurement, as a deviation of white noise; 0 of a blur with a name."""
        return 0.0 if self.estimate is not None else self.found.misfit

    def record(self) -> dict[str, Any]:
        """Return plain numbers, for a file."""
        return {"text": self.text, "sure": self.sure, "named": self.estimate is not None, **self.found.record()}


def light_tells_it(light: BlindKernel, values: BlindKernel) -> bool:
    """Return True where the kernel that was found in the light of a file is to be taken, though pictures explain its values
    better than its light by that kernel.

    light, values: what was found in either. A kernel that is nearly right may say that values were blurred; if that were so, they would show
    one too, and it would explain them about as well.
    """
    if values.none:
        return light.sure
    return not light.none and light.found.gain > values.found.gain + SURELY_LIGHT


def with_misfit(law: Gaussian, misfit: float) -> Gaussian:
    """Return Gaussian noise with what a wrong kernel does to the measurement added, a deviation on [0, 1]."""
    if isinstance(law.sigma, torch.Tensor):
        return Gaussian((law.sigma.square() + misfit**2).sqrt())
    return Gaussian(round(math.hypot(float(law.sigma), misfit), 5))


def recorded_misfit(kernel: Path) -> tuple[str, float] | None:
    """Return (the name of the record, what the error of a kernel does to a measurement) of a kernel that a run found; None of another.

    It is that of the picture where the kernel was found; of another picture it holds about.
    """
    record = record_beside(kernel, None)
    about: Any = None if record is None else record[1].get("kernel")
    found: Any = about.get("estimate") if isinstance(about, dict) else None
    misfit: Any = found.get("misfit") if isinstance(found, dict) and not found.get("named", False) else None
    if record is None or isinstance(misfit, bool) or not isinstance(misfit, int | float) or not 0 < misfit < 1:
        return None
    return record[0], float(misfit)


def blind_kernel(read: Observation, sigma_y: float, search: AnyKernel | None = None) -> BlindKernel:
    """Find the kernel of a picture, of any form or of a blur with a name.

    sigma_y: its noise, a low value where it varies. Raises `BadInput` where the picture does not tell: too small, without
    edges above the noise, or two halves that contradict each other.
    """
    y, name = read.picture.pixels.astype(np.float64), read.input.label
    if min(y.shape[1:]) < SMALLEST:
        size = "x".join(map(str, y.shape[1:]))
        raise _unknown(f"{name} is {size} pixels, of which nobody can say; at least {SMALLEST}x{SMALLEST} are needed")
    white = np.asarray(read.clipped[1].any(0), bool)
    seen = ~white if read.empty is None else ~(white | read.empty)
    y = np.where(np.isfinite(y), y, 0.5)
    if (share := _edges(y, seen, sigma_y)) < TOLD:
        raise _unknown(f"{name} shows too few edges above its noise ({share:.2%} of its pixels)")
    found = (search or AnyKernel())(y, sigma_y, seen)
    simple = found.alike < UNSURE or _simple(found.kernel)
    named = _named(y, sigma_y, found) if simple and seen.all() else None
    if named is None and read.empty is None and found.gain < BLURRED:
        plain = Families(turns=18, rough=128, finalists=6)(
            y, sigma_y
        )  # the search failed: of few parameters more may be seen
        named = plain if plain.gain >= SEEN else None
    if named is None and found.alike < UNKNOWN and found.gain < BLURRED:
        raise _unknown(f"two halves of {name} tell kernels that have nothing in common (likeness {found.alike:.2f})")
    steep = steepness(y, found.kernel, sigma_y, seen) > TOO_STEEP
    narrow = deviation(found.kernel) < NARROW
    own = BlindKernel(found, named, small=min(y.shape[1:]) < SMALL)
    if named is None and (found.gain < BLURRED or steep or narrow or own.doubted_twice):
        return BlindKernel(
            found, Estimate(np.ones((1, 1)), f"none, no blur is seen in {read.input.name}", 0.0), none=True
        )
    return own


@dataclass(frozen=True, eq=False)
class _Like(Families):
    """Blurs with a name that are about as long and wide as a kernel, and lie about as it does."""

    kernel: Array = field(default_factory=lambda: np.ones((1, 1)))

    def candidates(self, side: int) -> Iterator[tuple[str, Array]]:
        (x, y), ratio = Frame(np.pad(self.kernel, 1)).axis
        wide = max(deviation(self.kernel), 0.5)  # along each axis, on the mean
        along = wide * math.sqrt(2 / (1 + ratio**2))
        for share in (0.8, 1.0, 1.2):
            for turn in (-10.0, 0.0, 10.0):
                length, degrees = (
                    min(share * along * math.sqrt(12), side / 3),
                    (math.degrees(math.atan2(-y, x)) + turn) % 180,
                )
                yield f"motion of {length:.3g} pixels at {degrees:.3g} degrees", motion(length, degrees)
            yield f"disc of radius {2 * share * wide:.3g}", disc(min(2 * share * wide, side / 6))
            yield f"Gaussian of deviation {share * wide:.3g}", gaussian(min(share * wide, side / 12))


def _unknown(why: str) -> BadInput:
    return BadInput(f"the blur is not known: {why}; give its kernel, `kernel=k.png`", argument="kernel")


def _edges(y: Array, seen: np.ndarray, sigma_y: float) -> float:
    """Return the share of pixels that differ from one three pixels on by much more than noise does, after a mean of 3x3."""
    grey = scipy.ndimage.uniform_filter(y.mean(0), 3)
    away = np.maximum(np.abs(grey[3:, 3:] - grey[:-3, 3:]), np.abs(grey[3:, 3:] - grey[3:, :-3]))
    noise = max(sigma_y, 0.002) * math.sqrt(2) / 3
    return float(((away > EDGES * noise) & seen[3:, 3:]).mean())


def _simple(kernel: Array) -> bool:
    """Return True where a kernel may be a line, a disc, a Gaussian or no blur: it is thin, round or small."""
    _, ratio = Frame(np.pad(kernel, 1)).axis
    return ratio < THIN or ratio > ROUND or reach_of(kernel) <= 2


def _named(y: Array, sigma_y: float, found: FoundKernel) -> Estimate | None:
    """Return the likeliest straight motion, defocus or Gaussian where the spectrum likes it better by far, and no blur
    where that is as good."""
    spectrum, families = Whittle(y, sigma_y), _Like(kernel=found.kernel)
    own, fitted = spectrum.fit(found.kernel, spectrum.start(), 40)
    roughly = min(spectrum.fit(k, fitted, 8)[0] for _, k in families.candidates(min(spectrum.size)))
    if own - roughly < NAMED - ROUGH:
        return None
    named = families(y, sigma_y)
    other, _ = spectrum.fit(named.kernel, fitted, 40)
    return named if own - other > NAMED and named.gain > 0 else None
