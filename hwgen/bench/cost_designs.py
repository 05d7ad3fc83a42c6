"""The seeded designs on which the predicted cost is calibrated and validated, by family of topology."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hwgen.bench.cost_graphs import (
    NARROW,
    RELU,
    classifier,
    conv_stack,
    fire,
    mlp,
    one_table,
    pooled,
    res_block,
    residual,
    separable,
    small_image,
    stream_mlp,
    sums,
    tabled,
    two_towers,
)
from hwgen.ir import Graph
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
