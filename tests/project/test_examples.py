"""The examples run as they are, in an empty folder, and print what the documents say they print."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
SAYS = {
    "deepinv_physics": r"restored: [\d.]+ dB",
    "own_operator": r"restored: [\d.]+ dB",
    "own_solver": r"spread [\d.]+ of the exact one",
    "uncertainty": r"truth within 2 standard deviations: \d+% of pixels",
    "compare_samplers": r"mmps +12",
    "fuse_pair": r"fused +0\.\d+",
    "despeckle_tile": r"hqs +\d+\.\d",
    "derain_picture": r"repaired +\d+\.\d+ +0\.\d+",
    "deblur_wrong_kernel": r"true_kernel +\d+\.\d+ dB",
}

QUICK = {"despeckle_tile": ("--steps", "3"), "compare_samplers": ("--calls", "12")}


def run(name: str, folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    script = str(ROOT / "examples" / f"{name}.py")
    done = subprocess.run(
        [sys.executable, script, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", SAYS)
def test_an_example_runs_and_says_what_it_found(name: str, tmp_path: Path) -> None:
    if name == "deepinv_physics":
        _needs_deepinv()
    if name in ("fuse_pair", "despeckle_tile"):
        pytest.importorskip("rasterio")
    said = run(name, tmp_path, *QUICK.get(name, ()))
    assert re.search(SAYS[name], said), said
    if name == "deepinv_physics":
        before, after = (float(n) for n in re.findall(r"([\d.]+) dB", said))
        assert after > before + 2
    if name == "own_solver":
        error, spread = (float(n) for n in re.findall(r"(?:mean|spread) ([\d.]+)", said))
        assert error < 0.3
        assert 0.8 < spread < 1.25
    if name == "fuse_pair":
        ours, mean = (float(re.findall(rf"^{n} +([\d.]+)", said, re.MULTILINE)[0]) for n in ("fused", "mean"))
        assert ours > 1.3 * mean
    if name == "despeckle_tile":
        _the_tile_is_flatter_and_lies_where_it_lay(said, tmp_path)
    if name == "derain_picture":
        rainy, plain, repaired = (
            float(n) for n in re.findall(r"^(?:rainy|plain|repaired) +([\d.]+)", said, re.MULTILINE)
        )
        assert repaired > plain > rainy
    if name == "deblur_wrong_kernel":
        told, corrected, true = (float(n) for n in re.findall(r"([\d.]+) dB", said))
        assert told + 4 < corrected < true + 0.5
    for picture in re.findall(r"^(\w+\.png): ", said, re.MULTILINE):
        assert (tmp_path / picture).stat().st_size > 1000


def _the_tile_is_flatter_and_lies_where_it_lay(said: str, folder: Path) -> None:
    import rasterio

    enl, ratio = (
        {n: float(v[i]) for n, *v in re.findall(r"^(\w+) +([\d.]+) +([\d.]+)", said, re.MULTILINE)} for i in (0, 1)
    )
    assert enl["measured"] < 10
    assert enl["lee"] > 3 * enl["measured"]  # its window has 49 pixels of a grain of about three
    assert enl["hqs"] > 2 * enl["lee"]
    assert all(0.95 < ratio[name] < 1.05 for name in ("lee", "hqs"))
    for name in ("lee", "hqs"):
        with rasterio.open(folder / f"{name}.tif") as d:
            assert (d.shape, d.count, d.dtypes[0]) == ((160, 160), 1, "float32")
            assert d.crs is not None
            assert (d.transform.c, d.transform.f) != (0, 0)


def test_the_sheet_of_priors_has_a_row_for_each_that_is_asked_for(tmp_path: Path) -> None:
    said = run("every_prior", tmp_path, "--prior", "natural-fast", "--prior", "mamba-cascade", "--steps", "3")
    rows = [line.split()[:2] for line in said.splitlines() if line.endswith(" dB")]
    assert [row[0] for row in rows] == 3 * ["natural-fast"] + 3 * ["mamba-cascade"]
    assert len({tuple(row) for row in rows}) == 6
    with Image.open(tmp_path / "every_prior.png") as sheet:
        assert sheet.size == (5 * 134 - 6, 2 * 162)


def test_the_command_line_takes_the_operator_and_solver_of_the_examples() -> None:
    from restorekit.text.names import operator_of, solver_of

    ghost = operator_of(f"{ROOT}/examples/own_operator.py:Ghost:shift=3,strength=0.25", measured=(2, 5, 8))
    assert ghost.image_shape == (2, 5, 8)
    assert (ghost.shift, ghost.strength) == (3, 0.25)  # type: ignore[attr-defined]
    langevin = solver_of(f"{ROOT}/examples/own_solver.py:Langevin:repeats=2")
    assert langevin.calls([1.0, 0.5, 0.0]) == 4


def test_contributing_quotes_the_examples_word_for_word() -> None:
    quoted = re.findall(r"```python\n# examples/(\w+)\.py\n(.*?)```", _read("CONTRIBUTING.md"), re.DOTALL)
    assert {name for name, _ in quoted} == {"own_operator", "own_solver"}
    for name, code in quoted:
        assert code in _read(f"examples/{name}.py"), f"CONTRIBUTING.md and examples/{name}.py differ"


def test_the_tables_of_the_readme_name_what_there_is() -> None:
    from restorekit.priors.find import shipped
    from restorekit.solvers import SOLVERS
    from restorekit.text.names import NOISES, OPERATIONS

    def first_column(heading: str) -> set[str]:
        section = _read("README.md").partition(f"\n### {heading}\n")[2].partition("\n#")[0]
        return set(re.findall(r"^\| `([^`-][^`]*)` ", section, re.MULTILINE))

    assert first_column("Solvers") == set(SOLVERS)
    assert first_column("Operators") == set(OPERATIONS)
    assert first_column("Noise") == set(NOISES)
    assert not shipped() or first_column("Priors") == set(shipped())


@pytest.mark.parametrize("number", [0, 1])
def test_the_python_of_the_readme_runs(number: int, tmp_path: Path) -> None:
    code = re.findall(r"```python\n(.*?)```", _read("README.md"), re.DOTALL)
    assert len(code) == 2
    if "deepinv" in code[number]:
        _needs_deepinv()
    from restorekit.priors.find import shipped

    if "natural" not in shipped():
        pytest.skip("the prior `natural` is not in this checkout")
    done = subprocess.run(
        [sys.executable, "-c", code[number]], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


SHORTER = {
    **{name: ["--steps", "3"] for name in ("inpaint", "deblur", "derain", "upscale", "colorize", "restore", "compare")},
    "despeckle": ["--steps", "3"],
    "tune": ["--crop", "32", "--budget", "6", "--pictures", "1", "--prior", "natural-fast", "--samples", "2"],
    "bench images": ["--crop", "32", "--workers", "1", "--limit", "1"],
    "bench posterior": ["--problem", "mixture-2", "--sigma", "0.05", "--steps", "4"],
    "sample": ["--n", "2", "--steps", "3"],
    "priors eval": ["--limit", "1", "--crop", "32"],
}


def shorter(arguments: list[str]) -> list[str]:
    """What makes a command quick; filters take no steps."""
    from restorekit.sar.filters import FILTERS

    if any(a.partition(":")[0] in FILTERS for a in arguments):
        return []
    return SHORTER.get(" ".join(arguments[:2]), SHORTER.get(arguments[0], []))


def test_the_commands_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every `restorekit ...` line, in order, on small files of the names it uses."""
    from restorekit.blind.correction import KernelCorrection
    from restorekit.cli.main import run as command

    monkeypatch.setattr("restorekit.tasks.deblur.KernelCorrection", partial(KernelCorrection, steps=3))
    make_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", _read("README.md"), re.MULTILINE | re.DOTALL)
    lines = re.findall(r"^restorekit (\S.*)$", "".join(text for language, text in blocks if not language), re.MULTILINE)
    assert len(lines) >= 14
    for line in lines:
        arguments = shlex.split(line, comments=True)
        arguments = ["in.png" if a == "IN" else "out.png" if a == "OUT" else a for a in arguments]
        if arguments[0] == "train":
            arguments += ["--set", "optim.steps=1", "--set", "optim.batch=2", "--set", "run.compile=false"]
        arguments += shorter(arguments)
        with pytest.raises(SystemExit) as stop:
            command(arguments)
        assert stop.value.code == 0, line


def test_the_commands_of_the_page_on_despeckling_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, on small scenes of the names it uses, with a cluster at the address that it names."""
    pytest.importorskip("rasterio")
    distributed = pytest.importorskip("distributed")
    from restorekit.cli.main import run as command

    make_scenes(tmp_path)
    monkeypatch.chdir(tmp_path)
    text = _read("docs/despeckle.md")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for language, block in blocks if language == "sh" for line in block.splitlines()]
    assert len(lines) >= 14
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        for line in lines:
            program, *arguments = shlex.split(line, comments=True)
            assert program == "restorekit", line
            arguments = [cluster.scheduler_address if a == "tcp://host:8786" else a for a in arguments]
            arguments = ["0,0,40,64" if a == "0,0,512,512" else a for a in arguments]  # the scene is smaller
            arguments += shorter(arguments)
            with pytest.raises(SystemExit) as stop:
                command(arguments)
            assert stop.value.code == 0, line
            if arguments[0] == "despeckle":
                assert (tmp_path / arguments[2]).stat().st_size > 1000, line
    assert (tmp_path / "out_std.tif").is_file()
    assert not list(tmp_path.glob(".*.work"))


def test_the_commands_of_the_page_on_rain_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, on a small picture with streaks."""
    from restorekit.cli.main import run as command

    make_rain(tmp_path)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", _read("docs/derain.md"), re.MULTILINE | re.DOTALL)
    lines = [line for language, block in blocks if language == "sh" for line in block.splitlines()]
    assert len(lines) >= 6
    for line in lines:
        program, *arguments = shlex.split(line, comments=True)
        assert program == "restorekit", line
        with pytest.raises(SystemExit) as stop:
            command([*arguments, "--steps", "3", "--prior", "natural-fast"])
        assert stop.value.code == 0, line
        assert (tmp_path / arguments[2]).stat().st_size > 1000, line
    names = {p.name for p in tmp_path.iterdir()}
    assert {"out_mask.png", "out_std.tif", "out_std.png", "out.png.json", "alone_base.png", "page.html"} <= names
    (code,) = (block for language, block in blocks if language == "python")
    names_of: dict[str, object] = {}
    exec(code, names_of)  # noqa: S102 (our own document)
    assert names_of["y"].shape == names_of["x"].shape  # type: ignore[attr-defined]


def test_the_commands_of_the_page_on_deblurring_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, on a small picture that was moved."""
    import numpy as np
    import skimage.data
    from scipy import ndimage

    from restorekit.blind.correction import KernelCorrection
    from restorekit.blind.families import motion
    from restorekit.cli.main import run as command
    from restorekit.files.picture import write_picture

    # Draws of a few levels: that what is found is right is shown elsewhere.
    monkeypatch.setattr("restorekit.tasks.deblur.KernelCorrection", partial(KernelCorrection, steps=3))
    x = skimage.data.astronaut()[20:120, 180:280].transpose(2, 0, 1) / 255
    y = np.stack([ndimage.convolve(band, motion(13, 30)) for band in x])[:, 12:-12, 12:-12]
    y += 0.01 * np.random.default_rng(0).standard_normal(y.shape)
    write_picture(tmp_path / "blurred.tif", y.astype(np.float32))
    write_picture(tmp_path / "k.png", motion(11, 30)[None] / motion(11, 30).max())
    monkeypatch.chdir(tmp_path)
    lines = re.findall(r"^restorekit .*$", _read("docs/deblur.md"), re.MULTILINE)
    assert len(lines) >= 4
    for line in lines:
        _, *arguments = shlex.split(line, comments=True)
        with pytest.raises(SystemExit) as stop:
            command([*arguments, "--steps", "3", "--prior", "natural-fast"])
        assert stop.value.code == 0, line
        assert (tmp_path / arguments[2]).stat().st_size > 1000, line
    names = {p.name for p in tmp_path.iterdir()}
    assert {"mended_kernel.npy", "mended_kernel.png", "found_kernel.npy", "many_std.tif"} <= names


def test_the_page_on_despeckling_names_every_choice() -> None:
    """Filters, executors and remedies that there are, and no solver that there is not."""
    from restorekit.despeckling.plan import DECORRELATE, SIDE, Settings
    from restorekit.sar.filters import FILTERS
    from restorekit.scenes.execute import EXECUTORS

    text = _read("docs/despeckle.md")
    for name in (*FILTERS, *EXECUTORS, *DECORRELATE):
        assert f"`{name}`" in text, name
    (table,) = re.findall(r"^## Which solver\n(.*?)^Other solvers", text, re.MULTILINE | re.DOTALL)
    first = "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))
    for solver in re.findall(r"`(\w[^`]*)`", first):
        assert isinstance(Settings(solver=solver).method, tuple(SIDE)), solver


def test_the_adapter_of_contributing_runs() -> None:
    import torch

    (code,) = re.findall(
        r"```\n(from restorekit.priors.precond import Adapted.*?)```", _read("CONTRIBUTING.md"), re.DOTALL
    )
    names = {"net": lambda x, t: torch.zeros_like(x)}
    exec(code, names)  # noqa: S102 (our own document)
    x = torch.rand(1, 3, 4, 4)
    torch.testing.assert_close(names["denoise"](x, 0.1), x)  # predicts no noise


def _needs_deepinv() -> None:
    from restorekit.errors import BadInput
    from restorekit.interop.deepinv import import_deepinv

    try:
        import_deepinv()
    except BadInput as error:
        pytest.skip(str(error))


def make_files(folder: Path) -> None:
    import numpy as np
    import skimage.data
    from PIL import Image

    photo = Image.fromarray(skimage.data.astronaut()[40:80, 190:226])
    for name in ("noisy.png", "holes.png", "blurred.tif", "small.png", "in.png", "photo.png", "rainy.png"):
        photo.save(folder / name)
    photo.point(lambda v: 0.9 * v).save(folder / "network.png")
    (folder / "photos").mkdir()
    photo.save(folder / "photos" / "astronaut.png")
    photo.convert("L").save(folder / "grey.png")
    np.save(folder / "log.npy", np.random.default_rng(0).normal(-2, 1, (16, 16)).astype(np.float32))
    Image.fromarray(np.random.default_rng(0).random((40, 36)) > 0.3).save(folder / "mask.png")
    Image.fromarray((np.eye(5) * 255).astype(np.uint8)).save(folder / "k.png")
    for name in ("photos.zip", "test.zip"):
        with zipfile.ZipFile(folder / name, "w") as pack:
            skimage_photo = Image.fromarray(skimage.data.astronaut()[:128, :128])
            for i in range(2):
                with pack.open(f"{i}.png", "w") as f:
                    skimage_photo.save(f, "PNG")
    for name in ("configs", "examples"):
        (folder / name).symlink_to(ROOT / name)
    make_pair(folder)


def make_pair(folder: Path, side: int = 144) -> None:
    """scene.tif, with speckle, and optical.tif, of one place."""
    import numpy as np
    import skimage.data

    from tests.support.scenes import write_tiff

    photo = skimage.data.astronaut()[:side, 100 : 100 + side]
    truth = 0.02 + photo.mean(2) / 255
    speckle = np.random.default_rng(0).gamma(4.0, 0.25, truth.shape)
    write_tiff(folder / "scene.tif", (truth * speckle).astype(np.float32))
    write_tiff(folder / "optical.tif", np.ascontiguousarray(np.moveaxis(photo, 2, 0)), photometric="RGB")


def make_rain(folder: Path) -> None:
    """photo.png without rain, rainy.png, derained.png with some of it left, rain.png, mask.png."""
    import numpy as np
    import skimage.data

    from restorekit.files.picture import write_picture
    from restorekit.rain.streaks import Streaks, fallen

    x = skimage.data.astronaut()[40:88, 190:250].transpose(2, 0, 1) / 255
    r = Streaks(density=0.1)((48, 60), np.random.default_rng(0))
    written = {"photo": x, "rainy": fallen(x, r), "derained": fallen(x, 0.3 * r), "rain": r[None].clip(0, 1)}
    for name, picture in {**written, "mask": (r > 0.2)[None].astype(float)}.items():
        write_picture(folder / f"{name}.png", picture)


def make_scenes(folder: Path, side: int = 64) -> None:
    """scene.tif in dB with the grain of Sentinel-1, slc.tif complex, amplitude.npy of one look."""
    import numpy as np
    import rasterio

    from restorekit.sar.speckle import SWATHS, draw

    rng, shape = np.random.default_rng(0), (side, side)
    truth = np.where(np.arange(side) < side // 2, 0.02, 0.1) * np.ones(shape)
    decibel = 10 * np.log10(truth * draw(shape, 4, SWATHS["iw2"], rng))
    field = np.sqrt(truth) * SWATHS["iw2"].field(*shape, rng)
    for name, x in (("scene.tif", decibel.astype(np.float32)), ("slc.tif", field.astype(np.complex64))):
        with rasterio.open(
            folder / name, "w", driver="GTiff", height=side, width=side, count=1, dtype=x.dtype.name, crs="EPSG:32631",
            transform=rasterio.Affine(10, 0, 5e5, 0, -10, 6e6),
        ) as d:  # fmt: skip
            d.write(x, 1)
    np.save(folder / "amplitude.npy", np.sqrt(truth * draw(shape, 1, None, rng)).astype(np.float32))


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
