"""A camera turns the light of a scene into a file, step by step; every step is a setting, and can be switched off.

light * exposure -> lens and shutter (blur, darker corners) -> sensor (filters, photons, reading, bits, stops) -> white balance
-> demosaicing -> tone curve -> JPEG.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files.curves import SRGB, Curve, Sampled
from restorekit.files.recompressed import CHROMA, through_jpeg
from restorekit.files.transfer import curve_named
from restorekit.inference.sensor_noise import PoissonGaussian
from restorekit.operators.mosaic import sites, tile_of
from restorekit.simulation.demosaic import DEMOSAIC

Array = NDArray[np.floating[Any]]
_CODES = 4096  # at which a tone curve of one's own is sampled
STEEPER = 0.4  # of the contrast curve in the middle, and as much flatter at both ends


def contrast() -> Curve:
    """Return the tone curve "contrast": sRGB, then v - 0.4 sin(2 pi v) / (2 pi), steeper in the middle, flatter at both ends."""
    v = np.linspace(0, 1, _CODES + 1)
    coded = v - STEEPER * np.sin(2 * np.pi * v) / (2 * np.pi)
    return Sampled.of("contrast", SRGB().decode(np.interp(v, coded, v)))


class Shot(NamedTuple):
    """A shot holds what a camera made of a scene: values of the file, (C, H, W) on [0, 1]; the same before JPEG; and the truth,
    coded by the same curve, not yet clipped."""

    values: Array
    before_jpeg: Array
    truth: Array


@dataclass(frozen=True, eq=False)
class Camera:
    """A camera that photographs a scene of linear light; the call gives a `Shot`. Defaults are those of a telephone in a room.

    exposure: factor of the light; above 1 highlights clip. lens, shutter: point spread functions (h, w), sum 1, None for none.
    vignetting: share of the light that the corners lose, which grows with the square of the distance from the middle.
    pattern: of colour filters (`restorekit.operators.mosaic.tile_of`); None: all colours at each pixel. gain, read: noise
    of the sensor in linear light, white = 1, as of `PoissonGaussian`, before the white balance; gain 0: no photons are
    counted. bits: of the converter, None for none. black: share of its range below black, so that noise is not cut off there.
    balance: factors of red, green and blue that make grey of grey light, the least of them 1. demosaic: "bilinear" or "malvar".
    tone: the curve from light to values, "srgb", "linear", "gamma:2.2" or "contrast". jpeg: quality, None for none. chroma: its
    layout. Light is seen beyond the frame: a shot is smaller than its scene by what lens and shutter reach.

    Take it where a measurement is to be as a camera's file is, so that no method meets what it assumes; take an operator and a
    law where it is to meet just that. Raises ValueError for settings that cannot be.
    """

    exposure: float = 1.0
    lens: torch.Tensor | None = None
    vignetting: float = 0.0
    shutter: torch.Tensor | None = None
    pattern: str | None = "rggb"
    gain: float = 0.004
    read: float = 0.004
    bits: int | None = 10
    black: float = 0.06
    balance: tuple[float, ...] = (1.9, 1.0, 1.6)
    demosaic: Literal["bilinear", "malvar"] = "malvar"
    tone: str = "srgb"
    jpeg: int | None = 85
    chroma: Literal["4:4:4", "4:2:2", "4:2:0"] = "4:2:0"

    def __post_init__(self) -> None:
        bounds = {
            "exposure": (1e-3, 1e3), "vignetting": (0, 0.95), "gain": (0, 10), "read": (0, 10), "bits": (2, 16),
            "black": (0, 0.9), "jpeg": (1, 100),
        }  # fmt: skip
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ValueError(f"{name}={value:g} must lie between {low:g} and {high:g}")
        if len(self.balance) != 3 or min(self.balance) != 1 or not max(self.balance) <= 20:
            said = "/".join(f"{v:g}" for v in self.balance)
            raise ValueError(f"balance={said} has three factors, the least of them 1, as 1.9/1/1.6")
        if self.pattern is not None and len(tile_of(self.pattern)) != 2:
            raise ValueError(
                f"pattern={self.pattern} cannot be demosaiced by {self.demosaic}; take a Bayer pattern, as rggb"
            )
        if self.demosaic not in DEMOSAIC or self.chroma not in CHROMA:
            raise ValueError(f"demosaic is {' or '.join(DEMOSAIC)}, and chroma {', '.join(CHROMA)}")
        _ = self.curve

    @property
    def curve(self) -> Curve:
        """Return the tone curve. Raises ValueError for an unknown one, and for the profile of a file."""
        if self.tone == "contrast":
            return contrast()
        try:
            curve = curve_named(self.tone) if "." not in self.tone.partition(":")[0] else None
        except BadInput:
            curve = None
        if curve is None:
            raise ValueError(f"tone={self.tone} is unknown; it is srgb, linear, contrast, bt709 or gamma:2.2")
        return curve

    @property
    def kernel(self) -> Array | None:
        """Return the point spread function (h, w) of lens and shutter together; None where there is neither."""
        given = [np.asarray(k, np.float64) for k in (self.lens, self.shutter) if k is not None]
        if not given:
            return None
        whole = given[0] if len(given) == 1 else _convolved(*given)
        return whole / whole.sum()

    def settings(self) -> dict[str, Any]:
        """Return the settings by name, as a record keeps them; of kernels their sizes."""
        kept = {f.name: getattr(self, f.name) for f in fields(self)}
        return {n: "x".join(map(str, v.shape)) if isinstance(v, torch.Tensor) else v for n, v in kept.items()}

    def noise(self, bands: int = 3) -> list[str] | None:
        """Return the noise law of each band in linear light after the white balance, as `noise` takes it, before
        demosaicing and JPEG mix it; None where there is no noise."""
        factors = self.balance if bands == 3 else (1.0,) * bands
        if self.gain == 0:
            return [f"gaussian:{m * self.read:g}" for m in factors] if self.read else None
        return [f"poisson-gaussian:{m * self.gain:g},{m * self.read:g}" for m in factors]

    def __call__(self, light: Array, generator: torch.Generator) -> Shot:
        """Photograph `light` (1 or 3, H, W), linear, white = 1; one band is seen by a sensor without filters.

        Raises BadInput for other bands, and as `frame`.
        """
        if len(light) not in (1, 3):
            raise BadInput(
                f"a camera sees light of one band or three, and this has {len(light)}; take an operator instead"
            )
        x = self._vignetted(np.asarray(light, np.float64) * self.exposure)
        seen, x = self._seen(x)
        y = self._sensed(seen, generator)
        truth, values = (np.asarray(self.curve.encode(v)) for v in (x, y.clip(0, 1)))
        values = values.clip(0, 1)
        after = values if self.jpeg is None else through_jpeg(values, self.jpeg, self.chroma)
        return Shot(after, values, truth)

    def _vignetted(self, x: Array) -> Array:
        if not self.vignetting:
            return x
        rows, columns = (np.linspace(-1, 1, n) for n in x.shape[1:])
        return x * (1 - self.vignetting * (rows[:, None] ** 2 + columns**2) / 2)

    def frame(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Return TOP, LEFT, HEIGHT, WIDTH of a shot in a scene of this size. Raises BadInput where nothing is left of it."""
        kernel = self.kernel
        h, w = (1, 1) if kernel is None else kernel.shape
        if h + 3 > height or w + 3 > width:
            raise BadInput(f"a kernel of {h}x{w} leaves nothing of a picture of {height}x{width}; take a smaller one")
        # The centre of a kernel is that of scipy.ndimage, (h // 2, w // 2).
        return h - 1 - h // 2, w - 1 - w // 2, height - h + 1, width - w + 1

    def _seen(self, x: Array) -> tuple[Array, Array]:
        """Return (the light on the sensor, the light of the scene in the same frame)."""
        kernel, (top, left, height, width) = self.kernel, self.frame(*x.shape[1:])
        if kernel is None:
            return x, x
        from scipy import signal

        seen = np.stack([signal.fftconvolve(band, kernel, mode="valid") for band in x])
        return np.maximum(seen, 0), x[:, top : top + height, left : left + width]

    def _sensed(self, x: Array, generator: torch.Generator) -> Array:
        """Return what the sensor gives of light (C, H, W), balanced and demosaiced."""
        factors = np.asarray(self.balance if len(x) == 3 else (1.0,))[:, None, None]
        raw, colours = x / factors, None
        if self.pattern is not None and len(x) == 3:
            colours = sites(self.pattern, *x.shape[1:]).numpy()
            raw = np.take_along_axis(raw, colours[None], 0)
            factors = np.take_along_axis(np.broadcast_to(factors, x.shape), colours[None], 0)
        y = (self._converted(self._noisy(raw, generator)) * factors).clip(None, 1)
        return y if colours is None else DEMOSAIC[self.demosaic](y[0], colours)

    def _noisy(self, raw: Array, generator: torch.Generator) -> Array:
        mean = torch.from_numpy(np.ascontiguousarray(raw))
        if self.gain:
            return PoissonGaussian(self.gain, self.read).sample(mean, generator).numpy()
        return (mean + self.read * torch.randn(mean.shape, generator=generator, dtype=mean.dtype)).numpy()

    def _converted(self, y: Array) -> Array:
        """Return values as the converter gives them: held between the ends of its range, of so many bits, black taken off."""
        volts = (self.black + y * (1 - self.black)).clip(0, 1)
        if self.bits is not None:
            volts = np.rint(volts * (2**self.bits - 1)) / (2**self.bits - 1)
        return (volts - self.black) / (1 - self.black)


def _convolved(a: Array, b: Array) -> Array:
    """Return the kernel of one blur after another, its centre at (h // 2, w // 2) again."""
    from scipy import signal

    # Two even sides have their centres one entry beyond the middle of the whole.
    pad = [(0, int(n % 2 == 0 and m % 2 == 0)) for n, m in zip(a.shape, b.shape)]
    return np.pad(signal.convolve(a, b, mode="full"), pad)
