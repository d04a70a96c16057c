"""Command lines of every command, first valid and small, then with something wrong in a file, a path, a value or the grammar."""

from __future__ import annotations

import os
import random
import re
import shlex
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.contract import Case
from tests.fuzz.loopback import HOWS, SERVER
from tests.fuzz.materials import FILES, SIDECARS
from tests.fuzz.mutations import NUMBERS, TEXTS, mutated, mutated_text
from tests.fuzz.values import BAD, INTEGERS, TEXT, WHOLE

NETWORK = "--device device --tile tile --precision precision"
READING = "--layout layout --pages pages --preview preview"
RESTORE = f"{READING} --samples samples --seed seed {NETWORK} --flips flips --range range --level level --calibration calibration"


@dataclass(frozen=True)
class Command:
    name: str
    given: str  # positional kinds, then options that are always there
    some: str = ""  # options that may be
    flags: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    weight: int = 4
    fixed: tuple[
        str, ...
    ] = ()  # kinds that are not mutated as text: work without end would be asked for, or another machine
    many: bool = False  # of pictures
    waits: bool = False  # for another process


BENCH = ("bench", "bench/*", "old/*")
JOURNAL = (".*.work", ".*.work/*", "old/.*.work*", "old/.*.work/*")
SOLVE = "--prior prior --solver solver --steps steps"
COMMANDS = (
    Command("restore", f"picture out --op op --noise noise {SOLVE}", f"{RESTORE} --transfer transfer --start start --begin picture", ("--coarse",), weight=12),
    Command("denoise", f"picture out --noise noise {SOLVE}", RESTORE, weight=8),
    Command("denoise", "picture out --noise known --prior prior --solver =mmps --steps =2 --samples =2 --calibration calibration", "--level level", weight=3),
    Command("inpaint", f"picture out --mask mask {SOLVE}", f"--noise noise {RESTORE}", weight=6),
    Command("deblur", f"picture out --kernel kernelspec --noise noise {SOLVE}", f"{RESTORE} --transfer transfer --kernel-error kernelerror --boundary boundary", weight=6),
    Command("upscale", f"picture out --factor count {SOLVE}", f"--noise noise --kernel kernelspec --filter resizer --like library --align align --transfer transfer {RESTORE}"),
    Command("colorize", f"grey out {SOLVE}", f"--noise noise {RESTORE}", weight=3),
    Command("compare", "picture page --op op --noise noise --solver solver --prior prior --steps steps --samples samples", f"--truth picture --seed seed {NETWORK} --range range --trajectory pixels --preview preview --transfer transfer", weight=3),
    Command("degrade", "picture out", "--op op --noise known --seed seed --dtype dtype --range range --transfer transfer", weight=9),
    Command("degrade", "scene out --noise =gamma:1 --correlated swath", "--seed seed --dtype dtype --range range", weight=2),
    Command("fuse", "optical radar rasterout --despeckle filter", f"--solver fuser --bands bands --sar-band count --domain domain --looks looks --match match --range range --seed seed --prior prior --for purpose --cloud cloud --cloud-classes cloudclasses {NETWORK}", ("--align", "--trust-grid", "--added"), weight=6),
    Command("despeckle", "scene rasterout --solver despeckler --executor executor --block block", "--domain domain --looks looks --bands bands --decorrelate decorrelate --targets targets --polarisations polarisations --structure structure --grain grain --preview window --layout layout --report report", ("--keep-dtype", "--restart", "--interop-snap", "--mask", "--covariance"), JOURNAL, weight=7),
    Command("despeckle", "scene rasterout --solver learned --prior sarprior --steps steps --samples samples --executor executor --block block", "--domain domain --looks looks --bands bands --decorrelate decorrelate --targets targets --polarisations polarisations --structure structure --grain grain --preview window --seed seed --device device --precision precision --report report", ("--keep-dtype", "--restart", "--interop-snap", "--mask", "--covariance"), JOURNAL, weight=5),
    Command("despeckle", "scene rasterout --joint --solver despeckler --executor executor --block block", "--domain domain --looks looks --bands bands --targets targets --polarisations polarisations --grain grain --preview window --changes changes --joint-by jointby", ("--mask", "--restart"), JOURNAL, weight=3),
    Command("change", "scene scene rasterout", "--domain domain --looks looks --bands bands --grain grain --changes changes --report report", ("--absolute",), weight=3),
    Command("derain", "picture out --prior prior --steps steps --samples samples", f"--derained picture --rain picture --mask mask --solver solver --share share --floor share --cap share --dilate pixels --feather pixels --sigma share --weight share --seed seed {NETWORK} --range range --report report", ("--weak",), weight=6),
    Command("metrics", "picture picture", "--names names --crop pixels --range range", ("--json",), weight=5),
    Command("metrics sar", "scene scene", "--truth scene --domain domain --looks looks --bands bands --window window --target window --report report", ("--json",), weight=4),
    Command("metrics fusion", "optical radar optical --despeckle filter", "--bands bands --sar-band count --domain domain --looks looks --match match --range range", ("--json", "--align"), weight=2),
    Command("check", "op", "--size chw --dtype checkdtype --seed seed", weight=3),
    Command("sample", "prior --out out --n count --steps steps --size size", "--solver sampler --bands count --seed seed --label count --guidance start --eta share --batch count --device device --precision precision --folder folder", weight=6),
    Command("priors list", "", weight=1),
    Command("priors show", "prior", weight=4),
    Command("priors verify", "prior", weight=3),
    Command("priors eval", "prior --data pictures --sigmas sigmas", "--limit count --beside prior --crop pixels --bands count --samples count --solver sampler --steps steps --size size --seed seed --features prior --device device --out record", weight=2),
    Command("cite", "cite", weight=1),
    Command("priors show", "shipped", weight=1),
    Command("solvers", "", weight=1),
    Command("train", "model --config config --data pictures --out runs", "--set set --set set", ("--quiet", "--resume"), ("run", "run/*"), weight=6, fixed=("model",)),
    Command("tune", "--data pictures --op op --solver =hqs --prior prior --steps steps --budget =4 --pictures count --crop =16 --noise known", "--search search --samples samples --seed seed --device device", (), ("tune", "tune/*"), weight=1),
    Command("calibrate", "--data pictures --task op --noise known --prior prior --solver solver --steps steps --samples =2 --crop =16 --out record", "--dtype dtype --transfer transfer --seed seed --device device --pictures count", (), ("*_rows.csv", "*.lock", ".*lock"), weight=2),
    Command("adapt", "sarprior scene --out runs --rounds =1 --tiles =4 --steps =1 --side =32 --judge =6", "--domain domain --looks looks --grain grain --rate share --seed seed --device device", ("--pairs", "--resume"), ("run", "run/*"), weight=2),
    Command("bench posterior", "--solver =hqs --problem exam --prior examprior --sigma sigma --steps =2", "--seed seed", (), BENCH, weight=1, fixed=("exam", "examprior", "sigma")),
    Command("bench posterior", "--solver solver --problem =denoise --prior =stationary --sigma =0.1 --steps =2 --out began", "--seed seed", (), BENCH, weight=1),
    Command("bench images", "--data pictures --op benchop --solver solver --prior prior --steps steps --crop =16 --limit =1 --workers =1 --lpips lpips --out began", "--nfe count --samples samples --seed seed --device device --precision precision --threads count", (), BENCH, weight=3),
    Command("bench images", "--data folderof --op benchop --solver =hqs --prior prior --steps =2 --crop pixels --limit count --workers =1 --lpips =none --features prior --out began", "--seed seed", (), BENCH, weight=1),
    Command("bench images", "--data folderof --op =denoise --solver =hqs --prior prior --steps =1 --crop =16 --limit =1 --lpips =none --scheduler scheduler", "--seed seed", (), BENCH, weight=1, fixed=("scheduler",), waits=True),
    Command("bench peers", "--no-exams --data pictures --op benchop --network prior --solver solver --peer peer --crop =16 --limit =1 --samples samples --out began", "--seed seed", (), BENCH, weight=2),
    Command("bench peers", "--problem =denoise --prior =stationary --sigma =0.1 --solver solver --peer peer", "--seed seed --samples samples", (), BENCH, weight=1, fixed=("solver",)),
    Command("despeckle", "address rasterout --network --solver despeckler --executor executor --block block", "--domain domain --looks looks --bands bands --preview window --layout layout --report report", ("--keep-dtype",), JOURNAL, weight=4, waits=True),
    Command("despeckle", "scene rasterout --solver =lee --executor =dask --block block --scheduler scheduler", "--looks looks --preview window", (), JOURNAL, weight=1, fixed=("scheduler",), waits=True),
    Command("denoise", "picture picture --out folder --noise known --prior prior --solver =hqs --steps =2", "--suffix suffix --range range --layout layout", (), ("many", "many/*"), weight=2, many=True),
    Command("denoise", "picture picture --out folder --noise known --prior prior --solver =hqs --steps =2 --scheduler scheduler", "--suffix suffix", (), ("many", "many/*"), weight=1, fixed=("scheduler",), many=True, waits=True),
    Command("metrics", "folderof folderof", "--names names --crop pixels", ("--json",), weight=2, many=True),
)  # fmt: skip
OUTPUTS = ("out", "rasterout", "page", "record")  # that must be there in the end
ALONE = "alone"  # the kind of an option without a value
WRITTEN = (*OUTPUTS, "report", "folder", "runs")
ODD_NAMES = (
    "é",
    "💥",
    "a b",
    "-dash",
    "x\ny",
    "\x1b[31mred",
    "\udcff",
    "a:b=c",
    "a,b",
    "%s",
    "[red]",
    "x" * 240,
    "\u202etxt",
    "a'b\"",
    "$x",
    "#1",
    "a{0}",
)


@dataclass
class Builder:
    """Puts the files of one case into `folder`, and its arguments together."""

    materials: Path
    folder: Path
    rng: random.Random
    files: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    costly: bool = False

    def case(self, words: tuple[str, ...] = ()) -> Case:
        known = [c for c in COMMANDS if not words or set(words) & {*c.name.split(), *c.given.split()}]
        command = self.rng.choices(known, [c.weight for c in known])[0]
        slots = self._slots(command)
        plan = self.rng.choice((*("file",) * 4, *("text",) * 4, "path", "path", "grammar", "file and text"))
        values = [self._value(kind) for _, kind in slots]
        texts = [
            i for i, (_, k) in enumerate(slots) if values[i] is not None and self._is_text(k) and k not in command.fixed
        ]
        paged = any(k == "pages" for _, k in slots)  # each page has an output of its own
        outputs = () if paged else tuple(v for (_, k), v in zip(slots, values) if k in OUTPUTS and v)
        if "text" in plan and texts:
            for i in self.rng.sample(texts, min(len(texts), self.rng.choice((1, 1, 2)))):
                name, values[i] = self._text(slots[i][1], values[i] or "")
                self.said.append(f"{slots[i][0] or slots[i][1]}: {name}")
                self.costly |= bool(re.search(r"\d{3}|e\d", values[i] or ""))
        self.costly |= any(
            (value or "").startswith("enkg") for value in values
        )  # 128 pictures at once, 15 calls a level
        if "file" in plan:
            self._mutate_file()
        if plan == "path":
            outputs = self._mutate_path(slots, values) or outputs
        kept = command.kept
        for (_, kind), value in zip(slots, values):  # of many pictures some are done when another fails
            first = Path(os.path.normpath(value or ".")).parts[0:1]
            if command.many and kind == "folder" and first and not (self.folder / first[0]).exists():
                kept = (*kept, first[0], f"{first[0]}/*")
        argv = [*command.name.split(), *self._joined(slots, values, command)]
        if plan == "grammar" or not self.said:
            argv = self._mutate_grammar(argv)
        return Case(
            tuple(argv),
            tuple(self.said),
            self._exact(outputs, argv),
            kept,
            self.costly,
            command.many,
            command.waits,
        )

    def _slots(self, command: Command) -> list[tuple[str, str]]:
        """(option or nothing, kind) of what is given, and of some of what may be."""
        words, slots = shlex.split(command.given), []
        while words:
            first = words.pop(0)
            alone = first in ("--network", "--no-exams", "--joint") and (not words or words[0].startswith("--"))
            slots.append((first, ALONE if alone else words.pop(0)) if first.startswith("--") else ("", first))
        more = shlex.split(command.some)
        pairs = list(zip(more[::2], more[1::2]))
        slots += [p for p in pairs if self.rng.random() < min(0.5, 2 / (len(pairs) + 1))]
        if any(kind in ("level", "calibration") for _, kind in slots):  # which are for several samples
            slots = [s for s in slots if s[0] != "--samples"] + [("--samples", "=2")]
        return slots

    def _text(self, kind: str, value: str) -> tuple[str, str]:
        """(name, another value): one that was thought of, or one that nobody thinks of."""
        odd = self.rng.random()
        if kind == "address":  # of this machine, whatever is asked of it
            machine, _, path = value.partition(f"{SERVER}/")
            name, path = mutated_text(path, self.rng)
            return name, f"{machine}{SERVER}/{path}"
        if kind in WHOLE and odd < 0.85:
            return "integer", self.rng.choice(INTEGERS)
        if kind in BAD and odd < 0.5:
            return "bad", self.rng.choice(BAD[kind])
        return mutated_text(value, self.rng)

    def _is_text(self, kind: str) -> bool:
        return (kind in TEXT or kind == "address") and kind not in WRITTEN

    def _value(self, kind: str) -> str | None:
        if kind.startswith("="):
            return kind[1:]
        if kind == ALONE:
            return None
        if kind == "address":
            return f"http://{SERVER}/{self.rng.choice(HOWS)}/{self._file('scene')}"
        text = self.rng.choice(TEXT[kind]) if kind in TEXT else self._file(kind)
        return re.sub(r"@(\w+)", lambda m: self._file(m[1]) if m[1] in FILES else m[0], text)

    def _file(self, kind: str) -> str:
        name = self.rng.choice(FILES[kind])
        new = name if name not in self.files else f"b{len(self.files)}_{name}"
        for n in (name, *SIDECARS.get(name, ())):
            source, target = (
                self.materials / n,
                self.folder / (new + n.removeprefix(name) if n.startswith(name) else Path(new).stem + Path(n).suffix),
            )
            if not target.exists():
                shutil.copytree(source, target) if source.is_dir() else shutil.copyfile(source, target)
        if name == "tiny.safetensors" and self.rng.random() < 0.15:  # beside the prior it is found by itself
            shutil.copyfile(
                self.materials / "tiny.calibration.json", self.folder / f"{Path(new).stem}.calibration.json"
            )
        self.files.append(new)
        return new

    def _mutate_file(self) -> None:
        there = [p for p in sorted(self.folder.rglob("*")) if p.is_file()]
        if not there:
            return
        path = self.rng.choice(there)
        try:
            name, content = mutated(path.read_bytes(), path.name, self.rng)
        except (ValueError, OverflowError, IndexError, TypeError, OSError):  # what the mutation itself cannot write
            return
        path.write_bytes(content)
        self.costly |= path.suffix == ".yaml"  # of a training
        self.said.append(name)

    def _mutate_path(self, slots: list[tuple[str, str]], values: list[str | None]) -> tuple[str, ...]:
        """Another path for an output or an input; what must be there after success, where that is known."""
        written = [i for i, (_, k) in enumerate(slots) if k in WRITTEN]
        if written and (self.rng.random() < 0.5 or not self.files):
            i = self.rng.choice(written)
            values[i] = self._output(values[i] or "out.png")
            return (values[i] or "",) if slots[i][1] in OUTPUTS else ()
        opened = [i for i, (_, k) in enumerate(slots) if k in FILES and k != "began"]
        if opened:
            i = self.rng.choice(opened)
            values[i] = self._input(values[i] or "")
        return ()

    def _output(self, name: str) -> str:
        suffix, folder = Path(name).suffix, self.folder
        how = self.rng.choice(
            (
                "input",
                "folder",
                "no folder",
                "name",
                "suffix",
                "closed",
                "old",
                "link",
                "hard link",
                "upper",
                "dots",
                "below a file",
            )
        )
        self.said.append(f"output: {how}")
        if how == "input" and self.files:
            return self.rng.choice((self.rng.choice(self.files), f"./{self.files[0]}", str(folder / self.files[0])))
        if how == "folder":
            (folder / f"dir{suffix}").mkdir()
            return self.rng.choice((f"dir{suffix}", ".", "dir/", ""))
        if how == "suffix":
            return f"out{self.rng.choice(('', '.xyz', '.', '.PNG', '.tiff', '.npz', '.json', '.gif', '.safetensors', '.png.npy', '.html', '.webp', '.bmp'))}"
        if how == "closed":
            (folder / "closed").mkdir()
            (folder / "closed").chmod(0o555)
            return f"closed/out{suffix}"
        if how == "old":
            (folder / "old").mkdir()
            (folder / f"old/out{suffix}").write_bytes(b"what was here before")
            (folder / f"old/out{suffix}").chmod(self.rng.choice((0o644, 0o444)))
            return f"old/out{suffix}"
        if how in ("link", "hard link") and self.files and (folder / self.files[0]).is_file():
            make = os.symlink if how == "link" else os.link
            make(folder / self.files[0], folder / f"same{suffix}")
            return f"same{suffix}"
        if how == "below a file" and self.files:
            return f"{self.files[0]}/out{suffix}"
        odd = self.rng.choice((*ODD_NAMES, "x" * 300))
        return {
            "no folder": f"nowhere/out{suffix}",
            "upper": f"OUT{suffix.upper()}",
            "dots": f"./a/../out{suffix}",
        }.get(how, f"{odd}{suffix}")

    def _input(self, name: str) -> str:
        path = self.folder / name
        how = self.rng.choice(
            (
                "missing",
                "folder",
                "closed",
                "loop",
                "dangling",
                "name",
                "name",
                "suffix",
                "another",
                "empty text",
                "dash",
            )
        )
        self.said.append(f"input: {how}")
        if how in ("missing", "empty text", "dash") or not path.exists():
            return {"empty text": "", "dash": "-"}.get(
                how,
                self.rng.choice(
                    (f"no_{name}", "/proc/none/x.png", "http://127.0.0.1:9/x.png", f"{name}/x.png", f"no\x1b[31m{name}")
                ),
            )
        if how == "closed":
            path.chmod(0)
            return name
        if how == "another":
            return self._file(self.rng.choice(sorted(FILES)))
        new = {
            "name": f"{self.rng.choice(ODD_NAMES)}{path.suffix}",
            "suffix": path.stem
            + self.rng.choice((".png", ".tif", ".npy", ".jpg", ".xyz", "", ".zip", ".safetensors", ".npz", ".pt")),
        }
        if how in new:
            path.rename(self.folder / new[how])
            return new[how]
        path.rename(self.folder / f"kept_{name}")
        if how == "folder":
            path.mkdir()
        else:
            os.symlink(path.name if how == "loop" else "nothing", path)
        return name

    def _joined(self, slots: list[tuple[str, str]], values: list[str | None], command: Command) -> list[str]:
        argv: list[str] = []
        for (option, _), value in zip(slots, values):
            if not option:
                argv.append(value or "")
            elif value is None:
                argv.append(option)
            elif self.rng.random() < 0.2:
                argv.append(f"{option}={value}")
            else:
                argv += [option, value]
        return argv + [f for f in command.flags if self.rng.random() < 0.15]

    def _mutate_grammar(self, argv: list[str]) -> list[str]:
        how = self.rng.choice(("drop", "repeat", "swap", "option", "insert", "command", "help", "debug"))
        self.said.append(f"grammar: {how}")
        at = self.rng.randrange(1, len(argv) + 1)
        if how == "drop":
            self.costly = True  # without --prior and --steps it is the real thing
            return argv[: at - 1] + argv[at:]
        if how == "repeat":
            return argv[:at] + argv[at - 1 :]
        if how == "swap":
            other = self.rng.randrange(len(argv))
            argv[at - 1], argv[other] = argv[other], argv[at - 1]
            return argv
        odd = self.rng.choice((*TEXTS, *NUMBERS))
        more = {"option": ["--" + odd[:200]], "insert": [odd], "help": ["--help"], "debug": ["--version"]}
        return [odd[:200], *argv[1:]] if how == "command" else argv[:at] + more[how] + argv[at:]

    def _exact(self, outputs: tuple[str, ...], argv: list[str]) -> tuple[str, ...]:
        """Outputs that are sure to be those: no other arguments were put in their place."""
        moved = any(s.startswith("grammar") for s in self.said)
        return () if moved else tuple(os.path.normpath(o) for o in outputs if o and o in " ".join(argv))


def build(materials: Path, folder: Path, seed: int, index: int, words: tuple[str, ...] = ()) -> Case:
    """Case `index` of a seed, its inputs in `folder`, which must be empty; of the commands that have one of `words` in them, if any."""
    return Builder(materials, folder, random.Random(f"{seed}:{index}")).case(words)
