"""The command line. Everything heavy is imported inside the commands, so that `hwgen --help` answers at once."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

import hwgen
from hwgen import interrupts
from hwgen.errors import ErrorList, HwgenError

app = typer.Typer(
    name="hwgen",
    help="Quantized neural networks into hardware that can be trusted: model.yaml in; HLS C++, SystemVerilog and the "
    "evidence that they agree, bit for bit and cycle for cycle, out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only the last line; errors still show.")]
INTERRUPTED = 130


@app.callback(invoke_without_command=True)
def _main(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"hwgen {hwgen.__version__}")
        raise typer.Exit


@app.command()
def build(
    file: Annotated[Path, typer.Argument(help="A model.yaml.", show_default=False)],
    from_stage: Annotated[str | None, typer.Option("--from", help="Redo this stage and all later ones.")] = None,
    to_stage: Annotated[str | None, typer.Option("--to", help="Stop after this stage.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Override a key: --set hardware.clock_period_ns=3 (repeatable).")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Build folder (default: hls_projects/<model.name>).")
    ] = None,
    retrain: Annotated[
        bool,
        typer.Option(
            "--retrain",
            help="Train and compress anew; with --from compress, compress alone.",
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Redo every stage.")] = False,
    trust: Annotated[bool, typer.Option("--trust", help="Load model files that run code.")] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train, compress, lower, generate, verify, cost, hand over.

    Stages: spec, train, compress, lower, rtl, verify, cost, handoff.

    What is up to date is not done again; an interrupted build resumes with the same command.
    """
    with _reported(out):
        from hwgen.api import build as run
        from hwgen.report.progress import Screen, Silent

        with Silent() if quiet else Screen() as screen:
            result = run(
                file,
                out=out,
                from_stage=from_stage,
                to_stage=to_stage,
                overrides=overrides or (),
                force=force,
                retrain=retrain,
                trust=trust,
                screen=screen,
            )
        _show(result, quiet=quiet, as_json=as_json)


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="A build folder.", show_default=False)],
    vectors: Annotated[str | None, typer.Option("--vectors", help="Test frames to simulate: N, all or auto.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of stalls, gaps, resets and register contents.")] = None,
    only: Annotated[str | None, typer.Option("--only", help="One vector, as random:812.")] = None,
    waves: Annotated[bool, typer.Option("--waves", help="Write a waveform.")] = False,
    netlist: Annotated[bool, typer.Option("--netlist", help="Synthesize, and simulate the netlist too.")] = False,
    emulator: Annotated[bool, typer.Option("--emulator", help="Write and check the C++ emulator too.")] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Simulate the RTL of a build folder again, without TensorFlow."""
    with _reported(folder):
        from hwgen.api import verify_folder
        from hwgen.report.progress import Screen, Silent

        with Silent() if quiet else Screen() as screen:
            result = verify_folder(
                folder,
                vectors=vectors,
                seed=seed,
                only=only,
                waves=waves,
                netlist=netlist,
                emulator=emulator,
                screen=screen,
            )
        _show(result, quiet=quiet or only is not None, as_json=as_json)


@app.command()
def cost(
    folders: Annotated[list[Path], typer.Argument(help="A build folder; with --compare several.", show_default=False)],
    part: Annotated[str | None, typer.Option("--part", help="Another part (default: hardware.part).")] = None,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="predicted, synthesized, placed, asic, energy (repeatable).")
    ] = None,
    limit: Annotated[
        float | None, typer.Option("--limit", help="Seconds of a synthesis (default: outputs.cost_budget_s).")
    ] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Show these builds side by side; nothing is run.")] = False,
    reports: Annotated[
        Path | None, typer.Option("--import", help="A folder of Vivado reports to read into the table.")
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Say what the design of a build folder takes on a device: predicted, synthesized, placed and routed."""
    with _reported(folders[0]):
        from hwgen.cost.command import compare_folders, cost_folder, cost_text
        from hwgen.report.progress import Screen, Silent

        if compare:
            found = compare_folders(folders)
            typer.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False) if as_json else found.text())
            return
        if len(folders) > 1:
            raise HwgenError("several build folders", where="hwgen cost", expected="one, or --compare")
        with Silent() if quiet else Screen() as screen:
            result = cost_folder(folders[0], part=part, kinds=kind or (), limit_s=limit, reports=reports, screen=screen)
        if as_json:
            typer.echo(json.dumps(result.to_json(), indent=2, ensure_ascii=False))
        else:
            typer.echo(cost_text(result, quiet=quiet))
        if result.exit_status:
            raise typer.Exit(result.exit_status)


@app.command()
def compare(
    targets: Annotated[
        list[Path],
        typer.Argument(help="model.yaml files, built if they are not; or build folders.", show_default=False),
    ],
    html: Annotated[
        Path | None, typer.Option("--html", help="Write a page with the tables and plots.", metavar="FILE")
    ] = None,
    cpu: Annotated[
        bool, typer.Option("--cpu", help="Also measure the networks here: TFLite int8 and float32, and a GPU.")
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Put builds side by side: accuracy, time, memory, multipliers, cost; each with its ratio to the first."""
    with _reported(None):
        from hwgen.compare import compare as side_by_side
        from hwgen.compare.page import check_page, write_page
        from hwgen.report.progress import Screen, Silent

        if html is not None:
            check_page(html)
        with Silent() if quiet or as_json else Screen() as screen:
            found = side_by_side(targets, screen, cpu=cpu)
        for title, column in zip(found.titles, found.columns, strict=True):
            if column.error is not None:
                typer.echo(f"error: {title}: {column.error}", err=True)
        typer.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False) if as_json else found.text())
        if html is not None:
            write_page(found, html)
            typer.echo(f"{html}   the page", err=as_json)
        if found.exit_status:
            raise typer.Exit(found.exit_status)


@app.command()
def scan(
    file: Annotated[Path, typer.Argument(help="A model.yaml.", show_default=False)],
    max_drop: Annotated[float, typer.Option("--max-drop", help="How much of the metric may be lost.")] = 0.01,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="Override a key, as in build.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Build folder (default: hls_projects/<model.name>).")
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Say what each layer bears: the metric with zeros, fewer bits or a lower rank in that layer, not fine-tuned."""
    with _reported(out):
        from hwgen.report.progress import Screen, Silent
        from hwgen.scan import scan as measure

        with Silent() if quiet or as_json else Screen() as screen:
            found = measure(file, out=out, overrides=overrides or (), max_drop=max_drop, screen=screen)
        typer.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False) if as_json else found.text())


@app.command()
def explore(
    file: Annotated[Path, typer.Argument(help="An explore.yaml.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder (default: hls_projects/<model.name>_explore).")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Trials at a time (default: half the cores).")
    ] = None,
    ray: Annotated[str | None, typer.Option("--ray", help="Run trials on the Ray cluster at this address.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what an earlier search here has found.")] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Search reuse, bits, sparsity, rank, architecture: the Pareto front of accuracy, latency and cost.

    An interrupted search resumes with the same command.
    """
    with _reported(out):
        from hwgen.explore.screen import SearchScreen, Silent
        from hwgen.explore.search import explore as search

        with Silent() if quiet or as_json else SearchScreen() as screen:
            found = search(file, out=out, workers=workers, ray=ray, fresh=fresh, screen=screen)
        width = shutil.get_terminal_size((160, 24)).columns if sys.stdout.isatty() else 160
        if as_json:
            typer.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
        else:
            typer.echo(f"{found.counts()}   {found.folder}" if quiet else found.text(width))


@app.command()
def show(
    folder: Annotated[Path, typer.Argument(help="A build folder.")],
    html: Annotated[bool, typer.Option("--html", help="Open report.html in a browser; print its path.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the table of an earlier build; nothing is run."""
    with _reported(folder):
        from hwgen.api import page_of
        from hwgen.api import show as read

        if html:
            from hwgen.report.browser import open_page

            typer.echo(open_page(page_of(folder)))
            return
        _show(read(folder), quiet=False, as_json=as_json)


@app.command()
def handoff(
    folder: Annotated[Path, typer.Argument(help="A build folder whose verification is PASS.", show_default=False)],
    targets: Annotated[
        list[str],
        typer.Option("--target", "-t", help="vivado, vitis, pynq, asic or fusesoc (repeatable).", show_default=False),
    ],
    as_json: AsJson = False,
) -> None:
    """Write DIR/handoff/TARGET/: a self-contained folder for the tool that comes next, with the evidence."""
    with _reported(None):
        from hwgen.api import hand_over
        from hwgen.report.handed import handed_table

        made = hand_over(folder, targets)
        if as_json:
            rows = [{**vars(row), "folder": str(row.folder)} for row in made]
            typer.echo(json.dumps({"version": 1, "handoff": rows}, indent=2))
        else:
            typer.echo(handed_table(made))


@app.command()
def doctor(
    install: Annotated[bool, typer.Option("--install", help="Install what pip alone cannot.")] = False,
    as_json: AsJson = False,
) -> None:
    """List each tool: found, version, what its absence disables, how to get it."""
    with _reported(None):
        from dataclasses import asdict

        from hwgen.report.tools import tool_table
        from hwgen.tools import doctor as examiner

        if install:
            done = examiner.install()
            typer.echo(f"installed {', '.join(done)}" if done else "nothing to install", err=as_json)
        tools = examiner.examine()
        missing = [tool.name for tool in tools if tool.needed and tool.version is None]
        if as_json:
            typer.echo(json.dumps({"version": 1, "tools": [asdict(tool) for tool in tools]}, indent=2))
        else:
            typer.echo(tool_table(tools))
        if missing:
            raise typer.Exit(4)


@app.command()
def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Leave out what takes minutes.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Results and history (default: build/bench).")] = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="Only this benchmark (repeatable).")] = None,
    history: Annotated[bool, typer.Option("--history", help="Show the last runs; nothing is run.")] = False,
) -> None:
    """Measure hwgen side by side with alkaid, XLS and hls4ml on this machine; about half an hour."""
    with _reported(None):
        from hwgen.bench import history as past
        from hwgen.bench.result import Options
        from hwgen.bench.run import OUT
        from hwgen.bench.run import bench as run

        if history:
            typer.echo(past.table(past.read(out or OUT)))
        elif status := run(only or (), Options(quick=quick), out or OUT, typer.echo):
            raise typer.Exit(status)


@app.command()
def schema() -> None:
    """Print the JSON Schema of model.yaml."""
    with _reported(None):
        from hwgen.spec import json_schema

        typer.echo(json.dumps(json_schema(), indent=2))


def _show(result: Any, *, quiet: bool, as_json: bool) -> None:
    from hwgen.report.table import table, verdict

    if as_json:
        typer.echo(json.dumps(result.report.to_json(), indent=2, ensure_ascii=False))
    else:
        folder = str(result.folder)
        typer.echo(verdict(result.report, folder) if quiet else table(result.report, folder))
    if result.exit_status:
        raise typer.Exit(result.exit_status)


@contextlib.contextmanager
def _reported(folder: Path | None) -> Iterator[None]:
    """Turn what goes wrong below into messages on standard error and an exit status; no traceback."""
    interrupts.install()
    try:
        try:
            yield
            interrupts.check()
        except Exception:
            interrupts.check()
            raise
    except HwgenError as error:
        _print_errors(error)
        raise typer.Exit(error.exit_status) from None
    except KeyboardInterrupt:
        typer.echo("interrupted; what was finished is kept, and the same command resumes   exit 130", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(141) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:  # a bug: the message for the user, the traceback for the report
        _print_bug(error)
        raise typer.Exit(1) from None


def _print_errors(error: HwgenError) -> None:
    errors = error.errors if isinstance(error, ErrorList) else [error]
    for one in errors:
        typer.echo(f"error: {one.render()}", err=True)
    count = f"{len(errors)} error{'s' if len(errors) != 1 else ''}"
    notes = getattr(error, "__notes__", [])
    state = notes[-1] if notes else "nothing was written"
    typer.echo(f"{count}; {state}   exit {error.exit_status}", err=True)


def _print_bug(error: Exception) -> None:
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="hwgen-", suffix=".log", delete=False) as stream:
        traceback.print_exception(error, file=stream)
    typer.echo(f"error: hwgen itself failed: {type(error).__name__}: {error}", err=True)
    typer.echo(f"  this is a bug; the traceback is in {stream.name}   exit 1", err=True)
    if os.environ.get("HWGEN_DEBUG"):
        traceback.print_exception(error)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
