"""From a unit to a function of statements, which the printers print; what cannot be written is refused before."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from engine.errors import Unsupported
from engine.graph import CONSTANT, INPUT, ITEM, Graph, Node
from engine.render.code import elementwise, handlers  # fill HANDLERS
from engine.render.code.control import STEPS
from engine.render.code.identifiers import plain
from engine.render.code.lowering import Lowering
from engine.render.code.statements import Array, Expr, Function, Parameter, Result, Var
from engine.render.code.tidy import tidied
from engine.render.code.unit import Derivative, Unit
from engine.render.code.values import HANDLERS, PREFIX, Names, Tensor, scalar, stored, type_of


def function_of(unit: Unit, language: str, step: Callable[[], None] | None = None) -> Function:
    """The unit as a function. Raises `Unsupported` for an op that has no form in the language."""
    refuse(unit, language)
    given = {unit.names.ids[i] for i in unit.inputs}
    names = Names(unit.names.space, set(unit.names.ids.values()) - given)
    low = Lowering(names, step)
    low.prefix = unit.names.function + "_"
    graph = unit.graph
    parameters = []
    arguments: list[Tensor] = []
    for id, aval in zip(unit.inputs, graph.in_avals, strict=True):
        name, kind = unit.names.ids[id], type_of(aval.dtype)
        var: Var | Array
        if aval.shape:
            var = Array(name, kind, aval.size)
            arguments.append(stored(var, aval.shape))
        else:
            var = Var(name, kind)
            arguments.append(scalar(var))
        parameters.append(Parameter(var, aval.shape, name))
    outs = [
        names.fresh("value"),
        *(
            names.fresh(f"{'grad_' if len(d.wrt) == 1 else f'd{len(d.wrt)}_'}{key}")
            for d, key in zip(unit.derivatives, unit.names.keys, strict=True)
        ),
    ]
    titles = [unit.names.ids[unit.of], *(_title_of(unit, d) for d in unit.derivatives)]
    keys = ["value", *unit.names.keys]
    targets: dict[int, Array] = {}
    arrays: list[Array | None] = []
    for name, o, aval in zip(outs, graph.outputs, graph.out_avals, strict=True):
        array = Array(name, type_of(aval.dtype), aval.size) if aval.shape else None
        arrays.append(array)
        if array is not None:
            targets.setdefault(_source(unit, o), array)
    bases = {i: unit.names.ids.get(id) or _local(id) for i, id in unit.steps.items()}
    values = low.graph(graph, arguments, bases, targets)
    results = []
    rows = zip(outs, keys, titles, arrays, graph.out_avals, values, strict=True)
    for name, key, title, array, aval, x in rows:
        value: Expr | Array
        if array is None:
            value = x.expr
        else:
            value = array
            if x.buffer != array:
                low.fill(array, x)
        results.append(Result(name, value, aval.shape, title, type_of(aval.dtype), key))
    return Function(
        unit.names.function,
        parameters,
        tidied(low.top, results),
        results,
        _prefix([*unit.names.ids.values(), unit.names.function]),
        names.fresh("work"),
        names.fresh("v"),
        _remarks(unit, low),
        order=unit.order,
    )


def _prefix(taken: list[str]) -> str:
    """What names of helpers begin with: no identifier of a client's does."""
    prefix = PREFIX
    while any(name.startswith(prefix) for name in taken):
        prefix = "x" + prefix
    return prefix


def _remarks(unit: Unit, low: Lowering) -> tuple[str, ...]:
    """What a user should know beside the rest."""
    remarks = []
    if unit.dtype == "float32":
        remarks.append("The program's own dtype is float32; here everything is computed in double precision.")
    if low.limited:
        remarks.append(f"A loop of unknown length that takes more than {STEPS} steps has derivatives NaN.")
    if low.checked:
        remarks.append("An index that is out of range reads NaN, and writes nothing.")
    if low.refusing:
        remarks.append(
            "What has no solution (a singular matrix, one that is not positive definite) gives NaN."
        )
    return tuple(remarks)


def _local(id: str) -> str:
    """What a local that holds a user's node is called; nothing of its own where the node has no name of its own either."""
    return "" if _NAMELESS.fullmatch(id) else plain(id)


_NAMELESS = re.compile(r"t\d+")


def _title_of(unit: Unit, derivative: Derivative) -> str:
    """A derivative in words."""
    of, by = unit.names.ids[unit.of], [unit.names.ids[i] for i in derivative.wrt]
    if len(by) == 1:
        return f"the derivative of {of} by {by[0]}"
    return f"d^{len(by)} {of} / ({' '.join(f'd{i}' for i in by)})" if by else f"the value of {of}"


def _source(unit: Unit, node: int) -> int:
    """The node whose array a result is, where all that follows it is another shape."""
    nodes = unit.graph.nodes
    while nodes[node].op.name == "reshape":
        before = nodes[node].inputs[0]
        if unit.uses[before] != 1 or nodes[before].op in (INPUT, CONSTANT, ITEM):
            break
        node = before
    return node


# ------------------------------------------------------------------------------------------------------------- refusing


def refuse(unit: Unit, language: str) -> None:
    """Raise `Unsupported` for the first op that has no form, naming the user's node that needs it if it is known."""
    for i, node, reason in _misfits(unit.graph):
        owner = _owner(unit, i)
        raise Unsupported(
            f"{_title(node)} cannot be written in {language}: {reason}. "
            "Ask for the format python, which writes every op with NumPy and SciPy.",
            node=owner,
        )


def _owner(unit: Unit, node: int) -> str | None:
    """The user's node whose value or derivative a node of the graph belongs to: itself, or the nearest one before it."""
    if node in unit.steps:
        return unit.steps[node]
    todo, seen = [node], {node}
    while todo:
        i = max(todo)
        todo.remove(i)
        if i in unit.steps:
            return unit.steps[i]
        for j in unit.graph.nodes[i].inputs:
            if j not in seen and len(seen) < 1000:
                seen.add(j)
                todo.append(j)
    return None


def _title(node: Node) -> str:
    return f"The op {node.op.name}"


def _misfits(graph: Graph) -> Iterator[tuple[int, Node, str]]:
    """Nodes that have no form, as (node of the outermost graph, node, reason)."""
    for i, _ in graph.schedule:
        node = graph.nodes[i]
        for inner, reason in _reasons(node):
            yield i, inner, reason


def _reasons(first: Node) -> Iterator[tuple[Node, str]]:
    todo = [first]
    while todo:
        node = todo.pop()
        if node.op in (CONSTANT, INPUT, ITEM):
            continue
        reason = unsupported(node)
        if reason:
            yield node, reason
        for graph in handlers.inside(node):
            todo += [graph.nodes[i] for i, _ in graph.schedule]


def unsupported(node: Node) -> str:
    """Why a node has no form; empty if it has one."""
    params = dict(node.params)
    if node.op.elementwise:
        return elementwise.unsupported(node.op, params)
    if node.op.name not in HANDLERS:
        return "it has no short form as loops"
    return handlers.refusal(node)
