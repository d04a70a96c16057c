"""Run every example in its quick form; docs/gallery/ gets what each drew and printed.

python docs/_support/gallery.py [NAME ...]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[2]
GALLERY = ROOT / "docs" / "gallery"
QUICK = {
    "demo": ("--size", "160", "--out", "."),
    "compare_samplers": ("--calls", "12"),
    "despeckle_tile": ("--steps", "6"),
    "every_prior": ("--steps", "6"),
    "deblur_wrong_kernel": ("--out", "."),
}
DRAWN = {
    "demo": "comparison.png", "fuse_pair": "fused.png", "derain_picture": "derained.png", "deblur_wrong_kernel": "true_kernel.png",
}  # fmt: skip
WIDEST = 1280  # pixels


def run(name: str) -> None:
    """Run one example in an empty folder, and keep its last 20 lines and its picture."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, str(ROOT / "examples" / f"{name}.py"), *QUICK.get(name, ())]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ})
        if done.returncode:
            print(f"{name}: left out, for it fails: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
            return
        said = [line for line in done.stdout.splitlines() if folder not in line]
        (GALLERY / f"{name}.txt").write_text("\n".join(said[-20:]) + "\n", encoding="utf-8")
        drawn = Path(folder) / DRAWN.get(name, f"{name}.png")
        if drawn.is_file():
            with Image.open(drawn) as picture:
                small = picture.convert("RGB")
                small.thumbnail((WIDEST, WIDEST))
                small.save(GALLERY / f"{name}.webp", quality=90)
        print(f"{name}: done")


if __name__ == "__main__":
    GALLERY.mkdir(exist_ok=True)
    for example in sys.argv[1:] or [path.stem for path in sorted((ROOT / "examples").glob("*.py"))]:
        run(example)
