"""Polarisations of one date show one scene: their logarithms have edges in common, and speckle that is independent.

Under white noise of one variance in every band any rotation of the bands leaves that noise as it is, and the principal components
of what lies under it are those that have most of their contrast in the fewest bands (Green, Berman, Switzer, Craig, IEEE TGRS 26,
1988: noise fractions). The logarithm of speckle of L looks has the variance trigamma(L) in each polarisation, and speckle of a
like- and a cross-polarised band is independent (Nghiem, Yueh, Kwok, Li, Radio Science 27, 1992: where the scatterers have a
plane of symmetry).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from restorekit.errors import BadInput
from restorekit.sar.looks import Array, Mask, flattest, windows

POLARISATION = re.compile(r"(?<![a-z])(vv|vh|hv|hh)(?:\1)?(?![a-z])")  # VV and, of a covariance, VVVV
LIKE, CROSS = {"vv", "hh"}, {"vh", "hv"}
SHARED = 0.1  # correlation of intensities, which is the squared coherence, from which on speckle is not taken for independent
FARTHEST = 5  # lag of the differences by which it is measured, pixels, at most
STRONGEST = 2.0  # times as much contrast as it has, for the prior, of a component that has little
LEAST = 1e-3  # variance of a component, below which it is that of none


def polarisation_of(name: str) -> str | None:
    """Return the polarisation that a name of a band says, in small letters, None where it says none or two.

    >>> polarisation_of("Sigma0_VH_db"), polarisation_of("VV-VH")
    ('vh', None)
    """
    found = {match[1] for match in POLARISATION.finditer(re.sub(r"[_/.\d]", " ", name.lower()))}
    return found.pop() if len(found) == 1 else None


def one_of_each(polarisations: Sequence[str | None]) -> bool:
    """Return True for two bands of which one is like-polarised and one cross-polarised: their speckle is independent."""
    return len(polarisations) == 2 and {p in LIKE for p in polarisations if p in LIKE | CROSS} == {True, False}


def speckle_correlation(one: Array, other: Array, valid: Mask, reach: int) -> tuple[float, float]:
    """Return the correlation of the speckle of two intensities (h, w) and its standard error, (0, 0) where no window tells it.

    It is that of second differences of pixels `reach` apart, from which on speckle is independent, so that texture, which is smoother, counts
    for little; the median over the flattest windows. Of circular Gaussian numbers it is the squared coherence.
    """
    both = one * other
    try:
        where = flattest(both, windows(both, valid))
    except BadInput:
        return 0.0, 0.0
    lag = min(max(reach, 1), FARTHEST)
    found = []
    for a, b in zip(where.of(one), where.of(other), strict=True):
        bends = [np.concatenate([_bend(x, lag).ravel(), _bend(x.T, lag).ravel()]) for x in (a, b)]
        size = float(np.sqrt((bends[0] ** 2).mean() * (bends[1] ** 2).mean()))
        if size > 0:
            found.append(float((bends[0] * bends[1]).mean()) / size)
    if not found:
        return 0.0, 0.0
    return float(np.median(found)), 1.25 * float(np.std(found)) / len(found) ** 0.5  # a median errs by a quarter more


def _bend(x: Array, lag: int) -> Array:
    return x[2 * lag :] - 2 * x[lag:-lag] + x[: -2 * lag]


@dataclass(frozen=True)
class Components:
    """Principal components of the logarithms of C bands.

    axes: C rows of C numbers, orthonormal. gains: what each component is multiplied by for a prior, so that it has the contrast of
    the band that has most.
    """

    axes: tuple[tuple[float, ...], ...]
    gains: tuple[float, ...]


def components_of(parts: Sequence[tuple[Array, Mask]], looks: float) -> Components:
    """Return the components of intensities, each part (C, h, w) with where all of them count (h, w), under speckle of so many looks."""
    logs = np.concatenate([np.log(np.maximum(y[:, there], 1e-30)) for y, there in parts], axis=1)
    count = len(logs)
    covariance = np.cov(logs) - float(scipy.special.polygamma(1, looks)) * np.eye(count)
    variances, axes = np.linalg.eigh(covariance)
    order = np.argsort(-variances, kind="stable")
    axes = axes[:, order].T
    axes = axes * np.where(axes.sum(1, keepdims=True) < 0, -1, 1)  # bright where the bands are
    most = max(float(np.diag(covariance).max()), LEAST)
    gains = np.minimum(np.sqrt(most / np.maximum(variances[order], LEAST)), STRONGEST)
    return Components(tuple(tuple(float(a) for a in row) for row in axes), tuple(float(g) for g in gains))
