"""Rules of a model.yaml over several keys; what pydantic's field types cannot say."""

from __future__ import annotations

import difflib
import os
import re
import sys
from pathlib import Path
from typing import Any

from hwgen.cost.parts import LIBRARIES, find_part
from hwgen.errors import NumericsError, SpecError
from hwgen.fixed import FixedPoint
from hwgen.reserved import RESERVED
from hwgen.spec_compress import STEPS, with_factors
from hwgen.spec_pruning import check_pruning
from hwgen.spec_quantizers import quantizer_fault
from hwgen.spec_robustness import is_reference
from hwgen.spec_yaml import Document

SOURCES = {"model": ("layers", "builder", "file"), "data": ("set", "npz", "loader")}


class _Look:
    """The raw values, whatever their types: every check is tolerant, so that all errors show at once."""

    def __init__(self, document: Document) -> None:
        self.document = document

    def get(self, path: str, default: Any = None) -> Any:
        at: Any = self.document.value
        for step in path.split("."):
            at = at.get(step) if isinstance(at, dict) else None
        return default if at is None else at

    def has(self, path: str) -> bool:
        return self.get(path) is not None

    def table(self, path: str) -> dict[str, Any]:
        value = self.get(path)
        return value if isinstance(value, dict) else {}

    def layers(self) -> list[dict[str, Any]]:
        value = self.get("model.layers")
        return [layer for layer in value if isinstance(layer, dict)] if isinstance(value, list) else []


def check(document: Document, folder: Path | None) -> None:
    """Record every breach of the rules that pydantic does not know.

    Parameters
    ----------
    document : Document
        With layers normalised and overrides applied.
    folder : Path, optional
        Where the YAML stands; None: the files it names are not looked for.
    """
    look = _Look(document)
    _check_name(look)
    _check_sources(look)
    _check_order(look)
    if folder is not None:
        _check_files(look, folder)
    _check_layer_names(look)
    _check_hardware(look)
    _check_part(look, folder)
    _check_handoff(look)
    _check_quantizers(look)
    check_pruning(document)
    _check_bits(look)


def _check_name(look: _Look) -> None:
    name = look.get("model.name")
    if not isinstance(name, str):
        return
    reserved = name.lower() in RESERVED or name.lower().startswith("hg_")
    if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) or reserved:
        what = "a reserved word cannot be a module's name" if reserved else "not an identifier"
        hint = None if look.document.place("model.name").text else "write model.name: it names the top module"
        better = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "net"
        better = f"net_{better}" if reserved or not better[0].isalpha() else better
        found = None if hint is None else name
        more = {"found": found} if found else {}
        look.document.fail("model.name", what, expected=better, hint=hint, **more)


def _check_sources(look: _Look) -> None:
    for section, keys in SOURCES.items():
        said = [k for k in keys if look.has(f"{section}.{k}")]
        if said == ["set", "npz"] and look.get("data.set") == "jets":
            said = ["npz"]  # a file of jets: standardised as the set of that name
        if len(said) > 1:
            for key in said[1:]:
                look.document.fail(
                    f"{section}.{key}", f"excludes {section}.{said[0]}", expected=f"one of {', '.join(keys)}"
                )
        elif not said and isinstance(look.get(section), dict):
            options = ", ".join(f"{section}.{k}" for k in keys)
            look.document.fail(section, "does not say what to use", expected=f"one of {options}", found=None)
    if look.get("model.args") and not look.has("model.builder"):
        look.document.fail("model.args", "arguments are given to a builder", expected="model.builder", found=None)
    if look.has("model.layers") and not look.layers() and isinstance(look.get("model.layers"), list):
        look.document.fail("model.layers", "no layers", expected="- QDense: {name: fc1, units: 64}")
    if not look.has("data"):
        if look.has("model.layers") and not look.has("train.weights"):
            look.document.fail(
                "data", "a described network needs data to train on", expected="data.set, data.npz or data.loader"
            )
        for step in STEPS:
            if look.has(f"compress.{step}"):
                look.document.fail(
                    f"compress.{step}", f"{step} fine-tunes the network, which needs data", expected="data:"
                )
        if look.has("model.layers") and not look.has("model.input_shape"):
            look.document.fail("model.input_shape", "required without data", expected="as [16]", found=None)
        if look.get("verify.robustness") is not None:
            look.document.fail("verify.robustness", "robustness cannot be measured without data", expected="data:")
        if look.has("verify.require.accuracy"):
            look.document.fail("verify.require.accuracy", "accuracy cannot be measured without data", expected="data:")
    for key in ("weight", "bias", "activation"):
        for source, reason in (("file", "a brought model has its own"), ("builder", "the builder says its own")):
            if look.has(f"model.{source}") and look.has(f"precision.{key}"):
                look.document.fail(
                    f"precision.{key}", f"quantizers cannot be filled in: {reason}", expected="no such key"
                )


def _check_order(look: _Look) -> None:
    """`compress.order` names every technique that is asked for, once, and no other; distillation needs one of them."""
    order, asked = look.get("compress.order"), [step for step in STEPS if look.has(f"compress.{step}")]
    if isinstance(order, list) and sorted(map(str, order)) != sorted(asked):
        expected = f"{', '.join(asked) or 'no order'}, each once"
        what = "the order is not that of the techniques asked for"
        look.document.fail("compress.order", what, expected=expected, found=", ".join(map(str, order)))
    if look.has("compress.distill") and not asked:
        expected = f"one of {', '.join(STEPS)}"
        what = "distillation is a way of fine-tuning, and no technique fine-tunes"
        look.document.fail("compress.distill", what, expected=expected, found=None)


def _check_files(look: _Look, folder: Path) -> None:
    base = folder / str(look.get("base", "."))
    for key, what in (("model.file", "model file"), ("data.npz", "data file")):
        name = look.get(key)
        is_set = key == "data.npz" and isinstance(name, str) and any((base / name).glob("*idx*"))
        if isinstance(name, str) and not (base / name).is_file() and not is_set:
            state, expected = _not_a_file(base / name, model=key == "model.file")
            near = (base / name).parent.glob("*") if state == "does not exist" else []
            close = difflib.get_close_matches(Path(name).name, [p.name for p in near if p.is_file()], 1)
            hint = f"did you mean {Path(name).with_name(close[0])}?" if close else "paths are relative to the YAML file"
            look.document.fail(key, f"the {what} {state}", expected=expected, hint=hint)
    shifted = look.get("verify.robustness.shifted")
    if isinstance(shifted, str) and not is_reference(shifted) and not (base / shifted).is_file():
        state, expected = _not_a_file(base / shifted, model=False)
        hint = "or a function that returns x, y: package.module:function"
        look.document.fail("verify.robustness.shifted", f"the data file {state}", expected=expected, hint=hint)
    for key in ("model.builder", "data.loader", "verify.robustness.shifted"):
        text = look.get(key)
        module = (
            text.partition(":")[0] if isinstance(text, str) and re.fullmatch(r"[A-Za-z_][\w.]*:\w+", text) else None
        )
        if module is not None and find_module(module, base) is None:
            hint = f"looked in {base} and in Python's path"
            look.document.fail(key, "there is no such Python module", expected="package.module:function", hint=hint)


def _not_a_file(path: Path, *, model: bool) -> tuple[str, str]:
    """Return what is wrong with a path that is not a file, and what is expected there."""
    if model and (path / "saved_model.pb").is_file():
        return "is a folder, a TensorFlow SavedModel", "a .keras or .h5 file: load it, then model.save('net.keras')"
    if path.is_dir():
        return "is a folder", f"a file at {os.path.normpath(path)}"
    return "does not exist", os.path.normpath(path)


def find_module(name: str, base: Path) -> Path | None:
    """Return the source file of a Python module, in `base` first, then in Python's path; nothing is imported."""
    parts = Path(*name.split("."))
    for root in [base, *(Path(p or ".") for p in sys.path), Path(__file__).parents[1]]:
        for candidate in (root / parts.with_name(parts.name + ".py"), root / parts / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None


def _check_layer_names(look: _Look) -> None:
    names: dict[str, int] = {}
    for index, layer in enumerate(look.layers()):
        path = f"model.layers[{index}].name"
        name = layer.get("args", {}).get("name")
        if name is None:
            continue
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
            look.document.fail(path, "a layer's name must be an identifier", expected="letters, digits and _")
        elif name in names:
            first = look.document.place(f"model.layers[{names[name]}].name").where
            look.document.fail(path, f"two layers are called {name}", expected=f"another name; the first is at {first}")
        else:
            names[name] = index
    if not look.has("model.layers"):
        return
    later = with_factors(list(names)) if look.has("compress.low_rank") else names
    for section in ("precision.layers", "hardware.layers", *(f"compress.{step}.layers" for step in STEPS)):
        for name in look.table(section):
            if name not in (names if section == "compress.low_rank.layers" else later):
                close = difflib.get_close_matches(name, list(names), 1)
                expected = f"{close[0]}?" if close else f"one of {', '.join(names) or 'none: no layer has a name'}"
                look.document.fail(f"{section}.{name}", "no layer has this name", expected=expected, found=name)


def _check_hardware(look: _Look) -> None:
    parallel = look.get("hardware.io_type", "io_parallel") == "io_parallel"
    rates = [k for k in ("interval_cycles", "throughput_hz", "latency_us") if look.has(f"hardware.target.{k}")]
    for key in rates[1:]:
        look.document.fail(
            f"hardware.target.{key}", f"excludes hardware.target.{rates[0]}", expected="at most one of them"
        )
    reuse = ["hardware.reuse_factor"] + [f"hardware.layers.{n}.reuse_factor" for n in look.table("hardware.layers")]
    for path in reuse:
        value = look.get(path)
        if value is None:
            continue
        if rates:
            look.document.fail(path, f"excludes hardware.target.{rates[0]}", expected="one of the two")
        if isinstance(value, int) and value > 1 and parallel:
            look.document.fail(
                path,
                "io_parallel uses every multiplier once a clock",
                expected="reuse_factor: 1, or io_type: io_stream, which folds",
            )
    strategies = ["hardware.strategy"] + [f"hardware.layers.{n}.strategy" for n in look.table("hardware.layers")]
    for path in strategies:
        if look.get(path) == "resource" and parallel:
            look.document.fail(
                path,
                "io_parallel folds nothing",
                expected="distributed_arithmetic or latency; resource is for io_stream",
            )
    if parallel:
        for key in ("max_multipliers", "max_dsp"):
            if look.has(f"hardware.target.{key}"):
                look.document.fail(
                    f"hardware.target.{key}",
                    "io_parallel shares no multiplier",
                    expected="io_type: io_stream, which folds",
                )
    elif look.get("hardware.handshake") == "none":
        look.document.fail("hardware.handshake", "io_stream needs its handshake", expected="valid_ready")


def _check_part(look: _Look, folder: Path | None) -> None:
    """Refuse a part that is not known, before anything is trained for it."""
    name = look.get("hardware.part")
    if not isinstance(name, str):
        return
    try:
        part = find_part(name)
    except SpecError as error:
        more = {"expected": error.expected, "hint": error.hint}
        look.document.fail("hardware.part", error.what, found=name, **more)
        return
    library = part.asic and part.device not in LIBRARIES
    base = folder / str(look.get("base") or ".") if folder is not None else None
    if library and base is not None and not (base / name).is_file():
        expected = os.path.normpath(base / name)
        look.document.fail("hardware.part", "the cell library does not exist", expected=expected, found=name)


def _check_handoff(look: _Look) -> None:
    wanted = look.get("outputs.handoff")
    if not isinstance(wanted, list) or not wanted:
        return
    from hwgen.handoff import AMD_PART, STREAM_BITS, TARGETS  # NumPy, which --help does without

    for name in wanted:
        if isinstance(name, str) and name not in TARGETS:
            close = difflib.get_close_matches(name, TARGETS, 1)
            expected = f"{close[0]}?" if close else f"a list of {', '.join(TARGETS)}"
            look.document.fail("outputs.handoff", "there is no such hand-off target", found=name, expected=expected)
    part, size = look.get("hardware.part"), look.get("hardware.axis_bytes", 8)
    if "vivado" in wanted and isinstance(part, str) and not AMD_PART.fullmatch(part):
        look.document.fail(
            "hardware.part", "outputs.handoff: [vivado] is for AMD's parts", expected="as xck26-sfvc784-2LV-c"
        )
    if "pynq" in wanted and look.get("hardware.handshake") == "none":
        look.document.fail("hardware.handshake", "outputs.handoff: [pynq] needs AXI4-Stream", expected="valid_ready")
    elif "pynq" in wanted and isinstance(size, int) and 8 * size not in STREAM_BITS:
        expected = ", ".join(str(b // 8) for b in STREAM_BITS)
        look.document.fail("hardware.axis_bytes", "outputs.handoff: [pynq]: no AXI DMA is so wide", expected=expected)


def _check_quantizers(look: _Look) -> None:
    kinds = {layer.get("args", {}).get("name"): str(layer.get("kind")) for layer in look.layers()}
    for entry in ["", *look.table("precision.layers")]:
        scope = f"precision.layers.{entry}" if entry else "precision"
        for key in ("weight", "bias", "activation"):
            text = look.get(f"{scope}.{key}")
            # A layer without quantizers of its own (BatchNormalization, Dense, one of a brought network) takes a type.
            if entry and key != "activation" and not kinds.get(entry, "").startswith("Q") and _is_type(text):
                continue
            _check_quantizer(look, f"{scope}.{key}", text, f"{scope}.{key}", key == "weight")
    for index, layer in enumerate(look.layers()):
        name = layer.get("args", {}).get("name") or layer.get("kind")
        for key, value in layer.get("args", {}).items():
            if key.endswith("_quantizer") or (key == "activation" and layer.get("kind") == "QActivation"):
                weight = key in ("kernel_quantizer", "depthwise_quantizer", "pointwise_quantizer")
                _check_quantizer(look, f"model.layers[{index}].{key}", value, f"{name}.{key}", weight)


def _is_type(text: Any) -> bool:
    try:
        return isinstance(text, str) and FixedPoint.parse(text).width > 0
    except NumericsError:
        return False


def _check_quantizer(look: _Look, path: str, text: Any, shown: str, weight: bool) -> None:
    fault = quantizer_fault(text, weight) if isinstance(text, str) else None
    if fault is not None:
        what, found, expected = fault
        look.document.fail(path, what, shown=shown, found=found, expected=expected)


def _check_bits(look: _Look) -> None:
    """Refuse a `compress.bits` that asks for nothing, for two things, or for what its cost does not know."""
    at = "compress.bits"
    asked = any(look.get(f"{at}.{key}") for key in ("preset", "layers")) or look.has(f"{at}.search")
    if isinstance(look.get(at), dict) and not asked:
        look.document.fail(at, "says nothing to do", expected="preset, layers or search", found=None)
    limits = [key for key in ("max_drop", "floor", "ceiling") if look.has(f"{at}.search.{key}")]
    for key in limits[1:]:
        excludes = f"excludes {at}.search.{limits[0]}"
        look.document.fail(f"{at}.search.{key}", excludes, expected="at most one of max_drop, floor, ceiling")
    cost, parallel = look.get(f"{at}.search.cost", "weight_bits"), look.get("hardware.io_type") != "io_stream"
    if cost == "weight_bits" and look.get(f"{at}.search.activations") is True:
        what = "activations have no weight_bits, the cost that is searched for"
        look.document.fail(f"{at}.search.activations", what, expected=f"{at}.search.cost: lut, or another of a circuit")
    if cost in ("memory_bits", "dsp", "bram_18k", "interval_cycles") and parallel:
        what = f"{cost} is not what narrower numbers save in io_parallel"
        look.document.fail(
            f"{at}.search.cost", what, expected="weight_bits or lut; io_type: io_stream knows the others"
        )
