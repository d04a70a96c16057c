"""What benchmarks of the middle of photographs share: their options, and the quality inside a margin."""

from __future__ import annotations

import argparse

import numpy as np

from restorekit.metrics.fidelity import psnr


def options_of_crops(description: str, pictures: int, of: str) -> argparse.ArgumentParser:
    """A parser of --prior, --pictures (by default `pictures` of the sets `of`), --side and --threads."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--prior", default="natural")
    parser.add_argument("--pictures", type=int, default=pictures, help=f"of {of}, at most")
    parser.add_argument("--side", type=int, default=160, help="pixels, the middle of each picture")
    parser.add_argument("--threads", type=int, default=1)
    return parser


def inner_psnr(y: np.ndarray, truth: np.ndarray, margin: int) -> float:
    """PSNR, dB, of y (C, H, W) cut to [0, 1], without `margin` pixels of each side."""
    inside = np.s_[:, margin:-margin, margin:-margin]
    return psnr(np.ascontiguousarray(y[inside], np.float32).clip(0, 1), np.ascontiguousarray(truth[inside]))
