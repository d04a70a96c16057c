"""A despeckling depends on these settings, besides the scene."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from restorekit.despeckling.methods import Classical, PosteriorMethod, method_of
from restorekit.errors import BadInput
from restorekit.files.reading import PLAINLY, Reading
from restorekit.sar.known import known_product
from restorekit.sar.looks import Grain
from restorekit.sar.structure import Structure
from restorekit.sar.targets import Targets
from restorekit.scenes.grid import Grid
from restorekit.text.values import grain as grain_of

SIDE = {Classical: 1024, PosteriorMethod: 512}  # of the squares of the grid, pixels
FADE = 32
DECORRELATE = ("auto", "whiten", "subsample", "none")
POLARISATIONS = ("auto", "together", "apart")


@dataclass(frozen=True)
class KnownSpeckle:
    """It holds looks and grain where they are known, None where they are to be measured, and by what, in words."""

    looks: float | None
    looks_by: str
    grain: Grain | None
    grain_by: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a despeckling are all that a result depends on besides the scene. `restorekit.tasks.despeckle` runs
    it."""

    domain: str = "auto"
    looks: float | None = None  # None: measured
    solver: str = "ep"  # or a filter of `restorekit.sar.filters`
    bands: tuple[int, ...] | None = None  # to treat, from 1; None: all
    prior: str = "auto"  # sar, or natural for `paper`
    steps: int | None = None
    samples: int | None = None  # None: 4 of a sampler, the one answer of others
    seed: int = 0
    decorrelate: str = "auto"
    targets: Targets | None = field(
        default_factory=Targets
    )  # point targets are kept as measured; None: are treated like all else
    structure: Structure | None = field(
        default_factory=Structure
    )  # lines and small fields that a solver took for speckle are given back; None, and of filters and `paper`: are not
    # "auto": a like- and a cross-polarised band, by their names, are one date with one set of looks, one grain and one map of structure;
    # "together": all bands are; "apart": each band is restored by itself.
    polarisations: str = "auto"
    covariance: bool = (
        False  # bands are C11, C22 and the real and imaginary part of C12, by their names or in this order
    )
    mask: bool = False  # OUT_mask too: 1 where a target was kept, 2 where structure was given back, 0 elsewhere
    # Correlation of intensity with the next row, the next column, or a name of `restorekit.sar.known`, whose looks count where none are given; None: that of the product, else measured.
    grain: Grain | str | None = None
    device: str = "auto"
    precision: str = "fp32"  # bf16 is faster; its rounding spoils f(k y) = k f(y)
    block: int | None = None  # side of the squares of the grid; None: 512, and 1024 for filters
    keep_dtype: bool = False
    stac: str | None = None  # a STAC item beside OUT, of this time of measurement, or "auto"
    reading: Reading = PLAINLY  # what is stated of the file: its axes, and whether it may be an address

    def __post_init__(self) -> None:
        if isinstance(self.grain, str) and "," in self.grain:
            object.__setattr__(self, "grain", grain_of(self.grain))

    @cached_property
    def method(self) -> Classical | PosteriorMethod:
        """Return the filter or solver that the settings name. Raises BadInput for settings that do not go together."""
        method = method_of(self.solver, PosteriorMethod(
            self.solver, self.prior, self.steps, self.samples, self.seed, self.device, self.precision,  # type: ignore[arg-type]
        ))  # fmt: skip
        if isinstance(method, PosteriorMethod):
            return method.checked()
        for setting, unused in (
            ("samples", self.samples in (None, 1)),
            ("steps", self.steps is None),
            ("prior", self.prior == "auto"),
            ("structure", self.structure in (None, Structure())),
        ):
            if not unused:
                raise BadInput(
                    f"{self.solver} is a filter, without samples, steps, a prior or structure to give back; leave out `{setting}`"
                )
        return method

    def speckle(self, looks: float | None = None, grain: Grain | None = None) -> KnownSpeckle:
        """Return what is known of the speckle: what the settings give or the product that `grain` names has, else `looks` and
        `grain`, of the product itself. Raises BadInput for an unknown name."""
        named = known_product(self.grain) if isinstance(self.grain, str) else None
        given, by = ("as given", "of the product") if named is None else ("as given", f"of {self.grain}")
        if named is not None:
            looks, grain = named.looks, named.grain
        elif self.grain is not None and not isinstance(self.grain, str):
            return KnownSpeckle(self.looks or looks, given if self.looks else by, self.grain, given)
        return KnownSpeckle(self.looks or looks, given if self.looks else by, grain, by)

    @property
    def text(self) -> str:
        """Return the solver with what was tuned."""
        return self.method.text

    @property
    def draws(self) -> int:
        """Return the number of samples."""
        return self.method.draws

    @property
    def learned(self) -> bool:
        """Return True where a prior is used."""
        return isinstance(self.method, PosteriorMethod)

    @property
    def structured(self) -> bool:
        """Return True where structure is given back: not by what is taken as it was published."""
        return isinstance(self.method, PosteriorMethod) and not self.method.linear

    @property
    def remedy(self) -> str:
        """Return what is done about correlated speckle. Filters take their looks from the data as they are."""
        return self.decorrelate if self.learned else "none"

    def grid(self, height: int, width: int) -> Grid:
        """Return the grid of blocks of a scene."""
        side = self.block or SIDE[type(self.method)]
        classical = isinstance(self.method, Classical)
        return Grid(height, width, side, self.method.halo, 0 if classical else min(FADE, side // 4))
