"""What is installed is what is in the tree, it works outside of it, and asking for help is quick."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import restorekit

ROOT = Path(__file__).parents[2]
PLACES = {"restorekit.operators": "operators", "restorekit.solvers": "solvers"}  # package -> folder


def _settings(section: str) -> str:
    """The text of a section of pyproject.toml (tomllib came with Python 3.11)."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return text.partition(f"[{section}]\n")[2].partition("\n[")[0]


def _listed() -> set[str]:
    return set(re.findall(r'"(restorekit[\w.]*)"', _settings("tool.setuptools").partition("packages = [")[2]))


def _child(*code: str, cwd: Path | None = None, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    return subprocess.run([sys.executable, *code], cwd=cwd, env=environment, capture_output=True, text=True, check=True)


@pytest.mark.parametrize("name", PLACES.values())
def test_the_two_folders_are_linked_into_the_package(name: str) -> None:
    link = ROOT / "restorekit" / name
    assert link.is_symlink(), f"{link} must be a link to ../{name}: `git config core.symlinks true`, then check it out"
    assert os.readlink(link) == f"../{name}"
    assert (link / "__init__.py").is_file()


def test_the_package_list_names_every_folder_with_an_init() -> None:
    found = set()
    for folder, _, files in os.walk(ROOT / "restorekit", followlinks=True):
        if "__init__.py" in files:
            found.add(".".join(Path(folder).relative_to(ROOT).parts))
    assert _listed() == found
    mapped = dict(re.findall(r'^"?([\w.]+)"? = "(\w+)"$', _settings("tool.setuptools.package-dir"), re.MULTILINE))
    assert mapped == {"restorekit": "restorekit", **PLACES}


@pytest.mark.parametrize(
    "name",
    sorted(m.name for m in pkgutil.walk_packages(restorekit.__path__, "restorekit.") if "__main__" not in m.name),
)
def test_every_module_imports(name: str) -> None:
    importlib.import_module(name)


def test_no_file_is_longer_than_400_lines() -> None:
    folders = [ROOT / name for name in ("restorekit", *PLACES.values(), "tests", "benchmarks", "examples")]
    found = [p for folder in folders for p in sorted(folder.rglob("*")) if p.suffix in (".py", ".js", ".css")]
    assert {p.suffix for p in found} == {".py", ".js", ".css"}
    lengths = {str(p.relative_to(ROOT)): len(p.read_text(encoding="utf-8").splitlines()) for p in found}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def test_every_public_name_is_there() -> None:
    assert all(hasattr(restorekit, name) for name in restorekit.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = restorekit.nothing


HELP = """
import sys
sys.argv = ["restorekit", "--help"]
from restorekit.cli.main import run
try:
    run()
except SystemExit as leaving:
    assert not leaving.code, leaving.code
assert "torch" not in sys.modules, "--help imports torch"
"""


@pytest.mark.parametrize(
    "code",
    [
        ("-c", "import restorekit, sys; assert 'torch' not in sys.modules"),
        ("-c", HELP),
        (
            "-c",
            "import restorekit.priors.find, restorekit.inference.driver, sys; assert 'torch._dynamo' not in sys.modules",
        ),
    ],
    ids=["import", "help", "compiler"],
)
def test_torch_and_its_compiler_are_not_imported_before_they_are_needed(code: tuple[str, str]) -> None:
    _child(*code)


START = """
import sys, torch
from restorekit.cli.main import run

class Called(BaseException):
    pass

def call(*_, **__):
    raise Called

torch.nn.Module.__call__ = call
for command in (["denoise"], ["deblur", "--kernel", "gaussian:1.2"], ["inpaint", "--mask", "random:0.5"], ["upscale", "--factor", "2"]):
    try:
        run([*command, "in.png", "out.png", "--noise", "gaussian:0.05", "--prior", "natural-fast"])
    except Called:
        continue
    raise AssertionError(f"{command} made no call of a network")
heavy = ["scipy.fft", "scipy.linalg", "scipy.ndimage", "scipy.optimize", "scipy.signal", "scipy.special", "scipy.stats", "skimage",
         "kornia", "torchmetrics", "matplotlib", "rasterio", "tifffile", "imagecodecs", "dask", "jinja2", "yaml", "torchvision",
         "torch._dynamo"]
assert not (early := [name for name in heavy if name in sys.modules]), early
"""


def test_start_of_a_command_imports_nothing_that_only_others_need(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)).save(tmp_path / "in.png")
    _child("-c", START, cwd=tmp_path, path=ROOT)


HELP = """
import atexit, runpy, sys
atexit.register(lambda: print(len(sys.modules), *sorted(name for name in sys.modules if "." not in name)))
sys.argv = ["restorekit", "--help"]
runpy.run_module(MODULE, run_name="__main__")
"""


@pytest.mark.parametrize("module", ["restorekit", "restorekit.cli.main"])
def test_help_imports_little(module: str) -> None:
    """Which is what its time is, on any machine: 394 modules, none of those that compute or open files."""
    printed = _child("-c", HELP.replace("MODULE", repr(module))).stdout
    assert "Usage" in printed
    count, *names = printed.splitlines()[-1].split()
    assert int(count) < 450
    assert not {"torch", "numpy", "scipy", "PIL", "rasterio", "skimage", "deepinv"} & set(names)


LOOK = """
import json, pathlib, restorekit, restorekit.operators, restorekit.solvers, restorekit.priors.weights, sys
home = pathlib.Path(restorekit.__file__).parent
names = [restorekit.__file__, restorekit.operators.__file__, restorekit.solvers.__file__]
names += [str(home / "py.typed"), restorekit.priors.weights.__file__]
assert all(pathlib.Path(name).is_file() for name in names), names
print(json.dumps([str(pathlib.Path(name).resolve()) for name in names]))
"""


def test_a_wheel_works_outside_the_repository(tmp_path: Path) -> None:
    # setuptools writes into `build/` and `*.egg-info` of what it builds: build a copy.
    tree, wheels, installed = tmp_path / "tree", tmp_path / "wheels", tmp_path / "installed"
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if tracked.returncode:
        pytest.skip("not a git checkout: nothing says which files belong to it")
    wanted = ("restorekit", "operators", "solvers", "pyproject.toml", "README.md", "LICENSE")
    for name in (n for n in tracked.stdout.splitlines() if n.split("/")[0] in wanted and (ROOT / n).exists()):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            (tree / name).symlink_to(os.readlink(ROOT / name))
        else:
            (tree / name).write_bytes((ROOT / name).read_bytes())
    _child("-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels), str(tree))
    (wheel,) = wheels.glob("restorekit-*.whl")
    with zipfile.ZipFile(wheel) as z:
        names = set(z.namelist())
    tops = {name.split("/")[0] for name in names}
    assert tops == {"restorekit", *(t for t in tops if t.endswith(".dist-info"))}, tops
    weights = {p.name for p in (tree / "restorekit/priors/weights").iterdir() if p.suffix in (".safetensors", ".md")}
    assert {f"restorekit/priors/weights/{name}" for name in weights} <= names
    assert {"restorekit/report/templates/page.css", "restorekit/report/templates/page.html"} <= names
    assert any(name.endswith("/licenses/LICENSE") for name in names)

    _child("-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(installed), str(wheel))
    found = json.loads(_child("-c", LOOK, cwd=tmp_path, path=installed).stdout)
    assert all(name.startswith(str(installed.resolve())) for name in found), found


FACE = """
import importlib, pkgutil, restorekit
for module in pkgutil.iter_modules(restorekit.__path__):
    if module.name != "__main__":
        importlib.import_module(f"restorekit.{module.name}")
for name in ("Conditional", "Problem", "Restoration", "Rng", "coverage", "psnr", "restore", "restore_each", "ssim"):
    assert callable(getattr(restorekit, name)), name
"""


def test_rooms_do_not_hide_public_names() -> None:
    done = subprocess.run([sys.executable, "-c", FACE], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
