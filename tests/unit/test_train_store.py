"""Model files: our own, those of QKeras 0.9 and Keras 2, and everything that is refused."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from train_helpers import spec_of, write_blobs

from hwgen.errors import HwgenError, ModelError, OutputError
from hwgen.train.compress.masks import sparsity_of
from hwgen.train.inspect import peek_input_shapes, read_config, refuse_code
from hwgen.train.store import load_model, read_notes, save_model

pytestmark = pytest.mark.keras
GOLDEN = Path(__file__).parents[1] / "golden" / "qkeras09"


def network(name="net"):
    import keras
    from qkeras import QActivation, QDense

    bits = "quantized_bits(6,0,alpha=1)"
    keras.utils.set_random_seed(1)
    layers = [keras.Input((4,), name="x"), QDense(8, name="fc1", kernel_quantizer=bits, bias_quantizer=bits)]
    layers += [QActivation("quantized_relu(6)", name="relu1"), keras.layers.Dense(3, name="out")]
    return keras.Sequential(layers, name=name)


def refused(path, *says, trust=False):
    with pytest.raises(ModelError) as failure:
        load_model(path, trust=trust)
    assert failure.value.exit_status == 2
    for part in (str(path), *says):
        assert part in str(failure.value), failure.value


def test_round_trip_and_the_same_bytes(tmp_path):
    model = network()
    save_model(model, tmp_path / "deep" / "a.keras", {"float_metric": 0.5})
    again = load_model(tmp_path / "deep" / "a.keras")
    x = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    np.testing.assert_array_equal(model(x), again(x))
    save_model(again, tmp_path / "b.keras", {"float_metric": 0.5})
    assert (tmp_path / "deep" / "a.keras").read_bytes() == (tmp_path / "b.keras").read_bytes()
    assert read_notes(tmp_path / "b.keras") == {"float_metric": 0.5}
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["a.keras"]
    assert peek_input_shapes(tmp_path / "b.keras") == [(4,)]


def test_h5_of_keras_3(tmp_path):
    model = network()
    model.save(tmp_path / "a.h5")
    x = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(model(x), load_model(tmp_path / "a.h5")(x))
    assert peek_input_shapes(tmp_path / "a.h5") == [(4,)]


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        save_model(network(), tmp_path / "file" / "a.keras")


@pytest.mark.parametrize(
    "path", sorted(p for p in GOLDEN.iterdir() if p.suffix in (".h5", ".keras")), ids=lambda p: p.name
)
def test_files_of_qkeras_09(path):
    """Keras 2.15, QKeras 0.9.0, tfmot 0.7.5 wrote them; the outputs are those of that installation."""
    with np.load(GOLDEN / "outputs.npz") as file:
        x, expected = file["x"], file[path.stem]
    model = load_model(path)
    np.testing.assert_allclose(model(x), expected, atol=1e-6)
    assert peek_input_shapes(path) == [(8,)]
    assert "fc1" in [layer.name for layer in model.layers]
    assert set(sparsity_of(model).values()) == ({0.5} if "pruned" in path.stem else {0.0})


def test_brought_model_through_model_yaml(tmp_path):
    from hwgen.train.build import make_model
    from hwgen.train.data import load_data
    from hwgen.train.fit import train_model

    write_blobs(tmp_path)
    save_model(network(), tmp_path / "net.keras")
    quiet = {"precision": {"weight": None, "bias": None, "activation": None}}
    spec = spec_of(tmp_path, {"model": {"layers": None, "file": "net.keras"}}, quiet)
    data = load_data(spec)
    model = make_model(spec, data)
    before = model.get_weights()
    result = train_model(spec, data, model)
    assert result.source == "file" and result.float_metric is None and 0 <= result.quantized_metric <= 1
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    blind = train_model(spec, None, model)
    assert blind.quantized_metric is None


# ---- refused ------------------------------------------------------------------------------------------------------


def torch_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", b"\x80\x02}")


def saved_model(path: Path) -> None:
    path.mkdir()
    (path / "saved_model.pb").write_bytes(b"\x08\x01")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("net.pt", torch_zip, "PyTorch"),
        ("net.keras", torch_zip, "PyTorch"),
        ("net.pth", b"\x80\x02}q\x00.", "PyTorch"),
        ("net.onnx", b"\x08\x07\x12\x07pytorch", "ONNX"),
        ("onnx.keras", b"\x08\x08:\xa0\x01", "ONNX"),
        ("net.tflite", b"\x1c\x00\x00\x00TFL3" + bytes(20), "TensorFlow Lite"),
        ("net.keras", b"\x1c\x00\x00\x00TFL3" + bytes(20), "TensorFlow Lite"),
        ("net", saved_model, "SavedModel"),
        ("net.keras", saved_model, "SavedModel"),
        ("net.keras", Path.mkdir, "folder"),
        ("net.json", b'{"class_name": "Sequential"}', "without its weights"),
        ("net.keras", b"", "empty"),
        ("net.keras", b"garbage" * 10, "corrupt or of an unknown kind"),
        ("net.h5", b"\x89HDF\r\n\x1a\n" + bytes(100), "corrupt"),
        ("net.keras", b"PK\x03\x04" + bytes(100), "corrupt"),
        ("net.npz", lambda path: np.savez(path, a=np.zeros(3)), "NumPy arrays"),
        ("net.keras", None, "does not exist"),
    ],
)
def test_files_that_are_no_keras_model(tmp_path, name, content, says):
    path = tmp_path / name
    if callable(content):
        content(path)
    elif content is not None:
        path.write_bytes(content)
    refused(path, says)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.98])
def test_truncated(tmp_path, suffix, share):
    path = tmp_path / f"net{suffix}"
    network().save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refused(path, "corrupt")


def test_flipped_byte(tmp_path):
    path = tmp_path / "net.keras"
    save_model(network(), path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    refused(path, "corrupt")


def test_weights_alone(tmp_path):
    network().save_weights(tmp_path / "net.weights.h5")
    refused(tmp_path / "net.weights.h5", "without the architecture")


def lambda_model(mark: Path):
    import keras

    text = f"lambda x: (open({str(mark)!r}, 'w').close(), x)[1]"
    return keras.Sequential([keras.Input((4,)), keras.layers.Lambda(eval(text), name="sneaky", output_shape=(4,))])


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_lambda_runs_only_when_trusted(tmp_path, suffix):
    mark, path = tmp_path / "it_ran", tmp_path / f"net{suffix}"
    lambda_model(mark).save(path)
    mark.unlink(missing_ok=True)
    refused(path, "would run code", "sneaky: Lambda", "--trust")
    assert not mark.exists()
    model = load_model(path, trust=True)
    model(np.ones((1, 4), np.float32))
    assert mark.exists()


def edited(path: Path, change) -> None:
    """Rewrite the architecture inside a `.keras` file."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    change(config)
    parts["config.json"] = json.dumps(config).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    path.write_bytes(buffer.getvalue())


FUNCTION = {"class_name": "function", "registered_name": "get_file", "config": "get_file", "module": "keras.utils"}


@pytest.mark.parametrize(
    ("node", "says"),
    [
        (FUNCTION, "keras.utils.get_file"),
        ({**FUNCTION, "config": "system", "module": "os"}, "os.system"),
        ({"module": "subprocess", "class_name": "Popen", "config": {"args": ["true"]}}, "subprocess.Popen"),
        ({"class_name": "__lambda__", "config": {"value": "4wEAAAA="}}, "lambda"),
        ({"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": "/x"}}, "TFSMLayer"),
        ({"class_name": "TFOpLambda", "config": {"function": "io.write_file"}}, "TFOpLambda"),
    ],
)
def test_configs_that_name_code(tmp_path, node, says):
    path = tmp_path / "net.keras"
    save_model(network(), path)
    edited(path, lambda config: config["config"]["layers"][3]["config"].update(activation=node))
    refused(path, "would run code", "out", says)


def test_our_own_files_name_no_code(tmp_path):
    save_model(network(), tmp_path / "net.keras")
    refuse_code(read_config(tmp_path / "net.keras"), tmp_path)
    for path in GOLDEN.glob("*.h5"):
        refuse_code(read_config(path), path)


def test_class_of_somebody_else(tmp_path):
    path = tmp_path / "net.keras"
    save_model(network(), path)

    def change(config):
        config["config"]["layers"][3].update(module=None, class_name="MyLayer", registered_name="mine>MyLayer")

    edited(path, change)
    refused(path, "MyLayer", "builder")


def test_weights_that_do_not_fit(tmp_path):
    path = tmp_path / "net.keras"
    save_model(network(), path)
    edited(path, lambda config: config["config"]["layers"][1]["config"].update(units=9))
    refused(path)


def test_weights_that_are_not_finite(tmp_path):
    model = network()
    kernel, bias = model.get_layer("fc1").get_weights()
    kernel[1, 2] = np.nan
    model.get_layer("fc1").set_weights([kernel, bias])
    model.save(tmp_path / "a.keras")
    refused(tmp_path / "a.keras", "fc1.kernel is not finite", "1 of 32")


def test_the_line_that_named_the_file_is_said(tmp_path):
    (tmp_path / "net.keras").write_bytes(b"\x08\x07\x12\x07pytorch")
    with pytest.raises(ModelError, match=r"^model.yaml:2: model.file: net.keras: this is an ONNX model"):
        load_model(tmp_path / "net.keras", where="model.yaml:2: model.file")


@pytest.mark.parametrize(
    ("y", "says"), [(np.arange(120) % 5, "labels 0..4"), (np.zeros((120, 2), np.float32), "2 values a sample")]
)
def test_labels_that_do_not_match_a_brought_model(tmp_path, y, says):
    from hwgen.train.build import make_model
    from hwgen.train.data import load_data
    from hwgen.train.fit import train_model

    write_blobs(tmp_path, y_train=y[:90], y_test=y[90:])
    save_model(network(), tmp_path / "net.keras")
    quiet = {"precision": {"weight": None, "bias": None, "activation": None}}
    spec = spec_of(tmp_path, {"model": {"layers": None, "file": "net.keras"}}, quiet)
    data = load_data(spec)
    with pytest.raises(HwgenError, match=r"data\.npz: .* do not match the output") as caught:
        train_model(spec, data, make_model(spec, data))
    assert says in str(caught.value)
