from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import special

from restorekit.cli.main import run
from restorekit.errors import BadInput
from restorekit.inference.likelihood import Gamma, Gaussian
from restorekit.sar.grain import Correlated
from restorekit.sar.looks import measure
from restorekit.sar.speckle import swath


def law(looks: float = 4, domain: str = "intensity", name: str = "iw2") -> Correlated:
    return Correlated.of(Gamma(looks, domain), swath(name))  # type: ignore[arg-type]


def sampled(one: Correlated, mean: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return one.sample(mean, torch.Generator().manual_seed(seed))


def test_the_likelihood_is_gamma_tempered_by_kappa() -> None:
    y, mean = torch.rand(2, 1, 5, 7, dtype=torch.float64) + 0.1, torch.rand(2, 1, 5, 7, dtype=torch.float64) + 0.1
    one = law(3, "log")
    plain, kappa = Gamma(3, "log"), swath("iw2").kappa
    torch.testing.assert_close(one.unit_nll(y, mean), plain.unit_nll(y, mean) / kappa)
    torch.testing.assert_close(one.gradient(y, mean), plain.gradient(y, mean) / kappa)
    torch.testing.assert_close(one.information(mean), plain.information(mean) / kappa)
    torch.testing.assert_close(one.prox(y, mean, 2.0), plain.prox(y, mean, 2.0 * kappa))


@pytest.mark.parametrize("looks", [1, 4.4])
@pytest.mark.parametrize("domain", ["intensity", "amplitude", "log"])
def test_samples_have_the_law_and_the_grain_in_every_domain(domain: str, looks: float) -> None:
    mean = torch.full((1, 2, 300, 300), 0.5, dtype=torch.float64)
    y = sampled(law(looks, domain), mean)
    intensity = {"intensity": lambda v: v, "amplitude": torch.square, "log": torch.exp}[domain](y).numpy()
    scene = {"intensity": 0.5, "amplitude": 0.25, "log": math.exp(0.5)}[domain]
    # Four standard errors of means of 300 x 300 pixels, of which kappa = 3 are as one.
    error = 4 / math.sqrt(looks * 90000 / 3)
    for band in intensity[0]:
        assert band.mean() == pytest.approx(scene, rel=error)
        found = measure(band, np.ones(band.shape, bool))
        assert found.looks == pytest.approx(looks, rel=0.15)
        assert found.kappa == pytest.approx(swath("iw2").kappa, rel=0.15)
    if domain == "log":
        n = float(special.digamma(looks) - math.log(looks))
        assert float(y.mean()) == pytest.approx(0.5 + n, abs=3 * error * math.sqrt(looks))


def test_bands_and_pictures_are_independent_and_the_seed_decides() -> None:
    mean = torch.ones(2, 2, 120, 120, dtype=torch.float64)
    y = sampled(law(1), mean)
    flat = y.reshape(4, -1).numpy()
    off = np.corrcoef(flat) - np.eye(4)
    assert abs(off).max() < 4 / math.sqrt(flat.shape[1] / 3)
    assert torch.equal(y, sampled(law(1), mean))
    assert not torch.equal(y, sampled(law(1), mean, seed=1))
    assert sampled(law(1), mean.float()).dtype == torch.float32


def test_refusals() -> None:
    with pytest.raises(ValueError, match="grain"):
        Correlated(Gaussian(0.1), 0.5, swath("iw1"))
    with pytest.raises(BadInput, match="picture"):
        sampled(law(), torch.ones(1, 30))


# --- from the command line ---


def go(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        run([str(a) for a in arguments])
    return int(stop.value.code or 0)


@pytest.mark.parametrize("noise", ["gamma:1", "gamma:4.4,domain=amplitude", "gamma:4,domain=log"])
def test_degrade_with_a_grain(tmp_path: Path, noise: str) -> None:
    bands = np.full((256, 256, 2), 0.5, np.float32)
    np.save(tmp_path / "x.npy", bands)
    common = (tmp_path / "x.npy", tmp_path / "y.npy", "--op", "denoise", "--noise", noise)
    found = []
    for options in (("--correlated", "iw3"), ("--correlated", "iw3"), ("--correlated", "iw3", "--seed", 1), ()):
        assert go("degrade", *common, *options) == 0
        found.append(np.load(tmp_path / "y.npy").astype(np.float64))
    assert (found[0] == found[1]).all()
    assert (found[0] != found[2]).any()
    intensity = {"e": np.square, "g": np.exp}.get(noise[-1], lambda v: v)
    for y, kappa in ((found[0], swath("iw3").kappa), (found[3], 1.0)):
        for band in np.moveaxis(intensity(y), -1, 0):
            measured = measure(band, np.ones(band.shape, bool))
            assert measured.kappa == pytest.approx(kappa, rel=0.2)
            assert measured.looks == pytest.approx(float(noise.split(":")[1].split(",")[0]), rel=0.15)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--noise", "gaussian:0.1", "--correlated", "iw1"), "give --noise gamma:4"),
        (("--noise", "gamma:4", "--correlated", "ew1"), "known: iw1, iw2, iw3"),
        (("--noise", "gamma:4", "--correlated", "iw1", "--op", "hadamard:size=16x16"), "picture"),
    ],
)
def test_degrade_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], words: str
) -> None:
    np.save(tmp_path / "x.npy", np.full((16, 16), 0.5, np.float32))
    assert go("degrade", tmp_path / "x.npy", tmp_path / "y.npy", "--op", "denoise", *options) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "y.npy").exists()
