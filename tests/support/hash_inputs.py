"""The small files that `hashes.py` runs restorekit on, the same at every commit: none of its code makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

OWN = '''
"""An operator and a solver of the user's own."""
from dataclasses import dataclass
from restorekit.operators import LinearOperator
from restorekit.solvers import DiffPIR

@dataclass(frozen=True, eq=False)
class Half(LinearOperator):
    gain: float = 0.5
    def __call__(self, x):
        return self.gain * x

@dataclass(frozen=True, eq=False)
class Mine(DiffPIR):
    pass
'''

UNET = """
name: tiny
model: {bands: [1, 3], widths: [8, 16], embed: 16}
data: {crop: 16}
optim: {steps: 4, batch: 4}
run: {sample_every: 4}
"""

CODEC = """
name: code
model: {kind: codec, bands: [1, 3], width: 8, multipliers: [1, 2], blocks: 1, attention: 4, side: 16, codes: 16}
data: {crop: 16}
optim: {steps: 2, batch: 2}
"""

FFTD = """
name: latents
model: {kind: fftd, codec: ../train-codec/run/prior.safetensors, width: 16, heads: 2, embed: 16}
data: {crop: 16}
optim: {steps: 2, batch: 2}
"""

SAR = """
name: logs
domain: log-intensity
model: {bands: [1], widths: [8], embed: 8}
data: {crop: 16}
optim: {steps: 2, batch: 2}
"""


def scene(h: int, w: int, bands: int = 3, seed: int = 0) -> np.ndarray:
    """Return a made-up picture (h, w, bands) in 0.1 .. 0.9: patches of one colour, a slope and a fine wave."""
    rng = np.random.default_rng(seed)
    points, colours = rng.random((12, 2)) * (h, w), rng.uniform(0.15, 0.85, (12, bands))
    i, j = np.mgrid[:h, :w]
    nearest = np.argmin((i[..., None] - points[:, 0]) ** 2 + (j[..., None] - points[:, 1]) ** 2, axis=-1)
    wave = 0.05 * np.sin(i / 2 + j / 3) + 0.1 * (i / h - 0.5)
    return np.clip(colours[nearest] + wave[..., None], 0.1, 0.9)


def noisy(x: np.ndarray, sigma: float, seed: int = 1) -> np.ndarray:
    return x + sigma * np.random.default_rng(seed).standard_normal(x.shape)


def bytes8(x: np.ndarray) -> np.ndarray:
    return np.round(255 * np.clip(x, 0, 1)).astype(np.uint8)


def words16(x: np.ndarray) -> np.ndarray:
    return np.round(65535 * np.clip(x, 0, 1)).astype(np.uint16)


def raster(path: Path, planes: np.ndarray, mask: np.ndarray | None = None, **more: Any) -> None:
    """Write planes (C, H, W) as a GeoTIFF with a place, tags and, if `mask` is given, an internal mask."""
    import rasterio

    where = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 500000, 0, -10, 5200000)}
    size = {"count": len(planes), "height": planes.shape[1], "width": planes.shape[2], "dtype": planes.dtype.name}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", driver="GTiff", **where, **size, **more) as d,
    ):
        d.write(planes)
        d.update_tags(SENSOR="X")
        d.set_band_description(1, "first")
        if mask is not None:
            d.write_mask(mask)


def rgb(d: Path) -> None:
    clean = scene(40, 48)
    Image.fromarray(bytes8(clean)).save(d / "clean.png")
    Image.fromarray(bytes8(noisy(clean, 0.08))).save(d / "noisy.png")
    Image.fromarray(bytes8(noisy(clean, 0.08))).save(d / "noisy.jpg", quality=90)
    Image.fromarray(bytes8(noisy(clean[..., 0], 0.08))).save(d / "grey.png")
    Image.fromarray(words16(noisy(clean[..., 0], 0.05))).save(d / "grey16.png")
    Image.fromarray(bytes8(noisy(scene(12, 14), 0.01))).save(d / "small.png")
    tifffile.imwrite(d / "rgb16.tif", words16(noisy(clean, 0.05)), photometric="rgb")
    tifffile.imwrite(d / "float.tif", noisy(clean[..., 0], 0.05).astype(np.float32))
    tifffile.imwrite(d / "kelvin.tif", (280 + 20 * noisy(clean[..., 0], 0.05)).astype(np.float32))
    holes = noisy(clean[..., 0], 0.02).astype(np.float32)
    holes[10:14, 20:30] = np.nan
    tifffile.imwrite(d / "nan.tif", holes)
    np.save(d / "noisy.npy", noisy(clean, 0.1).astype(np.float32))
    np.save(d / "five.npy", noisy(scene(32, 32, 5), 0.1))
    alpha = np.full((40, 48, 1), 255, np.uint8)
    alpha[:8, :8] = 0
    Image.fromarray(np.concatenate([bytes8(noisy(clean, 0.08)), alpha], 2)).save(d / "alpha.png")
    rng = np.random.default_rng(2)
    mask = rng.random((40, 48)) > 0.3
    Image.fromarray(255 * mask.astype(np.uint8)).save(d / "mask.png")
    Image.fromarray(255 * mask[:20].astype(np.uint8)).save(d / "mask_short.png")
    Image.fromarray(bytes8(noisy(clean, 0.01)) * mask[..., None]).save(d / "holes.png")
    rain = np.where(rng.random((40, 48)) > 0.97, 0.5, 0.0)
    rain = np.sum([np.roll(rain, k, 0) for k in range(4)], 0)[..., None]
    Image.fromarray(bytes8(clean + rain)).save(d / "rainy.png")
    Image.fromarray(bytes8(clean + 0.3 * rain)).save(d / "derained.png")
    tifffile.imwrite(d / "rain.tif", rain[..., 0].astype(np.float32))


def blurred(d: Path) -> None:
    kernel = np.zeros((5, 5))
    kernel[2, :] = (1, 2, 3, 2, 1)
    kernel /= kernel.sum()
    np.save(d / "kernel.npy", kernel)
    Image.fromarray(bytes8(kernel / kernel.max())).save(d / "kernel.png")
    np.savetxt(d / "kernel.csv", kernel, delimiter=",")
    clean = scene(40, 48)
    blur = np.sum([w * np.roll(clean, k - 2, 1) for k, w in enumerate(kernel[2])], 0)
    Image.fromarray(bytes8(noisy(blur, 0.01))).save(d / "blurred.png")
    tifffile.imwrite(d / "blurred.tif", noisy(blur[..., 0], 0.01).astype(np.float32))


def places(d: Path) -> None:
    clean = scene(48, 64).transpose(2, 0, 1)
    values = words16(noisy(clean, 0.03))
    values = np.maximum(values, 1)
    values[:, :8, :12] = 0
    raster(d / "geo.tif", values, nodata=0)
    mask = np.full((48, 64), 255, np.uint8)
    mask[30:40, :10] = 0
    raster(d / "geo_mask.tif", noisy(clean[:1], 0.03).astype(np.float32), mask, compress="deflate", tiled=True,
           blockxsize=32, blockysize=32)  # fmt: skip
    raster(d / "optical.tif", words16(noisy(clean, 0.01)) // 8)
    rng = np.random.default_rng(3)
    power = np.exp(3 * scene(48, 64, 1, seed=0)[..., 0] - 3)
    speckled = power * rng.gamma(4, 1 / 4, power.shape)
    raster(d / "db.tif", (10 * np.log10(speckled))[None].astype(np.float32), nodata=-9999)
    raster(d / "two.tif", np.stack([speckled, 0.3 * speckled]).astype(np.float32))
    np.save(d / "power.npy", speckled.astype(np.float32))
    np.save(d / "truth.npy", power.astype(np.float32))
    wave = rng.standard_normal((2, 48, 64)) * np.sqrt(power / 2)
    np.save(d / "complex.npy", (wave[0] + 1j * wave[1]).astype(np.complex64))


def folders(d: Path) -> None:
    for name, count, side in (("photos", 6, 24), ("many", 21, 16)):
        (d / name).mkdir()
        for k in range(count):
            Image.fromarray(bytes8(scene(side, side, seed=10 + k))).save(d / name / f"{k:02}.png")
    (d / "radar").mkdir()
    for k in range(4):
        tifffile.imwrite(d / "radar" / f"{k}.tif", words16(np.exp(scene(24, 24, 1, seed=k)[..., 0] - 1)))


def write_all(d: Path) -> None:
    """Write every input into the folder `d`."""
    d.mkdir()
    for part in (rgb, blurred, places, folders):
        part(d)
    for name, text in (
        ("own.py", OWN),
        ("unet.yaml", UNET),
        ("codec.yaml", CODEC),
        ("fftd.yaml", FFTD),
        ("sar.yaml", SAR),
    ):
        (d / name).write_text(text)
    (d / "broken.png").write_bytes((d / "clean.png").read_bytes()[:200])
    (d / "text.tif").write_text("no picture")
