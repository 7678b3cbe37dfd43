"""The inner loops of compiled encoders: products of small matrices that stay in registers.

Everything a stack of separable convolutions computes, forward and backward, is one pattern: some
rows of 16 or 64 sums, to which products are added step by step,
``sum[row, column] += a[row, step] * b[step, column]`` for the products of matrices, or
``a[row, step, column]`` for convolutions channel by channel. ``tile`` is this pattern with the sums
in vector registers, which loops over arrays do not give; the rest of the file cuts matrices into
tiles. A sum's order of steps never depends on how its row was cut, so its result does not either.
"""

# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from typing import Any

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from mtf.compiled import cached_njit

VECTOR_BYTES = 64
ROWS = 4
AT_ONCE = 32
"""Slots that a convolution across channels works on at once."""
MANY = 4 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 1
"""Vectors side by side: what fits into the registers (32 of 64 bytes, or 16 of 32)."""


def tile(rows, vectors, channelwise):
    """The pattern for so many rows and vectors, as a function for compiled code.

    Arrays are read from an offset on, whatever their shape; all numbers count elements.

    ``out[o + r * out_row + c] = max(floor, start[s + r * start_row + c] + sum over steps k of
    a[i + r * a_row + k * a_step (+ c if channelwise)] * b[j + k * b_step + c])``
    """

    @intrinsic
    def compute(
        context,
        out,
        o,
        out_row,
        a,
        i,
        a_row,
        a_step,
        b,
        j,
        b_step,
        steps,
        start,
        s,
        start_row,
        floor,
    ):
        whole = types.intp
        signature = types.void(
            *(out, whole, whole, a, whole, whole, whole, b, whole, whole, whole),
            *(start, whole, whole, out.dtype),
        )
        return signature, _instructions

    def _instructions(context, build, signature, given):
        kinds, dtype = signature.args, signature.args[0].dtype
        lanes = VECTOR_BYTES * 8 // dtype.bitwidth
        vector = ir.VectorType(context.get_value_type(dtype), lanes)
        index, spread = ir.IntType(64), ir.VectorType(ir.IntType(32), lanes)

        def memory(position):
            return context.make_array(kinds[position])(context, build, given[position]).data

        def times(value, factor):
            return build.mul(value, ir.Constant(index, factor))

        def place(pointer, *offsets):
            total = offsets[0]
            for offset in offsets[1:]:
                total = build.add(total, offset)
            return build.gep(pointer, [total])

        def load(pointer, *offsets):
            where = build.bitcast(place(pointer, *offsets), vector.as_pointer())
            return build.load(where, align=dtype.bitwidth // 8)

        def broadcast(number):
            nothing = ir.Constant(vector, ir.Undefined)
            first = build.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
            return build.shuffle_vector(first, nothing, ir.Constant(spread, [0] * lanes))

        _, o, out_row, _, i, a_row, a_step, _, j, b_step, steps, _, s, start_row, floor = given
        out, a, b, start = memory(0), memory(3), memory(7), memory(11)
        columns = [ir.Constant(index, v * lanes) for v in range(vectors)]
        begun = [
            [load(start, s, times(start_row, r), column) for column in columns] for r in range(rows)
        ]
        before, head = build.block, build.append_basic_block("step")
        body, done = build.append_basic_block("add"), build.append_basic_block("done")
        build.branch(head)

        build.position_at_end(head)
        counters = [build.phi(index) for _ in range(3)]
        for counter, first in zip(counters, (ir.Constant(index, 0), i, j), strict=True):
            counter.add_incoming(first, before)
        sums = [[build.phi(vector) for _ in columns] for _ in range(rows)]
        for r in range(rows):
            for v in range(vectors):
                sums[r][v].add_incoming(begun[r][v], before)
        step, at_a, at_b = counters
        build.cbranch(build.icmp_signed("<", step, steps), body, done)

        build.position_at_end(body)
        kind = ir.FunctionType(vector, [vector] * 3)
        name = f"llvm.fmuladd.v{lanes}f{dtype.bitwidth}"
        multiply_add = cgutils.get_or_insert_function(build.module, kind, name)
        right = [load(b, at_b, column) for column in columns]
        for r in range(rows):
            at = build.add(at_a, times(a_row, r))
            if not channelwise:
                left = [broadcast(build.load(place(a, at)))] * vectors
            else:
                left = [load(a, at, column) for column in columns]
            for v in range(vectors):
                more = build.call(multiply_add, [left[v], right[v], sums[r][v]])
                sums[r][v].add_incoming(more, body)
        strides = (ir.Constant(index, 1), a_step, b_step)
        for counter, stride in zip(counters, strides, strict=True):
            counter.add_incoming(build.add(counter, stride), body)
        build.branch(head)

        build.position_at_end(done)
        least = broadcast(floor)
        for r in range(rows):
            for v, column in enumerate(columns):
                below = build.fcmp_ordered("<", sums[r][v], least)  # NaN is not below: it stays
                where = place(out, o, times(out_row, r), column)
                where = build.bitcast(where, vector.as_pointer())
                value = build.select(below, least, sums[r][v])
                build.store(value, where, align=dtype.bitwidth // 8)
        return context.get_dummy_value()

    return compute


def _stay_apart(context):
    """Say that the function that calls this is not to be copied into its callers.

    Copies of these loops at every call made compiling take twice as long, and nothing faster.
    """

    def _instructions(context, build, signature, given):
        build.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), _instructions


stay_apart: Any = intrinsic(_stay_apart)


_product, _product_row = tile(ROWS, MANY, False), tile(1, MANY, False)
_thin_product, _thin_product_row = tile(ROWS, 1, False), tile(1, 1, False)
_taps, _taps_row = tile(ROWS, MANY, True), tile(1, MANY, True)
_thin_taps, _thin_taps_row = tile(ROWS, 1, True), tile(1, 1, True)


@numba.njit(nogil=True)
def _columns(width, at, itemsize):
    """How many columns the next tile has, and whether that is the wide one."""
    lanes = VECTOR_BYTES // itemsize
    wide = width - at >= MANY * lanes
    return MANY * lanes if wide else lanes, wide


@numba.njit(nogil=True)
def multiply(a, a_row, a_step, steps, b, start, start_row, floor, rows, out):
    """``out[r] = max(floor, start[r] + sum over steps k of a[r, k] * b[k])`` of ``rows`` rows.

    ``a`` is read with the strides given (a transposed one has them the other way round), ``start``
    with its own: 0 = one row for all. ``b`` and ``out`` have the same width.
    """
    stay_apart()
    w, c = out.shape[1], 0
    while c < w:
        columns, wide = _columns(w, c, out.itemsize)
        r = 0
        while r < rows:
            o, i, s = r * w + c, r * a_row, r * start_row + c
            whole = r + ROWS <= rows
            if wide and whole:
                _product(out, o, w, a, i, a_row, a_step, b, c, w, steps, start, s, start_row, floor)
            elif wide:
                _product_row(out, o, w, a, i, 0, a_step, b, c, w, steps, start, s, 0, floor)
            elif whole:
                _thin_product(
                    out, o, w, a, i, a_row, a_step, b, c, w, steps, start, s, start_row, floor
                )
            else:
                _thin_product_row(out, o, w, a, i, 0, a_step, b, c, w, steps, start, s, 0, floor)
            r += ROWS if whole else 1
        c += columns


@numba.njit(nogil=True)
def add_outer(a, b, slots, out):
    """``out[i, j] += sum over slots t of a[t, i] * b[t, j]``, of the first ``slots`` slots."""
    stay_apart()
    rows = a.shape[1]
    multiply(a, 1, rows, slots, b, out, out.shape[1], -np.inf, rows, out)


@numba.njit(nogil=True)
def add_slots(x, slots, out):
    """``out[0, c] += sum over slots t of x[t, c]``, of the first ``slots`` slots."""
    stay_apart()
    one = np.ones(1, x.dtype)
    multiply(one, 0, 0, slots, x, out, 0, -np.inf, 1, out)


@numba.njit(nogil=True)
def _inside(t, begin, step, taps, time):
    """Which taps read a slot ``t + begin + k * step`` of the ``time`` slots there are."""
    at = t + begin
    if step > 0:
        first, last = -(at // step), -((at - time) // step)
    else:
        first, last = (at - time) // -step + 1, at // -step + 1
    first = min(max(first, 0), taps)
    return first, max(first, min(last, taps))


@numba.njit(nogil=True)
def convolve(x, weight, bias, begin, step, low, high, floor, out):
    """``out[t - low] = max(floor, bias + sum_k weight[k] * x[t + begin + k * step])``, 0 outside.

    Channel by channel, for slots ``low <= t < high``. With ``begin`` and ``step`` negated it is the
    gradient by ``x``.
    """
    stay_apart()
    time, w = x.shape
    taps, c = weight.shape[0], 0
    oldest, newest = min(begin, begin + (taps - 1) * step), max(begin, begin + (taps - 1) * step)
    while c < w:
        columns, wide = _columns(w, c, out.itemsize)
        t = low
        while t < high:
            whole = t + ROWS <= high
            if whole and t + oldest >= 0 and t + ROWS - 1 + newest < time:
                first, last = 0, taps
            else:
                first, last = _inside(t, begin, step, taps, time)
                also_first, also_last = _inside(t + ROWS - 1, begin, step, taps, time)
                whole = whole and first == also_first and last == also_last
            o, n, stride = (t - low) * w + c, last - first, step * w
            i, j = (t + begin + first * step) * w + c, first * w + c
            if wide and whole:
                _taps(out, o, w, x, i, w, stride, weight, j, w, n, bias, c, 0, floor)
            elif wide:
                _taps_row(out, o, w, x, i, w, stride, weight, j, w, n, bias, c, 0, floor)
            elif whole:
                _thin_taps(out, o, w, x, i, w, stride, weight, j, w, n, bias, c, 0, floor)
            else:
                _thin_taps_row(out, o, w, x, i, w, stride, weight, j, w, n, bias, c, 0, floor)
            t += ROWS if whole else 1
        c += columns


@numba.njit(nogil=True)
def add_taps(x, grad, begin, step, out):
    """``out[k] += sum_t grad[t] * x[t + begin + k * step]``, channel by channel.

    The gradient by the weight of ``convolve``.
    """
    stay_apart()
    time, w = x.shape
    taps, c = out.shape[0], 0
    while c < w:
        columns, wide = _columns(w, c, out.itemsize)
        k = 0
        while k < taps:
            many = ROWS if k + ROWS <= taps else 1
            oldest, newest = begin + k * step, begin + (k + many - 1) * step
            low, high = min(max(0, -oldest), time), max(min(time, time - newest), 0)
            if many == 1 or low >= high:
                for tap in range(k, k + many):
                    _add_tap(x, grad, begin + tap * step, 0, time, wide, tap, c, out)
            else:
                i, o = (low + oldest) * w + c, k * w + c
                g, n = low * w + c, high - low
                if wide:
                    _taps(out, o, w, x, i, step * w, w, grad, g, w, n, out, o, w, -np.inf)
                else:
                    _thin_taps(out, o, w, x, i, step * w, w, grad, g, w, n, out, o, w, -np.inf)
                for tap in range(k, k + many):
                    _add_tap(x, grad, begin + tap * step, 0, low, wide, tap, c, out)
                    _add_tap(x, grad, begin + tap * step, high, time, wide, tap, c, out)
            k += many
        c += columns


@numba.njit(nogil=True)
def _add_tap(x, grad, ahead, low, high, wide, tap, c, out):
    """One tap of ``add_taps``, of the slots from ``low`` to before ``high`` that read inside."""
    time, w = x.shape
    low, high = max(low, -ahead), min(high, time - ahead)
    i, g, o = (low + ahead) * w + c, low * w + c, tap * w + c
    if wide:
        _taps_row(out, o, w, x, i, 0, w, grad, g, w, high - low, out, o, 0, -np.inf)
    else:
        _thin_taps_row(out, o, w, x, i, 0, w, grad, g, w, high - low, out, o, 0, -np.inf)


@cached_njit(nogil=True)
def convolve_across(x, weight, bias, dilation, out):
    """``out[t] = max(0, bias + sum_k x[t - shift_k] @ weight[k])``: the ordinary convolution.

    ``x`` and ``out`` are ``[batch, time, dim]``, ``weight`` ``[tap, in, out]``, the oldest tap
    first. Nothing in mtf runs it but comparisons: the same loops for more arithmetic.
    """
    taps, channels, width = weight.shape
    time, zero = x.shape[1], x.dtype.type(0)
    for b in range(len(x)):
        for low in range(0, time, AT_ONCE):
            high = min(low + AT_ONCE, time)
            into = out[b, low:high]
            own, count = x[b, low:high], high - low
            multiply(own, channels, 1, channels, weight[-1], bias, 0, -np.inf, count, into)
            for k in range(taps - 1):
                shift = (taps - 1 - k) * dilation
                first = min(max(low, shift), high)
                sums = out[b, first:high]
                rows = x[b, first - shift : high - shift]
                count = high - first
                multiply(rows, channels, 1, channels, weight[k], sums, width, -np.inf, count, sums)
            for t in range(high - low):
                for c in range(width):
                    value = into[t, c]
                    into[t, c] = zero if value < zero else value
