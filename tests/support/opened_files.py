"""Files of every kind that commands open, under all names that tests of overwriting need, and what a folder holds."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from restorekit.priors.find import shipped

OWN = "from restorekit.operators import Identity\nclass Mine(Identity):\n    pass\n"
# Outputs that are another name of what is opened.
LINKS = {
    "link.png": "in.png", "o_py.png": "o.py", "o_prior.png": "p.safetensors", "o_folder.png": "prior/unet/w.bin",
    "o_npz.png": "k.npz", "o_in.html": "in.png", "o_m.html": "m.png", "o_t.html": "t.png", "page.html.json": "t.png",
    "o_x.html": "x.npy", "o_y.html": "y.npy", "o_t2.html": "t.npy", "o_prior.npy": "p.safetensors",
    "o_prior.json": "p.safetensors", "run/log.csv": "c.yaml", "run2/samples/0002000.png": "photos/1.png",
    "tuned/tune.md": "k.npy", "tuned2/tune.csv": "photos/1.png", "c.json": "k.npy",
    "c2_rows.csv": "photos/1.png", "d.json": "p.safetensors", "benched/posterior.md": "o.py",
    "benched2/images.md": "k.npy", "benched3/peers.csv": "o.py", "e_neighbours.png": "photos/1.png",
    "adapted/prior.safetensors": "p.safetensors", "adapted2/adaptation.json": "x.npy", "o_c.tif": "x.npy", "o_d.tif.json": "y.npy",
}  # fmt: skip


def write_opened_files() -> None:
    """Write them into the working directory."""
    photo = np.random.default_rng(0).integers(1, 255, (20, 24, 3), np.uint8)
    for name in ("in.png", "t.png", "in.jpg"):
        Image.fromarray(photo).save(name)
    beside = ("mean", "std", "low", "high", "truth", "mask", "kernel")
    for name in ("m.png", "o_std.tif", "o_cloud.tif", "o_added.tif", *(f"o_{what}.png" for what in beside)):
        Image.fromarray(np.tile(np.array([[0, 255]], np.uint8), (20, 12))).save(name)
    for name in ("k.npy", "o_kernel.npy"):
        np.save(name, np.ones((3, 3), np.float32))
    np.savez("k.npz", psf=np.ones((3, 3), np.float32))
    for name in ("x.npy", "y.npy", "t.npy", "o_std.npy"):
        np.save(name, np.random.default_rng(1).gamma(1, size=(64, 64)).astype(np.float32))
    for name in (
        "sub",
        "photos",
        "prior/unet",
        "run",
        "run2/samples",
        "tuned",
        "tuned2",
        "benched",
        "benched2",
        "benched3",
        "adapted",
        "adapted2",
    ):
        Path(name).mkdir(parents=True)
    Image.fromarray(photo.repeat(8, 0).repeat(8, 1)).save("photos/1.png")
    Path("prior/unet/w.bin").write_bytes(b"weights")
    Path("prior/unet/config.json").write_bytes(b"{}")
    Path("p.safetensors").write_bytes(shipped()["natural-fast"].read_bytes())
    Path("o.py").write_text(OWN)
    Path("c.yaml").write_text("model: {kind: unet}\n")
    os.link("in.png", "hard.png")
    for name, to in LINKS.items():
        Path(name).symlink_to(Path(to).resolve())


def contents(folder: Path) -> dict[str, bytes]:
    """Return what each file in a folder holds, by its name."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
