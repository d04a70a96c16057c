"""What libraries in C write to the terminal on their own: their lines come as the reason of an error, or not at all."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock

_turn = Lock()


def unheard(logger: str) -> None:
    """Python prints no warnings of this logger where nobody listens: what it says of a damaged file is the reason of an error."""
    logging.getLogger(logger).addHandler(logging.NullHandler())


@contextmanager
def quiet() -> Iterator[None]:
    """The descriptor of stderr leads nowhere meanwhile: libtiff inside Pillow knows no other place for what it has to say.

    It is that of the whole process, so only short decoding belongs inside.
    """
    with _turn:
        try:
            held = os.dup(2)
        except OSError:  # closed
            yield
            return
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            os.close(nowhere)
            yield
        finally:
            with suppress(OSError):
                os.dup2(held, 2)
            os.close(held)
