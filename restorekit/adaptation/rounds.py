"""A prior learns from speckled scenes by expectation-maximisation: draws of what lies under the speckle, then training on them.

    q_k = p(x | y, theta_k),   theta_(k+1) = argmax E_y E_(x ~ q_k) log p(x | theta)

after Rozet et al., NeurIPS 2024, "Learning diffusion priors from observations by expectation maximization" (algorithm 1).
The draws are those of a sampler of this package, the second step is a run of its trainer, and a round is kept only where
the prior foretells measurements better that did not teach it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from restorekit.adaptation.predictive import Predictive, gain, restored
from restorekit.adaptation.speckled_tiles import SpeckledTile
from restorekit.despeckling.methods import PosteriorMethod
from restorekit.errors import BadInput
from restorekit.files.atomic import atomic
from restorekit.priors.formats.checkpoint import PriorSpec, read_spec
from restorekit.training.config import FILLED_IN, Config, Data, NoiseLevels, Optim, Run
from restorekit.training.loop import STATE, train

DRAWS = PosteriorMethod("ep", steps=16, samples=1)  # half of its levels: a draw teaches, nobody looks at it
JUDGE = Predictive()
PATIENCE = 2  # rounds without a gain, after which nothing more is expected
Show = Callable[[str, int, int], None]  # (what is counted, done, in all)


@dataclass(frozen=True)
class Outcome:
    """It says what a round brought: by how much the score of held tiles fell, its standard error, and whether the weights
    were taken."""

    round: int
    score: float  # of the weights that the round began with
    fell: float
    error: float
    kept: bool


@dataclass(frozen=True, eq=False)
class Rounds:
    """Settings of an adaptation; the call yields the outcome of every round, after which `best` is the prior so far.

    draws: the sampler. tiles: drawn in a round. steps, rate: of its training. side: of a tile, pixels. judged: tiles that judge, at most.
    """

    prior: Path  # that is adapted
    out: Path
    teach: Sequence[SpeckledTile]
    judge: Sequence[SpeckledTile]
    rounds: int = 6
    tiles: int = 192
    steps: int = 300
    rate: float = 2e-4
    side: int = 64
    seed: int = 0
    draws: PosteriorMethod = DRAWS
    score: Predictive = JUDGE
    show: Show | None = None

    def folder(self, number: int) -> Path:
        """Return the folder of a round, from 1."""
        return self.out / f"round-{number:02d}"

    def trained(self, number: int) -> Path:
        """Return the prior that a round ends with, whether it was taken or not."""
        return self.folder(number) / "run" / "prior.safetensors"

    def best(self, done: Sequence[Outcome]) -> Path:
        """Return the weights after some rounds: those that were taken last, or those that it began with."""
        kept = [outcome.round for outcome in done if outcome.kept]
        return self.trained(kept[-1]) if kept else self.prior

    def over(self, done: Sequence[Outcome]) -> bool:
        """Return True where all rounds are done, or the last ones brought nothing."""
        return len(done) >= self.rounds or (len(done) >= PATIENCE and not any(o.kept for o in done[-PATIENCE:]))

    def __call__(self, done: Sequence[Outcome] = ()) -> Iterator[Outcome]:
        """Yield the outcome of each round that follows those that are `done`."""
        past = list(done)
        before = None if self.over(past) else self.score(self.best(past), self.judge)
        while before is not None and not self.over(past):
            number, start = len(past) + 1, self.best(past)
            self._draw(number, start)
            self._train(number, start)
            after = self.score(self.trained(number), self.judge)
            fell, error = gain(before, after)
            past.append(Outcome(number, float(before.mean()), fell, error, fell > error))
            if past[-1].kept:
                before = after
            yield past[-1]

    def chosen(self, number: int) -> list[int]:
        """Return the numbers of the tiles of a round."""
        rng = np.random.Generator(np.random.Philox(key=[self.seed, number]))
        return sorted(rng.permutation(len(self.teach))[: self.tiles].tolist())

    def _draw(self, number: int, prior: Path) -> None:
        """Write ln x, one draw for each tile, in the unit of the prior; what an interrupted run has left is not drawn again."""
        folder, mean = self.folder(number) / "draws", read_spec(prior).mean
        folder.mkdir(parents=True, exist_ok=True)
        chosen = self.chosen(number)
        for done, index in enumerate(chosen, 1):
            path = folder / f"{self.teach[index].name}.npy"
            if not path.exists():
                y, looks = self.teach[index].united
                seed = self.seed + 1_000_003 * number + index  # tiles lie on one place of the grid of the noise
                x = restored(replace(self.draws, seed=seed), prior, y, looks)[0]
                _write(path, (np.log(x) + mean).astype(np.float32))
            if self.show is not None:
                self.show(f"round {number}, draws", done, len(chosen))

    def _train(self, number: int, prior: Path) -> None:
        run = self.folder(number) / "run"
        if self.show is not None:
            self.show(f"round {number}, training", 0, self.steps)
        train(self.config(prior, number), self.folder(number) / "draws", run, resume=(run / STATE).exists(), quiet=True)

    def config(self, prior: Path, number: int) -> Config:
        """Return the configuration of a round: the network and the noise levels of the prior, on the draws."""
        spec = read_spec(prior)
        return Config(
            name=spec.name, licence=spec.licence, description=f"{spec.name}, adapted to scenes", init=str(prior),
            domain="log-intensity", model=model_of(spec), data=Data(crop=self.side, arrays=True, contrast=0.0),
            noise=noise_of(spec), run=Run(seed=self.seed + number, sample_every=10**9, checkpoint_every=60.0),
            optim=Optim(steps=self.steps, lr=self.rate, warmup=min(20, self.steps), ema=0.99),
        )  # fmt: skip


def model_of(spec: PriorSpec) -> Any:
    """Return the network of a prior as the model section of a configuration. Raises BadInput where it is none of radar scenes."""
    if spec.domain != "log-intensity":
        raise BadInput(
            f"prior {spec.name} knows pictures and no logarithms of intensities; take `sar`, or one that began with it"
        )
    return {k: v for k, v in spec.arch.items() if k not in FILLED_IN}


def noise_of(spec: PriorSpec) -> NoiseLevels:
    """Return the law of the noise levels that a prior was trained with, where its file says so."""
    found = spec.training.get("config", {}).get("noise", {})
    return NoiseLevels(**found) if found else NoiseLevels(sigma_min=spec.sigma_min, sigma_max=spec.sigma_max)


def _write(path: Path, x: np.ndarray) -> None:
    held = io.BytesIO()
    np.save(held, x)
    with atomic(path) as out:
        out.write(held.getvalue())
