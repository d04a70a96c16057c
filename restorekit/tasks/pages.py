"""`readings` says which pages of a file of several pictures are read, and where each result is put."""

from __future__ import annotations

import re
from pathlib import Path

from restorekit.errors import BadInput
from restorekit.files.reading import Reading

_RANGE = re.compile(r"(\d{1,18})(?:-(\d{1,18}))?")


def readings(source: Path, target: Path, layout: str | None, pages: str | None) -> list[tuple[Reading, Path]]:
    """Yield how IN is read, and OUT; of several pages one after the other, page 7 of 12 into OUT_p07."""
    if pages is None:
        return [(Reading(layout), target)]
    from restorekit.files.stored import check_source
    from restorekit.files.tiff import page_count

    check_source(source)
    count = page_count(source)
    numbers = _numbers(pages, count)
    if len(numbers) == 1:
        return [(Reading(layout, numbers[0]), target)]
    places = [target.with_name(f"{target.stem}_p{n:0{len(str(count))}d}{target.suffix}") for n in numbers]
    return [(Reading(layout, n), place) for n, place in zip(numbers, places)]


def _numbers(pages: str, count: int) -> list[int]:
    """Return "2", "1,4-6" or "all" as numbers of pages from 1, each once. Raises `BadInput` for a page that is not there."""
    if pages == "all":
        return list(range(1, count + 1))
    found: list[int] = []
    for part in pages.split(","):
        match = _RANGE.fullmatch(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last:
            raise BadInput(f"`pages={pages}` is not understood; give numbers from 1, as `pages=3`, 1,4-6 or all")
        if last > count:
            raise BadInput(f"`pages={pages}`: there is no page {last}, it has {count}")
        found += range(first, last + 1)
    return list(dict.fromkeys(found))
