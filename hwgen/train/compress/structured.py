"""Structured pruning: whole filters, channels and neurons go, and the layers behind them shrink."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hwgen.train.compress.channels import DEPTHWISE, KERNEL, Channels, kept, plain_kind, trace_channels
from hwgen.train.compress.masks import prunable
from hwgen.train.compress.surgery import NewLayer, rebuild, with_config
from hwgen.train.compress.workshop import StepResult, Workshop
from hwgen.train.loop import History

if TYPE_CHECKING:
    import keras

    from hwgen.spec_compress import StructuredSection

Array = np.ndarray[Any, np.dtype[Any]]


def structured(shop: Workshop, model: keras.Model) -> StepResult:
    """Cut filters as `compress.structured` says, in rounds with fine-tuning after each.

    Layers that are added to each other keep the same channels; inputs and outputs keep all of theirs.

    Raises
    ------
    ModelError, SpecError
        If the layers named cannot be cut, or there is no data.
    """
    plan = shop.spec.compress.structured
    assert plan is not None
    shop.known_data("structured", "structured pruning fine-tunes the network and")
    epochs = shop.spec.compress.epochs if plan.epochs is None else plan.epochs
    before, channels = _sizes(model), trace_channels(model)
    shares = _shares(shop, plan, channels)
    full = {group[0]: len(_roots(channels, group)) for group in channels.groups()}
    history: History = {}
    for index in range(plan.rounds):
        gone = _chosen(plan, model, full, shares, (index + 1) / plan.rounds)
        model = remove_channels(model, gone)
        message = f"fine-tuning, cut {index + 1}/{plan.rounds}" if plan.rounds > 1 else "fine-tuning"
        for key, values in shop.finetune(model, epochs, message).items():
            history.setdefault(key, []).extend(values)
    after = _sizes(model)
    changed = {name: [before[name], size] for name, size in after.items() if size != before[name]}
    return StepResult(model, history, {"channels": changed})


def remove_channels(model: keras.Model, gone: set[int]) -> keras.Model:
    """Return the network without the channels whose roots (of `trace_channels`) are in `gone`; weights are kept."""
    channels = trace_channels(model)

    def change(layer: Any) -> list[NewLayer] | None:
        if layer.name not in channels.of_input:
            return None
        inputs = kept(channels.of_input, channels, layer.name, gone)
        outputs = kept(channels.of_output, channels, layer.name, gone)
        return _resized(layer, inputs, outputs)

    return rebuild(model, change)


def _resized(layer: Any, inputs: Array, outputs: Array) -> list[NewLayer] | None:
    """Return the layer with those elements of its input's and its output's last axis alone."""
    kind = plain_kind(layer)
    if kind == "Reshape":
        return [with_config(layer, {"target_shape": (*layer.target_shape[:-1], len(outputs))})]
    if not layer.weights:
        return None
    if kind in KERNEL:
        weights = [_cut(v, layer, inputs, outputs) for v in layer.weights]
        size = {"units" if kind.startswith("Dense") else "filters": len(outputs)}
        return [with_config(layer, size, weights)]
    if kind in DEPTHWISE:
        return [with_config(layer, {}, [_cut(v, layer, inputs, inputs) for v in layer.weights])]
    # of a batch normalization or a PReLU: one value a channel
    return [with_config(layer, {}, [np.asarray(v)[..., outputs] if v.shape else np.asarray(v) for v in layer.weights])]


def _cut(variable: Any, layer: Any, inputs: Array, outputs: Array) -> Array:
    """Cut one variable of a layer with a kernel: kernels along inputs and outputs, all others along outputs."""
    value = np.asarray(variable)
    if variable is getattr(layer, "depthwise_kernel", None):
        return value[..., inputs, :]
    if any(variable is other for other in prunable(layer)):
        return value[..., inputs, :][..., outputs]
    return value[..., outputs] if value.ndim else value


def _roots(channels: Channels, group: list[str]) -> set[int]:
    return {int(root) for name in group for root in channels.roots(channels.of_output[name])}


def _sizes(model: keras.Model) -> dict[str, int]:
    return {layer.name: int(layer.output.shape[-1]) for layer in model.layers if plain_kind(layer) in KERNEL}


def _shares(shop: Workshop, plan: StructuredSection, channels: Channels) -> dict[str, float]:
    """Return the share of every layer that can be cut; refuse names that cannot, and tied layers that disagree."""
    pinned, shares = channels.pinned(), dict[str, float]()
    for group in channels.groups():
        roots = _roots(channels, group)
        named = {name: plan.layers[name] for name in group if name in plan.layers}
        if len(set(named.values())) > 1:
            found = ", ".join(f"{name} {share:g}" for name, share in named.items())
            what = "layers that are added to each other lose the same channels"
            raise shop.refuse(f"structured.layers.{next(iter(named))}", what, found, "one share for all of them")
        if roots <= pinned:
            for name, share in named.items():
                what = "the channels of this layer cannot go"
                expected = "a layer whose channels are not those of an input or output of the network"
                if share:
                    raise shop.refuse(f"structured.layers.{name}", what, name, expected)
        else:
            shares |= dict.fromkeys(group, next(iter(named.values()), plan.share))
    for name in plan.layers:
        if name not in channels.makers:
            expected = ", ".join(shares) or "no layer of this network can be cut"
            raise shop.refuse(f"structured.layers.{name}", "no layer with filters or neurons", name, expected)
    return shares


def _chosen(
    plan: StructuredSection, model: keras.Model, full: dict[str, int], shares: dict[str, float], progress: float
) -> set[int]:
    """Return the roots of the channels to cut now, so that `progress` of the shares is gone in the end."""
    channels = trace_channels(model)
    pinned, layers = channels.pinned(), {layer.name: layer for layer in model.layers}
    candidates: list[tuple[float, int, int]] = []
    gone: set[int] = set()
    due_globally = 0
    for number, group in enumerate(g for g in channels.groups() if g[0] in shares):
        scores = _scores(plan, channels, [layers[name] for name in group])
        free = sorted(((score, root) for root, score in scores.items() if root not in pinned))
        cut_before = full[group[0]] - len(scores)
        due = min(round(progress * shares[group[0]] * full[group[0]]) - cut_before, len(free) - 1)
        if plan.scope == "layer":
            gone |= {root for _, root in free[: max(0, due)]}
        else:
            candidates += [(score, number, root) for score, root in free[:-1]]  # the strongest of a group stays
            due_globally += max(0, due)
    return gone or {root for _, _, root in sorted(candidates)[:due_globally]}


def _scores(plan: StructuredSection, channels: Channels, group: list[Any]) -> dict[int, float]:
    """Return how much every channel of a group weighs: norms of its filters, relative to the mean of their layer."""
    scores: dict[int, float] = {}
    for layer in group:
        kernel = np.asarray(prunable(layer)[-1]).reshape(-1, len(channels.of_output[layer.name]))
        norms = np.abs(kernel).sum(0) if plan.criterion == "l1" else np.sqrt((kernel**2).sum(0))
        shares = norms / max(norms.mean(), 1e-12) / len(group)
        for root, share in zip(channels.roots(channels.of_output[layer.name]), shares, strict=True):
            scores[int(root)] = scores.get(int(root), 0.0) + float(share)
    return scores
