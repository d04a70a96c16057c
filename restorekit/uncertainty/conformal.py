"""Split conformal prediction of pictures tells how far scores reach on pictures kept for that, and what it says of the
next.

Pixels of one picture are no independent draws; pictures are exchangeable. So a picture counts as one: let F be the mean
over n pictures of the distribution of scores within each. With the quantile q at which n F(q) / (n + 1) reaches the
level,

    P(score of a pixel of the next picture <= q) >= level,

the pixel drawn at random from a picture that is exchangeable with the n (Lee, Barber, Willett, "Distribution-free
inference with hierarchical data", arXiv:2306.06342; conformal risk control of the share of pixels missed gives the same
number, Angelopoulos et al., ICLR 2024). It is the coverage on the mean over pixels, pictures and calibrations: neither
that of every region nor of every picture.
"""

from __future__ import annotations

import base64
import math
import re
import string
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput

EDGES = np.array(
    [float(f"{v:.6g}") for v in np.geomspace(0.02, 200, 401)]
)  # of scores: steps of 2.3 %; as JSON keeps them
KINDS = (2, 2, 3, 3)  # of pixels: elsewhere or near what a file cut off, not measured or measured, brightness, texture
CELLS = 36
DIGITS = string.digits + string.ascii_letters
_VALUE = {digit: value for value, digit in enumerate(DIGITS)}
_NUMBER = re.compile(r"[+]..|-....|.")
Counts = NDArray[np.integer[Any]]


def _spelled(numbers: Counts) -> str:
    """Return whole numbers as text, one digit of 62 each, or after + two of them, or after - four."""
    return "".join([DIGITS[n] if n < len(DIGITS) else _long(n) for n in numbers.tolist()])


def _long(number: int) -> str:
    """Return a number of more than one digit as text."""
    base = len(DIGITS)
    if number >= base**4:
        raise ValueError(f"a count of {number} has no text")
    size, sign = (2, "+") if number < base**2 else (4, "-")
    return sign + "".join(DIGITS[number // base**i % base] for i in range(size))


def _numbers(text: str) -> Counts:
    """Return the numbers of what `_spelled` gave."""
    base, parts = len(DIGITS), _NUMBER.findall(text)
    values = (_VALUE[p] if len(p) == 1 else sum(_VALUE[d] * base**i for i, d in enumerate(p[1:])) for p in parts)
    return np.fromiter(values, np.int64, len(parts))


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of the pixels of one picture are counted: (CELLS, len(EDGES) + 1), of each kind of pixel."""

    counts: Counts

    @classmethod
    def of(cls, ratios: NDArray[np.floating[Any]], cell: Counts | None = None) -> Scores:
        """Count ratios of any shape; cells: in which of CELLS each is (default: all in the first)."""
        column = np.searchsorted(EDGES, ratios.ravel())  # column j: EDGES[j - 1] < score <= EDGES[j]
        row = np.zeros_like(column) if cell is None else np.asarray(cell).ravel()
        wide = len(EDGES) + 1
        return cls(np.bincount(row * wide + column, minlength=CELLS * wide).reshape(CELLS, wide))

    @property
    def text(self) -> str:
        """Return the counts as text for a table, how far it is from each to the next that is not 0, and they themselves;
        `Scores.read` is its inverse. A file of such texts is packed well."""
        flat = self.counts.ravel()
        there = np.flatnonzero(flat)
        return f"{_spelled(np.diff(there, prepend=-1))} {_spelled(flat[there])}"

    @classmethod
    def read(cls, text: str) -> Scores:
        """Return the counts of what `text` gave, in older tables too."""
        wide = len(EDGES) + 1
        if " " not in text:
            counts = np.frombuffer(zlib.decompress(base64.b64decode(text)), "<u4").astype(np.int64)
            return cls(counts.reshape(CELLS, wide))
        steps, counts = (_numbers(part) for part in text.split(" "))
        flat = np.zeros(CELLS * wide, np.int64)
        flat[np.cumsum(steps) - 1] = counts
        return cls(flat.reshape(CELLS, wide))

    @property
    def distribution(self) -> NDArray[np.floating[Any]]:
        """Return the share of scores at or below each edge, (len(EDGES),)."""
        whole = self.counts.sum(0)
        return np.cumsum(whole)[:-1] / whole.sum()

    def within(self, ratio: float) -> Counts:
        """Return how many scores are at or below the greatest edge that is not above `ratio`, (CELLS,)."""
        return self.counts[:, : int(np.searchsorted(EDGES, ratio, "right"))].sum(1)


def reach(pictures: list[Scores], level: float) -> float:
    """Return the least edge that scores of the next picture do not exceed with a probability of `level`; inf where n
    is too small.

    Nine pictures are the least for 0.9, 19 for 0.95, 99 for 0.99: level / (1 - level).
    """
    n = len(pictures)
    if not n:
        return math.inf
    mean = np.mean([p.distribution for p in pictures], 0)
    reached = np.flatnonzero(n / (n + 1) * mean >= level - 1e-12)
    return float(EDGES[reached[0]]) if len(reached) else math.inf


def least_pictures(level: float) -> int:
    """Return how many pictures a guarantee of `level` takes at least."""
    return math.ceil(level / (1 - level) - 1e-9)


def check_count(pictures: int, level: float, what: str = "level") -> None:
    """Raise BadInput where so few pictures guarantee nothing at this level."""
    if pictures < least_pictures(level):
        raise BadInput(
            f"`{what}={level:g}`: {pictures} pictures calibrate, which guarantee at most {pictures / (pictures + 1):.3g}; take a "
            f"lower level, or give calibration {least_pictures(level)} pictures or more that do not judge"
        )
