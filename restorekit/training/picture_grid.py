"""The sheets that a run leaves in `samples/`, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from restorekit.files.picture import write_picture


def write_grid(path: Path, rows: Sequence[Tensor]) -> None:
    """Write rows of pictures, each (N, C, H, W) on [0, 1], below each other as one picture; what lies beyond is clipped."""
    path.parent.mkdir(exist_ok=True)
    sheet = torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)
    write_picture(path, sheet.nan_to_num().clamp(0, 1).float().cpu().numpy())  # of a run that diverged, too
