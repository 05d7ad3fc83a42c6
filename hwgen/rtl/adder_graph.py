"""Constant matrix-vector products as shared shift-and-add graphs: the one door to alkaid.

alkaid (da4ml's successor, LGPL-3.0) solves the constant-matrix problem; its Verilog, relu and quantize helpers
are not used. Every name of alkaid that hwgen touches stands in this file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.errors import NumericsError
from hwgen.files import json_bytes, write_if_changed

SPLIT_NONZEROS = 4000
"""Kernels with more non-zeros are solved in groups of columns: the solver's time grows faster than its input."""

FLOAT32_EXACT = 1 << 24

METHODS = ("wmc", "mc", "wmc-pdc")
"""The solver's ways to choose the next shared sum that are tried; the cheapest result is kept."""

ORDERS_NONZEROS = 12_000
"""The solver is greedy and depends on the order of rows and columns, by about 1 %. Small kernels are solved in several
orders: about this many non-zeros in all."""


@dataclass(frozen=True)
class Adder:
    """``a + (b << shift)`` or ``a - (b << shift)``; `shift` may be negative: then a is shifted instead.

    Operands below the number of inputs are inputs; the others are earlier adders.
    """

    a: int
    b: int
    shift: int
    subtract: bool


@dataclass(frozen=True)
class AdderGraph:
    """Adders in dependency order, and per output ``(operand or None for zero, shift, negated)``."""

    n_inputs: int
    adders: tuple[Adder, ...]
    outputs: tuple[tuple[int | None, int, bool], ...]


def solve(
    kernel: np.ndarray[Any, Any], ranges: Sequence[tuple[int, int]], cache: Path | None = None, hard_dc: int = -1
) -> AdderGraph:
    """Return an adder graph for ``y[j] = sum_i x[i] * kernel[i, j]``.

    Parameters
    ----------
    kernel : integers, shape (n_in, n_out)
    ranges : (lo, hi) of every input, inclusive
    cache : folder, optional
        Solutions are kept here by content.
    hard_dc : int
        alkaid's delay constraint: extra adder levels allowed over the minimum; -1 for none.

    Raises
    ------
    NumericsError
        If an entry needs more than 24 bits (alkaid's kernel is float32).
    """
    if kernel.size and int(np.abs(kernel).max()) >= FLOAT32_EXACT:
        raise NumericsError("a weight needs more than 24 bits", found=str(np.abs(kernel).max()), expected="< 2**24")
    key = _key(kernel, ranges, hard_dc)
    path = cache / "adder_graphs" / f"{key}.json" if cache else None
    if path and path.is_file():
        return _from_json(json.loads(path.read_bytes()))
    pieces = []
    for columns in _column_groups(kernel):
        pieces.append((columns, _solve_piece(kernel[:, columns], ranges, hard_dc)))
    graph = _join(kernel.shape, pieces)
    if path:
        write_if_changed(path, json_bytes(_to_json(graph)))
    return graph


def _column_groups(kernel: np.ndarray[Any, Any]) -> list[list[int]]:
    """Cut the columns so that no group holds many more than SPLIT_NONZEROS non-zeros."""
    counts = np.count_nonzero(kernel, axis=0)
    n_groups = max(1, -(-int(counts.sum()) // SPLIT_NONZEROS))
    groups: list[list[int]] = [[] for _ in range(n_groups)]
    for column in range(kernel.shape[1]):
        groups[column * n_groups // kernel.shape[1]].append(column)
    return [g for g in groups if g]


def _solve_piece(kernel: np.ndarray[Any, Any], ranges: Sequence[tuple[int, int]], hard_dc: int) -> AdderGraph:
    from alkaid.cmvm import cmvm_solve

    intervals = [(float(lo), float(hi), 1.0) for lo, hi in ranges]
    rng = np.random.default_rng(0)
    best: tuple[float, Any, Any, Any] | None = None
    for attempt in range(max(1, min(16, ORDERS_NONZEROS // max(1, int(np.count_nonzero(kernel)))))):
        rows, columns = (np.arange(n) if attempt == 0 else rng.permutation(n) for n in kernel.shape)
        # The solver reads memory in C order whatever the array says: a column-ordered kernel gives another matrix.
        matrix = np.ascontiguousarray(kernel[rows][:, columns], dtype=np.float32)
        ordered = [intervals[i] for i in rows]
        for method in METHODS if attempt == 0 else (METHODS[attempt % len(METHODS)],):
            stages = cmvm_solve(matrix, method0=method, qintervals=ordered, hard_dc=hard_dc)
            cost = sum(op.cost for stage in stages for op in stage.ops)
            if best is None or cost < best[0]:
                best = (cost, stages, rows, columns)
    assert best is not None
    _, stages, rows, columns = best
    adders: list[Adder] = []
    # Current operands of the stage's inputs: (index, shift, negated).
    current: list[tuple[int | None, int, bool]] = [(int(i), 0, False) for i in rows]
    for stage in stages:
        current = _append_stage(stage, current, adders, kernel.shape[0])
    outputs = [current[int(np.flatnonzero(columns == j)[0])] for j in range(kernel.shape[1])]
    return AdderGraph(kernel.shape[0], tuple(adders), tuple(outputs))


def _append_stage(
    stage: Any, inputs: list[tuple[int | None, int, bool]], adders: list[Adder], n_inputs: int
) -> list[tuple[int | None, int, bool]]:
    """Append one alkaid program; signs and shifts of its inputs travel into the adders."""
    buffer: list[tuple[int | None, int, bool]] = []
    for op in stage.ops:
        match op.opcode:
            case -1:
                index, shift, negated = inputs[op.data[0]]
                buffer.append((index, shift + stage.inp_shifts[op.data[0]], negated))
            case 0 | 1:
                buffer.append(_append_adder(buffer, op, adders, n_inputs))
            case -2:
                index, shift, negated = buffer[op.addr[0]]
                buffer.append((index, shift, not negated))
            case _:
                raise NotImplementedError(f"alkaid's solver gave opcode {op.opcode}; expected copies and adders")
    outputs: list[tuple[int | None, int, bool]] = []
    for where, shift, negate in zip(stage.out_idxs, stage.out_shifts, stage.out_negs, strict=True):
        if where < 0:
            outputs.append((None, 0, False))
        else:
            index, own, negated = buffer[where]
            outputs.append((index, own + shift, negated != bool(negate)))
    return outputs


def _append_adder(
    buffer: list[tuple[int | None, int, bool]], op: Any, adders: list[Adder], n_inputs: int
) -> tuple[int | None, int, bool]:
    """Append ``buffer[a] ± (buffer[b] << s)`` with its operands' own shifts and signs taken out."""
    (a, shift_a, neg_a), (b, shift_b, neg_b) = buffer[op.addr[0]], buffer[op.addr[1]]
    shift_b += op.data[0]
    neg_b = neg_b != (op.opcode == 1)
    if a is None or b is None:
        raise NotImplementedError("alkaid's solver added a zero")
    if neg_a and not neg_b:  # -a + b = b - a
        a, shift_a, b, shift_b = b, shift_b, a, shift_a
        neg_a, neg_b = False, True
    negated = neg_a and neg_b
    adders.append(Adder(a, b, shift_b - shift_a, neg_b and not negated))
    return n_inputs + len(adders) - 1, min(shift_a, shift_b), negated


def _join(shape: tuple[int, ...], pieces: list[tuple[list[int], AdderGraph]]) -> AdderGraph:
    """Put the graphs of column groups side by side."""
    n_in, n_out = shape
    adders: list[Adder] = []
    outputs: list[tuple[int | None, int, bool]] = [(None, 0, False)] * n_out
    for columns, piece in pieces:
        base = len(adders)

        def moved(index: int, base: int = base) -> int:
            return index if index < n_in else index + base

        adders += [Adder(moved(x.a), moved(x.b), x.shift, x.subtract) for x in piece.adders]
        for column, (index, shift, negated) in zip(columns, piece.outputs, strict=True):
            outputs[column] = (None if index is None else moved(index), shift, negated)
    return AdderGraph(n_in, tuple(adders), tuple(outputs))


def _key(kernel: np.ndarray[Any, Any], ranges: Sequence[tuple[int, int]], hard_dc: int) -> str:
    total = hashlib.sha256(
        f"alkaid {version('alkaid')} {SPLIT_NONZEROS} {hard_dc} {kernel.shape} {list(ranges)}".encode()
    )
    total.update(np.ascontiguousarray(kernel.astype(np.int64)).tobytes())
    return total.hexdigest()


def _to_json(graph: AdderGraph) -> dict[str, Any]:
    return {
        "n_inputs": graph.n_inputs,
        "adders": [[x.a, x.b, x.shift, int(x.subtract)] for x in graph.adders],
        "outputs": [[i, s, int(n)] for i, s, n in graph.outputs],
    }


def _from_json(document: dict[str, Any]) -> AdderGraph:
    return AdderGraph(
        document["n_inputs"],
        tuple(Adder(a, b, s, bool(m)) for a, b, s, m in document["adders"]),
        tuple((i, s, bool(n)) for i, s, n in document["outputs"]),
    )
