"""``explore.html``: the front and every trial on one page that opens anywhere, without network."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import jinja2

import hwgen
from hwgen.explore.plot import pairs, svg
from hwgen.explore.space import label
from hwgen.report.template import environment

if TYPE_CHECKING:
    from hwgen.explore.results import Exploration


def page_html(found: Exploration) -> str:
    """Return the page; whatever comes from the user is escaped."""
    plots = [svg(found, [pair]) for pair in pairs(found)]
    return _template().render(found=found, plots=plots, label=label, version=hwgen.__version__)


@cache
def _template() -> jinja2.Template:
    loaded = environment()
    return loaded.get_template("explore.html.j2")
