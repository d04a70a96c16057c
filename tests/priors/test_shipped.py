"""What is shipped as weights: every file has a card, is small, says where it is from, and works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from restorekit.cli.main import run
from restorekit.priors.find import load_prior, shipped
from restorekit.priors.formats.checkpoint import read_spec
from restorekit.training.config import read_config

CONFIGS = Path(__file__).parents[2] / "configs"
NAMES = sorted(shipped())
every = pytest.mark.parametrize("name", NAMES)


@pytest.mark.skipif(not NAMES, reason="no weights in this checkout")
def test_they_are_small_together() -> None:
    assert sum(path.stat().st_size for path in shipped().values()) < 28e6


@every
def test_the_file_is_small_and_in_half_precision(name: str) -> None:
    path = shipped()[name]
    assert path.stat().st_size < 14e6
    assert {v.dtype for v in load_file(path).values()} == {torch.float16}


@every
def test_the_card_says_what_a_user_asks(name: str) -> None:
    card = shipped()[name].with_suffix(".md").read_text(encoding="utf-8")
    for row in ("Architecture", "Configuration", "Command", "Data", "Licence", "Steps", "Machine, time", "Seed"):
        assert re.search(rf"^\| {row} \| \S", card, re.MULTILINE), row
    assert "## Quality" in card
    assert "## Limits" in card
    drawn = re.search(rf"`restorekit sample {name} .*--out (docs/samples/{name}\.(?:png|webp))`", card)
    assert drawn
    assert (CONFIGS.parent / drawn[1]).is_file()
    for room, script in re.findall(r"`python -m benchmarks\.(\w+)\.(\w+)", card):
        assert (CONFIGS.parent / "benchmarks" / room / f"{script}.py").is_file(), script
    assert (CONFIGS / f"{name}.yaml").is_file()


@every
def test_the_header_is_that_of_the_configuration(name: str) -> None:
    spec, config = read_spec(shipped()[name]), read_config(CONFIGS / f"{name}.yaml")
    assert spec.name == config.name == name
    assert (spec.licence, spec.training["steps"]) == (config.licence, config.optim.steps)
    assert "sha256" in spec.data
    written = spec.training["config"]
    now = config.model_dump(mode="json")
    now["cascade"] = now["cascade"] or {}
    for section in ("model", "data", "noise", "loss", "optim", "cascade"):  # a field that is newer has its default
        for key, value in (written.get(section) or {}).items():
            if (section, key) != ("cascade", "ramp"):  # which says nothing where kappa is 0
                assert now[section][key] == value, (section, key)


@every
def test_it_denoises(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        run(["priors", "verify", name])
    assert load_prior(name).sha256 in capsys.readouterr().out
