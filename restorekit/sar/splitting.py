"""A measured scene is split into two whose speckle is independent, so that what is made of one can be judged by the other.

Speckled intensities y of shape L are split into y B and y (1 - B), B ~ Beta(L / 2, L / 2): these are independent gamma variables of
shape L / 2 (Lukacs, Annals of Mathematical Statistics 1955), twice which have the mean of y. Where neighbours of y are alike, with
the correlation rho, those of B have to be too: the halves of two pixels are uncorrelated where

    E[y_p y_q] (1/4 - c) = 1/4 E[y_p] E[y_q],    c = cov(B_p, B_q) = rho / (4 (L + rho)),

and each half then has the correlation rho of y. B is drawn as a Gaussian field that is led through the quantiles of its law. That comes
short where looks are few and the grain is coarse, as no such field has quantiles so correlated at all lags: at 1 look and a grain of
(0.65, 0.59) a half has a correlation of 0.034 with the next row of the other, and its own is 0.032 too low; at 4.4 looks both are 0.007 or less
(fields of 768 x 768, standard error 0.002). Halves of the same pixel are uncorrelated in all cases.
"""

from __future__ import annotations

import numpy as np
import scipy

from restorekit.errors import BadInput
from restorekit.sar.looks import Array
from restorekit.sar.speckle import SpeckleSpectrum, correlated_normal


def split(y: Array, looks: float, spectrum: SpeckleSpectrum | None, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return two scenes (H, W) of `looks` / 2 looks each, with the mean and the grain of y and independent speckle.

    looks: of y, intensities. spectrum: of its grain, None for independent pixels. What is no speckle of these looks, as noise, is in
    both. Raises BadInput for looks that cannot be.
    """
    if not 0 < looks < np.inf:
        raise BadInput(f"looks={looks:g} must be above 0")
    law = scipy.stats.beta(looks / 2, looks / 2)
    if spectrum is None:
        share = rng.beta(looks / 2, looks / 2, y.shape)
    else:
        height, width = y.shape
        rho = spectrum.correlation(height, width)
        normal = correlated_normal(rho * (looks + 1) / (looks + rho), law, (height, width), rng)
        share = law.ppf(scipy.special.ndtr(normal))
    return 2 * y * share, 2 * y * (1 - share)
