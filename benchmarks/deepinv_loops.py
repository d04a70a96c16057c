"""deepinv's DDRM, DPS and DiffPIR on the problems of overhead.py, as functions of the measurement."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

_KEPT: list[Any] = []  # a torch.library.Library stops working when it is collected


def import_deepinv() -> Any:
    """deepinv, also beside a CPU-only torch, where the torchvision wheel lacks the operators that it registers."""
    try:
        import torchvision  # noqa: F401  # pyright: ignore[reportMissingImports]
    except RuntimeError:
        for name in [n for n in sys.modules if n.startswith("torchvision")]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT.append(library)
    except ImportError:
        pass
    import deepinv  # pyright: ignore[reportMissingImports]

    return deepinv


def deepinv_loops(
    net: nn.Module, kernel: Tensor, mask: Tensor, steps: int, sigma_y: float
) -> dict[str, Callable[[Tensor], Tensor]]:
    try:
        dinv = import_deepinv()
    except ImportError:
        print('deepinv is not installed; `pip install "torch==<yours>" deepinv`, or leave it out with --no-deepinv')
        return {}
    side, mask = mask.shape[-1], mask.expand(1, 3, -1, -1)  # its DDRM knows no mask shared by the bands
    noise = dinv.physics.GaussianNoise(sigma_y)
    physics = {
        "inpainting": dinv.physics.Inpainting((3, side, side), mask=mask[0], noise_model=noise),
        "circular blur": dinv.physics.BlurFFT((3, side, side), filter=kernel[None, None], noise_model=noise),
        "reflect blur (CG)": dinv.physics.Blur(filter=kernel[None, None], padding="reflect", noise_model=noise),
    }

    class Network(dinv.models.Denoiser):
        def __init__(self) -> None:
            super().__init__()
            self.inner = net

        def forward(self, x: Tensor, sigma: Any = None, *_: Any, **__: Any) -> Tensor:
            return self.inner(x, sigma)

    denoiser, fidelity = Network(), dinv.optim.L2()
    sigmas = torch.linspace(1, 0, steps + 1)[:-1].tolist()
    ddrm = dinv.sampling.DDRM(denoiser, sigmas=sigmas)
    dps = dinv.sampling.DPS(denoiser, num_steps=steps, dtype=torch.float32, device="cpu", verbose=False)
    pir = dinv.sampling.DiffPIR(denoiser, fidelity, sigma=sigma_y, max_iter=steps, device="cpu")
    loops: dict[str, Callable[[Tensor], Tensor]] = {}
    for solver, call in (("DDRM", ddrm), ("DPS", dps), ("DiffPIR", pir)):
        for name, p in physics.items():
            loops[f"{solver} {name}"] = lambda y, call=call, p=p: call(y, p)
    return loops
