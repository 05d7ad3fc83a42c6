"""model.yaml as plain values plus the line of every key, with YAML's own traps explained.

PyYAML's composer keeps line numbers that its loader throws away; this module walks the composed nodes itself.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hwgen.errors import ErrorList, HwgenError, SpecError

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

TRUTH_WORDS = ("on", "off", "yes", "no")
"""Words that YAML 1.1 reads as True and False."""

MAX_DEPTH = 20


@dataclass(frozen=True)
class Place:
    """Where a value was written: ``model.yaml:21`` (or the ``--set`` option), and its text."""

    where: str
    text: str


@dataclass
class Document:
    """A parsed model.yaml: nested plain values, the place of each dotted path, and the errors met on the way."""

    file: str
    value: dict[str, Any]
    places: dict[str, Place] = field(default_factory=dict)
    errors: list[HwgenError] = field(default_factory=list)

    def place(self, path: str) -> Place:
        """Return the place of `path`, or of the nearest key around it that was written."""
        while path and path not in self.places:
            path = re.sub(r"(\.?[^.\[\]]+|\[\d+\])$", "", path)
        return self.places.get(path, Place(self.file, ""))

    def fail(self, path: str, what: str, *, expected: str | None = None, hint: str | None = None, **more: Any) -> None:
        """Record an error at `path`; ``found`` defaults to the text written there, ``shown`` to the path."""
        place = self.place(path)
        found = more.get("found", place.text if path in self.places else None)
        where = f"{place.where}: {more.get('shown', path)}" if path else place.where
        self.errors.append(SpecError(what, where=where, found=found, expected=expected, hint=hint))


def read_yaml(path: Path) -> Document:
    """Read and parse a YAML file.

    Raises
    ------
    ErrorList
        If the file is missing, is a folder, or is not YAML at all. Finer errors stay in ``Document.errors``.
    """
    shown = str(path)
    if path.is_dir():
        hint = f"hwgen build {path / 'model.yaml'}" if (path / "model.yaml").is_file() else None
        raise ErrorList([SpecError("this is a folder, not a YAML file", where=shown, hint=hint)])
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ErrorList([SpecError("there is no such file", where=shown, hint=_neighbours(path))]) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ErrorList([SpecError(f"the file cannot be read as text: {error}", where=shown)]) from error
    return parse_yaml(text, shown)


def parse_yaml(text: str, file: str) -> Document:
    """Parse YAML text; `file` is the name that messages show."""
    try:
        root = yaml.compose(text, Loader=Loader)
    except yaml.YAMLError as error:
        raise ErrorList([_syntax_error(error, text, file)]) from error
    document = Document(file, {})
    if root is None:
        raise ErrorList([SpecError("the file is empty", where=file, expected="at least a `model:` section")])
    if not isinstance(root, yaml.MappingNode):
        raise ErrorList(
            [SpecError("not a mapping of sections", where=f"{file}:1", expected="`model:`, `data:`, `precision:`, …")]
        )
    document.value = _Reader(document, text).read(root, "")
    return document


class _Reader:
    """Turns composed nodes into values, noting the place of each and explaining traps."""

    def __init__(self, document: Document, text: str) -> None:
        self.document, self.text = document, text
        self.construct = Loader("")

    def read(self, node: yaml.Node, path: str) -> Any:
        if path.count(".") + path.count("[") > MAX_DEPTH:
            where = f"{self.where(node)}"
            raise ErrorList([SpecError("nested too deeply, or an alias that contains itself", where=where)])
        match node:
            case yaml.MappingNode():
                return self.mapping(node, path)
            case yaml.SequenceNode():
                items = []
                for index, item in enumerate(node.value):
                    self.note(f"{path}[{index}]", item, item)
                    items.append(self.read(item, f"{path}[{index}]"))
                return items
            case _:
                return self.scalar(node, path)

    def mapping(self, node: yaml.MappingNode, path: str) -> dict[str, Any]:
        result: dict[str, Any] = {}
        pairs = list(node.value)
        while pairs:
            key_node, value_node = pairs.pop(0)
            key = str(key_node.value)
            inner = f"{path}.{key}" if path else key
            if key in result:
                found = f"{key}, first at {self.document.places[inner].where}"
                self.document.errors.append(
                    SpecError(
                        "the same key twice",
                        where=f"{self.where(key_node)}: {inner}",
                        found=found,
                        expected="one of them",
                    )
                )
                continue
            self.note(inner, key_node, value_node)
            if node.flow_style and _unbalanced(value_node):
                result[key] = self.split_at_comma(inner, value_node, pairs)
            else:
                result[key] = self.read(value_node, inner)
        return result

    def split_at_comma(self, path: str, node: yaml.Node, pairs: list[Any]) -> str:
        """Join what YAML split at a comma inside brackets, and say so."""
        text = str(node.value)
        while pairs and text.count("<") + text.count("(") > text.count(">") + text.count(")"):
            key_node, value_node = pairs.pop(0)
            tail = str(key_node.value)
            if not (isinstance(value_node, yaml.ScalarNode) and value_node.value == ""):
                tail += f": {getattr(value_node, 'value', '…')}"
            text += f",{tail}"
        self.document.fail(
            path,
            "YAML split this value at its comma, because it stands between { and }",
            found=text,
            expected=f'quotes: "{text}"',
        )
        return text

    def scalar(self, node: yaml.Node, path: str) -> Any:
        try:
            return self.construct.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            self.document.fail(path, f"YAML cannot read this value: {getattr(error, 'problem', None) or error}")
            return None

    def where(self, node: yaml.Node) -> str:
        return f"{self.document.file}:{node.start_mark.line + 1}"

    def note(self, path: str, key_node: yaml.Node, value_node: yaml.Node) -> None:
        """Remember where `path` stands and the text of its key and value (one line of it)."""
        start, end = key_node.start_mark, value_node.end_mark
        text = self.text[start.index : end.index] if isinstance(value_node, yaml.ScalarNode) else ""
        self.document.places[path] = Place(self.where(key_node), " ".join(text.split())[:120])


def _unbalanced(node: yaml.Node) -> bool:
    plain = isinstance(node, yaml.ScalarNode) and not node.style
    return plain and (node.value.count("<") > node.value.count(">") or node.value.count("(") > node.value.count(")"))


def _syntax_error(error: yaml.YAMLError, text: str, file: str) -> SpecError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    if mark is None:
        return SpecError(f"not YAML: {problem}", where=file)
    lines = text.splitlines() or [""]
    line = lines[min(mark.line, len(lines) - 1)]
    where = f"{file}:{mark.line + 1}"
    found = line.strip()[:100] or None
    if "\t" in line[: len(line) - len(line.lstrip())] or r"'\t'" in problem:
        shown = line.replace("\t", "→")[:100]
        return SpecError(
            "a tab stands in the indentation", where=where, found=shown, expected="spaces: YAML forbids tabs"
        )
    hint = None
    if "mapping values are not allowed" in problem:
        hint = "a text with `: ` inside needs quotes; or the indentation of this line is off"
    return SpecError(f"not YAML: {problem}", where=where, found=found, hint=hint)


def _neighbours(path: Path) -> str | None:
    """Suggest YAML files beside a missing one."""
    import difflib

    folder = path.parent
    names = [p.name for p in folder.glob("*.y*ml")] if folder.is_dir() else []
    if not folder.is_dir():
        return f"the folder {folder} does not exist"
    close = difflib.get_close_matches(path.name, names, 1) or names[:1]
    return f"did you mean {folder / close[0]}?" if close else None


def explain_scalar(text: str, value: Any) -> str | None:
    """Return a hint if `text` (as ``key: value``) is one of YAML's well-known misreadings of a scalar."""
    raw = text.partition(":")[2].strip() or text.strip()
    if isinstance(value, bool) and raw.lower() in TRUTH_WORDS:
        return f"YAML reads {raw} as {str(value).lower()}; to mean the word, quote it: '{raw}'"
    if isinstance(value, str) and re.fullmatch(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+", raw):
        mantissa, exponent = re.split("[eE]", raw)
        mantissa = mantissa if "." in mantissa else f"{mantissa}.0"
        sign = exponent if exponent[0] in "+-" else f"+{exponent}"
        return f"YAML reads {raw} as text; write {mantissa}e{sign} or {float(raw):.10g}"
    return None


def apply_override(document: Document, option: str) -> None:
    """Apply one ``key=value`` of ``--set`` to the parsed document; `value` is read as YAML.

    A path may go through a list: ``model.layers[0].units=32``.
    """
    key, equals, text = option.partition("=")
    key, shown = key.strip(), f"--set {option}"
    parts = re.findall(r"[^.\[\]]+|\[\d+\]", key)
    if not equals or not parts or "".join(f".{p}" if p[0] != "[" else p for p in parts).lstrip(".") != key:
        document.errors.append(SpecError("not a key=value", where=shown, expected="--set hardware.clock_period_ns=3"))
        return
    try:
        value = yaml.load(text, Loader=Loader)
    except yaml.YAMLError as error:
        document.errors.append(
            SpecError(f"the value is not YAML: {getattr(error, 'problem', error)}", where=shown, found=text)
        )
        return
    if parts[:2] == ["model", "layers"] and len(parts) > 3:
        parts.insert(3, "args")  # where layers have been normalised to
    target: Any = document.value
    for part, following in itertools.pairwise(parts):
        target = _step(target, part, {} if following[0] != "[" else [])
    if not _assign(target, parts[-1], value):
        document.errors.append(SpecError("there is no such place in the file", where=shown, found=key))
        return
    for path in [p for p in document.places if p == key or p.startswith((f"{key}.", f"{key}["))]:
        del document.places[path]
    document.places[key] = Place(shown, text)


def _step(target: Any, part: str, empty: Any) -> Any:
    if isinstance(target, dict) and part[0] != "[":
        if target.get(part) is None:
            target[part] = empty
        return target[part]
    if isinstance(target, list) and part[0] == "[" and int(part[1:-1]) < len(target):
        return target[int(part[1:-1])]
    return None


def _assign(target: Any, part: str, value: Any) -> bool:
    if isinstance(target, dict) and part[0] != "[":
        target[part] = value
        return True
    if isinstance(target, list) and part[0] == "[" and int(part[1:-1]) < len(target):
        target[int(part[1:-1])] = value
        return True
    return False


def join_path(location: Sequence[str | int]) -> str:
    """Return a dotted path: ``("model", "layers", 0)`` is ``model.layers[0]``."""
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in location).lstrip(".")
