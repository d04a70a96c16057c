"""The grain of complex speckle is told by phases: right to 0.02, whatever lies under it."""

from __future__ import annotations

import numpy as np
import pytest

from restorekit.sar.coherence import coherent_grain, phase_coherence
from restorekit.sar.speckle import SpeckleSpectrum

RNG = np.random.default_rng(0)
TRUTH = np.exp(RNG.normal(0, 1, (6, 6))).repeat(40, 0).repeat(40, 1) * np.exp(RNG.normal(0, 0.5, (240, 240)))
WHOLE = np.ones(TRUTH.shape, bool)


@pytest.mark.parametrize("oversampling", [(1.0, 1.0), (1.2, 1.0), (1.14, 1.49), (2.0, 1.6)])
def test_grain_of_textured_scenes_with_a_doppler_centroid(oversampling: tuple[float, float]) -> None:
    across, along = oversampling
    spectrum = SpeckleSpectrum(across, along, 1.0 if oversampling == (1.0, 1.0) else 0.75)
    z = spectrum.field(240, 240, RNG) * np.sqrt(TRUTH)
    z[100, 100] = 1e4  # a target
    z *= np.exp(0.7j * np.arange(240) + 0.3j * np.arange(240)[:, None])
    assert coherent_grain([(z, WHOLE)]) == pytest.approx(spectrum.lag_one, abs=0.02)


def test_phases_of_two_numbers_of_known_correlation() -> None:
    a, b = RNG.normal(size=(2, 200_000)) + 1j * RNG.normal(size=(2, 200_000))
    c = 0.6 * a + 0.8 * b
    assert abs(np.exp(1j * (np.angle(a) - np.angle(c))).mean()) == pytest.approx(
        phase_coherence(np.array(0.6)), abs=5e-3
    )


def test_gaps_and_too_little_tell_nothing() -> None:
    z = SpeckleSpectrum(1.2, 1.2).field(60, 60, RNG)
    assert coherent_grain([(z[:30, :30], WHOLE[:30, :30])]) is None
    gaps = np.ones((60, 60), bool)
    gaps[::10, ::10] = False
    assert coherent_grain([(z, gaps)]) is None
    assert coherent_grain([(np.zeros((60, 60), np.complex64), WHOLE[:60, :60])]) is None
