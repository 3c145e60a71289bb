"""Text of ops that hold graphs: Python's loops and conditions over functions that the bodies become."""

from __future__ import annotations

from typing import Any

from engine.aval import Aval
from engine.graph import Graph
from engine.render.code.identifiers import Namespace
from engine.render.code.python.expr import dimensions, shape, targets, type_of
from engine.render.code.python.lengths import LENGTHS, Differs, joined
from engine.render.code.python.scope import Call, Scope
from engine.render.code.python.table import writes


def function(c: Call, graph: Graph, wish: str, doc: str, first: str = "") -> str:
    """The name of the function that a graph is: it takes the inputs, and returns the result, or a tuple of several.

    `first` is a statement that it starts with, about its arguments a1, a2, …
    """
    label = c.scope.labels.get(c.at) or c.scope.label

    def write(name: str) -> list[str]:
        space = Namespace(["n"])
        arguments = [space.take(f"a{k + 1}") for k in range(len(graph.inputs))]
        scope = Scope(c.module, graph, arguments, space, {}, label=label)
        scope.line(f'"""{doc}"""')
        if first:
            scope.line(first)
        scope.write()
        found = scope.outputs()
        scope.line(f"return {targets([e.text for e in found]) or '()'}")
        head = Scope(c.module, graph, arguments, space, {}, indent=0)
        head.line(f"def {name}({', '.join(arguments)}):")
        return [*head.lines, *scope.lines]

    return c.module.function((graph, first), write, wish)


def fixed(c: Call, start: int, stop: int | None = None) -> list[str]:
    """Operands with names, for use in a loop."""
    return [c.scope.bound(x.typed).text for x in c.args[start:stop]]


def given(c: Call, start: int = 0) -> str:
    """Operands as arguments."""
    return ", ".join(x.typed.text for x in c.args[start:])


def assign(c: Call, text: str) -> None:
    """The results of a call under their names."""
    names = c.results()
    if names:
        c.scope.line(f"{targets(names)} = {text}")


def constants(names: list[str]) -> str:
    """A tuple of names."""
    return shape(names)


@writes("core.checkpoint")
def _checkpoint(c: Call) -> None:
    assign(c, f"{function(c, c.params['body'], '_part', 'A part of the computation.')}({given(c)})")


@writes("core.custom")
def _custom(c: Call) -> None:
    assign(c, f"{function(c, c.params['value'], '_part', 'A part of the computation.')}({given(c)})")


@writes("core.cond")
def _cond(c: Call) -> None:
    names = [function(c, c.params[k], f"_{k}", "One of two branches.") for k in ("then", "otherwise")]
    condition, rest = c.args[0].typed.text, given(c, 1)
    c.results()
    c.scope.line(f"if {condition}:")
    inner = c.scope
    inner.indent += 4
    assign(c, f"{names[0]}({rest})")
    inner.indent -= 4
    c.scope.line("else:")
    inner.indent += 4
    assign(c, f"{names[1]}({rest})")
    inner.indent -= 4


def _carries(c: Call, count: int) -> list[str]:
    """Names for the carries of a loop, read afterwards or not, with what they are before it."""
    names = c.results()
    for k in range(count):
        if names[k] == "_":
            names[k] = c.scope.name()
        c.scope.line(f"{names[k]} = {c.args[k].typed.text}")
    return names


@writes("core.scan")
def _scan(c: Call) -> None:
    p = c.params
    body, nk, nx, n = p["body"], p["carries"], p["scanned"], p["length"]
    step = function(c, body, "_step", "One step of a loop.")
    xs, rest = fixed(c, nk, nk + nx), fixed(c, nk + nx)
    names = _carries(c, nk)
    assert not isinstance(c.node.aval, Aval)
    k = c.scope.counter
    for name, aval in zip(names[nk:], c.node.aval[nk:], strict=True):
        if name != "_":
            kind = "" if aval.dtype == "float64" else f", {type_of(aval.dtype)}"
            c.scope.line(f"{name} = np.empty({dimensions(aval.shape)}{kind})")
    steps = f"range({n} - 1, -1, -1)" if p["reverse"] else f"range({n})"
    if p["reverse"] and type(n) is int:
        steps = f"range({n - 1}, -1, -1)"
    assigned = [*names[:nk], *(name if name == "_" else f"{name}[{k}]" for name in names[nk:])]
    arguments = ", ".join([*names[:nk], *(f"{x}[{k}]" for x in xs), *rest])
    c.scope.line(f"for {k} in {steps}:")
    c.scope.indent += 4
    c.scope.line(f"{targets(assigned)} = {step}({arguments})" if assigned else "pass")
    c.scope.indent -= 4


@writes("core.while")
def _while(c: Call) -> None:
    p = c.params
    nk = p["carries"]
    test = function(c, p["cond"], "_goes_on", "Whether a loop takes another step.")
    step = function(c, p["body"], "_step", "One step of a loop.")
    if p["batch"]:
        both = f"{constants(fixed(c, 0, nk))}, {constants(fixed(c, nk))}"
        assign(c, f"{c.helper('while_each', 'control')}({test}, {step}, {both}, {bool(p['guarded'])})")
        return
    rest = fixed(c, nk)
    names = _carries(c, nk)
    count = names[nk]
    if count != "_":
        c.scope.line(f"{count} = np.int64(0)")
    arguments = ", ".join([*names[:nk], *rest])
    c.scope.line(f"while {test}({arguments}):")
    c.scope.indent += 4
    c.scope.line(f"{targets(names[:nk])} = {step}({arguments})" if nk else f"{step}({arguments})")
    if count != "_":
        c.scope.line(f"{count} += 1")
    c.scope.indent -= 4


@writes("core.counted")
def _counted(c: Call) -> None:
    derivation = c.params["derivation"]
    try:
        graph = joined([derivation.graph(n, 1 << 62) for n in LENGTHS])
    except Differs as why:
        raise c.refuse(
            "The way back over a loop of unknown length has no form in Python code here, since what it computes depends on "
            f"that length ({why}). Give the loop a fixed length (fori_loop), or ask for the derivative as a graph."
        ) from None
    back = function(
        c, graph, "_back", "The way back over a loop of n steps.", "n = int(np.max(a1, initial=0))"
    )
    assign(c, f"{back}({given(c)})")


def _equation(c: Call, what: str, names: tuple[str, ...]) -> tuple[list[str], Any, Any]:
    """Functions of an equation, as arguments; the matrix in columns, and their number at a time."""
    p = c.params
    found = [
        function(c, p[name], f"_{name}", f"{doc} of {what}.")
        for name, doc in zip(names, ("A function", "The Jacobian"), strict=False)
    ]
    columns = p["columns"]
    if columns is None:
        return found, "None", 1
    block = columns.in_avals[0].shape[0]
    return found, function(c, columns, "_columns", "Several columns of a matrix."), block


@writes("core.linear_solve")
def _linear_solve(c: Call) -> None:
    p = c.params
    (matvec,), columns, block = _equation(c, "a linear system", ("matvec",))
    flags = ", ".join(f"{n}={bool(p[n])}" for n in ("diagonal", "symmetric", "strong"))
    right, rest = fixed(c, 0, 1), constants(fixed(c, 1))
    solve = c.helper("linear_solve", "control")
    dims = shape(p["matvec"].in_avals[0].shape)
    text = f"{solve}({right[0]}, {rest}, {matvec}, {columns}, {block}, {dims}, {flags}, tol={p['tol']!r})"
    assign(c, text)


@writes("core.implicit")
def _implicit(c: Call) -> None:
    p = c.params
    (residual, jacobian), columns, block = _equation(c, "an equation", ("residual", "jacobian"))
    start, rest = fixed(c, 0, 1), constants(fixed(c, 1))
    find = c.helper("find_root", "control")
    assign(
        c,
        f"{find}({start[0]}, {rest}, {residual}, {jacobian}, {columns}, {block}, diagonal={bool(p['diagonal'])}, "
        f"method={p['method']!r}, tol={p['tol']!r}, most={p['most']})",
    )
