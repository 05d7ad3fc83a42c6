import os
from pathlib import Path

import pytest
import yaml

from hwgen.errors import ErrorList, HwgenError
from hwgen.spec import ModelSpec, json_schema, load_spec, resolved_yaml
from hwgen.spec_quantizers import quantizer_fault

DIGITS = """\
# digits, trained here, pruned
model:
  name: digits_mlp
  layers:
    - QDense: {name: fc1, units: 64}
    - QActivation: {name: relu1}
    - QDense:
        name: logits
        units: 10
data:
  set: digits
  scale: 0.0625              # pixels 0..16 -> 0..1, exact
compress:
  epochs: 20
  pruning:
    sparsity: 0.6
    layers:
      logits: 0.3
precision:
  input: ufixed<5,1>
  weight: quantized_bits(6,0,alpha=1)
  bias: quantized_bits(6,0,alpha=1)
  activation: quantized_relu(6)
"""

BROUGHT = """\
model:
  file: jet_tagger.keras
precision:
  input: fixed<16,6>
hardware:
  clock_period_ns: 2.78
  handshake: none
verify:
  require:
    latency_ns: 100
"""

STREAM = """\
model:
  name: mnist_cnn
  layers:
    - QConv2D: {name: conv1, filters: 8, kernel_size: 3, strides: 2, padding: same}
    - QActivation: {name: relu1}
    - Flatten: {name: flat}
    - QDense: {name: logits, units: 10}
  output: argmax
data:
  set: mnist_5k
  scale: 0.00390625
train:
  weights: mnist_cnn.keras
precision:
  input: ufixed<8,0>
  weight: quantized_bits(6,0,alpha=1)
  bias: quantized_bits(6,0,alpha=1)
  activation: quantized_relu(6)
  layers:
    conv1:
      weight: quantized_bits(8,0,alpha=1)
hardware:
  part: xck26-sfvc784-2LV-c
  clock_period_ns: 4
  io_type: io_stream
  target:
    throughput_hz: 50000
    max_multipliers: 64
verify:
  require:
    accuracy: 0.97
outputs:
  handoff: [vivado]
"""


def write(folder: Path, text: str, name: str = "model.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def errors(folder: Path, text: str, overrides: tuple[str, ...] = ()) -> list[HwgenError]:
    with pytest.raises(ErrorList) as caught:
        load_spec(write(folder, text), overrides)
    assert caught.value.exit_status == 2
    return caught.value.errors


def only(folder: Path, text: str, overrides: tuple[str, ...] = ()) -> HwgenError:
    found = errors(folder, text, overrides)
    assert len(found) == 1, [e.render() for e in found]
    return found[0]


def line(error: HwgenError) -> str:
    return (error.where or "").rpartition("model.yaml")[2]


def test_every_default(tmp_path: Path) -> None:
    spec = load_spec(write(tmp_path, DIGITS))
    assert spec.model.name == "digits_mlp" and spec.model.output == "logits"
    assert [layer.kind for layer in spec.model.layers or ()] == ["QDense", "QActivation", "QDense"]
    assert spec.model.layers is not None and spec.model.layers[2].args == {"name": "logits", "units": 10}
    assert [layer.line for layer in spec.model.layers] == [5, 6, 7]
    assert spec.data is not None and (spec.data.test_fraction, spec.data.offset) == (0.2, 0)
    train = spec.train
    assert (train.epochs, train.float_epochs, train.batch_size, train.seed) == (30, 10, 64, 0)
    assert (train.optimizer, train.learning_rate, train.loss, train.metric) == ("adam", 0.001, "auto", "auto")
    pruning = spec.compress.pruning
    assert pruning is not None and (pruning.begin_epoch, pruning.end_epoch, pruning.method) == (0, 14, "magnitude")
    hardware = spec.hardware
    assert (hardware.part, hardware.clock_period_ns, hardware.io_type) == ("xcvu13p-flga2577-2-e", 5, "io_parallel")
    assert (hardware.strategy, hardware.reuse_factor) == ("distributed_arithmetic", 1)
    assert (hardware.handshake, hardware.axis_bytes) == ("valid_ready", 8)
    check = spec.verify
    assert (check.vectors, check.random_vectors, check.seed, check.budget_s) == ("auto", 10000, 0, 120)
    assert (check.stalls, check.waves, check.netlist) == (True, "on_failure", "auto")
    assert spec.outputs.dir is None and spec.base_dir == tmp_path


def test_lines_of_keys(tmp_path: Path) -> None:
    path = write(tmp_path, DIGITS)
    spec = load_spec(path)
    assert spec.line_of("model.layers[0].units") == f"{path}:5"
    assert spec.line_of("model.layers[2].units") == f"{path}:9"
    assert spec.line_of("compress.pruning.layers.logits") == f"{path}:18"
    assert spec.line_of("precision.layers.fc1.weight") == f"{path}:19"  # not written: the section
    assert spec.line_of("hardware.part") == str(path)


def test_brought_model_takes_its_name_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "jet_tagger.keras").touch()
    spec = load_spec(write(tmp_path, BROUGHT))
    assert (spec.model.name, spec.data, spec.hardware.handshake) == ("jet_tagger", None, "none")
    assert spec.verify.require.latency_ns == 100


def test_hand_off_targets_are_known_by_name(tmp_path: Path) -> None:
    (found,) = errors(tmp_path, STREAM.replace("handoff: [vivado]", "handoff: [vivdo]"))
    assert (line(found), found.what) == (":33: outputs.handoff", "there is no such hand-off target")
    assert (found.found, found.expected) == ("vivdo", "vivado?")
    text = STREAM.replace("handoff: [vivado]", "handoff: [vivado, pynq]")
    found = errors(tmp_path, text, ("hardware.axis_bytes=3", "hardware.part=osu018"))
    assert [e.what for e in found] == [
        "outputs.handoff: [vivado] is for AMD's parts",
        "outputs.handoff: [pynq]: no AXI DMA is so wide",
    ]
    parallel = DIGITS + "hardware: {handshake: none}\noutputs: {handoff: [pynq]}\n"
    assert "needs AXI4-Stream" in only(tmp_path, parallel).what


def test_reference_screen(tmp_path: Path) -> None:
    text = DIGITS.replace("units: 64}", "units: 64, kernel_quantizer: 'quantized_bits(6,0)'}")
    found = errors(tmp_path, text + "hardware:\n  clock_perod_ns: 5\n")
    assert [line(e) for e in found] == [":5: fc1.kernel_quantizer", ":25: hardware.clock_perod_ns"]
    assert (found[1].what, found[1].found) == ("unknown key", "clock_perod_ns: 5")
    assert found[1].expected == "clock_period_ns?  (`hwgen schema` lists all)"
    assert found[0].what == "quantized_bits(6,0) has no alpha" and "auto_po2" in (found[0].found or "")
    assert found[0].expected == "quantized_bits(6,0,alpha=1)"


@pytest.mark.parametrize(
    ("old", "new", "where", "what", "also"),
    [
        ("scale: 0.0625 ", "scale: 1e-3 ", ":12: data.scale", "wrong value", "write 1.0e-3 or 0.001"),
        ("epochs: 20", "epochs: twenty", ":14: compress.epochs", "wrong value", "a whole number"),
        ("epochs: 20", "epochs: 2.5", ":14: compress.epochs", "wrong value", "a whole number"),
        ("epochs: 20", "epochs: true", ":14: compress.epochs", "wrong value", "a whole number"),
        ("sparsity: 0.6", "sparsity: 1.5", ":16: compress.pruning.sparsity", "wrong value", "< 1"),
        ("sparsity: 0.6", "begin_epoch: 0", ":15: compress.pruning.sparsity", "required", "a number"),
        ("ufixed<5,1>", "ufixed(5,1)", ":20: precision.input", "not a fixed-point type", "fixed<W,I>"),
        ("quantized_relu(6)", "fixed<6,1>", ":23: precision.activation", "a number type where a quantizer", "QKeras"),
        ("quantized_relu(6)", "quantized_relu(6", ":23: precision.activation", "not a quantizer", "never closed"),
        ("logits: 0.3", "logit: 0.3", ":18: compress.pruning.layers.logit", "no layer has this name", "logits?"),
        ("name: relu1", "name: fc1", ":6: model.layers[1].name", "two layers are called fc1", "model.yaml:5"),
        ("name: relu1", "name: 1st", ":6: model.layers[1].name", "identifier", "letters"),
        ("name: digits_mlp", "name: digits-mlp", ":3: model.name", "not an identifier", "digits_mlp"),
        ("name: digits_mlp", "name: module", ":3: model.name", "a reserved word", "net_module"),
        ("name: digits_mlp", "name: small", ":3: model.name", "a reserved word", "net_small"),  # a drive strength
        ("name: digits_mlp", "name: hg_fifo", ":3: model.name", "a reserved word", "net_hg_fifo"),
        ("  set: digits", "  set: digits\n  loader: os:getcwd", ":12: data.loader", "excludes data.set", "one of"),
        ("  set: digits", "  npz: d.npz", ":11: data.npz", "the data file does not exist", "d.npz"),
        ("  set: digits", "  loader: no_such:f", ":11: data.loader", "there is no such Python module", "looked in"),
        ("  set: digits", "  loader: nonsense", ":11: data.loader", "wrong value", "package.module:function"),
        ("data:\n  set: digits\n  scale", "data:\n  scale", ":10: data", "does not say what to use", "data.set"),
        ("  name: digits_mlp", "  name: digits_mlp\n  name: b", ":4: model.name", "the same key twice", "first at"),
        (
            "    - QActivation: {name: relu1}",
            "    - QActivation:\n      name: r",
            ":6: model.layers[1]",
            "not a layer",
            "{",
        ),
        ("bias: ", "bais: ", ":22: precision.bais", "unknown key", "bias?"),
        ("bias: quantized_bits(6,0,alpha=1)", "seed: 1", ":22: precision.seed", "unknown key", "train.seed?"),
    ],
)
def test_one_mistake_one_error(tmp_path: Path, old: str, new: str, where: str, what: str, also: str) -> None:
    assert old in DIGITS
    error = only(tmp_path, DIGITS.replace(old, new, 1))
    assert line(error) == where
    assert error.what.startswith(what) or what in error.what
    assert also in error.render()


@pytest.mark.parametrize(
    ("lines", "where", "what", "also"),
    [
        ("hardware:\n  handshake: off", ":25: hardware.handshake", "wrong value", "YAML reads off as false"),
        ("hardware:\n  clock_period_ns: 1e-3", ":25: hardware.clock_period_ns", "wrong value", "1.0e-3"),
        ("hardware:\n  clock_period_ns: 0", ":25: hardware.clock_period_ns", "wrong value", "> 0"),
        ("hardware:\n  reuse_factor: 4", ":25: hardware.reuse_factor", "io_parallel uses every", "io_stream"),
        ("hardware:\n  strategy: resource", ":25: hardware.strategy", "io_parallel folds nothing", "io_stream"),
        ("hardware:\n  strategy: fast", ":25: hardware.strategy", "wrong value", "distributed_arithmetic, latency"),
        (
            "hardware:\n  layers:\n    fc1: {reuse_factor: 2}",
            ":26: hardware.layers.fc1.reuse_factor",
            "io_par",
            "stream",
        ),
        ("hardware:\n  target: {max_dsp: 3}", ":25: hardware.target.max_dsp", "io_parallel shares", "io_stream"),
        (
            "hardware:\n  target: {interval_cycles: 1, latency_us: 2}",
            ":25: hardware.target.latency_us",
            "excludes hardware.target.interval_cycles",
            "at most one",
        ),
        (
            "hardware:\n  target: {interval_cycles: 1}\n  reuse_factor: 1",
            ":26: hardware.reuse_factor",
            "excludes",
            "two",
        ),
        ("verify:\n  vectors: -3", ":25: verify.vectors", "wrong value", "auto, all, or a whole number ≥ 1"),
        ("verify:\n  vectors: many", ":25: verify.vectors", "wrong value", "auto, all"),
        ("verify:\n  waves: off", ":25: verify.waves", "wrong value", "YAML reads off as false"),
        ("verify:\n  netlist: maybe", ":25: verify.netlist", "wrong value", "auto"),
        ("outputs:\n  emulator: 1", ":25: outputs.emulator", "wrong value", "true or false"),
        ("version: 2", ":24: version", "wrong value", "1"),
        ("extra: 3", ":24: extra", "unknown key", "model"),
        ("train: 3", ":24: train", "wrong value", "keys and values"),
        ("train: {epochs: 3, optimizer: {lr: 1}}", ":24: train.optimizer", "wrong value", "a text"),
        ("bad: !python/object:os.system {}", ":24: bad", "unknown key", "model"),
    ],
)
def test_one_more_section_one_error(tmp_path: Path, lines: str, where: str, what: str, also: str) -> None:
    error = only(tmp_path, DIGITS + lines + "\n")
    assert line(error) == where
    assert what in error.what
    assert also in error.render()


def test_flow_mapping_split_at_the_comma(tmp_path: Path) -> None:
    text = (
        DIGITS[: DIGITS.index("precision")] + "precision: {input: ufixed<5,1>, weight: quantized_bits(6,0,alpha=1)}\n"
    )
    found = errors(tmp_path, text)
    assert [(line(e), e.expected) for e in found] == [
        (":19: precision.input", 'quotes: "ufixed<5,1>"'),
        (":19: precision.weight", 'quotes: "quantized_bits(6,0,alpha=1)"'),
    ]


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("", "", "the file is empty"),
        ("- a\n", ":1", "not a mapping"),
        ("model:\n\tname: x\n", ":2", "a tab stands in the indentation"),
        ("a: b: c\n", ":1", "not YAML"),
        ("model: {name: x\n", ":", "not YAML"),
        ("model: &a\n  x: *a\n", ":1", "nested too deeply"),
        ("model:\n  name: *nothing\n", ":2", "not YAML"),
    ],
)
def test_not_even_yaml(tmp_path: Path, text: str, where: str, what: str) -> None:
    error = only(tmp_path, text)
    assert what in error.what
    assert line(error).startswith(where)


def test_missing_file_folder_and_binary(tmp_path: Path) -> None:
    write(tmp_path, DIGITS)
    for path, what, hint in [
        (tmp_path, "this is a folder", "model.yaml"),
        (tmp_path / "modle.yaml", "there is no such file", "model.yaml"),
        (tmp_path / "no" / "model.yaml", "there is no such file", "does not exist"),
    ]:
        with pytest.raises(ErrorList) as caught:
            load_spec(path)
        assert what in caught.value.errors[0].what
        assert hint in (caught.value.errors[0].hint or "")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ErrorList, match="cannot be read as text"):
        load_spec(tmp_path / "b.yaml")


def test_brought_models_fill_in_nothing(tmp_path: Path) -> None:
    (tmp_path / "jet_tagger.keras").touch()
    error = only(
        tmp_path, BROUGHT + "precision_: 1\n".replace("precision_: 1\n", "") + "compress: {pruning: {sparsity: 0.5}}\n"
    )
    assert error.what == "pruning fine-tunes the network, which needs data"
    error = only(tmp_path, BROUGHT.replace("input: fixed<16,6>", "weight: 'quantized_bits(6,0,alpha=1)'"))
    assert "a brought model has its own" in error.what
    (tmp_path / "jet_tagger.keras").unlink()
    error = only(tmp_path, BROUGHT)
    assert (line(error), error.what) == (":2: model.file", "the model file does not exist")


def test_overrides_are_validated_the_same_way(tmp_path: Path) -> None:
    path = write(tmp_path, DIGITS)
    spec = load_spec(path, ["hardware.clock_period_ns=3", "model.layers[0].units=32", "precision.input=fixed<8,3>"])
    assert spec.hardware.clock_period_ns == 3
    assert spec.model.layers is not None and spec.model.layers[0].args["units"] == 32
    assert spec.precision.input == "fixed<8,3>"
    for option, what in [
        ("hardware.clock_perod_ns=3", "unknown key"),
        ("hardware.clock_period_ns=fast", "wrong value"),
        ("hardware.clock_period_ns", "not a key=value"),
        ("=3", "not a key=value"),
        ("model.layers[9].units=3", "there is no such place"),
        ("train.seed=[", "the value is not YAML"),
    ]:
        error = only(tmp_path, DIGITS, (option,))
        assert what in error.what and (error.where or "").startswith(f"--set {option}"), error.render()


@pytest.mark.parametrize("text", [DIGITS, BROUGHT])
def test_resolved_yaml_builds_the_same_from_its_own_place(tmp_path: Path, text: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "jet_tagger.keras").touch()
    spec = load_spec(write(tmp_path / "in", text))
    folder = tmp_path / "out" / "deep"
    resolved = write(folder, resolved_yaml(spec, folder), "resolved.yaml")
    again = load_spec(resolved)
    assert again.base_dir == spec.base_dir and again.outputs.dir is not None
    assert Path(os.path.normpath(again.base_dir / again.outputs.dir)) == folder
    drop = {"base": True, "outputs": {"dir"}, "model": {"layers": {"__all__": {"line"}}}}
    assert again.model_dump(exclude=drop) == spec.model_dump(exclude=drop)
    assert resolved_yaml(again, folder) == resolved.read_text()
    written = yaml.safe_load(resolved.read_text())
    assert set(written) == set(ModelSpec.model_fields)
    assert set(written["hardware"]) == set(type(spec.hardware).model_fields)


def test_schema_accepts_what_the_loader_accepts() -> None:
    schema = json_schema()
    assert set(schema["properties"]) == set(ModelSpec.model_fields)
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["HardwareSection"]["properties"]["clock_period_ns"]["default"] == 5


@pytest.mark.parametrize(
    ("text", "weight", "fault"),
    [
        ("quantized_bits(6,0,alpha=1)", True, None),
        ("quantized_bits(6,0)", False, None),
        ("quantized_bits(6,0,1,True,1.0)", True, None),
        ("quantized_bits(6,0,1,True)", True, "has no alpha"),
        ("binary()", True, "has no alpha"),
        ("binary", True, "has no alpha"),
        ("ternary(alpha=1)", True, None),
        ("quantized_po2(4)", True, None),
        ("quantized_bits(6,0,alpha='auto')", True, None),  # refused later, with the layer's name
        ("quantized_bits(6,f(0))", True, "not a quantizer"),
        ("6 bits", True, "not a quantizer"),
        ("fixed<6,1>", True, "a number type"),
    ],
)
def test_quantizer_texts(text: str, weight: bool, fault: str | None) -> None:
    found = quantizer_fault(text, weight)
    assert (found is None) if fault is None else (found is not None and fault in found[0])


def test_a_layer_without_quantizers_takes_a_number_type(tmp_path: Path) -> None:
    text = """\
model:
  name: net
  input_shape: [4]
  layers:
    - QDense: {name: fc1, units: 3}
    - BatchNormalization: {name: bn1}
data: {set: digits}
precision:
  input: fixed<8,3>
  weight: quantized_bits(6,0,alpha=1)
  bias: quantized_bits(6,0,alpha=1)
  layers:
    bn1: {weight: "fixed<12,2>"}
"""
    path = tmp_path / "model.yaml"
    path.write_text(text)
    assert load_spec(path).precision.layers["bn1"].weight == "fixed<12,2>"
    path.write_text(text.replace("bn1: {weight", "fc1: {weight"))
    with pytest.raises(ErrorList, match=r"precision\.layers\.fc1\.weight: a number type where a quantizer belongs"):
        load_spec(path)


def test_a_saved_model_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "jet_tagger.keras").mkdir()
    assert only(tmp_path, BROUGHT).what == "the model file is a folder"
    (tmp_path / "jet_tagger.keras" / "saved_model.pb").touch()
    error = only(tmp_path, BROUGHT)
    assert error.what == "the model file is a folder, a TensorFlow SavedModel"
    assert "model.save" in (error.expected or "")


def test_a_set_and_a_file_exclude_each_other_but_for_jets(tmp_path: Path) -> None:
    (tmp_path / "d.npz").touch()
    error = only(tmp_path, DIGITS.replace("set: digits", "set: digits\n  npz: d.npz"))
    assert (line(error), error.what) == (":12: data.npz", "excludes data.set")
    write(tmp_path, DIGITS.replace("set: digits", "set: jets\n  npz: d.npz"))
    assert load_spec(tmp_path / "model.yaml").data is not None
