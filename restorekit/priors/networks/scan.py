"""The scan of Mamba-2 as matrix products over chunks (SSD): Dao and Gu, "Transformers are SSMs", ICML 2024, section 6.

Per head, with the state h (P, N), a decay A < 0 and a step dt_t >= 0:
    h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t',     y_t = h_t C_t + D x_t.
(Li et al. 2025 prints it as eqs 6 and 7, where B_bar lacks the factor dt; its eq 8, a convolution, holds only where dt, B and
C do not depend on t, which is not so here.)

`restorekit.priors.networks.scan_torch` is the scan in torch; on CUDA the Triton kernel of mamba-ssm takes its place where it is there.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal

import torch
from torch import Tensor

from restorekit.priors.networks.scan_torch import CHUNK, scan

Backend = Literal["auto", "torch", "mamba_ssm"]
log = logging.getLogger(__name__)


def upstream() -> ModuleType:
    """Return the module of mamba-ssm that holds the kernel.

    The package itself imports a compiled extension of Mamba-1, which Mamba-2 does not need and installs without nvcc do
    not have; where that fails, the module is imported past it.
    """
    name = "mamba_ssm.ops.triton.ssd_combined"
    try:
        return importlib.import_module(name)
    except Exception:
        spec = None if "mamba_ssm" in sys.modules else importlib.util.find_spec("mamba_ssm")
        if spec is None or spec.submodule_search_locations is None:
            raise
        package = ModuleType("mamba_ssm")
        package.__path__ = list(spec.submodule_search_locations)
        sys.modules["mamba_ssm"] = package
        try:
            return importlib.import_module(name)
        finally:
            del sys.modules["mamba_ssm"]  # who wants the package itself gets its own error


@functools.cache
def kernel() -> Callable[..., Any] | None:
    """Return the Triton kernel of mamba-ssm, None where it cannot be imported (a broken build raises more than
    ImportError)."""
    try:
        function = upstream().mamba_chunk_scan_combined
    except Exception as error:  # noqa: BLE001
        log.info("scan: torch (mamba-ssm cannot be imported: %s)", str(error).partition("\n")[0])
        return None
    log.info("scan: the kernel of mamba-ssm on CUDA")
    return function  # type: ignore[no-any-return]


def ssd_scan(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None = None, *,
    initial: Tensor | None = None, chunk: int = CHUNK, backend: Backend = "auto",
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return y (batch, L, H, P) in the dtype of x, and the last state (batch, H, P, N) in float32 at least.

    x (batch, L, H, P); dt (batch, L, H), not negative; A (H,), negative; B, C (batch, L, G, N), each group shared by H
    / G heads in a row; D (H,); initial (batch, H, P, N), zero where None. L is any number from 1 on.

    backend: "auto" takes the kernel of mamba-ssm for tensors on CUDA where it can be imported (in float64 it has none),
    "torch" the scan of `chunks`; the variable RESTOREKIT_SCAN (torch or mamba_ssm) overrules "auto".
    """
    if backend == "auto":
        backend = os.environ.get("RESTOREKIT_SCAN", "auto")  # type: ignore[assignment]
    if backend not in ("auto", "torch", "mamba_ssm"):
        raise ValueError(f"backend={backend!r} is unknown; it is auto, torch or mamba_ssm")
    suits = x.is_cuda and x.dtype != torch.float64
    fast = None if backend == "torch" or (backend == "auto" and not suits) else kernel()
    B, C = B.to(x.dtype), C.to(x.dtype)
    if fast is not None:
        return fast(x, dt, A, B, C, chunk, D=D, initial_states=initial, return_final_states=True)  # type: ignore[no-any-return]
    if backend == "mamba_ssm":
        raise ValueError("backend='mamba_ssm' needs mamba-ssm, which cannot be imported here; use 'auto' or 'torch'")
    return scan(chunk)(x, dt, A, B, C, D, initial)  # type: ignore[return-value]
