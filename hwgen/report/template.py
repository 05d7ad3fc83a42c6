"""The pages' templates: text files of the package, filled in with whatever comes from the user escaped."""

from __future__ import annotations

from importlib.resources import files

import jinja2


def environment() -> jinja2.Environment:
    """Return what loads the templates in ``report/templates``; an unknown name in one is an error."""
    folder = files("hwgen.report") / "templates"
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text()),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
