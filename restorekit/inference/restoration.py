"""The result of a run holds samples, and what is needed to make them again and to judge them."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from restorekit.errors import BadInput
from restorekit.inference.residual import Unexplained
from restorekit.inference.solver import Step
from restorekit.metrics import fidelity

# Pictures are shown and written by rooms above this one. They are named here, and imported by whoever asks for them.
VIEW = "restorekit.report.restoration_view"
FILES = "restorekit.files.picture"
OVERWRITE = "restorekit.files.overwrite"
INPUTS = "restorekit.tasks.inputs"


@dataclass(frozen=True, eq=False, repr=False)
class Restoration:
    """A result holds samples (N, C, H, W) in the prior's unit, [0, 1] for pictures, with what is needed to make them
    again.

    nfe: network calls per sample. seconds: wall time. settings: solver, its settings, noise levels, number of samples,
    seed. notes: what a reader of the result should know, a line each. source: the task and the input that the result is
    of, which knows how to save it; None for a result of `restore`. trajectory: the steps of the run on the CPU, state
    and clean estimate (N, C, H, W) each, if it was told to record them. residual: what the first sample leaves of the measurement
    (`inference.residual`), of a task whose measurement is a picture. estimate: (C, H, W), the picture to show where that is not the mean of the
    samples, as where `inpaint` keeps what was measured.
    """

    samples: Tensor
    nfe: int
    seconds: float
    settings: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    source: Any = None
    trajectory: tuple[Step, ...] = ()
    estimate: Tensor | None = None
    residual: Unexplained | None = None

    @property
    def mean(self) -> Tensor:
        """Return the picture (C, H, W) to show when there are several samples: their mean, or `estimate` where the task knows better."""
        return self.samples.mean(0) if self.estimate is None else self.estimate

    @property
    def std(self) -> Tensor:
        """Return the standard deviation (C, H, W) of the samples, pixel by pixel: the error bar. NaN for one sample."""
        return self.samples.std(0) if len(self.samples) > 1 else torch.full_like(self.samples[0], torch.nan)

    def quantile(self, q: float | Sequence[float]) -> Tensor:
        """Return the quantile q of the samples, pixel by pixel: (C, H, W), or (len(q), C, H, W) for several.

        q lies between 0, the lowest sample, and 1, the highest; in between it is linear from one sample to the next (type
        7 of Hyndman and Fan, "Sample quantiles in statistical packages", 1996). Of N samples the lowest and the highest say nothing
        beyond 1 / (N + 1): an interval of 90 % takes 20 samples or more. Raises `BadInput` for q outside 0 to 1.
        """
        wanted = [q] if isinstance(q, int | float) else list(q)
        if not wanted or not all(0 <= one <= 1 for one in wanted):
            raise BadInput(f"q={q} must lie between 0 and 1", argument="q")
        ordered, last = self.samples.sort(0).values, len(self.samples) - 1
        quantiles = []
        for one in wanted:
            low = min(int(one * last), max(0, last - 1))
            quantiles.append(torch.lerp(ordered[low], ordered[min(low + 1, last)], one * last - low))
        return quantiles[0] if isinstance(q, int | float) else torch.stack(quantiles)

    def coverage(self, truth: Any, level: float = 0.9) -> float:
        """Return the share of the values of `truth` that lie inside the interval of `level` which the samples predict.

        truth: a path, an array (H, W) or (H, W, C), a tensor (C, H, W), or a `Picture`, read as the input of the task was; for a
        result of `restore` floats are in the unit of the samples. An array (C, H, W), of the shape of a sample, is taken too.

        It is near `level` where error bars are right, below where they are too narrow (`metrics.fidelity.coverage`: Student's
        prediction interval). Raises `BadInput` for fewer than two samples, a level that is no share, another shape, and what is no picture.
        """
        if len(self.samples) < 2:
            raise BadInput("one sample has no interval; restore with `samples=8`, or as many as there is time for")
        if not 0 < level < 1:
            raise BadInput(f"level={level:g} must lie between 0 and 1", argument="level")
        return fidelity.coverage(self.samples.detach().cpu().double().numpy(), self._read(truth), level)

    def _read(self, truth: Any) -> np.ndarray:
        """Return a truth as (C, H, W) in the unit of the samples."""
        numbers = isinstance(truth, np.ndarray) and truth.dtype.kind in "biuf" and not np.ma.is_masked(truth)
        if numbers and truth.shape == self.samples.shape[1:]:
            # torch knows no other order of bytes, and no steps backwards.
            truth = torch.from_numpy(np.array(truth, truth.dtype.newbyteorder("=")))
        if hasattr(self.source, "read_truth"):
            return self.source.read_truth(truth)
        inputs = importlib.import_module(INPUTS)
        values = truth.detach().cpu().numpy() if isinstance(truth, Tensor) else truth
        if getattr(getattr(values, "dtype", None), "kind", "") == "f":  # the prior may know other numbers than [0, 1]
            return inputs.bands_first(truth)[0]
        return inputs.take(truth).picture.pixels

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = True) -> list[Path]:
        """Write the result, whole or not at all, and return the paths of the files written.

        A result of a task is written as its command writes it: in the type and with the metadata of the input, error bars
        and record beside it. One of `restore` knows of no file: its sample, or the mean of several, becomes a picture with
        [0, 1] as black to white, uint8, or float32 in .tif and .npy. overwrite: whether files are replaced that are no results
        of restorekit. Raises `BadInput` where they are not to be, where the format cannot hold the picture, for NaN, and when
        the disk refuses.
        """
        owner = importlib.import_module(OVERWRITE)
        with owner.overwriting(overwrite):
            if self.source is not None:
                return list(self.source.save(self, path))
            owner.refuse_foreign([Path(path)])
            shown = self.samples[0] if len(self.samples) == 1 else self.mean
            importlib.import_module(FILES).write_picture(path, shown.detach().float().cpu().numpy())
        return [Path(path)]

    def plot(self) -> Any:
        """Return a figure of matplotlib with the mean, the standard deviation and the first samples.

        Raises `Unsupported` where matplotlib is not installed; a notebook shows a restoration without it.
        """
        return importlib.import_module(VIEW).figure(self)

    def _repr_html_(self) -> str:
        return importlib.import_module(VIEW).html(self)

    def __repr__(self) -> str:
        n, *shape = self.samples.shape
        known = self.samples.detach()[~self.samples.isnan()]
        low, high = known.aminmax() if known.numel() else (float("nan"), float("nan"))
        more = [f"{len(self.notes)} note{'s' * (len(self.notes) > 1)}"] if self.notes else []
        more += [f"{len(self.trajectory)} steps recorded"] if self.trajectory else []
        parts = [
            f"{'x'.join(map(str, shape))} in [{float(low):.3g}, {float(high):.3g}]", f"{n} sample{'s' * (n != 1)}",
            str(self.settings.get("solver", "no solver")), f"{self.nfe} network call{'s' * (self.nfe != 1)}",
            f"{self.seconds:.1f} s", *more,
        ]  # fmt: skip
        return f"{type(self).__name__}({', '.join(parts)})"
