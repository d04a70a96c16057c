"""deepinv's DDRM, DPS and DiffPIR on the problems of overhead.py, as functions of the measurement."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from restorekit.errors import BadInput
from restorekit.interop.deepinv import import_deepinv, model_from


def deepinv_loops(
    net: nn.Module, kernel: Tensor, mask: Tensor, steps: int, sigma_y: float
) -> dict[str, Callable[[Tensor], Tensor]]:
    try:
        dinv = import_deepinv()
    except BadInput as error:
        print(f"{error}; or leave it out with --no-deepinv")
        return {}
    side, mask = mask.shape[-1], mask.expand(1, 3, -1, -1)  # its DDRM knows no mask shared by the bands
    noise = dinv.physics.GaussianNoise(sigma_y)
    physics = {
        "inpainting": dinv.physics.Inpainting((3, side, side), mask=mask[0], noise_model=noise),
        "circular blur": dinv.physics.BlurFFT((3, side, side), filter=kernel[None, None], noise_model=noise),
        "reflect blur (CG)": dinv.physics.Blur(filter=kernel[None, None], padding="reflect", noise_model=noise),
    }

    denoiser, fidelity = model_from(net), dinv.optim.L2()
    sigmas = torch.linspace(1, 0, steps + 1)[:-1].tolist()
    ddrm = dinv.sampling.DDRM(denoiser, sigmas=sigmas)
    dps = dinv.sampling.DPS(denoiser, num_steps=steps, dtype=torch.float32, device="cpu", verbose=False)
    pir = dinv.sampling.DiffPIR(denoiser, fidelity, sigma=sigma_y, max_iter=steps, device="cpu")
    loops: dict[str, Callable[[Tensor], Tensor]] = {}
    for solver, call in (("DDRM", ddrm), ("DPS", dps), ("DiffPIR", pir)):
        for name, p in physics.items():
            loops[f"{solver} {name}"] = lambda y, call=call, p=p: call(y, p)
    return loops
