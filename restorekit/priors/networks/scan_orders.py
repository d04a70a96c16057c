"""The orders in which a causal scan walks over a grid of tokens; features stay in another order only inside a block.

`order[k]` is the raster number (row * width + column) of the token at place k; `inverse[order] = 0, 1, 2, ...`.
A token hears only of those in front of it, so what counts is which pairs a few blocks with different orders connect:

name          share of ordered pairs of a 16 x 16 grid connected after 1, 2, 4, 8 blocks
cross4        .50  1.   1.   1.      rows, rows from the end, columns, columns from the end (DiM; VMamba)
zigzag8       .50  .97  1.   1.      rows and columns to and fro, from each corner (ZigMa)
spiral-alt    .50  1.   1.   1.      the eight spirals of Li et al. 2025, outwards and inwards in turn
spiral-seed   .50  .55  .58  .58     Li et al. 2025, section 4.1: eight outwards, and only then inwards

The paper says that its eight orders give each token the whole picture; they do not, for a spiral outwards meets ring
after ring in the same order whatever its corner, and 42 % of the pairs wait for the ninth block. Its Figure 3 is read as
the spiral from the top left going right, and its images under the symmetries of the square.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

SCANS = ("cross4", "zigzag8", "spiral-alt", "spiral-seed")


def _spiral(grid: Tensor) -> Tensor:
    """Return the numbers in `grid`, ring by ring from outside, clockwise from the top left."""
    parts = []
    while grid.numel():
        parts.append(grid[0])
        grid = grid[1:].T.flip(0)  # a quarter turn against the clock: the next side comes to the top
    return torch.cat(parts)


def _snake(grid: Tensor) -> Tensor:
    """Return the numbers in `grid` row by row, each from where the last one ended."""
    grid = grid.clone()
    grid[1::2] = grid[1::2].flip(1)
    return grid.flatten()


def _view(grid: Tensor, which: int) -> Tensor:
    """Return one of the 8 symmetries of a grid: transposed for odd numbers, then one of the 4 corners first."""
    grid = grid.T if which % 2 else grid
    corner = which // 2 % 4
    return grid.flip([axis for axis in (0, 1) if corner >> axis & 1])


def _order(scan: str, block: int, grid: Tensor) -> Tensor:
    if scan == "cross4":
        order = (grid.T if block % 4 > 1 else grid).flatten()
        return order.flip(0) if block % 2 else order
    if scan == "zigzag8":
        return _snake(_view(grid, block % 8))
    if scan not in SCANS:
        raise ValueError(f"scan={scan!r} is unknown; it is one of {', '.join(SCANS)}")
    inwards = block % 2 == 1 if scan == "spiral-alt" else block >= 8
    order = _spiral(_view(grid, block % 8))
    return order if inwards else order.flip(0)


@lru_cache(maxsize=512)
def scan_order(scan: str, block: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return (order, inverse) of block number `block` on a grid of height x width tokens, both (height * width,) on
    the CPU."""
    order = _order(scan, block, torch.arange(height * width).view(height, width))
    return order, order.argsort()


@lru_cache(maxsize=512)
def _passage(
    scan: str, blocks: tuple[int | None, int | None], height: int, width: int, front: int, back: int, device: str
) -> tuple[Tensor, Tensor] | None:
    raster = torch.arange(height * width)
    (_, undo), (order, _) = (
        (raster, raster) if block is None else scan_order(scan, block, height, width) for block in blocks
    )
    inner = undo[order]
    if bool((inner == raster).all()):
        return None
    ends = torch.arange(front), torch.arange(back) + front + height * width
    index = torch.cat([ends[0], inner + front, ends[1]])
    return index.to(device), index.argsort().to(device)


_find: Any = _passage


def passage(
    scan: str, blocks: tuple[int | None, int | None], height: int, width: int, front: int, back: int, device: str
) -> tuple[Tensor, Tensor] | None:
    """Return an index and its inverse from the order of one block to that of another (None: raster order), None where
    they agree.

    `front` tokens ahead of the grid and `back` behind it stay where they are.
    """
    return _find(scan, blocks, height, width, front, back, device)


def keep_apart() -> None:
    """Have torch.compile stop at `passage`: in one piece the blocks take ten times as long to compile and run no
    faster.

    It is not done on import: that would load all of torch.compile, a third of the time of one.
    """
    global _find
    _find = torch.compiler.disable(_passage)


class _Move(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        return x.index_select(1, index)

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx, *grads: Tensor):
        index, inverse = ctx.saved_tensors
        return _Move.apply(grads[0], inverse, index), None, None


def move(x: Tensor, way: tuple[Tensor, Tensor] | None) -> Tensor:
    """Return x (B, L, D) in the order of a `passage`. Its gradient is a gather too; autograd's adds up, twice as slow."""
    return x if way is None else _Move.apply(x, *way)  # type: ignore[no-any-return]
