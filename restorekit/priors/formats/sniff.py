"""What a file is by its first bytes, for files that are not what their name says; and weights that are no numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from restorekit.errors import BadInput

_STARTS = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"II*\0": "a TIFF picture",
    b"MM\0*": "a TIFF picture",
    b"RIFF": "a WebP picture",
    b"\x93NUMPY": "a NumPy array",
    b"PK\x03\x04": "a PyTorch file or another zip",
    b"\x80": "a pickle",
    b"\x89HDF": "an HDF5 file",
    b"GGUF": "a GGUF file",
}


def kind(path: Path) -> str | None:
    """ "a PNG picture" and the like; None for what is not in the table. Reads 16 bytes."""
    with open(path, "rb") as f:
        start = f.read(16)
    if not start:
        return "empty"
    if start[8:9] == b"{":  # eight bytes of length, then JSON
        return "a safetensors file"
    return next((name for bytes_, name in _STARTS.items() if start.startswith(bytes_)), None)


def refuse_nonfinite(path: Path, state: Mapping[str, Tensor]) -> None:
    """BadInput where a weight is NaN or infinite: every answer of such a network is NaN."""
    bad = [k for k, v in state.items() if v.is_floating_point() and not bool(v.isfinite().all())]
    if bad:
        raise BadInput(
            f"{path}: {len(bad)} of {len(state)} weights hold NaN or infinity, such as {bad[0]}; the training diverged or "
            "the file is damaged: take an earlier checkpoint"
        )
