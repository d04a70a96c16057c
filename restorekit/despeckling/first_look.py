"""A first look at a scene says how its bands are read, what is known of their speckle, and what its user should know."""

from __future__ import annotations

import math
from collections.abc import Callable

from restorekit.despeckling.methods import PosteriorMethod
from restorekit.despeckling.radar_band import RadarBand, bands_of, not_bright
from restorekit.despeckling.settings import SIDE, KnownSpeckle, Settings
from restorekit.despeckling.survey import BandStatistics, survey
from restorekit.errors import BadInput
from restorekit.files.bands import Window
from restorekit.files.scene import Reads, Scene
from restorekit.products.opening import safe_around
from restorekit.sar.domain import STRETCHED

MANY = 12.0  # looks from which on it is asked whether they are amplitudes
SPECKLED = 60.0  # looks from which on they are not believed

DONE = {
    "temper": "the likelihood is given less weight for it",
    "subsample": "every other pixel is taken, four times",
    "whiten": "whitened",
}


def looked_at(
    scene: Scene, settings: Settings, say: Callable[[str], None]
) -> dict[int, tuple[RadarBand, BandStatistics]]:
    """Return by number the bands that are to be restored, and what was measured of them; `say` is told what was guessed or
    measured, and of bands that stay as they are. Raises BadInput for what is not to be despeckled."""
    if scene.product is not None:
        for sentence in scene.product.said:
            say(sentence)
    elif (safe := safe_around(scene.path)) is not None:
        say(f"the numbers of a measurement as they are, neither calibrated nor less their noise; give {safe} for that")
    _refuse_bands(scene, settings)
    found: dict[int, tuple[RadarBand, BandStatistics]] = {}
    with scene.opened() as reader:
        there = [number for number in scene.bands if _wanted(scene, reader, number, settings, say)]
        for number, (band, words) in bands_of(scene, reader, there, settings.domain).items():
            if (facts := _measured(scene, reader, band, words, settings, say)) is not None:
                found[number] = band, facts
    return found


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
    own = None if scene.product is None else scene.product.bands[number - 1]
    known = settings.speckle() if own is None else settings.speckle(own.looks, own.grain)
    facts = survey(scene, reader, band, known.looks, settings.remedy, known.grain)
    if facts is None:
        say(f"band {number}: no pixel above 0, it stays as it is")
        return None
    if known.looks is None and facts.looks > SPECKLED:
        raise BadInput(
            f"band {number}: {facts.looks:.0f} looks measured of values taken for {_taken(band, words)}, hardly any speckle, as where {_else(band)} or a "
            "value is fill; check `domain` and the nodata value, or give `looks`"
        )
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
