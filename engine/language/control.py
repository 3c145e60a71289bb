"""Functions of functions: loops and choices as functions (`scan`, `cond`, …), derivatives (`grad`, `jvp`, …), implicit
functions (`root`, …). Names, order of arguments and results are those of JAX.

Each is an op with bodies. A function is read as a body with the arguments as its inputs; what it uses from around it
becomes a further operand.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeAlias

from engine.errors import Arity
from engine.language.bodies import (
    capture_names,
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
from engine.language.fold import is_literal
from engine.language.functions import Applicable, Apply, FunctionOf
from engine.language.loops import starts
from engine.language.syntax import Call, Constant, Expression, Keyword, Name
from engine.language.values import UNKNOWN, Function, Ref, Several, Tuple, Value, leaves, rebuilt
from engine.language.walker import Static, Walk, Walker
from engine.op import InputRef
from engine.program import Argument

Handler: TypeAlias = Callable[[Walker, Call], Walk]

CONTROL: dict[str, Handler] = {}
"""The functions of functions, by name."""


def control(*names: str) -> Callable[[Handler], Handler]:
    """Register a walk over calls of a name."""

    def register(handler: Handler) -> Handler:
        for name in names:
            CONTROL[name] = handler
        return handler

    return register


class Control(Applicable):
    """A function of functions as a value: a decorator, `g = grad`."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def title(self) -> str:
        """Its name."""
        return self.name

    def call(self, walker: Walker, request: Apply) -> Walk:
        """As if it stood in the text."""
        from engine.language.arguments import Given

        positional: list[Any] = [Given(v, at) for v, at in zip(request.values, request.origins, strict=True)]
        keywords: list[Any] = [Keyword(at, n, Given(v, at)) for n, (v, at) in request.keywords.items()]  # type: ignore[arg-type]
        node = Call(request.at, Name(request.at, self.name), positional, keywords)
        return (yield from CONTROL[self.name](walker, node))


# ------------------------------------------------------------------------------------------------- arguments of a call


def _arguments(
    walker: Walker, node: Call, name: str, signature: str, required: int, rest: str = ""
) -> tuple[dict[str, Expression], list[Expression]] | None:
    """The arguments by name, and those behind them where `rest` allows for more; None after a mistake.

    `signature` names the parameters, of which the first `required` must be given.
    """
    names = signature.split()
    shown = ", ".join(n if k < required else f"{n}=…" for k, n in enumerate(names)) + (
        f", *{rest}" if rest else ""
    )
    given: dict[str, Expression] = dict(zip(names, node.positional, strict=False))
    more = node.positional[len(names) :]
    problem = ""
    if more and not rest:
        problem = f"{name} takes ({shown}); {len(node.positional)} arguments were given."
    for keyword in node.keywords:
        known = _ALSO.get(keyword.name, keyword.name)
        if known not in names:
            problem = problem or f"{name} has no argument '{keyword.name[:40]}'; it takes ({shown})."
        elif known in given:
            problem = problem or f"{name} got two values for its argument {known}."
        given[known] = keyword.value
    missing = [n for n in names[:required] if n not in given]
    if missing and not problem:
        problem = (
            f"{name} takes ({shown}); {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing."
        )
    if problem:
        walker.recorder.mistake(Arity(problem), node.at)
        return None
    return given, more


_ALSO = {
    "body_fun": "f", "fun": "f", "init_val": "init", "lower": "start", "upper": "stop", "cond_fun": "condition",
    "argnum": "argnums", "wrt": "argnums", "func": "f",
}  # fmt: skip
"""What JAX calls arguments that have shorter names here."""


def _failed(walker: Walker, node: Call) -> Value:
    return walker.placeholder(node.at)


def _data(walker: Walker, value: Value, what: str, at: int) -> Value | None:
    """A value made of arrays; None, and a mistake, if it is not."""
    if type(value) is Several and value.count is not None:
        value = Tuple([walker.item(value, k, at) for k in range(value.count)])
    if is_data(value):
        return value
    bad = next(v for v in leaves(value) if not (isinstance(v, Ref) or is_literal(v)))
    if isinstance(bad, Function):
        walker.recorder.wrong(
            at, f"{what} must be an array, a number, or a tuple of these; {bad.title} is a function."
        )
    else:
        walker.operand(bad, at)  # notes the mistake
    return None


def _number(walker: Walker, node: Expression | None, default: Any) -> Generator[Any, Any, Any]:
    """A static argument."""
    if node is None:
        return default
    return (yield Static(node))


# ------------------------------------------------------------------------------------------------------ loops, choices


@control("fori_loop")
def _fori_loop(walker: Walker, node: Call) -> Walk:
    """fori_loop(start, stop, f, init): f(i, state) is the next state."""
    bound = _arguments(walker, node, "fori_loop", "start stop f init", 4)
    if bound is None:
        return _failed(walker, node)
    given, _ = bound
    start = walker.array((yield given["start"]), given["start"].at)
    stop = walker.array((yield given["stop"]), given["stop"].at)
    function = yield FunctionOf(given["f"])
    init = _data(walker, (yield given["init"]), "What goes round", given["init"].at)
    op = op_of(walker, "fori_loop", node.at)
    if function is None or init is None or op is None:
        return _failed(walker, node)
    made = yield from trace(
        walker, function, [Ref(walker.recorder, 0), init], node.at, changing=True, integers=True
    )
    if not same_form(
        walker, init, made.result, f"{function.title} must return a state like the one it gets", node.at
    ):
        return _failed(walker, node)
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
    bound = _arguments(walker, node, "while_loop", "condition f init", 3)
    if bound is None:
        return _failed(walker, node)
    given, _ = bound
    test = yield FunctionOf(given["condition"])
    function = yield FunctionOf(given["f"])
    init = _data(walker, (yield given["init"]), "What goes round", given["init"].at)
    op = op_of(walker, "while_loop", node.at)
    if function is None or test is None or init is None or op is None:
        return _failed(walker, node)
    tested = yield from trace(walker, test, [init], node.at, changing=True)
    made = yield from trace(walker, function, [init], node.at, changing=True, integers=True)
    if type(tested.result) is Tuple:
        walker.recorder.wrong(node.at, f"{test.title} must return one boolean.")
        return _failed(walker, node)
    if not same_form(
        walker, init, made.result, f"{function.title} must return a state like the one it gets", node.at
    ):
        return _failed(walker, node)
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
    bound = _arguments(walker, node, "scan", "f init xs length reverse", 2)
    if bound is None:
        return _failed(walker, node)
    given, _ = bound
    function = yield FunctionOf(given["f"])
    init = _data(walker, (yield given["init"]), "What goes round", given["init"].at)
    xs: Value = Tuple(())
    none = given.get("xs", Constant(node.at, None))
    absent = type(none) is Constant and none.value is None
    if not absent:
        found = _data(walker, (yield given["xs"]), "What is gone through", given["xs"].at)
        if found is None:
            return _failed(walker, node)
        xs = found
    length = yield from _number(walker, given.get("length"), None)
    reverse = yield from _number(walker, given.get("reverse"), False)
    op = op_of(walker, "scan", node.at)
    if function is None or init is None or op is None:
        return _failed(walker, node)
    second: Value = None if absent else xs
    made = yield from trace(
        walker, function, [init, second], node.at, changing=True, integers=True, mapped=[True, not absent]
    )
    result = made.result
    if type(result) is not Tuple or len(result.items) != 2:
        walker.recorder.wrong(
            node.at, f"{function.title} must return two values, the next carry and y: return carry, y."
        )
        return _failed(walker, node)
    carry, y = result.items
    if not same_form(
        walker, init, carry, f"{function.title} must return a carry like the one it gets", node.at
    ):
        return _failed(walker, node)
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
    bound = _arguments(walker, node, "map", "f xs", 2, "more")
    if bound is None:
        return _failed(walker, node)
    given, more = bound
    function = yield FunctionOf(given["f"])
    arrays: list[Value] = []
    for part in (given["xs"], *more):
        value = _data(walker, (yield part), "What is gone through", part.at)
        if value is None:
            return _failed(walker, node)
        arrays.append(value)
    op = op_of(walker, "map", node.at)
    if function is None or op is None:
        return _failed(walker, node)
    made = yield from trace(walker, function, arrays, node.at, changing=True)
    keys = captures([made.body])
    operands = [a for value in arrays for a in operands_of(walker, value, node.at)]
    attrs = {"scanned": len(operands), "body": made.program(keys, node.at)}
    operands += constants(walker, keys)
    return rebuilt(made.result, iter(write(walker, op, operands, attrs, len(made.outputs), node.at)))


@control("cond")
def _cond(walker: Walker, node: Call) -> Walk:
    """cond(condition, f, g, *operands): f of the operands if the condition holds, else g of them."""
    bound = _arguments(walker, node, "cond", "condition f g", 3, "operands")
    if bound is None:
        return _failed(walker, node)
    given, more = bound
    condition = walker.array((yield given["condition"]), given["condition"].at)
    first = yield FunctionOf(given["f"])
    second = yield FunctionOf(given["g"])
    values: list[Value] = [None] * len(more)
    for k, part in enumerate(more):
        values[k] = yield part
    op = op_of(walker, "cond", node.at)
    if first is None or second is None or op is None:
        return _failed(walker, node)
    known = truth(walker, condition, given["condition"].at)
    if known is not None:
        return (yield Apply(first if known else second, values, node.at))
    mapped = [is_data(v) and any(type(p) is Ref for p in leaves(v)) for v in values]
    a = yield from trace(walker, first, values, node.at, changing=False, mapped=mapped)
    b = yield from trace(walker, second, values, node.at, changing=False, mapped=mapped)
    if not same_form(
        walker, a.result, b.result, "Both functions of cond must return as many values", node.at
    ):
        return _failed(walker, node)
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
        return _failed(walker, node)
    options = [a for a in op.attrs if a.name not in ("body", "carry")]
    first = "b" if name == "linear_solve" else "x0"
    bound = _arguments(walker, node, name, " ".join(["f", first, *(a.name for a in options)]), 2)
    if bound is None:
        return _failed(walker, node)
    given, _ = bound
    function = yield FunctionOf(given["f"])
    start = _data(walker, (yield given[first]), f"What {name} begins with", given[first].at)
    attrs: dict[str, Any] = {}
    for attr in options:
        if attr.name in given:
            attrs[attr.name] = yield Static(given[attr.name])
    if function is None or start is None:
        return _failed(walker, node)
    made = yield from trace(walker, function, [start], node.at, changing=True)
    if not same_form(
        walker, start, made.result, f"{function.title} must return values like those it gets", node.at
    ):
        return _failed(walker, node)
    keys = captures([made.body])
    operands = operands_of(walker, start, node.at)
    if len(operands) != 1:
        attrs["carry"] = len(operands)
    operands += constants(walker, keys)
    attrs["body"] = made.program(keys, node.at)
    return rebuilt(start, iter(write(walker, op, operands, attrs, len(made.outputs), node.at)))


# ------------------------------------------------------------------------------------------------------------ derivatives


class Derived(Applicable):
    """What a function of a function yields: `grad(f)`. `kind` is the op, `options` its static arguments."""

    __slots__ = ("also", "function", "kind", "options")

    def __init__(
        self,
        kind: str,
        function: Function,
        options: dict[str, Any] | None = None,
        also: Function | None = None,
    ) -> None:
        self.kind = kind
        self.function = function
        self.options = options or {}
        self.also = also

    @property
    def title(self) -> str:
        """`grad(f)`."""
        inner = self.function.title
        return f"{self.kind}({inner if len(inner) <= 40 else '…'})"

    def wishes(self, k: int) -> str | None:
        """The name of the function's parameter."""
        return self.function.wishes(k)

    def call(self, walker: Walker, request: Apply) -> Walk:
        """The op's node, and its results."""
        walker.spend(request.at)
        op = op_of(walker, self.kind, request.at)
        if op is None:
            return walker.placeholder(request.at)
        request = self._positional(request)
        return (yield from _CALLS[self.kind](walker, self, request))

    def _positional(self, request: Apply) -> Apply:
        """Arguments given by name in the places where the function's parameters stand."""
        names = [n for k in range(256) if (n := self.function.wishes(k)) is not None]
        values = list(request.values)
        left = dict(request.keywords)
        while len(values) < len(names) and names[len(values)] in left:
            values.append(left.pop(names[len(values)])[0])
        origins = [*request.origins, *[request.at] * (len(values) - len(request.values))]
        return Apply(request.function, values, request.at, left, origins)


def _argnums(walker: Walker, derived: Derived, request: Apply) -> list[int] | None:
    """The arguments that a derivative is taken with respect to; None after a mistake."""
    given = derived.options["argnums"]
    listed = given if isinstance(given, list) else [given]
    count = len(request.values)
    result = []
    for k in listed:
        if not -count <= k < count:
            walker.recorder.wrong(
                request.at,
                f"{derived.title} is taken with respect to argument {k}, but it is called with {count} "
                f"argument{'s' * (count != 1)}, counted from 0.",
            )
            return None
        result.append(k % count)
    return result


class _Split:
    """The arguments of a call as operands: which of them are, and where the parts of each stand."""

    def __init__(self, walker: Walker, request: Apply, wanted: Sequence[int]) -> None:
        self.mapped: list[bool] = []
        self.operands: list[Argument] = []
        self.places: list[range] = []
        self.problem = False
        for k, value in enumerate(request.values):
            data = is_data(value)
            used = k in wanted or (data and any(type(p) is Ref for p in leaves(value)))
            if used and not data:
                _data(walker, value, f"Argument {k}", request.origins[k])
                self.problem, used = True, False
            self.mapped.append(used)
            start = len(self.operands)
            if used:
                self.operands += operands_of(walker, value, request.origins[k])
            self.places.append(range(start, len(self.operands)))


def _gradient(walker: Walker, derived: Derived, request: Apply) -> Walk:
    """grad and value_and_grad."""
    at = request.at
    wanted = _argnums(walker, derived, request)
    split = _Split(walker, request, wanted or ())
    if wanted is None or split.problem:
        return walker.placeholder(at)
    made = yield from trace(
        walker,
        derived.function,
        request.values,
        at,
        changing=False,
        mapped=split.mapped,
        keywords=request.keywords,
    )
    if type(made.result) is Tuple:
        walker.recorder.wrong(
            at,
            f"{derived.title} needs a function that returns one number; {derived.function.title} returns several values.",
        )
        return walker.placeholder(at)
    op = op_of(walker, derived.kind, at)
    assert op is not None
    keys = captures([made.body])
    wrt = [p for k in wanted for p in split.places[k]]
    attrs = {"body": made.program(keys, at), "wrt": wrt}
    operands = [*split.operands, *constants(walker, keys)]
    with_value = derived.kind == "value_and_grad"
    values = iter(write(walker, op, operands, attrs, len(wrt) + with_value, at))
    value = next(values) if with_value else None
    gradients: list[Value] = [rebuilt(request.values[k], values) for k in wanted]
    result: Value = Tuple(gradients) if isinstance(derived.options["argnums"], list) else gradients[0]
    return Tuple([value, result]) if with_value else result


def _matrix(walker: Walker, derived: Derived, request: Apply) -> Walk:
    """jacobian and hessian: one node for each array."""
    at = request.at
    wanted = _argnums(walker, derived, request)
    split = _Split(walker, request, wanted or ())
    if wanted is None or split.problem:
        return walker.placeholder(at)
    op = op_of(walker, derived.kind, at)
    assert op is not None
    results: list[Value] = []
    for k in wanted:
        if len(split.places[k]) != 1:
            walker.recorder.wrong(
                at, f"{derived.title} is taken with respect to one array; argument {k} is a tuple."
            )
            return walker.placeholder(at)
        made = yield from trace(
            walker,
            derived.function,
            request.values,
            at,
            changing=False,
            mapped=split.mapped,
            keywords=request.keywords,
        )
        if type(made.result) is Tuple and derived.kind == "hessian":
            walker.recorder.wrong(at, f"{derived.title} needs a function that returns one number.")
            return walker.placeholder(at)
        keys = captures([made.body])
        outputs, parts = made.outputs, []
        for n in range(len(outputs)):
            if n:  # each result has a node of its own, whose body returns it alone
                made = yield from trace(
                    walker, derived.function, request.values, at, changing=False, mapped=split.mapped,
                    keywords=request.keywords,
                )  # fmt: skip
                keys = captures([made.body])
            made.outputs = [made.outputs[n]]
            attrs = {"body": made.program(keys, at), "wrt": split.places[k][0]}
            operands = [*split.operands, *constants(walker, keys)]
            parts += write(walker, op, operands, attrs, 1, at)
        results.append(rebuilt(made.result, iter(parts)))
    return Tuple(results) if isinstance(derived.options["argnums"], list) else results[0]


def _vmap(walker: Walker, derived: Derived, request: Apply) -> Walk:
    """vmap: axes for arguments become axes for their parts."""
    at = request.at
    given = derived.options["in_axes"]
    axes = given if isinstance(given, list) else [given] * len(request.values)
    if len(axes) != len(request.values):
        walker.recorder.wrong(
            at,
            f"{derived.title}: in_axes has {len(axes)} entries for {len(request.values)} arguments; each needs its own.",
        )
        return walker.placeholder(at)
    split = _Split(walker, request, [k for k, axis in enumerate(axes) if axis is not None])
    if split.problem:
        return walker.placeholder(at)
    made = yield from trace(
        walker,
        derived.function,
        request.values,
        at,
        changing=False,
        mapped=split.mapped,
        keywords=request.keywords,
    )
    op = op_of(walker, "vmap", at)
    assert op is not None
    keys = captures([made.body])
    listed: list[int | None] = []
    for places, axis, value in zip(split.places, axes, request.values, strict=True):
        if isinstance(axis, list):
            items = value.items if type(value) is Tuple else ()
            if len(items) != len(axis) or len(items) != len(places):
                walker.recorder.wrong(
                    at, f"{derived.title}: in_axes does not fit the tuple that it is called with."
                )
                return walker.placeholder(at)
            listed += axis
        else:
            listed += [axis] * len(places)
    attrs = {"body": made.program(keys, at), "in_axes": [*listed, *[None] * len(keys)]}
    operands = [*split.operands, *constants(walker, keys)]
    return rebuilt(made.result, iter(write(walker, op, operands, attrs, len(made.outputs), at)))


def _checkpoint(walker: Walker, derived: Derived, request: Apply) -> Walk:
    """checkpoint: the function's results, computed again on the way back."""
    at = request.at
    split = _Split(walker, request, ())
    made = yield from trace(
        walker,
        derived.function,
        request.values,
        at,
        changing=False,
        mapped=split.mapped,
        keywords=request.keywords,
    )
    op = op_of(walker, "checkpoint", at)
    assert op is not None
    keys = captures([made.body])
    operands = [*split.operands, *constants(walker, keys)]
    values = write(walker, op, operands, {"body": made.program(keys, at)}, len(made.outputs), at)
    return rebuilt(made.result, iter(values))


def _custom(walker: Walker, derived: Derived, request: Apply) -> Walk:
    """custom_vjp and custom_jvp: a function and a rule of the user's."""
    at = request.at
    every = range(len(request.values))
    split = _Split(walker, request, every)
    assert derived.also is not None
    if split.problem:
        return walker.placeholder(at)
    made = yield from trace(
        walker, derived.function, request.values, at, changing=False, keywords=request.keywords
    )
    back = derived.kind == "custom_vjp"
    # The rule gets the operands, then what it carries on: cotangents of the results, or tangents of the operands.
    carried = list(leaves(made.result)) if back else list(request.values)
    stand_ins: list[Value] = [Ref(walker.recorder, 0) for _ in carried] if back else carried
    rule = yield from trace(
        walker, derived.also, [*request.values, *stand_ins], at, changing=False, keywords=request.keywords
    )
    returned = len(rule.outputs)
    needed = len(split.operands) if back else len(made.outputs)
    if returned != needed:
        what = "cotangents, one for each argument" if back else "tangents, one for each result"
        walker.recorder.wrong(at, f"{derived.also.title} must return {needed} {what}; it returns {returned}.")
        return walker.placeholder(at)
    keys = captures([made.body, rule.body])
    if keys:
        name = capture_names([made.body, rule.body], keys)[0]
        walker.recorder.wrong(
            at,
            f"{derived.title}: {f'{name!r} is' if name else 'something is'} used from outside, and the rule says nothing "
            "about its derivative. Pass it as an argument.",
        )
        return walker.placeholder(at)
    op = op_of(walker, derived.kind, at)
    assert op is not None
    attrs = {"body": made.program([], at), "vjp" if back else "jvp": rule.program([], at)}
    return rebuilt(made.result, iter(write(walker, op, split.operands, attrs, len(made.outputs), at)))


_CALLS: dict[str, Callable[[Walker, Derived, Apply], Walk]] = {
    "grad": _gradient,
    "value_and_grad": _gradient,
    "jacobian": _matrix,
    "hessian": _matrix,
    "vmap": _vmap,
    "checkpoint": _checkpoint,
    "custom_vjp": _custom,
    "custom_jvp": _custom,
}


def _derivative(kind: str) -> Handler:
    """The walk over `grad(f, argnums)`: a function."""

    def walk(walker: Walker, node: Call) -> Walk:
        bound = _arguments(walker, node, kind, "f argnums", 1)
        if bound is None:
            return _failed(walker, node)
        given, _ = bound
        function = yield FunctionOf(given["f"])
        argnums = yield from _number(walker, given.get("argnums"), 0)
        listed = argnums if isinstance(argnums, list) else [argnums]
        if not listed or not all(isinstance(k, int) and not isinstance(k, bool) for k in listed):
            walker.recorder.wrong(
                given["argnums"].at,
                f"{kind}: argnums is the number of an argument, counted from 0, or a tuple of such.",
            )
            return _failed(walker, node)
        return _failed(walker, node) if function is None else Derived(kind, function, {"argnums": argnums})

    return walk


for _name in ("grad", "value_and_grad", "jacobian", "hessian"):
    control(_name)(_derivative(_name))
control("jacfwd", "jacrev")(_derivative("jacobian"))


@control("vmap")
def _vmap_of(walker: Walker, node: Call) -> Walk:
    bound = _arguments(walker, node, "vmap", "f in_axes out_axes", 1)
    if bound is None:
        return _failed(walker, node)
    given, _ = bound
    function = yield FunctionOf(given["f"])
    axes = yield from _number(walker, given.get("in_axes"), 0)
    out = yield from _number(walker, given.get("out_axes"), 0)
    flat = [
        a
        for part in (axes if isinstance(axes, list) else [axes])
        for a in (part if isinstance(part, list) else [part])
    ]
    if not all(a is None or (isinstance(a, int) and not isinstance(a, bool)) for a in flat):
        walker.recorder.wrong(
            node.at, "vmap: in_axes is an axis, or a tuple with an axis or None for each argument."
        )
        return _failed(walker, node)
    if out != 0 or isinstance(out, bool):
        walker.recorder.wrong(
            node.at, "vmap: results lead with the mapped axis (out_axes=0); move it with moveaxis."
        )
        return _failed(walker, node)
    return _failed(walker, node) if function is None else Derived("vmap", function, {"in_axes": axes})


@control("checkpoint", "remat")
def _checkpoint_of(walker: Walker, node: Call) -> Walk:
    bound = _arguments(walker, node, "checkpoint", "f", 1)
    function = None if bound is None else (yield FunctionOf(bound[0]["f"]))
    return _failed(walker, node) if function is None else Derived("checkpoint", function)


@control("jit")
def _jit(walker: Walker, node: Call) -> Walk:
    """Programs are compiled anyway: the function itself. Options say how, and change nothing."""
    if not node.positional:
        walker.recorder.mistake(Arity("jit takes a function."), node.at)
        return _failed(walker, node)
    function = yield FunctionOf(node.positional[0])
    return _failed(walker, node) if function is None else function


def _custom_of(kind: str, rule: str) -> Handler:
    def walk(walker: Walker, node: Call) -> Walk:
        bound = _arguments(walker, node, kind, f"f {rule}", 2)
        if bound is None:
            return _failed(walker, node)
        given, _ = bound
        function = yield FunctionOf(given["f"])
        also = yield FunctionOf(given[rule])
        return (
            _failed(walker, node) if function is None or also is None else Derived(kind, function, also=also)
        )

    return walk


control("custom_vjp")(_custom_of("custom_vjp", "pullback"))
control("custom_jvp")(_custom_of("custom_jvp", "tangent"))


def _tupled(walker: Walker, value: Value, at: int) -> list[Value]:
    """Several arguments that stand in a tuple; what is none is one argument."""
    return list(value.items) if type(value) is Tuple else [value]


@control("jvp")
def _jvp(walker: Walker, node: Call) -> Walk:
    """jvp(f, primals, tangents): f of the primals, and its derivative along the tangents."""
    bound = _arguments(walker, node, "jvp", "f primals tangents", 3)
    if bound is None:
        return _failed(walker, node)
    given, _ = bound
    function = yield FunctionOf(given["f"])
    primals = _data(walker, (yield given["primals"]), "Primals", given["primals"].at)
    tangents = _data(walker, (yield given["tangents"]), "Tangents", given["tangents"].at)
    op = op_of(walker, "jvp", node.at)
    if function is None or primals is None or tangents is None or op is None:
        return _failed(walker, node)
    if not same_form(walker, primals, tangents, "jvp needs a tangent for each primal", node.at):
        return _failed(walker, node)
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
        cotangents = _data(walker, request.values[0], "A cotangent", request.at)
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
    walker: Walker, op: Any, operands: Sequence[Argument], attrs: dict[str, Any], at: int
) -> Several | None:
    """The node of an op whose number of results only types tell."""
    from engine.op import check_attrs

    return Several(walker.recorder, walker.recorder.emit(op, operands, check_attrs(op, attrs), at), op, None)


@control("vjp")
def _vjp(walker: Walker, node: Call) -> Walk:
    """vjp(f, primals, cotangents): f of the primals, and cotangents of them. vjp(f, x): f(x), and a function."""
    bound = _arguments(walker, node, "vjp", "f primals cotangents", 2)
    if bound is None:
        return _failed(walker, node)
    given, _ = bound
    function = yield FunctionOf(given["f"])
    primals = _data(walker, (yield given["primals"]), "Primals", given["primals"].at)
    if function is None or primals is None:
        return _failed(walker, node)
    if "cotangents" not in given:
        value = yield Apply(function, [primals], node.at)
        return Tuple([value, Pullback(function, [primals])])
    cotangents = _data(walker, (yield given["cotangents"]), "Cotangents", given["cotangents"].at)
    if cotangents is None:
        return _failed(walker, node)
    several = type(primals) is Tuple
    pair = yield from _pulled(walker, function, _tupled(walker, primals, node.at), cotangents, node.at)
    if type(pair) is Tuple and not several and type(pair.items[1]) is Tuple:
        return Tuple([pair.items[0], pair.items[1].items[0]])
    return pair
