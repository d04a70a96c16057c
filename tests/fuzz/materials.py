"""Small valid inputs of every kind that the commands take, from which mutations begin."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import tifffile
from PIL import Image

H, W = 24, 20

PICTURES = (
    "rgb.png", "grey.png", "rgba.png", "palette.png", "grey16.png", "rgb16.tif", "photo.jpg", "plain.tif", "tiled.tif", "lzw.tif",
    "float.tif", "masked.tif", "inside.tif", "rgb.npy", "float.npy", "bmp.bmp", "web.webp", "pages.tif", "still.gif",
)  # fmt: skip
SCENES = ("scene.npy", "complex.npy", "scene.tif", "bands.tif", "envi.img", "amplitude.png")
FILES: dict[str, tuple[str, ...]] = {
    "picture": PICTURES,
    "grey": ("grey.png", "grey16.png", "float.npy", "float.tif"),
    "mask": ("mask.png", "mask.npy", "mask.tif", "grey.png"),
    "kernel": ("kernel.npy", "kernel.png", "kernel.csv", "kernel.npz", "kernel.mat"),
    "scene": SCENES,
    "optical": ("optical.tif", "rgb.png", "plain.tif"),
    "radar": ("scene.tif", "scene.npy", "amplitude.png"),
    "prior": ("tiny.safetensors",),
    "sarprior": ("tinysar.safetensors",),
    "calibration": ("tiny.calibration.json",),
    "pictures": ("pictures.zip", "pictures"),
    "config": ("config.yaml",),
    "folderof": ("pictures",),
    "began": ("old",),  # of a bench, which goes on in it
}
SIDECARS: dict[str, tuple[str, ...]] = {
    "envi.img": ("envi.hdr",),
    "scene.tif": ("scene.tif.aux.xml", "scene.tif.msk"),
    "masked.tif": ("masked.tif.msk",),
    "plain.tif": ("plain.tfw",),
}
CONFIG = """name: tiny
model: {kind: unet, bands: [1, 3], widths: [4, 4], blocks: 1, middle: 0, embed: 8}
data: {crop: 16, flips: true}
noise: {log_mean: -1.9, log_std: 1.2, wide: 0.1}
optim: {batch: 4, steps: 2, lr: 0.001, warmup: 0}
run: {seed: 0, precision: fp32}
"""
FLAGS = (
    42112,
    "s",
    0,
    '<GDALMetadata><Item name="INTERNAL_MASK_FLAGS_1">2</Item></GDALMetadata>',
    True,
)  # of GDAL's masks
GEO: dict[str, Any] = {
    "geotiff": {33550: (10.0, 10.0, 0.0), 33922: (0.0, 0.0, 0.0, 5e5, 5e6, 0.0)},
    "keys": (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633),
    "rpc": (0.5, 0.5, 12.0, 10.0, 48.0, 11.0, 100.0, 12.0, 10.0, 0.1, 0.1, 50.0) + (0.0,) * 20 + (1.0,) + (0.0,) * 19
    + (0.0,) * 20 + (1.0,) + (0.0,) * 19,
}  # fmt: skip


def make(folder: Path, run: Callable[[list[str]], None]) -> None:
    """Writes all of FILES and their sidecars; `run` trains the two tiny priors."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    smooth = np.add.outer(np.linspace(0, 1, H), np.linspace(0, 1, W)) / 2
    rgb = np.clip(smooth[..., None] + rng.normal(0, 0.1, (H, W, 3)), 0, 1).astype(np.float32)
    grey, bytes_ = rgb[..., 0].copy(), (255 * rgb).astype(np.uint8)
    _pictures(folder, rgb, grey, bytes_)
    _tiffs(folder, grey, bytes_)
    _scenes(folder, smooth, rng, bytes_)
    mask = (rng.random((H, W)) > 0.3).astype(np.uint8) * 255
    Image.fromarray(mask).save(folder / "mask.png")
    np.save(folder / "mask.npy", mask > 0)
    tifffile.imwrite(folder / "mask.tif", mask)
    kernel = np.outer([1.0, 2, 1], [1.0, 3, 1])
    np.save(folder / "kernel.npy", kernel / kernel.sum())
    np.savez(folder / "kernel.npz", k=kernel)
    np.savetxt(folder / "kernel.csv", kernel, delimiter=",")
    scipy.io.savemat(folder / "kernel.mat", {"k": kernel})
    Image.fromarray((kernel * 30).astype(np.uint8)).save(folder / "kernel.png")
    (folder / "pictures").mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "pictures.zip", "w") as archive:
        for i in range(6):
            path = folder / "pictures" / f"{i}.png"
            Image.fromarray(rng.integers(0, 255, (H, W, 3), np.uint8)).save(path)
            archive.write(path, f"{i}.png")
    (folder / "config.yaml").write_text(CONFIG)
    _priors(folder, run)
    _benches(folder, run)


def _pictures(folder: Path, rgb: np.ndarray, grey: np.ndarray, bytes_: np.ndarray) -> None:
    Image.fromarray(bytes_).save(folder / "rgb.png")
    Image.fromarray(bytes_[..., 0]).save(folder / "grey.png")
    Image.fromarray(np.dstack([bytes_, np.where(grey > 0.2, 255, 0).astype(np.uint8)])).save(folder / "rgba.png")
    Image.fromarray(bytes_).quantize(8).save(folder / "palette.png")
    Image.fromarray((65535 * grey).astype(np.uint16)).save(folder / "grey16.png")
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(bytes_).save(folder / "photo.jpg", exif=exif, quality=90)
    Image.fromarray(bytes_).save(folder / "bmp.bmp")
    Image.fromarray(bytes_).save(folder / "web.webp", lossless=True)
    Image.fromarray(bytes_).save(folder / "still.gif")
    np.save(folder / "rgb.npy", bytes_)
    np.save(folder / "float.npy", grey)


def _tiffs(folder: Path, grey: np.ndarray, bytes_: np.ndarray) -> None:
    import rasterio
    from rasterio import Env

    tifffile.imwrite(folder / "rgb16.tif", bytes_.astype(np.uint16) * 257, photometric="rgb")
    tifffile.imwrite(folder / "pages.tif", np.stack([bytes_, bytes_[::-1]]), photometric="rgb", metadata=None)
    tifffile.imwrite(folder / "plain.tif", bytes_, photometric="rgb")
    tifffile.imwrite(folder / "tiled.tif", bytes_, photometric="rgb", tile=(16, 16), compression="deflate", predictor=2)
    Image.fromarray(bytes_).save(folder / "lzw.tif", compression="tiff_lzw")
    tifffile.imwrite(folder / "float.tif", grey, photometric="minisblack")
    empty = grey.copy()
    empty[:4, :4] = -9999
    tags = [
        (33550, "d", 3, GEO["geotiff"][33550], True),
        (33922, "d", 6, GEO["geotiff"][33922], True),
        (34735, "H", len(GEO["keys"]), GEO["keys"], True),
        (42113, "s", 6, "-9999", True),
        (50844, "d", len(GEO["rpc"]), GEO["rpc"], True),
    ]
    tifffile.imwrite(folder / "masked.tif", empty, photometric="minisblack", extratags=tags)
    valid = np.full(grey.shape, 255, np.uint8)
    valid[-5:] = 0
    tifffile.imwrite(folder / "masked.tif.msk", valid, extratags=[FLAGS])
    with Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(
        folder / "inside.tif", "w", driver="GTiff", height=H, width=W, count=1, dtype="float32", crs="EPSG:32633",
        transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5e6), compress="deflate", tiled=True, blockxsize=16, blockysize=16,
    ) as file:  # fmt: skip
        file.write(grey, 1)
        file.write_mask(valid)
    (folder / "plain.tfw").write_text("10\n0\n0\n-10\n500000\n5000000\n")


def _scenes(folder: Path, smooth: np.ndarray, rng: np.random.Generator, bytes_: np.ndarray) -> None:
    level = np.kron(smooth, np.ones((4, 4))) + 0.2  # (96, 80): filters want more than a few windows
    speckle = rng.exponential(1.0, level.shape)
    scene = (level * speckle).astype(np.float32)
    np.save(folder / "scene.npy", scene)
    np.save(
        folder / "complex.npy", (np.sqrt(scene) * np.exp(2j * np.pi * rng.random(scene.shape))).astype(np.complex64)
    )
    tags = [(33550, "d", 3, GEO["geotiff"][33550], True), (33922, "d", 6, GEO["geotiff"][33922], True),
            (34735, "H", len(GEO["keys"]), GEO["keys"], True), (42113, "s", 2, "0", True)]  # fmt: skip
    tifffile.imwrite(folder / "scene.tif", scene, photometric="minisblack", extratags=tags)
    tifffile.imwrite(folder / "scene.tif.msk", np.full(scene.shape, 255, np.uint8), extratags=[FLAGS])
    (folder / "scene.tif.aux.xml").write_text(
        "<PAMDataset>\n  <Metadata>\n    <MDI key='POLARISATION'>VV</MDI>\n  </Metadata>\n  <PAMRasterBand band='1'>"
        "<NoDataValue>0</NoDataValue><Scale>1</Scale></PAMRasterBand>\n</PAMDataset>\n"
    )
    tifffile.imwrite(
        folder / "bands.tif", np.stack([scene, scene]), photometric="minisblack", planarconfig="separate", tile=(32, 32),
        compression="deflate",
    )  # fmt: skip
    scene.tofile(folder / "envi.img")
    (folder / "envi.hdr").write_text(
        f"ENVI\nsamples = {scene.shape[1]}\nlines = {scene.shape[0]}\nbands = 1\nheader offset = 0\nfile type = ENVI Standard\n"
        "data type = 4\ninterleave = bsq\nbyte order = 0\n"
    )
    Image.fromarray(np.clip(80 * np.sqrt(scene), 0, 255).astype(np.uint8)).save(folder / "amplitude.png")
    optical = np.kron(bytes_, np.ones((4, 4, 1), np.uint8))
    tifffile.imwrite(folder / "optical.tif", optical, photometric="rgb", extratags=tags[:3])


def _priors(folder: Path, run: Callable[[list[str]], None]) -> None:
    for name, more in (("tiny", ()), ("tinysar", ("--set", "domain=log-intensity", "--set", "model.bands=[1]"))):
        out = folder / f"run-{name}"
        run(["train", "unet", "--config", str(folder / "config.yaml"), "--data", str(folder / "pictures"), "--out", str(out), "--quiet", *more])  # fmt: skip
        (out / "prior.safetensors").rename(folder / f"{name}.safetensors")
    _calibration(folder)


def _calibration(folder: Path) -> None:
    """In the format of `restorekit calibrate`, for any weights: what it says is not looked at here."""
    weights = (folder / "tiny.safetensors").read_bytes()
    levels = [round(0.5 + 0.01 * i, 2) for i in range(50)]
    entry = {
        "task": "denoise", "noise": "gaussian:0.1", "dtype": "uint8", "transfer": "linear",
        "solver": "MMPS:iterations=3,tolerance=0.01,prior_std=0.25,sampler=sde1@2",
        "samples": 2, "spread": {"window": 5, "own": 0.5}, "data": "tiny", "pictures": 40, "ratios": [1.0] * 50,
        "judged": {},
    }  # fmt: skip
    record = {
        "format": "restorekit calibration 1", "restorekit": "0.1.0",
        "prior": {"name": "tiny", "sha256": hashlib.sha256(weights).hexdigest()}, "levels": levels, "entries": [entry],
    }  # fmt: skip
    (folder / "tiny.calibration.json").write_text(json.dumps(record))


def _benches(folder: Path, run: Callable[[list[str]], None]) -> None:
    """What each bench has written so far, in one folder."""
    out, prior = str(folder / "old"), str(folder / "tiny.safetensors")
    few = ["--data", str(folder / "pictures"), "--op", "denoise@gaussian:0.1", "--solver", "hqs", "--crop", "16", "--limit", "1", "--out", out]  # fmt: skip
    run(["bench", "images", *few, "--prior", prior, "--steps", "2", "--workers", "1", "--lpips", "none"])
    run(["bench", "peers", *few, "--no-exams", "--network", prior, "--peer", "bm3d", "--samples", "1"])
    run(["bench", "posterior", "--solver", "hqs", "--problem", "denoise", "--prior", "stationary", "--sigma", "0.1", "--steps", "2", "--out", out])  # fmt: skip
