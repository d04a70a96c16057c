"""What benchmarks of the middle of photographs share: their options, and the quality inside a margin."""

from __future__ import annotations

import argparse

import numpy as np

from restorekit.metrics.fidelity import psnr


def add_options(parser: argparse.ArgumentParser, pictures: int, of: str) -> None:
    """Add --prior, --pictures (by default `pictures` of the sets `of`), --side and --threads."""
    parser.add_argument("--prior", default="natural")
    parser.add_argument("--pictures", type=int, default=pictures, help=f"of {of}, at most")
    parser.add_argument("--side", type=int, default=160, help="pixels, the middle of each picture")
    parser.add_argument("--threads", type=int, default=1)


def inner_psnr(y: np.ndarray, truth: np.ndarray, margin: int) -> float:
    """PSNR, dB, of y (C, H, W) cut to [0, 1], without `margin` pixels of each side."""
    inside = np.s_[:, margin:-margin, margin:-margin]
    return psnr(np.ascontiguousarray(y[inside], np.float32).clip(0, 1), np.ascontiguousarray(truth[inside]))
