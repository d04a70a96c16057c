"""What a codec loses: pictures through it and back. This is the ceiling of whatever works in its latent."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from restorekit.errors import BadInput
from restorekit.metrics import mae, psnr, ssim
from restorekit.priors.codebook import perplexity
from restorekit.priors.codec import Codec, reconstruct


@torch.no_grad()
def reconstruction(codec: Codec, pictures: Iterable[np.ndarray]) -> dict[str, float]:
    """Over pictures (C, H, W) in [0, 1] of any sizes: means of psnr (dB), ssim and l1 of what comes back, clipped; and of
    a codec with a code book, over all pictures together, the share of codes `used`, their `perplexity` and, a picture,
    the `bits` of the codes. BadInput where there is no picture, or one of as many bands as the codec does not take.
    """
    config, device = codec.net.config, codec.mean.device
    rows: list[tuple[float, float, float, float]] = []
    counts = torch.zeros(config.codes, dtype=torch.long)
    for picture in pictures:
        if len(picture) not in config.bands:
            known = " or ".join(map(str, config.bands))
            raise BadInput(f"{codec.label} codes pictures of {known} bands, one has {len(picture)}; pick bands first")
        x = torch.from_numpy(np.ascontiguousarray(picture, np.float32))[None].to(device)
        back, index = reconstruct(codec, x)
        y = back[0].clamp(0, 1).cpu().numpy()
        rows.append((psnr(y, picture), ssim(y, picture), mae(y, picture), 0.0 if index is None else index.numel()))
        if index is not None:
            counts += torch.bincount(index.flatten().cpu(), minlength=config.codes)
    if not rows:
        raise BadInput("no pictures to put through the codec")
    found: dict[str, float] = dict(zip(("psnr", "ssim", "l1"), np.mean(rows, axis=0).tolist()))
    if not int(counts.sum()):
        return found
    positions = float(np.mean([row[3] for row in rows]))
    more = {"used": float((counts > 0).double().mean()), "perplexity": perplexity(counts)}
    return found | more | {"bits": positions * float(np.log2(config.codes))}
