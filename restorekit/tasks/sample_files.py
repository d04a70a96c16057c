"""Files of samples of a prior: a grid, each sample if wanted, and the record."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restorekit.errors import BadInput
from restorekit.files.atomic import together
from restorekit.files.digest import sha256
from restorekit.files.lock import alone
from restorekit.files.overwrite import may_overwrite, separate
from restorekit.files.picture import check_writable, write_json, write_picture
from restorekit.files.record import earlier, head, outputs
from restorekit.files.session import content, files_in
from restorekit.inference.restoration import Restoration
from restorekit.notes import Notes
from restorekit.priors.prior import Prior
from restorekit.report.montage import mosaic
from restorekit.solvers.samplers import Sampler
from restorekit.tasks.measurement import Progress
from restorekit.tasks.sample import Sampling, displayed
from restorekit.tasks.saving import record_file
from restorekit.text.names import files_of


@dataclass(frozen=True, eq=False)
class SampleOrigin:
    """It knows the sampling that samples came from; `folder`: where `save` also puts each of them, as 00000.png and so
    on."""

    sampling: Sampling
    folder: Path | None
    notes: Notes

    def check(self, target: Path) -> None:
        """Raise `BadInput` where the files could not be written, or would replace the prior."""
        s, names = self.sampling, self._names(target)
        opened = files_of(*(str(t) for t in (s.prior, s.solver) if not isinstance(t, Prior | Sampler)))
        separate(opened, [target, record_file(target)], names)
        check_writable(target, s.shape[0], False)
        if self.folder is not None and self.folder.exists() and not self.folder.is_dir():
            raise BadInput(f"{self.folder} is a file; `folder` takes a folder", argument="folder")
        known = files_in(content(record_file(target)))
        lost = [] if may_overwrite() else [path for path in names if path.exists()]
        if there := [path.name for path in lost if not path.is_file() or known.get(path.name) != sha256(path)]:
            raise BadInput(
                f"{self.folder} holds {there[0]} of an earlier run, which would be replaced; give another `folder`, or move it away; "
                "`overwrite` replaces it"
            )

    def save(self, restoration: Restoration, path: str | os.PathLike[str]) -> list[Path]:
        """Write a grid of the samples, the samples themselves in `folder`, and the record beside the grid."""
        target = Path(path)
        with self.alone(), together():
            self.check(target)
            names = self._names(target)
            self._write(restoration, target, names)
        return [target, *names, record_file(target)]

    def alone(self) -> AbstractContextManager[Any]:
        """Keep other runs out of `folder`. Raises `BadInput` where one is in it."""
        if self.folder is None:
            return nullcontext()
        return alone(self.folder, "wait for it, or give another `folder`", beside=True)

    def _write(self, restoration: Restoration, target: Path, names: list[Path]) -> None:
        s = self.sampling
        pictures = displayed(restoration.samples.float().cpu(), s.domain).numpy()
        write_picture(target, mosaic(pictures))
        for name, x in zip(names, pictures):
            write_picture(name, x)
        if self.folder is not None:
            files = (p for p in self.folder.iterdir() if p.suffix == target.suffix.lower() and p.name[0] != ".")
            if others := sorted(p.name for p in files if p not in names):
                self.notes(f"{self.folder} holds {len(others)} more, such as {others[0]}, of another run")
        prior = s.loaded
        record = {
            **head(), "prior": {"name": prior.spec.name, "sha256": prior.sha256}, **restoration.settings, "nfe": restoration.nfe,
            "seconds": round(restoration.seconds, 2), "device": str(s.place), "precision": prior.precision,
            "outputs": outputs([target, *names]), **earlier(record_file(target), [target, *names], folder=self.folder)[1],
        }  # fmt: skip
        write_json(record_file(target), record)

    def _names(self, target: Path) -> list[Path]:
        if self.folder is None:
            return []
        return [self.folder / f"{i:05d}{target.suffix.lower()}" for i in range(self.sampling.n)]


def check_samples(
    sampling: Sampling, folder: Path | None, out: str | os.PathLike[str] | None, notes: Notes
) -> SampleOrigin:
    """Return where samples come from. Raises `BadInput` for what is refused before any is drawn."""
    sampling.check()
    origin = SampleOrigin(sampling, folder, notes)
    if out is not None:
        origin.check(Path(out))
    return origin


def draw_samples(
    sampling: Sampling,
    *,
    folder: Path | None,
    out: str | os.PathLike[str] | None,
    notes: Notes,
    progress: Progress | None,
) -> Restoration:
    """Draw, after everything that can be refused has been."""
    origin = check_samples(sampling, folder, out, notes)
    if sampling.off_size:
        notes(sampling.off_size)
    label = f"{sampling.n} samples"
    with nullcontext() if out is None else origin.alone():
        drawn = sampling(None if progress is None else lambda done, total: progress(label, done, total))
    return Restoration(drawn.pictures, drawn.nfe, drawn.seconds, drawn.settings, tuple(notes.texts), origin)
