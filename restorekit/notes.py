"""A task says notes beside its result.

Tasks are handed `Notes` and return its texts in `Restoration.notes`; they never print. The public functions raise each
text once as a `RestorekitNote`; the command line prints them as they come, with settings written as its options.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field


class RestorekitNote(UserWarning):
    """A note on a result, as the public functions raise it: nothing failed, but a reader of the result should know."""


@dataclass(eq=False)
class Notes:
    """Texts in the order in which they came, each once; call it with a text to add it.

    heard: called with each new text at once, for notes that must be read before an hour of computing.
    """

    heard: Callable[[str], None] | None = None
    texts: list[str] = field(default_factory=list)

    def __call__(self, text: str) -> None:
        if text in self.texts:
            return
        self.texts.append(text)
        if self.heard is not None:
            self.heard(text)

    def warn(self, stacklevel: int = 3) -> None:
        """Raise every text as a `RestorekitNote`; `stacklevel` as in `warnings.warn`, by default the caller of the caller."""
        for text in self.texts:
            warnings.warn(text, RestorekitNote, stacklevel=stacklevel)
