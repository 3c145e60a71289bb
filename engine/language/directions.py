"""Derivatives along a direction: jvp and vjp, which return values beside them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from engine.errors import Arity
from engine.language.bodies import (
    captures,
    constants,
    op_of,
    operands_of,
    same_form,
    trace,
    write,
)
from engine.language.control import bound_arguments, control, data_of, failed
from engine.language.functions import Applicable, Apply, FunctionOf
from engine.language.syntax import Call
from engine.language.values import Function, Several, Tuple, Value, rebuilt
from engine.language.walker import Walk, Walker
from engine.op import Op, check_attrs
from engine.program import Argument


def _tupled(walker: Walker, value: Value, at: int) -> list[Value]:
    """Several arguments that stand in a tuple; what is none is one argument."""
    return list(value.items) if type(value) is Tuple else [value]


@control("jvp")
def _jvp(walker: Walker, node: Call) -> Walk:
    """jvp(f, primals, tangents): f of the primals, and its derivative along the tangents."""
    bound = bound_arguments(walker, node, "jvp", "f primals tangents", 3)
    if bound is None:
        return failed(walker, node)
    given, _ = bound
    function = yield FunctionOf(given["f"])
    primals = data_of(walker, (yield given["primals"]), "Primals", given["primals"].at)
    tangents = data_of(walker, (yield given["tangents"]), "Tangents", given["tangents"].at)
    op = op_of(walker, "jvp", node.at)
    if function is None or primals is None or tangents is None or op is None:
        return failed(walker, node)
    if not same_form(walker, primals, tangents, "jvp needs a tangent for each primal", node.at):
        return failed(walker, node)
    made = yield from trace(walker, function, _tupled(walker, primals, node.at), node.at, changing=False)
    keys = captures([made.body])
    operands = [*operands_of(walker, primals, node.at), *constants(walker, keys)]
    operands += operands_of(walker, tangents, node.at)
    count = len(made.outputs)
    attrs = {"body": made.program(keys, node.at), "constants": len(keys)}
    values = iter(write(walker, op, operands, attrs, 2 * count, node.at))
    return Tuple([rebuilt(made.result, values), rebuilt(made.result, values)])


class Pullback(Applicable):
    """What `vjp(f, x)` returns beside f(x): cotangents of the result to cotangents of the arguments."""

    __slots__ = ("function", "values")

    def __init__(self, function: Function, values: Sequence[Value]) -> None:
        self.function = function
        self.values = values

    @property
    def title(self) -> str:
        """`vjp(f)`."""
        return f"vjp({self.function.title[:40]})"

    def call(self, walker: Walker, request: Apply) -> Walk:
        """The cotangents, a tuple with one for each argument."""
        if len(request.values) != 1 or request.keywords:
            walker.recorder.mistake(Arity(f"{self.title} takes the cotangent of the result."), request.at)
            return walker.placeholder(request.at)
        cotangents = data_of(walker, request.values[0], "A cotangent", request.at)
        if cotangents is None:
            return walker.placeholder(request.at)
        pair = yield from _pulled(walker, self.function, self.values, cotangents, request.at)
        return pair.items[1] if type(pair) is Tuple else pair


def _pulled(
    walker: Walker, function: Function, primals: Sequence[Value], cotangents: Value, at: int
) -> Generator[Any, Any, Value]:
    op = op_of(walker, "vjp", at)
    if op is None:
        return walker.placeholder(at)
    made = yield from trace(walker, function, primals, at, changing=False)
    if not same_form(walker, made.result, cotangents, "vjp needs a cotangent for each result", at):
        return walker.placeholder(at)
    keys = captures([made.body])
    own = [a for p in primals for a in operands_of(walker, p, at)]
    operands = [*own, *constants(walker, keys), *operands_of(walker, cotangents, at)]
    count = len(made.outputs)
    attrs = {"body": made.program(keys, at)}
    index = write_several(walker, op, operands, attrs, at)
    if index is None:
        return walker.placeholder(at)
    values = iter([walker.item(index, k, at) for k in range(count + len(own))])
    return Tuple([rebuilt(made.result, values), Tuple([rebuilt(p, values) for p in primals])])


def write_several(
    walker: Walker, op: Op, operands: Sequence[Argument], attrs: dict[str, Any], at: int
) -> Several | None:
    """The node of an op whose number of results only types tell."""
    return Several(walker.recorder, walker.recorder.emit(op, operands, check_attrs(op, attrs), at), op, None)


@control("vjp")
def _vjp(walker: Walker, node: Call) -> Walk:
    """vjp(f, primals, cotangents): f of the primals, and cotangents of them. vjp(f, x): f(x), and a function."""
    bound = bound_arguments(walker, node, "vjp", "f primals cotangents", 2)
    if bound is None:
        return failed(walker, node)
    given, _ = bound
    function = yield FunctionOf(given["f"])
    primals = data_of(walker, (yield given["primals"]), "Primals", given["primals"].at)
    if function is None or primals is None:
        return failed(walker, node)
    if "cotangents" not in given:
        value = yield Apply(function, [primals], node.at)
        return Tuple([value, Pullback(function, [primals])])
    cotangents = data_of(walker, (yield given["cotangents"]), "Cotangents", given["cotangents"].at)
    if cotangents is None:
        return failed(walker, node)
    several = type(primals) is Tuple
    pair = yield from _pulled(walker, function, _tupled(walker, primals, node.at), cotangents, node.at)
    if type(pair) is Tuple and not several and type(pair.items[1]) is Tuple:
        return Tuple([pair.items[0], pair.items[1].items[0]])
    return pair
