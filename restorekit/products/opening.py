"""Whatever is despeckled is opened here: a product by its own reader, two parts of complex numbers as one band, and all else
as a file of bands."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from restorekit.errors import BadInput
from restorekit.files import scene as files
from restorekit.files.bands import Raster, SeveralDatasets, import_rasterio
from restorekit.files.datasets import archived_folder, members
from restorekit.files.digest import sha256
from restorekit.files.reading import PLAINLY, Reading
from restorekit.files.scene import Scene
from restorekit.products.complex_pair import ComplexPair, pixels_of_parts
from restorekit.products.containers import HDF5, StoredArray, entries, is_container, is_zarr
from restorekit.products.gridded import Gridded, holds_nisar
from restorekit.products.product import Product
from restorekit.products.sentinel1 import POLARISATIONS, Sentinel1
from restorekit.products.sentinel1_files import MANIFEST, ZIP
from restorekit.products.sentinel1_tables import QUANTITIES
from restorekit.products.sicd import Sicd, is_sicd
from restorekit.products.tagged import IceyeComplex, Tagged, factor_of, is_iceye
from restorekit.sar import halves
from restorekit.sar.domain import PARTS

NITF = (b"NITF", b"NSIF")
WORDS = {
    "polarisation": "|".join(POLARISATIONS), "quantity": "|".join(QUANTITIES), "swath": r"(iw|ew|s|wv)\d?", "noise": "noisy",
}  # fmt: skip


def scene_of(path: Path, reading: Reading = PLAINLY) -> Scene:
    """Return the scene in a product, a file, or a dataset that `path` names (`restorekit.files.datasets`).

    Raises BadInput for what is missing, damaged, or no measurement.
    """
    if reading.parts is not None:
        base = scene_of(path, replace(reading, parts=None, pairs=()))
        pair = ComplexPair.of(base, reading.parts, reading.pairs)
        like = None if base.raster is None else pair.raster(base.raster)
        return Scene(path, pair.count, base.height, base.width, "complex64", like, reading, product=pair)
    product = product_at(path, reading)
    if product is not None:
        return scene_of_product(product, reading)
    try:
        scene = files.scene_of(path, reading)
    except SeveralDatasets:
        if not path.is_file() or not is_container(start_of(path)) or not _arrays(path):
            raise
        return scene_of_product(Gridded(path), reading)  # its own words name them, and those that are one measurement
    if (placed := _placed_by_coordinates(scene)) is not None:
        return scene_of_product(placed, reading)
    if reading.product == "dn":
        return scene
    factor = factor_of(scene)
    if reading.product is not None and (factor is None or reading.product != factor.quantity):
        there = (
            "this is none of them"
            if factor is None
            else f"its tags know {factor.quantity}, and dn, the numbers of the file"
        )
        raise BadInput(
            f"{path}: `product={reading.product}` is for products of radar satellites, HDF5 and Zarr, and {there}; leave it out",
            argument="product",
        )
    if factor is None:
        return scene
    tagged = Tagged(scene, factor)
    like = None if scene.raster is None else tagged.raster(scene.raster)
    return replace(scene, dtype=tagged.dtype, raster=like, product=tagged, framed=scene.nodata is None)


def product_at(path: Path, reading: Reading) -> Product | None:
    """Return the product that a file or folder is, None where it is none whose reader is here. Raises BadInput for folders
    that are none, and for words about a product where there is none."""
    words = tuple(dict.fromkeys(w.strip() for w in (reading.product or "").split(",") if w.strip()))
    if _is_safe(path):
        return sentinel1(path, words)
    if path.is_dir():
        if is_zarr(path):
            return Gridded(path, words)
        raise BadInput(
            f"{path} is a folder, and none of a SAFE or of Zarr; give a file, or a folder for the results by `out`"
        )
    if path.is_file():
        start = start_of(path)
        if start.startswith(NITF) and is_sicd(path):
            return Sicd(path, ",".join(words))
        if start.startswith(HDF5):
            known = _arrays(path)
            if is_iceye(known) and not set(words) & set(known):
                return IceyeComplex(path, ",".join(words))
            if words or holds_nisar(known):
                return Gridded(path, words)
        elif words and is_container(start):
            return Gridded(path, words)
    return None


def _placed_by_coordinates(scene: Scene) -> Gridded | None:
    """Return the arrays of HDF5 or netCDF whose coordinates give the place that GDAL, which wants them described, did not find."""
    path, raster = scene.path, scene.raster
    if raster is None or raster.transform or raster.gcps or raster.rpcs or not path.is_file():
        return None
    if not is_container(start_of(path)):
        return None
    gridded = Gridded(path)
    try:
        same = (gridded.count, gridded.height, gridded.width) == (scene.count, scene.height, scene.width)
        return gridded if same and gridded.transform is not None else None
    except BadInput:  # several could be meant, of which GDAL knew one, or their reader is not installed
        return None


def _arrays(path: Path) -> Mapping[str, StoredArray]:
    """Return the arrays of HDF5 or netCDF 3; {} of what cannot be read, which is left to GDAL and its words."""
    try:
        return entries(path)
    except BadInput:
        return {}


def sentinel1(path: Path, words: Sequence[str]) -> Sentinel1:
    """Return a product of Sentinel-1 of which words say what to take: a polarisation, a quantity, a swath, "noisy" for power
    with its noise. Raises BadInput for other words."""
    taken: dict[str, Any] = {}
    for word in words:
        key = next((k for k, pattern in WORDS.items() if re.fullmatch(pattern, word, re.IGNORECASE)), None)
        if key is None or key in taken:
            raise BadInput(
                f"{path}: `product={','.join(words)}` is not understood; give a polarisation (VV), one of {', '.join(QUANTITIES)}, a swath (IW1), "
                "and noisy for power with its thermal noise",
                argument="product",
            )
        taken[key] = False if key == "noise" else word.lower() if key == "quantity" else word.upper()
    try:
        return Sentinel1(path, **taken, noise_later=True)  # speckle is on the sum
    except BadInput as error:  # whose settings are words of one option here
        said = re.sub(r"`(?:polarisation|swath|quantity)=(\w+)`", r"`product=\1`", str(error)).replace(
            "`noise=False`", "`product=noisy`"
        )
        raise BadInput(said, argument=error.argument and "product") from None


def is_product(path: Path) -> bool:
    """Return True for a folder that is one product, a SAFE or Zarr, and for a file that begins as one: HDF5, netCDF, NITF, a SAFE in a zip."""
    if path.is_dir():
        return (path / MANIFEST).is_file() or is_zarr(path)
    if not path.is_file():
        return False
    try:
        start = start_of(path)
        return is_container(start) or start.startswith(NITF) or _is_safe(path)
    except (OSError, BadInput):  # which no other file of its folder is to suffer from
        return False


def _is_safe(path: Path) -> bool:
    """Return True for a SAFE: the folder, its manifest.safe, a zip archive of it, or the folder in one."""
    if str(path).startswith(ZIP) and not path.exists():
        return archived_folder(path) is not None
    if path.is_dir():
        return (path / MANIFEST).is_file()
    if not path.is_file() or path.name == MANIFEST:
        return path.is_file()
    return start_of(path).startswith(b"PK\x03\x04") and any(n.endswith(f"/{MANIFEST}") for n in members(path, "zip"))


def safe_around(path: Path) -> Path | None:
    """Return the SAFE folder whose measurement a file is, which is then read without what the folder says of it; None for others."""
    around = path.parent.parent
    return around if path.parent.name == "measurement" and (around / MANIFEST).is_file() else None


def scene_as(source: Path | Scene, domain: str, reading: Reading, bands: Sequence[int] | None = None) -> Scene:
    """Return a scene as a domain says that it is read: two of its bands as parts of complex numbers, where `domain` is one
    of `PARTS`, or where it is "auto" and the file calls all its bands, or `bands` of them, such parts.

    Raises BadInput as `scene_of` does, and where `domain` needs two bands and there are others.
    """
    scene = source if isinstance(source, Scene) else scene_of(source, reading)
    if domain in PARTS:
        return _parts(scene, domain, tuple(bands or scene.bands))
    if domain != "auto" or _known(scene) or scene.raster is None or scene.complex:
        return scene
    told = [halves.told(scene.path, n, scene.dtype, scene.raster) for n in bands or scene.bands if n in scene.bands]
    pairs = halves.pairs_of(told)
    return _parts(scene, PARTS[0], pairs) if pairs else scene


def _known(scene: Scene) -> bool:
    """Return True where a product itself says what its bands are; arrays of a container alone do not."""
    return scene.product is not None and any(band.domain for band in scene.product.bands)


def _parts(scene: Scene, parts: str, pairs: tuple[int, ...]) -> Scene:
    if _known(scene) or scene.complex:
        raise BadInput(
            f"{scene.path.name}: `domain={parts}` is of two bands of real numbers, and it holds {scene.dtype}; leave `domain` out"
        )
    if len(pairs) != 2 and not (len(pairs) % 2 == 0 and scene.reading.parts is None and _named(scene, pairs)):
        raise BadInput(
            f"{scene.path.name}: `domain={parts}` is of two bands, and it has {len(pairs)}; say which by `bands`, the "
            f"{parts.partition(',')[0]} first, as `bands=1,2`",
            argument="bands",
        )
    if unknown := set(pairs) - set(scene.bands):
        raise BadInput(f"`bands={min(unknown)}`: {scene.path.name} has {', '.join(map(str, scene.bands))}")
    if scene.pixels is not None:
        pixels = pixels_of_parts(scene.pixels, parts, pairs)
        return replace(scene, count=len(pixels), dtype=pixels.dtype.name, pixels=pixels)
    return scene_of(scene.path, replace(scene.reading, parts=parts, pairs=pairs))


def _named(scene: Scene, pairs: tuple[int, ...]) -> bool:
    """Return True where the file calls all of these bands real and imaginary parts."""
    told = [halves.told(scene.path, n, scene.dtype, scene.raster) for n in pairs]
    return scene.raster is not None and halves.pairs_of(told) == pairs


def start_of(path: Path) -> bytes:
    """Return the first bytes of a file, by which its kind is told."""
    with open(path, "rb") as handle:
        return handle.read(16)


def scene_of_product(product: Product, reading: Reading) -> Scene:
    """Return the scene that a product is, with its place on the map and the names of its bands."""
    return Scene(
        product.path, product.count, product.height, product.width, product.dtype, _raster(product, reading), reading,
        product=product, framed=getattr(product, "framed", False),
    )  # fmt: skip


def _raster(product: Product, reading: Reading) -> Raster:
    n = product.count
    crs, gcps_crs = (None if c is None else _crs(c) for c in (product.crs, product.gcps_crs))
    return Raster(
        path=product.path, count=n, height=product.height, width=product.width, dtype=product.dtype, nodata=float("nan"),
        crs=crs, transform=product.transform, gcps=tuple(product.gcps), gcps_crs=gcps_crs, rpcs=None,
        descriptions=tuple(b.name or None for b in product.bands), units=tuple(b.unit or None for b in product.bands),
        scales=(1.0,) * n, offsets=(0.0,) * n, colorinterp=(), tags={}, band_tags=getattr(product, "tags", ({},) * n), block=(0, 0), masked=False,
        alpha=(), reading=reading,
    )  # fmt: skip


def _crs(crs: Any) -> Any:
    return import_rasterio().crs.CRS.from_user_input(crs)


def product_digest(scene: Scene) -> str | None:
    """Return 64 hex digits that change where anything does that is read of a product, or what is taken of it, and not where
    its name does; None of a scene that no reader of a product reads."""
    reading, product = scene.reading, scene.product
    if isinstance(product, ComplexPair):
        product = product.base.product
    if product is None:
        return None
    path = scene.path
    every = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    files: Sequence[Path] = getattr(product, "files", every)
    digest = hashlib.sha256(f"product={reading.product}".encode())
    if reading.parts is not None:
        digest.update(f"{reading.parts}={reading.pairs}".encode())
    for file in files:
        name = file.name if len(files) > 1 else ""
        digest.update(f"{name}:{sha256(file)}\n".encode())
    return digest.hexdigest()
