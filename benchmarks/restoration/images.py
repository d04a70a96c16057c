"""Every solver at 20, 50, 100 and 200 network calls on crops of the classic test pictures: `restorekit bench images`.

Writes results/images.md and .csv (a killed run goes on from it) and docs/pareto-*.svg, quality against seconds per sample.
The two references for small problems, smc and exchange, are left out: they take thousands of calls.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from benchmarks.support.common import DATA, HERE, RESULTS, machine, need_data, progress
from restorekit.bench.images.image_summary import Group, points, read
from restorekit.bench.images.run_images import Images
from restorekit.files.picture import write_text
from restorekit.report.plot import pareto, pareto_front
from restorekit.report.text_tables import markdown
from restorekit.tasks.defaults import TASKS

OPS = {  # name of the plots -> operator and noise
    "upscale": "average:factor=4@gaussian:0.02",
    "inpaint": "inpaint:mask=random:0.2@gaussian:0.02",
    "deblur": "blur:kernel=gaussian:1.6@gaussian:0.02",
    "denoise": "denoise@gaussian:0.1",
}
TITLES = {"upscale": "Four times smaller", "inpaint": "80 % missing", "deblur": "Blur", "denoise": "Noise 0.1"}
SOLVERS = ("hqs:first=0.5", "ddnm", "ddnm+:travel=5x2", "ddnm+", "ddrm", "diffpir", "vds", "daps", "pnpdm", "dps", "mcg",
           "pigdm", "mmps:iterations=3")  # fmt: skip
NFE = (20, 50, 100, 200)
QUALITIES = {"psnr": "PSNR of one answer or sample, dB", "ssim": "SSIM of one answer or sample"}


COLUMNS = {"psnr": "PSNR, one", "psnr_mean": "PSNR, mean of 2", "ssim": "SSIM, one", "prior_distance": "prior distance, one",
           "spread_skill": "spread / error", "coverage": "in 90 %", "time": "seconds"}  # fmt: skip


def summary(found: Sequence[Group], calls: int) -> str:
    """Markdown: every solver at the most levels that stay within `calls`, means over the tasks it takes."""
    body = []
    for solver in SOLVERS:
        mine = [g for g in found if g.solver == solver and g.rows and float(g.mean("nfe")) <= calls]
        best = [
            max((g for g in mine if g.op == op), key=lambda g: float(g.mean("nfe")), default=None)
            for op in OPS.values()
        ]
        there = [g for g in best if g is not None]
        values = [fmean(float(g.mean(c)) for g in there) for c in COLUMNS]
        body.append((f"`{solver}`", f"{len(there)} of {len(OPS)}", *values))
    body.sort(key=lambda line: -float(line[2]))
    return markdown(("solver", "tasks", *COLUMNS.values()), body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prior", default="natural-fast")
    parser.add_argument("--limit", type=int, default=2, help="pictures of each of the two sets")
    parser.add_argument("--crop", type=int, default=96)
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("bench-images"), help="working folder: pictures and the page")
    args = parser.parse_args()
    need_data()
    kept = RESULTS / "images.csv"
    if kept.exists() and not (args.out / "images.csv").exists():
        args.out.mkdir(parents=True, exist_ok=True)
        shutil.copy(kept, args.out / "images.csv")
    folders = [DATA / "classic" / name for name in ("kodak", "set5")]
    common = {"data": folders, "priors": (args.prior,), "samples": args.samples, "crop": args.crop, "limit": args.limit,
              "workers": args.workers, "threads": 1, "out": args.out}  # fmt: skip
    # What the command does by default, for one answer: other numbers of levels than those below.
    for op in OPS.values():
        task = TASKS[op.partition(":")[0].partition("@")[0]]
        Images(ops=(op,), solvers=(task.solver,), steps=(task.steps,), **common)(progress)
    Images(ops=tuple(OPS.values()), solvers=SOLVERS, nfe=NFE, **common)(progress)
    shutil.copy(args.out / "images.csv", kept)
    report = (
        (args.out / "images.md").read_text(encoding="utf-8").replace(str(DATA), "DATA").replace(str(args.out), "OUT")
    )
    rows = read(kept)
    short = f"## All tasks, within 50 calls\n\n{summary(rows, 50)}\n"
    for name, op in OPS.items():
        for y, label in QUALITIES.items():
            found = points(rows, x="time", y=y, op=op)
            text = pareto(found, x="seconds per sample", y=label, title=TITLES[name], size=(640, 420))
            write_text(HERE.parent / "docs" / f"pareto-{name}-{y}.svg", text)
            default = TASKS[op.partition(":")[0].partition("@")[0]].solver
            for x in ("time", "nfe"):
                best = {p.series for p in pareto_front(points(rows, x=x, y=y, op=op))}
                short += f"\n- {op}, {y} against {x}: the default, `{default}`, is {'' if default in best else 'NOT '}on the front"
    text = f"{report}\n{short}\n\nMeasured on: {machine()}.\n"
    write_text(RESULTS / "images.md", text)
    print(report, short)


if __name__ == "__main__":
    main()
