"""Loops, choices and implicit functions as functions: fori_loop, scan, cond, …; root, fixed_point, linear_solve."""

from __future__ import annotations

from typing import Any

from engine.language.bodies import (
    captures,
    constants,
    is_data,
    op_of,
    operands_of,
    same_form,
    trace,
    write,
)
from engine.language.branches import truth
from engine.language.control import bound_arguments, control, data_of, failed, static_of
from engine.language.fold import is_literal
from engine.language.functions import Apply, FunctionOf
from engine.language.loops import starts
from engine.language.syntax import Call, Constant, Name
from engine.language.values import UNKNOWN, Ref, Tuple, Value, leaves, rebuilt
from engine.language.walker import Static, Walk, Walker
from engine.op import InputRef
from engine.program import Argument


@control("fori_loop")
def _fori_loop(walker: Walker, node: Call) -> Walk:
    """fori_loop(start, stop, f, init): f(i, state) is the next state."""
    bound = bound_arguments(walker, node, "fori_loop", "start stop f init", 4)
    if bound is None:
        return failed(walker, node)
    given, _ = bound
    start = walker.array((yield given["start"]), given["start"].at)
    stop = walker.array((yield given["stop"]), given["stop"].at)
    function = yield FunctionOf(given["f"])
    init = data_of(walker, (yield given["init"]), "What goes round", given["init"].at)
    op = op_of(walker, "fori_loop", node.at)
    if function is None or init is None or op is None:
        return failed(walker, node)
    made = yield from trace(
        walker, function, [Ref(walker.recorder, 0), init], node.at, changing=True, integers=True
    )
    if not same_form(
        walker, init, made.result, f"{function.title} must return a state like the one it gets", node.at
    ):
        return failed(walker, node)
    keys = captures([made.body])
    operands, integers = starts(walker, op, list(leaves(init)), node.at)
    attrs: dict[str, Any] = {"carry": len(operands)}
    if integers:
        attrs["integers"] = integers
    operands += constants(walker, keys)
    for name, value in (("start", start), ("stop", stop)):
        at = given[name].at
        known = value.static if type(value) is Ref and value.static is not UNKNOWN else value
        if is_literal(known):
            attrs[name] = known
        else:
            attrs[name] = InputRef(len(operands))
            operands.append(walker.operand(value, at))
    attrs["body"] = made.program(keys, node.at)
    return rebuilt(init, iter(write(walker, op, operands, attrs, len(made.outputs), node.at)))


@control("while_loop")
def _while_loop(walker: Walker, node: Call) -> Walk:
    """while_loop(condition, f, init): f(state) is the next state, as long as condition(state) holds."""
    bound = bound_arguments(walker, node, "while_loop", "condition f init", 3)
    if bound is None:
        return failed(walker, node)
    given, _ = bound
    test = yield FunctionOf(given["condition"])
    function = yield FunctionOf(given["f"])
    init = data_of(walker, (yield given["init"]), "What goes round", given["init"].at)
    op = op_of(walker, "while_loop", node.at)
    if function is None or test is None or init is None or op is None:
        return failed(walker, node)
    tested = yield from trace(walker, test, [init], node.at, changing=True)
    made = yield from trace(walker, function, [init], node.at, changing=True, integers=True)
    if type(tested.result) is Tuple:
        walker.recorder.wrong(node.at, f"{test.title} must return one boolean.")
        return failed(walker, node)
    if not same_form(
        walker, init, made.result, f"{function.title} must return a state like the one it gets", node.at
    ):
        return failed(walker, node)
    bodies = [tested.body, made.body]
    keys = captures(bodies)
    operands, integers = starts(walker, op, list(leaves(init)), node.at)
    attrs: dict[str, Any] = {"carry": len(operands)}
    if integers:
        attrs["integers"] = integers
    attrs["cond"] = tested.program(keys, node.at, bodies)
    attrs["body"] = made.program(keys, node.at, bodies)
    operands += constants(walker, keys)
    return rebuilt(init, iter(write(walker, op, operands, attrs, len(made.outputs), node.at)))


@control("scan")
def _scan(walker: Walker, node: Call) -> Walk:
    """scan(f, init, xs, length=None, reverse=False): f(carry, x) is (carry, y); the last carry, and all y stacked."""
    bound = bound_arguments(walker, node, "scan", "f init xs length reverse", 2)
    if bound is None:
        return failed(walker, node)
    given, _ = bound
    function = yield FunctionOf(given["f"])
    init = data_of(walker, (yield given["init"]), "What goes round", given["init"].at)
    xs: Value = Tuple(())
    none = given.get("xs", Constant(node.at, None))
    absent = type(none) is Constant and none.value is None
    if not absent:
        found = data_of(walker, (yield given["xs"]), "What is gone through", given["xs"].at)
        if found is None:
            return failed(walker, node)
        xs = found
    length = yield from static_of(walker, given.get("length"), None)
    reverse = yield from static_of(walker, given.get("reverse"), False)
    op = op_of(walker, "scan", node.at)
    if function is None or init is None or op is None:
        return failed(walker, node)
    second: Value = None if absent else xs
    made = yield from trace(
        walker, function, [init, second], node.at, changing=True, integers=True, mapped=[True, not absent]
    )
    result = made.result
    if type(result) is not Tuple or len(result.items) != 2:
        walker.recorder.wrong(
            node.at, f"{function.title} must return two values, the next carry and y: return carry, y."
        )
        return failed(walker, node)
    carry, y = result.items
    if not same_form(
        walker, init, carry, f"{function.title} must return a carry like the one it gets", node.at
    ):
        return failed(walker, node)
    keys = captures([made.body])
    scanned = operands_of(walker, xs, node.at)
    operands, integers = starts(walker, op, list(leaves(init)), node.at)
    attrs: dict[str, Any] = {"carry": len(operands), "scanned": len(scanned), "reverse": reverse}
    if integers:
        attrs["integers"] = integers
    operands = [*operands, *scanned, *constants(walker, keys)]
    if type(length) is Ref:
        attrs["length"] = InputRef(len(operands))
        operands.append(walker.operand(length, node.at))
    elif length is not None:
        attrs["length"] = length
    attrs["body"] = made.program(keys, node.at)
    values = iter(write(walker, op, operands, attrs, len(made.outputs), node.at))
    return Tuple([rebuilt(init, values), None if y is None else rebuilt(y, values)])


@control("map")
def _map(walker: Walker, node: Call) -> Walk:
    """map(f, xs): f of each entry along the leading axis, stacked."""
    bound = bound_arguments(walker, node, "map", "f xs", 2, "more")
    if bound is None:
        return failed(walker, node)
    given, more = bound
    function = yield FunctionOf(given["f"])
    arrays: list[Value] = []
    for part in (given["xs"], *more):
        value = data_of(walker, (yield part), "What is gone through", part.at)
        if value is None:
            return failed(walker, node)
        arrays.append(value)
    op = op_of(walker, "map", node.at)
    if function is None or op is None:
        return failed(walker, node)
    made = yield from trace(walker, function, arrays, node.at, changing=True)
    keys = captures([made.body])
    operands = [a for value in arrays for a in operands_of(walker, value, node.at)]
    attrs = {"scanned": len(operands), "body": made.program(keys, node.at)}
    operands += constants(walker, keys)
    return rebuilt(made.result, iter(write(walker, op, operands, attrs, len(made.outputs), node.at)))


@control("cond")
def _cond(walker: Walker, node: Call) -> Walk:
    """cond(condition, f, g, *operands): f of the operands if the condition holds, else g of them."""
    bound = bound_arguments(walker, node, "cond", "condition f g", 3, "operands")
    if bound is None:
        return failed(walker, node)
    given, more = bound
    condition = walker.array((yield given["condition"]), given["condition"].at)
    first = yield FunctionOf(given["f"])
    second = yield FunctionOf(given["g"])
    values: list[Value] = [None] * len(more)
    for k, part in enumerate(more):
        values[k] = yield part
    op = op_of(walker, "cond", node.at)
    if first is None or second is None or op is None:
        return failed(walker, node)
    known = truth(walker, condition, given["condition"].at)
    if known is not None:
        return (yield Apply(first if known else second, values, node.at))
    mapped = [is_data(v) and any(type(p) is Ref for p in leaves(v)) for v in values]
    a = yield from trace(walker, first, values, node.at, changing=False, mapped=mapped)
    b = yield from trace(walker, second, values, node.at, changing=False, mapped=mapped)
    if not same_form(
        walker, a.result, b.result, "Both functions of cond must return as many values", node.at
    ):
        return failed(walker, node)
    bodies = [a.body, b.body]
    keys = captures(bodies)
    operands: list[Argument] = [walker.operand(condition, given["condition"].at)]
    for value, used in zip(values, mapped, strict=True):
        operands += operands_of(walker, value, node.at) if used else []
    operands += constants(walker, keys)
    attrs = {"then": a.program(keys, node.at, bodies), "else": b.program(keys, node.at, bodies)}
    return rebuilt(a.result, iter(write(walker, op, operands, attrs, len(a.outputs), node.at)))


# ----------------------------------------------------------------------------------------------------- implicit functions


@control("root", "fixed_point", "linear_solve")
def _implicit(walker: Walker, node: Call) -> Walk:
    """root(f, x0): f(x) = 0; fixed_point(f, x0): f(x) = x; linear_solve(f, b): f(x) = b."""
    function_node = node.function
    name = function_node.name if isinstance(function_node, Name) else getattr(function_node, "name", "root")
    name = walker.modules.functions.get(name, (name, ""))[0]
    op = op_of(walker, name, node.at)
    if op is None:
        yield from node.positional[1:]
        return failed(walker, node)
    options = [a for a in op.attrs if a.name not in ("body", "carry")]
    first = "b" if name == "linear_solve" else "x0"
    bound = bound_arguments(walker, node, name, " ".join(["f", first, *(a.name for a in options)]), 2)
    if bound is None:
        return failed(walker, node)
    given, _ = bound
    function = yield FunctionOf(given["f"])
    start = data_of(walker, (yield given[first]), f"What {name} begins with", given[first].at)
    attrs: dict[str, Any] = {}
    for attr in options:
        if attr.name in given:
            attrs[attr.name] = yield Static(given[attr.name])
    if function is None or start is None:
        return failed(walker, node)
    made = yield from trace(walker, function, [start], node.at, changing=True)
    if not same_form(
        walker, start, made.result, f"{function.title} must return values like those it gets", node.at
    ):
        return failed(walker, node)
    keys = captures([made.body])
    operands = operands_of(walker, start, node.at)
    if len(operands) != 1:
        attrs["carry"] = len(operands)
    operands += constants(walker, keys)
    attrs["body"] = made.program(keys, node.at)
    return rebuilt(start, iter(write(walker, op, operands, attrs, len(made.outputs), node.at)))
