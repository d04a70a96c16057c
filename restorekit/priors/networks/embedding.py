"""Networks are told the noise level, or the time, and the class by embeddings."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Embedded(nn.Module):
    """A network whose layers take an embedding (B, E) of the noise level, and of the class where there are classes."""

    freqs: Tensor
    embed: nn.Sequential
    classes: nn.Embedding | None

    def make_embedding(self, freqs: Tensor, width: int, classes: int = 0) -> None:
        """Make the layers, for angles of the frequencies `freqs` (n,); class number `classes`, the last, is no class."""
        self.register_buffer("freqs", freqs, persistent=False)
        layers = nn.Linear(2 * len(freqs), width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        self.embed = nn.Sequential(*layers)
        self.classes = nn.Embedding(classes + 1, width) if classes else None

    def of_level(self, level: Tensor) -> Tensor:
        """Return the embedding (B, E) of a noise level or time (B,), in its dtype."""
        angle = level[:, None] * self.freqs.to(level.dtype)
        return self.embed(torch.cat([angle.cos(), angle.sin()], dim=1))

    def of_class(self, label: Tensor | None, count: int) -> Tensor | None:
        """Return the embedding (count, E) of class numbers (count,), long, -1 or None for no class; None without classes.

        Raises ValueError for a label where there are no classes.
        """
        if self.classes is None:
            if label is not None:
                raise ValueError("this network knows no classes; leave out the label")
            return None
        last = self.classes.num_embeddings - 1
        none = torch.full((count,), last, device=self.classes.weight.device)
        return self.classes(none if label is None else torch.where(label < 0, none, label))
