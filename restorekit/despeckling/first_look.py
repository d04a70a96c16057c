"""A first look at a scene says how its bands are read, what is known of their speckle, and what its user should know."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from restorekit.despeckling.methods import PosteriorMethod
from restorekit.despeckling.radar_band import RadarBand, bands_of, not_bright
from restorekit.despeckling.settings import SIDE, KnownSpeckle, Settings
from restorekit.despeckling.survey import BandStatistics, survey, survey_together
from restorekit.errors import BadInput
from restorekit.files.bands import Window
from restorekit.files.scene import Reads, Scene
from restorekit.products.opening import safe_around
from restorekit.sar.domain import STRETCHED
from restorekit.sar.polarisations import SHARED, Components, one_of_each, polarisation_of

MANY = 12.0  # looks from which on it is asked whether they are amplitudes
SURE = 2.0  # standard errors by which the correlation of speckle is above what is none
SPECKLED = 60.0  # looks from which on they are not believed

DONE = {
    "temper": "the likelihood is given less weight for it",
    "subsample": "every other pixel is taken, four times",
    "whiten": "whitened",
}


Found = dict[int, tuple[RadarBand, BandStatistics]]


@dataclass(frozen=True)
class Polarised:
    """Bands that are polarisations of one date, by number, the components of their logarithms, and the correlation of their speckle
    as it was measured."""

    numbers: tuple[int, ...]
    components: Components
    correlation: float = 0.0


def looked_at(scene: Scene, settings: Settings, say: Callable[[str], None]) -> tuple[Found, Polarised | None]:
    """Return by number the bands that are to be restored with what was measured of them, and which are restored as one; `say` is
    told what was guessed or measured, and of bands that stay as they are. Raises BadInput for what is not to be despeckled."""
    if scene.product is not None:
        for sentence in scene.product.said:
            say(sentence)
    elif (safe := safe_around(scene.path)) is not None:
        say(f"the numbers of a measurement as they are, neither calibrated nor less their noise; give {safe} for that")
    _refuse_bands(scene, settings)
    found: Found = {}
    polarised: Polarised | None = None
    with scene.opened() as reader:
        there = [number for number in scene.bands if _wanted(scene, reader, number, settings, say)]
        read = bands_of(scene, reader, there, settings.domain)
        numbers = _polarisations(scene, settings, list(read))
        if (
            numbers
            and (made := _measured_together(scene, reader, [read[n] for n in numbers], settings, say)) is not None
        ):
            facts_of, components, alike = made
            polarised = Polarised(tuple(numbers), components, alike[0])
            found = {number: (read[number][0], facts) for number, facts in facts_of.items()}
        for number, (band, words) in read.items():
            if number in found:
                continue
            if (facts := _measured(scene, reader, band, words, settings, say)) is not None:
                found[number] = band, facts
    return dict(sorted(found.items())), polarised


def _polarisations(scene: Scene, settings: Settings, numbers: Sequence[int]) -> list[int]:
    """Return the bands of `numbers` that are restored as one; [] where each is by itself."""
    if settings.polarisations == "apart" or len(numbers) < 2:
        return []
    if settings.polarisations == "together":
        return list(numbers)
    of = {number: polarisation_of(_name(scene, number) or "") for number in numbers}
    named = [number for number, polarisation in of.items() if polarisation is not None]
    return named if one_of_each([of[number] for number in named]) else []


def _name(scene: Scene, number: int) -> str | None:
    if scene.product is not None:
        return scene.product.bands[number - 1].name
    return None if scene.raster is None else scene.raster.descriptions[number - 1]


def _known(scene: Scene, settings: Settings, number: int) -> KnownSpeckle:
    own = None if scene.product is None else scene.product.bands[number - 1]
    return settings.speckle() if own is None else settings.speckle(own.looks, own.grain)


def _measured_together(
    scene: Scene, reader: Reads, read: Sequence[tuple[RadarBand, str]], settings: Settings, say: Callable[[str], None]
) -> tuple[dict[int, BandStatistics], Components, tuple[float, float]] | None:
    """Return what was measured of polarisations of one date, None where they are not to be taken as one; `say` is told."""
    bands = [band for band, _ in read]
    known = [_known(scene, settings, band.number) for band in bands]
    if any((k.looks, k.grain) != (known[0].looks, known[0].grain) for k in known):
        say("polarisations of other looks or another grain, by the product: each is restored by itself")
        return None
    made = survey_together(scene, reader, bands, known[0].looks, settings.remedy, known[0].grain)
    if made is None:
        return None
    alike, error = made[2]
    if settings.polarisations == "auto" and alike - SURE * error > SHARED:
        say(
            f"{_these(scene, bands)}: their speckle has a correlation of {alike:.2f} (± {error:.2f}), and is not independent; each is restored by itself "
            "(`polarisations=together` if that is of the scene)"
        )
        return None
    facts = made[0][bands[0].number]
    _check_speckled(facts, known[0], *read[0])
    for band, words in read:
        if words:
            say(f"band {band.number}: {words}")
    which = " and ".join(str(band.number) for band in bands)
    say(f"{_these(scene, bands)}: polarisations of one date; {_looks(facts, known[0])}")
    if many := _many(bands[0], facts, settings):
        say(f"bands {which}: {many}")
    return made


def _these(scene: Scene, bands: Sequence[RadarBand]) -> str:
    names = ", ".join(_name(scene, band.number) or str(band.number) for band in bands)
    return f"bands {' and '.join(str(band.number) for band in bands)} ({names})"


def _check_speckled(facts: BandStatistics, known: KnownSpeckle, band: RadarBand, words: str) -> None:
    if known.looks is None and facts.looks > SPECKLED:
        raise BadInput(
            f"band {band.number}: {facts.looks:.0f} looks measured of values taken for {_taken(band, words)}, hardly any speckle, as where {_else(band)} or a "
            "value is fill; check `domain` and the nodata value, or give `looks`"
        )


def _refuse_bands(scene: Scene, settings: Settings) -> None:
    if unknown := set(settings.bands or ()) - set(scene.bands):
        raise BadInput(f"`bands={min(unknown)}`: {scene.path.name} has {', '.join(map(str, scene.bands))}")
    if settings.bands is not None and hasattr(scene.product, "noise_at"):
        raise BadInput(
            f"{scene.path.name}: its noise comes off what is restored, and not off bands that stay as they are; take one polarisation by "
            "`product=VV` in place of `bands`",
            argument="bands",
        )
    if settings.bands is not None and settings.domain != "auto":
        return  # whoever says which bands and in which unit knows better than their names
    others = not_bright(scene, settings.bands or scene.bands)
    if others:
        number, what = next(iter(others.items()))
        left = ",".join(str(n) for n in scene.bands if n not in others)
        way = f"leave it out by `bands={left}`" if left else "give the bands of intensities that it was made of"
        raise BadInput(
            f"band {number} is {what}, and no brightness that speckle multiplies; {way}, or say its unit by `domain` and `bands`",
            argument="bands",
        )


def _wanted(scene: Scene, reader: Reads, number: int, settings: Settings, say: Callable[[str], None]) -> bool:
    """Return whether a band is to be restored and holds anything; `say` is told where not."""
    if settings.bands is not None and number not in settings.bands:
        if not settings.covariance:
            say(f"band {number}: not asked for, it stays as it is")
    elif not _anything(scene, reader, number):
        say(f"band {number}: no measured pixel, it stays as it is")
    else:
        return True
    return False


def _measured(
    scene: Scene, reader: Reads, band: RadarBand, words: str, settings: Settings, say: Callable[[str], None]
) -> BandStatistics | None:
    """Return what was measured of a band, None where there is nothing to restore; `say` is told either way."""
    number = band.number
    known = _known(scene, settings, number)
    facts = survey(scene, reader, band, known.looks, settings.remedy, known.grain)
    if facts is None:
        say(f"band {number}: no pixel above 0, it stays as it is")
        return None
    _check_speckled(facts, known, band, words)
    lines = (words, _looks(facts, known), _many(band, facts, settings))
    for line in filter(None, lines):
        say(f"band {number}: {line}")
    return facts


def _taken(band: RadarBand, words: str) -> str:
    """Return the unit that a band was taken to have, and by what."""
    why = words.removeprefix(f"domain: {band.domain.name}, ").partition(";")[0]
    return band.domain.name + (f" ({why})" if words.startswith("domain: ") else ", as `domain` says")


def _else(band: RadarBand) -> str:
    if band.domain.name == "db":
        return "the unit is another (`domain=intensity`, `domain=amplitude`), the speckle was taken out"
    return "values are dB (`domain=db`, stretched `domain=db:LO,HI`), the unit is another"


def _anything(scene: Scene, reader: Reads, band: int) -> bool:
    strips = (
        Window(i, 0, min(SIDE[PosteriorMethod], scene.height - i), scene.width)
        for i in range(0, scene.height, SIDE[PosteriorMethod])
    )
    return any(reader.read(strip, band)[1].any() for strip in strips)


def _many(band: RadarBand, facts: BandStatistics, settings: Settings) -> str:
    """Return what to say where looks are many for the unit that was guessed: floats may be amplitudes, whose looks are a
    quarter of those as intensities, and whole numbers dB that were stretched; "" else."""
    if settings.domain != "auto" or facts.measured is None or facts.measured.looks < MANY:
        return ""
    n = facts.measured.looks
    if band.domain.name == "intensity":
        way = f"if they are amplitudes, of {n / 4:.1f} looks, give `domain=amplitude`, if dB `domain=db`"
        return f"{n:.0f} looks are many for intensities; {way}"
    if band.domain.name == "amplitude":
        return f"{n:.0f} looks are many for amplitudes; if they are dB that were stretched, give `domain={STRETCHED}`"
    return ""


def _looks(facts: BandStatistics, known: KnownSpeckle) -> str:
    """Return a line on looks and correlation, those that are known and those that were measured."""
    looks, grain = known.looks, known.grain
    given = "" if grain is None else f", the correlation {known.grain_by} ({grain[0]:g},{grain[1]:g})"
    if facts.measured is None:
        return f"looks {facts.looks:g} {known.looks_by}; no flat window to check them in{given}"
    done = f"; {DONE[facts.remedy]}" if facts.remedy != "none" else ""
    if facts.remedy in ("subsample", "whiten"):
        done += f": looks {facts.looks:.2f}, {facts.looks / facts.kappa:.2f} effective"
    if facts.measured.textured:
        given = "; give `grain=ROW,COLUMN` or the name of a product where it is known"
    if looks is None:
        return str(facts.measured) + given + done
    ratio = looks / facts.measured.looks
    far = "" if abs(math.log(ratio)) < math.log(2) else ", far from what was measured"
    far += "; `looks=auto` takes that" if far and known.looks_by == "as given" else ""
    return f"looks {looks:g} {known.looks_by}{far}; measured: {facts.measured}{given}{done}"
