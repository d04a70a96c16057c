"""Samples may be copies: their nearest training pictures are found, beside those of pictures that were never trained
on.

The training turns and flips its pictures, so each of a sample's flips and quarter turns is tried; training pictures
larger than a sample are seen in windows side by side. Smooth pictures are near to many others without being copies:
besides the distance there is its ratio to the mean distance of the next 50 (Carlini et al., "Extracting Training Data
from Diffusion Models", USENIX Security 2023, section 5.1), near 0 for a copy and near 1 for any other picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from restorekit.bench.priors.eval_pictures import PictureSet, Window, as_bands, windows
from restorekit.bench.priors.eval_sets import FeatureNet
from restorekit.errors import BadInput
from restorekit.report.montage import mosaic

NEXT = 50  # neighbours beyond the nearest whose mean distance is the yardstick
SHOWN, ROWS = 3, 16  # neighbours of a sample, and samples, in the strip
AT_ONCE = 64  # windows of training pictures at a time
Told = Callable[[int, int], None]  # (done, in all)


def turn(x: np.ndarray, number: int) -> np.ndarray:
    """Return one of the 8 flips and quarter turns of (..., H, W); 0 is the picture itself, the even ones keep its shape."""
    flipped = x[..., ::-1] if number >= 4 else x
    return np.rot90(flipped, number, axes=(-2, -1))  # four quarter turns are none


def unturn(x: np.ndarray, number: int) -> np.ndarray:
    """Undo `turn`."""
    back = np.rot90(x, -number, axes=(-2, -1))
    return back[..., ::-1] if number >= 4 else back


def turns(size: Sequence[int]) -> range:
    """Return the turns that keep the shape: all 8 of a square."""
    return range(8) if size[0] == size[1] else range(0, 8, 2)


class Nearest:
    """The nearest of a list of pictures that grows, for each of N queries, by squared Euclidean distance.

    `queries` (T, N, D): the T turned versions of each. The least distance over turns and over the windows of a picture
    counts.
    """

    def __init__(self, queries: Tensor, keep: int = NEXT + 1):
        self.queries, self.keep = queries, keep
        n = queries.shape[1]
        self.squares = queries.new_empty(n, 0)
        self.found = torch.empty(n, 0, 3, dtype=torch.long)  # picture, window, turn
        self.count = 0

    def add(self, keys: Tensor, sizes: Sequence[int]) -> None:
        """Add windows (W, D) of the next pictures, `sizes` of them for each."""
        many, n, d = self.queries.shape
        q = self.queries.reshape(many * n, d)
        square = (q.square().sum(1)[:, None] + keys.square().sum(1) - 2 * q @ keys.T).clamp(min=0).view(many, n, -1)
        best, turned = square.min(0)  # (N, W)
        for first, size in zip(np.cumsum([0, *sizes]).tolist(), sizes):
            least, window = best[:, first : first + size].min(1)
            at = turned[:, first : first + size].gather(1, window[:, None])[:, 0]
            mine = torch.stack([torch.full_like(window, self.count), window, at], 1)
            self.squares = torch.cat([self.squares, least[:, None]], 1)
            self.found = torch.cat([self.found, mine[:, None]], 1)
            self.count += 1
        order = self.squares.sort(dim=1, stable=True).indices[:, : self.keep]
        self.squares = self.squares.gather(1, order)
        self.found = self.found.gather(1, order[..., None].expand(-1, -1, 3))

    @property
    def distances(self) -> np.ndarray:
        """Return (N, kept), rising."""
        return self.squares.sqrt().double().numpy()

    @property
    def ratios(self) -> np.ndarray:
        """Return (N,): the nearest over the mean of the next NEXT, or as many as there are; 1 where all are at 0."""
        d = self.distances
        mean = d[:, 1:].mean(1)
        return np.divide(d[:, 0], mean, out=np.ones(len(d)), where=mean > 0)


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Nearest training pictures of samples and of held-out pictures, by features and by pixels."""

    train: PictureSet
    samples: np.ndarray  # (N, C, H, W)
    features: dict[str, Nearest]  # "samples", "held out"
    pixels: dict[str, Nearest]
    seen: int  # windows of training pictures

    def figures(self) -> dict[str, dict[str, dict[str, float]]]:
        """Return figures by features and by pixels (root mean square of the difference, white = 1), of both sets."""
        made = {}
        values = self.samples[0].size
        for space, nearest, unit in (("features", self.features, 1.0), ("pixels", self.pixels, values**0.5)):
            limit = float(np.quantile(nearest["held out"].ratios, 0.01))
            made[space] = {name: _figures(n, unit, limit) for name, n in nearest.items()}
        return made

    def order(self) -> np.ndarray:
        """Return the numbers of the samples, the likeliest copies first."""
        both = [n["samples"].ratios / np.median(n["held out"].ratios) for n in (self.features, self.pixels)]
        return np.argsort(np.minimum(*both), kind="stable")

    def strip(self, rows: int = ROWS) -> np.ndarray:
        """Return (C, H, W): of the likeliest copies the sample, its nearest by features and its nearest by pixels, left to right."""
        blank, made = np.ones_like(self.samples[0]), []
        for i in self.order()[:rows]:
            made += [self.samples[i]]
            for nearest in (self.features["samples"], self.pixels["samples"]):
                shown = [self._picture(*f) for f in nearest.found[i, :SHOWN].tolist()]
                made += [blank, *shown, *[blank] * (SHOWN - len(shown))]
        return mosaic(made, columns=3 + 2 * SHOWN)

    def _picture(self, number: int, window: int, turned: int) -> np.ndarray:
        """Return a window of a training picture, turned as the sample it is near to."""
        size, picture = self.samples.shape[2:], self.train.pictures[number]
        place = windows(picture.shape, (size[0], size[1]))[window]
        return unturn(as_bands(picture[place], self.samples.shape[1]), turned)


def _figures(nearest: Nearest, unit: float, limit: float) -> dict[str, float]:
    d, ratios = nearest.distances[:, 0] / unit, nearest.ratios
    found = {"n": float(len(d)), "least": float(d.min()), "median": float(np.median(d))}
    found |= {"ratio_least": float(ratios.min()), "ratio_median": float(np.median(ratios))}
    return found | {"below": float((ratios < limit).sum()), "below_limit": limit}


def neighbours(
    samples: np.ndarray, held: np.ndarray, train: PictureSet, net: FeatureNet, told: Told = lambda done, total: None
) -> Neighbours:
    """Find the neighbours of samples and held-out pictures, each (N, C, H, W) in [0, 1], in a training set. BadInput for fewer than 3 pictures."""
    size = (samples.shape[2], samples.shape[3])
    train.refuse_smaller(size)
    if len(train) < 3:
        raise BadInput(f"{train.source} holds {len(train)} pictures; neighbours need at least 3 (`train`)")
    queries = {"samples": samples, "held out": held}
    turned = {name: [turn(x, t) for t in turns(size)] for name, x in queries.items()}
    features = {name: Nearest(torch.stack([net(x) for x in ts])) for name, ts in turned.items()}
    pixels = {name: Nearest(torch.stack([_flat(x) for x in ts])) for name, ts in turned.items()}
    batch: list[np.ndarray] = []
    sizes: list[int] = []
    seen = 0
    for done, picture in enumerate(train.pictures, 1):
        places: list[Window] = windows(picture.shape, size)
        batch += [as_bands(picture[place], samples.shape[1]) for place in places]
        sizes.append(len(places))
        if len(batch) >= AT_ONCE or done == len(train):
            keys = np.stack(batch)
            for nearest, key in ((features, net(keys)), (pixels, _flat(keys))):
                for one in nearest.values():
                    one.add(key, sizes)
            seen += len(batch)
            batch, sizes = [], []
            told(done, len(train))
    return Neighbours(train, samples, features, pixels, seen)


def _flat(x: np.ndarray) -> Tensor:
    """Return (N, D) float32 about 0, so that products of near-copies lose little."""
    return torch.from_numpy(np.ascontiguousarray(x, np.float32)).flatten(1) - 0.5
