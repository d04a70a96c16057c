"""Whatever is despeckled is opened here: a product by its own reader, two parts of complex numbers as one band, and all else
as a file of bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from restorekit.errors import BadInput
from restorekit.files import scene as files
from restorekit.files.bands import Raster, import_rasterio
from restorekit.files.reading import PLAINLY, Reading
from restorekit.files.scene import Scene
from restorekit.products.complex_pair import ComplexPair, pixels_of_parts
from restorekit.products.product import Product
from restorekit.sar import halves
from restorekit.sar.domain import PARTS


def scene_of(path: Path, reading: Reading = PLAINLY) -> Scene:
    """Return the scene in a product, a file, or a dataset that `path` names (`restorekit.files.datasets`).

    Raises BadInput for what is missing, damaged, or no measurement.
    """
    if reading.parts is not None:
        base = scene_of(path, replace(reading, parts=None, pairs=()))
        pair = ComplexPair.of(base, reading.parts, reading.pairs)
        like = None if base.raster is None else pair.raster(base.raster)
        return Scene(path, pair.count, base.height, base.width, "complex64", like, reading, product=pair)
    return files.scene_of(path, reading)


def scene_as(source: Path | Scene, domain: str, reading: Reading, bands: Sequence[int] | None = None) -> Scene:
    """Return a scene as a domain says that it is read: two of its bands as parts of complex numbers, where `domain` is one
    of `PARTS`, or where it is "auto" and the file calls all its bands, or `bands` of them, such parts.

    Raises BadInput as `scene_of` does, and where `domain` needs two bands and there are others.
    """
    scene = source if isinstance(source, Scene) else scene_of(source, reading)
    if domain in PARTS:
        return _parts(scene, domain, tuple(bands or scene.bands))
    if domain != "auto" or scene.product is not None or scene.raster is None or scene.complex:
        return scene
    told = [halves.told(scene.path, n, scene.dtype, scene.raster) for n in bands or scene.bands if n in scene.bands]
    pairs = halves.pairs_of(told)
    return _parts(scene, PARTS[0], pairs) if pairs else scene


def _parts(scene: Scene, parts: str, pairs: tuple[int, ...]) -> Scene:
    if scene.product is not None or scene.complex:
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


def scene_of_product(product: Product, reading: Reading) -> Scene:
    """Return the scene that a product is, with its place on the map and the names of its bands."""
    return Scene(
        product.path, product.count, product.height, product.width, product.dtype, _raster(product, reading), reading,
        product=product,
    )  # fmt: skip


def _raster(product: Product, reading: Reading) -> Raster:
    n = product.count
    crs, gcps_crs = (None if c is None else _crs(c) for c in (product.crs, product.gcps_crs))
    return Raster(
        path=product.path, count=n, height=product.height, width=product.width, dtype=product.dtype, nodata=float("nan"),
        crs=crs, transform=product.transform, gcps=tuple(product.gcps), gcps_crs=gcps_crs, rpcs=None,
        descriptions=tuple(b.name or None for b in product.bands), units=tuple(b.unit or None for b in product.bands),
        scales=(1.0,) * n, offsets=(0.0,) * n, colorinterp=(), tags={}, band_tags=({},) * n, block=(0, 0), masked=False,
        alpha=(), reading=reading,
    )  # fmt: skip


def _crs(crs: Any) -> Any:
    return import_rasterio().crs.CRS.from_user_input(crs)
