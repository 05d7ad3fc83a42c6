"""Which layer each instance of the top belongs to.

A stage with a module of its own (``<top>_<stage>``) is a layer. A collector belongs to the layer before it; every other
library module (row store, queue, splitter, reducer, ...) to the layer behind it. Forks belong to none: ``(top)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

GLUE = "(top)"
"""The row of what belongs to no layer."""


def layers_of(instances: Mapping[str, str], design: Mapping[str, Any]) -> dict[str, str]:
    """Return the layer of each instance of the top, layers in graph order.

    Parameters
    ----------
    instances : name of an instance (``u_conv1_rows``) -> its module, without parameters (``hg_row_store``)
    design : the content of design.json
    """
    top = str(design["top"])
    own = {name.removeprefix("u_") for name, module in instances.items() if module.startswith(f"{top}_")}
    behind: dict[str, list[str]] = {}
    before: dict[str, list[str]] = {}
    order: dict[str, int] = {}
    for link in design.get("links") or ():
        behind.setdefault(link["from"], []).append(link["to"])
        before.setdefault(link["to"], []).append(link["from"])
        order.setdefault(link["from"], len(order))
        order.setdefault(link["to"], len(order))
    for name in design["files"]:
        order.setdefault(str(name).removesuffix(".sv").removeprefix(f"{top}_"), len(order))

    def along(stage: str, ways: Mapping[str, list[str]]) -> str | None:
        while stage not in own:
            following = ways.get(stage) or []
            if len(following) != 1:
                return None
            stage = following[0]
        return stage

    found = {}
    for name, module in instances.items():
        stage = name.removeprefix("u_")
        first, second = (before, behind) if module == "hg_collect" else (behind, before)
        fork = module == "hg_fork"
        found[name] = GLUE if fork else along(stage, first) or along(stage, second) or GLUE
    return dict(sorted(found.items(), key=lambda item: (item[1] == GLUE, order.get(item[1], 0))))


def plain_module(kind: str) -> str:
    """Return a module's name without yosys' marks and parameters: ``$paramod$1f3a\\hg_fifo`` is ``hg_fifo``."""
    return kind.split("\\")[1] if kind.startswith("$paramod\\") else kind.rpartition("\\")[2]
