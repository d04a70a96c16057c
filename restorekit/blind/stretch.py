"""A kernel may be right but for its length, width and direction, as a motion that was guessed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import scipy

from restorekit.blind.spectrum import Array, Whittle

ROUND = 0.17  # doubt about the form below which a kernel is one of which only the width is

EDGED = 1.6  # kurtosis of the radius below which a round kernel ends in an edge
LINE = 0.6  # pixels, deviation across a line: drawn without steps, one has 0.4


@dataclass(frozen=True, eq=False)
class Frame:
    """It changes a kernel (h, w) by theta = (ln size, ln length over width along its longer axis, turn in radians)."""

    kernel: Array

    @property
    def _away(self) -> Array:
        """Return (x, y) of each tap from the middle of its mass, (2, h, w)."""
        i, j = np.indices(self.kernel.shape)
        return np.stack([j - (self.kernel * j).sum(), i - (self.kernel * i).sum()])

    @property
    def _spread(self) -> tuple[Array, Array]:
        """Return the squares of the deviations across and along, and the axes (x, y) as columns."""
        return np.linalg.eigh(np.einsum("aij,bij,ij->ab", self._away, self._away, self.kernel))

    @property
    def straight(self) -> bool:
        """Return True for a line: a straight motion, of which length and direction are all that can be wrong."""
        (across, along), _ = self._spread
        return bool(across < LINE**2 and along > 2 * across)

    @property
    def round(self) -> bool:
        """Return True where it has no direction, as a Gaussian or a defocus."""
        return self.doubt[1] < ROUND

    @property
    def edged(self) -> bool:
        """Return True for a round kernel with an edge, as a defocus: its spectrum has zeros, which tell its width as that of
        a Gaussian is not told. E r^4 / (E r^2)^2 is 4/3 of a disc, 2 of a Gaussian."""
        square = (self._away**2).sum(0)
        mean = float((self.kernel * square).sum())
        return self.round and mean > 1 and float((self.kernel * square**2).sum()) < EDGED * mean**2

    @property
    def axis(self) -> tuple[Array, float]:
        """Return (direction (x, y) of the longer axis, deviation across over deviation along)."""
        values, vectors = self._spread
        return vectors[:, 1], float(np.sqrt(max(values[0], 0.05) / max(values[1], 0.05)))

    @property
    def doubt(self) -> Array:
        """Return the deviations of theta for an error of 1: of a round kernel neither direction nor form is in doubt."""
        _, round_ = self.axis
        return np.array([1.0, 2 * (1 - round_) + 1e-3, 1 - round_ + 1e-3])

    def __call__(self, theta: Array) -> Array:
        """Return the changed kernel (h, w), of sum 1; at 0 the kernel itself."""
        along, _ = self.axis
        across = np.array([-along[1], along[0]])
        stretch = 0.5 * (np.outer(along, along) - np.outer(across, across))
        turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
        back = np.linalg.inv(scipy.linalg.expm(theta[0] * np.eye(2) + theta[1] * stretch + theta[2] * turn))[::-1, ::-1]
        centre = -self._away[::-1, 0, 0]  # (i, j): so that the picture does not move
        moved = scipy.ndimage.affine_transform(
            self.kernel, back, list(centre - back @ centre), order=3, mode="constant"
        )  # type: ignore[arg-type]
        moved = np.maximum(moved, 0)
        return moved / moved.sum()


@dataclass(frozen=True, eq=False)
class Stretched:
    """A kernel after its likeliest change, and by how much that is likelier."""

    kernel: Array  # the likeliest, or the given one where the picture does not say otherwise
    theta: Array
    gain: float  # of ln p(theta | y) over the given kernel
    likeliest: Array = field(default_factory=lambda: np.zeros(3))  # theta, below the gate too


@dataclass(frozen=True)
class Stretch:
    """It finds the likeliest change of a kernel by the spectrum of the blurred picture; the call makes it where it is
    worth `gate`.

    The picture is integrated out, which finds lengths of motion to some percent and directions to a degree or two.
    Widths of smooth kernels it finds less well, as a smoother picture would look alike, but what it finds is worth more
    than nothing.
    """

    # Relative deviation of length, and of direction in radians; None: 0.12, of round kernels 0.05.
    error: float | None = None
    gate: float = 24.0  # what an exact kernel seems to win on pictures that are not stationary is less
    gate_round: float = 0.5  # of a round kernel, of which but the width is in doubt
    looks: int = 1  # iterations at each place of the grid that the search begins with
    margin: int = 6  # pixels by which the kernel may grow on each side

    def __call__(self, y: Array, kernel: Array, sigma_y: float) -> Stretched:
        """Return the change for y (C, H, W) on about [0, 1]; kernel (h, w) of sum 1, the result larger by the margin."""
        frame = Frame(np.pad(np.asarray(kernel, np.float64), self.margin))
        round_ = frame.round
        likely = (self.error or (0.05 if round_ else 0.12)) * frame.doubt
        if np.count_nonzero(kernel) < 2:  # no blur, which has no length
            return Stretched(frame(np.zeros(3)), np.zeros(3), 0.0)
        picture = Whittle(np.asarray(y, np.float64), sigma_y)
        least, spectrum = picture.fit(frame(np.zeros(3)), picture.start(), 80)

        def cost(z: Array, iterations: int = 8) -> float:
            value, _ = picture.fit(frame(z * likely), spectrum, iterations)
            return value + 0.5 * float((z**2).sum())

        begin = min(self._grid(likely), key=lambda z: cost(z, self.looks))
        corners = np.vstack([begin, begin + 0.25 * np.eye(3)])
        found = scipy.optimize.minimize(
            cost, begin, method="Nelder-Mead", options={"maxfev": 60, "initial_simplex": corners}
        )
        gain, theta = least - float(found.fun), found.x * likely
        if gain < (self.gate_round if round_ else self.gate):
            return Stretched(frame(np.zeros(3)), np.zeros(3), gain, theta)
        return Stretched(frame(theta), theta, gain, theta)

    @staticmethod
    def doubting(kernel: Array) -> Stretch:
        """Return the search by which a kernel that was given is doubted: what a right one seems to win is below its gate.

        Of kernels with an edge a right one wins 1.3 at most on crops of 96 pixels, and one a tenth off, where there is any
        texture, 6 and more.
        """
        edged = Frame(np.pad(np.asarray(kernel, np.float64), 1)).edged
        return Stretch(error=0.12, gate_round=5.0, looks=8) if edged else Stretch(gate_round=Stretch.gate)

    @staticmethod
    def _grid(likely: Array) -> Iterator[Array]:
        """Return lengths and directions, in deviations: the likelihood has many tops."""
        turns = np.linspace(-0.21, 0.21, 7) if likely[2] > 0.02 else np.zeros(1)
        for size in np.linspace(-0.3, 0.3, 13):
            for turn in turns:
                for theta in ((size, 0.0, turn), (size / 2, size, turn)):
                    if likely[1] > 0.02 or theta[1] == 0:
                        yield np.array(theta) / likely
