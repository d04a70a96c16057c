"""How often OUT_low and OUT_high hold the truth of files as cameras write them, noise measured; and the calibration for such files.

python -m benchmarks.restoration.coverage_cameras            # needs $RESTOREKIT_DATA; a stopped run goes on
python -m benchmarks.restoration.coverage_cameras --table    # draw nothing; also adds to the shipped calibration

GROUPS says what is measured. Pictures of `photos256-test` at even positions calibrate, those at odd ones judge; of every group
but the JPEG all only judge, by what is shipped. `other` is a camera of other people's code (opencv-python-headless, colour-demosaicing).
Rows are kept in coverage_cameras_rows.csv.xz; a run unpacks it to runs/, and `--table` packs that again.
"""

from __future__ import annotations

import argparse
import csv
import io
import lzma
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import restorekit
from benchmarks.support.common import DATA, RESULTS, publish
from benchmarks.support.photographs import photograph
from restorekit.files.curves import SRGB
from restorekit.files.journal import Rows
from restorekit.files.picture import read_picture
from restorekit.inference.sensor_noise import PoissonGaussian
from restorekit.notes import Notes
from restorekit.priors.find import load_prior
from restorekit.priors.prior import Prior
from restorekit.scenes.process_memory import keep_freed_memory
from restorekit.simulation.camera import Camera
from restorekit.tasks.calibration_rows import LEVEL, SplitPictures, Truth
from restorekit.tasks.calibration_table import judge
from restorekit.tasks.denoise import NoiseRemoval
from restorekit.text.cameras import camera_of
from restorekit.text.kernels import kernel
from restorekit.text.names import solver_of
from restorekit.uncertainty.calibration import JPEG, Calibration, Conditions, Entry, beside, solver_key
from restorekit.uncertainty.conformal import Scores, least_pictures
from restorekit.uncertainty.interval import LOCAL, Interval, ratios, student

Array = np.ndarray
PHOTOS, SCENE, SIDE, SAMPLES, COUNTS = "photos256-test.zip", 224, 64, 8, (2, 4, 8)
KIND, BLUR = "JPEG of cameras", "gaussian:1.6"
MORE = "JPEG of white noise"  # which only calibrates, where the coefficients show it, of pictures whose file of KIND is of another kind
JPEGS = (KIND, "other", "JPEG q85", MORE)
NAMES = ("white", "shared")  # of the noise before a JPEG
KEPT = RESULTS / "coverage_cameras_rows.csv.xz"
WORKING = Path("runs") / "coverage_cameras_rows.csv"
KEYS = ("prior", "group", "picture")
VALUES = ("half", "noise", "rms", "reach", "spread", "plain", "seconds", "shared", *(f"scores{k}" for k in COUNTS))
GROUPS = {  # what judges by what is shipped, and what a file of it is
    KIND: "half by a phone or a still camera of `restorekit degrade`, its gain 0.0005 to 0.008, JPEG 75 to 95; half white noise of 0.02 to 0.08, then JPEG 75 to 95",
    "other": "a camera of other people's code, JPEG 90",
    "JPEG q85": "white noise of 0.05, then JPEG 85",
    "poisson-gaussian": "gain 0.0005 to 0.008, read noise 0.002 to 0.03, 8 bits",
    "light, clipped": f"1.6 times the light, {BLUR} in light and white noise of 0.02 there, sRGB of 8 bits; kernel and noise told",
    MORE: "white noise of 0.02 to 0.08, then JPEG 75 to 95; more of what calibrates the white kind",
}
parser = argparse.ArgumentParser()
parser.add_argument("--prior", default="natural-fast")
parser.add_argument("--group", action="append", choices=list(GROUPS), help="again for more; default: all")
parser.add_argument("--pictures", type=int, help="of each half")
parser.add_argument(
    "--part", default="0/1", help="I/N: every N-th picture from the I-th, so that N runs share the work"
)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--table", action="store_true", help="draw nothing")


@dataclass(frozen=True, eq=False)
class File:
    """A file with its truth (3, H, W) in values of the file."""

    path: Path
    truth: Array


def _png(y: Array, path: Path) -> Path:
    Image.fromarray(np.moveaxis(np.rint(255 * y.clip(0, 1)).astype(np.uint8), 0, -1)).save(path)
    return path


def _jpeg(y: Array, path: Path, quality: int) -> Path:
    Image.fromarray(np.moveaxis(np.rint(255 * y.clip(0, 1)).astype(np.uint8), 0, -1)).save(
        path, "JPEG", quality=quality
    )
    return path


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def made(group: str, scene: Truth, folder: Path) -> File:
    """Write the file of a group; it is a function of the group and the picture alone."""
    seed = int(scene.digest, 16) % 2**31 + list(GROUPS).index(group)
    rng, x = np.random.default_rng(seed), scene.pixels.astype(np.float64)
    if group == "other":
        photo = photograph("other", x, folder / "y.jpg", seed)
        return File(photo.path, photo.truth)
    if group == KIND and rng.random() < 0.5:
        gain, quality, chroma = (
            _between(rng, 0.0005, 0.008),
            int(rng.integers(75, 96)),
            str(rng.choice(["4:2:0", "4:2:2", "4:4:4"])),
        )
        camera = camera_of(str(rng.choice(["phone", "still"])))
        camera = Camera(**{**vars(camera), "gain": gain, "read": gain, "jpeg": quality, "chroma": chroma})
        shot = replace(camera, jpeg=None)(SRGB().decode(x), torch.Generator().manual_seed(seed))
        return File(_jpeg(shot.values, folder / "y.jpg", quality), shot.truth.clip(0, 1).astype(np.float32))
    if group in (KIND, "JPEG q85", MORE):
        level, quality = (0.05, 85) if group == "JPEG q85" else (_between(rng, 0.02, 0.08), int(rng.integers(75, 96)))
        return File(_jpeg(x + level * rng.standard_normal(x.shape), folder / "y.jpg", quality), scene.pixels)
    if group == "poisson-gaussian":
        law = PoissonGaussian(_between(rng, 0.0005, 0.008), _between(rng, 0.002, 0.03))
        y = law.sample(torch.from_numpy(x), torch.Generator().manual_seed(seed)).numpy()
        return File(_png(y, folder / "y.png"), scene.pixels)
    from scipy import ndimage

    light = 1.6 * SRGB().decode(x)
    seen = np.stack([ndimage.convolve(band, kernel(BLUR).numpy(), mode="wrap") for band in light])
    y = SRGB().encode((seen + 0.02 * rng.standard_normal(x.shape)).clip(0, 1))
    return File(_png(y, folder / "y.png"), SRGB().encode(light.clip(0, 1)).astype(np.float32))


def drawn(group: str, scene: Truth, prior: Prior, folder: Path, held: SplitPictures) -> dict[str, object] | None:
    """Return the figures of a row: samples of the middle of a file, by the noise that was measured in all of it. None of MORE
    where the file does not show white noise.

    held: what tells dark from bright pixels, and smooth from rough ones.
    """
    file = made(group, scene, folder)
    settings = {"prior": prior, "solver": "mmps", "samples": SAMPLES, "progress": False, "notes": Notes()}
    whole = read_picture(file.path).pixels
    top, left = ((n - SIDE) // 16 * 8 for n in whole.shape[1:])
    at = np.s_[:, top : top + SIDE, left : left + SIDE]
    part = _png(whole[at], folder / "part.png")
    began = time.perf_counter()
    shared = False
    if group == "light, clipped":
        law = "gaussian:0.02"
        found = restorekit.deblur(part, BLUR, noise=law, boundary="free", transfer="srgb", **settings)  # type: ignore[arg-type]
    else:
        forward = NoiseRemoval(prior=prior, solver="mmps", samples=SAMPLES).measure(file.path, Notes()).forward
        law, shared = forward.noise_text, not (forward.found is not None and forward.found.white_before)
        if group == MORE and shared:
            return None
        found = restorekit.denoise(part, noise=law, **settings)  # type: ignore[arg-type]
    seconds, samples, truth = time.perf_counter() - began, found.samples.numpy(), file.truth[at]
    bars = found.source.bars  # type: ignore[union-attr]
    spread = LOCAL if group in JPEGS or bars is None else bars.interval.spread
    cells = held.cells(truth) if scene.half == "judge" else None  # what calibrates is not told apart further
    texts = {}
    for count in COUNTS:
        some = samples[:count]
        right = np.where(truth >= 1, np.maximum(some.mean(0), 1), truth)  # where any value from white on is right
        texts[f"scores{count}"] = Scores.of(ratios(right, some, spread), cells).text
    known = bars is not None and bars.record["calibration"] != "none"
    by = bars.record["factor"] * student(LEVEL, SAMPLES) if bars is not None and known else np.nan
    low, high = Interval(LEVEL)(samples)
    plain = float(((low <= truth) & (truth <= high)).mean())
    rms = float(np.sqrt(np.square(whole[at] - truth).mean()))
    width = float(spread(samples).mean())
    row: dict[str, object] = {
        "noise": law,
        "rms": rms,
        "reach": by,
        "spread": width,
        "plain": plain,
        "seconds": seconds,
        "shared": int(shared and group in JPEGS),
    }
    return row | texts


def unpacked() -> Rows:
    """Return the rows that are kept and those drawn since."""
    rows = Rows(WORKING, KEYS, VALUES)
    for row in csv.DictReader(io.StringIO(lzma.decompress(KEPT.read_bytes()).decode(), newline="")):
        if not rows.has(*(row[k] for k in KEYS)):
            rows.add(*(row[k] for k in rows.fields))
    return rows


def packed(rows: Rows) -> bytes:
    """Return the table as it is kept, rows of a group together."""
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, rows.fields, lineterminator="\n")
    table.writeheader()
    table.writerows(sorted(rows.rows, key=lambda row: [row[k] for k in KEYS]))
    return lzma.compress(text.getvalue().encode(), preset=9 | lzma.PRESET_EXTREME)


def calibrating(own: list[dict[str, str]], shared: bool) -> list[dict[str, str]]:
    """Return the rows that calibrate files with such noise."""
    groups = (KIND,) if shared else (KIND, MORE)
    return [r for r in own if r["group"] in groups and (r["half"], r["shared"]) == ("calibrate", str(int(shared)))]


def entries(prior: Prior, own: list[dict[str, str]], shared: bool) -> list[Entry]:
    """Return what files of KIND with such noise calibrate, at both ends of the levels of their noise."""
    kept = calibrating(own, shared)
    if len(kept) < least_pictures(LEVEL):
        return []
    levels = sorted(_level(r) for r in kept)
    made = []
    for level in (levels[len(levels) // 20], levels[-1 - len(levels) // 20]):
        for count in COUNTS:
            of = Conditions(task="denoise", noise=f"gaussian:{level:.3g}", dtype=JPEG, clipped="censored", samples=count, measured=True,
                            shared=shared, solver=solver_key(solver_of("mmps"), None))  # fmt: skip
            scores = [Scores.read(r[f"scores{count}"]) for r in kept]
            made.append(Entry.of(of, LOCAL, f"{PHOTOS} crop {SIDE}, {KIND}, {NAMES[shared]} noise", scores))
    return made


def asked(rows: Rows, label: str, group: str, scene: Truth) -> bool:
    """Return whether a group has a row of this picture: but for KIND those that judge, and MORE where KIND is not white."""
    if group == MORE:
        own = [r for r in rows.rows if (r["prior"], r["group"], r["picture"]) == (label, KIND, scene.name)]
        return scene.half == "calibrate" and any(r["shared"] == "1" for r in own)
    return group == KIND or scene.half == "judge"


def _level(row: dict[str, str]) -> float:
    return float(row["noise"].rpartition(":")[2])


def _line(name: str, rows: list[dict[str, str]], ratios: list[float]) -> tuple[list[object], dict[str, object]]:
    """Return (a line of the table, what a record says) of pictures, each by its own ratio."""
    judged = judge([r | {"samples": str(SAMPLES), "scores": r[f"scores{SAMPLES}"]} for r in rows], ratios)
    parts = (" ".join("-" if np.isnan(v) else f"{v:.2f}" for v in part) for part in (judged.bright, judged.rough))
    levels = [np.mean([float(r[k].rpartition(":")[2]) for r in rows]) for k in ("noise", "rms")]
    factor = float(np.mean(ratios)) / student(LEVEL, SAMPLES)
    line = [name, f"{factor:.3f}", len(rows), f"{judged.coverage:.3f} ± {judged.error:.3f}", *parts, f"{judged.width:.3f}",
            f"{judged.plain:.3f}", *(f"{v:.4f}" for v in levels)]  # fmt: skip
    return line, judged.record()


def main() -> None:
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    prior = load_prior(options.prior)
    label = f"{prior.spec.name}@{prior.sha256[:12]}"
    rows = unpacked()
    if not options.table:
        held = SplitPictures(DATA / PHOTOS, SCENE)
        with tempfile.TemporaryDirectory() as folder:
            first, count = (int(n) for n in options.part.split("/"))
            for scene in held.some(options.pictures)[first::count]:
                for group in options.group or GROUPS:
                    if rows.has(label, group, scene.name) or not asked(rows, label, group, scene):
                        continue
                    row = drawn(group, scene, prior, Path(folder), held)
                    if row is None:
                        continue
                    rows.add(label, group, scene.name, scene.half, *(row[k] for k in VALUES[1:]))
                    print(
                        group, scene.name, row["noise"], f"rms {row['rms']:.4f}", f"{row['seconds']:.0f} s", flush=True
                    )
        return
    KEPT.write_bytes(packed(rows))
    own = [r for r in rows.rows if r["prior"] == label]
    found = {str(int(shared)): entries(prior, own, shared) for shared in (False, True)}
    by = {k: e.ratio(LEVEL) for k, made in found.items() for e in made if e.conditions.samples == SAMPLES}
    lines, best = [], {}
    for group in GROUPS:
        some = [r for r in own if (r["group"], r["half"]) == (group, "judge")]
        ratios = [by.get(r["shared"], np.nan) if group in JPEGS else float(r["reach"]) for r in some]
        if len(some) < 2 or not np.isfinite(ratios).all():
            continue
        lines.append(_line(group, some, ratios)[0])
        for kind, name in enumerate(NAMES) if group == KIND else ():
            part = [r for r in some if r["shared"] == str(kind)]
            line, best[str(kind)] = _line(f"{group}, {name}", part, [by[str(kind)]] * len(part))
            lines.append(line)
    lines.sort(key=lambda line: -abs(float(str(line[3]).split()[0]) - LEVEL))
    head = ("file", "factor", "judging", "coverage", "dark to bright", "smooth to rough", "width", "uncalibrated", "level used", "rms")  # fmt: skip
    white, shared = (len(calibrating(own, kind)) for kind in (False, True))
    what = (
        f"By {label}, {SAMPLES} samples of mmps, intervals of {LEVEL:.0%}, on the middle {SIDE}x{SIDE} of {PHOTOS}, noise measured in the "
        f"middle {SCENE}x{SCENE} but where it is told. Of '{KIND}' and '{MORE}' {white} files whose coefficients "
        f"show white noise calibrate that kind, and {shared} others of '{KIND}' the other; a file gets the factor of its kind, as it is found. 'other' and 'JPEG q85' only "
        "judge; the rest is judged by what is shipped. Coverage: mean over pictures ± its standard error. Uncalibrated: mean ± t sqrt(1 + 1/K) std. "
        "Farthest from what is asked first."
    )
    notes = [what, *(f"{group}: {said}." for group, said in GROUPS.items())]
    publish("coverage_cameras", "Coverage of OUT_low and OUT_high of cameras' files", [("", head, lines)], notes)
    shipped = [
        replace(e, judged=best.get(kind, {}) if e.conditions.samples == SAMPLES else {})
        for kind, made in found.items()
        for e in made
    ]
    if shipped:
        path = beside(prior.path)
        known = Calibration.read(path)
        rest = tuple(e for e in known.entries if not e.conditions.measured)
        replace(known, entries=(*rest, *shipped)).write(path)


if __name__ == "__main__":
    main()
