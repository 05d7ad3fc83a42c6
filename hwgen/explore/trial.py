"""One trial: a model.yaml in, its figures out. Runs in a worker, which may be killed at any time.

Trials that ask for the same training, or the same compression, share it: `networks/<key>/` in the search's folder is a
build folder of `hwgen build` that ends after `compress`, found by the keys of its stages.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwgen.digests import digest_of
from hwgen.errors import DataError, HwgenError
from hwgen.files import json_bytes, write_if_changed
from hwgen.flow import STAGES, FlowOptions, run_flow, stage_key
from hwgen.quiet import quiet
from hwgen.report.progress import Silent
from hwgen.spec import ModelSpec, load_spec

if TYPE_CHECKING:
    from hwgen.ir import Graph
    from hwgen.train.data import DataSet

Progress = Callable[[str, float | None], None]
Result = dict[str, Any]
"""``{"status": "done", "figures", "test", "metric", "network"}`` or ``{"status": "failed", "error"}``; a worker that
died adds ``"died": True``. Plain values."""

TRAIN, COMPRESS = (next(stage for stage in STAGES if stage.name == name) for name in ("train", "compress"))


def trial_folder(out: Path, number: int) -> Path:
    """Return where a trial's model.yaml, log and result are."""
    return out / "trials" / f"{number:03d}"


def run_trial(out: Path, number: int, measured_on: str, progress: Progress) -> Result:
    """Train, compress, lower and plan the network of a trial; whatever goes wrong is a failed trial, not an error.

    Parameters
    ----------
    out : the search's folder, with ``trials/NNN/model.yaml``
    measured_on : "validation" or "test"
    """
    folder = trial_folder(out, number)
    if not (folder / "model.yaml").is_file():
        return {
            "status": "failed",
            "error": f"{folder / 'model.yaml'} is not there: is this folder shared by all nodes?",
        }
    with quiet(folder / "trial.log"):
        try:
            result = _measure(out, folder, measured_on, progress)
        except HwgenError as error:
            result = {"status": "failed", "error": error.render().replace(f"{out}{os.sep}", "")}
        except Exception as error:  # a bug, or no memory: it costs this trial and no other
            traceback.print_exc()
            result = {"status": "failed", "error": f"{type(error).__name__}: {error} (the traceback is in trial.log)"}
    write_if_changed(folder / "result.json", json_bytes({"version": 1, "number": number, **result}))
    return result


def _measure(out: Path, folder: Path, measured_on: str, progress: Progress) -> Result:
    from hwgen.cost.estimate import estimate_plan
    from hwgen.lower import check_model, lower_model
    from hwgen.planning import plan_network
    from hwgen.train.data import load_data
    from hwgen.train.outputs import judged_by, output_names
    from hwgen.train.store import load_model

    spec = load_spec(folder / "model.yaml")
    network = prepared_network(spec, out, progress)
    progress("lowering", None)
    data = load_data(spec)
    model = load_model(network / "compress" / "model.keras")
    check_model(model, spec)
    graph = lower_model(model, spec, progress).graph
    progress("planning", None)
    estimate = asdict(estimate_plan(plan_network(graph, spec)))
    period = spec.hardware.clock_period_ns
    figures = {
        "accuracy": None,
        "latency_us": estimate["latency_cycles"] * period / 1000,
        "interval_us": estimate["interval_cycles"] * period / 1000,
        **estimate,
    }
    result: Result = {"status": "done", "figures": figures, "test": None, "metric": None, "network": network.name}
    if data is not None:
        progress("evaluating the graph", None)
        result["metric"] = judged_by(spec, data)
        names = output_names(model)
        result["test"] = _score(spec, data, graph, names)
        judged = _set_aside(spec, data) if measured_on == "validation" else data
        figures["accuracy"] = _score(spec, judged, graph, names) if judged is not data else result["test"]
    return result


def _score(spec: ModelSpec, data: DataSet, graph: Graph, names: list[str]) -> float:
    from hwgen.report.score import graph_scores
    from hwgen.stages import on_grid

    return graph_scores(spec, data, graph, graph.evaluate(on_grid(graph, data) or {}), names).score


def _set_aside(spec: ModelSpec, data: DataSet) -> DataSet:
    """Return `data` with the validation slice of its training part in the place of the test part.

    Raises
    ------
    DataError
        If the training part is too small to have one.
    """
    from hwgen.train.loop import validation_part

    samples = len(data.xs_train[0])
    if samples < 2:
        raise DataError("too few samples to set some aside", found=str(samples), expected="measured_on: test")
    return validation_part(spec, data)


def prepared_network(spec: ModelSpec, out: Path, progress: Progress) -> Path:
    """Return the build folder with the trained and compressed network of `spec`, made if no trial has made it yet."""
    base = out / "networks"
    train_key = digest_of(stage_key(TRAIN, spec, base / "none"))
    compress_key = digest_of([train_key, stage_key(COMPRESS, spec, base / "none")])
    trained, compressed = base / f"t-{train_key[:16]}", base / f"c-{compress_key[:16]}"
    base.mkdir(parents=True, exist_ok=True)
    with _locked(trained):
        _run(spec, trained, "train", progress)
    with _locked(compressed):
        if not compressed.exists():
            copy_build(trained, compressed)
        _run(spec, compressed, "compress", progress)
    return compressed


def copy_build(source: Path, target: Path) -> None:
    """Copy a build folder, whole or not at all."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".copy-") as scratch:
        whole = Path(scratch) / "whole"
        shutil.copytree(source, whole, ignore=shutil.ignore_patterns(".lock", "logs"))
        whole.rename(target)


def _run(spec: ModelSpec, folder: Path, last: str, progress: Progress) -> None:
    class Told(Silent):
        def update(self, message: str, fraction: float | None = None) -> None:
            progress(message, fraction)

    run_flow(spec, folder, FlowOptions(last=last), Told())


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold `folder` against the other workers; a worker that dies lets go."""
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
