"""Sixteen float32 at once, for compiled kernels that must not depend on what a compiler guesses.

``Lanes`` is a value of numba's: it lives in registers, within kernels alone. Where a processor's
registers are narrower, the compiler takes several of them for one. Arrays are flat, and places in
them are counted in numbers; nothing is checked.
"""

# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.extending import models, register_model

from mtf.compiled import cached_njit

intrinsic: Any = extending.intrinsic
"""Untyped: mypy would take the compiler's own arguments for those of a call."""
compiled: Any = cached_njit(nogil=True)
"""Makes kernels of functions."""
LANES = 16
REAL, WHOLE = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.IntType(32), LANES)
EXP2 = np.polynomial.Chebyshev.interpolate(np.exp2, 6, [-1, 0]).convert(
    kind=np.polynomial.Polynomial
)
"""2 ** x on [-1, 0] to 4e-9, by interpolation at Chebyshev's points."""
MANTISSA_BITS, EXPONENT_BIAS = 23, 127
MIXING = ((16, 0x85EBCA6B), (13, 0xC2B2AE35))
"""Shifts and factors of MurmurHash3's end."""


class Lanes(types.Type):
    """The type of sixteen float32."""

    def __init__(self) -> None:
        super().__init__("float32x16")


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    """How they are kept: as one vector."""

    def __init__(self, manager, kind):
        super().__init__(manager, kind, REAL)


lanes = Lanes()


@intrinsic
def load(context, array, at):
    """The sixteen numbers from ``array[at]`` on."""

    def generate(context, builder, signature, arguments):
        found = builder.load(_address(context, builder, signature, arguments))
        found.align = 4
        return found

    return lanes(array, types.intp), generate


@intrinsic
def store(context, array, at, value):
    """Write sixteen numbers from ``array[at]`` on."""

    def generate(context, builder, signature, arguments):
        builder.store(arguments[2], _address(context, builder, signature, arguments)).align = 4
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), generate


@intrinsic
def spread(context, value):
    """One number sixteen times."""
    return lanes(types.float32), lambda _, builder, __, given: _spread(builder, *given)


@intrinsic
def spread_at(context, array, at):
    """``array[at]`` sixteen times; unlike there, ``at`` never counts from the end."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return _spread(builder, builder.load(builder.gep(data, [arguments[1]])))

    return lanes(array, types.intp), generate


@intrinsic
def add(context, a, b):
    """``a + b``."""
    return lanes(lanes, lanes), lambda _, builder, __, given: builder.fadd(*given)


@intrinsic
def sub(context, a, b):
    """``a - b``."""
    return lanes(lanes, lanes), lambda _, builder, __, given: builder.fsub(*given)


@intrinsic
def mul(context, a, b):
    """``a * b``."""
    return lanes(lanes, lanes), lambda _, builder, __, given: builder.fmul(*given)


@intrinsic
def div(context, a, b):
    """``a / b``."""
    return lanes(lanes, lanes), lambda _, builder, __, given: builder.fdiv(*given)


@intrinsic
def fma(context, a, b, c):
    """``a * b + c``, rounded once."""
    return lanes(lanes, lanes, lanes), lambda _, builder, __, given: _call(builder, "fma", *given)


@intrinsic
def magnitude(context, a):
    """``|a|``."""
    return lanes(lanes), lambda _, builder, __, given: _call(builder, "fabs", *given)


@intrinsic
def maximum(context, a, b):
    """The greater of both."""
    return lanes(lanes, lanes), lambda _, builder, __, given: _greater(builder, *given)


@intrinsic
def where_positive(context, x, a, b):
    """``a`` where ``x`` is above 0, else ``b``."""

    def generate(context, builder, signature, arguments):
        x, a, b = arguments
        return builder.select(builder.fcmp_ordered(">", x, _constant(0.0)), a, b)

    return lanes(lanes, lanes, lanes), generate


@intrinsic
def total(context, a):
    """The sum of all sixteen."""

    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType(), REAL])
        name = f"llvm.vector.reduce.fadd.v{LANES}f32"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        nothing = ir.Constant(ir.FloatType(), 0.0)
        return builder.call(function, [nothing, arguments[0]], fastmath=("reassoc",))

    return types.float32(lanes), generate


@intrinsic
def kept(context, seed, more, at, least, share):
    """``share`` in places that are drawn, 0 elsewhere: dropout, as a function of where and a seed.

    A place is kept where its number of 32 bits, mixed from ``seed``, ``more`` and ``at`` plus its
    lane, is at least ``least``. The mixing is the end of MurmurHash3 (Appleby), twice.
    """

    def generate(context, builder, signature, arguments):
        seed, more, at, least, share = (_spread(builder, one) for one in arguments)
        lane = ir.Constant(WHOLE, list(range(LANES)))
        number = _mixed(builder, builder.xor(builder.add(at, lane), seed))
        number = _mixed(builder, builder.add(number, more))
        stays = builder.icmp_unsigned(">=", number, least)
        return builder.select(stays, share, _constant(0.0))

    whole = types.uint32
    return lanes(whole, whole, whole, whole, types.float32), generate


@intrinsic
def exp2(context, x):
    """``2 ** x`` of x up to 0; 2 ** -126 and less is 2 ** -126."""

    def generate(context, builder, signature, arguments):
        x = _greater(builder, arguments[0], _constant(-126.0))
        whole = builder.fptosi(x, WHOLE)
        rest = builder.fsub(x, builder.sitofp(whole, REAL))
        power = _constant(EXP2.coef[-1])
        for coefficient in EXP2.coef[-2::-1]:
            power = _call(builder, "fma", power, rest, _constant(coefficient))
        exponent = builder.add(whole, _whole(EXPONENT_BIAS))
        scale = builder.bitcast(builder.shl(exponent, _whole(MANTISSA_BITS)), REAL)
        return builder.fmul(power, scale)

    return lanes(lanes), generate


@intrinsic
def turn(context, source, at, step, last, into, to):
    """Write 16 rows of 16 numbers as columns.

    Row r is at ``source[at + min(r, last) * step]``; the columns stand one behind the other from
    ``into[to]`` on.
    """

    def generate(context, builder, signature, arguments):
        array, at, step, last, _, to = arguments
        rows = []
        for row in range(LANES):
            own = ir.Constant(last.type, row)
            place = builder.select(builder.icmp_signed("<", own, last), own, last)
            where = builder.add(at, builder.mul(place, step))
            given = signature.args[0], (array, where)
            rows.append(_load(context, builder, *given))
        for column, value in enumerate(_turned(builder, rows)):
            place = builder.add(to, ir.Constant(to.type, column * LANES))
            pointer = _pointer(context, builder, signature.args[4], arguments[4], place)
            builder.store(value, pointer).align = 4
        return context.get_dummy_value()

    where = types.intp
    return types.void(source, where, where, where, into, where), generate


def _turned(builder, rows):
    """A matrix's rows as its columns: blocks of 8, 4, 2, 1 change places across the diagonal."""
    size = LANES // 2
    while size:
        for row in (r for r in range(LANES) if not r & size):
            a, b = rows[row], rows[row + size]
            upper = [lane + LANES - size if lane & size else lane for lane in range(LANES)]
            lower = [lane + LANES if lane & size else lane + size for lane in range(LANES)]
            rows[row] = builder.shuffle_vector(a, b, ir.Constant(WHOLE, upper))
            rows[row + size] = builder.shuffle_vector(a, b, ir.Constant(WHOLE, lower))
        size //= 2
    return rows


def _load(context, builder, kind, given):
    """Sixteen numbers of an array from a place on."""
    found = builder.load(_pointer(context, builder, kind, *given))
    found.align = 4
    return found


def _address(context, builder, signature, arguments):
    """Where the first argument's place, the second, is in memory."""
    return _pointer(context, builder, signature.args[0], *arguments[:2])


def _pointer(context, builder, kind, array, at):
    """Where sixteen numbers of an array stand."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), REAL.as_pointer())


def _call(builder, name, *given):
    """What a function of the compiler's says of vectors."""
    kind = ir.FunctionType(REAL, [REAL] * len(given))
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{LANES}f32")
    return builder.call(function, given)


def _spread(builder, value):
    """One number, real or whole, in all lanes."""
    kind = ir.VectorType(value.type, LANES)
    nothing, first = ir.Constant(kind, ir.Undefined), ir.Constant(ir.IntType(32), 0)
    one = builder.insert_element(nothing, value, first)
    return builder.shuffle_vector(one, nothing, ir.Constant(WHOLE, [0] * LANES))


def _mixed(builder, x):
    """Whole numbers of which every bit depends on every bit of the given ones."""
    for shift, factor in MIXING:
        x = builder.mul(builder.xor(x, builder.lshr(x, _whole(shift))), _whole(factor))
    return builder.xor(x, builder.lshr(x, _whole(MIXING[0][0])))


def _greater(builder, a, b):
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _constant(value):
    return ir.Constant(REAL, [ir.Constant(ir.FloatType(), float(np.float32(value)))] * LANES)


def _whole(value):
    return ir.Constant(WHOLE, [ir.Constant(ir.IntType(32), value)] * LANES)


__all__ = [
    "LANES",
    "add",
    "compiled",
    "div",
    "exp2",
    "fma",
    "kept",
    "load",
    "magnitude",
    "maximum",
    "mul",
    "spread",
    "spread_at",
    "store",
    "sub",
    "total",
    "turn",
    "where_positive",
]
