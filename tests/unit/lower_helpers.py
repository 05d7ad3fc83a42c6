"""Shared by the tests of the lowering: a model in, three representations compared."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from hwgen.ir.graph import Graph
from hwgen.train.env import mend_qkeras

Q6 = "quantized_bits(6,0,alpha=1)"


def make_spec(
    name: str = "net",
    *,
    output: str = "logits",
    io_type: str = "io_parallel",
    reuse: int | None = None,
    **precision: Any,
) -> Any:
    """A stand-in for ModelSpec with what the lowering reads."""
    section = {"input": None, "weight": None, "bias": None, "activation": None, "result": None, "accum": None}
    section |= {"layers": {}, "allow_wrap": False} | precision
    return SimpleNamespace(
        model=SimpleNamespace(name=name, output=output, layers=None),
        precision=SimpleNamespace(**section),
        hardware=SimpleNamespace(
            part="xcvu13p-flga2577-2-e", clock_period_ns=5.0, io_type=io_type, reuse_factor=reuse, layers={}
        ),
    )


def set_random_weights(model: Any, seed: int, spread: float = 0.7) -> None:
    """Fill every weight with floats that are not on any grid; variances positive."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        shape = tuple(variable.shape)
        value = rng.normal(0.0, spread, shape)
        if "variance" in variable.path:
            value = 0.3 + np.abs(value)
        if "iteration" in variable.path or "seed" in variable.path:
            continue
        variable.assign(value.astype(variable.dtype))


def random_inputs(graph: Graph, frames: int, seed: int) -> dict[str, np.ndarray]:
    """Random integers of each input's format, with all-minimum, all-maximum and all-zero frames among them."""
    rng = np.random.default_rng(seed)
    inputs = {}
    for node in graph.inputs:
        lo, hi = node.fmt.int_min, node.fmt.int_max
        x = rng.integers(lo, hi, (frames, *node.shape), endpoint=True)
        x[0], x[1], x[2] = lo, hi, max(lo, 0)
        inputs[node.name] = x
    return inputs


def check_exact(model: Any, spec: Any, folder: Path | None = None, *, frames: int = 500, seed: int = 0) -> Graph:
    """Assert QKeras = graph (every layer), and graph = HLS C++ if a folder is given; return the graph."""
    from hwgen.lower import check_model, lower_model
    from hwgen.lower.reference import QKerasReference

    check_model(model, spec)
    lowered = lower_model(model, spec)
    graph = lowered.graph
    inputs = random_inputs(graph, frames, seed)
    trace = graph.evaluate(inputs, trace=True)
    reference = QKerasReference(model, graph, spec).run(inputs, trace=True)
    assert set(o.name for o in graph.outputs) <= set(reference)
    for name, values in reference.items():
        assert np.array_equal(values, trace[name]), f"{name} differs between QKeras and the graph (seed {seed})"
    if folder is not None:
        from hwgen.lower.firmware import Emulator, write_project

        write_project(model, lowered, spec, folder)
        for name, values in Emulator.build(folder).run(inputs).items():
            assert np.array_equal(values, trace[name]), f"{name} differs between graph and HLS C++ (seed {seed})"
    return graph


@lru_cache(maxsize=1)
def libraries() -> Any:
    """Keras and QKeras, imported quietly, once."""
    from hwgen.lower import vendor

    with vendor.quiet():
        import keras
        import qkeras

        mend_qkeras()
    return SimpleNamespace(keras=keras, layers=keras.layers, **{k: getattr(qkeras, k) for k in QKERAS})


QKERAS = (
    "QDense",
    "QActivation",
    "QDenseBatchnorm",
    "QBatchNormalization",
    "QConv2D",
    "quantized_relu",
    "quantized_bits",
)


def qdense(units: int, name: str, kernel: str | None = Q6, bias: str | None = Q6, **more: Any) -> Any:
    """A QDense with both quantizers."""
    return libraries().QDense(units, kernel_quantizer=kernel, bias_quantizer=bias, name=name, **more)


def qact(text: str, name: str | None = None) -> Any:
    """A QActivation."""
    return libraries().QActivation(text, name=name)


def chain(*layers: Any, n: int | tuple[int, ...] = 8, seed: int = 3) -> Any:
    """A Sequential model with an input called x and random weights."""
    k = libraries().keras
    shape = n if isinstance(n, tuple) else (n,)
    model = k.Sequential([k.Input(shape, name="x"), *layers])
    set_random_weights(model, seed)
    return model
