"""`hwgen scan`: what each layer of a network bears, as a table and as JSON."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwgen.errors import HwgenError
from hwgen.files import json_bytes, write_if_changed

if TYPE_CHECKING:
    from hwgen.flow import Screen
    from hwgen.train.compress.scan import LayerScan, Scan

REPORT = "reports/scan.json"
WIDTH = 200
"""Columns that the table may take; it takes about 130."""


@dataclass(frozen=True)
class Scanned:
    """A scan, and the build folder in which ``reports/scan.json`` says the same."""

    scan: Scan
    folder: Path

    def to_json(self) -> dict[str, Any]:
        """Return the scan as plain values; settings are keys as text."""
        found = self.scan
        return {
            "version": 1,
            "metric": found.metric,
            "baseline": found.baseline,
            "frames": found.frames,
            "max_drop": found.max_drop,
            "layers": [
                {
                    "layer": row.layer,
                    "kind": row.kind,
                    "weights": row.weights,
                    "sparsity": _texts(row.sparsity),
                    "bits": _texts(row.bits),
                    "rank": _texts(row.rank),
                    "holds": row.holds,
                }
                for row in found.layers
            ],
        }

    def text(self) -> str:
        """Return the table: what is lost at each setting in %, and up to where each layer holds."""
        from rich.console import Console
        from rich.table import Table

        from hwgen.train.compress.scan import BITS, RANKS, SPARSITIES

        found = self.scan
        what = "points" if found.drop(found.baseline - 1) == 1 else "% of it"
        title = f"{found.metric} {found.baseline:.4g} on {found.frames:,} samples of the training part; lost, in {what}"
        table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1))
        table.add_column("layer", no_wrap=True)
        table.add_column("weights", justify="right", no_wrap=True)
        heads = [f"{s:.0%} 0" for s in SPARSITIES] + [f"{b} bit" for b in BITS] + [f"rk {r:.0%}" for r in RANKS]
        for head in heads:
            table.add_column(head, justify="right", no_wrap=True)
        table.add_column(f"holds within {found.max_drop:g} up to", no_wrap=True)
        for row in found.layers:
            cells = [*self._cells(row.sparsity, SPARSITIES), *self._cells(row.bits, BITS)]
            cells += self._cells(row.rank, RANKS)
            table.add_row(row.layer, f"{row.weights:,}", *cells, holds(row))
        stream = io.StringIO()
        Console(file=stream, width=WIDTH).print(table)
        return "\n".join(line.rstrip() for line in stream.getvalue().rstrip().splitlines())

    def _cells(self, values: Mapping[Any, float], settings: Sequence[Any]) -> list[str]:
        return [f"{100 * self.scan.drop(values[s]):.1f}" if s in values else "" for s in settings]


def holds(row: LayerScan) -> str:
    """Return a layer's suggestion in words."""
    sparsity, bits, rank = (row.holds[key] for key in ("sparsity", "bits", "rank"))
    parts = [f"{sparsity:.0%} zeros" if sparsity is not None else "no zeros"]
    if row.bits:
        parts.append(f"{bits:.0f} bits" if bits is not None else "none of these bits")
    if row.rank:
        parts.append(f"rank {rank:.0%}" if rank is not None else "full rank")
    return ", ".join(parts)


def scan(
    file: str | Path,
    *,
    out: str | Path | None = None,
    overrides: Sequence[str] = (),
    max_drop: float = 0.01,
    screen: Screen | None = None,
) -> Scanned:
    """Train the network of a model.yaml if it is not, and measure what each layer bears.

    Parameters
    ----------
    file, out, overrides, screen : as in `hwgen.build`
    max_drop : what may be lost: of accuracy and auc absolutely, of errors as a share

    Raises
    ------
    HwgenError
        For bad input, or if there is no data.
    """
    from hwgen.api import build, output_folder
    from hwgen.quiet import quiet
    from hwgen.report.progress import Silent
    from hwgen.spec import load_spec
    from hwgen.train.data import load_data

    screen = screen or Silent()
    if not 0 <= max_drop < 1:
        raise HwgenError("not a share", where="--max-drop", found=f"{max_drop:g}", expected="0 or more, less than 1")
    spec = load_spec(file, overrides)
    data = load_data(spec)
    if data is None:
        where = f"{spec.line_of('model')}: data"
        raise HwgenError("a scan measures the metric, which needs data", where=where, expected="a data section")
    folder = output_folder(spec, out)
    build(file, out=folder, to_stage="train", overrides=overrides, screen=screen)
    with quiet(folder / "logs" / "scan.log"):
        from hwgen.train.compress.scan import scan_model
        from hwgen.train.store import load_model

        screen.start("scan")
        model = load_model(folder / "train" / "model.keras")
        result = Scanned(scan_model(spec, data, model, max_drop, screen.update), folder)
    write_if_changed(folder / REPORT, json_bytes(result.to_json()))
    return result


def _texts(values: Mapping[Any, float]) -> dict[str, float]:
    return {f"{setting:g}": value for setting, value in values.items()}
