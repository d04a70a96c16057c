"""torchvision may lie beside a CPU-only torch: deepinv and diffusers import it, and some of its wheels cannot be
imported there."""

from __future__ import annotations

import sys
from typing import Any

import torch

_KEPT: list[Any] = []  # a torch.library.Library stops working when it is collected


def mend_torchvision() -> None:
    """Let `import torchvision` work, if it is installed, where its compiled part does not load.

    The wheel of the package index is linked to CUDA; beside a torch without CUDA it fails to load, and then to describe
    the operators `nms` and `qnms` that are not there. Declaring the two, which nothing here uses, lets the rest work.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:  # half imported
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT.append(library)
    except ImportError:
        pass
