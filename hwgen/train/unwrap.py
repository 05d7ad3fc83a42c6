"""Strip pruning wrappers (`PruneLowMagnitude`) from an architecture: a wrapped layer becomes the layer itself."""

from __future__ import annotations

from typing import Any

WRAPPER = "PruneLowMagnitude"


def unwrap_config(config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return an architecture without pruning wrappers.

    Parameters
    ----------
    config : dict
        A model's `config.json` or `model_config`.

    Returns
    -------
    config, names
        `names` maps the name of each wrapper to that of the layer in it; empty if there was none.
    """
    names: dict[str, str] = {}
    _collect(config, names)
    return (_strip(config, names), names) if names else (config, names)


def _collect(node: Any, names: dict[str, str]) -> None:
    if isinstance(node, dict):
        if _is_wrapper(node):
            inner = node["config"]["layer"]
            names[node["config"]["name"]] = inner["config"]["name"]
        for value in node.values():
            _collect(value, names)
    elif isinstance(node, list):
        for value in node:
            _collect(value, names)


def _is_wrapper(node: dict[str, Any]) -> bool:
    config = node.get("config")
    return str(node.get("class_name", "")).endswith(WRAPPER) and isinstance(config, dict) and "layer" in config


def _strip(node: Any, names: dict[str, str]) -> Any:
    """Copy a config, each wrapper replaced by its layer; every mention of a wrapper's name becomes the layer's."""
    if isinstance(node, list):
        return [_strip(value, names) for value in node]
    if isinstance(node, str):
        return names.get(node, node)
    if not isinstance(node, dict):
        return node
    if _is_wrapper(node):
        inner = dict(node["config"]["layer"])
        inner["config"] = dict(inner["config"])
        shape = node["config"].get("batch_input_shape")
        if shape is not None:
            inner["config"].setdefault("batch_input_shape", shape)
        outer = {key: value for key, value in node.items() if key in ("inbound_nodes", "build_config")}
        if "inbound_nodes" in outer or "name" in node:
            outer["name"] = inner["config"]["name"]
        return _strip(inner | outer, names)
    return {key: _strip(value, names) for key, value in node.items()}
