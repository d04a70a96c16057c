"""A measurement that was written as a JPEG is named after an operator, "blur:kernel=k.png|jpeg", or alone, "jpeg"."""

from __future__ import annotations

from restorekit.errors import BadInput

NAME = "jpeg"
_BEFORE = ("denoise", "blur", "average", "decimate", "resize", "grey")  # whose measurement can be a picture in a JPEG


def before(op: object) -> str | None:
    """Return the text of what was done before a picture was written as JPEG, "denoise" for nothing: of "jpeg" and "NAME:...|jpeg".

    None for other operators. Raises BadInput where what comes before makes no picture, or is not linear."""
    if not isinstance(op, str):
        return None
    head, bar, last = op.rpartition("|")
    if last.strip() != NAME:
        if bar or NAME in (head.partition(":")[0], op.partition(":")[0]):
            raise BadInput(
                f"operator {op!r}: a picture is written as JPEG last, and the file says how: give NAME:SETTINGS|jpeg, or jpeg alone"
            )
        return None
    name = head.partition(":")[0].strip()
    if bar and not (name in _BEFORE or name.endswith(".py")):
        raise BadInput(f"operator {op!r}: before jpeg comes one of {', '.join(_BEFORE)}, or file.py:Class")
    return head.strip() or "denoise"
