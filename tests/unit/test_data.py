"""Data sets: found, split, scaled, shaped; and everything wrong with them named. No TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from train_helpers import blobs, spec_of, write_blobs

from hwgen.errors import DataError, HwgenError
from hwgen.train.data import load_data, split_indices
from hwgen.train.data.sets import JET_FEATURES


def set_of(folder: Path, name: str, **data):
    layers = [{"QDense": {"name": "fc1", "units": 10}}]
    return load_data(spec_of(folder, {"model": {"layers": layers}, "data": {"npz": None, "set": name, **data}}))


def refused(folder: Path, *changes, says: tuple[str, ...]) -> str:
    """Load, expect a refusal with status 2 that names the line and key, and says all of `says`."""
    with pytest.raises(HwgenError) as failure:
        load_data(spec_of(folder, *changes))
    text = str(failure.value)
    assert failure.value.exit_status == 2
    for part in ("model.yaml:", *says):
        assert part in text, text
    return text


# ---- named sets ---------------------------------------------------------------------------------------------------


def test_digits(tmp_path):
    data = set_of(tmp_path, "digits", scale=0.0625)
    assert data.x_train.shape == (1437, 64) and data.x_test.shape == (360, 64)
    assert data.x_train.min() == 0 and data.x_train.max() == 1
    np.testing.assert_array_equal(data.x_train * 16, np.round(data.x_train * 16))
    assert np.ptp(np.bincount(data.y_test)) <= 1 + np.ptp(np.bincount(np.r_[data.y_train, data.y_test]))
    assert data.describe()["scale"] == 0.0625 and data.classes == tuple("0123456789")


def test_mnist(tmp_path):
    data = set_of(tmp_path, "mnist_5k", scale=1 / 256)
    assert data.x_train.shape == (4000, 784) and data.x_test.shape == (1000, 784)
    assert (np.bincount(data.y_test) == 100).all()
    assert data.x_train.max() == 255 / 256


def test_images_keep_their_shape_before_a_convolution(tmp_path):
    layers = [{"QConv2D": {"name": "c", "filters": 2, "kernel_size": 3}}, {"Flatten": {}}]
    layers.append({"QDense": {"name": "logits", "units": 10}})
    data = load_data(spec_of(tmp_path, {"model": {"layers": layers}, "data": {"npz": None, "set": "digits"}}))
    assert data.x_train.shape == (1437, 8, 8, 1)


def test_jets_are_standardised_and_the_constants_recorded(tmp_path):
    data = set_of(tmp_path, "jets")
    assert data.x_train.shape == (60000, 16) and data.x_test.shape == (15000, 16)
    assert data.classes == ("g", "q", "W", "Z", "t") and data.features == tuple(JET_FEATURES)
    assert np.abs(data.x_train).max() == 4 and np.abs(data.x_train.mean(axis=0)).max() < 0.2
    recorded = data.describe()["standardization"]
    with np.load(Path(load_data.__code__.co_filename).parent / "jets.npz") as file:
        raw = file["x_test"].astype(np.float64)
    again = np.clip((raw - recorded["mean"]) / np.array(recorded["std"]), -recorded["clip"], recorded["clip"])
    np.testing.assert_array_equal(again.astype(np.float32), data.x_test)


def test_the_split_is_repeatable_and_in_proportion():
    labels = np.repeat([0, 1, 2], [50, 30, 21])
    train, test = split_indices(labels, 0.2)
    assert len(test) == 21 and sorted([*train, *test]) == list(range(101))
    assert list(np.bincount(labels[test])) in ([10, 6, 5], [11, 6, 4])
    np.testing.assert_array_equal(test, split_indices(labels, 0.2)[1])


# ---- a user's files -----------------------------------------------------------------------------------------------


def test_own_split_wins(tmp_path):
    write_blobs(tmp_path)
    data = load_data(spec_of(tmp_path, {"data": {"test_fraction": 0.5, "scale": 2.0, "offset": 1.0}}))
    assert len(data.x_train) == 90 and len(data.x_test) == 30
    np.testing.assert_array_equal(data.x_train, blobs()[0][:90] * 2 + 1)
    assert data.y_train.dtype == np.int64


def test_a_fine_grid_is_kept_in_float64(tmp_path):
    write_blobs(tmp_path, x_train=np.full((90, 4), (1 << 30) + 1), x_test=np.zeros((30, 4), int))
    assert load_data(spec_of(tmp_path)).x_train[0, 0] == (1 << 30) + 1


def test_medmnist_names_and_its_validation_part(tmp_path):
    rng = np.random.default_rng(0)
    parts = {"train": 20, "val": 5, "test": 7}
    arrays = {f"{p}_images": rng.integers(0, 256, (n, 4, 4), dtype=np.uint8) for p, n in parts.items()}
    arrays |= {f"{p}_labels": rng.integers(0, 3, (n, 1), dtype=np.uint8) for p, n in parts.items()}
    np.savez(tmp_path / "data.npz", **arrays)
    data = load_data(spec_of(tmp_path))
    assert data.x_train.shape == (25, 16) and data.y_train.shape == (25,) and "validation" in data.note
    layers = [{"QConv2D": {"name": "c", "filters": 2, "kernel_size": 3}}]
    assert load_data(spec_of(tmp_path, {"model": {"layers": layers}})).x_train.shape == (25, 4, 4, 1)


def test_one_hot_and_words_become_class_numbers(tmp_path):
    x, y = blobs()
    np.savez(tmp_path / "data.npz", x=x, y=np.eye(3)[y])
    data = load_data(spec_of(tmp_path))
    assert len(data.x_test) == 24 and "one-hot" in data.note and set(data.y_train) == {0, 1, 2}
    np.savez(tmp_path / "data.npz", x=x, y=np.array(["red", "green", "blue"])[y])
    data = load_data(spec_of(tmp_path))
    assert data.classes == ("blue", "green", "red") and data.integer_labels


def test_float_targets_stay_floats(tmp_path):
    x, _ = blobs()
    write_blobs(tmp_path, y_train=x[:90, :3] / 7, y_test=x[90:, :3] / 7)
    data = load_data(spec_of(tmp_path))
    assert not data.integer_labels and data.y_train.shape == (90, 3)


def test_whole_numbers_are_values_where_the_loss_says_so(tmp_path):
    x, _ = blobs()
    write_blobs(tmp_path, y_train=np.arange(90) * 10, y_test=np.arange(30))
    layers = [{"QDense": {"name": "out", "units": 1}}]
    data = load_data(spec_of(tmp_path, {"model": {"layers": layers}, "train": {"loss": "mse"}}))
    assert data.y_train.dtype == np.float32 and data.y_train.max() == 890
    assert x.shape[1] == data.x_train.shape[1]


def test_several_inputs(tmp_path):
    x, y = blobs()
    np.savez(tmp_path / "data.npz", x_train_a=x[:90, :1], x_train_b=x[:90], y_train=y[:90], x_test_a=x[90:, :1])
    shapes = {"a": [1], "b": [4]}
    (tmp_path / "nets.py").write_text("def make():\n    raise SystemExit\n")
    model = {"model": {"layers": None, "builder": "nets:make", "input_shape": shapes}}
    quiet = {
        "precision": {"weight": None, "bias": None, "activation": None, "input": {"a": "fixed<8,3>", "b": "fixed<8,3>"}}
    }
    refused(tmp_path, model, quiet, says=("data.npz", "y_test"))
    parts = {
        f"x_{p}_{k}": v
        for p, s in (("train", slice(90)), ("test", slice(90, None)))
        for k, v in (("a", x[s, :1]), ("b", x[s]))
    }
    np.savez(tmp_path / "data.npz", **parts, y_train=y[:90], y_test=y[90:])
    data = load_data(spec_of(tmp_path, model, quiet))
    assert data.inputs == ("a", "b") and [a.shape for a in data.x_train] == [(90, 1), (90, 4)]


def arff(path: Path, names: list[str], rows: int = 40) -> np.ndarray:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(rows, len(names))) * 5 + 3
    lines = [
        "% a comment",
        "@RELATION jets",
        *(f"@ATTRIBUTE {n} REAL" for n in names),
        "@ATTRIBUTE class {g,q,t,w,z}",
        "@DATA",
    ]
    lines += [",".join([*(repr(float(v)) for v in row), "gqtwz"[i % 5]]) for i, row in enumerate(x)]
    path.write_text("\n".join(lines) + "\n")
    return x


def test_openml_42468_as_arff_is_standardised_like_the_jets(tmp_path):
    names = [n if n == "zlogz" else n.removesuffix("_mmdt") + "_mmdt" for n in JET_FEATURES[:-1]] + ["multiplicity"]
    arff(tmp_path / "lhc.arff", names)
    layers = [{"QDense": {"name": "logits", "units": 5}}]
    data = load_data(spec_of(tmp_path, {"model": {"layers": layers}, "data": {"npz": "lhc.arff"}}))
    assert data.x_train.shape == (32, 16) and data.classes == tuple("gqtwz") and set(data.y_test) == set(range(5))
    assert data.standardization is not None and np.abs(data.x_train.mean(axis=0)).max() < 1e-5


def test_other_arff_is_taken_as_it_is(tmp_path):
    x = arff(tmp_path / "other.arff", ["a", "b"])
    layers = [{"QDense": {"name": "logits", "units": 5}}]
    data = load_data(spec_of(tmp_path, {"model": {"layers": layers}, "data": {"npz": "other.arff"}}))
    assert data.standardization is None
    np.testing.assert_allclose(np.sort(np.r_[data.x_train, data.x_test].ravel()), np.sort(x.ravel()), rtol=1e-6)


@pytest.mark.parametrize(("row", "found"), [("1,2,3,g", "4 values"), ("1,g", "2 values")])
def test_arff_rows_that_do_not_fit_the_columns(tmp_path, row, found):
    arff(tmp_path / "other.arff", ["a", "b"])
    with (tmp_path / "other.arff").open("a") as stream:
        stream.write(row + "\n")
    layers = [{"QDense": {"name": "logits", "units": 5}}]
    with pytest.raises(DataError, match=r"data\.npz: other\.arff:47: the row does not fit") as caught:
        load_data(spec_of(tmp_path, {"model": {"layers": layers}, "data": {"npz": "other.arff"}}))
    assert found in str(caught.value) and "3, one for each" in str(caught.value)


def test_openml_42468_as_npz_is_known_by_its_features(tmp_path):
    x = np.random.default_rng(0).normal(size=(50, 16)) * 100
    np.savez(tmp_path / "data.npz", x=x, y=np.arange(50) % 3, features=np.array(JET_FEATURES))
    assert load_data(spec_of(tmp_path)).standardization is not None
    np.savez(tmp_path / "data.npz", x=x, y=np.arange(50) % 3)
    assert load_data(spec_of(tmp_path)).standardization is None


# ---- a user's loader ----------------------------------------------------------------------------------------------

LOADER = """
import numpy as np
x, y = np.arange(40.0).reshape(10, 4), np.arange(10) % 3
def four(): return x[:8], y[:8], x[8:], y[8:]
def keras_style(): return (x[:8], y[:8]), (x[8:], y[8:])
def whole(): return x, y
def named(): return {"x_train": x[:8], "y_train": y[:8], "x_test": x[8:], "y_test": y[8:]}
def broken(): raise KeyError("no such thing")
def nothing(): return None
"""


@pytest.mark.parametrize("name", ["four", "keras_style", "whole", "named"])
def test_loader_beside_the_yaml(tmp_path, name):
    (tmp_path / "my_loader.py").write_text(LOADER)
    data = load_data(spec_of(tmp_path, {"data": {"npz": None, "loader": f"my_loader:{name}"}}))
    assert len(data.x_train) == 8 and len(data.x_test) == 2


@pytest.mark.parametrize(
    ("name", "says"), [("broken", "no such thing"), ("nothing", "NoneType"), ("missing", "four, keras_style")]
)
def test_loader_that_does_not_do(tmp_path, name, says):
    (tmp_path / "my_loader.py").write_text(LOADER)
    refused(tmp_path, {"data": {"npz": None, "loader": f"my_loader:{name}"}}, says=("data.loader", says))


def test_two_loaders_of_one_name_are_not_mixed_up(tmp_path):
    for folder, size in (("one", 10), ("two", 20)):
        (tmp_path / folder).mkdir()
        text = f"import numpy as np\ndef load(): return np.zeros(({size}, 4)), np.arange({size}) % 3\n"
        (tmp_path / folder / "same_name.py").write_text(text)
    spec = {"data": {"npz": None, "loader": "same_name:load"}}
    sizes = [len(load_data(spec_of(tmp_path / f, spec)).x_train) for f in ("one", "two")]
    assert sizes == [8, 16]


# ---- wrong data ---------------------------------------------------------------------------------------------------


def with_value(array: np.ndarray, value: float) -> np.ndarray:
    copy = array.copy()
    copy[3, 1] = value
    return copy


X, Y = blobs()


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"x_train": X[:0], "y_train": Y[:0]}, ("x_train", "empty")),
        ({"x_test": with_value(X[90:], np.nan)}, ("x_test", "NaN at x_test[3, 1]")),
        ({"x_train": with_value(X[:90], np.inf)}, ("x_train", "infinity at x_train[3, 1]")),
        ({"y_train": Y[:90] + 1}, ("y_train", "labels 1..3", "0..2", "start at 0")),
        ({"y_test": Y[90:] - 1}, ("y_test", "labels -1..1", "0..2")),
        ({"y_train": Y[:80]}, ("y_train", "80", "90")),
        ({"y_test": None}, ("y_test",)),
        ({"x_train": None}, ("no training samples", "x_train, y_train")),
        ({"x_test": X[90:, :3]}, ("(4,)", "(3,)")),
        ({"x_train": X[:90].astype(str)}, ("x_train", "not numeric")),
        ({"x_train": X[:90, 0]}, ("x_train", "no feature axis")),
        ({"y_train": X[:90, :2], "y_test": X[90:, :2]}, ("2 values a sample", "3")),
        ({"y_train": Y[:90].astype(object)}, ("pickle",)),
    ],
)
def test_wrong_arrays(tmp_path, arrays, says):
    write_blobs(tmp_path, **arrays)
    refused(tmp_path, says=("data.npz", *says))


def test_all_faults_at_once(tmp_path):
    write_blobs(tmp_path, x_train=with_value(X[:90], np.nan), y_test=Y[90:100])
    refused(tmp_path, says=("NaN at x_train", "y_test"))


def test_wrong_input_shape(tmp_path):
    write_blobs(tmp_path)
    refused(tmp_path, {"model": {"input_shape": [5]}}, says=("data.npz", "shape 4", "5, as the model takes"))


@pytest.mark.parametrize("content", [b"", b"not a zip at all", b"PK\x03\x04 truncated"])
def test_not_an_npz(tmp_path, content):
    (tmp_path / "data.npz").write_bytes(content)
    refused(tmp_path, says=("data.npz",))


def test_truncated_npz(tmp_path):
    path = write_blobs(tmp_path)
    path.write_bytes(path.read_bytes()[:500])
    refused(tmp_path, says=("data.npz",))


def test_file_that_vanishes_or_is_a_folder(tmp_path):
    path = write_blobs(tmp_path)
    spec = spec_of(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match=r"data\.npz(.|\n)*does not exist|does not exist(.|\n)*data\.npz"):
        load_data(spec)
    path.mkdir()
    with pytest.raises(DataError, match="folder"):
        load_data(spec)


def test_unknown_set(tmp_path):
    refused(tmp_path, {"data": {"npz": None, "set": "digit"}}, says=("data.set", "digits, mnist_5k, jets"))


def test_too_small_to_split(tmp_path):
    np.savez(tmp_path / "data.npz", x=X[:1], y=Y[:1])
    refused(tmp_path, says=("too small",))


def test_loading_needs_no_tensorflow(tmp_path):
    write_blobs(tmp_path)
    spec_of(tmp_path)
    code = (
        "import sys; from hwgen.spec import load_spec; from hwgen.train.data import load_data;"
        f"load_data(load_spec({str(tmp_path / 'model.yaml')!r}));"
        "assert not {'tensorflow', 'keras', 'sklearn', 'mlxtend', 'pandas'} & set(sys.modules), sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
