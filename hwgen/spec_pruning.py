"""Rules over the keys of `compress.pruning` that pydantic does not know."""

from __future__ import annotations

import re
from typing import Any

from hwgen.spec_yaml import Document

SECTION = "compress.pruning"


def check_pruning(document: Document) -> None:
    """Record every breach of the rules; tolerant of wrong types, which are reported elsewhere."""
    compress = document.value.get("compress")
    plan = compress.get("pruning") if isinstance(compress, dict) else None
    if not isinstance(plan, dict):
        return
    method = plan.get("method", "magnitude")
    for key, wanted in (("pattern", "n_m"), ("block", "block")):
        if plan.get(key) is not None and method != wanted:
            what = f"does nothing with method: {method}"
            document.fail(f"{SECTION}.{key}", what, expected=f"method: {wanted}, or no {key}")
    if method == "n_m":
        _check_n_m(document, plan)
    elif plan.get("sparsity") is None:
        document.fail(f"{SECTION}.sparsity", "required, and not there", found=None, expected="a number")
    if method == "block" and plan.get("block") is None:
        expected = "as block: [4, 8], inputs × outputs"
        document.fail(f"{SECTION}.block", "required with method: block", found=None, expected=expected)


def _check_n_m(document: Document, plan: dict[str, Any]) -> None:
    pattern = plan.get("pattern")
    if pattern is None:
        document.fail(f"{SECTION}.pattern", "required with method: n_m", found=None, expected='as pattern: "2:4"')
        return
    if plan.get("scope") == "global":
        what = "n_m gives every layer the same share: there is no budget to share out"
        document.fail(f"{SECTION}.scope", what, expected="scope: layer, or method: magnitude or block")
    if not isinstance(pattern, str) or not re.fullmatch(r"\d+:\d+", pattern):
        return
    n, m = (int(part) for part in pattern.split(":"))
    if not 1 <= n < m:
        what = "n must be less than m, and at least 1"
        document.fail(f"{SECTION}.pattern", what, expected='n:m, n non-zeros in every m inputs, as "2:4"')
        return
    sparsity, implied = plan.get("sparsity"), 1 - n / m
    if isinstance(sparsity, int | float) and abs(sparsity - implied) > 1e-6:
        what = f"contradicts pattern: {pattern}, which leaves {n} of {m}"
        document.fail(f"{SECTION}.sparsity", what, expected=f"{implied:g}, or no sparsity: the pattern says it")
    layers = plan.get("layers")
    for name, share in layers.items() if isinstance(layers, dict) else ():
        if isinstance(share, int | float) and 0 <= share < 1 and abs(share * m - round(share * m)) > 1e-6:
            what = f"groups of {m} cannot have this share of zeros"
            expected = f"0 (not pruned), or a multiple of 1/{m} below 1"
            document.fail(f"{SECTION}.layers.{name}", what, expected=expected)
