"""The lowering's parts: rules against QKeras' own numbers, names, the written project, the emulator's failures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lower_helpers import chain, check_exact, libraries, make_spec, qact, qdense
from test_lower_traps import ACTIVATIONS, TABLES, WEIGHTS

from hwgen.errors import ProofError, SpecError, ToolMissing
from hwgen.fixed import FixedPoint
from hwgen.lower.names import Label, Names, identifier

pytestmark = pytest.mark.keras


def quantizer(text: str) -> Any:
    """A QKeras quantizer object."""
    libraries()
    import qkeras.quantizers

    return qkeras.quantizers.get_quantizer(text)


def points(seed: int) -> np.ndarray:
    """Floats of all sizes, with every tie of a grid of 1/32 among them."""
    rng = np.random.default_rng(seed)
    ties = np.arange(-256, 257) / 64.0
    return np.concatenate(
        [ties, rng.normal(0, 2, 2000), rng.normal(0, 1e-3, 200), [0.0, -0.0, 1e-9, -1e-9, 100.0, -100.0]]
    )


@pytest.mark.parametrize("text", WEIGHTS)
def test_weight_rules_equal_qkeras(text: str) -> None:
    from hwgen.lower import vendor
    from hwgen.lower.quantizers import weight_rule

    x = points(1).astype(np.float32).astype(np.float64)[:, None]
    with vendor.float64():
        expected = np.asarray(quantizer(text)(x))
    rule = weight_rule(quantizer(text), "w")
    assert np.array_equal(np.ldexp(rule.apply(x).astype(np.float64), -rule.fraction), expected)


@pytest.mark.parametrize("text", ACTIVATIONS + TABLES)
def test_activation_rules_equal_qkeras(text: str) -> None:
    from hwgen.lower import vendor
    from hwgen.lower.activations import rule_on_floats
    from hwgen.lower.quantizers import activation_rule

    x = np.round(points(2) * 1024) / 1024  # on a grid, as activations are
    with vendor.float64():
        expected = np.asarray(quantizer(text)(x))
    rule = activation_rule(quantizer(text), "a")
    fmt = (rule.then or rule).fmt
    assert np.array_equal(fmt.to_float(rule_on_floats(rule, x)), expected)


def test_names() -> None:
    assert identifier("q-dense/1") == "q_dense_1"
    assert identifier("1st") == "n_1st"
    assert identifier("module") == "module_n"
    assert [identifier(n) for n in ("clk", "axis", "In_Valid", "a_table", "hg_done")] == [
        "clk_n",
        "axis_n",
        "In_Valid_n",
        "a_table_n",
        "n_hg_done",
    ]
    assert identifier("-") == "n"
    names = Names(reserved=["fc1_w"])
    assert names.fresh("fc1_w") == "fc1_w_2"
    assert names.fresh(Label("fc1_w")) == "fc1_w"
    assert [names.fresh(n) for n in ("A", "a", "a")] == ["A", "a_2", "a_3"]


def test_layers_named_like_helpers_keep_their_names() -> None:
    model = chain(
        qdense(4, "fc"), qact("quantized_relu(4,2)", "fc_w"), qdense(3, "input"), qact("quantized_bits(4,2)", "i")
    )
    graph = check_exact(model, make_spec(input="fixed<8,3>"))
    assert {"fc", "fc_w", "input_n", "i"} <= set(graph.by_name)
    assert [o.name for o in graph.outputs] == ["i_out"]


def test_inputs_are_named_in_the_spec_as_in_keras() -> None:
    from hwgen.lower import lower_model

    model = chain(qdense(4, "d"))
    with pytest.raises(SpecError, match=r"precision\.input\.y: no input is called y"):
        lower_model(model, make_spec(input={"y": "fixed<8,3>"}))


def test_project_is_byte_identical_and_has_no_absolute_path() -> None:
    from hwgen.lower import lower_model
    from hwgen.lower.firmware import project_files

    model = chain(qdense(4, "d"), qact("ternary", "t"))
    graph = lower_model(model, make_spec(input="fixed<8,3>")).graph
    first, second = (project_files(graph, part="xcvu13p-flga2577-2-e", clock_period_ns=5) for _ in range(2))
    assert first.digest() == second.digest()
    assert "firmware/net.cpp" in first and "firmware/nnet_utils/nnet_hwgen.h" in first
    ours = [p for p in first if not p.startswith(("firmware/ap_types", "firmware/nnet_utils"))]
    assert not [p for p in ours if b"/tmp" in first[p]]
    assert b"set clock_period 5" in first["project.tcl"] or b"5" in first["project.tcl"]


def test_integer_sparsity_and_configuration() -> None:
    from hwgen.lower import lower_model

    model = chain(qdense(4, "d", use_bias=False))
    kernel = np.zeros((8, 4))
    kernel[0] = 0.5
    model.layers[0].kernel.assign(kernel)
    lowered = lower_model(model, make_spec(input="fixed<8,3>"))
    assert lowered.integer_sparsity == {"d": 1 - 4 / 32}
    assert lowered.hls_config["LayerName"]["d"]["Precision"]["result"] == "fixed<8,2>"


def test_without_a_compiler_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hwgen.lower import lower_model
    from hwgen.lower.firmware import Emulator, write_project
    from hwgen.tools import gxx

    model, spec = chain(qdense(2, "d"), n=2), make_spec(input="fixed<8,3>")
    write_project(model, lower_model(model, spec), spec, tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    gxx.find.cache_clear()
    try:
        with pytest.raises(ToolMissing, match="g\\+\\+"):
            Emulator.build(tmp_path)
    finally:
        gxx.find.cache_clear()


@pytest.mark.gxx
def test_a_project_that_does_not_compile_is_a_failure(tmp_path: Path) -> None:
    from hwgen.lower import lower_model
    from hwgen.lower.firmware import Emulator, write_project

    model, spec = chain(qdense(2, "d"), n=2), make_spec(input="fixed<8,3>")
    write_project(model, lower_model(model, spec), spec, tmp_path)
    (tmp_path / "firmware" / "net.cpp").write_text("#error broken\n")
    with pytest.raises(ProofError, match="failed with exit status"):
        Emulator.build(tmp_path)
    assert not list((tmp_path / "build").glob("emulator-*"))


@pytest.mark.gxx
def test_an_emulation_that_crashes_is_a_failure(tmp_path: Path) -> None:
    """And takes only itself down."""
    from hwgen.lower import lower_model
    from hwgen.lower.firmware import Emulator, write_project

    model, spec = chain(qdense(2, "d"), n=2), make_spec(input="fixed<8,3>")
    write_project(model, lower_model(model, spec), spec, tmp_path)
    emulator = Emulator.build(tmp_path)
    assert emulator.run({"x": np.zeros((0, 2), dtype=np.int64)})["d_out"].shape == (0, 2)
    for weights in (tmp_path / "firmware" / "weights").glob("*.txt"):
        weights.unlink()
    with pytest.raises(ProofError, match="failed with exit status 1"):
        emulator.run({"x": np.zeros((1, 2), dtype=np.int64)})


def test_coefficients_round_half_to_even_and_fill_their_type() -> None:
    from hwgen.lower.coefficients import round_coefficients

    rounded = round_coefficients(np.array([0.75, -0.3]), None, "bn")
    assert (rounded.fmt.width, rounded.fmt.integer) == (16, 1)
    assert rounded.ints.tolist() == [24576, -9830]
    given = round_coefficients(np.array([0.625, 0.875]), FixedPoint(4, 2), "bn")
    assert given.ints.tolist() == [2, 4]


def test_a_model_graph_of_hls4mls_own_converter_is_read_too() -> None:
    """hls4ml's own QKeras handlers, their Keras 2 quantizer descriptions, binary kernels in its xnor encoding."""
    from hls4ml.converters.keras.qkeras import parse_qactivation_layer
    from hls4ml.converters.keras_v3 import layer_handlers
    from hls4ml.converters.keras_v3_to_hls import parse_keras_v3_model

    from hwgen.lower import lower_model, vendor
    from hwgen.lower.lowering import graph_of

    def handler(layer: Any, ins: Any, outs: Any) -> Any:
        description = {"class_name": "QActivation", "config": layer.get_config()}
        conf, _ = parse_qactivation_layer(description, [t.name for t in ins], [list(t.shape) for t in ins], None)
        names = {"input_keras_tensor_names": [t.name for t in ins], "output_keras_tensor_names": [t.name for t in outs]}
        return (conf | names,)

    texts = [
        "quantized_relu(6,2)",
        "quantized_bits(6,2,alpha=1)",
        "quantized_tanh(5)",
        "ternary(alpha=1)",
        "binary(alpha=1)",
    ]
    texts.append("quantized_relu(6,2,negative_slope=0.25)")
    layers: list[Any] = []
    for index, text in enumerate(texts):
        kernel = (
            "binary(alpha=1)" if index == 1 else "quantized_po2(4)" if index == 2 else "quantized_bits(6,0,alpha=1)"
        )
        layers += [qdense(6, f"d{index}", kernel), qact(text, f"a{index}")]
    model, spec = chain(*layers), make_spec(input="fixed<8,3>")
    ours = lower_model(model, spec).graph
    layer_handlers["qkeras.qlayers.QActivation"] = handler
    try:
        with vendor.quiet():
            described = parse_keras_v3_model(model, allow_da_fallback=False)
            theirs = vendor.make_model_graph(*described[:3])
            graph = graph_of(theirs, "net", {"x": FixedPoint.parse("fixed<8,3>")})
    finally:
        del layer_handlers["qkeras.qlayers.QActivation"]
    x = {"x": np.random.default_rng(0).integers(-128, 128, (200, 8))}
    expected, got = ours.evaluate(x, trace=True), graph.evaluate(x, trace=True)
    assert set(expected) == set(got)
    assert all(np.array_equal(expected[k], got[k]) for k in expected)
