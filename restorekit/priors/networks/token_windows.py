"""Windows in which a network sees a picture whose tokens all hear of each other."""

from __future__ import annotations

from abc import ABC, abstractmethod


class TokenWindows(ABC):
    """Settings of a network of tokens that is trained on pictures of `side` pixels, or latent pixels, and sees larger ones in windows."""

    side: int

    @property
    @abstractmethod
    def multiple(self) -> int:
        """Return the number to whose multiples the network itself fills up sides."""

    @property
    def halo(self) -> int:
        """Return the pixels thrown away around a window. They do not make windows exact: every token hears of all
        others."""
        return self.multiple * max(1, round(self.side / 8 / self.multiple))

    @property
    def blend(self) -> int:
        """Return the pixels over which neighbouring windows fade into each other."""
        return self.halo
