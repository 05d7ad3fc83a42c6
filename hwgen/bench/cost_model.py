"""Predicted against synthesized cost, design by design (20 minutes; seconds when the syntheses are kept).

    python -m hwgen.bench.cost_model [--calibrate]

Every design of `hwgen.bench.cost_designs` is synthesized with yosys, each layer or stage optimised alone as
`hwgen cost` does, and the cells are kept by content in hwgen's cache. `--calibrate` fits the LUTs a feature takes to
the families that calibration may see and writes them to hwgen/cost/calibrated.py. The others are what the bars are for.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
from scipy.optimize import lsq_linear

from hwgen.bench.cost_designs import Design, designs
from hwgen.bench.result import Options, Result, Row
from hwgen.cost import calibrated
from hwgen.cost.calibrated import LUTS
from hwgen.cost.calibration import PRIOR
from hwgen.cost.counts import Counts
from hwgen.cost.predict import TOP, layer_counts, layer_of
from hwgen.files import FileSet
from hwgen.rtl import emit, plan
from hwgen.rtl.generate import Plan
from hwgen.rtl.stream import emit_stream, plan_stream
from hwgen.rtl.stream.generate import StreamPlan
from hwgen.tools import cache_dir, yosys

KEPT = cache_dir() / "cost_model"
CALIBRATED = Path(calibrated.__file__)

MEDIAN_ERROR, R_SQUARED, EXACT, HELD_OUT = 0.10, 0.95, 0.95, 40
"""The bars: median relative error and R² of LUT and FF, share of designs with exact DSP and BRAM, their number."""

METRICS = ("LUT", "FF", "DSP", "BRAM_18K")


@dataclass(frozen=True)
class Measured:
    """A design, its counts by layer, and what synthesis says by layer."""

    design: Design
    counts: dict[str, Counts]
    cells: dict[str, dict[str, float]]
    predict_s: float

    def predicted(self, coefficients: dict[str, float]) -> dict[str, float]:
        """Return the predicted total."""
        parts = list(self.counts.values())
        return {
            "LUT": sum(c.luts(coefficients) for c in parts),
            "FF": sum(c.ff for c in parts),
            "DSP": sum(c.dsp for c in parts),
            "BRAM_18K": sum(c.bram_18k for c in parts),
        }

    def synthesized(self) -> dict[str, float]:
        """Return the synthesized total."""
        return {key: sum(row[key] for row in self.cells.values()) for key in METRICS}


def planned(design: Design) -> Plan | StreamPlan:
    """Return the plan of a design."""
    if design.request is None:
        return plan(design.graph(), design.options)
    return plan_stream(design.graph(), design.options, design.request)


def sources_of(files: FileSet, top: str) -> list[str]:
    """Return the sources of the core alone, in compile order."""
    return [name for name in files[f"{top}.f"].decode().split() if "axis" not in name]


def synthesized(files: FileSet, top: str) -> dict[str, dict[str, int]]:
    """Return the cells by instance below the top (the top's own: ``""``), each optimised alone; kept by content."""
    names = sources_of(files, top)
    digest = hashlib.sha256(b"".join(files[n] for n in names) + b"xcup").hexdigest()[:24]
    kept = KEPT / f"{digest}.json"
    if not kept.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(synthesize(files, names, top)))
    return json.loads(kept.read_text())  # type: ignore[no-any-return]


def synthesize(files: FileSet, names: Sequence[str], top: str) -> dict[str, dict[str, int]]:
    """Return the cells by instance below the top, each optimised alone."""
    with tempfile.TemporaryDirectory(prefix="hwgen-cost-") as scratch:
        folder = Path(scratch)
        files.write(folder)
        yosys.script(
            [
                *(f"read_verilog -sv {folder / name}" for name in names),
                f"hierarchy -check -top {top}",
                "uniquify",
                f"setattr -mod -set keep_hierarchy 1 {top}/t:* %M",
                f"synth_xilinx -family xcup -flatten -noiopad -noclkbuf -top {top}",
                f"tee -q -o {folder / 'stat.json'} stat -json",
            ],
            log=folder / "yosys.log",
        )
        modules = json.loads((folder / "stat.json").read_text())["modules"]
    cells = {}
    for name, row in modules.items():
        plain = name.lstrip("\\")
        cells["" if plain == top else plain.rsplit(".", 1)[-1]] = {
            cell: int(n) for cell, n in row["num_cells_by_type"].items()
        }
    return cells


def measured(design: Design) -> Measured:
    """Plan, count and synthesize a design."""
    decided = planned(design)
    began = time.perf_counter()
    counts = layer_counts(decided)
    seconds = time.perf_counter() - began
    files = (emit(decided) if isinstance(decided, Plan) else emit_stream(decided)).files
    by_layer: dict[str, Counter[str]] = {}
    for instance, row in synthesized(files, decided.graph.name).items():
        by_layer.setdefault(_layer(decided, instance, counts), Counter()).update(row)
    return Measured(design, counts, {layer: _figures(row) for layer, row in by_layer.items()}, seconds)


def _layer(decided: Plan | StreamPlan, instance: str, counts: dict[str, Counts]) -> str:
    name = instance.removeprefix("u_")
    if isinstance(decided, StreamPlan):
        stages = {stage.name: stage for stage in decided.network.stages}
        return layer_of(decided.network, stages[name]) if name in stages else TOP
    return name if name in counts else TOP


def _figures(cells: Counter[str]) -> dict[str, float]:
    total = yosys.Synthesized(dict(cells), 0)
    blocks = cells["RAMB18E2"] + 2 * cells["RAMB36E2"]
    return {"LUT": total.lut, "FF": total.ff, "DSP": cells["DSP48E2"], "BRAM_18K": blocks}


def fitted(rows: Iterable[Measured]) -> dict[str, float]:
    """Return the LUTs a feature takes: least squares over layers, none negative, drawn to `PRIOR`."""
    pairs = [
        (m.counts.get(layer, Counts()), row["LUT"])
        for m in rows
        if not m.design.held_out
        for layer, row in m.cells.items()
    ]
    features = sorted(PRIOR)
    prior = np.array([PRIOR[key] for key in features])
    weight = np.array([1 / np.sqrt(max(5, lut)) for _, lut in pairs])
    matrix = np.array([[counts.features[key] for key in features] for counts, _ in pairs]) * weight[:, None]
    wanted = np.array([lut - counts.lut for counts, lut in pairs]) * weight
    pull = 3 / (0.5 * prior + 0.05)  # strong enough that no feature takes over another one's LUTs
    solution = lsq_linear(np.vstack([matrix, np.diag(pull)]), np.concatenate([wanted, prior * pull]), (0, np.inf)).x
    return {key: round(float(value), 3) for key, value in zip(features, solution, strict=True)}


def write_calibrated(coefficients: dict[str, float], designs_seen: int) -> None:
    """Write the fitted table as a module."""
    lines = [
        f'"""LUTs of a feature, fitted to {designs_seen} synthesized designs by `hwgen/bench/cost_model.py`."""',
        "",
        "from __future__ import annotations",
        "",
        "LUTS: dict[str, float] = {",
        *(f'    "{key}": {value},' for key, value in coefficients.items()),
        "}",
        "",
    ]
    CALIBRATED.write_text("\n".join(lines))


def statistics(rows: Sequence[Measured], coefficients: dict[str, float]) -> dict[str, dict[str, float]]:
    """Return, by metric, how far predictions are from synthesis."""
    result = {}
    for key in METRICS:
        wanted = np.array([m.synthesized()[key] for m in rows])
        found = np.array([m.predicted(coefficients)[key] for m in rows])
        error = np.abs(found - wanted) / np.maximum(wanted, 1)
        spread = float(((wanted - wanted.mean()) ** 2).sum())
        result[key] = {
            "designs": len(rows),
            "median": float(np.median(error)),
            "p90": float(np.quantile(error, 0.9)),
            "worst": float(error.max()),
            "r2": 1 - float(((found - wanted) ** 2).sum()) / spread if spread else 1.0,
            "exact": float(np.mean(np.round(found) == wanted)),
        }
    return result


def report(rows: Sequence[Measured], coefficients: dict[str, float]) -> dict[str, dict[str, dict[str, float]]]:
    """Print the statistics of all parts of the designs and return them."""
    parts = {
        "held out": [m for m in rows if m.design.held_out],
        "held out, dense": [m for m in rows if m.design.held_out and m.design.kind == "dense"],
        "held out, streaming": [m for m in rows if m.design.held_out and m.design.kind == "streaming"],
        "calibration": [m for m in rows if not m.design.held_out],
    }
    print(f"\n{'designs':22}{'metric':10}{'number':>7}{'median':>9}{'p90':>8}{'worst':>8}{'R2':>9}{'exact':>8}")
    result = {}
    for name, part in parts.items():
        if part:
            result[name] = statistics(part, coefficients)
            for key, s in result[name].items():
                print(
                    f"{name:22}{key:10}{s['designs']:7d}{s['median']:9.1%}{s['p90']:8.1%}{s['worst']:8.1%}"
                    f"{s['r2']:9.4f}{s['exact']:8.1%}"
                )
    return result


def reached(result: dict[str, dict[str, dict[str, float]]]) -> bool:
    """Return whether every bar is reached, dense and streaming each."""
    parts = [result.get(name, {}) for name in ("held out, dense", "held out, streaming")]
    if not all(parts) or result["held out"]["LUT"]["designs"] < HELD_OUT:
        return False
    sizes = all(p[k]["median"] <= MEDIAN_ERROR and p[k]["r2"] >= R_SQUARED for p in parts for k in ("LUT", "FF"))
    return sizes and all(p[k]["exact"] >= EXACT for p in parts for k in ("DSP", "BRAM_18K"))


def in_turn(every: Sequence[Design]) -> list[Design]:
    """Return the designs so that each kind comes up early."""
    kinds = [
        [d for d in every if (d.kind, d.held_out) == k]
        for k in (("streaming", False), ("dense", False), ("streaming", True), ("dense", True))
    ]
    return [d for row in zip_longest(*kinds) for d in row if d]


def main() -> int:
    """Synthesize (or recall) all designs, compare, and say whether the bars are reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default="", help="designs or families whose name has this")
    parser.add_argument("--calibrate", action="store_true", help="fit anew, and write hwgen/cost/calibrated.py")
    parser.add_argument("--kept", action="store_true", help="only designs whose synthesis is kept")
    parser.add_argument("--out", type=Path, help="a JSON file for the results")
    args = parser.parse_args()
    rows = []
    for design in in_turn([d for d in designs() if args.only in d.name or args.only in d.family]):
        if args.kept and not _is_kept(design):
            continue
        row = measured(design)
        rows.append(row)
        wanted, found = row.synthesized(), row.predicted(LUTS if not args.calibrate else PRIOR)
        print(f"{design.name:20}" + "".join(f"  {k} {found[k]:.0f}/{wanted[k]:.0f}" for k in METRICS), flush=True)
    coefficients = LUTS
    if args.calibrate:
        coefficients = fitted(rows)
        write_calibrated(coefficients, sum(not m.design.held_out for m in rows))
    result = report(rows, coefficients)
    if args.out:
        designs_out = [
            {"name": m.design.name, "family": m.design.family, "held_out": m.design.held_out}
            | {"predicted": m.predicted(coefficients), "synthesized": m.synthesized(), "seconds": m.predict_s}
            for m in rows
        ]
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps({"statistics": result, "designs": designs_out}, indent=1))
    return 0 if reached(result) else 1


def run(options: Options) -> Result:
    """Synthesize (or recall) all designs and return, of those that calibration never saw, how far predictions are."""
    if options.quick:
        return Result([Row("designs", "designs that calibration did not see", None, reason="left out by --quick")])
    found = report([measured(design) for design in in_turn(list(designs()))], LUTS)
    rows = [
        Row("designs", "designs that calibration did not see", found["held out"]["LUT"]["designs"], at_least=HELD_OUT)
    ]
    for kind in ("dense", "streaming"):
        part = found[f"held out, {kind}"]
        for key in ("LUT", "FF"):
            what = f"predicted {key}, {kind}: median error"
            rows.append(Row(f"{kind}_{key}_median", what, part[key]["median"], at_most=MEDIAN_ERROR))
            rows.append(Row(f"{kind}_{key}_r2", "… R²", part[key]["r2"], at_least=R_SQUARED))
        for key in ("DSP", "BRAM_18K"):
            what = f"predicted {key}, {kind}: share of designs exact"
            rows.append(Row(f"{kind}_{key}_exact", what, part[key]["exact"], at_least=EXACT))
    return Result(rows, {"statistics": found})


def _is_kept(design: Design) -> bool:
    decided = planned(design)
    files = (emit(decided) if isinstance(decided, Plan) else emit_stream(decided)).files
    names = sources_of(files, decided.graph.name)
    digest = hashlib.sha256(b"".join(files[n] for n in names) + b"xcup").hexdigest()[:24]
    return (KEPT / f"{digest}.json").exists()


if __name__ == "__main__":
    sys.exit(main())
