"""What all tests share: the commands are put together once for each process, which takes longer than most of them run."""

from __future__ import annotations

import functools

import typer.testing

typer.testing._get_command = functools.cache(typer.testing._get_command)  # type: ignore[attr-defined]
