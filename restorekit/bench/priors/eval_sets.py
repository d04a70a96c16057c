"""Samples of a prior are compared with pictures as sets: FID, KID, precision and recall of features of a stated
network."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from restorekit.bench.images.image_sets import FeatureNetwork
from restorekit.errors import BadInput
from restorekit.files.picture import sha256
from restorekit.metrics.precision_recall import K, precision_recall
from restorekit.priors.find import find, shipped
from restorekit.priors.perception.features import Pooled, encoder
from restorekit.priors.perception.likeness import need_torchmetrics

FIDELITY = "pt_inception-2015-12-05"  # how torch-fidelity calls the weights that FID was defined with
Told = Callable[[int, int], None]  # (done, in all)


class Inception(nn.Module):
    """The network of FID with the weights in `path`, a file of torch-fidelity: (B, 3, H, W) in [0, 1] -> (B, 2048)."""

    num_features = 2048

    def __init__(self, path: Path):
        super().__init__()
        if find_spec("torch_fidelity") is None:
            raise BadInput(f"`features={path}` needs torch-fidelity: pip install torch-fidelity")
        need_torchmetrics("FID")
        from torchmetrics.image.fid import NoTrainInceptionV3

        try:  # see first that there are weights in it and nothing else
            torch.load(path, map_location="cpu", weights_only=True)
            self.net = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(path))
        except (pickle.UnpicklingError, RuntimeError, OSError, ValueError, EOFError, KeyError) as error:
            raise BadInput(
                f"`features={path}`: not the weights of Inception ({' '.join(str(error).split())[:120]})"
            ) from None

    def forward(self, x: Tensor) -> Tensor:
        return self.net((255 * x).round().byte())


@dataclass(frozen=True, eq=False)
class FeatureNet:
    """A network whose features pictures are compared by, and what has to be said of it with every figure."""

    module: nn.Module
    label: str
    sha256: str
    published: bool  # whether it is the network of FID, so that figures may be compared with those of papers
    device: str | torch.device = "cpu"

    @classmethod
    def of(cls, choice: str | None, size: tuple[int, int], device: str | torch.device = "cpu") -> FeatureNet:
        """Load a TorchScript file, a file of weights of torch-fidelity's Inception, or a prior whose encoder is taken (None:
        natural). `size` is that of the pictures. BadInput where it cannot be used.
        """
        choice = choice or "natural"
        if choice in shipped() or choice.endswith(".safetensors"):
            features = encoder(choice, device=device)
            label = f"encoder of {features.label.split('@')[0]}, coarsest level, mean over pixels"
            return cls(Pooled(features), label, sha256(find(choice)), False, device)
        path = Path(choice)
        if not path.is_file():
            raise BadInput(
                f"`features={choice}`: no such file; give a TorchScript network, {FIDELITY}-6726825d.pth of torch-fidelity, "
                f"or a prior ({', '.join(shipped())})"
            )
        module = Inception(path) if path.name.startswith(FIDELITY) else FeatureNetwork(path, size)
        published = isinstance(module, Inception) or module.bytes
        return cls(module.to(device), path.name, sha256(path), published, device)

    @property
    def dimension(self) -> int:
        return int(self.module.num_features)  # type: ignore[arg-type]

    @property
    def fid(self) -> str:
        return "FID" if self.published else "Fréchet distance (not FID)"

    @property
    def kid(self) -> str:
        return "KID" if self.published else "kernel distance (not KID)"

    @torch.no_grad()
    def __call__(self, pictures: np.ndarray, told: Told = lambda done, total: None, batch: int = 32) -> Tensor:
        """Return features (N, D) float64 of pictures (N, 1 or 3, H, W) in [0, 1]; grey ones are taken three times."""
        found = []
        for first in range(0, len(pictures), batch):
            x = torch.from_numpy(np.ascontiguousarray(pictures[first : first + batch], np.float32)).to(self.device)
            found.append(self.module(x.expand(-1, 3, -1, -1)).double().cpu())
            told(min(first + batch, len(pictures)), len(pictures))
        features = torch.cat(found)
        if not bool(features.isfinite().all()):
            raise BadInput(f"the feature network {self.label} gives NaN; take another `features`")
        return features


@dataclass(frozen=True)
class SetRow:
    """It holds how a set of `n` pictures compares with the data."""

    name: str
    n: int
    frechet: float
    kernel: float  # unbiased, of as many of each; below 0 by chance where both are of one law
    precision: float
    recall: float


class _Kept(nn.Module):
    """torchmetrics takes it for a network where features are there already."""

    def __init__(self, num_features: int):
        super().__init__()
        self.num_features = num_features

    def forward(self, x: Tensor) -> Tensor:
        return x


def set_row(name: str, found: Tensor, data: Tensor) -> SetRow:
    """Compare features (N, D) of a set with (M, D) of the data, float64, N and M above K.

    The Fréchet distance takes all of both; the kernel distance, precision and recall the first min(N, M) of each, as
    they depend on the sizes.
    """
    need_torchmetrics("FID and KID")
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    few, kept = min(len(found), len(data)), _Kept(data.shape[1])
    if few <= K:
        raise BadInput(f"{few} pictures are too few to compare sets of; give at least {K + 1} samples and pictures")
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # that all features are kept, which is what is wanted here
        torch.manual_seed(0)  # it sums in a random order
        frechet = FrechetInceptionDistance(feature=kept, normalize=True)
        kernel = KernelInceptionDistance(feature=kept, subsets=1, subset_size=few, normalize=True)
        for part, real in ((data, True), (found, False)):
            frechet.update(part, real=real)
            kernel.update(part[:few], real=real)
        distances = float(frechet.compute()), float(kernel.compute()[0])  # type: ignore[index]
    return SetRow(name, len(found), *distances, *precision_recall(data[:few], found[:few]))
