"""A measured file and all that is known of it, as the options of a command say: operator, noise, prior, device."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from restorekit.cli.options import checked_precision, span
from restorekit.errors import BadInput
from restorekit.files import decode
from restorekit.files.masks import inverted
from restorekit.files.picture import Picture, read_picture
from restorekit.files.reading import PLAINLY, Reading
from restorekit.files.transfer import MIXING, Response, at_limits, chosen, without_white
from restorekit.inference.denoiser import Denoiser, Latent
from restorekit.inference.driver import as_seen, decoded
from restorekit.inference.likelihood import Gamma, Gaussian, Likelihood, Poisson
from restorekit.inference.problem import Problem
from restorekit.noise.level import Noise, NoiseLevel
from restorekit.operators import Identity, Inpaint, Operator
from restorekit.operators.base import Shape
from restorekit.priors.find import Prior, device_of, load_prior, of_pictures
from restorekit.priors.wrappers import EnsembleFlip
from restorekit.tasks import ranges
from restorekit.tasks.defaults import COUNTS, IMPULSES, LOG_SPECKLE, OTHER, SPECKLE, TASKS, Task
from restorekit.tasks.sample import displayed
from restorekit.tasks.unmeasured import placed, refuse_turned, turned_size, without_empty
from restorekit.text.grammar import build
from restorekit.text.names import NO_PICTURE, noise_of, operator_of

SMALLEST = 4  # pixels per side


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The options that say what was measured; what follows from them is made, and refused, where it is first used."""

    source: Path
    target: Path
    op: str
    noise: str
    prior: str
    seed: int
    device: str
    tile: int | None
    precision: str
    flips: int
    range: str | None
    transfer: str = "auto"
    reading: Reading = PLAINLY

    @property
    def operation(self) -> str:
        return self.op.partition(":")[0]

    @cached_property
    def response(self) -> Response:
        return chosen(self.transfer, self.operation, self.noise, self.as_read, self.source)

    def say_transfer(self) -> None:
        """What is taken for the light, on stderr, where that is not the values of the file."""
        for line in self.response.said(self.source.name, float(self.clipped[1].mean())):
            print(line, file=sys.stderr)

    @cached_property
    def picture(self) -> Picture:
        """`as_read`, in light."""
        return self.response.decoded(self.as_read)

    @cached_property
    def as_read(self) -> Picture:
        coefficients = self.operation in NO_PICTURE
        if self.logarithms and span(self.range) not in (None, (0.0, 1.0)):
            raise BadInput(f"--range {self.range}: logarithms have no black and white; leave it out")
        plain = self.logarithms or (coefficients and self.range is None)
        values = (0.0, 1.0) if plain else span(self.range)
        read = read_picture(self.source, values, holes=self.operation == "inpaint", reading=self.reading)
        picture = placed(read, self.source)
        _, height, width = picture.pixels.shape
        if coefficients and picture.dtype not in ("float32", "float64", "float16"):
            raise BadInput(
                f"{self.source} holds {picture.dtype}; a measurement of {self.operation} is no picture: give floats (NPY, TIFF)"
            )
        if not coefficients and min(height, width) < SMALLEST:
            raise BadInput(
                f"{self.source} is {height}x{width} pixels; at least {SMALLEST}x{SMALLEST} are needed to restore anything"
            )
        if float(np.ptp(picture.pixels)) == 0:
            level = float(picture.pixels.flat[0])
            raise BadInput(
                f"{self.source} is constant (every value is {level:g}): there is nothing to restore; check the file"
            )
        decoded = chosen(self.transfer, self.operation, self.noise, picture, self.source).coded
        return picture if coefficients or decoded or self.range is not None else self._ranged(picture)

    def _ranged(self, picture: Picture) -> Picture:
        """With the range that is used, where integers fill little of their type and no option is relative to white."""
        found = ranges.used(picture)
        if found is None:
            return picture
        if self.noise != "auto" and not isinstance(noise_of(self.noise), Gamma):
            ranges.check_range(self.source, picture)
            return picture
        full, white = int(picture.span[1]), int(found[1])
        print(
            f"range: {self.source.name} uses little of 0..{full}; white is taken to be {white} (--range 0,{white}), and "
            f"noise is relative to it; --range 0,{full} for the whole",
            file=sys.stderr,
        )
        return ranges.ranged(picture, found)

    @property
    def range_used(self) -> str | None:
        """--range, also where the file's own values gave it."""
        low, high = self.picture.span
        full = np.iinfo(self.picture.dtype).max if self.picture.dtype in ("uint8", "uint16") else 1
        return self.range if self.range is not None or high in (1.0, full) else f"{low:g},{high:g}"

    @cached_property
    def operator(self) -> Operator:
        operator = operator_of(self.op, measured=cast(Shape, self.picture.pixels.shape))
        self._fill(operator)
        return without_empty(operator, self.picture, self.source)

    def _fill(self, operator: Operator) -> None:
        """Values behind a mask may be NaN: they become 0. Elsewhere they are refused."""
        pixels = self.picture.pixels
        bad = ~np.isfinite(pixels)
        if not isinstance(operator, Inpaint):
            return
        mask = operator.mask.numpy()
        if bad.any():
            if (bad & (mask > 0)).any():
                count = int((bad & (mask > 0)).any(0).sum())
                raise BadInput(
                    f"{self.source}: {count} pixels that the mask calls measured hold NaN or infinity; mask them too"
                )
            pixels[bad] = 0
        print(f"mask: {float((mask > 0).mean()):.1%} measured", file=sys.stderr)
        if (doubt := inverted(mask, pixels)) is not None:
            print(f"restorekit: note: {doubt}", file=sys.stderr)

    @cached_property
    def noise_used(self) -> str:
        """--noise as given, or Gaussian noise of the level measured in the picture."""
        return self.noise if self.noise_found is None else f"gaussian:{self.noise_found.sigma:.4f}"

    @cached_property
    def noise_found(self) -> Noise | None:
        """What was measured in the picture, which is said aloud; None where --noise says it."""
        if self.noise != "auto":
            return None
        if self.operation in NO_PICTURE:
            raise BadInput(
                f"{self.operation} measures no picture, whose noise could be told; give --noise gaussian:0.01"
            )
        floor = max(NoiseLevel.floor, self.response.rounding(self.picture))
        coded = self.as_read.pixels if self.response.coded else None
        found = NoiseLevel(floor=floor)(self.picture.pixels, self._valid, coded)
        if coded is not None:
            of_file = NoiseLevel()(coded, self._valid)
            found = found.at_least(self.response.in_light(0.0 if of_file.floor else of_file.sigma, self.picture))
        lost = self.response.in_light(decode.jpeg_rounding(self.source), self.picture)
        rounded = self.operation in MIXING and lost > found.sigma
        found = found.at_least(lost, floor=True) if rounded else found
        narrow = ranges.hint(self.as_read) if found.floor and self.range is None else None
        for line in [_of_level(found, self.source.name, lost > 0, rounded), *found.notes, *filter(None, [narrow])]:
            print(f"noise: {line}", file=sys.stderr)
        return found

    @property
    def impulses(self) -> np.ndarray | None:
        """(C, H, W), where values are impulses and no measurements; None where there are none, or --noise was given."""
        found = self.noise_found
        return None if found is None or not found.share else found.impulses

    @property
    def _valid(self) -> np.ndarray | None:
        """Where something was measured, or everywhere."""
        if isinstance(self.operator, Inpaint):
            return self.operator.mask.numpy()
        return None if self.picture.empty is None else ~self.picture.empty.where[None]

    @cached_property
    def law(self) -> Likelihood:
        return noise_of(self.noise_used)

    @property
    def logarithms(self) -> bool:
        """Whether --noise says that the file holds logarithms of intensities."""
        law = None if self.noise == "auto" else noise_of(self.noise)
        return isinstance(law, Gamma) and law.domain == "log"

    @property
    def task(self) -> Task:
        if isinstance(self.loaded, Latent):  # what was measured is not linear in latents
            return OTHER
        if self.operation == "denoise" and self.impulses is not None:
            return IMPULSES
        if self.operation == "denoise" and not isinstance(self.law, Gaussian):
            speckle = LOG_SPECKLE if self.logarithms else SPECKLE
            return COUNTS if isinstance(self.law, Poisson) else speckle
        return TASKS.get(self.operation, OTHER)

    @cached_property
    def place(self) -> torch.device:
        return device_of(self.device)

    @cached_property
    def loaded(self) -> Prior:
        precision = checked_precision(self.precision)
        prior = load_prior(self.prior, device=self.place, precision=precision, tile=self.tile or "auto")
        if not self.logarithms:
            return of_pictures(prior)
        if prior.units is None:
            raise BadInput(f"--prior {self.prior} knows pictures and no logarithms of intensities; take --prior sar")
        return prior

    @cached_property
    def denoiser(self) -> Denoiser | Latent:
        denoise = self.loaded.for_bands(self.operator.image_shape[0])
        if isinstance(denoise, Latent) and self.flips > 1:
            raise BadInput(f"--flips {self.flips}: the latent of a flipped picture is no flipped latent; leave it out")
        return denoise if self.flips == 1 else build(EnsembleFlip, "flips", [str(self.flips)], {}, denoise=denoise)

    @property
    def seen(self) -> Problem:
        """The problem as a solver sees it."""
        return as_seen(self.problem, self.denoiser)

    def shown(self, x: Tensor) -> Tensor:
        """States or estimates of a solver (N, ...) as pictures."""
        prior, (_, height, width) = self.denoiser, self.operator.image_shape
        picture = decoded(prior, x, height, width) if isinstance(prior, Latent) else x
        return self.visible(self.operator.inside(picture))

    def visible(self, x: Tensor) -> Tensor:
        """Results or measurements as pictures to look at: amplitudes of logarithms, others in values of the file."""
        return displayed(x, "log-intensity") if self.logarithms else self.coded(x)

    @cached_property
    def result_shape(self) -> tuple[int, ...]:
        """(C, H, W)"""
        return tuple(self.operator.inside(torch.zeros(1, *self.operator.image_shape)).shape[1:])

    def as_result(self, path: Path, advice: str) -> np.ndarray:
        """Another picture, in light, (C, H, W) of the shape of a result: what an operator knows beyond the frame is cut off.

        Its values are read as those of IN. Raises `BadInput` with `advice` where it has another shape.
        """
        same = Reading(self.reading.layout)
        read = read_picture(path, (0.0, 1.0) if self.logarithms else span(self.range), reading=same)
        refuse_turned(self.picture, self.source, read, path)
        if self.range is None and read.dtype == self.picture.dtype and read.span != self.picture.span:
            read = ranges.ranged(read, self.picture.span)
        pixels = self.response.decoded(read).pixels
        if pixels.shape == self.operator.image_shape:
            pixels = self.operator.inside(torch.from_numpy(pixels)[None])[0].numpy()
        if pixels.shape != self.result_shape:
            size, expected = ("x".join(map(str, s)) for s in (pixels.shape, self.result_shape))
            raise BadInput(
                f"{path} is {size}, a result is {expected} (bands x height x width)"
                f"{turned_size(self.picture, read)}; {advice}"
            )
        return pixels

    def coded(self, x: Tensor) -> Tensor:
        """Light in values of the file, float32."""
        if not self.response.coded:
            return x
        coded = self.response.curve.encode(x.detach().float().cpu().numpy())
        return torch.from_numpy(coded.astype(np.float32)).to(x.device)

    @cached_property
    def clipped(self) -> tuple[np.ndarray, np.ndarray]:
        """(black, white), (C, H, W): values at the limits of the file."""
        return at_limits(self.as_read)

    @property
    def transfer_record(self) -> dict[str, Any]:
        """For OUT.json."""
        black, white = (round(float(at.mean()), 5) for at in self.clipped)
        return {"transfer": self.response.curve.name, "clipped": {"black": black, "white": white}}

    @property
    def as_given(self) -> Problem:
        return self.censored(self.plain)

    def censored(self, problem: Problem) -> Problem:
        """The same, values at white not taken as measured, where the file is decoded."""
        return without_white(problem, self.clipped[1]) if self.response.coded else problem

    @cached_property
    def plain(self) -> Problem:
        """By the operator as the options say it, values at the limits as they are."""
        y, empty = self._measurement(), self.picture.empty
        mask = None
        if empty is not None and empty.where.shape == y.shape[-2:]:
            print(f"no data: {empty.where.mean():.1%} of {self.source.name}, left as they are", file=sys.stderr)
        if empty is not None and empty.where.shape == y.shape[-2:] and not isinstance(self.operator, Inpaint):
            mask = torch.from_numpy(~empty.where)[None, None].to(self.place)
        operator = self.operator
        if self.impulses is not None:
            told = torch.from_numpy(~self.impulses)
            if isinstance(operator, Identity):  # whose first estimate fills them
                operator = Inpaint(operator.image_shape, told.float())
            else:
                told = told[None].to(self.place)
                mask = told if mask is None else told & mask
        return Problem(y.to(self.place), operator.to(self.place), self.law, mask)

    @cached_property
    def problem(self) -> Problem:
        return self.as_given

    def _measurement(self) -> Tensor:
        """y (1, ...) in the shape that the operator gives; files hold some measurements in another shape."""
        y = torch.from_numpy(self.picture.pixels)[None]
        if self.operator.image_shape == y.shape[1:]:  # the usual case, without a needless application of A
            return y
        expected = self.operator(torch.zeros(1, *self.operator.image_shape)).shape
        if expected.numel() != y.numel():
            raise BadInput(
                f"{self.source} holds {y.numel()} values, the operator gives {expected.numel()}; check its settings"
            )
        return y.reshape(expected)


def _of_level(found: Noise, name: str, jpeg: bool, rounded: bool) -> str:
    """What the level is, for a person. rounded: it is that of the rounding of a JPEG, and not of noise."""
    why, advice = f", measured in {name}", "give --noise if you know better"
    if rounded:
        why = f", what {name} lost by its JPEG rounding, above the noise in it"
    elif found.floor and jpeg:
        why = f" is assumed, a floor: the rounding of a JPEG hides what noise {name} has"
        advice = "where you see some, give it, as --noise gaussian:0.02"
    elif found.floor:
        why = f" is assumed, a floor: {name} shows no noise above it"
    return f"gaussian:{found.sigma:.4f}{why}; {advice}"
