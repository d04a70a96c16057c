"""Small random networks, for the tests of networks of other libraries."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from restorekit.cli.main import run as command


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


class Surprise:
    """What a pickle could do when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, ("surprise.txt", "w"))


def shake(net: nn.Module) -> Any:
    """Every weight random: layers that begin at zero would hide whatever is wrong before them."""
    rng = torch.Generator().manual_seed(0)
    for name, p in net.named_parameters():
        if p.ndim > 1:
            size = 0.1 if "qkv" in name else p[0].numel() ** -0.5
            p.data = size * torch.randn(p.shape, generator=rng)
        else:
            p.data = p.data + 0.1 * torch.randn(p.shape, generator=rng)
    return net.eval().requires_grad_(False)


def go(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        command([str(a) for a in arguments])
    return int(stop.value.code or 0)


def restores_a_file(folder: Path, prior: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`denoise --prior` writes a file and its record, `priors show` says what is known."""
    name = prior.stem
    Image.fromarray((rand(20, 24, 3).numpy() * 255).astype(np.uint8)).save(folder / "in.png")
    assert go("denoise", folder / "in.png", folder / "out.png", "--prior", prior, "--noise", "gaussian:0.1") == 0
    record = json.loads((folder / "out.png.json").read_text())
    assert (record["prior"]["name"], record["tile"], record["precision"]) == (name, None, "fp32")
    assert re.fullmatch("[0-9a-f]{64}", record["prior"]["sha256"])
    capsys.readouterr()
    assert go("priors", "show", prior) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["name"], shown["bands"], shown["multiple"]) == (name, [3], 2)
