"""Counting the streaming hardware: what each kind of stage needs, from its sizes and constants."""

from __future__ import annotations

import numpy as np

from hwgen.cost import memories
from hwgen.cost.counts import Counts
from hwgen.cost.logic import (
    bits_of,
    constant_multiplier,
    credit_fifo,
    dsp_blocks,
    fifo,
    mux_luts,
    rom,
    shift_registers,
)
from hwgen.cost.predict_parallel import count_plan
from hwgen.fixed import IntArray
from hwgen.rtl.generate import Plan
from hwgen.rtl.stream import network as net


def count_stage(network: net.Network, stage: net.Stage) -> Counts:
    """Return what a stage's module needs."""
    counts, streams = Counts(), network.streams
    width = streams[stage.inputs[0]].bits if stage.inputs else 0
    match stage:
        case net.Kernel():
            _pipeline(counts, stage.plan)
        case net.MacEngine():
            _mac(counts, network, stage)
        case net.SparseEngine():
            _sparse(counts, network, stage)
        case net.RowStore():
            _row_store(counts, stage)
        case net.Fifo():
            fifo(counts, width, stage.depth)
        case net.Fork():
            counts.ff += len(stage.outputs)
            counts.add(fork=len(stage.outputs))
        case net.Collect() if stage.beats > 1:
            counts.ff += (stage.beats - 1) * width + bits_of(stage.beats)
            counts.add(collect=1, collect_beats=stage.beats, counter=bits_of(stage.beats))
        case net.Split() if stage.beats > 1:
            counts.ff += bits_of(stage.beats)
            counts.add(split=1, mux=streams[stage.output].bits * mux_luts(stage.beats), counter=bits_of(stage.beats))
        case net.Reduce() if stage.beats > 1:
            _reduce(counts, network, stage)
        case net.Decimate():
            bits = 2 * bits_of(stage.width + stage.strides[1] + 1) + 2 * bits_of(stage.height + stage.strides[0] + 1)
            counts.ff += bits
            counts.add(places=1, counter=bits)
        case net.Pad():
            columns = bits_of(stage.width + sum(stage.padding[2:]) + 1)
            rows = bits_of(stage.height + sum(stage.padding[:2]) + 1)
            counts.ff += columns + rows + 3
            counts.add(places=1, counter=columns + rows, mask=width)
        case net.Places():
            counts.ff += bits_of(stage.height) + bits_of(stage.width)
            counts.add(counter=bits_of(stage.height) + bits_of(stage.width))
        case net.Upsample():
            _upsample(counts, stage, width)
        case net.Source() | net.Sink() | net.Collect() | net.Split() | net.Reduce():
            pass  # wires; the last three of a single beat
        case _:
            raise TypeError(f"no cost of a {type(stage).__name__}")
    return counts


def _pipeline(counts: Counts, plan: Plan | None) -> None:
    if plan is not None:
        for part in count_plan(plan, flat=True).values():
            counts.merge(part)


def _upsample(counts: Counts, stage: net.Upsample, width: int) -> None:
    rows, columns = stage.factors
    counts.ff += bits_of(columns)
    counts.add(counter=bits_of(columns))
    if rows > 1:
        slots = memories.ram(width, stage.width, queue=True)
        counts.lut, counts.bram_18k = counts.lut + slots.lut, counts.bram_18k + slots.bram_18k
        counts.ff += bits_of(rows) + bits_of(stage.width) + (width * stage.width if slots.logic else 0)
        counts.add(counter=bits_of(rows) + bits_of(stage.width), mask=width)
        if slots.logic:
            counts.add(mux=width * mux_luts(stage.width))


def _reduce(counts: Counts, network: net.Network, stage: net.Reduce) -> None:
    source, result = network.streams[stage.input], network.streams[stage.output]
    counts.ff += result.bits + bits_of(stage.beats)
    if stage.maximum:
        counts.add(reduce_max=result.bits)
    else:
        counts.add(reduce_sum=source.bits, reduce_top=result.bits - source.bits)
    counts.add(counter=bits_of(stage.beats))


def _row_store(counts: Counts, stage: net.RowStore) -> None:
    """Count an `hg_row_store`: a memory a row slot, the window's registers, counters of places and rows."""
    (kh, kw), (sh, sw) = stage.kernel, stage.strides
    pixel, slots = stage.channels * stage.element_width, stage.slots
    row = memories.ram(pixel, stage.width)
    counts.lut += slots * row.lut
    counts.bram_18k += slots * row.bram_18k
    if row.logic:
        counts.ff += slots * pixel * stage.width
        counts.add(mux=slots * pixel * mux_luts(stage.width))
    counts.ff += kh * kw * pixel + (0 if row.bram_18k else slots * pixel)
    last = kw - 1 - stage.left + (stage.out_width - 1) * sw
    steps = max(last + 1, stage.width)
    slot_bits, column_bits = bits_of(slots), bits_of(stage.width)
    step_bits = bits_of(steps + sw + 1)
    row_bits = bits_of(2 * stage.height + (stage.out_height + 1) * sh + 2 * kh + 2) + 1
    below = (stage.out_height - 1) * sh - stage.top + kh > stage.height
    masked = min(kh, stage.top + (kh if below else 0))
    counts.ff += slot_bits * (2 + kh) + column_bits + 12 * row_bits + 2 * step_bits + 1
    counts.ff += (stage.left > 0) + (steps > stage.width) + masked - 1
    counts.add(
        row_store=1,
        row_counter=row_bits + step_bits,
        row_slot=slots,
        row_pick=kh * pixel * mux_luts(slots),
        row_pad=kh * pixel if masked or steps > stage.width else 0,
    )


def _followers(counts: Counts, network: net.Network, stage: net.Engine) -> None:
    """Count what stands behind an engine: followers, their coefficients, the output FIFO."""
    groups = bits_of(stage.beats)
    _pipeline(counts, stage.post)
    if stage.coefficients:
        counts.ff += groups
        counts.add(counter=groups)
        assert stage.post is not None
        for key, table in stage.coefficients.items():
            rom(counts, table, stage.post.graph.types[key].fmt.width)
    credit_fifo(counts, network.streams[stage.output].bits, stage.depth, stage.beats)


def _mac(counts: Counts, network: net.Network, stage: net.MacEngine) -> None:
    """Count an `hg_mac` engine."""
    source = network.streams[stage.input].fmt
    steps, groups, products, lanes = stage.steps, stage.groups, stage.products, stage.lanes
    cycles, acc = stage.cycles, stage.acc.width
    levels = (bits_of(products) + 1) // 2
    ahead = levels + (cycles > 1)
    step_bits, sub_bits, group_bits = bits_of(cycles), bits_of(steps), bits_of(groups)
    turns = steps if stage.shared else cycles
    elements = len(stage.select) if turns > 1 else int((stage.select >= 0).sum())
    counts.ff += elements * source.width
    counts.ff += elements // turns * source.width if cycles > 1 else 0
    if turns > 1:
        counts.add(rotate=elements * source.width)
    counts.ff += 1 + (cycles > 1) + step_bits + sub_bits + group_bits + (ahead + 1) + 1
    counts.add(mac=1, counter=step_bits + sub_bits + group_bits)
    if steps > 1:
        shift_registers(counts, {ahead + 1}, 2)
    weights = stage.weights.reshape(cycles, -1)
    copies = rom(counts, weights, stage.weight_width, cycles=2, spread=True)
    counts.ff += step_bits * copies
    registered = rom(counts, stage.bias, signed_width(stage.bias), cycles=2)
    shift_registers(counts, {ahead if registered else max(ahead - 1, 0)}, group_bits)
    x_width = source.width + (not source.signed)
    if cycles == 1:
        _constant_products(counts, stage, x_width, source.width)
    else:
        _products(counts, lanes * products, x_width, stage.weight_width, acc)
    below = products
    for level in range(1, levels + 1):
        nodes = -(-below // 4)
        width = min(x_width + stage.weight_width + 2 * level, acc)
        counts.ff += lanes * nodes * width
        counts.add(dot_sum=lanes * (below - nodes) * width)
        below = nodes
    counts.ff += lanes * acc
    counts.add(accumulate=lanes * acc if steps > 1 else 0, acc_bias=lanes * acc if steps == 1 else 0)
    _followers(counts, network, stage)


def _products(counts: Counts, number: int, x_width: int, weight_width: int, acc: int) -> None:
    """Count multipliers of an operand with a weight from a memory, and the registers of their products."""
    full = min(x_width + weight_width, acc)
    counts.dsp += number * dsp_blocks(x_width, weight_width, full)
    if not dsp_blocks(x_width, weight_width, full):
        counts.add(soft_multiply=number * full * min(x_width, weight_width))
    counts.ff += number * full


def _constant_products(counts: Counts, stage: net.MacEngine, x_width: int, in_width: int) -> None:
    """Count an engine of one step: its weights are constants; lanes share a product of an operand with equal weights.

    Powers of two are the operand itself, in one register for all of them; zeros are nothing.
    """
    full = min(x_width + stage.weight_width, stage.acc.width)
    weights = stage.weights[0]
    for values in weights.T if stage.shared else weights.reshape(-1, 1):
        different = set(values.tolist()) - {0}
        powers = {v for v in different if v > 0 and v & (v - 1) == 0}
        counts.ff += in_width if powers else 0
        counts.ff += sum(constant_multiplier(counts, in_width, v, full) for v in different - powers)


def _sparse(counts: Counts, network: net.Network, stage: net.SparseEngine) -> None:
    """Count an `hg_mac_sparse` engine."""
    source, plan = network.streams[stage.input].fmt, stage.schedule
    width, acc, lanes, banks = source.width, stage.acc.width, plan.lanes, plan.ways * plan.banks
    place_bits, bank_bits, acc_bits = bits_of(plan.bank_depth), bits_of(plan.banks), bits_of(plan.accs)
    bank_levels, lane_levels = max(1, -(-place_bits // 4)), max(1, -(-bank_bits // 4))
    ahead = bank_levels + lane_levels + 1
    terms = plan.ways * (1 + plan.spill) + 1
    counts.ff += int((plan.select >= 0).sum()) * width
    counts.ff += 2 + (stage.cycles > 1) + bits_of(stage.cycles) * 2 + ahead + 1
    shift_registers(counts, {ahead}, 1 if stage.cycles > 1 else 0)
    shift_registers(counts, {ahead - 1}, 1)
    if stage.cycles > 1:
        shift_registers(counts, {ahead - 1, ahead}, 1)
    _mux(counts, banks, width, plan.bank_depth)
    _mux(counts, lanes, width, plan.banks)
    counts.ff += 2 + 2 * bits_of(plan.accs)
    counts.add(sparse=1, counter=2 * bits_of(stage.cycles) + bits_of(plan.accs))
    sum_levels, below = 0, terms
    while below > 1 or sum_levels == 0:
        nodes = -(-below // 4)
        counts.ff += stage.lanes * nodes * acc
        counts.add(dot_sum=stage.lanes * (below - nodes) * acc)
        below, sum_levels = nodes, sum_levels + 1
    counts.ff += sum_levels
    x_width = width + (not source.signed)
    _products(counts, lanes, x_width, plan.weight_width, acc)
    sums = memories.ram(acc, 2 << acc_bits, ports=2)
    sets = plan.filled.any(axis=2)  # a lane that lends nothing has one set
    used, partial = int(sets.sum()), int((sets & ~plan.filled.all(axis=2)).sum())
    counts.lut += used * sums.lut
    counts.ff += used * (plan.accs + (acc * (2 << acc_bits) if sums.logic else 0))
    counts.add(lane_sum=used * acc, lane_seen=used * plan.accs, lane=used)
    if terms > 3:  # of up to three terms the sum's own LUTs have inputs left for "nothing was added here"
        counts.add(lane_gate=partial * acc)
    if sums.logic:
        counts.add(lane_select=used * acc)
    _schedule_rom(counts, stage, bank_levels, ahead)
    rom(counts, stage.bias, signed_width(stage.bias), cycles=2)
    _followers(counts, network, stage)


def _mux(counts: Counts, number: int, width: int, inputs: int) -> None:
    """Count `number` of `hg_mux`."""
    below = inputs
    while True:
        nodes = -(-below // 16)
        full, rest = divmod(below, 16)
        counts.ff += number * nodes * width
        counts.add(mux=number * width * (full * mux_luts(16) + mux_luts(rest)))
        if nodes == 1:
            return
        below = nodes


def _schedule_rom(counts: Counts, stage: net.SparseEngine, bank_levels: int, ahead: int) -> None:
    """Count the schedule memory; its fields are delayed until they are needed."""
    plan = stage.schedule
    place_bits, bank_bits, acc_bits = bits_of(plan.bank_depth), bits_of(plan.banks), bits_of(plan.accs)
    fields: list[tuple[IntArray, int, int]] = [(plan.addresses, place_bits, 0), (plan.bank, bank_bits, bank_levels)]
    fields += [(plan.weights, plan.weight_width, ahead - 1), (plan.acc % plan.accs, acc_bits, ahead)]
    if plan.spill:
        fields.append((plan.acc // plan.accs, 1, ahead))
    bits = [((values[:, :, None] >> np.arange(width)) & 1).reshape(len(values), -1) for values, width, _ in fields]
    chain = np.concatenate([np.full(part.shape[1], c) for part, (_, _, c) in zip(bits, fields, strict=True)])
    copies = rom(counts, np.concatenate(bits, axis=1), 1, chain, cycles=2)
    counts.ff += bits_of(stage.cycles) * copies


def signed_width(values: IntArray) -> int:
    """Return the bits of a signed memory field that holds all values."""
    low, high = min(int(values.min()), -1), max(int(values.max()), 0)
    return max((-low - 1).bit_length(), high.bit_length()) + 1
