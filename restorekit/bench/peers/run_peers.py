"""The bench of peers: other libraries and ours in the same exams and on the same pictures, at their defaults.

    Peers(problems=("denoise",), sigmas=(0.01,), peers=("azula-mmps", "deepinv-pigdm"), solvers=("mmps",))()

writes peers.csv, .md and .html into `out`. A row of the CSV is written as soon as it is measured. A peer that is not
installed, or fails, is listed with its reason, and the others go on.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch

import restorekit
from restorekit.bench.bench_settings import PeerSettings
from restorekit.bench.images.image_cases import check_sizes, clean_pictures
from restorekit.bench.machine import machine
from restorekit.bench.peers.peer import Peer
from restorekit.bench.peers.peer_list import DEFAULT, ours, peer
from restorekit.bench.peers.peer_report import PeerMethod, PeersOutcome, write
from restorekit.bench.peers.peer_rows import EXAM, FAILS, KEYS, PICTURE, VALUES, Item, Row, in_exam, on_picture, values
from restorekit.bench.posterior.exams import LEVELS, QUICK, cells
from restorekit.bench.posterior.run_exam import FEW, FULL
from restorekit.bench.workers import one_thread
from restorekit.errors import BadInput
from restorekit.files.journal import Rows
from restorekit.files.lock import alone
from restorekit.files.overwrite import inside, separate
from restorekit.inference.denoiser import Denoiser
from restorekit.priors.find import Prior, load_prior, of_pictures
from restorekit.priors.prior import LatentPrior
from restorekit.text.degradation import Degradation
from restorekit.text.names import files_of

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Peers(PeerSettings):
    """A run on the CPU, one thread; the call does it. What has been measured is not measured again."""

    peers: Sequence[str] = DEFAULT

    def __call__(self, progress: Callable[[str], object] = lambda text: None) -> PeersOutcome:
        """Measure what is missing and write the report. Raises BadInput, before anything runs, for what is not understood.

        progress: called with a line of text for each row, and for each library that is missing.
        """
        items, by_text, facts = self._ready()
        with alone(self.out), one_thread():
            rows = Rows(self.out / "peers.csv", KEYS, VALUES)
            methods = [PeerMethod(name, p, p.available()) for name, p in by_text.items()]
            for m in methods:
                if m.missing:
                    progress(f"{m.text}: {m.missing}")
            shown = self._measured(items, methods, rows, progress)
            outcome = PeersOutcome(self.out, self.command(), facts, methods, shown)
            write(outcome)
        return outcome

    def check(self) -> None:
        """Raise BadInput for what the call refuses before anything runs."""
        self._ready()

    def _ready(self) -> tuple[list[Item], dict[str, Peer], list[tuple[str, str]]]:
        """Return what is measured, by what, and the facts of the report, once nothing of it is to be refused."""
        self._check()
        named = [
            *(op.rpartition("@")[0] or op for op in self.ops),
            *self.peers,
            *self.solvers,
            *(self.problems or ()),
            self.network,
        ]
        separate(
            [*inside(*self.data), *files_of(*named)], [self.out / f"peers.{kind}" for kind in ("csv", "md", "html")]
        )
        items, by_text = list(self._exams()), self._methods()
        facts = [
            ("run on", machine(CPU)),
            ("versions", f"restorekit {restorekit.__version__}, torch {torch.__version__}"),
        ]
        if self.exams:
            size = FULL if self.full else FEW
            facts.append(("exams", f"{size.draws} measurements of {size.samples} samples each, seed {self.seed}"))
        if self.data:
            pictures, text = self._pictures()
            items += pictures
            facts.append(("pictures", text))
        if not items:
            raise BadInput("nothing to measure; give `data=DIR`, or leave out `no_exams`")
        return items, by_text, facts

    def _check(self) -> None:
        for name, least in (("samples", 1), ("limit", 1), ("crop", 0), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise BadInput(f"`{name}={value}` must be at least {least}")
        if self.out.exists() and not self.out.is_dir():
            raise BadInput(f"{self.out} is a file; `out` takes a folder")

    def _methods(self) -> dict[str, Peer]:
        solvers: dict[str, Peer] = {text: ours(text) for text in self.solvers}
        return solvers | {text: peer(text) for text in self.peers}

    def _exams(self) -> Iterator[Item]:
        if self.exams:
            size = FULL if self.full else FEW
            for cell in cells(self.problems, self.priors, self.sigmas, LEVELS if self.full else QUICK):
                measure = lambda p, seed, cell=cell: in_exam(cell.make(), cell.problem, size, p, seed)
                yield Item(EXAM, *cell.key, "-", measure)

    def _pictures(self) -> tuple[list[Item], str]:
        tasks = list(dict.fromkeys(Degradation.of(text) for text in self.ops))
        pictures = clean_pictures(self.data, self.crop, self.limit)
        check_sizes(pictures)
        prior: Prior = of_pictures(load_prior(self.network, device=CPU))
        if isinstance(prior, LatentPrior):
            raise BadInput(f"prior {prior.spec.name} knows latents, which other libraries do not; take natural-fast")
        known: Callable[[int], Denoiser] = prior.for_bands  # type: ignore[assignment]
        label = f"{prior.spec.name}@{prior.sha256[:8]}"
        items = [
            Item(PICTURE, task.text, label, "-", f"{clean.name} {self.crop or 'whole'}",
                 partial(on_picture, task, clean, known, self.samples))
            for task in tasks for clean in pictures
        ]  # fmt: skip
        size = f"{self.crop} x {self.crop} from the middle" if self.crop else "whole"
        return items, f"{len(pictures)}, {size}, prior {label}, {self.samples} samples, seed {self.seed}"

    def _measured(
        self, items: Sequence[Item], methods: Sequence[PeerMethod], rows: Rows, progress: Callable[[str], object]
    ) -> list[Row]:
        """Return the rows of this run, as they are in the file."""
        here, done, keys = machine(CPU), {_key(r): r for r in rows.rows}, []
        for item in items:
            for m in (m for m in methods if not m.missing):
                size = ("full" if self.full else "quick") if item.part == EXAM else f"{self.samples} samples"
                key = tuple(map(str, (
                    item.part, item.problem, item.prior, item.sigma_y, item.picture, m.text, m.peer.settings() or "-",
                    size, self.seed, m.peer.library, m.peer.version(), restorekit.__version__, torch.__version__, here,
                )))  # fmt: skip
                keys.append(key)
                if key not in done or done[key]["refused"].startswith(FAILS):
                    rows.add(*key, *values(item, m.peer, self.seed))
                    done[key] = rows.rows[-1]
                    progress(f"{item.problem} {item.prior} {item.sigma_y} {item.picture}  {m.text}  {told(done[key])}")
        return [done[key] for key in dict.fromkeys(keys)]

    def settings(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def command(self) -> str:
        """Return the command line of this run, without what is as by default."""
        words = ["restorekit", "bench", "peers"]
        several = {"peers": "peer", "solvers": "solver", "problems": "problem", "priors": "prior",
                   "sigmas": "sigma", "data": "data", "ops": "op"}  # fmt: skip
        for f in fields(self):
            value = getattr(self, f.name)
            if value == (Path("bench") if f.name == "out" else f.default):
                continue
            if f.name in several:
                words += [w for v in value for w in (f"--{several[f.name]}", str(v))]
            elif isinstance(value, bool):
                words.append(f"--{'' if value else 'no-'}{f.name}")
            else:
                words += [f"--{f.name}", str(value)]
        return shlex.join(words)


def _key(row: Row) -> tuple[str, ...]:
    return tuple(row[k] for k in KEYS)


def told(row: Row) -> str:
    """Return the figures of a row in one line, or why it was refused."""
    if row["refused"]:
        return row["refused"]
    names = ("spread_measured", "coverage_measured", "w2") if row["part"] == EXAM else ("psnr", "inside")
    return "  ".join(f"{n.replace('_', ' ')} {row[n]}" for n in names)
