"""The space of a search: axes over keys of model.yaml, and how a value gets into the file."""

from __future__ import annotations

import copy
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hwgen.errors import SpecError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

MOST_COMBINATIONS = 10_000
"""Up to this size a space is known whole, and a search ends when nothing new is left."""

Value = Any
"""A plain value of YAML."""


@dataclass(frozen=True)
class Axis:
    """One line of `space`: the keys that it sets, all to the same value, and the values it takes.

    Parameters
    ----------
    name : the line as it was written, which also names Optuna's parameter
    keys : dotted keys of model.yaml
    where : place of the line, as ``explore.yaml:7: space.hardware.reuse_factor``
    choices : the values of a list; None for a range
    low, high, step, log : of a range; whole numbers if `low`, `high` and `step` are
    text : what a value of a range is written into, as ``quantized_bits({},0,alpha=1)``
    """

    name: str
    keys: tuple[str, ...]
    where: str
    choices: tuple[Value, ...] | None = None
    low: float = 0
    high: float = 0
    step: float | None = None
    log: bool = False
    text: str | None = None

    @property
    def whole(self) -> bool:
        """Whether the values of a range are whole numbers."""
        return all(isinstance(n, int) for n in (self.low, self.high, self.step) if n is not None)

    @property
    def ordered(self) -> bool:
        """Whether the choices are rising numbers, so that neighbours are alike."""
        numbers = self.choices or ()
        plain = all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers)
        return len(numbers) > 1 and plain and all(a < b for a, b in itertools.pairwise(numbers))

    def distribution(self) -> BaseDistribution:
        """Return what Optuna draws from: rising numbers by their index, other choices by their label."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choices is not None:
            if self.ordered:
                return IntDistribution(0, len(self.choices) - 1)
            return CategoricalDistribution([label(value) for value in self.choices])
        if self.whole:
            return IntDistribution(int(self.low), int(self.high), self.log, int(self.step or 1))
        return FloatDistribution(self.low, self.high, self.log, self.step)

    def decode(self, drawn: Any) -> Value:
        """Return the value in model.yaml for what Optuna drew."""
        if self.choices is not None:
            labels = [label(value) for value in self.choices]
            return copy.deepcopy(self.choices[int(drawn) if self.ordered else labels.index(drawn)])
        number = int(drawn) if self.whole else min(self.high, max(self.low, float(f"{drawn:.6g}")))
        return number if self.text is None else self.text.replace("{}", str(number))

    def values(self) -> list[Value] | None:
        """Return every value of the axis; None if there are too many to list."""
        if self.choices is not None:
            return [copy.deepcopy(value) for value in self.choices]
        raw = self._numbers()
        return None if raw is None else [self.decode(number) for number in raw]

    def ends(self) -> list[Value]:
        """Return values that stand for all: every choice, the two ends of a range."""
        return [copy.deepcopy(v) for v in self.choices] if self.choices is not None else self._decoded_ends()

    def drawn(self) -> list[Any] | None:
        """Return all that Optuna may draw, in the order of `values`; None if there are too many."""
        if self.choices is not None:
            return list(range(len(self.choices))) if self.ordered else [label(value) for value in self.choices]
        return self._numbers()

    def encode(self, value: Value) -> Any | None:
        """Return what Optuna would have to draw for `value`; None if it is not on the axis."""
        raw = self.drawn()
        if raw is not None:
            return next((r for r in raw if label(self.decode(r)) == label(value)), None)
        plain = isinstance(value, int | float) and not isinstance(value, bool) and self.text is None
        return float(value) if plain and self.low <= value <= self.high else None

    def _decoded_ends(self) -> list[Value]:
        return [self.decode(self.low), self.decode(self.high)]

    def _numbers(self) -> list[Any] | None:
        if not self.whole and self.step is None:
            return None
        step = self.step or 1
        count = int((self.high - self.low) / step * (1 + 1e-12)) + 1
        return [self.low + k * step for k in range(count)] if count <= MOST_COMBINATIONS else None


def label(value: Value) -> str:
    """Return a value as one line of text, the same for equal values."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


def combinations(axes: Sequence[Axis]) -> list[dict[str, Any]] | None:
    """Return every point of the space as Optuna would draw it; None if there are too many to list."""
    drawn = [axis.drawn() for axis in axes]
    total = 1
    for one in drawn:
        total *= len(one) if one is not None else MOST_COMBINATIONS + 1
    if total > MOST_COMBINATIONS:
        return None
    names = [axis.name for axis in axes]
    return [dict(zip(names, point, strict=True)) for point in itertools.product(*(one or [] for one in drawn))]


def split_key(key: str) -> list[str] | None:
    """Return the steps of a dotted key, ``[0]`` for places in lists; None if it is not one."""
    parts = re.findall(r"[^.\[\]]+|\[\d+\]", key)
    joined = "".join(part if part[0] == "[" else f".{part}" for part in parts).lstrip(".")
    return parts if parts and joined == key else None


def set_key(document: dict[str, Any], key: str, value: Value, where: str) -> None:
    """Set one dotted key of a plain model.yaml; null takes the key out, so that its default holds.

    ``model.layers[0].units`` reaches into the arguments of a layer.

    Raises
    ------
    SpecError
        If there is no such place in the file.
    """
    parts = split_key(key) or []
    target: Any = document
    for at, part in enumerate(parts[:-1]):
        step = _enter(target, part, [] if parts[at + 1][0] == "[" else {})
        if parts[: at + 1] == ["model", "layers", part] and part[0] == "[":
            step = _arguments(target, int(part[1:-1]), step)
        if step is None:
            raise _no_place(key, where)
        target = step
    last = parts[-1]
    if isinstance(target, dict) and last[0] != "[":
        if value is None:
            target.pop(last, None)
        else:
            target[last] = copy.deepcopy(value)
    elif isinstance(target, list) and last[0] == "[" and int(last[1:-1]) < len(target):
        target[int(last[1:-1])] = copy.deepcopy(value)
    else:
        raise _no_place(key, where)


def get_key(document: dict[str, Any], key: str) -> Value:
    """Return the value of a dotted key of a plain model.yaml; None if it is not there."""
    parts, target = split_key(key) or [], copy.deepcopy(document)
    probe: Any = target
    for at, part in enumerate(parts):
        following = _peek(probe, part)
        if parts[:at] == ["model", "layers"] and part[0] == "[" and at < len(parts) - 1:
            following = next(iter(following.values()), None) if isinstance(following, dict) else None
        probe = following
    return probe


def _peek(target: Any, part: str) -> Any:
    if isinstance(target, dict) and part[0] != "[":
        return target.get(part)
    if isinstance(target, list) and part[0] == "[" and int(part[1:-1]) < len(target):
        return target[int(part[1:-1])]
    return None


def _enter(target: Any, part: str, empty: Any) -> Any:
    if isinstance(target, dict) and part[0] != "[" and target.get(part) is None:
        target[part] = empty
    return _peek(target, part)


def _arguments(layers: Any, index: int, layer: Any) -> Any:
    """Return the arguments of ``- QDense: {units: 64}`` (or ``- QDense``), made if there are none."""
    if isinstance(layer, str):
        layers[index] = {layer: {}}
        return layers[index][layer]
    if isinstance(layer, dict) and len(layer) == 1:
        kind = next(iter(layer))
        if layer[kind] is None:
            layer[kind] = {}
        return layer[kind]
    return None


def _no_place(key: str, where: str) -> SpecError:
    return SpecError("there is no such place in the base", where=where, found=key, expected="a key of model.yaml")
