"""What is no Sentinel-1 product, or a damaged one, is refused in one line that names the way out."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from restorekit.errors import BadInput
from restorekit.files.bands import Window
from restorekit.products import sentinel1_files
from restorekit.products.sentinel1 import Sentinel1
from tests.support.safe_products import IW1_SLC, SafeBurst, SafeImage, SafeVector, flat_calibration, write_safe

HEIGHT, WIDTH = 12, 16


def image(**settings: object) -> SafeImage:
    made = SafeImage(
        np.full((HEIGHT, WIDTH), 300, np.uint16),
        calibration=flat_calibration(HEIGHT, WIDTH),
        noise=[SafeVector(0, (0, 15), {"noise": (9.0, 9.0)})],
    )
    return replace(made, **settings)  # type: ignore[arg-type]


def bursts() -> SafeImage:
    every = [SafeBurst(k, [0] * 6, [15] * 6) for k in (0, 5)]
    return image(pixels=image().pixels + 1j, swath="IW1", bursts=every, processing=[IW1_SLC])


def only(root: Path, pattern: str) -> Path:
    return next(iter(root.glob(pattern)))


def edited(pattern: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        path = only(root, pattern)
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return edit


def removed(pattern: str) -> Callable[[Path], None]:
    return lambda root: only(root, pattern).unlink()


def cut(pattern: str) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        path = only(root, pattern)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return edit


ANNOTATION, CALIBRATION, NOISE = "annotation/*.xml", "annotation/calibration/cal*", "annotation/calibration/noi*"
DAMAGED = {
    "no manifest": (removed("manifest.safe"), "it has no manifest.safe; give the folder NAME.SAFE"),
    "another mission": (edited("manifest.safe", "SENTINEL-1<", "SENTINEL-2<"), "of SENTINEL-2 GRD; GRD and SLC products"),
    "another product": (edited("manifest.safe", "Type>GRD<", "Type>OCN<"), "of SENTINEL-1 OCN; GRD and SLC products"),
    "no measurement": (removed("measurement/*"), "no measurement of any polarisation in IW .there is none.; get the product"),
    "no annotation": (removed(ANNOTATION), "has no annotation of s1b-iw-grd-vv.*; get the product again"),
    "no calibration": (removed(CALIBRATION), "has no calibration of s1b-iw-grd-vv.*; get the product again"),
    "half a manifest": (cut("manifest.safe"), "manifest.safe is damaged: it is no XML .*; get the product again"),
    "half an annotation": (cut(ANNOTATION), "001.xml is damaged: it is no XML .*; get the product again"),
    "half a calibration": (cut(CALIBRATION), "is damaged: it is no XML .*; get the product again"),
    "half a noise": (cut(NOISE), "is damaged: it is no XML .*; get the product again"),
    "no lines": (edited(ANNOTATION, "numberOfLines", "numberOfRows"), "it has no numberOfLines; get the product again"),
    "0 lines": (edited(ANNOTATION, "Lines>12<", "Lines>0<"), "0 lines of 16 samples.* cannot be; get the product again"),
    "half a line": (edited(ANNOTATION, "Lines>12<", "Lines>12.5<"), "numberOfLines is 12.5 and no whole number"),
    "many lines": (edited(ANNOTATION, "Lines>12<", "Lines>99999999<"), "cannot be; get the product again"),
    "lines in words": (edited(ANNOTATION, "Lines>12<", "Lines>twelve<"), "numberOfLines holds something else than numbers"),
    "two numbers": (edited(ANNOTATION, "Lines>12<", "Lines>12 12<"), "holds 2 numbers in place of one"),
    "not a number": (edited(ANNOTATION, "Angle>3.0", "Angle>nan "), "holds something else|holds numbers that are not finite"),
    "no time": (edited(ANNOTATION, "<productFirstLineUtcTime>2021", "<productFirstLineUtcTime>noon"), "is no time"),
    "no looks": (edited(ANNOTATION, "Looks>5<", "Looks>0<"), "0 looks of 1.41e.07 Hz .* cannot be"),
    "no vectors": (edited(CALIBRATION, "calibrationVector>", "vector>"), "it has no calibrationVector"),
    "a value short": (
        edited(CALIBRATION, "5.000000e+02 5.000000e+02</sigmaNought>", "5.0e+02</sigmaNought>"),
        "vector of line 0 has 1 values of sigmaNought at 2 pixels",
    ),
    "A of 0": (
        edited(CALIBRATION, "5.000000e+02 5.000000e+02</sigmaNought>", "5.0e+02 0</sigmaNought>"),
        "sigmaNought is 0 at line 0, and cannot be below",
    ),
    "negative noise": (edited(NOISE, "9.000000e+00 9", "-9 9"), "noiseRangeLut is -9 at line 0, and cannot be below 0"),
    "types": (
        edited(CALIBRATION, "<calibration>", '<!DOCTYPE a [<!ENTITY b "c">]><calibration>'),
        "declares types or entities, which no Sentinel-1 product does; it is not read",
    ),
    "binary": (lambda root: only(root, NOISE).write_bytes(bytes(range(256))) and None, "is damaged: it is no XML"),
}  # fmt: skip


def check_one_line(error: pytest.ExceptionInfo[BadInput]) -> None:
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_safe(tmp_path_factory.mktemp("whole"), [image()])


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_product_is_refused(whole: Path, tmp_path: Path, what: str) -> None:
    edit, message = DAMAGED[what]
    root = tmp_path / whole.name
    shutil.copytree(whole, root)
    edit(root)
    with pytest.raises(BadInput, match=message) as error:
        Sentinel1(root)
    check_one_line(error)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"quantity": "sigma"}, "unknown quantity 'sigma'; known: sigma0, beta0, gamma0, dn"),
        ({"polarisation": "VX"}, "unknown polarisation 'VX'; known: HH, HV, VH, VV"),
        ({"polarisation": "VH"}, "no measurement of VH in IW .there is VV.; .*or give another `polarisation`"),
        ({"swath": "IW1"}, "holds no swath IW1; it has IW"),
    ],
)
def test_what_is_not_there_is_refused(whole: Path, settings: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput, match=message) as error:
        Sentinel1(whole, **settings)  # type: ignore[arg-type]
    check_one_line(error)


def test_a_polarisation_whose_measurement_was_not_copied_is_left_out(tmp_path: Path) -> None:
    root = write_safe(tmp_path, [image(), image(polarisation="VH")])
    only(root, "measurement/*vh*").unlink()
    assert [b.name for b in Sentinel1(root).bands] == ["VV"]
    with pytest.raises(BadInput, match="no measurement of VH"):
        Sentinel1(root, polarisation="VH")


def test_a_product_of_several_swaths_asks_for_one(tmp_path: Path) -> None:
    root = write_safe(tmp_path, [bursts(), replace(bursts(), swath="IW2")])
    with pytest.raises(BadInput, match="holds the swaths IW1, IW2; give `swath=IW1`"):
        Sentinel1(root)
    only(root, "measurement/*iw1*").unlink()  # and the one that was copied is meant
    assert "IW2 VV" in Sentinel1(root).said[0]
    root = write_safe(tmp_path / "wave", [replace(bursts(), swath="WV1"), replace(bursts(), swath="WV1")])
    with pytest.raises(BadInput, match="several images of WV1, as wave mode does"):
        Sentinel1(root)


def test_polarisations_of_different_size_are_read_one_by_one(tmp_path: Path) -> None:
    small = image(pixels=image().pixels[:9], polarisation="VH", calibration=flat_calibration(9, WIDTH))
    root = write_safe(tmp_path, [image(), small])
    with pytest.raises(BadInput, match="its polarisations differ in size; give `polarisation=VV`"):
        Sentinel1(root)
    assert Sentinel1(root, polarisation="VH").height == 9


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<linesPerBurst>6<", "<linesPerBurst>7<", "2 bursts of 7 lines are not the 12 lines"),
        ('count="6">0 0 0 0 0 0</first', 'count="5">0 0 0 0 0</first', "do not say which of 16 samples"),
        ("15 15 15 15 15 15</last", "15 15 15 15 15 16</last", "do not say which of 16 samples"),
        ("<burst><azimuthTime>2021", "<burst><azimuthTime>2020", "do not follow each other"),
    ],
)
def test_bursts_that_cannot_be_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    root = write_safe(tmp_path, [bursts()])
    if "azimuthTime" in old:  # of the second burst alone
        path = only(root, ANNOTATION)
        head, mark, tail = path.read_text().rpartition(old)
        path.write_text(head + new + tail)
        assert mark
    else:
        edited(ANNOTATION, old, new)(root)
    with pytest.raises(BadInput, match=message) as error:
        Sentinel1(root)
    check_one_line(error)


def test_a_damaged_measurement_is_said_when_it_is_read(whole: Path, tmp_path: Path) -> None:
    root = tmp_path / whole.name
    shutil.copytree(whole, root)
    product = Sentinel1(root)
    tiff = only(root, "measurement/*")
    data = tiff.read_bytes()
    tiff.write_bytes(data[:40])
    with pytest.raises(BadInput, match="no raster that can be read") as error:
        product.read(Window(0, 0, 2, 2), 1)
    check_one_line(error)
    tiff.write_bytes(data)
    with pytest.raises(BadInput, match="lies outside of its 12x16 pixels"):
        product.read(Window(0, 0, 13, 2), 1)
    other = write_safe(tmp_path / "other", [image(lines_said=11)])
    with pytest.raises(BadInput, match="has 12x16 pixels, and its annotation says 11x16; get the product again"):
        Sentinel1(other).read(Window(0, 0, 2, 2), 1)


def test_other_files_and_folders_are_refused(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("no product")
    (tmp_path / "archive.zip").write_text("no archive")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as z:
        z.writestr("a.txt", "a")
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as z:
        z.writestr("A.SAFE/manifest.safe", "a")
        z.writestr("B.SAFE/manifest.safe", "b")
    for path, message in {
        tmp_path / "text.txt": "is no SAFE product: it has no manifest.safe",
        tmp_path: "is no SAFE product: it has no manifest.safe",
        tmp_path / "missing": "no such file or folder",
        tmp_path / "archive.zip": "no zip archive that can be read",
        tmp_path / "empty.zip": "holds no SAFE product with a manifest.safe",
        tmp_path / "two.zip": "holds several SAFE products; give one of /vsizip/.*/A.SAFE, /vsizip/.*/B.SAFE",
        Path(f"/vsizip/{tmp_path}/two.zip/C.SAFE"): "holds no SAFE product",
        Path("/vsizip/missing.zip/C.SAFE"): "no such archive",
    }.items():
        with pytest.raises(BadInput, match=message) as error:
            Sentinel1(path)
        check_one_line(error)


def test_annotations_are_of_a_bounded_size_and_their_encoding_hides_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'
    for data in (text.encode("utf-16"), text.encode("utf-16-le"), text.encode("utf-7"), text.encode()):
        with pytest.raises(BadInput, match=r"it is no XML|declares types"):
            sentinel1_files.parsed(data, "a.xml")
    assert (
        sentinel1_files.parsed(b'\xef\xbb\xbf<?xml version="1.0" encoding="x-none"?><a>1</a>', "a.xml").number(".") == 1
    )
    monkeypatch.setattr(sentinel1_files, "LARGEST", 10)
    with pytest.raises(BadInput, match="which is no annotation"):
        sentinel1_files.parsed(b"<a>12345678</a>", "a.xml")


def test_whatever_happens_to_the_text_the_answer_is_one_line_or_pixels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    root = write_safe(tmp_path, [bursts()])
    texts = {p: p.read_bytes() for p in (*root.glob("annotation/**/*.xml"), root / "manifest.safe")}
    window = Window(0, 0, HEIGHT - 1, WIDTH)
    refused: list[str] = []
    for _ in range(80):
        path = list(texts)[rng.integers(len(texts))]
        data = bytearray(texts[path])
        for at in rng.integers(len(data), size=rng.integers(1, 6)):
            data[at] = b"<>-0123456789e. \xff"[rng.integers(17)]
        path.write_bytes(data)
        try:
            product = Sentinel1(root, noise=False)
            product.read(replace(window, height=min(product.height, 11)), 1)
            assert product.said
            assert product.bands
        except BadInput as error:
            refused.append(str(error))
        path.write_bytes(texts[path])
    assert len(refused) > 15
    assert [line for line in refused if "\n" in line] == []
