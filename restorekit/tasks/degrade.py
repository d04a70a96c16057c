"""A test measurement made from a clean picture, with its truth."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from restorekit.errors import BadInput
from restorekit.files.atomic import check_target, together
from restorekit.files.formats import FORMATS, LOSSY
from restorekit.files.mask_file import written_beside
from restorekit.files.overwrite import overwriting, refuse_foreign, separate
from restorekit.files.picture import (
    Picture,
    check_span,
    check_writable,
    output_dtype,
    regridded,
    write_json,
    write_picture,
)
from restorekit.files.place import Placement
from restorekit.files.reading import Reading
from restorekit.files.recompressed import jpeg_options
from restorekit.files.record import earlier, head, refuse_of_another, superseded
from restorekit.files.record import outputs as checksums
from restorekit.files.session import number_of
from restorekit.files.transfer import Response, chosen, written_as
from restorekit.inference.likelihood import Gamma, Likelihood
from restorekit.notes import Notes
from restorekit.operators import Identity, Operator
from restorekit.report.panels import Panel, Panelled
from restorekit.sar.grain import Correlated
from restorekit.sar.speckle import swath
from restorekit.simulation.camera import Camera, Shot
from restorekit.tasks import ranges
from restorekit.tasks.inputs import Input, Source, Span, cropped, take
from restorekit.tasks.observation import MADE
from restorekit.tasks.saving import beside, record_file
from restorekit.text.cameras import camera_of
from restorekit.text.names import NO_PICTURE, files_of, noise_of, operator_of
from restorekit.text.spelling import located, noise_text, operation

ADDED = "gaussian:0.01"  # noise where none is given
CAMERA = "camera"  # the operator of a photograph that nothing blurred: its noise is mixed by what followed


@dataclass(frozen=True, kw_only=True)
class Degrading:
    """Settings of a test measurement; the call makes it.

    op: the forward model. noise: a law; None adds `ADDED`, and says so. correlated: "iw1", "iw2" or "iw3", speckle with the grain of that Sentinel-1 swath.
    dtype: "uint8", "uint16" or "float32", of the files, that of the input by default; integers clip the noise. layout: axes of an NPY
    file of three, "HWC" or "CHW". page: of a TIFF of several, from 1. transfer: the curve from light to values of the files, as of `Measurement`; "linear" degrades
    values as they are. None is that, and with a camera auto.
    camera: a `Camera`, or its text, as "phone:jpeg=off", that takes a photograph of the picture, in the place of `op` and `noise`; `transfer` is then
    the curve of the picture, and the file has that of the camera. clip_truth: cut the truth at black and white, as the
    camera does; files of integers always are.
    """

    op: str | Operator = "denoise"
    noise: str | Likelihood | None = None
    correlated: str | None = None
    seed: int = 0
    dtype: str | None = None
    range: Span | None = None
    transfer: str | None = None
    camera: str | Camera | None = None
    clip_truth: bool = False
    layout: str | None = None
    page: int | None = None

    def __call__(
        self, source: Source, *, out: str | os.PathLike[str] | None = None, notes: Notes | None = None
    ) -> Degraded:
        """Measure `source`. out: where it will be saved, whose format says how light is coded; else that of the input.

        Raises `BadInput` where the settings or the file of the measurement do not fit.
        """
        notes = Notes() if notes is None else notes
        law = self.law if isinstance(self.law, Likelihood) else noise_of(self.law)
        grained = law if self.correlated is None else _grained(law, self.correlated)
        logarithms = isinstance(law, Gamma) and law.domain == "log"
        if out is not None:
            self._separate(Path(source) if isinstance(source, str | os.PathLike) else None, Path(out))
        reading = Reading(self.layout, self.page)
        given = take(source, (0.0, 1.0) if logarithms else self.range and check_span(self.range), reading=reading)
        picture = given.picture
        if self.range is None:
            ranges.check_range(given.label, picture)
        if self.camera is not None:
            return self._photographed(given, out, notes)
        if logarithms and not picture.dtype.startswith("float"):
            raise BadInput(
                f"{given.label} holds {picture.dtype} and no logarithms of intensities; give floats, or `noise=gamma:4`"
            )
        shape = (picture.pixels.shape[0], picture.pixels.shape[1], picture.pixels.shape[2])
        operator = self.op if isinstance(self.op, Operator) else operator_of(self.op, image=shape)
        response = self.response(picture, given.coded_as if out is None else Path(out))
        clean = torch.from_numpy(response.decoded(picture).pixels)[None]
        y = grained.sample(operator(clean), torch.Generator().manual_seed(self.seed))[0]
        y = y if y.ndim == 3 else y.reshape(shape[0] if y.ndim == 2 else 1, 1, -1)
        dtype = self.dtype
        if operation(self.op) in NO_PICTURE:
            dtype = dtype or "float32"
            if dtype != "float32":
                raise BadInput(
                    f"a measurement of {operation(self.op)} is no picture and does not fit {dtype}; use `dtype=float32`"
                )
            picture = replace(picture, span=(0.0, 1.0))
        if response.coded:
            notes(f"transfer: {response.curve.name}, {given.name} was degraded in linear light, the unit of the noise")
            if not response.curve.fits(len(y)):
                raise BadInput(
                    f"`transfer={self.transfer}` has a curve for each of three bands, and the measurement has {len(y)}; give "
                    "one of grey",
                    argument="transfer",
                )
        seen = operator.inside(clean)[0]
        values, truth = (np.asarray(response.curve.encode(x.numpy())) for x in (y, seen))
        picture = _inside(picture, operator)
        lattice = Placement(*operator.lattice).inverse
        truth = truth.clip(0, 1) if self.clip_truth else truth
        made = Degraded(self, given, picture, values, truth, dtype, response, notes, lattice)
        if out is not None:
            made.check(Path(out))
        if self.noise is None:
            notes(f"noise: {ADDED} is added, as none was given; give `noise=gaussian:0.05` or another")
        return made

    def _photographed(self, given: Input, out: str | os.PathLike[str] | None, notes: Notes) -> Degraded:
        """Return the photograph that the camera takes of a picture."""
        camera = self.shooting
        assert camera is not None
        own = {"op": "denoise", "noise": None, "correlated": None}
        if asked := [name for name, value in own.items() if getattr(self, name) != value]:
            names = " and ".join(f"`{name}`" for name in asked)
            raise BadInput(f"a camera blurs and makes noise by its own settings; leave {names} out", argument="camera")
        if camera.jpeg is not None and self.dtype not in (None, "uint8"):
            raise BadInput(
                f"`dtype={self.dtype}`: a JPEG has 8 bits; leave it out, or switch that off, as `camera=phone:jpeg=off`",
                argument="dtype",
            )
        picture, dtype = given.picture, "uint8" if camera.jpeg is not None else self.dtype
        if len(picture.pixels) not in (1, 3) or not camera.curve.fits(len(picture.pixels)):
            raise BadInput(
                f"{given.label} has {len(picture.pixels)} bands, and a camera sees one or three; give a photograph"
            )
        told = chosen(self.transfer or "auto", "blur", "", picture, given.path or Path("picture.tif"))
        shot = camera(told.decoded(picture).pixels, torch.Generator().manual_seed(self.seed))
        like = cropped(picture, camera.frame(*picture.pixels.shape[1:]))
        info = {
            k: v for k, v in like.info.items() if k not in ("icc_profile", "png_chunks", "transfer_function", "bits")
        }
        stops = float((shot.truth >= 1).mean())
        notes(
            f"camera: {given.name} is taken as {told.curve.name}, and the file is coded as {camera.curve.name}; {stops:.1%} of the "
            "values are at white or above"
        )
        truth = shot.truth.clip(0, 1) if self.clip_truth else shot.truth
        same = Placement(*Identity(picture.pixels.shape).lattice).inverse  # type: ignore[arg-type]
        made = Degraded(
            self, given, replace(like, info=info), shot.values, truth, dtype, Response(camera.curve), notes, same, shot
        )
        if out is not None:
            made.check(Path(out))
        return made

    @property
    def law(self) -> str | Likelihood:
        """Return the noise that is added."""
        return ADDED if self.noise is None else self.noise

    @property
    def shooting(self) -> Camera | None:
        """Return the camera, None where there is none. Raises `BadInput` for a text of none."""
        return camera_of(self.camera) if isinstance(self.camera, str) else self.camera

    def truth_file(self, target: Path) -> Path:
        """Return the path of the truth that is written beside a measurement."""
        return truth_beside(target)

    @property
    def blurs(self) -> bool:
        """Return True where a camera is asked for whose kernel is written."""
        camera = self.shooting
        return camera is not None and camera.kernel is not None

    def response(self, picture: Picture, path: Path) -> Response:
        """Return how light is coded in a file `path` of the measurement."""
        like = written_as(path, picture, self.dtype)
        return chosen(self.transfer or "linear", operation(self.op), noise_text(self.law), like, path)

    def read(self, source: Path | None) -> list[Path]:
        """Return the files that the settings name, and the input."""
        op = self.op if isinstance(self.op, str) else None
        camera = self.camera if isinstance(self.camera, str) else None
        return files_of(op, self.transfer, camera) + ([] if source is None else [source])

    def _separate(self, source: Path | None, target: Path) -> None:
        own = [self.truth_file(target), *([kernel_beside(target)] if self.blurs else [])]
        separate(self.read(source), [target, self.truth_file(target), kernel_beside(target), record_file(target)])
        refuse_of_another(record_file(target), own)


@dataclass(frozen=True, eq=False, repr=False)
class Degraded(Panelled):
    """A measurement and its truth, (C, H, W) in values of the file, white = 1, not yet rounded to its type.

    notes: what a reader should know, a line each.
    """

    task: Degrading
    input: Input
    like: Picture
    values: np.ndarray
    truth: np.ndarray
    dtype: str | None
    response: Response
    told: Notes
    grid: Placement  # where pixels of the truth lie in the measurement
    shot: Shot | None = None  # of a camera

    @property
    def notes(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(self.told.texts)

    @property
    def measurement(self) -> Picture:
        """Return the measurement as a task takes it."""
        info = self.like.info | {MADE: self._made("")}
        return replace(self.like, pixels=self.values.astype(np.float32), alpha=None, empty=None, info=info)

    @property
    def kernel(self) -> np.ndarray | None:
        """Return the point spread function (h, w) of the camera, in light; None of a sharp one, and of an operator."""
        camera = self.task.shooting
        return None if camera is None else camera.kernel

    def _made(self, kernel: str) -> dict[str, Any]:
        """Return how the measurement was made, as a restoration of it has to know. kernel: the name of its file."""
        op, curve = self.task.op, self.response.curve
        text = located(op) if isinstance(op, str) else operation(op)
        if self.task.camera is not None:
            text = CAMERA if self.kernel is None else f"blur:kernel={kernel}"
        return {"operator": text, "transfer": curve.name, "curve": curve.record()}

    def _photo(self) -> dict[str, Any]:
        """Return what the record says of the noise, and of a camera."""
        camera = self.task.shooting
        if camera is None:
            return {"noise": noise_text(self.task.law), "correlated": self.task.correlated}
        kept = camera.settings()
        if isinstance(self.task.camera, str):
            kept |= {"text": self.task.camera}
        noise = camera.noise(len(self.values))
        alike = noise is not None and len(set(noise)) == 1
        return {"camera": kept, "noise": noise[0] if noise and alike else None, "noise_of_bands": noise}

    def check(self, target: Path) -> None:
        """Raise `BadInput` where the two files cannot be written, or would be coded otherwise than the measurement was made."""
        self.task._separate(self.input.path, target)
        if self.shot is None and self.task.response(self.like, target).curve != self.response.curve:
            raise BadInput(
                f"{target} codes light otherwise than the measurement was made ({self.response.curve.name}); name the file "
                f"when it is made, `out={target}`, or give `transfer={self.response.curve.name}`"
            )
        alpha = self.like.alpha is not None
        for path, values in ((target, self.values), (self.task.truth_file(target), self.truth)):
            for text in check_writable(path, len(values), alpha, self.dtype):
                self.told(text)
        check_target(record_file(target))
        if self.kernel is not None:
            check_target(kernel_beside(target))
        refuse_foreign(
            mask for file in (target, self.task.truth_file(target)) for mask in written_beside(file, self.like.info)
        )

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = True) -> list[Path]:
        """Write the measurement, the truth beside it as NAME_truth, of a camera that blurs its kernel as NAME_kernel.npy, and the
        record NAME.json; returns all of them. What an earlier measurement of the name left beside it, and this one has not, is
        removed, unless it was changed since.

        overwrite: whether files are replaced that are no results of restorekit. Raises `BadInput` where they are not to be, and
        as `check` does.
        """
        target = Path(path)
        with overwriting(overwrite):
            self.check(target)
        files = [target, self.task.truth_file(target)]
        masks: list[Path] = []
        with together():
            for file, values, grid in zip(files, (self._written(target), self.truth), (self.grid, None)):
                like, said = regridded(self._packed(file == target), values.shape[1:], grid)
                masks += written_beside(file, like.info)
                for text in [*(f"{file}: {text}" for text in said), *write_picture(file, values, like, self.dtype)]:
                    self.told(text)
            if self.kernel is not None:
                files.append(kernel_beside(target))
                write_picture(files[-1], self.kernel[None].astype(np.float32))
            old = self._superseded(target, [*files, *masks])
            write_json(record_file(target), self._record(target, [*files, *masks], old))
        for file in old:
            file.unlink(missing_ok=True)
        if old:
            self.told(f"{', '.join(file.name for file in old)}: of an earlier measurement {target.name}, removed")
        return [*files, record_file(target)]

    def _superseded(self, target: Path, written: list[Path]) -> list[Path]:
        """Return what an earlier measurement of this name left beside it and nobody has changed, or opened for this one."""
        opened = {number_of(path) for path in self.task.read(self.input.path)}
        return [p for p in superseded(record_file(target), "degrade", written) if number_of(p) not in opened]

    def _written(self, target: Path) -> np.ndarray:
        """Return the values to write: of a camera's JPEG those before, as the file itself is that JPEG."""
        return self.values if self.shot is None or not self._is_jpeg(target) else self.shot.before_jpeg

    def _packed(self, measurement: bool) -> Picture:
        camera = self.task.shooting
        if not measurement or camera is None or camera.jpeg is None:
            return self.like
        return replace(self.like, info=self.like.info | {"jpeg": jpeg_options(camera.jpeg, camera.chroma)})

    def _is_jpeg(self, target: Path) -> bool:
        camera = self.task.shooting
        return camera is not None and camera.jpeg is not None and FORMATS.get(target.suffix.lower()) == "JPEG"

    def _record(self, target: Path, files: list[Path], old: list[Path]) -> dict[str, Any]:
        task = self.task
        return {
            **head(command="degrade"),
            "input": self.input.record(),
            **self._made(kernel_beside(target).name),
            **self._photo(),
            "seed": task.seed,
            "range": written_as(target, self.like, self.dtype).span,
            "dtype": output_dtype(target, self.like.dtype, self.dtype).name,
            "outputs": checksums(files),
            **earlier(record_file(target), [*files, *old])[1],
        }

    def panels(self) -> list[Panel]:
        """Return the measurement and the truth; of a measurement that is no picture its values, the least black, the largest white."""
        y = self.values
        if operation(self.task.op) in NO_PICTURE:
            y = (y - y.min()) / (float(np.ptp(y)) or 1.0)
        return [Panel("measurement", y), Panel("truth", self.truth)]

    def __repr__(self) -> str:
        size, truth = ("x".join(map(str, x.shape)) for x in (self.values, self.truth))
        how = f"{operation(self.task.op)}, {noise_text(self.task.law)}" if self.shot is None else "by a camera"
        return f"Degraded({size} of a truth {truth}, {how}, seed {self.task.seed})"


def truth_beside(target: Path) -> Path:
    """Return the path of the truth, OUT_truth: of the format of OUT, and PNG where that would lose some of it, as JPEG does."""
    return beside(target, "truth", ".png" if FORMATS.get(target.suffix.lower()) in LOSSY else None)


def kernel_beside(target: Path) -> Path:
    """Return the path of the kernel of a camera, OUT_kernel.npy."""
    return beside(target, "kernel", ".npy")


def _inside(picture: Picture, operator: Operator) -> Picture:
    """Return the part of a picture that lies in the frame of the measurement."""
    _, height, width = operator.image_shape
    number = operator.inside(torch.arange(height * width).view(1, 1, height, width))
    if number.shape[-2:] == (height, width) or number.ndim != 4:
        return picture
    top, left = divmod(int(number[0, 0, 0, 0]), width)
    return cropped(picture, (top, left, number.shape[-2], number.shape[-1]))


def _grained(law: Likelihood, name: str) -> Likelihood:
    if not isinstance(law, Gamma):
        raise BadInput(f"`correlated={name}` is for speckle; give `noise=gamma:4`", argument="correlated")
    return Correlated.of(law, swath(name))
