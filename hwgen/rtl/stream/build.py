"""From a graph to a streaming design: which stage computes what, joined by streams.

Nodes are taken in order. A layer and the re-quantizers, tables and scales that only it feeds are one stage; windows,
flattening and forks become stages of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hwgen.fixed import FixedPoint
from hwgen.ir import Graph
from hwgen.ir import nodes as ir
from hwgen.ir.streamable import PRODUCTS, check_streamable
from hwgen.rtl.generate import RtlOptions
from hwgen.rtl.stream import kernels
from hwgen.rtl.stream import network as net
from hwgen.rtl.stream.linear import Fold, Linear, linear_of, mac_operands
from hwgen.rtl.stream.sparse import schedule_of


def linear_layers(graph: Graph) -> list[Linear]:
    """Return the layers that multiply by constants, in order."""
    return [linear_of(graph, node) for node in graph.nodes if isinstance(node, PRODUCTS)]


def build_network(graph: Graph, folds: Mapping[str, Fold], options: RtlOptions) -> net.Network:
    """Return the streaming design of `graph`.

    Parameters
    ----------
    graph : Graph
    folds : by layer, how it shares its multipliers
    options : RtlOptions

    Raises
    ------
    ModelError
        For a node that has no streaming hardware.
    """
    return _Builder(graph, folds, options).network()


class _Builder:
    def __init__(self, graph: Graph, folds: Mapping[str, Fold], options: RtlOptions) -> None:
        self.graph, self.folds, self.options = graph, folds, options
        self.streams: dict[str, net.Stream] = {}
        self.stages: list[net.Stage] = []
        self.carrier: dict[str, list[str]] = {}  # streams that carry a node's tensor, one for each reader to come
        self.done: set[str] = set()

    def network(self) -> net.Network:
        check_streamable(self.graph)
        for node in self.graph.nodes:
            if not isinstance(node, ir.Const) and node.name not in self.done:
                self._node(node)
        return net.Network(self.graph.name, self.streams, tuple(self.stages)).verify()

    # ---- streams -------------------------------------------------------------------------------------------------

    def _stream(self, name: str, elements: int, fmt: FixedPoint, beats: int, node: str | None = None) -> str:
        plain = FixedPoint(fmt.width, fmt.integer, fmt.signed)
        self.streams[name] = net.Stream(name, elements, plain, beats, node)
        return name

    def _tensor(self, node: str, name: str | None = None) -> str:
        """Add the stream of a node's tensor, pixel by pixel."""
        elements, beats = pixel_layout(self.graph.types[node].shape)
        return self._stream(name or node, elements, self.graph.types[node].fmt, beats, node)

    def _take(self, node: str) -> str:
        """Return a stream that carries a node's tensor, for one reader."""
        return self.carrier[node].pop(0)

    def _publish(self, node: str, stream: str) -> None:
        """Say that `stream` carries a node's tensor; several readers get a fork and a FIFO each."""
        readers = self.graph.consumers(node)
        count = sum(reader.inputs.count(node) for reader in readers)
        if count == 1:
            self.carrier[node] = [stream]
            return
        like = self.streams[stream]
        branches, ends = [], []
        names = [reader.name for reader in readers for _ in range(reader.inputs.count(node))]
        for k, reader in enumerate(names):
            label = f"{node}_to_{reader}" + (f"_{k}" if names.count(reader) > 1 else "")
            branches.append(self._stream(f"{label}_in", like.elements, like.fmt, like.beats, node))
            ends.append(self._stream(label, like.elements, like.fmt, like.beats, node))
        self.stages.append(net.Fork(name=f"fork_{node}", inputs=(stream,), outputs=tuple(branches)))
        for branch, end in zip(branches, ends, strict=True):
            self.stages.append(net.Fifo(name=f"fifo_{end}", inputs=(branch,), outputs=(end,)))
        self.carrier[node] = ends

    def _queued(self, stream: str, label: str) -> str:
        """Put a queue behind a stream: the timing keeps it only where its writer would wait without it."""
        if any(isinstance(s, net.Fifo) and stream in s.outputs for s in self.stages):
            return stream
        like = self.streams[stream]
        queued = self._stream(f"{label}_queued", like.elements, like.fmt, like.beats)
        self.stages.append(net.Fifo(name=f"queue_{label}", inputs=(stream,), outputs=(queued,), optional=True))
        return queued

    def _chain(self, node: ir.Node, kinds: tuple[type[ir.Node], ...] = kernels.FOLLOWERS) -> list[ir.Node]:
        """Return the followers of a node that only it and each other feed, in order; they count as done."""
        chain: list[ir.Node] = []
        last = node
        while True:
            readers = self.graph.consumers(last.name)
            if len(readers) != 1 or not isinstance(readers[0], kinds):
                break
            if any(not isinstance(self.graph.by_name[i], ir.Const) for i in readers[0].inputs[1:]):
                break
            last = readers[0]
            chain.append(last)
            self.done.add(last.name)
        return chain

    def _part_name(self, stem: str) -> str:
        return f"{self.graph.name}_{stem}"

    # ---- nodes -----------------------------------------------------------------------------------------------------

    def _node(self, node: ir.Node) -> None:
        match node:
            case ir.Input():
                stream = self._tensor(node.name)
                self.stages.append(net.Source(name=f"in_{node.name}", inputs=(), outputs=(stream,), node=node.name))
                self._publish(node.name, stream)
            case ir.Output():
                stream = self._take(node.inputs[0])
                self.stages.append(net.Sink(name=f"out_{node.name}", inputs=(stream,), outputs=(), node=node.name))
            case ir.Conv() | ir.DepthwiseConv() | ir.Dense():
                self._linear(node)
            case ir.MaxPool() | ir.SumPool():
                self._pool(node)
            case ir.Reshape():
                self._reshape(node)
            case ir.Pad():
                t = self.graph.types[node.inputs[0]]
                self._plain(node, net.Pad, height=t.shape[0], width=t.shape[1], padding=node.padding)
            case ir.Upsample():
                t = self.graph.types[node.inputs[0]]
                self._plain(node, net.Upsample, height=t.shape[0], width=t.shape[1], factors=node.factors)
            case _:
                self._merge(node)

    def _plain(self, node: ir.Node, kind: Callable[..., net.Stage], **fields: Any) -> None:
        source, stream = self._take(node.inputs[0]), self._tensor(node.name, f"{node.name}_raw")
        self.stages.append(kind(name=node.name, inputs=(source,), outputs=(stream,), **fields))
        self._publish(node.name, self._registered(node.name, stream))

    def _registered(self, node: str, stream: str) -> str:
        """Put a register behind a stage that has none."""
        result = self._tensor(node)
        self.stages.append(net.Fifo(name=f"reg_{node}", inputs=(stream,), outputs=(result,), register=True))
        return result

    def _merge(self, node: ir.Node) -> None:
        streams = [self._take(i) for i in node.inputs if not self._is_const(i)]
        fold = self.folds.get(node.name)
        if fold is not None and fold.cycles > 1:
            self._product(node, fold, streams)
            return
        chain = self._chain(node)
        last = chain[-1].name if chain else node.name
        ports = [f"x{k}" for k in range(len(streams))] if len(streams) > 1 else ["x"]
        if len(streams) > 1:
            streams = [self._queued(s, f"{node.name}_{p}") for s, p in zip(streams, ports, strict=True)]
        part = kernels.merge_part(self.graph, self._part_name(node.name), node, ports, chain)
        self._kernel(node, last, part, tuple(streams), chain)

    def _product(self, node: ir.Node, fold: Fold, streams: Sequence[str]) -> None:
        """Add a product of two streams that takes a pixel in parts of `fold.lanes` channels, one part a cycle."""
        chain = self._chain(node, (ir.Requantize,))
        last, ports = (chain[-1] if chain else node).name, ["x0", "x1"]
        narrow = []
        for stream, port in zip(streams, ports, strict=True):
            whole = self._queued(stream, f"{node.name}_{port}")
            beats = self.streams[whole].beats * fold.cycles
            narrow.append(self._stream(f"{node.name}_{port}_part", fold.lanes, self.streams[whole].fmt, beats))
            split = net.Split(
                name=f"{node.name}_{port}_split", inputs=(whole,), outputs=(narrow[-1],), beats=fold.cycles
            )
            self.stages.append(split)
        part = kernels.merge_part(self.graph, self._part_name(node.name), node, ports, chain, fold.lanes)
        decided = kernels.planned(part, self.options, "valid_ready")
        products = self._stream(f"{last}_part", fold.lanes, self.graph.types[last].fmt, beats)
        names = (node.name, *(n.name for n in chain))
        self.stages.append(
            net.Kernel(
                name=node.name,
                inputs=tuple(narrow),
                outputs=(products,),
                plan=decided,
                layer=node.name,
                nodes=names,
            )
        )
        whole, order = self._tensor(last), np.arange(fold.lanes * fold.cycles)
        collect = net.Collect(
            name=f"{last}_collect", inputs=(products,), outputs=(whole,), beats=fold.cycles, order=order
        )
        self.stages.append(collect)
        self._publish(last, whole)

    def _kernel(
        self, node: ir.Node, last: str, part: Graph, streams: tuple[str, ...], chain: Sequence[ir.Node]
    ) -> None:
        decided = kernels.planned(part, self.options, "valid_ready")
        stream = self._tensor(last)
        names = (node.name, *(n.name for n in chain))
        self.stages.append(
            net.Kernel(name=node.name, inputs=streams, outputs=(stream,), plan=decided, layer=node.name, nodes=names)
        )
        self._publish(last, stream)

    def _is_const(self, name: str) -> bool:
        return isinstance(self.graph.by_name[name], ir.Const)

    # ---- windows -------------------------------------------------------------------------------------------------

    def _windows(self, node: ir.Window, kernel: tuple[int, int], pad_value: int = 0) -> str:
        """Return the stream of the windows a node sees: pixels, every few pixels, or from a row store."""
        source = self._take(node.inputs[0])
        height, width, channels = self.graph.types[node.inputs[0]].shape
        out_height, out_width = self.graph.types[node.name].shape[:2]
        fmt, beats = self.streams[source].fmt, out_height * out_width
        top, _, left, _ = node.padding
        if kernel == (1, 1) and not any(p > 0 for p in node.padding):
            if node.strides == (1, 1) and (out_height, out_width) == (height, width):
                return source
            stream = self._stream(f"{node.name}_pixel", channels, fmt, beats)
            size = {"height": height, "width": width, "out_height": out_height, "out_width": out_width}
            self.stages.append(
                net.Decimate(
                    name=f"{node.name}_decimate", inputs=(source,), outputs=(stream,), strides=node.strides, **size
                )
            )
            return self._queued(stream, f"{node.name}_kept")  # a row dropped takes its pixels' cycles
        pixels = self._queued(source, node.name)
        stream = self._stream(f"{node.name}_window", kernel[0] * kernel[1] * channels, fmt, beats)
        self.stages.append(
            net.RowStore(
                name=f"{node.name}_rows",
                inputs=(pixels,),
                outputs=(stream,),
                channels=channels,
                element_width=fmt.width,
                height=height,
                width=width,
                kernel=kernel,
                strides=node.strides,
                top=top,
                left=left,
                out_height=out_height,
                out_width=out_width,
                pad_value=pad_value,
            )
        )
        return stream

    def _pool(self, node: ir.MaxPool | ir.SumPool) -> None:
        t = self.graph.types[node.inputs[0]]
        maximum = isinstance(node, ir.MaxPool)
        if node.pool == t.shape[:2] and not any(node.padding):
            source, stream = self._take(node.inputs[0]), self._tensor(node.name, f"{node.name}_raw")
            beats = t.shape[0] * t.shape[1]
            self.stages.append(
                net.Reduce(
                    name=node.name,
                    inputs=(source,),
                    outputs=(stream,),
                    beats=beats,
                    maximum=maximum,
                    signed=t.fmt.signed,
                    node=node.name,
                )
            )
            self._publish(node.name, self._registered(node.name, stream))
            return
        windows = self._windows(node, node.pool, t.fmt.int_min if maximum else 0)
        chain = self._chain(node)
        streams: tuple[str, ...] = (windows,)
        place = None
        if any(kernels.divides_by_place(n) for n in chain):
            place = "place"
            streams = (windows, self._places(node))
        part = kernels.pool_part(self.graph, self._part_name(node.name), node, "x", chain, place)
        self._kernel(node, chain[-1].name if chain else node.name, part, streams, chain)

    def _places(self, node: ir.Node) -> str:
        """Add the stage that counts the places of a node's results; return its stream."""
        height, width = self.graph.types[node.name].shape[:2]
        bits = max(1, (height - 1).bit_length(), (width - 1).bit_length())
        stream = self._stream(f"{node.name}_place", 2, FixedPoint(bits, bits, False), height * width)
        self.stages.append(
            net.Places(name=f"{node.name}_places", inputs=(), outputs=(stream,), height=height, width=width)
        )
        return stream

    # ---- products ------------------------------------------------------------------------------------------------

    def _linear(self, node: ir.Node) -> None:
        layer = linear_of(self.graph, node)
        fold = self.folds[node.name]
        if isinstance(node, ir.Conv | ir.DepthwiseConv):
            weight = self.graph.by_name[node.inputs[1]]
            assert isinstance(weight, ir.Const)
            kernel = (int(weight.value.shape[0]), int(weight.value.shape[1]))
            source = self._windows(node, kernel)
        else:
            source = self._take(node.inputs[0])
        chain = self._chain(node)
        last = chain[-1].name if chain else node.name
        if fold.kind == "unrolled":
            bounds = operand_bounds(self.graph, node, self.streams[source].elements)
            part = kernels.matrix_part(
                self.graph, self._part_name(node.name), layer, "x", bounds, self.streams[source].fmt, chain
            )
            self._kernel(node, last, part, (source,), chain)
            return
        stage = self._mac(layer, fold, chain) if fold.kind == "mac" else self._sparse(layer, fold, chain)
        fmt = self.graph.types[last].fmt
        order = collect_order(stage, layer.outputs)
        if stage.beats == 1 and np.array_equal(order, np.arange(stage.lanes)):
            stream = self._tensor(last)
            self.stages.append(replace(stage, inputs=(source,), outputs=(stream,)))
        else:
            beats = layer.firings * stage.beats
            narrow = self._stream(f"{last}_part", stage.lanes, fmt, beats)
            stream = self._tensor(last)
            self.stages.append(replace(stage, inputs=(source,), outputs=(narrow,)))
            self.stages.append(
                net.Collect(
                    name=f"{last}_collect",
                    inputs=(narrow,),
                    outputs=(stream,),
                    beats=stage.beats,
                    order=order,
                )
            )
        self._publish(last, stream)

    def _mac(self, layer: Linear, fold: Fold, chain: Sequence[ir.Node]) -> net.MacEngine:
        select, weights = mac_operands(layer, fold)
        groups = -(-layer.outputs // fold.lanes)
        bias = net.as_rows(layer.bias, groups, fold.lanes)
        post, coefficients = self._post(layer, fold.lanes, groups, chain)
        return net.MacEngine(
            name=layer.name,
            inputs=("?",),
            outputs=("?",),
            layer=layer.name,
            nodes=(layer.name, *(n.name for n in chain)),
            select=select,
            lanes=fold.lanes,
            acc=layer.acc,
            weight_width=signed_width(weights),
            weight_fraction=layer.weight_fraction,
            bias=bias,
            bias_fraction=layer.bias_fraction,
            post=post,
            coefficients=coefficients,
            macs=layer.macs,
            weights=weights,
            shared=layer.channels is None,
        )

    def _sparse(self, layer: Linear, fold: Fold, chain: Sequence[ir.Node]) -> net.SparseEngine:
        plan = schedule_of(layer.matrix, fold.lanes, fold.products)
        bias = kernels.placed(layer.bias, plan.order, plan.accs * plan.results).reshape(plan.accs, plan.results)
        post, coefficients = self._post(layer, plan.results, plan.accs, chain, plan.order)
        return net.SparseEngine(
            name=layer.name,
            inputs=("?",),
            outputs=("?",),
            layer=layer.name,
            nodes=(layer.name, *(n.name for n in chain)),
            select=plan.select,
            lanes=plan.results,
            acc=layer.acc,
            weight_width=plan.weight_width,
            weight_fraction=layer.weight_fraction,
            bias=bias,
            bias_fraction=layer.bias_fraction,
            post=post,
            coefficients=coefficients,
            macs=layer.macs,
            schedule=plan,
            pipeline=plan.pipeline,
        )

    def _post(
        self, layer: Linear, lanes: int, groups: int, chain: Sequence[ir.Node], order: Any = None
    ) -> tuple[Any, dict[str, Any]]:
        """Plan the followers of an engine; None if there is nothing to compute."""
        if not chain:
            return None, {}
        name = self._part_name(f"{layer.name}_post")
        part, coefficients = kernels.post_part(self.graph, name, layer, lanes, groups, chain, order)
        return kernels.planned(part, self.options, "none"), coefficients

    # ---- shapes --------------------------------------------------------------------------------------------------

    def _reshape(self, node: ir.Reshape) -> None:
        stream = self._take(node.inputs[0])
        before = self.streams[stream]
        elements, beats = pixel_layout(self.graph.types[node.name].shape)
        if (before.elements, before.beats) == (elements, beats):
            self._publish(node.name, stream)
            return
        total = before.elements * before.beats
        if before.beats > 1:
            flat = self._stream(f"{node.name}_flat" if beats > 1 else node.name, total, before.fmt, 1, node.name)
            if beats > 1:
                self.streams[flat] = replace(self.streams[flat], node=None)
            self.stages.append(
                net.Collect(
                    name=f"{node.name}_collect",
                    inputs=(stream,),
                    outputs=(flat,),
                    beats=before.beats,
                    order=np.arange(total),
                )
            )
            stream = flat
        if beats > 1:
            pixels = self._tensor(node.name)
            self.stages.append(net.Split(name=f"{node.name}_split", inputs=(stream,), outputs=(pixels,), beats=beats))
            stream = pixels
        self._publish(node.name, stream)


def pixel_layout(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the elements of a beat and the beats of a frame of a tensor: its last axis, and the rest."""
    if len(shape) <= 1:
        return (shape[0] if shape else 1), 1
    return shape[-1], int(np.prod(shape[:-1], dtype=np.int64))


def signed_width(values: Any) -> int:
    """Return the bits of a signed type that holds all values, at least 2."""
    fmt = FixedPoint.for_range(min(int(values.min()), -1), max(int(values.max()), 1), 0)
    return fmt.width


def operand_bounds(graph: Graph, node: ir.Node, elements: int) -> tuple[Any, Any]:
    """Return the proven range of each element of a layer's operand item; padding is 0."""
    source = node.inputs[0]
    if isinstance(node, ir.Dense) and len(graph.types[source].shape) == 1:
        return kernels.vector_bounds(graph, source)
    lo, hi = kernels.channel_bounds(graph, source)
    if isinstance(node, ir.Window) and any(p > 0 for p in node.padding):
        lo, hi = np.minimum(lo, 0), np.maximum(hi, 0)
    times = elements // len(lo)
    return np.tile(lo, times), np.tile(hi, times)


def collect_order(stage: net.Engine, outputs: int) -> Any:
    """Return, for each output channel, its place among the elements of all result beats."""
    if isinstance(stage, net.SparseEngine):
        return stage.schedule.order
    return np.arange(outputs)
