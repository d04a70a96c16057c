"""A prior of radar scenes is adapted to scenes of one's own, of which nobody has one without speckle."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import restorekit
from restorekit.adaptation.predictive import Predictive
from restorekit.adaptation.rounds import Outcome, Rounds, model_of
from restorekit.adaptation.speckled_tiles import SpeckledTile, opened_scenes, paired, split
from restorekit.despeckling.settings import Settings
from restorekit.errors import BadInput
from restorekit.files.atomic import replacing
from restorekit.files.datasets import source_digest
from restorekit.files.digest import sha256
from restorekit.files.lock import alone
from restorekit.files.overwrite import separate
from restorekit.files.picture import write_json
from restorekit.files.record import head
from restorekit.notes import Notes
from restorekit.priors.find import find
from restorekit.priors.formats.checkpoint import read_spec
from restorekit.tasks.task_settings import AdaptationSettings, refuse_unknown

RECORD = "adaptation.json"
PRIOR = "prior.safetensors"
Show = Callable[[str, int, int], None]
PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class AdaptedPrior:
    """The result of an adaptation. path: the prior, for `prior=`. rounds: what each brought. taught, judged: tiles."""

    path: Path
    rounds: tuple[Outcome, ...]
    taught: int
    judged: int
    notes: tuple[str, ...] = ()

    @property
    def better(self) -> bool:
        """Return True where the prior is another than the one that it began with."""
        return any(outcome.kept for outcome in self.rounds)


@dataclass(frozen=True, kw_only=True)
class Adapting(AdaptationSettings):
    """An adaptation; the call runs it.

    A round draws what lies under the speckle of some tiles by the present prior (`ep`), trains on the draws, and is judged by
    tiles set apart, every sixth: what is restored from one half of their looks is to foretell the other half
    (`restorekit.adaptation`). Its weights are taken where that became better by more than a standard error; else the ones
    before stay. Use it where a prior has not seen scenes like yours: another sensor, another resolution.
    """

    prior: PathLike = "sar"
    scenes: Sequence[PathLike] = field(default=())

    def __call__(
        self, out: PathLike, *, resume: bool = False, notes: Notes | None = None, progress: Show | None = None
    ) -> AdaptedPrior:
        """Adapt `prior` to `scenes`, files that `despeckle` takes, into the folder `out`: the prior, a record, and a folder of each
        round.

        resume: go on with the run in `out`, of the same prior, scenes and settings. Raises BadInput, before anything is
        written, where they are others, and for what `despeckle` refuses.
        """
        notes, folder, prior = Notes() if notes is None else notes, Path(out), find(str(self.prior))
        paths = [Path(scene) for scene in self.scenes]
        if not paths:
            raise BadInput("no scene is given; name one or more that `despeckle` takes")
        separate([prior, *paths], [folder / PRIOR, folder / RECORD])
        model_of(read_spec(prior))
        kept = folder / "began.safetensors"
        record = _record(folder, resume)
        _refuse_twice(paths)
        tiles = self._tiles(paths, notes)
        teach, judge = split(tiles)
        judge = _spread(judge, self.judge)
        identity = self._identity(kept if resume and kept.exists() else prior, paths, len(tiles))
        _refuse_other(record, identity, folder)
        with alone(folder):
            record = _record(folder, resume)  # again: a run may have begun, or ended, since
            _refuse_other(record, identity, folder)
            if not kept.exists():
                _copied(prior, kept)
            done = [Outcome(**outcome) for outcome in record.get("rounds", [])]
            rounds = Rounds(
                kept,
                folder,
                teach,
                judge,
                self.rounds,
                self.tiles,
                self.steps,
                self.rate,
                self.side,
                self.seed,
                show=progress,
            )
            rounds = _on_device(rounds, self.device)
            _write(folder, identity, done)
            for outcome in rounds(done):
                done.append(outcome)
                _write(folder, identity, done)
                notes(_said(outcome))
            _copied(rounds.best(done), folder / PRIOR)
        if not any(outcome.kept for outcome in done):
            notes("no round foretold the tiles set apart better: the prior is the one that it began with")
        return AdaptedPrior(folder / PRIOR, tuple(done), len(teach), len(judge), tuple(notes.texts))

    def _tiles(self, paths: Sequence[Path], notes: Notes) -> list[SpeckledTile]:
        looks = None if self.looks in (None, "auto") else float(self.looks)  # type: ignore[arg-type]
        settings = Settings(domain=self.domain, looks=looks, grain=self.grain, solver="hqs", structure=None)
        scenes = opened_scenes(paths, settings, self.side, notes)
        if self.pairs:
            return paired(scenes)
        return [tile for scene in scenes for tile in scene.tiles()]

    def _identity(self, prior: Path, paths: Sequence[Path], tiles: int) -> dict[str, Any]:
        """Return all that must be the same for a run to be gone on with; rounds may be more."""
        settings = {k: v for k, v in asdict(self).items() if k not in ("prior", "scenes", "rounds", "device")}
        return {
            "restorekit": restorekit.__version__, "prior_sha256": sha256(prior),
            "scenes": [[path.name, source_digest(path, Settings().reading)] for path in paths], "settings": settings,
            "tiles_found": tiles,
        }  # fmt: skip


def _on_device(rounds: Rounds, device: str) -> Rounds:
    score = Predictive(replace(rounds.score.method, device=device))
    return replace(rounds, draws=replace(rounds.draws, device=device), score=score)


def _refuse_twice(paths: Sequence[Path]) -> None:
    """Raise BadInput for scenes that are the same: what one teaches, the other would judge."""
    found: dict[str, Path] = {}
    for path in paths:
        first = found.setdefault(source_digest(path, Settings().reading), path)
        if first is not path:
            raise BadInput(f"{path} holds what {first} does: give every scene once")


def _spread(tiles: list[SpeckledTile], most: int) -> list[SpeckledTile]:
    if len(tiles) <= most:
        return tiles
    return [tiles[i * len(tiles) // most] for i in range(most)]


def _record(folder: Path, resume: bool) -> dict[str, Any]:
    path = folder / RECORD
    if path.exists() and not resume:
        raise BadInput(f"{folder} holds an adaptation already; go on with it by `resume`, or choose another `out`")
    if not path.exists():
        if resume:
            raise BadInput(f"`resume`: {folder} holds no {RECORD}; check `out`, or leave `resume` out to begin")
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {"identity": found["identity"], "rounds": found["rounds"]}
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise BadInput(f"{path} is no record of an adaptation ({error}); choose another `out`") from None


def _refuse_other(record: dict[str, Any], identity: dict[str, Any], folder: Path) -> None:
    old = record.get("identity")
    for key, value in identity.items():
        if old is not None and json.loads(json.dumps(value)) != old.get(key):
            what = {"prior_sha256": "the prior", "scenes": "the scenes", "settings": "the settings"}.get(key, key)
            raise BadInput(
                f"`resume`: {what} are not those that the run in {folder} began with; set them back, or choose another `out`"
            )


def _write(folder: Path, identity: dict[str, Any], done: Sequence[Outcome]) -> None:
    write_json(folder / RECORD, head(command="adapt") | {"identity": identity, "rounds": [asdict(o) for o in done]})


def _copied(source: Path, target: Path) -> None:
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def _said(outcome: Outcome) -> str:
    what = "taken" if outcome.kept else "left"
    return f"round {outcome.round}: score {outcome.score:.4f} -> {outcome.score - outcome.fell:.4f} +- {outcome.error:.4f} on the tiles set apart, {what}"


def adapt(
    scenes: PathLike | Sequence[PathLike],
    out: PathLike,
    prior: PathLike = "sar",
    *,
    resume: bool = False,
    notes: Notes | None = None,
    progress: Show | None = None,
    **settings: Any,
) -> AdaptedPrior:
    """Adapt a prior of radar scenes to your own, without any that is free of speckle; settings are those of `Adapting`.

    Returns an `AdaptedPrior`, whose `path` is what `prior=` of `despeckle` takes. Raises `BadInput` with the way out.

        restorekit.adapt(["scene1.tif", "scene2.tif"], out="runs/mine", looks=4.4)
    """
    refuse_unknown(settings, AdaptationSettings.__dataclass_fields__, "an adaptation")
    listed = [scenes] if isinstance(scenes, str | os.PathLike) else list(scenes)
    told = Notes() if notes is None else notes
    result = Adapting(prior=prior, scenes=listed, **settings)(out, resume=resume, notes=told, progress=progress)
    if notes is None:
        told.warn(stacklevel=3)
    return result
