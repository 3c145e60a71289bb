"""What a function of a function yields: grad(f), jacobian(f), vmap(f), checkpoint(f), custom_vjp(f, pullback), jit(f)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from engine.errors import Arity
from engine.language.bodies import (
    capture_names,
    captures,
    constants,
    is_data,
    op_of,
    operands_of,
    trace,
    write,
)
from engine.language.control import Handler, bound_arguments, control, data_of, failed, static_of
from engine.language.functions import Applicable, Apply, FunctionOf
from engine.language.syntax import Call
from engine.language.values import Function, Ref, Tuple, Value, leaves, rebuilt
from engine.language.walker import Walk, Walker
from engine.program import Argument


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
                data_of(walker, value, f"Argument {k}", request.origins[k])
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
        what = "cotangent" if back else "tangent"
        each = "one for each argument" if back else "one for each result"
        walker.recorder.wrong(
            at,
            f"{derived.also.title} must return {needed} {what}{'s' * (needed != 1)}, {each}; it returns {returned}.",
        )
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
        bound = bound_arguments(walker, node, kind, "f argnums", 1)
        if bound is None:
            return failed(walker, node)
        given, _ = bound
        function = yield FunctionOf(given["f"])
        argnums = yield from static_of(walker, given.get("argnums"), 0)
        listed = argnums if isinstance(argnums, list) else [argnums]
        if not listed or not all(isinstance(k, int) and not isinstance(k, bool) for k in listed):
            walker.recorder.wrong(
                given["argnums"].at,
                f"{kind}: argnums is the number of an argument, counted from 0, or a tuple of such.",
            )
            return failed(walker, node)
        return failed(walker, node) if function is None else Derived(kind, function, {"argnums": argnums})

    return walk


for _name in ("grad", "value_and_grad", "jacobian", "hessian"):
    control(_name)(_derivative(_name))
control("jacfwd", "jacrev")(_derivative("jacobian"))


@control("vmap")
def _vmap_of(walker: Walker, node: Call) -> Walk:
    bound = bound_arguments(walker, node, "vmap", "f in_axes out_axes", 1)
    if bound is None:
        return failed(walker, node)
    given, _ = bound
    function = yield FunctionOf(given["f"])
    axes = yield from static_of(walker, given.get("in_axes"), 0)
    out = yield from static_of(walker, given.get("out_axes"), 0)
    flat = [
        a
        for part in (axes if isinstance(axes, list) else [axes])
        for a in (part if isinstance(part, list) else [part])
    ]
    if not all(a is None or (isinstance(a, int) and not isinstance(a, bool)) for a in flat):
        walker.recorder.wrong(
            node.at, "vmap: in_axes is an axis, or a tuple with an axis or None for each argument."
        )
        return failed(walker, node)
    if out != 0 or isinstance(out, bool):
        walker.recorder.wrong(
            node.at, "vmap: results lead with the mapped axis (out_axes=0); move it with moveaxis."
        )
        return failed(walker, node)
    return failed(walker, node) if function is None else Derived("vmap", function, {"in_axes": axes})


@control("checkpoint", "remat")
def _checkpoint_of(walker: Walker, node: Call) -> Walk:
    bound = bound_arguments(walker, node, "checkpoint", "f", 1, hint="write checkpoint(f)(x)")
    function = None if bound is None else (yield FunctionOf(bound[0]["f"]))
    return failed(walker, node) if function is None else Derived("checkpoint", function)


@control("jit")
def _jit(walker: Walker, node: Call) -> Walk:
    """Programs are compiled anyway: the function itself. Options say how, and change nothing."""
    if not node.positional:
        walker.recorder.mistake(Arity("jit takes a function."), node.at)
        return failed(walker, node)
    function = yield FunctionOf(node.positional[0])
    return failed(walker, node) if function is None else function


def _custom_of(kind: str, rule: str, hint: str) -> Handler:
    def walk(walker: Walker, node: Call) -> Walk:
        bound = bound_arguments(walker, node, kind, f"f {rule}", 2, hint=hint)
        if bound is None:
            return failed(walker, node)
        given, _ = bound
        function = yield FunctionOf(given["f"])
        also = yield FunctionOf(given[rule])
        return (
            failed(walker, node) if function is None or also is None else Derived(kind, function, also=also)
        )

    return walk


control("custom_vjp")(
    _custom_of(
        "custom_vjp",
        "pullback",
        "there is one rule, which gets the arguments and the cotangent: def back(x, ct): return ct*2*x, and then "
        "custom_vjp(f, back)(x)",
    )
)
control("custom_jvp")(
    _custom_of(
        "custom_jvp",
        "tangent",
        "the rule gets the arguments and their tangents: def rule(x, dx): return 2*x*dx, and then custom_jvp(f, rule)(x)",
    )
)
