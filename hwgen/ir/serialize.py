"""`graph.json` + `weights.npz`: the boundary artefact, and back. Deterministic bytes."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.errors import GraphError
from hwgen.files import FileSet, json_bytes
from hwgen.fixed import FixedPoint
from hwgen.ir.graph import Graph
from hwgen.ir.nodes import KINDS, Node

FORMAT_VERSION = 1


def graph_files(graph: Graph) -> FileSet:
    """Return `graph` as the two files ``graph.json`` and ``weights.npz``."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    rows = []
    for node in graph.nodes:
        row: dict[str, Any] = {"kind": type(node).__name__}
        for field in fields(node):
            value = getattr(node, field.name)
            if isinstance(value, np.ndarray):
                key = f"{node.name}.{field.name}"
                arrays[key] = _storable(value)
                value = {"array": key}
            elif isinstance(value, FixedPoint):
                value = {"fixed": str(value)}
            if value is not None:
                row[field.name] = list(value) if isinstance(value, tuple) else value
        rows.append(row)
    document = {"version": FORMAT_VERSION, "name": graph.name, "nodes": rows}
    return FileSet({"graph.json": json_bytes(document), "weights.npz": npz_bytes(arrays)})


def graph_from_files(files: Any) -> Graph:
    """Read a graph back from a mapping with ``graph.json`` and ``weights.npz``.

    Raises
    ------
    GraphError
        If the files are not a graph of this version.
    """
    try:
        document = json.loads(files["graph.json"])
        if document["version"] != FORMAT_VERSION:
            raise GraphError("graph.json has another version", found=str(document["version"]), expected="1")
        with np.load(io.BytesIO(files["weights.npz"]), allow_pickle=False) as arrays:
            nodes = tuple(_node(row, arrays) for row in document["nodes"])
        return Graph(document["name"], nodes).verify()
    except (KeyError, TypeError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise GraphError(
            "graph.json or weights.npz cannot be read",
            found=str(error),
            hint="build again with `hwgen build … --from lower`",
        ) from error


def load_graph(folder: Path) -> Graph:
    """Read the graph of a folder that holds ``graph.json`` and ``weights.npz``."""
    return graph_from_files({name: (folder / name).read_bytes() for name in ("graph.json", "weights.npz")})


def graph_digest(graph: Graph) -> str:
    """Return a SHA-256 of the graph's content."""
    return graph_files(graph).digest()


def npz_bytes(arrays: dict[str, np.ndarray[Any, Any]]) -> bytes:
    """Return arrays as an npz with fixed timestamps, so that equal content gives equal bytes."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue(), zipfile.ZIP_DEFLATED)
    return target.getvalue()


def _storable(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Big integers travel as decimal strings; the rest as int64."""
    return array.astype(str) if array.dtype == object else array.astype(np.int64)


def _node(row: dict[str, Any], arrays: Any) -> Node:
    kind = KINDS[row["kind"]]
    values: dict[str, Any] = {}
    for field in fields(kind):
        if field.name not in row:
            continue
        value = row[field.name]
        if isinstance(value, dict) and "array" in value:
            stored = arrays[value["array"]]
            value = stored if stored.dtype == np.int64 else np.vectorize(int, otypes=[object])(stored)
        elif isinstance(value, dict):
            value = FixedPoint.parse(value["fixed"])
        elif isinstance(value, list):
            value = tuple(value)
        values[field.name] = value
    return kind(**values)
