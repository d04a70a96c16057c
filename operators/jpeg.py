"""This module maps pictures to what a JPEG file holds: DCT coefficients of blocks of luma and of chroma averaged over a few pixels, before they are rounded.

ITU-T T.81 (1992), annex A.3.3 (the DCT, which is orthonormal) and A.2 (blocks and components); the colours are those of
JFIF 1.02 (T.871), by full range BT.601.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from restorekit.operators.base import LinearOperator
from restorekit.operators.combine import Compose

BLOCK = 8
Sampling = tuple[tuple[int, int], ...]
_YCC = ((0.299, 0.587, 0.114), (-0.168735892, -0.331264108, 0.5), (0.5, -0.418687589, -0.081312411))
_SWAPPED, _ROWS, _COLUMNS = (5, 6, 7, 8), (3, 4, 7, 8), (2, 3, 6, 7)  # EXIF 2.3, section 4.6.4


@dataclass(frozen=True, eq=False)
class JPEG(LinearOperator):
    """It takes pictures (B, C, H, W) on [0, 1], as they are shown, to the coefficients (B, m) that an encoder rounds.

    sampling: (rows, columns) of pixels whose mean is a value of each component, ((1, 1), (2, 2), (2, 2)) for 4:2:0. colour:
    "ycc" for luma and chroma, "none" for components as they are (one of grey, or RGB). orientation: how EXIF says that the
    stored picture is turned. Blocks that reach beyond the picture are filled by repeating its last row and column, as the
    encoders of libjpeg do. Coefficients are in the unit of the picture, white = 1, component by component, block by block in rows,
    and in a block (8, 8) with frequencies of rows first; those of a file, times their steps and over 255, less the level of 128
    of luma (`level`). A A' is not diagonal, as rows of the matrix of colours are not orthogonal, but each component alone is: for
    luma by 0.447.
    frame: TOP, LEFT, HEIGHT, WIDTH of the part that is asked for, as shown, where blocks reach beyond it. Take it with `Quantised`.
    Raises ValueError for a sampling or bands that no JPEG of this kind has.
    """

    sampling: Sampling = ((1, 1), (2, 2), (2, 2))
    colour: Literal["ycc", "none"] = "ycc"
    orientation: int = 1
    frame: tuple[int, int, int, int] | None = None

    def __post_init__(self) -> None:
        bands = self.image_shape[0]
        if bands not in (1, 3) or len(self.sampling) != bands or (self.colour == "ycc" and bands != 3):
            raise ValueError(f"{bands} band(s) are no JPEG of {len(self.sampling)} component(s); it has 1 or 3")
        if min(min(s) for s in self.sampling) < 1 or self.orientation not in range(1, 9):
            raise ValueError(f"sampling {self.sampling} is counted from 1, orientation {self.orientation} from 1 to 8")

    def _matrix(self, like: Tensor) -> Tensor:
        """Return the matrix (C, C) from bands to components."""
        rows = _YCC if self.colour == "ycc" else torch.eye(self.image_shape[0]).tolist()
        return torch.tensor(rows, dtype=like.dtype, device=like.device)

    @property
    def _stored(self) -> tuple[int, int]:
        _, h, w = self.image_shape
        return (w, h) if self.orientation in _SWAPPED else (h, w)

    @cached_property
    def grids(self) -> list[tuple[int, int]]:
        """Return the number of blocks of each component, down and across."""
        sides = self._stored
        return [(-(-sides[0] // (BLOCK * a)), -(-sides[1] // (BLOCK * b))) for a, b in self.sampling]

    @property
    def sizes(self) -> list[int]:
        """Return the number of coefficients of each component."""
        return [BLOCK * BLOCK * a * b for a, b in self.grids]

    def level(self, like: Tensor) -> Tensor:
        """Return (1, m), what 128, which is taken off before the DCT, adds to the coefficients of `like`: of chroma 0."""
        parts = []
        for i, n in enumerate(self.sizes):
            part = like.new_zeros(n // BLOCK**2, BLOCK**2)
            part[:, 0] = BLOCK * 128 / 255 if self.colour == "none" or i == 0 else 0.0
            parts.append(part.flatten())
        return torch.cat(parts)[None]

    def gains(self, like: Tensor) -> list[float]:
        """Return the deviation that white noise of deviation 1 of pictures (B, C, H, W) has in the coefficients of each component, C
        numbers; `like`, of any shape, says in which dtype."""
        norms = self._matrix(like).square().sum(1).sqrt().tolist()
        return [n / (a * b) ** 0.5 for n, (a, b) in zip(norms, self.sampling)]

    def coefficients(self, y: Tensor) -> list[Tensor]:
        """Return coefficients (B, m) as those of each component, (B, rows, columns, 8, 8) of blocks."""
        return [p.unflatten(1, (*g, BLOCK, BLOCK)) for p, g in zip(y.split(self.sizes, 1), self.grids)]

    def inside(self, x: Tensor) -> Tensor:
        if self.frame is None:
            return x
        top, left, height, width = self.frame
        return x[..., top : top + height, left : left + width]

    def __call__(self, x: Tensor, /) -> Tensor:
        planes = _mixed(self._matrix(x), self._as_stored(x))
        return torch.cat([_dct(self._averaged(planes[:, i], i)).flatten(1) for i in range(planes.shape[1])], 1)

    def adjoint(self, y: Tensor, /) -> Tensor:
        planes = [self._spread(_idct(c), i) for i, c in enumerate(self.coefficients(y))]
        return self._as_shown(_mixed(self._matrix(y).mT, torch.stack(planes, 1)))

    def estimate(self, y: Tensor) -> Tensor:
        """Return the decoded picture (B, C, H, W), chroma enlarged linearly, within [0, 1]."""
        planes = [self._enlarged(_idct(c), i) for i, c in enumerate(self.coefficients(y))]
        matrix = torch.linalg.inv(self._matrix(y).cpu()).to(y)
        return self._as_shown(_mixed(matrix, torch.stack(planes, 1))).clamp(0, 1)

    def precondition(self, r: Tensor, rho: float) -> Tensor:
        return self.precondition_weighted(r, r.new_ones(1, sum(self.sizes)), rho)

    def precondition_weighted(self, r: Tensor, squares: Tensor, rho: float) -> Tensor:
        """Return about (A' W A + rho)^-1 r, like r (B, C, H, W), `squares` (B or 1, m) on the diagonal of W.

        As if weights were alike in all blocks, and a frequency of averaged chroma were one of the block.
        """
        matrix = self._matrix(r)
        told = r.new_zeros(len(squares), len(matrix), BLOCK, BLOCK)
        for i, (part, (a, b)) in enumerate(zip(self.coefficients(squares), self.sampling)):
            mean = part.mean((1, 2))[:, ::a, ::b]  # what the block of the picture has of its frequencies
            told[:, i, : mean.shape[1], : mean.shape[2]] = mean / (a * b)
        system = torch.einsum("ncuv,ci,cj->nuvij", told, matrix, matrix)
        eye = torch.eye(len(matrix), dtype=r.dtype, device=r.device)
        inverse = torch.linalg.inv((system + rho * eye).double().cpu()).to(r)
        z = self._as_stored(r)
        height, width = z.shape[-2:]
        blocks = _dct(F.pad(z, (0, -width % BLOCK, 0, -height % BLOCK)).flatten(0, 1)).unflatten(0, z.shape[:2])
        z = _idct(
            torch.einsum("buvij,bjhwuv->bihwuv", inverse.expand(len(r), *inverse.shape[1:]), blocks).flatten(0, 1)
        ).unflatten(0, z.shape[:2])
        return self._as_shown(z[..., :height, :width])

    def _norm(self, like: Tensor, iterations: int) -> float:
        """Return that of whole blocks: where the last column fills a block it is told often, and no better."""
        scale = torch.tensor([(a * b) ** -0.5 for a, b in self.sampling])
        return float(torch.linalg.svdvals(scale[:, None] * self._matrix(scale)).max())

    def _averaged(self, plane: Tensor, i: int) -> Tensor:
        """Return values of component i (B, h, w), whole blocks, of a plane (B, H, W)."""
        (rows, columns), (a, b), (h, w) = self.grids[i], self.sampling[i], self._stored
        more = (0, rows * a * BLOCK - h, 0, columns * b * BLOCK - w)
        plane = F.pad(plane[:, None], (more[0], more[3], more[2], more[1]), mode="replicate")
        return F.avg_pool2d(plane, (a, b))[:, 0] if (a, b) != (1, 1) else plane[:, 0]

    def _spread(self, values: Tensor, i: int) -> Tensor:
        """Return the adjoint of `_averaged`: (B, h, w) -> (B, H, W)."""
        (a, b), (h, w) = self.sampling[i], self._stored
        z = values.repeat_interleave(a, 1).repeat_interleave(b, 2) / (a * b)
        z = torch.cat([z[:, : h - 1], z[:, h - 1 :].sum(1, keepdim=True)], 1)
        return torch.cat([z[..., : w - 1], z[..., w - 1 :].sum(2, keepdim=True)], 2)

    def _enlarged(self, values: Tensor, i: int) -> Tensor:
        (a, b), (h, w) = self.sampling[i], self._stored
        if (a, b) == (1, 1):
            return values[:, :h, :w]
        kept = values[:, None, : -(-h // a), : -(-w // b)]  # a decoder does not look at what fills the block
        size = (kept.shape[2] * a, kept.shape[3] * b)
        return F.interpolate(kept, size, mode="bilinear", align_corners=False)[:, 0, :h, :w]

    def _as_shown(self, x: Tensor) -> Tensor:
        return _mirrored(x.mT if self.orientation in _SWAPPED else x, self.orientation)

    def _as_stored(self, x: Tensor) -> Tensor:
        x = _mirrored(x, self.orientation)
        return x.mT if self.orientation in _SWAPPED else x


@dataclass(frozen=True, eq=False)
class JPEGAfter(Compose):
    """Another linear operator measures, and its picture is written as JPEG: y = outer(inner(x)), outer a `JPEG`."""

    def estimate(self, y: Tensor) -> Tensor:
        """Return the estimate (B, C, H, W) of the inner operator from the decoded picture."""
        return self.inner.estimate(self.outer.estimate(y))

    def inside(self, x: Tensor) -> Tensor:
        return self.inner.inside(x)

    def precondition(self, r: Tensor, rho: float) -> Tensor:
        return self.inner.precondition(r, rho)

    def precondition_weighted(self, r: Tensor, squares: Tensor, rho: float) -> Tensor:
        """Return about (A' W A + rho)^-1 r, like r (B, C, H, W), `squares` (B or 1, m) on the diagonal of W.

        By the inner operator, as if all pixels were known as coefficients of luma are on the mean."""
        outer = self.outer
        assert isinstance(outer, JPEG)
        size = max(float(squares.expand(len(r), -1)[:, : outer.sizes[0]].mean()), 1e-30)
        return self.inner.precondition(r / size, rho / size)


def _mirrored(x: Tensor, orientation: int) -> Tensor:
    axes = [axis for axis, of in ((-2, _ROWS), (-1, _COLUMNS)) if orientation in of]
    return x.flip(axes) if axes else x


def _mixed(matrix: Tensor, x: Tensor) -> Tensor:
    return torch.einsum("ij,bj...->bi...", matrix, x)


def _transform(like: Tensor) -> Tensor:
    k, n = (torch.arange(BLOCK, dtype=torch.float64) for _ in "kn")
    d = torch.cos(torch.pi / BLOCK * k[:, None] * (n + 0.5)) * (2 / BLOCK) ** 0.5
    d[0] /= 2**0.5
    return d.to(like)


def _dct(plane: Tensor) -> Tensor:
    """(B, h, w) -> (B, h / 8, w / 8, 8, 8)."""
    d, (b, h, w) = _transform(plane), plane.shape
    blocks = plane.view(b, h // BLOCK, BLOCK, w // BLOCK, BLOCK).transpose(2, 3)
    return d @ blocks @ d.T


def _idct(c: Tensor) -> Tensor:
    d, (b, h, w, *_) = _transform(c), c.shape
    return (d.T @ c @ d).transpose(2, 3).reshape(b, h * BLOCK, w * BLOCK)
