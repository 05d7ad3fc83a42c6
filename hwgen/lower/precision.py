"""What `precision` in model.yaml says about a layer, with types parsed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwgen.errors import NumericsError, SpecError
from hwgen.fixed import FixedPoint, Overflow, Rounding


class Precision:
    """A view of ``spec.precision``."""

    def __init__(self, spec: Any) -> None:
        self._section = getattr(spec, "precision", None)
        self.allow_wrap = bool(getattr(self._section, "allow_wrap", False))

    def _layer(self, layer: str, key: str) -> Any:
        layers = getattr(self._section, "layers", None) or {}
        entry = layers.get(layer)
        return entry.get(key) if isinstance(entry, Mapping) else getattr(entry, key, None)

    def _parse(self, text: Any, where: str) -> FixedPoint | None:
        if text is None or text == "auto":
            return None
        try:
            return FixedPoint.parse(str(text))
        except NumericsError as error:
            raise SpecError(error.what, where=where, found=error.found, expected=error.expected) from error

    def _forced(self, layer: str, key: str) -> FixedPoint | None:
        own = self._layer(layer, key)
        if own is not None:
            return self._parse(own, f"precision.layers.{layer}.{key}")
        return self._parse(getattr(self._section, key, None), f"precision.{key}")

    def result(self, layer: str, computing: bool) -> FixedPoint | None:
        """Return the type forced on a layer's result; ``precision.result`` is for layers that compute."""
        if computing:
            return self._forced(layer, "result")
        return self._parse(self._layer(layer, "result"), f"precision.layers.{layer}.result")

    def accum(self, layer: str) -> FixedPoint | None:
        """Return the type forced on a layer's accumulator."""
        return self._forced(layer, "accum")

    def weight_type(self, layer: str, name: str) -> FixedPoint | None:
        """Return the type given for unquantized weights (``weight`` or ``bias``), None if that is a quantizer."""
        text = self._layer(layer, name)
        try:
            return self._parse(text, f"precision.layers.{layer}.{name}")
        except SpecError:
            return None

    def inputs(self, names: list[str]) -> dict[str, FixedPoint]:
        """Return the format of each input that ``precision.input`` gives: rounded half to even, saturated by the host.

        Raises
        ------
        SpecError
            If a text is not a type, or names no input.
        """
        text = getattr(self._section, "input", None)
        if text is None:
            return {}
        table = dict(text) if isinstance(text, Mapping) else dict.fromkeys(names, text)
        unknown = [name for name in table if name not in names]
        if unknown:
            raise SpecError(
                f"no input is called {unknown[0]}", where=f"precision.input.{unknown[0]}", expected=" or ".join(names)
            )
        formats = {}
        for name, value in table.items():
            where = f"precision.input.{name}" if isinstance(text, Mapping) else "precision.input"
            fmt = self._parse(value, where)
            if fmt is None:
                raise SpecError("not a fixed-point type", where=where, found=str(value), expected="fixed<8,3>")
            formats[name] = host_format(fmt)
        return formats


def host_format(fmt: FixedPoint) -> FixedPoint:
    """Return `fmt` as the host makes it of floats: rounded half to even, saturated."""
    overflow = fmt.overflow if fmt.overflow is Overflow.SAT_SYM else Overflow.SAT
    return FixedPoint(fmt.width, fmt.integer, fmt.signed, Rounding.RND_CONV, overflow)
