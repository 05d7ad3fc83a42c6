"""The texts of QKeras quantizers, as far as a model.yaml can be judged without QKeras."""

from __future__ import annotations

import ast
import re
from typing import Any

AUTO_SCALED = {"quantized_bits": 4, "quantized_linear": 4, "binary": 1, "ternary": 0, "bernoulli": 0}
"""Quantizers that QKeras gives ``alpha="auto_po2"`` on a kernel if they say none; the position of alpha."""

EXAMPLE = "quantized_bits(6,0,alpha=1)"


def quantizer_fault(text: str, weight: bool) -> tuple[str, str, str] | None:
    """Return (what is wrong, found, expected) if `text` cannot serve as a quantizer.

    Parameters
    ----------
    text : str
    weight : bool
        Whether it quantizes a kernel: there, QKeras gives a missing ``alpha`` a scale chosen by the data.
    """
    if re.match(r"\s*(ap_)?u?fixed\s*<", text):
        return "a number type where a quantizer belongs", text, f"a QKeras quantizer, as {EXAMPLE}"
    try:
        name, positional, keywords = parse_quantizer(text)
    except ValueError as error:
        return f"not a quantizer: {error}", text, f"as {EXAMPLE}"
    if weight and name in AUTO_SCALED and "alpha" not in keywords and len(positional) <= AUTO_SCALED[name]:
        inside = text.strip().partition("(")[2].rstrip(")").strip()
        better = f"{name}({inside}{',' if inside else ''}alpha=1)"
        return f"{text.strip()} has no alpha", "QKeras makes this auto_po2: a scale chosen by the data", better
    return None


def parse_quantizer(text: str) -> tuple[str, list[Any], dict[str, Any]]:
    """Split a QKeras quantizer's text into its name, positional and keyword arguments.

    Raises
    ------
    ValueError
        If the text is not a name or a call with literal arguments.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ValueError(error.msg) from error
    if isinstance(tree, ast.Name):
        return tree.id, [], {}
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
        raise ValueError("expected a name with arguments in brackets")
    values = [_literal(a) for a in tree.args]
    return tree.func.id, values, {k.arg or "**": _literal(k.value) for k in tree.keywords}


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        if isinstance(node, ast.Name):
            return node.id
        raise ValueError(f"{ast.unparse(node)} is not a plain value") from None
