"""The report of a prior that was judged, .json or .md, and a strip of pictures beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from restorekit.bench.priors.eval_report import markdown
from restorekit.bench.priors.evaluation import Evaluation, Findings
from restorekit.errors import BadInput
from restorekit.files.atomic import check_target, content_of, together
from restorekit.files.overwrite import inside, separate
from restorekit.files.picture import check_writable, sha256, write_json, write_picture, write_text
from restorekit.text.names import files_of


def check_report_name(path: Path) -> None:
    """Raise BadInput for a name that is not that of a report."""
    if path.suffix.lower() not in (".json", ".md"):
        raise BadInput(f"`out={path}`: a report is .json or .md", argument="out")


@dataclass(frozen=True)
class EvalFiles:
    """The files that an evaluation writes: the report and, with `train`, a strip of pictures beside it.

    path: the report, .json or .md; None writes nothing.
    """

    path: Path | None
    train: bool = False

    @property
    def strip(self) -> Path | None:
        """Return the path of the strip of pictures, a PNG beside the report; None where none is written."""
        if self.path is None or not self.train:
            return None
        return self.path.with_name(f"{self.path.stem}_neighbours.png")

    def check(self, evaluation: Evaluation) -> None:
        """Raise BadInput where a file cannot be written, or would replace one that is read."""
        if self.path is None and self.train:
            raise BadInput("`train` writes a strip of pictures beside the report: give `out=report.json`")
        if self.path is None:
            return
        check_report_name(self.path)
        check_target(self.path)
        strip = self.strip
        if strip is not None:
            check_writable(strip, 3, False)
        e = evaluation
        places = [e.data, e.train, e.samples and Path(e.samples)]
        opened = [*inside(*(p for p in places if p)), *files_of(e.prior, e.features, *e.beside)]
        separate(opened, [self.path, *([] if strip is None else [strip])])

    def write(self, found: Findings) -> list[Path]:
        """Write the report and the strip, both or none; returns the files."""
        if self.path is None:
            return []
        strip, files = self.strip, [self.path]
        with together():
            if strip is not None and found.strip is not None:
                files.append(strip)
                write_picture(strip, found.strip)
                found.record["neighbours"]["strip"] = {"path": strip.name, "sha256": sha256(content_of(strip))}
            if self.path.suffix.lower() == ".json":
                write_json(self.path, found.record)
            else:
                write_text(self.path, markdown(found.record))
        return files
