"""The slope of ln p(y | theta) under a diffusion prior finds length and direction of a kernel more exactly than its
spectrum does.

    d/d theta ln p(y | theta) = E[(y - K x)' (dK / d theta) x] / sigma_y^2,   x ~ p(x | y, theta)

(Fisher's identity: Dempster, Laird and Rubin, JRSS B 39, 1977.) The phases that `blind.spectrum` cannot see tell here.
What the same draws find on measurements made of x itself, by K as it is, is subtracted: a sampler is exact only in
part. With the same random numbers, of which most cancels so. What is left of that may look like a kernel that is off by
some percent; so a kernel that the spectrum does not say is off is changed only where other random numbers, half the way
there, say that it goes up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from restorekit.blind.drawn import Array, Draw, blurred, window
from restorekit.blind.stretch import Frame

LENGTH, TURN = 0.1, np.radians(5)  # what counts as 1 of theta below
FRESH = 500  # number of the first draw that nothing else is made of


@dataclass(frozen=True, eq=False)
class Climbed:
    """The kernel that an ascent reached, and by how much it is likelier."""

    kernel: Array
    theta: Array
    gain: float  # about what ln p(y | theta) is higher than at the start, 0 where nothing is changed
    slopes: int  # that were measured, of a draw each


@dataclass(frozen=True)
class Ascent:
    """It takes Newton's method to ln p(y | theta), from the change `theta` of a frame on; the call ends where the
    slope is 0.

    Its matrix is `share` of what x would tell if it were seen, as most of it is missing (Louis, JRSS B 44, 1982); how
    much is learnt from how the slope changes. A round kernel has no direction, and of its width the slope tells too
    little: it stays.
    """

    error: float | None = None  # as of `Stretch`: deviation of theta, for each 1 of the doubt of the frame
    draws: int = 1
    most: int = 8  # steps
    least: float = 5.0  # of twice the gain of the first step: below, it stays
    gate: float = 9.0  # of twice the gain of all steps
    checks: int = 2  # draws, with other random numbers, of whether it is better
    sure: float = 5.0  # gain that these must tell: of a right kernel it is below 0 on average
    furthest: float = 0.75  # of a step
    share: float = 0.08
    done: float = 0.06  # length of a step that is the last

    def __call__(
        self,
        y: Array,
        frame: Frame,
        theta: Array,
        sigma_y: float,
        draw: Draw,
        seed: int = 0,
        other: Array | None = None,
    ) -> Climbed:
        """Climb for y (C, H, W); theta (3,) is as the frame takes it.

        other: another change, which may be better though the slope at theta = 0 does not tell: far from where it is the
        likeliest, a kernel has a flat likelihood.
        """
        ways, measured = self.ways(frame), 0
        if not len(ways):
            return Climbed(frame(theta), theta, 0.0, 0)
        doubt = ways / ((self.error or 0.12) * frame.doubt) ** 2

        def slope(theta: Array) -> tuple[Array, Array]:
            nonlocal measured
            measured += self.draws
            found, known = self.slope(y, frame, theta, ways, sigma_y, draw, seed)
            return found - doubt @ theta, known

        def told(along: Array) -> float:
            """Gain of the whole way, by the slope in the middle of it and by random numbers of its own."""
            nonlocal measured
            measured += self.checks
            middle, fresh = along @ ways / 2, replace(self, draws=self.checks)
            found, _ = fresh.slope(y, frame, middle, ways, sigma_y, draw, seed + 1, first=FRESH, apart=self.checks)
            return float(along @ (found - doubt @ middle))

        moved, gain = self._climb(slope, theta, ways, doubt)
        if theta.any():  # the spectrum says that it is off
            return Climbed(frame(moved), moved, gain, measured)
        if 2 * gain >= self.gate and told(np.linalg.lstsq(ways.T, moved, rcond=None)[0]) > self.sure:
            return Climbed(frame(moved), moved, gain, measured)
        if other is not None and other.any():
            along = np.array([(other[0] + other[1] / 2) / LENGTH, other[2] / TURN])
            if (gain := told(along)) > self.sure:
                moved, more = self._climb(slope, along @ ways, ways, doubt)
                return Climbed(frame(moved), moved, gain + more, measured)
        return Climbed(frame(theta), theta, 0.0, measured)

    def _climb(
        self, slope: Callable[[Array], tuple[Array, Array]], theta: Array, ways: Array, doubt: Array
    ) -> tuple[Array, float]:
        """Return (theta, gain of ln p), from `theta` on."""
        share, gain, (here, known) = self.share, 0.0, slope(theta)
        for _ in range(self.most):
            step = np.linalg.solve(share * known + doubt @ ways.T, here)
            if gain == 0 and here @ step < self.least:
                break
            far = float(np.abs(step).max())
            moved = step * min(1.0, self.furthest / max(far, 1e-12))
            theta = theta + moved @ ways
            if far < self.done:
                gain += float(here @ moved) / 2
                break
            before, (here, known) = here, slope(theta)
            found = float((before - here) @ moved / (moved @ known @ moved + 1e-12))
            share = float(np.clip(found, max(share / 2, 0.01), 1))
            gain += float((before + here) @ moved) / 2
        return theta, gain

    @staticmethod
    def ways(frame: Frame) -> Array:
        """Return (2, 3) changes of theta: of length along its longer axis and of direction; none of a round kernel."""
        if frame.round:
            return np.zeros((0, 3))
        form = frame.doubt[1] / 2
        return np.array([[LENGTH * (1 - form / 2), LENGTH * form, 0.0], [0.0, 0.0, TURN]])

    def slope(
        self,
        y: Array,
        frame: Frame,
        theta: Array,
        ways: Array,
        sigma_y: float,
        draw: Draw,
        seed: int,
        first: int = 0,
        apart: int = 0,
    ) -> tuple[Array, Array]:
        """Return the slope (n,), and what it would change by if x were seen (n, n), along `ways` (n, 3).

        It is the mean of `draws` numbered from `first` on; those of the twin are numbered `apart` from them.
        """
        kernel, rng = frame(theta), np.random.default_rng(seed)
        changes = [frame(theta + way / 2) - frame(theta - way / 2) for way in ways]
        slope, known = np.zeros(len(ways)), np.zeros((len(ways), len(ways)))
        for number in range(first, first + self.draws):
            x = draw(y, kernel, number)
            twin = blurred(x, kernel) + sigma_y * rng.standard_normal(y.shape)
            own, seen = correlations(y, x, kernel, changes)
            slope += own - correlations(twin, draw(twin, kernel, number + apart), kernel, changes)[0]
            known += seen
        scale = self.draws * sigma_y**2
        return slope / scale, known / scale


def correlations(y: Array, x: Array, kernel: Array, changes: list[Array]) -> tuple[Array, Array]:
    """Return (y - K x)' D x and (D x)' D x for changes D of K; away from the frame."""
    weight = window(y.shape)
    residual, parts = weight * (y - blurred(x, kernel)), [weight * blurred(x, change) for change in changes]
    return np.array([(residual * p).sum() for p in parts]), np.array([[(p * q).sum() for p in parts] for q in parts])
