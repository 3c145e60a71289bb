"""The function that a unit is, with its docstring, in a module that stands alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from engine.aval import Aval
from engine.graph import CONSTANT, INPUT, Graph
from engine.render.code.identifiers import Namespace, plain
from engine.render.code.python.expr import WIDTH, Expr, shape, type_of
from engine.render.code.python.module import Module
from engine.render.code.python.scope import AUTOMATIC, Scope, inputs_of
from engine.render.code.unit import Derivative, Unit

VIEWS = frozenset({
    "broadcast_to", "reshape", "permute_dims", "slice", "held", "in_order", "between", "identity", "stop_gradient",
    "positive", "windows", "gather",
})  # fmt: skip
"""Ops whose result may lie in the memory of what they read."""
MOST_DESCRIBED = 24
"""Arguments and derivatives up to which each has a line in the docstring."""


def python_code(unit: Unit, step: Callable[[], None] | None = None) -> str:
    """The unit as the text of a Python module. `step`, if given, is called before each node and may raise.

    Raises `Unsupported` naming the node for what cannot be written, `LimitExceeded` for constants that are too large.
    """
    names = unit.names
    space = names.space.copy()
    module = Module(Namespace(["np", "special", "linalg", "base64", "math"]), unit.dtype, step)
    arguments = [names.ids[i] for i in unit.inputs]
    wishes = _wishes(unit, space)
    scope = Scope(module, unit.graph, arguments, space, wishes, labels=unit.steps)
    read = inputs_of(unit.graph)
    for name, aval, used in zip(arguments, unit.graph.in_avals, read, strict=True):
        if used and not aval.shape:
            kind = "np.bool_" if aval.dtype == "bool" else f"np.{aval.dtype}"
            scope.line(f"{name} = {kind}({name})")
        elif used:
            kind = "" if aval.dtype == "float64" else f", {type_of(aval.dtype)}"
            scope.line(f"{name} = {module.helper('array')}({name}, {shape(aval.shape)}{kind})")
    scope.write([i for i in _primal(unit) if scope.reads[i]])
    results = _results(unit, scope)
    pairs = ", ".join(f'"{key}": {e.text}' for key, e in zip(names.keys, results[1:], strict=True))
    scope.line(f"return {results[0].text}, {{{pairs}}}")
    function = names.function
    while any(function in line.replace(",", " ").split() for line in module.imports):
        function += "_"
    head = Scope(module, unit.graph, arguments, space, {}, indent=0)
    head.line('@np.errstate(all="ignore")  # infinities and NaN are results here, not mistakes')
    head.line(f"def {function}({', '.join(arguments)}):")
    body = [*head.lines, *_docstring(unit, function), *scope.lines]
    return module.text(['"""A function and its derivatives, with NumPy 2."""'], body)


def _wishes(unit: Unit, space: Namespace) -> dict[int, str]:
    """Names for nodes: the users' own, then what results are."""
    wishes: dict[int, str] = {}
    inputs = set(unit.graph.inputs)
    for node, step in unit.steps.items():
        if node in inputs or node in wishes:
            continue
        name = unit.names.ids.get(step)
        wishes[node] = name if name is not None else plain(step, "t")
    taken: dict[str, int] = {}
    # A name goes to one node: other ids may give the same identifier. Those of `of` and of what is differentiated by are kept
    # for them, if they are no inputs.
    kept = set(unit.names.ids.values()) - {unit.names.ids[i] for i in unit.inputs}
    for node, name in list(wishes.items()):
        if taken.setdefault(name, node) != node or (name in space and name not in kept):
            del wishes[node]
    for name in taken:
        if name in kept:
            space.give_back(name)
    primal = set(_primal(unit))
    for key, node in zip(("value", *[f"d_{k}" for k in unit.names.keys]), unit.graph.outputs, strict=True):
        if node in primal and key != "value":
            continue
        automatic = node not in wishes or AUTOMATIC.match(wishes[node])
        if node not in inputs and automatic and key not in space and key not in taken:
            wishes[node] = key
            taken[key] = node
    return wishes


def _primal(unit: Unit) -> list[int]:
    """The nodes that the value needs."""
    return [i for i, _ in unit.graph.with_outputs(unit.graph.outputs[:1]).schedule]


def _results(unit: Unit, scope: Scope) -> list[Expr]:
    """Value and derivatives, each in memory of its own."""
    roots = [_root(unit.graph, o) for o in unit.graph.outputs]
    count = Counter(root for root, _ in roots)
    found: list[Expr] = []
    for o, (root, stretched), e in zip(unit.graph.outputs, roots, scope.outputs(), strict=True):
        aval = unit.graph.nodes[o].aval
        assert isinstance(aval, Aval)
        lent = stretched or count[root] > 1 or unit.graph.nodes[root].op in (INPUT, CONSTANT)
        found.append(Expr(f"np.array({e.text})") if lent and aval.shape else e)
    return found


def _root(graph: Graph, i: int) -> tuple[int, bool]:
    """The node in whose memory a node may lie, and whether it is stretched over it."""
    stretched = False
    while (node := graph.nodes[i]).op.name in VIEWS:
        if node.op.name in ("broadcast_to", "windows"):
            if graph.nodes[node.inputs[0]].op is CONSTANT:  # written as an array of its own
                return i, stretched
            stretched = True
        i = node.inputs[0]
    return i, stretched


# ------------------------------------------------------------------------------------------------------------ docstring


def _array(aval: Aval) -> str:
    """An aval in words."""
    if not aval.shape:
        return {"int64": "an integer", "bool": "a boolean"}.get(aval.dtype, "a number")
    return f"array of shape {shape(aval.shape)}" + ("" if aval.dtype == "float64" else f", {aval.dtype}")


def _partial(unit: Unit, d: Derivative) -> str:
    """A derivative as one writes it: d2(of)/dx dy."""
    ids = unit.names.ids
    order = len(d.wrt)
    power = f"{order}" if order > 1 else ""
    if len(set(d.wrt)) == 1:
        below = f"d{ids[d.wrt[0]]}" + (f"**{order}" if order > 1 else "")
    else:
        below = " ".join(f"d{ids[i]}" for i in d.wrt)
    return f"d{power} {ids[unit.of]} / {below}"


def _docstring(unit: Unit, function: str) -> list[str]:
    names = unit.names
    avals = unit.graph.in_avals
    kind = "gradient" if unit.order == 1 and not unit.value[1].shape else "derivatives"
    lines = [f'    """The value of {names.ids[unit.of]} and its {kind}.', ""]
    if unit.inputs:
        lines.append("    Arguments (numbers, nested lists or arrays):")
        listed = list(zip(unit.inputs, avals, strict=True))
        for i, aval in listed[:MOST_DESCRIBED]:
            lines.append(f"        {names.ids[i]}: {_array(aval)}")
        if len(listed) > MOST_DESCRIBED:
            lines.append(
                f"        ... and {len(listed) - MOST_DESCRIBED} more, {_alike(avals[MOST_DESCRIBED:])}"
            )
        lines.append("")
    lines.append(f"    Returns the value ({_array(unit.value[1])}) and a dict:")
    outs = unit.graph.out_avals[1:]
    for key, d, aval in list(zip(names.keys, unit.derivatives, outs, strict=True))[:MOST_DESCRIBED]:
        lines.append(f'        "{key}": {_partial(unit, d)}, {_array(aval)}')
    if len(outs) > MOST_DESCRIBED:
        lines.append(f"        ... and so on for {len(outs) - MOST_DESCRIBED} more")
    if not outs:
        lines.append("        (empty)")
    lines.append("")
    if unit.dtype == "float32":
        lines += ["    Computed in single precision (float32).", ""]
    call = f"value, derivatives = {function}({', '.join(f'{names.ids[i]}=...' for i in unit.inputs[:6])}"
    call += ", ...)" if len(unit.inputs) > 6 else ")"
    lines += [f"    Call it as: {call}"] if len(call) < WIDTH - 20 else []
    if lines[-1] == "":
        lines.pop()
    return [*lines, '    """']


def _alike(avals: tuple[Aval, ...]) -> str:
    return f"each {_array(avals[0])}" if len(set(avals)) == 1 else "of various shapes"
