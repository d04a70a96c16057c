"""Whether `deblur` without a kernel sees that a picture is blurred, and leaves a sharp one alone.

python -m benchmarks.restoration.blind_seen                  # needs $RESTOREKIT_DATA; a run that was stopped goes on
python -m benchmarks.restoration.blind_seen --most 10        # cases to measure at most, before the page is made
python -m benchmarks.restoration.blind_seen --again          # all rows anew, from the searches that were kept

The searches, most of the time, are kept in a folder, so that other limits are measured without them. Any number of first cases is spread over
pictures, lengths and directions. Grey pictures of 256x256, 8 bits. The blurred ones by straight motions of 7 to 21 pixels in light, along the rows, the columns and in between,
noise 0.003. The limits of `restorekit/tasks/blind_kernel.py` were chosen on the development pictures alone.
"""

from __future__ import annotations

import argparse
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import signal

from benchmarks.restoration.blind import IN_LIGHT, LUMA
from benchmarks.support.common import RESULTS, archive, centre, classic, publish
from restorekit.blind.families import deviation, motion
from restorekit.blind.steepness import steepness
from restorekit.blind.unknown import AnyKernel, FoundKernel
from restorekit.errors import BadInput
from restorekit.files.curves import SRGB
from restorekit.files.journal import Rows
from restorekit.notes import Notes
from restorekit.tasks.blind_kernel import blind_kernel
from restorekit.tasks.observation import observe

Array = np.ndarray
SPREAD = 5  # from one case to the next: it has no factor in common with how many there are
SIDE, EACH, LENGTHS, DIRECTIONS = 256, 24, (7, 9, 11, 13, 15, 17, 19, 21), (0, 30, 90)
DEVELOPMENT, JUDGED = "development", "judged"
FOLDERS = (("set14", 12), ("kodak", 8), ("mcmaster", 4))  # that judge, and how many of each, by name
parser = argparse.ArgumentParser()
parser.add_argument("--most", type=int, default=10**6)
parser.add_argument("--again", action="store_true")
parser.add_argument(
    "--kept", type=Path, default=Path(tempfile.gettempdir()) / "restorekit-blind-seen", help="folder of the searches"
)


@dataclass(frozen=True, eq=False)
class Case:
    """A grey picture (H, W), values of a file, and what was done to it."""

    group: str
    picture: str
    values: Array
    made: str
    length: int = 0  # of the motion, 0 of a sharp one
    degrees: int = 0

    def __call__(self) -> Array:
        """Return what the file holds; its noise is the same in every run."""
        y, seed = self.values, zlib.crc32(f"{self.picture} {self.made}".encode())
        if self.length:
            y = signal.fftconvolve(SRGB().decode(y), motion(self.length, self.degrees), mode="valid")
            y = y + IN_LIGHT * np.random.default_rng(seed).standard_normal(y.shape)
            y = SRGB().encode(y.clip(0, 1))
        return np.rint(255 * y) / 255


def cases() -> Iterator[Case]:
    """Yield sharp and blurred pictures of both sets in turn: of development others are sharp than are blurred, of those that judge the same."""
    judged = [(name, x) for folder, count in FOLDERS for name, x in classic(folder, count)]
    sets = ((DEVELOPMENT, archive("photos256-test.zip", 2 * EACH)), (JUDGED, judged))
    for i in (SPREAD * n % EACH for n in range(EACH)):
        length, degrees = LENGTHS[i % len(LENGTHS)], DIRECTIONS[i % len(DIRECTIONS)]
        for group, pictures in sets:
            other = pictures[(i + EACH) % len(pictures)]
            yield Case(group, *_grey(pictures[i]), "sharp")
            yield Case(group, *_grey(other), f"motion of {length} at {degrees} degrees", length, degrees)


def _grey(picture: tuple[str, Array]) -> tuple[str, Any]:
    name, x = picture
    return name, centre(np.tensordot(LUMA, x.astype(np.float64), 1)[None], SIDE)[0]


@dataclass(frozen=True)
class KeptKernel(AnyKernel):
    """The search that `blind_kernel` makes, or what it gave before."""

    file: Path = field(kw_only=True)

    def __call__(self, y: Array, sigma_y: float, seen: NDArray[np.bool_] | None = None) -> FoundKernel:
        if self.file.exists():
            with np.load(self.file) as kept:
                return FoundKernel(kept["kernel"], kept["deviation"], *map(float, kept["figures"]))
        found = super().__call__(y, sigma_y, seen)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        figures = (found.alike, found.gain, found.misfit)
        np.savez(self.file, kernel=found.kernel, deviation=found.deviation, figures=figures)
        return found


def measured(case: Case, y: Array, kept: Path) -> tuple[Any, ...]:
    """Return (what is said, gain, likeness of halves, steepness, deviation of the kernel of any form in pixels)."""
    read = observe(torch.from_numpy(y).float()[None], "blur", "auto", None, "srgb", Notes())
    name = f"{zlib.crc32(f'{case.group} {case.picture} {case.made}'.encode()):08x}.npz"
    try:
        found = blind_kernel(read, IN_LIGHT, KeptKernel(file=kept / name))
    except BadInput:
        return "refused", "", "", "", ""
    seen = np.ones(y.shape, bool)
    steep = steepness(read.picture.pixels.astype(np.float64), found.found.kernel, IN_LIGHT, seen)
    said = "none seen" if found.none else "found" if found.sure else "doubted"
    return said, found.found.gain, found.found.alike, steep, deviation(found.found.kernel)


def summed(rows: list[dict[str, str]]) -> list[list[Any]]:
    """Return a line for each set: of sharp and of blurred pictures, how many are taken for the other."""
    lines = list[list[Any]]()
    for group in (DEVELOPMENT, JUDGED):
        for sharp in (True, False):
            own = [r["said"] for r in rows if r["group"] == group and (r["made"] == "sharp") == sharp]
            wrong = ("found",) if sharp else ("none seen", "refused")
            if own:
                share = sum(s in wrong for s in own) / len(own)
                what = ("found", "doubted", "none seen", "refused")
                lines.append(
                    [group, "sharp" if sharp else "blurred", len(own), *(own.count(w) for w in what), f"{share:.0%}"]
                )
    return lines


def main() -> None:
    options = parser.parse_args()
    file = RESULTS / "blind_seen_rows.csv"
    if options.again:
        file.unlink(missing_ok=True)
    rows = Rows(file, ("group", "picture", "made"), ("said", "gain", "alike", "steep", "deviation"))
    todo = [c for c in cases() if not rows.has(c.group, c.picture, c.made)]
    for case in todo[: options.most]:
        rows.add(case.group, case.picture, case.made, *measured(case, case(), options.kept))
        print(*rows.rows[-1].values(), flush=True)
    header = ("pictures", "made", "cases", "found", "doubted", "none seen", "refused", "taken for the other")
    names = ("pictures", "picture", "made", "said", "gain of ln p", "likeness of halves", "steepness", "deviation")
    lines = [
        [
            *(r[k] for k in ("group", "picture", "made", "said")),
            *(_short(r[k]) for k in ("gain", "alike", "steep", "deviation")),
        ]
        for r in rows.rows
    ]
    what = (
        f"Grey pictures of at most {SIDE}x{SIDE}, 8 bits, straight motions in light, noise {IN_LIGHT}, told. A sharp picture is taken for a "
        "blurred one where a kernel is used without a doubt, a blurred one for a sharp one where nothing is done."
    )
    publish("blind_seen", "Is it blurred?", [("Both errors", header, summed(rows.rows)), ("All", names, lines)], [what])


def _short(value: str) -> str:
    return f"{float(value):.3g}" if value else ""


if __name__ == "__main__":
    main()
