"""`hwgen.build(...)` and `hwgen.show(...)`: the commands from Python, with typed results."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwgen.errors import HwgenError, OutputError
from hwgen.files import json_bytes, write_if_changed
from hwgen.flow import STAGE_NAMES, STAGES, FlowOptions, Screen, StageRun, check_stages, run_flow, seconds_of
from hwgen.folder import EVIDENCE, BuildFolder, read_manifest
from hwgen.report.collect import Pair, Report, collect
from hwgen.report.junit import junit
from hwgen.report.progress import Silent
from hwgen.spec import ModelSpec, load_spec

if TYPE_CHECKING:
    from hwgen.handoff import Handoff
    from hwgen.sim.evidence import Evidence

STAGE_WRITES = {stage.name: stage.writes for stage in STAGES}


@dataclass(frozen=True)
class BuildResult:
    """What `build` returns.

    Parameters
    ----------
    status : "PASS", "FAIL", "UNMET" (a requirement), "NOT RUN" (a tool is missing or did not finish) or "PARTIAL"
        (stopped by `to_stage`)
    exit_status : what the command line would return
    folder : the build folder
    report : every figure of the table
    """

    status: str
    exit_status: int
    folder: Path
    report: Report


def build(
    file: str | Path,
    *,
    out: str | Path | None = None,
    from_stage: str | None = None,
    to_stage: str | None = None,
    overrides: Sequence[str] = (),
    force: bool = False,
    retrain: bool = False,
    trust: bool = False,
    screen: Screen | None = None,
) -> BuildResult:
    """Build a model.yaml: train, compress, lower, generate, verify; what is up to date is not done again.

    Parameters
    ----------
    file : path of the model.yaml
    out : the build folder; default: `outputs.dir`, else ``hls_projects/<model.name>``
    from_stage, to_stage : as ``--from`` and ``--to``
    overrides : as ``--set``: ``["hardware.clock_period_ns=3"]``
    force, retrain, trust : as the options of the command
    screen : told of progress; default: silent

    Raises
    ------
    HwgenError
        For bad input, a failed proof, an output folder that cannot be written. A mismatch between RTL and graph, an
        unmet requirement or a missing simulator do not raise: they are the result's status.
    """
    check_stages(from_stage, to_stage)
    spec = load_spec(file, overrides)
    folder = output_folder(spec, out)
    options = FlowOptions(first=from_stage, last=to_stage, force=force, retrain=retrain, trust=trust)
    flow = run_flow(spec, folder, options, screen or Silent())
    missing = flow.missing.what if flow.missing else None
    report = collect(spec, folder, seconds_of(flow.runs), missing, to_stage)
    if spec.outputs.report:
        write_report(report, folder)
    return BuildResult(report.status, report.exit_status, folder, report)


def show(folder: str | Path) -> BuildResult:
    """Read the result of an earlier build; nothing is run.

    Raises
    ------
    OutputError
        If the folder is not a build folder.
    """
    folder = Path(folder)
    stages = read_manifest(folder)
    if not (folder / "resolved.yaml").is_file() or "spec" not in stages:
        raise OutputError(
            "not a build folder",
            where=str(folder),
            expected="a folder that `hwgen build` made",
            hint="hwgen build FILE",
        )
    spec = load_spec(folder / "resolved.yaml", files=False)
    seconds = {name: stages[name].get("seconds") for name in STAGE_NAMES if name in stages}
    if (folder / EVIDENCE).is_file():
        seconds.setdefault("verify", None)  # a verification that failed is not complete, but it is there
    report = collect(spec, folder, seconds)
    return BuildResult(report.status, report.exit_status, folder, report)


def page_of(folder: str | Path) -> Path:
    """Return the path of a build folder's report.html, written from what the folder says now.

    Raises
    ------
    OutputError
        If the folder is not a build folder, or cannot be written.
    """
    from hwgen.report.page import PAGE, write_page

    folder = Path(folder)
    write_page(show(folder).report, folder)
    return folder / PAGE


def verify_folder(
    folder: str | Path,
    *,
    vectors: str | int | None = None,
    seed: int | None = None,
    only: str | None = None,
    waves: bool = False,
    netlist: bool = False,
    emulator: bool = False,
    screen: Screen | None = None,
) -> BuildResult:
    """Simulate the RTL of a build folder again, without TensorFlow; the evidence there is replaced.

    Parameters
    ----------
    folder : a build folder
    vectors : test frames to simulate: a number, "all" or "auto"; default: as the build was asked
    seed : of stalls, gaps, resets and register contents; default: as the build was asked
    only : one vector, as "random:812"; the evidence is then left as it is
    waves : write a waveform
    netlist, emulator : check the synthesized netlist, the C++ emulator, even if the build did not ask for it
    screen : told of progress; default: silent

    Raises
    ------
    HwgenError
        If the folder is not a build folder with RTL, or the simulation cannot run.
    """
    from hwgen.sim.verify import VerifyOptions, verify

    folder, screen = Path(folder), screen or Silent()
    before = show(folder)
    spec = load_spec(folder / "resolved.yaml", files=False)
    options = VerifyOptions(
        vectors=_count(vectors) if vectors is not None else spec.verify.vectors,
        seed=spec.verify.seed if seed is None else seed,
        only=only,
        waves="always" if waves else spec.verify.waves,
        stalls=spec.verify.stalls,
        budget_s=spec.verify.budget_s,
        netlist=netlist or spec.verify.netlist,
        emulator=emulator or spec.outputs.emulator,
        part=spec.hardware.part,
    )
    screen.start("verify")
    start = time.monotonic()
    with BuildFolder(folder) as held:
        evidence = verify(folder, options, screen.update)
        if only is None:
            held.replaced("verify", STAGE_WRITES["verify"], complete=evidence.status == "PASS")
    run = StageRun("verify", time.monotonic() - start)
    screen.done(run)
    if only is not None:
        return _replay(spec, folder, before.report, evidence)
    report = collect(spec, folder, before.report.stages | seconds_of([run]))
    if spec.outputs.report:
        write_report(report, folder)
    return BuildResult(report.status, report.exit_status, folder, report)


def hand_over(folder: str | Path, targets: Sequence[str]) -> list[Handoff]:
    """Write ``handoff/<target>/`` of a build folder: self-contained folders for the tools that come next.

    Parameters
    ----------
    folder : a build folder whose verification is PASS
    targets : names out of `hwgen.handoff.TARGETS`, as ``["vivado"]``

    Raises
    ------
    HwgenError
        For an unknown target, a folder without a verified design, a design that does not fit a target.
    """
    from hwgen.handoff import check_targets
    from hwgen.handoff import hand_over as write

    folder = Path(folder)
    check_targets(targets)
    if not (folder / "manifest.json").is_file():
        raise OutputError("not a build folder", where=str(folder), hint="hwgen build FILE")
    with BuildFolder(folder) as held:
        made = write(folder, targets)
        held.replaced("handoff", STAGE_WRITES["handoff"], complete=True)
    return made


def _replay(spec: ModelSpec, folder: Path, before: Report, evidence: Evidence) -> BuildResult:
    """Return the result of one vector: FAIL with the place it differs, or PARTIAL: it proves nothing of the others."""
    rows = evidence.document.get("pairs") or []
    wrong = any(row["mismatches"] for row in rows)
    report = replace(
        before,
        status="FAIL" if wrong else "PARTIAL",
        reason=None if wrong else "this one vector agrees; nothing else was run",
        pairs=tuple(Pair(r["a"], r["b"], r["vectors"], r["mismatches"], {}) for r in rows),
        mismatch=evidence.mismatch,
        failed=(),
    )
    return BuildResult(report.status, report.exit_status, folder, report)


def _count(vectors: str | int) -> Any:
    if vectors in ("all", "auto") or isinstance(vectors, int):
        return vectors
    if vectors.isdecimal() and int(vectors) > 0:
        return int(vectors)
    raise HwgenError("not a number of vectors", where="--vectors", found=vectors, expected="a number, all or auto")


def output_folder(spec: ModelSpec, out: str | Path | None = None) -> Path:
    """Return the build folder: `out`, else `outputs.dir`, else ``hls_projects/<model.name>`` here."""
    if out is not None:
        return Path(out)
    if spec.outputs.dir is not None:
        return _shortest(spec.base_dir / spec.outputs.dir)
    return Path("hls_projects") / spec.model.name


def _shortest(path: Path) -> Path:
    """Return `path` relative to the current folder if it is below it."""
    path, here = path.resolve(), Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def write_report(report: Report, folder: Path) -> None:
    """Write reports/build.json and reports/build.junit.xml, and the page: report.html and report.json."""
    from hwgen.report.page import write_page

    write_if_changed(folder / "reports" / "build.json", json_bytes(report.to_json()))
    write_if_changed(folder / "reports" / "build.junit.xml", junit(report))
    write_page(report, folder)
