"""Which layer each instance of the top belongs to: the rule of `predict.layer_of`, read from a generated design.

A stage with a module of its own (``<top>_<stage>``) is a layer; so are reducers, paddings and upsamplers. Row stores,
decimators and queues belong to the layer behind them, collectors and registers to the one before. Forks, splitters and
the FIFOs behind a fork belong to none: ``(top)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

GLUE = "(top)"
"""The row of what belongs to no layer."""

OWN = ("hg_reduce", "hg_pad", "hg_upsample")
BEHIND = ("hg_row_store", "hg_decimate", "hg_place")


def layers_of(instances: Mapping[str, str], design: Mapping[str, Any]) -> dict[str, str]:
    """Return the layer of each instance of the top, layers in graph order.

    Parameters
    ----------
    instances : name of an instance (``u_conv1_rows``) -> its module, without parameters (``hg_row_store``)
    design : the content of design.json
    """
    top = str(design["top"])
    kinds = {name.removeprefix("u_"): module for name, module in instances.items()}
    links = design.get("links") or ()
    behind = {link["from"]: link["to"] for link in links}
    before = {link["to"]: link["from"] for link in links}
    stages = [stage for link in links for stage in (link["from"], link["to"])]
    stages += [str(name).removesuffix(".sv").removeprefix(f"{top}_") for name in design["files"]]
    order = {stage: k for k, stage in reversed(list(enumerate(stages)))}

    def layer(stage: str | None) -> str:
        kind = kinds.get(stage or "")
        if stage is None or kind is None:
            return GLUE
        if kind.startswith(f"{top}_") or kind in OWN:
            return stage
        if kind in BEHIND or (kind == "hg_fifo" and stage.startswith("queue_")):
            return layer(behind.get(stage))
        if kind == "hg_collect" or (kind == "hg_fifo" and stage.startswith("reg_")):
            return layer(before.get(stage))
        return GLUE

    found = {f"u_{stage}": layer(stage) for stage in kinds}
    return dict(sorted(found.items(), key=lambda item: (item[1] == GLUE, order.get(item[1], 0))))


def plain_module(kind: str) -> str:
    """Return a module's name without yosys' marks and parameters: ``$paramod$1f3a\\hg_fifo`` is ``hg_fifo``."""
    return kind.split("\\")[1] if kind.startswith("$paramod\\") else kind.rpartition("\\")[2]
