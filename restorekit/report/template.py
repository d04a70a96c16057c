"""The Jinja2 templates of the pages. What is put into one is escaped, unless it came out of one itself."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from functools import cache
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:  # jinja2 is imported where a page is written
    from jinja2 import Environment


def render(name: str, /, **values: Any) -> str:
    """Return the template `name` of `templates/` filled with `values`."""
    return environment().get_template(name).render(values)


def render_part(name: str, /, **values: Any) -> Markup:
    """Return `render` as markup that a page may hold."""
    return Markup(render(name, **values))


@cache
def environment() -> Environment:
    """Return what reads the templates, with what they may call."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("restorekit.report", "templates")
    templates = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.globals["source"] = lambda name: Markup(loader.get_source(templates, name)[0])
    templates.filters |= {"policy_hash": _policy_hash, "soft": soft}
    return templates


def _policy_hash(text: str) -> str:
    """Return the name of a style or script in a page's Content-Security-Policy."""
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def soft(text: str) -> Markup:
    """Return text such as `name:a=1,b=2` so that it is broken after a colon or comma but nowhere else."""
    return Markup("<wbr>").join(re.split("(?<=[:,])", text))
