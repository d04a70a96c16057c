"""Libraries in C write to the terminal on their own: their lines come as the reason of an error, or not at all."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any

_turn = Lock()


def unheard(logger: str) -> None:
    """Python prints no warnings of this logger where nobody listens: what it says of a damaged file is the reason of an error."""
    logging.getLogger(logger).addHandler(logging.NullHandler())


@contextmanager
def gdal_unheard() -> Iterator[None]:
    """Keep from the terminal what rasterio fails to pass on, as GDAL's lines with bytes of a damaged file that are no
    UTF-8."""
    raisable, unraisable = sys.excepthook, sys.unraisablehook

    def hook(raised: Any) -> None:
        if "rasterio" not in str(raised.object):
            unraisable(raised)

    # Cython hands such an error to both, one after the other; an error that does end the program is past this by then.
    sys.excepthook, sys.unraisablehook = lambda *_: None, hook
    try:
        yield
    finally:
        sys.excepthook, sys.unraisablehook = raisable, unraisable


@contextmanager
def unwarned() -> Iterator[None]:
    """No warning of Pillow is shown meanwhile: what is damaged is the reason of an error, or is left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def unplaced() -> Iterator[None]:
    """Nothing is said of rasters that lie nowhere on the map, which are opened or begun inside: most pictures do not."""
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


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
