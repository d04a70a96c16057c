"""Two files are made ready to be fused: one grid, speckle out of the radar picture, both on grey levels from 0 to 1."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files.bands import Raster, Window, describe
from restorekit.files.picture import check_span
from restorekit.files.scene import Scene
from restorekit.fusion import common_grid as grid
from restorekit.fusion import pair_files as files
from restorekit.fusion.beyond_speckle import BeyondSpeckle, with_signal
from restorekit.fusion.cloud_source import CloudSource, white_of
from restorekit.fusion.exchanged import refuse_exchanged
from restorekit.fusion.luminance import luminance
from restorekit.fusion.prepare import check_match, despeckled, logarithm, matched, moments
from restorekit.fusion.registration import Match, Registration
from restorekit.notes import Notes
from restorekit.sar import halves
from restorekit.sar.band_units import Sample, no_brightness, units_of
from restorekit.sar.domain import Domain, domain_of, fill_of
from restorekit.sar.looks import Grain, measure

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]
Despeckler = Callable[[Array, Mask, float], Array]  # intensity (H, W), valid, looks
Source = Path | files.Bands | Scene  # a file, bands in memory, or a product
SMALLEST = 16  # pixels a side
SURE = 1.2  # times the least significance: what a plain filter must show of a shift for the pair to be refused by it


@dataclass(frozen=True, eq=False)
class FusionPair:
    """A pair holds grey pictures (H, W) of one size, 0 black and 1 white, where both are valid, and what was done to
    get there."""

    optical: files.Bands  # all bands of the file
    bands: tuple[int, ...]  # those that are seen, counted from 1
    span: tuple[float, float]  # values of the optical file that are 0 and 1
    luminance: Array
    radar: Array
    valid_optical: Mask
    valid_radar: Mask
    record: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    linear: Array = field(kw_only=True)  # the radar picture, not held within the values of the luminance
    cloud: Mask = field(kw_only=True)  # where clouds hide the ground
    signal: Mask = field(kw_only=True)  # where the radar picture is a measurement, and no limit of its numbers
    weights: list[Array] = field(kw_only=True)  # of each scale of details of the radar picture, 0 to 1, fine to coarse
    sigmas: tuple[float, ...] = field(kw_only=True)  # of the Gaussians between these scales, pixels

    @property
    def valid(self) -> Mask:
        """Return where both are valid, (H, W)."""
        return self.valid_optical & self.valid_radar

    @property
    def clear(self) -> Mask:
        """Return where both are valid and show the ground, (H, W)."""
        return self.valid & ~self.cloud

    @property
    def clouded(self) -> Mask:
        """Return where the radar picture alone shows the ground, (H, W)."""
        return self.valid & self.cloud

    @property
    def seen(self) -> Array:
        """Return the bands that are seen, (C, H, W) float64."""
        return self.optical.values[[n - 1 for n in self.bands]].astype(np.float64)

    def grey(self, bands: Array) -> Array:
        """Return the luminance (H, W) of values (C, H, W) of the optical file, or of one like it."""
        low, high = self.span
        return (luminance(bands) - low) / (high - low)


@dataclass(frozen=True, eq=False)
class ReadPair:
    """Two pictures lie on one grid, the radar picture as measured; all that was refused of them was refused."""

    optical: files.Bands
    bands: tuple[int, ...]
    span: tuple[float, float]
    luminance: Array
    valid_optical: Mask
    intensity: Array
    valid_radar: Mask
    radar_path: Path
    looks: float
    record: dict[str, Any]
    cloud: Mask
    speckle: tuple[float, Grain]  # looks, and the correlation with the next row and column

    @property
    def valid(self) -> Mask:
        """Return where both are valid, (H, W)."""
        return self.valid_optical & self.valid_radar

    @property
    def shown(self) -> Mask:
        """Return where the optical picture shows the ground, (H, W)."""
        return self.valid_optical & ~self.cloud


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """Settings of a pairing; the call reads both pictures and makes them ready. Raises BadInput where they are no
    pair.

    The despeckler may take minutes: `read` refuses before it whatever does not depend on it, and `refuse_shifted` a
    pair that a plain filter shows to be shifted.
    """

    despeckle: Despeckler
    despeckler: str  # its name, for the record
    looks: float | None = None  # of the radar picture; None: measured, where the despeckler asks for them
    align: bool = False
    trust_grid: bool = False  # go on where the pictures do not show the same
    bands: tuple[int, ...] | None = None  # of the optical file; None: the first three, or the only one
    sar_band: int = 1
    domain: str = "auto"
    match: str = "moments"
    span: tuple[float, float] | None = None
    registration: Registration = field(default_factory=Registration)
    cloud: CloudSource = field(default_factory=CloudSource)
    beyond_speckle: BeyondSpeckle = field(default_factory=BeyondSpeckle)

    def __call__(self, optical: Source, radar: Source, notes: Notes | None = None) -> FusionPair:
        notes = Notes() if notes is None else notes
        return self.matched(self.read(optical, radar, notes), notes)

    def read(self, optical_source: Source, radar_source: Source, notes: Notes) -> ReadPair:
        """Read both pictures and bring them to one grid. Raises BadInput where they are no pair."""
        check_match(self.match)
        optical = files.read(optical_source)
        bands = self._bands(optical)
        seen = [n - 1 for n in bands]
        valid_o = np.asarray(optical.valid[seen].all(0))
        if min(optical.size) < SMALLEST or not valid_o.any():
            raise BadInput(
                f"{optical.path}: {_size(optical.size)} with {int(valid_o.sum())} valid pixels; nothing to fuse"
            )
        values = np.where(valid_o, optical.values[seen], 0).astype(np.float64)
        span = self._span(optical, values[:, valid_o], notes)
        y = (luminance(values) - span[0]) / (span[1] - span[0])
        intensity, valid_r, path, record = self._intensity(optical, radar_source, notes)
        if not (valid_o & valid_r).any():
            raise BadInput(f"{optical.path} and {path} have no valid pixel in common")
        white = white_of(optical, bands, self.span)
        cloud, record["cloud"] = self.cloud(optical, bands, values, valid_o, white, notes)
        if not (valid_o & valid_r & ~cloud).any():
            raise BadInput(
                f"{optical.path} is cloud wherever {path} has data, and nothing says how bright the radar picture is to be; give another `cloud`",
                argument="cloud",
            )
        self._refuse_exchanged(optical, (values.mean(0), valid_o), radar_source, (intensity, valid_r), notes)
        looks, speckle = self._looks(intensity, valid_r, notes)
        return ReadPair(optical, bands, span, y, valid_o, intensity, valid_r, path, looks, record, cloud, speckle)

    def matched(self, pair: ReadPair, notes: Notes) -> FusionPair:
        """Despeckle the radar picture and give it the grey levels of the luminance. Raises BadInput where the two are shifted."""
        y, valid_r, valid, clear = pair.luminance, pair.valid_radar, pair.valid, pair.valid & pair.shown
        smooth = logarithm(self.despeckle(pair.intensity, valid_r, pair.looks), valid_r)
        match = self._registered(pair, smooth, notes)
        radar = linear = np.where(valid_r, matched(smooth, y, clear, self.match), y)
        gain = None
        if self.match == "moments":
            slope, offset = moments(smooth, y, clear)
            gain, linear = slope * math.log(10) / 10, np.where(valid_r, slope * smooth + offset, y)
        record = pair.record | {
            "bands": list(pair.bands), "span": list(pair.span), "looks": pair.looks, "despeckle": self.despeckler,
            "match": self.match, "luminance_per_db": gain,
            "shift": {"down": match.down, "right": match.right, "scale": match.scale,
                      "significance": round(match.significance, 1)},
            "valid": round(float(valid.mean()), 6),
        }  # fmt: skip
        return FusionPair(
            pair.optical, pair.bands, pair.span, y, radar, pair.valid_optical, valid_r, record, tuple(notes.texts), cloud=pair.cloud, linear=linear,
            signal=with_signal(pair.intensity, valid_r), weights=self.beyond_speckle(pair.intensity, valid_r, *pair.speckle),
            sigmas=self.beyond_speckle.sigmas,
        )  # fmt: skip

    def _bands(self, optical: files.Bands) -> tuple[int, ...]:
        count = len(optical.values)
        bands = self.bands or ((1, 2, 3) if count >= 3 else (1,))
        if len(bands) not in (1, 3) or len(set(bands)) != len(bands):
            raise BadInput(f"`bands={','.join(map(str, bands))}`: give one band, or red, green and blue")
        if wrong := [n for n in bands if not 1 <= n <= count]:
            raise BadInput(f"{optical.path} has {count} band(s), numbered from 1; there is no band {wrong[0]}")
        if optical.values.dtype.kind == "c":
            raise BadInput(f"{optical.path} holds complex values and is no optical picture; it is OPTICAL SAR OUT")
        return tuple(bands)

    def _span(self, optical: files.Bands, used: Array, notes: Notes) -> tuple[float, float]:
        if self.span is not None:
            return check_span(self.span)
        if optical.dtype == "uint8":
            return 0.0, 255.0
        low, high = (float(v) for v in np.quantile(used, (0.001, 0.999)))
        if not low < high:
            raise BadInput(f"{optical.path} is constant; nothing to fuse")
        notes(
            f"black and white are {low:.6g} and {high:.6g}, quantiles of {optical.path.name}; give `range` if that is wrong"
        )
        return low, high

    def _intensity(
        self, optical: files.Bands, source: Source, notes: Notes
    ) -> tuple[Array, Mask, Path, dict[str, Any]]:
        """Return intensities on the grid of the optical picture, where they are valid, the file, and a record."""
        path = _path(source)
        if isinstance(source, files.Bands) or files.is_plain(path):
            radar, window, apart = files.read(source, [self.sar_band]), None, []
        else:
            raster, target = _raster(source), optical.raster
            on_a_map = target is not None and target.referenced and raster.referenced
            apart = grid.differences(target, raster) if target is not None and on_a_map else []
            window = None
            if apart and self.align and target is not None and grid.placed(target):
                window = grid.part_for(raster, target)
            radar = files.read(source, [self.sar_band], raster, window)
        if apart and not self.align:
            raise BadInput(
                f"{optical.path} and {path} do not share a grid ({'; '.join(apart)}); `align` resamples the radar picture"
            )
        if not apart and radar.size != optical.size:
            raise BadInput(
                f"{optical.path} is {_size(optical.size)} and {path} {_size(radar.size)} pixels, and not both have a place "
                "on a map by which one could be brought to the grid of the other; cut or resample one of them"
            )
        values, valid = _numbers(radar, self.sar_band), radar.valid[0]
        fill = fill_of(radar.values[0][valid])
        if fill is not None:
            valid = valid & (radar.values[0] != fill)
        if not radar.domain:
            self._check_half(source, radar, values, valid, window)
        domain, said = self._domain(radar, values, valid)
        if fill is not None:
            said = "; ".join(filter(None, [said, f"{fill:g} is taken for no data, though the file does not say so"]))
        measured = valid if domain.signed or domain.name == "complex" else valid & (values > 0)
        intensity = np.where(measured, domain.intensity(np.where(measured, values, 1)), 0.0)
        if not domain.signed:
            valid = valid & ~_fringe(intensity <= 0)
            if radar.dtype.startswith(("int", "uint")) and values is radar.values[0]:
                intensity = np.where(valid & (intensity <= 0), domain.least(), intensity)
        record: dict[str, Any] = {"sar_band": self.sar_band, "domain": domain.name, "aligned": None}
        if said:
            notes(said)
        if apart:
            assert radar.raster is not None
            assert optical.raster is not None
            intensity, valid, how = grid.aligned(
                intensity, valid, window or files.whole(radar.raster), radar.raster, optical.raster
            )
            record["aligned"] = {"differed": apart, "resampling": how}
            notes(f"{path.name} resampled to the grid of {optical.path.name} ({how}, in power): {'; '.join(apart)}")
        return intensity, valid, path, record

    def _domain(self, radar: files.Bands, values: NDArray[Any], valid: Mask) -> tuple[Domain, str]:
        """Return the unit of the radar band and what to say of it: what a product or the file says goes before a guess."""
        asked, n, raster = self.domain, self.sar_band, radar.raster
        if asked == "auto" and radar.domain:
            asked = radar.domain
        if asked != "auto":
            return domain_of(asked, radar.dtype, values[valid])
        if other := no_brightness(radar.path, [n], raster):
            raise BadInput(
                f"{radar.path}: band {n} is {other[n]}, and no brightness; give another `sar_band`, or say its unit by `domain`",
                argument="sar_band",
            )
        gain = (1.0, 0.0) if raster is None else (raster.scales[n - 1], raster.offsets[n - 1])
        try:
            sample = Sample.of_file(radar.path, n, radar.dtype, [(radar.values[0], valid)], gain, raster)
            name, why = units_of([sample], asked)[n]
            domain, said = domain_of(name, radar.dtype, values[valid])
        except BadInput as error:
            raise BadInput(f"{radar.path}: {error}", argument=error.argument) from None
        return domain, "; ".join(filter(None, [why, said]))

    def _check_half(
        self, source: Source, radar: files.Bands, values: NDArray[Any], valid: Mask, window: Window | None
    ) -> None:
        """Raise BadInput where the band is half of a complex number."""
        raster = radar.raster

        def others() -> Iterator[tuple[int, NDArray[Any]]]:
            for number in range(1, 1 + (1 if raster is None else raster.count)):
                if number != self.sar_band:
                    yield number, files.read(source, [number], raster, window).values[0][valid]

        told = halves.told(radar.path, self.sar_band, radar.dtype, raster)
        try:
            told.check(self.domain, values[valid], others)
        except BadInput as error:
            raise BadInput(f"{radar.path}: {error}") from None

    def _refuse_exchanged(
        self, optical: files.Bands, seen: tuple[Array, Mask], source: Source, radar: tuple[Array, Mask], notes: Notes
    ) -> None:
        """Raise BadInput, or note it, where the optical picture looks like the radar picture and the other way about."""
        raster = None if isinstance(source, files.Bands) or files.is_plain(_path(source)) else _raster(source)
        first = None if raster is None else range(1, 1 + min(3, raster.count))
        corner = None if raster is None else Window(0, 0, min(raster.height, 512), min(raster.width, 512))
        bands = files.read(source, first, raster, corner)
        if said := refuse_exchanged(optical, *seen, bands, *radar, self.domain != "auto"):
            notes(said)

    def _looks(self, intensity: Array, valid: Mask, notes: Notes) -> tuple[float, tuple[float, Grain]]:
        """Return the looks for the despeckler, and looks and grain of the speckle that the picture has."""
        told = self.looks is not None or self.despeckler == "none"
        try:
            found = measure(intensity, valid, looks=self.looks)
        except BadInput:
            if not told:
                raise
            notes(
                "the speckle of the radar picture could not be measured, and is taken to be independent from pixel to pixel"
            )
            return self.looks or 1.0, (self.looks or 1.0, (0.0, 0.0))
        if told:
            return self.looks or 1.0, (self.looks or found.looks, found.lag_one)
        notes(str(found))
        return found.looks, (found.looks, found.lag_one)

    def refuse_shifted(self, pair: ReadPair) -> None:
        """Raise BadInput where a plain filter is enough to see that the pictures do not lie on each other."""
        if self.trust_grid:
            return
        quick = logarithm(despeckled("lee", pair.intensity, pair.valid_radar, pair.looks), pair.valid_radar)
        found = self.registration(pair.luminance, quick, (pair.shown, pair.valid_radar))
        if self.registration.aligned(found) is False and found.significance >= SURE * self.registration.least:
            raise BadInput(_shifted(pair, found))

    def _registered(self, pair: ReadPair, smooth: Array, notes: Notes) -> Match:
        match = self.registration(pair.luminance, smooth, (pair.shown, pair.valid_radar))
        verdict, optical = self.registration.aligned(match), pair.optical
        if verdict is False:
            if not self.trust_grid:
                raise BadInput(_shifted(pair, match))
            notes(f"what {optical.path} shows lies {match} in {pair.radar_path}; fused as they are")
        elif verdict is None and not self.trust_grid:
            why = f"nothing in {optical.path} and {pair.radar_path} shows that they lie on each other"
            if optical.raster is None or not optical.raster.referenced:
                raise BadInput(
                    f"{why}, and they have no place on a map; give `trust_grid` if you know that they do",
                    argument="trust_grid",
                )
            notes(f"{why}; taken from their places on the map")
        return match


def _path(source: Source) -> Path:
    return source if isinstance(source, Path) else source.path


def _raster(source: Source) -> Raster:
    """Return the metadata of a file or a product."""
    return source.raster if isinstance(source, Scene) and source.raster is not None else describe(_path(source))


def _shifted(pair: ReadPair, found: Match) -> str:
    return (
        f"what {pair.optical.path} shows lies {found} in {pair.radar_path}: the two are not registered; mend that, or give "
        "`trust_grid` to fuse them as they are"
    )


def _numbers(radar: files.Bands, band: int) -> NDArray[Any]:
    """Return the values of the only band that was read, number `band` of the file, by the scale that the file says."""
    raw, raster = radar.values[0], radar.raster
    if raster is None or (raster.scales[band - 1], raster.offsets[band - 1]) == (1.0, 0.0):
        return raw
    return raster.scales[band - 1] * raw.astype(np.float64) + raster.offsets[band - 1]


def _fringe(dark: Mask) -> Mask:
    """Return what of `dark` is connected with the border: there zero means that nothing was measured."""
    regions, _ = scipy.ndimage.label(dark)  # type: ignore[misc]
    at_border = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
    return np.isin(regions, np.unique(at_border[at_border > 0]))


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
