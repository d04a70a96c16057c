"""Likeness tells how alike pictures look to a network: LPIPS where its weights are on this machine, and what stands in
for it.

The stand-in is a distance of features of the shipped prior. It is not LPIPS: nothing in it was fitted to what people
see.
"""

from __future__ import annotations

import pickle
import tempfile
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from restorekit.errors import BadInput
from restorekit.priors.perception.features import EncoderFeatures, encoder
from restorekit.priors.perception.vision import mend_torchvision

# The files in which torchvision keeps the backbones of LPIPS, as torch.hub names them.
BACKBONES = {"alex": "alexnet-owt-7be5be79.pth", "squeeze": "squeezenet1_1-b8a52dc0.pth", "vgg": "vgg16-397923af.pth"}
PIP = 'pip install "torch==YOURS" torchmetrics torchvision'


def need_torchmetrics(why: str) -> None:
    """Raise BadInput where torchmetrics or torchvision is missing; after it both can be imported."""
    if missing := [n for n in ("torchmetrics", "torchvision") if find_spec(n) is None]:
        raise BadInput(f"{why} needs {' and '.join(missing)}: {PIP}")
    mend_torchvision()


def rgb(x: np.ndarray) -> Tensor:
    """Return (C, H, W) as (1, 3, H, W) in [0, 1]: grey three times, of more than three bands the first three."""
    t = torch.from_numpy(np.ascontiguousarray(np.clip(x, 0, 1), np.float32))[None]
    return t[:, :1].expand(-1, 3, -1, -1) if x.shape[0] < 3 else t[:, :3]


@dataclass(frozen=True, eq=False)
class PriorDistance:
    """The distance is the mean over resolutions and pixels of |a/|a| - b/|b||^2, a and b the features of two pictures.

    0 if equal, at most 4. The form of Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual
    Metric", CVPR 2018, eq 1, with w = 1, on the encoder of the denoiser `natural` at sigma 0.02, in place of a network
    trained on objects.
    """

    features: EncoderFeatures

    @classmethod
    def shipped(cls) -> PriorDistance:
        """Return the distance by the shipped prior `natural`."""
        return cls(encoder("natural", 0.02))

    def to(self, device: torch.device) -> None:
        """Move the network to a device."""
        self.features.net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def between(self, x: Tensor, truth: Tensor) -> Tensor:
        """Return the mean over pictures (B, 1 or 3, H, W), not clipped; with the gradient of x."""
        with torch.no_grad():
            b = self.features(truth)
        pairs = zip(self.features(x), b)
        return torch.stack([_unit(p).sub(_unit(q)).square().sum(1).mean() for p, q in pairs]).mean()

    def __call__(self, x: np.ndarray, truth: np.ndarray) -> float:
        """Return the distance of pictures (C, H, W) in [0, 1], clipped to it; other than 1 or 3 bands are taken one by
        one."""
        pair = [torch.from_numpy(np.ascontiguousarray(np.clip(p, 0, 1), np.float32)) for p in (x, truth)]
        a, b = (p[None] if len(p) in (1, 3) else p[:, None] for p in pair)
        return float(self.between(a, b))


def _unit(features: Tensor) -> Tensor:
    features = features.float()
    return features / (features.norm(dim=1, keepdim=True) + 1e-6)


def gradient_distance(x: Tensor, truth: Tensor, scales: int = 3) -> Tensor:
    """Return the mean absolute difference of the first differences along both axes of (B, C, H, W), at `scales` sizes.

    Each is half of the one before (means of 2 x 2). It sees edges and not levels, of which a mean absolute difference
    alone sees most.
    """
    error, total = x - truth, x.new_zeros(())
    for scale in range(scales):
        error = F.avg_pool2d(error, 2) if scale else error
        total = total + (error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()) / 2
    return total / scales


@dataclass(frozen=True)
class LPIPS:
    """It is torchmetrics' LPIPS with the backbone `net`, whose weights are in `weights`, a file that torchvision
    wrote."""

    net: str
    weights: Path

    @cached_property
    def metric(self) -> Any:
        """Return the metric of torchmetrics, with the weights loaded. Raises BadInput where they do not fit."""
        need_torchmetrics("LPIPS")
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        try:  # torchvision unpickles whatever it finds: first see that there are weights in it and nothing else
            torch.load(self.weights, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, OSError, ValueError, EOFError) as error:
            raise BadInput(f"{self.weights}: not a file of weights ({_line(error)})") from None
        before = torch.hub.get_dir()
        # torchvision takes weights from its cache alone: this is one, with this file in it and nothing to download.
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "checkpoints" / BACKBONES[self.net]
            place.parent.mkdir()
            place.symlink_to(self.weights.resolve())
            try:
                torch.hub.set_dir(folder)
                return LearnedPerceptualImagePatchSimilarity(self.net, normalize=True).eval()  # type: ignore[arg-type]
            except (RuntimeError, OSError, ValueError, EOFError) as error:
                raise BadInput(f"{self.weights}: not the weights of {self.net} ({_line(error)})") from None
            finally:
                torch.hub.set_dir(before)

    def to(self, device: torch.device) -> None:
        """Move the network to a device."""
        self.metric.to(device)

    def between(self, x: Tensor, truth: Tensor) -> Tensor:
        """Return the mean over pictures (B, 1 or 3, H, W), not clipped; with the gradient of x."""
        x, truth = (t.expand(-1, 3, -1, -1) if t.shape[1] == 1 else t for t in (x, truth))
        return self.metric.net(x, truth, normalize=True).mean()  # type: ignore[no-any-return]

    @torch.no_grad()
    def __call__(self, x: np.ndarray, truth: np.ndarray) -> float:
        """Return LPIPS of pictures (C, H, W) in [0, 1], clipped to it."""
        return float(self.metric(rgb(x), rgb(truth)))


def lpips(choice: str, asked: str = "lpips") -> LPIPS | None:
    """Return LPIPS by its backbone, from the cache of torch.hub ($TORCH_HOME) or a file of weights anywhere, or None.

    `alex`, `squeeze` or `vgg`; such a file; `none`; `auto`: what is in the cache, if torchmetrics is there too. Nothing
    is downloaded. Raises BadInput, which tells how it was `asked` for.
    """
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    if choice in BACKBONES:
        if not (cache / BACKBONES[choice]).is_file():
            raise BadInput(
                f"`{asked}={choice}`: {BACKBONES[choice]} of torchvision is not in {cache}; put it there, give its path, or "
                f"`{asked}=none`"
            )
        distance = LPIPS(choice, cache / BACKBONES[choice])
    elif choice == "none":
        return None
    elif choice == "auto":
        nets = [n for n, file in BACKBONES.items() if (cache / file).is_file()]
        if not nets or find_spec("torchmetrics") is None or find_spec("torchvision") is None:
            return None
        distance = LPIPS(nets[0], cache / BACKBONES[nets[0]])
    else:
        path = Path(choice)
        net = next((n for n, file in BACKBONES.items() if path.name.startswith(file.split("-")[0])), None)
        if net is None or not path.is_file():
            raise BadInput(
                f"`{asked}={choice}`: give {', '.join(BACKBONES)}, none, or a file named as torchvision does, such as "
                f"{BACKBONES['alex']}"
            )
        distance = LPIPS(net, path)
    _ = distance.metric  # refused here rather than in the middle of a run
    return replace(distance)  # without the network, so that it is light to send to another process


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:120]
