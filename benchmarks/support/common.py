"""What the benchmark scripts share: pictures, the line about the machine, resumable rows, tables."""

from __future__ import annotations

import csv
import datetime
import io
import os
import sys
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import torch

from restorekit.files.atomic import atomic
from restorekit.files.kernel_files import read_kernel
from restorekit.files.picture import read_picture, write_text
from restorekit.metrics.fidelity import luma
from restorekit.priors.find import Prior, load_prior
from restorekit.report.text_tables import markdown

HERE = Path(__file__).resolve().parents[1]
RESULTS = HERE / "results"
DATA = Path(os.environ.get("RESTOREKIT_DATA", HERE.parent.parent / "shared" / "data"))
CLASSIC = ("set5", "kodak", "mcmaster", "urban")

Pictures = list[tuple[str, np.ndarray]]  # name, (C, H, W) float32 in [0, 1]


def progress(text: str) -> None:
    """Print a line beside the results."""
    print(text, file=sys.stderr, flush=True)


def need_data() -> None:
    if not DATA.is_dir():
        raise SystemExit("no pictures; set RESTOREKIT_DATA to the folder that holds natural128-train.zip and classic/")


def archive(name: str, limit: int | None = None, seed: int = 0) -> Pictures:
    """Pictures of a zip of JPEGs; `limit` takes a subset that depends on the seed alone."""
    need_data()
    with zipfile.ZipFile(DATA / name) as z:
        names = sorted(n for n in z.namelist() if n.endswith(".jpg"))
        if limit is not None and limit < len(names):
            names = sorted(np.random.default_rng(seed).permutation(names)[:limit])
        raw = [(n, np.asarray(iio.imread(BytesIO(z.read(n)), extension=".jpg"))) for n in names]
    colour = [(Path(n).stem, a if a.ndim == 3 else a[..., None].repeat(3, 2)) for n, a in raw]
    return [(n, np.ascontiguousarray(a.transpose(2, 0, 1), np.float32) / 255) for n, a in colour]


def classic(folder: str, limit: int | None = None) -> Pictures:
    """PNG pictures of one of the restoration test sets, colour only."""
    need_data()
    paths = sorted((DATA / "classic" / folder).glob("*.png"))
    pictures = [(path.stem, read_picture(path).pixels) for path in paths]
    return [(name, x) for name, x in pictures if len(x) == 3][:limit]


def picture_set(name: str, limit: int | None = None) -> Pictures:
    return archive("natural128-test.zip", limit) if name == "test128" else classic(name, limit)


def training_pictures(count: int, size: int = 128) -> Pictures:
    """For tuning: whatever is chosen by the result must not be chosen on test pictures."""
    return [(n, x) for n, x in archive("natural128-train.zip", 2 * count, seed=1) if min(x.shape[1:]) >= size][:count]


def centre(x: np.ndarray, size: int | None, multiple: int = 1) -> np.ndarray:
    """The middle of a picture: at most `size` pixels a side, sides cut to multiples."""
    sides = [min(n, size or n) // multiple * multiple for n in x.shape[1:]]
    top, left = ((n - s) // 2 for n, s in zip(x.shape[1:], sides))
    return np.ascontiguousarray(x[:, top : top + sides[0], left : left + sides[1]])


def grey(pictures: Pictures) -> Pictures:
    return [(name, luma(x).astype(np.float32)) for name, x in pictures]


def kernels() -> list[tuple[str, np.ndarray]]:
    """The eight motion kernels of Levin et al. 2009."""
    need_data()
    path = DATA / "classic" / "kernels.npz"
    return [(f"levin09_{i}", read_kernel(f"{path}:levin09_{i}")) for i in range(1, 9)]


def prior_label(prior: Prior) -> str:
    """Name and weights of a prior, without the path of its file."""
    return f"{prior.spec.name}@{prior.sha256[:8]}"


def load_labelled(name: str, precision: str = "auto") -> tuple[str, Prior]:
    prior = load_prior(name, precision=precision)  # type: ignore[arg-type]
    return prior_label(prior), prior


def machine() -> str:
    """One line that says where and when a result was measured."""
    model = "unknown CPU"
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = lines[0] if lines else model
    flags = info.read_text() if info.exists() else ""
    extras = ", AMX" if "amx_bf16" in flags else ""
    day = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    return f"{model}{extras}, {os.cpu_count()} cores, {torch.get_num_threads()} threads used, torch {torch.__version__}, {day}"


def publish(
    name: str, title: str, tables: Sequence[tuple[str, Sequence[str], Sequence[Sequence[Any]]]], notes: Sequence[str]
) -> None:
    """Print the tables and write them to results/NAME.md and, the same numbers, results/NAME.csv."""
    parts = [f"# {title}", f"Measured on: {machine()}.", *notes]
    for caption, header, rows in tables:
        parts += [f"## {caption}" if caption else "", markdown(header, rows)]
    text = "\n\n".join(p for p in parts if p) + "\n"
    print(text)
    RESULTS.mkdir(exist_ok=True)
    write_text(RESULTS / f"{name}.md", text)
    with atomic(RESULTS / f"{name}.csv") as raw, io.TextIOWrapper(raw, newline="", encoding="utf-8") as f:
        writer = csv.writer(f, lineterminator="\n")
        for caption, header, rows in tables:
            writer.writerow(["table", *header])
            writer.writerows([caption, *(f"{v:.6g}" if isinstance(v, float) else v for v in row)] for row in rows)
