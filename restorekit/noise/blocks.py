"""Blocks of 8x8 pixels show the spectrum of the noise, by their cosine transform."""

from __future__ import annotations

import numpy as np
import scipy

Array = np.ndarray
SIDE = 8  # pixels
RADIUS = np.hypot(*np.mgrid[:SIDE, :SIDE])  # of a coefficient; one of radius r has r / 16 periods a pixel
MEDIAN = 0.4549  # of the square of a standard normal number


def transformed(blocks: Array) -> Array:
    """Return the orthonormal cosine transform of blocks (..., 8, 8)."""
    return np.asarray(scipy.fft.dctn(blocks, axes=(-2, -1), norm="ortho"))


def telling_blocks(pixels: Array, told: Array, most: int) -> Array:
    """Return the blocks (N, C, 8, 8) all of whose values tell in all bands, float64; of a large picture about `most`."""
    c, h, w = pixels.shape
    if min(h, w) < SIDE:
        return np.empty((0, c, SIDE, SIDE))
    step = stride(h, w, most)
    corners = np.lib.stride_tricks.sliding_window_view(told.all(0), (SIDE, SIDE))[::step, ::step].all((-2, -1))
    views = np.lib.stride_tricks.sliding_window_view(pixels, (SIDE, SIDE), axis=(1, 2))[:, ::step, ::step]
    return views[:, corners].swapaxes(0, 1).astype(np.float64)


def band_blocks(pixels: Array, told: Array, most: int) -> Array:
    """Return the blocks (N, 8, 8) of all bands whose own values tell, float32; of a large picture about `most` a band."""
    if min(pixels.shape[1:]) < SIDE:
        return np.empty((0, SIDE, SIDE), np.float32)
    step = stride(pixels.shape[1], pixels.shape[2], most)
    found = []
    for x, ok in zip(pixels, told):
        views, tells = (np.lib.stride_tricks.sliding_window_view(v, (SIDE, SIDE))[::step, ::step] for v in (x, ok))
        found.append(views[tells.all((-2, -1))].astype(np.float32))
    return np.concatenate(found)


def stride(height: int, width: int, most: int) -> int:
    """Return the distance of blocks in a picture, pixels: half a block, or more where there would be more than `most`."""
    return max(SIDE // 2, int((height * width / most) ** 0.5))


def without_plane(blocks: Array) -> Array:
    """Return (N, C, 8, 8) without the plane that fits each best."""
    ramp = np.arange(SIDE) - (SIDE - 1) / 2
    ramp /= np.sqrt(SIDE * np.square(ramp).sum())
    rest = blocks - blocks.mean((-2, -1), keepdims=True)
    rest = rest - (rest * ramp).sum((-2, -1), keepdims=True) * ramp
    return rest - (rest * ramp[:, None]).sum((-2, -1), keepdims=True) * ramp[:, None]


def neighbours(rest: Array) -> tuple[float, float]:
    """Return the correlation with the right and with the lower neighbour in (N, C, 8, 8) of mean 0."""
    power = float(np.square(rest).mean())
    if power <= 0:
        return 0.0, 0.0
    across = float((rest[..., 1:] * rest[..., :-1]).mean()) / power
    return across, float((rest[..., 1:, :] * rest[..., :-1, :]).mean()) / power


def between_bands(rest: Array) -> float:
    """Return the correlation of the bands of (N, C, 8, 8), of mean 0, with the first one, on average; 0 for one band."""
    power = np.square(rest).mean((0, 2, 3))
    if len(power) < 2 or power.min() <= 0:
        return 0.0
    with_first = (rest[:, :1] * rest[:, 1:]).mean((0, 2, 3)) / np.sqrt(power[0] * power[1:])
    return float(with_first.mean())


def jpeg_grid(pixels: Array) -> bool:
    """Return True where the finest detail of (C, H, W) is weakest in blocks that lie on one of the 64 grids of 8x8, as
    after the rounding of a JPEG; noise added later hides it."""
    grey = pixels.mean(0)[:512, :512] * 255
    if min(grey.shape) < 3 * SIDE:
        return False
    power = np.empty((SIDE, SIDE))
    for top in range(SIDE):
        for left in range(SIDE):
            part = grey[top:, left:]
            h, w = (n // SIDE * SIDE for n in part.shape)
            cut = part[:h, :w].reshape(h // SIDE, SIDE, w // SIDE, SIDE).swapaxes(1, 2)
            detail = transformed(cut)[..., RADIUS >= 6]
            power[top, left] = np.log(np.median(np.square(detail).mean(-1)) + 0.02)  # of codes, rounded to 1/12
    lowest, second = np.sort(power, axis=None)[:2]
    return bool(lowest < np.median(power) - 0.3 and lowest < second - 0.15)
