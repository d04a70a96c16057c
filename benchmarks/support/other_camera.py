"""A camera made of other people's code: no part of it is restorekit's, so that no method here can have been made for it.

Light by a power of 2.2; blur by OpenCV's filter; electrons counted and read by NumPy; GRBG; demosaicing by colour-demosaicing
(Menon 2007); a tone curve that is not sRGB, a power of 1 / 2.2 and then half a smooth step; JPEG, and what makes pictures smaller, by OpenCV.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray
GAMMA = 2.2


@dataclass(frozen=True)
class OtherCamera:
    """It has a sensor of `well` electrons at white and `read` electrons of noise, 12 bits, and writes JPEG of `quality`."""

    well: float = 1200.0
    read: float = 4.0
    exposure: float = 1.05
    quality: int = 90
    balance: tuple[float, float, float] = (2.1, 1.0, 1.45)
    lens: float = 0.55  # deviation of its blur, pixels

    def __call__(self, x: Array, seed: int, kernel: Array | None = None, reduce: int = 1) -> tuple[bytes, Array]:
        """Return (a JPEG of a scene x (3, H, W), the same without noise, blur and JPEG, as (3, h, w) in values of the file).

        kernel: (h, w), odd, of a motion, as a convolution; what lies within it of the edge is left out. reduce: the file is so
        many times smaller than the truth, by means over areas.
        """
        import cv2  # pyright: ignore[reportMissingImports]

        rng = np.random.default_rng(seed)
        light = np.ascontiguousarray(np.moveaxis(x, 0, -1), np.float64) ** GAMMA * self.exposure
        seen = cv2.GaussianBlur(light, (0, 0), self.lens)
        if kernel is not None:
            seen = cv2.filter2D(seen, -1, kernel[::-1, ::-1].astype(np.float64), borderType=cv2.BORDER_REFLECT_101)
            h, w = (n // 2 for n in kernel.shape)
            light, seen = (v[h : v.shape[0] - h, w : v.shape[1] - w] for v in (light, seen))
        codes = self._toned(self._developed(seen, rng).clip(0, 1))
        if reduce > 1:
            height, width = (n // reduce * reduce for n in codes.shape[:2])
            light, codes = light[:height, :width], codes[:height, :width]
            codes = cv2.resize(codes, (width // reduce, height // reduce), interpolation=cv2.INTER_AREA)
        bits = np.rint(codes.clip(0, 1) * 255).astype(np.uint8)[..., ::-1]
        done, packed = cv2.imencode(".jpg", bits, [cv2.IMWRITE_JPEG_QUALITY, self.quality])
        assert done
        return packed.tobytes(), np.moveaxis(self._toned(light.clip(0, 1)), -1, 0)

    def _developed(self, light: Array, rng: np.random.Generator) -> Array:
        from colour_demosaicing import (  # pyright: ignore[reportMissingImports]
            demosaicing_CFA_Bayer_Menon2007,
            mosaicing_CFA_Bayer,
        )

        factors = np.asarray(self.balance)
        electrons = rng.poisson(mosaicing_CFA_Bayer(light / factors, "GRBG").clip(0) * self.well)
        volts = (electrons + rng.normal(0, self.read, electrons.shape)) / self.well
        digital = np.rint((volts * 0.95 + 0.05).clip(0, 1) * 4095) / 4095
        raw = (digital - 0.05) / 0.95
        balanced = (mosaicing_CFA_Bayer(np.broadcast_to(factors, light.shape), "GRBG") * raw).clip(None, 1)
        return np.asarray(demosaicing_CFA_Bayer_Menon2007(balanced, "GRBG"))

    def _toned(self, light: Array) -> Array:
        v = light ** (1 / GAMMA)
        return 0.5 * v + 0.5 * (3 * v**2 - 2 * v**3)
