"""A codec is judged by what it loses: pictures go through it and back, by its codes and by its latents as they are."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from restorekit.errors import BadInput
from restorekit.metrics.fidelity import mae, psnr, ssim
from restorekit.priors.networks.codebook import perplexity
from restorekit.priors.networks.ivqvae import Codec, reconstruct

NOT_QUANTISED, QUANTISED = "not quantised", "quantised"


@torch.no_grad()
def reconstruction(codec: Codec, pictures: Iterable[np.ndarray]) -> dict[str, dict[str, float]]:
    """Return means of psnr (dB), ssim and l1 of what comes back, clipped, over pictures (C, H, W) in [0, 1] of any sizes.

    "not quantised": the latents decoded as they are, the ceiling of priors of them. "quantised", of a codec with a code
    book: their codes decoded; and over all pictures together the share of codes `used`, their `perplexity` and, a
    picture, the `bits` of the codes. BadInput where there is no picture, or one of as many bands as the codec does not take.
    """
    config, device = codec.net.config, codec.mean.device
    ways = (NOT_QUANTISED, QUANTISED) if config.regulariser == "vq" else (NOT_QUANTISED,)
    rows: dict[str, list[tuple[float, float, float]]] = {way: [] for way in ways}
    counts, positions = torch.zeros(config.codes, dtype=torch.long), list[int]()
    for picture in pictures:
        if len(picture) not in config.bands:
            known = " or ".join(map(str, config.bands))
            raise BadInput(f"{codec.label} codes pictures of {known} bands, one has {len(picture)}; pick bands first")
        x = torch.from_numpy(np.ascontiguousarray(picture, np.float32))[None].to(device)
        for way in ways:
            back, index = reconstruct(codec, x, quantise=way == QUANTISED)
            y = back[0].clamp(0, 1).cpu().numpy()
            rows[way].append((psnr(y, picture), ssim(y, picture), mae(y, picture)))
            if index is not None:
                positions.append(index.numel())
                counts += torch.bincount(index.flatten().cpu(), minlength=config.codes)
    if not rows[NOT_QUANTISED]:
        raise BadInput("no pictures to put through the codec")
    found: dict[str, dict[str, float]] = {
        way: dict(zip(("psnr", "ssim", "l1"), np.mean(each, axis=0).tolist())) for way, each in rows.items()
    }
    if positions:
        found[QUANTISED] |= {"used": float((counts > 0).double().mean()), "perplexity": perplexity(counts)}
        found[QUANTISED]["bits"] = float(np.mean(positions)) * float(np.log2(config.codes))
    return found
