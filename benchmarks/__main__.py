"""All benchmarks, one after the other: `python -m benchmarks [--out FOLDER]` (about 20 minutes on two quiet cores).

Each prints its table and leaves a JSON in the folder; the exit status says whether a bar was missed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
BENCHMARKS = ("speed", "lut_peers", "mutants", "streaming")


def main() -> int:
    """Run every benchmark in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE.parent / "build" / "bench")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    missed = []
    for name in BENCHMARKS:
        print(f"== {name} ==", flush=True)
        command = [sys.executable, str(HERE / f"{name}.py"), "--out", str(out / f"{name}.json")]
        if subprocess.run(command, check=False).returncode:
            missed.append(name)
    print(f"bars missed in: {', '.join(missed)}" if missed else "every bar was reached", f"({out})")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
