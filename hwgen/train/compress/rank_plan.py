"""Which layers `compress.low_rank` factorises, with which method and ranks; what cannot be is refused here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hwgen.errors import ErrorList, HwgenError, SpecError
from hwgen.train.compress.factor_layers import KINDS, kernel_of, obstacle, work_of
from hwgen.train.compress.factorise import (
    Choice,
    Method,
    Ranks,
    Work,
    by_budget,
    by_energy,
    choice,
    largest,
    possible,
    price,
)

if TYPE_CHECKING:
    import keras

    from hwgen.spec import ModelSpec
    from hwgen.spec_compress import LayerRank, LowRankSection

AUTO: tuple[Method, ...] = ("svd", "spatial", "tucker2")
"""What `auto` chooses from; `cp` is only used where it is asked for."""


def check_ranks(spec: ModelSpec, model: keras.Model) -> None:
    """Refuse, before anything is trained, layers of `compress.low_rank.layers` that cannot be factorised as they say.

    Raises
    ------
    ErrorList
        With every such layer: no such one, no factors, a method or rank that does not fit, a circuit that would grow.
    """
    plan = spec.compress.low_rank
    errors: list[HwgenError] = []
    for name in plan.layers if plan else ():
        try:
            _check_named(spec, model, name)
        except SpecError as error:
            errors.append(error)
    if errors:
        raise ErrorList(errors)


def named_choices(spec: ModelSpec, model: keras.Model) -> dict[str, Choice]:
    """Return the choice for each layer of `compress.low_rank.layers` that has a rank, an energy or a budget.

    Raises
    ------
    ErrorList, SpecError
        As `check_ranks`, and where ranks that follow from the weights make the circuit larger.
    """
    check_ranks(spec, model)
    plan = _plan(spec)
    found = {}
    for name, said in plan.layers.items():
        layer = model.get_layer(name)
        rule = _rule(plan, said)
        if rule is None:
            continue  # the search decides
        made = _choose(layer, said.method or plan.method, *rule)
        if made is None:
            work, least = work_of(layer), _methods(layer, said.method or plan.method)[0]
            smallest = price(least, work, (1,))[0]
            raise _refuse(
                spec,
                f"layers.{name}",
                f"no rank of {name} fits the budget",
                f"{rule[1]:g} of {work.multiplications:,} multiplications",
                f"at least {smallest / work.multiplications:.3g}: rank 1 needs {smallest:,}",
            )
        if not plan.force and not is_smaller(made, work_of(layer)):
            raise _larger(spec, name, made, work_of(layer))
        found[name] = made
    return found


def other_choices(spec: ModelSpec, model: keras.Model) -> tuple[dict[str, Choice], list[str]]:
    """Return the choices for the layers that `layers` does not name, and remarks on those left as they are."""
    plan = _plan(spec)
    rule = ("energy", plan.energy) if plan.energy is not None else ("budget", plan.budget)
    found: dict[str, Choice] = {}
    remarks: list[str] = []
    for layer in open_layers(spec, model, remarks):
        made = _choose(layer, plan.method, *rule)
        work = work_of(layer)
        if made is None:
            remarks.append(f"{layer.name} is left as it is: rank 1 needs more than the budget")
        elif plan.force or is_smaller(made, work):
            found[layer.name] = made
        else:
            remarks.append(f"{layer.name} is left as it is: {shown(made)} {_both(made, work)}")
    return found, remarks


def open_layers(spec: ModelSpec, model: keras.Model, remarks: list[str]) -> list[Any]:
    """Return the layers that a general rule may factorise; a remark for each that looks so and is not."""
    plan, found = _plan(spec), []
    for layer in model.layers:
        said = plan.layers.get(layer.name)
        if said is not None and _rule(plan, said) is not None:
            continue
        if not (hasattr(layer, "kernel") or hasattr(layer, "depthwise_kernel")):
            continue
        reason = obstacle(model, layer)
        if reason is None and not _methods(layer, (said and said.method) or plan.method):
            reason = f"{plan.method} does not fit it"
        if reason is None:
            found.append(layer)
        else:
            remarks.append(f"{layer.name} is left as it is: {reason}")
    return found


def within_budget(spec: ModelSpec, layer: Any, budget: float) -> Choice | None:
    """Return what keeps most within a share of the layer's multiplications, if it is smaller than the layer."""
    plan = _plan(spec)
    said = plan.layers.get(layer.name)
    made = _choose(layer, (said and said.method) or plan.method, "budget", budget)
    return made if made is not None and is_smaller(made, work_of(layer)) else None


def is_smaller(made: Choice, work: Work) -> bool:
    """Return whether a chain needs fewer multiplications than the layer, and no more weights."""
    return made.multiplications < work.multiplications and made.weights <= work.weights


def shown(made: Choice) -> str:
    """Return ``svd of rank 24``."""
    return f"{made.method} of rank {' and '.join(map(str, made.ranks))}"


def described(name: str, made: Choice, work: Work) -> str:
    """Return one line for the report."""
    return f"{name} became {shown(made)}, {100 * made.energy:.1f} % of the kernel kept: {_both(made, work)}"


def _both(made: Choice, work: Work) -> str:
    return (
        f"{work.multiplications:,} -> {made.multiplications:,} multiplications, "
        f"{work.weights:,} -> {made.weights:,} weights"
    )


def _check_named(spec: ModelSpec, model: keras.Model, name: str) -> None:
    plan = _plan(spec)
    said, key = plan.layers[name], f"layers.{name}"
    layer = next((layer for layer in model.layers if layer.name == name), None)
    if layer is None:
        found = ", ".join(layer.name for layer in model.layers if type(layer).__name__ in KINDS)
        raise _refuse(spec, key, "no such layer", name, found)
    reason = obstacle(model, layer)
    if reason is not None:
        raise _refuse(spec, key, f"{name} cannot be factorised", reason, f"one of {', '.join(KINDS)}, called once")
    method = said.method or plan.method
    methods = _methods(layer, method)
    if not methods:
        where = f"{key}.method" if said.method else "method"
        expected = ", ".join(_methods(layer, "auto"))
        raise _refuse(spec, where, f"{method} does not fit {name}", _shape(layer), expected)
    if said.rank is not None:
        _check_rank(spec, name, layer, methods, said.rank)


def _check_rank(spec: ModelSpec, name: str, layer: Any, methods: tuple[Method, ...], rank: int | list[int]) -> None:
    key, pair = f"layers.{name}.rank", isinstance(rank, list)
    if pair and "tucker2" not in methods:
        raise _refuse(spec, key, f"{methods[0]} has one rank", str(rank), "one whole number")
    if not pair and len(methods) > 1:
        expected = f"layers.{name}.method: {' or '.join(methods)}"
        raise _refuse(spec, key, f"nothing says of which factorisation of {name} this is the rank", str(rank), expected)
    method = _of_rank(methods, rank)
    work, ranks = work_of(layer), _ranks(method, rank)
    most = largest(method, work.shape)
    if any(r > m for r, m in zip(ranks, most, strict=True)):
        expected = f"at most {' and '.join(map(str, most))}, as {_shape(layer)} has"
        raise _refuse(spec, key, f"the rank is larger than {name}", str(rank), expected)
    made = Choice(method, ranks, 1.0, *(int(n) for n in price(method, work, ranks)))
    if not _plan(spec).force and not is_smaller(made, work):
        raise _larger(spec, name, made, work)


def _rule(plan: LowRankSection, said: LayerRank) -> tuple[str, Any] | None:
    """Return what decides the rank of a named layer: its own key, else the section's; None: the search."""
    for source, keys in ((said, ("rank", "energy", "budget")), (plan, ("energy", "budget"))):
        for key in keys:
            if getattr(source, key) is not None:
                return key, getattr(source, key)
    return None


def _methods(layer: Any, wanted: str) -> tuple[Method, ...]:
    """Return the methods that may be used on a layer."""
    work = work_of(layer)
    methods = AUTO if wanted == "auto" else (wanted,)
    fit = [m for m in methods if possible(m, work.shape)]  # type: ignore[arg-type]
    if work.shape[:2] == (1, 1):
        return ("svd",) if "svd" in fit else ()
    flat = type(layer).__name__ != "QConv2D"
    uneven = len(set(getattr(layer, "strides", (1,)))) > 1  # TensorFlow has no such depthwise convolution
    return tuple(m for m in fit if not (m == "cp" and (flat or uneven)))  # type: ignore[misc]


def _choose(layer: Any, wanted: str, key: str, value: Any) -> Choice | None:
    """Return the best choice: the cheapest that keeps an energy, the one that keeps most within a budget."""
    kernel, work, methods = kernel_of(layer), work_of(layer), _methods(layer, wanted)
    if key == "rank":
        method = _of_rank(methods, value)
        return choice(method, kernel, work, _ranks(method, value))
    if key == "energy":
        found = [by_energy(m, kernel, work, value) for m in methods]
        reached = [c for c in found if c.energy >= value]
        return min(reached or found, key=lambda c: c.multiplications)
    within = [c for m in methods if (c := by_budget(m, kernel, work, value)) is not None]
    return max(within, key=lambda c: c.energy, default=None)


def _of_rank(methods: tuple[Method, ...], rank: int | list[int]) -> Method:
    return "tucker2" if isinstance(rank, list) else methods[0]


def _ranks(method: Method, rank: int | list[int]) -> Ranks:
    if isinstance(rank, list):
        return tuple(rank)
    return (rank, rank) if method == "tucker2" else (rank,)


def _shape(layer: Any) -> str:
    return f"a kernel of {'×'.join(str(n) for n in layer.kernel.shape)}"


def _plan(spec: ModelSpec) -> LowRankSection:
    assert spec.compress.low_rank is not None
    return spec.compress.low_rank


def _larger(spec: ModelSpec, name: str, made: Choice, work: Work) -> SpecError:
    what = f"{shown(made)} does not make {name} smaller"
    expected = "fewer multiplications, and no more weights"
    hint = "a smaller rank; force: true factorises anyway"
    return _refuse(spec, f"layers.{name}", what, _both(made, work), expected, hint)


def _refuse(spec: ModelSpec, key: str, what: str, found: str, expected: str, hint: str | None = None) -> SpecError:
    path = f"compress.low_rank.{key}"
    return SpecError(what, where=f"{spec.line_of(path)}: {path}", found=found, expected=expected, hint=hint)
