"""The first bytes tell what a file is that is not what its name says; weights that are no numbers are refused."""

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
    """Return "a PNG picture" and the like, by 16 bytes; None for what is not in the table."""
    with open(path, "rb") as f:
        start = f.read(16)
    if not start:
        return "empty"
    if start[8:9] == b"{":  # eight bytes of length, then JSON
        return "a safetensors file"
    return next((name for bytes_, name in _STARTS.items() if start.startswith(bytes_)), None)


def refuse_nonfinite(path: Path, state: Mapping[str, Tensor]) -> None:
    """Raise BadInput where a weight is NaN or infinite: every answer of such a network is NaN."""
    bad = [k for k, v in state.items() if v.is_floating_point() and not bool(v.isfinite().all())]
    if bad:
        raise BadInput(
            f"{path}: {len(bad)} of {len(state)} weights hold NaN or infinity, such as {bad[0]}; the training diverged or "
            "the file is damaged: take an earlier checkpoint"
        )
