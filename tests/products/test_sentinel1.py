"""A Sentinel-1 GRD is read as power over A^2, from wherever it lies, and its place, looks and grain come from its annotation."""

from __future__ import annotations

import math
import pickle
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio  # noqa: TID253

from restorekit.files.bands import Window
from restorekit.products.product import Product
from restorekit.products.sentinel1 import Sentinel1
from restorekit.products.sentinel1_annotation import LookProcessing
from restorekit.products.sentinel1_grain import correlation, independent_looks
from tests.support.safe_products import (
    CALIBRATED,
    IW1,
    IW2,
    SafeImage,
    SafeVector,
    calibration_xml,
    flat_calibration,
    noise_xml,
    write_safe,
)

HEIGHT, WIDTH = 31, 41
WHOLE = Window(0, 0, HEIGHT, WIDTH)
LEVELS = {"sigmaNought": 1.0, "betaNought": 2.0, "gamma": 3.0, "dn": 4.0}
# A of sigma0 at the corners of the image; the other quantities are multiples of it.
CORNERS = {0: (100.0, 200.0), 30: (300.0, 400.0)}


def vectors() -> list[SafeVector]:
    return [
        SafeVector(line, (0, 40), {name: [k * v for v in values] for name, k in LEVELS.items()})
        for line, values in CORNERS.items()
    ]


def pixels() -> np.ndarray:
    x = np.random.default_rng(0).integers(1, 2000, (HEIGHT, WIDTH)).astype(np.uint16)
    x[:, :3] = 0
    return x


def grd(**settings: object) -> SafeImage:
    image = SafeImage(
        pixels(),
        calibration=vectors(),
        noise=[SafeVector(0, (0, 40), {"noise": (0.0, 0.0)})],
        merged=[("IW1", 0, 13), ("IW2", 14, 27), ("IW3", 28, 40)],
    )
    return replace(image, **settings)  # type: ignore[arg-type]


def amplitude(quantity: str = "sigmaNought") -> np.ndarray:
    """A of every pixel, from the corners."""
    row, column = np.arange(HEIGHT)[:, None] / 30, np.arange(WIDTH) / 40
    return LEVELS[quantity] * (100 + 200 * row + 100 * column)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    vh = grd(pixels=pixels()[::-1].copy(), polarisation="VH")
    return write_safe(tmp_path_factory.mktemp("grd"), [vh, grd()])


def test_power_is_that_of_the_product_specification(product: Path) -> None:
    opened: Product = Sentinel1(product)  # it keeps the protocol, which pyright checks
    assert (opened.count, opened.height, opened.width, opened.dtype) == (2, HEIGHT, WIDTH, "float32")
    assert [b.name for b in opened.bands] == ["VV", "VH"]  # although VH comes first in the product
    assert {b.domain for b in opened.bands} == {"intensity"}
    assert {b.unit for b in opened.bands} == {"sigma0"}
    values, valid = opened.read(WHOLE, 1)
    assert values.dtype == np.float32
    # By hand: halfway down and across A is the mean of its corners, 250.
    assert values[15, 20] == pytest.approx(float(pixels()[15, 20]) ** 2 / 250.0**2, rel=1e-6)
    np.testing.assert_allclose(values, pixels().astype(float) ** 2 / amplitude() ** 2, rtol=2e-7)
    np.testing.assert_array_equal(valid, pixels() > 0)
    np.testing.assert_array_equal(opened.read(WHOLE, 2)[1], pixels()[::-1] > 0)


@pytest.mark.parametrize(
    ("quantity", "name"), [("sigma0", "sigmaNought"), ("beta0", "betaNought"), ("gamma0", "gamma"), ("dn", "dn")]
)
def test_each_quantity_has_its_table(product: Path, quantity: str, name: str) -> None:
    opened = Sentinel1(product, polarisation="vv", quantity=quantity)
    assert (opened.count, opened.bands[0].unit) == (1, "digital numbers" if quantity == "dn" else quantity)
    values, _ = opened.read(WHOLE, 1)
    np.testing.assert_allclose(values, pixels().astype(float) ** 2 / amplitude(name) ** 2, rtol=2e-7)


def test_the_largest_digital_number_does_not_overflow(tmp_path: Path) -> None:
    white = np.full((HEIGHT, WIDTH), 65535, np.uint16)
    root = write_safe(tmp_path, [grd(pixels=white, calibration=flat_calibration(HEIGHT, WIDTH, 65535.0))])
    np.testing.assert_array_equal(Sentinel1(root).read(WHOLE, 1)[0], 1)


def test_vectors_may_come_in_any_order_and_reach_beyond_the_image_or_end_within(tmp_path: Path) -> None:
    """A is 100 + line: from vectors before the image, in it, and none behind line 20, where the last one holds."""
    made = [SafeVector(k, (0, 25, 40), dict.fromkeys(CALIBRATED, [100.0 + k] * 3)) for k in (-10, 7, 20)]
    expected = np.square(pixels().astype(float) / (100 + np.minimum(np.arange(HEIGHT), 20))[:, None])
    for order in (made, made[::-1], [made[1], made[2], made[0]]):
        root = write_safe(tmp_path, [grd(calibration=order)])
        np.testing.assert_allclose(Sentinel1(root).read(WHOLE, 1)[0], expected, rtol=2e-7)
        shutil.rmtree(root)


def test_it_is_the_same_from_everywhere(product: Path, tmp_path: Path) -> None:
    values = Sentinel1(product).read(WHOLE, 2)[0]
    archive = tmp_path / "product.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as z:
        for path in sorted(product.rglob("*")):
            z.write(path, path.relative_to(product.parent))
    cog = write_safe(tmp_path, [grd(pixels=pixels()[::-1].copy(), polarisation="VH"), grd()], cog=True)
    assert list(cog.glob("measurement/*-cog.tiff"))
    inside = Path(f"/vsizip/{archive}/{product.name}")
    for path in (product / "manifest.safe", archive, inside, inside / "manifest.safe", cog):
        np.testing.assert_array_equal(Sentinel1(path).read(WHOLE, 2)[0], values, str(path))
    assert Sentinel1(archive).files == (archive,)
    files = Sentinel1(product, polarisation="VV").files
    assert [f.is_file() for f in files] == [True] * 5
    assert files[0].parent.name == "measurement"


def test_windows_are_parts_of_the_whole_and_workers_read_the_same(product: Path) -> None:
    opened = Sentinel1(product, quantity="gamma0")
    values, valid = opened.read(WHOLE, 1)
    again = pickle.loads(pickle.dumps(opened))
    assert again == opened
    for window in (Window(0, 0, 1, 1), Window(7, 2, 11, 17), Window(30, 40, 1, 1)):
        part, where = again.read(window, 1)
        np.testing.assert_array_equal(part, values[window.slices])
        np.testing.assert_array_equal(where, valid[window.slices])
    with opened.opened() as reader:
        np.testing.assert_array_equal(reader.read(WHOLE, 2)[0], opened.read(WHOLE, 2)[0])


def test_place_and_digital_numbers_are_those_of_gdal(product: Path) -> None:
    """GDAL has a driver of its own for SAFE, which does not calibrate."""
    opened = Sentinel1(product)
    with rasterio.open(product / "manifest.safe", driver="SAFE") as d:
        points, crs = d.gcps
        name = next(n for n in d.subdatasets if n.endswith("IW_VV:AMPLITUDE"))
    with rasterio.open(name) as d:
        dn = d.read(1)
    np.testing.assert_array_equal(dn, pixels())
    np.testing.assert_allclose(opened.read(WHOLE, 1)[0] * amplitude() ** 2, dn.astype(float) ** 2, rtol=1e-6)
    assert opened.gcps_crs == crs == rasterio.crs.CRS.from_epsg(4326)  # type: ignore[attr-defined]
    assert [(p.row, p.col, p.x, p.y, p.z) for p in opened.gcps] == [(p.row, p.col, p.x, p.y, p.z) for p in points]
    assert len(points) == 9
    assert opened.crs is None
    assert opened.transform is None


@pytest.mark.parametrize("order", [1, -1])
def test_calibration_is_that_of_xarray_sentinel(tmp_path: Path, order: int) -> None:
    """An independent implementation, where it is installed; it knows nothing beyond the vectors."""
    peer = pytest.importorskip("xarray_sentinel")
    xr = pytest.importorskip("xarray")
    root = write_safe(tmp_path, [grd(calibration=vectors()[::order])])
    image = xr.open_dataset(root, engine="sentinel-1", group="IW/VV")
    table = xr.open_dataset(root, engine="sentinel-1", group="IW/VV/calibration")
    dn = image.measurement.swap_dims(azimuth_time="line", ground_range="pixel")
    for quantity, name in (("sigma0", "sigmaNought"), ("beta0", "betaNought"), ("gamma0", "gamma"), ("dn", "dn")):
        theirs = peer.calibrate_intensity(dn, table[name]).values
        ours, valid = Sentinel1(root, quantity=quantity).read(WHOLE, 1)
        assert np.isfinite(theirs).all()
        assert np.abs(10 * np.log10(ours[valid] / theirs[valid])).max() < 0.01


@pytest.mark.parametrize(("kind", "text"), [("calibration", calibration_xml(grd())), ("noise", noise_xml(grd()))])
def test_the_tables_of_these_products_are_valid_by_the_schemas_of_the_specification(kind: str, text: str) -> None:
    peer = pytest.importorskip("xarray_sentinel")
    schema = pytest.importorskip("xmlschema").XMLSchema(
        str(Path(peer.__file__).parent / "resources" / "sentinel1" / f"s1-level-1-{kind}.xsd")
    )
    assert schema.is_valid(text)
    assert not schema.is_valid(text.replace("<line>0</line>", ""))


def test_looks_that_overlap_are_fewer_and_the_published_number_is_taken(product: Path) -> None:
    opened = Sentinel1(product)
    assert opened.bands[0].looks == 4.4
    assert "4.86 independent ones, and 4.4 as published" in opened.said[-1]
    looks = [independent_looks(LookProcessing("Hamming", *p)) for _, p, _ in (IW1, IW2)]
    assert looks == pytest.approx([4.89, 4.86], abs=0.01)
    # Looks that share nothing are independent; two that share half of a flat band have |rho| = 1/2: 4 / (2 + 2 / 4).
    assert independent_looks(LookProcessing("None", 1.0, 10.0, 5, 0.0)) == pytest.approx(5, abs=1e-3)
    assert independent_looks(LookProcessing("None", 1.0, 10.0, 2, 5.0)) == pytest.approx(1.6, abs=1e-3)


def test_other_numbers_of_looks_are_those_of_the_annotation(tmp_path: Path) -> None:
    processing = [("IW1", (0.7, 28.25e6, 2, 0.0), (0.7, 163.5, 2, 0.0))]
    opened = Sentinel1(write_safe(tmp_path, [grd(processing=processing, merged=[])]))
    assert opened.bands[0].looks == pytest.approx(4, abs=1e-3)


def test_grain_follows_from_the_band_and_the_sampling(product: Path, tmp_path: Path) -> None:
    """A Hamming window of 0.7 over 327 Hz, sampled every 1.498 ms: |rho|^2 of neighbours by the integral of its square."""
    row, _ = Sentinel1(product).bands[0].grain or (0, 0)
    u = np.linspace(-0.5, 0.5, 20001)

    def rho(alpha: float, lag: float) -> float:
        power = (alpha + (1 - alpha) * np.cos(2 * np.pi * u)) ** 2
        return float((power * np.cos(2 * np.pi * u * lag)).sum() / power.sum())

    rows = [rho(a, 1.498376640333055e-03 * b) ** 2 for a, b in ((0.70, 327.0), (0.75, 313.0), (0.75, 314.0))]
    assert rows == pytest.approx([0.65, 0.63, 0.63], abs=0.005)
    assert row == pytest.approx(np.average(rows, weights=[14, 14, 13]), abs=1e-3)
    # Across, a swath at one incidence: 10 m on the ground are 10 sin(30 degrees) of line of sight.
    narrow = grd(processing=[IW1], merged=[("IW1", 0, 3)])
    _, column = Sentinel1(write_safe(tmp_path, [narrow])).bands[0].grain or (0, 0)
    lag = 14.1e6 * 2 * 10 * math.sin(math.radians(30)) / 299792458
    assert column == pytest.approx(rho(0.70, lag) ** 2, abs=1e-3)


def test_the_grain_of_an_unknown_window_is_not_guessed(tmp_path: Path) -> None:
    root = write_safe(tmp_path, [grd()])
    path = next(root.glob("annotation/*.xml"))
    path.write_text(path.read_text().replace("<windowType>Hamming", "<windowType>Kaiser", 1))
    assert Sentinel1(root).bands[0].grain is None
    assert correlation(LookProcessing("Hamming", 1.4, 327.0, 1, 0.0), 486.0) is None
