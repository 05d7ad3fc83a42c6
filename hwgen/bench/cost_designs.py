"""The seeded designs on which the predicted cost is calibrated and validated, by family of topology."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from hwgen.bench.networks import ConvNet
from hwgen.fixed import FixedPoint
from hwgen.ir import Graph
from hwgen.ir import nodes as ir
from hwgen.rtl import RtlOptions
from hwgen.rtl.stream import FoldRequest


@dataclass(frozen=True)
class Design:
    """One design: a graph, and how it becomes hardware (`request` None: unrolled).

    Parameters
    ----------
    held_out : bool
        Whether calibration may not see it: the same for a whole family.
    """

    name: str
    family: str
    held_out: bool
    graph: Callable[[], Graph]
    options: RtlOptions = field(default_factory=RtlOptions)
    request: FoldRequest | None = None

    @property
    def kind(self) -> str:
        """``dense`` (unrolled) or ``streaming``."""
        return "dense" if self.request is None else "streaming"


class Unrolled:
    """A graph of dense layers with seeded weights, under construction."""

    def __init__(self, name: str, size: int, seed: int, fmt: str = "fixed<8,3>") -> None:
        self.name, self.rng = name, np.random.default_rng(seed)
        self.nodes: list[ir.Node] = [ir.Input(name="x", shape=(size,), fmt=FixedPoint.parse(fmt))]

    def add(self, kind: type, name: str, *inputs: str, **fields: object) -> str:
        """Add a node and return its name."""
        self.nodes.append(kind(name=name, inputs=inputs, **fields))
        return name

    def size(self, name: str) -> int:
        """Return a tensor's elements."""
        return Graph(self.name, tuple(self.nodes)).types[name].size

    def dense(self, name: str, x: str, outputs: int, bits: int = 6, density: float = 0.5, bias: bool = True) -> str:
        """Add a dense layer of `bits`-bit weights, `density` of them not zero."""
        top = (1 << (bits - 1)) - 1
        shape = (self.size(x), outputs)
        value = self.rng.integers(-top, top + 1, shape) * (self.rng.random(shape) < density)
        operands = [x, self.add(ir.Const, f"{name}_w", value=value, fraction=bits - 1)]
        if bias:
            operands.append(
                self.add(ir.Const, f"{name}_b", value=self.rng.integers(-top, top + 1, outputs), fraction=bits - 1)
            )
        return self.add(ir.Dense, name, *operands)

    def requantize(self, name: str, x: str, fmt: str) -> str:
        """Add a re-quantizer (a ReLU where the format is unsigned)."""
        return self.add(ir.Requantize, name, x, fmt=FixedPoint.parse(fmt))

    def tabled(self, name: str, x: str, out: str, bits: int = 6) -> str:
        """Add a literal table (a sigmoid of the value) behind a re-quantizer of `bits` bits."""
        source, fmt = FixedPoint(bits, 3), FixedPoint.parse(out)
        q = self.requantize(f"{name}_in", x, f"fixed<{bits},3,RND,SAT>")
        values = np.arange(source.int_min, source.int_max + 1) * source.lsb
        table = fmt.quantize(1 / (1 + np.exp(-values)))
        return self.add(ir.Lookup, name, q, table=table, first=source.int_min, fmt=fmt)

    def finish(self, x: str) -> Graph:
        """Add the output and return the graph."""
        self.add(ir.Output, "y", x)
        return Graph(self.name, tuple(self.nodes)).verify()


RELU, NARROW = "ufixed<6,2,RND_CONV,SAT>", "ufixed<4,1,RND,SAT>"


def mlp(name: str, sizes: tuple[int, ...], seed: int, **how: Any) -> Graph:
    """Return dense layers with re-quantizers between them."""
    fmt, relu = how.pop("inputs", "fixed<8,3>"), how.pop("relu", RELU)
    last = how.pop("last", None)
    net = Unrolled(name, sizes[0], seed, fmt)
    x = "x"
    for k, outputs in enumerate(sizes[1:]):
        x = net.dense(f"fc{k}", x, outputs, **how)
        if k < len(sizes) - 2:
            x = net.requantize(f"relu{k}", x, relu)
        elif last:
            x = net.requantize(f"relu{k}", x, last)
    return net.finish(x)


def residual(name: str, size: int, seed: int, bits: int, relu: str) -> Graph:
    """Return two dense layers around which the input passes by, and a third one."""
    net = Unrolled(name, size, seed)
    q = net.requantize("q", "x", "fixed<6,3,RND,SAT>")
    a = net.requantize("a", net.dense("fa", q, size, bits), relu)
    b = net.requantize("b", net.dense("fb", a, size, bits), "fixed<6,3,RND,SAT>")
    s = net.requantize("s", net.add(ir.Add, "sum", b, q), relu)
    return net.finish(net.dense("fc", s, 4, bits))


def classifier(name: str, sizes: tuple[int, ...], seed: int, bits: int) -> Graph:
    """Return dense layers whose result is the index of the largest output."""
    net = Unrolled(name, sizes[0], seed)
    x = "x"
    for k, outputs in enumerate(sizes[1:]):
        x = net.dense(f"fc{k}", x, outputs, bits)
        if k < len(sizes) - 2:
            x = net.requantize(f"relu{k}", x, RELU)
    return net.finish(net.add(ir.ArgMax, "arg", x))


def tabled(name: str, sizes: tuple[int, ...], seed: int, bits: int) -> Graph:
    """Return dense layers with sigmoid tables between them."""
    net = Unrolled(name, sizes[0], seed)
    x = "x"
    for k, outputs in enumerate(sizes[1:]):
        x = net.dense(f"fc{k}", x, outputs, bits)
        if k < len(sizes) - 2:
            x = net.tabled(f"sig{k}", x, "ufixed<6,0,RND,SAT>", bits=6)
    return net.finish(x)


def one_table(name: str, seed: int, bits: int) -> Graph:
    """Return one dense layer and a table of the hyperbolic tangent, of `bits` bits."""
    net = Unrolled(name, 8, seed)
    q = net.requantize("q", net.dense("fc", "x", 6, 4), f"fixed<{bits},3,RND,SAT>")
    source, fmt = FixedPoint(bits, 3), FixedPoint.parse(f"fixed<{bits},1,RND,SAT>")
    values = np.tanh(np.arange(source.int_min, source.int_max + 1) * source.lsb)
    return net.finish(net.add(ir.Lookup, "tanh", q, table=fmt.quantize(values), first=source.int_min, fmt=fmt))


def sums(name: str, size: int, seed: int) -> Graph:
    """Return sums, differences and maxima of two re-quantized dense layers, and the largest of them."""
    net = Unrolled(name, size, seed)
    a = net.requantize("a", net.dense("fa", "x", size, 4), "fixed<6,3,RND,SAT>")
    b = net.requantize("b", net.dense("fb", "x", size, 4), "ufixed<5,2,TRN,SAT>")
    s, d = net.add(ir.Add, "s", a, b), net.add(ir.Sub, "d", a, b)
    m = net.add(ir.Max, "m", s, d)
    return net.finish(net.add(ir.ArgMax, "arg", net.requantize("r", m, "fixed<5,3,RND_CONV,SAT>")))


def two_towers(name: str, sizes: tuple[int, int, int], seed: int, bits: int) -> Graph:
    """Return two dense layers of one input, concatenated before a third one."""
    net = Unrolled(name, sizes[0], seed)
    a = net.requantize("a", net.dense("fa", "x", sizes[1], bits), RELU)
    b = net.requantize("b", net.dense("fb", "x", sizes[1], bits, density=0.25), RELU)
    joined = net.add(ir.Concat, "cat", a, b, axis=0)
    return net.finish(net.dense("fc", joined, sizes[2], bits))


def small_image(name: str, seed: int, filters: int, size: int) -> Graph:
    """Return an unrolled convolution with pooling and a dense layer."""
    net = ConvNet(name, (size, size, 1), seed, 0.6)
    x = net.conv("c1", "x", filters)
    x = net.add(ir.MaxPool, "pool", x, pool=(2, 2), strides=(2, 2), padding=(0, 0, 0, 0))
    x = net.add(ir.Reshape, "flat", x, shape=((size // 2) ** 2 * filters,))
    x = net.add(ir.Dense, "fc", x, net.weights("fc_w", ((size // 2) ** 2 * filters, 3)))
    net.add(ir.Output, "y", x)
    return Graph(name, tuple(net.nodes)).verify()


# ---- streaming ---------------------------------------------------------------------------------------------------


def conv_stack(name: str, shape: tuple[int, int, int], filters: tuple[int, ...], seed: int, **how: Any) -> Graph:
    """Return convolutions one after the other, and a dense head behind a global average."""
    stride, kernel, density = how.get("stride", 1), how.get("kernel", 3), how.get("density", 1.0)
    net = ConvNet(name, shape, seed, density)
    x = "x"
    for k, n in enumerate(filters):
        x = net.conv(f"c{k}", x, n, kernel=kernel, stride=stride if k else 1, fmt=how.get("relu"))
    return net.head(x, how.get("outputs", 5))


def separable(
    name: str, shape: tuple[int, int, int], filters: tuple[int, ...], seed: int, density: float = 1.0
) -> Graph:
    """Return depthwise-separable blocks behind a convolution."""
    net = ConvNet(name, shape, seed, density)
    x = net.conv("c0", "x", filters[0], stride=2)
    for k, n in enumerate(filters[1:]):
        x = net.conv(f"p{k}", net.depthwise(f"d{k}", x, 2 if k % 2 else 1), n, kernel=1)
    return net.head(x, 4)


def pooled(name: str, shape: tuple[int, int, int], filters: tuple[int, ...], seed: int, dense: int) -> Graph:
    """Return convolutions with maximum pooling, flattened before two dense layers."""
    net = ConvNet(name, shape, seed)
    x = "x"
    for k, n in enumerate(filters):
        x = net.conv(f"c{k}", x, n)
        x = net.add(ir.MaxPool, f"m{k}", x, pool=(2, 2), strides=(2, 2), padding=(0, 0, 0, 0))
    total = int(np.prod(net.shape(x)))
    x = net.add(ir.Reshape, "flat", x, shape=(total,))
    x = net.add(ir.Dense, "f0", x, net.weights("f0_w", (total, dense)))
    x = net.add(ir.Requantize, "f0_q", x, fmt=FixedPoint.parse(RELU))
    x = net.add(ir.Dense, "f1", x, net.weights("f1_w", (dense, 4)))
    net.add(ir.Output, "y", x)
    return Graph(name, tuple(net.nodes)).verify()


def res_block(
    name: str, shape: tuple[int, int, int], filters: int, seed: int, density: float = 1.0, blocks: int = 1
) -> Graph:
    """Return residual blocks behind a convolution."""
    net, wide = ConvNet(name, shape, seed, density), "fixed<8,4,RND,SAT>"
    x = net.conv("c0", "x", filters)
    for k in range(blocks):
        stride = 1 + k
        y = net.conv(f"b{k}", net.conv(f"a{k}", x, filters, stride=stride), filters, fmt=wide)
        shortcut = net.conv(f"s{k}", x, filters, kernel=1, stride=stride, fmt=wide) if k else x
        x = net.add(ir.Add, f"add{k}", y, shortcut)
        x = net.add(ir.Requantize, f"r{k}", x, fmt=FixedPoint.parse("ufixed<6,3,RND_CONV,SAT>"))
    return net.head(x, 4)


def fire(name: str, shape: tuple[int, int, int], squeeze: int, expand: int, seed: int) -> Graph:
    """Return SqueezeNet's fire module between two convolutions: a fork and a concatenation."""
    net = ConvNet(name, shape, seed)
    x = net.conv("c0", "x", 4, stride=2)
    s = net.conv("sq", x, squeeze, kernel=1)
    a, b = net.conv("e1", s, expand, kernel=1), net.conv("e3", s, expand)
    return net.head(net.add(ir.Concat, "cat", a, b, axis=2), 4)


def stream_mlp(name: str, sizes: tuple[int, ...], seed: int, **how: Any) -> Graph:
    """Return dense layers, folded."""
    return mlp(name, sizes, seed, density=how.pop("density", 1.0), **how)


def _options(**how: Any) -> RtlOptions:
    return RtlOptions(**how)


def _dense_calibration() -> Iterator[Design]:
    seed = 100
    for bits in (3, 4, 6, 8):
        for density in (0.3, 1.0):
            for clock in (2.0, 5.0):
                seed += 1
                yield Design(
                    f"one_b{bits}_d{int(10 * density)}_c{int(clock)}", "one layer", False,
                    partial(mlp, f"m{seed}", (12, 8), seed, bits=bits, density=density, last=RELU),
                    _options(clock_period_ns=clock),
                )  # fmt: skip
    relus = ("ufixed<4,1,TRN,SAT>", "fixed<6,2,RND,SAT>", "ufixed<6,2,RND_CONV,SAT>", "fixed<5,2,RND_CONV,WRAP>",
             "fixed<6,3,TRN,SAT>", "ufixed<8,3,RND,SAT>")  # fmt: skip
    for k, relu in enumerate(relus):
        for clock in (1.5, 3.0, 8.0):
            seed += 1
            if k > 2 and clock != 3.0:
                continue
            yield Design(
                f"mlp_q{k}_c{int(10 * clock)}", "two layers", False,
                partial(mlp, f"m{seed}", (10, 12, 4), seed, relu=relu, bits=5, density=0.5),
                _options(clock_period_ns=clock, handshake="none" if k % 2 else "valid_ready"),
            )  # fmt: skip
    for k, (sizes, bits) in enumerate((((16, 16, 8), 6), ((24, 8, 8, 3), 4), ((8, 24, 6), 5), ((32, 16, 4), 3))):
        for density in (0.25, 0.7):
            seed += 1
            yield Design(
                f"mlp_s{k}_d{int(100 * density)}", "shapes", False,
                partial(mlp, f"m{seed}", sizes, seed, bits=bits, density=density),
                _options(clock_period_ns=2.5),
            )  # fmt: skip
    for k, (bits, fmt) in enumerate(((4, "fixed<6,2>"), (6, "fixed<8,3>"), (3, "ufixed<4,2>"), (8, "fixed<10,4>"))):
        seed += 1
        yield Design(
            f"latency_{k}", "plain products", False,
            partial(mlp, f"m{seed}", (6, 5, 3), seed, bits=bits, density=0.8, inputs=fmt),
            _options(clock_period_ns=4.0, strategy="latency"),
        )  # fmt: skip
    for k in range(3):
        seed += 1
        yield Design(
            f"select_{k}", "small pictures", False,
            partial(small_image, f"m{seed}", seed, 2 + k, 4),
            _options(clock_period_ns=(2.0, 3.0, 5.0)[k]),
        )  # fmt: skip


def _more_dense_calibration() -> Iterator[Design]:
    seed = 300
    for k in range(3):
        seed += 1
        yield Design(
            f"tanh_{k}", "one table", False,
            partial(one_table, f"m{seed}", seed, 5 + k),
            _options(clock_period_ns=3.0),
        )  # fmt: skip
        seed += 1
        yield Design(
            f"sums_{k}", "sums and maxima", False,
            partial(sums, f"m{seed}", 6 + k, seed),
            _options(clock_period_ns=(1.5, 3.0, 5.0)[k]),
        )  # fmt: skip


def _dense_held_out() -> Iterator[Design]:
    seed = 500
    for k, clock in enumerate((1.6, 2.2, 3.5, 6.0)):
        seed += 1
        yield Design(
            f"jets_{k}", "jet tagger", True,
            partial(mlp, f"j{seed}", (16, 16 + 4 * k, 12, 12, 5), seed, bits=5, density=0.4),
            _options(clock_period_ns=clock),
        )  # fmt: skip
        seed += 1
        yield Design(
            f"residual_{k}", "dense residual", True,
            partial(residual, f"j{seed}", 6 + 2 * k, seed, 3 + k, ("ufixed<5,2,RND,SAT>", RELU)[k % 2]),
            _options(clock_period_ns=clock),
        )  # fmt: skip
        seed += 1
        yield Design(
            f"argmax_{k}", "classifier", True,
            partial(classifier, f"j{seed}", (10, 12 + 2 * k, 4 + 2 * k), seed, 4 + k),
            _options(clock_period_ns=clock, handshake="none" if k % 2 else "valid_ready"),
        )  # fmt: skip
        seed += 1
        yield Design(
            f"towers_{k}", "two towers", True,
            partial(two_towers, f"j{seed}", (12, 6 + 2 * k, 4), seed, 5),
            _options(clock_period_ns=clock),
        )  # fmt: skip
        seed += 1
        yield Design(
            f"tables_{k}", "sigmoid tables", True,
            partial(tabled, f"j{seed}", (10, 8 + 2 * k, 4), seed, 4 + k % 2),
            _options(clock_period_ns=clock),
        )  # fmt: skip
        seed += 1
        yield Design(
            f"deep_{k}", "deep and narrow", True,
            partial(mlp, f"j{seed}", (8, 8, 8, 8, 8, 4), seed, bits=3 + k, density=0.6, relu=NARROW),
            _options(clock_period_ns=clock),
        )  # fmt: skip


def _fold(**how: Any) -> FoldRequest:
    return FoldRequest(**{"reuse_factor": None, **how})


def _stream_calibration() -> Iterator[Design]:
    seed = 900
    for k, reuse in enumerate((1, 6, 18, 72)):
        for density in (1.0, 0.4):
            seed += 1
            if reuse == 1 and density < 1:
                continue
            yield Design(
                f"conv_r{reuse}_d{int(10 * density)}", "convolutions", False,
                partial(conv_stack, f"s{seed}", (8, 8, 2), (2 + k,), seed, density=density),
                _options(), _fold(reuse_factor=reuse),
            )  # fmt: skip
    for k, (shape, filters, kernel, stride) in enumerate(
        (((6, 10, 1), (3, 5), 3, 2), ((12, 12, 3), (6,), 3, 1), ((40, 20, 4), (4,), 2, 2), ((9, 9, 1), (3,), 5, 1))
    ):
        for m in (5, 14):
            seed += 1
            yield Design(
                f"conv_k{k}_m{m}", "convolution shapes", False,
                partial(conv_stack, f"s{seed}", shape, filters, seed, kernel=kernel, stride=stride),
                _options(clock_period_ns=3.0), _fold(max_multipliers=m),
            )  # fmt: skip
    for k, sizes in enumerate(((16, 12, 4), (48, 12, 5), (24, 16, 16), (100, 8))):
        for reuse in (6, 32):
            seed += 1
            yield Design(
                f"dense_{k}_r{reuse}", "folded dense", False,
                partial(stream_mlp, f"s{seed}", sizes, seed, bits=4 + k, density=(1.0, 0.5)[k % 2]),
                _options(), _fold(reuse_factor=reuse),
            )  # fmt: skip
    for k, shape in enumerate(((8, 8, 2), (12, 12, 3))):
        for m in (8, 20):
            seed += 1
            yield Design(
                f"separable_{k}_m{m}", "separable", False,
                partial(separable, f"s{seed}", shape, (4, 6), seed),
                _options(clock_period_ns=4.0), _fold(max_multipliers=m),
            )  # fmt: skip
    for k, (sizes, density) in enumerate((((32, 24, 10), 0.5), ((64, 32, 10), 0.25), ((40, 40, 16), 0.4))):
        for m in (4, 10):
            seed += 1
            yield Design(
                f"sparse_{k}_m{m}", "zeros skipped", False,
                partial(stream_mlp, f"s{seed}", sizes, seed, bits=5 + k, density=density),
                _options(), _fold(max_multipliers=m),
            )  # fmt: skip
    for k in range(3):
        seed += 1
        yield Design(
            f"unrolled_{k}", "unrolled convolutions", False,
            partial(conv_stack, f"s{seed}", (6, 6, 2), (3 + k,), seed, density=0.5),
            _options(), _fold(reuse_factor=1, strategy="distributed_arithmetic"),
        )  # fmt: skip


def _stream_held_out() -> Iterator[Design]:
    seed = 1300
    for k, m in enumerate((6, 10, 16, 28)):
        seed += 1
        yield Design(
            f"resblock_{k}", "residual blocks", True,
            partial(res_block, f"t{seed}", (6 + 2 * k, 6, 2), 2 + k, seed, (1.0, 0.4)[k % 2]),
            _options(clock_period_ns=4.0), _fold(max_multipliers=m),
        )  # fmt: skip
        seed += 1
        yield Design(
            f"pooled_{k}", "pooled pictures", True,
            partial(pooled, f"t{seed}", (8, 8, 1 + k % 3), (3 + k,), seed, 5 + k),
            _options(clock_period_ns=3.0 + k), _fold(max_multipliers=m),
        )  # fmt: skip
        seed += 1
        yield Design(
            f"fire_{k}", "fire modules", True,
            partial(fire, f"t{seed}", (10, 10, 2), 2, 2 + k, seed),
            _options(), _fold(max_multipliers=m),
        )  # fmt: skip
        seed += 1
        yield Design(
            f"mobile_{k}", "mobile nets", True,
            partial(separable, f"t{seed}", (14, 14, 1 + k), (3 + k, 6), seed, (1.0, 0.5)[k % 2]),
            _options(clock_period_ns=2.5), _fold(max_multipliers=m),
        )  # fmt: skip
        seed += 1
        yield Design(
            f"lines_{k}", "one-dimensional", True,
            partial(conv_stack, f"t{seed}", (1, 40, 3), (4 + k, 6), seed, kernel=3, stride=2),
            _options(clock_period_ns=5.0), _fold(max_multipliers=m),
        )  # fmt: skip
        seed += 1
        yield Design(
            f"tall_{k}", "deep folded dense", True,
            partial(stream_mlp, f"t{seed}", (24 + 8 * k, 16, 12, 8), seed, bits=5, density=(1.0, 0.3)[k % 2]),
            _options(clock_period_ns=4.0), _fold(max_multipliers=m),
        )  # fmt: skip


def _pruned() -> Iterator[Design]:
    seed = 1500
    for k, m in enumerate((7, 12, 20, 32)):
        seed += 1
        yield Design(
            f"digits_{k}", "pruned classifiers", True,
            partial(stream_mlp, f"t{seed}", (64, 40 + 12 * k, 32, 10), seed, bits=6, density=(0.25, 0.5)[k % 2]),
            _options(clock_period_ns=4.0), _fold(max_multipliers=m),
        )  # fmt: skip
        seed += 1
        yield Design(
            f"filters_{k}", "pruned pictures", True,
            partial(conv_stack, f"t{seed}", (12, 12, 2), (6, 8 + 2 * k), seed, density=(0.25, 0.4)[k % 2], stride=2),
            _options(), _fold(max_multipliers=m),
        )  # fmt: skip


def _memories() -> Iterator[Design]:
    for k, (size, outputs, bits) in enumerate(((160, 12, 8), (128, 16, 6))):
        yield Design(
            f"weights_{k}", "memories", True,
            partial(stream_mlp, f"w{k}", (size, outputs, 4), 1600 + k, bits=bits),
            _options(), _fold(max_multipliers=3),
        )  # fmt: skip
    yield Design(
        "rows_0", "memories", True,
        lambda: conv_stack("r0", (4, 300, 2), (3,), 1610),
        _options(), _fold(max_multipliers=6),
    )  # fmt: skip


def designs() -> list[Design]:
    """Return every design, those for calibration first."""
    seen = [*_dense_calibration(), *_more_dense_calibration(), *_stream_calibration()]
    return [*seen, *_dense_held_out(), *_stream_held_out(), *_pruned(), *_memories()]
