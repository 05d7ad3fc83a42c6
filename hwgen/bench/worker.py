"""One benchmark in a process of its own, so that its memory, its environment and its crashes stay there.

Arguments: the benchmark's module, its options as JSON, the file to write.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from hwgen.bench.registry import load
from hwgen.bench.result import Options
from hwgen.errors import HwgenError, ToolMissing


def main(module: str, options: str, out: str) -> int:
    """Run a benchmark; write its result, or that it could not run and why."""
    try:
        document = {"status": "DONE", **load(module)(Options(**json.loads(options))).to_json()}
    except ToolMissing as error:
        document = {"status": "NOT RUN", "reason": error.render(), "rows": []}
    except HwgenError as error:
        document = {"status": "FAILED", "reason": error.render(), "rows": []}
    Path(out).write_text(json.dumps(document, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
