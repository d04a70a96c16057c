"""The trained files that a configuration names: what they must be, and that a resumed run still has the same."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from restorekit.errors import BadInput
from restorekit.priors.find import find
from restorekit.priors.formats.checkpoint import Network, PriorSpec, load, read_spec, sha256
from restorekit.training.config import Config, FFTDModel, kind_of

WRONG = {
    "model.codec": "no codec; train one with model.kind=codec",
    "cascade.low": "no PIS-DM; train one with model.kind=pisdm and cascade.factor times this data.shrink",
    "init": "of another architecture; use the model section of its run",
}


class Named(NamedTuple):
    """A trained file that the configuration names."""

    key: str  # of the configuration
    name: str  # what it says there
    kinds: tuple[str, ...]  # of networks it may hold

    @property
    def path(self) -> Path:
        return find(self.name) if self.key == "model.codec" else Path(self.name)


def named(config: Config) -> list[Named]:
    """Return the trained files that a run of `config` reads."""
    model = config.model
    init = (kind_of(model), *(["latent"] if isinstance(model, FFTDModel) else []))
    found = [
        Named("model.codec", model.codec if isinstance(model, FFTDModel) else "", ("codec", "latent")),
        Named("cascade.low", config.cascade.low if config.cascade else "", ("pisdm",)),
        Named("init", config.init, init),
    ]
    return [file for file in found if file.name]


def check(config: Config) -> None:
    """Raise BadInput for a file that is not there or holds another kind of network. Reads the headers alone."""
    for file in named(config):
        try:
            spec = read_spec(file.path)
        except (ValueError, OSError) as error:
            raise BadInput(f"{file.key}: {error}") from None
        if spec.arch.get("kind") not in file.kinds:
            raise other_kind(file.key, file.name)
        if file.key == "cascade.low":
            refuse_other_shrink(config, spec)


def checksums(config: Config, begun: dict[str, str]) -> dict[str, str]:
    """Return the SHA-256 of the files by their keys; of those that are not read any more, what `begun` says.

    begun: those of the run that is resumed. BadInput where one is not the same.
    """
    found = {file.key: sha256(file.path) for file in named(config)}
    for file in named(config):
        old, new = begun.get(file.key), found[file.key]
        if old not in (None, new):
            raise BadInput(
                f"`resume`: {file.key}={file.name} is not what it was when the run began (sha256 {new[:12]}, not "
                f"{str(old)[:12]}); put that file back, or begin a run in another `out`"
            )
    return begun | found


def loaded(key: str, name: str) -> tuple[Network, PriorSpec]:
    """Return the network of a file and its spec. Raises BadInput, with the key, where it cannot be read."""
    try:
        return load(Named(key, name, ()).path)
    except (ValueError, OSError) as error:
        raise BadInput(f"{key}: {error}") from None


def other_kind(key: str, name: str) -> BadInput:
    """Return the error for a file that holds another kind of network."""
    return BadInput(f"{key}={name} is {WRONG[key]}")


def refuse_other_shrink(config: Config, low: PriorSpec) -> None:
    """Raise BadInput where the low stage of a cascade was trained on pictures of another size than the high one shows it."""
    stage = config.cascade
    found = low.training.get("config", {}).get("data", {}).get("shrink")  # None: of an older version, cannot be checked
    if stage is None or found in (None, wanted := stage.factor * config.data.shrink):
        return
    raise BadInput(
        f"cascade.low={stage.low} was trained with data.shrink={found}, but cascade.factor={stage.factor} times "
        f"data.shrink={config.data.shrink} is {wanted}; set cascade.factor, or train one with data.shrink={wanted}"
    )
