"""What a file says of its bands goes before any guess, and all bands of a file have one unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

rasterio = pytest.importorskip("rasterio")

from restorekit.despeckling.plan import DespecklePlan, Settings, plan
from restorekit.errors import BadInput
from restorekit.sar.band_names import told_by
from restorekit.sar.logarithms import FLAT, spread_slope
from restorekit.sar.speckle import SWATHS, draw
from restorekit.tasks.judge import SpeckleAssessment
from tests.support.scenes import write_tiff

Array = NDArray[Any]
LOOKS = 4.0


def intensity(looks: float = LOOKS, seed: int = 0) -> Array:
    """Four fields and a bright block under speckle; no picture by which a threshold was chosen."""
    level = np.full((192, 192), 0.05)
    level[:, 96:], level[:96, :96], level[120:140, 20:60] = 0.15, 0.02, 0.6
    return level * draw(level.shape, looks, None, np.random.default_rng(seed))


def decibels(x: Array) -> Array:
    return 10 * np.log10(x)


def written(
    path: Path, *bands: Array, names: Any = None, units: Any = None, tags: Any = None, gain: Any = None
) -> Path:
    write_tiff(path, np.stack(bands))
    with rasterio.open(path, "r+") as d:
        if names:
            d.descriptions = names
        if units:
            d.units = units
        if gain:
            d.scales, d.offsets = ([v] * d.count for v in gain)
        for band, those in (tags or {}).items():
            d.update_tags(band, **those) if band else d.update_tags(**those)
    return path


def made(path: Path, **settings: Any) -> DespecklePlan:
    return plan(path, path.with_name("out.tif"), Settings(solver="lee", **settings))


def units(result: DespecklePlan) -> list[str]:
    return [band.domain.name for band, _ in result.bands.values()]


def right(result: DespecklePlan, looks: float = LOOKS) -> bool:
    return all(facts.looks == pytest.approx(looks, rel=0.25) for _, facts in result.bands.values())


x = intensity()
amplitude, power, db = np.sqrt(x).astype(np.float32), x.astype(np.float32), decibels(x).astype(np.float32)


@pytest.mark.parametrize(
    ("pixels", "how", "unit"),
    [
        (amplitude, {"names": ("Amplitude_VV",)}, "amplitude"),
        (amplitude, {"units": ("amplitude",)}, "amplitude"),
        (amplitude, {"tags": {1: {"quantity": "amplitude"}}}, "amplitude"),
        (amplitude, {"tags": {0: {"SAR_VALUES": "Amplitude"}}}, "amplitude"),
        (power, {"names": ("Intensity_VH",)}, "intensity"),
        (power, {"names": ("Sigma0_VV",)}, "intensity"),
        (np.rint(1e6 * x).astype(np.uint32), {"names": ("Intensity_VV",)}, "intensity"),
        (db, {"names": ("Sigma0_VV_db",)}, "db"),
        (db, {"names": ("Sigma0_VV",)}, "db"),  # by its values, as SNAP would have said _db
        (db + 60, {"names": ("Amplitude_VV_db",)}, "db"),
        (db + 60, {"units": ("dB",)}, "db"),
        (db + 60, {"tags": {0: {"unit": "decibels"}}}, "db"),
        (np.rint(100 * db).astype(np.int16), {"gain": (0.01, 0.0)}, "db"),
        (np.rint(100 * (db + 60)).astype(np.int16), {"gain": (0.01, 0.0), "units": ("dB",)}, "db"),
        (np.rint(100 * (db + 60)).astype(np.uint16), {"gain": (0.01, -60.0)}, "db"),
        (np.rint(5 * (db + 40)).clip(0, 255).astype(np.uint8), {"gain": (0.2, -40.0)}, "db"),
        (np.rint(1000 * amplitude).astype(np.uint16), {}, "amplitude"),
        (np.rint(1000 * amplitude).astype(np.uint16), {"names": ("Sigma0_VV",)}, "amplitude"),
    ],
)
def test_a_band_is_what_the_file_says(pixels: Array, how: dict[str, Any], unit: str, tmp_path: Path) -> None:
    result = made(written(tmp_path / "in.tif", pixels, **how))
    assert units(result) == [unit]
    assert right(result)


def test_the_name_of_the_file_says_it_where_nothing_else_does(tmp_path: Path) -> None:
    result = made(written(tmp_path / "scene_dB.tif", db + 60))
    assert units(result) == ["db"]
    assert right(result)
    assert "domain: db, by the name of the file" in result.said[0]
    assert units(made(written(tmp_path / "scene_db.tif", amplitude, names=("Amplitude_VV",)))) == ["amplitude"]


def test_what_is_asked_goes_before_what_is_said_and_that_is_told(tmp_path: Path) -> None:
    result = made(written(tmp_path / "in.tif", power, names=("Amplitude_VV",)), domain="intensity")
    assert units(result) == ["intensity"]
    assert "taken for intensity, as `domain` says, though it is amplitude by its name 'Amplitude_VV'" in result.said[0]


def test_two_words_that_contradict_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"band 1 is amplitude by its unit 'amplitude', and intensity by its name 'Intensity_VV'"
    ):
        made(written(tmp_path / "in.tif", power, names=("Intensity_VV",), units=("amplitude",)))


@pytest.mark.parametrize(
    ("name", "what"),
    [("VV-VH", "ratio"), ("Sigma0_VV_db-Sigma0_VH_db", "ratio"), ("VV/VH", "ratio"), ("angle", "angle"), ("localIncidenceAngle", "angle"),
     ("coh_VV", "coherence")],
)  # fmt: skip
def test_what_is_no_brightness_is_refused_with_the_way_out(name: str, what: str, tmp_path: Path) -> None:
    third = (db - decibels(intensity(seed=1))).astype(np.float32)
    path = written(tmp_path / "in.tif", db, db - 6, third, names=("VV", "VH", name))
    with pytest.raises(BadInput, match=rf"band 3 is an? ?{what}|band 3 is {what}") as refused:
        made(path)
    assert "leave it out by `bands=1,2`" in str(refused.value)
    assert units(made(path, bands=(1, 2))) == ["db", "db"]
    assert not (tmp_path / "out.tif").exists()


def test_bands_that_look_as_if_of_different_units_are_refused(tmp_path: Path) -> None:
    ratio = np.abs(decibels(intensity(seed=2)) - decibels(intensity(seed=3))).astype(np.float32)
    with pytest.raises(BadInput, match=r"band 1 db .*band 2 intensity.*give `domain` for all, or `bands`"):
        made(written(tmp_path / "in.tif", db, ratio))


def test_a_band_of_which_nothing_is_said_has_the_unit_of_the_others(tmp_path: Path) -> None:
    result = made(written(tmp_path / "in.tif", amplitude, 0.7 * amplitude, names=("Amplitude_VV", None)))
    assert units(result) == ["amplitude", "amplitude"]
    assert right(result)


def test_metrics_leave_out_what_is_no_brightness(tmp_path: Path) -> None:
    path = written(tmp_path / "in.tif", power, np.full_like(power, 38), names=("VV", "incidence angle"))
    judged = SpeckleAssessment()(path, path)
    assert [name for name, _ in judged.bands] == ["VV"]
    assert any("band 2 is an angle" in note for note in judged.notes)


# Stretched decibels.
@pytest.mark.parametrize(("dtype", "white"), [("uint8", 255), ("uint16", 65535), ("float32", 1.0)])
def test_stretched_decibels_come_back_as_they_went_in(dtype: str, white: float, tmp_path: Path) -> None:
    scaled = ((db + 35) / 40).clip(0, 1) * white
    pixels = scaled.astype(dtype) if dtype == "float32" else np.rint(scaled).astype(dtype)
    path = written(tmp_path / "in.tif", pixels)
    result = made(path, domain="db:-35,5", keep_dtype=True)
    assert right(result)
    (out,) = result.run()
    with rasterio.open(out) as d:
        assert d.dtypes[0] == dtype
        restored = d.read(1) / white * 40 - 35
    assert restored[:80, :80].mean() == pytest.approx(decibels(np.array(0.02)), abs=0.3)
    assert restored[:80, 110:].mean() == pytest.approx(decibels(np.array(0.15)), abs=0.3)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("looks", [1.0, 4.4])
def test_stretched_decibels_are_not_taken_for_amplitudes(dtype: str, looks: float, tmp_path: Path) -> None:
    white = np.iinfo(dtype).max
    pixels = np.rint(((decibels(intensity(looks)) + 35) / 40).clip(0, 1) * white).astype(dtype)
    with pytest.raises(
        BadInput,
        match=rf"spread alike at every level, as logarithms.*0..{white}, give the levels of both as `domain=db:-25,0`",
    ):
        made(written(tmp_path / "in.tif", pixels))


@pytest.mark.parametrize("how", [{"names": ("Sigma0_VV_db",)}, {"units": ("dB",)}, {}])
def test_bytes_that_are_decibels_need_their_range(how: dict[str, Any], tmp_path: Path) -> None:
    pixels = np.rint(((db + 35) / 40).clip(0, 1) * 255).astype(np.uint8)
    domain = {} if how else {"domain": "db"}
    with pytest.raises(BadInput, match=r"band 1 is in dB.*which dB 0 and 255 stand for, as `domain=db:-25,0`"):
        made(written(tmp_path / "in.tif", pixels, **how), **domain)


@pytest.mark.parametrize("domain", ["db:", "db:0", "db:0,-25", "db:a,b", "db:-25,nan", "decibel"])
def test_a_range_that_is_none_is_refused(domain: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"`domain=db:-25,0`|unknown domain"):
        made(written(tmp_path / "in.tif", power), domain=domain)


@pytest.mark.parametrize("picture", ["page", "clock", "coffee"])
@pytest.mark.parametrize("looks", [1.0, 16.0])
@pytest.mark.parametrize("swath", [None, "iw3"])
def test_the_spread_tells_logarithms_from_amplitudes(picture: str, looks: float, swath: str | None) -> None:
    """On pictures by which the limit was not chosen (that was on camera, moon, brick and coins)."""
    g = getattr(skimage.data, picture)()
    g = (g if g.ndim == 2 else g.mean(2))[:300, :300] / 255
    y = (0.02 + 0.5 * g**2) * draw(g.shape, looks, SWATHS[swath] if swath else None, np.random.default_rng(0))
    there = np.ones(y.shape, np.bool_)
    for values in (y, np.sqrt(y), np.rint(1000 * np.sqrt(y))):
        assert (slope := spread_slope([(values, there)])) is None or slope > 0.6
    stretched = np.rint(((decibels(y) + 40) / 50).clip(0, 1) * 255)
    assert (slope := spread_slope([(stretched, there)])) is None or slope < FLAT


def test_names_are_read_by_words() -> None:
    assert told_by("Gamma0_VV_use_projected_local_incidence_angle_db", "").domain == "db"  # type: ignore[union-attr]
    assert told_by("VV", "") is None
    assert told_by("amplitude and intensity", "") is None


# Two bands that are one.
def test_parts_in_two_of_three_bands(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    z = (rng.normal(size=(128, 128)) + 1j * rng.normal(size=(128, 128))).astype(np.complex64)
    z[:, 64:] *= 3
    third = np.abs(z) ** 2
    path = written(tmp_path / "in.tif", z.real, third, z.imag)
    with pytest.raises(BadInput, match=r"band 1 is the real part .*`domain=real,imaginary` with `bands=1,3`"):
        made(path)
    result = made(path, domain="real,imaginary", bands=(1, 3))
    assert units(result) == ["complex"]
    assert right(result, 1.0)
    (out,) = result.run()
    with rasterio.open(out) as d:
        assert (d.count, d.crs.to_epsg()) == (1, 32631)
        assert d.read(1)[:, 80:].mean() == pytest.approx(18, rel=0.1)
    with pytest.raises(BadInput, match=r"is of two bands, and it has 3; say which by `bands`"):
        made(path, domain="real,imaginary")
    with pytest.raises(BadInput, match=r"`bands=4`"):
        made(path, domain="real,imaginary", bands=(1, 4))


@pytest.mark.parametrize("kind", ["radians", "degrees", "bytes"])
def test_amplitude_and_phase_are_one_complex_band(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    z = (rng.normal(size=(96, 96)) + 1j * rng.normal(size=(96, 96))).astype(np.complex64)
    a, p = np.abs(z), np.angle(z)
    bands = {
        "radians": (a, p), "degrees": (a, np.degrees(p)),
        "bytes": ((40 * a).clip(0, 255).astype(np.uint8), np.round(p / (2 * np.pi) * 256).astype(int).astype(np.uint8)),
    }[kind]  # fmt: skip
    result = made(written(tmp_path / "in.tif", *bands), domain="amplitude,phase")
    with result.scene.opened() as source:
        found, valid = source.read(result.scene.whole, 1)
    assert valid.all()
    expected = 40 * z if kind == "bytes" else z
    assert np.abs(found - expected).max() < (5 if kind == "bytes" else 1e-5)


def test_workers_open_a_pair_themselves(tmp_path: Path) -> None:
    import pickle

    z = np.random.default_rng(2).normal(size=(2, 96, 96)).astype(np.float32)
    result = made(written(tmp_path / "in.tif", *z), domain="real,imaginary")
    job = pickle.loads(pickle.dumps(result.job))
    with job.opened() as source:
        np.testing.assert_array_equal(source.read(result.scene.whole, 1)[0], (z[0] + 1j * z[1]).astype(np.complex64))


def test_zeros_of_one_part_are_measured_where_the_value_of_no_data_is_0(tmp_path: Path) -> None:
    z = np.rint(3 * np.random.default_rng(3).normal(size=(2, 96, 96))).astype(np.int16)
    z[:, :10] = 0
    path = write_tiff(tmp_path / "in.tif", z, nodata=0)
    result = made(path, domain="real,imaginary", looks=1.0, decorrelate="none")
    with result.scene.opened() as source:
        np.testing.assert_array_equal(source.read(result.scene.whole, 1)[1], (z != 0).any(0))


def test_an_array_of_two_parts(tmp_path: Path) -> None:
    import restorekit

    z = np.random.default_rng(4).normal(size=(96, 96, 2)).astype(np.float32)
    result = restorekit.despeckle(z, solver="lee", domain="real,imaginary")
    assert result.mean.shape == (1, 96, 96)
    assert float(result.mean.mean()) == pytest.approx(2, rel=0.1)
    three = np.stack([z[..., 0], np.full((96, 96), 7, np.float32), z[..., 1]], -1)
    again = restorekit.despeckle(three, solver="lee", domain="real,imaginary", bands=(1, 3))
    np.testing.assert_array_equal(again.mean.numpy(), result.mean.numpy())
