"""Fields of a dataclass of settings carry their documentation; the command line makes options of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """A `Choice` documents a setting, in its `Annotated` type. Other settings are named in backticks, as everywhere.

    least, most: what it may be. form: what its text is like, as "HxW".
    """

    text: str
    least: float | None = None
    most: float | None = None
    form: str | None = None
