"""Exploration with real trials: trained, lowered, planned; workers that die; a Ray cluster that loses a node."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from explore_pools import InlinePool, alive, use, write_explore

import hwgen
from hwgen.explore.screen import Silent
from hwgen.explore.search import explore

pytestmark = pytest.mark.keras

SPACE = {
    "hardware.io_type": ["io_stream"],
    "hardware.reuse_factor": [1, 4],
    "model.layers[0].units": [4, 8],
    "train.epochs": [1, 0],
    "model.layers[1].nothing": [None, 1],
}
"""One value in two of the last line is refused when the network is made."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A search of which the tests look at the results."""
    folder = tmp_path_factory.mktemp("explored")
    with pytest.MonkeyPatch.context() as monkeypatch:
        use(monkeypatch, InlinePool)
        path = write_explore(folder, trials=6, space=SPACE)
        return path, explore(path, out=folder / "out")


def test_two_real_searches_are_equal(found: Any, tmp_path: Path, monkeypatch: Any) -> None:
    path, first = found
    use(monkeypatch, InlinePool)
    explore(path, out=tmp_path / "out")
    for name in ("explore.json", "explore.csv", "explore.svg"):
        assert (tmp_path / "out" / name).read_bytes() == (first.folder / name).read_bytes()
    assert [trial.status for trial in first.trials].count("done") >= 2


def test_a_combination_that_cannot_be_is_a_failed_trial_with_its_message(found: Any) -> None:
    _, first = found
    failed = [trial for trial in first.trials if trial.values["model.layers[1].nothing"] == 1]
    assert failed and all(trial.status == "failed" and "nothing" in (trial.error or "") for trial in failed)
    assert all(trial.error.startswith(f"trials/{trial.number:03d}/model.yaml:") for trial in failed)
    assert all(trial.status == "done" for trial in first.trials if trial not in failed)


def test_trials_that_differ_in_hardware_alone_share_their_training(found: Any) -> None:
    _, first = found
    networks: dict[str, set[str]] = {}
    for trial in first.trials:
        if trial.status == "done":
            said = {key: value for key, value in trial.values.items() if not key.startswith("hardware")}
            networks.setdefault(json.dumps(said), set()).add(trial.network)
    assert all(len(names) == 1 for names in networks.values())
    assert len({name for names in networks.values() for name in names}) == len(networks)


def test_accuracy_is_of_samples_that_no_step_of_training_saw(found: Any) -> None:
    from hwgen.spec import load_spec
    from hwgen.train.data import load_data
    from hwgen.train.loop import make_task, validation_part
    from hwgen.train.store import load_model

    _, first = found
    trial = first.best[0]
    spec = load_spec(first.folder / "trials" / f"{trial.number:03d}" / "model.yaml")
    data = load_data(spec)
    model = load_model(first.folder / "networks" / trial.network / "compress" / "model.keras")
    task = make_task(spec, data, model, on_grid=False)
    part = validation_part(spec, data)
    fitted = {row.tobytes() for row in task.x_fit[0]}
    assert len(part.x_test) == 9 and not fitted & {row.tobytes() for row in part.x_test}


@pytest.mark.gxx
def test_building_a_point_of_the_front_gives_its_figures_without_training_again(found: Any, tmp_path: Path) -> None:
    _, first = found
    trial = first.best[0]
    result = hwgen.build(first.folder / "front" / f"{trial.number:03d}.yaml", to_stage="rtl")
    assert result.folder.resolve() == (first.folder / "front" / f"{trial.number:03d}").resolve()
    prediction = json.loads((result.folder / "reports" / "prediction.json").read_text())
    assert prediction["latency_cycles"] == trial.figures["latency_cycles"]
    assert prediction["estimate"] == {key: trial.figures[key] for key in prediction["estimate"]}
    assert result.report.accuracy["integer"] == trial.test
    stages = result.report.stages
    assert stages["train"] is None and stages["compress"] is None and stages["rtl"] is not None


class Watcher(Silent):
    """Kills the worker of a trial as soon as that trial says what it does."""

    def __init__(self, pools: list[Any], number: int) -> None:
        self.pools, self.number, self.killed = pools, number, list[int]()

    def update(self, number: int, message: str, fraction: float | None = None) -> None:
        if number == self.number and not self.killed:
            worker = next(w for w in self.pools[0].workers if w.number == number)
            os.kill(worker.process.pid, signal.SIGKILL)
            self.killed.append(worker.process.pid)


def test_a_killed_worker_costs_its_trial_and_no_other(tmp_path: Path, monkeypatch: Any) -> None:
    from hwgen.explore.workers import LocalPool

    pools = use(monkeypatch, lambda out: LocalPool(out, 1, "validation"))
    watcher = Watcher(pools, 0)
    space = {"hardware.reuse_factor": [1, 4], "hardware.io_type": ["io_stream"]}
    result = explore(write_explore(tmp_path, trials=2, space=space), out=tmp_path / "out", screen=watcher)
    assert [trial.status for trial in result.trials] == ["failed", "done"]
    assert "killed by SIGKILL" in (result.trials[0].error or "") and result.front == (1,)
    assert watcher.killed and not alive(watcher.killed[0])


def test_a_trial_on_a_ray_node_that_dies_is_run_again_on_another(tmp_path: Path, monkeypatch: Any) -> None:
    import ray
    from ray.cluster_utils import Cluster

    from hwgen.explore.ray_workers import ATTEMPTS, attempts

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    small = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=small)
    try:
        lost = cluster.add_node(**small)
        out = tmp_path / "out"
        files = [out / "trials" / f"{number:03d}" / ATTEMPTS for number in (0, 1)]

        over = threading.Event()

        def kill() -> None:
            """Kill the node as soon as a trial has begun on it."""
            while not over.wait(0.05):
                if any(file.is_file() and lost.node_id in file.read_text() for file in files):
                    cluster.remove_node(lost, allow_graceful=False)
                    return

        killer = threading.Thread(target=kill)
        killer.start()
        space = {"hardware.reuse_factor": [1, 4], "hardware.io_type": ["io_stream"]}
        try:
            result = explore(write_explore(tmp_path, trials=2, space=space), out=out, ray=cluster.address)
        finally:
            over.set()
            killer.join()
        assert [trial.status for trial in result.trials] == ["done", "done"]
        assert sorted(attempts(out, number) for number in (0, 1)) == [1, 2]
        again = next(file for file in files if len(file.read_text().splitlines()) == 2)
        assert again.read_text().splitlines()[0] == lost.node_id != again.read_text().splitlines()[1]
        assert not ray.is_initialized()
    finally:
        cluster.shutdown()


def test_without_a_ray_cluster_there_is_one_message(tmp_path: Path) -> None:
    from hwgen.errors import HwgenError

    with pytest.raises(HwgenError, match="no Ray cluster answers") as caught:
        explore(write_explore(tmp_path, trials=2), out=tmp_path / "out", ray="127.0.0.1:1")
    assert caught.value.exit_status == 2 and caught.value.found == "127.0.0.1:1"
