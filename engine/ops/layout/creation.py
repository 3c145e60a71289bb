"""Arrays from nothing: zeros, ones, full, eye, arange, linspace. Their sizes are static.

None holds an array while a program is being read: they are written with `iota` and with numbers stretched to a shape,
so that a size over the limit is refused before anything is allocated. Arrays are of the program's floating dtype,
except that `arange` of integers is an array of integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, isfinite
from typing import Any

from engine.attrs import AXIS, BOOL, INT, SHAPE, SIZE, number, optional
from engine.aval import Aval, Shape, broadcast_shapes, normalize_axis
from engine.builder import Builder, GraphBuilder, Var, broadcast_to, call, cast
from engine.errors import Arity, InvalidAttribute, LimitExceeded
from engine.op import Attr, Example, InputRef, Kind, Op, Operand, Parameter, Spelling, registry
from engine.ops.layout.diagonal import places

EXACT = 2.0**53
"""Up to here a double holds every integer."""


def _number(value: Any) -> Any:
    if isinstance(value, InputRef):
        return value
    if isinstance(value, dict) and set(value) == {"input"}:
        return SIZE.check(value)
    return number(value)


NUMBER = Kind("a number", _number)


def _sizes(value: Any) -> Any:
    shape = SHAPE.check(value)
    if isinstance(shape, tuple) and any(n == -1 for n in shape):
        raise ValueError("-1 is negative")
    return shape


SIZES = Kind("a shape: an integer or a list of integers that are not negative", _sizes)


class Creation(Op):
    """What ops that make arrays have in common."""

    family = "creation"
    composite = True
    parameters: tuple[Parameter, ...] = (Attr("shape", SIZES, aliases=("size",)),)


def shape_of(name: str, given: Any) -> Shape:
    """A shape attribute as sizes, of which none is negative."""
    shape: Shape = (given,) if isinstance(given, int) else tuple(given)
    if any(n < 0 for n in shape):
        raise InvalidAttribute(f"{name}: the shape {list(shape)} has a negative size.")
    return shape


def stretched(x: Var, shape: Shape) -> Var:
    """A node of its own, also where the shape is the same."""
    result: Var = x.b.write("broadcast_to", x, shape=shape)
    return result


class Filled(Creation):
    """An array of one shape and one number."""

    def __init__(self, name: str, value: float, doc: str) -> None:
        self.name = name
        self.value = value
        self.__doc__ = doc
        self.latex = f"\\mathbf{{{{{value:.0f}}}}}"
        self.examples = (
            Example((), {"shape": (2, 3)}),
            Example((), {"shape": ()}),
            Example((), {"shape": (0, 2)}),
        )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A number, stretched."""
        return stretched(b.var(self.value), shape_of(self.name, attrs["shape"]))


class FilledLike(Creation):
    """An array of another's shape and dtype and of one number."""

    parameters = (Operand("x", ("a", "input")),)
    convention = "Only the operand's shape is used: the derivative is 0."

    def __init__(self, name: str, value: float, doc: str) -> None:
        self.name = name
        self.value = value
        self.__doc__ = doc
        self.latex = f"\\mathbf{{{{{value:.0f}}}}}"
        self.derivative = {"x": "0"}
        self.examples = (Example(([[1.5, 2.0, -3.0]],)), Example((2.0,)), Example(([],)))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A number, stretched."""
        (x,) = operands
        return stretched(b.var(self.value, x.dtype), x.shape)


class Full(Creation):
    """An array of one shape, filled with a number (or an array stretched to that shape)."""

    name = "full"
    parameters = (*Creation.parameters, Operand("fill_value"))
    latex = "{fill_value}\\,\\mathbf{{1}}"
    derivative = {"fill_value": "1"}
    examples = (
        Example((2.5,), {"shape": (2, 3)}),
        Example(([1.0, 2.0],), {"shape": (3, 2)}),
        Example((2.5,), {"shape": ()}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """The value, stretched."""
        return stretched(operands[0], shape_of(self.name, attrs["shape"]))


class FullLike(Creation):
    """An array of another's shape, filled with a number (or an array stretched to that shape)."""

    name = "full_like"
    parameters = (Operand("x", ("a", "input")), Operand("fill_value"))
    latex = "{fill_value}\\,\\mathbf{{1}}"
    derivative = {"x": "0", "fill_value": "1"}
    examples = (Example(([[1.5, 2.0, -3.0]], 2.5)), Example(([[1.5, 2.0], [0.5, -3.0]], [1.0, 2.0])))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """The value, stretched."""
        x, value = operands
        return stretched(value, x.shape)


class Eye(Creation):
    """A matrix of n rows and m columns (n by default) with ones on diagonal k and zeros elsewhere."""

    name = "eye"
    parameters = (
        Attr("n", SIZE, aliases=("N", "n_rows")),
        Attr("m", optional(SIZE), None, ("M", "n_cols")),
        Attr("k", INT, 0),
    )
    spellings = {
        "numpy.identity": Spelling(parameters=(Attr("n", SIZE),)),
    }
    latex = "I"
    examples = (Example((), {"n": 3}), Example((), {"n": 2, "m": 4, "k": 1}), Example((), {"n": 0}))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Ones laid into zeros."""
        n, m = attrs["n"], attrs["n"] if attrs["m"] is None else attrs["m"]
        shape_of(self.name, (n, m))
        if isinstance(b, GraphBuilder):
            b.check(Aval((n, m), b.dtype))
        index = places(n, m, attrs["k"])
        ones = broadcast_to(b.var(1.0), (len(range(*index)),))
        flat: Var = b.write("embed", ones, index=(index,), shape=(n * m,))
        return flat.reshape((n, m))


# ----------------------------------------------------------------------------------------------------- equal distances


class Arange(Creation):
    """Numbers from `start` (0 unless given) up to but not including `stop`, in steps; one argument is the stop.

    If all that is given are integers (3 and 3.0 are the same number), so are the results, as an index wants them;
    beside floating-point numbers they are promoted. As NumPy's, entry i is start + i·δ with δ = (start + step) − start,
    and there are ⌈(stop − start) / step⌉ of them: linspace is for fractions.
    """

    name = "arange"
    aliases = ("Range",)
    parameters = (
        Attr("start", optional(NUMBER), None),
        Attr("stop", optional(NUMBER), None, ("limit",)),
        Attr("step", NUMBER, 1.0, ("delta",)),
    )
    latex = "\\operatorname{{arange}}"
    examples = (
        Example((), {"start": 5}),
        Example((), {"start": 2, "stop": 9, "step": 3}),
        Example((), {"start": 1.0, "stop": 0.0, "step": -0.25}),
        Example((), {"start": 3, "stop": 3}, note="empty"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """start + δ·iota."""
        start, stop, step = attrs["start"], attrs["stop"], float(attrs["step"])
        if stop is None:
            if start is None:
                raise Arity("arange needs to know where to stop: arange(stop) or arange(start, stop, step).")
            start, stop = 0.0, start
        start, stop = float(start or 0.0), float(stop)
        if not (isfinite(start) and isfinite(stop) and isfinite(step)):
            raise InvalidAttribute("arange: start, stop and step must be finite.")
        if step == 0:
            raise InvalidAttribute("arange: the step must not be 0.")
        length = (stop - start) / step
        if length > EXACT:
            raise LimitExceeded("elements", int(EXACT), int(min(length, 1e30)))
        n = max(0, ceil(length))
        numbers: Var = b.write("iota", n=n)
        integral = all(v.is_integer() and abs(v) <= EXACT for v in (start, stop, step))
        if integral:
            numbers = numbers if step == 1 else numbers * int(step)
            return numbers if start == 0 else numbers + int(start)
        floats = cast(b, numbers, b.dtype) * ((start + step) - start)
        return floats if start == 0 else floats + start


class Linspace(Creation):
    """`num` numbers at equal distances from start to stop, which is the last one (unless `endpoint` is false).

    start and stop may be arrays: their entries then run along a new axis, the first one unless `axis` is given. The last
    one is `stop` exactly.
    """

    name = "linspace"
    floating = True
    parameters = (
        Operand("start"), Operand("stop"), Attr("num", SIZE, 50.0, ("steps",)), Attr("endpoint", BOOL, True),
        Attr("axis", AXIS, 0, keyword_only=True),
    )  # fmt: skip
    latex = "\\operatorname{{linspace}}({start}, {stop})"
    derivative = {"start": "1 - \\frac{i}{n - 1}", "stop": "\\frac{i}{n - 1}"}
    examples = (
        Example((0.5, 2.0), {"num": 5}),
        Example((0.5, 2.0), {"num": 4, "endpoint": False}),
        Example(([0.0, 1.0], [2.0, -1.0]), {"num": 3}),
        Example(([0.0, 1.0], [2.0, -1.0]), {"num": 3, "axis": -1}),
        Example((0.5, 2.0), {"num": 1}, note="start alone"),
        Example((0.5, 2.0), {"num": 0}, note="empty"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """start + i·(stop − start) / (num − 1)."""
        start, stop = operands
        n = int(attrs["num"])
        if n < 0:
            raise InvalidAttribute(f"linspace: num {n} must not be negative.")
        shape = broadcast_shapes([start.shape, stop.shape])
        count = n - 1 if attrs["endpoint"] else n
        axis = normalize_axis(attrs["axis"], len(shape) + 1)
        if count <= 0:
            return call(b, "moveaxis", stretched(start, (n, *shape)), source=(0,), destination=(axis,))
        i: Var = b.write("iota", n=n).reshape((n, *[1] * len(shape)))
        line: Var = start + cast(b, i, b.dtype) * ((stop - start) / float(count))
        if attrs["endpoint"]:
            line = call(b, "where", i.equals(count), stop, line)
        return line if not shape else call(b, "moveaxis", line, source=(0,), destination=(axis,))


def _add(ops: Sequence[Op]) -> None:
    for op in ops:
        registry.add(op)


_add(
    [
        Filled("zeros", 0.0, "An array of zeros of one shape."),
        Filled("ones", 1.0, "An array of ones of one shape."),
        Full(),
        FilledLike("zeros_like", 0.0, "An array of zeros with the shape and dtype of another."),
        FilledLike("ones_like", 1.0, "An array of ones with the shape and dtype of another."),
        FullLike(),
        Eye(),
        Arange(),
        Linspace(),
    ]
)
