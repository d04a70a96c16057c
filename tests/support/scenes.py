"""Scenes for tests: intensities of a scene with an edge, a slope and speckle, as files of several kinds."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from restorekit.priors.formats import checkpoint
from restorekit.priors.formats.checkpoint import PriorSpec
from restorekit.priors.networks.unet import UNet, UNetConfig

Array = NDArray[Any]


def speckled(height: int = 150, width: int = 170, looks: float = 4.0, seed: int = 0) -> tuple[Array, Array]:
    """(truth, measured) intensities, float32."""
    i, j = np.mgrid[:height, :width]
    truth = 0.05 + 0.3 * (j > width // 2) + 0.2 * i / height
    rng = np.random.default_rng(seed)
    return truth.astype(np.float32), (truth * rng.gamma(looks, 1 / looks, truth.shape)).astype(np.float32)


@functools.cache
def tiny_prior() -> str:
    """A checkpoint of a small random network of log-intensities, for what a good one has no part in."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    config = UNetConfig((1,), (4, 6), embed=8)
    torch.manual_seed(0)
    net = UNet(config)
    for weights in net.parameters():
        if not bool(weights.any()):  # which begin at zero, so that nothing would pass
            torch.nn.init.normal_(weights, std=0.2)
    spec = PriorSpec("tiny", {"kind": "unet", **asdict(config)}, 1.2, domain="log-intensity")
    checkpoint.save(Path(folder) / "tiny.safetensors", net.state_dict(), spec)
    return str(Path(folder) / "tiny.safetensors")


def write_tiff(path: Path, pixels: Array, **more: Any) -> Path:
    """(C, H, W) or (H, W) with a CRS and a transform, unless told otherwise."""
    import rasterio
    from rasterio.transform import from_origin

    planes = pixels[None] if pixels.ndim == 2 else pixels
    profile: dict[str, Any] = {"crs": "EPSG:32631", "transform": from_origin(5e5, 6e6, 10, 10)} | more
    with rasterio.open(
        path, "w", driver="GTiff", count=len(planes), height=planes.shape[1], width=planes.shape[2],
        dtype=planes.dtype.name, **profile,
    ) as d:  # fmt: skip
        d.write(planes)
    return path


def read_tiff(path: Path) -> Array:
    import rasterio

    with rasterio.open(path) as d:
        return d.read()
