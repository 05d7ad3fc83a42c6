"""Stand-ins for the workers of a search: one that computes figures from the values, one that trains in this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from train_helpers import NET, write_blobs

from hwgen.explore import search
from hwgen.explore.trial import run_trial, trial_folder

SPACE: dict[str, Any] = {
    "model.layers[0].units": [4, 8, 16],
    "hardware.clock_period_ns": {"low": 2.0, "high": 10.0, "step": 0.5},
    "precision.weight, precision.bias": {"low": 3, "high": 8, "text": "quantized_bits({},0,alpha=1)"},
}


def write_explore(folder: Path, **keys: Any) -> Path:
    """Write data.npz, model.yaml and explore.yaml."""
    folder.mkdir(exist_ok=True)
    write_blobs(folder)
    model = {**NET, "train": {**NET["train"], "epochs": 1, "float_epochs": 1}, "verify": {"random_vectors": 50}}
    (folder / "model.yaml").write_text(yaml.safe_dump(model, sort_keys=False))
    said = {"base": "model.yaml", "trials": 14, "batch": 4, "space": SPACE} | keys
    path = folder / "explore.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in said.items() if v is not None}, sort_keys=False))
    return path


def figures_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return figures that follow from a trial's model.yaml alone, with a front of several points."""
    units = document["model"]["layers"][0]["QDense"]["units"]
    period = document["hardware"]["clock_period_ns"]
    bits = int(document["precision"]["weight"].partition("(")[2].partition(",")[0])
    known = {"accuracy": 1 - 1 / (units * bits), "latency_us": period * bits / 1000, "lut": units * bits * bits}
    return dict.fromkeys(("interval_us", "latency_cycles", "memory_bits"), None) | known


class FakePool:
    """Computes figures at once, last trial first; `fate` may return another result, or raise."""

    def __init__(self, out: Path, fate: Callable[[int], Any] = lambda number: None) -> None:
        self.out, self.fate, self.ran = out, fate, list[int]()

    def run(self, numbers: Sequence[int], finished: Any, told: Any) -> None:
        for number in sorted(numbers, reverse=True):
            document = yaml.safe_load((trial_folder(self.out, number) / "model.yaml").read_text())
            done = {"status": "done", "figures": figures_of(document), "test": 0.5, "metric": "accuracy"}
            result = self.fate(number) or done
            self.ran.append(number)
            finished(number, result)

    def close(self) -> None:
        pass


class InlinePool:
    """Trains in this process."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def run(self, numbers: Sequence[int], finished: Any, told: Any) -> None:
        for number in numbers:
            finished(number, run_trial(self.out, number, "validation", lambda message, fraction: None))

    def close(self) -> None:
        pass


def use(monkeypatch: Any, make: Callable[[Path], Any]) -> list[Any]:
    """Let searches run on the pools that `make` returns for their folder; the pools come into the list."""
    made: list[Any] = []

    def pool(plan: Any, folder: Path, workers: Any, ray: Any) -> Any:
        made.append(make(folder))
        return made[-1]

    monkeypatch.setattr(search, "_pool", pool)
    return made


def alive(pid: int) -> bool:
    """Whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
